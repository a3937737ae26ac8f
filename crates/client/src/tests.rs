//! The client against fake gateways on free ports, which answer what they are told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    Claim, Client, ClientError, ClientSettings, Event, GetOptions, Hex, Key, PutOptions, Reads, Secret,
    Signer,
};

/// What a fake gateway does with a request.
#[derive(Clone)]
pub(crate) enum Deed {
    /// Answers with a status and a JSON body.
    Say(u16, String),
    /// Answers that it was asked too much, and for how many seconds nobody should come back.
    Later(u64),
    /// Takes the request and never answers.
    Nothing,
    /// Takes the request and closes the connection.
    HangUp,
}

/// A fake gateway: one deed for all requests, and their count.
pub(crate) struct Fake {
    pub(crate) url: String,
    asked: Arc<AtomicUsize>,
}

impl Fake {
    async fn start(deed: Deed) -> Fake {
        Fake::with(move |_, _| deed.clone()).await
    }

    /// With a deed for each `METHOD /path` and body.
    pub(crate) async fn with(deed: impl Fn(&str, &[u8]) -> Deed + Send + Sync + 'static) -> Fake {
        Fake::serve(move |line: &str, _: &str, body: &[u8]| deed(line, body)).await
    }

    /// With a deed for each head, in small letters, and body.
    async fn with_heads(deed: impl Fn(&str, &[u8]) -> Deed + Send + Sync + 'static) -> Fake {
        Fake::serve(move |_: &str, head: &str, body: &[u8]| deed(head, body)).await
    }

    async fn serve(deed: impl Fn(&str, &str, &[u8]) -> Deed + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let asked = Arc::new(AtomicUsize::new(0));
        let (count, deed) = (asked.clone(), Arc::new(deed));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(converse(socket, count.clone(), deed.clone()));
            }
        });
        Fake { url, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn converse(
    mut socket: TcpStream,
    count: Arc<AtomicUsize>,
    deed: Arc<impl Fn(&str, &str, &[u8]) -> Deed>,
) {
    let mut received = Vec::new();
    let (line, head, body) = loop {
        if socket.read_buf(&mut received).await.unwrap_or(0) == 0 {
            return;
        }
        let Some(end) = received.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&received[..end]).to_lowercase();
        let length =
            head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        if received.len() >= end + 4 + length.unwrap_or(0) {
            let line =
                String::from_utf8_lossy(&received[..end]).lines().next().unwrap_or_default().to_owned();
            let head = format!("{head}\r\n");
            break (line.trim_end_matches(" HTTP/1.1").to_owned(), head, received[end + 4..].to_vec());
        }
    };
    count.fetch_add(1, Ordering::SeqCst);
    let (status, text, more) = match deed(&line, &head, &body) {
        Deed::Say(status, text) => (status, text, String::new()),
        Deed::Later(seconds) => (429, refused("quota"), format!("Retry-After: {seconds}\r\n")),
        Deed::Nothing => std::future::pending().await,
        Deed::HangUp => return,
    };
    let length = text.len();
    let answer =
        format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{more}Connection: close\r\n\r\n{text}");
    let _ = socket.write_all(answer.as_bytes()).await;
}

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    format!("http://{}", listener.local_addr().expect("its address"))
}

fn client(gateways: &[&str]) -> Client {
    let gateways: Vec<String> = gateways.iter().map(|url| (*url).to_owned()).collect();
    let settings = ClientSettings {
        request_timeout: Duration::from_millis(500),
        deadline: Duration::from_secs(5),
        ..ClientSettings::default()
    };
    Client::with_settings(&gateways, settings).expect("addresses")
}

fn refused(code: &str) -> String {
    format!("{{\"error\":{{\"code\":\"{code}\",\"message\":\"no: {code}\",\"hint\":\"wait\"}}}}")
}

fn refusal(status: u16, code: &str) -> Deed {
    Deed::Say(status, refused(code))
}

fn key() -> Key {
    Key::text("colors")
}

fn page(value: &str, hash: &Key, next: &str) -> Deed {
    Deed::Say(
        200,
        format!(
            "{{\"key\":\"{}\",\"values\":[{{\"value_base64\":\"{value}\",\"put_time_ms\":1,\"ttl_seconds\":60,\
             \"remaining_seconds\":59,\"value_hash\":\"{hash}\",\"of_a_newer_gateway\":1}}],\"next\":{next},\"merged\":2}}",
            key()
        ),
    )
}

