//! What was removed is not seen again, in small; `keyway sim undead` does the same by the hundred thousand.

use keyway_core::overlay::registry::{Entry, OVERLAYS};
use keyway_sim::undead::{Outcome, Plan, run};

fn outcome(overlay: &'static Entry, removes: u64) -> Outcome {
    let plan = Plan { removes, seed: 1, nodes: 8, overlay, jobs: 1 };
    run(&plan, &|_| ()).expect("a thread")
}

#[test]
fn nothing_removed_is_seen_again_and_nothing_else_is_missing() {
    for overlay in OVERLAYS {
        let Outcome { tally, failures } = outcome(overlay, 60);
        let name = overlay.name;
        assert_eq!(failures, [], "{name}");
        assert!(tally.holds(), "{name}: {tally:?}");
        // And it was no empty world.
        assert_eq!((tally.removes, tally.removes_acked), (60, 60), "{name}");
        assert!(
            tally.departures > 3 && tally.restarts > 3 && tally.removes_asked_short > 20,
            "{name}: {tally:?}"
        );
        assert!(tally.removed_looked_for > 60 * 4 && tally.values_read > 100, "{name}: {tally:?}");
    }
}

#[test]
fn a_world_is_a_function_of_its_seed() {
    assert_eq!(outcome(&OVERLAYS[0], 10), outcome(&OVERLAYS[0], 10));
}
