//! Descriptors over a socket pair (`SCM_RIGHTS`), unix(7).
//!
//! The pair keeps message boundaries (`SOCK_SEQPACKET`): one send is one receive, so bytes and the
//! descriptors that belong to them never come apart.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};

/// The most descriptors in one message. The kernel allows 253.
pub const MAX_DESCRIPTORS: usize = 128;

/// The most bytes in one message: far below the default send buffer of a unix socket (208 KiB), so
/// a message never fails for its size.
pub const MAX_BYTES: usize = 16 * 1024;

/// Two ends that are connected with each other, closed on exec.
///
/// # Errors
/// Those of socketpair(2).
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Sends one message without waiting. A closed peer is an error, never a signal.
///
/// # Errors `InvalidInput` over [`MAX_BYTES`] or [`MAX_DESCRIPTORS`], or for an empty message,
/// which a reader would take for the end; `WouldBlock` when the peer does not read; else those of
/// sendmsg(2).
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

/// One message as it arrived. No bytes means that the peer has closed its end.
#[derive(Debug, Default)]
pub struct Message {
    /// What was sent, at most [`MAX_BYTES`].
    pub bytes: Vec<u8>,
    /// The descriptors that came with it, in the order they were given, closed on exec.
    pub descriptors: Vec<OwnedFd>,
    /// More descriptors came than this process may have open.
    pub cut: bool,
}

/// Receives one message; waits for it unless the socket is non-blocking.
///
/// # Errors
/// Those of recvmsg(2); `InvalidData` for a message that was cut.
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

/// Receives the bytes of one message without waiting. From a peer that is not trusted: descriptors
/// that come with it are closed by the kernel.
///
/// # Errors
/// As [`receive`]; `InvalidData` for a message that brought descriptors, too.
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
        // Nobody has the other end any more.
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
