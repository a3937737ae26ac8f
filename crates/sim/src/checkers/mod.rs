//! Judges, one property a file. Each says when it must hold.
//!
//! | property | holds | file |
//! | --- | --- | --- |
//! | a machine keeps its own rules (`Machine::check`) | always | here |
//! | every table stays within its named bound | always | [`bounds`] |
//! | a get gives only what was put, unchanged and not twice | always | [`nothing_invented`] |
//! | a value's life is the one it was given; nothing is served after it | always | [`ttl`] |
//! | a get gives everything acknowledged before it | in calm worlds | [`read_after_ack`] |
//! | a get gives nothing that was removed before it | in calm worlds, and after the heal | [`removed`] |
//! | operations succeed | in calm worlds | [`service`] |
//! | one ring, ordered, complete; Zave's invariant | after the heal | [`ring`] |
//! | everyone knows its neighborhood: living, complete, mutual | after the heal | [`neighborhood`] |
//! | every lookup names the true root | after the heal | [`lookups`] |
//! | every acknowledged, living value is on its R replicas | after the heal | [`acked_puts`] |
//! | everyone is a member, takes writes, has taken over its shares; copies agree | after the heal | [`convergence`] |
//!
//! *Calm* means that membership stands still and every frame arrives sooner or later: loss, duplication, reordering,
//! corruption and skewed clocks may be drawn, crashes, cuts, pauses, limping and sick disks not. *After the heal* means within
//! the stated time after the last fault was undone.

pub mod acked_puts;
pub mod bounds;
pub mod convergence;
pub mod lookups;
pub mod neighborhood;
pub mod nothing_invented;
pub mod read_after_ack;
pub mod removed;
pub mod ring;
pub mod service;
pub mod ttl;

use keyway_core::machine::Inspection;
use keyway_core::overlay::Violation;
use keyway_core::{Duration, Peer};

use crate::oracle::Oracle;
use crate::world::World;

/// Every judge: name, and what it demands.
pub const ALL: [(&str, &str); 12] = [
    ("local", "a machine keeps its own rules"),
    ("bounds", "every table stays within its named bound"),
    ("nothing_invented", "a get gives only what was put, unchanged and once"),
    ("ttl", "a value's life is the one it was given"),
    ("read_after_ack", "in calm worlds a get gives everything acknowledged before"),
    ("removed", "in calm worlds and after the heal a get gives nothing that was removed before"),
    ("service", "in calm worlds operations succeed"),
    ("ring", "after the heal: one ring, ordered, complete; Zave's invariant"),
    ("neighborhood", "after the heal: everyone knows its neighborhood"),
    ("lookups", "after the heal: every lookup names the true root"),
    ("acked_puts", "after the heal: every acknowledged value is on its R replicas"),
    ("convergence", "after the heal: all are members, have taken over, and copies agree"),
];

/// A property was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Complaint {
    /// Whose property.
    pub checker: &'static str,
    /// What was seen, for people.
    pub detail: String,
}

/// What a checker says.
pub type Verdict = Result<(), Complaint>;

impl Complaint {
    /// A complaint of `checker`.
    #[must_use]
    pub fn new(checker: &'static str, detail: String) -> Complaint {
        Complaint { checker, detail }
    }
}

impl From<(usize, Violation)> for Complaint {
    /// A machine broke its own rules.
    fn from((host, violation): (usize, Violation)) -> Complaint {
        Complaint::new("local", format!("n{host}: {violation}"))
    }
}

impl std::fmt::Display for Complaint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.checker, self.detail)
    }
}

/// What a network has agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Copies kept of each value (R).
    pub replicas: usize,
    /// How far a host's wall clock may be from the world's; two of them from each other twice as far.
    pub skew: Duration,
    /// Length of successor lists, where the overlay keeps such lists (Zave's r).
    pub successors: usize,
}

/// A look inside every member at one instant.
pub struct Snapshot<'a> {
    /// The truth.
    pub oracle: &'a Oracle,
    /// What was agreed.
    pub terms: Terms,
    /// When, by the world.
    pub at: u64,
    /// Members in order of id.
    pub members: Vec<Seen>,
}

/// A member, seen from inside.
pub struct Seen {
    /// Its host.
    pub host: usize,
    /// Who it is.
    pub peer: Peer,
    /// Its tables, shares and heads.
    pub inside: Inspection,
}

impl<'a> Snapshot<'a> {
    /// Looks into every member now.
    #[must_use]
    pub fn take(world: &World, oracle: &'a Oracle, terms: Terms) -> Snapshot<'a> {
        let members = oracle.members().filter_map(|(_, host)| {
            Some(Seen { host, peer: world.peer(host).clone(), inside: world.inspect(host)? })
        });
        Snapshot { oracle, terms, at: world.time(), members: members.collect() }
    }

    /// The member on a host.
    #[must_use]
    pub fn on(&self, host: usize) -> Option<&Seen> {
        self.members.iter().find(|s| s.host == host)
    }
}

impl Seen {
    /// One of its tables by name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&[Peer]> {
        self.inside.tables.iter().find(|t| t.0 == name).map(|t| t.1.as_slice())
    }
}

#[cfg(test)]
mod tests;
