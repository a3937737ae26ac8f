//! Path lengths of Kademlia over the number of nodes (IPTPS 2002; sections are those of the preprint).
//!
//! The paper gives no measurement, only a bound: each step finds a node at most half as far from the key, so a lookup takes at
//! most log2 N steps and a constant (section 3). What is to be *expected* follows from two of its sentences: a bucket holds k
//! nodes of its subtree, or all if there are fewer (2.2); a node asked names the nearest that it knows (2.3). We take the k as
//! drawn at random and ids as random, and count nodes asked one after another, the root among them. The recursion is ours; its
//! growth is the known one (Cai, Devroye, *The Analysis of Kademlia for Random IDs*, 2014, arXiv 1402.1191: about c log n steps).
//! Let n members stand in the smallest subtree that is known to hold key and asker, or key and contacts:
//!
//! ```text
//!   next bit   i of the n are on the key's side, binomial(n, 1/2); nobody on one of the sides: the bit decides nothing
//!   A(n)       the asker is among them        with probability i/n: A(i);   else its bucket is that side: V(i)
//!   V(n)       = W(n, min(k, n))              a bucket of n members is asked for the nearest to the key
//!   W(n, c)    = 1 if c = n                   all are known: the nearest is the root, and is asked
//!              else d of the c are on the key's side, hypergeometric:
//!                   d > 0: W(i, d)            the nearest contact is among these
//!                   d = 0: 1 + V(i)           the nearest contact parts from the key here; its bucket is that side
//! ```
//!
//! The mean path is A(N); A(n) = 1 - 1/n up to n = k + 1. One hop gains 1 + sum over e > 0 of 1 - (1 - 2^-e)^k bits: 2 for
//! k = 1, which is Chord's half of log2 N; 5.69 for k = 20, so each doubling of N costs 0.18 hops.
//!
//! The tolerance is 0.15 hops, set before anything was measured. Two things make our path shorter and are no mistake: the converged
//! state ([`keyway_core::overlay::Overlay::settle`]) spreads a bucket's contacts evenly over its subtree, which gains half a bit a
//! hop, up to 0.13 hops at these sizes by a simulation of both kinds of tables; and a neighborhood may have more than k members,
//! all known.
//!
//! Measured is the time of a lookup over links that take always the same time, in round trips, with alpha = 1: with three under way
//! at once more nodes are asked than lie on the path.

use std::collections::BTreeMap;

use super::burst::{NEVER_MS, Settled, measured};
use super::{Ask, Measured, Outcome, Plot, Point, Row, Series, Tolerance, each_ring, half_dies};

/// The paper's k.
const K: usize = 20;
const SIZES_LOG2: std::ops::RangeInclusive<u32> = 6..=13;
const LOOKUPS: usize = 2_000;
const LOOKUPS_QUICK: usize = 500;
const TOLERANCE: Tolerance = Tolerance::Within(0.15);
/// No timer of the upkeep fires.
const STILL: [(&str, u64); 2] = [("round_ms", NEVER_MS), ("refresh_ms", NEVER_MS)];

/// The expectation of the module's header.
struct Expected {
    k: usize,
    ln_factorials: Vec<f64>,
    /// `W(n, c)` at `c - 1`, for those n that were needed.
    bucket: BTreeMap<usize, Vec<f64>>,
    /// `A(n)`.
    asker: BTreeMap<usize, f64>,
}

impl Expected {
    fn new(k: usize, n_max: usize) -> Expected {
        let mut ln_factorials = vec![0.0; n_max + 1];
        for n in 2..=n_max {
            ln_factorials[n] = ln_factorials[n - 1] + libm::log(n as f64);
        }
        Expected { k, ln_factorials, bucket: BTreeMap::new(), asker: BTreeMap::new() }
    }

    /// How many of n members are on one side of a bit that has members on both, with probabilities. Beyond six deviations
    /// nothing is left to count.
    fn halves(&self, n: usize) -> Vec<(usize, f64)> {
        let reach = 3.0 * libm::sqrt(n as f64) + 1.0;
        let (least, most) = ((n as f64 / 2.0 - reach).max(1.0) as usize, n as f64 / 2.0 + reach);
        let ln = |i: usize| self.ln_factorials[n] - self.ln_factorials[i] - self.ln_factorials[n - i];
        let middle = ln(n / 2);
        let weights: Vec<(usize, f64)> =
            (least..=(most as usize).min(n - 1)).map(|i| (i, libm::exp(ln(i) - middle))).collect();
        let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
        weights.into_iter().map(|(i, weight)| (i, weight / sum)).collect()
    }

    /// The probabilities that 0, 1, ... of c contacts are among the i on the key's side, of n in all.
    fn sides(n: usize, i: usize, c: usize) -> Vec<f64> {
        let first = (c + i).saturating_sub(n);
        let last = c.min(i);
        let mut weights = vec![0.0; last + 1];
        weights[first] = 1.0;
        for d in first..last {
            let up = ((i - d) * (c - d)) as f64;
            let down = ((d + 1) * (n + d + 1 - i - c)) as f64;
            weights[d + 1] = weights[d] * up / down;
        }
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / sum).collect()
    }

    /// `V(n)`.
    fn bucket(&mut self, n: usize) -> f64 {
        self.row(n)[self.k.min(n) - 1]
    }

    /// `W(n, 1)` to `W(n, min(k, n))`.
    fn row(&mut self, n: usize) -> Vec<f64> {
        if let Some(row) = self.bucket.get(&n) {
            return row.clone();
        }
        let most = self.k.min(n);
        let mut row = vec![0.0; most];
        for (i, probability) in if n > 1 { self.halves(n) } else { Vec::new() } {
            let (inner, onward) = (self.row(i), 1.0 + self.bucket(i));
            for c in 1..=most {
                let sides = Expected::sides(n, i, c);
                let within = sides.iter().skip(1).zip(&inner).map(|(p, path)| p * path).sum::<f64>();
                row[c - 1] += probability * (sides[0] * onward + within);
            }
        }
        if most == n {
            row[n - 1] = 1.0;
        }
        self.bucket.insert(n, row.clone());
        row
    }

    /// `A(n)`: the mean path among n members.
    fn path(&mut self, n: usize) -> f64 {
        if n < 2 {
            return 0.0;
        }
        if let Some(path) = self.asker.get(&n) {
            return *path;
        }
        let mut path = 0.0;
        for (i, probability) in self.halves(n) {
            let with_key = i as f64 / n as f64;
            path += probability * (with_key * self.path(i) + (1.0 - with_key) * self.bucket(i));
        }
        self.asker.insert(n, path);
        path
    }
}

