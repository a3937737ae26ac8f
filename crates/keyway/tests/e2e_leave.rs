//! Coming and going politely: a node that is asked to leave hands over first, and who has not the network's key stays
//! outside.

mod support;

use std::fmt::Write as _;
use std::time::Duration;

use support::{Network, Node, SOON, get, keyway};

const RECORDS: usize = 600;
/// For a node to hand over and leave.
const LEAVE: Duration = Duration::from_secs(60);

#[test]
fn nodes_leave_one_after_another_and_every_record_is_still_there() {
    let mut network = Network::start(5, &["--durability", "os"]);
    let file = network.dir.path().join("records.tsv");
    let mut text = String::new();
    for n in 0..RECORDS {
        writeln!(text, "name-{n}\tvalue {n}").expect("a String takes it");
    }
    std::fs::write(&file, text).expect("a file");
    let file = file.display().to_string();
    network.run(&["import", &file]).good();

    for gone in [4, 0] {
        network.nodes[gone].leave(LEAVE);
        // At once: whoever left has handed over before.
        let said = network.run(&["import", &file, "--verify-only"]).good();
        assert_eq!(said, format!("{RECORDS} of {RECORDS} equal\n"), "after node {gone} left");
        network.wait_ready(SOON);
    }

    // Who comes back later has its records, and those that came meanwhile.
    network.run(&["put", "meanwhile", "yes"]).good();
    network.restart(4);
    network.wait_ready(SOON);
    let only = network.nodes[4].url();
    assert_eq!(support::keyway(["--gateway", &only, "get", "meanwhile"]).good(), "yes\n");
    let said = support::keyway(["--gateway", &only, "import", &file, "--verify-only"]).good();
    assert_eq!(said, format!("{RECORDS} of {RECORDS} equal\n"));
}

#[test]
fn without_the_key_of_the_network_nobody_joins() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let key = |name: &str, text: &str| {
        let file = dir.path().join(name);
        std::fs::write(&file, text).expect("a file");
        file.display().to_string()
    };
    let (ours, theirs) = (key("ours", "sixteen bytes or more"), key("theirs", "quite another secret"));
    let flags = |key: &str| {
        let all = ["--network-key-file", key, "--durability", "memory", "--replicas", "2", "--acks", "2"];
        all.map(str::to_owned)
    };
    let node = |name: &str, key: &str| {
        let flags = flags(key);
        Node::new(dir.path(), name, &flags.each_ref().map(String::as_str))
    };
    let mut founder = node("founder", &ours);
    founder.start(&[]);
    founder.wait_ready(SOON);
    let mut stranger = node("stranger", &theirs);
    stranger.start(&[founder.udp]);
    let mut friend = node("friend", &ours);
    friend.start(&[founder.udp]);
    friend.wait_ready(SOON);

    keyway(["--gateway", &founder.url(), "put", "secret", "for friends"]).good();
    assert_eq!(keyway(["--gateway", &friend.url(), "get", "secret"]).good(), "for friends\n");
    let (status, reasons) = get(stranger.http, "/readyz").expect("it listens");
    assert!(status == 503 && reasons.contains("looking for a member"), "{status} {reasons}");
    keyway(["--gateway", &stranger.url(), "get", "secret"]).failed(6);

    let short = key("short", "too short");
    let said = support::run(&mut node("short", &short).command(&[]), b"").failed(2);
    assert!(said.contains("at least 16"), "{said}");
}
