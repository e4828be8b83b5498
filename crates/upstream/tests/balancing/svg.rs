//! Plots as SVG.

use std::fmt::Write;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 250.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 55.0;

/// Colours that also people with colour blindness tell apart (Okabe and Ito).
const COLOURS: [&str; 7] =
    ["#000000", "#e69f00", "#56b4e9", "#009e73", "#d55e00", "#0072b2", "#cc79a7"];

/// A line with its name.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// An axis: its text, its ends, and the numbers beside it.
pub(crate) struct Axis {
    pub(crate) text: &'static str,
    pub(crate) ends: (f64, f64),
    pub(crate) numbers: Vec<f64>,
    pub(crate) logarithmic: bool,
}

impl Axis {
    /// The place of a value, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.logarithmic { value.max(1e-9).ln() } else { value };
        let (low, high) = (scale(self.ends.0), scale(self.ends.1));
        ((scale(value) - low) / (high - low)).clamp(0.0, 1.0)
    }
}

fn head(title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"28\" font-size=\"16\">{title}</text>\n"
    )
}

/// Lines over a common axis.
pub(crate) fn lines(title: &str, x: &Axis, y: &Axis, lines: &[Line]) -> String {
    let across = |value: f64| LEFT + x.place(value) * (WIDTH - LEFT - RIGHT);
    let up = |value: f64| HEIGHT - BOTTOM - y.place(value) * (HEIGHT - TOP - BOTTOM);
    let mut text = head(title);
    for &number in &y.numbers {
        let (at, end) = (up(number), WIDTH - RIGHT);
        let _ = writeln!(
            text,
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{end}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{number}</text>",
            LEFT - 8.0,
            at + 4.0
        );
    }
    for &number in &x.numbers {
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{number}</text>",
            across(number),
            HEIGHT - BOTTOM + 20.0
        );
    }
    let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
    let _ = writeln!(
        text,
        "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
         <text x=\"18\" y=\"{:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 18 {:.1})\">{}\
         </text>",
        HEIGHT - 14.0,
        x.text,
        HEIGHT / 2.0,
        HEIGHT / 2.0,
        y.text
    );
    for (at, line) in lines.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let dashes = if at < COLOURS.len() { "" } else { " stroke-dasharray=\"6 3\"" };
        let points = line.points.iter().map(|&(x, y)| format!("{:.1},{:.1}", across(x), up(y)));
        let points = points.collect::<Vec<_>>().join(" ");
        let (left, level) = (WIDTH - RIGHT + 15.0, TOP + 20.0 * at as f64 + 10.0);
        let _ = writeln!(
            text,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" \
             stroke-width=\"2\"{dashes}/>\
             <line x1=\"{left}\" y1=\"{level}\" x2=\"{:.1}\" y2=\"{level}\" stroke=\"{colour}\" \
             stroke-width=\"3\"{dashes}/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            left + 22.0,
            left + 28.0,
            level + 4.0,
            line.name
        );
    }
    text + "</svg>\n"
}

/// Horizontal bars, in groups of one per colour.
pub(crate) fn bars(title: &str, x: &Axis, names: &[&str], rows: &[(String, Vec<f64>)]) -> String {
    let left = 220.0;
    let across = |value: f64| x.place(value) * (WIDTH - left - 80.0);
    let row = (HEIGHT - TOP - BOTTOM) / rows.len() as f64;
    let mut text = head(title);
    for (at, name) in names.iter().enumerate() {
        let from = left + 200.0 * at as f64;
        let _ = writeln!(
            text,
            "<rect x=\"{from}\" y=\"{:.1}\" width=\"12\" height=\"12\" fill=\"{}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
            HEIGHT - 40.0,
            COLOURS[at + 1],
            from + 18.0,
            HEIGHT - 29.0
        );
    }
    for (at, (name, values)) in rows.iter().enumerate() {
        let top = TOP + row * at as f64;
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
            left - 8.0,
            top + row / 2.0 + 3.0
        );
        let height = (row - 5.0) / values.len() as f64;
        for (bar, value) in values.iter().enumerate() {
            let (y, width) = (top + height * bar as f64, across(*value));
            let _ = writeln!(
                text,
                "<rect x=\"{left}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
                 fill=\"{}\"/><text x=\"{:.1}\" y=\"{:.1}\" font-size=\"10\">{value:.0}</text>",
                COLOURS[bar + 1],
                left + width + 4.0,
                y + height / 2.0 + 3.5
            );
        }
    }
    let middle = HEIGHT - 10.0;
    let _ = writeln!(text, "<text x=\"{left}\" y=\"{middle}\">{}</text>", x.text);
    text + "</svg>\n"
}
