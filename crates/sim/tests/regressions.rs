//! Every world that ever failed is lived through again.

use keyway_sim::scenario::find_overlay;
use keyway_sim::swarm::Params;
use keyway_sim::sweep::{failure_line, judge};

const SEEDS: &str = include_str!("../../../seeds/regressions.txt");

#[test]
fn worlds_that_failed_once_pass() {
    let lines = SEEDS.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#'));
    for line in lines {
        let mut words = line.split_ascii_whitespace();
        let (Some(name), Some(seed)) = (words.next(), words.next()) else {
            panic!("no overlay and seed: {line}")
        };
        let overlay = find_overlay(name).unwrap();
        let (params, outcome) = judge(Params::draw(seed.parse().unwrap(), Some(overlay)));
        if let Some((complaint, at)) = &outcome.failure {
            panic!("{}\n{line}\n{params}", failure_line(&params, complaint, *at));
        }
    }
}
