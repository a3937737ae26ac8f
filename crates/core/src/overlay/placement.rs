//! Placement on a ring: a key belongs to the first member clockwise from it (its root) and to the members after that.
//!
//! A node knows a *stretch* of the ring around itself, or all of it:
//!
//! ```text
//!        known stretch                          gap: members that we do not know
//!   p3 ── p2 ── p1 ── me ── s1 ── s2 ── s3 · · · · · · · · · · · · · · p3
//!      arc of p2            arc of s1                arc of p3: its lower end is unknown
//! ```
//!
//! From a stretch follow both questions that storage asks, by one and the same rule, so they cannot disagree: who holds a
//! key ([`Stretch::replica_set`]), and which arcs this node holds with whom ([`Stretch::shares`]). Where knowledge ends the
//! answer ends too: a key whose root is in the gap has no replica set here, and a set is never continued across it.

use alloc::vec::Vec;

use crate::id::Id;
use crate::keyspace::Arc;
use crate::keyspace::ring::{between, within};
use crate::overlay::Share;
use crate::peer::Peer;

/// What one member knows of the ring around itself.
pub(super) struct Stretch<'a> {
    /// Clockwise from the member itself: itself, its successors, then (after the gap, if there is one) its predecessors,
    /// farthest first. Members clockwise, none twice.
    circle: Vec<&'a Peer>,
    /// Where the gap is: `circle[gap - 1]` and `circle[gap]` need not be adjacent. None if the circle is the whole ring.
    gap: Option<usize>,
}

impl<'a> Stretch<'a> {
    /// The stretch around `me`: successors nearest first, predecessors nearest first. `closed` says that after the last
    /// successor comes `me` again, as far as the successors know.
    pub(super) fn new(me: &'a Peer, succs: &'a [Peer], preds: &'a [Peer], closed: bool) -> Stretch<'a> {
        let mut circle = Vec::with_capacity(1 + succs.len() + preds.len());
        circle.push(me);
        circle.extend(succs);
        let last = circle[circle.len() - 1].id();
        // Predecessors that the successor list reaches already are the same nodes seen from the other side.
        let beyond = preds.iter().take_while(|p| between(last, p.id(), me.id())).count();
        let meet = closed || beyond < preds.len();
        let gap = (!meet).then_some(circle.len());
        circle.extend(preds[..beyond].iter().rev());
        Stretch { circle, gap }
    }

    /// The arc of which `circle[i]` is the root, if its lower end is known.
    fn arc(&self, i: usize) -> Option<Arc> {
        let n = self.circle.len();
        // With a gap at the very end of the circle it is our own predecessor that is unknown.
        let known = self.gap.is_none_or(|gap| gap % n != i);
        known.then(|| Arc::new(*self.circle[(i + n - 1) % n].id(), *self.circle[i].id()))
    }

    /// At most `n` members from `circle[i]` on, up to the gap.
    fn set(&self, i: usize, n: usize) -> Vec<Peer> {
        let len = self.circle.len();
        let reach = match self.gap {
            None => len,
            Some(gap) if i < gap => gap - i,
            Some(gap) => len - i + gap,
        };
        (0..n.min(reach)).map(|k| self.circle[(i + k) % len].clone()).collect()
    }

    /// The holders of `key`, root first; empty where its root is not known.
    pub(super) fn replica_set(&self, key: &Id, n: usize) -> Vec<Peer> {
        let len = self.circle.len();
        // Binary search would do; a stretch has a few dozen members.
        let root = (0..len).find(|&i| {
            within(self.circle[(i + len - 1) % len].id(), key, self.circle[i].id()) && self.arc(i).is_some()
        });
        root.map_or(Vec::new(), |i| self.set(i, n))
    }

    /// The arcs for which `circle[0]` is among the first `n` holders.
    pub(super) fn shares(&self, n: usize) -> Vec<Share> {
        let len = self.circle.len();
        let mut shares = Vec::with_capacity(n.min(len));
        for back in 0..n.min(len) {
            let i = (len - back) % len;
            if back > 0 && self.gap.is_some_and(|gap| i < gap) {
                break;
            }
            if let Some(arc) = self.arc(i) {
                shares.push(Share { arc, peers: self.set(i, n) });
            }
        }
        shares
    }
}
