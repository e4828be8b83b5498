//! The report: medians with their spread, as Markdown tables.

use std::fmt::Write;

use super::load::Pace;
use super::side::Side;
use super::workload::{Load, Workload, columns};
use super::{Round, machine};
use crate::Failure;

/// The results of one side in one workload.
#[derive(Debug)]
pub(super) struct Measured<'a> {
    pub(super) workload: &'a Workload,
    pub(super) side: &'a Side,
    /// The values of each round, or the reason for their lack.
    pub(super) rounds: Result<Vec<Round>, Failure>,
}

impl Measured<'_> {
    /// Excludes the side from further rounds.
    pub(super) fn fail(&mut self, round: usize, failure: Failure) {
        eprintln!("{} {round}: {} failed: {failure}", self.workload.name, self.side.name);
        self.rounds = Err(failure);
    }
}

/// The heading and the paragraph above the tables.
pub(super) fn head(sides: &[Side], rounds: usize, pace: &Pace) -> String {
    let mut text = format!("## {}: {}\n\n", machine::today(), machine::description());
    let versions = sides.iter().map(|side| side.version.as_str());
    let versions: Vec<&str> = versions.filter(|version| !version.is_empty()).collect();
    let _ = writeln!(
        text,
        "{}. Medians of {rounds} rounds with the least and the most; in a round, the sides take \
         {} turns of {} s, whose medians it gives. CPU time is that of all processes of the \
         proxy. In brackets: against nginx.",
        versions.join("; "),
        pace.turns,
        pace.turn
    );
    text
}

/// One table per run of workloads with the same columns.
pub(super) fn tables(measured: &[Measured<'_>]) -> String {
    let mut text = String::new();
    let mut before: &[&str] = &[];
    for row in measured {
        let columns = columns(&row.workload.load);
        if columns != before {
            let _ = writeln!(text, "\n| workload | proxy | {} |", columns.join(" | "));
            let _ = writeln!(text, "|---|---|{}", "---:|".repeat(columns.len()));
            before = columns;
        }
        let cells = match &row.rounds {
            Ok(rounds) => cells(rounds, columns.len(), &references(measured, row)),
            Err(failure) => vec![failure.lines().next().unwrap_or_default().to_owned()],
        };
        let _ =
            writeln!(text, "| {} | {} | {} |", row.workload.name, row.side.name, cells.join(" | "));
    }
    text
}

/// nginx's medians of the compared columns of the workload: of the first one, or of all for
/// reloads.
fn references(measured: &[Measured<'_>], row: &Measured<'_>) -> Round {
    let is_it = |other: &&Measured<'_>| {
        other.side.name == "nginx" && other.workload.name == row.workload.name
    };
    let rounds = measured.iter().find(is_it).and_then(|nginx| nginx.rounds.as_ref().ok());
    let mut medians = rounds.map(|rounds| medians(rounds)).unwrap_or_default();
    if !matches!(row.workload.load, Load::Reloads) {
        medians.truncate(1);
    }
    medians
}

/// The medians of all columns.
pub(super) fn medians(turns: &[Round]) -> Round {
    let columns = turns.first().map_or(0, Vec::len);
    (0..columns).filter_map(|column| spread(turns, column)).map(|(_, median, _)| median).collect()
}

fn cells(rounds: &[Round], columns: usize, nginx: &[f64]) -> Vec<String> {
    let cell = |column| {
        let Some((least, median, most)) = spread(rounds, column) else { return String::new() };
        let mut text = number(median);
        if rounds.len() > 1 {
            let _ = write!(text, " ({}..{})", number(least), number(most));
        }
        if let Some(nginx) = nginx.get(column) {
            let _ = write!(text, " [{:.2}]", median / nginx);
        }
        text
    };
    (0..columns).map(cell).collect()
}

/// Minimum, median and maximum of a column.
fn spread(rounds: &[Round], column: usize) -> Option<(f64, f64, f64)> {
    let mut values: Vec<f64> =
        rounds.iter().filter_map(|round| round.get(column).copied()).collect();
    values.sort_by(f64::total_cmp);
    let (least, most) = (*values.first()?, *values.last()?);
    let middle = values.len() / 2;
    let median = if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    };
    Some((least, median, most))
}

/// A number with at least three digits and with separated thousands.
fn number(value: f64) -> String {
    if value < 100.0 {
        let digits = if value < 10.0 { 2 } else { 1 };
        return format!("{value:.digits$}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
