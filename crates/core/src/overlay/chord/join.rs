//! Joining, after Zave: find the best predecessor to a fixed point, take its list, verify the head.
//!
//! ```text
//!   me ── BestPred{me} ──▶ seed          ──▶ Best{x}        repeat at x, which must be nearer, until the
//!   me ── BestPred{me} ──▶ x             ──▶ Best{}         answerer knows none nearer than itself: p
//!   me ── Look ──▶ p                     ──▶ View{succs}    its head s would be my successor
//!   me ── Look ──▶ s                     ──▶ View{succs}    s lives: my list is s ++ list(s)       (Linking)
//!   me ── Stabilize ──▶ s ── Meet{me} ──▶ p ── Stabilize ──▶ me                                    (Member)
//! ```
//!
//! A node says that it has joined only when it answers its predecessor, which asked in order to adopt it: one message later
//! lookups find it. Before, it takes part in the ring's upkeep but answers no lookup. Any silence on the way restarts the join at the next seed after a pause.
//!
//! That nobody else has this node's id is seen below the overlay, by those whom both speak to.

use alloc::vec::Vec;

use super::merge::HINT_HOPS;
use super::{Call, Chord, Msg, Phase, Purpose, Timer, View};
use crate::cx::{Cx, Event};
use crate::id::Id;
use crate::keyspace::ring::between;
use crate::peer::Peer;
use crate::time::Duration;

/// Steps of one walk. Fingers make it log N; a ring whose fingers are all gone is walked in strides of r.
const WALK_STEPS_MAX: u16 = 512;
/// Seeds remembered.
const SEEDS_MAX: usize = 32;
/// Pause before the second attempt; doubles up to [`RETRY_MS_MAX`].
const RETRY_MS_MIN: u64 = 250;
/// Longest pause between attempts.
const RETRY_MS_MAX: u64 = 16_000;

/// The way to the node closest before this one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Walk {
    /// The node that answered last, or is asked first.
    at: Peer,
    /// Nodes that it named, nearest to us last; the last one is being asked.
    next: Vec<Peer>,
    steps: u16,
}

/// How a walk goes on.
pub(super) enum Step {
    /// Ask this one.
    Ask(Peer),
    /// This one knows none nearer than itself.
    Arrived(Peer),
    /// No way on.
    Lost,
}

impl Walk {
    pub(super) fn new(first: Peer) -> Walk {
        Walk { at: first, next: Vec::new(), steps: 0 }
    }

    /// Who is being asked.
    fn asked(&self) -> &Peer {
        self.next.last().unwrap_or(&self.at)
    }

    fn on_best(&mut self, me: &Id, from: &Peer, mut peers: Vec<Peer>) -> Step {
        self.steps += 1;
        if self.steps > WALK_STEPS_MAX {
            return Step::Lost;
        }
        // Each step must come nearer, or a liar could lead us in circles.
        peers.retain(|p| between(from.id(), p.id(), me));
        peers.sort_unstable_by_key(|p| p.id().wrapping_sub(from.id()));
        self.at = from.clone();
        self.next = peers;
        match self.next.last() {
            Some(next) => Step::Ask(next.clone()),
            None => Step::Arrived(from.clone()),
        }
    }

    /// The asked one is silent: the next best that the same node named. Whoever named it is told.
    fn on_silence(&mut self, cx: &mut Cx<'_, Chord>, peer: &Peer) -> Step {
        if self.next.pop().is_some() {
            cx.tell(&self.at, Msg::Suspect(peer.clone()));
        }
        self.next.last().map_or(Step::Lost, |next| Step::Ask(next.clone()))
    }
}

/// A join under way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Join {
    seeds: Vec<Peer>,
    attempts: u32,
    walk: Option<Walk>,
    /// The list of the predecessor that was found: possible successors, the next one last.
    heads: Vec<Peer>,
}

