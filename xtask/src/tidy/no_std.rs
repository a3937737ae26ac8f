//! Core is `no_std`, and nothing that it is built from brings `std` back.

use super::tree::CORE_FEATURES;
use super::{Check, Example, Report, Tree};

const LIB: &str = "crates/core/src/lib.rs";
const GOOD_LIB: &str = "//! Core.\n#![no_std]\n#![forbid(unsafe_code)]\nextern crate alloc;\n";

pub(super) const CHECK: Check = Check {
    name: "no_std",
    rule: "core is no_std and forbids unsafe code, and no feature of its libraries brings std in",
    run,
    breaks: &[
        Example { what: "std is linked", files: &[(LIB, "//! Core.\n#![forbid(unsafe_code)]\n")] },
        Example {
            what: "unsafe is only denied",
            files: &[(LIB, "//! Core.\n#![no_std]\n#![deny(unsafe_code)]\n")],
        },
        Example {
            what: "std by the back door",
            files: &[(LIB, GOOD_LIB), ("crates/core/src/a.rs", "extern crate std;\n")],
        },
        Example {
            what: "a std path",
            files: &[(LIB, GOOD_LIB), ("crates/core/src/a.rs", "fn f() { std::process::exit(1) }\n")],
        },
        Example {
            what: "a library with its std feature",
            files: &[
                (LIB, GOOD_LIB),
                (CORE_FEATURES, "keyway-core v0.1.0\nsha2 feature \"alloc\"\nthiserror feature \"std\"\n"),
            ],
        },
        Example {
            what: "default features of a core library",
            files: &[
                (LIB, GOOD_LIB),
                ("Cargo.toml", "[workspace.dependencies]\nsha2 = { version = \"0.11\" }\n"),
                (
                    "crates/core/Cargo.toml",
                    "[package]\nname = \"keyway-core\"\n[dependencies]\nsha2.workspace = true\n",
                ),
            ],
        },
    ],
    keeps: &[Example {
        what: "alloc, and std in tests",
        files: &[
            (LIB, GOOD_LIB),
            ("crates/core/src/a.rs", "use alloc::vec::Vec;\n#[cfg(test)]\nmod tests { extern crate std; }\n"),
            (CORE_FEATURES, "keyway-core v0.1.0\nsha2 feature \"alloc\"\n"),
            (
                "Cargo.toml",
                "[workspace.dependencies]\nsha2 = { version = \"0.11\", default-features = false }\n",
            ),
            (
                "crates/core/Cargo.toml",
                "[package]\nname = \"keyway-core\"\n[dependencies]\nsha2.workspace = true\n",
            ),
        ],
    }],
};

fn run(tree: &Tree, report: &mut Report) {
    for source in tree.sources_in("crates/core/src/") {
        if source.path == LIB {
            for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
                if !source.code.contains(attribute) {
                    report.error(
                        LIB,
                        0,
                        format!("`{attribute}` is the strongest fence of core: put it back"),
                    );
                }
            }
        }
        for path in source.paths.iter().filter(|p| !source.is_test(p.line)) {
            if path.segments.first().is_some_and(|s| s == "std") {
                let advice = "core has no std: use core:: or alloc::, or take the thing as an argument";
                report.error(&source.path, path.line, format!("{}: {advice}", path.segments.join("::")));
            }
        }
        for line in source.code_lines("extern crate std").filter(|line| !source.is_test(*line)) {
            report.error(&source.path, line, "core has no std: remove `extern crate std`");
        }
    }
    for line in tree.text(CORE_FEATURES).unwrap_or_default().lines() {
        if line.ends_with("feature \"std\"") || line.contains("feature \"std\" (") {
            report.error(
                "crates/core/Cargo.toml",
                0,
                format!("std enters core's feature tree by `{line}`: see `cargo tree -p keyway-core -e normal,features -i std`, and turn the feature off where it is asked for"),
            );
        }
    }
    default_features(tree, report);
}

/// The workspace must turn default features off for each library that core uses.
fn default_features(tree: &Tree, report: &mut Report) {
    let Some(workspace) = tree.workspace() else { return };
    let shared = workspace.get("workspace").and_then(|w| w.get("dependencies"));
    let core = tree.manifests().find(|(path, _)| *path == "crates/core/Cargo.toml").map(|(_, m)| m);
    let used = core.as_ref().and_then(|m| m.get("dependencies")).and_then(toml::Value::as_table);
    for name in used.into_iter().flat_map(toml::Table::keys) {
        let entry = shared.and_then(|s| s.get(name));
        if entry.and_then(|e| e.get("default-features")).and_then(toml::Value::as_bool) != Some(false) {
            report.error(
                "Cargo.toml",
                0,
                format!("{name} is a library of core: give it `default-features = false` in workspace.dependencies"),
            );
        }
    }
}
