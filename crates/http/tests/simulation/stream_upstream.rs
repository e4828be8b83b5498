//! Upstreams of HTTP/2, from good to malicious. Several requests share a connection, and its end
//! is that of all of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use weir_engine::sim::{self, Peer};
use weir_engine::{spawn, timer};

use crate::frames::{self, Event, Fields, Input, Link, PREFACE, Refill, code, setting};
use crate::message::{Head, Reader, content};
use crate::model::{Given, Shared};
use crate::upstream::{identify, pause, size};

/// The behaviour of an upstream in one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Good,
    Slow,
    /// Sends 103 first.
    Interim,
    /// Answers before it has read the body.
    Early,
    /// Never answers this request.
    Mute,
    /// Resets the stream instead of answering.
    Resets,
    /// Says that it has not processed the request.
    Refuses,
    /// Announces the end of the connection, with this request as the last or not at all.
    LastOne,
    NotThisOne,
    /// Resets in the middle of the body.
    Torn,
    /// The connection dies.
    Dies,
    /// The connection stays, and nothing is sent on it any more.
    Freezes,
    /// Sends bytes that are no frame.
    Garbage,
    /// Allows no stream for a while.
    Closed,
}

const GOOD: [Mood; 4] = [Mood::Good, Mood::Good, Mood::Slow, Mood::Interim];
const BAD: [Mood; 11] = [
    Mood::Early,
    Mood::Mute,
    Mood::Resets,
    Mood::Refuses,
    Mood::LastOne,
    Mood::NotThisOne,
    Mood::Torn,
    Mood::Dies,
    Mood::Freezes,
    Mood::Garbage,
    Mood::Closed,
];

/// A request that is being received.
struct Open {
    id: usize,
    fields: Fields,
    body: Vec<u8>,
    mood: Mood,
}

struct Connection {
    link: Link,
    peer: Rc<Peer>,
    shared: Shared,
    open: RefCell<BTreeMap<u32, Open>>,
    /// The last stream that was accepted, once GOAWAY has said so.
    last: RefCell<Option<u32>>,
}

/// Serves a connection whose preface has been read up to the end of its first line.
pub(crate) async fn serve(peer: Rc<Peer>, reader: Reader, bad: u32, shared: Shared) {
    let link = Link::start(&peer, None);
    let (most, window, refill) = sim::draw(|random| {
        let most = [None, None, Some(100), Some(2), Some(1)][random.usize(..5)];
        let window = [65_535, 65_535, 300, 5000, 1 << 20][random.usize(..5)];
        let refill = match random.u8(..3) {
            0 => Refill::Late(Duration::from_millis(random.u64(..50))),
            _ => Refill::AtOnce,
        };
        (most, window, refill)
    });
    let mut settings = vec![(setting::INITIAL_WINDOW_SIZE, window)];
    settings.extend(most.map(|most| (setting::MAX_CONCURRENT_STREAMS, most)));
    link.settings(&settings);
    let input = Input::new(reader, &link, refill);
    let (open, last) = (RefCell::default(), RefCell::default());
    let connection = Rc::new(Connection { link: link.clone(), peer, shared, open, last });
    frames::read(&link, connection.receive(input, bad));
}

impl Connection {
    async fn receive(self: Rc<Self>, mut input: Input, bad: u32) {
        const REST: &[u8] = b"SM\r\n\r\n";
        if input.take(REST.len()).await.is_ok_and(|rest| PREFACE.ends_with(&rest)) {
            while let Ok(event) = input.event().await {
                self.take(event, bad);
            }
        }
        self.lose();
        self.link.close();
    }

    fn take(self: &Rc<Self>, event: Event, bad: u32) {
        match event {
            Event::Head { stream, fields, end } => self.begin(stream, fields, end, bad),
            Event::Data { stream, bytes, end } => {
                let mut open = self.open.borrow_mut();
                let Some(request) = open.get_mut(&stream) else { return };
                request.body.extend(bytes);
                let (id, length) = (request.id, request.body.len());
                let whole = content(id, self.shared.borrow().sent[id].length);
                if !whole.starts_with(&request.body) {
                    self.shared.borrow_mut().breaks(format!("r{id} came with another body"));
                }
                if end {
                    let request = open.remove(&stream);
                    drop(open);
                    self.check_end(id, length);
                    request.into_iter().for_each(|request| self.answer(stream, request));
                }
            }
            Event::Reset { stream } => {
                self.open.borrow_mut().remove(&stream);
            }
            Event::GoAway { .. } | Event::Other => {}
        }
    }

    fn check_end(&self, id: usize, length: usize) {
        let mut model = self.shared.borrow_mut();
        let sent = model.sent[id].clone();
        if length < sent.length {
            model.breaks(format!("r{id} came with {length} of {} bytes", sent.length));
        }
    }

