//! One exchange: this node and one peer make an arc equal, by digests, then by what differs.
//!
//! ```text
//!  asker                        peer
//!  Sync(arc, digest) ─────────▶            Same                      done
//!                    ◀───────── SyncIs     Split(parts) ─▶ ask about the parts that differ
//!                                          Heads(..)    ─▶ what each side lacks
//!  Pull(identities)  ─────────▶ ◀── Records      stored here, durably, before the exchange ends
//!  Push(records)     ─────────▶ ◀── Pushed       durable there
//! ```
//!
//! Those for a takeover come first; the others wait their turn. Bounded: [`EXCHANGES_MAX`] at once, [`QUESTIONS_MAX`] questions, one pull and one push under way in each.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::gather::{Then, batch};
use super::message::{BATCH_RECORDS_MAX, Message};
use super::{Node, Turn, Waiter, Why};
use crate::keyspace::Arc;
use crate::machine::Trace;
use crate::overlay::Overlay;
use crate::peer::Peer;
use crate::replica::sync::{Answer, Session};
use crate::rpc::Class;
use crate::store::{Identity, Put as Stored, Record, Refusal};

/// Exchanges under way at once; others wait.
pub(super) const EXCHANGES_MAX: usize = 8;
/// Exchanges that wait; beyond it a repair is left to the next round.
pub(super) const EXCHANGES_QUEUED_MAX: usize = 1024;
/// Questions under way in one exchange.
pub(super) const QUESTIONS_MAX: u8 = 4;

/// Why two nodes compare an arc.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// Periodic comparison of a share with one of its holders.
    Repair,
    /// This node takes the arc over: job number.
    TakeOver(u64),
    /// This node gives the arc away: job number.
    HandOff(u64),
    /// This node leaves.
    Leave,
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Purpose::Repair => "repair",
            Purpose::TakeOver(_) => "takeover",
            Purpose::HandOff(_) => "hand-off",
            Purpose::Leave => "leave",
        }
    }
}

/// An exchange under way.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) peer: Peer,
    pub(super) arc: Arc,
    pub(super) purpose: Purpose,
    session: Session,
    questions: u8,
    /// Identities asked for and not yet here, or to be asked for.
    to_pull: Vec<Identity>,
    /// Identities to be given.
    to_push: Vec<Identity>,
    pulling: bool,
    pushing: bool,
    /// Pulled records that are being written.
    writing: u32,
    /// Whether the peer had taken over all of the arc when it was first asked.
    peer_ready: Option<bool>,
    /// Records in the push that is under way.
    last_push: u16,
    /// Something that had to be moved was not.
    incomplete: bool,
}

impl<O: Overlay> Node<O> {
    /// Begins an exchange, or queues it.
    pub(super) fn exchange(&mut self, t: &mut Turn<'_, O>, peer: Peer, arc: Arc, purpose: Purpose) {
        if self.copies.exchanges.len() >= EXCHANGES_MAX {
            if self.copies.queue.len() < EXCHANGES_QUEUED_MAX {
                self.copies.queue.push_back((peer, arc, purpose));
            } else {
                self.exchange_over(t, &peer, &arc, purpose, false, false);
            }
            return;
        }
        let serial = self.serial();
        let exchange = Exchange {
            peer,
            arc,
            purpose,
            session: Session::new(arc),
            questions: 0,
            to_pull: Vec::new(),
            to_push: Vec::new(),
            pulling: false,
            pushing: false,
            writing: 0,
            peer_ready: None,
            last_push: 0,
            incomplete: false,
        };
        self.copies.exchanges.insert(serial, exchange);
        self.counters.syncs += 1;
        self.drive(t, serial);
    }

