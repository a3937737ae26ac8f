//! Clients that are slow, too large, too many, or speak nonsense: each gets a clear error or is cut, and nobody else
//! notices.

mod support;

use std::time::{Duration, Instant};

use keyway_gateway::{GatewayConfig, Limits};
use support::{Gateway, PATIENCE, body_of, head_of, read_to_end, status};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn limited(change: impl FnOnce(&mut Limits)) -> GatewayConfig {
    let mut config = GatewayConfig::default();
    change(&mut config.limits);
    config
}

/// Waits until the gateway counts so many connections, this question's own included.
async fn wait_for_connections(gateway: &Gateway, count: usize) {
    let line = format!("keyway_gateway_connections {count}\n");
    let began = Instant::now();
    while !gateway.ask("GET", "/metrics", b"").await.1.contains(&line) {
        // The question itself is the pause: a round trip through the gateway.
        assert!(began.elapsed() < PATIENCE, "never {count} connections");
    }
}

#[test]
fn the_limits_are_on_by_default() {
    let limits = Limits::default();
    assert_eq!((limits.head_bytes_max, limits.headers_max), (16 << 10, 100));
    assert_eq!(limits.head_timeout, Duration::from_secs(5));
    assert_eq!((limits.rate_bytes_min, limits.body_grace), (1024, Duration::from_secs(5)));
    assert_eq!((limits.write_stall, limits.idle_timeout), (Duration::from_secs(15), Duration::from_secs(60)));
    assert_eq!(limits.op_timeout, Duration::from_secs(10));
    assert!((1..=1024).contains(&limits.connections_max));
    assert_eq!(limits.connections_per_ip_max, 256);
    assert!(GatewayConfig::default().allowed_hosts.is_empty());
}

#[tokio::test]
async fn by_default_a_head_has_five_seconds() {
    let gateway = Gateway::start().await;
    let began = Instant::now();
    let mut slow = gateway.connect().await;
    slow.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await.expect("sent");
    // A byte each second keeps nothing alive: the whole head counts.
    let (mut read, mut write) = slow.into_split();
    let drip = tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_millis(500));
        while write.write_all(b"x").await.is_ok() {
            pace.tick().await;
        }
    });
    assert_eq!(gateway.ask("GET", "/livez", b"").await.0, 200, "others do not wait");
    let mut answer = String::new();
    let _ = tokio::time::timeout(PATIENCE, read.read_to_string(&mut answer)).await.expect("cut");
    let took = began.elapsed();
    drip.abort();
    assert_eq!(status(&answer), 408, "{answer}");
    assert!(body_of(&answer).contains("too slowly"), "{answer}");
    assert!(took >= Duration::from_secs(5) && took < PATIENCE, "{took:?}");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let gateway = Gateway::with(limited(|limits| limits.head_timeout = Duration::from_millis(100))).await;
    let mut silent = gateway.connect().await;
    assert_eq!(read_to_end(&mut silent).await, "");
}

#[tokio::test]
async fn waiting_between_requests_is_not_a_slow_head() {
    let gateway = Gateway::with(limited(|limits| {
        limits.head_timeout = Duration::from_millis(500);
        limits.idle_timeout = Duration::from_millis(3000);
    }))
    .await;
    let mut socket = gateway.connect().await;
    let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    socket.write_all(request).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"alive\n") {
        assert_ne!(socket.read_buf(&mut answer).await.expect("answered"), 0, "{answer:?}");
    }
    // An empty line after a request, as some old clients send it, begins nothing.
    socket.write_all(b"\r\n").await.expect("sent");
    // Longer than a head may take, shorter than a connection may idle.
    let quiet = tokio::time::timeout(Duration::from_millis(1200), socket.read_u8()).await;
    assert!(quiet.is_err(), "neither answered nor closed: {quiet:?}");
    socket.write_all(request).await.expect("sent");
    let began = Instant::now();
    let rest = read_to_end(&mut socket).await;
    assert!(rest.contains("HTTP/1.1 200 OK"), "the second request was answered: {rest}");
    assert!(began.elapsed() >= Duration::from_secs(2), "and then it idled for a while");
}

