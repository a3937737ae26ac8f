//! What is known of peers: a table of [`KNOWN_MAX`] at most, read in every turn.
//!
//! ```text
//!   slots     [ tag | place ] ...          hashed by id, with linear probing: a search reads one line of it
//!   entries   [ peer, incarnation, heard, estimate ] ...     by place; half a line each
//!   fresh     one bit for each place: heard since the hand passed       hand ──▶ the next place to be looked at
//!   suspects  one bit for each place      disks  the few that were sent requests for their disk
//! ```
//!
//! A newcomer to a full table takes the place of one that has been silent for long: a hand goes round the places, and whoever was
//! heard since it passed last gets another round (the clock of Corbato, *A Paging Experiment with the Multics System*, 1968). Looking
//! for the one heard longest ago of all would read the whole table at every stranger's word. Where all were heard in the last round, it is
//! whoever stands at the hand.
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
    /// When it was heard last.
    heard: Mono,
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
#[repr(C)]
pub(super) struct Peers {
    /// As many as a power of two. A part of the id's hash and the place in `entries`, or [`FREE`].
    slots: Vec<u16>,
    entries: Vec<Known>,
    fresh: Places,
    /// A call to them ended without an answer, and none has been answered in time since.
    suspects: Places,
    /// The place found last: a frame's sender is looked up more than once.
    last: u8,
    hand: u8,
    /// Of requests that wait for a peer's disk, in order of places: most peers are never sent any.
    disks: Vec<(u8, Estimate)>,
}

const _: () = assert!(KNOWN_MAX < 255);
const _: () = assert!(size_of::<Known>() <= 32, "half a line");

/// A slot without a peer: no place is as high.
const FREE: u16 = u16::MAX;
/// Slots of a table, at least.
const SLOTS_MIN: usize = 8;

/// Where a search begins in a table of any size, and the tag. Ids are hashes already.
fn hash(id: &Id) -> (usize, u16) {
    let [.., a, b, c] = *id.as_bytes();
    (usize::from(c) | usize::from(b) << 8, u16::from(a) << 8)
}

const fn place(slot: u16) -> usize {
    (slot & 0xff) as usize
}

impl Peers {
    pub(super) const fn new() -> Peers {
        Peers {
            slots: Vec::new(),
            entries: Vec::new(),
            fresh: Places([0; KNOWN_MAX.div_ceil(64)]),
            hand: 0,
            suspects: Places([0; KNOWN_MAX.div_ceil(64)]),
            disks: Vec::new(),
            last: 0,
        }
    }

    fn find(&self, id: &Id) -> Result<usize, Option<usize>> {
        self.search(id, |known| known.id() == id)
    }

    /// The slot of a peer, or the free one where it belongs; none in a table without slots. There is always a free one.
    #[inline]
    fn search(&self, id: &Id, is_it: impl Fn(&Peer) -> bool) -> Result<usize, Option<usize>> {
        let (begin, tag) = hash(id);
        let mask = self.slots.len().wrapping_sub(1);
        for step in 0..self.slots.len() {
            let at = (begin + step) & mask;
            let slot = self.slots[at];
            if slot == FREE {
                return Err(Some(at));
            }
            if slot & 0xff00 == tag && is_it(&self.entries[place(slot)].peer) {
                return Ok(at);
            }
        }
        Err(None)
    }

    /// Gives the peer of a place a slot.
    fn seat(&mut self, at: usize) {
        let id = *self.entries[at].peer.id();
        if let Err(Some(slot)) = self.find(&id) {
            self.slots[slot] = hash(&id).1 | at as u16;
        }
    }

