//! What strangers may have written, read; and fetches from publishers that die, lie, stall and change.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::address::unasked;
use super::{
    Address, Content, Entry, Fetch, FetchError, FetchSettings, Found, Manifest, POINTER_BYTES_MAX, Pointer,
    Publisher, Sought, Step, What, check_path, is_plain_name,
};
use crate::{Hex, Key, Kind, Proof, Value};

/// Bytes that look like nothing in particular.
fn noise(count: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(count + 32);
    let mut hash = Hex::sha256(b"noise");
    while bytes.len() < count {
        bytes.extend_from_slice(&hash.0);
        hash = Hex::sha256(&hash.0);
    }
    bytes.truncate(count);
    bytes.into()
}

fn address(text: &str) -> Address {
    text.parse().expect("an address")
}

fn pointer(content: Content) -> Pointer {
    let addresses = vec![address("http://host.example:5860")];
    Pointer::new(What::File, content, Some("cat.jpg"), addresses).expect("one address")
}

#[test]
fn the_key_of_what_is_published_is_that_of_the_immutable_value() {
    let bytes = noise(1_000_000);
    let content = Content::of(&bytes);
    assert_eq!((content.key(), content.bytes), (Key::content(&bytes), 1_000_000));
    let mut told = 0;
    assert_eq!(Content::read(&bytes[..], |bytes| told = bytes).expect("memory"), content);
    assert_eq!(told, 1_000_000);
    assert_eq!(Content::read(io::empty(), |_| {}).expect("nothing"), Content::of(b""));
}

#[test]
fn addresses_are_http_a_host_and_a_port_and_nothing_else() {
    for (text, same) in [
        ("http://127.0.0.1:80", "http://127.0.0.1:80"),
        ("http://Host.Example", "http://host.example:80"),
        ("http://host.example:5860/", "http://host.example:5860"),
        ("http://[2001:db8::1]:5860", "http://[2001:db8::1]:5860"),
    ] {
        assert_eq!(address(text).to_string(), same);
    }
    for text in [
        "",
        "host.example:5860",
        "https://host.example",
        "file:///etc/passwd",
        "http://",
        "http:///x",
        "http://host.example:0",
        "http://host.example:",
        "http://host.example:99999",
        "http://host.example/v1/keys",
        "http://host.example?x=1",
        "http://user@host.example",
        "http://user:pass@host.example:80",
        "http://host.example:80\r\nX: y",
        "gopher://host.example",
    ] {
        assert!(text.parse::<Address>().is_err(), "{text:?}");
    }
    for ip in [
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "255.255.255.255",
        "169.254.169.254",
        "::ffff:169.254.1.1",
        "fe80::1",
        "ff02::1",
    ] {
        assert!(unasked(ip.parse::<IpAddr>().expect("an address")).is_some(), "{ip}");
    }
    for ip in ["127.0.0.1", "10.0.0.1", "192.0.2.1", "::1", "2001:db8::1"] {
        assert!(unasked(ip.parse::<IpAddr>().expect("an address")).is_none(), "{ip}");
    }
}