    /// Exchanges for takeovers that are not wanted any more make room: after a split that healed they are of arcs from
    /// which this node is far away. What they have brought stays.
    pub(super) fn drop_stale_exchanges(&mut self, t: &mut Turn<'_, O>) {
        let copies = &mut self.copies;
        let takeovers = &copies.takeovers;
        let wanted = |why: &Purpose| match *why {
            Purpose::TakeOver(serial) => takeovers.iter().any(|job| job.serial == serial),
            _ => true,
        };
        copies.queue.retain(|(_, _, why)| wanted(why));
        copies.exchanges.retain(|_, x| wanted(&x.purpose));
        self.begin_queued(t);
    }

    /// The exchange that begins next: what this node must have before it can answer comes before what is only better so.
    fn next_queued(&mut self) -> Option<(Peer, Arc, Purpose)> {
        let urgent = |why: &Purpose| matches!(why, Purpose::TakeOver(_) | Purpose::Leave);
        let at = self.copies.queue.iter().position(|(_, _, why)| urgent(why)).unwrap_or(0);
        self.copies.queue.remove(at)
    }

    /// Asks, pulls and pushes what can be; ends the exchange when nothing is left.
    fn drive(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        loop {
            let Some(x) = self.copies.exchanges.get_mut(&serial) else { return };
            if x.questions >= QUESTIONS_MAX {
                break;
            }
            let Some(question) = x.session.next_question(&self.store) else { break };
            x.questions += 1;
            let (peer, why) = (x.peer.clone(), Why::Sync { exchange: serial, arc: question.arc });
            if self.begin_call(t, peer, Message::Sync(Box::new(question)), Class::Quick, why).is_err() {
                return self.fail_exchange(t, serial);
            }
        }
        self.pull_some(t, serial);
        self.push_some(t, serial);
        let Some(x) = self.copies.exchanges.get(&serial) else { return };
        let quiet = x.questions == 0 && !x.pulling && !x.pushing && x.writing == 0;
        if quiet && x.to_pull.is_empty() && x.to_push.is_empty() {
            // Quiet without being done: an answer contradicted its question. The next round begins anew.
            let complete = x.session.is_done() && !x.incomplete;
            self.end_exchange(t, serial, complete);
        }
    }

    fn pull_some(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        let Some(x) = self.copies.exchanges.get_mut(&serial) else { return };
        if x.pulling {
            return;
        }
        // A node that gives away or leaves takes nothing.
        let takes = !matches!(x.purpose, Purpose::HandOff(_) | Purpose::Leave);
        if x.to_pull.is_empty() {
            x.to_pull = x.session.take_pull(BATCH_RECORDS_MAX);
        }
        if !takes {
            x.to_pull.clear();
        }
        if x.to_pull.is_empty() {
            return;
        }
        let wanted = x.to_pull.clone();
        x.pulling = true;
        let peer = x.peer.clone();
        if !self.call(t, &peer, Message::Pull(wanted), Class::Disk, Why::Pull { exchange: serial }) {
            self.fail_exchange(t, serial);
        }
    }

    fn push_some(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        let Some(x) = self.copies.exchanges.get_mut(&serial) else { return };
        if x.pushing {
            return;
        }
        if x.to_push.is_empty() {
            x.to_push = x.session.take_push(BATCH_RECORDS_MAX);
        }
        if x.to_push.is_empty() {
            return;
        }
        let sized: Vec<(Identity, u32)> =
            x.to_push.iter().filter_map(|i| self.store.head(i).map(|h| (*i, h.value_bytes))).collect();
        let fit = batch(&sized);
        x.pushing = true;
        x.to_push = sized[fit..].iter().map(|(i, _)| *i).collect();
        let fit: Vec<_> = sized[..fit].iter().map(|(i, _)| *i).collect();
        self.gather(t, &fit, Then::Push(serial));
    }

