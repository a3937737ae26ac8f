//! What all walks through a tree have in common: they ask, are answered, and end.
//!
//! ```text
//!   begin ──▶ Ask(Get) ──on_found──▶ Ask(Put) ──on_stored──▶ ... ──▶ Done(outcome)
//! ```
//!
//! A walk does no I/O and reads no clock: whoever runs it puts and gets. Here that is [`Redir`](crate::redir::Redir) over a
//! network; in `keyway sim paper redir-lookups` a store in virtual time runs the very same walks. A question that failed ends a
//! walk: drop it.

use std::time::Duration;

use bytes::Bytes;

use crate::key::Key;

/// What a walk asks of the network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// The values under `key`, at most `values_max`, however many pages they fill. Answered by [`Walk::on_found`].
    Get {
        /// Where.
        key: Key,
        /// How many.
        values_max: usize,
    },
    /// To store `value` under `key` for `ttl`. Answered by [`Walk::on_stored`].
    Put {
        /// Where.
        key: Key,
        /// What.
        value: Bytes,
        /// For how long; at least a second.
        ttl: Duration,
    },
}

/// A value that a get found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// The value, whoever put it.
    pub bytes: Bytes,
    /// What was left of its life.
    pub remaining: Duration,
}

/// Where a walk stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step<T> {
    /// It waits for the answer to this.
    Ask(Ask),
    /// It has ended.
    Done(T),
}

/// A walk through a tree. The two kinds of tree have three each: to register, to look up, to list.
pub trait Walk {
    /// What it ends with.
    type Outcome;

    /// The first step. Called once.
    fn begin(&mut self) -> Step<Self::Outcome>;

    /// The answer to a get, in any order of values.
    fn on_found(&mut self, found: &[Found]) -> Step<Self::Outcome>;

    /// The answer to a put.
    fn on_stored(&mut self) -> Step<Self::Outcome>;
}
