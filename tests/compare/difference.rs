//! The differences between both sides of a case.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use super::applications::Applications;
use super::case::{Case, Exchange, Version};
use super::side::{self, Aspects, Observations};

/// A difference between both sides.
#[derive(Debug)]
pub(crate) struct Difference {
    /// Theme, title and exchange.
    pub(crate) name: String,
    /// The exchange; `None` outside of exchanges.
    pub(crate) exchange: Option<usize>,
    pub(crate) aspect: String,
    pub(crate) nginx: String,
    pub(crate) weir: String,
    /// All observations of the exchange on both sides, and its requests, whose lines begin with
    /// `sent: `.
    pub(crate) whole: String,
}

impl Difference {
    /// Whether the case declares it.
    pub(crate) fn is_declared(&self, case: &Case, version: Version) -> bool {
        let near = match self.exchange {
            Some(at) => &case.exchanges[at].reasons,
            None => &case.reasons,
        };
        let mut reasons = near.iter().chain(&case.everywhere);
        reasons.any(|reason| reason.covers(&self.aspect) && reason.holds(version))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}: {}", self.name, self.aspect)?;
        let nginx: Vec<&str> = self.nginx.lines().collect();
        let weir: Vec<&str> = self.weir.lines().collect();
        if nginx.len() == weir.len() {
            let lines = nginx.iter().zip(&weir);
            return lines.filter(|(nginx, weir)| nginx != weir).try_for_each(|(nginx, weir)| {
                writeln!(out, "   nginx: {nginx}\n    weir: {weir}")
            });
        }
        let (same, rest) = common(&nginx, &weir);
        let before = same.saturating_sub(1);
        nginx[before..same].iter().try_for_each(|line| writeln!(out, "          {line}"))?;
        let nginx = &nginx[same..nginx.len() - rest];
        nginx.iter().try_for_each(|line| writeln!(out, "   nginx: {line}"))?;
        let weir = &weir[same..weir.len() - rest];
        weir.iter().try_for_each(|line| writeln!(out, "    weir: {line}"))
    }
}

/// The numbers of equal lines at the start and the end.
fn common(one: &[&str], other: &[&str]) -> (usize, usize) {
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let (one, other) = (&one[same..], &other[same..]);
    let rest = one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    (same, rest)
}

/// Both sides of a comparison.
#[derive(Debug)]
pub(crate) struct Sides {
    pub(crate) nginx: PathBuf,
    pub(crate) weir: PathBuf,
    /// The applications of cases that have some.
    pub(crate) applications: Option<Applications>,
    /// nginx's version.
    pub(crate) version: Version,
}

/// Runs a case on both sides simultaneously.
pub(crate) fn of(sides: &Sides, case: &Case, all: bool) -> Vec<Difference> {
    let run = |binary: &Path| {
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
            side::run(binary, sides.version, sides.applications.as_ref(), case)
        }));
        outcome.unwrap_or_else(|panic| failed(&*panic))
    };
    let (nginx, weir) = std::thread::scope(|scope| {
        let nginx = scope.spawn(|| run(&sides.nginx));
        let weir = run(&sides.weir);
        (nginx.join().expect("panics are caught"), weir)
    });
    let mut differences = Vec::new();
    let none = Aspects::new();
    for (at, exchange) in case.exchanges.iter().enumerate() {
        let nginx = nginx.exchanges.get(at).unwrap_or(&none);
        let weir = weir.exchanges.get(at).unwrap_or(&none);
        let name = format!("{}: {}: {}", case.theme, case.title, exchange.name);
        if all {
            println!("{name}");
            nginx.iter().for_each(|(aspect, text)| println!("-- nginx: {aspect}:\n{text}"));
            weir.iter().for_each(|(aspect, text)| println!("-- weir: {aspect}:\n{text}"));
        }
        let first = differences.len();
        compare(&name, Some(at), nginx, weir, &mut differences);
        let sent = sent(exchange);
        differences[first..].iter_mut().for_each(|difference| difference.whole += &sent);
    }
    let name = format!("{}: {}: -", case.theme, case.title);
    compare(&name, None, &nginx.rest, &weir.rest, &mut differences);
    differences
}

/// The lines of an exchange's requests.
fn sent(exchange: &Exchange) -> String {
    let mut lines = String::new();
    for turn in &exchange.turns {
        for line in String::from_utf8_lossy(&turn.bytes).lines() {
            lines += &format!("\nsent: {line}");
        }
    }
    lines
}

fn failed(panic: &(dyn std::any::Any + Send)) -> Observations {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    let rest = [("run", text.unwrap_or_default())].into();
    Observations { exchanges: Vec::new(), rest }
}

/// Adds a difference for each aspect that is not equal.
pub(crate) fn compare(
    name: &str,
    exchange: Option<usize>,
    nginx: &Aspects,
    weir: &Aspects,
    into: &mut Vec<Difference>,
) {
    let mut aspects: Vec<&str> = nginx.keys().chain(weir.keys()).copied().collect();
    aspects.sort_unstable();
    aspects.dedup();
    let whole = || {
        let all: Vec<String> = nginx.values().chain(weir.values()).cloned().collect();
        all.join("\n")
    };
    for aspect in aspects {
        let text = |seen: &Aspects| seen.get(aspect).cloned().unwrap_or_default();
        let (on_nginx, weir) = (text(nginx), text(weir));
        if on_nginx != weir {
            let (name, aspect) = (name.to_owned(), aspect.to_owned());
            let (nginx, whole) = (on_nginx, whole());
            into.push(Difference { name, exchange, aspect, nginx, weir, whole });
        }
    }
}
