//! Every file says first what it is.

use super::{Check, Example, Report, Tree};

pub(super) const CHECK: Check = Check {
    name: "headers",
    rule: "every Rust file begins with a `//!` header",
    run,
    breaks: &[
        Example { what: "code at once", files: &[("crates/core/src/a.rs", "use core::fmt;\n")] },
        Example { what: "an empty header", files: &[("crates/core/src/a.rs", "//!\nuse core::fmt;\n")] },
    ],
    keeps: &[Example { what: "a header", files: &[("crates/core/src/a.rs", "//! What it is.\n")] }],
};

fn run(tree: &Tree, report: &mut Report) {
    for source in tree.sources() {
        let first = source.text.lines().next().unwrap_or("");
        if first.strip_prefix("//!").is_none_or(|header| header.trim().is_empty()) {
            report.error(
                &source.path,
                1,
                "begin with `//! ` and say what this file is: which idea, which paper, which invariants",
            );
        }
    }
}
