//! XML-RPC over a real socket: the exact answers of 2005, real clients, hostile requests.

mod support;

use keyway_core::machine::{Halt, OpError};
use std::process::Command;
use support::{Gateway, PATIENCE, body_of, head_of};

fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.0\r\nUser-Agent: test\r\nContent-Type: text/xml\r\nContent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn call(method: &str, params: &[&str]) -> String {
    let params: String = params.iter().map(|p| format!("<param><value>{p}</value></param>")).collect();
    format!(
        "<?xml version=\"1.0\"?><methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>"
    )
}

fn put(value: &str, ttl: &str) -> String {
    call("put", &["<base64>Y29sb3Jz</base64>", value, ttl, "test"])
}

fn get(maxvals: &str, placemark: &str) -> String {
    let placemark = format!("<base64>{placemark}</base64>");
    call("get", &["<base64>Y29sb3Jz</base64>", maxvals, &placemark, "test"])
}

const RED: &str = "<base64>cmVk</base64>";
const PROLOG: &str = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>";

fn status_reply(code: u8) -> String {
    format!(
        "{PROLOG}<methodResponse><params><param><value><int>{code}</int></value></param></params></methodResponse>"
    )
}

/// The text of a fault, or the whole body.
fn fault(answer: &str) -> &str {
    let body = body_of(answer);
    body.split_once("<value>java.lang.Exception: ")
        .and_then(|(_, rest)| rest.split_once("</value>"))
        .map_or(body, |f| f.0)
}

/// The values and the placemark of a page, still in base64.
fn page(answer: &str) -> (Vec<String>, String) {
    let mut words: Vec<String> = body_of(answer)
        .split("<base64>")
        .skip(1)
        .filter_map(|w| Some(w.split_once("</base64>")?.0.to_owned()))
        .collect();
    let placemark = words.pop().unwrap_or_else(|| panic!("no page in {answer}"));
    (words, placemark)
}

