//! A whole node of each overlay under a program of arbitrary bytes: noise, frames under the right key, ticks, client
//! operations, disk results in any order. After each step its invariants hold, its tables are within their bounds, and
//! noise got no answer.
//!
//! ```text
//!   data = overlay and start (1 byte), then steps:   opcode (1 byte)  arguments  ...
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use keyway_core::frame::{self, FRAME_BYTES_MAX, FrameKey, Header, Kind, NetworkId};
use keyway_core::machine::{DiskEffect, DiskError, DiskOp, DiskResult, NodeConfig, Op, OpId, Reads, STOP_OP};
use keyway_core::overlay::registry::OVERLAYS;
use keyway_core::store::{Identity, Record};
use keyway_core::wire::{from_slice, to_vec};
use keyway_core::{Addr, Duration, Id, Machine, Mono, NodeInput, Now, Outbox, Peer, Wall};

/// Steps of one program; what follows is not looked at.
const STEPS_MAX: usize = 64;
/// Frames of the node that are kept for replies and echoes.
const SENT_MAX: usize = 32;
/// Other members.
const PEERS: u64 = 6;
const NETWORK: NetworkId = NetworkId(7);

/// Runs the program `data`.
pub fn run(data: &[u8]) {
    let mut program = Program(data);
    let choice = program.byte();
    if OVERLAYS.is_empty() {
        return;
    }
    let mut rig = Rig::new(usize::from(choice) % OVERLAYS.len(), choice & 0x80 == 0);
    for _ in 0..STEPS_MAX {
        if program.0.is_empty() {
            break;
        }
        rig.step(&mut program);
    }
}

/// What is left of the program; at its end it reads as zeros.
struct Program<'a>(&'a [u8]);

impl<'a> Program<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn take(&mut self, n: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        head
    }
}

/// A node and the world that it believes in.
struct Rig {
    machine: Box<dyn Machine>,
    key: FrameKey,
    now: Now,
    out: Outbox,
    peers: Vec<Peer>,
    sent: VecDeque<(Addr, Header, Vec<u8>)>,
    disk: Vec<DiskEffect>,
    records: BTreeMap<Identity, Record>,
    notes: Option<Vec<u8>>,
    ops: BTreeSet<OpId>,
    op_count: u64,
}

impl Rig {
    fn new(overlay: usize, settled: bool) -> Rig {
        let peers: Vec<Peer> = (0..=PEERS)
            .map(|n| Peer::new(Id::sha1(&n.to_be_bytes()), Addr::simulated(n as u32 + 1)))
            .collect();
        let me = peers[0].clone();
        let config = NodeConfig::new(me, [7; 32]);
        let machine = (OVERLAYS[overlay].make)(config).expect("the defaults are possible");
        let mut rig = Rig {
            machine,
            key: FrameKey::open_network(),
            now: Now { mono: Mono(1_000_000), wall: Wall(1_700_000_000_000_000) },
            out: Outbox::default(),
            peers,
            sent: VecDeque::new(),
            disk: Vec::new(),
            records: BTreeMap::new(),
            notes: None,
            ops: BTreeSet::new(),
            op_count: 0,
        };
        if settled {
            let mut everyone = rig.peers.clone();
            everyone.sort_by_key(|p| *p.id());
            rig.machine.settle(rig.now, NETWORK, &everyone, &mut rig.out);
            rig.collect();
        } else {
            let seeds = [rig.peers[1].addr(), rig.peers[2].addr()];
            rig.handle(NodeInput::Start { seeds: &seeds });
        }
        rig
    }

    fn step(&mut self, program: &mut Program<'_>) {
        match program.byte() % 12 {
            0 => {
                let from = self.peer(program.byte()).addr();
                let length = usize::from(program.byte());
                self.noise(from, program.take(length));
            }
            1..=4 => self.frame(program),
            5 | 6 => self.echo(program),
            7 => self.tick(u64::from(program.short()) * 10_000),
            8 => self.op(program),
            9 | 10 => self.disk_done(program.byte(), program.byte()),
            _ => {
                if program.byte() == 0xff {
                    self.ops.insert(STOP_OP);
                    self.handle(NodeInput::Stop);
                } else {
                    self.tick(0);
                }
            }
        }
    }

