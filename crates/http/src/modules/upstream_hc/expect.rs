//! `match`: the tests of a response to a probe.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use weir_conf::value::parse_number;
use weir_conf::{Cx, Fault, Node, Span, Word};
use weir_script::regex::Regex;
use weir_script::{VarId, Variables};
use weir_wire::header::Headers;

use super::HealthChecksWritten;
use crate::request::Request;

/// The part of a body that is tested, in bytes.
pub(super) const MOST_BODY: usize = 256 * 1024;

/// A test of a response.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    Status(StatusTest),
    Header(HeaderTest),
    Body(BodyTest),
    /// These variables are neither empty nor "0".
    Require(Vec<VarId>),
}

/// Whether the status code is one of these, or none of them.
#[derive(Clone, Debug)]
pub(crate) struct StatusTest {
    not: bool,
    codes: Vec<RangeInclusive<u16>>,
}

#[derive(Clone, Debug)]
pub(crate) struct HeaderTest {
    name: Vec<u8>,
    wanted: Wanted,
}

/// What a header field has to be.
#[derive(Clone, Debug)]
enum Wanted {
    There,
    Missing,
    /// There with this value, or with another one.
    Value {
        not: bool,
        value: Vec<u8>,
    },
    /// There with a value that matches, or with one that does not.
    Matching {
        not: bool,
        regex: Regex,
    },
}

/// Whether the body matches, or does not.
#[derive(Clone, Debug)]
pub(crate) struct BodyTest {
    not: bool,
    regex: Regex,
}

/// The tests of a `match` block, which may come after its use.
#[derive(Debug, Default)]
pub(super) struct Expectation(OnceLock<Vec<Test>>);

/// The `match` blocks of a configuration, by name. A registry of the assembly.
#[derive(Debug, Default)]
pub(super) struct Expectations(HashMap<String, Named>);

#[derive(Debug, Default)]
struct Named {
    tests: Arc<Expectation>,
    /// The place of the block.
    declared: Option<Span>,
    /// The place of the first use.
    used: Option<Span>,
}

impl Expectations {
    /// The tests of this name, used at `place`.
    pub(super) fn refer(&mut self, name: &str, place: Span) -> Arc<Expectation> {
        let named = self.0.entry(name.to_owned()).or_default();
        named.used.get_or_insert(place);
        Arc::clone(&named.tests)
    }

    /// Begins a block.
    ///
    /// # Errors
    /// A duplicate name.
    pub(super) fn declare(&mut self, name: &str, place: Span) -> Result<(), Fault> {
        match self.0.entry(name.to_owned()).or_default().declared.replace(place) {
            None => Ok(()),
            Some(first) => Err(Fault::new(format!("duplicate match \"{name}\"")).first(first)),
        }
    }

    /// Ends a block.
    pub(super) fn define(&mut self, name: &str, tests: Vec<Test>) {
        if let Some(named) = self.0.get(name) {
            // The first one counts; a second has been refused.
            let _ = named.tests.0.set(tests);
        }
    }

    /// The fault of the first use of a name without a block.
    pub(super) fn undefined(&self) -> Option<Fault> {
        let missing = self.0.iter().filter(|(_, named)| named.declared.is_none());
        let missing = missing.filter_map(|(name, named)| Some((named.used?, name)));
        let (place, name) = missing.min_by_key(|(place, _)| *place)?;
        let declared = self.0.iter().filter(|(_, named)| named.declared.is_some());
        let known = declared.map(|(name, _)| name.as_str());
        let fault = Fault::new(format!("match \"{name}\" is not defined")).in_place(place);
        Some(match weir_conf::nearest(name, known) {
            Some(meant) => fault.hint(format!("did you mean the match \"{meant}\"?")),
            None => fault,
        })
    }
}

fn add(own: &mut HealthChecksWritten, test: Test) {
    own.tests.get_or_insert_default().push(test);
}

pub(super) fn set_status(
    own: &mut HealthChecksWritten,
    node: &Node,
    _: &mut Cx<'_>,
) -> Result<(), Fault> {
    let (not, words) = match node.args.split_first() {
        Some((word, rest)) if word.is("!") => (true, rest),
        _ => (false, &node.args[..]),
    };
    if words.is_empty() {
        return Err(Fault::bad_count(&node.name));
    }
    let code = |word: &Word| codes(&word.value).ok_or_else(|| status_fault(word));
    let codes = words.iter().map(code).collect::<Result<_, _>>()?;
    add(own, Test::Status(StatusTest { not, codes }));
    Ok(())
}

fn status_fault(word: &Word) -> Fault {
    Fault::new(format!("invalid status \"{}\"", word.shown())).at(word)
}

/// A code or a range of codes.
fn codes(text: &[u8]) -> Option<RangeInclusive<u16>> {
    let code = |text: &[u8]| {
        let code = parse_number(text).and_then(|code| u16::try_from(code).ok());
        code.filter(|code| (100..=999).contains(code))
    };
    let mut ends = text.splitn(2, |&byte| byte == b'-');
    let first = code(ends.next()?)?;
    let last = ends.next().map_or(Some(first), code)?;
    (first <= last).then_some(first..=last)
}

