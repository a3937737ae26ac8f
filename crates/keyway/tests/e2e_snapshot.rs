//! A snapshot of real nodes, put back: what was removed stays removed, nothing lives longer, another network is refused, damage is told.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use support::{Network, Process, SOON, keyway};

/// What a key holds, by value: put time and life.
fn lives(network: &Network, key: &str) -> BTreeMap<String, (u64, u64)> {
    let ran = network.run(&["get", key, "-o", "json"]);
    if ran.code == 3 {
        return BTreeMap::new();
    }
    let found: Value = serde_json::from_str(&ran.good()).expect("JSON");
    let life = |value: &Value| {
        let number = |name: &str| value[name].as_u64().expect("a number");
        let text = value["text"].as_str().expect("a text").to_owned();
        (text, (number("put_time_ms"), number("ttl_seconds")))
    };
    found["values"].as_array().expect("a list").iter().map(life).collect()
}

/// Snapshots of all nodes, by their files.
fn snapshots(network: &Network) -> Vec<String> {
    let take = |(at, node): (usize, &support::Node)| {
        let file = network.dir.path().join(format!("{at}.snapshot")).display().to_string();
        let said = keyway(["--gateway", &node.url(), "snapshot", &file, "-q"]).good();
        assert!(said.starts_with("kept "), "{said}");
        file
    };
    network.nodes.iter().enumerate().map(take).collect()
}

fn restored(network: &Network, file: &str, more: &[&str]) -> Value {
    let ran = network.run(&[&["restore", file, "-o", "json", "-q"], more].concat());
    serde_json::from_str(&ran.good()).expect("JSON")
}

fn secret(network: &Network) -> String {
    let file = network.dir.path().join("secret");
    std::fs::write(&file, "sesame").expect("a file");
    file.display().to_string()
}

/// Something of every kind.
fn fill(network: &Network) {
    let (secret, key) = (secret(network), network.dir.path().join("me.key").display().to_string());
    network.run(&["keygen", &key, "-q"]).good();
    for args in [
        &["put", "k", "plain", "--ttl", "2h"][..],
        &["put", "k", "goes", "--ttl", "2h", "--secret-file", &secret],
        &["put", "k", "gone", "--ttl", "2h", "--secret-file", &secret],
        &["put", "k", "signed", "--ttl", "2h", "--sign", &key],
        &["put", "s", "one", "--ttl", "2h", "--sign", &key, "--series", "s"],
        &["put", "short", "lived", "--ttl", "4s"],
        &["put", "--immutable", "named by itself", "--ttl", "2h"],
        &["remove", "k", "gone", "--secret-file", &secret],
    ] {
        network.run(&[args, &["-q"]].concat()).good();
    }
}

#[test]
fn what_was_removed_stays_removed_and_nothing_lives_longer() {
    let network = Network::start(4, &["--durability", "os"]);
    fill(&network);
    let (key, secret) = (network.dir.path().join("me.key").display().to_string(), secret(&network));
    let files = snapshots(&network);
    let before = lives(&network, "k");
    assert_eq!(before.keys().collect::<Vec<_>>(), ["goes", "plain", "signed"]);

    network.run(&["remove", "k", "goes", "--secret-file", &secret, "-q"]).good();
    network.run(&["remove", "k", "signed", "--sign", &key, "-q"]).good();
    network.run(&["put", "s", "two", "--ttl", "3h", "--sign", &key, "--series", "s", "-q"]).good();
    support::wait_until("the short life ends", SOON, || lives(&network, "short").is_empty().then_some(()));
    let mut sum: BTreeMap<String, u64> = BTreeMap::new();
    for file in files.iter().chain(&files) {
        let report = restored(&network, file, &[]);
        for (fate, count) in report["restored"].as_object().expect("counts") {
            *sum.entry(fate.clone()).or_default() += count.as_u64().expect("a count");
        }
        assert_eq!(report["read"]["missing"], 0, "{report}");
    }
    // Three copies of each, twice: the two that were removed, and the number that was followed up.
    assert_eq!(
        (sum["hidden"], sum["superseded"], sum["refused"], sum["unanswered"]),
        (12, 6, 0, 0),
        "{sum:?}"
    );
    assert!(sum["stands"] >= 18 && sum["left_out"] == 0, "{sum:?}");
    let after = lives(&network, "k");
    assert_eq!(after.keys().collect::<Vec<_>>(), ["plain"], "the removed ones stay away");
    assert_eq!(after["plain"], before["plain"], "its put time and its life");
    assert_eq!(lives(&network, "s").keys().collect::<Vec<_>>(), ["two"]);
    assert!(lives(&network, "short").is_empty());
}

