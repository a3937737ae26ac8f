//! The truth: who is a member, and who is therefore the root of a key.
//!
//! A node is a member from the completion of its join until its crash, or until it is asked to leave. While it leaves, an
//! answer that names it and one that does not are both right.
//!
//! Geometry is a question to the overlay's name: all overlays of today place keys on the ring.

use std::collections::{BTreeMap, BTreeSet};

use keyway_core::Id;

/// How keys are placed on members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Geometry {
    /// The root is the first member at or after the key, clockwise; replicas are the members that follow.
    Ring,
}

impl Geometry {
    /// The geometry of an overlay. The ring is the default, for a newcomer is likely to begin there.
    #[must_use]
    pub fn of(_overlay: &str) -> Geometry {
        Geometry::Ring
    }
}

/// Knows all members.
#[derive(Clone, Debug)]
pub struct Oracle {
    geometry: Geometry,
    members: BTreeMap<Id, usize>,
    leaving: BTreeSet<Id>,
}

impl Oracle {
    /// Nobody is a member yet.
    #[must_use]
    pub fn new(overlay: &str) -> Oracle {
        Oracle { geometry: Geometry::of(overlay), members: BTreeMap::new(), leaving: BTreeSet::new() }
    }

    /// A node has completed its join.
    pub fn joined(&mut self, id: Id, host: usize) {
        self.members.insert(id, host);
        self.leaving.remove(&id);
    }

    /// A node was asked to leave.
    pub fn leaves(&mut self, id: Id) {
        if self.members.contains_key(&id) {
            self.leaving.insert(id);
        }
    }

    /// A node crashed, or has left.
    pub fn gone(&mut self, id: &Id) {
        self.members.remove(id);
        self.leaving.remove(id);
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is a member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Members in order of id, with their hosts.
    pub fn members(&self) -> impl DoubleEndedIterator<Item = (&Id, usize)> {
        self.members.iter().map(|(id, &host)| (id, host))
    }

    /// The host of a member.
    #[must_use]
    pub fn host(&self, id: &Id) -> Option<usize> {
        self.members.get(id).copied()
    }

    /// Members from the root of `key` on, in the order in which replicas are placed.
    fn clockwise_of<'a>(&'a self, key: &Id) -> impl Iterator<Item = (&'a Id, usize)> {
        match self.geometry {
            Geometry::Ring => {
                let (after, before) = (self.members.range(key..), self.members.range(..key));
                after.chain(before).map(|(id, &host)| (id, host))
            }
        }
    }

    /// The root of a key; while it leaves also the one that follows it.
    #[must_use]
    pub fn roots(&self, key: &Id) -> Vec<usize> {
        let mut roots = Vec::with_capacity(1);
        for (id, host) in self.clockwise_of(key) {
            roots.push(host);
            if !self.leaving.contains(id) {
                break;
            }
        }
        roots
    }

    /// The hosts that should hold a key, root first.
    #[must_use]
    pub fn replicas(&self, key: &Id, n: usize) -> Vec<usize> {
        self.clockwise_of(key)
            .filter(|(id, _)| !self.leaving.contains(*id))
            .take(n)
            .map(|(_, host)| host)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oracle(ids: &[u64]) -> Oracle {
        let mut oracle = Oracle::new("");
        ids.iter().enumerate().for_each(|(host, &id)| oracle.joined(Id::from_u64(id), host));
        oracle
    }

    #[test]
    fn the_successor_is_the_root_and_the_ring_wraps() {
        let oracle = oracle(&[10, 20, 30]);
        assert_eq!(oracle.roots(&Id::from_u64(10)), [0]);
        assert_eq!(oracle.roots(&Id::from_u64(11)), [1]);
        assert_eq!(oracle.roots(&Id::from_u64(31)), [0]);
        assert_eq!(oracle.replicas(&Id::from_u64(25), 2), [2, 0]);
        assert_eq!(oracle.replicas(&Id::from_u64(25), 9).len(), 3);
    }

    #[test]
    fn a_leaving_root_may_be_named_or_not() {
        let mut oracle = oracle(&[10, 20, 30]);
        oracle.leaves(Id::from_u64(20));
        assert_eq!(oracle.roots(&Id::from_u64(15)), [1, 2]);
        assert_eq!(oracle.replicas(&Id::from_u64(15), 2), [2, 0]);
        oracle.gone(&Id::from_u64(20));
        assert_eq!(oracle.roots(&Id::from_u64(15)), [2]);
    }
}
