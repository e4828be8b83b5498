//! Buffers from per-thread pools by size class. A dropped buffer returns to its pool.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

use crate::stats;

/// The smallest class; the buffer for a request head (`client_header_buffer_size`) is 1 KiB.
const SMALLEST: usize = 1024;

/// Classes are powers of two: 1 KiB, 2 KiB, … 256 KiB. Larger buffers are freed.
const CLASSES: usize = 9;

/// The maximum size of a class's pool in bytes, so that a burst of large bodies does not occupy
/// memory forever.
const POOL_BYTES: usize = 2 * 1024 * 1024;

/// The maximum number of buffers in a pool, whatever their size.
const POOL_BUFFERS: usize = 256;

thread_local! {
    static POOLS: RefCell<[Vec<Vec<u8>>; CLASSES]> =
        const { RefCell::new([const { Vec::new() }; CLASSES]) };
}

/// A `Vec<u8>` that returns to its thread's pool on drop.
#[derive(Debug, Default)]
pub struct Buf(Vec<u8>);

/// An empty buffer with a capacity of at least `size` bytes.
pub fn take(size: usize) -> Buf {
    let Some(class) = class_to_hold(size) else {
        return Buf(Vec::with_capacity(size));
    };
    let pooled = POOLS.try_with(|pools| pools.borrow_mut()[class].pop()).ok().flatten();
    Buf(pooled.unwrap_or_else(|| Vec::with_capacity(SMALLEST << class)))
}

/// The number of buffers that each pool keeps after a burst of connections.
const POOL_AFTER_CROWD: usize = 16;

/// Frees most pooled buffers after a burst of connections.
pub(crate) fn give_back() {
    POOLS.with_borrow_mut(|pools| {
        for pool in pools {
            pool.truncate(POOL_AFTER_CROWD);
            pool.shrink_to_fit();
        }
    });
    note_spare();
}

/// Tells [`stats::held`] how much this thread has in its pools.
pub(crate) fn note_spare() {
    let bytes = |(class, pool): (usize, &Vec<Vec<u8>>)| pool.len() * (SMALLEST << class);
    let all = POOLS.with_borrow(|pools| pools.iter().enumerate().map(bytes).sum());
    stats::note_spare_buffers(all);
}

/// Frees all pooled buffers, as the thread's loop ends.
pub(crate) fn free_spare() {
    let _ = POOLS.try_with(|pools| drop(pools.take()));
    stats::note_spare_buffers(0);
}

/// The maximum length of a single copy. For longer ones the C library uses one instruction, which
/// takes thirty times as long on some processors (AMD's Zen 3 and 4) if the target's offset in its
/// 4,096-byte page exceeds the source's by up to 63 bytes.
pub(crate) const STRETCH: usize = 2 * 1024;

/// Copies a possibly long slice. `into` has the same length.
pub fn copy(from: &[u8], into: &mut [u8]) {
    for (from, into) in from.chunks(STRETCH).zip(into.chunks_mut(STRETCH)) {
        into.copy_from_slice(from);
    }
}

/// Appends a possibly long slice.
pub fn append(from: &[u8], into: &mut Vec<u8>) {
    into.reserve(from.len());
    from.chunks(STRETCH).for_each(|from| into.extend_from_slice(from));
}

/// A buffer with a copy of the bytes; unallocated if there are none.
pub(crate) fn copy_of(bytes: &[u8]) -> Buf {
    if bytes.is_empty() {
        return Buf::empty();
    }
    let mut buf = take(bytes.len());
    append(bytes, &mut buf);
    buf
}

/// Splits off the first `n` bytes, without copying if that is all.
pub fn split_front(buf: &mut Buf, n: usize) -> Buf {
    if n == buf.len() {
        return std::mem::take(buf);
    }
    let mut front = take(n);
    front.extend_from_slice(&buf[..n]);
    drop_front(buf, n);
    front
}

/// Removes the first `n` bytes.
pub fn drop_front(buf: &mut Buf, n: usize) {
    if n == buf.len() {
        buf.clear();
    } else {
        buf.drain(..n);
    }
}

impl Buf {
    /// An unallocated buffer.
    pub const fn empty() -> Self {
        Self(Vec::new())
    }

    /// The spare capacity in bytes.
    pub fn room(&self) -> usize {
        self.0.capacity() - self.0.len()
    }

