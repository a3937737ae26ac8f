//! Fair storage against a naive reading of the paper, decision by decision, and stories of its corners.

mod oracle;
mod stories;

use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use oracle::Oracle;

/// What may happen to a disk.
#[derive(Clone, Copy, Debug)]
enum Event {
    Put {
        client: u64,
        bytes: u64,
        ttl_ms: u64,
    },
    Commit {
        client: u64,
        bytes: u64,
        life_ms: u64,
    },
    /// The live put of that number, modulo how many there are, leaves.
    Release {
        which: usize,
    },
}

fn config(
    capacity_bytes: u64,
    put_bytes_max: u64,
    rate: (u64, u64),
    alpha: u128,
    queue_bound: u128,
) -> FairConfig {
    FairConfig {
        capacity_bytes,
        put_bytes_max,
        rate: Rate::new(rate.0, rate.1).unwrap(),
        alpha,
        queue_bound,
        queued_max: QUEUED_MAX,
        clients_max: CLIENTS_MAX,
    }
}

/// Plays a story to both and holds every decision of one against the other. With `timely` wake-ups happen at their hour, else only
/// when something else does.
fn compare(
    config: FairConfig,
    story: &[(u64, Event)],
    timely: bool,
) -> Result<Vec<Accepted<usize>>, TestCaseError> {
    let (mut fair, mut oracle) = (Fair::new(config), Oracle::new(config));
    let mut accepted = Vec::new();
    let mut now = 0;
    for (name, &(gap_ms, event)) in story.iter().enumerate() {
        now += gap_ms;
        while let Some(at) = fair.deadline().filter(|at| timely && *at <= now) {
            fair.wake(at, &mut accepted);
        }
        // What leaves is named by the oracle, which keeps a list.
        oracle.run_to(now);
        let live = oracle.stored_at(now);
        let queued = oracle.happen(now, name, event);
        match event {
            Event::Put { client, bytes, ttl_ms } => {
                let place = fair.arrive(now, ClientId(client), name, bytes, ttl_ms, &mut accepted);
                prop_assert_eq!(place.is_ok(), queued, "put {}: {:?}", name, place);
                let waits = place.is_ok_and(|place| fair.is_waiting(place));
                let is_through = accepted.iter().any(|a: &Accepted<usize>| a.put == name);
                prop_assert_eq!(waits, queued && !is_through);
            }
            Event::Commit { client, bytes, life_ms } => {
                fair.commit(now, ClientId(client), bytes, now + life_ms, &mut accepted);
            }
            Event::Release { which } => {
                fair.wake(now, &mut accepted);
                if let Some(gone) = live.get(which % live.len().max(1)) {
                    fair.release(now, ClientId(gone.client), gone.bytes, gone.expires_ms, &mut accepted);
                }
            }
        }
        fair.check().map_err(|violation| TestCaseError::fail(alloc::format!("{violation:?}")))?;
        let so_far: Vec<(usize, u64)> = accepted.iter().map(|a| (a.put, a.at_ms)).collect();
        prop_assert_eq!(&so_far, &oracle.accepted, "after event {} at {}", name, now);
        let stored: u64 = oracle.stored_at(now).iter().map(|s| s.bytes).sum();
        prop_assert_eq!(fair.stored_bytes(), stored);
    }
    // To the end: every put that was queued is accepted.
    while let Some(at) = fair.deadline() {
        fair.wake(at, &mut accepted);
        oracle.run_to(at);
        fair.check().map_err(|violation| TestCaseError::fail(alloc::format!("{violation:?}")))?;
    }
    let all: Vec<(usize, u64)> = accepted.iter().map(|a| (a.put, a.at_ms)).collect();
    prop_assert_eq!(&all, &oracle.accepted, "at the end");
    Ok(accepted)
}

