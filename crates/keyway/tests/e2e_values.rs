//! Everything that can be stored, by the command line against real nodes: values that are removed and stay away, immutable and
//! signed ones, series; and what each mistake ends with.

mod support;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{Network, SOON, keyway, put, run, wait_until};

fn file(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("a file");
    path
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// A new key; its file, and the name of its owner.
fn keygen(dir: &Path, name: &str) -> (String, String) {
    let path = dir.join(name).display().to_string();
    let owner = json_of(&keyway(["keygen", &path, "-o", "json"]).good());
    (path, owner["signer"].as_str().expect("a name").to_owned())
}

#[test]
fn what_is_removed_stays_away_after_all_nodes_have_died() {
    let mut network = Network::start(4, &[]);
    let dir = network.dir.path().to_owned();
    let secret = file(&dir, "secret", "open sesame\n").display().to_string();
    let wrong = file(&dir, "wrong", "guess").display().to_string();
    let (key, _) = keygen(&dir, "me.key");

    let said = network.run(&["put", "colors", "red", "--secret-file", &secret, "--details"]).good();
    assert!(said.contains("secret hash") && said.contains("held by"), "{said}");
    assert!(!said.contains("sesame"), "{said}");
    network.run(&["put", "colors", "green"]).good();
    network.run(&["put", "colors", "blue", "--sign", &key]).good();

    let error = network.run(&["remove", "colors", "red", "--secret-file", &wrong]).failed(3);
    assert!(
        error.contains("nothing was removed: no value with this hash was put under this secret"),
        "{error}"
    );
    network.run(&["remove", "colors", "green", "--secret-file", &secret]).failed(3);
    assert_eq!(network.run(&["get", "colors"]).good(), "red\ngreen\nblue\n", "nothing is gone");

    let said = network.run(&["remove", "colors", "red", "--secret-file", &secret]).good();
    assert!(said.contains("removed") && said.contains("copies acknowledged"), "{said}");
    network.run(&["remove", "colors", "blue", "--sign", &key]).good();
    assert_eq!(network.run(&["get", "colors"]).good(), "green\n");

    let everyone = 0..network.nodes.len();
    everyone.clone().for_each(|at| network.nodes[at].kill());
    everyone.for_each(|at| network.restart(at));
    network.wait_ready(SOON);
    for node in &network.nodes {
        let got = keyway(["--gateway", &node.url(), "get", "colors"]).good();
        assert_eq!(got, "green\n", "by {}", node.url());
    }
    let error = network.run(&["put", "colors", "red", "--secret-file", &secret]).failed(7);
    assert!(error.contains("was removed") && error.contains("another secret"), "{error}");
    network.run(&["put", "colors", "red", "--secret-file", &wrong]).failed(7);
    network.run(&["put", "colors", "red"]).good();
    assert_eq!(network.run(&["get", "colors"]).good(), "green\nred\n", "under no secret it is another one");
    network.run(&["remove", "colors", "blue", "--sign", &key]).failed(3);
}

#[test]
fn immutable_values_and_forgeries() {
    let network = Network::start(3, &["--durability", "os"]);
    let dir = network.dir.path();
    let receipt = json_of(&network.run(&["put", "--immutable", "red", "-o", "json"]).good());
    let key = receipt["key"].as_str().expect("a key").to_owned();
    assert_eq!(key, "b1f51a511f1da0cd348b8f8598db32e61cb963e5", "20 bytes of SHA-256");
    assert_eq!(network.run(&["get", "--hex", &key]).good(), "red\n");
    network.run(&["put", "--hex", &key, "blue"]).good();
    let page = json_of(&network.run(&["get", "--hex", &key, "-o", "json"]).good());
    let kinds: Vec<&str> =
        page["values"].as_array().expect("values").iter().filter_map(|v| v["kind"].as_str()).collect();
    assert_eq!(kinds, ["immutable", "put"], "what else is put there is seen to be something else");

    // What one signed, sent for another value, key and network, by plain HTTP.
    let (mine, signer) = keygen(dir, "me.key");
    network.run(&["put", "colors", "red", "--sign", &mine]).good();
    let page = json_of(&network.run(&["get", "colors", "--signer", &signer, "-o", "json"]).good());
    let value = &page["values"][0];
    let mut body = value["proof"].clone();
    body["kind"] = "signed".into();
    body["value_base64"] = value["value_base64"].clone();
    let post = |path: &str, body: &Value| {
        let body = body.to_string();
        support::post(network.nodes[1].http, path, body.as_bytes()).map(|(status, _)| status)
    };
    assert_eq!(post("/v1/keys/colors/signed", &body), Some(201), "its own signature");
    assert_eq!(post("/v1/keys/other/signed", &body), Some(403), "under another key");
    let mut forged = body.clone();
    forged["value_base64"] = "Ymx1ZQ==".into();
    assert_eq!(post("/v1/keys/colors/signed", &forged), Some(403), "with another value");
    let elsewhere = Network::start(1, &["--durability", "memory", "--replicas", "1", "--acks", "1"]);
    let status =
        support::post(elsewhere.nodes[0].http, "/v1/keys/colors/signed", body.to_string().as_bytes());
    assert_eq!(status.map(|(status, _)| status), Some(403), "in another network");
    assert_eq!(network.run(&["get", "colors", "--signer", &signer]).good(), "red\n");
    assert_eq!(put(network.nodes[0].http, "/v1/keys/colors", b"plain").map(|(status, _)| status), Some(201));
    assert_eq!(
        network.run(&["get", "colors", "--signer", &signer]).good(),
        "red\n",
        "nobody else speaks there"
    );
}

#[test]
fn a_series_moves_on_by_one_and_conflicts_are_told() {
    let network = Network::start(3, &["--durability", "os"]);
    let dir = network.dir.path();
    let (key, signer) = keygen(dir, "me.key");
    let series = |value: &str, more: &[&str]| {
        let mut args = vec!["put", "visits", value, "--sign", &key, "--series", "day"];
        args.extend(more);
        network.run(&args)
    };
    series("one", &[]).good();
    series("two", &[]).good();
    series("three", &["--cas", "2"]).good();
    assert_eq!(network.run(&["get", "visits"]).good(), "three\n", "only the last one");
    let error = series("drei", &["--cas", "2"]).failed(7);
    assert!(error.contains("the series is at 3"), "{error}");
    series("late", &["--seq", "1"]).failed(7);
    let error = series("short", &["--cas", "3", "--ttl", "1m"]).failed(7);
    assert!(error.contains("live as long"), "{error}");
    let said = network.run(&["get", "visits", "--details"]).good();
    assert!(said.contains("number 3") && said.contains(&signer), "{said}");
    network.run(&["remove", "visits", "three", "--sign", &key]).good();
    network.run(&["get", "visits"]).failed(3);
    series("again", &["--cas", "4"]).good();
    assert_eq!(network.run(&["get", "visits"]).good(), "again\n");
    // After a removal there is nothing to read, and the series goes on all the same.
    network.run(&["remove", "visits", "again", "--sign", &key]).good();
    series("and again", &["--ttl", "2d"]).good();
    let said = network.run(&["get", "visits", "--details"]).good();
    assert!(said.contains("number 7"), "{said}");
    let error = series("short", &["--ttl", "1m"]).failed(7);
    assert!(error.contains("until ") && error.contains("--ttl 2d"), "{error}");
    let error = json_of(&series("short", &["--ttl", "1m", "-o", "json"]).failed(7))["error"].clone();
    assert_eq!((&error["code"], &error["exit"]), (&json!("outlived"), &json!(7)), "{error}");
    assert!(error["expires_ms"].as_u64().is_some_and(|ms| ms > 1_700_000_000_000), "{error}");
    let error = json_of(&series("late", &["--cas", "3", "-o", "json"]).failed(7))["error"].clone();
    assert_eq!((&error["code"], &error["seq"]), (&json!("conflict"), &json!(7)), "{error}");

    // Lives: whoever can see a value can renew it, but only its signer what is signed.
    let secret = file(dir, "secret", "open").display().to_string();
    network.run(&["put", "k", "v", "--ttl", "1h", "--secret-file", &secret]).good();
    network.run(&["put", "k", "w", "--ttl", "1h", "--sign", &key]).good();
    let error = network.run(&["renew", "k", "--ttl", "2d"]).failed(5);
    assert!(error.contains("1 value was not renewed"), "{error}");
    network.run(&["renew", "k", "w", "--ttl", "3d", "--sign", &key]).good();
    let page = json_of(&network.run(&["get", "k", "-o", "json"]).good());
    let left = |at: usize| page["values"][at]["remaining_seconds"].as_u64().expect("seconds");
    let mut lives = [left(0), left(1)];
    lives.sort_unstable();
    assert!(lives[0] > 47 * 3600 && lives[1] > 71 * 3600, "{lives:?}");
    assert_eq!(page["values"].as_array().map(Vec::len), Some(2), "no value was doubled: {page}");
    network.run(&["remove", "k", "v", "--secret-file", &secret]).good();

    let page = json_of(&network.run(&["get", "k", "-o", "json", "--max", "1"]).good());
    assert_eq!((&page["more"], &page["next"]), (&json!(false), &Value::Null));
    for n in 0..3 {
        network.run(&["put", "pages", &format!("page {n}")]).good();
    }
    let page = json_of(&network.run(&["get", "pages", "-o", "json", "--max", "2"]).good());
    let next = page["next"].as_str().expect("a cursor");
    assert_eq!(network.run(&["get", "pages", "--cursor", next]).good(), "page 2\n");
    let got = network.run(&["get", "pages", "--max", "2"]);
    let hint = got.stderr.split("--cursor ").nth(1).expect("it names the cursor").to_owned();
    let cursor = hint.split(' ').next().expect("a word").trim_matches('\'');
    assert_eq!(network.run(&["get", "pages", "--cursor", cursor]).good(), "page 2\n");
    let error = network.run(&["get", "pages", "--cursor", "nonsense"]).failed(2);
    assert!(error.contains("--cursor takes"), "{error}");
}

#[test]
fn hints_are_commands_that_can_be_pasted() {
    let network = Network::start(1, &["--durability", "memory", "--replicas", "1", "--acks", "1"]);
    let digits = "f8bd696759805b9098f9e13be67d2b248c7619d0";
    let keys: [(&[&str], &str); 5] = [
        (&["two words"], "'two words'"),
        (&["--", "-x"], "-- -x"),
        (&["--hex", digits], "--hex f8bd696759805b9098f9e13be67d2b248c7619d0"),
        (&[""], "''"),
        (&["it's"], "'it'\\''s'"),
    ];
    for (key, words) in keys {
        let error = network.run(&[&["get"], key].concat()).failed(3);
        assert!(error.contains(&format!("`keyway where {words}`")), "{error}");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("\"$0\" where {words}")]).arg(support::command().get_program());
        shell.env("KEYWAY_GATEWAY", network.gateways()).env("KEYWAY_CONFIG", "/dev/null");
        run(&mut shell, b"").good();
    }
    let error = network.run(&["put", "k", "v", "--ttl", "0"]).failed(4);
    assert!(error.contains("another --ttl") && !error.contains('?'), "{error}");
}

