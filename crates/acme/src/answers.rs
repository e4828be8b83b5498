//! What authorities ask for as a proof of control over a name, while they ask: the answers over
//! HTTP (RFC 8555 section 8.3) and in TLS handshakes (RFC 8737). Any thread may be asked.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use weir_engine::tls::{Alpn, CertifiedKey, SelfSigned, ServerSettings, ServerTls, SettingsError};

/// The path of answers over HTTP; the token follows.
pub const HTTP_PATH: &[u8] = b"/.well-known/acme-challenge/";

/// The name of the protocol in handshakes.
pub const TLS_PROTOCOL: &[u8] = b"acme-tls/1";

/// What such a handshake offers.
pub const TLS_ALPN: Alpn = &[TLS_PROTOCOL];

/// The most answers at once: those to all names of some dozens of orders.
const MOST: usize = 4096;

/// The answers by token, or by server name.
type Answers<T> = LazyLock<RwLock<HashMap<Vec<u8>, T>>>;

static OVER_HTTP: Answers<Arc<str>> = LazyLock::new(RwLock::default);
static IN_TLS: Answers<Arc<ServerTls>> = LazyLock::new(RwLock::default);

/// The number of answers in handshakes, so that others pay for a load.
static COUNT_IN_TLS: AtomicUsize = AtomicUsize::new(0);

/// An answer that is given while this lives.
#[derive(Debug)]
pub(crate) enum Given {
    Http(Vec<u8>),
    Tls(Vec<u8>),
}

impl Drop for Given {
    fn drop(&mut self) {
        match self {
            Self::Http(token) => forget_http(token),
            Self::Tls(name) => {
                let mut all = IN_TLS.write().unwrap_or_else(PoisonError::into_inner);
                all.remove(name);
                COUNT_IN_TLS.store(all.len(), Relaxed);
            }
        }
    }
}

/// Answers over HTTP about a token. `None` if there are too many answers.
pub(crate) fn give_http(token: &str, authorization: &str) -> Option<Given> {
    put_http(token.as_bytes(), authorization).then(|| Given::Http(token.as_bytes().to_vec()))
}

/// Keeps the answer about a token, which may be another node's. Returns whether there was room.
pub(crate) fn put_http(token: &[u8], authorization: &str) -> bool {
    let mut all = OVER_HTTP.write().unwrap_or_else(PoisonError::into_inner);
    let has_room = all.len() < MOST || all.contains_key(token);
    if has_room {
        all.insert(token.to_vec(), authorization.into());
    }
    has_room
}

/// Forgets the answer about a token.
pub(crate) fn forget_http(token: &[u8]) {
    OVER_HTTP.write().unwrap_or_else(PoisonError::into_inner).remove(token);
}

/// Answers in handshakes about a host or address.
///
/// # Errors
/// aws-lc made no key.
pub(crate) fn give_tls(name: &str, authorization: &str) -> Result<Option<Given>, SettingsError> {
    let made = SelfSigned::answer(name, authorization.as_bytes())?;
    let (certificate, key) = (made.certificate.as_bytes(), made.key.as_bytes());
    let key = CertifiedKey::from_pem(certificate, key, &[])
        .map_err(|error| SettingsError::from(error.to_string()))?;
    // Sessions are of no use: the connection ends with the handshake.
    let settings = ServerSettings { keys: vec![key], tickets: None, ..ServerSettings::default() };
    let tls = Arc::new(ServerTls::new(settings, &mut Vec::new())?);
    let name = server_name(name);
    let mut all = IN_TLS.write().unwrap_or_else(PoisonError::into_inner);
    if all.len() >= MOST && !all.contains_key(&name) {
        return Ok(None);
    }
    all.insert(name.clone(), tls);
    COUNT_IN_TLS.store(all.len(), Relaxed);
    Ok(Some(Given::Tls(name)))
}

/// The server name in the handshake about a host or address (RFC 8738 section 6).
fn server_name(name: &str) -> Vec<u8> {
    let reversed = match name.parse() {
        Ok(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Ok(IpAddr::V6(address)) => {
            let digits = address.octets().into_iter().rev();
            let digits = digits.map(|byte| format!("{:x}.{:x}.", byte & 15, byte >> 4));
            digits.collect::<String>() + "ip6.arpa"
        }
        Err(_) => name.to_owned(),
    };
    reversed.into_bytes()
}

/// The answer to a request for this path, if there is one: the content of a plain text.
pub fn over_http(path: &[u8]) -> Option<Arc<str>> {
    let token = path.strip_prefix(HTTP_PATH)?;
    OVER_HTTP.read().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
}

/// The settings for a handshake that asks for an answer about this server name, if there is one.
pub fn in_tls(server_name: Option<&[u8]>, protocols: &[&[u8]]) -> Option<Arc<ServerTls>> {
    if COUNT_IN_TLS.load(Relaxed) == 0 || !protocols.contains(&TLS_PROTOCOL) {
        return None;
    }
    let name = server_name?.to_ascii_lowercase();
    IN_TLS.read().unwrap_or_else(PoisonError::into_inner).get(&name).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_last_as_long_as_they_are_given() {
        let given = give_http("token-1", "token-1.x").unwrap();
        let path = b"/.well-known/acme-challenge/token-1";
        assert_eq!(over_http(path).as_deref(), Some("token-1.x"));
        assert_eq!(over_http(b"/.well-known/acme-challenge/token-2"), None);
        drop(given);
        assert_eq!(over_http(path), None);

        let given = give_tls("answers.test", "x").unwrap().unwrap();
        let asks: &[&[u8]] = &[TLS_PROTOCOL];
        assert!(in_tls(Some(b"Answers.test"), asks).is_some());
        assert!(in_tls(Some(b"answers.test"), &[b"h2"]).is_none());
        assert!(in_tls(Some(b"other.test"), asks).is_none() && in_tls(None, asks).is_none());
        drop(given);
        assert!(in_tls(Some(b"answers.test"), asks).is_none());
    }

    #[test]
    fn addresses_are_asked_for_in_reverse() {
        assert_eq!(server_name("192.0.2.1"), b"1.2.0.192.in-addr.arpa");
        let v6 = String::from_utf8(server_name("2001:db8::1")).unwrap();
        assert!(v6.starts_with("1.0.0.0.") && v6.ends_with("8.b.d.0.1.0.0.2.ip6.arpa"), "{v6}");
        assert_eq!(v6.len(), 64 + "ip6.arpa".len());
    }
}
