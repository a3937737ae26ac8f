//! Half of a network dies in one instant: what lookups find before any repair, and after three rounds of upkeep.
//!
//! The promise is that of Chord's theorem IV.5 (ToN 2003), held against every overlay that is asked: with high probability
//! lookups still find the root among the living. Settings are the defaults, except that before repair no
//! timer fires, and a node of a ring asks round the ring for its own keys.
//!
//! The living nodes ask at once, a half of them once each, so that nobody has learned from another lookup who is dead.

use super::burst::{Counted, Settled, measured, sum};
use super::{Ask, Outcome, Plot, Point, Row, Series, Tolerance, each_ring};

const NODES: usize = 10_000;
const LOOKUPS: usize = 2_500;
/// Copies of a value.
const REPLICAS: u8 = 3;
/// The period of upkeep in seconds, the same by default in every overlay, and its spread.
const THREE_ROUNDS_SECONDS: u64 = 3 * 10 * 5 / 4;

/// Asks of an overlay; with the settings `still` no upkeep is done.
pub(super) fn run(ask: &Ask<'_>, overlay: &str, still: &[(&str, u64)]) -> Outcome {
    let nodes = if ask.quick { NODES / 10 } else { NODES };
    let lookups = LOOKUPS * nodes / NODES;
    let mut cases = each_ring(ask, 2, |case, seed| {
        let repairs = case == 1;
        let mut ring = Settled::new(overlay, nodes, REPLICAS, if repairs { &[] } else { still }, seed);
        ring.kill(0.5);
        if repairs {
            ring.world.run_until(ring.world.time() + THREE_ROUNDS_SECONDS * 1_000_000);
        }
        ring.ask(lookups)
    });
    let (after, before) = (cases.remove(1), cases.remove(0));
    let rows_of = |at: &str, rings: &[Counted], right: f64| {
        let row = |what, published, tolerance, of: fn(&Counted) -> f64| Row {
            at: at.into(),
            what,
            published,
            ours: measured(rings, of),
            tolerance,
        };
        [
            row("share right", Some(right), Tolerance::AtLeast, |c| {
                1.0 - c.wrong() as f64 / c.total.max(1) as f64
            }),
            row("failed", None, Tolerance::Shown, |c| c.failed as f64),
            row("incorrect", None, Tolerance::Shown, |c| c.incorrect as f64),
            row("mean path", None, Tolerance::Shown, |c| c.hops.mean()),
            row("mean time-outs", None, Tolerance::Shown, |c| c.timeouts.mean()),
        ]
    };
    let before_repair = rows_of("before any repair", &before, 0.999);
    let rows = before_repair.into_iter().chain(rows_of("after three rounds", &after, 1.0)).collect();
    let bars = |counted: &Counted| -> Vec<Point> {
        let all = counted.hops.count().max(1) as f64;
        let points = counted.hops.counts().take(25);
        points.map(|(n, count)| Point { x: f64::from(n), y: count as f64 / all, range: None }).collect()
    };
    Outcome {
        notes: vec![
            format!("{nodes} nodes, default settings, {lookups} lookups a ring, all at once"),
            "the published side is our promise: theorem IV.5 says that lookups still find the closest living successor \
             with high probability; three rounds are three of the longest periods of upkeep, 37 s"
                .into(),
        ],
        plots: vec![Plot {
            file: format!("{overlay}-half-dies"),
            title: format!("Path lengths after half of {nodes} nodes died"),
            x_label: "path length",
            y_label: "probability",
            log_x: false,
            series: vec![
                Series::ours("before any repair", bars(&sum(&before))),
                Series::ours("after three rounds", bars(&sum(&after))),
            ],
        }],
        rows,
        ..Outcome::default()
    }
}
