//! The allocator of the process: mimalloc, by its short ways.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_void;

use libmimalloc_sys as mi;

unsafe extern "C" {
    /// Of mimalloc; the crate has it only among much else.
    fn mi_collect(force: bool);
}

/// What every allocation of mimalloc is aligned to (MI_MAX_ALIGN_SIZE), if it is no smaller.
const NATURAL: usize = 16;

/// mimalloc. Almost every request of the program has a natural alignment, for which the plain
/// functions do; those that take an alignment cost several times as much.
#[derive(Debug)]
pub struct Mimalloc;

impl Mimalloc {
    fn is_natural(layout: Layout) -> bool {
        layout.align() <= NATURAL && layout.align() <= layout.size()
    }
}

// SAFETY: mimalloc gives blocks of at least the size asked for, aligned as its functions say, and
// takes back or resizes any block that one of them gave. None of the functions unwinds.
unsafe impl GlobalAlloc for Mimalloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: no preconditions.
        let block = unsafe {
            match Self::is_natural(layout) {
                true => mi::mi_malloc(layout.size()),
                false => mi::mi_malloc_aligned(layout.size(), layout.align()),
            }
        };
        block.cast()
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: no preconditions.
        let block = unsafe {
            match Self::is_natural(layout) {
                true => mi::mi_zalloc(layout.size()),
                false => mi::mi_zalloc_aligned(layout.size(), layout.align()),
            }
        };
        block.cast()
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the block came from one of the functions here, as the caller promises.
        unsafe { mi::mi_free(block.cast::<c_void>()) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let natural = layout.align() <= NATURAL && layout.align() <= size;
        // SAFETY: the block came from one of the functions here, as the caller promises.
        let block = unsafe {
            match natural {
                true => mi::mi_realloc(block.cast(), size),
                false => mi::mi_realloc_aligned(block.cast(), size, layout.align()),
            }
        };
        block.cast()
    }
}

/// From here on the process, and those it starts, get memory in small pages, also where the
/// system's habit is pages of two megabytes: such a page is resident as a whole for one live block
/// in it. mimalloc itself is built so that it does not ask for them.
pub fn use_small_pages() {
    // SAFETY: takes numbers and touches no memory of ours. Where the kernel does not know it, all
    // stays as it is.
    let _ = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

/// Gives memory that the calling thread has freed back to the system. Takes up to milliseconds.
pub fn give_back() {
    // SAFETY: no preconditions; it takes what is free, and nothing else.
    unsafe { mi_collect(true) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_is_not_given_back() {
        use_small_pages();
        let layout = Layout::from_size_align(100_000, 8).unwrap();
        // SAFETY: the size is not zero, and the blocks are freed with the layout they have.
        unsafe {
            let (one, two) = (Mimalloc.alloc_zeroed(layout), Mimalloc.alloc_zeroed(layout));
            one.write(7);
            Mimalloc.dealloc(two, layout);
            give_back();
            assert_eq!(one.read(), 7);
            Mimalloc.dealloc(one, layout);
        }
    }

    #[test]
    fn alignment_and_content_hold() {
        for (size, align) in [(1, 1), (3, 1), (24, 8), (8, 16), (100, 64), (5000, 4096)] {
            let layout = Layout::from_size_align(size, align).unwrap();
            // SAFETY: the size is not zero, and the block is freed with the layout it has.
            unsafe {
                let block = Mimalloc.alloc_zeroed(layout);
                assert_eq!(block.addr() % align, 0);
                block.write(7);
                let block = Mimalloc.realloc(block, layout, size * 3);
                assert_eq!((block.addr() % align, block.read()), (0, 7));
                Mimalloc.dealloc(block, Layout::from_size_align(size * 3, align).unwrap());
            }
        }
    }
}
