//! `keyway sim run`: one world, measured.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use keyway_sim::report::{Report, Summary};
use keyway_sim::run::{Hooks, run as run_scenario};
use keyway_sim::scenario::Scenario;
use keyway_sim::span;

use super::usage;
use crate::exit::{Exit, Failure};
use crate::output::{Output, plural, thousands};

const EXAMPLES: &str = "\
Examples:
  keyway sim run --nodes 100 --latency plane:100ms --lookup-every 10s --for 10m
  keyway sim run --nodes 1024 --settled --lifetime exp:1h --downtime exp:1h --lookup-every 10m --for 2h -o json
  keyway sim run scenario.toml --seed 7 --set stabilize_ms=5000
";

/// Run one world and measure it
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(super) struct RunArgs {
    /// A TOML scenario; flags override it
    scenario: Option<PathBuf>,
    /// Print the scenario as TOML, or with `-o json` as JSON, instead of running it
    #[arg(long)]
    show: bool,
    /// End when the standard input does: whoever started this process is gone
    #[arg(long, hide = true)]
    end_with_input: bool,

    /// Which overlay the nodes run [default: the first of `keyway sim list`]
    #[arg(long, value_name = "NAME")]
    overlay: Option<String>,
    /// Hosts at the start [default: 100]
    #[arg(long, value_name = "COUNT")]
    nodes: Option<u32>,
    /// Everything drawn comes from it [default: 1]
    #[arg(long)]
    seed: Option<u64>,
    /// Begin as one converged network instead of by joins
    #[arg(long)]
    settled: bool,
    /// Time between joins while the network is built, 0s for all at once [default: 100ms]
    #[arg(long, value_name = "SPAN", value_parser = span)]
    join_every: Option<Span>,
    /// Virtual time before it, with churn and load, in which nothing is counted [default: 0s]
    #[arg(long, value_name = "SPAN", value_parser = span)]
    warm_up: Option<Span>,
    /// Measured virtual time [default: 10m]
    #[arg(long = "for", value_name = "SPAN", value_parser = span)]
    measured: Option<Span>,
    /// A setting of the overlay; repeat it
    #[arg(long, value_name = "NAME=NUMBER", value_parser = setting)]
    set: Vec<(String, u64)>,

    /// Latency model, see `keyway sim list` [default: exp:50ms]
    #[arg(long, value_name = "MODEL", help_heading = "Links")]
    latency: Option<String>,
    /// Probability that a datagram is lost [default: 0]
    #[arg(long, value_name = "P", help_heading = "Links")]
    loss: Option<f64>,
    /// Probability that a datagram comes twice [default: 0]
    #[arg(long, value_name = "P", help_heading = "Links")]
    duplicate: Option<f64>,
    /// Probability that a datagram is held back [default: 0]
    #[arg(long, value_name = "P", help_heading = "Links")]
    reorder: Option<f64>,
    /// The longest that it is held back [default: 100ms]
    #[arg(long, value_name = "SPAN", value_parser = span, help_heading = "Links")]
    reorder_by: Option<Span>,
    /// Probability that one bit of a datagram is flipped [default: 0]
    #[arg(long, value_name = "P", help_heading = "Links")]
    corrupt: Option<f64>,
    /// Bytes a second that a host can send, 0 for no bound [default: 0]
    #[arg(long, value_name = "BYTES", help_heading = "Links")]
    bandwidth: Option<u64>,

    /// How long hosts stay: a distribution such as exp:1h [default: for ever]
    #[arg(long, value_name = "DIST", help_heading = "Churn")]
    lifetime: Option<String>,
    /// How long they stay away [default: for ever]
    #[arg(long, value_name = "DIST", help_heading = "Churn")]
    downtime: Option<String>,
    /// The fraction of departures that say goodbye [default: 0]
    #[arg(long, value_name = "P", help_heading = "Churn")]
    graceful: Option<f64>,
    /// Mean time between joins of new hosts (Poisson); needs --depart-rate
    #[arg(long, value_name = "SPAN", value_parser = span, help_heading = "Churn")]
    join_rate: Option<Span>,
    /// Mean time between departures of members (Poisson); needs --join-rate
    #[arg(long, value_name = "SPAN", value_parser = span, help_heading = "Churn")]
    depart_rate: Option<Span>,

    /// Mean time between a node's lookups, 0s for none [default: 1m]
    #[arg(long, value_name = "SPAN", value_parser = span, help_heading = "Load")]
    lookup_every: Option<Span>,
    /// Mean time between a node's puts [default: none]
    #[arg(long, value_name = "SPAN", value_parser = span, help_heading = "Load")]
    put_every: Option<Span>,
    /// Mean time between a node's gets [default: none]
    #[arg(long, value_name = "SPAN", value_parser = span, help_heading = "Load")]
    get_every: Option<Span>,
    /// How many keys there are [default: 1000]
    #[arg(long, value_name = "COUNT", help_heading = "Load")]
    keys: Option<u32>,
    /// Their popularity: exponent of Zipf's law, 0 for uniform [default: 0]
    #[arg(long, value_name = "ALPHA", help_heading = "Load")]
    zipf: Option<f64>,
    /// Bytes of a value [default: 100]
    #[arg(long, value_name = "BYTES", help_heading = "Load")]
    value_bytes: Option<u32>,
    /// The life of a value [default: 1h]
    #[arg(long, value_name = "SPAN", value_parser = span, help_heading = "Load")]
    ttl: Option<Span>,
    /// How long a disk takes to sync: a distribution [default: constant:1ms]
    #[arg(long, value_name = "DIST", help_heading = "Load")]
    sync: Option<String>,
    /// Copies kept of each value [default: 3]
    #[arg(long, value_name = "COUNT", help_heading = "Load")]
    replicas: Option<u8>,
    /// Acknowledgements that a put waits for [default: 2]
    #[arg(long, value_name = "COUNT", help_heading = "Load")]
    acks: Option<u8>,
    /// How lookups travel: iterative, recursive, semi-recursive [default: iterative]
    #[arg(long, value_name = "STYLE", help_heading = "Load")]
    style: Option<String>,
}

