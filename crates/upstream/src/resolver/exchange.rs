//! One question to the name servers: over UDP, over TCP if the response is truncated, and again to
//! the next server every five seconds. The sockets of earlier servers stay open, so a late response
//! still counts.

use std::{io, net::SocketAddr, task::Poll, time::Duration};

use weir_engine::{
    Addr, ConnectOptions, Deadline, Level,
    clock::{self, Instant},
    connect,
    datagram::Datagrams,
    error_log::process_log,
    random::unguessable,
};

use super::{
    FAILURE_VALID, Reason, ResolverConfig,
    cache::{Answer, Key},
    message::{self, Kind, Response},
};

/// The largest datagram to read.
const MAX_DATAGRAM: usize = 4096;

/// A query for one record type of the name, with its response.
struct Question {
    kind: Kind,
    id: u16,
    query: Vec<u8>,
    over_tcp: bool,
    answer: Option<Response>,
}

struct Exchange<'a> {
    config: &'a ResolverConfig,
    resend: Duration,
    name: &'a str,
    questions: Vec<Question>,
    sockets: Vec<(SocketAddr, Datagrams)>,
    /// The code of the last failure.
    code: u16,
}

/// Queries until all questions are answered, or until no one waits any more.
pub(super) async fn run(
    config: &ResolverConfig,
    resend: Duration,
    key: &Key,
    first: usize,
    is_awaited: &dyn Fn() -> bool,
) -> Result<(Answer, u32), Reason> {
    let questions = questions(config, key).ok_or(Reason::NOT_FOUND)?;
    let name = key.text();
    let mut exchange = Exchange { config, resend, name, questions, sockets: Vec::new(), code: 0 };
    for server in first.. {
        exchange.send(server).await;
        let end = clock::precise() + resend;
        while exchange.is_open() && exchange.receive(end).await {}
        if !exchange.is_open() || exchange.has_ipv4() {
            return exchange.conclude(key);
        }
        if !is_awaited() {
            break;
        }
    }
    Err(Reason::TIMED_OUT)
}

fn questions(config: &ResolverConfig, key: &Key) -> Option<Vec<Question>> {
    let kinds: &[Kind] = match key {
        Key::Service(_) => &[Kind::Service],
        Key::Name(_) if !config.ipv6 => &[Kind::A],
        Key::Name(_) if !config.ipv4 => &[Kind::Aaaa],
        Key::Name(_) => &[Kind::A, Kind::Aaaa],
    };
    let question = |&kind: &Kind| {
        let id = u16::from_ne_bytes(unguessable());
        let query = message::query(id, key.text(), kind)?;
        Some(Question { kind, id, query, over_tcp: false, answer: None })
    };
    kinds.iter().map(question).collect()
}

