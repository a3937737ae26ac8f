//! Registering a member in a tree of variable height (ReDiR, section 4.2).
//!
//! ```text
//!   seek   get the node of the start level; empty? one level up, and again       level 0 empty: put, done
//!    │
//!   put    if fewer than two others are in our cell, or we are its lowest or highest
//!    │
//!   up     while we are the lowest or highest of the node: level - 1, put, get
//!    │
//!   down   from the start level: others in our cell?
//!            none                    done
//!            one, who does not       expand: put both one level down, and again, until they are in different cells
//!            know of us
//!            else                    level + 1: get, put as above, and again
//! ```
//!
//! What registrations keep up, and lookups rest on: on every level, a member that is the lowest or highest of its cell stands in
//! that cell's node; and every member stands on each level down to the one where it is alone in its cell.
//!
//! Four deviations from redir++:
//!
//! * It puts at the start level whatever it finds there, we only where the entry belongs: otherwise a crowd that joins at once
//!   fills the nodes of level 2 with more entries than a get asks for.
//! * Whether we are the lowest or the highest is judged without entries that end before our next registration: their members
//!   have missed a refresh. Otherwise the place of a dead lowest stays empty from the end of its entry until the next one
//!   registers again; of lookups among clients with a median life of a minute, one in fourteen was wrong for it.
//! * Expanding gives the other's entry no longer life than it had left; a full one would keep the dead alive.
//! * The next registration starts at the topmost level on which we were seen to be alone in our cell, so that a tree whose
//!   members leave becomes lower again.
//!
//! Bounds: a registration visits each level at most twice, and puts at most twice on each.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::failure::ClientError;
use crate::key::Key;
use crate::redir::entry::Endpoint;
use crate::redir::sight::{Seen, Sight, Standing};
use crate::redir::tree::{Tree, TreeNode};
use crate::redir::walk::{Ask, Found, Step, Walk};

/// A living member's refresh may come this part of its period late: twice the jitter.
const HORIZON_PART: u32 = 15;

/// How long entries live, and how often they are put again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refresh {
    /// Life of an entry, in whole seconds, rounded up. Longer than `every`; twice as long survives one refresh that failed.
    pub ttl: Duration,
    /// Time between two registrations; at least a second.
    pub every: Duration,
}

impl Default for Refresh {
    /// Every 30 s for 60 s, as in the paper's measurements (4.5).
    fn default() -> Refresh {
        Refresh { ttl: Duration::from_secs(60), every: Duration::from_secs(30) }
    }
}

impl Refresh {
    /// Entries of others that end within this time do not count against ours: until our next registration, less what living
    /// members may be late.
    fn horizon(&self) -> Duration {
        self.every.saturating_sub(self.every / HORIZON_PART)
    }
}

/// What a registration came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registered {
    /// The level at which the next registration of this member starts.
    pub level: u16,
    /// Gets that it took.
    pub gets: u32,
    /// Puts that it took.
    pub puts: u32,
    /// The keys under which the member's entry was put, each once.
    pub placed: Vec<Key>,
    /// Values met that were no entries of their node.
    pub skipped: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Seek,
    Up,
    Down,
    Last,
}

/// One registration of one member.
#[derive(Clone, Debug)]
pub struct Register {
    tree: Tree,
    me: Endpoint,
    entry: Bytes,
    refresh: Refresh,
    phase: Phase,
    /// The level that the last get asked about.
    level: u16,
    /// Where the upward and the downward walk begin, and how we stand there.
    start: Option<(u16, Standing)>,
    /// The topmost level of the upward walk on which we are alone in our cell, all levels between included.
    alone_from: Option<u16>,
    /// Asked one after another.
    agenda: VecDeque<Ask>,
    so_far: Registered,
}

impl Register {
    /// A registration of `me`, which will be followed by others, beginning at level `start`: [`Registered::level`] of the last one, or
    /// [`LEVEL_FIRST`](crate::redir::LEVEL_FIRST).
    ///
    /// # Errors
    /// [`ClientError::Usage`] when the tree's form cannot say `me`.
    pub fn new(tree: &Tree, me: &Endpoint, refresh: Refresh, start: u16) -> Result<Register, ClientError> {
        let so_far = Registered { level: 0, gets: 0, puts: 0, placed: Vec::new(), skipped: 0 };
        Ok(Register {
            tree: tree.clone(),
            me: me.clone(),
            entry: tree.form().encode(me)?,
            refresh,
            phase: Phase::Seek,
            level: start.min(tree.level_count() - 1),
            start: None,
            alone_from: None,
            agenda: VecDeque::new(),
            so_far,
        })
    }

    fn place(&self, level: u16) -> (TreeNode, u16) {
        self.tree.place(level, self.me.id())
    }

