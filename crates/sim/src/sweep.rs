//! Many drawn worlds, on several cores: one world to a thread, seeds in order, up to the first failure.

use std::panic::{AssertUnwindSafe, catch_unwind};

use keyway_core::overlay::registry::Entry;
use rayon::prelude::*;

use crate::checkers::Complaint;
use crate::swarm::{self, Outcome, Params, Tally};

/// Which seeds to run.
#[derive(Clone, Copy)]
pub struct Sweep {
    /// The first.
    pub start: u64,
    /// How many.
    pub seeds: u64,
    /// The overlay; drawn for each seed if none is given.
    pub overlay: Option<&'static Entry>,
    /// Worlds at once.
    pub jobs: usize,
    /// Whether a failure ends it, after the worlds that run beside it.
    pub keep_going: bool,
}

/// Seeds given to each job before results are told.
const CHUNK: u64 = 4;

/// Runs the seeds and tells `each` about every one of them, in order; ends after the first failure, unless it is to keep
/// going, or as soon as `go_on` says no. Returns how many seeds were judged.
///
/// # Errors
/// If the threads cannot be had.
pub fn sweep(
    sweep: &Sweep,
    go_on: &mut dyn FnMut() -> bool,
    each: &mut dyn FnMut(&Params, &Outcome),
) -> Result<u64, String> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(sweep.jobs.max(1))
        .build()
        .map_err(|e| format!("cannot have {} threads: {e}", sweep.jobs))?;
    let end = sweep.start + sweep.seeds;
    let mut next = sweep.start;
    while next < end && go_on() {
        let chunk: Vec<u64> = (next..end.min(next + CHUNK * sweep.jobs.max(1) as u64)).collect();
        let results: Vec<(Params, Outcome)> = pool
            .install(|| chunk.into_par_iter().map(|seed| judge(Params::draw(seed, sweep.overlay))).collect());
        for (params, outcome) in results {
            each(&params, &outcome);
            next += 1;
            if outcome.failure.is_some() && !sweep.keep_going {
                return Ok(next - sweep.start);
            }
        }
    }
    Ok(next - sweep.start)
}

/// Runs one world; a panic in it is a failure like others, at an unknown time.
#[must_use]
pub fn judge(params: Params) -> (Params, Outcome) {
    let ended = catch_unwind(AssertUnwindSafe(|| swarm::run(&params, None, None)));
    let outcome = ended.unwrap_or_else(|payload| {
        let text = payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| payload.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            .unwrap_or_else(|| "without words".into());
        Outcome { tally: Tally::default(), failure: Some((Complaint::new("panic", text), 0)) }
    });
    (params, outcome)
}

/// The one line that tells of a failure and how to see it again.
#[must_use]
pub fn failure_line(params: &Params, complaint: &Complaint, at: u64) -> String {
    let seconds = at as f64 / 1e6;
    // A panic has no time: the replay runs to its end.
    let until = if at == 0 { String::new() } else { format!(" --until {:.1}s", seconds + 0.1) };
    let detail = complaint.detail.replace('\n', " ");
    format!(
        "FAIL checker={} seed={} t={seconds:.3}s {detail}  replay: keyway sim replay --overlay {} --seed {}{until}",
        complaint.checker, params.seed, params.overlay.name, params.seed
    )
}
