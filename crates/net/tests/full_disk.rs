//! A disk that is really full. Runs where `KEYWAY_SMALL_DISK` names a directory on a small file system:
//!
//! ```text
//! mount -t tmpfs -o size=16m none /mnt/small
//! KEYWAY_SMALL_DISK=/mnt/small cargo test -p keyway-net --test full_disk -- --nocapture
//! ```
//!
//! Elsewhere it only says so: a file system cannot be made without privileges. `disk_faults` has the same story with
//! a simulated disk, everywhere.

use keyway_core::Id;
use keyway_core::machine::{DiskEffect, DiskError, DiskOp, DiskResult, DiskToken};
use keyway_core::store::{Identity, Record};
use keyway_core::time::{Duration, Wall};
use keyway_net::disk::Disk;
use keyway_net::disk::engine::EngineConfig;
use keyway_net::{DiskMetrics, Durability};

fn record(i: u64) -> Record {
    let value = (0..20_000_u64).map(|b| (b * i) as u8).collect();
    Record::plain(Id::of_text(&i.to_string()), value, Wall(i), Duration::from_secs(60), 0)
}

async fn perform(disk: &mut Disk, op: DiskOp) -> DiskResult {
    let mut done = Vec::new();
    disk.submit(&mut vec![DiskEffect { token: DiskToken(0), op }]);
    while done.is_empty() {
        disk.ready().await;
        disk.take_done(&mut done);
    }
    done.remove(0).1
}

async fn read_all(disk: &mut Disk, written: &[Identity]) {
    for (i, identity) in written.iter().enumerate() {
        let found = perform(disk, DiskOp::Read(*identity)).await;
        assert_eq!(found, DiskResult::Record(Some(record(i as u64))), "record {i}");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_serves_reads_and_recovers() {
    let Some(root) = std::env::var_os("KEYWAY_SMALL_DISK") else {
        println!("KEYWAY_SMALL_DISK is not set: nothing is tried");
        return;
    };
    let root = tempfile::tempdir_in(root).expect("a directory on the small disk");
    let open = || {
        let metrics = DiskMetrics::default();
        Disk::open(root.path(), Durability::Fsync, EngineConfig::default(), Id::ZERO, metrics)
            .expect("opens")
            .0
    };
    let (mut disk, mut written) = (open(), Vec::new());
    let why = loop {
        let record = record(written.len() as u64);
        let identity = record.head.identity;
        match perform(&mut disk, DiskOp::Write(record)).await {
            DiskResult::Written => written.push(identity),
            DiskResult::Failed(why) => break why,
            other => panic!("a write is answered with {other:?}"),
        }
        assert!(written.len() < 100_000, "this disk is not small");
    };
    println!("full after {} records of 20,000 bytes", written.len());
    assert_eq!(why, DiskError::Full);
    read_all(&mut disk, &written).await;

    // A restart on the full disk works and finds everything.
    disk.close();
    let mut disk = open();
    read_all(&mut disk, &written).await;

    // Deleting makes room inside the file.
    for identity in written.drain(written.len() / 2..) {
        let result = perform(&mut disk, DiskOp::Delete(identity)).await;
        assert_eq!(result, DiskResult::Written, "a delete on a full disk");
    }
    let more = written.len() as u64;
    for i in more..more + 20 {
        assert_eq!(perform(&mut disk, DiskOp::Write(record(i))).await, DiskResult::Written, "room again");
        written.push(record(i).head.identity);
    }
    read_all(&mut disk, &written).await;
    disk.close();
}
