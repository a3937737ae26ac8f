//! Fewer members than a put or a get needs: everything is ready then, and yet nothing can be stored or read. That is no fault that
//! passes by itself, such as a lone node with the settings of a network, so it is told as what it is.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use keyway_client::{Client, Key};
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
    members: usize,
    replicas: u8,
    acks: u8,
}

impl Shortage {
    /// Nothing if there are enough. A get merges the answers of so many holders that it sees every acknowledged put.
    pub(crate) fn new(members: usize, replicas: u8, acks: u8) -> Option<Shortage> {
        let needed = acks.max(replicas.saturating_add(1).saturating_sub(acks));
        (members < usize::from(needed)).then_some(Shortage { members, replicas, acks })
    }

    /// As a node itself sees it: who stands in its tables, and itself.
    pub(crate) fn of_node(status: &NodeStatus) -> Option<Shortage> {
        let peers = status.tables.iter().flat_map(|(_, peers)| peers).map(|view| view.peer.id());
        let known: BTreeSet<_> = peers.chain([status.me.id()]).collect();
        Shortage::new(known.len(), status.replicas, status.acks)
    }

    /// As the node behind a gateway sees it, if that tells: of the nodes that keep the copies of a key there are as many as there
    /// are copies, or as there are members.
    pub(crate) async fn of_gateway(client: &Client) -> Option<Shortage> {
        let ask = async {
            let node = client.node().await.ok()?;
            let holders = client.where_is(&Key::text("")).await.ok()?.replicas.len();
            Shortage::new(holders, node.replicas, node.acks)
        };
        timeout(ASK_TIMEOUT, ask).await.ok()?
    }

    /// What to do about it.
    pub(crate) fn way_out(self) -> &'static str {
        "start more nodes with `keyway node --join`, or, for a node all by itself, start it with --replicas 1 --acks 1"
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shortage { members, replicas, acks } = *self;
        let word = plural(members as u64, "member", "members");
        let of = plural(replicas.into(), "copy", "copies");
        write!(
            f,
            "no put or get can succeed: the network has {members} {word}, and a put waits for {acks} of {replicas} {of}"
        )
    }
}

/// The same failure; where too few replicas answered because there are too few, with that as its cause.
pub(crate) async fn explained(failure: Failure, session: &Session) -> Failure {
    if failure.code() != Some("quorum") {
        return failure;
    }
    let Ok(client) = session.client() else { return failure };
    match Shortage::of_gateway(&client).await {
        Some(shortage) => Failure { hint: Some(format!("{shortage}; {}", shortage.way_out())), ..failure },
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_and_a_get_need_members() {
        for (members, replicas, acks, enough) in [
            (1, 3, 2, false),
            (2, 3, 2, true),
            (1, 1, 1, true),
            (2, 3, 1, false),
            (2, 3, 3, false),
            (0, 1, 1, false),
        ] {
            assert_eq!(
                Shortage::new(members, replicas, acks).is_none(),
                enough,
                "{members} {replicas} {acks}"
            );
        }
        let said = Shortage::new(1, 3, 2).expect("too few").to_string();
        assert!(said.contains("1 member, and a put waits for 2 of 3 copies"), "{said}");
    }
}
