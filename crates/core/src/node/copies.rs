//! Which copies this node keeps, and how it comes to have them: taking over, repair, handing off.
//!
//! The overlay says which arcs this node shares and with whom ([`Overlay::shares`]). For each key of a share it is
//! either *ready*, it has finished taking over and its answers count towards a read quorum, or not yet.
//!
//! ```text
//!  ReplicasChanged ──▶ shares ──▶ arcs not ready ──▶ TakeOver: compare with the other holders and their neighbours
//!                                                     ready when R - W + 1 ready holders, or all that there are,
//!                                                     have been compared and everything pulled is durable here
//!  every few seconds ─▶ Repair: the root of a share compares it with each holder (the others now and then with the root)
//!                     ─▶ HandOff: records outside all shares go to their replica set, and are forgotten when all of
//!                        it has them
//! ```
//!
//! Why the takeover asks a read quorum of ready holders: a put that was acknowledged is on W of the R old holders, so
//! R - W + 1 of them include one that has it. A node that comes back with its disk has no ready neighbours when the
//! whole network was down; it then waits for its former neighbours (`is_cold`) before it believes those that are there.
//!
//! A node stops being ready for what it does not share any more: when the arc comes back, it is taken over again.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::exchange::{Exchange, Purpose};
use super::find::For;
use super::serials::Serials;
use super::{Node, Timer, Turn};
use crate::id::Id;
use crate::keyspace::Arc;
use crate::machine::{Phase, Trace};
use crate::overlay::Overlay;
use crate::peer::Peer;
use crate::replica::arcs::ArcSet;
use crate::replica::shares::Shares;
use crate::time::Duration;

/// Mean time between two comparisons of a share.
pub(super) const SYNC_EVERY: Duration = Duration::from_secs(4);
/// After a change of the replica sets, the comparison starts this soon.
pub(super) const SYNC_SOON: Duration = Duration::from_millis(200);
/// How long an unfinished takeover waits before it tries again.
pub(super) const MAINTAIN_EVERY: Duration = Duration::from_millis(500);
/// Records looked at for one hand-off.
const HANDOFF_RECORDS_MAX: usize = 512;
/// Every how many rounds a holder that is not the root compares with it.
const ROOT_EVERY: u64 = 4;

/// An arc being taken over.
#[derive(Clone, Debug)]
pub(super) struct TakeOver {
    pub(super) serial: u64,
    arc: Arc,
    /// All who may have records of it.
    peers: Vec<Peer>,
    /// Compared completely: who, and whether it was ready itself.
    done: Vec<(Id, bool)>,
    /// Exchanges not ended yet.
    running: usize,
}

/// An arc being given away.
#[derive(Clone, Debug)]
struct HandOff {
    serial: u64,
    arc: Arc,
    waiting: usize,
    failed: bool,
}

/// What this node knows of its copies.
#[derive(Debug, Default)]
pub(super) struct CopiesState {
    shares: Shares,
    ready: ArcSet,
    pub(super) takeovers: Vec<TakeOver>,
    handoff: Option<HandOff>,
    handoff_cursor: Id,
    leaving: usize,
    leave_failed: bool,
    round: u64,
    pub(super) exchanges: Serials<Exchange>,
    pub(super) queue: VecDeque<(Peer, Arc, Purpose)>,
}

impl CopiesState {
    /// Whether `key` has been taken over here.
    pub(super) fn is_ready(&self, key: &Id) -> bool {
        self.ready.contains(key)
    }

    /// Whether all of `arc` has been taken over here.
    pub(super) fn covers(&self, arc: &Arc) -> bool {
        self.ready.covers(arc)
    }

    /// Whether this node is a holder of `key`.
    pub(super) fn shares_key(&self, key: &Id) -> bool {
        self.shares.arc_of(key).is_some()
    }

    pub(super) const fn shares(&self) -> &Shares {
        &self.shares
    }

    pub(super) fn ready_arcs(&self) -> Vec<Arc> {
        self.ready.iter().collect()
    }

    /// Shares, and how many of them are ready.
    pub(super) fn share_counts(&self) -> (u32, u32) {
        let arcs = self.shares.arcs();
        let ready = arcs.iter().filter(|arc| self.ready.covers(arc)).count();
        (arcs.len() as u32, ready as u32)
    }
}

impl<O: Overlay> Node<O> {
    /// A founder has everything there is.
    pub(super) fn own_everything(&mut self) {
        self.copies.ready.add(&Arc::FULL);
    }

