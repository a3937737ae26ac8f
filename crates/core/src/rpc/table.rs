//! The tables of [`Rpc`](super::Rpc): small when few entries stand in them, as in nearly all nodes at nearly all times.
//!
//! A node in a quiet network has one or two calls under way and knows a few dozen peers. Trees would take an allocation
//! for each of them and a cache line for each level; sorted lists take one to three allocations in all, and a search reads two or
//! three lines. Insertion moves what follows: sixteen bytes for each call under way, which stays below the cost of an
//! allocation up to thousands of them.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::{KNOWN_MAX, Known};
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

/// Suspects that are remembered before others.
const SUSPECTS_KEPT: usize = 32;
/// How many entries a table of peers grows by: doubling would leave half of it empty in each of a million nodes.
const GROWTH: usize = 4;

/// Known peers by id.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    /// In order of id: its first 24 bits, and in the lowest eight the place in `entries`. A search reads this alone until it
    /// has found its place, and a newcomer moves nothing else.
    order: Vec<u32>,
    entries: Vec<Known>,
    /// When each entry was heard last, apart: who was heard longest ago is looked for through all of them.
    heard: Vec<Mono>,
    /// The entry found last: a frame's sender is looked up more than once.
    last: u8,
}

const _: () = assert!(KNOWN_MAX <= 1 << PLACE_BITS);

/// The bits of an entry of `order` that say where the peer stands.
const PLACE_BITS: u32 = 8;

/// The first bits of an id, where `order` has them.
fn head(id: &Id) -> u32 {
    let mut first = [0; 4];
    first.copy_from_slice(&id.as_bytes()[..4]);
    u32::from_be_bytes(first) >> PLACE_BITS << PLACE_BITS
}

const fn place(entry: u32) -> usize {
    (entry & ((1 << PLACE_BITS) - 1)) as usize
}

impl Peers {
    pub(super) const fn new() -> Peers {
        Peers { order: Vec::new(), entries: Vec::new(), heard: Vec::new(), last: 0 }
    }

    /// The place in `entries`, or where in `order` the peer would stand.
    fn find(&self, id: &Id) -> Result<usize, usize> {
        let head = head(id);
        let order = &self.order[..];
        // Ids are spread evenly, so the place can be guessed: halving would read four lines that are far from each other,
        // this reads one or two. A crowd of ids that begin alike costs a walk along the list, which is bounded.
        let mut i = ((u64::from(head) * order.len() as u64) >> 32) as usize;
        while i > 0 && order[i - 1] >= head {
            i -= 1;
        }
        while order.get(i).is_some_and(|entry| *entry < head) {
            i += 1;
        }
        while let Some(entry) = order.get(i)
            && entry >> PLACE_BITS == head >> PLACE_BITS
        {
            // Ids that begin alike stand in their own order.
            match self.entries[place(*entry)].peer.id().cmp(id) {
                core::cmp::Ordering::Less => i += 1,
                core::cmp::Ordering::Equal => return Ok(place(*entry)),
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
        let last = usize::from(self.last);
        if self.entries.get(last).is_none_or(|known| known.peer.id() != id) {
            self.last = self.find(id).ok()? as u8;
        }
        self.entries.get_mut(usize::from(self.last))
    }

    /// When a peer was heard last.
    pub(super) fn heard(&self, id: &Id) -> Option<Mono> {
        self.find(id).ok().map(|i| self.heard[i])
    }

    /// The peer found last has been heard.
    pub(super) fn hear(&mut self, now: Mono) {
        if let Some(heard) = self.heard.get_mut(usize::from(self.last)) {
            *heard = now;
        }
    }

    /// Adds a peer that is not here yet, in the place of the one heard longest ago if there are [`KNOWN_MAX`].
    pub(super) fn insert(&mut self, known: Known, now: Mono) {
        if self.find(known.peer.id()).is_ok() {
            return;
        }
        let head = head(known.peer.id());
        let place = if self.entries.len() < KNOWN_MAX { self.entries.len() } else { self.forget_oldest() };
        let Err(i) = self.find(known.peer.id()) else { return };
        if place == self.entries.len() {
            if place == self.entries.capacity() {
                self.entries.reserve_exact(GROWTH);
                self.heard.reserve_exact(GROWTH);
                self.order.reserve_exact(GROWTH);
            }
            self.entries.push(known);
            self.heard.push(now);
        } else {
            (self.entries[place], self.heard[place]) = (known, now);
        }
        self.order.insert(i, head | place as u32);
        self.last = place as u8;
    }

    /// Takes the peer heard longest ago out of `order`; its place is free then. Suspects stay longer, unless they are many: forgotten, and
    /// believed as strangers when they speak.
    fn forget_oldest(&mut self) -> usize {
        let few = self.entries.iter().filter(|known| known.suspect).count() <= SUSPECTS_KEPT;
        let rank = |place: usize| (few && self.entries[place].suspect, self.heard[place]);
        let oldest = (0..self.order.len()).min_by_key(|i| rank(place(self.order[*i])));
        oldest.map_or(0, |i| place(self.order.remove(i)))
    }

    /// In order of id.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.order.iter().map(|entry| &self.entries[place(*entry)])
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use super::*;
    use crate::peer::{Addr, Peer};
    use crate::rng::Rng;
    use crate::rpc::Estimate;

    /// Against a map: strangers come and push out who was heard longest ago, many of them with ids that begin alike.
    #[test]
    fn known_peers_behave_as_a_map_that_forgets_the_oldest() {
        let mut rng = Rng::from_u64(1);
        let (mut peers, mut map) = (Peers::new(), BTreeMap::new());
        for step in 0..5_000u64 {
            let mut id = [0; 20];
            // 40 beginnings, some of which differ only behind the bits that are in `order`.
            id[0] = rng.below(10) as u8 * 25;
            id[3] = rng.below(4) as u8;
            id[19] = rng.below(12) as u8;
            let (id, now) = (Id(id), Mono(step));
            assert_eq!(peers.heard(&id), map.get(&id).map(|(heard, _)| *heard));
            if let Some(known) = peers.get_mut(&id) {
                assert_eq!(known.incarnation, map[&id].1);
                peers.hear(now);
                map.get_mut(&id).unwrap().0 = now;
            } else {
                assert!(!map.contains_key(&id));
                if map.len() == KNOWN_MAX {
                    let oldest = *map.iter().min_by_key(|(_, (heard, _))| *heard).unwrap().0;
                    map.remove(&oldest);
                }
                let peer = Peer::new(id, Addr::loopback(1));
                let quick = Estimate::default();
                let known = Known { quick, disk: None, incarnation: step, peer, suspect: false };
                peers.insert(known, now);
                map.insert(id, (now, step));
            }
            assert_eq!(peers.len(), map.len());
        }
        assert!(peers.iter().map(|k| k.peer.id()).eq(map.keys()), "in order of id");
        assert_eq!(map.len(), KNOWN_MAX);
    }
}
