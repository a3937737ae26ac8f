//! A get gives only what was put under its key, byte for byte, each value once, in put-time order. Always.

use keyway_core::Id;
use keyway_core::machine::Value;
use keyway_core::store::proof::{series_name, sha256, signed_name, signer_place};
use keyway_core::store::record::content_key;
use keyway_core::store::{Cursor, Kind};

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
        if name.key != got.key || !is_named(value) {
            return complain(format!("the bytes are not those of {:.8}", name.value_hash));
        }
        let (seq, value_sha1) = (value.seq, Id::sha1(&value.bytes));
        let known = clients.attempts(&name).iter().any(|a| {
            let this = a.put.seq == seq && a.put.value_sha1 == value_sha1;
            this && a.asked <= got.ended && a.outcome != Outcome::Refused
        });
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

/// Whether a value is the one that its name says.
fn is_named(value: &Value) -> bool {
    let name = value.identity;
    let signed = |hash: fn(&Value, &[u8; 32]) -> Id| {
        value.proof.as_ref().is_some_and(|proof| {
            signer_place(&proof.public_key) == name.secret_hash
                && hash(value, &proof.nonce) == name.value_hash
        })
    };
    match value.kind {
        Kind::Put => Id::sha1(&value.bytes) == name.value_hash,
        Kind::Immutable => content_key(&value.bytes) == name.key && name.key == name.value_hash,
        Kind::Signed => signed(|value, nonce| signed_name(&sha256(&value.bytes), nonce)),
        Kind::Sequenced => signed(|_, nonce| series_name(nonce)),
        Kind::Remove | Kind::SignedRemove | Kind::SequencedRemove => false,
    }
}
