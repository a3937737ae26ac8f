//! The routing table (section 2.4): k-buckets, and the neighborhood in which everyone knows everyone.
//!
//! One list of contacts in order of XOR distance holds all buckets: bucket c, those who share exactly c bits with this node, is
//! a range of it, and the nearest come first.
//!
//! ```text
//!   contacts:  nearest ...........................................  farthest
//!              [ all who share `depth` bits: the neighborhood ][ bucket depth-1 ] ... [ bucket 0 ]
//!                 every one of them, none left out                at most k each, least recently seen first to be asked
//! ```
//!
//! **The neighborhood.** The paper keeps "all valid contacts in a subtree of size at least k nodes, even if this requires
//! splitting buckets in which the node's own ID does not reside" (section 2.4, highly unbalanced trees). Here that subtree is
//! found by a rule that all its members apply alike: starting with the whole tree, a subtree is *divided* while both of its
//! halves have at least `neighbors` members; what is not divided is a neighborhood. So neighborhoods partition the members, each
//! has at least `neighbors` of them (unless the network is smaller), and the replica set of a key in a neighborhood's subtree lies
//! inside it. About twice `neighbors` members are usual.
//!
//! **Replacement cache** (section 4.1): contacts that found their bucket full, or were only named by others, wait as *spares*.
//! Who takes the place of a dead contact is pinged first.

use alloc::format;
use alloc::vec::Vec;
use core::ops::Range;

use crate::id::Id;
use crate::keyspace::xor::{self, Subtree};
use crate::overlay::Violation;
use crate::peer::{Addr, Peer};
use crate::rng::Rng;
use crate::time::Mono;

/// Members of a neighborhood known at most. With random ids it is a few dozen; whoever comes later is not taken in.
pub(super) const GROUP_MAX: usize = 256;
/// Spares of one bucket at most; the oldest makes room.
pub const SPARES_MAX: usize = 8;
/// Spares in all.
pub(super) const SPARES_TOTAL_MAX: usize = 160;

/// A member that has spoken, and when.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Contact {
    pub(super) peer: Peer,
    /// Seconds on this node's clock.
    seen: u32,
}

/// What a change of the table means to the rest of the node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// Nothing new.
    None,
    /// A bucket outside the neighborhood.
    Far,
    /// The neighborhood: its members or its extent.
    Group,
    /// There was no room: it waits as a spare.
    Full,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Table {
    pub(super) me: Peer,
    k: usize,
    neighbors: usize,
    /// In order of distance.
    contacts: Vec<Contact>,
    /// Bits that all of the neighborhood share.
    depth: usize,
    /// In order of arrival.
    spares: Vec<Peer>,
}

fn seconds(now: Mono) -> u32 {
    u32::try_from(now.0 / 1_000_000).unwrap_or(u32::MAX)
}

impl Table {
    pub(super) fn new(me: Peer, k: usize, neighbors: usize) -> Table {
        Table { me, k, neighbors, contacts: Vec::new(), depth: 0, spares: Vec::new() }
    }

    pub(super) fn id(&self) -> &Id {
        self.me.id()
    }

    /// Bits that all of the neighborhood share: its subtree is `Subtree::around(me, depth)`.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Whether an id falls into the neighborhood's subtree.
    pub(super) fn is_near(&self, id: &Id) -> bool {
        xor::common(self.id(), id) >= self.depth
    }

    fn shared(&self, i: usize) -> usize {
        xor::common(self.id(), self.contacts[i].peer.id())
    }

    /// Where contacts that share fewer than `len` bits begin.
    fn end_of(&self, len: usize) -> usize {
        let me = self.id();
        self.contacts.partition_point(|c| xor::common(me, c.peer.id()) >= len)
    }

    fn range(&self, bucket: usize) -> Range<usize> {
        self.end_of(bucket + 1)..self.end_of(bucket)
    }

    /// Contacts in a bucket.
    pub(super) fn count(&self, bucket: usize) -> usize {
        self.range(bucket).len()
    }

    fn place(&self, id: &Id) -> Result<usize, usize> {
        let distance = xor::distance(self.id(), id);
        self.contacts.binary_search_by_key(&distance, |c| xor::distance(self.id(), c.peer.id()))
    }

    /// The contact with this id, whatever its address.
    pub(super) fn find(&self, id: &Id) -> Option<&Peer> {
        self.place(id).ok().map(|i| &self.contacts[i].peer)
    }

    /// Whether exactly this peer is a contact: another address is another life of its id.
    pub(super) fn has(&self, peer: &Peer) -> bool {
        self.find(peer.id()) == Some(peer)
    }

    /// All contacts, nearest first.
    pub(super) fn all(&self) -> impl ExactSizeIterator<Item = &Peer> + Clone {
        self.contacts.iter().map(|c| &c.peer)
    }

    /// Contacts that share at least `len` bits with this node, nearest first.
    pub(super) fn within(&self, len: usize) -> impl ExactSizeIterator<Item = &Peer> + Clone {
        self.contacts[..self.end_of(len)].iter().map(|c| &c.peer)
    }

