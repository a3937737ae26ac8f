//! Removal, immutable and signed values, and repeated requests, over a real socket before a fake node.

mod support;

use std::net::IpAddr;
use std::time::Duration;

use keyway_client::{
    Claim, Client, ClientError, GetOptions, Hex, Key, Kind, PutOptions, Secret, Signer, expires_in,
};
use keyway_core::Id;
use keyway_core::machine::OpError;
use keyway_core::store::ClientId;
use serde_json::Value as Json;
use support::{Gateway, NETWORK};

/// The fake node's clock stands in 2023: lives of signed values are short of a week from then.
const END: u64 = 1_700_086_400;

fn client(gateway: &Gateway) -> Client {
    Client::new(&[format!("http://{}", gateway.addr)]).expect("an address")
}

fn secret() -> Secret {
    Secret::new(b"open sesame".to_vec()).expect("a secret")
}

fn code(error: &ClientError) -> &str {
    match error {
        ClientError::Refused { code, .. } => code,
        other => panic!("{other}"),
    }
}

async fn texts(client: &Client, key: &Key) -> Vec<String> {
    let page = client.get(key, &GetOptions::default()).await.expect("a page");
    page.values.iter().map(|value| String::from_utf8_lossy(&value.bytes).into_owned()).collect()
}

fn json(answer: &str) -> Json {
    serde_json::from_str(answer).expect("JSON")
}

#[tokio::test]
async fn a_value_is_removed_by_its_secret_and_by_no_other() {
    let gateway = Gateway::start().await;
    let (client, key) = (client(&gateway), Key::text("colors"));
    let guarded = PutOptions { ttl: None, secret_hash: Some(secret().hash()) };
    let receipt = client.put_with(&key, "red".into(), &guarded).await.expect("stored");
    assert_eq!(receipt.secret_hash, Some(secret().hash()));
    client.put(&key, "green".into(), None).await.expect("stored");
    let page = client.get(&key, &GetOptions::default()).await.expect("a page");
    assert_eq!(page.values.iter().map(|v| v.secret_hash).collect::<Vec<_>>(), [guarded.secret_hash, None]);

    let wrong = Secret::new(b"guess".to_vec()).expect("a secret");
    let error = client.remove(&key, &receipt.value_hash, &wrong).await.expect_err("the wrong secret");
    assert_eq!((code(&error), error.exit_code()), ("nothing_removed", 3));
    assert_eq!(error.to_string(), "nothing was removed: no value with this hash was put under this secret");
    assert_eq!(texts(&client, &key).await, ["red", "green"]);
    let error = client.remove(&key, &Key::hash(b"green"), &secret()).await.expect_err("it has no secret");
    assert_eq!(code(&error), "nothing_removed");

    let removed = client.remove(&key, &receipt.value_hash, &secret()).await.expect("removed");
    assert_eq!((removed.value_hash, removed.acked.len()), (receipt.value_hash, 2));
    assert_eq!(texts(&client, &key).await, ["green"]);
    let error = client.put_with(&key, "red".into(), &guarded).await.expect_err("the removal stands");
    assert_eq!((code(&error), error.exit_code()), ("hidden", 7));
    assert!(error.hint().is_some_and(|hint| hint.contains("another secret")));
    let anew = PutOptions { ttl: None, secret_hash: Some(wrong.hash()) };
    let error = client.put_with(&key, "red".into(), &anew).await.expect_err("removed under that one, too");
    assert_eq!(code(&error), "hidden");
    client.put(&key, "red".into(), None).await.expect("stored");
    assert_eq!(texts(&client, &key).await, ["green", "red"]);
    let here: IpAddr = "127.0.0.1".parse().expect("an address");
    assert!(gateway.node.charged().iter().all(|client| *client == ClientId::of_address(here)));
}

