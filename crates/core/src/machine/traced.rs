//! What a traced lookup tells: whom it asked and what came of it, for people who want to know why a key is where it is.

use alloc::vec::Vec;

use crate::id::Id;
use crate::peer::Peer;
use crate::time::Duration;

/// How a question of a lookup ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TraceAnswer {
    /// Nobody waits for its answer any more: the lookup was over before.
    Open,
    /// It named nodes nearer to the target.
    Next,
    /// It named the replica set, root first.
    Root,
    /// It knew no way on.
    Stuck,
    /// It told all that it knows around the target.
    Around,
    /// It let the asker wait for so long that somebody else was asked as well.
    Slow,
    /// It stayed silent.
    Silent,
}

impl TraceAnswer {
    /// In one word, for JSON and tables.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            TraceAnswer::Open => "open",
            TraceAnswer::Next => "next",
            TraceAnswer::Root => "root",
            TraceAnswer::Stuck => "stuck",
            TraceAnswer::Around => "around",
            TraceAnswer::Slow => "slow",
            TraceAnswer::Silent => "silent",
        }
    }
}

/// One question of a traced lookup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TraceStep {
    /// Who was asked.
    pub peer: Peer,
    /// How far it is from the target, by the overlay's metric.
    pub distance: Id,
    /// From the question to the answer.
    pub rtt: Option<Duration>,
    /// What came of it.
    pub answer: TraceAnswer,
    /// Whom it named, best first.
    pub named: Vec<Peer>,
}

/// What a traced lookup found, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Traced {
    /// The replica set, root first; empty if the lookup failed.
    pub peers: Vec<Peer>,
    /// The questions in the order of asking.
    pub steps: Vec<TraceStep>,
    /// Nodes that were asked and answered.
    pub hops: u32,
    /// Nodes that stayed silent, or were slow.
    pub timeouts: u32,
}
