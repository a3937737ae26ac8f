//! One world lived through: clients that put, remove and read; hosts that go, come back and stumble; the judges.
//!
//! ```text
//!   Todo::Batch ─▶ Put ×12 ─▶ Remove ×10 ─┬─ acknowledged ─▶ Read soon, Read after its end, (Again | Anew)
//!                                         └─ not ─▶ Remove once more, elsewhere
//!   Todo::Disturb ─▶ who was away long enough starts ─▶ one goes, or some restart, or one stumbles ─▶ a quiet minute
//! ```
//!
//! Clients speak to members only, and not to one that leaves. What a gateway was asked when it died is asked once more elsewhere if it was
//! a remove; else its outcome stays unknown.

use std::collections::{BTreeMap, BTreeSet};

use keyway_core::machine::{OpDone, OpId, OpResult, Reads};
use keyway_core::rng::Rng;
use keyway_core::{Duration, Id, Wall};

use super::values::{BATCH_REMOVED, Values};
use super::{FAILURES_MAX, Failure, Outcome, Plan, QUIET, SKEW, TTL_MAX, Tally};
use crate::checkers::{Terms, nothing_invented, removed, ttl};
use crate::draw::Spread;
use crate::host::{Clock, EPOCH};
use crate::links::LinkFaults;
use crate::topology::Latency;
use crate::workload::storage::{self, ClientModel, Ended, Got, wall};
use crate::world::{Happening, World, WorldConfig};

/// The longest operation, and what two clocks differ at most.
const OP_AND_SKEW: Duration = Duration::from_secs(12);
/// Between two batches while there is load, at least.
const BATCH_EVERY: Duration = Duration::from_millis(1_000);
/// The load lasts so long at least, so that in small worlds, too, hosts go away between puts and removes.
const LOAD: Duration = Duration::from_secs(400);
/// The longest time from a value's put to its removal.
const REMOVED_WITHIN: Duration = Duration::from_secs(120);
/// Tries of one remove, and of one read at the end.
const TRIES_MAX: u8 = 10;
/// Between two reads when every key is read.
const READ_EVERY: Duration = Duration::from_millis(20);
/// After every operation that was asked for has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(30);
/// All hosts that were started are members again within this time.
const BACK_WITHIN: Duration = Duration::from_secs(300);
/// Machines check their own rules after every so many calls.
const CHECK_EVERY: u32 = 1_000;
/// Of the absences, those that outlive most values.
const LONG_ABSENCES: f64 = 0.5;

/// What is to be done when the world wakes us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Todo {
    Batch,
    Put(usize),
    Remove(usize, u8),
    Again(usize),
    Anew(usize),
    Read(Id),
    /// A read that must be answered: it is tried again.
    MustRead(Id, u8),
    Disturb,
    Return(usize),
    EndLimp(usize),
}

struct Life<'p> {
    plan: &'p Plan,
    progress: &'p (dyn Fn(u64) + Sync),
    world: World,
    terms: Terms,
    clients: ClientModel,
    values: Values,
    keys: Vec<Id>,
    agenda: BTreeMap<u64, Todo>,
    next_token: u64,
    /// What is asked of a gateway and will be asked again if it fails.
    running: BTreeMap<OpId, (usize, Todo)>,
    churn: Rng,
    load: Rng,
    /// Removes not planned yet.
    to_plan: u64,
    /// Hosts that are away, each since when and until when.
    away: BTreeMap<usize, (u64, u64)>,
    /// Members stand still since then.
    changed: u64,
    /// When everything that was put and every removal is over.
    over: u64,
    tally: Tally,
    failures: Vec<Failure>,
}

/// Lives through one world with all the plan's removes.
pub(super) fn run(plan: &Plan, progress: &(dyn Fn(u64) + Sync)) -> Outcome {
    let mut life = Life::new(plan, progress);
    life.live();
    life.tally.worlds = 1;
    life.tally.removes = plan.removes;
    life.tally.events = life.world.event_count();
    life.tally.virtual_micros = life.world.time();
    life.tally.hash = life.world.trace_hash();
    Outcome { tally: life.tally, failures: life.failures }
}

