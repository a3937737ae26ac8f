//! Chord: a ring of nodes, each responsible for the keys between its predecessor and itself.
//!
//! Papers: Stoica et al., *Chord: A Scalable Peer-to-peer Lookup Protocol for Internet Applications*, IEEE/ACM ToN 11(1),
//! 2003 ("ToN"); Zave, *Reasoning about Identifier Spaces: How to Make Chord Correct*, IEEE TSE 43(12), 2017 ("Zave").
//! The published protocol is not correct as stated; join, stabilize and rectify follow Zave. Deviations, with reasons, and
//! the message chart: `docs/overlays/chord.md`.
//!
//! ```text
//!            preds[1] ── preds[0] ── me ── succs[0] ── succs[1] ── ... ── succs[r-1]
//!                 ◀── advisory ──┘    │  └── Zave's successor list: head, then what the head said ──▶
//!                                     └── fingers: the first node of each octave beyond the list
//!
//!   each period   me ── Stabilize{have, preds} ──▶ succs[0]      notify and query in one request
//!                 me ◀── Same | View{pred, succs} ──             "Same": nothing to say, the steady state
//!                 me ── Stabilize ──▶ pred, if it lies between   verify before adopting (Zave)
//!                 succs[0] ── Ping ──▶ its pred, if me is farther (rectify)
//! ```
//!
//! Invariants. Local ones are in [`Overlay::check`]: lists bounded, in ring order, without the node itself. Global ones (for
//! checkers that see all nodes): every member has a live entry in its successor list, at least r + 1 members are skipped by
//! nobody's extended list (Zave), hence one ordered ring to which every member is attached.
//!
//! Rooms: `ring` and `fingers` are tables without protocol; `stabilize` keeps the ring, `join` enters it, `merge` joins rings
//! that were split, `refresh` keeps the fingers.

mod config;
mod fingers;
mod join;
mod merge;
mod message;
mod refresh;
mod ring;
mod stabilize;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::cx::{Cx, Event, Input, Ticket};
use crate::id::{ID_BITS, Id};
use crate::keyspace::ring::within;
use crate::overlay::placement::Stretch;
use crate::overlay::{Around, Hop, Overlay, Share, Violation};
use crate::peer::Peer;

pub use config::Config;
use fingers::Fingers;
use join::Join;
use merge::Merge;
pub use message::{Msg, Preds, View};
use ring::Ring;
use stabilize::Upkeep;

/// Candidates given by [`Overlay::next_hop`].
const ALTERNATES_MAX: usize = 3;

/// Why Chord asked.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Call {
    /// The successor, or a candidate for it, was asked to show its place.
    Stabilize,
    /// The predecessor was pinged before another may replace it.
    Rectify,
    /// A suspected peer was pinged.
    Probe,
    /// A step of the walk to the place where this node belongs.
    Walk(Purpose),
    /// The predecessor found by the walk was asked to show its place.
    Look(Purpose),
    /// The future successor was asked to show its place.
    JoinHead,
    /// A finger was asked whether it still is the finger for this octave; so many were asked before it.
    Finger {
        /// The octave.
        octave: u8,
        /// Steps towards the start so far.
        steps: u8,
    },
    /// The finger of an octave was looked up.
    FindFinger {
        /// The octave.
        octave: u8,
    },
}

/// Why a walk is made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Purpose {
    /// To enter the ring.
    Join,
    /// To find this node's place in another ring of the same network.
    Merge,
}

/// Chord's timers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Timer {
    /// The next round of stabilize.
    Stabilize,
    /// The next finger.
    Fingers,
    /// The next attempt to join.
    Join,
}

/// Where a node stands.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Phase {
    /// Not asked to join yet, or gone.
    Out,
    /// Looking for its place.
    Joining(Box<Join>),
    /// In the ring by its own knowledge, but no predecessor has come yet: nobody routes to it.
    Linking(Box<Join>),
    /// A member.
    Member,
}

