//! The world: hosts, links and disks under one clock, run by one queue of events.
//!
//! ```text
//!              Queue (time, sequence)
//!   Frame ────────┐        ┌──────────▶ Machine::handle ──▶ Outbox ─┬─ frames ──▶ Links ──▶ Frame ...
//!   Tick  ────────┼─ pop ──┤  (batched if several things            ├─ disk ────▶ Disk  ──▶ Disk ...
//!   Disk  ────────┤        │   reach a host at one instant)         ├─ done, trace ─▶ Happening
//!   Wake  ────────┘        └──▶ Happening::Wake                     └─ deadline ─▶ Tick
//! ```
//!
//! Whoever drives a world ([`crate::run`], [`crate::swarm`], a test) calls [`World::next`] and acts on each [`Happening`].
//! A world is a pure function of its seed and of these calls: all draws come from forks of one stream, time is an integer,
//! and nothing is kept in the order of a hasher. Every event that reaches a machine goes into [`World::trace_hash`].
//!
//! Ticks are cancelled lazily: of all that are queued for a host one counts, and one may follow it. A deadline that moves
//! later leaves it in place, and the tick, when it comes, looks again.

mod questions;

use std::collections::VecDeque;
use std::sync::Arc;

use keyway_core::frame::NetworkId;
use keyway_core::machine::Style;
use keyway_core::machine::{
    Counters, DiskEffect, DiskOp, NodeConfig, Op, OpDone, OpId, OpResult, STOP_OP, Trace,
};
use keyway_core::overlay::Violation;
use keyway_core::overlay::registry::Entry;
use keyway_core::rng::Rng;
use keyway_core::{Addr, Duration, Id, NodeInput, Outbox, Peer};

use crate::disk::{Batch, Disk, DiskModel};
use crate::host::{Clock, Host};
use crate::links::{LinkFaults, Links};
use crate::queue::{Flights, Queue, What};
use crate::topology::Latency;
use crate::trace::{self, Sink, TraceHash};

/// What holds for a whole world.
#[derive(Clone)]
pub struct WorldConfig {
    /// Which overlay its nodes run.
    pub overlay: &'static Entry,
    /// Everything that is drawn comes from it.
    pub seed: u64,
    /// How long frames travel.
    pub latency: Latency,
    /// What else happens to them.
    pub faults: LinkFaults,
    /// How disks behave.
    pub disk: DiskModel,
    /// Copies kept of each value (R).
    pub replicas: u8,
    /// Acknowledgements that a put waits for (W).
    pub acks: u8,
    /// Greatest value taken, in bytes.
    pub value_bytes_max: u32,
    /// Greatest life given.
    pub ttl_max: Duration,
    /// Bound on the bytes that each host keeps; clients share most of it.
    pub store_bytes_max: u64,
    /// How the lookups of clients travel.
    pub lookup_style: Style,
    /// The overlay's own settings.
    pub options: Vec<(String, u64)>,
    /// Local invariants are checked after every so many calls of a machine; 0 for never.
    pub check_every: u32,
}

impl WorldConfig {
    /// A calm world of this overlay: 20 ms everywhere, sound disks, the defaults that users see.
    #[must_use]
    pub fn new(overlay: &'static Entry, seed: u64) -> WorldConfig {
        let node = NodeConfig::new(Peer::new(Id::ZERO, Addr::simulated(0)), [0; 32]);
        WorldConfig {
            overlay,
            seed,
            latency: Latency::Drawn(crate::draw::Spread::Constant(Duration::from_millis(20))),
            faults: LinkFaults::default(),
            disk: DiskModel::default(),
            replicas: node.replicas,
            acks: node.acks,
            value_bytes_max: node.value_bytes_max,
            ttl_max: node.ttl_max,
            store_bytes_max: node.store_bytes_max,
            lookup_style: node.lookup_style,
            options: Vec::new(),
            check_every: 0,
        }
    }
}

impl WorldConfig {
    /// Tries the settings on a node.
    ///
    /// # Errors
    /// The node's own text about an unknown or impossible setting.
    pub fn check_options(&self) -> Result<(), String> {
        let peer = Peer::new(Id::ZERO, Addr::simulated(0));
        (self.overlay.make)(self.of_node(NodeConfig::new(peer, [0; 32]))).map(drop)
    }

