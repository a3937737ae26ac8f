//! The walk to a node's own place: an iterative lookup of its own id (section 2.3) that remembers whom it met.
//!
//! ```text
//!   me ── Find{me} ──▶ alpha nearest not yet asked      each answer names nodes nearer to me
//!   over when the HEARD nearest that are not silent have answered
//! ```
//!
//! The paper waits for the k nearest; the node's neighborhood comes complete from the nearest one, so a few are enough here. Core's
//! `lookup` gives only the root, and who answers the walk is a contact.

use alloc::vec::Vec;

use crate::id::Id;
use crate::keyspace::xor;
use crate::peer::Peer;

/// Nodes remembered by one walk.
const SEEN_MAX: usize = 48;
/// Nodes asked by one walk.
const ASKED_MAX: usize = 48;
/// How many of the nearest must have answered.
const HEARD: usize = 3;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    New,
    Asked,
    Answered,
    Silent,
}

/// A walk under way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Walk {
    /// In order of distance.
    seen: Vec<(Peer, State)>,
    asked: usize,
}

impl Walk {
    pub(super) fn new(me: &Id, first: &[Peer]) -> Walk {
        let mut walk = Walk { seen: Vec::new(), asked: 0 };
        walk.add(me, first);
        walk
    }

    pub(super) fn add(&mut self, me: &Id, peers: &[Peer]) {
        for peer in peers {
            let distance = |p: &Peer| xor::distance(me, p.id());
            let at = self.seen.partition_point(|(p, _)| distance(p) < distance(peer));
            let known = self.seen.get(at).is_some_and(|(p, _)| p.id() == peer.id());
            if peer.id() != me && !known && at < SEEN_MAX {
                self.seen.insert(at, (peer.clone(), State::New));
                self.seen.truncate(SEEN_MAX);
            }
        }
    }

    /// Whom to ask next, at most `alpha` at once.
    pub(super) fn ask(&mut self, alpha: usize) -> Vec<Peer> {
        let mut ask = Vec::new();
        let under_way = self.seen.iter().filter(|(_, s)| *s == State::Asked).count();
        for _ in under_way..alpha {
            if self.is_over() || self.asked >= ASKED_MAX {
                break;
            }
            let Some((peer, state)) = self.seen.iter_mut().find(|(_, s)| *s == State::New) else { break };
            *state = State::Asked;
            self.asked += 1;
            ask.push(peer.clone());
        }
        ask
    }

    fn set(&mut self, peer: &Peer, to: State) -> bool {
        let asked = self.seen.iter_mut().find(|(p, s)| p == peer && *s == State::Asked);
        asked.map(|(_, state)| *state = to).is_some()
    }

    /// An asked peer answered; whether it was asked.
    pub(super) fn on_answer(&mut self, peer: &Peer) -> bool {
        self.set(peer, State::Answered)
    }

    /// An asked peer stayed silent; whether it was asked.
    pub(super) fn on_silence(&mut self, peer: &Peer) -> bool {
        self.set(peer, State::Silent)
    }

    /// Whether the nearest have answered, or nobody is left.
    pub(super) fn is_over(&self) -> bool {
        let mut alive = self.seen.iter().filter(|(_, s)| *s != State::Silent).take(HEARD);
        let open = self.seen.iter().any(|(_, s)| *s == State::Asked);
        alive.all(|(_, s)| *s == State::Answered) || (self.asked >= ASKED_MAX && !open)
    }

    /// Those who answered, nearest first.
    pub(super) fn answered(&self) -> impl Iterator<Item = &Peer> {
        self.seen.iter().filter(|(_, s)| *s == State::Answered).map(|(p, _)| p)
    }

    pub(super) fn is_bounded(&self) -> bool {
        self.seen.len() <= SEEN_MAX && self.asked <= ASKED_MAX
    }
}
