//! The node through its outer seam, over every overlay of the registry: a handful of nodes, a perfect network with one
//! millisecond of delay, disks that answer after two. The simulator tests the hard weather; here stand the stories.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

mod contacts;
mod restore;
mod takeover;
mod values;

use super::join::NOTES_EVERY;
use crate::id::Id;
use crate::machine::Style;
use crate::machine::TraceAnswer;
use crate::machine::{
    DiskError, DiskOp, DiskResult, DiskToken, GetAnswer, Halt, Machine, NodeConfig, NodeInput, Op, OpDone,
    OpError, OpId, OpResult, Outbox, Phase, Reads, STOP_OP, Trace,
};
use crate::overlay::registry::{Entry, OVERLAYS};
use crate::peer::{Addr, Peer};
use crate::rng::Rng;
use crate::store::{Head, Identity, Record};
use crate::time::{Duration, Mono, Now, Wall};

const EPOCH: u64 = 1_700_000_000_000_000;

#[derive(Default, Clone)]
struct Disk {
    notes: Option<Vec<u8>>,
    records: BTreeMap<Identity, Record>,
    failing: Option<DiskError>,
    unreadable: bool,
}

impl Disk {
    fn perform(&mut self, op: DiskOp) -> DiskResult {
        if let Some(error) = self.failing
            && !matches!(op, DiskOp::Read(_) | DiskOp::Load { .. })
        {
            return DiskResult::Failed(error);
        }
        match op {
            DiskOp::Load { after, limit } => {
                let heads: Vec<Head> = self
                    .records
                    .iter()
                    .filter(|(i, _)| after.is_none_or(|a| **i > a))
                    .map(|(_, r)| r.head)
                    .take(limit as usize + 1)
                    .collect();
                let more = heads.len() > limit as usize;
                let heads = heads.into_iter().take(limit as usize).collect();
                DiskResult::Loaded { notes: self.notes.clone(), heads, more }
            }
            DiskOp::Write(record) => {
                self.records.insert(record.head.identity, record);
                DiskResult::Written
            }
            DiskOp::Delete(identity) => {
                self.records.remove(&identity);
                DiskResult::Written
            }
            DiskOp::Read(_) if self.unreadable => DiskResult::Failed(DiskError::Io),
            DiskOp::Read(identity) => DiskResult::Record(self.records.get(&identity).cloned()),
            DiskOp::WriteNotes(notes) => {
                self.notes = Some(notes);
                DiskResult::Written
            }
        }
    }
}

struct Host {
    machine: Option<Box<dyn Machine>>,
    disk: Disk,
    peer: Peer,
    incarnation: u64,
}

enum Arrival {
    Frame(Addr, Vec<u8>),
    Disk(DiskToken, DiskResult),
}

struct Net {
    entry: &'static Entry,
    hosts: Vec<Host>,
    now: u64,
    queue: VecDeque<(u64, usize, Arrival)>,
    done: Vec<(OpId, OpResult)>,
    ops: u64,
    style: Style,
    reads: Option<u8>,
    store_bytes_max: u64,
    /// Whose frames are late, in and out, and by how many microseconds.
    late: Option<(usize, u64)>,
    traces: Vec<(usize, Trace)>,
    /// Who answers every request of others by "busy", and how often it has.
    busy: Option<usize>,
    busy_answers: usize,
}

impl Net {
    fn new(entry: &'static Entry) -> Net {
        Net {
            entry,
            hosts: Vec::new(),
            now: 1_000_000,
            queue: VecDeque::new(),
            done: Vec::new(),
            ops: 0,
            style: Style::Iterative,
            reads: None,
            store_bytes_max: u64::MAX,
            late: None,
            traces: Vec::new(),
            busy: None,
            busy_answers: 0,
        }
    }

    fn clock(&self) -> Now {
        Now { mono: Mono(self.now), wall: Wall(EPOCH + self.now) }
    }

    fn add(&mut self, replicas: u8, acks: u8) -> usize {
        let n = self.hosts.len();
        let mut rng = Rng::from_u64(n as u64);
        let peer = Peer::new(rng.id(), Addr::simulated(n as u32));
        self.hosts.push(Host { machine: None, disk: Disk::default(), peer, incarnation: 0 });
        self.start(n, replicas, acks, if n == 0 { vec![] } else { vec![Addr::simulated(0)] });
        n
    }