    /// A settled node is ready for all that it shares.
    pub(super) fn settle_copies(&mut self, t: &mut Turn<'_, O>) {
        self.replicas_dirty = false;
        self.copies.shares = Shares::new(&self.overlay.shares(usize::from(self.config.replicas)));
        self.copies.ready = ArcSet::default();
        for arc in self.copies.shares.arcs() {
            self.copies.ready.add(arc);
        }
        self.arm_sync(t);
    }

    pub(super) fn on_replicas_changed(&mut self, t: &mut Turn<'_, O>) {
        if !matches!(self.phase, Phase::Member) {
            return;
        }
        let shares = self.overlay.shares(usize::from(self.config.replicas));
        if self.copies.shares.are(&shares) {
            return;
        }
        self.copies.shares = Shares::new(&shares);
        let mut mine = ArcSet::default();
        for arc in self.copies.shares.arcs() {
            mine.add(arc);
        }
        self.copies.ready = self.copies.ready.intersect(&mine);
        self.plan_takeovers(t);
        self.arm_sync_soon(t);
    }

    /// What is shared and not ready, and who may have records of it. Neighbouring arcs of the same holders, as XOR has many of in an
    /// empty half, are one, whoever of them is the root.
    fn wanted_takeovers(&self) -> Vec<(Arc, Vec<Peer>)> {
        let replicas = usize::from(self.config.replicas);
        let me = self.me().id();
        let by_id = |peers: &mut Vec<Peer>| {
            peers.sort_by_key(|p| *p.id());
            peers.dedup();
            peers.retain(|p| p.id() != me);
        };
        let mut wanted: Vec<(Arc, Vec<Peer>)> = Vec::new();
        let mut holders_of_last: Vec<Peer> = Vec::new();
        for (share, holders) in self.copies.shares.iter() {
            // Nearly all are taken over already: a change concerns one or two.
            if self.copies.ready.covers(share) {
                continue;
            }
            let mut holders = holders.to_vec();
            by_id(&mut holders);
            for arc in ArcSet::from_iter([*share]).minus(&self.copies.ready).iter() {
                // Holders, and those next to them who may have held it until now.
                let mut peers = self.overlay.replica_set(&arc.to, 2 * replicas);
                peers.extend(holders.iter().cloned());
                match wanted.last_mut() {
                    Some((last, theirs)) if last.to == arc.from && holders_of_last == holders => {
                        *last = Arc::new(last.from, arc.to);
                        theirs.append(&mut peers);
                        by_id(theirs);
                    }
                    _ => {
                        by_id(&mut peers);
                        wanted.push((arc, peers));
                    }
                }
                holders_of_last.clone_from(&holders);
            }
        }
        wanted
    }

    /// One takeover for each arc that is wanted; those under way with the same holders go on.
    fn plan_takeovers(&mut self, t: &mut Turn<'_, O>) {
        let wanted = self.wanted_takeovers();
        let kept = |job: &TakeOver| wanted.iter().any(|(arc, peers)| *arc == job.arc && *peers == job.peers);
        self.copies.takeovers.retain(kept);
        self.drop_stale_exchanges(t);
        for (arc, peers) in wanted {
            if self.copies.takeovers.iter().any(|job| job.arc == arc && job.peers == peers) {
                continue;
            }
            let serial = self.serial();
            let running = peers.len();
            self.copies.takeovers.push(TakeOver {
                serial,
                arc,
                peers: peers.clone(),
                done: Vec::new(),
                running,
            });
            for peer in peers {
                self.exchange(t, peer, arc, Purpose::TakeOver(serial));
            }
            self.judge_takeover(t, serial);
        }
    }

    /// An exchange ended: `complete` if both sides are equal now (as far as its purpose goes).
    pub(super) fn exchange_over(
        &mut self,
        t: &mut Turn<'_, O>,
        peer: &Peer,
        arc: &Arc,
        purpose: Purpose,
        complete: bool,
        peer_ready: bool,
    ) {
        match purpose {
            Purpose::Repair => {}
            Purpose::TakeOver(serial) => {
                let Some(job) = self.copies.takeovers.iter_mut().find(|j| j.serial == serial) else { return };
                job.running = job.running.saturating_sub(1);
                if complete {
                    job.done.push((*peer.id(), peer_ready));
                }
                self.judge_takeover(t, serial);
            }
            Purpose::HandOff(serial) => self.hand_off_over(t, serial, arc, complete),
            Purpose::Leave => {
                self.copies.leaving = self.copies.leaving.saturating_sub(1);
                self.copies.leave_failed |= !complete;
                if self.copies.leaving == 0 {
                    if self.copies.leave_failed {
                        // Somebody else has gone, too: the overlay will know better in a moment.
                        self.timers.arm(Timer::Maintain, t.now.mono + MAINTAIN_EVERY);
                    } else {
                        self.say_goodbye(t);
                    }
                }
            }
        }
    }

