//! Passing descriptors over a socket pair (`SCM_RIGHTS`), unix(7).
//!
//! The pair keeps message boundaries (`SOCK_SEQPACKET`): one send is one receive, so bytes and
//! their descriptors stay together.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};

/// The limit of descriptors in one message. The kernel's is 253.
pub const MAX_DESCRIPTORS: usize = 128;

/// The limit of bytes in one message: far below the default send buffer of a unix socket (208 KiB),
/// so no message is too large for it.
pub const MAX_BYTES: usize = 16 * 1024;

/// A connected pair of sockets, closed on exec.
///
/// # Errors
/// Those of socketpair(2).
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Sends one message without waiting. A closed peer is an error, never a signal.
///
/// # Errors
/// `InvalidInput` over [`MAX_BYTES`] or [`MAX_DESCRIPTORS`], or for an empty message, which would
/// look like the end; `WouldBlock` if the peer does not read; else those of sendmsg(2).
pub fn send(to: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if bytes.is_empty() || bytes.len() > MAX_BYTES || descriptors.len() > MAX_DESCRIPTORS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        let fits = ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
        debug_assert!(fits, "the space is for MAX_DESCRIPTORS");
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    loop {
        match sendmsg(&to, &[IoSlice::new(bytes)], &mut ancillary, flags) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A received message. An empty one means that the peer closed its end.
#[derive(Debug, Default)]
pub struct Message {
    /// The bytes, at most [`MAX_BYTES`].
    pub bytes: Vec<u8>,
    /// The descriptors, in the sender's order, closed on exec.
    pub descriptors: Vec<OwnedFd>,
    /// Whether descriptors were dropped because of this process's limit.
    pub cut: bool,
}

/// Receives one message; waits for it unless the socket is non-blocking.
///
/// # Errors
/// Those of recvmsg(2); `InvalidData` for a truncated message.
pub fn receive(from: impl AsFd, wait: bool) -> io::Result<Message> {
    let mut message = Message { bytes: vec![0; MAX_BYTES], ..Message::default() };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut flags = RecvFlags::CMSG_CLOEXEC;
    flags.set(RecvFlags::DONTWAIT, !wait);
    let received = loop {
        let mut into = [IoSliceMut::new(&mut message.bytes)];
        match recvmsg(&from, &mut into, &mut ancillary, flags) {
            Ok(received) => break received,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    for part in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = part {
            message.descriptors.extend(descriptors);
        }
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    message.cut = received.flags.contains(ReturnFlags::CTRUNC);
    message.bytes.truncate(received.bytes);
    Ok(message)
}

/// Receives the bytes of one message from an untrusted peer without waiting; the kernel closes its
/// descriptors.
///
/// # Errors
/// As [`receive`]; `InvalidData` for a message with descriptors.
pub fn receive_bytes(from: impl AsFd) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; MAX_BYTES];
    let mut ancillary = RecvAncillaryBuffer::default();
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = loop {
        match recvmsg(&from, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags) {
            Ok(received) => break received,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    bytes.truncate(received.bytes);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_descriptor_works_on_the_other_side() {
        let (near, far) = pair().unwrap();
        let (mut writer, reader) = std::os::unix::net::UnixStream::pair().unwrap();
        send(&near, b"here", &[reader.as_fd()]).unwrap();
        drop(reader);
        let mut message = receive(&far, true).unwrap();
        assert_eq!(message.bytes, b"here");
        let reader = message.descriptors.pop().unwrap();
        assert!(message.descriptors.is_empty());
        writer.write_all(b"x").unwrap();
        let mut got = [0];
        std::os::unix::net::UnixStream::from(reader).read_exact(&mut got).unwrap();
        assert_eq!(&got, b"x");
    }

    #[test]
    fn boundaries_hold_and_the_end_is_an_empty_message() {
        let (near, far) = pair().unwrap();
        assert_eq!(receive(&far, false).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        send(&near, b"a", &[]).unwrap();
        send(&near, b"bc", &[]).unwrap();
        assert_eq!(receive(&far, true).unwrap().bytes, b"a");
        assert_eq!(receive(&far, true).unwrap().bytes, b"bc");
        drop(near);
        assert!(receive(&far, true).unwrap().bytes.is_empty());
    }

    #[test]
    fn descriptors_that_nobody_asked_for_are_not_taken() {
        let (near, far) = pair().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        send(&near, b"a", &[writer.as_fd()]).unwrap();
        drop(writer);
        assert_eq!(receive_bytes(&far).unwrap_err().kind(), io::ErrorKind::InvalidData);
        // The other end is closed.
        assert_eq!({ reader }.read(&mut [0]).unwrap(), 0);
        send(&near, b"b", &[]).unwrap();
        assert_eq!(receive_bytes(&far).unwrap(), b"b");
    }

    #[test]
    fn limits_are_checked_before_sending() {
        let (near, _far) = pair().unwrap();
        let many = vec![near.as_fd(); MAX_DESCRIPTORS + 1];
        assert_eq!(send(&near, b"a", &many).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(send(&near, b"", &[]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(
            send(&near, &[0; MAX_BYTES + 1], &[]).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }
}
