//! Seeded random streams with independent forks.
//!
//! A stream forked under a label does not depend on how much was drawn from its siblings, so adding a draw in one
//! place does not reshuffle another world. The generator is ChaCha8: its output is frozen by the golden test below,
//! and the next output cannot be guessed from earlier ones (request ids rest on that).

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use sha2::{Digest, Sha256};

use crate::id::{ID_BYTES, Id};
use crate::time::Duration;

/// A seed for a node or a world: 256 bits. A node in production takes it from the operating system.
pub type Seed = [u8; 32];

/// A random stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng {
    stream: ChaCha8Rng,
}

impl Rng {
    /// The stream of a full seed.
    #[must_use]
    pub fn new(seed: Seed) -> Rng {
        Rng { stream: ChaCha8Rng::from_seed(seed) }
    }

    /// The stream of a small number, as typed by people: `--seed 7`.
    #[must_use]
    pub fn from_u64(seed: u64) -> Rng {
        Rng::new(Sha256::digest(seed.to_be_bytes()).into())
    }

    /// An independent stream named by `label` and `index`. Depends only on this stream's seed, not on its position.
    #[must_use]
    pub fn fork(&self, label: &str, index: u64) -> Rng {
        let mut h = Sha256::new();
        h.update(self.stream.get_seed());
        h.update(label.as_bytes());
        h.update([0]);
        h.update(index.to_be_bytes());
        Rng::new(h.finalize().into())
    }

    /// The seed that [`Rng::fork`] would use, for handing to a machine.
    #[must_use]
    pub fn fork_seed(&self, label: &str, index: u64) -> Seed {
        self.fork(label, index).stream.get_seed()
    }

    /// Uniform over all `u64`.
    pub fn next_u64(&mut self) -> u64 {
        self.stream.next_u64()
    }

    /// Uniform in `0 .. n`; 0 if `n` is 0. Bias below 2^-32 for n < 2^32 (multiply-shift over 64 bits).
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// Uniform in `lo ..= hi`.
    pub fn between(&mut self, lo: u64, hi: u64) -> u64 {
        lo + self.below(hi.saturating_sub(lo).saturating_add(1))
    }

    /// Uniform in `[0, 1)` with 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Uniform over all ids.
    pub fn id(&mut self) -> Id {
        let mut bytes = [0; ID_BYTES];
        self.stream.fill_bytes(&mut bytes);
        Id(bytes)
    }

    /// `mean` spread uniformly over plus or minus a quarter, so that nodes started together do not stay in step.
    pub fn jitter(&mut self, mean: Duration) -> Duration {
        let quarter = mean.0 / 4;
        Duration(self.between(mean.0 - quarter, mean.0 + quarter))
    }

    /// An index into a list of `len` entries, `None` if it is empty.
    pub fn index(&mut self, len: usize) -> Option<usize> {
        (len > 0).then(|| self.below(len as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_frozen() {
        // Golden: a change here changes every world ever recorded.
        let mut r = Rng::from_u64(1);
        let first = [r.next_u64(), r.next_u64()];
        let mut f = Rng::from_u64(1).fork("node", 3);
        assert_eq!((first, f.next_u64()), GOLDEN);
    }
    const GOLDEN: ([u64; 2], u64) =
        ([11_624_693_003_833_616_717, 17_046_300_880_510_596_086], 8_855_502_511_650_742_132);

    #[test]
    fn forks_do_not_depend_on_position() {
        let mut a = Rng::from_u64(9);
        let fresh = a.fork("x", 0).next_u64();
        a.next_u64();
        assert_eq!(a.fork("x", 0).next_u64(), fresh);
        assert_ne!(a.fork("x", 1).next_u64(), fresh);
    }

    #[test]
    fn draws_stay_in_range() {
        let mut r = Rng::from_u64(2);
        for _ in 0..10_000 {
            assert!(r.below(7) < 7);
            assert!((3..=5).contains(&r.between(3, 5)));
            let j = r.jitter(Duration(1000)).0;
            assert!((750..=1250).contains(&j));
        }
        assert_eq!(r.below(0), 0);
        assert_eq!(r.index(0), None);
    }
}
