//! Stories of Chord alone. The whole node under faults is the simulator's matter.

mod invariants;

use alloc::string::ToString;
use alloc::vec::Vec;

use super::*;
use crate::overlay::harness::{World, conformance, everyone_shares, grown, ring_root, survives_mischief};
use crate::time::{Duration, Mono};
use invariants::{ring_is_ideal_enough, zave};

const MINUTE: Duration = Duration::from_secs(60);
const ROUND: Duration = Duration::from_secs(10);

fn short_lists() -> Config {
    Config { successors: 4, predecessors: 3, ..Config::default() }
}

#[test]
fn it_conforms() {
    conformance::<Chord>(&Config::default(), ring_root);
    conformance::<Chord>(&short_lists(), ring_root);
}

#[test]
fn four_nodes_join_in_every_order_and_all_at_once() {
    let places = [10, 20, 30, 40u64];
    for order in 0..24 {
        let mut left = places.to_vec();
        let mut n = order;
        let mut world = World::<Chord>::new(order as u64, Config::default());
        for i in 0..4 {
            let id = left.remove(n % left.len());
            n /= 4 - i;
            let node = world.add(Id::from_u64(id));
            world.join(node, if i == 0 { &[] } else { &[0] });
        }
        world.must_settle(ROUND);
        assert_eq!(world.wrong_lookup(50, ring_root), None);
    }
}

/// For a lookup whose way on is dead: a node names those before the target, nearest first, and those who would be its root.
#[test]
fn a_node_tells_all_that_it_knows_around_a_target() {
    let mut world = World::<Chord>::new(5, short_lists());
    let nodes: Vec<usize> = (1..=8u64).map(|i| world.add(Id::from_u64(10 * i))).collect();
    nodes.iter().for_each(|&n| world.join(n, if n == nodes[0] { &[] } else { &[0] }));
    world.must_settle(MINUTE);
    let ids = |peers: &[Peer]| peers.iter().map(|p| *p.id()).collect::<Vec<_>>();
    let tens = |list: &[u64]| list.iter().map(|n| Id::from_u64(*n)).collect::<Vec<_>>();
    let around =
        |at: usize, target: u64| world.nodes[at].overlay.around(&Id::from_u64(target), 2, 9).unwrap();
    // Node 20 lists 30, 40, 50, 60.
    let seen = around(1, 45);
    assert_eq!((ids(&seen.nearer), ids(&seen.heirs)), (tens(&[40, 30]), tens(&[50, 60])));
    // Node 50 knows its predecessors 40, 30, 20: of a target behind it, it says who comes first.
    assert_eq!(ids(&around(4, 35).heirs)[..3], tens(&[40, 50, 60]));
}

#[test]
fn a_ring_shrinks_to_one_and_grows_again() {
    let mut world = grown::<Chord>(3, &Config::default(), 3);
    world.must_settle(MINUTE);
    world.leave(0);
    world.crash(2);
    world.must_settle(MINUTE);
    let alone = &world.nodes[1].overlay;
    assert_eq!(alone.next_hop(&Id::ZERO), Hop::Root);
    assert!(alone.shares(3).iter().all(|s| s.arc.is_full() && s.peers.len() == 1));
    for node in [0, 2] {
        world.restart(node);
        world.join(node, &[1]);
    }
    world.must_settle(ROUND.times(2));
}

#[test]
fn sixty_nodes_grow_one_by_one() {
    let mut world = grown::<Chord>(60, &Config::default(), 60);
    world.must_settle(MINUTE.times(5));
    assert_eq!(world.wrong_lookup(500, ring_root), None);
    everyone_shares(&mut world);
}

#[test]
fn twenty_nodes_that_join_at_once_settle_within_seconds() {
    for seed in 0..10 {
        let mut world = World::<Chord>::new(seed, Config::default());
        for i in 0..20 {
            let node = world.add_random();
            world.join(node, if i == 0 { &[] } else { &[0] });
        }
        let took = world.must_settle(MINUTE);
        assert!(took <= Duration::from_secs(8), "{took:?}");
        assert_eq!(world.wrong_lookup(100, ring_root), None);
    }
}

