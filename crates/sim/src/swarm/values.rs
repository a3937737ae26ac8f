//! What clients of a drawn world store: plain values with and without a secret, immutable and signed ones, series; that they
//! put some again, remove some, and that somebody replays what others have signed.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::{Signer as _, SigningKey};
use keyway_core::frame::NetworkId;
use keyway_core::machine::{Op, OpId, SignedPut};
use keyway_core::rng::Rng;
use keyway_core::store::proof::{Claim, NONCE_BYTES, series_name, sha256, signed_name, signer_place};
use keyway_core::store::record::content_key;
use keyway_core::store::{ClientId, Identity, Kind, Proof};
use keyway_core::{Duration, Id};

use super::one_of;
use crate::workload::storage::{Ended, Stored, wall};

/// Signers in a world.
const SIGNERS: u64 = 3;
/// Who is charged.
const CLIENTS: u64 = 3;
/// Series of one signer under one key.
const SERIES: u64 = 2;

/// How much of what clients do: shares of all puts, and of all removes and replays among the puts.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Mix {
    /// Of the plain values, those with a secret.
    pub guarded: f64,
    /// Puts of immutable values.
    pub immutable: f64,
    /// Puts of signed values.
    pub signed: f64,
    /// Puts of the next of a series.
    pub series: f64,
    /// Removes.
    pub removes: f64,
    /// Replays of what was signed before.
    pub replays: f64,
}

impl Mix {
    /// Draws one: half of all worlds know plain values only.
    #[must_use]
    pub fn draw(rng: &mut Rng) -> Mix {
        let rich = rng.chance(0.5);
        let mut share = |of: &[f64]| if rich { *one_of(rng, of) } else { 0.0 };
        Mix {
            guarded: share(&[0.3, 0.8, 1.0]),
            immutable: share(&[0.0, 0.1]),
            signed: share(&[0.0, 0.1, 0.3]),
            series: share(&[0.0, 0.1, 0.3]),
            removes: share(&[0.05, 0.2, 0.4]),
            replays: share(&[0.0, 0.1]),
        }
    }
}

/// A value put before.
#[derive(Clone, Debug)]
enum Known {
    Plain { key: Id, value: Vec<u8>, secret: Vec<u8> },
    Immutable { value: Vec<u8> },
    Signed { signer: u64, put: SignedPut },
}

/// How far a series is.
#[derive(Clone, Copy, Debug, Default)]
struct Series {
    seq: u64,
    expires_secs: u64,
    /// The number that was acknowledged last, while nothing is unknown since.
    certain: Option<u64>,
    /// One operation at a time.
    busy: bool,
}

/// An operation, and what the world must remember of it.
pub(super) struct Asked {
    pub(super) op: Op,
    pub(super) what: What,
}

pub(super) enum What {
    Put(Stored),
    Remove { identity: Identity, seq: u64 },
}

/// The clients' memory of what they have.
pub(super) struct Values {
    mix: Mix,
    rng: Rng,
    signers: Vec<SigningKey>,
    known: Vec<Known>,
    series: BTreeMap<(Id, u64, u64), Series>,
    /// Operations on series under way.
    running: BTreeMap<OpId, (Id, u64, u64)>,
    /// Operations of which nobody expects success.
    hopeless: BTreeSet<OpId>,
    next: Next,
}

/// What [`Values::submitted`] files the operation drawn last under.
#[derive(Clone, Copy, Debug)]
enum Next {
    Plain,
    Series((Id, u64, u64)),
    Hopeless,
}

impl Values {
    pub(super) fn new(mix: Mix, mut rng: Rng) -> Values {
        let key = |rng: &mut Rng| {
            let mut secret = [0; 32];
            secret.chunks_exact_mut(8).for_each(|chunk| chunk.copy_from_slice(&rng.next_u64().to_be_bytes()));
            SigningKey::from_bytes(&secret)
        };
        let signers = (0..SIGNERS).map(|_| key(&mut rng)).collect();
        Values {
            mix,
            rng,
            signers,
            known: Vec::new(),
            series: BTreeMap::new(),
            running: BTreeMap::new(),
            hopeless: BTreeSet::new(),
            next: Next::Plain,
        }
    }

