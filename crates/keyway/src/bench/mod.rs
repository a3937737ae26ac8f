//! `keyway bench`: how fast puts and gets are, in a network of many nodes in this process, over real UDP on loopback.
//!
//! ```text
//!   start N nodes ── all members ──▶ one at a time: puts, then gets      ──▶ latencies, CPU, messages and bytes an op
//!                                ──▶ many at once:  puts, then gets      ──▶ operations per second
//!                    --kill P    ──▶ P % of the nodes vanish in one instant ─▶ reads and writes from all that are left
//!                    --pause P   ──▶ the same, but they only stand still for a while
//!                    --bulk N    ──▶ N values more, as many at once as in the last phase ─▶ how long a great load takes
//! ```
//!
//! Every get comes from another node than the put did, and its bytes are compared. `--interface` says what is spoken: the
//! node's own door in this process, or a wire to its gateway over loopback; several are measured one after the other in one
//! network. Beside each phase runs a bare TCP echo. Disks are memory unless `--durability` says otherwise, and then redb alone is
//! timed beside the puts. The fields of the JSON are those that the scripts print which measure other DHTs in the same way.

mod disk;
mod echo;
mod figures;
mod load;
mod network;
mod report;
mod wire;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use keyway_core::machine::Reads;
use keyway_core::machine::Style;
use keyway_core::overlay::registry;
use keyway_gateway::GatewayConfig;
use keyway_net::{Durability, NodeSettings};
use serde::Serialize;

use crate::duration::Span;
use crate::exit::{Exit, Failure};
use crate::output::{Output, plural};
use crate::serve;
use crate::session::Session;
use disk::Scratch;
use load::Load;
use network::Network;
use report::{AfterStop, Phase, Report};
use wire::Interface;

/// Most nodes in one process: each takes two descriptors (four with a gateway), and some memory.
const NODES_MAX: i64 = 256;
/// Reads, and writes, after nodes were stopped.
const AFTER_STOP_OPS: usize = 1_000;
/// Nodes that are left when others were stopped: a get asks another one than the put.
const SURVIVORS_MIN: usize = 2;
/// Operations of a phase with many at once, for each of those at once.
const OPS_PER_SLOT: usize = 60;

const EXAMPLES: &str = "\
Examples:
  keyway bench                                          64 nodes, 8 copies, one and sixteen operations at once
  keyway bench --nodes 8 --copies 3 --acks 2 --reads quorum
  keyway bench --kill 25 -o json                        a quarter of the nodes vanishes; what do clients notice?
  keyway bench --nodes 3 --copies 3 --interface native --interface http --interface xmlrpc --interface sunrpc
  keyway bench --nodes 3 --copies 3 --interface http --bulk 100000
  keyway bench --nodes 3 --copies 3 --durability fsync --concurrency 256     beside redb alone on the same disk
";

/// Operations of one request of a great load, where the wire has such.
const BULK_BATCH: usize = 100;

