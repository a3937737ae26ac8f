//! The ring as one node knows it: itself, its successor list, its predecessor list. Pure geometry, no protocol.
//!
//! Both lists are nearest first and strictly ordered, so neither holds a node twice or the node itself. A list that came
//! round to the node is *closed*: below r + 1 members everyone lists everyone. A ring of one has empty lists and is closed.
//!
//! The head of the successor list and the head of the predecessor list are verified pointers; the rest of the
//! successor list is what the head said (Zave: `list := s ++ list(s)`), the rest of the predecessor list is what the
//! predecessor said, and is advisory: placement reads it, the protocol does not rest on it.

use alloc::format;
use alloc::vec::Vec;

use crate::id::Id;
use crate::keyspace::ring::between;
use crate::overlay::Violation;
use crate::peer::{Addr, Peer};

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Ring {
    pub(super) me: Peer,
    pub(super) succs: List,
    pub(super) preds: List,
    pub(super) closed: bool,
}

/// A bounded list of peers that knows the digests of the two parts of it that quiet rounds speak about: a round compares
/// digests and changes nothing, so they are computed when the list changes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct List {
    peers: Vec<Peer>,
    max: u16,
    /// Of all but the first: what the first said.
    tail: u64,
    /// Of the first `max - 1`: what is said to whoever puts this node first.
    front: u64,
}

impl core::ops::Deref for List {
    type Target = [Peer];

    fn deref(&self) -> &[Peer] {
        &self.peers
    }
}

impl List {
    fn new(max: usize) -> List {
        List { peers: Vec::new(), max: max as u16, tail: digest(&[], false), front: digest(&[], false) }
    }

    fn max(&self) -> usize {
        usize::from(self.max)
    }

    fn changed(&mut self) {
        self.peers.shrink_to_fit();
        self.tail = digest(self.peers.get(1..).unwrap_or(&[]), false);
        self.front = digest(&self.peers[..self.peers.len().min(self.max() - 1)], false);
    }

    /// Puts these peers in the place of those that are here.
    pub(super) fn set(&mut self, peers: Vec<Peer>) {
        self.peers = peers;
        self.peers.truncate(self.max());
        self.changed();
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, i: usize) {
        self.peers.remove(i);
        self.changed();
    }

    /// Puts `first` and `rest` in the place of the list. Returns the first index that changed.
    fn replace(&mut self, first: &Peer, rest: &[Peer]) -> Option<usize> {
        let wanted = core::iter::once(first).chain(rest);
        let same = self.peers.iter().zip(wanted.clone()).take_while(|(a, b)| a == b).count();
        if same == rest.len() + 1 && same == self.peers.len() {
            return None;
        }
        self.peers.truncate(same);
        self.peers.reserve_exact(rest.len() + 1 - same);
        self.peers.extend(wanted.skip(same).cloned());
        self.changed();
        Some(same)
    }

    /// How many stand before the first for which `fits` is false; once false, it stays so.
    fn prefix(&self, fits: impl Fn(&Peer) -> bool) -> usize {
        if self.peers.last().is_none_or(&fits) { self.peers.len() } else { self.peers.partition_point(fits) }
    }

    /// Digest of the first `n`.
    fn digest_of(&self, n: usize, closed: bool) -> u64 {
        if n == self.peers.len().min(self.max() - 1) && !closed {
            self.front
        } else {
            digest(&self.peers[..n], closed)
        }
    }

    /// Digest of all but the first.
    fn tail_digest(&self, closed: bool) -> u64 {
        if closed { digest(self.peers.get(1..).unwrap_or(&[]), true) } else { self.tail }
    }

    fn check(&self) -> bool {
        let mut again = self.clone();
        again.changed();
        again == *self && self.peers.len() <= self.max()
    }
}

/// The longest prefix of `list` that goes on clockwise from `from` and stays before `end`, at most `max` entries, and whether
/// it came round to `end`. `closed` says that after the list's last entry comes `from` again.
fn onward<'a>(from: &Id, list: &'a [Peer], closed: bool, end: &Id, max: usize) -> (&'a [Peer], bool) {
    let (mut n, mut last) = (0, from);
    while n < list.len() && between(last, list[n].id(), end) {
        last = list[n].id();
        n += 1;
    }
    if n > max { (&list[..max], false) } else { (&list[..n], closed || n < list.len()) }
}

/// The same counter-clockwise.
fn backward<'a>(from: &Id, list: &'a [Peer], end: &Id, max: usize) -> &'a [Peer] {
    let (mut n, mut last) = (0, from);
    while n < list.len().min(max) && between(end, list[n].id(), last) {
        last = list[n].id();
        n += 1;
    }
    &list[..n]
}

/// A 64-bit digest of a list, to say "you have it already". Not against forgery: a collision delays news by a round.
fn digest(list: &[Peer], closed: bool) -> u64 {
    fn mix(h: u64, v: u64) -> u64 {
        let wide = u128::from(h.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ v) * 0xd6e8_feb8_6659_fd93_u128;
        (wide as u64) ^ (wide >> 64) as u64
    }
    fn word(bytes: &[u8]) -> u64 {
        let mut word = [0; 8];
        word[8 - bytes.len()..].copy_from_slice(bytes);
        u64::from_be_bytes(word)
    }
    // Called with slices of at most 8 bytes, cut from arrays: the copies are of constant size.
    list.iter().fold(u64::from(closed), |h, peer| {
        let id = peer.id().as_bytes();
        let h = mix(mix(mix(h, word(&id[..8])), word(&id[8..16])), word(&id[16..]));
        let h = peer.label().chunks(8).fold(h, |h, part| mix(h, word(part)));
        match peer.addr() {
            Addr::V4(ip, port) => mix(h, word(&ip) << 16 | u64::from(port)),
            Addr::V6(ip, port) => mix(mix(mix(h, word(&ip[..8])), word(&ip[8..])), u64::from(port)),
        }
    })
}

