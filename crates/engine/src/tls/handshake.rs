//! Handshakes: a plain connection becomes a TLS connection.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice, Write};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_lc_rs::digest;
use rustls::pki_types::ServerName;
use rustls::server::{Accepted, Acceptor};
use rustls::{
    CipherSuite, ClientConnection, Connection, Error, HandshakeType, PeerIncompatible,
    ProtocolVersion,
};

use super::aead::{HEAD, Keys};
use super::client::ClientTls;
use super::hello::{self, Hidden, Received};
use super::info::{Judged, TlsInfo};
use super::server::{Alpn, ServerTls};
use super::session::{Outbound, Session};
use super::verify::{Fault, Verdict, is_for};
use super::wording;
use crate::buffer::{self, Buf};
use crate::connection::Conn;
use crate::error_log::Level;
use crate::event_loop;
use crate::kernel;
use crate::os_error::OsError;
use crate::timer::Deadline;

/// The version number of TLS 1.2 in a hello.
const TLS12: u16 = 0x0303;

/// The size of a receive; most hellos fit.
const INBOUND: usize = 4096;

/// The longest hello, record headers included, that is parsed here. A longer one goes to rustls
/// unparsed.
const LONGEST_HELLO: usize = 32 * 1024;

/// The handshake yields to other tasks after this many records: a hello may arrive in one-byte
/// pieces.
const RECORDS_PER_TURN: usize = 16;

/// A fatal alert "unrecognized_name" (RFC 6066 section 3), for `ssl_reject_handshake`.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// The content of a client hello.
#[derive(Clone, Copy, Debug)]
pub struct ClientHello<'a> {
    /// The server name as the client sent it.
    pub server_name: Option<&'a [u8]>,
    /// The protocols offered by ALPN.
    pub alpn: &'a [&'a [u8]],
}

/// The cause of a failed handshake.
#[derive(Debug)]
pub enum HandshakeError {
    /// The peer or the network closed the connection.
    Io(io::Error),
    /// The handshake timed out.
    TimedOut,
    /// A negotiation failure or a protocol violation.
    Tls(Error),
    /// The server rejects handshakes for this name.
    Rejected,
    /// The upstream's certificate failed verification.
    Certificate(Fault),
    /// The upstream's certificate does not cover this name.
    Name(String),
}

impl HandshakeError {
    /// nginx's log level for the error; most are the peer's fault.
    pub fn level(&self) -> Level {
        match self {
            Self::Certificate(_) | Self::Name(_) => Level::Error,
            _ => Level::Info,
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("peer closed connection in SSL handshake")
            }
            Self::Io(error) => {
                write!(f, "peer closed connection in SSL handshake ({})", OsError(error))
            }
            Self::TimedOut => f.write_str("SSL handshake timed out (110: Connection timed out)"),
            Self::Tls(error) => {
                write!(f, "SSL_do_handshake() failed (SSL: {})", wording::of(error))
            }
            Self::Rejected => f.write_str("handshake rejected"),
            Self::Certificate(fault) => {
                write!(f, "upstream SSL certificate verify error: ({fault})")
            }
            Self::Name(name) => {
                write!(f, "upstream SSL certificate does not match \"{name}\"")
            }
        }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Io(error),
        }
    }
}

