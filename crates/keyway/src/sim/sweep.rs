//! `keyway sim sweep`: many drawn worlds, judged; the first failure is one line that replays it.

use std::time::Instant;

use clap::Args;
use keyway_core::Duration;
use keyway_sim::scenario::find_overlay;
use keyway_sim::span;
use keyway_sim::swarm::{Outcome, Params, Tally};
use keyway_sim::sweep::{Sweep, failure_line, sweep};
use serde_json::json;

use super::{JOBS_MAX, usage};
use crate::exit::{Exit, Failure};
use crate::output::{Output, plural, thousands};

const EXAMPLES: &str = "\
Examples:
  keyway sim sweep --seeds 1000 --jobs 2
  keyway sim sweep --seeds 1000000 --start 5000 --time-box 10m -o ndjson
  keyway sim sweep --seeds 1000 --keep-going --quiet

Each seed draws everything: the overlay, the number of nodes, copies and acknowledgements, latencies, a subset of all
faults. It runs puts and gets under these faults, then heals everything and demands that the network is whole, every
lookup right and every acknowledged value there. The first failure ends the sweep, unless --keep-going is given: then
each failure is a line on stdout. The exit code is 1 if a world failed.
";

/// Run many drawn worlds and judge them
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(super) struct SweepArgs {
    /// How many seeds
    #[arg(long, default_value_t = 100, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    start: u64,
    /// Which overlay the nodes run [default: drawn]
    #[arg(long, value_name = "NAME")]
    overlay: Option<String>,
    /// Worlds at once, 1 to 256
    #[arg(long, default_value_t = 2, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=JOBS_MAX))]
    jobs: u16,
    /// Begin no more worlds after this long
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    time_box: Option<Duration>,
    /// Tell of every failure instead of ending at the first
    #[arg(long)]
    keep_going: bool,
}

/// `keyway sim sweep`.
pub(super) fn run(args: &SweepArgs, output: &Output) -> Result<Exit, Failure> {
    let overlay = args.overlay.as_deref().map(find_overlay).transpose().map_err(usage)?;
    let (start, seeds) = (args.start, args.seeds);
    if start.checked_add(seeds).is_none() {
        return Err(usage(format!(
            "{seeds} seeds from {start} on: the last one would be above {}",
            u64::MAX - 1
        )));
    }
    let plan = Sweep { start, seeds, overlay, jobs: args.jobs.into(), keep_going: args.keep_going };
    let began = Instant::now();
    let mut go_on = || args.time_box.is_none_or(|most| began.elapsed().as_micros() < u128::from(most.0));
    let mut sum = Sum::default();
    let mut failed = Vec::new();
    let mut written = Ok(());
    let mut each = |params: &Params, outcome: &Outcome| {
        sum.add(&outcome.tally);
        if written.is_ok() {
            written = tell(params, outcome, output);
        }
        if let Some((complaint, at)) = &outcome.failure {
            failed.push(failure_line(params, complaint, *at));
            if let Some(line) = failed.last().filter(|_| written.is_ok() && !output.is_json()) {
                written = output.line(line);
            }
        }
    };
    let judged = sweep(&plan, &mut go_on, &mut each).map_err(|e| Failure::new(Exit::Failure, e))?;
    written?;
    if let Some(most) = args.time_box.filter(|_| judged == 0) {
        let text = format!("no world was judged: the time box of {} was over before", span::show(most));
        return Err(Failure::new(Exit::Failure, text).hint("give it more time with --time-box"));
    }
    let seconds = began.elapsed().as_secs_f64();
    if output.is_json() {
        output.json_line(&json!({
            "seeds": judged, "failed": failed.len(), "failure": failed.first(), "failures": failed, "wall_seconds": seconds,
            "events": sum.events, "virtual_seconds": sum.virtual_seconds(), "puts_acked": sum.puts_acked,
            "gets": sum.gets, "faults": sum.faults,
        }))?;
    } else {
        output.note(format!(
            "{} {} in {seconds:.1} s: {} events, {:.0} h of virtual time, {} faults, {} puts acknowledged, {} gets, \
             {} lookups; slowest heal {}",
            thousands(judged),
            plural(judged, "world", "worlds"),
            thousands(sum.events),
            sum.virtual_seconds() / 3600.0,
            thousands(sum.faults),
            thousands(sum.puts_acked),
            thousands(sum.gets),
            thousands(sum.lookups),
            span::show(Duration(sum.healed_in_max)),
        ));
    }
    Ok(if failed.is_empty() { Exit::Ok } else { Exit::Failure })
}

/// One world, with everything that was drawn for it.
fn tell(params: &Params, outcome: &Outcome, output: &Output) -> Result<(), Failure> {
    let t = &outcome.tally;
    if output.is_json() {
        return output.json_line(&json!({
            "seed": params.seed, "drawn": params.to_string(), "ok": outcome.failure.is_none(),
            "trace_hash": format!("{:016x}", t.hash), "events": t.events, "virtual_seconds": t.micros as f64 / 1e6,
            "puts_acked": t.puts_acked, "puts_unknown": t.puts_unknown, "gets": t.gets, "gets_failed": t.gets_failed,
            "lookups": t.lookups, "faults": t.faults, "healed_in_seconds": t.healed_in as f64 / 1e6,
        }));
    }
    if output.is_quiet() {
        return Ok(());
    }
    let mark = if outcome.failure.is_none() { "ok  " } else { "FAIL" };
    output.note(format!("{mark} {:016x} {params}", t.hash));
    Ok(())
}

#[derive(Default)]
struct Sum {
    events: u64,
    micros: u64,
    faults: u64,
    puts_acked: u64,
    gets: u64,
    lookups: u64,
    healed_in_max: u64,
}

impl Sum {
    fn add(&mut self, t: &Tally) {
        self.events += t.events;
        self.micros += t.micros;
        self.faults += t.faults;
        self.puts_acked += t.puts_acked;
        self.gets += t.gets;
        self.lookups += t.lookups;
        self.healed_in_max = self.healed_in_max.max(t.healed_in);
    }

    fn virtual_seconds(&self) -> f64 {
        self.micros as f64 / 1e6
    }
}
