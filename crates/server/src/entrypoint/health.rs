//! Whether the server of a container is well, for the `HEALTHCHECK` of its image, which has no
//! other client of HTTP.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use weir_engine::Addr;
use weir_engine::listen::Transport;

use super::Log;
use crate::cli::Options;
use crate::console::Console;
use crate::cycle::Draft;
use crate::paths::Paths;

/// The time for a connection, and for its end.
const PATIENCE: Duration = Duration::from_secs(2);

/// The most sockets that are tried, so that many that hang end in time.
const MOST: usize = 2;

/// Opens a connection to the first sockets of the configuration, and closes it without a request.
/// The server's loops close their side, whatever its protocol is, and log nothing. Returns the exit
/// code.
pub(super) fn run(args: &[OsString]) -> i32 {
    let log = Log::new("healthcheck");
    let options = match Options::parse(args) {
        Ok(options) => options,
        Err(fault) => {
            log.complain(fault);
            return 1;
        }
    };
    let console = Console::for_command(Some(OsStr::new("weir")));
    let draft =
        Draft::read(&Paths::of(&options), options.globals_text().as_deref(), &console, || ());
    let Ok(draft) = draft else { return 1 };
    let streams = draft.sockets.iter().filter(|spec| spec.options.transport == Transport::Stream);
    for spec in streams.take(MOST) {
        if let Err(error) = visit(&spec.address, spec.options.deferred) {
            log.complain(format_args!("{}: {error}", spec.name()));
            return 1;
        }
    }
    0
}

/// Connects, and waits for the end. A socket with deferred connections shows none without data.
fn visit(address: &Addr, is_deferred: bool) -> io::Result<()> {
    match address {
        Addr::Inet(address) => {
            let stream = TcpStream::connect_timeout(&reachable(*address), PATIENCE)?;
            if is_deferred {
                return Ok(());
            }
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.shutdown(Shutdown::Write)?;
            see_end(stream)
        }
        Addr::Unix(path) => {
            let stream = UnixStream::connect(path.as_deref().unwrap_or(Path::new("")))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.shutdown(Shutdown::Write)?;
            see_end(stream)
        }
    }
}

/// An end, an answer and a reset are signs of life alike.
fn see_end(mut stream: impl Read) -> io::Result<()> {
    match stream.read(&mut [0]).map_err(|error| (error.kind(), error)) {
        Ok(_) | Err((io::ErrorKind::ConnectionReset, _)) => Ok(()),
        Err((io::ErrorKind::WouldBlock, _)) => Err(io::Error::other("the server does not respond")),
        Err((_, error)) => Err(error),
    }
}

/// An address on this host for that of a socket.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
