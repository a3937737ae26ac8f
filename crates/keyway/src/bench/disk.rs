//! What the disks do during a run that keeps its data, beside what redb files alone do on the same disk in the same run.
//!
//! ```text
//!   puts ──▶ N nodes ──▶ N files      records/s that group commits made durable, records per commit of each node
//!   then    N threads ──▶ N files     redb alone, all at once, for as long, each in batches of its node's mean size
//! ```
//!
//! All that both do stands in a directory of its own, which is removed at the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyway_net::disk::engine::EngineConfig;
use keyway_net::disk::yardstick::{Source, Speed, redb_alone};
use keyway_net::{DiskMetrics, Durability};
use serde::Serialize;
use tokio::runtime::Runtime;

use super::{BenchArgs, network};
use crate::exit::{Exit, Failure};
use crate::serve::Signals;

/// Least time for redb alone; below it, its first commits would weigh too much.
const ALONE_MIN: Duration = Duration::from_millis(500);
/// Names that are tried for a directory that is not there yet.
const NAMES_MAX: u32 = 100;

/// Where data lies during a run, if it is kept at all. Removed when dropped, and when Ctrl-C or SIGTERM ends the process.
pub(super) struct Scratch {
    path: Option<PathBuf>,
    /// Waits for the signals.
    _ears: Option<Runtime>,
}

impl Scratch {
    /// A new directory in the one that was named.
    pub(super) fn new(args: &BenchArgs) -> Result<Scratch, Failure> {
        if args.durability == Durability::Memory {
            return Ok(Scratch { path: None, _ears: None });
        }
        let process = std::process::id();
        let mut failed = None;
        for n in 0..NAMES_MAX {
            let path = args.dir.join(format!("keyway-bench-{process}-{n}"));
            match fs::create_dir(&path) {
                Ok(()) => {
                    // From here on it is removed, also if nobody can listen.
                    let mut scratch = Scratch { path: Some(path.clone()), _ears: None };
                    scratch._ears = Some(remove_at_signal(path)?);
                    return Ok(scratch);
                }
                Err(error) => failed = Some((path, error)),
            }
        }
        let text = failed.map_or_else(String::new, |(path, error)| format!("{}: {error}", path.display()));
        Err(Failure::new(Exit::Failure, format!("no directory for the data: {text}"))
            .hint("name another place with --dir"))
    }

    /// The directory. Nothing is written into it when nothing is kept.
    pub(super) fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new("."))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(path) = self.path.take()
            && let Err(error) = fs::remove_dir_all(&path)
        {
            tracing::warn!(%error, path = %path.display(), "the data of the run is left");
        }
    }
}

/// Tries of removing a directory into which nodes of this process still write.
const REMOVALS_MAX: u32 = 100;

/// Ends the process by Ctrl-C or SIGTERM, and removes what it has written first. Nodes need not stop for that: what they wrote
/// is not read again.
fn remove_at_signal(path: PathBuf) -> Result<Runtime, Failure> {
    let runtime = network::runtime(Some(1))?;
    let mut signals = runtime.block_on(async { Signals::new() })?;
    runtime.spawn(async move {
        signals.leave().await;
        // A node may make a file between the look into its directory and the directory's removal.
        let left = (0..REMOVALS_MAX).all(|_| fs::remove_dir_all(&path).is_err() && path.exists());
        if left {
            eprintln!("the data of the run is left in {}", path.display());
        }
        std::process::exit(Exit::Interrupted.code().into());
    });
    Ok(runtime)
}

/// Readings of all nodes' disks.
pub(super) struct Disks {
    at: Instant,
    /// Effects made durable, and commits, of each.
    each: Vec<(u64, u64)>,
}

/// The disks of all nodes during a phase of puts, and redb alone.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Beside {
    /// Of all nodes together: each copy is one.
    pub(super) records_per_s: f64,
    pub(super) commits_per_s: f64,
    pub(super) records_per_commit: f64,
    /// As many redb files alone, at once, in batches of the same size.
    pub(super) redb_records_per_s: f64,
    pub(super) redb_commits_per_s: f64,
    /// Ours as a share of theirs.
    pub(super) ratio: f64,
}

impl Disks {
    pub(super) fn read<'a>(disks: impl Iterator<Item = &'a DiskMetrics>) -> Disks {
        let each = disks.map(|disk| (disk.effects.get(), disk.commits.get())).collect();
        Disks { at: Instant::now(), each }
    }

    /// What was done between two readings, and what redb alone does in the same time.
    pub(super) fn beside_redb(
        &self,
        later: &Disks,
        value_bytes: usize,
        scratch: &Scratch,
    ) -> Result<Beside, Failure> {
        let took = later.at - self.at;
        let done = later.each.iter().zip(&self.each);
        let done: Vec<(u64, u64)> = done.map(|(now, then)| (now.0 - then.0, now.1 - then.1)).collect();
        let (effects, commits) = done.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let batches = done.iter().map(|(effects, commits)| effects.div_ceil((*commits).max(1)).max(1));
        let alone = alone(batches.collect(), took.max(ALONE_MIN), value_bytes, scratch)?;
        let seconds = took.as_secs_f64();
        let redb: f64 = alone.iter().map(Speed::records_per_s).sum();
        Ok(Beside {
            records_per_s: effects as f64 / seconds,
            commits_per_s: commits as f64 / seconds,
            records_per_commit: effects as f64 / commits.max(1) as f64,
            redb_records_per_s: redb,
            redb_commits_per_s: alone.iter().map(|one| one.commits as f64 / one.took.as_secs_f64()).sum(),
            ratio: effects as f64 / seconds / redb,
        })
    }
}

/// One file for each batch size, all at once.
fn alone(
    batches: Vec<u64>,
    time: Duration,
    value_bytes: usize,
    scratch: &Scratch,
) -> Result<Vec<Speed>, Failure> {
    let cache_bytes = EngineConfig::default().cache_bytes;
    let failed = |error: String| Failure::new(Exit::Failure, format!("redb alone: {error}"));
    let one = |at: usize, batch: u64| {
        let path = scratch.path().join(format!("alone-{at}.redb"));
        let source = Source::new(at as u64, value_bytes);
        let speed = redb_alone(&path, time, batch, cache_bytes, source).map_err(|e| failed(e.to_string()))?;
        // The next phase begins with new files, as its rows are new.
        fs::remove_file(&path).map_err(|e| failed(e.to_string()))?;
        Ok(speed)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            batches.into_iter().enumerate().map(|(at, batch)| scope.spawn(move || one(at, batch))).collect();
        let ended =
            threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err(failed("it panicked".into()))));
        ended.collect()
    })
}