#[tokio::test]
async fn a_body_must_keep_a_pace() {
    let gateway = Gateway::with(limited(|limits| limits.body_grace = Duration::from_secs(1))).await;
    for head in ["PUT /v1/keys/k HTTP/1.1\r\nHost: localhost", "POST / HTTP/1.0\r\nContent-Type: text/xml"] {
        let mut slow = gateway.connect().await;
        slow.write_all(format!("{head}\r\nContent-Length: 60000\r\n\r\nonly this").as_bytes())
            .await
            .expect("sent");
        let answer = read_to_end(&mut slow).await;
        assert_eq!(status(&answer), 408, "{answer}");
        assert!(head_of(&answer).to_ascii_lowercase().contains("connection: close"), "{answer}");
    }
    // A slow but honest body is heard out: 20 pieces of 200 bytes within the time that 1 KiB/s gives.
    let mut honest = gateway.connect().await;
    honest.write_all(b"PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 4000\r\n\r\n").await.expect("sent");
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..20 {
        pace.tick().await;
        honest.write_all(&[b'x'; 200]).await.expect("sent");
    }
    assert_eq!(status(&read_to_end(&mut honest).await), 201);
}

#[tokio::test]
async fn large_heads_are_told_so() {
    let gateway = Gateway::start().await;
    let headers = |count: usize| (0..count).map(|n| format!("X-{n}: y\r\n")).collect::<String>();
    let cases = [
        format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(17_000)),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "a".repeat(17_000)),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}", "a".repeat(1_000_000)),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", headers(100)),
        "GET ".repeat(100_000),
    ];
    for request in cases {
        let answer = gateway.exchange(request.as_bytes()).await;
        assert_eq!(status(&answer), 431, "{:.60} gave {answer}", request);
        assert!(body_of(&answer).contains("head_too_large"));
    }
    let just = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}\r\n", headers(98));
    assert_eq!(status(&gateway.exchange(just.as_bytes()).await), 200);
}

#[tokio::test]
async fn large_bodies_are_told_so() {
    let gateway = Gateway::start().await;
    // A little too large, far too large, beyond any number, and in chunks whose sum is too large.
    let sizes = [(65_537_u64, 65_537), (3_000_000, 3_000_000), (u64::MAX / 2, 100_000)];
    for (declared, sent) in sizes {
        let mut request =
            format!("PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: {declared}\r\n\r\n")
                .into_bytes();
        request.resize(request.len() + sent, b'x');
        let answer = gateway.exchange(&request).await;
        assert_eq!(status(&answer), 413, "{declared}: {answer}");
        assert!(body_of(&answer).contains("too_large"));
    }
    let mut request =
        b"PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..300 {
        request.extend_from_slice(b"2000\r\n");
        request.resize(request.len() + 0x2000, b'x');
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    let answer = gateway.exchange(&request).await;
    assert_eq!(status(&answer), 413, "{answer}");
    assert_eq!(gateway.node.puts(), 0);
}

#[tokio::test]
async fn a_request_whose_end_is_ambiguous_is_refused_and_nothing_behind_it_is_read() {
    let gateway = Gateway::start().await;
    let hidden = "PUT /v1/keys/hidden HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx";
    let framings = [
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Content-Length: -1",
        "Content-Length:",
        "Content-Length: 99999999999999999999999",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "transfer-encoding: CHUNKED\r\ncontent-length: 0",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Content-Length : 5",
        "Transfer-Encoding : chunked",
        "X: y\r\n Transfer-Encoding: chunked",
    ];
    for framing in framings {
        for body in ["0\r\n\r\n", "abcde"] {
            let request =
                format!("PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n{body}{hidden}");
            let answer = gateway.exchange(request.as_bytes()).await;
            assert_eq!(status(&answer), 400, "{framing:?} gave {answer}");
            assert_eq!(
                answer.matches("HTTP/1.").count(),
                1,
                "{framing:?}: one answer, then the end: {answer}"
            );
        }
    }
    let old = format!("PUT /v1/keys/k HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}");
    assert_eq!(status(&gateway.exchange(old.as_bytes()).await), 400);
    assert_eq!(gateway.node.puts(), 0, "nothing was stored");
}

