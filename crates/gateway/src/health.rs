//! Whether a node serves: `/readyz`, check by check, with the reason in words.

use keyway_core::machine::{Halt, NodeStatus, OpError, Phase};
use serde::Serialize;
use utoipa::ToSchema;

/// One thing that a node must be for it to be ready.
#[derive(Serialize, ToSchema)]
pub(crate) struct Check {
    /// `answers`, `member`, `connected`, `writable`, `taken_over`.
    name: &'static str,
    /// Whether it holds.
    ok: bool,
    /// The same in words.
    message: String,
}

/// Whether a node serves.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// All checks hold.
    pub(crate) ready: bool,
    /// What does not hold, in words.
    reasons: Vec<String>,
    /// Each check; only if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<Check>>,
}

impl Readiness {
    /// Judges a node's state, or the lack of it.
    pub(crate) fn of(status: Result<&NodeStatus, &OpError>, verbose: bool) -> Readiness {
        let checks = match status {
            Ok(status) => checks(status),
            Err(why) => {
                vec![check("answers", false, "", format!("the node does not know its own state: {why}"))]
            }
        };
        let reasons: Vec<String> = checks.iter().filter(|c| !c.ok).map(|c| c.message.clone()).collect();
        Readiness { ready: reasons.is_empty(), reasons, checks: verbose.then_some(checks) }
    }
}

fn checks(status: &NodeStatus) -> Vec<Check> {
    let (shares, ready) = status.shares;
    let writable = match status.halt {
        None => "",
        Some(Halt::DiskFull) => "the disk is full: writes are refused until there is room, reads go on",
        Some(Halt::DiskFailed) => {
            "the disk failed: writes are refused until it is repaired or the node restarted"
        }
        Some(Halt::ClockSkew) => {
            "the clock is too far from the neighbours': writes are refused until it is set"
        }
    };
    vec![
        check("member", status.phase == Phase::Member, "member of a network", not_a_member(status)),
        check("connected", !status.isolated, "neighbours answer", "isolated: no neighbour answers".into()),
        check("writable", status.halt.is_none(), "takes writes", writable.into()),
        check(
            "taken_over",
            ready >= shares,
            "holds what it should",
            format!("has taken over {ready} of the {shares} ranges that it shares"),
        ),
    ]
}

fn check(name: &'static str, ok: bool, good: &str, bad: String) -> Check {
    Check { name, ok, message: if ok { good.to_owned() } else { bad } }
}

fn not_a_member(status: &NodeStatus) -> String {
    match (status.phase, &status.refused) {
        (_, Some(why)) => format!("refused by the network: {why}"),
        (Phase::Loading, None) => "still reading its disk".into(),
        (Phase::Joining, None) => "still looking for a member of its network".into(),
        (Phase::Member, None) => String::new(),
        (Phase::Leaving, None) => "leaving the network".into(),
        (Phase::Stopped, None) => "has left the network".into(),
        (Phase::Refused, None) => "refused by the network".into(),
    }
}
