//! What is known of peers: a table of [`KNOWN_MAX`] at most, read in every turn.
//!
//! ```text
//!   order     [ head of id | place ] ...   sorted: a search reads this until it has found its place
//!   entries   [ peer, incarnation, estimate ] ...     by place; the newcomer takes the place of the one heard longest ago
//!   heard     [ when ] ...                            by place, apart: looked through for that one
//!   suspects  one bit for each place      disks  the few that were sent requests for their disk
//! ```
//!
//! A million nodes have such a table each, and a turn finds it out of the caches: so it is a few lists that grow by little, and what
//! few peers have stands apart.

use alloc::vec::Vec;

use super::{Class, Estimate, KNOWN_MAX};
use crate::id::Id;
use crate::peer::Peer;
use crate::time::{Duration, Mono};

/// Suspects that are remembered before others.
const SUSPECTS_KEPT: usize = 32;
/// How many entries a table of peers grows by: doubling would leave half of it empty in each of a million nodes.
const GROWTH: usize = 4;

/// What is remembered of a peer.
#[derive(Clone, Debug)]
pub struct Known {
    /// The address that goes with it.
    pub peer: Peer,
    /// Greatest incarnation seen.
    pub incarnation: u64,
    /// Of requests that wait for its memory.
    quick: Estimate,
}

/// A set of places.
#[derive(Clone, Copy, Debug, Default)]
struct Places([u64; KNOWN_MAX.div_ceil(64)]);

impl Places {
    const fn has(&self, place: usize) -> bool {
        self.0[place / 64] >> (place % 64) & 1 != 0
    }

    const fn set(&mut self, place: usize, is_in: bool) {
        let bit = 1 << (place % 64);
        let word = &mut self.0[place / 64];
        *word = if is_in { *word | bit } else { *word & !bit };
    }

    fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }
}

/// Known peers by id.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    /// In order of id: its first 24 bits, and in the lowest eight the place in `entries`. A newcomer moves nothing else.
    order: Vec<u32>,
    entries: Vec<Known>,
    heard: Vec<Mono>,
    /// A call to them ended without an answer, and none has been answered in time since.
    suspects: Places,
    /// Of requests that wait for a peer's disk, in order of places: most peers are never sent any.
    disks: Vec<(u8, Estimate)>,
    /// The place found last: a frame's sender is looked up more than once.
    last: u8,
}

const _: () = assert!(KNOWN_MAX <= 1 << PLACE_BITS);

/// The bits of an entry of `order` that say where the peer stands.
const PLACE_BITS: u32 = 8;

/// The first bits of an id, where `order` has them.
fn head(id: &Id) -> u32 {
    let mut first = [0; 4];
    first.copy_from_slice(&id.as_bytes()[..4]);
    u32::from_be_bytes(first) >> PLACE_BITS << PLACE_BITS
}

const fn place(entry: u32) -> usize {
    (entry & ((1 << PLACE_BITS) - 1)) as usize
}

impl Peers {
    pub(super) const fn new() -> Peers {
        Peers {
            order: Vec::new(),
            entries: Vec::new(),
            heard: Vec::new(),
            suspects: Places([0; KNOWN_MAX.div_ceil(64)]),
            disks: Vec::new(),
            last: 0,
        }
    }

