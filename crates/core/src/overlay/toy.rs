//! Toy: every member knows every member. The overlay to read first, and to copy when you add one.
//!
//! It is small, but it is not a sketch: it passes the same conformance suite as Chord, and up to a few hundred nodes it is a
//! sensible choice, because each lookup takes one hop. What it pays is a table and a gossip that grow with the network.
//!
//! ```text
//!   join    me ── Ask ──▶ seed ──▶ List{members}     me ── Ping ──▶ each of them     me ── Hello ──▶ all that live
//!   round   me ── Ping{digest} ──▶ the next member clockwise     everyone is watched by the member before it
//!           me ── Ping{digest} ──▶ a random member               differences find each other
//!                 ◀── Pong{digest} ──                            digests differ: Ask for the list
//!   crash   no Pong ──▶ forget it, tell all Suspect{peer}; each of them pings it before believing that
//!   leave   me ── Bye ──▶ all
//!   heal    Returned(peer) ──▶ Ping, then their lists differ, and the rest follows
//! ```
//!
//! **How to read an overlay.** There is one door, [`Overlay::handle`]: an [`Input`] comes in, the tables change, and what is to be
//! sent or armed is said to [`Cx`]. There is no clock, no socket, no retry and no time-out in here: a `call` comes back as
//! exactly one `Answer`, `NoAnswer` or `Busy`, and who repeats it when is the node's business. All other methods are questions about
//! the tables; they change nothing.
//!
//! **What keeps it right** (an overlay of your own needs an answer to each of these):
//! 1. *Nobody is believed about a third.* A peer enters the table when it has itself spoken as a member, never because a list
//!    names it. So the dead do not come back by gossip, although lists are merged all the time.
//! 2. *Silence is not death to others.* A `Suspect` makes a member look for itself.
//! 3. *Everything is bounded*: the table, the list on the wire, the pings under way.
//!
//! Invariant: the table is sorted clockwise from this node, holds no id twice and not the node itself ([`Overlay::check`]).

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::placement::Stretch;
use super::{Hop, Overlay, Share, Violation};
use crate::cx::{Cx, Event, Input, Ticket};
use crate::id::Id;
use crate::peer::Peer;
use crate::time::Duration;
use crate::wire::{self, Malformed, Reader, Wire, Writer};

/// Members known at most; whoever comes later is not taken in. Their list must fit one frame.
pub const MEMBERS_MAX: usize = 4_096;

/// Settings: the one an overlay of this kind cannot do without.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Config {
    /// Mean period of a round, in milliseconds.
    pub ping_ms: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config { ping_ms: 2_000 }
    }
}

/// What members say. One enum for requests, answers and tells: the ticket tells a request from a tell.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Msg {
    /// Request: whom do you know?
    Ask,
    /// Answer: these, myself not among them.
    List(Vec<Peer>),
    /// Request: do you live? A member adds the digest of all members that it knows, a joiner has none to show.
    Ping(Option<u64>),
    /// Answer: yes, as a member; and my digest.
    Pong(u64),
    /// Answer to any request: I am not a member.
    Absent,
    /// Tell: I am a member now.
    Hello,
    /// Tell: I leave.
    Bye,
    /// Tell: that member did not answer me.
    Suspect(Peer),
}

impl Wire for Msg {
    fn encode(&self, w: &mut Writer<'_>) {
        match self {
            Msg::Ask => w.u8(0),
            Msg::List(peers) => {
                w.u8(1);
                w.list(peers);
            }
            Msg::Ping(None) => w.u8(2),
            Msg::Ping(Some(digest)) => {
                w.u8(3);
                w.u64(*digest);
            }
            Msg::Pong(digest) => {
                w.u8(4);
                w.u64(*digest);
            }
            Msg::Absent => w.u8(5),
            Msg::Hello => w.u8(6),
            Msg::Bye => w.u8(7),
            Msg::Suspect(peer) => {
                w.u8(8);
                peer.encode(w);
            }
        }
    }

    fn decode(r: &mut Reader<'_>) -> Result<Msg, Malformed> {
        Ok(match r.u8()? {
            0 => Msg::Ask,
            1 => Msg::List(r.list(MEMBERS_MAX)?),
            2 => Msg::Ping(None),
            3 => Msg::Ping(Some(r.u64()?)),
            4 => Msg::Pong(r.u64()?),
            5 => Msg::Absent,
            6 => Msg::Hello,
            7 => Msg::Bye,
            8 => Msg::Suspect(Peer::decode(r)?),
            _ => return Err(Malformed("unknown message of toy")),
        })
    }
}

