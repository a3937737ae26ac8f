//! The rooms of core: which module may use which.

use super::{Check, Example, Report, Tree};

pub(super) const CHECK: Check = Check {
    name: "rooms",
    rule: "inside core a floor uses only those below it; the node is the only place where the parts meet",
    run,
    breaks: &[
        Example {
            what: "the store looks up",
            files: &[("crates/core/src/store/a.rs", "use crate::node::Node;\n")],
        },
        Example {
            what: "geometry knows peers",
            files: &[("crates/core/src/keyspace/a.rs", "use crate::{id::Id, peer::Peer};\n")],
        },
        Example {
            what: "rpc knows records",
            files: &[("crates/core/src/rpc.rs", "fn f(r: crate::store::Record) {}\n")],
        },
        Example {
            what: "a room nobody knows",
            files: &[("crates/core/src/attic/mod.rs", "use crate::id::Id;\n")],
        },
    ],
    keeps: &[Example {
        what: "down is fine, and tests may look around",
        files: &[
            (
                "crates/core/src/store/a.rs",
                "use crate::id::Id;\n#[cfg(test)]\nmod tests { use crate::node::Node; }\n",
            ),
            ("crates/core/src/node/a.rs", "use crate::{store, lookup, rpc};\n"),
        ],
    }],
};

/// Each room of core and the rooms that it may use. `machine` holds the vocabulary of the outer seam (ops, disk effects)
/// and is spoken on both sides of the node; `cx` and `overlay` are two halves of the inner seam.
const MAY_USE: [(&str, &[&str]); 15] = [
    ("id", &[]),
    ("time", &[]),
    ("rng", &["id", "time"]),
    ("wire", &["id"]),
    ("keyspace", &["id", "wire"]),
    ("peer", &["id", "wire"]),
    ("frame", &["id", "wire", "peer"]),
    ("cx", &["id", "time", "rng", "peer", "keyspace", "overlay"]),
    ("overlay", &["id", "time", "rng", "wire", "keyspace", "peer", "cx"]),
    ("machine", &["id", "time", "rng", "wire", "keyspace", "peer", "frame", "cx", "overlay", "store"]),
    ("store", &["id", "time", "rng", "wire", "keyspace", "peer", "machine", "overlay"]),
    ("rpc", &["id", "time", "rng", "wire", "keyspace", "peer", "frame", "cx", "overlay", "machine"]),
    ("lookup", &["id", "time", "rng", "wire", "keyspace", "peer", "cx", "overlay", "machine", "rpc"]),
    ("replica", &["id", "time", "rng", "wire", "keyspace", "peer", "overlay", "machine", "store"]),
    (
        "node",
        &[
            "id", "time", "rng", "wire", "keyspace", "peer", "frame", "cx", "overlay", "machine", "store",
            "rpc", "lookup", "replica",
        ],
    ),
];

/// What `lib.rs` re-exports at the root: the room each name comes from.
const ROOT_NAMES: [(&str, &str); 10] = [
    ("Id", "id"),
    ("Machine", "machine"),
    ("NodeInput", "machine"),
    ("Outbox", "machine"),
    ("Addr", "peer"),
    ("Peer", "peer"),
    ("Duration", "time"),
    ("Mono", "time"),
    ("Now", "time"),
    ("Wall", "time"),
];

fn run(tree: &Tree, report: &mut Report) {
    for source in tree.sources_in("crates/core/src/") {
        let inside = &source.path["crates/core/src/".len()..];
        let room = inside.split('/').next().unwrap_or("").trim_end_matches(".rs");
        if room == "lib" || inside == "overlay/registry.rs" {
            continue; // the door of the crate, and the one line that plugs overlays into nodes
        }
        let Some((_, may_use)) = MAY_USE.iter().find(|(name, _)| *name == room) else {
            report.error(
                &source.path,
                0,
                format!("core has no room `{room}`: give it a line in xtask/src/tidy/rooms.rs, and a place in the floors of crates/core/src/lib.rs"),
            );
            continue;
        };
        for path in source.paths.iter().filter(|p| p.segments[0] == "crate" && !source.is_test(p.line)) {
            let Some(name) = path.segments.get(1) else { continue };
            let target = ROOT_NAMES.iter().find(|(n, _)| n == name).map_or(name.as_str(), |(_, room)| *room);
            let known = MAY_USE.iter().any(|(name, _)| *name == target);
            if known && target != room && !may_use.contains(&target) {
                report.error(
                    &source.path,
                    path.line,
                    format!("{room} may not use {target}: a floor uses only those below it; pass the value in, or let node/ bring the two together"),
                );
            }
        }
    }
}
