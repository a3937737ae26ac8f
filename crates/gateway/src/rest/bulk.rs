//! Many puts or gets in one request: what each would have been answered, in the order in which they were asked.
//!
//! ```text
//!   POST /v1/bulk/put   {"puts":[{"key":"colors","value":"red"}, ..]}     ─▶ {"results":[{"status":201,"receipt":{..}}, ..]}
//!   POST /v1/bulk/get   {"gets":[{"key":"colors"}, ..]}                   ─▶ {"results":[{"status":200,"page":{..}}, ..]}
//! ```
//!
//! Each entry is a request of its own: it succeeds or fails for itself, is charged and counted for itself, and may carry a
//! `request_id` of its own, by which its repetitions are known. Bounds: [`OBJECTS_MAX`](super::input::OBJECTS_MAX) entries, [`BODY_BYTES_MAX`] bytes of a body, [`AT_ONCE`]
//! entries of one request under way, [`REQUESTS_MAX`] bulk requests in all and [`CLIENT_REQUESTS_MAX`] of one client, for which others wait [`SEAT_PATIENCE`], [`ANSWER_BYTES_MAX`]
//! bytes of pages, beyond which entries are answered `answer_full`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Extension;
use axum::body::Body;
use axum::extract::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Response, StatusCode, header};
use keyway_core::machine::{Op, OpDone};
use keyway_core::store::ClientId;
use keyway_core::store::proof::sha256;
use keyway_core::{Duration, Id};
use serde::{Deserialize, Serialize};
use serde_json::Number;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::input::{Object, objects, whole};
use super::openapi::{GetValues, PutValue};
use super::refusal::{ErrorText, Refusal};
use super::writes::{Asked, Write};
use super::{
    Answer, PAGE_BYTES, PAGE_VALUES_DEFAULT, PAGE_VALUES_MAX, ReadsWord, Shared, Shop, VALUE_OVERHEAD_BYTES,
    or_refusal, our_fault, repeats, text,
};
use crate::access::Bearer;
use crate::http::body;
use crate::node::Node;
use crate::tasks::spawn_begun;

/// Bytes of its body: a thousand values of 4 KiB, or four of the greatest, in base64.
const BODY_BYTES_MAX: u64 = 8 << 20;
/// Entries of one request under way at once.
const AT_ONCE: usize = 64;
/// Pages of one request under way at once: each may be a value of the greatest length.
const PAGES_AT_ONCE: usize = 16;
/// Bulk requests under way in all.
const REQUESTS_MAX: usize = 8;
/// Bulk requests of one client under way.
const CLIENT_REQUESTS_MAX: usize = 2;
/// Least rate at which a body must come, in bytes a second: it holds a seat.
const BODY_RATE_MIN: u64 = 128 << 10;
/// Bytes of the pages of one answer; the last one may go beyond.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// For so long a request waits for a seat: those before it take fractions of a second.
const SEAT_PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// Who has a bulk request under way: first come, first served. Clones share.
#[derive(Clone)]
pub(crate) struct Seats {
    all: Arc<Semaphore>,
    of_clients: Arc<Mutex<BTreeMap<ClientId, Arc<Semaphore>>>>,
}

/// A seat, until it is dropped: one of the client's, and one of all.
struct Seat {
    _own: OwnedSemaphorePermit,
    _one: OwnedSemaphorePermit,
}

impl Default for Seats {
    fn default() -> Seats {
        Seats { all: Arc::new(Semaphore::new(REQUESTS_MAX)), of_clients: Arc::default() }
    }
}

impl Seats {
    /// A seat for one more request of a client, as soon as there is one; none if that takes too long. The body waits with it, unread.
    async fn wait(&self, client: ClientId) -> Option<Seat> {
        let own = self.of_client(client);
        let seat = async {
            let own = own.acquire_owned().await.ok()?;
            Some(Seat { _own: own, _one: self.all.clone().acquire_owned().await.ok()? })
        };
        timeout(SEAT_PATIENCE, seat).await.ok().flatten()
    }

