//! The Sun RPC port on the wire: golden bytes, fragments, pipelining, error answers, and the rules of 2005.

mod support;

use std::collections::BTreeSet;

use keyway_core::Id;
use keyway_core::machine::{Op, OpError, OpResult};
use keyway_gateway::Node;
use support::rpc::{RpcGateway, call, call_of, get, put2, put3, record, remove};
use support::{FakeNode, PATIENCE};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;

const PUT: u32 = 2;
const GET: u32 = 3;
const REMOVE: u32 = 4;
const PROGRAM: u32 = 708_655_600;

/// Bytes from hex digits, with blanks and words after `#` for people.
fn hex(text: &str) -> Vec<u8> {
    let digits: String =
        text.lines().map(|line| line.split('#').next().unwrap_or("")).collect::<String>().replace(' ', "");
    assert!(digits.len().is_multiple_of(2), "{digits}");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect()
}

async fn golden(gateway: &RpcGateway, asked: &str, answered: &str) {
    use tokio::io::AsyncReadExt as _;
    let mut client = gateway.connect().await;
    client.send(&hex(asked)).await;
    let expected = hex(answered);
    let mut got = vec![0; expected.len()];
    let read = client.0.read_exact(&mut got);
    tokio::time::timeout(PATIENCE, read).await.expect("in time").expect("an answer");
    assert_eq!(got, expected, "{asked}");
}

const KEY: &str = "0102030405060708090a0b0c0d0e0f1011121314";
/// An application `ab`, a client library `rpcgen`.
const NAMES: &str = "00000002 61620000  00000006 72706367656e0000";

#[tokio::test]
async fn every_message_has_the_bytes_of_2005() {
    let gateway = RpcGateway::start(FakeNode::default()).await;
    // A program 708655600 is 0x2a3d39f0; the credential of rpcgen's clients is AUTH_NONE.
    let head = |len: u32, xid: u32, version: u32, procedure: u32| {
        format!(
            "{:08x} {xid:08x} 00000000 00000002 {PROGRAM:08x} {version:08x} {procedure:08x} 00000000 00000000 00000000 00000000\n",
            len + 40 + (1 << 31)
        )
    };
    assert_eq!(PROGRAM, 0x2a3d_39f0);
    let success = |len: u32, xid: u32| {
        format!("{:08x} {xid:08x} 00000001 00000000 00000000 00000000 00000000\n", len + 24 + (1 << 31))
    };
    for (version, procedure) in [(2, 0), (2, 1), (3, 0), (3, 1)] {
        golden(&gateway, &head(0, 0xfeed, version, procedure), &success(0, 0xfeed)).await;
    }
    let put = head(20 + 20 + 8 + 4, 1, 2, 2) + NAMES + KEY + "00000003 72656400  00000e10 # red, an hour";
    golden(&gateway, &put, &(success(4, 1) + "00000000")).await;
    let put = head(20 + 20 + 12 + 4 + 4 + 4, 2, 3, 2)
        + NAMES
        + KEY
        + "00000005 677265656e000000 # green\n 00000000 # no algorithm\n 00000000 # and no hash\n 00093a80 # a week";
    golden(&gateway, &put, &(success(4, 2) + "00000000")).await;
    let get = |xid, version| {
        head(20 + 20 + 4 + 4, xid, version, 3) + NAMES + KEY + "0000000a # ten\n 00000000 # from the first"
    };
    let page = "00000002 # two\n 00000003 72656400\n 00000005 677265656e000000\n 00000000 # and no more";
    golden(&gateway, &get(3, 2), &(success(4 + 8 + 12 + 4, 3) + page)).await;
    let zeros = "00000003 53484100 # SHA\n 00000014 0000000000000000000000000000000000000000";
    let page = format!(
        "00000002\n 00000003 72656400 00000e10 {zeros}\n 00000005 677265656e000000 00093a80 {zeros}\n 00000000"
    );
    golden(&gateway, &get(4, 3), &(success(4 + 44 + 48 + 4, 4) + &page)).await;
    // AUTH_SYS with a name of a machine, as automatic clients send it, and a verifier of a flavor that nobody knows.
    let auth = "80000044 00000005 00000000 00000002 2a3d39f0 00000003 00000001\n 00000001 00000018 \
                 11223344 00000004 686f7374 00000000 00000000 00000000\n 000000ff 00000001 78000000";
    golden(&gateway, auth, &success(0, 5)).await;
}

