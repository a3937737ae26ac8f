//! How long a put and a get take in a small network in one process on loopback, without HTTP.
//!
//! ```text
//! cargo run --release -p keyway-net --example op_latency -- [NODES] [OPS] [CONCURRENCY] [memory|os|fsync] [DIRECTORY]
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration as Span, Instant};

use keyway_core::machine::{Op, Reads};
use keyway_core::{Duration, Id};
use keyway_net::{Durability, NodeHandle, NodeSettings, start};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Does `count` ops, `concurrency` at a time, spread over the nodes, and prints how long they took.
async fn measure(
    name: &str,
    nodes: &Arc<Vec<NodeHandle>>,
    count: usize,
    concurrency: usize,
    what: fn(usize) -> Op,
) -> Outcome<()> {
    let (next, started) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let workers: Vec<_> = (0..concurrency)
        .map(|_| {
            let (next, nodes) = (Arc::clone(&next), Arc::clone(nodes));
            tokio::spawn(async move {
                let (mut spans, mut failed) = (Vec::new(), 0);
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= count {
                        return (spans, failed);
                    }
                    let begun = Instant::now();
                    match nodes[i % nodes.len()].op(what(i)).await {
                        Ok(_) => spans.push(begun.elapsed()),
                        Err(_) => failed += 1,
                    }
                }
            })
        })
        .collect();
    let (mut spans, mut failed) = (Vec::<Span>::new(), 0);
    for worker in workers {
        let (some, lost) = worker.await?;
        spans.extend(some);
        failed += lost;
    }
    spans.sort_unstable();
    let at = |percent: usize| {
        spans.get(spans.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
    };
    let rate = spans.len() as f64 / started.elapsed().as_secs_f64();
    println!("{name}: {rate:>7.0}/s  p50 {:>9.1?}  p99 {:>9.1?}  failed {failed}", at(50), at(99));
    Ok(())
}

fn put(i: usize) -> Op {
    Op::put(Id::of_text(&i.to_string()), vec![7; 100], Duration::from_secs(3600))
}

fn get(i: usize) -> Op {
    let key = Id::of_text(&i.to_string());
    Op::Get {
        key,
        max: 1,
        after: None,
        reads: Reads::Quorum,
        page_bytes: u32::MAX,
        overhead_bytes: 0,
        signer: None,
    }
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: usize| args.next().map_or(Ok(default), |s| s.parse());
    let (count, ops, concurrency) = (number(8)?, number(20_000)?, number(1)?);
    let durability: Durability = args.next().unwrap_or_else(|| "memory".into()).parse()?;
    let root = tempfile::tempdir_in(args.next().map_or_else(std::env::temp_dir, PathBuf::from))?;
    let mut nodes: Vec<NodeHandle> = Vec::new();
    for i in 0..count {
        let node = start(NodeSettings {
            listen: ([127, 0, 0, 1], 0).into(),
            seeds: nodes.first().map(NodeHandle::listen).into_iter().collect(),
            data: (durability != Durability::Memory).then(|| root.path().join(i.to_string())),
            durability,
            ..NodeSettings::default()
        })
        .await?;
        node.wait_member().await?;
        nodes.push(node);
    }
    println!("{count} nodes, {ops} operations, {concurrency} at a time, {durability}");
    let nodes = Arc::new(nodes);
    measure("put", &nodes, ops, concurrency, put).await?;
    measure("get", &nodes, ops, concurrency, get).await?;
    let fsyncs: u64 = nodes.iter().map(|n| n.metrics().disk.fsyncs.get()).sum();
    let dropped: u64 = nodes.iter().map(|n| n.metrics().datagrams_dropped.get()).sum();
    println!("{fsyncs} fsyncs, {dropped} datagrams dropped");
    Ok(())
}
