//! `keyway sim scale`: what an event and a node cost, over the number of nodes.
//!
//! Each world runs in a process of its own (`keyway sim run`), so that its memory is its own; it ends when this one does. Absolute times say more about the
//! machine than about the code; beside them stand the ratio to the smallest world of the same run, and the share of the
//! design's bound.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::Args;
use keyway_sim::experiments::{Plot, Point, Series};
use keyway_sim::scenario::find_overlay;
use keyway_sim::span;
use serde::Serialize;
use serde_json::{Value, json};

use super::{figure, usage};
use crate::exit::{Exit, Failure};
use crate::output::{Output, plural, thousands};

const EXAMPLES: &str = "\
Examples:
  keyway sim scale                                             # 1,000, 10,000 and 100,000 nodes of the default overlay
  keyway sim scale --overlay chord --overlay kademlia --out figures
  keyway sim scale --nodes 1000,3000 --for 10m -o json

Each node looks up one key on average. The exit code is 1 if nodes of a world of 100,000 or more are larger than the design allows.
";

/// A node alive with all its tables, in a world of [`BOUND_FROM`] nodes or more (DESIGN section 5).
const NODE_BYTES_MAX: f64 = 12.0 * 1024.0;
const BOUND_FROM: u32 = 100_000;

/// What an event and a node cost, over the number of nodes
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(super) struct ScaleArgs {
    /// Which overlay the nodes run; repeat it [default: the first of `keyway sim list`]
    #[arg(long, value_name = "NAME")]
    overlay: Vec<String>,
    /// Nodes of the worlds
    #[arg(long, value_name = "COUNT,..", value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000],
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    nodes: Vec<u32>,
    /// Virtual time of each world, in which each node looks up one key on average
    #[arg(long = "for", value_name = "SPAN", default_value = "1m", value_parser = span::parse)]
    measured: keyway_core::Duration,
    /// The worlds' seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Draw the curves into this directory, as SVG and PNG
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// One world's cost.
#[derive(Serialize)]
struct Cost {
    overlay: String,
    nodes: u32,
    events: f64,
    lookups: f64,
    wrong: f64,
    wall_seconds: f64,
    event_micros: f64,
    node_bytes: f64,
}

/// `keyway sim scale`.
pub(super) fn run(args: &ScaleArgs, output: &Output) -> Result<Exit, Failure> {
    let default = [String::new()];
    let overlays = if args.overlay.is_empty() { &default[..] } else { &args.overlay };
    let names: Vec<&str> =
        overlays.iter().map(|o| find_overlay(o).map(|e| e.name)).collect::<Result<_, _>>().map_err(usage)?;
    figure::prepare(args.out.as_deref())?;
    let mut costs = Vec::new();
    for name in names {
        for &nodes in &args.nodes {
            let word = plural(nodes.into(), "node", "nodes");
            output.note(format!("{name}, {} {word} ...", thousands(nodes.into())));
            costs.push(measure(name, nodes, args)?);
        }
    }
    let files = figure::save(&plots(&costs), args.out.as_deref())?;
    let fits = costs.iter().all(|c| c.nodes < BOUND_FROM || c.node_bytes <= NODE_BYTES_MAX);
    if output.is_json() {
        output.json(
            &json!({"worlds": costs, "node_bytes_max": NODE_BYTES_MAX, "fits": fits, "files": files}),
        )?;
    } else {
        show(&costs, &files, output)?;
    }
    Ok(if fits { Exit::Ok } else { Exit::Failure })
}

/// Runs one world in a process of its own.
fn measure(overlay: &str, nodes: u32, args: &ScaleArgs) -> Result<Cost, Failure> {
    let failed = |what: String| Failure::new(Exit::Failure, format!("{overlay}, {nodes} nodes: {what}"));
    let me = std::env::current_exe().map_err(|e| failed(format!("this program is not to be found: {e}")))?;
    // Exactly: a span as people read it has two units at most.
    let span = format!("{}us", args.measured.0);
    let (nodes_text, seed) = (nodes.to_string(), args.seed.to_string());
    let mut child = Command::new(me)
        .args(["-o", "json", "sim", "run", "--settled", "--overlay", overlay, "--nodes", &nodes_text])
        .args(["--seed", &seed, "--lookup-every", &span, "--for", &span, "--end-with-input"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    // Held, and not written to: it closes with this process, whatever ends it, and the child ends too.
    let tie = child.stdin.take();
    let out = child.wait_with_output().map_err(|e| failed(e.to_string()))?;
    drop(tie);
    if !out.status.success() {
        return Err(failed(format!("{}: {}", out.status, String::from_utf8_lossy(&out.stderr).trim())));
    }
    let report: Value = serde_json::from_slice(&out.stdout).map_err(|e| failed(e.to_string()))?;
    let number = |path: &str| {
        report.pointer(path).and_then(Value::as_f64).ok_or_else(|| failed(format!("no number at {path}")))
    };
    let (events, wall_seconds) = (number("/events")?, number("/wall_seconds")?);
    Ok(Cost {
        overlay: overlay.into(),
        nodes,
        events,
        lookups: number("/lookups/total")?,
        wrong: number("/lookups/failed")? + number("/lookups/incorrect")?,
        wall_seconds,
        event_micros: 1e6 * wall_seconds / events.max(1.0),
        node_bytes: number("/node_bytes")?,
    })
}

fn show(costs: &[Cost], files: &[String], output: &Output) -> Result<(), Failure> {
    let header = [
        "overlay", "nodes", "events", "lookups", "wrong", "wall", "an event", "to first", "a node",
        "to bound",
    ];
    let row = |c: &Cost| {
        let first = costs.iter().find(|f| f.overlay == c.overlay).map_or(c.event_micros, |f| f.event_micros);
        vec![
            c.overlay.clone(),
            thousands(c.nodes.into()),
            thousands(c.events as u64),
            thousands(c.lookups as u64),
            c.wrong.to_string(),
            format!("{:.1} s", c.wall_seconds),
            format!("{:.2} us", c.event_micros),
            format!("{:.2}", c.event_micros / first),
            format!("{:.1} KiB", c.node_bytes / 1024.0),
            format!("{:.2}", c.node_bytes / NODE_BYTES_MAX),
        ]
    };
    output.table(&header, &[1, 2, 3, 4, 5, 6, 7, 8, 9], costs.iter().map(row))?;
    files.iter().try_for_each(|file| output.line(format!("drawn: {file}")))
}

fn plots(costs: &[Cost]) -> Vec<Plot> {
    let mut names: Vec<&str> = costs.iter().map(|c| c.overlay.as_str()).collect();
    names.dedup();
    let curves = |of: fn(&Cost) -> f64| -> Vec<Series> {
        let point = |c: &Cost| Point { x: f64::from(c.nodes), y: of(c), range: None };
        let curve = |name: &&str| {
            Series::ours(name, costs.iter().filter(|c| c.overlay == **name).map(point).collect())
        };
        names.iter().map(curve).collect()
    };
    let plot = |file: &str, title: &str, y_label, series| Plot {
        file: file.into(),
        title: title.into(),
        x_label: "nodes",
        y_label,
        log_x: true,
        series,
    };
    let bound = costs.iter().map(|c| f64::from(c.nodes)).filter(|n| *n >= f64::from(BOUND_FROM));
    let bound = bound.map(|x| Point { x, y: NODE_BYTES_MAX / 1024.0, range: None }).collect();
    let mut memory = curves(|c| c.node_bytes / 1024.0);
    memory.push(Series::readings("bound, 12 KiB", bound));
    vec![
        plot("scale-time", "Cost of an event", "microseconds", curves(|c| c.event_micros)),
        plot("scale-memory", "Memory of a node, with its share of the world", "KiB", memory),
    ]
}
