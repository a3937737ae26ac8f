//! The JSON that the REST interface speaks. These types are the interface; nothing in the core is ever serialised.
//!
//! Units stand in the names. Instants are milliseconds since 1970-01-01T00:00:00Z, lives are whole seconds, ids and
//! hashes are 40 hex digits.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyway_core::frame::NetworkId;
use keyway_core::machine::{Copies, GetAnswer, Halt, NodeStatus, Phase, PutReceipt, Value};
use keyway_core::store::{Head, Kind};
use keyway_core::{Duration, Id, Peer, Wall};
use serde::Serialize;

use crate::cursor;

/// A node's name.
#[derive(Serialize)]
pub(crate) struct PeerName {
    id: String,
    addr: String,
}

impl From<&Peer> for PeerName {
    fn from(peer: &Peer) -> PeerName {
        PeerName { id: peer.id().to_string(), addr: peer.addr().to_string() }
    }
}

/// What a put achieved.
#[derive(Serialize)]
pub(crate) struct Receipt {
    key: String,
    value_hash: String,
    ttl_seconds: u64,
    expires_ms: u64,
    acked: Vec<PeerName>,
    replicas: u8,
}

impl Receipt {
    pub(crate) fn new(receipt: &PutReceipt, ttl: Duration) -> Receipt {
        Receipt {
            key: receipt.identity.key.to_string(),
            value_hash: receipt.identity.value_hash.to_string(),
            ttl_seconds: ttl.as_secs(),
            expires_ms: millis(receipt.expires),
            acked: receipt.acked.iter().map(PeerName::from).collect(),
            replicas: receipt.replicas,
        }
    }
}

/// One value.
#[derive(Serialize)]
struct ValueView {
    value_base64: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    put_time_ms: u64,
    ttl_seconds: u64,
    remaining_seconds: u64,
    value_hash: String,
}

impl From<&Value> for ValueView {
    fn from(value: &Value) -> ValueView {
        ValueView {
            value_base64: STANDARD.encode(&value.bytes),
            text: as_text(&value.bytes).map(str::to_owned),
            put_time_ms: millis(value.put_time),
            ttl_seconds: value.ttl.as_secs(),
            remaining_seconds: value.remaining.as_secs(),
            value_hash: value.identity.value_hash.to_string(),
        }
    }
}

/// UTF-8 that a person may look at: without control characters other than line ends and tabs, which also bounds what
/// JSON's escapes can make of it.
fn as_text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    (!text.chars().any(odd)).then_some(text)
}

/// A page of values.
#[derive(Serialize)]
pub(crate) struct Page {
    key: String,
    values: Vec<ValueView>,
    next: Option<String>,
    merged: u8,
}

impl Page {
    pub(crate) fn new(key: &Id, found: &GetAnswer) -> Page {
        Page {
            key: key.to_string(),
            values: found.values.iter().map(ValueView::from).collect(),
            next: found.next.as_ref().map(cursor::text),
            merged: found.merged,
        }
    }
}

/// One copy, without its bytes.
#[derive(Serialize)]
pub(super) struct CopyView {
    value_hash: String,
    kind: &'static str,
    put_time_ms: u64,
    ttl_seconds: u64,
    expires_ms: u64,
    value_bytes: u32,
}

impl From<&Head> for CopyView {
    fn from(head: &Head) -> CopyView {
        CopyView {
            value_hash: head.identity.value_hash.to_string(),
            kind: match head.kind {
                Kind::Put => "put",
                Kind::Remove => "remove",
            },
            put_time_ms: millis(head.put_time),
            ttl_seconds: head.ttl.as_secs(),
            expires_ms: millis(head.expires()),
            value_bytes: head.value_bytes,
        }
    }
}

/// What one replica holds.
#[derive(Serialize)]
struct ReplicaView {
    peer: PeerName,
    copies: Option<Vec<CopyView>>,
    ready: bool,
    rtt_ms: Option<f64>,
}

