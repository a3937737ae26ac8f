//! Kademlia against its paper, in small: what `keyway sim paper` measures in full, with fewer and smaller networks.

use keyway_sim::experiments::{Ask, Row, find};

/// Sections 2.2, 2.3 and 3: k contacts a bucket make paths as short as derived, and no lookup errs.
#[test]
fn paths_are_as_short_as_buckets_of_twenty_make_them() {
    let experiment = find("kademlia-path-length").unwrap();
    let outcome = experiment.run(&Ask { rings: 2, seed: 1, quick: true, progress: &|_, _| () });
    let failing: Vec<&Row> = outcome.rows.iter().filter(|row| row.pass() == Some(false)).collect();
    assert_eq!(failing, Vec::<&Row>::new());
    assert_eq!(outcome.rows.iter().filter(|row| row.what == "mean path").count(), 5);
}

/// Half of a thousand nodes die at once: every lookup ends at the nearest that lives, at once and after three rounds.
#[test]
fn half_of_all_die_and_lookups_end_at_the_nearest_that_lives() {
    let experiment = find("kademlia-half-dies").unwrap();
    let outcome = experiment.run(&Ask { rings: 8, seed: 1, quick: true, progress: &|_, _| () });
    let shares: Vec<f64> =
        outcome.rows.iter().filter(|r| r.what == "share right").map(|r| r.ours.value).collect();
    assert_eq!(shares, [1.0, 1.0]);
}
