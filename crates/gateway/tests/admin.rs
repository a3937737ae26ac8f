//! What operators ask: a snapshot of the node as it is streamed, and records put back.

mod support;

use keyway_core::machine::OpError;
use keyway_core::store::record::HEAD_BYTES;
use keyway_core::store::snapshot::{End, Found, NoSnapshot, Unpacker};
use keyway_core::store::{ClientId, Record};
use keyway_core::wire::to_vec;
use keyway_core::{Duration, Id, Wall};
use serde_json::Value;
use support::{Gateway, NETWORK, PATIENCE, peer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const PUT_TIME: Wall = Wall(1_700_000_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn plain(n: u64, bytes: usize) -> Record {
    let value = [&n.to_be_bytes()[..], &vec![7; bytes]].concat();
    Record::plain(Id::from_u64(n), value, PUT_TIME, HOUR, 9).charged_to(ClientId(n))
}

/// The body of a snapshot, whole or as far as it came.
async fn snapshot(gateway: &Gateway) -> Vec<u8> {
    let mut socket = gateway.connect().await;
    let request = "GET /v1/admin/snapshot HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let reading = socket.read_to_end(&mut answer);
    let _ = tokio::time::timeout(PATIENCE, reading).await.expect("it ends");
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..head]));
    unchunked(&answer[head..])
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(line) = body.windows(2).position(|two| two == b"\r\n") {
        let digits = std::str::from_utf8(&body[..line]).expect("a length");
        let size = usize::from_str_radix(digits.trim(), 16).expect("a length");
        let rest = &body[line + 2..];
        whole.extend_from_slice(&rest[..size.min(rest.len())]);
        if size == 0 || rest.len() < size + 2 {
            break;
        }
        body = &rest[size + 2..];
    }
    whole
}

fn unpacked(bytes: &[u8]) -> Result<(Vec<Record>, Option<End>), NoSnapshot> {
    let mut unpacker = Unpacker::new();
    unpacker.feed(bytes);
    unpacker.close();
    let (mut records, mut end) = (Vec::new(), None);
    while let Some(found) = unpacker.step()? {
        match found {
            Found::Record(record) => records.push(record),
            Found::End(its) => end = Some(its),
            Found::Damaged { offset, bytes } => panic!("{bytes} bytes at {offset} are damaged"),
        }
    }
    let header = unpacker.header().expect("read");
    assert_eq!((header.network, header.node), (NETWORK, *peer(1).id()));
    Ok((records, end))
}

#[tokio::test]
async fn a_snapshot_holds_every_record_and_its_end() {
    let gateway = Gateway::start().await;
    // More than a page by count and by bytes; some removals.
    let mut records: Vec<Record> =
        (0..700).map(|n| plain(n, if n % 50 == 0 { 60_000 } else { 10 })).collect();
    let removed = Id::sha1(b"gone");
    records.push(Record::removal(Id::from_u64(3), removed, b"sesame".to_vec(), PUT_TIME, HOUR, 9));
    records.iter().for_each(|record| gateway.node.hold(record.clone()));
    gateway.node.hide(1);
    let (found, end) = unpacked(&snapshot(&gateway).await).expect("a snapshot");
    records.sort_by_key(|record| record.head.identity);
    assert_eq!(found, records);
    let end = end.expect("it is whole");
    assert_eq!(end.records, records.len() as u64);
    assert!(end.unread >= 3, "one of each page: {}", end.unread);
    // Two snapshots of the same records have nothing in common that a value could imitate.
    let (one, other) = (snapshot(&gateway).await, snapshot(&gateway).await);
    assert_ne!(one[53..69], other[53..69], "the keys of their checksums are drawn");
}

#[tokio::test]
async fn a_snapshot_that_the_node_cannot_finish_has_no_end() {
    let gateway = Gateway::start().await;
    gateway.node.hold(plain(1, 10));
    gateway.node.fail(Some(OpError::Busy));
    let bytes = snapshot(&gateway).await;
    assert_eq!(unpacked(&bytes).map(|(records, end)| (records.len(), end)), Err(NoSnapshot::Foreign));
    // And its place is free again.
    gateway.node.fail(None);
    let (records, end) = unpacked(&snapshot(&gateway).await).expect("a snapshot");
    assert_eq!((records.len(), end.is_some()), (1, true));
}

