//! A gateway on a free port before a fake node, and the ways in which clients talk to it.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

#[path = "rpc.rs"]
pub mod rpc;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyway_core::frame::NetworkId;
use keyway_core::machine::{
    Copies, Counters, Facts, Fate, GetAnswer, NodeStatus, Op, OpDone, OpError, OpResult, PeerView, Phase,
    PutReceipt, RemoveReceipt, RestoreReceipt, SignedPut, Surveyed, Terms, TraceAnswer, TraceStep, Traced,
    Value,
};
use keyway_core::store::{ClientId, Head, Identity, Record, Room};
use keyway_core::{Addr, Duration as Span, Id, Peer, Wall};
use keyway_gateway::{GatewayConfig, Node, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The fake node's network.
pub const NETWORK: NetworkId = NetworkId(0xfeed);

/// A node that is a map: puts take effect at once, time is a counter.
#[derive(Clone, Default)]
pub struct FakeNode(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    records: BTreeMap<Identity, Record>,
    clock: u64,
    failure: Option<OpError>,
    unwell: Option<NodeStatus>,
    deaf: bool,
    unread: u32,
    asked: watch::Sender<u64>,
    puts: u64,
}

impl FakeNode {
    /// Every put and get fails like this from now on.
    pub fn fail(&self, why: Option<OpError>) {
        self.inside().failure = why;
    }

    /// So many records of each page cannot be read from now on.
    pub fn hide(&self, unread: u32) {
        self.inside().unread = unread;
    }

    /// Nothing is answered from now on.
    pub fn go_deaf(&self) {
        self.inside().deaf = true;
    }

    /// The status from now on.
    pub fn say(&self, change: impl FnOnce(&mut NodeStatus)) {
        let mut status = self.status();
        change(&mut status);
        self.inside().unwell = Some(status);
    }

    /// Waits until so many operations have reached the node.
    pub async fn wait_until_asked(&self, count: u64) {
        let mut asked = self.inside().asked.subscribe();
        let enough = asked.wait_for(|so_far| *so_far >= count);
        let _ = tokio::time::timeout(PATIENCE, enough).await.expect("the node is asked");
    }

    /// Operations that reached the node.
    pub fn asked(&self) -> u64 {
        *self.inside().asked.borrow()
    }

    /// Who is charged for what is stored.
    pub fn charged(&self) -> Vec<ClientId> {
        self.inside().records.values().map(|record| record.head.client).collect()
    }

    /// Puts and removes that reached the node.
    pub fn puts(&self) -> u64 {
        self.inside().puts
    }

    /// Holds a record, whatever it is.
    pub fn hold(&self, record: Record) {
        self.inside().records.insert(record.head.identity, record);
    }

    /// The records held under a key.
    pub fn held(&self, key: Id) -> Vec<Head> {
        let inside = self.inside();
        inside.records.values().map(|record| record.head).filter(|head| head.identity.key == key).collect()
    }

    fn inside(&self) -> std::sync::MutexGuard<'_, Inside> {
        self.0.lock().expect("no test panics while it holds the map")
    }

    fn status(&self) -> NodeStatus {
        let inside = self.inside();
        if let Some(status) = &inside.unwell {
            return status.clone();
        }
        let counters = Counters { puts: inside.puts, ..Counters::default() };
        let successor = PeerView { peer: peer(2), rtt: Some(Span::from_micros(1500)), suspect: false };
        NodeStatus {
            me: peer(1),
            incarnation: 7,
            network: NETWORK,
            overlay: "fake",
            phase: Phase::Member,
            isolated: false,
            halt: None,
            refused: None,
            shares: (3, 3),
            records: inside.records.len() as u64,
            record_bytes: inside.records.values().map(|record| record.value.len() as u64).sum(),
            tables: vec![("successors", vec![successor])],
            counters,
            terms: Terms { replicas: 3, acks: 2, reads: 2 },
            other_terms: vec![(peer(2), Terms { replicas: 5, acks: 3, reads: 3 })],
            value_bytes_max: 64 << 10,
            ttl_max: Span::from_secs(604_800),
        }
    }

    /// The next instant of its clock.
    fn tick(&self) -> Wall {
        let mut inside = self.inside();
        inside.puts += 1;
        inside.clock += 1;
        Wall(1_700_000_000_000_000 + inside.clock)
    }

    /// Keeps the greater copy, as a replica does.
    fn store(&self, record: Record) -> OpResult {
        let head = record.head;
        let Head { identity, ttl, .. } = head;
        if ttl.as_secs() < 1 || ttl.as_secs() > 604_800 {
            return Err(OpError::BadTtl { max_secs: 604_800 });
        }
        if record.content().len() > 64 << 10 {
            return Err(OpError::TooLarge { bytes: record.value.len() as u64, max: 64 << 10 });
        }
        if !record.is_authentic(NETWORK) {
            return Err(OpError::Forged);
        }
        let mut inside = self.inside();
        let held = inside.records.get(&identity).map(|held| held.head);
        let same = |held: &Head| (held.seq, held.kind, held.origin) == (head.seq, head.kind, head.origin);
        if let Some(held) = held
            && head.seq > 0
            && held.seq >= head.seq
            && !same(&held)
        {
            return Err(OpError::Conflict { seq: held.seq });
        }
        if held.is_none_or(|held| head.rank() > held.rank()) {
            inside.records.insert(identity, record);
        }
        let (acked, expires) = (vec![peer(1), peer(2)], head.expires());
        Ok(if head.kind.is_remove() {
            OpDone::Removed(RemoveReceipt { identity, found: held.is_some(), acked, replicas: 3, expires })
        } else {
            let hidden = held.is_some_and(|held| held.kind.is_remove() && held.rank() > head.rank());
            OpDone::Put(PutReceipt { identity, acked, replicas: 3, expires, hidden })
        })
    }

    /// As a replica set does.
    fn restore(&self, record: Record) -> OpResult {
        let identity = record.head.identity;
        if !record.is_intact() {
            return Err(OpError::Forged);
        }
        let done = match self.store(record) {
            Err(OpError::Conflict { seq }) => (Fate::Superseded(seq), Vec::new(), Wall(0)),
            Err(why) => return Err(why),
            Ok(OpDone::Put(receipt)) => {
                let fate = if receipt.hidden { Fate::Hidden } else { Fate::Stands };
                (fate, receipt.acked, receipt.expires)
            }
            Ok(OpDone::Removed(receipt)) => (Fate::Stands, receipt.acked, receipt.expires),
            Ok(other) => unreachable!("{other:?}"),
        };
        let (fate, acked, expires) = done;
        Ok(OpDone::Restored(RestoreReceipt { identity, fate, acked, replicas: 3, expires }))
    }

    /// Its clock stands at the beginning: what is signed must end after that.
    fn store_signed(&self, put: SignedPut) -> OpResult {
        let SignedPut { kind, key, content, seq, proof, cas, client } = put;
        let record = Record::signed(kind, key, &content, seq, &proof, self.tick(), 1);
        let record = record.ok_or(OpError::Forged)?.charged_to(client);
        let held = self.inside().records.get(&record.head.identity).map_or(0, |held| held.head.seq);
        if cas.is_some_and(|number| number != held) {
            return Err(OpError::Conflict { seq: held });
        }
        self.store(record)
    }

    fn get(&self, op: Op) -> OpResult {
        let Op::Get { key, max, after, page_bytes, overhead_bytes, signer, .. } = op else {
            unreachable!("a get")
        };
        let inside = self.inside();
        let mut all: Vec<&Record> = inside.records.values().collect();
        all.retain(|record| {
            let Head { identity, kind, .. } = record.head;
            let of_signer = signer.is_none_or(|place| kind.is_signed() && identity.secret_hash == place);
            identity.key == key
                && !kind.is_remove()
                && of_signer
                && after.is_none_or(|place| record.head.cursor() > place)
        });
        all.sort_by_key(|record| record.head.cursor());
        let mut page = GetAnswer { values: Vec::new(), next: None, merged: 2 };
        let mut cost = 0;
        for record in &all {
            cost += record.value.len() + overhead_bytes as usize;
            let full = !page.values.is_empty() && cost > page_bytes as usize;
            if full || page.values.len() >= max as usize {
                break;
            }
            page.next = Some(record.head.cursor());
            page.values.push(Value::of((*record).clone(), record.head.put_time));
        }
        if page.values.len() == all.len() {
            page.next = None;
        }
        Ok(OpDone::Got(page))
    }
}