    /// A node's settings in this world.
    fn of_node(&self, node: NodeConfig) -> NodeConfig {
        NodeConfig {
            replicas: self.replicas,
            acks: self.acks,
            value_bytes_max: self.value_bytes_max,
            ttl_max: self.ttl_max,
            store_bytes_max: self.store_bytes_max,
            lookup_style: self.lookup_style,
            overlay_options: self.options.clone(),
            ..node
        }
    }
}

/// Something that whoever drives the world wants to know.
#[derive(Clone, PartialEq, Debug)]
pub enum Happening {
    /// The instant asked for with [`World::wake_at`] has come.
    Wake(u64),
    /// An operation ended.
    Done {
        /// At which host.
        host: usize,
        /// Its name.
        op: OpId,
        /// Its outcome.
        result: OpResult,
    },
    /// A host has completed its join.
    Joined(usize),
    /// A host has left gracefully; its process is over.
    Left(usize),
    /// A machine broke its own rules.
    Violated(usize, Violation),
}

/// What waits for a paused host is bounded like a socket buffer; more is dropped.
const BACKLOG_MAX: usize = 4_096;

/// A simulated world.
pub struct World {
    config: WorldConfig,
    disk: Arc<DiskModel>,
    rng: Rng,
    time: u64,
    queue: Queue,
    flights: Flights,
    hosts: Vec<Host>,
    links: Links,
    batches: Vec<Option<Batch>>,
    free_batches: Vec<u32>,
    out: Outbox,
    lines: Vec<Trace>,
    happenings: VecDeque<Happening>,
    next_op: u64,
    events: u64,
    hash: TraceHash,
    sink: Option<Sink>,
    /// The counters of processes that are over.
    buried: Counters,
}

impl World {
    /// An empty world.
    #[must_use]
    pub fn new(config: WorldConfig) -> World {
        let rng = Rng::from_u64(config.seed);
        World {
            links: Links::new(config.latency.clone(), config.faults, &rng),
            disk: Arc::new(config.disk),
            config,
            rng,
            time: 0,
            queue: Queue::default(),
            flights: Flights::default(),
            hosts: Vec::new(),
            batches: Vec::new(),
            free_batches: Vec::new(),
            out: Outbox::default(),
            lines: Vec::new(),
            happenings: VecDeque::new(),
            next_op: 0,
            events: 0,
            hash: TraceHash::default(),
            sink: None,
            buried: Counters::default(),
        }
    }

    /// From now on every event is told to `sink`, one line each.
    pub fn set_sink(&mut self, sink: Sink) {
        self.sink = Some(sink);
    }

    /// Adds a host with a random id and an empty disk, without a process.
    pub fn add_host(&mut self) -> usize {
        let id = self.rng.fork("id", self.hosts.len() as u64).id();
        self.add_host_with_id(id)
    }

    /// Adds a host with this id.
    pub fn add_host_with_id(&mut self, id: Id) -> usize {
        let n = self.hosts.len();
        let peer = Peer::new(id, Addr::simulated(n as u32));
        self.hosts
            .push(Host::new(peer, Disk::new(Arc::clone(&self.disk), self.rng.fork_seed("disk", n as u64))));
        self.links.add_host();
        n
    }

    /// Sets a host's clocks; only while no process runs on it.
    ///
    /// # Panics
    /// If one does: a clock that jumps under a process is another fault.
    pub fn set_clock(&mut self, host: usize, clock: Clock) {
        assert!(self.hosts[host].machine.is_none(), "a process runs on host {host}");
        self.hosts[host].clock = clock;
    }

    fn boot(&mut self, n: usize) {
        let host = &mut self.hosts[n];
        assert!(host.machine.is_none(), "host {n} runs already");
        host.life += 1;
        host.born = self.time;
        host.member = false;
        host.due = u64::MAX;
        (host.tick_at, host.tick_after) = (u64::MAX, u64::MAX);
        let config = self.config.of_node(NodeConfig {
            incarnation: u64::from(host.life),
            ..NodeConfig::new(
                host.peer.clone(),
                self.rng.fork_seed("machine", (n as u64) << 32 | u64::from(host.life)),
            )
        });
        let machine =
            (self.config.overlay.make)(config).expect("options are checked before a world is built");
        host.machine = Some(machine);
    }

