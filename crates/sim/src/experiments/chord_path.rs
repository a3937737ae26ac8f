//! Path lengths of Chord: their mean over the number of nodes, and their distribution (ToN 2003 section VI-C, figure 10).
//!
//! The paper: N = 2^k nodes, 100 * 2^k keys in all, each node looks up a random set of keys, successor lists of one; the
//! path is the number of nodes asked up to the key's predecessor. So do we: converged rings of real nodes, each lookup an
//! operation at a random node, each hop a frame. The values are readings of the figure, good to 0.1.
//!
//! Among eight nodes the mean is 1.41, with a standard deviation of 0.13 from ring to ring (as by a separate model of the published
//! rules, 2,000 rings): twenty rings would tell it to 0.03, and which side of a tolerance it lies on would be chance. So a small
//! size has as many rings as make [`SMALL`] nodes, for each one asked for.

use super::burst::{Burst, Counted};
use super::{Ask, Measured, Outcome, Plot, Point, Row, Series, Tolerance, each_ring};

/// Nodes, and the mean path read off figure 10a.
const MEANS: [(usize, f64); 6] = [(8, 1.7), (64, 3.0), (256, 3.9), (1024, 4.9), (4096, 5.9), (16_384, 6.9)];
/// Nodes, and the 1st and 99th percentile read off figure 10a.
const PERCENTILES: [(usize, f64, f64); 3] = [(1024, 2.0, 8.0), (4096, 2.0, 10.0), (16_384, 3.0, 11.0)];
/// The figure's sizes: 2^3 to 2^14.
const SIZES_LOG2: std::ops::RangeInclusive<u32> = 3..=14;
/// Bound on the lookups of one ring: 100 a node would be 1.6 million among 16,384 nodes.
const LOOKUPS_MAX: usize = 10_000;
/// For each ring asked for there are at least so many nodes.
const SMALL: usize = 512;
/// From so many nodes on the tight tolerance holds.
const LARGE: usize = 256;

/// Figure 10b: the most frequent length, its probability, and the lengths between which all bars lie.
const MODE: (f64, f64) = (6.0, 0.225);
const SUPPORT: (f64, f64) = (1.0, 11.0);
/// A bar shorter than this cannot be seen in the figure.
const VISIBLE: f64 = 0.001;
const PDF_NODES: usize = 4096;

fn burst(nodes: usize, lookups_max: usize) -> Burst {
    Burst { nodes, successors: 1, replicas: 1, dies: 0.0, lookups: (100 * nodes).min(lookups_max) }
}

fn sum(rings: &[Counted]) -> Counted {
    let mut all = Counted::default();
    rings.iter().for_each(|ring| all.add(ring));
    all
}

fn row(at: usize, what: &'static str, published: Option<f64>, ours: Measured, tolerance: Tolerance) -> Row {
    Row { at: format!("N = {at}"), what, published, ours, tolerance }
}

fn means(rings: &[Counted]) -> Measured {
    Measured::over_rings(&rings.iter().map(|r| r.hops.mean()).collect::<Vec<_>>())
}

fn quantile(rings: &[Counted], share: f64) -> Measured {
    let each: Vec<f64> = rings.iter().map(|r| f64::from(r.hops.quantile(share))).collect();
    Measured::pooled(f64::from(sum(rings).hops.quantile(share)), &each)
}

fn wrong(rings: &[Counted]) -> Measured {
    let each: Vec<f64> = rings.iter().map(|r| r.wrong() as f64).collect();
    Measured::pooled(sum(rings).wrong() as f64, &each)
}

