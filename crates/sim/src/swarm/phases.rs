//! Lives through one drawn world: build, chaos, heal, liveness, last questions.

use std::collections::{BTreeMap, BTreeSet};

use keyway_core::frame::NetworkId;
use keyway_core::machine::{Op, OpDone, OpError, OpId, OpResult, Reads};
use keyway_core::rng::Rng;
use keyway_core::{Duration, Id};

use super::faults::{self, Kind, Limits};
use super::snapshots::Snapshots;
use super::values::{Values, What};
use super::{BOUNDED_TTL_MAX, DRIFT_PPM_MAX, Outcome, Params, SKEW, Tally};
use crate::checkers::{
    Complaint, Snapshot, Terms, Verdict, acked_puts, bounds, convergence, lookups as lookup_judge,
    neighborhood, nothing_invented, read_after_ack, removed, ring, service, ttl,
};
use crate::disk::DiskModel;
use crate::draw::{Spread, Zipf};
use crate::host::Clock;
use crate::links::LinkFaults;
use crate::oracle::Oracle;
use crate::trace::Sink;
use crate::workload::lookups::{self, Lookups};
use crate::workload::storage::{self, ClientModel, Ended};
use crate::world::{Happening, World, WorldConfig};

/// After the last fault is undone everything must have converged within this time: merging split rings takes longest.
pub(super) const LIVENESS: Duration = Duration::from_secs(300);
/// A value has reached its replicas by then, in a calm world.
const ON_THE_WAY: Duration = Duration::from_secs(2);
/// How long a network runs before the chaos begins: for what is being written.
const SETTLING: Duration = Duration::from_secs(5);
/// How long what began under faults may have effects: the longest call, and the ping of whom it suspects.
const AFTERMATH: Duration = Duration::from_secs(20);
/// How often the judges look meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long the last questions may take.
const LAST_QUESTIONS: Duration = Duration::from_secs(30);
/// How often tables are held against their bounds.
const BOUNDS_EVERY: Duration = Duration::from_secs(10);
/// Machines check their own rules after every so many calls.
const CHECK_EVERY: u32 = 40;
/// The longest that a fault with an end lasts.
const FAULT_MAX: Duration = Duration::from_secs(40);
/// The greatest life where disks are not bounded.
const TTL_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Keys that each member looks up at the end.
const LAST_LOOKUPS: usize = 3;
/// Records of old snapshots that are put back when all is whole again.
const LAST_RESTORES: usize = 50;

/// What is to be done when the world wakes us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Todo {
    Operate,
    Fault,
    Bounds,
    Start(usize),
    Join(usize),
    Mend(usize, usize),
    EndPartition,
    EndLimp(usize),
    RepairDisk(usize),
}

/// Why the run of a world ends before its last phase.
enum Stop {
    Complaint(Complaint),
    /// The replay was to go no further.
    Until,
}

impl From<Complaint> for Stop {
    fn from(complaint: Complaint) -> Stop {
        Stop::Complaint(complaint)
    }
}

struct Swarm<'p> {
    params: &'p Params,
    limits: Limits,
    injectable: Vec<Kind>,
    terms: Terms,
    world: World,
    oracle: Oracle,
    lookups: Lookups,
    clients: ClientModel,
    popularity: Zipf,
    agenda: BTreeMap<u64, Todo>,
    next_token: u64,
    faults: Rng,
    load: Rng,
    until: u64,
    /// While there is chaos.
    chaos: bool,
    /// Whether every acknowledged value must be found.
    strict_reads: bool,
    /// Whether every operation must succeed.
    strict_service: bool,
    /// Hosts that have been members: only they are named as seeds.
    known_hosts: BTreeSet<usize>,
    /// Hosts that have left and stay away.
    away: BTreeSet<usize>,
    disks_lost: usize,
    value_count: u64,
    values: Values,
    snapshots: Snapshots,
    network: Option<NetworkId>,
    tally: Tally,
}

pub(super) fn run(
    params: &Params,
    sink: Option<Sink>,
    until: Option<u64>,
    look: &mut dyn FnMut(&World),
) -> Outcome {
    let mut swarm = Swarm::new(params, sink, until);
    let ended = swarm.live();
    look(&swarm.world);
    swarm.tally.events = swarm.world.event_count();
    swarm.tally.micros = swarm.world.time();
    swarm.tally.hash = swarm.world.trace_hash();
    let failure = match ended {
        Err(Stop::Complaint(complaint)) => Some((complaint, swarm.world.time())),
        Ok(()) | Err(Stop::Until) => None,
    };
    Outcome { tally: swarm.tally, failure }
}

