//! Whose put is next: start-time fair queueing over commitments (OpenDHT section 4.1.3; Goyal, Vin and Cheng 1996).
//!
//! ```text
//!   client a  ··· 3 ─ 2 ─ 1 ┐                            S = max(F of the client's put before, v - alpha)
//!   client b      ··· 2 ─ 1 ┼──▶ the lowest start tag ──▶ accepted:  v = max(v, S)
//!   client c          ··· 1 ┘    (of equals the first     F = S + bytes * ttl, when the put is queued
//!                                to arrive)
//! ```
//!
//! Within a client start tags never fall, so the lowest head of all queues is the lowest put of all: one tree in order of
//! (start tag, arrival) is all the queues, and its sums tell how many bytes stand before a place.
//!
//! Invariants: a client's queued commitments are at most the bound; a client without puts in the queue is remembered only
//! while its finish tag can matter (F > v - alpha) or while it has bytes stored; at most `clients_max` of the former kind.

use alloc::collections::{BTreeMap, BTreeSet};

use super::tree::{Entry, Node, Tree};
use super::{ClientId, FairConfig, Refused, Usage};

/// A place in the order of service: the start tag, in byte-ms, and the number of the arrival.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    start: u128,
    arrival: u64,
}

/// A put in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queued<P> {
    pub(super) place: Place,
    pub(super) client: ClientId,
    pub(super) put: P,
    pub(super) bytes: u64,
    pub(super) ttl_ms: u64,
}

impl<P: Copy + core::fmt::Debug> Entry for Queued<P> {
    type Key = Place;
    /// Bytes, in 128 bits: the queue may hold more than any disk.
    type Sum = u128;
    type Scale = ();

    fn key(&self) -> Place {
        self.place
    }

    fn sum(&self, (): &()) -> u128 {
        u128::from(self.bytes)
    }

    fn join((): &(), left: &u128, right: &u128) -> u128 {
        left + right
    }

    /// Never happens: arrivals are numbered.
    fn absorb(&mut self, _: &Queued<P>) {}
}

/// What is known of a client.
#[derive(Clone, Copy, Default, Debug)]
struct Client {
    /// Finish tag of its last put that was queued.
    finish: u128,
    /// Commitments that wait.
    waiting: u128,
    waiting_count: u64,
    stored_bytes: u64,
}

/// All queues and tags.
#[derive(Clone, Debug)]
pub(super) struct Queues<P: Copy + core::fmt::Debug> {
    queue: Tree<Queued<P>>,
    clients: BTreeMap<ClientId, Client>,
    /// Clients that have nothing in the queue but a finish tag that matters, by that tag.
    resting: BTreeSet<(u128, ClientId)>,
    /// The greatest start tag accepted.
    virtual_time: u128,
    arrivals_count: u64,
}

/// Size times life.
pub(super) fn commitment(bytes: u64, ttl_ms: u64) -> u128 {
    u128::from(bytes) * u128::from(ttl_ms)
}

impl<P: Copy + core::fmt::Debug> Queues<P> {
    pub(super) fn new() -> Queues<P> {
        Queues {
            queue: Tree::new(()),
            clients: BTreeMap::new(),
            resting: BTreeSet::new(),
            virtual_time: 0,
            arrivals_count: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// The put that is next.
    pub(super) fn first(&self) -> Option<&Queued<P>> {
        self.queue.first()
    }

    /// What a new client's start tag would be: no finish tag up to here matters.
    fn floor(&self, config: &FairConfig) -> u128 {
        self.virtual_time.saturating_sub(config.alpha)
    }

    /// Queues a put and moves its client's finish tag. A refusal changes nothing.
    pub(super) fn join(
        &mut self,
        config: &FairConfig,
        client: ClientId,
        put: P,
        bytes: u64,
        ttl_ms: u64,
    ) -> Result<Place, Refused> {
        let commitment = commitment(bytes, ttl_ms);
        let known = self.clients.get(&client).copied().unwrap_or_default();
        let waiting = known.waiting.saturating_add(commitment);
        if waiting > config.queue_bound {
            return Err(Refused::QueueFull);
        }
        if self.queue.len() >= config.queued_max {
            return Err(Refused::TooManyWaiting);
        }
        self.resting.remove(&(known.finish, client));
        let place = Place { start: known.finish.max(self.floor(config)), arrival: self.arrivals_count };
        self.arrivals_count += 1;
        let finish = place.start.saturating_add(commitment);
        self.clients
            .insert(client, Client { finish, waiting, waiting_count: known.waiting_count + 1, ..known });
        self.queue.insert(Queued { place, client, put, bytes, ttl_ms });
        Ok(place)
    }

    /// Takes the first put out of the queue: it is accepted, and `stored_bytes` of it are charged.
    pub(super) fn accept_first(&mut self, config: &FairConfig, stored_bytes: u64) {
        let Some(Queued { place, client, bytes, ttl_ms, .. }) = self.queue.pop_first() else { return };
        if place.start > self.virtual_time {
            self.virtual_time = place.start;
            self.forget_past(config);
        }
        let Some(known) = self.clients.get_mut(&client) else { return };
        known.waiting = known.waiting.saturating_sub(commitment(bytes, ttl_ms));
        known.waiting_count = known.waiting_count.saturating_sub(1);
        known.stored_bytes = known.stored_bytes.saturating_add(stored_bytes);
        if known.waiting_count == 0 {
            let finish = known.finish;
            self.rest(config, client, finish);
        }
    }

    /// Charges a client for bytes that did not come through the queue.
    pub(super) fn charge(&mut self, client: ClientId, bytes: u64) {
        if bytes > 0 {
            let known = self.clients.entry(client).or_default();
            known.stored_bytes = known.stored_bytes.saturating_add(bytes);
        }
    }

    /// Bytes of a client have expired or were released.
    pub(super) fn uncharge(&mut self, config: &FairConfig, client: ClientId, bytes: u64) {
        let Some(known) = self.clients.get_mut(&client) else { return };
        known.stored_bytes = known.stored_bytes.saturating_sub(bytes);
        let (finish, is_idle) = (known.finish, known.waiting_count == 0 && known.stored_bytes == 0);
        if is_idle && finish <= self.floor(config) {
            self.clients.remove(&client);
        }
    }

    /// A client has nothing in the queue any more: its tag is kept while it can matter, and while there is room for tags.
    fn rest(&mut self, config: &FairConfig, client: ClientId, finish: u128) {
        if finish <= self.floor(config) {
            return self.forget(client);
        }
        self.resting.insert((finish, client));
        if self.resting.len() > config.clients_max {
            // The one that gains least by it.
            self.forget_first();
        }
    }

    /// Virtual time has moved.
    fn forget_past(&mut self, config: &FairConfig) {
        let floor = self.floor(config);
        while self.resting.first().is_some_and(|(finish, _)| *finish <= floor) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, client)) = self.resting.pop_first() {
            self.forget(client);
        }
    }