/// Why it asked: comes back with the answer, so that no table of open questions is needed here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Call {
    /// A seed, or a member whose digest differs, was asked for its list.
    List,
    /// A peer was pinged: does it live, does it know the same?
    Ping,
}

/// The one timer: the next round, or the next attempt to join.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Round;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Phase {
    Out,
    Joining { seeds: Vec<Peer>, attempts: usize },
    Member,
}

/// A node that knows everyone. See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Toy {
    me: Peer,
    config: Config,
    phase: Phase,
    /// The other members, clockwise from this node.
    others: Vec<Peer>,
    /// Peers that were pinged and have not answered yet.
    pinged: Vec<Peer>,
    /// A list has been asked for and has not come yet.
    asking: bool,
}

impl Toy {
    fn place(&self, peer: &Peer) -> Id {
        peer.id().wrapping_sub(self.me.id())
    }

    fn find(&self, peer: &Peer) -> Result<usize, usize> {
        self.others.binary_search_by_key(&self.place(peer), |p| self.place(p))
    }

    /// A digest of all members, this node among them, in whatever order they are kept.
    fn digest(&self) -> u64 {
        let one = |p: &Peer| {
            // FNV-1a over the wire form. A sum of such words differs when the sets do, but for chance.
            let fold = |h: u64, b: &u8| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3);
            wire::to_vec(p).iter().fold(0xcbf2_9ce4_8422_2325, fold)
        };
        self.others.iter().fold(one(&self.me), |sum, p| sum.wrapping_add(one(p)))
    }

    fn changed(&self, cx: &mut Cx<'_, Toy>) {
        if self.phase == Phase::Member {
            cx.emit(Event::NeighborsChanged);
            cx.emit(Event::ReplicasChanged { from: 1 });
        }
    }

    /// `peer` has spoken as a member.
    fn add(&mut self, cx: &mut Cx<'_, Toy>, peer: &Peer) {
        if let Err(at) = self.find(peer)
            && peer.id() != self.me.id()
            && self.others.len() < MEMBERS_MAX
        {
            self.others.insert(at, peer.clone());
            self.changed(cx);
        }
    }

    fn remove(&mut self, cx: &mut Cx<'_, Toy>, peer: &Peer) -> bool {
        // An entry with another address is another life of that id: this news is not about it.
        let known = self.find(peer).ok().filter(|at| self.others[*at] == *peer);
        if let Some(at) = known {
            self.others.remove(at);
            self.changed(cx);
        }
        known.is_some()
    }

    fn ping(&mut self, cx: &mut Cx<'_, Toy>, peer: &Peer) {
        if peer.id() == self.me.id() || self.pinged.contains(peer) || self.pinged.len() >= MEMBERS_MAX {
            return;
        }
        self.pinged.push(peer.clone());
        let digest = (self.phase == Phase::Member).then(|| self.digest());
        cx.call(peer, Msg::Ping(digest), Call::Ping);
    }

    fn ask(&mut self, cx: &mut Cx<'_, Toy>, peer: &Peer) {
        if !self.asking {
            self.asking = true;
            cx.call(peer, Msg::Ask, Call::List);
        }
    }

    fn arm(&self, cx: &mut Cx<'_, Toy>) {
        let after = cx.rng.jitter(Duration::from_millis(u64::from(self.config.ping_ms)));
        cx.arm(Round, after);
    }

    // ---- inputs

    fn on_join(&mut self, cx: &mut Cx<'_, Toy>, mut seeds: Vec<Peer>) {
        if self.phase == Phase::Member {
            return;
        }
        seeds.retain(|p| *p != self.me);
        if seeds.is_empty() {
            return self.become_member(cx);
        }
        // While a join lasts it may be asked for again, with other seeds: the first ones may have died.
        self.phase = Phase::Joining { seeds, attempts: 0 };
        self.on_round(cx);
    }

    fn become_member(&mut self, cx: &mut Cx<'_, Toy>) {
        self.phase = Phase::Member;
        cx.emit(Event::Joined);
        self.changed(cx);
        for peer in &self.others {
            cx.tell(peer, Msg::Hello);
        }
        self.arm(cx);
    }

    fn on_round(&mut self, cx: &mut Cx<'_, Toy>) {
        match &mut self.phase {
            Phase::Out => return,
            Phase::Joining { seeds, attempts } => {
                let seed = seeds[*attempts % seeds.len()].clone();
                *attempts += 1;
                self.ask(cx, &seed);
            }
            Phase::Member => {
                let next = self.others.first().cloned();
                let any = cx.rng.index(self.others.len()).map(|i| self.others[i].clone());
                for peer in next.into_iter().chain(any) {
                    self.ping(cx, &peer);
                }
            }
        }
        self.arm(cx);
    }

    fn on_message(&mut self, cx: &mut Cx<'_, Toy>, from: Peer, ticket: Option<Ticket>, msg: Msg) {
        if self.phase != Phase::Member {
            if let Some(ticket) = ticket {
                cx.reply(ticket, Msg::Absent);
            }
            return;
        }
        match (msg, ticket) {
            (Msg::Ask, Some(ticket)) => cx.reply(ticket, Msg::List(self.others.clone())),
            (Msg::Ping(digest), Some(ticket)) => {
                if digest.is_some() {
                    self.add(cx, &from);
                }
                let own = self.digest();
                cx.reply(ticket, Msg::Pong(own));
                if digest.is_some_and(|d| d != own) {
                    self.ask(cx, &from);
                }
            }
            (Msg::Hello, None) => self.add(cx, &from),
            (Msg::Bye, None) => {
                self.remove(cx, &from);
            }
            (Msg::Suspect(peer), None) if self.find(&peer).is_ok() => self.ping(cx, &peer),
            // Anything else makes no sense here. It is the peer's fault and changes nothing.
            _ => {}
        }
    }

    fn on_list(&mut self, cx: &mut Cx<'_, Toy>, from: &Peer, list: &[Peer]) {
        self.asking = false;
        if matches!(self.phase, Phase::Joining { .. })
            && list.iter().any(|p| p.id() == self.me.id() && *p != self.me)
        {
            // Another address holds our id. If it is dead it will be forgotten soon; if it lives we must not join: two
            // nodes with one id would split its keys. Either way the next round asks again.
            return;
        }
        self.add(cx, from);
        for peer in list {
            if self.find(peer).is_err() {
                self.ping(cx, peer);
            }
        }
        self.end_join(cx);
    }

    /// A joiner is a member when everyone named to it has answered or been silent.
    fn end_join(&mut self, cx: &mut Cx<'_, Toy>) {
        if matches!(self.phase, Phase::Joining { .. }) && self.pinged.is_empty() && !self.others.is_empty() {
            self.become_member(cx);
        }
    }

    fn on_pong(&mut self, cx: &mut Cx<'_, Toy>, from: &Peer, digest: u64) {
        self.pinged.retain(|p| p != from);
        self.add(cx, from);
        if self.phase == Phase::Member && digest != self.digest() {
            self.ask(cx, from);
        }
        self.end_join(cx);
    }

    fn on_silence(&mut self, cx: &mut Cx<'_, Toy>, why: Call, peer: &Peer) {
        match why {
            Call::List => self.asking = false,
            Call::Ping => self.pinged.retain(|p| p != peer),
        }
        if self.remove(cx, peer) && self.phase == Phase::Member {
            for other in &self.others {
                cx.tell(other, Msg::Suspect(peer.clone()));
            }
        }
        self.end_join(cx);
    }
}