#[test]
fn who_has_joined_is_found_from_everywhere() {
    // A joiner says Joined when it answers its predecessor; when the answer is there, no lookup misses it any more.
    let mut world = World::<Chord>::settled(5, Config::default(), 30);
    for _ in 0..20 {
        let node = world.add_random();
        world.join(node, &[3]);
        let end = world.now + MINUTE;
        assert!(world.run_until(end, |w| w.nodes[node].overlay.is_member()));
        let me = world.nodes[node].me.clone();
        let found = |w: &World<Chord>| {
            (0..30).all(|from| w.lookup(from, me.id()).is_some_and(|(root, _)| root == me))
        };
        let joined = world.now;
        world.run_until(joined + ROUND, found);
        assert!(world.now.since(joined) <= Duration::from_millis(100), "{:?}", world.now.since(joined));
    }
}

#[test]
fn a_steady_round_is_one_request_and_one_answer() {
    let config = Config { fix_fingers_ms: 3_600_000, ..Config::default() };
    for n in [2, 5, 40] {
        let mut world = World::<Chord>::settled(1, config, n);
        let before = world.messages;
        world.run(Duration::from_secs(1_000));
        let per_round = (world.messages - before) as f64 / (n as f64 * 100.0);
        assert!((1.8..=2.2).contains(&per_round), "{per_round} messages a round among {n}");
        assert_eq!(world.unsettled(), None);
    }
}

#[test]
fn a_steady_finger_is_one_request_and_one_answer() {
    let config = Config { stabilize_ms: 3_600_000, fix_fingers_ms: 10_000, ..Config::default() };
    let mut world = World::<Chord>::settled(1, config, 60);
    let before = world.messages;
    world.run(Duration::from_secs(1_000));
    let per_round = (world.messages - before) as f64 / (60.0 * 100.0);
    assert!((1.8..=2.2).contains(&per_round), "{per_round} messages a finger");
    assert_eq!(world.unsettled(), None);
}

#[test]
fn half_of_the_nodes_crash_at_once() {
    for seed in 0..5 {
        let mut world = World::<Chord>::settled(seed, Config::default(), 60);
        for _ in 0..30 {
            let n = world.alive().count() as u64;
            let victim = world.draw().below(n) as usize;
            let victim = world.alive().nth(victim).expect("in range");
            world.crash(victim);
        }
        // Before any repair the successor lists lead the lookups that avoid the dead; after it, all of them.
        let took = world.must_settle(MINUTE.times(5));
        assert!(took <= MINUTE.times(4), "{took:?}");
        assert_eq!(world.wrong_lookup(200, ring_root), None);
    }
}

#[test]
fn the_ring_is_whole_three_rounds_after_a_mass_crash() {
    for seed in 0..5 {
        let mut world = World::<Chord>::settled(seed, Config::default(), 100);
        for i in 0..100 {
            if i % 2 == 0 {
                world.crash(i);
            }
        }
        world.run(ROUND.times(3));
        assert_eq!(ring_is_ideal_enough(&world), Ok(()));
        assert_eq!(world.wrong_lookup(300, ring_root), None);
    }
}

#[test]
fn zaves_invariants_hold_under_rolling_churn() {
    for seed in 0..4 {
        let mut world = World::<Chord>::settled(seed, short_lists(), 30);
        for _ in 0..120 {
            match world.draw().below(3) {
                0 => {
                    let node = world.add_random();
                    let seeds: Vec<usize> = world.alive().filter(|i| *i != node).take(3).collect();
                    world.join(node, &seeds);
                }
                kind => {
                    let n = world.alive().count() as u64;
                    let at = world.draw().below(n) as usize;
                    let node = world.alive().nth(at).expect("in range");
                    if n > 12 && world.nodes[node].overlay.is_member() {
                        if kind == 1 { world.crash(node) } else { world.leave(node) }
                    }
                }
            }
            for _ in 0..4 {
                world.run(Duration::from_secs(1));
                assert_eq!(zave(&world), Ok(()), "seed {seed} at {:?}", world.now);
            }
            world.remind_joiners();
        }
        world.must_settle(MINUTE.times(5));
        assert_eq!(world.wrong_lookup(200, ring_root), None);
    }
}

#[test]
fn a_crash_is_known_to_all_neighbours_within_a_round_and_a_half() {
    for seed in 0..10 {
        let mut world = World::<Chord>::settled(seed, Config::default(), 40);
        world.crash(11);
        let dead = world.nodes[11].me.clone();
        let end = world.now + ROUND + Duration::from_secs(6);
        let forgotten = world.run_until(end, |w| w.alive().all(|i| !w.nodes[i].overlay.ring.names(&dead)));
        assert!(forgotten, "seed {seed}");
    }
}

