//! The outer seam: a node as a machine that eats bytes, time and disk results, and lists what it wants done.
//!
//! A driver owns any number of machines. For each batch of inputs it calls [`Machine::handle`], then performs the
//! [`Outbox`] **in any order**, then clears it; between batches it sleeps until [`Machine::deadline`].
//!
//! ```text
//!   loop {
//!       inputs = datagrams, streams, client ops, disk results, Tick if the deadline passed
//!       machine.handle(now, &mut inputs, &mut out)
//!       send out.datagrams();  queue out.disk;  answer out.done;  write out.trace
//!       out.clear()
//!   }
//! ```
//!
//! Duties of a driver:
//! 1. `now.mono` never goes back; `Tick` is given at or after the deadline.
//! 2. `NodeInput::Start` comes first and once; `NodeInput::Stop` asks for a graceful leave, which is over when
//!    [`OpDone::Stopped`] appears in `done`.
//! 3. Every disk effect gets exactly one `DiskDone` with its token, in any order. A `Written` means that the bytes
//!    are as safe as the node's durability says. **Disk is another peer**: it may be slow, and it may fail.
//! 4. A datagram above [`crate::frame::DATAGRAM_BYTES_MAX`] goes through a stream; either may be lost.
//! 5. After a disk error the driver says so and goes on; it never retries an fsync.
//!
//! Nothing above this seam is generic over the overlay.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use crate::cx::Event;
use crate::frame::{FrameKey, NetworkId};
use crate::id::Id;
use crate::keyspace::Arc;
use crate::overlay::{Share, Violation};
use crate::peer::{Addr, Peer};
use crate::rng::Seed;
use crate::store::{Cursor, Head, Identity, Record};
use crate::time::{Duration, Mono, Now, Wall};

/// A client operation's name, chosen by the driver, repeated in its result.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OpId(pub u64);

/// A disk effect's name, chosen by the machine, repeated in its result.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DiskToken(pub u64);

/// One input. Bytes are borrowed from the driver's receive buffers.
#[derive(Debug)]
pub enum NodeInput<'a> {
    /// Begin: load what the disk holds, then join. Without seeds and without remembered peers the node founds a network.
    Start {
        /// Addresses of possible members.
        seeds: &'a [Addr],
    },
    /// A whole frame arrived, by datagram or by stream.
    Datagram {
        /// Where it came from. Not trusted: answers go to the sealed sender.
        from: Addr,
        /// The frame.
        bytes: &'a [u8],
    },
    /// The deadline has passed.
    Tick,
    /// A client wants something.
    Op {
        /// The driver's name for it.
        op: OpId,
        /// What.
        what: Op,
    },
    /// A disk effect ended.
    DiskDone {
        /// Which.
        token: DiskToken,
        /// How.
        result: DiskResult,
    },
    /// Leave gracefully: hand over, say goodbye.
    Stop,
}

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
    },
    /// Find the root of an id.
    Lookup {
        /// The id.
        target: Id,
    },
    /// Which replicas hold what under a key.
    Where {
        /// The key.
        key: Id,
    },
    /// The node's own state.
    Status,
}

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
    /// Nodes that were asked and answered. The root itself is not asked when its predecessor names it.
    pub hops: u32,
    /// Asked nodes that stayed silent.
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
    /// Copies kept of each value, and acknowledgements that a put waits for.
    pub replicas: u8,
    /// Acknowledgements that a put waits for.
    pub acks: u8,
    /// Greatest value taken, in bytes.
    pub value_bytes_max: u32,
    /// Greatest life given.
    pub ttl_max: Duration,
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
    /// Of [`Op::Put`].
    Put(PutReceipt),
    /// Of [`Op::Get`].
    Got(GetAnswer),
    /// Of [`Op::Lookup`].
    Found(LookupAnswer),
    /// Of [`Op::Where`].
    Where(Vec<Copies>),
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
    /// Too many operations under way here; nothing was done. Try again.
    #[error("too busy, try again")]
    Busy,
    /// This node is not a member (yet, or any more); nothing was done.
    #[error("this node has not joined a network")]
    NotJoined,
    /// This node takes no writes; nothing was done.
    #[error("this node refuses writes: {0:?}")]
    Halted(Halt),
    /// The replicas' clocks are too far from the gateway's; nothing was acknowledged.
    #[error("clocks differ by more than the declared bound")]
    ClockSkew,
}

