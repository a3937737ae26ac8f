//! The command line: every verb, and the settings that all of them share.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::bench::BenchArgs;
use crate::clients::ClientsArgs;
use crate::completions::CompletionsArgs;
use crate::config::ConfigArgs;
use crate::export::ExportArgs;
use crate::fetch::FetchArgs;
use crate::get::GetArgs;
use crate::health::HealthArgs;
use crate::import::ImportArgs;
use crate::keygen::KeygenArgs;
use crate::log::LogFormat;
use crate::man::ManArgs;
use crate::node::NodeArgs;
use crate::nodes::NodesArgs;
use crate::output::{Colour, Format};
use crate::peers::PeersArgs;
use crate::publish::PublishArgs;
use crate::put::PutArgs;
use crate::redir::RedirArgs;
use crate::remove::RemoveArgs;
use crate::renew::RenewArgs;
use crate::restore::RestoreArgs;
use crate::sim::SimArgs;
use crate::snapshot::SnapshotArgs;
use crate::status::StatusArgs;
use crate::token::TokenArgs;
use crate::trace::TraceArgs;
use crate::up::UpArgs;
use crate::watch::WatchArgs;
use crate::whereabouts::WhereArgs;

const EXAMPLES: &str = "\
Examples:
  keyway up                        a durable network of 8 nodes on this machine
  keyway put colors red            store a value for a day
  keyway get colors                read it back
  keyway where colors              which nodes hold copies
  keyway node --join HOST:5850     a node of a real network
";

const AFTER: &str = "\
Text keys are the SHA-1 of the text; --hex takes 40 hex digits. Settings come from flags, then KEYWAY_* variables, \
then a TOML file (--config, ~/.config/keyway/config.toml, /etc/keyway/config.toml), then defaults.

Exit codes: 0 done, 1 failure, 2 usage, 3 not found, 4 refused, 5 time-out or partial, 6 isolated, 7 conflict, \
8 invalid data or signature, 130 interrupted. With -o json a failure is a line of JSON on stderr: error.exit, .message, .hint, \
and of a gateway's refusal .code, which is stable, .seq and .expires_ms.";

/// A distributed hash table that can be studied, simulated and run in production
#[derive(Parser, Debug)]
#[command(name = "keyway", version, before_help = EXAMPLES, after_help = AFTER, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) shared: Shared,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every verb understands.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Shared options")]
pub(crate) struct Shared {
    /// HTTP address of a node to talk to; repeat it, and they fail over for each other [default:
    /// http://127.0.0.1:5851]
    #[arg(long, global = true, value_name = "URL", env = "KEYWAY_GATEWAY", value_delimiter = ',')]
    pub(crate) gateway: Vec<String>,
    /// A file with the access token that the gateways are shown; /dev/fd/N for an open descriptor
    #[arg(long, global = true, value_name = "FILE", env = "KEYWAY_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// How results are written [default: table]
    #[arg(short, long, global = true, value_enum, env = "KEYWAY_OUTPUT")]
    pub(crate) output: Option<Format>,
    /// The same as `--output json`
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to colour [default: auto]
    #[arg(long, global = true, value_enum, env = "KEYWAY_COLOR", value_name = "WHEN")]
    pub(crate) color: Option<Colour>,
    /// Nothing on stderr but failures
    #[arg(short, long, global = true, env = "KEYWAY_QUIET")]
    pub(crate) quiet: bool,
    /// A TOML file with settings
    #[arg(long, global = true, value_name = "FILE", env = "KEYWAY_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// What `up` and `node` log to stderr: error, warn, info, debug, trace, or a filter such as `info,keyway_net=debug`
    #[arg(long, global = true, value_name = "FILTER", env = "KEYWAY_LOG")]
    pub(crate) log: Option<String>,
    /// How log lines are written [default: text]
    #[arg(long, global = true, value_enum, value_name = "FORMAT", env = "KEYWAY_LOG_FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    /// Run a small durable network on this machine
    Up(UpArgs),
    /// Run one node of a network
    Node(Box<NodeArgs>),
    /// Store a value under a key
    Put(PutArgs),
    /// Print the values under a key
    Get(GetArgs),
    /// Serve a file or a folder from here, with a pointer to it in the network
    Publish(PublishArgs),
    /// Fetch what others publish, and verify it
    Fetch(FetchArgs),
    /// Print what happens to a key as it happens
    Watch(WatchArgs),
    /// Remove a value
    Remove(RemoveArgs),
    /// Put values again, so that they live longer
    Renew(RenewArgs),
    /// Make a signing key
    Keygen(KeygenArgs),
    /// Store all records of a file, and read them back
    Import(ImportArgs),
    /// Write values into a file that `import` reads
    Export(ExportArgs),
    /// Keep the records of a node in a file
    Snapshot(SnapshotArgs),
    /// Put the records of a snapshot back, as they were
    Restore(RestoreArgs),
    /// Show the state of a node
    Status(StatusArgs),
    /// Show the tables of a node
    Peers(PeersArgs),
    /// Show which nodes hold copies of a key's values
    Where(WhereArgs),
    /// Show the lookup of a key, question by question
    Trace(TraceArgs),
    /// Show who is in the network and what each node holds
    Nodes(NodesArgs),
    /// Show who uses how much of a node's disk
    Clients(ClientsArgs),
    /// Make, list and revoke the access tokens of a gateway
    Token(TokenArgs),
    /// Tell by the exit code whether a node serves
    Health(HealthArgs),
    /// Find members of any set of machines
    Redir(RedirArgs),
    /// Run the node in simulated worlds
    Sim(SimArgs),
    /// Measure puts and gets in a network in this process
    Bench(BenchArgs),
    /// Check and show configuration
    Config(ConfigArgs),
    /// Print a script that completes verbs and flags in a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write one for each verb
    Man(ManArgs),
}
