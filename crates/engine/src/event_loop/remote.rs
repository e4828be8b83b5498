//! Wakeups from other threads: a queue behind a lock, and an eventfd as a bell.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

use super::here::with_here;
use super::tasks::Word;

/// The open loops of the process, by number; number 0 is unused.
static LOOPS: Mutex<Vec<Option<Remote>>> = Mutex::new(Vec::new());

struct Remote {
    bell: Arc<OwnedFd>,
    /// The tasks to wake. A task that waits for another thread is listed a few times at most, so
    /// the number of tasks limits the list.
    woken: Vec<Word>,
}

fn loops() -> MutexGuard<'static, Vec<Option<Remote>>> {
    LOOPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Assigns a number to a loop and returns the bell, which rings when the queue has entries. Watch
/// it by edges: it is never read.
pub(super) fn open() -> io::Result<(u32, Arc<OwnedFd>)> {
    let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let remote = Some(Remote { bell: Arc::clone(&bell), woken: Vec::new() });
    let mut loops = loops();
    let free = loops.iter().skip(1).position(Option::is_none);
    let number = free.map_or(loops.len().max(1), |place| place + 1);
    if number >= Word::LOOPS as usize {
        return Err(io::ErrorKind::QuotaExceeded.into());
    }
    if number >= loops.len() {
        loops.resize_with(number + 1, || None);
    }
    loops[number] = remote;
    Ok((number as u32, bell))
}

pub(super) fn close(number: u32) {
    loops()[number as usize] = None;
}

/// Wakes a task on another thread's loop.
pub(super) fn wake(number: u32, word: Word) {
    let mut loops = loops();
    let Some(Some(remote)) = loops.get_mut(number as usize) else { return };
    remote.woken.push(word);
    if remote.woken.len() == 1 {
        // The counter never comes near its limit, so this cannot fail.
        let _ = rustix::io::write(&remote.bell, &1_u64.to_ne_bytes());
    }
}

/// Wakes the tasks requested by other threads; called by the loop when the bell has rung.
pub(super) fn take(number: u32) {
    let woken = match &mut loops()[number as usize] {
        Some(remote) => std::mem::take(&mut remote.woken),
        None => return,
    };
    with_here(|here| {
        for word in woken {
            here.tasks.wake(word);
        }
    });
}
