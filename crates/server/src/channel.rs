//! What master and worker say to each other, over a socket pair.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use weir_sys::pass_fd;

/// What the master tells the worker to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Serve by the bundle that comes with it: its memory file, its logs, its sockets.
    Load,
    /// End when the last request has ended.
    Quit,
    /// End now.
    Terminate,
    /// Write to the log files that come with it, in the order of the last bundle, from now on.
    Reopen,
}

/// What the worker tells the master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// It serves by this generation now.
    Loaded(u64),
    /// It could not make settings of this generation, for this reason, and serves as before.
    Failed(u64, String),
    /// The last request that went by this generation has ended.
    Drained(u64),
    /// Somebody else has told it to end, and it serves nobody new.
    Quitting,
}

const LOAD: u8 = b'L';
const QUIT: u8 = b'Q';
const TERMINATE: u8 = b'T';
const REOPEN: u8 = b'R';
/// The descriptors of this message belong to the next order: there are too many for one.
const MORE: u8 = b'+';

const LOADED: u8 = b'l';
const FAILED: u8 = b'f';
const DRAINED: u8 = b'd';
const QUITTING: u8 = b'q';

/// Sends an order with its descriptors.
///
/// # Errors
/// `WouldBlock` when the worker does not listen; `BrokenPipe` when it is gone.
pub(crate) fn send_order(to: impl AsFd, order: Order, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let kind = match order {
        Order::Load => LOAD,
        Order::Quit => QUIT,
        Order::Terminate => TERMINATE,
        Order::Reopen => REOPEN,
    };
    let last = fds.len() - fds.len() % pass_fd::MAX_DESCRIPTORS;
    for part in fds[..last].chunks(pass_fd::MAX_DESCRIPTORS) {
        pass_fd::send(&to, &[MORE], part)?;
    }
    pass_fd::send(&to, &[kind], &fds[last..])
}

/// The worker's end: puts the parts of an order together.
#[derive(Debug)]
pub(crate) struct Orders {
    channel: OwnedFd,
    descriptors: Vec<OwnedFd>,
    /// Some have been lost, because this process may have no more.
    cut: bool,
}

impl Orders {
    pub(crate) fn new(channel: OwnedFd) -> Self {
        Self { channel, descriptors: Vec::new(), cut: false }
    }

    /// The next order, without waiting. `None` when none is complete. It has no descriptors where
    /// some could not be received.
    ///
    /// # Errors
    /// `UnexpectedEof` when the master is gone.
    pub(crate) fn next(&mut self) -> io::Result<Option<(Order, Vec<OwnedFd>)>> {
        loop {
            let message = match pass_fd::receive(&self.channel, false) {
                Ok(message) => message,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            };
            self.descriptors.extend(message.descriptors);
            self.cut |= message.cut;
            let order = match message.bytes.as_slice() {
                [] => return Err(io::ErrorKind::UnexpectedEof.into()),
                [MORE] => continue,
                [LOAD] => Order::Load,
                [QUIT] => Order::Quit,
                [TERMINATE] => Order::Terminate,
                [REOPEN] => Order::Reopen,
                _ => return Err(io::ErrorKind::InvalidData.into()),
            };
            let mut descriptors = std::mem::take(&mut self.descriptors);
            if std::mem::take(&mut self.cut) {
                descriptors.clear();
            }
            return Ok(Some((order, descriptors)));
        }
    }
}

impl AsFd for Orders {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

/// Sends a report. A reason that is too long for one message is cut.
///
/// # Errors
/// As [`send_order`].
pub(crate) fn send_report(to: impl AsFd, report: &Report) -> io::Result<()> {
    let (kind, generation, text) = match report {
        Report::Loaded(generation) => (LOADED, generation, ""),
        Report::Failed(generation, reason) => (FAILED, generation, reason.as_str()),
        Report::Drained(generation) => (DRAINED, generation, ""),
        Report::Quitting => (QUITTING, &0, ""),
    };
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&generation.to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes.truncate(pass_fd::MAX_BYTES);
    pass_fd::send(to, &bytes, &[])
}

/// The next report, without waiting. `None` when there is none.
///
/// A worker may have been taken over by somebody: whatever it sends is at most one message's worth
/// of memory, and brings no descriptors.
///
/// # Errors
/// `UnexpectedEof` when the worker is gone; `InvalidData` when that was no report.
pub(crate) fn next_report(from: impl AsFd) -> io::Result<Option<Report>> {
    let bytes = match pass_fd::receive_bytes(from) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some((&kind, rest)) = bytes.split_first() else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let (generation, text) = rest.split_first_chunk().ok_or(io::ErrorKind::InvalidData)?;
    let generation = u64::from_le_bytes(*generation);
    match (kind, text) {
        (LOADED, []) => Ok(Some(Report::Loaded(generation))),
        (FAILED, text) => Ok(Some(Report::Failed(generation, one_line(text)))),
        (DRAINED, []) => Ok(Some(Report::Drained(generation))),
        (QUITTING, []) => Ok(Some(Report::Quitting)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// A reason for the error log, where it is to stay one line, and not a long one.
fn one_line(text: &[u8]) -> String {
    /// nginx's `NGX_MAX_ERROR_STR`.
    const MOST: usize = 2048;
    let text = String::from_utf8_lossy(&text[..text.len().min(MOST)]);
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_brings_more_descriptors_than_one_message_holds() {
        let (near, far) = pass_fd::pair().unwrap();
        let mut orders = Orders::new(far);
        let many = vec![near.as_fd(); 2 * pass_fd::MAX_DESCRIPTORS + 1];
        send_order(&near, Order::Load, &many).unwrap();
        send_order(&near, Order::Quit, &[]).unwrap();
        let (order, fds) = orders.next().unwrap().unwrap();
        assert_eq!((order, fds.len()), (Order::Load, many.len()));
        drop(fds);
        let (order, fds) = orders.next().unwrap().unwrap();
        assert_eq!((order, fds.len()), (Order::Quit, 0));
        assert!(orders.next().unwrap().is_none());
    }

    #[test]
    fn reports_arrive_as_sent_until_the_end() {
        let (near, far) = pass_fd::pair().unwrap();
        let reports = [
            Report::Loaded(1),
            Report::Failed(2, "why".into()),
            Report::Drained(u64::MAX),
            Report::Quitting,
        ];
        for report in &reports {
            send_report(&near, report).unwrap();
            assert_eq!(next_report(&far).unwrap().as_ref(), Some(report));
        }
        assert_eq!(next_report(&far).unwrap(), None);
        send_report(&near, &Report::Failed(1, "a\nb".into())).unwrap();
        assert_eq!(next_report(&far).unwrap(), Some(Report::Failed(1, "a b".into())));
        for nonsense in [&b"l"[..], b"x12345678", b"l123456789"] {
            pass_fd::send(&near, nonsense, &[]).unwrap();
            assert_eq!(next_report(&far).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        drop(near);
        assert_eq!(next_report(&far).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
