//! Many puts and gets in one request, over a real socket before a fake node.

mod support;

use keyway_client::{BulkPut, Client, ClientError, GetOptions, Key, PutOptions, Reads, Secret};
use keyway_core::machine::OpError;
use serde_json::json;
use support::Gateway;

fn client(gateway: &Gateway) -> Client {
    Client::new(&[gateway.addr.to_string()]).expect("an address")
}

/// Values under one key stand in the order of their entries.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn entries_keep_their_order() {
    let gateway = Gateway::start().await;
    let client = client(&gateway);
    for round in 0..10 {
        let key = Key::text(&format!("round {round}"));
        let puts: Vec<BulkPut> = (0..40).map(|n| BulkPut::new(key, n.to_string().into())).collect();
        assert!(client.put_many(&puts).await.expect("answered").iter().all(Result::is_ok));
        let found = client.get(&key, &GetOptions::default()).await.expect("read").values;
        let texts: Vec<_> =
            found.iter().map(|value| String::from_utf8_lossy(&value.bytes).into_owned()).collect();
        assert_eq!(texts, (0..40).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn many_are_stored_and_read_in_their_order() {
    let gateway = Gateway::start().await;
    let client = client(&gateway);
    let secret = Secret::new(b"s".to_vec()).expect("a secret");
    let put = |n: usize| match n % 10 {
        0 => BulkPut { key: None, value: format!("immutable {n}").into(), options: PutOptions::default() },
        1 => BulkPut {
            key: Some(Key::text(&n.to_string())),
            value: vec![n as u8; n].into(),
            options: PutOptions {
                ttl: Some(std::time::Duration::from_secs(60)),
                secret_hash: Some(secret.hash()),
            },
        },
        _ => BulkPut::new(Key::text(&n.to_string()), vec![n as u8; n].into()),
    };
    let puts: Vec<BulkPut> = (0..2500).map(put).collect();
    let receipts = client.put_many(&puts).await.expect("answered");
    assert_eq!(receipts.len(), puts.len());
    for (put, receipt) in puts.iter().zip(&receipts) {
        let receipt = receipt.as_ref().expect("stored");
        assert_eq!(receipt.key, put.key.unwrap_or_else(|| Key::content(&put.value)));
        assert_eq!(receipt.secret_hash, put.options.secret_hash);
        assert_eq!(receipt.ttl_seconds, if put.options.ttl.is_some() { 60 } else { 86_400 });
    }
    assert_eq!(gateway.node.puts(), 2500);
    let mut keys: Vec<Key> = receipts.iter().map(|receipt| receipt.as_ref().expect("stored").key).collect();
    keys.push(Key::text("nobody"));
    let pages = client.get_many(&keys, Reads::Quorum).await.expect("answered");
    assert_eq!(pages.len(), keys.len());
    for (put, page) in puts.iter().zip(&pages) {
        assert_eq!(page.as_ref().expect("a page").values[0].bytes, put.value);
    }
    assert!(pages[2500].as_ref().expect("a page").values.is_empty());
}

#[tokio::test]
async fn more_than_one_answer_holds_is_asked_for_again() {
    let gateway = Gateway::start().await;
    let client = client(&gateway);
    let puts: Vec<BulkPut> =
        (0..150).map(|n: u8| BulkPut::new(Key::text(&n.to_string()), vec![n; 60_000].into())).collect();
    assert!(client.put_many(&puts).await.expect("answered").iter().all(Result::is_ok));
    let keys: Vec<Key> = puts.iter().filter_map(|put| put.key).collect();
    let asked =
        json!({ "gets": keys.iter().map(|key| json!({ "id": key })).collect::<Vec<_>>() }).to_string();
    let (status, answer) = gateway.ask_json("POST", "/v1/bulk/get", asked.as_bytes()).await;
    let results = answer["results"].as_array().expect("results");
    assert_eq!((status, results.len()), (200, 150));
    let given = results.iter().take_while(|result| result["status"] == 200).count();
    assert!((40..80).contains(&given), "{given} of 60 kB each in 4 MiB of base64");
    assert!(results[given..].iter().all(|result| result["error"]["code"] == "answer_full"));
    let pages = client.get_many(&keys, Reads::First).await.expect("answered");
    for (put, page) in puts.iter().zip(pages) {
        assert_eq!(page.expect("a page").values[0].bytes, put.value);
    }
}

#[tokio::test]
async fn each_fails_for_itself_and_is_repeated_for_itself() {
    let gateway = Gateway::start().await;
    let puts = json!({ "puts": [
        { "key": "a", "value": "red", "request_id": "one" },
        { "key": "a", "value": "x".repeat(70_000) },
        { "key": "a", "id": "00", "value": "red" },
        { "id": "zz", "value": "red" },
        { "key": "a" },
        { "key": "a", "value": "red", "value_base64": "cmVk" },
        { "key": "a", "value_base64": "%" },
        { "key": "a", "value": "red", "ttl": 0 },
        { "key": "a", "value": "red", "secret_hash": "no" },
        { "value": "red", "secret_hash": "0".repeat(40) },
        { "key": "a", "value": "red", "request_id": "" },
        { "key": "b", "value_base64": "Ymx1ZQ==", "ttl": 60, "request_id": "two" },
    ]});
    let body = puts.to_string();
    let (status, answer) = gateway.ask_json("POST", "/v1/bulk/put", body.as_bytes()).await;
    let of = |answer: &serde_json::Value| -> Vec<u64> {
        answer["results"].as_array().expect("results").iter().filter_map(|r| r["status"].as_u64()).collect()
    };
    let expected = [201, 413, 400, 400, 400, 400, 400, 422, 400, 400, 400, 201];
    assert_eq!((status, of(&answer)), (200, expected.to_vec()), "{answer}");
    assert_eq!(answer["results"][1]["error"]["code"], "too_large");
    let stored = gateway.node.puts();
    gateway.node.fail(Some(OpError::NotJoined));
    let (_, again) = gateway.ask_json("POST", "/v1/bulk/put", body.as_bytes()).await;
    assert_eq!(again["results"][0], answer["results"][0], "what was stored is told again, not done again");
    assert_eq!(again["results"][11], answer["results"][11]);
    assert_eq!(gateway.node.puts(), stored);
    let other = json!({ "puts": [{ "key": "a", "value": "green", "request_id": "one" }] }).to_string();
    let (_, other) = gateway.ask_json("POST", "/v1/bulk/put", other.as_bytes()).await;
    assert_eq!(other["results"][0]["error"]["code"], "request_id_reused");
    let error =
        client(&gateway).put_many(&[BulkPut::new(Key::text("c"), "c".into())]).await.expect("answered");
    assert!(matches!(&error[0], Err(ClientError::Refused { code, status: 503, .. }) if code == "not_joined"));
}

#[tokio::test]
async fn a_request_as_a_whole_is_bounded() {
    let gateway = Gateway::start().await;
    let entries = |count: usize| json!({ "puts": vec![json!({ "value": "x" }); count] }).to_string();
    assert_eq!(gateway.ask("POST", "/v1/bulk/put", entries(1000).as_bytes()).await.0, 200);
    let (status, answer) = gateway.ask_json("POST", "/v1/bulk/put", entries(1001).as_bytes()).await;
    assert_eq!((status, answer["error"]["code"].as_str()), (400, Some("bad_request")));
    for body in ["", "{", "[]", "{\"puts\":[{\"key\":\"a\",\"valve\":\"b\"}]}", "{\"puts\":1}", "{}", "null"]
    {
        let (status, _) = gateway.ask("POST", "/v1/bulk/put", body.as_bytes()).await;
        assert_eq!(status, 400, "{body}");
        assert_eq!(gateway.ask("POST", "/v1/bulk/get", body.as_bytes()).await.0, 400, "{body}");
    }
    let long = vec![b' '; (8 << 20) + 1];
    assert_eq!(gateway.ask("POST", "/v1/bulk/put", &long).await.0, 413);
    let many = format!("{{\"puts\":[{}{{}}]}}", "{},".repeat(2_500_000));
    let (status, answer) = gateway.ask_json("POST", "/v1/bulk/put", many.as_bytes()).await;
    assert!(status == 400 && answer.to_string().contains("more than 1000 entries"), "{answer}");
    let deep = "[".repeat(1 << 20);
    assert_eq!(
        gateway.ask("POST", "/v1/bulk/get", deep.as_bytes()).await.0,
        400,
        "a million levels of nesting"
    );
    let header = [("Idempotency-Key", "x")];
    let (status, answer) = gateway.ask_with("POST", "/v1/bulk/put", &header, entries(1).as_bytes()).await;
    assert!(status == 400 && answer.contains("request_id"), "{answer}");
    assert_eq!(
        gateway.ask("POST", "/v1/bulk/put", b"{\"puts\":[]}").await,
        (200, "{\"results\":[]}\n".into())
    );
}