impl Overlay for Toy {
    const NAME: &'static str = "toy";
    const ABOUT: &'static str = "every member knows every member; small, and made to be copied";
    type Config = Config;
    type Msg = Msg;
    type Call = Call;
    type Timer = Round;

    fn configure(options: &[(String, u64)]) -> Result<Config, String> {
        let mut config = Config::default();
        for (name, value) in options {
            match (name.as_str(), *value) {
                ("ping_ms", 10..=3_600_000) => config.ping_ms = *value as u32,
                ("ping_ms", _) => {
                    return Err(format!("toy: ping_ms = {value} is out of range; give 10 to 3600000"));
                }
                _ => return Err(format!("toy has no setting '{name}'; it has ping_ms")),
            }
        }
        Ok(config)
    }

    fn replicas_max(_: &Config) -> usize {
        // Everybody knows everybody.
        usize::MAX
    }

    fn new(me: Peer, config: Config) -> Toy {
        Toy { me, config, phase: Phase::Out, others: Vec::new(), pinged: Vec::new(), asking: false }
    }

    fn handle(&mut self, cx: &mut Cx<'_, Toy>, input: Input<Toy>) {
        match input {
            Input::Join { seeds } => self.on_join(cx, seeds),
            Input::Leave => {
                for peer in &self.others {
                    cx.tell(peer, Msg::Bye);
                }
                cx.disarm(Round);
                *self = Toy::new(self.me.clone(), self.config);
                cx.emit(Event::Left);
            }
            Input::Message { from, ticket, msg } => self.on_message(cx, from, ticket, msg),
            Input::Answer { why: Call::List, from, msg: Msg::List(list) } => self.on_list(cx, &from, &list),
            Input::Answer { why: Call::Ping, from, msg: Msg::Pong(digest) } => {
                self.on_pong(cx, &from, digest)
            }
            // Not a member, or nonsense: as good as silence.
            Input::Answer { why, from, .. } => self.on_silence(cx, why, &from),
            Input::NoAnswer { why, peer } | Input::Busy { why, peer } => self.on_silence(cx, why, &peer),
            Input::Timer(Round) => self.on_round(cx),
            // The node has news of a peer. A member looks for itself.
            Input::Suspect(peer) if self.find(&peer).is_ok() => self.ping(cx, &peer),
            Input::Returned(peer) if self.phase == Phase::Member => self.ping(cx, &peer),
            Input::Heard(peer) if self.phase == Phase::Member && self.find(&peer).is_err() => {
                self.ping(cx, &peer)
            }
            Input::Suspect(_) | Input::Returned(_) | Input::Heard(_) | Input::Found { .. } => {}
        }
    }

