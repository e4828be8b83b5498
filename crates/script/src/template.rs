//! Templates: text with variables, which nginx calls complex values.
//!
//! `$name`, `${name}` and `$1` to `$9` are replaced; a dollar cannot be escaped. The rules and the
//! wording are those of all nginx directives that take variables.

use std::ops::Range;
use std::sync::Arc;

use weir_conf::{Arity, Cx, Fault, Node, Value};

use crate::{Host, VarId, Variables, variables};

/// A compiled text: literals, variables and captures.
///
/// A clone shares the text: child blocks inherit by cloning.
#[derive(Clone, Debug, Default)]
pub struct Template {
    source: Arc<[u8]>,
    /// Empty if the source is one literal; ranges point into `source`.
    parts: Arc<[Part]>,
}

/// One piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(Range<u32>),
    Variable(VarId),
    Capture(u8),
}

impl Template {
    /// Compiles a configuration word.
    ///
    /// # Errors
    /// nginx's wording for a bad variable name.
    pub fn compile(text: &[u8], vars: &mut Variables) -> Result<Self, Fault> {
        if memchr::memchr(b'$', text).is_none() {
            return Ok(Self::from_literal(text));
        }
        let mut parts = Vec::new();
        let mut scanner = Scanner::new(text);
        while let Some(piece) = scanner.next_piece()? {
            parts.push(match piece {
                Piece::Literal(range) => Part::Literal(narrow(range)),
                Piece::Name(name) => Part::Variable(vars.reference_bytes(name)),
                Piece::Capture(n) => Part::Capture(n),
            });
        }
        Ok(Self { source: text.into(), parts: parts.into() })
    }

    /// A template without variables: dollars are literal.
    pub fn from_literal(text: &[u8]) -> Self {
        Self { source: text.into(), parts: Arc::default() }
    }

    /// The value, if it is constant.
    pub fn literal(&self) -> Option<&[u8]> {
        self.parts.is_empty().then_some(&*self.source)
    }

    /// The variable, if the template consists of exactly one.
    pub fn variable(&self) -> Option<VarId> {
        match *self.parts {
            [Part::Variable(id)] => Some(id),
            _ => None,
        }
    }

    /// The source text.
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.source.is_empty()
    }

    /// The variables of the template, in order.
    pub fn variables(&self) -> impl Iterator<Item = VarId> + '_ {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(id) => Some(*id),
            _ => None,
        })
    }

    /// Appends the value to `out`; missing variables and captures are empty.
    pub fn eval<H: Host + ?Sized>(&self, host: &mut H, out: &mut Vec<u8>) {
        if self.parts.is_empty() {
            out.extend_from_slice(&self.source);
            return;
        }
        for part in &*self.parts {
            match part {
                Part::Literal(range) => out.extend_from_slice(slice(&self.source, range)),
                Part::Variable(id) => {
                    host.variable(*id, out);
                }
                Part::Capture(n) => {
                    host.capture(usize::from(*n), out);
                }
            }
        }
    }
}

impl Template {
    /// Same as [`eval`](Self::eval), and appends to `foreign` the ranges of `out` that came from
    /// variables and captures, in order; an empty or missing value has an empty range.
    pub fn eval_marked<H: Host + ?Sized>(
        &self,
        host: &mut H,
        out: &mut Vec<u8>,
        foreign: &mut Vec<Range<usize>>,
    ) {
        if self.parts.is_empty() {
            out.extend_from_slice(&self.source);
            return;
        }
        for part in &*self.parts {
            let start = out.len();
            match part {
                Part::Literal(range) => {
                    out.extend_from_slice(slice(&self.source, range));
                    continue;
                }
                Part::Variable(id) => host.variable(*id, out),
                Part::Capture(n) => host.capture(usize::from(*n), out),
            };
            foreign.push(start..out.len());
        }
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source && self.parts.is_empty() == other.parts.is_empty()
    }
}

impl Eq for Template {}

impl Value for Template {
    const SYNTAX: &'static str = "string";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        Self::compile(&word.value, variables(cx)).map_err(|fault| fault.at(word))
    }

    fn show(&self) -> Option<String> {
        Some(match &*String::from_utf8_lossy(&self.source) {
            "" => "\"\"".to_owned(),
            text => text.to_owned(),
        })
    }
}

pub(crate) fn narrow(range: Range<usize>) -> Range<u32> {
    let cap = |n| u32::try_from(n).unwrap_or(u32::MAX);
    cap(range.start)..cap(range.end)
}