/// An operation's outcome.
pub type OpResult = Result<OpDone, OpError>;

/// A disk effect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DiskOp {
    /// Read the node's notes and the heads of records, in order of identity, strictly after `after`, at most `limit`.
    Load {
        /// Where to go on.
        after: Option<Identity>,
        /// At most this many heads.
        limit: u32,
    },
    /// Store a record under its identity, replacing what is there.
    Write(Record),
    /// Forget a record.
    Delete(Identity),
    /// Read a record.
    Read(Identity),
    /// Replace the node's notes (network id, remembered peers). Opaque to the driver, at most 64 KiB.
    WriteNotes(Vec<u8>),
}

/// A disk effect with its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskEffect {
    /// Comes back with the result.
    pub token: DiskToken,
    /// What to do.
    pub op: DiskOp,
}

/// How a disk effect ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DiskResult {
    /// Of `Load`.
    Loaded {
        /// The notes last written, if any.
        notes: Option<Vec<u8>>,
        /// Heads in order of identity.
        heads: Vec<Head>,
        /// Whether there are more.
        more: bool,
    },
    /// Of `Write`, `Delete`, `WriteNotes`: as safe as the durability says.
    Written,
    /// Of `Read`: the record, or nothing if it is not there.
    Record(Option<Record>),
    /// It failed; for a write the outcome is unknown.
    Failed(DiskError),
}

/// Why a disk effect failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DiskError {
    /// No space (or quota, or inodes).
    Full,
    /// Anything else that the system reports.
    Io,
    /// The record is there but damaged.
    Damaged,
}

/// Something worth a line in a trace.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Trace {
    /// The phase changed.
    Phase(Phase),
    /// The overlay said so.
    Overlay(Event),
    /// A call's tries all went unanswered.
    NoAnswer(Peer),
    /// A lookup ended.
    Lookup {
        /// What for.
        target: Id,
        /// The root found.
        root: Option<Peer>,
        /// As in [`LookupAnswer::hops`].
        hops: u32,
    },
    /// An arc has been taken over.
    TakenOver(Arc),
    /// The comparison of an arc with a peer has ended.
    Compared {
        /// With whom.
        with: Peer,
        /// Which arc.
        arc: Arc,
        /// What for.
        why: &'static str,
        /// Whether both sides hold the same now, as far as the purpose goes.
        complete: bool,
        /// Whether the peer had taken over all of the arc itself.
        ready: bool,
    },
    /// Writes are refused from now on, or taken again.
    Halt(Option<Halt>),
    /// A frame was dropped or refused.
    Dropped(&'static str),
}

/// What a machine wants done. Owned by the driver, reused, cleared by it.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    frames: Vec<(Addr, Range<usize>)>,
    /// Disk effects.
    pub disk: Vec<DiskEffect>,
    /// Ended operations.
    pub done: Vec<(OpId, OpResult)>,
    /// Trace lines; off unless the driver puts an empty list here.
    pub trace: Option<Vec<Trace>>,
}

impl Outbox {
    /// Frames to send: `(to, bytes)`.
    pub fn datagrams(&self) -> impl Iterator<Item = (Addr, &[u8])> {
        self.frames.iter().map(|(to, range)| (*to, &self.bytes[range.clone()]))
    }

    /// Appends a frame that `write` appends to the shared buffer; returns its length.
    pub fn datagram(&mut self, to: Addr, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.frames.push((to, start..self.bytes.len()));
        self.bytes.len() - start
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.disk.is_empty() && self.done.is_empty()
    }

