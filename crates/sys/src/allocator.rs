//! The allocator of the process: mimalloc, by its short functions.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_void;

use libmimalloc_sys as mi;

unsafe extern "C" {
    /// Of mimalloc; libmimalloc-sys declares it only with its feature `extended`.
    fn mi_collect(force: bool);
}

/// The alignment of mimalloc's allocations (MI_MAX_ALIGN_SIZE) of at least that size.
const NATURAL: usize = 16;

/// mimalloc. Almost every allocation has a natural alignment, for which the plain functions
/// suffice; the aligned functions cost several times as much.
#[derive(Debug)]
pub struct Mimalloc;

impl Mimalloc {
    fn is_natural(layout: Layout) -> bool {
        layout.align() <= NATURAL && layout.align() <= layout.size()
    }
}

// SAFETY: mimalloc returns blocks of at least the requested size and alignment, and its functions
// accept any block that one of them returned. None of them unwinds.
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

/// Makes the process and its children use small pages, even where transparent huge pages are the
/// system's default: a page of two megabytes is resident as a whole for a single live block.
/// mimalloc itself is built not to ask for huge pages.
pub fn use_small_pages() {
    // SAFETY: takes numbers and touches no memory of ours. Kernels without the option return an
    // error.
    let _ = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

/// Returns memory that the calling thread has freed to the system. Takes up to milliseconds.
pub fn give_back() {
    // SAFETY: no preconditions; only free memory is affected.
    unsafe { mi_collect(true) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_is_not_given_back() {
        use_small_pages();
        let layout = Layout::from_size_align(100_000, 8).unwrap();
        // SAFETY: the size is not zero, and the blocks are freed with their layout.
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
            // SAFETY: the size is not zero, and the block is freed with its layout.
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
