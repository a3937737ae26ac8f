//! Clients of Sun RPC that others wrote: stubs that `rpcgen` makes of our own `.x` file, compiled against libtirpc, and
//! `rpcinfo`, against real nodes.
//!
//! They are Debian's `rpcsvc-proto`, `gcc`, `libtirpc-dev` and `rpcbind`; `.ci/run` installs them.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{Network, SOON, get, keyway, wait_until};

const PROGRAM: &str = "708655600";
/// SHA-1 of `sesame` and of `removable`, which the client in C names.
const SECRET_HASH: &str = "084a3501edef6845f2f1e4198ec3a2b81cf5c6bc";
const VALUE_HASH: &str = "19833a8ec27a68187db81f77a53031118db72dfb";

/// Runs a tool to its end; a missing one fails the test, saying where it comes from.
fn tool(package: &str, command: &mut Command) -> Output {
    let name = command.get_program().to_string_lossy().into_owned();
    command.output().unwrap_or_else(|e| panic!("{name} cannot be run ({e}): apt-get install {package}"))
}

#[track_caller]
fn good(output: &Output, what: &str) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{what}: {}\n{out}\n{err}", output.status);
    out
}

/// `rpcinfo`, which Debian keeps beside the daemons.
fn rpcinfo() -> Command {
    let path = ["/usr/sbin/rpcinfo", "/usr/bin/rpcinfo"].into_iter().find(|path| Path::new(path).exists());
    Command::new(path.unwrap_or("rpcinfo"))
}

/// Makes stubs of `docs/keyway_prot.x` and compiles the client with them.
fn compiled(dir: &Path) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(here.join("../../docs/keyway_prot.x"), dir.join("keyway_prot.x")).expect("a copy");
    for (flag, file) in [("-h", "keyway_prot.h"), ("-l", "keyway_prot_clnt.c"), ("-c", "keyway_prot_xdr.c")] {
        let mut rpcgen = Command::new("rpcgen");
        rpcgen.current_dir(dir).args(["-N", flag, "-o", file, "keyway_prot.x"]);
        good(&tool("rpcsvc-proto", &mut rpcgen), "rpcgen takes our .x file");
    }
    assert!(
        Path::new("/usr/include/tirpc/rpc/rpc.h").exists(),
        "there is no libtirpc: apt-get install libtirpc-dev"
    );
    let program = dir.join("client");
    let mut gcc = Command::new("gcc");
    // What rpcgen writes is not free of warnings.
    gcc.current_dir(dir).args(["-w", "-I/usr/include/tirpc", "-I.", "-o"]).arg(&program);
    gcc.arg(here.join("tests/sunrpc/client.c")).args(["keyway_prot_clnt.c", "keyway_prot_xdr.c", "-ltirpc"]);
    good(&tool("gcc", &mut gcc), "the client compiles");
    program
}

#[test]
fn stubs_of_rpcgen_drive_both_versions_on_one_connection_and_a_hundred_calls_at_once() {
    let network = Network::start(3, &["--durability", "os"]);
    let client = compiled(network.dir.path());
    let node = &network.nodes[1];
    let port = node.sunrpc.port().to_string();
    for key in [1_u8, 2] {
        let key = format!("{key:02x}{}", "5a".repeat(19));
        let mut run = Command::new(&client);
        run.args(["127.0.0.1", &port, &key, SECRET_HASH, VALUE_HASH]);
        assert_eq!(good(&tool("gcc", &mut run), "the client in C"), "done\n");
    }
    // What C put, every other interface of every node sees.
    let key = format!("01{}", "5a".repeat(19));
    let seen = keyway(["--gateway", &network.nodes[2].url(), "get", "--hex", &key, "--all"]).good();
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!((lines.len(), &lines[..2]), (3, &["plain", "lasting"][..]), "{seen}");
    let metrics = get(node.http, "/metrics").expect("metrics").1;
    for call in [
        "gateway_sunrpc_calls_total{version=\"2\",procedure=\"put\",outcome=\"ok\"} 54",
        "gateway_sunrpc_calls_total{version=\"3\",procedure=\"remove\",outcome=\"ok\"} 2",
    ] {
        assert!(metrics.contains(call), "{call} in {metrics}");
    }
}

#[test]
fn rpcinfo_finds_the_program_and_its_versions() {
    let network = Network::start(1, &["--durability", "memory", "--replicas", "1", "--acks", "1"]);
    let node = &network.nodes[0];
    let port = node.sunrpc.port();
    // A universal address: the port as two bytes behind the address.
    let addr = format!("127.0.0.1.{}.{}", port >> 8, port & 0xff);
    for version in ["2", "3"] {
        let told = tool("rpcbind", rpcinfo().args(["-a", &addr, "-T", "tcp", PROGRAM, version]));
        let told = good(&told, "rpcinfo");
        assert!(told.contains(&format!("program {PROGRAM} version {version} ready and waiting")), "{told}");
    }
    // Without a version it asks for an impossible one, and is told which there are.
    let told = good(&tool("rpcbind", rpcinfo().args(["-a", &addr, "-T", "tcp", PROGRAM])), "rpcinfo");
    for version in [2, 3] {
        assert!(told.contains(&format!("version {version} ready and waiting")), "{told}");
    }
    let refused = tool("rpcbind", rpcinfo().args(["-a", &addr, "-T", "tcp", "100003", "3"]));
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stdout) + String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("not available") || said.contains("unavailable"), "{said}");
    wait_until("no connection is left", SOON, || {
        let metrics = get(node.http, "/metrics")?.1;
        metrics.contains("keyway_gateway_sunrpc_connections 0").then_some(())
    });
}
