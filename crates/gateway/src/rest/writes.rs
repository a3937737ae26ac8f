//! Requests that change what the network holds: puts and removals. Those of what somebody has signed stand beside (`signed.rs`).
//!
//! ```text
//!   PUT    /v1/keys/{text}            body: the value       Keyway-Secret-Hash, or Keyway-Secret: it can be removed
//!   POST   /v1/immutable              body: the value       its key is its hash, which the receipt tells
//!   DELETE /v1/keys/{text}            ?value_hash=HEX       Keyway-Secret: the secret under which it was put
//! ```
//!
//! A secret travels in a header, never in an address: addresses end in logs. It need not travel before the remove: a put is
//! content with its SHA-1. Nothing here keeps a secret, logs one or repeats one in an answer, and none is ever compared: a
//! removal names what it hides by the secret's SHA-1. Each of these requests may carry an `Idempotency-Key` ([`repeats`]).

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, Uri, header};
use keyway_core::machine::{Op, OpDone, OpError, PutReceipt, RemoveReceipt, SignedPut};
use keyway_core::store::Kind;
use keyway_core::store::proof::sha256;
use keyway_core::store::record::SECRET_BYTES_MAX;
use keyway_core::{Duration, Id, Wall};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::openapi::{AnyBytes, PutValue, RemoveValue};
use super::refusal::Refusal;
use super::repeats::{self, Entry, Outcome};
use super::{
    Named, PathText, Shared, Shop, TTL_DEFAULT, json, or_refusal, our_fault, path_text, query, text,
};
use crate::access::{Bearer, Declined};
use crate::http::body::{self, BodyError};
use crate::node::Node;
use crate::tasks::begun;

/// The secret with which a value can be removed, as base64.
const SECRET_HEADER: &str = "keyway-secret";
/// Its SHA-1, as 40 hex digits.
const SECRET_HASH_HEADER: &str = "keyway-secret-hash";

// ---- the requests -----------------------------------------------------------------------------------------------

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PutQuery {
    /// The value's life in seconds; a day if it is not said. A network may give less, or more.
    #[param(minimum = 1, maximum = 604_800)]
    ttl: Option<u64>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RemoveQuery {
    /// SHA-1 of the value as 40 hex digits: `value_hash` of its receipt, or of what a get tells of it.
    #[param(pattern = "^[0-9a-fA-F]{40}$")]
    value_hash: String,
    /// How long the removal stands at least, in seconds. It stands as long as the value would have lived in any case.
    #[param(minimum = 1, maximum = 604_800)]
    ttl: Option<u64>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes headers that are read by name")]
struct PutHeaders {
    /// SHA-1, as 40 hex digits, of the secret with which the value can be removed. Without one it cannot be.
    #[param(rename = "Keyway-Secret-Hash", pattern = "^[0-9a-fA-F]{40}$", value_type = String, required = false)]
    secret_hash: Option<String>,
    /// The secret itself as base64, 1 to 40 bytes, in place of its hash.
    #[param(rename = "Keyway-Secret", pattern = "^([A-Za-z0-9+/]{4}){1,13}$", value_type = String, required = false)]
    secret: Option<String>,
    /// A name for this request, 1 to 64 printable bytes without blanks: its repetitions get the first outcome for ten minutes.
    #[param(rename = "Idempotency-Key", pattern = "^[!-~]{1,64}$", value_type = String, required = false)]
    request_id: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes headers that are read by name")]
struct RemoveHeaders {
    /// The secret under which the value was put, as base64, 1 to 40 bytes.
    #[param(rename = "Keyway-Secret", pattern = "^([A-Za-z0-9+/]{4}){1,13}$")]
    secret: String,
    /// A name for this request, 1 to 64 printable bytes without blanks: its repetitions get the first outcome for ten minutes.
    #[param(rename = "Idempotency-Key", pattern = "^[!-~]{1,64}$", value_type = String, required = false)]
    request_id: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header that is read by name")]
pub(super) struct RepeatHeaders {
    /// A name for this request, 1 to 64 printable bytes without blanks: its repetitions get the first outcome for ten minutes.
    #[param(rename = "Idempotency-Key", pattern = "^[!-~]{1,64}$", value_type = String, required = false)]
    request_id: Option<String>,
}

// ---- handlers ---------------------------------------------------------------------------------------------------

/// Stores the body under a text key.
///
/// Repeating a put is harmless: the same value under the same key and secret is one record, whose life is the longer one.
#[utoipa::path(
    put, path = "/v1/keys/{text}", tag = "values",
    params(("text" = String, Path, description = "The key, percent-encoded: `/` is `%2F`"), PutQuery, PutHeaders),
    request_body(content = inline(AnyBytes), content_type = "application/octet-stream", description = "The value"),
    responses((status = 201, description = "Stored, and who acknowledged it", body = json::Receipt), PutValue),
)]
pub(super) async fn put_text<N: Node>(shop: Shared<N>, text: PathText, request: Request) -> Response<Body> {
    or_refusal(async { put(&shop, Named::Text(path_text(text)?), request).await }).await
}

/// Stores the body under a key given by its id.
///
/// Repeating a put is harmless: the same value under the same key and secret is one record, whose life is the longer one.
#[utoipa::path(
    put, path = "/v1/ids/{hex}", tag = "values",
    params(("hex" = String, Path, pattern = "^[0-9a-fA-F]{40}$", description = "The key as 40 hex digits"), PutQuery, PutHeaders),
    request_body(content = inline(AnyBytes), content_type = "application/octet-stream", description = "The value"),
    responses((status = 201, description = "Stored, and who acknowledged it", body = json::Receipt), PutValue),
)]
pub(super) async fn put_id<N: Node>(shop: Shared<N>, hex: PathText, request: Request) -> Response<Body> {
    or_refusal(async { put(&shop, Named::Hex(path_text(hex)?), request).await }).await
}

