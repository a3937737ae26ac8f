//! The index: queries against a map, writers side by side, a split that died, strangers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use keyway_client::{Client, PutOptions};
use tokio::task::JoinSet;

use super::pht::index::{Index, Settings};
use super::pht::prefix::{BEGUN, BITS, DONE, Entry, Place, Prefix};
use super::support::{Network, noise};
use super::{client, ran};

const TTL: Duration = Duration::from_secs(3600);
const LEAF: usize = 4;

fn index(client: &Client, name: &str) -> Index {
    Index::new(client, name, "secret", Settings { leaf_entries_max: LEAF, ttl: TTL }).expect("an index")
}

/// Numbers that look like nothing in particular.
fn numbers(seed: u64, count: usize) -> Vec<u64> {
    noise(seed, 8 * count).as_chunks().0.iter().map(|bytes| u64::from_be_bytes(*bytes)).collect()
}

/// What a writer inserts: keys all over, in a small corner, and one that several writers share.
fn entries(writer: u64, count: usize) -> Vec<(u64, Bytes)> {
    let key = |(n, random): (usize, u64)| match n % 4 {
        0 => random >> 48,
        1 => 7,
        _ => random,
    };
    let with_text = |(n, random)| (key((n, random)), Bytes::from(format!("{writer}/{n}")));
    numbers(writer + 1, count).into_iter().enumerate().map(with_text).collect()
}

type Entries = BTreeSet<(u64, Bytes)>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_is_found_while_others_write_and_remove() {
    const WRITERS: u64 = 6;
    const COUNT: usize = 60;
    let network = Network::start(4, &["--durability", "memory"]);
    let client = client(&network);
    // What is acknowledged, what was begun to be removed, and whether writers are at work.
    let state: Arc<Mutex<(Entries, Entries)>> = Arc::default();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        // Each knows of the trie only what it has seen itself.
        let (index, state) = (index(&client, "busy"), state.clone());
        writers.spawn(async move {
            for (n, (key, text)) in entries(writer, COUNT).into_iter().enumerate() {
                index.insert(key, text.clone(), TTL).await.expect("it is inserted");
                state.lock().expect("no panic").0.insert((key, text.clone()));
                if n % 5 == 4 {
                    state.lock().expect("no panic").1.insert((key, text.clone()));
                    let count = index.remove(key, Some(&text)).await.expect("it is removed");
                    assert_eq!(count, 1, "it was there");
                }
            }
            index.effort()
        });
    }
    // A reader that knows nothing at first: whatever was acknowledged before it asks, it must be told.
    let (reader, mut asked) = (index(&client, "busy"), 0);
    let mut splits = 0;
    while !writers.is_empty() {
        let before = state.lock().expect("no panic").0.clone();
        let told: Entries = reader.range(0, u64::MAX).await.expect("an answer").into_iter().collect();
        let removed = state.lock().expect("no panic").1.clone();
        let missed: Vec<_> = before.difference(&removed).filter(|entry| !told.contains(*entry)).collect();
        assert!(missed.is_empty(), "acknowledged, and not told: {missed:?}");
        asked += 1;
        // The same of single keys, by somebody who has to search for their leaves.
        let before = state.lock().expect("no panic").0.clone();
        for (key, text) in before.iter().rev().step_by(1 + before.len() / 8) {
            let told = index(&client, "busy").range(*key, *key).await.expect("an answer");
            let removed = state.lock().expect("no panic").1.contains(&(*key, text.clone()));
            assert!(removed || told.contains(&(*key, text.clone())), "{key} {text:?} in {told:?}");
        }
        while let Some(ended) = writers.try_join_next() {
            splits += ended.expect("no panic").1;
        }
    }
    let (mut model, removed) =
        Arc::into_inner(state).expect("all have ended").into_inner().expect("no panic");
    model.retain(|entry| !removed.contains(entry));
    assert_eq!(model.len(), WRITERS as usize * COUNT * 4 / 5);
    assert!(asked > 2 && splits > 20, "{asked} queries, {splits} splits");

    for reader in [reader, index(&client, "busy")] {
        let bounds = numbers(99, 60);
        let ranges = bounds.as_chunks::<2>().0.iter().map(|[a, b]| (*a.min(b), *a.max(b)));
        let corners =
            [(0, u64::MAX), (0, 0), (7, 7), (0, 1 << 16), (u64::MAX, u64::MAX), (1 << 63, 1 << 63), (9, 8)];
        for (low, high) in ranges.chain(corners) {
            let told = reader.range(low, high).await.expect("an answer");
            let right: Vec<_> = model.iter().filter(|(key, _)| (low..=high).contains(key)).cloned().collect();
            assert_eq!(told, right, "{low}..={high}");
        }
        let count = reader.remove(7, None).await.expect("they are removed");
        assert_eq!(count, model.iter().filter(|(key, _)| *key == 7).count());
        model.retain(|(key, _)| *key != 7);
        // What was removed can be inserted again, and removed again.
        reader.insert(7, "again".into(), TTL).await.expect("it is inserted");
        model.insert((7, "again".into()));
    }
}

