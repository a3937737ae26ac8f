//! Clients of the Sun RPC port that are silent, slow, too many, do not read, or lie about lengths: each is answered with an
//! error or cut, and nobody else notices.

mod support;

use std::time::{Duration, Instant};

use keyway_core::Id;
use keyway_gateway::SunRpcLimits;
use support::rpc::{Client, RpcGateway, call, call_of, get, is_good, put2, put3, record, remove};
use support::{FakeNode, PATIENCE};
use tokio::io::AsyncWriteExt as _;

const PUT: u32 = 2;
const GET: u32 = 3;
const REMOVE: u32 = 4;
const PROGRAM: u32 = 708_655_600;

#[test]
fn the_limits_are_on_by_default() {
    let limits = SunRpcLimits::default();
    assert_eq!((limits.record_bytes_max, limits.idle_timeout), (16 << 10, Duration::from_secs(30)));
    assert_eq!((limits.calls_per_connection_max, limits.calls_max), (128, 4096));
    assert_eq!((limits.unsent_bytes_max, limits.connections_per_ip_max), (64 << 10, 256));
    assert!((1..=1024).contains(&limits.connections_max));
}

#[tokio::test]
async fn a_connection_with_nothing_outstanding_is_closed_after_a_while() {
    let idle = Duration::from_secs(1);
    let gateway = RpcGateway::with(FakeNode::default(), |config| config.sunrpc.idle_timeout = idle).await;
    let began = Instant::now();
    let mut silent = gateway.connect().await;
    assert_eq!(silent.reply().await, None);
    assert!(began.elapsed() >= idle);
    // A null call now and then keeps a connection, as old clients know.
    let (mut talking, began) = (gateway.connect().await, Instant::now());
    let mut pace = tokio::time::interval(idle / 10);
    while began.elapsed() < 2 * idle {
        pace.tick().await;
        assert_eq!(talking.call(3, 1, b"").await.stat(), 0);
    }
    assert_eq!(talking.reply().await, None);
    assert!(began.elapsed() >= 3 * idle - idle / 10, "{:?}", began.elapsed());
    gateway.wait_for_metric("turned_away_total{reason=\"sunrpc_idle\"} 2").await;
    gateway.wait_for_metric("gateway_sunrpc_connections 0").await;
}

#[tokio::test]
async fn a_call_under_way_is_not_idle() {
    let node = FakeNode::default();
    let gateway = RpcGateway::with(node.clone(), |config| {
        config.sunrpc.idle_timeout = Duration::from_millis(100);
        config.limits.op_timeout = Duration::from_millis(1000);
    })
    .await;
    node.go_deaf();
    let mut client = gateway.connect().await;
    assert_eq!(client.call(2, PUT, &put2(&Id::of_text("k"), b"v", 60)).await.status(), 2, "try again");
    assert_eq!(client.reply().await, None, "and then it is");
}