    fn start(&mut self, n: usize, replicas: u8, acks: u8, seeds: Vec<Addr>) {
        let host = &mut self.hosts[n];
        host.incarnation += 1;
        let mut config =
            NodeConfig::new(host.peer.clone(), Rng::from_u64(n as u64).fork_seed("t", host.incarnation));
        config.incarnation = host.incarnation;
        (config.replicas, config.acks) = (replicas, acks);
        config.lookup_style = self.style;
        config.reads = self.reads;
        config.store_bytes_max = self.store_bytes_max;
        host.machine = Some((self.entry.make)(config).expect("default options are possible"));
        self.feed(n, &mut [NodeInput::Start { seeds: &seeds }]);
    }

    fn crash(&mut self, n: usize) {
        self.hosts[n].machine = None;
        self.queue.retain(|(_, host, _)| *host != n);
    }

    fn feed(&mut self, n: usize, inputs: &mut [NodeInput<'_>]) {
        let now = self.clock();
        let Some(machine) = &mut self.hosts[n].machine else { return };
        let mut out = Outbox::default();
        out.trace = Some(Vec::new());
        machine.handle(now, inputs, &mut out);
        machine.check().expect("invariants hold");
        self.traces.extend(out.trace.take().into_iter().flatten().map(|line| (n, line)));
        let from = self.hosts[n].peer.addr();
        for (to, bytes) in out.datagrams() {
            if let Some(host) = self.hosts.iter().position(|h| h.peer.addr() == to) {
                if self.busy == Some(host)
                    && let Some(answer) = self.busy_answer(host, bytes)
                {
                    self.busy_answers += 1;
                    self.queue.push_back((self.now + 2_000, n, Arrival::Frame(to, answer)));
                    continue;
                }
                let late = self.late.filter(|(slow, _)| [n, host].contains(slow)).map_or(0, |(_, by)| by);
                self.queue.push_back((self.now + 1_000 + late, host, Arrival::Frame(from, bytes.to_vec())));
            }
        }
        for effect in out.disk.drain(..) {
            let result = self.hosts[n].disk.perform(effect.op);
            self.queue.push_back((self.now + 2_000, n, Arrival::Disk(effect.token, result)));
        }
        self.done.append(&mut out.done);
    }

    /// Runs until `until` or until `stop` says so.
    fn run(&mut self, span: Duration, mut stop: impl FnMut(&Net) -> bool) {
        let until = self.now + span.0;
        while !stop(self) {
            let arrival = self
                .queue
                .iter()
                .enumerate()
                .min_by_key(|(i, (at, ..))| (*at, *i))
                .map(|(i, (at, ..))| (*at, i));
            let tick = self
                .hosts
                .iter()
                .enumerate()
                .filter_map(|(n, h)| h.machine.as_ref()?.deadline().map(|d| (d.0.max(self.now), n)))
                .min();
            match (arrival, tick) {
                (Some((at, i)), tick) if tick.is_none_or(|(t, _)| at <= t) && at <= until => {
                    self.now = at;
                    let Some((_, host, arrival)) = self.queue.remove(i) else { return };
                    match arrival {
                        Arrival::Frame(from, bytes) => {
                            self.feed(host, &mut [NodeInput::Datagram { from, bytes: &bytes }]);
                        }
                        Arrival::Disk(token, result) => {
                            self.feed(host, &mut [NodeInput::DiskDone { token, result }]);
                        }
                    }
                }
                (_, Some((at, n))) if at <= until => {
                    self.now = at;
                    self.feed(n, &mut [NodeInput::Tick]);
                }
                _ => {
                    self.now = until;
                    return;
                }
            }
        }
    }

    fn op(&mut self, n: usize, what: Op) -> OpResult {
        self.ops += 1;
        let op = OpId(self.ops);
        self.feed(n, &mut [NodeInput::Op { op, what }]);
        self.run(Duration::from_secs(20), |net| net.done.iter().any(|(id, _)| *id == op));
        let at = self.done.iter().position(|(id, _)| *id == op).expect("every op ends");
        self.done.remove(at).1
    }

    fn put(&mut self, n: usize, key: &str, value: &str) -> OpResult {
        let ttl = Duration::from_secs(3600);
        self.op(n, Op::put(Id::of_text(key), value.as_bytes().to_vec(), ttl))
    }

    fn get(&mut self, n: usize, key: &str, reads: Reads) -> Result<GetAnswer, OpError> {
        let key = Id::of_text(key);
        let what = Op::Get {
            key,
            max: 100,
            after: None,
            reads,
            page_bytes: 1 << 20,
            overhead_bytes: 0,
            signer: None,
        };
        match self.op(n, what)? {
            OpDone::Got(answer) => Ok(answer),
            other => panic!("a get gave {other:?}"),
        }
    }

    fn texts(&mut self, n: usize, key: &str) -> Vec<alloc::string::String> {
        let answer = self.get(n, key, Reads::Quorum).expect("the quorum answers");
        answer.values.iter().map(|v| core::str::from_utf8(&v.bytes).expect("text").to_string()).collect()
    }

    /// `n` members that have taken everything over.
    fn grown(entry: &'static Entry, n: usize, replicas: u8, acks: u8) -> Net {
        let mut net = Net::new(entry);
        for _ in 0..n {
            net.add(replicas, acks);
            net.calm();
        }
        net
    }

    fn calm(&mut self) {
        self.run(Duration::from_secs(120), |net| {
            net.hosts.iter().filter_map(|h| h.machine.as_ref()).all(|m| {
                let i = m.inspect();
                i.phase == Phase::Member
                    && !i.shares.is_empty()
                    && i.shares.iter().all(|s| i.ready.iter().any(|r| r.covers(&s.arc)))
            })
        });
        for (n, host) in self.hosts.iter().enumerate() {
            if let Some(m) = &host.machine {
                let i = m.inspect();
                assert_eq!(i.phase, Phase::Member, "{} node {n} did not join", self.entry.name);
                for share in &i.shares {
                    assert!(
                        i.ready.iter().any(|r| r.covers(&share.arc)),
                        "{} node {n}: {:?} not taken over: ready {:?}",
                        self.entry.name,
                        share,
                        i.ready
                    );
                }
            }
        }
    }

    fn tables_empty(&self, n: usize) -> bool {
        self.hosts[n].machine.as_ref().is_none_or(|m| m.inspect().tables.iter().all(|(_, t)| t.is_empty()))
    }

    fn copies_of(&self, key: &str) -> usize {
        let key = Id::of_text(key);
        let holds = |h: &&Host| {
            h.machine.as_ref().is_some_and(|m| m.inspect().heads.iter().any(|x| x.identity.key == key))
        };
        self.hosts.iter().filter(holds).count()
    }
}

#[test]
fn a_put_on_one_node_is_read_from_every_other() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 5, 3, 2);
        let receipt = net.put(1, "colors", "red");
        assert!(matches!(receipt, Ok(OpDone::Put(_))), "{}: {receipt:?}", entry.name);
        net.put(2, "colors", "blue").expect("acknowledged");
        for n in 0..5 {
            assert_eq!(net.texts(n, "colors"), ["red", "blue"], "{} node {n}", entry.name);
            assert_eq!(net.texts(n, "nothing"), Vec::<&str>::new());
        }
        net.run(Duration::from_secs(10), |_| false);
        assert_eq!(net.copies_of("colors"), 3, "{}", entry.name);
    }
}