    /// The next put, remove or replay. `fresh` is a key and a value that nobody has put; it is asked for when one is needed.
    pub(super) fn draw(
        &mut self,
        at: u64,
        network: NetworkId,
        ttl: Duration,
        fresh: impl FnOnce() -> (Id, Vec<u8>),
    ) -> Asked {
        self.next = Next::Plain;
        if self.rng.chance(self.mix.removes)
            && let Some(asked) = self.remove(at, network, ttl)
        {
            return asked;
        }
        if self.rng.chance(self.mix.replays)
            && let Some(asked) = self.replay()
        {
            return asked;
        }
        if self.rng.chance(0.15)
            && let Some(asked) = self.again(ttl)
        {
            return asked;
        }
        let (key, value) = fresh();
        let kind = self.rng.unit();
        let Mix { series, signed, immutable, .. } = self.mix;
        if kind < series {
            self.next_of_series(at, network, ttl, key, &value)
        } else if kind < series + signed {
            self.sign_value(at, network, ttl, key, value)
        } else if kind < series + signed + immutable {
            self.known.push(Known::Immutable { value });
            self.put_known(self.known.len() - 1, ttl)
        } else {
            let secret = if self.rng.chance(self.mix.guarded) {
                self.rng.next_u64().to_be_bytes().to_vec()
            } else {
                Vec::new()
            };
            self.known.push(Known::Plain { key, value, secret });
            self.put_known(self.known.len() - 1, ttl)
        }
    }

    /// The operation drawn last has this name.
    pub(super) fn submitted(&mut self, op: OpId) {
        match self.next {
            Next::Plain => {}
            Next::Series(name) => {
                self.running.insert(op, name);
            }
            Next::Hopeless => {
                self.hopeless.insert(op);
            }
        }
    }

    /// An operation has ended; returns whether it should have succeeded.
    pub(super) fn ended(&mut self, op: OpId, ended: Option<&Ended>) -> bool {
        if let Some(series) = self.running.remove(&op).and_then(|name| self.series.get_mut(&name)) {
            let acked =
                matches!(ended, Some(Ended::Put { acked: true, .. } | Ended::Removed { acked: true, .. }));
            series.busy = false;
            series.certain = acked.then_some(series.seq);
        }
        !self.hopeless.remove(&op)
    }

    /// A gateway died: of what was asked of it nothing is certain, and it may still come through.
    pub(super) fn forget_running(&mut self, is_pending: impl Fn(OpId) -> bool) {
        let series = &mut self.series;
        self.running.retain(|op, name| {
            let pending = is_pending(*op);
            if !pending && let Some(series) = series.get_mut(name) {
                (series.busy, series.certain) = (false, None);
            }
            pending
        });
        self.hopeless.retain(|op| is_pending(*op));
    }

    // --- puts ------------------------------------------------------------------------------------------------------

    fn put_known(&mut self, at: usize, ttl: Duration) -> Asked {
        let client = ClientId(self.rng.below(CLIENTS));
        match &self.known[at] {
            Known::Plain { key, value, secret } => {
                let secret_hash = if secret.is_empty() { Id::ZERO } else { Id::sha1(secret) };
                let mut stored = Stored::plain(*key, value, ttl);
                stored.identity.secret_hash = secret_hash;
                let op = Op::Put { key: *key, value: value.clone(), ttl, secret_hash, client };
                Asked { op, what: What::Put(stored) }
            }
            Known::Immutable { value } => {
                let key = content_key(value);
                let mut stored = Stored::plain(key, value, ttl);
                stored.identity.value_hash = key;
                Asked { op: Op::PutImmutable { value: value.clone(), ttl, client }, what: What::Put(stored) }
            }
            Known::Signed { put, .. } => Asked {
                what: What::Put(Stored { ttl, ..signed_put(put) }),
                op: Op::PutSigned(Box::new(put.clone())),
            },
        }
    }