fn red() -> Deed {
    page("cmVk", &Key::hash(b"red"), "null")
}

#[test]
fn a_text_key_is_the_sha1_of_the_text() {
    assert_eq!(Key::text("abc").to_string(), "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_eq!(Key::hex("A9993E364706816ABA3E25717850C26C9CD0D89D"), Ok(Key::text("abc")));
    for wrong in [
        "",
        "a9",
        "g9993e364706816aba3e25717850c26c9cd0d89d",
        "a9993e364706816aba3e25717850c26c9cd0d89d0",
        "ü",
    ] {
        assert!(matches!(Key::hex(wrong), Err(ClientError::Usage(_))), "{wrong}");
    }
}

#[test]
fn addresses_are_checked_before_anything_is_sent() {
    for good in ["http://127.0.0.1:5851", "http://localhost:5851/", "localhost:5851", "http://[::1]:5851"] {
        assert!(Client::new(&[good.to_owned()]).is_ok(), "{good}");
    }
    for bad in [
        "",
        "https://localhost",
        "ftp://localhost",
        "http://",
        "http://localhost/v1",
        "http://a b",
        "http://a?b",
    ] {
        let error = Client::new(&[bad.to_owned()]).expect_err(bad);
        assert_eq!(error.exit_code(), 2, "{bad}: {error}");
    }
    assert_eq!(Client::new(&[]).expect_err("none").exit_code(), 2);
}

#[tokio::test]
async fn a_put_says_what_it_did() {
    let fake = Fake::with(|line, body| {
        assert_eq!(line, format!("PUT /v1/ids/{}?ttl=2", key()));
        assert_eq!(body, b"red");
        let (key, hash) = (key(), Key::hash(b"red"));
        Deed::Say(
            201,
            format!(
                "{{\"key\":\"{key}\",\"value_hash\":\"{hash}\",\"ttl_seconds\":2,\"expires_ms\":9,\
                 \"acked\":[{{\"id\":\"{key}\",\"addr\":\"10.0.0.1:5850\"}}],\"replicas\":3}}"
            ),
        )
    })
    .await;
    let receipt = client(&[&fake.url]).put(&key(), "red".into(), Some(Duration::from_millis(1500))).await;
    let receipt = receipt.expect("stored");
    assert_eq!((receipt.ttl_seconds, receipt.replicas, receipt.acked.len()), (2, 3, 1));
}

#[tokio::test]
async fn a_get_hands_on_only_what_its_hash_names() {
    let good = Fake::start(red()).await;
    let found = client(&[&good.url]).get(&key(), &GetOptions::default()).await.expect("a page");
    assert_eq!(found.values[0].bytes, "red");

    let forged = Fake::start(page("cmVk", &Key::hash(b"blue"), "null")).await;
    let error = client(&[&forged.url]).get(&key(), &GetOptions::default()).await.expect_err("a forgery");
    assert!(matches!(error, ClientError::Invalid(_)));
    assert_eq!(error.exit_code(), 8);

    let error =
        client(&[&good.url]).get(&Key::text("other"), &GetOptions::default()).await.expect_err("another key");
    assert_eq!(error.exit_code(), 8);
}

#[tokio::test]
async fn nothing_there_is_an_empty_page_and_a_wrong_path_is_not() {
    let empty = Fake::start(refusal(404, "not_found")).await;
    assert!(
        client(&[&empty.url]).get(&key(), &GetOptions::default()).await.expect("a page").values.is_empty()
    );
    let wrong = Fake::start(refusal(404, "no_such_path")).await;
    assert!(client(&[&wrong.url]).get(&key(), &GetOptions::default()).await.is_err());
}

#[tokio::test]
async fn options_are_asked_for_and_pages_are_walked() {
    let fake = Fake::with(|line, _| {
        let path = format!("GET /v1/ids/{}", key());
        let hash = |value: &[u8]| Key::hash(value);
        match line.strip_prefix(&path) {
            Some("?reads=first") => page("YQ==", &hash(b"a"), "\"x/+=\""),
            Some("?after=x%2F%2B%3D&reads=first") => page("Yg==", &hash(b"b"), "\"y\""),
            Some("?after=y&reads=first") => page("Yw==", &hash(b"c"), "null"),
            other => refusal(400, other.unwrap_or("bad_request")),
        }
    })
    .await;
    let client = client(&[&fake.url]);
    let all = |max| client.get_all(&KEY, Reads::First, max);
    static KEY: std::sync::LazyLock<Key> = std::sync::LazyLock::new(key);
    let texts = |(values, more): (Vec<crate::Value>, bool)| {
        (values.iter().map(|v| String::from_utf8_lossy(&v.bytes).into_owned()).collect::<String>(), more)
    };
    assert_eq!(texts(all(10).await.expect("pages")), ("abc".to_owned(), false));
    assert_eq!(texts(all(2).await.expect("pages")), ("ab".to_owned(), true));
    assert_eq!(texts(all(3).await.expect("pages")), ("abc".to_owned(), false));
}

#[tokio::test]
async fn the_next_gateway_is_asked_and_remembered() {
    for deed in [
        Deed::HangUp,
        Deed::Nothing,
        refusal(503, "not_joined"),
        refusal(503, "busy"),
        refusal(504, "timeout"),
    ] {
        let (bad, good) = (Fake::start(deed).await, Fake::start(red()).await);
        let absent = nobody().await;
        let client = client(&[&absent, &bad.url, &good.url]);
        for _ in 0..3 {
            assert!(client.get(&key(), &GetOptions::default()).await.is_ok());
        }
        assert_eq!((bad.asked(), good.asked()), (1, 3), "the one that works is asked first from then on");
    }
}

#[tokio::test]
async fn a_refusal_that_stands_is_not_taken_elsewhere() {
    for (status, code, exit) in [
        (413, "too_large", 4),
        (422, "bad_ttl", 4),
        (507, "over_capacity", 4),
        (400, "bad_request", 2),
        (500, "internal", 4),
    ] {
        let (no, yes) = (Fake::start(refusal(status, code)).await, Fake::start(red()).await);
        let error = client(&[&no.url, &yes.url]).put(&key(), "red".into(), None).await.expect_err(code);
        assert_eq!(error.exit_code(), exit, "{code}");
        assert_eq!((error.to_string(), error.hint()), (format!("no: {code}"), Some("wait")));
        assert_eq!((no.asked(), yes.asked()), (1, 0));
    }
}

#[tokio::test]
async fn absence_is_told_at_once_and_names_every_gateway() {
    let (first, second) = (nobody().await, nobody().await);
    let began = Instant::now();
    let error = client(&[&first, &second]).node().await.expect_err("nobody");
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(error.exit_code(), 6);
    let text = error.to_string();
    assert!(text.contains(&first) && text.contains(&second) && text.contains("refused"), "{text}");
    assert!(matches!(error, ClientError::Unreachable { hung_up: false, .. }), "{error:?}");
    let other = Fake::start(Deed::HangUp).await;
    let error = client(&[&other.url]).node().await.expect_err("it hangs up");
    assert!(matches!(error, ClientError::Unreachable { hung_up: true, .. }), "{error:?}");
}

#[tokio::test]
async fn a_refusal_carries_where_the_series_is_and_what_stands_in_the_way() {
    let body = "{\"error\":{\"code\":\"outlived\",\"message\":\"no\",\"seq\":4,\"expires_ms\":7}}";
    let fake = Fake::start(Deed::Say(409, body.into())).await;
    let error = client(&[&fake.url]).put(&key(), "red".into(), None).await.expect_err("outlived");
    let told = matches!(error, ClientError::Refused { seq: Some(4), expires_ms: Some(7), .. });
    assert!(told && error.exit_code() == 7, "{error:?}");
}

#[tokio::test]
async fn attempts_and_time_are_bounded() {
    let busy = Fake::start(refusal(503, "busy")).await;
    let error = client(&[&busy.url]).node().await.expect_err("busy");
    assert!(matches!(error, ClientError::Refused { status: 503, .. }), "{error}");
    assert_eq!(busy.asked(), 4);

    let silent = Fake::start(Deed::Nothing).await;
    let began = Instant::now();
    let error = client(&[&silent.url]).node().await.expect_err("silence");
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
    assert_eq!(error.exit_code(), 5);
    assert!(began.elapsed() < Duration::from_secs(6));

    let quorum = Fake::start(refusal(503, "quorum")).await;
    assert_eq!(client(&[&quorum.url]).node().await.expect_err("quorum").exit_code(), 5);
    let outside = Fake::start(refusal(503, "not_joined")).await;
    assert_eq!(client(&[&outside.url]).node().await.expect_err("outside").exit_code(), 6);
}

#[tokio::test]
async fn a_gateway_that_recovers_is_asked_again() {
    let count = AtomicUsize::new(0);
    let fake = Fake::with(move |_, _| match count.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => refusal(503, "busy"),
        _ => red(),
    })
    .await;
    assert!(client(&[&fake.url]).get(&key(), &GetOptions::default()).await.is_ok());
    assert_eq!(fake.asked(), 3);
}

