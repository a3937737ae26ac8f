//! XML-RPC, as the public service of 2005 spoke it: `put` and `get`, bit for bit (`opendht` sections 1.2, 1.3, 1.5).
//!
//! ```text
//!   put(key base64, value base64, ttl int, application string)          -> int: 0 stored, 1 over capacity, 2 try again
//!   get(key base64, maxvals int, placemark base64, application string)  -> [[value base64, ..], placemark base64]
//! ```
//!
//! What was silently done is done: a ttl above a week is cut to a week, a key of less than 20 bytes is a number with
//! zeros on its left, `maxvals` counts by its low 16 bits. What was undefined is decided here: a ttl below one second, an
//! empty key, and a `maxvals` whose low 16 bits are zero are faults, and so is a placemark that no `get` of ours gave.
//! Repeating such a call can never succeed, which a return code of 2 would promise.
//!
//! A `get` has no return code; when too few replicas answer it is a fault whose text begins with `try again`.
//!
//! What the deployed gateway answered with a closed connection (unreadable XML, no length) is so answered.

pub mod read;
#[cfg(test)]
mod tests;
pub mod write;

use keyway_core::machine::{Op, OpDone, OpError, Reads};
use keyway_core::store::Cursor;
use keyway_core::{Duration, Id};

pub use read::{Call, Value, XmlError, read_call};

use crate::cursor;
use crate::node::{Desk, Node};

/// Longest value taken by `put`.
pub const VALUE_BYTES_MAX: usize = 1024;
/// Longest life given by `put`, in seconds: a week.
pub const TTL_SECS_MAX: i64 = 604_800;
/// Longest placemark looked at. Those given here have 56 bytes.
pub const PLACEMARK_BYTES_MAX: usize = 77;
/// What a page may cost...
pub const PAGE_BYTES: u32 = 1063;
/// ...when each value costs its length and this.
pub const VALUE_OVERHEAD_BYTES: u32 = 39;
/// `maxvals` counts by these bits.
const MAXVALS_MASK: i64 = 0xffff;

/// Stored, and acknowledged by as many nodes as the network promises.
const OK: i32 = 0;
/// Over capacity.
const CAPACITY: i32 = 1;
/// The outcome is not success, and trying again may change that.
const AGAIN: i32 = 2;

/// Answers one call with the body of its reply.
pub(crate) async fn answer<N: Node>(desk: &Desk<N>, call: &Call) -> String {
    let reply = match call.method.as_str() {
        "put" => put(desk, &call.params).await,
        "get" => get(desk, &call.params).await,
        unknown => Err(format!("no such handler: {unknown}")),
    };
    reply.unwrap_or_else(|fault| write::fault(&fault))
}

/// `put`: a status, or the text of a fault.
async fn put<N: Node>(desk: &Desk<N>, params: &[Value]) -> Result<String, String> {
    let [Value::Bytes(key), Value::Bytes(value), Value::Int(ttl), Value::Text(_)] = params else {
        return Err("put takes key base64, value base64, ttl_sec int, application string".into());
    };
    let key = key_of(key)?;
    if value.len() > VALUE_BYTES_MAX {
        return Err(format!("value is longer than {VALUE_BYTES_MAX} bytes"));
    }
    if *ttl < 1 {
        return Err("ttl_sec is less than 1".into());
    }
    let ttl = Duration::from_secs((*ttl).min(TTL_SECS_MAX).unsigned_abs());
    let op = |ttl| Op::put(key, value.clone(), ttl);
    let outcome = match desk.op(op(ttl)).await {
        // This network gives shorter lives than a week: cut to what it gives, as the week itself is.
        Err(OpError::BadTtl { max_secs }) if max_secs < ttl.as_secs() => {
            desk.op(op(Duration::from_secs(max_secs))).await
        }
        outcome => outcome,
    };
    match outcome {
        Ok(_) => Ok(write::status(OK)),
        Err(OpError::OverCapacity) => Ok(write::status(CAPACITY)),
        Err(OpError::TooLarge { max, .. }) => Err(format!("value is longer than {max} bytes")),
        Err(OpError::BadTtl { max_secs }) => Err(format!("ttl_sec is not within 1 and {max_secs}")),
        Err(_) => Ok(write::status(AGAIN)),
    }
}

/// `get`: a page, or the text of a fault.
async fn get<N: Node>(desk: &Desk<N>, params: &[Value]) -> Result<String, String> {
    let [Value::Bytes(key), Value::Int(maxvals), Value::Bytes(placemark), Value::Text(_)] = params else {
        return Err("get takes key base64, maxvals int, placemark base64, application string".into());
    };
    let key = key_of(key)?;
    let max = (maxvals & MAXVALS_MASK) as u32;
    if max == 0 {
        return Err("maxvals is zero in its low 16 bits".into());
    }
    let op = Op::Get {
        key,
        max,
        after: place_of(placemark)?,
        reads: Reads::Quorum,
        page_bytes: PAGE_BYTES,
        overhead_bytes: VALUE_OVERHEAD_BYTES,
        signer: None,
    };
    match desk.op(op).await {
        Ok(OpDone::Got(found)) => {
            let next = found.next.as_ref().map(cursor::bytes).unwrap_or_default();
            Ok(write::page(found.values.iter().map(|value| value.bytes.as_slice()), &next))
        }
        Ok(_) => Err("this gateway is at fault".into()),
        Err(why) => Err(format!("try again: {why}")),
    }
}

fn key_of(bytes: &[u8]) -> Result<Id, String> {
    if bytes.is_empty() {
        return Err("key is empty".into());
    }
    Id::from_bytes_padded(bytes).ok_or_else(|| "key is longer than 20 bytes".into())
}

fn place_of(placemark: &[u8]) -> Result<Option<Cursor>, String> {
    match placemark.len() {
        0 => Ok(None),
        1..=PLACEMARK_BYTES_MAX => {
            cursor::read(placemark).map(Some).ok_or_else(|| "placemark is not one of this gateway's".into())
        }
        _ => Err(format!("placemark is longer than {PLACEMARK_BYTES_MAX} bytes")),
    }
}
