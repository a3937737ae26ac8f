//! One node, set up in every way: free ports, flags above variables above a file, great values, and the network's key.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use support::{Network, Node, Process, SOON, get, keyway, noise, wait_until};

/// The greatest value that any node can be set to take.
const VALUE_BYTES_MAX: usize = 1 << 20;

#[test]
fn settings_come_from_flags_then_variables_then_the_file_and_ports_from_the_system() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = dir.path().join("config.toml");
    let text = "log-format = \"json\"\n[node]\nlisten = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n\
                sunrpc = \"127.0.0.1:0\"\ndurability = \"memory\"\nreplicas = 2\nacks = 2\nvalue-max = \"1MiB\"\nttl-max = \"2d\"\n";
    std::fs::write(&config, text).expect("a file");
    let mut start = support::command();
    start.args(["node", "-o", "json", "--config", &config.display().to_string(), "--acks", "1"]);
    start.env("KEYWAY_REPLICAS", "5").env("KEYWAY_ACKS", "3");
    let log = dir.path().join("node.log");
    let process = Process::start(&mut start, &log);
    let (listening, ready) = (process.event("listening"), process.event("ready"));
    assert_eq!(listening["udp"], ready["udp"]);
    let url = ready["http"].as_str().expect("a URL").to_owned();
    let http: SocketAddr = url.trim_start_matches("http://").parse().expect("an address");
    assert!(http.port() != 0);
    let sunrpc: SocketAddr = ready["sunrpc"].as_str().expect("an address").parse().expect("an address");
    assert!(sunrpc.port() != 0 && std::net::TcpStream::connect(sunrpc).is_ok());

    let (_, body) = get(http, "/v1/node").expect("it answers");
    let node: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(node["acks"], 1, "the flag is above the variable");
    assert_eq!(node["replicas"], 5, "the variable is above the file");
    assert_eq!(node["value_bytes_max"], VALUE_BYTES_MAX, "the file is above the default");
    assert_eq!(node["ttl_seconds_max"], 2 * 86_400);
    assert_eq!(node["overlay"], "chord", "the default");
    keyway(["--gateway", &url, "put", "a", "b"]).good();
    let line = wait_until("a log line", SOON, || process.log().lines().next().map(str::to_owned));
    assert!(serde_json::from_str::<Value>(&line).is_ok(), "a log line is JSON: {line}");

    std::fs::write(&config, "[node]\nacks = 1\nvalue-mx = 3\n").expect("a file");
    let said = keyway(["config", "check", &config.display().to_string()]).failed(2);
    assert!(said.contains("line 3") && said.contains("value-mx"), "{said}");
}

#[test]
fn a_configuration_is_called_good_only_if_a_node_would_start_with_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = dir.path().join("config.toml");
    let config_name = config.display().to_string();
    let missing = dir.path().join("missing").display().to_string();
    let check = |text: &str| {
        std::fs::write(&config, text).expect("a file");
        keyway(["config", "check", &config_name])
    };
    let good = check("gateway = \"http://dht.example:80\"\n[node]\nreplicas = 5\nacks = 3\n").good();
    assert!(good.ends_with(": good\n"), "{good}");
    for (text, why) in [
        ("[node]\nreplicas = 2\nacks = 3\n", "`keyway node` would refuse it: --acks 3 with --replicas 2"),
        ("[node]\nvalue-max = \"2MiB\"\n", "the greatest value"),
        ("[node]\nlisten = \"10.0.0.1:5850\"\n", "needs a network key"),
        ("[node]\noverlay = \"ring\"\n", "there is no overlay `ring`"),
        ("[node]\noverlay-option = \"no-such=1\"\n", "no-such"),
        ("[up]\nnodes = 0\n", "`keyway up` would refuse it: 0 nodes"),
        ("log = \"=loud=\"\n", "--log"),
        ("log = \"nonsense\"\n", "it is no level"),
        ("gateway = \"http://127.0.0.1:99999\"\n", "its port is not a number from 1 to 65535"),
        ("gateway = \"\"\n", "gateway"),
        (&format!("token-file = {missing:?}\n"), "cannot read the access token"),
        (&format!("[node]\nnetwork-key-file = {missing:?}\n"), "head -c 32 /dev/urandom"),
        (&format!("[node]\ntokens = {missing:?}\n"), "keyway token create"),
    ] {
        let said = check(text).failed(2);
        assert!(said.contains(why) && said.contains(&config_name), "{text}: {said}");
    }
    let told = |text: &str, code: i32| {
        std::fs::write(&config, text).expect("a file");
        let ran = keyway(["config", "check", "-o", "json", &config_name]);
        assert_eq!(ran.code, code, "{}", ran.stderr);
        serde_json::from_str::<Value>(&ran.text()).expect("one object")
    };
    let good = told("[node]\nacks = 1\n", 0);
    assert!(good["good"] == true && good["file"] == *config_name && good["error"].is_null(), "{good}");
    let bad = told("[up]\nnodes = 0\n", 2);
    assert!(bad["good"] == false && bad["error"]["exit"] == 2, "{bad}");
    assert!(bad["error"]["message"].as_str().is_some_and(|why| why.contains("0 nodes")), "{bad}");
}