    /// Starts a process on an idle host; without seeds and memories it founds a network.
    pub fn start(&mut self, host: usize, seeds: &[usize]) {
        self.boot(host);
        let seeds: Vec<Addr> = seeds.iter().map(|&s| self.hosts[s].peer.addr()).collect();
        self.say(host, || format!("start, seeds {seeds:?}"));
        self.handle(host, &mut [NodeInput::Start { seeds: &seeds }]);
    }

    /// Starts a process on each of these idle hosts as members of one converged network.
    pub fn settle(&mut self, hosts: &[usize]) {
        let network = NetworkId(self.rng.fork("network", 0).next_u64() | 1);
        let mut everyone: Vec<Peer> = hosts.iter().map(|&n| self.hosts[n].peer.clone()).collect();
        everyone.sort_by(|a, b| a.id().cmp(b.id()));
        for &n in hosts {
            self.boot(n);
            let host = &mut self.hosts[n];
            let now = host.clock.now(self.time, host.born);
            if let Some(machine) = &mut host.machine {
                machine.settle(now, network, &everyone, &mut self.out);
            }
            self.become_member(n);
            self.settle_disk(n);
            self.perform(n);
        }
    }

    /// What a settled process asks of its disk has been done: else all of a large world would wait for it at once.
    fn settle_disk(&mut self, n: usize) {
        while !self.out.disk.is_empty() {
            let mut inputs = Vec::with_capacity(self.out.disk.len());
            for effect in core::mem::take(&mut self.out.disk) {
                self.end_batch(n, vec![effect], &mut inputs);
            }
            // It ends: a store asks for nothing more when its pages are read and its notes written, or its disk has failed.
            self.turn(n, &mut inputs);
        }
    }

    /// Kills a process at once; the disk keeps what was synced.
    pub fn crash(&mut self, n: usize) {
        self.say(n, || "crash".into());
        let waiting = self.take_batches(n);
        self.bury(n);
        self.hosts[n].disk.crash(waiting.iter().map(Vec::as_slice));
    }

    /// What the host's disk was still to do, oldest first.
    fn take_batches(&mut self, n: usize) -> Vec<Vec<DiskEffect>> {
        self.hosts[n].gathering = None;
        let slots: Vec<u32> = self.hosts[n].batches.drain(..).collect();
        slots
            .into_iter()
            .filter_map(|slot| Some(core::mem::take(&mut self.batches[slot as usize].as_mut()?.effects)))
            .collect()
    }

    /// Ends the process; its batches stay.
    fn bury(&mut self, n: usize) {
        let host = &mut self.hosts[n];
        if let Some(machine) = host.machine.take() {
            self.buried.add(&machine.counters());
        }
        host.member = false;
        (host.tick_at, host.tick_after) = (u64::MAX, u64::MAX);
        host.paused_until = 0;
        for what in host.backlog.drain(..) {
            match what {
                What::Frame { slot, .. } => {
                    let flight = self.flights.take(slot);
                    self.flights.give_back(slot, flight);
                }
                What::Disk { slot, .. } => {
                    self.batches[slot as usize] = None;
                    self.free_batches.push(slot);
                }
                What::Tick { .. } | What::Resume { .. } | What::Wake { .. } => {}
            }
        }
        self.links.forget(n);
    }

    /// Asks a process to leave gracefully; [`Happening::Left`] follows.
    pub fn stop(&mut self, host: usize) {
        self.say(host, || "stop".into());
        self.handle_or_wait(host, NodeInput::Stop);
    }

    /// Replaces an idle host's disk by an empty one.
    ///
    /// # Panics
    /// If a process runs on it.
    pub fn lose_disk(&mut self, host: usize) {
        assert!(self.hosts[host].machine.is_none(), "a process runs on host {host}");
        self.say(host, || "disk lost".into());
        self.hosts[host].disk.lose();
    }

    /// Nothing runs on the host for so long; what arrives waits and comes as one batch.
    pub fn pause(&mut self, host: usize, span: Duration) {
        self.say(host, || format!("pause {span:?}"));
        let until = self.time + span.0;
        if until > self.hosts[host].paused_until {
            self.hosts[host].paused_until = until;
            self.queue.push(until, What::Resume { host: host as u32 });
        }
    }

    /// Ends a pause before its time.
    pub fn end_pause(&mut self, host: usize) {
        if self.is_paused(host) {
            self.resume(host);
        }
    }

