//! The message of a panic, kept for a caller that knows the panic's context.

use std::cell::RefCell;

use crate::error_log::{Level, process_log};
use crate::event_loop::here::with_here;

thread_local! {
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps a panic's message on a thread that runs a loop until the task has ended; for the process's
/// panic hook. Returns `false` on other threads, where no caller would take it.
pub fn keep(text: &str) -> bool {
    if with_here(drop).is_none() {
        return false;
    }
    SAID.with_borrow_mut(|said| {
        // The first panic is the cause of later ones.
        said.get_or_insert_with(|| text.to_owned());
    });
    true
}

/// Takes the kept message.
pub fn take() -> Option<String> {
    SAID.take()
}

/// Logs a message that no caller has taken.
pub(crate) fn report() {
    if let Some(said) = take() {
        process_log().log(Level::Alert, 0, said);
    }
}

/// Logs the message when a panic ends a loop.
pub(crate) struct ReportOnDrop;

impl Drop for ReportOnDrop {
    fn drop(&mut self) {
        report();
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn messages_are_kept_on_threads_with_a_loop() {
        assert!(!super::keep("nobody comes"));
        crate::event_loop::block_on(async {
            assert!(super::keep("first") && super::keep("second"));
            assert_eq!(super::take().as_deref(), Some("first"));
            assert_eq!(super::take(), None);
        });
    }
}
