//! Why a request did not succeed, in the classes that a program (or an exit code) tells apart.

use std::fmt::Write as _;
use std::time::Duration;

/// What one gateway said or did: `(gateway, why)`.
pub type Tried = Vec<(String, String)>;

/// Why a request did not succeed. Its text is for people: of a refusal the gateway's own words, and when to come back if it said so.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClientError {
    /// No gateway could be reached. Nothing was stored, unless something was there and hung up.
    #[error("no gateway could be reached: {}", list(tried))]
    Unreachable {
        /// What each attempt met.
        tried: Tried,
        /// Whether something took a connection and ended it without an answer: a gateway that was ended, or a port where none listens.
        hung_up: bool,
    },
    /// A gateway answered, and the answer is no.
    #[error("{message}{}", when(*retry_after_secs))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The gateway's word for it: `not_found`, `nothing_removed`, `conflict`, `forged`, `too_large`, `busy`, `quorum`, ...
        code: String,
        /// For people.
        message: String,
        /// What to do about it, if the gateway knows.
        hint: Option<Box<str>>,
        /// Of a `conflict`: the number at which the series is; 0 if there is none.
        seq: Option<u64>,
        /// When what stands in the way ends (`outlived`), or until when a removal stands that found nothing: milliseconds since
        /// 1970-01-01T00:00:00Z.
        expires_ms: Option<u64>,
        /// When the same may be asked again: in so many seconds, if the gateway said so. What fits into the deadline of a request is
        /// waited for; this is what did not.
        retry_after_secs: Option<u64>,
    },
    /// No answer in time. The outcome is unknown; repeating a put is harmless.
    #[error("no answer in time: {}", list(tried))]
    Timeout {
        /// What each attempt met.
        tried: Tried,
    },
    /// What answered does not speak as a gateway does.
    #[error("not a Keyway gateway's answer: {0}")]
    Protocol(String),
    /// A value came back that is not the one its hash names. It was not handed on.
    #[error("invalid data: {0}")]
    Invalid(String),
    /// The request itself makes no sense; nothing was sent.
    #[error("{0}")]
    Usage(String),
}

impl ClientError {
    /// The exit code that the command line gives for it: 1 failure, 2 usage, 3 not found, 4 refused, 5 timeout or
    /// partial, 6 unreachable or isolated, 7 conflict, 8 invalid data or signature.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            ClientError::Usage(_) => 2,
            ClientError::Unreachable { .. } => 6,
            ClientError::Timeout { .. } => 5,
            ClientError::Invalid(_) => 8,
            ClientError::Protocol(_) => 1,
            ClientError::Refused { code, .. } => match code.as_str() {
                "bad_request" => 2,
                "not_found" | "nothing_removed" => 3,
                "conflict" | "hidden" | "outlived" => 7,
                "forged" => 8,
                "timeout" | "quorum" => 5,
                "not_joined" | "isolated" => 6,
                _ => 4,
            },
        }
    }

    /// Whether the same may succeed later without anybody changing the request: nobody answers, or a gateway cannot serve now.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            ClientError::Unreachable { .. } | ClientError::Timeout { .. } => true,
            ClientError::Refused { status, .. } => matches!(status, 408 | 429 | 500..),
            _ => false,
        }
    }

    /// What to do about it, if the gateway said so.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            ClientError::Refused { hint, .. } => hint.as_deref(),
            _ => None,
        }
    }

    /// How long to wait before the same is asked again, if the gateway said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            ClientError::Refused { retry_after_secs, .. } => retry_after_secs.map(Duration::from_secs),
            _ => None,
        }
    }
}

fn when(retry_after_secs: Option<u64>) -> String {
    retry_after_secs.map(|seconds| format!("; ask again in {seconds} s")).unwrap_or_default()
}

fn list(tried: &Tried) -> String {
    let mut text = String::new();
    for (gateway, why) in tried {
        let separator = if text.is_empty() { "" } else { "; " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{gateway}: {why}");
    }
    text
}
