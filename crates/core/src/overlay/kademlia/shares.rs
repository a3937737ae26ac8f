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

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::order::head;
use super::table::Table;
use crate::id::Id;
use crate::keyspace::Arc;
use crate::keyspace::xor::{self, Subtree};
use crate::overlay::Share;
use crate::peer::Peer;

/// The `n` holders of a key, root first; none if the key is not in the neighborhood's subtree.
pub(super) fn replica_set(table: &Table, key: &Id, n: usize) -> Vec<Peer> {
    if table.is_near(key) { table.holders(key, n).peers().cloned().collect() } else { Vec::new() }
}

/// The arcs for which this node is among the first `n` holders, in order of id.
pub(super) fn shares(table: &Table, n: usize) -> Vec<Share> {
    let mut members: Vec<(u64, &Peer)> =
        table.group().chain([&table.me]).map(|peer| (head(peer.id()), peer)).collect();
    members.sort_unstable_by(|(a, p), (b, q)| a.cmp(b).then_with(|| p.id().cmp(q.id())));
    let own = members.partition_point(|(_, p)| p.id() < table.id());
    let (above, everyone) = (table.depth(), 0..members.len());
    let path = vec![everyone];
    let mut division = Division { members, own, n, above, path, holders: Vec::new(), shares: Vec::new() };
    if n > 0 {
        division.divide(Subtree::around(table.id(), above));
    }
    division.shares
}

/// What can be said of the first holders of all keys in a subtree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    /// They are the same for all of them.
    Same,
    /// They differ.
    Differ,
    /// This node is none of them, whatever their order.
    Without,
}

/// The division of a neighborhood's subtree into shares: a walk over the tree, smaller ids first.
struct Division<'a> {
    /// All of it, this node among them, in order of id, and the first bits of the ids.
    members: Vec<(u64, &'a Peer)>,
    /// Where this node stands in the list.
    own: usize,
    /// Holders of a key.
    n: usize,
    /// Bits of the prefix of the neighborhood.
    above: usize,
    /// Where the members of the subtree at hand stand in the list, and before them those of each subtree around it, the whole
    /// neighborhood first.
    path: Vec<Range<usize>>,
    /// The holders that were found for the subtree at hand, as places in the list.
    holders: Vec<usize>,
    shares: Vec<Share>,
}

impl Division<'_> {
    fn divide(&mut self, tree: Subtree) {
        match self.order(tree) {
            Order::Without => {}
            Order::Same => self.add_share(tree),
            Order::Differ => {
                let inside = self.inside();
                let middle = self.parted(&inside, tree.prefix_len());
                let (low, high) = tree.halves();
                for (half, members) in [(low, inside.start..middle), (high, middle..inside.end)] {
                    self.path.push(members);
                    self.divide(half);
                    self.path.pop();
                }
            }
        }
    }

    /// The members of the subtree at hand.
    fn inside(&self) -> Range<usize> {
        self.path.last().cloned().unwrap_or_default()
    }

    /// Where among `members`, who share all bits before `at`, those begin that have a 1 there.
    fn parted(&self, members: &Range<usize>, at: usize) -> usize {
        let list = &self.members[members.clone()];
        members.start
            + match 1u64.rotate_right(1).checked_shr(at as u32) {
                Some(bit) => list.partition_point(|(head, _)| head & bit == 0),
                None => list.partition_point(|(_, peer)| !xor::bit(peer.id(), at)),
            }
    }

    /// How many bits two members share.
    fn common(&self, a: usize, b: usize) -> usize {
        let ((a, p), (b, q)) = (self.members[a], self.members[b]);
        if a == b { xor::common(p.id(), q.id()) } else { (a ^ b).leading_zeros() as usize }
    }

    /// Finds the first `n` holders of all keys in `tree`.
    fn order(&mut self, tree: Subtree) -> Order {
        self.holders.clear();
        let inside = self.inside();
        if self.is_beaten_by(&inside) {
            return Order::Without;
        }
        if inside.len() > 1 {
            return Order::Differ;
        }
        self.holders.extend(inside);
        // Then those that part from the subtree, the latest first: they stand on both sides of those that go on.
        for fork in (self.above..tree.prefix_len()).rev() {
            if self.holders.len() >= self.n {
                break;
            }
            let (around, own) = (&self.path[fork - self.above], &self.path[fork - self.above + 1]);
            let beside =
                if xor::bit(&tree.first(), fork) { around.start..own.start } else { own.end..around.end };
            if beside.is_empty() {
                continue;
            }
            match self.append(beside, fork, &tree) {
                Order::Same => {}
                other => return other,
            }
        }
        if self.holders.contains(&self.own) { Order::Same } else { Order::Without }
    }

    /// Whether `members`, who come before all others that are not placed yet, leave no room for this node.
    fn is_beaten_by(&self, members: &Range<usize>) -> bool {
        let own = &self.own;
        self.holders.len() + members.len() >= self.n && !members.contains(own) && !self.holders.contains(own)
    }

    /// Appends members that part from `tree` in bit `fork`, nearest first, until there are `n`.
    fn append(&mut self, members: Range<usize>, fork: usize, tree: &Subtree) -> Order {
        if self.holders.len() >= self.n {
            return Order::Same;
        }
        if members.len() == 1 {
            self.holders.push(members.start);
            return Order::Same;
        }
        if self.is_beaten_by(&members) {
            return Order::Without;
        }
        let at = self.common(members.start, members.end - 1);
        if at >= tree.prefix_len() && at <= fork + xor::RESOLUTION_BITS {
            return Order::Differ;
        }
        let middle = self.parted(&members, at);
        let (low, high) = (members.start..middle, middle..members.end);
        let (near, far) = if xor::deciding_bit(&tree.first(), fork, at) { (high, low) } else { (low, high) };
        match self.append(near, fork, tree) {
            Order::Same => self.append(far, fork, tree),
            other => other,
        }
    }

    /// The subtree at hand is a share, or continues the one before it.
    fn add_share(&mut self, tree: Subtree) {
        let holders = self.holders.iter().map(|member| self.members[*member].1);
        match self.shares.last_mut() {
            Some(last) if last.arc.to.next() == tree.first() && holders.clone().eq(&last.peers) => {
                last.arc = Arc::new(last.arc.from, tree.last());
            }
            _ => self.shares.push(Share { arc: tree.arc(), peers: holders.cloned().collect() }),
        }
    }
}
