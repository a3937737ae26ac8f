//! The REST interface: JSON under `/v1`, health, metrics, its own description, and a page for people.
//!
//! | request | answer |
//! | --- | --- |
//! | `PUT /v1/keys/{text}?ttl=SECONDS`, `/v1/ids/{40 hex}` | the body is stored; 201 and who acknowledged |
//! | `POST /v1/immutable?ttl=SECONDS` | the body is stored under its own hash |
//! | `POST /v1/keys/{text}/signed`, `/v1/ids/../signed` | what somebody has signed is stored, or removes |
//! | `POST /v1/bulk/put`, `POST /v1/bulk/get` | many of them in one request, JSON |
//! | `DELETE /v1/keys/{text}?value_hash=HEX`, `/v1/ids/..` | a value is removed by its secret |
//! | `GET /v1/keys/{text}?max=N&after=CURSOR&reads=quorum\|first&signer=HEX&raw=true`, `/v1/ids/..` | a page of values in put-time order |
//! | `GET /v1/keys/{text}/watch`, `/v1/ids/../watch` | events as values come and go |
//! | `GET /v1/keys/{text}/where`, `/v1/ids/../where` | which replicas hold what |
//! | `GET /v1/node`, `GET /v1/peers` | the node's state, and its overlay's tables |
//! | `GET /v1/keys/{text}/trace`, `/v1/ids/../trace` | the lookup of a key, question by question |
//! | `GET /v1/clients?max=N` | how full this node's disk is, and who uses it |
//! | `GET /v1/network?max=N` | who is in the network, and what each holds |
//! | `GET /v1/node/records?max=N&after=CURSOR` | what the node itself holds, without the bytes |
//! | `GET /v1/admin/snapshot`, `POST /v1/admin/restore?network=HEX` | the node's records as a snapshot; records of one put back |
//! | `GET /livez`, `GET /readyz?verbose`, `GET /metrics` | health and OpenMetrics text |
//! | `GET /openapi.json` | all this, for programs |
//! | `GET /servers.txt` | this gateway, in the list that clients of 2005 read |
//! | `GET /`, `GET /assets/{name}` | what is where as text; for browsers the console |
//!
//! A text key is the SHA-1 of its bytes after percent-decoding.

pub(crate) mod admin;
mod bulk;
mod clients;
mod explain;
mod input;
mod json;
mod openapi;
pub(crate) mod refusal;
mod repeats;
mod signed;
mod watch;
mod writes;

use std::time::SystemTime;

use axum::body::Body;
use axum::extract::{Path, Query, RawQuery, State};
use axum::routing::get;
use axum::{Extension, Router};
use http::header::{self, HeaderValue};
use http::uri::Authority;
use http::{HeaderMap, Response, StatusCode, Uri};
use keyway_core::id::ID_BYTES;
use keyway_core::machine::{Op, OpDone, Reads};
use keyway_core::store::Proof;
use keyway_core::store::proof::sha256;
use keyway_core::{Duration, Id};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tower::Service as _;
use utoipa::{IntoParams, ToSchema};

use crate::access::{self, Access, Bearer, Scope};
use crate::health::Readiness;
use crate::http::Reached;
use crate::node::{Desk, Node};
use crate::settings::GatewayConfig;
use crate::{console, cursor, metrics, page, servers};
pub(crate) use clients::Account;
use openapi::{Any, AnyBytes, AskNetwork, AskNode, GetValues, Routes};
use refusal::Refusal;
pub(crate) use repeats::Repeats;
pub(crate) use watch::Watched;

/// The life of a value whose put does not say: a day.
pub(crate) const TTL_DEFAULT: Duration = Duration::from_secs(24 * 3600);
/// Values of a page whose get does not say.
pub(crate) const PAGE_VALUES_DEFAULT: u32 = 100;
/// Values of a page at most.
pub(crate) const PAGE_VALUES_MAX: u32 = 1000;
/// Bytes of the values of a page; a single longer value is a page of its own.
pub(crate) const PAGE_BYTES: u32 = 256 << 10;
/// What each value costs beside its bytes: its hash, times and names.
pub(crate) const VALUE_OVERHEAD_BYTES: u32 = 128;

/// Clients that the metrics tell of: those who use most.
const METRICS_CLIENTS: u32 = 50;

