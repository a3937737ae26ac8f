//! Churn by rates: new hosts join, and random members depart, as two Poisson processes of the whole network, as in Chord's
//! own simulations (ToN'03 section VI-D).

use keyway_core::Duration;
use keyway_core::rng::Rng;

use crate::draw::Spread;

/// Rates for the whole network.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Poisson {
    /// Mean time between joins of new hosts.
    pub join_every: Duration,
    /// Mean time between departures of random members.
    pub depart_every: Duration,
    /// The fraction of departures that say goodbye.
    pub graceful: f64,
}

impl Poisson {
    /// Until the next join.
    pub fn next_join(&self, rng: &mut Rng) -> Duration {
        Spread::Exponential(self.join_every).draw(rng)
    }

    /// Until the next departure.
    pub fn next_departure(&self, rng: &mut Rng) -> Duration {
        Spread::Exponential(self.depart_every).draw(rng)
    }

    /// Whether this departure says goodbye.
    pub fn says_goodbye(&self, rng: &mut Rng) -> bool {
        self.graceful > 0.0 && rng.chance(self.graceful)
    }
}