/// Allocators round up by up to a sixth, and a node is aligned to a line: a few bytes more would be half a KiB more in each of a
/// hundred thousand, and those of Kademlia are near their bound of 12 KiB (`keyway sim scale`).
#[test]
fn a_node_of_kademlia_stays_below_a_step_of_the_allocator() {
    let size = size_of::<super::Node<crate::overlay::kademlia::Kademlia>>();
    assert!(size < 3_072, "{size} bytes: what few nodes need stands behind a pointer");
}

/// Values put at one instant stand in the order in which they were put.
#[test]
fn puts_of_one_instant_keep_their_order() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 5, 3, 2);
        let texts: Vec<_> = (0..20).map(|n| n.to_string()).collect();
        let put = |text: &str| Op::put(Id::of_text("k"), text.as_bytes().to_vec(), Duration::from_secs(3600));
        let mut inputs: Vec<_> = (1000u64..)
            .zip(&texts)
            .map(|(op, text)| NodeInput::Op { op: OpId(op), what: put(text) })
            .collect();
        net.feed(1, &mut inputs);
        net.run(Duration::from_secs(20), |net| net.done.len() == 20);
        assert!(net.done.drain(..).all(|(_, done)| done.is_ok()), "{}", entry.name);
        assert_eq!(net.texts(3, "k"), texts, "{}", entry.name);
    }
}

