//! What something costs in memory: an allocator that counts what each thread holds. Whoever includes this counts with it.
#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// What this thread holds now, and the most that it held.
    static HELD: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

fn note(change: impl FnOnce(usize) -> usize) {
    // A thread that ends has no count any more.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        let now = change(now);
        held.set((now, most.max(now)));
    });
}

struct Counting;

// SAFETY: everything is the system's own; beside it a number is changed, which allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(|now| now.saturating_add(layout.size()));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        note(|now| now.saturating_sub(layout.size()));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most memory that this thread held at once during `work`, beyond what it held before, and what came of it.
pub(crate) fn most_held<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = HELD.with(|held| {
        let (now, _) = held.get();
        held.set((now, now));
        now
    });
    let result = work();
    (HELD.with(|held| held.get().1) - before, result)
}
