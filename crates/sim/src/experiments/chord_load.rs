//! Load balance of Chord: how many keys a node gets, with and without virtual nodes (ToN 2003 section VI-B, figures 8 and 9).
//!
//! Each node of the converged ring is asked by its own state for the arc that it shares when one copy is kept. The arcs of
//! all must tile the ring, and a key goes to the node whose arc it lies in: the placement is the node's, only the counting
//! is ours. A node with v virtual nodes is v nodes of the ring.

use keyway_core::frame::NetworkId;
use keyway_core::machine::NodeConfig;
use keyway_core::rng::Rng;
use keyway_core::{Addr, Id, Mono, Now, Outbox, Peer};

use super::{Ask, Measured, Outcome, Plot, Point, Row, Series, Tolerance, each_ring};
use crate::host::EPOCH;
use crate::scenario::find_overlay;

const NODES: usize = 10_000;
/// Figure 8a: keys from 10^5 to 10^6 in steps of 10^5.
const KEYS: std::ops::RangeInclusive<usize> = 1..=10;
const KEYS_STEP: usize = 100_000;
/// Figure 8b: at 5 * 10^5 keys the 99th percentile is 4.6 times the mean and the greatest node holds 9.1 times the mean.
const KEYS_PUBLISHED: usize = 500_000;
const P99_PUBLISHED: f64 = 4.6;
const MOST_PUBLISHED: f64 = 9.1;

/// Figure 9: virtual nodes, with 10^6 keys.
const VIRTUAL: [usize; 5] = [1, 2, 5, 10, 20];
const VIRTUAL_KEYS: usize = 1_000_000;
/// Virtual nodes, 1st and 99th percentile in means, as the text gives them.
const VIRTUAL_PUBLISHED: [(usize, f64, f64); 2] = [(1, 0.0, 4.8), (20, 0.5, 1.6)];

const TOLERANCE: Tolerance = Tolerance::Share { share: 0.1, or: 0.0 };
/// A tenth of nothing is nothing: where 0 is published, half of the last digit given (0.1) is allowed.
const TOLERANCE_ZERO: Tolerance = Tolerance::Share { share: 0.1, or: 0.05 };

/// The arcs of a ring: the last id of each, in order, and the real node that has it. An arc begins after the one before.
struct Arcs {
    ends: Vec<Id>,
    owners: Vec<u32>,
    nodes: usize,
}

impl Arcs {
    /// Asks each node of a converged ring for its arc. One node at a time is made, settled, asked and dropped.
    fn of_ring(nodes: usize, virtual_nodes: usize, rng: &Rng) -> Arcs {
        let overlay = find_overlay("chord").expect("chord is in the registry");
        let mut ids = rng.fork("ids", 0);
        let mut everyone: Vec<(Peer, u32)> = (0..nodes * virtual_nodes)
            .map(|i| (Peer::new(ids.id(), Addr::simulated(i as u32)), (i / virtual_nodes) as u32))
            .collect();
        everyone.sort_by(|a, b| a.0.id().cmp(b.0.id()));
        let peers: Vec<Peer> = everyone.iter().map(|(peer, _)| peer.clone()).collect();
        let now = Now { mono: Mono(0), wall: EPOCH };
        let mut out = Outbox::default();
        let mut spans: Vec<(Id, Id, u32)> = Vec::with_capacity(peers.len() + 1);
        for (i, (peer, owner)) in everyone.iter().enumerate() {
            let options = [("successors", 1), ("predecessors", 1)];
            let config = NodeConfig {
                replicas: 1,
                acks: 1,
                overlay_options: options.map(|(name, value)| (name.to_string(), value)).to_vec(),
                ..NodeConfig::new(peer.clone(), rng.fork_seed("machine", i as u64))
            };
            let mut machine = (overlay.make)(config).expect("these settings are possible");
            machine.settle(now, NetworkId(1), &peers, &mut out);
            out.clear();
            let shares = machine.inspect().shares;
            spans.extend(shares.iter().flat_map(|s| s.arc.spans()).map(|(from, to)| (from, to, *owner)));
        }
        spans.sort_unstable();
        let whole =
            spans.first().is_some_and(|s| s.0 == Id::ZERO) && spans.last().is_some_and(|s| s.1 == Id::MAX);
        let tiled = spans.windows(2).all(|two| two[0].1.next() == two[1].0);
        assert!(whole && tiled, "the arcs of all nodes tile the ring");
        let (ends, owners) = spans.into_iter().map(|(_, to, owner)| (to, owner)).unzip();
        Arcs { ends, owners, nodes }
    }

