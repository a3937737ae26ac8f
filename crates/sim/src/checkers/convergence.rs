//! Everyone is a member, takes writes, and has taken over its shares; shares are those of the truth; and all replicas of
//! a key hold equal heads. After the heal.

use keyway_core::machine::Phase;
use keyway_core::store::Head;

use super::{Complaint, Seen, Snapshot, Verdict};
use crate::workload::storage::{ClientModel, wall};
use crate::world::World;

fn complain(text: String) -> Verdict {
    Err(Complaint::new("convergence", text))
}

/// Judges all processes together.
///
/// # Errors
/// The first that has not settled, or the first pair of replicas that differ.
pub fn judge(world: &World, s: &Snapshot<'_>, clients: &ClientModel) -> Verdict {
    for host in (0..world.host_count()).filter(|&h| world.is_up(h)) {
        let Some(member) = s.on(host) else { return complain(format!("n{host} is no member")) };
        settled(member)?;
        shares_are_true(s, member)?;
    }
    clients.keys().iter().try_for_each(|key| {
        let hosts = s.oracle.replicas(key, s.terms.replicas);
        let mut replicas = hosts.iter().filter_map(|&h| s.on(h));
        let Some(root) = replicas.next() else { return Ok(()) };
        // What is about to end may already be gone from one of them.
        let alive = wall(s.at) + s.terms.skew.times(2);
        let heads = |m: &Seen| -> Vec<Head> {
            m.inside.heads.iter().filter(|h| h.identity.key == *key && h.expires() > alive).copied().collect()
        };
        let truth = heads(root);
        for other in replicas {
            if !other.inside.ready.iter().any(|arc| arc.contains(key)) {
                return complain(format!("n{} has not taken over {key:.8}", other.host));
            }
            let theirs = heads(other);
            if theirs != truth {
                return complain(format!(
                    "under {key:.8} n{} holds {} values, n{} holds {}, or others",
                    root.host,
                    truth.len(),
                    other.host,
                    theirs.len()
                ));
            }
        }
        Ok(())
    })
}

/// Everyone keeps the copies that it should, with those with whom it should: no split networks, no stale tables.
fn shares_are_true(s: &Snapshot<'_>, member: &Seen) -> Verdict {
    let host = member.host;
    for share in &member.inside.shares {
        let seen: Vec<Option<usize>> = share.peers.iter().map(|p| s.oracle.host(p.id())).collect();
        let truth: Vec<Option<usize>> =
            s.oracle.replicas(&share.arc.to, s.terms.replicas).into_iter().map(Some).collect();
        if seen != truth {
            return complain(format!("n{host} shares {:?} with {seen:?} instead of {truth:?}", share.arc));
        }
    }
    if !member.inside.shares.iter().any(|share| share.arc.contains(member.peer.id())) {
        return complain(format!("n{host} does not share its own place"));
    }
    Ok(())
}

fn settled(member: &Seen) -> Verdict {
    let (host, inside) = (member.host, &member.inside);
    if inside.phase != Phase::Member {
        return complain(format!("n{host} is {:?}", inside.phase));
    }
    if let Some(halt) = inside.halt {
        return complain(format!("n{host} takes no writes: {halt:?}"));
    }
    // Ready arcs may be cut in other places than shares.
    let covered = |id: &keyway_core::Id| inside.ready.iter().any(|arc| arc.contains(id));
    if let Some(share) = inside.shares.iter().find(|s| !covered(&s.arc.to) || !covered(&s.arc.from.next())) {
        return complain(format!("n{host} has not taken over {:?}", share.arc));
    }
    Ok(())
}
