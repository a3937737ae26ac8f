//! Published files over HTTP: parts and conditions, what is refused, files that change, connections beyond the bounds, the end.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keyway_client::publish::Content;
use keyway_gateway::{Limits, Shelf, Stamp, serve_published};
use tempfile::{TempDir, tempdir};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// For anything that should take a moment: generous, because tests share a machine with builds.
const SOON: Duration = Duration::from_secs(30);

fn file(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("written");
    path
}

/// A shelf that is served.
struct Served {
    addr: SocketAddr,
    shelf: Arc<Shelf>,
    close: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn serve(files: &[&PathBuf], limits: Limits) -> Served {
    let mut shelf = Shelf::default();
    for path in files {
        let content = Content::of(&fs::read(path).expect("a file"));
        let stamp = Stamp::of(&fs::metadata(path).expect("a file"));
        shelf.add_file(&content.sha256.to_string(), (*path).clone(), stamp);
    }
    shelf.add_text(&Content::of(b"a text").sha256.to_string(), "a text".into());
    let shelf = Arc::new(shelf);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("its address");
    let (close, closed) = oneshot::channel::<()>();
    let shutdown = async move {
        let _ = closed.await;
    };
    let task = tokio::spawn(serve_published(listener, shelf.clone(), limits, shutdown));
    Served { addr, shelf, close, task }
}

fn path_of(bytes: &[u8]) -> String {
    format!("/sha256/{}", Content::of(bytes).sha256)
}

/// The head in small letters and the body of a whole answer, after which the connection ends.
async fn ask(addr: SocketAddr, request: &str) -> (String, Vec<u8>) {
    let mut socket = TcpStream::connect(addr).await.expect("somebody listens");
    socket.write_all(request.as_bytes()).await.expect("taken");
    let mut answer = Vec::new();
    // A connection that is cut in the middle gives what came before.
    let _ = timeout(SOON, socket.read_to_end(&mut answer)).await.expect("an end");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    (head, answer.split_off((end + 4).min(answer.len())))
}

async fn get(addr: SocketAddr, method: &str, path: &str, headers: &str) -> (u16, String, Vec<u8>) {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    let (head, body) = ask(addr, &request).await;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, head, body)
}

#[tokio::test]
async fn a_file_is_given_whole_or_in_part_by_its_hash_alone() {
    let folder = tempdir().expect("a folder");
    let bytes: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    let place = file(&folder, "a", &bytes);
    let served = serve(&[&place], Limits::default()).await;
    let (addr, path) = (served.addr, path_of(&bytes));
    let etag = format!("\"{}\"", Content::of(&bytes).sha256);

    let (status, head, body) = get(addr, "GET", &path, "").await;
    assert_eq!((status, body == bytes), (200, true), "{head}");
    for said in
        ["content-length: 300000", "accept-ranges: bytes", "nosniff", "attachment", &format!("etag: {etag}")]
    {
        assert!(head.contains(said), "{said}: {head}");
    }
    let (status, head, body) = get(addr, "HEAD", &path, "Range: bytes=5-9\r\n").await;
    assert_eq!((status, body.len()), (200, 0), "of a HEAD a range means nothing");
    assert!(head.contains("content-length: 300000"), "{head}");

    for (range, from, until) in
        [("bytes=5-9", 5, 10), ("bytes=299990-", 299_990, 300_000), ("bytes=-7", 299_993, 300_000)]
    {
        let (status, head, body) = get(addr, "GET", &path, &format!("Range: {range}\r\n")).await;
        assert_eq!((status, body), (206, bytes[from..until].to_vec()), "{range}");
        assert!(head.contains(&format!("content-range: bytes {from}-{}/300000", until - 1)), "{head}");
    }
    let (status, head, _) = get(addr, "GET", &path, "Range: bytes=300000-\r\n").await;
    assert!(status == 416 && head.contains("content-range: bytes */300000"), "{head}");
    let (status, ..) = get(addr, "GET", &path, "Range: bytes=1-2,4-5\r\n").await;
    assert_eq!(status, 200, "of several parts all is given");
    let (status, ..) = get(addr, "GET", &path, &format!("Range: bytes=1-2\r\nIf-Range: {etag}\r\n")).await;
    assert_eq!(status, 206);
    let (status, ..) = get(addr, "GET", &path, "Range: bytes=1-2\r\nIf-Range: \"other\"\r\n").await;
    assert_eq!(status, 200, "a part of another content is of no use");
    let (status, _, body) = get(addr, "GET", &path, &format!("If-None-Match: {etag}\r\n")).await;
    assert_eq!((status, body.len()), (304, 0));

    let (status, _, body) = get(addr, "GET", &path_of(b"a text"), "").await;
    assert_eq!((status, body.as_slice()), (200, &b"a text"[..]));
    let (answers, given) = served.shelf.served();
    assert!(answers >= 8 && given >= 900_000, "{answers} {given}");
}