#[test]
fn a_pointer_is_read_as_it_was_written_and_nothing_else_is() {
    let written = pointer(Content::of(b"red"));
    let text = written.to_bytes();
    assert_eq!(Pointer::parse(&text).expect("a pointer"), Some(written.clone()));
    let text = String::from_utf8(text.to_vec()).expect("JSON");
    for (was, is) in [("\"version\":1", "\"version\":1,\"later\":[]"), (",\"name\":\"cat.jpg\"", "")] {
        assert!(text.contains(was), "{text}");
        assert!(Pointer::parse(text.replace(was, is).as_bytes()).expect("a pointer").is_some(), "{is}");
    }
    for other in
        ["", "red", "{}", "[]", "{\"keyway\":\"tree\",\"version\":1,\"files\":[]}", "{\"version\":1}"]
    {
        assert_eq!(Pointer::parse(other.as_bytes()).expect("something else"), None, "{other}");
    }
    let long = "x".repeat(POINTER_BYTES_MAX);
    let nine = ",\"http://h:1\"".repeat(8);
    for (was, is) in [
        ("\"version\":1", "\"version\":2".to_owned()),
        ("\"version\":1", format!("\"version\":1,\"pad\":\"{long}\"")),
        ("\"what\":\"file\"", "\"what\":\"pipe\"".to_owned()),
        ("cat.jpg", "../cat.jpg".to_owned()),
        ("cat.jpg", ".bashrc".to_owned()),
        ("\"bytes\":3", "\"bytes\":-3".to_owned()),
        ("\"sha256\":\"", "\"sha256\":\"0".to_owned()),
        ("\"http://host.example:5860\"", String::new()),
        ("\"http://host.example:5860\"", format!("\"http://h:2\"{nine}")),
        ("http://host.example:5860", "http://host.example:5860/admin".to_owned()),
    ] {
        assert!(text.contains(was), "{text}");
        let changed = text.replace(was, &is);
        let error = Pointer::parse(changed.as_bytes()).expect_err(&changed).to_string();
        assert!(error.contains("cannot be used"), "{error}");
    }
    assert!(Pointer::new(What::File, written.content, None, Vec::new()).is_err());
    let hidden =
        Pointer::new(What::File, written.content, Some(".ssh"), written.addresses).expect("a pointer");
    assert_eq!(hidden.name, None);
}

#[test]
fn plain_names_surprise_nobody() {
    for name in ["cat.jpg", "a b", "naïve", "-rf", "x.tar.gz"] {
        assert!(is_plain_name(name), "{name:?}");
    }
    let long = "x".repeat(256);
    for name in ["", ".", "..", ".bashrc", "a/b", "a\\b", "a\nb", "a\0", "gpj.\u{202e}exe", &long] {
        assert!(!is_plain_name(name), "{name:?}");
    }
}

#[test]
fn a_manifest_leads_down_and_nowhere_else() {
    let entry = |path: &str| Entry { path: path.to_owned(), content: Content::of(path.as_bytes()) };
    let all = |paths: &[&str]| Manifest::new(paths.iter().map(|path| entry(path)).collect());
    let manifest = all(&["b/c", "a", "b.d", "b/a"]).expect("a folder");
    let paths: Vec<&str> = manifest.files().iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["a", "b.d", "b/a", "b/c"], "sorted");
    assert_eq!(manifest.bytes(), 1 + 3 + 3 + 3);
    let text = manifest.to_bytes();
    assert_eq!(Manifest::parse(&text).expect("its own text"), manifest);
    assert_eq!(all(&["b/a", "b/c", "b.d", "a"]).expect("the same").to_bytes(), text, "one folder, one hash");

    let deep = vec!["d"; 65].join("/");
    let long = "x".repeat(256);
    for path in [
        "",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a/./b",
        "a//b",
        "a/",
        ".",
        "..",
        "a\\..\\b",
        "a\0b",
        "a\nb",
        &deep,
        &long,
    ] {
        assert!(check_path(path).is_err(), "{path:?}");
        assert!(all(&["ok", path]).is_err(), "{path:?}");
    }
    assert!(all(&[]).is_err(), "nothing");
    assert!(all(&["a", "a"]).is_err(), "twice");
    assert!(all(&["a", "a.txt", "a/b"]).is_err(), "a file and a folder");
    let text = String::from_utf8(text.to_vec()).expect("JSON");
    for (was, is) in [
        ("\"version\":1", "\"version\":2"),
        ("\"keyway\":\"tree\"", "\"keyway\":\"pointer\""),
        ("\"path\":\"a\"", "\"path\":\"c\""),
        ("\"path\":\"b/c\"", "\"path\":\"b/a\""),
        ("\"bytes\":1", "\"bytes\":18446744073709551615"),
    ] {
        assert!(text.contains(was), "{text}");
        assert!(Manifest::parse(text.replace(was, is).as_bytes()).is_err(), "{is}");
    }
    assert!(Manifest::parse(b"bytes of a file").is_err());
}