/// To put a value again for a shorter time changes nothing, and its receipt says how long it lives.
#[test]
fn a_receipt_tells_the_longer_life() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 5, 3, 2);
        let mut put = |secs: u64| {
            let ttl = Duration::from_secs(secs);
            match net.op(1, Op::put(Id::of_text("k"), b"v".to_vec(), ttl)) {
                Ok(OpDone::Put(receipt)) => receipt.expires,
                other => panic!("{}: {other:?}", entry.name),
            }
        };
        let long = put(3600);
        assert_eq!(put(60), long, "{}", entry.name);
        assert!(put(7200) > long, "{}", entry.name);
    }
}

/// Who may not queue more is told so at once, not after the gateway has tried for as long as an operation may take.
#[test]
fn a_put_that_finds_the_queues_full_ends_at_once() {
    for entry in OVERLAYS {
        let mut net = Net::new(entry);
        net.store_bytes_max = 200_000;
        for _ in 0..3 {
            net.add(3, 2);
            net.calm();
        }
        let mut refused_after = None;
        for n in 0..40 {
            let began = net.now;
            let value = vec![n; 60_000];
            let ended = net.op(1, Op::put(Id::of_text("k"), value, Duration::from_secs(7 * 86_400)));
            if ended == Err(OpError::OverCapacity) {
                refused_after = Some(Duration(net.now - began));
                break;
            }
        }
        let refused_after = refused_after.unwrap_or_else(|| panic!("{}: nothing was refused", entry.name));
        assert!(refused_after < Duration::from_secs(1), "{}: {refused_after:?}", entry.name);
    }
}

#[test]
fn one_node_alone_promises_nothing_it_cannot_keep() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 1, 3, 2);
        let (began, few) = (net.now, OpError::Quorum { got: 1, want: 2 });
        assert_eq!(net.put(0, "k", "v"), Err(few.clone()), "{}", entry.name);
        assert_eq!(net.get(0, "k", Reads::Quorum), Err(few), "{}", entry.name);
        assert!(net.now - began < 2_000_000, "{}: told at once", entry.name);
        let mut net = Net::grown(entry, 1, 1, 1);
        net.put(0, "k", "v").expect("one copy is what was promised");
        assert_eq!(net.texts(0, "k"), ["v"]);
    }
}

#[test]
fn a_crashed_holder_is_replaced_and_the_copies_are_three_again() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 6, 3, 2);
        let keys: Vec<_> = (0..40).map(|i| alloc::format!("key-{i}")).collect();
        for (i, key) in keys.iter().enumerate() {
            net.put(i % 6, key, "value").expect("acknowledged");
        }
        net.run(Duration::from_secs(10), |_| false);
        net.crash(3);
        let crashed = net.now;
        net.run(Duration::from_secs(60), |net| keys.iter().all(|key| net.copies_of(key) == 3));
        let took = Duration(net.now - crashed);
        assert!(took <= Duration::from_secs(10), "{}: repaired after {took:?}", entry.name);
        for key in &keys {
            assert_eq!(net.texts(0, key), ["value"], "{} {key}", entry.name);
        }
    }
}

#[test]
fn a_joiner_takes_over_and_the_displaced_copy_is_dropped() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 4, 3, 2);
        let keys: Vec<_> = (0..40).map(|i| alloc::format!("key-{i}")).collect();
        for key in &keys {
            net.put(0, key, "value").expect("acknowledged");
        }
        for _ in 0..3 {
            net.add(3, 2);
        }
        net.calm();
        for key in &keys {
            assert_eq!(net.texts(6, key), ["value"], "{} {key}", entry.name);
        }
        net.run(Duration::from_secs(120), |_| false);
        for key in &keys {
            assert_eq!(net.copies_of(key), 3, "{} {key}", entry.name);
        }
    }
}