#[tokio::test]
async fn secrets_travel_in_headers_and_wrong_ones_are_not_repeated() {
    let gateway = Gateway::start().await;
    let put = async |headers: &[(&str, &str)]| gateway.ask_with("PUT", "/v1/keys/k", headers, b"v").await;
    let hash = Id::sha1(b"open").to_string();
    let (status, receipt) = put(&[("Keyway-Secret", "b3Blbg==")]).await;
    assert_eq!((status, json(&receipt)["secret_hash"].as_str()), (201, Some(hash.as_str())));
    let (status, receipt) = put(&[("Keyway-Secret-Hash", &hash)]).await;
    assert_eq!((status, json(&receipt)["secret_hash"].as_str()), (201, Some(hash.as_str())));
    let long = "A".repeat(56);
    for wrong in [
        &[("Keyway-Secret", "not base64!")][..],
        &[("Keyway-Secret", "")],
        &[("Keyway-Secret", &long)],
        &[("Keyway-Secret-Hash", "c0ffee")],
    ] {
        let (status, answer) = put(wrong).await;
        assert_eq!((status, json(&answer)["error"]["code"].as_str()), (400, Some("bad_request")), "{answer}");
        assert!(wrong[0].1.is_empty() || !answer.contains(wrong[0].1), "{answer}");
    }
    let (status, _) = put(&[("Keyway-Secret", "b3Blbg=="), ("Keyway-Secret-Hash", &hash)]).await;
    assert_eq!(status, 201, "they say the same");
    let (status, answer) = put(&[("Keyway-Secret", "c2h1dA=="), ("Keyway-Secret-Hash", &hash)]).await;
    assert!(status == 409 && !answer.contains("c2h1dA"), "{answer}");
    let (status, answer) = gateway.ask("PUT", "/v1/keys/k?secret=open", b"v").await;
    assert_eq!(status, 400, "{answer}");
}

#[tokio::test]
async fn an_immutable_value_stands_under_its_own_hash() {
    let gateway = Gateway::start().await;
    let client = client(&gateway);
    let receipt = client.put_immutable("red".into(), Some(Duration::from_secs(60))).await.expect("stored");
    assert_eq!((receipt.key, receipt.ttl_seconds), (Key::content(b"red"), 60));
    let page = client.get(&receipt.key, &GetOptions::default()).await.expect("a page");
    assert_eq!((page.values[0].kind, page.values[0].bytes.as_ref()), (Kind::Immutable, b"red".as_slice()));
    let renewed = client.renew(&receipt.key, &page.values[0], Some(Duration::from_secs(90)), None).await;
    assert!(renewed.expect("stored").expires_ms > receipt.expires_ms);
}

#[tokio::test]
async fn signed_values_are_their_signers_alone() {
    let gateway = Gateway::start().await;
    let (client, key) = (client(&gateway), Key::text("colors"));
    let (mine, yours) = (Signer::from_seed(&[1; 32]), Signer::from_seed(&[2; 32]));
    let nonce = Hex([3; 32]);
    let claim = Claim::value(key, "red".into(), nonce, END);
    let receipt = client.put_signed(&claim, &mine, None).await.expect("stored");
    assert_eq!((receipt.signer, receipt.expires_ms), (Some(mine.authenticator()), END * 1000));
    client.put_signed(&Claim::value(key, "blue".into(), nonce, END), &yours, None).await.expect("stored");
    client.put(&key, "green".into(), None).await.expect("stored");
    let of_mine = GetOptions { signer: Some(mine.authenticator()), ..GetOptions::default() };
    let page = client.get(&key, &of_mine).await.expect("a page, and its signature holds");
    assert_eq!(page.values.len(), 1);
    assert_eq!((page.values[0].bytes.as_ref(), page.values[0].kind), (b"red".as_slice(), Kind::Signed));
    let renewed = client.renew(&key, &page.values[0], None, Some(&yours)).await.expect_err("not theirs");
    assert_eq!(renewed.exit_code(), 2);

    let removal = |nonce| Claim::removal(key, Hex::sha256(b"red"), nonce, END);
    for (claim, signer) in [(removal(nonce), &yours), (removal(Hex([4; 32])), &mine)] {
        let error = client.remove_signed(&claim, signer, None).await.expect_err("nothing of the kind");
        assert_eq!((code(&error), error.exit_code()), ("nothing_removed", 3));
    }
    client.remove_signed(&removal(nonce), &mine, None).await.expect("removed");
    assert!(client.get(&key, &of_mine).await.expect("a page").values.is_empty());
    let error = client.put_signed(&claim, &mine, None).await.expect_err("the removal stands");
    assert_eq!((code(&error), error.exit_code()), ("hidden", 7));
    let error = client.remove_signed(&claim, &mine, None).await.expect_err("no removal");
    assert_eq!(error.exit_code(), 2);
}

