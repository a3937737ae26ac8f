//! A list in order of buckets, and where each bucket lies in it.
//!
//! ```text
//!   entries:   [ bucket 7 ][ bucket 5 ][ bucket 4 ] ... [ bucket 0 ]      a bucket: who shares exactly so many bits with the node
//!              0           ends[7]     ends[5]                  ends[0]   ends[len]: how many share at least `len` bits
//! ```
//!
//! Every message asks for a bucket, and few of them change one: so the ends are kept and not sought. Within a bucket
//! the order is the owner's: contacts stand in order of distance, spares in order of arrival.

use alloc::vec::Vec;
use core::ops::Range;

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Buckets<T> {
    entries: Vec<T>,
    /// Without zeros at its end, so that equal lists have equal ends. Tables are bounded: they have a few thousand entries at most.
    ends: Vec<u16>,
}

/// How much a list grows by: doubling would leave half of it empty in each of a million nodes.
const GROWTH: usize = 8;

/// Inserts into a list that grows by little.
pub(super) fn insert<T>(list: &mut Vec<T>, at: usize, entry: T) {
    if list.len() == list.capacity() {
        list.reserve_exact(GROWTH);
    }
    list.insert(at, entry);
}

impl<T> Buckets<T> {
    pub(super) const fn new() -> Buckets<T> {
        Buckets { entries: Vec::new(), ends: Vec::new() }
    }

    /// A list that stands in order already.
    pub(super) fn from_sorted(mut entries: Vec<T>, bucket: impl Fn(&T) -> usize) -> Buckets<T> {
        entries.shrink_to_fit();
        let longest = entries.first().map_or(0, |first| bucket(first) + 1);
        let ends = (0..longest).map(|len| entries.partition_point(|e| bucket(e) >= len) as u16).collect();
        Buckets { entries, ends }
    }

    /// All entries, nearest bucket first.
    pub(super) fn all(&self) -> &[T] {
        &self.entries
    }

    /// How many buckets there are from the first to the last that is not empty.
    pub(super) fn reach(&self) -> usize {
        self.ends.len()
    }

    /// How many entries share at least `len` bits with the node.
    pub(super) fn count_within(&self, len: usize) -> usize {
        self.ends.get(len).map_or(0, |end| usize::from(*end))
    }

    /// The entries that share at least `len` bits with the node.
    pub(super) fn within(&self, len: usize) -> &[T] {
        &self.entries[..self.count_within(len)]
    }

    /// Where a bucket lies in the list.
    pub(super) fn range(&self, bucket: usize) -> Range<usize> {
        self.count_within(bucket + 1)..self.count_within(bucket)
    }

    /// How many entries a bucket has.
    pub(super) fn count(&self, bucket: usize) -> usize {
        self.range(bucket).len()
    }

    /// The entries of a bucket.
    pub(super) fn of(&self, bucket: usize) -> &[T] {
        &self.entries[self.range(bucket)]
    }

    /// The entries of a bucket, for a change that leaves them in their order.
    pub(super) fn of_mut(&mut self, bucket: usize) -> &mut [T] {
        let range = self.range(bucket);
        &mut self.entries[range]
    }

    /// Puts `entry` at the place `at` of its bucket.
    pub(super) fn insert(&mut self, bucket: usize, at: usize, entry: T) {
        let at = self.range(bucket).start + at;
        insert(&mut self.entries, at, entry);
        if self.reach() <= bucket {
            self.ends.resize(bucket + 1, 0);
        }
        for end in &mut self.ends[..=bucket] {
            *end += 1;
        }
    }

    /// Takes out what stands at the place `at` of a bucket.
    pub(super) fn remove(&mut self, bucket: usize, at: usize) -> T {
        let at = self.range(bucket).start + at;
        let entry = self.entries.remove(at);
        for end in &mut self.ends[..=bucket] {
            *end -= 1;
        }
        while self.ends.last() == Some(&0) {
            self.ends.pop();
        }
        entry
    }

    /// Whether every entry stands in its bucket.
    pub(super) fn is_in_order(&self, bucket: impl Fn(&T) -> usize) -> bool {
        (0..self.reach()).all(|b| self.of(b).iter().all(|e| bucket(e) == b))
            && self.count_within(0) == self.entries.len()
            && self.ends.last() != Some(&0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Entries are pairs of a bucket and a number, the younger after the older.
        #[test]
        fn buckets_lie_where_a_scan_finds_them(changes in prop::collection::vec((0usize..12, any::<bool>()), 0..200)) {
            let mut list = Buckets::new();
            let mut truth: Vec<(usize, usize)> = Vec::new();
            for (number, (bucket, comes)) in changes.into_iter().enumerate() {
                if comes {
                    list.insert(bucket, list.count(bucket), (bucket, number));
                    truth.push((bucket, number));
                } else if let Some(oldest) = truth.iter().position(|(b, _)| *b == bucket) {
                    prop_assert_eq!(list.remove(bucket, 0), truth.remove(oldest));
                }
                prop_assert!(list.is_in_order(|(b, _)| *b));
                let of = |b: usize| truth.iter().copied().filter(move |(c, _)| *c == b).collect::<Vec<_>>();
                for b in 0..13 {
                    prop_assert_eq!(list.of(b), of(b));
                    prop_assert_eq!(list.within(b).len(), truth.iter().filter(|(c, _)| *c >= b).count());
                }
                let sorted: Vec<_> = (0..12).rev().flat_map(of).collect();
                prop_assert_eq!(&Buckets::from_sorted(sorted, |(b, _)| *b), &list);
            }
        }
    }
}
