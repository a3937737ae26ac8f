//! Planted bugs and the table that shows them found are one list.

use super::source::Source;
use super::{Check, Example, Report, Tree};
use crate::planted::BUGS;

pub(super) const CHECK: Check = Check {
    name: "bugs",
    rule: "every planted bug in the code stands in xtask/src/planted.rs, and the other way round",
    run,
    breaks: &[Example {
        what: "a bug that nobody hunts",
        files: &[("crates/core/src/a.rs", "fn f() { if cfg!(keyway_bug = \"nobody_knows_it\") {} }\n")],
    }],
    keeps: &[Example { what: "no bugs at all", files: &[("crates/core/src/a.rs", "fn f() {}\n")] }],
};

fn run(tree: &Tree, report: &mut Report) {
    let mut planted = Vec::new();
    for source in tree.sources_in("crates/") {
        for (line, name) in bugs(source) {
            if !BUGS.iter().any(|bug| bug.name == name) {
                report.error(
                    &source.path,
                    line,
                    format!("the planted bug `{name}` is hunted by nothing: add it to BUGS in xtask/src/planted.rs"),
                );
            }
            planted.push(name);
        }
    }
    if tree.exists("xtask/src/planted.rs") {
        for bug in BUGS.iter().filter(|bug| !planted.iter().any(|name| name == bug.name)) {
            let message = format!("no code plants `{}`: remove it from BUGS, or plant it again", bug.name);
            report.error("xtask/src/planted.rs", 0, message);
        }
    }
}

/// Line and name of every `keyway_bug = "name"`.
fn bugs(source: &Source) -> Vec<(usize, String)> {
    source
        .words("keyway_bug")
        .filter_map(|(line, at)| {
            let rest = source.text[at + "keyway_bug".len()..].trim_start().strip_prefix('=')?;
            let name = rest.trim_start().strip_prefix('"')?.split('"').next()?;
            Some((line, name.to_owned()))
        })
        .collect()
}
