//! The request line, parsed byte by byte, so that it is refused at its first wrong byte.
//!
//! ```text
//! Start ─▶ Method ─┬▶ BeforeTarget ─┬──────────────▶ Target ─┬▶ AfterTarget ─▶ Http ─▶ Major ─▶ Minor
//!                  │                └▶ Scheme ─▶ Slashes ─┐  │        ▲                          │
//!                  └▶ BeforeHost (CONNECT) ──▶ HostStart ◀┘  │        │             SpacesAfter ◀┤
//!                                              Host/Literal ─┴▶ Port ─┘                          ▼
//!                                                                                    AlmostDone ─▶ Done
//! ```

use crate::header::Span;
use crate::request::{Method, RequestError, RequestFault, Version};
use crate::uri::Scan;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Start,
    Method,
    BeforeTarget,
    Scheme,
    /// After `scheme:` and this many slashes.
    Slashes(u8),
    BeforeHost,
    HostStart,
    Host,
    HostLiteral,
    HostEnd,
    PortStart,
    Port,
    Target,
    AfterTarget,
    /// After this many bytes of `HTTP/`.
    Http(u8),
    MajorFirst,
    Major,
    MinorFirst,
    Minor,
    SpacesAfter,
    AlmostDone,
    Done,
}

/// The line so far, as offsets into the caller's buffer.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestLine {
    pub(super) state: State,
    pub(super) start: usize,
    /// Offset after the last byte of the line, without CR and LF.
    end: usize,
    method_end: usize,
    pub(super) method: Method,
    scheme_start: usize,
    pub(super) scheme: Span,
    host_start: usize,
    /// The authority of an absolute or CONNECT target.
    pub(super) authority: Option<Span>,
    target_start: usize,
    pub(super) target: Span,
    pub(super) scan: Scan,
    pub(super) empty_path: bool,
    protocol: Option<usize>,
    major: u16,
    minor: u16,
}

type Checked = Result<(), RequestFault>;
use RequestFault::Line as BAD;

