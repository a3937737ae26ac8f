//! Requests of other nodes, answered from this node's own state.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::gather::{Then, batch};
use super::message::{HEADS_MAX, Message, Verdict};
use super::{Node, Turn, Waiter};
use crate::cx::{Input, Ticket};
use crate::id::Id;
use crate::lookup;
use crate::machine::Phase;
use crate::overlay::Overlay;
use crate::peer::Peer;
use crate::replica::sync;
use crate::store::{Head, Identity, Put as Stored, Record, Refusal};
use crate::time::Wall;

/// Batches given to us that wait for the disk at once.
pub(super) const PUSHES_MAX: usize = 1024;

/// A batch given to us, waiting for the disk.
#[derive(Clone, Debug)]
pub(super) struct Pushed {
    ticket: Ticket,
    waiting: usize,
    stored: u16,
}

impl<O: Overlay> Node<O> {
    pub(super) fn serve(&mut self, t: &mut Turn<'_, O>, from: Peer, ticket: Ticket, msg: Message<O>) {
        match msg {
            Message::Overlay(msg) => {
                t.scratch.inputs.push_back(Input::Message { from, ticket: Some(ticket), msg })
            }
            // Its clock is not learned: how long a request travelled is unknown.
            Message::Hello(_) => {
                let member = self.phase == Phase::Member;
                self.reply(t, &ticket, &Message::Welcome(self.standing(t.now), member));
            }
            Message::Hop(target, wanted) => {
                let answer = if matches!(self.phase, Phase::Member | Phase::Leaving) {
                    lookup::answer(&self.overlay, self.me(), &target, wanted)
                } else {
                    super::message::HopAnswer::Stuck
                };
                self.reply(t, &ticket, &Message::HopIs(answer));
            }
            Message::Store(record) => self.serve_store(t, ticket, *record),
            Message::Fetch(request) => {
                let ready = self.copies.is_ready(&request.key);
                let (page, more) = self.page_of(t.now, &request);
                self.gather(t, &page, Then::Page { ticket, ready, more });
            }
            Message::Heads(key) => {
                let ready = self.copies.is_ready(&key);
                let heads = self.store.all_heads_of(&key).take(HEADS_MAX).copied().collect();
                self.reply(t, &ticket, &Message::HeadsAre(ready, heads));
            }
            Message::HeadsOf(identities) => {
                let ready = identities.iter().all(|i| self.copies.is_ready(&i.key));
                let heads = self.live_heads_of(t.now.wall, &identities);
                self.reply(t, &ticket, &Message::HeadsAre(ready, heads));
            }
            Message::Sync(question) => {
                let ready = self.copies.covers(&question.arc);
                let answer = sync::answer(&self.store, &question);
                self.counters.syncs += 1;
                self.reply(t, &ticket, &Message::SyncIs(ready, self.standing(t.now), answer));
            }
            Message::Route(request) => self.serve_route(t, from, &ticket, *request),
            Message::Routed(routed) => self.serve_routed(t, &from, &ticket, *routed),
            Message::About => {
                let facts = self.facts();
                self.reply(t, &ticket, &Message::AboutIs(Box::new(facts)));
            }
            Message::Pull(identities) => self.serve_pull(t, ticket, &identities),
            Message::Push(records) => self.serve_push(t, ticket, records),
            // Answers under the wrong kind: the sender's bug.
            _ => self.counters.frames_malformed += 1,
        }
    }

    /// Whether this node belongs to the replica set of `key` by its own view.
    fn is_mine(&self, key: &Id) -> bool {
        self.phase == Phase::Member && self.copies.shares_key(key)
    }

    /// What is held of these, removals included, as long as it lives.
    pub(super) fn live_heads_of(&self, now: Wall, identities: &[Identity]) -> Vec<Head> {
        let held = identities.iter().filter_map(|identity| self.store.head(identity));
        held.filter(|head| head.expires() > now).copied().collect()
    }

    fn serve_store(&mut self, t: &mut Turn<'_, O>, ticket: Ticket, record: Record) {
        let verdict = if !self.is_mine(&record.head.identity.key) {
            Some(Verdict::NotMine)
        } else if self.skew.is_out() {
            Some(Verdict::Refused(Refusal::Busy))
        } else {
            self.take_for_client(t, record, Waiter::Store(ticket.clone()))
        };
        if let Some(verdict) = verdict {
            self.reply(t, &ticket, &Message::Stored(verdict));
        }
    }

