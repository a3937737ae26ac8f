//! For those who run a node: its records as a snapshot, and a snapshot's records put back (docs/snapshot.md).
//!
//! ```text
//!   GET  /v1/admin/snapshot ─▶ header, then pages of the node's own records as they are read, then the end
//!   POST /v1/admin/restore  ─▶ records in their own form, one behind the other ─▶ what became of each
//! ```
//!
//! Neither is for clients: a snapshot holds what strangers have put, and what is put back is charged to whom it names.
//! Bounds: [`SNAPSHOTS_MAX`] at once, [`PAGES_AHEAD_MAX`] pages ahead of a slow reader; [`RECORDS_MAX`] records and
//! [`BODY_BYTES_MAX`] bytes of one request, [`UNDER_WAY_MAX`] of them under way.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode, Uri};
use hyper::body::Frame;
use keyway_core::frame::NetworkId;
use keyway_core::machine::{Fate, Op, OpDone, OpError, OpResult, RECORDS_MAX};
use keyway_core::store::snapshot::{Header, KEY_BYTES, Packer, RECORD_BYTES_MAX};
use keyway_core::store::{Identity, Record};
use keyway_core::wire::{Reader, Wire as _};
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use utoipa::{IntoParams, ToSchema};

use super::openapi::{Administer, AnyBytes, RecordBytes};
use super::refusal::Refusal;
use super::{Answer, Shared, Shop, json, or_refusal, our_fault, query, writes};
use crate::http::body;
use crate::node::Node;

/// Snapshots under way at once.
const SNAPSHOTS_MAX: usize = 1;
/// Contents of a page of records.
const PAGE_BYTES: u32 = 256 << 10;
/// Pages on their way to whoever asked.
const PAGES_AHEAD_MAX: usize = 2;
/// Times that a page is read of which records are missing.
const UNREAD_TRIES_MAX: u32 = 2;
/// How often a page is asked for before the snapshot is cut short.
const PAGE_TRIES_MAX: u32 = 6;
/// Pause before the second try; doubles.
const PAGE_PAUSE: Duration = Duration::from_millis(100);
/// Longest body of records to put back: the longest record, and company for short ones.
const BODY_BYTES_MAX: u64 = RECORD_BYTES_MAX as u64 + (256 << 10);
/// Records of one request that are put back at once.
const UNDER_WAY_MAX: usize = 64;

/// Places for snapshots.
pub(crate) fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(SNAPSHOTS_MAX))
}

// ---- a snapshot -------------------------------------------------------------------------------------------------

/// The records that this node itself holds, whole, as a snapshot.
///
/// Every record, removals included, that was durable here before the answer began and whose life is not over, with its instants, its
/// life, its proof and who is charged for it. Records that come meanwhile may be in it. The form is that of docs/snapshot.md: without
/// its end it was cut. Keep it as you keep the node's disk.
#[utoipa::path(
    get, path = "/v1/admin/snapshot", tag = "admin",
    responses(
        (status = 200, description = "A snapshot as it is read", body = inline(AnyBytes),
            content_type = "application/octet-stream"),
        Administer,
    ),
)]
pub(super) async fn snapshot<N: Node>(shop: Shared<N>) -> Response<Body> {
    or_refusal(async { begin(&shop).await }).await
}