type Answer = Result<Response<Body>, Refusal>;

/// What the handlers share.
pub(crate) struct Shop<N> {
    pub(crate) desk: Desk<N>,
    pub(crate) config: GatewayConfig,
    /// Who may do what.
    pub(crate) access: Access,
    /// Outcomes of requests that may be repeated.
    pub(crate) repeats: Repeats,
    /// Seats of bulk requests.
    pub(crate) bulk: bulk::Seats,
    /// Keys that somebody watches.
    pub(crate) watched: Watched,
    /// Places for snapshots under way.
    pub(crate) snapshots: std::sync::Arc<tokio::sync::Semaphore>,
    /// Becomes true when the gateway stops: what has no end ends then.
    pub(crate) stopping: tokio::sync::watch::Receiver<bool>,
}

impl<N: Node> Shop<N> {
    pub(crate) fn new(
        node: N,
        config: GatewayConfig,
        stopping: tokio::sync::watch::Receiver<bool>,
    ) -> Shop<N> {
        let metrics = metrics::GatewayMetrics::new(|registry| node.register_metrics(registry));
        Shop {
            desk: Desk::new(node, config.limits.op_timeout, metrics),
            access: Access::new(config.access.clone()),
            repeats: Repeats::default(),
            bulk: bulk::Seats::default(),
            watched: Watched::default(),
            snapshots: admin::places(),
            stopping,
            config,
        }
    }
}

/// Answers one request of whoever comes from `from`.
pub(crate) async fn answer<N: Node>(
    shop: &Shop<N>,
    mut router: Router,
    from: std::net::IpAddr,
    mut request: http::Request<Body>,
) -> Response<Body> {
    let entered = shop.access.enter(from, request.headers());
    let allowed = entered.and_then(|who| {
        who.request(access::of_request(request.method(), request.uri().path()))?;
        Ok(who)
    });
    match allowed {
        Ok(who) => {
            request.extensions_mut().insert(who);
            // The router's error type has no values, and it is always ready.
            let Ok(response) = router.call(request).await;
            response
        }
        Err(denied) => Refusal::from(denied).into_response(),
    }
}

type Shared<N> = State<std::sync::Arc<Shop<N>>>;

/// The routes. Those that programs use are described where they are handled, and the description is one of them.
pub(crate) fn router<N: Node>(shop: std::sync::Arc<Shop<N>>) -> Router {
    let (router, document) = Routes::new()
        .with::<__path_get_text, _>(get_text::<N>)
        .with::<writes::__path_put_text, _>(writes::put_text::<N>)
        .with::<writes::__path_remove_text, _>(writes::remove_text::<N>)
        .with::<__path_get_id, _>(get_id::<N>)
        .with::<writes::__path_put_id, _>(writes::put_id::<N>)
        .with::<writes::__path_remove_id, _>(writes::remove_id::<N>)
        .with::<bulk::__path_put, _>(bulk::put::<N>)
        .with::<bulk::__path_get, _>(bulk::get::<N>)
        .with::<writes::__path_put_immutable, _>(writes::put_immutable::<N>)
        .with::<signed::__path_signed_text, _>(signed::signed_text::<N>)
        .with::<signed::__path_signed_id, _>(signed::signed_id::<N>)
        .with::<__path_where_text, _>(where_text::<N>)
        .with::<__path_where_id, _>(where_id::<N>)
        .with::<watch::__path_watch_text, _>(watch::watch_text::<N>)
        .with::<watch::__path_watch_id, _>(watch::watch_id::<N>)
        .with::<explain::__path_trace_text, _>(explain::trace_text::<N>)
        .with::<explain::__path_trace_id, _>(explain::trace_id::<N>)
        .with::<explain::__path_network, _>(explain::network::<N>)
        .with::<__path_node, _>(node::<N>)
        .with::<explain::__path_records, _>(explain::records::<N>)
        .with::<__path_peers, _>(peers::<N>)
        .with::<clients::__path_clients, _>(clients::clients::<N>)
        .with::<admin::__path_snapshot, _>(admin::snapshot::<N>)
        .with::<admin::__path_restore, _>(admin::restore::<N>)
        .with::<__path_readyz, _>(readyz::<N>)
        .with::<__path_livez, _>(livez)
        .with::<__path_render_metrics, _>(render_metrics::<N>)
        .describe::<__path_openapi>()
        .finish();
    router
        .route("/openapi.json", get(move || openapi(document.clone())))
        .route("/", get(front_page))
        .route("/servers.txt", get(server_list))
        .route(console::ASSETS_ROUTE, get(asset))
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
        .with_state(shop)
}

