//! `keyway publish` and `keyway fetch` between real processes: files and folders, publishers that are killed in the middle, lie,
//! leave, or whose files change; and what each of these ends with.

mod support;

use std::fs;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Stdio};
use std::thread;

use keyway_client::publish::{Announcement, Content, Pointer, What};
use keyway_client::{Client, Signer};
use serde_json::Value;
use support::{Network, Process, SOON, keyway, noise, wait_until};

/// A network of one node: what is tried here is what stands around it.
fn small() -> Network {
    Network::start(1, &["--durability", "memory", "--replicas", "1", "--acks", "1"])
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// A folder of this test alone.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn file(dir: &Path, name: &str, bytes: &[u8]) -> String {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(&path, bytes).expect("written");
    path.display().to_string()
}

/// Somebody who publishes.
struct Publisher {
    process: Process,
    key: String,
    signer: String,
    url: String,
    said: Value,
}

fn publish(network: &Network, dir: &Path, args: &[&str]) -> Publisher {
    let mut verb = network.verb(&[&["-o", "ndjson", "publish"], args].concat());
    let process = Process::start(&mut verb, &dir.join("publish.log"));
    let said = process.event("published");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let (key, signer, url) = (text(&said["key"]), text(&said["signer"]), text(&said["urls"][0]));
    Publisher { process, key, signer, url, said }
}

impl Publisher {
    /// Ctrl-C; gives what it says at the end.
    fn leave(&mut self) -> Value {
        self.process.interrupt();
        let left = self.process.event("left");
        assert!(self.process.end(SOON).success(), "{}", self.process.log_end());
        left
    }
}

fn fetch(network: &Network, args: &[&str]) -> support::Ran {
    network.run(&[&["fetch"], args].concat())
}

/// What lies in a folder, by its path.
fn tree(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).expect("below it").to_owned();
                files.push((name, fs::read(path).expect("a file")));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_file_goes_from_one_process_to_another_and_its_pointer_goes_with_its_publisher() {
    let (network, dir) = (small(), folder());
    let bytes = noise(1, 3_000_000);
    let mut publisher = publish(&network, dir.path(), &[&file(dir.path(), "cat.jpg", &bytes)]);
    let key = publisher.key.clone();
    assert_eq!((&publisher.said["ephemeral"], &publisher.said["what"]), (&true.into(), &"file".into()));
    assert_eq!(key, Content::of(&bytes).key().to_string());

    let out = dir.path().join("out").display().to_string();
    let receipt = json_of(&fetch(&network, &[&key, "--out", &out, "-o", "json"]).good());
    assert_eq!(fs::read(&out).expect("a file"), bytes);
    assert_eq!((&receipt["key"], receipt["bytes"].as_u64()), (&key.clone().into(), Some(3_000_000)));
    assert_eq!(receipt["publishers"][0]["url"], publisher.url);
    assert_eq!(receipt["publishers"][0]["signer"], publisher.signer);

    // Again: it is there. By the whole hash and its signer, to standard output. Over something else: not unasked.
    let receipt = json_of(&fetch(&network, &[&key, "--out", &out, "-o", "json"]).good());
    assert_eq!((receipt["kept"].as_u64(), receipt["fetched_bytes"].as_u64()), (Some(1), Some(0)));
    assert!(fetch(&network, &[&key, "--out", &out]).good().starts_with("there already: "));
    let sha256 = publisher.said["sha256"].as_str().expect("a hash").to_owned();
    let ran = fetch(&network, &[&sha256, "--signer", &publisher.signer, "-o", "raw"]);
    assert_eq!((ran.code, ran.stdout == bytes), (0, true), "{}", ran.stderr);
    fs::write(&out, "mine").expect("written");
    let error = fetch(&network, &[&key, "--out", &out]).failed(4);
    assert!(error.contains("there already") && error.contains("--force"), "{error}");
    assert_eq!(fs::read(&out).expect("a file"), b"mine");
    assert!(fetch(&network, &[&key, "--out", &out, "--force"]).good().contains("SHA-256 verified"));
    assert_eq!(fs::read(&out).expect("a file"), bytes);

    let error = fetch(&network, &[&key, "--signer", &"0".repeat(64), "--out", "-"]).failed(3);
    assert!(error.contains("by this signer"), "{error}");
    let error = fetch(&network, &[&key, "--max", "1MiB", "--out", &format!("{out}2")]).failed(4);
    assert!(error.contains("3,000,000 bytes") && error.contains("--max"), "{error}");

    let left = publisher.leave();
    assert_eq!(left["removed"], true);
    assert!(left["answer_bytes"].as_u64() >= Some(9_000_000), "{left}");
    let error = fetch(&network, &[&key, "--out", &format!("{out}3")]).failed(3);
    assert!(error.contains("nobody publishes") && error.contains("only while somebody publishes"), "{error}");
    let names: Vec<_> = tree(dir.path()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["cat.jpg", "out", "publish.log"].map(PathBuf::from), "no draft is left");
}

