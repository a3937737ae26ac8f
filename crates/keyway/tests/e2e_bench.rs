//! `keyway bench` as people call it: every interface, few operations, and the fields that scripts read.

mod support;

use serde_json::Value;
use support::{Process, SOON, command, keyway, run, wait_until};

const SMALL: [&str; 13] = [
    "-o",
    "json",
    "bench",
    "--nodes",
    "3",
    "--copies",
    "3",
    "--ops",
    "10",
    "--concurrency",
    "1,4",
    "--value-bytes",
    "300",
];

fn report(more: &[&str]) -> Value {
    let said = run(command().args(SMALL).args(more), b"");
    serde_json::from_str(&said.good()).expect("one object")
}

/// What a phase says of its puts or its gets.
fn check_measured(measured: &Value, count: u64) {
    assert!(measured["count"] == count && measured["failed"] == 0 && measured["wrong"] == 0, "{measured}");
    for share in ["p50", "p90", "p99", "max"] {
        assert!(measured["ms"][share].as_f64() > Some(0.0), "{share}: {measured}");
    }
    for figure in ["per_s", "cpu_ms_per_op"] {
        assert!(measured[figure].as_f64() > Some(0.0), "{figure}: {measured}");
    }
    // A get from a node that holds a copy itself sends nothing.
    for figure in ["messages_per_op", "bytes_per_op"] {
        assert!(measured[figure].as_f64() >= Some(0.0), "{figure}: {measured}");
    }
}

#[test]
fn every_interface_is_measured_beside_an_echo() {
    let interfaces = ["native", "http", "xmlrpc", "sunrpc"];
    let flags = interfaces.iter().flat_map(|name| ["--interface", name]).chain(["--bulk", "50"]);
    let report = report(&flags.collect::<Vec<_>>());
    assert!(report["wrong"] == 0 && report["failed"] == 0 && report["durability"] == "memory", "{report}");
    assert!(report["put_per_s"].as_f64() > Some(0.0) && report["get_ms"]["p50"].as_f64() > Some(0.0));
    let phases = report["phases"].as_array().expect("a list");
    let wanted =
        interfaces.iter().flat_map(|name| [(name, 1, false, 10), (name, 4, false, 240), (name, 4, true, 50)]);
    assert_eq!(phases.len(), 12, "{report}");
    for (phase, (name, at_once, bulk, count)) in phases.iter().zip(wanted) {
        assert!(phase["interface"] == *name && phase["concurrency"] == at_once && phase["bulk"] == bulk);
        check_measured(&phase["put"], count);
        check_measured(&phase["get"], count);
        assert!(
            phase["echo"]["per_s"].as_f64() > Some(0.0) && phase["echo"]["ms"]["p99"].as_f64() > Some(0.0)
        );
        assert!(phase["put_of_echo"].as_f64() > Some(0.0) && phase["get_of_echo"].as_f64() > Some(0.0));
        assert!(phase.get("disk").is_none(), "{phase}");
    }
}

#[test]
fn durable_puts_are_measured_beside_redb_alone_and_leave_nothing_behind() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let here = dir.path().display().to_string();
    let report = report(&["--durability", "fsync", "--dir", &here, "--interface", "sunrpc"]);
    assert!(report["wrong"] == 0 && report["failed"] == 0 && report["durability"] == "fsync", "{report}");
    for phase in report["phases"].as_array().expect("a list") {
        let disk = &phase["disk"];
        for figure in ["records_per_s", "commits_per_s", "redb_records_per_s", "redb_commits_per_s", "ratio"]
        {
            assert!(disk[figure].as_f64() > Some(0.0), "{figure}: {phase}");
        }
        assert!(disk["records_per_commit"].as_f64() >= Some(1.0), "{phase}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("a directory").count(), 0);
}

#[test]
fn an_interrupted_run_leaves_nothing_behind() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let place = dir.path().join("data");
    std::fs::create_dir(&place).expect("a directory");
    let long =
        ["bench", "--nodes", "3", "--copies", "3", "--durability", "fsync", "--ops", "1000000", "--dir"];
    let mut bench = Process::start(command().args(long).arg(&place), &dir.path().join("log"));
    wait_until("puts have begun", SOON, || bench.log().contains("1000000 puts").then_some(()));
    assert_eq!(std::fs::read_dir(&place).expect("a directory").count(), 1);
    bench.interrupt();
    assert_eq!(bench.end(SOON).code(), Some(130), "{}", bench.log_end());
    assert_eq!(std::fs::read_dir(&place).expect("a directory").count(), 0);
}

#[test]
fn clients_of_gateways_notice_what_stops() {
    let report = report(&["--interface", "http", "--kill", "5"]);
    let stopped = &report["after_kill"];
    assert!(stopped["stopped"] == 1 && stopped["reads"]["count"] == 1_000, "{report}");
    assert_eq!(stopped["reads"]["wrong"], 0, "{report}");
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let error = keyway(["bench", "--nodes", "3"]).failed(2);
    assert!(error.contains("3 nodes cannot keep 8 copies"), "{error}");
    let error = keyway(["bench", "--value-bytes", "70000"]).failed(2);
    assert!(error.contains("65536 bytes"), "{error}");
    let absent = ["bench", "--nodes", "3", "--copies", "3", "--durability", "os", "--dir", "absent/place"];
    let error = keyway(absent).failed(1);
    assert!(error.contains("absent/place") && error.contains("--dir"), "{error}");
    keyway(["bench", "--interface", "redis"]).failed(2);
    let three = ["bench", "--nodes", "3", "--copies", "3"];
    for (more, words) in [
        (&["--acks", "4"][..], "waits for 4 of 3 copies"),
        (&["--option", "foo=1"], "foo"),
        (&["--kill", "90"], "2 of 3 nodes cannot be stopped"),
    ] {
        let error = run(command().args(three).args(more), b"").failed(2);
        assert!(error.contains(words) && !error.contains("starting"), "{error}");
    }
}