/// Where a key is written in a path.
enum Named {
    Text(String),
    Hex(String),
}

impl Named {
    fn id(&self) -> Result<Id, Refusal> {
        match self {
            Named::Text(text) => Ok(Id::of_text(text)),
            Named::Hex(hex) => hex.parse().map_err(|_| {
                Refusal::bad_request("an id is 40 hex digits").hint("for a text key use /v1/keys/TEXT")
            }),
        }
    }
}

/// Reads the values under a text key, page by page, in the order in which they were put.
#[utoipa::path(
    get, path = "/v1/keys/{text}", tag = "values",
    params(("text" = String, Path, description = "The key, percent-encoded: `/` is `%2F`"), GetQuery),
    responses(
        (status = 200, description = "A page of values; with `raw` the bytes of the first one and nothing else",
            content((json::Page = "application/json"), (inline(AnyBytes) = "application/octet-stream"))),
        GetValues,
    ),
)]
async fn get_text<N: Node>(shop: Shared<N>, text: PathText, uri: Uri) -> Response<Body> {
    or_refusal(async { read(&shop, Named::Text(path_text(text)?), &uri).await }).await
}

/// Reads the values under a key given by its id, page by page, in the order in which they were put.
#[utoipa::path(
    get, path = "/v1/ids/{hex}", tag = "values",
    params(("hex" = String, Path, pattern = "^[0-9a-fA-F]{40}$", description = "The key as 40 hex digits"), GetQuery),
    responses(
        (status = 200, description = "A page of values; with `raw` the bytes of the first one and nothing else",
            content((json::Page = "application/json"), (inline(AnyBytes) = "application/octet-stream"))),
        GetValues,
    ),
)]
async fn get_id<N: Node>(shop: Shared<N>, hex: PathText, uri: Uri) -> Response<Body> {
    or_refusal(async { read(&shop, Named::Hex(path_text(hex)?), &uri).await }).await
}

/// Which nodes keep copies under a text key, and what each holds.
#[utoipa::path(
    get, path = "/v1/keys/{text}/where", tag = "values",
    params(("text" = String, Path, description = "The key, percent-encoded: `/` is `%2F`")),
    responses((status = 200, description = "The replica set, root first", body = json::Whereabouts), AskNetwork),
)]
async fn where_text<N: Node>(shop: Shared<N>, text: PathText) -> Response<Body> {
    or_refusal(async { whereabouts(&shop, Named::Text(path_text(text)?)).await }).await
}

/// Which nodes keep copies under a key given by its id, and what each holds.
#[utoipa::path(
    get, path = "/v1/ids/{hex}/where", tag = "values",
    params(("hex" = String, Path, pattern = "^[0-9a-fA-F]{40}$", description = "The key as 40 hex digits")),
    responses((status = 200, description = "The replica set, root first", body = json::Whereabouts), AskNetwork),
)]
async fn where_id<N: Node>(shop: Shared<N>, hex: PathText) -> Response<Body> {
    or_refusal(async { whereabouts(&shop, Named::Hex(path_text(hex)?)).await }).await
}

type PathText = Result<Path<String>, axum::extract::rejection::PathRejection>;

fn path_text(text: PathText) -> Result<String, Refusal> {
    text.map(|Path(text)| text).map_err(|_| Refusal::bad_request("the key in the path is not UTF-8"))
}

