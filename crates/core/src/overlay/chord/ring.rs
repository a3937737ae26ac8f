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
    pub(super) succs: Vec<Peer>,
    pub(super) preds: Vec<Peer>,
    pub(super) closed: bool,
    succs_max: usize,
    preds_max: usize,
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
        Ring { me, succs: Vec::new(), preds: Vec::new(), closed: true, succs_max, preds_max }
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
        let (rest, closed) = onward(head.id(), list, closed, self.me.id(), self.succs_max - 1);
        let same =
            self.succs.iter().zip(core::iter::once(head).chain(rest)).take_while(|(a, b)| a == b).count();
        if same == rest.len() + 1 && same == self.succs.len() && closed == self.closed {
            return None;
        }
        self.succs.truncate(same);
        self.succs.extend(core::iter::once(head).chain(rest).skip(same).cloned());
        self.closed = closed;
        Some(same)
    }

    /// Puts `pred ++ list` in place of the predecessor list. Returns the first index that changed.
    pub(super) fn set_preds(&mut self, pred: &Peer, list: &[Peer]) -> Option<usize> {
        let rest = backward(pred.id(), list, self.me.id(), self.preds_max - 1);
        let same =
            self.preds.iter().zip(core::iter::once(pred).chain(rest)).take_while(|(a, b)| a == b).count();
        if same == rest.len() + 1 && same == self.preds.len() {
            return None;
        }
        self.preds.truncate(same);
        self.preds.extend(core::iter::once(pred).chain(rest).skip(same).cloned());
        Some(same)
    }

    /// Without a successor: all of `known` in ring order, to be verified head first.
    pub(super) fn refill(&mut self, mut known: Vec<Peer>) {
        known.sort_unstable_by_key(|p| p.id().wrapping_sub(self.me.id()));
        known.dedup_by(|a, b| a.id() == b.id());
        known.retain(|p| p.id() != self.me.id());
        known.truncate(self.succs_max);
        self.closed = known.is_empty() || self.closed;
        self.succs = known;
    }

    /// What `asker` would adopt as the list after this node: the entries, and whether they come round to it.
    pub(super) fn succs_for(&self, asker: &Id) -> (&[Peer], bool) {
        // As `onward`, but our own list is in order, so the cut is found by halving.
        let n = self.succs.partition_point(|p| between(self.id(), p.id(), asker));
        let max = self.succs_max - 1;
        if n > max {
            (&self.succs[..max], false)
        } else {
            (&self.succs[..n], self.closed || n < self.succs.len())
        }
    }

    /// What `head` would adopt as the list before this node.
    pub(super) fn preds_for(&self, head: &Id) -> &[Peer] {
        let n = self.preds.partition_point(|p| between(head, p.id(), self.id()));
        &self.preds[..n.min(self.preds_max - 1)]
    }

    /// Digest of [`Ring::succs_for`].
    pub(super) fn succs_digest_for(&self, asker: &Id) -> u64 {
        let (list, closed) = self.succs_for(asker);
        digest(list, closed)
    }

    /// Digest of [`Ring::preds_for`].
    pub(super) fn preds_digest_for(&self, head: &Id) -> u64 {
        digest(self.preds_for(head), false)
    }

    /// Digest of the list held after the successor: equal to the successor's [`Ring::succs_digest_for`] us if nothing changed.
    pub(super) fn tail_digest(&self) -> u64 {
        digest(self.succs.get(1..).unwrap_or(&[]), self.closed)
    }

    /// Digest of the list held before the predecessor.
    pub(super) fn preds_tail_digest(&self) -> u64 {
        digest(self.preds.get(1..).unwrap_or(&[]), false)
    }

    /// Lists are in order, bounded, and free of the node itself.
    pub(super) fn check(&self) -> Result<(), Violation> {
        let me = self.id();
        if self.succs.len() > self.succs_max || self.preds.len() > self.preds_max {
            return Err(Violation::new("chord: lists are bounded", format!("{self:?}")));
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
