//! Keeping the buckets outside the neighborhood, one bucket a period.
//!
//! ```text
//!   me ── Find{an id drawn from the bucket's range} ──▶ the bucket's head        sections 2.2 and 2.3 in one request
//!         ──▶ Nodes      the head lives: it moves to the tail; whom it names becomes a spare
//!         ──▶ silence    the head is evicted; the spare that came last is pinged and takes its place (section 4.1)
//! ```
//!
//! The paper refreshes a bucket by a lookup of a random id in it, once an hour if nothing else was looked up in it. One step of that
//! lookup, addressed to the bucket's least recently seen contact, checks the contact and brings others; buckets follow one another.
//! A live head is never evicted: old contacts stay longest (section 2.2, with the measurements of Gnutella).

use super::message::Msg;
use super::{Call, Kademlia, Phase, Timer};
use crate::cx::Cx;
use crate::keyspace::xor::Subtree;
use crate::peer::Peer;
use crate::time::Duration;

/// Contacts asked for in one refresh.
const NAMES: u8 = 4;
/// A bucket that has become thin is refreshed this soon.
const SOON_MS: u64 = 200;

impl Kademlia {
    pub(super) fn arm_refresh(&self, cx: &mut Cx<'_, Kademlia>, mean: Duration) {
        let after = cx.rng.jitter(mean);
        cx.arm(Timer::Refresh, after);
    }

    pub(super) fn on_refresh(&mut self, cx: &mut Cx<'_, Kademlia>) {
        if self.phase != Phase::Member {
            return;
        }
        self.arm_refresh(cx, self.config.refresh());
        let buckets = self.table.depth();
        if buckets == 0 {
            return;
        }
        let bucket = (usize::from(self.upkeep.bucket) + 1) % buckets;
        self.upkeep.bucket = bucket as u8;
        if self.table.count(bucket) < usize::from(self.config.k) {
            self.promote(cx, bucket);
        }
        self.ask_head(cx, bucket);
    }

    fn ask_head(&mut self, cx: &mut Cx<'_, Kademlia>, bucket: usize) {
        let target = Subtree::of_bucket(self.table.id(), bucket).fill(&cx.rng.id());
        if let Some(head) = self.table.head(bucket) {
            cx.call(head, Msg::Find { target, max: NAMES, member: true }, Call::Refresh);
        }
    }

    pub(super) fn on_refreshed(&mut self, cx: &mut Cx<'_, Kademlia>, from: &Peer, peers: &[Peer]) {
        self.learn(cx, from);
        for peer in peers.iter().take(usize::from(NAMES)) {
            self.hint(cx, peer);
        }
    }

    /// A spare of the bucket is pinged: if it answers it enters.
    fn promote(&mut self, cx: &mut Cx<'_, Kademlia>, bucket: usize) -> bool {
        let spare = self.may_ping().then(|| self.table.take_spare(bucket)).flatten();
        spare.map(|spare| self.ping(cx, &spare, true)).is_some()
    }

    /// A contact of this bucket is gone.
    pub(super) fn fill_bucket(&mut self, cx: &mut Cx<'_, Kademlia>, bucket: usize) {
        if !self.promote(cx, bucket) {
            self.keep_filled(cx, bucket);
        }
    }

    /// Somebody who was to fill this bucket is gone, or there is nobody: the next one where the bucket has become thin.
    pub(super) fn keep_filled(&mut self, cx: &mut Cx<'_, Kademlia>, bucket: usize) {
        let thin = self.table.count(bucket) <= usize::from(self.config.neighbors);
        if thin && !self.promote(cx, bucket) {
            // Soon it would seem that its subtree has hardly any members: ask those that are left.
            let buckets = self.table.depth().max(1);
            self.upkeep.bucket = ((bucket + buckets - 1) % buckets) as u8;
            self.arm_refresh(cx, Duration::from_millis(SOON_MS));
        }
    }
}