    fn owner(&self, key: &Id) -> usize {
        self.owners[self.ends.partition_point(|end| end < key)] as usize
    }
}

/// Keys on each node, sorted.
struct Loads(Vec<u32>);

impl Loads {
    fn deal(arcs: &Arcs, keys: &mut Rng, count: usize, onto: &mut [u32]) {
        (0..count).for_each(|_| onto[arcs.owner(&keys.id())] += 1);
    }

    fn new(mut counts: Vec<u32>) -> Loads {
        counts.sort_unstable();
        Loads(counts)
    }

    fn mean(&self) -> f64 {
        self.0.iter().map(|n| f64::from(*n)).sum::<f64>() / self.0.len() as f64
    }

    /// The load that this share of all nodes does not exceed, in means.
    fn quantile(&self, share: f64) -> f64 {
        let at = libm::ceil(share * self.0.len() as f64) as usize;
        f64::from(self.0[at.clamp(1, self.0.len()) - 1]) / self.mean()
    }

    fn least(&self) -> f64 {
        f64::from(self.0[0])
    }

    fn most(&self) -> f64 {
        self.quantile(1.0)
    }
}

fn measured(rings: &[&Loads], of: impl Fn(&Loads) -> f64) -> Measured {
    Measured::over_rings(&rings.iter().map(|l| of(l)).collect::<Vec<_>>())
}

/// `chord-load`.
pub(super) fn keys(ask: &Ask<'_>) -> Outcome {
    let nodes = NODES;
    let rings = each_ring(ask, 1, |_, seed| {
        let rng = Rng::from_u64(seed);
        let arcs = Arcs::of_ring(nodes, 1, &rng);
        let (mut keys, mut counts) = (rng.fork("keys", 0), vec![0; nodes]);
        KEYS.map(|_| {
            Loads::deal(&arcs, &mut keys, KEYS_STEP, &mut counts);
            Loads::new(counts.clone())
        })
        .collect::<Vec<_>>()
    })
    .remove(0);
    let mut rows = Vec::new();
    let (mut p1, mut p99) = (Vec::new(), Vec::new());
    for (i, step) in KEYS.enumerate() {
        let loads: Vec<&Loads> = rings.iter().map(|ring| &ring[i]).collect();
        let count = step * KEYS_STEP;
        let at = format!("{} keys", count);
        let most = measured(&loads, Loads::most);
        if count == KEYS_PUBLISHED {
            let high = measured(&loads, |l| l.quantile(0.99));
            let row = |what, published, ours, tolerance| Row {
                at: at.clone(),
                what,
                published: Some(published),
                ours,
                tolerance,
            };
            rows.push(row("99th percentile / mean", P99_PUBLISHED, high, TOLERANCE));
            rows.push(row("greatest / mean", MOST_PUBLISHED, most, TOLERANCE));
        }
        // "The number of keys per node exhibits large variations ...; for example, in all cases some nodes store no keys."
        let least = Measured { value: measured(&loads, Loads::least).most, ..measured(&loads, Loads::least) };
        rows.push(Row {
            at,
            what: "fewest keys on a node",
            published: Some(0.0),
            ours: least,
            tolerance: Tolerance::AtMost,
        });
        let keys_a_node = |m: f64| m * count as f64 / NODES as f64;
        let (low, high) = (measured(&loads, |l| l.quantile(0.01)), measured(&loads, |l| l.quantile(0.99)));
        let mean = count as f64 / NODES as f64;
        p1.push(Point {
            x: count as f64 / 1e5,
            y: mean,
            range: Some((keys_a_node(low.value), keys_a_node(high.value))),
        });
        p99.push(Point { x: count as f64 / 1e5, y: keys_a_node(high.value), range: None });
    }
    Outcome {
        notes: vec![
            format!("{nodes} nodes; a key goes to the node whose own share, with one copy, holds it"),
            "\"fewest keys\" is the greatest over rings of the least loaded node".into(),
        ],
        plots: vec![load_plot(p1, p99)],
        rows,
        ..Outcome::default()
    }
}

