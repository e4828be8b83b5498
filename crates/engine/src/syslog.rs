//! Syslog, for error and access logs: one datagram per line, over UDP or a unix socket, as
//! `<PRI>Mon DD hh:mm:ss host tag: message`.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Mutex;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};

mod parse;

use crate::addr::Addr;
use crate::clock;
use crate::error_log::Level;
use crate::losses::{self, Losses};
use crate::os_error::Failed;

/// The facilities in numerical order.
pub(crate) const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv",
    "ftp", "ntp", "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

/// The severities in numerical order.
pub(crate) const SEVERITIES: [&str; 8] =
    ["emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"];

/// The parameters of `syslog:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogOptions {
    /// The server; the caller fills in port 514.
    pub server: Addr,
    /// The facility's number; nginx's default is `local7`, 23.
    pub facility: u8,
    /// The severity's number for access logs; nginx's default is `info`, 6.
    pub severity: u8,
    /// The tag, at most 32 letters, digits and underscores.
    pub tag: String,
    /// Omits the host name from the header.
    pub nohostname: bool,
}

/// A sender to a syslog server.
#[derive(Debug)]
pub struct Syslog {
    options: SyslogOptions,
    hostname: String,
    state: Mutex<SyslogState>,
}

#[derive(Debug, Default)]
struct SyslogState {
    /// Connected at the first line, and again after a failure.
    socket: Option<OwnedFd>,
    losses: Losses,
    /// The second of the wall clock at which a line was last lost.
    lost_at: i64,
}

/// An event of sending that should be reported.
#[derive(Debug)]
pub enum News {
    /// Sending failed, for the first time or for a long time.
    Failed(&'static str, io::Error),
    /// The server accepts lines again; this many were lost.
    Over(u64),
}

/// How long, in seconds, a server must accept lines before losses are reported. Over UDP, the
/// refusal of a line shows with the next one, so an absent server seems to accept every other line.
const STEADY: i64 = 2;

impl Syslog {
    /// A sender. It makes no system call before the first line.
    pub fn new(options: SyslogOptions) -> Self {
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { options, hostname, state: Mutex::default() }
    }

    /// The sender's options.
    pub fn options(&self) -> &SyslogOptions {
        &self.options
    }

    /// Sends one access log line, without a newline, as one datagram. Never blocks: lines that the
    /// server does not accept are lost and counted. Pass the result to [`Syslog::tell`].
    pub fn send(&self, line: &[u8]) -> Option<News> {
        self.send_severity(self.options.severity, line)
    }

    /// Sends one line with the given severity, see [`Syslog::send`].
    pub(crate) fn send_severity(&self, severity: u8, line: &[u8]) -> Option<News> {
        let datagram = self.datagram(severity, line);
        let mut state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let sent = state.send(&self.options.server, &datagram);
        state.judge(sent, clock::wall_secs())
    }