    pub(super) fn push_records(&mut self, t: &mut Turn<'_, O>, serial: u64, records: Vec<Record>) {
        let Some(x) = self.copies.exchanges.get_mut(&serial) else { return };
        if records.is_empty() {
            // All of them vanished meanwhile (expired, damaged): nothing to give.
            x.pushing = false;
            return self.drive(t, serial);
        }
        let (peer, repair) = (x.peer.clone(), x.purpose == Purpose::Repair);
        if repair {
            self.counters.records_repaired += records.len() as u64;
        }
        let count = records.len() as u16;
        if let Some(x) = self.copies.exchanges.get_mut(&serial) {
            x.last_push = count;
        }
        if !self.call(t, &peer, Message::Push(records), Class::Disk, Why::Push { exchange: serial }) {
            self.fail_exchange(t, serial);
        }
    }

    pub(super) fn on_sync_answer(
        &mut self,
        t: &mut Turn<'_, O>,
        serial: u64,
        arc: &Arc,
        ready: bool,
        answer: Answer,
    ) {
        let Some(x) = self.copies.exchanges.get_mut(&serial) else { return };
        x.questions = x.questions.saturating_sub(1);
        x.peer_ready.get_or_insert(ready);
        x.session.on_answer(t.now.wall, &self.store, arc, answer);
        self.drive(t, serial);
    }

    pub(super) fn on_pulled(&mut self, t: &mut Turn<'_, O>, serial: u64, records: Vec<Record>) {
        let Some(x) = self.copies.exchanges.get_mut(&serial) else { return };
        x.pulling = false;
        // What did not fit into the answer is asked for again; an empty answer means that the rest is gone there.
        let here = |i: &Identity| records.iter().any(|r| r.head.identity == *i);
        let asked = core::mem::take(&mut x.to_pull);
        if !records.is_empty() {
            x.to_pull = asked.iter().filter(|i| !here(i)).copied().collect();
        }
        let records: Vec<Record> = records.into_iter().filter(|r| asked.contains(&r.head.identity)).collect();
        let mut writing = 0;
        let mut incomplete = false;
        for record in records {
            match self.store.put(t.now.wall, record, Some(Waiter::Pulled(serial)), &mut t.out.disk) {
                Stored::Writing => writing += 1,
                Stored::Held | Stored::Refused(Refusal::Expired) => {}
                Stored::Refused(_) | Stored::Waiting(_) => incomplete = true,
            }
        }
        if let Some(x) = self.copies.exchanges.get_mut(&serial) {
            x.writing += writing;
            x.incomplete |= incomplete;
        }
        self.drive(t, serial);
    }

    pub(super) fn on_pulled_stored(&mut self, t: &mut Turn<'_, O>, serial: u64, stored: bool) {
        let Some(x) = self.copies.exchanges.get_mut(&serial) else { return };
        x.writing = x.writing.saturating_sub(1);
        x.incomplete |= !stored;
        if x.writing == 0 {
            self.drive(t, serial);
        }
    }

    pub(super) fn on_pushed(&mut self, t: &mut Turn<'_, O>, serial: u64, stored: u16) {
        let Some(x) = self.copies.exchanges.get_mut(&serial) else { return };
        x.pushing = false;
        x.incomplete |= stored < x.last_push;
        self.drive(t, serial);
    }

    pub(super) fn fail_exchange(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        self.end_exchange(t, serial, false);
    }

    fn end_exchange(&mut self, t: &mut Turn<'_, O>, serial: u64, complete: bool) {
        let Some(x) = self.copies.exchanges.remove(&serial) else { return };
        let ready = x.peer_ready == Some(true);
        t.out.trace(|| Trace::Compared {
            with: x.peer.clone(),
            arc: x.arc,
            why: x.purpose.name(),
            complete,
            ready,
        });
        self.exchange_over(t, &x.peer, &x.arc, x.purpose, complete, ready);
        self.begin_queued(t);
    }

    fn begin_queued(&mut self, t: &mut Turn<'_, O>) {
        while self.copies.exchanges.len() < EXCHANGES_MAX
            && let Some((peer, arc, purpose)) = self.next_queued()
        {
            self.exchange(t, peer, arc, purpose);
        }
    }
}
