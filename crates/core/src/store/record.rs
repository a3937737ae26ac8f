//! The record: one value under a key, or its removal, with its life.
//!
//! Identity of a plain value is the triple (key, secret hash, hash of value); several values live under one key. A
//! record carries `put_time` (wall clock of its gateway) and `ttl`, fixed once: wire, disk and digests carry both
//! unchanged, so that no path can extend or cut a life. *Remaining* time exists only in answers to clients.
//!
//! A remove is a record, too. It carries what proves that it may be: the secret of a plain value, a signature of a signed one.
//! While it lives it hides every put of its identity, whenever that arrives.
//!
//! Two records of one identity merge to the greater by ([`Head::rank`]): sequence number, is a remove, expires, put time,
//! origin. Taking the maximum of a total order is commutative, associative and idempotent, so copies converge in any order of
//! arrival (`opendht` section 1.6).
//!
//! ```text
//!   kind              secret hash           value hash                     content            may be stored by
//!   put               SHA-1 of a secret, 0  SHA-1 of the value             the value          anybody
//!   remove            the same              the same                       the secret         who knows the secret
//!   immutable         0                     the key: SHA-256, cut          the value          anybody
//!   signed            of the signer's key   of SHA-256 of value, nonce     proof, value       the signer
//!   signed remove     the same              the same                       proof, SHA-256     the signer
//!   sequenced         of the signer's key   of the nonce                   proof, value       the signer
//!   sequenced remove  the same              the same                       proof              the signer
//! ```
//!
//! Stored form (also the wire form), version 2; integers big-endian:
//!
//! ```text
//! | version 2 | kind 1 | key 20 | secret hash 20 | value hash 20 | put_time us 8 | ttl us 8 | origin 8 | seq 8 | client 8 |
//! | content len 4 | content |
//! ```

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::client::ClientId;
use super::proof::{self, Claim, PROOF_BYTES, Proof, sha256};
use crate::id::{Id, NetworkId};
use crate::time::{Duration, Wall};
use crate::wire::{self, Malformed, Reader, Wire, Writer};

/// Version of the stored and sent record form.
pub const RECORD_VERSION: u8 = 2;
/// The greatest value that any configuration allows.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// Longest secret (`opendht` section 1.2).
pub const SECRET_BYTES_MAX: usize = 40;
/// Length of a [`Head`]'s wire form.
pub const HEAD_BYTES: usize = 106;

/// What a record is. The numbers are on disk and under signatures: never reuse one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A plain value.
    Put = 0,
    /// The removal of a plain value.
    Remove = 1,
    /// A value whose key is its own hash.
    Immutable = 2,
    /// A value under its signer's name.
    Signed = 3,
    /// The removal of a signed value.
    SignedRemove = 4,
    /// The latest of a signer's series.
    Sequenced = 5,
    /// The end of a series, until a greater number begins it anew.
    SequencedRemove = 6,
}

impl Kind {
    const ALL: [Kind; 7] = [
        Kind::Put,
        Kind::Remove,
        Kind::Immutable,
        Kind::Signed,
        Kind::SignedRemove,
        Kind::Sequenced,
        Kind::SequencedRemove,
    ];

    /// Whether it hides a value instead of being one.
    #[must_use]
    pub const fn is_remove(self) -> bool {
        matches!(self, Kind::Remove | Kind::SignedRemove | Kind::SequencedRemove)
    }

    /// Whether it carries a [`Proof`].
    #[must_use]
    pub const fn is_signed(self) -> bool {
        matches!(self, Kind::Signed | Kind::SignedRemove | Kind::Sequenced | Kind::SequencedRemove)
    }

    /// Whether it belongs to a series.
    #[must_use]
    pub const fn is_sequenced(self) -> bool {
        matches!(self, Kind::Sequenced | Kind::SequencedRemove)
    }

    /// Whether its identity names its content, so that two copies can only differ in their lives.
    #[must_use]
    pub const fn is_named_by_content(self) -> bool {
        matches!(self, Kind::Put | Kind::Immutable)
    }
}

