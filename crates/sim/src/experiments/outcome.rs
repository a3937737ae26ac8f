//! What an experiment gave: rows that compare, curves to draw, and the verdict.

use std::fmt::Write as _;

use serde::Serialize;

/// A measured value and its spread over rings.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Measured {
    /// The mean over rings, or the value of all rings pooled.
    pub value: f64,
    /// Standard deviation between rings; 0 for pooled values.
    pub sd: f64,
    /// The least ring.
    pub least: f64,
    /// The greatest ring.
    pub most: f64,
}

impl Measured {
    /// The mean of one value a ring.
    #[must_use]
    pub fn over_rings(values: &[f64]) -> Measured {
        let n = values.len().max(1) as f64;
        let value = values.iter().sum::<f64>() / n;
        let squares = values.iter().map(|v| (v - value) * (v - value)).sum::<f64>();
        let sd = if values.len() > 1 { libm::sqrt(squares / (n - 1.0)) } else { 0.0 };
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Measured { value, sd, least, most }
    }

    /// `pooled` is the value of all rings together, beside one value a ring for the spread.
    #[must_use]
    pub fn pooled(pooled: f64, values: &[f64]) -> Measured {
        Measured { value: pooled, ..Measured::over_rings(values) }
    }
}

/// How far a measured value may be from the published one.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tolerance {
    /// At most so far, either way.
    Within(f64),
    /// At most this share of the published value, or this far, whichever is more.
    Share {
        /// A share of the published value.
        share: f64,
        /// An absolute distance.
        or: f64,
    },
    /// The published value is a floor.
    AtLeast,
    /// The published value is a ceiling.
    AtMost,
    /// A count that must not be significantly above the published one: one-sided Poisson test at 95 %.
    Poisson,
    /// Shown beside each other, not judged.
    Shown,
}

impl std::fmt::Display for Tolerance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Tolerance::Within(t) => write!(f, "± {t}"),
            Tolerance::Share { share, or } if *or > 0.0 => write!(f, "± {:.0} % or {or}", share * 100.0),
            Tolerance::Share { share, .. } => write!(f, "± {:.0} %", share * 100.0),
            Tolerance::AtLeast => f.write_str("at least"),
            Tolerance::AtMost => f.write_str("at most"),
            Tolerance::Poisson => f.write_str("not above, 95 %"),
            Tolerance::Shown => f.write_str("shown"),
        }
    }
}

/// Rounding of sums must not decide a verdict at the very edge.
const EDGE: f64 = 1e-9;

impl Tolerance {
    /// Whether `ours` agrees with `published`; none if that is not judged.
    #[must_use]
    pub fn judge(&self, published: f64, ours: f64) -> Option<bool> {
        let off = (ours - published).abs();
        match *self {
            Tolerance::Within(t) => Some(off <= t + EDGE),
            Tolerance::Share { share, or } => Some(off <= (share * published.abs()).max(or) + EDGE),
            Tolerance::AtLeast => Some(ours >= published - EDGE),
            Tolerance::AtMost => Some(ours <= published + EDGE),
            Tolerance::Poisson => Some(poisson_at_least(ours as u64, published) >= 0.05),
            Tolerance::Shown => None,
        }
    }
}

/// The greatest mean for which a count of `k` or less is not significantly low at 95 %: an upper bound on what was counted.
pub(super) fn poisson_mean_max(k: u64) -> f64 {
    let (mut low, mut high) = (0.0, 2.0 * k as f64 + 20.0);
    for _ in 0..60 {
        let mean = (low + high) / 2.0;
        if 1.0 - poisson_at_least(k + 1, mean) > 0.05 { low = mean } else { high = mean }
    }
    high
}

/// The probability that a Poisson count of this mean is `k` or more.
fn poisson_at_least(k: u64, mean: f64) -> f64 {
    if k == 0 {
        return 1.0;
    }
    if mean <= 0.0 {
        return 0.0;
    }
    // Terms as exponents: the mean may be large enough for exp(-mean) to vanish.
    let term = |i: u64| libm::exp(i as f64 * libm::log(mean) - mean - libm::lgamma(i as f64 + 1.0));
    (1.0 - (0..k).map(term).sum::<f64>()).max(0.0)
}

/// One comparison.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// The setting, such as `N = 1024`.
    pub at: String,
    /// The quantity, such as `mean path`.
    pub what: &'static str,
    /// What the paper says, if it says.
    pub published: Option<f64>,
    /// What we measured.
    pub ours: Measured,
    /// How far they may be apart.
    pub tolerance: Tolerance,
}

impl Row {
    /// Whether both agree; none if that is not judged.
    #[must_use]
    pub fn pass(&self) -> Option<bool> {
        self.tolerance.judge(self.published?, self.ours.value)
    }
}

/// A point of a curve, with the range over rings if there is one.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Point {
    /// Abscissa.
    pub x: f64,
    /// Ordinate.
    pub y: f64,
    /// Below and above which no ring, or only one in a hundred values, lies.
    pub range: Option<(f64, f64)>,
}

/// One curve.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Series {
    /// For the legend.
    pub name: String,
    /// Whether it is the paper's.
    pub published: bool,
    /// Whether a line joins its points. It does not if only a few values of a curve are known.
    pub joined: bool,
    /// In order of x.
    pub points: Vec<Point>,
}