#[tokio::test]
async fn nothing_follows_a_chunked_request() {
    let gateway = Gateway::start().await;
    let chunked =
        "PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    let answer = gateway.exchange(format!("{chunked}{chunked}").as_bytes()).await;
    assert_eq!((status(&answer), answer.matches("HTTP/1.1").count()), (201, 1), "{answer}");
    assert_eq!(gateway.node.puts(), 1);
    for bad in ["x\r\n", "5\r\nab", "FFFFFFFFFFFFFFFFFF\r\n", "1\r\nxy\r\n0\r\n\r\n", "-1\r\n"] {
        let request =
            format!("PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{bad}");
        let mut socket = gateway.connect().await;
        socket.write_all(request.as_bytes()).await.expect("sent");
        socket.shutdown().await.expect("sent");
        let code = status(&read_to_end(&mut socket).await);
        assert!(code == 400 || code == 0, "{bad:?} gave {code}");
    }
    assert_eq!(gateway.node.puts(), 1);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let gateway = Gateway::start().await;
    let put = |n: u32| {
        format!("PUT /v1/keys/k?ttl={n} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nv{n}\r\n\r\n")
    };
    let mut requests: String = (10..20).map(put).collect();
    requests.push_str("GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let answer = gateway.exchange(requests.as_bytes()).await;
    let lives: Vec<&str> =
        answer.split("\"ttl_seconds\":").skip(1).filter_map(|rest| rest.split(',').next()).collect();
    assert_eq!(lives, (10..20).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 11);
    // A refusal comes in its turn, too.
    let answer = gateway
        .exchange(
            format!("{}GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", put(30)).as_bytes(),
        )
        .await;
    let codes: Vec<u16> =
        answer.split("HTTP/1.").skip(1).map(|part| status(&format!("HTTP/1.{part}"))).collect();
    assert_eq!(codes, [201, 400], "{answer}");
}

#[tokio::test]
async fn nonsense_is_refused() {
    let gateway = Gateway::start().await;
    let cases: [&[u8]; 9] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
        b"\xff\xfe\xfd\n\n",
    ];
    for case in cases {
        let code = status(&gateway.exchange(case).await);
        assert!(code == 400 || code == 0, "{:?} gave {code}", String::from_utf8_lossy(case));
    }
    let tunnel = gateway
        .exchange(b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\nConnection: close\r\n\r\n")
        .await;
    assert!(matches!(status(&tunnel), 400..=499), "{tunnel}");
    assert_eq!(gateway.ask("GET", "/livez", b"").await.0, 200);
}

#[tokio::test]
async fn old_clients_are_served() {
    let gateway = Gateway::start().await;
    let answer = gateway.exchange(b"GET /livez HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    // One that shuts its side down after the request.
    let mut socket = gateway.connect().await;
    socket.write_all(b"\r\nGET /livez HTTP/1.0\nhost: localhost\n\n").await.expect("sent");
    socket.shutdown().await.expect("shut");
    assert_eq!(body_of(&read_to_end(&mut socket).await), "alive\n");
}

#[tokio::test]
async fn only_our_own_names_are_answered() {
    let mut config = GatewayConfig::default();
    config.allowed_hosts.push("dht.example.org".into());
    let gateway = Gateway::with(config).await;
    let ask =
        |target: &str, headers: &str| format!("GET {target} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
    let cases = [
        (ask("/livez", "Host: evil.example\r\n"), 421),
        (ask("/livez", "Host: evil.example:5851\r\n"), 421),
        (ask("/livez", "Host: 192.0.2.1\r\n"), 421),
        (ask("http://evil.example/livez", "Host: localhost\r\n"), 421),
        (ask("/livez", ""), 400),
        (ask("/livez", "Host: localhost\r\nHost: localhost\r\n"), 400),
        (ask("/livez", "Host: a b\r\n"), 400),
        (ask("/livez", "Host: localhost\r\n"), 200),
        (ask("/livez", "Host: DHT.example.org:80\r\n"), 200),
        (ask("http://localhost/livez", "Host: localhost\r\n"), 200),
    ];
    for (request, code) in cases {
        let answer = gateway.exchange(request.as_bytes()).await;
        assert_eq!(status(&answer), code, "{request} gave {answer}");
    }
    let refused = gateway.exchange(ask("/livez", "Host: evil.example\r\n").as_bytes()).await;
    assert!(
        refused.contains("evil.example") && refused.contains("--allowed-host"),
        "it says how to allow it: {refused}"
    );
    // XML-RPC is behind the same check, and a page of another origin cannot write.
    let post = "POST / HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\nContent-Type: text/xml\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(status(&gateway.exchange(post.as_bytes()).await), 421);
    // No browser sends a post without an origin; programs of 2005 call the service what they like.
    let call = "<methodCall><methodName>nothing</methodName><params></params></methodCall>";
    let post = format!(
        "POST / HTTP/1.0\r\nHost: opendht.nyuld.net:5851\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{call}",
        call.len()
    );
    assert_eq!(status(&gateway.exchange(post.as_bytes()).await), 200);
    let put = "PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(status(&gateway.exchange(put.as_bytes()).await), 403);
    assert_eq!(gateway.node.puts(), 0);
}

#[tokio::test]
async fn a_crowd_from_one_address_is_bounded() {
    let gateway = Gateway::with(limited(|limits| limits.connections_per_ip_max = 8)).await;
    let mut crowd = Vec::new();
    for _ in 0..8 {
        crowd.push(gateway.connect().await);
    }
    // Accepting is sequential: when the ninth is turned away, the eight before it are inside.
    let turned_away = gateway.exchange(b"").await;
    assert_eq!(status(&turned_away), 503, "{turned_away}");
    assert!(turned_away.contains("too many connections"));
    // Whoever leaves makes room.
    crowd.truncate(4);
    wait_for_connections(&gateway, 5).await;
    assert_eq!(gateway.ask("GET", "/livez", b"").await.0, 200);
}

#[tokio::test]
async fn the_whole_crowd_is_bounded() {
    let gateway = Gateway::with(limited(|limits| limits.connections_max = 3)).await;
    let _crowd = [gateway.connect().await, gateway.connect().await, gateway.connect().await];
    assert_eq!(status(&gateway.exchange(b"").await), 503);
}

#[tokio::test]
async fn who_does_not_read_is_cut() {
    let gateway = Gateway::with(limited(|limits| {
        limits.write_stall = Duration::from_millis(300);
        limits.rate_bytes_min = 1 << 30;
    }))
    .await;
    assert_eq!(gateway.ask("PUT", "/v1/keys/big", &vec![b'x'; 60_000]).await.0, 201);
    let mut deaf = gateway.connect().await;
    let ask = b"GET /v1/keys/big HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let many = ask.repeat(2000);
    let began = Instant::now();
    // Until the gateway takes no more of it, or has cut the connection.
    let _ = tokio::time::timeout(Duration::from_millis(300), deaf.write_all(&many)).await;
    wait_for_connections(&gateway, 1).await;
    assert!(began.elapsed() < PATIENCE);
}

#[tokio::test]
async fn slow_clients_do_not_disturb_honest_ones() {
    let gateway = Gateway::with(limited(|limits| {
        limits.connections_per_ip_max = 300;
        limits.body_grace = PATIENCE;
    }))
    .await;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut socket = gateway.connect().await;
        socket
            .write_all(b"PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\nx")
            .await
            .expect("sent");
        slow.push(socket);
    }
    // All of them are still there, and nobody waits for them.
    wait_for_connections(&gateway, 201).await;
    let began = Instant::now();
    for n in 0..50 {
        assert_eq!(gateway.ask("PUT", &format!("/v1/keys/{n}"), b"v").await.0, 201);
    }
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

#[tokio::test]
async fn memory_is_bounded_whatever_is_sent() {
    let pages = || {
        let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
        statm.split(' ').nth(1)?.parse::<u64>().ok()
    };
    let gateway = Gateway::with(limited(|limits| limits.connections_per_ip_max = 300)).await;
    let head = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'a'; 16_000]].concat();
    let bomb = format!("<methodCall>{}", "<param><value><array><data>".repeat(2000));
    let xml =
        format!("POST / HTTP/1.0\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{bomb}", bomb.len());
    // Once before measuring, so that what is allocated once does not count.
    gateway.exchange(xml.as_bytes()).await;
    let Some(before) = pages() else { return };
    let mut half_open = Vec::new();
    for _ in 0..200 {
        let mut socket = gateway.connect().await;
        socket.write_all(&head).await.expect("sent");
        half_open.push(socket);
        assert_eq!(gateway.exchange(xml.as_bytes()).await, "");
    }
    let mut huge = gateway.connect().await;
    huge.write_all(b"PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await
        .expect("sent");
    for _ in 0..2000 {
        let chunk = [b"4000\r\n".as_slice(), &[b'x'; 0x4000], b"\r\n"].concat();
        if huge.write_all(&chunk).await.is_err() {
            break;
        }
    }
    let grown_mib = pages().unwrap_or(before).saturating_sub(before) * 4096 / (1 << 20);
    assert!(grown_mib <= 64, "grown by {grown_mib} MiB");
}

#[tokio::test]
async fn stopping_lets_requests_end_and_takes_no_new_ones() {
    let gateway = Gateway::with(limited(|limits| limits.op_timeout = Duration::from_secs(2))).await;
    gateway.node.go_deaf();
    let mut waiting = gateway.connect().await;
    waiting.write_all(b"GET /v1/keys/k HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    let mut idle = gateway.connect().await;
    gateway.node.wait_until_asked(1).await;
    // Accepting is sequential: who is answered came after both.
    assert_eq!(gateway.ask("GET", "/livez", b"").await.0, 200);
    let addr = gateway.addr;
    let stopping = tokio::spawn(gateway.stop());
    assert_eq!(read_to_end(&mut idle).await, "");
    let answer = read_to_end(&mut waiting).await;
    assert_eq!(status(&answer), 504, "{answer}");
    stopping.await.expect("stopped");
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
}
