//! Everyone knows its neighborhood. After the heal, for overlays with a table of that name (Kademlia).
//!
//! * *living*: nobody in it is dead, a stranger, or listed twice;
//! * *complete*: it is a whole subtree of prefixes, with every member that is in it;
//! * *mutual*: all members of it have the same one, so neighborhoods divide the members among them;
//! * *sufficient*: it holds the R members nearest to its owner, as far as there are so many;
//! * *reachable*: for each subtree beside it that has members, the owner has a contact there.

use std::collections::BTreeSet;

use keyway_core::keyspace::xor;
use keyway_core::{Id, Peer};

use super::{Complaint, Seen, Snapshot, Verdict};

fn complain(rule: &str, text: &str) -> Verdict {
    Err(Complaint::new("neighborhood", format!("{rule}: {text}")))
}

/// Judges all members together.
///
/// # Errors
/// The first broken property, by name.
pub fn judge(s: &Snapshot<'_>) -> Verdict {
    let lists: Vec<(&Seen, &[Peer])> =
        s.members.iter().filter_map(|m| Some((m, m.table("neighborhood")?))).collect();
    if lists.len() != s.members.len() {
        return Ok(());
    }
    let sets: Vec<BTreeSet<&Id>> = lists
        .iter()
        .map(|(member, list)| list.iter().map(Peer::id).chain([member.peer.id()]).collect())
        .collect();
    for ((member, list), set) in lists.iter().zip(&sets) {
        living(s, member, list)?;
        let len = list.iter().map(|p| xor::common(member.peer.id(), p.id())).min();
        let reach = len.unwrap_or(0);
        for (i, (other, _)) in lists.iter().enumerate() {
            let shared = xor::common(member.peer.id(), other.peer.id());
            let (host, theirs) = (member.host, other.host);
            if shared >= reach && !set.contains(other.peer.id()) {
                return complain("complete", &format!("n{host} does not know n{theirs}"));
            }
            if shared >= reach && sets[i] != *set {
                return complain("mutual", &format!("n{host} and n{theirs} differ"));
            }
            let reached = || member.table("buckets").unwrap_or(&[]).iter();
            if shared < reach && !reached().any(|p| xor::common(member.peer.id(), p.id()) == shared) {
                return complain("reachable", &format!("n{host} has no contact in the subtree of n{theirs}"));
            }
        }
        sufficient(s, member, set)?;
    }
    Ok(())
}

fn living(s: &Snapshot<'_>, member: &Seen, list: &[Peer]) -> Verdict {
    let strange = |p: &&Peer| s.oracle.host(p.id()).is_none() || p.id() == member.peer.id();
    if let Some(peer) = list.iter().find(strange) {
        return complain("living", &format!("n{} lists {peer:?}", member.host));
    }
    let distinct: BTreeSet<&Id> = list.iter().map(Peer::id).collect();
    if distinct.len() < list.len() {
        return complain("living", &format!("n{} lists somebody twice", member.host));
    }
    Ok(())
}

fn sufficient(s: &Snapshot<'_>, member: &Seen, set: &BTreeSet<&Id>) -> Verdict {
    let mut nearest: Vec<&Id> = s.members.iter().map(|m| m.peer.id()).collect();
    nearest.sort_by_key(|id| xor::distance(member.peer.id(), id));
    match nearest.iter().take(s.terms.replicas).find(|id| !set.contains(**id)) {
        Some(id) => complain("sufficient", &format!("n{} does not list {id:?}", member.host)),
        None => Ok(()),
    }
}