#[test]
fn a_folder_is_laid_as_it_was_and_nothing_else_is_touched() {
    let (network, dir) = (small(), folder());
    let site = dir.path().join("site");
    file(&site, "index.html", b"<p>red");
    file(&site, "empty", b"");
    file(&site, "pictures/cat.jpg", &noise(2, 500_000));
    file(&site, "pictures/old/dog.jpg", &noise(3, 100_000));
    std::os::unix::fs::symlink("index.html", site.join("link")).expect("linked");
    let key_file = dir.path().join("me.key").display().to_string();
    keyway(["keygen", &key_file]).good();
    let site = site.display().to_string();
    let mut publisher = publish(&network, dir.path(), &[&site, "--name", "our site", "--sign", &key_file]);
    assert_eq!(
        (publisher.said["files"].as_u64(), publisher.said["skipped"].as_u64(), &publisher.said["ephemeral"]),
        (Some(4), Some(1), &false.into())
    );
    assert!(publisher.process.log().contains("link is a symbolic link"), "{}", publisher.process.log());

    let out = dir.path().join("out");
    let at = out.display().to_string();
    let receipt = json_of(&fetch(&network, &[&publisher.key, "--out", &at, "-o", "json"]).good());
    fs::remove_file(Path::new(&site).join("link")).expect("removed");
    assert_eq!(tree(&out), tree(Path::new(&site)));
    assert_eq!(
        (receipt["files"].as_u64(), receipt["kept"].as_u64(), &receipt["what"]),
        (Some(4), Some(0), &"tree".into())
    );

    // By its name, into a folder that has a part of it: only the rest is fetched, and what is in the way is named.
    fs::remove_file(out.join("empty")).expect("removed");
    fs::remove_file(out.join("pictures/cat.jpg")).expect("removed");
    let signer = publisher.signer.clone();
    let by_name = ["--name", "our site", "--signer", &signer, "--out", &at];
    let receipt = json_of(&fetch(&network, &[&by_name[..], &["-o", "json"]].concat()).good());
    assert_eq!((receipt["kept"].as_u64(), receipt["fetched_bytes"].as_u64()), (Some(2), Some(500_000)));
    file(&out, "index.html", b"<p>blue");
    fs::remove_file(out.join("empty")).expect("removed");
    let error = fetch(&network, &by_name).failed(4);
    assert!(error.contains("index.html is there already"), "{error}");
    assert!(!out.join("empty").exists(), "nothing was written");
    fs::remove_dir_all(out.join("pictures")).expect("removed");
    std::os::unix::fs::symlink(dir.path(), out.join("pictures")).expect("linked");
    let error = fetch(&network, &[&by_name[..], &["--force"]].concat()).failed(4);
    assert!(error.contains("nothing is laid through it"), "{error}");
    fs::remove_file(out.join("pictures")).expect("removed");
    fetch(&network, &[&by_name[..], &["--force"]].concat()).good();
    assert_eq!(tree(&out), tree(Path::new(&site)));
    fetch(&network, &[&publisher.key, "--out", "-"]).failed(2);

    // Another who means something else by the name: one's word is taken, or none.
    let mut other =
        publish(&network, dir.path(), &[&file(dir.path(), "squat", b"mine"), "--name", "our site"]);
    let error = fetch(&network, &["--name", "our site", "--out", "-"]).failed(7);
    assert!(error.contains("2 different contents") && error.contains(&publisher.signer), "{error}");
    fetch(&network, &by_name).good();
    other.leave();
    publisher.leave();
    fetch(&network, &by_name).failed(3);
}

/// Reads so many bytes, and no more until asked again: whoever writes waits.
fn read(from: &mut ChildStdout, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    from.read_exact(&mut bytes).expect("so many bytes");
    bytes
}

