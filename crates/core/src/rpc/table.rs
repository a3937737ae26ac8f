//! The calls of [`Rpc`](super::Rpc) and when they run out: small when few are under way, as in nearly all nodes at nearly all times.
//!
//! A node in a quiet network has one or two calls under way. Trees would take an allocation for each of them and a cache line for
//! each level; sorted lists take one or two allocations in all. Insertion moves what follows: sixteen bytes for each call under
//! way, which stays below the cost of an allocation up to thousands of them.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::time::Mono;

/// Calls by the base of their request id.
#[derive(Clone, Debug)]
pub(super) struct Calls<C> {
    sorted: Vec<(u64, Box<C>)>,
}

impl<C> Calls<C> {
    pub(super) const fn new() -> Calls<C> {
        Calls { sorted: Vec::new() }
    }

    fn find(&self, base: u64) -> Result<usize, usize> {
        self.sorted.binary_search_by_key(&base, |(base, _)| *base)
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    pub(super) fn contains_key(&self, base: &u64) -> bool {
        self.find(*base).is_ok()
    }

    pub(super) fn get(&self, base: &u64) -> Option<&C> {
        self.find(*base).ok().map(|i| &*self.sorted[i].1)
    }

    pub(super) fn get_mut(&mut self, base: &u64) -> Option<&mut C> {
        self.find(*base).ok().map(|i| &mut *self.sorted[i].1)
    }

    /// Adds a call under a base that is free.
    pub(super) fn insert(&mut self, base: u64, call: Box<C>) {
        if let Err(i) = self.find(base) {
            self.sorted.insert(i, (base, call));
        }
    }

    pub(super) fn remove(&mut self, base: &u64) -> Option<Box<C>> {
        self.find(*base).ok().map(|i| self.sorted.remove(i).1)
    }
}

/// When calls run out, first to last. New ones belong near the end, due ones stand in front: little moves.
#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct Deadlines {
    /// The first of them, here: it is asked for in every turn, and the list is elsewhere.
    first: Mono,
    sorted: VecDeque<(Mono, u64)>,
}

impl Deadlines {
    pub(super) const fn new() -> Deadlines {
        Deadlines { sorted: VecDeque::new(), first: Mono::NEVER }
    }

    pub(super) fn first(&self) -> Option<Mono> {
        (self.first != Mono::NEVER).then_some(self.first)
    }

    /// Takes the first if its time has come.
    pub(super) fn pop_due(&mut self, now: Mono) -> Option<(Mono, u64)> {
        if self.first > now {
            return None;
        }
        let due = self.sorted.pop_front();
        self.see_first();
        due
    }

    fn see_first(&mut self) {
        self.first = self.sorted.front().map_or(Mono::NEVER, |(at, _)| *at);
    }

    pub(super) fn insert(&mut self, entry: (Mono, u64)) {
        let i = self.sorted.partition_point(|e| *e < entry);
        self.sorted.insert(i, entry);
        self.see_first();
    }

    pub(super) fn remove(&mut self, entry: &(Mono, u64)) {
        if let Ok(i) = self.sorted.binary_search(entry) {
            self.sorted.remove(i);
        }
        self.see_first();
    }
}
