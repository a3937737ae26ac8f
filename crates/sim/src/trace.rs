//! The trace of a world: a hash of everything that reached a machine, and lines for people.

use keyway_core::frame::{self, FrameError};
use keyway_core::machine::{DiskOp, DiskResult, DiskToken, Op, OpDone, OpResult};

use keyway_core::Peer;

use crate::world::World;

/// Takes `(microseconds, line)`.
pub type Sink = Box<dyn FnMut(u64, &str)>;

/// A cheap running hash: 64 by 64 bit multiplications, folded, as in wyhash. Not for adversaries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TraceHash(u64);

const K1: u64 = 0xa076_1d64_78bd_642f;
const K2: u64 = 0xe703_7ed1_a0b4_28db;

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ K1) * u128::from(b ^ K2);
    product as u64 ^ (product >> 64) as u64
}

impl Default for TraceHash {
    fn default() -> TraceHash {
        TraceHash(0x6b65_7977_6179)
    }
}

impl TraceHash {
    fn word(&mut self, a: u64, b: u64) {
        self.0 = fold(self.0 ^ a, b.rotate_left(32));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let mut pairs = bytes.chunks_exact(16);
        for pair in &mut pairs {
            let (a, b) = pair.split_at(8);
            self.word(
                u64::from_le_bytes(a.try_into().expect("half of sixteen bytes")),
                u64::from_le_bytes(b.try_into().expect("half of sixteen bytes")),
            );
        }
        let mut last = [0; 16];
        let rest = pairs.remainder();
        last[..rest.len()].copy_from_slice(rest);
        let tail = u128::from_le_bytes(last);
        self.word(tail as u64 ^ bytes.len() as u64, (tail >> 64) as u64);
    }

    pub(crate) fn frame(&mut self, at: u64, host: usize, bytes: &[u8]) {
        self.word(at, (host as u64) << 2);
        self.bytes(bytes);
    }

    pub(crate) fn tick(&mut self, at: u64, host: usize) {
        self.word(at, (host as u64) << 2 | 1);
    }

    pub(crate) fn disk(&mut self, at: u64, host: usize, token: DiskToken, result: &DiskResult) {
        self.word(at, (host as u64) << 2 | 2);
        let kind = match result {
            DiskResult::Loaded { .. } => 0,
            DiskResult::Written => 1,
            DiskResult::Record(None) => 2,
            DiskResult::Record(Some(_)) => 3,
            DiskResult::Failed(_) => 4,
        };
        self.word(token.0, kind);
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }
}

/// A frame in a line.
pub(crate) fn frame(bytes: &[u8]) -> String {
    match frame::open(&World::frame_key(), bytes) {
        Ok((header, body)) => {
            let what = body.first().map_or(String::new(), |tag| format!(" tag {tag}"));
            format!("{:?}{what} #{:04x} {} B", header.kind, header.request & 0xffff, bytes.len())
        }
        Err(FrameError::Mac) => format!("damaged, {} B", bytes.len()),
        Err(error) => format!("{error}, {} B", bytes.len()),
    }
}

/// An operation in a line.
pub(crate) fn op(op: &Op) -> String {
    match op {
        Op::Put { key, value, ttl, .. } => format!("put {key:.8} {} B ttl {ttl:?}", value.len()),
        Op::PutImmutable { value, ttl, .. } => format!("put immutable {} B ttl {ttl:?}", value.len()),
        Op::PutSigned(put) => {
            format!(
                "put {:?} {:.8} {} B seq {} cas {:?}",
                put.kind,
                put.key,
                put.content.len(),
                put.seq,
                put.cas
            )
        }
        Op::Remove { key, value_hash, ttl, .. } => format!("remove {key:.8}/{value_hash:.4} ttl {ttl:?}"),
        Op::Get { key, reads, .. } => format!("get {key:.8} {reads:?}"),
        Op::Lookup { target } => format!("lookup {target:.8}"),
        Op::Trace { target } => format!("trace {target:.8}"),
        Op::Survey { max } => format!("survey of {max} at most"),
        Op::Where { key } => format!("where {key:.8}"),
        Op::Clients { max } => format!("clients, {max} at most"),
        Op::Held { max, .. } => format!("held, {max} at most"),
        Op::Records { max, .. } => format!("whole records, {max} at most"),
        Op::Restore(record) => {
            let head = record.head;
            format!("restore {:?} {:.8} seq {} ttl {:?}", head.kind, head.identity.key, head.seq, head.ttl)
        }
        Op::Status => "status".into(),
    }
}

