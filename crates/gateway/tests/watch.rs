//! Watching a key through the client library: every event, one poll for all watchers, an end when the gateway stops.

mod support;

use std::time::Duration;

use keyway_client::{Client, Event, Key, PutOptions, Secret, Watch};
use keyway_core::machine::OpError;
use support::{Gateway, PATIENCE, status};

fn client(gateway: &Gateway) -> Client {
    Client::new(&[format!("http://{}", gateway.addr)]).expect("an address")
}

async fn next(watch: &mut Watch) -> Event {
    tokio::time::timeout(PATIENCE, watch.next()).await.expect("an event comes").expect("from a gateway")
}

async fn text(watch: &mut Watch) -> String {
    match next(watch).await {
        Event::Value(value) => format!("value {}", String::from_utf8_lossy(&value.bytes)),
        Event::Renewed(value) => format!("renewed {}", String::from_utf8_lossy(&value.bytes)),
        Event::Removed(gone) => format!("removed {}", gone.value_hash),
        Event::Expired(gone) => format!("expired {}", gone.value_hash),
        Event::Ready => "ready".into(),
        Event::Trouble { message } => format!("trouble {message}"),
    }
}

#[tokio::test]
async fn what_comes_lives_longer_and_is_removed_is_told() {
    let gateway = Gateway::start().await;
    let (client, key) = (client(&gateway), Key::text("colors"));
    client.put(&key, "red".into(), None).await.expect("stored");
    let mut watch = client.watch(&key);
    assert_eq!(text(&mut watch).await, "value red");
    assert_eq!(text(&mut watch).await, "ready");

    let secret = Secret::new(b"open".to_vec()).expect("a secret");
    let ttl = |secs| PutOptions { ttl: Some(Duration::from_secs(secs)), secret_hash: Some(secret.hash()) };
    client.put_with(&key, "green".into(), &ttl(60)).await.expect("stored");
    assert_eq!(text(&mut watch).await, "value green");
    client.put_with(&key, "green".into(), &ttl(600)).await.expect("stored");
    assert_eq!(text(&mut watch).await, "renewed green");
    gateway.node.fail(Some(OpError::Quorum { got: 1, want: 2 }));
    assert_eq!(text(&mut watch).await, "trouble 1 of the 2 replicas needed answered");
    gateway.node.fail(None);
    client.remove(&key, &Key::hash(b"green"), &secret).await.expect("removed");
    assert_eq!(text(&mut watch).await, format!("removed {}", Key::hash(b"green")));
}

#[tokio::test]
async fn all_watchers_of_a_key_share_one_look() {
    let gateway = Gateway::start().await;
    let (client, key) = (client(&gateway), Key::text("k"));
    let mut watches: Vec<Watch> = (0..20).map(|_| client.watch(&key)).collect();
    for watch in &mut watches {
        assert_eq!(text(watch).await, "ready");
    }
    let before = gateway.node.asked();
    let began = std::time::Instant::now();
    client.put(&key, "v".into(), None).await.expect("stored");
    for watch in &mut watches {
        assert_eq!(text(watch).await, "value v");
    }
    let looks = gateway.node.asked() - before - 1;
    assert!(looks <= began.elapsed().as_secs() + 2, "{looks} looks");
    gateway.stop().await;
}

#[tokio::test]
async fn a_new_connection_tells_only_what_is_new_and_what_went() {
    let (first, second) = (Gateway::start().await, Gateway::start().await);
    let key = Key::text("k");
    for (gateway, values) in [(&first, ["old", "both"]), (&second, ["both", "new"])] {
        for value in values {
            client(gateway).put(&key, value.into(), None).await.expect("stored");
        }
    }
    let both = Client::new(&[format!("http://{}", first.addr), format!("http://{}", second.addr)]);
    let mut watch = both.expect("addresses").watch(&key);
    let mut told = vec![text(&mut watch).await, text(&mut watch).await];
    told.sort();
    assert_eq!(told, ["value both", "value old"]);
    assert_eq!(text(&mut watch).await, "ready");
    first.stop().await;
    // The fake nodes' clocks differ, so what both have seems renewed at most.
    let mut told = Vec::new();
    while told.len() < 2 {
        let event = text(&mut watch).await;
        if !event.starts_with("renewed") {
            told.push(event);
        }
    }
    assert_eq!(told[0], "value new");
    assert!(told[1].ends_with(&Key::hash(b"old").to_string()), "{told:?}");
}

#[tokio::test]
async fn a_watch_is_a_stream_of_events_and_ends_with_the_gateway() {
    let gateway = Gateway::start().await;
    let (addr, node) = (gateway.addr, gateway.node.clone());
    let reading = tokio::spawn(async move {
        let mut socket = tokio::net::TcpStream::connect(addr).await.expect("connected");
        let request = b"GET /v1/keys/k/watch HTTP/1.1\r\nHost: localhost\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut socket, request).await.expect("sent");
        support::read_to_end(&mut socket).await
    });
    node.wait_until_asked(2).await;
    gateway.stop().await;
    let answer = reading.await.expect("no panic");
    assert_eq!(status(&answer), 200);
    assert!(answer.to_lowercase().contains("content-type: text/event-stream"), "{answer}");
    assert!(answer.contains("event: ready\ndata: {}\n\n"), "{answer}");
}