/// Performs the server's side of a handshake and offers `alpn`. `choose` maps the client hello to
/// the settings of a server, or to `None` to reject the handshake. The verdict on the client's
/// certificate is stored in the connection's [`TlsInfo`]; it does not end the handshake.
///
/// # Errors
/// The connection is closed, after an alert where one applies.
pub async fn accept(
    mut conn: Conn,
    alpn: Alpn,
    choose: impl FnOnce(&ClientHello<'_>) -> Option<Arc<ServerTls>>,
    timeout: Duration,
) -> Result<Conn, HandshakeError> {
    let mut deadline = Deadline::new();
    deadline.after(timeout);
    let mut inbound = Inbound::new(&mut conn);
    let Read { server_name, hidden, version } =
        read_hello(&mut conn, &mut inbound, &mut deadline).await?;
    let accepted = hello(&mut conn, &mut inbound, &mut deadline, version).await?;
    let offer = accepted.client_hello();
    let server_name = server_name.or_else(|| Some(offer.server_name()?.as_bytes().to_vec()));
    let suites: Box<[CipherSuite]> = offer.cipher_suites().into();
    let groups = offer.named_groups().unwrap_or_default().into();
    let chosen = {
        let offered: Vec<&[u8]> = offer.alpn().map(Iterator::collect).unwrap_or_default();
        choose(&ClientHello { server_name: server_name.as_deref(), alpn: &offered })
    };
    let Some(server) = chosen else {
        send_alert(&conn, &UNRECOGNIZED_NAME);
        return Err(HandshakeError::Rejected);
    };
    let mut done = Done { hidden, ..Done::default() };
    let begun = hello::restoring(done.hidden.as_ref(), || {
        done.keys.follow(|| accepted.into_connection(server.config(alpn)))
    });
    let mut tls: Connection = match begun {
        Ok(tls) => tls.into(),
        Err((mut error, alert)) => {
            if wording::is_without_certificate(&error) && server.shares_tls13(&suites) {
                error = PeerIncompatible::NoSignatureSchemesInCommon.into();
            }
            return Err(fail(&conn, error, alert));
        }
    };
    complete(&mut conn, &mut tls, &mut inbound, &mut deadline, &mut done).await?;
    let session_id = done.sent.session_id().into();
    let info = TlsInfo { server_name, suites, groups, session_id, ..TlsInfo::of(&tls) };
    info.judged.set(server.judge(&info.certificates));
    let fragment = Some(server.fragment());
    conn.set_tls(Session::new(tls, done.keys, fragment, Rc::new(info), inbound.rest()));
    Ok(conn)
}

/// Performs the client's side of a handshake. `name` is checked against the certificate if
/// verification is on, and sent as SNI if names are sent.
///
/// # Errors
/// The connection is closed.
pub async fn connect(
    mut conn: Conn,
    client: &ClientTls,
    name: &str,
    timeout: Duration,
) -> Result<Conn, HandshakeError> {
    let mut deadline = Deadline::new();
    deadline.after(timeout);
    let mut inbound = Inbound::new(&mut conn);
    let tls = ClientConnection::new(client.config(), server_name(name));
    let mut tls: Connection = tls.map_err(HandshakeError::Tls)?.into();
    let mut done = Done::default();
    complete(&mut conn, &mut tls, &mut inbound, &mut deadline, &mut done).await?;
    let info = TlsInfo::of(&tls);
    let verdict = client.judge(&info.certificates);
    info.judged.set(Judged { verdict, by: None });
    if let Verdict::Invalid(fault) = verdict {
        return Err(HandshakeError::Certificate(fault));
    }
    if client.verifies() && !info.certificates.first().is_some_and(|own| is_for(own, name)) {
        return Err(HandshakeError::Name(name.to_owned()));
    }
    conn.set_tls(Session::new(tls, done.keys, None, Rc::new(info), inbound.rest()));
    Ok(conn)
}

/// The server name for rustls. An invalid DNS name is not sent; an address derived from it serves
/// as the key of its sessions.
fn server_name(name: &str) -> ServerName<'static> {
    let bare = name.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    ServerName::try_from(bare.to_owned()).unwrap_or_else(|_| {
        let digest = digest::digest(&digest::SHA256, bare.as_bytes());
        let bytes = digest.as_ref().first_chunk::<16>().copied().unwrap_or_default();
        IpAddr::V6(bytes.into()).into()
    })
}

/// Received bytes that rustls has not consumed. It gets them record by record, so that it holds
/// nothing of the data after the handshake.
struct Inbound {
    bytes: Buf,
    taken: usize,
    /// The missing bytes of a record that rustls has partly consumed.
    left: usize,
    /// The number of calls that passed bytes to rustls.
    fed: usize,
}

impl Inbound {
    fn new(conn: &mut Conn) -> Self {
        Self { bytes: Buf::from(conn.take_unread()), taken: 0, left: 0, fed: 0 }
    }

    fn rest(mut self) -> Buf {
        if self.taken == self.bytes.len() {
            return Buf::empty();
        }
        self.bytes.drain(..self.taken);
        self.bytes
    }

