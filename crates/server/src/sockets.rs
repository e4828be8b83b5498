//! The listening sockets of a configuration: new ones are bound, open ones are reused, and those no
//! longer named are closed.

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use weir_edge::listen::{ListenSpec, socket_name};
use weir_engine::listen::{self, BindError, ListenOptions, Transport};
use weir_engine::os_error::Failed;
use weir_engine::{Addr, Level};
use weir_sys::inherit;

use crate::console::Console;

/// The number of attempts to bind an address in use, often by a server that is about to end.
const TRIES: usize = 5;

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// An open socket, shared between successive configurations.
#[derive(Debug, Clone)]
pub(crate) struct Socket {
    /// The same in every configuration that has its address.
    pub(crate) name: String,
    transport: Transport,
    pub(crate) addr: Addr,
    pub(crate) fd: Arc<OwnedFd>,
    /// It speaks Multipath TCP.
    multipath: bool,
    /// Inherited from the previous binary.
    pub(crate) inherited: bool,
    /// Another binary listens on it as well, so it cannot be replaced.
    pub(crate) shared: bool,
    /// The options last set; `None` if the previous binary set them.
    options: Option<ListenOptions>,
}

impl Socket {
    /// Takes over a socket left open by the previous binary.
    ///
    /// # Errors
    /// A system error if the number is not a socket or has no address.
    pub(crate) fn inherit(number: i32) -> std::io::Result<Self> {
        let (fd, datagram) = inherit::socket(number)?;
        let transport = if datagram { Transport::Datagram } else { Transport::Stream };
        let addr = Addr::of_socket(&fd)?;
        let name = socket_name(&addr, transport);
        let multipath = listen::is_multipath(&fd);
        let fd = Arc::new(fd);
        let (inherited, shared) = (true, false);
        Ok(Self { name, transport, addr, fd, multipath, inherited, shared, options: None })
    }

    /// Whether the socket may be closed for `wanted`, which has the same port on a possibly
    /// different address.
    fn yields_port_to(&self, wanted: &ListenSpec) -> bool {
        !self.shared
            && self.transport == wanted.options.transport
            && self.addr.port().is_some()
            && self.addr.port() == wanted.address.port()
    }
}

/// Opens the sockets of a configuration, `threads` of them for a `reuseport` listener and one for
/// any other; open ones are taken from `old`. All of an address stay open even if there are fewer
/// threads than before, since closing one would drop the connections in its queue.
///
/// # Errors
/// A socket could not be opened; the reason has been logged. With `test`, an address in use is not
/// an error.
pub(crate) fn open(
    wanted: &[ListenSpec],
    old: &[Socket],
    threads: usize,
    test: bool,
    console: &Console,
) -> Result<Vec<Socket>, ()> {
    let mut open = Vec::new();
    let mut missing = Vec::new();
    let mut free: HashMap<&str, VecDeque<&Socket>> = HashMap::new();
    for socket in old {
        free.entry(&socket.name).or_default().push_back(socket);
    }
    let names: Vec<String> = wanted.iter().map(ListenSpec::name).collect();
    for (wanted, name) in wanted.iter().zip(&names) {
        let mut known = free.remove(name.as_str()).unwrap_or_default();
        known.retain(|socket| socket.multipath == wanted.options.multipath);
        let copies = if wanted.options.reuseport { threads } else { 1 }.max(known.len());
        for _ in 0..copies {
            match known.pop_front() {
                Some(socket) => open.push(keep(socket, wanted, console)),
                None => missing.push(wanted),
            }
        }
    }
    bind_all(missing, old, &mut open, test, console)?;
    // In configuration order, so that every thread finds its socket of a reuseport group.
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (place, name) in names.iter().enumerate() {
        places.entry(name).or_insert(place);
    }
    open.sort_by_key(|socket| places.get(socket.name.as_str()).copied());
    Ok(open)
}

/// Reuses a socket and updates its options if they changed.
fn keep(old: &Socket, wanted: &ListenSpec, console: &Console) -> Socket {
    let mut kept = old.clone();
    if kept.options.as_ref() != Some(&wanted.options) {
        let mut alerts = Vec::new();
        listen::apply(&kept.fd, &kept.addr, &wanted.options, &mut alerts);
        alerts.iter().for_each(|alert| console.log(Level::Alert, alert));
        kept.options = Some(wanted.options.clone());
    }
    kept
}

