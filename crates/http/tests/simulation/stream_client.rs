//! Clients of HTTP/2: several requests at a time on a connection, from good to malicious.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use weir_engine::clock::{self, Instant};
use weir_engine::sim::{self, Peer};
use weir_engine::{spawn_joined, timer};

use crate::client::{BOUND, DEAF, Judge, Response, body_size, is_well};
use crate::frames::{self, Event, Fields, Input, Link, PREFACE, Refill, code, setting};
use crate::message::{Head, PATIENCE, Reader, Stop, content};
use crate::model::{Sent, Shared};
use crate::proxy::{ADDRESS, address};

/// The behaviour of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Good,
    /// Grants windows late.
    Sips,
    /// Sends in small pieces.
    Drips,
    /// Closes with open streams.
    Leaves,
    /// Grants no windows.
    Deaf,
}

/// The behaviour of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Whole,
    /// Resets the stream after a time.
    Cancels,
    /// Stops in the middle of the body.
    Stalls,
    /// Ends the body too early.
    Cuts,
}

const GOOD: [Manner; 3] = [Manner::Good, Manner::Good, Manner::Sips];
const ALL: [Manner; 6] =
    [Manner::Good, Manner::Good, Manner::Sips, Manner::Drips, Manner::Leaves, Manner::Deaf];
const ACTS: [Act; 6] = [Act::Whole, Act::Whole, Act::Whole, Act::Cancels, Act::Stalls, Act::Cuts];

struct Planned {
    id: usize,
    act: Act,
    /// Whether the length of the body is announced.
    measured: bool,
    delay: Duration,
}

/// A client with its requests.
pub(crate) struct StreamClient {
    from: SocketAddr,
    manner: Manner,
    requests: Vec<Planned>,
    shared: Shared,
}

/// What has come of the responses.
#[derive(Default)]
struct Answers {
    streams: BTreeMap<u32, Answer>,
    /// The last stream of GOAWAY.
    last: Option<u32>,
    /// The end of the connection.
    stop: Option<Stop>,
    next: u32,
    open: usize,
    idle_since: Option<Instant>,
}

#[derive(Default)]
struct Answer {
    fields: Option<Fields>,
    body: Vec<u8>,
    ended: bool,
    reset: bool,
}

impl StreamClient {
    /// Draws a client; `number` is the last byte of its address.
    pub(crate) fn draw(number: u8, quiet: bool, random: &mut Rng, shared: &Shared) -> Self {
        let manner = match quiet {
            true => GOOD[random.usize(..GOOD.len())],
            false => ALL[random.usize(..ALL.len())],
        };
        let mut requests = Vec::new();
        for _ in 0..random.usize(1..=8) {
            let method = ["GET", "GET", "GET", "POST", "POST", "PUT", "HEAD"][random.usize(..7)];
            let length = if matches!(method, "GET" | "HEAD") { 0 } else { body_size(random) };
            let act = if quiet { Act::Whole } else { ACTS[random.usize(..ACTS.len())] };
            let act =
                if length < 2 && matches!(act, Act::Stalls | Act::Cuts) { Act::Whole } else { act };
            let mut model = shared.borrow_mut();
            let id = model.sent.len();
            // A body of unknown length is whole wherever it ends.
            let measured = act == Act::Cuts || random.u8(..3) > 0;
            model.sent.push(Sent { method, length, whole: act == Act::Whole, arrivals: [0; 2] });
            let delay = match random.u8(..4) {
                0 => random.u64(..8000),
                _ => random.u64(..30),
            };
            requests.push(Planned { id, act, measured, delay: Duration::from_millis(delay) });
        }
        let from = address(([192, 0, 2, number], 2000 + u16::from(number)));
        Self { from, manner, requests, shared: Rc::clone(shared) }
    }

