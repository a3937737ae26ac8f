//! Stories of Chord alone. The whole node under faults is the simulator's matter.

extern crate std;

use super::*;
use crate::overlay::harness::{World, conformance, everyone_shares, grown, ring_root};
use crate::time::Duration;

fn quick() -> Config {
    Config::default()
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn it_conforms() {
    conformance::<Chord>(&quick(), ring_root);
}

#[test]
fn sixty_nodes_grow_one_by_one() {
    let mut world = grown::<Chord>(60, &quick(), 60);
    let took = world.must_settle(MINUTE.times(10));
    std::eprintln!("60 nodes settled after {took:?}");
    assert_eq!(world.wrong_lookup(500, ring_root), None);
    everyone_shares(&mut world);
}

#[test]
fn twenty_nodes_that_join_at_once_settle_within_seconds() {
    for seed in 0..10 {
        let mut world = World::<Chord>::new(seed, quick());
        for i in 0..20 {
            let node = world.add_random();
            world.join(node, if i == 0 { &[] } else { &[0] });
        }
        let took = world.must_settle(MINUTE);
        std::eprintln!("20 at once settled after {took:?}");
        assert!(took <= Duration::from_secs(15), "{took:?}");
        assert_eq!(world.wrong_lookup(100, ring_root), None);
    }
}

#[test]
fn a_steady_round_is_one_request_and_one_answer() {
    let config = Config { fix_fingers_ms: 3_600_000, ..quick() };
    let n = 40;
    let mut world = World::<Chord>::settled(1, config, n);
    let before = world.messages;
    world.run(Duration::from_secs(1_000));
    let per_round = (world.messages - before) as f64 / (n as f64 * 100.0);
    assert!((1.9..=2.1).contains(&per_round), "{per_round} messages a round");
    assert_eq!(world.unsettled(), None);
}
