//! A file is named after the idea that it holds.

use super::{Check, Example, Report, Tree};

pub(super) const CHECK: Check = Check {
    name: "names",
    rule: "no file or folder is called utils, common, helpers, types, manager, traits or errors",
    run,
    breaks: &[
        Example { what: "a drawer", files: &[("crates/core/src/utils.rs", "")] },
        Example { what: "a folder of drawers", files: &[("crates/net/src/common/a.rs", "")] },
    ],
    keeps: &[Example { what: "a noun of the field", files: &[("crates/core/src/store/expiry.rs", "")] }],
};

const FORBIDDEN: [&str; 11] = [
    "utils", "util", "common", "helpers", "helper", "types", "manager", "traits", "errors", "misc", "prelude",
];

fn run(tree: &Tree, report: &mut Report) {
    for source in tree.sources() {
        let drawer = source.path.split('/').find(|part| FORBIDDEN.contains(&part.trim_end_matches(".rs")));
        if let Some(name) = drawer {
            report.error(
                &source.path,
                0,
                format!(
                    "`{name}` names a drawer, not an idea: name the file after what it holds, beside its use"
                ),
            );
        }
    }
}
