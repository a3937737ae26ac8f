//! The merge as laws, and pages in put-time order (`opendht` sections 1.5 and 1.6).

use proptest::prelude::*;

use super::*;

/// Copies of one identity that differ in everything a merge looks at.
fn copy() -> impl Strategy<Value = Record> {
    (any::<bool>(), 0u64..3, 50u64..53, 0u64..3).prop_map(|(remove, put, ttl, origin)| {
        let mut record = if remove { removal(1, 1, put, ttl) } else { plain(1, 1, put, ttl) };
        record.head.origin = origin;
        record
    })
}

/// The head that a store ends with after these copies, the disk answering in the order of `turns`.
fn merged(copies: &[Record], turns: &[bool]) -> Head {
    let mut world = World::new(config());
    for (n, record) in copies.iter().enumerate() {
        world.put(record, n as u32);
        if turns.get(n).copied().unwrap_or(false) && !world.queue.is_empty() {
            world.perform(0, Outcome::Done);
        }
    }
    world.settle();
    let head = *world.store.heads_in(&Arc::FULL, 9).first().expect("something was put");
    assert_eq!(world.records[&head.identity].head, head);
    head
}

proptest! {
    #[test]
    fn copies_merge_to_the_greatest_in_any_order_of_arrival(
        copies in prop::collection::vec(copy(), 1..8),
        turns in prop::collection::vec(any::<bool>(), 8),
        other_turns in prop::collection::vec(any::<bool>(), 8),
        seed in any::<u64>(),
    ) {
        let greatest = *copies.iter().map(|r| &r.head).max_by_key(|head| head.rank()).expect("not empty");
        prop_assert_eq!(merged(&copies, &turns).rank(), greatest.rank());
        let mut shuffled = copies.clone();
        let mut rng = crate::rng::Rng::from_u64(seed);
        for n in (1..shuffled.len()).rev() {
            shuffled.swap(n, rng.below(n as u64 + 1) as usize);
        }
        // Commutative and associative: any order. Idempotent: everything twice.
        prop_assert_eq!(merged(&shuffled, &other_turns), merged(&copies, &turns));
        shuffled.extend(copies.clone());
        prop_assert_eq!(merged(&shuffled, &turns), merged(&copies, &turns));
    }

    #[test]
    fn pages_hold_each_live_value_once_in_put_time_order(
        puts in prop::collection::vec((0u64..60, 0u64..40), 0..60),
        removed in prop::collection::vec(0u64..60, 0..10),
        page in 1usize..20,
        waited in 0u64..60,
    ) {
        let mut world = World::new(config());
        world.wait(40);
        for (value, put_secs) in &puts {
            world.put(&plain(1, *value, *put_secs, 50), 0);
        }
        for value in &removed {
            world.put(&removal(1, *value, 30, 50), 0);
        }
        world.settle();
        world.wait(waited);
        let now = world.now;
        let mut expected: Vec<Head> = world.store.all_heads_of(&Id::from_u64(1)).copied()
            .filter(|head| head.kind == Kind::Put && head.expires() > now).collect();
        expected.sort_by_key(Head::cursor);
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let heads: Vec<Head> =
                world.store.heads(now, &Id::from_u64(1), after.as_ref()).take(page).copied().collect();
            let Some(last) = heads.last() else { break };
            after = Some(last.cursor());
            seen.extend(heads);
        }
        prop_assert_eq!(seen, expected);
        prop_assert!(world.served(2).is_empty());
    }
}

#[test]
fn a_crowded_key_is_listed_in_order_and_shrinks_again() {
    let mut world = World::new(config());
    for n in 0..200 {
        world.put(&plain(1, n, (n * 7919) % 200 % 2, 100 + n), 0);
    }
    world.settle();
    let cursors: Vec<Cursor> = world.store.heads(START, &Id::from_u64(1), None).map(Head::cursor).collect();
    assert!(cursors.is_sorted() && cursors.len() == 200);
    for n in 0..200 {
        assert!(world.store.forget(&plain(1, n, 0, 9).head.identity, &mut world.queue));
        world.settle();
    }
    assert!(world.served(1).is_empty());
}

#[test]
fn a_refresh_moves_a_value_to_the_end() {
    let mut world = World::new(config());
    let (a, b) = (plain(1, 1, 0, 100), plain(1, 2, 1, 100));
    world.put(&a, 0);
    world.put(&b, 0);
    world.settle();
    assert_eq!(world.served(1), [a.head.identity, b.head.identity]);
    world.put(&plain(1, 1, 2, 100), 0);
    world.settle();
    assert_eq!(world.served(1), [b.head.identity, a.head.identity]);
}
