//! Connecting to upstreams.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SocketFlags, SocketType, sockopt};
use weir_sys::socket::{IntOption, set_int_option};

use super::Conn;
use crate::addr::Addr;
use crate::capacity;
use crate::event_loop;
use crate::kernel::{self, Descriptor};

/// The options of a connection to an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConnectOptions {
    /// The source address (`proxy_bind`). Port 0 lets the kernel choose.
    pub bind: Option<SocketAddr>,
    /// Allows `bind` to be an address of another host (`proxy_bind … transparent`).
    pub transparent: bool,
    /// The size of the receive buffer.
    pub rcvbuf: Option<usize>,
    /// Probes an idle connection (`proxy_socket_keepalive`).
    pub keepalive: bool,
}

/// The cause of a failed connection attempt.
#[derive(Debug)]
pub enum ConnectError {
    /// The peer or the network: `TimedOut`, or a system error such as `ECONNREFUSED`.
    Peer(io::Error),
    /// The local ports to this peer are used up. It is not the peer's fault, and other peers may be
    /// reachable.
    Ports(io::Error),
    /// A shortage, or an unusable source address: the failed call and its error. No peer is at
    /// fault, and none can be reached.
    Own(String, io::Error),
    /// `worker_connections` are used up, which has been logged.
    Capacity,
}

impl ConnectError {
    fn own(call: &str, error: impl Into<io::Error>) -> Self {
        Self::Own(call.to_owned(), error.into())
    }

    /// Whether the process has no descriptors.
    fn is_exhausted(&self) -> bool {
        matches!(self, Self::Own(_, error) if capacity::is_exhausted(Errno::from_io_error(error)))
    }

    /// Classifies the error of connecting.
    fn of_connect(error: io::Error, addr: &Addr) -> Self {
        let Some(errno) = Errno::from_io_error(&error) else { return Self::Peer(error) };
        match (errno, addr) {
            (Errno::NOMEM | Errno::NOBUFS | Errno::MFILE | Errno::NFILE | Errno::NOSPC, _) => {
                Self::own("connect()", error)
            }
            // With IPv6, it may also mean that this host has no address of that kind.
            (Errno::ADDRNOTAVAIL | Errno::AGAIN, Addr::Inet(SocketAddr::V4(_))) => {
                Self::Ports(error)
            }
            _ => Self::Peer(error),
        }
    }
}

impl From<ConnectError> for io::Error {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Peer(error) | ConnectError::Ports(error) => error,
            ConnectError::Own(_, error) => error,
            ConnectError::Capacity => io::ErrorKind::QuotaExceeded.into(),
        }
    }
}

/// Connects, with a timeout.
///
/// # Errors
/// The cause of the failure.
pub async fn connect(
    addr: &Addr,
    options: &ConnectOptions,
    timeout: Duration,
) -> Result<Conn, ConnectError> {
    capacity::claim_or_fail().map_err(|_| ConnectError::Capacity)?;
    let started = match start(addr, options) {
        Err(error) if error.is_exhausted() && capacity::give_up_spare() => {
            // A ring, and HTTP/2, close in the next turns.
            event_loop::settle().await;
            start(addr, options)
        }
        started => started,
    };
    let (mut conn, pending) = started?;
    if pending {
        let connected = conn.within(timeout, |conn, cx| conn.socket().poll_connected(cx));
        connected.await.map_err(|error| ConnectError::of_connect(error, addr))?;
    }
    Ok(conn)
}

/// Starts to connect; the second value tells whether the attempt is in progress.
fn start(addr: &Addr, options: &ConnectOptions) -> Result<(Conn, bool), ConnectError> {
    let socket = socket(addr, options)?;
    let to = addr.to_any().map_err(|error| ConnectError::Peer(error.into()))?;
    let pending = match kernel::connect(&socket, &to) {
        Ok(()) => false,
        Err(Errno::INPROGRESS) => true,
        Err(error) => return Err(ConnectError::of_connect(error.into(), addr)),
    };
    Ok((Conn::outgoing(socket, addr.clone()), pending))
}

fn socket(addr: &Addr, options: &ConnectOptions) -> Result<Descriptor, ConnectError> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let made = kernel::socket_with(addr.family(), SocketType::STREAM, flags, None);
    let socket = made.map_err(|error| match error {
        // This host does not support the peer's address family.
        Errno::AFNOSUPPORT => ConnectError::Peer(error.into()),
        _ => ConnectError::own("socket()", error),
    })?;
    if addr.is_unix() {
        return Ok(socket);
    }
    if let Some(size) = options.rcvbuf {
        let set = sockopt::set_socket_recv_buffer_size(&socket, size);
        set.map_err(|error| ConnectError::own("setsockopt(SO_RCVBUF)", error))?;
    }
    if options.keepalive {
        let set = sockopt::set_socket_keepalive(&socket, true);
        set.map_err(|error| ConnectError::own("setsockopt(SO_KEEPALIVE)", error))?;
    }
    if let Some(from) = options.bind {
        bind_source(&socket, from, options.transparent)
            .map_err(|error| ConnectError::Own(bind_call(from), error))?;
    }
    Ok(socket)
}

/// The call's name in the log, with the port if there is one.
#[cold]
fn bind_call(from: SocketAddr) -> String {
    match from.port() {
        0 => format!("bind({})", from.ip()),
        _ => format!("bind({from})"),
    }
}

fn bind_source(socket: &Descriptor, from: SocketAddr, transparent: bool) -> io::Result<()> {
    if transparent {
        let option =
            if from.is_ipv4() { IntOption::TransparentV4 } else { IntOption::TransparentV6 };
        set_int_option(socket.as_fd(), option, 1)?;
    }
    if from.port() == 0 {
        // Otherwise the source ports of all upstreams would come from a single range of 28,000.
        // Kernels without the option behave as before.
        let _ = set_int_option(socket.as_fd(), IntOption::BindAddressNoPort, 1);
    }
    Ok(rustix::net::bind(socket, &from)?)
}
