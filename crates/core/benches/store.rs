//! What the store costs: look-ups on the hot path, puts, digests.
//!
//! `cargo bench -p keyway-core --bench store`

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use keyway_core::keyspace::Arc;
use keyway_core::machine::{DiskEffect, DiskOp, DiskResult};
use keyway_core::rng::Rng;
use keyway_core::store::{Head, Read, Record, Store, StoreConfig, StoreEvent};
use keyway_core::{Duration, Id, Wall};

const NOW: Wall = Wall(1_700_000_000_000_000);

fn empty() -> Store<u32> {
    Store::new(StoreConfig {
        value_bytes_max: 64 << 10,
        ttl_max: Duration::from_secs(86_400),
        store_bytes_max: u64::MAX,
        skew_max: Duration::from_secs(2),
        cache_bytes_max: 1 << 24,
        writes_inflight_max: 1 << 16,
    })
}

fn record(rng: &mut Rng, n: u64) -> Record {
    let ttl = Duration::from_secs(1 + rng.below(86_000));
    Record::plain(rng.id(), n.to_be_bytes().repeat(32), NOW, ttl, 1)
}

/// A store that has loaded these heads.
fn holding(heads: Vec<Head>) -> Store<u32> {
    let (mut store, mut disk, mut events) = (empty(), Vec::new(), Vec::new());
    store.load(&mut disk);
    let result = DiskResult::Loaded { notes: None, heads, more: false };
    store.disk_done(NOW, disk[0].token, result, &mut disk, &mut events);
    store
}

/// Lets the disk confirm everything.
fn confirm(store: &mut Store<u32>, disk: &mut Vec<DiskEffect>, events: &mut Vec<StoreEvent<u32>>) {
    for DiskEffect { token, op } in std::mem::take(disk) {
        let result = match op {
            DiskOp::Read(_) => DiskResult::Record(None),
            _ => DiskResult::Written,
        };
        store.disk_done(NOW, token, result, disk, events);
    }
}

fn speed(c: &mut Criterion) {
    let mut rng = Rng::from_u64(2);
    let records: Vec<Record> = (0..100_000).map(|n| record(&mut rng, n)).collect();
    let mut store = holding(records.iter().map(|record| record.head).collect());
    let (mut disk, mut events) = (Vec::new(), Vec::new());
    let missing: Vec<Id> = (0..1000).map(|_| rng.id()).collect();
    let mut at = 0;

    c.bench_function("heads, key is not here", |b| {
        b.iter(|| {
            at = (at + 1) % missing.len();
            store.heads(NOW, black_box(&missing[at]), None).count()
        });
    });
    c.bench_function("heads, one value", |b| {
        b.iter(|| {
            at = (at + 7919) % records.len();
            store.heads(NOW, black_box(&records[at].head.identity.key), None).count()
        });
    });
    let hot = &records[..100];
    for record in hot {
        store.read(&record.head.identity, 0, &mut disk);
        let token = disk.pop().expect("a read").token;
        store.disk_done(NOW, token, DiskResult::Record(Some(record.clone())), &mut disk, &mut events);
    }
    c.bench_function("heads and cached read of 256 bytes", |b| {
        b.iter(|| {
            at = (at + 1) % hot.len();
            let identity = store.heads(NOW, &hot[at].head.identity.key, None).next().expect("here").identity;
            match store.read(&identity, 0, &mut disk) {
                Read::Cached(record) => record.value.len(),
                _ => panic!("not cached"),
            }
        });
    });
    c.bench_function("put of 256 bytes, confirmed", |b| {
        b.iter(|| {
            let fresh = record(&mut rng, 1);
            store.put(NOW, fresh, Some(1), &mut disk);
            confirm(&mut store, &mut disk, &mut events);
            events.clear();
        });
    });
    c.bench_function("digest of an arc of 100k records", |b| {
        b.iter(|| {
            at = (at + 1) % (missing.len() - 1);
            store.digest(&Arc::new(missing[at], missing[at + 1]))
        });
    });
    c.bench_function("split of an arc of 100k records", |b| {
        b.iter(|| {
            at = (at + 1) % (missing.len() - 1);
            store.split(&Arc::new(missing[at], missing[at + 1]))
        });
    });
}

criterion_group!(benches, speed);
criterion_main!(benches);
