//! How fast an import may go: so many records a second, evenly.

use std::str::FromStr;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Records per second, written as `800` or `800/s`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rate {
    per_second: u32,
}

/// Why a text is not a [`Rate`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is not a rate; write records per second as 800 or 800/s")]
pub(super) struct NotARate(String);

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Rate, NotARate> {
        let digits = text.strip_suffix("/s").unwrap_or(text);
        match digits.parse() {
            Ok(per_second) if per_second > 0 => Ok(Rate { per_second }),
            _ => Err(NotARate(text.to_owned())),
        }
    }
}

/// Gives turns at a rate, or at once without one. Turns that were not taken in time are made up for by at most a
/// second's worth, so that a stall is not followed by a flood.
#[derive(Debug)]
pub(super) struct Pace {
    gap: Option<Duration>,
    next: Instant,
}

impl Pace {
    /// Turns from now on.
    pub(super) fn new(rate: Option<Rate>) -> Pace {
        let gap = rate.map(|rate| Duration::from_secs(1) / rate.per_second);
        Pace { gap, next: Instant::now() }
    }

    /// Waits until the next turn. May be dropped and called again.
    pub(super) async fn ready(&self) {
        if self.gap.is_some() {
            sleep_until(self.next).await;
        }
    }

    /// The turn is taken.
    pub(super) fn take(&mut self) {
        if let Some(gap) = self.gap {
            let made_up_for = Instant::now().checked_sub(Duration::from_secs(1));
            self.next = made_up_for.map_or(self.next, |floor| self.next.max(floor)) + gap;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_records_per_second() {
        assert_eq!("800".parse(), Ok(Rate { per_second: 800 }));
        assert_eq!("800/s".parse(), Ok(Rate { per_second: 800 }));
        for text in ["", "0", "-1", "1/m", "fast"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
