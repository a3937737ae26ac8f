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

use super::tree::{Branch, Entry, Node, Tree};
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

    fn sum(&self, rate: &Rate) -> Sum {
        Sum { bytes: self.bytes, peak: rate.height(self.bytes, self.expires_ms - 1) }
    }

    fn join(rate: &Rate, left: &Sum, right: &Sum) -> Sum {
        Sum { bytes: left.bytes + right.bytes, peak: right.peak.max(left.peak + rate.scaled(right.bytes)) }
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
        // `beyond` is all that stands to the right of where we are: what expires after the end counts during the whole life.
        let (mut beyond, mut peak) = (0, 0);
        let mut next = self.points.root();
        while let Some(branch) = next.take() {
            match &branch.node {
                Node::Inner(branches) => {
                    let inside = branches.partition_point(|branch| branch.first.0 <= end_ms);
                    beyond += branches[inside..].iter().map(|branch| branch.sum.bytes).sum::<u64>();
                    // The last of those that begin in time may end late, and is looked into; the others count as they are.
                    let Some((last, whole)) = branches[..inside].split_last() else { break };
                    let mut from_here = beyond + last.sum.bytes;
                    for branch in whole.iter().rev() {
                        peak = peak.max(branch.sum.peak + rate.scaled(from_here));
                        from_here += branch.sum.bytes;
                    }
                    next = Some(last);
                }
                Node::Leaf(points) => {
                    let inside = points.partition_point(|point| point.expires_ms <= end_ms);
                    beyond += points[inside..].iter().map(|point| point.bytes).sum::<u64>();
                    let mut from_here = beyond;
                    for point in points[..inside].iter().rev() {
                        from_here += point.bytes;
                        peak = peak.max(rate.height(from_here, point.expires_ms - 1));
                    }
                }
            }
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
        let end_ms = start_ms.saturating_add(ttl_ms);
        let mut search = Search { rate, room, start_ms, end_ms, beyond: 0, peak: 0, next_ms: u64::MAX };
        let found = self.points.root().and_then(|root| search.visit(root, false));
        found.or_else(|| search.stop_above(start_ms)).unwrap_or(start_ms)
    }

    /// The last expiry e for which more than `room` is stored until e.
    fn last_above(&self, room: u128) -> Option<u64> {
        let rate = self.rate();
        let mut beyond = 0;
        // Whether, with these bytes more, there are too many; if so they are not counted.
        let mut is_too_much = |bytes: u64| {
            let is_too_much = rate.scaled(beyond + bytes) > room;
            beyond += if is_too_much { 0 } else { bytes };
            is_too_much
        };
        let mut next = self.points.root();
        while let Some(branch) = next.take() {
            match &branch.node {
                Node::Inner(branches) => {
                    next = branches.iter().rev().find(|branch| is_too_much(branch.sum.bytes));
                }
                Node::Leaf(points) => {
                    let last = points.iter().rev().find(|point| is_too_much(point.bytes));
                    return last.map(|point| point.expires_ms);
                }
            }
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
/// after T and by `end_ms` is higher than `room + r * T`; later starts are freer. So the search stops at the first point at whose
/// expiry one may not start, and a subtree in which that cannot be is passed by its peak alone. A subtree that is looked into in
/// vain ends the search with the next point, so that there is one a level.
struct Search {
    rate: Rate,
    room: u128,
    start_ms: u64,
    end_ms: u64,
    /// Bytes of all points to the right of where we are.
    beyond: u64,
    /// The greatest height of the points passed, those beyond the end left out.
    peak: u128,
    /// The first expiry of the points passed; starting there is free.
    next_ms: u64,
}

impl Search {
    /// The earliest free start if `floor_ms` is not one.
    fn stop_above(&self, floor_ms: u64) -> Option<u64> {
        let is_free = self.peak <= self.room + self.rate.reserve(floor_ms);
        (!is_free).then(|| self.next_ms.min(self.rate.time_of(self.peak - self.room)))
    }

    /// Passes what is below a branch, all of which expires by the end if it is `whole`. Returns the answer if it is known by then.
    fn visit(&mut self, branch: &Branch<Point>, whole: bool) -> Option<u64> {
        let first_ms = branch.first.0;
        if first_ms > self.end_ms {
            self.beyond += branch.sum.bytes;
            return None;
        }
        let with_all = self.peak.max(branch.sum.peak + self.rate.scaled(self.beyond));
        if whole && with_all <= self.room + self.rate.reserve(first_ms.max(self.start_ms)) {
            self.beyond += branch.sum.bytes;
            (self.peak, self.next_ms) = (with_all, first_ms);
            return None;
        }
        match &branch.node {
            Node::Inner(branches) => {
                let mut whole = whole;
                for branch in branches.iter().rev() {
                    let found = self.visit(branch, whole);
                    if found.is_some() {
                        return found;
                    }
                    // What stands before a branch expires no later than it begins.
                    whole = whole || branch.first.0 <= self.end_ms;
                }
                None
            }
            Node::Leaf(points) => points.iter().rev().find_map(|point| self.pass(point)),
        }
    }

    /// Passes one point.
    fn pass(&mut self, point: &Point) -> Option<u64> {
        self.beyond += point.bytes;
        if point.expires_ms > self.end_ms {
            return None;
        }
        if point.expires_ms <= self.start_ms {
            return self.stop_above(self.start_ms).or(Some(self.start_ms));
        }
        // Of several points in one ms none stands in the way of a start there.
        let found = if point.expires_ms < self.next_ms { self.stop_above(point.expires_ms) } else { None };
        self.peak = self.peak.max(self.rate.height(self.beyond, point.expires_ms - 1));
        self.next_ms = point.expires_ms;
        found
    }
}
