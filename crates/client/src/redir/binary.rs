//! The binary tree of fixed depth of the first paper (IPTPS 2004), as Bamboo's `RedirClient` had it (4.3).
//!
//! ```text
//!   level 0       [0 ..................................... 2^160)       holds the lowest of each half
//!   level i       2^i partitions, each 2^160 / 2^i wide                  likewise
//!   level L - 1   [        )[        )         ...      [        )       holds everybody
//!
//!   register   from level L-1 upwards: get all, put ours; done where somebody's id is lower than ours, or at level 0
//!   look up    from level L-1 upwards: the smallest id at or after the key; none at level 0: the smallest seen
//!   list       every partition of level L-1
//! ```
//!
//! A partition's key is its lower bound plus SHA-1(namespace) / 2^level, so that a namespace is spread over the network as its
//! members are over the circle. Entries are the six bytes of [`Form::Classic`]; an entry of another partition is skipped.
//!
//! L is a setting of the namespace: all its members and askers must agree on it. One deviation: the Java client looks for ids
//! strictly above the key; here a key's own holder is its successor, as in the tree of variable height.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::failure::ClientError;
use crate::key::{KEY_BYTES, Key};
use crate::redir::entry::{Endpoint, Form};
use crate::redir::list::Listed;
use crate::redir::lookup::LookedUp;
use crate::redir::register::Registered;
use crate::redir::tree::check_namespace;
use crate::redir::walk::{Ask, Found, Step, Walk};

/// Levels unless somebody says otherwise: sixteen members a partition of the last level when there are two thousand.
pub const BINARY_LEVELS_DEFAULT: u16 = 8;
/// Most levels.
pub const BINARY_LEVELS_MAX: u16 = 32;
/// Values asked for of a partition. The last level holds everybody, so there is no small bound as in the tree.
pub const BINARY_VALUES_MAX: usize = 1024;

/// A namespace's binary tree. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BinaryTree {
    namespace_hash: Arc<Key>,
    level_count: u16,
}

impl BinaryTree {
    /// The binary tree of a namespace, of so many levels (1 to [`BINARY_LEVELS_MAX`]).
    ///
    /// # Errors
    /// [`ClientError::Usage`] for a namespace or a number of levels out of bounds.
    pub fn new(namespace: &[u8], level_count: u16) -> Result<BinaryTree, ClientError> {
        check_namespace(namespace)?;
        if !(1..=BINARY_LEVELS_MAX).contains(&level_count) {
            return Err(ClientError::Usage(format!(
                "a binary tree has 1 to {BINARY_LEVELS_MAX} levels, not {level_count}"
            )));
        }
        Ok(BinaryTree { namespace_hash: Arc::new(Key::hash(namespace)), level_count })
    }

    /// How many levels there are.
    #[must_use]
    pub fn level_count(&self) -> u16 {
        self.level_count
    }

    /// The lower bound of the partition of `level` that encloses `id`: its first `level` bits, then zeros.
    #[must_use]
    pub fn partition(&self, level: u16, id: &Key) -> Key {
        let mut low = *id;
        for (at, byte) in low.0.iter_mut().enumerate() {
            let kept = usize::from(level).saturating_sub(8 * at).min(8);
            // Of eight bits the upper `kept` stay.
            *byte &= !(0xffu16 >> kept) as u8;
        }
        low
    }

    /// The key of a partition, given by its lower bound.
    #[must_use]
    pub fn key(&self, level: u16, partition: &Key) -> Key {
        let (bytes, bits) = (usize::from(level / 8), u32::from(level % 8));
        let mut key = *partition;
        for at in bytes..KEY_BYTES {
            let from = at - bytes;
            let above = if from > 0 { self.namespace_hash.0[from - 1] } else { 0 };
            let pair = u16::from_be_bytes([above, self.namespace_hash.0[from]]);
            // The lower bound has no bits where the hash is moved to.
            key.0[at] |= (pair >> bits) as u8;
        }
        key
    }

    fn get(&self, level: u16, id: &Key) -> Ask {
        Ask::Get { key: self.key(level, &self.partition(level, id)), values_max: BINARY_VALUES_MAX }
    }

    /// The entries among `found` that belong into the partition around `id`, and how many do not.
    fn entries(&self, level: u16, id: &Key, found: &[Found]) -> (BTreeSet<Endpoint>, u32) {
        let home = self.partition(level, id);
        let mut skipped = 0;
        let mut entries = BTreeSet::new();
        for value in found.iter().take(BINARY_VALUES_MAX) {
            match Form::Classic.decode(&value.bytes).filter(|m| self.partition(level, m.id()) == home) {
                Some(member) => drop(entries.insert(member)),
                None => skipped += 1,
            }
        }
        (entries, skipped)
    }
}

/// One registration of one member in a binary tree.
#[derive(Clone, Debug)]
pub struct BinaryRegister {
    tree: BinaryTree,
    me: Endpoint,
    entry: Bytes,
    ttl: Duration,
    level: u16,
    is_last: bool,
    so_far: Registered,
}

impl BinaryRegister {
    /// A registration of `me` for `ttl`.
    ///
    /// # Errors
    /// [`ClientError::Usage`] when six bytes cannot say `me`.
    pub fn new(tree: &BinaryTree, me: &Endpoint, ttl: Duration) -> Result<BinaryRegister, ClientError> {
        let level = tree.level_count - 1;
        Ok(BinaryRegister {
            tree: tree.clone(),
            me: me.clone(),
            entry: Form::Classic.encode(me)?,
            ttl,
            level,
            is_last: false,
            so_far: Registered { level, gets: 0, puts: 0, placed: Vec::new(), skipped: 0 },
        })
    }