    /// Where in `order` the peer stands, or would stand.
    fn find(&self, id: &Id) -> Result<usize, usize> {
        let head = head(id);
        let order = &self.order[..];
        // Ids are spread evenly, so the place can be guessed: halving would read four lines that are far from each other,
        // this reads one or two. A crowd of ids that begin alike costs a walk along the list, which is bounded.
        let mut i = ((u64::from(head) * order.len() as u64) >> 32) as usize;
        while i > 0 && order[i - 1] >= head {
            i -= 1;
        }
        while order.get(i).is_some_and(|entry| *entry < head) {
            i += 1;
        }
        while let Some(entry) = order.get(i)
            && entry >> PLACE_BITS == head >> PLACE_BITS
        {
            // Ids that begin alike stand in their own order.
            match self.entries[place(*entry)].peer.id().cmp(id) {
                core::cmp::Ordering::Less => i += 1,
                core::cmp::Ordering::Equal => return Ok(i),
                core::cmp::Ordering::Greater => break,
            }
        }
        Err(i)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The place of a peer.
    pub(super) fn place(&self, id: &Id) -> Option<usize> {
        self.find(id).ok().map(|i| place(self.order[i]))
    }

    /// The place of a peer that has just spoken, and is going to be asked for again in this turn.
    pub(super) fn place_of(&mut self, peer: &Peer) -> Option<usize> {
        let last = usize::from(self.last);
        if self.entries.get(last).is_none_or(|known| !known.peer.is_same(peer)) {
            self.last = self.place(peer.id())? as u8;
        }
        Some(usize::from(self.last))
    }

    pub(super) fn at(&self, place: usize) -> &Known {
        &self.entries[place]
    }

    /// For a change of the incarnation, and of an address under the same id.
    pub(super) fn at_mut(&mut self, place: usize) -> &mut Known {
        &mut self.entries[place]
    }

    /// When a peer was heard last.
    pub(super) fn heard(&self, id: &Id) -> Option<Mono> {
        self.place(id).map(|place| self.heard[place])
    }

    pub(super) fn hear(&mut self, place: usize, now: Mono) {
        self.heard[place] = now;
    }

    pub(super) const fn is_suspect(&self, place: usize) -> bool {
        self.suspects.has(place)
    }

    pub(super) const fn set_suspect(&mut self, place: usize, is_suspect: bool) {
        self.suspects.set(place, is_suspect);
    }

    /// In order of id.
    pub(super) fn suspects(&self) -> impl Iterator<Item = &Peer> {
        let places = self.order.iter().map(|entry| place(*entry));
        places.filter(|place| self.suspects.has(*place)).map(|place| &self.entries[place].peer)
    }

    /// What has been measured of a peer.
    pub(super) fn estimate(&self, place: usize, class: Class) -> Estimate {
        match class {
            Class::Quick => self.entries[place].quick,
            Class::Disk => self.disk(place).map_or(Estimate::NONE, |i| self.disks[i].1),
        }
    }

    fn disk(&self, place: usize) -> Result<usize, usize> {
        self.disks.binary_search_by_key(&(place as u8), |(place, _)| *place)
    }

    /// Learns one round trip.
    pub(super) fn sample(&mut self, place: usize, class: Class, rtt: Duration) {
        match class {
            Class::Quick => self.entries[place].quick.sample(rtt),
            Class::Disk => {
                let i = self.disk(place).unwrap_or_else(|i| {
                    self.disks.insert(i, (place as u8, Estimate::NONE));
                    i
                });
                self.disks[i].1.sample(rtt);
            }
        }
    }

    /// The peer of that place has begun a new life, or another peer has taken it.
    pub(super) fn forget_past(&mut self, place: usize) {
        self.entries[place].quick = Estimate::NONE;
        if let Ok(i) = self.disk(place) {
            self.disks.remove(i);
        }
        self.suspects.set(place, false);
    }

    /// Adds a peer that is not here yet, in the place of the one heard longest ago if there are [`KNOWN_MAX`].
    pub(super) fn insert(&mut self, peer: &Peer, incarnation: u64, now: Mono) {
        if self.find(peer.id()).is_ok() {
            return;
        }
        let known = Known { peer: peer.clone(), incarnation, quick: Estimate::NONE };
        let place = if self.entries.len() < KNOWN_MAX {
            if self.entries.len() == self.entries.capacity() {
                self.entries.reserve_exact(GROWTH);
                self.heard.reserve_exact(GROWTH);
                self.order.reserve_exact(GROWTH);
            }
            self.entries.push(known);
            self.heard.push(now);
            self.entries.len() - 1
        } else {
            let place = self.oldest();
            if let Ok(i) = self.find(self.entries[place].peer.id()) {
                self.order.remove(i);
            }
            self.forget_past(place);
            (self.entries[place], self.heard[place]) = (known, now);
            place
        };
        if let Err(i) = self.find(peer.id()) {
            self.order.insert(i, head(peer.id()) | place as u32);
        }
        self.last = place as u8;
    }

    /// The place of the peer heard longest ago. Suspects stay longer, unless they are many: forgotten, and believed as strangers when
    /// they speak.
    fn oldest(&self) -> usize {
        let few = self.suspects.count() <= SUSPECTS_KEPT;
        let rank = |place: usize| (few && self.suspects.has(place), self.heard[place]);
        (0..self.heard.len()).min_by_key(|place| rank(*place)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use super::*;
    use crate::peer::{Addr, Peer};
    use crate::rng::Rng;

    /// Against a map: strangers come and push out who was heard longest ago, many of them with ids that begin alike.
    #[test]
    fn known_peers_behave_as_a_map_that_forgets_the_oldest() {
        let mut rng = Rng::from_u64(1);
        let (mut peers, mut map) = (Peers::new(), BTreeMap::new());
        for step in 0..5_000u64 {
            let mut id = [0; 20];
            // 40 beginnings, some of which differ only behind the bits that are in `order`.
            id[0] = rng.below(10) as u8 * 25;
            id[3] = rng.below(4) as u8;
            id[19] = rng.below(12) as u8;
            let (id, now) = (Id(id), Mono(step));
            assert_eq!(peers.heard(&id), map.get(&id).map(|(heard, _)| *heard));
            if let Some(place) = peers.place(&id) {
                assert_eq!(peers.at(place).incarnation, map[&id].1);
                peers.hear(place, now);
                map.get_mut(&id).unwrap().0 = now;
            } else {
                assert!(!map.contains_key(&id));
                if map.len() == KNOWN_MAX {
                    let oldest = *map.iter().min_by_key(|(_, (heard, _))| *heard).unwrap().0;
                    map.remove(&oldest);
                }
                let peer = Peer::new(id, Addr::loopback(1));
                peers.insert(&peer, step, now);
                map.insert(id, (now, step));
            }
            assert_eq!(peers.len(), map.len());
        }
        let ids = peers.order.iter().map(|entry| peers.at(place(*entry)).peer.id());
        assert!(ids.eq(map.keys()), "in order of id");
        assert_eq!(map.len(), KNOWN_MAX);
    }

    #[test]
    fn what_is_known_of_one_is_not_known_of_who_takes_its_place() {
        let peer = |n: u64| Peer::new(Id::from_u64(n << 40), Addr::loopback(n as u16));
        let mut peers = Peers::new();
        (0..KNOWN_MAX as u64).for_each(|n| peers.insert(&peer(n), 1, Mono(n)));
        for n in [0, 7] {
            let place = peers.place(peer(n).id()).unwrap();
            peers.set_suspect(place, n == 0);
            peers.sample(place, Class::Disk, Duration(50));
            peers.sample(place, Class::Quick, Duration(5));
        }
        // Heard longest ago are 0, which is a suspect and stays, then 1 to 7.
        (0..7).for_each(|n| peers.insert(&peer(1_000 + n), 1, Mono(1_000)));
        assert!(peers.suspects().eq([&peer(0)]));
        assert_eq!((peers.place(peer(6).id()), peers.place(peer(7).id())), (None, None));
        let heir = peers.place(peer(1_006).id()).unwrap();
        assert_eq!(peers.estimate(heir, Class::Disk), Estimate::NONE);
        assert_eq!(peers.estimate(heir, Class::Quick), Estimate::NONE);
        let place = peers.place(peer(0).id()).unwrap();
        assert_eq!(peers.estimate(place, Class::Disk).mean(), Some(Duration(50)));
        // Many suspects have no privilege.
        for n in 8..8 + SUSPECTS_KEPT as u64 {
            let place = peers.place(peer(n).id()).unwrap();
            peers.set_suspect(place, true);
        }
        peers.insert(&peer(2_000), 1, Mono(2_000));
        assert_eq!(peers.place(peer(0).id()), None);
    }
}
