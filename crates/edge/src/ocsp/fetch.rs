//! A question to a responder and its response, over HTTP/1.0 (RFC 6960 appendix A).

use std::fmt::Write;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use weir_engine::error_log::Level;
use weir_engine::os_error::{Failed, OsError};
use weir_engine::{Addr, Conn, ConnectOptions, connect, timer};
use weir_wire::h1::{Framing, ResponseParser};
use weir_wire::header::Known;

use super::{Log, OcspResponder, Resolving};

/// The limit of a response's head in bytes.
const MAX_HEAD: usize = 8 << 10;

/// The limit of a response in bytes. Usual ones have one or two thousand; signatures of hash-based
/// schemes would still fit.
const MAX_BODY: usize = 64 << 10;

/// The most addresses that are tried.
const MOST_ADDRESSES: usize = 8;

/// The media type of a response.
const MEDIA_TYPE: &[u8] = b"application/ocsp-response";

/// A responder to be asked.
pub(super) struct Asking<'a> {
    pub(super) responder: &'a OcspResponder,
    pub(super) resolver: Option<&'a Resolving>,
    /// The time for each of its addresses, if it is limited here.
    pub(super) timeout: Option<Duration>,
    /// The file of the certificate in question, for the log.
    pub(super) certificate: Option<&'a str>,
    pub(super) log: Log<'a>,
}

/// The addresses failed, which was logged.
#[derive(Debug)]
pub(super) struct Unanswered;

/// What went wrong with one address, in the words of the log.
enum Trouble {
    TimedOut,
    Told(String),
}

impl Asking<'_> {
    /// The response to a request in DER: the content of a successful answer, not judged.
    pub(super) async fn ask(&self, request: &[u8]) -> Result<Vec<u8>, Unanswered> {
        let addresses = self.addresses().await?;
        let request = head(self.responder, request);
        for address in addresses.iter().take(MOST_ADDRESSES) {
            let exchange = exchange(address, request.as_bytes());
            let done = match self.timeout {
                Some(limit) => timer::timeout(limit, exchange).await,
                None => Ok(exchange.await),
            };
            match done.unwrap_or(Err(Trouble::TimedOut)) {
                Ok(response) => return Ok(response),
                Err(Trouble::TimedOut) => {
                    let what = "OCSP responder timed out (110: Connection timed out)";
                    self.tell(Level::Error, what, Some(address));
                }
                Err(Trouble::Told(what)) => self.tell(Level::Error, &what, Some(address)),
            }
        }
        Err(Unanswered)
    }

    /// The addresses to try.
    async fn addresses(&self) -> Result<Vec<Addr>, Unanswered> {
        let OcspResponder { host, port, addresses, is_address, .. } = self.responder;
        if *is_address {
            return Ok(addresses.clone());
        }
        let Some((resolver, timeout)) = self.resolver else {
            let what = format!("no resolver defined to resolve {host}");
            let known = !addresses.is_empty();
            self.tell(if known { Level::Warn } else { Level::Error }, &what, None);
            return if known { Ok(addresses.clone()) } else { Err(Unanswered) };
        };
        match resolver.resolve(host, *timeout).await {
            Ok(found) => {
                let address = |ip| Addr::Inet(SocketAddr::new(ip, *port));
                Ok(found.addresses.into_iter().map(address).collect())
            }
            Err(error) => {
                self.tell(Level::Error, &error.to_string(), None);
                Err(Unanswered)
            }
        }
    }

    /// Logs with nginx's context (ngx_ssl_ocsp_log_error).
    pub(super) fn tell(&self, level: Level, what: &str, peer: Option<&Addr>) {
        let mut line = what.to_owned();
        let host = &self.responder.host;
        let _ = write!(line, " while requesting certificate status, responder: {host}");
        if let Some(peer) = peer {
            let _ = write!(line, ", peer: {peer}");
        }
        if let Some(file) = self.certificate {
            let _ = write!(line, ", certificate: \"{file}\"");
        }
        (self.log)(level, &line);
    }
}

