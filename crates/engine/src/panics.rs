//! What a panic said, kept for whoever can tell what it was about.

use std::cell::RefCell;

use crate::error_log::{Level, process_log};

thread_local! {
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps the words of a panic on a thread that runs a loop, until the task has ended: for the
/// process's panic hook. False elsewhere: nobody will come for them.
pub fn keep(text: &str) -> bool {
    if crate::event_loop::with_here(drop).is_none() {
        return false;
    }
    SAID.with_borrow_mut(|said| {
        // The first panic is the cause of those that follow.
        said.get_or_insert_with(|| text.to_owned());
    });
    true
}

/// Takes what was kept.
pub fn take() -> Option<String> {
    SAID.take()
}

/// Writes to the process's log what nobody has taken.
pub(crate) fn report() {
    if let Some(said) = take() {
        process_log().log(Level::Alert, 0, said);
    }
}

/// Reports what is left when a panic ends a loop.
pub(crate) struct ReportOnDrop;

impl Drop for ReportOnDrop {
    fn drop(&mut self) {
        report();
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn words_are_kept_where_somebody_comes_for_them() {
        assert!(!super::keep("nobody comes"));
        crate::event_loop::block_on(async {
            assert!(super::keep("first") && super::keep("second"));
            assert_eq!(super::take().as_deref(), Some("first"));
            assert_eq!(super::take(), None);
        });
    }
}
