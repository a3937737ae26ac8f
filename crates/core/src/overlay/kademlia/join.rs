//! Joining (section 2.3): insert a contact, look up the own id, fill the buckets; then say so to the neighborhood.
//!
//! ```text
//!   Walk     me ── Find{me} ──▶ seeds, then nearer ones          whoever answers is a contact
//!   Enter    me ── Enter ──▶ the nearest ──▶ Place{its neighborhood, some of its other contacts}
//!                                            its buckets beyond our common prefix are ours, too
//!   Verify   me ── Ping ──▶ the neighborhood, and contacts of each bucket until it has enough
//!   Hello    me ── Hello ──▶ all of the neighborhood that answered ──▶ Group{whom it holds}: Hello to those I had not met
//!                            member when all have taken me in
//! ```
//!
//! The paper refreshes "all k-buckets further away than its closest neighbor" by lookups; the nearest node has done that already. A
//! node is a member only when everyone who was the root of one of its keys knows it, because from then on lookups must end
//! here. Two that join at once learn of each other by it: whoever is greeted second names the first. Until the first Hello it answers nobody; from then on it answers as a member, but no lookup.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::message::{FAR_MAX, Msg};
use super::table::GROUP_MAX;
use super::walk::Walk;
use super::{Call, Kademlia, Phase, Purpose, Timer};
use crate::cx::{Cx, Ticket};
use crate::id::ID_BITS;
use crate::keyspace::xor;
use crate::overlay::Overlay;
use crate::peer::Peer;
use crate::time::Duration;

/// Seeds remembered.
const SEEDS_MAX: usize = 32;
/// Contacts asked for in one step of the walk.
const NAMES: u8 = 8;
/// Contacts of each bucket shown to a joiner.
const SHOWN: usize = 12;
/// Contacts of a bucket that a joiner pings beyond those that it needs: some are gone.
const SLACK: usize = 2;
/// Nodes asked for their place in one attempt.
const ENTERED_MAX: usize = 3;
/// Nodes greeted in one attempt; who is met later is met by the rounds of a member.
const GREETED_MAX: usize = GROUP_MAX + FAR_MAX;
/// Pause before the second attempt; doubles up to [`RETRY_MS_MAX`].
const RETRY_MS_MIN: u64 = 250;
/// Longest pause between attempts.
const RETRY_MS_MAX: u64 = 8_000;

/// How far a join has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Stage {
    /// Waiting for the next attempt.
    Idle,
    /// Walking to its place.
    Walk,
    /// Asking the nearest node for its neighborhood.
    Enter,
    /// Pinging those it named.
    Verify,
    /// Announcing itself.
    Hello,
}

/// A join under way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Join {
    pub(super) stage: Stage,
    seeds: Vec<Peer>,
    attempts: u32,
    walk: Walk,
    /// Who was asked to show its place.
    entered: Vec<Peer>,
    /// Bits of the prefix of our neighborhood, as the nearest node sees it.
    len: usize,
    /// Calls of this stage that have not ended.
    waiting: Vec<Peer>,
    /// Contacts of far buckets that have not been pinged.
    far: Vec<Peer>,
    /// Who has been told that we are there.
    greeted: Vec<Peer>,
}

impl Join {
    pub(super) fn is_bounded(&self) -> bool {
        self.walk.is_bounded()
            && self.seeds.len() <= SEEDS_MAX
            && self.entered.len() <= ENTERED_MAX
            && self.waiting.len() <= GREETED_MAX
            && self.far.len() <= FAR_MAX
            && self.greeted.len() <= GREETED_MAX
    }
}

impl Kademlia {
    pub(super) fn join(&mut self, cx: &mut Cx<'_, Kademlia>, mut seeds: Vec<Peer>) {
        if self.phase == Phase::Member {
            return;
        }
        let me = &self.table.me;
        seeds.retain(|p| p != me);
        seeds.truncate(SEEDS_MAX);
        if seeds.is_empty() {
            let after = cx.rng.jitter(self.config.round());
            cx.arm(Timer::Round, after);
            return self.become_member(cx);
        }
        if let Phase::Joining(join) = &mut self.phase {
            // Asked again while it lasts: the old seeds may have died. An attempt that is under way goes on.
            (join.seeds, join.attempts) = (seeds, 0);
            if join.stage == Stage::Idle {
                self.start_walk(cx);
            }
            return;
        }
        let walk = Walk::new(self.table.id(), &[]);
        self.phase = Phase::Joining(Box::new(Join {
            stage: Stage::Idle,
            seeds,
            attempts: 0,
            walk,
            entered: Vec::new(),
            len: 0,
            waiting: Vec::new(),
            far: Vec::new(),
            greeted: Vec::new(),
        }));
        self.start_walk(cx);
    }

    pub(super) fn on_join_timer(&mut self, cx: &mut Cx<'_, Kademlia>) {
        if matches!(&self.phase, Phase::Joining(join) if join.stage == Stage::Idle) {
            self.start_walk(cx);
        }
    }

    fn joining(&mut self, stage: Stage) -> Option<&mut Join> {
        match &mut self.phase {
            Phase::Joining(join) if join.stage == stage => Some(join),
            _ => None,
        }
    }

