//! Runs a scenario: builds its world, drives churn and load, and measures.
//!
//! ```text
//!   0 ── built: settled at once, or by joins ──▶ start ── warm-up, not counted ──▶ measured, `for` so long ──▶ end ── last answers ─▶
//! ```
//!
//! Each kind of draw has its own stream, so that another workload does not change who crashes when.

use keyway_core::machine::{Op, OpDone, OpId, OpResult, Reads};
use keyway_core::rng::Rng;
use keyway_core::{Duration, Id};

use crate::churn::poisson::Poisson;
use crate::churn::sessions::Sessions;
use crate::draw::{Spread, Zipf};
use crate::oracle::Oracle;
use crate::report::{self, Report, Tallies};
use crate::scenario::Scenario;
use crate::topology::ReadFile;
use crate::workload::lookups::{self, Lookups, Verdict};
use crate::workload::storage::{self, ClientModel, Ended, Stored};
use crate::world::{Happening, World};

/// What the one who asks for a run lends to it.
pub struct Hooks<'a> {
    /// Gives the text of a file.
    pub read: &'a ReadFile,
    /// Is told `(done, total)` in virtual microseconds, at most a thousand times.
    pub progress: &'a mut dyn FnMut(u64, u64),
}

/// How many members a newcomer is told of.
const SEEDS_MAX: usize = 3;
/// How long answers are waited for after the measured time.
const LAST_ANSWERS: Duration = Duration::from_secs(60);
/// How long the network may take to complete its joins before the measured time begins without the stragglers.
const BUILD_EXTRA: Duration = Duration::from_secs(120);

/// Why the run wakes up. Packed into a token: kind, life of the host, host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wake {
    Lookup,
    Put,
    Get,
    SessionEnds,
    Returns,
    Joins,
    PoissonJoin,
    PoissonDeparture,
    Step,
    Build,
}

impl Wake {
    const ALL: [Wake; 10] = [
        Wake::Lookup,
        Wake::Put,
        Wake::Get,
        Wake::SessionEnds,
        Wake::Returns,
        Wake::Joins,
        Wake::PoissonJoin,
        Wake::PoissonDeparture,
        Wake::Step,
        Wake::Build,
    ];

    fn token(self, host: usize, life: u32) -> u64 {
        (self as u64) << 56 | u64::from(life & 0xff_ffff) << 32 | host as u64
    }

    fn parts(token: u64) -> (Wake, usize, u32) {
        (Wake::ALL[(token >> 56) as usize], (token & 0xffff_ffff) as usize, (token >> 32 & 0xff_ffff) as u32)
    }
}

struct Streams {
    churn: Rng,
    load: Rng,
    seeds: Rng,
}

struct Runner<'s> {
    scenario: &'s Scenario,
    sessions: Option<Sessions>,
    poisson: Option<Poisson>,
    world: World,
    oracle: Oracle,
    lookups: Lookups,
    clients: ClientModel,
    popularity: Zipf,
    value_number: u64,
    streams: Streams,
    /// Of each host: how many sessions it has begun.
    lives: Vec<u32>,
    /// When the measured time began, and when it ends; at first never.
    measured: (u64, u64),
    tallies: Tallies,
}

/// Runs a scenario to its end.
///
/// # Errors
/// If a setting makes no sense.
pub fn run(scenario: &Scenario, hooks: &mut Hooks<'_>) -> Result<Report, String> {
    run_counted(scenario, hooks).map(|(report, _)| report)
}

