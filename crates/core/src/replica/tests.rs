//! Sets of arcs against sets of points, and syncs of stores that differ.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::arcs::ArcSet;
use super::sync::{Answer, FOUND_MAX, HEADS_MAX, OUTSTANDING_MAX, Question, Session, answer};
use crate::id::Id;
use crate::keyspace::Arc;
use crate::machine::DiskResult;
use crate::rng::Rng;
use crate::store::record::{HEAD_BYTES, Head, Identity, Record};
use crate::store::{Put, Store, StoreConfig};
use crate::time::{Duration, Wall};
use crate::wire::{from_slice, to_vec};

const NOW: Wall = Wall(1_000_000_000_000);

/// A store that has loaded these heads.
fn holding(heads: &[Head]) -> Store<()> {
    let config = StoreConfig {
        value_bytes_max: 1 << 10,
        ttl_max: Duration::from_secs(1000),
        store_bytes_max: u64::MAX,
        skew_max: Duration::from_secs(2),
        cache_bytes_max: 0,
        writes_inflight_max: 1000,
    };
    let (mut store, mut disk) = (Store::new(config), Vec::new());
    store.load(&mut disk);
    let loaded = DiskResult::Loaded { notes: None, heads: heads.to_vec(), more: false };
    let token = disk.remove(0).token;
    store.disk_done(NOW, token, loaded, &mut disk, &mut Vec::new());
    store
}

/// The record of a value under a key; the value is its number.
fn record(key: Id, value: u64, ttl_secs: u64) -> Record {
    Record::plain(key, value.to_be_bytes().to_vec(), NOW, Duration::from_secs(ttl_secs), 1)
}

/// Puts a copy whose value is known, durably.
fn keep(store: &mut Store<()>, record: Record) {
    let mut disk = Vec::new();
    if store.put(NOW, record, None, &mut disk) == Put::Writing {
        let token = disk.remove(0).token;
        store.disk_done(NOW, token, DiskResult::Written, &mut disk, &mut Vec::new());
    }
}

/// What a sync cost, as bytes of questions and answers.
#[derive(Default, Debug)]
struct Cost {
    questions: u64,
    tree_bytes: u64,
    head_bytes: u64,
    pulled: Vec<Identity>,
    pushed: Vec<Identity>,
    was_same: bool,
}

/// How the way between the two treats questions and answers.
#[derive(Clone, Copy, Default)]
struct Way {
    /// Answers come in any order, some of them twice.
    shuffled: bool,
}

/// Runs one session to its end without moving records.
fn explore(asker: &Store<()>, answerer: &Store<()>, arc: Arc, way: Way, rng: &mut Rng) -> Cost {
    let (mut session, mut cost) = (Session::new(arc), Cost::default());
    let mut under_way: Vec<(Question, Answer)> = Vec::new();
    let mut late: Vec<(Question, Answer)> = Vec::new();
    loop {
        while let Some(question) = session.next_question(asker) {
            let bytes = to_vec(&question);
            assert_eq!(from_slice::<Question>(&bytes), Ok(question));
            let said = answer(answerer, &question);
            let answer_bytes = to_vec(&said);
            assert_eq!(from_slice::<Answer>(&answer_bytes).as_ref(), Ok(&said));
            cost.questions += 1;
            cost.tree_bytes += bytes.len() as u64;
            match said {
                Answer::Heads(_) => cost.head_bytes += answer_bytes.len() as u64,
                _ => cost.tree_bytes += answer_bytes.len() as u64,
            }
            under_way.push((question, said));
        }
        assert!(under_way.len() <= OUTSTANDING_MAX);
        for (name, now, max) in session.bounds() {
            assert!(now <= max, "{name}: {now} of {max}");
        }
        if !under_way.is_empty() {
            let next = if way.shuffled { rng.index(under_way.len()).expect("not empty") } else { 0 };
            let (question, said) = under_way.remove(next);
            session.on_answer(NOW, asker, &question.arc, said.clone());
            if way.shuffled {
                late.push((question, said));
                let again = rng.index(late.len()).expect("not empty");
                let (question, said) = if rng.chance(0.1) { late.swap_remove(again) } else { continue };
                if under_way.iter().all(|(q, _)| q.arc != question.arc) {
                    session.on_answer(NOW, asker, &question.arc, said);
                }
            }
        }
        cost.pulled.extend(session.take_pull(100));
        cost.pushed.extend(session.take_push(100));
        if under_way.is_empty() && session.is_done() {
            cost.was_same = session.was_same();
            return cost;
        }
    }
}

