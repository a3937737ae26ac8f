//! `keyway sim undead`: removes by the hundred thousand while nodes come and go, and whether anything is seen again.

use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use keyway_sim::scenario::find_overlay;
use keyway_sim::span;
use keyway_sim::undead::{self, Failure as Seen, NODES_MAX, NODES_MIN, Outcome, Plan, SKEW};
use serde_json::json;

use super::{JOBS_MAX, usage};
use crate::exit::{Exit, Failure};
use crate::output::{Output, thousands};

const EXAMPLES: &str = "\
Examples:
  keyway sim undead
  keyway sim undead --removes 1000000 --jobs 2
  keyway sim undead --overlay kademlia --nodes 30 --seed 7 -o json

Worlds of 5,000 removes each. Values with short and long lives are put and removed, most removes asked to stand for a few
seconds only, while nodes go away for longer than that, restart, come back with old disks, and have clocks up to two seconds apart; every
key is read over and over, also after the last removal has ended. The exit code is 1 if a removed value is seen, an
acknowledged one is missing, or one has another life than it was given.
";

/// Remove a great deal while nodes come and go, and look whether it stays away
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(super) struct UndeadArgs {
    /// Removes in all
    #[arg(long, default_value_t = 20_000, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    removes: u64,
    /// The first world's seed; the others follow it
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(..u64::MAX / 2))]
    seed: u64,
    /// Nodes of each world
    #[arg(long, default_value_t = 12, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(NODES_MIN as i64..=NODES_MAX as i64))]
    nodes: u32,
    /// Which overlay they run [default: the first of `keyway sim list`]
    #[arg(long, value_name = "NAME")]
    overlay: Option<String>,
    /// Worlds at once, 1 to 256
    #[arg(long, default_value_t = 2, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=JOBS_MAX))]
    jobs: u16,
}

/// `keyway sim undead`.
pub(super) fn run(args: &UndeadArgs, output: &Output) -> Result<Exit, Failure> {
    let overlay = find_overlay(args.overlay.as_deref().unwrap_or_default()).map_err(usage)?;
    let (removes, seed, nodes) = (args.removes, args.seed, args.nodes as usize);
    let plan = Plan { removes, seed, nodes, overlay, jobs: args.jobs.into() };
    let began = Instant::now();
    let outcome = measure(&plan, began).map_err(|e| Failure::new(Exit::Failure, e))?;
    let seconds = began.elapsed().as_secs_f64();
    let holds = outcome.tally.holds();
    if output.is_json() {
        let failures: Vec<_> = outcome.failures.iter().map(|f| with_replay(f, &plan)).collect();
        output.json(&json!({
            "overlay": overlay.name, "nodes": nodes, "seed": seed, "holds": holds, "tally": outcome.tally,
            "trace_hash": format!("{:016x}", outcome.tally.hash), "skew_micros_max": SKEW.0, "failures": failures,
            "wall_seconds": seconds, "removes_per_minute": per_minute(&outcome, seconds),
        }))?;
    } else {
        show(&outcome, &plan, seconds, output)?;
    }
    Ok(if holds { Exit::Ok } else { Exit::Failure })
}

/// Runs it; a bar on stderr, if it takes more than a second.
fn measure(plan: &Plan, began: Instant) -> Result<Outcome, String> {
    let bar = ProgressBar::with_draw_target(Some(plan.removes), ProgressDrawTarget::hidden());
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} removes, {elapsed} {msg}")
    {
        bar.set_style(style);
    }
    let progress = |done: u64| {
        let elapsed = began.elapsed();
        if elapsed < Duration::from_secs(1) {
            return;
        }
        if bar.is_hidden() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        bar.set_position(done);
        let left = elapsed.as_secs_f64() * plan.removes.saturating_sub(done) as f64 / done.max(1) as f64;
        bar.set_message(format!("{left:.0} s left"));
    };
    let outcome = undead::run(plan, &progress);
    bar.finish_and_clear();
    outcome
}

