//! Churn by sessions: each host is up for a drawn time, then away for a drawn time, and comes back with its disk and id.
//!
//! A world that begins in the middle of things must not begin with whole sessions: what is left of a session found under
//! way is drawn from the residual-life distribution (the inspection paradox; Stutzbach and Rejaie, IMC'06).

use keyway_core::Duration;
use keyway_core::rng::Rng;

use crate::draw::Spread;

/// Sessions and absences.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sessions {
    /// How long a host stays.
    pub lifetime: Spread,
    /// How long it stays away; without it never to return.
    pub downtime: Option<Spread>,
    /// The fraction of departures that say goodbye; the others are crashes.
    pub graceful: f64,
}

impl Sessions {
    /// How long the session lasts that is under way when the world begins.
    pub fn under_way(&self, rng: &mut Rng) -> Duration {
        self.lifetime.residual(rng)
    }

    /// How long a new session lasts.
    pub fn session(&self, rng: &mut Rng) -> Duration {
        self.lifetime.draw(rng)
    }

    /// How long the host stays away now, if it returns at all.
    pub fn absence(&self, rng: &mut Rng) -> Option<Duration> {
        Some(self.downtime?.draw(rng))
    }

    /// Whether this departure says goodbye.
    pub fn says_goodbye(&self, rng: &mut Rng) -> bool {
        self.graceful > 0.0 && rng.chance(self.graceful)
    }
}
