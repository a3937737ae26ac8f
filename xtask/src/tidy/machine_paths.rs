//! The repository works wherever it is cloned.

use super::{Check, Example, Report, Tree};

pub(super) const CHECK: Check = Check {
    name: "machine_paths",
    rule: "no file names an absolute path of somebody's machine",
    run,
    breaks: &[
        Example {
            what: "in code",
            files: &[("crates/sim/src/a.rs", concat!("const A: &str = \"/", "home/ann/x\";\n"))],
        },
        Example { what: "in a document", files: &[("docs/a.md", concat!("See /", "root/keyway.\n"))] },
        Example { what: "in a script", files: &[(".ci/run", concat!("cd /", "Users/ann\n"))] },
    ],
    keeps: &[Example {
        what: "routes and relative paths",
        files: &[("docs/a.md", "`GET /v1/keys/home/x`, `crates/core`, `./keyway-data`\n")],
    }],
};

const ROOTS: [&str; 5] = [
    concat!("/", "home/"),
    concat!("/", "root/"),
    concat!("/", "work/"),
    concat!("/", "Users/"),
    concat!("C:", "\\"),
];

fn run(tree: &Tree, report: &mut Report) {
    for (path, text) in tree.texts().filter(|(path, _)| !path.starts_with("cargo ")) {
        for (number, line) in text.lines().enumerate() {
            for root in ROOTS {
                // A root begins a path: what stands before it is not part of one.
                let begins = |at: usize| {
                    !line[..at]
                        .ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | '*'))
                };
                if line.match_indices(root).any(|(at, _)| begins(at)) {
                    report.error(
                        path,
                        number + 1,
                        format!("`{root}` is a path of one machine: write it relative to the repository"),
                    );
                }
            }
        }
    }
}
