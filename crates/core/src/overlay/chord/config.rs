//! Chord's settings.

use alloc::format;
use alloc::string::String;

use crate::time::Duration;

/// Longest successor list that can be configured, and the longest list taken from a peer.
pub(super) const LIST_MAX: usize = 64;

/// Settings. All nodes of a network should agree on the two lengths: a node works with others, but pays more bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Config {
    /// Length of the successor list, Zave's r: 1 to 64. A ring survives any r - 1 adjacent crashes within one round.
    pub successors: u16,
    /// Length of the predecessor list: 1 to 64, and at least the number of replicas, or shares go unnoticed.
    pub predecessors: u16,
    /// Mean period of stabilize, in milliseconds.
    pub stabilize_ms: u32,
    /// Mean period in which one finger is refreshed, in milliseconds.
    pub fix_fingers_ms: u32,
}

impl Default for Config {
    fn default() -> Config {
        // r = 16: a thousand nodes lose half of their number at once, and each keeps a live successor but with probability
        // 1000 / 2^16 (ToN'03 theorem IV.5 asks for Omega(log N)). Periods: ToN'03 section VI uses 15 to 45 s; ours are
        // shorter because an undisturbed round costs two datagrams.
        Config { successors: 16, predecessors: 8, stabilize_ms: 10_000, fix_fingers_ms: 30_000 }
    }
}

impl Config {
    /// The settings named in `options`, over the defaults.
    pub(super) fn parse(options: &[(String, u64)]) -> Result<Config, String> {
        let mut config = Config::default();
        let lists = 1..=LIST_MAX as u64;
        let periods = 10..=3_600_000;
        for (name, value) in options {
            let range = match name.as_str() {
                "successors" | "predecessors" => &lists,
                "stabilize_ms" | "fix_fingers_ms" => &periods,
                _ => {
                    return Err(format!(
                        "chord has no setting '{name}'; it has successors, predecessors, stabilize_ms, fix_fingers_ms"
                    ));
                }
            };
            if !range.contains(value) {
                return Err(format!(
                    "chord: {name} = {value} is out of range; give {} to {}",
                    range.start(),
                    range.end()
                ));
            }
            match name.as_str() {
                "successors" => config.successors = *value as u16,
                "predecessors" => config.predecessors = *value as u16,
                "stabilize_ms" => config.stabilize_ms = *value as u32,
                _ => config.fix_fingers_ms = *value as u32,
            }
        }
        Ok(config)
    }

    pub(super) fn stabilize(&self) -> Duration {
        Duration::from_millis(u64::from(self.stabilize_ms))
    }

    pub(super) fn fix_fingers(&self) -> Duration {
        Duration::from_millis(u64::from(self.fix_fingers_ms))
    }
}
