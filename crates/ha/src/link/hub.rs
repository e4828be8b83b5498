//! The links of this node, shared by the tasks of the caretaker's thread: queues to the partners,
//! events for the mirror, and what is shown.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use weir_engine::clock;

use super::crossing::{Candidate, Dialler, replaces};
use super::frame::{Class, Kind};
use super::hello::Hello;
use super::queue::{Outbound, SendError};
use super::status::Status;
use crate::mirror::View;

/// The most events, and bytes of their messages, that wait for the mirror. Beyond them, no link is
/// read from. One message may wait in any case.
const MOST_EVENTS: usize = 1024;
const MOST_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// The most messages, and their bytes, that are kept for a mirror that has not begun yet: what a
/// partner says first, and the changes of a moment. If there are more, the link begins anew with
/// the mirror.
const MOST_EARLY: usize = 256;
const MOST_EARLY_BYTES: usize = 1024 * 1024;

/// The longest reason of an end that is shown.
const LONGEST_REASON: usize = 400;

/// News of a partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The link is up, in place of another one if that was not said to have ended. Everything sent
    /// before is lost, unless it was answered.
    Connected {
        /// The partner.
        node: String,
        /// The version of the protocol that both speak.
        version: u16,
    },
    /// The link has ended.
    Disconnected {
        /// The partner.
        node: String,
    },
    /// A message.
    Received {
        /// The partner.
        node: String,
        /// Its class.
        class: Class,
        /// Its content.
        message: Vec<u8>,
    },
}

/// The links. Clones share them. It belongs to the thread of the links' duty.
#[derive(Clone, Default)]
pub struct Hub(Rc<Inner>);

#[derive(Default)]
struct Inner {
    partners: RefCell<BTreeMap<String, Partner>>,
    events: RefCell<Events>,
    /// The number of the latest link.
    last: Cell<u64>,
    /// What the mirror shows; `None` without one.
    mirror: RefCell<Option<View>>,
}

#[derive(Default)]
struct Events {
    waiting: VecDeque<Event>,
    bytes: usize,
    /// Somebody takes events. Before that, only the first messages of links are queued.
    taken: bool,
    reader: Option<Waker>,
    /// Links that wait for room.
    writers: Vec<Waker>,
}

/// A partner, linked or not.
#[derive(Default)]
struct Partner {
    link: Option<Link>,
    outbound: Outbound,
    /// Woken when there is something to send, or another link has taken the place.
    task: Option<Waker>,
    /// Woken when the link ends.
    dialler: Option<Waker>,
    status: Option<Status>,
    /// It was said that there is a link, and not yet that it has ended. A link that gives way to
    /// another one, there or about to come, leaves it so.
    told_up: bool,
    /// What came by the link before the mirror was dropped, and the partner does not say it again.
    missed: bool,
    /// A newer process of this node has the partner's link, so this one does not dial.
    yielded: bool,
    /// Why there is no link.
    reason: String,
    /// When the link began or ended, by the wall clock in seconds.
    since: i64,
}

impl Events {
    /// Forgets the messages of a node.
    fn forget(&mut self, of: &str) {
        self.waiting.retain(|event| !matches!(event, Event::Received { node, .. } if node == of));
        let messages = self.waiting.iter().map(|event| match event {
            Event::Received { message, .. } => message.len(),
            Event::Connected { .. } | Event::Disconnected { .. } => 0,
        });
        self.bytes = messages.sum();
    }
}

struct Link {
    number: u64,
    candidate: Candidate,
    weir: String,
    version: u16,
}

/// A partner as shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Whether there is a link.
    pub up: bool,
    /// When it began or ended, in seconds since 1970.
    pub since: i64,
    /// Weir's version of the partner.
    pub weir: String,
    /// The version of the protocol.
    pub version: u16,
    /// Whether this node has dialled.
    pub dialled: bool,
    /// The bytes that wait to be sent.
    pub waiting: usize,
    /// Why there is no link.
    pub reason: String,
    /// The latest status.
    pub status: Option<Status>,
}

thread_local! {
    static HERE: Hub = Hub::default();
}

impl Hub {
    /// The links of this thread's duty.
    pub fn here() -> Self {
        HERE.with(Self::clone)
    }

    /// Queues a message.
    ///
    /// # Errors
    /// It is not queued, for this reason.
    pub fn send(&self, node: &str, class: Class, message: Vec<u8>) -> Result<(), SendError> {
        let mut partners = self.0.partners.borrow_mut();
        let partner = partners.get_mut(node).filter(|partner| partner.link.is_some());
        let partner = partner.ok_or(SendError::NotConnected)?;
        partner.outbound.push(class, message)?;
        wake(&mut partner.task);
        Ok(())
    }

    /// Ends the link to a node, for this reason.
    pub fn disconnect(&self, node: &str, reason: &str) {
        let partners = self.0.partners.borrow();
        let link = partners.get(node).and_then(|partner| partner.link.as_ref());
        let Some(number) = link.map(|link| link.number) else { return };
        drop(partners);
        self.end(node, number, reason, false);
    }

