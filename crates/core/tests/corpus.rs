//! The fuzz corpora as plain tests: each file through the body of its fuzz target.
//!
//! Most files are seeds that this file writes (`cargo xtask corpus`); the rest are findings, named after their bug.

use std::path::{Path, PathBuf};

use keyway_core::frame::{FrameKey, Header, Kind, NetworkId, seal};
use keyway_core::keyspace::Arc;
use keyway_core::lookup::HopAnswer;
use keyway_core::machine::Terms;
use keyway_core::node::message::{Message, Standing};
use keyway_core::overlay::registry::OVERLAYS;
use keyway_core::overlay::toy::Toy;
use keyway_core::replica::sync::{Answer, Question};
use keyway_core::rng::Rng;
use keyway_core::store::{Digest, Record, snapshot};
use keyway_core::wire::{Wire as _, to_vec};
use keyway_core::{Addr, Duration, Id, Peer, Wall};

#[allow(unreachable_pub, reason = "public in the fuzz crate")]
#[path = "../../../fuzz/src/frame_decode.rs"]
mod frame_decode;
#[allow(unreachable_pub, reason = "public in the fuzz crate")]
#[path = "../../../fuzz/src/machine_datagrams.rs"]
mod machine_datagrams;
#[allow(unreachable_pub, reason = "public in the fuzz crate")]
#[path = "../../../fuzz/src/record_decode.rs"]
mod record_decode;
#[allow(unreachable_pub, reason = "public in the fuzz crate")]
#[path = "../../../fuzz/src/signed_record.rs"]
mod signed_record;
#[allow(unreachable_pub, reason = "public in the fuzz crate")]
#[path = "../../../fuzz/src/snapshot_read.rs"]
mod snapshot_read;

/// Random programs for each overlay.
const PROGRAMS: u64 = 6;
const PROGRAM_BYTES: usize = 600;

/// Whether the seeds are to be written again.
fn updating() -> bool {
    std::env::var_os("UPDATE").is_some()
}

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

fn replay(target: &str, run: fn(&[u8])) {
    if updating() {
        return;
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder(target))
        .expect("the corpus is committed")
        .map(|entry| entry.expect("the corpus can be listed").path())
        .collect();
    files.sort();
    assert!(files.len() >= 4, "{target} has hardly any corpus");
    for file in files {
        println!("{}", file.display());
        run(&std::fs::read(&file).expect("a corpus file can be read"));
    }
}

#[test]
fn frames_of_the_corpus() {
    replay("frame_decode", frame_decode::run);
}

#[test]
fn records_of_the_corpus() {
    replay("record_decode", record_decode::run);
}

#[test]
fn snapshots_of_the_corpus() {
    replay("snapshot_read", snapshot_read::run);
}

#[test]
fn programs_of_the_corpus() {
    replay("machine_datagrams", machine_datagrams::run);
}

#[test]
fn signed_records_of_the_corpus() {
    replay("signed_record", signed_record::run);
}

#[test]
fn the_seeds_are_current() {
    for (target, name, bytes) in seeds() {
        let path = folder(target).join(name);
        if updating() {
            std::fs::create_dir_all(folder(target)).expect("the folder can be made");
            std::fs::write(&path, bytes).expect("the seed can be written");
        } else {
            let committed = std::fs::read(&path).expect("the seed is committed: cargo xtask corpus");
            assert!(committed == bytes, "{} is old: cargo xtask corpus", path.display());
        }
    }
}

fn record() -> Record {
    let life = Duration::from_secs(86_400);
    Record::plain(Id::of_text("colors"), b"red".to_vec(), Wall(1_700_000_000_000_000), life, 1)
}

fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (name, bytes) in frames() {
        seeds.push(("frame_decode", name, bytes));
    }
    for (name, bytes) in records() {
        seeds.push(("record_decode", name.to_owned(), bytes));
    }
    for (kind, name) in ["signed", "signed_remove", "sequenced", "sequenced_remove"].iter().enumerate() {
        seeds.push(("signed_record", format!("{name}_whole"), vec![kind as u8]));
        // Its version, its kind, a bit of its key, of its ttl, of its number; then it is cut.
        let edits = [[0, 0, 9], [0, 1, 2], [0, 21, 1], [0, 77, 1], [0, 93, 1], [255, 255, 0]];
        let edits = edits
            .iter()
            .enumerate()
            .map(|(at, edit)| (format!("{name}_{at}"), [&[kind as u8][..], edit].concat()));
        seeds.extend(edits.map(|(name, bytes)| ("signed_record", name, bytes)));
    }
    for (name, bytes) in snapshots() {
        seeds.push(("snapshot_read", name.to_owned(), bytes));
    }
    for (overlay, entry) in OVERLAYS.iter().enumerate() {
        for n in 0..PROGRAMS {
            let mut rng = Rng::from_u64(n).fork(entry.name, 0);
            let fresh = if n % 3 == 2 { 0x80 } else { 0 };
            let mut bytes = vec![overlay as u8 | fresh];
            bytes.extend((1..PROGRAM_BYTES).map(|_| rng.next_u64() as u8));
            seeds.push(("machine_datagrams", format!("{}_{n}", entry.name), bytes));
        }
    }
    seeds
}

