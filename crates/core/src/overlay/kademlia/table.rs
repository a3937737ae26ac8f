//! The routing table (section 2.4): k-buckets, and the neighborhood in which everyone knows everyone.
//!
//! One list of contacts in order of XOR distance holds all [`Buckets`]: bucket c, those who share exactly c bits with this node,
//! is a range of it, and the nearest come first.
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
use alloc::vec;
use alloc::vec::Vec;

use super::buckets::{self, Buckets};
use super::order::{self, Best};
use crate::id::Id;
use crate::keyspace::xor;
use crate::overlay::Violation;
use crate::peer::{Addr, Peer};
use crate::rng::Rng;
use crate::time::{Duration, Mono};

/// Members of a neighborhood known at most. With random ids it is a few dozen; whoever comes later is not taken in.
pub(super) const GROUP_MAX: usize = 256;
/// Spares of one bucket at most; the oldest makes room.
pub const SPARES_MAX: usize = 8;
/// How finely it is kept when a contact was seen. Two bytes for each of hundreds: what was in the last nine hours is told apart, and
/// from what was before.
const TICK: Duration = Duration::from_secs(1);
/// Spares in all.
pub(super) const SPARES_TOTAL_MAX: usize = 160;

/// What a change of the table means to the rest of the node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// Nothing new.
    None,
    /// A bucket outside the neighborhood.
    Far,
    /// The neighborhood: its members or its extent.
    Group {
        /// This node's shares of fewer copies are what they were.
        from: usize,
    },
    /// There was no room: it waits as a spare.
    Full,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Table {
    pub(super) me: Peer,
    k: usize,
    neighbors: usize,
    /// Members that have spoken, in order of distance.
    contacts: Buckets<Peer>,
    /// And when each of them was seen last: [`TICK`]s since `epoch`, 0 for all that was before.
    seen: Vec<u16>,
    /// In ticks on this node's clock.
    epoch: u64,
    /// Bits that all of the neighborhood share.
    depth: usize,
    /// Of the neighborhood: asked for in every round and changed seldom.
    digest: u64,
    /// In each bucket in order of arrival.
    spares: Buckets<Peer>,
}

/// What a peer adds to a digest: FNV-1a over id and address.
fn word(peer: &Peer) -> u64 {
    let fold = |h: u64, b: &u8| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3);
    let h = peer.id().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, fold);
    match peer.addr() {
        Addr::V4(ip, port) => port.to_be_bytes().iter().fold(ip.iter().fold(h, fold), fold),
        Addr::V6(ip, port) => port.to_be_bytes().iter().fold(ip.iter().fold(h, fold), fold),
    }
}

impl Table {
    pub(super) fn new(me: Peer, k: usize, neighbors: usize) -> Table {
        let digest = word(&me);
        Table {
            me,
            k,
            neighbors,
            contacts: Buckets::new(),
            seen: Vec::new(),
            epoch: 0,
            depth: 0,
            digest,
            spares: Buckets::new(),
        }
    }

    pub(super) fn id(&self) -> &Id {
        self.me.id()
    }

    /// Bits that all of the neighborhood share: its subtree is `Subtree::around(me, depth)`.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// The bucket of an id: the bits that it shares with this node.
    pub(super) fn bucket(&self, id: &Id) -> usize {
        xor::common(self.id(), id)
    }

    /// Whether an id falls into the neighborhood's subtree.
    pub(super) fn is_near(&self, id: &Id) -> bool {
        self.bucket(id) >= self.depth
    }

    /// Contacts in a bucket.
    pub(super) fn count(&self, bucket: usize) -> usize {
        self.contacts.count(bucket)
    }

    /// Where an id stands in its bucket, or would stand.
    fn place(&self, bucket: usize, id: &Id) -> Result<usize, usize> {
        order::place(self.id(), id, self.contacts.of(bucket), |peer| peer.id())
    }

