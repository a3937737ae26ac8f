//! The fuzz corpora of the XML-RPC reader, of REST and of Sun RPC as plain tests: each file through the body of its fuzz target.
//!
//! Most files are seeds that this file writes (`cargo xtask corpus`): requests of real clients, XML that is dangerous, calls
//! and what is almost one. The rest are findings, named after their bug.

use std::path::{Path, PathBuf};

#[allow(unreachable_pub, reason = "public in the fuzz crate")]
#[path = "../../../fuzz/src/xmlrpc_reader.rs"]
mod xmlrpc_reader;

#[allow(unreachable_pub, reason = "public in the fuzz crate")]
#[path = "../../../fuzz/src/rest_request.rs"]
mod rest_request;

#[allow(unreachable_pub, reason = "public in the fuzz crate")]
#[path = "../../../fuzz/src/sunrpc_record.rs"]
mod sunrpc_record;

mod support;

use keyway_core::Id;
use support::rpc::{call, call_of, get, put2, put3, record, remove};

/// Whether the seeds are to be written again.
fn updating() -> bool {
    std::env::var_os("UPDATE").is_some()
}

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

/// Runs the body of a target on each file of its corpus.
fn replay(target: &str, seeds: usize, run: fn(&[u8])) {
    if updating() {
        return;
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder(target))
        .expect("the corpus is committed")
        .map(|entry| entry.expect("the corpus can be listed").path())
        .collect();
    files.sort();
    assert!(files.len() >= seeds);
    for file in files {
        println!("{}", file.display());
        run(&std::fs::read(&file).expect("a corpus file can be read"));
    }
}

#[test]
fn requests_of_the_corpus() {
    replay("xmlrpc_reader", SEEDS.len(), xmlrpc_reader::run);
}

#[test]
fn streams_of_the_corpus() {
    replay("sunrpc_record", streams().len(), sunrpc_record::run);
}

#[test]
fn rest_requests_of_the_corpus() {
    replay("rest_request", rest_requests().len(), rest_request::run);
}

#[test]
fn the_seeds_are_current() {
    let texts = SEEDS.iter().map(|(name, text)| ("xmlrpc_reader", *name, text.as_bytes().to_vec()));
    let streams = streams().into_iter().map(|(name, stream)| ("sunrpc_record", name, stream));
    let requests = rest_requests().into_iter().map(|(name, request)| ("rest_request", name, request));
    for (target, name, bytes) in texts.chain(streams).chain(requests) {
        let path = folder(target).join(name);
        if updating() {
            std::fs::create_dir_all(folder(target)).expect("the folder can be made");
            std::fs::write(&path, bytes).expect("the seed can be written");
        } else {
            let committed = std::fs::read(&path).expect("the seed is committed: cargo xtask corpus");
            assert!(committed == bytes, "{} is old: cargo xtask corpus", path.display());
        }
    }
}

/// Streams of Sun RPC, each behind the length of the pieces in which it arrives.
fn streams() -> Vec<(&'static str, Vec<u8>)> {
    let key = Id::of_text("colors");
    let hash = (&b"SHA"[..], &[7; 20][..]);
    let calls = [
        ("null", call(1, 2, 1, b"")),
        ("put_2", call(2, 2, 2, &put2(&key, b"red", 3600))),
        ("get_2", call(3, 2, 3, &get(&key, 10, b""))),
        ("put_3", call(4, 3, 2, &put3(&key, b"red", hash, 3600))),
        ("get_3", call(5, 3, 3, &get(&key, i32::MAX, &[9; 56]))),
        ("remove_3", call(6, 3, 4, &remove(&key, hash, b"SHA1", b"sesame", 3600))),
        ("other_rpc", record(&call_of(7, 3, 708_655_600, 2, 0, b""))),
        ("other_program", record(&call_of(8, 2, 100_000, 2, 0, b""))),
    ];
    let fragments = [&[0, 0, 0, 3][..], b"abc", &[0, 0, 0, 0], &[0x80, 0, 0, 1], b"d"].concat();
    let all: Vec<u8> = calls.iter().flat_map(|(_, call)| call.clone()).collect();
    let more =
        [("pipelined", all), ("fragments", fragments), ("too_long", vec![0x7f; 8]), ("empty", vec![0; 64])];
    calls.into_iter().chain(more).map(|(name, stream)| (name, [&[13][..], &stream].concat())).collect()
}

