//! Tables that fit: of many columns, a narrow terminal has those that matter most.

use super::line::{self, Line, Style};

/// The cells that the first column has at least, if it may have as many.
const NARROWEST: usize = 12;

/// The cells in which most names fit, and those in which most of what is said fits.
const USUAL: usize = 24;
const READABLE: usize = 32;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    title: &'static str,
    cells: usize,
    /// Small ones are the last to go.
    rank: u8,
    side: Side,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
    /// What is left of the line.
    Rest,
}

impl Column {
    /// Text.
    pub(super) const fn text(title: &'static str, cells: usize, rank: u8) -> Self {
        Self { title, cells, rank, side: Side::Left }
    }

    /// Numbers.
    pub(super) const fn number(title: &'static str, cells: usize, rank: u8) -> Self {
        Self { title, cells, rank, side: Side::Right }
    }

    /// Text that takes the rest of the line, if that is at least so many cells.
    pub(super) const fn rest(title: &'static str, cells: usize, rank: u8) -> Self {
        Self { title, cells, rank, side: Side::Rest }
    }
}

/// The columns of a table that fit into a line. The first one has names, and takes what the others
/// leave, up to its own cells.
#[derive(Debug)]
pub(super) struct Table {
    columns: &'static [Column],
    /// The cells of each; 0 where it is left out.
    cells: Vec<usize>,
}

impl Table {
    pub(super) fn fitting(columns: &'static [Column], room: usize) -> Self {
        let mut cells = vec![0; columns.len()];
        let mut order: Vec<usize> = (1..columns.len()).collect();
        order.sort_by_key(|&at| columns[at].rank);
        let first = columns[0].cells;
        let mut left = room.saturating_sub(NARROWEST.min(first));
        for at in order {
            // With the space before it. Those that matter less do not take its place.
            let Some(rest) = left.checked_sub(columns[at].cells + 1) else { break };
            (left, cells[at]) = (rest, columns[at].cells);
        }
        cells[0] = NARROWEST.min(first).min(room);
        let rest = columns.iter().position(|column| column.side == Side::Rest);
        let rest = rest.filter(|&at| cells[at] > 0);
        // Names and the rest of the line grow by turns.
        for (at, most) in
            [(Some(0), USUAL.min(first)), (rest, READABLE), (Some(0), first), (rest, room)]
        {
            if let Some(at) = at {
                let more = most.saturating_sub(cells[at]).min(left);
                (left, cells[at]) = (left - more, cells[at] + more);
            }
        }
        Self { columns, cells }
    }

    /// The titles.
    pub(super) fn head(&self) -> Line {
        let titles: Vec<_> = self.columns.iter().map(|column| column.title.to_owned()).collect();
        Line::new(Style::Head, self.row(&titles))
    }

    /// A row of the table.
    pub(super) fn row(&self, values: &[String]) -> String {
        let mut row = String::new();
        let all = self.columns.iter().zip(&self.cells).zip(values);
        for ((column, &room), value) in all.filter(|((_, room), _)| **room > 0) {
            let value = line::harmless(value);
            let value = match column.side {
                Side::Right => line::right(&value, room),
                Side::Left | Side::Rest => line::left(&value, room),
            };
            if !row.is_empty() {
                row.push(' ');
            }
            row += &value;
        }
        row.truncate(row.trim_end().len());
        row
    }

    /// The cells of its lines.
    #[cfg(test)]
    fn whole(&self) -> usize {
        self.cells.iter().filter(|room| **room > 0).map(|room| room + 1).sum::<usize>() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static COLUMNS: [Column; 4] = [
        Column::text("NAME", 30, 0),
        Column::number("a", 6, 2),
        Column::text("state", 9, 1),
        Column::rest("why", 8, 3),
    ];

    #[test]
    fn narrow_terminals_have_the_columns_that_matter() {
        let head = |room| Table::fitting(&COLUMNS, room).head().text;
        assert_eq!(head(12), "NAME");
        assert_eq!(head(22), "NAME         state");
        assert_eq!(head(29), "NAME              a state");
        assert_eq!(head(5), "NAME");
        for room in 1..120 {
            let table = Table::fitting(&COLUMNS, room);
            assert!(table.whole() <= room, "{room}");
            let long = "日".repeat(200);
            assert!(line::cells(&table.row(&vec![long; 4])) <= room, "{room}");
        }
        let row = ["x", "1", "up", "because it is so"].map(str::to_owned);
        let wide = Table::fitting(&COLUMNS, 80).row(&row);
        let expected = format!("{:<30} {:>6} {:<9} because it is so", "x", 1, "up");
        assert_eq!(wide, expected);
    }
}
