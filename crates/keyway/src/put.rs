//! `keyway put`: store a value, and say for how long and on how many nodes.
//!
//! Plain, removable by a secret, under its own hash, or signed: alone, or as the next of a series. Whoever does not say which
//! number is next lets this verb look: it reads the series and puts the next number only if nobody else did meanwhile, else the one
//! after that. After a removal there is nothing to read; then, too, the refusal tells where the series is.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use keyway_client::{
    Claim, Client, ClientError, GetOptions, Hex, Key, Kind, Nonce, PutOptions, PutReceipt, Signer, expires_in,
};

use crate::duration::Span;
use crate::exit::{Exit, Failure};
use crate::output::{Output, thousands};
use crate::receipt;
use crate::secrets::{self, SecretArgs};
use crate::session::{Session, place};

/// No node takes more than this, however it is configured: what fits a frame.
pub(crate) const VALUE_BYTES_MAX: u64 = 1 << 20;
/// The life of what is signed when nobody says: a day. What is not signed lives as long as the gateway says.
pub(crate) const SIGNED_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Pages of a signer's values that are looked through for a series or a value.
pub(crate) const PAGES_MAX: usize = 100;
/// Times that the next number of a series is looked for while others put it.
const NUMBERS_MAX: u32 = 16;

const EXAMPLES: &str = "\
Examples:
  keyway put colors red                           for a day
  keyway put colors blue --ttl 1w                 a second value under the same key, for a week
  keyway put photo @cat.jpg                       the bytes of a file
  date | keyway put now -                         the bytes of standard input
  keyway put list -- -1                           a value that begins with a dash
  keyway put colors red --secret-file FILE        one that `keyway remove` can remove
  keyway put --immutable @cat.jpg                 under its own hash, which is printed
  keyway put colors red --sign me.key             under your name (`keyway keygen me.key`)
  keyway put visits 7 --sign me.key --series day  in place of the last one of your series
";

/// Store a value under a key.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct PutArgs {
    /// The key: a text, or 40 hex digits with --hex; left out with --immutable
    #[arg(value_name = "KEY", allow_negative_numbers = true)]
    key: String,
    /// The value; `@FILE` for the bytes of a file, `-` for those of standard input
    #[arg(allow_negative_numbers = true, required_unless_present = "immutable")]
    value: Option<String>,
    /// KEY is 40 hex digits, not a text
    #[arg(long)]
    hex: bool,
    /// How long it lives: 90s, 10m, 2h, 1d, 1w [default: the gateway's, 1d]
    #[arg(long, value_name = "DURATION", env = "KEYWAY_TTL")]
    ttl: Option<Span>,
    /// Print the names and the nodes of the receipt, too
    #[arg(long)]
    details: bool,
    #[command(flatten)]
    secret: SecretArgs,
    /// Store it under its own hash, by which whoever reads it can know it; it cannot be removed. Others may put other values beside it
    #[arg(long, conflicts_with_all = ["hex", "secret_file", "secret_fd", "sign"])]
    immutable: bool,
    /// Sign it with the key in this file (`keyway keygen`)
    #[arg(long, value_name = "KEYFILE", conflicts_with_all = ["secret_file", "secret_fd"])]
    sign: Option<PathBuf>,
    /// Put it as the next of your series with this name, in place of the last one
    #[arg(long, value_name = "NAME", requires = "sign")]
    series: Option<String>,
    /// Its number in the series, greater than any before [default: the next one]
    #[arg(long, value_name = "N", requires = "sign", value_parser = clap::value_parser!(u64).range(1..))]
    seq: Option<u64>,
    /// Only if the series is at this number now; 0: if there is none yet
    #[arg(long, value_name = "N", requires = "sign")]
    cas: Option<u64>,
}