/// A Chord node. See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Chord {
    config: Config,
    phase: Phase,
    ring: Ring,
    fingers: Fingers,
    /// The octave whose finger is refreshed next.
    octave: u8,
    /// Whether the first pass over the fingers is still to be done: it does not wait for the period.
    fingers_new: bool,
    upkeep: Upkeep,
    merge: Merge,
}

impl Chord {
    /// Whether it takes part in the ring's protocol.
    fn is_in_ring(&self) -> bool {
        matches!(self.phase, Phase::Linking(_) | Phase::Member)
    }

    fn stretch(&self) -> Stretch<'_> {
        Stretch::new(&self.ring.me, &self.ring.succs, &self.ring.preds, self.ring.closed)
    }

    /// The peers of the tables closest before `target` or at it, best first, each nearer to it than this node.
    fn closest_preceding(&self, target: &Id) -> impl Iterator<Item = &Peer> {
        let me = self.ring.id();
        let reach = target.wrapping_sub(me);
        // Fingers lie beyond the successor list, so this is by falling distance from here (ToN section IV-E, both tables).
        let outward = self.ring.succs.iter().chain(self.fingers.peers());
        outward.rev().filter(move |p| p.id().wrapping_sub(me) <= reach)
    }

    fn on_message(&mut self, cx: &mut Cx<'_, Chord>, from: Peer, ticket: Option<Ticket>, msg: Msg) {
        if from.id() == self.ring.id() {
            // Ourselves, a former life, or somebody with our id: the frame layer tells which. Nothing to learn from it.
            return;
        }
        if !self.is_in_ring() {
            if let Some(ticket) = ticket {
                cx.reply(ticket, Msg::Absent);
            }
            return;
        }
        match (msg, ticket) {
            (Msg::Ping, Some(ticket)) => cx.reply(ticket, Msg::Pong),
            (Msg::Stabilize { have, preds }, Some(ticket)) => {
                self.on_stabilize(cx, from, ticket, have, preds)
            }
            (Msg::Look, Some(ticket)) => self.on_look(cx, &from, ticket),
            (Msg::BestPred { target }, Some(ticket)) => self.on_best_pred(cx, &from, ticket, target),
            (Msg::Finger { start }, Some(ticket)) => self.on_finger(cx, ticket, &start),
            (Msg::News, None) => self.on_news(cx, &from),
            (Msg::Suspect(peer), None) => self.probe(cx, &peer),
            (Msg::Meet { peer, hops }, None) => self.on_meet(cx, peer, hops),
            (Msg::Reunite { peer }, None) => self.on_reunite(cx, peer),
            (Msg::Leaving, None) => self.drop_peer(cx, &from),
            // An answer that is none, or a request without the wish for an answer: the peer's fault.
            _ => {}
        }
    }

    fn on_answer(&mut self, cx: &mut Cx<'_, Chord>, why: Call, from: Peer, msg: Msg) {
        if msg == Msg::Absent {
            // It lives, but not in the ring: to us the same as silence.
            return self.on_no_answer(cx, why, &from);
        }
        match why {
            Call::Stabilize => self.on_stabilize_answer(cx, &from, msg),
            Call::Rectify => self.on_pred_alive(cx, &from),
            Call::Probe => self.on_probed(&from),
            Call::Walk(purpose) => self.on_walk_answer(cx, purpose, &from, msg),
            Call::Look(Purpose::Join) => self.on_join_look(cx, &from, msg),
            Call::Look(Purpose::Merge) => self.on_merge_look(cx, &from, msg),
            Call::JoinHead => self.on_join_head(cx, &from, msg),
            Call::Finger { octave, steps } => self.on_finger_answer(cx, octave, steps, &from, msg),
            Call::FindFinger { .. } => {}
        }
    }

    fn on_no_answer(&mut self, cx: &mut Cx<'_, Chord>, why: Call, peer: &Peer) {
        match why {
            Call::Stabilize => self.on_stabilize_silence(cx, peer),
            Call::Rectify => self.on_pred_silent(cx, peer),
            Call::Probe => self.on_probe_silence(cx, peer),
            Call::Walk(purpose) => self.on_walk_silence(cx, purpose, peer),
            Call::Look(Purpose::Join) => self.retry_join(cx),
            Call::Look(Purpose::Merge) => self.end_merge(cx),
            Call::JoinHead => self.on_join_head_silence(cx, peer),
            Call::Finger { octave, .. } => self.on_finger_silence(cx, octave, peer),
            Call::FindFinger { .. } => {}
        }
    }

    fn leave(&mut self, cx: &mut Cx<'_, Chord>) {
        if self.is_in_ring() {
            // ToN section IV-E3: tell both neighbours. They verify by their own next step, so nothing else need be said.
            let (pred, head) = (self.ring.pred(), self.ring.head());
            for peer in pred.into_iter().chain(head.filter(|h| Some(*h) != pred)) {
                cx.tell(peer, Msg::Leaving);
            }
        }
        for timer in [Timer::Stabilize, Timer::Fingers, Timer::Join] {
            cx.disarm(timer);
        }
        let me = self.ring.me.clone();
        *self = Chord::new(me, self.config);
        cx.emit(Event::Left);
    }
}