/// What makes two records copies of one: (key, secret hash, value hash). The name of the record on disk. `Ord` is the
/// order of the bytes in that order of fields.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// Where it lives.
    pub key: Id,
    /// SHA-1 of the secret with which it can be removed, zero if it cannot; of a signed record, its signer's place.
    pub secret_hash: Id,
    /// SHA-1 of the value; of the other kinds, what the module's table says.
    pub value_hash: Id,
}

impl PartialOrd for Identity {
    fn partial_cmp(&self, other: &Identity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Identity {
    /// Index searches end here: most comparisons are decided by the first eight bytes, which are compared as a number.
    fn cmp(&self, other: &Identity) -> Ordering {
        match first_bytes(&self.key).cmp(&first_bytes(&other.key)) {
            Ordering::Equal => self
                .key
                .cmp(&other.key)
                .then_with(|| self.secret_hash.cmp(&other.secret_hash))
                .then_with(|| self.value_hash.cmp(&other.value_hash)),
            decided => decided,
        }
    }
}

fn first_bytes(id: &Id) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = id.0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// A record without its value: what the index holds and digests cover.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Head {
    /// Which record.
    pub identity: Identity,
    /// What it is.
    pub kind: Kind,
    /// When its gateway accepted it.
    pub put_time: Wall,
    /// How long it lives from then.
    pub ttl: Duration,
    /// Breaks ties only: the first 8 bytes of the id of the gateway that accepted it; of a series, of its value's SHA-256.
    pub origin: u64,
    /// The sequence number; 0 outside a series.
    pub seq: u64,
    /// Who is charged for it.
    pub client: ClientId,
    /// Length of the content.
    pub value_bytes: u32,
}

/// A place in the put-time order of the values under one key: pages continue strictly after it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Cursor {
    /// Put time of the last value seen.
    pub put_time: Wall,
    /// Its ttl.
    pub ttl: Duration,
    /// Its secret hash.
    pub secret_hash: Id,
    /// Its value hash.
    pub value_hash: Id,
}

/// What decides between two records of one identity.
pub type Rank = (u64, bool, Wall, Wall, u64, ClientId);

impl Head {
    /// Bytes of the signer's proof, which stand before the content.
    #[must_use]
    pub const fn proof_bytes(&self) -> usize {
        if self.kind.is_signed() { PROOF_BYTES } else { 0 }
    }

    /// Bytes of the content: the value, without its signer's proof.
    #[must_use]
    pub const fn content_bytes(&self) -> u32 {
        self.value_bytes.saturating_sub(self.proof_bytes() as u32)
    }

    /// The instant from which it is not served any more.
    #[must_use]
    pub fn expires(&self) -> Wall {
        self.put_time + self.ttl
    }

    /// The order of merging: the greater of two records of one identity wins.
    #[must_use]
    pub fn rank(&self) -> Rank {
        let life = (self.expires(), self.put_time);
        // planted: a remove loses against a put that lives longer
        let removes = self.kind.is_remove() && !cfg!(keyway_bug = "store_remove_loses");
        (self.seq, removes, life.0, life.1, self.origin, self.client)
    }

    /// Its place in the order of values under its key.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor {
            put_time: self.put_time,
            ttl: self.ttl,
            secret_hash: self.identity.secret_hash,
            value_hash: self.identity.value_hash,
        }
    }
}

/// A head with its content.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Record {
    /// Everything but the content.
    pub head: Head,
    /// The content: the value itself of what is not signed, the secret of a remove, else the proof and what it is about.
    pub value: Vec<u8>,
}

impl Record {
    fn new(
        kind: Kind,
        identity: Identity,
        value: Vec<u8>,
        put_time: Wall,
        ttl: Duration,
        origin: u64,
    ) -> Record {
        let value_bytes = value.len() as u32;
        let client = ClientId::NOBODY;
        Record { head: Head { identity, kind, put_time, ttl, origin, seq: 0, client, value_bytes }, value }
    }

    /// A plain value without a secret.
    #[must_use]
    pub fn plain(key: Id, value: Vec<u8>, put_time: Wall, ttl: Duration, origin: u64) -> Record {
        let identity = Identity { key, secret_hash: Id::ZERO, value_hash: Id::sha1(&value) };
        Record::new(Kind::Put, identity, value, put_time, ttl, origin)
    }

