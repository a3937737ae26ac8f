//! The interfaces that are measured, each as one client of one gateway.
//!
//! ```text
//!   native   the node's own door, in this process: no gateway, no TCP
//!   http     keyway-client: connections are kept, one for each request under way
//!   xmlrpc   a connection for each request, as the service of 2005 answers: it closes
//!   sunrpc   one connection to each gateway, with all calls to it under way at once
//! ```

mod sunrpc;
mod xmlrpc;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use clap::ValueEnum;
use keyway_client::{BulkPut, Client, GetOptions, Key};
use keyway_core::machine::{Op, OpDone, Reads};
use keyway_core::{Duration as Span, Id};
use keyway_net::NodeHandle;
use serde::Serialize;

/// How long values live: longer than any run.
const TTL: Duration = Duration::from_secs(24 * 3600);
/// Values that a get takes; each key of the load has one.
const VALUES_MAX: u32 = 16;
/// For an answer over a wire that has no patience of its own: more than the gateway's, so that its answer wins.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(12);
/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// What a client speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Interface {
    /// The node itself, in this process
    Native,
    /// REST, connections kept
    Http,
    /// XML-RPC, a connection for each call
    Xmlrpc,
    /// Sun RPC, many calls at once on one connection to each gateway
    Sunrpc,
}

/// How an interface uses connections; a bare echo does the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Connections {
    /// One for each request under way.
    Kept,
    /// A new one for each request.
    Fresh,
    /// One for all.
    Shared,
}

impl Interface {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Interface::Native => "native",
            Interface::Http => "http",
            Interface::Xmlrpc => "xmlrpc",
            Interface::Sunrpc => "sunrpc",
        }
    }

    pub(super) const fn connections(self) -> Connections {
        match self {
            // It has none; what one more way through the kernel costs is what its echo says.
            Interface::Native | Interface::Http => Connections::Kept,
            Interface::Xmlrpc => Connections::Fresh,
            Interface::Sunrpc => Connections::Shared,
        }
    }
}

/// Where a node is reached.
#[derive(Clone, Debug)]
pub(super) struct Doors {
    pub(super) node: NodeHandle,
    /// Its gateway, if it has one: HTTP with XML-RPC, and Sun RPC.
    pub(super) http: Option<SocketAddr>,
    pub(super) sunrpc: Option<SocketAddr>,
}

/// One client of one gateway.
pub(super) enum Caller {
    Native(Box<NodeHandle>),
    Http(Client),
    Xmlrpc(SocketAddr),
    Sunrpc(sunrpc::Connection),
}

/// What an operation gave, or the text of what went wrong.
pub(super) type Outcome<T> = Result<T, String>;

impl Caller {
    /// A client, connected where the wire keeps connections: what is measured is requests.
    pub(super) async fn to(interface: Interface, doors: &Doors) -> Outcome<Caller> {
        let closed = || "the node has no such gateway: our own bug".to_owned();
        Ok(match interface {
            Interface::Native => Caller::Native(Box::new(doors.node.clone())),
            Interface::Http => {
                let http = doors.http.ok_or_else(closed)?;
                let client = Client::new(&[http.to_string()]).map_err(|e| e.to_string())?;
                client.ready().await.map_err(|e| e.to_string())?;
                Caller::Http(client)
            }
            Interface::Xmlrpc => Caller::Xmlrpc(doors.http.ok_or_else(closed)?),
            Interface::Sunrpc => {
                let sunrpc = doors.sunrpc.ok_or_else(closed)?;
                Caller::Sunrpc(sunrpc::Connection::open(sunrpc).await?)
            }
        })
    }