    /// Gives an operation to a host's process. The outcome comes as [`Happening::Done`]; never, if the process dies.
    pub fn submit(&mut self, host: usize, what: Op) -> OpId {
        let op = OpId(self.next_op);
        self.next_op += 1;
        self.say(host, || format!("{op:?} {}", trace::op(&what)));
        self.handle_or_wait(host, NodeInput::Op { op, what });
        op
    }

    /// Lets a frame from nowhere reach a host now.
    pub fn inject(&mut self, host: usize, from: Addr, bytes: &[u8]) {
        self.handle_or_wait(host, NodeInput::Datagram { from, bytes });
    }

    /// A paused process gets what its own machine room says late: for these few inputs the pause just ends.
    fn handle_or_wait(&mut self, n: usize, input: NodeInput<'_>) {
        if self.hosts[n].paused_until > self.time {
            self.resume(n);
        }
        self.handle(n, &mut [input]);
    }

    /// [`Happening::Wake`] with this token will come at `at`.
    pub fn wake_at(&mut self, at: u64, token: u64) {
        self.queue.push(at.max(self.time), What::Wake { token });
    }

    /// Runs until something happens or the clock shows `until`.
    pub fn next(&mut self, until: u64) -> Option<Happening> {
        loop {
            if let Some(happening) = self.happenings.pop_front() {
                return Some(happening);
            }
            let Some(event) = self.queue.pop_until(until) else {
                self.time = self.time.max(until);
                return None;
            };
            self.time = event.at;
            self.deliver(event.what);
        }
    }

    /// Runs until the clock shows `until`; whatever happens is dropped.
    pub fn run_until(&mut self, until: u64) {
        while self.next(until).is_some() {}
    }

    fn deliver(&mut self, what: What) {
        let Some(n) = what.host() else {
            if let What::Wake { token } = what {
                self.happenings.push_back(Happening::Wake(token));
            }
            return;
        };
        if self.hosts[n].paused_until > self.time {
            self.put_off(n, what);
            return;
        }
        match what {
            What::Frame { slot, .. } => self.deliver_frames(n, slot),
            What::Tick { .. } => self.deliver_tick(n),
            What::Disk { slot, .. } => self.deliver_disk(n, slot),
            What::Resume { .. } => self.resume(n),
            What::Wake { .. } => {}
        }
    }

    fn put_off(&mut self, n: usize, what: What) {
        let host = &mut self.hosts[n];
        match what {
            What::Frame { slot, .. } if host.backlog.len() >= BACKLOG_MAX => {
                let flight = self.flights.take(slot);
                self.flights.give_back(slot, flight);
            }
            // A later pause has its own end.
            What::Resume { .. } => {}
            _ => host.backlog.push(what),
        }
    }

    /// The pause is over: everything that waited, as one batch as far as it is frames.
    fn resume(&mut self, n: usize) {
        self.hosts[n].paused_until = 0;
        let waiting = core::mem::take(&mut self.hosts[n].backlog);
        // As a driver does on waking: what the sockets hold comes before what the clock has made due.
        let frames: Vec<u32> = waiting
            .iter()
            .filter_map(|what| if let What::Frame { slot, .. } = what { Some(*slot) } else { None })
            .collect();
        if !frames.is_empty() {
            self.deliver_batch(n, &frames);
        }
        for what in waiting {
            match what {
                What::Disk { slot, .. } => self.deliver_disk(n, slot),
                What::Tick { .. } => self.deliver_tick(n),
                What::Frame { .. } | What::Resume { .. } | What::Wake { .. } => {}
            }
        }
    }

    fn deliver_frames(&mut self, n: usize, slot: u32) {
        // What else reaches this host at this very instant belongs to the same batch, as from one receive call.
        match self.queue.pop_same(self.time, n) {
            None => self.deliver_frame(n, slot),
            Some(What::Frame { slot: second, .. }) => self.deliver_batch(n, &[slot, second]),
            Some(other) => {
                self.deliver_frame(n, slot);
                self.deliver(other);
            }
        }
    }

