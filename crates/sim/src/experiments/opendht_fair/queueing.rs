//! Figure 5 and table 3: fifteen clients that want less, as much as and more than their share (OpenDHT section 5.2.2).
//!
//! Three groups of five. Of each group the clients put (1000 bytes, 60 min), (1000, 30), (1000, 12), (500, 60), (200, 60). A bid of
//! 1 fills a fifteenth of an idle disk. The first group bids 1, 2 and 3 in the three tests, the second always 1, the third always
//! a half. What the third leaves goes to those who want more: in tests 2 and 3 all of it to the first.

use keyway_core::store::fair::FairConfig;

use super::super::{Ask, Measured, Outcome, Plot, Point, Row, Series, Tolerance, each_ring};
use super::{Client, Fate, HOUR_MS, LOOK_MS, look, mean_use_percent, run, total_bytes};

const CAPACITY_BYTES: u64 = 3_600_000;
const TTL_MS_MAX: u64 = HOUR_MS;
const PUT_BYTES_MAX: u64 = 1000;
const UNTIL_MS: u64 = 5 * HOUR_MS;
const GROUPS: usize = 3;
const IN_GROUP: usize = 5;
/// Bytes and minutes to live of the clients of a group.
const KINDS: [(u64, u64); IN_GROUP] = [(1000, 60), (1000, 30), (1000, 12), (500, 60), (200, 60)];
/// Bids of the groups in each test.
const BIDS: [[f64; GROUPS]; 3] = [[1.0, 1.0, 0.5], [2.0, 1.0, 0.5], [3.0, 1.0, 0.5]];

/// Table 3: 50th and 90th percentile and average of the wait, in ms, for each client in each test.
const WAITS_MS: [[(f64, f64, f64); 3]; GROUPS * IN_GROUP] = [
    [(0.0, 974.0, 176.0), (5222.0, 10851.0, 5126.0), (6605.0, 12949.0, 6482.0)],
    [(0.0, 0.0, 9.0), (7248.0, 11554.0, 6467.0), (7840.0, 13561.0, 7364.0)],
    [(0.0, 0.0, 9.0), (8404.0, 12061.0, 7363.0), (8612.0, 14173.0, 8070.0)],
    [(0.0, 409.0, 56.0), (7267.0, 11551.0, 6490.0), (7750.0, 13413.0, 7368.0)],
    [(0.0, 0.0, 13.0), (8371.0, 12081.0, 7349.0), (8566.0, 14125.0, 8035.0)],
    [(0.0, 861.0, 163.0), (396.0, 1494.0, 628.0), (446.0, 2088.0, 933.0)],
    [(0.0, 0.0, 12.0), (237.0, 1097.0, 561.0), (281.0, 1641.0, 872.0)],
    [(0.0, 0.0, 9.0), (221.0, 1259.0, 604.0), (249.0, 1557.0, 940.0)],
    [(0.0, 409.0, 63.0), (123.0, 926.0, 467.0), (187.0, 1162.0, 770.0)],
    [(0.0, 0.0, 14.0), (0.0, 828.0, 394.0), (6.0, 1822.0, 804.0)],
    [(0.0, 768.0, 160.0), (398.0, 1182.0, 475.0), (444.0, 1285.0, 531.0)],
    [(0.0, 0.0, 6.0), (234.0, 931.0, 320.0), (261.0, 899.0, 328.0)],
    [(0.0, 0.0, 5.0), (214.0, 938.0, 306.0), (235.0, 891.0, 311.0)],
    [(0.0, 288.0, 37.0), (137.0, 771.0, 226.0), (171.0, 825.0, 249.0)],
    [(0.0, 0.0, 7.0), (0.0, 554.0, 103.0), (0.0, 715.0, 131.0)],
];
/// Average waits of the overloaded group.
const WAITS_WITHIN: Tolerance = Tolerance::Share { share: 0.1, or: 0.0 };
/// The second and third group wait less on average, in ms, whatever the first wants.
const WAITS_MS_MAX: [(usize, f64); 2] = [(1, 1500.0), (2, 700.0)];

