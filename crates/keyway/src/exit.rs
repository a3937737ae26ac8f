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
use serde::Serialize;

use crate::advice;

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
    /// Of a gateway's refusal, for programs.
    pub(crate) told: Option<Box<Told>>,
}

/// What a gateway's refusal says beside its words.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Told {
    /// Its stable word for it.
    pub(crate) code: String,
    /// Where the series is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seq: Option<u64>,
    /// When what stands in the way ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_ms: Option<u64>,
}

impl Failure {
    /// A failure without advice.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into(), hint: None, told: None }
    }

    /// The same with advice.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// A refusing gateway's word for it.
    pub(crate) fn code(&self) -> Option<&str> {
        self.told.as_ref().map(|told| told.code.as_str())
    }

    /// As programs read it.
    pub(crate) fn json(&self) -> serde_json::Value {
        #[derive(Serialize)]
        struct Error<'a> {
            exit: u8,
            message: &'a str,
            hint: Option<&'a str>,
            #[serde(flatten)]
            told: Option<&'a Told>,
        }
        let (exit, hint, told) = (self.exit.code(), self.hint.as_deref(), self.told.as_deref());
        serde_json::json!({ "error": Error { exit, message: &self.message, hint, told } })
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
        let told = match &error {
            ClientError::Refused { code, seq, expires_ms, .. } => {
                Some(Box::new(Told { code: code.clone(), seq: *seq, expires_ms: *expires_ms }))
            }
            _ => None,
        };
        Failure { exit, message: advice::cause(&error), hint: advice::next_step(&error), told }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_to_programs_with_what_it_says_beside_its_words() {
        let error = ClientError::Refused {
            status: 409,
            code: "outlived".into(),
            message: "it must live as long as what it replaces".into(),
            hint: Some("HTTP".into()),
            seq: None,
            expires_ms: Some(86_400_000),
            retry_after_secs: None,
        };
        let failure = Failure::from(error);
        let json = failure.json();
        let json = &json["error"];
        assert_eq!((&json["exit"], &json["code"]), (&7.into(), &"outlived".into()), "{json}");
        assert_eq!(json["expires_ms"], 86_400_000);
        assert!(json.get("seq").is_none(), "{json}");
        assert!(
            json["message"].as_str().is_some_and(|text| text.ends_with("1970-01-02 00:00:00 UTC")),
            "{json}"
        );
        let json = Failure::new(Exit::Usage, "no").json();
        assert_eq!(json.to_string(), r#"{"error":{"exit":2,"hint":null,"message":"no"}}"#);
    }
}
