//! `keyway watch`: print what happens to a key as it happens, or run a command for each event.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use clap::Args;
use keyway_client::{Client, Event, Key, Value};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::signal::ctrl_c;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::duration::{Span, utc};
use crate::exit::{Exit, Failure};
use crate::output::{Format, Output, Style, harmless, plural, thousands};
use crate::session::{KeyArgs, Session};

const EXAMPLES: &str = "\
Examples:
  keyway watch colors                          what is there, then what changes, until Ctrl-C
  keyway watch colors --new -o ndjson          only what changes, for a program
  keyway watch config --exec 'cat > conf.new'  the value comes on standard input
  keyway watch config --max 1 -o raw           the exact bytes of values alone

A gateway looks once a second, and at the first 1,000 values or 1 MiB of a key: what stands behind them is not told.
";

/// Values of a key, and bytes of them, to which a gateway looks at most (docs/gateway.md).
const VALUES_LOOKED_AT: u64 = 1_000;
/// The longest value of a network, if nobody tells.
const VALUE_BYTES_USUAL: u64 = 64 << 10;
/// For a gateway to tell it.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);
const BYTES_LOOKED_AT: u64 = 1 << 20;

/// Print what happens to a key as it happens.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// Nothing of what is there at the beginning
    #[arg(long)]
    new: bool,
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max: Option<u64>,
    /// Run this in a shell for each event, one after the other: the value's bytes on its standard input, KEYWAY_EVENT (value,
    /// renewed, removed, expired), KEYWAY_KEY and KEYWAY_VALUE_HASH in its environment
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
}

/// `keyway watch`.
pub(crate) async fn run(args: WatchArgs, session: &Session) -> Result<Exit, Failure> {
    let key = args.key.place()?;
    let output = session.output;
    let raw = output.format == Format::Raw && args.exec.is_none();
    let client = session.client()?;
    let mut watch = client.watch(&key);
    let reader_gone = reader_gone(args.exec.is_none());
    tokio::pin!(reader_gone);
    let (mut ready, mut count) = (false, 0);
    let mut told = Told { most: longest(&client).await, ..Told::default() };
    loop {
        let event = tokio::select! {
            event = watch.next() => event?,
            _ = ctrl_c() => return Ok(Exit::Interrupted),
            () = &mut reader_gone => return Ok(Exit::Ok),
        };
        match &event {
            Event::Ready => {
                ready = true;
                output.note(format!("ready: {}; Ctrl-C ends", told.in_words()));
                continue;
            }
            Event::Trouble { message } => {
                output.note(format!("cannot read the key now: {}; trying again", harmless(message)));
                continue;
            }
            Event::Value(value) if !ready => told.add(value),
            _ => {}
        }
        if args.new && !ready {
            continue;
        }
        // Exact bytes, nothing added: what has no new bytes is nothing.
        if raw && !matches!(event, Event::Value(_)) {
            continue;
        }
        match &args.exec {
            Some(command) => execute(command, key, event, &output).await?,
            None => print(&event, raw, &output)?,
        }
        count += 1;
        if args.max.is_some_and(|max| count >= max) {
            return Ok(Exit::Ok);
        }
    }
}

/// Ends when whoever reads standard output has gone, `head` that has enough: else a watch would outlive it until the key changes.
async fn reader_gone(is_read: bool) {
    let (tell, gone) = oneshot::channel();
    if is_read {
        // A thread of its own and none of the runtime's: the process ends without it.
        thread::spawn(move || {
            let stdout = std::io::stdout();
            let mut ends = [PollFd::new(&stdout, PollFlags::empty())];
            // Nothing is asked for: what comes is an error or a hang-up.
            while poll(&mut ends, None) == Err(Errno::INTR) {}
            if ends[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
                let _ = tell.send(());
            }
        });
    }
    if gone.await.is_err() {
        std::future::pending().await
    }
}

/// The longest value that the network takes: who is cut off may be so long. As usual, if nobody tells.
async fn longest(client: &Client) -> u64 {
    match timeout(ASK_TIMEOUT, client.node()).await {
        Ok(Ok(node)) => node.value_bytes_max.into(),
        _ => VALUE_BYTES_USUAL,
    }
}