#[tokio::test]
async fn nothing_else_is_given() {
    let folder = tempdir().expect("a folder");
    let place = file(&folder, "a", b"red");
    file(&folder, "secret", b"secret");
    let served = serve(&[&place], Limits::default()).await;
    let good = path_of(b"red");
    for path in [
        "/",
        "/sha256/",
        "/sha256/..%2f..%2fetc%2fpasswd",
        "/sha256/../../etc/passwd",
        "/../secret",
        &path_of(b"secret"),
        &good.to_uppercase(),
        &format!("{good}/"),
        &format!("{good}0"),
        &format!("/{good}"),
        &good[..good.len() - 1],
    ] {
        let (status, head, body) = get(served.addr, "GET", path, "").await;
        assert_eq!(status, 404, "{path}: {head}");
        assert!(!String::from_utf8_lossy(&body).contains("secret"));
    }
    for method in ["PUT", "POST", "DELETE", "OPTIONS"] {
        let (status, head, _) = get(served.addr, method, &good, "Content-Length: 0\r\n").await;
        assert!(status == 405 && head.contains("allow: get, head"), "{method}: {head}");
    }
    let (status, ..) = get(served.addr, "GET", &good, "").await;
    assert_eq!(status, 200, "and it still is");
}

#[tokio::test]
async fn a_file_that_changed_is_not_given_and_its_publisher_is_told() {
    let folder = tempdir().expect("a folder");
    let old = file(&folder, "a", b"red");
    let other = file(&folder, "b", b"blue");
    let served = serve(&[&old, &other], Limits::default()).await;
    assert_eq!(get(served.addr, "GET", &path_of(b"red"), "").await.0, 200);
    assert_eq!(served.shelf.check(), None);
    file(&folder, "a", b"green");
    let (status, _, body) = get(served.addr, "GET", &path_of(b"red"), "").await;
    assert!(status == 410 && String::from_utf8_lossy(&body).contains("not as it was"), "{status}");
    assert_eq!(timeout(SOON, served.shelf.until_changed()).await.expect("told"), old);
    assert_eq!(
        get(served.addr, "GET", &path_of(b"green"), "").await.0,
        404,
        "what it is now was not published"
    );
    assert_eq!(get(served.addr, "GET", &path_of(b"blue"), "").await.0, 200, "others are as they were");

    // The same length and another file: a link, a pipe, nothing.
    fs::remove_file(&other).expect("removed");
    std::os::unix::fs::symlink(file(&folder, "c", b"blau"), &other).expect("linked");
    assert_eq!(get(served.addr, "GET", &path_of(b"blue"), "").await.0, 410);
    fs::remove_file(&other).expect("removed");
    assert_eq!(get(served.addr, "GET", &path_of(b"blue"), "").await.0, 410);
    assert!(served.shelf.check().is_some_and(|path| path == old || path == other));
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_given_is_cut() {
    let folder = tempdir().expect("a folder");
    // More than the buffers of two sockets hold, so that the end is not read before the change.
    let bytes = vec![7; 64 << 20];
    let place = file(&folder, "a", &bytes);
    let served = serve(&[&place], Limits::default()).await;
    let mut socket = TcpStream::connect(served.addr).await.expect("somebody listens");
    let request = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", path_of(&bytes));
    socket.write_all(request.as_bytes()).await.expect("taken");
    let mut first = [0; 1000];
    socket.read_exact(&mut first).await.expect("the beginning");
    // One byte, in its place: the length stays.
    let changed = fs::File::options().write(true).open(&place).and_then(|file| file.write_at(b"8", 0));
    assert_eq!(changed.expect("written"), 1);
    let mut rest = Vec::new();
    let _ = timeout(SOON, socket.read_to_end(&mut rest)).await.expect("an end");
    assert!(rest.len() < bytes.len(), "{} bytes", rest.len());
    assert_eq!(timeout(SOON, served.shelf.until_changed()).await.expect("told"), place);
}

#[tokio::test]
async fn connections_are_bounded_slow_ones_are_cut_and_the_end_lets_answers_end() {
    let folder = tempdir().expect("a folder");
    let bytes = vec![7; 64 << 20];
    let place = file(&folder, "a", &bytes);
    let limits = Limits {
        connections_max: 2,
        connections_per_ip_max: 2,
        head_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let served = serve(&[&place], limits).await;
    let mut slow = TcpStream::connect(served.addr).await.expect("somebody listens");
    slow.write_all(b"GET /sha256/").await.expect("taken");
    let mut taking = TcpStream::connect(served.addr).await.expect("somebody listens");
    let request = format!("GET {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path_of(&bytes));
    taking.write_all(request.as_bytes()).await.expect("taken");
    let mut first = [0; 1000];
    taking.read_exact(&mut first).await.expect("the beginning");
    let (status, head, _) = get(served.addr, "GET", "/", "").await;
    assert_eq!(status, 503, "there is room for two: {head}");
    let mut said = String::new();
    timeout(SOON, slow.read_to_string(&mut said)).await.expect("an end").expect("an answer");
    assert!(said.contains("408"), "{said}");
    drop(slow);
    let room = async { while get(served.addr, "GET", "/", "").await.0 != 404 {} };
    timeout(SOON, room).await.expect("there is room again");

    served.close.send(()).expect("it serves");
    let mut rest = Vec::new();
    timeout(SOON, taking.read_to_end(&mut rest)).await.expect("an end").expect("all of it");
    assert!(rest.len() + 1000 > bytes.len(), "what was begun was ended: {} bytes", rest.len());
    timeout(SOON, served.task).await.expect("an end").expect("no panic");
    assert!(TcpStream::connect(served.addr).await.is_err(), "nobody listens");
}