    /// Empties everything, keeping buffers and whether a trace is wanted.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.frames.clear();
        self.disk.clear();
        self.done.clear();
        if let Some(trace) = &mut self.trace {
            trace.clear();
        }
    }

    /// Adds a trace line if a trace is wanted.
    pub fn trace(&mut self, line: impl FnOnce() -> Trace) {
        if let Some(trace) = &mut self.trace {
            trace.push(line());
        }
    }
}

/// What the simulator's oracle and checkers may see of a machine. Never on a decision path.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Where it is in its life.
    pub phase: Phase,
    /// Its overlay's tables.
    pub tables: Vec<(&'static str, Vec<Peer>)>,
    /// The arcs it shares.
    pub shares: Vec<Share>,
    /// The arcs it has finished taking over.
    pub ready: Vec<Arc>,
    /// The heads it holds (acknowledged by its disk).
    pub heads: Vec<Head>,
    /// Why it takes no writes.
    pub halt: Option<Halt>,
    /// Sizes of its bounded tables, by name: `(name, now, bound)`.
    pub bounds: Vec<(&'static str, usize, usize)>,
}

/// A node behind the outer seam.
pub trait Machine: Send {
    /// Eats a batch of inputs and appends what is to be done to `out`.
    fn handle(&mut self, now: Now, inputs: &mut [NodeInput<'_>], out: &mut Outbox);

    /// When it next wants a [`NodeInput::Tick`].
    fn deadline(&self) -> Option<Mono>;

    /// Local invariants of every part.
    ///
    /// # Errors
    /// The first broken one: our own bug.
    fn check(&self) -> Result<(), Violation>;

    /// Tooling: become a member of a converged network of `everyone` (sorted by id, this node included) at once,
    /// in place of `Start`.
    fn settle(&mut self, now: Now, network: NetworkId, everyone: &[Peer], out: &mut Outbox);

    /// Tooling: a look inside.
    fn inspect(&self) -> Inspection;

    /// Cheap counters, without an op.
    fn counters(&self) -> Counters;
}

/// How a node is set up. Everything that differs between two nodes of a network, and what they must agree on.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Its id, and the address at which others reach it.
    pub me: Peer,
    /// Greater than in any earlier life.
    pub incarnation: u64,
    /// The key of all frames.
    pub key: FrameKey,
    /// Unpredictable in production.
    pub seed: Seed,
    /// Copies kept of each value (R).
    pub replicas: u8,
    /// Acknowledgements that a put waits for (W), at most `replicas`.
    pub acks: u8,
    /// Greatest value taken, in bytes; at most 1 MiB.
    pub value_bytes_max: u32,
    /// Greatest life given.
    pub ttl_max: Duration,
    /// Bound on the bytes of values held here; puts above it are refused as over capacity.
    pub store_bytes_max: u64,
    /// Bound on client operations under way at once.
    pub ops_max: u32,
    /// The overlay's own settings by name, durations in milliseconds; unknown names are refused by [`make`].
    ///
    /// [`make`]: crate::overlay::registry::Entry::make
    pub overlay_options: Vec<(String, u64)>,
}

impl NodeConfig {
    /// The defaults that users see, for this peer.
    #[must_use]
    pub fn new(me: Peer, seed: Seed) -> NodeConfig {
        NodeConfig {
            me,
            incarnation: 1,
            key: FrameKey::open_network(),
            seed,
            replicas: 3,
            acks: 2,
            value_bytes_max: 64 << 10,
            ttl_max: Duration::from_secs(7 * 24 * 3600),
            store_bytes_max: u64::MAX,
            ops_max: 4096,
            overlay_options: Vec::new(),
        }
    }

    /// Replicas whose answers a quorum read merges: R - W + 1.
    #[must_use]
    pub const fn read_quorum(&self) -> u8 {
        self.replicas - self.acks + 1
    }
}
