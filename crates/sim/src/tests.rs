//! The world itself, with a small machine in place of a node: it joins by asking a seed, pings it once a second, and
//! stores what it is told to put.

use std::cell::RefCell;
use std::rc::Rc;

use keyway_core::frame::NetworkId;
use keyway_core::machine::{
    Counters, DiskEffect, DiskOp, DiskResult, DiskToken, Inspection, Machine, NodeConfig, Op, OpDone,
    OpError, OpId, Phase, STOP_OP, Trace,
};
use keyway_core::overlay::Violation;
use keyway_core::overlay::registry::Entry;
use keyway_core::store::Record;
use keyway_core::{Addr, Duration, Id, Mono, NodeInput, Now, Outbox, Peer};

use crate::disk::DiskModel;
use crate::draw::Spread;
use crate::host::Clock;
use crate::links::LinkFaults;
use crate::topology::Latency;
use crate::world::{Happening, World, WorldConfig};

/// Messages: `?` asks to join, `!` welcomes, `p` pings, any of them followed by padding.
struct Echo {
    seed: Option<Addr>,
    member: bool,
    deadline: Mono,
    pings: u64,
    batch_max: usize,
    waiting: Vec<OpId>,
    held: usize,
}

static ECHO: Entry = Entry {
    name: "echo",
    about: "a test double",
    geometry: keyway_core::keyspace::Geometry::Ring,
    make: |_: NodeConfig| Ok(Box::new(Echo::new())),
};

impl Echo {
    fn new() -> Echo {
        let deadline = Mono(u64::MAX);
        Echo { seed: None, member: false, deadline, pings: 0, batch_max: 0, waiting: Vec::new(), held: 0 }
    }

    fn become_member(&mut self, now: Now, out: &mut Outbox) {
        if !self.member {
            self.member = true;
            self.deadline = now.mono + Duration::from_secs(1);
            out.trace(|| Trace::Phase(Phase::Member));
        }
    }
}

fn say(out: &mut Outbox, to: Addr, text: &[u8]) {
    out.datagram(to, |w| w.extend_from_slice(text));
}