    /// The other members of the neighborhood, nearest first.
    pub(super) fn group(&self) -> impl ExactSizeIterator<Item = &Peer> + Clone {
        self.within(self.depth)
    }

    // ---- changes

    /// `peer` has spoken as a member.
    pub(super) fn insert(&mut self, peer: &Peer, now: Mono) -> Change {
        let seen = seconds(now);
        match self.place(peer.id()) {
            _ if peer.id() == self.id() => Change::None,
            Ok(at) => {
                let contact = &mut self.contacts[at];
                contact.seen = seen;
                if contact.peer == *peer {
                    return Change::None;
                }
                // A later life of that id, at another address.
                contact.peer = peer.clone();
                if self.is_near(peer.id()) { Change::Group } else { Change::Far }
            }
            Err(at) => {
                let bucket = xor::common(self.id(), peer.id());
                let near = bucket >= self.depth;
                let full =
                    if near { self.end_of(self.depth) >= GROUP_MAX } else { self.count(bucket) >= self.k };
                if full {
                    self.add_spare(peer);
                    return Change::Full;
                }
                self.spares.retain(|p| p.id() != peer.id());
                self.contacts.insert(at, Contact { peer: peer.clone(), seen });
                if self.divide() || near { Change::Group } else { Change::Far }
            }
        }
    }

    /// `peer` is gone.
    pub(super) fn remove(&mut self, peer: &Peer) -> Change {
        self.spares.retain(|p| p != peer);
        let Ok(at) = self.place(peer.id()) else { return Change::None };
        if self.contacts[at].peer != *peer {
            return Change::None;
        }
        let near = self.is_near(peer.id());
        self.contacts.remove(at);
        if self.divide() || near { Change::Group } else { Change::Far }
    }

    /// Finds the extent of the neighborhood anew; whether it has changed. Buckets that fall outside keep k contacts.
    fn divide(&mut self) -> bool {
        let before = self.depth;
        self.depth = 0;
        // Both halves of the subtree of `depth` bits: the other one, and ours with this node in it.
        while self.count(self.depth) >= self.neighbors && self.end_of(self.depth + 1) + 1 >= self.neighbors {
            self.depth += 1;
        }
        for bucket in before..self.depth {
            while self.count(bucket) > self.k {
                // A neighborhood knows all its members, a bucket k of them: who was seen last stays (section 2.2).
                let Some(at) = self.head_at(bucket) else { break };
                let peer = self.contacts.remove(at).peer;
                self.add_spare(&peer);
            }
        }
        before != self.depth
    }

    fn head_at(&self, bucket: usize) -> Option<usize> {
        self.range(bucket).min_by_key(|i| self.contacts[*i].seen)
    }

    /// The head of a bucket: its least recently seen contact (section 2.2).
    pub(super) fn head(&self, bucket: usize) -> Option<&Peer> {
        self.head_at(bucket).map(|at| &self.contacts[at].peer)
    }

    /// A bucket's contacts, most recently seen first.
    pub(super) fn freshest(&self, bucket: usize, max: usize) -> impl Iterator<Item = &Peer> {
        let mut contacts: Vec<&Contact> = self.contacts[self.range(bucket)].iter().collect();
        contacts.sort_by_key(|c| core::cmp::Reverse(c.seen));
        contacts.into_iter().take(max).map(|c| &c.peer)
    }

    // ---- spares

    /// Remembers a peer for the day when its bucket has room. It may only have been named by others.
    pub(super) fn add_spare(&mut self, peer: &Peer) {
        if let Some(at) = self.spares.iter().position(|p| p.id() == peer.id()) {
            self.spares.remove(at);
        }
        let bucket = xor::common(self.id(), peer.id());
        let mine = |p: &Peer| xor::common(self.me.id(), p.id()) == bucket;
        let first = self.spares.iter().position(mine);
        if self.spares.iter().filter(|p| mine(p)).count() >= SPARES_MAX
            && let Some(first) = first
        {
            self.spares.remove(first);
        }
        if self.spares.len() < SPARES_TOTAL_MAX {
            self.spares.push(peer.clone());
        }
    }

    /// Takes the spare that came last for this bucket.
    pub(super) fn take_spare(&mut self, bucket: usize) -> Option<Peer> {
        let at = self.spares.iter().rposition(|p| xor::common(self.me.id(), p.id()) == bucket)?;
        Some(self.spares.remove(at))
    }

    /// Who waits for room, in order of arrival.
    pub(super) fn spares(&self) -> &[Peer] {
        &self.spares
    }

    // ---- questions

