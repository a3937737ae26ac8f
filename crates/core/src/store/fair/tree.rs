//! A balanced tree that keeps a summary of every subtree: the structure that the paper asks for ("a balanced tree,
//! logarithmic", OpenDHT section 4.1.2), with many entries a node because memory is slow.
//!
//! ```text
//!   inner   [ first key, sum, ─┐ | first key, sum, ─┐ | ... ]       at most WIDTH branches
//!                              ▼                    ▼
//!   leaf               [ entry, entry, ... ]     [ entry, ... ]     at most WIDTH entries, in order of their keys
//! ```
//!
//! What is asked of the sums is written where they are defined ([`super::commitments`], [`super::queues`]); this file only keeps them
//! right.
//!
//! Invariants, whatever order entries come and go in (an adversary chooses the keys): all leaves are equally deep, no node is
//! empty, and of two neighbours below one parent neither is smaller than [`SMALL`] unless both together are larger than
//! [`WIDTH`]. So a node has [`SMALL`] children at least on average, and n entries are O(log n) deep. Every sum is that of its subtree.

use alloc::vec::Vec;
use core::fmt::Debug;
use core::mem;

/// Most entries or branches of a node. Few in tests, so that small trees are deep.
const WIDTH: usize = if cfg!(test) { 8 } else { 32 };
/// A node with fewer is joined with a neighbour if both fit into one.
const SMALL: usize = WIDTH / 4;

/// What a tree holds.
pub(super) trait Entry: Copy + Debug {
    /// Its place; keys are unique.
    type Key: Ord + Copy + Debug;
    /// What is known of a subtree; `join` is associative.
    type Sum: Copy + Debug + Eq;
    /// What sums are computed with, the same for all.
    type Scale: Clone + Debug;

    fn key(&self) -> Self::Key;
    /// The sum of this entry alone.
    fn sum(&self, scale: &Self::Scale) -> Self::Sum;
    /// The sum of two stretches, `left` before `right`.
    fn join(scale: &Self::Scale, left: &Self::Sum, right: &Self::Sum) -> Self::Sum;
    /// Takes in another entry of the same key.
    fn absorb(&mut self, other: &Self);
}

/// A node, as its readers see it.
#[derive(Clone, Debug)]
pub(super) enum Node<E: Entry> {
    Leaf(Vec<E>),
    Inner(Vec<Branch<E>>),
}

/// A node with what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Branch<E: Entry> {
    /// The least key below.
    pub(super) first: E::Key,
    pub(super) sum: E::Sum,
    pub(super) node: Node<E>,
}

/// The tree.
#[derive(Clone, Debug)]
pub(super) struct Tree<E: Entry> {
    root: Option<Branch<E>>,
    len: usize,
    pub(super) scale: E::Scale,
}

impl<E: Entry> Node<E> {
    fn len(&self) -> usize {
        match self {
            Node::Leaf(entries) => entries.len(),
            Node::Inner(branches) => branches.len(),
        }
    }

    /// With its first key and sum; `None` if it is empty.
    fn known(self, scale: &E::Scale) -> Option<Branch<E>> {
        let (first, sum) = match &self {
            Node::Leaf(entries) => {
                let (first, rest) = entries.split_first()?;
                (
                    first.key(),
                    rest.iter().fold(first.sum(scale), |sum, e| E::join(scale, &sum, &e.sum(scale))),
                )
            }
            Node::Inner(branches) => {
                let (first, rest) = branches.split_first()?;
                (first.first, rest.iter().fold(first.sum, |sum, branch| E::join(scale, &sum, &branch.sum)))
            }
        };
        Some(Branch { first, sum, node: self })
    }

    /// Cuts off the upper half, if there is too much.
    fn split(&mut self) -> Option<Node<E>> {
        let half = self.len() / 2;
        if self.len() <= WIDTH {
            return None;
        }
        Some(match self {
            Node::Leaf(entries) => Node::Leaf(entries.split_off(half)),
            Node::Inner(branches) => Node::Inner(branches.split_off(half)),
        })
    }

    /// Appends the next node of the same depth.
    fn append(&mut self, next: Node<E>) {
        match (self, next) {
            (Node::Leaf(entries), Node::Leaf(mut more)) => entries.append(&mut more),
            (Node::Inner(branches), Node::Inner(mut more)) => branches.append(&mut more),
            // All leaves are equally deep.
            _ => {}
        }
    }
}

/// Which branch a key is below, if it is anywhere.
fn place<E: Entry>(branches: &[Branch<E>], key: &E::Key) -> usize {
    branches.partition_point(|branch| branch.first <= *key).saturating_sub(1)
}

impl<E: Entry> Branch<E> {
    fn refresh(&mut self, scale: &E::Scale) {
        let node = mem::replace(&mut self.node, Node::Leaf(Vec::new()));
        if let Some(known) = node.known(scale) {
            *self = known;
        }
    }

    /// Adds an entry; returns what had to be cut off, and whether there is an entry more.
    fn insert(&mut self, entry: &E, scale: &E::Scale) -> (Option<Branch<E>>, bool) {
        let is_new = match &mut self.node {
            Node::Leaf(entries) => match entries.binary_search_by(|e| e.key().cmp(&entry.key())) {
                Ok(at) => {
                    entries[at].absorb(entry);
                    false
                }
                Err(at) => {
                    entries.insert(at, *entry);
                    true
                }
            },
            Node::Inner(branches) => {
                let at = place(branches, &entry.key());
                let (cut, is_new) = branches[at].insert(entry, scale);
                if let Some(cut) = cut {
                    branches.insert(at + 1, cut);
                    mend(branches, at + 1, scale);
                }
                // A cut further down may have joined what stood beside it: the branch can be smaller than before.
                mend(branches, at, scale);
                is_new
            }
        };
        let cut = self.node.split();
        self.refresh(scale);
        (cut.and_then(|node| node.known(scale)), is_new)
    }

