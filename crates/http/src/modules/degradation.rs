//! `degradation` and `degrade`: refusing requests while the process takes much memory (nginx:
//! `ngx_http_degradation_module`).

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use weir_conf::value::parse_size;
use weir_conf::{Cx, Fault, Inherit, Node, Settings, Slot, directives, keywords};
use weir_engine::clock;
use weir_engine::error_log::Level;

use crate::module::{Handler, Module, Phase, PhaseHandler, Verdict};
use crate::request::Request;

pub(crate) const MODULE: Module = Module {
    name: "degradation",
    tables: &[&Degradation::table(&DEGRADATION)],
    handlers: &[PhaseHandler {
        phase: Phase::PreAccess,
        enabled: is_on,
        handler: Handler::Sync(handle),
    }],
    ..Module::NONE
};

static DEGRADATION: Slot<Degradation> = Slot::new();

keywords! {
    /// The answer to refused requests.
    pub(crate) enum Answer {
        /// No content.
        "204" => NoContent,
        /// The connection is closed without an answer.
        "444" => Close,
    }
}

directives! {
    /// Refusal of requests while memory is short.
    pub(crate) struct Degradation as DegradationWritten in [http, server, location] {
        /// The memory of the worker process from which on requests are refused where `degrade` is
        /// set: what is resident and its own, of all threads together.
        "degradation" in [http] [1]: "sbrk=size" => set_limit,
        /// Refuses requests above the limit of `degradation`, with 204 or by closing the
        /// connection.
        "degrade" as "204 | 444" => answer: Option<Answer>,
        field limit: Inherit<u64>,
    }
}

fn set_limit(own: &mut DegradationWritten, node: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    let word = &node.args[0];
    let size = word
        .after("sbrk=")
        .ok_or_else(|| Fault::new(format!("invalid parameter \"{}\"", word.text())).at(word))?;
    let limit = parse_size(size)
        .ok_or_else(|| Fault::new(format!("invalid sbrk size \"{}\"", word.text())).at(word))?;
    own.limit = Some(limit);
    Ok(())
}

fn is_on(settings: &Settings) -> bool {
    let own = settings.get(&DEGRADATION);
    own.limit > 0 && own.answer.is_some()
}

fn handle(request: &mut Request) -> Verdict {
    let own = request.get(&DEGRADATION);
    let (limit, answer) = (own.limit, own.answer);
    let (memory, is_new) = memory();
    if memory < limit {
        return Verdict::Next;
    }
    if is_new {
        let message = format!("degradation sbrk:{}M", memory >> 20);
        request.log(Level::Notice, &message);
    }
    match answer {
        Some(Answer::NoContent) => Verdict::Status(204),
        Some(Answer::Close) => Verdict::Status(444),
        None => Verdict::Next,
    }
}

/// The memory of the process in bytes, measured at most once a second, and whether it was measured
/// now. It is what is resident and not of a file (`RssAnon`): Weir's memory is not in the segment
/// that `sbrk()` measures.
fn memory() -> (u64, bool) {
    static SECOND: AtomicI64 = AtomicI64::new(i64::MIN);
    static BYTES: AtomicU64 = AtomicU64::new(0);
    let now = clock::wall_secs();
    if SECOND.swap(now, Ordering::Relaxed) == now {
        return (BYTES.load(Ordering::Relaxed), false);
    }
    let status = std::fs::read("/proc/self/status").unwrap_or_default();
    let bytes = own_memory(&status).unwrap_or(0);
    BYTES.store(bytes, Ordering::Relaxed);
    (bytes, true)
}

/// The bytes of `RssAnon` in `/proc/self/status`.
fn own_memory(status: &[u8]) -> Option<u64> {
    let line =
        status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"RssAnon:"))?;
    let number = line.trim_ascii().strip_suffix(b"kB")?.trim_ascii();
    weir_conf::value::parse_number(number)?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_the_process_holds() {
        let text = b"VmRSS:\t    7000 kB\nRssAnon:\t    1100 kB\nRssFile:\t 9 kB\n";
        assert_eq!(own_memory(text), Some(1100 * 1024));
        assert_eq!(own_memory(b"RssAnon:\n"), None);
        let held = vec![1_u8; 64 << 20];
        let status = std::fs::read("/proc/self/status").expect("proc is there");
        assert!(own_memory(&status).expect("a line") >= 64 << 20);
        drop(held);
    }
}
