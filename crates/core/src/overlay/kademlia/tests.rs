//! Kademlia against full scans, and the sentences of its paper that matter, by section of the preprint.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::table::{Change, SPARES_MAX, Table};
use super::*;
use crate::lookup::{self, HopAnswer, Lookup, Step};
use crate::overlay::harness::{World, conformance, everyone_shares, grown, shares_law, survives_mischief};
use crate::peer::Addr;
use crate::rng::Rng;
use crate::time::{Mono, Now};

/// Rounds short enough for the patience of the conformance stories.
fn config() -> Config {
    Config { round_ms: 2_000, refresh_ms: 2_000, ..Config::default() }
}

/// The root by a full scan.
fn xor_root(everyone: &[Peer], key: &Id) -> Peer {
    everyone.iter().min_by_key(|p| xor::rank(key, p.id())).expect("somebody").clone()
}

fn peer(id: Id, n: u32) -> Peer {
    Peer::new(id, Addr::simulated(n))
}

fn crowd(rng: &mut Rng, n: u32) -> Vec<Peer> {
    let mut all: Vec<Peer> = (0..n).map(|i| peer(rng.id(), i)).collect();
    all.sort_unstable();
    all
}

fn settled(me: &Peer, everyone: &[Peer], config: Config) -> Kademlia {
    let mut node = Kademlia::new(me.clone(), config);
    let (mut rng, mut effects) = (Rng::from_u64(1), Vec::new());
    node.settle(&mut Cx::new(Now::default(), &mut rng, &mut effects), everyone);
    node.check().expect("a settled node keeps its rules");
    node
}

/// The members of the neighborhood of `me`, by the rule of `table` word for word.
fn neighborhood(me: &Id, everyone: &[Peer], least: usize) -> Vec<Peer> {
    let mut tree: Vec<Peer> = everyone.to_vec();
    for depth in 0..160 {
        let (own, other): (Vec<Peer>, Vec<Peer>) =
            tree.iter().cloned().partition(|p| xor::bit(p.id(), depth) == xor::bit(me, depth));
        if own.len() < least || other.len() < least {
            return tree;
        }
        tree = own;
    }
    tree
}

#[test]
fn it_conforms() {
    conformance::<Kademlia>(&config(), xor_root);
}

#[test]
fn garbage_does_no_lasting_harm() {
    for seed in 0..5 {
        survives_mischief::<Kademlia>(seed, &config(), 10);
    }
}

#[test]
fn neighborhoods_divide_the_members_and_everyone_knows_its_own() {
    let mut rng = Rng::from_u64(7);
    for n in [1, 2, 7, 15, 16, 17, 40, 100, 300] {
        let everyone = crowd(&mut rng, n);
        for me in &everyone {
            let node = settled(me, &everyone, Config::default());
            let mut known: Vec<Peer> = node.table.group().cloned().chain([me.clone()]).collect();
            known.sort_unstable();
            let truth = neighborhood(me.id(), &everyone, 8);
            assert_eq!(known, truth, "{n} members");
            let next = node.table.group().min_by_key(|p| p.id().wrapping_sub(me.id()));
            assert_eq!(node.table.next(), next, "the first clockwise");
            assert!(truth.len() >= 8.min(n as usize));
            // All of them see the same one.
            for other in &truth {
                assert_eq!(neighborhood(other.id(), &everyone, 8), truth);
            }
        }
    }
}

/// Section 2.2: "a list of [contacts] for nodes of distance between 2^i and 2^(i+1) from itself"; it "can grow to size k".
#[test]
fn buckets_hold_up_to_k_contacts_of_their_distance() {
    let mut rng = Rng::from_u64(8);
    let everyone = crowd(&mut rng, 500);
    for me in everyone.iter().step_by(17) {
        let node = settled(me, &everyone, Config::default());
        for bucket in 0..node.table.depth() {
            let truth = everyone.iter().filter(|p| xor::bucket(me.id(), p.id()) == Some(bucket)).count();
            assert_eq!(node.table.count(bucket), truth.min(20));
        }
        assert!(node.table.depth() >= 3);
    }
}

