//! Whether silence is the peer's or this node's own: it is the peer's as long as others answer in time.
//!
//! ```text
//!   a silent   b silent   c silent   d silent ... ──▶ nobody answers: is it me?   any answer in time ──▶ believed again
//!      └───── believed ──────┘           └ waited for, up to [`SPAN`]; a late answer, and [`SPAN`] begins anew
//! ```
//!
//! The first [`PEERS`] - 1 silent peers in a row are believed, so that in a network of four nothing is ever doubted; and who has
//! been cut off for good believes it after [`SPAN`]. More of them would be given up by a slow node; with fewer, half of all nodes dying
//! at once would often look like doubt to those who live.

use alloc::vec::Vec;

use crate::id::Id;
use crate::time::{Duration, Mono};

/// So many peers silent one after another, and no answer in between: from the last of them on it may be this node's fault.
pub(super) const PEERS: usize = 4;
/// For so long answers are waited for then. A round trip of OpenDHT's slowest hosts took up to ten seconds (Rhea et al., *Fixing the
/// embarrassing slowness of OpenDHT on PlanetLab*, WORLDS 2005); twice that, and time for one more try.
pub(super) const SPAN: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubt {
    /// Peers that fell silent since somebody answered in time, at most [`PEERS`].
    silent: Vec<Id>,
    /// In doubt: until when.
    until: Option<Mono>,
}

impl Doubt {
    pub(super) const fn new() -> Doubt {
        Doubt { silent: Vec::new(), until: None }
    }

    /// Somebody answered.
    pub(super) fn on_answer(&mut self, now: Mono, in_time: bool) {
        if in_time {
            *self = Doubt::new();
        } else if self.until.is_some() {
            self.until = Some(now + SPAN);
        }
    }

    /// All tries of a call to `peer` have run out: whether that says something about the peer.
    pub(super) fn is_believed(&mut self, now: Mono, peer: &Id) -> bool {
        if self.silent.len() < PEERS && !self.silent.contains(peer) {
            self.silent.push(*peer);
        }
        if self.silent.len() < PEERS || self.silent[..PEERS - 1].contains(peer) {
            return true;
        }
        now >= *self.until.get_or_insert(now + SPAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> Id {
        Id::from_u64(n)
    }

    #[test]
    fn few_silent_peers_are_believed_and_one_more_is_not() {
        let mut doubt = Doubt::new();
        assert!((1..PEERS as u64).all(|n| doubt.is_believed(Mono(0), &id(n))));
        assert!(!doubt.is_believed(Mono(0), &id(8)) && !doubt.is_believed(Mono(0), &id(9)));
        assert!(doubt.is_believed(Mono(0), &id(1)), "as before");
        doubt.on_answer(Mono(0), true);
        assert!(doubt.is_believed(Mono(0), &id(9)), "somebody answers: it is not this node");
    }

    #[test]
    fn doubt_ends_and_late_answers_prolong_it() {
        let mut doubt = Doubt::new();
        (1..=PEERS as u64).for_each(|n| {
            doubt.is_believed(Mono(0), &id(n));
        });
        let end = Mono(0) + SPAN;
        doubt.on_answer(Mono(1_000_000), false);
        assert!(!doubt.is_believed(end, &id(9)));
        assert!(doubt.is_believed(end + Duration(1_000_000), &id(9)), "cut off for good");
        doubt.on_answer(end, true);
        assert!(doubt.silent.is_empty() && doubt.until.is_none());
    }
}