impl Overlay for Chord {
    const NAME: &'static str = "chord";
    const ABOUT: &'static str =
        "ring with fingers and successor lists (Stoica et al. 2003, corrected by Zave 2017)";
    type Config = Config;
    type Msg = Msg;
    type Call = Call;
    type Timer = Timer;

    fn configure(options: &[(String, u64)]) -> Result<Config, String> {
        Config::parse(options)
    }

    fn replicas_max(config: &Config) -> usize {
        // A holder must see as many predecessors as there are copies, and the predecessor of a key must see its set.
        usize::from(config.predecessors.min(config.successors))
    }

    fn new(me: Peer, config: Config) -> Chord {
        Chord {
            phase: Phase::Out,
            ring: Ring::new(me, usize::from(config.successors), usize::from(config.predecessors)),
            config,
            fingers: Fingers::default(),
            octave: 0,
            fingers_new: true,
            upkeep: Upkeep::default(),
            merge: Merge::default(),
        }
    }

    fn handle(&mut self, cx: &mut Cx<'_, Chord>, input: Input<Chord>) {
        match input {
            Input::Message { from, ticket, msg } => self.on_message(cx, from, ticket, msg),
            Input::Answer { why, from, msg } => self.on_answer(cx, why, from, msg),
            Input::NoAnswer { why, peer } => self.on_no_answer(cx, why, &peer),
            Input::Busy { why: Call::Stabilize, peer } => self.on_stabilize_busy(cx, &peer),
            // It lives, and is the successor: a joiner that passed it over would enter at the wrong place.
            Input::Busy { why: Call::JoinHead, .. } => self.retry_join(cx),
            Input::Busy { why, peer } => self.on_no_answer(cx, why, &peer),
            Input::Timer(Timer::Stabilize) => self.on_stabilize_timer(cx),
            Input::Timer(Timer::Fingers) => self.on_fingers_timer(cx),
            Input::Timer(Timer::Join) => self.on_join_timer(cx),
            Input::Found { why: Call::FindFinger { octave }, peers } => {
                self.on_finger_found(cx, octave, &peers)
            }
            Input::Found { .. } => {}
            Input::Heard(peer) => self.consider(cx, peer),
            Input::Suspect(peer) => self.probe(cx, &peer),
            Input::Returned(peer) => self.reunite(cx, peer),
            Input::Join { seeds } => self.join(cx, seeds),
            Input::Leave => self.leave(cx),
        }
    }