#[test]
fn all_settings_are_shown_with_who_says_so() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = dir.path().join("config.toml");
    std::fs::write(&config, "quiet = true\n[up]\nbase-port = 6000\nnodes = 4\n").expect("a file");
    let show = |variables: &[(&str, &str)], more: &[&str]| {
        let mut command = support::command();
        command.args(["config", "show", "--config", &config.display().to_string()]).args(more);
        support::run(command.envs(variables.iter().copied()), b"")
    };
    let said = show(&[("KEYWAY_NODES", "3"), ("KEYWAY_LOG", "debug")], &["--color", "never"]).good();
    let line = |setting: &str| {
        let found = said.lines().find(|line| line.starts_with(setting));
        found.unwrap_or_else(|| panic!("{setting}: {said}")).to_owned()
    };
    assert!(line("nodes = 3 ").ends_with("# flag or variable"));
    assert!(line("base-port = 6000 ").ends_with("config.toml"));
    assert!(line("quiet = true ").ends_with("config.toml"));
    assert!(line("log = \"debug\" ").ends_with("# flag or variable"));
    assert!(line("color = \"never\" ").ends_with("# flag or variable"));
    assert!(line("gateway = [\"http://127.0.0.1:5851\"] ").ends_with("# default"));
    assert!(line("# token-file ").ends_with("# not set"));
    assert!(line("output = ").ends_with("# default") && line("log-format = ").ends_with("# default"));
    // What is shown is itself a configuration.
    std::fs::write(&config, &said).expect("a file");
    keyway(["config", "check", &config.display().to_string()]).good();

    let json: Value =
        serde_json::from_str(&show(&[("KEYWAY_NODES", "3")], &["-o", "json"]).good()).expect("JSON");
    assert_eq!((&json["up"]["nodes"], &json["shared"]["log-format"]), (&3.into(), &"text".into()), "{json}");
    assert_eq!(json["replicas"], 3, "{json}");
    let said = show(&[("KEYWAY_NODES", "foo")], &[]).failed(2);
    assert!(said.contains("KEYWAY_*") && said.contains("'foo'") && said.contains("--nodes"), "{said}");
}

#[test]
fn a_value_of_a_mebibyte_travels_where_nodes_are_set_to_take_it() {
    let network = Network::start(3, &["--value-max", "1MiB", "--durability", "os"]);
    let file = network.dir.path().join("value");
    let argument = format!("@{}", file.display());
    let value = noise(7, VALUE_BYTES_MAX);
    std::fs::write(&file, &value).expect("a file");
    keyway(["--gateway", &network.nodes[0].url(), "put", "great", &argument]).good();
    for node in &network.nodes {
        let found = keyway(["--gateway", &node.url(), "get", "great", "--raw"]);
        assert!(found.stdout == value, "{}", found.stderr);
    }
    std::fs::write(&file, noise(8, VALUE_BYTES_MAX + 1)).expect("a file");
    let said = keyway(["--gateway", &network.nodes[0].url(), "put", "greater", &argument]).failed(4);
    assert!(said.contains("no node takes"), "{said}");
}

#[test]
fn without_the_key_of_the_network_nobody_joins() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let key = |name: &str, text: &str| {
        let file = dir.path().join(name);
        std::fs::write(&file, text).expect("a file");
        file.display().to_string()
    };
    let (ours, theirs) = (key("ours", "sixteen bytes or more"), key("theirs", "quite another secret"));
    let flags = |key: &str| {
        let all = ["--network-key-file", key, "--durability", "memory", "--replicas", "2", "--acks", "2"];
        all.map(str::to_owned)
    };
    let node = |name: &str, key: &str| {
        let flags = flags(key);
        Node::new(dir.path(), name, &flags.each_ref().map(String::as_str))
    };
    let mut founder = node("founder", &ours);
    founder.start(&[]);
    founder.wait_ready(SOON);
    let mut stranger = node("stranger", &theirs);
    stranger.start(&[founder.udp]);
    let mut friend = node("friend", &ours);
    friend.start(&[founder.udp]);
    friend.wait_ready(SOON);

    keyway(["--gateway", &founder.url(), "put", "secret", "for friends"]).good();
    assert_eq!(keyway(["--gateway", &friend.url(), "get", "secret"]).good(), "for friends\n");
    let (status, reasons) = get(stranger.http, "/readyz").expect("it listens");
    assert!(status == 503 && reasons.contains("looking for a member"), "{status} {reasons}");
    keyway(["--gateway", &stranger.url(), "get", "secret"]).failed(6);

    let short = key("short", "too short");
    let said = support::run(&mut node("short", &short).command(&[]), b"").failed(2);
    assert!(said.contains("at least 16"), "{said}");
}

#[test]
fn a_node_that_still_looks_for_its_seeds_ends_when_it_is_told_to() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let node = Node::new(dir.path(), "node", &["--durability", "memory", "--join", "nobody.invalid:5850"]);
    let mut process = Process::start(&mut node.command(&[]), &dir.path().join("node.log"));
    process.wait_for_ears();
    process.interrupt();
    // The lookup goes on for half a minute.
    assert!(process.end(Duration::from_secs(15)).success(), "{}", process.log_end());
    assert!(process.log().contains("left before it had begun"), "{}", process.log_end());
}