/// What a client of each group stores in each test, in kB.
const SHARES_KB: [[f64; GROUPS]; 3] = [[240.0, 240.0, 120.0], [360.0, 240.0, 120.0], [360.0, 240.0, 120.0]];
const SHARES_WITHIN: Tolerance = Tolerance::Share { share: 0.02, or: 0.0 };
/// From when on shares are judged.
const STEADY_FROM_MS: u64 = 5 * HOUR_MS / 2;
/// How full the disk is where more is wanted than there is, and how full in test 1, where it is not.
const FULL_PERCENT: f64 = 99.9;
const TEST_1_PERCENT: f64 = 100.0 * 3.0 / 3.6;
/// Between the points of a curve.
const POINT_MS: u64 = 5 * LOOK_MS;

fn clients(test: usize) -> Vec<Client> {
    let share = CAPACITY_BYTES as f64 / (GROUPS * IN_GROUP) as f64;
    let of_group = |bid: f64| {
        KINDS.map(|(bytes, minutes)| {
            let ttl_ms = minutes * HOUR_MS / 60;
            Client { from_ms: 0, mean_gap_ms: bytes as f64 * ttl_ms as f64 / (bid * share), bytes, ttl_ms }
        })
    };
    BIDS[test].into_iter().flat_map(of_group).collect()
}

fn measured(disks: &[Vec<Fate>], of: impl Fn(&[Fate]) -> f64) -> Measured {
    Measured::over_rings(&disks.iter().map(|fates| of(fates)).collect::<Vec<_>>())
}

fn members(fates: &[Fate], group: usize) -> &[Fate] {
    &fates[group * IN_GROUP..(group + 1) * IN_GROUP]
}

/// Mean of a group's clients at a look, in kB.
fn group_kb(fates: &[Fate], group: usize, at: usize) -> f64 {
    total_bytes(members(fates, group), at) as f64 / 1e3 / IN_GROUP as f64
}

/// Mean of one client from the steady state on, in kB.
fn steady_kb(fate: &Fate) -> f64 {
    let steady = &fate.stored_bytes[look(STEADY_FROM_MS)..];
    steady.iter().sum::<u64>() as f64 / 1e3 / steady.len().max(1) as f64
}

/// `opendht-fair-queueing`.
pub(in super::super) fn table(ask: &Ask<'_>) -> Outcome {
    let config = FairConfig::paper(CAPACITY_BYTES, TTL_MS_MAX, PUT_BYTES_MAX).expect("a byte a ms");
    let tests = each_ring(ask, BIDS.len(), |test, seed| run(config, &clients(test), UNTIL_MS, seed));
    let mut rows = Vec::new();
    let mut plots = Vec::new();
    for (test, disks) in tests.iter().enumerate() {
        storage_rows(test, disks, &mut rows);
        wait_rows(test, disks, &mut rows);
        plots.push(storage_plot(test, disks));
        plots.push(wait_plot(test, disks));
    }
    Outcome {
        rows,
        plots,
        notes: vec![
            "a ring is one disk; kB are 1000 bytes; waits are of accepted puts".into(),
            "published shares are those of the authors' simulator, the share that is fair; each group's is judged at \
             every minute from 2.5 h on, each client's over that time"
                .into(),
            "the overloaded group is the first of tests 2 and 3; in test 1 nobody wants more than there is".into(),
        ],
        ..Outcome::default()
    }
}

fn storage_rows(test: usize, disks: &[Vec<Fate>], rows: &mut Vec<Row>) {
    let mut row = |at: String, what, published: f64, ours, tolerance| {
        rows.push(Row {
            at: format!("test {}, {at}", test + 1),
            what,
            published: Some(published),
            ours,
            tolerance,
        });
    };
    for (group, &share) in SHARES_KB[test].iter().enumerate() {
        for c in group * IN_GROUP..(group + 1) * IN_GROUP {
            let ours = measured(disks, |fates| steady_kb(&fates[c]));
            row(format!("client {}", c + 1), "stored, kB", share, ours, SHARES_WITHIN);
        }
        let off = measured(disks, |fates| {
            let looks = look(STEADY_FROM_MS)..=look(UNTIL_MS);
            100.0 * looks.map(|at| (group_kb(fates, group, at) / share - 1.0).abs()).fold(0.0, f64::max)
        });
        let ours = Measured { value: off.most, ..off };
        row(format!("group {}", group + 1), "farthest from its share, %", 2.0, ours, Tolerance::AtMost);
    }
    let full = measured(disks, |fates| mean_use_percent(fates, CAPACITY_BYTES, STEADY_FROM_MS));
    if test == 0 {
        row("all".into(), "share in use, %", TEST_1_PERCENT, full, SHARES_WITHIN);
    } else {
        let ours = Measured { value: full.least, ..full };
        row("all".into(), "least share in use, %", FULL_PERCENT, ours, Tolerance::AtLeast);
    }
}

