//! Handshakes with clients and upstreams.
#![expect(clippy::unnecessary_wraps, reason = "the shape of all actions")]

use serde_json::{Map, Value, json};
use weir_engine::tls::counters::{CLIENTS, Counts, FailedFor, UPSTREAMS, Unverified, VERSIONS};

use super::call::{Answer, Call};
use super::failure::Failure;

/// The first version of the API whose zones and servers tell of handshakes.
const SINCE: u8 = 8;

pub(super) fn process(_: &Call) -> Result<Answer, Failure> {
    let (clients, upstreams) = (CLIENTS.read(), UPSTREAMS.read());
    let mut shown = summary(&clients.plus(&upstreams));
    shown["clients"] = in_full(&clients);
    shown["upstreams"] = in_full(&upstreams);
    Ok(Answer::Found(shown))
}

pub(super) fn reset(_: &Call) -> Result<Answer, Failure> {
    CLIENTS.reset();
    UPSTREAMS.reset();
    Ok(Answer::Done)
}

/// Adds the handshakes to a zone or server, if there were any.
pub(super) fn add(shown: &mut Value, counts: &Counts, version: u8) {
    if version >= SINCE && *counts != Counts::default() {
        shown["ssl"] = summary(counts);
    }
}

/// The members of NGINX Plus.
fn summary(counts: &Counts) -> Value {
    json!({
        "handshakes": counts.done(),
        "handshakes_failed": counts.all_failed(),
        "session_reuses": counts.reused,
        "no_common_protocol": counts.failed_for(FailedFor::Protocol),
        "no_common_cipher": counts.failed_for(FailedFor::Cipher),
        "handshake_timeout": counts.failed_for(FailedFor::Timeout),
        "peer_rejected_cert": counts.failed_for(FailedFor::CertificateRejected),
        "verify_failures": by_name(Unverified::ALL.map(|(_, name)| name), &counts.unverified),
    })
}

/// These and finer ones.
fn in_full(counts: &Counts) -> Value {
    let mut shown = summary(counts);
    shown["failures"] = by_name(FailedFor::ALL.map(|(_, name)| name), &counts.failed);
    shown["protocols"] = by_name(VERSIONS, &counts.versions);
    shown["ciphers"] = counts.ciphers().map(|(name, count)| (name, json!(count))).collect();
    shown["early_data"] =
        json!({ "accepted": counts.early_data, "rejected": counts.early_data_refused });
    shown
}

fn by_name<const N: usize>(names: [&str; N], counts: &[u64; N]) -> Value {
    let named = names.into_iter().zip(counts);
    Value::Object(named.map(|(name, count)| (name.to_owned(), json!(count))).collect::<Map<_, _>>())
}