    fn next_hop(&self, target: &Id) -> Hop {
        if self.phase != Phase::Member {
            return Hop::Stuck;
        }
        let me = self.ring.id();
        let owned = match self.ring.pred() {
            Some(pred) => self.config.use_predecessor && within(pred.id(), target, me),
            None => self.ring.is_alone() || target == me,
        };
        if owned {
            return Hop::Root;
        }
        if let Some(head) = self.ring.head()
            && within(me, target, head.id())
        {
            return Hop::RootIs(head.clone());
        }
        let mut next = Vec::with_capacity(ALTERNATES_MAX);
        next.extend(self.closest_preceding(target).take(ALTERNATES_MAX).cloned());
        if next.is_empty() {
            // A ring of one that has just been joined knows its first neighbour as a predecessor only.
            next.extend(self.ring.pred().cloned());
        }
        if next.is_empty() { Hop::Stuck } else { Hop::Next(next) }
    }

    fn around(&self, target: &Id, nearer: usize, heirs: usize) -> Option<Around> {
        let nearer = self.closest_preceding(target).take(nearer).cloned().collect();
        Some(Around { nearer, heirs: self.replica_set(target, heirs) })
    }

    fn distance(target: &Id, peer: &Peer) -> Id {
        target.wrapping_sub(peer.id())
    }

    fn replica_set(&self, key: &Id, n: usize) -> Vec<Peer> {
        if self.is_member() { self.stretch().replica_set(key, n) } else { Vec::new() }
    }

    fn shares(&self, n: usize) -> Vec<Share> {
        if self.is_member() { self.stretch().shares(n) } else { Vec::new() }
    }

    fn neighbors(&self) -> impl Iterator<Item = &Peer> {
        self.ring.succs.iter().chain(self.ring.preds.iter()).chain(self.fingers.peers())
    }

    fn settle(&mut self, cx: &mut Cx<'_, Chord>, everyone: &[Peer]) {
        let me = self.ring.me.clone();
        *self = Chord::new(me.clone(), self.config);
        self.phase = Phase::Member;
        let n = everyone.len();
        let at = everyone.partition_point(|p| p.id() < me.id());
        let others = n.saturating_sub(1);
        let (r, p) = (usize::from(self.config.successors), usize::from(self.config.predecessors));
        self.ring.succs.set((1..=others.min(r)).map(|k| everyone[(at + k) % n].clone()).collect());
        self.ring.preds.set((1..=others.min(p)).map(|k| everyone[(at + n - k) % n].clone()).collect());
        self.ring.closed = others <= r;
        if let Some(last) = self.ring.succs.last().filter(|_| !self.ring.closed) {
            let reach = last.id().wrapping_sub(me.id());
            let mut k = fingers::octave(&reach).map_or(0, |o| o + 1);
            while k < ID_BITS {
                let i = everyone.partition_point(|p| *p.id() < fingers::start(me.id(), k)) % n;
                match fingers::octave(&everyone[i].id().wrapping_sub(me.id())) {
                    Some(o) if o >= k => {
                        self.fingers.set(me.id(), k, &everyone[i]);
                        k = o + 1;
                    }
                    _ => break,
                }
            }
        }
        self.fingers_new = false;
        self.settle_upkeep(cx);
        cx.emit(Event::Joined);
        cx.emit(Event::NeighborsChanged);
        cx.emit(Event::ReplicasChanged { from: 1 });
    }

    fn is_member(&self) -> bool {
        self.phase == Phase::Member
    }

    fn tables(&self) -> Vec<(&'static str, Vec<Peer>)> {
        vec![
            ("predecessors", self.ring.preds.to_vec()),
            ("successors", self.ring.succs.to_vec()),
            ("fingers", self.fingers.peers().to_vec()),
        ]
    }

    fn check(&self) -> Result<(), Violation> {
        self.ring.check()?;
        self.fingers.check(self.ring.id())?;
        self.check_upkeep()
    }
}
