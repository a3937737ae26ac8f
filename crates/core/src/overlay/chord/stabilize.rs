//! Keeping the ring: stabilize, rectify, failure detection.
//!
//! One query at a time may change the successor list: [`Upkeep::asking`]. While it is out, requests that would disclose the list
//! are answered `busy` and later (Zave's atomicity: the update counts from the moment the asked node answered, so the state
//! before it must not be shown after it). Liveness pings, finger checks and tells are never delayed: they disclose at most the
//! predecessor, which everyone verifies before use.
//!
//! **No deadlock.** A node delays only askers with a *smaller id* than its own. So "A waits for B, which waits" implies A < B:
//! chains of waiting climb in id and end at a node that does not wait, or at a silent or busy one, where `NoAnswer` or `Busy` ends the wait. On the
//! ring the rule exempts one node, the one whose successor is past zero; there the old list may be shown, which costs at most
//! one more round. Delayed tickets are bounded; above the bound the answer is given at once.
//!
//! **News travels.** A changed successor list is told to the predecessor, which stabilizes at once: r nodes back within r round
//! trips instead of r periods. A changed predecessor list makes the node stabilize at once: it travels forward the same way.
//! Both die out by themselves, since a change moves one place down each list it enters and finally off its end.

use alloc::format;
use alloc::vec::Vec;

use super::message::BEST_MAX;
use super::{Chord, Msg, Phase, Preds, Timer, View};
use crate::cx::{Cx, Event, Ticket};
use crate::id::Id;
use crate::keyspace::ring::between;
use crate::overlay::Violation;
use crate::overlay::chord::Call;
use crate::peer::Peer;
use crate::time::{Duration, Mono};

/// Nodes asked one after another within one round, each nearer than the one before.
const STEPS_MAX: u8 = 32;
/// Delayed requests held at once.
const DELAYED_MAX: usize = 32;
/// Pings to suspects under way at once; further suspicions are dropped: their witness, or the next dead one, will repeat them.
const PROBES_MAX: usize = 16;
/// So many queries in a row may end by `busy` before the next one waits for the period: on short links that is seconds.
const BUSY_ROUNDS_MAX: u8 = 16;
/// Busy for so long is as good as dead: longer than a node waits while it doubts whose silence it hears (`rpc::doubt`), and a call.
const BUSY_SPAN_MAX: Duration = Duration::from_secs(40);
/// So many dead successors one after another are no single crash: the others are looked after all at once.
const LOST_MANY: u8 = 2;
/// Rounds after a join that come quickly.
const ROUNDS_QUICK: u8 = 4;
/// How much quicker they come.
const QUICK_FACTOR: u64 = 10;
/// So many rounds in a row may come quickly while the successor names somebody before it who cannot be adopted: it soon knows better,
/// or the two do not see each other and no haste helps.
const SOON_ROUNDS_MAX: u8 = 8;

/// A request that waits for our own query to end.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Delayed {
    from: Peer,
    ticket: Ticket,
    wants: Wants,
}

/// What a delayed request wants to see.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Wants {
    /// Our place; the digest is of the list it holds, the flag asks for its predecessors.
    Place { have: Option<u64>, want_preds: bool },
    /// Our whole list: for a node that does not stand before us.
    List,
    /// The best predecessors of an id.
    Best { target: Id },
}

/// The state of the ring's upkeep.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Upkeep {
    /// Who was asked to show its place: the head, or a candidate nearer than it.
    asking: Option<Peer>,
    /// The peer asked is a candidate from outside: perhaps of another ring.
    asking_stranger: bool,
    /// The predecessor list travelled in that request in full.
    asking_full: bool,
    /// How many were asked in this round.
    steps: u8,
    /// Start another round when this one ends.
    again: bool,
    /// A peer that may lie between this node and its successor, to be verified.
    candidate: Option<Peer>,
    /// The head that holds our predecessor list, and the list's digest.
    told: Option<(Id, u64)>,
    /// The digest sent with the query that is out.
    telling: u64,
    /// The predecessor is being pinged.
    rectifying: bool,
    /// Who takes its place if it is silent.
    heir: Option<Peer>,
    /// When the predecessor last gave a sign of life.
    pred_heard: Mono,
    /// Requests that wait.
    delayed: Vec<Delayed>,
    /// Suspects being pinged.
    probes: Vec<Peer>,
    /// Quick rounds left.
    quick: u8,
    /// Successors found dead since one answered, and predecessors since one was heard.
    lost: u8,
    lost_preds: u8,
    /// Queries that ended by `busy` since one was answered, and when the first of them did.
    busy: u8,
    busy_since: Mono,
    /// Rounds that came soon since the successor changed or named nobody before it.
    soon: u8,
}

