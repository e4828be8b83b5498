//! Parses a client hello before rustls gets it.
//!
//! rustls refuses hellos whose server name is not a valid host name: with a port, an asterisk or
//! two consecutive dots. Such a name is hidden from it: the extension's number is replaced by an
//! unassigned one. Handshake hashes and signatures cover the original hello, though, so the two
//! bytes are restored wherever rustls hashes it ([`restoring`]).

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use rustls::crypto::hash::{Context, Hash, HashAlgorithm, Output};
use rustls::pki_types::DnsName;

use super::aead::{HEAD, LARGEST_FRAGMENT};

/// The content type of handshake records.
const HANDSHAKE: u8 = 22;

/// The message type of a client hello.
const CLIENT_HELLO: u8 = 1;

/// The length of a message header: type and length.
const MESSAGE_HEAD: usize = 4;

/// The longest message that rustls accepts.
const LONGEST_MESSAGE: usize = 0xffff;

/// The number of the `server_name` extension (RFC 6066 section 3).
const SERVER_NAME: u16 = 0;

/// The number of the `early_data` extension (RFC 8446 section 4.2.10).
const EARLY_DATA: u16 = 42;

/// The only defined name type.
const HOST_NAME: u8 = 0;

/// The longest accepted name (OpenSSL's limit).
const LONGEST_NAME: usize = 255;

/// Private-use extension numbers (RFC 8446 section 11).
const PRIVATE: std::ops::Range<u16> = 0xff10..0xff50;

/// The state of the received bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// A complete hello.
    Whole(HelloMessage),
    /// More bytes are needed.
    Part,
    /// A handshake message of another type.
    Unexpected(u8),
    /// Other data, left to rustls.
    Other,
}

/// A handshake message, possibly split over several records.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct HelloMessage {
    bytes: Vec<u8>,
    /// For each record: the message bytes before it, and the offset of its payload in the received
    /// bytes.
    parts: Vec<(usize, usize)>,
}

/// Assembles the hello at the start of `received`.
pub(super) fn receive(received: &[u8]) -> Received {
    let mut message = HelloMessage::default();
    let mut at = 0;
    loop {
        match received.get(at) {
            None => return Received::Part,
            Some(&HANDSHAKE) => {}
            Some(_) => return Received::Other,
        }
        let Some(&[_, major, _, high, low]) = received[at..].first_chunk::<HEAD>() else {
            return Received::Part;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if major != 3 || length == 0 || length > LARGEST_FRAGMENT {
            return Received::Other;
        }
        let start = at + HEAD;
        let part = &received[start..received.len().min(start + length)];
        if part.is_empty() {
            return Received::Part;
        }
        message.parts.push((message.bytes.len(), start));
        message.bytes.extend_from_slice(part);
        if message.bytes[0] != CLIENT_HELLO {
            return Received::Unexpected(message.bytes[0]);
        }
        if let Some(&[_, high, middle, low]) = message.bytes.first_chunk::<MESSAGE_HEAD>() {
            let whole = MESSAGE_HEAD + u32::from_be_bytes([0, high, middle, low]) as usize;
            if whole > LONGEST_MESSAGE {
                return Received::Other;
            }
            if message.bytes.len() >= whole {
                message.bytes.truncate(whole);
                return Received::Whole(message);
            }
        }
        at = start + length;
    }
}

/// The server name of a hello.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServerNameField {
    /// The name as the client sent it.
    pub(super) name: Vec<u8>,
    /// The offset of the extension's number in the message.
    at: usize,
    /// An extension number that the hello does not use.
    free: u16,
}

impl HelloMessage {
    /// The message with its header, without record headers.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The legacy version field, which is the highest version only before TLS 1.3.
    pub(super) fn version(&self) -> Option<u16> {
        Some(u16::from_be_bytes(*self.bytes.get(MESSAGE_HEAD..)?.first_chunk()?))
    }

    /// The server name, unless it is absent or its extension is malformed.
    pub(super) fn named(&self) -> Option<ServerNameField> {
        let (mut numbers, mut found) = (Vec::new(), None);
        self.each_extension(|at, number, content| {
            numbers.push(number);
            if number == SERVER_NAME {
                found = Some((at, host_name(content)?));
            }
            Some(())
        })?;
        let (at, name) = found?;
        let free = PRIVATE.into_iter().find(|number| !numbers.contains(number))?;
        Some(ServerNameField { name, at, free })
    }

    /// Whether the client wants to send early data.
    pub(super) fn offers_early_data(&self) -> bool {
        let mut offers = false;
        self.each_extension(|_, number, _| {
            offers |= number == EARLY_DATA;
            Some(())
        });
        offers
    }