fn per_minute(outcome: &Outcome, seconds: f64) -> u64 {
    (outcome.tally.removes_acked as f64 * 60.0 / seconds.max(1e-9)) as u64
}

/// The line that lives through the failing world again.
fn replay(failure: &Seen, plan: &Plan) -> String {
    let (overlay, nodes) = (plan.overlay.name, plan.nodes);
    let Seen { seed, removes, .. } = failure;
    format!("keyway sim undead --overlay {overlay} --nodes {nodes} --seed {seed} --removes {removes}")
}

fn with_replay(failure: &Seen, plan: &Plan) -> serde_json::Value {
    json!({
        "what": failure.what, "seed": failure.seed, "at_seconds": failure.at_micros as f64 / 1e6,
        "detail": failure.detail, "replay": replay(failure, plan),
    })
}

fn show(outcome: &Outcome, plan: &Plan, seconds: f64, output: &Output) -> Result<(), Failure> {
    let t = &outcome.tally;
    let line = |name: &str, text: String| output.line(format!("{name:<14} {text}"));
    let span = |micros: u64| span::show(keyway_core::Duration(micros));
    line(
        "worlds",
        format!(
            "{} of {} nodes of {}, seeds {} to {}, {:.0} h of virtual time",
            thousands(t.worlds),
            plan.nodes,
            plan.overlay.name,
            plan.seed,
            plan.seed + t.worlds.saturating_sub(1),
            t.virtual_micros as f64 / 3.6e9
        ),
    )?;
    line("values", format!("{}; {} puts acknowledged", thousands(t.values), thousands(t.puts_acked)))?;
    line(
        "removes",
        format!(
            "{}, {} acknowledged, {} of these asked to stand shorter than the value",
            thousands(t.removes),
            thousands(t.removes_acked),
            thousands(t.removes_asked_short)
        ),
    )?;
    line(
        "put again",
        format!(
            "{} under the same secret, {} under a new one",
            thousands(t.puts_again),
            thousands(t.puts_anew)
        ),
    )?;
    line(
        "disturbed by",
        format!(
            "{} absences of up to {}, {} restarts, {} pauses and slow spans",
            thousands(t.departures),
            span(t.absence_micros_max),
            thousands(t.restarts),
            thousands(t.stumbles)
        ),
    )?;
    line(
        "gets",
        format!(
            "{}, {} of them settled, {} without an answer; {} values read",
            thousands(t.gets),
            thousands(t.gets_settled),
            thousands(t.gets_failed),
            thousands(t.values_read)
        ),
    )?;
    line(
        "looked for",
        format!("{} times a removed value, by settled gets", thousands(t.removed_looked_for)),
    )?;
    let both = |count: u64, unsettled: u64| format!("{count} (and {unsettled} while members were changing)");
    line("undead", both(t.undead, t.undead_unsettled))?;
    line("missing", both(t.missing, t.missing_unsettled))?;
    line("wrong lives", t.wrong_lives.to_string())?;
    line(
        "  clocks",
        format!(
            "put times off by {} at most, values given {} after their end at most; the bound is {}",
            span(t.put_time_error_micros_max),
            span(t.served_late_micros_max),
            span(SKEW.0)
        ),
    )?;
    line("other", format!("{} invented, {} unreadable, {} broken", t.invented, t.unreadable, t.broken))?;
    line(
        "cost",
        format!(
            "{} events in {seconds:.1} s, {} removes a minute",
            thousands(t.events),
            thousands(per_minute(outcome, seconds))
        ),
    )?;
    line("trace hash", format!("{:016x}", t.hash))?;
    for f in &outcome.failures {
        let at = f.at_micros as f64 / 1e6;
        output.line(format!(
            "FAIL {} seed={} t={at:.3}s {}  replay: {}",
            f.what,
            f.seed,
            f.detail,
            replay(f, plan)
        ))?;
    }
    output.line(if t.holds() { "PASS: nothing lost, nothing undead" } else { "FAIL" })
}
