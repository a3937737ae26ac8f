//! Secrets and signatures: what gives somebody alone the right to remove or to follow up a value.
//!
//! A signature (Ed25519) covers one unambiguous text, which docs/protocol.md draws; integers are big-endian:
//!
//! ```text
//!   "keyway signed record 1" | kind 1 | network 8 | key len 4, key 20 | content len 4, content
//!   | nonce len 4, nonce 32 | seq 8 | expires s 8 | public key 32
//! ```
//!
//! This crate builds that text itself, since it depends on no other of the workspace; golden signatures in the document, which
//! both sides' tests read, hold the two together.

use std::fmt;

use bytes::Bytes;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::failure::ClientError;
use crate::hex::{Authenticator, Hex, Nonce, PublicKey, SignatureBytes};
use crate::key::{KEY_BYTES, Key};

/// Longest secret.
pub const SECRET_BYTES_MAX: usize = 40;
/// What a signed text begins with.
const DOMAIN: &[u8] = b"keyway signed record 1";
/// What a key file begins with.
const FILE_MARK: &str = "keyway-signing-key-1";

/// What lets whoever knows it remove a plain value. Wiped from memory when dropped; never shown.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// A secret of 1 to 40 bytes.
    ///
    /// # Errors
    /// [`ClientError::Usage`] for any other length.
    pub fn new(bytes: Vec<u8>) -> Result<Secret, ClientError> {
        let bytes = Zeroizing::new(bytes);
        if (1..=SECRET_BYTES_MAX).contains(&bytes.len()) {
            return Ok(Secret(bytes));
        }
        let length = bytes.len();
        Err(ClientError::Usage(format!("a secret has 1 to {SECRET_BYTES_MAX} bytes; this one has {length}")))
    }

    /// Its SHA-1, which a put names; it says nothing about the secret if that cannot be guessed.
    #[must_use]
    pub fn hash(&self) -> Key {
        Key::hash(&self.0)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What a signed record is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignedKind {
    /// A value under its signer's name.
    Signed,
    /// The removal of one.
    SignedRemove,
    /// The latest value of a series.
    Sequenced,
    /// The end of a series, until a greater number begins it anew.
    SequencedRemove,
}

impl SignedKind {
    /// Its number in what is signed.
    const fn number(self) -> u8 {
        match self {
            SignedKind::Signed => 3,
            SignedKind::SignedRemove => 4,
            SignedKind::Sequenced => 5,
            SignedKind::SequencedRemove => 6,
        }
    }
}

/// What is to be signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    pub(crate) kind: SignedKind,
    pub(crate) key: Key,
    /// The value; of a signed remove the SHA-256 of the value that it removes; of a sequenced remove nothing.
    pub(crate) content: Bytes,
    pub(crate) nonce: Nonce,
    pub(crate) seq: u64,
    pub(crate) expires_unix_seconds: u64,
}

impl Claim {
    /// A value under its signer's name, until `expires_unix_seconds`. The nonce is random ([`Nonce::random`]); the same value
    /// under the same nonce is the same record, whose life is the longer one.
    #[must_use]
    pub fn value(key: Key, value: Bytes, nonce: Nonce, expires_unix_seconds: u64) -> Claim {
        Claim { kind: SignedKind::Signed, key, content: value, nonce, seq: 0, expires_unix_seconds }
    }

    /// The removal of the value with this SHA-256 that was signed under this nonce. It must stand at least as long as that
    /// would live.
    #[must_use]
    pub fn removal(key: Key, value_sha256: Hex<32>, nonce: Nonce, expires_unix_seconds: u64) -> Claim {
        let content = Bytes::copy_from_slice(&value_sha256.0);
        Claim { kind: SignedKind::SignedRemove, key, content, nonce, seq: 0, expires_unix_seconds }
    }

    /// Number `seq` (from 1) of a series: it takes the place of all before it. It must live at least as long as those.
    #[must_use]
    pub fn next(key: Key, value: Bytes, series: Nonce, seq: u64, expires_unix_seconds: u64) -> Claim {
        Claim { kind: SignedKind::Sequenced, key, content: value, nonce: series, seq, expires_unix_seconds }
    }

    /// The end of a series, as its number `seq`.
    #[must_use]
    pub fn end(key: Key, series: Nonce, seq: u64, expires_unix_seconds: u64) -> Claim {
        let (kind, content) = (SignedKind::SequencedRemove, Bytes::new());
        Claim { kind, key, content, nonce: series, seq, expires_unix_seconds }
    }

