//! Coming, staying in contact, and going.
//!
//! ```text
//!  Start ─▶ Loading: the disk's index and notes ─▶ Joining: Hello to seeds and remembered peers
//!        ─▶ a member answers: learn the network's id, the overlay joins through it           ─▶ Member
//!        ─▶ nobody to ask: found a network (with a random id)                                ─▶ Member
//!        ─▶ all of us were down: of those that answer, the one with the smallest id goes first ─▶ Member
//!  Stop  ─▶ Leaving: hand over, the overlay says goodbye ─▶ Stopped
//! ```
//!
//! Peers that fell silent are remembered ([`LOST_MAX`]) and one of them is greeted every [`PROBE_EVERY`], so that the
//! halves of a split network find each other again; where few are known ([`ISLAND_MAX`]) in turn with the seeds. Who the neighbours were is on
//! disk (the notes), together with the network's id: written soon after they change, and at once by who joins or leaves.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::message::Message;
use super::roll::Roll;
use super::{Node, Timer, Turn, Why};
use crate::cx::Input;
use crate::frame::{NetworkId, VERSION};
use crate::id::Id;
use crate::machine::{OpDone, Phase, STOP_OP};
use crate::overlay::Overlay;
use crate::peer::{Addr, Interner, Peer};
use crate::rpc::Class;
use crate::time::{Duration, Mono, Now};
use crate::wire::{Malformed, Reader, Wire, Writer};

/// Seeds taken from the command line.
pub(super) const SEEDS_MAX: usize = 64;
/// Peers remembered on disk.
pub(super) const REMEMBERED_MAX: usize = 32;
/// Lost peers remembered for probing.
pub(super) const LOST_MAX: usize = 16;
/// Suspects asked at once whether they answer; further ones are when they speak again.
pub(super) const ASKED_MAX: usize = 16;
/// A node that knows fewer others than this may sit on an island, and asks its seeds now and then.
pub(super) const ISLAND_MAX: usize = 8;
/// Time between two probes of lost peers.
pub(super) const PROBE_EVERY: Duration = Duration::from_secs(30);
/// A probe may come this part of its period late.
const PROBE_SLACK: u64 = 4;
/// How long a node that comes back waits for silent former neighbours before it believes a smaller quorum.
pub(super) const COLD: Duration = Duration::from_secs(10);
/// How long it waits for former neighbours that are alive but not in its ring.
pub(super) const COLD_TIME_MAX: Duration = Duration::from_secs(60);
/// Time between two rounds of greetings while joining.
pub(super) const GREET_EVERY: Duration = Duration::from_millis(500);
/// A joiner whose overlay has not become a member after this long begins again.
pub(super) const JOIN_AGAIN: Duration = Duration::from_secs(5);
/// A node with a known network whose peers are all silent goes first alone after this long.
pub(super) const ALONE_AFTER: Duration = Duration::from_secs(10);
/// Who answered "I am starting, too" counts for this long.
pub(super) const STARTING_MEMORY: Duration = Duration::from_secs(5);
/// A restarted node asks this often after former neighbours that it does not see in the ring.
pub(super) const PROBE_COLD_EVERY: Duration = Duration::from_secs(1);
/// Room for the notes of most nodes.
const NOTES_BYTES: usize = 1_024;
/// Notes are written at most this often.
pub(super) const NOTES_EVERY: Duration = Duration::from_secs(2);
/// A leave is over after this long, handed over or not.
pub(super) const LEAVE_TIME_MAX: Duration = Duration::from_secs(20);
/// The overlay's goodbye is over after this long.
pub(super) const GOODBYE_TIME_MAX: Duration = Duration::from_secs(5);
/// Version of the notes on disk.
const NOTES_VERSION: u8 = 1;

/// What a node keeps on disk beside its records.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Notes {
    network: u64,
    peers: Vec<Peer>,
}

impl Notes {
    /// What [`Node::notes`] has written.
    fn read(bytes: &[u8], interner: &Interner) -> Result<Notes, Malformed> {
        let mut r = Reader::with(bytes, interner);
        if r.u8()? != NOTES_VERSION {
            return Err(Malformed("notes version"));
        }
        let notes = Notes { network: r.u64()?, peers: r.list(REMEMBERED_MAX)? };
        r.finish()?;
        Ok(notes)
    }
}