/// Measure puts and gets in a network in this process
#[derive(Args, Clone, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct BenchArgs {
    /// What the load speaks; repeatable, measured one after the other
    #[arg(long, value_enum, default_value = "native", value_name = "NAME", value_delimiter = ',')]
    interface: Vec<Interface>,
    /// How many nodes
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=NODES_MAX))]
    nodes: u16,
    /// Copies kept of each value
    #[arg(long, default_value_t = 8, value_name = "R")]
    copies: u8,
    /// Copies that must be stored before a put is acknowledged
    #[arg(long, default_value_t = 2, value_name = "W")]
    acks: u8,
    /// Bytes of each value
    #[arg(long, default_value_t = 1_000, value_name = "BYTES")]
    value_bytes: usize,
    /// Operations at once, one phase for each number; latencies are those of the first
    #[arg(long, default_value = "1,16", value_name = "COUNTS", value_delimiter = ',', num_args = 1..)]
    concurrency: Vec<u16>,
    /// Operations of a phase with one at a time
    #[arg(long, default_value_t = 300, value_name = "COUNT")]
    ops: usize,
    /// Afterwards so many values are put and got, as many requests at once as in the last phase; over http with 100 in each
    #[arg(long, value_name = "COUNT")]
    bulk: Option<usize>,
    /// What an acknowledged put survives: memory, os, fsync
    #[arg(long, default_value = "memory", value_name = "NAME")]
    durability: Durability,
    /// Where the data of this run lies, in a directory that is removed afterwards; nothing is written with memory
    #[arg(long, default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// Which overlay the nodes run
    #[arg(long, default_value = registry::OVERLAYS[0].name, value_name = "NAME")]
    overlay: String,
    /// An overlay's own setting; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = option)]
    option: Vec<(String, u64)>,
    /// How lookups travel: iterative, recursive, semi-recursive
    #[arg(long, default_value = "iterative", value_name = "STYLE")]
    style: Style,
    /// How many copies a get asks; over XML-RPC and Sun RPC it is always a quorum
    #[arg(long, value_enum, default_value_t = ReadsArg::First)]
    reads: ReadsArg,
    /// Afterwards so many percent of the nodes, 1 to 90 and at least one node, vanish at once, and the rest is asked
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=90))]
    kill: Option<u8>,
    /// Afterwards so many percent of the nodes, 1 to 90 and at least one node, stand still, as after SIGSTOP, and the rest is asked
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=90), conflicts_with = "kill")]
    pause: Option<u8>,
    /// How long they stand still
    #[arg(long, default_value = "30s", value_name = "SPAN")]
    pause_for: Span,
}