#[test]
fn when_a_publisher_is_killed_in_the_middle_another_goes_on() {
    let (network, dir) = (Network::start(3, &["--durability", "memory"]), folder());
    // More than the sockets and the pipe between two processes hold.
    let bytes = noise(4, 64 << 20);
    let path = file(dir.path(), "large", &bytes);
    let mut publishers = [publish(&network, dir.path(), &[&path]), publish(&network, dir.path(), &[&path])];
    assert_eq!(publishers[0].key, publishers[1].key, "the same bytes have the same key");
    let key = publishers[0].key.clone();

    let mut verb = network.verb(&["fetch", &key, "--out", "-"]);
    let log = dir.path().join("fetch.log");
    let stderr = fs::File::create(&log).expect("a log");
    let mut child = verb.stdout(Stdio::piped()).stderr(stderr).spawn().expect("the program starts");
    let mut stdout = child.stdout.take().expect("it is piped");
    let mut come = read(&mut stdout, 1 << 20);
    // Whoever serves it now is stuck in the middle of it.
    let serving = publishers.iter().position(|publisher| publisher.serves()).expect("one of them serves it");
    publishers[serving].process.kill();
    stdout.read_to_end(&mut come).expect("the rest");
    let ended = child.wait().expect("it ends");
    let said = fs::read_to_string(&log).expect("a log");
    assert!(ended.success() && come == bytes, "{ended}, {} bytes: {said}", come.len());
    let survivor = &publishers[1 - serving].url;
    assert!(said.contains(&format!("{survivor} goes on after")), "{said}");

    // And when that one is killed, too, nothing is left but pointers.
    publishers[1 - serving].process.kill();
    let error = fetch(&network, &[&key, "--out", &dir.path().join("none").display().to_string()]).failed(5);
    assert!(error.contains("2 publishers are named") && error.contains("none gave it"), "{error}");
    assert!(error.contains("refused") && error.contains("named until") && error.contains("UTC"), "{error}");
    assert!(error.contains(survivor) && error.contains("with their publishers and nowhere else"), "{error}");
}

impl Publisher {
    /// Whether somebody is connected to it.
    fn serves(&self) -> bool {
        let port = self.url.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).expect("a port");
        let table = fs::read_to_string("/proc/net/tcp").expect("Linux");
        // State 1 is an established connection; local addresses stand in the second column.
        let port = format!(":{port:04X}");
        table.lines().skip(1).any(|line| {
            let mut columns = line.split_whitespace().skip(1);
            let (local, _, state) = (columns.next(), columns.next(), columns.next());
            local.is_some_and(|local| local.ends_with(&port)) && state == Some("01")
        })
    }
}

/// A request's head, or what came of it.
fn head_of(socket: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if socket.read(&mut byte).unwrap_or(0) == 0 {
            break;
        }
        head.push(byte[0]);
    }
    head
}

/// Serves wrong bytes of the right number under any hash.
fn liar(count: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { return };
            head_of(&mut socket);
            let _ = write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: {count}\r\n\r\n");
            let _ = socket.write_all(&vec![7; count]);
        }
    });
    addr
}

/// Puts a pointer as anybody may, without being able to keep what it says.
fn announce(network: &Network, content: Content, at: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let gateways: Vec<String> = network.nodes.iter().map(support::Node::url).collect();
        let client = Client::new(&gateways).expect("a client");
        let pointer = Pointer::new(What::File, content, None, vec![at.into()]).expect("a pointer");
        let signer = Signer::generate().expect("a key");
        let announcement = Announcement::new(client, signer, pointer, &[], SOON);
        announcement.expect("an announcement").put().await.expect("it is put");
    });
}

#[test]
fn a_liar_is_found_out_and_the_truth_is_taken_from_another() {
    let (network, dir) = (small(), folder());
    let bytes = noise(5, 100_000);
    let content = Content::of(&bytes);
    announce(&network, content, liar(bytes.len()));
    let key = content.key().to_string();
    let out = dir.path().join("out").display().to_string();
    let error = fetch(&network, &[&key, "--out", &out]).failed(8);
    assert!(error.contains("another hash") && error.contains("nothing of it was kept"), "{error}");
    assert!(!Path::new(&out).exists());
    let ran = fetch(&network, &[&key, "--out", "-"]);
    assert_ne!(ran.stdout, bytes);
    assert!(ran.failed(8).contains("throw it away"));

    let honest = publish(&network, dir.path(), &[&file(dir.path(), "file", &bytes)]);
    // By chance the liar comes first or last; both end well, and alone the honest one is asked.
    for at in 0..4 {
        let out = format!("{out}{at}");
        fetch(&network, &[&key, "--out", &out]).good();
        assert_eq!(fs::read(&out).expect("a file"), bytes);
    }
    let receipt =
        json_of(&fetch(&network, &[&key, "--signer", &honest.signer, "--out", &out, "-o", "json"]).good());
    assert_eq!(receipt["publishers"].as_array().map(Vec::len), Some(1));
}

/// Gives the first half as it is and hangs up; whoever goes on there is given wrong bytes.
fn half_a_liar(bytes: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("its address");
    thread::spawn(move || {
        let (all, half) = (bytes.len(), bytes.len() / 2);
        for mut socket in listener.incoming().map_while(Result::ok) {
            let head = head_of(&mut socket);
            let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
            let from =
                head.split("range: bytes=").nth(1).and_then(|rest| rest.split('-').next()?.parse().ok());
            let Some(from) = from.filter(|from: &usize| *from > 0) else {
                let _ = write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: {all}\r\n\r\n");
                let _ = socket.write_all(&bytes[..half]);
                continue;
            };
            let (left, last) = (all - from, all - 1);
            let _ = write!(
                socket,
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{last}/{all}\r\nContent-Length: {left}\r\n\r\n"
            );
            let _ = socket.write_all(&vec![7; left]);
        }
    });
    addr
}

