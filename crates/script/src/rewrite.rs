//! `rewrite`: a pattern, a replacement, and the treatment of arguments.

use std::ops::Range;

use weir_conf::Fault;

use crate::escape::{escape_args, unescape_redirect};
use crate::template::{Piece, Scanner, narrow, slice};
use crate::{CaptureRegex, Host, Scope, VarId, Variables};

/// The continuation after a rewrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The next directive of the module; the location is searched afterwards.
    Next,
    /// A search for the location at once (`last`).
    Last,
    /// The rest of this location (`break`).
    Break,
    /// A redirect with this status to the new address.
    Redirect(u16),
}

/// A compiled `rewrite`.
#[derive(Clone, Debug)]
pub struct Rewrite {
    regex: CaptureRegex,
    after: After,
    source: Box<[u8]>,
    parts: Box<[Part]>,
    /// The replacement has a question mark before its last character.
    has_args: bool,
    /// The request's arguments are appended.
    keeps_args: bool,
}

#[derive(Clone, Debug)]
enum Part {
    Literal(Range<u32>),
    Variable(VarId),
    Capture(u8),
    /// The question mark before the arguments.
    Args,
}

/// The result of a rewrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewritten {
    /// A new URI: the appended output up to `uri`. The rest is its arguments; without a rest the
    /// request keeps or loses its own.
    Uri {
        /// The length of the URI in appended bytes. At 0 nginx answers 500: `the rewritten URI has
        /// a zero length`.
        uri: usize,
        /// The treatment of the arguments.
        args: Args,
    },
    /// A redirect with this status; the output is the value of `Location`.
    Redirect(u16),
}

/// The treatment of a request's arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Args {
    /// Kept.
    Keep,
    /// Dropped.
    Drop,
    /// Replaced by the output after the URI.
    Replace,
}

impl Rewrite {
    /// Compiles the arguments of a `rewrite` directive.
    ///
    /// # Errors
    /// nginx's wording.
    pub fn compile(
        pattern: &[u8],
        replacement: &[u8],
        flag: Option<&[u8]>,
        vars: &mut Variables,
    ) -> Result<Self, Fault> {
        if replacement.is_empty() {
            return Err("empty replacement".into());
        }
        let regex = CaptureRegex::compile(pattern, false, vars)?;
        let (text, keeps_args) = match replacement.strip_suffix(b"?") {
            Some(text) => (text, false),
            None => (replacement, true),
        };
        let after = after(text, flag)?;
        let redirects = matches!(after, After::Redirect(_));
        let (parts, has_args) = parts(text, redirects, vars)?;
        Ok(Self { regex, after, source: text.into(), parts, has_args, keeps_args })
    }

    /// The pattern.
    pub fn regex(&self) -> &CaptureRegex {
        &self.regex
    }

    /// The continuation after a match.
    pub fn after(&self) -> After {
        self.after
    }

    /// Whether a match ends the module's work.
    pub fn is_last(&self) -> bool {
        self.after != After::Next
    }

    /// Matches a URI. A match sets the scope's captures, a failure clears them.
    pub fn matches<S: Scope + ?Sized>(&self, uri: &[u8], scope: &mut S) -> bool {
        let matched = self.regex.matches(uri, scope);
        if !matched {
            scope.captures().clear();
        }
        matched
    }

    /// Appends the replacement to `out`, after [`Rewrite::matches`].
    ///
    /// `args` are the request's. `quoted` means that its URI had escapes or a plus: nginx then
    /// escapes captures that become part of arguments or of a redirect.
    pub fn replace<H: Host + ?Sized>(
        &self,
        host: &mut H,
        args: &[u8],
        quoted: bool,
        out: &mut Vec<u8>,
    ) -> Rewritten {
        let start = out.len();
        let redirects = matches!(self.after, After::Redirect(_));
        let mut mark = None;
        for part in &self.parts {
            match part {
                Part::Literal(range) => out.extend_from_slice(slice(&self.source, range)),
                Part::Variable(id) => {
                    host.variable(*id, out);
                }
                Part::Capture(n) => {
                    let from = out.len();
                    host.capture(usize::from(*n), out);
                    if quoted && (redirects || mark.is_some()) {
                        escape_args(out, from);
                    }
                }
                Part::Args => mark = Some(out.len()),
            }
        }
        match self.after {
            After::Redirect(status) => {
                self.finish_redirect(args, out, start);
                Rewritten::Redirect(status)
            }
            _ => self.finish_uri(args, out, start, mark),
        }
    }

    fn finish_redirect(&self, args: &[u8], out: &mut Vec<u8>, start: usize) {
        unescape_redirect(out, start);
        if self.keeps_args && !args.is_empty() {
            out.push(if self.has_args { b'&' } else { b'?' });
            out.extend_from_slice(args);
        }
    }

    fn finish_uri(
        &self,
        args: &[u8],
        out: &mut Vec<u8>,
        start: usize,
        mark: Option<usize>,
    ) -> Rewritten {
        let Some(mark) = mark else {
            let args = if self.keeps_args { Args::Keep } else { Args::Drop };
            return Rewritten::Uri { uri: out.len() - start, args };
        };
        if self.keeps_args && !args.is_empty() {
            out.push(b'&');
            out.extend_from_slice(args);
        }
        Rewritten::Uri { uri: mark - start, args: Args::Replace }
    }
}