/// Which replicas hold what.
#[derive(Serialize)]
pub(crate) struct Whereabouts {
    key: String,
    replicas: Vec<ReplicaView>,
}

impl Whereabouts {
    pub(crate) fn new(key: &Id, copies: &[Copies]) -> Whereabouts {
        let replica = |copies: &Copies| ReplicaView {
            peer: PeerName::from(&copies.peer),
            copies: copies.heads.as_ref().map(|heads| heads.iter().map(CopyView::from).collect()),
            ready: copies.ready,
            rtt_ms: copies.rtt.map(fractional_millis),
        };
        Whereabouts { key: key.to_string(), replicas: copies.iter().map(replica).collect() }
    }
}

/// A node's own state.
#[derive(Serialize)]
pub(crate) struct NodeView<'a> {
    id: String,
    addr: String,
    version: &'static str,
    incarnation: u64,
    network: Option<String>,
    overlay: &'static str,
    phase: &'static str,
    isolated: bool,
    halt: Option<&'static str>,
    refused: Option<&'a str>,
    shares: Shares,
    records: u64,
    record_bytes: u64,
    replicas: u8,
    acks: u8,
    value_bytes_max: u32,
    ttl_seconds_max: u64,
    counters: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct Shares {
    count: u32,
    ready: u32,
}

impl<'a> From<&'a NodeStatus> for NodeView<'a> {
    fn from(status: &'a NodeStatus) -> NodeView<'a> {
        NodeView {
            id: status.me.id().to_string(),
            addr: status.me.addr().to_string(),
            version: env!("CARGO_PKG_VERSION"),
            incarnation: status.incarnation,
            network: (status.network != NetworkId::UNKNOWN).then(|| format!("{:016x}", status.network.0)),
            overlay: status.overlay,
            phase: phase(status.phase),
            isolated: status.isolated,
            halt: status.halt.map(halt),
            refused: status.refused.as_deref(),
            shares: Shares { count: status.shares.0, ready: status.shares.1 },
            records: status.records,
            record_bytes: status.record_bytes,
            replicas: status.replicas,
            acks: status.acks,
            value_bytes_max: status.value_bytes_max,
            ttl_seconds_max: status.ttl_max.as_secs(),
            counters: status.counters.each().collect(),
        }
    }
}

/// The overlay's tables.
#[derive(Serialize)]
pub(crate) struct Peers {
    me: PeerName,
    tables: Vec<Table>,
}

#[derive(Serialize)]
struct Table {
    name: &'static str,
    peers: Vec<PeerEntry>,
}

#[derive(Serialize)]
struct PeerEntry {
    #[serde(flatten)]
    peer: PeerName,
    rtt_ms: Option<f64>,
    suspect: bool,
}

impl From<&NodeStatus> for Peers {
    fn from(status: &NodeStatus) -> Peers {
        let table = |(name, peers): &(&'static str, Vec<keyway_core::machine::PeerView>)| Table {
            name,
            peers: peers
                .iter()
                .map(|view| PeerEntry {
                    peer: PeerName::from(&view.peer),
                    rtt_ms: view.rtt.map(fractional_millis),
                    suspect: view.suspect,
                })
                .collect(),
        };
        Peers { me: PeerName::from(&status.me), tables: status.tables.iter().map(table).collect() }
    }
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Loading => "loading",
        Phase::Joining => "joining",
        Phase::Member => "member",
        Phase::Leaving => "leaving",
        Phase::Stopped => "stopped",
        Phase::Refused => "refused",
    }
}

fn halt(halt: Halt) -> &'static str {
    match halt {
        Halt::DiskFull => "disk_full",
        Halt::DiskFailed => "disk_failed",
        Halt::ClockSkew => "clock_skew",
    }
}

fn millis(instant: Wall) -> u64 {
    instant.since(Wall(0)).as_millis()
}

pub(super) fn fractional_millis(span: Duration) -> f64 {
    span.as_micros() as f64 / 1000.0
}
