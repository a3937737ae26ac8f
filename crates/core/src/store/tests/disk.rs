//! Stories: what a put, a read, a failing disk and the end of a life lead to, step by step.

use alloc::vec;

use super::*;

const OK: Result<(), Refusal> = Ok(());

fn acked(waiter: u32) -> StoreEvent<u32> {
    StoreEvent::Put { waiter, result: OK }
}

#[test]
fn a_put_is_answered_and_served_when_the_disk_has_confirmed_it() {
    let mut w = World::new(config());
    let red = plain(1, 1, 0, 100);
    assert_eq!(w.put(&red, 1), Put::Writing);
    assert!(w.served(1).is_empty() && w.told().is_empty());
    assert_eq!(w.store.digest(&Arc::FULL), Digest::default());
    w.settle();
    assert_eq!(w.told(), [acked(1)]);
    assert_eq!(w.served(1), [red.head.identity]);
    assert_eq!(w.store.digest(&Arc::FULL), Digest::of(&red.head));
    assert_eq!(w.put(&red, 2), Put::Held);
    assert_eq!(w.store.records(), 1);
    assert_eq!(w.store.record_bytes(), 8);
}

#[test]
fn what_may_not_be_here_is_refused() {
    let mut small = config();
    small.store_bytes_max = 8 + record::HEAD_BYTES as u64;
    let mut w = World::new(small);
    w.wait(50);
    let mut torn = plain(1, 1, 50, 100);
    torn.value[0] ^= 1;
    let put_time = START + Duration::from_secs(50);
    let large = Record::plain(Id::ZERO, vec![0; 1025], put_time, Duration::from_secs(9), 7);
    let cases = [
        (plain(1, 1, 0, 50), Refusal::Expired),
        (plain(1, 1, 50, 0), Refusal::BadTtl),
        (plain(1, 1, 50, 1001), Refusal::BadTtl),
        (plain(1, 1, 53, 100), Refusal::FromTheFuture),
        (torn, Refusal::Damaged),
        (large, Refusal::TooLarge),
    ];
    for (record, refusal) in cases {
        assert_eq!(w.put(&record, 1), Put::Refused(refusal));
    }
    assert_eq!(w.put(&plain(1, 1, 52, 100), 1), Put::Writing);
    // The write under way counts against the bound already; a refresh of it needs no more room.
    assert_eq!(w.put(&plain(1, 2, 50, 100), 2), Put::Refused(Refusal::OverCapacity));
    assert_eq!(w.put(&plain(1, 1, 52, 200), 3), Put::Writing);
    w.settle();
    assert_eq!(w.told(), [acked(1), acked(3)]);
    assert_eq!(w.put(&plain(1, 2, 50, 100), 2), Put::Refused(Refusal::OverCapacity));
}

#[test]
fn puts_wait_for_the_load_and_the_load_goes_in_pages() {
    let mut w = World::new(config());
    for n in 0..5000 {
        let record = plain(n, 0, 0, 100);
        w.records.insert(record.head.identity, record);
    }
    w.notes = Some(vec![1, 2, 3]);
    w.store = Store::new(config());
    w.store.load(&mut w.queue);
    assert_eq!(w.put(&plain(1, 1, 0, 9), 1), Put::Refused(Refusal::Busy));
    w.perform(0, Outcome::Done);
    assert_eq!((w.store.records(), w.told()), (u64::from(LOAD_PAGE), vec![]));
    w.settle();
    assert_eq!(w.store.records(), 5000);
    assert_eq!(w.told(), [StoreEvent::Loaded { notes: Some(vec![1, 2, 3]) }]);
}

#[test]
fn one_write_per_identity_and_the_disk_ends_with_the_greatest() {
    let mut w = World::new(config());
    let (a, b, c) = (plain(1, 1, 0, 100), plain(1, 1, 0, 200), plain(1, 1, 0, 300));
    assert_eq!(w.put(&a, 1), Put::Writing);
    assert_eq!(w.put(&c, 3), Put::Writing);
    assert_eq!(w.put(&b, 2), Put::Writing);
    assert_eq!(w.put(&a, 4), Put::Writing);
    assert_eq!(w.queue.len(), 1);
    w.perform(0, Outcome::Done);
    assert_eq!(w.told(), [acked(1), acked(4)]);
    assert_eq!(w.store.head(&a.head.identity), Some(&a.head));
    w.settle();
    assert_eq!(w.told(), [acked(3), acked(2)]);
    assert_eq!(w.records[&a.head.identity], c);
}