    /// The seats of a client. Those of clients that have none and wait for none are forgotten.
    fn of_client(&self, client: ClientId) -> Arc<Semaphore> {
        let mut of_clients = self.of_clients.lock().unwrap_or_else(PoisonError::into_inner);
        of_clients.retain(|_, seats| Arc::strong_count(seats) > 1);
        of_clients.entry(client).or_insert_with(|| Arc::new(Semaphore::new(CLIENT_REQUESTS_MAX))).clone()
    }
}

/// Many puts.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BulkPuts {
    /// At most 1000.
    #[serde(deserialize_with = "objects")]
    #[schema(max_items = 1000)]
    puts: Vec<BulkPut>,
}

/// One of them.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BulkPut {
    /// A text key; or `id`; or neither, and the value is immutable: its key is its hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// A key as 40 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The value as text; or `value_base64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// The value as base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    /// The value's life in seconds; a day if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    ttl: Option<Number>,
    /// SHA-1, as 40 hex digits, of the secret with which the value can be removed. Without one it cannot be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret_hash: Option<String>,
    /// A name for this put, 1 to 64 printable bytes: its repetitions get the first outcome for ten minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// Many gets.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BulkGets {
    /// At most 1000.
    #[serde(deserialize_with = "objects")]
    #[schema(max_items = 1000)]
    gets: Vec<BulkGet>,
    /// `quorum` sees every acknowledged put; `first` is faster and may not.
    #[serde(default)]
    #[schema(value_type = String, pattern = "^(quorum|first)$", required = false)]
    reads: ReadsWord,
}

/// One of them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BulkGet {
    /// A text key; or `id`.
    key: Option<String>,
    /// A key as 40 hex digits.
    id: Option<String>,
    /// Values at most: 100 if it is not said, 1000 in any case. What follows is got with `next` from the key itself.
    #[schema(value_type = Option<f64>)]
    max: Option<Number>,
}

/// How each put ended, in their order. These four describe an answer that is put together from answers.
#[derive(Serialize, ToSchema)]
pub(super) struct PutResults {
    results: Vec<PutResult>,
}

#[derive(Serialize, ToSchema)]
struct PutResult {
    /// The status that the put would have had by itself.
    status: u16,
    /// Of one that was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<super::json::Receipt>,
    /// Of one that was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorText<'static>>,
}

/// How each get ended, in their order.
#[derive(Serialize, ToSchema)]
pub(super) struct GetResults {
    results: Vec<GetResult>,
}

#[derive(Serialize, ToSchema)]
struct GetResult {
    /// 200, also where there is no value: then its page is empty.
    status: u16,
    /// Of one that was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<super::json::Page>,
    /// Of one that was refused; `answer_full` if the answer has no room for it: ask again.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorText<'static>>,
}

/// Stores many values: plain ones, removable ones, immutable ones. Each succeeds or fails for itself.
#[utoipa::path(
    post, path = "/v1/bulk/put", tag = "values",
    request_body = BulkPuts,
    responses((status = 200, description = "How each ended", body = PutResults), PutValue),
)]
pub(super) async fn put<N: Node>(
    shop: Shared<N>,
    Extension(who): Extension<Bearer>,
    request: Request,
) -> Response<Body> {
    or_refusal(async {
        let _seat = shop.bulk.wait(who.client).await.ok_or_else(busy)?;
        let BulkPuts { puts } = read(&shop, request).await?;
        who.ask_many(puts.len() as u64)?;
        answer(in_order(puts, AT_ONCE, |put| put_one(shop.0.clone(), who.clone(), put)).await?)
    })
    .await
}