/// The network whose member left these notes on its disk; nothing if they are damaged, or it had not found one.
#[must_use]
pub fn network_of(notes: &[u8]) -> Option<NetworkId> {
    let network = NetworkId(Notes::read(notes, &Interner::default()).ok()?.network);
    (network != NetworkId::UNKNOWN).then_some(network)
}

/// Whom this node knows outside its overlay's tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Contacts {
    seeds: Box<[Addr]>,
    /// While joining: who was remembered on disk.
    remembered: Vec<Peer>,
    lost: Vec<Peer>,
    /// Suspects that spoke, and are asked whether they answer.
    asked: Vec<Id>,
    probe_next: usize,
    /// The last probe went to a seed.
    probed_seed: bool,
    /// While joining: members that answered.
    members: Vec<Peer>,
    /// While joining: who answered lately and is no member either, and when.
    starting: BTreeMap<Id, Mono>,
    /// While joining: greetings without an answer yet.
    greeted: BTreeSet<Addr>,
    /// While joining: until then it is believed that the network is up and speaks another version.
    other_version_until: Mono,
    began: Option<Mono>,
    joining_since: Option<Mono>,
    /// It came back with a disk that knows its network.
    came_back: bool,
    /// Its nearest neighbours of the former life.
    former: Box<[Peer]>,
    notes_dirty: bool,
    said_goodbye: bool,
}

impl Contacts {
    pub(super) fn lost_count(&self) -> usize {
        self.lost.len()
    }

    pub(super) fn asked_count(&self) -> usize {
        self.asked.len()
    }
}

impl<O: Overlay> Node<O> {
    pub(super) fn start(&mut self, t: &mut Turn<'_, O>, seeds: &[Addr]) {
        t.scratch.interner.meet(&self.config.me);
        let me = self.me().addr();
        self.contacts.seeds = seeds.iter().filter(|a| **a != me).take(SEEDS_MAX).copied().collect();
        self.store.load(&mut t.out.disk);
    }

    /// The disk's index is in memory.
    pub(super) fn on_loaded(&mut self, t: &mut Turn<'_, O>, notes: Option<Vec<u8>>) {
        if self.phase != Phase::Loading {
            return;
        }
        // Damaged notes cost contacts, not records; the seeds remain.
        let notes = notes.and_then(|n| Notes::read(&n, &t.scratch.interner).ok());
        let notes = notes.unwrap_or_default();
        self.belong_to(NetworkId(notes.network));
        self.contacts.remembered = notes.peers;
        if self.network != NetworkId::UNKNOWN {
            self.contacts.came_back = true;
            let near = 2 * usize::from(self.config.replicas);
            self.contacts.former = self.contacts.remembered.iter().take(near).cloned().collect();
        }
        self.arm_expiry(t.now);
        self.set_phase(t, Phase::Joining);
        self.contacts.began = Some(t.now.mono);
        let fresh = self.network == NetworkId::UNKNOWN;
        if self.contacts.seeds.is_empty() && (fresh || self.contacts.remembered.is_empty()) {
            return self.found_network(t);
        }
        self.greet(t);
    }

    /// Becomes the first member. A fresh network gets a random id.
    fn found_network(&mut self, t: &mut Turn<'_, O>) {
        if self.network == NetworkId::UNKNOWN {
            let network = NetworkId(self.rng.next_u64() | 1);
            self.belong_to(network);
            self.own_everything();
        }
        self.contacts.joining_since = Some(t.now.mono);
        t.scratch.inputs.push_back(Input::Join { seeds: Vec::new() });
        self.timers.arm(Timer::Join, t.now.mono + JOIN_AGAIN);
    }