#[tokio::test]
async fn a_gateway_that_says_when_to_come_back_is_asked_then() {
    let count = AtomicUsize::new(0);
    let fake = Fake::with(move |_, _| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Deed::Later(1),
        _ => red(),
    })
    .await;
    let began = Instant::now();
    assert!(client(&[&fake.url]).get(&key(), &GetOptions::default()).await.is_ok());
    assert!(began.elapsed() >= Duration::from_secs(1), "not a moment earlier: {:?}", began.elapsed());
    assert_eq!(fake.asked(), 2);
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_is_told_at_once() {
    for seconds in [6, 37, u64::MAX] {
        let fake = Fake::start(Deed::Later(seconds)).await;
        let began = Instant::now();
        let error = client(&[&fake.url]).put(&key(), "red".into(), None).await.expect_err("too much");
        assert!(began.elapsed() < Duration::from_secs(1));
        assert_eq!((fake.asked(), error.exit_code()), (1, 4));
        assert_eq!(error.to_string(), format!("no: quota; ask again in {seconds} s"));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(seconds)));
    }
}

#[tokio::test]
async fn who_said_to_wait_is_left_alone_while_others_are_asked() {
    let absent = nobody().await;
    let (long, good) = (Fake::start(Deed::Later(60)).await, Fake::start(red()).await);
    assert!(client(&[&long.url, &good.url]).get(&key(), &GetOptions::default()).await.is_ok());
    assert_eq!((long.asked(), good.asked()), (1, 1), "quotas are each gateway's own");

    let (long, busy) = (Fake::start(Deed::Later(60)).await, Fake::start(refusal(503, "busy")).await);
    assert!(client(&[&long.url, &absent, &busy.url]).node().await.is_err());
    assert_eq!((long.asked(), busy.asked()), (1, 4));

    let long = Fake::start(Deed::Later(60)).await;
    assert!(client(&[&absent, &long.url]).node().await.is_err());
    assert_eq!(long.asked(), 1, "who is not there is no reason for another round");
}