    /// The same plain value, for those to remove who know the secret with this SHA-1.
    #[must_use]
    pub fn guarded_by(mut self, secret_hash: Id) -> Record {
        self.head.identity.secret_hash = secret_hash;
        self
    }

    /// The same record, charged to a client.
    #[must_use]
    pub fn charged_to(mut self, client: ClientId) -> Record {
        self.head.client = client;
        self
    }

    /// The removal of the plain value with this SHA-1 that was put under this secret.
    #[must_use]
    pub fn removal(
        key: Id,
        value_hash: Id,
        secret: Vec<u8>,
        put_time: Wall,
        ttl: Duration,
        origin: u64,
    ) -> Record {
        let identity = Identity { key, secret_hash: Id::sha1(&secret), value_hash };
        Record::new(Kind::Remove, identity, secret, put_time, ttl, origin)
    }

    /// A value under its own hash.
    #[must_use]
    pub fn immutable(value: Vec<u8>, put_time: Wall, ttl: Duration, origin: u64) -> Record {
        let key = content_key(&value);
        let identity = Identity { key, secret_hash: Id::ZERO, value_hash: key };
        Record::new(Kind::Immutable, identity, value, put_time, ttl, origin)
    }

    /// A signed record, from what its signer has signed. `content`: as in [`Claim`]. `None` if its life is over at
    /// `put_time`, or the content does not fit the kind; whether the proof holds is another question
    /// ([`Record::is_authentic`]).
    #[must_use]
    pub fn signed(
        kind: Kind,
        key: Id,
        content: &[u8],
        seq: u64,
        proof: &Proof,
        put_time: Wall,
        origin: u64,
    ) -> Option<Record> {
        let end = Wall(proof.expires_secs.checked_mul(1_000_000)?);
        #[cfg(keyway_bug = "store_replay_accepted")]
        // planted: the life of what is signed begins when it is put
        let end = put_time + Duration::from_secs(3600);
        let ttl = Some(end.since(put_time)).filter(|ttl| *ttl > Duration::ZERO)?;
        let mut value = Vec::with_capacity(PROOF_BYTES + content.len());
        proof.encode(&mut Writer::new(&mut value));
        value.extend_from_slice(content);
        let identity = Identity {
            key,
            secret_hash: proof::signer_place(&proof.public_key),
            value_hash: signed_name(kind, content, proof)?,
        };
        let origin = if kind.is_sequenced() { tie(content) } else { origin };
        let mut record = Record::new(kind, identity, value, put_time, ttl, origin);
        record.head.seq = seq;
        record.is_intact().then_some(record)
    }

    /// The proof of a signed record; `None` of any other, or if there is none.
    #[must_use]
    pub fn proof(&self) -> Option<Proof> {
        let front = self.value.get(..PROOF_BYTES).filter(|_| self.head.kind.is_signed())?;
        wire::from_slice(front).ok()
    }

    /// What a reader is given: the value.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        self.value.get(self.head.proof_bytes()..).unwrap_or_default()
    }

    /// Whether the content is the one that the head names: its hash, of a remove also its secret. A copy that fails is
    /// damaged or forged and must not be served.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        let head = &self.head;
        let Identity { key, secret_hash, value_hash } = &head.identity;
        let of_length = self.value.len() == head.value_bytes as usize;
        let intact = match head.kind {
            Kind::Put => head.seq == 0 && Id::sha1(&self.value) == *value_hash,
            Kind::Remove => {
                head.seq == 0 && self.value.len() <= SECRET_BYTES_MAX && Id::sha1(&self.value) == *secret_hash
            }
            Kind::Immutable => {
                head.seq == 0
                    && *secret_hash == Id::ZERO
                    && key == value_hash
                    && content_key(&self.value) == *key
            }
            _ => self.names_its_proof(),
        };
        of_length && intact
    }

    /// Whether head and content of a signed record say the same.
    fn names_its_proof(&self) -> bool {
        let (head, content) = (&self.head, self.content());
        let Some(proof) = self.proof() else { return false };
        let of_series = head.kind.is_sequenced();
        signed_name(head.kind, content, &proof) == Some(head.identity.value_hash)
            && proof::signer_place(&proof.public_key) == head.identity.secret_hash
            && (proof.expires_secs.checked_mul(1_000_000).map(Wall) == Some(head.expires())
                || cfg!(keyway_bug = "store_replay_accepted"))
            && of_series == (head.seq > 0)
            && (!of_series || head.origin == tie(content))
    }

    /// Whether it was signed for this network by the signer that it names; what is not signed needs no more than
    /// [`Record::is_intact`].
    #[must_use]
    pub fn is_authentic(&self, network: NetworkId) -> bool {
        if !self.head.kind.is_signed() {
            return true;
        }
        let Head { kind, identity, seq, .. } = &self.head;
        let claim = Claim { kind: *kind, network, key: &identity.key, content: self.content(), seq: *seq };
        self.proof().is_some_and(|proof| claim.is_proven_by(&proof))
    }
}