    /// Greets all seeds and remembered peers, and decides on what the last round brought.
    pub(super) fn greet(&mut self, t: &mut Turn<'_, O>) {
        if self.phase != Phase::Joining {
            return;
        }
        if let Some(since) = self.contacts.joining_since {
            if t.now.mono.since(since) < JOIN_AGAIN {
                self.timers.arm(Timer::Join, since + JOIN_AGAIN);
                return;
            }
            // Its seeds may have died under it.
            self.contacts.joining_since = None;
        } else if self.goes_first(t) {
            return self.found_network(t);
        }
        self.contacts.members.clear();
        let me = self.me().addr();
        let mut addrs = self.contacts.seeds.to_vec();
        addrs.extend(self.contacts.remembered.iter().map(Peer::addr));
        addrs.sort();
        addrs.dedup();
        addrs.retain(|a| *a != me);
        for addr in addrs {
            if self.contacts.greeted.contains(&addr) {
                continue;
            }
            // Its id is learned from its answer.
            let stranger = Peer::new(Id::ZERO, addr);
            if self.call(t, &stranger, Message::Hello(t.now.wall), Class::Quick, Why::Hello) {
                self.contacts.greeted.insert(addr);
            }
        }
        let wait = self.rng.jitter(GREET_EVERY);
        self.timers.arm(Timer::Join, t.now.mono + wait);
    }

    /// A frame of another version came. If a joiner asked at that address, its network is up and speaks another version.
    pub(super) fn on_other_version(&mut self, now: Now, from: Addr, theirs: u8) {
        let Contacts { seeds, remembered, .. } = &self.contacts;
        let asked = seeds.contains(&from) || remembered.iter().any(|peer| peer.addr() == from);
        if asked && self.phase == Phase::Joining {
            self.contacts.other_version_until = now.mono + STARTING_MEMORY;
            let why = alloc::format!(
                "a node at {from} speaks protocol version {theirs}, this node speaks {VERSION}: run the same version"
            );
            self.refused = Some(why.into());
        }
    }

    /// Whether this node, which belongs to a network of which nobody is up, should be its first member again.
    fn goes_first(&self, t: &Turn<'_, O>) -> bool {
        let Some(began) = self.contacts.began else { return false };
        let waited = t.now.mono.since(began);
        // Whoever has not been heard out yet may be a member, or have a smaller id.
        let asking = !self.contacts.greeted.is_empty() && waited < ALONE_AFTER;
        if self.network == NetworkId::UNKNOWN || !self.contacts.members.is_empty() || asking {
            return false;
        }
        // The network is up and of another version: a second one beside it would split its records.
        if t.now.mono < self.contacts.other_version_until {
            return false;
        }
        // Others are starting, too. Give all of them time to show up; the smallest id goes.
        let lately = |at: &Mono| t.now.mono.since(*at) < STARTING_MEMORY;
        match self.contacts.starting.iter().find(|(_, at)| lately(at)) {
            Some((smallest, _)) => waited >= GREET_EVERY.times(4) && self.me().id() < smallest,
            None => waited >= ALONE_AFTER,
        }
    }

    /// A greeting stayed without an answer.
    pub(super) fn on_hello_unanswered(&mut self, peer: &Peer) {
        self.contacts.greeted.remove(&peer.addr());
    }

    pub(super) fn on_welcome(&mut self, t: &mut Turn<'_, O>, asked: &Peer, from: Peer, member: bool) {
        self.contacts.greeted.remove(&asked.addr());
        if self.phase != Phase::Joining {
            return;
        }
        if !member {
            if self.contacts.starting.len() < SEEDS_MAX + REMEMBERED_MAX {
                self.contacts.starting.insert(*from.id(), t.now.mono);
            }
            return;
        }
        self.contacts.members.push(from);
        if self.contacts.joining_since.is_none() {
            self.contacts.joining_since = Some(t.now.mono);
            t.scratch.inputs.push_back(Input::Join { seeds: self.contacts.members.clone() });
            self.timers.arm(Timer::Join, t.now.mono + JOIN_AGAIN);
        }
    }

    pub(super) fn on_joined(&mut self, t: &mut Turn<'_, O>) {
        self.set_phase(t, Phase::Member);
        self.timers.disarm(Timer::Join);
        self.contacts.joining_since = None;
        self.refused = None;
        // Whoever was remembered and is not a neighbour may sit in another half.
        for peer in core::mem::take(&mut self.contacts.remembered) {
            if !self.overlay.neighbors().any(|known| *known == peer) {
                self.note_lost(&peer);
            }
        }
        self.arm_probe(t);
        // At once, before any record comes: records whose network nobody remembers could not be served again.
        self.write_notes(t);
        // What only a joiner needs is given back: a member remembers on disk.
        (self.contacts.starting, self.contacts.greeted) = (BTreeMap::new(), BTreeSet::new());
        self.contacts.members = Vec::new();
        self.on_neighbors_changed(t);
        self.arm_sync(t);
    }

