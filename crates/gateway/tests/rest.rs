//! The REST interface over a real socket, before a fake node.

mod support;

use keyway_core::Id;
use keyway_core::machine::{Halt, OpError, Phase};
use support::{Gateway, body_of, head_of, peer, status};

#[tokio::test]
async fn a_value_comes_back_in_every_form() {
    let gateway = Gateway::start().await;
    let (code, receipt) = gateway.ask_json("PUT", "/v1/keys/colors?ttl=3600", b"red").await;
    assert_eq!(code, 201);
    assert_eq!(receipt["key"].as_str().map(str::len), Some(40));
    assert_eq!(receipt["ttl_seconds"], 3600);
    assert_eq!(receipt["replicas"], 3);
    assert_eq!(receipt["acked"].as_array().map(Vec::len), Some(2));
    assert_eq!(receipt["acked"][1]["addr"], "10.0.0.2:5850");

    let (code, page) = gateway.ask_json("GET", "/v1/keys/colors", b"").await;
    assert_eq!(code, 200);
    assert_eq!(page["values"][0]["text"], "red");
    assert_eq!(page["values"][0]["value_base64"], "cmVk");
    assert_eq!(page["values"][0]["ttl_seconds"], 3600);
    assert_eq!(page["values"][0]["value_hash"], receipt["value_hash"]);
    assert_eq!(page["next"], serde_json::Value::Null);

    // The same key by its id, and the bytes alone.
    let id = receipt["key"].as_str().expect("a key");
    assert_eq!(gateway.ask("GET", &format!("/v1/ids/{id}?raw=true"), b"").await, (200, "red".into()));
    gateway.stop().await;
}

#[tokio::test]
async fn a_default_life_is_a_day_and_text_keys_are_decoded() {
    let gateway = Gateway::start().await;
    let (_, plain) = gateway.ask_json("PUT", "/v1/keys/a%2Fb%20%C3%BC", b"x").await;
    assert_eq!(plain["ttl_seconds"], 86400);
    assert_eq!(plain["key"], keyway_core::Id::of_text("a/b ü").to_string());
    let (code, refusal) = gateway.ask_json("GET", "/v1/keys/%ff", b"").await;
    assert_eq!((code, refusal["error"]["code"].as_str()), (400, Some("bad_request")));
}

#[tokio::test]
async fn pages_follow_each_other_in_put_order() {
    let gateway = Gateway::start().await;
    for n in 0..7 {
        gateway.ask_json("PUT", "/v1/keys/k", format!("value {n}").as_bytes()).await;
    }
    let mut path = "/v1/keys/k?max=3".to_owned();
    let mut seen = Vec::new();
    let mut pages = 0;
    loop {
        let (code, page) = gateway.ask_json("GET", &path, b"").await;
        assert_eq!(code, 200);
        pages += 1;
        seen.extend(
            page["values"].as_array().expect("values").iter().map(|v| v["text"].as_str().map(str::to_owned)),
        );
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/keys/k?max=3&after={next}"),
            None => break,
        }
    }
    assert_eq!(pages, 3);
    assert_eq!(seen, (0..7).map(|n| Some(format!("value {n}"))).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let gateway = Gateway::start().await;
    let (code, refusal) = gateway.ask_json("GET", "/v1/keys/nothing", b"").await;
    assert_eq!((code, refusal["error"]["code"].as_str()), (404, Some("not_found")));
    let (code, refusal) = gateway.ask_json("GET", "/v1/nothing", b"").await;
    assert_eq!((code, refusal["error"]["code"].as_str()), (404, Some("no_such_path")));
    let (code, refusal) = gateway.ask_json("PATCH", "/v1/keys/k", b"").await;
    assert_eq!((code, refusal["error"]["code"].as_str()), (405, Some("method_not_allowed")));
}