#[test]
fn placement_and_shares_equal_a_full_scan() {
    let mut rng = Rng::from_u64(9);
    for n in [1, 2, 3, 5, 9, 20, 60, 200] {
        let everyone = crowd(&mut rng, n);
        for me in everyone.iter().step_by(1 + n as usize / 12) {
            let node = settled(me, &everyone, Config::default());
            shares_law(&node, me, &mut rng);
            for _ in 0..60 {
                let key = rng.id();
                let mut truth = everyone.clone();
                truth.sort_by_key(|p| xor::rank(&key, p.id()));
                for copies in [1, 3, 8] {
                    let truth: Vec<Peer> = truth.iter().take(copies).cloned().collect();
                    let set = node.replica_set(&key, copies);
                    assert!(set.is_empty() || set == truth, "{n} members");
                    assert!(!set.is_empty() || !truth.contains(me));
                    let share = node.shares(copies).into_iter().find(|s| s.arc.contains(&key));
                    assert_eq!(share.map(|s| s.peers), Some(truth).filter(|t| t.contains(me)));
                }
            }
        }
    }
}

/// Members come and go, return elsewhere, and the neighborhood is divided and joined: what is said to be as it was, is.
#[test]
fn a_change_says_which_shares_it_leaves_alone() {
    let mut rng = Rng::from_u64(12);
    let (mut spared, mut moved) = (0, 0);
    for _ in 0..60 {
        let me = peer(rng.id(), 0);
        let mut table = Table::new(me.clone(), 20, 4);
        let others = crowd(&mut rng, 24);
        let shares = |table: &Table| (1..9).map(|n| shares::shares(table, n)).collect::<Vec<_>>();
        for step in 0..120u64 {
            let before = shares(&table);
            let who = &others[rng.below(24) as usize];
            let change = if rng.chance(0.7) {
                let moved = peer(*who.id(), 100 + rng.below(2) as u32);
                table.insert(&moved, Mono(step))
            } else {
                let known = table.find(who.id()).cloned();
                known.map_or(Change::None, |known| table.remove(&known))
            };
            table.check().expect("a table keeps its rules");
            let after = shares(&table);
            let Change::Group { from } = change else {
                assert_eq!(before, after, "{change:?}");
                continue;
            };
            for n in 1..9 {
                assert!(n >= from || before[n - 1] == after[n - 1], "{n} copies, {change:?}");
                spared += usize::from(n < from);
                moved += usize::from(before[n - 1] != after[n - 1]);
            }
        }
    }
    assert!(spared > 1_000 && moved > 1_000, "{spared} spared, {moved} moved");
}

#[test]
fn shares_are_few_even_between_twins() {
    let mut rng = Rng::from_u64(10);
    let mut everyone = crowd(&mut rng, 300);
    let mut most = 0;
    let mut sum = 0;
    for me in &everyone {
        let count = settled(me, &everyone, Config::default()).shares(3).len();
        sum += count;
        most = most.max(count);
    }
    assert!(sum / 300 < 30 && most < 120, "{} on average, {most} at most", sum / 300);
    // Two members that share 150 bits: pure XOR would cut the empty half beside them into 2^140 pieces.
    let twin = peer(everyone[0].id().xor(&Id::from_u64(1 << 9)), 1_000);
    everyone.push(twin.clone());
    everyone.sort_unstable();
    let node = settled(&twin, &everyone, Config::default());
    assert!(node.shares(3).len() < 3_000);
    shares_law(&node, &twin, &mut rng);
}

#[test]
fn next_hop_is_the_root_or_nearer_to_it() {
    let mut rng = Rng::from_u64(11);
    let everyone = crowd(&mut rng, 200);
    for me in everyone.iter().step_by(9) {
        let node = settled(me, &everyone, Config::default());
        for _ in 0..100 {
            let key = rng.id();
            let root = xor_root(&everyone, &key);
            match node.next_hop(&key) {
                Hop::Root => assert_eq!(root, *me),
                Hop::RootIs(peer) => assert_eq!(root, peer),
                Hop::Next(peers) => {
                    let own = xor::common(me.id(), &key);
                    assert!(!peers.is_empty() && peers.iter().all(|p| xor::common(p.id(), &key) > own));
                    assert!(peers.is_sorted_by_key(|p| Kademlia::distance(&key, p)));
                }
                Hop::Stuck => panic!("a member knows a way"),
            }
        }
    }
}

/// Section 3: a lookup takes at most about log n steps, each at least a bit nearer.
#[test]
fn lookups_are_short() {
    let mut world = World::<Kademlia>::settled(3, Config::default(), 400);
    for i in 0..200 {
        let key = world.draw().id();
        let (_, hops) = world.lookup(i % 400, &key).expect("a settled world answers");
        assert!(hops <= 6, "{hops}");
    }
    assert_eq!(world.wrong_lookup(200, xor_root), None);
}

