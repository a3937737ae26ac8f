//! Keeping the neighborhood: everyone in it knows everyone, and nobody who is gone.
//!
//! ```text
//!   me ── Compare{len, digest} ──▶ b ──▶ Same                    two datagrams, the steady state
//!                                    ──▶ Group{peers}            I ping whom I do not know, and whom b does not know
//!                                    └── a round of b with me, soon: it lacks something, too
//!   me ── Compare ──▶ (silence)      forget it; Suspect to the neighborhood; the next one is compared with at once
//! ```
//!
//! Each round is with the next member in order of ids, so everyone is watched by somebody; every third with any member, so that
//! differences spread like rumours. After a change the next round comes soon ([`QUICK_FACTOR`]), at most [`QUICK_MAX`] times for
//! one change: a difference that does not go away, as when two members cannot reach each other, costs no more than that.
//!
//! Somebody may compare by a *shorter* prefix than ours: for it the other half of a subtree has too few members left. We ask it back
//! by that prefix, ping what it does not name, and see for ourselves.

use alloc::format;
use alloc::vec::Vec;

use super::message::Msg;
use super::table::{Change, GROUP_MAX, Table};
use super::{Call, Kademlia, Phase, Timer};
use crate::cx::{Cx, Event, Ticket};
use crate::id::Id;
use crate::keyspace::xor;
use crate::overlay::Violation;
use crate::peer::Peer;
use crate::time::Duration;

/// Pings under way at once; what does not fit is noticed again by a later round.
const PINGS_MAX: usize = 64;
/// Rounds that come soon after one change.
const QUICK_MAX: u8 = 3;
/// How much sooner they come.
const QUICK_FACTOR: u64 = 10;
/// Contacts near a silent peer that are told of it.
const SUSPECT_FANOUT: usize = 2;
/// Every how many rounds the partner is any member.
const ANY_EVERY: u8 = 3;

/// The state of the neighborhood's upkeep.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Upkeep {
    /// Peers that were pinged and have not answered yet.
    pings: Vec<Peer>,
    /// Who was asked to compare.
    comparing: Option<Id>,
    /// With whom the next round is, and by how many bits: it knows something else.
    again: Option<(Peer, u8)>,
    /// Rounds so far, modulo [`ANY_EVERY`].
    turn: u8,
    /// Quick rounds that the last change still allows.
    quick: u8,
    /// The next round has been armed to come soon.
    soon: bool,
    /// The bucket refreshed last.
    pub(super) bucket: u8,
}

impl Upkeep {
    pub(super) fn set_again(&mut self, peer: Peer, len: u8) {
        self.again = Some((peer, len));
    }

    fn compare(&mut self, table: &Table, cx: &mut Cx<'_, Kademlia>, peer: &Peer, len: u8) {
        self.comparing = Some(*peer.id());
        cx.call(peer, Msg::Compare { len, digest: table.digest(usize::from(len)) }, Call::Compare { len });
    }
}

impl Kademlia {
    // ---- rounds

    pub(super) fn on_round(&mut self, cx: &mut Cx<'_, Kademlia>) {
        if !self.is_in() {
            return;
        }
        self.upkeep.soon = false;
        let after = cx.rng.jitter(self.config.round());
        cx.arm(Timer::Round, after);
        self.upkeep.turn = (self.upkeep.turn + 1) % ANY_EVERY;
        self.compare_with_some(cx);
    }

    fn compare_with_some(&mut self, cx: &mut Cx<'_, Kademlia>) {
        if self.upkeep.comparing.is_some() {
            return;
        }
        let depth = self.table.depth() as u8;
        if let Some((peer, len)) = self.upkeep.again.take() {
            return self.upkeep.compare(&self.table, cx, &peer, len.min(depth));
        }
        let any = cx.rng.index(self.table.group().len()).filter(|_| self.upkeep.turn == 0);
        let peer = any.and_then(|i| self.table.group().nth(i)).or_else(|| self.table.next());
        if let Some(peer) = peer {
            self.upkeep.compare(&self.table, cx, peer, depth);
        }
    }

