//! The client library and the gateway understand each other: every request, every answer, every refusal.

mod support;

use std::time::Duration;

use keyway_client::{Client, ClientError, GetOptions, Key, Reads};
use keyway_core::machine::{Halt, OpError};
use support::Gateway;

fn client(gateway: &Gateway) -> Client {
    Client::new(&[format!("http://{}", gateway.addr)]).expect("an address")
}

#[tokio::test]
async fn everything_that_is_asked_is_understood() {
    let gateway = Gateway::start().await;
    let client = client(&gateway);
    let key = Key::text("colors");
    let receipt = client.put(&key, "red".into(), Some(Duration::from_secs(60))).await.expect("stored");
    assert_eq!((receipt.ttl_seconds, receipt.acked.len(), receipt.value_hash), (60, 2, Key::hash(b"red")));
    let receipt = client.put(&key, "green".into(), None).await.expect("stored");
    assert_eq!(receipt.ttl_seconds, 86_400);

    let options = GetOptions { max: Some(1), reads: Reads::First, ..GetOptions::default() };
    let page = client.get(&key, &options).await.expect("a page");
    assert_eq!(page.values[0].text.as_deref(), Some("red"));
    let page = client.get(&key, &GetOptions { after: page.next, ..options }).await.expect("a page");
    assert_eq!((page.values[0].bytes.as_ref(), page.next), (b"green".as_slice(), None));
    assert_eq!(client.get_all(&key, Reads::Quorum, 10).await.expect("pages").0.len(), 2);
    assert!(
        client.get(&Key::text("nothing"), &GetOptions::default()).await.expect("a page").values.is_empty()
    );

    let places = client.where_is(&key).await.expect("places");
    assert_eq!(places.replicas[0].copies.as_ref().map(Vec::len), Some(2));
    assert!(places.replicas[1].copies.is_none());
    let node = client.node().await.expect("a node");
    assert_eq!((node.phase.as_str(), node.counters["puts"], node.shares.count), ("member", 2, 3));
    assert_eq!(client.peers().await.expect("peers").tables[0].peers[0].rtt_ms, Some(1.5));
    let ready = client.ready().await.expect("an answer");
    assert!(ready.ready && ready.checks.len() == 4);
    gateway.node.say(|status| status.isolated = true);
    let ready = client.ready().await.expect("an answer");
    assert_eq!((ready.ready, ready.reasons.len()), (false, 1));
}

#[tokio::test]
async fn every_refusal_has_its_exit_code() {
    let gateway = Gateway::start().await;
    let client = client(&gateway);
    let key = Key::text("k");
    let cases = [
        (OpError::OverCapacity, 4),
        (OpError::BadTtl { max_secs: 9 }, 4),
        (OpError::Halted(Halt::DiskFull), 4),
        (OpError::ClockSkew, 4),
        (OpError::Busy, 4),
        (OpError::Timeout, 5),
        (OpError::Quorum { got: 1, want: 2 }, 5),
        (OpError::NotJoined, 6),
    ];
    for (why, exit) in cases {
        gateway.node.fail(Some(why.clone()));
        let error = client.put(&key, "v".into(), Some(Duration::from_secs(60))).await.expect_err("refused");
        assert!(error.hint().is_some(), "{why:?}");
        assert_eq!(error.exit_code(), exit, "{why:?}: {error}");
    }
    gateway.node.fail(None);
    let too_large = client.put(&key, vec![0; 65_537].into(), None).await.expect_err("too large");
    assert!(
        matches!(&too_large, ClientError::Refused { status: 413, code, .. } if code == "too_large"),
        "{too_large}"
    );
    assert_eq!(too_large.exit_code(), 4);
    let far_too_large = client.put(&key, vec![0; 8 << 20].into(), None).await.expect_err("too large");
    assert_eq!(far_too_large.exit_code(), 4, "{far_too_large}");
}

/// Many puts at once over few connections: what a bulk import does.
#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_all_answered() {
    let gateway = Gateway::start().await;
    let client = client(&gateway);
    let began = std::time::Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..64 {
        let client = client.clone();
        tasks.spawn(async move {
            for n in 0..50 {
                let key = Key::text(&format!("{worker}/{n}"));
                client.put(&key, format!("value {n}").into(), None).await.expect("stored");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    assert_eq!(gateway.node.puts(), 64 * 50);
    eprintln!("{:.0} puts a second", 3200.0 / began.elapsed().as_secs_f64());
}
