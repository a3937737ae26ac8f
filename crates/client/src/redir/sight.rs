//! What one get shows of a tree node: the entries that belong there, in the order of their ids.
//!
//! What is not an entry, or belongs into another node, is skipped and counted: anybody can put anything under a node's key.

use std::time::Duration;

use crate::key::Key;
use crate::redir::entry::Endpoint;
use crate::redir::tree::{Tree, TreeNode};
use crate::redir::walk::Found;

/// One member's entry in a node.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) member: Endpoint,
    /// Which cell of the node encloses it.
    pub(super) cell: u16,
    /// What is left of the entry's life.
    pub(super) remaining: Duration,
}

/// A node's entries, in the order of their ids.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    pub(super) entries: Vec<Seen>,
    /// Values that were no entries of this node.
    pub(super) skipped: u32,
}

impl Sight {
    pub(super) fn of(tree: &Tree, node: &TreeNode, found: &[Found]) -> Sight {
        let mut entries: Vec<Seen> = Vec::with_capacity(found.len());
        let mut skipped = 0;
        for value in found.iter().take(tree.values_max()) {
            let seen = tree.form().decode(&value.bytes).and_then(|member| {
                let (home, cell) = tree.place(node.level, member.id());
                (home == *node).then_some(Seen { member, cell, remaining: value.remaining })
            });
            match seen {
                Some(seen) => entries.push(seen),
                None => skipped += 1,
            }
        }
        entries.sort_by(|a, b| a.member.cmp(&b.member));
        entries.dedup_by(|a, b| a.member == b.member);
        Sight { entries, skipped }
    }

    /// The place of the first entry at or after `key`.
    pub(super) fn first_from(&self, key: &Key) -> Option<usize> {
        let at = self.entries.partition_point(|seen| seen.member.id() < key);
        (at < self.entries.len()).then_some(at)
    }

    /// Whether an entry is the first of its cell.
    pub(super) fn leads_cell(&self, at: usize) -> bool {
        at == 0 || self.entries[at - 1].cell != self.entries[at].cell
    }

    /// Where `me` stands among the others of this node, of which those that end within `horizon` do not count against it.
    pub(super) fn standing(&self, me: &Endpoint, cell: u16, horizon: Duration) -> Standing {
        let others = || self.entries.iter().filter(|seen| seen.member != *me);
        let lasting = || others().filter(|seen| seen.remaining >= horizon);
        let in_cell: Vec<&Seen> = others().filter(|seen| seen.cell == cell).collect();
        let lasting_in_cell = || lasting().filter(|seen| seen.cell == cell);
        Standing {
            present: self.entries.iter().any(|seen| seen.member == *me),
            node_extreme: is_extreme(me, lasting()),
            belongs: lasting_in_cell().count() < 2 || is_extreme(me, lasting_in_cell()),
            separable: in_cell.iter().any(|seen| seen.member.id() != me.id()),
            rival: match in_cell.as_slice() {
                [one] => Some((*one).clone()),
                _ => None,
            },
            rivals: in_cell.len(),
        }
    }
}

fn is_extreme<'a>(me: &Endpoint, others: impl Iterator<Item = &'a Seen>) -> bool {
    let (mut lowest, mut highest) = (true, true);
    for other in others {
        lowest &= *me < other.member;
        highest &= *me > other.member;
    }
    lowest || highest
}

/// Where a member stands in a node, its own entry left out.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    /// Whether its entry is there already.
    pub(super) present: bool,
    /// Whether it is the lowest or the highest of the node.
    pub(super) node_extreme: bool,
    /// Whether its entry belongs here: fewer than two others in its cell, or it is the lowest or the highest there.
    pub(super) belongs: bool,
    /// How many others share its cell.
    pub(super) rivals: usize,
    /// The one that shares its cell, if it is only one.
    pub(super) rival: Option<Seen>,
    /// Whether one of them has another id, so that a level further down may part them.
    pub(super) separable: bool,
}