    /// A value that was put before, which may be removed by now.
    fn again(&mut self, ttl: Duration) -> Option<Asked> {
        let at = self.rng.index(self.known.len())?;
        (!matches!(self.known[at], Known::Signed { .. })).then(|| self.put_known(at, ttl))
    }

    /// What somebody else signed, as it was seen on the wire: its life may be over, it may be removed.
    fn replay(&mut self) -> Option<Asked> {
        let at = self.rng.index(self.known.len())?;
        let Known::Signed { .. } = self.known[at] else { return None };
        self.next = Next::Hopeless;
        Some(self.put_known(at, Duration::ZERO))
    }

    fn sign_value(&mut self, at: u64, network: NetworkId, ttl: Duration, key: Id, value: Vec<u8>) -> Asked {
        let signer = self.rng.below(SIGNERS);
        let mut nonce = [0; NONCE_BYTES];
        nonce[..8].copy_from_slice(&self.rng.next_u64().to_be_bytes());
        let put = self.sign(network, signer, unsigned(Kind::Signed, key, value, 0, nonce, ends(at, ttl)));
        self.known.push(Known::Signed { signer, put });
        self.put_known(self.known.len() - 1, ttl)
    }

    fn next_of_series(&mut self, at: u64, network: NetworkId, ttl: Duration, key: Id, value: &[u8]) -> Asked {
        let name = (key, self.rng.below(SIGNERS), self.rng.below(SERIES));
        if self.series.get(&name).is_some_and(|series| series.busy) {
            return self.sign_value(at, network, ttl, key, value.to_vec());
        }
        let guarded = self.rng.chance(0.3);
        let certain_until = self.series.get(&name).map_or(u64::MAX, |series| series.expires_secs);
        let guarded = guarded && certain_until > ends(at, Duration::from_secs(10));
        let (seq, expires_secs, cas) = self.advance(name, ends(at, ttl), guarded);
        let nonce = series_nonce(name.2);
        let mut put = self.sign(
            network,
            name.1,
            unsigned(Kind::Sequenced, key, value.to_vec(), seq, nonce, expires_secs),
        );
        put.cas = cas;
        Asked { what: What::Put(Stored { ttl, ..signed_put(&put) }), op: Op::PutSigned(Box::new(put)) }
    }

    /// Takes the next number of a series.
    fn advance(&mut self, name: (Id, u64, u64), ends: u64, guarded: bool) -> (u64, u64, Option<u64>) {
        let series = self.series.entry(name).or_insert(Series { certain: Some(0), ..Series::default() });
        series.seq += 1;
        series.expires_secs = series.expires_secs.max(ends);
        series.busy = true;
        let cas = series.certain.filter(|_| guarded);
        self.next = Next::Series(name);
        (series.seq, series.expires_secs, cas)
    }

    // --- removes ---------------------------------------------------------------------------------------------------