/// Reads many keys, a page of each.
#[utoipa::path(
    post, path = "/v1/bulk/get", tag = "values",
    request_body = BulkGets,
    responses((status = 200, description = "How each ended", body = GetResults), GetValues),
)]
pub(super) async fn get<N: Node>(
    shop: Shared<N>,
    Extension(who): Extension<Bearer>,
    request: Request,
) -> Response<Body> {
    or_refusal(async {
        let _seat = shop.bulk.wait(who.client).await.ok_or_else(busy)?;
        let BulkGets { gets, reads } = read(&shop, request).await?;
        who.ask_many(gets.len() as u64)?;
        let (mut results, mut bytes) = (Vec::with_capacity(gets.len()), 0);
        let mut rest = VecDeque::from(gets);
        while bytes < ANSWER_BYTES_MAX && !rest.is_empty() {
            let some: Vec<BulkGet> = rest.drain(..rest.len().min(PAGES_AT_ONCE)).collect();
            let some = in_order(some, PAGES_AT_ONCE, |get| get_one(shop.0.clone(), get, reads)).await?;
            for page in some {
                let page = if bytes < ANSWER_BYTES_MAX { page } else { refused(&full()) };
                bytes += page.len();
                results.push(page);
            }
        }
        results.extend(rest.iter().map(|_| refused(&full())));
        answer(results)
    })
    .await
}

fn busy() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many bulk requests under way")
        .hint("repeat it after a second, or ask another gateway")
}

fn full() -> Refusal {
    let message = format!("the answer has {ANSWER_BYTES_MAX} bytes already");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "answer_full", message).hint("ask for it again")
}

async fn read<N, T: for<'a> Deserialize<'a>>(shop: &Shop<N>, request: Request) -> Result<T, Refusal> {
    let (head, body) = request.into_parts();
    let headers = &head.headers;
    if !headers.contains_key(header::CONTENT_LENGTH) && !headers.contains_key(header::TRANSFER_ENCODING) {
        let message = "a bulk request needs a body with a Content-Length, or in chunks";
        return Err(Refusal::new(StatusCode::LENGTH_REQUIRED, "bad_request", message));
    }
    if headers.contains_key(repeats::HEADER) {
        return Err(Refusal::bad_request("a bulk request has no Idempotency-Key")
            .hint("give each put a request_id of its own"));
    }
    let mut limits = shop.config.limits.clone();
    limits.rate_bytes_min = limits.rate_bytes_min.max(BODY_RATE_MIN);
    let body = body::read(body, BODY_BYTES_MAX, &limits).await?;
    let read: Result<Object<T>, _> = serde_json::from_slice(&body);
    read.map(|Object(all)| all).map_err(|why| Refusal::bad_request(format!("the body makes no sense: {why}")))
}

/// The results of `work` on all entries, at most `at_once` of them under way.
async fn in_order<T, F: Future<Output = String> + Send + 'static>(
    entries: Vec<T>,
    at_once: usize,
    work: impl Fn(T) -> F,
) -> Result<Vec<String>, Refusal> {
    let mut results = vec![String::new(); entries.len()];
    let mut under_way = JoinSet::new();
    let mut entries = entries.into_iter().enumerate();
    loop {
        while under_way.len() < at_once
            && let Some((at, entry)) = entries.next()
        {
            let entry = work(entry);
            // Values under one key stand in the order of their entries.
            spawn_begun(&mut under_way, async move { (at, entry.await) });
        }
        match under_way.join_next().await {
            Some(Ok((at, result))) => results[at] = result,
            Some(Err(error)) => {
                tracing::error!(%error, "an entry's task ended: our own bug");
                return Err(our_fault());
            }
            None => return Ok(results),
        }
    }
}

async fn put_one<N: Node>(shop: Arc<Shop<N>>, who: Bearer, put: BulkPut) -> String {
    let outcome = async {
        let asked = match &put.request_id {
            None => Asked::new(who.clone(), None),
            Some(id) => {
                // Strings and numbers alone cannot fail to be JSON.
                let digest = sha256(&serde_json::to_vec(&put).unwrap_or_default());
                Asked::new(who.clone(), Some((repeats::id(id.as_bytes())?, digest)))
            }
        };
        asked.outcome(&shop, write_of(put)?).await
    };
    match outcome.await {
        Ok((status, receipt)) => {
            let receipt = String::from_utf8_lossy(&receipt);
            format!("{{\"status\":{},\"receipt\":{}}}", status.as_u16(), receipt.trim_end())
        }
        Err(refusal) => refused(&refusal),
    }
}

