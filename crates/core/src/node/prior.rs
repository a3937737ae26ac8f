//! What the replicas hold of a record before a client's record is sent to them: for a remove, how long it must stand; for the
//! next of a series, where the series is.
//!
//! ```text
//!  remove, cas ──▶ lookup ──▶ HeadsOf(identity) to R replicas ──▶ all told or silent ──▶ put.rs sends the record
//!                    ▲                                             or: Conflict
//!                    └── backoff ── fewer than a read quorum have told
//! ```
//!
//! A remove stands as long as the longest of: what was asked, what is left of the put that it hides, and, if no replica of
//! the quorum has one, the greatest life there is: a put may be on its way, or with a replica that is away. A replica that
//! holds a longer put all the same says so when it is given the remove, and the remove becomes longer.

use super::message::Message;
use super::put::{Put, superseded};
use super::{Node, SKEW_MAX, Turn, Why};
use crate::machine::{NodeConfig, OpError};
use crate::overlay::Overlay;
use crate::rpc::Class;
use crate::store::{Head, Record};
use crate::time::{Duration, Wall};

/// What is to be known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    /// How long a remove must stand that is asked to stand so long.
    Life(Duration),
    /// Whether there is something to remove.
    Found,
    /// Whether the series is at this number.
    At(u64),
}

/// Asking for it.
#[derive(Clone, Debug)]
pub(super) struct Prior {
    wanted: Wanted,
    ready: u8,
    waiting: u8,
    /// The greatest copy told of.
    held: Option<Head>,
    /// When the longest of all copies told of ends.
    longest: Option<Wall>,
}

impl Prior {
    pub(super) const fn new(wanted: Wanted) -> Prior {
        Prior { wanted, ready: 0, waiting: 0, held: None, longest: None }
    }

    /// The record as it is to be sent.
    fn apply(&self, record: &mut Record, config: &NodeConfig) -> Result<bool, OpError> {
        match self.wanted {
            // planted: a remove stands as long as was asked
            Wanted::Life(_) if cfg!(keyway_bug = "node_remove_short") => {}
            Wanted::Life(asked) => {
                let beyond = Duration(config.ttl_max.0.saturating_add(2 * SKEW_MAX.0));
                // Fewer than these may all have missed an acknowledged put.
                let seen = self.longest.filter(|_| self.ready >= config.takeover_quorum());
                let rest = seen.map_or(beyond, |end| end.since(record.head.put_time));
                record.head.ttl = asked.max(rest.min(beyond));
            }
            Wanted::At(number) => {
                let seq = self.held.map_or(0, |held| held.seq);
                if seq != number {
                    return Err(OpError::Conflict { seq });
                }
            }
            Wanted::Found => {
                // Known before anything is sent: on a replica that lacks the put it would take effect.
                let outliving = self.held.filter(|held| !held.kind.is_remove());
                let expires = outliving.map(|held| held.expires());
                if let Some(expires) = expires.filter(|end| *end > record.head.expires()) {
                    return Err(OpError::Outlived { expires });
                }
            }
        }
        Ok(self.held.is_some())
    }
}

impl<O: Overlay> Node<O> {
    /// The replica set is known: asks all of it.
    pub(super) fn ask_prior(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        let me = *self.me().id();
        let Some(Put { set, record, attempt, prior: Some(prior), .. }) = self.puts.get_mut(&serial) else {
            return;
        };
        *attempt += 1;
        *prior = Prior { waiting: set.len() as u8, ..Prior::new(prior.wanted) };
        let (identity, attempt, peers) = (record.head.identity, *attempt, set.clone());
        for peer in &peers {
            if *peer.id() == me {
                let ready = self.copies.is_ready(&identity.key);
                let heads = self.live_heads_of(t.now.wall, &[identity]);
                self.on_prior(t, serial, attempt, ready, &heads);
            } else {
                let why = Why::Prior { op: serial, attempt };
                if !self.call(t, peer, Message::HeadsOf([identity].into()), Class::Quick, why) {
                    self.on_prior(t, serial, attempt, false, &[]);
                }
            }
        }
        if peers.is_empty() {
            self.put_later(t, serial);
        }
    }

    /// A replica has told, or is silent: then it is as if it had not taken over.
    pub(super) fn on_prior(
        &mut self,
        t: &mut Turn<'_, O>,
        serial: u64,
        attempt: u8,
        ready: bool,
        heads: &[Head],
    ) {
        let (reads, whole) = (self.config.read_quorum(), self.config.takeover_quorum());
        let Some(put) = self.puts.get_mut(&serial).filter(|put| put.attempt == attempt) else { return };
        let (identity, Some(prior)) = (put.record.head.identity, &mut put.prior) else { return };
        prior.waiting = prior.waiting.saturating_sub(1);
        prior.ready += u8::from(ready);
        let quorum = if matches!(prior.wanted, Wanted::At(_)) { reads.max(whole) } else { reads };
        let told = heads.iter().filter(|head| head.identity == identity).copied();
        prior.longest = told.clone().map(|head| head.expires()).chain(prior.longest).max();
        prior.held = told.chain(prior.held).max_by_key(Head::rank);
        // All of them, though a quorum would do: the longest of the copies decides.
        if prior.waiting > 0 {
            return;
        }
        if prior.ready < quorum {
            return self.put_later(t, serial);
        }
        let newer = prior.held.filter(|held| held.seq > put.record.head.seq);
        if let Some(held) = newer.filter(|_| put.restores) {
            let done = superseded(put, held.seq, self.config.replicas);
            return self.end_put(t, serial, Ok(done));
        }
        let applied = prior.apply(&mut put.record, &self.config);
        put.prior = None;
        match applied {
            Ok(found) => {
                put.found = found;
                self.send_put(t, serial);
            }
            Err(error) => self.end_put(t, serial, Err(error)),
        }
    }

    pub(super) fn on_prior_unanswered(&mut self, t: &mut Turn<'_, O>, serial: u64, attempt: u8) {
        self.on_prior(t, serial, attempt, false, &[]);
    }
}
