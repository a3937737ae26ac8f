//! Kademlia: ids in a binary tree, distances by exclusive or, contacts in buckets by common prefix.
//!
//! Paper: Maymounkov, Mazieres, *Kademlia: A Peer-to-peer Information System Based on the XOR Metric*, IPTPS 2002; sections are
//! those of its preprint. Deviations, with reasons, and the message chart: `docs/overlays/kademlia.md`.
//!
//! ```text
//!   lookup    asker ── Hop ──▶ alpha contacts of the target's bucket ──▶ nearer ones ...  (core's `lookup`, section 2.3)
//!             in the target's neighborhood everyone knows the root
//!   join      Find{me} from node to node ──▶ Enter at the nearest ──▶ Ping those it names ──▶ Hello to the neighborhood ──▶ member
//!   round     me ── Compare{digest of the neighborhood} ──▶ the next member, now and then any member ──▶ Same | Group
//!             whoever is named and not known, or known and not named, is pinged
//!   refresh   me ── Find{an id of the bucket} ──▶ the bucket's head ──▶ Nodes: moved to the tail   (section 2.3)
//!                                                               └─▶ silence: evicted, a spare takes its place (2.2, 4.1)
//!   crash     no answer ──▶ forget it, tell the neighborhood Suspect; each pings before it believes that
//!   heal      Returned(peer) ──▶ Find{me} through it, digests differ, and the halves become one
//! ```
//!
//! **What storage needs and the paper leaves open**: exactness. With k contacts a bucket, "the k closest nodes" are what a lookup
//! happens to find. Here the tree is cut into neighborhoods by a rule ([`table`]), and in each everyone knows everyone.
//!
//! Invariants. Local ones in [`Overlay::check`]: contacts in order of distance, none twice; buckets hold at most k; a
//! neighborhood is the smallest subtree that the rule allows; everything is bounded. Rules of conduct: nobody enters the table
//! who has not spoken as a member; nobody leaves it but by own farewell or after an unanswered call.
//!
//! Rooms: `table` holds contacts in `buckets`, `order` keeps the nearest of many, `shares` places copies; `upkeep` keeps the neighborhood, `refresh` the buckets, `join` enters,
//! `merge` joins what was split, both by a `walk`.

mod buckets;
mod config;
mod join;
mod merge;
mod message;
mod order;
mod refresh;
mod shares;
mod table;
#[cfg(test)]
mod tests;
mod upkeep;
mod walk;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::cx::{Cx, Event, Input, Ticket};
use crate::id::Id;
use crate::keyspace::{Geometry, xor};
use crate::overlay::{Around, Hop, Overlay, Share, Violation};
use crate::peer::Peer;
use crate::time::Duration;

pub use config::Config;
use join::{Join, Stage};
use merge::Merge;
pub use message::Msg;
pub use table::SPARES_MAX;
use table::Table;
use upkeep::Upkeep;

/// Why Kademlia asked.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Call {
    /// A step of the walk to this node's own place.
    Walk(Purpose),
    /// The nearest node was asked to show its neighborhood.
    Enter,
    /// A joiner makes sure that a peer lives.
    Verify,
    /// A joiner announces itself.
    Hello,
    /// A member was asked whether it knows the same neighborhood of so many bits.
    Compare {
        /// Bits.
        len: u8,
    },
    /// A peer was pinged: it was suspected, or may be new.
    Ping {
        /// Others will not hear of its silence: they had told us, or they do not know it.
        quiet: bool,
    },
    /// The head of a bucket was asked for others in it.
    Refresh,
}

/// Why a walk is made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Purpose {
    /// To enter the network.
    Join,
    /// To find this node's place in another part of the network.
    Merge,
}

/// Kademlia's timers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Timer {
    /// The next round in the neighborhood.
    Round,
    /// The next bucket.
    Refresh,
    /// The next attempt to join.
    Join,
}

/// Where a node stands.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Phase {
    /// Not asked to join yet, or gone.
    Out,
    /// On its way in.
    Joining(Box<Join>),
    /// A member.
    Member,
}

/// A Kademlia node. See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Kademlia {
    config: Config,
    phase: Phase,
    table: Table,
    upkeep: Upkeep,
    merge: Merge,
}

impl Kademlia {
    /// The replacement cache (section 4.1), for judges: no contact of the node, at most [`SPARES_MAX`] a bucket, in each bucket in
    /// order of arrival.
    #[must_use]
    pub fn spares(&self) -> &[Peer] {
        self.table.spares()
    }

    /// Whether it takes part in the members' protocol: a joiner does from its first Hello on.
    fn is_in(&self) -> bool {
        match &self.phase {
            Phase::Out => false,
            Phase::Joining(join) => join.stage == Stage::Hello,
            Phase::Member => true,
        }
    }

