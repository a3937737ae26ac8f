//! The tables of [`Rpc`](super::Rpc): small when few entries stand in them, as in nearly all nodes at nearly all times.
//!
//! A node in a quiet network has one or two calls under way and knows a few dozen peers. Trees would take an allocation
//! for each of them and a cache line for each level; sorted lists take one allocation in all, and a search reads two or
//! three lines. Insertion moves what follows: sixteen bytes for each call under way, which stays below the cost of an
//! allocation up to thousands of them.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::Known;
use crate::id::Id;
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
pub(super) struct Deadlines {
    sorted: VecDeque<(Mono, u64)>,
}

impl Deadlines {
    pub(super) const fn new() -> Deadlines {
        Deadlines { sorted: VecDeque::new() }
    }

    pub(super) fn first(&self) -> Option<&(Mono, u64)> {
        self.sorted.front()
    }

    /// Takes the first if its time has come.
    pub(super) fn pop_due(&mut self, now: Mono) -> Option<(Mono, u64)> {
        if self.sorted.front()?.0 > now {
            return None;
        }
        self.sorted.pop_front()
    }

    pub(super) fn insert(&mut self, entry: (Mono, u64)) {
        let i = self.sorted.partition_point(|e| *e < entry);
        self.sorted.insert(i, entry);
    }

    pub(super) fn remove(&mut self, entry: &(Mono, u64)) {
        if let Ok(i) = self.sorted.binary_search(entry) {
            self.sorted.remove(i);
        }
    }
}

/// How many entries a table of peers grows by: doubling would leave half of it empty in each of a million nodes.
const GROWTH: usize = 4;

/// Known peers by id.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    /// The first bytes of the ids, in order: a search reads these alone until it has found its place.
    heads: Vec<u32>,
    /// In the same order.
    entries: Vec<Known>,
}

fn head(id: &Id) -> u32 {
    let mut first = [0; 4];
    first.copy_from_slice(&id.as_bytes()[..4]);
    u32::from_be_bytes(first)
}

impl Peers {
    pub(super) const fn new() -> Peers {
        Peers { heads: Vec::new(), entries: Vec::new() }
    }

    fn find(&self, id: &Id) -> Result<usize, usize> {
        let head = head(id);
        let heads = &self.heads[..];
        // Ids are spread evenly, so the place can be guessed: halving would read four lines that are far from each other,
        // this reads one or two. A crowd of ids that begin alike costs a walk along the list, which is bounded.
        let mut i = ((u64::from(head) * heads.len() as u64) >> 32) as usize;
        while i > 0 && heads[i - 1] >= head {
            i -= 1;
        }
        while heads.get(i).is_some_and(|h| *h < head) {
            i += 1;
        }
        while self.heads.get(i) == Some(&head) {
            // Ids that begin alike stand in their own order.
            match self.entries[i].peer.id().cmp(id) {
                core::cmp::Ordering::Less => i += 1,
                core::cmp::Ordering::Equal => return Ok(i),
                core::cmp::Ordering::Greater => break,
            }
        }
        Err(i)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, id: &Id) -> Option<&Known> {
        self.find(id).ok().map(|i| &self.entries[i])
    }

    pub(super) fn get_mut(&mut self, id: &Id) -> Option<&mut Known> {
        self.find(id).ok().map(|i| &mut self.entries[i])
    }

    /// Adds a peer that is not here yet.
    pub(super) fn insert(&mut self, known: Known) {
        let Err(i) = self.find(known.peer.id()) else { return };
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(GROWTH);
            self.heads.reserve_exact(GROWTH);
        }
        self.heads.insert(i, head(known.peer.id()));
        self.entries.insert(i, known);
    }

    /// Forgets the peer heard longest ago.
    pub(super) fn forget_oldest(&mut self) {
        if let Some(i) = (0..self.entries.len()).min_by_key(|i| self.entries[*i].heard) {
            self.heads.remove(i);
            self.entries.remove(i);
        }
    }

    /// In order of id.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.entries.iter()
    }
}
