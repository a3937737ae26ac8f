//! What reading the manifest of a folder costs in memory: a small multiple of its length, whatever its bytes are.
#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::Write as _;

use keyway_client::publish::Manifest;

/// Bytes of memory for each byte of a manifest, and for one at all.
const FACTOR: usize = 4;
const START: usize = 64 << 10;
/// Long enough for a factor to show, and read in no time.
const LENGTH: usize = 2 << 20;

thread_local! {
    /// What this thread holds now, and the most that it held.
    static HELD: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

fn note(change: impl FnOnce(usize) -> usize) {
    // A thread that ends has no count any more.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        let now = change(now);
        held.set((now, most.max(now)));
    });
}

struct Counting;

// SAFETY: everything is the system's own; beside it a number is changed, which allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(|now| now.saturating_add(layout.size()));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        note(|now| now.saturating_sub(layout.size()));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most memory held at once while a manifest is read, beyond what was held before; and whether it could be used.
fn cost(text: &str) -> (usize, bool) {
    let before = HELD.with(|held| {
        let (now, _) = held.get();
        held.set((now, now));
        now
    });
    let good = Manifest::parse(text.as_bytes()).is_ok();
    (HELD.with(|held| held.get().1) - before, good)
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
