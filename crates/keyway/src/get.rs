//! `keyway get`: print the values under a key, one per line in put-time order, or one value's exact bytes.

use clap::{Args, ValueEnum};
use keyway_client::{Authenticator, Client, GetOptions, Key, Kind, Reads, Value};
use serde::Serialize;

use crate::duration::Span;
use crate::exit::{Exit, Failure};
use crate::output::{Format, Output, harmless};
use crate::session::{KeyArgs, Session};
use crate::shell;

/// Values printed when neither `--all` nor `--max` is given.
const VALUES_DEFAULT: usize = 100;

/// Characters of a value in a table.
const SHOWN_CHARS_MAX: usize = 24;

const EXAMPLES: &str = "\
Examples:
  keyway get colors                     the values, oldest put first, one per line
  keyway get photo --raw > cat.jpg      the exact bytes of the first value
  keyway get colors -o json             with put times and lives
  keyway get colors --details           with hashes, kinds, signers and what is left of each life
  keyway get colors --signer HEX        what one signer has signed there
  keyway get nothing || echo none       the exit code is 3 when there is none
";

/// How many replicas are asked.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum ReadsArg {
    /// Enough replicas to see every acknowledged put.
    #[default]
    Quorum,
    /// The first copy that answers: fast, may miss a recent put.
    First,
}

/// Print the values under a key.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// Every value, however many [default: the first 100]
    #[arg(long, conflicts_with_all = ["max", "raw"])]
    all: bool,
    /// At most this many values
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max: Option<u32>,
    /// The exact bytes of the first value, nothing added; the same as `--output raw`
    #[arg(long)]
    raw: bool,
    /// A table: what each value is, its hash, its secret's hash or its signer, what is left of its life
    #[arg(long, conflicts_with = "raw")]
    details: bool,
    /// Only what this signer has signed: SHA-256 of its public key, as `keyway keygen` shows it
    #[arg(long, value_name = "HEX")]
    signer: Option<Authenticator>,
    /// Go on after this place, which the get before has named
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// How many replicas are asked
    #[arg(long, value_enum, default_value_t, env = "KEYWAY_READS")]
    reads: ReadsArg,
}

#[derive(Serialize)]
struct Found<'a> {
    key: Key,
    values: &'a [Value],
    /// Whether there are values that were not asked for.
    more: bool,
    /// Where to go on (`--cursor`).
    next: Option<String>,
    /// Replicas whose answers were merged for the last page.
    merged: u8,
}

/// `keyway get`.
pub(crate) async fn run(args: GetArgs, session: &Session) -> Result<Exit, Failure> {
    let key = args.key.place()?;
    let output = session.output;
    let raw = args.raw || output.format == Format::Raw;
    let wanted = match args.max {
        _ if args.all => usize::MAX,
        Some(max) => max as usize,
        None if raw => 1,
        None => VALUES_DEFAULT,
    };
    let reads = match args.reads {
        ReadsArg::Quorum => Reads::Quorum,
        ReadsArg::First => Reads::First,
    };

    let mut walk = Walk {
        client: session.client()?,
        key,
        reads,
        signer: args.signer,
        next: args.cursor.clone(),
        merged: 0,
    };
    if output.format == Format::Json {
        let (values, more) = walk.collect(wanted).await?;
        let next = walk.next.clone();
        output.json(&Found { key, values: &values, more, next, merged: walk.merged })?;
        return found(values.len(), &args.key, &key, walk.merged);
    }
    if args.details && output.format == Format::Table {
        let (values, more) = walk.collect(wanted).await?;
        if !values.is_empty() {
            table(&values, &output)?;
        }
        if let Some(next) = walk.next.as_deref().filter(|_| more) {
            output.note(format!("there are more: --cursor {}", shell::word(next)));
        }
        return found(values.len(), &args.key, &key, walk.merged);
    }
    // Page by page, so that a long list needs no memory here.
    let mut count = 0;
    loop {
        let (values, more) = walk.page(wanted - count).await?;
        count += values.len();
        for value in &values {
            print(value, raw, &output)?;
            if raw {
                break;
            }
        }
        if !more || count >= wanted {
            if more && !raw {
                let next = walk.next.as_deref().unwrap_or_default();
                output.note(format!(
                    "there are more than {count} values; --all prints them, --cursor {} goes on",
                    shell::word(next)
                ));
            } else if more && raw {
                output.note("there are more values; without --raw all are printed");
            }
            return found(count, &args.key, &key, walk.merged);
        }
    }
}

