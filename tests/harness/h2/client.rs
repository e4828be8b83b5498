//! A client of HTTP/2.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::ops::{Deref, DerefMut};

use super::fields::request;
use super::frame::{Frame, frame_kind};
use super::peer::{Event, Fields, Peer};
use super::wire::Wire;
use crate::harness::{PATIENCE, Server};

/// What a client sends first (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The largest DATA frame that any peer must take, in bytes.
const PIECE: usize = 16_384;

/// The window that a stream and a connection have at first, in bytes.
const WINDOW: i64 = 65_535;

/// The identifier of SETTINGS_INITIAL_WINDOW_SIZE.
const INITIAL_WINDOW: u16 = 4;

/// A response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct H2Answer {
    /// The status; 0 before the head.
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
    /// The heads of informational responses before it.
    pub(crate) informational: Vec<Fields>,
    /// The code of the reset, if there was one.
    pub(crate) reset: Option<u32>,
    /// Whether the stream has ended, by END_STREAM or a reset.
    pub(crate) ended: bool,
    /// Whether END_STREAM came.
    pub(crate) complete: bool,
    /// The largest DATA frame in bytes.
    pub(crate) largest: usize,
}

impl H2Answer {
    /// The first value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        value(&self.fields, name)
    }

    /// The first value of a trailer.
    pub(crate) fn trailer(&self, name: &str) -> Option<&str> {
        value(&self.trailers, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The status of a whole answer, and its body.
    pub(crate) fn whole(&self) -> (u16, String) {
        assert!(self.complete, "{self:?}");
        (self.status, self.text())
    }

    fn take_fields(&mut self, fields: Fields, end: bool) {
        let status = value(&fields, ":status").and_then(|status| status.parse().ok());
        match status {
            Some(100..200) => self.informational.push(fields),
            Some(status) => (self.status, self.fields) = (status, fields),
            None => self.trailers = fields,
        }
        self.ended |= end;
        self.complete |= end;
    }
}

fn value<'f>(fields: &'f Fields, name: &str) -> Option<&'f str> {
    let mut same = fields.iter().filter(|(other, _)| other == name);
    same.next().map(|(_, value)| value.as_str())
}

/// A client; [`Peer`] has what is below answers.
pub(crate) struct H2Client {
    peer: Peer,
    /// The protocol that the server chose by ALPN.
    pub(crate) protocol: Option<String>,
    next: u32,
    answers: BTreeMap<u32, H2Answer>,
    /// The code of GOAWAY and the last stream that it named.
    pub(crate) gone: Option<(u32, u32)>,
    /// The settings of the server.
    pub(crate) settings: Vec<(u16, u32)>,
    /// The bytes that may be sent; of streams, beyond the initial window.
    window: i64,
    windows: BTreeMap<u32, i64>,
}

impl Deref for H2Client {
    type Target = Peer;
    fn deref(&self) -> &Peer {
        &self.peer
    }
}

impl DerefMut for H2Client {
    fn deref_mut(&mut self) -> &mut Peer {
        &mut self.peer
    }
}

impl H2Client {
    /// A cleartext connection with prior knowledge, to `%port%`.
    #[track_caller]
    pub(crate) fn of(server: &Server) -> Self {
        Self::connect(&server.address("port"), &[])
    }

    /// A cleartext connection with prior knowledge and these settings.
    #[track_caller]
    pub(crate) fn connect(address: &str, settings: &[(u16, u32)]) -> Self {
        let mut client = Self::silent(address);
        client.begin(settings);
        client
    }

    /// A connection on which nothing has been sent.
    #[track_caller]
    pub(crate) fn silent(address: &str) -> Self {
        Self::on(Wire::Plain(tcp(address)), None)
    }

    /// A connection with prior knowledge on this stream.
    #[allow(dead_code, reason = "the comparison connects itself")]
    pub(crate) fn over(stream: TcpStream) -> Self {
        let mut client = Self::on(Wire::Plain(stream), None);
        client.begin(&[]);
        client
    }

