//! Who may do what at a gateway, over real sockets before a fake node: tokens, scopes, quotas, and the accounts of clients.

mod support;

use std::path::PathBuf;

use keyway_client::{AccessToken, Client, ClientError, ClientSettings, GetOptions, Key};
use keyway_core::machine::OpError;
use keyway_core::store::ClientId;
use keyway_gateway::access::{Quotas, Scopes, Token, TokenFile};
use keyway_gateway::{AccessConfig, GatewayConfig};
use serde_json::Value as Json;
use support::rpc::{RpcGateway, call, get, put2};
use support::{FakeNode, Gateway, status};

/// A gateway that is open to nobody, not even from loopback, and its token file.
struct Closed {
    gateway: Gateway,
    tokens: PathBuf,
    _dir: tempfile::TempDir,
}

fn scopes(text: &str) -> Scopes {
    text.parse().expect("scopes")
}

fn closed(dir: &tempfile::TempDir, open_loopback: &str) -> (GatewayConfig, PathBuf) {
    let tokens = dir.path().join("tokens");
    let access = AccessConfig {
        open_loopback: scopes(open_loopback),
        tokens: Some(tokens.clone()),
        ..AccessConfig::default()
    };
    (GatewayConfig { access, ..GatewayConfig::default() }, tokens)
}

impl Closed {
    async fn open_for(open_loopback: &str) -> Closed {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (config, tokens) = closed(&dir, open_loopback);
        Closed { gateway: Gateway::with(config).await, tokens, _dir: dir }
    }

    async fn start() -> Closed {
        Closed::open_for("none").await
    }

    /// Makes a token, and waits until the gateway knows it; every look is a round trip.
    async fn make(&self, name: &str, for_what: &str, quotas: Quotas, expires_ms: Option<u64>) -> String {
        let made = Token::new(name, scopes(for_what), quotas, 1, expires_ms).expect("a token");
        TokenFile::change(&self.tokens, |file| file.add(made.0)).expect("added");
        let text = made.1;
        if expires_ms.is_none() {
            let seen = async { while [401, 503].contains(&self.ask(&text, "GET", "/v1/x", b"").await.0) {} };
            tokio::time::timeout(support::PATIENCE, seen).await.expect("the file is read within seconds");
        }
        text
    }

    async fn ask(&self, token: &str, method: &str, path: &str, body: &[u8]) -> (u16, Json) {
        let header = format!("Bearer {token}");
        let (status, body) = self.gateway.ask_with(method, path, &[("Authorization", &header)], body).await;
        (status, serde_json::from_str(&body).unwrap_or(Json::Null))
    }
}

#[tokio::test]
async fn without_a_token_a_closed_gateway_tells_its_health_and_nothing_else() {
    let closed = Closed::start().await;
    for path in ["/livez", "/readyz", "/openapi.json", "/servers.txt", "/"] {
        assert_eq!(closed.gateway.ask("GET", path, b"").await.0, 200, "{path}");
    }
    for (method, path, needs) in [
        ("GET", "/v1/keys/a", "read"),
        ("GET", "/v1/keys/a/watch", "read"),
        ("GET", "/v1/ids/00/trace", "read"),
        ("GET", "/v1/node", "read"),
        ("GET", "/v1/clients", "read"),
        ("PUT", "/v1/keys/a", "write"),
        ("DELETE", "/v1/keys/a?value_hash=00", "write"),
        ("POST", "/v1/keys/a/signed", "write"),
        ("POST", "/v1/immutable", "write"),
        ("GET", "/v1/peers", "admin"),
        ("GET", "/v1/network", "admin"),
        ("GET", "/v1/node/records", "admin"),
        ("GET", "/v1/no/such/path", "admin"),
        ("GET", "/metrics", "admin"),
    ] {
        let (status, answer) = closed.gateway.ask_json(method, path, b"").await;
        assert_eq!(
            (status, answer["error"]["code"].as_str()),
            (401, Some("unauthorized")),
            "{method} {path}"
        );
        let message = answer["error"]["message"].as_str().expect("a message");
        assert_eq!(message, format!("without an access token nobody may {needs} here"), "{path}");
    }
    assert_eq!(closed.gateway.node.asked(), 1, "the node was asked for its health alone");
    let whole = closed.gateway.exchange(b"GET /v1/node HTTP/1.0\r\nHost: localhost\r\n\r\n").await;
    assert!(whole.to_ascii_lowercase().contains("www-authenticate: bearer"), "{whole}");
}

