//! Keyed, replaceable timers with one deadline.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::time::{Duration, Mono};

/// A set of timers; each key is armed at most once. For a handful of keys: one short list, no tree.
///
/// A timer may have *slack*: it runs out at the first turn after its time, and a tick is asked for only when its slack is
/// over, too. What is not urgent then rides along with what happens anyway.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Timers<K: Ord + Copy> {
    /// The earliest time, and the earliest end of slack: asked for in every turn.
    first: Mono,
    deadline: Mono,
    armed: Vec<Armed<K>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Armed<K> {
    at: Mono,
    key: K,
    slack_ms: u32,
}

impl<K: Ord + Copy> Timers<K> {
    pub(crate) const fn new() -> Timers<K> {
        Timers { first: Mono::NEVER, deadline: Mono::NEVER, armed: Vec::new() }
    }

    fn find_first(&mut self) {
        let latest = |a: &Armed<K>| a.at + Duration::from_millis(u64::from(a.slack_ms));
        let both = self.armed.iter().map(|a| (a.at, latest(a)));
        (self.first, self.deadline) =
            both.fold((Mono::NEVER, Mono::NEVER), |(at, end), (a, e)| (at.min(a), end.min(e)));
    }

    /// Arms `key` for `at`, replacing an earlier arming.
    pub(crate) fn arm(&mut self, key: K, at: Mono) {
        self.arm_within(key, at, Duration::ZERO);
    }

    /// Arms `key` for `at`, or up to `slack` later, replacing an earlier arming.
    pub(crate) fn arm_within(&mut self, key: K, at: Mono, slack: Duration) {
        let new = Armed { at, key, slack_ms: u32::try_from(slack.as_millis()).unwrap_or(u32::MAX) };
        match self.armed.iter_mut().find(|a| a.key == key) {
            Some(armed) => *armed = new,
            None => {
                self.armed.reserve_exact(1);
                self.armed.push(new);
            }
        }
        self.find_first();
    }

    /// Arms `key` for `at` unless it is already armed for an earlier time.
    pub(crate) fn arm_by(&mut self, key: K, at: Mono) {
        self.arm_by_within(key, at, Duration::ZERO);
    }

    /// Arms `key` for `at`, or up to `slack` later, unless it is already armed for an earlier time.
    pub(crate) fn arm_by_within(&mut self, key: K, at: Mono, slack: Duration) {
        if !self.armed.iter().any(|a| a.key == key && a.at <= at) {
            self.arm_within(key, at, slack);
        }
    }

    pub(crate) fn disarm(&mut self, key: K) {
        if let Some(i) = self.armed.iter().position(|a| a.key == key) {
            self.armed.swap_remove(i);
            self.find_first();
        }
    }

    /// When a tick is needed.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        (self.deadline != Mono::NEVER).then_some(self.deadline)
    }

    /// The next timer that has run out, earliest first; it is disarmed.
    pub(crate) fn pop_due(&mut self, now: Mono) -> Option<K> {
        if self.first > now {
            return None;
        }
        // The smallest key among equals: the order does not depend on how the list came about.
        let i = (0..self.armed.len()).min_by_key(|i| self.armed[*i])?;
        let key = self.armed.swap_remove(i).key;
        self.find_first();
        Some(key)
    }
}

/// What ends or goes on when its time has come; in this order where several are due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OpTimer {
    /// An operation's time is over.
    Over,
    /// A travelling lookup is forgotten.
    Travel,
    /// An operation tries again.
    Again,
}

/// Timers of operations: there may be thousands, so they stand in trees.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct OpTimers {
    over: BTreeSet<(Mono, u64)>,
    travel: BTreeSet<(Mono, u64)>,
    again: BTreeSet<(Mono, u64)>,
    /// The first of all: asked for in every turn, as is what stands behind it in a node, and the trees in few.
    first: Mono,
}

impl OpTimers {
    pub(crate) const fn new() -> OpTimers {
        OpTimers {
            first: Mono::NEVER,
            over: BTreeSet::new(),
            travel: BTreeSet::new(),
            again: BTreeSet::new(),
        }
    }

    const fn of(&mut self, what: OpTimer) -> &mut BTreeSet<(Mono, u64)> {
        match what {
            OpTimer::Over => &mut self.over,
            OpTimer::Travel => &mut self.travel,
            OpTimer::Again => &mut self.again,
        }
    }

