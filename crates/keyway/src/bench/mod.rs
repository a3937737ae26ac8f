//! `keyway bench`: how fast puts and gets are, in a network of many nodes in this process, over real UDP on loopback.
//!
//! ```text
//!   start N nodes ── all members ──▶ one at a time: puts, then gets      ──▶ latencies, CPU, messages and bytes an op
//!                                ──▶ many at once:  puts, then gets      ──▶ operations per second
//!                    --kill P    ──▶ P % of the nodes vanish in one instant ─▶ reads and writes from all that are left
//!                    --pause P   ──▶ the same, but they only stand still for a while
//! ```
//!
//! Every get comes from another node than the put did, and its bytes are compared. Disks are memory: what is measured is
//! the network. The fields of the JSON are those that the scripts print which measure other DHTs in the same way.

mod figures;
mod load;
mod network;

use clap::{Args, ValueEnum};
use keyway_core::machine::Reads;
use keyway_core::machine::Style;
use keyway_core::overlay::registry;
use serde::Serialize;

use crate::duration::Span;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::session::Session;
use figures::{Latencies, Measured};
use load::Load;
use network::Network;

/// Most nodes in one process: each takes two descriptors, and some memory.
const NODES_MAX: i64 = 256;
/// Reads, and writes, after nodes were stopped.
const AFTER_STOP_OPS: usize = 1_000;
/// Operations of a phase with many at once, for each of those at once.
const OPS_PER_SLOT: usize = 60;

const EXAMPLES: &str = "\
Examples:
  keyway bench                                          64 nodes, 8 copies, one and sixteen operations at once
  keyway bench --nodes 8 --copies 3 --acks 2 --reads quorum
  keyway bench --kill 25 -o json                        a quarter of the nodes vanishes; what do clients notice?
";