/// What was there at the beginning.
#[derive(Default)]
struct Told {
    values: u64,
    bytes: u64,
    /// Of the longest value that there may be.
    most: u64,
}

impl Told {
    fn add(&mut self, value: &Value) {
        let bytes = value.bytes.len() as u64;
        self.values += 1;
        self.bytes += bytes;
        self.most = self.most.max(bytes);
    }

    /// Whether that is all. Who fills the bounds but for one more value of the same kind may have more.
    fn in_words(&self) -> String {
        let values = thousands(self.values);
        if self.values < VALUES_LOOKED_AT && self.bytes + self.most <= BYTES_LOOKED_AT {
            return "all that is there has been told".to_owned();
        }
        format!(
            "only the first {values} {} can be told: a gateway looks at no more than {} or 1 MiB of a key, and what stands \
             behind them is not watched",
            plural(self.values, "value", "values"),
            thousands(VALUES_LOOKED_AT),
        )
    }
}

fn print(event: &Event, raw: bool, output: &Output) -> Result<(), Failure> {
    if let (true, Event::Value(value)) = (raw, event) {
        return output.bytes(&value.bytes);
    }
    if output.is_json() {
        return output.json_line(event);
    }
    let (word, style) = match event {
        Event::Value(_) => ("value", Style::Green),
        Event::Renewed(_) => ("renewed", Style::Yellow),
        Event::Removed(_) => ("removed", Style::Red),
        _ => ("expired", Style::Dim),
    };
    let word = output.style(style, &format!("{word:<8}"));
    match event {
        Event::Value(value) | Event::Renewed(value) => {
            let left = Span::from_secs(value.remaining_seconds);
            output.line(format!("{word} {} {} (for {left})", value.value_hash, shown(value)))
        }
        Event::Removed(gone) => {
            output.line(format!("{word} {} (until {})", gone.value_hash, utc(gone.expires_ms)))
        }
        Event::Expired(gone) => output.line(format!("{word} {}", gone.value_hash)),
        Event::Ready | Event::Trouble { .. } => Ok(()),
    }
}

fn shown(value: &Value) -> String {
    match std::str::from_utf8(&value.bytes) {
        Ok(text) => harmless(text),
        Err(_) => format!("({} bytes that are not text)", value.bytes.len()),
    }
}

/// Runs the command for an event, and waits for it. What strangers put goes to its standard input, never into its text.
async fn execute(command: &str, key: Key, event: Event, output: &Output) -> Result<(), Failure> {
    let (word, hash, bytes) = match event {
        Event::Value(value) => ("value", value.value_hash, value.bytes),
        Event::Renewed(value) => ("renewed", value.value_hash, value.bytes),
        Event::Removed(gone) => ("removed", gone.value_hash, bytes::Bytes::new()),
        Event::Expired(gone) => ("expired", gone.value_hash, bytes::Bytes::new()),
        Event::Ready | Event::Trouble { .. } => return Ok(()),
    };
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).stdin(Stdio::piped());
    shell.env("KEYWAY_EVENT", word).env("KEYWAY_KEY", key.to_string());
    shell.env("KEYWAY_VALUE_HASH", hash.to_string());
    let ran = tokio::task::spawn_blocking(move || {
        let mut child = shell.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that does not read its input closes the pipe; that is its choice.
            let _ = stdin.write_all(&bytes);
        }
        child.wait()
    });
    match ran.await.unwrap_or_else(|gone| Err(std::io::Error::other(gone))) {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            output.note(format!("the command for {word} {hash} ended with {status}; the watch goes on"));
            Ok(())
        }
        Err(error) => Err(Failure::new(Exit::Failure, format!("cannot run the command: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_said_only_where_it_is_all() {
        let said = |values: u64, bytes: u64, most: u64| Told { values, bytes, most }.in_words();
        for all in [said(0, 0, 0), said(1, 64 << 10, 64 << 10), said(999, 9_990, 10)] {
            assert!(all.starts_with("all "), "{all}");
        }
        for part in [said(1_000, 10_000, 10), said(16, 1 << 20, 64 << 10), said(1, 1 << 20, 1 << 20)] {
            assert!(part.contains("not watched"), "{part}");
        }
        assert!(said(1_000, 1, 1).contains("first 1,000 values"));
    }
}
