//! Registrations and lookups: after a few rounds every lookup finds the true successor, whoever else puts what.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use crate::Key;
use crate::redir::tests::{Draw, Store, beside};
use crate::redir::{
    BinaryList, BinaryLookup, BinaryRegister, BinaryTree, Endpoint, Form, LEVEL_FIRST, LIST_GETS_MAX, Levels,
    List, Lookup, Refresh, Register, Tree,
};

const TTL: Duration = Duration::from_secs(60);
const EVERY: u64 = 30;

/// The member whose id is the first at or after the key, once round the circle.
fn truth(members: &BTreeSet<Endpoint>, key: &Key) -> Option<Endpoint> {
    members.iter().find(|member| member.id() >= key).or_else(|| members.first()).cloned()
}

/// Members that register again and again.
struct Crowd {
    tree: Tree,
    store: Store,
    members: Vec<(Endpoint, u16)>,
}

impl Crowd {
    fn new(branching: u16, ids: impl IntoIterator<Item = Key>) -> Crowd {
        let tree = Tree::new(b"crowd", branching, Form::Native).expect("within bounds");
        let members = ids.into_iter().enumerate().map(|(at, id)| (member(at, id), LEVEL_FIRST)).collect();
        Crowd { tree, store: Store::default(), members }
    }

    /// One registration of everybody, side by side, half of a ttl after the last one.
    fn round(&mut self, seed: u64) {
        self.store.now += EVERY;
        let walk = |(me, start): &(Endpoint, u16)| {
            Register::new(&self.tree, me, Refresh::default(), *start).expect("it can be said")
        };
        let walks = self.members.iter().map(walk).collect();
        let ended = self.store.run_mixed(walks, seed);
        for ((_, start), registered) in self.members.iter_mut().zip(ended) {
            assert!(registered.gets <= 2 * u32::from(self.tree.level_count()) + 1);
            assert!(!registered.placed.is_empty() || registered.puts == 0);
            *start = registered.level;
        }
    }

    fn present(&self) -> BTreeSet<Endpoint> {
        self.members.iter().map(|(me, _)| me.clone()).collect()
    }

    /// Looks up many keys, beginning on each of many levels.
    fn check(&mut self, draw: &mut Draw) -> Result<(), TestCaseError> {
        let present = self.present();
        let mut keys = vec![Key([0; 20]), Key([0xff; 20]), draw.key(), draw.key(), draw.key()];
        keys.extend(present.iter().flat_map(|m| [*m.id(), beside(m.id(), true), beside(m.id(), false)]));
        for key in keys {
            for start in [0, 1, 2, 3, 5, 9, 200] {
                let found = self.store.run(Lookup::new(&self.tree, key, start));
                prop_assert_eq!(
                    &found.successor,
                    &truth(&present, &key),
                    "key {}, from level {}",
                    key,
                    start
                );
                prop_assert!(found.gets <= 2 * u32::from(self.tree.level_count()));
            }
        }
        let listed = self.store.run(List::new(&self.tree, 10_000, LIST_GETS_MAX));
        prop_assert!(listed.complete);
        prop_assert_eq!(listed.members, present.into_iter().collect::<Vec<_>>());
        Ok(())
    }
}

fn member(at: usize, id: Key) -> Endpoint {
    Endpoint::new(id, &format!("host-{at}:{}", at + 1)).expect("an address")
}

