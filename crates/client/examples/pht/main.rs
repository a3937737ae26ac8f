//! An index with range queries, a prefix hash tree: `cargo run -p keyway-client --example pht -- --help`

pub(crate) mod index;
pub(crate) mod prefix;
#[path = "../program/mod.rs"]
pub(crate) mod program;
pub(crate) mod range;
pub(crate) mod search;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use index::{Index, Settings};
use program::{Arguments, Failure, harmless, say};
use tokio::task::JoinSet;

const HELP: &str = "\
An index over numbers from 0 to 18446744073709551615, such as times or places, with range queries.

  pht INDEX insert KEY TEXT          add an entry; a key may have many
  pht INDEX load < LINES             the same for each line `KEY TEXT`
  pht INDEX range LOW HIGH           the entries with keys from LOW to HIGH, in order
  pht INDEX remove KEY [TEXT]        remove the key's entries, or the one with this text

Options:
  --secret-file FILE   only who has this secret can change the index [default: whoever knows its name]
  --leaf N             a leaf with more entries is split [default: 16]
  --ttl SECONDS        how long entries live [default: 86400]
  --window N           with load: inserts on their way at once [default: 8]
  --gateway URL,...    gateways that stand in for each other [default: $KEYWAY_GATEWAY, or http://127.0.0.1:5851]
";
const OPTIONS: [&str; 4] = ["secret-file", "leaf", "ttl", "window"];
const LEAF_DEFAULT: usize = 16;
const TTL_DEFAULT: u64 = 86_400;
const LOAD_WINDOW: usize = 8;
const SECRET_FILE_BYTES_MAX: u64 = 4096;

fn main() -> ExitCode {
    run(std::env::args().skip(1)).into()
}

/// The whole program; gives its exit code.
pub(crate) fn run(args: impl Iterator<Item = String>) -> u8 {
    program::run(HELP, &OPTIONS, args, async |args| {
        let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
        let ttl = args.seconds("ttl", TTL_DEFAULT)?;
        let [name, rest @ ..] = &words[..] else { return Err(Failure::usage("which INDEX?")) };
        let index = open(&args, name, ttl)?;
        match rest[..] {
            ["insert", key, text] => index.insert(number(key)?, text.to_owned().into(), ttl).await?,
            ["load"] => load(&index, ttl, args.number("window", LOAD_WINDOW)?.max(1)).await?,
            ["range", low, high] => {
                for (key, payload) in index.range(number(low)?, number(high)?).await? {
                    say(&format!("{key} {}", harmless(&String::from_utf8_lossy(&payload))))?;
                }
            }
            ["remove", key] => removed(index.remove(number(key)?, None).await?)?,
            ["remove", key, text] => {
                removed(index.remove(number(key)?, Some(&Bytes::from(text.to_owned()))).await?)?;
            }
            _ => return Err(Failure::usage("insert, load, range or remove?")),
        }
        let (gets, splits) = index.effort();
        eprintln!("{gets} gets, {splits} splits");
        Ok(())
    })
}

fn open(args: &Arguments, name: &str, ttl: Duration) -> Result<Index, Failure> {
    let secret = match args.text("secret-file") {
        Some(path) => program::read_small(Path::new(path), SECRET_FILE_BYTES_MAX)?,
        None => String::new(),
    };
    let settings = Settings { leaf_entries_max: args.number("leaf", LEAF_DEFAULT)?.max(1), ttl };
    Index::new(&args.client()?, name, secret.trim_end(), settings)
}

fn number(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| Failure::usage(format!("{text:?} is no whole number from 0 to {}", u64::MAX)))
}

fn removed(count: usize) -> Result<(), Failure> {
    match count {
        0 => Err(Failure::not_found("there is no such entry")),
        count => say(&format!("removed {count}")),
    }
}

/// Inserts every line of standard input.
async fn load(index: &Index, ttl: Duration, window: usize) -> Result<(), Failure> {
    let (mut lines, mut inserts, mut count) = (program::lines(), JoinSet::new(), 0u64);
    while let Some(line) = lines.recv().await {
        let wrong = || Failure::usage(format!("{line:?} is not KEY TEXT"));
        let (key, text) = line.split_once(' ').ok_or_else(wrong)?;
        let (key, text) = (number(key)?, Bytes::from(text.to_owned()));
        if inserts.len() >= window {
            index::done(inserts.join_next().await)?;
        }
        let index = index.clone();
        inserts.spawn(async move { index.insert(key, text, ttl).await });
        count += 1;
    }
    while !inserts.is_empty() {
        index::done(inserts.join_next().await)?;
    }
    say(&format!("inserted {count}"))
}
