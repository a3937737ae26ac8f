//! Digests: equal sets have equal digests, an arc's digest is the sum over its heads, splits partition.

use proptest::prelude::*;

use super::*;

/// Keys that are spread, crowded into slivers, or equal.
fn key() -> impl Strategy<Value = Id> {
    prop_oneof![
        any::<[u8; 20]>().prop_map(Id),
        (0u64..200).prop_map(Id::from_u64),
        (0u64..50, 0usize..160).prop_map(|(n, shift)| Id::from_u64(n).wrapping_add(&Id::pow2(shift))),
        Just(Id::ZERO),
        Just(Id::MAX),
        (0u64..9).prop_map(|n| Id::MAX.wrapping_sub(&Id::from_u64(n))),
    ]
}

fn head(key: Id, value: u64) -> Head {
    Record::plain(key, value.to_be_bytes().to_vec(), START, Duration::from_secs(100), 7).head
}

/// A store that has found these heads on its disk.
fn holding(heads: &[Head]) -> Store<u32> {
    let (mut store, mut disk, mut events) = (Store::new(config()), Vec::new(), Vec::new());
    store.load(&mut disk);
    let result = DiskResult::Loaded { notes: None, heads: heads.to_vec(), more: false };
    store.disk_done(START, disk[0].token, result, &mut disk, &mut events);
    store
}

fn all_in(store: &Store<u32>, arc: &Arc) -> Vec<Head> {
    store.heads_in(arc, usize::MAX)
}

proptest! {
    #[test]
    fn the_hash_is_of_the_wire_form(key in key(), value: u64, ttl: u64, remove: bool) {
        let kind = if remove { Kind::Remove } else { Kind::Put };
        let head = Head { ttl: Duration(ttl), kind, ..head(key, value) };
        let bytes = crate::wire::to_vec(&head);
        let mut hasher = siphasher::sip128::SipHasher13::new_with_keys(
            u64::from_be_bytes(*b"keyway d"), u64::from_be_bytes(*b"igest 1\0"));
        core::hash::Hasher::write(&mut hasher, &bytes);
        let sum = siphasher::sip128::Hasher128::finish128(&hasher).as_u128();
        prop_assert_eq!(Digest::of(&head), Digest { count: 1, sum });
    }

    #[test]
    fn an_arcs_digest_is_the_sum_over_its_heads(
        keys in prop::collection::vec((key(), 0u64..4), 0..300),
        arcs in prop::collection::vec((key(), key()), 1..8),
        at in any::<prop::sample::Index>(),
        gone in prop::collection::vec(any::<prop::sample::Index>(), 0..200),
    ) {
        let heads: Vec<Head> = keys.iter().map(|(key, value)| head(*key, *value)).collect();
        let mut store = holding(&heads);
        for index in gone {
            if let Some(head) = (!heads.is_empty()).then(|| index.get(&heads)) {
                store.index.remove(&head.identity);
            }
        }
        store.check().expect("the rules hold");
        for (from, to) in arcs {
            // Ends at keys that are there, too.
            let from = if heads.is_empty() { from } else { at.get(&heads).identity.key };
            for arc in [Arc::new(from, to), Arc::new(to, from), Arc::new(to, to), Arc::point(from)] {
                let inside = all_in(&store, &arc);
                prop_assert!(inside.iter().all(|head| arc.contains(&head.identity.key)));
                let expected: Vec<&Head> =
                    store.index.iter().filter(|head| arc.contains(&head.identity.key)).collect();
                prop_assert_eq!(inside.len(), expected.len());
                prop_assert_eq!(store.digest(&arc), expected.into_iter().collect::<Digest>());
                let place = |head: &Head| (head.identity.key.wrapping_sub(&arc.from.next()), head.identity);
                prop_assert!(inside.is_sorted_by_key(place));
                for n in [0, inside.len() / 2, inside.len().saturating_sub(1)] {
                    let Some(after) = inside.get(n).map(|head| head.identity) else { continue };
                    let rest: Vec<Head> = store.heads_after(&arc, Some(&after)).copied().collect();
                    prop_assert_eq!(&rest[..], &inside[n + 1..]);
                    prop_assert_eq!(store.digest_after(&arc, Some(&after)), rest.iter().collect::<Digest>());
                }
            }
        }
    }

    #[test]
    fn a_split_partitions_its_arc(
        keys in prop::collection::vec((key(), 0u64..3), 0..400),
        from in key(), to in key(), full: bool,
    ) {
        let store = holding(&keys.iter().map(|(key, value)| head(*key, *value)).collect::<Vec<_>>());
        let arc = if full { Arc::new(from, from) } else { Arc::new(from, to) };
        let parts = store.split(&arc);
        prop_assert!((1..=SPLIT_MAX).contains(&parts.len()));
        let mut next = arc.from;
        for (part, digest) in &parts {
            prop_assert_eq!(part.from, next);
            prop_assert!(arc.covers(part) && (!part.is_full() || parts.len() == 1));
            prop_assert_eq!(store.digest(part), *digest);
            next = part.to;
        }
        prop_assert_eq!(next, arc.to);
        let sum = parts.iter().fold(Digest::default(), |sum, (_, digest)| sum.plus(*digest));
        prop_assert_eq!(sum, store.digest(&arc));
        let listed: Vec<Head> = parts.iter().flat_map(|(part, _)| all_in(&store, part)).collect();
        prop_assert_eq!(listed, all_in(&store, &arc));
    }

    #[test]
    fn equal_records_have_equal_digests_whatever_came_between(
        keys in prop::collection::vec((key(), 0u64..4), 1..200),
        extra in prop::collection::vec((key(), 4u64..8), 0..200),
    ) {
        let heads: Vec<Head> = keys.iter().map(|(key, value)| head(*key, *value)).collect();
        let passing: Vec<Head> = extra.iter().map(|(key, value)| head(*key, *value)).collect();
        let plain = holding(&heads);
        let mut other = holding(&passing.iter().chain(heads.iter().rev()).copied().collect::<Vec<_>>());
        for head in &passing {
            other.index.remove(&head.identity);
        }
        other.check().expect("the rules hold");
        for (arc, digest) in plain.split(&Arc::FULL) {
            prop_assert_eq!(other.digest(&arc), digest);
        }
    }
}

