//! An incremental parser of SSI commands: `<!--# name param="value" … -->`.
//!
//! ```text
//!  text ─▶ tag ─▶ before name ─▶ name ─▶ before param ─▶ param ─▶ … ─▶ value ─▶ behind value
//!   ▲                                         ▲                                    │
//!   └────────────── `-->` ◀───────────────────┴────────────────────────────────────┘
//! ```

use std::ops::Range;

/// The start of a command.
const TAG: &[u8; 5] = b"<!--#";

/// The longest name of a command, in bytes.
const NAME_LIMIT: usize = 32;

/// The longest name of a parameter, in bytes.
const PARAM_LIMIT: usize = 32;

/// The maximum number of parameters. One more is kept to detect an excess.
pub(super) const PARAMS: usize = 16;

/// A parsed command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) name: Vec<u8>,
    /// Names and values, in order.
    pub(super) params: Vec<(Vec<u8>, Vec<u8>)>,
}

/// An item of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// These bytes of the input are text.
    Text(Range<usize>),
    /// These bytes of earlier inputs are text.
    Held(&'static [u8]),
    /// A command.
    Command(Command),
    /// The end of an invalid command.
    Faulty,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// This many bytes of [`TAG`] have been seen.
    Tag(usize),
    BeforeName,
    Name,
    BeforeParam,
    Param,
    BeforeEqual,
    BeforeValue,
    /// In a value with these quotes.
    Value(u8),
    /// After a backslash in a value with these quotes.
    Escaped(u8),
    BehindValue,
    /// This many bytes of `-->` have been seen.
    End(usize),
    /// In an invalid command; this many bytes of `-->` have been seen.
    Fault(usize),
}

/// The parser of one text.
#[derive(Debug, Default)]
pub(super) struct Parser {
    state: State,
    command: Command,
    value_limit: usize,
    /// The faults of commands, for the log.
    pub(super) faults: Vec<String>,
}

fn lossy(text: &[u8]) -> std::borrow::Cow<'_, str> {
    weir_wire::shown(text)
}

impl Parser {
    /// A parser for values up to `value_limit` bytes (`ssi_value_length`).
    pub(super) fn new(value_limit: usize) -> Self {
        Self { value_limit, ..Self::default() }
    }

    /// The next event in `input` from `at`, which is advanced past it.
    pub(super) fn next(&mut self, input: &[u8], at: &mut usize) -> Option<Event> {
        while *at < input.len() {
            let event = match self.state {
                State::Text => Some(self.text(input, at)),
                State::Tag(seen) => self.tag(seen, input, at),
                _ => {
                    let byte = input[*at];
                    *at += 1;
                    self.step(byte)
                }
            };
            match event {
                Some(Event::Text(range)) if range.is_empty() => {}
                Some(event) => return Some(event),
                None => {}
            }
        }
        None
    }

