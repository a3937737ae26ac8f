//! Gathering several records, some from the cache, some from the disk, and then going on.

use alloc::vec::Vec;

use super::get::Page;
use super::message::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, Message, PAGE_RECORDS_MAX, PageRequest};
use super::{Node, Turn, Waiter};
use crate::cx::Ticket;
use crate::keyspace::Arc;
use crate::machine::{GetAnswer, HELD_MAX, OpDone, OpError, OpId, RECORDS_MAX, Value};
use crate::overlay::Overlay;
use crate::store::record::{HEAD_BYTES, VALUE_BYTES_MAX};
use crate::store::{Head, Identity, Read, Record};
use crate::time::Now;

/// Gatherings under way at once; beyond it the asker is not answered and asks again.
pub(super) const GATHERS_MAX: usize = 4096;

/// What to do with the records.
#[derive(Clone, Debug)]
pub(super) enum Then {
    /// Answer `Pull`.
    Records(Ticket),
    /// Answer `Fetch`.
    Page { ticket: Ticket, ready: bool, more: bool },
    /// This node's own part of a get.
    OwnPage { op: u64, attempt: u8, ready: bool, more: bool },
    /// Push them to the exchange's peer.
    Push(u64),
    /// Give a client these records of this node itself; the next page begins there.
    Whole { op: OpId, heads: Vec<Head>, next: Option<Identity> },
}

/// Records being read.
#[derive(Clone, Debug)]
pub(super) struct Gather {
    waiting: usize,
    records: Vec<Record>,
    /// Something that is here could not be read: what was gathered is no proof of absence.
    unread: bool,
    then: Then,
}

impl<O: Overlay> Node<O> {
    /// Reads these records, those that are here, and goes on with `then`, perhaps at once.
    pub(super) fn gather(&mut self, t: &mut Turn<'_, O>, identities: &[Identity], then: Then) {
        if self.gathers.len() >= GATHERS_MAX {
            match then {
                Then::Push(exchange) => self.fail_exchange(t, exchange),
                Then::Whole { op, .. } => self.done(t, op, Err(OpError::Busy)),
                Then::Records(_) | Then::Page { .. } | Then::OwnPage { .. } => {}
            }
            return;
        }
        let serial = self.serial();
        let records = Vec::with_capacity(identities.len().min(64));
        let mut gather = Gather { waiting: 0, records, unread: false, then };
        for identity in identities {
            match self.store.read(identity, Waiter::Gather(serial), &mut t.out.disk) {
                Read::Cached(record) => gather.records.push(record),
                Read::Reading => gather.waiting += 1,
                Read::Missing => gather.unread |= self.store.head(identity).is_some(),
            }
        }
        if gather.waiting == 0 {
            return self.gathered(t, gather);
        }
        self.gathers.insert(serial, gather);
    }

    pub(super) fn on_read(&mut self, t: &mut Turn<'_, O>, waiter: &Waiter, record: Option<Record>) {
        let Waiter::Gather(serial) = waiter else { return };
        let Some(gather) = self.gathers.get_mut(serial) else { return };
        gather.unread |= record.is_none();
        gather.records.extend(record);
        gather.waiting -= 1;
        if gather.waiting == 0
            && let Some(gather) = self.gathers.remove(serial)
        {
            self.gathered(t, gather);
        }
    }

    fn gathered(&mut self, t: &mut Turn<'_, O>, gather: Gather) {
        let Gather { mut records, unread, then, .. } = gather;
        match then {
            Then::Records(ticket) => self.reply(t, &ticket, &Message::Records(records)),
            Then::Page { ticket, ready, more } => {
                records.sort_by_key(|r| r.head.cursor());
                self.reply(t, &ticket, &Message::Page(ready && !unread, records, more));
            }
            Then::OwnPage { op, attempt, ready, more } => {
                records.sort_by_key(|r| r.head.cursor());
                let from = self.me().clone();
                self.on_page(t, op, attempt, ready && !unread, Page { from, records, more });
            }
            Then::Push(exchange) => self.push_records(t, exchange, records),
            Then::Whole { op, heads, next } => {
                records.sort_by_key(|r| r.head.identity);
                let got =
                    |head: &&Head| records.binary_search_by_key(&head.identity, |r| r.head.identity).is_ok();
                // What ended meanwhile is not missed.
                let missed = heads.iter().filter(|head| head.expires() > t.now.wall && !got(head)).count();
                self.done(t, op, Ok(OpDone::Records { records, unread: missed as u32, next }));
            }
        }
    }

