//! The end of a lookup where nearness alone makes a root (Kademlia section 2.3).
//!
//! Of lookups whose root must answer itself (`confirm`). A root cannot know that nobody is nearer ([`Overlay::nearest_heard`]): its word is kept until the nearest peers seen have
//! answered, or were slow or silent.
//!
//! And the root may have died a moment ago, its whole neighborhood with it, and nobody has noticed. Then the nearest that lives
//! is the root. Who that is, is known once one has told of everybody nearer to the target, and all these are silent:
//!
//! ```text
//!   nearer                            farther
//!   r ──── b ──── c ──── d ──── ... ──── a        r and b are silent
//!   c: "the root is r, then come b and c"         it is in the set that it names: there is nobody between. c is the root
//!   c: "the root is r, then come b and s"         all silent, and others may be nearer than c:
//!   c: "nearer ones are r, b and s"               c is asked once more, for the nearest of all that it knows, on its own side of
//!                                                 the fork as well (`Around`); of these the nearest that lives is the root
//! ```
//!
//! The asker itself counts as one that was asked and answered: nobody but silent ones may lie between it and the target. Only
//! where nobody has answered at all nobody is a root: the asker is cut off.

use alloc::vec::Vec;

use super::{ASKED_MAX, Candidate, HopAnswer, Lookup, State, Step};
use crate::id::Id;
use crate::keyspace::Geometry;
use crate::overlay::Overlay;
use crate::peer::Peer;

/// What a lookup knows of nearness.
#[derive(Clone, Debug, Default)]
pub(super) struct Nearness {
    /// Whether it makes a root.
    counts: bool,
    /// How many of the nearest must have had their say.
    heard: usize,
    /// The set of a root that spoke for itself, and that root's distance.
    kept: Option<(Id, Vec<Peer>)>,
    /// The asker's distance, and whether it has been asked for all that it knows.
    own: Id,
    own_told: bool,
}

impl Nearness {
    pub(super) fn new<O: Overlay>(overlay: &O, me: &Peer, target: &Id) -> Nearness {
        let (counts, own) = (O::GEOMETRY == Geometry::Xor, O::distance(target, me));
        Nearness { counts, heard: overlay.nearest_heard(), kept: None, own, own_told: false }
    }

    /// Whether nearness alone makes a root.
    pub(super) fn counts(&self) -> bool {
        self.counts
    }

    /// Whether a root's word is not enough.
    pub(super) fn waits(&self) -> bool {
        self.heard > 0
    }

    /// Whether the word of a candidate, at this place of the shortlist, could still change the outcome.
    pub(super) fn heeds(&self, place: usize, c: &Candidate) -> bool {
        self.kept.as_ref().is_none_or(|(distance, _)| place < self.heard || c.distance < *distance)
    }
}

impl Lookup {
    /// A root has spoken for itself. Its word counts if nobody nearer has given it.
    pub(super) fn keep<O: Overlay>(&mut self, from: &Peer, set: Vec<Peer>) -> Option<Vec<Peer>> {
        let distance = O::distance(&self.target, from);
        if self.nearness.kept.as_ref().is_none_or(|(nearest, _)| distance < *nearest) {
            self.nearness.kept = Some((distance, set));
        }
        self.root = None;
        self.heard_out()
    }

    /// The kept set, if everyone nearer than its root and the nearest peers seen have answered, or had their time to.
    pub(super) fn heard_out(&self) -> Option<Vec<Peer>> {
        let (_, set) = self.nearness.kept.as_ref()?;
        (!self.is_awaited() || self.asked >= ASKED_MAX).then(|| set.clone())
    }

    /// Whether anybody who would be heeded has still to answer.
    fn is_awaited(&self) -> bool {
        self.find_heeded(|c| matches!(c.state, State::New | State::Asked)).is_some()
    }

