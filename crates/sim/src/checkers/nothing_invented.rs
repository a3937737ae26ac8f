//! A get gives only what was put under its key, byte for byte, each value once, in put-time order. Always.

use keyway_core::Id;
use keyway_core::store::Cursor;

use super::{Complaint, Verdict};
use crate::workload::storage::{ClientModel, Got, Outcome};

/// Judges one answer.
///
/// # Errors
/// The first value that nobody put, that is not the one named, or that is out of order.
pub fn judge(clients: &ClientModel, got: &Got) -> Verdict {
    let complain = |text: String| {
        Err(Complaint::new("nothing_invented", format!("get {:.8} at n{}: {text}", got.key, got.host)))
    };
    let mut last: Option<Cursor> = None;
    for value in &got.answer.values {
        let name = value.identity;
        if name.key != got.key || name.value_hash != Id::sha1(&value.bytes) {
            return complain(format!("the bytes are not those of {:.8}", name.value_hash));
        }
        let known =
            clients.attempts(&name).iter().any(|a| a.asked <= got.ended && a.outcome != Outcome::Refused);
        if !known {
            return complain(format!("nobody put {:.8}", name.value_hash));
        }
        let place = Cursor {
            put_time: value.put_time,
            ttl: value.ttl,
            secret_hash: name.secret_hash,
            value_hash: name.value_hash,
        };
        if last.is_some_and(|last| last >= place) {
            return complain(format!("{:.8} is out of put-time order, or there twice", name.value_hash));
        }
        last = Some(place);
    }
    Ok(())
}
