//! What is exported is imported again: of keys, of what a node holds, of a snapshot's file.

mod support;

use std::collections::BTreeSet;

use support::{Network, keyway};

const VALUES: [&str; 6] = ["red", "two\nlines", "tab\there", "", "\"quoted\"\\", "\u{1f980}"];

/// A network with values that tempt a line to end early, each under a key of its own, and several under one.
fn filled() -> Network {
    let network = Network::start(3, &["--durability", "memory"]);
    for (n, value) in VALUES.iter().enumerate() {
        network.run(&["put", &format!("k{n}"), value, "--ttl", "1h", "-q"]).good();
        network.run(&["put", "many", &format!("{value}{n}"), "--ttl", "1h", "-q"]).good();
    }
    network
}

/// The values under a key, and the longest of their lives.
fn values(network: &Network, key: &str) -> (BTreeSet<String>, u64) {
    let found = network.run(&["get", key, "--all", "-o", "json"]).good();
    let found: serde_json::Value = serde_json::from_str(&found).expect("JSON");
    let all = found["values"].as_array().expect("a list");
    let longest = all.iter().filter_map(|value| value["remaining_seconds"].as_u64()).max();
    let text = |value: &serde_json::Value| value["text"].as_str().unwrap_or("\u{1f980} not text").to_owned();
    (all.iter().map(text).collect(), longest.expect("a value"))
}

/// Every key holds the same in both, and nothing lives longer.
fn same(one: &Network, other: &Network) {
    let keys = (0..VALUES.len()).map(|n| format!("k{n}")).chain(["many".to_owned()]);
    for key in keys {
        let ((before, _), (after, longest)) = (values(one, &key), values(other, &key));
        assert_eq!(before, after, "{key}");
        assert!(longest <= 3600, "{key} lives for {longest} s");
    }
}

#[test]
fn keys_come_back_as_they_were() {
    let network = filled();
    let (list, file) = (network.dir.path().join("keys"), network.dir.path().join("out.ndjson"));
    let names: Vec<String> =
        (1..VALUES.len()).map(|n| format!("k{n}")).chain(["nothing".to_owned()]).collect();
    std::fs::write(&list, names.join("\n")).expect("a file");
    let (list, file) = (list.display().to_string(), file.display().to_string());
    let ran = network.run(&["export", "k0", "many", "--keys", &list, "--to", &file]);
    assert_eq!((ran.code, ran.text().as_str()), (5, "exported 12 values of 7 keys\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("no value under nothing"), "{}", ran.stderr);
    let other = Network::start(3, &["--durability", "memory"]);
    other.run(&["import", &file, "--verify", "-q"]).good();
    same(&network, &other);

    // On standard output, in order, and as TSV where that can be.
    let ran = network.run(&["export", "k0", "k2", "--format", "tsv"]);
    assert_eq!(ran.good(), "k0\tred\nk2\ttab\there\n");
    let said = network.run(&["export", "k1", "--format", "tsv"]).failed(8);
    assert!(said.contains("line end") && said.contains("ndjson"), "{said}");
    network.run(&["export", "nothing", "--to", &file]).failed(3);
    assert!(std::fs::read_to_string(&file).expect("there").contains("k0"), "the file of before stands");
    keyway(["export"]).failed(2);
}

#[test]
fn all_that_a_node_holds_and_a_snapshot_come_back_by_their_ids() {
    let network = filled();
    let path = |name: &str| network.dir.path().join(name).display().to_string();
    // Three nodes and three copies: each holds everything.
    let (held, snapshot, offline) = (path("held.ndjson"), path("node.snapshot"), path("offline.ndjson"));
    let said = network.run(&["export", "--held", "--to", &held]).good();
    assert_eq!(said, "exported 12 values of 7 keys\n");
    network.run(&["snapshot", &snapshot, "-q"]).good();
    let said = keyway(["export", "--snapshot", &snapshot, "--to", &offline]).good();
    assert_eq!(said, "exported 12 values of 7 keys\n");
    for file in [held, offline] {
        let other = Network::start(3, &["--durability", "memory"]);
        other.run(&["import", "--hex", &file, "--verify", "-q"]).good();
        same(&network, &other);
    }
}
