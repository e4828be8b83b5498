//! The events that move a demo on: Enter, time, and signals.

use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use weir_sys::signal::Signals;
use weir_sys::wait;

use super::say;

/// The pause between two acts, unless Enter is pressed.
const PAUSE: Duration = Duration::from_secs(8);

/// The events that move the demo on.
pub(super) struct Stage<'a> {
    pub(super) signals: &'a Signals,
    /// Standard input is still readable.
    pub(super) stdin: bool,
}

impl Stage<'_> {
    /// Waits for Enter or the end of the pause; returns `false` if the demo is to end.
    pub(super) fn pause(&mut self, what_next: &str) -> bool {
        let seconds = PAUSE.as_secs();
        match std::io::stdin().is_terminal() {
            true => {
                say(format_args!("\nEnter, or {seconds} seconds, and {what_next}. Ctrl-C ends."))
            }
            false => say(format_args!("\nIn {seconds} seconds {what_next}.")),
        }
        let until = Instant::now() + PAUSE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            match self.event(Some(left)) {
                Event::End => return false,
                Event::Enter => return true,
                Event::Nothing => {}
            }
        }
    }

    /// Waits for a signal to end.
    pub(super) fn wait_for_the_end(&mut self) {
        while !matches!(self.event(None), Event::End) {}
    }

    fn event(&mut self, timeout: Option<Duration>) -> Event {
        let stdin = std::io::stdin();
        let mut fds = vec![self.signals.as_fd()];
        if self.stdin {
            fds.push(stdin.as_fd());
        }
        let Ok(ready) = wait::readable(&fds, timeout) else { return Event::End };
        if ready[0] && !matches!(self.signals.next(), Ok(None)) {
            return Event::End;
        }
        if ready.get(1) == Some(&true) {
            let mut line = String::new();
            self.stdin = matches!(stdin.read_line(&mut line), Ok(1..));
            return if self.stdin { Event::Enter } else { Event::Nothing };
        }
        Event::Nothing
    }
}

enum Event {
    /// A signal to end, or the end of Weir's process.
    End,
    Enter,
    /// A timeout, or the end of standard input.
    Nothing,
}