impl Chord {
    // ---- stabilize: the asker's side

    pub(super) fn on_stabilize_timer(&mut self, cx: &mut Cx<'_, Chord>) {
        if !self.is_in_ring() {
            return;
        }
        self.arm_round(cx);
        // ToN's check_predecessor: by default rounds are at most 1.25 periods apart, and it is heard within 1.5.
        let silence = cx.now.mono.since(self.upkeep.pred_heard);
        if silence > self.config.silence_max() {
            self.verify_pred(cx, None);
        }
        self.stabilize(cx);
    }

    /// The next round comes after a period, or soon while there are quick rounds left.
    fn arm_round(&mut self, cx: &mut Cx<'_, Chord>) {
        let period = self.config.stabilize();
        let mean = if self.upkeep.quick > 0 {
            self.upkeep.quick -= 1;
            Duration(period.0 / QUICK_FACTOR)
        } else {
            period
        };
        let after = self.config.period(mean, cx.rng);
        cx.arm(Timer::Stabilize, after);
    }

    /// The successor may not be the true one yet: the next round does not wait for the period, for a while.
    fn come_soon(&mut self, cx: &mut Cx<'_, Chord>) {
        if self.upkeep.soon < SOON_ROUNDS_MAX {
            self.upkeep.soon += 1;
            self.upkeep.quick = self.upkeep.quick.max(1);
            self.arm_round(cx);
        }
    }

    /// Begins a round: asks the head; in a ring of one, whoever has announced itself.
    pub(super) fn stabilize(&mut self, cx: &mut Cx<'_, Chord>) {
        if self.upkeep.asking.is_some() {
            self.upkeep.again = true;
            return;
        }
        self.upkeep.steps = 0;
        if let Some(peer) = self.ring.head().or(self.ring.pred()).cloned() {
            self.ask(cx, peer, false);
        } else if let Some(peer) = self.upkeep.candidate.take() {
            self.ask(cx, peer, true);
        }
    }

    /// Asks `peer` to show its place, and notifies it thereby.
    fn ask(&mut self, cx: &mut Cx<'_, Chord>, peer: Peer, stranger: bool) {
        let digest = self.ring.preds_digest_for(peer.id());
        let told = self.upkeep.told == Some((*peer.id(), digest));
        let preds =
            if told { Preds::Same(digest) } else { Preds::List(self.ring.preds_for(peer.id()).to_vec()) };
        let have = (self.ring.head() == Some(&peer)).then(|| self.ring.tail_digest());
        cx.call(&peer, Msg::Stabilize { have, preds }, Call::Stabilize);
        self.upkeep.telling = digest;
        self.upkeep.asking_full = !told;
        self.upkeep.asking_stranger = stranger;
        self.upkeep.asking = Some(peer);
    }

    pub(super) fn on_stabilize_answer(&mut self, cx: &mut Cx<'_, Chord>, from: &Peer, msg: Msg) {
        if self.upkeep.asking.as_ref() != Some(from) {
            return;
        }
        self.upkeep.asking = None;
        self.upkeep.lost = 0;
        self.end_busy();
        let (view, want_preds) = match msg {
            Msg::Same { want_preds } => (None, want_preds),
            Msg::View(view) => {
                let want_preds = view.want_preds;
                (Some(view), want_preds)
            }
            // Nonsense: treated as no answer at all, or the round would hang on a peer that babbles.
            _ => return self.on_lost(cx, from),
        };
        self.upkeep.told = (!want_preds).then_some((*from.id(), self.upkeep.telling));
        if want_preds && !self.upkeep.asking_full {
            self.upkeep.again = true;
        }
        let mut nearer = None;
        if let Some(view) = view {
            self.adopt(cx, from, &view);
            nearer = view.pred.filter(|p| self.ring.before_head(p.id()));
        }
        if nearer.is_none() {
            self.upkeep.soon = 0;
        }
        self.go_on(cx, nearer);
    }

