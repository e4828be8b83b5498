//! Socket calls that rustix lacks, in whole or in the form that the data path needs.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use rustix::io::Errno;
use rustix::net::RecvFlags;

/// Socket options with an `int` value that rustix lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntOption {
    /// `TCP_DEFER_ACCEPT`: wake the listener only once data has come; in seconds.
    DeferAccept,
    /// `TCP_FASTOPEN`: the length of the queue of connections with an unfinished handshake.
    FastOpen,
    /// `IP_TRANSPARENT`: allow bind(2) to foreign addresses (IPv4).
    TransparentV4,
    /// `IPV6_TRANSPARENT`: likewise for IPv6.
    TransparentV6,
    /// `IP_FREEBIND`: allow bind(2) to an address that no interface has yet (IPv4).
    FreeBindV4,
    /// `IPV6_FREEBIND`: likewise for IPv6.
    FreeBindV6,
    /// `IP_BIND_ADDRESS_NO_PORT`: choose the port of a bound source address at connect(2).
    BindAddressNoPort,
    /// `IP_PKTINFO`: report the destination address of each datagram.
    PacketInfoV4,
    /// `IPV6_RECVPKTINFO`: likewise for IPv6.
    PacketInfoV6,
    /// `SO_BINDTOIFINDEX`: accept packets only from the interface of this number.
    Interface,
}

impl IntOption {
    fn numbers(self) -> (libc::c_int, libc::c_int) {
        match self {
            Self::DeferAccept => (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
            Self::FastOpen => (libc::IPPROTO_TCP, libc::TCP_FASTOPEN),
            Self::TransparentV4 => (libc::IPPROTO_IP, libc::IP_TRANSPARENT),
            Self::TransparentV6 => (libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT),
            Self::FreeBindV4 => (libc::IPPROTO_IP, libc::IP_FREEBIND),
            Self::FreeBindV6 => (libc::IPPROTO_IPV6, libc::IPV6_FREEBIND),
            Self::BindAddressNoPort => (libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT),
            Self::PacketInfoV4 => (libc::IPPROTO_IP, libc::IP_PKTINFO),
            Self::PacketInfoV6 => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
            Self::Interface => (libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX),
        }
    }
}

/// Sends to a socket by its number; the caller must make sure that the number is still that
/// socket's. Returns the number of bytes taken.
#[inline]
pub fn send_by_number(socket: RawFd, bytes: &[u8]) -> Result<usize, Errno> {
    let (flags, no_address) = (libc::MSG_NOSIGNAL, 0_usize);
    // Not by libc's `send`, which is a cancellation point and prepares for it in every call.
    // SAFETY: the kernel only reads `bytes`, and returns `EBADF` for a closed number.
    let sent = unsafe {
        let (start, length) = (bytes.as_ptr(), bytes.len());
        libc::syscall(libc::SYS_sendto, socket, start, length, flags, no_address, no_address)
    };
    usize::try_from(sent).map_err(|_| Errno::from_raw_os_error(last_error()))
}

fn last_error() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// Sets an option with an `int` value.
pub fn set_int_option(fd: BorrowedFd<'_>, option: IntOption, value: i32) -> io::Result<()> {
    let (level, name) = option.numbers();
    let size = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or(0);
    // SAFETY: the descriptor is open while it is borrowed, and the pointer and the size describe
    // one live `i32` that the kernel only reads.
    let done =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), size) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has a TCP listener ignore attempts to connect, while connections that are being made are
