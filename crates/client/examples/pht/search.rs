//! Which length of a key's prefix to look at next: the paper's binary search, made safe against a trie that grows meanwhile.
//!
//! ```text
//!   0 ......... low ........ high ......... longest
//!   all split          was no split node
//! ```
//!
//! A node is believed to be the leaf only if it was looked at after all above it were known to be split. What was seen of it before
//! may be too old: entries may have come down since.

/// A search for the leaf of one key.
pub(crate) struct Search {
    /// All shorter prefixes were split.
    low: u32,
    /// This one was not when it was looked at, or is not to be looked at.
    high: u32,
    longest: u32,
}

impl Search {
    /// A search among the prefixes of up to `longest` bits, of which the first `known` are known to be split.
    pub(crate) fn new(known: u32, longest: u32) -> Search {
        // Whoever knows something probably knows the leaf's parent.
        Search { low: known, high: if known > 0 { known } else { longest + 1 }, longest }
    }

    /// The length to look at next. `None` if all are split.
    pub(crate) fn probe(&self) -> Option<u32> {
        (self.low <= self.longest).then(|| self.low.midpoint(self.high))
    }

    /// What was seen at the length of the last [`Search::probe`]. Tells whether it is the leaf.
    pub(crate) fn saw(&mut self, probe: u32, is_split: bool) -> bool {
        if is_split {
            self.low = probe + 1;
            // It was whole when we looked before: the leaf is further down now.
            if self.low > self.high {
                self.high = self.longest + 1;
            }
            return false;
        }
        let leaf = probe == self.low;
        self.high = probe;
        leaf
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches while the leaf goes down from `depth` to `deeper` before look number `when`. Gives the looks that it took.
    fn search(known: u32, longest: u32, depth: u32, deeper: u32, when: u32) -> u32 {
        let (mut search, mut looks) = (Search::new(known, longest), 0);
        loop {
            let now = if looks < when { depth } else { deeper };
            let Some(probe) = search.probe() else {
                assert!(now > longest, "{known} {longest} {depth} {deeper} {when}");
                return looks;
            };
            assert!(probe <= longest && looks < 32, "{known} {longest} {depth} {deeper} {when}");
            looks += 1;
            if search.saw(probe, probe < now) {
                assert_eq!(
                    probe, now,
                    "the leaf as it was when it was looked at: {known} {depth} {deeper} {when}"
                );
                return looks;
            }
        }
    }

    #[test]
    fn the_leaf_is_found_and_is_no_memory_of_one() {
        for depth in 0..=64 {
            for (deeper, when) in (depth..=64).flat_map(|deeper| (0..12).map(move |when| (deeper, when))) {
                let looks = search(0, 64, depth, deeper, when);
                assert!(
                    looks <= if depth == deeper { 8 } else { 16 },
                    "{looks} looks: {depth} {deeper} {when}"
                );
                for known in [depth / 2, depth] {
                    search(known, 64, depth, deeper, when);
                }
            }
            assert!(depth == 0 || search(depth, 64, depth, depth, 0) == 1, "whoever knows looks once");
            for longest in 0..=depth {
                search(0, longest, depth, depth, 0);
            }
        }
    }
}