fn wait_rows(test: usize, disks: &[Vec<Fate>], rows: &mut Vec<Row>) {
    let mut row = |at: String, what, published, ours, tolerance| {
        rows.push(Row { at: format!("test {}, {at}", test + 1), what, published, ours, tolerance });
    };
    for (c, waits) in WAITS_MS.iter().enumerate() {
        let (median, ninth, average) = waits[test];
        let is_overloaded = test > 0 && c < IN_GROUP;
        let at = format!("client {}", c + 1);
        let ours = measured(disks, |fates| fates[c].mean_wait_ms());
        let tolerance = if is_overloaded { WAITS_WITHIN } else { Tolerance::Shown };
        row(at.clone(), "average wait, ms", Some(average), ours, tolerance);
        for (i, what, published) in [(0, "median wait, ms", median), (1, "90th percentile, ms", ninth)] {
            let ours = measured(disks, |fates| fates[c].quantiles_ms([0.5, 0.9])[i]);
            row(at.clone(), what, Some(published), ours, Tolerance::Shown);
        }
    }
    for (group, most) in WAITS_MS_MAX {
        let slowest =
            |fates: &[Fate]| members(fates, group).iter().map(Fate::mean_wait_ms).fold(0.0, f64::max);
        let ours = measured(disks, slowest);
        let ours = Measured { value: ours.most, ..ours };
        row(format!("group {}", group + 1), "greatest average wait, ms", Some(most), ours, Tolerance::AtMost);
    }
    let refused = |group: usize| {
        measured(disks, |fates| members(fates, group).iter().map(|f| f.refused_ms.len() as f64).sum())
    };
    let late = measured(disks, |fates| {
        let late = |fate: &Fate| fate.refused_ms.iter().filter(|at| **at > HOUR_MS).count();
        members(fates, 1).iter().map(late).sum::<usize>() as f64
    });
    row("group 1".into(), "puts refused", None, refused(0), Tolerance::Shown);
    row("group 2".into(), "puts refused", None, refused(1), Tolerance::Shown);
    row("group 2".into(), "refused after 1 h", None, late, Tolerance::Shown);
    let below = refused(2);
    let below = Measured { value: below.most, ..below };
    row("group 3".into(), "puts refused", Some(0.0), below, Tolerance::AtMost);
}

fn storage_plot(test: usize, disks: &[Vec<Fate>]) -> Plot {
    let hours = |ms: u64| ms as f64 / HOUR_MS as f64;
    let mut series = Vec::new();
    for (group, share) in SHARES_KB[test].into_iter().enumerate() {
        let points = (0..=UNTIL_MS / POINT_MS).map(|i| {
            let m = measured(disks, |fates| group_kb(fates, group, look(i * POINT_MS)));
            Point { x: hours(i * POINT_MS), y: m.value, range: Some((m.least, m.most)) }
        });
        series.push(Series::ours(
            &format!("our group {}, bid {}", group + 1, BIDS[test][group]),
            points.collect(),
        ));
        let fair = [STEADY_FROM_MS, UNTIL_MS].map(|at| Point { x: hours(at), y: share, range: None });
        series.push(Series::published(&format!("published group {}", group + 1), fair.to_vec()));
    }
    Plot {
        file: format!("opendht-fair-queueing-storage-{}", test + 1),
        title: format!("Storage of a client of each group, test {} (figure 5)", test + 1),
        x_label: "hours",
        y_label: "stored, kB",
        log_x: false,
        series,
    }
}

fn wait_plot(test: usize, disks: &[Vec<Fate>]) -> Plot {
    let published = WAITS_MS.iter().enumerate();
    let published = published.map(|(c, w)| Point { x: (c + 1) as f64, y: w[test].2 / 1e3, range: None });
    let ours = (0..WAITS_MS.len()).map(|c| {
        let m = measured(disks, |fates| fates[c].mean_wait_ms() / 1e3);
        Point { x: (c + 1) as f64, y: m.value, range: Some((m.least, m.most)) }
    });
    Plot {
        file: format!("opendht-fair-queueing-waits-{}", test + 1),
        title: format!("Average wait, test {} (bars: all rings)", test + 1),
        x_label: "client",
        y_label: "average wait, s",
        log_x: false,
        series: vec![
            Series::published("published (table 3)", published.collect()),
            Series::ours("ours", ours.collect()),
        ],
    }
}