    /// The contact with this id, whatever its address.
    pub(super) fn find(&self, id: &Id) -> Option<&Peer> {
        let bucket = self.bucket(id);
        self.place(bucket, id).ok().map(|at| &self.contacts.of(bucket)[at])
    }

    /// Whether exactly this peer is a contact; nothing if none has its id. Another address is another life of it.
    pub(super) fn knows(&self, peer: &Peer) -> Option<bool> {
        // Nearly always seen without a look at anybody's id.
        let same = self.contacts.of(self.bucket(peer.id())).iter().any(|known| known.is_same(peer));
        if same { Some(true) } else { self.find(peer.id()).map(|known| known == peer) }
    }

    /// Whether exactly this peer is a contact.
    pub(super) fn has(&self, peer: &Peer) -> bool {
        self.knows(peer) == Some(true)
    }

    /// All contacts, nearest first.
    pub(super) fn all(&self) -> impl ExactSizeIterator<Item = &Peer> + Clone {
        self.contacts.all().iter()
    }

    /// Contacts that share at least `len` bits with this node, nearest first.
    pub(super) fn within(&self, len: usize) -> impl ExactSizeIterator<Item = &Peer> + Clone {
        self.contacts.within(len).iter()
    }

    /// The other members of the neighborhood, nearest first.
    pub(super) fn group(&self) -> impl ExactSizeIterator<Item = &Peer> + Clone {
        self.within(self.depth)
    }

    // ---- changes

    /// `peer` has spoken as a member.
    pub(super) fn insert(&mut self, peer: &Peer, now: Mono) -> Change {
        let seen = self.tick(now);
        let bucket = self.bucket(peer.id());
        // Nearly always it is here already, and seen without a look at anybody's id.
        if let Some(at) = self.contacts.of(bucket).iter().position(|known| known.is_same(peer)) {
            self.seen[self.contacts.range(bucket).start + at] = seen;
            return Change::None;
        }
        let near = bucket >= self.depth;
        match self.place(bucket, peer.id()) {
            _ if peer.id() == self.id() => Change::None,
            Ok(at) => {
                self.seen[self.contacts.range(bucket).start + at] = seen;
                let contact = &mut self.contacts.of_mut(bucket)[at];
                // The one that others have: next time it is found at a glance.
                let before = core::mem::replace(contact, peer.clone());
                if before == *peer {
                    return Change::None;
                }
                // A later life of that id, at another address.
                let others = self.count(bucket) - 1;
                self.changed(bucket, others, word(peer).wrapping_sub(word(&before)))
            }
            Err(at) => {
                let full = if near {
                    self.contacts.count_within(self.depth) >= GROUP_MAX
                } else {
                    self.count(bucket) >= self.k
                };
                if full {
                    self.add_spare(peer);
                    return Change::Full;
                }
                self.drop_spare(bucket, |spare| spare.id() == peer.id());
                let others = self.count(bucket);
                buckets::insert(&mut self.seen, self.contacts.range(bucket).start + at, seen);
                self.contacts.insert(bucket, at, peer.clone());
                self.changed(bucket, others, word(peer))
            }
        }
    }

    /// `peer` is gone.
    pub(super) fn remove(&mut self, peer: &Peer) -> Change {
        let bucket = self.bucket(peer.id());
        self.drop_spare(bucket, |spare| spare == peer);
        let Ok(at) = self.place(bucket, peer.id()) else { return Change::None };
        if self.contacts.of(bucket)[at] != *peer {
            return Change::None;
        }
        self.take_out(bucket, at);
        self.changed(bucket, self.count(bucket), 0u64.wrapping_sub(word(peer)))
    }

    /// The present for `seen`; moves the epoch when two bytes end.
    fn tick(&mut self, now: Mono) -> u16 {
        let ticks = now.0 / TICK.0;
        if ticks.saturating_sub(self.epoch) > u64::from(u16::MAX) {
            let epoch = ticks - u64::from(u16::MAX / 2);
            let by = u16::try_from(epoch - self.epoch).unwrap_or(u16::MAX);
            self.seen.iter_mut().for_each(|seen| *seen = seen.saturating_sub(by));
            self.epoch = epoch;
        }
        ticks.saturating_sub(self.epoch) as u16
    }

