//! What somebody has signed: whatever is done to a record's bytes, it says what its signer said, or it is nobody's word.
//!
//! The first byte chooses the record, the rest are edits of its bytes: each a place (two bytes) and what is put there; a place beyond
//! the end cuts the record off at that place modulo its length.

use ed25519_dalek::{Signer as _, SigningKey};
use keyway_core::frame::NetworkId;
use keyway_core::store::proof::{Claim, sha256};
use keyway_core::store::{Kind, Proof, Record};
use keyway_core::wire::{from_slice, to_vec};
use keyway_core::{Id, Wall};

const NETWORK: NetworkId = NetworkId(0xabcd);
/// When the records were put.
const PUT_TIME: Wall = Wall(1_700_000_000_000_000);
/// How long they live, in seconds.
const LIFE_SECS: u64 = 500;

/// One of the four kinds, signed by one key.
fn original(which: u8) -> Record {
    let (kind, content, seq) = match which % 4 {
        0 => (Kind::Signed, b"value".to_vec(), 0),
        1 => (Kind::SignedRemove, sha256(b"value").to_vec(), 0),
        2 => (Kind::Sequenced, b"value".to_vec(), 4),
        _ => (Kind::SequencedRemove, Vec::new(), 5),
    };
    let signer = SigningKey::from_bytes(&[9; 32]);
    let public_key = signer.verifying_key().to_bytes();
    let expires_secs = PUT_TIME.0 / 1_000_000 + LIFE_SECS;
    let mut proof = Proof { public_key, nonce: [3; 32], expires_secs, signature: [0; 64] };
    let key = Id::from_u64(1);
    let text = Claim { kind, network: NETWORK, key: &key, content: &content, seq }.text(&proof);
    proof.signature = signer.sign(&text).to_bytes();
    Record::signed(kind, key, &content, seq, &proof, PUT_TIME, 7).expect("its life is not over")
}

/// Edits a record as `data` says, and judges what comes of it.
pub fn run(data: &[u8]) {
    let Some((which, edits)) = data.split_first() else { return };
    let original = original(*which);
    let mut bytes = to_vec(&original);
    for edit in edits.chunks_exact(3) {
        let place = usize::from(u16::from_be_bytes([edit[0], edit[1]]));
        if let Some(byte) = bytes.get_mut(place) {
            *byte = edit[2];
        } else {
            bytes.truncate(place % bytes.len().max(1));
        }
    }
    let Ok(record) = from_slice::<Record>(&bytes) else { return };
    assert_eq!(to_vec(&record), bytes, "what is read is written back to the same bytes");
    if !record.head.kind.is_signed() || !record.is_intact() || !record.is_authentic(NETWORK) {
        return;
    }
    let (now, then) = (&record.head, &original.head);
    assert_eq!((now.identity, now.kind, now.seq), (then.identity, then.kind, then.seq), "a forgery is taken");
    assert_eq!(record.value, original.value, "a forgery is taken");
    assert!(!record.is_authentic(NetworkId(NETWORK.0 + 1)), "it is good in another network");
}