#[tokio::test]
async fn what_is_no_gateway_is_called_so() {
    let cases = [
        Deed::Say(200, "<html>".into()),
        Deed::Say(500, "oops \u{1b}[31m".into()),
        Deed::Say(200, "x".repeat(20_000)),
    ];
    for deed in cases {
        let fake = Fake::start(deed).await;
        let settings = ClientSettings { answer_bytes_max: 10_000, ..ClientSettings::default() };
        let client = Client::with_settings(std::slice::from_ref(&fake.url), settings).expect("an address");
        let error = client.node().await.expect_err("nonsense");
        assert!(matches!(error, ClientError::Protocol(_)), "{error}");
        assert_eq!(error.exit_code(), 1);
        assert!(!error.to_string().contains('\u{1b}'), "nothing that a terminal acts on");
    }
}

#[tokio::test]
async fn not_being_ready_is_an_answer() {
    let fake = Fake::start(Deed::Say(503, "{\"ready\":false,\"reasons\":[\"isolated\"]}".into())).await;
    let ready = client(&[&fake.url]).ready().await.expect("an answer");
    assert_eq!((ready.ready, ready.reasons), (false, vec!["isolated".to_owned()]));
}

/// The lines of docs/protocol.md, which the core's tests hold to the core.
#[test]
fn signatures_are_those_of_the_document() {
    const DOCUMENT: &str = include_str!("../../../docs/protocol.md");
    let section = DOCUMENT.split("## Golden signatures\n").nth(1).expect("the section");
    let block =
        section.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).expect("its block");
    let signer = Signer::from_seed(&[7; 32]);
    let (key, nonce, until, red) = (key(), Hex([9; 32]), 1_700_086_400, Hex::sha256(b"red"));
    let place = &signer.authenticator().to_string()[..40];
    let mut text = format!("public key {}\nplace {place}\n", signer.public_key());
    let claims = [
        ("signed", Claim::value(key, "red".into(), nonce, until)),
        ("signed-remove", Claim::removal(key, red, nonce, until)),
        ("sequenced", Claim::next(key, "red".into(), nonce, 5, until)),
        ("sequenced-remove", Claim::end(key, nonce, 6, until)),
    ];
    for (name, claim) in claims {
        let proof = signer.sign(7, &claim);
        assert!(claim.is_proven_by(7, &proof) && !claim.is_proven_by(8, &proof), "{name}");
        text += &format!("{name} {} {}\n", claim.name(), proof.signature);
    }
    assert_eq!(block, text);
}

