//! XML-RPC row by row: each method's exact bytes, each limit, each quirk, as the tables of `opendht` sections 1.2 to 1.6 list
//! them, and what section 8 left to be decided.

mod support;

use std::time::Duration;

use keyway_core::store::{ClientId, Kind, Proof, Record};
use keyway_core::{Duration as Span, Id, Wall};
use keyway_gateway::{GatewayConfig, LegacyLimits};
use support::{Gateway, body_of, head_of};

const PROLOG: &str = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>";
const TTL: &str = "<int>3600</int>";
const APP: &str = "test";

/// `colors`, `red`, the SHA-1 of `red`.
const COLORS: &str = "<base64>Y29sb3Jz</base64>";
const RED: &str = "<base64>cmVk</base64>";
const RED_HASH: &str = "<base64>eJiAELiQzm9NITZIHzknh+xtYQY=</base64>";

fn base64(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("<base64>");
    for group in bytes.chunks(3) {
        let number = group.iter().fold(0u32, |n, byte| n << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for at in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * at) & 63) as usize];
            let _ = write!(text, "{}", if at <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text + "</base64>"
}

fn secret_hash(secret: &[u8]) -> String {
    base64(&Id::sha1(secret).0)
}

fn call(method: &str, params: &[&str]) -> String {
    let params: String = params.iter().map(|p| format!("<param><value>{p}</value></param>")).collect();
    format!(
        "<?xml version=\"1.0\"?><methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>"
    )
}

/// The whole answer to a call.
async fn post(gateway: &Gateway, body: &str) -> String {
    let head = format!("POST / HTTP/1.0\r\nContent-Type: text/xml\r\nContent-length: {}\r\n\r\n", body.len());
    gateway.exchange(format!("{head}{body}").as_bytes()).await
}

/// What stands between the reply's `param` elements; of a fault its text.
async fn ask(gateway: &Gateway, method: &str, params: &[&str]) -> String {
    let answer = post(gateway, &call(method, params)).await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    let body = body_of(&answer).strip_prefix(PROLOG).expect("a prolog");
    let inside = |open: &str, close: &str| Some(body.strip_prefix(open)?.strip_suffix(close)?.to_owned());
    inside("<methodResponse><params><param>", "</param></params></methodResponse>")
        .or_else(|| {
            inside(
                "<methodResponse><fault><value><struct><member><name>faultString</name><value>java.lang.Exception: ",
                "</value></member><member><name>faultCode</name><value><int>0</int></value></member></struct></value></fault></methodResponse>",
            )
        })
        .unwrap_or_else(|| panic!("not a reply of 2005: {answer}"))
}

const OK: &str = "<value><int>0</int></value>";

async fn put(gateway: &Gateway, value: &[u8]) {
    assert_eq!(ask(gateway, "put", &[COLORS, &base64(value), TTL, APP]).await, OK);
}

async fn put_removable(gateway: &Gateway, value: &[u8], secret: &[u8]) -> String {
    ask(gateway, "put_removable", &[COLORS, &base64(value), "SHA", &secret_hash(secret), TTL, APP]).await
}

async fn rm(gateway: &Gateway, value: &[u8], secret: &[u8]) -> String {
    ask(gateway, "rm", &[COLORS, &secret_hash(value), "SHA", &base64(secret), TTL, APP]).await
}

