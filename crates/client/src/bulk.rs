//! Many puts and gets in one request: what is sent, and what comes back.
//!
//! Every put carries a request id of its own, drawn once: a gateway to which it comes again, by a repetition of the whole
//! request, gives its first outcome.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::answer::{ErrorText, PutOptions, Reads};
use crate::failure::ClientError;
use crate::gateways::Ask;
use crate::hex::Hex;
use crate::key::Key;

/// Entries of one request: as many as a gateway takes.
pub(crate) const ENTRIES_MAX: usize = 1000;
/// Bytes of values in one request, so that its body is below what a gateway takes: base64 is a third more, and names are small.
const VALUE_BYTES_MAX: usize = 4 << 20;
/// Digits of a request's id.
const REQUEST_ID_DIGITS: usize = 32;

/// One put of many.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BulkPut {
    /// Where; `None`: under its own hash, and it cannot be removed.
    pub key: Option<Key>,
    /// What.
    pub value: Bytes,
    /// For how long, and who may remove it.
    pub options: PutOptions,
}

impl BulkPut {
    /// A plain put.
    #[must_use]
    pub fn new(key: Key, value: Bytes) -> BulkPut {
        BulkPut { key: Some(key), value, options: PutOptions::default() }
    }

    /// The key and the name that its receipt must have.
    pub(crate) fn names(&self) -> (Key, Key) {
        match self.key {
            Some(key) => (key, Key::hash(&self.value)),
            None => (Key::content(&self.value), Key::content(&self.value)),
        }
    }
}

#[derive(Serialize)]
struct Entry {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Key>,
    value_base64: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_hash: Option<Key>,
    request_id: String,
}

/// The puts in requests that fit: which, and the body.
pub(crate) fn puts(puts: &[BulkPut]) -> Result<Vec<(&[BulkPut], Bytes)>, ClientError> {
    let mut requests = Vec::new();
    let mut rest = puts;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |put: &&BulkPut| {
            bytes += put.value.len();
            bytes <= VALUE_BYTES_MAX
        };
        // One that is too long for any request is sent alone, and refused.
        let count = rest.iter().take(ENTRIES_MAX).take_while(fits).count().max(1);
        let (some, others) = rest.split_at(count);
        let entries = some.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let body = serde_json::to_vec(&json!({ "puts": entries }));
        requests.push((some, body.map_err(|why| ClientError::Usage(why.to_string()))?.into()));
        rest = others;
    }
    Ok(requests)
}

fn entry(put: &BulkPut) -> Result<Entry, ClientError> {
    let mut request_id = Hex::random()?.to_string();
    request_id.truncate(REQUEST_ID_DIGITS);
    Ok(Entry {
        id: put.key,
        value_base64: STANDARD.encode(&put.value),
        ttl: put.options.ttl.map(|ttl| ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)),
        secret_hash: put.options.secret_hash,
        request_id,
    })
}

/// The body of a request for the pages of these keys.
pub(crate) fn gets(keys: &[Key], reads: Reads) -> Result<Bytes, ClientError> {
    let gets: Vec<_> = keys.iter().map(|key| json!({ "id": key })).collect();
    let body = serde_json::to_vec(&json!({ "gets": gets, "reads": reads }));
    Ok(body.map_err(|why| ClientError::Usage(why.to_string()))?.into())
}

/// A bulk request: not named as a whole, its entries are.
pub(crate) fn ask(path: &str, body: Bytes) -> Ask {
    Ask {
        method: Method::POST,
        path: path.into(),
        content_type: "application/json",
        headers: Vec::new(),
        body,
    }
}

/// What came of each entry.
#[derive(Deserialize)]
pub(crate) struct BulkAnswer<T> {
    results: Vec<BulkResult<T>>,
}

#[derive(Deserialize)]
struct BulkResult<T> {
    status: u16,
    #[serde(alias = "receipt", alias = "page")]
    done: Option<T>,
    error: Option<ErrorText>,
}

impl<T> BulkAnswer<T> {
    /// One outcome for each of `count` entries.
    pub(crate) fn into_results(self, count: usize) -> Result<Vec<Result<T, ClientError>>, ClientError> {
        if self.results.len() != count {
            let got = self.results.len();
            return Err(ClientError::Protocol(format!("{got} results for {count} entries")));
        }
        let outcome = |result: BulkResult<T>| match (result.done, result.error) {
            (Some(done), _) => Ok(done),
            (None, Some(ErrorText { code, message, hint, seq, expires_ms })) => Err(ClientError::Refused {
                status: result.status,
                code,
                message,
                hint,
                seq,
                expires_ms,
                retry_after_secs: None,
            }),
            (None, None) => Err(ClientError::Protocol("a result that says nothing".into())),
        };
        Ok(self.results.into_iter().map(outcome).collect())
    }
}
