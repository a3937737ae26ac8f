//! A node that is asked to leave hands over first: of five, two go one after another, and nothing is missed.

mod support;

use std::fmt::Write as _;
use std::time::Duration;

use support::{Network, SOON};

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
fn two_signals_in_one_instant_are_one_wish_to_leave() {
    let mut network = Network::start(3, &["--durability", "memory", "--replicas", "2", "--acks", "1"]);
    network.run(&["put", "colors", "red"]).good();
    // As `timeout` does, to the process and to its group. Of two kinds, since the system makes one of two alike.
    network.nodes[1].process().interrupt();
    network.nodes[1].leave(LEAVE);
    assert_eq!(support::keyway(["--gateway", &network.nodes[0].url(), "get", "colors"]).good(), "red\n");
}
