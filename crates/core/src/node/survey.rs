//! A survey: who is in the network, and what each holds, as far as one node can find out.
//!
//! ```text
//!   surveyor ──About──▶ each peer that it knows ──AboutIs{records, bytes, shares, peers}──▶ ask those peers, too ...
//! ```
//!
//! For people and pictures, not for the protocol: nothing is decided by it, whoever does not answer is not suspected for it, and
//! strangers that answer do not enter the memory of peers. One survey is under way at a time; at most [`SURVEY_PARALLEL`] questions are under way,
//! at most as many nodes are asked as wanted ([`SURVEY_MAX`]), and after [`OP_TIME_MAX`] it ends with what it has.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

use super::message::{Message, PEERS_MAX};
use super::timers::OpTimer;
use super::{Node, OP_TIME_MAX, Turn, Why};
use crate::id::Id;
use crate::machine::{Facts, OpDone, OpError, OpId, Phase, SURVEY_MAX, Surveyed};
use crate::overlay::Overlay;
use crate::peer::Peer;
use crate::rpc::Class;
use crate::time::{Duration, Mono};

/// Neighbours among those told to a surveyor.
const NEAR: usize = 13;
/// Askers of one survey.
const JOINED_MAX: usize = 64;
/// Questions under way at once.
const SURVEY_PARALLEL: usize = 16;

/// A survey under way.
#[derive(Clone, Debug)]
pub(super) struct Survey {
    /// Who wants to know, and at most how many.
    ops: Vec<(OpId, usize)>,
    max: usize,
    /// All that are known of, those not asked yet included.
    nodes: BTreeMap<Id, Surveyed>,
    queue: VecDeque<Peer>,
    waiting: usize,
    /// More were known than wanted.
    cut: bool,
    pub(super) over: Mono,
}

impl Survey {
    fn add(&mut self, peers: Vec<Peer>) {
        for peer in peers {
            if self.nodes.contains_key(peer.id()) {
                continue;
            }
            if self.nodes.len() >= self.max {
                self.cut = true;
                return;
            }
            self.nodes.insert(*peer.id(), Surveyed { peer: peer.clone(), facts: None, rtt: None });
            self.queue.push_back(peer);
        }
    }
}

impl<O: Overlay> Node<O> {
    /// What this node tells a surveyor.
    pub(super) fn facts(&self) -> Facts {
        let mut seen = BTreeSet::from([*self.me().id()]);
        let new = |peer: &&Peer| seen.insert(*peer.id());
        let mut peers: Vec<Peer> = self.overlay.neighbors().filter(new).cloned().collect();
        // The nearest, so that nobody is missed; and some of all the others, from one end of the tables to the other, so that a
        // survey gets out of its neighborhood and need not walk from neighbour to neighbour.
        let mut others = peers.split_off(peers.len().min(NEAR));
        let tables = self.overlay.tables().into_iter().flat_map(|(_, table)| table);
        others.extend(tables.filter(|peer| seen.insert(*peer.id())));
        let room = PEERS_MAX - peers.len();
        let step = others.len().div_ceil(room).max(1);
        peers.extend(others.into_iter().rev().step_by(step).take(room));
        let (count, ready) = self.copies.share_counts();
        Facts {
            records: self.store.records(),
            record_bytes: self.store.record_bytes(),
            shares: (count, ready),
            member: self.phase == Phase::Member,
            peers,
        }
    }

    pub(super) fn survey(&mut self, t: &mut Turn<'_, O>, op: OpId, max: u32) {
        let max = max.clamp(1, SURVEY_MAX) as usize;
        // One at a time: who asks meanwhile gets what it finds.
        if let Some((_, survey)) = self.surveys.iter_mut().next() {
            if survey.max >= max && survey.ops.len() < JOINED_MAX {
                survey.ops.push((op, max));
            } else {
                self.done(t, op, Err(OpError::Busy));
            }
            return;
        }
        let serial = self.serial();
        let over = t.now.mono + OP_TIME_MAX;
        let (me, facts) = (self.me().clone(), self.facts());
        let mut survey = Survey {
            ops: vec![(op, max)],
            max,
            nodes: BTreeMap::new(),
            queue: VecDeque::new(),
            waiting: 0,
            cut: false,
            over,
        };
        let peers = facts.peers.clone();
        survey.nodes.insert(*me.id(), Surveyed { peer: me, facts: Some(facts), rtt: None });
        survey.add(peers);
        self.surveys.insert(serial, survey);
        self.op_timers.arm(OpTimer::Over, serial, over);
        self.survey_on(t, serial);
    }

    /// Asks the next ones, or ends.
    fn survey_on(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        loop {
            let Some(survey) = self.surveys.get_mut(&serial) else { return };
            if survey.waiting >= SURVEY_PARALLEL {
                return;
            }
            let Some(peer) = survey.queue.pop_front() else { break };
            let asked = self.call(t, &peer, Message::About, Class::Quick, Why::About { op: serial });
            let Some(survey) = self.surveys.get_mut(&serial) else { return };
            if !asked {
                // Too many calls are under way: the rest is left.
                survey.cut = true;
                survey.queue.clear();
                break;
            }
            survey.waiting += 1;
        }
        if self.surveys.get(&serial).is_some_and(|survey| survey.waiting == 0) {
            self.survey_over(t, serial);
        }
    }

    pub(super) fn on_about(
        &mut self,
        t: &mut Turn<'_, O>,
        serial: u64,
        from: &Peer,
        rtt: Duration,
        mut facts: Facts,
    ) {
        let Some(survey) = self.surveys.get_mut(&serial) else { return };
        survey.waiting = survey.waiting.saturating_sub(1);
        survey.add(core::mem::take(&mut facts.peers));
        if let Some(node) = survey.nodes.get_mut(from.id()) {
            (node.facts, node.rtt) = (Some(facts), Some(rtt));
        }
        self.survey_on(t, serial);
    }

    pub(super) fn on_about_unanswered(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        let Some(survey) = self.surveys.get_mut(&serial) else { return };
        survey.waiting = survey.waiting.saturating_sub(1);
        self.survey_on(t, serial);
    }

    pub(super) fn survey_over(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        let Some(survey) = self.surveys.remove(&serial) else { return };
        self.op_timers.disarm(OpTimer::Over, serial, survey.over);
        let complete = !survey.cut && survey.waiting == 0 && survey.queue.is_empty();
        let nodes: Vec<Surveyed> = survey.nodes.into_values().collect();
        for (op, max) in survey.ops {
            let complete = complete && nodes.len() <= max;
            let nodes = nodes.iter().take(max).cloned().collect();
            self.done(t, op, Ok(OpDone::Surveyed { nodes, complete }));
        }
    }
}