    fn get(&mut self, level: u16) {
        self.level = level;
        let key = self.tree.key(&self.place(level).0);
        self.agenda.push_back(Ask::Get { key, values_max: self.tree.values_max() });
    }

    fn put(&mut self, level: u16) {
        let key = self.tree.key(&self.place(level).0);
        if !self.so_far.placed.contains(&key) {
            self.so_far.placed.push(key);
            self.agenda.push_back(Ask::Put { key, value: self.entry.clone(), ttl: self.refresh.ttl });
        }
    }

    /// Puts the entry of another, who shares our node on this level, for no longer than it has left.
    fn put_other(&mut self, level: u16, other: &Seen) {
        let ttl = other.remaining.min(self.refresh.ttl);
        // Puts live for whole seconds, at least one: what ends sooner is left alone.
        if ttl < Duration::from_secs(1) {
            return;
        }
        if let Ok(value) = self.tree.form().encode(&other.member) {
            let key = self.tree.key(&self.place(level).0);
            self.agenda.push_back(Ask::Put { key, value, ttl });
        }
    }

    /// The next question, or the end.
    fn advance(&mut self) -> Step<Registered> {
        match self.agenda.pop_front() {
            Some(ask) => {
                match ask {
                    Ask::Get { .. } => self.so_far.gets += 1,
                    Ask::Put { .. } => self.so_far.puts += 1,
                }
                Step::Ask(ask)
            }
            None => Step::Done(self.so_far.clone()),
        }
    }

    fn finish(&mut self, level: u16) {
        self.phase = Phase::Last;
        self.so_far.level = level;
    }

    fn on_sought(&mut self, standing: Standing, is_empty: bool) {
        if is_empty && self.level > 0 {
            return self.get(self.level - 1);
        }
        if standing.belongs {
            self.put(self.level);
        }
        self.alone_from = (standing.rivals == 0).then_some(self.level);
        let goes_up = self.level > 0 && standing.node_extreme;
        self.start = Some((self.level, standing));
        if goes_up { self.climb() } else { self.turn() }
    }

    fn climb(&mut self) {
        self.phase = Phase::Up;
        // The lowest and the highest of a node are those of the cell above it.
        self.put(self.level - 1);
        self.get(self.level - 1);
    }

    fn on_climbed(&mut self, standing: &Standing) {
        if standing.rivals == 0 && self.alone_from == Some(self.level + 1) {
            self.alone_from = Some(self.level);
        }
        if self.level > 0 && standing.node_extreme { self.climb() } else { self.turn() }
    }

    /// From the upward to the downward walk.
    fn turn(&mut self) {
        match self.start.take() {
            Some((level, standing)) => self.descend(level, &standing),
            None => self.finish(self.level),
        }
    }

    fn descend(&mut self, level: u16, standing: &Standing) {
        let is_last = level + 1 >= self.tree.level_count();
        if standing.rivals == 0 {
            // On the way down nothing above is news; at the start, the upward walk may have seen us alone further up.
            let from = self.alone_from.filter(|from| *from < level && self.phase != Phase::Down);
            return self.finish(from.unwrap_or(level));
        }
        if is_last || !standing.separable {
            return self.finish(level);
        }
        match &standing.rival {
            Some(rival) if !standing.present => self.expand(level, rival),
            _ => {
                self.phase = Phase::Down;
                self.get(level + 1);
            }
        }
    }

    fn expand(&mut self, level: u16, rival: &Seen) {
        for below in level + 1..self.tree.level_count() {
            self.put(below);
            self.put_other(below, rival);
            let is_parted = self.place(below).1 != self.tree.place(below, rival.member.id()).1;
            if is_parted || below + 1 == self.tree.level_count() {
                return self.finish(below);
            }
        }
    }
}

impl Walk for Register {
    type Outcome = Registered;

    fn begin(&mut self) -> Step<Registered> {
        self.get(self.level);
        self.advance()
    }

    fn on_found(&mut self, found: &[Found]) -> Step<Registered> {
        let (node, cell) = self.place(self.level);
        let sight = Sight::of(&self.tree, &node, found);
        self.so_far.skipped += sight.skipped;
        let standing = sight.standing(&self.me, cell, self.refresh.horizon());
        match self.phase {
            Phase::Seek => self.on_sought(standing, sight.entries.is_empty()),
            Phase::Up => self.on_climbed(&standing),
            Phase::Down => {
                if standing.belongs {
                    self.put(self.level);
                }
                self.descend(self.level, &standing);
            }
            // Nothing was asked.
            Phase::Last => {}
        }
        self.advance()
    }

    fn on_stored(&mut self) -> Step<Registered> {
        self.advance()
    }
}