impl Machine for Echo {
    fn handle(&mut self, now: Now, inputs: &mut [NodeInput<'_>], out: &mut Outbox) {
        self.batch_max = self.batch_max.max(inputs.len());
        for input in inputs {
            match input {
                NodeInput::Start { seeds } => {
                    out.disk.push(DiskEffect {
                        token: DiskToken(0),
                        op: DiskOp::Load { after: None, limit: 10 },
                    });
                    self.seed = seeds.first().copied();
                    match self.seed {
                        Some(seed) => say(out, seed, b"?"),
                        None => self.become_member(now, out),
                    }
                }
                NodeInput::Datagram { from, bytes } => match bytes.first() {
                    Some(b'?') => say(out, *from, b"!"),
                    Some(b'!') => self.become_member(now, out),
                    _ => self.pings += 1,
                },
                NodeInput::Tick => {
                    assert!(now.mono >= self.deadline);
                    self.deadline = now.mono + Duration::from_secs(1);
                    if let Some(seed) = self.seed {
                        say(out, seed, b"p");
                    }
                }
                NodeInput::Op { op, what: Op::Put { key, value, ttl, .. } } => {
                    let record = Record::plain(*key, value.clone(), now.wall, *ttl, 0);
                    out.disk.push(DiskEffect { token: DiskToken(op.0 + 1), op: DiskOp::Write(record) });
                    self.waiting.push(*op);
                }
                NodeInput::Op { op, .. } => out.done.push((*op, Err(OpError::Busy))),
                NodeInput::DiskDone { token, result: DiskResult::Written } => {
                    self.held += 1;
                    out.done.push((OpId(token.0 - 1), Err(OpError::Timeout)));
                }
                NodeInput::DiskDone { result: DiskResult::Loaded { heads, .. }, .. } => {
                    self.held = heads.len()
                }
                NodeInput::DiskDone { .. } => {}
                NodeInput::Stop => out.done.push((STOP_OP, Ok(OpDone::Stopped))),
            }
        }
    }
    fn deadline(&self) -> Option<Mono> {
        self.member.then_some(self.deadline)
    }
    fn check(&self) -> Result<(), Violation> {
        Ok(())
    }
    fn settle(&mut self, now: Now, _: NetworkId, everyone: &[Peer], out: &mut Outbox) {
        self.seed = everyone.first().map(Peer::addr);
        self.become_member(now, out);
    }
    fn inspect(&self) -> Inspection {
        Inspection {
            network: NetworkId::UNKNOWN,
            phase: if self.member { Phase::Member } else { Phase::Joining },
            tables: Vec::new(),
            shares: Vec::new(),
            ready: Vec::new(),
            heads: Vec::new(),
            halt: None,
            bounds: vec![
                ("pings", self.pings as usize, usize::MAX),
                ("batch", self.batch_max, usize::MAX),
                ("held", self.held, usize::MAX),
            ],
        }
    }
    fn counters(&self) -> Counters {
        Counters { frames_in: self.pings, ..Counters::default() }
    }
}

const SECOND: u64 = 1_000_000;

fn world(hosts: usize) -> World {
    let mut world = World::new(WorldConfig::new(&ECHO, 7));
    (0..hosts).for_each(|_| {
        world.add_host();
    });
    world
}

fn seen(world: &World, host: usize, name: &str) -> usize {
    world.inspect(host).unwrap().bounds.iter().find(|b| b.0 == name).unwrap().1
}

fn put() -> Op {
    Op::put(Id::from_u64(1), vec![1, 2, 3], Duration::from_secs(60))
}

#[test]
fn a_join_takes_its_round_trip_and_ticks_follow() {
    let mut world = world(2);
    world.start(0, &[]);
    assert_eq!(world.next(0), Some(Happening::Joined(0)));
    world.start(1, &[0]);
    assert_eq!(world.next(SECOND), Some(Happening::Joined(1)));
    assert_eq!(world.time(), 40_000);
    world.run_until(10 * SECOND);
    assert_eq!(seen(&world, 0, "pings"), 9);
    assert_eq!(world.counters().frames_in, 9);
}

#[test]
fn a_drifting_clock_ticks_faster() {
    let mut world = world(2);
    world.set_clock(1, Clock { skew: 0, drift_ppm: 100_000 });
    world.start(0, &[]);
    world.start(1, &[0]);
    world.run_until(100 * SECOND);
    assert_eq!(seen(&world, 0, "pings"), 109);
}

#[test]
fn a_cut_holds_back_one_direction_and_the_heal_ends_it() {
    let mut world = world(2);
    world.settle(&[0, 1]);
    let seed = (0..2).min_by_key(|&n| *world.peer(n).id()).unwrap();
    world.cut(1 - seed, seed);
    world.run_until(10 * SECOND);
    let own = seen(&world, seed, "pings");
    world.heal_links();
    world.run_until(20 * SECOND);
    assert!(seen(&world, seed, "pings") >= own + 19);
}

#[test]
fn a_pause_ends_in_one_batch() {
    let mut world = world(3);
    world.settle(&[0, 1, 2]);
    let seed = (0..3).min_by_key(|&n| *world.peer(n).id()).unwrap();
    world.pause(seed, Duration::from_secs(10));
    world.run_until(20 * SECOND);
    assert!(seen(&world, seed, "batch") >= 18, "{}", seen(&world, seed, "batch"));
    assert!(!world.is_paused(seed));
}

#[test]
fn a_crash_forgets_the_process_and_keeps_what_was_synced() {
    let mut world = world(1);
    world.start(0, &[]);
    world.submit(0, put());
    world.run_until(SECOND);
    assert_eq!(world.disk(0).record_count(), 1);
    world.crash(0);
    assert!(!world.is_up(0) && !world.is_member(0));
    world.run_until(2 * SECOND);
    world.start(0, &[]);
    world.run_until(3 * SECOND);
    assert_eq!(seen(&world, 0, "held"), 1);
    world.crash(0);
    world.lose_disk(0);
    assert_eq!(world.disk(0).record_count(), 0);
}

#[test]
fn results_for_a_former_life_are_dropped() {
    let mut world = World::new(WorldConfig {
        disk: DiskModel { sync: Spread::Constant(Duration::from_secs(5)), ..DiskModel::default() },
        ..WorldConfig::new(&ECHO, 1)
    });
    world.add_host();
    world.start(0, &[]);
    world.submit(0, put());
    world.crash(0);
    world.start(0, &[]);
    let mut done = 0;
    while let Some(happening) = world.next(20 * SECOND) {
        done += usize::from(matches!(happening, Happening::Done { .. }));
    }
    assert_eq!(done, 0);
}

#[test]
fn a_graceful_stop_ends_the_process() {
    let mut world = world(1);
    world.start(0, &[]);
    world.next(0);
    world.stop(0);
    assert_eq!(world.next(SECOND), Some(Happening::Left(0)));
    assert!(!world.is_up(0));
}

fn chaotic(seed: u64) -> (u64, u64) {
    let mut world = World::new(WorldConfig {
        latency: Latency::Drawn("exp:30ms".parse().unwrap()),
        faults: LinkFaults {
            loss: 0.1,
            duplicate: 0.1,
            reorder: 0.2,
            reorder_by: Duration::from_millis(200),
            corrupt: 0.01,
            bandwidth: 0,
        },
        ..WorldConfig::new(&ECHO, seed)
    });
    let hosts: Vec<usize> = (0..10).map(|_| world.add_host()).collect();
    world.settle(&hosts);
    world.run_until(60 * SECOND);
    (world.trace_hash(), world.event_count())
}

#[test]
fn a_seed_is_a_world() {
    assert_eq!(chaotic(1), chaotic(1));
    assert_ne!(chaotic(1), chaotic(2));
}

#[test]
fn a_sink_hears_every_frame_and_changes_nothing() {
    let run = |listen: bool| {
        let lines = Rc::new(RefCell::new(0));
        let mut world = world(2);
        if listen {
            let lines = Rc::clone(&lines);
            world.set_sink(Box::new(move |_, _| *lines.borrow_mut() += 1));
        }
        world.start(0, &[]);
        world.start(1, &[0]);
        world.run_until(5 * SECOND);
        let lines = *lines.borrow();
        (lines, world.trace_hash())
    };
    let ((silent, a), (lines, b)) = (run(false), run(true));
    assert_eq!((silent, a), (0, b));
    assert!(lines > 6);
}

#[test]
fn a_quiet_world_keeps_few_buffers() {
    let mut world = world(50);
    let hosts: Vec<usize> = (0..50).collect();
    world.settle(&hosts);
    world.run_until(100 * SECOND + SECOND / 2);
    let (events, frames) = world.waiting();
    assert!(events <= 100 && frames == 0, "{events} {frames}");
}