/// `chord-path-length`.
pub(super) fn length(ask: &Ask<'_>) -> Outcome {
    let sizes: Vec<usize> = SIZES_LOG2.map(|k| 1 << k).filter(|n| !ask.quick || *n <= 1024).collect();
    let lookups_max = if ask.quick { 2_000 } else { LOOKUPS_MAX };
    let cases = each_ring(ask, sizes.len(), |case, seed| {
        let several = SMALL.div_ceil(sizes[case]) as u64;
        let seeds = (0..several).map(|i| seed.wrapping_mul(several).wrapping_add(i));
        seeds.map(|seed| burst(sizes[case], lookups_max).run(seed)).collect::<Vec<_>>()
    });
    let cases: Vec<Vec<Counted>> =
        cases.into_iter().map(|rings| rings.into_iter().flatten().collect()).collect();
    let mut rows = Vec::new();
    for (&n, rings) in sizes.iter().zip(&cases) {
        let published = MEANS.iter().find(|(size, _)| *size == n).map(|(_, mean)| *mean);
        let tolerance = Tolerance::Within(if n >= LARGE { 0.15 } else { 0.3 });
        rows.push(row(n, "mean path", published, means(rings), tolerance));
        if let Some((_, p1, p99)) = PERCENTILES.iter().find(|(size, ..)| *size == n) {
            rows.push(row(n, "1st percentile", Some(*p1), quantile(rings, 0.01), Tolerance::Within(1.0)));
            rows.push(row(n, "99th percentile", Some(*p99), quantile(rings, 0.99), Tolerance::Within(1.0)));
        }
        rows.push(row(n, "wrong lookups", Some(0.0), wrong(rings), Tolerance::AtMost));
    }
    let ours = sizes.iter().zip(&cases).map(|(&n, rings)| Point {
        x: n as f64,
        y: means(rings).value,
        range: Some((quantile(rings, 0.01).value, quantile(rings, 0.99).value)),
    });
    let theory = sizes.iter().map(|&n| Point { x: n as f64, y: 0.5 * libm::log2(n as f64), range: None });
    let largest = sizes.last().copied().unwrap_or(0);
    let published = MEANS.iter().filter(|(n, _)| *n <= largest).map(|(n, mean)| Point {
        x: *n as f64,
        y: *mean,
        range: PERCENTILES.iter().find(|p| p.0 == *n).map(|p| (p.1, p.2)),
    });
    Outcome {
        notes: vec![
            format!("{} lookups a ring, at most 100 a node; hops are counted to the key's predecessor", lookups_max),
            format!("sizes below {SMALL} nodes: as many rings for each one asked for as make {SMALL} nodes"),
            "use_predecessor = 0: as in the paper, a node goes once round the ring for the keys that it owns itself".into(),
        ],
        plots: vec![Plot {
            file: "chord-path-length".into(),
            title: "Path length, successor lists of one (bars: 1st to 99th percentile)".into(),
            x_label: "nodes",
            y_label: "path length",
            log_x: true,
            series: vec![
                Series::published("published (figure 10a)", published.collect()),
                Series::ours("ours", ours.collect()),
                Series::published("1/2 log2 N", theory.collect()),
            ],
        }],
        rows,
        ..Outcome::default()
    }
}

/// `chord-path-pdf`.
pub(super) fn distribution(ask: &Ask<'_>) -> Outcome {
    let lookups = if ask.quick { 2_000 } else { LOOKUPS_MAX };
    let rings = each_ring(ask, 1, |_, seed| burst(PDF_NODES, lookups).run(seed)).remove(0);
    let all = sum(&rings);
    let share = |c: &Counted, n: u32| {
        let count = c.hops.counts().find(|(length, _)| *length == n).map_or(0, |(_, count)| count);
        count as f64 / c.hops.count().max(1) as f64
    };
    let mode = |c: &Counted| c.hops.counts().max_by_key(|(_, count)| *count).map_or(0, |(n, _)| n);
    let visible = |c: &Counted| -> Vec<u32> {
        c.hops.counts().map(|(n, _)| n).filter(|n| share(c, *n) >= VISIBLE).collect()
    };
    let first = |c: &Counted| f64::from(visible(c).first().copied().unwrap_or(0));
    let last = |c: &Counted| f64::from(visible(c).last().copied().unwrap_or(0));
    let measured =
        |of: &dyn Fn(&Counted) -> f64| Measured::pooled(of(&all), &rings.iter().map(of).collect::<Vec<_>>());
    let at_mode = mode(&all);
    let one = Tolerance::Within(1.0);
    let rows = vec![
        row(PDF_NODES, "most frequent length", Some(MODE.0), measured(&|c| f64::from(mode(c))), one),
        row(PDF_NODES, "its probability", Some(MODE.1), measured(&|c| share(c, at_mode)), Tolerance::Shown),
        row(PDF_NODES, "shortest seen", Some(SUPPORT.0), measured(&first), one),
        row(PDF_NODES, "longest seen", Some(SUPPORT.1), measured(&last), one),
        row(PDF_NODES, "wrong lookups", Some(0.0), wrong(&rings), Tolerance::AtMost),
    ];
    let ours = all.hops.counts().map(|(n, _)| {
        let spread = Measured::over_rings(&rings.iter().map(|c| share(c, n)).collect::<Vec<_>>());
        Point { x: f64::from(n), y: share(&all, n), range: Some((spread.least, spread.most)) }
    });
    let published = vec![Point { x: MODE.0, y: MODE.1, range: None }];
    Outcome {
        notes: vec![
            format!("{lookups} lookups a ring; a length counts as seen from a probability of {VISIBLE} on"),
            "of the published curve its mode and ends were read; its height is shown, not judged".into(),
        ],
        plots: vec![Plot {
            file: "chord-path-pdf".into(),
            title: format!("Path lengths among {PDF_NODES} nodes (bars: all rings)"),
            x_label: "path length",
            y_label: "probability",
            log_x: false,
            series: vec![
                Series::readings("published mode (figure 10b)", published),
                Series::ours("ours", ours.collect()),
            ],
        }],
        rows,
        ..Outcome::default()
    }
}
