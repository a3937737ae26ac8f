//! The proof that a record is its signer's: who signed, what, until when (`opendht` section 5.2).
//!
//! A signed record carries its proof in front of its content, so that whoever holds a copy can show whose it is:
//!
//! ```text
//!   | public key 32 | nonce 32 | expires s 8 | signature 64 | content |
//!   content: the value; of a signed remove, SHA-256 of the value that it removes; of a sequenced remove, nothing
//! ```
//!
//! The signature (Ed25519, RFC 8032, verified strictly) is over one unambiguous text; a put and a remove never sign the same:
//!
//! ```text
//!   "keyway signed record 1" 22 | kind 1 | network 8 | key len 4, key 20 | content len 4, content
//!   | nonce len 4, nonce 32 | seq 8 | expires s 8 | public key 32                            integers big-endian
//! ```
//!
//! Key and network stand inside, so a record cannot be carried to another key or network; the end of life stands inside and
//! is absolute, so it cannot be put again when it is over. What names the copies of one record:
//!
//! * of a signed value: its key, its signer's authenticator, and the hash of (SHA-256 of the value, nonce). A removed value is
//!   put again under a new nonce.
//! * of a sequenced value: its key, its signer's authenticator, and the hash of the nonce, which names the series. Of a
//!   series only the greatest sequence number lives.

use alloc::vec::Vec;

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::record::Kind;
use crate::frame::NetworkId;
use crate::id::{ID_BYTES, Id};
use crate::wire::{Malformed, Reader, Wire, Writer};

/// Length of a [`Proof`] in front of a record's content.
pub const PROOF_BYTES: usize = 136;
/// Length of a nonce.
pub const NONCE_BYTES: usize = 32;
/// What each signed text begins with.
const DOMAIN: &[u8; 22] = b"keyway signed record 1";

/// Who signed a record, and until when it lives.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Proof {
    /// The signer's Ed25519 key.
    pub public_key: [u8; 32],
    /// Chosen by the signer: random for a value of its own, the name of the series for a sequenced one.
    pub nonce: [u8; NONCE_BYTES],
    /// When its life ends, in seconds since 1970.
    pub expires_secs: u64,
    /// Over what the module's header draws.
    pub signature: [u8; 64],
}

impl Wire for Proof {
    fn encode(&self, w: &mut Writer<'_>) {
        w.array(self.public_key);
        w.array(self.nonce);
        w.u64(self.expires_secs);
        w.array(self.signature);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Proof, Malformed> {
        Ok(Proof { public_key: r.array()?, nonce: r.array()?, expires_secs: r.u64()?, signature: r.array()? })
    }
}

/// What a signature is about, beside its proof.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// What the record is: one of the four signed kinds.
    pub kind: Kind,
    /// In which network.
    pub network: NetworkId,
    /// Under which key.
    pub key: &'a Id,
    /// The value; of a signed remove the SHA-256 of the value that it removes; of a sequenced remove nothing.
    pub content: &'a [u8],
    /// The sequence number; 0 if the record is not of a series.
    pub seq: u64,
}

impl Claim<'_> {
    /// The text that the signer signs.
    #[must_use]
    pub fn text(&self, proof: &Proof) -> Vec<u8> {
        let mut text = Vec::with_capacity(160 + self.content.len());
        let mut w = Writer::new(&mut text);
        w.bytes(DOMAIN);
        w.u8(self.kind as u8);
        w.u64(self.network.0);
        w.blob32(&self.key.0);
        w.blob32(self.content);
        w.blob32(&proof.nonce);
        w.u64(self.seq);
        w.u64(proof.expires_secs);
        w.bytes(&proof.public_key);
        text
    }

    /// Whether the proof is the signer's word for exactly this.
    #[must_use]
    pub fn is_proven_by(&self, proof: &Proof) -> bool {
        let signature = Signature::from_bytes(&proof.signature);
        VerifyingKey::from_bytes(&proof.public_key)
            .is_ok_and(|key| key.verify_strict(&self.text(proof), &signature).is_ok())
    }
}

/// The place among the values of a key that belongs to a signer: the start of its authenticator, SHA-256 of its public key.
/// A plain value's place is the hash of its secret; to come to a signer's place one would have to invert SHA-1.
#[must_use]
pub fn signer_place(public_key: &[u8; 32]) -> Id {
    first_of(Sha256::digest(public_key).into())
}

/// The name of a signed value among its signer's values of a key, by the SHA-256 of the value.
#[must_use]
pub fn signed_name(value_sha256: &[u8; 32], nonce: &[u8; NONCE_BYTES]) -> Id {
    let hash = Sha256::new().chain_update(b"keyway signed value 1").chain_update(value_sha256);
    first_of(hash.chain_update(nonce).finalize().into())
}

/// The name of a series among its signer's values of a key.
#[must_use]
pub fn series_name(nonce: &[u8; NONCE_BYTES]) -> Id {
    first_of(Sha256::new().chain_update(b"keyway sequenced value 1").chain_update(nonce).finalize().into())
}

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The first 160 bits of a hash.
pub(super) fn first_of(hash: [u8; 32]) -> Id {
    let mut id = [0; ID_BYTES];
    id.copy_from_slice(&hash[..ID_BYTES]);
    Id(id)
}
