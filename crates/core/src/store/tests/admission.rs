//! Room on a bounded disk: who waits, what is charged, what is never refused (`opendht` section 3).

use proptest::prelude::*;

use super::*;
use crate::machine::Halt;

const GREEDY: ClientId = ClientId(1);
const POLITE: ClientId = ClientId(2);
/// Of which clients share 300,000: 300 bytes a second are reserved for puts to come.
const DISK_BYTES: u64 = 400_000;

fn bounded() -> World {
    World::new(StoreConfig { store_bytes_max: DISK_BYTES, ..config() })
}

/// A value of 894 bytes, 1,000 with its head, put now.
fn large(w: &World, client: ClientId, number: u64, ttl_secs: u64) -> Record {
    let mut value = Vec::from([7; 894]);
    value[..8].copy_from_slice(&number.to_be_bytes());
    Record::plain(Id::from_u64(number), value, w.now, Duration::from_secs(ttl_secs), 7).charged_to(client)
}

impl World {
    fn offer(&mut self, record: &Record) -> Put {
        self.store.offer(self.now, record.clone(), Some(9), &mut self.queue)
    }

    /// Lets a time pass, and what waits for it happen.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.store.next_admission().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.store.admit(self.now, &mut self.queue);
            self.settle();
        }
        self.now = end;
        while self.store.expire(self.now, 1000, &mut self.queue) > 0 {
            self.settle();
        }
    }

    fn stored_of(&self, client: ClientId) -> u64 {
        let shares = self.store.shares(10);
        shares.iter().find(|share| share.client == client).map_or(0, |share| share.usage.stored_bytes)
    }
}

#[test]
fn what_finds_no_room_waits_and_is_written_without_being_offered_again() {
    let mut w = bounded();
    assert_eq!(w.offer(&large(&w, GREEDY, 1, 1000)), Put::Writing);
    w.settle();
    assert_eq!(w.told(), [StoreEvent::Put { waiter: 9, result: Ok(()) }]);
    let second = large(&w, GREEDY, 2, 1000);
    let Put::Waiting(expected) = w.offer(&second) else { panic!("the next thousand bytes are reserved") };
    // The slack of one greatest put, 1,266 bytes, has 266 left: 734 come in at 300 a second.
    assert!((2_400..=2_500).contains(&expected.as_millis()), "{expected:?}");
    // Offered again it keeps its place, and is told how it stands.
    w.pass(Duration::from_secs(1));
    let Put::Waiting(rest) = w.offer(&second) else { panic!("it waits") };
    assert!(rest < expected, "{rest:?}");
    assert!(w.store.next_admission().is_some());
    w.pass(Duration::from_secs(3));
    assert_eq!(w.offer(&second), Put::Held);
    assert_eq!((w.told(), w.store.room().waiting_count), (Vec::new(), 0));
    assert_eq!(w.served(2).len(), 1);
}

#[test]
fn what_waited_is_written_although_the_node_was_busy_or_halted_in_its_hour() {
    for halts in [false, true] {
        let mut w =
            World::new(StoreConfig { store_bytes_max: DISK_BYTES, writes_inflight_max: 1, ..config() });
        assert_eq!(w.offer(&large(&w, GREEDY, 1, 1000)), Put::Writing);
        w.settle();
        let second = large(&w, GREEDY, 2, 1000);
        assert!(matches!(w.offer(&second), Put::Waiting(_)));
        let copy = plain(3, 3, 0, 100);
        assert_eq!(w.put(&copy, 4), Put::Writing);
        if halts {
            w.perform(0, Outcome::Failed(DiskError::Io, false));
        }
        // Its hour comes.
        w.now = w.store.next_admission().expect("something waits");
        w.store.admit(w.now, &mut w.queue);
        w.store.check().expect("the store's rules hold");
        assert_eq!(w.store.head(&second.head.identity), None);
        let why = if halts { Refusal::Halted(Halt::DiskFailed) } else { Refusal::Busy };
        assert_eq!(w.offer(&second), Put::Refused(why), "whoever asks is told why");
        // The node is free again: it needs no new offer, and stands in no queue again.
        if halts {
            w.store.probe(Some(Vec::from([5])), &mut w.queue);
        }
        w.settle();
        assert_eq!(w.store.head(&second.head.identity), Some(&second.head), "halted: {halts}");
        assert_eq!((w.offer(&second), w.store.room().waiting_count), (Put::Held, 0));
    }
}

