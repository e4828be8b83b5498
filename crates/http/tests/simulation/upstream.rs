//! Upstreams, from good to malicious.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use weir_engine::sim::{self, Listening, Peer};
use weir_engine::{spawn, timer};

use crate::message::{Framing, Head, Reader, Stop, chunked, content, say};
use crate::model::{Given, Shared};
use crate::stream_upstream;

/// The behaviour of an upstream in one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Good,
    /// Answers after a pause.
    Slow,
    /// Sends 100 or 103 first.
    Interim,
    /// Sends more bytes than the response.
    Extra,
    /// Closes a connection that it has promised to keep, shortly after the response.
    Fickle,
    /// Answers before it has read the body.
    Early,
    /// Never answers.
    Mute,
    /// Closes or resets the connection instead of answering.
    Gone,
    /// Sends a part of the head only.
    Headless,
    /// Sends a part of the body only.
    Torn,
    /// Sends bytes that are not HTTP.
    Garbage,
}

/// The end of a response that is sent in part.
#[derive(Clone, Copy, Debug)]
enum Stub {
    Closed,
    Reset,
    Silent,
}

const GOOD: [Mood; 4] = [Mood::Good, Mood::Good, Mood::Slow, Mood::Interim];
const BAD: [Mood; 8] = [
    Mood::Extra,
    Mood::Fickle,
    Mood::Early,
    Mood::Mute,
    Mood::Gone,
    Mood::Headless,
    Mood::Torn,
    Mood::Garbage,
];

/// Serves at an address until its task is dropped. One in `bad` requests meets a bad mood; none if
/// that is 0.
pub(crate) fn start(address: SocketAddr, bad: u32, shared: &Shared) {
    let listening = Listening::at(address);
    let shared = Rc::clone(shared);
    spawn(async move {
        loop {
            let peer = listening.accept().await;
            spawn(serve(Rc::new(peer), bad, Rc::clone(&shared)));
        }
    });
}

async fn serve(peer: Rc<Peer>, bad: u32, shared: Shared) {
    let mut reader = Reader::new(&peer);
    let mut is_kept = false;
    while let Ok(head) = reader.head().await {
        if head.first == "PRI * HTTP/2.0" {
            return stream_upstream::serve(peer, reader, bad, shared).await;
        }
        let Some(id) = identify(&head, is_kept, &shared) else { return };
        let mood = sim::draw(|random| match bad > 0 && random.u32(..bad) == 0 {
            true => BAD[random.usize(..BAD.len())],
            false => GOOD[random.usize(..GOOD.len())],
        });
        sim::note(|| format!("c{}: r{id} arrives, {mood:?}", peer.number()));
        if mood != Mood::Early && read_body(&mut reader, &head, id, &shared).await.is_err() {
            return;
        }
        if !reader.buffered.is_empty() && mood != Mood::Early {
            shared.borrow_mut().breaks(format!("more than r{id} came to an upstream"));
        }
        if !answer(&peer, &mut reader, &head, id, mood, &shared).await {
            return;
        }
        is_kept = true;
    }
}

/// The number of the request, which must be one that a client has sent.
pub(crate) fn identify(head: &Head, is_kept: bool, shared: &Shared) -> Option<usize> {
    let mut model = shared.borrow_mut();
    let mut words = head.first.split(' ');
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let id = target.strip_prefix("/r").and_then(|id| id.parse::<usize>().ok());
    match id.filter(|&id| model.sent.get(id).is_some_and(|sent| sent.method == method)) {
        Some(id) => {
            model.arrives(id, is_kept);
            Some(id)
        }
        None => {
            model.breaks(format!("an unknown request: \"{}\"", head.first));
            None
        }
    }
}