#[tokio::test]
async fn requests_that_make_no_sense_are_told_why() {
    let gateway = Gateway::start().await;
    let cases = [
        ("GET", "/v1/ids/12"),
        ("GET", "/v1/keys/k?max=0"),
        ("GET", "/v1/keys/k?max=x"),
        ("GET", "/v1/keys/k?after=x"),
        ("GET", "/v1/keys/k?reads=some"),
        ("GET", "/v1/keys/k?limit=3"),
        ("GET", "/v1/keys/k?signer=12"),
        ("DELETE", "/v1/keys/k"),
        ("DELETE", "/v1/keys/k?value_hash=12"),
        (
            "DELETE",
            "/v1/ids/0000000000000000000000000000000000000000?value_hash=0000000000000000000000000000000000000000",
        ),
        ("POST", "/v1/keys/k/signed"),
        ("POST", "/v1/immutable?max=1"),
        ("PUT", "/v1/keys/k?ttl=-1"),
        ("PUT", "/v1/keys/k?ttl=1d"),
        ("PUT", "/v1/keys/k?max=1"),
    ];
    for (method, path) in cases {
        let (code, refusal) = gateway.ask_json(method, path, b"").await;
        assert_eq!((code, refusal["error"]["code"].as_str()), (400, Some("bad_request")), "{method} {path}");
        assert!(refusal["error"]["message"].as_str().is_some_and(|text| !text.is_empty()));
    }
    assert_eq!(gateway.node.puts(), 0);
}

#[tokio::test]
async fn what_the_node_refuses_has_a_status_and_a_code() {
    let gateway = Gateway::start().await;
    let cases = [
        (OpError::Timeout, 504, "timeout"),
        (OpError::Quorum { got: 1, want: 2 }, 503, "quorum"),
        (OpError::OverCapacity, 507, "over_capacity"),
        (OpError::Busy, 503, "busy"),
        (OpError::NotJoined, 503, "not_joined"),
        (OpError::Halted(Halt::DiskFull), 503, "halted"),
        (OpError::ClockSkew, 503, "clock_skew"),
        (OpError::TooLarge { bytes: 2, max: 1 }, 413, "too_large"),
        (OpError::BadTtl { max_secs: 5 }, 422, "bad_ttl"),
        (OpError::Expired, 422, "expired"),
        (OpError::Outlived { expires: keyway_core::Wall(5_000) }, 409, "outlived"),
    ];
    for (why, code, word) in cases {
        gateway.node.fail(Some(why));
        let (got, refusal) = gateway.ask_json("PUT", "/v1/keys/k?ttl=9", b"v").await;
        assert_eq!((got, refusal["error"]["code"].as_str()), (code, Some(word)));
        assert!(refusal["error"]["hint"].is_string(), "{word} has no hint");
    }
    gateway.node.fail(None);
    let (code, refusal) = gateway.ask_json("PUT", "/v1/keys/k?ttl=604801", b"v").await;
    assert_eq!((code, refusal["error"]["code"].as_str()), (422, Some("bad_ttl")));
    assert_eq!(gateway.ask_json("PUT", "/v1/keys/k?ttl=0", b"v").await.0, 422);
}

#[tokio::test]
async fn a_value_of_the_greatest_length_is_taken_and_one_byte_more_is_not() {
    let gateway = Gateway::start().await;
    let mut value = vec![0xa5; 64 << 10];
    assert_eq!(gateway.ask_json("PUT", "/v1/keys/big", &value).await.0, 201);
    let (code, page) = gateway.ask_json("GET", "/v1/keys/big", b"").await;
    assert_eq!((code, page["values"][0]["text"].is_null()), (200, true));
    value.push(0);
    let (code, refusal) = gateway.ask_json("PUT", "/v1/keys/big", &value).await;
    assert_eq!((code, refusal["error"]["code"].as_str()), (413, Some("too_large")));
    assert_eq!(gateway.node.puts(), 1);
}

#[tokio::test]
async fn readiness_names_its_reasons() {
    let gateway = Gateway::start().await;
    let (code, ready) = gateway.ask_json("GET", "/readyz", b"").await;
    assert_eq!((code, ready["ready"].as_bool()), (200, Some(true)));
    assert!(ready.get("checks").is_none());
    let (_, verbose) = gateway.ask_json("GET", "/readyz?verbose", b"").await;
    assert_eq!(verbose["checks"].as_array().map(Vec::len), Some(4));

    type Change = fn(&mut keyway_core::machine::NodeStatus);
    let changes: [(Change, &str); 6] = [
        (|s| s.isolated = true, "isolated"),
        (|s| s.halt = Some(Halt::DiskFull), "disk is full"),
        (|s| s.phase = Phase::Joining, "looking for a member"),
        (|s| s.phase = Phase::Leaving, "leaving"),
        (|s| s.shares = (3, 1), "1 of the 3"),
        (|s| s.refused = Some("version 9".into()), "version 9"),
    ];
    for (change, word) in changes {
        let gateway = Gateway::start().await;
        gateway.node.say(|status| {
            change(status);
            if status.refused.is_some() {
                status.phase = Phase::Refused;
            }
        });
        let (code, ready) = gateway.ask_json("GET", "/readyz", b"").await;
        assert_eq!(code, 503, "{word}");
        let reasons = ready["reasons"].as_array().expect("reasons");
        assert!(
            reasons.iter().any(|reason| reason.as_str().is_some_and(|r| r.contains(word))),
            "{word}: {reasons:?}"
        );
    }

    gateway.node.go_deaf();
    let (code, ready) = gateway.ask_json("GET", "/readyz", b"").await;
    assert_eq!((code, ready["ready"].as_bool()), (503, Some(false)));
    assert_eq!(gateway.ask("GET", "/livez", b"").await.0, 200);
}

