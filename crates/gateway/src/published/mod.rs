//! Serving published files: bytes that stay with their publisher, while the network keeps pointers to them.
//!
//! ```text
//!   listener ── accept, bounds ── gate ── hyper ── GET or HEAD /sha256/HEX ── shelf ── the file, if it is as it was
//! ```
//!
//! The connections are bounded, timed and drained as those of the gateway itself (`accept.rs`, `crowd.rs`, `http/gate.rs`). A
//! request names a hash and nothing else: no path of a request ever reaches the file system. A file that is not as it was when
//! it was hashed is refused, before its first byte and between any two parts of it; who fetches compares the hash all the same.
//!
//! What is absent: credentials, TLS, lists of what is here. Whoever reaches the port and knows a hash may read it, web pages
//! included.

mod body;
mod range;
mod shelf;

use std::convert::Infallible;
use std::future::Future;
use std::io::Write as _;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use self::body::PublishedBody;
use self::range::Part;
use self::shelf::{Item, Opened};
use crate::accept::{self, Door, Visitor};
use crate::crowd::Crowd;
use crate::http::gate::{Gate, Verdict};
use crate::http::service::crowded;
use crate::metrics::GatewayMetrics;
use crate::rest::refusal::Refusal;
use crate::settings::Limits;

pub use shelf::{Shelf, Stamp};

/// Where contents lie.
const PATH: &str = "/sha256/";

/// Serves what is on `shelf` until `shutdown` is over, then lets answers under way end.
pub async fn serve_published(
    listener: TcpListener,
    shelf: Arc<Shelf>,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send,
) {
    let metrics = GatewayMetrics::new(|_| {});
    let door = Door {
        listener,
        crowd: Crowd::new(limits.connections_max, limits.connections_per_ip_max),
        connections: metrics.connections.clone(),
        turn_away,
        drain_timeout: limits.drain_timeout,
    };
    accept::welcome(door, &metrics, shutdown, |visitor| converse(visitor, shelf.clone(), limits.clone()))
        .await;
}

/// One connection, from its first byte to its end.
async fn converse(visitor: Visitor, shelf: Arc<Shelf>, limits: Limits) {
    let Visitor { socket, from, place, mut stopping } = visitor;
    let _ = socket.set_nodelay(true);
    let verdict = Verdict::default();
    let gate = Gate::new(socket, limits.clone(), verdict.clone());
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        // The gate times heads.
        .header_read_timeout(None)
        .max_headers(limits.headers_max)
        .max_buf_size(2 * limits.head_bytes_max.max(8 << 10))
        .half_close(true);
    let ordinal = AtomicU64::new(0);
    let service = service_fn(|request: Request<Incoming>| {
        let refused = verdict.on(ordinal.fetch_add(1, Ordering::Relaxed));
        let shelf = shelf.clone();
        async move {
            let answered = match refused {
                Some(why) => Err(why.into()),
                None => answer(&request, &shelf).await,
            };
            Ok::<_, Infallible>(answered.unwrap_or_else(Refusal::into_response))
        }
    });
    let mut conversation = pin!(http.serve_connection(TokioIo::new(gate), service));
    let ended = tokio::select! {
        ended = conversation.as_mut() => ended,
        // The sender is only dropped after it has sent.
        () = async { let _ = stopping.wait_for(|stop| *stop).await; } => {
            conversation.as_mut().graceful_shutdown();
            conversation.await
        }
    };
    if let Err(e) = ended {
        tracing::debug!(%from, error = %e, "connection ended");
    }
    drop(place);
}

/// Answers one request.
async fn answer(request: &Request<Incoming>, shelf: &Arc<Shelf>) -> Result<Response<Body>, Refusal> {
    let nothing =
        || Refusal::new(StatusCode::NOT_FOUND, "not_found", "nothing of that hash is published here");
    let head_only = match *request.method() {
        Method::GET => false,
        Method::HEAD => true,
        _ => {
            let mut response =
                Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "bad_request", "GET and HEAD are all there is")
                    .close()
                    .into_response();
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Ok(response);
        }
    };
    let digits = request.uri().path().strip_prefix(PATH).ok_or_else(nothing)?;
    let item = shelf.item(digits).ok_or_else(nothing)?;
    let tag = HeaderValue::from_str(&format!("\"{digits}\"")).map_err(|_| nothing())?;
    let opened = open(shelf, item).await?;
    let bytes = opened.bytes();
    let headers = request.headers();
    if names(headers, header::IF_NONE_MATCH, &tag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().insert(header::ETAG, tag);
        return Ok(response);
    }
    // Of a HEAD a range means nothing (RFC 9110 section 14.2); of another content than this one neither (13.1.5).
    let other = headers.contains_key(header::IF_RANGE) && !names(headers, header::IF_RANGE, &tag);
    let asked = headers.get(header::RANGE).filter(|_| !head_only && !other);
    let part = asked.map_or(Part::Whole, |value| range::read(value.as_bytes(), bytes));
    let (status, from, until, range) = match part {
        Part::Whole => (StatusCode::OK, 0, bytes, None),
        Part::Of { from, until } => {
            let range = format!("bytes {from}-{}/{bytes}", until - 1);
            (StatusCode::PARTIAL_CONTENT, from, until, Some(range))
        }
        Part::Beyond => {
            let message = format!("it has {bytes} bytes, and none where the range begins");
            let mut response =
                Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "bad_request", message).into_response();
            insert(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{bytes}"));
            return Ok(response);
        }
    };
    let body = match head_only {
        true => Body::empty(),
        false => Body::new(PublishedBody::new(opened, from..until, shelf.clone())),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(until - from));
    if let Some(range) = range {
        insert(headers, header::CONTENT_RANGE, &range);
    }
    headers.insert(header::ETAG, tag);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // What its publisher put here is for programs; a browser saves it and runs none of it.
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// Opens an item, unless it is not as it was.
async fn open(shelf: &Arc<Shelf>, item: Item) -> Result<Opened, Refusal> {
    let shelf = shelf.clone();
    // Opening a file waits for a disk.
    let opened = tokio::task::spawn_blocking(move || shelf.open(&item)).await;
    match opened {
        Ok(Some(opened)) => Ok(opened),
        Ok(None) => Err(Refusal::new(
            StatusCode::GONE,
            "changed",
            "the file is not as it was when it was published, and is not given",
        )
        .hint("ask its publisher to publish it again, or another publisher")),
        Err(error) => {
            tracing::error!(%error, "opening a published file: our own bug");
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the file could not be opened"))
        }
    }
}

/// Whether a header names this very content.
fn names(headers: &HeaderMap, name: header::HeaderName, tag: &HeaderValue) -> bool {
    let values = headers.get_all(name).into_iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    values.map(<[u8]>::trim_ascii).any(|value| value == tag.as_bytes())
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    // Digits and punctuation alone; a header that could not be made is left out.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Tells a client that there is no room, if its socket takes the few bytes at once.
fn turn_away(socket: TcpStream) {
    if let Ok(mut socket) = socket.into_std() {
        let _ = socket.write(&crowded());
    }
}