    /// Receives until a record header, or more of a started record, is available.
    fn poll_fill(&mut self, cx: &mut Context<'_>, conn: &mut Conn) -> Poll<io::Result<()>> {
        loop {
            let waiting = self.bytes.len() - self.taken;
            if waiting >= HEAD || (self.left > 0 && waiting > 0) {
                return Poll::Ready(Ok(()));
            }
            if self.taken > 0 || self.bytes.capacity() < INBOUND {
                let mut bytes = buffer::take(INBOUND);
                bytes.extend_from_slice(&self.bytes[self.taken..]);
                (self.bytes, self.taken) = (bytes, 0);
            }
            let received = conn.socket().poll_recv(cx, &mut self.bytes, INBOUND - waiting);
            if received.is_pending() && waiting == 0 {
                self.bytes = Buf::empty();
            }
            if ready!(received)? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Receives until the hello is complete or turns out to be something else.
    fn poll_hello(&mut self, cx: &mut Context<'_>, conn: &mut Conn) -> Poll<io::Result<Received>> {
        loop {
            ready!(self.poll_fill(cx, conn))?;
            let waiting = &self.bytes[self.taken..];
            match hello::receive(waiting) {
                Received::Part if waiting.len() < LONGEST_HELLO => {}
                received => return Poll::Ready(Ok(received)),
            }
            if self.bytes.room() == 0 || self.taken > 0 {
                let mut bytes = buffer::take(2 * waiting.len().max(INBOUND / 2));
                bytes.extend_from_slice(waiting);
                (self.bytes, self.taken) = (bytes, 0);
            }
            let room = self.bytes.room();
            if ready!(conn.socket().poll_recv(cx, &mut self.bytes, room))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Passes the available part of one record to rustls.
    fn feed(&mut self, tls: impl FnOnce(&mut dyn io::Read) -> io::Result<usize>) -> io::Result<()> {
        let waiting = &self.bytes[self.taken..];
        if self.left == 0
            && let [_, _, _, high, low, ..] = waiting
        {
            self.left = HEAD + usize::from(u16::from_be_bytes([*high, *low]));
        }
        let fed = tls(&mut &waiting[..waiting.len().min(self.left)])?;
        if fed == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.taken += fed;
        self.left -= fed;
        self.fed += 1;
        Ok(())
    }

    /// Yields to other tasks once every [`RECORDS_PER_TURN`] records.
    async fn pause(&self) {
        if self.fed.is_multiple_of(RECORDS_PER_TURN) {
            event_loop::yield_now().await;
        }
    }
}

/// The fields of a hello, parsed before rustls sees it.
#[derive(Default)]
struct Read {
    server_name: Option<Vec<u8>>,
    /// A server name that rustls would refuse.
    hidden: Option<Hidden>,
    version: Option<u16>,
}

/// Parses the hello that arrives next.
async fn read_hello(
    conn: &mut Conn,
    inbound: &mut Inbound,
    deadline: &mut Deadline,
) -> Result<Read, HandshakeError> {
    let message = match deadline.within(|cx| inbound.poll_hello(cx, conn)).await? {
        Received::Whole(message) => message,
        Received::Unexpected(kind) => {
            let (expect_types, got_type) = (vec![HandshakeType::ClientHello], kind.into());
            let error = Error::InappropriateHandshakeMessage { expect_types, got_type };
            send_alert(conn, &wording::alert(&error).unwrap_or_default());
            return Err(HandshakeError::Tls(error));
        }
        Received::Part | Received::Other => return Ok(Read::default()),
    };
    let version = message.version();
    let Some(named) = message.named() else { return Ok(Read { version, ..Read::default() }) };
    let taken = inbound.taken;
    let hidden = named.is_refused().then(|| message.hide(&named, &mut inbound.bytes[taken..]));
    Ok(Read { server_name: Some(named.name), hidden, version })
}

/// Whether a second client hello (after a HelloRetryRequest) may follow. Encrypted records cannot
/// be mistaken for one.
fn wants_hello(tls: &Connection) -> bool {
    tls.protocol_version() == Some(ProtocolVersion::TLSv1_3)
}

/// Passes the client hello to rustls.
async fn hello(
    conn: &mut Conn,
    inbound: &mut Inbound,
    deadline: &mut Deadline,
    version: Option<u16>,
) -> Result<Accepted, HandshakeError> {
    let mut acceptor = Acceptor::default();
    loop {
        deadline.within(|cx| inbound.poll_fill(cx, conn)).await?;
        inbound.feed(|bytes| acceptor.read_tls(bytes))?;
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(accepted),
            Ok(None) => inbound.pause().await,
            Err((mut error, alert)) => {
                let old = version.is_some_and(|version| version < TLS12);
                if old && error == PeerIncompatible::SignatureAlgorithmsExtensionRequired.into() {
                    // Older versions lack the extension; the version is the fault.
                    error = PeerIncompatible::Tls12NotOffered.into();
                }
                return Err(fail(conn, error, alert));
            }
        }
    }
}

/// Sends OpenSSL's alert for the error, or rustls's where OpenSSL's is not known.
fn fail(conn: &Conn, error: Error, mut alert: rustls::server::AcceptedAlert) -> HandshakeError {
    let bytes = wording::alert(&error).unwrap_or_else(|| {
        let mut bytes = Vec::new();
        let _ = alert.write_all(&mut bytes);
        bytes
    });
    send_alert(conn, &bytes);
    HandshakeError::Tls(error)
}

/// Sends in one call whatever the socket takes: the connection is closed next.
fn send_alert(conn: &Conn, bytes: &[u8]) {
    if !bytes.is_empty() {
        let _ = kernel::send(conn, bytes, rustix::net::SendFlags::NOSIGNAL);
    }
}

/// Completes the handshake after the hello.
async fn complete(
    conn: &mut Conn,
    tls: &mut Connection,
    inbound: &mut Inbound,
    deadline: &mut Deadline,
    done: &mut Done,
) -> Result<(), HandshakeError> {
    loop {
        while tls.wants_write() {
            deadline.within(|cx| poll_write(cx, conn, tls, &mut done.sent)).await?;
        }
        if !tls.is_handshaking() {
            return Ok(());
        }
        deadline.within(|cx| inbound.poll_fill(cx, conn)).await?;
        if done.hidden.is_some() && inbound.left == 0 && wants_hello(tls) {
            let again = read_hello(conn, inbound, deadline).await?;
            done.hidden = again.hidden.or(done.hidden.take());
        }
        inbound.feed(|bytes| tls.read_tls(bytes))?;
        let processed = hello::restoring(done.hidden.as_ref(), || {
            done.keys.follow(|| tls.process_new_packets())
        });
        if let Err(error) = processed {
            // Sends the alert if the socket takes it at once.
            poll_fn(|cx| {
                let _ = poll_write(cx, conn, tls, &mut done.sent);
                Poll::Ready(())
            })
            .await;
            return Err(HandshakeError::Tls(error));
        }
        inbound.pause().await;
    }
}

fn poll_write(
    cx: &mut Context<'_>,
    conn: &mut Conn,
    tls: &mut Connection,
    sent: &mut Sent,
) -> Poll<io::Result<()>> {
    let mut outbound = Tee { outbound: Outbound { cx, socket: conn.socket() }, sent };
    match tls.write_tls(&mut outbound) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        done => Poll::Ready(done.map(drop)),
    }
}

/// The results of a handshake besides the connection.
#[derive(Default)]
struct Done {
    sent: Sent,
    keys: Keys,
    /// The part of the client hello that is hidden from rustls.
    hidden: Option<Hidden>,
}

/// The first bytes sent: enough of a server hello to hold the session ID.
#[derive(Default)]
struct Sent(Vec<u8>);

impl Sent {
    /// Record and message headers, version, random, the length of the session ID, the session ID.
    const MOST: usize = 5 + 4 + 2 + 32 + 1 + 32;

    fn add(&mut self, bufs: &[IoSlice<'_>], count: usize) {
        let mut left = count.min(Self::MOST - self.0.len());
        for buf in bufs {
            let part = &buf[..left.min(buf.len())];
            self.0.extend_from_slice(part);
            left -= part.len();
        }
    }

    /// The session ID (RFC 5246 section 7.4.1.3; RFC 8446 section 4.1.3).
    fn session_id(&self) -> &[u8] {
        let hello = matches!(self.0.as_slice(), [22, _, _, _, _, 2, ..]);
        let id = self.0.get(43..).and_then(|rest| {
            let (&length, rest) = rest.split_first()?;
            rest.get(..usize::from(length))
        });
        id.filter(|_| hello).unwrap_or_default()
    }
}

/// Sends, and records the first bytes.
struct Tee<'a, 'b> {
    outbound: Outbound<'a, 'b>,
    sent: &'a mut Sent,
}

impl Write for Tee<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let count = self.outbound.write_vectored(bufs)?;
        self.sent.add(bufs, count);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
