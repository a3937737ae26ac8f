//! One simulated machine room slot: an address, an id, a clock and a disk, and at most one process at a time.

use std::collections::VecDeque;

use keyway_core::machine::Machine;
use keyway_core::{Mono, Now, Peer, Wall};

use crate::disk::Disk;
use crate::queue::What;

/// The wall clock at the start of every world: 2026-01-01T00:00:00Z.
pub const EPOCH: Wall = Wall(1_767_225_600_000_000);

/// How a host's clocks differ from the world's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Clock {
    /// What the wall clock is ahead, in microseconds.
    pub skew: i64,
    /// What both clocks gain, in parts per million.
    pub drift_ppm: i32,
}

impl Clock {
    /// The host's count of microseconds when the world's is `at`.
    fn local(self, at: u64) -> u64 {
        if self.drift_ppm == 0 {
            return at;
        }
        (i128::from(at) + i128::from(at) * i128::from(self.drift_ppm) / 1_000_000) as u64
    }

    /// Both clocks at `at`, for a process born at `born`: its monotonic clock begins there.
    pub(crate) fn now(self, at: u64, born: u64) -> Now {
        let local = self.local(at);
        Now {
            mono: Mono(local - self.local(born)),
            wall: Wall((EPOCH.0 + local).saturating_add_signed(self.skew)),
        }
    }

    /// The first instant of the world at which the monotonic clock has reached `due`.
    pub(crate) fn reached(self, due: Mono, born: u64) -> u64 {
        if self.drift_ppm == 0 {
            return born.saturating_add(due.0);
        }
        let target = self.local(born).saturating_add(due.0);
        let guess = i128::from(target) * 1_000_000 / (1_000_000 + i128::from(self.drift_ppm));
        let mut at = u64::try_from(guess).unwrap_or(u64::MAX / 2).saturating_sub(2).max(born);
        while self.local(at) < target {
            at += 1;
        }
        at
    }
}

/// A host.
#[repr(C)]
pub(crate) struct Host {
    // In this order: what every event touches comes first, and what is large stands elsewhere: a host is out of the caches when its event
    // comes, and each line of it costs.
    /// Until then nothing runs here.
    pub(crate) paused_until: u64,
    /// The process, while one runs.
    pub(crate) machine: Option<Box<dyn Machine>>,
    /// When the present process began.
    pub(crate) born: u64,
    /// When the process next wants a tick; `u64::MAX` for never.
    pub(crate) due: u64,
    /// The instant of the tick that counts, which may be earlier; `u64::MAX` for none.
    pub(crate) tick_at: u64,
    /// Another tick in the queue, which counts once that one is over.
    pub(crate) tick_after: u64,
    pub(crate) clock: Clock,
    /// Whether the process has completed its join.
    pub(crate) member: bool,
    /// Calls of `handle` until the next look at the local invariants.
    pub(crate) check_in: u32,
    /// How many processes there have been: the incarnation of the present or last one.
    pub(crate) life: u32,
    /// How others know it.
    pub(crate) peer: Peer,
    /// Outlives processes.
    pub(crate) disk: Box<Disk>,
    /// What waits for the end of the pause.
    pub(crate) backlog: Vec<What>,
    /// Slots of the disk batches under way, oldest first.
    pub(crate) batches: VecDeque<u32>,
    /// Of these, the newest batch of writes.
    pub(crate) gathering: Option<u32>,
}

impl Host {
    pub(crate) fn new(peer: Peer, disk: Disk) -> Host {
        Host {
            peer,
            machine: None,
            disk: Box::new(disk),
            clock: Clock::default(),
            life: 0,
            born: 0,
            member: false,
            due: u64::MAX,
            tick_at: u64::MAX,
            tick_after: u64::MAX,
            paused_until: 0,
            backlog: Vec::new(),
            batches: VecDeque::new(),
            gathering: None,
            check_in: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A deadline is reached at the first microsecond at which the host's own clock shows it.
        #[test]
        fn deadlines_survive_drift(
            born in 0u64..1 << 42, due in 0u64..1 << 42, drift_ppm in -100_000i32..100_000, skew in -1_000_000i64..1_000_000,
        ) {
            let clock = Clock { skew, drift_ppm };
            let at = clock.reached(Mono(due), born);
            prop_assert!(clock.now(at, born).mono >= Mono(due));
            prop_assert!(at == born || clock.now(at - 1, born).mono < Mono(due));
        }
    }

    #[test]
    fn skew_moves_the_wall_clock_only() {
        let clock = Clock { skew: -500, drift_ppm: 0 };
        assert_eq!(clock.now(2_000, 1_000), Now { mono: Mono(1_000), wall: Wall(EPOCH.0 + 1_500) });
    }
}
