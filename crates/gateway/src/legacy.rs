//! The rules of the public service of 2005, in one room: what both of its faces hold to, whatever their wires look like
//! (`opendht` sections 1.2, 1.5, 1.6, 8).
//!
//! ```text
//!   XML-RPC ──┐  key, value, seconds, maxvals, placemark        Op::Put, Get, Remove
//!             ├───────────────────────────────────▶ Legacy ──────────────────────▶ Desk ──▶ node
//!   Sun RPC ──┘  Status 0/1/2, a page, or Refused               OpDone, OpError
//! ```
//!
//! What was silently done is done: a ttl above a week is cut to a week (or to what this network gives), a key of less than
//! 20 bytes is a number with zeros on its left, `maxvals` counts by its low 16 bits. What was undefined is decided here: a
//! ttl below one second, an empty key, a `maxvals` whose low 16 bits are zero and a placemark that no `get` of ours gave are
//! refused. Repeating such a call can never succeed, which a return code of 2 would promise.
//!
//! The limits are settings ([`LegacyLimits`]); lengths that a wire cannot express are the wire's own.

use keyway_core::machine::{GetAnswer, Op, OpDone, OpError, Reads};
use keyway_core::store::Cursor;
use keyway_core::{Duration, Id};

use crate::access::{Bearer, Declined, Denied};
use crate::cursor;
use crate::node::{Desk, Node};
use crate::settings::LegacyLimits;

/// Longest secret.
pub(crate) const SECRET_BYTES_MAX: usize = 40;
/// Longest placemark looked at. Those given here have 56 bytes.
pub(crate) const PLACEMARK_BYTES_MAX: usize = 77;
/// `maxvals` counts by these bits.
const MAXVALS_MASK: i64 = 0xffff;
/// Pages that are asked for at most to find a value that a wire can express.
const LONG_PAGES_MAX: usize = 16;
/// What clients of 2005 call SHA-1; upper and lower case are one.
const SHA1_NAMES: [&[u8]; 4] = [b"", b"SHA", b"SHA1", b"SHA-1"];

/// What a put or a remove achieved, as a return code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    /// Done, and acknowledged by as many nodes as the network promises.
    Ok = 0,
    /// Over capacity.
    Capacity = 1,
    /// The outcome is not success, and trying again may change that.
    Again = 2,
}

/// Why a call has no result. The text is that of a fault.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("key is empty")]
    KeyEmpty,
    #[error("key is longer than 20 bytes")]
    KeyTooLong,
    #[error("value is longer than {max} bytes")]
    ValueTooLong { max: u64 },
    #[error("ttl_sec is less than 1")]
    TtlTooShort,
    #[error("secret is longer than {SECRET_BYTES_MAX} bytes")]
    SecretTooLong,
    #[error("secret hash is longer than 20 bytes")]
    SecretHashTooLong,
    #[error("value_hash is longer than 20 bytes")]
    ValueHashTooLong,
    #[error("value_hash is empty")]
    ValueHashEmpty,
    #[error("unknown secret hash algorithm: \"{0}\"")]
    UnknownAlgorithm(String),
    #[error("maxvals is zero in its low 16 bits")]
    MaxvalsZero,
    #[error("placemark is longer than {PLACEMARK_BYTES_MAX} bytes")]
    PlacemarkTooLong,
    #[error("placemark is not one of this gateway's")]
    PlacemarkForeign,
    /// A get has no return code.
    #[error("try again: {0}")]
    TryAgain(OpError),
    #[error("this gateway is at fault")]
    OurFault,
}

impl Refused {
    /// Whether the call itself is at fault: repeating it can never succeed.
    pub(crate) fn is_callers_fault(&self) -> bool {
        !matches!(self, Refused::TryAgain(_) | Refused::OurFault)
    }
}

/// A hash as a client has it.
#[derive(Clone, Copy)]
pub(crate) struct Hash<'a> {
    /// What it calls its algorithm.
    pub(crate) algorithm: &'a [u8],
    pub(crate) bytes: &'a [u8],
}

/// A page of values as both faces give it.
pub(crate) struct Page {
    /// What was found.
    pub(crate) found: GetAnswer,
    /// Where to go on; empty when there is no more.
    pub(crate) placemark: Vec<u8>,
}

/// The counter of 2005 before a desk of today.
pub(crate) struct Legacy<'a, N> {
    desk: &'a Desk<N>,
    limits: &'a LegacyLimits,
    who: &'a Bearer,
}

