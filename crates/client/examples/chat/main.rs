//! A chat with presence, over nothing but a shared table: `cargo run -p keyway-client --example chat -- --help`

pub(crate) mod order;
#[path = "../program/mod.rs"]
pub(crate) mod program;
pub(crate) mod room;

use std::process::ExitCode;

use program::{Arguments, Failure, say};
use room::{Happening, Room};

const HELP: &str = "\
Talk in a room that no server keeps.

  chat ROOM --name NAME              what you type is said; what others say is shown
  chat ROOM --name NAME --json       the same as a JSON object a line, for programs

Leave with Ctrl-C or Ctrl-D. Whoever knows the room's name may enter, listen and speak.

Options:
  --name NAME        how you are called; four digits of a key made for this visit are added to it
  --here SECONDS     whoever dies is missed after this time [default: 15]
  --gateway URL,...  gateways that stand in for each other [default: $KEYWAY_GATEWAY, or http://127.0.0.1:5851]
";
const OPTIONS: [&str; 3] = ["name", "json", "here"];
const HERE_DEFAULT: u64 = 15;

fn main() -> ExitCode {
    run(std::env::args().skip(1)).into()
}

/// The whole program; gives its exit code.
pub(crate) fn run(args: impl Iterator<Item = String>) -> u8 {
    program::run(HELP, &OPTIONS, args, async |args| match &args.words[..] {
        [room] => talk(&args, room).await,
        _ => Err(Failure::usage("which ROOM?")),
    })
}

async fn talk(args: &Arguments, room: &str) -> Result<(), Failure> {
    let name = args.text("name").ok_or_else(|| Failure::usage("--name NAME is needed"))?;
    let json = args.text("json").is_some();
    let mut room = Room::enter(&args.client()?, room, name, args.seconds("here", HERE_DEFAULT)?).await?;
    eprintln!("you are {}", room.name());
    let mut lines = program::lines();
    let stopped = program::stopped();
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => break,
            line = lines.recv() => match line {
                Some(text) if text.trim().is_empty() => {}
                Some(text) => {
                    if let Err(failure) = room.say(&text).await {
                        eprintln!("not said: {}", program::harmless(&failure.message));
                    }
                }
                None => break,
            },
            happenings = room.next() => {
                for happening in happenings? {
                    show(&happening, json)?;
                }
            }
        }
    }
    room.leave().await
}

fn show(happening: &Happening, json: bool) -> Result<(), Failure> {
    if json {
        return say(&serde_json::to_string(happening).map_err(|why| Failure::usage(why.to_string()))?);
    }
    match happening {
        Happening::Here { names } => say(&format!("* here: {}", names.join(", "))),
        Happening::Joined { name } => say(&format!("* {name} joined")),
        Happening::Said { name, text } => say(&format!("{name}: {text}")),
        Happening::Left { name } => say(&format!("* {name} left")),
        Happening::Lost { name } => say(&format!("* {name} is gone without a word")),
        Happening::Trouble { message } => {
            eprintln!("* trouble: {message}");
            Ok(())
        }
    }
}
