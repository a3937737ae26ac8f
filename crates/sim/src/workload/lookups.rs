//! Lookups, each judged against the truth of the time in which it ran.
//!
//! A lookup is *failed* if it found no root, and *incorrect* if the root it found was the true one at no instant between
//! call and return. A lookup whose asker dies is not counted.

use std::collections::BTreeMap;

use keyway_core::Id;
use keyway_core::machine::{LookupAnswer, OpId};

use crate::oracle::Oracle;

/// A lookup under way.
#[derive(Debug)]
struct Asked {
    host: usize,
    target: Id,
    at: u64,
    /// Everyone who was the true root since.
    roots: Vec<usize>,
}

/// How a lookup ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It named the true root.
    Correct,
    /// It named somebody else.
    Incorrect,
    /// It named nobody.
    Failed,
}

/// An ended lookup.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What was looked up.
    pub target: Id,
    /// Right or wrong.
    pub verdict: Verdict,
    /// How long it took, in microseconds.
    pub took: u64,
}

/// All lookups under way.
#[derive(Debug, Default)]
pub struct Lookups {
    pending: BTreeMap<OpId, Asked>,
}

impl Lookups {
    /// A lookup begins.
    pub fn begin(&mut self, op: OpId, host: usize, target: Id, at: u64, oracle: &Oracle) {
        self.pending.insert(op, Asked { host, target, at, roots: oracle.roots(&target) });
    }

    /// Membership has changed: other roots are right from now on, too.
    pub fn truth_changed(&mut self, oracle: &Oracle) {
        for asked in self.pending.values_mut() {
            for root in oracle.roots(&asked.target) {
                if !asked.roots.contains(&root) {
                    asked.roots.push(root);
                }
            }
        }
    }

    /// An asker died: its lookups do not count.
    pub fn forget(&mut self, host: usize) {
        self.pending.retain(|_, asked| asked.host != host);
    }

    /// A lookup ended; `None` if it is not one of ours. `root` is the host that it named.
    pub fn end(&mut self, op: OpId, at: u64, root: Option<usize>) -> Option<Ended> {
        let asked = self.pending.remove(&op)?;
        let verdict = match root {
            None => Verdict::Failed,
            Some(host) if asked.roots.contains(&host) => Verdict::Correct,
            Some(_) => Verdict::Incorrect,
        };
        Some(Ended { target: asked.target, verdict, took: at - asked.at })
    }

    /// How many are under way.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// The names of those under way.
    pub fn pending(&self) -> impl Iterator<Item = (&OpId, usize)> {
        self.pending.iter().map(|(op, asked)| (op, asked.host))
    }
}

/// The host that an answer names as root, if there is such a host.
#[must_use]
pub fn root_of(answer: &LookupAnswer, host_at: impl Fn(keyway_core::Addr) -> Option<usize>) -> Option<usize> {
    host_at(answer.peers.first()?.addr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_root_of_its_time_is_right() {
        let mut oracle = Oracle::new("");
        oracle.joined(Id::from_u64(10), 0);
        oracle.joined(Id::from_u64(20), 1);
        let mut lookups = Lookups::default();
        for op in 0..4 {
            lookups.begin(OpId(op), 0, Id::from_u64(15), 100, &oracle);
        }
        oracle.joined(Id::from_u64(17), 2);
        lookups.truth_changed(&oracle);
        let verdict = |l: &mut Lookups, op, root| l.end(OpId(op), 150, root).map(|e| e.verdict);
        assert_eq!(verdict(&mut lookups, 0, Some(1)), Some(Verdict::Correct));
        assert_eq!(verdict(&mut lookups, 1, Some(2)), Some(Verdict::Correct));
        assert_eq!(verdict(&mut lookups, 2, Some(0)), Some(Verdict::Incorrect));
        assert_eq!(verdict(&mut lookups, 3, None), Some(Verdict::Failed));
        assert_eq!(verdict(&mut lookups, 3, None), None);
    }

    #[test]
    fn a_dead_asker_asks_nothing() {
        let mut oracle = Oracle::new("");
        oracle.joined(Id::from_u64(10), 0);
        let mut lookups = Lookups::default();
        lookups.begin(OpId(1), 0, Id::from_u64(15), 100, &oracle);
        lookups.forget(0);
        assert_eq!(lookups.pending_count(), 0);
    }
}
