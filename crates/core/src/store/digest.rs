//! Digests of sets of records, and the tree that keeps them for every stretch of the key space.
//!
//! The digest of a set is its count and the sum, modulo 2^128, of a hash of each head: it does not depend on the order
//! of arrival, and one record is added or taken away in constant time. The hash is SipHash-1-3 with 128 bits and a
//! fixed key over the head's wire form, so a refreshed put (same identity, later expiry) changes the sum. Nothing is
//! served or deleted because of a digest: a collision can only delay a repair.
//!
//! The tree is a trie of radix 16 over the 120 nibbles of an identity (key, secret hash, value hash: disk order). A node
//! knows the digest of what is below it. A leaf holds no records, it stands for a range of the index:
//!
//! ```text
//!            root 100,000
//!          0 /    1 |  ...  \ f          more than LEAF_MAX records: split along the next nibble
//!         6,251   6,240     6,262        (only children with records exist)
//!          ...
//!        leaf 24                         LEAF_MIN or fewer below a node: its children are merged into it
//! ```
//!
//! A range is summed along its two edges: O(depth * 16) nodes and at most two partial leaves, read from the index. The
//! shape adapts to where the records are, so a sliver of the key space with a thousand records is as cheap to explore
//! as the whole ring with a thousand. Memory: 32 bytes a node, about 4 to 8 bytes a record.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;
use core::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::index::Held;
use super::record::{HEAD_BYTES, Head, Identity, RECORD_VERSION};
use crate::id::{ID_BYTES, Id};
use crate::overlay::Violation;
use crate::wire::{Malformed, Reader, Wire, Writer};

/// A leaf with more records than this is split.
const LEAF_MAX: u64 = 32;
/// A node with at most this many records becomes a leaf again. Below `LEAF_MAX`, so that one record that comes and goes
/// does not split and merge each time.
const LEAF_MIN: u64 = 16;
/// Nibbles of an identity: the greatest depth.
const NIBBLES: usize = 2 * IDENTITY_BYTES;
/// Bytes of an identity.
const IDENTITY_BYTES: usize = 3 * ID_BYTES;

/// The key of the record hash: part of the protocol, all nodes use the same ("keyway digest 1").
const HASH_KEY: (u64, u64) =
    (u64::from_be_bytes(*b"keyway d"), u64::from_be_bytes([b'i', b'g', b'e', b's', b't', b' ', b'1', 0]));

/// An order-independent summary of a set of heads. Equal sets have equal digests.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Digest {
    /// How many records.
    pub count: u64,
    /// Sum of their hashes modulo 2^128.
    pub sum: u128,
}

impl Digest {
    /// The digest of one head.
    #[must_use]
    pub fn of(head: &Head) -> Digest {
        Digest { count: 1, sum: hash(head) }
    }

    /// The digest of two disjoint sets together.
    #[must_use]
    pub const fn plus(self, other: Digest) -> Digest {
        Digest { count: self.count.wrapping_add(other.count), sum: self.sum.wrapping_add(other.sum) }
    }

    /// The digest without a subset.
    #[must_use]
    pub const fn minus(self, part: Digest) -> Digest {
        Digest { count: self.count.wrapping_sub(part.count), sum: self.sum.wrapping_sub(part.sum) }
    }
}

impl<'a> FromIterator<&'a Head> for Digest {
    fn from_iter<I: IntoIterator<Item = &'a Head>>(heads: I) -> Digest {
        heads.into_iter().fold(Digest::default(), |sum, head| sum.plus(Digest::of(head)))
    }
}

impl Wire for Digest {
    fn encode(&self, w: &mut Writer<'_>) {
        w.u64(self.count);
        w.bytes(&self.sum.to_be_bytes());
    }
    fn decode(r: &mut Reader<'_>) -> Result<Digest, Malformed> {
        Ok(Digest { count: r.u64()?, sum: u128::from_be_bytes(r.array()?) })
    }
}

/// The hash of a head's wire form, without allocating one.
fn hash(head: &Head) -> u128 {
    let mut bytes = [0; HEAD_BYTES];
    bytes[0] = RECORD_VERSION;
    bytes[1] = head.kind as u8;
    bytes[2..62].copy_from_slice(&to_bytes(&head.identity));
    bytes[62..70].copy_from_slice(&head.put_time.0.to_be_bytes());
    bytes[70..78].copy_from_slice(&head.ttl.0.to_be_bytes());
    bytes[78..86].copy_from_slice(&head.origin.to_be_bytes());
    bytes[86..94].copy_from_slice(&head.seq.to_be_bytes());
    bytes[94..102].copy_from_slice(&head.client.0.to_be_bytes());
    bytes[102..106].copy_from_slice(&head.value_bytes.to_be_bytes());
    let mut hasher = SipHasher13::new_with_keys(HASH_KEY.0, HASH_KEY.1);
    hasher.write(&bytes);
    hasher.finish128().as_u128()
}