#[tokio::test]
async fn a_record_must_come_at_a_pace() {
    let gateway = RpcGateway::with(FakeNode::default(), |config| {
        config.limits.body_grace = Duration::from_millis(300);
        config.limits.rate_bytes_min = 1 << 20;
    })
    .await;
    let bytes = call(7, 2, PUT, &put2(&Id::of_text("k"), b"v", 60));
    for held in [1, 3, 4, 20, bytes.len() - 1] {
        let mut client = gateway.connect().await;
        client.send(&bytes[..held]).await;
        assert_eq!(client.reply().await, None, "{held} bytes");
    }
    // Empty fragments bring nothing on.
    let mut client = gateway.connect().await;
    let dripped = async {
        let mut pace = tokio::time::interval(Duration::from_millis(50));
        while client.0.write_all(&[0; 4]).await.is_ok() {
            pace.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, dripped).await.expect("it is cut");
    gateway.wait_for_metric("turned_away_total{reason=\"sunrpc_slow_record\"} 6").await;
}

#[tokio::test]
async fn who_does_not_read_is_cut() {
    let gateway = RpcGateway::with(FakeNode::default(), |config| {
        config.limits.write_stall = Duration::from_millis(300);
        config.limits.rate_bytes_min = 1 << 30;
        // Large pages, so that few of them fill what the system takes.
        config.legacy.value_bytes_max = 8192;
        config.legacy.page_bytes = 60_000;
    })
    .await;
    let key = Id::of_text("big");
    let mut client = gateway.connect().await;
    for n in 0..7 {
        assert_eq!(client.call(2, PUT, &put2(&key, &[n; 8192], 60)).await.status(), 0);
    }
    let mut deaf = gateway.connect().await;
    let many = call(7, 2, GET, &get(&key, 10, b"")).repeat(10_000);
    let sent = async { while deaf.0.write_all(&many).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, sent).await.expect("it is cut");
    gateway.wait_for_metric("turned_away_total{reason=\"sunrpc_not_read\"} 1").await;
}

#[tokio::test]
async fn calls_read_behind_a_full_row_of_replies_are_begun_when_it_is_sent() {
    let gateway = RpcGateway::with(FakeNode::default(), |_| ()).await;
    let key = Id::of_text("big");
    let mut client = gateway.connect().await;
    assert_eq!(client.call(2, PUT, &put2(&key, &[7; 1024], 60)).await.status(), 0);
    // A hundred calls at once have more replies than may wait to be sent; those behind them have been read by then.
    let calls: Vec<u8> = (0..400).flat_map(|xid| call(xid, 2, GET, &get(&key, 1, b""))).collect();
    client.send(&calls).await;
    for n in 0..400 {
        assert!(client.reply().await.is_some_and(|reply| reply.page(2).values.len() == 1), "reply {n}");
    }
}

#[tokio::test]
async fn a_newcomer_takes_the_place_of_one_who_rests_and_a_busy_crowd_is_full() {
    let node = FakeNode::default();
    let gateway = RpcGateway::with(node.clone(), |config| config.sunrpc.connections_per_ip_max = 4).await;
    let mut regular = gateway.connect().await;
    regular.call(3, 0, b"").await;
    let mut silent: Vec<Client> = Vec::new();
    for _ in 0..3 {
        silent.push(gateway.connect().await);
    }
    // Two newcomers: the two who have been silent the longest go, the regular client stays.
    for _ in 0..2 {
        let mut newcomer = gateway.connect().await;
        assert_eq!(newcomer.call(3, 0, b"").await.stat(), 0);
        silent.push(newcomer);
    }
    for gone in &mut silent[..2] {
        assert_eq!(gone.reply().await, None);
    }
    assert_eq!(regular.call(3, 0, b"").await.stat(), 0);

    node.go_deaf();
    let ask = call(7, 2, PUT, &put2(&Id::of_text("k"), b"v", 60));
    let mut busy = Vec::new();
    for n in 0..4 {
        let mut client = gateway.connect().await;
        client.send(&ask).await;
        node.wait_until_asked(n + 1).await;
        busy.push(client);
    }
    assert_eq!(gateway.connect().await.reply().await, None, "turned away");
    gateway.wait_for_metric("turned_away_total{reason=\"crowded\"} 1").await;
    gateway.wait_for_metric("turned_away_total{reason=\"sunrpc_made_room\"} 6").await;
}

#[tokio::test]
async fn slow_clients_do_not_disturb_honest_ones() {
    let gateway = RpcGateway::with(FakeNode::default(), |config| config.limits.body_grace = PATIENCE).await;
    let bytes = call(7, 2, PUT, &put2(&Id::of_text("k"), b"v", 60));
    let mut honest = gateway.connect().await;
    honest.call(2, 0, b"").await;
    let mut slow = Vec::new();
    // More than one address may have: the eldest of them go.
    for _ in 0..300 {
        let mut client = gateway.connect().await;
        client.send(&bytes[..30]).await;
        slow.push(client);
    }
    let began = Instant::now();
    for n in 0..50 {
        let key = Id::of_text(&format!("{n}"));
        assert_eq!(honest.call(2, PUT, &put2(&key, b"v", 60)).await.status(), 0);
        assert_eq!(gateway.connect().await.call(3, GET, &get(&key, 1, b"")).await.page(3).values, [b"v"]);
    }
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

/// Resident memory, in MiB; `None` where there is no way to know.
fn resident_mib() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split(' ').nth(1)?.parse::<u64>().ok()? * 4096 / (1 << 20))
}

