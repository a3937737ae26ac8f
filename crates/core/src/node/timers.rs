//! Keyed, replaceable timers with one deadline.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::time::{Duration, Mono};

/// A set of timers; each key is armed at most once. For a handful of keys: one short list, no tree.
///
/// A timer may have *slack*: it runs out at the first turn after its time, and a tick is asked for only when its slack is
/// over, too. What is not urgent then rides along with what happens anyway.
#[derive(Clone, Debug)]
pub(crate) struct Timers<K: Ord + Copy> {
    armed: Vec<Armed<K>>,
    /// The earliest time, and the earliest end of slack.
    first: Option<Mono>,
    deadline: Option<Mono>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Armed<K> {
    at: Mono,
    key: K,
    slack_ms: u32,
}

impl<K: Ord + Copy> Timers<K> {
    pub(crate) const fn new() -> Timers<K> {
        Timers { armed: Vec::new(), first: None, deadline: None }
    }

    fn find_first(&mut self) {
        let latest = |a: &Armed<K>| a.at + Duration::from_millis(u64::from(a.slack_ms));
        let both = self.armed.iter().map(|a| (a.at, latest(a)));
        let earliest = both.reduce(|(at, end), (a, e)| (at.min(a), end.min(e)));
        (self.first, self.deadline) = (earliest.map(|(at, _)| at), earliest.map(|(_, end)| end));
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
    pub(crate) const fn deadline(&self) -> Option<Mono> {
        self.deadline
    }

    /// The next timer that has run out, earliest first; it is disarmed.
    pub(crate) fn pop_due(&mut self, now: Mono) -> Option<K> {
        if self.first? > now {
            return None;
        }
        // The smallest key among equals: the order does not depend on how the list came about.
        let i = (0..self.armed.len()).min_by_key(|i| self.armed[*i])?;
        let key = self.armed.swap_remove(i).key;
        self.find_first();
        Some(key)
    }
}

/// Timers of client operations: there may be thousands, so they stand in a tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpTimers {
    due: BTreeSet<(Mono, u64)>,
}

impl OpTimers {
    /// Arms a timer of operation `op`. The caller remembers `at` to disarm it.
    pub(crate) fn arm(&mut self, op: u64, at: Mono) {
        self.due.insert((at, op));
    }

    pub(crate) fn disarm(&mut self, op: u64, at: Mono) {
        self.due.remove(&(at, op));
    }

    pub(crate) fn deadline(&self) -> Option<Mono> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The next operation whose time has come.
    pub(crate) fn pop_due(&mut self, now: Mono) -> Option<u64> {
        self.due.first().filter(|(at, _)| *at <= now)?;
        self.due.pop_first().map(|(_, op)| op)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
