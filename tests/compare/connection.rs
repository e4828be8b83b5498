//! The client's side of an exchange: sends exactly the case's bytes and records everything
//! received.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::case::{Exchange, Turn};
use super::messages::render;
use super::streams;
use crate::harness::chunk;

/// The time of silence after which the exchange goes on.
const PATIENCE: Duration = Duration::from_secs(10);

/// The host name of the runner's own server.
pub(crate) const PROBE_HOST: &str = "probe.invalid";

const PROBE: &[u8] = b"GET / HTTP/1.1\r\nHost: probe.invalid\r\nConnection: close\r\n\r\n";

/// The response of the runner's own server.
pub(crate) const PROBE_BODY: &str = "the connection was kept";

/// The mark of an exchange whose connection stays open without a response.
pub(crate) const OPEN: &str = "open, and nothing comes";

/// The mark of an exchange whose connection is closed.
pub(crate) const CLOSED: &str = "closed";

/// The mark of an exchange whose connection takes further requests.
pub(crate) const KEPT: &str = "kept";

/// The result of an exchange.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    /// All that was received except the response to the probe, as text.
    pub(crate) received: String,
    /// The state of the connection.
    pub(crate) end: &'static str,
    /// The client's port.
    pub(crate) port: u16,
}

/// Sends the turns of an exchange to a port and returns the result.
///
/// `used` holds the client's ports so far: none is reused, so that a port identifies a connection.
/// At the end, a probe goes to the runner's own server. Its response shows whether the connection
/// is open and in sync; no clock is needed.
pub(crate) fn run(
    exchange: &Exchange,
    port: u16,
    used: &mut BTreeSet<u16>,
) -> std::io::Result<Transcript> {
    let source = exchange.options.get("from").map_or(Ipv4Addr::LOCALHOST, |address| {
        address.parse().expect("an address of IPv4 behind from=")
    });
    let target = exchange.options.get("to").map_or(Ipv4Addr::LOCALHOST, |address| {
        address.parse().expect("an address of IPv4 behind to=")
    });
    let plain = connect(source, (target, port).into(), used)?;
    let client_port = plain.local_addr()?.port();
    if exchange.options.contains_key(streams::OPTION) {
        let (received, end) = streams::talk(exchange, plain);
        return Ok(Transcript { received, end, port: client_port });
    }
    let preface = exchange.options.get("proxy").map(|line| super::text::bytes(line, b"\r\n"));
    let mut connection =
        Connection { stream: Stream::Plain(plain), buffer: Vec::new(), position: 0 };
    if let Some(preface) = preface {
        connection.stream.write_all(&preface)?;
    }
    if exchange.options.contains_key("tls") {
        connection.shake_hands(exchange.options.get("sni").map(String::as_str))?;
    }
    let end = connection.talk(exchange);
    let mut received = connection.buffer;
    let end = match end {
        End::Open => OPEN,
        // The choice between the two depends on timing.
        End::Closed | End::Reset => CLOSED,
        End::Left => "left",
        End::Probed => match probe_answer(&received) {
            Some(at) => {
                received.truncate(at);
                KEPT
            }
            None => CLOSED,
        },
    };
    let heads: Vec<bool> = exchange.turns.iter().flat_map(|turn| turn.heads.clone()).collect();
    Ok(Transcript { received: render(&received, &heads), end, port: client_port })
}

/// The offset of the response to the probe.
fn probe_answer(received: &[u8]) -> Option<usize> {
    received.ends_with(PROBE_BODY.as_bytes()).then(|| {
        let status = b"HTTP/1.1 299";
        received.windows(status.len()).rposition(|bytes| bytes == status)
    })?
}

fn connect(
    source: Ipv4Addr,
    target: SocketAddr,
    used: &mut BTreeSet<u16>,
) -> std::io::Result<TcpStream> {
    loop {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        rustix::net::bind(&socket, &SocketAddr::from((source, 0)))?;
        let own = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
        if !used.insert(own.port()) {
            continue;
        }
        rustix::net::connect(&socket, &target)?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        return Ok(stream);
    }
}

/// The end of an exchange.
#[derive(PartialEq, Eq)]
enum End {
    /// Nothing more arrived, and the connection is open.
    Open,
    Closed,
    Reset,
    /// The client closed, as specified.
    Left,
    /// Everything was answered; the rest was read after the probe.
    Probed,
}

struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
    /// The length of the complete responses.
    position: usize,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
    Gone,
}