fn after(replacement: &[u8], flag: Option<&[u8]>) -> Result<After, Fault> {
    let address = is_address(replacement);
    match flag {
        None if address => Ok(After::Redirect(302)),
        None => Ok(After::Next),
        // A replacement that is an address redirects regardless of these flags.
        Some(b"last" | b"break") if address => Ok(After::Redirect(302)),
        Some(b"last") => Ok(After::Last),
        Some(b"break") => Ok(After::Break),
        Some(b"redirect") => Ok(After::Redirect(302)),
        Some(b"permanent") => Ok(After::Redirect(301)),
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            Err(Fault::new(format!("invalid parameter \"{other}\"")))
        }
    }
}

/// Whether a replacement (or the text of `return`) is an address, which makes it a redirect.
pub fn is_address(text: &[u8]) -> bool {
    [&b"http://"[..], b"https://", b"$scheme"].iter().any(|start| text.starts_with(start))
}

type Parts = (Box<[Part]>, bool);

fn parts(text: &[u8], redirects: bool, vars: &mut Variables) -> Result<Parts, Fault> {
    let mut parts = Vec::new();
    let mut has_args = false;
    let mut scanner = Scanner::new(text);
    while let Some(piece) = scanner.next_piece()? {
        match piece {
            Piece::Name(name) => parts.push(Part::Variable(vars.reference_bytes(name))),
            Piece::Capture(n) => parts.push(Part::Capture(n)),
            Piece::Literal(range) => {
                let mark = memchr::memchr(b'?', &text[range.clone()]).map(|at| range.start + at);
                // Only the first question mark divides, and redirects are not divided.
                match mark.filter(|_| !redirects && !has_args) {
                    Some(mark) => {
                        push_literal(&mut parts, range.start..mark);
                        parts.push(Part::Args);
                        push_literal(&mut parts, mark + 1..range.end);
                    }
                    None => push_literal(&mut parts, range),
                }
                has_args |= mark.is_some();
            }
        }
    }
    Ok((parts.into(), has_args))
}

fn push_literal(parts: &mut Vec<Part>, range: Range<usize>) {
    if !range.is_empty() {
        parts.push(Part::Literal(narrow(range)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::Fake;

    /// The result as `URI | ARGS` or `STATUS LOCATION`; the request's arguments are `x=1`.
    fn run(rule: &str, uri: &str, quoted: bool) -> Result<String, Fault> {
        let mut vars = Variables::default();
        let words: Vec<_> = rule.split(' ').map(str::as_bytes).collect();
        let rewrite = Rewrite::compile(words[0], words[1], words.get(2).copied(), &mut vars)?;
        let mut host = Fake::default();
        host.values.insert(vars.reference("scheme"), b"http".to_vec());
        if !rewrite.matches(uri.as_bytes(), &mut host) {
            return Ok("no".into());
        }
        let mut out = b"..".to_vec();
        let done = rewrite.replace(&mut host, b"x=1", quoted, &mut out);
        let text = String::from_utf8_lossy(&out[2..]).into_owned();
        Ok(match done {
            Rewritten::Redirect(status) => format!("{status} {text}"),
            Rewritten::Uri { uri, args: Args::Replace } => {
                format!("{} | {}", &text[..uri], &text[uri..])
            }
            Rewritten::Uri { args: Args::Keep, .. } => format!("{text} | x=1"),
            Rewritten::Uri { args: Args::Drop, .. } => format!("{text} |"),
        })
    }

    #[test]
    fn arguments() {
        for (rule, want) in [
            ("^/a/(.*) /b/$1", "/b/c d | x=1"),
            ("^/a/(.*) /b/$1?", "/b/c d |"),
            ("^/a/(.*) /b?p=$1", "/b | p=c d&x=1"),
            ("^/a/(.*) /b?p=$1?", "/b | p=c d"),
            ("^/a/(.*) /b??p?q", "/b | ?p?q&x=1"),
            ("^/a/(.*) /b??", "/b | "),
            ("^/z /b", "no"),
        ] {
            assert_eq!(run(rule, "/a/c d", false).unwrap(), want, "{rule}");
        }
        assert_eq!(run("^/a/(.*) /$1?p=$1?", "/a/c d&", true).unwrap(), "/c d& | p=c%20d%26");
    }

    #[test]
    fn redirects() {
        for (rule, want) in [
            ("^/a/(.*) http://h/$1", "302 http://h/c d?x=1"),
            ("^/a/(.*) $scheme://h/$1? permanent", "301 http://h/c d"),
            ("^/a/(.*) /b?y=2 redirect", "302 /b?y=2&x=1"),
            ("^/a/(.*) https://h last", "302 https://h?x=1"),
        ] {
            assert_eq!(run(rule, "/a/c d", false).unwrap(), want, "{rule}");
        }
        let quoted = run("^/a/(.*) http://h/$1", "/a/c d,%", true).unwrap();
        assert_eq!(quoted, "302 http://h/c%20d,%25?x=1");
    }

    #[test]
    fn faults() {
        assert_eq!(run("a  ", "/", false), Err("empty replacement".into()));
        assert_eq!(run("a b c", "/", false), Err("invalid parameter \"c\"".into()));
        assert_eq!(run("a $", "/", false), Err("invalid variable name".into()));
        assert!(
            run("( b", "/", false).unwrap_err().to_string().starts_with("pcre2_compile() failed: ")
        );
    }
}
