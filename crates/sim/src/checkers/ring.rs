//! One ring, ordered, complete; and Zave's invariant. After the heal, for overlays with a table of `successors`.
//!
//! Zave, "Reasoning about identifier spaces: how to make Chord correct" (TSE 2017): the inductive invariant of Chord is
//!
//! * *OneLiveSuccessor*: every member has a live member in its successor list, and
//! * *SufficientPrincipals*: at least r + 1 members are principals, that is, no extended successor list (a member and then
//!   its list) skips them. A pair of adjacent entries skips who lies strictly between them.
//!
//! From it follow one ring, in order, with every appendage connected. With fewer than r + 1 members her theorem says
//! nothing; there our nodes promise more: everyone lists everyone, and the ring is complete. Her theorem assumes perfect
//! failure detection, so with cuts the ring is judged after the heal only.

use keyway_core::keyspace::ring::between;
use keyway_core::{Id, Peer};

use super::{Complaint, Seen, Snapshot, Verdict};

/// Judges all members together.
///
/// # Errors
/// The first broken property, by name.
pub fn judge(s: &Snapshot<'_>) -> Verdict {
    let lists: Vec<(&Seen, &[Peer])> =
        s.members.iter().filter_map(|m| Some((m, m.table("successors")?))).collect();
    if lists.len() != s.members.len() {
        return Ok(());
    }
    one_live_successor(s, &lists)?;
    sufficient_principals(s, &lists)?;
    ordered(s, &lists)?;
    complete(s, &lists)?;
    predecessors(s)
}

fn complain(rule: &str, text: &str) -> Verdict {
    Err(Complaint::new("ring", format!("{rule}: {text}")))
}

fn one_live_successor(s: &Snapshot<'_>, lists: &[(&Seen, &[Peer])]) -> Verdict {
    for (member, list) in lists {
        let alone = s.members.len() == 1;
        if !alone && !list.iter().any(|p| s.oracle.host(p.id()).is_some()) {
            return complain(
                "OneLiveSuccessor",
                &format!("n{} lists {list:?}, nobody of it lives", member.host),
            );
        }
    }
    Ok(())
}

fn sufficient_principals(s: &Snapshot<'_>, lists: &[(&Seen, &[Peer])]) -> Verdict {
    let skipped = |id: &Id| {
        lists.iter().any(|(member, list)| {
            let extended = std::iter::once(member.peer.id()).chain(list.iter().map(Peer::id));
            extended.clone().zip(extended.skip(1)).any(|(a, b)| between(a, id, b))
        })
    };
    let principals = s.members.iter().filter(|m| !skipped(m.peer.id())).count();
    let want = (s.terms.successors + 1).min(s.members.len());
    if principals < want {
        return complain(
            "SufficientPrincipals",
            &format!("{principals} of {} members, {want} needed", lists.len()),
        );
    }
    Ok(())
}

/// The first successor of each is the next member: one ring, in order, without appendages.
fn ordered(s: &Snapshot<'_>, lists: &[(&Seen, &[Peer])]) -> Verdict {
    for (i, (member, list)) in lists.iter().enumerate() {
        let next = &s.members[(i + 1) % s.members.len()];
        let first = list.first().map_or(member.peer.id(), Peer::id);
        if first != next.peer.id() {
            let seen = s.oracle.host(first).map_or("a stranger".into(), |h| format!("n{h}"));
            return complain(
                "one ordered ring",
                &format!("after n{} comes n{}, not {seen}", member.host, next.host),
            );
        }
    }
    Ok(())
}

/// Each list is the next members, all of them up to its length.
fn complete(s: &Snapshot<'_>, lists: &[(&Seen, &[Peer])]) -> Verdict {
    let n = s.members.len();
    for (i, (member, list)) in lists.iter().enumerate() {
        let want = s.terms.successors.min(n - 1);
        let truth: Vec<&Id> = (1..=want).map(|k| s.members[(i + k) % n].peer.id()).collect();
        let seen: Vec<&Id> = list.iter().map(Peer::id).take(want).collect();
        if seen != truth {
            return complain(
                "complete lists",
                &format!("n{} lists {seen:?}, the next are {truth:?}", member.host),
            );
        }
    }
    Ok(())
}

fn predecessors(s: &Snapshot<'_>) -> Verdict {
    let n = s.members.len();
    for (i, member) in s.members.iter().enumerate() {
        let Some(list) = member.table("predecessors") else { continue };
        let truth = s.members[(i + n - 1) % n].peer.id();
        if n > 1 && list.first().map(Peer::id) != Some(truth) {
            let text = format!("n{} names {:?}, the truth is {truth:?}", member.host, list.first());
            return complain("predecessor", &text);
        }
    }
    Ok(())
}
