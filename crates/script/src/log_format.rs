//! Formats of access logs.

use std::ops::Range;

use weir_conf::Fault;

use crate::escape::Escape;
use crate::template::{INVALID_NAME, Piece, Scanner, narrow, slice};
use crate::{Host, VarId, Variables};

/// A compiled `log_format`.
#[derive(Clone, Debug, Default)]
pub struct LogFormat {
    escape: Escape,
    /// The concatenated literals.
    text: Box<[u8]>,
    ops: Box<[Op]>,
}

#[derive(Clone, Debug)]
enum Op {
    Literal(Range<u32>),
    Variable(VarId),
}

impl LogFormat {
    /// Compiles the arguments after the name of a format: an optional `escape=…`, then the parts,
    /// which are concatenated.
    ///
    /// # Errors
    /// nginx's wording.
    pub fn parse(args: &[&[u8]], vars: &mut Variables) -> Result<Self, Fault> {
        let Some((first, rest)) = args.split_first() else { return Ok(Self::default()) };
        let Some(name) = first.strip_prefix(b"escape=") else {
            return Self::compile(args, Escape::Default, vars);
        };
        let escape = match name {
            b"default" => Escape::Default,
            b"json" => Escape::Json,
            b"none" => Escape::None,
            _ => {
                let name = String::from_utf8_lossy(name);
                return Err(Fault::new(format!("unknown log format escaping \"{name}\"")));
            }
        };
        Self::compile(rest, escape, vars)
    }

    /// Compiles the parts of a format.
    ///
    /// # Errors
    /// nginx's wording for a bad variable name.
    pub fn compile(parts: &[&[u8]], escape: Escape, vars: &mut Variables) -> Result<Self, Fault> {
        let mut text = Vec::new();
        let mut ops = Vec::new();
        for part in parts {
            let mut scanner = Scanner::without_captures(part);
            loop {
                let start = scanner.position();
                let piece = scanner.next_piece().map_err(|fault| wording(fault, &part[start..]))?;
                match piece {
                    None => break,
                    Some(Piece::Literal(range)) => push_literal(&mut text, &mut ops, &part[range]),
                    Some(Piece::Name(name)) => ops.push(Op::Variable(vars.reference_bytes(name))),
                    Some(Piece::Capture(_)) => {}
                }
            }
        }
        Ok(Self { escape, text: text.into(), ops: ops.into() })
    }

    /// Appends the line, without a line feed. A missing variable is `-`, or empty if the escaping
    /// is `json` or `none`.
    pub fn eval<H: Host + ?Sized>(&self, host: &mut H, out: &mut Vec<u8>) {
        for op in &self.ops {
            match op {
                Op::Literal(range) => out.extend_from_slice(slice(&self.text, range)),
                Op::Variable(id) => {
                    let start = out.len();
                    if host.variable(*id, out) {
                        self.escape.apply(out, start);
                    } else if self.escape == Escape::Default {
                        out.truncate(start);
                        out.push(b'-');
                    }
                }
            }
        }
    }

    /// The variables of the format, in order.
    pub fn variables(&self) -> impl Iterator<Item = VarId> + '_ {
        self.ops.iter().filter_map(|op| match op {
            Op::Variable(id) => Some(*id),
            Op::Literal(_) => None,
        })
    }
}

/// Joins adjacent literals: parts of a format often begin and end with text.
fn push_literal(text: &mut Vec<u8>, ops: &mut Vec<Op>, literal: &[u8]) {
    let start = text.len();
    text.extend_from_slice(literal);
    let range = narrow(start..text.len());
    match ops.last_mut() {
        Some(Op::Literal(last)) => last.end = range.end,
        _ => ops.push(Op::Literal(range)),
    }
}

fn wording(fault: Fault, rest: &[u8]) -> Fault {
    if fault == Fault::new(INVALID_NAME) {
        let rest = String::from_utf8_lossy(rest);
        return Fault::new(format!("invalid parameter \"{rest}\""));
    }
    fault
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::Fake;

    fn line(args: &[&str]) -> Result<String, Fault> {
        let mut vars = Variables::default();
        let args: Vec<_> = args.iter().map(|arg| arg.as_bytes()).collect();
        let format = LogFormat::parse(&args, &mut vars)?;
        let mut host = Fake::default();
        host.values.insert(vars.reference("agent"), b"a\"b\x01".to_vec());
        host.values.insert(vars.reference("empty"), Vec::new());
        let mut out = Vec::new();
        format.eval(&mut host, &mut out);
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn values_are_escaped_and_literals_not() {
        assert_eq!(line(&["\"$agent\" ", "[$empty] ${none}"]).unwrap(), "\"a\\x22b\\x01\" [] -");
        assert_eq!(line(&["escape=json", "\"$agent\" $none"]).unwrap(), "\"a\\\"b\\u0001\" ");
        assert_eq!(line(&["escape=none", "$agent $none"]).unwrap(), "a\"b\x01 ");
        assert_eq!(line(&["escape=default", "a", "b"]).unwrap(), "ab");
        assert_eq!(line(&[]).unwrap(), "");
    }

    #[test]
    fn faults_are_worded_as_in_nginx() {
        assert_eq!(line(&["escape=x"]), Err("unknown log format escaping \"x\"".into()));
        assert_eq!(line(&["a $-b c"]), Err("invalid parameter \"$-b c\"".into()));
        let missing = "the closing bracket in \"a\" variable is missing";
        assert_eq!(line(&["${a"]), Err(missing.into()));
    }
}