    pub(super) fn on_stabilize_silence(&mut self, cx: &mut Cx<'_, Chord>, peer: &Peer) {
        if self.upkeep.asking.as_ref() == Some(peer) {
            self.upkeep.asking = None;
            let named = !self.upkeep.asking_stranger && self.ring.before_head(peer.id());
            self.on_lost(cx, peer);
            if named && !cfg!(keyway_bug = "chord_way_back_waits") {
                // planted: the next step waits for a whole period
                // The head named it: it is finding out by now that it is dead, and will name the one before.
                self.come_soon(cx);
            }
        }
    }

    /// The peer asked lives and waits for others, as this node does for it: a row of nodes that wait for each other behind a
    /// dead one must not make the first give up the second. Those who wait for this node get what it has, and it asks again.
    pub(super) fn on_stabilize_busy(&mut self, cx: &mut Cx<'_, Chord>, peer: &Peer) {
        if self.upkeep.asking.as_ref() != Some(peer) {
            return;
        }
        self.upkeep.asking = None;
        if self.upkeep.busy == 0 {
            self.upkeep.busy_since = cx.now.mono;
        }
        self.upkeep.busy = self.upkeep.busy.saturating_add(1);
        let patient = self.upkeep.busy < BUSY_ROUNDS_MAX;
        if !patient && cx.now.mono.since(self.upkeep.busy_since) >= BUSY_SPAN_MAX {
            // Busy for longer than any row of dead nodes takes: it does not do its work, which is as good as dead.
            return self.on_lost(cx, peer);
        }
        // Only the head is asked again at once: whoever it names besides waits for the next period.
        self.upkeep.again |= patient && self.ring.head() == Some(peer);
        self.go_on(cx, None);
    }

    /// The peer asked is gone: without it, on to the next.
    fn on_lost(&mut self, cx: &mut Cx<'_, Chord>, peer: &Peer) {
        self.end_busy();
        self.drop_peer(cx, peer);
        self.go_on(cx, None);
    }

    fn end_busy(&mut self) {
        (self.upkeep.busy, self.upkeep.busy_since) = (0, Mono::default());
    }

    /// After so many dead ones in a row many have died at once: found out one after another, each would cost all the tries of a
    /// call. The first of the list is being asked anyway.
    fn probe_others(&mut self, cx: &mut Cx<'_, Chord>, lost: u8, list: Vec<Peer>) {
        if lost >= LOST_MANY {
            list.iter().skip(1).for_each(|peer| self.probe(cx, peer));
        }
    }

    /// Between two queries: answers those who waited, then asks the next nearer peer, or ends the round.
    fn go_on(&mut self, cx: &mut Cx<'_, Chord>, nearer: Option<Peer>) {
        if self.upkeep.asking.is_some() || !self.is_in_ring() {
            return;
        }
        self.answer_delayed(cx);
        if self.upkeep.steps < STEPS_MAX {
            self.upkeep.steps += 1;
            // Zave: a predecessor of the head that lies between is asked itself before it is adopted.
            if let Some(peer) = nearer {
                if cfg!(any(keyway_bug = "chord_adopt_unverified", keyway_bug = "chord_rules_2001")) {
                    // planted: the head's word is taken for it, nobody is asked
                    let known = core::iter::once(&peer).chain(self.ring.succs.iter()).cloned().collect();
                    self.ring.succs.set(known);
                    if cfg!(keyway_bug = "chord_rules_2001") {
                        self.ask(cx, peer, false); // "successor.notify(n)", of one that may be dead
                    }
                    return;
                }
                return self.ask(cx, peer, false);
            }
            if let Some(peer) = self.upkeep.candidate.take().filter(|p| self.ring.before_head(p.id())) {
                return self.ask(cx, peer, true);
            }
        } else if nearer.is_some() {
            // All of the list had died, and the way back from a finger is long.
            self.come_soon(cx);
        }
        if core::mem::take(&mut self.upkeep.again) {
            self.stabilize(cx);
        }
    }

