//! Answers that say no: `{"error":{"code":"..","message":"..","hint":".."}}`.
//!
//! The code is for programs and stable, the message says what is the matter, the hint what to do about it.

use axum::body::Body;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use keyway_core::Wall;
use keyway_core::machine::{Halt, OpError};
use serde::Serialize;
use utoipa::ToSchema;

use super::json::millis;
use crate::access::{Declined, Denied};
use crate::http::body::BodyError;
use crate::http::gate::Misframed;

/// An answer that says no.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    hint: Option<String>,
    /// Where the series is that another number was expected of.
    seq: Option<u64>,
    /// When what stands in the way ends.
    expires_ms: Option<u64>,
    /// When repeating it makes sense, in seconds.
    retry_after_secs: Option<u64>,
    /// The connection cannot be used for another request.
    close: bool,
}

/// Why the answer is no.
#[derive(Serialize, ToSchema)]
pub(super) struct ErrorBody<'a> {
    error: ErrorText<'a>,
}

/// The cause, and what to do about it.
#[derive(Serialize, ToSchema)]
pub(super) struct ErrorText<'a> {
    /// For programs; stable.
    code: &'a str,
    /// For people.
    message: &'a str,
    /// What to do, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    /// Of a `conflict`: where the series is; 0 if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    /// When what stands in the way ends, or until when a removal stands that found nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u64>,
}

/// Which requests a refusal may answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Of {
    /// All: it comes before anybody reads what the request is for.
    Any,
    /// Those that the node answers from what it has.
    Node,
    /// Those for which the node asks others.
    Network,
    /// Reading values.
    Get,
    /// Storing plain and immutable values.
    Put,
    /// Removing plain values.
    Remove,
    /// Storing what somebody has signed, removals included.
    Signed,
    /// Snapshots, and putting them back.
    Admin,
}

