//! A seed is a world, bit for bit, in debug and in release and on any machine: the committed hashes of ten worlds
//! of each overlay. `.ci/run` compares the release build with the same file.
//!
//! A change of core or of the simulator that changes what is sent, or when, changes them. If it does so on purpose:
//! `cargo xtask golden` writes them anew; the commit says why.

use std::fmt::Write as _;

use keyway_core::overlay::registry::OVERLAYS;
use keyway_sim::swarm::{self, Params};

const GOLDEN: &str = include_str!("golden_hashes.txt");
const SEEDS: std::ops::RangeInclusive<u64> = 1..=10;

fn hashes() -> String {
    let mut text = String::from("# overlay, seed, trace hash, events; written by `cargo xtask golden`\n");
    for entry in OVERLAYS {
        for seed in SEEDS {
            let tally = swarm::run(&Params::draw(seed, Some(entry)), None, None).tally;
            writeln!(text, "{} {seed} {:016x} {}", entry.name, tally.hash, tally.events).unwrap();
        }
    }
    text
}

#[test]
fn ten_seeds_give_the_committed_hashes() {
    let now = hashes();
    if std::env::var_os("UPDATE").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden_hashes.txt");
        std::fs::write(file, &now).unwrap();
    } else {
        assert_eq!(now, GOLDEN, "worlds have changed; if on purpose: cargo xtask golden");
    }
}

#[test]
fn a_world_lived_twice_is_the_same_and_listening_does_not_change_it() {
    let params = Params::draw(3, OVERLAYS.first());
    let first = swarm::run(&params, None, None);
    let heard = swarm::run(&params, Some(Box::new(|_, _| ())), None);
    assert_eq!(first, heard);
}
