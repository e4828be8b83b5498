//! HTTP/1.1 for tests: a parser of its own, which shares no mistake with the proxy's.

use std::rc::Rc;
use std::time::Duration;

use weir_engine::sim::{self, Peer};
use weir_engine::timer;

/// How long a test waits for bytes: longer than all timeouts of a configuration together.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1800);

/// Why nothing more can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The other end has closed normally.
    End,
    /// The connection was reset.
    Reset,
    /// Nothing has come for [`PATIENCE`].
    Silence,
    /// The bytes are not HTTP.
    Nonsense,
}

/// The framing of a message's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    Close,
}

/// The head of a request or of a response.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) first: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Head {
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut lines = text.split("\r\n");
        let first = lines.next()?.to_owned();
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        Some(Self { first, fields: lines.map(field).collect::<Option<_>>()? })
    }

    /// The value of a field, which must not occur twice.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| value.as_str());
        if values.next().is_some() { Some("it came twice") } else { value }
    }

    pub(crate) fn number(&self, name: &str) -> Option<usize> {
        self.field(name)?.parse().ok()
    }

    /// The status of a response; 0 if it is not one.
    pub(crate) fn status(&self) -> u16 {
        let mut words = self.first.split(' ');
        match (words.next(), words.next()) {
            (Some("HTTP/1.1" | "HTTP/1.0"), Some(status)) => status.parse().unwrap_or(0),
            _ => 0,
        }
    }

    /// The framing of the body, if the head gives it.
    pub(crate) fn framing(&self) -> Option<Framing> {
        match (self.field("transfer-encoding"), self.field("content-length")) {
            (Some("chunked"), None) => Some(Framing::Chunked),
            (None, Some(length)) => length.parse().ok().map(Framing::Length),
            _ => None,
        }
    }

    /// Whether the sender of a response will close the connection after it.
    pub(crate) fn closes(&self) -> bool {
        match self.field("connection") {
            Some(value) => value.eq_ignore_ascii_case("close"),
            None => self.first.starts_with("HTTP/1.0"),
        }
    }
}

/// The input from the other end of a connection.
pub(crate) struct Reader {
    peer: Rc<Peer>,
    pub(crate) buffered: Vec<u8>,
    /// The maximum number of bytes in a read, and the pause before it.
    pub(crate) pace: (usize, Duration),
    /// The number of bytes received.
    pub(crate) received: usize,
}

impl Reader {
    pub(crate) fn new(peer: &Rc<Peer>) -> Self {
        let pace = (64 * 1024, Duration::ZERO);
        Self { peer: Rc::clone(peer), buffered: Vec::new(), pace, received: 0 }
    }

    /// Waits for more bytes.
    pub(crate) async fn fill(&mut self) -> Result<(), Stop> {
        let (most, pause) = self.pace;
        if !pause.is_zero() {
            timer::sleep(pause).await;
        }
        let read = self.peer.read(&mut self.buffered, most);
        match timer::timeout(PATIENCE, read).await {
            Ok(Ok(0)) => Err(Stop::End),
            Ok(Ok(count)) => {
                self.received += count;
                Ok(())
            }
            Ok(Err(_)) => Err(Stop::Reset),
            Err(_) => Err(Stop::Silence),
        }
    }

    /// The next head. `End` only if nothing of it has come.
    pub(crate) async fn head(&mut self) -> Result<Head, Stop> {
        loop {
            if let Some(end) = self.buffered.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = Head::parse(&self.buffered[..end]);
                self.buffered.drain(..end + 4);
                return head.ok_or(Stop::Nonsense);
            }
            if let Err(stop) = self.fill().await {
                let cut = stop == Stop::End && !self.buffered.is_empty();
                return Err(if cut { Stop::Reset } else { stop });
            }
        }
    }

    /// Reads a body as far as it comes. `Ok` if it is complete.
    pub(crate) async fn body(&mut self, framing: Framing, into: &mut Vec<u8>) -> Result<(), Stop> {
        match framing {
            Framing::Length(length) => self.take(length, into).await,
            Framing::Close => loop {
                into.append(&mut self.buffered);
                match self.fill().await {
                    Ok(()) => {}
                    Err(Stop::End) => return Ok(()),
                    Err(stop) => return Err(stop),
                }
            },
            // Not by the proxy's decoder, and only the form in which the proxy sends chunks.
            Framing::Chunked => loop {
                let line = self.line().await?;
                let size = usize::from_str_radix(&line, 16).map_err(|_| Stop::Nonsense)?;
                self.take(size, into).await?;
                let end = self.line().await?;
                if !end.is_empty() {
                    return Err(Stop::Nonsense);
                }
                if size == 0 {
                    return Ok(());
                }
            },
        }
    }

    async fn take(&mut self, length: usize, into: &mut Vec<u8>) -> Result<(), Stop> {
        let mut left = length;
        loop {
            let step = left.min(self.buffered.len());
            into.extend(self.buffered.drain(..step));
            left -= step;
            if left == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    async fn line(&mut self) -> Result<String, Stop> {
        loop {
            if let Some(end) = self.buffered.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffered[..end]).into_owned();
                self.buffered.drain(..end + 2);
                return Ok(line);
            }
            self.fill().await?;
        }
    }
}

/// Sends bytes; false if they cannot be sent within [`PATIENCE`].
pub(crate) async fn say(peer: &Peer, bytes: &[u8]) -> bool {
    matches!(timer::timeout(PATIENCE, peer.write_all(bytes)).await, Ok(Ok(())))
}

/// The body of a message, unlike that of any other.
pub(crate) fn content(number: usize, length: usize) -> Vec<u8> {
    (0..length).map(|place| (number * 37 + place * 7 + (place >> 8) * 11) as u8).collect()
}

/// A body in chunks of random sizes.
pub(crate) fn chunked(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let size = sim::draw(|random| random.usize(1..=rest.len().min(5000)));
        out.extend_from_slice(format!("{size:x}\r\n").as_bytes());
        out.extend_from_slice(&rest[..size]);
        out.extend_from_slice(b"\r\n");
        rest = &rest[size..];
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}