#[test]
fn a_failed_write_halts_until_a_probe_succeeds_and_reads_go_on() {
    for (error, halt) in [(DiskError::Full, Halt::DiskFull), (DiskError::Io, Halt::DiskFailed)] {
        let mut w = World::new(config());
        let kept = plain(1, 1, 0, 100);
        w.put(&kept, 1);
        w.settle();
        w.told();
        w.put(&plain(2, 1, 0, 100), 2);
        w.put(&plain(2, 1, 0, 200), 3);
        w.put(&plain(3, 1, 0, 100), 4);
        w.perform(0, Outcome::Failed(error, false));
        let refused = Err(Refusal::Halted(halt));
        let put = |waiter| StoreEvent::Put { waiter, result: refused };
        assert_eq!(w.told(), [StoreEvent::Halt(Some(halt)), put(2), put(3)]);
        // A write that was under way and did succeed is confirmed all the same.
        w.settle();
        assert_eq!(w.told(), [acked(4)]);
        assert_eq!(w.put(&plain(2, 1, 0, 100), 5), Put::Refused(Refusal::Halted(halt)));
        assert_eq!(w.store.read(&kept.head.identity, 6, &mut w.queue), Read::Reading);
        w.settle();
        let read = StoreEvent::Read { waiter: 6, identity: kept.head.identity, record: Some(kept.clone()) };
        assert_eq!(w.told(), [read]);

        w.store.probe(Some(vec![5]), &mut w.queue);
        w.perform(0, Outcome::Failed(error, false));
        assert_eq!((w.store.halt(), w.told()), (Some(halt), vec![]));
        w.store.probe(Some(vec![5]), &mut w.queue);
        w.settle();
        assert_eq!(w.told(), [StoreEvent::Halt(None)]);
        assert_eq!(w.put(&plain(2, 1, 0, 100), 7), Put::Writing);
    }
}

#[test]
fn notes_are_written_one_at_a_time_and_the_latest_stays() {
    let mut w = World::new(config());
    w.store.write_notes(vec![1], &mut w.queue);
    w.store.write_notes(vec![2], &mut w.queue);
    w.store.write_notes(vec![3], &mut w.queue);
    assert_eq!(w.queue.len(), 1);
    w.settle();
    assert_eq!(w.notes, Some(vec![3]));
    w.store.write_notes(vec![3], &mut w.queue);
    assert!(w.queue.is_empty());
    // Notes that meet a failing disk are written by the probe; the write before the halt does not clear it.
    w.store.write_notes(vec![4], &mut w.queue);
    w.put(&plain(1, 1, 0, 100), 1);
    w.perform(1, Outcome::Failed(DiskError::Io, false));
    w.store.write_notes(vec![5], &mut w.queue);
    w.settle();
    assert_eq!((w.notes.clone(), w.store.halt()), (Some(vec![4]), Some(Halt::DiskFailed)));
    w.store.probe(Some(vec![5]), &mut w.queue);
    w.settle();
    assert_eq!((w.notes.clone(), w.store.halt()), (Some(vec![5]), None));
}

#[test]
fn a_load_that_fails_goes_on_by_probes() {
    let mut w = World::new(config());
    w.put(&plain(1, 1, 0, 100), 1);
    w.settle();
    w.notes = Some(vec![9]);
    w.store = Store::new(config());
    w.told();
    w.store.load(&mut w.queue);
    w.perform(0, Outcome::Failed(DiskError::Io, false));
    assert_eq!(w.told(), [StoreEvent::Halt(Some(Halt::DiskFailed))]);
    w.store.probe(Some(vec![5]), &mut w.queue);
    w.store.probe(Some(vec![5]), &mut w.queue);
    assert_eq!(w.queue.len(), 1);
    // All is read, which does not say that the disk takes writes: a write is asked for, and fails.
    w.perform(0, Outcome::Done);
    assert_eq!(w.told(), [StoreEvent::Loaded { notes: Some(vec![9]) }]);
    assert_eq!(w.served(1).len(), 1);
    w.perform(0, Outcome::Failed(DiskError::Io, false));
    assert_eq!((w.told(), w.store.halt()), (vec![], Some(Halt::DiskFailed)));
    w.store.probe(Some(vec![9]), &mut w.queue);
    w.settle();
    assert_eq!(w.told(), [StoreEvent::Halt(None)]);
    assert_eq!(w.notes, Some(vec![9]));
}

