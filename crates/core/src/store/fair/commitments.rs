//! What is promised of the disk, and whether one more put fits (OpenDHT section 4.1.2, the admission test).
//!
//! A put of x bytes that lives l ms is admissible at time t if, for each ms u of its life,
//!
//! ```text
//!   stored(u)  +  r * (u - t)  +  x  <=  limit          stored(u) = bytes of accepted puts that expire after u
//!
//!   bytes │          .·|                                The sum of falling steps and a rising line is greatest just
//!         │  .·|   .·  |      .·                        before a step, or at the end: it suffices to look at u = e - 1
//!         │.·  | .·    |    .·   reserve of slope r     for each expiry e in (t, t + l], and at u = t + l - 1.
//!         │    '·      |  .·
//!         │            |.·
//!         └────t───────e────────t+l──▶ u
//! ```
//!
//! A [`Point`] stands for what one client has expiring in one ms. Its *height* is `stored(e - 1) + r * (e - 1)`, and a subtree
//! knows its bytes and its greatest height, not counting what stands to the right of it. Time does not appear in a height:
//! passing time moves the whole line, so nothing is rewritten. A put costs one descent to be tested, one to be added, one to
//! expire, and one to find its hour if it must wait: each O(log n).
//!
//! Rates are fractions `num / den` bytes a ms. All heights are in units of 1/den byte, in 128 bits, so that they are exact.

use super::tree::{Entry, Node, Tree};
use super::{ClientId, Rate};

/// What one client has expiring in one ms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Point {
    expires_ms: u64,
    client: ClientId,
    bytes: u64,
}

/// Of a subtree, as if nothing stood to the right of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sum {
    bytes: u64,
    /// The greatest height, in 1/den bytes.
    peak: u128,
}

impl Entry for Point {
    type Key = (u64, ClientId);
    type Sum = Sum;
    type Scale = Rate;

    fn key(&self) -> (u64, ClientId) {
        (self.expires_ms, self.client)
    }

    fn sum(&self, rate: &Rate, left: Option<&Sum>, right: Option<&Sum>) -> Sum {
        let from_here = self.bytes + right.map_or(0, |sum| sum.bytes);
        let mut sum = Sum { bytes: from_here, peak: rate.height(from_here, self.expires_ms - 1) };
        if let Some(right) = right {
            sum.peak = sum.peak.max(right.peak);
        }
        if let Some(left) = left {
            sum.peak = sum.peak.max(left.peak + rate.scaled(from_here));
            sum.bytes += left.bytes;
        }
        sum
    }

    fn absorb(&mut self, other: &Point) {
        self.bytes += other.bytes;
    }
}

/// The promises of one disk.
#[derive(Clone, Debug)]
pub(super) struct Commitments {
    points: Tree<Point>,
    /// What `stored + reserve + put` may come to, in 1/den bytes.
    limit: u128,
}

impl Commitments {
    pub(super) fn new(rate: Rate, limit: u128) -> Commitments {
        Commitments { points: Tree::new(rate), limit }
    }

    fn rate(&self) -> Rate {
        self.points.scale
    }

