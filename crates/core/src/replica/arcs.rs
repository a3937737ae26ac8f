//! Sets of arcs: which stretches of the ring a node has taken over, still lacks, or shares with whom.
//!
//! Kept as disjoint, not touching, closed intervals in numeric order. That form is canonical: equal sets are equal
//! values, however they came about.

use alloc::vec::Vec;

use crate::id::Id;
use crate::keyspace::Arc;

/// A set of ids, as few arcs.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct ArcSet {
    /// `[first, last]`, sorted, with at least one id between neighbours.
    spans: Vec<(Id, Id)>,
}

impl ArcSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> ArcSet {
        ArcSet { spans: Vec::new() }
    }

    /// Adds every id of an arc.
    pub fn add(&mut self, arc: &Arc) {
        for (first, last) in arc.spans() {
            self.add_span(first, last);
        }
    }

    /// Takes every id of an arc away.
    pub fn remove(&mut self, arc: &Arc) {
        for (first, last) in arc.spans() {
            self.remove_span(first, last);
        }
    }

    /// Whether an id is in the set.
    #[must_use]
    pub fn contains(&self, id: &Id) -> bool {
        self.holds(id, id)
    }

    /// Whether every id of an arc is in the set.
    #[must_use]
    pub fn covers(&self, arc: &Arc) -> bool {
        arc.spans().all(|(first, last)| self.holds(&first, &last))
    }

    /// Whether some id of an arc is in the set.
    #[must_use]
    pub fn touches(&self, arc: &Arc) -> bool {
        arc.spans().any(|(first, last)| {
            let at = self.spans.partition_point(|span| span.1 < first);
            self.spans.get(at).is_some_and(|span| span.0 <= last)
        })
    }

    /// The ids that are in both sets.
    #[must_use]
    pub fn intersect(&self, other: &ArcSet) -> ArcSet {
        let (mut a, mut b) = (self.spans.iter().peekable(), other.spans.iter().peekable());
        let mut both = ArcSet::new();
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            let (first, last) = (x.0.max(y.0), x.1.min(y.1));
            if first <= last {
                both.add_span(first, last);
            }
            if x.1 < y.1 {
                a.next()
            } else {
                b.next()
            };
        }
        both
    }

    /// The ids of an arc that are in the set.
    #[must_use]
    pub fn within(&self, arc: &Arc) -> ArcSet {
        self.intersect(&ArcSet::from_iter([*arc]))
    }

    /// The ids of this set that are not in the other.
    #[must_use]
    pub fn minus(&self, other: &ArcSet) -> ArcSet {
        let mut rest = self.clone();
        for (first, last) in &other.spans {
            rest.remove_span(*first, *last);
        }
        rest
    }

    /// Whether there is no id in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Whether every id is in the set.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.spans == [(Id::ZERO, Id::MAX)]
    }

    /// As disjoint arcs that do not touch, by their ends; an arc over zero comes last.
    pub fn iter(&self) -> impl Iterator<Item = Arc> + '_ {
        let over_zero = match (self.spans.first(), self.spans.last()) {
            (Some(first), Some(last)) => first.0 == Id::ZERO && last.1 == Id::MAX && self.spans.len() > 1,
            _ => false,
        };
        let plain = if over_zero { &self.spans[1..self.spans.len() - 1] } else { &self.spans[..] };
        let joined = over_zero.then(|| Arc::new(self.spans[self.spans.len() - 1].0.prev(), self.spans[0].1));
        plain.iter().map(|(first, last)| Arc::new(first.prev(), *last)).chain(joined)
    }

    fn holds(&self, first: &Id, last: &Id) -> bool {
        let at = self.spans.partition_point(|span| span.1 < *first);
        self.spans.get(at).is_some_and(|span| span.0 <= *first && *last <= span.1)
    }

    fn add_span(&mut self, mut first: Id, mut last: Id) {
        // Everything that overlaps or touches becomes one; the ends of the line do not touch each other here.
        let start = self.spans.partition_point(|span| span.1 < first && span.1.next() != first);
        let end =
            self.spans.partition_point(|span| span.0 <= last || span.0 == last.next() && last != Id::MAX);
        if let Some(span) = self.spans[start..end.max(start)].first() {
            first = first.min(span.0);
        }
        if let Some(span) = self.spans[start..end.max(start)].last() {
            last = last.max(span.1);
        }
        self.spans.splice(start..end.max(start), [(first, last)]);
    }

    fn remove_span(&mut self, first: Id, last: Id) {
        let start = self.spans.partition_point(|span| span.1 < first);
        let end = self.spans.partition_point(|span| span.0 <= last);
        if start >= end {
            return;
        }
        let (head, tail) = (self.spans[start].0, self.spans[end - 1].1);
        let before = (head < first).then(|| (head, first.prev()));
        let after = (tail > last).then(|| (last.next(), tail));
        self.spans.splice(start..end, before.into_iter().chain(after));
    }
}

impl FromIterator<Arc> for ArcSet {
    fn from_iter<I: IntoIterator<Item = Arc>>(arcs: I) -> ArcSet {
        let mut set = ArcSet::new();
        for arc in arcs {
            set.add(&arc);
        }
        set
    }
}

impl From<Arc> for ArcSet {
    fn from(arc: Arc) -> ArcSet {
        ArcSet::from_iter([arc])
    }
}