#[test]
fn a_suspicion_anywhere_is_news_everywhere() {
    // The node layer of a far successor-list entry notices first: the ring must not wait for its period.
    let mut world = World::<Chord>::settled(2, Config::default(), 40);
    let dead = world.nodes[11].me.clone();
    let witness =
        world.alive().find(|i| world.nodes[*i].overlay.ring.succs.get(9) == Some(&dead)).expect("one has it");
    world.crash(11);
    world.give(witness, Input::Suspect(dead.clone()));
    let end = world.now + Duration::from_secs(4);
    assert!(world.run_until(end, |w| w.alive().all(|i| !w.nodes[i].overlay.ring.names(&dead))));
}

/// All of a node's list dies, and three of four after it, so that those whom it finds name dead ones before them: once a round has
/// found that out, the way back waits for no other.
#[test]
fn a_node_that_lost_its_whole_list_does_not_wait_for_rounds_on_its_way_back() {
    for seed in 0..20 {
        let mut world = World::<Chord>::settled(seed, short_lists(), 80);
        let mut order: Vec<usize> = world.alive().collect();
        order.sort_unstable_by_key(|i| *world.nodes[*i].me.id());
        let (lone, next) = (order[3], order[8]);
        (4..8).chain((9..40).filter(|i| i % 4 != 0)).for_each(|i| world.crash(order[i]));
        let next = world.nodes[next].me.clone();
        let end = world.now + ROUND.times(2);
        assert!(world.run_until(end, |w| w.nodes[lone].overlay.ring.head() == Some(&next)), "seed {seed}");
    }
}

#[test]
fn a_departure_is_known_at_once() {
    let mut world = World::<Chord>::settled(2, Config::default(), 40);
    let gone = world.nodes[11].me.clone();
    world.leave(11);
    world.run(Duration::from_secs(2));
    assert!(world.alive().all(|i| !world.nodes[i].overlay.ring.names(&gone)));
    assert_eq!(world.wrong_lookup(100, ring_root), None);
}

#[test]
fn split_rings_are_one_ten_rounds_after_the_heal() {
    let splits: [(&str, fn(usize) -> bool); 4] = [
        ("half of the ids", |i| i % 2 == 0),
        ("a tenth", |i| i % 10 == 0),
        ("one", |i| i == 0),
        ("two of three", |i| i % 3 > 0),
    ];
    for n in [2, 5, 30, 100] {
        for (name, side) in splits {
            let mut world = World::<Chord>::settled(n as u64, Config::default(), n);
            world.cut(|i| u8::from(side(i)));
            world.run(MINUTE.times(4));
            assert!(n < 3 || world.unsettled().is_some(), "{name} of {n}: the cut must have been felt");
            world.heal();
            let healed = world.now;
            let merged = world.run_until(healed + ROUND.times(10), |w| ring_is_ideal_enough(w).is_ok());
            assert!(merged, "{name} of {n}: {:?}", ring_is_ideal_enough(&world));
            world.must_settle(MINUTE.times(6));
            assert_eq!(world.wrong_lookup(100, ring_root), None);
        }
    }
}

#[test]
fn a_network_that_flaps_comes_to_rest() {
    let mut world = World::<Chord>::settled(8, Config::default(), 24);
    for round in 0..20u64 {
        let bits = world.draw().next_u64();
        world.cut(|i| (bits >> i & 1) as u8);
        world.run(Duration::from_secs(5 + 3 * round));
        world.heal();
        world.run(Duration::from_secs(7));
    }
    world.must_settle(MINUTE.times(6));
}

#[test]
fn lost_messages_delay_but_do_not_break() {
    for seed in 0..3 {
        let mut world = World::<Chord>::new(seed, Config::default());
        world.loss = 0.1;
        for i in 0..30 {
            let node = world.add_random();
            world.join(node, if i == 0 { &[] } else { &[0] });
            world.run(Duration::from_secs(1));
        }
        world.run(MINUTE.times(10));
        world.loss = 0.0;
        world.must_settle(MINUTE.times(5));
    }
}

#[test]
fn garbage_does_no_lasting_harm() {
    for seed in 0..10 {
        survives_mischief::<Chord>(seed, &Config::default(), 10);
        survives_mischief::<Chord>(seed, &short_lists(), 20);
    }
}