/// The key of an immutable value: the first 160 bits of its SHA-256.
#[must_use]
pub fn content_key(value: &[u8]) -> Id {
    proof::first_of(sha256(value))
}

/// The name of a signed record among its signer's under a key; `None` if the content does not fit the kind.
fn signed_name(kind: Kind, content: &[u8], proof: &Proof) -> Option<Id> {
    match kind {
        Kind::Signed => Some(proof::signed_name(&sha256(content), &proof.nonce)),
        Kind::SignedRemove => Some(proof::signed_name(content.try_into().ok()?, &proof.nonce)),
        Kind::Sequenced => Some(proof::series_name(&proof.nonce)),
        Kind::SequencedRemove => content.is_empty().then(|| proof::series_name(&proof.nonce)),
        Kind::Put | Kind::Remove | Kind::Immutable => None,
    }
}

/// What decides between two values of one series with one number, signed by somebody who should not have.
fn tie(content: &[u8]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = sha256(content);
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

impl Wire for Identity {
    fn encode(&self, w: &mut Writer<'_>) {
        self.key.encode(w);
        self.secret_hash.encode(w);
        self.value_hash.encode(w);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Identity, Malformed> {
        Ok(Identity { key: Id::decode(r)?, secret_hash: Id::decode(r)?, value_hash: Id::decode(r)? })
    }
}

impl Wire for Head {
    fn encode(&self, w: &mut Writer<'_>) {
        w.u8(RECORD_VERSION);
        w.u8(self.kind as u8);
        self.identity.encode(w);
        w.u64(self.put_time.0);
        w.u64(self.ttl.0);
        w.u64(self.origin);
        w.u64(self.seq);
        w.u64(self.client.0);
        w.u32(self.value_bytes);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Head, Malformed> {
        if r.u8()? != RECORD_VERSION {
            return Err(Malformed("record version"));
        }
        let kind = *Kind::ALL.get(usize::from(r.u8()?)).ok_or(Malformed("record kind"))?;
        let head = Head {
            kind,
            identity: Identity::decode(r)?,
            put_time: Wall(r.u64()?),
            ttl: Duration(r.u64()?),
            origin: r.u64()?,
            seq: r.u64()?,
            client: ClientId(r.u64()?),
            value_bytes: r.u32()?,
        };
        if head.value_bytes as usize > VALUE_BYTES_MAX + PROOF_BYTES {
            return Err(Malformed("value longer than 1 MiB"));
        }
        Ok(head)
    }
}

impl Wire for Record {
    fn encode(&self, w: &mut Writer<'_>) {
        self.head.encode(w);
        w.bytes(&self.value);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Record, Malformed> {
        let head = Head::decode(r)?;
        let value = r.take(head.value_bytes as usize)?.to_vec();
        Ok(Record { head, value })
    }
}

impl Wire for Cursor {
    fn encode(&self, w: &mut Writer<'_>) {
        w.u64(self.put_time.0);
        w.u64(self.ttl.0);
        self.secret_hash.encode(w);
        self.value_hash.encode(w);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Cursor, Malformed> {
        Ok(Cursor {
            put_time: Wall(r.u64()?),
            ttl: Duration(r.u64()?),
            secret_hash: Id::decode(r)?,
            value_hash: Id::decode(r)?,
        })
    }
}
