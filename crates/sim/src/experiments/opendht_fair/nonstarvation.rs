//! Figure 4: four clients that each want all that the disk reserves, one after the other (OpenDHT section 5.2.1).
//!
//! The paper prints the curves only. Their values at some hours were read off a run of the authors' own simulator; they stand here as
//! published.

use keyway_core::store::fair::FairConfig;

use super::super::{Ask, Measured, Outcome, Plot, Point, Row, Series, Tolerance, each_ring};
use super::{Client, Fate, HOUR_MS, LOOK_MS, look, mean_use_percent, run};

const CAPACITY_BYTES: u64 = 10_800_000;
const TTL_MS_MAX: u64 = 3 * HOUR_MS;
const PUT_BYTES_MAX: u64 = 1000;
const CLIENTS: usize = 4;
/// A client comes every two hours.
const BETWEEN_MS: u64 = 2 * HOUR_MS;
const UNTIL_MS: u64 = 10 * HOUR_MS;

/// Hours, and what each client has stored by then, in kB.
const STORED_KB: [(u64, [f64; CLIENTS]); 6] = [
    (2, [7137.0, 0.0, 0.0, 0.0]),
    (3, [8935.0, 1801.0, 0.0, 0.0]),
    (5, [4799.0, 4800.0, 1201.0, 0.0]),
    (7, [3299.0, 3299.0, 3301.0, 901.0]),
    (9, [2699.0, 2700.0, 2700.0, 2701.0]),
    (10, [2700.0, 2700.0, 2700.0, 2700.0]),
];
/// Commitments granted by the end, in MB hours.
const GRANTED_MB_H: [f64; CLIENTS] = [50.2, 28.8, 18.0, 10.8];
/// Of storage: 2 %, and where somebody has just come no less than 20 puts.
const STORED_WITHIN: Tolerance = Tolerance::Share { share: 0.02, or: 20.0 };
/// Equal means equal within 2 %.
const EQUAL_WITHIN: Tolerance = Tolerance::Share { share: 0.02, or: 0.0 };
/// One TTL after the last arrival.
const EQUAL_FROM_H: u64 = 9;
/// From when on the disk must be full, and how full.
const FULL_FROM_MS: u64 = 5 * HOUR_MS;
const FULL_PERCENT: f64 = 99.9;
/// Between the points of a curve.
const POINT_MS: u64 = 10 * LOOK_MS;

fn kb(fate: &Fate, at: usize) -> f64 {
    fate.stored_bytes[at] as f64 / 1e3
}

fn mb_h(fate: &Fate, at: usize) -> f64 {
    fate.granted[at] as f64 / 1e6 / HOUR_MS as f64
}

fn measured(disks: &[Vec<Fate>], of: impl Fn(&[Fate]) -> f64) -> Measured {
    Measured::over_rings(&disks.iter().map(|fates| of(fates)).collect::<Vec<_>>())
}

/// `opendht-nonstarvation`.
pub(in super::super) fn storage(ask: &Ask<'_>) -> Outcome {
    let config = FairConfig::paper(CAPACITY_BYTES, TTL_MS_MAX, PUT_BYTES_MAX).expect("a byte a ms");
    // r_min is a byte a ms: a put of 1000 bytes each second.
    let client = |c: usize| Client {
        from_ms: c as u64 * BETWEEN_MS,
        mean_gap_ms: PUT_BYTES_MAX as f64,
        bytes: PUT_BYTES_MAX,
        ttl_ms: TTL_MS_MAX,
    };
    let clients: Vec<Client> = (0..CLIENTS).map(client).collect();
    let disks = each_ring(ask, 1, |_, seed| run(config, &clients, UNTIL_MS, seed)).remove(0);
    Outcome {
        rows: rows(&disks),
        plots: plots(&disks),
        notes: vec![
            "a ring is one disk; kB are 1000 bytes; published values between the paper's axes are those of the \
             authors' simulator with other seeds"
                .into(),
            "\"least share in use\" is the mean from 5 h to the end of the disk that is used least".into(),
        ],
        ..Outcome::default()
    }
}

