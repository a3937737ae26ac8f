//! The shares of a node, kept: the arcs side by side, and the holders of all of them in one list.
//!
//! ```text
//!   arcs     [ a0 ][ a1 ][ a2 ] ...          asked in every turn that touches a key
//!   ends      2     5     8                  where in `peers` the holders of each end
//!   peers    [ p p ][ p p p ][ p p p ] ...   read once in a round
//! ```
//!
//! As [`Share`]s, each with a list of its own, they would take half as much memory again, in each of a million nodes.

use alloc::vec::Vec;

use crate::id::Id;
use crate::keyspace::Arc;
use crate::overlay::Share;
use crate::peer::Peer;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shares {
    arcs: Vec<Arc>,
    ends: Vec<u32>,
    peers: Vec<Peer>,
}

impl Shares {
    /// These shares.
    #[must_use]
    pub fn new(shares: &[Share]) -> Shares {
        let mut end = 0;
        Shares {
            arcs: shares.iter().map(|share| share.arc).collect(),
            ends: shares
                .iter()
                .map(|share| {
                    end += share.peers.len() as u32;
                    end
                })
                .collect(),
            peers: {
                let mut peers = Vec::with_capacity(shares.iter().map(|share| share.peers.len()).sum());
                peers.extend(shares.iter().flat_map(|share| &share.peers).cloned());
                peers
            },
        }
    }

    /// Whether they are these, in this order.
    #[must_use]
    pub fn are(&self, shares: &[Share]) -> bool {
        let theirs = shares.iter().map(|share| (&share.arc, &share.peers[..]));
        self.iter().eq(theirs)
    }

    /// The arcs.
    #[must_use]
    pub fn arcs(&self) -> &[Arc] {
        &self.arcs
    }

    /// The arc that a key lies in.
    #[must_use]
    pub fn arc_of(&self, key: &Id) -> Option<&Arc> {
        self.arcs.iter().find(|arc| arc.contains(key))
    }

    /// Each arc and its holders, root first.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc, &[Peer])> {
        let begins = core::iter::once(&0).chain(&self.ends);
        let holders = begins.zip(&self.ends).map(|(from, to)| &self.peers[*from as usize..*to as usize]);
        self.arcs.iter().zip(holders)
    }

    /// As the overlay gave them.
    #[must_use]
    pub fn to_vec(&self) -> Vec<Share> {
        self.iter().map(|(arc, peers)| Share { arc: *arc, peers: peers.to_vec() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Addr;
    use alloc::vec;

    fn share(from: u64, to: u64, holders: &[u64]) -> Share {
        let peer = |n: &u64| Peer::new(Id::from_u64(*n), Addr::loopback(*n as u16));
        Share {
            arc: Arc::new(Id::from_u64(from), Id::from_u64(to)),
            peers: holders.iter().map(peer).collect(),
        }
    }

    #[test]
    fn shares_come_back_as_they_were() {
        let shares = vec![share(1, 5, &[1, 2]), share(5, 9, &[]), share(20, 30, &[2, 3, 1])];
        let kept = Shares::new(&shares);
        assert_eq!(kept.to_vec(), shares);
        assert!(kept.are(&shares) && !kept.are(&shares[..2]) && !Shares::default().are(&shares));
        assert_eq!(kept.arc_of(&Id::from_u64(25)), Some(&shares[2].arc));
        assert_eq!(kept.arc_of(&Id::from_u64(15)), None);
        let mut other = shares;
        other[1].peers = other[0].peers.clone();
        assert!(!kept.are(&other));
    }
}