#[tokio::test]
async fn the_answer_is_the_one_of_2005_to_the_byte() {
    let gateway = Gateway::start().await;
    let answer = gateway.exchange(post("/", &put(RED, "<int>3600</int>")).as_bytes()).await;
    let mut lines = head_of(&answer).split("\r\n");
    assert_eq!(lines.next(), Some("HTTP/1.0 200 OK"));
    let headers: Vec<&str> = lines.collect();
    for header in ["Server: bamboo", "Content-Type: text/xml", "Content-Length: 135", "Connection: close"] {
        assert!(headers.contains(&header), "{header} is missing in {headers:?}");
    }
    assert_eq!(body_of(&answer), status_reply(0));
    assert_eq!(body_of(&answer).len(), 135);

    // A client of HTTP/1.1 that would keep the connection gets the same.
    let body = put(RED, "<i4>3600</i4>");
    let request = format!(
        "POST /RPC2 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: keep-alive\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = gateway.exchange(request.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.contains("Connection: close\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn the_path_is_ignored_and_chunks_are_accepted() {
    let gateway = Gateway::start().await;
    for path in ["/", "/RPC2", "/xmlrpc/opendht?x=y", "/v1/node"] {
        let answer = gateway.exchange(post(path, &put(RED, "<int>1</int>")).as_bytes()).await;
        assert_eq!(body_of(&answer), status_reply(0), "{path}");
    }
    let body = put(RED, "<int>1</int>");
    let (first, second) = body.split_at(10);
    let request = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{first}\r\n{:x};ext=1\r\n{second}\r\n0\r\n\r\n",
        first.len(),
        second.len()
    );
    assert_eq!(body_of(&gateway.exchange(request.as_bytes()).await), status_reply(0));
}

#[tokio::test]
async fn bytes_that_come_one_by_one_make_the_same_request() {
    use tokio::io::AsyncWriteExt as _;
    let gateway = Gateway::start().await;
    let mut socket = gateway.connect().await;
    socket.set_nodelay(true).expect("a socket");
    for byte in post("/", &put(RED, "<int>60</int>")).as_bytes() {
        socket.write_all(&[*byte]).await.expect("sent");
        socket.flush().await.expect("sent");
        tokio::task::yield_now().await;
    }
    assert_eq!(body_of(&support::read_to_end(&mut socket).await), status_reply(0));
}

#[tokio::test]
async fn values_come_back_in_put_order_across_pages() {
    let gateway = Gateway::start().await;
    // 30 values of six bytes, in an order that is not that of their bytes: 23 fit a page of 1063 bytes.
    let value = |n: usize| format!("<base64>{:03}AAAAA</base64>", (n * 7) % 30);
    for n in 0..30 {
        let answer = gateway.exchange(post("/", &put(&value(n), "<int>600</int>")).as_bytes()).await;
        assert_eq!(body_of(&answer), status_reply(0));
    }
    let (first, placemark) =
        page(&gateway.exchange(post("/", &get("<int>2147483647</int>", "")).as_bytes()).await);
    assert_eq!(first.len(), 23);
    let (rest, done) = page(&gateway.exchange(post("/", &get("<int>10</int>", &placemark)).as_bytes()).await);
    assert_eq!((rest.len(), done.as_str()), (7, ""));
    let all: Vec<String> = first.into_iter().chain(rest).map(|v| format!("<base64>{v}</base64>")).collect();
    assert_eq!(all, (0..30).map(value).collect::<Vec<_>>());
    // A page of as many as were asked for.
    let (five, _) = page(&gateway.exchange(post("/", &get("<int>5</int>", "")).as_bytes()).await);
    assert_eq!(five.len(), 5);
    // The upper bits of maxvals do not count.
    let (five, _) = page(&gateway.exchange(post("/", &get("<int>65541</int>", "")).as_bytes()).await);
    assert_eq!(five.len(), 5);
}

#[tokio::test]
async fn nothing_is_an_empty_page() {
    let gateway = Gateway::start().await;
    let answer = gateway.exchange(post("/", &get("<int>10</int>", "")).as_bytes()).await;
    assert_eq!(page(&answer), (vec![], String::new()));
    assert!(body_of(&answer).contains("<array><data></data></array>"));
}

#[tokio::test]
async fn limits_are_faults_and_the_ttl_is_cut() {
    let gateway = Gateway::start().await;
    let long = |bytes: usize| {
        format!("<base64>{}</base64>", "QUJD".repeat(bytes / 3) + ["", "QQ==", "QUI="][bytes % 3])
    };
    let cases = [
        (put(&long(1025), "<int>1</int>"), "value is longer than 1024 bytes"),
        (put(&long(65_536), "<int>1</int>"), "value is longer than 1024 bytes"),
        (put(RED, "<int>0</int>"), "ttl_sec is less than 1"),
        (put(RED, "<int>-5</int>"), "ttl_sec is less than 1"),
        (call("put", &[&long(21), RED, "<int>1</int>", "a"]), "key is longer than 20 bytes"),
        (call("put", &["<base64/>", RED, "<int>1</int>", "a"]), "key is empty"),
        (call("get", &[&long(21), "<int>1</int>", "<base64/>", "a"]), "key is longer than 20 bytes"),
        (get("<int>1</int>", &"QUJD".repeat(26)), "placemark is longer than 77 bytes"),
        (get("<int>1</int>", "QUJD"), "placemark is not one of this gateway's"),
        (get("<int>65536</int>", ""), "maxvals is zero in its low 16 bits"),
        (put("red", "<int>1</int>"), "put takes key base64, value base64, ttl_sec int, application string"),
        (call("get", &[RED]), "get takes key base64, maxvals int, placemark base64, application string"),
        (call("system.listMethods", &[]), "no such handler: system.listMethods"),
    ];
    for (request, text) in cases {
        let answer = gateway.exchange(post("/", &request).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
        assert_eq!(fault(&answer), text);
        let (name, code) = (answer.find("faultString"), answer.find("faultCode</name><value><int>0<"));
        assert!(name.is_some() && name < code, "faultString comes first: {answer}");
    }
    assert_eq!(gateway.node.puts(), 0);

    let greatest = gateway.exchange(post("/", &put(&long(1024), "<int>2147483647</int>")).as_bytes()).await;
    assert_eq!(body_of(&greatest), status_reply(0));
    let (_, seen) = gateway.ask_json("GET", "/v1/ids/0000000000000000000000000000636f6c6f7273", b"").await;
    assert_eq!(seen["values"][0]["ttl_seconds"], 604_800, "a short key is a number with zeros on its left");
}

#[tokio::test]
async fn outcomes_are_the_three_codes() {
    let gateway = Gateway::start().await;
    let cases = [
        (OpError::OverCapacity, 1),
        (OpError::Quorum { got: 1, want: 2 }, 2),
        (OpError::Busy, 2),
        (OpError::NotJoined, 2),
        (OpError::Timeout, 2),
        (OpError::Halted(Halt::DiskFailed), 2),
        (OpError::ClockSkew, 2),
    ];
    for (why, code) in cases {
        gateway.node.fail(Some(why.clone()));
        let answer = gateway.exchange(post("/", &put(RED, "<int>60</int>")).as_bytes()).await;
        assert_eq!(body_of(&answer), status_reply(code), "{why:?}");
    }
    let answer = gateway.exchange(post("/", &get("<int>1</int>", "")).as_bytes()).await;
    assert!(fault(&answer).starts_with("try again: "), "{answer}");
}

#[tokio::test]
async fn what_cannot_be_read_closes_the_connection() {
    let gateway = Gateway::start().await;
    let bomb = "<!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol2 \"&lol;&lol;&lol;\">]>\
        <methodCall><methodName>&lol2;</methodName></methodCall>";
    for body in ["", "hello", "<methodCall>", bomb] {
        assert_eq!(gateway.exchange(post("/", body).as_bytes()).await, "", "{body}");
    }
    // No length at all.
    assert_eq!(gateway.exchange(b"POST / HTTP/1.0\r\nContent-Type: text/xml\r\n\r\n<methodCall>").await, "");
    // Others are served.
    assert_eq!(
        body_of(&gateway.exchange(post("/", &put(RED, "<int>1</int>")).as_bytes()).await),
        status_reply(0)
    );
    let (_, metrics) = gateway.ask("GET", "/metrics", b"").await;
    assert!(
        metrics.contains("keyway_gateway_turned_away_total{reason=\"xmlrpc_unreadable\"} 4"),
        "{metrics}"
    );
    assert!(metrics.contains("keyway_gateway_turned_away_total{reason=\"xmlrpc_no_length\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_request_beyond_the_body_limit_is_told_so() {
    let gateway = Gateway::start().await;
    let answer = gateway.exchange(post("/", &" ".repeat(140_000)).as_bytes()).await;
    assert_eq!(support::status(&answer), 413, "{answer}");
}

/// CPython's own client, if this machine has one: puts, gets, pages, faults.
#[tokio::test(flavor = "multi_thread")]
async fn cpython_puts_gets_and_pages() {
    let gateway = Gateway::start().await;
    let script = r#"
import hashlib, sys, xmlrpc.client as x
gate = x.ServerProxy(sys.argv[1])
key = x.Binary(hashlib.sha1(b"colors").digest())
for n in range(1, 11):
    assert gate.put(key, x.Binary(b"value %d" % n), 3600, "test") == 0
seen, place, pages = [], x.Binary(b""), 0
while True:
    values, place = gate.get(key, 5, place, "test")
    seen += [v.data for v in values]
    pages += 1
    if not place.data:
        break
assert seen == [b"value %d" % n for n in range(1, 11)], seen
assert pages == 2, pages
assert gate.get(x.Binary(b"nothing"), 5, x.Binary(b""), "test")[0] == []
try:
    gate.remove(key)
    raise SystemExit("no fault")
except x.Fault as fault:
    assert (fault.faultCode, fault.faultString) == (0, "java.lang.Exception: no such handler: remove"), fault
print("done", end="")
"#;
    let url = format!("http://{}/", gateway.addr);
    let run =
        tokio::task::spawn_blocking(move || Command::new("python3").args(["-c", script, &url]).output());
    let output = match tokio::time::timeout(PATIENCE, run).await.expect("python ends").expect("no panic") {
        Ok(output) => output,
        Err(e) => return eprintln!("skipped, there is no python3: {e}"),
    };
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout == b"done", "{told}");
    // What XML-RPC put, REST sees, under the key of the text.
    let (_, page) = gateway.ask_json("GET", "/v1/keys/colors?max=1", b"").await;
    assert_eq!(page["values"][0]["text"], "value 1");
}
