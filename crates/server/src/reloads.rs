//! What becomes of reloads: noted by the master and told to the worker, whose API shows it.

use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};

use serde_json::{Value, json};
use weir_engine::Level;
use weir_engine::clock::{self, Instant};
use weir_engine::os_error::Failed;
use weir_http::instance::{self, LONGEST_FAULT, Reloads};
use weir_sys::memory_file;

use crate::channel::Order;
use crate::children::{Child, Children};
use crate::console::{self, Console};

/// The largest message to a worker, in bytes: a fault with every byte escaped, and some numbers.
const LARGEST: u64 = 6 * LONGEST_FAULT as u64 + 1024;

thread_local! {
    /// When the reload under way began.
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Notes the start of the master. Workers that it forks know.
pub(crate) fn note_start() {
    instance::note_reloads(Reloads { started: clock::msec(), ..Reloads::default() });
}

/// Notes that a reload begins.
pub(crate) fn begin() {
    BEGAN.set(Some(clock::precise()));
    console::take_fault();
}

/// Notes that a configuration is in force because of a reload.
pub(crate) fn succeeded(children: &mut Children, console: &Console) {
    let Some(began) = BEGAN.take() else { return };
    let reloads = instance::reloads();
    let (good, last_good) = (reloads.good + 1, clock::msec());
    let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    instance::note_reloads(Reloads { good, last_good, took, ..reloads });
    tell(children, console);
}

/// Notes that a reload failed, for this reason or the first severe message since it began.
pub(crate) fn failed(children: &mut Children, console: &Console, reason: Option<&str>) {
    if BEGAN.take().is_none() {
        return;
    }
    let kept = console::take_fault();
    let reason = reason.map(str::to_owned).or(kept).map(|reason| cut(&reason));
    let reloads = instance::reloads();
    let (failed, last_failed) = (reloads.failed + 1, clock::msec());
    let fault = reason.unwrap_or_else(|| "the error log says why".to_owned());
    instance::note_reloads(Reloads { failed, last_failed, fault, ..reloads });
    tell(children, console);
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(LONGEST_FAULT)].to_owned()
}

/// Tells the serving workers.
fn tell(children: &mut Children, console: &Console) {
    let text = encode(&instance::reloads());
    for worker in children.0.iter_mut().filter(|child| Child::is_serving(child)) {
        let sent = memory_file::sealed(text.as_bytes())
            .and_then(|file| worker.send(Order::Reloads, &[file.as_fd()]));
        if let Err(error) = sent {
            let what = "what became of reloads could not be told to the worker process";
            console.log(Level::Alert, Failed(what, &error));
        }
    }
}

/// Takes over what the master tells, in the worker.
pub(crate) fn take(file: OwnedFd) {
    let read = memory_file::read(file, LARGEST).ok();
    if let Some(reloads) = read.as_deref().and_then(decode) {
        instance::note_reloads(reloads);
    }
}

fn encode(reloads: &Reloads) -> String {
    let Reloads { started, good, failed, last_good, last_failed, took, fault } = reloads;
    json!([started, good, failed, last_good, last_failed, took, fault]).to_string()
}

fn decode(text: &[u8]) -> Option<Reloads> {
    let parts: Value = serde_json::from_slice(text).ok()?;
    let number = |at: usize| parts[at].as_u64();
    Some(Reloads {
        started: number(0)?,
        good: number(1)?,
        failed: number(2)?,
        last_good: number(3)?,
        last_failed: number(4)?,
        took: number(5)?,
        fault: parts[6].as_str()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_arrives() {
        let fault = cut(&"\u{1}ä\"".repeat(LONGEST_FAULT));
        let reloads = Reloads { started: 1, good: 2, failed: 3, fault, ..Reloads::default() };
        let text = encode(&reloads);
        assert!(text.len() as u64 <= LARGEST);
        assert_eq!(decode(text.as_bytes()), Some(reloads));
        assert_eq!(decode(b"[1]"), None);
    }
}
