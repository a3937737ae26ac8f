//! The record: one value under a key, with its life.
//!
//! Identity of a plain value is the triple (key, secret hash, hash of value); several values live under one key. A
//! record carries `put_time` (wall clock of its gateway) and `ttl`, fixed once: wire, disk and digests carry both
//! unchanged, so that no path can extend or cut a life. *Remaining* time exists only in answers to clients.
//!
//! Two records of one identity merge to the greater by ([`Head::rank`]): is a remove, expires, put time, origin. Taking
//! the maximum of a total order is commutative, associative and idempotent, so copies converge in any order of arrival
//! (`opendht` section 1.6).
//!
//! Stored form (also the wire form), version 1; integers big-endian:
//!
//! ```text
//! | version 1 | kind 1 | key 20 | secret hash 20 | value hash 20 | put_time us 8 | ttl us 8 | origin 8 | value len 4 | value |
//! ```

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::id::Id;
use crate::time::{Duration, Wall};
use crate::wire::{Malformed, Reader, Wire, Writer};

/// Version of the stored and sent record form.
pub const RECORD_VERSION: u8 = 1;
/// The greatest value that any configuration allows.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// Length of a [`Head`]'s wire form.
pub const HEAD_BYTES: usize = 90;

/// What a record is. The numbers are on disk: never reuse one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A plain value.
    Put = 0,
    /// The removal of a plain value. Carried by the format; no interface makes one yet.
    Remove = 1,
}

/// What makes two records copies of one: (key, secret hash, value hash). The name of the record on disk. `Ord` is the
/// order of the bytes in that order of fields.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// Where it lives.
    pub key: Id,
    /// SHA-1 of the secret with which it can be removed; zero if it cannot.
    pub secret_hash: Id,
    /// SHA-1 of the value.
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
    /// The gateway that accepted it: first 8 bytes of its id. Breaks ties only.
    pub origin: u64,
    /// Length of the value.
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

impl Head {
    /// The instant from which it is not served any more.
    #[must_use]
    pub fn expires(&self) -> Wall {
        self.put_time + self.ttl
    }

    /// The order of merging: the greater of two records of one identity wins.
    #[must_use]
    pub fn rank(&self) -> (Kind, Wall, Wall, u64) {
        (self.kind, self.expires(), self.put_time, self.origin)
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

/// A head with its value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Record {
    /// Everything but the value.
    pub head: Head,
    /// The value; empty for a remove.
    pub value: Vec<u8>,
}

impl Record {
    /// A plain value without a secret.
    #[must_use]
    pub fn plain(key: Id, value: Vec<u8>, put_time: Wall, ttl: Duration, origin: u64) -> Record {
        let identity = Identity { key, secret_hash: Id::ZERO, value_hash: Id::sha1(&value) };
        let head = Head { identity, kind: Kind::Put, put_time, ttl, origin, value_bytes: value.len() as u32 };
        Record { head, value }
    }

    /// Whether the value is the one that the head names. A copy that fails is damaged and must not be served.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        match self.head.kind {
            Kind::Put => {
                self.value.len() == self.head.value_bytes as usize
                    && Id::sha1(&self.value) == self.head.identity.value_hash
            }
            Kind::Remove => self.value.is_empty() && self.head.value_bytes == 0,
        }
    }
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
        w.u32(self.value_bytes);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Head, Malformed> {
        if r.u8()? != RECORD_VERSION {
            return Err(Malformed("record version"));
        }
        let kind = match r.u8()? {
            0 => Kind::Put,
            1 => Kind::Remove,
            _ => return Err(Malformed("record kind")),
        };
        let head = Head {
            kind,
            identity: Identity::decode(r)?,
            put_time: Wall(r.u64()?),
            ttl: Duration(r.u64()?),
            origin: r.u64()?,
            value_bytes: r.u32()?,
        };
        if head.value_bytes as usize > VALUE_BYTES_MAX {
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