/// Files, each behind the length of the pieces in which it is read.
fn snapshots() -> Vec<(&'static str, Vec<u8>)> {
    let header = snapshot::Header {
        network: NetworkId(7),
        node: Id::from_u64(5),
        began: Wall(1_700_000_000_000_000),
        key: *b"drawn for a seed",
    };
    let mut whole = Vec::new();
    let mut packer = snapshot::Packer::begin(&header, &mut whole);
    packer.record(&record(), &mut whole);
    packer.record(&record(), &mut whole);
    packer.end(1, Wall(1_700_000_000_000_001), &mut whole);
    let cut = whole[..whole.len() - 60].to_vec();
    let mut flipped = whole.clone();
    flipped[90] ^= 1;
    let all =
        [("whole", whole), ("cut", cut), ("flipped", flipped), ("changes", vec![0, 100, 9, 1, 200, 0xf5])];
    all.into_iter().map(|(name, bytes)| (name, [vec![12], bytes].concat())).collect()
}

fn frames() -> Vec<(String, Vec<u8>)> {
    let peers = vec![Peer::new(Id::MAX, Addr::simulated(3)).with_label(b"zone")];
    let messages: [(&str, Message<Toy>); 7] = [
        ("hello", Message::Hello(Wall(1))),
        ("hop", Message::Hop(Id::pow2(100), 3)),
        ("next", Message::HopIs(HopAnswer::Next(peers))),
        ("store", Message::Store(Box::new(record()))),
        ("page", Message::Page(true, vec![record(), record()], true)),
        (
            "sync_is",
            Message::SyncIs(
                false,
                Standing { wall: Wall(2), terms: Terms { replicas: 3, acks: 2, reads: 2 } },
                Answer::Split(vec![(Arc::FULL, Digest::default())]),
            ),
        ),
        ("pull", Message::Pull(vec![record().head.identity; 3])),
    ];
    let mut frames: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, message) in messages {
        let header = Header {
            kind: Kind::Request,
            network: NetworkId(7),
            from: Peer::new(Id::from_u64(5), Addr::V6([0xfe; 16], 5850)),
            incarnation: 3,
            request: 11,
        };
        let mut sealed = Vec::new();
        seal(&FrameKey::open_network(), &header, &mut sealed, |w| message.encode(w));
        // Between magic, version and MAC: what the target puts behind a good MAC of its own.
        frames.push((format!("{name}_inside"), sealed[3..sealed.len() - 16].to_vec()));
        frames.push((format!("{name}_sealed"), sealed));
    }
    frames
}

fn records() -> Vec<(&'static str, Vec<u8>)> {
    let head = record().head;
    let question =
        Question { arc: Arc::FULL, after: Some(head.identity), digest: Digest::of(&head), heads_max: 8 };
    let part = (Arc::point(Id::MAX), Digest::of(&head));
    let all: [(&str, Vec<u8>); 9] = [
        ("record", to_vec(&record())),
        ("head", to_vec(&head)),
        ("identity", to_vec(&head.identity)),
        ("cursor", to_vec(&head.cursor())),
        ("digest", to_vec(&Digest::of(&head))),
        ("question", to_vec(&question)),
        ("answer_split", to_vec(&Answer::Split(vec![part; 2]))),
        ("arc", to_vec(&Arc::FULL)),
        ("answer_heads", to_vec(&Answer::Heads(vec![head; 2]))),
    ];
    // The first byte chooses what the rest is read as.
    let choice = |n: usize| if n == 8 { 6 } else { n as u8 };
    all.into_iter().enumerate().map(|(n, (name, bytes))| (name, [vec![choice(n)], bytes].concat())).collect()
}