async fn or_refusal(answer: impl Future<Output = Answer>) -> Response<Body> {
    answer.await.unwrap_or_else(Refusal::into_response)
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct GetQuery {
    /// Values of the page at most: 100 if it is not said, 1000 in any case.
    #[param(minimum = 1, maximum = 4_294_967_295u64, value_type = Option<u64>)]
    max: Option<u32>,
    /// `next` of the page before, unchanged.
    #[param(pattern = "^([A-Za-z0-9_-]{74}[AEIMQUYcgkosw048])?$", value_type = String, required = false)]
    after: Option<String>,
    /// `quorum` sees every acknowledged put; `first` is faster and may not.
    #[serde(default)]
    #[param(inline)]
    reads: ReadsWord,
    /// The first value's bytes and nothing else.
    #[serde(default)]
    raw: bool,
    /// Only signed values of this signer: its authenticator, SHA-256 of its public key, as 64 hex digits.
    #[param(pattern = "^[0-9a-fA-F]{64}$", value_type = String, required = false)]
    signer: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ReadsWord {
    #[default]
    Quorum,
    First,
}

impl From<ReadsWord> for Reads {
    fn from(word: ReadsWord) -> Reads {
        match word {
            ReadsWord::Quorum => Reads::Quorum,
            ReadsWord::First => Reads::First,
        }
    }
}

async fn read<N: Node>(shop: &Shop<N>, named: Named, uri: &Uri) -> Answer {
    let key = named.id()?;
    let asked: GetQuery = query(uri)?;
    let max = match (asked.raw, asked.max) {
        (true, _) => 1,
        (false, Some(0)) => return Err(Refusal::bad_request("max must be at least 1")),
        (false, max) => max.unwrap_or(PAGE_VALUES_DEFAULT).min(PAGE_VALUES_MAX),
    };
    let after = match asked.after.as_deref().filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => Some(cursor::read_text(text).ok_or_else(not_a_cursor)?),
    };
    let signer = match asked.signer.as_deref() {
        None => None,
        Some(authenticator) => Some(writes::digits("signer", authenticator)?),
    };
    let op = Op::Get {
        key,
        max,
        after,
        reads: asked.reads.into(),
        page_bytes: PAGE_BYTES,
        overhead_bytes: VALUE_OVERHEAD_BYTES,
        signer: signer.as_ref().map(place_of),
    };
    let OpDone::Got(mut found) = shop.desk.op(op).await? else { return Err(our_fault()) };
    if let Some(authenticator) = signer {
        // The place is its start; whoever names another end means somebody else.
        let whole = |proof: &Proof| sha256(&proof.public_key) == authenticator;
        found.values.retain(|value| value.proof.as_deref().is_some_and(whole));
    }
    match found.values.first() {
        None if after.is_none() || asked.raw => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("no value under {key} ({} replicas asked)", found.merged),
        )),
        Some(first) if asked.raw => Ok(raw(first)),
        _ => Ok(json(StatusCode::OK, &json::Page::new(&key, &found))),
    }
}

/// The place of a signer among the values of a key: the first 160 bits of its authenticator.
fn place_of(authenticator: &[u8; 32]) -> Id {
    let mut place = Id::ZERO;
    place.0.copy_from_slice(&authenticator[..ID_BYTES]);
    place
}

fn not_a_cursor() -> Refusal {
    Refusal::bad_request("after is not a cursor of this network")
        .hint("use `next` of the page before, unchanged")
}

/// One value's bytes and nothing else. Never a page that a browser would run.
fn raw(value: &keyway_core::machine::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.bytes.clone()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    if let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", value.identity.value_hash)) {
        headers.insert(header::ETAG, tag);
    }
    response
}

async fn whereabouts<N: Node>(shop: &Shop<N>, named: Named) -> Answer {
    let key = named.id()?;
    match shop.desk.op(Op::Where { key }).await? {
        OpDone::Where(copies) => Ok(json(StatusCode::OK, &json::Whereabouts::new(&key, &copies))),
        _ => Err(our_fault()),
    }
}

/// The node's own state and counters.
#[utoipa::path(
    get, path = "/v1/node", tag = "node",
    responses((status = 200, description = "The state", body = json::NodeView), AskNode),
)]
async fn node<N: Node>(shop: Shared<N>, Extension(who): Extension<Bearer>) -> Response<Body> {
    or_refusal(async {
        let status = shop.desk.status().await?;
        Ok(json(StatusCode::OK, &json::NodeView::new(&status, who.is(Scope::Admin))))
    })
    .await
}

/// The tables of the node's overlay.
#[utoipa::path(
    get, path = "/v1/peers", tag = "node",
    responses((status = 200, description = "The tables, in the overlay's own words", body = json::Peers), AskNode),
)]
async fn peers<N: Node>(shop: Shared<N>) -> Response<Body> {
    or_refusal(async { Ok(json(StatusCode::OK, &json::Peers::from(&*shop.desk.status().await?))) }).await
}

