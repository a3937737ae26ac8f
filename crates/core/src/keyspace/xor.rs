//! The XOR geometry of 160-bit ids (Maymounkov & Mazieres, IPTPS 2002, section 2.1): a binary tree of prefixes.
//!
//! The distance of two ids is their exclusive or, read as a number. So of two members the one that shares the longer prefix
//! with a key is nearer to it; and all ids at a distance in `[2^i, 2^(i+1))` from a node form one subtree, its *bucket*.
//!
//! ```text
//!   node 0011.., key 0110..              ┌───────┴───────┐
//!                                     0──┴──1         (bucket 0)
//!                               (me) 00   (bucket 1)          buckets are numbered from the root of the tree: the
//!                                  ┌──┴──┐                    paper's index is 159 - ours
//!                            (bucket 2)  001.. me
//! ```
//!
//! **Rank.** A key in an *empty* subtree belongs to the members on the other side of the fork, and there pure XOR compares them
//! by the key's own lower bits: the keys of one member are mirrored into the empty half, in as many pieces as there are
//! subtrees at the depth where members differ. Two members that share forty bits cut it into 2^40 pieces, so a node could not
//! list the arcs that it keeps copies for. [`rank`] is the XOR distance to a resolution of [`RESOLUTION_BITS`] bits below the
//! fork; members that are alike that far are ordered by their ids. It never prefers a member with a shorter common prefix,
//! and differs from XOR only between members that share more than so many bits beyond the fork.

use crate::id::{ID_BITS, ID_BYTES, Id};
use crate::keyspace::Arc;

/// Bits of a key that are heeded below the point where it parts from the members that are compared: an empty subtree is cut
/// into at most 2^4 pieces.
pub const RESOLUTION_BITS: usize = 4;

/// The XOR distance (section 2.1): symmetric, zero only for equal ids, and it obeys the triangle inequality.
#[must_use]
pub fn distance(a: &Id, b: &Id) -> Id {
    a.xor(b)
}

/// Length of the common prefix in bits, 0 ..= 160.
#[must_use]
pub fn common(a: &Id, b: &Id) -> usize {
    a.xor(b).leading_zeros() as usize
}

/// The bucket of `other` seen from `me`: the bit in which they first differ. None for `me` itself.
#[must_use]
pub fn bucket(me: &Id, other: &Id) -> Option<usize> {
    Some(common(me, other)).filter(|at| *at < ID_BITS)
}

/// Bit `at` of an id, counted from the most significant.
#[must_use]
pub const fn bit(id: &Id, at: usize) -> bool {
    at < ID_BITS && id.0[at / 8] & (0x80 >> (at % 8)) != 0
}

/// `high` down to bit `len`, exclusive, and `low` from there on.
#[must_use]
fn spliced(high: &Id, low: &Id, len: usize) -> Id {
    let mut id = *low;
    let whole = (len / 8).min(ID_BYTES);
    id.0[..whole].copy_from_slice(&high.0[..whole]);
    if whole < ID_BYTES {
        let mask = !(0xff_u8 >> (len % 8));
        id.0[whole] = high.0[whole] & mask | low.0[whole] & !mask;
    }
    id
}

/// Where `member` stands among all members as a holder of `key`: smaller is nearer. No two members have one rank.
#[must_use]
pub fn rank(key: &Id, member: &Id) -> Id {
    let distance = key.xor(member);
    let heeded = distance.leading_zeros() as usize + 1 + RESOLUTION_BITS;
    if heeded >= ID_BITS { distance } else { spliced(&distance, member, heeded) }
}

/// The bit of `key` that decides between members which first differ in bit `at`, when the key parts from them in bit `fork`.
#[must_use]
pub const fn deciding_bit(key: &Id, fork: usize, at: usize) -> bool {
    at <= fork + RESOLUTION_BITS && bit(key, at)
}

/// All ids with one prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subtree {
    first: Id,
    len: u8,
}

impl Subtree {
    /// The whole key space.
    pub const ALL: Subtree = Subtree { first: Id::ZERO, len: 0 };

    /// The subtree of all ids that share their first `len` bits with `id`.
    #[must_use]
    pub fn around(id: &Id, len: usize) -> Subtree {
        let len = len.min(ID_BITS);
        Subtree { first: spliced(id, &Id::ZERO, len), len: len as u8 }
    }

    /// The subtree of bucket `bucket` of `me`: ids that share so many bits and differ in the next.
    #[must_use]
    pub fn of_bucket(me: &Id, bucket: usize) -> Subtree {
        Subtree::around(&me.xor(&Id::pow2(ID_BITS - 1 - bucket.min(ID_BITS - 1))), bucket + 1)
    }

    /// Bits of the prefix.
    #[must_use]
    pub const fn prefix_len(&self) -> usize {
        self.len as usize
    }

    /// The smallest id in it.
    #[must_use]
    pub const fn first(&self) -> Id {
        self.first
    }

    /// The greatest id in it.
    #[must_use]
    pub fn last(&self) -> Id {
        spliced(&self.first, &Id::MAX, self.prefix_len())
    }

    /// Whether `id` is in it.
    #[must_use]
    pub fn contains(&self, id: &Id) -> bool {
        common(&self.first, id) >= self.prefix_len()
    }

    /// The same ids as an arc of the ring.
    #[must_use]
    pub fn arc(&self) -> Arc {
        Arc::new(self.first.prev(), self.last())
    }

    /// Its two halves, the smaller ids first; itself twice if it is a single id.
    #[must_use]
    pub fn halves(&self) -> (Subtree, Subtree) {
        let len = self.prefix_len();
        if len == ID_BITS {
            return (*self, *self);
        }
        let high = self.first.xor(&Id::pow2(ID_BITS - 1 - len));
        (Subtree { first: self.first, len: self.len + 1 }, Subtree { first: high, len: self.len + 1 })
    }

