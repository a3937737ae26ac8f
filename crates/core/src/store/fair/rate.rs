//! A rate of storage: so many bytes in so many ms, exactly.
//!
//! The rate of a real disk, C / T, is rarely a whole number of bytes a ms, and often below one. Everything that is compared with
//! it is therefore kept in units of 1/`per_ms` byte, in 128 bits; where the rate is whole the units are bytes, and decisions
//! are those of the 64-bit arithmetic of the authors.

/// Bytes in so many ms; in lowest terms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    bytes: u64,
    per_ms: u64,
}

impl Rate {
    /// Bound on the bytes, and on `per_ms` (34 years), once both have no common divisor.
    pub const BYTES_MAX: u64 = 1 << 60;
    /// See [`Rate::BYTES_MAX`].
    pub const PER_MS_MAX: u64 = 1 << 40;

    /// `bytes` in `per_ms` ms. `None` if either is 0 (without a reserve a put may wait for ever) or beyond its bound.
    #[must_use]
    pub fn new(bytes: u64, per_ms: u64) -> Option<Rate> {
        let divisor = common_divisor(bytes, per_ms).max(1);
        let (bytes, per_ms) = (bytes / divisor, per_ms / divisor);
        let in_bounds = (1..=Rate::BYTES_MAX).contains(&bytes) && (1..=Rate::PER_MS_MAX).contains(&per_ms);
        in_bounds.then_some(Rate { bytes, per_ms })
    }

    /// The bytes of the fraction in lowest terms.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The ms of the fraction in lowest terms.
    #[must_use]
    pub fn per_ms(&self) -> u64 {
        self.per_ms
    }

    /// Bytes, scaled.
    pub(super) fn scaled(&self, bytes: u64) -> u128 {
        u128::from(bytes) * u128::from(self.per_ms)
    }

    /// What is reserved in so many ms, scaled.
    pub(super) fn reserve(&self, ms: u64) -> u128 {
        u128::from(ms) * u128::from(self.bytes)
    }

    /// `bytes + rate * ms`, scaled. At most 2^104 + 2^123.
    pub(super) fn height(&self, bytes: u64, ms: u64) -> u128 {
        self.scaled(bytes) + self.reserve(ms)
    }

    /// The first ms by which so much is reserved.
    pub(super) fn time_of(&self, scaled: u128) -> u64 {
        u64::try_from(scaled.div_ceil(u128::from(self.bytes))).unwrap_or(u64::MAX)
    }

    /// What stored bytes, reserve and a new put may come to, scaled: C + B - 1 for whole rates, as the authors' simulator has
    /// it. At the last ms of the longest life the reserve has come to C - r, and one greatest put must still fit; so where r is
    /// below 1 byte a ms, r takes the place of the 1.
    pub(super) fn limit(&self, capacity_bytes: u64, put_bytes_max: u64) -> u128 {
        let most = self.scaled(capacity_bytes) + self.scaled(put_bytes_max);
        most.saturating_sub(u128::from(self.bytes.min(self.per_ms)))
    }
}

fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}