#[test]
fn a_watch_tells_what_happens_and_runs_commands() {
    let network = Network::start(3, &["--durability", "os"]);
    let secret = file(network.dir.path(), "secret", "open").display().to_string();
    let mut verb = network.verb(&["watch", "colors", "--max", "4", "-o", "ndjson"]);
    let mut watch = support::Process::start(&mut verb, &network.dir.path().join("watch.log"));
    network.run(&["put", "colors", "red", "--ttl", "1h", "--secret-file", &secret]).good();
    let next = |watch: &support::Process| json_of(&watch.line());
    assert_eq!(next(&watch)["text"], "red");
    network.run(&["renew", "colors", "red", "--ttl", "2h"]).good();
    assert_eq!(next(&watch)["event"], "renewed");
    network.run(&["remove", "colors", "red", "--secret-file", &secret]).good();
    assert_eq!(next(&watch)["event"], "removed");
    network.run(&["put", "colors", "short", "--ttl", "3s"]).good();
    let short = next(&watch);
    assert_eq!((&short["event"], &short["text"]), (&json!("value"), &json!("short")));
    assert!(watch.end(SOON).success(), "{}", watch.log_end());

    network.run(&["put", "hook", "the value"]).good();
    let command = "printf '%s ' $KEYWAY_EVENT; cat";
    let said = network.run(&["watch", "hook", "--max", "1", "--exec", command]).good();
    assert_eq!(said, "value the value");
    assert_eq!(network.run(&["watch", "hook", "--max", "1", "-o", "raw"]).good(), "the value", "exact bytes");

    // Who has read enough ends it, though nothing happens to the key any more: the shell waits for both.
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &format!("{} watch hook -o raw | head -c 5", env!("CARGO_BIN_EXE_keyway"))]);
    shell.env("KEYWAY_GATEWAY", network.gateways()).env("KEYWAY_CONFIG", "/dev/null");
    assert_eq!(run(&mut shell, b"").good(), "the v");
}