    /// Gives this attempt up and tries again later.
    fn retry_join(&mut self, cx: &mut Cx<'_, Kademlia>) {
        let Phase::Joining(join) = &mut self.phase else { return };
        let pause = (RETRY_MS_MIN << join.attempts.min(8)).min(RETRY_MS_MAX);
        join.attempts = join.attempts.saturating_add(1);
        join.stage = Stage::Idle;
        (join.entered, join.waiting, join.far) = (Vec::new(), Vec::new(), Vec::new());
        join.greeted = Vec::new();
        let join = join.clone();
        // What an earlier attempt learned is not trusted.
        *self = Kademlia { phase: Phase::Joining(join), ..Kademlia::new(self.table.me.clone(), self.config) };
        cx.disarm(Timer::Round);
        let after = cx.rng.jitter(Duration::from_millis(pause));
        cx.arm(Timer::Join, after);
    }

    // ---- walk

    fn start_walk(&mut self, cx: &mut Cx<'_, Kademlia>) {
        let me = *self.table.id();
        if let Phase::Joining(join) = &mut self.phase {
            join.stage = Stage::Walk;
            join.walk = Walk::new(&me, &join.seeds);
        }
        self.step_join_walk(cx);
    }

    fn step_join_walk(&mut self, cx: &mut Cx<'_, Kademlia>) {
        let alpha = usize::from(self.config.alpha);
        let target = *self.table.id();
        let Some(join) = self.joining(Stage::Walk) else { return };
        for peer in join.walk.ask(alpha) {
            cx.call(&peer, Msg::Find { target, max: NAMES, member: false }, Call::Walk(Purpose::Join));
        }
        if join.walk.is_over() {
            self.enter(cx);
        }
    }

    pub(super) fn on_walk_answer(
        &mut self,
        cx: &mut Cx<'_, Kademlia>,
        purpose: Purpose,
        from: &Peer,
        peers: Vec<Peer>,
    ) {
        if purpose == Purpose::Merge {
            return self.on_merge_answer(cx, from, &peers);
        }
        let me = self.table.me.clone();
        let Some(join) = self.joining(Stage::Walk) else { return };
        if !join.walk.on_answer(from) {
            return;
        }
        join.walk.add(me.id(), &peers[..peers.len().min(usize::from(NAMES))]);
        self.learn(cx, from);
        self.step_join_walk(cx);
    }

    pub(super) fn on_walk_silence(&mut self, cx: &mut Cx<'_, Kademlia>, purpose: Purpose, peer: &Peer) {
        if purpose == Purpose::Merge {
            return self.on_merge_silence(cx, peer);
        }
        if self.joining(Stage::Walk).is_some_and(|join| join.walk.on_silence(peer)) {
            self.step_join_walk(cx);
        }
    }

    // ---- enter

    /// Asks the nearest node that has not been asked yet.
    fn enter(&mut self, cx: &mut Cx<'_, Kademlia>) {
        let Phase::Joining(join) = &mut self.phase else { return };
        let next = join.walk.answered().find(|p| !join.entered.contains(p)).cloned();
        match next.filter(|_| join.entered.len() < ENTERED_MAX) {
            Some(peer) => {
                join.stage = Stage::Enter;
                join.entered.push(peer.clone());
                cx.call(&peer, Msg::Enter, Call::Enter);
            }
            None => self.retry_join(cx),
        }
    }

    pub(super) fn on_enter(&self, cx: &mut Cx<'_, Kademlia>, ticket: Ticket) {
        let depth = self.table.depth();
        let group = self.table.group().cloned().collect();
        let far = (0..depth).flat_map(|bucket| self.table.freshest(bucket, SHOWN)).take(FAR_MAX);
        let far = far.cloned().collect();
        cx.reply(ticket, Msg::Place { len: depth as u8, group, far });
    }

    pub(super) fn on_enter_silence(&mut self, cx: &mut Cx<'_, Kademlia>, peer: &Peer) {
        if self.joining(Stage::Enter).is_some_and(|join| join.entered.last() == Some(peer)) {
            self.enter(cx);
        }
    }

    pub(super) fn on_place(
        &mut self,
        cx: &mut Cx<'_, Kademlia>,
        from: &Peer,
        len: usize,
        group: Vec<Peer>,
        far: Vec<Peer>,
    ) {
        let me = self.table.me.clone();
        let Some(join) = self.joining(Stage::Enter) else { return };
        if join.entered.last() != Some(from) {
            return;
        }
        join.stage = Stage::Verify;
        // Another node of the same neighborhood may be asked after the first: what the first said stands.
        join.len = if join.entered.len() == 1 {
            len.min(xor::common(me.id(), from.id()))
        } else {
            join.len.min(len)
        };
        join.far.extend(far);
        join.far.truncate(FAR_MAX);
        self.learn(cx, from);
        for peer in group {
            self.verify(cx, &peer);
        }
        self.verify_far(cx);
    }

    // ---- verify