type Span = keyway_core::Duration;

fn span(text: &str) -> Result<Span, String> {
    span::parse(text)
}

fn setting(text: &str) -> Result<(String, u64), String> {
    let (name, number) = text.split_once('=').ok_or("write it like stabilize_ms=5000")?;
    Ok((name.into(), number.parse().map_err(|_| format!("`{number}` is no whole number"))?))
}

impl RunArgs {
    /// The file's scenario, or the default one, with the flags over it.
    fn scenario(self) -> Result<Scenario, Failure> {
        let mut s = match &self.scenario {
            None => Scenario::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|e| usage(format!("cannot read {}: {e}", path.display())))?;
                Scenario::from_toml(&text).map_err(|e| usage(format!("{}: {e}", path.display())))?
            }
        };
        macro_rules! over {
            ($($field:ident)*) => { $(if let Some(value) = self.$field { s.$field = value; })* };
        }
        over!(overlay nodes seed join_every warm_up measured latency loss duplicate reorder reorder_by corrupt bandwidth
              graceful keys zipf value_bytes ttl sync replicas acks style);
        macro_rules! over_option {
            ($($field:ident)*) => { $(if self.$field.is_some() { s.$field = self.$field; })* };
        }
        over_option!(lifetime downtime join_rate depart_rate lookup_every put_every get_every);
        s.settled |= self.settled;
        s.options.extend(self.set);
        Ok(s)
    }
}

/// `keyway sim run`.
pub(super) fn run(args: RunArgs, output: &Output) -> Result<Exit, Failure> {
    let (show, with_input) = (args.show, args.end_with_input);
    let scenario = args.scenario()?;
    let read = |name: &str| std::fs::read_to_string(name).map_err(|e| e.to_string());
    if show {
        scenario.plan(&read).map_err(usage)?;
        if output.is_json() {
            output.json(&scenario)?;
        } else {
            output.line(scenario.to_toml())?;
        }
        return Ok(Exit::Ok);
    }
    if with_input {
        end_with_input();
    }
    let bar = Bar::new(output);
    let before = resident_bytes();
    let began = Instant::now();
    let mut peak = 0;
    let mut progress = |done: u64, total: u64| {
        peak = peak.max(resident_bytes().unwrap_or(0));
        bar.show(done, total, began.elapsed());
    };
    let report =
        run_scenario(&scenario, &mut Hooks { read: &read, progress: &mut progress }).map_err(usage)?;
    let wall = began.elapsed().as_secs_f64();
    bar.clear();
    let grown = before.map(|before| peak.saturating_sub(before));
    let report = report.with_cost(wall, grown);
    if output.is_json() {
        output.json(&report)?
    } else {
        table(&report, output)?
    }
    Ok(Exit::Ok)
}

