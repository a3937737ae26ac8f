//! The fuzz corpus of the XML-RPC reader as a plain test: each file through the body of its fuzz target.
//!
//! Most files are seeds that this file writes (`cargo xtask corpus`): requests of real clients, and XML that is dangerous.
//! The rest are findings, named after their bug.

use std::path::{Path, PathBuf};

#[allow(unreachable_pub, reason = "public in the fuzz crate")]
#[path = "../../../fuzz/src/xmlrpc_reader.rs"]
mod xmlrpc_reader;

/// Whether the seeds are to be written again.
fn updating() -> bool {
    std::env::var_os("UPDATE").is_some()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/xmlrpc_reader")
}

#[test]
fn requests_of_the_corpus() {
    if updating() {
        return;
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .expect("the corpus is committed")
        .map(|entry| entry.expect("the corpus can be listed").path())
        .collect();
    files.sort();
    assert!(files.len() >= SEEDS.len());
    for file in files {
        println!("{}", file.display());
        xmlrpc_reader::run(&std::fs::read(&file).expect("a corpus file can be read"));
    }
}

#[test]
fn the_seeds_are_current() {
    for (name, text) in SEEDS {
        let path = folder().join(name);
        if updating() {
            std::fs::create_dir_all(folder()).expect("the folder can be made");
            std::fs::write(&path, text).expect("the seed can be written");
        } else {
            let committed =
                std::fs::read_to_string(&path).expect("the seed is committed: cargo xtask corpus");
            assert!(committed == *text, "{} is old: cargo xtask corpus", path.display());
        }
    }
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
