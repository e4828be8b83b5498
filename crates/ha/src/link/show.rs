//! The links as `weir ha status` and `weir ha peers` show them: a JSON document that the worker
//! writes to each connection of its socket in the identity's folder, which only root can reach.

use std::fmt::Write;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_engine::Conn;

use super::hub::{Hub, Shown};
use super::status::Status;
use crate::identity::hex;
use crate::mirror::View;

mod mirror;

/// The name of the socket.
const SOCKET: &str = "links.sock";

/// The time for a reader.
const PATIENCE: Duration = Duration::from_secs(2);

/// The time between two looks at what the worker knows.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The most bytes of a document that are read.
const LARGEST: u64 = 1024 * 1024;

/// The path of the socket in the identity's folder.
pub fn socket(folder: &Path) -> PathBuf {
    folder.join(SOCKET)
}

/// The document. The invitation is by its number.
pub(super) fn document(
    own: &str,
    status: &Status,
    hub: &Hub,
    invitation: Option<&[u8; 32]>,
) -> Value {
    let shown = |(node, shown): (String, Shown)| {
        json!({
            "node": node,
            "up": shown.up,
            "since": shown.since,
            "weir": shown.weir,
            "protocol": shown.version,
            "dialled": shown.dialled,
            "waiting": shown.waiting,
            "reason": shown.reason,
            "status": shown.status.as_ref().map(Status::to_json),
        })
    };
    let links: Vec<Value> = hub.shown().into_iter().map(shown).collect();
    let invitation = invitation.map(|number| hex(number));
    let mirror = hub.mirror().as_ref().map(View::to_json);
    json!({
        "node": own,
        "status": status.to_json(),
        "links": links,
        "invitation": invitation,
        "mirror": mirror,
    })
}

/// Writes a document to a reader.
pub(super) async fn answer(mut conn: Conn, document: Value) {
    let text = document.to_string() + "\n";
    let _ = conn.send_all(&[text.as_bytes()], PATIENCE).await;
    conn.close();
}

/// Asks the running worker.
///
/// # Errors
/// It does not run with an `ha` block, or does not answer.
pub fn ask(folder: &Path) -> io::Result<Value> {
    let stream = UnixStream::connect(socket(folder))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    stream.take(LARGEST).read_to_string(&mut text)?;
    serde_json::from_str(&text).map_err(io::Error::from)
}

/// Waits until the running worker, which gets them from the master, knows an invitation by its
/// number, or for a time. Without a worker there is nothing to wait for.
pub fn await_invitation(folder: &Path, number: [u8; 32]) {
    let (number, started) = (hex(&number), Instant::now());
    while let Ok(document) = ask(folder)
        && document["invitation"] != number.as_str()
        && started.elapsed() < PATIENCE
    {
        std::thread::park_timeout(LOOK_AGAIN);
    }
}

/// The links section of `weir ha status`; `now` is in seconds since 1970.
pub fn text(document: &Value, now: i64) -> String {
    let mut out = String::new();
    let own = &document["status"];
    let links = document["links"].as_array().map(Vec::as_slice).unwrap_or_default();
    for link in links {
        let node = link["node"].as_str().unwrap_or_default();
        let age = in_words(now.saturating_sub(link["since"].as_i64().unwrap_or(now)));
        if link["up"] != true {
            let reason = link["reason"].as_str().filter(|reason| !reason.is_empty());
            let reason = reason.unwrap_or("it has not been reached yet");
            let _ = writeln!(out, "link to {node}: down for {age}: {reason}");
            continue;
        }
        let weir = link["weir"].as_str().unwrap_or_default();
        let _ = writeln!(out, "link to {node}: up for {age}, Weir {weir}");
        let status = &link["status"];
        if status.is_null() {
            continue;
        }
        for (field, what) in [("configuration", "the configuration"), ("block", "the \"ha\" block")]
        {
            if status[field] != own[field] {
                let _ = writeln!(out, "  {what} of {node} differs from this node's");
            }
        }
        // Links of one version join binaries of several.
        if let (Some(theirs), Some(here)) = (status["weir"].as_str(), own["weir"].as_str())
            && theirs != here
        {
            let _ = writeln!(
                out,
                "  {node} runs Weir {theirs} and this node Weir {here}; their links speak version {}",
                link["protocol"]
            );
        }
        if status["ready"] == false {
            let reason = status["addresses"]["unfit"].as_str();
            let reason = reason.unwrap_or("no guard process of it answers");
            let _ = writeln!(out, "  {node} is not fit to hold addresses: {reason}");
        } else if status["ready"] == true {
            let _ = writeln!(out, "  {node} is fit to hold addresses");
        }
    }
    if !links.is_empty() {
        out.push_str(&mirror::text(&document["mirror"]));
    }
    out
}

fn in_words(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{} s", seconds.max(0)),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_said() {
        let status = Status { weir: "1".to_owned(), ..Status::default() };
        let other =
            Status { configuration: "other".to_owned(), ready: Some(false), ..status.clone() };
        let newer = Status { weir: "2".to_owned(), ..status.clone() };
        let fit = Status { ready: Some(true), ..status.clone() };
        let mut document = document("a", &status, &Hub::default(), None);
        document["links"] = json!([
            {"node": "b", "up": true, "since": 1000, "weir": "1", "status": other.to_json()},
            {"node": "c", "up": false, "since": 10, "reason": "it closed the connection"},
            {"node": "d", "up": false, "since": 990, "reason": ""},
            {"node": "e", "up": true, "since": 999, "weir": "1", "status": fit.to_json()},
            {"node": "f", "up": true, "since": 999, "weir": "2", "protocol": 1,
                "status": newer.to_json()},
        ]);
        document["mirror"] = json!({"has_configuration": false});
        let text = text(&document, 1010);
        assert_eq!(
            text,
            "link to b: up for 10 s, Weir 1\n\
             \x20 the configuration of b differs from this node's\n\
             \x20 b is not fit to hold addresses: no guard process of it answers\n\
             link to c: down for 16 min: it closed the connection\n\
             link to d: down for 20 s: it has not been reached yet\n\
             link to e: up for 11 s, Weir 1\n\
             \x20 e is fit to hold addresses\n\
             link to f: up for 11 s, Weir 2\n\
             \x20 f runs Weir 2 and this node Weir 1; their links speak version 1\n\
             configuration: each node has its own here (\"mirror off\")\n\
             shared records: 0\n"
        );
    }
}