/// However many ask for more than their share, and whatever they send, somebody new is queued.
#[test]
fn a_crowd_that_fills_the_queues_leaves_room_for_newcomers() {
    // Long records fill the bytes, short ones the places.
    for (bytes, crowd, value_bytes_max) in [(60_000, 100, 60_000), (10, 100, 100), (200_000, 40, 200_000)] {
        let store_bytes_max = 8 * put_bytes_max(value_bytes_max);
        let mut w = World::new(StoreConfig { store_bytes_max, value_bytes_max, ..config() });
        let mut number = 0;
        let mut put = |w: &World, client: u64| {
            number += 1;
            let mut value = Vec::from_iter(core::iter::repeat_n(7, bytes));
            value[..8].copy_from_slice(&u64::to_be_bytes(number));
            let record = Record::plain(Id::from_u64(number), value, w.now, Duration::from_secs(100), 7);
            record.charged_to(ClientId(client))
        };
        let mut refused = 0;
        // Until nobody of the crowd gets anything more.
        for _ in 0..20_000 {
            let before = refused;
            for client in 0..crowd {
                let record = put(&w, client);
                refused += u64::from(w.offer(&record) == Put::Refused(Refusal::OverCapacity));
            }
            w.settle();
            if refused == before + crowd {
                break;
            }
        }
        assert!(refused >= crowd, "{bytes} bytes each: the crowd asks for too much");
        for newcomer in 1_000..1_000 + crowd / 4 {
            let record = put(&w, newcomer);
            let offered = w.offer(&record);
            assert!(matches!(offered, Put::Waiting(_)), "{bytes} bytes each, client {newcomer}: {offered:?}");
        }
        w.store.check().expect("the store's rules hold");
    }
}

#[test]
fn what_ends_while_it_is_held_up_gives_its_room_back() {
    let mut w = bounded();
    assert_eq!(w.offer(&large(&w, GREEDY, 1, 1000)), Put::Writing);
    w.settle();
    let second = large(&w, GREEDY, 2, 20);
    let mut n = 10;
    while !matches!(w.offer(&large(&w, POLITE, n, 1000)), Put::Waiting(_)) {
        n += 1;
    }
    assert!(matches!(w.offer(&second), Put::Waiting(_)));
    w.put(&plain(3, 3, 0, 100), 4);
    let last = w.queue.len() - 1;
    w.perform(last, Outcome::Failed(DiskError::Io, false));
    for _ in 0..30 {
        w.wait(1);
        w.store.admit(w.now, &mut w.queue);
        w.store.check().expect("the store's rules hold");
    }
    w.store.probe(Some(Vec::from([5])), &mut w.queue);
    w.settle();
    assert_eq!(w.store.head(&second.head.identity), None);
    w.pass(Duration::from_secs(60));
    w.store.check().expect("what is charged is what is there");
}

#[test]
fn a_polite_client_passes_a_greedy_one() {
    let mut w = bounded();
    let (mut number, mut polite_waits, mut refused) = (0, 0, 0);
    for second in 0..3_000 {
        for _ in 0..5 {
            number += 1;
            refused +=
                u64::from(w.offer(&large(&w, GREEDY, number, 1000)) == Put::Refused(Refusal::OverCapacity));
        }
        if second % 10 == 0 {
            number += 1;
            let put = w.offer(&large(&w, POLITE, number, 1000));
            assert!(!matches!(put, Put::Refused(_)), "{put:?}");
            if let Put::Waiting(wait) = put {
                polite_waits += 1;
                assert!(wait.as_millis() <= 7_000, "behind one put of the other at most: {wait:?}");
            }
        }
        w.settle();
        w.pass(Duration::from_secs(1));
    }
    assert!(polite_waits > 0 && refused > 10_000, "{polite_waits} waits, {refused} refused");
    // One asks for 100 bytes a second and gets them; the other gets the rest, and the disk is full.
    let (polite, greedy) = (w.stored_of(POLITE), w.stored_of(GREEDY));
    assert!((98_000..=101_000).contains(&polite), "{polite}");
    assert!((297_000..=301_000).contains(&(polite + greedy)), "{greedy}");
}