async fn read_body(
    reader: &mut Reader,
    head: &Head,
    id: usize,
    shared: &Shared,
) -> Result<(), Stop> {
    let Some(framing) = head.framing() else {
        let mut model = shared.borrow_mut();
        if model.sent[id].length > 0 {
            model.breaks(format!("r{id} came without its body"));
        }
        return Ok(());
    };
    let mut body = Vec::new();
    let read = reader.body(framing, &mut body).await;
    let mut model = shared.borrow_mut();
    let sent = model.sent[id].clone();
    let whole = content(id, sent.length);
    if !whole.starts_with(&body) {
        model.breaks(format!("r{id} came with another body"));
    }
    if read.is_ok() && body.len() < whole.len() {
        model.breaks(format!("r{id} came with {} of {} bytes", body.len(), whole.len()));
    }
    if read.is_ok() && !sent.whole {
        model.breaks(format!("r{id} came in full, but was sent in part"));
    }
    if read == Err(Stop::Nonsense) {
        model.breaks(format!("the body of r{id} is malformed"));
    }
    read
}

/// A response, drawn for a request.
struct Draft {
    number: usize,
    head: Vec<u8>,
    body: Vec<u8>,
    framing: Framing,
    ends_by_close: bool,
    /// Whether the connection is kept after it.
    keeps: bool,
}

impl Draft {
    fn draw(id: usize, request: &Head, over: u32, shared: &Shared) -> Self {
        let old = request.first.ends_with("HTTP/1.0");
        let asked_to_close = old || request.field("connection") == Some("close");
        let (status, mut length, framing, keeps) = sim::draw(|random| {
            let status = match random.u8(..10) {
                0 => [204, 304, 404, 500, 503][random.usize(..5)],
                _ => 200,
            };
            let length = size(random);
            let framing = match random.u8(..4) {
                0 => Framing::Close,
                1 if !old => Framing::Chunked,
                _ => Framing::Length(length),
            };
            (status, length, framing, random.u8(..5) > 0)
        });
        let bodiless = status == 204 || status == 304 || request.first.starts_with("HEAD ");
        let mut model = shared.borrow_mut();
        if model.conf.blames(status) {
            model.troubles("a status that counts as a failure");
        }
        let number = model.given.len();
        let ends_by_close = framing == Framing::Close && !bodiless;
        let keeps = keeps && !asked_to_close && !ends_by_close;
        let mut head = format!("HTTP/1.1 {status} Some\r\nX-Response: {number}\r\n");
        if status != 204 {
            match framing {
                Framing::Length(length) => head += &format!("Content-Length: {length}\r\n"),
                Framing::Chunked => head += "Transfer-Encoding: chunked\r\n",
                Framing::Close => {}
            }
        }
        if !keeps {
            head += "Connection: close\r\n";
        }
        head += "\r\n";
        if bodiless {
            length = 0;
        }
        model.given.push(Given { request: id, status, length, over, whole: false });
        let body = match framing {
            Framing::Chunked if !bodiless => chunked(&content(number, length)),
            _ => content(number, length),
        };
        Self { number, head: head.into_bytes(), body, framing, ends_by_close, keeps }
    }
}

pub(crate) fn size(random: &mut Rng) -> usize {
    match random.u8(..12) {
        0 => 0,
        1..=5 => random.usize(..200),
        6..=9 => random.usize(..8000),
        10 => random.usize(..30_000),
        _ => random.usize(..150_000),
    }
}