/// Runs a session and moves what it found; the records' values are their numbers.
fn sync(asker: &mut Store<()>, answerer: &mut Store<()>, all: &[Record], arc: Arc) -> Cost {
    let cost = explore(asker, answerer, arc, Way { shuffled: true }, &mut Rng::from_u64(3));
    let copy = |from: &Store<()>, identity: &Identity| {
        let head = *from.head(identity).expect("found means there");
        let found = all.iter().find(|record| record.head == head).expect("a record of this test");
        found.clone()
    };
    for identity in &cost.pulled {
        let record = copy(answerer, identity);
        keep(asker, record);
    }
    for identity in &cost.pushed {
        let record = copy(asker, identity);
        keep(answerer, record);
    }
    cost
}

fn spread(rng: &mut Rng, count: usize) -> Vec<Record> {
    (0..count).map(|n| record(rng.id(), n as u64, 500)).collect()
}

fn heads(records: &[Record]) -> Vec<Head> {
    records.iter().map(|record| record.head).collect()
}

fn digest(store: &Store<()>) -> crate::store::Digest {
    store.digest(&Arc::FULL)
}

#[test]
fn equal_stores_cost_one_question() {
    let mut rng = Rng::from_u64(1);
    for count in [0, 1, 100, 5000] {
        let heads = heads(&spread(&mut rng, count));
        let (a, b) = (holding(&heads), holding(&heads));
        let cost = explore(&a, &b, Arc::FULL, Way::default(), &mut rng);
        assert_eq!((cost.questions, cost.head_bytes, cost.was_same), (1, 0, true));
        assert!(cost.pulled.is_empty() && cost.pushed.is_empty());
    }
}

#[test]
fn a_few_differences_in_many_are_found_at_the_price_of_the_few() {
    // The reliability target: 100,000 records, 1 % diverged: traffic at most twice the diverged bytes, and the tree.
    let mut rng = Rng::from_u64(2);
    let all = heads(&spread(&mut rng, 100_000));
    let missing = |n: usize| n.is_multiple_of(100);
    let some: Vec<Head> =
        all.iter().enumerate().filter(|(n, _)| !missing(*n)).map(|(_, head)| *head).collect();
    let (a, b) = (holding(&some), holding(&all));
    let cost = explore(&a, &b, Arc::FULL, Way::default(), &mut rng);
    let mut expected: Vec<Identity> =
        all.iter().enumerate().filter(|(n, _)| missing(*n)).map(|(_, head)| head.identity).collect();
    let mut pulled = cost.pulled.clone();
    expected.sort();
    pulled.sort();
    assert_eq!(pulled, expected);
    assert!(cost.pushed.is_empty());
    // A record of the reference load is about 416 bytes with its head.
    let diverged = expected.len() as u64 * 416;
    let moved = diverged + cost.head_bytes;
    assert!(moved <= 2 * diverged, "{} bytes of heads for {diverged} diverged", cost.head_bytes);
    assert!(cost.tree_bytes <= 2 * diverged, "{} bytes of tree", cost.tree_bytes);
    assert!(cost.questions <= 3 * expected.len() as u64, "{} questions", cost.questions);
}

#[test]
fn one_difference_in_many_costs_a_handful_of_questions() {
    let mut rng = Rng::from_u64(2);
    let all = heads(&spread(&mut rng, 100_000));
    let (a, b) = (holding(&all[1..]), holding(&all));
    for (asker, answerer, pulled) in [(&a, &b, 1), (&b, &a, 0)] {
        let cost = explore(asker, answerer, Arc::FULL, Way::default(), &mut rng);
        assert_eq!((cost.pulled.len(), cost.pushed.len()), (pulled, 1 - pulled));
        assert!(cost.questions <= 6, "{} questions", cost.questions);
        assert!(cost.tree_bytes + cost.head_bytes < 5000, "{cost:?}");
    }
}

#[test]
fn an_empty_replica_is_filled_and_fills_without_a_tree() {
    let mut rng = Rng::from_u64(2);
    let all = heads(&spread(&mut rng, 10_000));
    let (full, empty) = (holding(&all), holding(&[]));
    let pull = explore(&empty, &full, Arc::FULL, Way::default(), &mut rng);
    assert_eq!((pull.pulled.len(), pull.pushed.len()), (10_000, 0));
    // Each head is named once, and the tree is a small part of that.
    assert!(pull.head_bytes < 10_000 * (HEAD_BYTES as u64 + 1));
    assert!(pull.tree_bytes < pull.head_bytes / 20, "{} bytes of tree", pull.tree_bytes);
    let push = explore(&full, &empty, Arc::FULL, Way::default(), &mut rng);
    assert_eq!((push.pulled.len(), push.pushed.len()), (0, 10_000));
    assert!(push.questions <= 10_000_u64.div_ceil(FOUND_MAX as u64), "{} questions", push.questions);
}