async fn put<N: Node>(shop: &Arc<Shop<N>>, named: Named, request: Request) -> super::Answer {
    let key = named.id()?;
    let PutQuery { ttl } = query(request.uri())?;
    let secret_hash = secret_hash(request.headers())?.unwrap_or(Id::ZERO);
    let (asked, value) = Asked::read(shop, request, shop.config.value_bytes_max.into()).await?;
    let ttl = ttl.map(Duration::from_secs);
    asked.answer(shop, Write::Put { key, value: value.to_vec(), ttl, secret_hash }).await
}

/// Stores the body under its own hash.
///
/// The key is the first 160 bits of the SHA-256 of the value; nothing else can ever stand under it, and it cannot be removed.
#[utoipa::path(
    post, path = "/v1/immutable", tag = "values",
    params(PutQuery, RepeatHeaders),
    request_body(content = inline(AnyBytes), content_type = "application/octet-stream", description = "The value"),
    responses((status = 201, description = "Stored, and under which key", body = json::Receipt), PutValue),
)]
pub(super) async fn put_immutable<N: Node>(shop: Shared<N>, request: Request) -> Response<Body> {
    or_refusal(async {
        let PutQuery { ttl } = query(request.uri())?;
        let (asked, value) = Asked::read(&shop, request, shop.config.value_bytes_max.into()).await?;
        let ttl = ttl.map(Duration::from_secs);
        asked.answer(&shop, Write::Immutable { value: value.to_vec(), ttl }).await
    })
    .await
}

/// Removes one value of a text key: hides it until it ends.
#[utoipa::path(
    delete, path = "/v1/keys/{text}", tag = "values",
    params(("text" = String, Path, description = "The key, percent-encoded: `/` is `%2F`"), RemoveQuery, RemoveHeaders),
    responses((status = 200, description = "Removed, and who acknowledged it", body = json::Removal), RemoveValue),
)]
pub(super) async fn remove_text<N: Node>(
    shop: Shared<N>,
    text: PathText,
    request: Request,
) -> Response<Body> {
    or_refusal(async { remove(&shop, Named::Text(path_text(text)?), request).await }).await
}

