//! What gateways answer, as JSON under `/v1`. Unknown fields are ignored, so that a newer gateway may say more.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::failure::ClientError;
use crate::hex::{Authenticator, Hex};
use crate::key::Key;
use crate::signing::{Claim, Proof};

/// How many replicas a read consults.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reads {
    /// Enough replicas to see every acknowledged put.
    #[default]
    Quorum,
    /// The first copy that answers: fast, may miss a recent put.
    First,
}

/// Which page of values [`Client::get`](crate::Client::get) asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GetOptions {
    /// At most this many values; the gateway's own default if `None`. A page may end before it: see [`Page::next`].
    pub max: Option<u32>,
    /// Go on after this place: [`Page::next`] of the page before. Opaque.
    pub after: Option<String>,
    /// How many replicas to consult.
    pub reads: Reads,
    /// Only signed values of this signer.
    pub signer: Option<Authenticator>,
}

/// How a value is put by [`Client::put_with`](crate::Client::put_with).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PutOptions {
    /// For how long, in whole seconds, rounded up; the gateway's default of a day if `None`.
    pub ttl: Option<Duration>,
    /// SHA-1 of the secret with which it can be removed ([`Secret::hash`](crate::Secret::hash)); without one it cannot be.
    /// Under another secret the same value is another value.
    pub secret_hash: Option<Key>,
}

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A plain value.
    #[default]
    Put,
    /// A value whose key is its own hash.
    Immutable,
    /// A value under its signer's name.
    Signed,
    /// The latest of a signer's series.
    Sequenced,
    /// What this library does not know; its values are handed on unchecked.
    #[serde(other)]
    Unknown,
}

/// A node's name: its id and the address where it listens for other nodes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct PeerName {
    /// Its id.
    pub id: Key,
    /// `address:port`.
    pub addr: String,
}

/// What a put achieved.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PutReceipt {
    /// Where.
    pub key: Key,
    /// The value's name among the values of its key: of a plain value SHA-1 of its bytes.
    pub value_hash: Key,
    /// SHA-1 of the secret with which it can be removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_hash: Option<Key>,
    /// Who signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<Authenticator>,
    /// Its number in its series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The life it was given, in seconds.
    pub ttl_seconds: u64,
    /// When it ends: milliseconds since 1970-01-01T00:00:00Z.
    pub expires_ms: u64,
    /// The nodes that had acknowledged it when the put was answered.
    pub acked: Vec<PeerName>,
    /// How many copies the network keeps.
    pub replicas: u8,
}

/// What a remove achieved.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RemoveReceipt {
    /// Where.
    pub key: Key,
    /// The name of what is hidden among the values of the key.
    pub value_hash: Key,
    /// Until when the removal stands: milliseconds since 1970-01-01T00:00:00Z.
    pub expires_ms: u64,
    /// The nodes that had acknowledged it when the remove was answered.
    pub acked: Vec<PeerName>,
    /// How many copies the network keeps.
    pub replicas: u8,
}

/// One value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Value {
    /// The bytes, checked against `value_hash` or the signature. As base64 in JSON.
    #[serde(rename = "value_base64", with = "base64_text")]
    pub bytes: Bytes,
    /// The same as text, if the gateway found that it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// When it was put: milliseconds since 1970-01-01T00:00:00Z.
    pub put_time_ms: u64,
    /// The life it was given, in seconds.
    pub ttl_seconds: u64,
    /// What was left of it when the gateway answered, in whole seconds, rounded down.
    pub remaining_seconds: u64,
    /// Its name among the values of its key: of a plain value SHA-1 of the bytes.
    pub value_hash: Key,
    /// What it is.
    #[serde(default)]
    pub kind: Kind,
    /// SHA-1 of the secret with which it can be removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_hash: Option<Key>,
    /// Its number in its series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Who signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<Authenticator>,
    /// The signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

impl Value {
    /// Whether it is what it is said to be under `key` in `network`: its hash, its signature.
    pub(crate) fn check(&self, key: &Key, network: Option<u64>) -> Result<(), ClientError> {
        let holds = match self.kind {
            Kind::Put => Key::hash(&self.bytes) == self.value_hash,
            Kind::Immutable => self.value_hash == *key && Key::content(&self.bytes) == *key,
            Kind::Signed | Kind::Sequenced => self.is_signed_for(key, network).unwrap_or(false),
            Kind::Unknown => true,
        };
        let hash = self.value_hash;
        if holds { Ok(()) } else { Err(ClientError::Invalid(format!("a value is not the one named {hash}"))) }
    }

    fn is_signed_for(&self, key: &Key, network: Option<u64>) -> Option<bool> {
        let proof = self.proof.as_ref()?;
        let claim = self.claim(key, proof.expires_unix_seconds)?;
        let named = self.signer == Some(Hex::sha256(&proof.public_key.0)) && claim.name() == self.value_hash;
        Some(named && claim.is_proven_by(network?, proof))
    }