    /// Whether this node has come back with its disk and does not see all of its former neighbours in the ring: what its
    /// present neighbours hold may not be all. Those that answer are waited for up to [`COLD_TIME_MAX`], silent ones up
    /// to [`COLD`].
    pub(super) fn is_cold(&self, now: Now) -> bool {
        let (Some(began), true) = (self.contacts.began, self.contacts.came_back) else { return false };
        let since = now.mono.since(began);
        if since >= COLD_TIME_MAX {
            return false;
        }
        self.contacts.former.iter().any(|peer| {
            let seen = self.overlay.neighbors().any(|p| p.id() == peer.id());
            // A suspect that speaks may only be slow.
            let lives = |heard: Mono| !self.rpc.is_suspect(peer.id()) || now.mono.since(heard) < COLD;
            let alive = self.rpc.heard(peer.id()).is_some_and(|heard| heard >= began && lives(heard));
            !seen && (alive || since < COLD)
        })
    }

    // ---- notes -------------------------------------------------------------------------------------------------

    pub(super) fn on_neighbors_changed(&mut self, t: &mut Turn<'_, O>) {
        // Who leaves keeps the names of those that were there when it began to: where all leave at once, each would
        // otherwise forget everybody, and all would come back alone.
        if !self.contacts.notes_dirty && self.phase == Phase::Member {
            self.contacts.notes_dirty = true;
            self.timers.arm_by(Timer::Notes, t.now.mono + NOTES_EVERY);
        }
    }

    pub(super) fn write_notes(&mut self, t: &mut Turn<'_, O>) {
        self.contacts.notes_dirty = false;
        let notes = self.notes();
        self.store.write_notes(notes, &mut t.out.disk);
    }

    /// Whom to greet when this node comes back.
    pub(super) fn notes(&self) -> Vec<u8> {
        let mut roll = Roll::default();
        // Those who fell silent are remembered behind those who are there; and a newcomer may not have met its neighbours yet:
        // those it came through know them.
        let others = self.contacts.lost.iter().rev().chain(&self.contacts.members);
        for peer in self.overlay.neighbors().chain(others).filter(|p| p.id() != self.config.me.id()) {
            if roll.len() == REMEMBERED_MAX {
                break;
            }
            roll.add(peer);
        }
        let mut notes = Vec::with_capacity(NOTES_BYTES);
        let mut w = Writer::new(&mut notes);
        w.u8(NOTES_VERSION);
        w.u64(self.network.0);
        w.u16(roll.len() as u16);
        roll.peers().for_each(|peer| peer.encode(&mut w));
        notes
    }

    // ---- lost peers --------------------------------------------------------------------------------------------

    /// A peer fell silent.
    pub(super) fn lose(&mut self, t: &mut Turn<'_, O>, peer: &Peer) {
        if *peer.id() == Id::ZERO || peer.id() == self.me().id() || self.phase != Phase::Member {
            return;
        }
        self.note_lost(peer);
        self.arm_probe(t);
    }

    fn note_lost(&mut self, peer: &Peer) {
        if self.contacts.lost.iter().any(|p| p.id() == peer.id()) {
            return;
        }
        if self.contacts.lost.len() >= LOST_MAX {
            self.contacts.lost.remove(0);
        }
        self.contacts.lost.push(peer.clone());
    }

    fn arm_probe(&mut self, t: &mut Turn<'_, O>) {
        if !self.contacts.lost.is_empty() || !self.strange_seeds().is_empty() {
            let mean = if self.is_cold(t.now) { PROBE_COLD_EVERY } else { PROBE_EVERY };
            let wait = self.rng.jitter(mean);
            // Nobody waits for it: it rides along with the next frame or tick.
            self.timers.arm_by_within(Timer::Probe, t.now.mono + wait, Duration(mean.0 / PROBE_SLACK));
        }
    }