/// completed: clients repeat the attempt after a second or so, and may find another host then.
///
/// # Errors
/// Those of setsockopt(2).
pub fn ignore_new_connections(listener: BorrowedFd<'_>) -> io::Result<()> {
    const fn step(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter { code: code as u16, jt, jf, k }
    }
    /// The place of the flags in the head of a TCP segment, RFC 9293, 3.1.
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    let mut steps = [
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, FLAGS),
        step(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, SYN | ACK),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, SYN),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
    ];
    let length = u16::try_from(steps.len()).unwrap_or(0);
    let program = libc::sock_fprog { len: length, filter: steps.as_mut_ptr() };
    let size = libc::socklen_t::try_from(size_of_val(&program)).unwrap_or(0);
    // SAFETY: the descriptor is open while it is borrowed; the program and its steps outlive the
    // call, in which the kernel copies them.
    let done = unsafe {
        let program = (&raw const program).cast();
        let (level, name) = (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER);
        libc::setsockopt(listener.as_raw_fd(), level, name, program, size)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Appends at most `max` received bytes to `into`, with one system call; reserves the room. Returns
/// the number of bytes, 0 at the end of the stream.
pub fn recv_append(fd: BorrowedFd<'_>, into: &mut Vec<u8>, max: usize) -> io::Result<usize> {
    into.reserve(max);
    let spare = into.spare_capacity_mut();
    let room = max.min(spare.len());
    let received = rustix::net::recv(fd, &mut spare[..room], RecvFlags::empty())?.1;
    let count = received.min(room);
    // SAFETY: the kernel has written `count` bytes after the old length, within the capacity.
    unsafe { into.set_len(into.len() + count) };
    Ok(count)
}

/// Peeks at a connection: `Ok(0)` at the end of the stream, `Ok(1)` if bytes wait, `WouldBlock` if
/// it is idle and without error.
pub fn peek(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut byte = [0_u8; 1];
    let (count, _) = rustix::net::recv(fd, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
    Ok(count)
}

/// The first waiting byte, without taking it; `None` at the end of the stream.
pub fn peek_byte(fd: BorrowedFd<'_>) -> io::Result<Option<u8>> {
    let mut byte = [0_u8; 1];
    let (count, _) = rustix::net::recv(fd, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
    Ok((count > 0).then_some(byte[0]))
}

/// The part of `TCP_INFO` that `$tcpinfo_*` shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpInfo {
    /// Smoothed round trip time in microseconds.
    pub rtt: u32,
    /// Variance of the round trip time in microseconds.
    pub rttvar: u32,
    /// Congestion window in segments.
    pub snd_cwnd: u32,
    /// Receive window space in bytes.
    pub rcv_space: u32,
}

/// The kernel's state of a TCP connection (`TCP_INFO`).
pub fn tcp_info(fd: BorrowedFd<'_>) -> io::Result<TcpInfo> {
    // SAFETY: `tcp_info` consists of plain integers, for which zero is valid.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut size = libc::socklen_t::try_from(size_of_val(&info)).unwrap_or(0);
    // SAFETY: the kernel writes at most `size` bytes into a live `tcp_info`.
    let done = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut size,
        )
    };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(TcpInfo {
        rtt: info.tcpi_rtt,
        rttvar: info.tcpi_rttvar,
        snd_cwnd: info.tcpi_snd_cwnd,
        rcv_space: info.tcpi_rcv_space,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn recv_append_keeps_what_is_there_and_honours_the_limit() {
        let (mut one, two) = UnixStream::pair().unwrap();
        one.write_all(b"abcdef").unwrap();
        let mut into = b"x".to_vec();
        assert_eq!(recv_append(two.as_fd(), &mut into, 4).unwrap(), 4);
        assert_eq!(into, b"xabcd");
        assert_eq!(recv_append(two.as_fd(), &mut into, 100).unwrap(), 2);
        assert_eq!(into, b"xabcdef");
    }

    #[test]
    fn a_listener_can_ignore_new_connections() {
        use std::net::{TcpListener, TcpStream};
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let wait = std::time::Duration::from_millis(100);
        let mut before = TcpStream::connect_timeout(&address, wait).unwrap();
        ignore_new_connections(listener.as_fd()).unwrap();
        let refused = TcpStream::connect_timeout(&address, wait).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut, "it is not answered");
        before.write_all(b"x").unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        let mut byte = [0];
        io::Read::read_exact(&mut accepted, &mut byte).unwrap();
    }

    #[test]
    fn peek_tells_idle_data_and_end_apart() {
        let (mut one, two) = UnixStream::pair().unwrap();
        assert_eq!(peek(two.as_fd()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        one.write_all(b"a").unwrap();
        assert_eq!(peek(two.as_fd()).unwrap(), 1);
        assert_eq!(peek_byte(two.as_fd()).unwrap(), Some(b'a'));
        let mut into = Vec::new();
        recv_append(two.as_fd(), &mut into, 10).unwrap();
        drop(one);
        assert_eq!(peek(two.as_fd()).unwrap(), 0);
    }
}
