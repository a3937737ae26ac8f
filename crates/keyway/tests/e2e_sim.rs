//! The simulator's verbs as people call them.

mod support;

use std::fs::read_to_string;

use serde_json::Value;
use support::{Process, SOON, command, keyway, run, wait_until};

#[test]
fn scale_measures_each_world_in_a_process_of_its_own_and_draws() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let out = dir.path().join("figures");
    let scale =
        ["-o", "json", "sim", "scale", "--nodes", "20,40", "--for", "20s", "--overlay", "kademlia", "--out"];
    let said = run(command().args(scale).arg(&out), b"");
    let report: Value = serde_json::from_str(&said.good()).expect("one object");
    let worlds = report["worlds"].as_array().expect("a list");
    let nodes: Vec<u64> = worlds.iter().filter_map(|w| w["nodes"].as_u64()).collect();
    assert_eq!(nodes, [20, 40]);
    for world in worlds {
        assert!(world["lookups"].as_f64() > Some(0.0) && world["wrong"] == 0.0, "{world}");
        assert!(world["event_micros"].as_f64() > Some(0.0), "{world}");
    }
    for name in ["scale-time", "scale-memory"] {
        let picture = std::fs::read_to_string(out.join(name).with_extension("svg")).expect("drawn");
        assert!(picture.contains("kademlia"), "{name}");
        assert!(out.join(name).with_extension("png").exists(), "{name}");
    }
    let error = keyway(["sim", "scale", "--overlay", "pastry"]).failed(2);
    assert!(error.contains("pastry") && error.contains("sim list"), "{error}");
}

#[test]
fn a_world_of_scale_ends_with_the_process_that_began_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let endless = ["sim", "scale", "--nodes", "50", "--for", "36500d"];
    let mut scale = Process::start(command().args(endless), &dir.path().join("log"));
    let world = wait_until("a world runs", SOON, || {
        let children = read_to_string(format!("/proc/{0}/task/{0}/children", scale.id())).ok()?;
        children.split_ascii_whitespace().next().map(str::to_owned)
    });
    scale.terminate();
    assert_eq!(scale.end(SOON).code(), None, "a signal ended it");
    wait_until("the world ends too", SOON, || {
        // Gone, or dead and not fetched by whoever inherited it.
        let status = read_to_string(format!("/proc/{world}/status")).unwrap_or_default();
        (!status.contains("State:") || status.contains("State:\tZ")).then_some(())
    });
}