#[test]
fn a_life_that_is_over_is_not_served_and_leaves_disk_and_index_by_budget() {
    let mut w = World::new(config());
    for n in 0..10 {
        w.put(&plain(1, n, 0, 10 + n), 1);
    }
    w.settle();
    assert_eq!(w.store.next_expiry(), Some(START + Duration::from_secs(10)));
    w.wait(15);
    assert_eq!(w.served(1).len(), 4);
    assert_eq!(w.store.expire(w.now, 4, &mut w.queue), 4);
    assert_eq!(w.store.expire(w.now, 4, &mut w.queue), 2);
    assert_eq!(w.store.expire(w.now, 4, &mut w.queue), 0);
    w.settle();
    assert_eq!((w.store.records(), w.records.len()), (4, 4));
    assert_eq!(w.store.expired_count(), 6);
    assert_eq!(w.store.next_expiry(), Some(START + Duration::from_secs(16)));
}

#[test]
fn a_deletion_that_fails_is_tried_again() {
    let mut w = World::new(config());
    w.put(&plain(1, 1, 0, 10), 1);
    w.settle();
    w.wait(10);
    assert_eq!(w.store.expire(w.now, 9, &mut w.queue), 1);
    w.perform(0, Outcome::Failed(DiskError::Full, false));
    // Nobody may rely on it, although the disk holds it still.
    assert_eq!((w.store.records(), w.records.len(), w.store.halt()), (0, 1, Some(Halt::DiskFull)));
    // A full disk is where deleting helps most.
    assert_eq!(w.store.expire(w.now, 9, &mut w.queue), 1);
    w.settle();
    assert_eq!((w.store.records(), w.records.len()), (0, 0));
}

#[test]
fn a_put_during_its_deletion_waits_and_is_kept() {
    let mut w = World::new(config());
    let red = plain(1, 1, 0, 100);
    w.put(&red, 1);
    w.settle();
    w.told();
    assert!(w.store.forget(&red.head.identity, &mut w.queue));
    assert!(!w.store.forget(&red.head.identity, &mut w.queue));
    assert_eq!(w.put(&red, 2), Put::Writing);
    assert_eq!(w.queue.len(), 1);
    w.settle();
    assert_eq!(w.told(), [acked(2)]);
    assert_eq!(w.records[&red.head.identity], red);
    assert_eq!(w.served(1), [red.head.identity]);
}

#[test]
fn an_expired_tombstone_does_not_stand_in_the_way() {
    let mut w = World::new(config());
    w.put(&plain(1, 1, 0, 100), 1);
    w.settle();
    w.put(&removal(1, 1, 1, 20), 2);
    w.settle();
    assert!(w.served(1).is_empty());
    assert_eq!(w.store.all_heads_of(&Id::from_u64(1)).count(), 1);
    assert_eq!(w.put(&plain(1, 1, 0, 900), 3), Put::Held);
    w.wait(21);
    assert_eq!(w.put(&plain(1, 1, 21, 100), 4), Put::Writing);
    w.settle();
    assert_eq!(w.served(1).len(), 1);
}

#[test]
fn a_damaged_copy_is_reported_and_never_served() {
    let bad = |record: &Record| {
        let mut bad = record.clone();
        bad.value[3] ^= 0x40;
        bad
    };
    let red = plain(1, 1, 0, 100);
    let other = plain(1, 2, 0, 100);
    for on_disk in [Some(bad(&red)), Some(other), None] {
        let mut w = World::new(config());
        w.put(&red, 1);
        w.settle();
        w.told();
        match on_disk {
            Some(record) => w.records.insert(red.head.identity, record),
            None => w.records.remove(&red.head.identity),
        };
        assert_eq!(w.store.read(&red.head.identity, 5, &mut w.queue), Read::Reading);
        assert_eq!(w.store.read(&red.head.identity, 6, &mut w.queue), Read::Reading);
        assert_eq!(w.queue.len(), 1);
        w.settle();
        let nothing = |waiter| StoreEvent::Read { waiter, identity: red.head.identity, record: None };
        assert_eq!(w.told(), [StoreEvent::Damaged(red.head.identity), nothing(5), nothing(6)]);
        assert_eq!((w.store.damaged_count(), w.store.records(), w.records.len()), (1, 0, 0));
        assert_eq!(w.store.read(&red.head.identity, 7, &mut w.queue), Read::Missing);
        // A replica's good copy repairs it.
        assert_eq!(w.put(&red, 8), Put::Writing);
    }
}

