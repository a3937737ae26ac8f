//! Gateways before real nodes: a small network on loopback, in this process.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use keyway_gateway::{GatewayConfig, serve};
use keyway_net::{Durability, NodeHandle, NodeSettings, start};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Longer than a small network takes to form on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Member {
    node: NodeHandle,
    http: SocketAddr,
}

async fn member(seeds: Vec<SocketAddr>) -> Member {
    let settings = NodeSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        seeds,
        durability: Durability::Memory,
        ..NodeSettings::default()
    };
    let node = start(settings).await.expect("a node starts");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let http = listener.local_addr().expect("its address");
    tokio::spawn(serve(listener, node.clone(), GatewayConfig::default(), std::future::pending()));
    Member { node, http }
}

/// A network of so many members, all of which have taken over their ranges.
async fn network(size: usize) -> Vec<Member> {
    let mut members = vec![member(Vec::new()).await];
    for _ in 1..size {
        let seed = members[0].node.listen();
        members.push(member(vec![seed]).await);
    }
    for member in &members {
        tokio::time::timeout(PATIENCE, member.node.wait_member()).await.expect("in time").expect("a member");
    }
    members
}

async fn ask(http: SocketAddr, method: &str, path: &str, body: &[u8]) -> (u16, String) {
    let mut socket = TcpStream::connect(http).await.expect("connected");
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    socket.write_all(&[head.as_bytes(), body].concat()).await.expect("sent");
    let mut answer = Vec::new();
    let reading = socket.read_to_end(&mut answer);
    tokio::time::timeout(PATIENCE, reading).await.expect("in time").expect("answered");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_gateway_takes_another_gives() {
    let members = network(4).await;
    for (n, member) in members.iter().enumerate() {
        let (code, body) =
            ask(member.http, "PUT", "/v1/keys/colors?ttl=600", format!("color {n}").as_bytes()).await;
        assert_eq!(code, 201, "{body}");
    }
    for member in &members {
        let (code, body) = ask(member.http, "GET", "/v1/keys/colors", b"").await;
        assert_eq!(code, 200, "{body}");
        let page: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        let texts: Vec<_> =
            page["values"].as_array().expect("values").iter().map(|v| v["text"].as_str()).collect();
        assert_eq!(texts, [Some("color 0"), Some("color 1"), Some("color 2"), Some("color 3")], "put order");
    }
    assert_eq!(ask(members[1].http, "GET", "/v1/keys/nothing", b"").await.0, 404);

    let value = vec![b'v'; 64 << 10];
    assert_eq!(ask(members[2].http, "PUT", "/v1/keys/big", &value).await.0, 201);
    let (code, body) = ask(members[3].http, "GET", "/v1/keys/big?raw=true", b"").await;
    assert_eq!((code, body.as_bytes() == value), (200, true));

    let (code, places) = ask(members[0].http, "GET", "/v1/keys/big/where", b"").await;
    assert_eq!(code, 200);
    let places: serde_json::Value = serde_json::from_str(&places).expect("JSON");
    assert_eq!(places["replicas"].as_array().map(Vec::len), Some(3), "{places}");
    let (_, metrics) = ask(members[0].http, "GET", "/metrics", b"").await;
    assert!(
        metrics.contains("keyway_net_datagrams_in_total") && metrics.contains("keyway_frames_in_total"),
        "{metrics}"
    );
    assert_eq!(ask(members[0].http, "GET", "/readyz", b"").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_node_has_left_is_not_ready() {
    let members = network(2).await;
    members[1].node.stop().await;
    let began = Instant::now();
    loop {
        let (code, body) = ask(members[1].http, "GET", "/readyz", b"").await;
        if code == 503 && body.contains("\"ready\":false") {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{code} {body}");
    }
    let (code, body) = ask(members[1].http, "PUT", "/v1/keys/k", b"v").await;
    assert!(matches!(code, 503 | 504), "{code} {body}");
    assert_eq!(ask(members[0].http, "GET", "/livez", b"").await.0, 200);
}

/// CPython's own client on three gateways of one network.
#[tokio::test(flavor = "multi_thread")]
async fn cpython_talks_to_a_real_network() {
    let members = network(3).await;
    let script = r#"
import hashlib, sys, xmlrpc.client as x
gates = [x.ServerProxy(url) for url in sys.argv[1:]]
key = x.Binary(hashlib.sha1(b"fruits").digest())
for n in range(1, 11):
    assert gates[n % 3].put(key, x.Binary(b"value %d" % n), 3600, "test") == 0
for gate in gates:
    seen, place = [], x.Binary(b"")
    while True:
        values, place = gate.get(key, 4, place, "test")
        seen += [v.data for v in values]
        if not place.data:
            break
    assert seen == [b"value %d" % n for n in range(1, 11)], seen
print("done", end="")
"#;
    let urls: Vec<String> = members.iter().map(|member| format!("http://{}/", member.http)).collect();
    let run =
        tokio::task::spawn_blocking(move || Command::new("python3").args(["-c", script]).args(urls).output());
    let output = match tokio::time::timeout(PATIENCE, run).await.expect("python ends").expect("no panic") {
        Ok(output) => output,
        Err(e) => return eprintln!("skipped, there is no python3: {e}"),
    };
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout == b"done", "{told}");
    let (_, page) = ask(members[0].http, "GET", "/v1/keys/fruits?max=1", b"").await;
    assert!(page.contains("\"text\":\"value 1\""), "{page}");
}