    /// What its signer signed, or would sign for it to live until then; `None` if it is not signed.
    pub(crate) fn claim(&self, key: &Key, expires_unix_seconds: u64) -> Option<Claim> {
        let (nonce, value) = (self.proof.as_ref()?.nonce, self.bytes.clone());
        Some(match self.kind {
            Kind::Signed => Claim::value(*key, value, nonce, expires_unix_seconds),
            Kind::Sequenced => Claim::next(*key, value, nonce, self.seq?, expires_unix_seconds),
            _ => return None,
        })
    }
}

/// A page of the values under a key, in put-time order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Page {
    /// Whose values.
    pub key: Key,
    /// The values. Empty: there are none (at this place).
    pub values: Vec<Value>,
    /// Where the next page begins ([`GetOptions::after`]), if there may be more.
    pub next: Option<String>,
    /// How many replicas were merged.
    pub merged: u8,
}

/// One copy of one value, without its bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CopyHead {
    /// The value's name among the values of its key.
    pub value_hash: Key,
    /// `put`, `immutable`, `signed`, `sequenced`, or with `remove` in it for a tombstone.
    pub kind: String,
    /// SHA-1 of the secret with which it can be removed, or was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_hash: Option<Key>,
    /// Its number in its series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// When it was put: milliseconds since 1970-01-01T00:00:00Z.
    pub put_time_ms: u64,
    /// The life it was given, in seconds.
    pub ttl_seconds: u64,
    /// When it ends: milliseconds since 1970-01-01T00:00:00Z.
    pub expires_ms: u64,
    /// Length of the value.
    pub value_bytes: u64,
}

/// One record that a node itself holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HeldRecord {
    /// Under which key.
    pub key: Key,
    /// What.
    #[serde(flatten)]
    pub copy: CopyHead,
}

/// A page of what a node itself holds, clockwise from id 0.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Held {
    /// The records, removals included.
    pub records: Vec<HeldRecord>,
    /// Where the next page begins, if there is more.
    pub next: Option<String>,
}

/// What one replica holds under a key.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Replica {
    /// Which node.
    pub peer: PeerName,
    /// Its copies; `None` if it did not answer.
    pub copies: Option<Vec<CopyHead>>,
    /// Whether it has finished taking over this part of the key space.
    pub ready: bool,
    /// Round trip from the gateway, in milliseconds, if measured.
    pub rtt_ms: Option<f64>,
}

/// Which replicas hold what under a key, root first.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Whereabouts {
    /// The key.
    pub key: Key,
    /// The replicas, root first.
    pub replicas: Vec<Replica>,
}

/// One question of a lookup.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TraceStep {
    /// Who was asked.
    pub peer: PeerName,
    /// How far it is from the key, by the overlay's metric: 40 hex digits.
    pub distance: Key,
    /// From the question to the answer, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// What came of it: `next`, `root`, `around`, `stuck`, `slow`, `silent`, or `open` if the lookup was over before.
    pub answer: String,
    /// Whom it named, best first.
    pub named: Vec<PeerName>,
}

/// A lookup, question by question.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Traced {
    /// What was looked up.
    pub key: Key,
    /// The overlay's name.
    pub overlay: String,
    /// How the lookup went: `iterative`.
    pub style: String,
    /// The questions in the order of asking. The asking node itself is not a step.
    pub steps: Vec<TraceStep>,
    /// The replica set, root first; empty if the lookup failed.
    pub replicas: Vec<PeerName>,
    /// Nodes that were asked and answered on the way to the root. Its own word is no hop, nor is that of one who takes its place.
    pub hops: u32,
    /// Nodes that stayed silent or were slow.
    pub timeouts: u32,
}

/// A node as a survey found it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NetworkNode {
    /// Which.
    #[serde(flatten)]
    pub peer: PeerName,
    /// Whether it answered; if not, the rest is unknown.
    pub answered: bool,
    /// Whether it is a member, or on its way in or out.
    pub member: Option<bool>,
    /// Records held.
    pub records: Option<u64>,
    /// The bytes of their values.
    pub record_bytes: Option<u64>,
    /// Parts of the key space.
    pub shares: Option<Shares>,
    /// Round trip from the gateway's node, in milliseconds.
    pub rtt_ms: Option<f64>,
}

/// Who is in the network, as far as one node can find out.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Network {
    /// The overlay's name.
    pub overlay: String,
    /// The nodes, in the order of their ids.
    pub nodes: Vec<NetworkNode>,
    /// Whether all that were named were reached or given up.
    pub complete: bool,
}

/// What a client has asked of a gateway since that started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Asked {
    /// Writes that were acknowledged.
    pub writes: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// Writes that were told to wait for room.
    pub waited: u64,
    /// Writes that found no room.
    pub over_capacity: u64,
    /// Writes that failed otherwise.
    pub failed: u64,
    /// Requests beyond what it may do, or beyond its quotas.
    pub denied: u64,
}

