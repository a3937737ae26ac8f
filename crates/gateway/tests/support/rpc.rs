//! A Sun RPC port on a free port before a node, and a client that is written by hand: bytes in, bytes out.

use std::net::SocketAddr;

use keyway_core::{Duration as Span, Id};
use keyway_gateway::sunrpc::message::open;
use keyway_gateway::sunrpc::program::{PROGRAM, decode};
use keyway_gateway::sunrpc::xdr::Writer;
use keyway_gateway::{GatewayConfig, Listeners, Node, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{PATIENCE, read_to_end};

/// A gateway with a Sun RPC port.
pub struct RpcGateway {
    pub rpc: SocketAddr,
    pub http: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

impl RpcGateway {
    /// With the limits that users have.
    pub async fn start(node: impl Node) -> RpcGateway {
        RpcGateway::with(node, |_| {}).await
    }

    pub async fn with(node: impl Node, change: impl FnOnce(&mut GatewayConfig)) -> RpcGateway {
        let mut config = GatewayConfig::default();
        change(&mut config);
        let http = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let rpc = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = |listener: &TcpListener| listener.local_addr().expect("its address");
        let (http_addr, rpc_addr) = (addr(&http), addr(&rpc));
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let task = tokio::spawn(serve(Listeners { http, sunrpc: Some(rpc) }, node, config, shutdown));
        RpcGateway { rpc: rpc_addr, http: http_addr, stop: Some(stop), task }
    }

    /// Stops it and waits until it has.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        let ended = tokio::time::timeout(PATIENCE, &mut self.task).await.expect("the gateway stops");
        ended.expect("no panic").expect("no error");
    }

    pub async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.rpc).await.expect("connected"))
    }

    /// All replies to bytes after which the client says that there are no more.
    pub async fn exchange(&self, bytes: &[u8]) -> Vec<Reply> {
        let mut client = self.connect().await;
        // A gateway that refuses early may close before everything is sent.
        let _ = client.0.write_all(bytes).await;
        let _ = client.0.shutdown().await;
        client.rest().await
    }

    /// One request over HTTP: the whole answer.
    pub async fn http(&self, method: &str, path: &str, body: &[u8]) -> String {
        let mut socket = TcpStream::connect(self.http).await.expect("connected");
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        socket.write_all(&[head.as_bytes(), body].concat()).await.expect("sent");
        read_to_end(&mut socket).await
    }

    /// Waits until `/metrics` says this; every look is a round trip.
    pub async fn wait_for_metric(&self, line: &str) {
        let told = async { while !self.http("GET", "/metrics", b"").await.contains(line) {} };
        tokio::time::timeout(PATIENCE, told).await.unwrap_or_else(|_| panic!("never {line}"));
    }
}

/// A connection.
pub struct Client(pub TcpStream);

impl Client {
    pub async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("sent");
    }

    /// The next reply; `None` when the server has closed.
    pub async fn reply(&mut self) -> Option<Reply> {
        let read = async {
            let mark = self.0.read_u32().await.ok()?;
            assert!(mark >> 31 == 1 && mark < (1 << 31) + 200_000, "a reply is one fragment: {mark:x}");
            let mut record = vec![0; (mark & !(1 << 31)) as usize];
            self.0.read_exact(&mut record).await.ok()?;
            Some(Reply(record))
        };
        tokio::time::timeout(PATIENCE, read).await.expect("the gateway answers or closes")
    }

    /// Everything until the server closes.
    pub async fn rest(&mut self) -> Vec<Reply> {
        let mut replies = Vec::new();
        while let Some(reply) = self.reply().await {
            replies.push(reply);
        }
        replies
    }

    /// One call and its reply.
    pub async fn call(&mut self, version: u32, procedure: u32, args: &[u8]) -> Reply {
        self.send(&call(7, version, procedure, args)).await;
        self.reply().await.expect("a reply")
    }
}

/// A reply, without its record mark.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply(pub Vec<u8>);

