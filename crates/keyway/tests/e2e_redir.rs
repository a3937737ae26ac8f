//! `keyway redir` on a real network: a hundred processes register, a thousand lookups are all right; members leave and die.

mod support;

use serde_json::Value;
use support::{Network, Process, SOON, run, wait_until};

/// Processes that register.
const MEMBERS: usize = 100;
/// Registrations after which the tree stands: those who come at once see each other only from the second on.
const ROUNDS: u64 = 5;
const LOOKUPS: usize = 1_000;

/// The id and the address of a member, as JSON tells them.
fn member(json: &Value) -> (String, String) {
    let text = |name: &str| json[name].as_str().unwrap_or_else(|| panic!("no {name} in {json}")).to_owned();
    (text("id"), text("address"))
}

/// Starts `redir join` in a process of its own.
fn join(network: &Network, at: usize, args: &[&str]) -> Process {
    let mut verb = network.verb(&["-o", "ndjson", "redir", "join"]);
    verb.args(args).args(["--address", &format!("10.0.{}.{}:7000", at / 200, 1 + at % 200)]);
    Process::start(&mut verb, &network.dir.path().join(format!("member-{at}.log")))
}

/// Reads on until a registration of this number or a later one has succeeded.
fn registered(process: &Process, round: u64) -> Value {
    loop {
        let line: Value = serde_json::from_str(&process.line()).expect("JSON");
        if line["event"] == "registered" && line["round"].as_u64() >= Some(round) {
            return line;
        }
    }
}

fn listed(network: &Network, args: &[&str]) -> Vec<(String, String)> {
    let ran = network.run(&[&["-o", "json", "redir", "list"], args].concat());
    if ran.code == 3 {
        return Vec::new();
    }
    let list: Value = serde_json::from_str(&ran.good()).expect("JSON");
    assert_eq!(list["complete"], true);
    list["members"].as_array().expect("a list").iter().map(member).collect()
}

#[test]
fn a_hundred_processes_register_and_a_thousand_lookups_are_all_right() {
    let network = Network::start(5, &["--durability", "memory"]);
    let period = ["crowd", "--every", "2s", "--ttl", "60s"];
    let processes: Vec<Process> = (0..MEMBERS).map(|at| join(&network, at, &period)).collect();
    let mut members: Vec<_> = processes.iter().map(|process| member(&registered(process, ROUNDS))).collect();
    members.sort();
    assert_eq!(members.len(), MEMBERS);

    let keys: String = (0..LOOKUPS).map(|n| format!("key {n}\n")).collect();
    let said =
        run(&mut network.verb(&["-o", "ndjson", "redir", "lookup", "crowd", "-"]), keys.as_bytes()).good();
    let answers: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), LOOKUPS);
    for answer in &answers {
        // Of 40 hex digits each, which sort as the numbers do.
        let key = answer["key"].as_str().expect("a key");
        let right = members.iter().find(|(id, _)| id.as_str() >= key).unwrap_or(&members[0]);
        assert_eq!(member(&answer["successor"]), *right, "{answer}");
    }
    let gets: u64 = answers.iter().filter_map(|answer| answer["gets"].as_u64()).sum();
    assert!(gets < 2 * LOOKUPS as u64, "{gets} gets");
    assert_eq!(listed(&network, &["crowd"]), members);
}

#[test]
fn whoever_leaves_or_dies_is_forgotten_when_its_entries_end() {
    let network = Network::start(3, &["--durability", "memory"]);
    for tree in
        [&["short", "--branching", "4"][..], &["old", "--classic"], &["older", "--binary", "--levels", "5"]]
    {
        let period = [tree, &["--every", "1s", "--ttl", "4s"]].concat();
        let mut processes: Vec<Process> = (0..6).map(|at| join(&network, at, &period)).collect();
        let mut members: Vec<_> = processes.iter().map(|process| member(&registered(process, 1))).collect();
        let mut sorted = members.clone();
        sorted.sort();
        wait_until("all are listed", SOON, || (listed(&network, tree) == sorted).then_some(()));

        processes[0].interrupt();
        let left = loop {
            let line: Value = serde_json::from_str(&processes[0].line()).expect("JSON");
            if line["event"] == "left" {
                break line;
            }
        };
        assert_eq!(left["found_seconds_max"], 4);
        assert!(processes[0].end(SOON).success());
        processes[1].kill();
        members.drain(..2);
        members.sort();
        wait_until("both are forgotten", SOON, || (listed(&network, tree) == members).then_some(()));
        let zero = "0".repeat(40);
        let lookup = [&["-o", "raw", "redir", "lookup"], tree, &["--hex", &zero]].concat();
        wait_until("the first is found", SOON, || {
            let ran = network.run(&lookup);
            (ran.text() == format!("{}\n", members[0].1)).then_some(())
        });
    }
}

#[test]
fn the_verbs_say_what_they_do_and_what_is_wrong() {
    let network = Network::start(3, &["--durability", "memory"]);
    let error = network.run(&["redir", "lookup", "nobody", "key"]).failed(3);
    assert!(error.contains("no members") && error.contains("--branching"), "{error}");
    network.run(&["redir", "list", "nobody"]).failed(3);
    let error = network.run(&["redir", "join", "ns", "--address", "nowhere", "--once"]).failed(2);
    assert!(error.contains("HOST:PORT"), "{error}");
    let error =
        network.run(&["redir", "join", "ns", "--address", "h.example:1", "--binary", "--once"]).failed(2);
    assert!(error.contains("IPv4"), "{error}");
    let error = network.run(&["redir", "join", "ns", "--address", "h.example:1", "--ttl", "10s"]).failed(2);
    assert!(error.contains("longer"), "{error}");

    let join = ["redir", "join", "ns", "--address", "h.example:1", "--name", "third floor", "--once"];
    let said = network.run(&join).good();
    assert!(
        said.contains("registered") && said.contains("d08b3cb7a6e5904fd0938f5d6c7421954c4753fb"),
        "{said}"
    );
    assert_eq!(network.run(&["redir", "lookup", "ns", "anything", "-o", "raw"]).good(), "h.example:1\n");
    let said = network.run(&["redir", "lookup", "ns", "this", "that"]).good();
    assert_eq!(said.lines().count(), 3, "a header and two keys: {said}");
    assert!(network.run(&["redir", "list", "ns"]).good().contains("h.example:1"));

    // A stranger's value under the key of the root, which is SHA-1 of tag, namespace, b, level 0 and partition 0.
    network.run(&["put", "--hex", "a944c104ac07648b118168085795597afb0edb19", "spam"]).good();
    let ran = network.run(&["redir", "list", "ns"]);
    assert!(ran.stderr.contains("skipped 1 value"), "{}", ran.stderr);
    assert_eq!(ran.good().lines().count(), 2, "a header and one member");
}
