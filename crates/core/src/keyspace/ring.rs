//! The ring of 2^160 ids: clockwise intervals.
//!
//! The half-open interval `(from, to]` is what a Chord node owns: `from` is its predecessor, `to` itself. When both
//! ends are equal the interval is the *whole ring*, as for the only member of a network (ToN'03 section IV).

use core::fmt;

use crate::id::Id;
use crate::wire::{Malformed, Reader, Wire, Writer};

/// True if `x` lies strictly between `a` and `b` going clockwise. With `a == b` that is everything but `a`.
#[must_use]
#[inline]
pub fn between(a: &Id, x: &Id, b: &Id) -> bool {
    if a < b { a < x && x < b } else { a < x || x < b && x != a || a == b && x != a }
}

/// True if `x` is in `(a, b]` going clockwise. With `a == b` that is everything.
#[must_use]
#[inline]
pub fn within(a: &Id, x: &Id, b: &Id) -> bool {
    if a < b { a < x && x <= b } else { a < x || x <= b || a == b }
}

/// The clockwise distance from `a` to `b`.
#[must_use]
pub fn distance(a: &Id, b: &Id) -> Id {
    b.wrapping_sub(a)
}

/// The interval `(from, to]` of the ring; the whole ring if `from == to`. There is no empty arc.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arc {
    /// Excluded lower end.
    pub from: Id,
    /// Included upper end.
    pub to: Id,
}

impl Arc {
    /// The whole ring.
    pub const FULL: Arc = Arc { from: Id::MAX, to: Id::MAX };

    /// `(from, to]`
    #[must_use]
    pub const fn new(from: Id, to: Id) -> Arc {
        Arc { from, to }
    }

    /// The arc that holds `id` alone.
    #[must_use]
    pub fn point(id: Id) -> Arc {
        Arc { from: id.prev(), to: id }
    }

    /// Whether the arc is the whole ring.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.from == self.to
    }

    /// Whether `id` lies in the arc.
    #[must_use]
    pub fn contains(&self, id: &Id) -> bool {
        within(&self.from, id, &self.to)
    }

    /// Whether every id of `other` lies in the arc.
    #[must_use]
    pub fn covers(&self, other: &Arc) -> bool {
        if self.is_full() {
            return true;
        }
        if other.is_full() {
            return false;
        }
        // Measured from our own start, other must begin and end in order, inside us.
        let start = other.from.wrapping_sub(&self.from);
        let end = other.to.wrapping_sub(&self.from);
        let len = self.to.wrapping_sub(&self.from);
        start < end && end <= len
    }

    /// The arc as one or two plain intervals `[first, last]` of numbers, in numeric order.
    pub fn spans(&self) -> impl Iterator<Item = (Id, Id)> + use<> {
        let first = self.from.next();
        let wraps = first > self.to;
        let low = (wraps).then_some((Id::ZERO, self.to));
        let high = Some(if wraps { (first, Id::MAX) } else { (first, self.to) });
        low.into_iter().chain(high)
    }
}

impl fmt::Debug for Arc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({:.8},{:.8}]", self.from, self.to)
    }
}

impl Wire for Arc {
    fn encode(&self, w: &mut Writer<'_>) {
        self.from.encode(w);
        self.to.encode(w);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Arc, Malformed> {
        Ok(Arc { from: Id::decode(r)?, to: Id::decode(r)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn few() -> impl Iterator<Item = Id> {
        // A handful of spread-out points, with both ends and neighbours.
        [Id::ZERO, Id::from_u64(1), Id::from_u64(9), Id::pow2(100), Id::pow2(159), Id::MAX.prev(), Id::MAX]
            .into_iter()
    }

    #[test]
    fn between_and_within_agree_with_walking_distance() {
        for a in few() {
            for b in few() {
                for x in few() {
                    let (dx, db) = (distance(&a, &x), distance(&a, &b));
                    let expect = if a == b { x != a } else { dx > Id::ZERO && dx < db };
                    assert_eq!(between(&a, &x, &b), expect, "between {a} {x} {b}");
                    let expect = a == b || dx > Id::ZERO && dx <= db;
                    assert_eq!(within(&a, &x, &b), expect, "within {a} {x} {b}");
                }
            }
        }
    }

    #[test]
    fn spans_hold_what_the_arc_contains() {
        for from in few() {
            for to in few() {
                let arc = Arc::new(from, to);
                let spans: Vec<_> = arc.spans().collect();
                for x in few() {
                    let inside = spans.iter().any(|(lo, hi)| *lo <= x && x <= *hi);
                    assert_eq!(inside, arc.contains(&x), "{arc:?} {x}");
                }
            }
        }
    }

    #[test]
    fn covers_is_containment_of_all_points() {
        for a in few() {
            for b in few() {
                for c in few() {
                    for d in few() {
                        let (x, y) = (Arc::new(a, b), Arc::new(c, d));
                        if x.covers(&y) {
                            assert!(few().all(|p| !y.contains(&p) || x.contains(&p)), "{x:?} {y:?}");
                        }
                        assert!(x.covers(&x));
                    }
                }
            }
        }
    }
}
