//! Worlds drawn by seed (swarm testing): each has a random subset of fault kinds, and random values for everything else.
//!
//! All faults always would mask bugs: a network that is always cut never shows what pauses alone do. So each seed switches
//! each kind on or off, one seed in four has no fault at all that disturbs membership, and a replay prints what was drawn.
//!
//! ```text
//!   build ── joins, or settled ──▶ chaos: puts and gets under faults (safety)
//!         ──▶ heal: links whole, disks sound, everyone back ──▶ within LIVENESS everything converges (liveness)
//!         ──▶ every lookup right, every acknowledged value read, nothing undead
//! ```
//!
//! Faults stay within the promise (`faults.rs` says how); beyond it nothing could be demanded.

mod faults;
mod phases;
mod snapshots;
pub(crate) mod values;

use std::collections::BTreeSet;
use std::fmt;

use keyway_core::Duration;
use keyway_core::machine::Style;
use keyway_core::overlay::registry::{Entry, OVERLAYS};
use keyway_core::rng::Rng;

use crate::checkers::Complaint;
use crate::disk::DiskModel;
use crate::draw::Spread;
use crate::links::LinkFaults;
use crate::span;
use crate::topology::Latency;
use crate::trace::Sink;
use crate::world::World;

pub use faults::Kind;
pub use values::Mix;

/// What was drawn for a seed.
#[derive(Clone)]
pub struct Params {
    /// The seed.
    pub seed: u64,
    /// The overlay.
    pub overlay: &'static Entry,
    /// Hosts at the start.
    pub nodes: usize,
    /// Copies kept of each value (R).
    pub replicas: u8,
    /// Acknowledgements that a put waits for (W).
    pub acks: u8,
    /// How the lookups of clients travel.
    pub style: Style,
    /// The overlay's own settings.
    pub options: Vec<(String, u64)>,
    /// Length of successor lists, where the overlay keeps such lists.
    pub successors: usize,
    /// Begin as one converged network instead of by joins.
    pub settled: bool,
    /// How long frames travel.
    pub latency: Latency,
    /// What links do while there is chaos.
    pub links: LinkFaults,
    /// How disks behave when they are well.
    pub disk: DiskModel,
    /// Fault kinds that are switched on.
    pub kinds: BTreeSet<Kind>,
    /// Mean time between two faults.
    pub fault_every: Duration,
    /// How long the chaos lasts.
    pub chaos: Duration,
    /// Mean time between two operations of all clients together.
    pub op_every: Duration,
    /// The share of puts among operations.
    pub put_share: f64,
    /// How many keys there are.
    pub keys: usize,
    /// Their popularity: Zipf's exponent.
    pub zipf: f64,
    /// Smallest and largest value.
    pub value_bytes: (u64, u64),
    /// The share of values that live for seconds instead of hours.
    pub short_lives: f64,
    /// Which kinds of values, and what is removed.
    pub mix: Mix,
    /// Restores of records of snapshots, for each operation.
    pub restores: f64,
    /// What each host keeps at most, if that is bounded: then clients wait for room, and are refused.
    pub store_bytes_max: Option<u64>,
}

/// Wall clocks differ from the truth by at most this much: two of them by less than the declared 2 s.
pub const SKEW: Duration = Duration::from_millis(800);
/// A bounded disk. With lives of up to a day and [`BOUNDED_TTL_MAX`] what is reserved for puts to come lets few long lives in at
/// once: clients wait, and the disks stay far from full, so that a copy that is repaired always finds room.
const BOUNDED_BYTES: u64 = 16 << 20;
/// The greatest life where disks are bounded.
const BOUNDED_TTL_MAX: Duration = Duration::from_secs(24 * 3600 + 60);
/// Clocks gain or lose at most this much.
const DRIFT_PPM_MAX: i64 = 200;