/// Whether the node serves, and if not, why.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    params(("verbose" = Option<String>, Query, description = "If it is there, whatever its value: every check by name, the good ones too")),
    responses(
        (status = 200, description = "It serves", body = Readiness),
        (status = 503, description = "It does not", body = Readiness),
    ),
)]
async fn readyz<N: Node>(shop: Shared<N>, RawQuery(query): RawQuery) -> Response<Body> {
    let verbose =
        query.is_some_and(|query| query.split('&').any(|word| word.split('=').next() == Some("verbose")));
    let status = shop.desk.status().await;
    let readiness = Readiness::of(status.as_deref(), verbose);
    let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(code, &readiness)
}

/// Whether the process answers.
#[utoipa::path(
    get, path = "/livez", tag = "health",
    responses((status = 200, description = "It does", body = String, content_type = "text/plain"), Any),
)]
async fn livez() -> Response<Body> {
    text("text/plain; charset=utf-8", "alive\n")
}

/// Metrics as OpenMetrics text.
#[utoipa::path(
    get, path = "/metrics", tag = "health",
    responses((status = 200, description = "Counters, gauges and histograms", body = String,
        content_type = "application/openmetrics-text"), Any),
)]
async fn render_metrics<N: Node>(shop: Shared<N>) -> Response<Body> {
    // A node that is stuck is when they are wanted most: both are asked at once, and not waited for.
    let (status, clients) =
        tokio::join!(shop.desk.status(), shop.desk.own(Op::Clients { max: METRICS_CLIENTS }));
    let status = status.ok();
    let clients = match clients {
        Ok(OpDone::Clients { shares, .. }) => {
            clients::accounts(&shop.access, &shares, METRICS_CLIENTS as usize)
        }
        _ => Vec::new(),
    };
    text(metrics::CONTENT_TYPE, shop.desk.metrics.render(status.as_deref(), &clients))
}

/// This description.
#[utoipa::path(
    get, path = "/openapi.json", tag = "health",
    responses((status = 200, description = "An OpenAPI document", body = serde_json::Value), Any),
)]
async fn openapi(document: openapi::Document) -> Response<Body> {
    text("application/json", document.text().to_owned())
}

async fn front_page(headers: HeaderMap) -> Response<Body> {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("text/html") {
        console::page()
    } else {
        text("text/plain; charset=utf-8", page::plain())
    }
}

/// For programs of 2005, and not part of the REST interface.
async fn server_list(Extension(Reached(here)): Extension<Reached>, headers: HeaderMap) -> Response<Body> {
    // The gate has checked that it is a host of ours.
    let host = headers.get(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    text("text/plain; charset=utf-8", servers::list(here, host.as_ref(), SystemTime::now()))
}

async fn asset(name: PathText) -> Response<Body> {
    match path_text(name).ok().and_then(|name| console::asset(&name)) {
        Some(asset) => asset,
        None => nowhere().await,
    }
}

async fn nowhere() -> Response<Body> {
    Refusal::new(StatusCode::NOT_FOUND, "no_such_path", "there is nothing at this path")
        .hint("GET / lists what is here; a slash in a text key is written %2F")
        .into_response()
}

async fn wrong_method() -> Response<Body> {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take that method")
        .hint("GET / lists what is here")
        .into_response()
}

fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Refusal> {
    Query::try_from_uri(uri).map(|Query(asked)| asked).map_err(|why| {
        let cause = std::error::Error::source(&why).map_or_else(|| why.to_string(), ToString::to_string);
        Refusal::bad_request(format!("the query makes no sense: {cause}"))
    })
}

fn json<T: Serialize>(status: StatusCode, answer: &T) -> Response<Body> {
    match serde_json::to_string(answer) {
        Ok(mut body) => {
            body.push('\n');
            let mut response = text("application/json", body);
            *response.status_mut() = status;
            response
        }
        Err(_) => our_fault().into_response(),
    }
}

fn text(content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The node answered something else than it was asked.
fn our_fault() -> Refusal {
    Refusal::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the gateway and its node do not understand each other",
    )
}
