//! Connecting to an upstream.

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
use crate::kernel::{self, Descriptor};

/// What is asked of a connection to an upstream before it is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConnectOptions {
    /// The address to connect from (`proxy_bind`). A port of 0 lets the kernel choose.
    pub bind: Option<SocketAddr>,
    /// Lets `bind` be an address that is not ours (`proxy_bind … transparent`).
    pub transparent: bool,
    /// The size of the receive buffer.
    pub rcvbuf: Option<usize>,
    /// Probes an idle connection (`proxy_socket_keepalive`).
    pub keepalive: bool,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum ConnectError {
    /// The peer, or the way to it: `TimedOut` when it has not answered in time, else the system's,
    /// `ECONNREFUSED` and so on.
    Peer(io::Error),
    /// This peer cannot be had with what we have: local ports to it are used up. It is not to
    /// blame, and another one may be reached.
    Ports(io::Error),
    /// We are out of something, or the address to connect from is no good: what was called, and
    /// what it gave. No peer is to blame, and none can be reached.
    Own(String, io::Error),
    /// `worker_connections` are used up, which the log has been told of.
    Capacity,
}

impl ConnectError {
    fn own(call: &str, error: impl Into<io::Error>) -> Self {
        Self::Own(call.to_owned(), error.into())
    }

    /// Whose fault it is that connecting, or waiting for it, failed.
    fn of_connect(error: io::Error, addr: &Addr) -> Self {
        let Some(errno) = Errno::from_io_error(&error) else { return Self::Peer(error) };
        match (errno, addr) {
            (Errno::NOMEM | Errno::NOBUFS | Errno::MFILE | Errno::NFILE | Errno::NOSPC, _) => {
                Self::own("connect()", error)
            }
            // With IPv6 it means as well that this host has no address of that kind.
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

/// Connects within `timeout`.
///
/// # Errors
/// Why not, and whose fault it is.
pub async fn connect(
    addr: &Addr,
    options: &ConnectOptions,
    timeout: Duration,
) -> Result<Conn, ConnectError> {
    capacity::claim_or_fail().map_err(|_| ConnectError::Capacity)?;
    let (mut conn, pending) = start(addr, options)?;
    if pending {
        let connected = conn.within(timeout, |conn, cx| conn.socket().poll_connected(cx));
        connected.await.map_err(|error| ConnectError::of_connect(error, addr))?;
    }
    Ok(conn)
}

/// Begins to connect; whether the connection is still under way is the second of the pair.
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
        // This host knows no addresses of the peer's kind.
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

/// How the log calls it: the port is shown if there is one.
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
        // Else the source ports of all upstreams would be one supply of 28,000. Kernels without
        // the option do as before.
        let _ = set_int_option(socket.as_fd(), IntOption::BindAddressNoPort, 1);
    }
    Ok(rustix::net::bind(socket, &from)?)
}