#[test]
fn stores_that_share_nothing_are_listed_in_large_parts() {
    let mut rng = Rng::from_u64(2);
    let (a, b) = (heads(&spread(&mut rng, 5000)), heads(&spread(&mut rng, 5000)));
    let cost = explore(&holding(&a), &holding(&b), Arc::FULL, Way::default(), &mut rng);
    assert_eq!((cost.pulled.len(), cost.pushed.len()), (5000, 5000));
    assert!(cost.tree_bytes < cost.head_bytes, "{} bytes of tree for {}", cost.tree_bytes, cost.head_bytes);
}

#[test]
fn a_key_with_thousands_of_values_goes_in_pages() {
    let key = Id::of_text("crowded");
    let values: Vec<Record> = (0..3000).map(|n| record(key, n, 500)).collect();
    for (ours, theirs) in
        [(0..3000, 1..3000), (1..3000, 0..3000), (0..2000, 1000..3000), (0..3000, 0..0), (0..0, 0..3000)]
    {
        let mut a = holding(&heads(&values[ours]));
        let mut b = holding(&heads(&values[theirs]));
        let cost = sync(&mut a, &mut b, &values, Arc::FULL);
        assert_eq!(digest(&a), digest(&b));
        assert!(cost.questions <= 2 + 3000_u64.div_ceil(HEADS_MAX as u64), "{} questions", cost.questions);
    }
}

#[test]
fn lives_that_are_over_are_ignored_on_both_sides() {
    let live = record(Id::from_u64(1), 1, 500).head;
    let mut over = record(Id::from_u64(2), 2, 500).head;
    over.put_time = Wall(NOW.0 - over.ttl.0);
    let mut rng = Rng::from_u64(1);
    for (ours, theirs) in [(&[live][..], &[live, over][..]), (&[live, over][..], &[live][..])] {
        let cost = explore(&holding(ours), &holding(theirs), Arc::FULL, Way::default(), &mut rng);
        assert!(cost.pulled.is_empty() && cost.pushed.is_empty(), "{cost:?}");
    }
}

#[test]
fn only_the_arc_is_compared() {
    let mut rng = Rng::from_u64(4);
    let all = heads(&spread(&mut rng, 2000));
    let arc = Arc::new(Id::pow2(159), Id::pow2(157));
    let cost = explore(&holding(&[]), &holding(&all), arc, Way::default(), &mut rng);
    let inside = all.iter().filter(|head| arc.contains(&head.identity.key)).count();
    assert_eq!(cost.pulled.len(), inside);
    assert!(cost.pulled.iter().all(|identity| arc.contains(&identity.key)));
}

#[test]
fn an_answer_that_contradicts_its_question_never_ends_as_done() {
    let mut rng = Rng::from_u64(5);
    let all = heads(&spread(&mut rng, 100));
    let store = holding(&all);
    let arc = Arc::new(Id::ZERO, Id::pow2(159));
    let outside = record(Id::MAX, 1, 500).head;
    let part = |from, to| (Arc::new(from, to), crate::store::Digest::default());
    let twice = [all[0], all[0]];
    for nonsense in [
        Answer::Heads([outside].into()),
        Answer::Heads(twice.into()),
        Answer::Split(Vec::new()),
        Answer::Split([part(Id::ZERO, Id::pow2(159))].into()),
        Answer::Split([part(Id::ZERO, Id::pow2(100)), part(Id::pow2(101), Id::pow2(159))].into()),
        Answer::Split([part(Id::ZERO, Id::MAX), part(Id::MAX, Id::pow2(159))].into()),
    ] {
        let mut session = Session::new(arc);
        session.next_question(&store).expect("the first question");
        session.on_answer(NOW, &store, &Arc::FULL, Answer::Same);
        session.on_answer(NOW, &store, &arc, nonsense);
        assert!(session.next_question(&store).is_none() && !session.is_done());
        assert!(session.take_pull(9).is_empty() && session.take_push(9).is_empty());
    }
    let mut silent = Session::new(arc);
    silent.next_question(&store).expect("the first question");
    silent.on_no_answer(&arc);
    assert!(!silent.is_done() && !silent.was_same());
}

