//! Which gateway is asked first: the one that worked last, unless another is clearly nearer.
//!
//! ```text
//!   first request, then at most every MEASURE_EVERY of use ──▶ beside it: one TCP connection to each, timed and closed
//!   a gateway that missed ──▶ not chosen for its nearness before the next measure but one
//! ```
//!
//! How long a connection takes to be established is one round trip, whatever the gateway is busy with. Nearer by less than half,
//! or by less than a millisecond, is not worth leaving warm connections for. The measure runs beside the requests and delays none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::Uri;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Between two measures.
const MEASURE_EVERY: Duration = Duration::from_secs(60);
/// What another gateway must be nearer by, at least.
const NEARER_BY: Duration = Duration::from_millis(1);
/// No measure yet, or no connection.
const UNKNOWN: u64 = u64::MAX;

/// The gateways' distances, and which of them is asked first.
pub(crate) struct Distances {
    places: Vec<Place>,
    preferred: AtomicUsize,
    born: Instant,
    /// When the next measure is due, in microseconds of this object's life.
    due_us: AtomicU64,
}

struct Place {
    /// `host:port`.
    authority: String,
    rtt_us: AtomicU64,
    missed: AtomicBool,
}

impl Distances {
    pub(crate) fn new(gateways: &[Uri]) -> Arc<Distances> {
        let place = |uri: &Uri| Place {
            authority: format!("{}:{}", uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(80)),
            rtt_us: AtomicU64::new(UNKNOWN),
            missed: AtomicBool::new(false),
        };
        Arc::new(Distances {
            places: gateways.iter().map(place).collect(),
            preferred: AtomicUsize::new(0),
            born: Instant::now(),
            due_us: AtomicU64::new(0),
        })
    }

    /// Which gateway to begin with. Begins a measure when one is due.
    pub(crate) fn first(self: &Arc<Distances>, connect_timeout: Duration) -> usize {
        if self.places.len() > 1 {
            let now = self.born.elapsed();
            let due = self.due_us.load(Ordering::Relaxed);
            let next = micros(now + MEASURE_EVERY);
            let is_due = micros(now) >= due;
            // Of many requests at once one begins it.
            if is_due && self.due_us.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            {
                tokio::spawn(self.clone().measure(connect_timeout));
            }
        }
        self.preferred.load(Ordering::Relaxed)
    }

    /// A gateway's answer stood.
    pub(crate) fn worked(&self, at: usize) {
        self.preferred.store(at, Ordering::Relaxed);
    }

    /// A gateway did not answer, or another was asked to do better.
    pub(crate) fn missed(&self, at: usize) {
        self.places[at].missed.store(true, Ordering::Relaxed);
    }

    async fn measure(self: Arc<Distances>, connect_timeout: Duration) {
        let mut connections = JoinSet::new();
        for (at, place) in self.places.iter().enumerate() {
            let authority = place.authority.clone();
            connections.spawn(async move {
                let began = Instant::now();
                let connected = timeout(connect_timeout, TcpStream::connect(authority)).await;
                (at, connected.ok().and_then(Result::ok).map(|_| began.elapsed()))
            });
        }
        while let Some(ended) = connections.join_next().await {
            let Ok((at, rtt)) = ended else { continue };
            self.places[at].rtt_us.store(rtt.map_or(UNKNOWN, micros), Ordering::Relaxed);
        }
        let seen: Vec<(u64, bool)> = self
            .places
            .iter()
            .map(|place| (place.rtt_us.load(Ordering::Relaxed), place.missed.swap(false, Ordering::Relaxed)))
            .collect();
        let preferred = self.preferred.load(Ordering::Relaxed);
        let nearest = nearest(&seen, preferred);
        // Whoever worked meanwhile stays.
        let _ = self.preferred.compare_exchange(preferred, nearest, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// The gateway to ask first, by `(round trip in microseconds, missed lately)` of each.
fn nearest(seen: &[(u64, bool)], preferred: usize) -> usize {
    let Some((here, _)) = seen.get(preferred) else { return preferred };
    let best = seen.iter().enumerate().filter(|(_, (rtt, missed))| *rtt != UNKNOWN && !missed);
    match best.min_by_key(|(_, (rtt, _))| *rtt) {
        Some((at, (rtt, _))) if rtt.saturating_mul(2).max(rtt + micros(NEARER_BY)) < *here => at,
        _ => preferred,
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(UNKNOWN - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clearly_nearer_one_is_asked_first() {
        assert_eq!(nearest(&[(80_000, false), (4_000, false), (9_000, false)], 0), 1);
        assert_eq!(nearest(&[(7_000, false), (4_000, false)], 0), 0, "not by half");
        assert_eq!(nearest(&[(900, false), (100, false)], 0), 0, "not by a millisecond");
        assert_eq!(nearest(&[(80_000, false), (4_000, true), (9_000, false)], 0), 2, "it missed lately");
        assert_eq!(nearest(&[(UNKNOWN, true), (4_000, false)], 0), 1, "nobody is there");
        assert_eq!(nearest(&[(UNKNOWN, true), (UNKNOWN, true)], 1), 1);
    }

    #[tokio::test]
    async fn a_measure_leaves_who_does_not_answer() {
        let here = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = |of: &tokio::net::TcpListener| {
            format!("http://{}", of.local_addr().expect("an address")).parse::<Uri>().expect("a URL")
        };
        let list = [url(&gone), url(&here)];
        drop(gone);
        let distances = Distances::new(&list);
        distances.clone().measure(Duration::from_secs(2)).await;
        assert_eq!(distances.preferred.load(Ordering::Relaxed), 1);
    }
}
