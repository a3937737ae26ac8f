//! What a node says about itself, and the watch over its clock.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::message::Standing;
use super::{Node, SKEW_MAX, Turn};
use crate::id::Id;
use crate::keyspace::Arc;
use crate::machine::{HELD_MAX, Halt, Inspection, NodeStatus, OTHER_TERMS_MAX, OpDone, PeerView, Trace};
use crate::overlay::{Overlay, Violation};
use crate::peer::Peer;
use crate::store::Identity;
use crate::time::{Duration, Now, Wall};

/// Neighbours whose clocks are remembered.
const CLOCKS_MAX: usize = 8;
/// A member that knows others and has heard nobody for this long is isolated.
pub(super) const ISOLATED_AFTER: Duration = Duration::from_secs(30);

/// Offsets of other nodes' wall clocks from ours, microseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Skew {
    offsets: Vec<(Id, i64)>,
    out: bool,
}

impl Skew {
    /// Whether our clock is off by more than the declared bound, by the median of those we know.
    pub(super) const fn is_out(&self) -> bool {
        self.out
    }

    fn learn(&mut self, id: &Id, offset: i64) {
        self.offsets.retain(|(i, _)| i != id);
        if self.offsets.len() >= CLOCKS_MAX {
            self.offsets.remove(0);
        }
        self.offsets.push((*id, offset));
        let mut sorted: Vec<i64> = self.offsets.iter().map(|(_, o)| *o).collect();
        sorted.sort_unstable();
        let median = sorted[sorted.len() / 2];
        // One other opinion is no majority.
        self.out = sorted.len() >= 2 && median.unsigned_abs() > SKEW_MAX.0;
    }
}

