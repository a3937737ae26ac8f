//! A file store in blocks of a kilobyte, as CFS is: `cargo run -p keyway-client --example cfs -- --help`

pub(crate) mod blocks;
#[path = "../program/mod.rs"]
pub(crate) mod program;
pub(crate) mod root;
pub(crate) mod transfer;

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::process::ExitCode;

use keyway_client::{Authenticator, Key};
use program::{Arguments, Failure, say};
use transfer::Fetch;

const HELP: &str = "\
Store files as blocks of 1,024 bytes in a Keyway network, and fetch them.

  cfs put FILE                                       store it; prints the key that names it
  cfs put FILE --name NAME --sign KEYFILE            and let NAME mean it from now on
  cfs get KEY --out FILE                             fetch it, with every block checked
  cfs get --name NAME --signer HEX > FILE            the file that HEX last published as NAME

Options:
  --window N         requests on their way at once [default: 32]
  --ttl SECONDS      how long the blocks live [default: 86400]; storing again extends it
  --out FILE         where a fetched file goes [default: standard output]
  --gateway URL,...  gateways that stand in for each other [default: $KEYWAY_GATEWAY, or http://127.0.0.1:5851]
";
const OPTIONS: [&str; 6] = ["window", "ttl", "out", "name", "sign", "signer"];
const WINDOW_DEFAULT: usize = 32;
const TTL_DEFAULT: u64 = 86_400;

fn main() -> ExitCode {
    run(std::env::args().skip(1)).into()
}

/// The whole program; gives its exit code.
pub(crate) fn run(args: impl Iterator<Item = String>) -> u8 {
    program::run(HELP, &OPTIONS, args, async |args| {
        let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
        match words[..] {
            ["put", file] => put(&args, file).await,
            ["get"] => get(&args, None).await,
            ["get", key] => get(&args, Some(Key::hex(key)?)).await,
            _ => Err(Failure::usage("put FILE or get KEY?")),
        }
    })
}

async fn put(args: &Arguments, path: &str) -> Result<(), Failure> {
    let client = args.client()?;
    let ttl = args.seconds("ttl", TTL_DEFAULT)?;
    let signer = args.text("name").map(|name| Ok::<_, Failure>((name, args.signer("sign")?))).transpose()?;
    let file = File::open(path).map_err(|why| Failure::new(1, format!("{path}: {why}")))?;
    let window = args.number("window", WINDOW_DEFAULT)?;
    let (key, summary) = transfer::store(&client, BufReader::new(file), ttl, window).await?;
    eprintln!("stored {}", summary.in_words());
    if let Some((name, signer)) = signer {
        let version = root::publish(&client, &signer, name, &key, ttl).await?;
        eprintln!("version {version} of {name:?}, signed by {}", signer.authenticator());
    }
    say(&key.to_string())
}

async fn get(args: &Arguments, key: Option<Key>) -> Result<(), Failure> {
    let client = args.client()?;
    let key = match (key, args.text("name"), args.text("signer")) {
        (Some(key), None, _) => key,
        (None, Some(name), Some(signer)) => {
            let owner: Authenticator = signer.parse()?;
            root::resolve(&client, &owner, name).await?
        }
        _ => return Err(Failure::usage("get KEY, or get --name NAME --signer HEX?")),
    };
    let failed =
        |why: std::io::Error| Failure::new(1, format!("{}: {why}", args.text("out").unwrap_or("stdout")));
    // Under its name it is whole.
    let part = args.text("out").map(|path| (format!("{path}.part"), path));
    let mut out: Box<dyn Write> = match &part {
        Some((part, _)) => Box::new(BufWriter::new(File::create(part).map_err(failed)?)),
        None => Box::new(std::io::stdout().lock()),
    };
    let mut fetch = Fetch::begin(&client, &key, args.number("window", WINDOW_DEFAULT)?).await?;
    while let Some(data) = fetch.next().await? {
        out.write_all(&data).map_err(failed)?;
    }
    out.flush().map_err(failed)?;
    drop(out);
    if let Some((part, path)) = &part {
        std::fs::rename(part, path).map_err(failed)?;
    }
    eprintln!("fetched {}", fetch.summary().in_words());
    Ok(())
}