/// The head of the request: the question is in the path.
fn head(responder: &OcspResponder, request: &[u8]) -> String {
    let uri = &responder.uri;
    let slash = if uri.ends_with('/') { "" } else { "/" };
    let mut head = format!("GET {uri}{slash}");
    for byte in STANDARD.encode(request).bytes() {
        match byte {
            b'+' | b'/' | b'=' => drop(write!(head, "%{byte:02X}")),
            byte => head.push(char::from(byte)),
        }
    }
    let _ = write!(head, " HTTP/1.0\r\nHost: {}\r\n\r\n", responder.host);
    head
}

async fn exchange(address: &Addr, request: &[u8]) -> Result<Vec<u8>, Trouble> {
    let failed = |call: &str, error: &io::Error| match error.kind() {
        io::ErrorKind::TimedOut => Trouble::TimedOut,
        _ => Trouble::Told(Failed(call, error).to_string()),
    };
    // The caller limits the time.
    let connected = connect(address, &ConnectOptions::default(), Duration::MAX).await;
    let mut conn = connected.map_err(|error| failed("connect() failed", &error.into()))?;
    let sent = conn.send_all(&[request], Duration::MAX).await;
    sent.map_err(|error| failed("send() failed", &error))?;
    let mut raw = Vec::new();
    let left = receive_head(&mut conn, &mut raw).await?;
    while left.is_none_or(|left| (raw.len() as u64) < left) {
        if raw.len() > MAX_BODY {
            return Err(Trouble::Told("OCSP responder sent too long response".to_owned()));
        }
        if receive(&mut conn, &mut raw).await? == 0 {
            match left {
                None => break,
                Some(_) => return Err(closed()),
            }
        }
    }
    if let Some(left) = left {
        raw.truncate(usize::try_from(left).unwrap_or(usize::MAX));
    }
    Ok(raw)
}

/// Receives and checks the head; the body's first bytes stay in `raw`. Returns its length, or
/// `None` if the end of the connection ends it.
async fn receive_head(conn: &mut Conn, raw: &mut Vec<u8>) -> Result<Option<u64>, Trouble> {
    let invalid = || Trouble::Told("OCSP responder sent invalid response".to_owned());
    let mut parser = ResponseParser::new();
    loop {
        if let Some(length) = parser.advance(raw, MAX_HEAD).map_err(|_| invalid())? {
            let kind = parser.head().get(raw, Known::ContentType).unwrap_or(MEDIA_TYPE);
            if !kind.eq_ignore_ascii_case(MEDIA_TYPE) {
                let kind = String::from_utf8_lossy(kind);
                let what =
                    format!("OCSP responder sent invalid \"Content-Type\" header: \"{kind}\"");
                return Err(Trouble::Told(what));
            }
            raw.drain(..length);
            break;
        }
        if receive(conn, raw).await? == 0 {
            return Err(closed());
        }
    }
    let head = parser.head();
    if head.status != 200 {
        return Err(Trouble::Told(format!("OCSP responder sent status {}", head.status)));
    }
    match head.framing(false) {
        Framing::UntilClose => Ok(None),
        Framing::None => Ok(Some(0)),
        Framing::Length(length) if length > MAX_BODY as u64 => {
            Err(Trouble::Told("OCSP responder sent too long response".to_owned()))
        }
        Framing::Length(length) => Ok(Some(length)),
        // A request of HTTP/1.0 has no such answer.
        Framing::Chunked => Err(invalid()),
    }
}

fn closed() -> Trouble {
    Trouble::Told("OCSP responder prematurely closed connection".to_owned())
}

async fn receive(conn: &mut Conn, raw: &mut Vec<u8>) -> Result<usize, Trouble> {
    let received = poll_fn(|cx| conn.poll_recv(cx, raw, 16 << 10)).await;
    received.map_err(|error| Trouble::Told(format!("recv() failed ({})", OsError(&error))))
}

#[cfg(test)]
mod tests;
