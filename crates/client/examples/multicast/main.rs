//! A multicast tree of processes that find each other by ReDiR: `cargo run -p keyway-client --example multicast -- --help`

pub(crate) mod group;
pub(crate) mod journal;
pub(crate) mod link;
pub(crate) mod place;
#[path = "../program/mod.rs"]
pub(crate) mod program;
pub(crate) mod search;

use std::net::SocketAddr;
use std::process::ExitCode;

use group::{Group, Happening, Settings};
use keyway_client::Key;
use keyway_client::redir::{Form, Refresh};
use program::{Arguments, Failure, say};
use tokio::net::TcpListener;

const HELP: &str = "\
Send lines to all members of a group, over a tree that they build and repair themselves.

  multicast GROUP                    what you type goes to all; what others say is shown
  multicast GROUP --json             the same as a JSON object a line, for programs

Leave with Ctrl-C. At the end of its input a member stays, and listens.

Options:
  --listen ADDR:PORT   where other members connect [default: a free port of 127.0.0.1]
  --address HOST:PORT  the same, as others reach it [default: where it listens]
  --name TEXT          its place among the members follows from this [default: from its address]
  --branching B        children of a member, on average; all members must say the same [default: 4]
  --every SECONDS      between two registrations [default: 30]
  --ttl SECONDS        how long a registration lives [default: 60]
  --gateway URL,...    gateways that stand in for each other [default: $KEYWAY_GATEWAY, or http://127.0.0.1:5851]
";
const OPTIONS: [&str; 7] = ["listen", "address", "name", "branching", "every", "ttl", "json"];
const LISTEN_DEFAULT: &str = "127.0.0.1:0";
const BRANCHING_DEFAULT: u8 = 4;

fn main() -> ExitCode {
    run(std::env::args().skip(1)).into()
}

/// The whole program; gives its exit code.
pub(crate) fn run(args: impl Iterator<Item = String>) -> u8 {
    program::run(HELP, &OPTIONS, args, async |args| match &args.words[..] {
        [group] => take_part(&args, group).await,
        _ => Err(Failure::usage("which GROUP?")),
    })
}

async fn take_part(args: &Arguments, name: &str) -> Result<(), Failure> {
    let listen = args.text("listen").unwrap_or(LISTEN_DEFAULT);
    let listener = TcpListener::bind(listen).await.map_err(|why| {
        Failure::new(1, format!("{listen}: {why}")).hint("choose another --listen ADDR:PORT")
    })?;
    let here: SocketAddr = listener.local_addr()?;
    let address = args.text("address").map_or_else(|| here.to_string(), str::to_owned);
    let me = Form::Native.endpoint(args.text("name").map(Key::text), &address)?;
    let settings = Settings { branching: branching(args)?, refresh: refresh(args)? };
    let json = args.text("json").is_some();
    let mut group = Group::join(&args.client()?, name, &me, listener, settings).await?;
    eprintln!("you are {address}");
    let mut lines = program::lines();
    let mut typing = true;
    let stopped = program::stopped();
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => break,
            line = lines.recv(), if typing => match line {
                Some(text) => match group.say(&text) {
                    Ok(said) => show(&said, json)?,
                    Err(failure) => eprintln!("not said: {}", failure.message),
                },
                None => typing = false,
            },
            happenings = group.next() => {
                for happening in happenings {
                    show(&happening, json)?;
                }
            }
        }
    }
    group.leave().await;
    Ok(())
}

fn branching(args: &Arguments) -> Result<u8, Failure> {
    match args.number("branching", BRANCHING_DEFAULT)? {
        0 | 1 => Err(Failure::usage("--branching is 2 to 255")),
        branching => Ok(branching),
    }
}

fn refresh(args: &Arguments) -> Result<Refresh, Failure> {
    let Refresh { ttl, every } = Refresh::default();
    Ok(Refresh { ttl: args.seconds("ttl", ttl.as_secs())?, every: args.seconds("every", every.as_secs())? })
}

fn show(happening: &Happening, json: bool) -> Result<(), Failure> {
    if json {
        return say(&serde_json::to_string(happening).map_err(|why| Failure::usage(why.to_string()))?);
    }
    match happening {
        Happening::Root => say("* we are the root of the tree"),
        Happening::Parent { address } => say(&format!("* {address} is our parent")),
        Happening::Child { address } => say(&format!("* {address} is our child")),
        Happening::Gone { address } => say(&format!("* {address} is gone")),
        Happening::Message { source, text, lost, .. } => {
            if *lost > 0 {
                say(&format!("* {lost} messages of {source} are lost"))?;
            }
            say(&format!("{}: {text}", source.get(..4).unwrap_or(source)))
        }
        Happening::Trouble { message } => {
            eprintln!("* trouble: {}", program::harmless(message));
            Ok(())
        }
    }
}
