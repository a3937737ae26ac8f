//! Keyed, replaceable timers with one deadline.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::time::Mono;

/// A set of timers; each key is armed at most once. For a handful of keys: one short list, no tree.
#[derive(Clone, Debug)]
pub(crate) struct Timers<K: Ord + Copy> {
    armed: Vec<(Mono, K)>,
    first: Option<Mono>,
}

impl<K: Ord + Copy> Timers<K> {
    pub(crate) const fn new() -> Timers<K> {
        Timers { armed: Vec::new(), first: None }
    }

    fn find_first(&mut self) {
        self.first = self.armed.iter().map(|(at, _)| *at).min();
    }

    /// Arms `key` for `at`, replacing an earlier arming.
    pub(crate) fn arm(&mut self, key: K, at: Mono) {
        match self.armed.iter_mut().find(|(_, k)| *k == key) {
            Some(entry) => entry.0 = at,
            None => self.armed.push((at, key)),
        }
        self.find_first();
    }

    /// Arms `key` for `at` unless it is already armed for an earlier time.
    pub(crate) fn arm_by(&mut self, key: K, at: Mono) {
        if !self.armed.iter().any(|(old, k)| *k == key && *old <= at) {
            self.arm(key, at);
        }
    }

    pub(crate) fn disarm(&mut self, key: K) {
        if let Some(i) = self.armed.iter().position(|(_, k)| *k == key) {
            self.armed.swap_remove(i);
            self.find_first();
        }
    }

    pub(crate) const fn deadline(&self) -> Option<Mono> {
        self.first
    }

    /// The next timer that has run out, earliest first; it is disarmed.
    pub(crate) fn pop_due(&mut self, now: Mono) -> Option<K> {
        if self.first? > now {
            return None;
        }
        // The smallest key among equals: the order does not depend on how the list came about.
        let i = (0..self.armed.len()).min_by_key(|i| self.armed[*i])?;
        let (_, key) = self.armed.swap_remove(i);
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
}
