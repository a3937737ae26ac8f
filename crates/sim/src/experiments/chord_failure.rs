//! Many nodes of Chord die in one instant (ToN 2003 section VI-D, table II, and theorem IV.5).
//!
//! The paper: N = 1000, r = 20, each node fails with probability p, stabilization is stopped, 10,000 lookups, none of which
//! failed. A lookup that meets a dead node asks the next best and does not try the dead one again. The path is counted to the
//! predecessor, and so are time-outs: silent nodes that were named as the root are left out.
//!
//! The living nodes ask in turn, once or hardly more, and all in one instant, so that nobody has learned from another
//! lookup who is dead.

use super::burst::{Burst, Counted, STILL, measured};
use super::{Ask, Outcome, Plot, Point, Row, Series, Tolerance, each_ring, half_dies};

/// Table II: probability of death, mean path with 1st and 99th percentile, mean time-outs likewise.
const TABLE: [(f64, (f64, f64, f64), (f64, f64, f64)); 6] = [
    (0.0, (3.84, 2.0, 5.0), (0.0, 0.0, 0.0)),
    (0.1, (4.03, 2.0, 6.0), (0.60, 0.0, 2.0)),
    (0.2, (4.22, 2.0, 6.0), (1.17, 0.0, 3.0)),
    (0.3, (4.44, 2.0, 6.0), (2.02, 0.0, 5.0)),
    (0.4, (4.69, 2.0, 7.0), (3.23, 0.0, 8.0)),
    (0.5, (5.09, 3.0, 8.0), (5.10, 0.0, 11.0)),
];
const NODES: usize = 1_000;
const SUCCESSORS: u64 = 20;
/// One a living node when half are dead: 20 rings give the paper's 10,000 at every probability.
const LOOKUPS: usize = 500;
const PATH: Tolerance = Tolerance::Within(0.15);
const TIMEOUTS: Tolerance = Tolerance::Share { share: 0.15, or: 0.2 };

/// `chord-mass-failure`.
pub(super) fn table(ask: &Ask<'_>) -> Outcome {
    let lookups = if ask.quick { LOOKUPS / 2 } else { LOOKUPS };
    let cases = each_ring(ask, TABLE.len(), |case, seed| {
        let dies = TABLE[case].0;
        Burst { nodes: NODES, successors: SUCCESSORS, replicas: 3, dies, lookups }.run(seed)
    });
    let mut rows = Vec::new();
    let mut curves: [Vec<Point>; 4] = Default::default();
    for ((p, path, timeouts), rings) in TABLE.iter().zip(&cases) {
        let at = format!("p = {p}");
        let mut row = |what, published, ours, tolerance| {
            rows.push(Row { at: at.clone(), what, published: Some(published), ours, tolerance });
        };
        let hops = measured(rings, |c| c.hops.mean());
        let silent = measured(rings, |c| c.timeouts.mean());
        let of = |share: f64, what: fn(&Counted) -> &crate::report::Tally| {
            measured(rings, |c| f64::from(what(c).quantile(share)))
        };
        let (h1, h99) = (of(0.01, |c| &c.hops), of(0.99, |c| &c.hops));
        let (t1, t99) = (of(0.01, |c| &c.timeouts), of(0.99, |c| &c.timeouts));
        row("mean path", path.0, hops, PATH);
        row("path, 1st percentile", path.1, h1, Tolerance::Shown);
        row("path, 99th percentile", path.2, h99, Tolerance::Shown);
        row("mean time-outs", timeouts.0, silent, TIMEOUTS);
        row("time-outs, 99th percentile", timeouts.2, t99, Tolerance::Shown);
        row("wrong lookups", 0.0, measured(rings, |c| c.wrong() as f64), Tolerance::AtMost);
        let points = [
            (path.0, (path.1, path.2)),
            (hops.value, (h1.value, h99.value)),
            (timeouts.0, (timeouts.1, timeouts.2)),
            (silent.value, (t1.value, t99.value)),
        ];
        for (curve, (y, range)) in curves.iter_mut().zip(points) {
            curve.push(Point { x: *p, y, range: Some(range) });
        }
    }
    Outcome {
        notes: vec![
            format!(
                "{NODES} nodes, r = {SUCCESSORS}, {lookups} lookups a ring, dealt to the living nodes in turn, all at once"
            ),
            "no upkeep timer fires; 50 ms one way, always, so that a time-out means a dead node".into(),
        ],
        plots: plots(curves),
        rows,
        ..Outcome::default()
    }
}

fn plots(curves: [Vec<Point>; 4]) -> Vec<Plot> {
    let [path, our_path, timeouts, our_timeouts] = curves;
    let plot = |file: &str, y_label, published, ours| Plot {
        file: file.into(),
        title: format!("{y_label}, {NODES} nodes, r = {SUCCESSORS} (bars: 1st to 99th percentile)"),
        x_label: "probability with which each node has died",
        y_label,
        log_x: false,
        series: vec![Series::published("published (table II)", published), Series::ours("ours", ours)],
    };
    vec![
        plot("chord-mass-failure-path", "path length", path, our_path),
        plot("chord-mass-failure-timeouts", "time-outs of a lookup", timeouts, our_timeouts),
    ]
}

/// `chord-half-dies`: theorem IV.5.
pub(super) fn half(ask: &Ask<'_>) -> Outcome {
    half_dies::run(ask, "chord", &STILL)
}
