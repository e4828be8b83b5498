//! Connections: establishment, transfer and end.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;

use super::{End, EndId, EndState, Event, Fate, Holder, NetworkFault, Parcel, World, name};
use crate::sim::faults::Sabotage;

impl World {
    pub(in crate::sim) fn end(&mut self, end: EndId) -> &mut End {
        &mut self.ends[end.place()]
    }

    pub(in crate::sim) fn fate_of(&self, connection: u32) -> Fate {
        self.fates[connection as usize]
    }

    /// Creates two unconnected ends and returns the first, which will connect.
    pub(in crate::sim) fn pair(&mut self, local: SocketAddr) -> EndId {
        let id = EndId(self.ends.len() as u32);
        let fault = match (self.chance(self.faults.resets), self.chance(self.faults.losses)) {
            (true, _) => Some(NetworkFault::Reset),
            (false, true) => Some(NetworkFault::Loss),
            (false, false) => None,
        };
        let reach = self.faults.reach.max(1);
        let faulty = self.random.bool();
        for is_first in [true, false] {
            // Small values are as likely as large ones.
            let limit = self.random.u64(1..=reach);
            let after = self.random.u64(0..limit);
            let fault = fault.filter(|_| is_first == faulty).map(|fault| (after, fault));
            let room = self.random.usize(self.faults.buffers.clone());
            let most = self.random.usize(self.faults.buffers.clone());
            self.ends.push(End {
                holder: Holder::Nobody,
                local,
                state: EndState::Fresh,
                inbox: VecDeque::new(),
                held: VecDeque::new(),
                room,
                ended: false,
                error: None,
                unacknowledged: 0,
                most_unacknowledged: most,
                is_full: false,
                finished: false,
                resets: false,
                last_arrival: 0,
                fault,
                delivered: 0,
                reader: None,
                writer: None,
            });
        }
        self.fates.push(Fate::default());
        id
    }

    fn latency(&mut self) -> u64 {
        let (least, most) = (self.faults.latency.start(), self.faults.latency.end());
        self.random.u64(least.as_nanos() as u64..=most.as_nanos() as u64)
    }

    /// Starts to connect.
    pub(in crate::sim) fn connect(&mut self, end: EndId, address: SocketAddr) {
        self.end(end).state = EndState::Connecting;
        self.note(|| format!("c{} connects to {address}", end.connection()));
        let arrival = self.now + self.latency();
        self.end(end).last_arrival = arrival;
        if self.chance(self.faults.refusals) {
            self.fates[end.connection() as usize].reset = true;
            self.at(arrival, Event::Answer(end, Err(Errno::CONNREFUSED)));
        } else if self.chance(self.faults.refusals) {
            self.fates[end.connection() as usize].lost = true;
            self.note(|| format!("c{} is never answered", end.connection()));
        } else {
            self.at(arrival, Event::Knock(end, address));
        }
    }

    pub(super) fn knock(&mut self, first: EndId, address: SocketAddr) {
        let back = self.now + self.latency();
        let door = self.doors.iter().position(|door| door.open && door.address == address);
        let Some(door) = door else {
            self.at(back, Event::Answer(first, Err(Errno::CONNREFUSED)));
            return;
        };
        let second = first.other();
        let end = self.end(second);
        (end.local, end.state, end.last_arrival) = (address, EndState::Open, back);
        self.at(back, Event::Answer(first, Ok(())));
        self.doors[door].waiting.push_back(second);
        if let Some(taker) = self.doors[door].taker.take() {
            self.woken = true;
            taker.wake();
        }
        if let Some(fd) = self.doors[door].descriptor {
            self.watches.tell(fd, true);
        }
    }

    pub(super) fn answer(&mut self, end: EndId, answer: Result<(), Errno>) {
        if self.end(end).state != EndState::Connecting {
            return;
        }
        match answer {
            Ok(()) => self.end(end).state = EndState::Open,
            Err(errno) => {
                let this = self.end(end);
                (this.state, this.error) = (EndState::Broken, Some(errno));
            }
        }
        self.note(|| format!("c{} is answered: {answer:?}", end.connection()));
        self.tell(end, true, true);
    }

