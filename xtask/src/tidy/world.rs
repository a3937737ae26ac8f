//! Core and the simulator cannot touch the world: no sockets, files, clocks, threads, processes, and no serde in core.

use super::{Check, Example, Report, Tree};

pub(super) const CHECK: Check = Check {
    name: "world",
    rule: "only net and above name tokio, std::net, std::fs, SystemTime and Instant; no type of core derives serde",
    run,
    breaks: &[
        Example { what: "a clock in core", files: &[("crates/core/src/a.rs", "use std::time::Instant;\n")] },
        Example {
            what: "a file in the simulator",
            files: &[("crates/sim/src/a.rs", "use std::{fs, fmt};\n")],
        },
        Example {
            what: "a socket in the simulator",
            files: &[("crates/sim/src/a.rs", "fn f() { std::net::UdpSocket::bind(x); }\n")],
        },
        Example { what: "a runtime in core", files: &[("crates/core/src/a.rs", "use tokio::sync::mpsc;\n")] },
        Example {
            what: "serde in core",
            files: &[("crates/core/src/a.rs", "#[derive(serde::Serialize)]\nstruct A;\n")],
        },
        Example {
            what: "a renamed import",
            files: &[("crates/sim/src/a.rs", "use std::time as t;\nfn f() { t::SystemTime::now(); }\n")],
        },
        Example {
            what: "the process environment",
            files: &[("crates/sim/src/a.rs", "fn f() { std::env::var(\"SEED\"); }\n")],
        },
    ],
    keeps: &[Example {
        what: "net may; core may say the words in comments; addresses are values",
        files: &[
            ("crates/net/src/a.rs", "use std::time::Instant;\nuse tokio::net::UdpSocket;\n"),
            (
                "crates/core/src/a.rs",
                "// Never an Instant.\nuse core::net::SocketAddr;\nstruct SystemTimes;\n",
            ),
            ("crates/sim/src/a.rs", "use serde::Serialize;\nuse std::collections::BTreeMap;\n"),
        ],
    }],
};

const CORE: &[&str] = &["crates/core/"];
const BOTH: &[&str] = &["crates/core/", "crates/sim/"];

/// What may not be named, where, and what to do instead.
const FORBIDDEN: [(&[&str], &[&str], &str); 14] = [
    (&["tokio"], BOTH, "drivers run in crates/net; here effects are listed, not done"),
    (&["std", "net"], BOTH, "sockets live in crates/net; addresses are `keyway_core::Addr`"),
    (&["std", "fs"], BOTH, "files are read by crates/keyway or crates/net and handed in as text or bytes"),
    (&["std", "io"], BOTH, "return values or text; crates/keyway prints"),
    (&["std", "env"], BOTH, "settings are arguments"),
    (&["std", "process"], BOTH, "return an outcome; crates/keyway decides what becomes of the process"),
    (&["std", "thread"], BOTH, "a machine has no threads; runs of many seeds use rayon"),
    (&["SystemTime"], BOTH, "time is an argument: `Now` carries both clocks"),
    (&["Instant"], BOTH, "time is an argument: `Now` carries both clocks"),
    (&["std", "time", "Duration"], CORE, "durations are `keyway_core::Duration`, integer microseconds"),
    (&["thread_rng"], BOTH, "randomness is an argument: fork a seeded `Rng`"),
    (&["OsRng"], BOTH, "randomness is an argument: fork a seeded `Rng`"),
    (&["serde"], CORE, "JSON is made at the gateway, from its own types"),
    (&["serde_json"], CORE, "JSON is made at the gateway, from its own types"),
];

/// Justified exceptions: file, forbidden path, why. One that is not needed any more is itself a breach.
const EXCEPTIONS: [(&str, &str, &str); 7] = [
    (
        "crates/core/tests/corpus.rs",
        "std::fs",
        "replays the files of the fuzz corpora, and writes their seeds on request",
    ),
    ("crates/core/tests/corpus.rs", "std::env", "the request: UPDATE=1"),
    (
        "crates/core/tests/golden/mod.rs",
        "std::fs",
        "reads docs/protocol.md, and writes its blocks on request",
    ),
    ("crates/core/tests/golden/mod.rs", "std::env", "the request: UPDATE=1"),
    ("crates/sim/tests/golden.rs", "std::fs", "writes the committed trace hashes on request"),
    ("crates/sim/tests/golden.rs", "std::env", "the request: UPDATE=1"),
    ("crates/sim/tests/drawn_worlds.rs", "std::env", "how many worlds: SWEEP_SEEDS"),
];

fn run(tree: &Tree, report: &mut Report) {
    let mut used = vec![false; EXCEPTIONS.len()];
    for source in tree.sources() {
        for (sequence, folders, advice) in &FORBIDDEN {
            if !folders.iter().any(|folder| source.path.starts_with(folder)) {
                continue;
            }
            let name = sequence.join("::");
            for path in source.paths.iter().filter(|p| p.holds(sequence)) {
                let excepted =
                    EXCEPTIONS.iter().position(|(file, what, _)| *file == source.path && *what == name);
                match excepted {
                    Some(i) => used[i] = true,
                    None => report.error(&source.path, path.line, format!("`{name}` here: {advice}")),
                }
            }
        }
    }
    for (i, (file, what, _)) in EXCEPTIONS.iter().enumerate() {
        if !used[i] && tree.exists(file) {
            report.error(
                file,
                0,
                format!("does not name `{what}` any more: remove its exception from xtask/src/tidy/world.rs"),
            );
        }
    }
}
