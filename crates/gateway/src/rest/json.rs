//! The JSON that the REST interface speaks. These types are the interface; nothing in the core is ever serialised.
//!
//! Units stand in the names. Instants are milliseconds since 1970-01-01T00:00:00Z, lives are whole seconds, ids and
//! hashes are 40 hex digits.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyway_core::frame::NetworkId;
use keyway_core::keyspace::Geometry;
use keyway_core::machine::{
    Copies, GetAnswer, Halt, NodeStatus, Phase, PutReceipt, RemoveReceipt, SignedPut, Terms, Value,
};
use keyway_core::overlay::registry;
use keyway_core::store::proof::sha256;
use keyway_core::store::{Head, Identity, Kind, Proof};
use keyway_core::{Duration, Id, Peer, Wall};
use serde::Serialize;
use utoipa::ToSchema;

use crate::cursor;

/// A node's name.
#[derive(Serialize, ToSchema)]
pub(crate) struct PeerName {
    /// 40 hex digits.
    id: String,
    /// Where it listens for nodes.
    addr: String,
}

impl From<&Peer> for PeerName {
    fn from(peer: &Peer) -> PeerName {
        PeerName { id: peer.id().to_string(), addr: peer.addr().to_string() }
    }
}

/// What a put achieved.
#[derive(Serialize, ToSchema)]
pub(crate) struct Receipt {
    /// 40 hex digits.
    key: String,
    /// The value's name among those of the key.
    value_hash: String,
    /// SHA-1 of the secret with which it can be removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_hash: Option<String>,
    /// Who signed it: SHA-256 of the public key, 64 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<String>,
    /// Its number in its series.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    /// The life that it was given.
    ttl_seconds: u64,
    /// When its life ends.
    expires_ms: u64,
    /// Who has it, after their disks said so.
    acked: Vec<PeerName>,
    /// Copies that the network keeps.
    replicas: u8,
}

impl Receipt {
    pub(crate) fn new(receipt: &PutReceipt, ttl: Duration, signed: Option<&SignedPut>) -> Receipt {
        let Identity { key, secret_hash, value_hash } = &receipt.identity;
        let guarded = signed.is_none() && *secret_hash != Id::ZERO;
        Receipt {
            key: key.to_string(),
            value_hash: value_hash.to_string(),
            secret_hash: guarded.then(|| secret_hash.to_string()),
            signer: signed.map(|put| authenticator(&put.proof)),
            seq: signed.map(|put| put.seq).filter(|seq| *seq > 0),
            // The same value may live longer than this put asked for.
            ttl_seconds: receipt.expires.since(super::writes::now()).as_secs().max(ttl.as_secs()),
            expires_ms: millis(receipt.expires),
            acked: receipt.acked.iter().map(PeerName::from).collect(),
            replicas: receipt.replicas,
        }
    }
}

/// What a remove achieved.
#[derive(Serialize, ToSchema)]
pub(crate) struct Removal {
    /// 40 hex digits.
    key: String,
    /// The name of what is hidden among the values of the key.
    value_hash: String,
    /// Until when the removal stands: not shorter than what it hides would have lived.
    expires_ms: u64,
    /// Who has it, after their disks said so.
    acked: Vec<PeerName>,
    /// Copies that the network keeps.
    replicas: u8,
}

impl Removal {
    pub(crate) fn new(receipt: &RemoveReceipt) -> Removal {
        Removal {
            key: receipt.identity.key.to_string(),
            value_hash: receipt.identity.value_hash.to_string(),
            expires_ms: millis(receipt.expires),
            acked: receipt.acked.iter().map(PeerName::from).collect(),
            replicas: receipt.replicas,
        }
    }
}

/// Who signed, and until when.
#[derive(Serialize, ToSchema)]
struct ProofView {
    /// The signer's Ed25519 key: 64 hex digits.
    public_key: String,
    /// 64 hex digits.
    nonce: String,
    /// When its life ends: seconds since 1970.
    expires_unix_seconds: u64,
    /// 128 hex digits, over what docs/protocol.md says. The gateway's node has verified it.
    signature: String,
}

impl From<&Proof> for ProofView {
    fn from(proof: &Proof) -> ProofView {
        ProofView {
            public_key: hex(&proof.public_key),
            nonce: hex(&proof.nonce),
            expires_unix_seconds: proof.expires_secs,
            signature: hex(&proof.signature),
        }
    }
}

