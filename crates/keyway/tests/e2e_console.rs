//! The console in a real browser: it draws a real network, and follows keys that are typed into it.
//!
//! `KEYWAY_SCREENSHOTS=DIR` keeps pictures of what was seen.

mod support;

use std::net::SocketAddr;

use keyway_core::id::Id;
use keyway_core::keyspace::xor;
use serde_json::{Value, json};
use support::{Browser, Process, SOON, free_ports, get, put, wait_until};
use tempfile::TempDir;

/// For the page to have asked again, at least twice.
const LOOKS: usize = 2;

/// `keyway up`, and its first node's gateway.
struct Up {
    process: Process,
    gateways: Vec<SocketAddr>,
    _dir: TempDir,
}

impl Up {
    fn start(nodes: u16, overlay: &str) -> Up {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ports = free_ports(nodes, 10).to_string();
        let mut command = support::command();
        command.args(["up", "-o", "json", "--durability", "memory", "--overlay", overlay]);
        command.args(["--nodes", &nodes.to_string(), "--base-port", &ports]);
        command.arg("--data").arg(dir.path().join("data"));
        let process = Process::start(&mut command, &dir.path().join("up.log"));
        let ready = process.event("ready");
        let url =
            |node: &Value| node["http"].as_str().expect("a URL").trim_start_matches("http://").to_owned();
        let nodes = ready["nodes"].as_array().expect("the nodes").iter();
        let gateways = nodes.map(|node| url(node).parse().expect("an address")).collect();
        Up { process, gateways, _dir: dir }
    }

    fn first(&self) -> SocketAddr {
        self.gateways[0]
    }