#[test]
fn everything_survives_a_crash_of_all() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 5, 3, 2);
        for i in 0..20 {
            net.put(i % 5, &alloc::format!("key-{i}"), "value").expect("acknowledged");
        }
        net.run(Duration::from_secs(10), |_| false);
        for n in 0..5 {
            net.crash(n);
        }
        for n in [3, 1, 4, 0, 2] {
            let seeds = if n == 0 { vec![] } else { vec![Addr::simulated(0)] };
            net.start(n, 3, 2, seeds);
        }
        net.calm();
        for i in 0..20 {
            assert_eq!(net.texts(2, &alloc::format!("key-{i}")), ["value"], "{}", entry.name);
        }
    }
}

/// Of a network that was down as a whole the smallest id goes first, but never a newcomer: it does not know which network.
#[test]
fn nobody_waits_for_a_newcomer_to_go_first() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 3, 3, 2);
        net.put(0, "colors", "red").expect("acknowledged");
        net.run(Duration::from_secs(10), |_| false);
        (0..3).for_each(|n| net.crash(n));
        let seeds: Vec<Addr> = (0..3).map(Addr::simulated).collect();
        let newcomer = Peer::new(Id::from_u64(1), Addr::simulated(3));
        net.hosts.push(Host { machine: None, disk: Disk::default(), peer: newcomer, incarnation: 0 });
        net.start(3, 3, 2, seeds.clone());
        (0..3).for_each(|n| net.start(n, 3, 2, seeds.iter().copied().chain([Addr::simulated(3)]).collect()));
        net.calm();
        assert_eq!(net.texts(3, "colors"), ["red"], "{}", entry.name);
    }
}

#[test]
fn a_leaver_hands_over_first() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 5, 3, 2);
        for i in 0..20 {
            net.put(i % 5, &alloc::format!("key-{i}"), "value").expect("acknowledged");
        }
        for n in [1, 2] {
            net.feed(n, &mut [NodeInput::Stop]);
            net.run(Duration::from_secs(30), |net| net.done.iter().any(|(_, r)| *r == Ok(OpDone::Stopped)));
            assert!(net.done.iter().any(|(_, r)| *r == Ok(OpDone::Stopped)), "{}", entry.name);
            net.done.clear();
            net.crash(n);
            for i in 0..20 {
                let key = alloc::format!("key-{i}");
                assert!(net.copies_of(&key) >= 3, "{} {key}: {}", entry.name, net.copies_of(&key));
            }
        }
        net.run(Duration::from_secs(60), |_| false);
        for i in 0..20 {
            assert_eq!(net.texts(0, &alloc::format!("key-{i}")), ["value"], "{}", entry.name);
        }
    }
}

#[test]
fn a_full_disk_refuses_writes_goes_on_reading_and_recovers() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 1, 1, 1);
        net.put(0, "k", "v").expect("acknowledged");
        net.hosts[0].disk.failing = Some(DiskError::Full);
        assert!(net.put(0, "k2", "v").is_err());
        assert_eq!(net.put(0, "k3", "v"), Err(OpError::Halted(Halt::DiskFull)), "{}", entry.name);
        assert_eq!(net.texts(0, "k"), ["v"]);
        net.hosts[0].disk.failing = None;
        net.run(Duration::from_secs(5), |_| false);
        net.put(0, "k4", "v").expect("service returned");
        assert_eq!(net.texts(0, "k4"), ["v"]);
    }
}

#[test]
fn bad_puts_are_refused_by_name() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 3, 3, 2);
        let key = Id::of_text("k");
        let ttl = Duration::from_secs(60);
        let value = vec![0; (64 << 10) + 1];
        let max = 64 << 10;
        assert_eq!(net.op(0, Op::put(key, value, ttl)), Err(OpError::TooLarge { bytes: max + 1, max }));
        let value = vec![7; 64 << 10];
        net.op(1, Op::put(key, value.clone(), ttl)).expect("64 KiB fit");
        assert_eq!(net.get(2, "k", Reads::Quorum).expect("found").values[0].bytes, value);
        let bad = net.op(0, Op::put(key, vec![1], Duration::ZERO));
        assert!(matches!(bad, Err(OpError::BadTtl { .. })));
    }
}