impl Reply {
    pub fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.0[4 * at..4 * at + 4].try_into().expect("four bytes"))
    }

    pub fn xid(&self) -> u32 {
        self.word(0)
    }

    /// `accept_stat` of an accepted call.
    pub fn stat(&self) -> u32 {
        assert_eq!((self.word(1), self.word(2), self.word(3), self.word(4)), (1, 0, 0, 0), "{self:?}");
        self.word(5)
    }

    /// The results of a call that succeeded.
    pub fn results(&self) -> &[u8] {
        assert_eq!(self.stat(), 0, "{self:?}");
        &self.0[24..]
    }

    /// A status.
    pub fn status(&self) -> u32 {
        assert_eq!(self.results().len(), 4);
        self.word(6)
    }

    /// A page: values, of version 3 each with its remaining life and its secret's hash, and a placemark.
    pub fn page(&self, version: u32) -> Page {
        let mut rest = self.results();
        let word = |rest: &mut &[u8]| {
            let (word, more) = rest.split_first_chunk().expect("four bytes");
            *rest = more;
            u32::from_be_bytes(*word)
        };
        let opaque = |rest: &mut &[u8]| {
            let len = word(rest) as usize;
            let (bytes, more) = rest.split_at(len.next_multiple_of(4));
            *rest = more;
            bytes[..len].to_vec()
        };
        let mut page = Page::default();
        for _ in 0..word(&mut rest) {
            page.values.push(opaque(&mut rest));
            if version == 3 {
                page.remaining.push(word(&mut rest));
                assert_eq!(opaque(&mut rest), b"SHA");
                page.secret_hashes.push(opaque(&mut rest));
            }
        }
        page.placemark = opaque(&mut rest);
        assert!(rest.is_empty(), "{rest:?}");
        page
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    pub values: Vec<Vec<u8>>,
    pub remaining: Vec<u32>,
    pub secret_hashes: Vec<Vec<u8>>,
    pub placemark: Vec<u8>,
}

/// A record of one fragment.
pub fn record(bytes: &[u8]) -> Vec<u8> {
    [&(1 << 31 | bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

/// A call to any program, without its record mark.
pub fn call_of(xid: u32, rpc: u32, program: u32, version: u32, procedure: u32, args: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut w = Writer::new(&mut bytes);
    for word in [xid, 0, rpc, program, version, procedure, 0, 0, 0, 0] {
        w.u32(word);
    }
    bytes.extend_from_slice(args);
    bytes
}

/// A call to our program, as a record.
pub fn call(xid: u32, version: u32, procedure: u32, args: &[u8]) -> Vec<u8> {
    record(&call_of(xid, 2, PROGRAM, version, procedure, args))
}

/// Arguments that begin as all do.
pub fn args(key: &Id, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut w = Writer::new(&mut bytes);
    w.opaque(b"test");
    w.opaque(b"by hand");
    w.fixed(&key.0);
    write(&mut w);
    bytes
}

pub fn put2(key: &Id, value: &[u8], ttl: i32) -> Vec<u8> {
    args(key, |w| {
        w.opaque(value);
        w.i32(ttl);
    })
}

pub fn put3(key: &Id, value: &[u8], hash: (&[u8], &[u8]), ttl: i32) -> Vec<u8> {
    args(key, |w| {
        w.opaque(value);
        w.opaque(hash.0);
        w.opaque(hash.1);
        w.i32(ttl);
    })
}

pub fn get(key: &Id, maxvals: i32, placemark: &[u8]) -> Vec<u8> {
    args(key, |w| {
        w.i32(maxvals);
        w.opaque(placemark);
    })
}

pub fn remove(key: &Id, hash: (&[u8], &[u8]), algorithm: &[u8], secret: &[u8], ttl: i32) -> Vec<u8> {
    args(key, |w| {
        w.opaque(hash.0);
        w.opaque(hash.1);
        w.opaque(algorithm);
        w.opaque(secret);
        w.i32(ttl);
    })
}

/// Whether a record, without its mark, is a call that the server would begin.
pub fn is_good(bytes: &[u8]) -> bool {
    open(bytes).is_ok_and(|(head, args)| decode(&head, args, 1024).is_ok())
}

/// A day.
pub const DAY: Span = Span::from_secs(86_400);