    /// Connects, sends requests, and judges the responses.
    pub(crate) async fn run(self) {
        let connecting = Peer::connect(self.from, address(ADDRESS));
        let Ok(Ok(peer)) = timer::timeout(PATIENCE, connecting).await else { return };
        let peer = Rc::new(peer);
        sim::note(|| {
            let ids: Vec<_> =
                self.requests.iter().map(|request| (request.id, request.act)).collect();
            format!("client c{} is {:?} of HTTP/2, requests {ids:?}", peer.number(), self.manner)
        });
        let pace = (self.manner == Manner::Drips).then(|| {
            let pause = Duration::from_millis(sim::draw(|random| random.u64(..30)));
            (sim::draw(|random| random.usize(200..5000)), pause)
        });
        let link = Link::start(&peer, pace);
        let window = sim::draw(|random| [65_535, 65_535, 200, 3000, 1 << 20][random.usize(..5)]);
        link.raw(PREFACE);
        link.settings(&[(setting::INITIAL_WINDOW_SIZE, window)]);
        let answers = Rc::new(RefCell::new(Answers { next: 1, ..Answers::default() }));
        let refill = match self.manner {
            Manner::Deaf => Refill::Never,
            Manner::Sips => {
                Refill::Late(Duration::from_millis(sim::draw(|random| random.u64(..40))))
            }
            _ => Refill::AtOnce,
        };
        let input = Input::new(Reader::new(&peer), &link, refill);
        frames::read(&link, receive(input, link.clone(), Rc::clone(&answers)));
        let me = Rc::new(self);
        let mut asking = Vec::new();
        for at in 0..me.requests.len() {
            timer::sleep(me.requests[at].delay).await;
            let asked = Rc::clone(&me).ask(at, Rc::clone(&peer), link.clone(), Rc::clone(&answers));
            asking.push(spawn_joined(asked));
        }
        match me.manner {
            Manner::Leaves => {
                timer::sleep(Duration::from_millis(sim::draw(|random| random.u64(..3000)))).await;
                if sim::draw(Rng::bool) {
                    peer.reset_on_drop();
                }
                link.kill();
            }
            Manner::Deaf => {
                timer::sleep(DEAF).await;
                link.kill();
            }
            _ => {}
        }
        for asked in asking {
            if asked.await.is_err() {
                me.shared.borrow_mut().breaks("a client of HTTP/2 has panicked".to_owned());
            }
        }
        link.close();
    }

    async fn ask(
        self: Rc<Self>,
        at: usize,
        peer: Rc<Peer>,
        link: Link,
        answers: Rc<RefCell<Answers>>,
    ) {
        let Planned { id, act, measured, .. } = self.requests[at];
        let start = clock::precise();
        let (stream, place, idle) = {
            let mut answers = answers.borrow_mut();
            if answers.last.is_some() || answers.stop.is_some() || link.is_closed() {
                return;
            }
            answers.next += 2;
            answers.open += 1;
            let stream = answers.next - 2;
            let idle = answers.idle_since.take().map_or(Duration::ZERO, |since| start - since);
            answers.streams.insert(stream, Answer::default());
            (stream, usize::from(stream > 1), idle)
        };
        let begun = self.shared.borrow().generation;
        let (method, length) = {
            let model = self.shared.borrow();
            (model.sent[id].method, model.sent[id].length)
        };
        let (path, size) = (format!("/r{id}"), length.to_string());
        let mut fields =
            vec![(":method", method), (":scheme", "http"), (":path", &path), (":authority", "a")];
        if measured && length > 0 {
            fields.push(("content-length", &size));
        }
        link.head(stream, &fields, length == 0);
        let upload = self.upload(&link, stream, id, act, length);
        let answered = poll_fn(|cx| {
            let answers = answers.borrow();
            let is_over = answers.stop.is_some()
                || link.is_closed()
                || link.is_reset(stream)
                || answers.streams.get(&stream).is_none_or(|answer| answer.ended || answer.reset);
            link.wait(cx);
            if is_over { Poll::Ready(()) } else { Poll::Pending }
        });
        let is_late = timer::timeout(PATIENCE, answered).await.is_err();
        upload.abort();
        let (answer, stop, last) = {
            let mut answers = answers.borrow_mut();
            answers.open -= 1;
            if answers.open == 0 {
                answers.idle_since = Some(clock::precise());
            }
            let stop = if is_late { Some(Stop::Silence) } else { answers.stop };
            (answers.streams.remove(&stream).unwrap_or_default(), stop, answers.last)
        };
        let well = is_well(peer.fate())
            && act == Act::Whole
            && matches!(self.manner, Manner::Good | Manner::Sips);
        let is_refused = answer.fields.is_none() && last.is_some_and(|last| stream > last);
        let judge = Judge { id, place, begun, idle, well: well && !is_refused, old: false };
        self.judge(judge, answer, stop, start.elapsed(), &peer);
    }

