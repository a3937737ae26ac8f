//! The kinds of faults, and how far they may go.
//!
//! **Within the promise.** At most W - 1 disks are lost in one world (an acknowledged value is on W). Crashes keep their
//! disks, so any number of them may happen in one world, and all at once; but few enough at a time that nobody loses all
//! successors ([`Limits`]), except when everyone is killed. A host that leaves takes its disk away for good only where no
//! other fault can keep it from handing over; else it comes back at the heal. Wall clocks stay within the declared skew.

use std::collections::BTreeSet;

use keyway_core::rng::Rng;

use super::Params;

/// What can go wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Datagrams vanish.
    Loss,
    /// Datagrams come twice.
    Duplicate,
    /// Datagrams overtake each other.
    Reorder,
    /// Bits flip.
    Corrupt,
    /// Wall clocks are wrong.
    Skew,
    /// Clocks run fast or slow.
    Drift,
    /// Syncs take long.
    DiskSlow,
    /// One direction between two hosts is cut, for a while.
    Cut,
    /// The hosts fall into two parts, for a while.
    Partition,
    /// A process dies, and comes back later.
    Crash,
    /// A process dies and comes back at once.
    Restart,
    /// All processes die in one instant, and come back.
    KillAll,
    /// A process dies and its disk with it; it comes back empty.
    DiskLost,
    /// A process stands still, and goes on.
    Pause,
    /// A host's frames take much longer, for a while.
    Limp,
    /// Syncs fail, for a while.
    DiskFail,
    /// A disk is full, for a while.
    DiskFull,
    /// A new host joins.
    Join,
    /// Many new hosts join at once.
    FlashCrowd,
    /// A host leaves gracefully.
    Leave,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 20] = [
        Kind::Loss,
        Kind::Duplicate,
        Kind::Reorder,
        Kind::Corrupt,
        Kind::Skew,
        Kind::Drift,
        Kind::DiskSlow,
        Kind::Cut,
        Kind::Partition,
        Kind::Crash,
        Kind::Restart,
        Kind::KillAll,
        Kind::DiskLost,
        Kind::Pause,
        Kind::Limp,
        Kind::DiskFail,
        Kind::DiskFull,
        Kind::Join,
        Kind::FlashCrowd,
        Kind::Leave,
    ];

    /// Whether links do it all the time, at a rate.
    #[must_use]
    pub fn is_of_links(self) -> bool {
        matches!(self, Kind::Loss | Kind::Duplicate | Kind::Reorder | Kind::Corrupt)
    }

    /// Whether it leaves membership alone.
    #[must_use]
    pub fn is_calm(self) -> bool {
        self.is_of_links() || matches!(self, Kind::Skew | Kind::Drift | Kind::DiskSlow)
    }

    /// Whether it can keep a leaving host from handing over in time.
    fn hinders_leave(self) -> bool {
        !self.is_calm() && !matches!(self, Kind::Join | Kind::Leave)
    }

    /// A random subset; one in four disturbs nobody.
    pub(super) fn draw(rng: &mut Rng) -> BTreeSet<Kind> {
        let disturbing = if rng.chance(0.25) { 0.0 } else { 0.15 + 0.35 * rng.unit() };
        let calm = 0.1 + 0.5 * rng.unit();
        Kind::ALL.into_iter().filter(|k| rng.chance(if k.is_calm() { calm } else { disturbing })).collect()
    }
}

/// How far faults may go in one world.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Processes that may be down at once, unless all are.
    pub(super) down_max: usize,
    /// Disks that may be lost.
    pub(super) disks_lost_max: usize,
    /// Members that must remain.
    pub(super) members_min: usize,
    /// Hosts that may ever be.
    pub(super) hosts_max: usize,
    /// Whether those who left stay away after the heal.
    pub(super) leavers_stay_away: bool,
}

impl Limits {
    pub(super) fn of(params: &Params) -> Limits {
        let half_list = params.successors.max(4) / 2;
        Limits {
            down_max: half_list.min(params.nodes.div_ceil(2)),
            disks_lost_max: usize::from(params.acks) - 1,
            members_min: usize::from(params.replicas).max(2),
            hosts_max: params.nodes + 20,
            leavers_stay_away: !params.kinds.iter().any(|k| k.hinders_leave()) && params.links.loss < 0.05,
        }
    }
}

/// The kinds that are injected one by one.
pub(super) fn injectable(params: &Params) -> Vec<Kind> {
    params.kinds.iter().copied().filter(|k| !k.is_calm()).collect()
}