#[test]
fn who_gave_wrong_bytes_behind_those_of_another_is_not_called_unasked() {
    let network = small();
    let bytes = noise(6, 100_000);
    let content = Content::of(&bytes);
    announce(&network, content, half_a_liar(bytes.clone()));
    announce(&network, content, half_a_liar(bytes));
    let error = fetch(&network, &[&content.key().to_string(), "--out", "-"]).failed(8);
    assert!(!error.contains("was not asked"), "{error}");
    assert!(error.contains("bytes, to the end") && error.contains("throw it away"), "{error}");
}

#[test]
fn a_file_that_changes_is_not_given_and_its_pointer_goes() {
    let (network, dir) = (small(), folder());
    let path = file(dir.path(), "file", b"red");
    let mut publisher = publish(&network, dir.path(), &[&path]);
    fs::write(&path, "green").expect("written");
    let error =
        fetch(&network, &[&publisher.key, "--out", &dir.path().join("out").display().to_string()]).failed(5);
    assert!(error.contains("not as it was"), "{error}");
    assert_eq!(
        publisher.process.event("changed")["file"],
        fs::canonicalize(&path).expect("a path").display().to_string()
    );
    assert_eq!(publisher.process.event("left")["removed"], true);
    assert_eq!(publisher.process.end(SOON).code(), Some(8));
    fetch(&network, &[&publisher.key]).failed(3);
}

#[test]
fn a_pointer_is_renewed_while_it_is_served_and_ends_by_itself_after_a_crash() {
    let (network, dir) = (small(), folder());
    let path = file(dir.path(), "file", b"renewed again and again");
    let ttl_ms = 3_000;
    let mut publisher = publish(&network, dir.path(), &[&path, "--ttl", "3s"]);
    let end_of = |said: &Value| said["expires_ms"].as_u64().expect("an end");
    let mut end = end_of(&publisher.said);
    for _ in 0..2 {
        let next = end_of(&publisher.process.event("renewed"));
        // Ends are whole seconds, rounded up: it was put again before the end of the last one.
        assert!(next > end && next <= end + ttl_ms + 1_000, "{end}, {next}");
        end = next;
    }
    let out = dir.path().join("out").display().to_string();
    fetch(&network, &[&publisher.key, "--out", &out]).good();
    publisher.process.kill();
    let gone = ["--out", &format!("{out}2")];
    fetch(&network, &[&[publisher.key.as_str()], &gone[..]].concat()).failed(5);
    wait_until("the pointer's end", SOON, || {
        (fetch(&network, &[&[publisher.key.as_str()], &gone[..]].concat()).code == 3).then_some(())
    });
}

#[test]
fn mistakes_are_named() {
    let (network, dir) = (small(), folder());
    let path = file(dir.path(), "file", b"red");
    let run = |args: &[&str]| network.run(args);
    let error = run(&["publish", "/nowhere/at/all"]).failed(2);
    assert!(error.contains("cannot read"), "{error}");
    let error = run(&["publish", &path, "--listen", "0.0.0.0:0"]).failed(2);
    assert!(error.contains("--advertise"), "{error}");
    let error = run(&["publish", &path, "--advertise", "https://host.example"]).failed(2);
    assert!(error.contains("not http"), "{error}");
    fs::create_dir(dir.path().join("none")).expect("made");
    let error = run(&["publish", &dir.path().join("none").display().to_string()]).failed(2);
    assert!(error.contains("no file"), "{error}");
    let error = run(&["publish", "/dev/null"]).failed(2);
    assert!(error.contains("a device"), "{error}");
    file(dir.path(), "odd/a\nb", b"x");
    let error = run(&["publish", &dir.path().join("odd").display().to_string()]).failed(2);
    assert!(error.contains("control character"), "{error}");
    let error = run(&["publish", &path, "--ttl", "1s"]).failed(2);
    assert!(error.contains("at least"), "{error}");
    let error = keyway(["--gateway", "http://127.0.0.1:1", "publish", &path]).failed(6);
    assert!(error.contains("no gateway"), "{error}");
    let error = fetch(&network, &["our site"]).failed(2);
    assert!(error.contains("--name TEXT"), "{error}");
    fetch(&network, &[]).failed(2);
    let error = fetch(&network, &["--name", "nobody's", "-o", "json", "--out", "-"]).failed(2);
    assert!(error.contains("standard output"), "{error}");
    // Somebody's value that is no pointer is no publisher.
    run(&["put", "nobody's", "plain"]).good();
    fetch(&network, &["--name", "nobody's"]).failed(3);
}
