//! Experiments named after published figures: the published value, ours with its spread over many rings, and a verdict.
//!
//! ```text
//!   Experiment ──run(Ask)──▶ Outcome ─┬─ rows    published, ours, tolerance, pass      table and JSON
//!                                     └─ plots   both curves                           drawn by crates/keyway
//! ```
//!
//! Every number comes from the node that serves: its `Machine` in a [`crate::World`], or its own answer about what it
//! shares. Rings are independent worlds, one seed each, and run in parallel; an outcome depends on the seeds alone.
//!
//! A tolerance is part of the claim and stands in the code beside the published value. Where a figure cannot be met, the
//! measured value is shown with `FAIL` and the reason stands in the outcome's notes.
//!
//! An experiment is one function and one line in [`EXPERIMENTS`]. One that needs more than nodes stands in `crates/keyway` and is
//! made there by [`Experiment::new`].

mod burst;
mod chord_churn;
mod chord_failure;
mod chord_load;
mod chord_path;
mod half_dies;
mod kademlia_path;
mod opendht_fair;
mod opendht_longrun;
mod outcome;

use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

pub use outcome::{Measured, Outcome, Plot, Point, Row, Series, Tolerance};

/// How many rings a published figure is compared with.
pub const RINGS: u32 = 20;
/// How many make a quick look.
pub const RINGS_QUICK: u32 = 3;
/// Bound on the rings of one experiment.
pub const RINGS_MAX: u32 = 10_000;

/// What is asked of an experiment.
pub struct Ask<'a> {
    /// Worlds for each setting; seeds are `seed`, `seed + 1` and so on.
    pub rings: u32,
    /// The first seed.
    pub seed: u64,
    /// A quick look: smaller settings and fewer lookups, judged by the same tolerances.
    pub quick: bool,
    /// Is told `(done, total)` worlds, from any thread.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
}

/// One experiment.
pub struct Experiment {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// Which figure or table of which paper.
    pub paper: &'static str,
    run: fn(&Ask<'_>) -> Outcome,
}

impl Experiment {
    /// An experiment of that name: one line about it, which figure of which paper, and what runs it.
    #[must_use]
    pub const fn new(
        name: &'static str,
        about: &'static str,
        paper: &'static str,
        run: fn(&Ask<'_>) -> Outcome,
    ) -> Experiment {
        Experiment { name, about, paper, run }
    }

    /// Runs it.
    #[must_use]
    pub fn run(&self, ask: &Ask<'_>) -> Outcome {
        let outcome = (self.run)(ask);
        Outcome {
            name: self.name,
            about: self.about,
            paper: self.paper,
            rings: ask.rings,
            seeds: (ask.seed, ask.seed + u64::from(ask.rings.max(1)) - 1),
            quick: ask.quick,
            pass: outcome.rows.iter().all(|row| row.pass() != Some(false)),
            ..outcome
        }
    }
}

/// Every experiment.
pub static EXPERIMENTS: &[Experiment] = &[
    Experiment {
        name: "chord-path-length",
        about: "path length over the number of nodes, successor lists of one",
        paper: "Chord (ToN 2003), figure 10a",
        run: chord_path::length,
    },
    Experiment {
        name: "chord-path-pdf",
        about: "distribution of path lengths among 4,096 nodes",
        paper: "Chord (ToN 2003), figure 10b",
        run: chord_path::distribution,
    },
    Experiment {
        name: "chord-load",
        about: "keys on each of 10,000 nodes",
        paper: "Chord (ToN 2003), figure 8",
        run: chord_load::keys,
    },
    Experiment {
        name: "chord-virtual-nodes",
        about: "keys on each of 10,000 nodes that are several nodes of the ring each",
        paper: "Chord (ToN 2003), figure 9",
        run: chord_load::virtual_nodes,
    },
    Experiment {
        name: "chord-mass-failure",
        about: "paths and time-outs after a part of 1,000 nodes dies at once, without repair",
        paper: "Chord (ToN 2003), table II",
        run: chord_failure::table,
    },
    Experiment {
        name: "chord-churn",
        about: "paths, time-outs and failures while nodes join and leave, with the paper's timers and with ours",
        paper: "Chord (ToN 2003), table III",
        run: chord_churn::table,
    },
    Experiment {
        name: "chord-half-dies",
        about: "half of 10,000 nodes die at once: lookups before any repair, and after three rounds",
        paper: "Chord (ToN 2003), theorem IV.5",
        run: chord_failure::half,
    },
    Experiment {
        name: "kademlia-path-length",
        about: "path length over the number of nodes, buckets of twenty",
        paper: "Kademlia (IPTPS 2002), sections 2.2, 2.3 and 3",
        run: kademlia_path::length,
    },
    Experiment {
        name: "kademlia-half-dies",
        about: "half of 10,000 nodes die at once: lookups before any repair, and after three rounds",
        paper: "Kademlia (IPTPS 2002), sections 2.2 and 2.3; the promise is Chord's (ToN 2003, theorem IV.5)",
        run: kademlia_path::half,
    },
    Experiment {
        name: "opendht-nonstarvation",
        about: "storage of four clients that come one after the other and want all of a disk",
        paper: "OpenDHT (SIGCOMM 2005), figure 4",
        run: opendht_fair::nonstarvation,
    },
    Experiment {
        name: "opendht-fair-queueing",
        about: "storage and waits of fifteen clients that want less, as much as and more than their share",
        paper: "OpenDHT (SIGCOMM 2005), figure 5 and table 3",
        run: opendht_fair::queueing,
    },
    Experiment {
        name: "opendht-longrun",
        about: "values lost of 5,000 a world (a million: --rings 200), a put and a get each second, while hosts die, come back and are slow",
        paper: "OpenDHT (SIGCOMM 2005), section 5.1",
        run: opendht_longrun::losses,
    },
];

/// The experiment of that name.
///
/// # Errors
/// With the names of those that exist.
pub fn find(name: &str) -> Result<&'static Experiment, String> {
    find_among(EXPERIMENTS.iter(), name)
}

/// The experiment of that name among `all`.
///
/// # Errors
/// With the names of those that exist.
pub fn find_among<'a>(
    all: impl Iterator<Item = &'a Experiment> + Clone,
    name: &str,
) -> Result<&'a Experiment, String> {
    all.clone().find(|e| e.name == name).ok_or_else(|| {
        let names: Vec<&str> = all.map(|e| e.name).collect();
        format!("there is no experiment `{name}`; there are: {}", names.join(", "))
    })
}

/// Runs `one(case, seed)` for each ring of each of so many cases, in parallel; `[case][ring]`, in order.
pub fn each_ring<T: Send>(ask: &Ask<'_>, cases: usize, one: impl Fn(usize, u64) -> T + Sync) -> Vec<Vec<T>> {
    let rings = ask.rings.max(1) as usize;
    let total = (cases * rings) as u64;
    let done = AtomicU64::new(0);
    let mut all: Vec<T> = (0..cases * rings)
        .into_par_iter()
        .map(|i| {
            let result = one(i / rings, ask.seed + (i % rings) as u64);
            (ask.progress)(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            result
        })
        .collect();
    let mut cases: Vec<Vec<T>> = Vec::with_capacity(cases);
    while !all.is_empty() {
        let rest = all.split_off(rings.min(all.len()));
        cases.push(core::mem::replace(&mut all, rest));
    }
    cases
}
