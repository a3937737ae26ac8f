//! How a verb ends: an exit code that scripts may rely on, and a failure that tells a person what to do.
//!
//! | code | meaning |
//! | ---: | --- |
//! | 0 | done |
//! | 1 | failure that no other code describes |
//! | 2 | usage: the command line, the environment or the configuration file is wrong |
//! | 3 | not found |
//! | 4 | refused: too large, a life that is not given, over capacity, no writes now |
//! | 5 | time-out, or done in part |
//! | 6 | isolated: no gateway reached, or its node is not in a network |
//! | 7 | conflict: the series is at another number, a removal hides the value, what is there lives longer |
//! | 8 | invalid data: a malformed record, a value that is not the one stored, a signature that does not hold |
//! | 130 | interrupted |

use std::fmt;
use std::io;
use std::process::ExitCode;

use keyway_client::ClientError;

/// An exit code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// Done.
    Ok,
    /// A failure that no other code describes.
    Failure,
    /// The command line, the environment or the configuration file is wrong.
    Usage,
    /// There is no such value.
    NotFound,
    /// The answer is no.
    Refused,
    /// No answer in time, or done in part.
    Partial,
    /// No gateway reached, or its node is not in a network.
    Isolated,
    /// What is there stands against it.
    Conflict,
    /// Malformed input, or data that is not what was stored.
    Invalid,
    /// Ended by Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Failure => 1,
            Exit::Usage => 2,
            Exit::NotFound => 3,
            Exit::Refused => 4,
            Exit::Partial => 5,
            Exit::Isolated => 6,
            Exit::Conflict => 7,
            Exit::Invalid => 8,
            Exit::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// Why a verb did not do what was asked: the cause with its evidence, and the next thing to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    /// What the shell sees.
    pub(crate) exit: Exit,
    /// The cause and its evidence, one sentence.
    pub(crate) message: String,
    /// The next command to run, or the thing to change.
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// A failure without advice.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into(), hint: None }
    }

    /// The same with advice.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// Whether the reader of our output went away, which is not worth a word.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        self.exit == Exit::Ok
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// An error while writing the output. A reader that stops reading (`keyway get k | head -1`) is no failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::new(Exit::Ok, "the reader of the output went away"),
            _ => Failure::new(Exit::Failure, format!("cannot write the output: {error}")),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let exit = match error.exit_code() {
            2 => Exit::Usage,
            3 => Exit::NotFound,
            4 => Exit::Refused,
            5 => Exit::Partial,
            6 => Exit::Isolated,
            7 => Exit::Conflict,
            8 => Exit::Invalid,
            _ => Exit::Failure,
        };
        let hint = error.hint().map(str::to_owned).or_else(|| next_step(&error).map(str::to_owned));
        Failure { exit, message: error.to_string(), hint }
    }
}

/// What to do about an error for which the gateway gave no advice.
fn next_step(error: &ClientError) -> Option<&'static str> {
    match error {
        ClientError::Unreachable { .. } => Some(
            "start a network with `keyway up`, or name a running gateway with --gateway URL or KEYWAY_GATEWAY",
        ),
        ClientError::Timeout { .. } => {
            Some("`keyway health` tells whether the gateway's node serves; then try again")
        }
        ClientError::Protocol(_) => Some("does --gateway name a Keyway node's HTTP port (5851 by default)?"),
        ClientError::Refused { code, .. } => match code.as_str() {
            "quorum" | "not_joined" | "isolated" | "halted" | "clock_skew" => {
                Some("`keyway status` and `keyway health` tell more about the gateway's node")
            }
            "waiting" => Some("nothing need be done: it will be stored when there is room"),
            "busy" => Some("try again in a moment, or name more gateways"),
            _ => None,
        },
        ClientError::Invalid(_) => {
            Some("`keyway where KEY` shows the copies of the key; try another gateway")
        }
        ClientError::Usage(_) => None,
    }
}
