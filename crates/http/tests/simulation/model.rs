//! The model: the messages that were sent, to judge those that arrive.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use weir_engine::sim;

use crate::configuration::Configuration;

/// A request as a client sends it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) method: &'static str,
    /// The length of its body, in bytes.
    pub(crate) length: usize,
    /// Whether the client sends all of it.
    pub(crate) whole: bool,
    /// How often its head has arrived at an upstream: over a new connection, and over a kept one.
    pub(crate) arrivals: [u32; 2],
}

impl Sent {
    /// Whether a second attempt does no harm (RFC 9110, section 9.2.2, as nginx sees it).
    pub(crate) fn is_idempotent(&self) -> bool {
        !matches!(self.method, "POST" | "PATCH")
    }
}

/// A response as an upstream sends it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    /// The request that it answers.
    pub(crate) request: usize,
    pub(crate) status: u16,
    /// The length of its body, in bytes.
    pub(crate) length: usize,
    /// The number of its connection.
    pub(crate) over: u32,
    /// Whether the upstream has sent all of it, and closes normally after it, if at all.
    pub(crate) whole: bool,
}

pub(crate) struct Model {
    pub(crate) conf: Configuration,
    pub(crate) sent: Vec<Sent>,
    pub(crate) given: Vec<Given>,
    /// The number of the configuration in force.
    pub(crate) generation: usize,
    /// Whether something has gone wrong that a client may notice.
    pub(crate) trouble: bool,
    /// The broken promises.
    pub(crate) broken: Vec<String>,
    /// The number of complete responses that have arrived.
    pub(crate) answered: usize,
}

pub(crate) type Shared = Rc<RefCell<Model>>;

impl Model {
    pub(crate) fn new(conf: Configuration) -> Shared {
        Rc::new(RefCell::new(Self {
            conf,
            sent: Vec::new(),
            given: Vec::new(),
            generation: 0,
            trouble: false,
            broken: Vec::new(),
            answered: 0,
        }))
    }

    /// Records a broken promise.
    pub(crate) fn breaks(&mut self, what: String) {
        sim::note(|| format!("BROKEN: {what}"));
        self.broken.push(what);
    }

    /// Records an act of an upstream that a client may notice.
    pub(crate) fn troubles(&mut self, what: &str) {
        sim::note(|| format!("upstream: {what}"));
        self.trouble = true;
    }

    /// Records a head that has arrived at an upstream.
    pub(crate) fn arrives(&mut self, id: usize, is_kept: bool) {
        self.sent[id].arrivals[usize::from(is_kept)] += 1;
        let sent = &self.sent[id];
        let [fresh, kept] = sent.arrivals;
        let once = !sent.is_idempotent() && !self.conf.non_idempotent;
        // Attempts over kept connections do not count, because those may only have been closed.
        let too_often = match once || self.conf.next_off {
            true => fresh + kept > 1,
            false => fresh > self.conf.tries,
        };
        if too_often {
            let method = sent.method;
            let how = format!("{fresh} times anew, {kept} times over a kept connection");
            self.breaks(format!("r{id} ({method}) was sent {how}"));
        }
    }
}

/// The lateness up to which a connection is a good one to its user.
pub(crate) const HARMLESS: Duration = Duration::from_millis(500);