fn load_plot(means: Vec<Point>, p99: Vec<Point>) -> Plot {
    let at = KEYS_PUBLISHED as f64;
    let mean = at / NODES as f64;
    let reading = |of: f64| vec![Point { x: at / 1e5, y: of * mean, range: None }];
    Plot {
        file: "chord-load".into(),
        title: "Keys a node (bars: 1st to 99th percentile)".into(),
        x_label: "keys in all / 100,000",
        y_label: "keys a node",
        log_x: false,
        series: vec![
            Series::readings("published greatest (figure 8b)", reading(MOST_PUBLISHED)),
            Series::readings("published 99th percentile", reading(P99_PUBLISHED)),
            Series::ours("our 99th percentile", p99),
            Series::ours("our mean", means),
        ],
    }
}

/// `chord-virtual-nodes`.
pub(super) fn virtual_nodes(ask: &Ask<'_>) -> Outcome {
    let nodes = if ask.quick { NODES / 10 } else { NODES };
    let cases = each_ring(ask, VIRTUAL.len(), |case, seed| {
        let rng = Rng::from_u64(seed);
        let arcs = Arcs::of_ring(nodes, VIRTUAL[case], &rng);
        let mut counts = vec![0; arcs.nodes];
        Loads::deal(&arcs, &mut rng.fork("keys", 0), VIRTUAL_KEYS * nodes / NODES, &mut counts);
        Loads::new(counts)
    });
    let mut rows = Vec::new();
    let mut curves = [Vec::new(), Vec::new()];
    for (&v, rings) in VIRTUAL.iter().zip(&cases) {
        let loads: Vec<&Loads> = rings.iter().collect();
        let published = VIRTUAL_PUBLISHED.iter().find(|p| p.0 == v);
        let sides = [(0.01, "1st percentile / mean"), (0.99, "99th percentile / mean")];
        for (side, (share, what)) in sides.into_iter().enumerate() {
            let ours = measured(&loads, |l| l.quantile(share));
            let published = published.map(|p| if side == 0 { p.1 } else { p.2 });
            let tolerance = if published == Some(0.0) { TOLERANCE_ZERO } else { TOLERANCE };
            rows.push(Row { at: format!("{v} virtual nodes"), what, published, ours, tolerance });
            curves[side].push(Point { x: v as f64, y: ours.value, range: Some((ours.least, ours.most)) });
        }
    }
    let ends = |pick: fn(&(usize, f64, f64)) -> f64| {
        VIRTUAL_PUBLISHED.iter().map(|p| Point { x: p.0 as f64, y: pick(p), range: None }).collect()
    };
    let [low, high] = curves;
    Outcome {
        notes: vec![format!("{nodes} nodes, {} keys", VIRTUAL_KEYS * nodes / NODES)],
        plots: vec![Plot {
            file: "chord-virtual-nodes".into(),
            title: "Keys a node, in means (bars: all rings)".into(),
            x_label: "virtual nodes of a node",
            y_label: "keys / mean",
            log_x: false,
            series: vec![
                Series::readings("published 99th (figure 9)", ends(|p| p.2)),
                Series::ours("our 99th percentile", high),
                Series::readings("published 1st", ends(|p| p.1)),
                Series::ours("our 1st percentile", low),
            ],
        }],
        rows,
        ..Outcome::default()
    }
}
