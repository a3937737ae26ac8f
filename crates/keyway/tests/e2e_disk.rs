//! A disk that is full, few file descriptors, two processes on one directory: a node says what is wrong, acknowledges
//! nothing that it cannot keep, goes on reading, and serves again when the cause is gone.

mod support;

use std::ffi::OsStr;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{Network, Node, SOON, get, keyway, noise, put, run, wait_until};

const VALUE_BYTES: usize = 48 << 10;
/// More than fit 16 MiB.
const VALUES_MAX: u64 = 600;
/// Alone, so that what it says is about its own disk.
const ALONE: [&str; 4] = ["--replicas", "1", "--acks", "1"];
/// For a node to find out that its disk works again.
const RECOVERY: Duration = Duration::from_secs(60);

/// `command` below a shell that runs `preamble` first, with `$1` being `argument`. The process keeps its id.
fn below_shell(command: &Command, wrapper: &[&str], preamble: &str, argument: &Path) -> Command {
    let mut wrapped = Command::new(wrapper[0]);
    wrapped.args(&wrapper[1..]).args(["sh", "-c", &format!("{preamble} && shift && exec \"$@\""), "sh"]);
    wrapped.arg(argument).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}

/// A way to run something in a mount namespace of its own, if this machine lets us.
fn mount_namespace() -> Option<Vec<&'static str>> {
    let ways: [&[&str]; 2] = [&["unshare", "--mount"], &["unshare", "--user", "--map-root-user", "--mount"]];
    let works = |way: &&&[&str]| {
        let mut trial = Command::new(way[0]);
        trial.args(&way[1..]).args(["sh", "-c", "mount -t tmpfs -o size=1m none /tmp"]);
        trial.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    ways.iter().find(works).map(|way| way.to_vec())
}

#[test]
fn a_full_disk_stops_acknowledgements_not_reads_and_ends_when_there_is_room() {
    let Some(namespace) = mount_namespace() else {
        eprintln!("SKIPPED: this machine lets us make no mount namespace, so no small disk");
        return;
    };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(dir.path(), "small", &ALONE);
    std::fs::create_dir(&node.data).expect("a directory");
    let plain = node.command(&[]);
    let mount = "mount -t tmpfs -o size=64m none \"$1\"";
    let mut start = below_shell(&plain, &namespace, mount, &node.data);
    node.start_as(&mut start);
    node.wait_ready(SOON);

    // Something of somebody else's lies on the same disk and leaves 16 MiB.
    let inside = PathBuf::from(format!("/proc/{}/root{}", node.process().id(), node.data.display()));
    let foreign = inside.join("foreign");
    std::fs::write(&foreign, noise(0, 48 << 20)).expect("the node's disk can be reached through /proc");

    let mut acknowledged = Vec::new();
    let refusal = (0..VALUES_MAX).find_map(|n| {
        let (status, body) = put(node.http, &format!("/v1/keys/k{n}"), &noise(n, VALUE_BYTES))?;
        if status == 201 {
            acknowledged.push(n);
            return None;
        }
        Some((status, body))
    });
    let (status, body) = refusal.expect("16 MiB are not endless");
    assert!(matches!(status, 503 | 507), "{status} {body}");
    assert!(acknowledged.len() > 50, "{} values in 16 MiB", acknowledged.len());

    let reasons = wait_until("it says that it is not ready", SOON, || {
        get(node.http, "/readyz").filter(|(status, _)| *status == 503).map(|(_, body)| body)
    });
    assert!(reasons.contains("disk is full"), "{reasons}");
    let said = keyway(["--gateway", &node.url(), "put", "one", "more"]).failed(4);
    assert!(said.contains("full"), "{said}");
    let said = keyway(["--gateway", &node.url(), "health"]);
    assert_eq!(said.code, 4, "{}", said.text());
    let intact = |n: &u64| {
        let found = keyway(["--gateway", &node.url(), "get", &format!("k{n}"), "--raw"]);
        assert_eq!(found.code, 0, "k{n} was acknowledged: {}", found.stderr);
        assert!(found.stdout == noise(*n, VALUE_BYTES), "k{n} is not what was put");
    };
    acknowledged.iter().step_by(10).for_each(intact);

    std::fs::remove_file(&foreign).expect("it is there");
    let http = node.http;
    wait_until("there is room, and it takes writes again", RECOVERY, || {
        get(http, "/readyz").filter(|(status, _)| *status == 200)
    });
    keyway(["--gateway", &node.url(), "put", "one", "more"]).good();
    acknowledged.iter().for_each(intact);
    assert!(node.process().ended().is_none(), "it never ended");
}

