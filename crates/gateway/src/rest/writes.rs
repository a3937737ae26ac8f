//! Requests that change what the network holds: puts, removals, and what somebody has signed elsewhere.
//!
//! ```text
//!   PUT    /v1/keys/{text}            body: the value       Keyway-Secret-Hash, or Keyway-Secret: it can be removed
//!   POST   /v1/immutable              body: the value       its key is its hash, which the receipt tells
//!   DELETE /v1/keys/{text}            ?value_hash=HEX       Keyway-Secret: the secret under which it was put
//!   POST   /v1/keys/{text}/signed     body: JSON            a signed or sequenced value, or its removal
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
use keyway_core::machine::{Op, OpDone, OpError, OpResult, PutReceipt, RemoveReceipt, SignedPut};
use keyway_core::store::proof::sha256;
use keyway_core::store::record::SECRET_BYTES_MAX;
use keyway_core::store::{ClientId, Kind, Proof};
use keyway_core::{Duration, Id, Wall};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::openapi::{AnyBytes, PutSigned, PutValue, RemoveValue};
use super::refusal::Refusal;
use super::repeats::{self, Entry, Outcome};
use super::{
    Named, PathText, Shared, Shop, TTL_DEFAULT, json, or_refusal, our_fault, path_text, query, text,
};
use crate::http::body::{self, BodyError};
use crate::http::service::ClientAddr;
use crate::node::Node;

/// The secret with which a value can be removed, as base64.
const SECRET_HEADER: &str = "keyway-secret";
/// Its SHA-1, as 40 hex digits.
const SECRET_HASH_HEADER: &str = "keyway-secret-hash";
/// What a signed request has beside its value: names, hex and base64 of everything else.
const SIGNED_OVERHEAD_BYTES: u64 = 4 << 10;

// ---- the requests -----------------------------------------------------------------------------------------------

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PutQuery {
    /// The value's life in seconds; a day if it is not said.
    ttl: Option<u64>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RemoveQuery {
    /// SHA-1 of the value as 40 hex digits: `value_hash` of its receipt, or of what a get tells of it.
    value_hash: String,
    /// How long the removal stands at least, in seconds. It stands as long as the value would have lived in any case.
    ttl: Option<u64>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes headers that are read by name")]
struct PutHeaders {
    /// SHA-1, as 40 hex digits, of the secret with which the value can be removed. Without one it cannot be.
    #[param(rename = "Keyway-Secret-Hash")]
    secret_hash: Option<String>,
    /// The secret itself as base64, 1 to 40 bytes, in place of its hash.
    #[param(rename = "Keyway-Secret")]
    secret: Option<String>,
    /// A name for this request, 1 to 64 printable bytes: its repetitions get the first outcome for ten minutes.
    #[param(rename = "Idempotency-Key")]
    request_id: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes headers that are read by name")]
struct RemoveHeaders {
    /// The secret under which the value was put, as base64, 1 to 40 bytes.
    #[param(rename = "Keyway-Secret")]
    secret: String,
    /// A name for this request, 1 to 64 printable bytes: its repetitions get the first outcome for ten minutes.
    #[param(rename = "Idempotency-Key")]
    request_id: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header that is read by name")]
struct RepeatHeaders {
    /// A name for this request, 1 to 64 printable bytes: its repetitions get the first outcome for ten minutes.
    #[param(rename = "Idempotency-Key")]
    request_id: Option<String>,
}

/// What a signed record is.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum SignedKind {
    /// A value under its signer's name.
    Signed,
    /// The removal of one.
    SignedRemove,
    /// The latest value of a series.
    Sequenced,
    /// The end of a series.
    SequencedRemove,
}

impl SignedKind {
    const fn kind(self) -> Kind {
        match self {
            SignedKind::Signed => Kind::Signed,
            SignedKind::SignedRemove => Kind::SignedRemove,
            SignedKind::Sequenced => Kind::Sequenced,
            SignedKind::SequencedRemove => Kind::SequencedRemove,
        }
    }
}

/// What somebody has signed. docs/protocol.md says which bytes the signature covers.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignedBody {
    #[schema(inline)]
    kind: SignedKind,
    /// The value; only of a value.
    value_base64: Option<String>,
    /// SHA-256 of the value that is removed, 64 hex digits; only of a `signed-remove`.
    value_sha256: Option<String>,
    /// The signer's Ed25519 key: 64 hex digits.
    public_key: String,
    /// 64 hex digits: random for a value of its own, the name of the series for a sequenced one.
    nonce: String,
    /// When its life ends: seconds since 1970.
    expires_unix_seconds: u64,
    /// 128 hex digits.
    signature: String,
    /// The number in the series, from 1; only of a series.
    seq: Option<u64>,
    /// Only if the series is at this number now; 0: if there is none yet.
    cas: Option<u64>,
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
    params(("hex" = String, Path, description = "The key as 40 hex digits"), PutQuery, PutHeaders),
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
    params(("hex" = String, Path, description = "The key as 40 hex digits"), RemoveQuery, RemoveHeaders),
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

/// Stores what somebody has signed under a text key: a value, the next of a series, or a removal of either.
#[utoipa::path(
    post, path = "/v1/keys/{text}/signed", tag = "values",
    params(("text" = String, Path, description = "The key, percent-encoded: `/` is `%2F`"), RepeatHeaders),
    request_body = SignedBody,
    responses(
        (status = 200, description = "Removed, and who acknowledged it", body = json::Removal),
        (status = 201, description = "Stored, and who acknowledged it", body = json::Receipt),
        PutSigned,
    ),
)]
pub(super) async fn signed_text<N: Node>(
    shop: Shared<N>,
    text: PathText,
    request: Request,
) -> Response<Body> {
    or_refusal(async { signed(&shop, Named::Text(path_text(text)?), request).await }).await
}

/// Stores what somebody has signed under a key given by its id: a value, the next of a series, or a removal of either.
#[utoipa::path(
    post, path = "/v1/ids/{hex}/signed", tag = "values",
    params(("hex" = String, Path, description = "The key as 40 hex digits"), RepeatHeaders),
    request_body = SignedBody,
    responses(
        (status = 200, description = "Removed, and who acknowledged it", body = json::Removal),
        (status = 201, description = "Stored, and who acknowledged it", body = json::Receipt),
        PutSigned,
    ),
)]
pub(super) async fn signed_id<N: Node>(shop: Shared<N>, hex: PathText, request: Request) -> Response<Body> {
    or_refusal(async { signed(&shop, Named::Hex(path_text(hex)?), request).await }).await
}

