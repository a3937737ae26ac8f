//! A quorum get gives every value that was acknowledged before it was asked and is alive until after its answer. In calm
//! worlds: while members come, go or fall silent, only the state after the heal is promised.

use keyway_core::machine::Reads;

use super::{Complaint, Terms, Verdict};
use crate::workload::storage::{ClientModel, Got};

/// Judges one answer.
///
/// # Errors
/// If an acknowledged value is missing from it.
pub fn judge(clients: &ClientModel, got: &Got, terms: &Terms) -> Verdict {
    if got.reads == Reads::First || got.answer.next.is_some() {
        return Ok(());
    }
    let missing = clients
        .owed(&got.key, got.asked, got.ended, terms.skew.times(2))
        .find(|name| !got.answer.values.iter().any(|v| v.identity == **name));
    match missing {
        None => Ok(()),
        Some(name) => {
            let text = format!(
                "get {:.8} at n{} merged {} replicas and misses {:.8}, acknowledged before",
                got.key, got.host, got.answer.merged, name.value_hash
            );
            Err(Complaint::new("read_after_ack", text))
        }
    }
}
