//! The finger table, distinct entries only.
//!
//! Finger k is the first node at or after `me + 2^k`. Cut the ring, seen from the node, into octaves `[2^j, 2^(j+1))`:
//! each distinct finger is the *first node of an octave that is not empty*, and the fingers of empty octaves are those of the
//! next one. So the table keeps at most one peer an octave, sorted by distance, and of those only the octaves that
//! begin beyond the successor list, which knows better up to its end. About log2(N) - log2(r) peers instead of 160.

use alloc::format;
use alloc::vec::Vec;

use crate::id::{ID_BITS, Id};
use crate::overlay::Violation;
use crate::peer::Peer;

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Fingers {
    peers: Vec<Peer>,
}

/// The octave of a clockwise distance: `j` with `2^j <= distance < 2^(j+1)`; none for the node itself.
pub(super) fn octave(distance: &Id) -> Option<usize> {
    (ID_BITS - 1).checked_sub(distance.leading_zeros() as usize)
}

/// Where finger `k` of `me` ideally stands.
pub(super) fn start(me: &Id, k: usize) -> Id {
    me.wrapping_add(&Id::pow2(k))
}

impl Fingers {
    /// By distance, nearest first.
    pub(super) fn peers(&self) -> &[Peer] {
        &self.peers
    }

    /// Finger `k`: the first peer at distance `2^k` or more.
    pub(super) fn finger(&self, me: &Id, k: usize) -> Option<&Peer> {
        self.peers.iter().find(|p| octave(&p.id().wrapping_sub(me)).is_some_and(|o| o >= k))
    }

    /// Takes `peer` as the verified finger `k`: whatever stood between `me + 2^k` and it is not a node any more, and whoever
    /// shares its octave behind it is not a finger.
    pub(super) fn set(&mut self, me: &Id, k: usize, peer: &Peer) {
        let distance = peer.id().wrapping_sub(me);
        let Some(own) = octave(&distance).filter(|o| *o >= k) else {
            return self.clear_from(me, k);
        };
        let first = Id::pow2(k);
        self.peers.retain(|p| {
            let d = p.id().wrapping_sub(me);
            d < first || d > distance && octave(&d) != Some(own)
        });
        let at = self.peers.partition_point(|p| p.id().wrapping_sub(me) < distance);
        // Fingers come and go one at a time, and rarely: no room is kept for more of them.
        self.peers.reserve_exact(1);
        self.peers.insert(at, peer.clone());
    }

    /// There is no node at distance `2^k` or more.
    pub(super) fn clear_from(&mut self, me: &Id, k: usize) {
        let first = Id::pow2(k);
        self.peers.retain(|p| p.id().wrapping_sub(me) < first);
    }

    /// Forgets what the successor list knows better: the octaves that begin at or before its `last` entry.
    pub(super) fn prune(&mut self, me: &Id, last: &Id) {
        let reach = octave(&last.wrapping_sub(me));
        self.peers.retain(|p| octave(&p.id().wrapping_sub(me)) > reach);
    }

    /// Forgets one peer. True if it was there.
    pub(super) fn remove(&mut self, peer: &Peer) -> bool {
        let before = self.peers.len();
        self.peers.retain(|p| p != peer);
        self.peers.len() != before
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.peers = Vec::new();
    }

    /// At most one an octave, in order.
    pub(super) fn check(&self, me: &Id) -> Result<(), Violation> {
        let mut last = None;
        for p in &self.peers {
            let o = octave(&p.id().wrapping_sub(me));
            if o.is_none() || o <= last {
                return Err(Violation::new(
                    "chord: one finger an octave, in order",
                    format!("{:?}", self.peers),
                ));
            }
            last = o;
        }
        Ok(())
    }
}