#[test]
fn a_stopped_nodes_directory_goes_into_another_network_as_far_as_it_may() {
    let mut old = Network::start(3, &["--durability", "os"]);
    fill(&old);
    let before = lives(&old, "k");
    let file = old.dir.path().join("offline.snapshot").display().to_string();
    let data = old.nodes[0].data.display().to_string();
    let said = keyway(["snapshot", &file, "--data-dir", &data]).failed(1);
    assert!(said.contains("in use"), "{said}");
    let drafts = std::fs::read_dir(old.dir.path()).expect("the directory").flatten();
    let drafts = drafts.filter(|entry| entry.file_name().to_string_lossy().starts_with("offline")).count();
    assert!(drafts == 0 && !Path::new(&file).exists());
    let said = keyway(["snapshot", &file, "--data-dir", "/nowhere/at/all"]).failed(1);
    assert!(said.contains("no node's data"), "{said}");

    old.nodes[0].kill();
    let kept = keyway(["snapshot", &file, "--data-dir", &data, "-o", "json"]).good();
    let kept: Value = serde_json::from_str(&kept).expect("JSON");
    assert_eq!((&kept["removals"], &kept["unread"]), (&1.into(), &0.into()), "{kept}");
    let held = keyway(["restore", "--check", &file, "-o", "json"]).good();
    let held: Value = serde_json::from_str(&held).expect("JSON");
    for (name, count) in [("plain", 3), ("immutable", 1), ("signed", 2), ("removals", 1)] {
        // One that lived for four seconds may have been there.
        let there = held["holds"][name].as_u64().expect("a count");
        assert!(there == count || name == "plain" && there == count - 1, "{name}: {held}");
    }

    let new = Network::start(3, &["--durability", "memory"]);
    let said = new.run(&["restore", &file]).failed(4);
    assert!(said.contains("of network") && said.contains("--other-network"), "{said}");
    assert!(lives(&new, "k").is_empty());
    let report = restored(&new, &file, &["--other-network"]);
    assert_eq!(report["restored"]["left_out"], 2, "{report}");
    let after = lives(&new, "k");
    assert_eq!(after.keys().collect::<Vec<_>>(), ["goes", "plain"]);
    assert!(after.iter().all(|(value, life)| before[value] == *life), "{before:?} {after:?}");
    let secret = secret(&old);
    let said = new.run(&["put", "k", "gone", "--secret-file", &secret]).failed(7);
    assert!(said.contains("removed"), "the removal was put back, too: {said}");
}

#[test]
fn a_file_that_is_damaged_or_cut_says_so_and_gives_what_it_can() {
    let network = Network::start(3, &["--durability", "memory"]);
    for n in 0..50 {
        network.run(&["put", &format!("k{n}"), "v", "-q"]).good();
    }
    let file = snapshots(&network).remove(0);
    let whole = std::fs::read(&file).expect("it was made");
    let spoilt = |bytes: &[u8]| {
        let path = network.dir.path().join("spoilt");
        std::fs::write(&path, bytes).expect("a file");
        network.run(&["restore", &path.display().to_string(), "-o", "json"])
    };
    let good: Value = serde_json::from_str(&spoilt(&whole).good()).expect("JSON");
    let records = good["read"]["records"].as_u64().expect("a count");
    assert!(records > 20, "{good}");

    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0x10;
    let ran = spoilt(&flipped);
    let report: Value = serde_json::from_str(&ran.text()).expect("JSON");
    let said = ran.failed(8);
    assert!(said.contains("damaged") && said.contains("passed over"), "{said}");
    assert_eq!(
        (report["read"]["missing"].as_u64(), report["read"]["records"].as_u64()),
        (Some(1), Some(records - 1))
    );

    let ran = spoilt(&whole[..whole.len() * 2 / 3]);
    let report: Value = serde_json::from_str(&ran.text()).expect("JSON");
    let said = ran.failed(8);
    assert!(said.contains("was cut"), "{said}");
    assert!(report["restored"]["stands"].as_u64().is_some_and(|n| n > 10 && n < records), "{report}");
    for none in [&whole[..40], b"key\tvalue\n", b""] {
        let said = spoilt(none).failed(8);
        assert!(said.contains("is no snapshot"), "{said}");
    }
}

#[test]
fn a_snapshot_that_is_interrupted_or_refused_leaves_what_was_there() {
    let mut network = Network::start(1, &["--durability", "memory", "--replicas", "1", "--acks", "1"]);
    let file = network.dir.path().join("kept").display().to_string();
    std::fs::write(&file, "before").expect("a file");
    let unreachable = keyway(["--gateway", "http://127.0.0.1:1", "snapshot", &file]).failed(6);
    assert!(unreachable.contains("no gateway"), "{unreachable}");
    // The node stands still: the answer never comes.
    let mut command = network.verb(&["snapshot", &file]);
    network.nodes[0].process().signal(rustix::process::Signal::STOP);
    let mut snapshot = Process::start(&mut command, &network.dir.path().join("snapshot.log"));
    let partial = PathBuf::from(format!("{file}.{}.partial", snapshot.id()));
    support::wait_until("it has begun", SOON, || partial.exists().then_some(()));
    snapshot.interrupt();
    let ended = snapshot.end(Duration::from_secs(20));
    network.nodes[0].process().signal(rustix::process::Signal::CONT);
    assert_eq!(ended.code(), Some(130), "{}", snapshot.log_end());
    assert!(!partial.exists(), "no draft is left");
    assert_eq!(std::fs::read_to_string(&file).expect("there"), "before");
}

#[test]
fn ctrl_c_ends_the_reading_of_a_long_file() {
    let network = Network::start(1, &["--durability", "memory", "--replicas", "1", "--acks", "1"]);
    let file = snapshots(&network).remove(0);
    // Holes behind the records: they take no room, and minutes to be read as damage.
    let long = std::fs::File::options().write(true).open(&file).expect("it was made");
    long.set_len(256 << 30).expect("it is longer");
    let out = network.dir.path().join("values.ndjson").display().to_string();
    for verb in [
        &["restore", "--check", &file][..],
        &["restore", &file],
        &["export", "--snapshot", &file, "--to", &out],
        &["publish", &file],
    ] {
        let mut process = Process::start(&mut network.verb(verb), &network.dir.path().join("long.log"));
        process.wait_for_ears();
        process.interrupt();
        let ended = process.end(Duration::from_secs(20));
        assert_eq!(ended.code(), Some(130), "{verb:?}: {}", process.log_end());
    }
    let left = std::fs::read_dir(network.dir.path()).expect("a folder").flatten();
    let left = left.filter(|entry| entry.file_name().to_string_lossy().starts_with("values")).count();
    assert_eq!(left, 0, "nothing half-written");
}