fn table_with(bucket_of: usize, count: u8, k: usize) -> (Table, Vec<Peer>) {
    // Node zero; the first `count` peers are all in bucket `bucket_of`, a dozen more are nearer.
    let mut table = Table::new(peer(Id::ZERO, 0), k, 2);
    for i in 0..12u32 {
        table.insert(&peer(Id::from_u64(1 + u64::from(i)), 100 + i), Mono(0));
    }
    let mut far = Vec::new();
    for i in 0..count {
        let mut id = Id::pow2(159 - bucket_of);
        id.0[19] = i;
        far.push(peer(id, u32::from(i) + 1));
        table.insert(&far[usize::from(i)], Mono(1_000_000 * (1 + u64::from(i))));
        table.check().expect("the table keeps its rules");
    }
    (table, far)
}

/// Section 2.2: "each k-bucket is kept sorted by time last seen: least-recently seen node at the head".
#[test]
fn the_head_is_the_least_recently_seen() {
    let (mut table, far) = table_with(0, 5, 5);
    assert_eq!(table.head(0), Some(&far[0]));
    assert_eq!(table.insert(&far[0], Mono(90_000_000)), Change::None, "it moves to the tail");
    assert_eq!(table.head(0), Some(&far[1]));
    assert_eq!(table.freshest(0, 2).collect::<Vec<_>>(), [&far[0], &far[4]]);
}

#[test]
fn what_was_seen_is_told_apart_however_long_a_node_lives() {
    let (mut table, far) = table_with(0, 5, 5);
    for step in 1..400u64 {
        // Every half hour one of four speaks; the fifth stays silent and is the head, also when the epoch moves under it.
        let who = 1 + (step % 4) as usize;
        assert_eq!(table.insert(&far[who], Mono(step * 1_800_000_000)), Change::None);
        if step > 4 {
            assert_eq!(table.head(0), Some(&far[0]), "step {step}");
            let order: Vec<&Peer> = (0..4).map(|back| &far[1 + ((step - back) % 4) as usize]).collect();
            assert_eq!(table.freshest(0, 4).collect::<Vec<_>>(), order, "step {step}");
        }
    }
}

/// Section 2.2: "if the appropriate k-bucket is full ... [and the head responds], the new contact is discarded"; 4.1: kept in a
/// replacement cache.
#[test]
fn a_full_bucket_takes_nobody_in_but_remembers_the_newest() {
    let (mut table, far) = table_with(0, 40, 20);
    assert_eq!(table.count(0), 20);
    assert!(far[..20].iter().all(|p| table.has(p)), "old contacts stay");
    assert_eq!(table.spares(), &far[40 - SPARES_MAX..], "the last to come wait");
    assert_eq!(table.take_spare(0), Some(far[39].clone()), "the most recently seen is the first to be used");
    assert_eq!(table.take_spare(1), None);
    table.remove(&far[3]);
    assert_eq!(table.insert(&far[25], Mono(99_000_000)), Change::Far, "there is room now");
}

/// A member that shares its first bit with nobody it knows of, driven by hand.
struct Hand {
    node: Kademlia,
    rng: Rng,
    now: Mono,
    far: Vec<Peer>,
}

impl Hand {
    fn new() -> Hand {
        let mut rng = Rng::from_u64(5);
        let everyone = crowd(&mut rng, 200);
        let node = settled(&everyone[0], &everyone, Config::default());
        let far = everyone[1..].iter().filter(|p| xor::bucket(everyone[0].id(), p.id()) == Some(0)).cloned();
        Hand { far: far.collect(), node, rng, now: Mono(1_000_000) }
    }

    fn give(&mut self, input: Input<Kademlia>) -> Vec<crate::cx::Effect<Kademlia>> {
        let mut effects = Vec::new();
        let now = Now { mono: self.now, ..Now::default() };
        self.node.handle(&mut Cx::new(now, &mut self.rng, &mut effects), input);
        self.node.check().expect("rules hold");
        effects
    }

    fn strangers(&self) -> Vec<Peer> {
        self.far.iter().filter(|p| !self.node.table.has(p)).cloned().collect()
    }
}

