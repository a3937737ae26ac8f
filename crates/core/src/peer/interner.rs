//! One copy of each peer for all who share a driver: a million simulated nodes whose tables name each other.
//!
//! ```text
//!   bytes ──▶ Peer::decode ──▶ Interner::peer(id, addr, label) ──▶ met before: the same allocation once more
//!                                                              └─▶ new: kept for the next time
//! ```
//!
//! Sharing changes nothing that can be seen, only memory and caches: a peer without an interner, or one that a crowd of alike ids has
//! crowded out, is an allocation of its own and equal to the others. So nothing depends on what is kept here, and bounds are
//! simple: a search looks at [`WINDOW`] places, and the table grows only for peers that somebody besides it holds.

use alloc::vec::Vec;
use core::cell::RefCell;

use super::{Addr, Peer};
use crate::id::Id;

/// Places that a search looks at. At half load a peer is crowded out of all of them once in thousands of times.
const WINDOW: usize = 16;
/// Places of a table in use, at least.
const PLACES_MIN: usize = 64;

/// See the module. The default is empty and takes no memory until somebody is met.
#[derive(Debug, Default)]
pub struct Interner {
    places: RefCell<Places>,
}

/// As many as a power of two, and [`WINDOW`] more, so that no search wraps.
#[derive(Debug, Default)]
struct Places {
    peers: Vec<Option<Peer>>,
    /// Of each peer some bits of its id, zero where nobody stands: whoever only stands in the way is passed without a look at
    /// what it is, which lies elsewhere in memory.
    tags: Vec<u16>,
    taken: usize,
}

/// Where the search for an id begins, in a table of so many places. Ids are hashes: their last bits are as good as any.
fn begin(id: &Id, places: usize) -> usize {
    let mut last = [0; 8];
    last.copy_from_slice(&id.as_bytes()[12..]);
    u64::from_be_bytes(last) as usize & (places - 1)
}

/// Never zero.
fn tag(id: &Id) -> u16 {
    u16::from_be_bytes([id.as_bytes()[10], id.as_bytes()[11]]) | 1
}

fn is(peer: &Peer, id: &Id, addr: Addr, label: &[u8]) -> bool {
    // Nearly all have none, and two slices would be compared by a call.
    let labels = || if label.is_empty() { peer.is_plain() } else { peer.label() == label };
    peer.id() == id && peer.addr() == addr && labels()
}

impl Interner {
    /// The peer of these facts.
    #[must_use]
    pub fn peer(&self, id: &Id, addr: Addr, label: &[u8]) -> Peer {
        let mut places = self.places.borrow_mut();
        if let Ok(peer) = places.find(id, addr, label) {
            return peer.clone();
        }
        let peer = Peer::new(*id, addr).with_label(label);
        places.keep(&peer);
        peer
    }

    /// A peer that is held already is given to those who meet it from now on.
    pub fn meet(&self, peer: &Peer) {
        let mut places = self.places.borrow_mut();
        if places.find(peer.id(), peer.addr(), peer.label()).is_err() {
            places.keep(peer);
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.places.borrow().taken
    }
}

impl Places {
    /// Who is that, or the free place that is nearest to where it should stand.
    fn find(&self, id: &Id, addr: Addr, label: &[u8]) -> Result<&Peer, Option<usize>> {
        let size = self.tags.len().saturating_sub(WINDOW);
        if size == 0 {
            return Err(None);
        }
        let (first, wanted) = (begin(id, size), tag(id));
        for (at, tag) in self.tags.iter().enumerate().skip(first).take(WINDOW) {
            // Nobody is ever taken out alone, so behind a free place stands nobody who belongs before it.
            if *tag == 0 {
                return Err(Some(at));
            }
            if *tag == wanted
                && let Some(peer) = self.peers[at].as_ref().filter(|peer| is(peer, id, addr, label))
            {
                return Ok(peer);
            }
        }
        Err(None)
    }

