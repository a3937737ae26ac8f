//! A node with few file descriptors, and strangers who take them all. Alone in its file: the limit is the process's.

use std::io::ErrorKind;
use std::time::Duration as Span;

use keyway_core::machine::{Op, OpDone, Reads};
use keyway_core::{Duration, Id};
use keyway_net::{NodeHandle, NodeSettings, start};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const FILES: u64 = 64;
const PATIENCE: Span = Span::from_secs(30);

async fn put_and_get(node: &NodeHandle, text: &str) {
    let (key, value, ttl) = (Id::of_text(text), text.as_bytes().to_vec(), Duration::from_secs(60));
    node.op(Op::put(key, value.clone(), ttl)).await.expect("a durable put");
    let get = Op::Get {
        key,
        max: 1,
        after: None,
        reads: Reads::Quorum,
        page_bytes: u32::MAX,
        overhead_bytes: 0,
        signer: None,
    };
    match node.op(get).await {
        Ok(OpDone::Got(answer)) => assert_eq!(answer.values[0].bytes, value),
        other => panic!("a get is answered with {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_who_take_all_files_do_not_stop_a_node() {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(FILES), maximum: hard }).expect("a lower limit");
    let root = tempfile::tempdir().expect("a temporary directory");
    let node = start(NodeSettings {
        listen: ([127, 0, 0, 1], 0).into(),
        data: Some(root.path().join("node")),
        replicas: 1,
        acks: 1,
        ..NodeSettings::default()
    })
    .await
    .expect("the node starts");
    timeout(PATIENCE, node.wait_member()).await.expect("in time").expect("a member");
    put_and_get(&node, "before").await;

    // Both ends of each stream are files of this process, so half of them is enough to run out.
    let mut strangers = Vec::new();
    while let Ok(Ok(stranger)) = timeout(Span::from_secs(1), TcpStream::connect(node.listen())).await {
        strangers.push(stranger);
    }
    assert!(strangers.len() < FILES as usize, "the limit is there");
    for i in 0..20 {
        put_and_get(&node, &format!("during {i}")).await;
    }
    let turns = node.metrics().turns.get();
    assert!(turns < 10_000, "{turns} turns: the driver spins");

    // When they are gone, streams are accepted again.
    drop(strangers);
    let accepted = timeout(PATIENCE, async {
        let mut again = TcpStream::connect(node.listen()).await?;
        // A length above every bound: who has accepted the stream hangs up, and that is what is waited for.
        again.write_all(&[0xff; 16]).await?;
        let mut rest = Vec::new();
        let hung_up = again.read_to_end(&mut rest).await;
        assert!(rest.is_empty(), "nothing is answered");
        hung_up.or_else(|e| if e.kind() == ErrorKind::ConnectionReset { Ok(0) } else { Err(e) })
    });
    accepted.await.expect("in time").expect("accepted");
    put_and_get(&node, "after").await;
    timeout(PATIENCE, node.stop()).await.expect("in time");
}