    /// Sends the body in a task of its own, and whatever else the request does.
    fn upload(
        &self,
        link: &Link,
        stream: u32,
        id: usize,
        act: Act,
        length: usize,
    ) -> weir_engine::event_loop::JoinHandle<()> {
        let link = link.clone();
        spawn_joined(async move {
            let body = content(id, length);
            let cut = match length {
                0 => 0,
                length => sim::draw(|random| random.usize(..length)),
            };
            match act {
                Act::Whole => {
                    link.body(stream, &body, true).await;
                }
                Act::Stalls => {
                    link.body(stream, &body[..cut], false).await;
                }
                Act::Cuts => {
                    if link.body(stream, &body[..cut], false).await {
                        link.end(stream);
                    }
                }
                Act::Cancels => {
                    link.body(stream, &body[..cut], false).await;
                    let pause = sim::draw(|random| random.u64(..2000));
                    timer::sleep(Duration::from_millis(pause)).await;
                    link.reset(stream, code::CANCEL);
                }
            }
        })
    }

    fn judge(&self, judge: Judge, answer: Answer, stop: Option<Stop>, took: Duration, peer: &Peer) {
        let id = judge.id;
        let stop = match (answer.ended, answer.reset) {
            (true, _) => None,
            (false, true) => Some(Stop::Reset),
            (false, false) => stop.or(Some(Stop::End)),
        };
        let head = answer.fields.as_ref().map(head_of);
        sim::note(|| {
            let first = head.as_ref().map(|head| head.first.clone());
            let length = answer.body.len();
            format!("c{}: r{id} has {first:?}, {length} bytes, {stop:?}", peer.number())
        });
        let well = judge.well;
        let mut model = self.shared.borrow_mut();
        let response = Response { head, body: answer.body, stop };
        if let Err(what) = judge.verdict(&mut model, &response) {
            model.breaks(format!("r{id} on c{}: {what}", peer.number()));
        }
        if well && took > BOUND {
            model.breaks(format!("r{id} took {took:?}"));
        }
    }
}

/// The head of a response as one of HTTP/1.1, in which its end is marked, too.
fn head_of(fields: &Fields) -> Head {
    let mut fields = fields.clone();
    let status = fields.iter().find(|(name, _)| name == ":status");
    let first = format!("HTTP/1.1 {}", status.map_or("0", |(_, status)| status));
    if !fields.iter().any(|(name, _)| name == "content-length") {
        fields.push(("transfer-encoding".to_owned(), "chunked".to_owned()));
    }
    Head { first: first + " Some", fields }
}

/// Takes everything that comes, until the end of the connection.
async fn receive(mut input: Input, link: Link, answers: Rc<RefCell<Answers>>) {
    let stop = loop {
        let event = match input.event().await {
            Ok(event) => event,
            Err(stop) => break stop,
        };
        let mut answers = answers.borrow_mut();
        match event {
            Event::Head { stream, fields, end } => {
                let interim =
                    fields.iter().any(|(name, value)| name == ":status" && value.starts_with('1'));
                if let Some(answer) = answers.streams.get_mut(&stream).filter(|_| !interim) {
                    if answer.fields.is_none() {
                        answer.fields = Some(fields);
                    }
                    answer.ended |= end;
                }
            }
            Event::Data { stream, bytes, end } => {
                if let Some(answer) = answers.streams.get_mut(&stream) {
                    answer.body.extend(bytes);
                    answer.ended |= end;
                }
            }
            Event::Reset { stream } => {
                if let Some(answer) = answers.streams.get_mut(&stream) {
                    answer.reset = true;
                }
            }
            Event::GoAway { last } => answers.last = Some(last),
            Event::Other => {}
        }
        drop(answers);
        link.wake();
    };
    answers.borrow_mut().stop = Some(stop);
    link.close();
}