/// A value as a gateway gives it, whose signature was checked.
fn value(text: Bytes, signer: u8, expires: u64, remaining: u64) -> Value {
    let signer = Hex([signer; 32]);
    Value {
        bytes: text,
        text: None,
        put_time_ms: 0,
        ttl_seconds: 600,
        remaining_seconds: remaining,
        value_hash: Key::text("name"),
        kind: Kind::Signed,
        secret_hash: None,
        seq: None,
        signer: Some(signer),
        proof: Some(Proof {
            public_key: signer,
            nonce: signer,
            expires_unix_seconds: expires,
            signature: Hex([0; 64]),
        }),
    }
}

const FAR: u64 = u64::MAX / 2000;

#[test]
fn pointers_that_cannot_be_meant_are_left_out() {
    let content = Content::of(b"red");
    let good = pointer(content).to_bytes();
    let sought = Sought::Key(content.key());
    let mut found = Found::default();
    found.take(&value(good.clone(), 1, FAR, 500), &sought, None);
    found.take(&value(good.clone(), 2, FAR, 100), &sought, None);
    assert_eq!(found.publishers.iter().map(|p| p.fresh).collect::<Vec<_>>(), [true, false]);
    assert!(found.rejected.is_empty());

    found.take(
        &Value { kind: Kind::Put, signer: None, proof: None, ..value(good.clone(), 3, FAR, 500) },
        &sought,
        None,
    );
    found.take(&value("red".into(), 3, FAR, 500), &sought, None);
    assert_eq!((found.publishers.len(), found.rejected.len()), (2, 0), "no pointers, no trouble");
    found.take(&value(pointer(Content::of(b"blue")).to_bytes(), 3, FAR, 500), &sought, None);
    found.take(&value(good.clone(), 3, 1, 500), &sought, None);
    found.take(&value("{\"keyway\":\"pointer\",\"version\":9}".into(), 3, FAR, 500), &sought, None);
    assert_eq!((found.publishers.len(), found.rejected.len()), (2, 3), "{:?}", found.rejected);
    found.take(&value(good.clone(), 4, FAR, 500), &sought, Some(&Hex([5; 32])));
    assert_eq!(found.publishers.len(), 2, "of another signer than was asked for");

    // The first 160 bits are right, the others are not.
    let mut hash = content.sha256;
    hash.0[31] ^= 1;
    let near = pointer(Content { sha256: hash, ..content }).to_bytes();
    found.take(&value(near.clone(), 6, FAR, 500), &Sought::Sha256(content.sha256), None);
    assert_eq!((found.publishers.len(), found.rejected.len()), (2, 4), "the whole hash was asked for");
    found.take(&value(near, 6, FAR, 500), &sought, None);
    assert_eq!(found.contents().len(), 2, "each is tried, and only one can be right");
}

#[test]
fn of_one_signers_words_under_a_name_the_latest_counts() {
    let sought = Sought::Name("site".into());
    let mut found = Found::default();
    let mut said = |signer: u8, text: &[u8], since: u64| {
        let pointer = Pointer { since_unix_seconds: since, ..pointer(Content::of(text)) };
        found.take(&value(pointer.to_bytes(), signer, FAR, 500), &sought, None);
    };
    said(1, b"old", 10);
    said(1, b"new", 20);
    said(1, b"new", 15);
    said(2, b"other", 5);
    found.forget_superseded();
    let left: Vec<Content> = found.publishers.iter().map(|p| p.pointer.content).collect();
    assert_eq!(left, [Content::of(b"new"), Content::of(b"new"), Content::of(b"other")]);
    assert_eq!(found.contents().len(), 2, "two signers mean two things");
}

/// What a fake publisher does with a request for all bytes from the first argument on.
struct Deed {
    head: String,
    body: Bytes,
    /// Keep the connection and say no more.
    hang: bool,
}

fn deed(head: String, body: Bytes) -> Deed {
    Deed { head, body, hang: false }
}