#[tokio::test]
async fn forgeries_are_refused() {
    let gateway = Gateway::start().await;
    let signer = Signer::from_seed(&[1; 32]);
    let claim = Claim::value(Key::text("colors"), "red".into(), Hex([2; 32]), END);
    let body = |network: u64, value: &str| {
        let mut body = serde_json::to_value(signer.sign(network, &claim)).expect("JSON");
        body["kind"] = "signed".into();
        body["value_base64"] = value.into();
        body
    };
    let post = async |path: &str, body: &Json| {
        let (status, answer) = gateway.ask("POST", path, body.to_string().as_bytes()).await;
        (status, json(&answer)["error"]["code"].as_str().map(str::to_owned))
    };
    let forged = (403, Some("forged".to_owned()));
    assert_eq!(post("/v1/keys/colors/signed", &body(NETWORK.0 + 1, "cmVk")).await, forged, "another network");
    assert_eq!(post("/v1/keys/colors/signed", &body(NETWORK.0, "Ymx1ZQ==")).await, forged, "another value");
    assert_eq!(post("/v1/keys/other/signed", &body(NETWORK.0, "cmVk")).await, forged, "another key");
    assert_eq!(gateway.node.charged().len(), 0);
    let good = body(NETWORK.0, "cmVk");
    for (field, wrong) in [
        ("seq", 1.into()),
        ("cas", 1.into()),
        ("value_sha256", "00".repeat(32).into()),
        ("signature", "00".into()),
        ("nonce", "zz".repeat(32).into()),
        ("public_key", Json::Null),
        ("kind", "put".into()),
        ("secret", "x".into()),
        ("value_base64", "?".into()),
    ] {
        let mut body = good.clone();
        body[field] = wrong;
        let told = post("/v1/keys/colors/signed", &body).await;
        assert_eq!(told, (400, Some("bad_request".to_owned())), "{field}");
    }
    assert_eq!(post("/v1/keys/colors/signed", &good).await.0, 201);
}

#[tokio::test]
async fn a_series_goes_on_by_compare_and_set() {
    let gateway = Gateway::start().await;
    let (client, key) = (client(&gateway), Key::text("counter"));
    let (signer, series) = (Signer::from_seed(&[1; 32]), Hex::series("visits"));
    let next = |seq: u64, value: &'static str| Claim::next(key, value.into(), series, seq, END);
    let put = async |seq, value, cas| client.put_signed(&next(seq, value), &signer, cas).await;
    assert_eq!(put(1, "one", Some(0)).await.expect("the first").seq, Some(1));
    put(2, "two", Some(1)).await.expect("the second");
    let error = put(2, "zwei", Some(1)).await.expect_err("somebody was faster");
    assert!(matches!(&error, ClientError::Refused { seq: Some(2), status: 409, .. }), "{error:?}");
    assert_eq!((code(&error), error.exit_code()), ("conflict", 7));
    assert!(put(1, "eins", None).await.is_err(), "numbers only grow");
    // The answer to this very put was lost: it is told again that it is stored.
    put(2, "two", Some(1)).await.expect("stored before");
    assert_eq!(texts(&client, &key).await, ["two"]);

    let page = client.get(&key, &GetOptions::default()).await.expect("a page");
    assert_eq!((page.values[0].seq, page.values[0].kind), (Some(2), Kind::Sequenced));
    let end = |seq| Claim::end(key, series, seq, END);
    let error = client.remove_signed(&end(3), &signer, Some(1)).await.expect_err("it is at 2");
    assert_eq!(error.exit_code(), 7);
    client.remove_signed(&end(3), &signer, Some(2)).await.expect("ended");
    assert!(texts(&client, &key).await.is_empty());
    put(4, "four", Some(3)).await.expect("begun anew");
    assert_eq!(texts(&client, &key).await, ["four"]);
}