    pub(super) fn on_compare(
        &mut self,
        cx: &mut Cx<'_, Kademlia>,
        from: &Peer,
        ticket: Ticket,
        len: usize,
        digest: u64,
    ) {
        self.learn(cx, from);
        let ours = xor::common(self.table.id(), from.id()) >= len;
        if !ours || self.table.digest(len) == digest {
            return cx.reply(ticket, Msg::Same);
        }
        let mut peers: Vec<Peer> = self.table.within(len).take(GROUP_MAX).cloned().collect();
        peers.sort_unstable_by(|a, b| a.id().cmp(b.id()));
        cx.reply(ticket, Msg::Group { peers });
        if len <= self.table.depth() && self.upkeep.again.is_none() {
            self.upkeep.again = Some((from.clone(), len as u8));
            self.round_soon(cx);
        }
    }

    pub(super) fn end_compare(&mut self, from: &Peer) {
        if self.upkeep.comparing.as_ref() == Some(from.id()) {
            self.upkeep.comparing = None;
        }
    }

    pub(super) fn on_same(&mut self, cx: &mut Cx<'_, Kademlia>, from: &Peer) {
        self.end_compare(from);
        self.learn(cx, from);
    }

    pub(super) fn on_differs(&mut self, cx: &mut Cx<'_, Kademlia>, from: &Peer, len: usize, peers: &[Peer]) {
        self.end_compare(from);
        self.learn(cx, from);
        if !self.is_in() {
            return;
        }
        for peer in
            peers.iter().filter(|p| xor::common(self.table.id(), p.id()) >= len).cloned().collect::<Vec<_>>()
        {
            self.hint(cx, &peer);
        }
        // It has seen them go, or never seen them. In the second case it learns of them from its own round with us.
        let unnamed = |p: &&Peer| *p != from && !peers.contains(p);
        for peer in self.table.within(len).filter(unnamed).cloned().collect::<Vec<_>>() {
            self.ping(cx, &peer, true);
        }
        self.round_soon(cx);
    }

    pub(super) fn on_compare_silence(&mut self, cx: &mut Cx<'_, Kademlia>, peer: &Peer) {
        self.end_compare(peer);
        self.forget(cx, peer, true);
        if self.is_in() {
            self.compare_with_some(cx);
        }
    }

    /// The next round comes soon, if the last change still allows it.
    fn round_soon(&mut self, cx: &mut Cx<'_, Kademlia>) {
        if self.upkeep.quick > 0 && !self.upkeep.soon {
            self.upkeep.quick -= 1;
            self.upkeep.soon = true;
            let after = cx.rng.jitter(Duration(self.config.round().0 / QUICK_FACTOR));
            cx.arm(Timer::Round, after);
        }
    }

    /// The neighborhood has other members, or another extent; this node's shares of fewer than `from` copies are what they were.
    pub(super) fn group_changed(&mut self, cx: &mut Cx<'_, Kademlia>, from: usize) {
        if self.phase == Phase::Member {
            cx.emit(Event::NeighborsChanged);
            cx.emit(Event::ReplicasChanged { from });
            self.upkeep.quick = QUICK_MAX;
            self.round_soon(cx);
        }
    }

    // ---- who is there

    fn changed(&mut self, cx: &mut Cx<'_, Kademlia>, change: Change) {
        if let Change::Group { from } = change {
            self.group_changed(cx, from);
        }
    }

    /// `peer` has spoken as a member: it enters the table, or moves to the tail of its bucket (section 2.2).
    pub(super) fn learn(&mut self, cx: &mut Cx<'_, Kademlia>, peer: &Peer) -> Change {
        let change = self.table.insert(peer, cx.now.mono);
        self.changed(cx, change);
        change
    }

    /// `peer` is said to be there: asked itself if the neighborhood or a thin bucket wants it, remembered otherwise.
    pub(super) fn hint(&mut self, cx: &mut Cx<'_, Kademlia>, peer: &Peer) {
        let known = self.table.knows(peer);
        if !self.is_in() || peer.id() == self.table.id() || known == Some(true) {
            return;
        }
        let wanted = known.is_some()
            || self.table.is_near(peer.id())
            || self.table.count(self.table.bucket(peer.id())) < usize::from(self.config.neighbors);
        if wanted {
            self.ping(cx, peer, true);
        } else {
            self.table.add_spare(peer);
        }
    }