    /// Bytes that have not expired.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.points.root().map_or(0, |root| root.sum.bytes)
    }

    /// How many (client, ms) have something expiring.
    pub(super) fn points_count(&self) -> usize {
        self.points.len()
    }

    /// Charges bytes until `expires_ms`, which is above 0; returns how many were charged, all unless the sum leaves 64 bits.
    pub(super) fn add(&mut self, client: ClientId, bytes: u64, expires_ms: u64) -> u64 {
        let bytes = bytes.min(u64::MAX - self.stored_bytes());
        if bytes > 0 {
            self.points.insert(Point { expires_ms, client, bytes });
        }
        bytes
    }

    /// Takes back a charge; returns how many bytes of it there were.
    pub(super) fn take(&mut self, client: ClientId, bytes: u64, expires_ms: u64) -> u64 {
        let Some(point) = self.points.remove(&(expires_ms, client)) else { return 0 };
        let bytes = bytes.min(point.bytes);
        self.add(client, point.bytes - bytes, expires_ms);
        bytes
    }

    /// Drops one point that has expired by `now_ms`.
    pub(super) fn expire(&mut self, now_ms: u64) -> Option<(ClientId, u64)> {
        self.points.first().filter(|first| first.expires_ms <= now_ms)?;
        self.points.pop_first().map(|point| (point.client, point.bytes))
    }

    /// Whether a put would be admissible on an empty disk. If not it never is.
    pub(super) fn can_ever(&self, bytes: u64, ttl_ms: u64) -> bool {
        ttl_ms == 0 || self.rate().height(bytes, ttl_ms - 1) <= self.limit
    }

    /// The admission test at `now_ms`; nothing expired is left.
    pub(super) fn fits(&self, now_ms: u64, bytes: u64, ttl_ms: u64) -> bool {
        let rate = self.rate();
        let Some(end_ms) = now_ms.checked_add(ttl_ms).filter(|end| *end > now_ms) else { return ttl_ms == 0 };
        // Of all that stands to the right of where we are; what expires after the end counts during the whole life.
        let (mut beyond, mut peak) = (0, 0);
        let mut at = self.points.root();
        while let Some(node) = at {
            let right = self.points.right(node);
            let from_here = beyond + node.entry.bytes + right.map_or(0, |n| n.sum.bytes);
            if node.entry.expires_ms > end_ms {
                beyond = from_here;
                at = self.points.left(node);
                continue;
            }
            peak = peak.max(rate.height(from_here, node.entry.expires_ms - 1));
            if let Some(left) = self.points.left(node) {
                peak = peak.max(left.sum.peak + rate.scaled(from_here));
            }
            at = right;
        }
        let peak = peak.max(rate.height(beyond, end_ms - 1));
        peak + rate.scaled(bytes) <= self.limit + rate.reserve(now_ms)
    }

    /// The earliest time after `now_ms` at which a put fits if nothing else is accepted. It does not fit now, and it
    /// [can ever](Commitments::can_ever).
    ///
    /// The end of its life decides first: `stored(t + l - 1)` must leave room for the reserve of the whole life, so the end
    /// lies beyond the last expiry e* that holds too much. From that start on, whatever expires beyond the end of the life never
    /// stands in the way: there is less of it than at the end, and less reserve. Of the rest each point blocks until time has
    /// moved the line below it, or until it expires.
    pub(super) fn earliest(&self, now_ms: u64, bytes: u64, ttl_ms: u64) -> u64 {
        let rate = self.rate();
        let room = self.limit.saturating_sub(rate.scaled(bytes));
        let at_end = room.saturating_sub(rate.reserve(ttl_ms.saturating_sub(1)));
        let start_ms = match self.last_above(at_end) {
            Some(e) => (now_ms + 1).max((e + 1).saturating_sub(ttl_ms)),
            None => now_ms + 1,
        };
        let mut search = Search {
            points: &self.points,
            room,
            end_ms: start_ms.saturating_add(ttl_ms),
            peak: 0,
            next_ms: u64::MAX,
        };
        search.visit(self.points.root(), 0, start_ms, false).unwrap_or(start_ms)
    }

    /// The last expiry e for which more than `room` is stored until e.
    fn last_above(&self, room: u128) -> Option<u64> {
        let rate = self.rate();
        let mut beyond = 0;
        let mut at = self.points.root();
        while let Some(node) = at {
            let right = self.points.right(node);
            let right_bytes = right.map_or(0, |n| n.sum.bytes);
            if rate.scaled(beyond + right_bytes) > room {
                at = right;
                continue;
            }
            beyond += right_bytes + node.entry.bytes;
            if rate.scaled(beyond) > room {
                return Some(node.entry.expires_ms);
            }
            at = self.points.left(node);
        }
        None
    }

    /// Whether the tree is sound and nothing expired is left in it.
    pub(super) fn is_sound(&self, now_ms: u64) -> bool {
        self.points.is_sound() && self.points.first().is_none_or(|first| first.expires_ms > now_ms)
    }

    /// Bytes of each client, in no order.
    pub(super) fn each(&self) -> impl Iterator<Item = (ClientId, u64)> {
        self.points.iter().map(|point| (point.client, point.bytes))
    }
}

/// The search for the earliest start, from the latest expiry to the first. A start T is *free* if no point that expires
/// after T and by `end_ms` is higher than `room + r * T`; later starts are freer, so that a subtree in which the answer cannot
/// lie is passed by its peak alone.
struct Search<'a> {
    points: &'a Tree<Point>,
    room: u128,
    end_ms: u64,
    /// The greatest height of the points passed.
    peak: u128,
    /// The first expiry of the points passed; starting there is free.
    next_ms: u64,
}

impl Search<'_> {
    /// Passes the points below `at`, whose expiries are not before `floor_ms`; `beyond` are the bytes to the right of them, `whole`
    /// says that all of them expire by the end. Returns the answer if it is above `floor_ms`; else starting there is free.
    fn visit(&mut self, at: Option<&Node<Point>>, beyond: u64, floor_ms: u64, whole: bool) -> Option<u64> {
        let points = self.points;
        let rate = points.scale;
        let room = self.room + rate.reserve(floor_ms);
        let Some(node) = at else {
            return (self.peak > room).then(|| self.next_ms.min(rate.time_of(self.peak - self.room)));
        };
        let with_all = self.peak.max(node.sum.peak + rate.scaled(beyond));
        if whole && with_all <= room {
            self.peak = with_all;
            return None;
        }
        let (left, right) = (points.left(node), points.right(node));
        let expires_ms = node.entry.expires_ms;
        let from_here = beyond + node.entry.bytes + right.map_or(0, |n| n.sum.bytes);
        if expires_ms > self.end_ms {
            return self.visit(left, from_here, floor_ms, whole);
        }
        let found = self.visit(right, beyond, floor_ms.max(expires_ms), whole);
        if found.is_some() || expires_ms <= floor_ms {
            return found;
        }
        self.peak = self.peak.max(rate.height(from_here, expires_ms - 1));
        self.next_ms = expires_ms;
        self.visit(left, from_here, floor_ms, true)
    }
}