/// Ids of which some are neighbours, and some share long prefixes.
fn ids(count: usize, draw: &mut Draw) -> BTreeSet<Key> {
    let mut ids = BTreeSet::new();
    while ids.len() < count {
        let id = draw.key();
        ids.insert(id);
        match draw.below(8) {
            0 => drop(ids.insert(beside(&id, true))),
            1 => {
                let mut near = id;
                near.0[6] ^= draw.next() as u8;
                ids.insert(near);
            }
            _ => {}
        }
    }
    ids
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_lookup_finds_the_successor_once_all_have_registered(
        seed: u64, count in 0usize..60, branching in prop_oneof![Just(2u16), Just(3), Just(10), Just(64)],
    ) {
        let mut draw = Draw(seed);
        let mut crowd = Crowd::new(branching, ids(count, &mut draw));
        for _ in 0..8 {
            crowd.round(draw.next());
        }
        crowd.check(&mut draw)?;
    }

    #[test]
    fn whoever_leaves_is_forgotten_and_whoever_comes_is_found(seed: u64, count in 2usize..50, gone in 1usize..40) {
        let mut draw = Draw(seed);
        let mut crowd = Crowd::new(10, ids(count, &mut draw));
        for _ in 0..4 {
            crowd.round(draw.next());
        }
        crowd.members.truncate(count.saturating_sub(gone).max(1));
        let late = ids(5, &mut draw).into_iter().enumerate();
        crowd.members.extend(late.map(|(at, id)| (member(1_000 + at, id), LEVEL_FIRST)));
        for _ in 0..8 {
            crowd.round(draw.next());
        }
        crowd.check(&mut draw)?;
    }

    #[test]
    fn strangers_values_are_skipped(seed: u64, count in 1usize..30) {
        let mut draw = Draw(seed);
        let mut crowd = Crowd::new(10, ids(count, &mut draw));
        crowd.round(draw.next());
        // Garbage, entries of other nodes, and entries that are too long, under every key that anybody uses; fewer than
        // a get asks for, so that the members' own are still seen.
        let keys: Vec<Key> = crowd.store.values.keys().copied().collect();
        for key in keys {
            for kind in 0..20u64 {
                let far = Form::Native.encode(&member(9, draw.key())).expect("it can be said");
                let value = match kind % 4 {
                    0 => Bytes::from(draw.next().to_be_bytes().repeat(kind as usize)),
                    1 => Bytes::from([&far[..], b"and more"].concat()),
                    2 => far.slice(..far.len() - 1),
                    _ => Bytes::from(vec![b'k'; 60_000]),
                };
                crowd.store.put(key, value, Duration::from_secs(100_000));
            }
        }
        let root = crowd.tree.place(0, &Key([0; 20])).0;
        for _ in 0..5 {
            crowd.round(draw.next());
        }
        crowd.check(&mut draw)?;
        let found = crowd.store.run(Lookup::new(&crowd.tree, draw.key(), 0));
        prop_assert!(found.skipped > 0 || crowd.store.get(&crowd.tree.key(&root), 80).len() <= count);
    }

    #[test]
    fn entries_in_the_wrong_node_are_skipped(seed: u64, count in 2usize..30) {
        let mut draw = Draw(seed);
        let mut crowd = Crowd::new(10, ids(count, &mut draw));
        for _ in 0..4 {
            crowd.round(draw.next());
        }
        // Somebody copies the entry of a member that does not exist into every node that does not enclose it.
        let ghost = member(77, draw.key());
        let entry = Form::Native.encode(&ghost).expect("it can be said");
        let own: Vec<Key> = (0..crowd.tree.level_count())
            .map(|level| crowd.tree.key(&crowd.tree.place(level, ghost.id()).0))
            .collect();
        let keys: Vec<Key> = crowd.store.values.keys().copied().filter(|key| !own.contains(key)).collect();
        for key in keys {
            crowd.store.put(key, entry.clone(), Duration::from_secs(100_000));
        }
        crowd.round(draw.next());
        crowd.check(&mut draw)?;
    }

    #[test]
    fn the_binary_tree_finds_the_successor_too(seed: u64, count in 0usize..60, levels in 1u16..10) {
        let mut draw = Draw(seed);
        let tree = BinaryTree::new(b"crowd", levels).expect("within bounds");
        let addresses: BTreeSet<String> =
            (0..count).map(|_| format!("10.0.{}.{}:{}", draw.below(4), draw.below(256), 1 + draw.below(9))).collect();
        let members: BTreeSet<Endpoint> =
            addresses.iter().map(|a| Form::Classic.endpoint(None, a).expect("an address")).collect();
        let mut store = Store::default();
        for _ in 0..3 {
            store.now += EVERY;
            let walk = |me| BinaryRegister::new(&tree, me, TTL).expect("it can be said");
            store.run_mixed(members.iter().map(walk).collect(), draw.next());
        }
        for key in store.values.keys().copied().collect::<Vec<_>>() {
            store.put(key, Bytes::from_static(b"garbage"), TTL);
            store.put(key, Bytes::from_static(b"\0\0\0\0\0\0"), TTL);
        }
        let ids = members.iter().flat_map(|m| [*m.id(), beside(m.id(), true), beside(m.id(), false)]);
        let keys: Vec<Key> = ids.chain([Key([0; 20]), Key([0xff; 20]), draw.key(), draw.key()]).collect();
        for key in keys {
            let found = store.run(BinaryLookup::new(&tree, key));
            prop_assert_eq!(&found.successor, &truth(&members, &key), "key {}", key);
            prop_assert!(found.gets <= u32::from(levels));
        }
        let listed = store.run(BinaryList::new(&tree, 10_000, LIST_GETS_MAX));
        prop_assert!(listed.complete);
        prop_assert_eq!(listed.members, members.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn one_id_at_two_addresses_is_two_members_and_no_endless_tree() {
    let id = Key::text("twins");
    let mut crowd = Crowd::new(10, [id, id, id]);
    for round in 0..4 {
        crowd.round(round);
    }
    let nodes = crowd.store.values.len();
    assert!(nodes <= 3, "{nodes} nodes for ids that no level can part");
    let found = crowd.store.run(Lookup::new(&crowd.tree, id, 2));
    assert_eq!(found.successor, truth(&crowd.present(), &id));
}

#[test]
fn a_lookup_in_a_large_tree_takes_little_more_than_one_get() {
    let mut draw = Draw(3);
    let mut crowd = Crowd::new(10, ids(2_000, &mut draw));
    for _ in 0..5 {
        crowd.round(draw.next());
    }
    let present = crowd.present();
    let mut levels = Levels::new();
    let mut gets = 0;
    for _ in 0..1_000 {
        let key = draw.key();
        let found = crowd.store.run(Lookup::new(&crowd.tree, key, levels.start()));
        levels.note(found.level);
        gets += found.gets;
        assert_eq!(found.successor, truth(&present, &key));
    }
    assert!(gets < 1_700, "{gets} gets for 1000 lookups");
    let most = crowd.store.values.keys().map(|key| crowd.store.get(key, 10_000).len()).max();
    assert!(most <= Some(40), "{most:?} values in a node at rest, where two a cell are expected");
}

#[test]
fn a_tree_whose_members_leave_becomes_lower_again() {
    let mut draw = Draw(4);
    let mut crowd = Crowd::new(2, ids(200, &mut draw));
    for _ in 0..6 {
        crowd.round(draw.next());
    }
    let height = |crowd: &Crowd| crowd.members.iter().map(|(_, level)| *level).max();
    assert!(height(&crowd) >= Some(7));
    let far_apart = [0x00, 0x40, 0x80, 0xc0].map(|first| {
        let at = crowd.members.iter().position(|(me, _)| me.id().0[0] >= first).expect("one in each quarter");
        crowd.members[at].clone()
    });
    crowd.members = far_apart.to_vec();
    for _ in 0..8 {
        crowd.round(draw.next());
    }
    assert!(height(&crowd) <= Some(2), "{:?}", height(&crowd));
}

#[test]
fn expanding_does_not_keep_the_dead_alive() {
    // Two ids of one cell of the root, apart on level 1.
    let (dead, alive) = (Key([0x01; 20]), Key([0x10; 20]));
    let mut crowd = Crowd::new(10, [dead]);
    crowd.round(1);
    crowd.members = vec![(member(1, alive), LEVEL_FIRST)];
    crowd.round(2);
    let found = crowd.store.run(Lookup::new(&crowd.tree, Key([0; 20]), 1));
    assert_eq!(found.successor.as_ref().map(Endpoint::id), Some(&dead), "it was carried one level down");
    // 60 s after its only registration, and 30 s after it was carried down.
    crowd.store.now += EVERY;
    for start in 0..3 {
        let found = crowd.store.run(Lookup::new(&crowd.tree, Key([0; 20]), start));
        assert_eq!(found.successor.as_ref().map(Endpoint::id), Some(&alive));
    }
}

#[test]
fn the_place_of_the_dead_is_taken_before_their_entries_end() {
    // Three of one cell of the root, whose lowest dies: between the end of its entries and the next registration of the
    // others there must be no time in which the root does not know the second.
    let ids = [Key([0x01; 20]), Key([0x10; 20]), Key([0x11; 20]), Key([0x12; 20])];
    let mut crowd = Crowd::new(10, ids);
    for round in 0..4 {
        crowd.round(round);
    }
    crowd.store.now += 10;
    let dead = crowd.members.remove(0).0;
    crowd.round(5);
    // The dead one's entries have 20 s left, which is less than the others' period.
    let first =
        |crowd: &mut Crowd, level| crowd.store.run(Lookup::new(&crowd.tree, Key([0; 20]), level)).successor;
    assert_eq!(first(&mut crowd, 0), Some(dead));
    crowd.store.now += 25;
    for level in 0..4 {
        assert_eq!(first(&mut crowd, level).as_ref().map(Endpoint::id), Some(&ids[1]), "from level {level}");
    }
}

#[test]
fn an_empty_namespace_has_no_successor() {
    let mut crowd = Crowd::new(10, []);
    let found = crowd.store.run(Lookup::new(&crowd.tree, Key::text("anybody"), 2));
    assert_eq!((found.successor, found.gets), (None, 3));
    let binary = BinaryTree::new(b"crowd", 4).expect("within bounds");
    let found = crowd.store.run(BinaryLookup::new(&binary, Key::text("anybody")));
    assert_eq!((found.successor, found.gets), (None, 4));
}

#[test]
fn a_list_stops_at_its_bounds_and_says_so() {
    let mut draw = Draw(5);
    let mut crowd = Crowd::new(10, ids(100, &mut draw));
    for _ in 0..4 {
        crowd.round(draw.next());
    }
    let listed = crowd.store.run(List::new(&crowd.tree, 20, LIST_GETS_MAX));
    assert!(!listed.complete && listed.members.len() == 20);
    let listed = crowd.store.run(List::new(&crowd.tree, 1_000, 3));
    assert!(!listed.complete && listed.gets == 3);
}
