//! Only the registry names concrete overlays; everything else iterates it. Each entry has its page. A published figure is
//! about one overlay: experiments may choose theirs by its name in the registry.

use super::overlays::{names, owner};
use super::{Check, Example, Report, Tree};

const REGISTRY: &str = "crates/core/src/overlay/registry.rs";
const EXPERIMENTS: &str = "crates/sim/src/experiments/";
const SEAM: &str = "crates/core/src/overlay/mod.rs";

pub(super) const CHECK: Check = Check {
    name: "registry",
    rule: "registry.rs is the only file that names a concrete overlay, but for the experiments; every overlay is registered and has docs/overlays/NAME.md",
    run,
    breaks: &[
        Example {
            what: "the simulator knows an overlay",
            files: &[
                ("crates/core/src/overlay/toy.rs", "impl Overlay for Toy {}\n"),
                (REGISTRY, "use super::toy::Toy;\n"),
                ("docs/overlays/toy.md", "# toy\n"),
                ("crates/sim/src/a.rs", "use keyway_core::overlay::toy::Toy;\n"),
            ],
        },
        Example {
            what: "a name in a string",
            files: &[
                ("crates/core/src/overlay/toy.rs", "impl Overlay for Toy {}\n"),
                (REGISTRY, "use super::toy::Toy;\n"),
                ("docs/overlays/toy.md", "# toy\n"),
                ("crates/keyway/src/a.rs", "const DEFAULT: &str = \"toy\";\n"),
            ],
        },
        Example {
            what: "an overlay that nobody can choose",
            files: &[
                ("crates/core/src/overlay/toy.rs", "impl Overlay for Toy {}\n"),
                (REGISTRY, "//! Empty.\n"),
                ("docs/overlays/toy.md", "# toy\n"),
            ],
        },
        Example {
            what: "an overlay without a page",
            files: &[
                ("crates/core/src/overlay/toy.rs", "impl Overlay for Toy {}\n"),
                (REGISTRY, "use super::toy::Toy;\n"),
            ],
        },
    ],
    keeps: &[Example {
        what: "declared in the seam, registered, documented, named in tests, comments and its experiments",
        files: &[
            ("crates/core/src/overlay/toy.rs", "impl Overlay for Toy {}\n"),
            (SEAM, "pub mod toy;\n"),
            (REGISTRY, "use super::toy::Toy;\n"),
            ("docs/overlays/toy.md", "# toy\n"),
            ("crates/sim/src/experiments/a.rs", "fn ring() { find(\"toy\") }\n"),
            ("crates/keyway/src/a.rs", "const EXAMPLE: &str = \"keyway sim run --overlay toy\";\n"),
            ("crates/sim/src/a.rs", "// As in toy.\n#[cfg(test)]\nmod tests { fn f() { find(\"toy\"); } }\n"),
        ],
    }],
};

fn run(tree: &Tree, report: &mut Report) {
    for name in names(tree) {
        let registered =
            tree.sources_in(REGISTRY).any(|s| s.paths.iter().any(|p| p.segments.contains(&name)));
        if !registered {
            report.error(REGISTRY, 0, format!("{name} is not registered: add its line to OVERLAYS"));
        }
        let page = format!("docs/overlays/{name}.md");
        if !tree.exists(&page) {
            report.error(
                &page,
                0,
                format!("{name} has no page: write one (the paper, every deviation, the invariants and where they are checked)"),
            );
        }
        let capital = capitalised(&name);
        for source in tree.sources_in("crates/") {
            if owner(source) == Some(&name) || [REGISTRY, SEAM].contains(&source.path.as_str()) {
                continue;
            }
            let words = source.words(&name).chain(source.words(&capital)).map(|(line, _)| line);
            // Help texts may show one as an example; a string that is a name chooses it.
            let chooses = !source.path.starts_with(EXPERIMENTS);
            let strings = source.strings.iter().filter(|s| chooses && s.text == name).map(|s| s.line);
            for line in words.chain(strings).filter(|line| !source.is_test(*line)) {
                report.error(
                    &source.path,
                    line,
                    format!("names the overlay {name}: only registry.rs may; iterate `registry::OVERLAYS`, or take the first entry for a default"),
                );
            }
        }
    }
}

fn capitalised(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + chars.as_str())
}
