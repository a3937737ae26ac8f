//! What is not its signer's word, or not whoever knows the secret's, is not taken: mutations of every kind (`opendht` section 5.2).

use ed25519_dalek::{Signer as _, SigningKey};

use super::*;
use crate::id::NetworkId;
use crate::rng::Rng;
use crate::store::proof::{Claim, sha256};
use crate::wire::{from_slice, to_vec};

const NETWORK: NetworkId = NetworkId(0xabcd);
/// Mutations tried.
const MUTATIONS: usize = 100_000;

fn signed(kind: Kind, content: &[u8], seq: u64) -> Record {
    let signer = SigningKey::from_bytes(&[9; 32]);
    let expires_secs = START.0 / 1_000_000 + 500;
    let public_key = signer.verifying_key().to_bytes();
    let mut proof = Proof { public_key, nonce: [3; 32], expires_secs, signature: [0; 64] };
    let key = Id::from_u64(1);
    let text = Claim { kind, network: NETWORK, key: &key, content, seq }.text(&proof);
    proof.signature = signer.sign(&text).to_bytes();
    Record::signed(kind, key, content, seq, &proof, START, 7).expect("a signed record")
}

/// One record of each kind that needs a proof or is its own.
pub(super) fn originals() -> Vec<Record> {
    Vec::from([
        signed(Kind::Signed, b"value", 0),
        signed(Kind::SignedRemove, &sha256(b"value"), 0),
        signed(Kind::Sequenced, b"value", 4),
        signed(Kind::SequencedRemove, b"", 5),
        Record::immutable(b"value".to_vec(), START, Duration::from_secs(99), 7),
    ])
}

/// What may differ in a true copy: who took it, when, for how long and for whom, as far as no signature says so.
fn says_the_same(one: &Record, other: &Record) -> bool {
    let (a, b) = (&one.head, &other.head);
    let fixed = (a.identity, a.kind, a.seq, &one.value) == (b.identity, b.kind, b.seq, &other.value);
    fixed && (!a.kind.is_signed() || a.expires() == b.expires())
}

#[test]
fn originals_are_taken() {
    for record in originals() {
        let mut w = World::new(config());
        w.store.belong_to(NETWORK);
        assert_eq!(w.put(&record, 1), Put::Writing, "{:?}", record.head.kind);
        w.settle();
        assert_eq!(from_slice::<Record>(&to_vec(&record)).as_ref(), Ok(&record));
    }
}

#[test]
fn no_mutation_of_what_is_signed_is_taken() {
    let (originals, mut rng) = (originals(), Rng::from_u64(5));
    let (mut forged, mut refused) = (0, 0);
    while forged < MUTATIONS {
        let original = &originals[rng.below(originals.len() as u64) as usize];
        let mut bytes = to_vec(original);
        match rng.below(5) {
            0 => bytes.truncate(rng.below(bytes.len() as u64) as usize),
            1 => {
                // A piece of another record, at its place.
                let other = to_vec(&originals[rng.below(originals.len() as u64) as usize]);
                let end = bytes.len().min(other.len());
                let from = rng.below(end as u64) as usize;
                let to = from + rng.below((end - from) as u64 + 1) as usize;
                bytes[from..to].copy_from_slice(&other[from..to]);
            }
            _ => {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << rng.below(8);
            }
        }
        forged += 1;
        let Ok(record) = from_slice::<Record>(&bytes) else {
            refused += 1;
            continue;
        };
        if originals.iter().any(|original| says_the_same(original, &record)) {
            continue;
        }
        let taken = record.is_intact() && record.is_authentic(NETWORK);
        assert!(!taken, "{:?} of {:?}", record.head, original.head);
        refused += 1;
    }
    assert!(refused > MUTATIONS / 2, "{refused} of {forged} mutations changed what is said");
}

/// A secret is good for every value that was put under it, and for no other: once it is told it must not be used again.
#[test]
fn a_secret_removes_what_was_put_under_it_and_nothing_else() {
    let mut w = World::new(config());
    for (value, secret) in [(1, &b"sesame"[..]), (2, b"sesame"), (3, b"other")] {
        let put = plain(1, value, 0, 100).guarded_by(Id::sha1(secret));
        assert_eq!(w.put(&put, 1), Put::Writing);
    }
    w.settle();
    for value in 1..=3 {
        let put = plain(1, value, 0, 100);
        let Identity { key, value_hash, .. } = put.head.identity;
        let remove = Record::removal(key, value_hash, b"sesame".to_vec(), START, Duration::from_secs(100), 7);
        w.put(&remove, 1);
        let mut forged = remove.clone();
        forged.head.identity.secret_hash = Id::sha1(b"other");
        assert_eq!(w.put(&forged, 1), Put::Refused(Refusal::Damaged), "the secret is not the one");
    }
    w.settle();
    assert_eq!(w.served(1), [plain(1, 3, 0, 100).guarded_by(Id::sha1(b"other")).head.identity]);
}

#[test]
fn another_network_is_another_world() {
    for record in originals() {
        let elsewhere = record.is_authentic(NetworkId(NETWORK.0 ^ 1));
        assert_eq!(elsewhere, !record.head.kind.is_signed(), "{:?}", record.head.kind);
    }
}
