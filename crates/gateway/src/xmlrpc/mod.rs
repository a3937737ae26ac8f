//! XML-RPC, as the public service of 2005 spoke it, bit for bit (`opendht` sections 1.2, 1.3, 1.5, 1.6).
//!
//! ```text
//!   put(key, value, ttl int, application)                                   -> int: 0 stored, 1 over capacity, 2 try again
//!   put_removable(key, value, hash_type, secret_hash, ttl int, application) -> the same
//!   rm(key, value_hash, hash_type, secret, ttl int, application)            -> the same
//!   get(key, maxvals int, placemark, application)         -> [[value, ..], placemark]
//!   get_details(key, maxvals int, placemark, application) -> [[[value, ttl_remaining int, hash_type, secret_hash], ..], placemark]
//! ```
//!
//! Everything without a type here is base64, but hash_type and application, which are strings. The application was only
//! ever logged, so any type will do for it.
//!
//! What the calls mean and which limits they have is said in `legacy`; what that room refuses is a fault. A `get` has no
//! return code; when too few replicas answer it is a fault whose text begins with `try again`.
//!
//! `get_details` names the hash of each value's secret. What no secret removes is told as the deployed gateway told it: `SHA`
//! and 20 zero bytes. Signed values, which 2005 did not know, have no hash type and an empty hash.
//!
//! What the deployed gateway answered with a closed connection (unreadable XML, no length) is so answered.

pub mod read;
#[cfg(test)]
mod tests;
pub mod write;

pub use read::{Call, Value, XmlError, read_call};

use keyway_core::machine;

use crate::access::{Bearer, Need, Scope};
use crate::legacy::{Hash, Legacy, Page, Refused, Status, check_algorithm, key_of};
use crate::node::{Desk, Node};
use crate::settings::LegacyLimits;
use write::Detail;

const PUT: &str = "put takes key base64, value base64, ttl_sec int, application string";
const PUT_REMOVABLE: &str = "put_removable takes key base64, value base64, hash_type string, secret_hash base64, ttl_sec int, application string";
const RM: &str = "rm takes key base64, value_hash base64, hash_type string, secret base64, ttl_sec int, application string";
const GET: &str = "get takes key base64, maxvals int, placemark base64, application string";
const GET_DETAILS: &str = "get_details takes key base64, maxvals int, placemark base64, application string";

/// What the service of 2005 called SHA-1.
const SHA: &str = "SHA";

/// What a call needs of whoever makes it. One that there is not needs nothing to be told so.
pub(crate) fn need(call: &Call) -> Need {
    match call.method.as_str() {
        "put" | "put_removable" | "rm" => Need::Of(Scope::Write),
        "get" | "get_details" => Need::Of(Scope::Read),
        _ => Need::Nothing,
    }
}

/// Answers one call of this client with the body of its reply.
pub(crate) async fn answer<N: Node>(
    desk: &Desk<N>,
    limits: &LegacyLimits,
    who: &Bearer,
    call: &Call,
) -> String {
    let legacy = Legacy::new(desk, limits, who);
    let params = call.params.as_slice();
    let reply = match call.method.as_str() {
        "put" => put(&legacy, params).await.map(status),
        "put_removable" => put_removable(&legacy, params).await.map(status),
        "rm" => rm(&legacy, params).await.map(status),
        "get" => get(&legacy, params, GET).await.map(|page| values(&page)),
        "get_details" => get(&legacy, params, GET_DETAILS).await.map(|page| details(&page)),
        unknown => Err(Fault::Call(format!("no such handler: {unknown}"))),
    };
    reply.unwrap_or_else(|fault| write::fault(&fault.to_string()))
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
enum Fault {
    /// It is not one that there is.
    #[error("{0}")]
    Call(String),
    /// It asks for what is not given.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl Fault {
    fn usage(of: &str) -> Fault {
        Fault::Call(of.to_owned())
    }
}

async fn put<N: Node>(legacy: &Legacy<'_, N>, params: &[Value]) -> Result<Status, Fault> {
    let [Value::Bytes(key), Value::Bytes(value), Value::Int(ttl), _application] = params else {
        return Err(Fault::usage(PUT));
    };
    Ok(legacy.put(key_of(key)?, value, None, *ttl).await?)
}

async fn put_removable<N: Node>(legacy: &Legacy<'_, N>, params: &[Value]) -> Result<Status, Fault> {
    let [
        Value::Bytes(key),
        Value::Bytes(value),
        Value::Text(algorithm),
        Value::Bytes(secret_hash),
        Value::Int(ttl),
        _application,
    ] = params
    else {
        return Err(Fault::usage(PUT_REMOVABLE));
    };
    let algorithm = algorithm.as_bytes();
    check_algorithm(algorithm)?;
    let secret_hash = Hash { algorithm, bytes: secret_hash };
    Ok(legacy.put(key_of(key)?, value, Some(secret_hash), *ttl).await?)
}

async fn rm<N: Node>(legacy: &Legacy<'_, N>, params: &[Value]) -> Result<Status, Fault> {
    let [
        Value::Bytes(key),
        Value::Bytes(value_hash),
        Value::Text(algorithm),
        Value::Bytes(secret),
        Value::Int(ttl),
        _application,
    ] = params
    else {
        return Err(Fault::usage(RM));
    };
    // One name for both hashes.
    let algorithm = algorithm.as_bytes();
    let value_hash = Hash { algorithm, bytes: value_hash };
    Ok(legacy.remove(key_of(key)?, value_hash, algorithm, secret, *ttl).await?)
}

async fn get<N: Node>(legacy: &Legacy<'_, N>, params: &[Value], usage: &str) -> Result<Page, Fault> {
    let [Value::Bytes(key), Value::Int(maxvals), Value::Bytes(placemark), _application] = params else {
        return Err(Fault::usage(usage));
    };
    Ok(legacy.get(key_of(key)?, *maxvals, placemark).await?)
}

fn status(status: Status) -> String {
    write::status(status as i32)
}

fn values(page: &Page) -> String {
    write::page(page.found.values.iter().map(|value| value.bytes.as_slice()), &page.placemark)
}

fn details(page: &Page) -> String {
    write::details(page.found.values.iter().map(detail), &page.placemark)
}

fn detail(value: &machine::Value) -> Detail<'_> {
    let (hash_type, secret_hash): (_, &[u8]) = match value.proof {
        // In the place of its secret hash is its signer's name, of which nobody knows a secret.
        Some(_) => ("", b""),
        None => (SHA, &value.identity.secret_hash.0),
    };
    // Lives of 2005 have at most 31 bits.
    let ttl_remaining = i32::try_from(value.remaining.as_secs()).unwrap_or(i32::MAX);
    Detail { value: &value.bytes, ttl_remaining, hash_type, secret_hash }
}