impl<'a, N: Node> Legacy<'a, N> {
    /// For one client, who is charged for what it writes.
    pub(crate) fn new(desk: &'a Desk<N>, limits: &'a LegacyLimits, who: &'a Bearer) -> Legacy<'a, N> {
        Legacy { desk, limits, who }
    }

    /// Stores a value. It can be removed by whoever shows the secret of that hash; without one, or with an empty one, by
    /// nobody.
    pub(crate) async fn put(
        &self,
        key: Id,
        value: &[u8],
        secret_hash: Option<Hash<'_>>,
        ttl_secs: i64,
    ) -> Result<Status, Refused> {
        let value_bytes_max = self.limits.value_bytes_max;
        if value.len() > value_bytes_max as usize {
            return Err(Refused::ValueTooLong { max: value_bytes_max.into() });
        }
        let secret_hash = match secret_hash.filter(|hash| !hash.bytes.is_empty()) {
            None => Id::ZERO,
            Some(hash) => {
                check_algorithm(hash.algorithm)?;
                Id::from_bytes_padded(hash.bytes).ok_or(Refused::SecretHashTooLong)?
            }
        };
        let client = self.who.client;
        self.write(ttl_secs, |ttl| Op::Put { key, value: value.to_vec(), ttl, secret_hash, client }).await
    }

    /// Removes the value of that hash, if it was put under that secret. Whether it was is not told: a wrong secret stores a
    /// removal of something else, and succeeds (`opendht` section 1.6).
    pub(crate) async fn remove(
        &self,
        key: Id,
        value_hash: Hash<'_>,
        algorithm: &[u8],
        secret: &[u8],
        ttl_secs: i64,
    ) -> Result<Status, Refused> {
        check_algorithm(value_hash.algorithm)?;
        check_algorithm(algorithm)?;
        if value_hash.bytes.is_empty() {
            return Err(Refused::ValueHashEmpty);
        }
        let value_hash = Id::from_bytes_padded(value_hash.bytes).ok_or(Refused::ValueHashTooLong)?;
        if secret.len() > SECRET_BYTES_MAX {
            return Err(Refused::SecretTooLong);
        }
        let client = self.who.client;
        self.write(ttl_secs, |ttl| Op::Remove { key, value_hash, secret: secret.to_vec(), ttl, client }).await
    }

    /// A write whose life is cut to what the service, and this network, give.
    async fn write(&self, ttl_secs: i64, op: impl Fn(Duration) -> Op) -> Result<Status, Refused> {
        if ttl_secs < 1 {
            return Err(Refused::TtlTooShort);
        }
        let ttl = Duration::from_secs(ttl_secs.unsigned_abs().min(self.limits.ttl_max.as_secs()));
        let outcome = match self.who.write(self.desk, op(ttl)).await {
            // This network gives shorter lives than a week: cut to what it gives, as the week itself is.
            Err(Declined::Node(OpError::BadTtl { max_secs })) if max_secs < ttl.as_secs() => {
                self.who.write(self.desk, op(Duration::from_secs(max_secs))).await
            }
            outcome => outcome,
        };
        match outcome {
            Ok(_) => Ok(Status::Ok),
            Err(Declined::Node(OpError::OverCapacity) | Declined::Access(Denied::Stored { .. })) => {
                Ok(Status::Capacity)
            }
            Err(Declined::Node(OpError::TooLarge { max, .. })) => Err(Refused::ValueTooLong { max }),
            Err(Declined::Node(OpError::BadTtl { .. })) => Err(Refused::TtlTooShort),
            Err(_) => Ok(Status::Again),
        }
    }

    /// A page of the values under a key, strictly after a placemark.
    pub(crate) async fn get(&self, key: Id, maxvals: i64, placemark: &[u8]) -> Result<Page, Refused> {
        let max = (maxvals & MAXVALS_MASK) as u32;
        if max == 0 {
            return Err(Refused::MaxvalsZero);
        }
        let op = Op::Get {
            key,
            max,
            after: place_of(placemark)?,
            reads: Reads::Quorum,
            page_bytes: self.limits.page_bytes,
            overhead_bytes: self.limits.value_overhead_bytes,
            signer: None,
        };
        match self.desk.op(op).await {
            Ok(OpDone::Got(found)) => {
                let placemark = found.next.as_ref().map(cursor::bytes).unwrap_or_default();
                Ok(Page { found, placemark })
            }
            Ok(_) => Err(Refused::OurFault),
            Err(why) => Err(Refused::TryAgain(why)),
        }
    }

    /// The same for a wire that cannot express a longer value than may be put by it: those, put by other interfaces, are
    /// left out. A page of nothing else is passed over, so that clients which stop at an empty one get what they can.
    pub(crate) async fn get_short(&self, key: Id, maxvals: i64, placemark: &[u8]) -> Result<Page, Refused> {
        let max = self.limits.value_bytes_max as usize;
        let mut page = self.get(key, maxvals, placemark).await?;
        for _ in 1..LONG_PAGES_MAX {
            page.found.values.retain(|value| value.bytes.len() <= max);
            if !page.found.values.is_empty() || page.placemark.is_empty() {
                break;
            }
            page = self.get(key, maxvals, &page.placemark).await?;
        }
        page.found.values.retain(|value| value.bytes.len() <= max);
        Ok(page)
    }
}

pub(crate) fn check_algorithm(name: &[u8]) -> Result<(), Refused> {
    // Indented documents indent their strings, too.
    let name = name.trim_ascii();
    if SHA1_NAMES.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    Err(Refused::UnknownAlgorithm(String::from_utf8_lossy(name).into_owned()))
}

/// A key of at most 20 bytes; a shorter one is a number.
pub(crate) fn key_of(bytes: &[u8]) -> Result<Id, Refused> {
    if bytes.is_empty() {
        return Err(Refused::KeyEmpty);
    }
    Id::from_bytes_padded(bytes).ok_or(Refused::KeyTooLong)
}

fn place_of(placemark: &[u8]) -> Result<Option<Cursor>, Refused> {
    match placemark.len() {
        0 => Ok(None),
        1..=PLACEMARK_BYTES_MAX => cursor::read(placemark).map(Some).ok_or(Refused::PlacemarkForeign),
        _ => Err(Refused::PlacemarkTooLong),
    }
}