type Bytes = [u8; IDENTITY_BYTES];

fn to_bytes(identity: &Identity) -> Bytes {
    let mut bytes = [0; IDENTITY_BYTES];
    bytes[..20].copy_from_slice(&identity.key.0);
    bytes[20..40].copy_from_slice(&identity.secret_hash.0);
    bytes[40..].copy_from_slice(&identity.value_hash.0);
    bytes
}

fn to_identity(bytes: &Bytes) -> Identity {
    let id = |at: usize| {
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&bytes[at..at + ID_BYTES]);
        Id(id)
    };
    Identity { key: id(0), secret_hash: id(20), value_hash: id(40) }
}

fn nibble(bytes: &Bytes, depth: usize) -> u8 {
    let byte = bytes[depth / 2];
    if depth.is_multiple_of(2) { byte >> 4 } else { byte & 15 }
}

/// The least (`fill` 0) or greatest (`fill` 15) identity with the first `depth` nibbles of `bytes`.
fn edge(bytes: &Bytes, depth: usize, fill: u8) -> Identity {
    let mut edge = *bytes;
    let mut from = depth / 2;
    if !depth.is_multiple_of(2) {
        edge[from] = edge[from] & 0xf0 | fill;
        from += 1;
    }
    edge[from..].fill(fill << 4 | fill);
    to_identity(&edge)
}

/// What stands below one prefix.
#[derive(Debug, Default)]
struct Node {
    sum: u128,
    count: u64,
    /// None: a leaf.
    children: Option<Box<Children>>,
}

/// The children with records, in order of their nibble.
#[derive(Debug, Default)]
struct Children {
    /// Bit n: there is a child for nibble n.
    present: u16,
    nodes: Vec<Node>,
}

impl Children {
    fn slot(&self, nibble: u8) -> usize {
        (self.present & ((1 << nibble) - 1)).count_ones() as usize
    }

    fn has(&self, nibble: u8) -> bool {
        self.present & 1 << nibble != 0
    }

    fn child(&mut self, nibble: u8) -> &mut Node {
        let slot = self.slot(nibble);
        if !self.has(nibble) {
            self.present |= 1 << nibble;
            // One node more, not twice as many: most parents have few children for life.
            self.nodes.reserve_exact(1);
            self.nodes.insert(slot, Node::default());
        }
        &mut self.nodes[slot]
    }

    fn drop_child(&mut self, nibble: u8) {
        let slot = self.slot(nibble);
        self.nodes.remove(slot);
        self.present &= !(1 << nibble);
    }

    /// `(nibble, child)` in order.
    fn each(&self) -> impl Iterator<Item = (u8, &Node)> {
        (0..16).filter(|n| self.has(*n)).zip(&self.nodes)
    }
}

impl Node {
    fn digest(&self) -> Digest {
        Digest { count: self.count, sum: self.sum }
    }

    fn set(&mut self, digest: Digest) {
        (self.count, self.sum) = (digest.count, digest.sum);
    }

    /// Splits a leaf that has grown too large; `bytes` begins with its prefix.
    fn split(&mut self, bytes: &Bytes, depth: usize, heads: &BTreeSet<Held>) {
        if self.count <= LEAF_MAX || depth == NIBBLES {
            return;
        }
        let mut children = Children::default();
        for held in heads.range(edge(bytes, depth, 0)..=edge(bytes, depth, 15)) {
            let below = to_bytes(&held.0.identity);
            let child = children.child(nibble(&below, depth));
            child.set(child.digest().plus(Digest::of(&held.0)));
        }
        for n in 0..16 {
            if children.has(n) {
                let mut below = *bytes;
                let byte = &mut below[depth / 2];
                *byte = if depth.is_multiple_of(2) { n << 4 } else { *byte & 0xf0 | n };
                children.child(n).split(&below, depth + 1, heads);
            }
        }
        self.children = Some(Box::new(children));
    }