fn rows(disks: &[Vec<Fate>]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (hour, stored) in STORED_KB {
        let tolerance = if hour >= EQUAL_FROM_H { EQUAL_WITHIN } else { STORED_WITHIN };
        for (c, published) in stored.into_iter().enumerate().filter(|(_, kb)| *kb > 0.0) {
            let ours = measured(disks, |fates| kb(&fates[c], look(hour * HOUR_MS)));
            let at = format!("{hour} h, client {}", c + 1);
            rows.push(Row { at, what: "stored, kB", published: Some(published), ours, tolerance });
        }
    }
    let unequal = measured(disks, |fates| {
        let fair = CAPACITY_BYTES as f64 / 1e3 / CLIENTS as f64;
        let looks = look(EQUAL_FROM_H * HOUR_MS)..=look(UNTIL_MS);
        let off = looks.flat_map(|at| fates.iter().map(move |fate| (kb(fate, at) / fair - 1.0).abs()));
        100.0 * off.fold(0.0, f64::max)
    });
    rows.push(Row {
        at: format!("{EQUAL_FROM_H} h on"),
        what: "farthest from an equal share, %",
        published: Some(2.0),
        ours: Measured { value: unequal.most, ..unequal },
        tolerance: Tolerance::AtMost,
    });
    let full = measured(disks, |fates| mean_use_percent(fates, CAPACITY_BYTES, FULL_FROM_MS));
    rows.push(Row {
        at: "5 h on".into(),
        what: "least share in use, %",
        published: Some(FULL_PERCENT),
        ours: Measured { value: full.least, ..full },
        tolerance: Tolerance::AtLeast,
    });
    for (c, published) in GRANTED_MB_H.into_iter().enumerate() {
        let ours = measured(disks, |fates| mb_h(&fates[c], look(UNTIL_MS)));
        let at = format!("10 h, client {}", c + 1);
        rows.push(Row {
            at,
            what: "granted, MB h",
            published: Some(published),
            ours,
            tolerance: EQUAL_WITHIN,
        });
    }
    rows
}

fn plots(disks: &[Vec<Fate>]) -> Vec<Plot> {
    let hours = |ms: u64| ms as f64 / HOUR_MS as f64;
    let curves = |of: fn(&Fate, usize) -> f64| -> Vec<Series> {
        let curve = |c: usize| {
            let points = (0..=UNTIL_MS / POINT_MS).map(|i| {
                let m = measured(disks, |fates| of(&fates[c], look(i * POINT_MS)));
                Point { x: hours(i * POINT_MS), y: m.value, range: Some((m.least, m.most)) }
            });
            Series::ours(&format!("our client {}", c + 1), points.collect())
        };
        (0..CLIENTS).map(curve).collect()
    };
    let readings = STORED_KB.iter().flat_map(|(hour, stored)| {
        let point = |kb: &f64| Point { x: *hour as f64, y: *kb, range: None };
        stored.iter().filter(|kb| **kb > 0.0).map(point).collect::<Vec<_>>()
    });
    let granted = GRANTED_MB_H.iter().map(|y| Point { x: hours(UNTIL_MS), y: *y, range: None });
    let plot = |file: &str, title: &str, y_label, published: Vec<Point>, ours: Vec<Series>| Plot {
        file: file.into(),
        title: title.into(),
        x_label: "hours",
        y_label,
        log_x: false,
        series: [vec![Series::readings("published (figure 4)", published)], ours].concat(),
    };
    vec![
        plot(
            "opendht-nonstarvation-storage",
            "Storage of clients that come one after the other",
            "stored, kB",
            readings.collect(),
            curves(kb),
        ),
        plot(
            "opendht-nonstarvation-commitments",
            "Commitments granted",
            "granted, MB hours",
            granted.collect(),
            curves(mb_h),
        ),
    ]
}
