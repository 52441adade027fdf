//! The allocator, and the one thing that it has to be told.
//!
//! Requests allocate little, and often: mimalloc costs about a tenth less CPU per request than the system's. But it
//! keeps the pages that were freed, for the next burst, and gives them back when a thread asks for fresh ones. After a
//! flood no thread may ask: measured, 40 MiB stayed for as long as anybody looked, and a process that is bounded by
//! what it holds would never have let new callers in again. So when memory is short every core says that now is the time.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_void;

use mimalloc::MiMalloc;

/// mimalloc, asked for no more alignment than it gives anyway.
struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// What every block is aligned to that is at least as large: `MI_MAX_ALIGN_SIZE` in `mimalloc/types.h`.
const ALIGNED: usize = 16;

#[allow(
    unsafe_code,
    reason = "promises about two functions in C: one takes a number, the other a flag, and neither touches what is ours"
)]
unsafe extern "C" {
    /// `mimalloc.h`: a block of so many bytes.
    safe fn mi_malloc(size: usize) -> *mut c_void;
    /// `mimalloc.h`: frees what this thread's heap has left over, and gives free pages back if forced.
    safe fn mi_collect(force: bool);
}

#[allow(
    unsafe_code,
    reason = "an allocator is one; blocks of `mi_malloc` and of `MiMalloc` come from the same heap and are freed alike"
)]
// SAFETY: each is what `MiMalloc` does, but for `alloc` of what `mi_malloc` aligns well enough by itself. Told an
// alignment, mimalloc looks for a block that has it, and makes one that is too large of every block that is not of a
// power of two or is over 1 KiB: measured, a fifteenth of all that a request has the processor do.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= ALIGNED && layout.align() <= layout.size() {
            return mi_malloc(layout.size()).cast();
        }
        unsafe { MiMalloc.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { MiMalloc.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        unsafe { MiMalloc.realloc(block, layout, size) }
    }
}

/// Gives back what this thread has freed. Takes a millisecond or so for each hundred mebibytes.
pub(crate) fn give_back() {
    mi_collect(true);
}
