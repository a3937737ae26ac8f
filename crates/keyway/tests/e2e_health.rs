//! `keyway health` as a probe meets the world: a lone node, silence, other programs, the wrong port; and what the other verbs say of
//! the same.

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Network, Node, Process, SOON, free_ports, keyway, wait_until};

/// Something that takes connections and answers each with this; nothing at all if it is empty.
fn other_program(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("its address");
    thread::spawn(move || {
        let mut held = Vec::new();
        for mut socket in listener.incoming().map_while(Result::ok) {
            if answer.is_empty() {
                held.push(socket);
                continue;
            }
            let mut head = [0; 4096];
            let _ = socket.read(&mut head);
            let _ = socket.write_all(answer);
        }
    });
    addr
}

#[test]
fn what_is_no_gateway_is_not_reached_and_is_told_soon() {
    let health = |at: SocketAddr| {
        let began = Instant::now();
        let error = keyway(["--gateway", &at.to_string(), "health", "--timeout", "1s"]).failed(6);
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}: {error}", began.elapsed());
        assert!(!error.contains("`keyway health`"), "{error}");
        error
    };
    let error = health(other_program(b""));
    assert!(error.contains("no answer in time") && error.contains("says nothing"), "{error}");
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>"[..],
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>",
    ] {
        let error = health(other_program(answer));
        assert!(error.contains("another program answers"), "{error}");
    }

    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut node =
        Node::new(dir.path(), "node", &["--durability", "memory", "--replicas", "1", "--acks", "1"]);
    node.start(&[]);
    node.wait_ready(SOON);
    for port in [node.udp, node.sunrpc] {
        let error = health(port);
        assert!(error.contains("5851") && !error.contains("keyway up"), "{error}");
        let error = keyway(["--gateway", &port.to_string(), "get", "x"]).failed(6);
        assert!(error.contains("for Sun RPC") && !error.contains("keyway up"), "{error}");
    }
    let said = keyway(["--gateway", &node.url(), "health"]).good();
    assert!(said.starts_with("ready") && !said.contains("warning"), "{said}");
}

#[test]
fn a_lone_node_with_the_settings_of_a_network_is_told_what_it_lacks() {
    let network = Network::start(1, &["--durability", "memory"]);
    let log = network.dir.path().join("node-0.log");
    wait_until("its log says so", SOON, || {
        let log = std::fs::read_to_string(&log).expect("its log");
        (log.contains("1 member") && log.contains("--replicas 1 --acks 1")).then_some(())
    });
    for verb in [&["put", "colors", "red"][..], &["get", "colors"]] {
        let error = network.run(verb).failed(5);
        assert!(error.contains("the network has 1 member, and a put waits for 2 of 3 copies"), "{error}");
        assert!(error.contains("--replicas 1 --acks 1"), "{error}");
    }
    let said = network.run(&["health"]).good();
    assert!(said.contains("warning") && said.contains("--replicas 1 --acks 1"), "{said}");
    let said: Value = serde_json::from_str(&network.run(&["health", "-o", "json"]).good()).expect("JSON");
    assert_eq!(
        (&said["ready"], said["warnings"].as_array().map(Vec::len)),
        (&true.into(), Some(1)),
        "{said}"
    );

    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut up = support::command();
    let port = free_ports(1, 10).to_string();
    up.args(["up", "-o", "json", "--nodes", "1", "--durability", "memory", "--base-port", &port]);
    let mut up = Process::start(&mut up, &dir.path().join("up.log"));
    up.event("ready");
    wait_until("it warns", SOON, || up.log().contains("warning: no put or get").then_some(()));
    assert!(up.log().contains("--nodes 3"), "{}", up.log());
    up.interrupt();
    assert!(up.end(SOON).success(), "{}", up.log_end());
}

/// One command line of a network has a slip. Both sides say so, and nobody is less ready for it. With as many copies as nodes: each
/// holds every record, and compares it with all others.
#[test]
fn a_node_that_keeps_other_copies_is_told_on_both_sides() {
    let network = Network::start(2, &["--durability", "memory", "--replicas", "3", "--acks", "1"]);
    let flags = ["--durability", "memory", "--replicas", "3", "--acks", "2"];
    let mut odd = Node::new(network.dir.path(), "odd", &flags);
    odd.start(&[network.nodes[0].udp]);
    odd.wait_ready(SOON);
    let warning = |gateway: &str| {
        let said = keyway(["--gateway", gateway, "health", "-o", "json"]);
        let said: Value = serde_json::from_str(&said.good()).expect("JSON");
        let all = said["warnings"].as_array().expect("a list").iter().filter_map(Value::as_str);
        all.filter(|warning| warning.contains("with other --replicas")).map(str::to_owned).next()
    };
    let told = wait_until("the newcomer warns", SOON, || warning(&odd.url()));
    assert!(told.contains("than this one (3, 2, 2), ") && told.contains(" (3, 1, 3)"), "{told}");
    let log = std::fs::read_to_string(network.dir.path().join("odd.log")).expect("its log");
    assert!(log.contains("keeps copies in another way"), "{log}");
    network.run(&["put", "colors", "red"]).good();
    for node in &network.nodes {
        let told = wait_until("a member warns", SOON, || warning(&node.url()));
        assert!(
            told.starts_with("1 node runs with other") && told.contains("this one (3, 1, 3), "),
            "{told}"
        );
        assert!(told.contains(&format!(": {} (3, 2, 2); ", odd.udp)), "{told}");
        assert!(node.metric("keyway_peers_with_other_terms") > 0.0);
    }
    let screen = keyway(["--gateway", &odd.url(), "status"]).good();
    assert!(screen.contains("warning") && screen.contains("restart them alike"), "{screen}");
}
