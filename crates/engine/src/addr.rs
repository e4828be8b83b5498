//! Addresses of peers and listeners in nginx's text formats.

use std::ffi::OsStr;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix};

use crate::kernel;

/// The address of one end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Addr {
    /// IPv4 or IPv6 with a port.
    Inet(SocketAddr),
    /// A unix socket; `None` if it is unnamed, as the client's end usually is.
    Unix(Option<Arc<Path>>),
}

impl Addr {
    /// The address of a unix socket with this path.
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self::Unix(Some(Arc::from(path.as_ref())))
    }

    /// The IP address; `None` for a unix socket.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Inet(addr) => Some(addr.ip()),
            Self::Unix(_) => None,
        }
    }

    /// The port; `None` for a unix socket.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Inet(addr) => Some(addr.port()),
            Self::Unix(_) => None,
        }
    }

    /// Whether it stands for every address of its family.
    pub fn is_wildcard(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_unspecified())
    }

    /// Whether it is a unix socket.
    pub fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }

    pub(crate) fn family(&self) -> AddressFamily {
        match self {
            Self::Inet(SocketAddr::V4(_)) => AddressFamily::INET,
            Self::Inet(SocketAddr::V6(_)) => AddressFamily::INET6,
            Self::Unix(_) => AddressFamily::UNIX,
        }
    }

    /// Appends `$remote_addr`: an IP address without port and brackets, `unix:` for an unnamed unix
    /// socket and `unix:/path` for a named one.
    pub fn write_ip(&self, out: &mut Vec<u8>) {
        match self {
            Self::Inet(SocketAddr::V4(addr)) => write_v4(addr.ip().octets(), out),
            Self::Inet(SocketAddr::V6(addr)) => {
                out.extend_from_slice(addr.ip().to_string().as_bytes());
            }
            Self::Unix(path) => write_unix(path.as_deref(), out),
        }
    }

    /// Appends the address with its port: `127.0.0.1:80`, `[::1]:80`, `unix:/path`.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Inet(addr) if addr.is_ipv4() => {
                self.write_ip(out);
                out.push(b':');
                write_number(addr.port(), out);
            }
            Self::Inet(addr) => out.extend_from_slice(addr.to_string().as_bytes()),
            Self::Unix(path) => write_unix(path.as_deref(), out),
        }
    }

    /// Appends `$binary_remote_addr`: 4 or 16 bytes, or the text of a unix socket.
    pub fn write_binary(&self, out: &mut Vec<u8>) {
        match self {
            Self::Inet(SocketAddr::V4(addr)) => out.extend_from_slice(&addr.ip().octets()),
            Self::Inet(SocketAddr::V6(addr)) => out.extend_from_slice(&addr.ip().octets()),
            Self::Unix(path) => write_unix(path.as_deref(), out),
        }
    }

    /// The text of [`Addr::write_ip`].
    pub fn ip_text(&self) -> String {
        let mut text = Vec::new();
        self.write_ip(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    pub(crate) fn from_any(any: SocketAddrAny) -> Self {
        if let Ok(addr) = SocketAddr::try_from(any.clone()) {
            return Self::Inet(addr);
        }
        let path = SocketAddrUnix::try_from(any).ok().and_then(|unix| {
            unix.path_bytes().map(|path| Arc::from(Path::new(OsStr::from_bytes(path))))
        });
        Self::Unix(path)
    }

    pub(crate) fn to_any(&self) -> rustix::io::Result<SocketAddrAny> {
        match self {
            Self::Inet(addr) => Ok((*addr).into()),
            Self::Unix(Some(path)) => Ok(SocketAddrUnix::new(&**path)?.into()),
            Self::Unix(None) => Ok(SocketAddrUnix::new_unnamed().into()),
        }
    }

    /// The local address of a socket.
    pub fn of_socket(fd: impl AsFd) -> std::io::Result<Self> {
        Ok(Self::from_any(kernel::getsockname(fd)?))
    }
}

fn write_unix(path: Option<&Path>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"unix:");
    if let Some(path) = path {
        out.extend_from_slice(path.as_os_str().as_bytes());
    }
}

fn write_v4(octets: [u8; 4], out: &mut Vec<u8>) {
    let (mut text, mut length) = ([b'.'; "255.255.255.255".len()], 0);
    for octet in octets {
        let (hundreds, tens) = (octet / 100, octet / 10 % 10);
        if hundreds > 0 {
            text[length] = b'0' + hundreds;
            length += 1;
        }
        if octet >= 10 {
            text[length] = b'0' + tens;
            length += 1;
        }
        text[length] = b'0' + octet % 10;
        // The dot is there.
        length += 2;
    }
    out.extend_from_slice(&text[..length - 1]);
}

/// Writes decimal digits without `fmt`'s overhead: addresses are written per connection.
fn write_number(number: u16, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 5];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(addr) => addr.fmt(f),
            Self::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Self::Unix(None) => f.write_str("unix:"),
        }
    }
}

impl From<SocketAddr> for Addr {
    fn from(addr: SocketAddr) -> Self {
        Self::Inet(addr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(addr: &Addr) -> (String, String) {
        let mut full = Vec::new();
        addr.write(&mut full);
        assert_eq!(String::from_utf8_lossy(&full), addr.to_string());
        (addr.ip_text(), addr.to_string())
    }

    #[test]
    fn texts_are_those_of_nginx() {
        let v4 = Addr::Inet("127.0.0.1:8080".parse().unwrap());
        assert_eq!(texts(&v4), ("127.0.0.1".into(), "127.0.0.1:8080".into()));
        let v6 = Addr::Inet("[::ffff:1.2.3.4]:0".parse().unwrap());
        assert_eq!(texts(&v6), ("::ffff:1.2.3.4".into(), "[::ffff:1.2.3.4]:0".into()));
        assert_eq!(texts(&Addr::Unix(None)), ("unix:".into(), "unix:".into()));
        let unix = Addr::unix("/run/x.sock");
        assert_eq!(texts(&unix).1, "unix:/run/x.sock");
        let mut binary = Vec::new();
        v4.write_binary(&mut binary);
        assert_eq!(binary, [127, 0, 0, 1]);
    }

    #[test]
    fn every_number_of_an_address_has_its_digits() {
        for octet in 0..=255 {
            let ip = std::net::Ipv4Addr::from([octet, 255 - octet, octet / 2, octet]);
            assert_eq!(Addr::Inet((ip, 80).into()).ip_text(), ip.to_string());
        }
    }

    #[test]
    fn addresses_survive_conversion_to_the_kernels_form() {
        for addr in [Addr::Inet("[::1]:1".parse().unwrap()), Addr::unix("/a"), Addr::Unix(None)] {
            assert_eq!(Addr::from_any(addr.to_any().unwrap()), addr);
        }
    }
}
