//! A fresh start, as a stranger has it: `keyway up`, then the verbs, then CPython's XML-RPC client, on real processes.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use support::{Process, SOON, free_ports, keyway, keyway_with_input, noise, python};
use tempfile::TempDir;

/// The greatest value that is taken by default.
const VALUE_BYTES_MAX: usize = 64 << 10;
/// For `up` to leave: no hand-over, only files to close.
const LEAVE: Duration = Duration::from_secs(20);

/// A running `keyway up`.
struct Up {
    process: Process,
    gateways: Vec<String>,
    ports: u16,
}

impl Up {
    fn start(dir: &Path, nodes: u16, ports: u16, flags: &[&str]) -> Up {
        let mut command = support::command();
        command.args(["up", "-o", "json", "--nodes", &nodes.to_string(), "--base-port", &ports.to_string()]);
        command.arg("--data").arg(dir.join("data")).args(flags);
        let process = Process::start(&mut command, &dir.join("up.log"));
        let ready = process.event("ready");
        let nodes = ready["nodes"].as_array().expect("the nodes");
        let gateways = nodes.iter().map(|node| node["http"].as_str().expect("a URL").to_owned()).collect();
        Up { process, gateways, ports }
    }

    fn fresh(nodes: u16) -> (TempDir, Up) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let up = Up::start(dir.path(), nodes, free_ports(nodes, 10), &["--durability", "os"]);
        (dir, up)
    }

    /// A verb through node `at`'s gateway.
    fn run(&self, at: usize, args: &[&str]) -> support::Ran {
        self.run_with_input(at, args, b"")
    }

    fn run_with_input(&self, at: usize, args: &[&str], input: &[u8]) -> support::Ran {
        keyway_with_input(["--gateway", &self.gateways[at]].into_iter().chain(args.iter().copied()), input)
    }
}

#[test]
fn a_stranger_starts_it_uses_it_stops_it_and_finds_everything_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ports = free_ports(8, 10);
    let mut up = Up::start(dir.path(), 8, ports, &[]);
    assert_eq!(up.gateways.len(), 8);
    assert_eq!(up.gateways[3], format!("http://127.0.0.1:{}", ports + 31), "node i is at base + 10 i + 1");

    let said = up.run(0, &["put", "colors", "red"]).good();
    assert!(said.contains("1 day") && said.contains("copies acknowledged"), "{said}");
    assert_eq!(up.run(7, &["get", "colors"]).good(), "red\n");
    let error = up.run(2, &["get", "nothing"]).failed(3);
    assert!(error.contains("no value under nothing"), "{error}");

    up.run(5, &["put", "colors", "blue", "--ttl", "2h"]).good();
    assert_eq!(up.run(1, &["get", "colors"]).good(), "red\nblue\n", "in put order");
    assert_eq!(up.run(1, &["get", "colors", "--all"]).good(), "red\nblue\n");
    assert_eq!(up.run(1, &["get", "colors", "--max", "1"]).good(), "red\n");
    assert_eq!(up.run(1, &["get", "colors", "--raw"]).good(), "red", "exact bytes, no newline");
    assert_eq!(
        up.run(4, &["get", "--hex", "f8bd696759805b9098f9e13be67d2b248c7619d0"]).good(),
        "red\nblue\n"
    );

    let places: serde_json::Value =
        serde_json::from_str(&up.run(6, &["where", "colors", "-o", "json"]).good()).expect("JSON");
    assert_eq!(places["replicas"].as_array().map(Vec::len), Some(3), "{places}");
    up.run(3, &["health"]).good();
    assert!(up.run(3, &["status"]).good().contains("member"));
    let status = up.run(3, &["status", "-o", "json"]).good();
    assert_eq!(status.matches("\"version\"").count(), 1, "{status}");
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert!(status["version"] == 1 && status["keyway_version"] == env!("CARGO_PKG_VERSION"), "{status}");
    up.run(3, &["peers"]).good();

    up.process.interrupt();
    assert!(up.process.end(LEAVE).success(), "{}", up.process.log_end());
    assert!(up.process.log().contains("run again to find the data"), "{}", up.process.log_end());
    let again = Up::start(dir.path(), 8, ports, &[]);
    assert_eq!(again.run(2, &["get", "colors"]).good(), "red\nblue\n", "it finds its data");
}

#[test]
fn a_network_in_memory_says_that_nothing_was_kept() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut up = Up::start(dir.path(), 1, free_ports(1, 10), &["--durability", "memory"]);
    up.process.interrupt();
    assert!(up.process.end(LEAVE).success(), "{}", up.process.log_end());
    let log = up.process.log();
    assert!(log.contains("nothing was kept") && !log.contains("find the data"), "{log}");
}