/// As a publisher should.
fn honest(bytes: &Bytes, from: u64) -> Deed {
    let (total, left) = (bytes.len() as u64, bytes.slice(from as usize..));
    let length = format!("Content-Length: {}\r\n", left.len());
    match from {
        0 => deed(format!("HTTP/1.1 200 OK\r\n{length}"), left),
        _ => deed(
            format!(
                "HTTP/1.1 206 Partial Content\r\n{length}Content-Range: bytes {from}-{}/{total}\r\n",
                total - 1
            ),
            left,
        ),
    }
}

/// The same, ended early.
fn cut(bytes: &Bytes, from: u64, count: usize) -> Deed {
    let Deed { head, body, .. } = honest(bytes, from);
    let count = count.min(body.len());
    deed(head, body.slice(..count))
}

/// Starts a fake publisher, and gives who it is.
async fn fake(content: Content, deed: impl Fn(u64) -> Deed + Send + Sync + 'static) -> Publisher {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            converse(socket, content, &deed).await;
        }
    });
    named(content, addr.into())
}

fn named(content: Content, address: Address) -> Publisher {
    let pointer = Pointer { addresses: vec![address], ..pointer(content) };
    Publisher { signer: Hex([1; 32]), pointer, expires_unix_seconds: FAR, fresh: true }
}

async fn converse(mut socket: TcpStream, content: Content, deed: &impl Fn(u64) -> Deed) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if socket.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    assert!(head.starts_with(&format!("get /sha256/{} http/1.1\r\n", content.sha256)), "{head}");
    let from = head.split("range: bytes=").nth(1).and_then(|rest| rest.split('-').next()?.parse().ok());
    let Deed { head, body, hang } = deed(from.unwrap_or(0));
    let _ = socket.write_all(format!("{head}\r\n").as_bytes()).await;
    let _ = socket.write_all(&body).await;
    if hang {
        // Until the other side has gone.
        let _ = socket.read(&mut [0]).await;
    }
}

/// Fetches; gives the bytes if they are right, and who missed why.
async fn fetched(
    content: &Content,
    restartable: bool,
    publishers: &[Publisher],
) -> (Result<Vec<u8>, FetchError>, Vec<String>) {
    let settings = FetchSettings { stall_timeout: Duration::from_millis(300), ..FetchSettings::default() };
    let mut fetch = Fetch::new(publishers, settings);
    let (mut come, mut missed) = (Vec::new(), Vec::new());
    let ended = fetch
        .fetch(content, restartable, |step| {
            match step {
                Step::Bytes(bytes) => come.extend_from_slice(bytes),
                Step::Restart => come.clear(),
                Step::Missed(_, why) => missed.push(why.to_owned()),
                Step::From(_, at) => assert_eq!(at, come.len() as u64),
            }
            Ok(())
        })
        .await;
    (ended.map(|()| come), missed)
}

#[tokio::test]
async fn what_one_began_another_ends() {
    let bytes = noise(300_000);
    let content = Content::of(&bytes);
    let (one, two) = (bytes.clone(), bytes.clone());
    let dies = fake(content, move |from| cut(&one, from, 100_000)).await;
    let lives = fake(content, move |from| {
        assert_eq!(from, 100_000, "what is here is not asked for again");
        honest(&two, from)
    })
    .await;
    let (got, missed) = fetched(&content, false, &[dies, lives]).await;
    assert_eq!(got.expect("right"), bytes);
    assert!(missed.len() == 1 && missed[0].contains("100000 bytes"), "{missed:?}");
}

#[tokio::test]
async fn one_that_is_cut_again_and_again_is_asked_again_while_it_brings_something() {
    let bytes = noise(100_000);
    let content = Content::of(&bytes);
    let one = bytes.clone();
    let (got, missed) =
        fetched(&content, true, &[fake(content, move |from| cut(&one, from, 40_000)).await]).await;
    assert_eq!((got.expect("right"), missed.len()), (bytes.to_vec(), 2));
    let (got, missed) =
        fetched(&content, true, &[fake(content, move |from| cut(&bytes, from, 0)).await]).await;
    assert!(matches!(got, Err(FetchError::Gone)) && missed.len() == 1, "{missed:?}");
}

