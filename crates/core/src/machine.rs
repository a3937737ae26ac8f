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

mod ops;
mod style;
mod traced;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::any::Any;
use core::ops::Range;

use crate::cx::Event;
use crate::frame::{FrameKey, NetworkId};
use crate::id::Id;
use crate::keyspace::Arc;
use crate::overlay::{Share, Violation};
use crate::peer::{Addr, Peer};
use crate::rng::Seed;
use crate::store::{Head, Identity, Record};
use crate::time::{Duration, Mono, Now};

pub use ops::*;
pub use style::Style;
pub use traced::{TraceAnswer, TraceStep, Traced};

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
    /// A peer keeps copies in another way than this node.
    OtherTerms {
        /// Who.
        peer: Peer,
        /// How it does.
        theirs: Terms,
        /// How this node does.
        ours: Terms,
    },
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
    /// What machines use within a turn and need not keep: their driver keeps it for all of them.
    scratch: Option<Box<dyn Any + Send>>,
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

    /// The scratch memory left by the turn before, if it was of this type; else new.
    pub(crate) fn scratch<T: Any + Send + Default>(&mut self) -> Box<T> {
        self.scratch.take().and_then(|left| left.downcast().ok()).unwrap_or_default()
    }

    /// Leaves scratch memory to the next turn.
    pub(crate) fn leave_scratch<T: Any + Send>(&mut self, scratch: Box<T>) {
        self.scratch = Some(scratch);
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
    /// Its network.
    pub network: NetworkId,
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
    /// Replicas whose answers a quorum read merges, at most `replicas`; `None`: R - W + 1, which meets every acknowledged
    /// put. With fewer, a put may be missed until its copies are repaired; a remove never is.
    pub reads: Option<u8>,
    /// Greatest value taken, in bytes; at most 1 MiB.
    pub value_bytes_max: u32,
    /// Greatest life given.
    pub ttl_max: Duration,
    /// Bound on the bytes of values held here; puts above it are refused as over capacity.
    pub store_bytes_max: u64,
    /// Bound on client operations under way at once.
    pub ops_max: u32,
    /// How the lookups of clients travel.
    pub lookup_style: Style,
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
            reads: None,
            value_bytes_max: 64 << 10,
            ttl_max: Duration::from_secs(7 * 24 * 3600),
            store_bytes_max: u64::MAX,
            ops_max: 4096,
            lookup_style: Style::Iterative,
            overlay_options: Vec::new(),
        }
    }

    /// How this node keeps copies.
    #[must_use]
    pub const fn terms(&self) -> Terms {
        Terms { replicas: self.replicas, acks: self.acks, reads: self.read_quorum() }
    }

    /// Replicas whose answers a quorum read merges.
    #[must_use]
    pub const fn read_quorum(&self) -> u8 {
        match self.reads {
            Some(reads) => reads,
            None => self.takeover_quorum(),
        }
    }

    /// Holders that include one of each acknowledged put: R - W + 1.
    #[must_use]
    pub const fn takeover_quorum(&self) -> u8 {
        self.replicas - self.acks + 1
    }

    /// Acknowledgements that a remove waits for: those of a put, and so many that every quorum read meets one.
    #[must_use]
    pub const fn remove_acks(&self) -> u8 {
        let met = self.replicas - self.read_quorum() + 1;
        if met > self.acks { met } else { self.acks }
    }
}