    /// Frees a slot, and moves up whoever stands behind it because it was taken.
    fn unseat(&mut self, slot: usize) {
        let mask = self.slots.len() - 1;
        let (mut free, mut at) = (slot, slot);
        loop {
            at = (at + 1) & mask;
            let moved = self.slots[at];
            if moved == FREE {
                break;
            }
            let begin = hash(self.entries[place(moved)].peer.id()).0 & mask;
            // It stays if its search begins behind the free slot.
            if at.wrapping_sub(begin) & mask >= at.wrapping_sub(free) & mask {
                self.slots[free] = moved;
                free = at;
            }
        }
        self.slots[free] = FREE;
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The place of a peer.
    pub(super) fn place(&self, id: &Id) -> Option<usize> {
        self.find(id).ok().map(|slot| place(self.slots[slot]))
    }

    /// The place of a peer that is at hand: mostly it is found without a look at the facts of the one that is known.
    pub(super) fn place_of(&self, peer: &Peer) -> Option<usize> {
        let id = peer.id();
        let slot = self.search(id, |known| known.is_same(peer) || known.id() == id);
        slot.ok().map(|slot| place(self.slots[slot]))
    }

    /// The same of one that has just spoken, and is going to be asked for again in this turn.
    pub(super) fn place_of_sender(&mut self, peer: &Peer) -> Option<usize> {
        let last = usize::from(self.last);
        if self.entries.get(last).is_none_or(|known| !known.peer.is_same(peer)) {
            self.last = self.place_of(peer)? as u8;
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
        self.place(id).map(|place| self.entries[place].heard)
    }

    pub(super) fn hear(&mut self, place: usize, now: Mono) {
        self.entries[place].heard = now;
        self.fresh.set(place, true);
    }

    /// Some that are not suspects and were heard after `since`, by place.
    pub(super) fn heard_since(&self, since: Mono, max: usize) -> impl Iterator<Item = &Peer> {
        let entries = self.entries.iter().enumerate();
        let speaks = move |(at, known): &(usize, &Known)| known.heard > since && !self.suspects.has(*at);
        entries.filter(speaks).take(max).map(|(_, known)| &known.peer)
    }

    pub(super) const fn is_suspect(&self, place: usize) -> bool {
        self.suspects.has(place)
    }

    pub(super) const fn set_suspect(&mut self, place: usize, is_suspect: bool) {
        self.suspects.set(place, is_suspect);
    }

    /// In no order that says anything.
    pub(super) fn suspects(&self) -> impl Iterator<Item = &Peer> {
        (0..self.entries.len()).filter(|at| self.suspects.has(*at)).map(|at| &self.entries[at].peer)
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

    /// Adds a peer that is not here yet; if there are [`KNOWN_MAX`], in the place of one that has been silent for long.
    pub(super) fn insert(&mut self, peer: &Peer, incarnation: u64, now: Mono) {
        if self.find(peer.id()).is_ok() {
            return;
        }
        let known = Known { peer: peer.clone(), incarnation, heard: now, quick: Estimate::NONE };
        let place = if self.entries.len() < KNOWN_MAX {
            self.grow();
            self.entries.push(known);
            self.entries.len() - 1
        } else {
            let place = self.silent();
            if let Ok(slot) = self.find(self.entries[place].peer.id()) {
                self.unseat(slot);
            }
            self.forget_past(place);
            self.entries[place] = known;
            place
        };
        self.seat(place);
        // It is not fresh: who speaks once does not push out who speaks often, and the hand is a round away.
        self.last = place as u8;
    }

    /// Makes room for one more.
    fn grow(&mut self) {
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(GROWTH);
        }
        // A third of the slots stays free, so that searches are short.
        if 3 * (self.entries.len() + 1) > 2 * self.slots.len() {
            let slots = (2 * self.slots.len()).max(SLOTS_MIN);
            self.slots.clear();
            self.slots.reserve_exact(slots);
            self.slots.resize(slots, FREE);
            (0..self.entries.len()).for_each(|at| self.seat(at));
        }
    }

    /// The place of one that was not heard in the hand's last round. Suspects stay longer, unless they are many: forgotten, and
    /// believed as strangers when they speak.
    fn silent(&mut self) -> usize {
        let few = self.suspects.count() <= SUSPECTS_KEPT;
        for _ in 0..=2 * self.entries.len() {
            let at = usize::from(self.hand);
            self.hand = ((at + 1) % self.entries.len()) as u8;
            if few && self.suspects.has(at) {
                continue;
            }
            if !self.fresh.has(at) {
                return at;
            }
            self.fresh.set(at, false);
        }
        usize::from(self.hand)
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use super::*;
    use crate::peer::{Addr, Peer};
    use crate::rng::Rng;

    /// Against a map: strangers come and push out others, many of them with ids that end alike.
    #[test]
    fn known_peers_behave_as_a_map_that_forgets_the_silent() {
        let mut rng = Rng::from_u64(1);
        let (mut peers, mut map) = (Peers::new(), BTreeMap::<Id, (u64, u64)>::new());
        let (mut pushed_out, mut often_pushed_out) = (0, 0);
        let is_few = |id: &Id| id.0[19] < 24 && id.0[0] < 2;
        for step in 0..20_000u64 {
            // Ids that differ where the hash looks, and such that differ only elsewhere. Half of the time one of few is heard.
            let few = rng.chance(0.5);
            let mut id = [0; 20];
            id[19] = rng.below(if few { 4 } else { 40 }) as u8 * 6;
            id[17] = rng.below(4) as u8;
            id[0] = rng.below(if few { 2 } else { 12 }) as u8;
            let (id, now) = (Id(id), Mono(step));
            assert_eq!(peers.heard(&id), map.get(&id).map(|(heard, _)| Mono(*heard)));
            if let Some(place) = peers.place(&id) {
                assert_eq!(peers.at(place).incarnation, map[&id].1);
                peers.hear(place, now);
                map.get_mut(&id).unwrap().0 = step;
            } else {
                assert!(!map.contains_key(&id));
                peers.insert(&Peer::new(id, Addr::loopback(1)), step, now);
                map.insert(id, (step, step));
                if map.len() > KNOWN_MAX {
                    let gone: Vec<Id> = map.keys().filter(|id| peers.place(id).is_none()).copied().collect();
                    assert_eq!(gone.len(), 1);
                    map.remove(&gone[0]);
                    pushed_out += 1;
                    often_pushed_out += usize::from(is_few(&gone[0]));
                }
            }
            assert_eq!(peers.len(), map.len());
        }
        assert!(map.keys().all(|id| peers.place(id).is_some()));
        assert!(
            pushed_out > 1_000 && often_pushed_out < pushed_out / 100,
            "{often_pushed_out} of {pushed_out}"
        );
    }

    #[test]
    fn what_is_known_of_one_is_not_known_of_who_takes_its_place() {
        let peer = |n: u64| Peer::new(Id::from_u64(n), Addr::loopback(n as u16));
        let mut peers = Peers::new();
        (0..KNOWN_MAX as u64).for_each(|n| peers.insert(&peer(n), 1, Mono(n)));
        for n in [0, 7] {
            let place = peers.place(peer(n).id()).unwrap();
            peers.set_suspect(place, n == 0);
            peers.sample(place, Class::Disk, Duration(50));
            peers.sample(place, Class::Quick, Duration(5));
        }
        // Nobody was heard since: the hand begins with 0, which is a suspect and stays, and takes 1 to 7.
        (0..7).for_each(|n| peers.insert(&peer(1_000 + n), 1, Mono(1_000)));
        assert!(peers.suspects().eq([&peer(0)]));
        assert!((1..8).all(|n| peers.place(peer(n).id()).is_none()));
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
        assert_eq!(peers.place(peer(8).id()), None);
        // One fewer is few again.
        peers.insert(&peer(2_001), 1, Mono(2_000));
        assert!(peers.suspects().count() == SUSPECTS_KEPT && peers.place(peer(9).id()).is_some());
    }
}