#[test]
fn a_farther_notify_replaces_the_predecessor_only_over_its_grave() {
    let mut world = World::<Chord>::settled(7, Config::default(), 10);
    let ring = world.nodes[0].overlay.ring.clone();
    let farther = ring.preds[1].clone();
    let notify = || Input::Message {
        from: farther.clone(),
        ticket: Some(Ticket::new(farther.addr(), 1)),
        msg: Msg::Stabilize { have: None, preds: Preds::List(Vec::new()) },
    };
    world.give(0, notify());
    assert_eq!(world.nodes[0].overlay.ring.pred(), ring.pred());
    world.run(Duration::from_secs(3));
    assert_eq!(world.nodes[0].overlay.ring.pred(), ring.pred(), "it answered the ping");
    let pred = world.nodes.iter().position(|n| Some(&n.me) == ring.pred()).expect("a node");
    world.crash(pred);
    world.give(0, notify());
    assert_eq!(world.nodes[0].overlay.ring.pred(), ring.pred(), "silence must be heard first");
    world.run(Duration::from_secs(3));
    assert_eq!(world.nodes[0].overlay.ring.pred(), Some(&farther));
}

#[test]
fn nobody_waits_for_ever_in_a_circle() {
    // All nodes stabilize in the same instant: each waits for its successor, round the whole ring.
    for n in [2, 3, 10] {
        let mut world = World::<Chord>::settled(1, Config::default(), n);
        for i in 0..n {
            world.give(i, Input::Timer(Timer::Stabilize));
        }
        world.run(Duration::from_secs(2));
        for node in &world.nodes {
            assert!(!node.overlay.is_waiting(), "{:?}", node.overlay);
        }
    }
}

#[test]
fn replica_sets_agree_between_the_nodes_of_a_settled_ring() {
    let mut world = World::<Chord>::settled(6, Config::default(), 60);
    let everyone = world.members_in_order();
    for _ in 0..100 {
        let key = world.draw().id();
        let at = everyone.partition_point(|p| *p.id() < key);
        let want: Vec<Peer> = (0..3).map(|k| everyone[(at + k) % everyone.len()].clone()).collect();
        for node in &world.nodes {
            let set = node.overlay.replica_set(&key, 3);
            // Far from the key nothing is known, near it all agree.
            assert!(set.is_empty() || set == want || want.starts_with(&set), "{set:?} {want:?}");
            assert_eq!(set.contains(&node.me), want.contains(&node.me));
        }
    }
}

#[test]
fn settings_are_named_in_errors() {
    let parse = |name: &str, value| Chord::configure(&[(name.to_string(), value)]);
    assert_eq!(parse("successors", 4).map(|c| c.successors), Ok(4));
    assert_eq!(parse("stabilize_ms", 500).map(|c| c.stabilize_ms), Ok(500));
    assert!(parse("fingers", 3).expect_err("unknown").contains("fix_fingers_ms"));
    assert!(parse("successors", 0).expect_err("too small").contains("1 to 64"));
    assert!(parse("predecessors", 65).is_err());
}

mod tables {
    use super::*;
    use crate::peer::Addr;
    use proptest::prelude::*;

    fn peer(id: Id) -> Peer {
        Peer::new(id, Addr::loopback(1))
    }

    proptest! {
        #[test]
        fn fingers_are_the_first_nodes_of_octaves(me: [u8; 20], ids in prop::collection::vec(any::<[u8; 20]>(), 1..40)) {
            let me = Id(me);
            let mut ids: Vec<Id> = ids.into_iter().map(Id).filter(|i| *i != me).collect();
            ids.sort_unstable_by_key(|i| i.wrapping_sub(&me));
            ids.dedup();
            let mut fingers = Fingers::default();
            for k in (0..ID_BITS).rev() {
                let first = ids.iter().find(|i| i.wrapping_sub(&me) >= Id::pow2(k));
                fingers.set(&me, k, &peer(*first.unwrap_or(&me)));
                prop_assert!(fingers.check(&me).is_ok());
            }
            for k in 0..ID_BITS {
                let first = ids.iter().find(|i| i.wrapping_sub(&me) >= Id::pow2(k)).copied();
                prop_assert_eq!(fingers.finger(&me, k).map(|p| *p.id()), first);
            }
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(msg) = crate::wire::from_slice::<Msg>(&bytes) {
                prop_assert_eq!(crate::wire::to_vec(&msg), bytes);
            }
        }
    }
}