impl Stream {
    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Tls(stream) => Some(&stream.sock),
            Self::Gone => None,
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Self::Gone => Err(ErrorKind::NotConnected.into()),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(into),
            Self::Tls(stream) => stream.read(into),
            Self::Gone => Ok(0),
        }
    }
}

impl Connection {
    fn talk(&mut self, exchange: &Exchange) -> End {
        let options = &exchange.options;
        for turn in &exchange.turns {
            if options.contains_key("drip") {
                for byte in &turn.bytes {
                    let _ = self.stream.write_all(&[*byte]);
                }
            } else {
                // The server may respond and close before it has read everything.
                let _ = self.stream.write_all(&turn.bytes);
            }
            if options.contains_key("leave") {
                return End::Left;
            }
            if let Some(stream) = self.stream.tcp().filter(|_| options.contains_key("half")) {
                let _ = stream.shutdown(Shutdown::Write);
            }
            if let Err(end) = self.answers(turn) {
                return end;
            }
        }
        if options.contains_key("noprobe") {
            return End::Left;
        }
        if !options.contains_key("to-end") {
            let _ = self.stream.write_all(PROBE);
        }
        loop {
            match self.more() {
                Ok(()) => {}
                Err(End::Reset | End::Closed) => return End::Probed,
                Err(end) => return end,
            }
        }
    }

    /// Reads a response to each request of a turn.
    fn answers(&mut self, turn: &Turn) -> Result<(), End> {
        if let Some(text) = &turn.wait {
            let from = self.position;
            let has = |buffer: &[u8]| {
                buffer[from..].windows(text.len()).any(|bytes| bytes == text.as_bytes())
            };
            while !has(&self.buffer) {
                self.more()?;
            }
            self.position = self.buffer.len();
            return Ok(());
        }
        for head in &turn.heads {
            while !self.answer(*head)? {}
        }
        Ok(())
    }

    /// Reads a response; returns `false` for an interim one.
    fn answer(&mut self, to_head: bool) -> Result<bool, End> {
        let start = self.position;
        let end = loop {
            let rest = &self.buffer[start..];
            if let Some(end) = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break start + end + 4;
            }
            self.more()?;
        };
        let head = String::from_utf8_lossy(&self.buffer[start..end]).to_ascii_lowercase();
        self.position = end;
        let status: u16 = head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
        let field = |name: &str| {
            let rest = head.split(&format!("\r\n{name}:")).nth(1)?;
            Some(rest.split("\r\n").next()?.trim().to_owned())
        };
        if status == 101 || status == 0 {
            self.everything()?;
        } else if (100..200).contains(&status) {
            return Ok(false);
        } else if to_head || status == 204 || status == 304 {
        } else if field("transfer-encoding").is_some() {
            self.chunks()?;
        } else if let Some(length) = field("content-length").and_then(|text| text.parse().ok()) {
            self.bytes(length)?;
        } else {
            self.everything()?;
        }
        Ok(true)
    }

    fn everything(&mut self) -> Result<(), End> {
        loop {
            self.more()?;
        }
    }

    fn bytes(&mut self, count: usize) -> Result<(), End> {
        while self.buffer.len() < self.position + count {
            self.more()?;
        }
        self.position += count;
        Ok(())
    }

    fn chunks(&mut self) -> Result<(), End> {
        loop {
            match chunk(&self.buffer[self.position..]) {
                Err(_) => return self.everything(),
                Ok(None) => self.more()?,
                Ok(Some(chunk)) => {
                    self.position += chunk.end;
                    if chunk.data.is_empty() {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn more(&mut self) -> Result<(), End> {
        let mut chunk = vec![0; 64 * 1024];
        loop {
            return match self.stream.read(&mut chunk) {
                Ok(0) => Err(End::Closed),
                Ok(count) => {
                    self.buffer.extend_from_slice(&chunk[..count]);
                    Ok(())
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => Err(End::Open),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(End::Closed),
                Err(_) => Err(End::Reset),
            };
        }
    }

    fn shake_hands(&mut self, sni: Option<&str>) -> std::io::Result<()> {
        let Stream::Plain(tcp) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            return Ok(());
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(std::io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth();
        config.enable_sni = sni.is_some();
        let name = sni.unwrap_or("localhost").to_owned();
        let name = ServerName::try_from(name).map_err(std::io::Error::other)?;
        let session = rustls::ClientConnection::new(Arc::new(config), name);
        let session = session.map_err(std::io::Error::other)?;
        self.stream = Stream::Tls(Box::new(rustls::StreamOwned::new(session, tcp)));
        Ok(())
    }
}

/// Accepts every certificate: only the content is compared.
#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
