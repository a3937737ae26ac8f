//! Watching a key: server-sent events for values that come, change their lives, are removed, or end.
//!
//! ```text
//!   GET /v1/keys/{text}/watch ─▶ a watcher ─┐                    one poll a second of each watched key,
//!   GET /v1/keys/{text}/watch ─▶ a watcher ─┤◀── snapshots ──── however many watch it
//!                                           │
//!   each watcher compares the newest snapshot with the last one that it told of: slow ones skip, and nothing is queued
//! ```
//!
//! Events, each with JSON as data: `value` (one that was not there before, as a get shows it), `renewed` (it lives longer than was
//! told), `removed`, `expired` (both with its names), `ready` (everything that was there at the beginning has been told),
//! `trouble` (the node does not answer for the key: the error of a get; what was told last stands). A comment every 15 seconds shows
//! that the gateway lives. A watcher that comes again is told everything that is there, as at first.
//!
//! Bounds: [`KEYS_MAX`] keys, [`WATCHERS_MAX`] watchers, the first [`VALUES_MAX`] values or [`BYTES_MAX`] bytes of a key.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::Body;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use hyper::body::Frame;
use keyway_core::machine::{Op, OpDone, Reads};
use keyway_core::store::ClientId;
use keyway_core::store::Cursor;
use keyway_core::{Id, Wall};
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use utoipa::ToSchema;

use super::json::{ValueView, millis};
use super::openapi::{AnyBytes, AskNetwork};
use super::refusal::Refusal;
use super::{
    Answer, Named, PAGE_BYTES, PAGE_VALUES_DEFAULT, PathText, Shared, Shop, VALUE_OVERHEAD_BYTES, or_refusal,
    our_fault, path_text,
};
use crate::access::Bearer;
use crate::node::Node;

/// Between two looks at a key.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Silence after which a watcher is told that the gateway lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// Keys watched at once: as many gets a second.
const KEYS_MAX: usize = 256;
/// Watchers at once.
const WATCHERS_MAX: usize = 512;
/// Watchers of one client.
const CLIENT_WATCHERS_MAX: usize = WATCHERS_MAX / 4;
/// Values of a key that are watched.
const VALUES_MAX: usize = 1000;
/// Bytes of them.
const BYTES_MAX: usize = 1 << 20;
/// Events on their way to one watcher.
const EVENTS_MAX: usize = 16;

/// A value's name among those of its key.
type Name = (Id, Id);

/// What a key held at a time.
#[derive(Default)]
struct Snapshot {
    /// Whether there has been a look at all.
    looked: bool,
    /// When the look ended.
    at: Option<Instant>,
    values: BTreeMap<Name, Seen>,
    /// Why the last look failed; the values are those of the one before.
    trouble: Option<Refusal>,
}

/// A value as it was seen.
#[derive(Clone)]
struct Seen {
    expires: Wall,
    /// The same by this machine's clock that only goes forward; never too late.
    ends: Instant,
    seq: u64,
    /// As a get shows it.
    view: Arc<str>,
}

/// The keys that are watched. Clones share.
#[derive(Clone, Default)]
pub(crate) struct Watched(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    keys: HashMap<Id, Key>,
    watchers: usize,
    by_client: HashMap<ClientId, usize>,
}

/// A key that is watched.
struct Key {
    watchers: usize,
    snapshots: watch::Receiver<Arc<Snapshot>>,
}

/// A watcher's place, until it is dropped.
struct Place {
    watched: Watched,
    key: Id,
    client: ClientId,
}

impl Watched {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more watcher of a key; whoever is its first begins the polling.
    fn enter<N: Node>(
        &self,
        shop: &Arc<Shop<N>>,
        client: ClientId,
        key: Id,
    ) -> Result<(Place, watch::Receiver<Arc<Snapshot>>), Refusal> {
        let mut inside = self.inside();
        let own = inside.by_client.get(&client).copied().unwrap_or(0);
        let crowded = inside.watchers >= WATCHERS_MAX
            || own >= CLIENT_WATCHERS_MAX
            || inside.keys.len() >= KEYS_MAX && !inside.keys.contains_key(&key);
        if crowded {
            return Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "too many keys are watched here",
            )
            .hint("repeat it later, or ask another gateway"));
        }
        inside.watchers += 1;
        inside.by_client.insert(client, own + 1);
        let entry = inside.keys.entry(key).or_insert_with(|| {
            let (told, snapshots) = watch::channel(Arc::default());
            tokio::spawn(look_again_and_again(shop.clone(), key, told));
            Key { watchers: 0, snapshots }
        });
        entry.watchers += 1;
        let snapshots = entry.snapshots.clone();
        Ok((Place { watched: self.clone(), key, client }, snapshots))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.watched.inside();
        inside.watchers -= 1;
        if let Some(own) = inside.by_client.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                inside.by_client.remove(&self.client);
            }
        }
        if let Some(entry) = inside.keys.get_mut(&self.key) {
            entry.watchers -= 1;
            if entry.watchers == 0 {
                // With its last receiver gone the polling ends.
                inside.keys.remove(&self.key);
            }
        }
    }
}

