//! The interface as the gateway describes it: the committed document, and whether the gateway does as it says.
//!
//! A change of a route or of a JSON type changes the document. If it does so on purpose: `cargo xtask golden` writes it
//! anew; the commit says why.

mod support;

use std::collections::BTreeSet;

use keyway_client::{Claim, Hex, Key, Signer};
use keyway_core::machine::{Halt, OpError};
use keyway_core::store::Record;
use keyway_core::{Id, Wall};
use serde_json::Value;
use support::{Gateway, NETWORK};

const GOLDEN: &str = include_str!("openapi.json");

async fn document(gateway: &Gateway) -> Value {
    let (status, document) = gateway.ask_json("GET", "/openapi.json", b"").await;
    assert_eq!(status, 200);
    document
}

#[tokio::test]
async fn the_description_is_the_committed_one() {
    let gateway = Gateway::start().await;
    let now = serde_json::to_string_pretty(&document(&gateway).await).expect("JSON") + "\n";
    if std::env::var_os("UPDATE").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openapi.json");
        std::fs::write(file, &now).expect("the document is written");
    } else {
        assert_eq!(now, GOLDEN, "the interface has changed; if on purpose: cargo xtask golden");
    }
}

/// The schema that a reference leads to, or the schema itself.
fn followed<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str().and_then(|name| name.strip_prefix('#')) {
        Some(place) => document.pointer(place).unwrap_or_else(|| panic!("{place} leads nowhere")),
        None => schema,
    }
}

/// Complains where an answer is not as its schema says: as far as the schemas of this document go.
fn check(document: &Value, schema: &Value, answer: &Value, at: &str) {
    let schema = followed(document, schema);
    if let Some(parts) = schema["allOf"].as_array() {
        parts.iter().for_each(|part| check(document, part, answer, at));
        return;
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        if !answer.is_null() {
            let other = choices.iter().find(|choice| choice["type"] != "null").expect("a choice");
            check(document, other, answer, at);
        }
        return;
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let given = match answer {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits =
        types.is_empty() || types.contains(&given) || (given == "integer" && types.contains(&"number"));
    assert!(fits, "{at} is {given}, and should be one of {types:?}");
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(answer.get(name).is_some(), "{at} has no {name}: {answer}");
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = answer.get(name) {
            check(document, property, value, &format!("{at}.{name}"));
        }
    }
    for item in answer.as_array().into_iter().flatten() {
        check(document, &schema["items"], item, &format!("{at}[]"));
    }
}

/// Every name that the document gives to a part of an answer, at any depth.
fn names(document: &Value, schema: &Value, found: &mut BTreeSet<String>) {
    let schema = followed(document, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        found.insert(name.clone());
        names(document, property, found);
    }
    for list in ["allOf", "oneOf"] {
        schema[list].as_array().into_iter().flatten().for_each(|part| names(document, part, found));
    }
    if schema["items"].is_object() {
        names(document, &schema["items"], found);
    }
}

/// Every name in an answer. What stands below `counters` is data.
fn names_in(answer: &Value, found: &mut BTreeSet<String>) {
    for (name, value) in answer.as_object().into_iter().flatten() {
        found.insert(name.clone());
        if name != "counters" {
            names_in(value, found);
        }
    }
    answer.as_array().into_iter().flatten().for_each(|item| names_in(item, found));
}

/// A signed value under the text key `colors`.
fn signed() -> Vec<u8> {
    let signer = Signer::from_seed(&[1; 32]);
    let (key, nonce, end) = (Key::text("colors"), Hex([2; 32]), 1_700_086_400);
    let mut body = serde_json::to_value(signer.sign(NETWORK.0, &Claim::value(key, "red".into(), nonce, end)))
        .expect("a proof is JSON");
    body["kind"] = "signed".into();
    body["value_base64"] = "cmVk".into();
    body.to_string().into_bytes()
}

/// A record of a snapshot.
fn record() -> Vec<u8> {
    let (put_time, ttl) = (Wall(1_700_000_000_000_000), keyway_core::Duration::from_secs(3600));
    let record = Record::plain(Id::of_text("colors"), b"old".to_vec(), put_time, ttl, 1);
    keyway_core::wire::to_vec(&record)
}

#[tokio::test]
async fn answers_are_as_they_are_described() {
    let gateway = Gateway::start().await;
    let document = document(&gateway).await;
    gateway.ask("PUT", "/v1/keys/colors", b"red").await;
    let id = Id::of_text("colors").to_string();
    let paths = document["paths"].as_object().expect("paths");
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().expect("methods") {
            // An answer without an end: tests/watch.rs.
            if path.ends_with("/watch") {
                continue;
            }
            let asked = path.replace("{text}", "colors").replace("{hex}", &id);
            let (asked, body) = match (method.as_str(), path.as_str()) {
                (_, "/readyz") => (format!("{asked}?verbose"), b"blue".to_vec()),
                ("delete", _) => (format!("{asked}?value_hash={}", Id::sha1(b"blue")), Vec::new()),
                (_, path) if path.ends_with("/signed") => (asked, signed()),
                // One that is done and one that is refused.
                (_, "/v1/bulk/put") => {
                    (asked, br#"{"puts":[{"value":"red"},{"value":"red","ttl":0}]}"#.to_vec())
                }
                (_, "/v1/bulk/get") => (asked, br#"{"gets":[{"key":"colors"},{}]}"#.to_vec()),
                (_, "/v1/admin/restore") => (format!("{asked}?network={:016x}", NETWORK.0), record()),
                _ => (asked, b"blue".to_vec()),
            };
            let secret: &[_] = if method == "delete" { &[("Keyway-Secret", "b3Blbg==")] } else { &[] };
            if method == "delete" {
                let (place, _) = asked.split_once('?').expect("it names a value");
                gateway.ask_with("PUT", place, secret, b"blue").await;
            }
            let (status, body) = gateway.ask_with(&method.to_uppercase(), &asked, secret, &body).await;
            assert!((200..300).contains(&status), "{method} {asked}: {status} {body}");
            let described = &operation["responses"][status.to_string()];
            assert!(described.is_object(), "{method} {path} does not name {status}");
            let Some(schema) = described["content"]["application/json"].get("schema") else { continue };
            let answer: Value = serde_json::from_str(&body).expect("JSON");
            check(&document, schema, &answer, path);
            if path == "/openapi.json" {
                continue;
            }
            let (mut told, mut known) = (BTreeSet::new(), BTreeSet::new());
            names_in(&answer, &mut told);
            names(&document, schema, &mut known);
            let unknown: Vec<_> = told.difference(&known).collect();
            assert!(
                unknown.is_empty(),
                "{method} {path} answers with {unknown:?}, which it does not describe"
            );
        }
    }
}

#[tokio::test]
async fn a_parameter_that_is_not_described_is_refused_under_v1_and_ignored_elsewhere() {
    let gateway = Gateway::start().await;
    let document = document(&gateway).await;
    let id = Id::of_text("colors").to_string();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            let asked = path.replace("{text}", "colors").replace("{hex}", &id) + "?no_such=1";
            let (status, answer) = gateway.ask(&method.to_uppercase(), &asked, b"").await;
            if path.starts_with("/v1/") {
                assert_eq!(status, 400, "{method} {asked}: {answer}");
                assert!(answer.contains("bad_request") && answer.contains("`no_such`"), "{asked}: {answer}");
            } else {
                assert_eq!(status, 200, "{method} {asked}: {answer}");
            }
        }
    }
    // Another method is still told as that, and a query of nothing is none.
    assert_eq!(gateway.ask("POST", "/v1/node?no_such=1", b"").await.0, 405);
    assert_eq!(gateway.ask("GET", "/v1/node?", b"").await.0, 200);
    assert_eq!(gateway.ask("GET", "/v1/network?max=1000000", b"").await.0, 200, "as many as there may be");
}