/// Removes one value of a key given by its id: hides it until it ends.
#[utoipa::path(
    delete, path = "/v1/ids/{hex}", tag = "values",
    params(("hex" = String, Path, pattern = "^[0-9a-fA-F]{40}$", description = "The key as 40 hex digits"), RemoveQuery, RemoveHeaders),
    responses((status = 200, description = "Removed, and who acknowledged it", body = json::Removal), RemoveValue),
)]
pub(super) async fn remove_id<N: Node>(shop: Shared<N>, hex: PathText, request: Request) -> Response<Body> {
    or_refusal(async { remove(&shop, Named::Hex(path_text(hex)?), request).await }).await
}

async fn remove<N: Node>(shop: &Arc<Shop<N>>, named: Named, request: Request) -> super::Answer {
    let key = named.id()?;
    let RemoveQuery { value_hash, ttl } = query(request.uri())?;
    let value_hash: Id =
        value_hash.parse().map_err(|_| Refusal::bad_request("value_hash is not 40 hex digits"))?;
    let secret = secret(request.headers())?.ok_or_else(|| {
        Refusal::bad_request("a remove needs the secret under which the value was put").hint(
            "send it as base64 in the header Keyway-Secret; what was signed is removed by POST .../signed",
        )
    })?;
    let ttl = Duration::from_secs(ttl.unwrap_or(1));
    let (asked, _) = Asked::read(shop, request, 0).await?;
    asked.answer(shop, Write::Remove { key, value_hash, secret, ttl }).await
}

/// So many bytes from twice as many hex digits.
pub(super) fn digits<const N: usize>(name: &str, text: &str) -> Result<[u8; N], Refusal> {
    let wrong = || Refusal::bad_request(format!("{name} is not {} hex digits", 2 * N));
    if text.len() != 2 * N {
        return Err(wrong());
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let nibble = |digit: &u8| char::from(*digit).to_digit(16);
        let (Some(high), Some(low)) = (nibble(&pair[0]), nibble(&pair[1])) else { return Err(wrong()) };
        *byte = (high * 16 + low) as u8;
    }
    Ok(bytes)
}

/// The secret that a request carries.
fn secret(headers: &HeaderMap) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(header) = headers.get(SECRET_HEADER) else { return Ok(None) };
    let secret = STANDARD.decode(header.as_bytes()).ok();
    match secret.filter(|secret| (1..=SECRET_BYTES_MAX).contains(&secret.len())) {
        Some(secret) => Ok(Some(secret)),
        None => {
            let message = format!("Keyway-Secret is not base64 of 1 to {SECRET_BYTES_MAX} bytes");
            Err(Refusal::bad_request(message))
        }
    }
}

/// SHA-1 of the secret that a put names.
fn secret_hash(headers: &HeaderMap) -> Result<Option<Id>, Refusal> {
    let secret = secret(headers)?.map(|secret| Id::sha1(&secret));
    let hash = headers.get(SECRET_HASH_HEADER).map(|value| {
        let hash = value.to_str().ok().and_then(|digits| digits.parse::<Id>().ok());
        hash.ok_or_else(|| Refusal::bad_request("Keyway-Secret-Hash is not 40 hex digits"))
    });
    match (secret, hash.transpose()?) {
        (Some(secret), Some(hash)) if secret != hash => {
            let message = "Keyway-Secret and Keyway-Secret-Hash are of different secrets";
            Err(Refusal::new(StatusCode::CONFLICT, "bad_request", message).hint("send one of them"))
        }
        (secret, hash) => Ok(secret.or(hash)),
    }
}

// ---- performing -------------------------------------------------------------------------------------------------

/// A request that has been read, as far as all of them are alike.
pub(super) struct Asked {
    who: Bearer,
    /// Its id, if it has one, and what tells it from other requests.
    repeatable: Option<(String, [u8; 32])>,
}

impl Asked {
    /// What `who` asks, and may ask again under an id.
    pub(super) fn new(who: Bearer, repeatable: Option<(String, [u8; 32])>) -> Asked {
        Asked { who, repeatable }
    }