impl BenchArgs {
    /// How many nodes are stopped: the share that was asked for, rounded down, but one at least.
    fn victims(&self) -> usize {
        let of = |percent: u8| (usize::from(self.nodes) * usize::from(percent) / 100).max(1);
        self.kill.or(self.pause).map_or(0, of)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum ReadsArg {
    /// The first copy that is found
    First,
    /// As many as make sure that no acknowledged value is missed
    Quorum,
}

impl ReadsArg {
    /// Its name on the command line.
    const fn name(self) -> &'static str {
        match self {
            ReadsArg::First => "first",
            ReadsArg::Quorum => "quorum",
        }
    }
}

impl From<ReadsArg> for Reads {
    fn from(reads: ReadsArg) -> Reads {
        match reads {
            ReadsArg::First => Reads::First,
            ReadsArg::Quorum => Reads::Quorum,
        }
    }
}

fn option(text: &str) -> Result<(String, u64), String> {
    let (name, value) = text.split_once('=').ok_or("give NAME=VALUE")?;
    Ok((name.to_owned(), value.parse().map_err(|_| format!("{value} is not a number"))?))
}

/// `keyway bench`. Not on the common runtime: nodes that are to vanish need one of their own.
pub(crate) fn run(args: &BenchArgs, session: &Session) -> Result<Exit, Failure> {
    let output = &session.output;
    let concurrency = check(args)?;
    let victims = args.victims();
    let scratch = Scratch::new(args)?;
    let network = Network::start(args, victims, &scratch, output)?;
    let mut load = Load::new(&network, args);
    let mut phases = Vec::new();
    for interface in &args.interface {
        load.speak(*interface);
        let counts = concurrency.iter().map(|at_once| match at_once {
            1 => (1, args.ops, false),
            at_once => (*at_once, usize::from(*at_once) * OPS_PER_SLOT, false),
        });
        let bulk = args.bulk.zip(concurrency.last()).map(|(count, at_once)| (*at_once, count, true));
        for (at_once, count, bulk) in counts.chain(bulk) {
            let plan = Plan { interface: *interface, at_once, count, bulk };
            phases.push(phase(&plan, args, &network, &mut load, &scratch, output)?);
        }
    }
    load.speak(args.interface[0]);
    let mut after = None;
    if victims > 0 {
        // What is read afterwards was stored before, and all its copies are in place.
        load.puts(AFTER_STOP_OPS, 16, 1)?;
        load.wait_in_place(output)?;
        match args.kill {
            Some(_) => network.kill(),
            None => network.pause(args.pause_for.into()),
        }
        output.note(format!(
            "{victims} {} stopped; {AFTER_STOP_OPS} reads and writes at the others ...",
            plural(victims as u64, "node has", "nodes have")
        ));
        load.only_survivors();
        let (reads, writes) = load.reads_and_writes(AFTER_STOP_OPS)?;
        after = Some(AfterStop { stopped: victims, reads, writes });
    }
    if let Some(why) = load.why() {
        output.note(format!("the first operation that failed: {why}"));
    }
    let report = Report::new(args, phases, after);
    if args.durability != Durability::Memory {
        network.stop();
    }
    report.show(output)?;
    Ok(if report.bad() == 0 { Exit::Ok } else { Exit::Failure })
}

/// What a phase is to do.
struct Plan {
    interface: Interface,
    at_once: u16,
    count: usize,
    bulk: bool,
}

fn phase(
    plan: &Plan,
    args: &BenchArgs,
    network: &Network,
    load: &mut Load<'_>,
    scratch: &Scratch,
    output: &Output,
) -> Result<Phase, Failure> {
    let Plan { interface, at_once, count, bulk } = *plan;
    output.note(format!("{count} puts and gets, {at_once} at once, {} ...", interface.name()));
    let before = network.disks();
    let batch = if bulk { BULK_BATCH } else { 1 };
    let put = load.puts(count, at_once, batch)?;
    let after = network.disks();
    let get = load.gets(count, at_once, batch)?;
    let echo = echo::measure(interface.connections(), at_once, count, args.value_bytes);
    let echo = network
        .runtime
        .block_on(echo)
        .map_err(|error| Failure::new(Exit::Failure, format!("the bare echo: {error}")))?;
    let disk = match args.durability {
        Durability::Memory => None,
        _ => Some(before.beside_redb(&after, args.value_bytes, scratch)?),
    };
    let (put_of_echo, get_of_echo) = (put.per_s / echo.per_s, get.per_s / echo.per_s);
    Ok(Phase { interface, concurrency: at_once, bulk, put, get, echo, put_of_echo, get_of_echo, disk })
}

/// The numbers of operations at once, or what is impossible.
fn check(args: &BenchArgs) -> Result<Vec<u16>, Failure> {
    let usage = |text: String| Err(Failure::new(Exit::Usage, text));
    if registry::find(&args.overlay).is_none() {
        let known: Vec<&str> = registry::OVERLAYS.iter().map(|entry| entry.name).collect();
        return usage(format!("there is no overlay `{}`; there are: {}", args.overlay, known.join(", ")));
    }
    if u16::from(args.copies) > args.nodes {
        return usage(format!("{} nodes cannot keep {} copies", args.nodes, args.copies));
    }
    let value_bytes_max = NodeSettings::default().value_bytes_max as usize;
    if args.value_bytes > value_bytes_max {
        return usage(format!("nodes take values of at most {value_bytes_max} bytes"));
    }
    let (nodes, victims) = (usize::from(args.nodes), args.victims());
    if nodes < victims + SURVIVORS_MIN {
        return usage(format!(
            "{victims} of {nodes} nodes cannot be stopped: a get asks another node than the put, two must be left"
        ));
    }
    // What is left to check is what the nodes themselves say of their settings.
    serve::check(&network::settings(args, Vec::new(), 0, Path::new(".")), &GatewayConfig::default())?;
    if args.concurrency.contains(&0) || args.ops == 0 {
        return usage("at least one operation at a time, and at least one in all".to_owned());
    }
    Ok(args.concurrency.clone())
}
