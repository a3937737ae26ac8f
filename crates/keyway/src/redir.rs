//! `keyway redir`: a lookup service for any set of machines, over put and get.
//!
//! `join` keeps a member registered until it is told to stop; `lookup` finds the member whose id follows a key; `list` names
//! all of them. Nothing here needs a node: any gateway will do, and members need not run any part of Keyway. What is
//! promised stands in `docs/redir.md`.

use std::time::Duration;

use clap::{Args, Subcommand};
use keyway_client::Key;
use keyway_client::redir::{
    BINARY_LEVELS_DEFAULT, BRANCHING_DEFAULT, Endpoint, Form, LookedUp, Redir, Refresh, Registered, Round,
    Scheme,
};
use serde::Serialize;

use crate::duration::Span;
use crate::exit::{Exit, Failure};
use crate::output::{Format, Output, Style, harmless, plural};
use crate::serve::Signals;
use crate::session::{Session, place};

const EXAMPLES: &str = "\
Examples:
  keyway redir join printers --address 192.0.2.7:5900      be found, until Ctrl-C
  keyway redir lookup printers 'third floor'               which member this key belongs to
  keyway redir list printers
";

const JOIN_EXAMPLES: &str = "\
Examples:
  keyway redir join printers --address 192.0.2.7:5900
  keyway redir join printers --address host.example:5900 --name 'third floor'
  keyway redir join printers --address 192.0.2.7:5900 --ttl 10m --every 4m
  keyway redir join printers --address 192.0.2.7:5900 --once

A member that stops, by Ctrl-C or by dying, is found until its entries end: at most --ttl after its last registration. \
Longer periods cost fewer puts and show a death later. --once is for a timer of your own, more often than every --ttl.
";

const LOOKUP_EXAMPLES: &str = "\
Examples:
  keyway redir lookup printers 'third floor'
  keyway redir lookup printers 'third floor' -o raw           the address and nothing else
  keyway redir lookup printers --hex f8bd696759805b9098f9e13be67d2b248c7619d0
  keyway redir lookup printers - -o ndjson < keys             many: the walks learn where to begin
";

const LIST_EXAMPLES: &str = "\
Examples:
  keyway redir list printers
  keyway redir list printers -o raw       the addresses and nothing else
";

/// Find members of any set of machines
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct RedirArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Be a member: register, and again and again
    Join(JoinArgs),
    /// Find the member whose id is the first at or after a key
    Lookup(LookupArgs),
    /// Name all members
    List(ListArgs),
}

/// Which tree. All who use a namespace must say the same.
#[derive(Args, Clone, Debug)]
struct TreeArgs {
    /// Which set of machines: a text of your own
    #[arg(value_name = "NAMESPACE")]
    namespace: String,
    /// Cells of a node of the tree; all who use the namespace must say the same
    #[arg(long, value_name = "B", default_value_t = BRANCHING_DEFAULT, value_parser = clap::value_parser!(u16).range(2..=256))]
    branching: u16,
    /// Keys and entries as redir++ wrote them: IPv4 only, the address decides the id
    #[arg(long)]
    classic: bool,
    /// The binary tree of fixed depth of 2004: IPv4 only, the address decides the id
    #[arg(long, conflicts_with_all = ["branching", "classic"])]
    binary: bool,
    /// Levels of the binary tree; all who use the namespace must say the same
    #[arg(long, value_name = "L", requires = "binary", default_value_t = BINARY_LEVELS_DEFAULT,
          value_parser = clap::value_parser!(u16).range(1..=32))]
    levels: u16,
}

impl TreeArgs {
    fn scheme(&self) -> Scheme {
        let form = if self.classic { Form::Classic } else { Form::Native };
        match self.binary {
            true => Scheme::Binary { levels: self.levels },
            false => Scheme::Tree { branching: self.branching, form },
        }
    }

    fn redir(&self, session: &Session) -> Result<Redir, Failure> {
        Ok(Redir::new(session.client()?, self.namespace.as_bytes(), self.scheme())?)
    }

    fn nobody(&self) -> Failure {
        let name = harmless(&self.namespace);
        Failure::new(Exit::NotFound, format!("the namespace {name} has no members"))
            .hint("do its members use the same --branching, --classic, --binary and --levels?")
    }
}

