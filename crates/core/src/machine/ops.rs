//! What a client may ask of a node, and what it gets: operations, their answers and their errors, and a node's own state.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::Traced;
use crate::frame::NetworkId;
use crate::id::Id;
use crate::peer::Peer;
use crate::store::{ClientId, Cursor, Head, Identity, Kind, PROOF_BYTES, Proof, Record, Room, Share};
use crate::time::{Duration, Wall};

/// A client operation's name, chosen by the driver, repeated in its result.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OpId(pub u64);

/// How many replicas a read consults.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Reads {
    /// The first copy that answers: fast, may miss a recent put. The caller's choice, labelled as such.
    First,
    /// R - W + 1 replicas that have finished taking over, merged: sees every acknowledged put.
    #[default]
    Quorum,
}

/// What a client may ask of a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// Store a plain value.
    Put {
        /// Where.
        key: Id,
        /// What; at most the node's `value_bytes_max`.
        value: Vec<u8>,
        /// For how long; at most the node's `ttl_max`.
        ttl: Duration,
        /// SHA-1 of the secret with which it can be removed; [`Id::ZERO`]: it cannot.
        secret_hash: Id,
        /// Who is charged.
        client: ClientId,
    },
    /// Store a value under its own hash ([`content_key`](crate::store::record::content_key)). It cannot be removed.
    PutImmutable {
        /// What; at most the node's `value_bytes_max`.
        value: Vec<u8>,
        /// For how long; at most the node's `ttl_max`.
        ttl: Duration,
        /// Who is charged.
        client: ClientId,
    },
    /// Store what somebody has signed: a value, the next of a series, or a removal of either.
    PutSigned(Box<SignedPut>),
    /// Remove a plain value: hide it until it ends. The outcome is the same if there is none, or none under this secret:
    /// the receipt tells.
    Remove {
        /// Where.
        key: Id,
        /// SHA-1 of the value.
        value_hash: Id,
        /// The secret under which it was put, at most 40 bytes.
        secret: Vec<u8>,
        /// For how long, at least: never shorter than what is left of the value's life, and as long as any value can live if
        /// none was seen.
        ttl: Duration,
        /// Who is charged.
        client: ClientId,
    },
    /// Read the values under a key in put-time order.
    Get {
        /// Where.
        key: Id,
        /// At most this many values; 0 means none are wanted.
        max: u32,
        /// Strictly after this place.
        after: Option<Cursor>,
        /// How many replicas to consult.
        reads: Reads,
        /// Stop the page before its values, each counted with `overhead_bytes`, pass this sum. The first always fits.
        page_bytes: u32,
        /// What each value costs beside its length.
        overhead_bytes: u32,
        /// Only signed values of the signer with this place: the first 160 bits of the SHA-256 of its public key.
        signer: Option<Id>,
    },
    /// Find the root of an id.
    Lookup {
        /// The id.
        target: Id,
    },
    /// The same, telling every question and its answer.
    Trace {
        /// The id.
        target: Id,
    },
    /// Which replicas hold what under a key.
    Where {
        /// The key.
        key: Id,
    },
    /// The records that this node itself holds, page by page; nobody else is asked.
    Held {
        /// Strictly after this place, clockwise from id 0.
        after: Option<Identity>,
        /// At most this many, and never more than [`HELD_MAX`].
        max: u32,
    },
    /// The living records that this node itself holds, whole, removals included, page by page; nobody else is asked.
    Records {
        /// Strictly after this place, clockwise from id 0.
        after: Option<Identity>,
        /// At most this many, and never more than [`RECORDS_MAX`].
        max: u32,
        /// Close the page before its contents pass this sum. The first always fits.
        page_bytes: u32,
    },
    /// Put a record of a snapshot back where it belongs, as it was: its instants, its life, its number, its proof and who is charged
    /// for it stay what they are. So nothing lives longer by it, and what was removed stays removed.
    Restore(Box<Record>),
    /// How full this node's disk is, and what each client uses of it.
    Clients {
        /// At most this many clients, and never more than [`CLIENTS_MAX`].
        max: u32,
    },
    /// Who is in the network and what each holds, asked from node to node.
    Survey {
        /// At most this many nodes, and never more than [`SURVEY_MAX`].
        max: u32,
    },
    /// The node's own state.
    Status,
}