/// `keyway put`.
pub(crate) async fn run(args: PutArgs, session: &Session) -> Result<Exit, Failure> {
    let output = &session.output;
    let argument = match (&args.value, args.immutable) {
        (Some(_), true) => {
            return Err(Failure::new(Exit::Usage, "with --immutable there is no KEY: the value is its key")
                .hint("keyway put --immutable VALUE"));
        }
        (None, _) => &args.key,
        (Some(value), false) => value,
    };
    let value = value(argument)?;
    let bytes = value.len() as u64;
    let client = session.client()?;
    let ttl = args.ttl.map(Duration::from);
    let (name, receipt) = if args.immutable {
        let receipt = client.put_immutable(value, ttl).await?;
        (receipt.key.to_string(), receipt)
    } else {
        let key = place(&args.key, args.hex)?;
        let receipt = match &args.sign {
            Some(file) => {
                let signer = secrets::signer(file, output)?;
                put_signed(&args, &client, key, value, &signer).await?
            }
            None => {
                let secret_hash = args.secret.read(output)?.map(|secret| secret.hash());
                client.put_with(&key, value, &PutOptions { ttl, secret_hash }).await?
            }
        };
        (args.key.clone(), receipt)
    };
    report(output, bytes, &name, &receipt, args.details)
}

fn report(
    output: &Output,
    bytes: u64,
    name: &str,
    receipt: &PutReceipt,
    details: bool,
) -> Result<Exit, Failure> {
    if output.is_json() {
        output.json(receipt)?;
        return Ok(Exit::Ok);
    }
    receipt::stored(output, "stored", bytes, name, receipt)?;
    if details {
        receipt::details(output, receipt)?;
    }
    Ok(Exit::Ok)
}

async fn put_signed(
    args: &PutArgs,
    client: &Client,
    key: Key,
    value: Bytes,
    signer: &Signer,
) -> Result<PutReceipt, Failure> {
    let expires = expires_in(args.ttl.map_or(SIGNED_LIFE, Duration::from));
    if args.series.is_none() && args.seq.is_none() && args.cas.is_none() {
        let claim = Claim::value(key, value, Nonce::random()?, expires);
        return Ok(client.put_signed(&claim, signer, None).await?);
    }
    let series = Hex::series(args.series.as_deref().unwrap_or_default());
    let claim = |seq: u64| Claim::next(key, value.clone(), series, seq, expires);
    match (args.seq, args.cas) {
        (Some(seq), cas) => return Ok(client.put_signed(&claim(seq), signer, cas).await?),
        (None, Some(cas)) => {
            return Ok(client.put_signed(&claim(cas.saturating_add(1)), signer, Some(cas)).await?);
        }
        (None, None) => {}
    }
    let mut number = number_of(client, &key, signer, &series).await?;
    let mut tries = 1;
    loop {
        match client.put_signed(&claim(number.saturating_add(1)), signer, Some(number)).await {
            Err(ClientError::Refused { code, seq: Some(now), .. })
                if code == "conflict" && tries < NUMBERS_MAX =>
            {
                (number, tries) = (now, tries + 1);
            }
            ended => return Ok(ended?),
        }
    }
}

/// Where a series is; 0 if nothing of it is to be seen.
async fn number_of(client: &Client, key: &Key, signer: &Signer, series: &Nonce) -> Result<u64, Failure> {
    let mut options = GetOptions { signer: Some(signer.authenticator()), ..GetOptions::default() };
    for _ in 0..PAGES_MAX {
        let page = client.get(key, &options).await?;
        let of_series = |value: &&keyway_client::Value| {
            value.kind == Kind::Sequenced && value.proof.as_ref().is_some_and(|proof| proof.nonce == *series)
        };
        if let Some(value) = page.values.iter().find(of_series) {
            return Ok(value.seq.unwrap_or(0));
        }
        match page.next {
            Some(next) => options.after = Some(next),
            None => return Ok(0),
        }
    }
    Err(Failure::new(Exit::Partial, "the series was not found among the first values of this signer")
        .hint("say where it is: --cas N"))
}

/// The bytes that a value argument stands for.
pub(crate) fn value(argument: &str) -> Result<Bytes, Failure> {
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
        let failure = Failure::new(Exit::Usage, format!("cannot read the value from {name}: {error}"));
        match error.kind() {
            io::ErrorKind::IsADirectory => failure.hint("name a file; `keyway publish` takes whole folders"),
            _ => failure.hint("name a file that can be read"),
        }
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