    /// Another layer got no answer from `peer`: looks for itself if it is a contact, and tells those who may be its neighbours.
    pub(super) fn suspect(&mut self, cx: &mut Cx<'_, Kademlia>, peer: &Peer) {
        if self.table.has(peer) {
            self.ping(cx, peer, false);
        }
        if self.is_in() && !self.table.is_near(peer.id()) {
            for other in self
                .table
                .nearest(peer.id(), SUSPECT_FANOUT + 1)
                .iter()
                .filter(|p| *p != peer)
                .take(SUSPECT_FANOUT)
            {
                cx.tell(other, Msg::Suspect(peer.clone()));
            }
        }
    }

    /// `from` got no answer from `peer`. A neighbour has told the neighborhood; of others' word the first to find it true tells.
    pub(super) fn on_told_suspect(&mut self, cx: &mut Cx<'_, Kademlia>, from: &Peer, peer: &Peer) {
        if self.table.has(peer) {
            let quiet = self.table.is_near(from.id());
            self.ping(cx, peer, quiet);
        }
    }

    pub(super) fn ping(&mut self, cx: &mut Cx<'_, Kademlia>, peer: &Peer, quiet: bool) {
        let pinged = self.upkeep.pings.contains(peer) || !self.may_ping();
        if !pinged && self.is_in() && peer.id() != self.table.id() {
            self.upkeep.pings.push(peer.clone());
            cx.call(peer, Msg::Ping { member: true }, Call::Ping { quiet });
        }
    }

    /// Whether there is room for one more ping.
    pub(super) fn may_ping(&self) -> bool {
        self.upkeep.pings.len() < PINGS_MAX
    }

    fn end_ping(&mut self, peer: &Peer) {
        self.upkeep.pings.retain(|p| p != peer);
    }

    pub(super) fn on_pong(&mut self, cx: &mut Cx<'_, Kademlia>, peer: &Peer) {
        self.end_ping(peer);
        self.learn(cx, peer);
    }

    pub(super) fn on_ping_silence(&mut self, cx: &mut Cx<'_, Kademlia>, peer: &Peer, quiet: bool) {
        self.end_ping(peer);
        let contact = self.table.has(peer);
        self.forget(cx, peer, !quiet);
        if !contact {
            self.place_stays_empty(cx, peer);
        }
    }

    pub(super) fn on_busy_ping(&mut self, cx: &mut Cx<'_, Kademlia>, peer: &Peer) {
        self.end_ping(peer);
        if !self.table.has(peer) {
            self.place_stays_empty(cx, peer);
        }
    }

    /// `peer` was pinged to fill a place in a bucket, and does not.
    fn place_stays_empty(&mut self, cx: &mut Cx<'_, Kademlia>, peer: &Peer) {
        let bucket = self.table.bucket(peer.id());
        if self.is_in() && bucket < self.table.depth() {
            self.keep_filled(cx, bucket);
        }
    }

    /// `peer` has left, or did not answer: out of the table. With `tell` the neighborhood is asked to look after it, too.
    pub(super) fn forget(&mut self, cx: &mut Cx<'_, Kademlia>, peer: &Peer, tell: bool) {
        let near = self.table.is_near(peer.id());
        let bucket = self.table.bucket(peer.id());
        let change = self.table.remove(peer);
        if change == Change::None || !self.is_in() {
            return;
        }
        if near && tell {
            for other in self.table.group() {
                cx.tell(other, Msg::Suspect(peer.clone()));
            }
        }
        if !near {
            self.fill_bucket(cx, bucket);
        }
        self.changed(cx, change);
    }

    pub(super) fn check_upkeep(&self) -> Result<(), Violation> {
        if self.upkeep.pings.len() > PINGS_MAX {
            return Err(Violation::new("kademlia: pings are bounded", format!("{:?}", self.upkeep)));
        }
        Ok(())
    }
}
