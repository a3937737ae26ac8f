//! Listing all members of a tree of variable height: every node that can hold more than its parent shows.
//!
//! A cell with two entries or more is opened: between its lowest and its highest there may be others, one level down. A cell
//! with one entry has one member. Members that come or go meanwhile may be missed or told although they left.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::key::Key;
use crate::redir::entry::Endpoint;
use crate::redir::sight::Sight;
use crate::redir::tree::{Tree, TreeNode};
use crate::redir::walk::{Ask, Found, Step, Walk};

/// Gets that a list takes at most, unless it is told otherwise.
pub const LIST_GETS_MAX: u32 = 10_000;

/// What a list came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// The members, in the order of their ids.
    pub members: Vec<Endpoint>,
    /// Whether the bounds left nobody out.
    pub complete: bool,
    /// Gets that it took.
    pub gets: u32,
    /// Values met that were no entries of their node.
    pub skipped: u32,
}

/// One walk over all members.
#[derive(Clone, Debug)]
pub struct List {
    tree: Tree,
    /// Nodes to be seen, the next one first. At most b a get.
    open: VecDeque<TreeNode>,
    members: BTreeSet<Endpoint>,
    members_max: usize,
    gets: u32,
    gets_max: u32,
    skipped: u32,
}

impl List {
    /// A list of at most `members_max` members, in at most `gets_max` gets.
    #[must_use]
    pub fn new(tree: &Tree, members_max: usize, gets_max: u32) -> List {
        let (root, _) = tree.place(0, &Key([0; 20]));
        List {
            tree: tree.clone(),
            open: VecDeque::from([root]),
            members: BTreeSet::new(),
            members_max,
            gets: 0,
            gets_max,
            skipped: 0,
        }
    }

    fn advance(&mut self) -> Step<Listed> {
        match self.open.front() {
            Some(node) if self.gets < self.gets_max && self.members.len() <= self.members_max => {
                self.gets += 1;
                Step::Ask(Ask::Get { key: self.tree.key(node), values_max: self.tree.values_max() })
            }
            _ => Step::Done(self.ended()),
        }
    }

    fn ended(&self) -> Listed {
        let complete = self.open.is_empty() && self.members.len() <= self.members_max;
        let members = self.members.iter().take(self.members_max).cloned().collect();
        Listed { members, complete, gets: self.gets, skipped: self.skipped }
    }
}

impl Walk for List {
    type Outcome = Listed;

    fn begin(&mut self) -> Step<Listed> {
        self.advance()
    }

    fn on_found(&mut self, found: &[Found]) -> Step<Listed> {
        let Some(node) = self.open.pop_front() else { return Step::Done(self.ended()) };
        let sight = Sight::of(&self.tree, &node, found);
        self.skipped += sight.skipped;
        let mut cells: BTreeMap<u16, usize> = BTreeMap::new();
        for seen in &sight.entries {
            *cells.entry(seen.cell).or_default() += 1;
            self.members.insert(seen.member.clone());
        }
        let crowded = cells.into_iter().filter(|(_, count)| *count > 1);
        self.open.extend(crowded.filter_map(|(cell, _)| self.tree.child(&node, cell)));
        self.advance()
    }

    /// A list puts nothing.
    fn on_stored(&mut self) -> Step<Listed> {
        Step::Done(self.ended())
    }
}