async fn begin<N: Node>(shop: &Arc<Shop<N>>) -> Answer {
    let status = shop.desk.status().await?;
    if status.network == NetworkId::UNKNOWN {
        return Err(OpError::NotJoined.into());
    }
    let place = shop.snapshots.clone().try_acquire_owned().map_err(|_| {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "a snapshot of this node is being taken")
            .hint("repeat it when that has ended")
    })?;
    let (network, node) = (status.network, *status.me.id());
    let header = Header { network, node, began: writes::now(), key: random().ok_or_else(our_fault)? };
    let (pages, coming) = mpsc::channel(PAGES_AHEAD_MAX);
    tokio::spawn(tell(shop.clone(), header, pages, place));
    let mut response = Response::new(Body::new(Pages(coming)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let name = format!("attachment; filename=\"{node:.8}.snapshot\"");
    if let Ok(name) = HeaderValue::try_from(name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

fn random() -> Option<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    // So few bytes come at once, or the system has none.
    let drawn = getrandom(&mut key[..], GetRandomFlags::empty());
    (drawn == Ok(KEY_BYTES)).then_some(key)
}

type Page = Result<Bytes, io::Error>;

/// Reads the node page by page, as fast as the pages are taken.
async fn tell<N: Node>(
    shop: Arc<Shop<N>>,
    header: Header,
    pages: mpsc::Sender<Page>,
    _place: OwnedSemaphorePermit,
) {
    let mut stopping: watch::Receiver<bool> = shop.stopping.clone();
    let reading = async {
        let mut out = Vec::new();
        let mut packer = Packer::begin(&header, &mut out);
        let (mut after, mut unread) = (None, 0);
        loop {
            let (records, missed, next) = match page(&shop, after).await {
                Ok(page) => page,
                Err(why) => {
                    // An error in place of the end: the reader is not to take this for all there is.
                    let _ = pages.send(Err(io::Error::other(why.to_string()))).await;
                    return;
                }
            };
            unread += u64::from(missed);
            records.iter().for_each(|record| packer.record(record, &mut out));
            after = next;
            if after.is_none() {
                packer.end(unread, writes::now(), &mut out);
            }
            let last = after.is_none();
            if pages.send(Ok(std::mem::take(&mut out).into())).await.is_err() || last {
                return;
            }
        }
    };
    tokio::select! {
        () = reading => {}
        _ = stopping.wait_for(|stop| *stop) => {
            let _ = pages.try_send(Err(io::Error::other("the gateway stops")));
        }
    }
}

/// A page of records, how many it lacks, and where the next one begins.
type Read = (Vec<Record>, u32, Option<Identity>);

async fn page<N: Node>(shop: &Shop<N>, after: Option<Identity>) -> Result<Read, OpError> {
    let (mut tries, mut pause) = (0, PAGE_PAUSE);
    loop {
        tries += 1;
        match shop.desk.op(Op::Records { after, max: RECORDS_MAX, page_bytes: PAGE_BYTES }).await {
            // What was being written, or met a disk that is opened anew, is there the next time.
            Ok(OpDone::Records { unread: 1.., .. }) if tries < UNREAD_TRIES_MAX => {
                tokio::time::sleep(pause).await
            }
            Ok(OpDone::Records { records, unread, next }) => return Ok((records, unread, next)),
            Err(why) if tries == PAGE_TRIES_MAX => return Err(why),
            // Another answer is our own bug; it ends in the same way.
            Ok(_) => return Err(OpError::Timeout),
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause *= 2;
    }
}

/// A body of pages as they come.
struct Pages(mpsc::Receiver<Page>);

impl hyper::body::Body for Pages {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|page| page.map(|page| page.map(Frame::data)))
    }
}

// ---- putting back -----------------------------------------------------------------------------------------------

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RestoreQuery {
    /// The network of which the snapshot is, 16 hex digits, as its header names it.
    #[param(pattern = "^[0-9a-fA-F]{16}$")]
    network: String,
    /// Put the records back although that is another network than this one. What is signed is for its network and is refused.
    #[serde(default)]
    other_network: bool,
}

/// What became of one record.
#[derive(Serialize, ToSchema)]
struct RestoredView {
    /// `stands`: it, or a copy that lives longer, is durable; `hidden`: it was removed, and stays so; `superseded`: its series has gone
    /// on; `expired`: its life is over; `refused`: not here, `error` says why; `later`: not now, `error` says why.
    fate: &'static str,
    /// Where the series is.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    /// Why it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<RestoreError>,
    /// Of one that waits for room: when it makes sense to ask again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

/// Why a record is not there.
#[derive(Serialize, ToSchema)]
struct RestoreError {
    /// For programs; that of a refused put.
    code: &'static str,
    /// For people.
    message: String,
}

/// What became of the records of a request.
#[derive(Serialize, ToSchema)]
struct RestoredPage {
    /// In the order of the request.
    results: Vec<RestoredView>,
}

impl RestoredView {
    fn of(result: OpResult) -> RestoredView {
        let fate = |fate, seq| RestoredView { fate, seq, error: None, retry_after_ms: None };
        let why = match result {
            Ok(OpDone::Restored(receipt)) => {
                return match receipt.fate {
                    Fate::Stands => fate("stands", None),
                    Fate::Hidden => fate("hidden", None),
                    Fate::Superseded(seq) => fate("superseded", Some(seq)),
                };
            }
            Ok(_) => return RestoredView::no(&our_fault()),
            Err(OpError::Expired) => return fate("expired", None),
            Err(why) => why,
        };
        let retry_after_ms = match &why {
            OpError::Waiting { expected } => Some(expected.as_millis()),
            _ => None,
        };
        RestoredView { retry_after_ms, ..RestoredView::no(&why.into()) }
    }

    fn no(refusal: &Refusal) -> RestoredView {
        let fate = if refusal.may_pass() { "later" } else { "refused" };
        let (code, message) = (refusal.code(), refusal.message().to_owned());
        RestoredView { fate, seq: None, error: Some(RestoreError { code, message }), retry_after_ms: None }
    }
}

/// Puts records of a snapshot back where they belong, as they were.
///
/// The body is records in the form of docs/storage.md, one behind the other, at most 256. Each is stored like a client's put, but with its
/// own instants, life, number, proof and client: what was removed stays removed, nothing lives longer, and repeating it is harmless. Where
/// something is no record it is `refused`, and nothing behind it is read.
#[utoipa::path(
    post, path = "/v1/admin/restore", tag = "admin",
    params(RestoreQuery),
    request_body(content = inline(RecordBytes), content_type = "application/octet-stream", description = "Records"),
    responses((status = 200, description = "What became of each", body = RestoredPage), Administer),
)]
pub(super) async fn restore<N: Node>(shop: Shared<N>, request: Request) -> Response<Body> {
    or_refusal(async {
        let (head, body) = request.into_parts();
        admit(&shop, &head.uri).await?;
        let body = body::read(body, BODY_BYTES_MAX, &shop.config.limits).await?;
        let (records, damage) = records(&body)?;
        let mut results = put_back(&shop, records).await;
        results.extend(damage.map(|why| RestoredView::no(&why)));
        Ok(json(StatusCode::OK, &RestoredPage { results }))
    })
    .await
}