impl Chord {
    pub(super) fn join(&mut self, cx: &mut Cx<'_, Chord>, mut seeds: Vec<Peer>) {
        if self.is_in_ring() {
            return;
        }
        seeds.retain(|p| p.id() != self.ring.id() || p.addr() != self.ring.me.addr());
        seeds.truncate(SEEDS_MAX);
        if seeds.is_empty() {
            self.phase = Phase::Member;
            cx.disarm(Timer::Join);
            cx.emit(Event::Joined);
            cx.emit(Event::ReplicasChanged { from: 1 });
            self.start_upkeep(cx);
            self.start_fingers(cx);
            return;
        }
        if let Phase::Joining(join) = &mut self.phase {
            // Asked again while it lasts: the old seeds may have died. An attempt that is under way goes on.
            (join.seeds, join.attempts) = (seeds, 0);
            if join.walk.is_none() {
                self.start_walk(cx);
            }
            return;
        }
        self.phase = Phase::Joining(Join { seeds, attempts: 0, walk: None, heads: Vec::new() }.into());
        self.start_walk(cx);
    }

    pub(super) fn on_join_timer(&mut self, cx: &mut Cx<'_, Chord>) {
        if matches!(&self.phase, Phase::Joining(join) if join.walk.is_none()) {
            self.start_walk(cx);
        }
    }

    fn start_walk(&mut self, cx: &mut Cx<'_, Chord>) {
        let Phase::Joining(join) = &mut self.phase else { return };
        let Some(seed) = join.seeds.get(join.attempts as usize % join.seeds.len().max(1)).cloned() else {
            return;
        };
        join.walk = Some(Walk::new(seed.clone()));
        cx.call(&seed, Msg::BestPred { target: *self.ring.id() }, Call::Walk(Purpose::Join));
    }

    /// Gives this attempt up and tries again later, at another seed.
    pub(super) fn retry_join(&mut self, cx: &mut Cx<'_, Chord>) {
        let (Phase::Joining(join) | Phase::Linking(join)) = &mut self.phase else { return };
        join.walk = None;
        join.heads = Vec::new();
        let pause = (RETRY_MS_MIN << join.attempts.min(10)).min(RETRY_MS_MAX);
        join.attempts = join.attempts.saturating_add(1);
        let join = join.clone();
        // What an earlier attempt learned is not trusted.
        *self = Chord { phase: Phase::Joining(join), ..Chord::blank(self) };
        let after = cx.rng.jitter(Duration::from_millis(pause));
        cx.disarm(Timer::Stabilize);
        cx.disarm(Timer::Fingers);
        cx.arm(Timer::Join, after);
    }

    fn blank(of: &Chord) -> Chord {
        <Chord as crate::overlay::Overlay>::new(of.ring.me.clone(), of.config)
    }

    fn walk_mut(&mut self, purpose: Purpose) -> Option<&mut Walk> {
        match (purpose, &mut self.phase) {
            (Purpose::Join, Phase::Joining(join)) => join.walk.as_mut(),
            (Purpose::Merge, _) => self.merge.walk.as_mut(),
            _ => None,
        }
    }

    pub(super) fn on_walk_answer(&mut self, cx: &mut Cx<'_, Chord>, purpose: Purpose, from: &Peer, msg: Msg) {
        let me = *self.ring.id();
        let Some(walk) = self.walk_mut(purpose).filter(|w| w.asked() == from) else { return };
        let step = match msg {
            Msg::Best { peers } => walk.on_best(&me, from, peers),
            _ => walk.on_silence(cx, from),
        };
        self.take_step(cx, purpose, step);
    }

    pub(super) fn on_walk_silence(&mut self, cx: &mut Cx<'_, Chord>, purpose: Purpose, peer: &Peer) {
        if let Some(walk) = self.walk_mut(purpose).filter(|w| w.asked() == peer) {
            let step = walk.on_silence(cx, peer);
            self.take_step(cx, purpose, step);
        }
    }