    /// Sends bytes and returns the number that fitted.
    pub(in crate::sim) fn send(&mut self, end: EndId, bytes: &[u8]) -> Result<usize, Errno> {
        let this = self.end(end);
        match this.state {
            EndState::Fresh | EndState::Connecting => return Err(Errno::AGAIN),
            EndState::Broken => return Err(this.error.take().unwrap_or(Errno::PIPE)),
            EndState::Open if this.finished => return Err(Errno::PIPE),
            EndState::Open => {}
        }
        let room = this.most_unacknowledged.saturating_sub(this.unacknowledged);
        this.is_full = room < bytes.len();
        if room == 0 && !bytes.is_empty() {
            return Err(Errno::AGAIN);
        }
        let count = room.min(bytes.len());
        this.unacknowledged += count;
        self.note(|| format!("{} sends {count} of {}", name(end), bytes.len()));
        let mut rest = &bytes[..count];
        while !rest.is_empty() {
            let size = self.random.usize(self.faults.pieces.clone()).clamp(1, rest.len());
            self.dispatch(end, Parcel::Bytes(rest[..size].to_vec()));
            rest = &rest[size..];
        }
        Ok(count)
    }

    /// Sends bytes of the code under test, sabotaged if so configured.
    pub(in crate::sim) fn send_sabotaged(
        &mut self,
        end: EndId,
        bytes: &[u8],
    ) -> Result<usize, Errno> {
        let sabotage = self.sabotage;
        match sabotage {
            Some(Sabotage::LosesBytes(one_in)) if bytes.len() > 1 && self.chance(Some(one_in)) => {
                let sent = self.send(end, &bytes[..bytes.len() - 1])?;
                Ok(if sent == bytes.len() - 1 { bytes.len() } else { sent })
            }
            Some(Sabotage::SendsAgain(one_in)) if self.chance(Some(one_in)) => {
                self.send_again(end, bytes);
                self.send(end, bytes)
            }
            _ => self.send(end, bytes),
        }
    }

    /// Sends a message a second time, over a new connection to the same address.
    fn send_again(&mut self, end: EndId, bytes: &[u8]) {
        let address = self.end(end.other()).local;
        let is_connector = end.0.is_multiple_of(2);
        let Some(door) = self.doors.iter().position(|door| door.open && door.address == address)
        else {
            return;
        };
        if is_connector {
            let again = self.pair(self.ends[end.place()].local);
            self.end(again).state = EndState::Open;
            let other = self.end(again.other());
            (other.local, other.state) = (address, EndState::Open);
            self.doors[door].waiting.push_back(again.other());
            if let Some(taker) = self.doors[door].taker.take() {
                self.woken = true;
                taker.wake();
            }
            let _ = self.send(again, bytes);
        }
    }

    /// The number of bytes that can be sent now, at least one.
    pub(in crate::sim) fn room(&mut self, end: EndId) -> Result<usize, Errno> {
        let this = self.end(end);
        match this.most_unacknowledged.saturating_sub(this.unacknowledged) {
            // The send yields the reason.
            0 => self.send(end, &[0]).and(Err(Errno::AGAIN)),
            room => Ok(room),
        }
    }

    /// Puts a parcel in transit to the other end, behind earlier ones.
    fn dispatch(&mut self, from: EndId, parcel: Parcel) {
        let mut takes = self.latency();
        if let Some((one_in, most)) = self.faults.stalls
            && self.random.u32(..one_in) == 0
        {
            let most = self.random.u64(1..=most.as_nanos() as u64);
            let late = self.random.u64(0..=most);
            takes += late;
            self.fates[from.connection() as usize].late += Duration::from_nanos(late);
        }
        let arrival = (self.now + takes).max(self.end(from).last_arrival);
        self.end(from).last_arrival = arrival;
        self.at(arrival, Event::Arrive(from.other(), parcel));
    }