    /// Forgets the tag of a client that has nothing in the queue, and the client if it has nothing stored.
    fn forget(&mut self, client: ClientId) {
        let Some(known) = self.clients.get_mut(&client) else { return };
        known.finish = 0;
        if known.stored_bytes == 0 {
            self.clients.remove(&client);
        }
    }

    /// Bytes in the queue up to and with the put at that place; none if it is not in the queue.
    pub(super) fn bytes_until(&self, place: Place) -> Option<u128> {
        let mut before = 0;
        let mut next = self.queue.root();
        while let Some(branch) = next.take() {
            match &branch.node {
                Node::Inner(branches) => {
                    let inside = branches.partition_point(|branch| branch.first <= place);
                    let (last, passed) = branches[..inside].split_last()?;
                    before += passed.iter().map(|branch| branch.sum).sum::<u128>();
                    next = Some(last);
                }
                Node::Leaf(puts) => {
                    let inside = puts.partition_point(|queued| queued.place <= place);
                    before += puts[..inside].iter().map(|queued| u128::from(queued.bytes)).sum::<u128>();
                    return puts[..inside].last().filter(|queued| queued.place == place).map(|_| before);
                }
            }
        }
        None
    }

    pub(super) fn contains(&self, place: Place) -> bool {
        self.queue.contains(&place)
    }

    pub(super) fn clients_count(&self) -> usize {
        self.clients.len()
    }

    pub(super) fn resting_count(&self) -> usize {
        self.resting.len()
    }

    /// What each client that is known uses.
    pub(super) fn usages(&self) -> impl Iterator<Item = (ClientId, Usage)> {
        self.clients.iter().map(|(client, known)| (*client, known.usage()))
    }

    pub(super) fn usage(&self, client: ClientId) -> Usage {
        self.clients.get(&client).map(Client::usage).unwrap_or_default()
    }

    /// The rule that is broken, if one is; the work is linear.
    pub(super) fn check(&self, config: &FairConfig) -> Result<(), &'static str> {
        let mut waiting: BTreeMap<ClientId, (u128, u64)> = BTreeMap::new();
        for queued in self.queue.iter() {
            let sums = waiting.entry(queued.client).or_default();
            *sums = (sums.0 + commitment(queued.bytes, queued.ttl_ms), sums.1 + 1);
        }
        if !self.queue.is_sound() {
            return Err("the queue is not in order");
        }
        for (client, known) in &self.clients {
            if waiting.remove(client).unwrap_or_default() != (known.waiting, known.waiting_count) {
                return Err("a client's queue is not what is queued");
            }
            if known.waiting > config.queue_bound {
                return Err("a queue is above its bound");
            }
            let rests = known.waiting_count == 0 && known.finish > 0;
            if rests != self.resting.contains(&(known.finish, *client)) {
                return Err("the resting clients are not those with a tag and no put");
            }
            if known.waiting_count == 0 && known.stored_bytes == 0 && known.finish <= self.floor(config) {
                return Err("a client is remembered for nothing");
            }
        }
        let floor = self.floor(config);
        match () {
            () if !waiting.is_empty() => Err("a put waits of no known client"),
            () if self.queue.len() > config.queued_max || self.resting.len() > config.clients_max => {
                Err("a table is above its bound")
            }
            () if self.resting.first().is_some_and(|(finish, _)| *finish <= floor) => {
                Err("a finish tag is kept that cannot matter")
            }
            () => Ok(()),
        }
    }
}

impl Client {
    fn usage(&self) -> Usage {
        Usage {
            stored_bytes: self.stored_bytes,
            waiting_count: self.waiting_count,
            waiting_commitment: self.waiting,
        }
    }
}