/// Section 2.2, again, in the protocol: a stranger's message does not push out the head; only the head's silence does.
#[test]
fn a_head_is_evicted_only_after_a_failed_request() {
    let mut hand = Hand::new();
    let strangers = hand.strangers();
    let head = hand.node.table.head(0).expect("a full bucket").clone();
    for stranger in &strangers[..3] {
        let msg = Msg::Find { target: Id::ZERO, max: 1, member: true };
        hand.give(Input::Message {
            from: stranger.clone(),
            ticket: Some(Ticket::new(stranger.addr(), 1)),
            msg,
        });
        assert!(!hand.node.table.has(stranger));
    }
    assert!(hand.node.table.has(&head));
    // One lost call of another layer is a reason to look, not to believe.
    let effects = hand.give(Input::Suspect(head.clone()));
    assert!(hand.node.table.has(&head));
    let ping = Msg::Ping { member: true };
    assert!(effects.contains(&crate::cx::Effect::Call(
        head.clone(),
        ping.clone(),
        Call::Ping { quiet: false }
    )));
    let effects = hand.give(Input::NoAnswer { why: Call::Ping { quiet: false }, peer: head.clone() });
    assert!(!hand.node.table.has(&head), "now it is gone");
    // The spare that came last is asked first, and enters when it has answered.
    let spare = strangers[2].clone();
    assert!(effects.contains(&crate::cx::Effect::Call(spare.clone(), ping, Call::Ping { quiet: true })));
    assert!(!hand.node.table.has(&spare));
    hand.give(Input::Answer { why: Call::Ping { quiet: true }, from: spare.clone(), msg: Msg::Pong });
    assert!(hand.node.table.has(&spare));
}

/// A peer that answers "busy" lives: it stays, nobody is told to suspect it, and it is asked again.
#[test]
fn who_is_busy_is_not_evicted() {
    let mut hand = Hand::new();
    let told = |effects: &[crate::cx::Effect<Kademlia>]| {
        effects.iter().any(|effect| matches!(effect, crate::cx::Effect::Tell(_, Msg::Suspect(_))))
    };
    let called = |effects: Vec<crate::cx::Effect<Kademlia>>| {
        let mut calls = effects.into_iter().filter_map(|effect| match effect {
            crate::cx::Effect::Call(to, _, why) => Some((to, why)),
            _ => None,
        });
        calls.next()
    };
    let head = hand.node.table.head(0).expect("a full bucket").clone();
    let mut heads = BTreeSet::new();
    // As many as may be under way, so that one that never ended would be missed.
    for _ in 0..100 {
        let round = called(hand.give(Input::Timer(Timer::Round))).expect("a round");
        let refresh = called(hand.give(Input::Timer(Timer::Refresh))).expect("a refresh");
        let refreshed = *refresh.0.id();
        let ping = called(hand.give(Input::Suspect(head.clone()))).expect("a ping");
        for (peer, why) in [round, refresh, ping] {
            let effects = hand.give(Input::Busy { why, peer: peer.clone() });
            assert!(hand.node.table.has(&peer) && !told(&effects), "{effects:?}");
        }
        heads.insert(refreshed);
        hand.now = hand.now + Duration::from_secs(1);
    }
    assert!(heads.len() > 20, "a busy head has been seen, and the others have their turn: {}", heads.len());
    // Silence is another thing.
    let (mate, why) = called(hand.give(Input::Timer(Timer::Round))).expect("a round");
    assert!(told(&hand.give(Input::NoAnswer { why, peer: mate.clone() })) && !hand.node.table.has(&mate));
}

/// A bucket that has become thin is filled from its spares one after another, until one of them lives.
#[test]
fn a_silent_spare_is_followed_by_the_next_where_the_bucket_is_thin() {
    let mut hand = Hand::new();
    let strangers = hand.strangers();
    strangers[..3].iter().for_each(|spare| hand.node.table.add_spare(spare));
    let pinged = |effects: &[crate::cx::Effect<Kademlia>]| {
        effects.iter().find_map(|effect| match effect {
            crate::cx::Effect::Call(to, _, Call::Ping { quiet: true }) => Some(to.clone()),
            _ => None,
        })
    };
    while hand.node.table.count(0) > usize::from(hand.node.config.neighbors) + 1 {
        let gone = hand.node.table.head(0).expect("somebody").clone();
        hand.node.table.remove(&gone);
    }
    let gone = hand.node.table.head(0).expect("somebody").clone();
    let mut effects = hand.give(Input::NoAnswer { why: Call::Refresh, peer: gone });
    for expected in strangers[..3].iter().rev() {
        assert_eq!(pinged(&effects).as_ref(), Some(expected));
        let why = Call::Ping { quiet: true };
        effects = hand.give(Input::NoAnswer { why, peer: expected.clone() });
    }
    // Nobody waits any more: those that are left are asked for others, soon.
    let soon = Duration::from_millis(400);
    let armed = |effect: &crate::cx::Effect<Kademlia>| matches!(effect, crate::cx::Effect::Arm(Timer::Refresh, after) if *after <= soon);
    assert!(pinged(&effects).is_none() && effects.iter().any(armed), "{effects:?}");
}

