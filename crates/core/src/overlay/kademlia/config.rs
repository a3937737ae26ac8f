//! Kademlia's settings.

use alloc::format;
use alloc::string::String;

use crate::time::Duration;

/// Largest bucket that can be configured, and most contacts named in one answer.
pub(super) const K_MAX: usize = 64;
/// Greatest alpha.
pub(super) const ALPHA_MAX: u64 = 3;

/// Settings. All nodes of a network must agree on `neighbors`: it decides how the key space is divided into neighborhoods.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Config {
    /// Contacts in a bucket outside the neighborhood: the paper's k.
    pub k: u16,
    /// Steps of a lookup under way at once, 1 to 3: the paper's alpha.
    pub alpha: u8,
    /// A subtree is divided while both halves have this many members; at least the number of replicas, at most k / 2.
    pub neighbors: u16,
    /// How many of the nearest peers seen must have had their say before a lookup ends; the paper says k.
    pub nearest_heard: u8,
    /// Mean period of a round in the neighborhood, in milliseconds.
    pub round_ms: u32,
    /// Mean period in which one bucket is refreshed, in milliseconds.
    pub refresh_ms: u32,
}

impl Default for Config {
    fn default() -> Config {
        // k and alpha are the paper's (sections 2.2, 2.3). Its bucket refresh is hourly; ours takes one bucket a period.
        Config { k: 20, alpha: 3, neighbors: 8, nearest_heard: 1, round_ms: 10_000, refresh_ms: 30_000 }
    }
}

impl Config {
    /// The settings named in `options`, over the defaults.
    pub(super) fn parse(options: &[(String, u64)]) -> Result<Config, String> {
        let mut config = Config::default();
        for (name, value) in options {
            let range = match name.as_str() {
                "k" => 2..=K_MAX as u64,
                "alpha" => 1..=ALPHA_MAX,
                "neighbors" => 2..=32,
                "nearest_heard" => 0..=K_MAX as u64,
                "round_ms" | "refresh_ms" => 10..=3_600_000,
                _ => {
                    return Err(format!(
                        "kademlia has no setting '{name}'; it has k, alpha, neighbors, nearest_heard, round_ms, refresh_ms"
                    ));
                }
            };
            if !range.contains(value) {
                return Err(format!(
                    "kademlia: {name} = {value} is out of range; give {} to {}",
                    range.start(),
                    range.end()
                ));
            }
            match name.as_str() {
                "k" => config.k = *value as u16,
                "alpha" => config.alpha = *value as u8,
                "neighbors" => config.neighbors = *value as u16,
                "nearest_heard" => config.nearest_heard = *value as u8,
                "round_ms" => config.round_ms = *value as u32,
                _ => config.refresh_ms = *value as u32,
            }
        }
        if 2 * config.neighbors > config.k {
            return Err(format!(
                "kademlia: neighbors = {} must be at most half of k = {}: a bucket that loses a few contacts must not look as if \
                 its subtree had lost its members",
                config.neighbors, config.k
            ));
        }
        Ok(config)
    }

    pub(super) fn round(&self) -> Duration {
        Duration::from_millis(u64::from(self.round_ms))
    }

    pub(super) fn refresh(&self) -> Duration {
        Duration::from_millis(u64::from(self.refresh_ms))
    }
}