async fn signed<N: Node>(shop: &Arc<Shop<N>>, named: Named, request: Request) -> super::Answer {
    let key = named.id()?;
    let value_bytes_max = u64::from(shop.config.value_bytes_max);
    let max = value_bytes_max.div_ceil(3) * 4 + SIGNED_OVERHEAD_BYTES;
    let (asked, body) = Asked::read(shop, request, max).await?;
    let body: SignedBody = serde_json::from_slice(&body)
        .map_err(|why| Refusal::bad_request(format!("the body makes no sense: {why}")))?;
    asked.answer(shop, Write::Signed(signed_put(key, body)?)).await
}

/// The operation that a signed request stands for, charged to nobody yet.
fn signed_put(key: Id, body: SignedBody) -> Result<SignedPut, Refusal> {
    let kind = body.kind.kind();
    let content = match (body.kind, body.value_base64, body.value_sha256) {
        (SignedKind::Signed | SignedKind::Sequenced, Some(value), None) => {
            STANDARD.decode(value).map_err(|_| Refusal::bad_request("value_base64 is not base64"))?
        }
        (SignedKind::SignedRemove, None, Some(hash)) => digits::<32>("value_sha256", &hash)?.to_vec(),
        (SignedKind::SequencedRemove, None, None) => Vec::new(),
        _ => {
            let message =
                "a value has value_base64, a signed-remove value_sha256, a sequenced-remove neither";
            return Err(Refusal::bad_request(message));
        }
    };
    if kind.is_sequenced() != body.seq.is_some_and(|seq| seq > 0)
        || body.cas.is_some() && !kind.is_sequenced()
    {
        return Err(Refusal::bad_request("what is of a series has a seq from 1, and only that; so with cas"));
    }
    let proof = Proof {
        public_key: digits("public_key", &body.public_key)?,
        nonce: digits("nonce", &body.nonce)?,
        expires_secs: body.expires_unix_seconds,
        signature: digits("signature", &body.signature)?,
    };
    let (seq, cas) = (body.seq.unwrap_or(0), body.cas);
    Ok(SignedPut { kind, key, content, seq, proof, cas, client: ClientId::NOBODY })
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
        (Some(_), Some(_)) => Err(Refusal::bad_request("Keyway-Secret or Keyway-Secret-Hash, not both")),
        (secret, hash) => Ok(secret.or(hash)),
    }
}

// ---- performing -------------------------------------------------------------------------------------------------

