//! The load: keys and values by number, each get at another node than its put.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use keyway_core::Id;
use keyway_core::machine::Reads;

use super::BenchArgs;
use super::figures::{Measured, Readings, Verdict};
use super::network::Network;
use super::wire::{Caller, Interface, Outcome};
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// For all copies of all values to be where they should be.
const IN_PLACE_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two looks at that.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Operations at once after some nodes have stopped.
const AFTER_STOP_AT_ONCE: u16 = 4;

/// Puts and gets, numbered through.
pub(super) struct Load<'n> {
    network: &'n Network,
    /// What is spoken.
    interface: Interface,
    copies: u64,
    value_bytes: usize,
    reads: Reads,
    /// Nodes that are asked: all, or those that have not been stopped.
    nodes: usize,
    /// Values put so far.
    put: usize,
    /// The first value of the last phase of puts.
    last: usize,
    /// Why the first operation that failed did.
    why: OnceLock<String>,
}

/// The key of value `n`.
fn key(n: usize) -> Id {
    Id::of_text(&format!("bench {n}"))
}

/// Value `n`: bytes that differ from those of all other values in each word.
fn value(n: usize, bytes: usize) -> Vec<u8> {
    let mut state = n as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut value = Vec::with_capacity(bytes + 8);
    while value.len() < bytes {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        value.extend_from_slice(&(mixed ^ mixed >> 31).to_le_bytes());
    }
    value.truncate(bytes);
    value
}

/// The node that value `n` is put at, or got from: never the same one.
fn gateway(n: usize, nodes: usize, get: bool) -> usize {
    let put_at = n * 7_919 % nodes;
    if get { (put_at + 1 + n % (nodes - 1)) % nodes } else { put_at }
}

/// Puts values, or gets them and compares: one in a request, or all of them.
async fn some(caller: &Caller, ops: &[(usize, bool)], bytes: usize, reads: Reads) -> Vec<Outcome<Verdict>> {
    let compare = |n: usize, values: Vec<Vec<u8>>| {
        let right = values.len() == 1 && values[0] == value(n, bytes);
        if right { Verdict::Right } else { Verdict::Wrong }
    };
    match ops {
        [(n, false)] => vec![caller.put(key(*n), value(*n, bytes)).await.map(|()| Verdict::Right)],
        [(n, true)] => vec![caller.get(key(*n), reads).await.map(|values| compare(*n, values))],
        // A phase of many in a request is of puts alone, or of gets alone.
        [(_, true), ..] => {
            let keys: Vec<Id> = ops.iter().map(|(n, _)| key(*n)).collect();
            let got = caller.get_many(&keys, reads).await;
            got.into_iter().zip(ops).map(|(got, (n, _))| got.map(|values| compare(*n, values))).collect()
        }
        _ => {
            let entries = ops.iter().map(|(n, _)| (key(*n), value(*n, bytes))).collect();
            caller.put_many(entries).await.into_iter().map(|put| put.map(|()| Verdict::Right)).collect()
        }
    }
}

