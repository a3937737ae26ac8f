//! An overlay is only its routing table and its maintenance protocol.

use super::source::{PathUse, Source};
use super::{Check, Example, Report, Tree};

pub(super) const CHECK: Check = Check {
    name: "overlays",
    rule: "an overlay never imports a sibling, and nothing from store, replica, node, frame, machine, rpc or lookup",
    run,
    breaks: &[
        Example {
            what: "a sibling by its full path",
            files: &[
                ("crates/core/src/overlay/chord/mod.rs", "use crate::overlay::toy::Toy;\n"),
                ("crates/core/src/overlay/toy.rs", "impl Overlay for Toy {}\n"),
            ],
        },
        Example {
            what: "a sibling by super",
            files: &[
                ("crates/core/src/overlay/chord/table.rs", "use super::super::{toy, Hop};\n"),
                ("crates/core/src/overlay/toy.rs", "impl Overlay for Toy {}\n"),
            ],
        },
        Example {
            what: "the store",
            files: &[("crates/core/src/overlay/toy.rs", "use crate::{id::Id, store::Record};\n")],
        },
        Example {
            what: "frames",
            files: &[("crates/core/src/overlay/toy.rs", "fn f(k: crate::frame::FrameKey) {}\n")],
        },
    ],
    keeps: &[Example {
        what: "its own folder, the seam, geometry",
        files: &[
            (
                "crates/core/src/overlay/chord/mod.rs",
                "use crate::cx::Cx;\nuse super::{Hop, Overlay};\nmod toy_names;\n",
            ),
            ("crates/core/src/overlay/chord/table.rs", "use super::Chord;\nuse crate::keyspace::ring;\n"),
            (
                "crates/core/src/overlay/toy.rs",
                "use super::shared::f;\n#[cfg(test)]\nmod tests { use super::*; }\n",
            ),
            ("crates/core/src/overlay/shared.rs", "use crate::id::Id;\n"),
        ],
    }],
};

const FOLDER: &str = "crates/core/src/overlay/";
const FORBIDDEN: [&str; 7] = ["store", "replica", "node", "frame", "machine", "rpc", "lookup"];

/// The names of the overlays: files and folders beside the seam that implement it.
pub(super) fn names(tree: &Tree) -> Vec<String> {
    let implements = |s: &&Source| s.code_lines(" Overlay for ").any(|line| !s.is_test(line));
    let mut names: Vec<String> =
        tree.sources_in(FOLDER).filter(implements).filter_map(owner).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

/// The file or folder beside the seam to which a file belongs; none for the seam itself.
pub(super) fn owner(source: &Source) -> Option<&str> {
    let inside = source.path.strip_prefix(FOLDER)?;
    let name = inside.split('/').next()?.trim_end_matches(".rs");
    (!["mod", "registry", "tests"].contains(&name)).then_some(name)
}

fn run(tree: &Tree, report: &mut Report) {
    let names = names(tree);
    for source in tree.sources_in(FOLDER) {
        let Some(own) = owner(source) else { continue };
        for path in source.paths.iter().filter(|p| !source.is_test(p.line)) {
            let Some(target) = absolute(source, path) else { continue };
            let segments: Vec<&str> = target.iter().map(String::as_str).collect();
            match segments.as_slice() {
                ["overlay", sibling, ..] if *sibling != own && names.iter().any(|n| n == sibling) => report.error(
                    &source.path,
                    path.line,
                    format!("{own} imports its sibling {sibling}: overlays share only what lies below them (keyspace, cx); move the shared part there"),
                ),
                [room, ..] if FORBIDDEN.contains(room) => report.error(
                    &source.path,
                    path.line,
                    format!("{own} imports from {room}: an overlay asks through `Cx` and answers the questions of the `Overlay` trait; the node does the rest"),
                ),
                _ => {}
            }
        }
    }
}

/// The path from the root of core, if it begins at the crate, at `super` or at `self`.
fn absolute(source: &Source, path: &PathUse) -> Option<Vec<String>> {
    let rest = path.segments.iter().skip_while(|s| ["crate", "super", "self"].contains(&s.as_str()));
    let first = path.segments.first()?;
    if first == "crate" {
        return Some(rest.cloned().collect());
    }
    if first != "super" && first != "self" {
        return None;
    }
    let module =
        source.path.strip_prefix("crates/core/src/")?.trim_end_matches(".rs").trim_end_matches("/mod");
    let mut base: Vec<String> = module.split('/').map(str::to_owned).collect();
    for _ in path.segments.iter().take_while(|s| *s == "super" || *s == "self").filter(|s| *s == "super") {
        base.pop();
    }
    base.extend(rest.cloned());
    Some(base)
}