impl Series {
    /// What we measured.
    #[must_use]
    pub fn ours(name: &str, points: Vec<Point>) -> Series {
        Series { name: name.into(), published: false, joined: true, points }
    }

    /// The paper's curve.
    #[must_use]
    pub fn published(name: &str, points: Vec<Point>) -> Series {
        Series { name: name.into(), published: true, joined: true, points }
    }

    /// Single values of the paper's.
    #[must_use]
    pub fn readings(name: &str, points: Vec<Point>) -> Series {
        Series { name: name.into(), published: true, joined: false, points }
    }
}

/// A picture: the published curve and ours.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Plot {
    /// Name of the file, without ending.
    pub file: String,
    /// Above the picture.
    pub title: String,
    /// Below it.
    pub x_label: &'static str,
    /// Beside it.
    pub y_label: &'static str,
    /// Whether x is drawn by its logarithm.
    pub log_x: bool,
    /// The curves.
    pub series: Vec<Series>,
}

/// All that came of an experiment.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Outcome {
    /// The experiment.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// Which figure or table.
    pub paper: &'static str,
    /// Worlds for each setting.
    pub rings: u32,
    /// First and last seed.
    pub seeds: (u64, u64),
    /// Whether this was only a quick look.
    pub quick: bool,
    /// Whether every judged row agrees.
    pub pass: bool,
    /// How it was measured, what differs from the paper, and why.
    pub notes: Vec<String>,
    /// The comparisons.
    pub rows: Vec<Row>,
    /// The pictures.
    pub plots: Vec<Plot>,
}

/// A number with as many digits as it deserves.
fn number(v: f64) -> String {
    let size = v.abs();
    let digits = match () {
        () if size >= 1_000.0 || v == 0.0 => 0,
        () if size >= 100.0 => 1,
        () if size >= 0.1 => 2,
        () => 4,
    };
    format!("{v:.digits$}")
}

impl Outcome {
    /// A table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let head = ["setting", "quantity", "published", "ours", "sd", "rings", "tolerance", ""];
        let mut lines: Vec<[String; 8]> = vec![head.map(String::from)];
        lines.extend(self.rows.iter().map(|row| {
            let verdict = match row.pass() {
                Some(true) => "pass",
                Some(false) => "FAIL",
                None => "",
            };
            [
                row.at.clone(),
                row.what.into(),
                row.published.map_or_else(|| "-".into(), number),
                number(row.ours.value),
                number(row.ours.sd),
                format!("{} .. {}", number(row.ours.least), number(row.ours.most)),
                if row.published.is_some() { row.tolerance.to_string() } else { String::new() },
                verdict.into(),
            ]
        }));
        let width = |column: usize| lines.iter().map(|l| l[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 8] = core::array::from_fn(width);
        let mut text = String::new();
        for line in &lines {
            let cells: Vec<String> = (0..8)
                .map(|c| {
                    // Words to the left, numbers to the right.
                    if (2..6).contains(&c) {
                        format!("{:>w$}", line[c], w = widths[c])
                    } else {
                        format!("{:<w$}", line[c], w = widths[c])
                    }
                })
                .collect();
            let _ = writeln!(text, "{}", cells.join("  ").trim_end());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerances_judge_as_they_say() {
        assert_eq!(Tolerance::Within(0.15).judge(4.9, 5.05), Some(true));
        assert_eq!(Tolerance::Within(0.15).judge(4.9, 5.06), Some(false));
        let timeouts = Tolerance::Share { share: 0.15, or: 0.2 };
        assert_eq!(timeouts.judge(0.6, 0.79), Some(true), "the floor counts");
        assert_eq!(timeouts.judge(5.1, 5.8), Some(true), "the share counts");
        assert_eq!(timeouts.judge(5.1, 5.9), Some(false));
        assert_eq!(Tolerance::Shown.judge(1.0, 9.0), None);
        assert_eq!(Tolerance::AtLeast.judge(0.999, 0.9989), Some(false));
        assert_eq!(Tolerance::AtMost.judge(0.0, 0.0), Some(true));
    }

    /// Of a mean of 10, 15 or more come in 8 % of all cases, 16 or more in 5 %, 17 or more in 3 %.
    #[test]
    fn a_poisson_count_must_not_be_significantly_above() {
        assert!((poisson_at_least(15, 10.0) - 0.083_458).abs() < 1e-5);
        assert_eq!(Tolerance::Poisson.judge(10.0, 15.0), Some(true));
        assert_eq!(Tolerance::Poisson.judge(10.0, 17.0), Some(false));
        assert_eq!(Tolerance::Poisson.judge(0.0, 0.0), Some(true));
        assert_eq!(Tolerance::Poisson.judge(0.0, 1.0), Some(false));
    }

    #[test]
    fn spreads_are_over_rings() {
        let m = Measured::over_rings(&[1.0, 2.0, 3.0]);
        assert_eq!((m.value, m.sd, m.least, m.most), (2.0, 1.0, 1.0, 3.0));
        assert_eq!(Measured::over_rings(&[4.0]).sd, 0.0);
    }
}
