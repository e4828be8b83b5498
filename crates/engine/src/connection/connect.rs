//! Connecting to an upstream.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use weir_sys::socket::{IntOption, set_int_option};

use super::Conn;
use crate::addr::Addr;
use crate::capacity;

/// What is asked of a connection to an upstream before it is made.
#[derive(Clone, Debug, Default)]
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

/// Connects within `timeout`.
///
/// # Errors
/// `TimedOut` when the peer has not answered in time, else the system's: `ECONNREFUSED` and so
/// on; for a failed `bind` what it gave. `QuotaExceeded` when `worker_connections` are used up,
/// which the log has been told of.
pub async fn connect(addr: &Addr, options: &ConnectOptions, timeout: Duration) -> io::Result<Conn> {
    capacity::claim_or_fail()?;
    let (mut conn, pending) = start(addr, options)?;
    if pending {
        conn.within(timeout, |conn, cx| conn.socket().poll_connected(cx)).await?;
    }
    Ok(conn)
}

/// Begins to connect; whether the connection is still under way is the second of the pair.
fn start(addr: &Addr, options: &ConnectOptions) -> io::Result<(Conn, bool)> {
    let socket = socket(addr, options)?;
    let pending = match rustix::net::connect(&socket, &addr.to_any()?) {
        Ok(()) => false,
        Err(Errno::INPROGRESS) => true,
        Err(error) => return Err(error.into()),
    };
    Ok((Conn::outgoing(socket, addr.clone()), pending))
}

fn socket(addr: &Addr, options: &ConnectOptions) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family(addr), SocketType::STREAM, flags, None)?;
    if addr.is_unix() {
        return Ok(socket);
    }
    if let Some(size) = options.rcvbuf {
        sockopt::set_socket_recv_buffer_size(&socket, size)?;
    }
    if options.keepalive {
        sockopt::set_socket_keepalive(&socket, true)?;
    }
    if let Some(from) = options.bind {
        bind_source(&socket, from, options.transparent)?;
    }
    Ok(socket)
}

fn bind_source(socket: &OwnedFd, from: SocketAddr, transparent: bool) -> io::Result<()> {
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

pub(crate) fn family(addr: &Addr) -> AddressFamily {
    match addr {
        Addr::Inet(SocketAddr::V4(_)) => AddressFamily::INET,
        Addr::Inet(SocketAddr::V6(_)) => AddressFamily::INET6,
        Addr::Unix(_) => AddressFamily::UNIX,
    }
}