/// Looks at a key at a bounded rate for as long as somebody watches.
async fn look_again_and_again<N: Node>(shop: Arc<Shop<N>>, key: Id, told: watch::Sender<Arc<Snapshot>>) {
    let mut clock = interval(LOOK_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = told.closed() => return,
            _ = clock.tick() => {}
        }
        let snapshot = match look(&shop, key).await {
            Ok(values) => Snapshot { looked: true, at: Some(Instant::now()), values, trouble: None },
            Err(why) => {
                let last = told.borrow().clone();
                let (looked, at, values) = (last.looked, last.at, last.values.clone());
                Snapshot { looked, at, values, trouble: Some(why) }
            }
        };
        told.send_replace(Arc::new(snapshot));
    }
}

/// What a key holds now, within the bounds.
async fn look<N: Node>(shop: &Shop<N>, key: Id) -> Result<BTreeMap<Name, Seen>, Refusal> {
    let (mut values, mut bytes, began) = (BTreeMap::new(), 0, Instant::now());
    let mut after: Option<Cursor> = None;
    loop {
        let op = Op::Get {
            key,
            max: PAGE_VALUES_DEFAULT,
            after,
            reads: Reads::Quorum,
            page_bytes: PAGE_BYTES,
            overhead_bytes: VALUE_OVERHEAD_BYTES,
            signer: None,
        };
        let OpDone::Got(page) = shop.desk.op(op).await? else { return Err(our_fault()) };
        for value in &page.values {
            bytes += value.bytes.len();
            if values.len() >= VALUES_MAX || bytes > BYTES_MAX && !values.is_empty() {
                return Ok(values);
            }
            let view = serde_json::to_string(&ValueView::from(value)).map_err(|_| our_fault())?;
            let ends = began + Duration::from_micros(value.remaining.as_micros());
            let seen = Seen { expires: value.put_time + value.ttl, ends, seq: value.seq, view: view.into() };
            values.insert((value.identity.secret_hash, value.identity.value_hash), seen);
        }
        match page.next {
            Some(next) if !page.values.is_empty() => after = Some(next),
            _ => return Ok(values),
        }
    }
}

// ---- a watcher --------------------------------------------------------------------------------------------------

/// The names of a value of which nothing else is told.
#[derive(Serialize, ToSchema)]
struct Gone {
    /// As a get named it.
    value_hash: String,
    /// The same: of a plain value SHA-1 of its secret, of a signed one its signer's place; zeros if it has neither.
    place: String,
    /// When its life ends, or would have ended.
    expires_ms: u64,
}

/// What changed from one snapshot to the next, as events.
fn changes(old: &BTreeMap<Name, Seen>, new: &Snapshot) -> Vec<Bytes> {
    let mut events = Vec::new();
    for (name, seen) in &new.values {
        match old.get(name) {
            Some(before) if before.seq == seen.seq && before.expires == seen.expires => {}
            Some(before) if before.seq == seen.seq => events.push(event("renewed", &seen.view)),
            _ => events.push(event("value", &seen.view)),
        }
    }
    for ((place, value_hash), before) in old.iter().filter(|(name, _)| !new.values.contains_key(*name)) {
        let word = if new.at.is_some_and(|at| before.ends <= at) { "expired" } else { "removed" };
        let (place, value_hash) = (place.to_string(), value_hash.to_string());
        let gone = Gone { value_hash, place, expires_ms: millis(before.expires) };
        // Strings and numbers cannot fail to be JSON.
        events.push(event(word, &serde_json::to_string(&gone).unwrap_or_default()));
    }
    events
}

/// An event. JSON has no line ends outside of its escapes.
fn event(name: &str, data: &str) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}

