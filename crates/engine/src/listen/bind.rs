//! Creating listening sockets from the parameters of `listen` directives.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};
use weir_sys::socket::{IntOption, set_int_option};

use crate::addr::Addr;
use crate::os_error::Failed;

/// nginx's default for `backlog` on Linux.
pub(crate) const DEFAULT_BACKLOG: i32 = 511;

/// Everyone may connect to a unix socket, as with nginx.
const EVERYBODY: Mode = Mode::from_raw_mode(0o666);

/// The transport of a listener.
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
    /// Whether idle connections are probed.
    pub on: bool,
    /// The idle time before the first probe.
    pub idle: Option<Duration>,
    /// The time between two probes.
    pub interval: Option<Duration>,
    /// The number of probes.
    pub count: Option<u32>,
}

/// The socket parameters of a `listen` directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Connections or datagrams.
    pub transport: Transport,
    /// The maximum number of connections waiting to be accepted.
    pub backlog: i32,
    /// The size of the receive buffer.
    pub rcvbuf: Option<usize>,
    /// The size of the send buffer.
    pub sndbuf: Option<usize>,
    /// Wakes the listener only when data has arrived.
    pub deferred: bool,
    /// The queue length for TCP Fast Open.
    pub fastopen: Option<i32>,
    /// One socket per thread, among which the kernel distributes connections.
    pub reuseport: bool,
    /// Probing of idle connections; `None` is the system's default.
    pub keepalive: Option<Keepalive>,
    /// An IPv6 socket accepts no IPv4 connections.
    pub ipv6only: bool,
    /// No interface needs to have the address yet: another host may hold it at present.
    pub free_bind: bool,
    /// The address is a wildcard, so datagrams must carry their destination.
    pub wildcard: bool,
    /// Multipath TCP (RFC 8684), with plain TCP for clients without it.
    pub multipath: bool,
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
            free_bind: false,
            wildcard: false,
            multipath: false,
        }
    }
}

/// The failure to create a listener.
#[derive(Debug)]
pub struct BindError {
    what: String,
    error: io::Error,
}

impl BindError {
    fn new(what: String, error: impl Into<io::Error>) -> Self {
        Self { what, error: error.into() }
    }

    /// Whether the address is in use elsewhere. nginx retries for a while, and `-t` ignores it.
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

/// Creates a socket that listens on `addr`. Failures of nonessential options are appended to
/// `alerts`, in nginx's words.
///
/// # Errors
/// nginx's message: `bind() to 0.0.0.0:80 failed (98: Address already in use)`.
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
    let protocol = options.multipath.then_some(ipproto::MPTCP);
    let socket = rustix::net::socket_with(addr.family(), kind, flags, protocol)
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
    if options.free_bind
        && let Addr::Inet(inet) = addr
    {
        let v6 = inet.is_ipv6();
        let option = if v6 { IntOption::FreeBindV6 } else { IntOption::FreeBindV4 };
        set_int_option(socket.as_fd(), option, 1).map_err(|error| {
            BindError::new(format!("setsockopt(IP_FREEBIND) {addr} failed"), error)
        })?;
    }
    Ok(socket)
}

/// Binds a unix socket with its mode set from the start: a later change by name could affect
/// another file put there meanwhile.
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

/// Whether a socket speaks Multipath TCP, which a reload cannot change.
pub fn is_multipath(socket: &OwnedFd) -> bool {
    sockopt::socket_protocol(socket) == Ok(Some(ipproto::MPTCP))
}

/// Allows another socket of this user, bound with `reuseport`, to listen on an address that
/// overlaps with that of `socket`.
///
/// # Errors
/// An error of setsockopt(2).
pub fn share(socket: &OwnedFd) -> io::Result<()> {
    Ok(sockopt::set_socket_reuseport(socket, true)?)
}

/// Directs new connections to other sockets listening on the address, while started handshakes on
/// this listener still complete.
///
/// # Errors
/// An error of setsockopt(2); before Linux 5.7 it requires root.
pub fn retire(socket: &OwnedFd) -> io::Result<()> {
    // The kernel also selects the listener of a new connection by its interface.
    const NO_INTERFACE: i32 = i32::MAX;
    set_int_option(socket.as_fd(), IntOption::Interface, NO_INTERFACE)
}

/// Has a TCP listener ignore attempts to connect, which clients repeat: those who come while this
/// host gives its address up reach the next one.
///
/// # Errors
/// An error of setsockopt(2).
pub fn hold_off(socket: &OwnedFd) -> io::Result<()> {
    weir_sys::socket::ignore_new_connections(socket.as_fd())
}

/// Whether a unix socket is stale: the path is a socket that no process has open.
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

/// Whether a process has the socket open, listening or not.
fn is_open(path: &std::path::Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    // Without the list, the result of connect(2) decides.
    let list = std::fs::read("/proc/net/unix").unwrap_or_default();
    let name = [b" ", path.as_os_str().as_bytes()].concat();
    list.split(|&byte| byte == b'\n').any(|line| line.ends_with(&name))
}

fn ignore(what: String, addr: &Addr, done: io::Result<()>, alerts: &mut Vec<String>) {
    if let Err(error) = done {
        alerts.push(Failed(&format!("{what} {addr} failed, ignored"), &error).to_string());
    }
}

/// Sets the options of a socket that is listening already: inherited, or kept over a reload with
/// changed parameters. Failures are appended to `alerts`.
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
        // One second: the time that a connection has been waiting is unknown.
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