    /// A connection of TLS on this stream, by ALPN.
    ///
    /// # Errors
    /// The handshake failed.
    #[allow(dead_code, reason = "the comparison connects itself")]
    pub(crate) fn over_tls(stream: TcpStream, host: &str) -> std::io::Result<Self> {
        let mut wire = Wire::tls(stream, host, &["h2"]);
        let protocol = wire.handshake()?;
        let mut client = Self::on(wire, protocol);
        client.begin(&[]);
        Ok(client)
    }

    /// A connection of TLS that offers these protocols; with h2, the preface has been sent.
    #[track_caller]
    pub(crate) fn tls(address: &str, host: &str, protocols: &[&str]) -> Self {
        let mut wire = Wire::tls(tcp(address), host, protocols);
        wire.set_patience(PATIENCE).unwrap();
        let protocol = wire.handshake().expect("a handshake");
        let begins = protocol.as_deref() == Some("h2");
        let mut client = Self::on(wire, protocol);
        if begins {
            client.begin(&[]);
        }
        client
    }

    fn on(wire: Wire, protocol: Option<String>) -> Self {
        Self {
            peer: Peer::new(wire),
            protocol,
            next: 1,
            answers: BTreeMap::new(),
            gone: None,
            settings: Vec::new(),
            window: WINDOW,
            windows: BTreeMap::new(),
        }
    }

    /// Sends the preface and settings.
    pub(crate) fn begin(&mut self, settings: &[(u16, u32)]) {
        self.raw(&[PREFACE, &Frame::settings(settings).bytes()].concat());
    }