    fn on_message(&mut self, cx: &mut Cx<'_, Kademlia>, from: &Peer, ticket: Option<Ticket>, msg: Msg) {
        if from.id() == self.table.id() {
            // Ourselves, a former life, or somebody with our id: the frame layer tells which.
            return;
        }
        if !self.is_in() {
            if let Some(ticket) = ticket {
                cx.reply(ticket, Msg::Absent);
            }
            return;
        }
        match (msg, ticket) {
            (Msg::Ping { member }, Some(ticket)) => {
                cx.reply(ticket, Msg::Pong);
                if member {
                    self.learn(cx, from);
                }
            }
            (Msg::Find { target, max, member }, Some(ticket)) => {
                let max = usize::from(max).min(config::K_MAX);
                let mut peers = self.table.nearest(&target, max + 1);
                peers.retain(|p| p.id() != from.id());
                peers.truncate(max);
                cx.reply(ticket, Msg::Nodes { peers });
                if member {
                    self.learn(cx, from);
                }
            }
            (Msg::Enter, Some(ticket)) => self.on_enter(cx, ticket),
            (Msg::Hello, Some(ticket)) => {
                self.learn(cx, from);
                self.on_hello(cx, ticket);
            }
            (Msg::Compare { len, digest }, Some(ticket)) => {
                self.on_compare(cx, from, ticket, usize::from(len), digest);
            }
            (Msg::Suspect(peer), None) => self.on_told_suspect(cx, from, &peer),
            (Msg::Reunite(peer), None) => self.on_reunite(cx, &peer),
            (Msg::Leaving, None) => self.forget(cx, from, false),
            // An answer that is none, or a request without the wish for an answer: the peer's fault.
            _ => {}
        }
    }

    fn on_answer(&mut self, cx: &mut Cx<'_, Kademlia>, why: Call, from: &Peer, msg: Msg) {
        if msg == Msg::Absent {
            // It lives, but is no member: to us the same as silence.
            return self.on_no_answer(cx, why, from);
        }
        match (why, msg) {
            (Call::Walk(purpose), Msg::Nodes { peers }) => self.on_walk_answer(cx, purpose, from, peers),
            (Call::Enter, Msg::Place { len, group, far }) => {
                self.on_place(cx, from, usize::from(len), group, far);
            }
            (Call::Verify, Msg::Pong) => self.on_verified(cx, from, true),
            (Call::Hello, Msg::Group { peers }) => self.on_welcome(cx, from, &peers),
            (Call::Compare { .. }, Msg::Same) => self.on_same(cx, from),
            (Call::Compare { len }, Msg::Group { peers }) => {
                self.on_differs(cx, from, usize::from(len), &peers);
            }
            (Call::Ping { .. }, Msg::Pong) => self.on_pong(cx, from),
            (Call::Refresh, Msg::Nodes { peers }) => self.on_refreshed(cx, from, &peers),
            // The right peer said the wrong thing: as good as silence.
            (why, _) => self.on_no_answer(cx, why, from),
        }
    }

    fn on_no_answer(&mut self, cx: &mut Cx<'_, Kademlia>, why: Call, peer: &Peer) {
        match why {
            Call::Walk(purpose) => self.on_walk_silence(cx, purpose, peer),
            Call::Enter => self.on_enter_silence(cx, peer),
            Call::Verify => self.on_verified(cx, peer, false),
            Call::Hello => self.on_unwelcome(cx, peer),
            Call::Compare { .. } => self.on_compare_silence(cx, peer),
            Call::Ping { quiet } => self.on_ping_silence(cx, peer, quiet),
            Call::Refresh => self.forget(cx, peer, true),
        }
    }

    /// `peer` lives, and could not answer in all that time: a contact stays one, and has been seen. Who is on its way in asks
    /// somebody else.
    fn on_busy(&mut self, cx: &mut Cx<'_, Kademlia>, why: Call, peer: &Peer) {
        if self.table.has(peer) {
            self.learn(cx, peer);
        }
        match why {
            Call::Compare { .. } => self.end_compare(peer),
            Call::Ping { .. } => self.on_busy_ping(cx, peer),
            Call::Refresh => {}
            Call::Walk(_) | Call::Enter | Call::Verify | Call::Hello => {
                self.on_no_answer(cx, why, peer);
            }
        }
    }

    fn leave(&mut self, cx: &mut Cx<'_, Kademlia>) {
        if self.is_in() {
            for peer in self.table.group() {
                cx.tell(peer, Msg::Leaving);
            }
        }
        for timer in [Timer::Round, Timer::Refresh, Timer::Join] {
            cx.disarm(timer);
        }
        *self = Kademlia::new(self.table.me.clone(), self.config);
        cx.emit(Event::Left);
    }

    /// Becomes a member with what is in the table.
    fn become_member(&mut self, cx: &mut Cx<'_, Kademlia>) {
        self.phase = Phase::Member;
        cx.disarm(Timer::Join);
        cx.emit(Event::Joined);
        self.arm_refresh(cx, self.config.refresh());
        self.group_changed(cx, 1);
    }
}