impl Op {
    /// Store a plain value that cannot be removed, charged to nobody.
    #[must_use]
    pub const fn put(key: Id, value: Vec<u8>, ttl: Duration) -> Op {
        Op::Put { key, value, ttl, secret_hash: Id::ZERO, client: ClientId::NOBODY }
    }
}

/// What somebody has signed, to be stored. The fields are what the signature covers ([`Claim`](crate::store::proof::Claim)).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedPut {
    /// One of the four signed kinds.
    pub kind: Kind,
    /// Where.
    pub key: Id,
    /// The value; of a signed remove, the SHA-256 of the value that it removes; of a sequenced remove, nothing.
    pub content: Vec<u8>,
    /// The number in the series, from 1; 0 outside a series.
    pub seq: u64,
    /// Who signed, and until when it lives: an instant, not longer from now than the node's `ttl_max`.
    pub proof: Proof,
    /// Only if the series is at this number now (0: there is none yet).
    pub cas: Option<u64>,
    /// Who is charged.
    pub client: ClientId,
}

/// What a node tells of itself to a surveyor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Records held.
    pub records: u64,
    /// The bytes of their values.
    pub record_bytes: u64,
    /// Arcs it shares, and how many of them it has finished taking over.
    pub shares: (u32, u32),
    /// Whether it is a member, or on its way in or out.
    pub member: bool,
    /// Others that it knows, neighbours first; left out of what a survey gives.
    pub peers: Vec<Peer>,
}

/// A node as a survey found it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Surveyed {
    /// Which.
    pub peer: Peer,
    /// What it told; `None` if it did not answer.
    pub facts: Option<Facts>,
    /// From the question to its answer.
    pub rtt: Option<Duration>,
}

/// Nodes of one survey at most.
pub const SURVEY_MAX: u32 = 1024;

/// Clients of one answer to [`Op::Clients`] at most.
pub const CLIENTS_MAX: u32 = 1000;

/// Records of one answer to [`Op::Held`] at most.
pub const HELD_MAX: u32 = 1000;

/// Records of one answer to [`Op::Records`] at most.
pub const RECORDS_MAX: u32 = 256;

/// A value as a reader sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Value {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// When it was put.
    pub put_time: Wall,
    /// The life it was given.
    pub ttl: Duration,
    /// What is left of that life now.
    pub remaining: Duration,
    /// Its name among the values of its key.
    pub identity: Identity,
    /// What it is.
    pub kind: Kind,
    /// Its number in its series; 0 outside one.
    pub seq: u64,
    /// Who signed it, checked by the node that answers.
    pub proof: Option<Box<Proof>>,
}

impl Value {
    /// A record as a reader sees it at this time.
    #[must_use]
    pub fn of(record: Record, now: Wall) -> Value {
        let proof = record.proof().map(Box::new);
        let Record { head, value: mut bytes } = record;
        if proof.is_some() {
            bytes.drain(..PROOF_BYTES);
        }
        let Head { put_time, ttl, identity, kind, seq, .. } = head;
        let remaining = head.expires().since(now);
        Value { bytes, put_time, ttl, remaining, identity, kind, seq, proof }
    }
}

/// What a put achieved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PutReceipt {
    /// Its name among the values of its key.
    pub identity: Identity,
    /// The peers that had acknowledged when the put was answered.
    pub acked: Vec<Peer>,
    /// How many copies the network keeps.
    pub replicas: u8,
    /// When it expires.
    pub expires: Wall,
    /// A removal of the same value stands and hides it: put it under another secret or nonce.
    pub hidden: bool,
}

/// What a remove achieved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RemoveReceipt {
    /// The name of what is hidden.
    pub identity: Identity,
    /// Whether it, or an earlier removal of it, was seen. If not, the value, its secret or its signer is not what was said;
    /// the removal stands all the same.
    pub found: bool,
    /// The peers that had acknowledged when the remove was answered.
    pub acked: Vec<Peer>,
    /// How many copies the network keeps.
    pub replicas: u8,
    /// Until when the removal stands.
    pub expires: Wall,
}

