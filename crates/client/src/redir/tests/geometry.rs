//! Which node and cell an id is in, and under which key: exhaustively for small branching factors, and against numbers
//! made by another program.

use std::collections::BTreeSet;

use crate::Key;
use crate::redir::tests::{Draw, beside};
use crate::redir::{BRANCHING_MAX, BinaryTree, Endpoint, Form, Levels, Tree, TreeNode};

fn tree(branching: u16) -> Tree {
    Tree::new(b"printers", branching, Form::Native).expect("within bounds")
}

/// The number of a partition, which is small here.
fn number(node: &TreeNode) -> u64 {
    assert!(node.partition[..12].iter().all(|byte| *byte == 0));
    u64::from_be_bytes(node.partition[12..].try_into().expect("eight bytes"))
}

/// The id that is `part` of 4096 parts of the circle.
fn part(part: u64) -> Key {
    let mut id = Key([0; 20]);
    id.0[..2].copy_from_slice(&((part << 4) as u16).to_be_bytes());
    id
}

#[test]
fn nodes_and_cells_are_the_digits_of_the_id_in_base_b() {
    for branching in 2..=16u16 {
        let (tree, b) = (tree(branching), u64::from(branching));
        for i in 0..4096 {
            let mut nodes = 1;
            let (mut node, mut cell) = tree.place(0, &part(i));
            for level in 0..6 {
                // floor(id * b^level / 2^160), of which the lowest 148 bits are zero.
                assert_eq!(number(&node), i * nodes / 4096, "b {b}, level {level}, part {i}");
                assert_eq!(u64::from(cell), i * nodes * b / 4096 - b * (i * nodes / 4096));
                assert_eq!(node.level, level);
                let below = tree.place(level + 1, &part(i));
                assert_eq!(tree.child(&node, cell), Some(below.0));
                (node, cell) = below;
                nodes *= b;
            }
        }
    }
}

#[test]
fn a_tree_ends_where_cells_are_about_one_id_wide() {
    for (branching, levels) in [(2, 160), (10, 48), (16, 40), (256, 20)] {
        assert_eq!(tree(branching).level_count(), levels);
    }
    for branching in 2..=BRANCHING_MAX {
        let tree = tree(branching);
        let last = tree.level_count() - 1;
        let (lowest, highest) = (Key([0; 20]), Key([0xff; 20]));
        assert_eq!(tree.place(last, &lowest), (TreeNode { level: last, partition: [0; 20] }, 0));
        let (node, cell) = tree.place(last, &highest);
        assert!(tree.child(&node, cell).is_none() && cell < branching);
        assert_eq!(tree.place(last + 7, &highest), (node, cell), "beyond the last is the last");
        assert!(tree.child(&tree.place(0, &lowest).0, branching).is_none(), "no such cell");
    }
    // Where cells are one id wide, neighbours are apart.
    let tree = tree(2);
    let mut draw = Draw(1);
    for id in std::iter::repeat_with(|| draw.key()).take(100) {
        assert_ne!(tree.place(159, &id), tree.place(159, &beside(&id, true)));
    }
}

#[test]
fn partitions_keep_the_order_of_ids() {
    let mut draw = Draw(2);
    let mut ids: Vec<Key> = std::iter::repeat_with(|| draw.key()).take(300).collect();
    ids.sort();
    for branching in [2, 3, 10, 100, 256] {
        for level in [0, 1, 5, 13] {
            let places: Vec<(TreeNode, u16)> =
                ids.iter().map(|id| tree(branching).place(level, id)).collect();
            assert!(places.is_sorted());
        }
    }
}

#[test]
fn keys_are_those_of_the_document() {
    let id = Key::text("third floor");
    let classic = Tree::new(b"printers", 10, Form::Classic).expect("within bounds");
    for (level, native, redirpp) in [
        (0, "d975d252a762d5c5a8efa77ee40609f928b9e475", "3a83c271105bb352b68e8124d3ecb27b6c28a688"),
        (2, "6ad3bf0fa3329ea1fc9f2fd6e37978a45be74301", "9bc868a1c8c187211541b78f1c09fa2292ff77c8"),
        (7, "b3d3c3efb86e0f72e143b9f659f21cf1d2b0711e", "28f248f53817ee7631b39c113f4654d6a8b3a086"),
        (47, "857ded046c6a599061d8fb5ade279463c3f998d8", "dd66a2b632c9a4a892f655facb0cbb618b6de853"),
    ] {
        assert_eq!(tree(10).key(&tree(10).place(level, &id).0).to_string(), native);
        assert_eq!(classic.key(&classic.place(level, &id).0).to_string(), redirpp);
    }
    let binary = BinaryTree::new(b"printers", 32).expect("within bounds");
    for (level, key) in [
        (0, "e62ac125a84929f608cec77374e660266caf1164"),
        (1, "f3156092d42494fb046763b9ba733013365788b2"),
        (5, "d73156092d42494fb046763b9ba733013365788b"),
        (8, "d0e62ac125a84929f608cec77374e660266caf11"),
        (13, "d08f3156092d42494fb046763b9ba73301336578"),
        (31, "d08b3cb7cc55824b509253ec119d8ee6e9ccc04c"),
    ] {
        assert_eq!(binary.key(level, &binary.partition(level, &id)).to_string(), key);
    }
}

