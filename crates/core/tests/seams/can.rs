//! A CAN of two dimensions over the seam.
//!
//! A key is a point: its bits, dealt out in turn, are the two coordinates. Zones come about by halving along alternating
//! dimensions, so **a zone is a prefix of the key space**, and therefore an arc: shares, digests and handoff need nothing new. The
//! prefix is the peer's label (one byte of length, then the bits), so whoever hears of a peer knows its zone.
//!
//! ```text
//!   halving x, then y:   +-----+--+--+      prefixes  00   01   (x < 1/2)
//!                        | 01  |110|111|              10  110 111
//!                        +-----+--+--+
//!                        | 00  |  10 |
//!                        +-----+-----+
//! ```

use keyway_core::cx::{Cx, Event, Input};
use keyway_core::keyspace::Arc;
use keyway_core::overlay::{Hop, Overlay, Share, Violation};
use keyway_core::{Id, Peer};

use crate::Never;

/// Bits of a prefix that make coordinates: 32 for each dimension.
const BITS: u8 = 64;

/// A prefix of the key space, which is a rectangle of the unit square.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Zone {
    first: u64,
    bits: u8,
}

/// The leading bits of an id.
fn leading(id: &Id) -> u64 {
    u64::from_be_bytes(id.as_bytes()[..8].try_into().expect("eight bytes"))
}

/// Every second bit, from the one at `start` (0 for x, 1 for y).
fn coordinate(bits: u64, start: u8) -> u32 {
    (0..32).fold(0, |sum, i| sum << 1 | (bits >> (63 - 2 * i - u32::from(start)) & 1) as u32)
}

impl Zone {
    const ALL: Zone = Zone { first: 0, bits: 0 };

    fn of(peer: &Peer) -> Option<Zone> {
        let (bits, first) = peer.label().split_first()?;
        Some(Zone { first: u64::from_be_bytes(first.try_into().ok()?), bits: (*bits).min(BITS) })
    }

    fn label(self) -> Vec<u8> {
        [&[self.bits][..], &self.first.to_be_bytes()].concat()
    }

    fn contains(self, id: &Id) -> bool {
        self.bits == 0 || (leading(id) ^ self.first) >> (BITS - self.bits) == 0
    }

    fn halves(self) -> (Zone, Zone) {
        let bits = self.bits + 1;
        (Zone { bits, ..self }, Zone { first: self.first | 1 << (BITS - bits), bits })
    }

    /// The last key whose leading bits lie in the zone, and the one before its first.
    fn arc(self) -> Arc {
        let id = |leading: u64, rest: u8| {
            let mut bytes = [rest; 20];
            bytes[..8].copy_from_slice(&leading.to_be_bytes());
            Id::from_bytes_padded(&bytes).expect("twenty bytes")
        };
        let ones = if self.bits == 0 { u64::MAX } else { (1u64 << (BITS - self.bits)).wrapping_sub(1) };
        Arc::new(id(self.first, 0).prev(), id(self.first | ones, 0xff))
    }

    /// Start and length along a dimension.
    fn span(self, dimension: u8) -> (u32, u64) {
        let halvings = (self.bits + 1 - dimension) / 2;
        (coordinate(self.first, dimension), 1 << (32 - halvings))
    }

    /// How far a point is from the zone along a dimension, round the torus.
    fn away(self, id: &Id, dimension: u8) -> u64 {
        let (start, length) = self.span(dimension);
        let ahead = u64::from(coordinate(leading(id), dimension).wrapping_sub(start));
        if ahead < length { 0 } else { (ahead - length + 1).min((1 << 32) - ahead) }
    }

    /// Whether two zones touch along one dimension and overlap along the other: CAN's neighbours.
    fn touches(self, other: Zone) -> bool {
        let abut = |d: u8| {
            let ((a, al), (b, bl)) = (self.span(d), other.span(d));
            let ends_at = |start: u32, length: u64| start.wrapping_add(length as u32);
            ends_at(a, al) == b || ends_at(b, bl) == a
        };
        let overlap = |d: u8| {
            let ((a, al), (b, bl)) = (self.span(d), other.span(d));
            u64::from(b.wrapping_sub(a)) < al || u64::from(a.wrapping_sub(b)) < bl
        };
        (abut(0) && overlap(1)) || (abut(1) && overlap(0))
    }
}