    fn judge_takeover(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        let quorum = usize::from(self.config.takeover_quorum());
        let cold = self.is_cold(t.now);
        let Some(at) = self.copies.takeovers.iter().position(|j| j.serial == serial) else { return };
        let job = &self.copies.takeovers[at];
        let ready = job.done.iter().filter(|(_, ready)| *ready).count();
        let all = job.done.len() == job.peers.len();
        if ready >= quorum || (all && !cold) {
            let arc = job.arc;
            self.copies.takeovers.remove(at);
            // Only what is still shared; the shares may have changed while the last records were written.
            let mine = ArcSet::from_iter([arc]);
            for share in self.copies.shares.arcs().iter().filter(|share| mine.touches(share)) {
                mine.within(share).iter().for_each(|both| self.copies.ready.add(&both));
            }
            t.out.trace(|| Trace::TakenOver(arc));
        } else if job.running == 0 {
            self.timers.arm_by(Timer::Maintain, t.now.mono + MAINTAIN_EVERY);
        }
    }

    /// Takeovers that ended without success begin again, with the holders of now.
    pub(super) fn maintain(&mut self, t: &mut Turn<'_, O>) {
        if self.phase == Phase::Leaving {
            if !self.hand_over_all(t) {
                self.say_goodbye(t);
            }
            return;
        }
        self.copies.takeovers.retain(|job| job.running > 0);
        self.plan_takeovers(t);
    }

    /// A record of this key was lost here: what is left is no proof of absence until the others have been asked again.
    pub(super) fn on_damaged(&mut self, t: &mut Turn<'_, O>, key: &Id) {
        if self.copies.ready.contains(key) {
            self.copies.ready.remove(&Arc::point(*key));
            self.timers.arm_by(Timer::Maintain, t.now.mono + SYNC_SOON);
        }
    }

    // ---- repair ------------------------------------------------------------------------------------------------

    /// There is something to compare now: make sure that a round is armed.
    pub(super) fn arm_sync(&mut self, t: &mut Turn<'_, O>) {
        if self.store.records() > 0 && self.phase == Phase::Member {
            let wait = SYNC_EVERY;
            self.timers.arm_by(Timer::Sync, t.now.mono + wait);
        }
    }

    fn arm_sync_soon(&mut self, t: &mut Turn<'_, O>) {
        if self.store.records() > 0 {
            let wait = self.rng.jitter(SYNC_SOON);
            self.timers.arm_by(Timer::Sync, t.now.mono + wait);
        }
    }

    /// One round: each share with its holders, then the records that belong elsewhere.
    pub(super) fn sync_shares(&mut self, t: &mut Turn<'_, O>) {
        if self.phase != Phase::Member || self.store.records() == 0 {
            return;
        }
        let wait = self.rng.jitter(SYNC_EVERY);
        self.timers.arm(Timer::Sync, t.now.mono + wait);
        self.copies.round += 1;
        let me = *self.me().id();
        let mut begin = Vec::new();
        for (arc, holders) in self.copies.shares.iter() {
            let is_root = holders.first().is_some_and(|p| *p.id() == me);
            let turn = self.copies.round.is_multiple_of(ROOT_EVERY);
            for (i, peer) in holders.iter().enumerate() {
                if *peer.id() != me && (is_root || (i == 0 && turn)) {
                    begin.push((peer.clone(), *arc));
                }
            }
        }
        for (peer, arc) in begin {
            if !self.repairs(&peer, &arc) {
                self.exchange(t, peer, arc, Purpose::Repair);
            }
        }
        self.hand_off_some(t);
    }

    /// Whether such a repair is already under way or queued.
    fn repairs(&self, peer: &Peer, arc: &Arc) -> bool {
        let same = |p: &Peer, a: &Arc, why: Purpose| why == Purpose::Repair && p == peer && a == arc;
        self.copies.exchanges.values().any(|x| same(&x.peer, &x.arc, x.purpose))
            || self.copies.queue.iter().any(|(p, a, why)| same(p, a, *why))
    }

