//! Making a listening socket out of the parameters of a `listen` directive.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use weir_sys::socket::{IntOption, set_int_option};

use crate::addr::Addr;
use crate::os_error::Failed;

/// nginx's default for `backlog` on Linux.
pub const DEFAULT_BACKLOG: i32 = 511;

/// A unix socket can be used by everybody, as nginx's can.
const EVERYBODY: Mode = Mode::from_raw_mode(0o666);

/// What comes in at a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Connections.
    #[default]
    Stream,
    /// Datagrams: `udp`, `quic`.
    Datagram,
}

/// `so_keepalive=on|off|[keepidle]:[keepintvl]:[keepcnt]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// Whether silent connections are probed.
    pub on: bool,
    /// How long a connection is silent before the first probe.
    pub idle: Option<Duration>,
    /// The time between two probes.
    pub interval: Option<Duration>,
    /// How many probes are sent.
    pub count: Option<u32>,
}

/// The parameters of a `listen` directive that concern the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Connections or datagrams.
    pub transport: Transport,
    /// How many connections may wait to be accepted.
    pub backlog: i32,
    /// The size of the receive buffer.
    pub rcvbuf: Option<usize>,
    /// The size of the send buffer.
    pub sndbuf: Option<usize>,
    /// Wakes the listener only when data has come.
    pub deferred: bool,
    /// The queue of connections whose handshake carries data.
    pub fastopen: Option<i32>,
    /// One socket for each thread, among which the kernel deals.
    pub reuseport: bool,
    /// Probing of silent connections; `None` leaves it to the system.
    pub keepalive: Option<Keepalive>,
    /// An IPv6 socket takes no IPv4 connections.
    pub ipv6only: bool,
    /// The address is a wildcard, so datagrams must bring their destination with them.
    pub wildcard: bool,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            transport: Transport::Stream,
            backlog: DEFAULT_BACKLOG,
            rcvbuf: None,
            sndbuf: None,
            deferred: false,
            fastopen: None,
            reuseport: false,
            keepalive: None,
            ipv6only: true,
            wildcard: false,
        }
    }
}

/// Why a listener could not be made.
#[derive(Debug)]
pub struct BindError {
    what: String,
    error: io::Error,
}

impl BindError {
    fn new(what: String, error: impl Into<io::Error>) -> Self {
        Self { what, error: error.into() }
    }

    /// Whether somebody else has the address. nginx tries again for a while, and `-t` lets it
    /// pass.
    pub fn in_use(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrInUse
    }

    /// The system's error.
    pub fn source(&self) -> &io::Error {
        &self.error
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Failed(&self.what, &self.error).fmt(f)
    }
}

/// Makes a socket that listens at `addr`. What the socket refuses without being useless for it is
/// appended to `alerts`, in nginx's words.
///
/// # Errors
/// With nginx's words: `bind() to 0.0.0.0:80 failed (98: Address already in use)`.
pub fn bind(
    addr: &Addr,
    options: &ListenOptions,
    alerts: &mut Vec<String>,
) -> Result<OwnedFd, BindError> {
    let socket = open(addr, options, alerts)?;
    bind_name(&socket, addr)
        .map_err(|error| BindError::new(format!("bind() to {addr} failed"), error))?;
    if options.transport == Transport::Stream {
        rustix::net::listen(&socket, options.backlog).map_err(|error| {
            let backlog = options.backlog;
            BindError::new(format!("listen() to {addr}, backlog {backlog} failed"), error)
        })?;
    }
    apply_to_new(&socket, addr, options, alerts);
    Ok(socket)
}

