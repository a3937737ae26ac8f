//! A seed gives the same bits in debug and release and on any machine: no hashed iteration, no float function whose
//! result depends on the system's C library.

use super::{Check, Example, Report, Tree};

pub(super) const CHECK: Check = Check {
    name: "determinism",
    rule: "core and sim use no HashMap or HashSet, and take float functions from libm",
    run,
    breaks: &[
        Example {
            what: "a hashed map in core",
            files: &[("crates/core/src/a.rs", "use hashbrown::HashMap;\n")],
        },
        Example {
            what: "a hashed set in sim",
            files: &[("crates/sim/src/a.rs", "fn f(x: std::collections::HashSet<u8>) {}\n")],
        },
        Example {
            what: "a logarithm in core",
            files: &[("crates/core/src/a.rs", "fn f(x: f64) -> f64 { x.ln() }\n")],
        },
        Example {
            what: "a power in sim",
            files: &[("crates/sim/src/a.rs", "fn f(x: f64) -> f64 { f64::powf(x, 2.0) }\n")],
        },
    ],
    keeps: &[Example {
        what: "ordered maps, integer functions, libm, and hashed maps at the edges",
        files: &[
            (
                "crates/core/src/a.rs",
                "use alloc::collections::BTreeMap;\nfn f(x: u64) -> u64 { x.pow(2) }\nfn g(x: f64) -> f64 { libm::log(x) }\n",
            ),
            ("crates/gateway/src/a.rs", "use std::collections::HashMap;\n"),
        ],
    }],
};

const FOLDERS: [&str; 2] = ["crates/core/", "crates/sim/"];

/// Containers whose order depends on a hasher.
const HASHED: [&str; 6] = ["HashMap", "HashSet", "hash_map", "hash_set", "RandomState", "DefaultHasher"];

/// Float functions that std takes from the system (or may compute more precisely on one machine than on another).
const FLOAT_FUNCTIONS: [&str; 20] = [
    "powf", "powi", "ln", "ln_1p", "log2", "log10", "exp", "exp2", "exp_m1", "sin", "cos", "tan", "asin",
    "acos", "atan", "atan2", "sinh", "tanh", "hypot", "mul_add",
];

fn run(tree: &Tree, report: &mut Report) {
    for source in tree.sources().filter(|s| FOLDERS.iter().any(|f| s.path.starts_with(f))) {
        for path in &source.paths {
            if let Some(name) = path.segments.iter().find(|s| HASHED.contains(&s.as_str())) {
                report.error(
                    &source.path,
                    path.line,
                    format!("{name}: its order depends on a hasher; use BTreeMap, BTreeSet or a sorted Vec"),
                );
            }
        }
        for name in FLOAT_FUNCTIONS {
            for (line, at) in source.words(name) {
                let before = &source.code[..at];
                let called = source.code[at + name.len()..].starts_with('(');
                let on_float =
                    before.ends_with('.') || before.ends_with("f64::") || before.ends_with("f32::");
                if called && on_float {
                    let message = format!("{name}() of std differs between machines: call libm's function");
                    report.error(&source.path, line, message);
                }
            }
        }
    }
}
