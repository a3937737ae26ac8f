//! A value's life is the one it was given: its put time is the gateway's clock at the put, its ttl the one asked for, what
//! remains is the difference to the answering clock, and nothing is served after its end. Always; clocks may differ from
//! the truth by the agreed skew, and by nothing else.

use keyway_core::Wall;
use keyway_core::machine::Value;

use super::{Complaint, Terms, Verdict};
use crate::workload::storage::{Attempt, ClientModel, Got, wall};

/// Judges one answer.
///
/// # Errors
/// The first value whose life is not the one it was given.
pub fn judge(clients: &ClientModel, got: &Got, terms: &Terms) -> Verdict {
    for value in &got.answer.values {
        if let Some(why) = wrong(clients, got, value, terms) {
            let name = value.identity.value_hash;
            let text = format!("get {:.8} at n{}: {name:.8} {why}", got.key, got.host);
            return Err(Complaint::new("ttl", text));
        }
    }
    Ok(())
}

/// What is wrong with the life of a value of an answer, if something is.
pub(crate) fn wrong(clients: &ClientModel, got: &Got, value: &Value, terms: &Terms) -> Option<String> {
    let expires = value.put_time + value.ttl;
    // A clock that is as late as it may be shows this when the answer is given.
    let latest_clock = Wall(wall(got.asked).0 - terms.skew.0);
    if expires <= latest_clock {
        return Some(format!("ended {:?} before the get was asked", latest_clock.since(expires)));
    }
    let clock = Wall(expires.0 - value.remaining.0);
    let (from, to) = (Wall(wall(got.asked).0 - terms.skew.0), wall(got.ended) + terms.skew);
    if value.remaining.0 > value.ttl.0 + terms.skew.times(2).0 || !(from..=to).contains(&clock) {
        return Some(format!(
            "has {:?} left of {:?}, by a clock that shows {clock:?}",
            value.remaining, value.ttl
        ));
    }
    let given = |a: &Attempt| {
        let (from, to) = (Wall(wall(a.asked).0 - terms.skew.0), wall(a.ended.min(got.ended)) + terms.skew);
        let of_life = a.put.ends.map_or(a.put.ttl == value.ttl, |ends| ends == expires);
        a.put.seq == value.seq && of_life && (from..=to).contains(&value.put_time)
    };
    if !clients.attempts(&value.identity).iter().any(given) {
        return Some(format!("has a life that no put gave it: {:?} from {:?}", value.ttl, value.put_time));
    }
    None
}
