//! The values of these worlds: what is put under a key, how long it lives, whether it is removed, and the operations for it.
//!
//! ```text
//!   batch = one key: 10 values that are removed, 2 that are not
//!   value:  put ── 3 s to two minutes ──▶ remove, asked for seconds or for the whole life ──▶ (the same again | under a new secret)
//! ```

use ed25519_dalek::SigningKey;
use keyway_core::frame::NetworkId;
use keyway_core::machine::{Op, SignedPut};
use keyway_core::rng::Rng;
use keyway_core::store::proof::{NONCE_BYTES, sha256};
use keyway_core::store::{ClientId, Identity, Kind};
use keyway_core::{Duration, Id};

use super::TTL_MAX;
use crate::swarm::values::{ends, signed_by, signed_put, unsigned};
use crate::workload::storage::{self, Stored};

/// Values of a batch that are removed.
pub(super) const BATCH_REMOVED: u64 = 10;
/// And that are not.
const BATCH_KEPT: u64 = 2;
/// The share of signed values: each read of one costs a few verifications.
const SIGNED: f64 = 0.12;
/// The share of values that live for a minute or so.
const SHORT_LIVES: f64 = 0.6;
/// The share of removes that are asked for a few seconds only.
const ASKED_SHORT: f64 = 0.7;

/// What guards a value.
#[derive(Clone, Debug)]
enum Guard {
    Secret(Vec<u8>),
    /// The number of its nonce.
    Signature(u64),
}

/// One value.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) key: Id,
    bytes: Vec<u8>,
    guard: Guard,
    pub(super) ttl: Duration,
    /// How long its removal is asked to stand; none: it is kept.
    pub(super) asked: Option<Duration>,
    /// Of a signed one, what was signed when it was first put.
    signed: Option<SignedPut>,
    /// When it was first put; before, never.
    put_at: u64,
}

impl Item {
    /// Whether its removal, asked for at `at`, is to stand shorter than the value has left.
    pub(super) fn is_asked_short(&self, at: u64) -> bool {
        self.asked.is_some_and(|asked| at + asked.0 < self.put_at.saturating_add(self.ttl.0))
    }
}

/// Makes values, and the operations for them.
pub(super) struct Values {
    rng: Rng,
    signer: SigningKey,
    network: NetworkId,
    items: Vec<Item>,
    batches: u64,
    serial: u64,
}

impl Values {
    pub(super) fn new(network: NetworkId, mut rng: Rng) -> Values {
        let mut secret = [0; 32];
        secret.chunks_exact_mut(8).for_each(|chunk| chunk.copy_from_slice(&rng.next_u64().to_be_bytes()));
        let signer = SigningKey::from_bytes(&secret);
        Values { rng, signer, network, items: Vec::new(), batches: 0, serial: 0 }
    }

    pub(super) fn item(&self, i: usize) -> &Item {
        &self.items[i]
    }

    /// A new key with so many values that are removed, and some that are not; the numbers of all of them.
    pub(super) fn batch(&mut self, removed: u64) -> (Id, std::ops::Range<usize>) {
        self.batches += 1;
        let key = Id::of_text(&format!("batch {}", self.batches));
        let from = self.items.len();
        for n in 0..removed + BATCH_KEPT {
            let item = self.draw(key, n < removed);
            self.items.push(item);
        }
        (key, from..self.items.len())
    }

    fn draw(&mut self, key: Id, removed: bool) -> Item {
        self.serial += 1;
        let rng = &mut self.rng;
        let len = if rng.chance(0.1) { rng.between(200, 1_024) } else { rng.between(8, 100) };
        let guard = if rng.chance(SIGNED) {
            Guard::Signature(self.serial)
        } else {
            Guard::Secret(rng.next_u64().to_be_bytes().to_vec())
        };
        // A signed end is a whole second, rounded up, and judged by the clock of the gateway.
        let longest = TTL_MAX.as_secs() - 5;
        let short = rng.chance(SHORT_LIVES);
        let ttl = Duration::from_secs(if short { rng.between(10, 90) } else { rng.between(90, longest) });
        let asked_short = rng.chance(ASKED_SHORT);
        let asked = if asked_short { Duration::from_secs(rng.between(2, 10)) } else { ttl };
        let bytes = storage::value(self.serial, len as usize, rng);
        Item { key, bytes, guard, ttl, asked: removed.then_some(asked), signed: None, put_at: u64::MAX }
    }

    /// The same value under a new secret, to be kept; none of a signed one, whose nonce makes it another value anyway.
    pub(super) fn anew(&mut self, i: usize) -> Option<usize> {
        let Guard::Secret(_) = self.items[i].guard else { return None };
        let secret = self.rng.next_u64().to_be_bytes().to_vec();
        let item =
            Item { guard: Guard::Secret(secret), asked: None, put_at: u64::MAX, ..self.items[i].clone() };
        self.items.push(item);
        Some(self.items.len() - 1)
    }

    /// The put of a value, at first or once more.
    pub(super) fn put(&mut self, i: usize, at: u64) -> (Op, Stored) {
        let item = &mut self.items[i];
        item.put_at = item.put_at.min(at);
        let (key, ttl, client) = (item.key, item.ttl, ClientId::NOBODY);
        match &item.guard {
            Guard::Secret(secret) => {
                let secret_hash = Id::sha1(secret);
                let mut stored = Stored::plain(key, &item.bytes, ttl);
                stored.identity.secret_hash = secret_hash;
                (Op::Put { key, value: item.bytes.clone(), ttl, secret_hash, client }, stored)
            }
            Guard::Signature(number) => {
                let (signer, network) = (&self.signer, self.network);
                let put = item.signed.get_or_insert_with(|| {
                    let put =
                        unsigned(Kind::Signed, key, item.bytes.clone(), 0, nonce(*number), ends(at, ttl));
                    signed_by(signer, network, put)
                });
                let stored = Stored { ttl, ..signed_put(put) };
                (Op::PutSigned(Box::new(put.clone())), stored)
            }
        }
    }

    /// The removal of a value that was put; none if it is to be kept, or was not put yet.
    pub(super) fn remove(&mut self, i: usize, at: u64) -> Option<(Op, Identity)> {
        let item = &self.items[i];
        let (key, ttl) = (item.key, item.asked?);
        match &item.guard {
            Guard::Secret(secret) => {
                let (value_hash, secret_hash) = (Id::sha1(&item.bytes), Id::sha1(secret));
                let client = ClientId::NOBODY;
                let op = Op::Remove { key, value_hash, secret: secret.clone(), ttl, client };
                Some((op, Identity { key, secret_hash, value_hash }))
            }
            Guard::Signature(number) => {
                let put = item.signed.as_ref()?;
                // Its end is signed: nobody can make it longer than this, and a shorter one is refused.
                let expires_secs = put.proof.expires_secs.max(ends(at, ttl));
                let content = sha256(&item.bytes).to_vec();
                let remove = unsigned(Kind::SignedRemove, key, content, 0, nonce(*number), expires_secs);
                let identity = signed_put(put).identity;
                Some((Op::PutSigned(Box::new(signed_by(&self.signer, self.network, remove))), identity))
            }
        }
    }
}

fn nonce(number: u64) -> [u8; NONCE_BYTES] {
    sha256(&number.to_be_bytes())
}