/// Every refusal that clients of the REST interface see: its status and code, when it is given, and to which requests.
pub(super) const REFUSALS: &[(u16, &str, &str, &[Of])] = {
    use Of::{Admin, Any, Get, Network, Node, Put, Remove, Signed};
    const ALL: &[Of] = &[Any, Node, Network, Get, Put, Remove, Signed, Admin];
    const OPS: &[Of] = &[Network, Get, Put, Remove, Signed, Admin];
    const WRITES: &[Of] = &[Put, Remove, Signed];
    &[
        (400, "bad_request", "the request makes no sense; nothing was done", ALL),
        (401, "unauthorized", "it takes an access token, or another one", ALL),
        (403, "not_permitted", "the access token is not for that", ALL),
        (
            403,
            "foreign_origin",
            "a web page of another origin may not write, nor ask for what costs much",
            &[Network, Put, Remove, Signed, Admin],
        ),
        (
            403,
            "forged",
            "the signature is not the signer's, or for another network; nothing was done",
            &[Signed],
        ),
        (404, "not_found", "there is no value under the key", &[Get]),
        (
            404,
            "nothing_removed",
            "no such value was put under this secret, or signed by this key; the removal stands all the same",
            &[Remove, Signed],
        ),
        (408, "too_slow", "the head or the body came too slowly", ALL),
        (409, "conflict", "the series is at another number, which `seq` names", &[Signed]),
        (409, "hidden", "a removal of this very value stands and hides it", &[Put, Signed]),
        (409, "outlived", "it must live as long as what it replaces: until `expires_ms`", WRITES),
        (409, "bad_request", "Keyway-Secret and Keyway-Secret-Hash are of different secrets", &[Put]),
        (409, "other_network", "the snapshot is of another network; nothing was done", &[Admin]),
        (411, "bad_request", "a put needs a body with a length, or in chunks", &[Put, Signed]),
        (413, "answer_full", "of a bulk get: the answer is full; ask for this entry again", &[Get]),
        (
            413,
            "too_large",
            "the value is longer than the network takes, or the body than is read",
            &[Put, Signed, Admin],
        ),
        (421, "unknown_host", "the gateway does not go by that name", ALL),
        (422, "bad_ttl", "the life is below a second or above what the network gives", WRITES),
        (422, "expired", "its life is over, or ended on the way", WRITES),
        (409, "request_id_reused", "the Idempotency-Key was sent with another request", WRITES),
        (
            429,
            "quota",
            "more in a second than the access token is for: `Retry-After` says when to ask again",
            ALL,
        ),
        (431, "head_too_large", "the head has too many bytes or headers", ALL),
        (
            500,
            "internal",
            "the gateway and its node do not understand each other",
            &[Node, Network, Get, Put, Remove, Signed, Admin],
        ),
        (503, "tokens_unreadable", "the gateway cannot tell whether the access token is good", ALL),
        (503, "busy", "too many operations or connections: repeat it", ALL),
        (503, "not_joined", "the node is not in a network: ask another gateway", OPS),
        (503, "quorum", "fewer replicas answered than promised; a write may be on some", OPS),
        (503, "halted", "the node takes no writes: ask another gateway", WRITES),
        (503, "clock_skew", "clocks differ too much", WRITES),
        (
            504,
            "timeout",
            "no answer in time; the outcome is unknown",
            &[Node, Network, Get, Put, Remove, Signed, Admin],
        ),
        (
            503,
            "waiting",
            "there is no room yet: enough replicas have it in their queues, and will store it in about as long as Retry-After says",
            WRITES,
        ),
        (507, "quota", "the access token has as much stored by this gateway as it is for", WRITES),
        (507, "over_capacity", "there is no room, and the client's queue is full", WRITES),
    ]
};

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refusal {
        let message = message.into();
        Refusal {
            status,
            code,
            message,
            hint: None,
            seq: None,
            expires_ms: None,
            retry_after_secs: None,
            close: false,
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Refusal {
        self.hint = Some(hint.into());
        self
    }

    /// Names the instant at which what stands in the way ends.
    pub(super) fn until(mut self, end: Wall) -> Refusal {
        self.expires_ms = Some(millis(end));
        self
    }

    /// Whether the same request may be answered otherwise soon, though nothing about it changes.
    pub(super) fn may_pass(&self) -> bool {
        let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
        self.status.is_server_error() || passing.contains(&self.status)
    }

    pub(crate) fn close(mut self) -> Refusal {
        self.close = true;
        self
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// What is the matter, for people.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn code(&self) -> &'static str {
        self.code
    }

    /// A value that is too long for this gateway, before its node saw it.
    pub(crate) fn too_large(max: u64) -> Refusal {
        let message = format!("the value is longer than the {max} bytes that this network takes");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
            .hint("split it, or store a reference to it")
    }

    /// As it stands in an answer.
    pub(super) fn to_json(&self) -> String {
        let body = ErrorBody {
            error: ErrorText {
                code: self.code,
                message: &self.message,
                hint: self.hint.as_deref(),
                seq: self.seq,
                expires_ms: self.expires_ms,
            },
        };
        // Strings and numbers alone cannot fail to be JSON.
        serde_json::to_string(&body).unwrap_or_default()
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let mut text = self.to_json();
        text.push('\n');
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let retry_after = self.retry_after_secs.or((self.code == "busy").then_some(1));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"keyway\""));
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<OpError> for Refusal {
    fn from(why: OpError) -> Refusal {
        use StatusCode as S;
        let no = |status, code| Refusal::new(status, code, why.to_string());
        let ready = "GET /readyz says what this node waits for";
        match &why {
            OpError::Timeout => {
                no(S::GATEWAY_TIMEOUT, "timeout").hint("repeat it: repeating a put is harmless")
            }
            OpError::Quorum { want, .. } => no(S::SERVICE_UNAVAILABLE, "quorum").hint(format!(
                "repeat it; GET /v1/keys/KEY/where shows which replicas answer. A network of fewer than {want} nodes can never answer it: \
                 start more, or all with lower --replicas and --acks"
            )),
            OpError::TooLarge { max, .. } => Refusal { message: why.to_string(), ..Refusal::too_large(*max) },
            OpError::BadTtl { max_secs } => {
                no(S::UNPROCESSABLE_ENTITY, "bad_ttl").hint(format!("use ?ttl=SECONDS with 1 to {max_secs}"))
            }
            OpError::OverCapacity => no(S::INSUFFICIENT_STORAGE, "over_capacity")
                .hint("put less, or for a shorter life, or wait; GET /v1/clients tells who uses how much"),
            OpError::Waiting { expected } => Refusal {
                retry_after_secs: Some(expected.as_micros().div_ceil(1_000_000)),
                ..no(S::SERVICE_UNAVAILABLE, "waiting")
            }
            .hint("it need not be repeated to be stored; repeated after that time it is answered at once"),
            OpError::Busy => {
                no(S::SERVICE_UNAVAILABLE, "busy").hint("repeat it after a second, or ask another gateway")
            }
            OpError::NotJoined => no(S::SERVICE_UNAVAILABLE, "not_joined").hint(ready),
            OpError::Halted(halt) => {
                let message = match halt {
                    Halt::DiskFull => "this node takes no writes: its disk is full",
                    Halt::DiskFailed => "this node takes no writes: its disk failed",
                    Halt::ClockSkew => "this node takes no writes: its clock is too far from its neighbours'",
                };
                Refusal::new(S::SERVICE_UNAVAILABLE, "halted", message)
                    .hint("ask another gateway; reads go on here")
            }
            OpError::ClockSkew => no(S::SERVICE_UNAVAILABLE, "clock_skew")
                .hint("set the clocks of the nodes (NTP), then repeat it"),
            OpError::Expired => no(S::UNPROCESSABLE_ENTITY, "expired")
                .hint("sign it anew with a later end; is the signer's clock right?"),
            OpError::Forged => no(S::FORBIDDEN, "forged").hint(
                "GET /v1/node names this network; docs/protocol.md says what a signature must cover, byte by byte",
            ),
            OpError::Conflict { seq } => Refusal { seq: Some(*seq), ..no(S::CONFLICT, "conflict") }
                .hint("read the series, then sign the next number, with its number as cas"),
            OpError::Outlived { expires } => {
                no(S::CONFLICT, "outlived").until(*expires).hint("give it a life that ends at expires_ms or later")
            }
            _ => no(S::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

impl From<Denied> for Refusal {
    fn from(why: Denied) -> Refusal {
        use StatusCode as S;
        let message = why.to_string();
        let no = |status, code, hint: &str| Refusal::new(status, code, message.clone()).hint(hint);
        match why {
            Denied::NoToken { .. } => no(
                S::UNAUTHORIZED,
                "unauthorized",
                "show one: keyway --token-file FILE, or the header Authorization: Bearer TOKEN; the operator makes them",
            ),
            Denied::Unreadable => no(
                S::SERVICE_UNAVAILABLE,
                "tokens_unreadable",
                "ask another gateway; the log of this one says what is the matter",
            ),
            Denied::Unknown | Denied::Revoked { .. } | Denied::Expired { .. } => {
                no(S::UNAUTHORIZED, "unauthorized", "ask the operator of this gateway for another one")
            }
            Denied::Scope { .. } => {
                no(S::FORBIDDEN, "not_permitted", "ask the operator for a token with that scope")
            }
            Denied::Rate { retry_after_secs, .. } => Refusal {
                retry_after_secs: Some(retry_after_secs),
                ..no(S::TOO_MANY_REQUESTS, "quota", "ask again after the seconds that Retry-After says")
            },
            Denied::Stored { .. } => no(
                S::INSUFFICIENT_STORAGE,
                "quota",
                "put less, or for shorter lives; what was put counts until its life is over",
            ),
        }
    }
}

impl From<Declined> for Refusal {
    fn from(why: Declined) -> Refusal {
        match why {
            Declined::Access(denied) => denied.into(),
            Declined::Node(why) => why.into(),
        }
    }
}

impl From<BodyError> for Refusal {
    fn from(why: BodyError) -> Refusal {
        match why {
            BodyError::TooLarge { max } => {
                let message = format!("the body is longer than {max} bytes");
                Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message).close()
            }
            BodyError::TooSlow => {
                Refusal::new(StatusCode::REQUEST_TIMEOUT, "too_slow", "the body came too slowly").close()
            }
            BodyError::Cut => Refusal::bad_request("the body ended early or is malformed").close(),
        }
    }
}

impl From<Misframed> for Refusal {
    fn from(why: Misframed) -> Refusal {
        use StatusCode as S;
        let (status, code) = match why {
            Misframed::HeadTooLarge { .. } | Misframed::TooManyHeaders { .. } => {
                (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large")
            }
            Misframed::HeadTooSlow => (S::REQUEST_TIMEOUT, "too_slow"),
            Misframed::Ambiguous(_) => (S::BAD_REQUEST, "bad_request"),
        };
        Refusal::new(status, code, why.to_string()).close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operation_may_end_with_stands_in_the_list() {
        let ends = [
            OpError::Timeout,
            OpError::Quorum { got: 1, want: 2 },
            OpError::TooLarge { bytes: 2, max: 1 },
            OpError::BadTtl { max_secs: 1 },
            OpError::OverCapacity,
            OpError::Busy,
            OpError::NotJoined,
            OpError::Halted(Halt::DiskFull),
            OpError::ClockSkew,
            OpError::Expired,
            OpError::Forged,
            OpError::Conflict { seq: 1 },
            OpError::Outlived { expires: Wall(1) },
        ];
        let refusals = ends.map(Refusal::from).into_iter();
        let bodies = [BodyError::TooLarge { max: 1 }, BodyError::TooSlow, BodyError::Cut].map(Refusal::from);
        for refusal in refusals.chain(bodies) {
            let listed = REFUSALS.iter().any(|(status, code, _, of)| {
                (*status, *code) == (refusal.status.as_u16(), refusal.code) && of.contains(&Of::Signed)
            });
            assert!(listed, "{refusal:?}");
        }
    }
}
