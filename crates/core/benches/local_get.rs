//! One local get through the outer seam: an operation in, an answer out, on a settled node that holds the value.
//!
//! The goal is under 300 ns (DESIGN section 5). Beside it stands what the same run cannot go below: the same value found in
//! a `BTreeMap` by the same key, and copied. `cargo bench -p keyway-core --bench local_get`

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use keyway_core::frame::NetworkId;
use keyway_core::machine::{DiskEffect, DiskOp, DiskResult, NodeConfig, Op, OpDone, OpId, Reads};
use keyway_core::overlay::registry::OVERLAYS;
use keyway_core::store::{Identity, Record};
use keyway_core::{Addr, Duration, Id, Machine, Mono, NodeInput, Now, Outbox, Peer, Wall};

const NOW: Now = Now { mono: Mono(1_000_000), wall: Wall(1_700_000_000_000_000) };
const VALUE_BYTES: usize = 64;
/// Keys held and read in turn: one, for the length of the path, and more than the processor's caches like.
const KEYS: [u64; 2] = [1, 10_000];

type Disk = BTreeMap<Identity, Record>;

/// A network of one, the first overlay of the registry, with `keys` values on its disk and in its memory.
fn node(keys: u64) -> (Box<dyn Machine>, Outbox) {
    let me = Peer::new(Id::of_text("node"), Addr::loopback(5850));
    let config = NodeConfig { replicas: 1, acks: 1, ..NodeConfig::new(me.clone(), [1; 32]) };
    let mut node = (OVERLAYS[0].make)(config).expect("the defaults are possible");
    let mut out = Outbox::default();
    node.settle(NOW, NetworkId(7), &[me], &mut out);
    let mut disk = Disk::new();
    run_disk(node.as_mut(), &mut disk, &mut out);
    for n in 0..keys {
        let what = Op::put(key(n), value(), Duration::from_secs(3600));
        node.handle(NOW, &mut [NodeInput::Op { op: OpId(n), what }], &mut out);
        run_disk(node.as_mut(), &mut disk, &mut out);
        // Read once, so that the value is in memory.
        node.handle(NOW, &mut [NodeInput::Op { op: OpId(keys + n), what: get(key(n)) }], &mut out);
        run_disk(node.as_mut(), &mut disk, &mut out);
        assert_eq!(out.done.len(), 2, "both operations end: {:?}", out.done);
        out.clear();
    }
    (node, out)
}

fn key(n: u64) -> Id {
    Id::sha1(&n.to_be_bytes())
}

fn value() -> Vec<u8> {
    vec![7; VALUE_BYTES]
}

/// A disk that does everything at once.
fn run_disk(node: &mut dyn Machine, disk: &mut Disk, out: &mut Outbox) {
    while !out.disk.is_empty() {
        for DiskEffect { token, op } in std::mem::take(&mut out.disk) {
            let result = match op {
                DiskOp::Load { .. } => DiskResult::Loaded { notes: None, heads: Vec::new(), more: false },
                DiskOp::Read(identity) => DiskResult::Record(disk.get(&identity).cloned()),
                DiskOp::Write(record) => {
                    disk.insert(record.head.identity, record);
                    DiskResult::Written
                }
                DiskOp::Delete(_) | DiskOp::WriteNotes(_) => DiskResult::Written,
            };
            node.handle(NOW, &mut [NodeInput::DiskDone { token, result }], out);
        }
    }
}

/// A get of one value, from this node if it holds it.
fn get(key: Id) -> Op {
    Op::Get {
        key,
        max: 1,
        after: None,
        reads: Reads::First,
        page_bytes: u32::MAX,
        overhead_bytes: 0,
        signer: None,
    }
}

fn local_get(c: &mut Criterion) {
    for count in KEYS {
        let mut group = c.benchmark_group(format!("local get, {count} keys"));
        let (mut node, mut out) = node(count);
        let keys: Vec<Id> = (0..count).map(key).collect();
        let mut wanted = keys.iter().cycle();
        let mut next = || *wanted.next().expect("it goes round");
        group.bench_function("through Machine::handle", |b| {
            b.iter(|| {
                let input = NodeInput::Op { op: OpId(1), what: get(next()) };
                node.handle(NOW, &mut [input], &mut out);
                let [(_, Ok(OpDone::Got(answer)))] = out.done.as_slice() else { panic!("{:?}", out.done) };
                assert_eq!(black_box(&answer.values)[0].bytes.len(), VALUE_BYTES);
                out.clear();
            });
        });
        let map: BTreeMap<Id, Vec<u8>> = (0..count).map(|n| (key(n), value())).collect();
        group.bench_function("the limit: a BTreeMap and a copy", |b| {
            b.iter(|| black_box(map.get(&next()).cloned()));
        });
        group.finish();
    }
}

criterion_group!(benches, local_get);
criterion_main!(benches);
