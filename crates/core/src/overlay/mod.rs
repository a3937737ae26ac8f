//! The overlays: one folder and one line in [`registry`] each.
//!
//! An overlay is only its routing table and the protocol that maintains it. It imports nothing from `store`, `replica`,
//! `node` or `frame`, and never a sibling. How to add one: copy `toy.rs`, see CONTRIBUTING.md.

pub mod chord;
#[cfg(test)]
mod harness;
pub mod kademlia;
mod placement;
pub mod registry;
pub mod toy;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::hash::Hash;

use crate::cx::{Cx, Input};
use crate::id::Id;
use crate::keyspace::{Arc, Geometry};
use crate::peer::Peer;
use crate::wire::Wire;

/// Where a lookup goes next, by this node's tables alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hop {
    /// This node is the root of the target.
    Root,
    /// That peer is (a Chord predecessor knows this; the peer itself need not be asked).
    RootIs(Peer),
    /// Ask one of these, best first; each is nearer to the target than this node.
    Next(Vec<Peer>),
    /// Not a member yet, or no way on.
    Stuck,
}

/// All that a node knows on both sides of a target, for a lookup whose way on is dead.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Around {
    /// Peers nearer to the target than this node, best first.
    pub nearer: Vec<Peer>,
    /// Who would be the root one after another, the believed root first; empty if the target is beyond this node's sight.
    pub heirs: Vec<Peer>,
}

/// An arc of the key space that this node keeps copies for, and with whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Share {
    /// All keys in it have the same replica set, by this node's view.
    pub arc: Arc,
    /// That replica set, root first; this node is one of them.
    pub peers: Vec<Peer>,
}

/// A broken invariant: our own bug, never a peer's fault.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{rule}: {detail}")]
pub struct Violation {
    /// The invariant's name.
    pub rule: &'static str,
    /// What was seen.
    pub detail: String,
}

impl Violation {
    /// A violation of `rule`.
    #[must_use]
    pub fn new(rule: &'static str, detail: String) -> Violation {
        Violation { rule, detail }
    }
}

/// A routing table and its maintenance protocol. The state is a value (`Clone + Hash + Eq`), so that a model checker
/// can hold it; all of it is reached through [`Overlay::handle`].
pub trait Overlay: Clone + Hash + Eq + Debug + Send + 'static {
    /// The name in the registry, on the command line and in documents.
    const NAME: &'static str;
    /// One line for people, with the paper.
    const ABOUT: &'static str;
    /// How it places keys: what judges hold its answers against.
    const GEOMETRY: Geometry = Geometry::Ring;
    /// Its settings; the default is what a user gets.
    type Config: Clone + Debug + Default + Send + 'static;
    /// Its messages: requests, answers and tells alike.
    type Msg: Wire + Clone + PartialEq + Eq + Hash + Debug + Send;
    /// Why it called or looked up: comes back with the answer.
    type Call: Clone + PartialEq + Eq + Hash + Debug + Send;
    /// Its timers; each value is one replaceable timer.
    type Timer: Copy + Ord + Hash + Debug + Send;

    /// Its settings from names and numbers (durations in milliseconds), over the defaults.
    ///
    /// # Errors
    /// A text for people that names the unknown or impossible setting and the possible ones.
    fn configure(options: &[(String, u64)]) -> Result<Self::Config, String>;

    /// The greatest number of copies for which [`Overlay::shares`] keeps its promise under these settings.
    fn replicas_max(config: &Self::Config) -> usize;

    /// A node that is not a member yet.
    fn new(me: Peer, config: Self::Config) -> Self;

    /// The one door.
    fn handle(&mut self, cx: &mut Cx<'_, Self>, input: Input<Self>);

    /// The next step towards the root of `target`. Pure.
    fn next_hop(&self, target: &Id) -> Hop;

    /// All that this node knows around `target`, at most so many nearer ones and heirs. Pure. `None` for an overlay in which nobody can say
    /// who follows whom: on the way round from the target (with falling [`Overlay::distance`]), or in order of distance where
    /// nearness alone makes a root ([`Geometry::Xor`]).
    fn around(&self, _target: &Id, _nearer: usize, _heirs: usize) -> Option<Around> {
        None
    }

    /// How far `peer` is from the root of `target`: lookups try smaller first. Pure geometry.
    fn distance(target: &Id, peer: &Peer) -> Id;

    /// How many steps of a lookup are under way at once while nobody is slow (Kademlia's alpha).
    fn alpha(&self) -> usize {
        1
    }

    /// How many of the nearest peers seen must have had their say before a root's word ends a lookup; 0 if its word is enough,
    /// because nobody else can be nearer.
    fn nearest_heard(&self) -> usize {
        0
    }

    /// The `n` peers that should hold `key`, root first, this node among them where it belongs; fewer if this node
    /// knows fewer. Pure. Empty before the join.
    fn replica_set(&self, key: &Id, n: usize) -> Vec<Peer>;

    /// Every arc for which this node is in the replica set of size `n`, with that set. Arcs are disjoint. For each key:
    /// this node is in `replica_set(key, n)` exactly if the key lies in some share, whose peers are then that set.
    fn shares(&self, n: usize) -> Vec<Share>;

    /// The peers this node keeps in touch with, nearest first: what it remembers across a restart. Some may come twice. Pure.
    fn neighbors(&self) -> impl Iterator<Item = &Peer>;

    /// Tooling: the state to which the protocol would converge among `everyone` (sorted by id, this node included).
    fn settle(&mut self, cx: &mut Cx<'_, Self>, everyone: &[Peer]);

    /// Whether this node is a member.
    fn is_member(&self) -> bool;

    /// The tables as people want to read them: `(name, entries)` in a fixed order.
    fn tables(&self) -> Vec<(&'static str, Vec<Peer>)>;

    /// Local invariants; called after every `handle` in debug builds and by the simulator.
    ///
    /// # Errors
    /// The first broken one.
    fn check(&self) -> Result<(), Violation>;
}