#[test]
fn few_descriptors_cost_connections_not_the_node() {
    let mut network = Network::start(2, &["--replicas", "2", "--acks", "1", "--durability", "os"]);
    let mut poor =
        Node::new(network.dir.path(), "poor", &["--replicas", "2", "--acks", "1", "--durability", "os"]);
    let plain = poor.command(&[network.nodes[0].udp]);
    let mut start = below_shell(&plain, &["env"], "ulimit -n 64 && : \"$1\"", Path::new(OsStr::new("-")));
    poor.start_as(&mut start);
    poor.wait_ready(SOON);
    keyway(["--gateway", &poor.url(), "put", "before", "1"]).good();

    let crowd: Vec<TcpStream> = (0..200).filter_map(|_| TcpStream::connect(poor.http).ok()).collect();
    assert!(crowd.len() > 64, "the system takes them, whatever the node can: {}", crowd.len());
    let rich = network.nodes[1].url();
    keyway(["--gateway", &rich, "put", "during", "2"]).good();
    assert_eq!(keyway(["--gateway", &rich, "get", "before"]).good(), "1\n");
    assert!(poor.process().ended().is_none(), "{}", poor.process().log_end());

    drop(crowd);
    let http = poor.http;
    wait_until("it serves again", SOON, || get(http, "/readyz").filter(|(status, _)| *status == 200));
    keyway(["--gateway", &poor.url(), "put", "after", "3"]).good();
    assert_eq!(keyway(["--gateway", &poor.url(), "get", "during"]).good(), "2\n");
    assert!(!poor.process().log().contains("panicked"), "{}", poor.process().log_end());
    network.wait_ready(SOON);
}

#[test]
fn a_second_process_on_one_directory_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut first = Node::new(dir.path(), "data", &ALONE);
    first.start(&[]);
    first.wait_ready(SOON);
    let second = Node::new(dir.path(), "data", &ALONE);
    let said = run(&mut second.command(&[]), b"").failed(1);
    assert!(said.contains("data") && said.contains("process"), "{said}");
    keyway(["--gateway", &first.url(), "put", "still", "here"]).good();
}

#[test]
fn a_node_restarted_on_its_data_is_the_same_node_with_a_new_life() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(dir.path(), "data", &ALONE);
    node.start(&[]);
    node.wait_ready(SOON);
    keyway(["--gateway", &node.url(), "put", "kept", "yes", "--ttl", "1h"]).good();
    let read = |node: &Node| -> serde_json::Value {
        serde_json::from_str(&keyway(["--gateway", &node.url(), "get", "kept", "-o", "json"]).good())
            .expect("JSON")
    };
    let (before, value) = (node.status().expect("it answers"), read(&node));
    node.kill();
    node.start(&[]);
    node.wait_ready(SOON);
    let (after, same) = (node.status().expect("it answers"), read(&node));
    assert_eq!(before["id"], after["id"]);
    assert_eq!(before["network"], after["network"]);
    assert!(after["incarnation"].as_u64() > before["incarnation"].as_u64());
    for field in ["put_time_ms", "ttl_seconds", "value_hash"] {
        assert_eq!(value["values"][0][field], same["values"][0][field], "{field} is unchanged");
    }
}