/// Measure puts and gets in a network in this process
#[derive(Args, Clone, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct BenchArgs {
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
    /// Which overlay the nodes run
    #[arg(long, default_value = registry::OVERLAYS[0].name, value_name = "NAME")]
    overlay: String,
    /// An overlay's own setting; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = option)]
    option: Vec<(String, u64)>,
    /// How lookups travel: iterative, recursive, semi-recursive
    #[arg(long, default_value = "iterative", value_name = "STYLE")]
    style: Style,
    /// How many copies a get asks
    #[arg(long, value_enum, default_value_t = ReadsArg::First)]
    reads: ReadsArg,
    /// Afterwards so many percent of the nodes vanish at once, and the rest is asked
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=90))]
    kill: Option<u8>,
    /// Afterwards so many percent of the nodes stand still, as after SIGSTOP, and the rest is asked
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=90), conflicts_with = "kill")]
    pause: Option<u8>,
    /// How long they stand still
    #[arg(long, default_value = "30s", value_name = "SPAN")]
    pause_for: Span,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum ReadsArg {
    /// The first copy that is found
    First,
    /// As many as make sure that no acknowledged value is missed
    Quorum,
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

/// All that was measured. Names shared with the scripts for other DHTs come first.
#[derive(Serialize)]
struct Report {
    peer: &'static str,
    #[serde(rename = "keyway_version")]
    build: &'static str,
    put_ms: Latencies,
    get_ms: Latencies,
    put_per_s: f64,
    get_per_s: f64,
    cpu_ms_per_op: f64,
    wrong: usize,
    failed: usize,
    messages_per_op: f64,
    bytes_per_op: f64,
    resident_mib: f64,
    nodes: u16,
    copies: u8,
    acks: u8,
    value_bytes: usize,
    overlay: String,
    style: &'static str,
    reads: ReadsArg,
    phases: Vec<Phase>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_kill: Option<AfterStop>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_pause: Option<AfterStop>,
}

/// Puts, then gets, with so many at once.
#[derive(Serialize)]
struct Phase {
    concurrency: u16,
    put: Measured,
    get: Measured,
}

/// What clients of the others noticed when some nodes stopped.
#[derive(Serialize)]
struct AfterStop {
    stopped: usize,
    reads: Measured,
    writes: Measured,
}

/// `keyway bench`. Not on the common runtime: nodes that are to vanish need one of their own.
pub(crate) fn run(args: &BenchArgs, session: &Session) -> Result<Exit, Failure> {
    let output = &session.output;
    let concurrency = check(args)?;
    let victims = usize::from(args.nodes) * usize::from(args.kill.or(args.pause).unwrap_or(0)) / 100;
    let network = Network::start(args, victims, output)?;
    let mut load = Load::new(&network, args);
    let mut phases = Vec::new();
    for at_once in concurrency {
        let count = if at_once == 1 { args.ops } else { usize::from(at_once) * OPS_PER_SLOT };
        output.note(format!("{count} puts and gets, {at_once} at once ..."));
        let put = load.puts(count, at_once)?;
        let get = load.gets(count, at_once)?;
        phases.push(Phase { concurrency: at_once, put, get });
    }
    let mut after = None;
    if victims > 0 {
        // What is read afterwards was stored before, and all its copies are in place.
        load.puts(AFTER_STOP_OPS, 16)?;
        load.wait_in_place(output)?;
        match args.kill {
            Some(_) => network.kill(),
            None => network.pause(args.pause_for.into()),
        }
        output.note(format!(
            "{victims} nodes have stopped; {AFTER_STOP_OPS} reads and writes at the others ..."
        ));
        load.only_survivors();
        let (reads, writes) = load.reads_and_writes(AFTER_STOP_OPS)?;
        after = Some(AfterStop { stopped: victims, reads, writes });
    }
    let report = report(args, phases, after);
    show(&report, output)?;
    let bad = report.wrong + report.failed;
    Ok(if bad == 0 { Exit::Ok } else { Exit::Failure })
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
    if args.concurrency.contains(&0) || args.ops == 0 {
        return usage("at least one operation at a time, and at least one in all".to_owned());
    }
    Ok(args.concurrency.clone())
}

fn report(args: &BenchArgs, phases: Vec<Phase>, after: Option<AfterStop>) -> Report {
    let (first, last) = (&phases[0], &phases[phases.len() - 1]);
    let all = || phases.iter().flat_map(|phase| [&phase.put, &phase.get]);
    let (after_kill, after_pause) = if args.kill.is_some() { (after, None) } else { (None, after) };
    let stopped = after_kill.as_ref().or(after_pause.as_ref());
    let later_wrong: usize = stopped.map_or(0, |a| a.reads.wrong + a.writes.wrong);
    let later_failed: usize = stopped.map_or(0, |a| a.reads.failed + a.writes.failed);
    Report {
        peer: "keyway",
        build: env!("CARGO_PKG_VERSION"),
        put_ms: first.put.ms,
        get_ms: first.get.ms,
        put_per_s: last.put.per_s,
        get_per_s: last.get.per_s,
        cpu_ms_per_op: (first.put.cpu_ms_per_op + first.get.cpu_ms_per_op) / 2.0,
        wrong: all().map(|m| m.wrong).sum::<usize>() + later_wrong,
        failed: all().map(|m| m.failed).sum::<usize>() + later_failed,
        messages_per_op: (first.put.messages_per_op + first.get.messages_per_op) / 2.0,
        bytes_per_op: (first.put.bytes_per_op + first.get.bytes_per_op) / 2.0,
        resident_mib: figures::resident_mib(),
        nodes: args.nodes,
        copies: args.copies,
        acks: args.acks,
        value_bytes: args.value_bytes,
        overlay: args.overlay.clone(),
        style: args.style.name(),
        reads: args.reads,
        phases,
        after_kill,
        after_pause,
    }
}

fn show(report: &Report, output: &Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(report);
    }
    let row = |name: String, m: &Measured| {
        let ms = |x: f64| format!("{x:.3}");
        vec![
            name,
            m.count.to_string(),
            ms(m.ms.p50),
            ms(m.ms.p90),
            ms(m.ms.p99),
            ms(m.ms.max),
            format!("{:.0}", m.per_s),
            format!("{:.3}", m.cpu_ms_per_op),
            format!("{:.1}", m.messages_per_op),
            format!("{:.0}", m.bytes_per_op),
            (m.wrong + m.failed).to_string(),
        ]
    };
    let mut rows = Vec::new();
    for phase in &report.phases {
        rows.push(row(format!("put, {} at once", phase.concurrency), &phase.put));
        rows.push(row(format!("get, {} at once", phase.concurrency), &phase.get));
    }
    for after in report.after_kill.iter().chain(&report.after_pause) {
        rows.push(row(format!("get, {} nodes stopped", after.stopped), &after.reads));
        rows.push(row(format!("put, {} nodes stopped", after.stopped), &after.writes));
    }
    let header =
        ["phase", "ops", "p50 ms", "p90", "p99", "max", "ops/s", "cpu ms/op", "msgs/op", "bytes/op", "bad"];
    output.table(&header, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], rows)?;
    output.note(format!(
        "{} nodes over {}, {} copies, {} acknowledged, {} B values, reads {:?}; {:.0} MiB resident",
        report.nodes,
        report.overlay,
        report.copies,
        report.acks,
        report.value_bytes,
        report.reads,
        report.resident_mib
    ));
    Ok(())
}