/// Binds sockets, with several attempts while an address is in use.
fn bind_all(
    mut missing: Vec<&ListenSpec>,
    old: &[Socket],
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
            if !bind(wanted, old, open, test, console)? {
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

/// Binds a socket; `false` if the address is in use elsewhere.
fn bind(
    wanted: &ListenSpec,
    old: &[Socket],
    open: &mut Vec<Socket>,
    test: bool,
    console: &Console,
) -> Result<bool, ()> {
    let mut alerts = Vec::new();
    let mut bound = listen::bind(&wanted.address, &wanted.options, &mut alerts);
    if !test && bound.as_ref().is_err_and(BindError::in_use) {
        bound = bind_again(wanted, old, &mut alerts, console).unwrap_or(bound);
    }
    alerts.iter().for_each(|alert| console.log(Level::Alert, alert));
    match bound {
        Ok(fd) => {
            if test {
                remove_name(&wanted.address, console);
            }
            open.push(Socket {
                name: wanted.name(),
                transport: wanted.options.transport,
                addr: wanted.address.clone(),
                fd: Arc::new(fd),
                multipath: wanted.options.multipath,
                inherited: false,
                shared: false,
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

/// Binds an address that is in use by a stale unix socket or by an overlapping socket of our own;
/// `None` if another process uses it.
///
/// The overlapping sockets get SO_REUSEPORT, so that the new one can be bound beside them and no
/// moment passes without a listener; [`retire_unused`] stops them later.
fn bind_again(
    wanted: &ListenSpec,
    old: &[Socket],
    alerts: &mut Vec<String>,
    console: &Console,
) -> Option<Result<OwnedFd, BindError>> {
    if listen::is_abandoned(&wanted.address) {
        let name = &wanted.address;
        console.log(
            Level::Notice,
            format_args!("no process listens on {name} any more, replacing it"),
        );
        remove_name(name, console);
        return Some(listen::bind(name, &wanted.options, alerts));
    }
    let rivals = old.iter().filter(|socket| socket.yields_port_to(wanted));
    let shared: Vec<_> = rivals.map(|socket| listen::share(&socket.fd)).collect();
    let shares = !shared.is_empty() && shared.iter().all(Result::is_ok);
    let options = ListenOptions { reuseport: true, ..wanted.options.clone() };
    shares.then(|| listen::bind(&wanted.address, &options, alerts))
}

/// Stops new connections to those sockets of `old` that are replaced by others in `new`. The worker
/// accepts from them for a moment longer: closing them at once would cut off handshakes in
/// progress.
pub(crate) fn retire_unused(old: &[Socket], new: &[Socket]) {
    let kept: HashSet<_> = new.iter().map(|kept| Arc::as_ptr(&kept.fd)).collect();
    let is_kept = |socket: &Socket| kept.contains(&Arc::as_ptr(&socket.fd));
    let heirs: Vec<_> = new.iter().map(|heir| (heir.transport, heir.addr.port())).collect();
    let has_heir = |socket: &Socket| {
        let port = socket.addr.port();
        port.is_some() && heirs.contains(&(socket.transport, port))
    };
    for socket in old.iter().filter(|socket| !is_kept(socket) && has_heir(socket)) {
        // If this fails, connections of that moment are lost, as they always are with nginx.
        let _ = listen::retire(&socket.fd);
    }
}

/// Has the TCP sockets ignore attempts to connect from now on.
pub(crate) fn hold_off(sockets: &[Socket]) {
    for socket in sockets {
        if socket.transport == Transport::Stream && !socket.addr.is_unix() {
            // If this fails, such clients get an error, as without it.
            let _ = listen::hold_off(&socket.fd);
        }
    }
}

/// Unlinks the unix sockets of `old` that are not in `new`. The sockets themselves close with their
/// last holder.
pub(crate) fn remove_unused_names(old: &[Socket], new: &[Socket], console: &Console) {
    for socket in old.iter().filter(|socket| socket.addr.is_unix()) {
        if !new.iter().any(|kept| kept.name == socket.name) {
            let Addr::Unix(Some(path)) = &socket.addr else { continue };
            console.log(Level::Warn, format_args!("deleting socket {}", path.display()));
            remove_name(&socket.addr, console);
        }
    }
}

/// Unlinks a unix socket.
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

    fn wanted(addr: &str) -> ListenSpec {
        let address = Addr::Inet(addr.parse().unwrap());
        ListenSpec { address, options: ListenOptions::default() }
    }

    #[test]
    fn open_sockets_are_reused() {
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
    fn a_wildcard_and_an_address_follow_each_other() {
        let console = Console::new(None);
        for (any, one) in [("0.0.0.0", "127.0.0.1"), ("[::]", "[::1]")] {
            let mut first = wanted(&format!("{one}:0"));
            let Ok(mut sockets) = open(std::slice::from_ref(&first), &[], 1, false, &console)
            else {
                continue;
            };
            // The port was chosen by the kernel.
            first.address = Addr::of_socket(&sockets[0].fd).unwrap();
            sockets[0].addr = first.address.clone();
            sockets[0].name = first.name();
            let wildcard = wanted(&format!("{any}:{}", first.address.port().unwrap()));
            let both = open(std::slice::from_ref(&wildcard), &sockets, 1, false, &console).unwrap();
            assert!(both.len() == 1 && both[0].name == wildcard.name());
            let back = open(&[first], &both, 1, false, &console).unwrap();
            retire_unused(&both, &back);
            let again = open(&[wildcard], &[], 1, true, &console).unwrap();
            assert!(again.is_empty(), "a socket of another process is not shared");
        }
    }

    #[test]
    fn only_a_stale_unix_socket_is_replaced() {
        let console = Console::new(None);
        let path = std::env::temp_dir().join(format!("weir-socket-{}", std::process::id()));
        let address = Addr::unix(&path);
        let wanted = ListenSpec { address, options: ListenOptions::default() };
        let bound = |wanted: &ListenSpec| {
            let mut sockets = Vec::new();
            bind(wanted, &[], &mut sockets, false, &console) == Ok(true)
        };
        std::fs::write(&path, "").unwrap();
        assert!(!bound(&wanted), "a file is not a socket");
        std::fs::remove_file(&path).unwrap();
        let alive = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(!bound(&wanted), "a process listens");
        drop(alive);
        let link = path.with_extension("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let by_link = ListenSpec { address: Addr::unix(&link), ..wanted.clone() };
        assert!(!bound(&by_link), "a link is not a socket");
        assert!(bound(&wanted));
        std::fs::remove_file(link).unwrap();
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn testing_accepts_an_address_in_use() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let wanted = wanted(&taken.local_addr().unwrap().to_string());
        let console = Console::new(None);
        assert!(open(&[wanted], &[], 1, true, &console).unwrap().is_empty());
    }
}
