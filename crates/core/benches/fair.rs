//! What admission by fair space-time costs at 100,000 live puts, per put from arrival to expiry.
//!
//! The goal is at most 5 microseconds. Beside it stands what any such algorithm must do at least, in the same run: keep the puts in
//! order of expiry, one inserted and one expired, in a `BTreeMap`. `cargo bench -p keyway-core --bench fair`

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::measurement::{Measurement as _, WallTime};
use criterion::{Criterion, criterion_group, criterion_main};
use keyway_core::rng::Rng;
use keyway_core::store::fair::{Accepted, ClientId, Fair, FairConfig};

const LIVE: u64 = 100_000;
const BYTES_MAX: u64 = 1000;
const CLIENTS: u64 = 1000;
/// The goal, in microseconds.
const GOAL_MICROS: f64 = 5.0;
/// Puts measured for the ratio that is printed.
const PRINTED: u64 = 300_000;

/// A put and the ms since the one before.
struct Draw {
    gap_ms: u64,
    client: ClientId,
    bytes: u64,
    ttl_ms: u64,
}

/// Puts of half the greatest size and half the longest life on average, by many clients.
struct Puts {
    rng: Rng,
    ttl_ms_max: u64,
    mean_gap_ms: u64,
}

impl Puts {
    /// `load`: percent of what the disk can keep that is asked of it. Whatever it is, about `LIVE` puts live.
    fn new(load: u64) -> (Puts, FairConfig) {
        let capacity = LIVE * BYTES_MAX / 2 * 100 / load.min(100);
        // A byte a ms, so that T is C.
        let config = FairConfig::paper(capacity, capacity, BYTES_MAX).expect("a whole rate");
        let mean_life = capacity / 2;
        let mean_gap_ms = mean_life * 100 / LIVE / load.max(100);
        (Puts { rng: Rng::from_u64(7), ttl_ms_max: capacity, mean_gap_ms }, config)
    }

    fn draw(&mut self) -> Draw {
        Draw {
            gap_ms: self.rng.between(0, 2 * self.mean_gap_ms),
            client: ClientId(self.rng.below(CLIENTS)),
            bytes: self.rng.between(1, BYTES_MAX),
            ttl_ms: self.rng.between(1, self.ttl_ms_max),
        }
    }
}

/// A disk in its steady state.
struct Disk {
    fair: Fair<u32>,
    puts: Puts,
    now_ms: u64,
    accepted: Vec<Accepted<u32>>,
    through: u64,
}

impl Disk {
    fn steady(load: u64) -> Disk {
        let (puts, config) = Puts::new(load);
        let mut disk = Disk { fair: Fair::new(config), puts, now_ms: 0, accepted: Vec::new(), through: 0 };
        while disk.now_ms < 3 * disk.puts.ttl_ms_max {
            disk.put();
        }
        disk.fair.check().expect("the disk is sound");
        disk
    }

    /// One arrival, with every wake-up and expiry that came before it.
    fn put(&mut self) {
        let draw = self.puts.draw();
        self.now_ms += draw.gap_ms;
        let result =
            self.fair.arrive(self.now_ms, draw.client, 0, draw.bytes, draw.ttl_ms, &mut self.accepted);
        let _ = black_box(result);
        self.through += self.accepted.len() as u64;
        self.accepted.clear();
    }
}

/// The limit: puts in order of expiry, and nothing else.
struct Sorted {
    map: BTreeMap<(u64, u64), u64>,
    puts: Puts,
    now_ms: u64,
    number: u64,
}

impl Sorted {
    fn steady() -> Sorted {
        let (puts, _) = Puts::new(100);
        let mut sorted = Sorted { map: BTreeMap::new(), puts, now_ms: 0, number: 0 };
        while sorted.now_ms < 3 * sorted.puts.ttl_ms_max {
            sorted.put();
        }
        sorted
    }

    fn put(&mut self) {
        let draw = self.puts.draw();
        self.now_ms += draw.gap_ms;
        while self.map.first_key_value().is_some_and(|(key, _)| key.0 <= self.now_ms) {
            black_box(self.map.pop_first());
        }
        self.number += 1;
        self.map.insert((self.now_ms + draw.ttl_ms, self.number), draw.bytes);
    }
}

/// Mean microseconds of one call.
fn micros(mut one: impl FnMut()) -> f64 {
    let began = WallTime.start();
    (0..PRINTED).for_each(|_| one());
    WallTime.end(began).as_secs_f64() * 1e6 / PRINTED as f64
}

/// The figures as a sentence: microseconds a put, the goal, the ratio to the limit.
fn printed() {
    let mut sorted = Sorted::steady();
    let limit = micros(|| sorted.put());
    println!("the limit, a BTreeMap of {} puts by expiry: {limit:.2} us a put", sorted.map.len());
    for (what, load) in LOADS {
        let mut disk = Disk::steady(load);
        let before = disk.through;
        let cost = micros(|| disk.put());
        println!(
            "{what}: {cost:.2} us a put (goal {GOAL_MICROS}), {:.1} times the limit; {} charges live, {} puts wait, {} of {PRINTED} accepted",
            cost / limit,
            disk.fair.charges_count(),
            disk.fair.waiting_count(),
            disk.through - before,
        );
    }
}

/// Percent of what the disk can keep that is asked of it.
const LOADS: [(&str, u64); 2] = [("a disk with room", 50), ("an overloaded disk, most puts wait", 150)];

fn admission(c: &mut Criterion) {
    printed();
    let mut group = c.benchmark_group("fair storage, a put");
    for (what, load) in LOADS {
        let mut disk = Disk::steady(load);
        group.bench_function(what, |b| b.iter(|| disk.put()));
    }
    let mut sorted = Sorted::steady();
    group.bench_function("the limit: a BTreeMap", |b| b.iter(|| sorted.put()));
    group.finish();
}

criterion_group!(benches, admission);
criterion_main!(benches);