impl<'p> Swarm<'p> {
    fn new(params: &'p Params, sink: Option<Sink>, until: Option<u64>) -> Swarm<'p> {
        let mut world = World::new(WorldConfig {
            latency: params.latency.clone(),
            disk: params.disk,
            replicas: params.replicas,
            acks: params.acks,
            lookup_style: params.style,
            options: params.options.clone(),
            store_bytes_max: params.store_bytes_max.unwrap_or(u64::MAX),
            ttl_max: params.store_bytes_max.map_or(TTL_MAX, |_| BOUNDED_TTL_MAX),
            check_every: CHECK_EVERY,
            ..WorldConfig::new(params.overlay, params.seed)
        });
        if let Some(sink) = sink {
            world.set_sink(sink);
        }
        Swarm {
            limits: Limits::of(params),
            injectable: faults::injectable(params),
            terms: Terms {
                replicas: usize::from(params.replicas),
                skew: Duration(SKEW.0 * 5 / 4),
                successors: params.successors,
            },
            oracle: Oracle::new(params.overlay.name),
            lookups: Lookups::default(),
            clients: ClientModel::default(),
            popularity: Zipf::new(params.keys, params.zipf),
            agenda: BTreeMap::new(),
            next_token: 0,
            faults: world.fork("faults"),
            load: world.fork("load"),
            until: until.unwrap_or(u64::MAX),
            chaos: false,
            strict_reads: false,
            strict_service: false,
            known_hosts: BTreeSet::new(),
            away: BTreeSet::new(),
            disks_lost: 0,
            value_count: 0,
            values: Values::new(params.mix, world.fork("values")),
            snapshots: Snapshots::new(params.restores, world.fork("snapshots")),
            network: None,
            tally: Tally::default(),
            params,
            world,
        }
    }

    fn live(&mut self) -> Result<(), Stop> {
        self.later(BOUNDS_EVERY, Todo::Bounds);
        self.build()?;
        self.chaos()?;
        self.heal()?;
        self.last_questions()
    }

    // --- the phases ------------------------------------------------------------------------------------------------

    fn build(&mut self) -> Result<(), Stop> {
        for _ in 0..self.params.nodes {
            self.add_host();
        }
        let noise = LinkFaults { corrupt: 0.0, ..self.params.links };
        self.world.set_faults(noise);
        if self.params.settled {
            let hosts: Vec<usize> = (0..self.params.nodes).collect();
            self.world.settle(&hosts);
            hosts.into_iter().for_each(|n| self.joined(n));
        } else {
            self.world.start(0, &[]);
            let mut after = Duration::ZERO;
            for n in 1..self.params.nodes {
                after = Duration(after.0 + self.faults.between(100_000, 2_000_000));
                self.later(after, Todo::Join(n));
            }
            self.run_for(after)?;
        }
        // Whole tables are promised once faults stop: with one frame in five lost somebody is always held for silent.
        self.world.set_faults(LinkFaults::default());
        self.converge("build")?;
        // A network that runs has its members' names on disk: without them nobody could tell after a power cut whose it was.
        self.run_for(SETTLING)
    }

    fn chaos(&mut self) -> Result<(), Stop> {
        let calm = self.params.is_calm();
        self.chaos = true;
        self.strict_reads = calm;
        // Slow disks may fall behind the load, and then it is right to say so.
        let swift = !self.params.kinds.contains(&Kind::DiskSlow);
        self.strict_service =
            calm && swift && self.params.links.loss == 0.0 && self.params.links.corrupt == 0.0;
        self.world.set_faults(self.params.links);
        self.later(Duration::ZERO, Todo::Operate);
        if !self.injectable.is_empty() {
            self.later(Duration::ZERO, Todo::Fault);
        }
        self.run_for(self.params.chaos)
    }

    /// Undoes every fault, brings everyone back, and waits for what was asked meanwhile.
    fn heal(&mut self) -> Result<(), Stop> {
        self.chaos = false;
        self.strict_reads = false;
        self.strict_service = false;
        self.agenda.retain(|_, todo| matches!(todo, Todo::Bounds | Todo::Join(_)));
        self.world.heal_links();
        for n in 0..self.world.host_count() {
            self.world.repair_disk(n);
            self.world.end_pause(n);
            self.start(n);
        }
        let healed = self.world.time();
        self.converge("heal")?;
        self.tally.healed_in = self.world.time() - healed;
        // Calls that began under faults may still end in silence, and leaves in absence: from their end on it must stay whole.
        self.run_for(AFTERMATH)?;
        self.converge("heal")?;
        self.put_back()
    }

    /// Into a network that is whole, old snapshots are put back: it stays as it is.
    fn put_back(&mut self) -> Result<(), Stop> {
        if !self.snapshots.is_wanted() {
            return Ok(());
        }
        self.strict_service = true;
        for _ in 0..LAST_RESTORES {
            let op = self.snapshots.any();
            self.restore(op);
        }
        self.run_for(SETTLING)?;
        self.strict_service = false;
        self.converge("restore")
    }

    /// Within [`LIVENESS`] all judges of a settled network must be content at one and the same instant.
    fn converge(&mut self, phase: &str) -> Result<(), Stop> {
        let last = self.world.time() + LIVENESS.0;
        loop {
            let Err(complaint) = self.look() else { return Ok(()) };
            if self.world.time() >= last {
                let text = format!("{} s after the {phase}: {}", LIVENESS.as_secs(), complaint.detail);
                return Err(Complaint::new(complaint.checker, text).into());
            }
            self.run_for(LOOK_EVERY)?;
        }
    }

    fn look(&self) -> Verdict {
        if let Some((&op, host)) = self.lookups.pending().next() {
            return Err(Complaint::new("service", format!("{op:?} at n{host} has no end")));
        }
        if self.snapshots.pending_count() > 0 {
            let pending = self.snapshots.pending_count();
            return Err(Complaint::new("service", format!("{pending} restores have no end")));
        }
        if self.clients.pending_count() > 0 {
            return Err(Complaint::new(
                "service",
                format!("{} operations have no end", self.clients.pending_count()),
            ));
        }
        let snapshot = Snapshot::take(&self.world, &self.oracle, self.terms);
        convergence::judge(&self.world, &snapshot, &self.clients)?;
        ring::judge(&snapshot)?;
        neighborhood::judge(&snapshot)?;
        acked_puts::judge(&snapshot, &self.clients)
    }

    fn last_questions(&mut self) -> Result<(), Stop> {
        self.strict_reads = true;
        self.strict_service = true;
        let members: Vec<usize> = self.oracle.members().map(|(_, host)| host).collect();
        for key in self.clients.keys() {
            let host = members[self.load.below(members.len() as u64) as usize];
            self.get(host, key);
        }
        for &host in &members {
            for _ in 0..LAST_LOOKUPS {
                let target = self.load.id();
                self.lookup(host, target);
            }
        }
        let last = self.world.time() + LAST_QUESTIONS.0;
        while self.lookups.pending_count() + self.clients.pending_count() > 0 {
            if self.world.time() >= last {
                self.look()?;
            }
            self.run_for(Duration::from_secs(1))?;
        }
        Ok(self.look()?)
    }

    // --- the world wakes us ----------------------------------------------------------------------------------------

    fn later(&mut self, after: Duration, todo: Todo) {
        self.next_token += 1;
        self.agenda.insert(self.next_token, todo);
        self.world.wake_at(self.world.time() + after.0, self.next_token);
    }

    fn run_for(&mut self, span: Duration) -> Result<(), Stop> {
        let end = self.world.time() + span.0;
        while let Some(happening) = self.world.next(end.min(self.until)) {
            self.on(happening)?;
        }
        if self.world.time() >= self.until { Err(Stop::Until) } else { Ok(()) }
    }

    fn on(&mut self, happening: Happening) -> Result<(), Stop> {
        match happening {
            Happening::Wake(token) => {
                if let Some(todo) = self.agenda.remove(&token) {
                    self.on_todo(todo)?;
                }
            }
            Happening::Done { host, op, result } => self.on_done(host, op, result)?,
            Happening::Joined(n) => self.joined(n),
            Happening::Left(n) => {
                self.gone(n);
                if self.limits.leavers_stay_away {
                    self.away.insert(n);
                } else if !self.chaos {
                    self.start(n);
                }
            }
            Happening::Violated(n, violation) => return Err(Complaint::from((n, violation)).into()),
        }
        Ok(())
    }

    fn on_todo(&mut self, todo: Todo) -> Result<(), Stop> {
        match todo {
            Todo::Operate => {
                self.operate();
                let after = Spread::Exponential(self.params.op_every).draw(&mut self.load);
                self.later(after, Todo::Operate);
            }
            Todo::Fault => {
                self.fault();
                let after = Spread::Exponential(self.params.fault_every).draw(&mut self.faults);
                self.later(after, Todo::Fault);
            }
            Todo::Bounds => {
                bounds::judge(&self.world)?;
                self.later(BOUNDS_EVERY, Todo::Bounds);
            }
            Todo::Start(n) | Todo::Join(n) => self.start(n),
            Todo::Mend(a, b) => self.world.mend(a, b),
            Todo::EndPartition => self.world.join_sides(),
            Todo::EndLimp(n) => self.world.limp(n, Duration::ZERO),
            Todo::RepairDisk(n) => self.world.repair_disk(n),
        }
        Ok(())
    }

    // --- hosts -----------------------------------------------------------------------------------------------------

    fn add_host(&mut self) -> usize {
        let n = self.world.add_host();
        let mut rng = self.world.fork(&format!("clock {n}"));
        let mut within = |kind: Kind, max: i64| {
            let drawn = rng.between(0, 2 * max as u64) as i64 - max;
            if self.params.kinds.contains(&kind) { drawn } else { 0 }
        };
        let skew = within(Kind::Skew, SKEW.0 as i64);
        let drift_ppm = within(Kind::Drift, DRIFT_PPM_MAX) as i32;
        self.world.set_clock(n, Clock { skew, drift_ppm });
        n
    }

    /// Starts a process on an idle host, with the addresses of some hosts as seeds, as a configuration file would.
    fn start(&mut self, n: usize) {
        if self.world.is_up(n) || self.away.contains(&n) {
            return;
        }
        let others: Vec<usize> =
            self.known_hosts.iter().copied().filter(|m| *m != n && !self.away.contains(m)).collect();
        // Before the founder is a member it is known to be the founder.
        let others = if others.is_empty() && n != 0 { vec![0] } else { others };
        let up: Vec<usize> = others.iter().copied().filter(|&m| self.world.is_member(m)).collect();
        let mut seeds = Vec::new();
        for from in [&others, &up] {
            for _ in 0..2 {
                seeds.extend(self.faults.index(from.len()).map(|i| from[i]));
            }
        }
        seeds.sort_unstable();
        seeds.dedup();
        self.world.start(n, &seeds);
    }

    fn joined(&mut self, n: usize) {
        self.known_hosts.insert(n);
        self.oracle.joined(*self.world.peer(n).id(), n);
        self.lookups.truth_changed(&self.oracle);
    }

    fn crash(&mut self, n: usize) {
        self.world.crash(n);
        self.gone(n);
    }

    fn gone(&mut self, n: usize) {
        self.oracle.gone(self.world.peer(n).id());
        self.lookups.forget(n);
        self.lookups.truth_changed(&self.oracle);
        self.clients.forget(n, self.world.time());
        self.snapshots.forget(n);
        let clients = &self.clients;
        self.values.forget_running(|op| clients.is_pending(op));
    }

    // --- faults ----------------------------------------------------------------------------------------------------

    fn any_up(&mut self) -> Option<usize> {
        let up: Vec<usize> = (0..self.world.host_count()).filter(|&n| self.world.is_up(n)).collect();
        self.faults.index(up.len()).map(|i| up[i])
    }

    fn any_member(&mut self) -> Option<usize> {
        let members: Vec<usize> = self.world.members().collect();
        self.faults.index(members.len()).map(|i| members[i])
    }

    fn span(&mut self) -> Duration {
        Duration(self.faults.between(500_000, FAULT_MAX.0))
    }

    fn down_count(&self) -> usize {
        let stays = |n: &usize| !self.away.contains(n) && self.world.has_run(*n);
        (0..self.world.host_count()).filter(stays).filter(|&n| !self.world.is_up(n)).count()
    }

    fn fault(&mut self) {
        let Some(i) = self.faults.index(self.injectable.len()) else { return };
        let kind = self.injectable[i];
        let Some(n) = self.any_up() else { return };
        self.tally.faults += 1;
        match kind {
            Kind::Cut | Kind::Partition | Kind::Pause | Kind::Limp => self.disturb(kind, n),
            Kind::DiskFail | Kind::DiskFull => self.spoil_disk(kind, n),
            Kind::Crash | Kind::Restart | Kind::KillAll | Kind::DiskLost => self.kill(kind, n),
            Kind::Join | Kind::FlashCrowd | Kind::Leave => self.come_or_go(kind),
            Kind::Loss
            | Kind::Duplicate
            | Kind::Reorder
            | Kind::Corrupt
            | Kind::Skew
            | Kind::Drift
            | Kind::DiskSlow => {}
        }
    }

    fn disturb(&mut self, kind: Kind, n: usize) {
        let span = self.span();
        match kind {
            Kind::Cut => {
                let Some(other) = self.any_up().filter(|&o| o != n) else { return };
                self.world.cut(n, other);
                self.later(span, Todo::Mend(n, other));
            }
            Kind::Partition => {
                let share = self.faults.unit();
                let sides: Vec<u8> =
                    (0..self.world.host_count()).map(|_| u8::from(self.faults.chance(share))).collect();
                self.world.partition(&sides);
                self.later(span, Todo::EndPartition);
            }
            Kind::Pause => self.world.pause(n, Duration(span.0 / 2)),
            _ => {
                let by = Duration(self.faults.between(50_000, 3_000_000));
                self.world.limp(n, by);
                self.later(span, Todo::EndLimp(n));
            }
        }
    }

    fn spoil_disk(&mut self, kind: Kind, n: usize) {
        let well = self.params.disk;
        let sick = match kind {
            Kind::DiskFail => DiskModel {
                fail: 0.02 + 0.5 * self.faults.unit(),
                fail_read: 0.2 * self.faults.unit(),
                ..well
            },
            _ => DiskModel { capacity_bytes: 0, ..well },
        };
        self.world.set_disk(n, sick);
        let span = self.span();
        self.later(span, Todo::RepairDisk(n));
    }

    fn kill(&mut self, kind: Kind, n: usize) {
        if kind == Kind::KillAll {
            let up: Vec<usize> = (0..self.world.host_count()).filter(|&n| self.world.is_up(n)).collect();
            for n in up {
                self.crash(n);
                let after = Duration(self.faults.between(0, 5_000_000));
                self.later(after, Todo::Start(n));
            }
            return;
        }
        if self.down_count() >= self.limits.down_max || self.oracle.len() <= 2 {
            return;
        }
        if kind == Kind::DiskLost {
            if self.disks_lost >= self.limits.disks_lost_max {
                return;
            }
            self.disks_lost += 1;
        }
        self.crash(n);
        if kind == Kind::DiskLost {
            self.world.lose_disk(n);
        }
        let span = self.span();
        let back = if kind == Kind::Restart { Duration(span.0 / 40) } else { span };
        self.later(back, Todo::Start(n));
    }

    fn come_or_go(&mut self, kind: Kind) {
        let room = self.limits.hosts_max.saturating_sub(self.world.host_count());
        match kind {
            Kind::Join | Kind::FlashCrowd => {
                let want = if kind == Kind::Join { 1 } else { self.faults.between(3, 10) as usize };
                for _ in 0..want.min(room) {
                    let n = self.add_host();
                    let after = Duration(self.faults.between(0, 1_000_000));
                    self.later(after, Todo::Join(n));
                }
            }
            _ => {
                let Some(n) = self.any_member() else { return };
                if self.oracle.len() > self.limits.members_min + 1 && self.down_count() < self.limits.down_max
                {
                    self.oracle.leaves(*self.world.peer(n).id());
                    self.lookups.truth_changed(&self.oracle);
                    self.world.stop(n);
                }
            }
        }
    }

    // --- clients ---------------------------------------------------------------------------------------------------

    fn operate(&mut self) {
        let gateways: Vec<usize> = self.world.members().filter(|&n| !self.world.is_paused(n)).collect();
        let Some(i) = self.load.index(gateways.len()) else { return };
        let host = gateways[i];
        if self.load.chance(self.params.put_share) {
            self.put(host);
        } else {
            let key = self.some_key();
            self.get(host, key);
        }
        if self.strict_service && self.load.chance(0.3) {
            let target = self.load.id();
            self.lookup(host, target);
        }
        if let Some(disk) = self.snapshots.taken_of(self.world.host_count()) {
            self.snapshots.keep(self.world.disk(disk).records());
        }
        let op = self.snapshots.due();
        self.restore(op);
    }

    /// Some member puts a record of a snapshot back.
    fn restore(&mut self, op: Option<Op>) {
        let members: Vec<usize> = self.world.members().filter(|&n| !self.world.is_paused(n)).collect();
        let (Some(op), Some(host)) = (op, self.snapshots.host(&members)) else { return };
        let op = self.world.submit(host, op);
        self.snapshots.submitted(op, host);
    }

    fn some_key(&mut self) -> Id {
        let rank = self.popularity.draw(&mut self.load);
        Id::of_text(&format!("key {rank}"))
    }

    fn put(&mut self, host: usize) {
        let ttl = if self.load.chance(self.params.short_lives) {
            Duration::from_secs(self.load.between(2, 60))
        } else {
            Duration::from_secs(self.load.between(3_600, 86_400))
        };
        let (rank, (least, most)) = (self.popularity.draw(&mut self.load), self.params.value_bytes);
        let len = self.load.between(least, most) as usize;
        let Some(network) = self.network(host) else { return };
        let now = self.world.time();
        let (count, load) = (&mut self.value_count, &mut self.load);
        let asked = self.values.draw(now, network, ttl, || {
            *count += 1;
            (Id::of_text(&format!("key {rank}")), storage::value(*count, len, load))
        });
        let op = self.world.submit(host, asked.op);
        self.values.submitted(op);
        match asked.what {
            What::Put(put) => self.clients.begin_put(op, host, put, now),
            What::Remove { identity, seq } => self.clients.begin_remove(op, host, identity, seq, now),
        }
    }

    /// The world's network, as a member knows it.
    fn network(&mut self, host: usize) -> Option<NetworkId> {
        if self.network.is_none() {
            self.network = self.world.inspect(host).map(|inside| inside.network);
        }
        self.network
    }

    fn get(&mut self, host: usize, key: Id) {
        let reads = if self.load.chance(0.1) && self.chaos { Reads::First } else { Reads::Quorum };
        let op = self.world.submit(host, storage::get(key, reads));
        self.clients.begin_get(op, host, key, reads, self.world.time());
    }

    fn lookup(&mut self, host: usize, target: Id) {
        let op = self.world.submit(host, Op::Lookup { target });
        self.lookups.begin(op, host, target, self.world.time(), &self.oracle);
    }

    fn on_done(&mut self, host: usize, op: OpId, result: OpResult) -> Result<(), Stop> {
        let now = self.world.time();
        let root = match &result {
            Ok(OpDone::Found(answer)) => lookups::root_of(answer, |addr| self.world.host_at(addr)),
            _ => None,
        };
        if let Some(ended) = self.lookups.end(op, now, root) {
            self.tally.lookups += 1;
            if self.strict_service {
                lookup_judge::judge(host, &ended)?;
            }
            return Ok(());
        }
        if let Some(failed) = self.snapshots.ended(op, &result) {
            if self.strict_service {
                service::judge(&format!("a restore at n{host}"), failed)?;
            }
            return Ok(());
        }
        let failed = result.as_ref().err().map(ToString::to_string);
        // Where disks are bounded clients wait, and are refused: that is no failure of the service.
        let no_room = matches!(result, Err(OpError::OverCapacity | OpError::Waiting { .. }));
        let ended = self.clients.end(op, now, result);
        let hopeful = self.values.ended(op, ended.as_ref()) && !no_room;
        match ended {
            Some(Ended::Removed { acked, .. }) => {
                self.tally.removes_acked += u64::from(acked);
                if self.strict_service && hopeful {
                    service::judge(&format!("a remove at n{host}"), failed)?;
                }
            }
            Some(Ended::Put { acked, ttl, .. }) => {
                *(if acked { &mut self.tally.puts_acked } else { &mut self.tally.puts_unknown }) += 1;
                // A life that is over, by some replica's clock, before the value can have come there is rightly refused.
                if self.strict_service && hopeful && ttl.0 > SKEW.0 * 5 / 2 + ON_THE_WAY.0 {
                    service::judge(&format!("a put at n{host}"), failed)?;
                }
            }
            Some(Ended::GetFailed(_)) => {
                self.tally.gets_failed += 1;
                if self.strict_service {
                    service::judge(&format!("a get at n{host}"), failed)?;
                }
            }
            Some(Ended::Got(got)) => {
                self.tally.gets += 1;
                nothing_invented::judge(&self.clients, &got)?;
                ttl::judge(&self.clients, &got, &self.terms)?;
                if self.strict_reads {
                    read_after_ack::judge(&self.clients, &got, &self.terms)?;
                    removed::judge(&self.clients, &got, &self.terms)?;
                }
            }
            None => {}
        }
        Ok(())
    }
}