#[test]
fn copies_that_are_handed_over_are_charged_and_never_refused_within_the_reserve() {
    let mut w = bounded();
    for number in 0..390 {
        let copy = large(&w, GREEDY, number, 900);
        assert_eq!(w.store.put(w.now, copy, None, &mut w.queue), Put::Writing, "copy {number}");
        w.settle();
    }
    assert_eq!(w.stored_of(GREEDY), 390_000);
    // Beyond what clients share nothing new comes in, from nobody: it waits until the copies' end.
    let Put::Waiting(wait) = w.offer(&large(&w, POLITE, 1_000, 60)) else { panic!("nothing is admitted") };
    assert!(wait >= Duration::from_secs(800), "{wait:?}");
    // And beyond the disk's own bound no copies either.
    for number in 390..400 {
        let copy = large(&w, GREEDY, number, 900);
        w.store.put(w.now, copy, None, &mut w.queue);
        w.settle();
    }
    let copy = large(&w, GREEDY, 400, 900);
    assert_eq!(w.store.put(w.now, copy, None, &mut w.queue), Put::Refused(Refusal::OverCapacity));
}

#[test]
fn a_restart_charges_what_the_disk_holds() {
    let mut w = bounded();
    for number in 0..50 {
        let client = if number % 2 == 0 { GREEDY } else { POLITE };
        let copy = large(&w, client, number, 900);
        w.store.put(w.now, copy, None, &mut w.queue);
    }
    w.settle();
    w.restart();
    assert_eq!((w.stored_of(GREEDY), w.stored_of(POLITE)), (25_000, 25_000));
}

#[test]
fn a_removed_value_gives_its_room_back() {
    let mut w = bounded();
    let put = large(&w, GREEDY, 1, 1000).guarded_by(Id::sha1(SECRET));
    w.store.put(w.now, put.clone(), None, &mut w.queue);
    w.settle();
    let Identity { key, value_hash, .. } = put.head.identity;
    let ttl = Duration::from_secs(1000);
    let remove = Record::removal(key, value_hash, SECRET.to_vec(), w.now, ttl, 7).charged_to(POLITE);
    w.store.put(w.now, remove, None, &mut w.queue);
    w.settle();
    assert_eq!((w.stored_of(GREEDY), w.stored_of(POLITE)), (0, 106 + SECRET.len() as u64));
}

proptest! {
    /// Whatever comes, in whatever order the disk answers: once it is quiet, what is charged is what is there.
    #[test]
    fn what_is_charged_is_what_is_there(
        steps in prop::collection::vec((0u64..6, 0u64..12, 1u64..60, 0u64..3, any::<bool>(), 0u64..9), 1..120),
    ) {
        let mut w = bounded();
        for (what, number, ttl, client, fails, wait) in steps {
            let record = match what {
                0 => removal(number, number, 0, ttl + 100),
                1 | 2 => large(&w, ClientId(client), number, ttl),
                _ => plain(number, number, 0, ttl + 20),
            };
            let record = record.charged_to(ClientId(client));
            if what % 2 == 0 {
                w.store.put(w.now, record, None, &mut w.queue);
            } else {
                w.store.offer(w.now, record, None, &mut w.queue);
            }
            if fails && !w.queue.is_empty() {
                w.perform(0, Outcome::Failed(DiskError::Io, false));
                w.settle();
                w.store.probe(Some(Vec::new()), &mut w.queue);
            }
            if wait > 4 {
                w.settle();
            }
            w.pass(Duration::from_secs(wait));
        }
        w.settle();
        w.pass(Duration::from_secs(30));
        w.settle();
        let live = |head: &&Head| head.expires().0.div_ceil(1000) > w.now.0 / 1000;
        let there: u64 = w.store.heads_in(&Arc::FULL, 1000).iter().filter(live).map(cost_bytes).sum();
        prop_assert_eq!(w.store.room().charged_bytes, there);
    }
}