#[tokio::test]
async fn liars_cost_time_and_nothing_else() {
    let bytes = noise(200_000);
    let content = Content::of(&bytes);
    let lies = Bytes::from(vec![7; 200_000]);
    let liar = |lies: &Bytes| {
        let lies = lies.clone();
        fake(content, move |from| honest(&lies, from))
    };
    let half = |lies: &Bytes| {
        let lies = lies.clone();
        fake(content, move |from| cut(&lies, from, 50_000))
    };
    let good = || {
        let bytes = bytes.clone();
        fake(content, move |from| honest(&bytes, from))
    };
    let (got, missed) = fetched(&content, true, &[liar(&lies).await, good().await]).await;
    assert_eq!(got.expect("right"), bytes);
    assert!(missed.len() == 1 && missed[0].contains("another hash"), "{missed:?}");

    // Half a lie, then the truth: nobody can tell which half, so the second is asked for all.
    let (got, _) = fetched(&content, true, &[half(&lies).await, good().await]).await;
    assert_eq!(got.expect("right"), bytes);
    let (got, _) = fetched(&content, true, &[half(&lies).await, liar(&lies).await, good().await]).await;
    assert_eq!(got.expect("right"), bytes);

    let (got, _) = fetched(&content, true, &[liar(&lies).await, liar(&lies).await]).await;
    assert!(matches!(got, Err(FetchError::Wrong)), "{got:?}");
    // What was handed on cannot be taken back.
    let (got, _) = fetched(&content, false, &[half(&lies).await, good().await]).await;
    assert!(matches!(got, Err(FetchError::Wrong)), "{got:?}");
}

#[tokio::test]
async fn lengths_and_parts_that_are_not_those_of_the_pointer_are_refused() {
    let bytes = noise(1_000);
    let content = Content::of(&bytes);
    let more = bytes.clone();
    let long =
        fake(content, move |_| deed("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n".into(), more.clone()));
    let more = [bytes.as_ref(), b"and more"].concat();
    let chunk = format!("{:x}\r\n{}\r\n0\r\n\r\n", more.len(), "x".repeat(more.len()));
    let chunked = fake(content, move |_| {
        deed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n".into(), chunk.clone().into())
    });
    let part = bytes.clone();
    let other_part = fake(content, move |_| {
        let head =
            "HTTP/1.1 206 Partial Content\r\nContent-Length: 1000\r\nContent-Range: bytes 1-1000/2000\r\n";
        deed(head.into(), part.clone())
    });
    for (publisher, why) in [
        (long.await, "says that it has"),
        (chunked.await, "more bytes than"),
        (other_part.await, "another part"),
    ] {
        let (got, missed) = fetched(&content, true, &[publisher]).await;
        assert!(matches!(got, Err(FetchError::Wrong)), "{got:?}");
        assert!(missed.len() == 1 && missed[0].contains(why), "{missed:?}");
    }
}

#[tokio::test]
async fn a_server_that_knows_no_ranges_is_of_use_too() {
    let bytes = noise(100_000);
    let content = Content::of(&bytes);
    let (one, two) = (bytes.clone(), bytes.clone());
    let dies = fake(content, move |from| cut(&one, from, 30_000)).await;
    let (got, _) = fetched(&content, false, &[dies, fake(content, move |_| honest(&two, 0)).await]).await;
    assert_eq!(got.expect("right"), bytes);
}