#[test]
fn keys_and_secrets_are_read_and_never_shown() {
    let signer = Signer::generate().expect("randomness");
    let text = signer.to_text();
    let again = Signer::from_text(&text).expect("a key");
    assert_eq!(again.public_key(), signer.public_key());
    let seed = text.split(' ').nth(1).expect("the seed").trim();
    assert!(!format!("{signer:?}").contains(seed));
    for wrong in ["", seed, "keyway-signing-key-1 12", "keyway-signing-key-2 00"] {
        let error = Signer::from_text(wrong).expect_err("no key").to_string();
        assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
    }
    let secret = Secret::new(b"open sesame".to_vec()).expect("a secret");
    assert_eq!((secret.hash(), format!("{secret:?}").as_str()), (Key::hash(b"open sesame"), "Secret(..)"));
    assert!(Secret::new(Vec::new()).is_err() && Secret::new(vec![0; 41]).is_err());
}

#[tokio::test]
async fn a_repeated_change_carries_one_name_and_its_secret_in_the_head() {
    let names = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = names.clone();
    let fake = Fake::with_heads(move |head, _| {
        let header = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
            line.map(str::to_owned)
        };
        assert!(
            head.starts_with("delete /v1/ids/") && !head.lines().next().is_some_and(|l| l.contains("c2v"))
        );
        assert_eq!(header("keyway-secret").as_deref(), Some("b3blbg=="));
        let mut seen = seen.lock().expect("no panic");
        seen.push(header("idempotency-key").expect("a name"));
        if seen.len() < 3 { refusal(503, "busy") } else { refusal(404, "nothing_removed") }
    })
    .await;
    let secret = Secret::new(b"open".to_vec()).expect("a secret");
    let client = client(&[&fake.url]);
    let error = client.remove(&key(), &Key::hash(b"red"), &secret).await.expect_err("nothing there");
    assert_eq!(error.exit_code(), 3);
    let error = client.remove(&key(), &Key::hash(b"red"), &secret).await.expect_err("nothing there");
    assert_eq!(error.exit_code(), 3);
    let names = names.lock().expect("no panic");
    assert_eq!(names.len(), 4);
    assert!(names[0] == names[1] && names[1] == names[2] && names[2] != names[3], "{names:?}");
    assert!(names.iter().all(|name| name.len() == 32));
}

#[tokio::test]
async fn the_hash_of_a_secret_goes_with_a_put() {
    let secret = Secret::new(b"open".to_vec()).expect("a secret");
    let hash = secret.hash();
    let fake = Fake::with_heads(move |head, _| {
        assert!(head.contains(&format!("keyway-secret-hash: {hash}\r\n")), "{head}");
        refusal(409, "hidden")
    })
    .await;
    let options = PutOptions { ttl: None, secret_hash: Some(hash) };
    let error = client(&[&fake.url]).put_with(&key(), "red".into(), &options).await.expect_err("hidden");
    assert_eq!(error.exit_code(), 7);
}

