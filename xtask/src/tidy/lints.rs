//! Every crate lives under the workspace's lints.

use super::{Check, Example, Report, Tree};

pub(super) const CHECK: Check = Check {
    name: "lints",
    rule: "every crate inherits the workspace's lints",
    run,
    breaks: &[Example {
        what: "a crate on its own",
        files: &[(
            "crates/a/Cargo.toml",
            "[package]\nname = \"a\"\n[lints.rust]\nmissing_docs = \"allow\"\n",
        )],
    }],
    keeps: &[Example {
        what: "inherited",
        files: &[("crates/a/Cargo.toml", "[package]\nname = \"a\"\n[lints]\nworkspace = true\n")],
    }],
};

fn run(tree: &Tree, report: &mut Report) {
    for (path, manifest) in tree.manifests() {
        let inherits = manifest.get("lints").and_then(|l| l.get("workspace")).and_then(toml::Value::as_bool);
        if inherits != Some(true) {
            report.error(
                path,
                0,
                "add `[lints]` with `workspace = true`; an exception stands at the item, with a reason",
            );
        }
    }
}
