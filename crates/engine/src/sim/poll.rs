//! The simulated epoll: readiness of descriptors, and the passage of time in a wait.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::RawFd;
use std::time::Duration;

use rustix::event::epoll::{Event, EventData, EventFlags};

use super::faults::Sabotage;
use super::network::{End, EndState, Stands, World};

/// The maximum duration of a turn of the loop.
const TURN: Duration = Duration::from_micros(20);

/// The watched descriptors. News makes a descriptor due; as in the kernel, its readiness is
/// determined when events are collected.
#[derive(Default)]
pub(super) struct Watches {
    all: BTreeMap<RawFd, WatchedFd>,
    due: VecDeque<RawFd>,
}

struct WatchedFd {
    data: EventData,
    flags: EventFlags,
    is_due: bool,
}

impl Watches {
    pub(super) fn add(&mut self, fd: RawFd, data: EventData, flags: EventFlags) {
        self.all.insert(fd, WatchedFd { data, flags, is_due: false });
        // Present readiness is reported as news.
        self.make_due(fd);
    }

    pub(super) fn forget(&mut self, fd: RawFd) {
        self.all.remove(&fd);
        self.due.retain(|other| *other != fd);
    }

    /// Reports data to read, or space to write.
    pub(super) fn tell(&mut self, fd: RawFd, read: bool) {
        let wanted = if read { EventFlags::IN } else { EventFlags::OUT };
        if self.all.get(&fd).is_some_and(|watch| watch.flags.intersects(wanted)) {
            self.make_due(fd);
        }
    }

    fn make_due(&mut self, fd: RawFd) {
        if let Some(watch) = self.all.get_mut(&fd)
            && !std::mem::replace(&mut watch.is_due, true)
        {
            self.due.push_back(fd);
        }
    }
}

impl World {
    /// Advances time until there are events, a task of the test is woken, or `timeout` has passed.
    pub(super) fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) {
        self.now += self.random.u64(1..=TURN.as_nanos() as u64);
        self.run_due();
        let timeout = match self.sabotage {
            Some(Sabotage::ForgetsTimers) => timeout.filter(Duration::is_zero),
            _ => timeout,
        };
        let until = timeout.map(|timeout| self.now + timeout.as_nanos() as u64);
        loop {
            self.collect(events);
            if !events.is_empty() || std::mem::take(&mut self.woken) {
                break;
            }
            match (self.next_event(), until) {
                (Some(next), until) if until.is_none_or(|until| next <= until) => self.now = next,
                (_, Some(until)) => {
                    self.now = until;
                    break;
                }
                (_, None) => panic!("nothing can happen any more; open: {}", self.open_ends()),
            }
            self.run_due();
        }
        assert!(self.now < self.horizon, "time runs on without an end; {}", self.open_ends());
    }

    /// Collects the events of due descriptors, up to the capacity of `events`.
    fn collect(&mut self, events: &mut Vec<Event>) {
        let mut again = Vec::new();
        while events.len() < events.capacity()
            && let Some(fd) = self.watches.due.pop_front()
        {
            let ready = self.ready(fd);
            let Some(watch) = self.watches.all.get_mut(&fd) else { continue };
            watch.is_due = false;
            let flags = ready & (watch.flags | EventFlags::ERR | EventFlags::HUP);
            if flags.is_empty() {
                continue;
            }
            events.push(Event { flags, data: watch.data });
            if !watch.flags.contains(EventFlags::ET) {
                again.push(fd);
            }
        }
        // Level-triggered: reported again while it holds.
        again.into_iter().for_each(|fd| self.watches.make_due(fd));
    }

    fn ready(&mut self, fd: RawFd) -> EventFlags {
        match self.stands_for(fd) {
            Some(Stands::End(end)) => ready(self.end(end)),
            Some(Stands::Door(door)) if !self.door(door).waiting.is_empty() => EventFlags::IN,
            _ => EventFlags::empty(),
        }
    }
}

fn ready(end: &End) -> EventFlags {
    let mut ready = EventFlags::empty();
    match end.state {
        EndState::Fresh => return EventFlags::HUP | EventFlags::OUT,
        EndState::Connecting => return ready,
        EndState::Broken => {
            ready |= EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::HUP;
        }
        EndState::Open => {
            if !end.inbox.is_empty() || end.ended {
                ready |= EventFlags::IN;
            }
            if end.ended {
                ready |= EventFlags::RDHUP;
            }
            if end.ended && end.finished {
                ready |= EventFlags::HUP;
            }
            if end.finished || end.has_room() {
                ready |= EventFlags::OUT;
            }
        }
    }
    if end.error.is_some() {
        ready |= EventFlags::ERR;
    }
    ready
}
