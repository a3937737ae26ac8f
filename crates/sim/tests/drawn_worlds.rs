//! Drawn worlds keep every promise: the sweep as a plain test, small by default.
//!
//! `cargo xtask planted-bugs --sweep` runs the same test with a bug planted in the nodes and many more seeds (`SWEEP_SEEDS`),
//! if the bug is an overlay's then of that one alone (`SWEEP_OVERLAY`): it must fail. `.ci/run` gives it seeds for a minute
//! in an optimised build. Longer sweeps: `keyway sim sweep`.

use keyway_sim::scenario::find_overlay;
use keyway_sim::sweep::{Sweep, failure_line, sweep};

/// Worlds judged when nobody asks for more.
const SEEDS: u64 = 16;
const JOBS: usize = 2;

#[test]
#[expect(clippy::disallowed_methods, reason = "the hunt for planted bugs says which worlds it wants")]
fn drawn_worlds_keep_every_promise() {
    let seeds = std::env::var("SWEEP_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(SEEDS);
    let overlay =
        std::env::var("SWEEP_OVERLAY").ok().map(|name| find_overlay(&name).expect("an overlay's name"));
    let mut failure = None;
    let judged = sweep(
        &Sweep { start: 1, seeds, overlay, jobs: JOBS, keep_going: false },
        &mut || true,
        &mut |params, outcome| {
            if let Some((complaint, at)) = &outcome.failure {
                failure = Some(failure_line(params, complaint, *at));
            }
        },
    );
    assert_eq!(failure, None, "after {judged:?} worlds");
}