    /// The text that is signed.
    fn text(&self, network: u64, public_key: &PublicKey) -> Vec<u8> {
        let mut text = Vec::with_capacity(160 + self.content.len());
        text.extend_from_slice(DOMAIN);
        text.push(self.kind.number());
        text.extend_from_slice(&network.to_be_bytes());
        for part in [&self.key.0[..], &self.content, &self.nonce.0] {
            // Longer than any record: no node would take it, and the gateway refuses it by its length.
            text.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            text.extend_from_slice(part);
        }
        text.extend_from_slice(&self.seq.to_be_bytes());
        text.extend_from_slice(&self.expires_unix_seconds.to_be_bytes());
        text.extend_from_slice(&public_key.0);
        text
    }

    /// Its name among its signer's values of the key.
    pub(crate) fn name(&self) -> Key {
        let hash = Sha256::new();
        let hash = match self.kind {
            SignedKind::Signed => {
                hash.chain_update(b"keyway signed value 1").chain_update(Sha256::digest(&self.content))
            }
            SignedKind::SignedRemove => {
                hash.chain_update(b"keyway signed value 1").chain_update(&self.content)
            }
            SignedKind::Sequenced | SignedKind::SequencedRemove => {
                hash.chain_update(b"keyway sequenced value 1")
            }
        };
        let hash: [u8; 32] = hash.chain_update(self.nonce.0).finalize().into();
        first_of(&hash)
    }

    /// Whether `proof` is its signer's word for exactly this, in this network.
    #[must_use]
    pub fn is_proven_by(&self, network: u64, proof: &Proof) -> bool {
        let signature = Signature::from_bytes(&proof.signature.0);
        let text = self.text(network, &proof.public_key);
        (self.nonce, self.expires_unix_seconds) == (proof.nonce, proof.expires_unix_seconds)
            && VerifyingKey::from_bytes(&proof.public_key.0)
                .is_ok_and(|key| key.verify_strict(&text, &signature).is_ok())
    }
}

/// The first 160 bits of a hash.
pub(crate) fn first_of(hash: &[u8; 32]) -> Key {
    let mut key = [0; KEY_BYTES];
    key.copy_from_slice(&hash[..KEY_BYTES]);
    Key(key)
}

/// Who signed a value, and until when it lives.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Proof {
    /// The signer's key.
    pub public_key: PublicKey,
    /// What the signer chose to tell it from others; of a series, its name.
    pub nonce: Nonce,
    /// When its life ends.
    pub expires_unix_seconds: u64,
    /// Over all that it is about.
    pub signature: SignatureBytes,
}

/// A private key. Wiped from memory when dropped; never shown but by [`Signer::to_text`].
#[derive(Clone)]
pub struct Signer(SigningKey);

impl Signer {
    /// A new one.
    ///
    /// # Errors
    /// [`ClientError::Usage`] when the system gives no randomness.
    pub fn generate() -> Result<Signer, ClientError> {
        Ok(Signer::from_seed(&Zeroizing::new(Hex::random()?.0)))
    }

    /// The one with this seed (RFC 8032: the 32 bytes of a private key).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Signer {
        Signer(SigningKey::from_bytes(seed))
    }

    /// From the text of a key file.
    ///
    /// # Errors
    /// [`ClientError::Usage`] when it is none. What it says instead is not shown: it may be somebody's secret.
    pub fn from_text(text: &str) -> Result<Signer, ClientError> {
        let digits = text.trim().strip_prefix(FILE_MARK).map(str::trim);
        let seed = digits.and_then(|digits| digits.parse::<Hex<32>>().ok());
        let seed = seed.ok_or_else(|| {
            ClientError::Usage(format!("a signing key is {FILE_MARK:?} and 64 hex digits; this is not"))
        })?;
        Ok(Signer::from_seed(&Zeroizing::new(seed.0)))
    }

    /// The text of a key file: who reads it can sign.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{FILE_MARK} {}\n", Hex(self.0.to_bytes())))
    }

    /// The key with which others verify.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        Hex(self.0.verifying_key().to_bytes())
    }

    /// Its name: SHA-256 of the public key.
    #[must_use]
    pub fn authenticator(&self) -> Authenticator {
        Hex::sha256(&self.public_key().0)
    }

    /// Signs for a network.
    #[must_use]
    pub fn sign(&self, network: u64, claim: &Claim) -> Proof {
        let public_key = self.public_key();
        let signature = self.0.sign(&claim.text(network, &public_key));
        Proof {
            public_key,
            nonce: claim.nonce,
            expires_unix_seconds: claim.expires_unix_seconds,
            signature: Hex(signature.to_bytes()),
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.public_key())
    }
}