#[test]
fn values_are_not_served_after_their_life() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 3, 3, 2);
        let (key, ttl) = (Id::of_text("k"), Duration::from_secs(5));
        net.op(0, Op::put(key, b"v".to_vec(), ttl)).expect("acknowledged");
        let left = net.get(1, "k", Reads::Quorum).expect("found").values[0].remaining;
        assert!(left <= ttl && left > Duration::from_secs(4), "{left:?}");
        net.run(Duration::from_secs(6), |_| false);
        assert_eq!(net.texts(1, "k"), Vec::<&str>::new());
        net.run(Duration::from_secs(6), |_| false);
        assert_eq!(net.copies_of("k"), 0, "{}: space is reclaimed", entry.name);
    }
}

#[test]
fn a_damaged_copy_is_not_served_and_comes_back_from_another_holder() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 3, 3, 2);
        net.put(0, "k", "v").expect("acknowledged");
        net.run(Duration::from_secs(10), |_| false);
        assert_eq!(net.copies_of("k"), 3);
        for n in 0..2 {
            for record in net.hosts[n].disk.records.values_mut() {
                record.value[0] ^= 1;
            }
        }
        for n in 0..3 {
            assert_eq!(net.texts(n, "k"), ["v"], "{} node {n}", entry.name);
        }
        net.run(Duration::from_secs(20), |_| false);
        for host in &net.hosts {
            assert!(host.disk.records.values().all(Record::is_intact), "{}: repaired", entry.name);
        }
    }
}

#[test]
fn who_saw_all_others_go_while_it_left_finds_them_again() {
    for entry in OVERLAYS {
        // Six copies of six nodes: the newcomer has something to hand over.
        let mut net = Net::grown(entry, 5, 6, 5);
        net.put(1, "colors", "red").expect("a put");
        let last = net.add(6, 5);
        net.calm();
        // Everybody goes just before the newcomer's notes of the last change are due.
        net.run(Duration(NOTES_EVERY.0 - 500_000), |_| false);
        (0..last).for_each(|n| net.crash(n));
        net.feed(last, &mut [NodeInput::Stop]);
        net.run(Duration::from_secs(60), |net| net.done.iter().any(|(op, _)| *op == STOP_OP));
        net.crash(last);
        // Nobody is told a seed, and the others are one ring before the newcomer is back: to find them is up to him.
        (0..last).for_each(|n| net.start(n, 6, 5, vec![]));
        net.calm();
        net.start(last, 6, 5, vec![]);
        net.run(Duration::from_secs(5), |net| !net.tables_empty(last));
        assert!(!net.tables_empty(last), "{}: came back alone", entry.name);
        net.calm();
        for n in 0..=last {
            assert_eq!(net.texts(n, "colors"), ["red"], "{} node {n}", entry.name);
        }
    }
}

/// A slow node is given up once. It goes on speaking, and every word of it arrives in the end: nobody takes it back for that, but
/// for answering in time.
#[test]
fn a_suspect_that_only_speaks_stays_out_until_it_answers() {
    const SLOW: usize = 3;
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 8, 3, 2);
        let names_it = |net: &Net, n: usize| {
            let id = *net.hosts[SLOW].peer.id();
            let tables = net.hosts[n].machine.as_ref().expect("runs").inspect().tables;
            tables.iter().any(|(_, peers)| peers.iter().any(|peer| *peer.id() == id))
        };
        let somebody = |net: &Net| (0..8).any(|n| n != SLOW && names_it(net, n));
        net.late = Some((SLOW, 5_000_000));
        net.run(Duration::from_secs(300), |net| !somebody(net));
        assert!(!somebody(&net), "{}: it is given up", entry.name);
        let began = net.now;
        net.run(Duration::from_secs(300), somebody);
        assert!(!somebody(&net), "{}: taken back after {} us", entry.name, net.now - began);
        net.late = None;
        net.run(Duration::from_secs(300), |net| (0..8).all(|n| n == SLOW || names_it(net, n)));
        assert!((0..8).all(|n| n == SLOW || names_it(&net, n)), "{}: it answers and is back", entry.name);
    }
}