/// Where no ping can be sent a spare stays what it is.
#[test]
fn a_spare_is_not_taken_out_in_vain() {
    let mut hand = Hand::new();
    let spare = hand.strangers()[0].clone();
    while hand.node.table.count(0) > 15 {
        let gone = hand.node.table.head(0).expect("somebody").clone();
        hand.node.table.remove(&gone);
    }
    hand.node.table.add_spare(&spare);
    let near = *hand.node.table.id();
    for n in 0..64 {
        let named = peer(near.xor(&Id::from_u64(1 + n)), 5_000 + n as u32);
        let asked = |effect: &crate::cx::Effect<Kademlia>| matches!(effect, crate::cx::Effect::Call(to, ..) if *to == named);
        assert!(
            hand.give(Input::Heard(named.clone())).iter().any(asked),
            "whoever may be a neighbour is pinged"
        );
    }
    for _ in 0..hand.node.table.depth() {
        hand.give(Input::Timer(Timer::Refresh));
    }
    assert!(hand.node.table.spares().contains(&spare));
}

/// Ids that somebody has chosen: when the other half of a subtree becomes too small and comes in, there is no room for all.
#[test]
fn a_crowded_neighborhood_stays_bounded_when_it_grows_by_a_half() {
    let mut table = Table::new(peer(Id::ZERO, 0), 20, 8);
    let far = |i: u32| peer(Id::pow2(159).wrapping_add(&Id::from_u64(u64::from(i))), 1_000 + i);
    for i in 0..8 {
        table.insert(&far(i), Mono(0));
    }
    // Nobody in the buckets between: they could be divided.
    for i in 0..300 {
        table.insert(&peer(Id::from_u64(1 + u64::from(i)), i), Mono(0));
    }
    table.check().expect("the table keeps its rules");
    let before = table.group().len();
    assert!(table.depth() > 0 && before <= table::GROUP_MAX, "{before} in the neighborhood");
    table.remove(&far(3));
    table.check().expect("and keeps them");
    assert!(table.group().len() <= table::GROUP_MAX);
    assert!((0..8).filter(|i| *i != 3).all(|i| table.has(&far(i))), "of the other half nobody had to go");
}

/// Whoever was compared with answers from where it is now: that comparison is over, and the next round makes another.
#[test]
fn an_answer_from_another_address_ends_a_round() {
    let mut hand = Hand::new();
    let asked = |effects: Vec<crate::cx::Effect<Kademlia>>| {
        effects.into_iter().find_map(|effect| match effect {
            crate::cx::Effect::Call(to, _, why @ Call::Compare { .. }) => Some((to, why)),
            _ => None,
        })
    };
    let (mate, why) = asked(hand.give(Input::Timer(Timer::Round))).expect("a round");
    assert!(asked(hand.give(Input::Timer(Timer::Round))).is_none(), "one at a time");
    hand.give(Input::Answer { why, from: peer(*mate.id(), 5_000), msg: Msg::Same });
    assert!(asked(hand.give(Input::Timer(Timer::Round))).is_some());
}

#[test]
fn nobody_is_believed_about_a_third() {
    let mut hand = Hand::new();
    let strangers = hand.strangers();
    let mate = hand.node.table.group().next().expect("a neighbour").clone();
    let before = hand.node.table.clone();
    let liar = peer(mate.id().xor(&Id::from_u64(1)), 4_000);
    hand.give(Input::Answer {
        why: Call::Refresh,
        from: mate.clone(),
        msg: Msg::Nodes { peers: strangers.clone() },
    });
    let len = hand.node.table.depth() as u8;
    let peers = vec![liar.clone()];
    hand.give(Input::Answer { why: Call::Compare { len }, from: mate.clone(), msg: Msg::Group { peers } });
    hand.give(Input::Message { from: mate, ticket: None, msg: Msg::Suspect(strangers[0].clone()) });
    assert_eq!(hand.node.table.all().collect::<Vec<_>>(), before.all().collect::<Vec<_>>());
    // A joiner that asks is no member.
    let joiner = peer(liar.id().xor(&Id::from_u64(2)), 4_001);
    let msg = Msg::Find { target: Id::ZERO, max: 1, member: false };
    hand.give(Input::Message { from: joiner.clone(), ticket: Some(Ticket::new(joiner.addr(), 1)), msg });
    assert!(!hand.node.table.has(&joiner));
}

/// Section 2.3: "For buckets ... no lookup, refresh: pick a random ID in the bucket's range".
#[test]
fn every_bucket_is_refreshed_in_turn_by_an_id_of_its_range() {
    let mut hand = Hand::new();
    let buckets = hand.node.table.depth();
    assert!(buckets >= 3);
    let mut seen = BTreeSet::new();
    for _ in 0..buckets {
        for effect in hand.give(Input::Timer(Timer::Refresh)) {
            if let crate::cx::Effect::Call(to, Msg::Find { target, .. }, Call::Refresh) = effect {
                let bucket = xor::bucket(hand.node.table.id(), &target).expect("not ourselves");
                assert_eq!(xor::bucket(hand.node.table.id(), to.id()), Some(bucket));
                assert_eq!(hand.node.table.head(bucket), Some(&to));
                seen.insert(bucket);
            }
        }
    }
    assert_eq!(seen.len(), buckets);
}