    /// Begins the events anew, for another mirror: it is told of the links that are up, and of
    /// nothing that an earlier mirror was told. Links of which something was dropped end, and come
    /// back.
    pub fn begin_events(&self) {
        let partners = self.0.partners.borrow();
        let missed = partners.iter().filter(|(_, partner)| partner.missed);
        let missed: Vec<String> = missed.map(|(node, _)| node.clone()).collect();
        drop(partners);
        for node in missed {
            self.disconnect(&node, "the mirror begins anew");
        }
        let mut events = self.0.events.borrow_mut();
        if std::mem::take(&mut events.taken) {
            events.waiting.clear();
            events.bytes = 0;
        }
        events.writers.drain(..).for_each(Waker::wake);
    }

    /// The next event. One task takes them all.
    pub async fn event(&self) -> Event {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<Event> {
        let mut events = self.0.events.borrow_mut();
        if !std::mem::replace(&mut events.taken, true) {
            // The links that are up already.
            let partners = self.0.partners.borrow();
            let up = partners.iter().filter_map(|(node, partner)| {
                let version = partner.link.as_ref()?.version;
                Some(Event::Connected { node: node.clone(), version })
            });
            for event in up.rev() {
                events.waiting.push_front(event);
            }
        }
        match events.waiting.pop_front() {
            Some(event) => {
                if let Event::Received { message, .. } = &event {
                    events.bytes -= message.len();
                }
                events.writers.drain(..).for_each(Waker::wake);
                Poll::Ready(event)
            }
            None => {
                events.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn tell(&self, event: Event) {
        let mut events = self.0.events.borrow_mut();
        match &event {
            Event::Received { message, .. } => events.bytes += message.len(),
            Event::Connected { node, .. } | Event::Disconnected { node } if !events.taken => {
                return events.forget(node);
            }
            Event::Connected { .. } | Event::Disconnected { .. } => {}
        }
        events.waiting.push_back(event);
        wake(&mut events.reader);
    }

    /// Ready when there is room for an event.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut events = self.0.events.borrow_mut();
        if events.waiting.len() < MOST_EVENTS && events.bytes < MOST_EVENT_BYTES {
            return Poll::Ready(());
        }
        if !events.writers.iter().any(|waker| waker.will_wake(cx.waker())) {
            events.writers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Passes a message on, now or to a mirror that is about to begin.
    pub(super) fn received(&self, node: &str, class: Class, message: Vec<u8>) {
        let mut partners = self.0.partners.borrow_mut();
        let Some(partner) = partners.get_mut(node) else { return };
        let mut events = self.0.events.borrow_mut();
        if !events.taken {
            let (count, bytes) = (events.waiting.len(), events.bytes + message.len());
            if partner.missed || count >= MOST_EARLY || bytes > MOST_EARLY_BYTES {
                partner.missed = true;
                return events.forget(node);
            }
        }
        drop((partners, events));
        self.tell(Event::Received { node: node.to_owned(), class, message });
    }

    /// Has a link with a node, which sends nothing, for tests of the hub's users.
    #[cfg(test)]
    pub(crate) fn connect(&self, node: &str) {
        self.add(node);
        let hello = Hello {
            versions: super::hello::VERSIONS,
            weir: String::new(),
            name: node.to_owned(),
            pair: [0; 16],
            instance: 1,
            block: [0; 32],
        };
        self.admit("", &hello, 1, Dialler::Own).expect("it is a partner");
    }

    /// Keeps the status of a partner.
    pub(super) fn note_status(&self, node: &str, status: Status) {
        let mut partners = self.0.partners.borrow_mut();
        if let Some(partner) = partners.get_mut(node) {
            partner.status = Some(status);
        }
    }

    /// Makes a partner known.
    pub(super) fn add(&self, node: &str) {
        let mut partners = self.0.partners.borrow_mut();
        partners
            .entry(node.to_owned())
            .or_insert_with(|| Partner { since: clock::wall_secs(), ..Partner::default() });
    }

    /// Forgets a partner. Its link ends. Returns whether that is to be said: the link may be one
    /// that has given way to another one, which will not come any more.
    pub(super) fn remove(&self, node: &str) -> bool {
        let removed = self.0.partners.borrow_mut().remove(node);
        let Some(mut partner) = removed else { return false };
        wake(&mut partner.task);
        wake(&mut partner.dialler);
        if partner.link.is_some() {
            self.tell(Event::Disconnected { node: node.to_owned() });
        }
        partner.told_up
    }

    /// Takes a new link, unless the one there is kept. Returns its number, and whether it takes the
    /// place of another, which the partner may have ended already: then nothing is to be said.
    pub(super) fn admit(
        &self,
        own: &str,
        hello: &Hello,
        version: u16,
        dialler: Dialler,
    ) -> Option<(u64, bool)> {
        let node = &hello.name;
        let candidate = Candidate { dialler, instance: hello.instance };
        let mut partners = self.0.partners.borrow_mut();
        let partner = partners.get_mut(node)?;
        if let Some(old) = &partner.link
            && !replaces(own, node, old.candidate, candidate)
        {
            return None;
        }
        let number = self.0.last.get() + 1;
        self.0.last.set(number);
        partner.link = Some(Link { number, candidate, weir: hello.weir.clone(), version });
        partner.outbound = Outbound::default();
        partner.since = clock::wall_secs();
        partner.reason.clear();
        (partner.yielded, partner.missed) = (false, false);
        let replaced = std::mem::replace(&mut partner.told_up, true);
        wake(&mut partner.task);
        drop(partners);
        self.tell(Event::Connected { node: node.clone(), version });
        Some((number, replaced))
    }

    /// Whether this is a partner.
    pub(super) fn knows(&self, node: &str) -> bool {
        self.0.partners.borrow().contains_key(node)
    }

    /// Whether it is to be said now that there is no link: it was not, and none is there.
    pub(super) fn must_tell_down(&self, node: &str) -> bool {
        let mut partners = self.0.partners.borrow_mut();
        let partner = partners.get_mut(node).filter(|partner| partner.link.is_none());
        partner.is_some_and(|partner| std::mem::take(&mut partner.told_up))
    }

    /// Whether the link is still the partner's.
    pub(super) fn is_current(&self, node: &str, number: u64) -> bool {
        let partners = self.0.partners.borrow();
        let link = partners.get(node).and_then(|partner| partner.link.as_ref());
        link.is_some_and(|link| link.number == number)
    }

    /// The number of the process at the other end of the partner's link.
    pub(super) fn instance(&self, node: &str) -> Option<u64> {
        let partners = self.0.partners.borrow();
        Some(partners.get(node)?.link.as_ref()?.candidate.instance)
    }

    /// Ends a link, if it is still the partner's. `yielded` says that a newer process of this node
    /// has it now: only the partner brings it back.
    pub(super) fn end(&self, node: &str, number: u64, reason: &str, yielded: bool) {
        if !self.is_current(node, number) {
            return;
        }
        let mut partners = self.0.partners.borrow_mut();
        let Some(partner) = partners.get_mut(node) else { return };
        partner.link = None;
        partner.outbound = Outbound::default();
        partner.since = clock::wall_secs();
        partner.reason = shortened(reason);
        (partner.yielded, partner.missed) = (yielded, false);
        wake(&mut partner.dialler);
        drop(partners);
        self.tell(Event::Disconnected { node: node.to_owned() });
    }

    /// Notes why no link came about; whether this is news.
    pub(super) fn note_failure(&self, node: &str, reason: &str) -> bool {
        let mut partners = self.0.partners.borrow_mut();
        let Some(partner) = partners.get_mut(node) else { return false };
        let reason = shortened(reason);
        partner.link.is_none() && std::mem::replace(&mut partner.reason, reason.clone()) != reason
    }

    /// Waits until the partner has no link and is to be dialled.
    pub(super) async fn down(&self, node: &str) {
        poll_fn(|cx| {
            let mut partners = self.0.partners.borrow_mut();
            match partners.get_mut(node) {
                Some(partner) if partner.link.is_some() || partner.yielded => {
                    partner.dialler = Some(cx.waker().clone());
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            }
        })
        .await;
    }

    /// Appends the next frame to a partner; the task is woken for later ones.
    pub(super) fn next_frame(&self, node: &str, cx: &Context<'_>, out: &mut Vec<u8>) -> bool {
        let mut partners = self.0.partners.borrow_mut();
        let Some(partner) = partners.get_mut(node) else { return false };
        partner.task = Some(cx.waker().clone());
        partner.outbound.next(out)
    }

    /// Queues a frame before all messages; `false` if one of them still waits.
    pub(super) fn send_first(&self, node: &str, kind: Kind, content: &[u8]) -> bool {
        let mut partners = self.0.partners.borrow_mut();
        let Some(partner) = partners.get_mut(node) else { return false };
        if partner.outbound.has_first() {
            return false;
        }
        partner.outbound.push_first(kind, content);
        true
    }

    /// Takes what the mirror shows.
    pub fn show_mirror(&self, view: Option<View>) {
        *self.0.mirror.borrow_mut() = view;
    }

    /// What the mirror shows.
    pub(super) fn mirror(&self) -> Option<View> {
        self.0.mirror.borrow().clone()
    }

    /// All partners as shown.
    pub fn shown(&self) -> Vec<(String, Shown)> {
        let partners = self.0.partners.borrow();
        let shown = |(node, partner): (&String, &Partner)| {
            let mut shown = Shown {
                up: partner.link.is_some(),
                since: partner.since,
                waiting: partner.outbound.waiting(),
                reason: partner.reason.clone(),
                status: partner.status.clone(),
                ..Shown::default()
            };
            if let Some(link) = &partner.link {
                shown.weir = link.weir.clone();
                shown.version = link.version;
                shown.dialled = link.candidate.dialler == Dialler::Own;
            }
            (node.clone(), shown)
        };
        partners.iter().map(shown).collect()
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

fn shortened(reason: &str) -> String {
    reason.chars().take(LONGEST_REASON).collect()
}

#[cfg(test)]
mod tests;
