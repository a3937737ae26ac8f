//! Looking up the successor of a key in a tree of variable height (ReDiR, section 4.2).
//!
//! ```text
//!   get the node that encloses the key; x = its first entry at or after the key
//!     no x                         came down with a candidate?   it is the answer: the tree is changing
//!                                  level > 0?                    up
//!                                  level 0                       once round the circle: the smallest entry, if any
//!     x is the first of its cell   it is the answer
//!     else                         the key lies inside x's cell: x becomes the candidate, down
//! ```
//!
//! Why the first of a cell is the answer: the lowest member of a cell stands in its node ([`Register`](super::Register)), so
//! nobody is between the key and it. Once down, a lookup never goes up again: it visits each level at most twice.

use crate::key::Key;
use crate::redir::entry::Endpoint;
use crate::redir::sight::Sight;
use crate::redir::tree::Tree;
use crate::redir::walk::{Ask, Found, Step, Walk};

/// What a lookup came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LookedUp {
    /// The member whose id is the first at or after the key, once round the circle; none if the namespace has no member.
    pub successor: Option<Endpoint>,
    /// The level on which it was found.
    pub level: u16,
    /// Gets that it took.
    pub gets: u32,
    /// Values met that were no entries of their node.
    pub skipped: u32,
}

/// One lookup of one key.
#[derive(Clone, Debug)]
pub struct Lookup {
    tree: Tree,
    key: Key,
    level: u16,
    candidate: Option<Endpoint>,
    gets: u32,
    skipped: u32,
}

impl Lookup {
    /// A lookup of `key` that begins at level `start`: [`Levels::start`](super::Levels::start).
    #[must_use]
    pub fn new(tree: &Tree, key: Key, start: u16) -> Lookup {
        let level = start.min(tree.level_count() - 1);
        Lookup { tree: tree.clone(), key, level, candidate: None, gets: 0, skipped: 0 }
    }

    fn get(&mut self) -> Step<LookedUp> {
        self.gets += 1;
        let (node, _) = self.tree.place(self.level, &self.key);
        Step::Ask(Ask::Get { key: self.tree.key(&node), values_max: self.tree.values_max() })
    }

    fn done(&self, successor: Option<Endpoint>, level: u16) -> Step<LookedUp> {
        Step::Done(LookedUp { successor, level, gets: self.gets, skipped: self.skipped })
    }
}

impl Walk for Lookup {
    type Outcome = LookedUp;

    fn begin(&mut self) -> Step<LookedUp> {
        self.get()
    }

    fn on_found(&mut self, found: &[Found]) -> Step<LookedUp> {
        let (node, _) = self.tree.place(self.level, &self.key);
        let sight = Sight::of(&self.tree, &node, found);
        self.skipped += sight.skipped;
        let member = |at: usize| sight.entries.get(at).map(|seen| seen.member.clone());
        match sight.first_from(&self.key) {
            None if self.candidate.is_some() => self.done(self.candidate.clone(), self.level - 1),
            None if self.level > 0 => {
                self.level -= 1;
                self.get()
            }
            None => self.done(member(0), 0),
            Some(at) if sight.leads_cell(at) || self.level + 1 == self.tree.level_count() => {
                self.done(member(at), self.level)
            }
            Some(at) => {
                self.candidate = member(at);
                self.level += 1;
                self.get()
            }
        }
    }

    /// A lookup puts nothing.
    fn on_stored(&mut self) -> Step<LookedUp> {
        self.done(self.candidate.clone(), self.level)
    }
}
