//! A balanced tree that keeps a summary of every subtree: the structure that the paper asks for ("a balanced tree,
//! logarithmic", OpenDHT section 4.1.2).
//!
//! ```text
//!                 entry, sum of all below           sum(node) = E::sum(scale, sum(left), entry, sum(right))
//!                /                     \
//!     entry, sum                        entry, sum        keys to the left are smaller, to the right greater
//! ```
//!
//! An AVL tree in one vector: children are indices, freed places are used again. What is asked of the sums is written
//! where they are defined ([`super::commitments`], [`super::queues`]); this file only keeps them right.
//!
//! Invariants: heights of siblings differ by at most one, so that n entries stand at most 1.45 log2(n + 2) deep, whatever order
//! they came in (an adversary chooses the keys); every sum is that of its subtree.

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt::Debug;

/// What a tree holds.
pub(super) trait Entry: Copy + Debug {
    /// Its place; keys are unique.
    type Key: Ord + Copy;
    /// What is known of a subtree.
    type Sum: Copy + Debug + Eq;
    /// What sums are computed with, the same for all.
    type Scale: Clone + Debug;

    fn key(&self) -> Self::Key;
    /// The sum of `left`, this entry and `right`, in that order.
    fn sum(&self, scale: &Self::Scale, left: Option<&Self::Sum>, right: Option<&Self::Sum>) -> Self::Sum;
    /// Takes in another entry of the same key.
    fn absorb(&mut self, other: &Self);
}

/// No node.
const NIL: u32 = u32::MAX;

/// A node as its reader sees it.
#[derive(Clone, Debug)]
pub(super) struct Node<E: Entry> {
    pub(super) entry: E,
    /// Of this node and all below.
    pub(super) sum: E::Sum,
    left: u32,
    right: u32,
    height: u8,
}

/// The tree. Its size is bounded by memory long before its 32-bit indices: 2^32 nodes are hundreds of gigabytes.
#[derive(Clone, Debug)]
pub(super) struct Tree<E: Entry> {
    nodes: Vec<Node<E>>,
    free: Vec<u32>,
    root: u32,
    pub(super) scale: E::Scale,
}

impl<E: Entry> Tree<E> {
    pub(super) fn new(scale: E::Scale) -> Tree<E> {
        Tree { nodes: Vec::new(), free: Vec::new(), root: NIL, scale }
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    fn at(&self, at: u32) -> Option<&Node<E>> {
        // NIL is beyond every vector.
        self.nodes.get(at as usize)
    }

    pub(super) fn root(&self) -> Option<&Node<E>> {
        self.at(self.root)
    }

    pub(super) fn left(&self, node: &Node<E>) -> Option<&Node<E>> {
        self.at(node.left)
    }

    pub(super) fn right(&self, node: &Node<E>) -> Option<&Node<E>> {
        self.at(node.right)
    }

    /// The least entry.
    pub(super) fn first(&self) -> Option<&E> {
        let mut node = self.root()?;
        while let Some(left) = self.left(node) {
            node = left;
        }
        Some(&node.entry)
    }

    pub(super) fn contains(&self, key: &E::Key) -> bool {
        let mut at = self.root();
        while let Some(node) = at {
            at = match key.cmp(&node.entry.key()) {
                Ordering::Less => self.left(node),
                Ordering::Greater => self.right(node),
                Ordering::Equal => return true,
            };
        }
        false
    }

    /// All entries in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &E> {
        let mut above: Vec<&Node<E>> = Vec::new();
        let mut next = self.root();
        core::iter::from_fn(move || {
            while let Some(node) = next {
                above.push(node);
                next = self.left(node);
            }
            let node = above.pop()?;
            next = self.right(node);
            Some(&node.entry)
        })
    }

    /// Adds an entry, to the one of its key if there is one.
    pub(super) fn insert(&mut self, entry: E) {
        self.root = self.insert_below(self.root, &entry);
    }

    /// Takes out the entry of that key.
    pub(super) fn remove(&mut self, key: &E::Key) -> Option<E> {
        let mut taken = None;
        self.root = self.remove_below(self.root, key, &mut taken);
        taken
    }

    /// Takes out the least entry.
    pub(super) fn pop_first(&mut self) -> Option<E> {
        let mut taken = None;
        self.root = self.pop_below(self.root, &mut taken);
        taken
    }

    fn make(&mut self, entry: E) -> u32 {
        let sum = entry.sum(&self.scale, None, None);
        let node = Node { entry, sum, left: NIL, right: NIL, height: 1 };
        if let Some(at) = self.free.pop() {
            self.nodes[at as usize] = node;
            return at;
        }
        self.nodes.push(node);
        (self.nodes.len() - 1) as u32
    }

