//! What a worker tells the master, and the master a worker.
#![no_main]

use weir_sys::pass_fd;

// The server is a program, not a library.
#[allow(dead_code)]
#[path = "../../crates/server/src/channel.rs"]
mod channel;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (near, far) = pass_fd::pair().expect("a pair of sockets");
    let data = &data[..data.len().min(pass_fd::MAX_BYTES)];
    if data.is_empty() || pass_fd::send(&near, data, &[]).is_err() {
        return;
    }
    if let Ok(Some(channel::Report::Failed(_, reason))) = channel::next_report(&far) {
        assert!(!reason.contains(char::is_control), "it is one line of a log");
    }
    if pass_fd::send(&near, data, &[]).is_ok() {
        let _ = channel::Orders::new(far).next();
    }
});
