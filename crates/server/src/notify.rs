//! The service manager is told what the master does, as sd_notify(3) describes: one datagram for
//! each change, to the socket that `NOTIFY_SOCKET` names. Without the variable nothing is sent.
//!
//! systemd listens to the main process alone (`NotifyAccess=main`). A binary that replaces another
//! therefore keeps silent until that has gone, and the old one names it as the main process with
//! its last breath.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use weir_sys::process;

use crate::master::Master;

/// The variable with the socket's path; one that begins with `@` is in the abstract namespace.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// What the master does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It serves.
    Ready,
    /// It loads another configuration.
    Reloading,
    /// It ends.
    Stopping,
}

/// A message of the protocol.
#[derive(Debug, Clone, Copy)]
struct Message {
    state: State,
    /// The process that the manager has to watch, unless it is the one that it started.
    main: Option<i32>,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state {
            State::Ready => f.write_str("READY=1\nSTATUS=Serving")?,
            State::Reloading => {
                let now = process::monotonic_millis() * 1000;
                write!(f, "RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=Loading the configuration")?;
            }
            State::Stopping => f.write_str("STOPPING=1\nSTATUS=Ending")?,
        }
        self.main.map_or(Ok(()), |pid| write!(f, "\nMAINPID={pid}"))
    }
}

/// Tells the service manager what this process does, unless another binary speaks for the service:
/// the one that started this one, or the one that takes over.
pub(crate) fn tell(master: &mut Master) {
    if master.parent_is_there() {
        return;
    }
    let loading =
        master.asked.reconfigure || master.pending.is_some() || master.mirroring.is_busy();
    let state = match master.asked.quit || master.asked.terminate {
        true if master.children.new_binary() => return,
        true => State::Stopping,
        false if !master.up => return,
        false if loading => State::Reloading,
        false => State::Ready,
    };
    // A daemon is not the process that the manager has started.
    let main = master.startup.daemonised.then(process::id);
    master.notifier.tell(state, main);
}

/// The manager's ear, and what it has heard.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    ear: Option<(UnixDatagram, SocketAddr)>,
    told: Option<State>,
}

impl Notifier {
    /// The socket that an environment (`NAME=value`) names.
    pub(crate) fn of(env: &[OsString]) -> Self {
        let name = entry(env).and_then(|entry| entry.as_bytes().get(VARIABLE.len() + 1..));
        let ear = name.and_then(address).and_then(|address| {
            // The manager may be slow; the server does not wait for it.
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            Some((socket, address))
        });
        Self { ear, told: None }
    }

    /// Tells a state if it has changed, and on request the process to watch.
    fn tell(&mut self, state: State, main: Option<i32>) {
        if self.ear.is_some() && self.told != Some(state) {
            self.told = Some(state);
            self.send(&Message { state, main }.to_string());
        }
    }

    /// Names the process that takes the place of this one.
    pub(crate) fn name_successor(&self, pid: i32) {
        self.send(&format!("MAINPID={pid}"));
    }

    /// Sends a message. One that gets lost has nowhere to be reported: the manager keeps the log.
    fn send(&self, message: &str) {
        if let Some((socket, address)) = &self.ear {
            let _ = socket.send_to_addr(message.as_bytes(), address);
        }
    }
}

/// The variable of an environment, for a new binary.
pub(crate) fn entry(env: &[OsString]) -> Option<&OsString> {
    let is_it = |entry: &&OsString| {
        entry
            .as_bytes()
            .strip_prefix(VARIABLE.as_bytes())
            .is_some_and(|rest| rest.starts_with(b"="))
    };
    env.iter().find(is_it)
}

fn address(name: &[u8]) -> Option<SocketAddr> {
    match name {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok(),
        [b'/', ..] => SocketAddr::from_pathname(OsStr::from_bytes(name)).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    fn told_to(name: &str, socket: &UnixDatagram) {
        let mut notifier = Notifier::of(&[format!("NOTIFY_SOCKET={name}").into()]);
        notifier.tell(State::Ready, None);
        notifier.tell(State::Ready, None);
        assert_eq!(heard(socket), "READY=1\nSTATUS=Serving");
        notifier.tell(State::Reloading, None);
        assert!(heard(socket).starts_with("RELOADING=1\nMONOTONIC_USEC="));
        notifier.tell(State::Ready, Some(7));
        assert_eq!(heard(socket), "READY=1\nSTATUS=Serving\nMAINPID=7");
        notifier.name_successor(8);
        assert_eq!(heard(socket), "MAINPID=8");
        notifier.tell(State::Stopping, None);
        assert_eq!(heard(socket), "STOPPING=1\nSTATUS=Ending");
    }

    #[test]
    fn each_change_is_told_once() {
        let path = std::env::temp_dir().join(format!("weir-notify-{}", std::process::id()));
        told_to(&path.display().to_string(), &UnixDatagram::bind(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        let name = format!("weir-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        told_to(&format!("@{name}"), &UnixDatagram::bind_addr(&address).unwrap());
    }

    #[test]
    fn nobody_is_told_without_a_socket() {
        for name in ["", "relative", "vsock:2:1"] {
            let mut notifier = Notifier::of(&[format!("NOTIFY_SOCKET={name}").into()]);
            notifier.tell(State::Ready, None);
            assert_eq!(notifier.told, None, "{name:?}");
        }
    }
}
