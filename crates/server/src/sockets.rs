//! The listening sockets of a configuration: new ones are bound, those that are open already are
//! kept, and those that nobody names any more are closed.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use weir_engine::listen::{self, ListenOptions, Transport};
use weir_engine::os_error::Failed;
use weir_engine::{Addr, Level};
use weir_sys::inherit;

use crate::console::Console;

/// How often binding is tried while somebody else, often a server that is about to end, has the
/// address.
const TRIES: usize = 5;

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// One address that the configuration wants to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// What the plan calls it.
    pub(crate) name: String,
    pub(crate) addr: Addr,
    pub(crate) options: ListenOptions,
}

impl Wanted {
    /// The address in a form that both a wanted and an inherited socket have.
    fn key(&self) -> String {
        key(&self.addr, self.options.transport)
    }
}

/// `tcp 127.0.0.1:80`, `udp [::]:53`, `tcp unix:/run/x`
fn key(addr: &Addr, transport: Transport) -> String {
    match transport {
        Transport::Stream => format!("tcp {addr}"),
        Transport::Datagram => format!("udp {addr}"),
    }
}

/// One open socket. A configuration shares those that it takes over with the one before it.
#[derive(Debug, Clone)]
pub(crate) struct Socket {
    /// What the plan calls it; empty until a plan wants it.
    pub(crate) name: String,
    key: String,
    pub(crate) addr: Addr,
    pub(crate) fd: Arc<OwnedFd>,
    /// Came from the binary that ran before.
    pub(crate) inherited: bool,
    /// As it was last set; `None` while only the binary before knows.
    options: Option<ListenOptions>,
}

impl Socket {
    /// Takes over a socket that the binary before has left open.
    ///
    /// # Errors
    /// The system's when the number is no socket, or has no address.
    pub(crate) fn inherit(number: i32) -> std::io::Result<Self> {
        let (fd, datagram) = inherit::socket(number)?;
        let transport = if datagram { Transport::Datagram } else { Transport::Stream };
        let addr = Addr::of_socket(&fd)?;
        let key = key(&addr, transport);
        let name = String::new();
        Ok(Self { name, key, addr, fd: Arc::new(fd), inherited: true, options: None })
    }
}

/// Opens what the configuration wants, `threads` sockets for a `reuseport` listener and one for
/// every other, and takes from `old` what is open already. What is open of an address stays, also
/// if there are fewer threads than before: with a socket, those who wait in its queue are lost.
///
/// # Errors
/// Why it cannot be done has been logged. With `test`, an address that somebody else uses is none.
pub(crate) fn open(
    wanted: &[Wanted],
    old: &[Socket],
    threads: usize,
    test: bool,
    console: &Console,
) -> Result<Vec<Socket>, ()> {
    let mut open = Vec::new();
    let mut missing = Vec::new();
    let mut free: Vec<&Socket> = old.iter().collect();
    for wanted in wanted {
        let key = wanted.key();
        let known = free.iter().filter(|socket| socket.key == key).count();
        let copies = if wanted.options.reuseport { threads.max(known) } else { known.max(1) };
        for _ in 0..copies {
            match free.iter().position(|socket| socket.key == key) {
                Some(at) => open.push(keep(free.remove(at), wanted, console)),
                None => missing.push(wanted),
            }
        }
    }
    bind_all(missing, &mut open, test, console)?;
    // The order of the configuration, so that every thread finds its socket of a reuseport group.
    let place = |socket: &Socket| wanted.iter().position(|wanted| wanted.key() == socket.key);
    open.sort_by_key(place);
    Ok(open)
}

/// Takes over a socket, and sets its options if they are other than before.
fn keep(old: &Socket, wanted: &Wanted, console: &Console) -> Socket {
    let mut kept = old.clone();
    kept.name.clone_from(&wanted.name);
    if kept.options.as_ref() != Some(&wanted.options) {
        let mut alerts = Vec::new();
        listen::apply(&kept.fd, &kept.addr, &wanted.options, &mut alerts);
        alerts.iter().for_each(|alert| console.log(Level::Alert, alert));
        kept.options = Some(wanted.options.clone());
    }
    kept
}