    fn ask(&self, path: &str) -> Value {
        let (status, body) = get(self.first(), path).expect("the gateway answers");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    fn put(&self, key: &str, value: &str) {
        let (status, body) =
            put(self.first(), &format!("/v1/keys/{key}"), value.as_bytes()).expect("an answer");
        assert_eq!(status, 201, "{body}");
    }
}

/// The three nodes that should keep a key by the geometry's own rule, once the tables of the gateway's node are so full that
/// it finds them: right after the start of a network Kademlia's are not.
fn replicas(up: &Up, key: &str, rank: fn(&Id, &Id) -> (bool, Id)) -> Vec<String> {
    wait_until("the right nodes are found", SOON, || {
        let trace = up.ask(&format!("/v1/keys/{key}/trace"));
        let target = id(&trace["key"]);
        let mut nodes = up.ask("/v1/network")["nodes"].as_array().expect("nodes").clone();
        nodes.sort_by_key(|node| rank(&target, &id(&node["id"])));
        let right = short_ids(&nodes.iter().take(3).cloned().collect());
        let found = nodes.len() == up.gateways.len() && short_ids(&trace["replicas"]) == right;
        found.then_some(right)
    })
}

/// A ring's rule: the nodes that follow the key.
fn clockwise(target: &Id, id: &Id) -> (bool, Id) {
    (id < target, *id)
}

/// The tree's rule: the nodes nearest by XOR, to so many bits as placement heeds.
fn by_xor(target: &Id, id: &Id) -> (bool, Id) {
    (false, xor::rank(target, id))
}

fn id(text: &Value) -> Id {
    text.as_str().expect("an id").parse().expect("40 hex digits")
}

/// First eight digits of the ids in a list of nodes.
fn short_ids(nodes: &Value) -> Vec<String> {
    let id = |node: &Value| node["id"].as_str().expect("an id")[..8].to_owned();
    nodes.as_array().expect("a list").iter().map(id).collect()
}

/// Neither errors of scripts nor anything that the page's own policy refused, and no address but the gateway's.
#[track_caller]
fn assert_clean(browser: &Browser, gateway: SocketAddr) {
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
    let origin = format!("http://{gateway}/");
    assert!(browser.requested.len() > LOOKS, "{:?}", browser.requested);
    for url in &browser.requested {
        assert!(url.starts_with(&origin), "the page asked {url}");
    }
}

/// What the page shows of the network is what the network holds.
fn assert_shows_the_network(browser: &mut Browser, up: &Up) {
    let nodes = up.gateways.len();
    browser.wait_for(&format!("document.querySelectorAll('#nodes tbody tr').length === {nodes}"));
    assert_eq!(browser.count("#drawing .node.dot"), nodes, "a mark for each node");
    assert_eq!(browser.count("#drawing .node.dot.self"), 1);
    let listed = up.ask("/v1/network");
    assert_eq!(browser.texts("#nodes tbody th"), short_ids(&listed["nodes"]), "in the order of ids");
    for http in &up.gateways {
        let (_, body) = get(*http, "/v1/node").expect("every node answers");
        let node: Value = serde_json::from_str(&body).expect("JSON");
        let id = &node["id"].as_str().expect("an id")[..8];
        let records = &node["records"];
        // Copies are still being handed about: the page is right when it has asked once more.
        browser.wait_for(&format!(
            "Array.from(document.querySelectorAll('#nodes tbody tr')).some((row) => \
             row.cells[0].textContent === '{id}' && row.cells[3].textContent === '{records}')"
        ));
    }
}

/// The way that is shown ends at the nodes that hold the key, and the drawing marks them.
fn assert_shows_the_replicas(browser: &mut Browser, replicas: &[String], key: &str) {
    browser.wait_for("document.querySelector('#lookup').dataset.state === 'done'");
    assert_eq!(browser.texts("#replicas tbody td:nth-child(2)"), replicas);
    assert_eq!(browser.texts("#replicas tbody td:nth-child(1)"), ["root", "copy", "copy"]);
    assert_eq!(browser.count("#drawing .dot.replica"), replicas.len());
    let mut labels = browser.texts("#drawing .label.replica");
    labels.sort();
    let mut wanted: Vec<String> = replicas.iter().map(|id| format!("{id} copy")).collect();
    wanted[0] = format!("{} root", replicas[0]);
    wanted.sort();
    assert_eq!(labels, wanted);
    assert_eq!(browser.texts("#drawing .key text"), [key]);
}

#[test]
fn a_ring_is_drawn_and_a_typed_key_is_followed_to_its_replicas() {
    let Some(mut browser) = Browser::start() else { return };
    let up = Up::start(8, "chord");
    for n in 0..40 {
        up.put(&format!("key-{n}"), "some value");
    }
    up.put("colors", "red");
    browser.open(&format!("http://{}/", up.first()));
    assert_shows_the_network(&mut browser, &up);
    assert_eq!(browser.count("#drawing .track"), 1, "a ring");
    assert_eq!(browser.texts("#network-title"), ["Network: the ring"]);
    browser.picture("ring-light");

    let replicas = replicas(&up, "colors", clockwise);
    browser.click("#key");
    browser.type_and_enter("colors");
    assert_shows_the_replicas(&mut browser, &replicas, "colors");
    assert_eq!(browser.eval("location.search"), "?key=colors", "a way can be linked to");
    let steps = up.ask("/v1/keys/colors/trace")["steps"].as_array().map(Vec::len);
    assert_eq!(Some(browser.count("#hops tbody tr")), steps, "a row for each question");
    let distances = browser.texts("#replicas tbody td:nth-child(4)");
    assert!(distances.iter().all(|distance| distance.starts_with("2^")), "{distances:?}");
    // The root follows the key; where nobody is in that half of the ring it is nearer the other way.
    let place =
        |id: &Value| u128::from_str_radix(&id.as_str().expect("an id")[..32], 16).expect("hex digits");
    let trace = up.ask("/v1/keys/colors/trace");
    let ahead = place(&trace["replicas"][0]["id"]).wrapping_sub(place(&trace["key"]));
    let side = if ahead >> 127 == 0 { "after" } else { "before" };
    assert!(distances[0].ends_with(side), "the root of a ring follows the key: {distances:?}");
    browser.picture("ring-way-light");
    browser.prefer("dark");
    browser.picture("ring-way-dark");

    // A node that is picked in the table is picked in the drawing.
    browser.click("#nodes tbody tr:nth-child(3) button");
    assert_eq!(browser.count("#nodes tr.picked"), 1);
    assert_eq!(browser.count("#drawing .node.dot.picked"), 1);
    assert_clean(&browser, up.first());
}

#[test]
fn a_tree_is_drawn_for_kademlia_and_a_linked_key_is_followed() {
    let Some(mut browser) = Browser::start() else { return };
    let up = Up::start(8, "kademlia");
    up.put("colors", "red");
    let replicas = replicas(&up, "colors", by_xor);
    browser.open(&format!("http://{}/?key=colors", up.first()));
    assert_shows_the_network(&mut browser, &up);
    assert_shows_the_replicas(&mut browser, &replicas, "colors");
    assert_eq!(browser.count("#drawing .edges"), 1, "a tree");
    assert_eq!(browser.texts("#network-title"), ["Network: the XOR tree"]);
    assert!(browser.count("#drawing .toward path") > 0, "the key's own branch");
    browser.picture("tree-way-light");
    browser.prefer("dark");
    browser.picture("tree-way-dark");

    browser.open(&format!("http://{}/?id=12", up.first()));
    browser.wait_for("document.querySelector('#lookup').dataset.state === 'refused'");
    assert!(browser.texts("#outcome")[0].contains("40 hex digits"));
    let id = "8".repeat(40);
    browser.open(&format!("http://{}/?id={id}", up.first()));
    browser.wait_for("document.querySelector('#lookup').dataset.state === 'done'");
    assert_clean(&browser, up.first());
}

#[test]
fn what_goes_wrong_is_said_in_words_and_the_page_goes_on_when_it_is_right_again() {
    let Some(mut browser) = Browser::start() else { return };
    let mut up = Up::start(3, "chord");
    browser.open(&format!("http://{}/", up.first()));
    browser.wait_for("document.querySelectorAll('#nodes tbody tr').length === 3");
    assert_eq!(browser.count("#trouble:not([hidden])"), 0);
    // A tab that nobody sees asks nothing: what it had planned is not done, and it looks at once when it is shown.
    browser.eval(
        "(() => { Object.defineProperty(document, 'hidden', { value: true, configurable: true });
                  window.asked = 0;
                  const { fetch } = window;
                  window.fetch = (...asked) => { window.asked += 1; return fetch(...asked); };
                  document.dispatchEvent(new Event('visibilitychange')); })()",
    );
    browser.eval("new Promise((resolve) => setTimeout(resolve, 2500))");
    assert_eq!(browser.eval("window.asked"), 0);
    browser
        .eval("(() => { delete document.hidden; document.dispatchEvent(new Event('visibilitychange')); })()");
    browser.wait_for("window.asked > 1");

    up.process.kill();
    browser.wait_for("!document.querySelector('#trouble').hidden");
    let trouble = browser.texts("#trouble").remove(0);
    assert!(trouble.contains("does not answer") && trouble.contains("the last that was told"), "{trouble}");
    assert_eq!(browser.count("#nodes tbody tr"), 3, "what was known stays to be seen");
    browser.click("#key");
    browser.type_and_enter("colors");
    browser.wait_for("document.querySelector('#lookup').dataset.state === 'refused'");
    assert!(browser.texts("#outcome")[0].contains("does not answer"));
}

