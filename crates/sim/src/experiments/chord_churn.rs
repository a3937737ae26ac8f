//! Chord while nodes join and leave (ToN 2003 section VI-E, table III).
//!
//! The paper: about 1,000 nodes, r = 20, joins and voluntary departures each a Poisson process of rate R, lookups one a
//! second in all, packets of 50 ms exponential; every node stabilizes at intervals uniform in [15, 45] s and refreshes the
//! successor and one other entry each time. A lookup succeeds if it reaches the current true successor.
//!
//! *Faithful* has those timers: `stabilize_ms` 30,000, each finger's turn as often as in the paper ([`FAITHFUL_FINGERS_MS`]),
//! `spread_percent` 50, `eager_fingers` 0, `use_predecessor` 0. What a node does between timers (News, Leaving, retries) is ours and stays. *Default* is what a user gets, under the same churn.

use keyway_core::Duration;

use super::{Ask, Measured, Outcome, Plot, Point, Row, Series, Tolerance, each_ring};
use crate::report::Tallies;
use crate::run::{Hooks, run_counted};
use crate::scenario::Scenario;

/// One line of table III.
struct Published {
    /// Joins a second, and leaves a second.
    rate: f64,
    path: f64,
    timeouts: f64,
    /// Failures of 10,000 lookups.
    failures: f64,
}

const fn line(rate: f64, path: f64, timeouts: f64, failures: f64) -> Published {
    Published { rate, path, timeouts, failures }
}

const TABLE: [Published; 8] = [
    line(0.05, 3.90, 0.05, 0.0),
    line(0.10, 3.83, 0.11, 0.0),
    line(0.15, 3.84, 0.16, 2.0),
    line(0.20, 3.81, 0.23, 5.0),
    line(0.25, 3.83, 0.30, 6.0),
    line(0.30, 3.91, 0.34, 8.0),
    line(0.35, 3.94, 0.42, 16.0),
    line(0.40, 4.06, 0.46, 15.0),
];
const PUBLISHED_LOOKUPS: f64 = 10_000.0;
const NODES: u32 = 1_000;
/// A lookup a second in all, as published: each of a thousand nodes asks every thousand seconds.
const FAITHFUL_EVERY: Duration = Duration::from_secs(1_000);
const FAITHFUL_SECONDS: u64 = 1_250;
/// The paper refreshes one of its table's entries every 30 s. Among 1,000 nodes ten of them differ (log2 1,000); ours are the six
/// beyond a successor list of 20, so each has its turn as often as the paper's if one is refreshed every 50 s.
const FAITHFUL_FINGERS_MS: u64 = 30_000 * 10 / 6;
/// Twenty a second, so that twenty rings give the 100,000 of the promise in a quarter of the paper's time.
const DEFAULT_EVERY: Duration = Duration::from_secs(50);
/// A little more than 5,000 lookups a ring: their number is drawn, too.
const DEFAULT_SECONDS: u64 = 260;
const DEFAULT_LOOKUPS: f64 = 100_000.0;
/// Every finger has its turn in this time, so the tables are as churn leaves them when counting begins.
const WARM_UP: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Faithful,
    Default,
}

fn world(mode: Mode, rate: f64, seed: u64, quick: bool) -> Scenario {
    let every = Duration((1e6 / rate) as u64);
    let (lookup_every, seconds) = match mode {
        Mode::Faithful => (FAITHFUL_EVERY, FAITHFUL_SECONDS),
        Mode::Default => (DEFAULT_EVERY, DEFAULT_SECONDS),
    };
    let mut scenario = Scenario {
        overlay: "chord".into(),
        nodes: NODES,
        seed,
        settled: true,
        warm_up: WARM_UP,
        measured: Duration::from_secs(if quick { seconds / 5 } else { seconds }),
        latency: "exp:50ms".into(),
        graceful: 1.0,
        join_rate: Some(every),
        depart_rate: Some(every),
        lookup_every: Some(lookup_every),
        ..Scenario::default()
    };
    if mode == Mode::Faithful {
        let paper = [
            ("successors", 20),
            ("stabilize_ms", 30_000),
            ("fix_fingers_ms", FAITHFUL_FINGERS_MS),
            ("spread_percent", 50),
            ("eager_fingers", 0),
            ("use_predecessor", 0),
        ];
        scenario.options = paper.map(|(name, value)| (name.to_string(), value)).into_iter().collect();
    }
    scenario
}

fn run(scenario: &Scenario) -> Tallies {
    let mut hooks = Hooks { read: &|_| Err("no file is needed".into()), progress: &mut |_, _| () };
    run_counted(scenario, &mut hooks).expect("the scenario is sound").1
}

fn wrong(t: &Tallies) -> f64 {
    (t.lookups.failed + t.lookups.incorrect) as f64
}

fn over(rings: &[Tallies], of: impl Fn(&Tallies) -> f64) -> Measured {
    Measured::over_rings(&rings.iter().map(of).collect::<Vec<_>>())
}

fn total(rings: &[Tallies], of: impl Fn(&Tallies) -> f64) -> Measured {
    let each: Vec<f64> = rings.iter().map(of).collect();
    Measured::pooled(each.iter().sum(), &each)
}

/// The 99th percentile of all rings' values together.
fn p99(rings: &[Tallies], of: impl Fn(&Tallies) -> &crate::report::Tally) -> Measured {
    let mut all = crate::report::Tally::default();
    rings.iter().for_each(|t| all.merge(of(t)));
    let each: Vec<f64> = rings.iter().map(|t| f64::from(of(t).quantile(0.99))).collect();
    Measured::pooled(f64::from(all.quantile(0.99)), &each)
}

