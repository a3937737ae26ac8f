//! A real node whose system calls fail, by `strace -e inject`: refusals are clean, reads go on, and when the cause is gone it serves
//! again, without a restart.
//!
//! What the storage engine makes of such failures is tried exhaustively in `crates/net/tests/disk_faults.rs`; here it is the real
//! file, the real driver and the real gateway. strace is Debian's `strace`; `.ci/run` installs it.

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use support::{Network, Node, Process, SOON, get, keyway, noise, put, wait_until};

const ALONE: [&str; 4] = ["--replicas", "1", "--acks", "1"];
/// Long enough to stand apart from its head, and to make the file grow.
const VALUE_BYTES: usize = 20_000;
/// Puts that are tried while the disk is sick.
const TRIES: u64 = 12;

/// Whether strace may look at other processes here; a missing strace fails the test, saying where it comes from.
fn may_trace() -> bool {
    let trial = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    let trial = trial.unwrap_or_else(|e| panic!("strace cannot be run ({e}): apt-get install strace"));
    if !trial.success() {
        eprintln!("SKIPPED: this machine lets strace trace nothing");
    }
    trial.success()
}

/// Makes system calls of a node fail until it is dropped.
struct Sickness {
    strace: Process,
}

impl Sickness {
    fn begin(node: &mut Node, dir: &Path, calls: &str, error: &str) -> Sickness {
        let (log, told) = (dir.join("strace.out"), dir.join("strace.log"));
        let _ = std::fs::remove_file(&told);
        let mut command = Command::new("strace");
        command.args(["-f", "-p", &node.process().id().to_string(), "-o"]).arg(&log);
        command.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:error={error}")]);
        let strace = Process::start(&mut command, &told);
        wait_until("strace is attached", SOON, || strace.log().contains("attached").then_some(()));
        Sickness { strace }
    }

    /// The cause is gone: strace lets go of the node, which goes on.
    fn end(mut self) {
        self.strace.interrupt();
        self.strace.end(SOON);
    }
}

/// Puts value `n`; whether it was acknowledged, and what was said if not.
fn store(node: &Node, n: u64) -> Result<(), String> {
    match put(node.http, &format!("/v1/keys/k{n}"), &noise(n, VALUE_BYTES)) {
        Some((201, _)) => Ok(()),
        Some((status, body)) => Err(format!("{status} {body}")),
        None => Err("nothing".into()),
    }
}

fn check(node: &Node, acknowledged: &[u64]) {
    for n in acknowledged {
        let found = keyway(["--gateway", &node.url(), "get", &format!("k{n}"), "--raw"]);
        assert_eq!(found.code, 0, "k{n} was acknowledged: {}", found.stderr);
        assert!(found.stdout == noise(*n, VALUE_BYTES), "k{n} is not what was put");
    }
}

/// A node alone lives through a sickness of its disk.
fn live_through(calls: &str, error: &str, said: &str) {
    if !may_trace() {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(dir.path(), "sick", &ALONE);
    node.start(&[]);
    node.wait_ready(SOON);
    let mut acknowledged: Vec<u64> = (0..10).collect();
    acknowledged.iter().for_each(|n| store(&node, *n).expect("the disk is well"));

    let sickness = Sickness::begin(&mut node, dir.path(), calls, error);
    let mut refusals = Vec::new();
    for n in 100..100 + TRIES {
        match store(&node, n) {
            // Not every write needs what fails: then it is as good as any.
            Ok(()) => acknowledged.push(n),
            Err(why) => refusals.push(why),
        }
    }
    assert!(!refusals.is_empty(), "{calls} fail with {error}, and nothing was refused");
    assert!(refusals.iter().all(|why| why.starts_with("503 ") || why.starts_with("507 ")), "{refusals:?}");
    let reasons = wait_until("it says that it is not ready", SOON, || {
        get(node.http, "/readyz").filter(|(status, _)| *status == 503).map(|(_, body)| body)
    });
    assert!(reasons.contains(said), "{reasons}");
    check(&node, &acknowledged);
    assert!(node.process().ended().is_none(), "it goes on: {}", node.process().log_end());

    sickness.end();
    let http = node.http;
    wait_until("the cause is gone, and it takes writes again", SOON, || {
        get(http, "/readyz").filter(|(status, _)| *status == 200)
    });
    for n in 200..210 {
        store(&node, n).expect("the disk is well again");
        acknowledged.push(n);
    }
    check(&node, &acknowledged);
    assert!(!node.process().log().contains("panicked"), "{}", node.process().log_end());
    // What was acknowledged is on the disk, whatever the kernel remembered meanwhile.
    node.kill();
    node.start(&[]);
    node.wait_ready(SOON);
    check(&node, &acknowledged);
}

#[test]
fn a_node_lives_through_a_failing_fsync() {
    live_through("fsync,fdatasync", "EIO", "disk failed");
}

#[test]
fn a_node_lives_through_a_disk_without_room() {
    live_through("pwrite64,fallocate", "ENOSPC", "disk is full");
}

#[test]
fn a_network_goes_on_beside_a_node_whose_fsync_fails() {
    if !may_trace() {
        return;
    }
    let mut network = Network::start(3, &[]);
    let dir = network.dir.path().to_owned();
    store(&network.nodes[1], 1).expect("all are well");
    let sickness = Sickness::begin(&mut network.nodes[0], &dir, "fsync,fdatasync", "EIO");
    // Two of three copies are enough; a gateway with a sick disk refuses for itself.
    let mut acknowledged = vec![1];
    for n in 2..12 {
        store(&network.nodes[1 + n as usize % 2], n).expect("two disks are well");
        acknowledged.push(n);
    }
    let said = keyway(["--gateway", &network.nodes[0].url(), "put", "k", "v"]).failed(4);
    assert!(said.contains("disk failed"), "{said}");
    network.nodes.iter().for_each(|node| check(node, &acknowledged));
    sickness.end();
    network.wait_ready(SOON);
    store(&network.nodes[0], 20).expect("it is well again");
    network.nodes.iter().for_each(|node| check(node, &acknowledged));
}