/// A request that has been read, as far as all of them are alike.
struct Asked {
    client: ClientId,
    /// Its id, if it has one, and what tells it from other requests.
    repeatable: Option<(String, [u8; 32])>,
}

impl Asked {
    /// Reads a request's body, of at most `max` bytes.
    async fn read<N>(shop: &Shop<N>, request: Request, max: u64) -> Result<(Asked, Bytes), Refusal> {
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
        let client = head.extensions.get::<ClientAddr>();
        let client = client.map_or(ClientId::NOBODY, |ClientAddr(address)| ClientId::of_address(*address));
        let digest = |id| (id, digest(head.method.as_str(), &head.uri, headers, &body));
        let repeatable = repeats::id_of(headers)?.map(digest);
        Ok((Asked { client, repeatable }, body))
    }

    /// Performs a write, or gives the outcome of the request that this one repeats.
    async fn answer<N: Node>(self, shop: &Arc<Shop<N>>, write: Write) -> super::Answer {
        let Asked { client, repeatable } = self;
        let Some((id, digest)) = repeatable else { return respond(perform(shop, write, client).await) };
        let mut told = match shop.repeats.enter((client, id), digest, Instant::now())? {
            Entry::Repeated(told) => told,
            Entry::First(ticket) => {
                let told = ticket.told();
                let shop = shop.clone();
                tokio::spawn(async move { ticket.tell(perform(&shop, write, client).await) });
                told
            }
        };
        let outcome = told.wait_for(Option::is_some).await.ok().and_then(|told| told.clone());
        respond(outcome.unwrap_or_else(|| Err(our_fault())))
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

/// What is to be changed.
enum Write {
    Put { key: Id, value: Vec<u8>, ttl: Option<Duration>, secret_hash: Id },
    Immutable { value: Vec<u8>, ttl: Option<Duration> },
    Remove { key: Id, value_hash: Id, secret: Vec<u8>, ttl: Duration },
    Signed(SignedPut),
}

async fn perform<N: Node>(shop: &Shop<N>, write: Write, client: ClientId) -> Outcome {
    match write {
        Write::Put { key, value, ttl, secret_hash } => {
            let op = |ttl| Op::Put { key, value: value.clone(), ttl, secret_hash, client };
            let (outcome, ttl) = with_life(shop, ttl, op).await;
            receipt_or_refusal(outcome, ttl, None)
        }
        Write::Immutable { value, ttl } => {
            let op = |ttl| Op::PutImmutable { value: value.clone(), ttl, client };
            let (outcome, ttl) = with_life(shop, ttl, op).await;
            receipt_or_refusal(outcome, ttl, None)
        }
        Write::Remove { key, value_hash, secret, ttl } => {
            let outcome = shop.desk.op(Op::Remove { key, value_hash, secret, ttl, client }).await;
            receipt_or_refusal(outcome, ttl, None)
        }
        Write::Signed(put) => {
            let put = SignedPut { client, ..put };
            let end = Wall(put.proof.expires_secs.saturating_mul(1_000_000));
            let outcome = store_signed(shop, &put).await;
            if let Err(OpError::BadTtl { max_secs }) = &outcome {
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
    asked: Option<Duration>,
    op: impl Fn(Duration) -> Op,
) -> (OpResult, Duration) {
    let ttl = asked.unwrap_or(TTL_DEFAULT);
    match shop.desk.op(op(ttl)).await {
        Err(OpError::BadTtl { max_secs }) if asked.is_none() && max_secs < TTL_DEFAULT.as_secs() => {
            let ttl = Duration::from_secs(max_secs);
            (shop.desk.op(op(ttl)).await, ttl)
        }
        outcome => (outcome, ttl),
    }
}

/// A conflict with the very number that was to be put may be with this very put, whose answer was lost: then putting it
/// again, whatever the number is, is acknowledged. Another value of that number still is a conflict.
async fn store_signed<N: Node>(shop: &Shop<N>, put: &SignedPut) -> OpResult {
    let outcome = shop.desk.op(Op::PutSigned(Box::new(put.clone()))).await;
    match outcome {
        Err(OpError::Conflict { seq }) if put.cas.is_some() && seq == put.seq => {
            shop.desk.op(Op::PutSigned(Box::new(SignedPut { cas: None, ..put.clone() }))).await
        }
        outcome => outcome,
    }
}

fn receipt_or_refusal(outcome: OpResult, ttl: Duration, signed: Option<&SignedPut>) -> Outcome {
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