    /// A page of the living records that this node itself holds.
    pub(super) fn whole_records(
        &mut self,
        t: &mut Turn<'_, O>,
        op: OpId,
        after: Option<&Identity>,
        max: u32,
        page_bytes: u32,
    ) {
        let max = max.clamp(1, RECORDS_MAX) as usize;
        let (mut heads, mut sum, mut next, mut last) = (Vec::new(), 0u64, None, None);
        for (looked_at, head) in self.store.heads_after(&Arc::FULL, after).enumerate() {
            let alive = head.expires() > t.now.wall;
            let cost = if alive { u64::from(head.value_bytes) } else { 0 };
            let full = heads.len() >= max || (!heads.is_empty() && sum + cost > u64::from(page_bytes));
            // Where much has ended a page may be empty and not the last.
            if full || looked_at >= HELD_MAX as usize {
                next = last;
                break;
            }
            last = Some(head.identity);
            sum += cost;
            if alive {
                heads.push(*head);
            }
        }
        let identities: Vec<Identity> = heads.iter().map(|head| head.identity).collect();
        self.gather(t, &identities, Then::Whole { op, heads, next });
    }

    /// The identities of one page of live values, in put-time order, and whether there are more.
    pub(super) fn page_of(&self, now: Now, request: &PageRequest) -> (Vec<Identity>, bool) {
        let (page, more) = self.heads_of_page(now, request);
        (page.iter().map(|head| head.identity).collect(), more)
    }

    fn heads_of_page(&self, now: Now, request: &PageRequest) -> (Vec<Head>, bool) {
        let max = (request.max as usize).min(PAGE_RECORDS_MAX);
        let cut = |heads: &mut dyn Iterator<Item = Head>| {
            // What the asker counts, and what the records take in a frame.
            let (mut page, mut sum, mut whole) = (Vec::new(), 0u64, 0usize);
            for head in heads {
                sum += request.cost_of(head.content_bytes());
                whole += HEAD_BYTES + head.value_bytes as usize;
                let full = sum > u64::from(request.page_bytes) || whole > VALUE_BYTES_MAX;
                if page.len() >= max || (!page.is_empty() && full) {
                    return (page, true);
                }
                page.push(head);
            }
            (page, false)
        };
        let (key, after) = (&request.key, request.after.as_ref());
        match &request.signer {
            None => cut(&mut self.store.heads(now.wall, key, after).copied()),
            Some(place) => cut(&mut self.store.heads_of_signer(now.wall, key, place, after).into_iter()),
        }
    }

    /// The answer to a get whose values are all in memory here: each head and each value is looked up once and copied once.
    pub(super) fn answer_from_cache(&mut self, now: Now, request: &PageRequest) -> Option<GetAnswer> {
        let (page, more) = self.heads_of_page(now, request);
        let mut values = Vec::with_capacity(page.len());
        for head in &page {
            let value = self.store.cached(&head.identity)?.to_vec();
            values.push(Value::of(Record { head: *head, value }, now.wall));
        }
        let next = page.last().filter(|_| more).map(Head::cursor);
        Some(GetAnswer { values, next, merged: 1 })
    }

    /// This node's own part of a get.
    pub(super) fn own_page(&mut self, t: &mut Turn<'_, O>, op: u64, attempt: u8, request: &PageRequest) {
        let ready = self.copies.is_ready(&request.key);
        let (page, more) = self.page_of(t.now, request);
        self.gather(t, &page, Then::OwnPage { op, attempt, ready, more });
    }
}

/// The first of `identities` that fit one batch, by count and bytes; at least one.
pub(super) fn batch(identities: &[(Identity, u32)]) -> usize {
    let mut sum = 0usize;
    for (i, (_, bytes)) in identities.iter().enumerate() {
        sum += *bytes as usize;
        if i >= BATCH_RECORDS_MAX || (i > 0 && sum > BATCH_BYTES_MAX) {
            return i;
        }
    }
    identities.len()
}
