//! Values read lately, within a bound on bytes.
//!
//! Second chance (the clock): a hit only marks its entry, so a cached read is one search without any reordering; when room
//! is needed the oldest entry goes, unless it was marked, which gives it another round.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::vec::Vec;

use super::record::Identity;
use crate::overlay::Violation;

/// What an entry costs beside its value.
const OVERHEAD_BYTES: usize = 160;
/// A value that would take more than this part of the cache is not kept.
const SHARE_MAX: usize = 8;

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    /// Read since the hand last passed.
    marked: bool,
    /// Which place in the round is this entry's: a value that left and came back has an older place still standing.
    round: u64,
}

/// A bounded cache of values.
#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: BTreeMap<Identity, Entry>,
    /// The clock: next to go first.
    hand: VecDeque<(u64, Identity)>,
    bytes: usize,
    rounds: u64,
}

fn cost(value: &[u8]) -> usize {
    value.len() + OVERHEAD_BYTES
}

impl Cache {
    /// The value, if it is here.
    pub(super) fn get(&mut self, identity: &Identity) -> Option<&[u8]> {
        let entry = self.entries.get_mut(identity)?;
        entry.marked = true;
        Some(&entry.value)
    }

    /// Keeps a value, at the cost of older ones.
    pub(super) fn keep(&mut self, identity: Identity, value: &[u8], bytes_max: usize) {
        if cost(value) > bytes_max / SHARE_MAX || self.entries.contains_key(&identity) {
            return;
        }
        while self.bytes + cost(value) > bytes_max {
            let Some((round, oldest)) = self.hand.pop_front() else { break };
            match self.entries.get_mut(&oldest) {
                Some(entry) if entry.round == round && entry.marked => {
                    entry.marked = false;
                    self.hand.push_back((round, oldest));
                }
                Some(entry) if entry.round == round => self.forget(&oldest),
                _ => {}
            }
        }
        self.rounds += 1;
        self.bytes += cost(value);
        self.hand.push_back((self.rounds, identity));
        self.entries.insert(identity, Entry { value: value.to_vec(), marked: false, round: self.rounds });
        self.sweep();
    }

    /// Drops a value.
    pub(super) fn forget(&mut self, identity: &Identity) {
        if let Some(entry) = self.entries.remove(identity) {
            self.bytes -= cost(&entry.value);
        }
    }

    /// Places of entries that are gone must not outgrow those that stand.
    fn sweep(&mut self) {
        if self.hand.len() > 2 * self.entries.len() + 16 {
            let entries = &self.entries;
            self.hand.retain(|(round, identity)| entries.get(identity).is_some_and(|e| e.round == *round));
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn check(&self, bytes_max: usize) -> Result<(), Violation> {
        let bytes: usize = self.entries.values().map(|entry| cost(&entry.value)).sum();
        if bytes != self.bytes || bytes > bytes_max || self.hand.len() < self.entries.len() {
            let seen = format!("{bytes} bytes, {} counted, {bytes_max} allowed", self.bytes);
            return Err(Violation::new("store.cache", seen));
        }
        Ok(())
    }
}
