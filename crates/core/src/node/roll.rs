//! A list of peers without repetition, for lists that are put together from several tables.

use alloc::vec::Vec;

use crate::peer::Peer;

/// Peers in the order in which they came, one for each id.
#[derive(Clone, Debug, Default)]
pub(super) struct Roll<'a> {
    peers: Vec<&'a Peer>,
    /// A part of each id, side by side: looked through first.
    marks: Vec<u64>,
}

impl<'a> Roll<'a> {
    /// How many stand in it.
    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Adds a peer at the end unless one of its id is there.
    pub(super) fn add(&mut self, peer: &'a Peer) {
        let mark = peer.id().fold();
        if !self.marks.contains(&mark) || self.peers.iter().all(|p| p.id() != peer.id()) {
            self.peers.push(peer);
            self.marks.push(mark);
        }
    }

    /// The peers.
    pub(super) fn peers(&self) -> impl Iterator<Item = &'a Peer> {
        self.peers.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;
    use crate::peer::Addr;

    #[test]
    fn the_first_of_an_id_stays_and_ids_that_look_alike_are_told_apart() {
        let peer = |id: Id, port| Peer::new(id, Addr::loopback(port));
        // A mark folds both ends of an id, so what stands between does not show in it.
        let mut alike = [0; 20];
        alike[8..16].copy_from_slice(&[7; 8]);
        let ids = [Id::ZERO, Id(alike)];
        assert_eq!(ids[0].fold(), ids[1].fold());
        let peers: Vec<Peer> = ids.iter().chain(&ids).zip(0..).map(|(id, i)| peer(*id, i)).collect();
        let mut roll = Roll::default();
        peers.iter().for_each(|peer| roll.add(peer));
        assert_eq!(roll.len(), 2);
        assert!(roll.peers().eq([&peer(ids[0], 0), &peer(ids[1], 1)]));
    }
}