/// Binds, and tries again for a while where the address is in use.
fn bind_all(
    mut missing: Vec<&Wanted>,
    open: &mut Vec<Socket>,
    test: bool,
    console: &Console,
) -> Result<(), ()> {
    for attempt in 0..TRIES {
        if attempt > 0 {
            console.log(Level::Notice, "try again to bind() after 500ms");
            std::thread::sleep(PAUSE);
        }
        let mut failed = Vec::new();
        for wanted in missing {
            if !bind(wanted, open, test, console)? {
                failed.push(wanted);
            }
        }
        missing = failed;
        if missing.is_empty() || test {
            return Ok(());
        }
    }
    console.log(Level::Emerg, "still could not bind()");
    Err(())
}

/// Binds one socket; `false` when somebody else has the address.
fn bind(
    wanted: &Wanted,
    open: &mut Vec<Socket>,
    test: bool,
    console: &Console,
) -> Result<bool, ()> {
    let mut alerts = Vec::new();
    let bound = listen::bind(&wanted.addr, &wanted.options, &mut alerts);
    alerts.iter().for_each(|alert| console.log(Level::Alert, alert));
    match bound {
        Ok(fd) => {
            if test {
                remove_name(&wanted.addr, console);
            }
            open.push(Socket {
                name: wanted.name.clone(),
                key: wanted.key(),
                addr: wanted.addr.clone(),
                fd: Arc::new(fd),
                inherited: false,
                options: Some(wanted.options.clone()),
            });
            Ok(true)
        }
        Err(error) if error.in_use() => {
            if !test {
                console.log(Level::Emerg, error);
            }
            Ok(false)
        }
        Err(error) => {
            console.log(Level::Emerg, error);
            Err(())
        }
    }
}

/// Removes the names of those unix sockets of `old` that are not in `new`. The sockets themselves
/// close when the last process lets go of them.
pub(crate) fn remove_unused_names(old: &[Socket], new: &[Socket], console: &Console) {
    for socket in old {
        if !new.iter().any(|kept| kept.key == socket.key) && socket.addr.is_unix() {
            let Addr::Unix(Some(path)) = &socket.addr else { continue };
            console.log(Level::Warn, format_args!("deleting socket {}", path.display()));
            remove_name(&socket.addr, console);
        }
    }
}

/// Removes the name of a unix socket from the file system.
pub(crate) fn remove_name(addr: &Addr, console: &Console) {
    let Addr::Unix(Some(path)) = addr else { return };
    if let Err(error) = std::fs::remove_file(path) {
        let what = format!("unlink() {} failed", path.display());
        console.log(Level::Emerg, Failed(&what, &error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(addr: &str) -> Wanted {
        let addr = Addr::Inet(addr.parse().unwrap());
        Wanted { name: addr.to_string(), addr, options: ListenOptions::default() }
    }

    #[test]
    fn what_is_open_is_kept() {
        let console = Console::new(None);
        let first = open(&[wanted("127.0.0.1:0")], &[], 1, false, &console).unwrap();
        let second = open(&[wanted("127.0.0.1:0")], &first, 1, false, &console).unwrap();
        assert!(Arc::ptr_eq(&first[0].fd, &second[0].fd));
    }

    #[test]
    fn a_reuseport_listener_has_a_socket_for_each_thread() {
        let console = Console::new(None);
        let mut wanted = wanted("127.0.0.1:0");
        wanted.options.reuseport = true;
        assert_eq!(open(&[wanted], &[], 3, false, &console).unwrap().len(), 3);
    }

    #[test]
    fn a_socket_stays_open_when_there_are_fewer_threads() {
        let console = Console::new(None);
        let mut wanted = wanted("127.0.0.1:0");
        wanted.options.reuseport = true;
        let wanted = [wanted];
        let before = open(&wanted, &[], 3, false, &console).unwrap();
        let after = open(&wanted, &before, 1, false, &console).unwrap();
        assert_eq!(after.len(), 3);
        assert_eq!(open(&wanted, &after, 4, false, &console).unwrap().len(), 4);
    }

    #[test]
    fn testing_does_not_mind_an_address_in_use() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let wanted = wanted(&taken.local_addr().unwrap().to_string());
        let console = Console::new(None);
        assert!(open(&[wanted], &[], 1, true, &console).unwrap().is_empty());
    }
}