    /// Detaches the bytes from the pool.
    pub fn into_vec(mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

impl From<Vec<u8>> for Buf {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Deref for Buf {
    type Target = Vec<u8>;
    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Buf {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for Buf {
    #[inline]
    fn drop(&mut self) {
        if self.0.capacity() > 0 {
            pool(&mut self.0);
        }
    }
}

/// Moves a buffer's memory to the pool of its class.
fn pool(buffer: &mut Vec<u8>) {
    let Some(class) = class_of(buffer.capacity()) else { return };
    // The pools may be gone while the thread ends; the buffer is then freed.
    let _ = POOLS.try_with(|pools| {
        let pool = &mut pools.borrow_mut()[class];
        if pool.len() < POOL_LIMITS[class] {
            let mut bytes = std::mem::take(buffer);
            bytes.clear();
            pool.push(bytes);
        }
    });
}

/// The maximum number of buffers in the pool of each class.
const POOL_LIMITS: [usize; CLASSES] = {
    let mut limits = [POOL_BUFFERS; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        let by_bytes = POOL_BYTES / (SMALLEST << class);
        if by_bytes < POOL_BUFFERS {
            limits[class] = by_bytes;
        }
        class += 1;
    }
    limits
};

/// The smallest class whose buffers hold `size` bytes.
fn class_to_hold(size: usize) -> Option<usize> {
    let class = (size.saturating_sub(1) | (SMALLEST - 1)).ilog2() - (SMALLEST - 1).ilog2();
    Some(class as usize).filter(|class| *class < CLASSES)
}

/// The class of a buffer with this capacity; `None` for a capacity between classes, as growth may
/// produce.
fn class_of(capacity: usize) -> Option<usize> {
    let class = capacity.trailing_zeros().checked_sub(SMALLEST.trailing_zeros())? as usize;
    Some(class).filter(|class| *class < CLASSES && capacity.is_power_of_two())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    #[test]
    fn classes_hold_what_is_asked() {
        assert_eq!(class_to_hold(0), Some(0));
        assert_eq!(class_to_hold(1024), Some(0));
        assert_eq!(class_to_hold(1025), Some(1));
        assert_eq!(class_to_hold(256 * 1024), Some(8));
        assert_eq!(class_to_hold(256 * 1024 + 1), None);
        assert_eq!(class_of(1023), None);
        assert_eq!(class_of(2048), Some(1));
        assert_eq!(class_of(4000), None);
    }

    #[test]
    fn a_dropped_buffer_is_reused() {
        let mut first = take(8192);
        first.extend_from_slice(b"secret");
        let place = first.as_ptr();
        drop(first);
        let second = take(5000);
        assert_eq!(second.as_ptr(), place);
        assert!(second.is_empty());
        assert_eq!(second.capacity(), 8192);
    }

    #[test]
    fn long_stretches_are_copied_whole() {
        let bytes: Vec<u8> = (0..STRETCH * 3 + 7).map(|number| (number % 251) as u8).collect();
        let mut copied = vec![0; bytes.len()];
        copy(&bytes, &mut copied);
        assert!(copied == bytes);
        let mut joined = b"head".to_vec();
        append(&bytes, &mut joined);
        assert!(joined[4..] == bytes);
        assert!(copy_of(&bytes)[..] == bytes);
        assert_eq!(copy_of(b"").capacity(), 0);
    }

    #[test]
    fn few_buffers_stay_after_a_burst() {
        crate::event_loop::block_on(async {
            let crowd = (0..100).map(|_| async {
                let _mine = take(8192);
                crate::event_loop::yield_now().await;
            });
            for one in crowd {
                crate::event_loop::spawn(one);
            }
            let pooled = || POOLS.with_borrow(|pools| pools[class_to_hold(8192).unwrap()].len());
            for _ in 0..3 {
                crate::event_loop::yield_now().await;
            }
            // The next burst may follow soon.
            assert!(pooled() > POOL_AFTER_CROWD, "{}", pooled());
            let started = clock::now();
            while pooled() > POOL_AFTER_CROWD {
                assert!(clock::now().since(started) < Duration::from_secs(60));
                crate::timer::sleep(Duration::from_millis(100)).await;
            }
            assert!((1..=POOL_AFTER_CROWD).contains(&pooled()), "{}", pooled());
        });
    }

    #[test]
    fn the_pool_is_bounded() {
        let all: Vec<Buf> = (0..100).map(|_| take(256 * 1024)).collect();
        drop(all);
        POOLS.with(|pools| assert_eq!(pools.borrow()[8].len(), 8));
    }
}