#[tokio::test]
async fn every_error_has_its_answer_and_then_the_connection_closes() {
    let gateway = RpcGateway::start(FakeNode::default()).await;
    let key = Id::of_text("colors");
    let good = call(9, 3, 1, b"");
    let cases: [(&str, Vec<u8>, &[u32]); 14] = [
        ("another program", call_of(7, 2, PROGRAM + 1, 2, PUT, b""), &[1]),
        ("the portmapper", call_of(7, 2, 100_000, 2, 0, b""), &[1]),
        ("version 0", call_of(7, 2, PROGRAM, 0, 1, b""), &[2, 2, 3]),
        ("version 1", call_of(7, 2, PROGRAM, 1, 1, b""), &[2, 2, 3]),
        ("version 4", call_of(7, 2, PROGRAM, 4, PUT, b""), &[2, 2, 3]),
        ("the greatest version", call_of(7, 2, PROGRAM, u32::MAX, 1, b""), &[2, 2, 3]),
        ("the old remove", call_of(7, 2, PROGRAM, 2, REMOVE, b""), &[3]),
        ("procedure 5", call_of(7, 2, PROGRAM, 3, 5, b""), &[3]),
        ("no arguments", call_of(7, 2, PROGRAM, 2, PUT, b""), &[4]),
        ("arguments of version 2", call_of(7, 2, PROGRAM, 3, PUT, &put2(&key, b"red", 3600)), &[4]),
        ("arguments of version 3", call_of(7, 2, PROGRAM, 2, PUT, &put3(&key, b"red", (b"", b""), 60)), &[4]),
        ("a value too long", call_of(7, 2, PROGRAM, 2, PUT, &put2(&key, &[b'x'; 1025], 60)), &[4]),
        ("no life", call_of(7, 2, PROGRAM, 2, PUT, &put2(&key, b"red", 0)), &[4]),
        ("a foreign placemark", call_of(7, 2, PROGRAM, 2, GET, &get(&key, 10, &[7; 57])), &[4]),
    ];
    for (what, bytes, expected) in cases {
        let mut client = gateway.connect().await;
        client.send(&[record(&bytes), good.clone(), good.clone()].concat()).await;
        let reply = client.reply().await.expect(what);
        assert_eq!((reply.xid(), reply.stat()), (7, expected[0]), "{what}");
        assert_eq!(reply.0.len(), 24 + 4 * (expected.len() - 1), "{what}");
        for (at, word) in expected.iter().enumerate() {
            assert_eq!(reply.word(5 + at), *word, "{what}");
        }
        // Only the desk can judge lives and placemarks: what stands behind such a call may have begun by then.
        assert!(client.rest().await.iter().all(|reply| reply.xid() == 9), "{what}");
    }
    let mut client = gateway.connect().await;
    client.send(&[record(&call_of(7, 3, PROGRAM, 2, 0, b"")), good.clone()].concat()).await;
    let denied = client.reply().await.expect("a denial");
    assert_eq!(denied.0, hex("00000007 00000001 00000001 00000000 00000002 00000002"));
    assert_eq!(client.reply().await, None);
}

/// `rpcinfo` asks procedure 0 of an impossible version, and then each version that there is, on one connection.
#[tokio::test]
async fn who_asks_for_versions_goes_on() {
    let gateway = RpcGateway::start(FakeNode::default()).await;
    let mut client = gateway.connect().await;
    let mismatch = client.call(0, 0, b"").await;
    assert_eq!((mismatch.stat(), mismatch.word(6), mismatch.word(7)), (2, 2, 3));
    for version in [2, 3] {
        assert_eq!(client.call(version, 0, b"").await.stat(), 0);
    }
}