    fn verify(&mut self, cx: &mut Cx<'_, Kademlia>, peer: &Peer) -> bool {
        if peer.id() == self.table.id() || self.table.has(peer) {
            return false;
        }
        let Some(join) = self.joining(Stage::Verify) else { return false };
        if join.waiting.contains(peer) || join.waiting.len() >= GROUP_MAX {
            return false;
        }
        join.waiting.push(peer.clone());
        cx.call(peer, Msg::Ping { member: false }, Call::Verify);
        true
    }

    /// Pings contacts of each far bucket that has not enough, then goes on when all have ended or are not needed.
    fn verify_far(&mut self, cx: &mut Cx<'_, Kademlia>) {
        let me = *self.table.id();
        let enough = usize::from(self.config.neighbors);
        let Some(join) = self.joining(Stage::Verify) else { return };
        let (len, mut far) = (join.len, core::mem::take(&mut join.far));
        let mut asked = [0; ID_BITS + 1];
        join.waiting.iter().for_each(|p| asked[xor::common(&me, p.id())] += 1);
        far.retain(|peer| {
            let bucket = xor::common(&me, peer.id());
            if bucket < len && self.table.count(bucket) + asked[bucket] < enough + SLACK {
                asked[bucket] += usize::from(self.verify(cx, peer));
                return false;
            }
            bucket < len
        });
        let thin = (0..len).any(|bucket| self.table.count(bucket) < enough);
        let Some(join) = self.joining(Stage::Verify) else { return };
        join.far = far;
        // The neighborhood is heard to the end; of a far bucket enough is enough.
        if join.waiting.iter().any(|p| thin || xor::common(&me, p.id()) >= len) {
            return;
        }
        let mates_left =
            join.walk.answered().any(|p| !join.entered.contains(p) && xor::common(&me, p.id()) >= len);
        if thin && mates_left && join.entered.len() < ENTERED_MAX {
            return self.enter(cx);
        }
        self.hello(cx);
    }

    pub(super) fn on_verified(&mut self, cx: &mut Cx<'_, Kademlia>, peer: &Peer, lives: bool) {
        if lives && matches!(self.phase, Phase::Joining(_)) {
            self.learn(cx, peer);
        }
        if let Some(join) = self.joining(Stage::Verify) {
            join.waiting.retain(|p| p != peer);
            self.verify_far(cx);
        }
    }

    // ---- hello

    fn hello(&mut self, cx: &mut Cx<'_, Kademlia>) {
        let Phase::Joining(join) = &mut self.phase else { return };
        join.stage = Stage::Hello;
        // The longer prefix is what others hold for our neighborhood, the shorter what we must hold for it ourselves.
        join.len = join.len.min(self.table.depth());
        // Pings of far contacts that are not needed may still be under way.
        join.waiting = Vec::new();
        let met: Vec<Peer> = self.table.within(join.len).cloned().collect();
        for peer in &met {
            self.greet(cx, peer);
        }
        if self.joining(Stage::Hello).is_some_and(|join| join.waiting.is_empty()) {
            self.retry_join(cx);
        }
    }

    /// Says hello to a member of the neighborhood, once.
    fn greet(&mut self, cx: &mut Cx<'_, Kademlia>, peer: &Peer) {
        let me = *self.table.id();
        let Some(join) = self.joining(Stage::Hello) else { return };
        let near = *peer.id() != me && xor::common(&me, peer.id()) >= join.len;
        if !near || join.greeted.contains(peer) || join.greeted.len() >= GREETED_MAX {
            return;
        }
        join.greeted.push(peer.clone());
        join.waiting.push(peer.clone());
        cx.call(peer, Msg::Hello, Call::Hello);
    }

    /// A newcomer says that it is there; it has been learned.
    pub(super) fn on_hello(&self, cx: &mut Cx<'_, Kademlia>, ticket: Ticket) {
        let peers = self.table.group().take(GROUP_MAX).cloned().collect();
        cx.reply(ticket, Msg::Group { peers });
    }

    pub(super) fn on_welcome(&mut self, cx: &mut Cx<'_, Kademlia>, from: &Peer, peers: &[Peer]) {
        if self.joining(Stage::Hello).is_none() {
            return;
        }
        self.learn(cx, from);
        for peer in &peers[..peers.len().min(GROUP_MAX)] {
            self.greet(cx, peer);
        }
        self.end_hello(cx, from);
    }

    /// A member that was there a moment ago does not hear us.
    pub(super) fn on_unwelcome(&mut self, cx: &mut Cx<'_, Kademlia>, peer: &Peer) {
        if !matches!(self.phase, Phase::Joining(_)) {
            return;
        }
        self.table.remove(peer);
        self.end_hello(cx, peer);
    }

    fn end_hello(&mut self, cx: &mut Cx<'_, Kademlia>, peer: &Peer) {
        let Some(join) = self.joining(Stage::Hello) else { return };
        join.waiting.retain(|p| p != peer);
        if !join.waiting.is_empty() {
            return;
        }
        if self.table.group().len() == 0 {
            // Everyone who had answered a moment ago is gone.
            return self.retry_join(cx);
        }
        let after = cx.rng.jitter(self.config.round());
        cx.arm(Timer::Round, after);
        self.become_member(cx);
    }
}
