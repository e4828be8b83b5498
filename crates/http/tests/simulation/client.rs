//! Clients: their requests, their behaviour, and the verdicts on their responses.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use weir_engine::clock::{self, Instant};
use weir_engine::event_loop::JoinHandle;
use weir_engine::sim::{self, Fate, Peer};
use weir_engine::{spawn_joined, timer};

use crate::message::{Framing, Head, PATIENCE, Reader, Stop, chunked, content, say};
use crate::model::{HARMLESS, Model, Sent, Shared};
use crate::proxy::{ADDRESS, address};

/// The behaviour of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Good,
    /// Sends all requests before it reads.
    Pipelines,
    /// Sends, or reads, in small pieces.
    Drips,
    Sips,
    /// Closes in the middle of a request, or of a response.
    Leaves,
    Hangs,
    /// Stops sending in the middle of a request, or stops reading, and stays.
    Stalls,
    Deaf,
    /// Ends its direction after the last request.
    Finishes,
}

const GOOD: [Manner; 4] = [Manner::Good, Manner::Good, Manner::Pipelines, Manner::Sips];
const ALL: [Manner; 9] = [
    Manner::Good,
    Manner::Pipelines,
    Manner::Drips,
    Manner::Sips,
    Manner::Leaves,
    Manner::Hangs,
    Manner::Stalls,
    Manner::Deaf,
    Manner::Finishes,
];

/// A client with its requests.
pub(crate) struct Client {
    from: SocketAddr,
    manner: Manner,
    requests: Vec<usize>,
    texts: Vec<Vec<u8>>,
    old: bool,
    shared: Shared,
}

/// The response of one request.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) head: Option<Head>,
    pub(crate) body: Vec<u8>,
    /// None if the response is complete.
    pub(crate) stop: Option<Stop>,
}

impl Client {
    /// Draws a client; `number` is the last byte of its address.
    pub(crate) fn draw(number: u8, quiet: bool, random: &mut Rng, shared: &Shared) -> Self {
        let manner = match quiet {
            true => GOOD[random.usize(..GOOD.len())],
            false => ALL[random.usize(..ALL.len())],
        };
        let old = random.u8(..8) == 0;
        let count = if old { 1 } else { random.usize(1..=4) };
        let (mut requests, mut texts) = (Vec::new(), Vec::new());
        for place in 0..count {
            let mut model = shared.borrow_mut();
            let id = model.sent.len();
            let method = ["GET", "GET", "GET", "POST", "POST", "PUT", "HEAD"][random.usize(..7)];
            let length = match method {
                "GET" | "HEAD" => 0,
                _ => body_size(random),
            };
            let chunks = !old && length > 0 && random.u8(..3) == 0;
            let last = place + 1 == count && random.bool();
            texts.push(request(id, method, length, chunks, last, old));
            model.sent.push(Sent { method, length, whole: true, arrivals: [0; 2] });
            requests.push(id);
        }
        let from = address(([192, 0, 2, number], 1000 + u16::from(number)));
        Self { from, manner, requests, texts, old, shared: Rc::clone(shared) }
    }

    /// Connects, sends requests, and judges the responses.
    pub(crate) async fn run(self) {
        let connecting = Peer::connect(self.from, address(ADDRESS));
        let Ok(Ok(peer)) = timer::timeout(PATIENCE, connecting).await else { return };
        sim::note(|| {
            let requests = &self.requests;
            format!("client c{} is {:?}, requests {requests:?}", peer.number(), self.manner)
        });
        let peer = Rc::new(peer);
        let mut reader = Reader::new(&peer);
        if self.manner == Manner::Sips {
            let size = sim::draw(|random| random.usize(500..5000));
            reader.pace = (size, Duration::from_millis(sim::draw(|random| random.u64(..30))));
        }
        match self.manner {
            Manner::Pipelines | Manner::Finishes => {
                let (all, finishes) = (self.texts.concat(), self.manner == Manner::Finishes);
                let begun = self.generation();
                let writing = write(&peer, all, None, finishes);
                for place in 0..self.requests.len() {
                    if !self.read(&peer, &mut reader, place, begun, None).await {
                        break;
                    }
                }
                writing.abort();
            }
            _ => self.one_by_one(&peer, &mut reader).await,
        }
    }

