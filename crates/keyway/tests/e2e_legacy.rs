//! Old programs against a real network: XML-RPC clients of other languages and other people, each in a script of `legacy`.
//!
//! Every script plays the session of the user's guide of 2005 (put red, put blue so that it can be removed, get, remove blue,
//! get) and tells what it was answered. A stack that is not installed fails its test: `.ci/run` installs them all.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Network, keyway, run, wait_until};

/// What each script prints of the session.
const SESSION: &str = "put red 0\n\
    put_removable blue 0\n\
    get red blue\n\
    rm blue 0\n\
    get red\n\
    details red fresh SHA 0000000000000000000000000000000000000000\n\
    place 0\n\
    fault 0 java.lang.Exception: no such handler: colours\n";

/// What the script of Python tells beyond it.
const CORNERS: &str = "hidden 0 red\n\
    wrong 0 red\n\
    anew 0 red blue\n\
    page 23 True\n\
    key java.lang.Exception: key is longer than 20 bytes\n\
    value java.lang.Exception: value is longer than 1024 bytes\n\
    secret java.lang.Exception: secret is longer than 40 bytes\n\
    algorithm java.lang.Exception: unknown secret hash algorithm: \"MD5\"\n";

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/legacy").join(name)
}

/// A program with what it needs; `probe` are arguments with which it does nothing but load that.
#[track_caller]
fn tool(program: &str, probe: &[&str], package: &str) -> Command {
    let loads = Command::new(program).args(probe).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(
        loads.is_ok_and(|status| status.success()),
        "`{program} {}` does not run: install Debian's `{package}` (`.ci/run` installs all that tests need)",
        probe.join(" ")
    );
    Command::new(program)
}

fn network() -> Network {
    Network::start(3, &["--durability", "memory"])
}

/// The session in this script, through a gateway of a network of three.
#[track_caller]
fn play(mut client: Command, name: &str, wanted: &str) {
    let network = network();
    let url = network.nodes[1].url();
    let told = run(client.arg(script(name)).arg(format!("{url}/RPC2")), b"").good();
    assert_eq!(told, wanted, "{name}");
}

#[test]
fn python_with_its_own_xmlrpc() {
    let python = tool("python3", &["-c", "import xmlrpc.client"], "python3");
    play(python, "session.py", &format!("{SESSION}{CORNERS}"));
}

#[test]
fn perl_with_rpc_xml() {
    play(tool("perl", &["-MRPC::XML::Client", "-e1"], "librpc-xml-perl"), "rpc_xml.pl", SESSION);
}

#[test]
fn perl_with_frontier() {
    play(tool("perl", &["-MFrontier::Client", "-e1"], "libfrontier-rpc-perl"), "frontier.pl", SESSION);
}

#[test]
fn perl_by_hand_over_a_plain_socket() {
    play(tool("perl", &["-MIO::Socket::INET", "-e1"], "perl"), "by_hand.pl", SESSION);
}

#[test]
fn ruby_with_xmlrpc() {
    play(tool("ruby", &["-rxmlrpc/client", "-e1"], "ruby-xmlrpc"), "session.rb", SESSION);
}

#[test]
fn php_with_xmlrpc() {
    let probe = "exit(function_exists('xmlrpc_encode_request') ? 0 : 1);";
    play(tool("php", &["-r", probe], "php-cli` and `php-xmlrpc"), "session.php", SESSION);
}

/// The two examples in Python, which are as short as they are said to be, and the command line beside them.
#[test]
fn the_examples_put_and_get() {
    let network = network();
    let example = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/python").join(name);
    for (name, lines) in [("put.py", 9), ("get.py", 11)] {
        let text = std::fs::read_to_string(example(name)).expect("the example is there");
        assert_eq!(text.lines().count(), lines, "{name}");
    }
    let play = |name: &str, args: &[&str], at: usize| {
        let mut python = tool("python3", &["-c", "import xmlrpc.client"], "python3");
        run(python.arg(example(name)).args(args).arg(network.nodes[at].url()), b"").good()
    };
    assert_eq!(play("put.py", &["colors", "red"], 0), "stored\n");
    assert_eq!(play("put.py", &["colors", "green"], 1), "stored\n");
    keyway(["--gateway", &network.nodes[2].url(), "put", "colors", "blue"]).good();
    assert_eq!(play("get.py", &["colors"], 2), "red\ngreen\nblue\n");
    assert_eq!(play("get.py", &["nothing"], 1), "");
    assert_eq!(keyway(["--gateway", &network.nodes[1].url(), "get", "colors"]).good(), "red\ngreen\nblue\n");
}

/// The limits of 2005 are settings, and the list of gateways names the one that is asked.
#[test]
fn limits_are_settings_and_the_gateway_lists_itself() {
    let limits = ["--legacy-value-max", "2KiB", "--legacy-ttl-max", "1h", "--legacy-page", "20000"];
    let network = Network::start(
        1,
        &[&["--durability", "memory", "--replicas", "1", "--acks", "1"][..], &limits].concat(),
    );
    let node = &network.nodes[0];
    let lines = "import sys\n\
        from xmlrpc.client import Binary, Fault, ServerProxy\n\
        gateway = ServerProxy(sys.argv[1])\n\
        for n in range(9):\n    \
            assert gateway.put(Binary(b'k'), Binary(b'%d' % n * 2048), 1000000, 'x') == 0\n\
        try:\n    \
            gateway.put(Binary(b'k'), Binary(b'v' * 2049), 60, 'x')\n\
        except Fault as fault:\n    \
            print(fault.faultString)\n\
        details, place = gateway.get_details(Binary(b'k'), 100, Binary(b''), 'x')\n\
        print(len(details), place.data, all(3500 < detail[1] <= 3600 for detail in details))\n";
    let mut python = tool("python3", &["-c", "import xmlrpc.client"], "python3");
    let told = run(python.args(["-c", lines, &node.url()]), b"").good();
    assert_eq!(told, "java.lang.Exception: value is longer than 2048 bytes\n9 b'' True\n");

    let list = wait_until("the list", support::SOON, || support::get(node.http, "/servers.txt"));
    let (header, rest) = list.1.split_once('\n').expect("a line");
    assert!(list.0 == 200 && header.contains("UTC"), "{list:?}");
    assert_eq!(rest, format!("0:\t{}\t{}\n", node.http, node.http.ip()));
}
