//! `Redir` over a fake gateway that stores: it pages, refreshes, tells of failures, and stops.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::redir::{Endpoint, Form, Redir, Refresh, Scheme};
use crate::tests::{Deed, Fake};
use crate::{Client, ClientError, Key};

/// Values of a page of the fake gateway.
const PAGE: usize = 7;

/// A gateway that stores for ever, and refuses when it is told to.
struct Stored {
    fake: Fake,
    values: Arc<Mutex<BTreeMap<String, Vec<Bytes>>>>,
    refuses: Arc<AtomicBool>,
}

impl Stored {
    async fn start() -> Stored {
        let values = Arc::new(Mutex::new(BTreeMap::new()));
        let refuses = Arc::new(AtomicBool::new(false));
        let (kept, no) = (values.clone(), refuses.clone());
        let fake = Fake::with(move |head, body| {
            if no.load(Ordering::SeqCst) {
                return Deed::Say(413, "{\"error\":{\"code\":\"too_large\",\"message\":\"no\"}}".into());
            }
            answer(&mut kept.lock().expect("nobody panicked"), head, body)
        });
        Stored { fake: fake.await, values, refuses }
    }

    fn redir(&self, scheme: Scheme) -> Redir {
        let client = Client::new(std::slice::from_ref(&self.fake.url)).expect("an address");
        Redir::new(client, b"printers", scheme).expect("within bounds")
    }
}

fn answer(values: &mut BTreeMap<String, Vec<Bytes>>, head: &str, body: &[u8]) -> Deed {
    let path = head.split(' ').nth(1).expect("a path");
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let key = path.trim_start_matches("/v1/ids/").to_owned();
    let list = values.entry(key.clone()).or_default();
    if head.starts_with("PUT") {
        let value = Bytes::copy_from_slice(body);
        list.retain(|known| *known != value);
        list.push(value);
        let hash = Key::hash(body);
        return Deed::Say(
            201,
            format!(
                "{{\"key\":\"{key}\",\"value_hash\":\"{hash}\",\"ttl_seconds\":60,\"expires_ms\":1,\"acked\":[],\"replicas\":3}}"
            ),
        );
    }
    let from: usize = query.split("after=").nth(1).map_or(0, |after| after.parse().expect("a number"));
    let page = list.iter().skip(from).take(PAGE).map(|value| {
        let (text, hash) = (STANDARD.encode(value), Key::hash(value));
        format!(
            "{{\"value_base64\":\"{text}\",\"put_time_ms\":1,\"ttl_seconds\":60,\"remaining_seconds\":59,\"value_hash\":\"{hash}\"}}"
        )
    });
    let page: Vec<String> = page.collect();
    if page.is_empty() {
        return Deed::Say(404, "{\"error\":{\"code\":\"not_found\",\"message\":\"none\"}}".into());
    }
    let next = if from + PAGE < list.len() { format!("\"{}\"", from + PAGE) } else { "null".into() };
    Deed::Say(
        200,
        format!("{{\"key\":\"{key}\",\"values\":[{}],\"next\":{next},\"merged\":2}}", page.join(",")),
    )
}

fn member(at: usize) -> Endpoint {
    Form::Native.endpoint(None, &format!("192.0.2.{at}:5900")).expect("an address")
}

#[tokio::test]
async fn members_are_found_and_listed_whatever_the_pages() {
    for scheme in [Scheme::default(), Scheme::Tree { branching: 3, form: Form::Classic }, Scheme::binary()] {
        let gateway = Stored::start().await;
        let redir = gateway.redir(scheme);
        let mut members: Vec<Endpoint> = (1..40)
            .map(|at| scheme.form().endpoint(None, &format!("192.0.2.{at}:5900")).expect("an address"))
            .collect();
        for _ in 0..3 {
            for me in &members {
                redir.register(me, Refresh::default(), None).await.expect("registered");
            }
        }
        members.sort();
        for n in 0..50 {
            let key = Key::text(&format!("key {n}"));
            let found = redir.lookup(&key).await.expect("looked up");
            let right = members.iter().find(|m| *m.id() >= key).or(members.first());
            assert_eq!(found.successor.as_ref(), right, "{scheme:?}");
        }
        let listed = redir.list(1_000).await.expect("listed");
        assert!(listed.complete && listed.members == members, "{scheme:?}");
    }
}

#[tokio::test]
async fn a_member_refreshes_tells_of_failures_and_stops_when_it_leaves() {
    let gateway = Stored::start().await;
    let redir = gateway.redir(Scheme::default());
    let refresh = Refresh { ttl: Duration::from_secs(3), every: Duration::from_secs(1) };
    let stays = redir.join(&member(1), refresh).await.expect("joined");
    let mut rounds = stays.rounds();
    assert!(matches!(&*rounds.borrow_and_update(), round if round.number == 1 && round.outcome.is_ok()));
    rounds.changed().await.expect("it goes on");
    assert!(matches!(&*rounds.borrow_and_update(), round if round.number == 2 && round.outcome.is_ok()));

    gateway.refuses.store(true, Ordering::SeqCst);
    rounds.changed().await.expect("it goes on after a failure");
    assert!(matches!(&rounds.borrow_and_update().outcome, Err(ClientError::Refused { status: 413, .. })));
    gateway.refuses.store(false, Ordering::SeqCst);
    rounds.changed().await.expect("it goes on");
    assert!(rounds.borrow_and_update().outcome.is_ok());

    assert_eq!(stays.leave().await, refresh.ttl);
    assert!(rounds.changed().await.is_err(), "nobody registers any more");
    let found = redir.lookup(member(1).id()).await.expect("looked up");
    assert_eq!(found.successor, Some(member(1)), "until its entries end");

    let dropped = redir.join(&member(2), refresh).await.expect("joined");
    let mut rounds = dropped.rounds();
    rounds.borrow_and_update();
    drop(dropped);
    assert!(rounds.changed().await.is_err(), "dropping is leaving");
    assert!(!gateway.values.lock().expect("nobody panicked").is_empty());
}

#[tokio::test]
async fn a_member_that_cannot_register_at_all_does_not_join() {
    let gateway = Stored::start().await;
    let redir = gateway.redir(Scheme::default());
    let every = Duration::from_secs(30);
    for refresh in [Refresh { ttl: every, every }, Refresh { ttl: every, every: Duration::ZERO }] {
        let error = redir.join(&member(1), refresh).await.expect_err("entries would end between refreshes");
        assert!(matches!(error, ClientError::Usage(_)));
    }
    gateway.refuses.store(true, Ordering::SeqCst);
    let error = redir.join(&member(1), Refresh::default()).await.expect_err("refused");
    assert!(matches!(error, ClientError::Refused { .. }));
}
