//! Whether silence is the peer's or this node's own: it is the peer's as long as others answer in time.
//!
//! ```text
//!   a silent   b silent   c silent   d silent ... ──▶ nobody answers: is it me?   any answer in time ──▶ believed again
//!      └───── believed ──────┘           └ waited for, up to [`SPAN`]; a late answer prolongs it, up to [`SPAN_MAX`]
//! ```
//!
//! The first [`BELIEVED`] silent peers in a row are believed, so that in a network of four nothing is ever doubted; and who has
//! been cut off for good believes it after [`SPAN`]. More of them would be given up by a slow node; with fewer, half of all nodes dying
//! at once would often look like doubt to those who live. Whoever is in doubt asks those who speak to it meanwhile
//! ([`Rpc::witnesses`](super::Rpc::witnesses)): that nobody answers may only mean that all who were asked are dead.

use alloc::vec::Vec;

use crate::id::Id;
use crate::time::{Duration, Mono};

/// So many peers may be silent one after another, with no answer in between: the next one may be this node's fault.
pub(in crate::rpc) const BELIEVED: usize = 3;
/// For so long answers are waited for then. A round trip of OpenDHT's slowest hosts took up to ten seconds (Rhea et al., *Fixing the
/// embarrassing slowness of OpenDHT on PlanetLab*, WORLDS 2005); twice that, and time for one more try.
pub(super) const SPAN: Duration = Duration::from_secs(30);

/// And no longer than so, however many answers come late.
pub(super) const SPAN_MAX: Duration = Duration::from_secs(120);

/// See the module.
#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct Doubt {
    /// When somebody answered in time last.
    answered: Option<Mono>,
    /// Peers that fell silent since then, at most [`BELIEVED`].
    silent: Vec<Id>,
    /// In doubt: since when, and until when. Only while [`BELIEVED`] peers are silent.
    span: Option<(Mono, Mono)>,
}

impl Doubt {
    pub(super) const fn new() -> Doubt {
        Doubt { silent: Vec::new(), span: None, answered: None }
    }

    /// Somebody answered.
    pub(super) fn on_answer(&mut self, now: Mono, in_time: bool) {
        if in_time {
            self.answered = Some(now);
            if !self.silent.is_empty() {
                (self.silent, self.span) = (Vec::new(), None);
            }
        } else if let Some((since, until)) = &mut self.span {
            *until = (now + SPAN).min(*since + SPAN_MAX);
        }
    }

    /// All tries of a call to `peer` have run out: whether that says something about the peer. Somebody else's answer `since` then does.
    pub(super) fn is_believed(&mut self, now: Mono, peer: &Id, since: Mono) -> bool {
        if self.answered.is_some_and(|answered| answered > since) {
            return true;
        }
        if self.silent.contains(peer) {
            return true;
        }
        if self.silent.len() < BELIEVED {
            self.silent.push(*peer);
            return true;
        }
        now >= self.span.get_or_insert((now, now + SPAN)).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> Id {
        Id::from_u64(n)
    }

    fn is_believed(doubt: &mut Doubt, now: Mono, n: u64) -> bool {
        doubt.is_believed(now, &id(n), Mono(0))
    }

    #[test]
    fn few_silent_peers_are_believed_and_one_more_is_not() {
        let mut doubt = Doubt::new();
        assert!((1..=BELIEVED as u64).all(|n| is_believed(&mut doubt, Mono(0), n)));
        assert!(!is_believed(&mut doubt, Mono(0), 8) && !is_believed(&mut doubt, Mono(0), 9));
        assert!(is_believed(&mut doubt, Mono(0), 1), "as before");
        doubt.on_answer(Mono(5), true);
        assert!(is_believed(&mut doubt, Mono(6), 9), "somebody answers: it is not this node");
    }

    /// The living answered before the dead ran out of time: whoever waited during that is not in doubt.
    #[test]
    fn an_answer_counts_for_those_who_waited_when_it_came() {
        let mut doubt = Doubt::new();
        doubt.on_answer(Mono(5), true);
        assert!((1..20).all(|n| doubt.is_believed(Mono(9), &id(n), Mono(4))));
        let believed = (1..20).filter(|n| doubt.is_believed(Mono(9), &id(*n), Mono(6))).count();
        assert_eq!(believed, BELIEVED, "it says nothing about those who were asked after it");
    }

    #[test]
    fn doubt_ends_and_late_answers_prolong_it_for_a_while() {
        let mut doubt = Doubt::new();
        (1..=BELIEVED as u64 + 1).for_each(|n| {
            is_believed(&mut doubt, Mono(0), n);
        });
        let end = Mono(0) + SPAN;
        doubt.on_answer(Mono(1_000_000), false);
        assert!(!is_believed(&mut doubt, end, 9));
        assert!(is_believed(&mut doubt, end + Duration(1_000_000), 9), "cut off for good");
        (1..1_000).for_each(|n| doubt.on_answer(Mono(n * 1_000_000), false));
        assert!(is_believed(&mut doubt, Mono(0) + SPAN_MAX, 9), "not for ever");
        doubt.on_answer(end, true);
        assert!(doubt.silent.is_empty() && doubt.span.is_none());
    }
}