#[test]
fn what_no_world_can_be_is_refused_before_it_is_built() {
    for (args, words) in [
        (&["run", "--replicas", "9"][..], "chord keeps at most 8 copies with these settings, 9 are wanted"),
        (&["run", "--overlay", "kademlia", "--replicas", "30"], "replicas must be at most 16"),
        (&["run", "--replicas", "0"], "at least one copy"),
        (&["run", "--acks", "4"], "`acks` is 4"),
        (&["run", "--for", "99999999999999999d"], "longer than 100 years"),
        (&["run", "--warm-up", "300000000d"], "longer than 100 years"),
        (&["scale", "--for", "300000000d"], "longer than 100 years"),
        (&["run", "--put-every", "1m", "--ttl", "0s"], "`ttl` is 0s"),
        (&["run", "--put-every", "1m", "--keys", "0"], "`keys` is 0"),
        (&["sweep", "--seeds", "0"], "--seeds"),
        (&["sweep", "--start", "18446744073709551615", "--seeds", "3"], "3 seeds from 18446744073709551615"),
        (&["sweep", "--jobs", "9999999"], "1..=256"),
        (&["sweep", "--jobs", "0"], "1..=256"),
        (&["undead", "--jobs", "257"], "1..=256"),
        (&["replay", "--seed", "1", "--from", "10s", "--until", "5s"], "--from 10s is after --until 5s"),
        (&["replay", "--seed", "1", "-o", "json"], "has no JSON"),
    ] {
        let error = run(command().arg("sim").args(args), b"").failed(2);
        assert!(error.contains(words), "{args:?}: {error}");
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("late.toml");
    std::fs::write(&file, "for = \"10s\"\n[[event]]\nat = \"11s\"\nheal = true\n").expect("written");
    let error = run(command().args(["sim", "run"]).arg(&file), b"").failed(2);
    assert!(error.contains("event at 11s: the run ends after 10s"), "{error}");
    let error = keyway(["sim", "sweep", "--time-box", "0s"]).failed(1);
    assert!(error.contains("no world was judged") && error.contains("--time-box"), "{error}");
}

#[test]
fn experiments_and_scenarios_are_told_as_one_object() {
    for format in ["json", "ndjson"] {
        let list: Value =
            serde_json::from_str(&keyway(["sim", "paper", "-o", format]).good()).expect("one object");
        let first = &list["experiments"][0];
        assert!(list["version"] == 1 && first["name"].is_string() && first["about"].is_string(), "{list}");
    }
    let shown = ["sim", "run", "--show", "--nodes", "7", "--for", "90s", "-o", "json"];
    let scenario: Value = serde_json::from_str(&keyway(shown).good()).expect("one object");
    assert!(scenario["version"] == 1 && scenario["nodes"] == 7 && scenario["for"] == "1m30s", "{scenario}");
}

#[test]
fn undead_counts_what_it_removed_and_what_it_looked_for() {
    let undead = ["-o", "json", "sim", "undead", "--removes", "20", "--nodes", "6", "--overlay", "kademlia"];
    let report: Value = serde_json::from_str(&keyway(undead).good()).expect("one object");
    let tally = &report["tally"];
    assert_eq!((&report["holds"], &report["failures"]), (&true.into(), &serde_json::json!([])), "{report}");
    assert_eq!((tally["removes_acked"].as_u64(), tally["undead"].as_u64()), (Some(20), Some(0)), "{tally}");
    assert!(tally["removed_looked_for"].as_u64() > Some(40), "{tally}");
    let error = keyway(["sim", "undead", "--nodes", "3"]).failed(2);
    assert!(error.contains("--nodes"), "{error}");
}

/// The fates come from a reading of the algorithm in another language, list by list: C = 60,000, T = 60,000, B = 1,000, r = 1.
#[test]
fn fst_decides_a_list_as_a_naive_reading_of_the_paper_does() {
    let (puts, fates) = (include_str!("fst/puts.csv"), include_str!("fst/fates.txt"));
    let flags = ["sim", "fst", "--capacity", "60000", "--T", "60000", "--B", "1000"];
    let said = run(command().args(flags).args(["--trace", "-"]), puts.as_bytes());
    assert!(said.stderr.contains("80 puts"), "{}", said.stderr);
    assert_eq!(said.good(), fates);
    // The paper's defaults, said aloud, a file instead of a pipe, and the lines in another order.
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("puts.csv");
    std::fs::write(&file, puts).expect("written");
    let aloud = ["--r-min", "1", "--alpha", "60000000", "--queue-bound", "60000000", "--trace"];
    assert_eq!(run(command().args(flags).args(aloud).arg(&file), b"").good(), fates);
    let json = run(command().args(["-o", "json"]).args(flags).arg("--trace").arg(&file), b"").good();
    let report: Value = serde_json::from_str(&json).expect("one object");
    assert_eq!(report["fates"].as_array().expect("a list").len(), 80);

    let error = run(command().args(flags).args(["--trace", "-"]), b"0,a,1000,60000\n5,b,ten,1\n").failed(8);
    assert!(error.contains("line 2: bytes `ten`") && error.contains("sim fst --help"), "{error}");
    let error = run(command().args(flags).arg("--trace").arg(dir.path().join("absent")), b"").failed(2);
    assert!(error.contains("absent"), "{error}");
}