#[test]
fn a_watch_outlives_a_restart_of_its_only_gateway() {
    let mut network = Network::start(1, &["--replicas", "1", "--acks", "1"]);
    network.run(&["put", "colors", "red", "--ttl", "1h"]).good();
    let mut verb = network.verb(&["watch", "colors", "--max", "2", "-o", "ndjson"]);
    let mut watch = support::Process::start(&mut verb, &network.dir.path().join("watch.log"));
    assert_eq!(json_of(&watch.line())["text"], "red");
    network.nodes[0].kill();
    wait_until("it says that nobody answers", SOON, || watch.log().contains("trying again").then_some(()));
    network.restart(0);
    network.wait_ready(SOON);
    network.run(&["put", "colors", "blue"]).good();
    let next = json_of(&watch.line());
    assert_eq!((&next["event"], &next["text"]), (&json!("value"), &json!("blue")), "{next}");
    assert!(watch.end(SOON).success(), "{}", watch.log_end());
    assert_eq!(watch.log().matches("trying again").count(), 1, "{}", watch.log());
    // A first connection in vain ends at once.
    network.nodes[0].kill();
    let absent = network.nodes[0].url();
    keyway(["--gateway", &absent, "watch", "colors"]).failed(6);
}

#[test]
fn keys_and_secrets_are_kept_well_and_mistakes_are_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("a directory");
    let (key, signer) = keygen(dir.path(), "me.key");
    let mode = std::fs::metadata(&key).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&key).expect("a key");
    let error = keyway(["keygen", &key]).failed(4);
    assert!(error.contains("no key was written"), "{error}");
    assert_eq!(std::fs::read_to_string(&key).expect("a key"), text, "it is as it was");
    assert!(keyway(["keygen", "--show", &key]).good().contains(&signer));

    let not_a_key = file(dir.path(), "secret", &"s3cr3t".repeat(9)).display().to_string();
    let error = keyway(["put", "k", "v", "--sign", &not_a_key]).failed(2);
    assert!(error.contains("is not a signing key") && !error.contains("s3cr3t"), "{error}");
    let error = keyway(["put", "k", "v", "--secret-file", &not_a_key]).failed(2);
    assert!(error.contains("54 bytes") && !error.contains("s3cr3t"), "{error}");
    assert!(error.contains("chmod 600"), "others may read it: {error}");
    let error = keyway(["remove", "k", "v"]).failed(2);
    assert!(error.contains("--secret-file"), "{error}");
    let error = keyway(["put", "k", "v", "--secret-fd", "77"]).failed(2);
    assert!(error.contains("descriptor 77"), "{error}");
    let error = keyway(["put", "--immutable", "k", "v"]).failed(2);
    assert!(error.contains("no KEY"), "{error}");
    let folder = dir.path().display().to_string();
    let error = keyway(["put", "k", &format!("@{folder}")]).failed(2);
    assert!(error.contains("irectory") && error.contains("name a file"), "{error}");
    let error = keyway(["snapshot", &folder]).failed(2);
    assert!(error.contains("it is a directory") && !error.contains("room"), "{error}");
    let help = keyway(["snapshot", "--help"]).good();
    assert!(help.contains("--data-dir keyway-data/node-0 "), "as `keyway up` names it: {help}");
    keyway(["put", "k", "v", "--series", "x"]).failed(2);
    keyway(["put", "k"]).failed(2);
    // A secret by a descriptor gets as far as the gateway that is not there.
    let mut shell = std::process::Command::new("sh");
    let binary = support::command();
    shell.args(["-c", "exec \"$0\" \"$@\" 3< \"$SECRET\""]).arg(binary.get_program());
    shell.args(["--gateway", "http://127.0.0.1:1", "put", "k", "v", "--secret-fd", "3"]);
    shell.env("SECRET", file(dir.path(), "short", "open")).env("KEYWAY_CONFIG", "/dev/null");
    let error = run(&mut shell, b"").failed(6);
    assert!(error.contains("no gateway"), "{error}");
}