#[tokio::test]
async fn refusals_are_among_those_that_are_described() {
    let gateway = Gateway::start().await;
    let document = document(&gateway).await;
    let described = |method: &str, path: &str, status: u16, code: &str| {
        let response = &document["paths"][path][method]["responses"][status.to_string()];
        let named = response["description"].as_str().is_some_and(|text| text.contains(&format!("`{code}`")));
        assert!(named, "{method} {path} does not name {status} {code}: {response}");
        let schema = &response["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(schema, "#/components/schemas/ErrorBody");
    };
    let refused = async |method: &str, route: &str, asked: &str, body: &[u8]| {
        let (status, answer) = gateway.ask_json(&method.to_uppercase(), asked, body).await;
        assert!(status >= 400, "{method} {asked}");
        described(method, route, status, answer["error"]["code"].as_str().expect("a code"));
    };
    let long = vec![0; (64 << 10) + 1];
    refused("get", "/v1/keys/{text}", "/v1/keys/nothing", b"").await;
    refused("get", "/v1/keys/{text}", "/v1/keys/k?max=0", b"").await;
    refused("get", "/v1/ids/{hex}", "/v1/ids/12", b"").await;
    refused("put", "/v1/keys/{text}", "/v1/keys/k?ttl=0", b"v").await;
    refused("put", "/v1/keys/{text}", "/v1/keys/k", &long).await;
    refused("delete", "/v1/keys/{text}", "/v1/keys/k", b"").await;
    refused("post", "/v1/ids/{hex}/signed", &format!("/v1/ids/{}/signed", "7".repeat(40)), b"{}").await;
    refused("post", "/v1/immutable", "/v1/immutable?ttl=0", b"v").await;
    refused("post", "/v1/admin/restore", "/v1/admin/restore?network=1", &record()).await;
    refused("post", "/v1/admin/restore", "/v1/admin/restore?network=feed", b"").await;
    let removal = format!("/v1/ids/{}?value_hash={}", "7".repeat(40), "8".repeat(40));
    let secret = [("Keyway-Secret", "b3Blbg==")];
    let (status, answer) = gateway.ask_with("DELETE", &removal, &secret, b"").await;
    assert!(answer.contains("nothing_removed"), "{answer}");
    described("delete", "/v1/ids/{hex}", status, "nothing_removed");
    for why in [
        OpError::Expired,
        OpError::Forged,
        OpError::Conflict { seq: 1 },
        OpError::Outlived { expires: Wall(1) },
    ] {
        gateway.node.fail(Some(why));
        let (status, answer) = gateway.ask("POST", "/v1/keys/colors/signed", &signed()).await;
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        described(
            "post",
            "/v1/keys/{text}/signed",
            status,
            answer["error"]["code"].as_str().expect("a code"),
        );
    }
    let fails = [
        OpError::Timeout,
        OpError::Quorum { got: 1, want: 2 },
        OpError::OverCapacity,
        OpError::Busy,
        OpError::NotJoined,
        OpError::Halted(Halt::DiskFull),
        OpError::ClockSkew,
    ];
    for why in fails {
        gateway.node.fail(Some(why.clone()));
        refused("put", "/v1/ids/{hex}", &format!("/v1/ids/{}", "7".repeat(40)), b"v").await;
        if matches!(why, OpError::Timeout | OpError::Quorum { .. } | OpError::Busy | OpError::NotJoined) {
            refused("get", "/v1/keys/{text}", "/v1/keys/k", b"").await;
            refused("get", "/v1/keys/{text}/where", "/v1/keys/k/where", b"").await;
        }
    }
}