    fn get(&mut self) -> Step<Registered> {
        self.so_far.gets += 1;
        Step::Ask(self.tree.get(self.level, self.me.id()))
    }
}

impl Walk for BinaryRegister {
    type Outcome = Registered;

    fn begin(&mut self) -> Step<Registered> {
        self.get()
    }

    fn on_found(&mut self, found: &[Found]) -> Step<Registered> {
        let (entries, skipped) = self.tree.entries(self.level, self.me.id(), found);
        self.so_far.skipped += skipped;
        self.so_far.level = self.level;
        self.is_last = self.level == 0 || entries.iter().any(|other| other.id() < self.me.id());
        let key = self.tree.key(self.level, &self.tree.partition(self.level, self.me.id()));
        self.so_far.placed.push(key);
        self.so_far.puts += 1;
        Step::Ask(Ask::Put { key, value: self.entry.clone(), ttl: self.ttl })
    }

    fn on_stored(&mut self) -> Step<Registered> {
        if self.is_last {
            return Step::Done(self.so_far.clone());
        }
        self.level -= 1;
        self.get()
    }
}

/// One lookup of one key in a binary tree.
#[derive(Clone, Debug)]
pub struct BinaryLookup {
    tree: BinaryTree,
    key: Key,
    level: u16,
    smallest: Option<Endpoint>,
    gets: u32,
    skipped: u32,
}

impl BinaryLookup {
    /// A lookup of `key`.
    #[must_use]
    pub fn new(tree: &BinaryTree, key: Key) -> BinaryLookup {
        let level = tree.level_count - 1;
        BinaryLookup { tree: tree.clone(), key, level, smallest: None, gets: 0, skipped: 0 }
    }

    fn get(&mut self) -> Step<LookedUp> {
        self.gets += 1;
        Step::Ask(self.tree.get(self.level, &self.key))
    }

    fn done(&self, successor: Option<Endpoint>) -> Step<LookedUp> {
        Step::Done(LookedUp { successor, level: self.level, gets: self.gets, skipped: self.skipped })
    }
}

impl Walk for BinaryLookup {
    type Outcome = LookedUp;

    fn begin(&mut self) -> Step<LookedUp> {
        self.get()
    }

    fn on_found(&mut self, found: &[Found]) -> Step<LookedUp> {
        let (entries, skipped) = self.tree.entries(self.level, &self.key, found);
        self.skipped += skipped;
        if let Some(successor) = entries.iter().find(|member| *member.id() >= self.key) {
            return self.done(Some(successor.clone()));
        }
        self.smallest = self.smallest.take().into_iter().chain(entries.into_iter().next()).min();
        if self.level == 0 {
            return self.done(self.smallest.clone());
        }
        self.level -= 1;
        self.get()
    }

    /// A lookup puts nothing.
    fn on_stored(&mut self) -> Step<LookedUp> {
        self.done(self.smallest.clone())
    }
}

/// One walk over all members of a binary tree.
#[derive(Clone, Debug)]
pub struct BinaryList {
    tree: BinaryTree,
    /// Partitions of the last level seen.
    gets: u32,
    gets_max: u32,
    members: BTreeSet<Endpoint>,
    members_max: usize,
    skipped: u32,
}

impl BinaryList {
    /// A list of at most `members_max` members, in at most `gets_max` gets.
    #[must_use]
    pub fn new(tree: &BinaryTree, members_max: usize, gets_max: u32) -> BinaryList {
        let tree = tree.clone();
        BinaryList { tree, gets: 0, gets_max, members: BTreeSet::new(), members_max, skipped: 0 }
    }

    /// An id in partition `index` of the last level, whose number fits the id's first 32 bits.
    fn inside(&self, index: u32) -> Key {
        let mut id = Key([0; KEY_BYTES]);
        let shift = 32 - u32::from(self.tree.level_count - 1);
        let head = index.checked_shl(shift).unwrap_or(0);
        id.0[..4].copy_from_slice(&head.to_be_bytes());
        id
    }

    fn partition_count(&self) -> u32 {
        1 << (self.tree.level_count - 1)
    }

    fn advance(&mut self) -> Step<Listed> {
        let may_ask = self.gets < self.gets_max && self.members.len() <= self.members_max;
        if self.gets == self.partition_count() || !may_ask {
            return Step::Done(self.ended());
        }
        let ask = self.tree.get(self.tree.level_count - 1, &self.inside(self.gets));
        self.gets += 1;
        Step::Ask(ask)
    }

    fn ended(&self) -> Listed {
        let complete = self.gets == self.partition_count() && self.members.len() <= self.members_max;
        let members = self.members.iter().take(self.members_max).cloned().collect();
        Listed { members, complete, gets: self.gets, skipped: self.skipped }
    }
}

impl Walk for BinaryList {
    type Outcome = Listed;

    fn begin(&mut self) -> Step<Listed> {
        self.advance()
    }

    fn on_found(&mut self, found: &[Found]) -> Step<Listed> {
        let at = self.inside(self.gets.saturating_sub(1));
        let (entries, skipped) = self.tree.entries(self.tree.level_count - 1, &at, found);
        self.skipped += skipped;
        self.members.extend(entries);
        self.advance()
    }

    /// A list puts nothing.
    fn on_stored(&mut self) -> Step<Listed> {
        Step::Done(self.ended())
    }
}