/// What one client uses of a node's disk, and asks of its gateway.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClientUsage {
    /// The name under which it is charged: 16 hex digits.
    pub client: String,
    /// The access token of that name, if the gateway knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What of its records the node keeps, heads included.
    pub stored_bytes: u64,
    /// Records of it that wait for room.
    pub waiting: u64,
    /// What it has asked of this gateway.
    pub asked: Asked,
}

/// How full a node's disk is, and who uses it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Usage {
    /// The name under which whoever asks is charged.
    pub you: String,
    /// What clients share; `None` if the disk is not bounded.
    pub shared_bytes: Option<u64>,
    /// What is charged.
    pub charged_bytes: u64,
    /// Records that wait for room.
    pub waiting: u64,
    /// Clients that are known.
    pub known: u64,
    /// Those who use most first, then those who asked last. Whoever is not an operator sees itself only.
    pub clients: Vec<ClientUsage>,
}

/// Parts of the key space that a node keeps copies of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Shares {
    /// How many arcs it shares.
    pub count: u32,
    /// How many of them it has finished taking over.
    pub ready: u32,
}

/// A node's own state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Node {
    /// Its id.
    pub id: Key,
    /// Where it listens for other nodes.
    pub addr: String,
    /// The software's version.
    pub version: String,
    /// This life of it; greater than in any earlier life.
    pub incarnation: u64,
    /// The network's id, in hex; `None` while it has not found its network.
    pub network: Option<String>,
    /// The overlay's name.
    pub overlay: String,
    /// `loading`, `joining`, `member`, `leaving`, `stopped` or `refused`.
    pub phase: String,
    /// Whether no neighbour has answered for a while although it knows of some.
    pub isolated: bool,
    /// Why it takes no writes, if so: `disk_full`, `disk_failed` or `clock_skew`.
    pub halt: Option<String>,
    /// Why the network refused it, if so.
    pub refused: Option<String>,
    /// Parts of the key space it keeps copies of.
    pub shares: Shares,
    /// Records held.
    pub records: u64,
    /// Bytes of values held.
    pub record_bytes: u64,
    /// Copies that the network keeps of each value.
    pub replicas: u8,
    /// Acknowledgements that a put waits for.
    pub acks: u8,
    /// Answers that a get merges, if its gateway tells.
    pub reads: Option<u8>,
    /// Nodes that have told it of late that they keep copies in another way; empty if its gateway does not tell.
    #[serde(default)]
    pub other_terms: Vec<OtherTerms>,
    /// Members in its tables, and itself, if its gateway tells: of a large network some of them.
    pub members_known: Option<u64>,
    /// Greatest value taken, in bytes.
    pub value_bytes_max: u32,
    /// Greatest life given, in seconds.
    pub ttl_seconds_max: u64,
    /// Counters since the start, by name.
    pub counters: BTreeMap<String, u64>,
}

/// A node that keeps copies in another way than the one that tells of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OtherTerms {
    /// Its id.
    pub id: Key,
    /// Where it listens for other nodes.
    pub addr: String,
    /// Copies of each value.
    pub replicas: u8,
    /// Acknowledgements that a put waits for.
    pub acks: u8,
    /// Answers that a get merges.
    pub reads: u8,
}

/// A peer as one node sees it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PeerView {
    /// Its id.
    pub id: Key,
    /// Where it listens for other nodes.
    pub addr: String,
    /// Smoothed round trip to it, in milliseconds, if measured.
    pub rtt_ms: Option<f64>,
    /// Whether its last call went unanswered.
    pub suspect: bool,
}

/// One table of an overlay.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Table {
    /// Its name in the overlay's own words, such as `successors`.
    pub name: String,
    /// Who stands in it.
    pub peers: Vec<PeerView>,
}

/// The tables of a node's overlay.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Peers {
    /// The node.
    pub me: PeerName,
    /// Its tables.
    pub tables: Vec<Table>,
}

/// One thing that a node must be for it to be ready.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Check {
    /// Its name: `member`, `connected`, `writable`, `taken_over`.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// For people.
    pub message: String,
}

/// Whether a node serves.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether all checks hold.
    pub ready: bool,
    /// Why not, for people; empty when ready.
    pub reasons: Vec<String>,
    /// Every check.
    #[serde(default)]
    pub checks: Vec<Check>,
}

/// The body of an answer that says no.
#[derive(Deserialize)]
pub(crate) struct ErrorBody {
    pub(crate) error: ErrorText,
}

/// What is in it.
#[derive(Deserialize)]
pub(crate) struct ErrorText {
    pub(crate) code: String,
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) hint: Option<Box<str>>,
    #[serde(default)]
    pub(crate) seq: Option<u64>,
    #[serde(default)]
    pub(crate) expires_ms: Option<u64>,
}

/// Bytes as base64 text.
mod base64_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map(Bytes::from).map_err(serde::de::Error::custom)
    }
}