impl<'n> Load<'n> {
    pub(super) fn new(network: &'n Network, args: &BenchArgs) -> Load<'n> {
        Load {
            network,
            interface: args.interface[0],
            copies: u64::from(args.copies),
            value_bytes: args.value_bytes,
            reads: args.reads.into(),
            nodes: network.nodes.len(),
            put: 0,
            last: 0,
            why: OnceLock::new(),
        }
    }

    /// From now on it is spoken so.
    pub(super) fn speak(&mut self, interface: Interface) {
        self.interface = interface;
    }

    /// Why the first operation that failed did, if any failed.
    pub(super) fn why(&self) -> Option<&str> {
        self.why.get().map(String::as_str)
    }

    /// From now on only nodes that were not stopped are asked.
    pub(super) fn only_survivors(&mut self) {
        self.nodes = self.network.nodes.len() - self.network.victims;
    }

    /// Puts `count` new values, one in a request or many.
    pub(super) fn puts(&mut self, count: usize, at_once: u16, batch: usize) -> Result<Measured, Failure> {
        let first = self.put;
        (self.last, self.put) = (first, first + count);
        self.phase((first..first + count).map(|n| (n, false)).collect(), at_once, batch)
    }

    /// Gets the values of the last phase of puts.
    pub(super) fn gets(&mut self, count: usize, at_once: u16, batch: usize) -> Result<Measured, Failure> {
        self.phase((self.last..self.last + count).map(|n| (n, true)).collect(), at_once, batch)
    }

    /// `count` reads of what was put last and `count` writes of new values, in turn: told apart.
    pub(super) fn reads_and_writes(&mut self, count: usize) -> Result<(Measured, Measured), Failure> {
        let (old, new) = (self.last, self.put);
        self.put += count;
        let mixed: Vec<_> = (0..count).flat_map(|i| [(old + i, true), (new + i, false)]).collect();
        let callers = self.callers()?;
        let readings = Readings::take(self.network.sent(self.nodes)?);
        let ops = self.run(callers, mixed.clone(), AFTER_STOP_AT_ONCE, 1)?;
        let sent = self.network.sent(self.nodes)?;
        let of = |get: bool| -> Vec<_> {
            ops.iter().zip(&mixed).filter(|(_, (_, is_get))| *is_get == get).map(|(op, _)| *op).collect()
        };
        Ok((readings.until_now(&of(true), sent), readings.until_now(&of(false), sent)))
    }

    /// Waits until all copies of all values are there.
    pub(super) fn wait_in_place(&self, output: &Output) -> Result<(), Failure> {
        let want = self.put as u64 * self.copies;
        output.note(format!("waiting for {want} copies ..."));
        let began = Instant::now();
        loop {
            let have = self.network.records();
            if have >= want {
                return Ok(());
            }
            if began.elapsed() > IN_PLACE_TIMEOUT {
                let text = format!("{have} of {want} copies after {} s", IN_PLACE_TIMEOUT.as_secs());
                return Err(Failure::new(Exit::Partial, text));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn phase(&self, ops: Vec<(usize, bool)>, at_once: u16, batch: usize) -> Result<Measured, Failure> {
        let callers = self.callers()?;
        let readings = Readings::take(self.network.sent(self.nodes)?);
        let ops = self.run(callers, ops, at_once, batch)?;
        Ok(readings.until_now(&ops, self.network.sent(self.nodes)?))
    }

    /// A client of each node that is asked. New ones for each phase: gateways close connections that rest.
    fn callers(&self) -> Result<Arc<[Caller]>, Failure> {
        self.network.runtime.block_on(async {
            let mut callers = Vec::with_capacity(self.nodes);
            for doors in &self.network.nodes[..self.nodes] {
                let caller = Caller::to(self.interface, doors).await;
                callers.push(caller.map_err(|why| {
                    let name = self.interface.name();
                    Failure::new(Exit::Failure, format!("no connection over {name}: {why}"))
                        .hint("are there file descriptors left? see ulimit -n")
                })?);
            }
            Ok(callers.into())
        })
    }

    /// Does the operations in order, so many requests at once with `batch` operations in each: value and whether it is a get. What each took and gave, in order.
    fn run(
        &self,
        callers: Arc<[Caller]>,
        ops: Vec<(usize, bool)>,
        at_once: u16,
        batch: usize,
    ) -> Result<Vec<(Duration, Verdict)>, Failure> {
        let (bytes, reads) = (self.value_bytes, self.reads);
        let ops: Arc<[(usize, bool)]> = ops.into();
        let next = Arc::new(AtomicUsize::new(0));
        let bug = |e: tokio::task::JoinError| Failure::new(Exit::Failure, format!("our own bug: {e}"));
        self.network.runtime.block_on(async {
            let workers: Vec<_> = (0..at_once)
                .map(|_| {
                    let (callers, ops, next) = (Arc::clone(&callers), Arc::clone(&ops), Arc::clone(&next));
                    tokio::spawn(async move {
                        let (mut done, mut why) = (Vec::new(), None);
                        loop {
                            let from = next.fetch_add(batch, Ordering::Relaxed);
                            let Some(ops) = ops.get(from..(from + batch).min(ops.len())) else {
                                return (done, why);
                            };
                            let Some(&(n, get)) = ops.first() else { return (done, why) };
                            let caller = &callers[gateway(n, callers.len(), get)];
                            let began = Instant::now();
                            let outcomes = some(caller, ops, bytes, reads).await;
                            let took = began.elapsed();
                            for (at, outcome) in outcomes.into_iter().enumerate() {
                                let verdict = outcome.unwrap_or_else(|text| {
                                    why.get_or_insert(text);
                                    Verdict::Failed
                                });
                                done.push((from + at, took, verdict));
                            }
                        }
                    })
                })
                .collect();
            let mut done = Vec::new();
            for worker in workers {
                let (of_one, why) = worker.await.map_err(bug)?;
                done.extend(of_one);
                why.map(|why| self.why.get_or_init(|| why));
            }
            done.sort_unstable_by_key(|(i, ..)| *i);
            Ok(done.into_iter().map(|(_, span, verdict)| (span, verdict)).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_get_never_asks_the_node_of_the_put() {
        for nodes in [2, 3, 48, 64] {
            assert!((0..10_000).all(|n| gateway(n, nodes, true) != gateway(n, nodes, false)));
        }
    }

    #[test]
    fn values_have_their_length_and_differ() {
        assert_eq!(value(1, 1_000).len(), 1_000);
        assert_eq!(value(1, 3).len(), 3);
        assert_ne!(value(1, 1_000), value(2, 1_000));
    }
}