#[tokio::test]
async fn what_meets_a_split_goes_down_with_it() {
    let network = Network::start(3, &["--durability", "memory"]);
    let client = client(&network);
    let [one, other] = [(); 2].map(|()| index(&client, "met"));
    let place = Place::new("met", "secret");
    for key in [1, 2, u64::MAX - 1, u64::MAX] {
        other.insert(key, "first".into(), TTL).await.expect("it is inserted");
    }
    // One has found its leaf; before it puts, the other splits it, from the first mark to the last remove.
    let (leaf, _) = one.search(3, BITS).await.expect("an answer").expect("a leaf");
    other.insert(4, "one too many".into(), TTL).await.expect("it is inserted");
    let late = Entry { key: 3, payload: "late".into(), nonce: 3 };
    one.settle(leaf, vec![(late, TTL.as_secs())]).await.expect("it is inserted");
    assert_eq!(index(&client, "met").range(3, 3).await.expect("an answer"), [(3, "late".into())]);
    let left = one.node(leaf).await.expect("an answer");
    assert_eq!((left.done.is_some(), left.entries.len()), (true, 0), "nothing stays behind");

    // One has found what it removes. Before it does, a splitter marks the leaf and reads it; that is slow, and puts what it read
    // into the half below when the remove is over.
    let (leaf, node) = one.search(1, BITS).await.expect("an answer").expect("a leaf");
    let (entry, seconds) =
        node.entries.iter().find(|(entry, _)| entry.key == 1).cloned().expect("it is there");
    let put = async |node: Prefix, value: Bytes| {
        let secret_hash = Some(place.secret(node, &value).expect("20 bytes").hash());
        client.put_with(&place.key(node), value, &PutOptions { ttl: Some(TTL), secret_hash }).await
    };
    put(leaf, Bytes::from_static(BEGUN)).await.expect("it is put");
    one.remove_from(leaf, &entry, seconds).await.expect("it is removed");
    // Whether it is told or not: what was removed is not there.
    let _ = put(leaf.child(1), entry.encode()).await;
    put(leaf, Bytes::from_static(DONE)).await.expect("it is put");
    for reader in [one, other, index(&client, "met")] {
        assert_eq!(reader.range(1, 1).await.expect("an answer"), [], "it does not come back");
    }
}

#[tokio::test]
async fn a_split_that_died_is_brought_to_its_end_and_strangers_are_not_heard() {
    let network = Network::start(3, &["--durability", "memory"]);
    let client = client(&network);
    let (writer, place) = (index(&client, "quiet"), Place::new("quiet", "secret"));
    let root = Prefix::of(0, 0);
    for key in [1, u64::MAX] {
        writer.insert(key, "one".into(), TTL).await.expect("it is inserted");
    }
    // Whoever does not know the secret: marks that the root was split, and an entry, in every way but the right one.
    let stranger = Place::new("quiet", "guess");
    for value in [DONE, BEGUN, b"e01234567abcdefghspam"] {
        let hash = stranger.secret(root, value).expect("20 bytes").hash();
        for secret_hash in [None, Some(hash)] {
            let options = PutOptions { ttl: Some(TTL), secret_hash };
            client
                .put_with(&place.key(root), Bytes::from_static(value), &options)
                .await
                .expect("anybody may put");
        }
    }
    let told = index(&client, "quiet").range(0, u64::MAX).await.expect("an answer");
    assert_eq!(told, [(1, "one".into()), (u64::MAX, "one".into())]);
    assert_eq!(index(&client, "loud").range(0, u64::MAX).await.expect("an answer"), []);

    // A splitter has put its first mark, and died.
    let hash = place.secret(root, BEGUN).expect("20 bytes").hash();
    let options = PutOptions { ttl: Some(TTL), secret_hash: Some(hash) };
    client.put_with(&place.key(root), Bytes::from_static(BEGUN), &options).await.expect("it is put");
    let reader = index(&client, "quiet");
    assert_eq!(reader.range(0, u64::MAX).await.expect("an answer"), told);
    assert_eq!(reader.effort().1, 1, "the reader ended the split");
    writer.insert(2, "two".into(), TTL).await.expect("it goes where the split says");
    assert_eq!(reader.range(2, 2).await.expect("an answer"), [(2, "two".into())]);
    let left = reader.node(root).await.expect("an answer");
    assert_eq!((left.done.is_some(), left.entries.len()), (true, 0), "nothing stays behind in the root");
}

#[test]
fn the_program_loads_lines_and_answers_ranges() {
    let network = Network::start(3, &["--durability", "memory"]);
    let lines: String = (0..40).map(|n| format!("{} line {n}\n", n * 1_000_000_007u64)).collect();
    let pht =
        |args: &[&str], input: &str| ran(&network, "pht", &[&["log", "--leaf", "5"], args].concat(), input);
    assert_eq!(pht(&["load"], &lines).good(), "inserted 40\n");
    let all = pht(&["range", "0", "18446744073709551615"], "").good();
    assert_eq!(all, lines);
    let some = pht(&["range", "5000000000", "8000000056"], "").good();
    assert_eq!(some.lines().collect::<Vec<_>>(), lines.lines().collect::<Vec<_>>()[5..9]);
    assert_eq!(pht(&["remove", "0", "line 0"], "").good(), "removed 1\n");
    pht(&["remove", "0", "line 0"], "").failed(3);
    pht(&["insert", "0", "zero"], "").good();
    assert_eq!(pht(&["range", "0", "0"], "").good(), "0 zero\n");
    let error = pht(&["load"], "no number\n").failed(2);
    assert!(error.contains("no whole number"), "{error}");
}