    /// Takes `peer`, which has just answered, as the successor, and its list after it.
    fn adopt(&mut self, cx: &mut Cx<'_, Chord>, peer: &Peer, view: &View) {
        let head = self.ring.head().cloned();
        let displaced = head.filter(|h| h != peer);
        if displaced.is_some() && !self.ring.before_head(peer.id()) {
            return;
        }
        let Some(first) = self.ring.set_succs(peer, &view.succs, view.closed) else { return };
        if let Some(old) = displaced
            && let Some(last) = self.ring.succs.last()
            && !self.ring.succs.contains(&old)
            && (self.ring.closed || between(self.ring.id(), old.id(), last.id()))
        {
            // The new successor does not know the old one although it lies in its list's reach: two rings are meeting.
            self.hand_on(cx, peer, old);
        }
        if first == 0 {
            self.upkeep.soon = 0;
        }
        self.succs_changed(cx, first);
    }

    /// After a change of the successor list from index `first` on.
    fn succs_changed(&mut self, cx: &mut Cx<'_, Chord>, first: usize) {
        if self.ring.closed {
            self.fingers.clear();
        } else if let Some(last) = self.ring.succs.last() {
            self.fingers.prune(self.ring.me.id(), last.id());
        }
        if self.phase == Phase::Member {
            cx.emit(Event::NeighborsChanged);
            // Even the far end counts: where the lists meet, it says who stands behind us.
            cx.emit(Event::ReplicasChanged { from: 1 });
        }
        // What the predecessor copies is all but our last entry.
        if first + 1 < usize::from(self.config.successors)
            && let Some(pred) = self.ring.pred()
        {
            cx.tell(pred, Msg::News);
        }
        // A predecessor list that is cut where the successor's place begins may now read differently to it.
        self.tell_preds(cx);
    }

    pub(super) fn on_news(&mut self, cx: &mut Cx<'_, Chord>, from: &Peer) {
        if self.ring.head() == Some(from) {
            self.stabilize(cx);
        } else {
            self.consider(cx, from.clone());
        }
    }

    /// A peer that is said to live: verified as a successor if it lies between this node and its successor.
    pub(super) fn consider(&mut self, cx: &mut Cx<'_, Chord>, peer: Peer) {
        if !self.is_in_ring()
            || !self.ring.before_head(peer.id())
            || self.upkeep.asking.as_ref() == Some(&peer)
        {
            return;
        }
        let nearer = |c: &Peer| between(self.ring.id(), peer.id(), c.id());
        if self.upkeep.candidate.as_ref().is_none_or(nearer) {
            self.upkeep.candidate = Some(peer);
        }
        if self.upkeep.asking.is_none() {
            self.upkeep.steps = 0;
            self.go_on(cx, None);
        }
    }

    // ---- stabilize: the side that is asked

    pub(super) fn on_stabilize(
        &mut self,
        cx: &mut Cx<'_, Chord>,
        from: Peer,
        ticket: Ticket,
        have: Option<u64>,
        preds: Preds,
    ) {
        let want_preds = self.notify(cx, &from, preds);
        self.answer_or_delay(cx, from, ticket, Wants::Place { have, want_preds });
        if self.ring.succs.is_empty() {
            // A ring of one learns its successor from the first node that calls it its own.
            self.stabilize(cx);
        }
    }

    pub(super) fn on_look(&mut self, cx: &mut Cx<'_, Chord>, from: &Peer, ticket: Ticket) {
        self.answer_or_delay(cx, from.clone(), ticket, Wants::List);
    }

    pub(super) fn on_best_pred(&mut self, cx: &mut Cx<'_, Chord>, from: &Peer, ticket: Ticket, target: Id) {
        self.answer_or_delay(cx, from.clone(), ticket, Wants::Best { target });
    }

