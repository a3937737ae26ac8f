//! The naive reading of the paper's algorithm, ms by ms and list by list: what [`Fair`](super::Fair) must equal in every decision.
//!
//! It knows nothing of trees, bounds on memory or forgetting. Reserve and limit are in units of 1/`per_ms` byte.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::Event;
use crate::store::fair::FairConfig;

/// A put in a queue.
#[derive(Clone, Copy)]
struct Put {
    name: usize,
    arrival: usize,
    start: i128,
    bytes: u64,
    ttl_ms: u64,
}

/// A put that is stored until it expires.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Stored {
    pub(super) client: u64,
    pub(super) bytes: u64,
    pub(super) expires_ms: u64,
}

pub(super) struct Oracle {
    config: FairConfig,
    stored: Vec<Stored>,
    queues: BTreeMap<u64, VecDeque<Put>>,
    finish: BTreeMap<u64, i128>,
    virtual_time: i128,
    /// Whose head waits, and for when.
    waiting: Option<(u64, u64)>,
    arrivals: usize,
    /// `(name, at_ms)`.
    pub(super) accepted: Vec<(usize, u64)>,
}

impl Oracle {
    pub(super) fn new(config: FairConfig) -> Oracle {
        Oracle {
            config,
            stored: Vec::new(),
            queues: BTreeMap::new(),
            finish: BTreeMap::new(),
            virtual_time: 0,
            waiting: None,
            arrivals: 0,
            accepted: Vec::new(),
        }
    }

    /// For each whole ms u in [t, t + l - 1]: stored(u) + r (u - t) + x <= C + B - 1.
    fn admissible(&self, t: u64, x: u64, l: u64) -> bool {
        let (num, den) = (i128::from(self.config.rate.bytes()), i128::from(self.config.rate.per_ms()));
        let limit = den * i128::from(self.config.capacity_bytes + self.config.put_bytes_max) - den.min(num);
        (t..t + l).all(|u| {
            let stored: u64 = self.stored.iter().filter(|s| s.expires_ms > u).map(|s| s.bytes).sum();
            den * i128::from(stored) + num * i128::from(u - t) + den * i128::from(x) <= limit
        })
    }

    fn never_fits(&self, x: u64, l: u64) -> bool {
        !Oracle::new(self.config).admissible(0, x, l)
    }

    pub(super) fn stored_at(&self, t: u64) -> Vec<Stored> {
        self.stored.iter().copied().filter(|s| s.expires_ms > t).collect()
    }

    /// Everything up to and at `t` that was due.
    pub(super) fn run_to(&mut self, t: u64) {
        while let Some((client, at)) = self.waiting.filter(|(_, at)| *at <= t) {
            // No new choice is made.
            self.waiting = None;
            self.accept(client, at);
            self.round(at);
        }
    }

    /// Returns whether a put was queued; true for everything else.
    pub(super) fn happen(&mut self, t: u64, name: usize, event: Event) -> bool {
        self.run_to(t);
        match event {
            Event::Put { client, bytes, ttl_ms } => return self.arrive(t, name, client, bytes, ttl_ms),
            Event::Commit { client, bytes, life_ms } => {
                self.stored.push(Stored { client, bytes, expires_ms: t + life_ms });
                if self.waiting.take().is_some() {
                    self.round(t);
                }
            }
            Event::Release { which } => {
                let live = self.stored_at(t);
                if let Some(gone) = live.get(which % live.len().max(1)) {
                    let at = self.stored.iter().position(|s| s == gone).unwrap();
                    self.stored.remove(at);
                }
                if self.waiting.take().is_some() {
                    self.round(t);
                }
            }
        }
        true
    }

    fn arrive(&mut self, t: u64, name: usize, client: u64, bytes: u64, ttl_ms: u64) -> bool {
        let commitment = |bytes: u64, ttl_ms: u64| i128::from(bytes) * i128::from(ttl_ms);
        let queue = self.queues.entry(client).or_default();
        let queued: i128 = queue.iter().map(|p| commitment(p.bytes, p.ttl_ms)).sum();
        let (alpha, bound) = (self.config.alpha as i128, self.config.queue_bound as i128);
        if queued + commitment(bytes, ttl_ms) > bound || self.never_fits(bytes, ttl_ms) {
            return false;
        }
        let start = self.finish.get(&client).copied().unwrap_or(0).max(self.virtual_time - alpha);
        self.finish.insert(client, start + commitment(bytes, ttl_ms));
        let waiting_start = self.waiting.map(|(client, _)| self.queues[&client][0].start);
        let queue = self.queues.entry(client).or_default();
        queue.push_back(Put { name, arrival: self.arrivals, start, bytes, ttl_ms });
        self.arrivals += 1;
        if waiting_start.is_none_or(|waiting| start < waiting) {
            self.waiting = None;
            self.round(t);
        }
        true
    }

    fn accept(&mut self, client: u64, t: u64) {
        let put = self.queues.get_mut(&client).unwrap().pop_front().unwrap();
        self.virtual_time = self.virtual_time.max(put.start);
        self.stored.push(Stored { client, bytes: put.bytes, expires_ms: t + put.ttl_ms });
        self.accepted.push((put.name, t));
    }

    /// Lowest start tag of all heads first, until one does not fit.
    fn round(&mut self, t: u64) {
        let heads = |queues: &BTreeMap<u64, VecDeque<Put>>| {
            let heads = queues.iter().filter_map(|(client, queue)| Some((*client, *queue.front()?)));
            heads.min_by_key(|(_, put)| (put.start, put.arrival))
        };
        while let Some((client, put)) = heads(&self.queues) {
            if !self.admissible(t, put.bytes, put.ttl_ms) {
                let earliest = (t + 1..).find(|at| self.admissible(*at, put.bytes, put.ttl_ms)).unwrap();
                self.waiting = Some((client, earliest));
                return;
            }
            self.accept(client, t);
        }
    }
}
