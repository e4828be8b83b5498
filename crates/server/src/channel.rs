//! The messages between master and worker, over a socket pair.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use weir_ha::carrier::Ask;
use weir_ha::identity::is_name;
use weir_ha::link::Request;
use weir_ha::mirror::limits;
use weir_sys::{memory_file, pass_fd, process};

/// A message from the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Serve with the attached bundle: its memory file, logs and sockets.
    Load,
    /// Exit when the last request has ended.
    Quit,
    /// Exit now.
    Terminate,
    /// Write to the attached log files, in the order of the last bundle.
    Reopen,
    /// This node's identity is in the attached memory file; an empty one is none.
    Identity,
    /// A message for the mirror is in the attached memory file.
    Mirror,
    /// What became of reloads is in the attached memory file.
    Reloads,
}

/// A message from the worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// The worker serves with this generation.
    Loaded(u64),
    /// The worker could not load this generation, for the given reason; it serves as before.
    Failed(u64, String),
    /// The last request of this generation has ended.
    Drained(u64),
    /// The worker received a signal to quit and accepts no new connections.
    Quitting,
    /// A request about the nodes of the pair.
    Link(Request),
    /// A request of the mirror.
    Mirror(Box<Ask>),
}

/// The largest request of the mirror, in bytes: a set, and what belongs to it.
const LARGEST_ASK: u64 = limits::SET + (1 << 20);

// The kinds of orders; the number of descriptors follows in each message.
const LOAD: u8 = b'L';
const QUIT: u8 = b'Q';
const TERMINATE: u8 = b'T';
const REOPEN: u8 = b'R';
const IDENTITY: u8 = b'I';
const MIRROR: u8 = b'M';
const RELOADS: u8 = b'C';
/// Carries descriptors of the next order, which do not fit into one message.
const MORE: u8 = b'+';

const LOADED: u8 = b'l';
const FAILED: u8 = b'f';
const DRAINED: u8 = b'd';
const QUITTING: u8 = b'q';
const PIN: u8 = b'p';
const UNPIN: u8 = b'u';
/// The request is in the attached memory file.
const ASK: u8 = b'm';

/// Sends an order with its descriptors.
///
/// # Errors
/// `WouldBlock` if the worker does not read; `BrokenPipe` if it has ended.
pub(crate) fn send_order(to: impl AsFd, order: Order, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    send_rest(to, order, fds, &mut 0)
}

