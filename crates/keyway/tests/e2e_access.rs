//! Access tokens by the command line against a real node: made, shown, charged, revoked, and never seen in a log.

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::Value;
use support::{Network, Ran, command, keyway, run};

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// `keyway ARGS` on a disk that is full after `blocks` of 512 bytes.
fn on_a_full_disk(blocks: u32, args: &[&str]) -> Ran {
    // A limit on files stands for the disk: who ignores the signal gets an error from the write.
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
    shell.arg(command().get_program()).args(args).env("KEYWAY_CONFIG", "/dev/null");
    run(&mut shell, b"")
}

#[test]
fn a_full_disk_leaves_nothing_that_bars_the_next_try() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (key, tokens, out) = (path("me.key"), path("tokens"), path("out"));
    let is_there = |path: &str| std::path::Path::new(path).exists();

    let said = on_a_full_disk(0, &["keygen", &key]).failed(4);
    assert!(said.contains("no key was written") && said.contains("where there is room"), "{said}");
    assert!(!is_there(&key));
    keyway(["keygen", &key]).good();

    let create = ["token", "create", "app", "--tokens", &tokens, "--out", &out];
    on_a_full_disk(0, &create).failed(4);
    assert!(!is_there(&out) && !is_there(&tokens));
    for name in ["a", "b", "c", "d", "e", "f"] {
        keyway(["token", "create", name, "--tokens", &tokens]).good();
    }
    // The token has room, the file of all tokens has not.
    let said = on_a_full_disk(1, &create).failed(1);
    assert!(said.contains("the token file") && said.contains("where there is room"), "{said}");
    assert!(!is_there(&out) && !is_there(&format!("{tokens}.new")));
    keyway(create).good();
}

#[test]
fn what_cannot_be_a_token_is_refused_with_a_next_step() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let tokens = dir.path().join("no/such/tokens").display().to_string();
    let said = keyway(["token", "create", "app", "--tokens", &tokens]).failed(1);
    assert!(said.contains("in a directory that is there") && !said.contains("makes it"), "{said}");
    let tokens = dir.path().join("tokens").display().to_string();
    let said = keyway(["token", "create", "app", "--tokens", &tokens, "--ttl", "0s"]).failed(2);
    assert!(said.contains("a second at least"), "{said}");
    let said = keyway(["token", "list", "--tokens", &tokens]).failed(3);
    assert!(said.contains(&format!("keyway token create NAME --tokens {tokens}")), "{said}");
    let missing = dir.path().join("missing").display().to_string();
    for (flag, step) in
        [("--secret-file", "urandom"), ("--sign", "keyway keygen"), ("--token-file", "token create")]
    {
        let said = keyway(["put", "k", "v", flag, &missing]).failed(2);
        assert!(said.contains("missing") && said.contains(step), "{flag}: {said}");
    }
}

#[test]
fn a_token_is_made_shown_charged_and_revoked() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (tokens, app, ops) = (path("tokens"), path("app.token"), path("ops.token"));
    let token = |args: &[&str]| {
        keyway(["token"].into_iter().chain(args.iter().copied()).chain(["--tokens", tokens.as_str()]))
    };

    let error = token(&["list"]).failed(3);
    assert!(error.contains("keyway token create"), "{error}");
    let error =
        keyway(["node", "--tokens", &tokens, "--durability", "memory", "--listen", "127.0.0.1:0"]).failed(2);
    assert!(error.contains("token file") && error.contains("keyway token create"), "{error}");
    token(&["create", "app", "--out", &app, "--stored", "1236"]).good();
    assert_eq!(std::fs::metadata(&app).expect("the token").permissions().mode() & 0o777, 0o600);
    let shown = json_of(&token(&["create", "ops", "--scope", "admin", "--ttl", "30d", "-o", "json"]).good());
    let text = shown["token"].as_str().expect("a token").to_owned();
    std::fs::write(&ops, &text).expect("kept");
    token(&["create", "app"]).failed(7);
    token(&["create", "no_name"]).failed(2);
    token(&["create", "none", "--scope", "none"]).failed(2);
    token(&["create", "other", "--out", &app]).failed(4);
    token(&["revoke", "nobody"]).failed(3);
    let list = json_of(&token(&["list", "-o", "json"]).good());
    assert_eq!(
        list["tokens"].as_array().map(Vec::len),
        Some(2),
        "what could not be written is not there: {list}"
    );
    assert!(!list.to_string().contains(&text[8..]), "{list}");

    let mut network = Network::start(
        1,
        &["--tokens", &tokens, "--open-loopback", "read", "--replicas", "1", "--acks", "1"],
    );
    let error = network.run(&["put", "colors", "red"]).failed(4);
    assert!(error.contains("nobody may write here") && error.contains("--token-file"), "{error}");
    network.run(&["put", "colors", "red", "--token-file", &app]).good();
    assert_eq!(network.run(&["get", "colors"]).good(), "red\n", "reading takes none here");
    let error = network.run(&["put", "colors", &"x".repeat(1022), "--token-file", &app]).failed(4);
    assert!(error.contains("1236 bytes stored") && error.contains("has 109"), "{error}");
    let error = network.run(&["nodes", "--token-file", &app]).failed(4);
    assert!(error.contains("the access token app is not for admin"), "{error}");
    network.run(&["nodes", "--token-file", &ops]).good();
    let usage = json_of(&network.run(&["clients", "--token-file", &ops, "-o", "json"]).good());
    let account = usage["clients"].as_array().and_then(|all| all.iter().find(|c| c["token"] == "app"));
    let asked = &account.unwrap_or_else(|| panic!("{usage}"))["asked"];
    assert_eq!((&asked["writes"], &asked["bytes"], &asked["denied"]), (&1.into(), &3.into(), &2.into()));
    let table = network.run(&["clients", "--token-file", &ops]).good();
    assert!(table.contains(" app "), "{table}");

    token(&["revoke", "app"]).good();
    let revoked = support::wait_until("the token is refused", support::SOON, || {
        let ran = network.run(&["get", "colors", "--token-file", &app]);
        (ran.code == 4).then(|| ran.failed(4))
    });
    assert!(revoked.contains("the access token app was revoked"), "{revoked}");
    let secrets = [text.clone(), std::fs::read_to_string(&app).expect("the token").trim().to_owned()];
    for secret in secrets {
        let secret = secret.rsplit('_').next().expect("its secret part").to_owned();
        assert!(!network.nodes[0].process().log().contains(&secret), "no token is logged");
        assert!(!std::fs::read_to_string(&tokens).expect("the file").contains(&secret));
    }
}
