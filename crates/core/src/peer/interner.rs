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
use core::cell::{Cell, RefCell};

use super::{Addr, Peer};
use crate::id::Id;

/// Places that a search looks at. At half load a peer is crowded out of all of them once in thousands of times.
const WINDOW: usize = 16;
/// Places of a table in use, at least.
const PLACES_MIN: usize = 64;

/// See the module. The default is empty and takes no memory until somebody is met.
#[derive(Debug, Default)]
pub struct Interner {
    /// As many as a power of two, and [`WINDOW`] more, so that no search wraps.
    places: RefCell<Vec<Option<Peer>>>,
    taken: Cell<usize>,
}

/// Where the search for an id begins, in a table of so many places. Ids are hashes: their last bits are as good as any.
fn begin(id: &Id, places: usize) -> usize {
    let mut last = [0; 8];
    last.copy_from_slice(&id.as_bytes()[12..]);
    u64::from_be_bytes(last) as usize & (places - 1)
}

fn is(peer: &Peer, id: &Id, addr: Addr, label: &[u8]) -> bool {
    peer.id() == id && peer.addr() == addr && peer.label() == label
}

impl Interner {
    /// The peer of these facts.
    #[must_use]
    pub fn peer(&self, id: &Id, addr: Addr, label: &[u8]) -> Peer {
        let mut places = self.places.borrow_mut();
        let found = find(&places, id, addr, label);
        if let Some(peer) = found.ok().and_then(|at| places[at].as_ref()) {
            return peer.clone();
        }
        let peer = Peer::new(*id, addr).with_label(label);
        self.keep(&mut places, &peer);
        peer
    }

    /// A peer that is held already is given to those who meet it from now on.
    pub fn meet(&self, peer: &Peer) {
        let mut places = self.places.borrow_mut();
        if find(&places, peer.id(), peer.addr(), peer.label()).is_err() {
            self.keep(&mut places, peer);
        }
    }

    fn keep(&self, places: &mut Vec<Option<Peer>>, peer: &Peer) {
        if 2 * (self.taken.get() + 1) > places.len().saturating_sub(WINDOW) {
            self.make_room(places);
        }
        if let Err(Some(at)) = find(places, peer.id(), peer.addr(), peer.label()) {
            places[at] = Some(peer.clone());
            self.taken.set(self.taken.get() + 1);
        }
    }

    /// Forgets whom nobody else holds; grows if that were few.
    fn make_room(&self, places: &mut Vec<Option<Peer>>) {
        let held: Vec<Peer> = core::mem::take(places).into_iter().flatten().filter(Peer::is_shared).collect();
        let size = (4 * held.len()).next_power_of_two().max(PLACES_MIN);
        places.resize(size + WINDOW, None);
        self.taken.set(0);
        for peer in held {
            if let Err(Some(at)) = find(places, peer.id(), peer.addr(), peer.label()) {
                places[at] = Some(peer);
                self.taken.set(self.taken.get() + 1);
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.taken.get()
    }
}

/// Where a peer stands, or the free place that is nearest to where it should stand.
fn find(places: &[Option<Peer>], id: &Id, addr: Addr, label: &[u8]) -> Result<usize, Option<usize>> {
    let size = places.len().saturating_sub(WINDOW);
    if size == 0 {
        return Err(None);
    }
    let first = begin(id, size);
    for (at, place) in places.iter().enumerate().skip(first).take(WINDOW) {
        match place {
            // Nobody is ever taken out alone, so behind a free place stands nobody who belongs before it.
            None => return Err(Some(at)),
            Some(peer) if is(peer, id, addr, label) => return Ok(at),
            Some(_) => {}
        }
    }
    Err(None)
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
            let begins = |peer: &Peer| begin(peer.id(), places.len() - WINDOW);
            (0..places.len()).filter(|at| places[*at].as_ref().is_some_and(|p| begins(p) != *at)).count()
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
        assert!(crowd.iter().zip(0u64..).all(|(peer, n)| peer.id().as_bytes()[..8] == n.to_be_bytes()));
    }
}