#[test]
fn a_crowd_joins_and_splits_into_neighborhoods_and_shrinks_again() {
    let mut world = grown::<Kademlia>(12, &config(), 60);
    world.run(Duration::from_secs(120));
    let whole = |world: &World<Kademlia>| {
        let everyone = world.members_in_order();
        world.alive().find_map(|i| {
            let node = &world.nodes[i];
            let mut known: Vec<Peer> = node.overlay.table.group().cloned().chain([node.me.clone()]).collect();
            known.sort_unstable();
            let truth = neighborhood(node.me.id(), &everyone, 8);
            (known != truth).then(|| alloc::format!("n{i} knows {known:?}, not {truth:?}"))
        })
    };
    assert_eq!(whole(&world), None);
    assert_eq!(world.wrong_lookup(200, xor_root), None);
    everyone_shares(&mut world);
    for i in (0..60).step_by(2) {
        world.crash(i);
    }
    world.run(Duration::from_secs(200));
    assert_eq!(whole(&world), None);
    assert_eq!(world.wrong_lookup(200, xor_root), None);
}

#[test]
fn split_networks_are_one_ten_rounds_after_the_heal() {
    for (n, minority) in [(2, 1), (6, 3), (20, 10), (20, 2), (50, 25), (50, 1)] {
        let mut world = World::<Kademlia>::settled(n as u64, config(), n);
        world.cut(|i| u8::from(i < minority));
        world.run(Duration::from_secs(120));
        let everyone = world.members_in_order();
        let one = |w: &World<Kademlia>| {
            w.nodes.iter().all(|node| {
                let truth = neighborhood(node.me.id(), &everyone, 8);
                node.overlay.table.group().len() + 1 == truth.len()
                    && truth.iter().all(|p| *p == node.me || node.overlay.table.has(p))
            })
        };
        assert!(!one(&world), "{n} nodes, {minority} cut off: each part knows its own alone");
        world.heal();
        let end = world.now + Duration::from_millis(10 * 2_000);
        assert!(world.run_until(end, one), "{n} nodes, {minority} cut off");
        assert_eq!(world.wrong_lookup(100, xor_root), None);
    }
}

#[test]
fn a_leaver_is_forgotten_at_once() {
    let mut world = World::<Kademlia>::settled(4, Config::default(), 30);
    let gone = world.nodes[3].me.clone();
    world.leave(3);
    world.run(Duration::from_millis(100));
    assert!(world.alive().all(|i| !world.nodes[i].overlay.table.group().any(|p| *p == gone)));
}

#[test]
fn settings_are_named_in_errors() {
    let parse = |list: &[(&str, u64)]| {
        let list: Vec<(String, u64)> = list.iter().map(|(n, v)| (String::from(*n), *v)).collect();
        Kademlia::configure(&list)
    };
    assert_eq!(parse(&[("k", 16)]), Ok(Config { k: 16, ..Config::default() }));
    assert!(parse(&[("alpha", 0)]).unwrap_err().contains("give 1 to 3"));
    assert!(parse(&[("b", 5)]).unwrap_err().contains("it has k, alpha"));
    assert!(parse(&[("k", 4)]).unwrap_err().contains("neighbors = 8 must be at most half of k = 4"));
    assert!(parse(&[("k", 8), ("neighbors", 4)]).is_ok());
}

