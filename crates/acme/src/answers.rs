//! What authorities ask for as a proof of control over a name, while they ask: the answers over
//! HTTP (RFC 8555 section 8.3) and in TLS handshakes (RFC 8737). Any thread may be asked.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use weir_engine::clock;
use weir_engine::tls::{Alpn, CertifiedKey, SelfSigned, ServerSettings, ServerTls, SettingsError};

use crate::pair::{self, ANSWER_LIFE};

/// The path of answers over HTTP; the token follows.
pub const HTTP_PATH: &[u8] = b"/.well-known/acme-challenge/";

/// The name of the protocol in handshakes.
pub const TLS_PROTOCOL: &[u8] = b"acme-tls/1";

/// What such a handshake offers.
pub const TLS_ALPN: Alpn = &[TLS_PROTOCOL];

/// The most answers at once: those to all names of some dozens of orders.
const MOST: usize = 4096;

/// An answer.
struct Kept<T> {
    shown: T,
    /// What it is about, as given: a token, or a host or address.
    about: Box<[u8]>,
    /// The key authorization, from which another node makes the same answer.
    words: Arc<str>,
    /// Its end if nobody takes it back, in seconds since 1970.
    until: i64,
}

/// The answers by token, or by the name asked for.
type Answers<T> = LazyLock<RwLock<HashMap<Vec<u8>, Kept<T>>>>;

static OVER_HTTP: Answers<()> = LazyLock::new(RwLock::default);
static IN_TLS: Answers<Arc<ServerTls>> = LazyLock::new(RwLock::default);

/// Where an answer is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Http,
    Tls,
}

impl Place {
    /// Its name between nodes.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tls => "tls",
        }
    }

    pub(crate) fn of(kind: &str) -> Option<Self> {
        [Self::Http, Self::Tls].into_iter().find(|place| place.kind() == kind)
    }
}

impl<T> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("until", &self.until).finish_non_exhaustive()
    }
}

impl<T> Kept<T> {
    fn new(shown: T, about: &[u8], words: &str, until: i64) -> Self {
        Self { shown, about: about.into(), words: words.into(), until }
    }
}

/// Keeps an answer. Returns whether there was room.
fn keep<T>(all: &Answers<T>, name: Vec<u8>, kept: Kept<T>) -> bool {
    let mut all = all.write().unwrap_or_else(PoisonError::into_inner);
    if all.len() >= MOST {
        let now = clock::wall_secs();
        all.retain(|_, kept| kept.until > now);
    }
    let has_room = all.len() < MOST || all.contains_key(&name);
    if has_room {
        all.insert(name, kept);
    }
    has_room
}

/// All answers: where, the name, the words, the end.
pub(crate) fn all() -> Vec<(Place, Vec<u8>, Arc<str>, i64)> {
    fn listed<T>(place: Place, all: &Answers<T>) -> Vec<(Place, Vec<u8>, Arc<str>, i64)> {
        let all = all.read().unwrap_or_else(PoisonError::into_inner);
        let each =
            |kept: &Kept<T>| (place, kept.about.to_vec(), Arc::clone(&kept.words), kept.until);
        all.values().map(each).collect()
    }
    [listed(Place::Http, &OVER_HTTP), listed(Place::Tls, &IN_TLS)].concat()
}

/// The number of answers in handshakes, so that others pay for a load.
static COUNT_IN_TLS: AtomicUsize = AtomicUsize::new(0);

/// An answer that is given while this lives.
#[derive(Debug)]
pub(crate) struct Given(Place, Vec<u8>);

impl Given {
    /// Tells the other nodes, which the authority may ask.
    fn told(place: Place, name: &str, words: &str, until: i64) -> Self {
        pair::note_answer(place, name.as_bytes(), Some((words, until)));
        Self(place, name.as_bytes().to_vec())
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        forget(self.0, &self.1);
        pair::note_answer(self.0, &self.1, None);
    }
}

/// The end of an answer that begins now.
fn end() -> i64 {
    clock::wall_secs() + ANSWER_LIFE
}

/// Answers over HTTP about a token. `None` if there are too many answers.
pub(crate) fn give_http(token: &str, authorization: &str) -> Option<Given> {
    let until = end();
    put_http(token.as_bytes(), authorization, until)
        .then(|| Given::told(Place::Http, token, authorization, until))
}

/// Keeps the answer about a token, which may be another node's. Returns whether there was room.
pub(crate) fn put_http(token: &[u8], authorization: &str, until: i64) -> bool {
    keep(&OVER_HTTP, token.to_vec(), Kept::new((), token, authorization, until))
}

/// Forgets an answer.
pub(crate) fn forget(place: Place, name: &[u8]) {
    match place {
        Place::Http => {
            OVER_HTTP.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        }
        Place::Tls => {
            let name = server_name(&String::from_utf8_lossy(name));
            let mut all = IN_TLS.write().unwrap_or_else(PoisonError::into_inner);
            all.remove(&name);
            COUNT_IN_TLS.store(all.len(), Relaxed);
        }
    }
}

/// Answers in handshakes about a host or address.
///
/// # Errors
/// aws-lc made no key.
pub(crate) fn give_tls(name: &str, authorization: &str) -> Result<Option<Given>, SettingsError> {
    let until = end();
    let has_room = put_tls(name, authorization, until)?;
    Ok(has_room.then(|| Given::told(Place::Tls, name, authorization, until)))
}

/// Keeps the answer about a host or address, which may be another node's. Returns whether there was
/// room.
///
/// # Errors
/// aws-lc made no key.
pub(crate) fn put_tls(name: &str, authorization: &str, until: i64) -> Result<bool, SettingsError> {
    let made = SelfSigned::answer(name, authorization.as_bytes())?;
    let (certificate, key) = (made.certificate.as_bytes(), made.key.as_bytes());
    let key = CertifiedKey::from_pem(certificate, key, &[])
        .map_err(|error| SettingsError::from(error.to_string()))?;
    // Sessions are of no use: the connection ends with the handshake.
    let settings = ServerSettings { keys: vec![key], tickets: None, ..ServerSettings::default() };
    let tls = Arc::new(ServerTls::new(settings, &mut Vec::new())?);
    let has_room =
        keep(&IN_TLS, server_name(name), Kept::new(tls, name.as_bytes(), authorization, until));
    let all = IN_TLS.read().unwrap_or_else(PoisonError::into_inner);
    COUNT_IN_TLS.store(all.len(), Relaxed);
    Ok(has_room)
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
    let all = OVER_HTTP.read().unwrap_or_else(PoisonError::into_inner);
    all.get(token).map(|kept| Arc::clone(&kept.words))
}

/// The settings for a handshake that asks for an answer about this server name, if there is one.
pub fn in_tls(server_name: Option<&[u8]>, protocols: &[&[u8]]) -> Option<Arc<ServerTls>> {
    if COUNT_IN_TLS.load(Relaxed) == 0 || !protocols.contains(&TLS_PROTOCOL) {
        return None;
    }
    let name = server_name?.to_ascii_lowercase();
    let all = IN_TLS.read().unwrap_or_else(PoisonError::into_inner);
    all.get(&name).map(|kept| Arc::clone(&kept.shown))
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