    /// The id in it whose lower bits are those of `low`: a random one for a random `low`.
    #[must_use]
    pub fn fill(&self, low: &Id) -> Id {
        spliced(&self.first, low, self.prefix_len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// An id of which only the top eight bits vary: small enough for full scans.
    fn small(byte: u8) -> Id {
        let mut id = Id::ZERO;
        id.0[0] = byte;
        id
    }

    #[test]
    fn distance_is_a_metric_and_unidirectional() {
        for (a, b) in (0..=255u8).step_by(7).flat_map(|a| (0..=255u8).map(move |b| (small(a), small(b)))) {
            assert_eq!(distance(&a, &b), distance(&b, &a), "symmetric");
            assert_eq!(distance(&a, &b) == Id::ZERO, a == b);
            for c in (0..=255u8).step_by(11).map(small) {
                // d(a,c) <= d(a,b) + d(b,c): section 2.1. Small ids do not overflow into the carry: halve both first.
                let half = |d: Id| u16::from(d.0[0]);
                assert!(half(distance(&a, &c)) <= half(distance(&a, &b)) + half(distance(&b, &c)));
            }
            // For any x and distance there is exactly one y.
            assert_eq!(b.xor(&distance(&a, &b)), a);
        }
    }

    #[test]
    fn buckets_are_the_distances_from_one_power_of_two_to_the_next() {
        for (a, b) in (0..=255u8).flat_map(|a| (0..=255u8).map(move |b| (a, b))).filter(|(a, b)| a != b) {
            let i = bucket(&small(a), &small(b)).unwrap();
            let d = distance(&small(a), &small(b));
            let paper = ID_BITS - 1 - i;
            assert!(Id::pow2(paper) <= d && (paper + 1 == ID_BITS || d < Id::pow2(paper + 1)));
            assert!(Subtree::of_bucket(&small(a), i).contains(&small(b)));
            assert!(!Subtree::of_bucket(&small(a), i).contains(&small(a)));
        }
        assert_eq!(bucket(&Id::ZERO, &Id::ZERO), None);
        assert_eq!(bucket(&Id::ZERO, &Id::from_u64(1)), Some(159));
    }

    #[test]
    fn a_subtree_is_an_interval_and_its_halves_are_it() {
        for len in 0..=8 {
            for byte in 0..=255u8 {
                let tree = Subtree::around(&small(byte), len);
                let inside = |id: &Id| tree.first() <= *id && *id <= tree.last();
                for x in (0..=255u8).map(small) {
                    assert_eq!(tree.contains(&x), inside(&x));
                    assert_eq!(tree.contains(&x), tree.arc().contains(&x));
                    let (low, high) = tree.halves();
                    assert_eq!(tree.contains(&x), low.contains(&x) || high.contains(&x));
                    assert!(!(low.contains(&x) && high.contains(&x)));
                }
            }
        }
        assert!(Subtree::ALL.arc().is_full());
        let one = Subtree::around(&Id::MAX, ID_BITS);
        assert_eq!((one.first(), one.last(), one.halves()), (Id::MAX, Id::MAX, (one, one)));
    }

    #[test]
    fn rank_is_xor_to_the_resolution_on_every_set_of_small_ids() {
        // Members of five bits: never more than four bits below a fork, so rank and distance order them alike.
        let members: Vec<Id> = (0..32u8).map(|m| small(m << 3)).collect();
        for key in (0..=255u8).map(small) {
            let mut by_rank = members.clone();
            let mut by_distance = members.clone();
            by_rank.sort_by_key(|m| rank(&key, m));
            by_distance.sort_by_key(|m| distance(&key, m));
            assert_eq!(by_rank, by_distance, "{key:?}");
        }
    }

    proptest! {
        #[test]
        fn rank_prefers_the_longer_common_prefix_and_tells_members_apart(k: [u8; 20], a: [u8; 20], b: [u8; 20], n in 0usize..160) {
            let (k, a) = (Id(k), Id(a));
            let b = spliced(&a, &Id(b), n);
            prop_assert_eq!(rank(&k, &a) == rank(&k, &b), a == b);
            let (ca, cb) = (common(&k, &a), common(&k, &b));
            if ca > cb {
                prop_assert!(rank(&k, &a) < rank(&k, &b));
            }
            if a != b && ca == cb {
                // They first differ in bit `at`, beyond the fork: that bit of the key decides, or, too far down, their ids.
                let at = common(&a, &b);
                let want = deciding_bit(&k, ca, at);
                prop_assert_eq!(rank(&k, &a) < rank(&k, &b), bit(&a, at) == want);
            }
            if common(&a, &b) <= ca.min(cb) + RESOLUTION_BITS && a != b {
                prop_assert_eq!(rank(&k, &a) < rank(&k, &b), distance(&k, &a) < distance(&k, &b));
            }
        }

        #[test]
        fn subtrees_hold_what_shares_their_prefix(a: [u8; 20], b: [u8; 20], n in 0usize..=160) {
            let tree = Subtree::around(&Id(a), n);
            prop_assert_eq!(tree.contains(&Id(b)), common(&Id(a), &Id(b)) >= n);
            prop_assert_eq!(tree.arc().contains(&Id(b)), tree.contains(&Id(b)));
            prop_assert!(tree.contains(&tree.fill(&Id(b))));
            if n < 160 {
                let other = Subtree::of_bucket(&Id(a), n);
                prop_assert_eq!(other.contains(&Id(b)), bucket(&Id(a), &Id(b)) == Some(n));
            }
        }
    }
}