    /// Closes the sending direction.
    pub(in crate::sim) fn finish(&mut self, end: EndId) -> Result<(), Errno> {
        let this = self.end(end);
        if this.state != EndState::Open {
            return Err(Errno::NOTCONN);
        }
        if !std::mem::replace(&mut this.finished, true) {
            self.note(|| format!("{} sends its end", name(end)));
            self.dispatch(end, Parcel::End);
        }
        Ok(())
    }

    /// Closes an end. Unread data, or a request for it, makes the close a reset.
    pub(in crate::sim) fn close(&mut self, end: EndId) {
        let this = self.end(end);
        this.holder = Holder::Nobody;
        (this.reader, this.writer) = (None, None);
        let unread = !this.inbox.is_empty() || !this.held.is_empty();
        let resets = this.resets || unread;
        let was = std::mem::replace(&mut this.state, EndState::Broken);
        let finished = this.finished;
        self.note(|| {
            format!("{} is closed{}", name(end), if resets { " with a reset" } else { "" })
        });
        match was {
            EndState::Open if resets => {
                self.recall(end);
                self.reset(end);
            }
            EndState::Open if !finished => self.dispatch(end, Parcel::End),
            // The accepting side learns of it in due course.
            EndState::Connecting => self.dispatch(end, Parcel::Reset),
            _ => {}
        }
    }

    /// Drops the bytes in transit from this end, as the kernel drops unsent data.
    fn recall(&mut self, from: EndId) {
        let to = from.other();
        self.events.retain(|_, event| {
            !matches!(event, Event::Arrive(end, Parcel::Bytes(_) | Parcel::End) if *end == to)
        });
        self.end(from).last_arrival = 0;
    }

    /// Sends a reset.
    fn reset(&mut self, from: EndId) {
        let arrival = (self.now + self.latency()).max(self.end(from).last_arrival);
        self.at(arrival, Event::Arrive(from.other(), Parcel::Reset));
    }

    pub(super) fn arrive(&mut self, to: EndId, parcel: Parcel) {
        let fate = self.fates[to.connection() as usize];
        if fate.lost || (fate.reset && !matches!(parcel, Parcel::Reset)) {
            return;
        }
        let this = self.end(to);
        match this.state {
            EndState::Open => {}
            EndState::Connecting if matches!(parcel, Parcel::Reset) => {}
            // The holder has closed this end.
            EndState::Broken if this.holder == Holder::Nobody => {
                if matches!(parcel, Parcel::Bytes(_)) {
                    self.reset(to);
                }
                return;
            }
            _ => return,
        }
        if !this.held.is_empty() && !matches!(parcel, Parcel::Reset) {
            return this.held.push_back(parcel);
        }
        self.take_in(to, parcel);
    }

    /// Moves a parcel to the inbox as far as it fits.
    fn take_in(&mut self, to: EndId, parcel: Parcel) {
        match parcel {
            Parcel::Bytes(bytes) => {
                let this = self.end(to);
                if this.inbox.len() >= this.room {
                    return this.held.push_front(Parcel::Bytes(bytes));
                }
                self.deliver(to, bytes);
            }
            Parcel::End => {
                self.note(|| format!("{} hears the end", name(to)));
                self.end(to).ended = true;
                self.tell(to, true, false);
            }
            Parcel::Reset => {
                self.note(|| format!("{} is reset", name(to)));
                let this = self.end(to);
                this.held.clear();
                this.error = Some(if this.ended { Errno::PIPE } else { Errno::CONNRESET });
                this.state = EndState::Broken;
                self.tell(to, true, true);
            }
        }
    }

    fn deliver(&mut self, to: EndId, mut bytes: Vec<u8>) {
        let from = to.other();
        let fault = self.end(from).fault;
        let left = fault.map_or(u64::MAX, |(after, _)| after - self.end(from).delivered);
        let cut = (bytes.len() as u64) > left;
        bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        self.end(from).delivered += bytes.len() as u64;
        if !bytes.is_empty() {
            self.note(|| format!("{} receives {}", name(to), bytes.len()));
            let acknowledged = self.now + self.latency();
            self.at(acknowledged, Event::Acknowledge(from, bytes.len()));
            self.end(to).inbox.extend(bytes);
            self.tell(to, true, false);
        }
        if let (true, Some((_, fault))) = (cut, fault) {
            self.strike(to, fault);
        }
    }