#[tokio::test]
async fn renewing_keeps_the_secret_and_the_number() {
    let gateway = Gateway::start().await;
    let (client, key) = (client(&gateway), Key::text("k"));
    let (ttl, longer) = (Some(Duration::from_secs(60)), Some(Duration::from_secs(600)));
    client
        .put_with(&key, "v".into(), &PutOptions { ttl, secret_hash: Some(secret().hash()) })
        .await
        .expect("stored");
    let page = client.get(&key, &GetOptions::default()).await.expect("a page");
    client.renew(&key, &page.values[0], longer, None).await.expect("stored");
    let page = client.get(&key, &GetOptions::default()).await.expect("a page");
    assert_eq!((page.values.len(), page.values[0].ttl_seconds), (1, 600));
    client.remove(&key, &page.values[0].value_hash, &secret()).await.expect("removed");
    let now = expires_in(Duration::ZERO);
    assert!(expires_in(Duration::from_secs(9)) - now >= 9);
}

#[tokio::test]
async fn a_repeated_request_is_done_once() {
    let gateway = Gateway::start().await;
    let put = async |id: &str, body: &[u8]| {
        gateway.ask_with("PUT", "/v1/keys/k", &[("Idempotency-Key", id)], body).await
    };
    let first = put("a", b"v").await;
    assert_eq!((first.0, put("a", b"v").await), (201, first.clone()), "to the byte");
    assert_eq!(gateway.node.puts(), 1);
    let (status, answer) = put("a", b"w").await;
    assert_eq!((status, json(&answer)["error"]["code"].as_str()), (409, Some("request_id_reused")));
    assert_eq!(put("b", b"v").await.0, 201);
    assert_eq!(gateway.node.puts(), 2);
    for wrong in ["", &"x".repeat(65)] {
        assert_eq!(put(wrong, b"v").await.0, 400);
    }

    // What may pass is tried again; what stands is repeated.
    gateway.node.fail(Some(OpError::Busy));
    assert_eq!(put("c", b"v").await.0, 503);
    gateway.node.fail(Some(OpError::BadTtl { max_secs: 5 }));
    assert_eq!(put("d", b"v").await.0, 422);
    gateway.node.fail(None);
    assert_eq!(put("c", b"v").await.0, 201);
    assert_eq!(put("d", b"v").await.0, 422);

    // A remove that found something has found it, however often it is asked for.
    let secret = [("Keyway-Secret", "b3Blbg=="), ("Idempotency-Key", "e")];
    let path = format!("/v1/keys/k?value_hash={}", Id::sha1(b"x"));
    let told = gateway.ask_with("DELETE", &path, &secret, b"").await;
    assert_eq!(told.0, 404);
    assert_eq!(gateway.ask_with("DELETE", &path, &secret, b"").await, told);
}

#[tokio::test]
async fn a_request_that_is_repeated_while_it_is_under_way_is_done_once() {
    let mut config = keyway_gateway::GatewayConfig::default();
    config.limits.op_timeout = Duration::from_millis(500);
    let gateway = Gateway::with(config).await;
    gateway.node.go_deaf();
    let put = || gateway.ask_with("PUT", "/v1/keys/k", &[("Idempotency-Key", "a")], b"v");
    let (one, two, three) = tokio::join!(put(), put(), put());
    assert_eq!((one.0, two.0, three.0), (504, 504, 504));
    gateway.node.wait_until_asked(1).await;
    assert_eq!(gateway.node.asked(), 1, "one operation, three answers");
}
