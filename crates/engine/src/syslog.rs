//! Lines to a syslog server, for error and access logs: one datagram each, over UDP or a unix
//! socket, as `<PRI>Mon DD hh:mm:ss host tag: message`.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Mutex;

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};

mod parse;

use crate::addr::Addr;
use crate::clock;

/// The longest datagram, nginx's `NGX_SYSLOG_MAX_STR`: the longest line with room for the head.
pub const MAX_DATAGRAM: usize = 2048 + 256;

/// The facilities in the order of their numbers.
pub const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv",
    "ftp", "ntp", "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

/// The severities in the order of their numbers.
pub const SEVERITIES: [&str; 8] =
    ["emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"];

/// What the parameters of `syslog:` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogOptions {
    /// The server; port 514 is for the caller to fill in.
    pub server: Addr,
    /// The number of the facility; nginx's default is `local7`, 23.
    pub facility: u8,
    /// The number of the severity for access logs; nginx's default is `info`, 6.
    pub severity: u8,
    /// The tag, at most 32 letters, digits and underscores.
    pub tag: String,
    /// Leaves the host name out of the head.
    pub nohostname: bool,
}

/// A syslog server that lines are sent to.
#[derive(Debug)]
pub struct Syslog {
    options: SyslogOptions,
    hostname: String,
    /// Connected when the first line is sent, and anew after a failure.
    socket: Mutex<Option<OwnedFd>>,
}

impl Syslog {
    /// A sender; no system call is made before the first line.
    pub fn new(options: SyslogOptions) -> Self {
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { options, hostname, socket: Mutex::new(None) }
    }

    /// The options it was made with.
    pub fn options(&self) -> &SyslogOptions {
        &self.options
    }

    /// Sends one line of an access log, without line end.
    ///
    /// # Errors
    /// The system's. The next line tries to connect anew.
    pub fn send(&self, line: &[u8]) -> io::Result<()> {
        self.send_severity(self.options.severity, line)
    }

    /// Sends one line with that severity.
    ///
    /// # Errors
    /// The system's. The next line tries to connect anew.
    pub fn send_severity(&self, severity: u8, line: &[u8]) -> io::Result<()> {
        let datagram = self.datagram(severity, line);
        let mut socket = self.socket.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let connected = match socket.take() {
            Some(connected) => connected,
            None => connect(&self.options.server)?,
        };
        let sent = rustix::net::send(&connected, &datagram, SendFlags::NOSIGNAL);
        // A full socket buffer costs the line and not the connection, as with nginx.
        if sent.is_ok() || sent == Err(rustix::io::Errno::AGAIN) {
            *socket = Some(connected);
        }
        sent.map(drop).map_err(io::Error::from)
    }

    fn datagram(&self, severity: u8, line: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::with_capacity(line.len() + 96);
        let priority = u32::from(self.options.facility) * 8 + u32::from(severity);
        datagram.extend_from_slice(format!("<{priority}>").as_bytes());
        datagram.extend_from_slice(&clock::syslog_time());
        datagram.push(b' ');
        if !self.options.nohostname {
            datagram.extend_from_slice(self.hostname.as_bytes());
            datagram.push(b' ');
        }
        datagram.extend_from_slice(self.options.tag.as_bytes());
        datagram.extend_from_slice(b": ");
        let room = MAX_DATAGRAM.saturating_sub(datagram.len());
        datagram.extend_from_slice(&line[..line.len().min(room)]);
        datagram
    }
}

fn connect(server: &Addr) -> io::Result<OwnedFd> {
    let family = match server {
        Addr::Inet(addr) if addr.is_ipv4() => AddressFamily::INET,
        Addr::Inet(_) => AddressFamily::INET6,
        Addr::Unix(_) => AddressFamily::UNIX,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
    rustix::net::connect(&socket, &server.to_any()?)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn a_datagram_has_nginxs_form() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let syslog = Syslog::new(SyslogOptions {
            server: Addr::Inet(server.local_addr().unwrap()),
            facility: 23,
            severity: 6,
            tag: "nginx".into(),
            nohostname: true,
        });
        syslog.send(b"hello").unwrap();
        let mut buf = [0; 100];
        let count = server.recv(&mut buf).unwrap();
        let text = std::str::from_utf8(&buf[..count]).unwrap();
        assert!(text.starts_with("<190>"), "{text}");
        assert_eq!(&text[20..], " nginx: hello");
    }

    #[test]
    fn a_long_line_is_cut() {
        let syslog = Syslog::new(SyslogOptions {
            server: Addr::unix("/nowhere"),
            facility: 0,
            severity: 0,
            tag: "t".into(),
            nohostname: false,
        });
        assert_eq!(syslog.datagram(3, &[b'x'; 4000]).len(), MAX_DATAGRAM);
        assert!(syslog.send(b"x").is_err());
    }
}