    /// The text held back for a tag that did not come.
    pub(super) fn rest(&mut self) -> &'static [u8] {
        match std::mem::take(&mut self.state) {
            State::Tag(seen) => &TAG[..seen],
            _ => b"",
        }
    }

    /// Text up to the next tag, or to a possible beginning of one.
    fn text(&mut self, input: &[u8], at: &mut usize) -> Event {
        let start = *at;
        for less in memchr::memchr_iter(b'<', &input[start..]).map(|less| start + less) {
            let seen = TAG.len().min(input.len() - less);
            if input[less..less + seen] == TAG[..seen] {
                *at = less + seen;
                self.begin(seen);
                return Event::Text(start..less);
            }
        }
        *at = input.len();
        Event::Text(start..input.len())
    }

    /// Continues a tag after its first `seen` bytes.
    fn tag(&mut self, seen: usize, input: &[u8], at: &mut usize) -> Option<Event> {
        if input[*at] != TAG[seen] {
            self.state = State::Text;
            return Some(Event::Held(&TAG[..seen]));
        }
        *at += 1;
        self.begin(seen + 1);
        None
    }

    fn begin(&mut self, seen: usize) {
        self.state = match seen == TAG.len() {
            true => State::BeforeName,
            false => State::Tag(seen),
        };
    }

    /// Processes one byte of a command.
    fn step(&mut self, byte: u8) -> Option<Event> {
        let blank = matches!(byte, b' ' | b'\r' | b'\n' | b'\t');
        match (self.state, byte) {
            (State::BeforeName, _) if blank => {}
            (State::BeforeName, _) => {
                self.command = Command { name: vec![byte], params: Vec::new() };
                self.state = State::Name;
            }
            (State::Name | State::BehindValue, _) if blank => self.state = State::BeforeParam,
            (State::Name | State::BeforeParam | State::BehindValue, b'-') => {
                self.state = State::End(1);
            }
            (State::Name, _) => self.name(byte),
            (State::BeforeParam, _) if blank => {}
            (State::BeforeParam, _) => {
                if self.command.params.len() <= PARAMS {
                    self.command.params.push((vec![byte], Vec::new()));
                }
                self.state = State::Param;
            }
            (State::Param, _) if blank => self.state = State::BeforeEqual,
            (State::Param | State::BeforeEqual, b'=') => self.state = State::BeforeValue,
            (State::Param, b'-') => self.unexpected(byte, "after", false),
            (State::Param, _) => self.param(byte),
            (State::BeforeEqual, _) if blank => {}
            (State::BeforeEqual, _) => self.unexpected(byte, "after", false),
            (State::BeforeValue, b'"' | b'\'') => self.state = State::Value(byte),
            (State::BeforeValue, _) if blank => {}
            (State::BeforeValue, _) => self.unexpected(byte, "before value of", false),
            (State::Value(quote), _) if byte == quote => self.state = State::BehindValue,
            (State::Value(quote), b'\\') => {
                self.state = State::Escaped(quote);
                self.value(byte);
            }
            (State::Value(_), _) => self.value(byte),
            (State::Escaped(quote), _) => {
                self.state = State::Value(quote);
                self.value(byte);
            }
            (State::BehindValue, _) => self.unexpected(byte, "after", true),
            (State::End(1), b'-') => self.state = State::End(2),
            (State::End(2), b'>') => {
                self.state = State::Text;
                return Some(Event::Command(std::mem::take(&mut self.command)));
            }
            (State::End(_), _) => {
                let (byte, name) = (char::from(byte), lossy(&self.command.name));
                self.fault(format!("unexpected \"{byte}\" symbol in \"{name}\" SSI command"));
            }
            (State::Fault(2), b'>') => {
                self.state = State::Text;
                return Some(Event::Faulty);
            }
            (State::Fault(seen @ 0..2), b'-') => self.state = State::Fault(seen + 1),
            _ => self.state = State::Fault(0),
        }
        None
    }

    fn fault(&mut self, message: String) {
        self.faults.push(message);
        self.state = State::Fault(0);
    }

    fn unexpected(&mut self, byte: u8, place: &str, behind_value: bool) {
        let (name, none) = (lossy(&self.command.name), (Vec::new(), Vec::new()));
        let (param, value) = self.command.params.last().unwrap_or(&none);
        let (byte_shown, param) = (char::from(byte), lossy(param));
        let message = match behind_value {
            true => format!(
                "unexpected \"{byte_shown}\" symbol after \"{}\" value of \"{param}\" parameter \
                 in \"{name}\" SSI command",
                lossy(value)
            ),
            false => format!(
                "unexpected \"{byte_shown}\" symbol {place} \"{param}\" parameter in \"{name}\" \
                 SSI command"
            ),
        };
        self.fault(message);
        if byte == b'-' {
            self.state = State::Fault(1);
        }
    }

    fn name(&mut self, byte: u8) {
        if self.command.name.len() == NAME_LIMIT {
            let (name, byte) = (lossy(&self.command.name), char::from(byte));
            return self.fault(format!("the \"{name}{byte}...\" SSI command is too long"));
        }
        self.command.name.push(byte);
    }

    fn param(&mut self, byte: u8) {
        let Some((param, _)) = self.command.params.last_mut() else { return };
        if param.len() == PARAM_LIMIT {
            let (name, byte) = (lossy(&self.command.name), char::from(byte));
            let message = format!(
                "too long \"{}{byte}...\" parameter in \"{name}\" SSI command",
                lossy(param)
            );
            return self.fault(message);
        }
        param.push(byte);
    }

    fn value(&mut self, byte: u8) {
        let Some((param, value)) = self.command.params.last_mut() else { return };
        if value.len() == self.value_limit {
            let (name, byte) = (lossy(&self.command.name), char::from(byte));
            let message = format!(
                "too long \"{}{byte}...\" value of \"{}\" parameter in \"{name}\" SSI command",
                lossy(value),
                lossy(param)
            );
            return self.fault(message);
        }
        value.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text with commands in brackets, read in two pieces.
    fn read(parser: &mut Parser, text: &str, cut: usize) -> String {
        let mut shown = String::new();
        for part in [&text.as_bytes()[..cut], &text.as_bytes()[cut..]] {
            let mut at = 0;
            while let Some(event) = parser.next(part, &mut at) {
                match event {
                    Event::Text(range) => shown.push_str(&lossy(&part[range])),
                    Event::Held(text) => shown.push_str(&lossy(text)),
                    Event::Faulty => shown.push_str("[fault]"),
                    Event::Command(command) => {
                        shown.push_str(&format!("[{}", lossy(&command.name)));
                        for (name, value) in &command.params {
                            shown.push_str(&format!(" {}={}", lossy(name), lossy(value)));
                        }
                        shown.push(']');
                    }
                }
            }
        }
        shown + &lossy(parser.rest())
    }

    fn at_every_cut(text: &str, expected: &str) {
        for cut in 0..=text.len() {
            assert_eq!(read(&mut Parser::new(255), text, cut), expected, "{cut}");
        }
    }

    #[test]
    fn commands_and_text() {
        at_every_cut(
            "<p>x<!--# echo var=\"a\"  default = 'b' -->y<<!--#endif --><!-- c --><!-",
            "<p>x[echo var=a default=b]y<[endif]<!-- c --><!-",
        );
        at_every_cut(r#"<!--#set var="a" value="x\"y" -->"#, r#"[set var=a value=x\"y]"#);
        at_every_cut(r#"<!--#include virtual="/a"wait="yes"-->z"#, "[fault]z");
        at_every_cut("<!--#a-b -->z<!--#c d-->y", "[fault]z[fault]y");
    }

    #[test]
    fn limits() {
        let mut parser = Parser::new(3);
        let name = "x".repeat(NAME_LIMIT + 1);
        let text = format!("<!--#{name} -->1<!--#a b=\"1234\"-->2<!--#a {name}=\"\"-->3");
        assert_eq!(read(&mut parser, &text, 0), "[fault]1[fault]2[fault]3");
        assert_eq!(parser.faults.len(), 3);
    }
}