    fn deliver_frame(&mut self, n: usize, slot: u32) {
        let flight = self.flights.take(slot);
        let from = flight.from as usize;
        if self.links.is_cut(from, n) {
            self.links.broke(from, n);
        } else if self.hosts[n].machine.is_some() {
            self.note_frame(n, from, &flight.bytes);
            let from = Addr::simulated(from as u32);
            self.handle(n, &mut [NodeInput::Datagram { from, bytes: &flight.bytes }]);
        }
        self.flights.give_back(slot, flight);
    }

    fn deliver_batch(&mut self, n: usize, slots: &[u32]) {
        let flights: Vec<_> = slots.iter().map(|&slot| (slot, self.flights.take(slot))).collect();
        if self.hosts[n].machine.is_some() {
            let mut inputs = Vec::with_capacity(flights.len());
            for (_, flight) in &flights {
                let from = flight.from as usize;
                if self.links.is_cut(from, n) {
                    self.links.broke(from, n);
                    continue;
                }
                self.note_frame(n, from, &flight.bytes);
                inputs.push(NodeInput::Datagram { from: Addr::simulated(flight.from), bytes: &flight.bytes });
            }
            self.handle(n, &mut inputs);
        }
        for (slot, flight) in flights {
            self.flights.give_back(slot, flight);
        }
    }

    fn note_frame(&mut self, to: usize, from: usize, bytes: &[u8]) {
        self.hash.frame(self.time, to, bytes);
        if let Some(sink) = &mut self.sink {
            sink(self.time, &format!("n{to:<3} <- n{from:<3} {}", trace::frame(bytes)));
        }
    }

    fn deliver_tick(&mut self, n: usize) {
        let host = &mut self.hosts[n];
        if host.tick_at > self.time {
            return;
        }
        host.tick_at = core::mem::replace(&mut host.tick_after, u64::MAX);
        if host.due > self.time {
            self.arm_tick(n);
            return;
        }
        self.hash.tick(self.time, n);
        self.handle(n, &mut [NodeInput::Tick]);
    }

    fn deliver_disk(&mut self, n: usize, slot: u32) {
        let batch = self.batches[slot as usize].take();
        self.free_batches.push(slot);
        let Some(batch) = batch else { return };
        let host = &mut self.hosts[n];
        if batch.life != host.life || host.machine.is_none() {
            return;
        }
        if let Some(at) = host.batches.iter().position(|&s| s == slot) {
            host.batches.remove(at);
            host.gathering = host.gathering.filter(|&gathering| gathering != slot);
        }
        let mut inputs = Vec::with_capacity(batch.effects.len());
        self.end_batch(n, batch.effects, &mut inputs);
        self.handle(n, &mut inputs);
    }

    /// A batch has ended; `inputs` gets what its host's machine hears of it.
    fn end_batch(&mut self, n: usize, effects: Vec<DiskEffect>, inputs: &mut Vec<NodeInput<'_>>) {
        let (time, hash, sink) = (self.time, &mut self.hash, &mut self.sink);
        self.hosts[n].disk.finish(effects, |effect, result| {
            hash.disk(time, n, effect.token, &result);
            if let Some(sink) = sink {
                sink(time, &format!("n{n:<3} disk {}", trace::disk(&effect.op, &result)));
            }
            inputs.push(NodeInput::DiskDone { token: effect.token, result });
        });
    }

