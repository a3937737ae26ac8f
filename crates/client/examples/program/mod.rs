//! What every example begins and ends with: its arguments, its gateways, its lines of input, its exit code.
//!
//! Written by hand to keep the library free of a parser; a program of your own would rather use clap. The exit codes are those of
//! `keyway` itself ([`ClientError::exit_code`]).

#![allow(dead_code, reason = "each example uses a part")]

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use keyway_client::{Client, ClientError, GATEWAY_DEFAULT, Signer};
use tokio::sync::mpsc;

/// The options that take no value.
const FLAGS: [&str; 1] = ["json"];
/// Lines of input that wait to be read.
const LINES_MAX: usize = 16;
/// Longest key file.
const KEY_FILE_BYTES_MAX: u64 = 4096;

/// Why an example ends badly: for people, with an exit code and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), hint: None }
    }

    /// The arguments make no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure::new(2, message).hint("see --help")
    }

    /// There is nothing under that name.
    pub(crate) fn not_found(message: impl Into<String>) -> Failure {
        Failure::new(3, message)
    }

    /// What was found is not what it should be.
    pub(crate) fn invalid(message: impl Into<String>) -> Failure {
        Failure::new(8, message)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let hint = match &error {
            ClientError::Unreachable { .. } => Some("is a node running? Try: keyway up".to_owned()),
            other => other.hint().map(str::to_owned),
        };
        Failure { code: error.exit_code(), message: error.to_string(), hint }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::new(1, error.to_string())
    }
}

/// The arguments of an example, taken apart.
pub(crate) struct Arguments {
    /// Those that are no options, in their order.
    pub(crate) words: Vec<String>,
    options: BTreeMap<String, String>,
}

impl Arguments {
    /// `known` are the options; `--gateway` is one of every example.
    fn parse(known: &[&str], args: impl Iterator<Item = String>) -> Result<Option<Arguments>, Failure> {
        let (mut words, mut options) = (Vec::new(), BTreeMap::new());
        let mut args = args.peekable();
        while let Some(arg) = args.next() {
            if arg == "--help" || arg == "-h" {
                return Ok(None);
            }
            let Some(option) = arg.strip_prefix("--") else {
                words.push(arg);
                continue;
            };
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (option, None),
            };
            if name != "gateway" && !known.contains(&name) {
                return Err(Failure::usage(format!("there is no option --{name}")));
            }
            let value = value.or_else(|| FLAGS.contains(&name).then(String::new));
            let Some(value) = value.or_else(|| args.next()) else {
                return Err(Failure::usage(format!("--{name} needs a value")));
            };
            options.insert(name.to_owned(), value);
        }
        Ok(Some(Arguments { words, options }))
    }

    /// The value of an option.
    pub(crate) fn text(&self, option: &str) -> Option<&str> {
        self.options.get(option).map(String::as_str)
    }

    /// The value of an option, or what stands for it.
    pub(crate) fn number<T: FromStr>(&self, option: &str, default: T) -> Result<T, Failure> {
        let Some(text) = self.text(option) else { return Ok(default) };
        text.parse()
            .map_err(|_| Failure::usage(format!("--{option} {text}: this is no number in its bounds")))
    }

    /// The value of an option in seconds, at least one.
    pub(crate) fn seconds(&self, option: &str, default: u64) -> Result<Duration, Failure> {
        match self.number(option, default)? {
            0 => Err(Failure::usage(format!("--{option} is at least one second"))),
            seconds => Ok(Duration::from_secs(seconds)),
        }
    }

    /// A client of the gateways of `--gateway`, of `KEYWAY_GATEWAY`, or of the usual one.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let told = self.text("gateway").map(str::to_owned).or_else(|| std::env::var("KEYWAY_GATEWAY").ok());
        let list = told.unwrap_or_else(|| GATEWAY_DEFAULT.to_owned());
        let gateways: Vec<String> = list.split(',').map(|one| one.trim().to_owned()).collect();
        Ok(Client::new(&gateways)?)
    }

    /// The private key in the file that an option names. It comes from a file so that no list of processes shows it.
    pub(crate) fn signer(&self, option: &str) -> Result<Signer, Failure> {
        let Some(path) = self.text(option) else {
            return Err(Failure::usage(format!("--{option} KEYFILE is needed"))
                .hint("make one with: keyway keygen KEYFILE"));
        };
        Ok(Signer::from_text(&read_small(Path::new(path), KEY_FILE_BYTES_MAX)?)?)
    }
}

/// The text of a file, if it is not longer.
pub(crate) fn read_small(path: &Path, bytes_max: u64) -> Result<String, Failure> {
    let failed = |why: &dyn Display| Failure::new(1, format!("{}: {why}", path.display()));
    let length = std::fs::metadata(path).map_err(|why| failed(&why))?.len();
    if length > bytes_max {
        return Err(failed(&format!("longer than {bytes_max} bytes")));
    }
    std::fs::read_to_string(path).map_err(|why| failed(&why))
}

/// Runs an example to its end: takes the arguments apart, or shows the help. Gives its exit code.
pub(crate) fn run(
    help: &str,
    options: &[&str],
    args: impl Iterator<Item = String>,
    body: impl AsyncFnOnce(Arguments) -> Result<(), Failure>,
) -> u8 {
    let outcome = match Arguments::parse(options, args) {
        Ok(Some(arguments)) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Failure::from)
            .and_then(|runtime| runtime.block_on(body(arguments))),
        Ok(None) => say(help.trim_end()),
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(()) => 0,
        Err(failure) => {
            eprintln!("error: {}", harmless(&failure.message));
            if let Some(hint) = failure.hint {
                eprintln!("hint: {}", harmless(&hint));
            }
            failure.code
        }
    }
}

/// A line on standard output, at once.
pub(crate) fn say(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// A text of somebody else's without what moves a terminal's cursor.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The lines of standard input, until it ends. A thread of its own reads them: a read cannot be given up, a thread can be left.
pub(crate) fn lines() -> mpsc::Receiver<String> {
    let (send, lines) = mpsc::channel(LINES_MAX);
    std::thread::spawn(move || {
        let read = std::io::stdin().lock().lines().map_while(Result::ok);
        read.take_while(|line| send.blocking_send(line.clone()).is_ok()).for_each(drop);
    });
    lines
}

/// Waits for Ctrl-C, or for whoever else wants us to end.
pub(crate) async fn stopped() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        return;
    }
    // Without a way to be told there is nothing to wait for.
    let _ = tokio::signal::ctrl_c().await;
}
