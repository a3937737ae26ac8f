//! `keyway sim replay`: one drawn world again, every event in a line.

use std::cell::RefCell;
use std::io::{BufWriter, Stdout, Write as _};
use std::rc::Rc;

use clap::Args;
use keyway_core::Duration;
use keyway_sim::scenario::find_overlay;
use keyway_sim::span;
use keyway_sim::swarm::{self, Params};
use keyway_sim::sweep::failure_line;

use super::usage;
use crate::exit::{Exit, Failure};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  keyway sim replay --seed 17 --until 12.5s
  keyway sim replay --overlay chord --seed 17 --from 10s --only n3

Each line is: seconds, host, what happened there. `n3 <- n5` is a frame that reached n3. There is no JSON of it.
";

/// Run one drawn world again and tell every event
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(super) struct ReplayArgs {
    /// The seed
    #[arg(long)]
    seed: u64,
    /// Which overlay the nodes run [default: drawn]
    #[arg(long, value_name = "NAME")]
    overlay: Option<String>,
    /// Stop here, without judgement [default: at the end]
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    until: Option<Duration>,
    /// Tell nothing before
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    from: Option<Duration>,
    /// At the end, show every process from inside
    #[arg(long)]
    state: bool,
    /// Tell only lines with this word in it, such as n3
    #[arg(long, value_name = "WORD")]
    only: Option<String>,
}

/// `keyway sim replay`.
pub(super) fn run(args: &ReplayArgs, output: &Output) -> Result<Exit, Failure> {
    if output.is_json() {
        return Err(Failure::new(
            Exit::Usage,
            "sim replay writes one line of text for each event, and has no JSON",
        )
        .hint("ask without -o json; keyway sim sweep -o ndjson tells what came of a seed"));
    }
    if let Some((from, until)) = args.from.zip(args.until).filter(|(from, until)| from > until) {
        let (from, until) = (span::show(from), span::show(until));
        return Err(usage(format!("--from {from} is after --until {until}: nothing would be told")));
    }
    let overlay = args.overlay.as_deref().map(find_overlay).transpose().map_err(usage)?;
    let params = Params::draw(args.seed, overlay);
    output.line(params.to_string())?;
    let out = Rc::new(RefCell::new(Lines { out: BufWriter::new(std::io::stdout()), failed: None }));
    let lines = Rc::clone(&out);
    let from = args.from.map_or(0, |d| d.0);
    let only = args.only.clone();
    let sink = move |at: u64, line: &str| {
        let wanted = only.as_ref().is_none_or(|word| line.split(' ').any(|w| w == word));
        if at >= from && wanted {
            lines.borrow_mut().write(at, line);
        }
    };
    let mut state = String::new();
    let outcome = swarm::run_and_look(&params, Some(Box::new(sink)), args.until.map(|d| d.0), &mut |world| {
        if args.state {
            state = keyway_sim::trace::state(world);
        }
    });
    let mut out = out.borrow_mut();
    if let Some(error) = out.failed.take() {
        return Err(error.into());
    }
    out.out.write_all(state.as_bytes())?;
    out.out.flush()?;
    match outcome.failure {
        Some((complaint, at)) => {
            output.line(failure_line(&params, &complaint, at))?;
            Ok(Exit::Failure)
        }
        None => {
            output.note(format!("no failure until {}", span::show(Duration(outcome.tally.micros))));
            Ok(Exit::Ok)
        }
    }
}

/// Lines on stdout; the first error ends the telling.
struct Lines {
    out: BufWriter<Stdout>,
    failed: Option<std::io::Error>,
}

impl Lines {
    fn write(&mut self, at: u64, line: &str) {
        if self.failed.is_none() {
            self.failed = writeln!(self.out, "{:>12.6} {line}", at as f64 / 1e6).err();
        }
    }
}