/// Ends this process as soon as its standard input ends, which the kernel closes with the process that holds the other end,
/// however that one ended.
fn end_with_input() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(Exit::Interrupted.code().into());
    });
}

/// Resident memory of this process, where the system tells it.
fn resident_bytes() -> Option<u64> {
    /// The kernel counts in pages; all systems that have this file use pages of 4 KiB or tell so in `auxv`, and ours do.
    const PAGE_BYTES: u64 = 4096;
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    pages.split_ascii_whitespace().nth(1)?.parse::<u64>().ok().map(|pages| pages * PAGE_BYTES)
}

/// A bar on a terminal for runs of more than a second.
struct Bar(Option<ProgressBar>);

impl Bar {
    fn new(output: &Output) -> Bar {
        let wanted = output.err_is_terminal && !output.is_quiet();
        Bar(wanted.then(|| {
            let style = ProgressStyle::with_template("{wide_bar} {percent:>3}%  {msg}")
                .expect("a constant that is well formed");
            let bar = ProgressBar::with_draw_target(Some(1_000), ProgressDrawTarget::hidden());
            bar.set_style(style);
            bar
        }))
    }

    fn show(&self, done: u64, total: u64, elapsed: Duration) {
        let Some(bar) = self.0.as_ref().filter(|_| elapsed > Duration::from_secs(1)) else { return };
        if bar.is_hidden() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        bar.set_position(done.saturating_mul(1_000) / total.max(1));
        let left = elapsed.as_secs_f64() * (total - done.min(total)) as f64 / done.max(1) as f64;
        bar.set_message(format!(
            "{} of virtual time, {left:.0} s left",
            span::show(keyway_core::Duration(done))
        ));
    }

    fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn table(r: &Report, output: &Output) -> Result<(), Failure> {
    let line = |name: &str, text: String| output.line(format!("{name:<12} {text}"));
    let share = |part: u64, all: u64| if all == 0 { 0.0 } else { 100.0 * part as f64 / all as f64 };
    let spread = |s: &Summary, unit: &str| {
        format!(
            "mean {:.2}{unit}, 1 % {:.1}{unit}, median {:.1}{unit}, 99 % {:.1}{unit}",
            s.mean, s.p1, s.p50, s.p99
        )
    };
    let virtual_time = span::show(keyway_core::Duration((r.virtual_seconds * 1e6) as u64));
    line(
        "world",
        format!(
            "{} {} of {}, seed {}, {virtual_time}",
            thousands(r.nodes.into()),
            plural(r.nodes.into(), "node", "nodes"),
            r.overlay,
            r.seed
        ),
    )?;
    line("members", format!("{} at the end, {} joins, {} departures", r.members, r.joins, r.departures))?;
    line(
        "lookups",
        format!(
            "{}, failed {} ({:.3} %), incorrect {} ({:.3} %)",
            thousands(r.lookups.total),
            r.lookups.failed,
            share(r.lookups.failed, r.lookups.total),
            r.lookups.incorrect,
            share(r.lookups.incorrect, r.lookups.total)
        ),
    )?;
    if r.lookups.total > 0 {
        line("  hops", spread(&r.hops, ""))?;
        line("  timeouts", spread(&r.timeouts, ""))?;
        line("  latency", spread(&r.lookups.latency_ms, " ms"))?;
    }
    for (name, s) in [("puts", &r.puts), ("gets", &r.gets)] {
        if s.total > 0 {
            let missed = if name == "gets" { format!(", missed {}", s.missed) } else { String::new() };
            line(
                name,
                format!(
                    "{}, failed {} ({:.3} %){missed}",
                    thousands(s.total),
                    s.failed,
                    share(s.failed, s.total)
                ),
            )?;
            line("  latency", spread(&s.latency_ms, " ms"))?;
        }
    }
    line(
        "upkeep",
        format!("{:.0} bytes per node and second, {} frames", r.bytes_per_node_second, thousands(r.frames)),
    )?;
    line(
        "cost",
        format!(
            "{} events in {:.2} s, {} events/s, {} bytes per node",
            thousands(r.events),
            r.wall_seconds,
            thousands(r.events_per_second as u64),
            thousands(r.node_bytes)
        ),
    )?;
    line("trace hash", r.trace_hash.clone())
}