    /// Takes out an entry. This node may be empty afterwards.
    fn remove(&mut self, key: &E::Key, scale: &E::Scale) -> Option<E> {
        let taken = match &mut self.node {
            Node::Leaf(entries) => {
                let at = entries.binary_search_by(|e| e.key().cmp(key)).ok()?;
                entries.remove(at)
            }
            Node::Inner(branches) => {
                let at = place(branches, key);
                let taken = branches.get_mut(at)?.remove(key, scale)?;
                if branches[at].node.len() == 0 {
                    branches.remove(at);
                }
                mend(branches, at, scale);
                taken
            }
        };
        self.refresh(scale);
        Some(taken)
    }
}

/// Joins a branch with its neighbours where one is small and both fit into one node.
fn mend<E: Entry>(branches: &mut Vec<Branch<E>>, at: usize, scale: &E::Scale) {
    for left in [at, at.saturating_sub(1)] {
        let Some(two) = branches.get(left..left + 2) else { continue };
        let (a, b) = (two[0].node.len(), two[1].node.len());
        if a.min(b) < SMALL && a + b <= WIDTH {
            let next = branches.remove(left + 1);
            branches[left].node.append(next.node);
            if let Node::Inner(inner) = &mut branches[left].node {
                // Two that were no neighbours have become some.
                mend(inner, a, scale);
            }
            branches[left].refresh(scale);
        }
    }
}

impl<E: Entry> Tree<E> {
    pub(super) fn new(scale: E::Scale) -> Tree<E> {
        Tree { root: None, len: 0, scale }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// All, unless there is nothing.
    pub(super) fn root(&self) -> Option<&Branch<E>> {
        self.root.as_ref()
    }

    /// The least entry.
    pub(super) fn first(&self) -> Option<&E> {
        let mut node = &self.root.as_ref()?.node;
        loop {
            match node {
                Node::Leaf(entries) => return entries.first(),
                Node::Inner(branches) => node = &branches.first()?.node,
            }
        }
    }

    pub(super) fn contains(&self, key: &E::Key) -> bool {
        let mut next = self.root.as_ref();
        while let Some(branch) = next {
            match &branch.node {
                Node::Leaf(entries) => return entries.binary_search_by(|e| e.key().cmp(key)).is_ok(),
                Node::Inner(branches) => next = branches.get(place(branches, key)),
            }
        }
        false
    }

    /// All entries in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &E> {
        let mut above: Vec<&Branch<E>> = self.root.iter().collect();
        let mut leaf: core::slice::Iter<'_, E> = [].iter();
        core::iter::from_fn(move || {
            loop {
                if let Some(entry) = leaf.next() {
                    return Some(entry);
                }
                match &above.pop()?.node {
                    Node::Leaf(entries) => leaf = entries.iter(),
                    Node::Inner(branches) => above.extend(branches.iter().rev()),
                }
            }
        })
    }

    /// Adds an entry, to the one of its key if there is one.
    pub(super) fn insert(&mut self, entry: E) {
        let Some(root) = &mut self.root else {
            self.root = Node::Leaf(alloc::vec![entry]).known(&self.scale);
            self.len = 1;
            return;
        };
        let (cut, is_new) = root.insert(&entry, &self.scale);
        self.len += usize::from(is_new);
        if let Some(cut) = cut {
            let halves = self.root.take().into_iter().chain([cut]).collect();
            self.root = Node::Inner(halves).known(&self.scale);
        }
    }

    /// Takes out the entry of that key.
    pub(super) fn remove(&mut self, key: &E::Key) -> Option<E> {
        let taken = self.root.as_mut()?.remove(key, &self.scale)?;
        self.len -= 1;
        self.root = self.root.take().and_then(|mut root| match &mut root.node {
            Node::Inner(branches) if branches.len() == 1 => branches.pop(),
            node if node.len() == 0 => None,
            _ => Some(root),
        });
        Some(taken)
    }

    /// Takes out the least entry.
    pub(super) fn pop_first(&mut self) -> Option<E> {
        let key = self.first()?.key();
        self.remove(&key)
    }

    /// Whether depths, sizes, order and sums are right everywhere; the work is linear.
    pub(super) fn is_sound(&self) -> bool {
        let keys: Vec<E::Key> = self.iter().map(Entry::key).collect();
        let in_order = keys.len() == self.len && keys.windows(2).all(|two| two[0] < two[1]);
        in_order && self.root.as_ref().is_none_or(|root| self.depth(root).is_some())
    }

    /// How deep all leaves below are; `None` if something is wrong.
    fn depth(&self, branch: &Branch<E>) -> Option<usize> {
        let again = branch.node.clone().known(&self.scale)?;
        let known = again.first == branch.first && again.sum == branch.sum && branch.node.len() <= WIDTH;
        let Node::Inner(branches) = &branch.node else { return known.then_some(0) };
        let crowded = branches.windows(2).all(|two| {
            let (a, b) = (two[0].node.len(), two[1].node.len());
            a.min(b) >= SMALL || a + b > WIDTH
        });
        let depths: Option<Vec<usize>> = branches.iter().map(|branch| self.depth(branch)).collect();
        let depths = depths?;
        let even = depths.windows(2).all(|two| two[0] == two[1]);
        (known && crowded && even).then_some(depths.first()? + 1)
    }
}
