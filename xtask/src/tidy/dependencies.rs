//! Dependencies go down only: which crate may use which, and which libraries stay on which floor.

use super::{Check, Example, Report, Tree};

/// A synthetic manifest: the crate's name and what it depends on.
macro_rules! manifest {
    ($name:literal, $dependencies:literal) => {
        (
            concat!("crates/", $name, "/Cargo.toml"),
            concat!("[package]\nname = \"", $name, "\"\n[dependencies]\n", $dependencies, "\n"),
        )
    };
}

pub(super) const CHECK: Check = Check {
    name: "dependencies",
    rule: "a crate depends only on the floors below it; core's libraries are a closed list; I/O libraries stay in net and above",
    run,
    breaks: &[
        Example { what: "core looks up", files: &[manifest!("keyway-core", "keyway-sim.workspace = true")] },
        Example { what: "sim sees net", files: &[manifest!("keyway-sim", "keyway-net.workspace = true")] },
        Example { what: "net sees sim", files: &[manifest!("keyway-net", "keyway-sim.workspace = true")] },
        Example {
            what: "gateway sees sim",
            files: &[manifest!("keyway-gateway", "keyway-sim.workspace = true")],
        },
        Example {
            what: "client sees core",
            files: &[manifest!("keyway-client", "keyway-core.workspace = true")],
        },
        Example {
            what: "a new library in core",
            files: &[manifest!("keyway-core", "serde.workspace = true")],
        },
        Example {
            what: "a runtime in the simulator",
            files: &[manifest!("keyway-sim", "tokio.workspace = true")],
        },
        Example { what: "a version of its own", files: &[manifest!("keyway-net", "redb = \"4\"")] },
        Example { what: "a crate without a floor", files: &[manifest!("keyway-extra", "")] },
    ],
    keeps: &[Example {
        what: "down is fine",
        files: &[
            manifest!("keyway-core", "sha1.workspace = true"),
            manifest!(
                "keyway-gateway",
                "keyway-net.workspace = true\ntokio = { workspace = true, features = [\"rt\"] }"
            ),
        ],
    }],
};

/// Each crate and the workspace crates that it may use. `None` is no such crate.
const MAY_USE: [(&str, &[&str]); 7] = [
    ("keyway-core", &[]),
    ("keyway-sim", &["keyway-core"]),
    ("keyway-net", &["keyway-core"]),
    ("keyway-client", &[]),
    ("keyway-gateway", &["keyway-core", "keyway-net"]),
    ("keyway", &["keyway-client", "keyway-core", "keyway-gateway", "keyway-net", "keyway-sim"]),
    ("xtask", &[]),
];

/// What a crate's tests may use beside that, still downwards: the gateway's answers are judged by the library that reads
/// them.
const TESTS_MAY_USE: [(&str, &str); 1] = [("keyway-gateway", "keyway-client")];

/// All that core may be built from.
const CORE_LIBRARIES: [&str; 8] =
    ["ed25519-dalek", "libm", "rand_chacha", "rand_core", "sha1", "sha2", "siphasher", "thiserror"];

/// Libraries that stand for a floor, and the crates that may use them.
const FLOORS_OF_LIBRARIES: [(&str, &[&str]); 9] = [
    ("tokio", &["keyway-net", "keyway-client", "keyway-gateway", "keyway"]),
    ("redb", &["keyway-net"]),
    ("socket2", &["keyway-net"]),
    ("axum", &["keyway-gateway"]),
    ("quick-xml", &["keyway-gateway"]),
    ("hyper", &["keyway-client", "keyway-gateway"]),
    ("clap", &["keyway"]),
    ("utoipa", &["keyway-gateway"]),
    ("kuva", &["keyway"]),
];

fn run(tree: &Tree, report: &mut Report) {
    for (path, manifest) in tree.manifests() {
        let Some(name) = manifest.get("package").and_then(|p| p.get("name")).and_then(|n| n.as_str()) else {
            continue;
        };
        let Some((_, may_use)) = MAY_USE.iter().find(|(krate, _)| *krate == name) else {
            report.error(
                path,
                0,
                format!("{name} has no floor: give it a line in xtask/src/tidy/dependencies.rs and a paragraph in ARCHITECTURE.md, or put the code into a crate that has one"),
            );
            continue;
        };
        for (section, dependency, entry) in dependencies(&manifest) {
            let in_tests = section == "dev-dependencies" && TESTS_MAY_USE.contains(&(name, dependency));
            if dependency.starts_with("keyway") && !may_use.contains(&dependency) && !in_tests {
                report.error(
                    path,
                    0,
                    format!("{name} may not depend on {dependency}: dependencies go down only; move what is shared below both, or pass it in as an argument"),
                );
            }
            if name == "keyway-core" && section == "dependencies" && !CORE_LIBRARIES.contains(&dependency) {
                report.error(
                    path,
                    0,
                    format!("core is built from a closed list of libraries and {dependency} is not on it: do it above core, or argue for it in ARCHITECTURE.md and add it to xtask/src/tidy/dependencies.rs"),
                );
            }
            let floor = FLOORS_OF_LIBRARIES.iter().find(|(library, _)| *library == dependency);
            if let Some((_, crates)) = floor
                && section == "dependencies"
                && !crates.contains(&name)
            {
                report.error(
                    path,
                    0,
                    format!("{dependency} belongs to {}: keep it out of {name}", crates.join(", ")),
                );
            }
            if entry.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                report.error(
                    path,
                    0,
                    format!("{dependency}: versions stand once, in the workspace's Cargo.toml; write `{dependency}.workspace = true`"),
                );
            }
        }
    }
}

/// `(section, name, entry)` of every dependency, those of single targets too.
fn dependencies(manifest: &toml::Table) -> Vec<(&str, &str, &toml::Value)> {
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let tables = targets.into_iter().flat_map(toml::Table::values).filter_map(toml::Value::as_table);
    let mut found = Vec::new();
    for table in core::iter::once(manifest).chain(tables) {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let entries = table.get(section).and_then(toml::Value::as_table);
            found.extend(entries.into_iter().flatten().map(|(name, entry)| (section, name.as_str(), entry)));
        }
    }
    found
}
