//! Real nodes on loopback: real sockets, real files, the machine that the simulator runs.

use std::future::Future;
use std::path::Path;
use std::time::Duration as Span;

use keyway_core::machine::{GetAnswer, Op, OpDone, OpError, Reads};
use keyway_core::{Duration, Id};
use keyway_net::{Durability, NodeHandle, NodeSettings, StartError, start};

/// Far more than anything here takes on a busy machine.
const PATIENCE: Span = Span::from_secs(60);

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| panic!("{what} took more than {PATIENCE:?}"))
}

fn settings(data: Option<&Path>, seed: Option<&NodeHandle>) -> NodeSettings {
    NodeSettings {
        listen: ([127, 0, 0, 1], 0).into(),
        data: data.map(Path::to_owned),
        durability: if data.is_some() { Durability::Fsync } else { Durability::Memory },
        seeds: seed.map(NodeHandle::listen).into_iter().collect(),
        ..NodeSettings::default()
    }
}

async fn member(settings: NodeSettings) -> NodeHandle {
    let node = start(settings).await.expect("the node starts");
    within("joining", node.wait_member()).await.expect("the node joins");
    node
}

/// Another process, or a stream of this one, may have been given the port in the meantime.
async fn started_when_its_port_is_free(settings: NodeSettings) -> NodeHandle {
    within("waiting for a port", async {
        loop {
            match start(settings.clone()).await {
                Err(StartError::Listen { .. }) => tokio::task::yield_now().await,
                started => return started.expect("the node starts"),
            }
        }
    })
    .await
}

/// Puts until the network says yes: right after a join or a departure it may answer "try again".
async fn put(node: &NodeHandle, key: &str, value: &[u8]) {
    let what = || Op::put(Id::of_text(key), value.to_vec(), Duration::from_secs(3600));
    within("a put", async {
        loop {
            match node.op(what()).await {
                Ok(OpDone::Put(_)) => return,
                Ok(other) => panic!("a put is answered with {other:?}"),
                // The operation has had its own patience, and its answer was the event.
                Err(OpError::Timeout | OpError::Quorum { .. } | OpError::Busy) => {}
                Err(error) => panic!("a put fails: {error}"),
            }
        }
    })
    .await;
}

