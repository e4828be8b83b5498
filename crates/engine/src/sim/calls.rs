//! The calls of [`crate::kernel`] in test builds: they act on the simulated world for its
//! descriptors, and call the kernel for all others.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol, SendFlags, Shutdown, SocketAddrAny, SocketFlags, SocketType,
};
use rustix::pipe::SpliceFlags;
use rustix::time::Timespec;

use super::network::{EndId, Stands, World, with};
use crate::kernel::direct;

pub(crate) use crate::kernel::direct::ClockId;

/// A socket of the data path, closed on drop, in the simulated world as well.
#[derive(Debug)]
pub(crate) struct Descriptor(OwnedFd);

impl Drop for Descriptor {
    fn drop(&mut self) {
        with(|world| world.close_descriptor(self.0.as_raw_fd()));
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

pub(crate) fn adopt(fd: OwnedFd) -> Descriptor {
    Descriptor(fd)
}

pub(crate) fn is_simulated() -> bool {
    with(|_| ()).is_some()
}

/// Acts on the end behind a descriptor, if it is one.
fn at_end<T>(fd: RawFd, act: impl FnOnce(&mut World, EndId) -> T) -> Option<T> {
    with(|world| match world.stands_for(fd)? {
        Stands::End(end) => Some(act(world, end)),
        Stands::Door(_) => None,
    })
    .flatten()
}

pub(crate) fn clock_gettime(clock: ClockId) -> Timespec {
    /// The wall clock at monotonic time zero: 2026-11-30.
    const EPOCH: u64 = 1_796_000_000;
    let Some(now) = with(|world| world.now) else { return direct::clock_gettime(clock) };
    let since = match clock {
        ClockId::Realtime | ClockId::RealtimeCoarse => EPOCH,
        _ => 0,
    };
    let (secs, nanos) = (now / 1_000_000_000 + since, now % 1_000_000_000);
    Timespec { tv_sec: secs.cast_signed(), tv_nsec: nanos.cast_signed() }
}

pub(crate) fn socket_with(
    family: AddressFamily,
    kind: SocketType,
    flags: SocketFlags,
    protocol: Option<Protocol>,
) -> rustix::io::Result<Descriptor> {
    let made = with(|world| if world.is_short() { Err(Errno::MFILE) } else { Ok(world.socket()) });
    made.unwrap_or_else(|| direct::socket_with(family, kind, flags, protocol)).map(Descriptor)
}

pub(crate) fn connect(fd: impl AsFd, to: &SocketAddrAny) -> rustix::io::Result<()> {
    let begun = at_end(fd.as_fd().as_raw_fd(), |world, end| {
        world.connect(end, SocketAddr::try_from(to.clone())?);
        Err(Errno::INPROGRESS)
    });
    begun.unwrap_or_else(|| direct::connect(fd, to))
}

pub(crate) fn socket_error(fd: impl AsFd) -> rustix::io::Result<Result<(), Errno>> {
    let error = at_end(fd.as_fd().as_raw_fd(), |world, end| world.end(end).error.take());
    match error {
        Some(error) => Ok(error.map_or(Ok(()), Err)),
        None => direct::socket_error(fd),
    }
}

pub(crate) fn acceptfrom_with(
    fd: impl AsFd,
    flags: SocketFlags,
) -> rustix::io::Result<(Descriptor, Option<SocketAddrAny>)> {
    let number = fd.as_fd().as_raw_fd();
    let accepted = with(|world| match world.stands_for(number)? {
        Stands::Door(door) => Some(world.accept_by_descriptor(door)),
        Stands::End(_) => None,
    });
    match accepted.flatten() {
        Some(accepted) => accepted.map(|(fd, from)| (Descriptor(fd), Some(from.into()))),
        None => direct::acceptfrom_with(fd, flags).map(|(fd, from)| (Descriptor(fd), from)),
    }
}

pub(crate) fn getsockname(fd: impl AsFd) -> rustix::io::Result<SocketAddrAny> {
    let number = fd.as_fd().as_raw_fd();
    let known = with(|world| world.stands_for(number).map(|stands| world.address_of(stands)));
    known.flatten().map_or_else(|| direct::getsockname(fd), |address| Ok(address.into()))
}

pub(crate) fn send(fd: impl AsFd, bytes: &[u8], flags: SendFlags) -> rustix::io::Result<usize> {
    let sent = at_end(fd.as_fd().as_raw_fd(), |world, end| world.send_sabotaged(end, bytes));
    sent.unwrap_or_else(|| direct::send(fd, bytes, flags))
}

pub(crate) fn send_by_number(fd: RawFd, bytes: &[u8]) -> Result<usize, Errno> {
    let sent = at_end(fd, |world, end| world.send_sabotaged(end, bytes));
    sent.unwrap_or_else(|| direct::send_by_number(fd, bytes))
}

pub(crate) fn writev(fd: impl AsFd, bufs: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
    let sent = at_end(fd.as_fd().as_raw_fd(), |world, end| {
        let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        world.send_sabotaged(end, &all)
    });
    sent.unwrap_or_else(|| direct::writev(fd, bufs))
}

/// The maximum number of bytes moved at once from a file or a pipe.
const STEP: usize = 64 * 1024;

pub(crate) fn sendfile(
    fd: impl AsFd,
    file: impl AsFd,
    offset: Option<&mut u64>,
    len: usize,
) -> rustix::io::Result<usize> {
    let Some(end) = at_end(fd.as_fd().as_raw_fd(), |_, end| end) else {
        return direct::sendfile(fd, file, offset, len);
    };
    let mut bytes = vec![0; len.min(STEP)];
    let at = offset.as_ref().map_or(0, |offset| **offset);
    let count = rustix::io::pread(file, &mut bytes[..], at)?;
    let sent = with(|world| world.send(end, &bytes[..count])).unwrap_or(Err(Errno::BADF))?;
    if let Some(offset) = offset {
        *offset += sent as u64;
    }
    Ok(sent)
}

pub(crate) fn splice(
    from: impl AsFd,
    from_at: Option<&mut u64>,
    to: impl AsFd,
    to_at: Option<&mut u64>,
    len: usize,
    flags: SpliceFlags,
) -> rustix::io::Result<usize> {
    let (source, target) = (from.as_fd().as_raw_fd(), to.as_fd().as_raw_fd());
    if let Some(end) = at_end(source, |_, end| end) {
        // The pipe is empty and large enough.
        let mut bytes = Vec::new();
        let take = |taken: &[u8]| bytes.extend_from_slice(taken);
        let received = with(|world| world.receive(end, len.min(STEP), take));
        received.unwrap_or(Err(Errno::BADF))?;
        return rustix::io::write(to, &bytes);
    }
    if let Some(room) = at_end(target, |world, end| world.room(end)) {
        let mut bytes = vec![0; len.min(room?)];
        let count = rustix::io::read(from, &mut bytes[..])?;
        return send(to, &bytes[..count], SendFlags::empty());
    }
    direct::splice(from, from_at, to, to_at, len, flags)
}

pub(crate) fn shutdown(fd: impl AsFd, how: Shutdown) -> rustix::io::Result<()> {
    let done = at_end(fd.as_fd().as_raw_fd(), |world, end| world.finish(end));
    done.unwrap_or_else(|| direct::shutdown(fd, how))
}

pub(crate) fn set_socket_linger(fd: impl AsFd, linger: Option<Duration>) -> rustix::io::Result<()> {
    let resets = linger == Some(Duration::ZERO);
    let done = at_end(fd.as_fd().as_raw_fd(), |world, end| world.end(end).resets = resets);
    done.map_or_else(|| direct::set_socket_linger(fd, linger), Ok)
}

pub(crate) fn recv_append(fd: BorrowedFd<'_>, into: &mut Vec<u8>, max: usize) -> io::Result<usize> {
    let received = at_end(fd.as_raw_fd(), |world, end| {
        world.receive(end, max, |bytes| into.extend_from_slice(bytes))
    });
    received.map_or_else(|| direct::recv_append(fd, into, max), |received| Ok(received?))
}

pub(crate) fn peek(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let peeked = at_end(fd.as_raw_fd(), World::peek);
    peeked.map_or_else(|| direct::peek(fd), |first| Ok(usize::from(first?.is_some())))
}

pub(crate) fn peek_byte(fd: BorrowedFd<'_>) -> io::Result<Option<u8>> {
    let peeked = at_end(fd.as_raw_fd(), World::peek);
    peeked.map_or_else(|| direct::peek_byte(fd), |first| Ok(first?))
}

/// A simulated thread has one epoll set, which watches simulated descriptors.
pub(crate) mod epoll {
    use std::os::fd::{AsFd, AsRawFd, OwnedFd};
    use std::time::Duration;

    use rustix::event::Timespec;
    use rustix::event::epoll::{EventData, EventFlags};

    use super::with;
    use crate::kernel::direct;

    pub(crate) use crate::kernel::direct::epoll::{Event, create};

    pub(crate) fn add(
        set: impl AsFd,
        fd: impl AsFd,
        data: EventData,
        flags: EventFlags,
    ) -> rustix::io::Result<()> {
        let number = fd.as_fd().as_raw_fd();
        let added = with(|world| {
            world.stands_for(number).is_some().then(|| world.watches.add(number, data, flags))
        });
        added.flatten().map_or_else(|| direct::epoll::add(set, fd, data, flags), Ok)
    }

    pub(crate) fn delete(set: impl AsFd, fd: impl AsFd) -> rustix::io::Result<()> {
        let number = fd.as_fd().as_raw_fd();
        let deleted =
            with(|world| world.stands_for(number).is_some().then(|| world.watches.forget(number)));
        deleted.flatten().map_or_else(|| direct::epoll::delete(set, fd), Ok)
    }

    pub(crate) fn wait(
        set: &OwnedFd,
        events: &mut Vec<Event>,
        timeout: Option<&Timespec>,
    ) -> rustix::io::Result<usize> {
        let duration = |timeout: &Timespec| {
            Duration::new(timeout.tv_sec.unsigned_abs(), timeout.tv_nsec.unsigned_abs() as u32)
        };
        match with(|world| world.wait(events, timeout.map(duration))) {
            Some(()) => Ok(events.len()),
            None => direct::epoll::wait(set, events, timeout),
        }
    }
}