/// How far `theirs`, said at some instant of a round trip of `rtt` that ends now, is certainly ahead of `ours`, or behind it:
/// believed in the middle of the trip, and off by no more than half of it. So a slow link or a pause does not pass for a wrong
/// clock. `None` if the trip was so long that nothing is certain.
fn certain_offset(theirs: Wall, ours: Wall, rtt: Duration) -> Option<i64> {
    if rtt > SKEW_MAX {
        return None;
    }
    let doubt = i128::from(rtt.0 / 2);
    let offset = i128::from(theirs.0) + doubt - i128::from(ours.0);
    let certain = (offset.abs() - doubt).max(0) * offset.signum();
    Some(certain.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
}

impl<O: Overlay> Node<O> {
    /// Another node's clock, as of some instant of a round trip of `rtt`.
    pub(super) fn learn_clock(&mut self, t: &mut Turn<'_, O>, from: &Peer, wall: Wall, rtt: Duration) {
        let Some(offset) = certain_offset(wall, t.now.wall, rtt) else { return };
        let before = self.skew.out;
        self.skew.learn(from.id(), offset);
        if before != self.skew.out {
            let halt = self.skew.out.then_some(Halt::ClockSkew);
            t.out.trace(|| Trace::Halt(halt));
        }
    }

    /// What this node says of itself where nodes meet.
    pub(super) const fn standing(&self, now: Now) -> Standing {
        Standing { wall: now.wall, terms: self.config.terms() }
    }

    fn view(&self, peer: Peer) -> PeerView {
        PeerView { rtt: self.rpc.rtt(peer.id()), suspect: self.rpc.is_suspect(peer.id()), peer }
    }

    fn is_isolated(&self, now: Now) -> bool {
        let alone = self.overlay.neighbors().next().is_none();
        let knows_others = self.contacts.lost_count() > 0 || !alone;
        let silent = self.last_heard.is_none_or(|at| now.mono.since(at) > ISOLATED_AFTER);
        let nobody = alone && self.contacts.lost_count() > 0;
        knows_others && (silent || nobody)
    }

    pub(super) fn status(&self, now: Now) -> NodeStatus {
        let tables = self
            .overlay
            .tables()
            .into_iter()
            .map(|(name, peers)| (name, peers.into_iter().map(|p| self.view(p)).collect()))
            .collect();
        let halt = self.store.halt().or(self.skew.out.then_some(Halt::ClockSkew));
        NodeStatus {
            me: self.me().clone(),
            incarnation: self.config.incarnation,
            network: self.network,
            overlay: O::NAME,
            phase: self.phase,
            isolated: self.is_isolated(now),
            halt,
            refused: self.refused.as_ref().map(ToString::to_string),
            shares: self.copies.share_counts(),
            records: self.store.records(),
            record_bytes: self.store.record_bytes(),
            tables,
            counters: self.counters,
            terms: self.config.terms(),
            other_terms: self.other_terms(now.mono),
            value_bytes_max: self.config.value_bytes_max,
            ttl_max: self.config.ttl_max,
        }
    }

    /// A page of what this node holds.
    pub(super) fn held(&self, after: Option<&Identity>, max: u32) -> OpDone {
        let max = max.min(HELD_MAX) as usize;
        let mut left = self.store.heads_after(&Arc::FULL, after).copied();
        let heads = left.by_ref().take(max).collect();
        OpDone::Held { heads, more: left.next().is_some() }
    }

    pub(super) fn ops_under_way(&self) -> usize {
        self.puts.len() + self.gets.len() + self.wheres.len() + self.surveys.len() + self.lookups_asked
    }

    fn bounds(&self) -> Vec<(&'static str, usize, usize)> {
        let mut bounds = self.rpc.bounds().to_vec();
        bounds.push(("lookups", self.lookups.len(), super::find::LOOKUPS_MAX));
        bounds.push(("operations", self.ops_under_way(), self.config.ops_max as usize));
        bounds.push(("surveys", self.surveys.len(), 1));
        bounds.push(("travelling lookups", self.travels.len(), super::travel::TRAVELS_MAX));
        bounds.push(("gatherings", self.gathers.len(), super::gather::GATHERS_MAX));
        bounds.push(("pushes", self.pushes.len(), super::serve::PUSHES_MAX));
        bounds.push(("exchanges", self.copies.exchanges.len(), super::exchange::EXCHANGES_MAX));
        bounds.push(("exchanges queued", self.copies.queue.len(), super::exchange::EXCHANGES_QUEUED_MAX));
        bounds.push(("suspects asked", self.contacts.asked_count(), super::join::ASKED_MAX));
        bounds.push(("peers with other terms", self.other_terms_count(), OTHER_TERMS_MAX));
        bounds.push(("lost peers", self.contacts.lost_count(), super::join::LOST_MAX));
        bounds
    }

    pub(super) fn check_bounds(&self) -> Result<(), Violation> {
        match self.bounds().into_iter().find(|(_, now, max)| now > max) {
            None => Ok(()),
            Some((name, now, max)) => {
                Err(Violation::new("bounds", alloc::format!("{name}: {now}, at most {max}")))
            }
        }
    }

    pub(super) fn inspection(&self) -> Inspection {
        Inspection {
            network: self.network,
            phase: self.phase,
            tables: self.overlay.tables(),
            shares: self.copies.shares().to_vec(),
            ready: self.copies.ready_arcs(),
            heads: self.store.heads_in(&Arc::FULL, usize::MAX),
            halt: self.store.halt().or(self.skew.out.then_some(Halt::ClockSkew)),
            bounds: self.bounds(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_certain_of_a_clock_counts() {
        let ours = Wall(1_000_000_000);
        let seen = |theirs: i64, rtt_ms: u64| {
            certain_offset(Wall(ours.0.strict_add_signed(theirs)), ours, Duration::from_millis(rtt_ms))
        };
        // Said at once, heard half a second to a second later: no clock need be wrong.
        for late in [0, -500_000, -1_000_000] {
            assert_eq!(seen(late, 1_000), Some(0));
        }
        // Five seconds behind, of which the way explains at most one.
        assert_eq!(seen(-5_000_000, 1_000), Some(-4_000_000));
        // Ahead: the way only adds to it.
        assert_eq!(seen(5_000_000, 1_000), Some(5_000_000));
        assert_eq!(seen(-60_000_000, 60_000), None, "after a pause nothing is certain");
        assert_eq!(certain_offset(Wall(u64::MAX), Wall(0), Duration::ZERO), Some(i64::MAX));
    }
}