    fn insert_below(&mut self, at: u32, entry: &E) -> u32 {
        let Some(node) = self.at(at) else { return self.make(*entry) };
        let (left, right) = (node.left, node.right);
        match entry.key().cmp(&node.entry.key()) {
            Ordering::Less => self.nodes[at as usize].left = self.insert_below(left, entry),
            Ordering::Greater => self.nodes[at as usize].right = self.insert_below(right, entry),
            Ordering::Equal => self.nodes[at as usize].entry.absorb(entry),
        }
        self.balance(at)
    }

    fn remove_below(&mut self, at: u32, key: &E::Key, taken: &mut Option<E>) -> u32 {
        let Some(node) = self.at(at) else { return NIL };
        let (entry, left, right) = (node.entry, node.left, node.right);
        match key.cmp(&entry.key()) {
            Ordering::Less => self.nodes[at as usize].left = self.remove_below(left, key, taken),
            Ordering::Greater => self.nodes[at as usize].right = self.remove_below(right, key, taken),
            Ordering::Equal => {
                *taken = Some(entry);
                let mut next = None;
                let right = self.pop_below(right, &mut next);
                let Some(next) = next else {
                    self.free.push(at);
                    return left;
                };
                let node = &mut self.nodes[at as usize];
                (node.entry, node.right) = (next, right);
            }
        }
        self.balance(at)
    }

    fn pop_below(&mut self, at: u32, taken: &mut Option<E>) -> u32 {
        let Some(node) = self.at(at) else { return NIL };
        let (entry, left, right) = (node.entry, node.left, node.right);
        if left == NIL {
            *taken = Some(entry);
            self.free.push(at);
            return right;
        }
        self.nodes[at as usize].left = self.pop_below(left, taken);
        self.balance(at)
    }

    fn height(&self, at: u32) -> u8 {
        self.at(at).map_or(0, |node| node.height)
    }

    /// Height and sum of a node whose children are right.
    fn refresh(&mut self, at: u32) {
        let node = &self.nodes[at as usize];
        let (left, right) = (self.at(node.left), self.at(node.right));
        let height = 1 + left.map_or(0, |n| n.height).max(right.map_or(0, |n| n.height));
        let sum = node.entry.sum(&self.scale, left.map(|n| &n.sum), right.map(|n| &n.sum));
        let node = &mut self.nodes[at as usize];
        (node.height, node.sum) = (height, sum);
    }

    /// Balances a node whose children are balanced; returns what stands in its place.
    fn balance(&mut self, at: u32) -> u32 {
        let (left, right) = (self.nodes[at as usize].left, self.nodes[at as usize].right);
        let (tall_left, tall_right) = (self.height(left), self.height(right));
        if tall_left > tall_right + 1 {
            let inner = &self.nodes[left as usize];
            if self.height(inner.right) > self.height(inner.left) {
                self.nodes[at as usize].left = self.rotate_left(left);
            }
            return self.rotate_right(at);
        }
        if tall_right > tall_left + 1 {
            let inner = &self.nodes[right as usize];
            if self.height(inner.left) > self.height(inner.right) {
                self.nodes[at as usize].right = self.rotate_right(right);
            }
            return self.rotate_left(at);
        }
        self.refresh(at);
        at
    }

    /// The left child, which there is, takes the place of its parent.
    fn rotate_right(&mut self, at: u32) -> u32 {
        let up = self.nodes[at as usize].left;
        self.nodes[at as usize].left = self.nodes[up as usize].right;
        self.nodes[up as usize].right = at;
        self.refresh(at);
        self.refresh(up);
        up
    }

    /// The right child, which there is, takes the place of its parent.
    fn rotate_left(&mut self, at: u32) -> u32 {
        let up = self.nodes[at as usize].right;
        self.nodes[at as usize].right = self.nodes[up as usize].left;
        self.nodes[up as usize].left = at;
        self.refresh(at);
        self.refresh(up);
        up
    }

    /// Whether heights, order and sums are right everywhere; the work is linear.
    pub(super) fn is_sound(&self) -> bool {
        let nodes_sound = |node: &Node<E>| {
            let (left, right) = (self.left(node), self.right(node));
            let (tall_left, tall_right) = (self.height(node.left), self.height(node.right));
            let sum = node.entry.sum(&self.scale, left.map(|n| &n.sum), right.map(|n| &n.sum));
            tall_left.abs_diff(tall_right) <= 1
                && node.height == 1 + tall_left.max(tall_right)
                && node.sum == sum
        };
        let mut below: Vec<&Node<E>> = self.root().into_iter().collect();
        let mut count = 0;
        while let Some(node) = below.pop() {
            count += 1;
            if !nodes_sound(node) {
                return false;
            }
            below.extend(self.left(node).into_iter().chain(self.right(node)));
        }
        let keys: Vec<E::Key> = self.iter().map(Entry::key).collect();
        count == self.len() && keys.windows(2).all(|two| two[0] < two[1])
    }
}
