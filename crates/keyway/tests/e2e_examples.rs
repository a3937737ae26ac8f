//! The example programs of `keyway-client` on real networks: a chat, a file store, a name service, an index, a multicast tree.
//!
//! Cargo builds a package's examples for its own tests only, and the client's own tests have no network. So the programs are part of
//! this test: their ideas are called, and where processes matter, a child process of this very test is one of them
//! ([`program`]), by way of [`as_a_program`]. What is tested is so never older than the source. The unit tests beside the examples
//! run here as well.

#![allow(clippy::duplicate_mod, reason = "every example is whole, with the arguments that all have")]

mod support;

#[path = "examples/cfs.rs"]
mod cfs_stories;
#[path = "examples/chat.rs"]
mod chat_stories;
#[path = "examples/multicast.rs"]
mod multicast_stories;
#[path = "examples/names.rs"]
mod names_stories;
#[path = "examples/pht.rs"]
mod pht_stories;

#[path = "../../client/examples/cfs/main.rs"]
#[allow(dead_code, reason = "its main is this test")]
mod cfs;
#[path = "../../client/examples/chat/main.rs"]
#[allow(dead_code, reason = "its main is this test")]
mod chat;
#[path = "../../client/examples/multicast/main.rs"]
#[allow(dead_code, reason = "its main is this test")]
mod multicast;
#[path = "../../client/examples/names/main.rs"]
#[allow(dead_code, reason = "its main is this test")]
mod names;
#[path = "../../client/examples/pht/main.rs"]
#[allow(dead_code, reason = "its main is this test")]
mod pht;

use std::process::Command;

use keyway_client::Client;
use support::{Network, Ran, run};

/// Which program a process of this test is, and its arguments, one on a line.
const EXAMPLE: &str = "KEYWAY_EXAMPLE";
const ARGUMENTS: &str = "KEYWAY_EXAMPLE_ARGUMENTS";
/// What the test harness prints before a program does.
const HARNESS: &str = "\nrunning 1 test\n";

/// The door: nothing in a test run, a program in a process of [`program`].
#[test]
fn as_a_program() {
    let Ok(name) = std::env::var(EXAMPLE) else { return };
    let arguments = std::env::var(ARGUMENTS).unwrap_or_default();
    let arguments = arguments.lines().map(str::to_owned);
    let code = match name.as_str() {
        "cfs" => cfs::run(arguments),
        "chat" => chat::run(arguments),
        "multicast" => multicast::run(arguments),
        "names" => names::run(arguments),
        "pht" => pht::run(arguments),
        other => panic!("there is no example {other}"),
    };
    std::process::exit(code.into());
}

/// The command that runs an example against the gateways of all nodes that run.
fn program(network: &Network, name: &str, args: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("KEYWAY_")) {
        command.env_remove(name);
    }
    command
        .args(["--exact", "as_a_program", "--quiet", "--nocapture"])
        .env(EXAMPLE, name)
        .env(ARGUMENTS, args.join("\n"))
        .env("KEYWAY_GATEWAY", network.gateways());
    command
}

/// Runs an example to its end.
fn ran(network: &Network, name: &str, args: &[&str], input: &str) -> Ran {
    let mut ran = run(&mut program(network, name, args), input.as_bytes());
    if let Some(rest) = ran.stdout.strip_prefix(HARNESS.as_bytes()) {
        ran.stdout = rest.to_vec();
    }
    ran
}

/// A client of all nodes that run.
fn client(network: &Network) -> Client {
    let gateways: Vec<String> = network.gateways().split(',').map(str::to_owned).collect();
    Client::new(&gateways).expect("gateways")
}

/// A new signing key; its file, and the name of its owner.
fn keygen(network: &Network, name: &str) -> (String, String) {
    let path = network.dir.path().join(name).display().to_string();
    let said = support::keyway(["keygen", &path, "-o", "json"]).good();
    let owner: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    (path, owner["signer"].as_str().expect("a name").to_owned())
}

#[test]
fn every_program_says_how_it_is_used_and_what_is_wrong() {
    let network = Network::start(1, &["--durability", "memory", "--replicas", "1", "--acks", "1"]);
    for name in ["cfs", "chat", "multicast", "names", "pht"] {
        let help = ran(&network, name, &["--help"], "").good();
        assert!(help.contains("--gateway URL") && help.contains(&format!("  {name} ")), "{help}");
        let error = ran(&network, name, &[], "").failed(2);
        assert!(error.contains("error: ") && error.contains("see --help"), "{error}");
        let error = ran(&network, name, &["--colour", "red"], "").failed(2);
        assert!(error.contains("there is no option --colour"), "{error}");
    }
    let nobody =
        ran(&network, "pht", &["index", "range", "1", "2", "--gateway", "127.0.0.1:1"], "").failed(6);
    assert!(nobody.contains("no gateway could be reached") && nobody.contains("keyway up"), "{nobody}");
    ran(&network, "chat", &["room"], "").failed(2);
    let error = ran(&network, "names", &["set", "a", "b"], "").failed(2);
    assert!(error.contains("--sign KEYFILE") && error.contains("keygen"), "{error}");
    ran(&network, "names", &["lookup", "a"], "").failed(2);
    ran(&network, "pht", &["index", "range", "low", "high"], "").failed(2);
    ran(&network, "pht", &["index", "remove", "7"], "").failed(3);
    ran(&network, "multicast", &["group", "--branching", "1"], "").failed(2);
}