/// `kademlia-path-length`.
pub(super) fn length(ask: &Ask<'_>) -> Outcome {
    let sizes: Vec<usize> = SIZES_LOG2.map(|bits| 1 << bits).filter(|n| !ask.quick || *n <= 1024).collect();
    let lookups = if ask.quick { LOOKUPS_QUICK } else { LOOKUPS };
    let options = [STILL.as_slice(), &[("k", K as u64), ("alpha", 1)]].concat();
    let cases = each_ring(ask, sizes.len(), |case, seed| {
        Settled::new("kademlia", sizes[case], 3, &options, seed).ask(lookups)
    });
    let mut expected = Expected::new(K, sizes.last().copied().unwrap_or(0));
    let (mut theory, mut ours, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for (&n, networks) in sizes.iter().zip(&cases) {
        let mut row = |what, published, ours, tolerance| {
            rows.push(Row { at: format!("N = {n}"), what, published: Some(published), ours, tolerance });
        };
        let means: Vec<f64> = networks.iter().map(|c| c.trips.mean()).collect();
        let (mean, published) = (Measured::over_rings(&means), expected.path(n));
        let of = |share: f64| measured(networks, |c| f64::from(c.trips.quantile(share)));
        let (p1, p99) = (of(0.01), of(0.99));
        row("mean path", published, mean, TOLERANCE);
        row("longest path", libm::ceil(libm::log2(n as f64)), of(1.0), Tolerance::AtMost);
        row("time-outs", 0.0, measured(networks, |c| c.timeouts.mean()), Tolerance::AtMost);
        row("wrong lookups", 0.0, measured(networks, |c| c.wrong() as f64), Tolerance::AtMost);
        theory.push(Point { x: n as f64, y: published, range: None });
        ours.push(Point { x: n as f64, y: mean.value, range: Some((p1.value, p99.value)) });
    }
    Outcome {
        notes: vec![
            format!("{lookups} lookups a network, k = {K}, alpha = 1; the path is counted in round trips, the root among them"),
            "the published side of the mean is derived from the paper's rules and random tables, not measured; of the longest path \
             it is the paper's bound (section 3). Our converged tables are spread evenly: a little shorter is right"
                .into(),
        ],
        plots: vec![Plot {
            file: "kademlia-path-length".into(),
            title: "Path length, buckets of twenty (bars: 1st to 99th percentile)".into(),
            x_label: "nodes",
            y_label: "path length",
            log_x: true,
            series: vec![
                Series::published("expected (random tables)", theory),
                Series::ours("ours", ours),
            ],
        }],
        rows,
        ..Outcome::default()
    }
}

/// `kademlia-half-dies`: a lookup goes on with whoever is left of the k contacts that each answer names.
pub(super) fn half(ask: &Ask<'_>) -> Outcome {
    half_dies::run(ask, "kademlia", &STILL)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Up to k + 1 members a node knows all others: it is the root itself once in n, and asks one node otherwise.
    #[test]
    fn small_networks_are_known_to_everybody() {
        let mut expected = Expected::new(20, 64);
        for n in 1..=21 {
            assert!((expected.path(n) - (1.0 - 1.0 / n as f64)).abs() < 1e-9, "{n}: {}", expected.path(n));
        }
        assert!(expected.path(64) > 1.0);
    }

    /// The closed form of the header: bits gained by one hop.
    #[test]
    fn each_doubling_costs_what_one_hop_gains() {
        for (k, bits) in [(1, 2.0), (4, 3.505), (20, 5.690)] {
            let gain = |e: i32| 1.0 - libm::pow(1.0 - libm::pow(0.5, f64::from(e)), k as f64);
            let sum = 1.0 + (1..200).map(gain).sum::<f64>();
            assert!((sum - bits).abs() < 0.002, "k = {k}: {sum}");
            let mut expected = Expected::new(k, 1 << 11);
            let slope = (expected.path(1 << 11) - expected.path(1 << 7)) / 4.0;
            assert!((slope - 1.0 / bits).abs() < 0.03, "k = {k}: {slope}");
        }
    }

    /// Three members, one contact a bucket, by hand. A bit that divides them leaves one alone, on the key's side or opposite.
    #[test]
    fn three_members_by_hand() {
        let mut expected = Expected::new(1, 8);
        // V(2) with one contact of two: it is the root, or the other one, which knows the root: 1.5.
        assert!((expected.bucket(2) - 1.5).abs() < 1e-12);
        // One with the key: asker 1/3 root, 2/3 one hop. Two with it: asker 2/3 among two, A(2) = 1/2; 1/3 asks V(2).
        let want = 0.5 * (2.0 / 3.0) + 0.5 * (2.0 / 3.0 * 0.5 + 1.0 / 3.0 * 1.5);
        assert!((expected.path(3) - want).abs() < 1e-12);
    }
}