/// Looks `target` up over the tables of a settled world in which those of `dead` are silent and nobody has noticed: the set
/// that it ends with, and how many questions were asked. Questions are under way together and end in their order; the dead are slow first.
fn lookup_among_the_dead(
    world: &World<Kademlia>,
    asker: usize,
    target: &Id,
    dead: impl Fn(&Peer) -> bool,
) -> (Option<Vec<Peer>>, usize) {
    let asker = &world.nodes[asker];
    let mut lookup = Lookup::new(*target, 3, true);
    let mut found = lookup.begin(&asker.me, &asker.overlay);
    let mut under_way: VecDeque<(Peer, u8, bool)> = VecDeque::new();
    let mut questions = 0;
    while found.is_none() {
        match lookup.step(&asker.me, |_| false) {
            Step::Ask(peer) => under_way.push_back((peer, 3, false)),
            Step::AskAround(peer) => under_way.push_back((peer, lookup::AROUND, false)),
            Step::Done(set) => found = Some(set),
            Step::AskSelf => lookup.on_own(&asker.me, &asker.overlay),
            Step::Failed => return (None, questions),
            Step::Wait => {
                let (peer, wanted, was_slow) = under_way.pop_front().expect("somebody is waited for");
                questions += usize::from(!was_slow);
                match (dead(&peer), was_slow) {
                    (true, true) => lookup.on_silent(peer.id()),
                    (true, false) => {
                        lookup.on_slow(peer.id());
                        under_way.push_back((peer, wanted, true));
                    }
                    _ => {
                        let node = world.nodes.iter().find(|n| n.me == peer).unwrap();
                        let answer = lookup::answer(&node.overlay, &peer, target, wanted);
                        found = lookup.on_answer::<Kademlia>(&asker.me, &peer, answer);
                    }
                }
            }
        }
    }
    (found, questions)
}

/// The root has just died and nobody has noticed: all name it, it is silent, and the nearest that answers stands in for it.
#[test]
fn a_lookup_of_a_root_that_nobody_knows_to_be_dead_ends_at_the_nearest_that_lives() {
    for seed in 0..10 {
        let world = World::<Kademlia>::settled(seed, Config::default(), 60);
        let dead = world.nodes[1].me.clone();
        let target = *dead.id();
        let (set, questions) = lookup_among_the_dead(&world, 0, &target, |peer| *peer == dead);
        let set = set.expect("somebody lives");
        let living = world.nodes.iter().map(|n| &n.me).filter(|p| **p != dead);
        let nearest = living.min_by_key(|p| p.id().xor(&target)).unwrap();
        assert_eq!(set.first(), Some(nearest), "seed {seed}");
        assert!(!set.contains(&dead), "seed {seed}");
        // Nobody is asked who is farther than the one that stands in.
        assert!(questions <= 8, "seed {seed}: {questions}");
    }
}

/// The whole replica set has died, or a part of it: those who are named are no help, and however many must be heard, the nearest
/// that lives is found.
#[test]
fn a_lookup_among_dead_replicas_ends_at_the_nearest_that_lives() {
    for seed in 0..90 {
        let nearest_heard = [1, 3, 20][seed as usize % 3];
        // With few contacts a bucket, a neighborhood has more members than are named at once.
        let (k, neighbors) = if seed % 2 == 0 { (20, 8) } else { (8, 4) };
        let config = Config { k, neighbors, alpha: 1 + seed as u8 % 2, nearest_heard, ..Config::default() };
        let world = World::<Kademlia>::settled(seed, config, 300);
        let target = Rng::from_u64(seed).id();
        let mut everyone: Vec<&Peer> = world.nodes.iter().map(|n| &n.me).collect();
        everyone.sort_by_key(|p| Kademlia::distance(&target, p));
        for count in 1..=5 {
            let (dead, living) = everyone.split_at(count);
            if dead.contains(&&world.nodes[0].me) {
                break;
            }
            let (set, _) = lookup_among_the_dead(&world, 0, &target, |peer| dead.contains(&peer));
            let set = set.unwrap_or_else(|| panic!("seed {seed}, {count} dead: somebody lives"));
            assert_eq!(set.first(), Some(living[0]), "seed {seed}, {count} dead");
        }
    }
}

/// A whole neighborhood has died, and of the others every second node: the nearest of all that live is found.
#[test]
fn a_lookup_into_a_dead_neighborhood_ends_at_the_nearest_that_lives() {
    for seed in 0..120 {
        let (alpha, nearest_heard) = (1 + seed as u8 % 3, [1, 0, 3, 20][seed as usize % 4]);
        let config = Config { alpha, nearest_heard, ..Config::default() };
        let world = World::<Kademlia>::settled(seed, config, 300);
        let (asker, lost) = (&world.nodes[0].me, &world.nodes[1].overlay.table);
        let mut rng = Rng::from_u64(seed);
        // Half of the time the dead are beside the asker.
        let target = if seed % 2 == 0 {
            rng.id()
        } else {
            asker.id().xor(&Id::pow2(159 - world.nodes[0].overlay.table.depth()))
        };
        let doomed =
            |p: &Peer| lost.is_near(p.id()) || is_odd(p) || xor::common(p.id(), &target) >= lost.depth();
        let dead = |p: &Peer| p != asker && doomed(p);
        let mut living: Vec<&Peer> = world.nodes.iter().map(|n| &n.me).filter(|p| !dead(p)).collect();
        living.sort_by_key(|p| Kademlia::distance(&target, p));
        let (set, questions) = lookup_among_the_dead(&world, 0, &target, dead);
        let set = set.unwrap_or_else(|| panic!("seed {seed}: somebody lives"));
        assert_eq!(set.first(), Some(living[0]), "seed {seed}");
        assert!(set.is_sorted_by_key(|p| Kademlia::distance(&target, p)), "seed {seed}: {set:?}");
        assert!(
            questions <= if nearest_heard < 20 { 48 } else { lookup::ASKED_MAX },
            "seed {seed}: {questions}"
        );
    }
}