#[derive(Args, Debug)]
#[command(before_help = JOIN_EXAMPLES)]
struct JoinArgs {
    #[command(flatten)]
    tree: TreeArgs,
    /// Where the member is reached: what lookups give
    #[arg(long, value_name = "HOST:PORT")]
    address: String,
    /// Its place among the members, 40 hex digits [default: the SHA-1 of the address]
    #[arg(long, value_name = "HEX", conflicts_with = "name")]
    id: Option<String>,
    /// Its place among the members, as the SHA-1 of a text
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// How long its entries live
    #[arg(long, value_name = "DURATION", default_value_t = Span::from_secs(60))]
    ttl: Span,
    /// Time between two registrations
    #[arg(long, value_name = "DURATION", default_value_t = Span::from_secs(30), conflicts_with = "once")]
    every: Span,
    /// Register once, and end
    #[arg(long)]
    once: bool,
}

#[derive(Args, Debug)]
#[command(before_help = LOOKUP_EXAMPLES)]
struct LookupArgs {
    #[command(flatten)]
    tree: TreeArgs,
    /// The keys: texts, or 40 hex digits with --hex; `-` for those of standard input, one on a line
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
    /// The keys are 40 hex digits, not texts
    #[arg(long)]
    hex: bool,
}

#[derive(Args, Debug)]
#[command(before_help = LIST_EXAMPLES)]
struct ListArgs {
    #[command(flatten)]
    tree: TreeArgs,
    /// At most this many members
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max: u32,
}

/// `keyway redir`.
pub(crate) async fn run(args: RedirArgs, session: &Session) -> Result<Exit, Failure> {
    match args.verb {
        Verb::Join(args) => join(&args, session).await,
        Verb::Lookup(args) => lookup(&args, session).await,
        Verb::List(args) => list(&args, session).await,
    }
}

/// A line that scripts read: what became of a registration.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    Registered {
        round: u64,
        #[serde(flatten)]
        member: &'a Endpoint,
        level: u16,
        gets: u32,
        puts: u32,
        skipped: u32,
    },
    Failed {
        round: u64,
        error: String,
    },
    Left {
        #[serde(flatten)]
        member: &'a Endpoint,
        /// For how long it may still be found.
        found_seconds_max: u64,
    },
}

async fn join(args: &JoinArgs, session: &Session) -> Result<Exit, Failure> {
    let redir = args.tree.redir(session)?;
    let id = match (&args.id, &args.name) {
        (Some(hex), _) => Some(place(hex, true)?),
        (None, Some(text)) => Some(place(text, false)?),
        (None, None) => None,
    };
    let me = args.tree.scheme().form().endpoint(id, &args.address)?;
    let output = &session.output;
    if args.once {
        let ttl = Duration::from(args.ttl);
        let registered = redir.register(&me, Refresh { ttl, every: ttl / 2 }, None).await?;
        tell(output, &me, 1, &registered)?;
        return Ok(Exit::Ok);
    }
    let mut signals = Signals::new()?;
    let refresh = Refresh { ttl: args.ttl.into(), every: args.every.into() };
    let member = tokio::select! {
        member = redir.join(&me, refresh) => member?,
        () = signals.leave() => return Err(Failure::new(Exit::Interrupted, "stopped before it had registered")),
    };
    let mut rounds = member.rounds();
    loop {
        let round = rounds.borrow_and_update().clone();
        tell_round(output, &me, &round)?;
        tokio::select! {
            changed = rounds.changed() => if changed.is_err() {
                return Err(Failure::new(Exit::Failure, "the registrations ended by themselves"));
            },
            () = signals.leave() => break,
        }
    }
    let ttl = member.leave().await;
    if output.is_json() {
        output.json_line(&Event::Left { member: &me, found_seconds_max: ttl.as_secs() })?;
    } else {
        output.note(format!(
            "left; {} may be found for {} more",
            me.address(),
            Span::from_secs(ttl.as_secs()).in_words()
        ));
    }
    Ok(Exit::Ok)
}

fn tell_round(output: &Output, me: &Endpoint, round: &Round) -> Result<(), Failure> {
    match &round.outcome {
        Ok(registered) => tell(output, me, round.number, registered),
        Err(error) if output.is_json() => {
            output.json_line(&Event::Failed { round: round.number, error: error.to_string() })
        }
        Err(error) => {
            output.note(format!("registration {} failed: {error}", round.number));
            Ok(())
        }
    }
}

