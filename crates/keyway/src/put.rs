//! `keyway put`: store a value, and say for how long and on how many nodes.

use std::fs::File;
use std::io::{self, Read};

use bytes::Bytes;
use clap::Args;

use crate::duration::{Span, utc};
use crate::exit::{Exit, Failure};
use crate::output::{Style, plural, thousands};
use crate::session::{KeyArgs, Session};

/// No node takes more than this, however it is configured: what fits a frame.
pub(crate) const VALUE_BYTES_MAX: u64 = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  keyway put colors red                 for a day
  keyway put colors blue --ttl 1w       a second value under the same key, for a week
  keyway put photo @cat.jpg             the bytes of a file
  date | keyway put now -               the bytes of standard input
  keyway put list -- -1                 a value that begins with a dash
";

/// Store a value under a key.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct PutArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// The value; `@FILE` for the bytes of a file, `-` for those of standard input
    #[arg(allow_negative_numbers = true)]
    value: String,
    /// How long it lives: 90s, 10m, 2h, 1d, 1w [default: the gateway's, 1d]
    #[arg(long, value_name = "DURATION", env = "KEYWAY_TTL")]
    ttl: Option<Span>,
}

/// `keyway put`.
pub(crate) async fn run(args: PutArgs, session: &Session) -> Result<Exit, Failure> {
    let key = args.key.place()?;
    let value = value(&args.value)?;
    let bytes = value.len() as u64;
    let receipt = session.client()?.put(&key, value, args.ttl.map(Into::into)).await?;

    let output = &session.output;
    if output.is_json() {
        output.json(&receipt)?;
        return Ok(Exit::Ok);
    }
    let acked = receipt.acked.len();
    let copies = format!("{acked} of {} copies acknowledged", receipt.replicas);
    output.line(format!(
        "{} {} {} {} for {} (until {}); {copies}",
        output.style(Style::Green, "stored"),
        thousands(bytes),
        plural(bytes, "byte", "bytes"),
        output.style(Style::Bold, &format!("under {}", crate::output::harmless(&args.key.key))),
        Span::from_secs(receipt.ttl_seconds).in_words(),
        utc(receipt.expires_ms),
    ))?;
    Ok(Exit::Ok)
}

/// The bytes that a value argument stands for.
fn value(argument: &str) -> Result<Bytes, Failure> {
    if argument == "-" {
        return bounded(io::stdin().lock(), "standard input");
    }
    match argument.strip_prefix('@') {
        Some(path) => {
            let file = File::open(path).map_err(|error| {
                Failure::new(Exit::Usage, format!("cannot read the value from {path:?}: {error}"))
                    .hint("a value that itself begins with @ can be given on standard input: VALUE -")
            })?;
            bounded(file, path)
        }
        None => Ok(Bytes::copy_from_slice(argument.as_bytes())),
    }
}

/// All of `source`, unless it is more than any node takes.
pub(crate) fn bounded(source: impl Read, name: &str) -> Result<Bytes, Failure> {
    let mut bytes = Vec::new();
    source.take(VALUE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| {
        Failure::new(Exit::Failure, format!("cannot read the value from {name}: {error}"))
    })?;
    if bytes.len() as u64 > VALUE_BYTES_MAX {
        let max = thousands(VALUE_BYTES_MAX);
        return Err(Failure::new(
            Exit::Refused,
            format!("{name} has more than {max} bytes, which no node takes"),
        )
        .hint("`keyway status` shows the greatest value that the gateway's node takes"));
    }
    Ok(bytes.into())
}
