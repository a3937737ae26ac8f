//! The wire, as docs/protocol.md prints it: each golden frame is what this build writes, and is read back.
//!
//! `cargo xtask golden` writes the document's block again. A change here is a change of the protocol: raise
//! `frame::VERSION` (or the record's) with it.

mod golden;

use keyway_core::frame::{self, FrameKey, Header, Kind, NetworkId, Refusal};
use keyway_core::keyspace::Arc;
use keyway_core::lookup::HopAnswer;
use keyway_core::machine::Terms;
use keyway_core::node::message::{Message, PageRequest, Standing, Verdict};
use keyway_core::overlay::toy::Toy;
use keyway_core::replica::sync::{Answer, Question};
use keyway_core::store::{Digest, Record};
use keyway_core::wire::{Wire as _, from_slice};
use keyway_core::{Addr, Duration, Id, Peer, Wall};

const HEADING: &str = "## Golden bytes\n";
/// Bytes on a line of the document.
const LINE_BYTES: usize = 40;

const WALL: Wall = Wall(1_700_000_000_000_000);
const STANDING: Standing = Standing { wall: WALL, terms: Terms { replicas: 3, acks: 2, reads: 2 } };

fn frame_of(kind: Kind, body: Option<&Message<Toy>>) -> Vec<u8> {
    let header = Header {
        kind,
        network: NetworkId(7),
        from: Peer::new(Id::from_u64(5), Addr::loopback(9)),
        incarnation: 3,
        request: 11,
    };
    let mut out = Vec::new();
    frame::seal(&FrameKey::open_network(), &header, &mut out, |w| match (kind, body) {
        (Kind::Refused, _) => Refusal::Network.encode(w),
        (_, Some(body)) => body.encode(w),
        (_, None) => {}
    });
    out
}

fn examples() -> Vec<(&'static str, Kind, Option<Message<Toy>>)> {
    let key = Id::of_text("colors");
    let record =
        Record::plain(key, b"red".to_vec(), WALL, Duration::from_secs(86_400), 0x0102_0304_0506_0708);
    let peer = |n| Peer::new(Id::from_u64(n), Addr::loopback(n as u16));
    let page = PageRequest {
        key,
        after: Some(record.head.cursor()),
        max: 10,
        page_bytes: 49_152,
        overhead_bytes: 39,
        signer: None,
    };
    let digest = Digest { count: 2, sum: 3 };
    let question =
        Question { arc: Arc::new(Id::from_u64(1), Id::from_u64(9)), after: None, digest, heads_max: 8 };
    vec![
        ("Hello", Kind::Request, Some(Message::Hello(WALL))),
        ("Welcome", Kind::Reply, Some(Message::Welcome(STANDING, true))),
        ("Hop", Kind::Request, Some(Message::Hop(key, 3))),
        (
            "HopIs, the replica set",
            Kind::Reply,
            Some(Message::HopIs(HopAnswer::Root(vec![peer(21), peer(22)]))),
        ),
        ("Store", Kind::Request, Some(Message::Store(Box::new(record.clone())))),
        ("Stored, durable", Kind::Reply, Some(Message::Stored(Verdict::Stored))),
        ("Fetch", Kind::Request, Some(Message::Fetch(Box::new(page)))),
        ("Page", Kind::Reply, Some(Message::Page(true, vec![record.clone()], false))),
        ("Sync", Kind::Request, Some(Message::Sync(Box::new(question)))),
        (
            "SyncIs, heads",
            Kind::Reply,
            Some(Message::SyncIs(true, STANDING, Answer::Heads(vec![record.head]))),
        ),
        ("busy", Kind::Busy, None),
        ("refused, another network", Kind::Refused, None),
    ]
}

fn block() -> String {
    let mut text = String::new();
    for (name, kind, message) in examples() {
        text.push_str(name);
        text.push('\n');
        for line in frame_of(kind, message.as_ref()).chunks(LINE_BYTES) {
            let hex: String = line.iter().map(|b| format!("{b:02x}")).collect();
            text.push_str(&format!("  {hex}\n"));
        }
    }
    text
}

#[test]
fn the_document_shows_the_bytes_that_are_sent() {
    golden::hold(HEADING, &block(), "the wire changed");
}

#[test]
fn what_is_sent_is_read() {
    for (name, kind, message) in examples() {
        let bytes = frame_of(kind, message.as_ref());
        let (header, body) = frame::open(&FrameKey::open_network(), &bytes).expect(name);
        assert_eq!(header.kind, kind, "{name}");
        if let Some(message) = message {
            assert_eq!(from_slice::<Message<Toy>>(body), Ok(message), "{name}");
        }
    }
}
