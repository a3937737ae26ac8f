//! The walks against a store in memory with virtual time, the geometry against plain arithmetic, and `Redir` against a
//! fake gateway.

mod geometry;
mod service;
mod walks;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::Key;
use crate::redir::{Ask, Found, Step, Walk};

/// Values with their ends, under keys, in put order as gateways give them.
#[derive(Default)]
struct Store {
    /// Virtual seconds.
    now: u64,
    values: BTreeMap<Key, Vec<(Bytes, u64)>>,
}

/// A walk that waits for an answer, whatever it ends with.
enum Answered<'a> {
    Found(&'a [Found]),
    Stored,
}

impl Store {
    fn put(&mut self, key: Key, value: Bytes, ttl: Duration) {
        let ends = self.now + ttl.as_secs();
        let list = self.values.entry(key).or_default();
        match list.iter().position(|(known, _)| *known == value) {
            // Putting again moves it to the end and never shortens its life.
            Some(at) => {
                let (value, end) = list.remove(at);
                list.push((value, end.max(ends)));
            }
            None => list.push((value, ends)),
        }
    }

    fn get(&self, key: &Key, values_max: usize) -> Vec<Found> {
        let alive = self.values.get(key).into_iter().flatten().filter(|(_, ends)| *ends > self.now);
        alive
            .take(values_max)
            .map(|(bytes, ends)| Found {
                bytes: bytes.clone(),
                remaining: Duration::from_secs(ends - self.now),
            })
            .collect()
    }

    /// Answers one question.
    fn answer<W: Walk>(&mut self, walk: &mut W, ask: Ask) -> Step<W::Outcome> {
        let found;
        let answered = match ask {
            Ask::Get { key, values_max } => {
                found = self.get(&key, values_max);
                Answered::Found(&found)
            }
            Ask::Put { key, value, ttl } => {
                assert!(ttl >= Duration::from_secs(1), "no gateway takes less");
                self.put(key, value, ttl);
                Answered::Stored
            }
        };
        match answered {
            Answered::Found(found) => walk.on_found(found),
            Answered::Stored => walk.on_stored(),
        }
    }

    /// Runs a walk to its end.
    fn run<W: Walk>(&mut self, mut walk: W) -> W::Outcome {
        let mut step = walk.begin();
        for _ in 0..100_000 {
            match step {
                Step::Done(outcome) => return outcome,
                Step::Ask(ask) => step = self.answer(&mut walk, ask),
            }
        }
        panic!("a walk without an end");
    }

    /// Runs walks side by side, one question at a time, in an order drawn from `seed`.
    fn run_mixed<W: Walk>(&mut self, walks: Vec<W>, seed: u64) -> Vec<W::Outcome> {
        let mut draw = Draw(seed);
        let mut waiting: Vec<(usize, W, Step<W::Outcome>)> = Vec::new();
        for (at, mut walk) in walks.into_iter().enumerate() {
            let step = walk.begin();
            waiting.push((at, walk, step));
        }
        let mut done = Vec::new();
        while !waiting.is_empty() {
            let (at, mut walk, step) = waiting.swap_remove(draw.below(waiting.len() as u64) as usize);
            match step {
                Step::Done(outcome) => done.push((at, outcome)),
                Step::Ask(ask) => {
                    let step = self.answer(&mut walk, ask);
                    waiting.push((at, walk, step));
                }
            }
        }
        done.sort_by_key(|(at, _)| *at);
        done.into_iter().map(|(_, outcome)| outcome).collect()
    }
}

/// A small generator of test cases: splitmix64.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn key(&mut self) -> Key {
        Key::hash(&self.next().to_be_bytes())
    }
}

/// `id` and a small step, once round the circle.
fn beside(id: &Key, up: bool) -> Key {
    let mut key = *id;
    for byte in key.0.iter_mut().rev() {
        let (moved, over) = if up { byte.overflowing_add(1) } else { byte.overflowing_sub(1) };
        *byte = moved;
        if !over {
            break;
        }
    }
    key
}