    async fn one_by_one(&self, peer: &Rc<Peer>, reader: &mut Reader) {
        let mut idle_since = None;
        for place in 0..self.requests.len() {
            let text = self.texts[place].clone();
            let begun = self.generation();
            let cut = sim::draw(|random| random.usize(1..text.len()));
            let pace = (self.manner == Manner::Drips).then(|| {
                (text.len() / 8 + 1, Duration::from_millis(sim::draw(|random| random.u64(..1500))))
            });
            let last = place + 1 == self.requests.len();
            match self.manner {
                Manner::Leaves | Manner::Stalls if last => {
                    self.shared.borrow_mut().sent[self.requests[place]].whole = false;
                    say(peer, &text[..cut]).await;
                    if self.manner == Manner::Stalls {
                        self.await_end(peer, reader).await;
                    }
                    return;
                }
                Manner::Hangs | Manner::Deaf if last => {
                    let writing = write(peer, text, None, false);
                    let most = sim::draw(|random| random.usize(..3000));
                    while reader.received < most && reader.fill().await.is_ok() {}
                    if self.manner == Manner::Deaf {
                        // The proxy has the deadline, while it has something to send.
                        timer::sleep(DEAF).await;
                    }
                    writing.abort();
                    return;
                }
                _ => {}
            }
            let writing = write(peer, text, pace, false);
            let goes_on = self.read(peer, reader, place, begun, idle_since).await;
            if goes_on && !self.old {
                // The rest of a request that is answered early is still sent.
                let _ = timer::timeout(PATIENCE, writing).await;
            } else {
                writing.abort();
                return;
            }
            idle_since = Some(clock::precise());
            timer::sleep(Duration::from_millis(sim::draw(|random| match random.u8(..4) {
                0 => random.u64(..8000),
                _ => random.u64(..20),
            })))
            .await;
        }
    }

    fn generation(&self) -> usize {
        self.shared.borrow().generation
    }

    /// Waits for the proxy to end a connection on which the client is silent.
    async fn await_end(&self, peer: &Peer, reader: &mut Reader) {
        let start = clock::precise();
        while reader.fill().await.is_ok() {}
        let took = start.elapsed();
        let mut model = self.shared.borrow_mut();
        if !peer.fate().lost && took > BOUND {
            model.breaks(format!("c{} was silent for {took:?}", peer.number()));
        }
    }

    /// Reads and judges the response to a request. Returns whether another one can follow.
    async fn read(
        &self,
        peer: &Peer,
        reader: &mut Reader,
        place: usize,
        begun: usize,
        idle_since: Option<Instant>,
    ) -> bool {
        let id = self.requests[place];
        let start = clock::precise();
        let method = self.shared.borrow().sent[id].method;
        let response = response(reader, method).await;
        sim::note(|| {
            let first = response.head.as_ref().map(|head| head.first.clone());
            let length = response.body.len();
            format!("c{}: r{id} has {first:?}, {length} bytes, {:?}", peer.number(), response.stop)
        });
        let idle = idle_since.map_or(Duration::ZERO, |since| start - since);
        let fate = peer.fate();
        let well = is_well(fate) && !matches!(self.manner, Manner::Drips | Manner::Finishes);
        let mut model = self.shared.borrow_mut();
        let judge = Judge { id, place, begun, idle, well, old: self.old };
        if let Err(what) = judge.verdict(&mut model, &response) {
            model.breaks(format!("r{id} on c{}: {what}", peer.number()));
        }
        if well && start.elapsed() > BOUND {
            model.breaks(format!("r{id} took {:?}", start.elapsed()));
        }
        response.stop.is_none() && response.head.is_some_and(|head| !head.closes())
    }
}

/// The time that a client stays which reads nothing.
pub(crate) const DEAF: Duration = Duration::from_secs(120);

/// Longer than all timeouts of any configuration, and all pauses of upstreams, together.
pub(crate) const BOUND: Duration = Duration::from_secs(150);

pub(crate) fn body_size(random: &mut Rng) -> usize {
    match random.u8(..8) {
        0..=3 => random.usize(..300),
        4..=6 => random.usize(..6000),
        _ => random.usize(..60_000),
    }
}

fn request(
    id: usize,
    method: &str,
    length: usize,
    chunks: bool,
    closes: bool,
    old: bool,
) -> Vec<u8> {
    let version = if old { "1.0" } else { "1.1" };
    let mut text = format!("{method} /r{id} HTTP/{version}\r\nHost: a\r\n");
    match (chunks, method) {
        (true, _) => text += "Transfer-Encoding: chunked\r\n",
        (false, "GET" | "HEAD") => {}
        (false, _) => text += &format!("Content-Length: {length}\r\n"),
    }
    if closes {
        text += "Connection: close\r\n";
    }
    text += "\r\n";
    let mut text = text.into_bytes();
    match chunks {
        true => text.extend(chunked(&content(id, length))),
        false => text.extend(content(id, length)),
    }
    text
}

