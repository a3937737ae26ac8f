//! XML-RPC, as the public service of 2005 spoke it: `put` and `get`, bit for bit (`opendht` sections 1.2, 1.3, 1.5).
//!
//! ```text
//!   put(key base64, value base64, ttl int, application string)          -> int: 0 stored, 1 over capacity, 2 try again
//!   get(key base64, maxvals int, placemark base64, application string)  -> [[value base64, ..], placemark base64]
//! ```
//!
//! What the calls mean and which limits they have is said in `legacy`; what that room refuses is a fault. A `get` has no
//! return code; when too few replicas answer it is a fault whose text begins with `try again`.
//!
//! What the deployed gateway answered with a closed connection (unreadable XML, no length) is so answered.

pub mod read;
#[cfg(test)]
mod tests;
pub mod write;

use keyway_core::store::ClientId;

pub use read::{Call, Value, XmlError, read_call};

use crate::legacy::{Legacy, key_of};
use crate::node::{Desk, Node};
use crate::settings::LegacyLimits;

/// Answers one call with the body of its reply.
pub(crate) async fn answer<N: Node>(
    desk: &Desk<N>,
    limits: &LegacyLimits,
    client: ClientId,
    call: &Call,
) -> String {
    let legacy = Legacy::new(desk, limits, client);
    let reply = match call.method.as_str() {
        "put" => put(&legacy, &call.params).await,
        "get" => get(&legacy, &call.params).await,
        unknown => Err(format!("no such handler: {unknown}")),
    };
    reply.unwrap_or_else(|fault| write::fault(&fault))
}

/// `put`: a status, or the text of a fault.
async fn put<N: Node>(legacy: &Legacy<'_, N>, params: &[Value]) -> Result<String, String> {
    let [Value::Bytes(key), Value::Bytes(value), Value::Int(ttl), Value::Text(_)] = params else {
        return Err("put takes key base64, value base64, ttl_sec int, application string".into());
    };
    let put = async { legacy.put(key_of(key)?, value, None, *ttl).await };
    put.await.map(|status| write::status(status as i32)).map_err(|why| why.to_string())
}

/// `get`: a page, or the text of a fault.
async fn get<N: Node>(legacy: &Legacy<'_, N>, params: &[Value]) -> Result<String, String> {
    let [Value::Bytes(key), Value::Int(maxvals), Value::Bytes(placemark), Value::Text(_)] = params else {
        return Err("get takes key base64, maxvals int, placemark base64, application string".into());
    };
    let get = async { legacy.get(key_of(key)?, *maxvals, placemark).await };
    let page = get.await.map_err(|why| why.to_string())?;
    Ok(write::page(page.found.values.iter().map(|value| value.bytes.as_slice()), &page.placemark))
}
