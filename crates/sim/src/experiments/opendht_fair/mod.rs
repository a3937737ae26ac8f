//! OpenDHT's fair space-time allocation of a node's disk (SIGCOMM 2005, section 5.2): figures 4 and 5, table 3.
//!
//! ```text
//!   clients ── puts, Gaussian gaps ──▶ Fair of core (store/fair) ──▶ accepted, when ──▶ bytes stored, waits, refusals
//! ```
//!
//! One disk and those who want it, as in the paper: no network, no retries. A client puts with a gap drawn from a Gaussian
//! whose deviation is a tenth of its mean; its first put comes somewhere in its first gap. The code is the one that allocates the
//! disk of a serving node; what is counted here is what it accepted, and when.

mod nonstarvation;
mod queueing;

use std::collections::BTreeSet;

use keyway_core::rng::Rng;
use keyway_core::store::fair::{Accepted, ClientId, Fair, FairConfig};

use crate::draw::normal;

pub(super) use nonstarvation::storage as nonstarvation;
pub(super) use queueing::table as queueing;

/// Deviation of a gap, as a share of its mean.
const GAP_SD: f64 = 0.1;
/// Between looks at the disk.
const LOOK_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;

/// Who puts what, how often and from when on.
#[derive(Clone, Copy, Debug)]
struct Client {
    from_ms: u64,
    mean_gap_ms: f64,
    bytes: u64,
    ttl_ms: u64,
}

/// What became of one client's puts.
#[derive(Clone, Default, Debug)]
struct Fate {
    /// At each look.
    stored_bytes: Vec<u64>,
    /// Byte-ms granted until each look.
    granted: Vec<u128>,
    /// Waits of the accepted puts, in order of acceptance, in ms.
    waits_ms: Vec<u64>,
    /// When puts were refused.
    refused_ms: Vec<u64>,
}

impl Fate {
    fn mean_wait_ms(&self) -> f64 {
        self.waits_ms.iter().sum::<u64>() as f64 / self.waits_ms.len().max(1) as f64
    }

    /// The wait that this share of all accepted puts does not exceed, for each of the shares.
    fn quantiles_ms<const N: usize>(&self, shares: [f64; N]) -> [f64; N] {
        let mut waits = self.waits_ms.clone();
        waits.sort_unstable();
        shares.map(|share| {
            let at = libm::ceil(share * waits.len() as f64) as usize;
            waits.get(at.saturating_sub(1)).map_or(0.0, |wait| *wait as f64)
        })
    }
}

/// A gap in ms: at least one, so that time moves.
fn gap_ms(rng: &mut Rng, mean: f64) -> u64 {
    libm::round(mean * (1.0 + GAP_SD * normal(rng))).max(1.0) as u64
}

/// The fates of all clients of one disk until `until_ms`, looked at every [`LOOK_MS`] from 0 on.
fn run(config: FairConfig, clients: &[Client], until_ms: u64, seed: u64) -> Vec<Fate> {
    let root = Rng::from_u64(seed);
    let mut rngs: Vec<Rng> = (0..clients.len()).map(|c| root.fork("client", c as u64)).collect();
    let mut fates = vec![Fate::default(); clients.len()];
    let mut granted = vec![0_u128; clients.len()];
    let first = |(c, client): (usize, &Client), rng: &mut Rng| {
        (client.from_ms + libm::round(rng.unit() * client.mean_gap_ms) as u64, c)
    };
    let mut arrivals: BTreeSet<(u64, usize)> =
        clients.iter().enumerate().zip(&mut rngs).map(|(client, rng)| first(client, rng)).collect();
    // A put is named by its client and its arrival.
    let mut fair: Fair<(usize, u64)> = Fair::new(config);
    let mut accepted: Vec<Accepted<(usize, u64)>> = Vec::new();
    let mut look_ms = 0;
    while look_ms <= until_ms {
        let next = arrivals.first().copied().filter(|(at, _)| *at <= look_ms);
        match next {
            Some((now_ms, c)) => {
                arrivals.remove(&(now_ms, c));
                let client = clients[c];
                arrivals.insert((now_ms + gap_ms(&mut rngs[c], client.mean_gap_ms), c));
                let id = ClientId(c as u64);
                let put = fair.arrive(now_ms, id, (c, now_ms), client.bytes, client.ttl_ms, &mut accepted);
                if put.is_err() {
                    fates[c].refused_ms.push(now_ms);
                }
            }
            None => fair.wake(look_ms, &mut accepted),
        }
        for Accepted { put: (c, arrived_ms), at_ms, .. } in accepted.drain(..) {
            granted[c] += u128::from(clients[c].bytes) * u128::from(clients[c].ttl_ms);
            fates[c].waits_ms.push(at_ms - arrived_ms);
        }
        if next.is_none() {
            for (c, fate) in fates.iter_mut().enumerate() {
                fate.stored_bytes.push(fair.usage(ClientId(c as u64)).stored_bytes);
                fate.granted.push(granted[c]);
            }
            look_ms += LOOK_MS;
        }
    }
    fates
}

/// Which look that is.
fn look(ms: u64) -> usize {
    (ms / LOOK_MS) as usize
}

/// Bytes of all clients at that look.
fn total_bytes(fates: &[Fate], look: usize) -> u64 {
    fates.iter().map(|fate| fate.stored_bytes[look]).sum()
}

/// The mean share of the disk in use from `from_ms` on, in percent.
fn mean_use_percent(fates: &[Fate], capacity_bytes: u64, from_ms: u64) -> f64 {
    let looks = look(from_ms)..fates.first().map_or(0, |fate| fate.stored_bytes.len());
    let count = looks.len().max(1) as f64;
    let bytes: u64 = looks.map(|at| total_bytes(fates, at)).sum();
    100.0 * bytes as f64 / count / capacity_bytes as f64
}