    /// Stores a client's record here: the verdict, unless the waiter will be told.
    pub(super) fn take_for_client(
        &mut self,
        t: &mut Turn<'_, O>,
        record: Record,
        waiter: Waiter,
    ) -> Option<Verdict> {
        if let Some(why) = self.store.objection(t.now.wall, &record) {
            return Some(Verdict::Refused(why));
        }
        let (Head { identity, kind, .. }, expires) = (record.head, record.head.expires());
        let offered = self.store.offer(t.now.wall, record, Some(waiter), &mut t.out.disk);
        self.arm_admission(t.now);
        self.counters.records_waited += u64::from(matches!(offered, Stored::Waiting(_)));
        self.counters.records_over_capacity += u64::from(offered == Stored::Refused(Refusal::OverCapacity));
        match offered {
            Stored::Held => Some(match self.store.head(&identity) {
                Some(held) if held.kind.is_remove() && !kind.is_remove() => Verdict::Hidden,
                Some(held) if held.expires() > expires => Verdict::Longer(held.expires()),
                _ => Verdict::Stored,
            }),
            Stored::Writing => None,
            Stored::Waiting(expected) => Some(Verdict::Waiting(expected)),
            Stored::Refused(why) => Some(Verdict::Refused(why)),
        }
    }

    /// The store has finished with a record.
    pub(super) fn on_stored(&mut self, t: &mut Turn<'_, O>, waiter: Waiter, result: Result<(), Refusal>) {
        self.counters.records_stored += u64::from(result.is_ok());
        if result.is_ok() {
            self.arm_expiry(t.now);
            self.arm_sync(t);
        }
        match waiter {
            Waiter::Store(ticket) => {
                let verdict = result.map_or_else(Verdict::Refused, |()| Verdict::Stored);
                self.reply(t, &ticket, &Message::Stored(verdict));
            }
            Waiter::Put { op, attempt } => self.on_own_stored(t, op, attempt, result),
            Waiter::Push(serial) => self.push_stored(t, serial, result.is_ok()),
            Waiter::Pulled(exchange) => self.on_pulled_stored(t, exchange, result.is_ok()),
            Waiter::Gather(_) => {}
        }
    }

    fn serve_pull(&mut self, t: &mut Turn<'_, O>, ticket: Ticket, identities: &[Identity]) {
        let sized: Vec<_> =
            identities.iter().filter_map(|i| self.store.head(i).map(|h| (*i, h.value_bytes))).collect();
        let fit: Vec<_> = sized[..batch(&sized)].iter().map(|(i, _)| *i).collect();
        self.gather(t, &fit, Then::Records(ticket));
    }

    fn serve_push(&mut self, t: &mut Turn<'_, O>, ticket: Ticket, records: Vec<Record>) {
        if self.pushes.len() >= PUSHES_MAX || self.phase == Phase::Loading {
            return;
        }
        let serial = self.serial();
        let mut pushed = Pushed { ticket, waiting: 0, stored: 0 };
        for record in records {
            match self.store.put(t.now.wall, record, Some(Waiter::Push(serial)), &mut t.out.disk) {
                Stored::Held | Stored::Refused(Refusal::Expired) => pushed.stored += 1,
                Stored::Writing => pushed.waiting += 1,
                Stored::Refused(_) | Stored::Waiting(_) => {}
            }
        }
        if pushed.waiting == 0 {
            return self.reply(t, &pushed.ticket, &Message::Pushed(pushed.stored));
        }
        self.pushes.insert(serial, pushed);
    }

    fn push_stored(&mut self, t: &mut Turn<'_, O>, serial: u64, stored: bool) {
        let Some(pushed) = self.pushes.get_mut(&serial) else { return };
        pushed.waiting -= 1;
        pushed.stored += u16::from(stored);
        if pushed.waiting == 0
            && let Some(pushed) = self.pushes.remove(&serial)
        {
            self.reply(t, &pushed.ticket, &Message::Pushed(pushed.stored));
        }
    }
}