#[test]
fn every_node_of_every_tree_has_a_key_of_its_own() {
    let mut keys = BTreeSet::new();
    let mut nodes = 0;
    for namespace in [&b"a"[..], b"ab", b"b"] {
        for branching in [2u16, 3, 10] {
            let tree = Tree::new(namespace, branching, Form::Native).expect("within bounds");
            let (root, _) = tree.place(0, &Key([0; 20]));
            let mut open = vec![root];
            while let Some(node) = open.pop() {
                nodes += 1;
                assert!(keys.insert(tree.key(&node)));
                if node.level < 3 {
                    open.extend((0..branching).filter_map(|cell| tree.child(&node, cell)));
                }
            }
        }
    }
    assert_eq!(keys.len(), nodes);
}

#[test]
fn entries_are_said_and_read_back() {
    let id = Key::text("third floor");
    let member = Form::Native.endpoint(Some(id), "192.0.2.7:5900").expect("an address");
    let bytes = Form::Native.encode(&member).expect("it can be said");
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "6b777231d08b3cb7a6e5904fd0938f5d6c7421954c4753fb000e3139322e302e322e373a35393030");
    assert_eq!(Form::Native.decode(&bytes), Some(member));
    let classic = Form::Classic.endpoint(None, "192.0.2.7:5900").expect("an address");
    assert_eq!(classic.id().to_string(), "4f3073ea635e994d41ab9af04e0af2dfc190a244");
    let bytes = Form::Classic.encode(&classic).expect("it can be said");
    assert_eq!(&bytes[..], [192, 0, 2, 7, 23, 12]);
    assert_eq!(Form::Classic.decode(&bytes), Some(classic));

    for address in ["host.example:1", "[2001:db8::1]:65535", "a_b-c:80"] {
        let member = Endpoint::new(id, address).expect("an address");
        let bytes = Form::Native.encode(&member).expect("it can be said");
        assert_eq!(Form::Native.decode(&bytes), Some(member));
    }
    assert!(Form::Classic.endpoint(None, "host.example:1").is_err(), "no IPv4 address");
    assert!(Form::Classic.endpoint(Some(id), "192.0.2.7:5900").is_err(), "another id than the address's");
}

#[test]
fn what_is_no_address_is_none() {
    let long = format!("{}:1", "a".repeat(254));
    for address in [
        "",
        ":",
        "host",
        "host:",
        ":80",
        "host:0",
        "host:65536",
        "host:+5",
        "host:05",
        "two words:5",
        "::1:80",
        "[::1:80",
        "[zz]:80",
        "[]:80",
        "a/b:80",
        "a@b:80",
        "tab\t:1",
        "über:1",
        "esc\x1b[2J:1",
        &long,
    ] {
        assert!(Endpoint::new(Key([0; 20]), address).is_err(), "{address:?}");
    }
}

#[test]
fn what_is_no_entry_is_none() {
    let member = Endpoint::new(Key([7; 20]), "host.example:5900").expect("an address");
    let good = Form::Native.encode(&member).expect("it can be said").to_vec();
    for length in 0..good.len() {
        assert_eq!(Form::Native.decode(&good[..length]), None, "cut at {length}");
    }
    assert_eq!(Form::Native.decode(&[&good[..], b"x"].concat()), None, "too long");
    for at in [0, 3, 24, 25] {
        let mut bad = good.clone();
        bad[at] ^= 0x55;
        assert_eq!(Form::Native.decode(&bad), None, "byte {at}");
    }
    let mut bad = good.clone();
    bad[30] = 0xff;
    assert_eq!(Form::Native.decode(&bad), None, "not text");
    for bytes in [&[][..], &[1; 5], &[1; 7], &[192, 0, 2, 7, 0, 0]] {
        assert_eq!(Form::Classic.decode(bytes), None, "{bytes:?}");
    }
}

#[test]
fn settings_out_of_bounds_are_refused() {
    for (namespace, branching) in [(&b""[..], 10), (&[b'x'; 256], 10), (b"n", 1), (b"n", 257)] {
        assert!(Tree::new(namespace, branching, Form::Native).is_err());
    }
    for levels in [0, 33] {
        assert!(BinaryTree::new(b"n", levels).is_err());
    }
}

#[test]
fn walks_begin_at_the_mode_of_the_last_sixteen() {
    let mut levels = Levels::new();
    assert_eq!(levels.start(), 2, "nothing is known");
    levels.note(5);
    assert_eq!(levels.start(), 5);
    levels.note(3);
    assert_eq!(levels.start(), 3, "of two equally frequent the latest");
    levels.note(5);
    assert_eq!(levels.start(), 5);
    for _ in 0..14 {
        levels.note(4);
    }
    assert_eq!(levels.start(), 4);
    for level in [1, 1, 1, 1, 1, 1, 1, 1] {
        levels.note(level);
    }
    assert_eq!(levels.start(), 1, "the last sixteen are eight times 4 and eight times 1");
}
