//! The simulator's verbs as people call them.

mod support;

use serde_json::Value;
use support::{command, keyway, run};

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
