//! Handshakes: a plain connection becomes a TLS connection.
//!
//! ```text
//!   client's side                     rustls's messages ──▶ certificate and name ──▶ Session
//!   server's side   hello ──▶ choose the settings ──▶ rustls's messages ──▶ Session
//!                     │                                 └─ early data: the Session ends them
//!                     └─ a fault, or no server: an alert
//! ```
//!
//! rustls gets one record at a time, so that data after the handshake is left for the session,
//! which decrypts it without rustls.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_lc_rs::digest;
use rustls::pki_types::ServerName;
use rustls::server::{Accepted, Acceptor};
use rustls::{
    CipherSuite, ClientConnection, Connection, Error, HandshakeType, PeerIncompatible,
    ProtocolVersion,
};

use super::aead::Keys;
use super::client::ClientTls;
use super::hello::{self, Hidden, Received};
use super::info::{Judged, TlsInfo};
use super::server::{Alpn, ServerTls};
use super::session::{Outbound, Session};
use super::verify::{Verdict, is_for};
use super::wording;
use crate::connection::Conn;
use crate::kernel;
use crate::timer::Deadline;

mod error;
mod inbound;
mod sent;

pub use error::HandshakeError;
use inbound::Inbound;
use sent::{Sent, Tee};

/// The version number of TLS 1.2 in a hello.
const TLS12: u16 = 0x0303;

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

/// Performs the server's side of a handshake. `choose` maps the client hello to the settings of a
/// server and the protocols that it offers by ALPN, or to `None` to reject the handshake. The
/// verdict on the client's certificate is stored in the connection's [`TlsInfo`]; it does not end
/// the handshake. If the client sends early data, the connection is ready before the end of the
/// handshake.
///
/// # Errors
/// The connection is closed, after an alert where one applies.
pub async fn accept(
    mut conn: Conn,
    choose: impl FnOnce(&ClientHello<'_>) -> Option<(Arc<ServerTls>, Alpn)>,
    timeout: Duration,
) -> Result<Conn, HandshakeError> {
    let mut deadline = Deadline::new();
    deadline.after(timeout);
    let mut inbound = Inbound::new(&mut conn);
    let Read { server_name, hidden, version, early } =
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
    let Some((server, alpn)) = chosen else {
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
    let offered_early = early && server.takes_early_data();
    let info =
        TlsInfo { server_name, suites, groups, session_id, offered_early, ..TlsInfo::of(&tls) };
    info.judged.set(server.judge(&info.certificates));
    info.early.set(tls.is_handshaking());
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

/// The fields of a hello, parsed before rustls sees it.
#[derive(Default)]
struct Read {
    server_name: Option<Vec<u8>>,
    /// A server name that rustls would refuse.
    hidden: Option<Hidden>,
    version: Option<u16>,
    /// Early data is offered.
    early: bool,
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
    let early = message.offers_early_data();
    let Some(named) = message.named() else {
        return Ok(Read { version, early, ..Read::default() });
    };
    let taken = inbound.taken;
    let hidden = named.is_refused().then(|| message.hide(&named, &mut inbound.bytes[taken..]));
    Ok(Read { server_name: Some(named.name), hidden, version, early })
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

/// Whether the server has accepted early data (RFC 8446 section 2.3), which comes before the end of
/// the handshake.
fn takes_early_data(tls: &mut Connection) -> bool {
    match tls {
        Connection::Server(server) => server.early_data().is_some(),
        Connection::Client(_) => false,
    }
}

/// Completes the handshake after the hello, or up to the point from which early data is received.
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
        if !tls.is_handshaking() || takes_early_data(tls) {
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
