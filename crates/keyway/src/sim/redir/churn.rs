//! Whether lookups are right while clients come and go: 128 of them, with lives of a median of 1 to 32 minutes.
//!
//! A client dies without a word and another, with another id, takes its place. Its entries stay until they end, a minute after its
//! last registration at most, so lookups name the dead: soft state knows no better. Hence three measures:
//!
//! ```text
//!   consistent   of ten lookups of a key at once, those that say what more than five of them say     the paper's measure
//!   by entries   the answer is registered, and nobody between the key and it is                      what the tree can know
//!   alive        the answer is alive, and nobody registered and alive is between the key and it      what a caller wishes
//! ```
//!
//! What changes while a lookup is under way may be answered either way.

use std::collections::BTreeMap;

use keyway_client::redir::Endpoint;
use keyway_core::Duration;
use keyway_sim::draw::Spread;
use keyway_sim::experiments::{Ask, Measured, Outcome, Plot, Point, Series, Tolerance, each_ring};

use super::row;
use super::world::{Client, Looked, Plan, REFRESH, SECOND, World, order};

/// Median lives in minutes.
const MEDIANS: [u64; 6] = [1, 2, 4, 8, 16, 32];
const CLIENTS: usize = 128;
/// Lookups of one key at once.
const TOGETHER: usize = 10;
/// The lowest point of the published curve, in percent; its highest is 100.
const CONSISTENT_MIN: f64 = 92.0;
/// Bytes a second of a registration process, and bytes of a lookup, at the highest churn.
const REGISTER_BYTES: f64 = 64.0;
const LOOKUP_BYTES: f64 = 800.0;
const WARM_UP: u64 = 300 * SECOND;
const MEASURED: u64 = 1_200 * SECOND;
const MEASURED_QUICK: u64 = 300 * SECOND;

fn plan(median_minutes: u64, measured: u64) -> Plan {
    // An exponential's median is ln 2 of its mean.
    let mean = Duration((median_minutes as f64 * 60.0 * SECOND as f64 / std::f64::consts::LN_2) as u64);
    Plan {
        clients: CLIENTS,
        lifetime: Some(Spread::Exponential(mean)),
        born_within: 30 * SECOND,
        probes_from: WARM_UP,
        until: WARM_UP + measured,
        probe_every: 2 * SECOND,
        lookers: TOGETHER,
    }
}

/// Shares in percent, and traffic.
#[derive(Clone, Copy)]
struct Ring {
    consistent: f64,
    by_entries: f64,
    alive: f64,
    gets: f64,
    lookup_bytes: f64,
    register_bytes: f64,
}

fn ring(median_minutes: u64, measured: u64, seed: u64) -> Ring {
    let world = World::run(plan(median_minutes, measured), seed);
    let mut probes: BTreeMap<usize, Vec<&Looked>> = BTreeMap::new();
    for looked in &world.looked {
        probes.entry(looked.probe).or_default().push(looked);
    }
    // Those under way at the end have not all ended.
    probes.retain(|_, looked| looked.len() == TOGETHER);
    let all: Vec<&Looked> = probes.values().flatten().copied().collect();
    let share = |count: usize| 100.0 * count as f64 / all.len().max(1) as f64;
    let count = |right: &dyn Fn(&Looked) -> bool| all.iter().filter(|looked| right(looked)).count();
    let seconds = (measured / SECOND) as f64;
    Ring {
        consistent: share(probes.values().map(|looked| agreeing(looked)).sum()),
        by_entries: share(count(&|looked| is_right(&world.clients, looked, by_entries))),
        alive: share(count(&|looked| is_right(&world.clients, looked, alive))),
        gets: world.lookups.gets as f64 / world.looked.len().max(1) as f64,
        lookup_bytes: world.lookups.bytes as f64 / world.looked.len().max(1) as f64,
        register_bytes: world.registrations.bytes as f64 / CLIENTS as f64 / seconds,
    }
}

/// How many say what more than half of them say; nobody, if no answer has so many.
fn agreeing(looked: &[&Looked]) -> usize {
    let mut votes: BTreeMap<Option<&Endpoint>, usize> = BTreeMap::new();
    for one in looked {
        *votes.entry(one.outcome.successor.as_ref()).or_default() += 1;
    }
    votes.into_values().max().filter(|most| 2 * most > looked.len()).unwrap_or(0)
}

