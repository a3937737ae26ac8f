//! `keyway sim paper`: experiments named after published figures.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use keyway_sim::experiments::{
    Ask, EXPERIMENTS, Experiment, Outcome, RINGS, RINGS_MAX, RINGS_QUICK, find_among,
};
use serde_json::json;

use super::{figure, redir, usage};
use crate::exit::{Exit, Failure};
use crate::output::{Output, Style, plural};

const EXAMPLES: &str = "\
Examples:
  keyway sim paper                                   # which experiments there are
  keyway sim paper chord-path-length
  keyway sim paper chord-churn --quick
  keyway sim paper chord-mass-failure --rings 100 --out figures -o json

The exit code is 1 if a value is beyond its tolerance.
";

/// Repeat a published figure and compare
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(super) struct PaperArgs {
    /// Which experiment; without it they are listed
    name: Option<String>,
    /// Worlds for each setting [default: 20, with --quick 3]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=i64::from(RINGS_MAX)))]
    rings: Option<u32>,
    /// The first world's seed; the others follow it
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(..u64::MAX / 2))]
    seed: u64,
    /// A quick look: fewer worlds, smaller and shorter ones, the same tolerances
    #[arg(long)]
    quick: bool,
    /// Draw the curves into this directory, as SVG and PNG
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// `keyway sim paper`.
pub(super) fn run(args: &PaperArgs, output: &Output) -> Result<Exit, Failure> {
    let Some(name) = &args.name else { return list(output) };
    let experiment = find_among(all(), name).map_err(usage)?;
    let rings = args.rings.unwrap_or(if args.quick { RINGS_QUICK } else { RINGS });
    figure::prepare(args.out.as_deref())?;
    output.note(format!(
        "{name}: {rings} {}, seeds {} to {}",
        plural(rings.into(), "ring", "rings"),
        args.seed,
        args.seed + u64::from(rings) - 1
    ));
    let outcome = measure(experiment, rings, args);
    let files = figure::save(&outcome.plots, args.out.as_deref())?;
    if output.is_json() {
        let mut value =
            serde_json::to_value(&outcome).map_err(|e| Failure::new(Exit::Failure, e.to_string()))?;
        if let (Some(object), Some(rows)) = (value.as_object_mut(), rows_with_verdicts(&outcome)) {
            object.insert("rows".into(), rows);
            object.insert("files".into(), json!(files));
        }
        output.json(&value)?;
    } else {
        show(&outcome, &files, output)?;
    }
    Ok(if outcome.pass { Exit::Ok } else { Exit::Failure })
}

/// The experiments with nodes, and those with what is built on them.
fn all() -> impl Iterator<Item = &'static Experiment> + Clone {
    EXPERIMENTS.iter().chain(redir::EXPERIMENTS)
}

fn list(output: &Output) -> Result<Exit, Failure> {
    if output.is_json() {
        let all: Vec<_> =
            all().map(|e| json!({"name": e.name, "about": e.about, "paper": e.paper})).collect();
        output.json(&json!({ "experiments": all }))?;
        return Ok(Exit::Ok);
    }
    for e in all() {
        output.line(format!("{:<22} {}", e.name, e.paper))?;
        output.line(format!("{:<22} {}", "", e.about))?;
    }
    Ok(Exit::Ok)
}

/// Runs it; a bar on stderr, if it takes more than a second.
fn measure(experiment: &Experiment, rings: u32, args: &PaperArgs) -> Outcome {
    let began = Instant::now();
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} worlds, {elapsed} {msg}") {
        bar.set_style(style);
    }
    let progress = |done: u64, total: u64| {
        let elapsed = began.elapsed();
        if elapsed < Duration::from_secs(1) {
            return;
        }
        if bar.is_hidden() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        bar.set_length(total);
        bar.set_position(done);
        let left = elapsed.as_secs_f64() * (total - done) as f64 / done.max(1) as f64;
        bar.set_message(format!("{left:.0} s left"));
    };
    let ask = Ask { rings, seed: args.seed, quick: args.quick, progress: &progress };
    let outcome = experiment.run(&ask);
    bar.finish_and_clear();
    outcome
}

/// The rows as JSON, each with its verdict.
fn rows_with_verdicts(outcome: &Outcome) -> Option<serde_json::Value> {
    let rows = outcome.rows.iter().map(|row| {
        let mut value = serde_json::to_value(row).ok()?;
        value.as_object_mut()?.insert("pass".into(), json!(row.pass()));
        Some(value)
    });
    rows.collect::<Option<Vec<_>>>().map(serde_json::Value::Array)
}

fn show(outcome: &Outcome, files: &[String], output: &Output) -> Result<(), Failure> {
    output.line(output.style(Style::Bold, &format!("{}: {}", outcome.name, outcome.about)))?;
    output.line(format!(
        "{}; {} {}, seeds {} to {}",
        outcome.paper,
        outcome.rings,
        plural(outcome.rings.into(), "ring", "rings"),
        outcome.seeds.0,
        outcome.seeds.1
    ))?;
    output.line("")?;
    output.line(outcome.table())?;
    for note in &outcome.notes {
        output.line(format!("* {note}"))?;
    }
    if outcome.quick {
        output.line("* a quick look: fewer and smaller worlds than the comparison asks for")?;
    }
    files.iter().try_for_each(|file| output.line(format!("drawn: {file}")))?;
    let judged = outcome.rows.iter().filter_map(keyway_sim::experiments::Row::pass);
    let (all, good) = judged.fold((0, 0), |(all, good), pass| (all + 1, good + u32::from(pass)));
    output.line(format!("{}: {good} of {all} within tolerance", if outcome.pass { "PASS" } else { "FAIL" }))
}