/// Tells one watcher of the changes, until it goes or the gateway stops.
async fn tell(
    _place: Place,
    who: Bearer,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    mut stopping: watch::Receiver<bool>,
    events: mpsc::Sender<Bytes>,
) {
    let mut told: BTreeMap<Name, Seen> = BTreeMap::new();
    let (mut ready, mut troubled) = (false, false);
    let mut spoke = Instant::now();
    loop {
        // A revoked token reads no further.
        if !who.is_still_good() {
            return;
        }
        let snapshot = snapshots.borrow_and_update().clone();
        let mut news = Vec::new();
        match &snapshot.trouble {
            Some(why) if !troubled => news.push(event("trouble", &why.to_json())),
            Some(_) => {}
            None if snapshot.looked => {
                news = changes(&told, &snapshot);
                told.clone_from(&snapshot.values);
                if !ready {
                    news.push(event("ready", "{}"));
                    ready = true;
                }
            }
            None => {}
        }
        troubled = snapshot.trouble.is_some();
        if news.is_empty() && spoke.elapsed() >= SIGN_OF_LIFE {
            news.push(Bytes::from_static(b": alive\n\n"));
        }
        for event in news {
            spoke = Instant::now();
            if events.send(event).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = events.closed() => return,
            // The sender is only dropped after it has sent.
            _ = stopping.wait_for(|stop| *stop) => return,
            // A look that takes long ends with an operation's time: then there is a snapshot all the same.
            changed = snapshots.changed() => if changed.is_err() { return },
        }
    }
}

/// A body of events as they come.
struct Events(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}

/// Watches a text key: server-sent events `value`, `renewed`, `removed`, `expired`, `ready`, `trouble`.
#[utoipa::path(
    get, path = "/v1/keys/{text}/watch", tag = "values",
    params(("text" = String, Path, description = "The key, percent-encoded: `/` is `%2F`")),
    responses(
        (status = 200, description = "Events without end, looked for once a second", body = inline(AnyBytes),
            content_type = "text/event-stream"),
        AskNetwork,
    ),
)]
pub(super) async fn watch_text<N: Node>(
    shop: Shared<N>,
    Extension(who): Extension<Bearer>,
    text: PathText,
) -> Response<Body> {
    or_refusal(async { begin(&shop, who, Named::Text(path_text(text)?)) }).await
}

/// Watches a key given by its id: server-sent events `value`, `renewed`, `removed`, `expired`, `ready`, `trouble`.
#[utoipa::path(
    get, path = "/v1/ids/{hex}/watch", tag = "values",
    params(("hex" = String, Path, pattern = "^[0-9a-fA-F]{40}$", description = "The key as 40 hex digits")),
    responses(
        (status = 200, description = "Events without end, looked for once a second", body = inline(AnyBytes),
            content_type = "text/event-stream"),
        AskNetwork,
    ),
)]
pub(super) async fn watch_id<N: Node>(
    shop: Shared<N>,
    Extension(who): Extension<Bearer>,
    hex: PathText,
) -> Response<Body> {
    or_refusal(async { begin(&shop, who, Named::Hex(path_text(hex)?)) }).await
}

fn begin<N: Node>(shop: &Arc<Shop<N>>, who: Bearer, named: Named) -> Answer {
    let (place, snapshots) = shop.watched.enter(shop, who.client, named.id()?)?;
    let (events, coming) = mpsc::channel(EVENTS_MAX);
    tokio::spawn(tell(place, who, snapshots, shop.stopping.clone(), events));
    let mut response = Response::new(Body::new(Events(coming)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(began: Instant, expires: u64, seq: u64) -> Seen {
        Seen { expires: Wall(expires), ends: began + Duration::from_secs(expires), seq, view: "{}".into() }
    }

    #[test]
    fn what_changed_is_told_once_and_by_the_right_word() {
        let began = Instant::now();
        let seen = |expires, seq| seen(began, expires, seq);
        let name = |n| (Id::ZERO, Id::from_u64(n));
        let at = |at: u64, values: &[(u64, Seen)]| Snapshot {
            looked: true,
            at: Some(began + Duration::from_secs(at)),
            values: values.iter().map(|(n, seen)| (name(*n), seen.clone())).collect(),
            trouble: None,
        };
        let words = |old: &Snapshot, new: &Snapshot| -> Vec<String> {
            let told = changes(&old.values, new);
            let text = |event: &Bytes| String::from_utf8_lossy(event).into_owned();
            let word =
                |event: &Bytes| text(event)["event: ".len()..].lines().next().unwrap_or_default().to_owned();
            assert!(
                told.iter()
                    .all(|event| event.ends_with(b"\n\n")
                        && event.iter().filter(|b| **b == b'\n').count() == 3)
            );
            told.iter().map(word).collect()
        };
        let first = at(10, &[(1, seen(20, 0)), (2, seen(30, 0)), (3, seen(40, 1))]);
        assert_eq!(words(&Snapshot::default(), &first), ["value", "value", "value"]);
        assert!(words(&first, &first).is_empty());
        let later = at(20, &[(3, seen(40, 2)), (4, seen(50, 0))]);
        assert_eq!(words(&first, &later), ["value", "value", "expired", "removed"]);
        assert_eq!(words(&later, &at(21, &[(3, seen(60, 2)), (4, seen(50, 0))])), ["renewed"]);
    }
}