impl Node for FakeNode {
    async fn op(&self, what: Op) -> OpResult {
        let (deaf, failure) = {
            let inside = self.inside();
            inside.asked.send_modify(|so_far| *so_far += 1);
            (inside.deaf, inside.failure.clone())
        };
        if deaf {
            std::future::pending::<()>().await;
        }
        match (what, failure) {
            (Op::Status, _) => Ok(OpDone::Status(Box::new(self.status()))),
            (_, Some(why)) => Err(why),
            (Op::Put { key, value, ttl, secret_hash, client }, None) => {
                let record = Record::plain(key, value, self.tick(), ttl, 1).guarded_by(secret_hash);
                self.store(record.charged_to(client))
            }
            (Op::PutImmutable { value, ttl, client }, None) => {
                self.store(Record::immutable(value, self.tick(), ttl, 1).charged_to(client))
            }
            (Op::Remove { key, value_hash, secret, ttl, client }, None) => {
                let record = Record::removal(key, value_hash, secret, self.tick(), ttl, 1);
                self.store(record.charged_to(client))
            }
            (Op::PutSigned(put), None) => self.store_signed(*put),
            (get @ Op::Get { .. }, None) => self.get(get),
            (Op::Where { key }, None) => {
                let inside = self.inside();
                let heads =
                    inside.records.values().map(|record| record.head).filter(|h| h.identity.key == key);
                let here = Copies { peer: peer(1), heads: Some(heads.collect()), ready: true, rtt: None };
                let silent = Copies { peer: peer(2), heads: None, ready: false, rtt: None };
                Ok(OpDone::Where(vec![here, silent]))
            }
            (Op::Trace { target }, None) => {
                let step = |n: u32, answer, named| TraceStep {
                    peer: peer(n),
                    distance: target,
                    rtt: (answer != TraceAnswer::Silent).then(|| Span::from_micros(1_500)),
                    answer,
                    named,
                };
                let steps = vec![
                    step(2, TraceAnswer::Silent, vec![]),
                    step(3, TraceAnswer::Next, vec![peer(1)]),
                    step(1, TraceAnswer::Root, vec![peer(1), peer(2)]),
                ];
                Ok(OpDone::Traced(Traced { peers: vec![peer(1), peer(2)], steps, hops: 2, timeouts: 1 }))
            }
            (Op::Survey { max }, None) => {
                let facts = Facts {
                    records: self.inside().records.len() as u64,
                    record_bytes: 5,
                    shares: (3, 3),
                    member: true,
                    peers: vec![],
                };
                let here = Surveyed { peer: peer(1), facts: Some(facts), rtt: None };
                let silent = Surveyed { peer: peer(2), facts: None, rtt: None };
                let nodes: Vec<Surveyed> = [here, silent].into_iter().take(max as usize).collect();
                Ok(OpDone::Surveyed { complete: nodes.len() == 2, nodes })
            }
            (Op::Held { after, max }, None) => {
                let inside = self.inside();
                let mut heads: Vec<Head> = inside.records.values().map(|record| record.head).collect();
                heads.sort_by_key(|head| head.identity);
                heads.retain(|head| after.is_none_or(|place| head.identity > place));
                let more = heads.len() > max as usize;
                heads.truncate(max as usize);
                Ok(OpDone::Held { heads, more })
            }
            (Op::Records { after, max, page_bytes }, None) => {
                let inside = self.inside();
                let left = inside.records.values().filter(|r| after.is_none_or(|at| r.head.identity > at));
                let (mut records, mut bytes, mut next) = (Vec::new(), 0, None);
                for record in left {
                    if records.len() >= max as usize || bytes > page_bytes as usize {
                        next = records.last().map(|last: &Record| last.head.identity);
                        break;
                    }
                    bytes += record.value.len();
                    records.push(record.clone());
                }
                Ok(OpDone::Records { records, unread: inside.unread, next })
            }
            (Op::Restore(record), None) => self.restore(*record),
            (Op::Clients { .. }, None) => Ok(OpDone::Clients { room: Room::default(), shares: Vec::new() }),
            (Op::Lookup { .. }, None) => Err(OpError::Timeout),
        }
    }
}