    /// Reports to an error log, in nginx's words.
    pub fn tell(&self, news: &News, log: impl FnOnce(Level, &str)) {
        let server = &self.options.server;
        match news {
            News::Failed(what, error) => {
                // nginx's level if the server is absent or does not read.
                let usual = [Errno::CONNREFUSED, Errno::AGAIN].map(Errno::raw_os_error).map(Some);
                let is_usual = *what == "send() failed" && usual.contains(&error.raw_os_error());
                let level = if is_usual { Level::Error } else { Level::Alert };
                let failed = Failed(what, error);
                log(level, &format!("{failed} while logging to syslog, server: {server}"));
            }
            News::Over(lost) => {
                let lost = losses::in_words(*lost);
                log(Level::Error, &format!("{lost} that syslog did not accept, server: {server}"));
            }
        }
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
        datagram.extend_from_slice(line);
        datagram
    }
}

/// The result of sending: an error means that the line was lost.
type SendResult = Result<(), (&'static str, Errno)>;

impl SyslogState {
    /// Sends a datagram, with one retry over a new connection if the old one is broken. Over UDP,
    /// an error belongs to an earlier line.
    fn send(&mut self, server: &Addr, datagram: &[u8]) -> SendResult {
        let mut refused = Ok(());
        for _ in 0..2 {
            let socket = match self.socket.take() {
                Some(connected) => connected,
                None => connect(server).map_err(|error| ("connect() failed", error))?,
            };
            let sent = rustix::net::send(&socket, datagram, SendFlags::NOSIGNAL);
            match sent {
                Ok(_) => {
                    self.socket = Some(socket);
                    return if server.is_unix() { Ok(()) } else { refused };
                }
                // These errors do not affect the connection.
                Err(error @ (Errno::AGAIN | Errno::MSGSIZE | Errno::NOBUFS)) => {
                    self.socket = Some(socket);
                    return Err(("send() failed", error));
                }
                Err(error) => refused = Err(("send() failed", error)),
            }
        }
        refused
    }

    /// Counts losses, and returns the event to report.
    fn judge(&mut self, sent: SendResult, now: i64) -> Option<News> {
        if let Err((what, error)) = sent {
            self.losses.add(1);
            self.lost_at = now;
            return self.losses.is_news(now).then(|| News::Failed(what, error.into()));
        }
        if !self.losses.any() || now - self.lost_at < STEADY {
            return None;
        }
        self.losses.over(now).map(News::Over)
    }
}

fn connect(server: &Addr) -> rustix::io::Result<OwnedFd> {
    let family = match server {
        Addr::Inet(addr) if addr.is_ipv4() => AddressFamily::INET,
        Addr::Inet(_) => AddressFamily::INET6,
        Addr::Unix(_) => AddressFamily::UNIX,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
    let address = server.to_any().map_err(|_| Errno::NAMETOOLONG)?;
    rustix::net::connect(&socket, &address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::unix::net::UnixDatagram;

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
        assert!(syslog.send(b"hello").is_none());
        let mut buf = [0; 100];
        let count = server.recv(&mut buf).unwrap();
        let text = std::str::from_utf8(&buf[..count]).unwrap();
        assert!(text.starts_with("<190>"), "{text}");
        assert_eq!(&text[20..], " nginx: hello");
    }

    fn syslog(path: &std::path::Path) -> Syslog {
        Syslog::new(SyslogOptions {
            server: Addr::unix(path),
            facility: 0,
            severity: 0,
            tag: "t".into(),
            nohostname: true,
        })
    }

    #[test]
    fn an_outage_is_reported_once() {
        let name = format!("weir-syslog-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let syslog = syslog(&path);
        let server = UnixDatagram::bind(&path).unwrap();
        assert!(syslog.send(&[b'x'; 20_000]).is_none());
        let mut got = vec![0; 30_000];
        assert!(server.recv(&mut got).unwrap() > 20_000, "a long line is whole");
        drop(server);
        std::fs::remove_file(&path).unwrap();
        let news: Vec<_> = (0..10).filter_map(|_| syslog.send(b"lost")).collect();
        let [News::Failed("connect() failed", _)] = &news[..] else { panic!("{news:?}") };
        let server = UnixDatagram::bind(&path).unwrap();
        assert!(syslog.send(b"there").is_none(), "it is too early to tell");
        syslog.state.lock().unwrap().lost_at -= STEADY;
        let Some(News::Over(10)) = syslog.send(b"there") else { panic!("ten were lost") };
        // A restarted server has a new socket of the same name.
        std::fs::remove_file(&path).unwrap();
        drop(server);
        let server = UnixDatagram::bind(&path).unwrap();
        assert!(syslog.send(b"again").is_none());
        let count = server.recv(&mut got).unwrap();
        assert!(got[..count].ends_with(b"again"));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn sending_never_blocks() {
        let path = std::env::temp_dir().join(format!("weir-syslog-full-{}", std::process::id()));
        let syslog = syslog(&path);
        let _server = UnixDatagram::bind(&path).unwrap();
        let news: Vec<_> = (0..1000).filter_map(|_| syslog.send(b"x")).collect();
        std::fs::remove_file(path).unwrap();
        let [News::Failed("send() failed", error)] = &news[..] else { panic!("{news:?}") };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
