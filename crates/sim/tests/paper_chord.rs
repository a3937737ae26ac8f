//! Chord against its paper, in small: what `keyway sim paper` measures in full, with fewer and smaller rings.

use keyway_sim::experiments::{Ask, EXPERIMENTS, Outcome, Row, find};

fn quick(name: &str, rings: u32) -> Outcome {
    find(name).unwrap().run(&Ask { rings, seed: 1, quick: true, progress: &|_, _| () })
}

fn value(outcome: &Outcome, at: &str, what: &str) -> f64 {
    let row = outcome.rows.iter().find(|row| row.at == at && row.what == what);
    row.unwrap_or_else(|| panic!("no row {at}, {what}")).ours.value
}

fn failing(outcome: &Outcome) -> Vec<&Row> {
    outcome.rows.iter().filter(|row| row.pass() == Some(false)).collect()
}

/// ToN section VI-C: half of log2 N, and no lookup errs.
#[test]
fn paths_grow_by_half_a_hop_when_the_ring_doubles() {
    let outcome = quick("chord-path-length", 2);
    let (small, large) = (value(&outcome, "N = 64", "mean path"), value(&outcome, "N = 1024", "mean path"));
    assert!((large - small - 2.0).abs() < 0.2, "four doublings: {small} to {large}");
    assert!((large - 4.9).abs() <= 0.15, "{large}");
    assert!(outcome.rows.iter().filter(|r| r.what == "wrong lookups").all(|r| r.ours.value == 0.0));
}

/// ToN section VI-B: some nodes hold nothing, some 4.6 times the mean; twenty virtual nodes even that out.
#[test]
fn keys_are_spread_as_published() {
    // The greatest load of a ring is an extreme, which few rings do not pin down: as many as the experiment takes.
    let outcome = quick("chord-load", 20);
    assert_eq!(failing(&outcome), Vec::<&Row>::new());
}

/// ToN theorem IV.5 and table II: stabilization is stopped, any share up to a half dies, and no lookup fails.
#[test]
fn no_lookup_fails_although_many_nodes_died() {
    let outcome = quick("chord-mass-failure", 2);
    let wrong: Vec<_> = outcome.rows.iter().filter(|r| r.what == "wrong lookups").collect();
    assert_eq!(wrong.len(), 6);
    assert!(wrong.iter().all(|r| r.ours.value == 0.0), "{wrong:?}");
    // One time-out for each living node on the way when half are dead.
    let (path, timeouts) =
        (value(&outcome, "p = 0.5", "mean path"), value(&outcome, "p = 0.5", "mean time-outs"));
    assert!((timeouts / path - 1.0).abs() < 0.25, "{timeouts} time-outs on {path} hops");
}

#[test]
fn half_of_the_nodes_die_and_lookups_stay_right() {
    let outcome = quick("chord-half-dies", 2);
    assert_eq!(failing(&outcome), Vec::<&Row>::new());
}

#[test]
fn an_outcome_depends_on_its_seeds_alone() {
    let (first, again) = (quick("chord-path-pdf", 2), quick("chord-path-pdf", 2));
    assert_eq!(first, again);
    assert_eq!(first.seeds, (1, 2));
    let other = find("chord-path-pdf").unwrap();
    let other = other.run(&Ask { rings: 2, seed: 9, quick: true, progress: &|_, _| () });
    assert_ne!(first.rows, other.rows);
}

#[test]
fn names_are_unique_and_unknown_ones_are_answered_with_the_list() {
    let mut names: Vec<&str> = EXPERIMENTS.iter().map(|e| e.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), EXPERIMENTS.len());
    assert!(find("chord-poetry").err().unwrap().contains("chord-path-length"));
}