    /// The first as wished of those whose word could still change the outcome.
    pub(super) fn find_heeded(&self, wished: impl Fn(&Candidate) -> bool) -> Option<usize> {
        let mut heard = 0;
        self.shortlist.iter().position(|c| {
            let place = heard;
            // Places are counted among those who are not silent.
            heard += usize::from(c.state != State::Silent);
            c.state != State::Silent && self.nearness.heeds(place, c) && wished(c)
        })
    }

    /// What an answer makes of the one that gave it.
    pub(super) fn state_after(&self, from: &Peer, answer: &HopAnswer) -> State {
        match answer {
            // It is one of the set that it names: it has told of everybody who is nearer than itself.
            HopAnswer::Root(set) if self.nearness.counts && set.contains(from) => State::AnsweredAround,
            // Not a member: as good as silence.
            HopAnswer::Stuck if self.nearness.counts => State::Silent,
            _ => State::Answered,
        }
    }

    /// The way on, or the end, for a lookup some of whose candidates are slow or silent; nothing if it is the usual step, which
    /// would ask `next`.
    pub(super) fn step_nearest(&mut self, me: &Peer, next: Option<usize>) -> Option<Step> {
        if self.nearness.kept.is_some() {
            return None;
        }
        let asked_again = |c: &Candidate| c.again && c.state == State::Asked;
        let Some(nearest) = self.shortlist.iter().position(|c| c.has_told() || asked_again(c)) else {
            return next.map_or_else(|| self.ask_self(), |_| None);
        };
        let mine = self.nearness.own < self.shortlist[nearest].distance;
        // All who are nearer than that one, or than the asker.
        let before = match mine {
            true => self.shortlist.partition_point(|c| c.distance < self.nearness.own),
            false => nearest,
        };
        if self.shortlist[..before].iter().any(|c| c.state == State::Asked) {
            return None;
        }
        let may_ask = self.asked < ASKED_MAX;
        if let Some(open) = self.shortlist[..before].iter().position(|c| c.state == State::New) {
            // Also those who are suspected, before anybody who is farther.
            return may_ask.then(|| self.ask(next.filter(|next| *next < before).unwrap_or(open)));
        }
        if mine && let Some(step) = self.ask_self() {
            return Some(step);
        }
        match self.shortlist[nearest].state {
            State::Asked => return Some(Step::Wait),
            // Also where the asker is nearer: somebody must still be there to say so.
            State::Answered => return may_ask.then(|| self.ask_around(nearest)),
            _ => {}
        }
        if self.shortlist[..before].iter().any(|c| c.state != State::Silent) {
            return Some(Step::Wait);
        }
        let mut living = self.shortlist.iter().filter(|c| c.state != State::Silent);
        let open = |c: &Candidate| c.state == State::Asked || c.state == State::New && may_ask;
        if living.by_ref().take(self.nearness.heard).any(open) {
            return None;
        }
        Some(Step::Done(self.living(me)))
    }

    /// Asks the asker for all that it knows, once.
    fn ask_self(&mut self) -> Option<Step> {
        (!core::mem::replace(&mut self.nearness.own_told, true)).then_some(Step::AskSelf)
    }

    /// The nearest who are not silent, the asker among them: who would hold the target if the silent ones are dead. The rest of the set
    /// that was named last, if that is of the same root.
    fn living(&self, me: &Peer) -> Vec<Peer> {
        let is_silent =
            |peer: &Peer| self.shortlist.iter().any(|c| c.state == State::Silent && c.peer.id() == peer.id());
        let living = self.shortlist.iter().filter(|c| c.state != State::Silent);
        let mut set: Vec<(&Id, &Peer)> = living.map(|c| (&c.distance, &c.peer)).collect();
        let at = set.partition_point(|(distance, _)| **distance < self.nearness.own);
        set.insert(at, (&self.nearness.own, me));
        let named: Vec<Peer> = self.root.iter().flatten().filter(|peer| !is_silent(peer)).cloned().collect();
        if named.first() == set.first().map(|(_, peer)| *peer) {
            return named;
        }
        set.into_iter().take(usize::from(self.wanted.max(1))).map(|(_, peer)| peer.clone()).collect()
    }
}