#[test]
fn a_disk_that_cannot_read_just_now_loses_nothing() {
    let mut w = World::new(config());
    let red = plain(1, 1, 0, 100);
    w.put(&red, 1);
    w.settle();
    w.told();
    w.store.read(&red.head.identity, 5, &mut w.queue);
    w.perform(0, Outcome::Failed(DiskError::Io, false));
    assert_eq!(w.told(), [StoreEvent::Read { waiter: 5, identity: red.head.identity, record: None }]);
    assert_eq!((w.store.records(), w.store.halt()), (1, None));
    w.store.read(&red.head.identity, 6, &mut w.queue);
    w.settle();
    assert_eq!(w.store.read(&red.head.identity, 7, &mut w.queue), Read::Cached(red));
}

#[test]
fn a_cached_value_has_the_current_life() {
    let mut w = World::new(config());
    w.put(&plain(1, 1, 0, 100), 1);
    w.settle();
    let longer = plain(1, 1, 0, 200);
    w.store.read(&longer.head.identity, 2, &mut w.queue);
    w.settle();
    w.put(&longer, 3);
    w.settle();
    assert_eq!(w.store.read(&longer.head.identity, 4, &mut w.queue), Read::Cached(longer));
}

#[test]
fn the_cache_keeps_to_its_bound_and_what_is_read_often() {
    let mut c = config();
    c.cache_bytes_max = 4000;
    let mut w = World::new(c);
    for n in 0..100 {
        w.put(&plain(n, n, 0, 100), 1);
        w.settle();
        w.store.read(&plain(n, n, 0, 100).head.identity, 2, &mut w.queue);
        w.settle();
        let often = plain(0, 0, 0, 100);
        let read = w.store.read(&often.head.identity, 3, &mut w.queue);
        assert_eq!(read, Read::Cached(often));
    }
    assert!(matches!(w.store.read(&plain(50, 50, 0, 100).head.identity, 2, &mut w.queue), Read::Reading));
}

#[test]
fn writes_reads_and_waiters_are_bounded() {
    let mut c = config();
    c.writes_inflight_max = 3;
    let mut w = World::new(c);
    for n in 0..3 {
        assert_eq!(w.put(&plain(n, 0, 0, 100), 0), Put::Writing);
    }
    assert_eq!(w.put(&plain(4, 0, 0, 100), 0), Put::Refused(Refusal::Busy));
    assert_eq!(w.put(&plain(1, 0, 0, 200), 0), Put::Refused(Refusal::Busy));
    assert_eq!(w.store.put(w.now, plain(4, 0, 0, 100), None, &mut w.queue), Put::Refused(Refusal::Busy));
    w.settle();
    for n in 0..3 {
        assert_eq!(w.store.read(&plain(n, 0, 0, 100).head.identity, 1, &mut w.queue), Read::Reading);
    }
    assert_eq!(w.store.read(&plain(0, 0, 0, 100).head.identity, 1, &mut w.queue), Read::Missing);
    w.settle();
    w.store.check().expect("bounds");
}

#[test]
fn an_empty_store_is_small() {
    assert!(size_of::<Store<u64>>() < 1024, "{} bytes", size_of::<Store<u64>>());
    assert_eq!(size_of::<Head>(), 112);
}

#[test]
fn a_foreign_token_changes_nothing() {
    let mut w = World::new(config());
    w.put(&plain(1, 1, 0, 9), 1);
    let mut events = Vec::new();
    w.store.disk_done(w.now, DiskToken(999), DiskResult::Written, &mut w.queue, &mut events);
    assert!(events.is_empty() && w.served(1).is_empty());
}

#[test]
fn refusals_travel() {
    for byte in 0..=12 {
        let bytes = if byte > 10 { [&[byte][..], &7u64.to_be_bytes()].concat() } else { [byte].into() };
        let refusal: Refusal = crate::wire::from_slice(&bytes).expect("a known refusal");
        assert_eq!(crate::wire::to_vec(&refusal), bytes);
    }
    assert!(crate::wire::from_slice::<Refusal>(&[13]).is_err());
}
