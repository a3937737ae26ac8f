//! Removes by the hundred thousand, and whether anything that was removed is seen again.
//!
//! The claim (docs/storage.md, *What was removed stays away*): a removal stands for as long as any copy of the value can still
//! be alive, however short the client asked it to stand and whoever was away meanwhile. A node that comes back with an old disk
//! has a value whose own life is over, too.
//!
//! Many independent worlds of [`WORLD_REMOVES`] removes each, so that what is over is forgotten and any of them can be lived
//! through again from its seed. One world:
//!
//! ```text
//!   settled ──▶ load: batches of values under one key, put, removed, put again, read; every minute somebody goes or comes back
//!           ──▶ everyone but one is back ──▶ every key is read twice
//!           ──▶ churn goes on until the last removal and the last value are over
//!           ──▶ the last one is back, with the oldest disk ──▶ every key is read twice
//! ```
//!
//! Invariants, each with its count in [`Tally`]:
//!
//! * *undead*: a value given although its remove was acknowledged before the get was asked;
//! * *missing*: a value not given although its put was acknowledged, nobody removed it and it lives;
//! * *wrong life*: a put time, a ttl or an end that is not what was given, by more than the hosts' clocks are wrong;
//! * *invented*: bytes that nobody put under this key;
//! * *unreadable*: a key of which nobody gave an answer in the end.
//!
//! The first two are judged of settled gets: asked [`QUIET`] after somebody came, went or stumbled, because while members
//! disagree on who holds a key a read may miss what is newest. What the other gets gave is counted beside them. Every key is
//! read by settled gets at both ends of its world. Lives are judged of every get.
//!
//! Nobody loses more than the promise allows: of those who go away for long one goes at a time, with time for the others to
//! copy what it held; all may restart at once, since their disks come back with them.

mod life;
mod values;

use std::sync::atomic::{AtomicU64, Ordering};

use keyway_core::Duration;
use keyway_core::overlay::registry::Entry;
use rayon::prelude::*;
use serde::Serialize;

/// Removes of one world.
pub const WORLD_REMOVES: u64 = 5_000;
/// Fewest nodes of a world: three copies, and one in three away.
pub const NODES_MIN: usize = 6;
/// Most nodes of a world.
pub const NODES_MAX: usize = 1_000;
/// How long after a change of members everything must hold.
pub const QUIET: Duration = Duration::from_secs(30);
/// A wall clock is wrong by at most this much: two of them differ by the declared bound of two seconds.
pub const SKEW: Duration = Duration::from_secs(1);
/// The greatest life in these worlds, so that a world need not last longer to see everything end.
pub const TTL_MAX: Duration = Duration::from_secs(1_800);
/// Failures of one world that are told.
const FAILURES_MAX: usize = 5;

/// What to run.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Removes in all worlds together.
    pub removes: u64,
    /// The first world's seed; the others follow it.
    pub seed: u64,
    /// Nodes of each world, [`NODES_MIN`] to [`NODES_MAX`].
    pub nodes: usize,
    /// What they run.
    pub overlay: &'static Entry,
    /// Worlds at once.
    pub jobs: usize,
}

