//! What to do about an error of the client library, in the words of this command line.
//!
//! Gateways give advice of their own, in the words of HTTP: headers, paths, fields of JSON. Who sits at a terminal has flags and verbs,
//! so the stable code decides what is said here, and the gateway's words are for codes that this program does not know.

use std::time::{SystemTime, UNIX_EPOCH};

use keyway_client::ClientError;

use crate::duration::{Span, utc};

/// The next step after `error`, if there is one.
pub(crate) fn next_step(error: &ClientError) -> Option<String> {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
    at(error, now_ms).or_else(|| error.hint().map(str::to_owned))
}

/// The cause, with what the refusal says beside it.
pub(crate) fn cause(error: &ClientError) -> String {
    match error {
        ClientError::Refused { code, expires_ms: Some(until), .. } if code == "outlived" => {
            format!("{error}, until {}", utc(*until))
        }
        _ => error.to_string(),
    }
}

fn at(error: &ClientError, now_ms: u64) -> Option<String> {
    let step = match error {
        ClientError::Unreachable { hung_up: true, .. } => {
            "something is there and hangs up: does --gateway name a node's port for nodes (5850 by default) or for Sun RPC (5852)? \
             The one for clients (5851) is what `keyway node` prints after `clients`"
        }
        ClientError::Unreachable { .. } => {
            "start a network with `keyway up`, or name a running gateway with --gateway URL or KEYWAY_GATEWAY"
        }
        ClientError::Timeout { .. } => {
            "`keyway health` tells whether the gateway's node serves; then try again"
        }
        ClientError::Protocol(_) => "does --gateway name a Keyway node's HTTP port (5851 by default)?",
        ClientError::Invalid(_) => "`keyway where KEY` shows the copies of the key; try another gateway",
        ClientError::Usage(_) => return None,
        ClientError::Refused { status, code, seq, expires_ms, .. } => match (code.as_str(), *status) {
            ("conflict", _) => return Some(next_number((*seq)?)),
            ("outlived", _) => return Some(long_enough((*expires_ms)?, now_ms)),
            ("nothing_removed", _) => return Some(nothing_there((*expires_ms)?)),
            ("bad_ttl", _) => "give another --ttl; `keyway status` shows the longest life (limits)",
            ("expired", _) => "give a longer --ttl; is this machine's clock right?",
            ("quorum", _) => {
                "try again: repeating a put is harmless; `keyway where KEY` shows which replicas answer"
            }
            ("not_joined" | "isolated", _) => {
                "`keyway health` says what the gateway's node waits for; --gateway URL names another one"
            }
            ("halted", _) => "name another gateway with --gateway URL; reads go on at this one",
            ("over_capacity", _) => {
                "put less, or with a shorter --ttl, or wait; `keyway clients` tells who uses how much"
            }
            ("waiting", _) => "nothing need be done: it will be stored when there is room",
            ("busy", _) => "try again in a moment, or name more gateways",
            ("unauthorized", _) => {
                "show one with --token-file FILE; the operator of the gateway makes them (`keyway token create`), \
                 also in place of one that counts no more"
            }
            ("quota", 429) => "the gateway's operator has bounded what this token may ask in a second",
            ("forged", _) => {
                "`keyway status` names the gateway's network: is it the one for which this was signed?"
            }
            ("other_network", _) => {
                "with --other-network its plain and immutable values are put here all the same"
            }
            ("no_such_path" | "method_not_allowed", _) => {
                "this gateway does not know such a request: is it older than this program? `keyway status` shows its version"
            }
            _ => return None,
        },
    };
    Some(step.to_owned())
}

fn next_number(seq: u64) -> String {
    let next = seq.saturating_add(1);
    format!(
        "number {next} is next: --cas {seq} puts it if nobody else did, and so does neither --seq nor --cas"
    )
}

/// Rounded up to minutes, one of them more, so that it still holds when it is typed.
fn long_enough(until_ms: u64, now_ms: u64) -> String {
    let minutes = until_ms.saturating_sub(now_ms).div_ceil(60_000) + 1;
    format!("give it --ttl {} or more", Span::from_secs(60 * minutes))
}

fn nothing_there(until_ms: u64) -> String {
    format!(
        "`keyway get KEY --details` shows what is there and whose it is; the removal stands all the same, until {}",
        utc(until_ms)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str) -> ClientError {
        ClientError::Refused {
            status,
            code: code.into(),
            message: "no".into(),
            hint: Some("GET /readyz; ?ttl=SECONDS; in Retry-After".into()),
            seq: Some(4),
            expires_ms: Some(3_600_000),
            retry_after_secs: None,
        }
    }

    #[test]
    fn advice_is_in_the_words_of_the_command_line() {
        let codes = [
            "bad_ttl",
            "expired",
            "quorum",
            "not_joined",
            "halted",
            "over_capacity",
            "waiting",
            "busy",
            "forged",
            "other_network",
            "no_such_path",
            "unauthorized",
            "conflict",
            "outlived",
            "nothing_removed",
        ];
        for (status, code) in codes.map(|code| (503, code)).into_iter().chain([(429, "quota")]) {
            let said = next_step(&refused(status, code)).expect(code);
            for word in ["GET", "?ttl", "Retry-After"] {
                assert!(!said.contains(word), "{code}: {said}");
            }
        }
        let said = next_step(&refused(400, "of_a_newer_gateway")).expect("the gateway's own words");
        assert!(said.contains("GET /readyz"), "{said}");
    }

    #[test]
    fn how_long_is_long_enough_can_be_typed() {
        let said = at(&refused(409, "outlived"), 1).expect("a step");
        assert_eq!(said, "give it --ttl 1h1m or more");
        assert_eq!(cause(&refused(409, "outlived")), "no, until 1970-01-01 01:00:00 UTC");
        let said = at(&refused(409, "conflict"), 1).expect("a step");
        assert!(said.starts_with("number 5 is next: --cas 4"), "{said}");
    }

    #[test]
    fn a_port_that_hangs_up_is_no_reason_to_start_a_network() {
        let absent = |hung_up| ClientError::Unreachable { tried: Vec::new(), hung_up };
        let said = next_step(&absent(true)).expect("a step");
        assert!(said.contains("5851") && !said.contains("keyway up"), "{said}");
        assert!(next_step(&absent(false)).expect("a step").contains("keyway up"));
    }
}
