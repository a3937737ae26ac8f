//! The two clocks of a node, read from the operating system. The only place of a node's process that reads them.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use keyway_core::time::{Mono, Now, Wall};

/// Both clocks. The monotonic one starts at zero with the clock's creation.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose monotonic time is zero now.
    #[must_use]
    pub fn start() -> Clock {
        Clock { origin: Instant::now() }
    }

    /// Both clocks now. A wall clock before 1970 reads as zero: the node will find itself out of step with the others.
    #[must_use]
    pub fn now(&self) -> Now {
        let mono = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros());
        Now { mono: Mono(mono), wall: Wall(u64::try_from(wall).unwrap_or(u64::MAX)) }
    }

    /// The instant at which the monotonic clock reads `mono`; far ones are cut to about a century.
    #[must_use]
    pub fn instant(&self, mono: Mono) -> Instant {
        const FAR_MICROS: u64 = 100 * 365 * 24 * 3600 * 1_000_000;
        self.origin + std::time::Duration::from_micros(mono.0.min(FAR_MICROS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_and_its_reading_agree() {
        let clock = Clock::start();
        let mono = Mono(5_000_000);
        assert_eq!(clock.instant(mono).duration_since(clock.origin).as_micros(), 5_000_000);
        assert!(clock.instant(Mono(u64::MAX)) > clock.instant(mono));
        let (a, b) = (clock.now(), clock.now());
        assert!(a.mono <= b.mono);
    }
}