/// Answers. Returns whether the connection is kept.
async fn answer(
    peer: &Rc<Peer>,
    reader: &mut Reader,
    request: &Head,
    id: usize,
    mood: Mood,
    shared: &Shared,
) -> bool {
    if mood == Mood::Slow {
        timer::sleep(pause(900)).await;
    }
    match mood {
        Mood::Mute | Mood::Gone => {
            shared.borrow_mut().troubles("no answer");
            let stub = if mood == Mood::Mute { Stub::Silent } else { stub() };
            end(peer, reader, stub).await;
            return false;
        }
        Mood::Garbage => {
            shared.borrow_mut().troubles("garbage");
            say(peer, b"\x16\x03\x01 what\r\n\r\n").await;
            end(peer, reader, stub()).await;
            return false;
        }
        Mood::Interim => {
            let interim: &[u8] = match sim::draw(Rng::bool) {
                true => b"HTTP/1.1 100 Continue\r\n\r\n",
                false => b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
            };
            if !request.first.ends_with("HTTP/1.0") && !say(peer, interim).await {
                return false;
            }
        }
        Mood::Early => shared.borrow_mut().troubles("an early answer"),
        _ => {}
    }
    let draft = Draft::draw(id, request, peer.number(), shared);
    if mood == Mood::Headless || mood == Mood::Torn {
        tear(peer, reader, draft, mood, shared).await;
        return false;
    }
    let (head, rest) = (draft.head.as_slice(), draft.body.as_slice());
    let together = sim::draw(Rng::bool);
    let sent = match together {
        true => say(peer, &[head, rest].concat()).await,
        false => {
            say(peer, head).await && {
                timer::sleep(pause(20)).await;
                say(peer, rest).await
            }
        }
    };
    if !sent {
        return false;
    }
    // Unread data turns the close into a reset, which may overtake the response.
    shared.borrow_mut().given[draft.number].whole = mood != Mood::Early;
    finish(peer, reader, &draft, mood, request, id, shared).await
}

/// Ends a response that was sent in full. Returns whether the connection is kept.
async fn finish(
    peer: &Rc<Peer>,
    reader: &mut Reader,
    draft: &Draft,
    mood: Mood,
    request: &Head,
    id: usize,
    shared: &Shared,
) -> bool {
    // If the close ends the body, more bytes would belong to the body.
    if mood == Mood::Extra && !draft.ends_by_close {
        // They may arrive when the connection is in use again, where they belong to no known
        // response.
        shared.borrow_mut().troubles("more than the response");
        say(peer, b"\x16\x03\x01 more\r\n\r\n").await;
    }
    if mood == Mood::Early {
        if read_body(reader, request, id, shared).await.is_err() {
            return false;
        }
        return draft.keeps;
    }
    if mood == Mood::Fickle && draft.keeps {
        shared.borrow_mut().troubles("closes what it has promised to keep");
        timer::sleep(pause(10)).await;
        return false;
    }
    if !draft.keeps {
        peer.finish();
        // Anything that comes now is too late.
        while reader.fill().await.is_ok() {}
    }
    draft.keeps
}

/// Sends a part of a response.
async fn tear(peer: &Rc<Peer>, reader: &mut Reader, draft: Draft, mood: Mood, shared: &Shared) {
    let stub = stub();
    let part = match mood {
        Mood::Headless => {
            let cut = sim::draw(|random| random.usize(1..draft.head.len() - 1));
            draft.head[..cut].to_vec()
        }
        _ => {
            let cut = sim::draw(|random| random.usize(..=draft.body.len().saturating_sub(1)));
            let mut model = shared.borrow_mut();
            let given = &mut model.given[draft.number];
            if draft.framing == Framing::Close && given.length > 0 && matches!(stub, Stub::Closed) {
                // This cannot be told from the end.
                (given.length, given.whole) = (cut, true);
            }
            [&draft.head, &draft.body[..cut]].concat()
        }
    };
    shared.borrow_mut().troubles(&format!("sends {} bytes of a response, {stub:?}", part.len()));
    if say(peer, &part).await {
        end(peer, reader, stub).await;
    }
}

fn stub() -> Stub {
    sim::draw(|random| match random.u8(..3) {
        0 => Stub::Closed,
        1 => Stub::Reset,
        _ => Stub::Silent,
    })
}

async fn end(peer: &Rc<Peer>, reader: &mut Reader, stub: Stub) {
    match stub {
        Stub::Closed => peer.finish(),
        Stub::Reset => peer.reset_on_drop(),
        Stub::Silent => {
            // The proxy has the deadline.
            while reader.fill().await.is_ok() {}
        }
    }
}

pub(crate) fn pause(millis: u64) -> Duration {
    Duration::from_millis(sim::draw(|random| random.u64(..millis)))
}