    fn keep(&mut self, peer: &Peer) {
        if 2 * (self.taken + 1) > self.tags.len().saturating_sub(WINDOW) {
            self.make_room();
        }
        self.take(peer);
    }

    /// Forgets whom nobody else holds; grows if that were few.
    fn make_room(&mut self) {
        let held: Vec<Peer> =
            core::mem::take(self).peers.into_iter().flatten().filter(Peer::is_shared).collect();
        let size = (4 * held.len()).next_power_of_two().max(PLACES_MIN);
        self.peers.resize(size + WINDOW, None);
        self.tags.resize(size + WINDOW, 0);
        held.iter().for_each(|peer| self.take(peer));
    }

    /// Gives a peer its place, unless it has one or finds none.
    fn take(&mut self, peer: &Peer) {
        if let Err(Some(at)) = self.find(peer.id(), peer.addr(), peer.label()) {
            (self.peers[at], self.tags[at]) = (Some(peer.clone()), tag(peer.id()));
            self.taken += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(n: u32) -> Addr {
        Addr::simulated(n)
    }

    #[test]
    fn who_is_met_again_is_the_same_allocation() {
        let interner = Interner::default();
        let id = Id::from_u64(7);
        let first = interner.peer(&id, addr(1), b"");
        assert!(first.is_same(&interner.peer(&id, addr(1), b"")));
        for other in [interner.peer(&id, addr(2), b""), interner.peer(&id, addr(1), b"zone")] {
            assert_ne!(other, first);
        }
        let held = Peer::new(Id::from_u64(8), addr(3));
        interner.meet(&held);
        assert!(held.is_same(&interner.peer(held.id(), held.addr(), b"")));
    }

    #[test]
    fn it_keeps_those_whom_others_hold_and_not_many_more() {
        let interner = Interner::default();
        let held: Vec<Peer> =
            (0..1_000u32).map(|n| interner.peer(&Id::from_u64(u64::from(n)), addr(n), b"")).collect();
        for n in 1_000..100_000u32 {
            let _passes = interner.peer(&Id::from_u64(u64::from(n)), addr(n), b"");
        }
        assert!(interner.len() <= 2 * 4 * held.len(), "{}", interner.len());
        for peer in &held {
            assert!(peer.is_same(&interner.peer(peer.id(), peer.addr(), b"")));
        }
    }

    /// Random ids push each other out of their first places.
    #[test]
    fn who_stands_beside_its_place_is_found_there() {
        let (interner, mut rng) = (Interner::default(), crate::rng::Rng::from_u64(1));
        let held: Vec<Peer> = (0..2_000).map(|n| interner.peer(&rng.id(), addr(n), b"")).collect();
        let beside = {
            let places = interner.places.borrow();
            let begins = |peer: &Peer| begin(peer.id(), places.peers.len() - WINDOW);
            (0..places.peers.len())
                .filter(|at| places.peers[*at].as_ref().is_some_and(|p| begins(p) != *at))
                .count()
        };
        assert!(beside > 100, "{beside}");
        let found = |peer: &&Peer| peer.is_same(&interner.peer(peer.id(), peer.addr(), b""));
        assert_eq!(held.iter().filter(found).count(), held.len());
    }

    #[test]
    fn a_crowd_of_alike_ids_is_served_and_not_kept() {
        let interner = Interner::default();
        let crowd: Vec<Peer> = (0..1_000u64)
            .map(|n| {
                let mut id = Id::ZERO;
                id.0[..8].copy_from_slice(&n.to_be_bytes());
                interner.peer(&id, addr(1), b"")
            })
            .collect();
        assert!(interner.len() <= WINDOW);
        // Those that were kept have one place and one tag, and each is found as itself.
        let found = |peer: &&Peer| peer.is_same(&interner.peer(peer.id(), peer.addr(), b""));
        assert_eq!(crowd.iter().filter(found).count(), interner.len());
        assert!(crowd.iter().zip(0u64..).all(|(peer, n)| peer.id().as_bytes()[..8] == n.to_be_bytes()));
    }
}