/// A lookup by a node of a settled world whose candidates, nearest first, are given.
fn lookup_begun(config: Config) -> (Peer, Lookup, Vec<Peer>) {
    let world = World::<Kademlia>::settled(4, config, 300);
    let node = &world.nodes[0];
    // An id of the other half.
    let target = node.me.id().xor(&Id::pow2(159));
    let Hop::Next(candidates) = node.overlay.next_hop(&target) else { panic!("the root is far") };
    let mut lookup = Lookup::new(target, 3, true);
    assert_eq!(lookup.begin(&node.me, &node.overlay), None);
    (node.me.clone(), lookup, candidates)
}

/// One that names a set of the dead without itself has not told of all who may be nearer: it is asked around, waited for, and
/// nobody who is farther is asked meanwhile.
#[test]
fn who_is_no_replica_itself_stands_in_only_after_it_was_asked_around() {
    let (me, mut lookup, candidates) = lookup_begun(Config { alpha: 3, ..Config::default() });
    let dead: Vec<Peer> = (1..4)
        .map(|i| Peer::new(lookup.target().xor(&Id::from_u64(i)), Addr::simulated(5_000 + i as u32)))
        .collect();
    for candidate in &candidates[..3] {
        assert_eq!(lookup.step(&me, |_| false), Step::Ask(candidate.clone()));
    }
    for (i, candidate) in candidates[..3].iter().enumerate() {
        let answer = if i == 0 { HopAnswer::Root(dead.clone()) } else { HopAnswer::Next(Vec::new()) };
        assert_eq!(lookup.on_answer::<Kademlia>(&me, candidate, answer), None);
    }
    for peer in &dead {
        assert_eq!(lookup.step(&me, |_| false), Step::Ask(peer.clone()));
        lookup.on_silent(peer.id());
    }
    assert_eq!(lookup.step(&me, |_| false), Step::AskAround(candidates[0].clone()));
    assert_eq!(lookup.step(&me, |_| false), Step::Wait);
    let all = Around { nearer: Vec::new(), heirs: [&dead[..], &candidates[..1]].concat() };
    assert_eq!(lookup.on_answer::<Kademlia>(&me, &candidates[0], HopAnswer::Around(all)), None);
    let Step::Done(set) = lookup.step(&me, |_| false) else { panic!("everybody nearer is silent") };
    assert_eq!(set, candidates[..3]);
}

/// Those who must be heard are the nearest that are not silent.
#[test]
fn a_silent_node_takes_no_place_of_those_who_must_be_heard() {
    let (me, mut lookup, candidates) =
        lookup_begun(Config { alpha: 1, nearest_heard: 3, ..Config::default() });
    assert_eq!(lookup.step(&me, |_| false), Step::Ask(candidates[0].clone()));
    lookup.on_silent(candidates[0].id());
    let set = vec![candidates[1].clone()];
    for (i, answer) in [(1, HopAnswer::Root(set.clone())), (2, HopAnswer::Next(Vec::new()))] {
        assert_eq!(lookup.step(&me, |_| false), Step::Ask(candidates[i].clone()));
        assert_eq!(lookup.on_answer::<Kademlia>(&me, &candidates[i], answer), None);
    }
    assert_eq!(lookup.step(&me, |_| false), Step::Ask(candidates[3].clone()));
    let last = lookup.on_answer::<Kademlia>(&me, &candidates[3], HopAnswer::Next(Vec::new()));
    assert_eq!((last, lookup.step(&me, |_| false)), (None, Step::Done(set)));
}

/// Nobody answers: the asker is cut off, and calls nobody the root.
#[test]
fn a_lookup_that_nobody_answers_fails() {
    let world = World::<Kademlia>::settled(1, Config::default(), 60);
    let mut rng = Rng::from_u64(1);
    for _ in 0..50 {
        let (set, questions) = lookup_among_the_dead(&world, 0, &rng.id(), |_| true);
        assert!(set.is_none() || questions == 0, "{set:?}");
    }
}

/// Every second one, by the last bit of its id.
fn is_odd(peer: &Peer) -> bool {
    peer.id().as_bytes()[19] & 1 == 1
}