#[tokio::test]
async fn state_peers_and_whereabouts_are_told() {
    let gateway = Gateway::start().await;
    gateway.ask_json("PUT", "/v1/keys/k", b"v").await;
    let (_, node) = gateway.ask_json("GET", "/v1/node", b"").await;
    assert_eq!(node["phase"], "member");
    assert_eq!(node["network"], "000000000000feed");
    assert_eq!(node["counters"]["puts"], 1);
    let (_, peers) = gateway.ask_json("GET", "/v1/peers", b"").await;
    assert_eq!(peers["tables"][0]["peers"][0]["rtt_ms"], 1.5);
    let (_, places) = gateway.ask_json("GET", "/v1/keys/k/where", b"").await;
    assert_eq!(places["replicas"][0]["copies"][0]["kind"], "put");
    assert!(places["replicas"][1]["copies"].is_null());
}

#[tokio::test]
async fn a_lookup_is_told_question_by_question() {
    let gateway = Gateway::start().await;
    let (code, told) = gateway.ask_json("GET", "/v1/keys/k/trace", b"").await;
    assert_eq!(code, 200);
    assert_eq!(told["key"], Id::of_text("k").to_string());
    assert_eq!((&told["overlay"], &told["style"]), (&"fake".into(), &"iterative".into()));
    let steps = told["steps"].as_array().expect("a list");
    let said: Vec<_> = steps.iter().map(|step| step["answer"].as_str().expect("a word")).collect();
    assert_eq!(said, ["silent", "next", "root"]);
    assert!(steps[0]["rtt_ms"].is_null());
    assert_eq!(steps[1]["rtt_ms"], 1.5);
    assert_eq!(steps[2]["named"].as_array().map(Vec::len), Some(2));
    assert_eq!(told["replicas"][0]["id"], peer(1).id().to_string());
    assert_eq!(gateway.ask("GET", "/v1/ids/xyz/trace", b"").await.0, 400);
}

#[tokio::test]
async fn the_network_is_told_node_by_node() {
    let gateway = Gateway::start().await;
    gateway.ask_json("PUT", "/v1/keys/k", b"v").await;
    let (code, told) = gateway.ask_json("GET", "/v1/network", b"").await;
    assert_eq!((code, &told["complete"]), (200, &true.into()));
    assert_eq!((&told["nodes"][0]["records"], &told["nodes"][0]["answered"]), (&1.into(), &true.into()));
    assert_eq!(told["nodes"][1]["answered"], false);
    assert!(told["nodes"][1]["records"].is_null());
    let (_, told) = gateway.ask_json("GET", "/v1/network?max=1", b"").await;
    assert_eq!(told["complete"], false);
    assert_eq!(gateway.ask("GET", "/v1/network?max=0", b"").await.0, 400);
}

#[tokio::test]
async fn a_node_lists_what_it_holds_page_by_page() {
    let gateway = Gateway::start().await;
    for key in ["a", "b", "c", "d", "e"] {
        gateway.ask_json("PUT", &format!("/v1/keys/{key}"), key.as_bytes()).await;
    }
    let (mut keys, mut path) = (Vec::new(), "/v1/node/records?max=2".to_owned());
    for length in [2, 2, 1] {
        let (code, page) = gateway.ask_json("GET", &path, b"").await;
        assert_eq!(code, 200);
        let records = page["records"].as_array().expect("a list");
        assert_eq!(records.len(), length);
        assert_eq!(records[0]["value_bytes"], 1);
        keys.extend(records.iter().map(|r| r["key"].as_str().expect("an id").to_owned()));
        path = format!("/v1/node/records?max=2&after={}", page["next"].as_str().unwrap_or_default());
    }
    assert!(path.ends_with("after="), "the last page names no next one");
    let mut wanted: Vec<String> = ["a", "b", "c", "d", "e"].map(|k| Id::of_text(k).to_string()).into();
    wanted.sort();
    assert_eq!(keys, wanted);
    for wrong in ["max=0", "after=AAAA", "after=%21", "before=1"] {
        let (code, said) = gateway.ask_json("GET", &format!("/v1/node/records?{wrong}"), b"").await;
        assert_eq!((code, said["error"]["code"].as_str()), (400, Some("bad_request")), "{wrong}: {said}");
    }
}