    /// Bytes that are no frame of ours get no answer.
    fn noise(&mut self, from: Addr, bytes: &[u8]) {
        let quiet = self.machine.deadline().is_none_or(|at| at > self.now.mono);
        let sealed = frame::open(&self.key, bytes).is_ok();
        let before = self.sent_count();
        self.handle(NodeInput::Datagram { from, bytes });
        assert!(sealed || !quiet || self.sent_count() == before, "noise was answered");
    }

    fn sent_count(&self) -> u64 {
        self.machine.counters().frames_out
    }

    /// A sealed frame with an arbitrary header and body.
    fn frame(&mut self, program: &mut Program<'_>) {
        let from = self.peer(program.byte());
        let kind = kind(program.byte());
        let network = match program.byte() {
            0 => NetworkId::UNKNOWN,
            1 => NetworkId(8),
            _ => NETWORK,
        };
        let incarnation = u64::from(program.byte() % 4);
        let request = self.request(kind, program.byte());
        let length = usize::from(program.short() % 2048);
        let body = program.take(length);
        self.deliver(&Header { kind, network, from, incarnation, request }, body);
    }

    /// A frame that the node itself made, with one byte changed and another sender: nearly right is worse than wrong.
    fn echo(&mut self, program: &mut Program<'_>) {
        let (choice, kind_byte, from) = (program.byte(), program.byte(), program.byte());
        let (at, change) = (usize::from(program.short()), program.byte());
        if self.sent.is_empty() {
            return;
        }
        let (_, header, mut body) = self.sent[usize::from(choice) % self.sent.len()].clone();
        if let Some(byte) = at.checked_rem(body.len()).and_then(|at| body.get_mut(at)) {
            *byte ^= change;
        }
        let kind = if kind_byte & 0x80 == 0 { header.kind } else { kind(kind_byte) };
        let request = self.request(kind, choice);
        let from = self.peer(from);
        self.deliver(&Header { kind, network: NETWORK, from, incarnation: 1, request }, &body);
    }

    fn deliver(&mut self, header: &Header, body: &[u8]) {
        let mut bytes = Vec::new();
        frame::seal(&self.key, header, &mut bytes, |w| w.bytes(body));
        self.handle(NodeInput::Datagram { from: header.from.addr(), bytes: &bytes });
    }

    /// Replies name a request that the node really made, so that they are looked at.
    fn request(&self, kind: Kind, choice: u8) -> u64 {
        let asked: Vec<u64> =
            self.sent.iter().filter(|(_, h, _)| h.kind == Kind::Request).map(|(_, h, _)| h.request).collect();
        match kind {
            Kind::Tell => 0,
            Kind::Request => 1 + u64::from(choice),
            _ if asked.is_empty() => u64::from(choice),
            _ => asked[usize::from(choice) % asked.len()],
        }
    }

    fn tick(&mut self, micros: u64) {
        let later = self.now.mono + Duration(micros);
        let at = self.machine.deadline().map_or(later, |deadline| deadline.max(later));
        let passed = at.since(self.now.mono);
        self.now = Now { mono: at, wall: self.now.wall + passed };
        self.handle(NodeInput::Tick);
    }

    fn op(&mut self, program: &mut Program<'_>) {
        let (choice, key) = (program.byte(), Id::sha1(&[program.byte() % 16]));
        let what = match choice % 6 {
            0 | 1 => {
                let (length, ttl) = (usize::from(program.byte()), u64::from(program.short()));
                Op::put(key, program.take(length).to_vec(), Duration::from_secs(ttl))
            }
            2 => {
                let after = from_slice(program.take(56)).ok();
                let max = u32::from(program.byte());
                let reads = if choice & 0x80 == 0 { Reads::Quorum } else { Reads::First };
                Op::Get {
                    key,
                    max,
                    after,
                    reads,
                    page_bytes: u32::from(program.short()),
                    overhead_bytes: 39,
                    signer: None,
                }
            }
            3 => Op::Lookup { target: key },
            4 => Op::Where { key },
            _ => Op::Status,
        };
        self.op_count += 1;
        let op = OpId(self.op_count);
        self.ops.insert(op);
        self.handle(NodeInput::Op { op, what });
    }

