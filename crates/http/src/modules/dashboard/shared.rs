//! Answers that viewers share for a second, compressed once.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use weir_engine::clock::{self, Instant};

/// The age up to which an answer is sent again.
const FRESH: Duration = Duration::from_millis(950);

/// The maximum size of all kept answers, in bytes. The largest of one are those of groups with
/// thousands of servers, of 1 MB for a thousand.
const MOST_BYTES: usize = 16 << 20;

/// An answer, ready to be sent.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) plain: Vec<u8>,
    pub(super) gzip: Vec<u8>,
    made: Instant,
}

impl Answer {
    pub(super) fn new(status: u16, plain: Vec<u8>, level: Compression) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), level);
        // Writing to memory does not fail.
        let _ = encoder.write_all(&plain);
        let gzip = encoder.finish().unwrap_or_default();
        Self { status, plain, gzip, made: clock::precise() }
    }

    fn is_fresh(&self) -> bool {
        self.made.elapsed() < FRESH
    }

    fn size(&self) -> usize {
        self.plain.len() + self.gzip.len()
    }
}

static ANSWERS: Mutex<Option<HashMap<String, Arc<Answer>>>> = Mutex::new(None);

/// Held while an answer is made, so that viewers who ask for it together wait for one. No loop
/// waits for it.
static MAKING: Mutex<()> = Mutex::new(());

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The fresh answer with this key, if there is one.
pub(super) fn recent(key: &str) -> Option<Arc<Answer>> {
    let answers = lock(&ANSWERS);
    answers.as_ref()?.get(key).filter(|answer| answer.is_fresh()).map(Arc::clone)
}

/// The fresh answer with this key, or a new one. May take long.
pub(super) fn find_or_make(key: &str, make: impl FnOnce() -> (u16, Value)) -> Arc<Answer> {
    let making = lock(&MAKING);
    if let Some(found) = recent(key) {
        return found;
    }
    let (status, value) = make();
    let answer = Arc::new(Answer::new(status, value.to_string().into_bytes(), Compression::fast()));
    keep(key, &answer);
    drop(making);
    answer
}

/// Keeps an answer for others, if there is room beside the fresh ones.
fn keep(key: &str, answer: &Arc<Answer>) {
    let mut answers = lock(&ANSWERS);
    let answers = answers.get_or_insert_default();
    answers.retain(|_, answer| answer.is_fresh());
    let taken: usize = answers.iter().map(|(key, answer)| key.len() + answer.size()).sum();
    if taken + key.len() + answer.size() <= MOST_BYTES {
        answers.insert(key.to_owned(), Arc::clone(answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_made_once_and_the_kept_ones_are_bounded() {
        let made = find_or_make("tests: one", || (200, Value::from("first")));
        let again = find_or_make("tests: one", || unreachable!("the first one is fresh"));
        assert!(Arc::ptr_eq(&made, &again));
        assert_eq!(made.plain, b"\"first\"");
        let large = "x".repeat(MOST_BYTES);
        find_or_make("tests: large", || (200, Value::from(large)));
        assert!(recent("tests: large").is_none());
        let loops = (0..10).map(|_| {
            std::thread::spawn(|| {
                find_or_make("tests: together", || (200, Value::from("one"))).made
            })
        });
        let loops: Vec<_> = loops.collect();
        let times: Vec<_> = loops.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(times.iter().all(|time| *time == times[0]));
    }
}