#[tokio::test]
async fn metrics_are_openmetrics_with_one_end() {
    let gateway = Gateway::start().await;
    gateway.ask_json("PUT", "/v1/keys/k", b"v").await;
    let (code, text) = gateway.ask("GET", "/metrics", b"").await;
    assert_eq!(code, 200);
    for line in [
        "keyway_puts_total 1",
        "keyway_records 1",
        "keyway_node_up 1",
        "keyway_gateway_requests_total{interface=\"rest\",status=\"201\"} 1",
        "# TYPE keyway_lookups counter",
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} is missing in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    assert_eq!(text.matches("# EOF").count(), 1);
    // In less time than who collects them gives: ten seconds are usual.
    gateway.node.go_deaf();
    let began = std::time::Instant::now();
    assert!(gateway.ask("GET", "/metrics", b"").await.1.contains("keyway_node_up 0"));
    assert!(began.elapsed() < std::time::Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test]
async fn the_front_page_says_where_things_are() {
    let gateway = Gateway::start().await;
    let (code, text) = gateway.ask("GET", "/", b"").await;
    assert_eq!(code, 200);
    assert!(text.starts_with("Keyway ") && text.contains("/v1/keys/{text}"));
}

#[tokio::test]
async fn browsers_get_the_console_and_all_that_it_loads_under_a_strict_policy() {
    let gateway = Gateway::start().await;
    let browse = async |path: &str| {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html,*/*\r\nConnection: close\r\n\r\n"
        );
        gateway.exchange(request.as_bytes()).await
    };
    let page = browse("/?key=colors").await;
    assert_eq!(status(&page), 200);
    assert!(body_of(&page).starts_with("<!doctype html>"));
    let has = |answer: &str, header: &str| head_of(answer).to_ascii_lowercase().contains(header);
    for header in ["x-content-type-options: nosniff", "content-type: text/html", "vary: accept"] {
        assert!(has(&page, header), "{header}: {}", head_of(&page));
    }
    assert!(has(&page, "content-security-policy: default-src 'none'; script-src 'self';"));
    for (path, kind) in [
        ("/assets/console.js", "text/javascript"),
        ("/assets/console.css", "text/css"),
        ("/assets/icon.svg", "image/svg+xml"),
    ] {
        let answer = browse(path).await;
        assert_eq!(status(&answer), 200, "{path}");
        assert!(has(&answer, &format!("content-type: {kind}")), "{path}: {}", head_of(&answer));
        assert!(has(&answer, "content-security-policy: default-src 'none'"), "{path}");
    }
    for path in ["/assets/none.js", "/assets/..%2fconsole.rs", "/assets/", "/assets/%ff"] {
        assert_eq!(status(&browse(path).await), 404, "{path}");
    }
}

#[tokio::test]
async fn an_operation_that_takes_too_long_is_a_timeout() {
    let mut config = keyway_gateway::GatewayConfig::default();
    config.limits.op_timeout = std::time::Duration::from_millis(50);
    let gateway = Gateway::with(config).await;
    gateway.node.go_deaf();
    let (code, refusal) = gateway.ask_json("GET", "/v1/keys/k", b"").await;
    assert_eq!((code, refusal["error"]["code"].as_str()), (504, Some("timeout")));
}

#[tokio::test]
async fn without_a_socket_one_gateway_answers_all_requests_and_remembers() {
    let node = support::FakeNode::default();
    let gateway = keyway_gateway::Rest::new(node.clone(), keyway_gateway::GatewayConfig::default());
    let here = std::net::Ipv4Addr::LOCALHOST.into();
    for _ in 0..2 {
        let put = http::Request::builder()
            .method("PUT")
            .uri("/v1/keys/colors")
            .header("content-length", 3)
            .header("idempotency-key", "once");
        let answer = gateway.answer(here, put.body(b"red".to_vec()).expect("a request")).await;
        assert_eq!(answer.status(), 201);
    }
    assert_eq!(node.puts(), 1, "the second is a repetition of the first");
}