/// Every call of the program with everything in it, without record marks.
fn every_call() -> Vec<Vec<u8>> {
    let key = Id::of_text("lengths");
    let hash = (&b"SHA"[..], &[7; 20][..]);
    let calls = [
        (2, 1, Vec::new()),
        (2, PUT, put2(&key, b"a value", 3600)),
        (3, PUT, put3(&key, b"a value", (b"", b""), 3600)),
        (2, GET, get(&key, 10, b"")),
        (3, GET, get(&key, 10, b"")),
        (3, REMOVE, remove(&key, hash, b"SHA1", b"secret", 3600)),
    ];
    calls.into_iter().map(|(version, proc, args)| call_of(7, 2, PROGRAM, version, proc, &args)).collect()
}

/// Sends a stream and the end of it: everything that comes back is a reply that is well-formed, then the server closes.
async fn is_answered_or_closed(gateway: &RpcGateway, stream: &[u8], what: &str) -> usize {
    let replies = gateway.exchange(stream).await;
    for reply in &replies {
        assert!(reply.word(1) == 1 && reply.0.len() >= 24, "{what}: {reply:?}");
    }
    replies.len()
}

#[tokio::test]
async fn every_length_may_lie_and_every_byte_may_be_the_last() {
    let gateway = RpcGateway::start(FakeNode::default()).await;
    is_answered_or_closed(&gateway, &record(&every_call()[1]), "first").await;
    let before = resident_mib();
    let lies = [
        0,
        1,
        3,
        4,
        20,
        21,
        40,
        41,
        100,
        101,
        255,
        256,
        400,
        401,
        1024,
        1025,
        1 << 31,
        u32::MAX - 3,
        u32::MAX,
    ];
    for bytes in every_call() {
        // Any aligned word may be a length.
        for at in (0..bytes.len()).step_by(4) {
            for lie in lies {
                let mut bytes = bytes.clone();
                bytes[at..at + 4].copy_from_slice(&lie.to_be_bytes());
                let good = is_good(&bytes);
                let replies =
                    is_answered_or_closed(&gateway, &record(&bytes), &format!("{lie} at {at}")).await;
                assert!(replies <= 1 && (!good || replies == 1), "{lie} at {at}: {replies}");
            }
        }
        // A record that is whole but short, and a stream that ends within a record.
        for at in 0..bytes.len() {
            is_answered_or_closed(&gateway, &record(&bytes[..at]), "cut").await;
            let stream = record(&bytes);
            assert_eq!(is_answered_or_closed(&gateway, &stream[..at], "cut stream").await, 0);
        }
    }
    // Record marks.
    let max = 16 << 10;
    for len in [0, 1, max, max + 1, (1 << 31) - 1] {
        for last in [0, 1 << 31] {
            let stream = [&(len | last as u32).to_be_bytes()[..], &vec![0; 20_000]].concat();
            is_answered_or_closed(&gateway, &stream, "a mark").await;
        }
    }
    let longest = call_of(7, 2, PROGRAM, 2, 1, &vec![0; max as usize - 40]);
    assert_eq!(gateway.exchange(&record(&longest)).await[0].stat(), 0, "a record of exactly the bound");
    // Many at once, each with a large record under way.
    let mut held = Vec::new();
    for _ in 0..256 {
        let mut client = gateway.connect().await;
        client.send(&[&(1_u32 << 31 | max).to_be_bytes()[..], &vec![0; max as usize - 1]].concat()).await;
        held.push(client);
    }
    gateway.wait_for_metric("gateway_sunrpc_connections 256").await;
    if let (Some(before), Some(after)) = (before, resident_mib()) {
        assert!(after.saturating_sub(before) < 64, "grown from {before} to {after} MiB");
    }
}

#[tokio::test]
async fn stopping_lets_calls_end_and_takes_no_new_ones() {
    let node = FakeNode::default();
    let gateway =
        RpcGateway::with(node.clone(), |config| config.limits.op_timeout = Duration::from_secs(1)).await;
    let mut idle = gateway.connect().await;
    idle.call(2, 0, b"").await;
    node.go_deaf();
    let mut waiting = gateway.connect().await;
    waiting.send(&call(7, 2, PUT, &put2(&Id::of_text("k"), b"v", 60))).await;
    node.wait_until_asked(1).await;
    let addr = gateway.rpc;
    let stopping = tokio::spawn(gateway.stop());
    assert_eq!(idle.reply().await, None);
    assert_eq!(waiting.reply().await.expect("a reply").status(), 2);
    assert_eq!(waiting.reply().await, None);
    stopping.await.expect("stopped");
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
}