/// What became of a record that was put back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It stands, or a copy of it that lives longer.
    Stands,
    /// It was removed, and the removal hides it.
    Hidden,
    /// The series that it belongs to is at this number, which is greater, or the same with another value.
    Superseded(u64),
}

/// What putting a record back achieved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RestoreReceipt {
    /// Its name.
    pub identity: Identity,
    /// What became of it.
    pub fate: Fate,
    /// The peers that had acknowledged when it was answered; none if it was superseded.
    pub acked: Vec<Peer>,
    /// How many copies the network keeps.
    pub replicas: u8,
    /// When its life ends.
    pub expires: Wall,
}

/// What a get found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GetAnswer {
    /// Values in put-time order. Empty: there is none (by the quorum asked for).
    pub values: Vec<Value>,
    /// Where to go on, if there is more.
    pub next: Option<Cursor>,
    /// How many replicas were merged.
    pub merged: u8,
}

/// What a lookup found, and what it cost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LookupAnswer {
    /// The replica set, root first.
    pub peers: Vec<Peer>,
    /// Nodes that were asked and answered, those asked beside a slow one included. The root itself is not counted when its
    /// predecessor names it; of a lookup that travelled from node to node it is.
    pub hops: u32,
    /// Nodes on the way to the one that named the root, each named by the one before: `hops` without what was asked in vain.
    pub path: u32,
    /// Asked nodes that stayed silent, or were slow.
    pub timeouts: u32,
    /// Of these, nodes that had been named as the root.
    pub root_timeouts: u32,
}

/// One replica's copies of the values of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Copies {
    /// Which replica.
    pub peer: Peer,
    /// What it holds; `None` if it did not answer.
    pub heads: Option<Vec<Head>>,
    /// Whether it has finished taking over the range.
    pub ready: bool,
    /// Round trip to it.
    pub rtt: Option<Duration>,
}

/// A peer with what this node has measured of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerView {
    /// Who.
    pub peer: Peer,
    /// Smoothed round-trip time, if measured.
    pub rtt: Option<Duration>,
    /// Whether its last call went unanswered.
    pub suspect: bool,
}

/// Why a node does not take writes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Halt {
    /// The disk is full.
    DiskFull,
    /// A write or fsync failed: nothing more is acknowledged from this disk until it is restarted or repaired.
    DiskFailed,
    /// The wall clock is further from the neighbours' than the declared bound.
    ClockSkew,
}

/// Where a node is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Phase {
    /// Reading its disk.
    Loading,
    /// Looking for a member of its network.
    Joining,
    /// A member.
    Member,
    /// Handing over.
    Leaving,
    /// Gone.
    Stopped,
    /// Refused by the network; the reason is in [`NodeStatus::refused`].
    Refused,
}

/// Peers with other terms that a node remembers, the first to say so: a network that changes its terms has more, and each of them would
/// be news again and again if they took each other's places.
pub const OTHER_TERMS_MAX: usize = 16;

/// How a node keeps copies. All of a network should agree: majorities of different terms need not meet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Copies of each value (R).
    pub replicas: u8,
    /// Of these, how many a put waits for (W).
    pub acks: u8,
    /// Holders whose answers a quorum read merges.
    pub reads: u8,
}

impl Terms {
    /// Whether a get by these terms meets every put by `other`, and the other way round, as far as these terms promise it at all.
    #[must_use]
    pub const fn agree(self, other: Terms) -> bool {
        let Terms { replicas, acks, reads } = self;
        let (met, meets) = (acks as u16 + other.reads as u16, other.acks as u16 + reads as u16);
        let alike = replicas == other.replicas;
        alike
            && (acks == other.acks && reads == other.reads
                || met > replicas as u16 && meets > replicas as u16)
    }
}

impl core::fmt::Display for Terms {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Terms { replicas, acks, reads } = self;
        write!(f, "copies {replicas}, acks {acks}, read quorum {reads}")
    }
}