    /// The number of the next stream, which is taken.
    pub(crate) fn next_stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Opens a stream with a request's fields.
    pub(crate) fn open<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        fields: &[(N, V)],
        end: bool,
    ) -> u32 {
        let stream = self.next_stream();
        self.fields(stream, fields, end);
        stream
    }

    /// Sends GET.
    pub(crate) fn ask(&mut self, path: &str) -> u32 {
        self.open(&request("GET", path, ""), true)
    }

    /// Sends GET and returns the response.
    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> H2Answer {
        let stream = self.ask(path);
        self.answer(stream)
    }

    /// Sends GET with more fields, as `name: value` lines, and returns the response.
    #[track_caller]
    pub(crate) fn get_with(&mut self, path: &str, lines: &str) -> H2Answer {
        let stream = self.open(&request("GET", path, lines), true);
        self.answer(stream)
    }

    /// Sends POST with a body, and returns the response.
    #[track_caller]
    pub(crate) fn post(&mut self, path: &str, lines: &str, body: &[u8]) -> H2Answer {
        let stream = self.open(&request("POST", path, lines), body.is_empty());
        if !body.is_empty() {
            self.upload(stream, body, true);
        }
        self.answer(stream)
    }

    /// Sends DATA as the windows of the server allow, until the stream ends.
    #[track_caller]
    pub(crate) fn upload(&mut self, stream: u32, body: &[u8], end: bool) {
        let mut rest = body;
        while !rest.is_empty() && !self.answers.get(&stream).is_some_and(|answer| answer.ended) {
            let room = self.room(stream).min(PIECE as i64);
            if room <= 0 {
                self.step().expect("a window for a body");
                continue;
            }
            let (piece, left) = rest.split_at(rest.len().min(room as usize));
            rest = left;
            self.spend(stream, piece.len());
            self.frame(&Frame::data(stream, piece, end && left.is_empty()));
        }
    }

    /// Takes bytes of DATA off the windows.
    pub(crate) fn spend(&mut self, stream: u32, bytes: usize) {
        self.window -= bytes as i64;
        *self.windows.entry(stream).or_default() -= bytes as i64;
    }

    /// The bytes that may be sent on a stream.
    pub(crate) fn room(&self, stream: u32) -> i64 {
        let initial = self.settings.iter().rev().find(|(id, _)| *id == INITIAL_WINDOW);
        let initial = initial.map_or(WINDOW, |(_, size)| i64::from(*size));
        let own = self.windows.get(&stream).copied().unwrap_or_default();
        self.window.min(initial + own)
    }

    /// Takes an event into account.
    pub(crate) fn step(&mut self) -> std::io::Result<Event> {
        let event = self.peer.event()?;
        match event.clone() {
            Event::Fields { stream, fields, end } => {
                self.answers.entry(stream).or_default().take_fields(fields, end);
            }
            Event::Data { stream, bytes, end } => {
                let answer = self.answers.entry(stream).or_default();
                answer.largest = answer.largest.max(bytes.len());
                answer.body.extend_from_slice(&bytes);
                answer.ended |= end;
                answer.complete |= end;
            }
            Event::Reset { stream, code } => {
                let answer = self.answers.entry(stream).or_default();
                (answer.reset, answer.ended) = (Some(code), true);
            }
            Event::GoAway { last, code } => self.gone = Some((code, last)),
            Event::Settings(pairs) => self.settings.extend(pairs),
            Event::Window { stream: 0, increment } => self.window += i64::from(increment),
            Event::Window { stream, increment } => {
                *self.windows.entry(stream).or_default() += i64::from(increment);
            }
            _ => {}
        }
        Ok(event)
    }

    /// The response, once its stream has ended.
    #[track_caller]
    pub(crate) fn answer(&mut self, stream: u32) -> H2Answer {
        match self.try_answer(stream) {
            Ok(answer) => answer,
            Err(error) => {
                let have = self.answers.get(&stream);
                panic!("stream {stream}: {error}; so far {have:?}, GOAWAY {:?}", self.gone)
            }
        }
    }

    /// The response, or the error of the connection before its end.
    pub(crate) fn try_answer(&mut self, stream: u32) -> std::io::Result<H2Answer> {
        self.until(stream, |answer| answer.ended)?;
        Ok(self.answers.remove(&stream).unwrap_or_default())
    }

    /// What has come of a response, once it is enough.
    #[track_caller]
    pub(crate) fn partly(&mut self, stream: u32, enough: impl Fn(&H2Answer) -> bool) -> H2Answer {
        if let Err(error) = self.until(stream, enough) {
            panic!("stream {stream}: {error}; so far {:?}", self.answers.get(&stream));
        }
        self.answers.get(&stream).cloned().unwrap_or_default()
    }

    /// What has come of a response so far.
    pub(crate) fn so_far(&self, stream: u32) -> H2Answer {
        self.answers.get(&stream).cloned().unwrap_or_default()
    }

    /// Takes all into account that the server has sent, as a PING shows.
    #[track_caller]
    pub(crate) fn settle(&mut self) {
        const MARK: [u8; 8] = *b"settled?";
        self.frame(&Frame::new(frame_kind::PING, 0, 0, MARK));
        while self.step().expect("an answer to PING") != Event::PingAck(MARK.into()) {}
    }

    fn until(&mut self, stream: u32, enough: impl Fn(&H2Answer) -> bool) -> std::io::Result<()> {
        while !self.answers.get(&stream).is_some_and(&enough) {
            self.step()?;
        }
        Ok(())
    }

    /// Waits for the server's settings.
    #[track_caller]
    pub(crate) fn wait_settings(&mut self) -> Vec<(u16, u32)> {
        while self.settings.is_empty() {
            self.step().expect("the settings of the server");
        }
        self.settings.clone()
    }

    /// Waits for the end of the connection and returns the code of GOAWAY, if there was one.
    #[track_caller]
    pub(crate) fn end(&mut self) -> Option<u32> {
        loop {
            match self.step() {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    panic!("the connection has not ended; GOAWAY: {:?}", self.gone)
                }
                Err(_) => return self.gone.map(|(code, _)| code),
            }
        }
    }
}

fn tcp(address: &str) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address.parse().unwrap(), PATIENCE).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}