    fn remove(&mut self, at: u64, network: NetworkId, ttl: Duration) -> Option<Asked> {
        let names: Vec<(Id, u64, u64)> =
            self.series.iter().filter(|(_, series)| !series.busy).map(|(name, _)| *name).collect();
        if self.rng.chance(self.mix.series)
            && let Some(i) = self.rng.index(names.len())
        {
            return Some(self.remove_series(at, network, ttl, names[i]));
        }
        let i = self.rng.index(self.known.len())?;
        match self.known[i].clone() {
            Known::Plain { key, value, secret } if !secret.is_empty() => {
                let wrong = self.rng.chance(0.15);
                let secret = if wrong { b"guessed".to_vec() } else { secret };
                let (value_hash, secret_hash) = (Id::sha1(&value), Id::sha1(&secret));
                // Often shorter than what is left of the value: it must stand as long all the same.
                let ttl =
                    if self.rng.chance(0.6) { Duration::from_secs(self.rng.between(6, 20)) } else { ttl };
                let ttl = ttl.max(Duration::from_secs(6));
                let op = Op::Remove { key, value_hash, secret, ttl, client: ClientId::NOBODY };
                let identity = Identity { key, secret_hash, value_hash };
                Some(Asked { op, what: What::Remove { identity, seq: 0 } })
            }
            Known::Signed { signer, put } => {
                let stored = signed_put(&put);
                let expires_secs = put.proof.expires_secs.max(ends(at, ttl.max(Duration::from_secs(6))));
                let (content, nonce) = (sha256(&put.content).to_vec(), put.proof.nonce);
                let put = self.sign(
                    network,
                    signer,
                    unsigned(Kind::SignedRemove, put.key, content, 0, nonce, expires_secs),
                );
                let what = What::Remove { identity: stored.identity, seq: 0 };
                Some(Asked { op: Op::PutSigned(Box::new(put)), what })
            }
            _ => None,
        }
    }

    fn remove_series(&mut self, at: u64, network: NetworkId, ttl: Duration, name: (Id, u64, u64)) -> Asked {
        let (seq, expires_secs, _) = self.advance(name, ends(at, ttl.max(Duration::from_secs(6))), false);
        let (key, signer, number) = name;
        let nonce = series_nonce(number);
        let kind = Kind::SequencedRemove;
        let put = self.sign(network, signer, unsigned(kind, key, Vec::new(), seq, nonce, expires_secs));
        let what = What::Remove { identity: signed_put(&put).identity, seq };
        Asked { op: Op::PutSigned(Box::new(put)), what }
    }

    fn sign(&self, network: NetworkId, signer: u64, put: SignedPut) -> SignedPut {
        signed_by(&self.signers[signer as usize], network, put)
    }
}

/// What is to be signed.
pub(crate) fn unsigned(
    kind: Kind,
    key: Id,
    content: Vec<u8>,
    seq: u64,
    nonce: [u8; NONCE_BYTES],
    expires_secs: u64,
) -> SignedPut {
    let proof = Proof { public_key: [0; 32], nonce, expires_secs, signature: [0; 64] };
    SignedPut { kind, key, content, seq, proof, cas: None, client: ClientId::NOBODY }
}

/// What a signer asks to store, with its name and its signature in the proof.
pub(crate) fn signed_by(signer: &SigningKey, network: NetworkId, mut put: SignedPut) -> SignedPut {
    put.proof.public_key = signer.verifying_key().to_bytes();
    let SignedPut { kind, key, content, seq, proof, .. } = &mut put;
    let text = Claim { kind: *kind, network, key, content, seq: *seq }.text(proof);
    proof.signature = signer.sign(&text).to_bytes();
    put
}

/// The end of a life that begins now, in whole seconds.
pub(crate) fn ends(at: u64, ttl: Duration) -> u64 {
    (wall(at) + ttl).0 / 1_000_000 + 1
}

fn series_nonce(number: u64) -> [u8; NONCE_BYTES] {
    sha256(&number.to_be_bytes())
}

/// What a signed put of a value or of a removal is about.
pub(crate) fn signed_put(put: &SignedPut) -> Stored {
    let proof = &put.proof;
    let value_hash = if put.kind.is_sequenced() {
        series_name(&proof.nonce)
    } else {
        signed_name(&sha256(&put.content), &proof.nonce)
    };
    let ends = keyway_core::Wall(proof.expires_secs * 1_000_000);
    Stored {
        identity: Identity { key: put.key, secret_hash: signer_place(&proof.public_key), value_hash },
        value_sha1: Id::sha1(&put.content),
        seq: put.seq,
        ttl: Duration::ZERO,
        ends: Some(ends),
    }
}