    /// Calls `see` with the place, the number and the content of each extension; None if they are
    /// malformed, or if `see` says so.
    fn each_extension(&self, mut see: impl FnMut(usize, u16, &[u8]) -> Option<()>) -> Option<()> {
        let mut head = HelloReader { bytes: &self.bytes, at: MESSAGE_HEAD };
        // Version and random, session ID, suites, compression methods.
        head.take(2 + 32)?;
        head.list8()?;
        head.list16()?;
        head.list8()?;
        let all = head.list16()?;
        let mut rest = HelloReader { bytes: &self.bytes[..all.end], at: all.start };
        while rest.at < all.end {
            let at = rest.at;
            let number = rest.number()?;
            let content = rest.list16()?;
            see(at, number, &self.bytes[content])?;
        }
        Some(())
    }

    /// Hides the name's extension in `received`, the bytes that the message was assembled from.
    pub(super) fn hide(self, named: &ServerNameField, received: &mut [u8]) -> Hidden {
        let mut seen = self.bytes;
        for (offset, byte) in named.free.to_be_bytes().into_iter().enumerate() {
            let at = named.at + offset;
            seen[at] = byte;
            let part = self.parts.iter().rev().find(|(before, _)| *before <= at);
            if let Some(&(before, start)) = part {
                received[start + at - before] = byte;
            }
        }
        seen.truncate(named.at + 2);
        Hidden(Rc::new(seen))
    }
}

impl ServerNameField {
    /// Whether rustls would reject this name.
    pub(super) fn is_refused(&self) -> bool {
        let text = std::str::from_utf8(&self.name);
        let is_address = text.is_ok_and(|text| text.parse::<std::net::IpAddr>().is_ok());
        !is_address && DnsName::try_from(self.name.as_slice()).is_err()
    }
}

/// The only name in a server name list; `None` if the list is malformed.
fn host_name(list: &[u8]) -> Option<Vec<u8>> {
    let mut rest = HelloReader { bytes: list, at: 0 };
    let all = rest.list16()?;
    let mut rest = HelloReader { bytes: &list[..all.end], at: all.start };
    if rest.take(1)? != [HOST_NAME] {
        return None;
    }
    let name = &list[rest.list16()?];
    let is_fine = rest.at == list.len() && name.len() <= LONGEST_NAME && !name.contains(&0);
    is_fine.then(|| name.to_vec())
}

/// A reader of TLS's numbers and length-prefixed vectors.
struct HelloReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> HelloReader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..)?.get(..count)?;
        self.at += count;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(*self.take(2)?.first_chunk()?))
    }

    /// The range of a vector with a one-byte length.
    fn list8(&mut self) -> Option<std::ops::Range<usize>> {
        let count = usize::from(self.take(1)?[0]);
        self.take(count)?;
        Some(self.at - count..self.at)
    }

    /// The range of a vector with a two-byte length.
    fn list16(&mut self) -> Option<std::ops::Range<usize>> {
        let count = usize::from(self.number()?);
        self.take(count)?;
        Some(self.at - count..self.at)
    }
}

/// The beginning of a hello as rustls sees it, up to the replaced extension number. It contains the
/// client's random, so no other bytes match it.
#[derive(Clone, Debug)]
pub(super) struct Hidden(Rc<Vec<u8>>);

impl Hidden {
    fn restore<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(at) = bytes.windows(self.0.len()).position(|part| part == self.0.as_slice())
        else {
            return bytes.into();
        };
        let mut bytes = bytes.to_vec();
        let number = at + self.0.len() - 2;
        bytes[number..number + 2].copy_from_slice(&SERVER_NAME.to_be_bytes());
        bytes.into()
    }
}

thread_local! {
    /// The hello that is currently hidden from rustls.
    static HIDDEN: RefCell<Option<Hidden>> = const { RefCell::new(None) };
}

/// Runs `run` with hashes that restore the hidden bytes of the hello.
pub(super) fn restoring<T>(hidden: Option<&Hidden>, run: impl FnOnce() -> T) -> T {
    let Some(hidden) = hidden else { return run() };
    HIDDEN.set(Some(hidden.clone()));
    let done = run();
    HIDDEN.set(None);
    done
}

/// The bytes with the hidden part restored, as the client sent them.
pub(super) fn restored(bytes: &[u8]) -> Cow<'_, [u8]> {
    HIDDEN.with_borrow(|hidden| match hidden {
        Some(hidden) => hidden.restore(bytes),
        None => bytes.into(),
    })
}