    // ---- hand-off ----------------------------------------------------------------------------------------------

    /// Looks for a record outside all shares, and finds out who should have it. One at a time.
    fn hand_off_some(&mut self, t: &mut Turn<'_, O>) {
        if cfg!(keyway_bug = "node_no_handoff")
            || self.copies.handoff.is_some()
            || self.copies.shares.arcs().is_empty()
        {
            return;
        }
        let mut cursor = self.copies.handoff_cursor;
        // At most once round: each step leaves one share behind.
        for _ in 0..=2 * self.copies.shares.arcs().len() + 2 {
            let Some(key) = self.store.next_key(&cursor).or_else(|| self.store.next_key(&Id::ZERO)) else {
                return;
            };
            match self.copies.shares.arc_of(&key) {
                Some(arc) if arc.is_full() => return,
                Some(arc) => cursor = arc.to.next(),
                None => {
                    self.copies.handoff_cursor = key;
                    let serial = self.serial();
                    let arc = Arc::point(key);
                    self.copies.handoff = Some(HandOff { serial, arc, waiting: 0, failed: false });
                    let wanted = self.config.replicas;
                    return self.find(t, key, wanted, false, For::HandOff(key));
                }
            }
        }
    }

    /// The replica set of `key` is known (or the lookup failed: it is empty).
    pub(super) fn hand_off_to(&mut self, t: &mut Turn<'_, O>, key: Id, set: Vec<Peer>) {
        let me = *self.me().id();
        let Some(job) = &mut self.copies.handoff else { return };
        if set.is_empty() || set.iter().any(|p| *p.id() == me) {
            // Nobody else yet, or ours after all: the next round looks again.
            self.copies.handoff = None;
            self.copies.handoff_cursor = key.next();
            return;
        }
        // Keys that follow and that go to the same set by our own tables travel along.
        let replicas = usize::from(self.config.replicas);
        let mut last = key;
        if self.overlay.replica_set(&key, replicas) == set {
            for _ in 0..HANDOFF_RECORDS_MAX {
                let Some(next) = self.store.next_key(&last.next()) else { break };
                let same = self.overlay.replica_set(&next, replicas) == set;
                if !same || self.copies.shares.arc_of(&next).is_some() {
                    break;
                }
                last = next;
            }
        }
        job.arc = Arc::new(key.prev(), last);
        job.waiting = set.len();
        // A set that is not whole is given copies, but ours stays.
        job.failed = set.len() < replicas;
        let (serial, arc) = (job.serial, job.arc);
        for peer in set {
            self.exchange(t, peer, arc, Purpose::HandOff(serial));
        }
    }

    fn hand_off_over(&mut self, t: &mut Turn<'_, O>, serial: u64, arc: &Arc, complete: bool) {
        let Some(job) = &mut self.copies.handoff else { return };
        if job.serial != serial {
            return;
        }
        job.waiting = job.waiting.saturating_sub(1);
        job.failed |= !complete;
        if job.waiting > 0 {
            return;
        }
        let failed = job.failed;
        self.copies.handoff = None;
        self.copies.handoff_cursor = arc.to.next();
        if !failed {
            // All of the replica set have all of it: this copy is one too many.
            for head in self.store.heads_in(arc, usize::MAX) {
                if !self.copies.shares_key(&head.identity.key) {
                    self.store.forget(&head.identity, &mut t.out.disk);
                    self.counters.records_handed_off += 1;
                }
            }
            self.hand_off_some(t);
        }
    }

    // ---- leaving -----------------------------------------------------------------------------------------------

    /// Gives every share to those who will hold it without this node. Returns whether there is anything to wait for.
    pub(super) fn hand_over_all(&mut self, t: &mut Turn<'_, O>) -> bool {
        let replicas = usize::from(self.config.replicas);
        let me = *self.me().id();
        self.copies.queue.clear();
        self.copies.takeovers.clear();
        self.copies.leave_failed = false;
        if self.store.records() == 0 {
            return false;
        }
        let mut begin = Vec::new();
        for share in &self.overlay.shares(replicas) {
            let mut set = self.overlay.replica_set(&share.arc.to, replicas + 1);
            set.retain(|p| *p.id() != me);
            begin.extend(set.into_iter().take(replicas).map(|p| (p, share.arc)));
        }
        self.copies.leaving = begin.len();
        for (peer, arc) in begin {
            self.exchange(t, peer, arc, Purpose::Leave);
        }
        self.copies.leaving > 0
    }
}
