//! What the nodes of a pair have in common: one of them orders, and the others get the certificate,
//! the account and the order under way, so that each can go on in its place, and the answers to the
//! authority, whose questions may reach any of them.
//!
//! ```text
//!   certificate NUL ID    its key and chain in PEM
//!   order NUL ID          an order under way: its key and URL, in JSON
//!   account NUL ISSUER    the account's key and the content of `account.url`, in JSON
//!   http NUL TOKEN        an answer over HTTP and its end, in JSON
//!   tls NUL NAME          an answer in handshakes and its end, in JSON
//! ```

use std::sync::Once;

use serde_json::{Value, json};
use weir_engine::clock;
use weir_upstream::shared_records::{self, Owner, Theme};

use crate::answers::{self, Place};
use crate::certificate::{self, Certificate};
use crate::issuer::Issuer;

/// An answer that nobody has taken back ends after this time, in seconds: its node was killed.
pub(crate) const ANSWER_LIFE: i64 = 3600;

struct Shared;

/// Begins to take over what other nodes have.
pub(crate) fn begin() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| shared_records::set_owner(Theme::Acme, &Shared));
}

fn key(kind: &str, name: &str) -> Vec<u8> {
    format!("{kind}\0{name}").into_bytes()
}

/// Tells a certificate.
pub(crate) fn note_certificate(id: &str, text: &str) {
    shared_records::note(Theme::Acme, &key("certificate", id), Some(text.as_bytes()));
}

/// Tells the order under way, or its end.
pub(crate) fn note_order(id: &str, pending: Option<&Pending>) {
    let value = pending.map(Pending::to_bytes);
    shared_records::note(Theme::Acme, &key("order", id), value.as_deref());
}

/// Tells the account in use.
pub(crate) fn note_account(issuer: &str, told: &Told) {
    shared_records::note(Theme::Acme, &key("account", issuer), Some(&told.to_bytes()));
}

/// Tells an answer to the authority, which ends at a time, or that it is not given any more.
pub(crate) fn note_answer(place: Place, name: &[u8], answer: Option<(&str, i64)>) {
    let name = String::from_utf8_lossy(name);
    let value = answer.map(|(words, until)| answer_bytes(words, until));
    shared_records::note(Theme::Acme, &key(place.kind(), &name), value.as_deref());
}

fn answer_bytes(words: &str, until: i64) -> Vec<u8> {
    json!({ "words": words, "until": until }).to_string().into_bytes()
}

/// An order under way.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) url: String,
    /// The key of the certificate that will come, in PEM.
    pub(crate) key: String,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The account as in its files.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// The private key in PEM.
    pub(crate) key: String,
    /// The content of `account.url`.
    pub(crate) url: String,
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Told").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The members of a value; `None` if it is something else.
fn members(value: &[u8]) -> Option<(String, String)> {
    let value: Value = serde_json::from_slice(value).ok()?;
    Some((value.get("url")?.as_str()?.to_owned(), value.get("key")?.as_str()?.to_owned()))
}

impl Pending {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        json!({ "url": self.url, "key": self.key }).to_string().into_bytes()
    }

    pub(crate) fn from_bytes(value: &[u8]) -> Option<Self> {
        members(value).map(|(url, key)| Self { url, key })
    }
}

impl Told {
    fn to_bytes(&self) -> Vec<u8> {
        json!({ "url": self.url, "key": self.key }).to_string().into_bytes()
    }

    fn from_bytes(value: &[u8]) -> Option<Self> {
        members(value).map(|(url, key)| Self { url, key })
    }
}

impl Owner for Shared {
    fn all(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut all = Vec::new();
        for own in certificate::known() {
            let pem = own.pem();
            all.extend(pem.map(|pem| (key("certificate", own.id()), pem.text().into_bytes())));
            let pending = own.pending();
            all.extend(pending.map(|pending| (key("order", own.id()), pending.to_bytes())));
        }
        for issuer in Issuer::known() {
            let told = issuer.told();
            all.extend(told.map(|told| (key("account", issuer.name()), told.to_bytes())));
        }
        for (place, name, words, until) in answers::all() {
            let name = String::from_utf8_lossy(&name);
            all.push((key(place.kind(), &name), answer_bytes(&words, until)));
        }
        all
    }

    /// Certificates and accounts are replaced, and never removed.
    fn keeps(&self, key: &[u8]) -> bool {
        match split(key) {
            Some(("order", id)) => certificate::find(id).is_some(),
            Some((kind, _)) => Place::of(kind).is_some(),
            None => false,
        }
    }

    /// A certificate that this node does not have (yet) is no fault: nodes get a new configuration
    /// one after the other.
    fn apply(&self, key: &[u8], value: Option<&[u8]>) {
        let Some((kind, name)) = split(key) else { return };
        match (kind, value) {
            ("certificate", Some(text)) => {
                if let Some(own) = certificate::find(name) {
                    own.take_over(&String::from_utf8_lossy(text));
                }
            }
            ("order", value) => {
                if let Some(own) = certificate::find(name) {
                    own.set_pending(value.and_then(Pending::from_bytes));
                }
            }
            ("account", Some(value)) => {
                let issuer = Issuer::known().into_iter().find(|issuer| issuer.name() == name);
                if let (Some(issuer), Some(told)) = (issuer, Told::from_bytes(value))
                    && issuer.take_over(told)
                {
                    let own = certificate::known().into_iter();
                    own.filter(|own| own.issuer() == name).for_each(|own| own.wake());
                }
            }
            (kind, value) => {
                if let Some(place) = Place::of(kind) {
                    take_answer(place, name, value);
                }
            }
        }
    }
}

fn split(key: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(key).ok()?.split_once('\0')
}

fn take_answer(place: Place, name: &str, value: Option<&[u8]>) {
    let Some(value) = value else { return answers::forget(place, name.as_bytes()) };
    let Ok(value) = serde_json::from_slice::<Value>(value) else { return };
    let words = value.get("words").and_then(Value::as_str);
    let until = value.get("until").and_then(Value::as_i64).unwrap_or(0);
    let now = clock::wall_secs();
    let Some(words) = words.filter(|_| (now..=now + 2 * ANSWER_LIFE).contains(&until)) else {
        return;
    };
    // Without room, or without a key, the authority asks in vain here.
    let _ = match place {
        Place::Http => Ok(answers::put_http(name.as_bytes(), words, until)),
        Place::Tls => answers::put_tls(name, words, until),
    };
}

impl Certificate {
    /// Takes over a certificate of another node, unless the one here is newer, which the other
    /// node gets then. Equal ones are told nobody.
    fn take_over(&self, text: &str) {
        if let Some(own) = self.pem().map(|pem| pem.text()) {
            let order = certificate::order(text, &own);
            if order.is_gt() {
                // Newer than ours.
            } else {
                if order.is_lt() {
                    note_certificate(self.id(), &own);
                }
                return;
            }
        }
        self.adopt(text);
    }
}