/// When a client counts: surely from, surely until, perhaps from, perhaps until.
type Window = (u64, u64, u64, u64);

/// While it is alive; surely from its first complete registration on.
fn alive(client: &Client) -> Window {
    let died = client.died.unwrap_or(u64::MAX);
    (client.registered.unwrap_or(u64::MAX), died, 0, died)
}

/// While its entries live: for a ttl after its last complete registration.
fn by_entries(client: &Client) -> Window {
    let ttl = REFRESH.ttl.as_secs() * SECOND;
    let (surely, perhaps) = match client.died {
        None => (u64::MAX, u64::MAX),
        Some(died) => (client.refreshed.0 + ttl, died + ttl),
    };
    (client.registered.unwrap_or(u64::MAX), surely, 0, perhaps)
}

fn is_right(clients: &[Client], looked: &Looked, window: fn(&Client) -> Window) -> bool {
    let (began, ended) = (looked.began, looked.ended);
    let Some(answer) = &looked.outcome.successor else { return false };
    let counted = clients.iter().filter(|client| client.me == *answer).any(|client| {
        let (.., from, until) = window(client);
        from <= ended && until >= began
    });
    let passed_over = clients.iter().any(|client| {
        let (from, until, ..) = window(client);
        from <= began && until > ended && order(&looked.key, client.me.id()) < order(&looked.key, answer.id())
    });
    counted && !passed_over
}

pub(super) fn run(ask: &Ask<'_>) -> Outcome {
    let measured = if ask.quick { MEASURED_QUICK } else { MEASURED };
    let rings = each_ring(ask, MEDIANS.len(), |case, seed| ring(MEDIANS[case], measured, seed));
    let over = |rings: &[Ring], of: fn(&Ring) -> f64| {
        Measured::over_rings(&rings.iter().map(of).collect::<Vec<_>>())
    };
    let mut rows = Vec::new();
    let mut curves: [Vec<Point>; 3] = Default::default();
    for (median, rings) in MEDIANS.into_iter().zip(&rings) {
        let at = || format!("median life {median} min");
        let shares = [over(rings, |r| r.consistent), over(rings, |r| r.by_entries), over(rings, |r| r.alive)];
        for (curve, share) in curves.iter_mut().zip(shares) {
            curve.push(Point { x: median as f64, y: share.value, range: Some((share.least, share.most)) });
        }
        let [consistent, entries, living] = shares;
        rows.push(row(at(), "consistent, %", Some(CONSISTENT_MIN), consistent, Tolerance::AtLeast));
        rows.push(row(at(), "right by entries, %", Some(CONSISTENT_MIN), entries, Tolerance::AtLeast));
        rows.push(row(at(), "right among the living, %", None, living, Tolerance::Shown));
        rows.push(row(at(), "gets a lookup", None, over(rings, |r| r.gets), Tolerance::Shown));
        if median == MEDIANS[0] {
            let (register, lookup) = (over(rings, |r| r.register_bytes), over(rings, |r| r.lookup_bytes));
            rows.push(row(
                at(),
                "bytes/s a client registers",
                Some(REGISTER_BYTES),
                register,
                Tolerance::Shown,
            ));
            rows.push(row(at(), "bytes a lookup", Some(LOOKUP_BYTES), lookup, Tolerance::Shown));
        }
    }
    let [consistent, entries, living] = curves;
    let published = vec![
        Point { x: MEDIANS[0] as f64, y: CONSISTENT_MIN, range: None },
        Point { x: MEDIANS[MEDIANS.len() - 1] as f64, y: 100.0, range: None },
    ];
    Outcome {
        notes: vec![
            format!(
                "churn: {CLIENTS} clients, exponential lives, replaced at once; every 2 s of {} s ten lookers look one random key up",
                measured / SECOND
            ),
            "right by entries: the first whose registration lives, dead or not; the dead are named until their entries \
             end, so the share right among the living is bounded by lives and ttl, not by the tree"
                .into(),
        ],
        plots: vec![Plot {
            file: "redir-churn".into(),
            title: "Lookups under churn, 128 clients (bars: all rings)".into(),
            x_label: "median life of a client, minutes",
            y_label: "percent",
            log_x: true,
            series: vec![
                Series::readings("published: least and most", published),
                Series::ours("consistent", consistent),
                Series::ours("right by entries", entries),
                Series { name: "right among the living".into(), ..Series::ours("", living) },
            ],
        }],
        rows,
        ..Outcome::default()
    }
}