/// A peer by number.
pub fn peer(n: u32) -> Peer {
    Peer::new(Id::from_u64(u64::from(n)), Addr::simulated(n))
}

/// A gateway at work.
pub struct Gateway {
    pub addr: SocketAddr,
    pub node: FakeNode,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Gateway {
    /// With the limits that users have.
    pub async fn start() -> Gateway {
        Gateway::with(GatewayConfig::default()).await
    }

    pub async fn with(config: GatewayConfig) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let node = FakeNode::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let task = tokio::spawn(serve(listener, node.clone(), config, shutdown));
        Gateway { addr, node, stop: Some(stop), task }
    }

    /// Stops it and waits until it has.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        let ended = tokio::time::timeout(PATIENCE, &mut self.task).await.expect("the gateway stops");
        ended.expect("no panic").expect("no error");
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.expect("connected")
    }

    /// Sends bytes, and reads until the gateway closes.
    pub async fn exchange(&self, bytes: &[u8]) -> String {
        let mut socket = self.connect().await;
        // A gateway that refuses early may close before everything is sent.
        let _ = socket.write_all(bytes).await;
        read_to_end(&mut socket).await
    }

    /// One HTTP/1.1 request on a connection of its own: the status, and the body.
    pub async fn ask(&self, method: &str, path: &str, body: &[u8]) -> (u16, String) {
        self.ask_with(method, path, &[], body).await
    }

    /// The same with headers.
    pub async fn ask_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (u16, String) {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n").into_bytes();
        for (name, value) in headers {
            request.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if !body.is_empty() || matches!(method, "PUT" | "POST") {
            request.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body);
        let answer = self.exchange(&request).await;
        (status(&answer), body_of(&answer).to_owned())
    }

    /// The same, with the body as JSON.
    pub async fn ask_json(&self, method: &str, path: &str, body: &[u8]) -> (u16, serde_json::Value) {
        let (status, body) = self.ask(method, path, body).await;
        let json = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{method} {path}: {e} in {body:?}"));
        (status, json)
    }
}

/// Everything until the other side closes; a reset after some bytes counts as closing.
pub async fn read_to_end(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = socket.read_to_end(&mut answer);
    let _ = tokio::time::timeout(PATIENCE, reading).await.expect("the gateway answers or closes");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of an answer, or 0 if there is none.
pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

pub fn body_of(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

pub fn head_of(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or(answer, |(head, _)| head)
}