    fn take_out(&mut self, bucket: usize, at: usize) -> Peer {
        self.seen.remove(self.contacts.range(bucket).start + at);
        self.contacts.remove(bucket, at)
    }

    /// Somebody has come to a bucket with so many others, or gone from it, in the neighborhood as it was or beyond it; `words` is
    /// what that adds to a digest.
    fn changed(&mut self, bucket: usize, others: usize, words: u64) -> Change {
        let near = bucket >= self.depth;
        match (self.divide(), near) {
            (true, _) => {
                self.digest = self.sum(self.depth);
                Change::Group { from: 1 }
            }
            (false, true) => {
                self.digest = self.digest.wrapping_add(words);
                Change::Group { from: self.copies_unmoved(bucket, others) + 1 }
            }
            (false, false) => Change::Far,
        }
    }

    /// Up to how many copies this node's shares do not depend on one of a bucket of the neighborhood that has so many others.
    ///
    /// A key of that bucket is held by the others, a key nearer to this node by those who are nearer to it, and a key that parts
    /// from both earlier by those it parts with: where they are enough, this node holds it not at all, or not beside that one.
    fn copies_unmoved(&self, bucket: usize, others: usize) -> usize {
        let nearer = self.contacts.count_within(bucket + 1) + 1;
        let earlier = (self.depth..bucket).map(|earlier| self.count(earlier)).min();
        others.min(nearer).min(earlier.unwrap_or(usize::MAX))
    }

    /// Whether the subtree of so many bits is divided: both the other half and ours, with this node in it, have enough members.
    fn is_divided(&self, len: usize) -> bool {
        self.count(len) >= self.neighbors && self.contacts.count_within(len + 1) + 1 >= self.neighbors
    }

    /// Finds the extent of the neighborhood anew; whether it has changed. Buckets that fall outside keep k contacts.
    fn divide(&mut self) -> bool {
        let before = self.depth;
        self.depth = 0;
        while self.is_divided(self.depth) {
            self.depth += 1;
        }
        for bucket in before..self.depth {
            while self.count(bucket) > self.k {
                // A neighborhood knows all its members, a bucket k of them: who was seen last stays (section 2.2).
                let Some(at) = self.head_at(bucket) else { break };
                let peer = self.take_out(bucket, at);
                self.add_spare(&peer);
            }
        }
        // The other half of a subtree that is divided no more comes to the neighborhood. Where that is too much the nearest half's own
        // crowd makes room: of the few there are in the other half all are needed.
        while self.depth < before && self.contacts.count_within(self.depth) > GROUP_MAX {
            let Some(bucket) = (self.depth..self.contacts.reach()).max_by_key(|bucket| self.count(*bucket))
            else {
                break;
            };
            let peer = self.take_out(bucket, self.count(bucket) - 1);
            self.add_spare(&peer);
        }
        before != self.depth
    }

    fn head_at(&self, bucket: usize) -> Option<usize> {
        let seen = &self.seen[self.contacts.range(bucket)];
        (0..seen.len()).min_by_key(|at| seen[*at])
    }

    /// The head of a bucket: its least recently seen contact (section 2.2).
    pub(super) fn head(&self, bucket: usize) -> Option<&Peer> {
        self.head_at(bucket).map(|at| &self.contacts.of(bucket)[at])
    }

    /// A bucket's contacts, most recently seen first.
    pub(super) fn freshest(&self, bucket: usize, max: usize) -> impl Iterator<Item = &Peer> {
        let seen = &self.seen[self.contacts.range(bucket)];
        let mut contacts: Vec<(&Peer, &u16)> = self.contacts.of(bucket).iter().zip(seen).collect();
        contacts.sort_by_key(|(_, seen)| core::cmp::Reverse(**seen));
        contacts.into_iter().take(max).map(|(peer, _)| peer)
    }

