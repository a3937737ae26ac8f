//! Fewer members than a put or a get needs: everything is ready then, and yet nothing can be stored or read. That is no fault that
//! passes by itself, such as a lone node with the settings of a network, so it is told as what it is.

use std::fmt;
use std::time::Duration;

use keyway_client::{Client, Node};
use keyway_core::machine::NodeStatus;
use tokio::time::timeout;

use crate::exit::Failure;
use crate::output::plural;
use crate::session::Session;

/// For a gateway to tell how many members it knows, after an error or a probe that has its own answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);

/// How many members there are, and what they are too few for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shortage {
    members: u64,
    replicas: u8,
    acks: u8,
    reads: u8,
}

impl Shortage {
    /// Nothing if there are enough for a put, which waits for `acks` of the copies, and for a get, which merges `reads` of them.
    pub(crate) fn new(members: u64, replicas: u8, acks: u8, reads: u8) -> Option<Shortage> {
        (members < acks.max(reads).into()).then_some(Shortage { members, replicas, acks, reads })
    }

    /// As a node itself sees it: who stands in its tables, and itself.
    pub(crate) fn of_node(status: &NodeStatus) -> Option<Shortage> {
        Shortage::new(
            status.members_known() as u64,
            status.terms.replicas,
            status.terms.acks,
            status.terms.reads,
        )
    }

    /// As the node behind a gateway sees it, if that tells.
    pub(crate) fn of(node: &Node) -> Option<Shortage> {
        Shortage::new(node.members_known?, node.replicas, node.acks, node.reads?)
    }

    /// What to do about it.
    pub(crate) fn way_out(self) -> &'static str {
        "start more nodes with `keyway node --join`, or, for a node all by itself, start it with --replicas 1 --acks 1"
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shortage { members, replicas, acks, reads } = *self;
        let word = plural(members, "member", "members");
        let of = plural(replicas.into(), "copy", "copies");
        let (no_put, no_get) = (members < acks.into(), members < reads.into());
        let what = match (no_put, no_get) {
            (true, true) => "put or get",
            (true, false) => "put",
            _ => "get",
        };
        write!(f, "no {what} can succeed: the network has {members} {word}, and ")?;
        if no_put {
            write!(f, "a put waits for {acks} of {replicas} {of}")
        } else {
            write!(f, "a get asks {reads} of {replicas} {of}")
        }
    }
}

/// The state of the node behind a gateway, if that tells it soon.
pub(crate) async fn node_of(client: &Client) -> Option<Node> {
    timeout(ASK_TIMEOUT, client.node()).await.ok()?.ok()
}

/// The same failure; where too few replicas answered because there are too few, with that as its cause.
pub(crate) async fn explained(failure: Failure, session: &Session) -> Failure {
    if failure.code() != Some("quorum") {
        return failure;
    }
    let Ok(client) = session.client() else { return failure };
    match node_of(&client).await.as_ref().and_then(Shortage::of) {
        Some(shortage) => Failure { hint: Some(format!("{shortage}; {}", shortage.way_out())), ..failure },
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_and_a_get_need_members() {
        for (members, replicas, acks, reads, said) in [
            (
                1,
                3,
                2,
                2,
                "no put or get can succeed: the network has 1 member, and a put waits for 2 of 3 copies",
            ),
            (2, 3, 2, 2, ""),
            (1, 1, 1, 1, ""),
            (2, 3, 1, 3, "no get can succeed: the network has 2 members, and a get asks 3 of 3 copies"),
            (2, 3, 3, 1, "no put can succeed: the network has 2 members, and a put waits for 3 of 3 copies"),
            (6, 8, 2, 5, ""),
        ] {
            let shortage = Shortage::new(members, replicas, acks, reads);
            assert_eq!(shortage.map_or_else(String::new, |few| few.to_string()), said);
        }
    }
}
