//! Fixed lengths of bytes, written as hex: public keys, nonces, signatures.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::failure::ClientError;

/// `N` bytes, written as `2 N` lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex<const N: usize>(pub [u8; N]);

/// An Ed25519 public key.
pub type PublicKey = Hex<32>;
/// A signer's name: SHA-256 of its public key.
pub type Authenticator = Hex<32>;
/// What tells signed values of one key and content apart, or names a series.
pub type Nonce = Hex<32>;
/// An Ed25519 signature.
pub type SignatureBytes = Hex<64>;

impl Hex<32> {
    /// SHA-256 of `bytes`.
    #[must_use]
    pub fn sha256(bytes: &[u8]) -> Hex<32> {
        Hex(Sha256::digest(bytes).into())
    }

    /// From the system's source of randomness.
    ///
    /// # Errors
    /// [`ClientError::Usage`] when the system has none to give.
    pub fn random() -> Result<Hex<32>, ClientError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)
            .map_err(|why| ClientError::Usage(format!("the system gives no randomness: {why}")))?;
        Ok(Hex(bytes))
    }

    /// The nonce of the series with this name: SHA-256 of `keyway series 1` and the name. Everybody who knows the name
    /// comes to the same.
    #[must_use]
    pub fn series(name: &str) -> Nonce {
        let hash = Sha256::new().chain_update(b"keyway series 1").chain_update(name.as_bytes());
        Hex(hash.finalize().into())
    }
}

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> FromStr for Hex<N> {
    type Err = ClientError;
    fn from_str(digits: &str) -> Result<Hex<N>, ClientError> {
        // Says nothing of what was read: it may be a private key.
        let wrong = || ClientError::Usage(format!("{} hex digits were expected", 2 * N));
        if digits.len() != 2 * N {
            return Err(wrong());
        }
        let mut bytes = [0; N];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let nibble = |c: u8| char::from(c).to_digit(16);
            let (Some(high), Some(low)) = (nibble(pair[0]), nibble(pair[1])) else { return Err(wrong()) };
            *byte = (high * 16 + low) as u8;
        }
        Ok(Hex(bytes))
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Hex<N>, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}