    fn next_hop(&self, target: &Id) -> Hop {
        if self.phase != Phase::Member {
            return Hop::Stuck;
        }
        // The root is the first member at or after the target; seen from here, distances grow clockwise.
        let reach = target.wrapping_sub(self.me.id());
        let at = self.others.partition_point(|p| self.place(p) < reach);
        match self.others.get(at) {
            _ if reach == Id::ZERO => Hop::Root,
            Some(peer) => Hop::RootIs(peer.clone()),
            None => Hop::Root,
        }
    }

    fn distance(target: &Id, peer: &Peer) -> Id {
        peer.id().wrapping_sub(target)
    }

    fn replica_set(&self, key: &Id, n: usize) -> Vec<Peer> {
        if !self.is_member() {
            return Vec::new();
        }
        Stretch::new(&self.me, &self.others, &[], true).replica_set(key, n)
    }

    fn shares(&self, n: usize) -> Vec<Share> {
        if !self.is_member() {
            return Vec::new();
        }
        Stretch::new(&self.me, &self.others, &[], true).shares(n)
    }

    fn neighbors(&self) -> impl Iterator<Item = &Peer> {
        self.others.iter()
    }

    fn settle(&mut self, cx: &mut Cx<'_, Toy>, everyone: &[Peer]) {
        *self = Toy::new(self.me.clone(), self.config);
        self.others = everyone.iter().filter(|p| p.id() != self.me.id()).cloned().collect();
        let me = *self.me.id();
        self.others.sort_unstable_by_key(|p| p.id().wrapping_sub(&me));
        self.phase = Phase::Member;
        cx.emit(Event::Joined);
        self.changed(cx);
        let after = Duration(cx.rng.below(Duration::from_millis(u64::from(self.config.ping_ms)).0));
        cx.arm(Round, after);
    }

    fn is_member(&self) -> bool {
        self.phase == Phase::Member
    }

    fn tables(&self) -> Vec<(&'static str, Vec<Peer>)> {
        vec![("members", self.others.clone())]
    }

    fn check(&self) -> Result<(), Violation> {
        let sorted = self.others.is_sorted_by(|a, b| self.place(a) < self.place(b));
        let self_free = self.others.first().is_none_or(|p| p.id() != self.me.id());
        if sorted && self_free && self.others.len() <= MEMBERS_MAX && self.pinged.len() <= MEMBERS_MAX {
            Ok(())
        } else {
            Err(Violation::new("toy: the table is sorted, bounded and without the node", format!("{self:?}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::harness::{World, conformance, ring_root, survives_mischief};

    #[test]
    fn it_conforms() {
        conformance::<Toy>(&Config::default(), ring_root);
    }

    #[test]
    fn garbage_does_no_lasting_harm() {
        for seed in 0..5 {
            survives_mischief::<Toy>(seed, &Config::default(), 10);
        }
    }

    #[test]
    fn every_lookup_takes_at_most_one_hop() {
        let mut world = World::<Toy>::settled(1, Config::default(), 50);
        for _ in 0..200 {
            let key = world.draw().id();
            let (_, hops) = world.lookup(7, &key).expect("a settled world answers");
            assert!(hops <= 1);
        }
    }

    #[test]
    fn settings_are_named_in_errors() {
        let parse = |name: &str, value| Toy::configure(&[(String::from(name), value)]);
        assert_eq!(parse("ping_ms", 500), Ok(Config { ping_ms: 500 }));
        assert_eq!(parse("pong_ms", 5), Err(String::from("toy has no setting 'pong_ms'; it has ping_ms")));
        assert!(parse("ping_ms", 0).is_err());
    }
}