    /// Puts a value.
    pub(super) async fn put(&self, key: Id, value: Vec<u8>) -> Outcome<()> {
        match self {
            Caller::Native(node) => {
                let ttl = Span::from_secs(TTL.as_secs());
                node.op(Op::put(key, value, ttl)).await.map(|_| ()).map_err(|e| e.to_string())
            }
            Caller::Http(client) => {
                let put = client.put(&Key(key.0), Bytes::from(value), Some(TTL)).await;
                put.map(|_| ()).map_err(|e| e.to_string())
            }
            Caller::Xmlrpc(gateway) => in_time(xmlrpc::put(*gateway, &key, &value)).await,
            Caller::Sunrpc(connection) => in_time(connection.put(&key, &value)).await,
        }
    }

    /// Gets all values of a key. How many copies are asked can be chosen over two of the wires.
    pub(super) async fn get(&self, key: Id, reads: Reads) -> Outcome<Vec<Vec<u8>>> {
        match self {
            Caller::Native(node) => {
                let get = Op::Get {
                    key,
                    max: VALUES_MAX,
                    after: None,
                    reads,
                    page_bytes: 1 << 20,
                    overhead_bytes: 0,
                    signer: None,
                };
                match node.op(get).await {
                    Ok(OpDone::Got(got)) => Ok(got.values.into_iter().map(|value| value.bytes).collect()),
                    Ok(_) => Err("a get was not answered as one: our own bug".to_owned()),
                    Err(error) => Err(error.to_string()),
                }
            }
            Caller::Http(client) => {
                let reads = words(reads);
                let options = GetOptions { max: Some(VALUES_MAX), reads, ..GetOptions::default() };
                let page = client.get(&Key(key.0), &options).await.map_err(|e| e.to_string())?;
                Ok(page.values.into_iter().map(|value| value.bytes.into()).collect())
            }
            Caller::Xmlrpc(gateway) => in_time(xmlrpc::get(*gateway, &key)).await,
            Caller::Sunrpc(connection) => in_time(connection.get(&key)).await,
        }
    }
}

impl Caller {
    /// Puts many values, in one request where the wire has such; what each took part in, in order.
    pub(super) async fn put_many(&self, entries: Vec<(Id, Vec<u8>)>) -> Vec<Outcome<()>> {
        if let Caller::Http(client) = self {
            let put = |(key, value): &(Id, Vec<u8>)| {
                let mut put = BulkPut::new(Key(key.0), Bytes::from(value.clone()));
                put.options.ttl = Some(TTL);
                put
            };
            let puts: Vec<BulkPut> = entries.iter().map(put).collect();
            return match client.put_many(&puts).await {
                Ok(results) => {
                    results.into_iter().map(|r| r.map(|_| ()).map_err(|e| e.to_string())).collect()
                }
                Err(error) => vec![Err(error.to_string()); puts.len()],
            };
        }
        let mut outcomes = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            outcomes.push(self.put(key, value).await);
        }
        outcomes
    }

    /// Gets the values of many keys, likewise.
    pub(super) async fn get_many(&self, keys: &[Id], reads: Reads) -> Vec<Outcome<Vec<Vec<u8>>>> {
        if let Caller::Http(client) = self {
            let keys: Vec<Key> = keys.iter().map(|key| Key(key.0)).collect();
            return match client.get_many(&keys, words(reads)).await {
                Ok(pages) => {
                    let values =
                        |page: keyway_client::Page| page.values.into_iter().map(|v| v.bytes.into()).collect();
                    pages.into_iter().map(|page| page.map(values).map_err(|e| e.to_string())).collect()
                }
                Err(error) => vec![Err(error.to_string()); keys.len()],
            };
        }
        let mut outcomes = Vec::with_capacity(keys.len());
        for key in keys {
            outcomes.push(self.get(*key, reads).await);
        }
        outcomes
    }
}

/// As the client has it.
fn words(reads: Reads) -> keyway_client::Reads {
    match reads {
        Reads::First => keyway_client::Reads::First,
        _ => keyway_client::Reads::Quorum,
    }
}

async fn in_time<T>(call: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let late = || Err(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()));
    tokio::time::timeout(ANSWER_TIMEOUT, call).await.unwrap_or_else(|_| late())
}