#[test]
fn a_traced_lookup_tells_its_questions_and_a_survey_finds_everybody() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 8, 3, 2);
        net.put(1, "colors", "red").expect("a put");
        net.run(Duration::from_secs(5), |_| false);
        let key = Id::of_text("colors");
        let holders: Vec<Id> = {
            let Ok(OpDone::Where(copies)) = net.op(0, Op::Where { key }) else { panic!("{}", entry.name) };
            copies.iter().map(|c| *c.peer.id()).collect()
        };
        for n in 0..8 {
            let Ok(OpDone::Traced(traced)) = net.op(n, Op::Trace { target: key }) else { panic!("traced") };
            let found: Vec<Id> = traced.peers.iter().map(|p| *p.id()).collect();
            assert_eq!(found, holders, "{} from {n}", entry.name);
            let own = *net.hosts[n].peer.id() == holders[0];
            assert_eq!(own, traced.steps.is_empty(), "{} from {n}: the root asks nobody", entry.name);
            let answered = traced.steps.iter().filter(|s| s.rtt.is_some()).count();
            assert!(own || answered >= 1);
            assert!(
                traced.steps.iter().all(|s| s.answer != TraceAnswer::Silent && s.peer != net.hosts[n].peer)
            );

            let Ok(OpDone::Surveyed { nodes, complete }) = net.op(n, Op::Survey { max: 100 }) else {
                panic!("surveyed")
            };
            assert!(complete && nodes.len() == 8, "{}: {} nodes", entry.name, nodes.len());
            let records: u64 = nodes.iter().filter_map(|n| n.facts.as_ref()).map(|f| f.records).sum();
            assert_eq!(records, 3, "{}: three copies of one record", entry.name);
            let Ok(OpDone::Surveyed { nodes, complete }) = net.op(n, Op::Survey { max: 3 }) else {
                panic!("surveyed")
            };
            assert!(!complete && nodes.len() == 3);

            let Ok(OpDone::Held { heads, more: false }) = net.op(n, Op::Held { after: None, max: 10 }) else {
                panic!("held")
            };
            assert_eq!(heads.len(), usize::from(holders.contains(net.hosts[n].peer.id())), "{}", entry.name);
        }
        // Who is dead is named, and without an answer.
        net.crash(5);
        let Ok(OpDone::Surveyed { nodes, .. }) = net.op(0, Op::Survey { max: 100 }) else {
            panic!("surveyed")
        };
        assert_eq!(nodes.iter().filter(|n| n.facts.is_none()).count(), 1, "{}", entry.name);
    }
}

#[test]
fn lookups_of_every_style_find_the_same_and_go_round_the_dead() {
    for entry in OVERLAYS {
        for style in Style::ALL {
            let mut net = Net { style, ..Net::new(entry) };
            for _ in 0..12 {
                net.add(3, 2);
                net.calm();
            }
            let name = alloc::format!("{} {}", entry.name, style.name());
            let lookup = |net: &mut Net, n: usize, target: Id| match net.op(n, Op::Lookup { target }) {
                Ok(OpDone::Found(found)) => found,
                other => panic!("{name}: {other:?}"),
            };
            let traced = |net: &mut Net, n: usize, target: Id| match net.op(n, Op::Trace { target }) {
                Ok(OpDone::Traced(traced)) => traced.peers,
                other => panic!("{name}: {other:?}"),
            };
            let mut rng = Rng::from_u64(7);
            for _ in 0..20 {
                let (n, target) = (rng.below(12) as usize, rng.id());
                let found = lookup(&mut net, n, target);
                assert_eq!(found.peers, traced(&mut net, n, target), "{name}");
                assert_eq!(found.timeouts, 0, "{name}");
            }
            // Two die, and nobody has noticed yet.
            net.crash(3);
            net.crash(7);
            for round in 0..20 {
                let n = [0, 1, 2, 4, 5, 6, 8, 9, 10, 11][rng.below(10) as usize];
                let key = alloc::format!("key {round}");
                assert!(net.put(n, &key, "value").is_ok(), "{name}");
                assert_eq!(net.texts((n + 1) % 3, &key), ["value"], "{name}");
            }
            // Whatever was kept on the way has been given back.
            net.run(Duration::from_secs(15), |_| false);
            for host in net.hosts.iter().filter_map(|h| h.machine.as_ref()) {
                let bounds = host.inspect().bounds;
                let kept = bounds.iter().find(|(what, ..)| *what == "travelling lookups").map(|b| b.1);
                assert_eq!(kept, Some(0), "{name}");
            }
        }
    }
}