impl Overlay for Kademlia {
    const NAME: &'static str = "kademlia";
    const ABOUT: &'static str = "XOR distances, k-buckets, parallel lookups (Maymounkov and Mazieres 2002)";
    const GEOMETRY: Geometry = Geometry::Xor;
    type Config = Config;
    type Msg = Msg;
    type Call = Call;
    type Timer = Timer;

    fn configure(options: &[(String, u64)]) -> Result<Config, String> {
        Config::parse(options)
    }

    fn replicas_max(config: &Config) -> usize {
        // A neighborhood has so many members at least, and a replica set lies in one.
        usize::from(config.neighbors)
    }

    fn new(me: Peer, config: Config) -> Kademlia {
        Kademlia {
            phase: Phase::Out,
            table: Table::new(me, usize::from(config.k), usize::from(config.neighbors)),
            upkeep: Upkeep::default(),
            merge: Merge::default(),
            config,
        }
    }

    fn handle(&mut self, cx: &mut Cx<'_, Kademlia>, input: Input<Kademlia>) {
        match input {
            Input::Message { from, ticket, msg } => self.on_message(cx, &from, ticket, msg),
            Input::Answer { why, from, msg } => self.on_answer(cx, why, &from, msg),
            Input::NoAnswer { why, peer } => self.on_no_answer(cx, why, &peer),
            Input::Busy { why, peer } => self.on_busy(cx, why, &peer),
            Input::Timer(Timer::Round) => self.on_round(cx),
            Input::Timer(Timer::Refresh) => self.on_refresh(cx),
            Input::Timer(Timer::Join) => self.on_join_timer(cx),
            Input::Heard(peer) => self.hint(cx, &peer),
            Input::Suspect(peer) => self.suspect(cx, &peer),
            Input::Returned(peer) => self.reunite(cx, peer),
            Input::Join { seeds } => self.join(cx, seeds),
            Input::Leave => self.leave(cx),
            // It does not look up: its walks ask as they go.
            Input::Found { .. } => {}
        }
    }

    fn next_hop(&self, target: &Id) -> Hop {
        if self.phase != Phase::Member {
            return Hop::Stuck;
        }
        if !self.table.is_near(target) {
            // Its bucket is not empty, or its subtree would belong to the neighborhood.
            return Hop::Next(self.table.nearer(target, usize::from(self.config.k)));
        }
        self.table.root(target).map_or(Hop::Root, |root| Hop::RootIs(root.clone()))
    }

    fn around(&self, target: &Id, nearer: usize, heirs: usize) -> Option<Around> {
        // In its neighborhood this node knows everybody, and names them in one row.
        let far =
            |target| if self.table.is_near(target) { Vec::new() } else { self.table.nearer(target, nearer) };
        self.is_member().then(|| Around { nearer: far(target), heirs: self.table.heirs(target, heirs) })
    }

    fn distance(target: &Id, peer: &Peer) -> Id {
        xor::rank(target, peer.id())
    }

    fn alpha(&self) -> usize {
        usize::from(self.config.alpha)
    }

    fn nearest_heard(&self) -> usize {
        usize::from(self.config.nearest_heard)
    }

    fn replica_set(&self, key: &Id, n: usize) -> Vec<Peer> {
        if self.is_member() { shares::replica_set(&self.table, key, n) } else { Vec::new() }
    }

    fn shares(&self, n: usize) -> Vec<Share> {
        if self.is_member() { shares::shares(&self.table, n) } else { Vec::new() }
    }

    fn neighbors(&self) -> impl Iterator<Item = &Peer> {
        self.table.all()
    }

    fn settle(&mut self, cx: &mut Cx<'_, Kademlia>, everyone: &[Peer]) {
        *self = Kademlia::new(self.table.me.clone(), self.config);
        self.phase = Phase::Member;
        self.table.settle(everyone, cx.now.mono, cx.rng);
        for (timer, period) in [(Timer::Round, self.config.round()), (Timer::Refresh, self.config.refresh())]
        {
            let after = Duration(cx.rng.below(period.0));
            cx.arm(timer, after);
        }
        cx.emit(Event::Joined);
        cx.emit(Event::NeighborsChanged);
        cx.emit(Event::ReplicasChanged { from: 1 });
    }

    fn is_member(&self) -> bool {
        self.phase == Phase::Member
    }

    fn tables(&self) -> Vec<(&'static str, Vec<Peer>)> {
        let near = self.table.group().len();
        vec![
            ("neighborhood", self.table.group().cloned().collect()),
            ("buckets", self.table.all().skip(near).cloned().collect()),
        ]
    }

    fn check(&self) -> Result<(), Violation> {
        self.table.check()?;
        self.check_upkeep()?;
        self.check_merge()?;
        match &self.phase {
            Phase::Joining(join) if !join.is_bounded() => {
                Err(Violation::new("kademlia: a join is bounded", format!("{join:?}")))
            }
            _ => Ok(()),
        }
    }
}