    fn answer_or_delay(&mut self, cx: &mut Cx<'_, Chord>, from: Peer, ticket: Ticket, wants: Wants) {
        let waiting = self.upkeep.asking.is_some() && from.id() < self.ring.id();
        if waiting && self.upkeep.delayed.len() < DELAYED_MAX {
            cx.busy(&ticket);
            // A repeated request is the same wait under a new ticket.
            match self.upkeep.delayed.iter_mut().find(|d| d.from == from && d.wants == wants) {
                Some(delayed) => delayed.ticket = ticket,
                None => self.upkeep.delayed.push(Delayed { from, ticket, wants }),
            }
            return;
        }
        self.reply(cx, &from, ticket, &wants);
    }

    fn answer_delayed(&mut self, cx: &mut Cx<'_, Chord>) {
        for Delayed { from, ticket, wants } in core::mem::take(&mut self.upkeep.delayed) {
            self.reply(cx, &from, ticket, &wants);
        }
    }

    fn reply(&mut self, cx: &mut Cx<'_, Chord>, from: &Peer, ticket: Ticket, wants: &Wants) {
        let answer = self.answer(from, wants);
        cx.reply(ticket, answer);
        if matches!(self.phase, Phase::Linking(_)) && self.ring.pred() == Some(from) {
            // Our predecessor asked in order to adopt us, and has its answer: from now on lookups end here.
            self.become_member(cx);
        }
    }

    fn answer(&self, from: &Peer, wants: &Wants) -> Msg {
        match *wants {
            Wants::Place { have, want_preds } => {
                let known =
                    have == Some(self.ring.succs_digest_for(from.id())) && self.ring.pred() == Some(from);
                // planted: a list once fetched is never fetched again
                if known || have.is_some() && cfg!(keyway_bug = "chord_stale_lists") {
                    return Msg::Same { want_preds };
                }
                let (succs, closed) = self.ring.succs_for(from.id());
                Msg::View(View { pred: self.ring.pred().cloned(), succs: succs.to_vec(), closed, want_preds })
            }
            Wants::List => Msg::View(View {
                pred: self.ring.pred().cloned(),
                succs: self.ring.succs.to_vec(),
                closed: self.ring.closed,
                want_preds: false,
            }),
            Wants::Best { target } => {
                let me = self.ring.id();
                let nearer = self.closest_preceding(&target).filter(|p| between(me, p.id(), &target));
                Msg::Best { peers: nearer.take(BEST_MAX).cloned().collect() }
            }
        }
    }

    // ---- rectify

    /// `from` calls itself our predecessor. Returns whether its predecessor list is wanted in full next time.
    fn notify(&mut self, cx: &mut Cx<'_, Chord>, from: &Peer, preds: Preds) -> bool {
        match self.ring.pred().cloned() {
            Some(pred) if pred == *from => {}
            Some(pred) => {
                let blind = cfg!(keyway_bug = "chord_no_rectify"); // planted: any notify replaces the predecessor
                if !blind && !between(pred.id(), from.id(), self.ring.id()) {
                    // Farther than the one we have: only over its grave (Zave's rectify).
                    self.verify_pred(cx, Some(from.clone()));
                    return true;
                }
                // Nearer: it has just spoken, so it lives. The old one learns who stands before it now.
                if !cfg!(keyway_bug = "chord_rules_2001") {
                    cx.tell(&pred, Msg::Meet { peer: from.clone(), hops: 0 }); // planted: it learns by its own rounds
                }
            }
            None => {}
        }
        self.upkeep.pred_heard = cx.now.mono;
        self.upkeep.lost_preds = 0;
        match preds {
            Preds::List(list) => {
                self.set_preds(cx, from, &list);
                false
            }
            Preds::Same(digest) => {
                if self.ring.pred() != Some(from) {
                    let known = self.ring.preds.to_vec();
                    self.set_preds(cx, from, &known);
                }
                self.ring.preds_tail_digest() != digest
            }
        }
    }

    fn set_preds(&mut self, cx: &mut Cx<'_, Chord>, pred: &Peer, list: &[Peer]) {
        if self.ring.set_preds(pred, list).is_some() {
            self.preds_changed(cx);
        }
    }