fn write_of(put: BulkPut) -> Result<Write, Refusal> {
    let value = match (put.value, put.value_base64) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(base64)) => {
            STANDARD.decode(base64).map_err(|_| Refusal::bad_request("value_base64 is not base64"))?
        }
        _ => return Err(Refusal::bad_request("a put has a value or a value_base64, and not both")),
    };
    let ttl = match put.ttl.as_ref().map(whole) {
        Some(None) => return Err(Refusal::bad_request("ttl is not a whole number of seconds")),
        ttl => ttl.flatten().map(Duration::from_secs),
    };
    let secret_hash = put.secret_hash.map(|hex| hex.parse::<Id>()).transpose();
    let secret_hash = secret_hash.map_err(|_| Refusal::bad_request("secret_hash is not 40 hex digits"))?;
    match place(put.key, put.id)? {
        Some(key) => Ok(Write::Put { key, value, ttl, secret_hash: secret_hash.unwrap_or(Id::ZERO) }),
        None if secret_hash.is_none() => Ok(Write::Immutable { value, ttl }),
        None => Err(Refusal::bad_request("an immutable value cannot be removed: it has no secret_hash")),
    }
}

fn place(key: Option<String>, id: Option<String>) -> Result<Option<Id>, Refusal> {
    match (key, id) {
        (Some(text), None) => Ok(Some(Id::of_text(&text))),
        (None, Some(hex)) => {
            hex.parse().map(Some).map_err(|_| Refusal::bad_request("an id is 40 hex digits"))
        }
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(Refusal::bad_request("a key or an id, not both")),
    }
}

async fn get_one<N: Node>(shop: Arc<Shop<N>>, get: BulkGet, reads: ReadsWord) -> String {
    let page = async {
        let key = place(get.key, get.id)?.ok_or_else(|| Refusal::bad_request("a get has a key or an id"))?;
        let max = match get.max.as_ref().map(whole) {
            Some(None | Some(0)) => return Err(Refusal::bad_request("max is a whole number, at least 1")),
            Some(Some(max)) => u32::try_from(max).unwrap_or(u32::MAX).min(PAGE_VALUES_MAX),
            None => PAGE_VALUES_DEFAULT,
        };
        let op = Op::Get {
            key,
            max,
            after: None,
            reads: reads.into(),
            page_bytes: PAGE_BYTES,
            overhead_bytes: VALUE_OVERHEAD_BYTES,
            signer: None,
        };
        let OpDone::Got(found) = shop.desk.op(op).await? else { return Err(our_fault()) };
        serde_json::to_string(&super::json::Page::new(&key, &found)).map_err(|_| our_fault())
    };
    match page.await {
        Ok(page) => format!("{{\"status\":200,\"page\":{page}}}"),
        Err(refusal) => refused(&refusal),
    }
}

/// A refusal as a result.
fn refused(refusal: &Refusal) -> String {
    let error = refusal.to_json();
    format!("{{\"status\":{},{}", refusal.status().as_u16(), error.trim_start_matches('{'))
}

fn answer(results: Vec<String>) -> Answer {
    Ok(text("application/json", format!("{{\"results\":[{}]}}\n", results.join(","))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sixteen at once of one client are served two by two, and none of them is refused.
    #[tokio::test]
    async fn more_requests_than_seats_wait_for_each_other() {
        let seats = Seats::default();
        let (running, mut tasks) = (Arc::new(Mutex::new((0, 0))), JoinSet::new());
        for _ in 0..16 {
            let (seats, running) = (seats.clone(), running.clone());
            tasks.spawn(async move {
                let seat = seats.wait(ClientId(1)).await;
                let count = |by: i32| {
                    let mut running = running.lock().unwrap();
                    running.0 += by;
                    running.1 = running.1.max(running.0);
                };
                count(1);
                tokio::task::yield_now().await;
                count(-1);
                seat.is_some()
            });
        }
        assert_eq!(tasks.join_all().await, [true; 16]);
        assert_eq!(running.lock().unwrap().1, CLIENT_REQUESTS_MAX as i32);
        let _other = seats.of_client(ClientId(2));
        assert_eq!(seats.of_clients.lock().unwrap().len(), 1, "who has no seat is forgotten");
    }
}