impl Params {
    /// Draws everything for a seed; the overlay too unless one is given.
    #[must_use]
    pub fn draw(seed: u64, overlay: Option<&'static Entry>) -> Params {
        let rng = Rng::from_u64(seed);
        let mut world = rng.fork("swarm", 0);
        let mut load = rng.fork("swarm load", 0);
        // Drawn from a stream of its own, so that a replay that names it draws the same world.
        let entry = overlay.unwrap_or_else(|| one_of(&mut rng.fork("swarm overlay", 0), OVERLAYS));
        let (replicas, acks) =
            *one_of(&mut world, &[(3, 2), (3, 2), (3, 2), (3, 2), (5, 3), (3, 3), (2, 2), (4, 3)]);
        // Small networks show most bugs, and cost least.
        let nodes = if world.chance(0.6) { world.between(3, 9) } else { world.between(10, 30) } as usize;
        let kinds = Kind::draw(&mut rng.fork("swarm kinds", 0));
        let (options, successors) = draw_options(&mut world, &mut rng.fork("swarm options", 0), entry);
        Params {
            seed,
            overlay: entry,
            nodes: nodes.max(usize::from(replicas)),
            replicas,
            acks,
            style: *one_of(
                &mut rng.fork("swarm style", 0),
                &[Style::Iterative, Style::Iterative, Style::Recursive, Style::SemiRecursive],
            ),
            options,
            successors,
            settled: world.chance(0.5),
            latency: draw_latency(&mut world),
            links: draw_links(&mut rng.fork("swarm links", 0), &kinds),
            disk: draw_disk(&mut world, &kinds),
            fault_every: Duration::from_millis(world.between(1_000, 20_000)),
            chaos: Duration::from_secs(world.between(20, 180)),
            op_every: Duration::from_millis(load.between(50, 1_000)),
            put_share: 0.2 + 0.6 * load.unit(),
            keys: load.between(1, 60) as usize,
            zipf: if load.chance(0.5) { 0.0 } else { 0.9 },
            value_bytes: *one_of(
                &mut load,
                &[(8, 100), (8, 100), (8, 1_500), (900, 1_400), (8, 20_000), (8, 65_536)],
            ),
            short_lives: *one_of(&mut load, &[0.0, 0.0, 0.3, 1.0]),
            mix: Mix::draw(&mut rng.fork("swarm values", 0)),
            restores: snapshots::draw(&mut rng.fork("swarm snapshots", 0)),
            store_bytes_max: rng.fork("swarm room", 0).chance(0.2).then_some(BOUNDED_BYTES),
            kinds,
        }
        .with_bearable_load()
        .without_idle_restores()
    }

    /// Where nothing is removed, and nothing followed up, putting back proves little.
    fn without_idle_restores(mut self) -> Params {
        if self.mix.removes == 0.0 {
            self.restores = 0.0;
        }
        self
    }

    /// Large values cost the judges most, and slow disks need minutes to copy them: fewer of them, spread over more keys.
    fn with_bearable_load(mut self) -> Params {
        if self.value_bytes.1 > 1_500 {
            self.keys = 20 + self.keys / 2;
            self.zipf = 0.0;
            self.op_every = Duration(self.op_every.0.max(500_000));
            self.put_share = self.put_share.min(0.4);
        }
        self
    }

    /// Whether nothing disturbs membership: then more is promised.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.kinds.iter().all(|k| k.is_calm())
    }
}

fn one_of<'a, T>(rng: &mut Rng, all: &'a [T]) -> &'a T {
    &all[rng.below(all.len() as u64) as usize]
}

/// Settings that an overlay may have; tried on it. Those that came later have a stream of their own (`more`), so that the worlds
/// of overlays without them stay as they were.
fn draw_options(rng: &mut Rng, more: &mut Rng, entry: &'static Entry) -> (Vec<(String, u64)>, usize) {
    let mut options: Vec<(String, u64)> = Vec::new();
    let mut draw = |rng: &mut Rng, name: &str, from: &[u64]| {
        let value = *one_of(rng, from);
        options.push((name.into(), value));
        let config = crate::world::WorldConfig {
            options: options.clone(),
            ..crate::world::WorldConfig::new(entry, 0)
        };
        let taken = config.check_options().is_ok();
        if !taken {
            options.pop();
        }
        taken.then_some(value)
    };
    let successors = draw(rng, "successors", &[6, 8, 16, 16]).unwrap_or(1) as usize;
    draw(rng, "stabilize_ms", &[1_000, 2_000, 5_000, 10_000]);
    draw(more, "k", &[16, 20, 20]);
    draw(more, "neighbors", &[5, 8, 8]);
    draw(more, "alpha", &[1, 3, 3]);
    draw(more, "nearest_heard", &[0, 1, 3]);
    draw(more, "round_ms", &[1_000, 2_000, 5_000, 10_000]);
    draw(more, "refresh_ms", &[2_000, 10_000, 30_000]);
    (options, successors)
}

fn draw_latency(rng: &mut Rng) -> Latency {
    let mean = Duration::from_millis(*one_of(rng, &[1, 5, 20, 50, 100]));
    match rng.below(4) {
        0 => Latency::Drawn(Spread::Constant(mean)),
        1 => Latency::Drawn(Spread::Uniform(Duration(mean.0 / 2), mean.times(2))),
        2 => Latency::Drawn(Spread::Exponential(mean)),
        _ => Latency::Plane(mean.times(2)),
    }
}