/// Sends an order, of whose descriptors the first `sent` have been sent ahead. An order has to be
/// sent to its end before another one: the worker takes the descriptors for those of the next.
///
/// # Errors
/// As [`send_order`]; `sent` says where to go on.
pub(crate) fn send_rest(
    to: impl AsFd,
    order: Order,
    fds: &[BorrowedFd<'_>],
    sent: &mut usize,
) -> io::Result<()> {
    let kind = match order {
        Order::Load => LOAD,
        Order::Quit => QUIT,
        Order::Terminate => TERMINATE,
        Order::Reopen => REOPEN,
        Order::Identity => IDENTITY,
        Order::Mirror => MIRROR,
        Order::Reloads => RELOADS,
    };
    let last = fds.len() - fds.len() % pass_fd::MAX_DESCRIPTORS;
    for part in fds[*sent..last].chunks(pass_fd::MAX_DESCRIPTORS) {
        pass_fd::send(&to, &message(MORE, part), part)?;
        *sent += part.len();
    }
    let part = &fds[last..];
    pass_fd::send(&to, &message(kind, part), part)
}

/// The bytes of a message with these descriptors, of which there are at most 128.
fn message(kind: u8, descriptors: &[BorrowedFd<'_>]) -> [u8; 2] {
    [kind, descriptors.len() as u8]
}

/// The worker's end of the channel: reassembles orders from their messages.
#[derive(Debug)]
pub(crate) struct Orders {
    channel: OwnedFd,
    descriptors: Vec<OwnedFd>,
    /// The number of descriptors that were sent.
    announced: usize,
    /// Descriptors were lost because of this process's limit.
    cut: bool,
    /// The number of files that would have been open with those of the last order, if some of them
    /// were lost.
    needed: usize,
}

impl Orders {
    pub(crate) fn new(channel: OwnedFd) -> Self {
        Self { channel, descriptors: Vec::new(), announced: 0, cut: false, needed: 0 }
    }

    /// The number of files that this process would have to open for the last order without
    /// descriptors.
    pub(crate) fn needed(&self) -> usize {
        self.needed
    }

    /// The next complete order, without waiting. It has no descriptors if some of them could not be
    /// received.
    ///
    /// # Errors
    /// `UnexpectedEof` if the master has ended.
    pub(crate) fn next(&mut self) -> io::Result<Option<(Order, Vec<OwnedFd>)>> {
        loop {
            let message = match pass_fd::receive(&self.channel, false) {
                Ok(message) => message,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            };
            self.descriptors.extend(message.descriptors);
            self.cut |= message.cut;
            let (kind, announced) = match *message.bytes.as_slice() {
                [] => return Err(io::ErrorKind::UnexpectedEof.into()),
                [kind, announced] => (kind, usize::from(announced)),
                _ => return Err(io::ErrorKind::InvalidData.into()),
            };
            self.announced += announced;
            let order = match kind {
                MORE => continue,
                LOAD => Order::Load,
                QUIT => Order::Quit,
                TERMINATE => Order::Terminate,
                REOPEN => Order::Reopen,
                IDENTITY => Order::Identity,
                MIRROR => Order::Mirror,
                RELOADS => Order::Reloads,
                _ => return Err(io::ErrorKind::InvalidData.into()),
            };
            let mut descriptors = std::mem::take(&mut self.descriptors);
            let announced = std::mem::take(&mut self.announced);
            if std::mem::take(&mut self.cut) {
                descriptors.clear();
                self.needed = self.open() + announced;
            }
            return Ok(Some((order, descriptors)));
        }
    }

    /// The number of open files: that of the next one, but for gaps, and the limit if there can be
    /// no next one.
    fn open(&self) -> usize {
        let next = self.channel.try_clone().map(|next| next.as_raw_fd().unsigned_abs() as usize);
        let limit = || process::open_files_limit().map_or(0, |(soft, _)| soft as usize);
        next.unwrap_or_else(|_| limit())
    }
}

impl AsFd for Orders {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

/// Sends a report. A text that is too long for one message is cut.
///
/// # Errors
/// As [`send_order`].
pub(crate) fn send_report(to: impl AsFd, report: &Report) -> io::Result<()> {
    let (kind, generation, text) = match report {
        Report::Link(request) => return pass_fd::send(to, &link_bytes(request), &[]),
        Report::Mirror(ask) => return send_ask(to, ask),
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

/// Sends a request of the mirror, which may be large.
///
/// # Errors
/// As [`send_order`], and those of a memory file.
pub(crate) fn send_ask(to: impl AsFd, ask: &Ask) -> io::Result<()> {
    let file = memory_file::sealed(&ask.encode())?;
    pass_fd::send(to, &[ASK], &[file.as_fd()])
}

/// The request in a memory file.
fn read_ask(file: OwnedFd) -> io::Result<Ask> {
    let bytes = memory_file::read(file, LARGEST_ASK)?;
    Ask::decode(&bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The next report, without waiting; `None` if there is none.
///
/// The worker may have been compromised: a report takes no more memory than one message, or than a
/// configuration set, and brings no other descriptors.
///
/// # Errors
/// `UnexpectedEof` if the worker has ended; `InvalidData` if the message is not a report.
pub(crate) fn next_report(from: impl AsFd) -> io::Result<Option<Report>> {
    let mut message = match pass_fd::receive(from, false) {
        Ok(message) => message,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
    };
    if let (&[ASK], Some(file), true) =
        (&message.bytes[..], message.descriptors.pop(), message.descriptors.is_empty())
    {
        return read_ask(file).map(|ask| Some(Report::Mirror(Box::new(ask))));
    }
    if !message.descriptors.is_empty() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let Some((&kind, rest)) = message.bytes.split_first() else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    if matches!(kind, PIN | UNPIN) {
        let request = link_request(kind, rest).ok_or(io::ErrorKind::InvalidData)?;
        return Ok(Some(Report::Link(request)));
    }
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

/// A request: its kind, the length of the name, the name, and for a pin the secret and the
/// certificate.
fn link_bytes(request: &Request) -> Vec<u8> {
    let (kind, name) = match request {
        Request::Pin { name, .. } => (PIN, name),
        Request::Unpin { name } => (UNPIN, name),
    };
    // Names are far shorter; a cut one is refused.
    let name = &name.as_bytes()[..name.len().min(255)];
    let mut bytes = vec![kind, name.len() as u8];
    bytes.extend_from_slice(name);
    if let Request::Pin { secret, certificate, .. } = request {
        bytes.extend_from_slice(secret);
        bytes.extend_from_slice(certificate);
    }
    bytes
}

fn link_request(kind: u8, mut rest: &[u8]) -> Option<Request> {
    let length = usize::from(*rest.split_off_first()?);
    let name = std::str::from_utf8(rest.split_off(..length)?).ok()?;
    let name = Some(name).filter(|name| is_name(name))?.to_owned();
    if kind == UNPIN {
        return rest.is_empty().then_some(Request::Unpin { name });
    }
    let secret = rest.split_off(..16)?.try_into().ok()?;
    Some(Request::Pin { name, secret, certificate: rest.to_vec().into() })
}

/// Turns a reason into a single line of limited length for the error log.
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
            Report::Link(Request::Unpin { name: "b".into() }),
            Report::Link(Request::Pin {
                name: "b".into(),
                secret: [7; 16],
                certificate: vec![1, 2, 3].into(),
            }),
        ];
        for report in &reports {
            send_report(&near, report).unwrap();
            assert_eq!(next_report(&far).unwrap().as_ref(), Some(report));
        }
        assert_eq!(next_report(&far).unwrap(), None);
        send_report(&near, &Report::Failed(1, "a\nb".into())).unwrap();
        assert_eq!(next_report(&far).unwrap(), Some(Report::Failed(1, "a b".into())));
        for nonsense in
            [&b"l"[..], b"x12345678", b"l123456789", b"u", b"u\x04../x", b"u\x01bx", b"p\x01b"]
        {
            pass_fd::send(&near, nonsense, &[]).unwrap();
            assert_eq!(next_report(&far).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        drop(near);
        // A process that another test has just forked holds the near end until it executes.
        let error = loop {
            match next_report(&far) {
                Ok(report) => assert_eq!(report, None),
                Err(error) => break error,
            }
            std::thread::yield_now();
        };
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
