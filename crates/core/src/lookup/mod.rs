//! Iterative lookup, written once over any overlay.
//!
//! The asker keeps a shortlist ordered by the overlay's distance to the target and asks the nearest unasked entry: the
//! overlay's [`Overlay::alpha`] of them at once, and up to [`PARALLEL_MAX`] when some are slow. Each answer is a step nearer,
//! or names the root with its replica set:
//!
//! ```text
//!   asker ──Hop(target)──▶ a   ◀─Next[b,c]──          shortlist: a, then b, c nearer than a
//!   asker ──Hop(target)──▶ b   (slow: hedge) ──▶ c
//!                          b   ◀─Root[r,s,t]──        done; with `confirm`, r is asked as well: it may be gone
//! ```
//!
//! When those who were named are dead, the nearest that answered is asked for all that it knows: round a ring in `heirs.rs`, and
//! where nearness alone makes a root in `nearest.rs`.
//!
//! A lookup ends: at most [`ASKED_MAX`] questions are asked, each node once for its step and once for all it knows. Who begins it
//! anew ([`Lookup::forget_asked`]) counts anew.

mod heirs;
mod nearest;
pub mod trail;

use alloc::vec::Vec;

use crate::id::Id;
use crate::overlay::{Around, Hop, Overlay};
use crate::peer::Peer;
use crate::wire::{Malformed, Reader, Wire, Writer};

pub use heirs::{AROUND, AROUND_HEIRS_MAX, NEARER_MAX};

/// Nodes asked by one attempt of a lookup at the most.
pub const ASKED_MAX: usize = 64;
/// Entries of the shortlist.
pub const SHORTLIST_MAX: usize = 64;
/// Steps under way at once, whatever the overlay's alpha: a slow one is hedged by the next candidate.
pub const PARALLEL_MAX: usize = 3;

/// Candidates in one step's answer.
pub const CANDIDATES_MAX: usize = 20;
/// Peers of a replica set in one answer.
pub const SET_MAX: usize = 32;

/// One step of a lookup, as answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HopAnswer {
    /// The root is known: the replica set, root first.
    Root(Vec<Peer>),
    /// Nearer nodes, best first.
    Next(Vec<Peer>),
    /// No way on from here.
    Stuck,
    /// To one who asked for [`AROUND`]: all that is known around the target.
    Around(Around),
}

impl Wire for HopAnswer {
    fn encode(&self, w: &mut Writer<'_>) {
        match self {
            HopAnswer::Root(set) => {
                w.u8(0);
                w.list(&set[..set.len().min(SET_MAX)]);
            }
            HopAnswer::Next(peers) => {
                w.u8(1);
                w.list(&peers[..peers.len().min(CANDIDATES_MAX)]);
            }
            HopAnswer::Stuck => w.u8(2),
            HopAnswer::Around(Around { nearer, heirs }) => {
                w.u8(3);
                w.list(&nearer[..nearer.len().min(NEARER_MAX)]);
                w.list(&heirs[..heirs.len().min(AROUND_HEIRS_MAX)]);
            }
        }
    }
    fn decode(r: &mut Reader<'_>) -> Result<HopAnswer, Malformed> {
        match r.u8()? {
            0 => Ok(HopAnswer::Root(r.list(SET_MAX)?)),
            1 => Ok(HopAnswer::Next(r.list(CANDIDATES_MAX)?)),
            2 => Ok(HopAnswer::Stuck),
            3 => {
                let (nearer, heirs) = (r.list(NEARER_MAX)?, r.list(AROUND_HEIRS_MAX)?);
                Ok(HopAnswer::Around(Around { nearer, heirs }))
            }
            _ => Err(Malformed("unknown hop answer")),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    New,
    Asked,
    Slow,
    Answered,
    /// It has told all that it knows around the target.
    AnsweredAround,
    Silent,
}

#[derive(Clone, Debug)]
struct Candidate {
    distance: Id,
    peer: Peer,
    state: State,
    /// It is asked for the second time: for all that it knows.
    again: bool,
    /// How many nodes were asked one after another until it was named, itself included.
    depth: u32,
}

/// What to do next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Send a `Hop` to this peer; call again for more.
    Ask(Peer),
    /// Send a `Hop` for [`AROUND`] to this peer; call again for more.
    AskAround(Peer),
    /// Give [`Lookup::on_own`] what this node itself knows, then call again.
    AskSelf,
    /// Wait for answers.
    Wait,
    /// The replica set, root first.
    Done(Vec<Peer>),
    /// No way on.
    Failed,
}

/// What a lookup costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cost {
    /// Nodes that were asked and answered, those that were asked beside a slow one included.
    pub hops: u32,
    /// Nodes on the way to the one that named the root, each named by the one before.
    pub path: u32,
    /// Nodes that stayed silent or were slow.
    pub timeouts: u32,
    /// Of these, nodes that had been named as the root.
    pub root_timeouts: u32,
}

