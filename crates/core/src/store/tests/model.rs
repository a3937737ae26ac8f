//! The store against a map: random puts, removes, reads, handoffs, ends of life, crashes and probes over a disk that
//! answers in any order and fails at will. After every step `check()` holds and the model agrees.

use alloc::collections::BTreeSet;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Put { key: u64, value: u64, back_secs: u64, ttl_secs: u64, remove: bool },
    Disk { at: usize, outcome: Outcome },
    Read { key: u64, value: u64 },
    Forget { key: u64, value: u64 },
    Damage { key: u64, value: u64 },
    Expire { budget: usize },
    Notes(u8),
    Probe,
    Wait { secs: u64 },
    Crash,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let error = prop_oneof![Just(DiskError::Full), Just(DiskError::Io)];
    prop_oneof![
        20 => Just(Outcome::Done),
        1 => (error, any::<bool>()).prop_map(|(error, applied)| Outcome::Failed(error, applied)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let (key, value) = (|| 0u64..3, || 0u64..3);
    prop_oneof![
        30 => (key(), value(), 0u64..5, 1u64..30, prop::bool::weighted(0.2))
            .prop_map(|(key, value, back_secs, ttl_secs, remove)| Step::Put { key, value, back_secs, ttl_secs, remove }),
        40 => (any::<usize>(), outcome()).prop_map(|(at, outcome)| Step::Disk { at, outcome }),
        8 => (key(), value()).prop_map(|(key, value)| Step::Read { key, value }),
        3 => (key(), value()).prop_map(|(key, value)| Step::Forget { key, value }),
        2 => (key(), value()).prop_map(|(key, value)| Step::Damage { key, value }),
        6 => (0usize..4).prop_map(|budget| Step::Expire { budget }),
        2 => any::<u8>().prop_map(Step::Notes),
        4 => Just(Step::Probe),
        8 => (0u64..8).prop_map(|secs| Step::Wait { secs }),
        1 => Just(Step::Crash),
    ]
}

/// The store, and what it must be.
struct Model {
    world: World,
    /// What was acknowledged of each identity and not taken away by a handoff or by damage: its greatest head.
    acked: BTreeMap<Identity, Head>,
    /// Durable heads, by the model's own account.
    heads: BTreeMap<Identity, Head>,
    /// What the disk holds of these is unknown: a change failed, or the test damaged it.
    unknown: BTreeSet<Identity>,
    /// When the last remove of an identity ends.
    removes: BTreeMap<Identity, Wall>,
    /// Who waits for which put, since when, or for which read.
    puts: BTreeMap<u32, (Head, Wall)>,
    reads: BTreeMap<u32, Identity>,
    waiters: u32,
}

impl Model {
    fn new() -> Model {
        Model {
            world: World::new(StoreConfig { writes_inflight_max: 6, cache_bytes_max: 2000, ..config() }),
            acked: BTreeMap::new(),
            heads: BTreeMap::new(),
            unknown: BTreeSet::new(),
            removes: BTreeMap::new(),
            puts: BTreeMap::new(),
            reads: BTreeMap::new(),
            waiters: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Put { key, value, back_secs, ttl_secs, remove } => {
                let secs = self.world.now.since(START).as_secs().saturating_sub(*back_secs);
                let make = if *remove { removal } else { plain };
                self.put(&make(*key, *value, secs, *ttl_secs));
            }
            Step::Disk { at, outcome } => self.disk(*at, *outcome),
            Step::Read { key, value } => self.read(&plain(*key, *value, 0, 1).head.identity),
            Step::Forget { key, value } => {
                let identity = plain(*key, *value, 0, 1).head.identity;
                if self.world.store.forget(&identity, &mut self.world.queue) {
                    self.acked.remove(&identity);
                }
            }
            Step::Damage { key, value } => {
                let identity = plain(*key, *value, 0, 1).head.identity;
                if let Some(record) = self.world.records.get_mut(&identity).filter(|r| !r.value.is_empty()) {
                    record.value[0] ^= 1;
                    self.acked.remove(&identity);
                    self.unknown.insert(identity);
                }
            }
            Step::Expire { budget } => {
                self.world.store.expire(self.world.now, *budget, &mut self.world.queue);
            }
            Step::Notes(n) => self.world.store.write_notes([*n].into(), &mut self.world.queue),
            Step::Probe => self.world.store.probe(Some([7].into()), &mut self.world.queue),
            Step::Wait { secs } => self.world.wait(*secs),
            Step::Crash => self.crash(),
        }
        self.events();
        self.judge();
    }

    fn put(&mut self, record: &Record) {
        self.waiters += 1;
        let put = self.world.put(record, self.waiters);
        if record.head.kind == Kind::Remove && !matches!(put, Put::Refused(_)) {
            let end = self.removes.entry(record.head.identity).or_default();
            *end = (*end).max(record.head.expires());
        }
        match put {
            Put::Held => self.acknowledge(&record.head, self.world.now),
            Put::Writing => {
                self.puts.insert(self.waiters, (record.head, self.world.now));
            }
            Put::Refused(Refusal::Halted(halt)) => assert_eq!(self.world.store.halt(), Some(halt)),
            Put::Refused(_) => {}
            Put::Waiting(_) => panic!("only an offer waits"),
        }
    }

    /// From now on this record or a greater one is here as long as it lives. A put that meets a remove is discarded and
    /// answered with success (`opendht` section 1.6): nothing follows from that answer.
    fn acknowledge(&mut self, head: &Head, since: Wall) {
        let met_remove = self.removes.get(&head.identity).is_some_and(|end| *end > since);
        if head.expires() <= self.world.now || head.kind == Kind::Put && met_remove {
            return;
        }
        let greatest = self.acked.entry(head.identity).or_insert(*head);
        if greatest.expires() <= self.world.now || head.rank() > greatest.rank() {
            *greatest = *head;
        }
    }

    fn disk(&mut self, at: usize, outcome: Outcome) {
        if self.world.queue.is_empty() {
            return;
        }
        let at = at % self.world.queue.len();
        let changed = match &self.world.queue[at].op {
            DiskOp::Write(record) => Some((record.head.identity, Some(record.head))),
            DiskOp::Delete(identity) => Some((*identity, None)),
            _ => None,
        };
        let done = outcome == Outcome::Done;
        self.world.perform(at, outcome);
        let Some((identity, head)) = changed else { return };
        if !done {
            self.unknown.insert(identity);
            if head.is_none() {
                self.heads.remove(&identity);
            }
            return;
        }
        self.unknown.remove(&identity);
        match head {
            Some(head) => {
                if head.kind == Kind::Remove {
                    // Whoever removes takes care that the remove outlives what it removes; this test does not.
                    self.acked.remove(&identity);
                }
                if let Some(old) = self.heads.insert(identity, head) {
                    // A lesser copy replaces a greater one only after the greater one's life.
                    assert!(old.rank() < head.rank() || old.expires() <= self.world.now || old == head);
                }
            }
            None => {
                let old = self.heads.remove(&identity);
                if let Some(acked) = self.acked.get(&identity) {
                    assert!(acked.expires() <= self.world.now, "deleted while it lives: {old:?}");
                }
            }
        }
    }

    fn read(&mut self, identity: &Identity) {
        self.waiters += 1;
        match self.world.store.read(identity, self.waiters, &mut self.world.queue) {
            Read::Cached(record) => {
                assert!(record.is_intact());
                assert_eq!(Some(&record.head), self.heads.get(identity));
            }
            Read::Reading => {
                self.reads.insert(self.waiters, *identity);
            }
            Read::Missing => {}
        }
    }

    fn crash(&mut self) {
        self.puts.clear();
        self.reads.clear();
        // A crash settles what was unknown: the load lists what the disk holds.
        self.world.restart();
        self.heads = self.world.records.iter().map(|(identity, record)| (*identity, record.head)).collect();
        self.acked.retain(|identity, _| self.heads.get(identity).is_none_or(|head| head.kind == Kind::Put));
    }

    fn events(&mut self) {
        for event in self.world.told() {
            match event {
                StoreEvent::Put { waiter, result } => {
                    let (head, since) = self.puts.remove(&waiter).expect("each put is answered once");
                    match result {
                        Ok(()) => self.acknowledge(&head, since),
                        Err(refusal) => assert!(matches!(refusal, Refusal::Halted(_) | Refusal::Expired)),
                    }
                }
                StoreEvent::Read { waiter, identity, record } => {
                    assert_eq!(self.reads.remove(&waiter), Some(identity), "each read is answered once");
                    if let Some(record) = record {
                        assert!(record.is_intact() && record.head.expires() > self.world.now);
                        assert_eq!(Some(&record.head), self.heads.get(&identity));
                    }
                }
                StoreEvent::Damaged(identity) => {
                    assert!(self.unknown.contains(&identity), "only what was damaged is called so");
                    self.heads.remove(&identity);
                    self.acked.remove(&identity);
                }
                StoreEvent::Halt(halt) => assert_eq!(halt.is_some(), self.world.store.halt().is_some()),
                StoreEvent::Loaded { .. } => {}
            }
        }
    }

    fn judge(&self) {
        let store = &self.world.store;
        store.check().expect("the store's rules hold");
        let held: Vec<Head> = store.heads_in(&Arc::FULL, usize::MAX);
        assert!(held.iter().eq(self.heads.values()), "{held:?} is not {:?}", self.heads);
        assert_eq!(store.digest(&Arc::FULL), held.iter().collect());
        let now = self.world.now;
        for acked in self.acked.values().filter(|acked| acked.expires() > now) {
            let here = store.head(&acked.identity).expect("acknowledged means kept");
            assert!(here.rank() >= acked.rank(), "{here:?} is less than {acked:?}");
            if !self.unknown.contains(&acked.identity) {
                assert_eq!(self.world.records[&acked.identity].head, *here);
            }
        }
        for key in 0..3 {
            let mut expected: Vec<&Head> = self.heads.values().collect();
            let key = Id::from_u64(key);
            expected.retain(|h| h.identity.key == key && h.kind == Kind::Put && h.expires() > now);
            expected.sort_by_key(|head| head.cursor());
            assert!(store.heads(now, &key, None).eq(expected));
        }
    }

    /// The disk answers everything, and everyone has been told.
    fn finish(&mut self) {
        while !self.world.queue.is_empty() {
            self.step(&Step::Disk { at: 0, outcome: Outcome::Done });
        }
        assert!(self.puts.is_empty() && self.reads.is_empty(), "nobody waits for ever");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_a_map_that_forgets_on_time(steps in prop::collection::vec(step(), 1..120)) {
        let mut model = Model::new();
        for step in &steps {
            model.step(step);
        }
        model.finish();
    }
}
