//! How long a node takes to start on a directory with a million records, beside what redb alone takes to open and read the same file.
//!
//! ```text
//! cargo bench -p keyway-net --bench start_up -- [RECORDS] [VALUE_BYTES] [DIRECTORY]
//! ```
//!
//! The page cache is dropped before each start, for the file at least. Two directories: one that was closed, and one as a crash leaves
//! it, whose file redb verifies as a whole. A start is over when the node has its index and is a member of its network (of itself).
//! Exits with 1 when a start takes longer than is promised, or the records are not all there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration as Span, Instant, SystemTime, UNIX_EPOCH};

use keyway_core::id::Id;
use keyway_core::machine::{DiskEffect, DiskOp, DiskResult, DiskToken};
use keyway_core::rng::Rng;
use keyway_core::store::Record;
use keyway_core::time::{Duration, Wall};
use keyway_net::disk::Disk;
use keyway_net::disk::engine::EngineConfig;
use keyway_net::{DiskMetrics, Durability, NodeSettings, start};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use rustix::fs::{Advice, fadvise};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A node with a million records starts in less.
const PROMISE: Span = Span::from_secs(10);
/// Records written at once while the directory is filled.
const UNDER_WAY: u64 = 8192;
const HEADS: TableDefinition<'_, [u8; 60], &[u8]> = TableDefinition::new("heads");

struct Options {
    records: u64,
    value_bytes: usize,
    directory: Option<PathBuf>,
}

fn options() -> Options {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    Options {
        records: args.next().and_then(|n| n.parse().ok()).unwrap_or(1_000_000),
        value_bytes: args.next().and_then(|n| n.parse().ok()).unwrap_or(100),
        directory: args.next().map(PathBuf::from),
    }
}

/// Fills a directory as a node does, leaves a copy of its file as it is while it is open, and closes it.
async fn fill(clean: &Path, crashed: &Path, options: &Options) -> Outcome<()> {
    let (metrics, config) = (DiskMetrics::default(), EngineConfig::default());
    let (mut disk, _) = Disk::open(clean, Durability::Os, config, Id::of_text("me"), metrics)?;
    let mut rng = Rng::from_u64(1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
    let now = Wall(u64::try_from(now)?);
    let (mut effects, mut done, mut asked, mut ended) = (Vec::new(), Vec::new(), 0, 0);
    while ended < options.records {
        while asked < options.records && asked - ended < UNDER_WAY {
            asked += 1;
            let mut value = vec![0; options.value_bytes];
            for chunk in value.chunks_mut(8) {
                chunk.copy_from_slice(&rng.next_u64().to_le_bytes()[..chunk.len()]);
            }
            let record = Record::plain(rng.id(), value, now, Duration::from_secs(86_400), 1);
            effects.push(DiskEffect { token: DiskToken(asked), op: DiskOp::Write(record) });
        }
        disk.submit(&mut effects);
        disk.ready().await;
        disk.take_done(&mut done);
        ended += done.len() as u64;
        if done.iter().any(|(_, result)| !matches!(result, DiskResult::Written)) {
            return Err("the disk failed while it was filled".into());
        }
        done.clear();
    }
    fs::create_dir_all(crashed)?;
    fs::copy(clean.join("keyway.redb"), crashed.join("keyway.redb"))?;
    disk.close();
    Ok(())
}

/// Makes the next reader of a file go to the disk.
fn forget(file: &Path) -> Outcome<()> {
    let file = File::open(file)?;
    file.sync_all()?;
    fadvise(&file, 0, None, Advice::DontNeed)?;
    Ok(())
}

/// What redb alone takes to open the file and to read every row of the heads.
fn redb_alone(file: &Path) -> Outcome<(Span, u64)> {
    forget(file)?;
    let began = Instant::now();
    let database = Database::open(file)?;
    let (mut rows, mut bytes) = (0, 0);
    for entry in database.begin_read()?.open_table(HEADS)?.iter()? {
        let (key, row) = entry?;
        (rows, bytes) = (rows + 1, bytes + key.value().len() + row.value().len());
    }
    let took = began.elapsed();
    std::hint::black_box(bytes);
    Ok((took, rows))
}

/// What a node takes, and how many records it has then.
async fn node(directory: &Path) -> Outcome<(Span, u64)> {
    forget(&directory.join("keyway.redb"))?;
    let settings = NodeSettings {
        listen: ([127, 0, 0, 1], 0).into(),
        data: Some(directory.to_owned()),
        ..NodeSettings::default()
    };
    let began = Instant::now();
    let node = start(settings).await?;
    node.wait_member().await?;
    let took = began.elapsed();
    let records = node.status().await?.records;
    node.stop().await;
    Ok((took, records))
}

/// Greatest memory of this process so far, in MiB.
fn memory_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

async fn measure(options: &Options) -> Outcome<bool> {
    let temporary = tempfile::tempdir()?;
    let root = options.directory.clone().unwrap_or_else(|| temporary.path().to_owned());
    let (clean, crashed) = (root.join("clean"), root.join("crashed"));
    let began = Instant::now();
    fill(&clean, &crashed, options).await?;
    let mib = fs::metadata(clean.join("keyway.redb"))?.len() >> 20;
    println!(
        "{} records of {} bytes in {:.1} s: a file of {mib} MiB",
        options.records,
        options.value_bytes,
        began.elapsed().as_secs_f64()
    );
    let mut kept = true;
    for (name, directory) in [("closed", &clean), ("crashed", &crashed)] {
        let (took, records) = node(directory).await?;
        // The node has closed it: redb alone reads a sound file, whatever the node found.
        let (alone, rows) = redb_alone(&directory.join("keyway.redb"))?;
        let ratio = took.as_secs_f64() / alone.as_secs_f64();
        let whole = records == options.records && rows == options.records;
        let good = whole && took <= PROMISE;
        println!(
            "{}  {name:>7}: a node starts in {:>6.2} s with {records} records; redb alone reads the file in {:>5.2} s; ratio {ratio:.1}; at most {} MiB",
            if good { "kept  " } else { "BROKEN" },
            took.as_secs_f64(),
            alone.as_secs_f64(),
            memory_mib(),
        );
        kept &= good;
    }
    Ok(kept)
}

fn main() -> ExitCode {
    let options = options();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match runtime.block_on(measure(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