    fn take_step(&mut self, cx: &mut Cx<'_, Chord>, purpose: Purpose, step: Step) {
        match (step, purpose) {
            (Step::Ask(peer), _) => {
                cx.call(&peer, Msg::BestPred { target: *self.ring.id() }, Call::Walk(purpose));
            }
            (Step::Arrived(peer), _) => cx.call(&peer, Msg::Look, Call::Look(purpose)),
            (Step::Lost, Purpose::Join) => self.retry_join(cx),
            (Step::Lost, Purpose::Merge) => self.end_merge(cx),
        }
    }

    /// The predecessor-to-be shows its list.
    pub(super) fn on_join_look(&mut self, cx: &mut Cx<'_, Chord>, from: &Peer, msg: Msg) {
        let me = self.ring.me.clone();
        let Phase::Joining(join) = &mut self.phase else { return };
        let Msg::View(View { mut succs, .. }) = msg else { return self.retry_join(cx) };
        succs.retain(|p| p.id() != me.id() && p.id() != from.id());
        succs.sort_unstable_by_key(|p| p.id().wrapping_sub(me.id()));
        // After the last of its list it is the predecessor itself: in a ring of one it is the successor, too.
        succs.push(from.clone());
        succs.reverse();
        join.heads = succs;
        self.ask_head(cx);
    }

    fn ask_head(&mut self, cx: &mut Cx<'_, Chord>) {
        let Phase::Joining(join) = &self.phase else { return };
        if cfg!(keyway_bug = "chord_rules_2001")
            && let Some(head) = join.heads.last().cloned()
        {
            // planted: the predecessor's word is enough, and one successor is a list
            let unseen = View { pred: None, succs: Vec::new(), closed: false, want_preds: false };
            self.on_join_head(cx, &head, Msg::View(unseen));
            return self.become_member(cx);
        }
        match join.heads.last() {
            Some(head) => cx.call(head, Msg::Look, Call::JoinHead),
            None => self.retry_join(cx),
        }
    }

    /// The successor-to-be lives and shows its list: in the ring, by our own knowledge.
    pub(super) fn on_join_head(&mut self, cx: &mut Cx<'_, Chord>, from: &Peer, msg: Msg) {
        if !matches!(self.phase, Phase::Joining(_)) {
            return;
        }
        let Msg::View(view) = msg else { return self.retry_join(cx) };
        self.ring.set_succs(from, &view.succs, view.closed);
        let Phase::Joining(join) = core::mem::replace(&mut self.phase, Phase::Out) else { return };
        self.phase = Phase::Linking(join);
        self.start_upkeep(cx);
    }

    /// It can be found from now on.
    pub(super) fn become_member(&mut self, cx: &mut Cx<'_, Chord>) {
        self.phase = Phase::Member;
        cx.emit(Event::Joined);
        cx.emit(Event::NeighborsChanged);
        cx.emit(Event::ReplicasChanged { from: 1 });
        self.start_fingers(cx);
    }

    pub(super) fn on_join_head_silence(&mut self, cx: &mut Cx<'_, Chord>, peer: &Peer) {
        let Phase::Joining(join) = &mut self.phase else { return };
        join.heads.pop();
        if let Some(pred) = join.heads.first() {
            cx.tell(pred, Msg::Suspect(peer.clone()));
        }
        self.ask_head(cx);
    }

    /// Sends `peer` on its way towards its place, by the tables of the node closest before it.
    pub(super) fn pass_on(&self, cx: &mut Cx<'_, Chord>, peer: Peer, hops: u8) {
        debug_assert!(hops < HINT_HOPS, "a hint loses a hop each time");
        let target = *peer.id();
        let owner = self.ring.pred().filter(|pred| between(pred.id(), &target, self.ring.id()));
        let to = owner
            .or_else(|| self.closest_preceding(&target).find(|p| between(self.ring.id(), p.id(), &target)));
        if let Some(to) = to.cloned() {
            cx.tell(&to, Msg::Meet { peer, hops });
        }
    }
}