#[tokio::test]
async fn a_signed_value_is_handed_on_only_with_its_signature() {
    let signer = Signer::from_seed(&[7; 32]);
    let answer = |network: u64, bytes: &str| {
        let claim = Claim::value(key(), "red".into(), Hex([9; 32]), 2_000_000_000);
        let proof = serde_json::to_string(&signer.sign(network, &claim)).expect("JSON");
        format!(
            "{{\"key\":\"{}\",\"values\":[{{\"value_base64\":\"{bytes}\",\"put_time_ms\":1,\"ttl_seconds\":60,\
             \"remaining_seconds\":59,\"value_hash\":\"{}\",\"kind\":\"signed\",\"signer\":\"{}\",\
             \"proof\":{proof}}}],\"next\":null,\"merged\":2}}",
            key(),
            claim.name(),
            signer.authenticator(),
        )
    };
    let node = "{\"id\":\"f8bd696759805b9098f9e13be67d2b248c7619d0\",\"addr\":\"a\",\"version\":\"1\",\"incarnation\":1,\
                \"network\":\"0000000000000007\",\"overlay\":\"o\",\"phase\":\"member\",\"isolated\":false,\"halt\":null,\
                \"refused\":null,\"shares\":{\"count\":1,\"ready\":1},\"records\":0,\"record_bytes\":0,\"replicas\":3,\
                \"acks\":2,\"value_bytes_max\":1,\"ttl_seconds_max\":1,\"counters\":{}}";
    for (said, good) in
        [(answer(7, "cmVk"), true), (answer(8, "cmVk"), false), (answer(7, "Ymx1ZQ=="), false)]
    {
        let fake = Fake::with(move |line, _| {
            if line == "GET /v1/node" {
                return Deed::Say(200, node.into());
            }
            assert!(line.contains("?signer="), "{line}");
            Deed::Say(200, said.clone())
        })
        .await;
        let options = GetOptions { signer: Some(signer.authenticator()), ..GetOptions::default() };
        let got = client(&[&fake.url]).get(&key(), &options).await;
        assert_eq!(got.is_ok(), good, "{got:?}");
        assert!(good || matches!(got, Err(ClientError::Invalid(_))));
    }
}

/// A whole event of a watch.
fn told(event: &str, data: &str) -> String {
    format!("event: {event}\ndata: {data}\n\n")
}

#[tokio::test]
async fn a_watch_waits_for_its_only_gateway_and_says_so_once() {
    let value = |text: &str, base64: &str| {
        let hash = Key::hash(text.as_bytes());
        told(
            "value",
            &format!(
                "{{\"value_base64\":\"{base64}\",\"put_time_ms\":1,\"ttl_seconds\":60,\"remaining_seconds\":59,\
                 \"value_hash\":\"{hash}\"}}"
            ),
        )
    };
    let (red, ready) = (value("red", "cmVk"), told("ready", "{}"));
    let count = AtomicUsize::new(0);
    let fake = Fake::with(move |_, _| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Deed::Say(200, format!("{red}{ready}")),
        1 => Deed::HangUp,
        2 => refusal(503, "not_joined"),
        3 => Deed::Say(502, "<html>a proxy speaks".into()),
        4 => Deed::Say(200, format!("{red}{}{ready}", value("blue", "Ymx1ZQ=="))),
        _ => refusal(401, "unauthorized"),
    })
    .await;
    let mut watch = client(&[&fake.url]).watch(&key());
    let mut events = Vec::new();
    let error = loop {
        let next = tokio::time::timeout(Duration::from_secs(30), watch.next());
        match next.await.expect("it does not stand still") {
            Ok(event) => events.push(event),
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, ClientError::Refused { status: 401, .. }), "{error}");
    let names: Vec<String> = events
        .iter()
        .map(|event| match event {
            Event::Value(value) => String::from_utf8_lossy(&value.bytes).into_owned(),
            Event::Ready => "ready".into(),
            Event::Trouble { .. } => "trouble".into(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(names, ["red", "ready", "trouble", "blue"], "{events:?}");
    assert_eq!(fake.asked(), 6);
}

#[tokio::test]
async fn a_watch_that_was_never_connected_fails_and_pauses_before_it_asks_again() {
    let fake = Fake::start(refusal(503, "not_joined")).await;
    let mut watch = client(&[&fake.url]).watch(&key());
    let began = Instant::now();
    for _ in 0..3 {
        assert_eq!(watch.next().await.expect_err("not there").exit_code(), 6);
    }
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    assert_eq!(fake.asked(), 3);
}