fn found(count: usize, named: &KeyArgs, key: &Key, merged: u8) -> Result<Exit, Failure> {
    if count > 0 {
        return Ok(Exit::Ok);
    }
    let name = if named.key.is_empty() { "the empty key".to_owned() } else { harmless(&named.key) };
    let asked = match merged {
        0 => String::new(),
        n => format!(", by {n} {} that answered", crate::output::plural(n.into(), "replica", "replicas")),
    };
    Err(Failure::new(Exit::NotFound, format!("no value under {name} (key {key}){asked}"))
        .hint(format!("`keyway where {}` shows what each replica holds", named.words())))
}

/// One line for each value, with all that is known of it.
fn table(values: &[Value], output: &Output) -> Result<(), Failure> {
    let row = |value: &Value| {
        let kind = match (value.kind, value.seq) {
            (Kind::Put, _) => "plain".to_owned(),
            (Kind::Immutable, _) => "immutable".to_owned(),
            (Kind::Signed, _) => "signed".to_owned(),
            (Kind::Sequenced, seq) => format!("number {}", seq.unwrap_or(0)),
            (Kind::Unknown, _) => "?".to_owned(),
        };
        let whose = match (&value.signer, &value.secret_hash) {
            (Some(signer), _) => format!("signer {signer}"),
            (None, Some(hash)) => format!("secret {hash}"),
            (None, None) => "-".to_owned(),
        };
        let left = Span::from_secs(value.remaining_seconds).to_string();
        let bytes = value.bytes.len().to_string();
        vec![shown(value), value.value_hash.to_string(), kind, bytes, left, whose]
    };
    let header = ["value", "value hash", "kind", "bytes", "left", "removable by"];
    output.table(&header, &[3, 4], values.iter().map(row))
}

/// The beginning of a value, on one line.
fn shown(value: &Value) -> String {
    let Ok(text) = std::str::from_utf8(&value.bytes) else { return "(bytes)".to_owned() };
    let line = harmless(text).replace(['\n', '\t'], " ");
    match line.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

fn print(value: &Value, raw: bool, output: &Output) -> Result<(), Failure> {
    match output.format {
        Format::Ndjson => output.json(value),
        _ if raw => output.bytes(&value.bytes),
        _ if output.out_is_terminal => match std::str::from_utf8(&value.bytes) {
            Ok(text) => output.line(harmless(text)),
            Err(_) => {
                let bytes = value.bytes.len();
                output
                    .line(format!("({bytes} bytes that are not text; --raw writes them, -o json shows them)"))
            }
        },
        _ => {
            output.bytes(&value.bytes)?;
            output.bytes(b"\n")
        }
    }
}

/// A walk along the values of a key.
struct Walk {
    client: Client,
    key: Key,
    reads: Reads,
    signer: Option<Authenticator>,
    next: Option<String>,
    merged: u8,
}

impl Walk {
    /// The next page of at most `max` values, and whether there may be another.
    async fn page(&mut self, max: usize) -> Result<(Vec<Value>, bool), Failure> {
        let max = u32::try_from(max.min(VALUES_DEFAULT)).expect("bounded by a small constant");
        let options =
            GetOptions { max: Some(max), after: self.next.take(), reads: self.reads, signer: self.signer };
        let page = self.client.get(&self.key, &options).await.map_err(|error| {
            let failure = Failure::from(error);
            match (&options.after, failure.code()) {
                (Some(_), Some("bad_request")) => {
                    failure.hint("--cursor takes what the get before has named, unchanged")
                }
                _ => failure,
            }
        })?;
        self.merged = page.merged;
        // A page without values ends the walk even if it names a next one, so that the loop is bounded.
        self.next = page.next.filter(|_| !page.values.is_empty());
        Ok((page.values, self.next.is_some()))
    }

    async fn collect(&mut self, wanted: usize) -> Result<(Vec<Value>, bool), Failure> {
        let mut values = Vec::new();
        loop {
            let (page, more) = self.page(wanted - values.len()).await?;
            values.extend(page);
            if !more || values.len() >= wanted {
                return Ok((values, more));
            }
        }
    }
}