/// What was done, and what was seen. Times in virtual microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Tally {
    /// Worlds.
    pub worlds: u64,
    /// Values put, each with its own life.
    pub values: u64,
    /// Of these, acknowledged ones.
    pub puts_acked: u64,
    /// Values to be removed.
    pub removes: u64,
    /// Of these, acknowledged ones, after some tries.
    pub removes_acked: u64,
    /// Of these, those that were asked to stand shorter than the value had left.
    pub removes_asked_short: u64,
    /// Removed values put again under the same secret or signature.
    pub puts_again: u64,
    /// Removed values put again under a new secret.
    pub puts_anew: u64,
    /// Gets answered.
    pub gets: u64,
    /// Gets without an answer.
    pub gets_failed: u64,
    /// Answered gets that were settled.
    pub gets_settled: u64,
    /// Removed values looked for by settled gets: value by get.
    pub removed_looked_for: u64,
    /// Values given by gets.
    pub values_read: u64,
    /// Processes that died or left, and stayed away.
    pub departures: u64,
    /// Processes that died and came back at once.
    pub restarts: u64,
    /// Spans in which a process stood still or its frames were late.
    pub stumbles: u64,
    /// The longest absence.
    pub absence_micros_max: u64,
    /// Values seen after their removal by settled gets.
    pub undead: u64,
    /// The same by gets while members were changing.
    pub undead_unsettled: u64,
    /// Acknowledged, living, never removed values not seen by settled gets.
    pub missing: u64,
    /// The same by gets while members were changing.
    pub missing_unsettled: u64,
    /// Values with another life than they were given.
    pub wrong_lives: u64,
    /// Answers with something that nobody put.
    pub invented: u64,
    /// Reads at the end without an answer in ten tries.
    pub unreadable: u64,
    /// Invariants of a node broken, and hosts that did not come back.
    pub broken: u64,
    /// How far a put time was from the time of the put, at most.
    pub put_time_error_micros_max: u64,
    /// How long after its end a value was still given, at most.
    pub served_late_micros_max: u64,
    /// Inputs given to nodes.
    pub events: u64,
    /// Virtual time lived through.
    pub virtual_micros: u64,
    /// The trace hashes of all worlds, one upon the other.
    pub hash: u64,
}

impl Tally {
    /// Adds another world's.
    pub fn add(&mut self, t: &Tally) {
        macro_rules! sum {
            ($($field:ident)*) => { $(self.$field += t.$field;)* };
        }
        macro_rules! most {
            ($($field:ident)*) => { $(self.$field = self.$field.max(t.$field);)* };
        }
        sum!(worlds values puts_acked removes removes_acked removes_asked_short puts_again puts_anew gets gets_failed
             gets_settled removed_looked_for values_read departures restarts stumbles undead undead_unsettled missing
             missing_unsettled wrong_lives invented unreadable broken events virtual_micros);
        most!(absence_micros_max put_time_error_micros_max served_late_micros_max);
        self.hash = self.hash.rotate_left(7) ^ t.hash;
    }

    /// Whether everything held.
    #[must_use]
    pub fn holds(&self) -> bool {
        let failures =
            [self.undead, self.missing, self.wrong_lives, self.invented, self.unreadable, self.broken];
        failures.iter().all(|count| *count == 0)
    }
}

/// Something that should not be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Failure {
    /// The world's seed.
    pub seed: u64,
    /// How many removes it had.
    pub removes: u64,
    /// When, in virtual microseconds.
    pub at_micros: u64,
    /// Which count of the tally it is in.
    pub what: &'static str,
    /// What was seen, for people.
    pub detail: String,
}

/// What came of all worlds.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Outcome {
    /// The sum over worlds.
    pub tally: Tally,
    /// At most a few of each world, in order of seeds.
    pub failures: Vec<Failure>,
}

/// Failures of all worlds that are kept.
const FAILURES_KEPT_MAX: usize = 100;

/// Runs all worlds, `jobs` at once; `progress` is told the removes done, from any thread.
///
/// # Errors
/// If the threads cannot be had.
pub fn run(plan: &Plan, progress: &(dyn Fn(u64) + Sync)) -> Result<Outcome, String> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(plan.jobs.max(1))
        .build()
        .map_err(|e| format!("cannot have {} threads: {e}", plan.jobs))?;
    let done = AtomicU64::new(0);
    let step = |removes: u64| progress(done.fetch_add(removes, Ordering::Relaxed) + removes);
    let worlds = plan.removes.div_ceil(WORLD_REMOVES);
    let one = |i: u64| {
        let removes = WORLD_REMOVES.min(plan.removes - i * WORLD_REMOVES);
        life::run(&Plan { seed: plan.seed + i, removes, ..*plan }, &step)
    };
    let all: Vec<Outcome> = pool.install(|| (0..worlds).into_par_iter().map(one).collect());
    let mut sum = Outcome::default();
    for outcome in all {
        sum.tally.add(&outcome.tally);
        let room = FAILURES_KEPT_MAX.saturating_sub(sum.failures.len());
        sum.failures.extend(outcome.failures.into_iter().take(room));
    }
    Ok(sum)
}