/// `chord-churn`.
pub(super) fn table(ask: &Ask<'_>) -> Outcome {
    let rates: Vec<&Published> =
        TABLE.iter().filter(|l| !ask.quick || l.rate == 0.05 || l.rate == 0.4).collect();
    let modes = [Mode::Faithful, Mode::Default];
    let mut cases = each_ring(ask, 2 * rates.len(), |case, seed| {
        run(&world(modes[case / rates.len()], rates[case % rates.len()].rate, seed, ask.quick))
    });
    let ours = cases.split_off(rates.len());
    let mut rows = Vec::new();
    let (mut expected, mut failures) = (0.0, Vec::new());
    for (line, rings) in rates.iter().zip(&cases) {
        let lookups = total(rings, |t| t.lookups.total as f64).value;
        expected += line.failures * lookups / PUBLISHED_LOOKUPS;
        failures.extend(rings.iter().map(wrong));
        let at = format!("R = {:.2}, faithful", line.rate);
        let mut row = |what, published, ours, tolerance| {
            rows.push(Row { at: at.clone(), what, published, ours, tolerance })
        };
        row("mean path", Some(line.path), over(rings, |t| t.path.mean()), Tolerance::Within(0.15));
        row("path, 99th percentile", None, p99(rings, |t| &t.path), Tolerance::Shown);
        row("nodes that answered", None, over(rings, |t| t.hops.mean()), Tolerance::Shown);
        row("mean time-outs", Some(line.timeouts), over(rings, |t| t.timeouts.mean()), Tolerance::Shown);
        let rate = |t: &Tallies| wrong(t) / t.lookups.total.max(1) as f64 * PUBLISHED_LOOKUPS;
        row("failures in 10,000", Some(line.failures), over(rings, rate), Tolerance::Shown);
    }
    rows.push(Row {
        at: "all R, faithful".into(),
        what: "failures, pooled",
        published: Some(expected),
        ours: Measured::pooled(failures.iter().sum(), &failures),
        tolerance: Tolerance::Poisson,
    });
    for (line, rings) in rates.iter().zip(&ours) {
        let at = format!("R = {:.2}, default", line.rate);
        let mut row = |what, published, ours, tolerance| {
            rows.push(Row { at: at.clone(), what, published, ours, tolerance })
        };
        let enough = (!ask.quick && ask.rings >= super::RINGS).then_some(DEFAULT_LOOKUPS);
        row("lookups", enough, total(rings, |t| t.lookups.total as f64), Tolerance::AtLeast);
        row("failures", Some(0.0), total(rings, wrong), Tolerance::AtMost);
        row("mean path", None, over(rings, |t| t.path.mean()), Tolerance::Shown);
        row("mean time-outs", None, over(rings, |t| t.timeouts.mean()), Tolerance::Shown);
    }
    Outcome { notes: notes(), plots: plots(&rates, &cases, &ours), rows, ..Outcome::default() }
}

fn notes() -> Vec<String> {
    vec![
        format!("{NODES} nodes, exp:50ms, {} s of churn before counting", WARM_UP.0 / 1_000_000),
        "failures: no root found, or a node that was the root at no instant between call and return".into(),
        "the path is the chain of nodes that led to the root; nodes asked beside one that was slow and then answered are not on \
         it (the paper's fixed time-out of 500 ms has hardly any)"
            .into(),
        "time-outs are shown, not judged: ours follow the measured round trips (the paper's are 500 ms), so some are answers \
         that came late, and a node that leaves tells its neighbours"
            .into(),
    ]
}

fn plots(rates: &[&Published], faithful: &[Vec<Tallies>], ours: &[Vec<Tallies>]) -> Vec<Plot> {
    let curve = |name: &str, cases: &[Vec<Tallies>], of: fn(&Tallies) -> f64| {
        let points = rates.iter().zip(cases).map(|(line, rings)| {
            let m = over(rings, of);
            Point { x: line.rate, y: m.value, range: Some((m.least, m.most)) }
        });
        Series::ours(name, points.collect())
    };
    let paper = |of: fn(&Published) -> f64| {
        let points = rates.iter().map(|line| Point { x: line.rate, y: of(line), range: None });
        Series::published("published (table III)", points.collect())
    };
    let plot = |file: &str, y_label, published: fn(&Published) -> f64, of: fn(&Tallies) -> f64| Plot {
        file: file.into(),
        title: format!("{y_label} under churn, {NODES} nodes (bars: all rings)"),
        x_label: "joins a second, and leaves a second",
        y_label,
        log_x: false,
        series: vec![
            paper(published),
            curve("ours, the paper's timers", faithful, of),
            curve("ours, defaults", ours, of),
        ],
    };
    let per_lookup = |t: &Tallies| wrong(t) / t.lookups.total.max(1) as f64 * PUBLISHED_LOOKUPS;
    vec![
        plot("chord-churn-path", "path length", |l| l.path, |t| t.path.mean()),
        plot("chord-churn-timeouts", "time-outs of a lookup", |l| l.timeouts, |t| t.timeouts.mean()),
        plot("chord-churn-failures", "failures in 10,000", |l| l.failures, per_lookup),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The settings of both modes are possible, and the paper's are the paper's.
    #[test]
    fn the_worlds_of_the_table_can_be_built() {
        for mode in [Mode::Faithful, Mode::Default] {
            let scenario = world(mode, 0.4, 1, false);
            assert!(scenario.plan(&|_| Err(String::new())).is_ok());
            assert_eq!(scenario.join_rate, Some(Duration::from_millis(2_500)));
        }
        assert_eq!(world(Mode::Faithful, 0.05, 1, false).options.get("spread_percent"), Some(&50));
    }
}