    /// Reads a request's body, of at most `max` bytes.
    pub(super) async fn read<N>(
        shop: &Shop<N>,
        request: Request,
        max: u64,
    ) -> Result<(Asked, Bytes), Refusal> {
        let (head, body) = request.into_parts();
        let headers = &head.headers;
        let has_length =
            headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::TRANSFER_ENCODING);
        if !has_length && max > 0 {
            let message = "a put needs a body with a Content-Length, or in chunks";
            return Err(Refusal::new(StatusCode::LENGTH_REQUIRED, "bad_request", message));
        }
        let body = match body::read(body, max, &shop.config.limits).await {
            Ok(body) => body,
            Err(BodyError::TooLarge { .. }) if max == 0 => {
                return Err(Refusal::bad_request("a remove has no body").close());
            }
            Err(BodyError::TooLarge { .. }) => {
                return Err(Refusal::too_large(shop.config.value_bytes_max.into()).close());
            }
            Err(why) => return Err(why.into()),
        };
        // Every request comes by the service, which says whose it is.
        let who = head.extensions.get::<Bearer>().cloned().ok_or_else(our_fault)?;
        let digest = |id| (id, digest(head.method.as_str(), &head.uri, headers, &body));
        let repeatable = repeats::id_of(headers)?.map(digest);
        Ok((Asked { who, repeatable }, body))
    }

    /// Performs a write, or gives the answer to the request that this one repeats.
    pub(super) async fn answer<N: Node>(self, shop: &Arc<Shop<N>>, write: Write) -> super::Answer {
        respond(self.outcome(shop, write).await)
    }

    /// The same, as it is remembered.
    pub(super) async fn outcome<N: Node>(self, shop: &Arc<Shop<N>>, write: Write) -> Outcome {
        let Asked { who, repeatable } = self;
        let Some((id, digest)) = repeatable else { return perform(shop, write, &who).await };
        let mut told = match shop.repeats.enter((who.client, id), digest, Instant::now())? {
            Entry::Repeated(told) => told,
            Entry::First(ticket) => {
                let told = ticket.told();
                let shop = shop.clone();
                begun(async move { ticket.tell(perform(&shop, write, &who).await) });
                told
            }
        };
        let outcome = told.wait_for(Option::is_some).await.ok().and_then(|told| told.clone());
        outcome.unwrap_or_else(|| Err(our_fault()))
    }
}