fn open(
    addr: &Addr,
    options: &ListenOptions,
    alerts: &mut Vec<String>,
) -> Result<OwnedFd, BindError> {
    let kind = match options.transport {
        Transport::Stream => SocketType::STREAM,
        Transport::Datagram => SocketType::DGRAM,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(addr.family(), kind, flags, None)
        .map_err(|error| BindError::new(format!("socket() {addr} failed"), error))?;
    sockopt::set_socket_reuseaddr(&socket, true).map_err(|error| {
        BindError::new(format!("setsockopt(SO_REUSEADDR) {addr} failed"), error)
    })?;
    if options.reuseport {
        sockopt::set_socket_reuseport(&socket, true).map_err(|error| {
            BindError::new(format!("setsockopt(SO_REUSEPORT) {addr} failed"), error)
        })?;
    }
    if matches!(addr, Addr::Inet(inet) if inet.is_ipv6()) {
        let done = sockopt::set_ipv6_v6only(&socket, options.ipv6only);
        ignore("setsockopt(IPV6_V6ONLY)".into(), addr, done.map_err(io::Error::from), alerts);
    }
    Ok(socket)
}

/// The name of a unix socket has its rights from the beginning: set afterwards, by its name, they
/// could be those of another file that somebody has put there meanwhile.
fn bind_name(socket: &OwnedFd, addr: &Addr) -> io::Result<()> {
    let any = addr.to_any()?;
    if !matches!(addr, Addr::Unix(Some(_))) {
        return Ok(rustix::net::bind(socket, &any)?);
    }
    rustix::fs::fchmod(socket, EVERYBODY)?;
    let mask = rustix::process::umask(Mode::empty());
    let bound = rustix::net::bind(socket, &any);
    rustix::process::umask(mask);
    Ok(bound?)
}

/// Lets another socket of this user listen at an address that overlaps with that of `socket`, if
/// it is bound with `reuseport`.
///
/// # Errors
/// Those of setsockopt(2).
pub fn share(socket: &OwnedFd) -> io::Result<()> {
    Ok(sockopt::set_socket_reuseport(socket, true)?)
}

/// Lets nobody new connect to a listener, while whoever has begun to still gets through: other
/// sockets that listen at the address take the rest.
///
/// # Errors
/// Those of setsockopt(2); before Linux 5.7 only root may do it.
pub fn retire(socket: &OwnedFd) -> io::Result<()> {
    // The kernel looks for the listener of a new connection by its interface, too.
    const NO_INTERFACE: i32 = i32::MAX;
    set_int_option(socket.as_fd(), IntOption::Interface, NO_INTERFACE)
}

/// Whether the name of a unix socket is one that a server has left behind: there is a socket of
/// that name, and nobody has it open.
pub fn is_abandoned(addr: &Addr) -> bool {
    let Addr::Unix(Some(path)) = addr else { return false };
    let found = rustix::fs::lstat(&**path);
    let is_socket = |found: rustix::fs::Stat| {
        rustix::fs::FileType::from_raw_mode(found.st_mode) == rustix::fs::FileType::Socket
    };
    if !found.is_ok_and(is_socket) || is_open(path) {
        return false;
    }
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    let (Ok(socket), Ok(any)) = (socket, addr.to_any()) else { return false };
    rustix::net::connect(&socket, &any) == Err(rustix::io::Errno::CONNREFUSED)
}

/// Whether a socket of that name is open, be it one that does not listen yet.
fn is_open(path: &std::path::Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    // Without the list, what connect(2) says has to do.
    let list = std::fs::read("/proc/net/unix").unwrap_or_default();
    let name = [b" ", path.as_os_str().as_bytes()].concat();
    list.split(|&byte| byte == b'\n').any(|line| line.ends_with(&name))
}

fn ignore(what: String, addr: &Addr, done: io::Result<()>, alerts: &mut Vec<String>) {
    if let Err(error) = done {
        alerts.push(Failed(&format!("{what} {addr} failed, ignored"), &error).to_string());
    }
}

/// Sets the options of a socket that has listened before: inherited, or kept over a reload with
/// changed parameters. What it refuses is appended to `alerts`.
pub fn apply(socket: &OwnedFd, addr: &Addr, options: &ListenOptions, alerts: &mut Vec<String>) {
    apply_to_new(socket, addr, options, alerts);
    if options.transport == Transport::Stream {
        let what = format!("listen() to {addr}, backlog {} failed, ignored", options.backlog);
        if let Err(error) = rustix::net::listen(socket, options.backlog) {
            alerts.push(Failed(&what, &error.into()).to_string());
        }
        if !options.deferred && !addr.is_unix() {
            set_deferred(socket, addr, 0, alerts);
        }
    }
}

fn apply_to_new(socket: &OwnedFd, addr: &Addr, options: &ListenOptions, alerts: &mut Vec<String>) {
    let mut set = |what: String, done: rustix::io::Result<()>| {
        ignore(what, addr, done.map_err(io::Error::from), alerts);
    };
    if let Some(size) = options.rcvbuf {
        let done = sockopt::set_socket_recv_buffer_size(socket, size);
        set(format!("setsockopt(SO_RCVBUF, {size})"), done);
    }
    if let Some(size) = options.sndbuf {
        let done = sockopt::set_socket_send_buffer_size(socket, size);
        set(format!("setsockopt(SO_SNDBUF, {size})"), done);
    }
    if let Some(keepalive) = options.keepalive {
        let on = keepalive.on;
        let done = sockopt::set_socket_keepalive(socket, on);
        set(format!("setsockopt(SO_KEEPALIVE, {})", u8::from(on)), done);
        if let Some(idle) = keepalive.idle {
            let done = sockopt::set_tcp_keepidle(socket, idle);
            set(format!("setsockopt(TCP_KEEPIDLE, {})", idle.as_secs()), done);
        }
        if let Some(interval) = keepalive.interval {
            let done = sockopt::set_tcp_keepintvl(socket, interval);
            set(format!("setsockopt(TCP_KEEPINTVL, {})", interval.as_secs()), done);
        }
        if let Some(count) = keepalive.count {
            let done = sockopt::set_tcp_keepcnt(socket, count);
            set(format!("setsockopt(TCP_KEEPCNT, {count})"), done);
        }
    }
    if let Some(queue) = options.fastopen {
        let done = set_int_option(socket.as_fd(), IntOption::FastOpen, queue);
        ignore(format!("setsockopt(TCP_FASTOPEN, {queue})"), addr, done, alerts);
    }
    if options.deferred {
        // One second: there is no way to tell for how long a connection has waited already.
        set_deferred(socket, addr, 1, alerts);
    }
    if options.wildcard && options.transport == Transport::Datagram {
        bring_destination(socket, addr, alerts);
    }
}

fn set_deferred(socket: &OwnedFd, addr: &Addr, value: i32, alerts: &mut Vec<String>) {
    let done = set_int_option(socket.as_fd(), IntOption::DeferAccept, value);
    ignore(format!("setsockopt(TCP_DEFER_ACCEPT, {value}) for"), addr, done, alerts);
}

fn bring_destination(socket: &OwnedFd, addr: &Addr, alerts: &mut Vec<String>) {
    let (option, name) = match addr {
        Addr::Inet(inet) if inet.is_ipv6() => (IntOption::PacketInfoV6, "IPV6_RECVPKTINFO"),
        Addr::Inet(_) => (IntOption::PacketInfoV4, "IP_PKTINFO"),
        Addr::Unix(_) => return,
    };
    let done = set_int_option(socket.as_fd(), option, 1);
    ignore(format!("setsockopt({name}) for"), addr, done, alerts);
}
