//! Whether all nodes keep copies alike: who does not is told to people, and nothing else.
//!
//! ```text
//!   Hello ──▶            Sync ──▶                  whoever joins, returns or compares an arc
//!     ◀── Welcome{terms}   ◀── SyncIs{terms}       other than ours: noted, one line of the log; as ours again: forgotten
//! ```
//!
//! A read meets every acknowledged put because both ask majorities of one kind (`replicas`, `acks`, `reads` of [`NodeConfig`]). A node
//! with others of its own keeps its own promises and not those of the rest. It is not refused: a network whose copies are to be
//! more is restarted node by node, and one wrong member must not end whoever joins through it.
//!
//! [`NodeConfig`]: crate::machine::NodeConfig

use alloc::vec::Vec;

use super::{Node, Turn};
use crate::machine::{OTHER_TERMS_MAX, Terms, Trace};
use crate::overlay::Overlay;
use crate::peer::Peer;
use crate::time::{Duration, Mono};

/// How long what a peer has said of its terms is told, if it does not say so again: where records are kept holders compare them
/// every few seconds, and in a network without any nothing can be missed.
pub(super) const SAID_FOR: Duration = Duration::from_secs(600);

/// Peers that keep copies in another way. Nearly no node knows any: so it stands behind a pointer, and a million nodes pay a word for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Others {
    said: Vec<(Peer, Terms, Mono)>,
}

fn is_told(said: &(Peer, Terms, Mono), now: Mono) -> bool {
    now.since(said.2) <= SAID_FOR
}

impl Others {
    /// What `peer` says of its terms; whether that is news.
    fn learn(&mut self, peer: &Peer, terms: Terms, now: Mono) -> bool {
        self.said.retain(|said| is_told(said, now));
        let before = self.forget(peer);
        let fits = self.said.len() < OTHER_TERMS_MAX;
        if fits {
            self.said.push((peer.clone(), terms, now));
        }
        fits && before != Some(terms)
    }

    /// It agrees now. Who keeps nothing on disk comes back at its address under another id.
    fn forget(&mut self, gone: &Peer) -> Option<Terms> {
        let mut before = None;
        self.said.retain(|(peer, terms, _)| {
            let is_gone = peer.id() == gone.id() || peer.addr() == gone.addr();
            before = if is_gone { Some(*terms) } else { before };
            !is_gone
        });
        before
    }

    fn len(&self) -> usize {
        self.said.len()
    }

    fn told(&self, now: Mono) -> Vec<(Peer, Terms)> {
        self.said
            .iter()
            .filter(|said| is_told(said, now))
            .map(|(peer, terms, _)| (peer.clone(), *terms))
            .collect()
    }
}

impl<O: Overlay> Node<O> {
    /// `from` has said how it keeps copies.
    pub(super) fn learn_terms(&mut self, t: &mut Turn<'_, O>, from: &Peer, terms: Terms) {
        let ours = self.config.terms();
        if ours.agree(terms) {
            if let Some(others) = &mut self.others {
                others.forget(from);
                self.others.take_if(|others| others.said.is_empty());
            }
        } else if self.others.get_or_insert_default().learn(from, terms, t.now.mono) {
            t.out.trace(|| Trace::OtherTerms { peer: from.clone(), theirs: terms, ours });
        }
    }

    /// Who keeps copies in another way than this node, as far as it has heard of late.
    pub(super) fn other_terms(&self, now: Mono) -> Vec<(Peer, Terms)> {
        self.others.as_ref().map_or(Vec::new(), |others| others.told(now))
    }

    pub(super) fn other_terms_count(&self) -> usize {
        self.others.as_ref().map_or(0, |others| others.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;
    use crate::peer::Addr;

    const WIDE: Terms = Terms { replicas: 5, acks: 3, reads: 3 };

    fn peer(n: u32) -> Peer {
        Peer::new(Id::from_u64(u64::from(n) + 1), Addr::simulated(n))
    }

    #[test]
    fn who_says_the_same_again_is_no_news() {
        let mut others = Others::default();
        let now = |s: u64| Mono(s * 1_000_000);
        let wider = Terms { acks: 4, ..WIDE };
        assert!(others.learn(&peer(1), WIDE, now(2)));
        assert!(!others.learn(&peer(1), WIDE, now(3)));
        assert!(others.learn(&peer(1), wider, now(4)));
        assert_eq!(others.told(now(4)), [(peer(1), wider)]);
        let renamed = Peer::new(Id::from_u64(99), peer(1).addr());
        assert_eq!((others.forget(&renamed), others.forget(&peer(1))), (Some(wider), None));
        assert!(others.learn(&peer(1), wider, now(5)), "it is news again");
    }

    #[test]
    fn terms_agree_if_their_quorums_meet_or_they_are_the_same() {
        let of = |replicas, acks, reads| Terms { replicas, acks, reads };
        assert!(of(3, 2, 2).agree(of(3, 2, 3)) && of(3, 2, 2).agree(of(3, 3, 2)));
        assert!(!of(3, 2, 2).agree(of(3, 3, 1)) && !of(3, 3, 1).agree(of(3, 2, 2)));
        assert!(!of(3, 2, 2).agree(of(5, 4, 4)), "of other replicas");
        // The service of 2005 promised less.
        assert!(of(8, 2, 5).agree(of(8, 2, 5)) && !of(8, 2, 5).agree(of(8, 2, 6)));
    }

    #[test]
    fn what_was_said_is_told_for_ten_minutes_and_of_few() {
        let mut others = Others::default();
        let at = |s: u32| Mono(u64::from(s) * 1_000_000);
        let max = OTHER_TERMS_MAX as u32;
        for n in 0..max + 3 {
            assert_eq!(
                others.learn(&peer(n), WIDE, at(n)),
                n < max,
                "who does not fit is no news, nor makes others news"
            );
        }
        assert_eq!(others.len(), OTHER_TERMS_MAX);
        assert_eq!(others.told(at(600 + max - 2)), [(peer(max - 2), WIDE), (peer(max - 1), WIDE)]);
        assert_eq!(others.told(at(600 + max)), []);
        assert!(others.learn(&peer(max + 1), WIDE, at(601)), "the first has not said so for too long");
        assert!(!others.learn(&peer(max + 2), WIDE, at(601)));
        assert!(others.learn(&peer(5), WIDE, at(606)), "what was told no more is news again");
    }
}