#[test]
fn a_sliver_splits_as_well_as_the_ring() {
    // A thousand records in a stretch of 2^-60 of the ring.
    let at = Id::pow2(159).wrapping_add(&Id::pow2(7));
    let mut rng = crate::rng::Rng::from_u64(1);
    let sliver = |rng: &mut crate::rng::Rng| {
        let offset = rng.id();
        let mut low = [0; 20];
        low[8..].copy_from_slice(&offset.0[8..]);
        at.wrapping_add(&Id(low))
    };
    let heads: Vec<Head> = (0..1000).map(|_| head(sliver(&mut rng), 0)).collect();
    let store = holding(&heads);
    for arc in [Arc::FULL, Arc::new(at.prev(), at.wrapping_add(&Id::pow2(96)))] {
        let parts = store.split(&arc);
        assert_eq!(parts.len(), SPLIT_MAX);
        assert!(parts.iter().all(|(_, digest)| (50..=80).contains(&digest.count)), "{parts:?}");
    }
}

#[test]
fn a_refresh_changes_the_digest() {
    let old = head(Id::from_u64(1), 1);
    let new = Head { ttl: Duration::from_secs(101), ..old };
    assert_ne!(holding(&[old]).digest(&Arc::FULL), holding(&[new]).digest(&Arc::FULL));
    assert_eq!(holding(&[old, new]).digest(&Arc::FULL), holding(&[new]).digest(&Arc::FULL));
}

#[test]
fn keys_are_found_by_number() {
    let store = holding(&[head(Id::from_u64(5), 1), head(Id::from_u64(9), 1), head(Id::from_u64(9), 2)]);
    let next = |n| store.next_key(&Id::from_u64(n)).map(|id| id.0[19]);
    assert_eq!((next(0), next(5), next(6), next(10)), (Some(5), Some(5), Some(9), None));
}