/// One value.
#[derive(Serialize, ToSchema)]
pub(super) struct ValueView {
    /// The bytes.
    value_base64: String,
    /// The bytes as text, if they are text that a person may look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// `put`, `immutable`, `signed` or `sequenced`.
    kind: &'static str,
    /// When its gateway took it.
    put_time_ms: u64,
    /// The life that its put named.
    ttl_seconds: u64,
    /// What is left of it.
    remaining_seconds: u64,
    /// Its name among the values of the key: of a `put` the SHA-1 of its bytes, of an `immutable` one its key.
    value_hash: String,
    /// SHA-1 of the secret with which a `put` can be removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_hash: Option<String>,
    /// The number of a `sequenced` value.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    /// Who signed it: SHA-256 of the public key, 64 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<String>,
    /// The signature with all that it covers and that does not stand elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<ProofView>,
}

impl From<&Value> for ValueView {
    fn from(value: &Value) -> ValueView {
        ValueView {
            value_base64: STANDARD.encode(&value.bytes),
            text: as_text(&value.bytes).map(str::to_owned),
            kind: kind(value.kind),
            put_time_ms: millis(value.put_time),
            ttl_seconds: value.ttl.as_secs(),
            remaining_seconds: value.remaining.as_secs(),
            value_hash: value.identity.value_hash.to_string(),
            secret_hash: secret_hash(value.kind, &value.identity),
            seq: (value.seq > 0).then_some(value.seq),
            signer: value.proof.as_deref().map(authenticator),
            proof: value.proof.as_deref().map(ProofView::from),
        }
    }
}

/// SHA-1 of the secret of what can be removed by one.
fn secret_hash(kind: Kind, identity: &Identity) -> Option<String> {
    let guarded = matches!(kind, Kind::Put | Kind::Remove) && identity.secret_hash != Id::ZERO;
    guarded.then(|| identity.secret_hash.to_string())
}

