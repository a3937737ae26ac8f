//! What reading the manifest of a folder costs in memory: a small multiple of its length, whatever its bytes are.
#[path = "support/memory.rs"]
mod memory;

use std::fmt::Write as _;

use keyway_client::publish::Manifest;
use memory::most_held;

/// Bytes of memory for each byte of a manifest, and for one at all.
const FACTOR: usize = 4;
const START: usize = 64 << 10;
/// Long enough for a factor to show, and read in no time.
const LENGTH: usize = 2 << 20;

/// The most memory held at once while a manifest is read, beyond what was held before; and whether it could be used.
fn cost(text: &str) -> (usize, bool) {
    most_held(|| Manifest::parse(text.as_bytes()).is_ok())
}

const HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn manifest(entries: &str) -> String {
    format!("{{\"keyway\":\"tree\",\"version\":1,\"files\":[{}]}}", entries.trim_end_matches(','))
}

fn entry(path: &str, more: &str) -> String {
    format!("{{\"path\":\"{path}\",\"sha256\":\"{HASH}\",\"bytes\":0{more}}},")
}

fn list(entry: impl Fn(usize) -> String) -> String {
    let mut entries = String::new();
    for n in 0.. {
        if entries.len() >= LENGTH {
            break;
        }
        entries.push_str(&entry(n));
    }
    manifest(&entries)
}

#[test]
fn large_manifests_are_cheap() {
    let fill = |piece: &str| piece.repeat(LENGTH / piece.len());
    let filled = |piece: &str, end: &str| {
        let mut more = String::from(",\"x\":[");
        let _ = write!(more, "{}{end}]", fill(piece));
        manifest(&entry("a", &more))
    };
    let deep = vec!["a"; 63].join("/");
    let texts = [
        ("short paths", true, list(|n| entry(&format!("{n:05}"), ""))),
        ("paths in folders of their own", true, list(|n| entry(&format!("{n:05}/{deep}"), ""))),
        ("paths that are escaped", true, list(|n| entry(&format!("{n:05}{}", "\\u00fc".repeat(100)), ""))),
        ("a field of zeros", true, filled("0,", "0")),
        ("a field of lists", true, filled("[],", "[]")),
        ("a field of fields", true, filled("{\"\":0},", "0")),
        ("a long path", false, manifest(&entry(&fill("a"), ""))),
        (
            "a field of the whole",
            true,
            manifest(&entry("a", "")).replace("\"version\"", &format!("\"x\":[{}0],\"version\"", fill("0,"))),
        ),
        ("lists in lists", false, fill("[")),
    ];
    for (name, usable, text) in &texts {
        let (cost, good) = cost(text);
        assert_eq!(good, *usable, "{name}");
        assert!(cost <= START + FACTOR * text.len(), "{name}: {} bytes cost {cost}", text.len());
    }
    let (cost, _) = cost(&texts[0].2);
    assert!(cost > texts[0].2.len() / 2, "it is counted");
}