#[tokio::test]
async fn what_is_no_call_is_answered_by_closing() {
    let gateway = RpcGateway::start(FakeNode::default()).await;
    let mut reply = call_of(7, 2, PROGRAM, 2, 0, b"");
    reply[7] = 1;
    let mut long_credential = call_of(7, 2, PROGRAM, 2, 0, &[0; 404]);
    long_credential[30..32].copy_from_slice(&401_u16.to_be_bytes());
    let garbage: [Vec<u8>; 6] = [
        record(&reply),
        record(&long_credential),
        record(b""),
        record(b"hello"),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        vec![0xff; 100_000],
    ];
    for bytes in garbage {
        let mut client = gateway.connect().await;
        let _ = client.0.write_all(&bytes).await;
        assert_eq!(client.reply().await, None, "{:?}", &bytes[..bytes.len().min(64)]);
    }
    let metrics = gateway.http("GET", "/metrics", b"").await;
    assert!(metrics.contains("turned_away_total{reason=\"sunrpc_not_a_call\"} 4"), "{metrics}");
    assert!(metrics.contains("turned_away_total{reason=\"sunrpc_misframed\"} 2"), "{metrics}");
}

#[tokio::test]
async fn the_longest_credential_is_skipped() {
    let gateway = RpcGateway::start(FakeNode::default()).await;
    let mut bytes = call_of(7, 2, PROGRAM, 2, 1, b"");
    bytes.truncate(24);
    bytes.extend(hex("00000006 00000190"));
    bytes.extend([0xaa; 400]);
    bytes.extend(hex("00000006 00000190"));
    bytes.extend([0xbb; 400]);
    assert_eq!(gateway.exchange(&record(&bytes)).await[0].stat(), 0);
}