    /// Sums what lies at or above `lo` and at or below `hi`; a bound that is `None` does not cut this node, one that is
    /// there shares this node's prefix.
    fn between(
        &self,
        depth: usize,
        lo: Option<&Bytes>,
        hi: Option<&Bytes>,
        heads: &BTreeSet<Held>,
    ) -> Digest {
        if self.count == 0 || lo.is_none() && hi.is_none() {
            return self.digest();
        }
        let Some(children) = &self.children else {
            let prefix = lo.or(hi).expect("one of the bounds is there");
            let first = lo.map_or_else(|| edge(prefix, depth, 0), to_identity);
            let last = hi.map_or_else(|| edge(prefix, depth, 15), to_identity);
            return heads.range(first..=last).map(|held| &held.0).collect();
        };
        let (from, to) = (lo.map_or(0, |lo| nibble(lo, depth)), hi.map_or(15, |hi| nibble(hi, depth)));
        let mut sum = Digest::default();
        for (n, child) in children.each().filter(|(n, _)| (from..=to).contains(n)) {
            let (lo, hi) = (lo.filter(|_| n == from), hi.filter(|_| n == to));
            sum = sum.plus(child.between(depth + 1, lo, hi, heads));
        }
        sum
    }
}

/// The digests of every stretch of the index. Its caller changes the index first, then tells the tree.
#[derive(Debug, Default)]
pub(super) struct Tree {
    root: Node,
}

impl Tree {
    /// Takes note of a head that `heads` holds now.
    pub(super) fn add(&mut self, head: &Head, heads: &BTreeSet<Held>) {
        let (bytes, digest) = (to_bytes(&head.identity), Digest::of(head));
        let (mut node, mut depth) = (&mut self.root, 0);
        loop {
            node.set(node.digest().plus(digest));
            if node.children.is_none() {
                return node.split(&bytes, depth, heads);
            }
            let children = node.children.as_mut().expect("just seen");
            node = children.child(nibble(&bytes, depth));
            depth += 1;
        }
    }

    /// Takes note of a head that the index holds no more.
    pub(super) fn remove(&mut self, head: &Head) {
        let (bytes, digest) = (to_bytes(&head.identity), Digest::of(head));
        let (mut node, mut depth) = (&mut self.root, 0);
        loop {
            node.set(node.digest().minus(digest));
            if node.count <= LEAF_MIN {
                node.children = None;
                return;
            }
            let Some(children) = node.children.as_mut() else { return };
            let n = nibble(&bytes, depth);
            if children.child(n).count == 1 {
                return children.drop_child(n);
            }
            node = children.child(n);
            depth += 1;
        }
    }

    /// The digest of all records.
    pub(super) fn total(&self) -> Digest {
        self.root.digest()
    }

    /// The digest of the records from `first` to `last`, both included.
    pub(super) fn between(&self, first: &Identity, last: &Identity, heads: &BTreeSet<Held>) -> Digest {
        if first > last {
            return Digest::default();
        }
        self.root.between(0, Some(&to_bytes(first)), Some(&to_bytes(last)), heads)
    }

    /// The head with exactly `rank` smaller ones before it, in order of identity.
    pub(super) fn nth<'a>(&self, mut rank: u64, heads: &'a BTreeSet<Held>) -> Option<&'a Head> {
        let (mut node, mut depth, mut bytes) = (&self.root, 0, [0; IDENTITY_BYTES]);
        'down: while let Some(children) = &node.children {
            for (n, child) in children.each() {
                if rank < child.count {
                    bytes[depth / 2] |= if depth.is_multiple_of(2) { n << 4 } else { n };
                    (node, depth) = (child, depth + 1);
                    continue 'down;
                }
                rank -= child.count;
            }
            return None;
        }
        heads.range(to_identity(&bytes)..).nth(usize::try_from(rank).ok()?).map(|held| &held.0)
    }

    /// Every node's digest is the sum over its range of the index, and leaves have the right size.
    pub(super) fn check(&self, heads: &BTreeSet<Held>) -> Result<(), Violation> {
        check_node(&self.root, &[0; IDENTITY_BYTES], 0, heads)
    }
}

fn check_node(node: &Node, bytes: &Bytes, depth: usize, heads: &BTreeSet<Held>) -> Result<(), Violation> {
    let truth: Digest =
        heads.range(edge(bytes, depth, 0)..=edge(bytes, depth, 15)).map(|held| &held.0).collect();
    if truth != node.digest() {
        let seen = format!("depth {depth}: {:?}, the index says {truth:?}", node.digest());
        return Err(Violation::new("store.digest", seen));
    }
    let Some(children) = &node.children else {
        let fits = node.count <= LEAF_MAX || depth == NIBBLES;
        return if fits {
            Ok(())
        } else {
            Err(Violation::new("store.digest.leaf", format!("{} records in a leaf", node.count)))
        };
    };
    if children.present.count_ones() as usize != children.nodes.len() || node.count <= LEAF_MIN {
        return Err(Violation::new("store.digest.node", format!("depth {depth}, {} records", node.count)));
    }
    for (n, child) in children.each() {
        let mut below = *bytes;
        below[depth / 2] |= if depth.is_multiple_of(2) { n << 4 } else { n };
        check_node(child, &below, depth + 1, heads)?;
    }
    Ok(())
}
