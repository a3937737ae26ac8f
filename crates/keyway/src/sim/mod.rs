//! `keyway sim`: the very node that serves, run by the deterministic simulator.
//!
//! ```text
//!   run      one world, measured          (flags, or a TOML scenario)
//!   sweep    many drawn worlds, judged    ends at the first failure with one line that replays it
//!   replay   one drawn world, told        every event in a line
//!   paper    a published figure, repeated and compared     curves as SVG and PNG
//!   scale    what an event and a node cost         from a thousand nodes to a hundred thousand
//!   undead   removes by the hundred thousand               nothing that was removed is seen again
//!   fst      a list of puts, decided by fair space-time       each decision in a line
//!   list     what there is: overlays, models, faults, checkers
//! ```
//!
//! The simulator reads no clock, no file and no memory gauge; this module lends it those.

mod figure;
mod fst;
mod list;
mod paper;
mod redir;
mod replay;
mod run;
mod scale;
mod sweep;
mod undead;

use clap::{Args, Subcommand};

use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Most worlds at once: each has a thread, and more than there are cores gain nothing.
const JOBS_MAX: i64 = 256;

const EXAMPLES: &str = "\
Examples:
  keyway sim run --nodes 1024 --settled --lifetime exp:1h --downtime exp:1h --lookup-every 10m --for 2h
  keyway sim run scenario.toml -o json
  keyway sim sweep --seeds 1000 --jobs 2
  keyway sim replay --seed 17 --until 12.5s
  keyway sim paper chord-path-length --out figures
  keyway sim scale --overlay chord --overlay kademlia --out figures
  keyway sim undead --removes 100000
  keyway sim fst --trace puts.csv --capacity 3600000 --T 3600000 --B 1000
";

/// Run the node in simulated worlds
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct SimArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Run one world and measure it
    Run(Box<run::RunArgs>),
    /// Run many drawn worlds and judge them
    Sweep(sweep::SweepArgs),
    /// Run one drawn world again and tell every event
    Replay(replay::ReplayArgs),
    /// Repeat a published figure and compare
    Paper(paper::PaperArgs),
    /// What an event and a node cost, over the number of nodes
    Scale(scale::ScaleArgs),
    /// Remove a great deal while nodes come and go, and look whether it stays away
    Undead(undead::UndeadArgs),
    /// Decide a list of puts by fair space-time
    Fst(fst::FstArgs),
    /// Name the overlays, models, faults and checkers
    List(list::ListArgs),
}

/// `keyway sim`.
pub(crate) fn run(args: SimArgs, output: &Output) -> Result<Exit, Failure> {
    match args.verb {
        Verb::Run(args) => run::run(*args, output),
        Verb::Sweep(args) => sweep::run(&args, output),
        Verb::Replay(args) => replay::run(&args, output),
        Verb::Paper(args) => paper::run(&args, output),
        Verb::Scale(args) => scale::run(&args, output),
        Verb::Undead(args) => undead::run(&args, output),
        Verb::Fst(args) => fst::run(&args, output),
        Verb::List(args) => list::run(&args, output),
    }
}

fn usage(message: String) -> Failure {
    Failure::new(Exit::Usage, message).hint("see keyway sim list, and keyway sim run --help")
}