    fn handle(&mut self, n: usize, inputs: &mut [NodeInput<'_>]) {
        if self.turn(n, inputs) {
            self.perform(n);
        }
    }

    /// The one place where machines are called; whether there is one on the host.
    fn turn(&mut self, n: usize, inputs: &mut [NodeInput<'_>]) -> bool {
        let host = &mut self.hosts[n];
        let Some(machine) = &mut host.machine else { return false };
        // Members are not traced unless someone listens: joins are all that the world itself wants to know.
        self.out.trace = (!host.member || self.sink.is_some()).then(|| core::mem::take(&mut self.lines));
        let now = host.clock.now(self.time, host.born);
        self.events += inputs.len() as u64;
        machine.handle(now, inputs, &mut self.out);
        if self.config.check_every > 0 {
            if host.check_in == 0 {
                host.check_in = self.config.check_every;
                if let Err(violation) = machine.check() {
                    self.happenings.push_back(Happening::Violated(n, violation));
                }
            }
            host.check_in -= 1;
        }
        true
    }

    /// Does what the outbox says.
    fn perform(&mut self, n: usize) {
        self.send_frames(n);
        if !self.out.disk.is_empty() {
            self.submit_disk(n);
        }
        if self.out.trace.is_some() {
            self.perform_trace(n);
        }
        if !self.out.done.is_empty() {
            let mut done = core::mem::take(&mut self.out.done);
            done.drain(..).for_each(|(op, result)| self.end_op(n, op, result));
            self.out.done = done;
        }
        self.out.clear();
        let host = &mut self.hosts[n];
        let deadline = host.machine.as_ref().and_then(|m| m.deadline());
        host.due = deadline.map_or(u64::MAX, |d| host.clock.reached(d, host.born).max(self.time));
        self.arm_tick(n);
    }

    fn end_op(&mut self, n: usize, op: OpId, result: OpResult) {
        if op == STOP_OP && result == Ok(OpDone::Stopped) {
            self.say(n, || "left".into());
            let waiting = self.take_batches(n);
            waiting.into_iter().for_each(|effects| self.hosts[n].disk.finish(effects, |_, _| ()));
            self.bury(n);
            self.happenings.push_back(Happening::Left(n));
        } else {
            self.say(n, || format!("{op:?} {}", trace::result(&result)));
            self.happenings.push_back(Happening::Done { host: n, op, result });
        }
    }

    /// Sees to it that a tick comes when it is due, or before. A later one keeps its place in the queue: time-outs come and
    /// go before it, and it is wanted again after them.
    fn arm_tick(&mut self, n: usize) {
        let host = &mut self.hosts[n];
        if host.due < host.tick_at {
            host.tick_after = core::mem::replace(&mut host.tick_at, host.due);
            self.queue.push(host.due, What::Tick { host: n as u32 });
        }
    }

    fn perform_trace(&mut self, n: usize) {
        let Some(mut lines) = self.out.trace.take() else { return };
        for line in lines.drain(..) {
            if line == Trace::Phase(keyway_core::machine::Phase::Member) && !self.hosts[n].member {
                self.become_member(n);
                self.happenings.push_back(Happening::Joined(n));
            }
            if let Some(sink) = &mut self.sink {
                sink(self.time, &format!("n{n:<3} {line:?}"));
            }
        }
        self.lines = lines;
    }

    fn become_member(&mut self, n: usize) {
        self.hosts[n].member = true;
    }

    fn send_frames(&mut self, from: usize) {
        let World { out, hosts, links, flights, queue, time, .. } = self;
        for (to, bytes) in out.datagrams() {
            let Some(to) = questions::host_at(to, hosts.len()) else { continue };
            for arrival in links.send(*time, from, to, bytes.len()).into_iter().flatten() {
                let slot = flights.add(from as u32, bytes);
                if let Some(bit) = arrival.flip {
                    flights.bytes_mut(slot)[bit as usize / 8] ^= 1 << (bit % 8);
                }
                queue.push(arrival.at, What::Frame { host: to as u32, slot });
            }
        }
    }

    fn submit_disk(&mut self, n: usize) {
        let host = &mut self.hosts[n];
        let (batches, free, queue) = (&mut self.batches, &mut self.free_batches, &mut self.queue);
        let (waiting, gathering) = (&mut host.batches, &mut host.gathering);
        let mut last = gathering.and_then(|slot| batches[slot as usize].take().map(|batch| (slot, batch)));
        let mut begun = Vec::new();
        let joined = last.as_mut().map(|(_, batch)| batch);
        host.disk.submit(self.time, host.life, &mut self.out.disk, joined, |batch| begun.push(batch));
        if let Some((slot, batch)) = last {
            batches[slot as usize] = Some(batch);
        }
        for batch in begun {
            let ends = batch.ends;
            let writes = !matches!(batch.effects[0].op, DiskOp::Load { .. } | DiskOp::Read(_));
            let slot = free.pop().unwrap_or_else(|| {
                batches.push(None);
                (batches.len() - 1) as u32
            });
            batches[slot as usize] = Some(batch);
            waiting.push_back(slot);
            if writes {
                *gathering = Some(slot);
            }
            queue.push(ends, What::Disk { host: n as u32, slot });
        }
    }

    fn say(&mut self, n: usize, line: impl FnOnce() -> String) {
        if let Some(sink) = &mut self.sink {
            sink(self.time, &format!("n{n:<3} {}", line()));
        }
    }
}