    /// The `max` contacts nearest to `target`, best first.
    pub(super) fn nearest(&self, target: &Id, max: usize) -> Vec<Peer> {
        // All contacts of the target's bucket are nearer to it than everyone else here.
        let shared = xor::common(self.id(), target);
        let own = if shared < self.depth { self.range(shared) } else { 0..self.end_of(self.depth) };
        let range = if own.len() >= max { own } else { 0..self.contacts.len() };
        let mut ranked: Vec<(Id, usize)> =
            range.map(|i| (xor::rank(target, self.contacts[i].peer.id()), i)).collect();
        if ranked.len() > max && max > 0 {
            ranked.select_nth_unstable(max - 1);
        }
        ranked.truncate(max);
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, i)| self.contacts[i].peer.clone()).collect()
    }

    /// The root of an id in the neighborhood's subtree: None for this node.
    pub(super) fn root(&self, target: &Id) -> Option<&Peer> {
        let own = xor::rank(target, self.id());
        let best = self.group().map(|p| (xor::rank(target, p.id()), p)).min_by_key(|(rank, _)| *rank);
        best.filter(|(rank, _)| *rank < own).map(|(_, peer)| peer)
    }

    /// A digest of this node and of all contacts that share `len` bits with it, in whatever order.
    pub(super) fn digest(&self, len: usize) -> u64 {
        // FNV-1a over id and address. A sum of such words differs when the sets do, but for chance.
        let fold = |h: u64, b: &u8| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3);
        let one = |p: &Peer| {
            let h = p.id().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, fold);
            match p.addr() {
                Addr::V4(ip, port) => port.to_be_bytes().iter().fold(ip.iter().fold(h, fold), fold),
                Addr::V6(ip, port) => port.to_be_bytes().iter().fold(ip.iter().fold(h, fold), fold),
            }
        };
        self.within(len).fold(one(&self.me), |sum, p| sum.wrapping_add(one(p)))
    }

    /// The next member of the neighborhood in order of ids, round the circle: everyone is watched by the one before it.
    pub(super) fn next(&self) -> Option<&Peer> {
        self.group().min_by_key(|p| p.id().wrapping_sub(self.id()))
    }

    // ---- tooling

    /// The table to which the protocol converges among `everyone`, sorted by id. Of buckets with more than k members some are
    /// drawn, spread over the bucket.
    pub(super) fn settle(&mut self, everyone: &[Peer], now: Mono, rng: &mut Rng) {
        *self = Table::new(self.me.clone(), self.k, self.neighbors);
        let me = *self.id();
        let seen = seconds(now);
        let mut tree = everyone;
        let mut far: Vec<&[Peer]> = Vec::new();
        loop {
            let (low, high) = tree.split_at(tree.partition_point(|p| !xor::bit(p.id(), self.depth)));
            let (own, other) = if xor::bit(&me, self.depth) { (high, low) } else { (low, high) };
            if own.len() < self.neighbors || other.len() < self.neighbors {
                break;
            }
            far.push(other);
            tree = own;
            self.depth += 1;
        }
        for peer in tree.iter().filter(|p| *p.id() != me).take(GROUP_MAX) {
            self.contacts.push(Contact { peer: peer.clone(), seen });
        }
        for bucket in far {
            let (len, want) = (bucket.len(), bucket.len().min(self.k));
            let start = rng.below(len as u64) as usize;
            let picked = (0..want).map(|i| &bucket[(start + i * len / want) % len]);
            self.contacts.extend(picked.map(|peer| Contact { peer: peer.clone(), seen }));
        }
        self.contacts.sort_unstable_by_key(|c| xor::distance(&me, c.peer.id()));
        self.contacts.shrink_to_fit();
    }

    pub(super) fn check(&self) -> Result<(), Violation> {
        let broken = |rule| Err(Violation::new(rule, format!("{self:?}")));
        let distance = |c: &Contact| xor::distance(self.id(), c.peer.id());
        if !self.contacts.is_sorted_by(|a, b| distance(a) < distance(b)) || self.find(self.id()).is_some() {
            return broken("kademlia: contacts are in order of distance, without the node, none twice");
        }
        if (0..self.depth).any(|bucket| self.count(bucket) > self.k) {
            return broken("kademlia: a bucket has at most k contacts (section 2.2)");
        }
        if (0..self.depth).any(|b| self.count(b) < self.neighbors || self.end_of(b + 1) + 1 < self.neighbors)
        {
            return broken("kademlia: both halves of a divided subtree have enough members");
        }
        if self.count(self.depth) >= self.neighbors && self.end_of(self.depth + 1) + 1 >= self.neighbors {
            return broken("kademlia: a neighborhood is divided no further only if it cannot be");
        }
        if self.end_of(self.depth) > GROUP_MAX || self.spares.len() > SPARES_TOTAL_MAX {
            return broken("kademlia: neighborhood and spares are bounded");
        }
        if self.spares.iter().any(|p| p.id() == self.id() || self.find(p.id()).is_some()) {
            return broken("kademlia: a spare is no contact");
        }
        debug_assert!(self.contacts.is_empty() || self.shared(0) >= self.shared(self.contacts.len() - 1));
        Ok(())
    }

    /// The neighborhood's subtree.
    pub(super) fn region(&self) -> Subtree {
        Subtree::around(self.id(), self.depth)
    }
}