    // ---- spares

    /// Remembers a peer for the day when its bucket has room. It may only have been named by others.
    pub(super) fn add_spare(&mut self, peer: &Peer) {
        let bucket = self.bucket(peer.id());
        let total = self.spares.all().len();
        let waiting = self.spares.of_mut(bucket);
        let known = waiting.iter().position(|p| p.id() == peer.id());
        // It comes last, in place of what it has been, or of the oldest where there is no room.
        match known.or((waiting.len() >= SPARES_MAX).then_some(0)) {
            Some(at) => {
                waiting[at] = peer.clone();
                waiting[at..].rotate_left(1);
            }
            None if total < SPARES_TOTAL_MAX => {
                let last = waiting.len();
                self.spares.insert(bucket, last, peer.clone());
            }
            None => {}
        }
    }

    fn drop_spare(&mut self, bucket: usize, is_meant: impl Fn(&Peer) -> bool) {
        if let Some(at) = self.spares.of(bucket).iter().position(is_meant) {
            self.spares.remove(bucket, at);
        }
    }

    /// Takes the spare that came last for this bucket.
    pub(super) fn take_spare(&mut self, bucket: usize) -> Option<Peer> {
        let last = self.spares.count(bucket).checked_sub(1)?;
        Some(self.spares.remove(bucket, last))
    }

    /// Who waits for room, bucket by bucket, in each in order of arrival.
    pub(super) fn spares(&self) -> &[Peer] {
        self.spares.all()
    }

    // ---- questions

    /// The `max` contacts nearest to `target`, best first.
    pub(super) fn nearest(&self, target: &Id, max: usize) -> Vec<Peer> {
        // The longer common prefix wins: the target's bucket, then all that is nearer to this node, then bucket after bucket.
        let shared = self.bucket(target);
        let beyond = (0..shared.min(self.contacts.reach())).rev().map(|bucket| self.contacts.of(bucket));
        let mut best = Best::new(target, max);
        for contacts in [self.contacts.of(shared), self.contacts.within(shared + 1)].into_iter().chain(beyond)
        {
            if best.is_full() {
                break;
            }
            contacts.iter().for_each(|peer| best.offer(peer));
        }
        best.peers().cloned().collect()
    }

    /// The `max` contacts nearest to `target` of those that share more bits with it than this node: its bucket's. Best first.
    pub(super) fn nearer(&self, target: &Id, max: usize) -> Vec<Peer> {
        let mut best = Best::new(target, max);
        self.contacts.of(self.bucket(target)).iter().for_each(|peer| best.offer(peer));
        best.peers().cloned().collect()
    }

    /// The `n` nearest to `target`, this node among them, of those who would be left if all [`Table::nearer`] were dead; in the target's
    /// neighborhood of all. Best first.
    pub(super) fn heirs(&self, target: &Id, n: usize) -> Vec<Peer> {
        let shared = self.bucket(target);
        let (own, beyond) =
            if self.is_near(target) { (self.depth, self.depth) } else { (shared + 1, shared) };
        let mut best = Best::new(target, n);
        self.within(own).chain([&self.me]).for_each(|peer| best.offer(peer));
        for bucket in (0..beyond).rev() {
            if best.is_full() {
                break;
            }
            self.contacts.of(bucket).iter().for_each(|peer| best.offer(peer));
        }
        best.peers().cloned().collect()
    }