/// One lookup under way.
#[derive(Clone, Debug)]
pub struct Lookup {
    target: Id,
    wanted: u8,
    confirm: bool,
    shortlist: Vec<Candidate>,
    /// The replica set last named, nearest claim.
    root: Option<Vec<Peer>>,
    /// The overlay's alpha.
    alpha: usize,
    nearness: nearest::Nearness,
    /// Questions so far.
    asked: usize,
    hops: u32,
    /// The depth of the node that led to the root.
    path: u32,
    timeouts: u32,
    /// Of these, of peers that would have been the root.
    root_timeouts: u32,
    /// One who was named as the root named others.
    refused: bool,
    /// Whether the overlay knows who follows whom.
    rings: bool,
    heirs: heirs::Heirs,
}

impl Candidate {
    /// Whether it has answered.
    fn has_told(&self) -> bool {
        matches!(self.state, State::Answered | State::AnsweredAround)
    }
}

impl Lookup {
    /// A lookup of `target` that wants `wanted` peers of its replica set. With `confirm`, the root must answer itself.
    #[must_use]
    pub fn new(target: Id, wanted: u8, confirm: bool) -> Lookup {
        Lookup {
            target,
            wanted,
            confirm,
            shortlist: Vec::new(),
            root: None,
            alpha: 1,
            nearness: nearest::Nearness::default(),
            asked: 0,
            hops: 0,
            path: 0,
            timeouts: 0,
            root_timeouts: 0,
            refused: false,
            rings: true,
            heirs: heirs::Heirs::default(),
        }
    }

    /// The id sought.
    #[must_use]
    pub const fn target(&self) -> &Id {
        &self.target
    }

    /// Peers of the replica set wanted.
    #[must_use]
    pub const fn wanted(&self) -> u8 {
        self.wanted
    }

    /// What it has cost so far.
    #[must_use]
    pub const fn cost(&self) -> Cost {
        Cost { hops: self.hops, path: self.path, timeouts: self.timeouts, root_timeouts: self.root_timeouts }
    }

    /// It travelled from node to node for a while: what that cost.
    pub const fn add_cost(&mut self, hops: u32, timeouts: u32) {
        self.hops += hops;
        self.path += hops;
        self.timeouts += timeouts;
    }

    /// Forgets who was asked, and keeps the costs: after a failure the asker's tables may know better.
    pub fn forget_asked(&mut self) {
        self.shortlist.clear();
        self.root = None;
        self.asked = 0;
        self.refused = false;
        self.heirs = heirs::Heirs::default();
    }

    /// Begins with the asker's own tables. Returns the set if the asker knows the root itself.
    pub fn begin<O: Overlay>(&mut self, me: &Peer, overlay: &O) -> Option<Vec<Peer>> {
        self.alpha = overlay.alpha().clamp(1, PARALLEL_MAX);
        self.nearness = nearest::Nearness::new(overlay, me, &self.target);
        match overlay.next_hop(&self.target) {
            Hop::Root => Some(own_set(overlay, me, &self.target, self.wanted)),
            Hop::RootIs(root) => {
                let mut set = overlay.replica_set(&self.target, usize::from(self.wanted));
                if set.first() != Some(&root) {
                    set.retain(|p| *p != root);
                    set.insert(0, root);
                }
                if !self.confirm {
                    return Some(set);
                }
                self.claim::<O>(me, set, 1);
                None
            }
            Hop::Next(peers) => {
                self.add::<O>(me, peers, 1);
                None
            }
            Hop::Stuck => None,
        }
    }

    fn add<O: Overlay>(&mut self, me: &Peer, peers: Vec<Peer>, depth: u32) {
        for peer in peers {
            if peer.id() == me.id() {
                continue;
            }
            let distance = O::distance(&self.target, &peer);
            let before =
                |c: &Candidate| c.distance < distance || c.distance == distance && c.peer.id() < peer.id();
            let at = self.shortlist.partition_point(before);
            let known = self.shortlist.get(at).is_some_and(|c| c.peer.id() == peer.id());
            if !known && at < SHORTLIST_MAX {
                self.shortlist
                    .insert(at, Candidate { distance, peer, state: State::New, again: false, depth });
                self.shortlist.truncate(SHORTLIST_MAX);
            }
        }
    }