#[tokio::test]
async fn one_snapshot_at_a_time() {
    let gateway = Gateway::start().await;
    (0..2000).for_each(|n| gateway.node.hold(plain(n, 50_000)));
    let mut slow = gateway.connect().await;
    slow.write_all(b"GET /v1/admin/snapshot HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    let mut first = [0; 4096];
    slow.read_exact(&mut first).await.expect("it has begun");
    let asked = gateway.node.asked();
    let (status, answer) = gateway.ask_json("GET", "/v1/admin/snapshot", b"").await;
    assert_eq!((status, answer["error"]["code"].as_str()), (503, Some("busy")), "{answer}");
    assert!(asked < 200, "a slow reader is not read ahead for: {asked} questions");
    drop(slow);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while gateway.ask("HEAD", "/v1/admin/snapshot", b"").await.0 != 200 {
        assert!(tokio::time::Instant::now() < deadline, "its place is never free again");
        tokio::task::yield_now().await;
    }
}

async fn restored(gateway: &Gateway, query: &str, records: &[Record]) -> (u16, Value) {
    let body: Vec<u8> = records.iter().flat_map(to_vec).collect();
    gateway.ask_json("POST", &format!("/v1/admin/restore?{query}"), &body).await
}

fn fates(answer: &Value) -> Vec<&str> {
    let results = answer["results"].as_array().expect("a list");
    results.iter().map(|result| result["fate"].as_str().expect("a word")).collect()
}

#[tokio::test]
async fn records_are_put_back_as_they_were_and_each_is_answered_for() {
    let gateway = Gateway::start().await;
    let here = format!("network={:016x}", NETWORK.0);
    let secret = b"sesame".to_vec();
    let gone = plain(2, 5).guarded_by(Id::sha1(&secret));
    let removal = Record::removal(Id::from_u64(2), gone.head.identity.value_hash, secret, PUT_TIME, HOUR, 9);
    gateway.node.hold(removal);
    let mut forged = plain(3, 5);
    forged.value[0] ^= 1;
    let many: Vec<Record> = (10..240).map(|n| plain(n, 5)).collect();
    let records = [&[plain(1, 5), gone, forged][..], &many].concat();
    let (status, answer) = restored(&gateway, &here, &records).await;
    assert_eq!(status, 200, "{answer}");
    let fates = fates(&answer);
    assert_eq!(fates[..3], ["stands", "hidden", "refused"]);
    assert_eq!(answer["results"][2]["error"]["code"], "forged");
    assert!(fates[3..].iter().all(|fate| *fate == "stands") && fates.len() == records.len());
    assert_eq!(gateway.node.held(Id::from_u64(1)), [records[0].head], "put time, life, origin, client");
    assert!(gateway.node.charged().contains(&ClientId(1)));

    for (why, fate) in [
        (OpError::Expired, "expired"),
        (OpError::Busy, "later"),
        (OpError::Waiting { expected: Duration::from_millis(1500) }, "later"),
        (OpError::Outlived { expires: PUT_TIME }, "refused"),
    ] {
        gateway.node.fail(Some(why.clone()));
        let (status, answer) = restored(&gateway, &here, &[plain(1, 5)]).await;
        assert_eq!((status, answer["results"][0]["fate"].as_str()), (200, Some(fate)), "{why:?}: {answer}");
        let waits = matches!(why, OpError::Waiting { .. });
        assert_eq!(answer["results"][0]["retry_after_ms"].as_u64(), waits.then_some(1500));
    }
}

/// What is no record is told in its place, and what stands before it is put back: repeating that is harmless.
#[tokio::test]
async fn damage_among_records_is_told_where_it_is() {
    let gateway = Gateway::start().await;
    let here = format!("/v1/admin/restore?network={:016x}", NETWORK.0);
    let cut = [to_vec(&plain(1, 5)), to_vec(&plain(2, 5))[..HEAD_BYTES].to_vec()].concat();
    let (status, answer) = gateway.ask_json("POST", &here, &cut).await;
    assert_eq!(status, 200, "{answer}");
    let fates: Vec<_> = (0..3).map(|n| answer["results"][n]["fate"].as_str()).collect();
    assert_eq!(fates, [Some("stands"), Some("refused"), None], "{answer}");
    assert_eq!(answer["results"][1]["error"]["code"].as_str(), Some("bad_request"), "{answer}");
    let (status, answer) = gateway.ask_json("POST", &here, b"no record at all").await;
    assert_eq!((status, answer["results"][0]["fate"].as_str()), (200, Some("refused")), "{answer}");
}

#[tokio::test]
async fn what_cannot_be_a_restore_is_refused_as_a_whole() {
    let gateway = Gateway::start().await;
    let (status, answer) = restored(&gateway, "network=00000000000000aa", &[plain(1, 5)]).await;
    assert_eq!((status, answer["error"]["code"].as_str()), (409, Some("other_network")), "{answer}");
    let all_the_same = "network=00000000000000aa&other_network=true";
    assert_eq!(restored(&gateway, all_the_same, &[plain(1, 5)]).await.0, 200);
    let here = format!("/v1/admin/restore?network={:016x}", NETWORK.0);
    for (path, body) in [
        ("/v1/admin/restore", to_vec(&plain(1, 5))),
        ("/v1/admin/restore?network=xyz", to_vec(&plain(1, 5))),
        (&here, Vec::new()),
        (&here, (0..257).flat_map(|n| to_vec(&plain(n, 0))).collect()),
    ] {
        let (status, answer) = gateway.ask_json("POST", path, &body).await;
        assert_eq!((status, answer["error"]["code"].as_str()), (400, Some("bad_request")), "{path} {answer}");
    }
    let long = vec![0; 3 << 20];
    let (status, _) = gateway.ask("POST", &here, &long).await;
    assert!(status == 413 || status == 0, "{status}");
    assert_eq!(gateway.node.puts(), 0, "nothing was put");
}