/// Gives each peer the zone that it would have got by joining one after another, at the point of its id.
pub(crate) fn zoned(peers: Vec<Peer>) -> Vec<Peer> {
    let mut zones: Vec<Zone> = Vec::new();
    for peer in &peers {
        let Some(at) = zones.iter().position(|zone| zone.contains(peer.id())) else {
            zones.push(Zone::ALL);
            continue;
        };
        let (low, high) = zones[at].halves();
        let (mine, rest) = if high.contains(peer.id()) { (high, low) } else { (low, high) };
        zones[at] = rest;
        zones.push(mine);
    }
    peers.into_iter().zip(zones).map(|(peer, zone)| peer.with_label(&zone.label())).collect()
}

/// Its zone, and those of its neighbours.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Can {
    me: Peer,
    neighbors: Vec<Peer>,
    settled: bool,
}

impl Overlay for Can {
    const NAME: &'static str = "can-sketch";
    const ABOUT: &'static str = "CAN (Ratnasamy et al., SIGCOMM 2001), its placement and routing only";
    type Config = ();
    type Msg = Never;
    type Call = ();
    type Timer = ();

    fn configure(_: &[(String, u64)]) -> Result<(), String> {
        Ok(())
    }
    /// Further copies would lie with zones that overload the key (section 3.3): not sketched.
    fn replicas_max((): &()) -> usize {
        1
    }
    fn new(me: Peer, (): ()) -> Can {
        Can { me, neighbors: Vec::new(), settled: false }
    }
    fn handle(&mut self, cx: &mut Cx<'_, Can>, input: Input<Can>) {
        if let Input::Leave = input {
            cx.emit(Event::Left);
        }
    }
    fn next_hop(&self, target: &Id) -> Hop {
        let Some(zone) = Zone::of(&self.me).filter(|_| self.settled) else { return Hop::Stuck };
        if zone.contains(target) {
            return Hop::Root;
        }
        let own = Can::distance(target, &self.me);
        let mut nearer: Vec<Peer> =
            self.neighbors.iter().filter(|peer| Can::distance(target, peer) < own).cloned().collect();
        nearer.sort_by_key(|peer| Can::distance(target, peer));
        if nearer.is_empty() { Hop::Stuck } else { Hop::Next(nearer) }
    }
    /// From the zone, not from a point: the square of the way round the torus.
    fn distance(target: &Id, peer: &Peer) -> Id {
        let Some(zone) = Zone::of(peer) else { return Id::from_u64(u64::MAX) };
        let square = |d| zone.away(target, d) * zone.away(target, d);
        Id::from_u64(square(0) + square(1))
    }
    fn replica_set(&self, key: &Id, n: usize) -> Vec<Peer> {
        let known = std::iter::once(&self.me).chain(&self.neighbors);
        known.filter(|peer| Zone::of(peer).is_some_and(|z| z.contains(key))).take(n).cloned().collect()
    }
    fn shares(&self, _: usize) -> Vec<Share> {
        let zone = Zone::of(&self.me).filter(|_| self.settled);
        zone.map(|zone| Share { arc: zone.arc(), peers: vec![self.me.clone()] }).into_iter().collect()
    }
    fn neighbors(&self) -> impl Iterator<Item = &Peer> {
        self.neighbors.iter()
    }
    fn settle(&mut self, cx: &mut Cx<'_, Can>, everyone: &[Peer]) {
        let own = Zone::of(&self.me).expect("a node of a CAN has a zone");
        let touches =
            |peer: &&Peer| **peer != self.me && Zone::of(peer).is_some_and(|zone| zone.touches(own));
        self.neighbors = everyone.iter().filter(touches).cloned().collect();
        self.settled = true;
        cx.emit(Event::ReplicasChanged { from: 1 });
    }
    fn is_member(&self) -> bool {
        self.settled
    }
    fn tables(&self) -> Vec<(&'static str, Vec<Peer>)> {
        vec![("neighbors", self.neighbors.clone())]
    }
    fn check(&self) -> Result<(), Violation> {
        match self.neighbors.iter().all(|peer| Zone::of(peer).is_some()) {
            true => Ok(()),
            false => Err(Violation::new("zones", "a neighbour without a zone".into())),
        }
    }
}