    fn preds_changed(&mut self, cx: &mut Cx<'_, Chord>) {
        if self.phase == Phase::Member {
            cx.emit(Event::NeighborsChanged);
            cx.emit(Event::ReplicasChanged { from: 1 });
        }
        self.tell_preds(cx);
    }

    /// Lets the successor know at once when the list of those before us has changed.
    fn tell_preds(&mut self, cx: &mut Cx<'_, Chord>) {
        if let (Some(head), Some((id, digest))) = (self.ring.head(), self.upkeep.told)
            && *head.id() == id
            && self.ring.preds_digest_for(&id) != digest
        {
            self.stabilize(cx);
        }
    }

    /// Pings the predecessor; if it is silent, `heir` may follow it.
    fn verify_pred(&mut self, cx: &mut Cx<'_, Chord>, heir: Option<Peer>) {
        if cfg!(keyway_bug = "chord_rules_2001") {
            return; // planted: only a nearer one replaces a predecessor, and nobody looks whether it lives
        }
        let Some(pred) = self.ring.pred() else { return };
        if !self.upkeep.rectifying {
            self.upkeep.rectifying = true;
            cx.call(pred, Msg::Ping, Call::Rectify);
        }
        if let Some(heir) = heir {
            let nearer = |old: &Peer| between(old.id(), heir.id(), self.ring.id());
            if self.upkeep.heir.as_ref().is_none_or(nearer) {
                self.upkeep.heir = Some(heir);
            }
        }
    }

    pub(super) fn on_pred_alive(&mut self, cx: &mut Cx<'_, Chord>, from: &Peer) {
        self.upkeep.rectifying = false;
        self.upkeep.heir = None;
        self.upkeep.lost_preds = 0;
        if self.ring.pred() == Some(from) {
            self.upkeep.pred_heard = cx.now.mono;
        }
    }

    pub(super) fn on_pred_silent(&mut self, cx: &mut Cx<'_, Chord>, peer: &Peer) {
        self.upkeep.rectifying = false;
        let heir = self.upkeep.heir.take();
        self.drop_peer(cx, peer);
        let Some(heir) = heir.filter(|h| h != peer && self.is_in_ring()) else { return };
        match self.ring.pred().cloned() {
            Some(pred) if pred == heir => {}
            // The next in the advisory list is nearer: it is being pinged now.
            Some(pred) if !between(pred.id(), heir.id(), self.ring.id()) => self.verify_pred(cx, Some(heir)),
            _ => {
                let known = self.ring.preds.to_vec();
                self.upkeep.pred_heard = cx.now.mono;
                self.set_preds(cx, &heir, &known);
            }
        }
    }

    /// Whether the peer that answered last came from outside: by a hint, not by the ring's own pointers.
    pub(super) fn found_stranger(&self) -> bool {
        self.upkeep.asking_stranger
    }

    // ---- failures

    /// Somebody suspects `peer`: pings it if the tables name it.
    pub(super) fn probe(&mut self, cx: &mut Cx<'_, Chord>, peer: &Peer) {
        let named = self.ring.names(peer) || self.fingers.peers().contains(peer);
        if named && self.upkeep.probes.len() < PROBES_MAX && !self.upkeep.probes.contains(peer) {
            self.upkeep.probes.push(peer.clone());
            cx.call(peer, Msg::Ping, Call::Probe);
        }
    }

    pub(super) fn on_probed(&mut self, from: &Peer) {
        self.upkeep.probes.retain(|p| p != from);
    }

    pub(super) fn on_probe_silence(&mut self, cx: &mut Cx<'_, Chord>, peer: &Peer) {
        self.upkeep.probes.retain(|p| p != peer);
        // The node before it in our list is the one to notice: until it does, its list would bring the dead back to us.
        if let Some(i) = self.ring.succs.iter().position(|p| p == peer).filter(|i| *i > 0) {
            cx.tell(&self.ring.succs[i - 1], Msg::Suspect(peer.clone()));
        }
        self.drop_peer(cx, peer);
    }

