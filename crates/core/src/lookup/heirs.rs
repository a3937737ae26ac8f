//! The way on when those who were named are dead (ToN 2003 section IV-E3 and theorem IV.5: after half of all nodes have died
//! at once, and before any repair, a lookup still finds the closest living successor).
//!
//! An answer names a few candidates, which is enough while most of them live. When the nearest node that answered has
//! named only silent ones, it is asked once more for all that it knows *around* the target:
//!
//! ```text
//!        nearer ones, best first             heirs: the root, and who would be it after the root, and so on
//!   a ──── b ── c ── d ──────── target ──── e ── f ── g
//!   │      all of them silent?                 e silent? f is asked. f: "e, then I" ── e is known to be silent: f is the root
//!   └ the asker goes on with those of them that it has not asked: no hop is lost
//! ```
//!
//! An heir becomes the root when every heir before it is silent, and so is everyone nearer than `a`. It is asked for its own
//! view first: a node that has just joined before it is known to it, if to nobody else.
//!
//! Only overlays that can say who follows whom round a ring take part ([`Overlay::around`]); `nearest.rs` is the same for those in
//! which nearness alone makes a root.

use alloc::vec::Vec;

use super::{ASKED_MAX, Candidate, Lookup, State, Step};
use crate::id::Id;
use crate::overlay::{Around, Overlay};
use crate::peer::Peer;

/// Asked for instead of a number of peers: all that is known around the target.
pub const AROUND: u8 = u8::MAX;
/// Nearer peers in one such answer, and heirs. Together they fit a datagram: 28 peers of at most 39 bytes.
pub const NEARER_MAX: usize = 12;
/// With half of all nodes dead, all of so many are once in 65,000 lookups.
pub const AROUND_HEIRS_MAX: usize = 16;
/// Heirs remembered by one lookup.
const HEIRS_MAX: usize = 64;

/// What a lookup knows of the far side of its target.
#[derive(Clone, Debug, Default)]
pub(super) struct Heirs {
    /// In the order in which they would be the root.
    list: Vec<Candidate>,
    /// Whether the asker's own tables have been read for this.
    own: bool,
}

impl Heirs {
    pub(super) fn set_state(&mut self, peer: &Id, state: State) -> bool {
        match self.list.iter_mut().find(|c| c.peer.id() == peer) {
            Some(c) if matches!(c.state, State::Asked | State::Slow) => {
                c.state = state;
                true
            }
            _ => false,
        }
    }

    /// This one is no heir.
    pub(super) fn forget(&mut self, peer: &Id) {
        self.list.retain(|c| c.peer.id() != peer);
    }
}

/// How many of a list are in this state.
fn count(list: &[Candidate], state: State) -> usize {
    list.iter().filter(|c| c.state == state).count()
}

impl Lookup {
    /// Whether an heir is being asked, and how many are slow.
    pub(super) fn heirs_under_way(&self) -> (usize, usize) {
        // Who stands in both lists is counted there.
        let only_here = |state| {
            let of = |c: &&Candidate| {
                c.state == state && !self.shortlist.iter().any(|s| s.peer.id() == c.peer.id())
            };
            self.heirs.list.iter().filter(of).count()
        };
        (only_here(State::Asked), only_here(State::Slow))
    }

    /// All that `from`, or the asker itself, knows around the target.
    pub(super) fn on_around<O: Overlay>(&mut self, me: &Peer, from: &Peer, around: Around, depth: u32) {
        if from.id() != me.id() {
            // A claim by one who knew less stands no more.
            self.root = None;
        }
        if !self.heirs.list.iter().any(|c| c.peer.id() == from.id()) {
            self.add::<O>(me, around.nearer, depth);
        }
        for peer in around.heirs {
            if self.heirs.list.iter().any(|c| c.peer.id() == peer.id()) || self.heirs.list.len() >= HEIRS_MAX
            {
                continue;
            }
            let distance = O::distance(&self.target, &peer);
            // At the target first, then those behind it: their distances are nearly the whole ring and fall.
            let at = self.heirs.list.partition_point(|c| c.distance.prev() > distance.prev());
            let state = match self.shortlist.iter().find(|c| c.peer.id() == peer.id()).map(|c| c.state) {
                _ if peer.id() == me.id() || peer.id() == from.id() => State::Answered,
                // It answered, but not to this question.
                None | Some(State::Answered | State::AnsweredAround) => State::New,
                Some(state) => state,
            };
            self.heirs.list.insert(at, Candidate { distance, peer, state, again: true, depth });
        }
    }

    /// The way on for a lookup in trouble, if this is how its overlay finds it; the usual step otherwise.
    pub(super) fn step_around(&mut self, me: &Peer, next: Option<usize>) -> Option<Step> {
        if !self.rings {
            return None;
        }
        if !self.heirs.own {
            self.heirs.own = true;
            return Some(Step::AskSelf);
        }
        // The nearest that answered: candidates nearer than it come first.
        let nearest = self.shortlist.iter().position(|c| c.has_told() && !self.is_behind(me, c));
        if let (Some(next), Some(nearest)) = (next, nearest)
            && next < nearest
        {
            return None;
        }
        match nearest {
            Some(i) if self.shortlist[i].state == State::Answered => {
                return Some(self.ask_around(i));
            }
            None if next.is_some_and(|next| !self.is_behind(me, &self.shortlist[next])) => return None,
            _ => {}
        }
        self.step_heirs(nearest)
    }

    /// Whether a candidate of the shortlist lies behind the target, or the asker lies between it and the target.
    fn is_behind(&self, me: &Peer, c: &Candidate) -> bool {
        let own = self.target.wrapping_sub(me.id());
        c.distance > own
    }

    /// Everyone nearer is silent or slow: the first heir that lives is the root.
    fn step_heirs(&mut self, nearest: Option<usize>) -> Option<Step> {
        let before = &self.shortlist[..nearest.unwrap_or(0)];
        let mut waits = count(before, State::Slow) > 0;
        for i in 0..self.heirs.list.len() {
            match self.heirs.list[i].state {
                State::Silent => {}
                State::Slow | State::Asked => waits = true,
                State::New if self.asked >= ASKED_MAX => return None,
                State::New => {
                    self.asked += 1;
                    let id = *self.heirs.list[i].peer.id();
                    self.heirs.list[i].state = State::Asked;
                    if let Some(c) = self.shortlist.iter_mut().find(|c| *c.peer.id() == id) {
                        (c.state, c.again) = (State::Asked, true);
                    }
                    return Some(Step::AskAround(self.heirs.list[i].peer.clone()));
                }
                State::Answered | State::AnsweredAround if waits => return Some(Step::Wait),
                State::Answered | State::AnsweredAround => {
                    let rest = self.heirs.list[i..].iter().filter(|c| c.state != State::Silent);
                    return Some(Step::Done(
                        rest.take(usize::from(self.wanted.max(1))).map(|c| c.peer.clone()).collect(),
                    ));
                }
            }
        }
        waits.then_some(Step::Wait)
    }

    /// Who would be the root is asked, not who leads to it.
    pub(super) fn is_heir(&self, peer: &Id) -> bool {
        let claimed = self.root.as_ref().and_then(|set| set.first()).is_some_and(|root| root.id() == peer);
        claimed || self.heirs.list.iter().any(|c| c.peer.id() == peer)
    }

    /// Whether a question to this peer is slow.
    pub(super) fn is_slow(&self, peer: &Id) -> bool {
        let slow = |c: &Candidate| c.peer.id() == peer && c.state == State::Slow;
        self.shortlist.iter().any(slow) || self.heirs.list.iter().any(slow)
    }
}