/// What tells a request from another under the same id.
fn digest(method: &str, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> [u8; 32] {
    let mut whole = Vec::with_capacity(body.len() + 256);
    let named = [SECRET_HEADER, SECRET_HASH_HEADER].map(|name| headers.get(name).map(|v| v.as_bytes()));
    let address = uri.path_and_query().map_or("", |address| address.as_str());
    let parts = [Some(method.as_bytes()), Some(address.as_bytes()), named[0], named[1], Some(body)];
    for part in parts {
        whole.push(u8::from(part.is_some()));
        whole.extend_from_slice(&(part.unwrap_or_default().len() as u64).to_be_bytes());
        whole.extend_from_slice(part.unwrap_or_default());
    }
    sha256(&whole)
}

fn respond(outcome: Outcome) -> super::Answer {
    let (status, body) = outcome?;
    let mut response = text("application/json", Body::from(body));
    *response.status_mut() = status;
    Ok(response)
}

/// How a write ended.
type Done = Result<OpDone, Declined>;

/// What is to be changed.
pub(super) enum Write {
    Put { key: Id, value: Vec<u8>, ttl: Option<Duration>, secret_hash: Id },
    Immutable { value: Vec<u8>, ttl: Option<Duration> },
    Remove { key: Id, value_hash: Id, secret: Vec<u8>, ttl: Duration },
    Signed(SignedPut),
}

async fn perform<N: Node>(shop: &Shop<N>, write: Write, who: &Bearer) -> Outcome {
    let client = who.client;
    match write {
        Write::Put { key, value, ttl, secret_hash } => {
            let op = |ttl| Op::Put { key, value: value.clone(), ttl, secret_hash, client };
            let (outcome, ttl) = with_life(shop, who, ttl, op).await;
            receipt_or_refusal(outcome, ttl, None)
        }
        Write::Immutable { value, ttl } => {
            let op = |ttl| Op::PutImmutable { value: value.clone(), ttl, client };
            let (outcome, ttl) = with_life(shop, who, ttl, op).await;
            receipt_or_refusal(outcome, ttl, None)
        }
        Write::Remove { key, value_hash, secret, ttl } => {
            let outcome = who.write(&shop.desk, Op::Remove { key, value_hash, secret, ttl, client }).await;
            receipt_or_refusal(outcome, ttl, None)
        }
        Write::Signed(put) => {
            let put = SignedPut { client: who.charged_for(&put), ..put };
            let end = Wall(put.proof.expires_secs.saturating_mul(1_000_000));
            let outcome = store_signed(shop, who, &put).await;
            if let Err(Declined::Node(OpError::BadTtl { max_secs })) = &outcome {
                let hint = format!("sign an end of life that is 1 to {max_secs} seconds from now");
                return Err(Refusal::from(OpError::BadTtl { max_secs: *max_secs }).hint(hint));
            }
            receipt_or_refusal(outcome, end.since(now()), Some(&put))
        }
    }
}

/// Performs a put for the life that was asked for. Nobody asks for a day: if none is, and this network gives less, that.
async fn with_life<N: Node>(
    shop: &Shop<N>,
    who: &Bearer,
    asked: Option<Duration>,
    op: impl Fn(Duration) -> Op,
) -> (Done, Duration) {
    let ttl = asked.unwrap_or(TTL_DEFAULT);
    match who.write(&shop.desk, op(ttl)).await {
        Err(Declined::Node(OpError::BadTtl { max_secs }))
            if asked.is_none() && max_secs < TTL_DEFAULT.as_secs() =>
        {
            let ttl = Duration::from_secs(max_secs);
            (who.write(&shop.desk, op(ttl)).await, ttl)
        }
        outcome => (outcome, ttl),
    }
}

/// A conflict with the very number that was to be put may be with this very put, whose answer was lost: then putting it
/// again, whatever the number is, is acknowledged. Another value of that number still is a conflict.
async fn store_signed<N: Node>(shop: &Shop<N>, who: &Bearer, put: &SignedPut) -> Done {
    let outcome = who.write(&shop.desk, Op::PutSigned(Box::new(put.clone()))).await;
    match outcome {
        Err(Declined::Node(OpError::Conflict { seq })) if put.cas.is_some() && seq == put.seq => {
            who.write(&shop.desk, Op::PutSigned(Box::new(SignedPut { cas: None, ..put.clone() }))).await
        }
        outcome => outcome,
    }
}

fn receipt_or_refusal(outcome: Done, ttl: Duration, signed: Option<&SignedPut>) -> Outcome {
    match outcome? {
        OpDone::Put(receipt) if receipt.hidden => Err(hidden(&receipt, signed)),
        OpDone::Put(receipt) => lines(StatusCode::CREATED, &json::Receipt::new(&receipt, ttl, signed)),
        OpDone::Removed(receipt) if !receipt.found => Err(nothing_removed(&receipt, signed)),
        OpDone::Removed(receipt) => lines(StatusCode::OK, &json::Removal::new(&receipt)),
        _ => Err(our_fault()),
    }
}

fn lines(status: StatusCode, answer: &impl Serialize) -> Outcome {
    let mut body = serde_json::to_vec(answer).map_err(|_| our_fault())?;
    body.push(b'\n');
    Ok((status, body.into()))
}

fn hidden(receipt: &PutReceipt, signed: Option<&SignedPut>) -> Refusal {
    let value = receipt.identity.value_hash;
    let message = format!("value {value} was removed, and while the removal stands it stays hidden");
    let hint = match signed {
        Some(_) => "sign it anew with another nonce",
        None => "put it under another secret: a revealed one is used up",
    };
    Refusal::new(StatusCode::CONFLICT, "hidden", message).hint(hint)
}

fn nothing_removed(receipt: &RemoveReceipt, signed: Option<&SignedPut>) -> Refusal {
    let message = match signed.map(|put| put.kind) {
        None => "nothing was removed: no value with this hash was put under this secret",
        Some(Kind::SequencedRemove) => "nothing was removed: this key has signed no such series",
        Some(_) => "nothing was removed: no value with this hash and nonce was signed by this key",
    };
    Refusal::new(StatusCode::NOT_FOUND, "nothing_removed", message)
        .hint("a get shows value_hash, secret_hash and signer of each value; the removal stands until expires_ms all the same")
        .until(receipt.expires)
}

pub(super) fn now() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