impl<'p> Life<'p> {
    fn new(plan: &'p Plan, progress: &'p (dyn Fn(u64) + Sync)) -> Life<'p> {
        let config = WorldConfig {
            latency: Latency::Drawn(Spread::Uniform(Duration::from_millis(5), Duration::from_millis(60))),
            faults: LinkFaults {
                loss: 0.01,
                duplicate: 0.01,
                reorder: 0.02,
                reorder_by: Duration::from_millis(100),
                ..LinkFaults::default()
            },
            ttl_max: TTL_MAX,
            check_every: CHECK_EVERY,
            ..WorldConfig::new(plan.overlay, plan.seed)
        };
        let terms = Terms { replicas: usize::from(config.replicas), skew: SKEW, successors: 1 };
        let mut world = World::new(config);
        let mut clocks = world.fork("undead clocks");
        let hosts: Vec<usize> = (0..plan.nodes).map(|_| world.add_host()).collect();
        for &n in &hosts {
            // One in four is wrong by as much as is allowed.
            let most = SKEW.0 as i64;
            let drawn = clocks.between(0, 2 * SKEW.0) as i64 - most;
            let skew = if clocks.chance(0.25) { most * drawn.signum() } else { drawn };
            world.set_clock(n, Clock { skew, drift_ppm: 0 });
        }
        world.settle(&hosts);
        let network = world.inspect(0).map(|inside| inside.network).expect("it has just been settled");
        let (churn, load) = (world.fork("undead churn"), world.fork("undead load"));
        Life {
            values: Values::new(network, world.fork("undead values")),
            plan,
            progress,
            world,
            terms,
            clients: ClientModel::default(),
            keys: Vec::new(),
            agenda: BTreeMap::new(),
            next_token: 0,
            running: BTreeMap::new(),
            churn,
            load,
            to_plan: plan.removes,
            away: BTreeMap::new(),
            changed: 0,
            over: 0,
            tally: Tally::default(),
            failures: Vec::new(),
        }
    }

    fn live(&mut self) {
        self.later(Duration::ZERO, Todo::Batch);
        self.later(QUIET, Todo::Disturb);
        let batches = self.plan.removes.div_ceil(BATCH_REMOVED);
        self.run_for(Duration(
            self.batch_every().times(batches).0 + REMOVED_WITHIN.0 + LAST_ANSWERS.times(2).0,
        ));
        self.come_back(1);
        self.read_all();
        self.later(QUIET, Todo::Disturb);
        let rest = self.over.saturating_sub(self.world.time());
        self.run_for(Duration(rest + SKEW.times(3).0));
        self.come_back(0);
        self.read_all();
    }

    // --- time ------------------------------------------------------------------------------------------------------

    fn later(&mut self, after: Duration, todo: Todo) {
        self.next_token += 1;
        self.agenda.insert(self.next_token, todo);
        self.world.wake_at(self.world.time() + after.0, self.next_token);
    }

    fn run_for(&mut self, span: Duration) {
        let end = self.world.time() + span.0;
        while let Some(happening) = self.world.next(end) {
            self.on(happening);
        }
    }

    fn on(&mut self, happening: Happening) {
        match happening {
            Happening::Wake(token) => {
                if let Some(todo) = self.agenda.remove(&token) {
                    self.on_todo(todo);
                }
            }
            Happening::Done { host, op, result } => self.on_done(host, op, result),
            Happening::Joined(_) => self.change(Duration::ZERO),
            Happening::Left(n) => self.gone(n),
            Happening::Violated(n, violation) => self.fail("broken", format!("n{n}: {violation}")),
        }
    }

    fn on_todo(&mut self, todo: Todo) {
        match todo {
            Todo::Batch => self.batch(),
            Todo::Put(i) => self.put(i, todo),
            Todo::Again(i) => {
                self.tally.puts_again += 1;
                self.put(i, todo);
            }
            Todo::Anew(i) => {
                if let Some(i) = self.values.anew(i) {
                    self.tally.puts_anew += 1;
                    self.tally.values += 1;
                    self.put(i, Todo::Put(i));
                }
            }
            Todo::Remove(i, _) => self.remove(i, todo),
            Todo::Read(key) | Todo::MustRead(key, _) => self.read(key, todo),
            Todo::Disturb => self.disturb(),
            Todo::Return(n) => self.come(n),
            Todo::EndLimp(n) => self.world.limp(n, Duration::ZERO),
        }
    }

    /// Members, or the ways between them, are not what they were; nor will they be for so long.
    fn change(&mut self, span: Duration) {
        self.changed = self.changed.max(self.world.time() + span.0);
    }

    // --- clients ---------------------------------------------------------------------------------------------------

    fn span(rng: &mut Rng, least: Duration, most: Duration) -> Duration {
        Duration(rng.between(least.0, most.0.max(least.0)))
    }

    fn gateway(&mut self) -> Option<usize> {
        let good = |n: &usize| !self.world.is_paused(*n) && !self.away.contains_key(n);
        let all: Vec<usize> = self.world.members().filter(good).collect();
        self.load.index(all.len()).map(|i| all[i])
    }

    fn batch_every(&self) -> Duration {
        let batches = self.plan.removes.div_ceil(BATCH_REMOVED);
        BATCH_EVERY.max(Duration(LOAD.0 / batches.max(1)))
    }

    fn batch(&mut self) {
        let removed = self.to_plan.min(BATCH_REMOVED);
        self.to_plan -= removed;
        let (key, items) = self.values.batch(removed);
        self.keys.push(key);
        self.tally.values += items.len() as u64;
        for i in items {
            let at = Duration(self.load.below(2_000_000));
            let item = self.values.item(i);
            let (ttl, removed) = (item.ttl, item.asked.is_some());
            self.later(at, Todo::Put(i));
            // Around its end, when one clock says that it is over and another that it is not.
            let about = Self::span(&mut self.load, Duration::ZERO, SKEW.times(4));
            self.later(Duration(at.0 + ttl.0 + about.0 - SKEW.times(2).0), Todo::Read(key));
            if removed {
                let most = REMOVED_WITHIN.min(Duration(ttl.0 * 3 / 4));
                let after = Self::span(&mut self.load, Duration::from_secs(3), most);
                self.later(Duration(at.0 + after.0), Todo::Remove(i, 0));
            }
        }
        for most in [REMOVED_WITHIN.times(2), TTL_MAX] {
            let at = Self::span(&mut self.load, Duration::from_secs(5), most);
            self.later(at, Todo::Read(key));
        }
        if self.to_plan > 0 {
            self.later(self.batch_every(), Todo::Batch);
        }
    }

    /// Without a gateway there is nobody to ask: later.
    fn gateway_or_later(&mut self, todo: Todo) -> Option<usize> {
        let gateway = self.gateway();
        if gateway.is_none() {
            self.later(Duration::from_secs(1), todo);
        }
        gateway
    }

    fn put(&mut self, i: usize, todo: Todo) {
        let Some(host) = self.gateway_or_later(todo) else { return };
        let now = self.world.time();
        let (op, stored) = self.values.put(i, now);
        let op = self.world.submit(host, op);
        self.clients.begin_put(op, host, stored, now);
        self.reach(now + OP_AND_SKEW.0 + stored.ttl.0);
    }

    fn remove(&mut self, i: usize, todo: Todo) {
        let Some(host) = self.gateway_or_later(todo) else { return };
        let now = self.world.time();
        let Some((op, identity)) = self.values.remove(i, now) else {
            // It waits for its own put.
            return self.later(Duration::from_secs(1), todo);
        };
        let op = self.world.submit(host, op);
        self.clients.begin_remove(op, host, identity, 0, now);
        self.running.insert(op, (host, todo));
    }

    fn read(&mut self, key: Id, todo: Todo) {
        let Some(host) = self.gateway_or_later(todo) else { return };
        let now = self.world.time();
        let op = self.world.submit(host, storage::get(key, Reads::Quorum));
        self.clients.begin_get(op, host, key, Reads::Quorum, now);
        if matches!(todo, Todo::MustRead(..)) {
            self.running.insert(op, (host, todo));
        }
    }

    /// Something lives until then.
    fn reach(&mut self, at: u64) {
        self.over = self.over.max(at);
    }

    fn read_all(&mut self) {
        for _ in 0..2 {
            for at in 0..self.keys.len() {
                self.read(self.keys[at], Todo::MustRead(self.keys[at], 0));
                self.run_for(READ_EVERY);
            }
        }
        self.run_for(LAST_ANSWERS);
    }

    /// It failed, or nobody will say how it ended.
    fn once_more(&mut self, todo: Todo) {
        let after = Self::span(&mut self.load, Duration::from_millis(500), Duration::from_secs(4));
        match todo {
            Todo::Remove(i, tries) if tries < TRIES_MAX => self.later(after, Todo::Remove(i, tries + 1)),
            Todo::MustRead(key, tries) if tries < TRIES_MAX => {
                self.later(after, Todo::MustRead(key, tries + 1));
            }
            Todo::MustRead(key, _) => {
                self.fail("unreadable", format!("get {key:.8} failed {TRIES_MAX} times"));
            }
            _ => (self.progress)(1),
        }
    }

    fn on_done(&mut self, host: usize, op: OpId, result: OpResult) {
        let now = self.world.time();
        let again = self.running.remove(&op).map(|(_, todo)| todo);
        let stands = match &result {
            Ok(OpDone::Removed(receipt)) => Some(receipt.expires),
            Ok(OpDone::Put(receipt)) => Some(receipt.expires),
            _ => None,
        };
        match self.clients.end(op, now, result) {
            Some(Ended::Put { acked, .. }) => self.tally.puts_acked += u64::from(acked),
            Some(Ended::Removed { acked: true, .. }) => {
                if let (Some(Todo::Remove(i, _)), Some(stands)) = (again, stands) {
                    self.on_removed(i, stands);
                }
            }
            Some(Ended::Removed { acked: false, .. }) => {
                again.into_iter().for_each(|todo| self.once_more(todo));
            }
            Some(Ended::GetFailed(_)) => {
                self.tally.gets_failed += 1;
                again.into_iter().for_each(|todo| self.once_more(todo));
            }
            Some(Ended::Got(got)) => self.judge(&got, host),
            None => {}
        }
    }

    fn on_removed(&mut self, i: usize, stands: Wall) {
        let now = self.world.time();
        let item = self.values.item(i);
        let (key, short) = (item.key, item.is_asked_short(now));
        self.tally.removes_acked += 1;
        self.tally.removes_asked_short += u64::from(short);
        (self.progress)(1);
        let end = stands.0.saturating_sub(EPOCH.0);
        self.reach(end);
        let soon = Self::span(&mut self.load, Duration::from_millis(100), Duration::from_secs(5));
        self.later(soon, Todo::Read(key));
        let after = Self::span(&mut self.load, Duration::ZERO, Duration::from_secs(20));
        self.later(Duration(end.saturating_sub(now) + after.0), Todo::Read(key));
        let then = Self::span(&mut self.load, Duration::from_millis(500), Duration::from_secs(10));
        if self.load.chance(0.1) {
            self.later(then, Todo::Again(i));
        } else if self.load.chance(0.1) {
            self.later(then, Todo::Anew(i));
        }
    }

    // --- judges ----------------------------------------------------------------------------------------------------

    fn fail(&mut self, what: &'static str, detail: String) {
        let count = match what {
            "undead" => &mut self.tally.undead,
            "missing" => &mut self.tally.missing,
            "wrong_lives" => &mut self.tally.wrong_lives,
            "invented" => &mut self.tally.invented,
            "unreadable" => &mut self.tally.unreadable,
            _ => &mut self.tally.broken,
        };
        *count += 1;
        if self.failures.len() < FAILURES_MAX {
            let Plan { seed, removes, .. } = *self.plan;
            self.failures.push(Failure { seed, removes, at_micros: self.world.time(), what, detail });
        }
    }

    /// Whether members stood still for long enough before a get, and until now.
    fn is_settled(&self, got: &Got) -> bool {
        let coming = (0..self.world.host_count()).any(|n| self.world.is_up(n) && !self.world.is_member(n));
        got.asked >= self.changed + QUIET.0 && !coming
    }

    fn judge(&mut self, got: &Got, host: usize) {
        let settled = self.is_settled(got);
        self.tally.gets += 1;
        self.tally.values_read += got.answer.values.len() as u64;
        if let Err(complaint) = nothing_invented::judge(&self.clients, got) {
            self.fail("invented", complaint.detail);
        }
        let at = |value: Id| format!("get {:.8} at n{host}, asked {}: {value:.8}", got.key, got.asked);
        for value in &got.answer.values {
            let name = value.identity.value_hash;
            if let Some(why) = ttl::wrong(&self.clients, got, value, &self.terms) {
                self.fail("wrong_lives", format!("{} {why}", at(name)));
            }
            match removed::undead(&self.clients, got, value, &self.terms) {
                Some(why) if settled => self.fail("undead", format!("{} {why}", at(name))),
                Some(_) => self.tally.undead_unsettled += 1,
                None => {}
            }
            let late = wall(got.asked).since(value.put_time + value.ttl);
            self.tally.served_late_micros_max = self.tally.served_late_micros_max.max(late.0);
            // How far outside the time of any of its puts, the nearest one.
            let off = self.clients.attempts(&value.identity).iter().map(|a| {
                let early = wall(a.asked).since(value.put_time);
                let late = value.put_time.since(wall(a.ended.min(got.ended)));
                early.0.max(late.0)
            });
            let off = off.min().unwrap_or(0);
            self.tally.put_time_error_micros_max = self.tally.put_time_error_micros_max.max(off);
        }
        let there = |name: &_| got.answer.values.iter().any(|v| v.identity == *name);
        let owed = self.clients.owed(&got.key, got.asked, got.ended, SKEW.times(2));
        let lacking: Vec<Id> = owed.filter(|name| !there(name)).map(|name| name.value_hash).collect();
        if settled {
            self.tally.gets_settled += 1;
            self.tally.removed_looked_for += self.clients.removed(&got.key, got.asked).count() as u64;
            lacking.into_iter().for_each(|name| self.fail("missing", format!("{} is not there", at(name))));
        } else {
            self.tally.missing_unsettled += lacking.len() as u64;
        }
    }

    // --- hosts -----------------------------------------------------------------------------------------------------

    /// One in three may be away at once.
    fn away_max(&self) -> usize {
        self.plan.nodes / 3
    }

    fn disturb(&mut self) {
        let now = self.world.time();
        let due: Vec<usize> = self.away.iter().filter(|(_, away)| away.1 <= now).map(|(n, _)| *n).collect();
        due.into_iter().for_each(|n| self.come(n));
        let dice = self.churn.unit();
        if dice < 0.6 {
            self.depart();
        } else if dice < 0.8 {
            let count = self.churn.between(1, 3) as usize;
            self.restart(count);
        } else if dice < 0.85 {
            self.restart(self.plan.nodes);
        } else {
            self.stumble();
        }
        let after = Self::span(&mut self.churn, QUIET.times(2), QUIET.times(4));
        self.later(after, Todo::Disturb);
    }

    fn some_member(&mut self) -> Option<usize> {
        let all: Vec<usize> = self.world.members().filter(|n| !self.away.contains_key(n)).collect();
        self.churn.index(all.len()).map(|i| all[i])
    }

    fn depart(&mut self) {
        let Some(n) = self.some_member().filter(|_| self.away.len() < self.away_max()) else { return };
        let (least, most) = if self.churn.chance(LONG_ABSENCES) {
            (QUIET.times(8), Duration(TTL_MAX.0 + QUIET.times(4).0))
        } else {
            (QUIET, QUIET.times(8))
        };
        let absence = Self::span(&mut self.churn, least, most);
        let now = self.world.time();
        self.away.insert(n, (now, now + absence.0));
        self.tally.departures += 1;
        if self.churn.chance(0.3) {
            self.change(Duration::ZERO);
            self.world.stop(n);
        } else {
            self.crash(n);
        }
    }

    fn restart(&mut self, count: usize) {
        for _ in 0..count {
            let Some(n) = self.some_member() else { return };
            let now = self.world.time();
            self.tally.restarts += 1;
            self.away.insert(n, (now, now));
            self.crash(n);
            let after = Self::span(&mut self.churn, Duration::from_millis(200), Duration::from_secs(5));
            self.later(after, Todo::Return(n));
        }
    }

    fn stumble(&mut self) {
        let Some(n) = self.some_member() else { return };
        self.tally.stumbles += 1;
        let span = Self::span(&mut self.churn, Duration::from_secs(1), Duration::from_secs(8));
        self.change(span);
        if self.churn.chance(0.5) {
            self.world.pause(n, span);
        } else {
            let by = Self::span(&mut self.churn, Duration::from_millis(50), Duration::from_millis(1_500));
            self.world.limp(n, by);
            self.later(span, Todo::EndLimp(n));
        }
    }

    fn crash(&mut self, n: usize) {
        self.world.crash(n);
        self.gone(n);
    }

    /// Its process is over: nobody will hear what it was asked.
    fn gone(&mut self, n: usize) {
        self.change(Duration::ZERO);
        self.clients.forget(n, self.world.time());
        let ours: Vec<OpId> =
            self.running.iter().filter(|(_, (host, _))| *host == n).map(|(op, _)| *op).collect();
        for op in ours {
            if let Some((_, todo)) = self.running.remove(&op) {
                self.once_more(todo);
            }
        }
    }

    /// It starts again with its old disk, if it is away and its process over.
    fn come(&mut self, n: usize) {
        if self.world.is_up(n) {
            return;
        }
        let Some((since, _)) = self.away.remove(&n) else { return };
        let absence = self.world.time() - since;
        self.tally.absence_micros_max = self.tally.absence_micros_max.max(absence);
        let members: Vec<usize> = self.world.members().collect();
        let mut seeds = BTreeSet::new();
        for _ in 0..2 {
            seeds.insert(self.churn.below(self.plan.nodes as u64) as usize);
            seeds.extend(self.churn.index(members.len()).map(|i| members[i]));
        }
        seeds.remove(&n);
        let seeds: Vec<usize> = seeds.into_iter().collect();
        self.change(Duration::ZERO);
        self.world.start(n, &seeds);
    }

    /// All come back but so many that stay away longest; until the network is settled.
    fn come_back(&mut self, but: usize) {
        self.agenda.retain(|_, todo| *todo != Todo::Disturb);
        let mut away: Vec<(u64, usize)> = self.away.iter().map(|(n, away)| (away.0, *n)).collect();
        away.sort_unstable();
        let until = self.world.time() + BACK_WITHIN.0;
        let mut waits: BTreeSet<usize> = away.into_iter().skip(but).map(|(_, n)| n).collect();
        loop {
            for n in waits.clone() {
                self.come(n);
                waits.retain(|n| self.away.contains_key(n));
            }
            self.run_for(Duration::from_secs(1));
            let up = (0..self.plan.nodes).filter(|&n| self.world.is_up(n));
            let coming: Vec<usize> = up.filter(|&n| !self.world.is_member(n)).collect();
            if waits.is_empty() && coming.is_empty() {
                break;
            }
            if self.world.time() >= until {
                self.fail("broken", format!("hosts {coming:?} are not back after {BACK_WITHIN:?}"));
                break;
            }
        }
        self.run_for(Duration(QUIET.0 + 1_000_000));
    }
}
