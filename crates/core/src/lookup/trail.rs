//! Keeping the trail of a traced lookup ([`Op::Trace`](crate::machine::Op::Trace)): one step for each question, in the order of
//! asking. The asker itself is not a step. Other lookups keep none.

use alloc::vec::Vec;

use super::HopAnswer;
use crate::id::Id;
use crate::machine::{TraceAnswer, TraceStep};
use crate::overlay::{Around, Overlay};
use crate::peer::Peer;
use crate::time::Duration;

/// Steps that are kept; a lookup that asks more is hopeless, and told so far.
const STEPS_MAX: usize = 192;

/// The steps so far.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    steps: Vec<TraceStep>,
}

impl Trail {
    /// `peer` is asked.
    pub fn on_ask<O: Overlay>(&mut self, target: &Id, peer: &Peer) {
        if self.steps.len() >= STEPS_MAX {
            return;
        }
        let distance = O::distance(target, peer);
        let (peer, answer) = (peer.clone(), TraceAnswer::Open);
        self.steps.push(TraceStep { peer, distance, rtt: None, answer, named: Vec::new() });
    }

    /// `peer` answered after `rtt`.
    pub fn on_answer(&mut self, peer: &Id, rtt: Duration, said: &HopAnswer) {
        let Some(step) = self.open(peer) else { return };
        step.rtt = Some(rtt);
        (step.answer, step.named) = match said {
            HopAnswer::Root(set) => (TraceAnswer::Root, set.clone()),
            HopAnswer::Next(peers) => (TraceAnswer::Next, peers.clone()),
            HopAnswer::Stuck => (TraceAnswer::Stuck, Vec::new()),
            HopAnswer::Around(Around { nearer, heirs }) => {
                (TraceAnswer::Around, nearer.iter().chain(heirs).cloned().collect())
            }
        };
    }

    /// `peer` is slow, or silent for good.
    pub fn on_silence(&mut self, peer: &Id, for_good: bool) {
        if let Some(step) = self.open(peer) {
            step.answer = if for_good { TraceAnswer::Silent } else { TraceAnswer::Slow };
        }
    }

    /// The last question to `peer`, if it has not been answered.
    fn open(&mut self, peer: &Id) -> Option<&mut TraceStep> {
        let step = self.steps.iter_mut().rev().find(|step| step.peer.id() == peer)?;
        matches!(step.answer, TraceAnswer::Open | TraceAnswer::Slow).then_some(step)
    }

    /// The steps, and an empty trail.
    #[must_use]
    pub fn take(&mut self) -> Vec<TraceStep> {
        core::mem::take(&mut self.steps)
    }
}