#[tokio::test]
async fn a_token_opens_what_it_is_for_until_it_is_revoked_or_has_ended() {
    let closed = Closed::start().await;
    // Known with the next ones.
    let ended = closed.make("ended", "read", Quotas::default(), Some(1000)).await;
    let reader = closed.make("reader", "read", Quotas::default(), None).await;
    let writer = closed.make("writer", "write", Quotas::default(), None).await;
    let admin = closed.make("ops", "admin", Quotas::default(), None).await;
    assert_eq!(closed.ask(&writer, "PUT", "/v1/keys/a", b"red").await.0, 201);
    assert_eq!(closed.ask(&reader, "GET", "/v1/keys/a", b"").await.0, 200);
    assert_eq!(closed.ask(&admin, "GET", "/v1/peers", b"").await.0, 200);
    let others = async |token: &str| closed.ask(token, "GET", "/v1/node", b"").await.1["other_terms"].clone();
    assert_eq!(
        others(&reader).await.as_array().map(Vec::len),
        Some(0),
        "other nodes are none of a client's business"
    );
    assert_eq!(others(&admin).await[0]["replicas"], 5);
    let header = format!("bearer {admin}");
    let metrics = closed.gateway.ask_with("GET", "/metrics", &[("Authorization", &header)], b"").await;
    assert_eq!(metrics.0, 200, "the scheme is no matter of case");
    for (token, method, path) in [
        (&reader, "PUT", "/v1/keys/a"),
        (&writer, "GET", "/v1/keys/a"),
        (&admin, "GET", "/v1/keys/a"),
        (&reader, "GET", "/v1/peers"),
        (&writer, "GET", "/metrics"),
    ] {
        let (status, answer) = closed.ask(token, method, path, b"blue").await;
        assert_eq!(
            (status, answer["error"]["code"].as_str()),
            (403, Some("not_permitted")),
            "{method} {path}"
        );
    }
    let (status, answer) = closed.ask(&ended, "GET", "/v1/keys/a", b"").await;
    assert_eq!(
        (status, answer["error"]["message"].as_str()),
        (401, Some("the access token ended has expired"))
    );

    // Whoever shows a token means it: a bad one is refused also by whom none is asked for. Health is told to everybody.
    for bad in ["", "nonsense", &reader[..reader.len() - 1], &format!("{reader}0")] {
        assert_eq!(closed.ask(bad, "GET", "/v1/keys/a", b"").await.0, 401, "{bad:?}");
        assert_eq!(closed.ask(bad, "GET", "/livez", b"").await.0, 200, "{bad:?}");
    }
    let header = format!("Basic {reader}");
    let basic = closed.gateway.ask_with("GET", "/v1/keys/a", &[("Authorization", &header)], b"").await;
    assert_eq!(basic.0, 401);

    TokenFile::change(&closed.tokens, |file| file.revoke("reader", 5)).expect("revoked");
    // It takes a second at most; every look is a round trip.
    let refused = async {
        loop {
            let (status, answer) = closed.ask(&reader, "GET", "/v1/keys/a", b"").await;
            if status != 200 {
                break (status, answer);
            }
        }
    };
    let (status, answer) = tokio::time::timeout(support::PATIENCE, refused).await.expect("within seconds");
    assert_eq!(
        (status, answer["error"]["message"].as_str()),
        (401, Some("the access token reader was revoked"))
    );
}

#[tokio::test]
async fn what_is_written_is_charged_to_the_token_and_quotas_hold() {
    let closed = Closed::start().await;
    let quotas = Quotas { stored_bytes: Some(1000 + 3 * 106), ..Quotas::default() };
    let app = closed.make("app", "read,write", quotas, None).await;
    let other = closed.make("other", "read,write", Quotas::default(), None).await;
    let ops = closed.make("ops", "admin", Quotas::default(), None).await;
    assert_eq!(closed.ask(&app, "PUT", "/v1/keys/a?ttl=60", &[1; 600]).await.0, 201);
    let (status, answer) = closed.ask(&app, "PUT", "/v1/keys/a", &[2; 600]).await;
    assert_eq!((status, answer["error"]["code"].as_str()), (507, Some("quota")));
    assert_eq!(closed.gateway.node.puts(), 1, "the node did not see it");
    // A put that is known to have stored nothing costs nothing.
    closed.gateway.node.fail(Some(OpError::Busy));
    assert_eq!(closed.ask(&app, "PUT", "/v1/keys/a", &[2; 400]).await.0, 503);
    closed.gateway.node.fail(Some(OpError::Timeout));
    assert_eq!(closed.ask(&app, "PUT", "/v1/keys/a", &[2; 100]).await.0, 504);
    closed.gateway.node.fail(None);
    assert_eq!(
        closed.ask(&app, "PUT", "/v1/keys/a", &[2; 301]).await.0,
        507,
        "what may have been stored counts"
    );
    assert_eq!(closed.ask(&app, "PUT", "/v1/keys/a", &[2; 300]).await.0, 201);
    assert_eq!(closed.ask(&app, "PUT", "/v1/keys/a", &[1; 600]).await.0, 201, "a renewal is no second copy");
    assert_eq!(closed.ask(&other, "PUT", "/v1/keys/a", &[3; 5]).await.0, 201, "others have their own");
    let charged = closed.gateway.node.charged();
    assert_eq!(charged.iter().filter(|client| **client == ClientId::of_token("app")).count(), 2);
    assert_eq!(charged.iter().filter(|client| **client == ClientId::of_token("other")).count(), 1);

    // Each sees its own account, the operator all of them.
    let (_, own) = closed.ask(&app, "GET", "/v1/clients", b"").await;
    assert_eq!(own["clients"].as_array().map(Vec::len), Some(1));
    let asked = &own["clients"][0]["asked"];
    assert_eq!(
        (&asked["writes"], &asked["bytes"], &asked["failed"], &asked["denied"]),
        (&3.into(), &1500.into(), &2.into(), &3.into())
    );
    let (_, all) = closed.ask(&ops, "GET", "/v1/clients", b"").await;
    let names: Vec<_> =
        all["clients"].as_array().expect("a list").iter().map(|c| c["token"].as_str()).collect();
    assert!(names.contains(&Some("app")) && names.contains(&Some("other")), "{names:?}");
    let header = format!("Bearer {ops}");
    let (_, metrics) = closed.gateway.ask_with("GET", "/metrics", &[("Authorization", &header)], b"").await;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("keyway_client_denied_total{") && line.contains("\"app\""));
    assert!(line.is_some_and(|line| line.ends_with(" 3")), "{line:?}");
}

