//! The system's allocator with counters, which cost one load of a flag as long as nobody asks for them.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    io::{self, Write},
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
};

static COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
/// Below zero where what was allocated before the counting began is freed.
static LIVE: AtomicI64 = AtomicI64::new(0);

pub(crate) struct Counting;

#[cold]
fn note(allocated: usize, freed: usize) {
    if allocated > 0 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        BYTES.fetch_add(allocated as u64, Relaxed);
    }
    let signed = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
    LIVE.fetch_add(signed(allocated) - signed(freed), Relaxed);
}

// SAFETY: every call goes to the system's allocator as it is; the counters allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTING.load(Relaxed) {
            note(layout.size(), 0);
        }
        // SAFETY: the caller keeps the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if COUNTING.load(Relaxed) {
            note(layout.size(), 0);
        }
        // SAFETY: the caller keeps the same contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if COUNTING.load(Relaxed) {
            note(size, layout.size());
        }
        // SAFETY: the caller keeps the same contract.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if COUNTING.load(Relaxed) {
            note(0, layout.size());
        }
        // SAFETY: the caller keeps the same contract.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Counts from now on.
pub(crate) fn count() {
    COUNTING.store(true, Relaxed);
}

/// One line on standard error.
pub(crate) fn report() {
    let (allocations, bytes) = (ALLOCATIONS.load(Relaxed), BYTES.load(Relaxed));
    let live = LIVE.load(Relaxed);
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(
        io::stderr(),
        "allocations: {allocations} bytes: {bytes} live: {live}"
    );
}
