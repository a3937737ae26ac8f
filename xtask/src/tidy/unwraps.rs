//! A panic is our bug, and says why it cannot happen.

use super::{Check, Example, Report, Tree};

pub(super) const CHECK: Check = Check {
    name: "unwraps",
    rule: "no .unwrap() outside tests",
    run,
    breaks: &[Example {
        what: "a bare unwrap",
        files: &[("crates/net/src/a.rs", "fn f() { x().unwrap(); }\n")],
    }],
    keeps: &[Example {
        what: "a written invariant, a default, a test",
        files: &[(
            "crates/net/src/a.rs",
            "fn f() { x().expect(\"set in new\"); y().unwrap_or(1); }\n#[cfg(test)]\nmod tests { fn f() { x().unwrap(); } }\n",
        )],
    }],
};

fn run(tree: &Tree, report: &mut Report) {
    for source in tree.sources() {
        for line in source.code_lines(".unwrap()").filter(|line| !source.is_test(*line)) {
            report.error(
                &source.path,
                line,
                "return the error, or write the invariant: `.expect(\"why this cannot fail\")`; never on data from outside",
            );
        }
    }
}
