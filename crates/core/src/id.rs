//! 160-bit identifiers: of nodes, and of keys; and the 64-bit name of a network.
//!
//! A text key is the SHA-1 of its bytes, in every interface alike (DESIGN section 6), so that a `put` over XML-RPC
//! and one over the command line speak of the same key. SHA-1 only *places* names here; nothing rests on its
//! collision resistance.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;
use sha1::{Digest, Sha1};

/// Length of an [`Id`] in bytes.
pub const ID_BYTES: usize = 20;
/// Length of an [`Id`] in bits, the `m` of the Chord papers.
pub const ID_BITS: usize = 160;

/// The random name of a network. Two networks never merge by accident: frames of another are refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NetworkId(pub u64);

impl NetworkId {
    /// Not known yet: a joiner says so until its seed has told it.
    pub const UNKNOWN: NetworkId = NetworkId(0);
}

/// A point of the key space: 160 bits, most significant byte first. `Ord` is the numeric order.
#[derive(Clone, Copy, Eq, Default)]
pub struct Id(pub [u8; ID_BYTES]);

impl PartialEq for Id {
    // In registers.
    #[inline]
    fn eq(&self, other: &Id) -> bool {
        self.limbs() == other.limbs()
    }
}

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Id {
    /// The smallest id.
    pub const ZERO: Id = Id([0; ID_BYTES]);
    /// The greatest id.
    pub const MAX: Id = Id([0xff; ID_BYTES]);

    /// The key that a text names: its SHA-1.
    #[must_use]
    pub fn of_text(text: &str) -> Id {
        Id::sha1(text.as_bytes())
    }

    /// SHA-1 of `bytes` as an id.
    #[must_use]
    pub fn sha1(bytes: &[u8]) -> Id {
        Id(Sha1::digest(bytes).into())
    }

    /// An id from at most 20 bytes read as one unsigned number: shorter input is padded with zeros on the left, as the
    /// gateway of 2005 did (`opendht` limits, section 1.2). `None` if there are more than 20 bytes.
    #[must_use]
    pub fn from_bytes_padded(bytes: &[u8]) -> Option<Id> {
        let pad = ID_BYTES.checked_sub(bytes.len())?;
        let mut id = [0; ID_BYTES];
        id[pad..].copy_from_slice(bytes);
        Some(Id(id))
    }

    /// The id whose low 64 bits are `n`: for tests and hand-checkable rings.
    #[must_use]
    pub const fn from_u64(n: u64) -> Id {
        let mut id = [0; ID_BYTES];
        let b = n.to_be_bytes();
        let mut i = 0;
        while i < 8 {
            id[12 + i] = b[i];
            i += 1;
        }
        Id(id)
    }

    /// `2^k`, for `k < 160`; zero above.
    #[must_use]
    pub const fn pow2(k: usize) -> Id {
        let mut id = [0; ID_BYTES];
        if k < ID_BITS {
            id[ID_BYTES - 1 - k / 8] = 1 << (k % 8);
        }
        Id(id)
    }

    /// The bytes, most significant first.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; ID_BYTES] {
        &self.0
    }

    /// Both ends of it in one word, to tell ids apart at a glance. Two that differ may share it.
    #[inline]
    pub(crate) fn fold(&self) -> u64 {
        let (hi, lo) = self.limbs();
        (hi >> 64) as u64 ^ u64::from(lo)
    }

    #[inline]
    fn limbs(&self) -> (u128, u32) {
        let mut hi = [0u8; 16];
        let mut lo = [0u8; 4];
        hi.copy_from_slice(&self.0[..16]);
        lo.copy_from_slice(&self.0[16..]);
        (u128::from_be_bytes(hi), u32::from_be_bytes(lo))
    }

    #[inline]
    fn from_limbs(hi: u128, lo: u32) -> Id {
        let mut id = [0; ID_BYTES];
        id[..16].copy_from_slice(&hi.to_be_bytes());
        id[16..].copy_from_slice(&lo.to_be_bytes());
        Id(id)
    }

    /// `self + other` modulo 2^160.
    #[must_use]
    #[inline]
    pub fn wrapping_add(&self, other: &Id) -> Id {
        let ((ah, al), (bh, bl)) = (self.limbs(), other.limbs());
        let (lo, carry) = al.overflowing_add(bl);
        Id::from_limbs(ah.wrapping_add(bh).wrapping_add(u128::from(carry)), lo)
    }

    /// `self - other` modulo 2^160: the clockwise distance from `other` to `self` on the ring.
    #[must_use]
    #[inline]
    pub fn wrapping_sub(&self, other: &Id) -> Id {
        let ((ah, al), (bh, bl)) = (self.limbs(), other.limbs());
        let (lo, borrow) = al.overflowing_sub(bl);
        Id::from_limbs(ah.wrapping_sub(bh).wrapping_sub(u128::from(borrow)), lo)
    }

    /// Bitwise exclusive or: the metric of Kademlia.
    #[must_use]
    #[inline]
    pub fn xor(&self, other: &Id) -> Id {
        let ((ah, al), (bh, bl)) = (self.limbs(), other.limbs());
        Id::from_limbs(ah ^ bh, al ^ bl)
    }

    /// Number of leading zero bits, 0 ..= 160.
    #[must_use]
    #[inline]
    pub fn leading_zeros(&self) -> u32 {
        let (hi, lo) = self.limbs();
        if hi == 0 { 128 + lo.leading_zeros() } else { hi.leading_zeros() }
    }

    /// The next id clockwise.
    #[must_use]
    #[inline]
    pub fn next(&self) -> Id {
        self.wrapping_add(&Id::from_u64(1))
    }

    /// The next id counter-clockwise.
    #[must_use]
    #[inline]
    pub fn prev(&self) -> Id {
        self.wrapping_sub(&Id::from_u64(1))
    }
}