    /// Somebody names the root. Its set joins the shortlist so that a dead root can be replaced by the next one.
    fn claim<O: Overlay>(&mut self, me: &Peer, set: Vec<Peer>, depth: u32) {
        self.add::<O>(me, set.clone(), depth);
        self.root = Some(set);
    }

    fn set_state(&mut self, peer: &Id, state: State) -> bool {
        let heir = self.heirs.set_state(peer, state);
        match self.shortlist.iter_mut().find(|c| c.peer.id() == peer) {
            Some(c) if matches!(c.state, State::Asked | State::Slow) => {
                let answered_all = state == State::Answered && c.again;
                c.state = if answered_all { State::AnsweredAround } else { state };
                true
            }
            _ => heir,
        }
    }

    /// Whether this peer's answer is a hop: it leads to the root, and has not answered before.
    fn is_hop(&self, peer: &Id) -> bool {
        !self.is_heir(peer) && !self.shortlist.iter().any(|c| c.peer.id() == peer && c.again)
    }

    /// An asked peer answered.
    pub fn on_answer<O: Overlay>(&mut self, me: &Peer, from: &Peer, answer: HopAnswer) -> Option<Vec<Peer>> {
        let is_hop = self.is_hop(from.id());
        if !self.set_state(from.id(), self.state_after(from, &answer)) {
            return None;
        }
        let is_claimed = self.root.as_ref().and_then(|s| s.first()).is_some_and(|r| r.id() == from.id());
        self.hops += u32::from(is_hop);
        let depth = self.shortlist.iter().find(|c| c.peer.id() == from.id()).map_or(0, |c| c.depth);
        if matches!(answer, HopAnswer::Root(_) | HopAnswer::Around(_)) && !self.is_heir(from.id()) {
            self.path = depth;
        }
        self.refused |= is_claimed && matches!(answer, HopAnswer::Next(_));
        match answer {
            HopAnswer::Root(set) => {
                let itself = set.first().is_some_and(|r| r.id() == from.id());
                if set.is_empty() {
                    return None;
                }
                if itself && self.confirm && self.nearness.waits() {
                    return self.keep::<O>(from, set);
                }
                if !self.confirm || itself || set.first().is_some_and(|r| r.id() == me.id()) {
                    return Some(set);
                }
                self.claim::<O>(me, set, depth + 1);
            }
            HopAnswer::Next(peers) => {
                if is_claimed {
                    self.root = None;
                }
                self.add::<O>(me, peers, depth + 1);
            }
            HopAnswer::Stuck => {
                if is_claimed {
                    self.root = None;
                }
                // Not a member: as good as silence.
                self.heirs.forget(from.id());
            }
            HopAnswer::Around(around) => self.take_around::<O>(me, from, around, depth + 1),
        }
        None
    }

    /// This node's own knowledge around the target, as [`Step::AskSelf`] asked for it.
    pub fn on_own<O: Overlay>(&mut self, me: &Peer, overlay: &O) {
        // By nearness every contact is a way on: one of them lives, or this node is cut off.
        let heirs = if self.nearness.counts() { SHORTLIST_MAX } else { AROUND_HEIRS_MAX };
        match overlay.around(&self.target, NEARER_MAX, heirs) {
            Some(around) => self.take_around::<O>(me, me, around, 1),
            None => self.rings = false,
        }
    }

    /// All that `from`, or the asker itself, knows around the target.
    fn take_around<O: Overlay>(&mut self, me: &Peer, from: &Peer, around: Around, depth: u32) {
        if self.nearness.counts() {
            self.add::<O>(me, around.nearer, depth);
            self.add::<O>(me, around.heirs, depth);
        } else {
            self.on_around::<O>(me, from, around, depth);
        }
    }

    fn count_timeout(&mut self, peer: &Id) {
        self.timeouts += 1;
        self.root_timeouts += u32::from(self.is_heir(peer));
    }

    /// An asked peer is slow: somebody else may be asked as well.
    pub fn on_slow(&mut self, peer: &Id) {
        // Every further try that goes unanswered says so again: it is one peer, and one time-out.
        let was_slow = self.is_slow(peer);
        if self.set_state(peer, State::Slow) && !was_slow {
            self.count_timeout(peer);
        }
    }