    /// The seeds that an island does not see: two joiners may have become a network of their own while all others seemed
    /// silent to them, and then nobody has lost anybody. Empty where many are known: that is no island.
    fn strange_seeds(&self) -> Vec<Addr> {
        if self.contacts.seeds.is_empty() {
            return Vec::new();
        }
        let mut known = Roll::default();
        for peer in self.overlay.neighbors() {
            known.add(peer);
            if known.len() >= ISLAND_MAX {
                return Vec::new();
            }
        }
        let strange = |seed: &&Addr| !known.peers().any(|p| p.addr() == **seed);
        self.contacts.seeds.iter().filter(strange).copied().collect()
    }

    pub(super) fn probe_lost(&mut self, t: &mut Turn<'_, O>) {
        if self.phase != Phase::Member {
            return;
        }
        // Few are known: perhaps a seed leads to the others. In turn with the lost, who may be dead for good.
        let seeds = self.strange_seeds();
        let lost = self.contacts.lost.len();
        self.contacts.probed_seed = !seeds.is_empty() && (lost == 0 || !self.contacts.probed_seed);
        if self.contacts.probed_seed {
            if let Some(addr) = self.rng.index(seeds.len()).map(|i| seeds[i]) {
                let stranger = Peer::new(Id::ZERO, addr);
                self.call(t, &stranger, Message::Hello(t.now.wall), Class::Quick, Why::Probe);
            }
        } else if lost > 0 {
            let at = self.contacts.probe_next % lost;
            self.contacts.probe_next = at + 1;
            let peer = self.contacts.lost[at].clone();
            // Where too many calls are under way, the next one finds room.
            let _ = self.begin_call(t, peer, Message::Hello(t.now.wall), Class::Quick, Why::Probe);
        }
        self.arm_probe(t);
    }

    /// One that was silent speaks: whether it answers in time is seen before the overlay hears what it says.
    pub(super) fn ask_suspect(&mut self, t: &mut Turn<'_, O>, peer: &Peer) {
        let asked = &mut self.contacts.asked;
        if asked.len() < ASKED_MAX && !asked.contains(peer.id()) {
            asked.push(*peer.id());
            if !self.call(t, peer, Message::Hello(t.now.wall), Class::Quick, Why::Probe) {
                self.end_ask(peer.id());
            }
        }
    }

    /// A question whether a peer answers has ended.
    pub(super) fn end_ask(&mut self, peer: &Id) {
        self.contacts.asked.retain(|id| id != peer);
    }

    pub(super) fn on_probe_answered(&mut self, t: &mut Turn<'_, O>, from: Peer) {
        self.end_ask(from.id());
        self.contacts.lost.retain(|p| p.id() != from.id());
        // A suspect, too: this node may have been told by others to give it up.
        t.scratch.inputs.push_back(Input::Returned(from));
    }

    // ---- leaving -----------------------------------------------------------------------------------------------

    pub(super) fn stop(&mut self, t: &mut Turn<'_, O>) {
        match self.phase {
            Phase::Member => {
                self.write_notes(t);
                self.timers.disarm(Timer::Notes);
                self.set_phase(t, Phase::Leaving);
                self.timers.disarm(Timer::Sync);
                self.timers.arm(Timer::Leave, t.now.mono + LEAVE_TIME_MAX);
                if !self.hand_over_all(t) {
                    self.say_goodbye(t);
                }
            }
            Phase::Leaving => {}
            _ => self.on_left(t),
        }
    }

    /// Handed over, or time is up: the overlay says goodbye.
    pub(super) fn say_goodbye(&mut self, t: &mut Turn<'_, O>) {
        if self.phase != Phase::Leaving {
            return;
        }
        if core::mem::replace(&mut self.contacts.said_goodbye, true) {
            // The overlay did not get round to it in all that time.
            return self.on_left(t);
        }
        self.timers.arm(Timer::Leave, t.now.mono + GOODBYE_TIME_MAX);
        t.scratch.inputs.push_back(Input::Leave);
    }

    pub(super) fn on_left(&mut self, t: &mut Turn<'_, O>) {
        self.set_phase(t, Phase::Stopped);
        t.out.done.push((STOP_OP, Ok(OpDone::Stopped)));
    }
}