/// A node's own state, for `/v1/node`, `/readyz`, `/metrics` and `keyway status`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeStatus {
    /// Itself.
    pub me: Peer,
    /// This life of it.
    pub incarnation: u64,
    /// Its network.
    pub network: NetworkId,
    /// Its overlay's name.
    pub overlay: &'static str,
    /// Where it is in its life.
    pub phase: Phase,
    /// No neighbour has answered for a while although it knows of some.
    pub isolated: bool,
    /// Why it does not take writes, if so.
    pub halt: Option<Halt>,
    /// A refusal by the network, for people.
    pub refused: Option<String>,
    /// Arcs it shares, and how many of them it has finished taking over.
    pub shares: (u32, u32),
    /// Records held, and the bytes of their values.
    pub records: u64,
    /// Bytes of values held.
    pub record_bytes: u64,
    /// The overlay's tables.
    pub tables: Vec<(&'static str, Vec<PeerView>)>,
    /// Counters since the start.
    pub counters: Counters,
    /// How it keeps copies.
    pub terms: Terms,
    /// Peers that have told in the last ten minutes that they keep copies in another way, [`OTHER_TERMS_MAX`] at
    /// most: a mistake, or a network on its way to new terms.
    pub other_terms: Vec<(Peer, Terms)>,
    /// Greatest value taken, in bytes.
    pub value_bytes_max: u32,
    /// Greatest life given.
    pub ttl_max: Duration,
}

impl NodeStatus {
    /// Nodes in the tables, and this one: all of a small network, some of a large one.
    #[must_use]
    pub fn members_known(&self) -> usize {
        let peers = self.tables.iter().flat_map(|(_, peers)| peers).map(|view| view.peer.id());
        peers.chain([self.me.id()]).collect::<alloc::collections::BTreeSet<_>>().len()
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Plain counters; each has a name for metrics and reports.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: u64,)* }
        impl Counters {
            /// `(name, value)` in a fixed order.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
            /// Adds another node's counters.
            pub fn add(&mut self, other: &Counters) { $(self.$name += other.$name;)* }
        }
    };
}

counters! {
    /// Frames received and verified.
    frames_in,
    /// Frames sent.
    frames_out,
    /// Bytes of frames sent.
    bytes_out,
    /// Frames dropped: not ours or a wrong MAC.
    frames_unsealed,
    /// Frames dropped: malformed under a good MAC.
    frames_malformed,
    /// Frames refused: version, network, incarnation.
    frames_refused,
    /// Requests whose tries all went unanswered.
    calls_unanswered,
    /// Requests that the peer answered by `busy` only.
    calls_busy,
    /// Single tries that ran out of time.
    tries_timed_out,
    /// Second requests sent early because the first was slow.
    hedges,
    /// Lookups started.
    lookups,
    /// Lookups that found no root.
    lookups_failed,
    /// Puts asked for by clients.
    puts,
    /// Puts not acknowledged.
    puts_failed,
    /// Records of clients that were told to wait for room here.
    records_waited,
    /// Records of clients for which there was no room here, nor in their queue.
    records_over_capacity,
    /// Gets asked for by clients.
    gets,
    /// Gets that could not be answered.
    gets_failed,
    /// Ops refused because too many were under way.
    ops_shed,
    /// Records stored for others or self.
    records_stored,
    /// Records dropped at the end of their life.
    records_expired,
    /// Records given away after leaving their replica set.
    records_handed_off,
    /// Records sent to repair a replica.
    records_repaired,
    /// Copies found damaged, and not served.
    records_damaged,
    /// Digest comparisons started.
    syncs,
    /// Disk effects that failed.
    disk_errors,
}

