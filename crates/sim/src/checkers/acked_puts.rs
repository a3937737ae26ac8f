//! Every acknowledged value is on all of its R replicas until its life ends. After the heal.
//!
//! That it can be read is shown by reading it ([`super::read_after_ack`]); here the disks are counted.

use super::{Complaint, Snapshot, Verdict};
use crate::workload::storage::{ClientModel, wall};

/// Judges all members together.
///
/// # Errors
/// The first acknowledged value that a replica lacks, or holds with a shorter life than was promised.
pub fn judge(s: &Snapshot<'_>, clients: &ClientModel) -> Verdict {
    let alive = wall(s.at) + s.terms.skew.times(2);
    for (name, promised) in clients.acked().filter(|(_, promised)| *promised > alive) {
        for host in s.oracle.replicas(&name.key, s.terms.replicas) {
            let held = s.on(host).and_then(|m| m.inside.heads.iter().find(|h| h.identity == *name));
            let short = match held {
                Some(head) if head.expires() >= promised => continue,
                Some(head) => format!("holds it until {:?} instead of {promised:?}", head.expires()),
                None => "lacks it".into(),
            };
            let text =
                format!("{:.8} under {:.8} was acknowledged; n{host} {short}", name.value_hash, name.key);
            return Err(Complaint::new("acked_puts", text));
        }
    }
    Ok(())
}
