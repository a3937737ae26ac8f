//! Placement (section 2.3: "stores the pair on the k closest nodes"): who holds a key, and which arcs this node holds with whom.
//!
//! Both questions are answered from one neighborhood by one rule, the order of [`xor::rank`], so they cannot disagree. A key in the
//! neighborhood's subtree has all its holders in the neighborhood; of other keys this node holds none, and says nothing.
//!
//! ```text
//!   subtree ──▶ is this node beaten by n members everywhere in it?  yes: no share
//!           ──▶ is the order of its first n holders one and the same everywhere in it?  yes: a share, if this node is in it
//!           ──▶ otherwise: both halves
//! ```
//!
//! Neighbouring arcs with the same holders in the same order become one. At most 2^[`xor::RESOLUTION_BITS`] pieces arise for each
//! subtree that is empty beside an inhabited one.

use alloc::vec::Vec;

use crate::id::Id;
use crate::keyspace::Arc;
use crate::keyspace::xor::{self, Subtree};
use crate::overlay::Share;
use crate::peer::Peer;

/// A neighborhood, as one of its members knows it.
pub(super) struct Placement<'a> {
    me: &'a Peer,
    /// All of it, this node among them, in order of id.
    members: Vec<&'a Peer>,
    /// Its subtree.
    region: Subtree,
}

impl<'a> Placement<'a> {
    pub(super) fn new(
        me: &'a Peer,
        others: impl Iterator<Item = &'a Peer>,
        region: Subtree,
    ) -> Placement<'a> {
        let mut members: Vec<&Peer> = others.collect();
        members.push(me);
        members.sort_unstable_by_key(|p| p.id());
        Placement { me, members, region }
    }

    /// The `n` holders of a key, root first; none if the key is not in the neighborhood's subtree.
    pub(super) fn replica_set(&self, key: &Id, n: usize) -> Vec<Peer> {
        if !self.region.contains(key) {
            return Vec::new();
        }
        let mut ranked: Vec<(Id, &Peer)> =
            self.members.iter().map(|p| (xor::rank(key, p.id()), *p)).collect();
        ranked.sort_unstable_by_key(|(rank, _)| *rank);
        ranked.into_iter().take(n).map(|(_, peer)| peer.clone()).collect()
    }

    /// The arcs for which this node is among the first `n` holders, in order of id.
    pub(super) fn shares(&self, n: usize) -> Vec<Share> {
        let mut shares = Vec::new();
        if n > 0 {
            self.divide(self.region, n, &mut shares);
        }
        shares
    }

    fn inside(&self, tree: Subtree) -> &[&'a Peer] {
        let start = self.members.partition_point(|p| *p.id() < tree.first());
        let end = self.members.partition_point(|p| *p.id() <= tree.last());
        &self.members[start..end.max(start)]
    }

    fn divide(&self, tree: Subtree, n: usize, shares: &mut Vec<Share>) {
        let first = tree.first();
        let shared = xor::common(&first, self.me.id());
        // Whoever shares more bits with all keys of the subtree is nearer to each of them.
        if shared < tree.prefix_len() && self.inside(Subtree::around(&first, shared + 1)).len() >= n {
            return;
        }
        match self.holders(tree, n) {
            Some(holders) if holders.contains(&self.me) => {
                let joins = shares
                    .last()
                    .is_some_and(|s| s.arc.to.next() == first && holders.iter().copied().eq(&s.peers));
                if let Some(last) = shares.last_mut().filter(|_| joins) {
                    last.arc = Arc::new(last.arc.from, tree.last());
                } else {
                    let peers = holders.into_iter().cloned().collect();
                    shares.push(Share { arc: tree.arc(), peers });
                }
            }
            Some(_) => {}
            None => {
                let (low, high) = tree.halves();
                self.divide(low, n, shares);
                self.divide(high, n, shares);
            }
        }
    }

    /// The first `n` holders of all keys in `tree`, if they are the same for all of them.
    fn holders(&self, tree: Subtree, n: usize) -> Option<Vec<&'a Peer>> {
        let inside = self.inside(tree);
        if inside.len() > 1 {
            return None;
        }
        let mut holders = inside.to_vec();
        // Then those that part from the subtree, the latest first.
        for fork in (self.region.prefix_len()..tree.prefix_len()).rev() {
            if holders.len() >= n {
                break;
            }
            let beside = self.inside(Subtree::of_bucket(&tree.first(), fork));
            if !order(beside, fork, tree, n, &mut holders) {
                return None;
            }
        }
        Some(holders)
    }
}

/// Appends members that part from `tree` in bit `fork`, nearest first, until there are `n`. False if the keys of `tree` differ
/// about their order.
fn order<'a>(
    members: &[&'a Peer],
    fork: usize,
    tree: Subtree,
    n: usize,
    holders: &mut Vec<&'a Peer>,
) -> bool {
    let (Some(first), Some(last)) = (members.first(), members.last()) else { return true };
    if holders.len() >= n {
        return true;
    }
    if members.len() == 1 {
        holders.push(first);
        return true;
    }
    let at = xor::common(first.id(), last.id());
    if at >= tree.prefix_len() && at <= fork + xor::RESOLUTION_BITS {
        return false;
    }
    let (low, high) = members.split_at(members.partition_point(|p| !xor::bit(p.id(), at)));
    let (near, far) = if xor::deciding_bit(&tree.first(), fork, at) { (high, low) } else { (low, high) };
    order(near, fork, tree, n, holders) && order(far, fork, tree, n, holders)
}
