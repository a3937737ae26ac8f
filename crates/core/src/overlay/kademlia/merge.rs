//! Joining parts of a network that were split.
//!
//! Parts do not become one by upkeep: no table leads across. The node layer remembers lost peers and probes them.
//!
//! ```text
//!   Returned(x)   walk to my own place through x and whoever is named and is no contact: everyone asked hears a member,
//!                 and takes me in; so do I. After a mere restart of x that is one request
//!                 the nearest found is compared with: its neighborhood is mine, and both sides ping whom they lack
//!   found several in my neighborhood: the network was split. Tell a few contacts Reunite(x): they walk, too, once a round
//! ```

use alloc::format;
use alloc::vec::Vec;

use super::message::Msg;
use super::table::Change;
use super::walk::Walk;
use super::{Call, Kademlia, Purpose, Timer};
use crate::cx::Cx;
use crate::overlay::Violation;
use crate::peer::Peer;
use crate::time::{Duration, Mono};

/// Returned peers that wait for their walk.
const WAITING_MAX: usize = 8;
/// Contacts told of another part.
const REUNITE_FANOUT: usize = 3;
/// Contacts asked for in one step of a walk.
const NAMES: u8 = 8;
/// Strangers in the neighborhood from which on there was a split, and not a restart.
const SPLIT_MIN: u16 = 2;
/// A round follows a walk this soon.
const SOON_MS: u64 = 100;

/// The state of merging.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Merge {
    walk: Option<Walk>,
    /// Strangers of this node's neighborhood met by the walk that is under way.
    strangers: u16,
    waiting: Vec<Peer>,
    told_at: Option<Mono>,
    walked_at: Option<Mono>,
}

impl Kademlia {
    /// `peer` had been given up and lives.
    pub(super) fn reunite(&mut self, cx: &mut Cx<'_, Kademlia>, peer: Peer) {
        if !self.is_in() || peer.id() == self.table.id() || self.table.has(&peer) {
            return;
        }
        if self.merge.walk.is_some() {
            if self.merge.waiting.len() < WAITING_MAX && !self.merge.waiting.contains(&peer) {
                self.merge.waiting.push(peer);
            }
            return;
        }
        self.merge.walk = Some(Walk::new(self.table.id(), core::slice::from_ref(&peer)));
        self.merge.strangers = 0;
        self.step_merge(cx);
    }

    pub(super) fn on_reunite(&mut self, cx: &mut Cx<'_, Kademlia>, peer: &Peer) {
        let now = cx.now.mono;
        let pause = self.config.round();
        if !self.table.has(peer) && self.merge.walked_at.is_none_or(|at| now.since(at) >= pause) {
            self.merge.walked_at = Some(now);
            self.reunite(cx, peer.clone());
        }
    }

    fn step_merge(&mut self, cx: &mut Cx<'_, Kademlia>) {
        let alpha = usize::from(self.config.alpha);
        let target = *self.table.id();
        let Some(walk) = &mut self.merge.walk else { return };
        for peer in walk.ask(alpha) {
            cx.call(&peer, Msg::Find { target, max: NAMES, member: true }, Call::Walk(Purpose::Merge));
        }
        if walk.is_over() {
            self.end_merge(cx);
        }
    }

    pub(super) fn on_merge_answer(&mut self, cx: &mut Cx<'_, Kademlia>, from: &Peer, peers: &[Peer]) {
        let change = self.learn(cx, from);
        let me = *self.table.id();
        let strangers = peers.iter().take(usize::from(NAMES)).filter(|p| !self.table.has(p));
        let strangers: Vec<Peer> = strangers.cloned().collect();
        let Some(walk) = &mut self.merge.walk else { return };
        if walk.on_answer(from) {
            walk.add(&me, &strangers);
            self.merge.strangers += u16::from(matches!(change, Change::Group { .. }));
            self.step_merge(cx);
        }
    }

    pub(super) fn on_merge_silence(&mut self, cx: &mut Cx<'_, Kademlia>, peer: &Peer) {
        if self.merge.walk.as_mut().is_some_and(|walk| walk.on_silence(peer)) {
            self.step_merge(cx);
        }
    }

    fn end_merge(&mut self, cx: &mut Cx<'_, Kademlia>) {
        let Some(walk) = self.merge.walk.take() else { return };
        if let Some(nearest) = walk.answered().next().cloned()
            && self.merge.strangers > 0
        {
            self.compare_next(cx, nearest.clone());
            if self.merge.strangers >= SPLIT_MIN {
                self.spread(cx, &nearest);
            }
        }
        while !self.merge.waiting.is_empty() && self.merge.walk.is_none() {
            let next = self.merge.waiting.remove(0);
            self.reunite(cx, next);
        }
    }

    /// The next round is with `peer`, and soon.
    fn compare_next(&mut self, cx: &mut Cx<'_, Kademlia>, peer: Peer) {
        if self.table.is_near(peer.id()) {
            let depth = self.table.depth() as u8;
            self.upkeep.set_again(peer, depth);
            cx.arm(Timer::Round, Duration::from_millis(SOON_MS));
        }
    }

    /// Tells others that there is another part.
    fn spread(&mut self, cx: &mut Cx<'_, Kademlia>, stranger: &Peer) {
        let now = cx.now.mono;
        if self.merge.told_at.is_some_and(|at| now.since(at) < self.config.round()) {
            return;
        }
        self.merge.told_at = Some(now);
        let count = self.table.all().len();
        for _ in 0..REUNITE_FANOUT {
            let any = cx.rng.index(count).and_then(|i| self.table.all().nth(i));
            if let Some(peer) = any.filter(|p| *p != stranger).cloned() {
                cx.tell(&peer, Msg::Reunite(stranger.clone()));
            }
        }
    }

    pub(super) fn check_merge(&self) -> Result<(), Violation> {
        let walk = self.merge.walk.as_ref().is_none_or(Walk::is_bounded);
        if walk && self.merge.waiting.len() <= WAITING_MAX {
            return Ok(());
        }
        Err(Violation::new("kademlia: merging is bounded", format!("{:?}", self.merge)))
    }
}