    /// Takes `peer` out of all tables and mends what that breaks.
    pub(super) fn drop_peer(&mut self, cx: &mut Cx<'_, Chord>, peer: &Peer) {
        if self.upkeep.candidate.as_ref() == Some(peer) {
            self.upkeep.candidate = None;
        }
        if self.fingers.remove(peer) {
            self.replace_finger(cx, peer);
        }
        if let Some(i) = self.ring.preds.iter().position(|p| p == peer) {
            self.ring.preds.remove(i);
            self.preds_changed(cx);
            if i == 0 {
                // The next one is what the dead one told us: presumed for placement, pinged before anything rests on it.
                self.verify_pred(cx, None);
                self.upkeep.lost_preds = self.upkeep.lost_preds.saturating_add(1);
                self.probe_others(cx, self.upkeep.lost_preds, self.ring.preds.to_vec());
            }
        }
        if let Some(i) = self.ring.succs.iter().position(|p| p == peer) {
            self.ring.succs.remove(i);
            if self.upkeep.asking.as_ref() == Some(peer) {
                // Found dead by another's call: its own need not run out.
                self.upkeep.asking = None;
            }
            if self.ring.succs.is_empty() {
                self.refill(cx);
            }
            if self.is_in_ring() {
                self.succs_changed(cx, i);
                if i == 0 {
                    if self.upkeep.asking.is_none() {
                        // Who waits is not made to wait through a row of dead ones: it would take this node for dead.
                        self.answer_delayed(cx);
                    }
                    self.stabilize(cx);
                    // However it was found dead, by this round or by somebody's suspicion.
                    self.upkeep.lost = self.upkeep.lost.saturating_add(1);
                    self.probe_others(cx, self.upkeep.lost, self.ring.succs.to_vec());
                }
            }
        }
    }

    /// The last successor is gone: whoever else is known is verified head first. Zave's operating assumption excludes this; when
    /// it happens all the same (this node was cut off), it ends as a ring of one that merges later.
    fn refill(&mut self, cx: &mut Cx<'_, Chord>) {
        let known = self.ring.preds.iter().chain(self.fingers.peers()).cloned().collect();
        self.ring.refill(known);
        if self.ring.succs.is_empty()
            && let Phase::Linking(_) = self.phase
        {
            self.retry_join(cx);
        }
    }

    // ---- beginnings

    /// The first rounds of a node that has found its place.
    pub(super) fn start_upkeep(&mut self, cx: &mut Cx<'_, Chord>) {
        self.upkeep = Upkeep { quick: ROUNDS_QUICK, pred_heard: cx.now.mono, ..Upkeep::default() };
        let after = cx.rng.jitter(Duration(self.config.stabilize().0 / QUICK_FACTOR));
        cx.arm(Timer::Stabilize, after);
        self.stabilize(cx);
    }

    /// Upkeep as after many quiet rounds.
    pub(super) fn settle_upkeep(&mut self, cx: &mut Cx<'_, Chord>) {
        let told = self.ring.head().map(|head| (*head.id(), self.ring.preds_digest_for(head.id())));
        self.upkeep = Upkeep { told, pred_heard: cx.now.mono, ..Upkeep::default() };
        let after = Duration(cx.rng.below(self.config.stabilize().0));
        cx.arm(Timer::Stabilize, after);
        let after = Duration(cx.rng.below(self.config.fix_fingers().0));
        cx.arm(Timer::Fingers, after);
    }

    /// Whether an own query about the successor list is out.
    #[cfg(test)]
    pub(super) fn is_waiting(&self) -> bool {
        self.upkeep.asking.is_some()
    }

    pub(super) fn check_upkeep(&self) -> Result<(), Violation> {
        let u = &self.upkeep;
        if u.delayed.len() > DELAYED_MAX || u.probes.len() > PROBES_MAX {
            return Err(Violation::new("chord: waiting requests and probes are bounded", format!("{u:?}")));
        }
        if u.asking.is_none() && !u.delayed.is_empty() {
            return Err(Violation::new("chord: nobody waits for a query that is not out", format!("{u:?}")));
        }
        Ok(())
    }
}