    fn strike(&mut self, to: EndId, fault: NetworkFault) {
        self.note(|| format!("the network: {fault:?} of c{}", to.connection()));
        let fate = &mut self.fates[to.connection() as usize];
        match fault {
            NetworkFault::Loss => fate.lost = true,
            NetworkFault::Reset => {
                fate.reset = true;
                for end in [to, to.other()] {
                    self.recall(end);
                    self.reset(end);
                }
            }
        }
    }

    pub(super) fn acknowledge(&mut self, end: EndId, count: usize) {
        let this = self.end(end);
        this.unacknowledged -= count;
        if this.is_full && this.has_room() {
            this.is_full = false;
            self.tell(end, false, true);
        }
    }

    /// Reads at most `max` of the received bytes.
    pub(in crate::sim) fn receive(
        &mut self,
        end: EndId,
        max: usize,
        take: impl FnOnce(&[u8]),
    ) -> Result<usize, Errno> {
        let this = self.end(end);
        if this.inbox.is_empty() {
            return match (this.state, this.error.take()) {
                (EndState::Fresh | EndState::Connecting, _) => Err(Errno::NOTCONN),
                (_, Some(error)) => Err(error),
                (EndState::Broken, None) => Ok(0),
                (EndState::Open, None) if this.ended => Ok(0),
                (EndState::Open, None) => Err(Errno::AGAIN),
            };
        }
        let count = max.min(this.inbox.len());
        take(&this.inbox.make_contiguous()[..count]);
        this.inbox.drain(..count);
        self.note(|| format!("{} reads {count} of at most {max}", name(end)));
        self.take_in_held(end);
        Ok(count)
    }

    fn take_in_held(&mut self, end: EndId) {
        while self.end(end).inbox.len() < self.end(end).room {
            let Some(parcel) = self.end(end).held.pop_front() else { return };
            self.take_in(end, parcel);
        }
    }

    /// Peeks at the next byte; `None` at the end.
    pub(in crate::sim) fn peek(&mut self, end: EndId) -> Result<Option<u8>, Errno> {
        let this = self.end(end);
        match (this.inbox.front(), this.state, this.error) {
            (Some(&first), ..) => Ok(Some(first)),
            (None, EndState::Fresh | EndState::Connecting, _) => Err(Errno::NOTCONN),
            (None, _, Some(_)) => Err(this.error.take().unwrap_or(Errno::CONNRESET)),
            (None, EndState::Broken, None) => Ok(None),
            (None, EndState::Open, None) if this.ended => Ok(None),
            (None, EndState::Open, None) => Err(Errno::AGAIN),
        }
    }

    /// Wakes an end's holder for reading or writing.
    fn tell(&mut self, end: EndId, read: bool, write: bool) {
        let this = &mut self.ends[end.place()];
        match this.holder {
            Holder::Descriptor(fd) => {
                if read {
                    self.watches.tell(fd, true);
                }
                if write {
                    self.watches.tell(fd, false);
                }
            }
            Holder::Test => {
                let reader = if read { this.reader.take() } else { None };
                let writer = if write { this.writer.take() } else { None };
                for waker in [reader, writer].into_iter().flatten() {
                    self.woken = true;
                    waker.wake();
                }
            }
            Holder::Nobody => {}
        }
    }

    /// The held connections, for the message about a hopeless wait.
    pub(in crate::sim) fn open_ends(&self) -> String {
        let held = (0..).zip(&self.ends).filter(|(_, end)| end.holder != Holder::Nobody);
        let names: Vec<String> =
            held.map(|(id, end)| format!("{} ({:?})", name(EndId(id)), end.state)).collect();
        names.join(", ")
    }
}

impl End {
    /// Whether to report space to a writer: a third is free.
    pub(in crate::sim) fn has_room(&self) -> bool {
        self.unacknowledged * 3 <= self.most_unacknowledged * 2
    }
}