impl RequestLine {
    /// Parses `buf[at..end]` and returns the offset after the line's LF, or `None` if it is
    /// incomplete.
    #[inline]
    pub(super) fn feed(
        &mut self,
        buf: &[u8],
        mut at: usize,
        end: usize,
    ) -> Result<Option<usize>, RequestError> {
        let buf = &buf[..end];
        while at < end {
            match self.state {
                State::Method => at = self.method(buf, at).map_err(RequestError::new)?,
                State::Target => at = self.target(buf, at).map_err(RequestError::new)?,
                _ => {
                    self.byte(buf[at], at).map_err(RequestError::new)?;
                    at += 1;
                }
            }
            if self.state == State::Done {
                if self.version() == Version::HTTP_09 && self.method != Method::Get {
                    return Err(RequestError::new(RequestFault::Method09));
                }
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    pub(super) fn version(&self) -> Version {
        match self.protocol {
            Some(_) => Version(self.major * 1000 + self.minor),
            None => Version::HTTP_09,
        }
    }

    pub(super) fn line(&self) -> Span {
        Span::new(self.start, self.end)
    }

    pub(super) fn method_text(&self) -> Span {
        Span::new(self.start, self.method_end)
    }

    pub(super) fn protocol(&self) -> Span {
        self.protocol.map_or(Span::default(), |start| Span::new(start, self.end))
    }

    #[inline]
    fn method(&mut self, buf: &[u8], from: usize) -> Result<usize, RequestFault> {
        let rest = &buf[from..];
        let Some(len) = rest.iter().position(|&byte| !is_method_byte(byte)) else {
            return Ok(buf.len());
        };
        if rest[len] != b' ' {
            return Err(RequestFault::Method);
        }
        self.method_end = from + len;
        self.method = Method::from_bytes(&buf[self.start..self.method_end]);
        self.state = match self.method {
            Method::Connect => State::BeforeHost,
            _ => State::BeforeTarget,
        };
        Ok(from + len + 1)
    }

    #[inline]
    fn target(&mut self, buf: &[u8], from: usize) -> Result<usize, RequestFault> {
        let at = self.scan.feed(buf, from);
        let Some(&byte) = buf.get(at) else { return Ok(at) };
        self.target = Span::new(self.target_start, at);
        // The fast path for the usual end of a line.
        if buf[at..].starts_with(b" HTTP/1.1\r\n") {
            self.protocol = Some(at + 1);
            (self.major, self.minor) = (1, 1);
            self.end = at + 9;
            self.state = State::Done;
            return Ok(at + 11);
        }
        match byte {
            b' ' => self.state = State::AfterTarget,
            b'\r' | b'\n' => self.line_end(byte, at),
            _ => return Err(BAD),
        }
        Ok(at + 1)
    }

    fn byte(&mut self, byte: u8, at: usize) -> Checked {
        match self.state {
            State::Start => match byte {
                b'\r' | b'\n' => {}
                _ if is_method_byte(byte) => {
                    self.start = at;
                    self.state = State::Method;
                }
                _ => return Err(RequestFault::Method),
            },
            State::BeforeTarget => match byte {
                b' ' => {}
                b'/' => self.begin_target(at),
                _ if byte.is_ascii_alphabetic() => {
                    self.scheme_start = at;
                    self.state = State::Scheme;
                }
                _ => return Err(BAD),
            },
            State::Scheme => match byte {
                b':' => {
                    self.scheme = Span::new(self.scheme_start, at);
                    self.state = State::Slashes(0);
                }
                b'+' | b'-' | b'.' => {}
                _ if byte.is_ascii_alphanumeric() => {}
                _ => return Err(BAD),
            },
            State::Slashes(seen) => match byte {
                b'/' if seen == 0 => self.state = State::Slashes(1),
                b'/' => self.state = State::HostStart,
                _ => return Err(BAD),
            },
            State::BeforeHost | State::HostStart | State::Host | State::HostLiteral => {
                return self.host(byte, at);
            }
            State::HostEnd | State::PortStart | State::Port => return self.port(byte, at),
            State::AfterTarget | State::Http(_) => return self.http(byte, at),
            State::MajorFirst | State::Major | State::MinorFirst | State::Minor => {
                return self.digits(byte, at);
            }
            State::SpacesAfter => match byte {
                b' ' => {}
                b'\r' | b'\n' => self.line_end(byte, at),
                _ => return Err(BAD),
            },
            State::AlmostDone if byte == b'\n' => self.state = State::Done,
            State::AlmostDone | State::Method | State::Target | State::Done => return Err(BAD),
        }
        Ok(())
    }

    fn host(&mut self, byte: u8, at: usize) -> Checked {
        match self.state {
            State::BeforeHost if byte == b' ' => return Ok(()),
            State::BeforeHost | State::HostStart => {
                self.host_start = at;
                self.state = if byte == b'[' { State::HostLiteral } else { State::Host };
                if byte == b'[' {
                    return Ok(());
                }
            }
            State::HostLiteral => {
                return match byte {
                    b']' => {
                        self.state = State::HostEnd;
                        Ok(())
                    }
                    _ if byte.is_ascii_alphanumeric() || b":-._~!$&'()*+,;=".contains(&byte) => {
                        Ok(())
                    }
                    _ => Err(BAD),
                };
            }
            _ => {}
        }
        if byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-' {
            return Ok(());
        }
        self.port(byte, at)
    }

    /// The states after the host, and in its port.
    fn port(&mut self, byte: u8, at: usize) -> Checked {
        let connect = self.method == Method::Connect;
        match self.state {
            State::PortStart | State::Port => {
                if byte.is_ascii_digit() {
                    self.state = State::Port;
                    return Ok(());
                }
                if connect {
                    if byte != b' ' || self.state == State::PortStart {
                        return Err(BAD);
                    }
                    self.authority = Some(Span::new(self.host_start, at));
                    self.state = State::AfterTarget;
                    return Ok(());
                }
            }
            _ if byte == b':' => {
                self.state = State::PortStart;
                return Ok(());
            }
            _ if connect => return Err(BAD),
            _ => {}
        }
        self.authority = Some(Span::new(self.host_start, at));
        match byte {
            b'/' => self.begin_target(at),
            b'?' => {
                self.begin_target(at);
                self.scan = Scan::without_path(at + 1);
                self.empty_path = true;
            }
            b' ' => {
                // The path is `/`: a slash after the scheme serves as its text.
                let slash = self.scheme.end as usize + 1;
                self.target = Span::new(slash, slash + 1);
                self.state = State::AfterTarget;
            }
            _ => return Err(BAD),
        }
        Ok(())
    }

    fn begin_target(&mut self, at: usize) {
        self.target_start = at;
        self.state = State::Target;
    }

    fn http(&mut self, byte: u8, at: usize) -> Checked {
        match (self.state, byte) {
            (State::AfterTarget, b' ') => {}
            (State::AfterTarget, b'\r' | b'\n') => self.line_end(byte, at),
            (State::AfterTarget, b'H') => {
                self.protocol = Some(at);
                self.state = State::Http(1);
            }
            (State::Http(seen), _) if byte == b"HTTP/"[usize::from(seen)] => {
                self.state = if seen < 4 { State::Http(seen + 1) } else { State::MajorFirst };
                if seen == 4 && self.method == Method::Connect {
                    // CONNECT has no path; locations see `/`.
                    self.target = Span::new(at, at + 1);
                }
            }
            _ => return Err(BAD),
        }
        Ok(())
    }

    fn digits(&mut self, byte: u8, at: usize) -> Checked {
        let digit = byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
        match (self.state, digit) {
            (State::MajorFirst, Some(digit)) if digit > 0 => {
                self.state = State::Major;
                self.major = digit;
            }
            (State::Major, Some(digit)) => self.major = self.major * 10 + digit,
            (State::Major, None) if byte == b'.' => self.state = State::MinorFirst,
            (State::MinorFirst, Some(digit)) => {
                self.state = State::Minor;
                self.minor = digit;
            }
            (State::Minor, Some(digit)) if self.minor <= 99 => self.minor = self.minor * 10 + digit,
            (State::Minor, None) if byte == b' ' => self.state = State::SpacesAfter,
            (State::Minor, None) if byte == b'\r' || byte == b'\n' => self.line_end(byte, at),
            _ => return Err(BAD),
        }
        if self.major > 1 { Err(RequestFault::Version) } else { Ok(()) }
    }

    fn line_end(&mut self, byte: u8, at: usize) {
        self.end = at;
        self.state = if byte == b'\n' { State::Done } else { State::AlmostDone };
    }
}

#[inline]
fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte == b'_' || byte == b'-'
}