#[tokio::test]
async fn who_refuses_stalls_or_is_not_there_is_named() {
    let bytes = noise(10_000);
    let content = Content::of(&bytes);
    let changed = fake(content, |_| {
        let body = "{\"error\":{\"code\":\"changed\",\"message\":\"the file is \\u001b[2Jnot as it was\"}}";
        deed(format!("HTTP/1.1 410 Gone\r\nContent-Length: {}\r\n", body.len()), body.into())
    });
    let elsewhere = fake(content, |_| {
        deed(
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n".into(),
            Bytes::new(),
        )
    });
    let slow = bytes.clone();
    let stalls =
        fake(content, move |from| Deed { hang: true, ..cut(&slow, from, if from == 0 { 10 } else { 0 }) });
    let link_local = named(content, address("http://169.254.169.254:80"));
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        named(content, listener.local_addr().expect("its address").into())
    };
    for (publisher, why) in [
        (changed.await, "the file is [2Jnot as it was"),
        (elsewhere.await, "302"),
        (stalls.await, "silent after"),
        (link_local, "address of the link"),
        (nobody, "refused"),
    ] {
        let (got, missed) = fetched(&content, true, &[publisher]).await;
        assert!(matches!(got, Err(FetchError::Gone)), "{why}: {got:?}");
        assert!(missed[0].contains(why), "{why}: {missed:?}");
    }
}

#[tokio::test]
async fn nothing_is_fetched_from_nobody() {
    let (got, _) = fetched(&Content::of(b""), true, &[]).await;
    assert_eq!(got.expect("nothing is known"), b"");
    let (got, _) = fetched(&Content { bytes: 0, ..Content::of(b"red") }, true, &[]).await;
    assert!(matches!(got, Err(FetchError::Wrong)), "no bytes have this hash");
    let (got, _) = fetched(&Content::of(b"red"), true, &[]).await;
    assert!(matches!(got, Err(FetchError::Gone)));
}

#[tokio::test]
async fn what_comes_in_all_is_bounded_whoever_sends_it() {
    let bytes = noise(100_000);
    let content = Content::of(&bytes);
    let lies = Bytes::from(vec![7; 100_000]);
    let liar = || {
        let lies = lies.clone();
        fake(content, move |from| honest(&lies, from))
    };
    // Knows no ranges: what is here already comes again, and counts.
    let repeats = || {
        let bytes = bytes.clone();
        fake(content, move |_| cut(&bytes, 0, 90_000))
    };
    for (publishers, enough) in [
        (
            vec![
                liar().await,
                liar().await,
                fake(content, {
                    let bytes = bytes.clone();
                    move |from| honest(&bytes, from)
                })
                .await,
            ],
            300_000,
        ),
        (
            vec![
                repeats().await,
                repeats().await,
                fake(content, {
                    let bytes = bytes.clone();
                    move |from| honest(&bytes, from)
                })
                .await,
            ],
            190_000,
        ),
    ] {
        for (bytes_max, good) in [(enough, true), (enough - 1, false), (0, false)] {
            let settings = FetchSettings { bytes_max, ..FetchSettings::default() };
            let mut fetch = Fetch::new(&publishers, settings);
            let ended = fetch.fetch(&content, true, |_| Ok(())).await;
            match ended {
                Ok(()) => assert!(good && fetch.taken() == enough, "{} of {bytes_max}", fetch.taken()),
                Err(FetchError::TooMuch(_)) => assert!(!good, "{bytes_max}"),
                Err(other) => panic!("{bytes_max}: {other}"),
            }
        }
    }
}

#[test]
fn publishers_at_one_place_are_one_and_their_number_is_bounded() {
    let content = Content::of(b"red");
    let mut publishers = vec![named(content, address("http://h:1")); 3];
    publishers[1].expires_unix_seconds = FAR + 5;
    publishers.extend((1..100).map(|port| named(content, address(&format!("http://h:{port}")))));
    let fetch = Fetch::new(&publishers, FetchSettings::default());
    let sources: Vec<_> = fetch.sources().collect();
    assert_eq!((sources.len(), sources[0].expires_unix_seconds), (super::SOURCES_MAX, FAR + 5));
    for (sources_max, count) in [(3, 3), (1000, super::SOURCES_MAX)] {
        let fetch = Fetch::new(&publishers, FetchSettings { sources_max, ..FetchSettings::default() });
        assert_eq!(fetch.sources().count(), count);
    }
}