/// Gaps of 0 make ties in time; few sizes and lives make ties in tags. Some lives and sizes are beyond what the disk assumes.
fn puts() -> impl Strategy<Value = Event> {
    let bytes = prop_oneof![3 => Just(10_u64), 2 => Just(5_u64), 4 => 0..=10_u64, 1 => 0..=25_u64];
    let ttl = prop_oneof![3 => Just(40_u64), 2 => Just(20_u64), 4 => 0..=40_u64, 1 => 0..=90_u64];
    (0..5_u64, bytes, ttl).prop_map(|(client, bytes, ttl_ms)| Event::Put { client, bytes, ttl_ms })
}

fn gaps() -> impl Strategy<Value = u64> {
    // Sometimes the disk drains.
    prop_oneof![4 => Just(0_u64), 6 => 0..=4_u64, 4 => 0..=12_u64, 1 => 0..=200_u64]
}

fn story(events: impl Strategy<Value = Event>) -> impl Strategy<Value = Vec<(u64, Event)>> {
    proptest::collection::vec((gaps(), events), 1..70)
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => puts(),
        1 => (0..5_u64, 0..=60_u64, 1..=90_u64)
            .prop_map(|(client, bytes, life_ms)| Event::Commit { client, bytes, life_ms }),
        1 => (0..100_usize).prop_map(|which| Event::Release { which }),
    ]
}

/// C, rate, alpha and bound of a queue, for B = 10 and T = 40. The rates are those of C / T, below, and above.
fn settings(rates: Vec<(u64, u64)>) -> impl Strategy<Value = FairConfig> {
    let capacity = prop_oneof![Just(40_u64), Just(80), 20..=160_u64];
    let tags = prop_oneof![Just(0_u128), Just(400), 0..=900_u128];
    (capacity, proptest::sample::select(rates), tags.clone(), prop_oneof![Just(400_u128), tags])
        .prop_map(|(capacity, rate, alpha, bound)| config(capacity, 10, rate, alpha, bound))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    /// Whole rates: the semantics of the authors' code, which decide single puts.
    #[test]
    fn every_decision_is_the_papers(
        config in settings(alloc::vec![(1, 1), (2, 1)]),
        story in story(puts()),
        timely: bool,
    ) {
        compare(config, &story, timely)?;
    }

    /// Any rate, with copies that come and go by other ways than the queue.
    #[test]
    fn every_decision_is_the_papers_at_any_rate_and_with_other_charges(
        config in settings(alloc::vec![(1, 1), (2, 1), (3, 2), (1, 3), (7, 40), (1, 1000)]),
        story in story(any_event()),
        timely: bool,
    ) {
        compare(config, &story, timely)?;
    }

}

/// Hundreds of small puts live at once, so that trees are deep: a disk a hundred times as large.
fn deep() -> impl Strategy<Value = (FairConfig, Vec<(u64, Event)>)> {
    let put = |events: proptest::strategy::BoxedStrategy<Event>| {
        events.prop_map(|event| match event {
            Event::Put { client, bytes, ttl_ms } => Event::Put { client, bytes, ttl_ms: ttl_ms * 10 },
            Event::Commit { client, bytes, life_ms } => {
                Event::Commit { client, bytes, life_ms: life_ms * 10 }
            }
            other => other,
        })
    };
    let rates = proptest::sample::select(alloc::vec![(1, 1), (2, 1), (3, 2), (1, 3)]);
    let settings = (400..=1600_u64, rates, 0..=9000_u128)
        .prop_map(|(capacity, rate, alpha)| config(capacity, 10, rate, alpha, 40_000));
    let gaps = prop_oneof![3 => Just(0_u64), 6 => 0..=3_u64, 1 => 0..=40_u64];
    (settings, proptest::collection::vec((gaps, put(any_event().boxed())), 200..500))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn every_decision_is_the_papers_with_hundreds_of_puts((config, story) in deep(), timely: bool) {
        compare(config, &story, timely)?;
    }
}
