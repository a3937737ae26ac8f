//! How many durable record writes the disk of a node does per second, beside what redb alone does with the same batches.
//!
//! ```text
//! cargo run --release -p keyway-net --example disk_speed -- [DIRECTORY] [SECONDS] [CONCURRENCY] [VALUE_BYTES]
//! ```
//!
//! The first figure drives the engine as a node's driver does: so many writes in flight, a new one for each that ends.
//! The second commits batches of the same mean size to a bare redb table, one after the other, without a queue, a
//! checksum or a second thread. Both keep the same number of distinct records.

use std::path::{Path, PathBuf};
use std::time::{Duration as Span, Instant};

use keyway_core::id::Id;
use keyway_core::machine::{DiskEffect, DiskOp, DiskResult, DiskToken};
use keyway_net::disk::Disk;
use keyway_net::disk::engine::EngineConfig;
use keyway_net::disk::yardstick::{Source, redb_alone};
use keyway_net::{DiskMetrics, Durability};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

struct Speed {
    records: u64,
    fsyncs: u64,
    commits: u64,
    written_bytes: u64,
    seconds: f64,
}

impl Speed {
    fn print(&self, name: &str) {
        println!(
            "{name:>8}: {:>8.0} records/s  {:>6.0} fsyncs/s  {:>6.0} commits/s  {:>5.0} records/commit  {:>6.1} MB/s written",
            self.records as f64 / self.seconds,
            self.fsyncs as f64 / self.seconds,
            self.commits as f64 / self.seconds,
            self.records as f64 / self.commits.max(1) as f64,
            self.written_bytes as f64 / self.seconds / 1e6,
        );
    }
}

/// Through the disk of a node.
async fn keyway(path: &Path, time: Span, concurrency: u64, mut source: Source) -> Outcome<Speed> {
    let metrics = DiskMetrics::default();
    let config = EngineConfig::default();
    let (mut disk, _) = Disk::open(path, Durability::Fsync, config, Id::of_text("me"), metrics.clone())?;
    let (fsyncs, written) = (metrics.fsyncs.get(), metrics.written_bytes.get());
    let (started, mut records, mut token) = (Instant::now(), 0, 0);
    let (mut effects, mut done, mut wanted) = (Vec::new(), Vec::new(), concurrency);
    while started.elapsed() < time {
        for _ in 0..wanted {
            token += 1;
            effects.push(DiskEffect { token: DiskToken(token), op: DiskOp::Write(source.record()) });
        }
        disk.submit(&mut effects);
        disk.ready().await;
        disk.take_done(&mut done);
        wanted = done.len() as u64;
        for (_, result) in done.drain(..) {
            assert_eq!(result, DiskResult::Written);
            records += 1;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let speed = Speed {
        records,
        fsyncs: metrics.fsyncs.get() - fsyncs,
        commits: metrics.commits.get(),
        written_bytes: metrics.written_bytes.get() - written,
        seconds,
    };
    disk.close();
    Ok(speed)
}

/// redb alone.
fn bare(path: &Path, time: Span, batch: u64, source: Source) -> Outcome<Speed> {
    let alone = redb_alone(path, time, batch, EngineConfig::default().cache_bytes, source)?;
    Ok(Speed {
        records: alone.records,
        fsyncs: alone.commits,
        commits: alone.commits,
        written_bytes: 0,
        seconds: alone.took.as_secs_f64(),
    })
}

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let root = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let mut number = |default: u64| args.next().map_or(Ok(default), |s| s.parse());
    let (time, concurrency, value_bytes) = (Span::from_secs(number(5)?), number(256)?, number(200)? as usize);
    let root = tempfile::tempdir_in(root)?;
    println!("{concurrency} writes in flight, values of {value_bytes} bytes, {time:?} each, fsync");
    let source = || Source::new(1, value_bytes);

    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let ours = runtime.block_on(keyway(&root.path().join("keyway"), time, concurrency, source()))?;
    ours.print("keyway");
    let batch = (ours.records / ours.commits.max(1)).max(1);
    let alone = bare(&root.path().join("bare.redb"), time, batch, source())?;
    alone.print("redb");
    let rate = |s: &Speed| s.records as f64 / s.seconds;
    println!("   ratio: {:.2} of redb alone in batches of {batch}", rate(&ours) / rate(&alone));
    Ok(())
}