    /// The `n` holders of a key in the neighborhood's subtree, root first, this node among them where it belongs.
    pub(super) fn holders(&self, key: &Id, n: usize) -> Best<'_> {
        let mut best = Best::new(key, n);
        self.group().chain([&self.me]).for_each(|peer| best.offer(peer));
        best
    }

    /// The root of an id in the neighborhood's subtree: None for this node.
    pub(super) fn root(&self, target: &Id) -> Option<&Peer> {
        let root = self.holders(target, 1).peers().next();
        root.filter(|root| root.id() != self.id())
    }

    /// A digest of this node and of all contacts that share `len` bits with it, in whatever order.
    pub(super) fn digest(&self, len: usize) -> u64 {
        if len == self.depth { self.digest } else { self.sum(len) }
    }

    fn sum(&self, len: usize) -> u64 {
        // A sum of such words differs when the sets do, but for chance.
        self.within(len).fold(word(&self.me), |sum, p| sum.wrapping_add(word(p)))
    }

    /// The next member of the neighborhood in order of ids, round the circle: everyone is watched by the one before it.
    pub(super) fn next(&self) -> Option<&Peer> {
        let mut inhabited = (self.depth..self.contacts.reach()).filter(|bucket| self.count(*bucket) > 0);
        // Greater than this node are the buckets in whose bit it has a 0, and of these the deepest is the next above it.
        let above = inhabited.clone().rev().find(|bucket| !xor::bit(self.id(), *bucket));
        // The smallest ids of all part from it first.
        let bucket = above.or_else(|| inhabited.next())?;
        self.contacts.of(bucket).iter().min_by_key(|p| p.id())
    }

    // ---- tooling

    /// The table to which the protocol converges among `everyone`, sorted by id. Of buckets with more than k members some are
    /// drawn, spread over the bucket.
    pub(super) fn settle(&mut self, everyone: &[Peer], now: Mono, rng: &mut Rng) {
        *self = Table::new(self.me.clone(), self.k, self.neighbors);
        let me = *self.id();
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
        let group = tree.iter().filter(|p| *p.id() != me).take(GROUP_MAX);
        let mut contacts: Vec<Peer> = group.cloned().collect();
        for bucket in far {
            let (len, want) = (bucket.len(), bucket.len().min(self.k));
            let start = rng.below(len as u64) as usize;
            let picked = (0..want).map(|i| &bucket[(start + i * len / want) % len]);
            contacts.extend(picked.cloned());
        }
        contacts.sort_unstable_by(|a, b| order::by_distance(&me, a.id(), b.id()));
        self.seen = vec![self.tick(now); contacts.len()];
        self.contacts = Buckets::from_sorted(contacts, |peer| xor::common(&me, peer.id()));
        self.digest = self.sum(self.depth);
    }

    pub(super) fn check(&self) -> Result<(), Violation> {
        let broken = |rule| Err(Violation::new(rule, format!("{self:?}")));
        let distance = |peer: &Peer| xor::distance(self.id(), peer.id());
        if !self.contacts.all().is_sorted_by(|a, b| distance(a) < distance(b))
            || self.find(self.id()).is_some()
        {
            return broken("kademlia: contacts are in order of distance, without the node, none twice");
        }
        if !self.contacts.is_in_order(|p| self.bucket(p.id()))
            || self.seen.len() != self.contacts.all().len()
            || !self.spares.is_in_order(|p| self.bucket(p.id()))
        {
            return broken("kademlia: who is in the table stands in its bucket");
        }
        if (0..self.depth).any(|bucket| self.count(bucket) > self.k) {
            return broken("kademlia: a bucket has at most k contacts (section 2.2)");
        }
        if !(0..self.depth).all(|len| self.is_divided(len)) {
            return broken("kademlia: both halves of a divided subtree have enough members");
        }
        if self.is_divided(self.depth) {
            return broken("kademlia: a neighborhood is divided no further only if it cannot be");
        }
        if self.digest != self.sum(self.depth) {
            return broken("kademlia: the digest is that of the neighborhood");
        }
        if self.group().len() > GROUP_MAX || self.spares.all().len() > SPARES_TOTAL_MAX {
            return broken("kademlia: neighborhood and spares are bounded");
        }
        if self.spares.all().iter().any(|p| p.id() == self.id() || self.find(p.id()).is_some()) {
            return broken("kademlia: a spare is no contact");
        }
        Ok(())
    }
}
