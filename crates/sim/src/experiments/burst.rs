//! Many lookups in one instant over a converged ring, before and after a part of it has died.
//!
//! ```text
//!   settle ──▶ (each node dies with probability p) ──▶ lookups from living nodes, all at once ──▶ answers, judged
//! ```
//!
//! This is how the papers measure paths: the tables are as the protocol leaves them, and nothing repairs them meanwhile
//! (periods of an hour). The nodes are the real ones, asked through their outer seam; every hop is a frame of the real codec.

use keyway_core::Duration;
use keyway_core::machine::{Op, OpDone};

use super::Measured;
use crate::draw::Spread as Latencies;
use crate::oracle::Oracle;
use crate::report::Tally;
use crate::scenario::find_overlay;
use crate::topology::Latency;
use crate::workload::lookups::{self, Lookups, Verdict};
use crate::world::{Happening, World, WorldConfig};

/// One way between any two hosts: always the same, so that no answer is late and every time-out means a dead node.
const ONE_WAY: Duration = Duration::from_millis(50);
/// How long answers are waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// The longest period of upkeep that can be set: nothing is repaired while lookups run.
pub(super) const NEVER_MS: u64 = 3_600_000;
/// Chord without upkeep. As in the paper, a node does not answer for its own arc: it asks round the ring.
pub(super) const STILL: [(&str, u64); 3] =
    [("stabilize_ms", NEVER_MS), ("fix_fingers_ms", NEVER_MS), ("use_predecessor", 0)];

/// What to ask of which ring.
#[derive(Clone, Debug)]
pub(super) struct Burst {
    /// Nodes of the converged ring.
    pub(super) nodes: usize,
    /// Length of the successor list.
    pub(super) successors: u64,
    /// Copies of a value: how much of the root's replica set a lookup asks for.
    pub(super) replicas: u8,
    /// The probability with which each node dies before the lookups.
    pub(super) dies: f64,
    /// Lookups, dealt to the living nodes in turn.
    pub(super) lookups: usize,
}

/// What came of one ring's lookups.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    /// Nodes asked up to the root's predecessor.
    pub(crate) hops: Tally,
    /// Round trips that it took: nodes asked one after another, the root among them.
    pub(crate) trips: Tally,
    /// Silent nodes among those asked, without silent ones that were named as the root.
    pub(crate) timeouts: Tally,
    /// Lookups that ended.
    pub(crate) total: u64,
    /// Those that named no root.
    pub(crate) failed: u64,
    /// Those that named a node that was not the root.
    pub(crate) incorrect: u64,
}

impl Counted {
    /// Adds another ring's.
    pub(crate) fn add(&mut self, other: &Counted) {
        self.hops.merge(&other.hops);
        self.trips.merge(&other.trips);
        self.timeouts.merge(&other.timeouts);
        self.total += other.total;
        self.failed += other.failed;
        self.incorrect += other.incorrect;
    }

    /// Lookups that did not name the true root.
    pub(crate) fn wrong(&self) -> u64 {
        self.failed + self.incorrect
    }
}

/// All rings as one.
pub(super) fn sum(rings: &[Counted]) -> Counted {
    let mut all = Counted::default();
    rings.iter().for_each(|ring| all.add(ring));
    all
}

/// A figure of all rings as one, with its spread from ring to ring.
pub(super) fn measured(rings: &[Counted], of: impl Fn(&Counted) -> f64) -> Measured {
    Measured::pooled(of(&sum(rings)), &rings.iter().map(of).collect::<Vec<_>>())
}

/// A world whose nodes stand in their converged state, and the truth about it.
pub(super) struct Settled {
    pub(super) world: World,
    pub(super) oracle: Oracle,
}

impl Burst {
    /// The converged ring of this seed.
    pub(super) fn settle(&self, seed: u64, options: &[(&str, u64)]) -> Settled {
        let mut all = vec![("successors", self.successors)];
        all.extend(options);
        Settled::new("chord", self.nodes, self.replicas, &all, seed)
    }

    /// One ring without upkeep: settles it, lets nodes die, asks, counts.
    pub(super) fn run(&self, seed: u64) -> Counted {
        let mut ring = self.settle(seed, &STILL);
        if self.dies > 0.0 {
            ring.kill(self.dies);
        }
        ring.ask(self.lookups)
    }
}

impl Settled {
    /// So many nodes of an overlay with these settings.
    pub(super) fn new(
        overlay: &str,
        nodes: usize,
        replicas: u8,
        options: &[(&str, u64)],
        seed: u64,
    ) -> Settled {
        let overlay = find_overlay(overlay).expect("it is in the registry");
        let config = WorldConfig {
            latency: Latency::Drawn(Latencies::Constant(ONE_WAY)),
            replicas,
            acks: replicas.div_ceil(2),
            options: options.iter().map(|(name, value)| ((*name).to_string(), *value)).collect(),
            ..WorldConfig::new(overlay, seed)
        };
        let mut world = World::new(config);
        let hosts: Vec<usize> = (0..nodes).map(|_| world.add_host()).collect();
        world.settle(&hosts);
        let mut oracle = Oracle::new(overlay.name);
        hosts.iter().for_each(|&n| oracle.joined(*world.peer(n).id(), n));
        Settled { world, oracle }
    }

    /// Each member dies with this probability, all in this instant.
    pub(super) fn kill(&mut self, probability: f64) {
        let mut rng = self.world.fork("deaths");
        for n in 0..self.world.host_count() {
            if rng.chance(probability) {
                self.oracle.gone(self.world.peer(n).id());
                self.world.crash(n);
            }
        }
    }

    /// Asks so many lookups now, dealt to the living in a drawn order, and waits for all answers.
    pub(super) fn ask(&mut self, count: usize) -> Counted {
        let world = &mut self.world;
        let mut rng = world.fork("asks").fork("at", world.time());
        let mut askers: Vec<usize> = world.members().collect();
        (1..askers.len()).rev().for_each(|i| askers.swap(i, rng.below(i as u64 + 1) as usize));
        let mut pending = Lookups::default();
        for &n in askers.iter().cycle().take(count) {
            let target = rng.id();
            let at = world.time();
            let op = world.submit(n, Op::Lookup { target });
            pending.begin(op, n, target, at, &self.oracle);
        }
        let (until, mut counted) = (world.time() + PATIENCE.0, Counted::default());
        while pending.pending_count() > 0 {
            let Some(happening) = world.next(until) else { break };
            let Happening::Done { op, result, .. } = happening else { continue };
            let found = match &result {
                Ok(OpDone::Found(answer)) => Some(answer),
                _ => None,
            };
            let root = found.and_then(|answer| lookups::root_of(answer, |addr| world.host_at(addr)));
            let Some(ended) = pending.end(op, world.time(), root) else { continue };
            counted.total += 1;
            counted.failed += u64::from(ended.verdict == Verdict::Failed);
            counted.incorrect += u64::from(ended.verdict == Verdict::Incorrect);
            if let Some(answer) = found {
                counted.hops.add(answer.hops);
                counted.trips.add((ended.took / (2 * ONE_WAY.0)) as u32);
                counted.timeouts.add(answer.timeouts - answer.root_timeouts);
            }
        }
        // Who was not answered at all has failed as well.
        counted.total += pending.pending_count() as u64;
        counted.failed += pending.pending_count() as u64;
        counted
    }
}