#[test]
fn a_thousand_nodes_are_drawn_as_bars() {
    let Some(mut browser) = Browser::start() else { return };
    let up = Up::start(1, "chord");
    let mut me = up.ask("/v1/node");
    let node = |n: u64| {
        let id = format!("{:016x}{n:024x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        json!({"id": id, "addr": format!("10.0.{}.{}:5850", n / 250, n % 250), "answered": !n.is_multiple_of(50),
               "records": n % 50 * 3, "record_bytes": n * 100, "shares": {"count": 3, "ready": 3}, "rtt_ms": 0.4})
    };
    let mut nodes: Vec<Value> = (1..1000).map(node).collect();
    nodes.push(
        json!({"id": me["id"], "addr": "10.0.0.0:5850", "answered": true, "records": 5, "record_bytes": 5}),
    );
    for geometry in ["ring", "xor"] {
        me["geometry"] = json!(geometry);
        browser.stand_in("/v1/network", json!({"overlay": "toy", "nodes": nodes, "complete": false}));
        browser.stand_in("/v1/node", me.clone());
        browser.open(&format!("http://{}/?key=colors", up.first()));
        browser.wait_for("document.querySelectorAll('#drawing .node.bar').length === 1000");
        assert_eq!(browser.count("#nodes tbody tr"), 1000);
        assert_eq!(browser.count("#drawing .node.silent"), 19);
        assert_eq!(browser.count("#drawing .label"), 0, "labels would cover each other");
        let summary = browser.texts("#summary").remove(0);
        assert!(summary.starts_with("1,000 nodes, 19 silent") && summary.contains("more nodes"), "{summary}");
        browser.wait_for("document.querySelector('#lookup').dataset.state === 'done'");
        browser.picture(&format!("thousand-{geometry}"));
        browser.stood_in_no_more();
    }
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
}
