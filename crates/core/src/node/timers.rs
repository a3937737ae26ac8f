//! Keyed, replaceable timers with one deadline.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::time::Mono;

/// A set of timers; each key is armed at most once.
#[derive(Clone, Debug)]
pub(crate) struct Timers<K: Ord + Copy> {
    at: BTreeMap<K, Mono>,
    due: BTreeSet<(Mono, K)>,
}

impl<K: Ord + Copy> Timers<K> {
    pub(crate) const fn new() -> Timers<K> {
        Timers { at: BTreeMap::new(), due: BTreeSet::new() }
    }

    /// Arms `key` for `at`, replacing an earlier arming.
    pub(crate) fn arm(&mut self, key: K, at: Mono) {
        if let Some(old) = self.at.insert(key, at) {
            self.due.remove(&(old, key));
        }
        self.due.insert((at, key));
    }

    /// Arms `key` for `at` unless it is already armed for an earlier time.
    pub(crate) fn arm_by(&mut self, key: K, at: Mono) {
        if self.at.get(&key).is_none_or(|old| *old > at) {
            self.arm(key, at);
        }
    }

    pub(crate) fn disarm(&mut self, key: K) {
        if let Some(old) = self.at.remove(&key) {
            self.due.remove(&(old, key));
        }
    }

    pub(crate) fn deadline(&self) -> Option<Mono> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The next timer that has run out; it is disarmed.
    pub(crate) fn pop_due(&mut self, now: Mono) -> Option<K> {
        let (at, key) = *self.due.first()?;
        if at > now {
            return None;
        }
        self.due.pop_first();
        self.at.remove(&key);
        Some(key)
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
