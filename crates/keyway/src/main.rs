//! The one binary of Keyway: it wires the command line to the node, the gateway, the client and the simulator.
//!
//! ```text
//!   keyway up | node                              serve.rs ─▶ keyway-net, keyway-gateway
//!   keyway put | get | remove | import | ...      session.rs ─▶ keyway-client ─▶ any gateway over HTTP
//!   keyway publish                                publish/ ─▶ keyway-client (pointers), keyway-gateway (serves the bytes)
//!   keyway fetch                                  fetch/ ─▶ keyway-client ─▶ publishers over HTTP
//!   keyway snapshot | restore                     the same way, or from a directory by keyway-net
//!   keyway redir                                  redir.rs ─▶ keyway-client, the same way
//!   keyway sim                                    sim/ ─▶ keyway-sim
//!   keyway bench                                  bench/ ─▶ keyway-net
//!   keyway completions | man                      the description of the command line itself
//! ```
//!
//! Data goes to stdout, all else to stderr; the exit codes are those of [`exit`].

mod advice;
mod bench;
mod beneath;
mod chosen;
mod cli;
mod clients;
mod completions;
mod config;
mod door;
mod duration;
mod exit;
mod export;
mod fetch;
mod get;
mod health;
mod import;
mod keygen;
mod log;
mod man;
mod node;
mod nodes;
mod output;
mod peers;
mod progress;
mod publish;
mod put;
mod receipt;
mod redir;
mod remove;
mod renew;
mod restore;
mod secrets;
mod serve;
mod session;
mod shell;
mod shortage;
mod sim;
mod size;
mod snapshot;
mod status;
mod terms;
mod token;
mod trace;
mod up;
mod watch;
mod whereabouts;

use std::process::ExitCode;

use clap::Parser as _;
use tokio::runtime::{Builder, Runtime};

use crate::cli::{Cli, Shared, Verb};
use crate::config::File;
use crate::exit::{Exit, Failure};
use crate::session::Session;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let Cli { shared, verb } = Cli::parse();
    // A configuration that cannot be read is told in the form that the flags alone ask for.
    let (file, unread) = match File::find(shared.config.as_deref()) {
        // `config check` reports on the file itself; what describes the command line needs no settings.
        Err(_) if matches!(verb, Verb::Config(_) | Verb::Completions(_) | Verb::Man(_)) => {
            (File::default(), None)
        }
        Err(failure) => (File::default(), Some(failure)),
        Ok(file) => (file, None),
    };
    let session = Session::new(&shared, &file);
    let ended = unread.map_or_else(|| run(verb, &shared, &file, &session), Err);
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            let failure = explained(failure, &session);
            if !failure.is_closed_pipe() {
                session.output.failure(&failure);
            }
            failure.exit.into()
        }
    }
}

fn run(verb: Verb, shared: &Shared, file: &File, session: &Session) -> Result<Exit, Failure> {
    match verb {
        Verb::Up(args) => {
            start_log(config::LOG_OF_UP, shared, file, session)?;
            let args = config::over(&args, &config::over(&file.up, &up::UpArgs::defaults()));
            drive(many_threads()?, up::run(args, session))
        }
        Verb::Node(args) => {
            start_log(config::LOG_OF_NODE, shared, file, session)?;
            let args = config::over(&*args, &config::over(&file.node, &node::NodeArgs::defaults()));
            drive(many_threads()?, node::run(args, session))
        }
        Verb::Import(args) => many_threads()?.block_on(import::run(args, session)),
        Verb::Export(args) => drive(one_thread()?, export::run(args, session)),
        Verb::Snapshot(args) => drive(one_thread()?, snapshot::run(args, session)),
        Verb::Restore(args) => drive(one_thread()?, restore::run(args, session)),
        Verb::Put(args) => one_thread()?.block_on(put::run(args, session)),
        Verb::Get(args) => one_thread()?.block_on(get::run(args, session)),
        Verb::Publish(args) => drive(many_threads()?, publish::run(args, session)),
        Verb::Fetch(args) => drive(many_threads()?, fetch::run(args, session)),
        Verb::Watch(args) => one_thread()?.block_on(watch::run(args, session)),
        Verb::Remove(args) => one_thread()?.block_on(remove::run(args, session)),
        Verb::Renew(args) => one_thread()?.block_on(renew::run(args, session)),
        Verb::Keygen(args) => keygen::run(&args, session),
        Verb::Status(args) => one_thread()?.block_on(status::run(args, session)),
        Verb::Peers(args) => one_thread()?.block_on(peers::run(args, session)),
        Verb::Where(args) => one_thread()?.block_on(whereabouts::run(args, session)),
        Verb::Trace(args) => one_thread()?.block_on(trace::run(args, session)),
        Verb::Clients(args) => one_thread()?.block_on(clients::run(args, session)),
        Verb::Token(args) => token::run(&args, file, session),
        Verb::Nodes(args) => one_thread()?.block_on(nodes::run(args, session)),
        Verb::Health(args) => one_thread()?.block_on(health::run(args, session)),
        Verb::Redir(args) => one_thread()?.block_on(redir::run(args, session)),
        Verb::Sim(args) => sim::run(args, &session.output),
        Verb::Bench(args) => bench::run(&args, session),
        Verb::Config(args) => config::run(args, shared, &session.output),
        Verb::Completions(args) => completions::run(&args, &session.output),
        Verb::Man(args) => man::run(&args, &session.output),
    }
}

/// Asks the gateway for more about a failure whose cause only the state of its network tells.
fn explained(failure: Failure, session: &Session) -> Failure {
    match one_thread() {
        Ok(runtime) => drive(runtime, shortage::explained(failure, session)),
        Err(_) => failure,
    }
}

fn start_log(default: &str, shared: &Shared, file: &File, session: &Session) -> Result<(), Failure> {
    let filter = shared.log.as_deref().or(file.log.as_deref()).unwrap_or(default);
    let format = shared.log_format.or(file.log_format).unwrap_or_default();
    log::start(filter, format, session.output.err_is_terminal)
}

/// Runs a verb that may be interrupted in the middle of reading a file or of looking up a name: what a thread is still doing then
/// is not waited for.
fn drive<T>(runtime: Runtime, verb: impl Future<Output = T>) -> T {
    let ended = runtime.block_on(verb);
    runtime.shutdown_background();
    ended
}

fn many_threads() -> Result<Runtime, Failure> {
    built(&mut Builder::new_multi_thread())
}

fn one_thread() -> Result<Runtime, Failure> {
    built(&mut Builder::new_current_thread())
}

fn built(builder: &mut Builder) -> Result<Runtime, Failure> {
    builder.enable_all().build().map_err(|error| {
        Failure::new(Exit::Failure, format!("cannot start: {error}"))
            .hint("are there file descriptors left? see ulimit -n")
    })
}