/// Requests under `/v1`, as the target reads them: the method's number, path, query, which headers, body.
fn rest_requests() -> Vec<(&'static str, Vec<u8>)> {
    let cursor = format!("after={}A&max=7&reads=first", "a".repeat(74));
    let signed = format!(
        "{{\"kind\":\"sequenced\",\"value_base64\":\"cmVk\",\"seq\":1,\"cas\":0,\"public_key\":\"{0}\",\"nonce\":\"{0}\",\
         \"expires_unix_seconds\":2000000000,\"signature\":\"{0}{0}\"}}",
        "0f".repeat(32)
    );
    let puts = r#"{"puts":[{"key":"a","value":"red","ttl":60,"request_id":"x"},{"value_base64":"cmVk"}]}"#;
    let gets = r#"{"gets":[{"key":"a","max":1.0},{"id":"f8bd696759805b9098f9e13be67d2b248c7619d0"}],"reads":"first"}"#;
    let id = "ids/f8bd696759805b9098f9e13be67d2b248c7619d0";
    let requests = [
        ("get", 0, "keys/colors", cursor.as_str(), 0, ""),
        ("get_raw", 0, "keys/col%2Fors", "raw=true", 0, ""),
        ("put", 1, id, "ttl=60", 4, "red"),
        ("put_secret", 1, "keys/colors", "", 1, "cmVkYW5kZ3JlZW4="),
        ("put_guarded", 1, "keys/colors", "", 2, "f8bd696759805b9098f9e13be67d2b248c7619d0"),
        ("remove", 3, id, "value_hash=f8bd696759805b9098f9e13be67d2b248c7619d0&ttl=1", 0, ""),
        ("signed", 2, "keys/colors/signed", "", 0, signed.as_str()),
        ("immutable", 2, "immutable", "", 0, "red"),
        ("bulk_put", 2, "bulk/put", "", 0, puts),
        ("bulk_get", 2, "bulk/get", "", 0, gets),
        ("records", 0, "node/records", "max=2", 0, ""),
        ("token", 0, "node", "", 8, "Bearer kwt_a_00"),
    ];
    let bytes = |(name, method, path, query, headers, body): (&'static str, u8, &str, &str, u8, &str)| {
        let head = [
            &[method, path.len() as u8],
            path.as_bytes(),
            &[query.len() as u8],
            query.as_bytes(),
            &[headers],
        ];
        (name, [&head.concat(), body.as_bytes()].concat())
    };
    requests.into_iter().map(bytes).collect()
}

const SEEDS: &[(&str, &str)] = &[
    (
        "python_put.xml",
        "<?xml version='1.0'?>\n<methodCall>\n<methodName>put</methodName>\n<params>\n<param>\n<value><base64>\nnLJkrTfv\n</base64></value>\n</param>\n<param>\n<value><base64>\ncmVk\n</base64></value>\n</param>\n<param>\n<value><int>3600</int></value>\n</param>\n<param>\n<value><string>test</string></value>\n</param>\n</params>\n</methodCall>\n",
    ),
    (
        "perl_get.xml",
        "<?xml version=\"1.0\" encoding=\"utf8\"?>\n<methodCall>\n  <methodName> get </methodName>\n  <param><value><base64>nLJkrTfv</base64></value></param>\n  <param><value><int> 10 </int></value></param>\n  <param><value><base64/></value></param>\n  <param><value>Net::OpenDHT</value></param>\n  <params></params>\n</methodCall>\n",
    ),
    (
        "ruby_rm.xml",
        "<?xml version=\"1.0\" ?><methodCall><methodName>rm</methodName><params><param><value><base64>nLJkrTfv\n</base64></value></param><param><value><base64>eJiAELiQzm9NITZIHzknh+xtYQY=\n</base64></value></param><param><value><string>SHA</string></value></param><param><value><base64>c2VzYW1l\n</base64></value></param><param><value><i4>3600</i4></value></param><param><value><string>x</string></value></param></params></methodCall>",
    ),
    (
        "hip_get.xml",
        "<?xml version=\"1.0\"?><methodCall><methodName>get</methodName><params><param><value><base64>AAECAwQFBgcICQoLDA0ODw==</base64></value></param><param><value><i4>10</i4></value></param><param><value><base64></base64></value></param><param><value><string>hip&amp;hit</string></value></param></params></methodCall>",
    ),
    (
        "other_types.xml",
        "<methodCall><methodName>put</methodName><params><param><value><struct><member><name>a</name><value><array><data><value><double>1.5</double></value></data></array></value></member></struct></value></param><param><value><boolean>1</boolean></value></param><param><value><nil/></value></param><param><value><i8>-9223372036854775808</i8></value></param></params></methodCall>",
    ),
    (
        "bomb.xml",
        "<?xml version=\"1.0\"?><!DOCTYPE b [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><methodCall><methodName>&b;</methodName></methodCall>",
    ),
    (
        "references.xml",
        "<methodCall><methodName>g&#101;t</methodName><params><param><value>&lt;&#x10FFFF;&#0;&unknown;<![CDATA[<x>]]><!-- c --></value></param></params></methodCall>",
    ),
    (
        "deep.xml",
        "<methodCall><params><param><value><array><data><value><array><data><value><array><data><value><array><data><value><array><data><value><array><data><value><array><data><value><array><data><value>",
    ),
    ("cut.xml", "<methodCall><methodName>get</methodName><params><param><value><base64>nLJ"),
];