/// A hash function that restores hidden bytes before hashing.
pub(super) struct Restoring(pub(super) &'static dyn Hash);

impl Hash for Restoring {
    fn start(&self) -> Box<dyn Context> {
        Box::new(Hashing(self.0.start()))
    }

    fn hash(&self, data: &[u8]) -> Output {
        self.0.hash(&restored(data))
    }

    fn output_len(&self) -> usize {
        self.0.output_len()
    }

    fn algorithm(&self) -> HashAlgorithm {
        self.0.algorithm()
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}

struct Hashing(Box<dyn Context>);

impl Context for Hashing {
    fn fork_finish(&self) -> Output {
        self.0.fork_finish()
    }

    fn fork(&self) -> Box<dyn Context> {
        Box::new(Self(self.0.fork()))
    }

    fn finish(self: Box<Self>) -> Output {
        self.0.finish()
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(&restored(data));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hello with the given extensions.
    fn hello(extensions: &[(u16, &[u8])]) -> Vec<u8> {
        let list = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
        let all: Vec<u8> = extensions
            .iter()
            .flat_map(|(number, content)| [&number.to_be_bytes()[..], &list(content)].concat())
            .collect();
        let body = [&[3, 3][..], &[7; 32], &[0], &list(&[0x13, 1]), &[1, 0], &list(&all)].concat();
        [&[CLIENT_HELLO, 0], &(body.len() as u16).to_be_bytes()[..], &body].concat()
    }

    fn records(message: &[u8], size: usize) -> Vec<u8> {
        let record = |part: &[u8]| [&[HANDSHAKE, 3, 1, 0, part.len() as u8], part].concat();
        message.chunks(size).flat_map(record).collect()
    }

    fn name(text: &[u8]) -> Vec<u8> {
        let length = text.len() as u16;
        [&(length + 3).to_be_bytes()[..], &[0], &length.to_be_bytes(), text].concat()
    }

    fn whole(received: &[u8]) -> HelloMessage {
        match receive(received) {
            Received::Whole(message) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_name_is_hidden_and_put_back() {
        let sent = hello(&[(43, &[2, 3, 4]), (0, &name(b"a:8443")), (0xff10, b"")]);
        for size in [1, 2, 3, 50, 250] {
            let mut received = records(&sent, size);
            let message = whole(&received);
            let named = message.named().unwrap();
            assert_eq!((&named.name[..], named.free), (&b"a:8443"[..], 0xff11));
            assert!(named.is_refused());
            let hidden = message.hide(&named, &mut received);
            let seen = whole(&received).bytes;
            assert_ne!(seen, sent);
            assert_eq!(whole(&received).named(), None);
            restoring(Some(&hidden), || {
                assert_eq!(*restored(&seen), sent);
                let more = [b"before", &seen[..], b"behind"].concat();
                assert_eq!(*restored(&more), [b"before", &sent[..], b"behind"].concat());
            });
            assert_eq!(*restored(&seen), seen);
        }
    }

    #[test]
    fn a_hello_comes_in_parts() {
        let received = records(&hello(&[(0, &name(b"a.test"))]), 20);
        for count in 0..received.len() {
            assert_eq!(receive(&received[..count]), Received::Part, "{count}");
        }
        let more = [&received[..], b"more"].concat();
        assert_eq!(whole(&more).named().unwrap().name, b"a.test");
        let empty = [22, 3, 1, 0, 0];
        let long = [22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff];
        for other in [&b"GET / HTTP/1.1"[..], &empty, &long, &[22, 2, 1, 0, 1]] {
            assert_eq!(receive(other), Received::Other);
        }
        assert_eq!(receive(&[22, 3, 1, 0, 1, 2]), Received::Unexpected(2));
    }

    #[test]
    fn malformed_names_are_left_to_rustls() {
        let good = name(b"a..b");
        let two = [&[0, 14][..], &good[2..], &good[2..]].concat();
        let behind = [&good[..], b"x"].concat();
        let (long, zero) = (name(&[b'a'; 256]), name(b"a\0b"));
        let kind = [&[0, 7, 1][..], &good[3..]].concat();
        let lists: [&[u8]; 8] =
            [&two, &behind, &long, &zero, &kind, b"", &[0, 1], &[0, 3, 0, 0, 9]];
        for list in lists {
            assert_eq!(whole(&records(&hello(&[(0, list)]), 250)).named(), None, "{list:?}");
        }
        assert_eq!(whole(&records(&hello(&[]), 250)).named(), None);
        let mut cut = hello(&[(0, &good)]);
        cut[45] = 0xff;
        assert_eq!(whole(&records(&cut, 250)).named(), None);
    }

    #[test]
    fn only_names_that_rustls_refuses_need_to_be_hidden() {
        let refused = |text: &[u8]| {
            whole(&records(&hello(&[(0, &name(text))]), 250)).named().unwrap().is_refused()
        };
        for fine in [&b"a.test"[..], b"A.Test", b"127.0.0.1", b"::1", b"localhost"] {
            assert!(!refused(fine), "{fine:?}");
        }
        for odd in [&b"localhost:8443"[..], b"*.x", b"foo..bar", b"\xc3\xa9.test", b"", &[b'a'; 64]]
        {
            assert!(refused(odd), "{odd:?}");
        }
    }
}