/// What an operation gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OpDone {
    /// Of [`Op::Put`], [`Op::PutImmutable`], and [`Op::PutSigned`] of a value.
    Put(PutReceipt),
    /// Of [`Op::Remove`], and [`Op::PutSigned`] of a removal.
    Removed(RemoveReceipt),
    /// Of [`Op::Get`].
    Got(GetAnswer),
    /// Of [`Op::Lookup`].
    Found(LookupAnswer),
    /// Of [`Op::Where`].
    Where(Vec<Copies>),
    /// Of [`Op::Trace`]; a lookup that failed is told, too.
    Traced(Traced),
    /// Of [`Op::Survey`].
    Surveyed {
        /// In the order of ids, this node included.
        nodes: Vec<Surveyed>,
        /// Whether everyone who was named has been asked and has answered, or has been given up.
        complete: bool,
    },
    /// Of [`Op::Held`].
    Held {
        /// Clockwise, and by identity within a key; those included whose life has ended and that wait to be removed.
        heads: Vec<Head>,
        /// Whether there are more after the last one.
        more: bool,
    },
    /// Of [`Op::Records`].
    Records {
        /// In order of identity.
        records: Vec<Record>,
        /// How many more there are up to the same place that could not be read.
        unread: u32,
        /// Where the next page begins, if this is not the last.
        next: Option<Identity>,
    },
    /// Of [`Op::Restore`].
    Restored(RestoreReceipt),
    /// Of [`Op::Clients`].
    Clients {
        /// How full the disk is.
        room: Room,
        /// Those who use most first; none if the disk is not bounded.
        shares: Vec<Share>,
    },
    /// Of [`Op::Status`].
    Status(Box<NodeStatus>),
    /// The graceful leave is over (under [`STOP_OP`]).
    Stopped,
}

/// The name under which the end of a graceful leave is reported.
pub const STOP_OP: OpId = OpId(u64::MAX);

/// Why an operation did not succeed: the caller's or the world's fault.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpError {
    /// Unknown outcome: the value may or may not be stored. Repeating a put is harmless.
    #[error("no answer in time; the outcome is unknown")]
    Timeout,
    /// Fewer replicas than promised answered. A put may be on `got` of them; it is not acknowledged.
    #[error("{got} of the {want} replicas needed answered")]
    Quorum {
        /// Answers.
        got: u8,
        /// Needed.
        want: u8,
    },
    /// Nothing was stored.
    #[error("the value has {bytes} bytes, this node takes at most {max}")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The bound.
        max: u64,
    },
    /// Nothing was stored.
    #[error("the ttl must be between 1 second and {max_secs} seconds")]
    BadTtl {
        /// The bound.
        max_secs: u64,
    },
    /// Too few replicas have room; a put may be on some of them.
    #[error("over capacity")]
    OverCapacity,
    /// No room yet: enough replicas have it in their queues and will store it in about so long. Asking again is harmless.
    #[error("no room yet, it will be stored in about {:.1} s", expected.0 as f64 / 1e6)]
    Waiting {
        /// How long.
        expected: Duration,
    },
    /// Too many operations under way here; nothing was done. Try again.
    #[error("too busy, try again")]
    Busy,
    /// This node is not a member (yet, or any more); nothing was done.
    #[error("this node has not joined a network")]
    NotJoined,
    /// This node takes no writes; nothing was done.
    #[error("this node refuses writes: {0:?}")]
    Halted(Halt),
    /// Its life is over, or ended on the way. It may be on some replicas, which do not serve it.
    #[error("its life is over")]
    Expired,
    /// The signature is not the signer's, is for another network, or does not fit what it is said to be; nothing was stored.
    #[error("the signature does not hold in this network")]
    Forged,
    /// The series is at another number. The put may be on some replicas; it then loses to a greater number, and to the same
    /// number with a longer life.
    #[error("the series is at {seq}")]
    Conflict {
        /// The greatest number seen; 0: there is none.
        seq: u64,
    },
    /// A signed record that takes the place of another must live as long, or the other would come back. It may be on some
    /// replicas.
    #[error("it must live as long as what it replaces")]
    Outlived {
        /// When that ends.
        expires: Wall,
    },
    /// The replicas' clocks are too far from the gateway's; nothing was acknowledged.
    #[error("clocks differ by more than the declared bound")]
    ClockSkew,
}

/// An operation's outcome.
pub type OpResult = Result<OpDone, OpError>;