/// Most nodes die at once, in rows of up to ten: all the others have their true successors as soon as each has had one round and the
/// time of three silences. One after another, ten would take ten.
#[test]
fn after_many_deaths_at_once_the_dead_are_found_together() {
    for seed in 0..4 {
        let mut world = World::<Chord>::settled(seed, Config::default(), 300);
        for (i, peer) in world.members_in_order().iter().enumerate() {
            if !matches!(i % 20, 0 | 2 | 9) {
                let node = (0..300).find(|&n| world.nodes[n].me == *peer).unwrap();
                world.crash(node);
            }
        }
        world.run(Duration::from_secs(16));
        let living = world.members_in_order();
        for node in world.alive() {
            let at = living.iter().position(|p| *p == world.nodes[node].me).unwrap();
            let next = &living[(at + 1) % living.len()];
            assert_eq!(world.nodes[node].overlay.ring.head(), Some(next), "seed {seed}");
        }
    }
}

/// Who only says `busy` lives: it is asked again, and not dropped as the silent are.
#[test]
fn a_busy_successor_is_asked_again_and_a_silent_one_is_dropped() {
    for busy in [true, false] {
        let mut world = World::<Chord>::settled(1, Config::default(), 8);
        assert!(world.run_until(Mono(u64::MAX), |w| w.nodes[0].overlay.is_waiting()));
        let head = world.nodes[0].overlay.ring.head().unwrap().clone();
        let why = Call::Stabilize;
        let peer = head.clone();
        world.give(0, if busy { Input::Busy { why, peer } } else { Input::NoAnswer { why, peer } });
        let chord = &world.nodes[0].overlay;
        assert_eq!(chord.ring.head() == Some(&head), busy);
        assert!(chord.is_waiting(), "the same one, or the next");
    }
}

/// A node that says `busy` for ever stops nobody: it is passed over, and nobody asks it without pause.
#[test]
fn a_node_that_is_busy_for_ever_does_not_stop_the_ring() {
    let mut world = World::<Chord>::settled(3, Config::default(), 24);
    let order = world.members_in_order();
    let number = |world: &World<Chord>, peer: &Peer| (0..24).find(|&n| world.nodes[n].me == *peer).unwrap();
    let (before, stuck, after) =
        (number(&world, &order[4]), number(&world, &order[5]), number(&world, &order[6]));
    world.nodes[stuck].stuck = true;
    // It may only be slow: sixteen calls are over by then.
    world.run(Duration::from_secs(38));
    assert_eq!(world.nodes[before].overlay.ring.head(), Some(&world.nodes[stuck].me));
    world.run(Duration::from_secs(82));
    assert_eq!(world.nodes[before].overlay.ring.head(), Some(&world.nodes[after].me));
    let sent = world.messages;
    world.run(MINUTE);
    // Two a node and round in calm; some more around the one that is stuck, which its successor still names.
    let calm = 24 * 6 * 2;
    assert!(world.messages - sent < 4 * calm, "{} messages in a minute", world.messages - sent);
    world.nodes[stuck].stuck = false;
    world.must_settle(MINUTE);
}

/// Two neighbors that do not see each other, while everybody else sees both: the ring names them to each other for ever, and haste
/// would not help.
#[test]
fn neighbors_that_do_not_see_each_other_cost_little() {
    let mut world = World::<Chord>::settled(3, Config::default(), 24);
    let order = world.members_in_order();
    let number = |peer: &Peer| (0..24).find(|&n| world.nodes[n].me == *peer).unwrap();
    let (one, other) = (number(&order[4]), number(&order[5]));
    world.part(one, other);
    world.run(MINUTE.times(2));
    let sent = world.messages;
    world.run(MINUTE.times(5));
    // Two a node and round in calm.
    let calm = 5 * 24 * 6 * 2;
    assert!(world.messages - sent < calm + calm / 2, "{} messages in five minutes", world.messages - sent);
}

#[test]
fn without_its_predecessor_a_node_asks_round_the_ring_for_its_own_keys() {
    for use_predecessor in [true, false] {
        let world = World::<Chord>::settled(2, Config { use_predecessor, ..short_lists() }, 20);
        let chord = &world.nodes[0].overlay;
        let own = *chord.ring.id();
        match chord.next_hop(&own) {
            Hop::Root => assert!(use_predecessor),
            Hop::Next(peers) => assert!(!use_predecessor && !peers.is_empty()),
            other => panic!("{other:?}"),
        }
        let (root, _) = world.lookup(0, &own).expect("it comes back");
        assert_eq!(root, world.nodes[0].me);
    }
}