    /// One disk effect ends: well, or badly, or with a record that is not what was written.
    fn disk_done(&mut self, choice: u8, outcome: u8) {
        if self.disk.is_empty() {
            return;
        }
        let DiskEffect { token, op } = self.disk.remove(usize::from(choice) % self.disk.len());
        let result = match outcome {
            0xff => DiskResult::Failed(DiskError::Io),
            0xfe => DiskResult::Failed(DiskError::Full),
            0xfd => DiskResult::Failed(DiskError::Damaged),
            _ => self.perform(op, outcome),
        };
        self.handle(NodeInput::DiskDone { token, result });
    }

    fn perform(&mut self, op: DiskOp, outcome: u8) -> DiskResult {
        match op {
            DiskOp::Load { after, limit } => {
                let later = self.records.range(after.unwrap_or_else(least)..);
                let mut heads: Vec<_> =
                    later.filter(|(id, _)| Some(**id) != after).map(|(_, record)| record.head).collect();
                let more = heads.len() > limit as usize;
                heads.truncate(limit as usize);
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
            DiskOp::Read(identity) => {
                let mut found = self.records.get(&identity).cloned();
                if let Some(byte) = found.as_mut().and_then(|r| r.value.first_mut()) {
                    *byte ^= outcome >> 7; // bit rot, sometimes
                }
                DiskResult::Record(found)
            }
            DiskOp::WriteNotes(mut notes) => {
                if let Some(byte) = notes.first_mut() {
                    *byte ^= outcome >> 7;
                }
                self.notes = Some(notes);
                DiskResult::Written
            }
        }
    }

    fn peer(&self, choice: u8) -> Peer {
        self.peers[usize::from(choice) % self.peers.len()].clone()
    }

    fn handle(&mut self, input: NodeInput<'_>) {
        let mut inputs = [input];
        self.machine.handle(self.now, &mut inputs, &mut self.out);
        self.collect();
    }

    /// Takes what the node wants done, and holds it to its word.
    fn collect(&mut self) {
        for (to, bytes) in self.out.datagrams() {
            assert!(bytes.len() <= FRAME_BYTES_MAX, "a frame of {} bytes", bytes.len());
            let (header, body) = frame::open(&self.key, bytes).expect("a node seals what it sends");
            self.sent.push_back((to, header, body.to_vec()));
        }
        while self.sent.len() > SENT_MAX {
            self.sent.pop_front();
        }
        for (op, result) in &self.out.done {
            assert!(self.ops.remove(op), "{op:?} ended twice, the second time with {result:?}");
        }
        for effect in &self.out.disk {
            if let DiskOp::Write(record) = &effect.op {
                assert!(record.is_intact(), "a damaged record goes to disk");
                assert_eq!(from_slice::<Record>(&to_vec(record)).as_ref(), Ok(record));
            }
        }
        self.disk.append(&mut self.out.disk);
        self.out.clear();
        if let Err(violation) = self.machine.check() {
            panic!("{violation}");
        }
        for (name, now, bound) in self.machine.inspect().bounds {
            assert!(now <= bound, "{name}: {now} over {bound}");
        }
    }
}

fn kind(byte: u8) -> Kind {
    [Kind::Tell, Kind::Request, Kind::Reply, Kind::Busy, Kind::Refused][usize::from(byte) % 5]
}

const fn least() -> Identity {
    Identity { key: Id::ZERO, secret_hash: Id::ZERO, value_hash: Id::ZERO }
}