#[tokio::test]
async fn records_may_be_cut_anywhere() {
    let gateway = RpcGateway::start(FakeNode::default()).await;
    let key = Id::of_text("cut");
    let put = call(1, 2, PUT, &put2(&key, b"red", 3600));
    let stream = [put.clone(), call(2, 2, GET, &get(&key, 10, b""))].concat();
    // By TCP: at every byte, both sides in segments of their own.
    for at in 1..stream.len() {
        let mut client = gateway.connect().await;
        client.send(&stream[..at]).await;
        // So that the first part is read by itself: a call of another connection takes as long.
        gateway.connect().await.call(2, 1, b"").await;
        client.send(&stream[at..]).await;
        let (first, second) =
            (client.reply().await.expect("a reply"), client.reply().await.expect("a reply"));
        assert_eq!(BTreeSet::from([first.xid(), second.xid()]), BTreeSet::from([1, 2]), "cut at {at}");
    }
    // By the client: into two fragments at every byte, and into fragments of one byte with empty ones between.
    let body = &put[4..];
    let fragment =
        |last: u32, bytes: &[u8]| [&(last << 31 | bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    for at in 0..=body.len() {
        let stream = [fragment(0, &body[..at]), fragment(1, &body[at..])].concat();
        assert_eq!(gateway.exchange(&stream).await[0].status(), 0, "cut at {at}");
    }
    let mut stream: Vec<u8> =
        body.iter().flat_map(|byte| [fragment(0, &[*byte]), fragment(0, b"")].concat()).collect();
    stream.extend(fragment(1, b""));
    assert_eq!(gateway.exchange(&stream).await[0].status(), 0);
}

/// A node whose gets wait until they are let go.
#[derive(Clone)]
struct Gated {
    node: FakeNode,
    open: watch::Receiver<bool>,
}

impl Node for Gated {
    async fn op(&self, what: Op) -> OpResult {
        if matches!(what, Op::Get { .. }) {
            let _ = self.open.clone().wait_for(|open| *open).await;
        }
        self.node.op(what).await
    }
}

#[tokio::test]
async fn calls_of_both_versions_share_a_connection_and_overtake_each_other() {
    let (open, gate) = watch::channel(false);
    let node = Gated { node: FakeNode::default(), open: gate };
    let gateway = RpcGateway::start(node).await;
    let key = Id::of_text("pipeline");
    let mut client = gateway.connect().await;
    let mut stream = Vec::new();
    for xid in 0..50 {
        stream.extend(call(xid, 2 + xid % 2, GET, &get(&key, 100, b"")));
        let value = format!("value {xid}");
        let args = match xid % 2 {
            0 => put3(&key, value.as_bytes(), (b"SHA", b""), 3600),
            _ => put2(&key, value.as_bytes(), 3600),
        };
        stream.extend(call(1000 + xid, 3 - xid % 2, PUT, &args));
    }
    client.send(&stream).await;
    // All hundred are under way at once: the puts, sent after gets, are answered while every get waits.
    let mut put = BTreeSet::new();
    for _ in 0..50 {
        let reply = client.reply().await.expect("a put's reply");
        assert_eq!(reply.status(), 0);
        put.insert(reply.xid());
    }
    assert_eq!(put, (1000..1050).collect());
    // The client says that there is no more; it gets the rest all the same.
    client.0.shutdown().await.expect("half closed");
    open.send_replace(true);
    let replies = client.rest().await;
    assert_eq!(replies.iter().map(support::rpc::Reply::xid).collect::<BTreeSet<_>>(), (0..50).collect());
    for reply in replies {
        assert_eq!(reply.page(2 + reply.xid() % 2).values.len(), 22, "of values that cost 47 or 46 bytes");
    }
}

/// Section 1.5: values come back in the order in which they were put, also when nobody waited for the answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pipelined_puts_keep_their_order() {
    let gateway = RpcGateway::start(FakeNode::default()).await;
    let mut client = gateway.connect().await;
    for round in 0..20 {
        let key = Id::of_text(&format!("round {round}"));
        let texts: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let stream: Vec<u8> = (0..)
            .zip(&texts)
            .flat_map(|(xid, text)| call(xid, 2, PUT, &put2(&key, text.as_bytes(), 60)))
            .collect();
        client.send(&stream).await;
        for _ in &texts {
            assert_eq!(client.reply().await.expect("a put's reply").status(), 0);
        }
        let page = client.call(2, GET, &get(&key, 100, b"")).await.page(2);
        assert_eq!(page.values, texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn beyond_the_calls_of_a_connection_nothing_more_is_read() {
    let (open, gate) = watch::channel(false);
    let node = Gated { node: FakeNode::default(), open: gate };
    let gateway = RpcGateway::start(node.clone()).await;
    let mut client = gateway.connect().await;
    let key = Id::of_text("many");
    let gets: Vec<u8> = (0..200).flat_map(|xid| call(xid, 2, GET, &get(&key, 1, b""))).collect();
    client.send(&[gets, call(1000, 2, PUT, &put2(&key, b"v", 60))].concat()).await;
    // The put stands behind 200 gets that wait, of which 128 are under way.
    gateway.connect().await.call(2, 1, b"").await;
    assert_eq!(node.node.puts(), 0);
    open.send_replace(true);
    let mut seen = BTreeSet::new();
    while seen.len() < 201 {
        seen.insert(client.reply().await.expect("a reply").xid());
    }
    assert_eq!(node.node.puts(), 1);
}

#[tokio::test]
async fn calls_in_all_are_bounded_and_wait_for_a_seat() {
    let (open, gate) = watch::channel(false);
    let node = Gated { node: FakeNode::default(), open: gate };
    let gateway = RpcGateway::with(node, |config| config.sunrpc.calls_max = 2).await;
    let key = Id::of_text("seats");
    let mut first = gateway.connect().await;
    first.send(&(0..5).flat_map(|xid| call(xid, 2, GET, &get(&key, 1, b""))).collect::<Vec<u8>>()).await;
    let mut second = gateway.connect().await;
    second.send(&call(9, 2, GET, &get(&key, 1, b""))).await;
    open.send_replace(true);
    assert_eq!(second.reply().await.expect("a reply").xid(), 9);
    for _ in 0..5 {
        first.reply().await.expect("a reply");
    }
}

#[tokio::test]
async fn values_come_in_put_order_page_by_page() {
    let gateway = RpcGateway::start(FakeNode::default()).await;
    let mut client = gateway.connect().await;
    let key = Id::of_text("pages");
    for n in 0..60 {
        assert_eq!(client.call(2, PUT, &put2(&key, format!("six{n:03}").as_bytes(), 3600)).await.status(), 0);
    }
    for version in [2, 3] {
        let (mut seen, mut pages, mut placemark) = (Vec::new(), 0, Vec::new());
        loop {
            let page = client.call(version, GET, &get(&key, i32::MAX, &placemark)).await.page(version);
            assert!(page.values.len() <= 23, "1063 bytes hold 23 values of six bytes");
            assert!(page.placemark.len() <= 100);
            (pages, placemark) = (pages + 1, page.placemark);
            seen.extend(page.values);
            if placemark.is_empty() {
                break;
            }
        }
        let expected: Vec<Vec<u8>> = (0..60).map(|n| format!("six{n:03}").into_bytes()).collect();
        assert_eq!((seen, pages), (expected, 3));
    }
    let page = client.call(3, GET, &get(&key, 5, b"")).await.page(3);
    assert_eq!(page.values.len(), 5);
    assert!(page.remaining.iter().all(|left| (3590..=3600).contains(left)), "{page:?}");
    assert!(page.secret_hashes.iter().all(|hash| *hash == [0; 20]), "{page:?}");
    let nothing = client.call(3, GET, &get(&Id::of_text("nothing"), 5, b"")).await.page(3);
    assert_eq!((nothing.values.len(), nothing.placemark.len()), (0, 0));
}

#[tokio::test]
async fn the_limits_of_2005_hold_and_can_be_set() {
    let gateway = RpcGateway::start(FakeNode::default()).await;
    let mut client = gateway.connect().await;
    let key = Id::of_text("limits");
    assert_eq!(client.call(2, PUT, &put2(&key, &[b'x'; 1024], 3600)).await.status(), 0);
    assert_eq!(
        client.call(2, PUT, &put2(&key, b"", i32::MAX)).await.status(),
        0,
        "more than a week is a week"
    );
    let first = client.call(3, GET, &get(&key, 10, b"")).await.page(3);
    assert_eq!(first.values, [vec![b'x'; 1024]], "a page holds one full value");
    let second = client.call(3, GET, &get(&key, 65_537, &first.placemark)).await.page(3);
    assert_eq!(
        (second.values.len(), second.remaining),
        (1, vec![604_800]),
        "maxvals counts by its low 16 bits"
    );
    for maxvals in [0, 65_536, i32::MIN] {
        assert_eq!(gateway.exchange(&call(7, 2, GET, &get(&key, maxvals, b""))).await[0].stat(), 4);
    }
    for ttl in [0, -1, i32::MIN] {
        assert_eq!(gateway.exchange(&call(7, 3, PUT, &put3(&key, b"v", (b"", b""), ttl))).await[0].stat(), 4);
    }

    let wider = RpcGateway::with(FakeNode::default(), |config| {
        config.legacy.value_bytes_max = 8192;
        config.legacy.page_bytes = 20_000;
        config.legacy.ttl_max = std::time::Duration::from_secs(60);
    })
    .await;
    let mut client = wider.connect().await;
    for n in 0..3 {
        assert_eq!(client.call(2, PUT, &put2(&key, &[n; 8192], 3600)).await.status(), 0);
    }
    let page = client.call(3, GET, &get(&key, 10, b"")).await.page(3);
    assert_eq!((page.values.len(), &page.remaining[..]), (2, &[60, 60][..]));
    assert_eq!(client.call(2, PUT, &put2(&key, &[0; 8193], 3600)).await.stat(), 4);
}

#[tokio::test]
async fn values_that_this_wire_cannot_express_are_left_out() {
    let gateway = RpcGateway::start(FakeNode::default()).await;
    let mut client = gateway.connect().await;
    let key = Id::of_text("mixed");
    for n in 0..20_u8 {
        let answer = gateway.http("PUT", "/v1/keys/mixed", &vec![n; 2000]).await;
        assert!(answer.contains("201 Created"), "{answer}");
        if n % 10 == 4 {
            assert_eq!(client.call(2, PUT, &put2(&key, &[n], 3600)).await.status(), 0);
        }
    }
    for version in [2, 3] {
        let (mut seen, mut placemark) = (Vec::new(), Vec::new());
        loop {
            let page = client.call(version, GET, &get(&key, 10, &placemark)).await.page(version);
            placemark = page.placemark;
            assert!(!page.values.is_empty() || placemark.is_empty(), "no empty page in between");
            seen.extend(page.values);
            if placemark.is_empty() {
                break;
            }
        }
        assert_eq!(seen, [[4], [14]]);
    }
}

/// SHA-1, so that tests have the client's side of the bargain.
fn sha1(bytes: &[u8]) -> [u8; 20] {
    Id::sha1(bytes).0
}

#[tokio::test]
async fn a_value_is_removed_by_its_secret_and_a_wrong_one_succeeds_without_effect() {
    let gateway = RpcGateway::start(FakeNode::default()).await;
    let mut client = gateway.connect().await;
    let key = Id::of_text("removable");
    let (hash, red) = (sha1(b"sesame"), sha1(b"red"));
    for (n, algorithm) in [&b""[..], b"SHA", b"SHA1", b"SHA-1", b"sha-1", b"whatever"].into_iter().enumerate()
    {
        let value = format!("value {n}");
        let args = put3(&key, value.as_bytes(), (algorithm, &hash), 3600);
        assert_eq!(client.call(3, PUT, &args).await.status(), 0);
    }
    assert_eq!(client.call(3, PUT, &put3(&key, b"red", (b"SHA", &hash), 3600)).await.status(), 0);
    assert_eq!(client.call(2, PUT, &put2(&key, b"red", 3600)).await.status(), 0, "another item");
    let page = client.call(3, GET, &get(&key, 10, b"")).await.page(3);
    assert_eq!(page.values.len(), 8);
    assert_eq!(page.secret_hashes[6], hash);
    assert_eq!(page.secret_hashes[7], [0; 20]);

    let reds = async |client: &mut support::rpc::Client| {
        let page = client.call(2, GET, &get(&key, 10, b"")).await.page(2);
        page.values.iter().filter(|value| *value == b"red").count()
    };
    let wrong = remove(&key, (b"SHA", &red), b"SHA", b"simsim", 3600);
    assert_eq!(client.call(3, REMOVE, &wrong).await.status(), 0, "as it was in 2005");
    assert_eq!(reds(&mut client).await, 2);
    let right = remove(&key, (b"any", &red), b"name", b"sesame", 3600);
    assert_eq!(client.call(3, REMOVE, &right).await.status(), 0);
    assert_eq!(reds(&mut client).await, 1, "the one without a secret stays");
    assert_eq!(client.call(3, PUT, &put3(&key, b"red", (b"SHA", &hash), 3600)).await.status(), 0);
    assert_eq!(reds(&mut client).await, 1, "while the removal stands, the same item cannot return");

    for args in [
        remove(&key, (b"SHA", b""), b"SHA", b"sesame", 3600),
        remove(&key, (b"SHA", &[1; 21]), b"SHA", b"sesame", 3600),
        remove(&key, (b"SHA", &red), b"SHA", &[1; 41], 3600),
        remove(&key, (b"SHA", &red), b"SHA", b"sesame", 0),
    ] {
        assert_eq!(gateway.exchange(&call(7, 3, REMOVE, &args)).await[0].stat(), 4);
    }
    let args = put3(&key, b"v", (b"SHA", &[1; 21]), 3600);
    assert_eq!(gateway.exchange(&call(7, 3, PUT, &args)).await[0].stat(), 4);
}

#[tokio::test]
async fn what_the_node_cannot_do_now_is_a_status_and_for_a_get_a_system_error() {
    let node = FakeNode::default();
    let gateway = RpcGateway::start(node.clone()).await;
    let mut client = gateway.connect().await;
    let key = Id::of_text("k");
    let failures = [
        (OpError::OverCapacity, 1),
        (OpError::Quorum { got: 1, want: 2 }, 2),
        (OpError::Timeout, 2),
        (OpError::Busy, 2),
        (OpError::NotJoined, 2),
        (OpError::ClockSkew, 2),
    ];
    for (why, status) in failures {
        node.fail(Some(why.clone()));
        for (version, args) in [(2, put2(&key, b"v", 60)), (3, put3(&key, b"v", (b"", b""), 60))] {
            assert_eq!(client.call(version, PUT, &args).await.status(), status, "{why}");
        }
        let failed = client.call(2, GET, &get(&key, 1, b"")).await;
        assert_eq!((failed.stat(), failed.0.len()), (5, 24), "{why}");
    }
    node.fail(None);
    assert_eq!(client.call(2, PUT, &put2(&key, b"v", 60)).await.status(), 0, "the connection goes on");
    let metrics = gateway.http("GET", "/metrics", b"").await;
    for line in [
        "gateway_sunrpc_calls_total{version=\"2\",procedure=\"put\",outcome=\"ok\"} 1",
        "gateway_sunrpc_calls_total{version=\"3\",procedure=\"put\",outcome=\"capacity\"} 1",
        "gateway_sunrpc_calls_total{version=\"2\",procedure=\"put\",outcome=\"again\"} 5",
        "gateway_sunrpc_calls_total{version=\"2\",procedure=\"get\",outcome=\"failed\"} 6",
        "gateway_requests_total{interface=\"sunrpc\",status=\"5\"} 6",
        "gateway_sunrpc_connections 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}