    /// An asked peer stayed silent.
    pub fn on_silent(&mut self, peer: &Id) {
        let was_slow = self.is_slow(peer);
        if self.set_state(peer, State::Silent) && !was_slow {
            self.count_timeout(peer);
        }
        if let Some(set) = &mut self.root {
            // The next of the set is the root of what the silent one held.
            set.retain(|p| p.id() != peer);
            if set.is_empty() {
                self.root = None;
            }
        }
    }

    /// What to do next. `suspect` says of whom silence is expected: they are asked last.
    pub fn step(&mut self, me: &Peer, suspect: impl Fn(&Id) -> bool) -> Step {
        if let Some(set) = self.heard_out() {
            return Step::Done(set);
        }
        let (heirs_fresh, heirs_slow) = self.heirs_under_way();
        let fresh = self.shortlist.iter().filter(|c| c.state == State::Asked).count() + heirs_fresh;
        let slow = self.shortlist.iter().filter(|c| c.state == State::Slow).count() + heirs_slow;
        // While a root is asked whether it is one, nobody else is.
        let confirming = self.root.as_ref().and_then(|set| set.first()).is_some_and(|root| {
            self.shortlist.iter().any(|c| c.state == State::Asked && c.peer.id() == root.id())
        });
        if fresh >= self.alpha || fresh + slow >= PARALLEL_MAX || confirming {
            return Step::Wait;
        }
        // A claimed root is confirmed first, then the nearest candidate nobody suspects, then the nearest.
        let claimed = self.root.as_ref().and_then(|s| s.first()).map(|p| *p.id());
        let is_open = |c: &Candidate| c.state == State::New && self.asked < ASKED_MAX;
        let mut found = None;
        if let Some(id) = claimed {
            found = self.shortlist.iter().position(|c| is_open(c) && *c.peer.id() == id);
        }
        let confirms = found.is_some();
        let found = found
            .or_else(|| self.find_heeded(|c| is_open(c) && !suspect(c.peer.id())))
            .or_else(|| self.find_heeded(is_open));
        if !confirms && let Some(step) = self.step_in_trouble(me, found) {
            return step;
        }
        match found {
            Some(i) => self.ask(i),
            None if fresh + slow > 0 => Step::Wait,
            None => Step::Failed,
        }
    }

    /// Asks an entry of the shortlist.
    fn ask(&mut self, place: usize) -> Step {
        self.asked += 1;
        self.shortlist[place].state = State::Asked;
        Step::Ask(self.shortlist[place].peer.clone())
    }

    /// Asks an entry of the shortlist once more, for all that it knows.
    fn ask_around(&mut self, place: usize) -> Step {
        self.asked += 1;
        self.shortlist[place].state = State::Asked;
        self.shortlist[place].again = true;
        Step::AskAround(self.shortlist[place].peer.clone())
    }

    /// The way on when some are slow or silent, if there is a better one than `next`, whom the usual step would ask.
    fn step_in_trouble(&mut self, me: &Peer, next: Option<usize>) -> Option<Step> {
        let trouble = self.shortlist.iter().any(|c| matches!(c.state, State::Slow | State::Silent));
        match self.nearness.counts() {
            true if trouble => self.step_nearest(me, next),
            false if (trouble || self.refused) && self.asked < ASKED_MAX => self.step_around(me, next),
            _ => None,
        }
    }
}

/// The replica set of a key whose root this node is.
fn own_set<O: Overlay>(overlay: &O, me: &Peer, key: &Id, wanted: u8) -> Vec<Peer> {
    let mut set = overlay.replica_set(key, usize::from(wanted));
    if set.is_empty() {
        set.push(me.clone());
    }
    set
}

/// The answer to a `Hop` from another node, by this node's tables.
pub fn answer<O: Overlay>(overlay: &O, me: &Peer, target: &Id, wanted: u8) -> HopAnswer {
    if wanted == AROUND
        && let Some(around) = overlay.around(target, NEARER_MAX, AROUND_HEIRS_MAX)
    {
        return HopAnswer::Around(around);
    }
    match overlay.next_hop(target) {
        Hop::Root => HopAnswer::Root(own_set(overlay, me, target, wanted)),
        Hop::RootIs(root) => {
            let mut set = overlay.replica_set(target, usize::from(wanted));
            if set.first() != Some(&root) {
                set.retain(|p| *p != root);
                set.insert(0, root);
            }
            HopAnswer::Root(set)
        }
        Hop::Next(peers) => HopAnswer::Next(peers),
        Hop::Stuck => HopAnswer::Stuck,
    }
}
