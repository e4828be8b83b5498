//! Wakers without reference counts: a waker carries a word, and its owner decides what waking
//! means.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::task::{RawWaker, RawWakerVTable, Waker};

/// The meaning of waking a word. The word may be stale, and the call may come from any thread.
pub trait WakeByWord {
    /// Wakes the task of a word.
    fn wake(word: usize);
}

/// A waker that calls `W::wake(word)`. A clone is a copy, and a drop does nothing.
pub fn waker<W: WakeByWord>(word: usize) -> ManuallyDrop<Waker> {
    // SAFETY: the functions of the table use the pointer as a number, and are valid for any number,
    // in any thread, for ever: nothing is owned.
    ManuallyDrop::new(unsafe { Waker::from_raw(raw::<W>(std::ptr::without_provenance(word))) })
}

fn raw<W: WakeByWord>(word: *const ()) -> RawWaker {
    RawWaker::new(word, &Table::<W>::VALUE)
}

struct Table<W>(PhantomData<W>);

impl<W: WakeByWord> Table<W> {
    const VALUE: RawWakerVTable = RawWakerVTable::new(
        raw::<W>,
        |word| W::wake(word.addr()),
        |word| W::wake(word.addr()),
        |_| {},
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    static WOKEN: Mutex<Vec<usize>> = Mutex::new(Vec::new());

    struct Log;

    impl WakeByWord for Log {
        fn wake(word: usize) {
            WOKEN.lock().unwrap().push(word);
        }
    }

    #[test]
    fn the_word_arrives_from_every_thread() {
        let (one, two) = (waker::<Log>(1), waker::<Log>(usize::MAX));
        one.wake_by_ref();
        let clone = Waker::clone(&two);
        assert!(!one.will_wake(&two));
        std::thread::spawn(move || clone.wake()).join().unwrap();
        Waker::clone(&one).wake();
        assert_eq!(*WOKEN.lock().unwrap(), [1, usize::MAX, 1]);
    }
}