fn tell(output: &Output, me: &Endpoint, round: u64, registered: &Registered) -> Result<(), Failure> {
    let Registered { level, gets, puts, skipped, .. } = *registered;
    if output.is_json() {
        return output.json_line(&Event::Registered { round, member: me, level, gets, puts, skipped });
    }
    // People are told once; what goes well again and again is not news.
    if round == 1 {
        output.line(format!(
            "{}  {}  id {}  level {level}  {gets} {}, {puts} {}",
            output.style(Style::Green, "registered"),
            me.address(),
            me.id(),
            plural(gets.into(), "get", "gets"),
            plural(puts.into(), "put", "puts"),
        ))?;
    }
    strangers(output, skipped);
    Ok(())
}

/// A remark on values that nobody but a stranger puts.
fn strangers(output: &Output, skipped: u32) {
    if skipped > 0 && !output.is_json() {
        let values = plural(skipped.into(), "value that is no entry", "values that are no entries");
        output.note(format!("skipped {skipped} {values} of the namespace"));
    }
}

/// What came of one key.
#[derive(Serialize)]
struct Answer<'a> {
    /// As it was typed.
    asked: &'a str,
    key: Key,
    successor: Option<Endpoint>,
    level: u16,
    gets: u32,
    skipped: u32,
}

async fn lookup(args: &LookupArgs, session: &Session) -> Result<Exit, Failure> {
    let redir = args.tree.redir(session)?;
    let output = &session.output;
    let keys = match args.keys.as_slice() {
        [dash] if dash == "-" => {
            let text = crate::put::bounded(std::io::stdin().lock(), "standard input")?;
            String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
        }
        keys => keys.to_vec(),
    };
    let mut answers = Vec::new();
    for asked in &keys {
        let key = place(asked, args.hex)?;
        let LookedUp { successor, level, gets, skipped } = redir.lookup(&key).await?;
        let answer = Answer { asked, key, successor, level, gets, skipped };
        match (output.format, &answer.successor) {
            (Format::Ndjson, _) => output.json(&answer)?,
            (Format::Raw, Some(member)) => output.line(member.address())?,
            _ => {}
        }
        if answer.successor.is_none() {
            return Err(args.tree.nobody());
        }
        answers.push(answer);
    }
    match output.format {
        Format::Json => {
            #[derive(Serialize)]
            struct Found<'a> {
                namespace: &'a str,
                lookups: &'a [Answer<'a>],
            }
            output.json(&Found { namespace: &args.tree.namespace, lookups: &answers })?;
        }
        Format::Table => {
            output.table(&["key", "address", "member", "gets"], &[3], answers.iter().map(row))?
        }
        Format::Ndjson | Format::Raw => {}
    }
    strangers(output, answers.iter().map(|answer| answer.skipped).sum());
    Ok(Exit::Ok)
}

fn row(answer: &Answer<'_>) -> Vec<String> {
    let member = answer.successor.as_ref();
    vec![
        harmless(answer.asked),
        member.map_or_else(|| "-".to_owned(), |member| member.address().to_owned()),
        member.map_or_else(|| "-".to_owned(), |member| member.id().to_string()),
        answer.gets.to_string(),
    ]
}

async fn list(args: &ListArgs, session: &Session) -> Result<Exit, Failure> {
    let listed = args.tree.redir(session)?.list(args.max as usize).await?;
    let output = &session.output;
    match output.format {
        Format::Json => {
            #[derive(Serialize)]
            struct All<'a> {
                namespace: &'a str,
                members: &'a [Endpoint],
                complete: bool,
                gets: u32,
                skipped: u32,
            }
            output.json(&All {
                namespace: &args.tree.namespace,
                members: &listed.members,
                complete: listed.complete,
                gets: listed.gets,
                skipped: listed.skipped,
            })?;
        }
        Format::Ndjson => listed.members.iter().try_for_each(|member| output.json(member))?,
        Format::Raw => listed.members.iter().try_for_each(|member| output.line(member.address()))?,
        Format::Table if listed.members.is_empty() => {}
        Format::Table => {
            let rows = listed.members.iter().map(|m| vec![m.address().to_owned(), m.id().to_string()]);
            output.table(&["address", "member"], &[], rows)?;
        }
    }
    strangers(output, listed.skipped);
    let count = listed.members.len();
    if !listed.complete && count == args.max as usize {
        output.note(format!("there are more than {count} members (--max)"));
    } else if !listed.complete {
        output.note(format!("stopped after {} gets; there are more members than these {count}", listed.gets));
        return Ok(Exit::Partial);
    }
    if count == 0 { Err(args.tree.nobody()) } else { Ok(Exit::Ok) }
}
