//! Chord's settings.

use alloc::format;
use alloc::string::String;

use crate::rng::Rng;
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
    /// How far a period may lie from its mean, either way, in percent of it: 0 to 90. The paper's is 50: uniform between 15
    /// and 45 s (ToN section VI-E).
    pub spread_percent: u8,
    /// 1: the first pass over the fingers after a join does not wait for the period, and a dead finger is replaced soon.
    /// 0: each finger waits for its turn, as in the paper (ToN section IV-E1).
    pub eager_fingers: bool,
    /// 1: a node answers for the keys between its predecessor and itself. 0: lookups use successors and fingers only, as in
    /// the paper (ToN section IV-D), and go once round the ring for a node's own keys. For experiments with iterative lookups:
    /// a root does not say so to others either, so that those that travel end by asking around.
    pub use_predecessor: bool,
}

impl Default for Config {
    fn default() -> Config {
        // r = 16: a thousand nodes lose half of their number at once, and each keeps a live successor but with probability
        // 1000 / 2^16 (ToN'03 theorem IV.5 asks for Omega(log N)). Periods: ToN'03 section VI uses 15 to 45 s; ours are
        // shorter because an undisturbed round costs two datagrams.
        Config {
            successors: 16,
            predecessors: 8,
            stabilize_ms: 10_000,
            fix_fingers_ms: 30_000,
            spread_percent: 25,
            eager_fingers: true,
            use_predecessor: true,
        }
    }
}

impl Config {
    /// The settings named in `options`, over the defaults.
    pub(super) fn parse(options: &[(String, u64)]) -> Result<Config, String> {
        let mut config = Config::default();
        let lists = 1..=LIST_MAX as u64;
        let periods = 10..=3_600_000;
        let percents = 0..=90;
        let switch = 0..=1;
        for (name, value) in options {
            let range = match name.as_str() {
                "successors" | "predecessors" => &lists,
                "stabilize_ms" | "fix_fingers_ms" => &periods,
                "spread_percent" => &percents,
                "eager_fingers" | "use_predecessor" => &switch,
                _ => {
                    return Err(format!(
                        "chord has no setting '{name}'; it has successors, predecessors, stabilize_ms, fix_fingers_ms, spread_percent, \
                         eager_fingers, use_predecessor"
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
                "eager_fingers" => config.eager_fingers = *value == 1,
                "use_predecessor" => config.use_predecessor = *value == 1,
                "spread_percent" => config.spread_percent = *value as u8,
                _ => config.fix_fingers_ms = *value as u32,
            }
        }
        Ok(config)
    }

    pub(super) fn stabilize(&self) -> Duration {
        Duration::from_millis(u64::from(self.stabilize_ms))
    }

    /// One period of this mean.
    pub(super) fn period(&self, mean: Duration, rng: &mut Rng) -> Duration {
        let off = mean.0 * u64::from(self.spread_percent) / 100;
        Duration(rng.between(mean.0 - off, mean.0 + off))
    }

    /// A predecessor that lives is heard within so long: the longest period of stabilize and a quarter for its way.
    pub(super) fn silence_max(&self) -> Duration {
        let mean = self.stabilize().0;
        Duration(mean + mean * (u64::from(self.spread_percent) + 25) / 100)
    }

    pub(super) fn fix_fingers(&self) -> Duration {
        Duration::from_millis(u64::from(self.fix_fingers_ms))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn parse(name: &str, value: u64) -> Result<Config, String> {
        Config::parse(&[(name.into(), value)])
    }

    /// ToN section VI-E: "each node invokes the stabilization routine at intervals uniformly distributed in [15, 45] s".
    #[test]
    fn the_papers_timers_can_be_set() {
        let options = [("stabilize_ms", 30_000), ("spread_percent", 50), ("eager_fingers", 0)];
        let config = Config::parse(&options.map(|(name, value)| (name.into(), value))).unwrap();
        assert!(!config.eager_fingers);
        let mut rng = Rng::from_u64(1);
        let periods: Vec<u64> = (0..1_000).map(|_| config.period(config.stabilize(), &mut rng).0).collect();
        let (least, most) = (periods.iter().min().unwrap(), periods.iter().max().unwrap());
        assert!((15_000_000..15_200_000).contains(least) && (44_800_000..=45_000_000).contains(most));
        assert_eq!(config.silence_max(), Duration::from_millis(52_500));
    }

    /// The default is the jitter of every other period in a node.
    #[test]
    fn the_default_spread_is_a_quarter() {
        let config = Config::default();
        let (mut a, mut b) = (Rng::from_u64(2), Rng::from_u64(2));
        for mean in [Duration(7), Duration::from_secs(10)] {
            assert_eq!(config.period(mean, &mut a), b.jitter(mean));
        }
        assert_eq!(config.silence_max(), Duration::from_secs(15));
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for (name, value) in [("spread_percent", 91), ("eager_fingers", 2), ("successors", 0), ("finger", 1)]
        {
            assert!(parse(name, value).unwrap_err().contains(name), "{name}");
        }
    }
}