impl Exchange<'_> {
    fn is_open(&self) -> bool {
        self.questions.iter().any(|question| question.answer.is_none())
    }

    /// Whether there are IPv4 addresses. IPv6 is waited for only one round, because some name
    /// servers never answer for types they do not know.
    fn has_ipv4(&self) -> bool {
        let mut answers = self.questions.iter().filter_map(|question| question.answer.as_ref());
        answers.any(Response::has_ipv4)
    }

    /// Sends the open queries to a server; if that fails at once, to the next one.
    async fn send(&mut self, server: usize) {
        let servers = &self.config.servers;
        for attempt in 0..2 {
            let Some(&address) = servers.get((server + attempt) % servers.len().max(1)) else {
                return;
            };
            match self.send_to(address).await {
                Ok(()) => return,
                Err(error) => self.log_failure("send", &error, address),
            }
        }
    }

    async fn send_to(&mut self, server: SocketAddr) -> io::Result<()> {
        let open = |(address, _): &(SocketAddr, Datagrams)| *address == server;
        let known = self.sockets.iter().position(open);
        let socket = match known {
            Some(place) => place,
            None => {
                self.sockets.push((server, Datagrams::connect(server)?));
                self.sockets.len() - 1
            }
        };
        for place in 0..self.questions.len() {
            let question = &self.questions[place];
            if question.answer.is_some() {
                continue;
            }
            if question.over_tcp {
                self.ask_over_tcp(place, server, clock::precise() + self.resend).await;
            } else if let Err(error) = self.sockets[socket].1.send(&question.query) {
                self.sockets.remove(socket);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Receives one datagram from any of the servers asked so far; false if none came by `end`.
    async fn receive(&mut self, end: Instant) -> bool {
        let mut buffer = Vec::new();
        let mut deadline = Deadline::new();
        deadline.set(end);
        let received = deadline.within(|cx| {
            for (place, (_, socket)) in self.sockets.iter().enumerate() {
                if let Poll::Ready(result) = socket.poll_recv(cx, &mut buffer, MAX_DATAGRAM) {
                    return Poll::Ready(Ok((place, result)));
                }
            }
            Poll::Pending
        });
        let Ok((place, received)) = received.await else { return false };
        let server = self.sockets[place].0;
        match received {
            Ok(length) => {
                if let Some(question) = self.accept(&buffer[..length], false) {
                    self.questions[question].over_tcp = true;
                    self.ask_over_tcp(question, server, end).await;
                }
            }
            Err(error) => {
                self.log_failure("recv", &error, server);
                self.sockets.remove(place);
            }
        }
        true
    }

    async fn ask_over_tcp(&mut self, place: usize, server: SocketAddr, end: Instant) {
        match tcp(server, &self.questions[place].query, end).await {
            Ok(message) => {
                self.accept(&message, true);
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(error) => self.log_failure("recv", &error, server),
        }
    }

    /// Handles a message: a response to one of the queries is kept, anything else is logged and
    /// dropped. Returns the query to repeat over TCP.
    fn accept(&mut self, message: &[u8], over_tcp: bool) -> Option<usize> {
        let response = match message::parse(message, over_tcp) {
            Ok(response) => response,
            Err(fault) => {
                log(&fault.to_string());
                return None;
            }
        };
        let (id, code) = (response.id, response.code);
        if response.question.is_empty() {
            let mut line = format!("DNS error ({}), query id:{id}", Reason(code));
            if self.questions.iter().any(|question| question.id == id) {
                line.push_str(&format!(", name:\"{}\"", self.name));
            }
            log(&line);
            return None;
        }
        let name = &response.question;
        let open = |question: &Question| {
            question.kind as u16 == response.kind
                && question.answer.is_none()
                && question.over_tcp == over_tcp
        };
        let place = self.questions.iter().position(open).filter(|_| name == self.name);
        let Some(place) = place else {
            log(&format!("unexpected DNS response for {name}"));
            return None;
        };
        let expected = self.questions[place].id;
        if id != expected {
            log(&format!("wrong ident {id} in DNS response for {name}, expect {expected}"));
            return None;
        }
        if response.truncated {
            return Some(place);
        }
        for kind in &response.unexpected {
            log(&format!("unexpected RR type {kind} in DNS response"));
        }
        if code != 0 {
            self.code = code;
        }
        self.questions[place].answer = Some(response);
        None
    }

    /// The result of all responses. IPv4 addresses are good even if the query for IPv6 failed, but
    /// valid for a short time only.
    fn conclude(self, key: &Key) -> Result<(Answer, u32), Reason> {
        let asked = self.questions.len();
        let answers = self.questions.into_iter().filter_map(|it| it.answer);
        let mut answers: Vec<_> = answers.filter(|answer| answer.code == 0).collect();
        let mut ttl = answers.iter().map(|answer| answer.ttl).min().unwrap_or(0);
        if answers.len() < asked {
            ttl = ttl.min(FAILURE_VALID as u32);
        }
        let addresses: Vec<_> =
            answers.iter().flat_map(|answer| answer.addresses.iter().copied()).collect();
        if self.code != 0 && !answers.iter().any(Response::has_ipv4) {
            return Err(Reason(self.code));
        }
        if !addresses.is_empty() {
            return Ok((Answer::Addresses(addresses), ttl));
        }
        let mut services: Vec<_> =
            answers.iter_mut().flat_map(|answer| std::mem::take(&mut answer.services)).collect();
        if !services.is_empty() {
            services.sort_by_key(|service| service.priority);
            return Ok((Answer::Services(services), ttl));
        }
        if let Some(alias) = answers.iter_mut().rev().find_map(|answer| answer.alias.take()) {
            return Ok((Answer::Alias(alias), ttl));
        }
        if answers.iter().any(|answer| answer.records > 0) {
            log(match key {
                Key::Name(_) => "no A or CNAME types in DNS response",
                Key::Service(_) => "no SRV type in DNS response",
            });
        }
        Err(Reason::NOT_FOUND)
    }

    fn log_failure(&self, call: &str, error: &io::Error, server: SocketAddr) {
        let text = error.to_string();
        let reason = match error.raw_os_error() {
            Some(number) => {
                let tail = format!(" (os error {number})");
                format!("({number}: {})", text.strip_suffix(&tail).unwrap_or(&text))
            }
            None => format!("({text})"),
        };
        log(&format!("{call}() failed {reason} while resolving, resolver: {server}"));
    }
}

/// A query and its response over TCP, each preceded by its length (RFC 1035, 4.2.2).
async fn tcp(server: SocketAddr, query: &[u8], end: Instant) -> io::Result<Vec<u8>> {
    let left = || end.since(clock::precise());
    let mut conn = connect(&Addr::Inet(server), &ConnectOptions::default(), left()).await?;
    let length = (query.len() as u16).to_be_bytes();
    conn.send_all(&[&length, query], left()).await?;
    let mut answer = Vec::new();
    loop {
        if let Some((length, message)) = answer.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            if message.len() >= length {
                return Ok(message[..length].to_vec());
            }
        }
        if conn.recv(&mut answer, MAX_DATAGRAM, left()).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn log(line: &str) {
    process_log().log(Level::Error, 0, line);
}