impl Ord for Id {
    // As numbers in registers: ids are compared in every table look-up.
    #[inline]
    fn cmp(&self, other: &Id) -> core::cmp::Ordering {
        self.limbs().cmp(&other.limbs())
    }
}

impl PartialOrd for Id {
    #[inline]
    fn partial_cmp(&self, other: &Id) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `{:.8}` prints a prefix, as people name nodes.
        let digits = f.precision().unwrap_or(2 * ID_BYTES);
        for (i, b) in self.0.iter().enumerate() {
            if 2 * i + 1 < digits {
                write!(f, "{b:02x}")?;
            } else if 2 * i < digits {
                write!(f, "{:x}", b >> 4)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:.8}")
    }
}

/// Why a text is not an [`Id`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an id is 40 hexadecimal digits")]
pub struct ParseIdError;

impl FromStr for Id {
    type Err = ParseIdError;

    fn from_str(s: &str) -> Result<Id, ParseIdError> {
        let s = s.as_bytes();
        if s.len() != 2 * ID_BYTES {
            return Err(ParseIdError);
        }
        let digit = |c: u8| (c as char).to_digit(16).map(|d| d as u8).ok_or(ParseIdError);
        let mut id = [0; ID_BYTES];
        for (byte, pair) in id.iter_mut().zip(s.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Id(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;

    #[test]
    fn a_text_key_is_its_sha1() {
        assert_eq!(format!("{}", Id::of_text("colors")), "f8bd696759805b9098f9e13be67d2b248c7619d0");
    }

    proptest! {
        #[test]
        fn add_and_sub_are_inverse(a: [u8; 20], b: [u8; 20]) {
            let (a, b) = (Id(a), Id(b));
            prop_assert_eq!(a.wrapping_add(&b).wrapping_sub(&b), a);
            prop_assert_eq!(a.xor(&b).xor(&b), a);
        }

        #[test]
        fn hex_round_trips(a: [u8; 20]) {
            prop_assert_eq!(format!("{}", Id(a)).parse::<Id>(), Ok(Id(a)));
        }
    }

    #[test]
    fn carries_cross_the_limbs() {
        assert_eq!(Id::MAX.next(), Id::ZERO);
        assert_eq!(Id::ZERO.prev(), Id::MAX);
        assert_eq!(Id::pow2(32).prev(), Id::from_u64(0xffff_ffff));
        assert_eq!(Id::pow2(159).leading_zeros(), 0);
        assert_eq!(Id::from_u64(1).leading_zeros(), 159);
        assert_eq!(Id::ZERO.leading_zeros(), 160);
    }

    #[test]
    fn short_keys_are_padded_on_the_left() {
        assert_eq!(Id::from_bytes_padded(&[7]), Some(Id::from_u64(7)));
        assert_eq!(Id::from_bytes_padded(&[0; 21]), None);
    }
}