/// The values under `colors`, in their order.
async fn colors(gateway: &Gateway) -> Vec<String> {
    let page = ask(gateway, "get", &[COLORS, "<int>100</int>", "<base64/>", APP]).await;
    let mut words: Vec<String> = page
        .split("<base64>")
        .skip(1)
        .map(|word| word.split("</base64>").next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(words.pop().as_deref(), Some(""), "one page");
    words
}

fn here() -> ClientId {
    ClientId::of_address("127.0.0.1".parse().expect("an address"))
}

/// Every header and every byte of the body, for each of the five methods.
#[tokio::test]
async fn each_method_answers_to_the_byte() {
    let gateway = Gateway::start().await;
    let int = |code: u8| {
        format!(
            "<methodResponse><params><param><value><int>{code}</int></value></param></params></methodResponse>"
        )
    };
    let page = |values: &str| {
        format!(
            "<methodResponse><params><param><value><array><data><value><array><data>{values}</data></array></value>\
             <value><base64></base64></value></data></array></value></param></params></methodResponse>"
        )
    };
    let guarded = secret_hash(b"sesame");
    let zeros = "<base64>AAAAAAAAAAAAAAAAAAAAAAAAAAA=</base64>";
    let get = [COLORS, "<int>10</int>", "<base64></base64>", APP];
    let steps = [
        (call("get", &get), page("")),
        (call("get_details", &get), page("")),
        (call("put", &[COLORS, RED, TTL, APP]), int(0)),
        (call("put_removable", &[COLORS, "<base64>Ymx1ZQ==</base64>", "SHA", &guarded, TTL, APP]), int(0)),
        (
            call("get", &get),
            page("<value><base64>cmVk</base64></value><value><base64>Ymx1ZQ==</base64></value>"),
        ),
        (
            call("get_details", &get),
            page(&format!(
                "<value><array><data><value><base64>cmVk</base64></value><value><int>3600</int></value><value>SHA</value>\
                 <value>{zeros}</value></data></array></value><value><array><data><value><base64>Ymx1ZQ==</base64></value>\
                 <value><int>3600</int></value><value>SHA</value><value>{guarded}</value></data></array></value>"
            )),
        ),
        (call("rm", &[COLORS, &secret_hash(b"blue"), "SHA", &base64(b"sesame"), TTL, APP]), int(0)),
        (call("get", &get), page("<value><base64>cmVk</base64></value>")),
    ];
    for (request, reply) in steps {
        let answer = post(&gateway, &request).await;
        assert_eq!(body_of(&answer), format!("{PROLOG}{reply}"), "{request}");
        let mut headers: Vec<&str> = head_of(&answer).split("\r\n").collect();
        headers.retain(|header| !header.starts_with("Date: "));
        headers.sort_unstable();
        let length = format!("Content-Length: {}", body_of(&answer).len());
        let wanted =
            ["Connection: close", &length, "Content-Type: text/xml", "HTTP/1.0 200 OK", "Server: bamboo"];
        assert_eq!(headers, wanted);
    }
}

/// The session of the user's guide: put red; put blue, removable; get; rm; get.
#[tokio::test]
async fn the_session_of_the_users_guide() {
    let gateway = Gateway::start().await;
    put(&gateway, b"red").await;
    assert_eq!(put_removable(&gateway, b"blue", b"sesame").await, OK);
    assert_eq!(colors(&gateway).await, ["cmVk", "Ymx1ZQ=="]);
    assert_eq!(rm(&gateway, b"blue", b"sesame").await, OK);
    assert_eq!(colors(&gateway).await, ["cmVk"]);
}

/// Section 1.6: what a remove does and what it does not do, and that all of it succeeds.
#[tokio::test]
async fn a_remove_beats_its_put_and_nothing_else() {
    let gateway = Gateway::start().await;
    assert_eq!(put_removable(&gateway, b"red", b"one").await, OK);
    assert_eq!(put_removable(&gateway, b"red", b"two").await, OK);
    assert_eq!(colors(&gateway).await, ["cmVk", "cmVk"], "two secrets, two items");
    assert_eq!(rm(&gateway, b"red", b"wrong").await, OK, "a wrong secret succeeds");
    assert_eq!(colors(&gateway).await.len(), 2, "and removes nothing");
    assert_eq!(rm(&gateway, b"red", b"one").await, OK);
    assert_eq!(colors(&gateway).await, ["cmVk"], "the other item stands");
    assert_eq!(put_removable(&gateway, b"red", b"one").await, OK, "a put that a remove hides succeeds");
    assert_eq!(colors(&gateway).await.len(), 1, "and stays hidden");
    assert_eq!(put_removable(&gateway, b"red", b"three").await, OK);
    assert_eq!(colors(&gateway).await.len(), 2, "under a new secret it is new");

    assert_eq!(rm(&gateway, b"never seen", b"s").await, OK);
    assert_eq!(put_removable(&gateway, b"never seen", b"s").await, OK);
    assert_eq!(colors(&gateway).await.len(), 2, "a remove comes before its put, too");
    assert_eq!(rm(&gateway, b"red", b"").await, OK, "an empty secret is one like others");

    put(&gateway, b"plain").await;
    assert_eq!(rm(&gateway, b"plain", b"").await, OK);
    assert_eq!(rm(&gateway, b"plain", &[0; 20]).await, OK);
    assert_eq!(colors(&gateway).await.len(), 3, "what has no secret is not removed by any");
}

#[tokio::test]
async fn without_a_secret_hash_a_value_is_not_removable() {
    let gateway = Gateway::start().await;
    put(&gateway, b"red").await;
    for hash in ["<base64/>", "<base64></base64>", &base64(&[0; 20]), &base64(&[0])] {
        for name in ["", "SHA"] {
            let params = [COLORS, RED, name, hash, TTL, APP];
            assert_eq!(ask(&gateway, "put_removable", &params).await, OK);
        }
    }
    assert_eq!(colors(&gateway).await, ["cmVk"], "all of them are one");
}

#[tokio::test]
async fn sha_1_has_four_names_and_no_other_algorithm_is_known() {
    let gateway = Gateway::start().await;
    let hash = secret_hash(b"sesame");
    for name in ["", "SHA", "SHA1", "SHA-1", "sha", "Sha-1", "\n SHA ", "<string>SHA</string>", "<string/>"] {
        assert_eq!(ask(&gateway, "put_removable", &[COLORS, RED, name, &hash, TTL, APP]).await, OK, "{name}");
        let secret = base64(b"sesame");
        assert_eq!(ask(&gateway, "rm", &[COLORS, RED_HASH, name, &secret, TTL, APP]).await, OK, "{name}");
    }
    for (name, told) in [("MD5", "MD5"), ("SHA-256", "SHA-256"), ("a&lt;b", "a&lt;b")] {
        let fault = format!("unknown secret hash algorithm: \"{told}\"");
        let hashes = [hash.as_str(), "<base64/>"];
        for hash in hashes {
            assert_eq!(ask(&gateway, "put_removable", &[COLORS, RED, name, hash, TTL, APP]).await, fault);
        }
        assert_eq!(ask(&gateway, "rm", &[COLORS, RED_HASH, name, RED, TTL, APP]).await, fault);
    }
}

/// Section 1.2: what is longer than it may be, method by method, and the longest that is taken.
#[tokio::test]
async fn limits_of_each_argument() {
    let gateway = Gateway::start().await;
    let long = |bytes: usize| base64(&vec![b'x'; bytes]);
    let (key, value, hash, secret) = (long(21), long(1025), long(21), long(41));
    let cases: &[(&str, &[&str], &str)] = &[
        ("put", &[&key, RED, TTL, APP], "key is longer than 20 bytes"),
        ("put", &["<base64/>", RED, TTL, APP], "key is empty"),
        ("put", &[COLORS, &value, TTL, APP], "value is longer than 1024 bytes"),
        ("put", &[COLORS, RED, "<int>0</int>", APP], "ttl_sec is less than 1"),
        ("put", &[COLORS, RED, "<int>-2147483648</int>", APP], "ttl_sec is less than 1"),
        ("put_removable", &[&key, RED, "SHA", RED_HASH, TTL, APP], "key is longer than 20 bytes"),
        ("put_removable", &[COLORS, &value, "SHA", RED_HASH, TTL, APP], "value is longer than 1024 bytes"),
        ("put_removable", &[COLORS, RED, "SHA", &hash, TTL, APP], "secret hash is longer than 20 bytes"),
        ("put_removable", &[COLORS, RED, "SHA", RED_HASH, "<int>0</int>", APP], "ttl_sec is less than 1"),
        ("rm", &[&key, RED_HASH, "SHA", RED, TTL, APP], "key is longer than 20 bytes"),
        ("rm", &[COLORS, &hash, "SHA", RED, TTL, APP], "value_hash is longer than 20 bytes"),
        ("rm", &[COLORS, "<base64/>", "SHA", RED, TTL, APP], "value_hash is empty"),
        ("rm", &[COLORS, RED_HASH, "SHA", &secret, TTL, APP], "secret is longer than 40 bytes"),
        ("rm", &[COLORS, RED_HASH, "SHA", RED, "<int>-1</int>", APP], "ttl_sec is less than 1"),
        ("get", &[&key, TTL, "<base64/>", APP], "key is longer than 20 bytes"),
        ("get_details", &["<base64/>", TTL, "<base64/>", APP], "key is empty"),
    ];
    for (method, params, fault) in cases {
        assert_eq!(ask(&gateway, method, params).await, *fault, "{method} {params:?}");
    }
    assert_eq!(gateway.node.puts(), 0, "nothing of this reached the node");

    let (key, value, secret) = (long(20), long(1024), long(40));
    assert_eq!(ask(&gateway, "put", &[&key, &value, "<int>2147483647</int>", APP]).await, OK);
    assert_eq!(ask(&gateway, "put", &[COLORS, "<base64/>", TTL, APP]).await, OK, "an empty value is a value");
    assert_eq!(
        ask(&gateway, "rm", &[&key, RED_HASH, "SHA", &secret, "<int>2147483647</int>", APP]).await,
        OK
    );
    let lives: Vec<u64> = gateway.node.held(Id([b'x'; 20])).iter().map(|head| head.ttl.as_secs()).collect();
    assert_eq!(lives, [604_800, 604_800], "a week, whatever was asked");
}

#[tokio::test]
async fn a_short_key_is_a_number_and_so_is_a_short_hash() {
    let gateway = Gateway::start().await;
    put(&gateway, b"red").await;
    let padded = [&[0; 14][..], b"colors"].concat();
    let page = ask(&gateway, "get", &[&base64(&padded), "<int>1</int>", "<base64/>", APP]).await;
    assert!(page.contains("cmVk"), "{page}");
    // HIPL's keys have 16 bytes.
    assert_eq!(ask(&gateway, "put", &[&base64(&[7; 16]), RED, TTL, APP]).await, OK);
    assert_eq!(ask(&gateway, "put_removable", &[COLORS, RED, "SHA", &base64(&[9]), TTL, APP]).await, OK);
    let hashes: Vec<Id> = gateway
        .node
        .held(Id::from_bytes_padded(b"colors").expect("a key"))
        .iter()
        .map(|h| h.identity.secret_hash)
        .collect();
    assert_eq!(hashes, [Id::ZERO, Id::from_u64(9)]);
}

#[tokio::test]
async fn maxvals_counts_by_its_low_bits_and_placemarks_are_ours() {
    let gateway = Gateway::start().await;
    for value in [b"a", b"b", b"c"] {
        put(&gateway, value).await;
    }
    for (maxvals, count) in
        [("2", 2), ("65538", 2), ("-65534", 2), ("65535", 3), ("-1", 3), ("2147483647", 3)]
    {
        for method in ["get", "get_details"] {
            let page =
                ask(&gateway, method, &[COLORS, &format!("<int>{maxvals}</int>"), "<base64/>", APP]).await;
            let found = ["<base64>YQ==<", "<base64>Yg==<", "<base64>Yw==<"]
                .iter()
                .filter(|v| page.contains(**v))
                .count();
            assert_eq!(found, count, "{method} {maxvals}: {page}");
        }
    }
    for maxvals in ["0", "65536", "-65536", "-2147483648"] {
        let params = [COLORS, &format!("<int>{maxvals}</int>"), "<base64/>", APP];
        assert_eq!(ask(&gateway, "get", &params).await, "maxvals is zero in its low 16 bits");
    }
    for (bytes, fault) in [
        (1, "placemark is not one of this gateway's"),
        (57, "placemark is not one of this gateway's"),
        (77, "placemark is not one of this gateway's"),
        (78, "placemark is longer than 77 bytes"),
        (101, "placemark is longer than 77 bytes"),
    ] {
        let params = [COLORS, "<int>1</int>", &base64(&vec![1; bytes]), APP];
        assert_eq!(ask(&gateway, "get_details", &params).await, fault, "{bytes}");
    }
}

/// One value of 1,024 bytes is a page, and 23 of six bytes are; `get_details` ends its pages where `get` does.
#[tokio::test]
async fn pages_cost_their_values_and_39_bytes_each() {
    let gateway = Gateway::start().await;
    for n in 0..24 {
        put(&gateway, format!("{n:06}").as_bytes()).await;
    }
    let full = base64(&[b'f'; 20]);
    for fill in [b'x', b'y'] {
        assert_eq!(ask(&gateway, "put", &[&full, &base64(&[fill; 1024]), TTL, APP]).await, OK);
    }
    for (key, method, count) in
        [(COLORS, "get", 23), (COLORS, "get_details", 23), (&full, "get", 1), (&full, "get_details", 1)]
    {
        let page = ask(&gateway, method, &[key, "<int>100</int>", "<base64/>", APP]).await;
        let per_value = if method == "get" { 1 } else { 2 };
        let found = (page.matches("<base64>").count() - 1) / per_value;
        assert_eq!(found, count, "{method} {key}");
        let placemark =
            page.rsplit("<base64>").next().and_then(|rest| rest.split('<').next()).unwrap_or_default();
        assert!(!placemark.is_empty() && placemark.len() <= 136, "at most 100 bytes: {placemark}");
        let placemark = format!("<base64>{placemark}</base64>");
        let page = ask(&gateway, method, &[key, "<int>100</int>", &placemark, APP]).await;
        assert_eq!((page.matches("<base64>").count() - 1) / per_value, 1, "{method} {key}: the last one");
        assert!(page.ends_with("<value><base64></base64></value></data></array></value>"), "{page}");
    }
}

/// What 2005 did not know stands under a key, too: it is a value, and no secret removes it.
#[tokio::test]
async fn values_of_other_kinds_are_values() {
    let gateway = Gateway::start().await;
    let (put_time, ttl) = (Wall(1_700_000_000_000_000), Span::from_secs(60));
    let immutable = Record::immutable(b"cast".to_vec(), put_time, ttl, 1);
    let key = immutable.head.identity.key;
    gateway.node.hold(immutable);
    let proof =
        Proof { public_key: [1; 32], nonce: [2; 32], expires_secs: 1_700_000_090, signature: [3; 64] };
    let signed = Record::signed(Kind::Signed, key, b"signed", 0, &proof, put_time, 1).expect("a record");
    gateway.node.hold(signed);
    let key = base64(&key.0);
    let get = [key.as_str(), "<int>9</int>", "<base64/>", APP];
    let values = ask(&gateway, "get", &get).await;
    assert!(
        values.contains("<value><base64>Y2FzdA==</base64></value><value><base64>c2lnbmVk</base64></value>"),
        "{values}"
    );
    let details = ask(&gateway, "get_details", &get).await;
    let told = "<value><base64>Y2FzdA==</base64></value><value><int>60</int></value><value>SHA</value>\
                <value><base64>AAAAAAAAAAAAAAAAAAAAAAAAAAA=</base64></value>";
    assert!(details.contains(told), "{details}");
    let told = "<value><base64>c2lnbmVk</base64></value><value><int>90</int></value><value></value><value><base64></base64></value>";
    assert!(details.contains(told), "{details}");
    assert_eq!(ask(&gateway, "rm", &[&key, &secret_hash(b"signed"), "SHA", RED, TTL, APP]).await, OK);
    assert!(ask(&gateway, "get", &get).await.contains("c2lnbmVk"), "a secret removes it not");
}

#[tokio::test]
async fn arguments_in_another_order_are_faults_and_the_application_is_anything() {
    let gateway = Gateway::start().await;
    let hash = secret_hash(b"s");
    let cases: &[(&str, &[&str])] = &[
        ("put", &[COLORS, RED, TTL]),
        ("put", &[COLORS, RED, TTL, APP, APP]),
        ("put", &[COLORS, RED, APP, TTL]),
        ("put", &["colors", RED, TTL, APP]),
        ("put_removable", &[COLORS, RED, &hash, "SHA", TTL, APP]),
        ("put_removable", &[COLORS, RED, TTL, APP]),
        // As the guide's prose has it, and no program: the ttl before the secret.
        ("rm", &[COLORS, RED_HASH, "SHA", TTL, RED, APP]),
        ("rm", &[COLORS, RED_HASH, RED, TTL, APP]),
        ("get", &[COLORS, "<base64/>", TTL, APP]),
        ("get_details", &[COLORS, TTL]),
        ("get", &[]),
    ];
    for (method, params) in cases {
        let fault = ask(&gateway, method, params).await;
        assert!(fault.starts_with(&format!("{method} takes key base64, ")), "{method} {params:?}: {fault}");
    }
    for application in ["", "<int>3</int>", "<base64>eA==</base64>", "<nil/>", "<string>caf&#233;</string>"] {
        assert_eq!(ask(&gateway, "put", &[COLORS, RED, TTL, application]).await, OK, "{application}");
    }
    for unknown in ["PUT", "system.listMethods", "put ", "a&lt;b"] {
        let fault = ask(&gateway, unknown, &[]).await;
        if unknown == "put " {
            assert!(fault.starts_with("put takes"), "blanks around a name are none of it");
        } else {
            assert_eq!(fault, format!("no such handler: {unknown}"));
        }
    }
}

#[tokio::test]
async fn puts_and_removes_are_charged_to_the_address_that_speaks() {
    let gateway = Gateway::start().await;
    put(&gateway, b"red").await;
    assert_eq!(put_removable(&gateway, b"blue", b"s").await, OK);
    assert_eq!(rm(&gateway, b"green", b"s").await, OK);
    let held = gateway.node.held(Id::from_bytes_padded(b"colors").expect("a key"));
    assert_eq!(held.len(), 3);
    assert!(held.iter().all(|head| head.client == here()), "{held:?}");
}

#[tokio::test]
async fn the_limits_are_settings() {
    let legacy = LegacyLimits {
        value_bytes_max: 100_000,
        ttl_max: Duration::from_secs(60),
        page_bytes: 100,
        value_overhead_bytes: 0,
    };
    let gateway =
        Gateway::with(GatewayConfig { legacy, value_bytes_max: 100_000, ..GatewayConfig::default() }).await;
    // The fake node takes 64 KiB.
    assert_eq!(ask(&gateway, "put", &[COLORS, &base64(&[b'v'; 65_536]), TTL, APP]).await, OK);
    let fault = "value is longer than 65536 bytes";
    assert_eq!(ask(&gateway, "put", &[COLORS, &base64(&[b'v'; 65_537]), TTL, APP]).await, fault);
    let fault = "value is longer than 100000 bytes";
    assert_eq!(ask(&gateway, "put", &[COLORS, &base64(&[b'v'; 100_001]), TTL, APP]).await, fault);
    let held = gateway.node.held(Id::from_bytes_padded(b"colors").expect("a key"));
    assert_eq!(held[0].ttl, Span::from_secs(60));
    let key = base64(b"k");
    for n in 0..11u8 {
        assert_eq!(ask(&gateway, "put", &[&key, &base64(&[n; 10]), TTL, APP]).await, OK);
    }
    let page = ask(&gateway, "get", &[&key, "<int>99</int>", "<base64/>", APP]).await;
    assert_eq!(page.matches("<base64>").count(), 11, "ten values and a placemark");
}

/// The list that `find-gateway.py`, HIPL and Seattle read, each in its own way.
#[tokio::test]
async fn the_list_of_gateways_is_read_by_all_three_parsers() {
    let gateway = Gateway::start().await;
    let (ip, port) = (gateway.addr.ip().to_string(), gateway.addr.port().to_string());
    let answer = gateway.exchange(b"GET /servers.txt HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.contains("text/plain"), "{answer}");
    let list = body_of(&answer);
    // Seattle: one line is thrown away, of each other one the third word is a name to resolve.
    let names: Vec<&str> =
        list.lines().skip(1).map(|line| line.split_whitespace().nth(2).expect("a name")).collect();
    assert_eq!(names, [ip.as_str()]);
    // A shell: lines with UTC are left out; fields between tabs and colons.
    let fields: Vec<Vec<&str>> = list
        .lines()
        .filter(|line| !line.contains("UTC"))
        .map(|line| line.split(['\t', ':']).collect())
        .collect();
    assert_eq!(fields, [["0", "", ip.as_str(), port.as_str(), ip.as_str()]]);
    // Ruby: a line, then of each the field after the first tab up to a colon.
    let addresses: Vec<&str> = list
        .lines()
        .skip(1)
        .map(|line| line.split('\t').nth(1).expect("an address").split(':').next().expect("one"))
        .collect();
    assert_eq!(addresses, [ip.as_str()]);

    let request = format!("GET /servers.txt HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
    let answer = gateway.exchange(request.as_bytes()).await;
    assert!(body_of(&answer).ends_with(&format!("\n0:\t{ip}:{port}\tlocalhost\n")), "{answer}");
}

/// HTTP as old programs speak it: any path, no type, odd spellings, bodies that come in pieces or not at all.
#[tokio::test]
async fn requests_of_old_programs() {
    let gateway = Gateway::start().await;
    let body = call("put", &[COLORS, RED, TTL, APP]);
    let length = body.len();
    for head in [
        format!("POST / HTTP/1.0\nContent-length: {length}\n\n"),
        format!("POST /RPC2 HTTP/1.0\r\ncontent-LENGTH:{length}\r\n\r\n"),
        format!("POST /any/path HTTP/1.0\r\nContent-Length: {length}\r\n\r\n"),
        format!(
            "POST / HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n"
        ),
        format!(
            "POST / HTTP/1.0\r\nHost: {}\r\nUser-Agent: hipl\r\nContent-Type: text/xml; charset=utf8\r\nContent-Length: {length}\r\n\r\n",
            gateway.addr
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nTE: deflate\r\nConnection: TE, close\r\nContent-Length: {length}\r\n\r\n"
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: Keep-Alive\r\nKeep-Alive: 300\r\nContent-Length: {length}\r\n\r\n"
        ),
    ] {
        let answer = gateway.exchange(format!("{head}{body}").as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.contains("\r\nConnection: close\r\n"),
            "{head}{answer}"
        );
        assert!(
            body_of(&answer).ends_with("<value><int>0</int></value></param></params></methodResponse>"),
            "{head}{answer}"
        );
    }
    // More was promised than came.
    let mut socket = gateway.connect().await;
    let promised = format!("POST / HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", length + 1);
    tokio::io::AsyncWriteExt::write_all(&mut socket, promised.as_bytes()).await.expect("sent");
    tokio::io::AsyncWriteExt::shutdown(&mut socket).await.expect("closed");
    assert_eq!(support::read_to_end(&mut socket).await, "");
}

/// A million levels of nesting, and other ways to make a reader of XML work: refused, and others are served.
#[tokio::test]
async fn bombs_are_refused() {
    let gateway = Gateway::start().await;
    let nested = "<a>".repeat(1_000_000);
    let answer = post(&gateway, &nested).await;
    assert!(answer.is_empty() || support::status(&answer) == 413, "{answer}");
    let values = |text: &str| format!("<methodCall><methodName>put</methodName><params><param>{text}");
    for bomb in [
        values(&"<value><array><data>".repeat(5_000)),
        values(&"<value/>".repeat(12_000)),
        "<".repeat(100_000),
        format!("<!DOCTYPE m [{}]><methodCall/>", "<!ENTITY a \"&b;&b;\">".repeat(3_000)),
        "<!DOCTYPE m SYSTEM \"file:///etc/passwd\"><methodCall><methodName>&m;</methodName></methodCall>"
            .to_owned(),
        format!("<methodCall {}/>", "a='1' ".repeat(15_000)),
    ] {
        assert_eq!(post(&gateway, &bomb).await, "", "{}", &bomb[..60]);
    }
    put(&gateway, b"red").await;
}