fn draw_links(rng: &mut Rng, kinds: &BTreeSet<Kind>) -> LinkFaults {
    let mut up_to = |kind: Kind, max: f64| if kinds.contains(&kind) { max * rng.unit() } else { 0.0 };
    LinkFaults {
        loss: up_to(Kind::Loss, 0.2),
        duplicate: up_to(Kind::Duplicate, 0.3),
        reorder: up_to(Kind::Reorder, 0.3),
        corrupt: up_to(Kind::Corrupt, 0.02),
        reorder_by: Duration::from_millis(rng.between(1, 300)),
        bandwidth: 0,
    }
}

fn draw_disk(rng: &mut Rng, kinds: &BTreeSet<Kind>) -> DiskModel {
    let slow = kinds.contains(&Kind::DiskSlow);
    let sync = Duration::from_millis(if slow { rng.between(20, 500) } else { rng.between(1, 10) });
    DiskModel {
        read: Spread::Exponential(Duration(sync.0 / 4)),
        sync: Spread::Exponential(sync),
        ..DiskModel::default()
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} {}", self.seed, self.overlay.name)?;
        for (name, value) in &self.options {
            write!(f, " {name}={value}")?;
        }
        let how = if self.settled { "settled" } else { "joined" };
        write!(f, ", {} nodes {how}, R {} W {}", self.nodes, self.replicas, self.acks)?;
        if self.style != Style::Iterative {
            write!(f, ", {} lookups", self.style.name())?;
        }
        write!(f, ", latency {}, sync {}", self.latency, self.disk.sync)?;
        write!(
            f,
            ", chaos {} op/{} put {:.2}",
            span::show(self.chaos),
            span::show(self.op_every),
            self.put_share
        )?;
        write!(
            f,
            ", {} keys zipf {}, {}-{} B",
            self.keys, self.zipf, self.value_bytes.0, self.value_bytes.1
        )?;
        write!(f, ", short lives {}", self.short_lives)?;
        if let Some(bytes) = self.store_bytes_max {
            write!(f, ", disks of {bytes} B")?;
        }
        let m = &self.mix;
        for (name, share) in [
            ("guarded", m.guarded),
            ("immutable", m.immutable),
            ("signed", m.signed),
            ("series", m.series),
            ("removes", m.removes),
            ("replays", m.replays),
            ("restores", self.restores),
        ] {
            if share > 0.0 {
                write!(f, ", {name} {share}")?;
            }
        }
        let l = &self.links;
        for (name, p) in
            [("loss", l.loss), ("dup", l.duplicate), ("reorder", l.reorder), ("corrupt", l.corrupt)]
        {
            if p > 0.0 {
                write!(f, ", {name} {p:.3}")?;
            }
        }
        if l.reorder > 0.0 {
            write!(f, " by {}", span::show(l.reorder_by))?;
        }
        write!(f, "; faults/{}:", span::show(self.fault_every))?;
        let disturbing = self.kinds.iter().filter(|k| !k.is_of_links());
        let mut any = false;
        for kind in disturbing {
            write!(f, " {kind:?}")?;
            any = true;
        }
        if any { Ok(()) } else { f.write_str(" none") }
    }
}

/// What happened in a world that passed, or until it failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Inputs given to machines.
    pub events: u64,
    /// Virtual microseconds.
    pub micros: u64,
    /// Puts acknowledged.
    pub puts_acked: u64,
    /// Puts not acknowledged.
    pub puts_unknown: u64,
    /// Removes acknowledged.
    pub removes_acked: u64,
    /// Gets answered.
    pub gets: u64,
    /// Gets not answered.
    pub gets_failed: u64,
    /// Lookups judged.
    pub lookups: u64,
    /// Faults injected, other than by links.
    pub faults: u64,
    /// Virtual microseconds from the heal until everything had converged.
    pub healed_in: u64,
    /// The trace hash.
    pub hash: u64,
}

/// How a seed ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Counts.
    pub tally: Tally,
    /// What was broken, and when, in virtual microseconds.
    pub failure: Option<(Complaint, u64)>,
}

/// Runs the world of these parameters. `sink` hears every event; the world stops at `until`, if given, without judgement.
#[must_use]
pub fn run(params: &Params, sink: Option<Sink>, until: Option<u64>) -> Outcome {
    run_and_look(params, sink, until, &mut |_| ())
}

/// The same, and `look` sees the world as it stands at the end.
#[must_use]
pub fn run_and_look(
    params: &Params,
    sink: Option<Sink>,
    until: Option<u64>,
    look: &mut dyn FnMut(&World),
) -> Outcome {
    phases::run(params, sink, until, look)
}
