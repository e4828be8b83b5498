//! Making a listening socket out of the parameters of a `listen` directive.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::net::{SocketFlags, SocketType, sockopt};
use weir_sys::socket::{IntOption, set_int_option};

use crate::addr::Addr;
use crate::connection::connect::family;
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
    let any =
        addr.to_any().map_err(|error| BindError::new(format!("bind() to {addr} failed"), error))?;
    rustix::net::bind(&socket, &any)
        .map_err(|error| BindError::new(format!("bind() to {addr} failed"), error))?;
    if let Addr::Unix(Some(path)) = addr {
        open_to_everybody(path, alerts);
    }
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
    let socket = rustix::net::socket_with(family(addr), kind, flags, None)
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

fn open_to_everybody(path: &Path, alerts: &mut Vec<String>) {
    if let Err(error) = rustix::fs::chmod(path, EVERYBODY) {
        let what = format!("chmod() \"{}\" failed", path.display());
        alerts.push(Failed(&what, &error.into()).to_string());
    }
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
