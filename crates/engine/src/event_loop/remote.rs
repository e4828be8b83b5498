//! How other threads wake the tasks of a loop: a queue behind a lock, and an eventfd that rings.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

use super::here::with_here;
use super::tasks::Word;

/// The open loops of the process, by number; number 0 is nobody.
static LOOPS: Mutex<Vec<Option<Remote>>> = Mutex::new(Vec::new());

struct Remote {
    bell: Arc<OwnedFd>,
    /// What is to be woken. Each task that waits for another thread is in here some few times at
    /// most, so its number is the limit.
    woken: Vec<Word>,
}

fn loops() -> MutexGuard<'static, Vec<Option<Remote>>> {
    LOOPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number for a loop, and what rings when something is in its queue. Its readiness is to be
/// watched by edges: it is never read.
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

/// Wakes a task of the loop of another thread.
pub(super) fn wake(number: u32, word: Word) {
    let mut loops = loops();
    let Some(Some(remote)) = loops.get_mut(number as usize) else { return };
    remote.woken.push(word);
    if remote.woken.len() == 1 {
        // The counter never comes near its limit, so this does not fail.
        let _ = rustix::io::write(&remote.bell, &1_u64.to_ne_bytes());
    }
}

/// Wakes what other threads have asked for; for the loop itself, when the bell has rung.
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