    /// Arms a timer of `op`. The caller remembers `at` to disarm it.
    pub(crate) fn arm(&mut self, what: OpTimer, op: u64, at: Mono) {
        self.of(what).insert((at, op));
        self.first = self.first.min(at);
    }

    pub(crate) fn disarm(&mut self, what: OpTimer, op: u64, at: Mono) {
        self.of(what).remove(&(at, op));
        if at == self.first {
            self.find_first();
        }
    }

    fn find_first(&mut self) {
        let firsts = [&self.over, &self.travel, &self.again].into_iter().filter_map(BTreeSet::first);
        self.first = firsts.map(|(at, _)| *at).min().unwrap_or(Mono::NEVER);
    }

    /// When a tick is needed.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        (self.first != Mono::NEVER).then_some(self.first)
    }

    /// The next one whose time has come.
    pub(crate) fn pop_due(&mut self, now: Mono) -> Option<(OpTimer, u64)> {
        if self.first > now {
            return None;
        }
        let is_due = |set: &BTreeSet<(Mono, u64)>| set.first().is_some_and(|(at, _)| *at <= now);
        let what = if is_due(&self.over) {
            OpTimer::Over
        } else if is_due(&self.travel) {
            OpTimer::Travel
        } else {
            OpTimer::Again
        };
        let (_, op) = self.of(what).pop_first()?;
        self.find_first();
        Some((what, op))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// Against a list: armed, disarmed, disarmed in vain, and taken.
    #[test]
    fn the_first_of_all_timers_of_operations_is_known() {
        let mut rng = Rng::from_u64(1);
        let (mut timers, mut list) = (OpTimers::new(), Vec::new());
        let mut taken = 0;
        for instant in 0..4_000 {
            let what = [OpTimer::Over, OpTimer::Travel, OpTimer::Again][rng.below(3) as usize];
            let (op, at) = (rng.below(6), Mono(instant + rng.below(40)));
            if rng.chance(0.6) {
                timers.arm(what, op, at);
                list.retain(|entry| *entry != (at, what, op));
                list.push((at, what, op));
            } else {
                let gone = rng.index(list.len()).map_or((at, what, op), |i| list.swap_remove(i));
                timers.disarm(gone.1, gone.2, gone.0);
            }
            assert_eq!(timers.deadline(), list.iter().map(|(at, ..)| *at).min());
            while rng.chance(0.5)
                && let Some((what, op)) = timers.pop_due(Mono(instant))
            {
                let due = |(at, w, o): &(Mono, OpTimer, u64)| *at <= Mono(instant) && (*w, *o) == (what, op);
                let at =
                    list.iter().filter(|entry| due(entry)).min_by_key(|(at, ..)| *at).map(|(at, ..)| *at);
                let at = at.expect("it was due");
                list.retain(|entry| *entry != (at, what, op));
                taken += 1;
            }
        }
        assert!(taken > 500, "{taken}");
    }

    #[test]
    fn arming_again_replaces() {
        let mut t = Timers::new();
        t.arm('a', Mono(5));
        t.arm('b', Mono(7));
        t.arm('a', Mono(9));
        t.arm_by('b', Mono(8));
        assert_eq!(t.deadline(), Some(Mono(7)));
        assert_eq!(t.pop_due(Mono(8)), Some('b'));
        assert_eq!(t.pop_due(Mono(8)), None);
        t.disarm('a');
        assert_eq!(t.deadline(), None);
    }
    #[test]
    fn slack_waits_for_company() {
        let mut t = Timers::new();
        t.arm_within('a', Mono(5_000), Duration::from_millis(10));
        t.arm('b', Mono(9_000));
        assert_eq!(t.deadline(), Some(Mono(9_000)));
        assert_eq!(t.pop_due(Mono(9_000)), Some('a'), "it rides along");
        assert_eq!(t.pop_due(Mono(9_000)), Some('b'));
        t.arm_by_within('a', Mono(20_000), Duration::from_millis(10));
        assert_eq!(t.deadline(), Some(Mono(30_000)));
        assert_eq!(t.pop_due(Mono(19_999)), None);
    }
}
