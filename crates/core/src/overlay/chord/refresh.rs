//! Keeping the fingers (ToN section IV-E: fix_fingers), one distinct finger a period.
//!
//! ```text
//!   me ── Finger{start} ──▶ f ──▶ Covers          start is in (pred(f), f]: still the finger. One pair, the steady state.
//!                             ──▶ Nearer{q}       q came before f: ask q the same; after two such steps, look it up
//!                             ──▶ (silence)       f is gone: look it up
//!   me ── lookup(start) ──▶ Found{root}           the root answered the lookup or was named by its predecessor
//! ```
//!
//! Fingers are hints for routing: a wrong one costs hops, never an answer. The first pass after a join does not wait for the
//! period, a finger that died is replaced soon.

use super::fingers::{self, octave};
use super::{Call, Chord, Msg, Phase, Timer};
use crate::cx::{Cx, Ticket};
use crate::id::{ID_BITS, Id};
use crate::keyspace::ring::within;
use crate::peer::Peer;
use crate::time::Duration;

/// Peers asked one after another before a lookup does it.
const STEPS_MAX: u8 = 2;
/// Pause before the first pass, and before a dead finger is replaced.
const SOON_MS: u64 = 200;

impl Chord {
    pub(super) fn start_fingers(&mut self, cx: &mut Cx<'_, Chord>) {
        self.fingers_new = self.config.eager_fingers;
        let after = if self.fingers_new {
            cx.rng.jitter(Duration::from_millis(SOON_MS))
        } else {
            self.config.period(self.config.fix_fingers(), cx.rng)
        };
        cx.arm(Timer::Fingers, after);
    }

    /// `peer` was a finger and is gone: its octave is next, and soon.
    pub(super) fn replace_finger(&mut self, cx: &mut Cx<'_, Chord>, peer: &Peer) {
        if let Some(o) = octave(&peer.id().wrapping_sub(self.ring.id())).filter(|_| self.config.eager_fingers)
        {
            self.octave = o as u8;
            let after = cx.rng.jitter(Duration::from_millis(SOON_MS));
            cx.arm(Timer::Fingers, after);
        }
    }

    pub(super) fn on_fingers_timer(&mut self, cx: &mut Cx<'_, Chord>) {
        if self.phase != Phase::Member {
            return;
        }
        let first = self.first_octave();
        if self.ring.closed || first >= ID_BITS {
            self.fingers_new = false;
        } else {
            let k = usize::from(self.octave).max(first);
            if self.is_past_pred(k) {
                if k < ID_BITS {
                    self.fingers.clear_from(self.ring.me.id(), k);
                }
                self.wrap(first);
            } else {
                self.octave = k as u8;
            }
            self.refresh(cx, usize::from(self.octave));
        }
        let after = self.config.period(self.config.fix_fingers(), cx.rng);
        cx.arm(Timer::Fingers, after);
    }

    /// The first octave that the successor list does not cover from its start.
    fn first_octave(&self) -> usize {
        let last = self.ring.succs.last().map_or(*self.ring.id(), |p| *p.id());
        octave(&last.wrapping_sub(self.ring.id())).map_or(0, |o| o + 1)
    }

    /// Whether finger `k` would be this node itself.
    fn is_past_pred(&self, k: usize) -> bool {
        let me = self.ring.id();
        k >= ID_BITS || self.ring.pred().is_some_and(|p| within(p.id(), &fingers::start(me, k), me))
    }

    fn wrap(&mut self, first: usize) {
        self.fingers_new = false;
        self.octave = first as u8;
    }

    fn refresh(&mut self, cx: &mut Cx<'_, Chord>, k: usize) {
        let me = self.ring.me.id();
        if self.is_past_pred(k) {
            return self.fingers.clear_from(me, k);
        }
        let start = fingers::start(me, k);
        match self.fingers.finger(me, k) {
            Some(peer) => cx.call(peer, Msg::Finger { start }, Call::Finger { octave: k as u8, steps: 0 }),
            None => cx.lookup(start, Call::FindFinger { octave: k as u8 }),
        }
    }

    pub(super) fn on_finger(&self, cx: &mut Cx<'_, Chord>, ticket: Ticket, start: &Id) {
        let answer = match self.ring.pred() {
            Some(pred) if !within(pred.id(), start, self.ring.id()) => Msg::Nearer(pred.clone()),
            _ => Msg::Covers,
        };
        cx.reply(ticket, answer);
    }

    pub(super) fn on_finger_answer(
        &mut self,
        cx: &mut Cx<'_, Chord>,
        k: u8,
        steps: u8,
        from: &Peer,
        msg: Msg,
    ) {
        let start = fingers::start(self.ring.id(), usize::from(k));
        match msg {
            _ if self.phase != Phase::Member => {}
            Msg::Covers => self.set_finger(k, from),
            // It must lie between the start and whoever named it, or the answer is nonsense.
            Msg::Nearer(peer) if steps < STEPS_MAX && within(&start.prev(), peer.id(), from.id()) => {
                cx.call(&peer, Msg::Finger { start }, Call::Finger { octave: k, steps: steps + 1 });
            }
            _ => cx.lookup(start, Call::FindFinger { octave: k }),
        }
    }

    pub(super) fn on_finger_silence(&mut self, cx: &mut Cx<'_, Chord>, k: u8, peer: &Peer) {
        self.drop_peer(cx, peer);
        if self.phase == Phase::Member {
            cx.lookup(fingers::start(self.ring.id(), usize::from(k)), Call::FindFinger { octave: k });
        }
    }

    pub(super) fn on_finger_found(&mut self, cx: &mut Cx<'_, Chord>, k: u8, peers: &[Peer]) {
        if self.phase != Phase::Member {
            return;
        }
        match peers.first() {
            Some(peer) => {
                self.set_finger(k, peer);
                if self.fingers_new {
                    self.on_fingers_timer(cx);
                }
            }
            // Not found now; its turn comes again.
            None => self.octave = k.saturating_add(1),
        }
    }

    /// `peer` is the first node at or after finger `k`'s start.
    fn set_finger(&mut self, k: u8, peer: &Peer) {
        let me = self.ring.me.id();
        let o = octave(&peer.id().wrapping_sub(me)).filter(|o| *o >= usize::from(k));
        if o.is_some_and(|o| o < self.first_octave()) {
            return; // the successor list has grown over it meanwhile
        }
        self.fingers.set(me, usize::from(k), peer);
        match o {
            Some(o) if self.octave <= o as u8 => self.octave = o as u8 + 1,
            Some(_) => {}
            // Round the ring to this node: no more fingers.
            None => self.wrap(self.first_octave()),
        }
    }
}