async fn get(node: &NodeHandle, key: &str) -> Vec<Vec<u8>> {
    let key = Id::of_text(key);
    let what = || Op::Get {
        key,
        max: 100,
        after: None,
        reads: Reads::Quorum,
        page_bytes: u32::MAX,
        overhead_bytes: 0,
        signer: None,
    };
    within("a get", async {
        loop {
            match node.op(what()).await {
                Ok(OpDone::Got(GetAnswer { values, .. })) => {
                    return values.into_iter().map(|v| v.bytes).collect();
                }
                Ok(other) => panic!("a get is answered with {other:?}"),
                // The operation has had its own patience, and its answer was the event.
                Err(OpError::Timeout | OpError::Quorum { .. } | OpError::Busy) => {}
                Err(error) => panic!("a get fails: {error}"),
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_share_what_any_took() {
    let a = member(settings(None, None)).await;
    let b = member(settings(None, Some(&a))).await;
    let c = member(settings(None, Some(&b))).await;
    put(&a, "colors", b"red").await;
    put(&b, "colors", b"blue").await;
    assert_eq!(get(&a, "colors").await, [b"red".to_vec(), b"blue".to_vec()]);
    assert_eq!(get(&b, "colors").await, [b"red".to_vec(), b"blue".to_vec()]);
    assert!(get(&b, "nothing").await.is_empty());
    let big: Vec<u8> = (0..64 << 10).map(|i| (i * 7) as u8).collect();
    put(&a, "big", &big).await;
    assert!(get(&b, "big").await == [big], "64 KiB come back through a stream");
    assert!(a.metrics().stream_frames_out.get() + b.metrics().stream_frames_out.get() > 0);
    within("stopping", a.stop()).await;
    assert_eq!(get(&b, "colors").await, [b"red".to_vec(), b"blue".to_vec()], "handed over");
    assert_eq!(get(&c, "colors").await, [b"red".to_vec(), b"blue".to_vec()], "handed over");
    within("stopping", c.stop()).await;
    within("stopping", b.stop()).await;
    assert_eq!(b.op(Op::Status).await, Err(OpError::NotJoined));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_finds_its_records_and_its_id() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let data = root.path().join("node");
    let alone = || NodeSettings { replicas: 1, acks: 1, ..settings(Some(&data), None) };
    let first = member(alone()).await;
    let before = first.status().await.expect("running");
    put(&first, "colors", b"red").await;
    assert!(first.metrics().disk.fsyncs.get() > 0);

    // A second node on the directory is refused while the first one runs, also from this very process.
    let refused = start(alone()).await.expect_err("the directory is taken");
    assert!(matches!(refused, StartError::Directory(_)), "{refused:?}");
    assert!(refused.to_string().contains("in use by another process"), "{refused}");

    within("stopping", first.stop()).await;
    let second = member(alone()).await;
    let after = second.status().await.expect("running");
    assert_eq!(after.me.id(), before.me.id());
    assert_eq!(after.network, before.network);
    assert!(after.incarnation > before.incarnation);
    assert_eq!(get(&second, "colors").await, [b"red".to_vec()]);
    within("stopping", second.stop()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_durable_nodes_come_back_after_all_were_stopped_at_once() {
    const NODES: usize = 8;
    let root = tempfile::tempdir().expect("a temporary directory");
    let data = |i: usize| root.path().join(format!("node-{i}"));
    let mut nodes = vec![member(settings(Some(&data(0)), None)).await];
    for i in 1..NODES {
        let node = member(settings(Some(&data(i)), Some(&nodes[0]))).await;
        nodes.push(node);
    }
    for i in 0..40 {
        put(&nodes[i % NODES], &format!("key {i}"), format!("value {i}").as_bytes()).await;
    }
    // One leaves in order: what it held is with the others.
    let left = nodes.pop().expect("eight");
    within("leaving", left.stop()).await;
    for i in 0..40 {
        let found = get(&nodes[i % nodes.len()], &format!("key {i}")).await;
        assert_eq!(found, [format!("value {i}").into_bytes()]);
    }
    // All leave at once, and come back on the ports that the others remember.
    let ports: Vec<_> = nodes.iter().map(NodeHandle::listen).collect();
    within("leaving", async {
        let all: Vec<_> = nodes.drain(..).map(|n| tokio::spawn(async move { n.stop().await })).collect();
        for one in all {
            one.await.expect("no panic");
        }
    })
    .await;
    for (i, listen) in ports.into_iter().enumerate() {
        let again = NodeSettings { listen, ..settings(Some(&data(i)), None) };
        nodes.push(started_when_its_port_is_free(again).await);
    }
    for node in &nodes {
        within("joining again", node.wait_member()).await.expect("the node joins");
    }
    for i in 0..40 {
        // Nodes that came up before the others may have gathered in two rings, which take a moment to become one.
        let (node, key) = (&nodes[i % nodes.len()], format!("key {i}"));
        within("finding a value again", async {
            while get(node, &key).await != [format!("value {i}").into_bytes()] {}
        })
        .await;
    }
    for node in &nodes {
        within("stopping", node.stop()).await;
    }
}

#[tokio::test]
async fn a_start_that_cannot_work_says_what_to_do() {
    let unknown = NodeSettings { overlay: "moebius".into(), ..settings(None, None) };
    let text = start(unknown).await.expect_err("no such overlay").to_string();
    assert!(text.contains("no overlay `moebius`") && text.contains("chord"), "{text}");

    let first = start(settings(None, None)).await.expect("a free port");
    let taken = NodeSettings { listen: first.listen(), ..settings(None, None) };
    let text = start(taken).await.expect_err("a taken port").to_string();
    assert!(text.contains("is another node running?"), "{text}");

    let lost = NodeSettings {
        seed_names: vec!["no-such-host.invalid:5850".into()],
        resolve_max: Span::from_millis(300),
        ..settings(None, None)
    };
    let text = start(lost).await.expect_err("nobody there").to_string();
    assert!(text.contains("no-such-host.invalid"), "{text}");
    within("stopping", first.stop()).await;
}
