//! Nodes are killed with SIGKILL while a load runs, one joins, the dead return, all die at once: nothing acknowledged is
//! lost. The small brother of `cargo bench --bench real_load`.

mod support;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use support::{Network, Process, wait_until};

const RECORDS: u64 = 3_000;
/// Fast enough to be over soon, slow enough for two deaths and a join on the way.
const RATE: &str = "300/s";
/// For repair after a crash, on a machine that is busy with other tests.
const REPAIR: Duration = Duration::from_secs(60);

fn records(network: &Network) -> PathBuf {
    let mut text = String::new();
    for n in 0..RECORDS {
        writeln!(text, "package-{n}\t{}.{}.{} {}", n % 7, n % 11, n % 13, "x".repeat(n as usize % 90))
            .expect("a String takes it");
    }
    let file = network.dir.path().join("records.tsv");
    std::fs::write(&file, text).expect("a file");
    file
}

#[test]
fn killed_nodes_lose_nothing() {
    let mut network = Network::start(8, &[]);
    let file = records(&network).display().to_string();
    let all_equal = format!("{RECORDS} of {RECORDS} equal\n");

    let mut command = network.verb(&["import", &file, "--rate", RATE, "--concurrency", "32", "-o", "json"]);
    let mut import = Process::start(&mut command, &network.dir.path().join("import.log"));
    let stored = |network: &Network, share: u64| {
        let copies = network.copies();
        (copies >= 3 * RECORDS * share / 100).then_some(copies)
    };
    wait_until("a quarter is stored", REPAIR, || stored(&network, 25));
    network.nodes[3].kill();
    let joined = network.add();
    wait_until("more is stored", REPAIR, || stored(&network, 55));
    network.nodes[6].kill();
    assert!(import.end(REPAIR).success(), "{}", import.log_end());

    wait_until("every record has three copies again", REPAIR, || {
        (network.copies() >= 3 * RECORDS).then_some(())
    });
    assert_eq!(network.run(&["import", &file, "--verify"]).good(), all_equal, "with two dead");

    network.restart(3);
    network.restart(6);
    network.wait_ready(REPAIR);
    assert_eq!(network.run(&["import", &file, "--verify"]).good(), all_equal, "with the dead returned");

    let everyone = 0..network.nodes.len();
    assert_eq!(joined, 8);
    everyone.clone().for_each(|at| network.nodes[at].kill());
    everyone.for_each(|at| network.restart(at));
    network.wait_ready(REPAIR);
    assert_eq!(network.run(&["import", &file, "--verify"]).good(), all_equal, "after all died at once");
}

#[test]
fn an_import_that_is_killed_goes_on_where_it_stopped() {
    let network = Network::start(3, &["--durability", "os"]);
    let file = records(&network).display().to_string();
    let journal = format!("{file}.keyway-progress");
    let kept_after = |records: u64| {
        wait_until("some progress is kept", REPAIR, || {
            let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&journal).ok()?).ok()?;
            kept["prefix"]["records"].as_u64().filter(|kept| *kept > records)
        })
    };
    let start = || {
        let mut command = network.verb(&["import", &file, "--rate", "500/s", "-o", "json"]);
        Process::start(&mut command, &network.dir.path().join("import.log"))
    };
    let mut import = start();
    let first = kept_after(200);
    import.kill();

    let mut import = start();
    // More than the first run kept, so the second one is well on its way.
    let second = kept_after(first);
    import.interrupt();
    assert_eq!(import.end(REPAIR).code(), Some(130), "{}", import.log_end());
    assert!(import.log().contains("goes on where this one stopped"), "{}", import.log_end());

    let report: serde_json::Value =
        serde_json::from_str(&network.run(&["import", &file, "--verify", "-o", "json"]).good())
            .expect("JSON");
    let (loaded, verified) = (&report["loaded"], &report["verified"]);
    let resumed = loaded["resumed_records"].as_u64().expect("a count");
    assert!(resumed >= second, "{report}");
    assert_eq!(resumed + loaded["acknowledged"].as_u64().expect("a count"), RECORDS, "{report}");
    assert_eq!(verified["equal"], RECORDS, "{report}");

    let report = network.run(&["import", &file, "--verify", "-o", "json"]).good();
    assert!(!report.contains("loaded"), "a complete import is only read back: {report}");
}

#[test]
fn reading_back_tells_what_is_missing_and_what_differs() {
    let network = Network::start(3, &["--durability", "memory"]);
    let file = network.dir.path().join("three.ndjson");
    let lines =
        "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value_base64\":\"/w==\",\"ttl_seconds\":60}\n";
    std::fs::write(&file, lines).expect("a file");
    let file_name = file.display().to_string();
    assert_eq!(
        network.run(&["import", &file_name, "--verify", "-q"]).good().lines().last(),
        Some("2 of 2 equal")
    );
    std::fs::write(&file, lines.replace("/w==", "AA==") + "{\"key\":\"c\",\"value\":\"3\"}\n")
        .expect("a file");
    let ran = network.run(&["import", &file_name, "--verify-only"]);
    assert_eq!(ran.text(), "1 of 3 equal\n");
    let said = ran.failed(8);
    assert!(said.contains("different: line 2, key b") && said.contains("missing: line 3, key c"), "{said}");

    std::fs::write(&file, "{\"key\":\"a\"}\n").expect("a file");
    let said = network.run(&["import", &file_name]).failed(8);
    assert!(said.contains("line 1"), "{said}");
}
