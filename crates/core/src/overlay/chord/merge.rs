//! Merging rings that were split. Two ideal rings never become one by stabilization alone: no pointer leads across.
//!
//! Three ways across, each ending in a candidate that the ordinary stabilize verifies before it is adopted:
//!
//! ```text
//!   Heard(x), Meet{x}   x lies between me and my successor ──▶ Stabilize to x
//!   Returned(x)         walk in x's ring to my place (BestPred to a fixed point p, as in a join), Look at p:
//!                       its successors are candidates for me, and p is told Meet{me}
//!   displaced           I take c over s, and c does not list s: tell c Meet{s}.  So two interleaved rings zip:
//!
//!        me ────────── s           me ── c ────── s           me ── c ── s ── d      one step each: one query, one tell
//!             c ────────── d              └─ Meet{s} ─▶           └─ Meet{d} ─▶
//! ```
//!
//! A zip that starts at one place needs a step for each node. So whoever finds a stranger between itself and its successor tells
//! its fingers and the far half of its old list (`Reunite`), and each of them walks to its own place, at most once a period: in
//! about log N round trips the zip starts everywhere (after Shafaat, Ghodsi, Haridi, *Dealing with network partitions in
//! structured overlay networks*, 2009, whose gossip has the same shape).

use alloc::vec::Vec;

use super::join::Walk;
use super::{Call, Chord, Msg, Purpose};
use crate::cx::Cx;
use crate::keyspace::ring::between;
use crate::peer::Peer;
use crate::time::Mono;

/// How often a hint is passed on before it is dropped.
pub(super) const HINT_HOPS: u8 = 32;
/// Nodes told at once that there is another ring.
const REUNITE_FANOUT: usize = 8;
/// Peers of other rings that wait for a walk.
const RETURNED_MAX: usize = 8;

/// The state of merging.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Merge {
    /// The walk under way in the other ring.
    pub(super) walk: Option<Walk>,
    /// Peers whose rings are walked next.
    waiting: Vec<Peer>,
    /// When others were last told, and when this node last walked because it was told.
    told_at: Option<Mono>,
    walked_at: Option<Mono>,
}

impl Chord {
    /// `peer` had been given up and lives: finds this node's place in its ring.
    pub(super) fn reunite(&mut self, cx: &mut Cx<'_, Chord>, peer: Peer) {
        let deaf = cfg!(keyway_bug = "chord_no_merge"); // planted: rings that were split stay split
        if !self.is_in_ring() || peer.id() == self.ring.id() || deaf {
            return;
        }
        if self.merge.walk.is_some() {
            if self.merge.waiting.len() < RETURNED_MAX && !self.merge.waiting.contains(&peer) {
                self.merge.waiting.push(peer);
            }
            return;
        }
        cx.call(&peer, Msg::BestPred { target: *self.ring.id() }, Call::Walk(Purpose::Merge));
        self.merge.walk = Some(Walk::new(peer));
    }

    /// The walk has ended, one way or another.
    pub(super) fn end_merge(&mut self, cx: &mut Cx<'_, Chord>) {
        self.merge.walk = None;
        if !self.merge.waiting.is_empty() {
            let next = self.merge.waiting.remove(0);
            self.reunite(cx, next);
        }
    }

    /// The node before us in the other ring shows its list.
    pub(super) fn on_merge_look(&mut self, cx: &mut Cx<'_, Chord>, from: &Peer, msg: Msg) {
        if let Msg::View(view) = msg
            && self.is_in_ring()
        {
            if self.ring.pred() != Some(from) {
                cx.tell(from, Msg::Meet { peer: self.ring.me.clone(), hops: 0 });
            }
            let me = self.ring.me.id();
            let next = view.succs.iter().find(|p| between(from.id(), p.id(), from.id()) && p.id() != me);
            // Alone in its ring it is both before and after us.
            self.consider(cx, next.unwrap_or(from).clone());
        }
        self.end_merge(cx);
    }

    /// A hint: `peer` may belong between us and our successor. If not, it is passed on towards its place.
    pub(super) fn on_meet(&mut self, cx: &mut Cx<'_, Chord>, peer: Peer, hops: u8) {
        if self.ring.before_head(peer.id()) {
            self.consider(cx, peer);
        } else if hops > 0 && peer.id() != self.ring.id() && !self.ring.names(&peer) {
            self.pass_on(cx, peer, hops.min(HINT_HOPS) - 1);
        }
    }

    pub(super) fn on_reunite(&mut self, cx: &mut Cx<'_, Chord>, peer: Peer) {
        let pause = self.config.stabilize();
        let now = cx.now.mono;
        if self.merge.walked_at.is_none_or(|at| now.since(at) >= pause) {
            self.merge.walked_at = Some(now);
            self.reunite(cx, peer);
        }
    }

    /// `new` has displaced `old` without knowing it: tells it, and tells others that there are two rings.
    pub(super) fn hand_on(&mut self, cx: &mut Cx<'_, Chord>, new: &Peer, old: Peer) {
        cx.tell(new, Msg::Meet { peer: old.clone(), hops: HINT_HOPS });
        let now = cx.now.mono;
        let pause = self.config.stabilize();
        if !self.found_stranger() || self.merge.told_at.is_some_and(|at| now.since(at) < pause) {
            return;
        }
        self.merge.told_at = Some(now);
        // The old successor's side may know nobody else of this one; the fingers reach far.
        let far = self.fingers.peers().iter().rev().chain(self.ring.preds.iter().rev());
        for peer in core::iter::once(&old).chain(far).take(REUNITE_FANOUT) {
            cx.tell(peer, Msg::Reunite { peer: new.clone() });
        }
        // And the other way: the new one's ring learns of ours.
        cx.tell(new, Msg::Reunite { peer: old });
    }
}