impl Ring {
    /// A ring of one.
    pub(super) fn new(me: Peer, succs_max: usize, preds_max: usize) -> Ring {
        Ring { me, succs: List::new(succs_max), preds: List::new(preds_max), closed: true }
    }

    /// The node's own id.
    pub(super) fn id(&self) -> &Id {
        self.me.id()
    }

    /// The successor.
    pub(super) fn head(&self) -> Option<&Peer> {
        self.succs.first()
    }

    /// The predecessor.
    pub(super) fn pred(&self) -> Option<&Peer> {
        self.preds.first()
    }

    /// Whether nobody else is known.
    pub(super) fn is_alone(&self) -> bool {
        self.succs.is_empty() && self.preds.is_empty()
    }

    /// Whether `id` lies strictly between this node and its successor.
    pub(super) fn before_head(&self, id: &Id) -> bool {
        between(self.id(), id, self.head().map_or(self.id(), |head| head.id()))
    }

    /// Whether the lists name `peer`.
    pub(super) fn names(&self, peer: &Peer) -> bool {
        self.succs.contains(peer) || self.preds.contains(peer)
    }

    /// Puts `head ++ list` in place of the successor list. Returns the first index that changed.
    pub(super) fn set_succs(&mut self, head: &Peer, list: &[Peer], closed: bool) -> Option<usize> {
        let (rest, closed) = onward(head.id(), list, closed, self.me.id(), self.succs.max() - 1);
        let first = self.succs.replace(head, rest);
        let same_end = core::mem::replace(&mut self.closed, closed) == closed;
        first.or((!same_end).then_some(self.succs.len()))
    }

    /// Puts `pred ++ list` in place of the predecessor list. Returns the first index that changed.
    pub(super) fn set_preds(&mut self, pred: &Peer, list: &[Peer]) -> Option<usize> {
        let rest = backward(pred.id(), list, self.me.id(), self.preds.max() - 1);
        self.preds.replace(pred, rest)
    }

    /// Without a successor: all of `known` in ring order, to be verified head first.
    pub(super) fn refill(&mut self, mut known: Vec<Peer>) {
        known.sort_unstable_by_key(|p| p.id().wrapping_sub(self.me.id()));
        known.dedup_by(|a, b| a.id() == b.id());
        known.retain(|p| p.id() != self.me.id());
        self.closed = known.is_empty() || self.closed;
        self.succs.set(known);
    }

    /// What `asker` would adopt as the list after this node: the entries, and whether they come round to it.
    pub(super) fn succs_for(&self, asker: &Id) -> (&[Peer], bool) {
        // As `onward`, but our own list is in order: all of it if its last entry fits, else the cut is found by halving.
        let n = self.succs.prefix(|p| between(self.id(), p.id(), asker));
        let max = self.succs.max() - 1;
        if n > max {
            (&self.succs[..max], false)
        } else {
            (&self.succs[..n], self.closed || n < self.succs.len())
        }
    }

    /// What `head` would adopt as the list before this node.
    pub(super) fn preds_for(&self, head: &Id) -> &[Peer] {
        let n = self.preds.prefix(|p| between(head, p.id(), self.id()));
        &self.preds[..n.min(self.preds.max() - 1)]
    }

    /// Digest of [`Ring::succs_for`].
    pub(super) fn succs_digest_for(&self, asker: &Id) -> u64 {
        let (list, closed) = self.succs_for(asker);
        self.succs.digest_of(list.len(), closed)
    }

    /// Digest of [`Ring::preds_for`].
    pub(super) fn preds_digest_for(&self, head: &Id) -> u64 {
        self.preds.digest_of(self.preds_for(head).len(), false)
    }

    /// Digest of the list held after the successor: equal to the successor's [`Ring::succs_digest_for`] us if nothing changed.
    pub(super) fn tail_digest(&self) -> u64 {
        self.succs.tail_digest(self.closed)
    }

    /// Digest of the list held before the predecessor.
    pub(super) fn preds_tail_digest(&self) -> u64 {
        self.preds.tail_digest(false)
    }

    /// Lists are in order, bounded, and free of the node itself.
    pub(super) fn check(&self) -> Result<(), Violation> {
        let me = self.id();
        if !self.succs.check() || !self.preds.check() {
            return Err(Violation::new(
                "chord: lists are bounded and know their digests",
                format!("{self:?}"),
            ));
        }
        if onward(me, &self.succs, false, me, usize::MAX).0.len() != self.succs.len() {
            return Err(Violation::new("chord: the successor list goes clockwise once", format!("{self:?}")));
        }
        if backward(me, &self.preds, me, usize::MAX).len() != self.preds.len() {
            return Err(Violation::new("chord: the predecessor list goes back once", format!("{self:?}")));
        }
        if self.succs.is_empty() && !self.closed {
            return Err(Violation::new("chord: a ring of one is closed", format!("{self:?}")));
        }
        Ok(())
    }
}