#[test]
fn a_remove_that_comes_as_the_put_gets_its_room_is_stored_itself() {
    let mut w = bounded();
    assert_eq!(w.offer(&large(&w, GREEDY, 1, 1000)), Put::Writing);
    let put = large(&w, POLITE, 2, 1000).guarded_by(Id::sha1(SECRET));
    assert!(matches!(w.offer(&put), Put::Waiting(_)));
    w.settle();
    w.told();
    // The put's hour is over, and nobody has looked since.
    w.wait(10);
    let Identity { key, value_hash, .. } = put.head.identity;
    let ttl = Duration::from_secs(1000);
    let remove = Record::removal(key, value_hash, SECRET.to_vec(), w.now, ttl, 7).charged_to(POLITE);
    let offered = w.offer(&remove);
    w.settle();
    assert!(matches!(offered, Put::Writing | Put::Waiting(_)), "{offered:?}");
    assert_eq!(w.told().len(), usize::from(offered == Put::Writing), "told if it was stored");
    w.pass(Duration::from_secs(20));
    assert_eq!(w.served(2), [], "whatever was told");
    assert_eq!(w.offer(&remove), Put::Held);
}

#[test]
fn what_waits_does_not_grow_where_it_stands() {
    let mut w = bounded();
    assert_eq!(w.offer(&large(&w, GREEDY, 1, 1000)), Put::Writing);
    w.settle();
    let short = large(&w, GREEDY, 2, 1000);
    assert!(matches!(w.offer(&short), Put::Waiting(_)));
    w.wait(1);
    let long = large(&w, GREEDY, 2, 1000);
    assert!(matches!(w.offer(&long), Put::Waiting(_)));
    w.pass(Duration::from_secs(4));
    let head = *w.store.head(&short.head.identity).expect("it was admitted");
    assert_eq!(head, short.head, "as it asked for room");
    // The longer one asks for itself.
    assert_ne!(w.offer(&long), Put::Held);
}

#[test]
fn a_life_that_ends_a_little_beyond_the_greatest_finds_room_on_a_large_disk() {
    // Ten gigabytes: in four seconds the reserve is more than the greatest value.
    let mut w = World::new(StoreConfig { store_bytes_max: 10 << 30, ..config() });
    let ttl = Duration::from_secs(1004);
    let remove = Record::removal(Id::from_u64(1), Id::from_u64(2), SECRET.to_vec(), w.now, ttl, 7);
    assert_eq!(w.offer(&remove), Put::Writing);
}

#[test]
fn one_client_does_not_fill_the_waiting_room() {
    let mut w = World::new(StoreConfig { value_bytes_max: 1 << 20, ..config() });
    w.store = Store::new(StoreConfig { store_bytes_max: 40 << 20, value_bytes_max: 1 << 20, ..config() });
    w.store.load(&mut w.queue);
    w.settle();
    let value = |number: u64| [&number.to_be_bytes()[..], &[0; 60_000]].concat();
    let put = |w: &World, client: ClientId, number: u64| {
        // So short that the bound on commitments, bytes times life, would let thousands wait.
        let ttl = Duration::from_secs(10);
        Record::plain(Id::from_u64(number), value(number), w.now, ttl, 7).charged_to(client)
    };
    let offered: Vec<Put> = (0..900).map(|n| w.offer(&put(&w, GREEDY, n))).collect();
    let waiting = offered.iter().filter(|put| matches!(put, Put::Waiting(_))).count();
    assert!(waiting * 60_000 <= 1 << 20 && waiting > 0, "{waiting} wait");
    assert!(!matches!(w.offer(&put(&w, POLITE, 1_000)), Put::Refused(_)), "there is room to wait for others");
}