#[tokio::test]
async fn requests_are_bounded_by_the_second() {
    let closed = Closed::start().await;
    let quotas = Quotas { requests_per_second: Some(1), ..Quotas::default() };
    let app = closed.make("app", "read", quotas, None).await;
    let mut refused = None;
    for _ in 0..1000 {
        let header = format!("Authorization: Bearer {app}");
        let request = format!("GET /v1/node HTTP/1.0\r\nHost: localhost\r\n{header}\r\n\r\n");
        let answer = closed.gateway.exchange(request.as_bytes()).await;
        if status(&answer) == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a thousand requests take less than a thousand seconds");
    assert!(refused.to_ascii_lowercase().contains("retry-after: 1\r\n"), "{refused}");
    assert!(refused.contains("the access token app is for 1 requests a second"), "{refused}");
}

#[tokio::test]
async fn a_client_shows_its_token_and_what_is_signed_may_be_charged_to_its_signer() {
    let closed = Closed::start().await;
    let text = closed.make("app", "read,write", Quotas::default(), None).await;
    let client = |token: Option<&str>| {
        let token = token.map(|text| AccessToken::new(text).expect("a token"));
        let settings = ClientSettings { token, ..ClientSettings::default() };
        Client::with_settings(&[closed.gateway.addr.to_string()], settings).expect("an address")
    };
    let key = Key::text("a");
    client(Some(&text)).put(&key, "red".into(), None).await.expect("stored");
    assert_eq!(client(Some(&text)).get(&key, &GetOptions::default()).await.expect("read").values.len(), 1);
    let error = client(None).get(&key, &GetOptions::default()).await.expect_err("no token");
    assert!(matches!(&error, ClientError::Refused { code, .. } if code == "unauthorized"), "{error}");
    assert_eq!(error.exit_code(), 4);
    assert!(error.hint().is_some_and(|hint| hint.contains("--token-file")));

    let access = AccessConfig { charge_signers: true, ..AccessConfig::default() };
    let gateway = Gateway::with(GatewayConfig { access, ..GatewayConfig::default() }).await;
    let client = Client::new(&[gateway.addr.to_string()]).expect("an address");
    let signer = keyway_client::Signer::generate().expect("a key");
    let nonce = keyway_client::Hex::random().expect("a nonce");
    let claim = keyway_client::Claim::value(key, "mine".into(), nonce, 1_700_086_400);
    client.put_signed(&claim, &signer, None).await.expect("stored");
    client.put(&key, "plain".into(), None).await.expect("stored");
    // A signer is named by all of its authenticator; only the start of it is its place among the values.
    let name = keyway_core::store::proof::sha256(&signer.public_key().0);
    let mut other = name;
    other[31] ^= 1;
    for (name, found) in [(name, 1), (other, 0)] {
        let options = GetOptions { signer: Some(keyway_client::Hex(name)), ..GetOptions::default() };
        assert_eq!(client.get(&key, &options).await.expect("read").values.len(), found);
    }
    let charged = gateway.node.charged();
    assert!(charged.contains(&ClientId::of_signer(&signer.public_key().0)), "{charged:?}");
    assert!(charged.contains(&ClientId::of_address([127, 0, 0, 1].into())), "{charged:?}");
}

#[tokio::test]
async fn the_faces_of_2005_are_closed_by_the_same_rule() {
    let closed = Closed::open_for("read").await;
    let writer = closed
        .make("writer", "write", Quotas { stored_bytes: Some(4 + 106), ..Quotas::default() }, None)
        .await;
    let xml_call = |method: &str, rest: &str| {
        format!(
            "<?xml version=\"1.0\"?><methodCall><methodName>{method}</methodName><params>\
            <param><value><base64>Y29sb3Jz</base64></value></param>{rest}\
            <param><value><string>t</string></value></param></params></methodCall>"
        )
    };
    let read = xml_call(
        "get",
        "<param><value><int>10</int></value></param><param><value><base64></base64></value></param>",
    );
    let put = xml_call(
        "put",
        "<param><value><base64>cmVk</base64></value></param><param><value><int>60</int></value></param>",
    );
    let xml = ("Content-Type", "text/xml");
    assert_eq!(closed.gateway.ask_with("POST", "/RPC2", &[xml], read.as_bytes()).await.0, 200);
    let (status, refused) = closed.gateway.ask_with("POST", "/RPC2", &[xml], put.as_bytes()).await;
    assert_eq!(status, 401, "{refused}");
    let header = format!("Bearer {writer}");
    let shown = [xml, ("Authorization", header.as_str())];
    let (status, stored) = closed.gateway.ask_with("POST", "/RPC2", &shown, put.as_bytes()).await;
    assert!(status == 200 && stored.contains("<int>0</int>"), "{stored}");
    let more = put.replace("cmVk", "Ymx1ZQ==");
    let (_, full) = closed.gateway.ask_with("POST", "/RPC2", &shown, more.as_bytes()).await;
    assert!(full.contains("<int>1</int>"), "over capacity, as that wire says it: {full}");
    assert_eq!(closed.gateway.ask_with("POST", "/RPC2", &shown, read.as_bytes()).await.0, 403);

    let dir = tempfile::tempdir().expect("a temporary directory");
    let (config, _) = self::closed(&dir, "read");
    let node = FakeNode::default();
    let gateway = RpcGateway::with(node.clone(), |limits| *limits = config).await;
    let mut client = gateway.connect().await;
    let key = keyway_core::Id::of_text("colors");
    client.send(&call(9, 2, 2, &put2(&key, b"red", 60))).await;
    let denied = client.reply().await.expect("a reply");
    // xid, REPLY, MSG_DENIED, AUTH_ERROR, AUTH_TOOWEAK
    let words: Vec<u8> = [9u32, 1, 1, 1, 5].iter().flat_map(|word| word.to_be_bytes()).collect();
    assert_eq!(denied.0, words);
    assert_eq!(node.puts(), 0);
    client.send(&call(10, 3, 3, &get(&key, 10, b""))).await;
    let page = client.reply().await.expect("the connection goes on");
    assert_eq!(page.0[..4], 10u32.to_be_bytes());
    assert_eq!(page.0[8..12], 0u32.to_be_bytes(), "accepted");
}

#[tokio::test]
async fn who_is_passed_on_by_a_proxy_is_not_of_this_machine() {
    let gateway = Gateway::start().await;
    assert_eq!(gateway.ask("GET", "/v1/peers", b"").await.0, 200);
    for header in ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"] {
        let (status, _) = gateway.ask_with("GET", "/v1/peers", &[(header, "198.51.100.7")], b"").await;
        assert_eq!(status, 401, "{header}");
    }
    let basic = [("Authorization", "Basic YTpi")];
    assert_eq!(
        gateway.ask_with("GET", "/v1/peers", &basic, b"").await.0,
        200,
        "what a proxy has checked itself"
    );
}

#[tokio::test]
async fn a_refused_request_with_a_chunked_body_ends_the_connection() {
    let closed = Closed::start().await;
    closed.make("somebody", "read", Quotas::default(), None).await;
    let refused = "POST /v1/immutable HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n\
        Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let next = "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answers = closed.gateway.exchange(format!("{refused}{next}").as_bytes()).await;
    assert!(answers.starts_with("HTTP/1.1 401"), "{answers}");
    assert!(!answers.contains("alive"), "nothing behind it is read as a request: {answers}");
}

#[tokio::test]
async fn a_watch_ends_with_its_token() {
    let closed = Closed::start().await;
    let reader = closed.make("reader", "read", Quotas::default(), None).await;
    let mut socket = closed.gateway.connect().await;
    let request = format!(
        "GET /v1/keys/a/watch HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {reader}\r\n\r\n"
    );
    tokio::io::AsyncWriteExt::write_all(&mut socket, request.as_bytes()).await.expect("sent");
    let events = tokio::spawn(async move { support::read_to_end(&mut socket).await });
    closed.gateway.node.wait_until_asked(1).await;
    TokenFile::change(&closed.tokens, |file| file.revoke("reader", 5)).expect("revoked");
    let told = events.await.expect("it ends");
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
}