/// Whether the snapshot is this network's, or may be another's.
async fn admit<N: Node>(shop: &Shop<N>, uri: &Uri) -> Result<(), Refusal> {
    let RestoreQuery { network, other_network } = query(uri)?;
    let of_snapshot = u64::from_str_radix(&network, 16)
        .map_err(|_| Refusal::bad_request("network is not a network's id: 16 hex digits"))?;
    let here = shop.desk.status().await?.network;
    if here == NetworkId::UNKNOWN {
        return Err(OpError::NotJoined.into());
    }
    if here.0 == of_snapshot || other_network {
        return Ok(());
    }
    let message = format!("the snapshot is of network {network}, this is network {:016x}", here.0);
    Err(Refusal::new(StatusCode::CONFLICT, "other_network", message)
        .hint("with other_network=true its plain and immutable values are put here all the same"))
}

/// The records of a body, and what is said in the place of the first that is none: nobody knows where the next one begins.
fn records(body: &[u8]) -> Result<(Vec<Record>, Option<Refusal>), Refusal> {
    let (mut reader, mut records) = (Reader::new(body), Vec::new());
    if body.is_empty() {
        return Err(Refusal::bad_request("the body is empty: it is records, one behind the other"));
    }
    while reader.remaining() > 0 {
        if records.len() == RECORDS_MAX as usize {
            return Err(Refusal::bad_request(format!("there are more than {RECORDS_MAX} records")));
        }
        match Record::decode(&mut reader) {
            Ok(record) => records.push(record),
            Err(why) => {
                let number = records.len();
                let message =
                    format!("record {number} of the body is not one, and nothing behind it was read: {why}");
                return Ok((records, Some(Refusal::bad_request(message))));
            }
        }
    }
    Ok((records, None))
}

async fn put_back<N: Node>(shop: &Arc<Shop<N>>, records: Vec<Record>) -> Vec<RestoredView> {
    let mut results: Vec<Option<RestoredView>> = Vec::new();
    results.resize_with(records.len(), || None);
    let mut left = records.into_iter().enumerate();
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() < UNDER_WAY_MAX
            && let Some((at, record)) = left.next()
        {
            let shop = shop.clone();
            under_way.spawn(async move { (at, shop.desk.op(Op::Restore(Box::new(record))).await) });
        }
        match under_way.join_next().await {
            None => break,
            Some(Ok((at, result))) => results[at] = Some(RestoredView::of(result)),
            // A task of ours that panicked: its record is answered below.
            Some(Err(_)) => {}
        }
    }
    results.into_iter().map(|result| result.unwrap_or_else(|| RestoredView::no(&our_fault()))).collect()
}