/// Records over few keys, so that keys are shared, crowded and differ in life.
fn some_records() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    prop::collection::vec((0u64..40, 0u64..30, 100u64..103), 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn three_stores_become_equal(
        a in some_records(), b in some_records(), c in some_records(), from: [u8; 20], to: [u8; 20],
    ) {
        let make = |list: &[(u64, u64, u64)]| -> Vec<Record> {
            list.iter().map(|(key, value, ttl)| record(Id::of_text(&alloc::format!("{key}")), *value, *ttl)).collect()
        };
        let (a, b, c) = (make(&a), make(&b), make(&c));
        let all: Vec<Record> = [&a[..], &b[..], &c[..]].concat();
        let mut stores = [holding(&[]), holding(&[]), holding(&[])];
        for (store, records) in stores.iter_mut().zip([&a, &b, &c]) {
            for record in records {
                keep(store, record.clone());
            }
        }
        let mut together = holding(&[]);
        for record in &all {
            keep(&mut together, record.clone());
        }
        let [x, y, z] = &mut stores;
        let (from, to) = (Id(from), Id(to));
        for arc in [Arc::new(from, to), Arc::new(to, from)] {
            sync(x, y, &all, arc);
            sync(z, y, &all, arc);
            sync(x, z, &all, arc);
            for store in [&*x, &*y, &*z] {
                prop_assert_eq!(store.digest(&arc), together.digest(&arc));
            }
        }
        prop_assert!(explore(x, y, Arc::FULL, Way::default(), &mut Rng::from_u64(1)).was_same);
    }

    #[test]
    fn arc_sets_are_sets_of_ids(
        steps in prop::collection::vec((any::<bool>(), 0u64..24, 0u64..24), 0..20),
        others in prop::collection::vec((0u64..24, 0u64..24), 0..6),
        asked in (0u64..24, 0u64..24),
    ) {
        // A small ring in the large one: 12 ids on each side of zero.
        let id = |n: u64| if n < 12 { Id::from_u64(n) } else { Id::MAX.wrapping_sub(&Id::from_u64(23 - n)) };
        let arc = |from: u64, to: u64| Arc::new(id(from), id(to));
        let mut set = ArcSet::new();
        let mut truth = [false; 24];
        for (add, from, to) in steps {
            let arc = arc(from, to);
            if add { set.add(&arc) } else { set.remove(&arc) }
            for (n, here) in (0..24).zip(&mut truth) {
                *here = if arc.contains(&id(n)) { add } else { *here };
            }
        }
        let holds = |set: &ArcSet| -> Vec<bool> { (0..24).map(|n| set.contains(&id(n))).collect() };
        prop_assert_eq!(holds(&set), truth.to_vec());
        // Canonical: rebuilt from its arcs it is the same value, and its arcs are disjoint.
        let arcs: Vec<Arc> = set.iter().collect();
        prop_assert_eq!(&arcs.iter().rev().copied().collect::<ArcSet>(), &set);
        for n in 0..24 {
            prop_assert!(arcs.iter().filter(|arc| arc.contains(&id(n))).count() <= 1);
        }
        let asked = arc(asked.0, asked.1);
        let inside: Vec<usize> = (0..24).filter(|n| asked.contains(&id(*n as u64))).collect();
        // Between the two halves of the small ring lies the rest of the large one, which only full points can tell.
        let far = Id::pow2(159);
        let all = inside.iter().all(|n| truth[*n]) && (!asked.contains(&far) || set.contains(&far));
        let any = inside.iter().any(|n| truth[*n]) || asked.contains(&far) && set.contains(&far);
        prop_assert_eq!((set.covers(&asked), set.touches(&asked)), (all, any));
        let other: ArcSet = others.iter().map(|(from, to)| arc(*from, *to)).collect();
        let (both, rest) = (set.intersect(&other), set.minus(&other));
        for n in 0..24 {
            prop_assert_eq!(both.contains(&id(n)), set.contains(&id(n)) && other.contains(&id(n)));
            prop_assert_eq!(rest.contains(&id(n)), set.contains(&id(n)) && !other.contains(&id(n)));
        }
        let mut again = rest;
        for arc in both.iter() {
            again.add(&arc);
        }
        prop_assert_eq!(again, set);
    }
}

#[test]
fn an_arc_over_zero_is_one_arc() {
    let arc = Arc::new(Id::MAX.prev(), Id::from_u64(5));
    let set = ArcSet::from(arc);
    assert_eq!(set.iter().collect::<Vec<_>>(), [arc]);
    assert!(set.covers(&arc) && !set.is_full());
    let mut all = set.clone();
    all.add(&Arc::new(Id::from_u64(5), Id::MAX.prev()));
    assert!(all.is_full());
    assert_eq!(all.iter().collect::<Vec<_>>(), [Arc::FULL]);
    assert!(all.minus(&set).iter().eq([Arc::new(Id::from_u64(5), Id::MAX.prev())]));
    assert!(ArcSet::new().is_empty() && ArcSet::new().iter().next().is_none());
}
