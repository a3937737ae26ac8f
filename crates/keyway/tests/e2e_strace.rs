//! A real node whose system calls fail, by `strace -e inject`: refusals are clean, reads go on, and when the cause is gone it serves
//! again, without a restart.
//!
//! What the storage engine makes of such failures is tried exhaustively in `crates/net/tests/disk_faults.rs`; here it is the real
//! file, the real driver and the real gateway. strace is Debian's `strace`; `.ci/run` installs it, and sets `CI`: there a machine that
//! does not let it attach is a failure, elsewhere a line on the terminal.

mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use support::{Network, Node, Process, SOON, get, keyway, noise, put, wait_until};

const ALONE: [&str; 4] = ["--replicas", "1", "--acks", "1"];
/// Long enough to stand apart from its head, and to make the file grow.
const VALUE_BYTES: usize = 20_000;
/// Puts that are tried while the disk is sick.
const TRIES: u64 = 12;

/// Whether strace may attach to a process that is not its own child; a missing strace fails the test, saying where it comes from.
fn may_trace() -> bool {
    let mut other = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat is everywhere");
    let mut strace = Command::new("strace");
    strace.args(["-o", "/dev/null", "-p", &other.id().to_string()]).stdin(Stdio::null());
    let strace = strace.stderr(Stdio::piped()).spawn();
    let strace = strace.unwrap_or_else(|e| panic!("strace cannot be run ({e}): apt-get install strace"));
    // `cat` ends with its input, and strace with `cat`; if it could not attach it ends with an error of its own.
    let said = std::thread::spawn(move || strace.wait_with_output().expect("it can be waited for"));
    let attached = wait_until("strace has attached or ended", SOON, || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", other.id())).expect("it waits");
        (said.is_finished() || !status.contains("TracerPid:\t0\n"))
            .then(|| !status.contains("TracerPid:\t0\n"))
    });
    drop(other.stdin.take());
    other.wait().expect("it can be waited for");
    let said = said.join().expect("it does not panic");
    let why = String::from_utf8_lossy(&said.stderr).trim().to_owned();
    match verdict(attached, std::env::var_os("CI").is_some(), &why) {
        Ok(None) => {}
        // Not by a macro, whose output the test harness keeps to itself if the test passes.
        Ok(Some(line)) => writeln!(std::io::stderr(), "{line}").expect("it can be written"),
        Err(failure) => panic!("{failure}"),
    }
    attached
}

/// What not being able to attach means: nothing to say, a line for who looks on, or a failure.
fn verdict(attached: bool, on_ci: bool, why: &str) -> Result<Option<String>, String> {
    match (attached, on_ci) {
        (true, _) => Ok(None),
        (false, false) => Ok(Some(format!("SKIPPED: strace may not attach to a process here: {why}"))),
        (false, true) => Err(format!(
            "strace may not attach to a process here, and CI is set: {why}; allow ptrace (docker run --cap-add SYS_PTRACE, \
             kernel.yama.ptrace_scope=0), or unset CI to pass without what is tried here"
        )),
    }
}

#[test]
fn what_cannot_be_tried_is_a_failure_on_ci_and_told_elsewhere() {
    assert_eq!(verdict(true, true, ""), Ok(None));
    assert!(verdict(false, true, "EPERM").is_err_and(|failure| failure.contains("EPERM")));
    assert!(
        verdict(false, false, "EPERM").is_ok_and(|line| line.is_some_and(|line| line.contains("SKIPPED")))
    );
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
