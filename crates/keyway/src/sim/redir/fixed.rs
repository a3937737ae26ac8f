//! Gets for a lookup over the number of clients, while all of them stay.

use keyway_client::Key;
use keyway_sim::experiments::{Ask, Measured, Outcome, Plot, Point, Series, Tolerance, each_ring};

use super::row;
use super::world::{Plan, SECOND, World};

const SIZES: [usize; 12] = [16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768];
const SIZE_MAX_QUICK: usize = 1_024;
/// "About 1.3", measured up to 256 clients and simulated up to 32,768.
const GETS: f64 = 1.3;
/// How far "about" goes: the mean wavers with the height of the tree, which grows by a level at each factor of ten.
const GETS_OFF_MAX: f64 = 0.25;
/// A lookup's bytes at the highest churn.
const LOOKUP_BYTES: f64 = 800.0;

/// All join within one period; five periods later the tree is at rest.
fn plan(clients: usize) -> Plan {
    Plan {
        clients,
        lifetime: None,
        born_within: 30 * SECOND,
        probes_from: 180 * SECOND,
        until: 240 * SECOND,
        probe_every: SECOND / 10,
        lookers: 1,
    }
}

struct Ring {
    gets: f64,
    wrong: f64,
    lookups: f64,
    bytes: f64,
    fullest: f64,
}

fn ring(clients: usize, seed: u64) -> Ring {
    let world = World::run(plan(clients), seed);
    let mut ids: Vec<Key> = world.clients.iter().map(|client| *client.me.id()).collect();
    ids.sort();
    let lookups = world.looked.len() as f64;
    let wrong = world.looked.iter().filter(|looked| {
        let after = ids.partition_point(|id| *id < looked.key);
        let truth = ids.get(after).or(ids.first());
        looked.outcome.successor.as_ref().map(keyway_client::redir::Endpoint::id) != truth
    });
    Ring {
        gets: world.lookups.gets as f64 / lookups.max(1.0),
        wrong: wrong.count() as f64,
        lookups,
        bytes: world.lookups.bytes as f64 / lookups.max(1.0),
        fullest: world.fullest() as f64,
    }
}

pub(super) fn run(ask: &Ask<'_>) -> Outcome {
    let sizes: Vec<usize> = SIZES.into_iter().filter(|size| !ask.quick || *size <= SIZE_MAX_QUICK).collect();
    let rings = each_ring(ask, sizes.len(), |case, seed| ring(sizes[case], seed));
    let over = |rings: &[Ring], of: fn(&Ring) -> f64| {
        Measured::over_rings(&rings.iter().map(of).collect::<Vec<_>>())
    };
    let (mut rows, mut points) = (Vec::new(), Vec::new());
    for (size, rings) in sizes.iter().zip(&rings) {
        let at = || format!("n = {size}");
        let gets = over(rings, |r| r.gets);
        points.push(Point { x: *size as f64, y: gets.value, range: Some((gets.least, gets.most)) });
        rows.push(row(at(), "gets a lookup", Some(GETS), gets, Tolerance::Within(GETS_OFF_MAX)));
        let wrong = Measured::pooled(
            rings.iter().map(|r| r.wrong).sum(),
            &rings.iter().map(|r| r.wrong).collect::<Vec<_>>(),
        );
        rows.push(row(at(), "wrong lookups", Some(0.0), wrong, Tolerance::AtMost));
        rows.push(row(
            at(),
            "bytes a lookup",
            Some(LOOKUP_BYTES),
            over(rings, |r| r.bytes),
            Tolerance::Shown,
        ));
        rows.push(row(at(), "fullest node, values", None, over(rings, |r| r.fullest), Tolerance::Shown));
    }
    let mean = points.iter().map(|p| p.y).sum::<f64>() / points.len().max(1) as f64;
    let lookups = rings.iter().flatten().map(|r| r.lookups).sum::<f64>();
    let published = sizes.iter().map(|size| Point { x: *size as f64, y: GETS, range: None });
    Outcome {
        notes: vec![
            format!(
                "b = 10, registration every 30 s for 60 s; {lookups:.0} lookups of random keys by one looker a ring, which \
                 begins at the mode of its last sixteen; {mean:.2} gets on the average of all sizes"
            ),
            "bytes are keys and values with their lengths; the entries here have about 42 bytes, those of 2005 had 6 in \
             an RPC of their own; the published 800 were counted on the wire"
                .into(),
        ],
        plots: vec![Plot {
            file: "redir-lookups".into(),
            title: "Gets for a lookup, b = 10 (bars: all rings)".into(),
            x_label: "clients",
            y_label: "gets",
            log_x: true,
            series: vec![
                Series::published("published (section 5, \"about 1.3\")", published.collect()),
                Series::ours("ours", points),
            ],
        }],
        rows,
        ..Outcome::default()
    }
}