pub(super) fn set_header(
    own: &mut HealthChecksWritten,
    node: &Node,
    _: &mut Cx<'_>,
) -> Result<(), Fault> {
    let (name, wanted) = match &node.args[..] {
        [name] => (name, Wanted::There),
        [not, name] if not.is("!") => (name, Wanted::Missing),
        [name, sign, value] => (name, wanted(sign, value)?),
        words => return Err(Fault::parameter(&words[0])),
    };
    add(own, Test::Header(HeaderTest { name: name.value.clone(), wanted }));
    Ok(())
}

fn wanted(sign: &Word, value: &Word) -> Result<Wanted, Fault> {
    let equals = |not| Ok(Wanted::Value { not, value: value.value.clone() });
    let matches = |not| Ok(Wanted::Matching { not, regex: regex(value)? });
    match sign.value.as_slice() {
        b"=" => equals(false),
        b"!=" => equals(true),
        b"~" => matches(false),
        b"!~" => matches(true),
        _ => Err(Fault::parameter(sign)),
    }
}

fn regex(word: &Word) -> Result<Regex, Fault> {
    Regex::shared(&word.value, false).map_err(|fault| fault.at(word))
}

pub(super) fn set_body(
    own: &mut HealthChecksWritten,
    node: &Node,
    _: &mut Cx<'_>,
) -> Result<(), Fault> {
    let not = match node.args[0].value.as_slice() {
        b"~" => false,
        b"!~" => true,
        _ => return Err(Fault::parameter(&node.args[0])),
    };
    let regex = regex(&node.args[1])?;
    add(own, Test::Body(BodyTest { not, regex }));
    Ok(())
}

pub(super) fn set_require(
    own: &mut HealthChecksWritten,
    node: &Node,
    cx: &mut Cx<'_>,
) -> Result<(), Fault> {
    let vars = cx.registry::<Variables>();
    let variable = |word: &Word| vars.reference_word(&word.value).map_err(|fault| fault.at(word));
    let variables = node.args.iter().map(variable).collect::<Result<_, _>>()?;
    add(own, Test::Require(variables));
    Ok(())
}

/// The codes of a check without `match=`.
const GOOD: RangeInclusive<u16> = 200..=399;

/// The result of all tests: the last step, and the reason if it has failed.
pub(super) type Tested = (&'static str, Option<String>);

/// Tests a response against the tests of a check.
pub(super) fn test(
    tests: Option<&Expectation>,
    request: &mut Request,
    status: u16,
    body: &[u8],
) -> Tested {
    let Some(tests) = tests else {
        let passed = GOOD.contains(&status);
        return (STATUS, (!passed).then(|| unexpected(status)));
    };
    let mut last = STATUS;
    for test in tests.0.get().into_iter().flatten() {
        let (doing, fault) = test.apply(request, status, body);
        if fault.is_some() {
            return (doing, fault);
        }
        last = doing;
    }
    (last, None)
}

const STATUS: &str = "checking status code";

fn unexpected(status: u16) -> String {
    format!("upstream sent unexpected status code {status}")
}

impl Expectation {
    /// The number of bytes of the body that the tests need.
    pub(super) fn needs(&self) -> usize {
        let mut tests = self.0.get().into_iter().flatten();
        if tests.any(|test| matches!(test, Test::Body(_))) { MOST_BODY } else { 0 }
    }
}

impl Test {
    fn apply(&self, request: &mut Request, status: u16, body: &[u8]) -> Tested {
        match self {
            Self::Status(test) => {
                let found = test.codes.iter().any(|codes| codes.contains(&status));
                (STATUS, (found == test.not).then(|| unexpected(status)))
            }
            Self::Header(test) => ("checking header", test.fault(&request.attempts.headers)),
            Self::Body(test) => {
                let fault = (test.regex.is_match(body) == test.not).then(|| {
                    let not = if test.not { "matches" } else { "does not match" };
                    format!("upstream sent a body that {not} \"{}\"", pattern(&test.regex))
                });
                ("checking body", fault)
            }
            Self::Require(variables) => {
                let mut failing = variables.iter().filter(|id| {
                    let mut value = Vec::new();
                    request.variable(**id, &mut value);
                    value.is_empty() || value == b"0"
                });
                let id = failing.next().copied();
                let fault = id.map(|id| {
                    format!(
                        "required variable ${} is empty or 0",
                        request.snapshot.variable_name(id)
                    )
                });
                ("checking required variables", fault)
            }
        }
    }
}

impl HeaderTest {
    /// What is wrong with the fields. Of several fields of the name, one has to fit.
    fn fault(&self, headers: &Headers) -> Option<String> {
        let same = headers.iter().filter(|(name, _, _)| name.eq_ignore_ascii_case(&self.name));
        let mut values = same.map(|(_, value, _)| value);
        let passed = match &self.wanted {
            Wanted::There => values.next().is_some(),
            Wanted::Missing => values.next().is_none(),
            Wanted::Value { not, value } => values.any(|own| (own == value) != *not),
            Wanted::Matching { not, regex } => values.any(|own| regex.is_match(own) != *not),
        };
        let problem = match self.wanted {
            Wanted::Missing => "unexpected header",
            Wanted::There => "no header",
            Wanted::Value { .. } | Wanted::Matching { .. } => "no header with an expected value",
        };
        (!passed).then(|| format!("upstream sent {problem} \"{}\"", weir_wire::shown(&self.name)))
    }
}

fn pattern(regex: &Regex) -> std::borrow::Cow<'_, str> {
    weir_wire::shown(regex.pattern())
}