/// Writes in a task of its own, because an early response has to be read meanwhile.
fn write(
    peer: &Rc<Peer>,
    text: Vec<u8>,
    pace: Option<(usize, Duration)>,
    finishes: bool,
) -> JoinHandle<()> {
    let peer = Rc::clone(peer);
    spawn_joined(async move {
        let (size, pause) = pace.unwrap_or((text.len(), Duration::ZERO));
        for part in text.chunks(size) {
            if !say(&peer, part).await {
                return;
            }
            if !pause.is_zero() {
                timer::sleep(pause).await;
            }
        }
        if finishes {
            peer.finish();
        }
    })
}

/// Reads a response.
async fn response(reader: &mut Reader, method: &str) -> Response {
    let mut response = Response { head: None, body: Vec::new(), stop: None };
    let head = loop {
        match reader.head().await {
            Ok(head) if (100..200).contains(&head.status()) => {}
            Ok(head) => break head,
            Err(stop) => {
                response.stop = Some(stop);
                return response;
            }
        }
    };
    let bodiless = method == "HEAD" || matches!(head.status(), 204 | 304);
    let framing = head.framing().unwrap_or(Framing::Close);
    response.head = Some(head);
    if !bodiless {
        response.stop = reader.body(framing, &mut response.body).await.err();
    }
    response
}

/// Whether the network has done nothing to a connection that its user must notice.
pub(crate) fn is_well(fate: Fate) -> bool {
    !fate.reset && !fate.lost && fate.late < HARMLESS
}

/// The facts for a verdict.
pub(crate) struct Judge {
    pub(crate) id: usize,
    /// Its place on its connection.
    pub(crate) place: usize,
    /// The configuration in force when the client began to send.
    pub(crate) begun: usize,
    /// The maximum time that the connection was idle before.
    pub(crate) idle: Duration,
    /// Whether the client and its connection have been well.
    pub(crate) well: bool,
    pub(crate) old: bool,
}

impl Judge {
    pub(crate) fn verdict(&self, model: &mut Model, response: &Response) -> Result<(), String> {
        let Some(head) = &response.head else { return self.without_response(model, response) };
        if response.stop == Some(Stop::Nonsense) {
            return Err("a malformed response".to_owned());
        }
        let generation = head.number("x-generation");
        if !generation.is_some_and(|number| (self.begun..=model.generation).contains(&number)) {
            return Err(format!("the configuration {generation:?} has answered"));
        }
        match head.number("x-response") {
            Some(number) => self.passed_on(model, response, head, number),
            None => self.own(model, response, head),
        }
    }

    /// No response has come.
    fn without_response(&self, model: &Model, response: &Response) -> Result<(), String> {
        let idle = Duration::from_secs(model.conf.keepalive_timeout.saturating_sub(1));
        let timed_out = self.place > 0 && self.idle >= idle;
        match self.well && !timed_out && !model.conf.is_scarce() {
            true => Err(format!("no response, {:?}", response.stop)),
            false => Ok(()),
        }
    }

    /// The response of an upstream.
    fn passed_on(
        &self,
        model: &mut Model,
        response: &Response,
        head: &Head,
        number: usize,
    ) -> Result<(), String> {
        let given = *model.given.get(number).ok_or("an unknown response")?;
        if given.request != self.id {
            return Err(format!("the response to r{}", given.request));
        }
        if given.status != head.status() {
            return Err(format!("the status {} in place of {}", head.status(), given.status));
        }
        let whole = content(number, given.length);
        let (got, all) = (response.body.len(), whole.len());
        if !whole.starts_with(&response.body) && model.sent[self.id].method != "HEAD" {
            return Err(format!("another body, {got} bytes of {all}"));
        }
        let is_whole = got == all;
        let looks_whole = response.stop.is_none() && (head.framing().is_some() && !self.old);
        if looks_whole && !is_whole && !model.sent[self.id].method.eq("HEAD") {
            return Err(format!("{got} bytes of {all} that look whole"));
        }
        let delivered = given.whole && is_well(sim::fate(given.over));
        if self.well && delivered && (!is_whole || response.stop.is_some()) {
            return Err(format!("{got} bytes of {all}, {:?}", response.stop));
        }
        model.answered += usize::from(is_whole);
        Ok(())
    }

    /// A response of the proxy's own.
    fn own(&self, model: &Model, response: &Response, head: &Head) -> Result<(), String> {
        let sent = &model.sent[self.id];
        let excuse = match head.status() {
            413 => model.conf.max_body > 0 && sent.length > model.conf.max_body,
            503 => model.conf.limit_conn > 0,
            502 => model.trouble || model.conf.is_narrow(),
            504 => model.trouble,
            500 => model.conf.is_scarce() || model.trouble,
            408 | 400 => !self.well,
            _ => false,
        };
        if !excuse {
            return Err(format!("\"{}\" without a reason", head.first));
        }
        match self.well && response.stop.is_some() {
            true => Err(format!("a page that is cut off, {:?}", response.stop)),
            false => Ok(()),
        }
    }
}