/// The same with the counts behind the report, which can be pooled over worlds.
pub(crate) fn run_counted(scenario: &Scenario, hooks: &mut Hooks<'_>) -> Result<(Report, Tallies), String> {
    let plan = scenario.plan(hooks.read)?;
    let overlay = plan.world.overlay.name;
    let world = World::new(plan.world);
    let mut runner = Runner {
        scenario,
        sessions: plan.sessions,
        poisson: plan.poisson,
        oracle: Oracle::new(overlay),
        lookups: Lookups::default(),
        clients: ClientModel::default(),
        popularity: Zipf::new(scenario.keys as usize, scenario.zipf),
        value_number: 0,
        streams: Streams { churn: world.fork("churn"), load: world.fork("load"), seeds: world.fork("seeds") },
        world,
        lives: Vec::new(),
        measured: (u64::MAX, u64::MAX),
        tallies: Tallies::default(),
    };
    runner.build();
    runner.measure(hooks.progress);
    let report = runner.report(overlay);
    Ok((report, runner.tallies))
}

impl Runner<'_> {
    fn build(&mut self) {
        let nodes = self.scenario.nodes as usize;
        (0..nodes).for_each(|_| {
            self.add_host();
        });
        if self.scenario.settled {
            let hosts: Vec<usize> = (0..nodes).collect();
            self.world.settle(&hosts);
            for n in hosts {
                self.lives[n] = 1;
                self.oracle.joined(*self.world.peer(n).id(), n);
            }
            return;
        }
        for n in 0..nodes {
            self.world.wake_at(n as u64 * self.scenario.join_every.0, Wake::Build.token(n, 0));
        }
        let last = nodes as u64 * self.scenario.join_every.0 + BUILD_EXTRA.0;
        while self.oracle.len() < nodes {
            let Some(happening) = self.world.next(last) else { break };
            self.on(happening);
        }
        // Those joins are not churn.
        self.tallies = Tallies::default();
    }

    fn measure(&mut self, progress: &mut dyn FnMut(u64, u64)) {
        let start = self.world.time();
        let (warm, span) = (self.scenario.warm_up.0, self.scenario.warm_up.0 + self.scenario.measured.0);
        let end = start + span;
        self.measured = (start, end);
        let members: Vec<usize> = self.world.members().collect();
        for n in members {
            self.load_begins(n);
            if let Some(sessions) = self.sessions {
                let left = sessions.under_way(&mut self.streams.churn);
                self.world.wake_at(start + left.0, Wake::SessionEnds.token(n, self.lives[n]));
            }
        }
        if let Some(poisson) = self.poisson {
            let (join, departure) =
                (poisson.next_join(&mut self.streams.churn), poisson.next_departure(&mut self.streams.churn));
            self.world.wake_at(start + join.0, Wake::PoissonJoin.token(0, 0));
            self.world.wake_at(start + departure.0, Wake::PoissonDeparture.token(0, 0));
        }
        for (i, step) in self.scenario.event.iter().enumerate() {
            self.world.wake_at(start + step.at.0, Wake::Step.token(i, 0));
        }
        let slice = (span / 1_000).max(1);
        let mut shown = start;
        while self.world.time() < end {
            let counts_from = start + warm;
            let stop = if shown < counts_from { counts_from } else { end };
            shown = (shown + slice).min(stop);
            while let Some(happening) = self.world.next(shown) {
                self.on(happening);
            }
            if warm > 0 && shown == counts_from {
                self.tallies = Tallies::default();
            }
            progress(shown - start, span);
        }
        let last = end + LAST_ANSWERS.0;
        while self.lookups.pending_count() + self.clients.pending_count() > 0 {
            let Some(happening) = self.world.next(last) else { break };
            self.on(happening);
        }
    }

    fn report(&self, overlay: &str) -> Report {
        let links = self.world.link_counts();
        let seconds = self.world.time() as f64 / 1e6;
        Report {
            overlay: overlay.into(),
            nodes: self.scenario.nodes,
            members: self.oracle.len() as u32,
            seed: self.scenario.seed,
            virtual_seconds: self.scenario.measured.0 as f64 / 1e6,
            lookups: self.tallies.lookups(),
            hops: self.tallies.hops(),
            timeouts: self.tallies.timeouts(),
            puts: self.tallies.puts(),
            gets: self.tallies.gets(),
            departures: self.tallies.departures,
            joins: self.tallies.joins,
            events: self.world.event_count(),
            events_per_second: 0.0,
            wall_seconds: 0.0,
            node_bytes: 0,
            frames: links.sent,
            bytes_per_node_second: links.bytes as f64 / seconds / f64::from(self.scenario.nodes),
            trace_hash: format!("{:016x}", self.world.trace_hash()),
            counters: report::counters(&self.world.counters()),
        }
    }

    fn is_measured(&self) -> bool {
        (self.measured.0..self.measured.1).contains(&self.world.time())
    }

    fn on(&mut self, happening: Happening) {
        match happening {
            Happening::Wake(token) => {
                let (wake, host, life) = Wake::parts(token);
                self.on_wake(wake, host, life);
            }
            Happening::Done { op, result, .. } => self.on_done(op, result),
            Happening::Joined(n) => {
                self.oracle.joined(*self.world.peer(n).id(), n);
                self.lookups.truth_changed(&self.oracle);
                self.tallies.joins += 1;
                if self.is_measured() {
                    self.load_begins(n);
                }
            }
            Happening::Left(n) => self.gone(n),
            Happening::Violated(n, violation) => unreachable!("no checks were asked for: n{n} {violation}"),
        }
    }

    fn on_wake(&mut self, wake: Wake, n: usize, life: u32) {
        let due = |lives: &[u32]| lives[n] & 0xff_ffff == life;
        match wake {
            Wake::Build => self.build_one(n),
            Wake::Joins | Wake::Returns => self.start(n),
            Wake::SessionEnds if due(&self.lives) => self.depart(n),
            Wake::Lookup | Wake::Put | Wake::Get if due(&self.lives) => self.ask(wake, n),
            Wake::SessionEnds | Wake::Lookup | Wake::Put | Wake::Get => {}
            Wake::PoissonJoin => self.poisson_join(),
            Wake::PoissonDeparture => self.poisson_departure(),
            Wake::Step => self.step(n),
        }
    }

    fn add_host(&mut self) -> usize {
        self.lives.push(0);
        self.world.add_host()
    }

    /// Starts host `n` while the network is built. The first founds it, also for those that start before it is a member.
    fn build_one(&mut self, n: usize) {
        let mut seeds = self.some_members(n);
        if seeds.is_empty() && n > 0 {
            seeds.push(0);
        }
        self.start_from(n, &seeds);
    }

    /// Starts a process on a host, if it is idle, with some members as seeds.
    fn start(&mut self, n: usize) {
        if !self.world.is_up(n) {
            let seeds = self.some_members(n);
            self.start_from(n, &seeds);
        }
    }

    /// Starts a process on an idle host with these seeds, and its session if there are sessions.
    fn start_from(&mut self, n: usize, seeds: &[usize]) {
        self.lives[n] += 1;
        self.world.start(n, seeds);
        if let Some(sessions) = self.sessions.filter(|_| self.is_measured()) {
            let stays = sessions.session(&mut self.streams.churn);
            self.world.wake_at(self.world.time() + stays.0, Wake::SessionEnds.token(n, self.lives[n]));
        }
    }

    fn some_members(&mut self, but: usize) -> Vec<usize> {
        let members: Vec<usize> = self.world.members().filter(|&m| m != but).collect();
        let mut seeds: Vec<usize> =
            (0..SEEDS_MAX).filter_map(|_| Some(members[self.streams.seeds.index(members.len())?])).collect();
        seeds.sort_unstable();
        seeds.dedup();
        seeds
    }

    /// A session is over: by a crash or a goodbye.
    fn depart(&mut self, n: usize) {
        if !self.world.is_up(n) {
            return;
        }
        let goodbye = self.sessions.is_some_and(|s| s.says_goodbye(&mut self.streams.churn));
        if goodbye { self.leave(n) } else { self.crash(n) }
    }

    fn crash(&mut self, n: usize) {
        self.world.crash(n);
        self.gone(n);
    }

    fn leave(&mut self, n: usize) {
        self.oracle.leaves(*self.world.peer(n).id());
        self.lookups.truth_changed(&self.oracle);
        self.world.stop(n);
    }

    fn gone(&mut self, n: usize) {
        self.tallies.departures += 1;
        self.oracle.gone(self.world.peer(n).id());
        self.lookups.forget(n);
        self.lookups.truth_changed(&self.oracle);
        self.clients.forget(n, self.world.time());
        if let Some(away) = self.sessions.and_then(|s| s.absence(&mut self.streams.churn)) {
            self.world.wake_at(self.world.time() + away.0, Wake::Returns.token(n, 0));
        }
    }

    fn poisson_join(&mut self) {
        let Some(poisson) = self.poisson else { return };
        let n = self.add_host();
        self.start(n);
        let next = poisson.next_join(&mut self.streams.churn);
        self.world.wake_at(self.world.time() + next.0, Wake::PoissonJoin.token(0, 0));
    }

    fn poisson_departure(&mut self) {
        let Some(poisson) = self.poisson else { return };
        let members: Vec<usize> = self.world.members().collect();
        // The last one stays: there would be nobody to join.
        if members.len() > 1 {
            let n = members[self.streams.churn.below(members.len() as u64) as usize];
            if poisson.says_goodbye(&mut self.streams.churn) { self.leave(n) } else { self.crash(n) }
        }
        let next = poisson.next_departure(&mut self.streams.churn);
        self.world.wake_at(self.world.time() + next.0, Wake::PoissonDeparture.token(0, 0));
    }

    /// Does what the scenario's script says.
    fn step(&mut self, i: usize) {
        let step = self.scenario.event[i].clone();
        if let Some(share) = step.crash {
            self.picked(share).into_iter().for_each(|n| self.crash(n));
        }
        if let Some(share) = step.leave {
            self.picked(share).into_iter().for_each(|n| self.leave(n));
        }
        for i in 0..step.join.unwrap_or(0) {
            let n = self.add_host();
            let after = step.over.0 / u64::from(step.join.unwrap_or(1)) * u64::from(i);
            self.world.wake_at(self.world.time() + after, Wake::Joins.token(n, 0));
        }
        if let Some(share) = step.partition {
            let sides: Vec<u8> =
                (0..self.world.host_count()).map(|_| u8::from(self.streams.churn.chance(share))).collect();
            self.world.partition(&sides);
        }
        if step.heal {
            self.world.heal_links();
        }
        if step.restart {
            let away: Vec<usize> = (0..self.world.host_count()).filter(|&n| !self.world.is_up(n)).collect();
            away.into_iter().for_each(|n| self.start(n));
        }
    }

    /// This share of the members, chosen at random, in order of their numbers.
    fn picked(&mut self, share: f64) -> Vec<usize> {
        let mut members: Vec<usize> = self.world.members().collect();
        let want = libm::round(share * members.len() as f64) as usize;
        while members.len() > want {
            members.remove(self.streams.churn.below(members.len() as u64) as usize);
        }
        members
    }

    /// A node has become a member: its clients begin.
    fn load_begins(&mut self, n: usize) {
        for wake in [Wake::Lookup, Wake::Put, Wake::Get] {
            self.ask_later(wake, n);
        }
    }

    fn ask_later(&mut self, wake: Wake, n: usize) {
        let every = match wake {
            Wake::Lookup => self.scenario.lookup_every,
            Wake::Put => self.scenario.put_every,
            _ => self.scenario.get_every,
        };
        if let Some(every) = every.filter(|e| e.0 > 0) {
            let after = Spread::Exponential(every).draw(&mut self.streams.load);
            self.world.wake_at(self.world.time() + after.0, wake.token(n, self.lives[n]));
        }
    }

    fn ask(&mut self, wake: Wake, n: usize) {
        if !self.is_measured() || !self.world.is_member(n) {
            return;
        }
        let now = self.world.time();
        match wake {
            Wake::Lookup => {
                let target = self.streams.load.id();
                // The answer may come at once, but never before `next` is called again.
                let op = self.world.submit(n, Op::Lookup { target });
                self.lookups.begin(op, n, target, now, &self.oracle);
            }
            Wake::Put => {
                let key = self.some_key();
                self.value_number += 1;
                let len = self.scenario.value_bytes as usize;
                let value = storage::value(self.value_number, len, &mut self.streams.load);
                let ttl = self.scenario.ttl;
                let op = self.world.submit(n, Op::put(key, value.clone(), ttl));
                self.clients.begin_put(op, n, Stored::plain(key, &value, ttl), now);
            }
            _ => {
                let key = self.some_key();
                let op = self.world.submit(n, storage::get(key, Reads::Quorum));
                self.clients.begin_get(op, n, key, Reads::Quorum, now);
            }
        }
        self.ask_later(wake, n);
    }

    fn some_key(&mut self) -> Id {
        let rank = self.popularity.draw(&mut self.streams.load);
        Id::of_text(&format!("key {rank}"))
    }

    fn on_done(&mut self, op: OpId, result: OpResult) {
        let now = self.world.time();
        let found = match &result {
            Ok(OpDone::Found(answer)) => Some(answer),
            _ => None,
        };
        let root = found.and_then(|answer| lookups::root_of(answer, |addr| self.world.host_at(addr)));
        if let Some(ended) = self.lookups.end(op, now, root) {
            let t = &mut self.tallies;
            t.lookups.total += 1;
            t.lookups.failed += u64::from(ended.verdict == Verdict::Failed);
            t.lookups.incorrect += u64::from(ended.verdict == Verdict::Incorrect);
            if let Some(answer) = found {
                t.hops.add(answer.hops);
                t.path.add(answer.path);
                t.timeouts.add(answer.timeouts);
                t.lookup_times.add(ended.took);
            }
        } else if let Some(ended) = self.clients.end(op, now, result) {
            self.on_storage(ended);
        }
    }

    fn on_storage(&mut self, ended: Ended) {
        let t = &mut self.tallies;
        match ended {
            Ended::Put { identity, acked, .. } => {
                t.puts.total += 1;
                t.puts.failed += u64::from(!acked);
                if let Some(attempt) = self.clients.attempts(&identity).last().filter(|_| acked) {
                    t.put_times.add(attempt.ended - attempt.asked);
                }
            }
            Ended::Removed { .. } => {}
            Ended::GetFailed(_) => {
                t.gets.total += 1;
                t.gets.failed += 1;
            }
            Ended::Got(got) => {
                t.gets.total += 1;
                t.get_times.add(got.ended - got.asked);
                let complete = got.answer.next.is_none();
                let there = |i: &_| got.answer.values.iter().any(|v| v.identity == *i);
                let mut owed = self.clients.owed(&got.key, got.asked, got.ended, Duration::ZERO);
                t.gets.missed += u64::from(complete && owed.any(|i| !there(i)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_start_at_once_found_one_network() {
        for every in [Duration::ZERO, Duration(1)] {
            let scenario = Scenario {
                nodes: 20,
                join_every: every,
                measured: Duration::from_secs(120),
                lookup_every: Some(Duration::from_secs(5)),
                ..Scenario::default()
            };
            let mut hooks = Hooks { read: &|_| Err(String::new()), progress: &mut |_, _| () };
            let report = run(&scenario, &mut hooks).unwrap();
            assert_eq!(report.members, 20, "{every:?}");
            let lookups = &report.lookups;
            assert!(lookups.total > 300, "{every:?}: {}", lookups.total);
            assert_eq!((lookups.failed, lookups.incorrect), (0, 0), "{every:?}");
        }
    }
}