/// An outcome in a line.
pub(crate) fn result(result: &OpResult) -> String {
    match result {
        Ok(OpDone::Put(r)) => format!("put on {:?}", r.acked),
        Ok(OpDone::Removed(r)) => format!("removed on {:?}, found {}", r.acked, r.found),
        Ok(OpDone::Got(g)) => format!("got {} values from {} replicas", g.values.len(), g.merged),
        Ok(OpDone::Found(f)) => {
            format!("found {:?} in {} hops, {} silent", f.peers.first(), f.hops, f.timeouts)
        }
        Ok(OpDone::Traced(traced)) => {
            format!("found {:?} in {} steps", traced.peers.first(), traced.steps.len())
        }
        Ok(OpDone::Surveyed { nodes, .. }) => format!("{} nodes", nodes.len()),
        Ok(OpDone::Where(copies)) => format!("{} replicas", copies.len()),
        Ok(OpDone::Clients { shares, .. }) => format!("{} clients", shares.len()),
        Ok(OpDone::Held { heads, .. }) => format!("holds {}", heads.len()),
        Ok(OpDone::Records { records, unread, .. }) => {
            format!("{} whole records, {unread} unread", records.len())
        }
        Ok(OpDone::Restored(r)) => format!("restored on {:?}: {:?}", r.acked, r.fate),
        Ok(OpDone::Status(_)) => "status".into(),
        Ok(OpDone::Stopped) => "stopped".into(),
        Err(error) => format!("failed: {error}"),
    }
}

/// A disk effect and its end in a line.
pub(crate) fn disk(op: &DiskOp, result: &DiskResult) -> String {
    let what = match op {
        DiskOp::Load { .. } => "load".into(),
        DiskOp::Write(r) => format!("write {:.8}/{:.4}", r.head.identity.key, r.head.identity.value_hash),
        DiskOp::Delete(i) => format!("delete {:.8}/{:.4}", i.key, i.value_hash),
        DiskOp::Read(i) => format!("read {:.8}/{:.4}", i.key, i.value_hash),
        DiskOp::WriteNotes(n) => format!("notes of {} B", n.len()),
    };
    match result {
        DiskResult::Loaded { heads, .. } => format!("{what}: {} heads", heads.len()),
        DiskResult::Written => what,
        DiskResult::Record(r) => format!("{what}: {}", if r.is_some() { "there" } else { "missing" }),
        DiskResult::Failed(error) => format!("{what}: failed, {error:?}"),
    }
}

/// Every process from inside, a few lines each: in order of id, peers as hosts.
#[must_use]
pub fn state(world: &World) -> String {
    let mut hosts: Vec<usize> = (0..world.host_count()).filter(|&n| world.is_up(n)).collect();
    hosts.sort_by_key(|&n| *world.peer(n).id());
    let name = |peer: &Peer| match world.host_at(peer.addr()) {
        Some(n) if world.peer(n) == peer => format!("n{n}"),
        _ => format!("{peer:?}"),
    };
    let names = |peers: &[Peer]| peers.iter().map(name).collect::<Vec<_>>().join(" ");
    let mut text = String::new();
    for n in hosts {
        let Some(inside) = world.inspect(n) else { continue };
        let (id, phase) = (world.peer(n).id(), inside.phase);
        text += &format!("n{n} {id:.8} {phase:?}, {} records, halt {:?}\n", inside.heads.len(), inside.halt);
        for (table, peers) in &inside.tables {
            text += &format!("  {table}: {}\n", names(peers));
        }
        for share in &inside.shares {
            let ready = if inside.ready.iter().any(|arc| arc.covers(&share.arc)) { "" } else { " not ready" };
            text += &format!("  share {:?}: {}{ready}\n", share.arc, names(&share.peers));
        }
    }
    text
}