#[test]
fn a_value_comes_back_byte_for_byte_and_one_byte_too_many_is_refused() {
    let (dir, up) = Up::fresh(4);
    let file = dir.path().join("value");
    let name = format!("@{}", file.display());
    let value = noise(1, VALUE_BYTES_MAX);
    std::fs::write(&file, &value).expect("a file");
    up.run(0, &["put", "big", &name]).good();
    assert!(up.run(3, &["get", "big", "--raw"]).stdout == value, "64 KiB");

    std::fs::write(&file, noise(2, VALUE_BYTES_MAX + 1)).expect("a file");
    let error = up.run(0, &["put", "bigger", &name]).failed(4);
    assert!(error.contains("65536 bytes"), "{error}");
    up.run(1, &["get", "bigger"]).failed(3);

    up.run_with_input(1, &["put", "piped", "-"], b"\0\xff\n").good();
    assert_eq!(up.run(2, &["get", "piped", "--raw"]).stdout, b"\0\xff\n");
    up.run(1, &["put", "empty", ""]).good();
    assert_eq!(up.run(2, &["get", "empty"]).good(), "\n");
    let error = up.run(2, &["put", "eternal", "x", "--ttl", "52w"]).failed(4);
    assert!(error.contains("ttl"), "{error}");
}

#[test]
fn many_values_under_one_key_come_in_put_order_page_by_page() {
    let (_dir, up) = Up::fresh(3);
    let mut expected = String::new();
    for n in 0..130 {
        let value = format!("value {n}");
        up.run(n % 3, &["put", "list", &value]).good();
        expected += &format!("{value}\n");
    }
    assert_eq!(up.run(0, &["get", "list", "--all"]).good(), expected);
    let first = up.run(0, &["get", "list"]);
    assert!(first.stderr.contains("--all"), "{}", first.stderr);
    assert_eq!(first.good().lines().count(), 100);
}

#[test]
fn a_taken_port_and_a_locked_directory_are_said_clearly() {
    let (dir, up) = Up::fresh(3);
    let data = dir.path().join("data").display().to_string();
    let port = up.ports.to_string();
    let error =
        keyway(["up", "--base-port", &port, "--data", "elsewhere", "--durability", "memory"]).failed(1);
    assert!(error.contains("in use") && error.contains("--base-port"), "{error}");
    let other = free_ports(3, 10).to_string();
    let error = keyway(["up", "--nodes", "3", "--base-port", &other, "--data", &data]).failed(1);
    assert!(error.contains("node-0") && error.contains("process"), "{error}");
    assert_eq!(up.run(0, &["put", "still", "here"]).code, 0, "the first one does not notice");
}

#[test]
fn mistakes_are_named_with_what_to_do() {
    let error = keyway(["pot", "a", "b"]).failed(2);
    assert!(error.contains("'put'"), "{error}");
    let nobody = format!("http://127.0.0.1:{}", free_ports(1, 1));
    let error = keyway(["--gateway", &nobody, "get", "x"]).failed(6);
    assert!(error.contains("refused") && error.contains("keyway up"), "{error}");
    let error = keyway(["get", "--hex", "zz"]).failed(2);
    assert!(error.contains("40 hex digits"), "{error}");
    let error = keyway(["node", "--listen", "0.0.0.0:0", "--durability", "memory"]).failed(2);
    assert!(error.contains("--network-key-file"), "{error}");
}

#[test]
fn cpython_pages_what_the_command_line_put() {
    let (dir, up) = Up::fresh(4);
    let gateway = format!("{}/RPC2", up.gateways[1]);
    for n in 0..60 {
        up.run(n % 4, &["put", "pages", &format!("six{n:03}")]).good();
    }
    let script = dir.path().join("pages.py");
    std::fs::write(
        &script,
        "import hashlib, sys\n\
         from xmlrpc.client import Binary, ServerProxy\n\
         gateway = ServerProxy(sys.argv[1])\n\
         key, mark, pages = Binary(hashlib.sha1(b'pages').digest()), Binary(b''), 0\n\
         while True:\n    \
             values, mark = gateway.get(key, 100, mark, 'test')\n    \
             pages += 1\n    \
             for value in values: print(value.data.decode())\n    \
             if not mark.data: break\n\
         print('pages', pages)\n",
    )
    .expect("a file");
    let Some(ran) = python(&[&script.display().to_string(), &gateway]) else { return };
    let lines: Vec<String> = ran.good().lines().map(str::to_owned).collect();
    let expected: Vec<String> = (0..60).map(|n| format!("six{n:03}")).collect();
    assert_eq!(lines[..60], expected, "what the command line put, in put order");
    let pages: u32 = lines[60].trim_start_matches("pages ").parse().expect("a number");
    assert!(pages >= 3, "pages of at most 23 six-byte values: {pages}");
}

#[test]
fn it_is_ready_soon() {
    let began = Instant::now();
    let (_dir, _up) = Up::fresh(8);
    assert!(began.elapsed() < SOON);
}
