//! The process itself: handshakes, certificates, reloads, loops and memory.

use std::collections::{BTreeMap, BTreeSet};

use weir_acme::{Status, View};
use weir_engine::Memory;
use weir_engine::event_loop::{LoopView, TURN_ENDS, loops};
use weir_engine::losses::lost_lines;
use weir_engine::tls::counters::{CLIENTS, Counts, FailedFor, UPSTREAMS, Unverified, VERSIONS};
use weir_wire::exposition::{Distribution, Exposition, Labels, Value};

use crate::certificates::in_force;
use crate::instance::{self, Reloads};
use crate::memory::by_subsystem;
use crate::metrics::Source;

pub(super) fn collect(_: &Source, out: &mut Exposition) {
    handshakes(out);
    certificates(out);
    ordered(out);
    reloads(out);
    of_loops(&by_thread(), out);
    memory(out);
    out.counter("weir_log_lines_lost_total", "Lines that logs did not take.")
        .sample(Labels::NONE, lost_lines());
}

/// Both sides with their counts.
fn sides() -> [(&'static str, Counts); 2] {
    [("client", CLIENTS.read()), ("upstream", UPSTREAMS.read())]
}

fn handshakes(out: &mut Exposition) {
    let sides = sides();
    let mut done = out.counter("weir_tls_handshakes_total", "TLS handshakes that are done.");
    for (side, counts) in &sides {
        for (version, count) in VERSIONS.iter().zip(counts.versions) {
            done.sample(&Labels::of(&[("side", side), ("version", version)]), count);
        }
    }
    let mut failed =
        out.counter("weir_tls_handshake_failures_total", "TLS handshakes that failed, by reason.");
    for (side, counts) in &sides {
        for ((_, reason), count) in FailedFor::ALL.iter().zip(counts.failed) {
            failed.sample(&Labels::of(&[("side", side), ("reason", reason)]), count);
        }
    }
    let about = "Peers whose certificates were missing or wrong, by reason.";
    let mut unverified = out.counter("weir_tls_unverified_peers_total", about);
    for (side, counts) in &sides {
        for ((_, reason), count) in Unverified::ALL.iter().zip(counts.unverified) {
            unverified.sample(&Labels::of(&[("side", side), ("reason", reason)]), count);
        }
    }
    let about = "TLS handshakes that are done, by cipher.";
    let mut ciphers = out.counter("weir_tls_ciphers_total", about);
    for (side, counts) in &sides {
        for (cipher, count) in counts.ciphers() {
            ciphers.sample(&Labels::of(&[("side", side), ("cipher", &cipher)]), count);
        }
    }
    let mut reused =
        out.counter("weir_tls_sessions_reused_total", "TLS handshakes that resumed a session.");
    for (side, counts) in &sides {
        reused.sample(&Labels::of(&[("side", side)]), counts.reused);
    }
    let [(_, clients), _] = &sides;
    let about = "TLS handshakes of clients that offered early data.";
    let mut early = out.counter("weir_tls_early_data_total", about);
    for (result, count) in
        [("accepted", clients.early_data), ("rejected", clients.early_data_refused)]
    {
        early.sample(&Labels::of(&[("result", result)]), count);
    }
}

fn certificates(out: &mut Exposition) {
    let all = in_force::all_in_force();
    let about = "When the certificates that servers show expire, by the files of them.";
    let mut family = out.gauge("weir_certificate_not_after_timestamp_seconds", about);
    // A series must not occur twice.
    let mut seen = BTreeSet::new();
    for one in all.iter().filter(|one| seen.insert((&one.file, &one.serial, &one.subject))) {
        let server = one.servers.first().map_or("", String::as_str);
        let labels = [
            ("file", &*one.file),
            ("serial", &*one.serial),
            ("subject", &*one.subject),
            ("server", server),
        ];
        family.sample(&Labels::of(&labels), Value::Real(one.validity.1 as f64));
    }
}

/// Certificates that are ordered by ACME.
fn ordered(out: &mut Exposition) {
    let all = weir_acme::certificate::views();
    let labels =
        |id: &str, view: &View| Labels::of(&[("certificate", id), ("issuer", &*view.issuer)]);
    let mut issued = out.counter("weir_acme_orders_total", "Certificates that were issued.");
    for (id, view) in &all {
        issued.sample(&labels(id, view), view.orders);
    }
    let about = "Orders and renewals of certificates that failed.";
    let mut failed = out.counter("weir_acme_order_failures_total", about);
    for (id, view) in &all {
        failed.sample(&labels(id, view), view.failures);
    }
    let about = "Whether the last attempt to order or renew a certificate has failed.";
    let mut failing = out.gauge("weir_acme_failing", about);
    for (id, view) in &all {
        failing.sample(&labels(id, view), u64::from(matches!(view.status, Status::Failed(_))));
    }
    let about = "When a certificate is ordered or renewed next. Another node does it if it lacks.";
    let mut next = out.gauge("weir_acme_next_attempt_timestamp_seconds", about);
    for (id, view) in &all {
        if let Some(at) = view.next {
            next.sample(&labels(id, view), Value::Real(at as f64));
        }
    }
}

fn reloads(out: &mut Exposition) {
    let Reloads { started, good, failed, last_good, last_failed, took, .. } = instance::reloads();
    let seconds = |millis: u64| Value::Real(millis as f64 / 1000.0);
    let mut family = out.counter("weir_config_reloads_total", "Reloads, by their result.");
    for (result, count) in [("good", good), ("failed", failed)] {
        family.sample(&Labels::of(&[("result", result)]), count);
    }
    let about = "When the last reload of each result was; 0 if none was.";
    let mut family = out.gauge("weir_config_last_reload_timestamp_seconds", about);
    for (result, time) in [("good", last_good), ("failed", last_failed)] {
        family.sample(&Labels::of(&[("result", result)]), seconds(time));
    }
    out.gauge("weir_config_last_reload_duration_seconds", "How long the last good reload took.")
        .sample(Labels::NONE, seconds(took));
    out.gauge("weir_config_generations_held", "Replaced configurations that requests still hold.")
        .sample(Labels::NONE, instance::held());
    out.gauge("weir_start_timestamp_seconds", "When the master process started.")
        .sample(Labels::NONE, seconds(started));
}

/// The newest loop of each name: a thread that is ending may have the name of a new one.
fn by_thread() -> Vec<LoopView> {
    let named = loops().into_iter().map(|one| (one.thread.clone(), one));
    named.collect::<BTreeMap<_, _>>().into_values().collect()
}

fn of_loops(loops: &[LoopView], out: &mut Exposition) {
    let about =
        "The lengths of the turns of a thread's loop, which are the delay of all else there.";
    let mut turns = out.histogram("weir_loop_turn_seconds", about);
    let ends = TURN_ENDS.map(|micros| micros as f64 / 1e6);
    for one in loops {
        let (counts, sum) = (&one.turns, one.busy.as_secs_f64());
        let values = Distribution { ends: &ends, counts, sum, exemplars: &[] };
        turns.distribution(&Labels::of(&[("thread", &*one.thread)]), &values);
    }
    let about = "The longest turn of a thread's loop in the last 30 to 60 seconds.";
    let mut longest = out.gauge("weir_loop_longest_turn_seconds", about);
    for one in loops {
        let labels = [("thread", &*one.thread)];
        longest.sample(&Labels::of(&labels), Value::Real(one.longest.as_secs_f64()));
    }
    let mut tasks = out.gauge("weir_loop_tasks", "The tasks of a thread's loop.");
    for one in loops {
        tasks.sample(&Labels::of(&[("thread", &*one.thread)]), one.tasks);
    }
    let mut timers = out.gauge("weir_loop_timers", "The timers of a thread's loop.");
    for one in loops {
        timers.sample(&Labels::of(&[("thread", &*one.thread)]), one.timers);
    }
}

fn memory(out: &mut Exposition) {
    let Memory { resident, peak, committed } = Memory::now();
    out.gauge("weir_memory_resident_bytes", "The resident set of the worker process.")
        .sample(Labels::NONE, resident);
    out.gauge("weir_memory_peak_bytes", "The largest resident set so far.")
        .sample(Labels::NONE, peak);
    out.gauge("weir_memory_committed_bytes", "What the allocator has committed, used or not.")
        .sample(Labels::NONE, committed);
    let about = "Memory of the subsystems that count theirs.";
    let mut parts = out.gauge("weir_memory_used_bytes", about);
    for (name, bytes) in by_subsystem() {
        parts.sample(&Labels::of(&[("subsystem", name)]), bytes);
    }
    let all = weir_edge::zone::all_in_use();
    let mut used = out.gauge("weir_zone_used_bytes", "Memory in use in a shared zone.");
    for (name, zone) in &all {
        used.sample(&Labels::of(&[("zone", name)]), zone.memory().used);
    }
    let mut size = out.gauge("weir_zone_size_bytes", "The limit of memory of a shared zone.");
    for (name, zone) in &all {
        size.sample(&Labels::of(&[("zone", name)]), zone.memory().size);
    }
}