/// A signer's name.
fn authenticator(proof: &Proof) -> String {
    hex(&sha256(&proof.public_key))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Put => "put",
        Kind::Remove => "remove",
        Kind::Immutable => "immutable",
        Kind::Signed => "signed",
        Kind::SignedRemove => "signed-remove",
        Kind::Sequenced => "sequenced",
        Kind::SequencedRemove => "sequenced-remove",
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
#[derive(Serialize, ToSchema)]
pub(crate) struct Page {
    /// 40 hex digits.
    key: String,
    /// In the order in which they were put.
    values: Vec<ValueView>,
    /// Where the next page begins (`after`); null if this is the last.
    next: Option<String>,
    /// How many replicas' answers it was made of.
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
#[derive(Serialize, ToSchema)]
pub(super) struct CopyView {
    /// Which value of the key.
    value_hash: String,
    /// `put`, `immutable`, `signed`, `sequenced`; or with `remove` in it: a record that its value was removed.
    kind: &'static str,
    /// SHA-1 of the secret with which a `put` can be removed, or was.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_hash: Option<String>,
    /// Its number in its series.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    /// When its gateway took it.
    put_time_ms: u64,
    /// The life that its put named.
    ttl_seconds: u64,
    /// When its life ends.
    expires_ms: u64,
    /// Length of the value.
    value_bytes: u32,
}

impl From<&Head> for CopyView {
    fn from(head: &Head) -> CopyView {
        CopyView {
            value_hash: head.identity.value_hash.to_string(),
            secret_hash: secret_hash(head.kind, &head.identity),
            seq: (head.seq > 0).then_some(head.seq),
            kind: kind(head.kind),
            put_time_ms: millis(head.put_time),
            ttl_seconds: head.ttl.as_secs(),
            expires_ms: millis(head.expires()),
            value_bytes: head.value_bytes,
        }
    }
}

/// What one replica holds.
#[derive(Serialize, ToSchema)]
struct ReplicaView {
    /// Which node.
    peer: PeerName,
    /// What it holds; null if it did not answer.
    copies: Option<Vec<CopyView>>,
    /// Whether it has finished taking over what it should hold.
    ready: bool,
    /// Round trip from the gateway's node; null for that node itself, or if it did not answer.
    rtt_ms: Option<f64>,
}

/// Which replicas hold what.
#[derive(Serialize, ToSchema)]
pub(crate) struct Whereabouts {
    /// 40 hex digits.
    key: String,
    /// Root first.
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
#[derive(Serialize, ToSchema)]
pub(crate) struct NodeView<'a> {
    /// 40 hex digits.
    id: String,
    /// Where it listens for nodes.
    addr: String,
    /// Of the program.
    version: &'static str,
    /// This life of the node; a restart has a greater one.
    incarnation: u64,
    /// The network's random id; null before it is known.
    network: Option<String>,
    /// How nodes find each other.
    overlay: &'static str,
    /// How it places keys: `ring`, on the node that follows; `xor`, on the node of the longest common prefix.
    geometry: Option<&'static str>,
    /// `loading`, `joining`, `member`, `leaving`, `stopped`, `refused`.
    phase: &'static str,
    /// No neighbour answers.
    isolated: bool,
    /// Why it takes no writes: `disk_full`, `disk_failed`, `clock_skew`; null if it does.
    halt: Option<&'static str>,
    /// Why its network refused it.
    refused: Option<&'a str>,
    /// Parts of the key space.
    shares: Shares,
    /// Records held.
    records: u64,
    /// Bytes of their values.
    record_bytes: u64,
    /// Copies of each value.
    replicas: u8,
    /// Copies that acknowledge a put.
    acks: u8,
    /// Answers that a get merges.
    reads: u8,
    /// Nodes that have told it in the last ten minutes that they keep copies in another way, 16 at most: a mistake, or a network on its way to
    /// new terms. Empty without the scope `admin`.
    other_terms: Vec<OtherTerms>,
    /// Members in its tables, and itself: of a large network some of them.
    members_known: u64,
    /// The longest value taken.
    value_bytes_max: u32,
    /// The longest life given.
    ttl_seconds_max: u64,
    /// What happened since its start.
    counters: BTreeMap<&'static str, u64>,
}

/// A node that keeps copies in another way than the one that tells of it.
#[derive(Serialize, ToSchema)]
struct OtherTerms {
    #[serde(flatten)]
    peer: PeerName,
    /// Copies of each value.
    replicas: u8,
    /// Copies that acknowledge a put.
    acks: u8,
    /// Answers that a get merges.
    reads: u8,
}

impl From<&(Peer, Terms)> for OtherTerms {
    fn from((peer, terms): &(Peer, Terms)) -> OtherTerms {
        let Terms { replicas, acks, reads } = *terms;
        OtherTerms { peer: PeerName::from(peer), replicas, acks, reads }
    }
}

/// Parts of the key space that a node keeps copies of.
#[derive(Serialize, ToSchema)]
struct Shares {
    /// Arcs of the key space that it keeps copies of.
    count: u32,
    /// Those that it has finished taking over.
    ready: u32,
}

impl<'a> NodeView<'a> {
    /// `others`: whether those who keep copies in another way are named.
    pub(crate) fn new(status: &'a NodeStatus, others: bool) -> NodeView<'a> {
        let other_terms = status.other_terms.iter().filter(|_| others);
        NodeView {
            id: status.me.id().to_string(),
            addr: status.me.addr().to_string(),
            version: env!("CARGO_PKG_VERSION"),
            incarnation: status.incarnation,
            network: (status.network != NetworkId::UNKNOWN).then(|| format!("{:016x}", status.network.0)),
            overlay: status.overlay,
            geometry: registry::find(status.overlay).map(|entry| geometry(entry.geometry)),
            phase: phase(status.phase),
            isolated: status.isolated,
            halt: status.halt.map(halt),
            refused: status.refused.as_deref(),
            shares: Shares { count: status.shares.0, ready: status.shares.1 },
            records: status.records,
            record_bytes: status.record_bytes,
            replicas: status.terms.replicas,
            acks: status.terms.acks,
            reads: status.terms.reads,
            other_terms: other_terms.map(OtherTerms::from).collect(),
            members_known: status.members_known() as u64,
            value_bytes_max: status.value_bytes_max,
            ttl_seconds_max: status.ttl_max.as_secs(),
            counters: status.counters.each().collect(),
        }
    }
}

/// The overlay's tables.
#[derive(Serialize, ToSchema)]
pub(crate) struct Peers {
    /// The node itself.
    me: PeerName,
    /// In the overlay's own order.
    tables: Vec<Table>,
}

/// One of the overlay's tables.
#[derive(Serialize, ToSchema)]
struct Table {
    /// In the overlay's own words.
    name: &'static str,
    /// In the table's order.
    peers: Vec<PeerEntry>,
}

/// A peer in a table.
#[derive(Serialize, ToSchema)]
struct PeerEntry {
    #[serde(flatten)]
    peer: PeerName,
    /// Round trip; null if it was not measured.
    rtt_ms: Option<f64>,
    /// It did not answer lately.
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

fn geometry(geometry: Geometry) -> &'static str {
    match geometry {
        Geometry::Ring => "ring",
        Geometry::Xor => "xor",
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

pub(super) fn millis(instant: Wall) -> u64 {
    instant.since(Wall(0)).as_millis()
}

pub(super) fn fractional_millis(span: Duration) -> f64 {
    span.as_micros() as f64 / 1000.0
}