    fn begin(self: &Rc<Self>, stream: u32, fields: Fields, end: bool, bad: u32) {
        if self.last.borrow().is_some_and(|last| stream > last) {
            return;
        }
        let mood = sim::draw(|random| match bad > 0 && random.u32(..bad) == 0 {
            true => BAD[random.usize(..BAD.len())],
            false => GOOD[random.usize(..GOOD.len())],
        });
        let value = |name: &str| {
            fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
        };
        let first = format!("{} {} HTTP/2", value(":method"), value(":path"));
        sim::note(|| format!("c{}: {first} arrives, {mood:?}", self.peer.number()));
        // What is not processed has not arrived.
        match mood {
            Mood::Refuses => {
                self.shared.borrow_mut().troubles("refuses a stream");
                return self.link.reset(stream, code::REFUSED_STREAM);
            }
            Mood::NotThisOne => {
                self.shared.borrow_mut().troubles("a stream above the last one");
                return self.end_after(stream.saturating_sub(2));
            }
            _ => {}
        }
        let head = Head { first, fields: fields.clone() };
        let Some(id) = identify(&head, stream > 1, &self.shared) else { return };
        let request = Open { id, fields, body: Vec::new(), mood };
        match mood {
            Mood::LastOne => self.end_after(stream),
            Mood::Closed => {
                self.shared.borrow_mut().troubles("allows no streams");
                self.link.settings(&[(setting::MAX_CONCURRENT_STREAMS, 0)]);
                let (link, pause) = (self.link.clone(), pause(5000));
                spawn(async move {
                    timer::sleep(pause).await;
                    link.settings(&[(setting::MAX_CONCURRENT_STREAMS, 10)]);
                });
            }
            _ => {}
        }
        if end {
            self.check_end(id, 0);
        }
        match end || mood == Mood::Early {
            true => self.answer(stream, request),
            false => {
                self.open.borrow_mut().insert(stream, request);
            }
        }
    }

    fn end_after(&self, last: u32) {
        let mut known = self.last.borrow_mut();
        let last = known.map_or(last, |known| known.min(last));
        *known = Some(last);
        self.link.go_away(last, code::NO_ERROR);
    }

    /// No response that is under way is known to arrive.
    fn lose(&self) {
        let over = self.peer.number();
        let mut model = self.shared.borrow_mut();
        model
            .given
            .iter_mut()
            .filter(|given| given.over == over)
            .for_each(|given| given.whole = false);
    }

    fn answer(self: &Rc<Self>, stream: u32, request: Open) {
        spawn(Rc::clone(self).respond(stream, request));
    }

    async fn respond(self: Rc<Self>, stream: u32, request: Open) {
        let Open { id, fields, mood, .. } = request;
        if mood == Mood::Slow {
            timer::sleep(pause(900)).await;
        }
        match mood {
            Mood::Mute => return self.shared.borrow_mut().troubles("no answer"),
            Mood::Resets => {
                self.shared.borrow_mut().troubles("a reset");
                return self.link.reset(stream, code::INTERNAL_ERROR);
            }
            Mood::Dies | Mood::Freezes | Mood::Garbage => return self.fail(mood).await,
            Mood::Early => self.shared.borrow_mut().troubles("an early answer"),
            Mood::Interim => self.link.head(stream, &[(":status", "103"), ("link", "</a>")], false),
            _ => {}
        }
        let is_head = fields.contains(&(":method".to_owned(), "HEAD".to_owned()));
        let (status, length, measured) = sim::draw(|random| {
            let status = match random.u8(..10) {
                0 => [204, 304, 404, 500, 503][random.usize(..5)],
                _ => 200,
            };
            (status, size(random), random.bool())
        });
        let bodiless = is_head || matches!(status, 204 | 304);
        let given = if bodiless { 0 } else { length };
        let number = self.give(id, status, given);
        let (number_text, status_text, size) =
            (number.to_string(), status.to_string(), length.to_string());
        let mut head = vec![(":status", &status_text[..]), ("x-response", &number_text[..])];
        if measured && status != 204 {
            head.push(("content-length", &size));
        }
        self.link.head(stream, &head, bodiless || given == 0);
        let body = content(number, given);
        let cut = match mood {
            Mood::Torn if given > 0 => sim::draw(|random| random.usize(..given)),
            _ => given,
        };
        if !self.link.body(stream, &body[..cut], cut == given).await {
            return;
        }
        if cut < given {
            self.shared.borrow_mut().troubles("a response that is cut");
            return self.link.reset(stream, code::INTERNAL_ERROR);
        }
        self.shared.borrow_mut().given[number].whole = true;
        if mood == Mood::Early {
            self.link.reset(stream, code::NO_ERROR);
        }
    }

    fn give(&self, request: usize, status: u16, length: usize) -> usize {
        let mut model = self.shared.borrow_mut();
        if model.conf.blames(status) {
            model.troubles("a status that counts as a failure");
        }
        let (over, whole) = (self.peer.number(), false);
        model.given.push(Given { request, status, length, over, whole });
        model.given.len() - 1
    }

    /// The connection fails, with all that is under way on it.
    async fn fail(&self, mood: Mood) {
        self.shared.borrow_mut().troubles("a connection that fails");
        match mood {
            Mood::Freezes => self.link.freeze(),
            Mood::Garbage => {
                self.link.raw(b"\xff\xff\xff\x16\x03\x01 what\r\n\r\n");
                timer::sleep(pause(20)).await;
            }
            _ => {}
        }
        self.lose();
        if mood != Mood::Freezes {
            if sim::draw(Rng::bool) {
                self.peer.reset_on_drop();
            }
            self.link.kill();
        }
    }
}
