//! What was removed is not seen again: a quorum get asked after a remove was acknowledged does not give the value as it was put
//! before, whatever replicas were away meanwhile and however long ago the removal itself has ended; nor, while the removal
//! stands, as it was put after. Of a series, nothing below the number of a removal or of an acknowledged value. In calm worlds
//! at once, after the heal everywhere.

use keyway_core::machine::{Reads, Value};

use super::{Complaint, Terms, Verdict};
use crate::workload::storage::{ClientModel, Got, Outcome, Removal, wall};

/// Judges one answer.
///
/// # Errors
/// The first value in it that was removed.
pub fn judge(clients: &ClientModel, got: &Got, terms: &Terms) -> Verdict {
    if got.reads == Reads::First {
        return Ok(());
    }
    for value in &got.answer.values {
        if let Some(why) = undead(clients, got, value, terms) {
            let at = format!("get {:.8} at n{}: {:.8}", got.key, got.host, value.identity.value_hash);
            return Err(Complaint::new("removed", format!("{at} {why}")));
        }
    }
    Ok(())
}

/// Why a value of an answer should not be there, if it should not: it was removed, or it is an older one of its series.
pub(crate) fn undead(clients: &ClientModel, got: &Got, value: &Value, terms: &Terms) -> Option<String> {
    let skew = terms.skew.times(2);
    let by = |removal: &&Removal| {
        let Outcome::Acked(stands_until) = removal.outcome else { return false };
        if removal.ended > got.asked || value.seq > removal.seq {
            return false;
        }
        let put_before = value.put_time + skew < wall(removal.asked);
        put_before || stands_until > wall(got.ended) + skew
    };
    if let Some(removal) = clients.removals(&value.identity).iter().find(by) {
        return Some(format!("put at {:?} was removed at {}", value.put_time, removal.ended));
    }
    let acked = clients
        .attempts(&value.identity)
        .iter()
        .filter(|a| matches!(a.outcome, Outcome::Acked(_)) && a.ended <= got.asked);
    let newest = acked.map(|a| a.put.seq).max().filter(|newest| *newest > value.seq)?;
    Some(format!("is at number {} again, after {newest}", value.seq))
}
