//! A name service of signed records: `cargo run -p keyway-client --example names -- --help`

#[path = "../program/mod.rs"]
pub(crate) mod program;
pub(crate) mod record;
pub(crate) mod resolver;
pub(crate) mod zone;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use keyway_client::Authenticator;
use program::{Arguments, Failure, say};
use record::Name;
use resolver::Known;
use tokio::time::sleep;
use zone::Zone;

const HELP: &str = "\
Names for addresses, which only their signers can change.

  names set NAME ADDRESS... --sign KEYFILE       say where NAME is
  names add NAME ADDRESS --sign KEYFILE          one more address, beside whatever others add
  names delegate NAME SIGNER --sign KEYFILE      let SIGNER sign for NAME and all below it
  names keep NAME... --sign KEYFILE              renew the records before they end, until Ctrl-C
  names drop NAME --sign KEYFILE                 take it back
  names lookup NAME --zone SIGNER                where it is, if SIGNER signs for its last label
  names lookup NAME --known FILE                 the same, trusting whom FILE names, and at first use the only one who signs

The most general label comes last: printer.office stands in office. A SIGNER is the 64 digits that `keyway keygen` prints.

Options:
  --expect N         with set: only if the record before has this number (0: there is none)
  --ttl SECONDS      how long records live [default: 86400]
  --gateway URL,...  gateways that stand in for each other [default: $KEYWAY_GATEWAY, or http://127.0.0.1:5851]
";
const OPTIONS: [&str; 5] = ["sign", "zone", "known", "expect", "ttl"];
const TTL_DEFAULT: u64 = 86_400;
/// Pause after a renewal that failed.
const RETRY: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    run(std::env::args().skip(1)).into()
}

/// The whole program; gives its exit code.
pub(crate) fn run(args: impl Iterator<Item = String>) -> u8 {
    program::run(HELP, &OPTIONS, args, async |args| {
        let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
        match words[..] {
            ["lookup", name] => lookup(&args, &name.parse()?).await,
            ["set", name, _, ..] => {
                let expected = args.text("expect").map(|_| args.number("expect", 0)).transpose()?;
                let name: Name = name.parse()?;
                told(&name, zone(&args)?.set(&name, &args.words[2..], expected).await?)
            }
            ["add", name, address] => {
                let name: Name = name.parse()?;
                told(&name, zone(&args)?.add(&name, address).await?)
            }
            ["delegate", name, to] => {
                let (name, to): (Name, Authenticator) = (name.parse()?, to.parse()?);
                told(&name, zone(&args)?.delegate(&name, to).await?)
            }
            ["drop", name] => {
                zone(&args)?.drop(&name.parse()?).await?;
                say(&format!("{name} is taken back"))
            }
            ["keep", _, ..] => keep(&zone(&args)?, &args.words[1..]).await,
            _ => Err(Failure::usage("set, add, delegate, keep, drop or lookup, and a NAME?")),
        }
    })
}

fn zone(args: &Arguments) -> Result<Zone, Failure> {
    let (client, signer) = (args.client()?, args.signer("sign")?);
    Ok(Zone { client, signer, ttl: args.seconds("ttl", TTL_DEFAULT)? })
}

fn told(name: &Name, seq: u64) -> Result<(), Failure> {
    say(&format!("{name} is at number {seq}"))
}

async fn lookup(args: &Arguments, name: &Name) -> Result<(), Failure> {
    let client = args.client()?;
    let signer = match (args.text("zone"), args.text("known")) {
        (Some(signer), _) => signer.parse()?,
        (None, Some(file)) => Known::open(Path::new(file))?.signer_of(&client, name).await?,
        (None, None) => return Err(Failure::usage("whom do you trust: --zone SIGNER, or --known FILE?")),
    };
    let resolved = resolver::resolve(&client, &signer, name).await?;
    for link in &resolved.chain {
        eprintln!("{}, number {}, signed by {}", link.name, link.seq, link.signer);
    }
    resolved.addresses.iter().try_for_each(|address| say(address))
}

/// Renews records when half of their life is over.
async fn keep(zone: &Zone, names: &[String]) -> Result<(), Failure> {
    let names = names.iter().map(|name| name.parse()).collect::<Result<Vec<Name>, Failure>>()?;
    let mut pause = Duration::ZERO;
    loop {
        tokio::select! {
            () = program::stopped() => return Ok(()),
            () = sleep(pause) => {}
        }
        pause = zone.ttl / 2;
        for name in &names {
            match zone.renew(name).await {
                Ok(until) => say(&format!("{name} lives until {until}"))?,
                // What is not ours to renew will not become so; all else may pass.
                Err(failure) if failure.code == 3 => return Err(failure),
                Err(failure) => {
                    eprintln!("{name}: {}", program::harmless(&failure.message));
                    pause = pause.min(RETRY);
                }
            }
        }
    }
}