pub(crate) fn slice<'t>(text: &'t [u8], range: &Range<u32>) -> &'t [u8] {
    text.get(range.start as usize..range.end as usize).unwrap_or_default()
}

/// A piece of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    Literal(Range<usize>),
    Name(&'t [u8]),
    Capture(u8),
}

/// An iterator over the pieces of a text: one grammar for templates, replacements and log formats.
pub(crate) struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
    captures: bool,
}

impl<'t> Scanner<'t> {
    pub(crate) fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0, captures: true }
    }

    /// Without captures, as in log formats: `$1` is a variable there.
    pub(crate) fn without_captures(text: &'t [u8]) -> Self {
        Self { text, at: 0, captures: false }
    }

    /// The offset of the next piece.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// nginx's wording for a bad variable name.
    pub(crate) fn next_piece(&mut self) -> Result<Option<Piece<'t>>, Fault> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        match rest.first() {
            None => Ok(None),
            Some(b'$') => self.dollar(&rest[1..]).map(Some),
            Some(_) => {
                let length = memchr::memchr(b'$', rest).unwrap_or(rest.len());
                let start = self.at;
                self.at += length;
                Ok(Some(Piece::Literal(start..self.at)))
            }
        }
    }

    /// Parses a variable or a capture; `rest` is the text after the dollar.
    fn dollar(&mut self, rest: &'t [u8]) -> Result<Piece<'t>, Fault> {
        if let (true, Some(digit @ b'1'..=b'9')) = (self.captures, rest.first()) {
            self.at += 2;
            return Ok(Piece::Capture(digit - b'0'));
        }
        let braced = rest.first() == Some(&b'{');
        let body = if braced { &rest[1..] } else { rest };
        if body.is_empty() {
            return Err(INVALID_NAME.into());
        }
        let length = body.iter().position(|&byte| !is_name(byte)).unwrap_or(body.len());
        let name = &body[..length];
        if braced && body.get(length) != Some(&b'}') {
            let name = String::from_utf8_lossy(name);
            let missing = format!("the closing bracket in \"{name}\" variable is missing");
            return Err(Fault::new(missing));
        }
        if name.is_empty() {
            return Err(INVALID_NAME.into());
        }
        self.at += 1 + length + if braced { 2 } else { 0 };
        Ok(Piece::Name(name))
    }
}

/// nginx's wording for a dollar without a name.
pub(crate) const INVALID_NAME: &str = "invalid variable name";

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::Fake;

    fn eval(text: &str) -> Result<String, Fault> {
        let mut vars = Variables::default();
        let template = Template::compile(text.as_bytes(), &mut vars)?;
        let mut host = Fake::default();
        host.values.insert(vars.reference("a"), b"[A]".to_vec());
        host.values.insert(vars.reference("b_1"), b"[B]".to_vec());
        let regex = crate::Regex::compile("(x)(y)?", false)?;
        assert!(regex.captures_into(b"x", &mut host.captures));
        let mut out = b">".to_vec();
        template.eval(&mut host, &mut out);
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn pieces_are_replaced() {
        assert_eq!(eval("plain").unwrap(), ">plain");
        assert_eq!(eval("$a").unwrap(), ">[A]");
        assert_eq!(eval("x${a}y$B_1-$none.$1$2$3z").unwrap(), ">x[A]y[B]-.xz");
        assert_eq!(eval("$1a").unwrap(), ">xa");
        assert_eq!(eval("").unwrap(), ">");
    }

    #[test]
    fn faults_are_worded_as_in_nginx() {
        for text in ["$", "a$", "${", "${}", "$-", "$ a"] {
            assert_eq!(eval(text), Err("invalid variable name".into()), "{text}");
        }
        let missing = |name: &str| {
            Err(format!("the closing bracket in \"{name}\" variable is missing").into())
        };
        assert_eq!(eval("${a"), missing("a"));
        assert_eq!(eval("${a-b}"), missing("a"));
        assert_eq!(eval("${-}"), missing(""));
    }

    #[test]
    fn a_literal_is_usable_as_it_is() {
        let mut vars = Variables::default();
        assert_eq!(Template::compile(b"abc", &mut vars).unwrap().literal(), Some(&b"abc"[..]));
        let variable = Template::compile(b"${abc}", &mut vars).unwrap();
        assert_eq!(variable.literal(), None);
        assert_eq!(variable.variable(), vars.find("abc"));
    }
}
