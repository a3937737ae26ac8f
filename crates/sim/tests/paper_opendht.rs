//! OpenDHT against its paper, in small: what `keyway sim paper` measures in full, with fewer disks.

use keyway_sim::experiments::{Ask, Outcome, Row, find};

fn run(name: &str) -> Outcome {
    find(name).unwrap().run(&Ask { rings: 2, seed: 1, quick: true, progress: &|_, _| () })
}

fn failing(outcome: &Outcome) -> Vec<&Row> {
    outcome.rows.iter().filter(|row| row.pass() == Some(false)).collect()
}

/// Section 5.2.1: four clients that come one after the other have equal shares one TTL after the last, of a full disk.
#[test]
fn nobody_starves_and_shares_become_equal() {
    let outcome = run("opendht-nonstarvation");
    assert_eq!(failing(&outcome), Vec::<&Row>::new());
    assert_eq!(outcome.plots.len(), 2);
}

/// Section 5.2.2: who wants more than there is waits as long as in table 3, and nobody else does.
#[test]
fn the_overloaded_group_waits_as_long_as_in_table_3() {
    let outcome = run("opendht-fair-queueing");
    assert_eq!(failing(&outcome), Vec::<&Row>::new());
    assert_eq!(outcome.rows.iter().filter(|row| row.what == "average wait, ms").count(), 45);
}

/// Section 5.1: of what was acknowledged nothing is lost, while hosts die, come back and are slow.
#[test]
fn nothing_is_lost_in_the_long_run() {
    let outcome =
        find("opendht-longrun").unwrap().run(&Ask { rings: 1, seed: 1, quick: true, progress: &|_, _| () });
    assert_eq!(failing(&outcome), Vec::<&Row>::new());
    let of = |what: &str| outcome.rows.iter().find(|row| row.what == what).map(|row| row.ours.value);
    assert_eq!(of("values lost"), Some(0.0));
    assert!(of("values read") > Some(1_500.0) && of("departures") > Some(1.0), "{:?}", outcome.rows);
}
