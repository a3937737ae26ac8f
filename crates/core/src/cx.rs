//! The inner seam: what reaches an overlay, and what it may ask for.
//!
//! An [`Overlay`] is a pure state machine. [`Input`] is its only door, [`Cx`] its only sink; both are closed. Retries,
//! time-outs, request ids and iterative lookups are done below it, once for all overlays:
//!
//! ```text
//!   overlay          rpc / lookup            other node's overlay
//!   call(p,m,why) ──▶ Request ──────────────▶ Message{ticket: Some, m}
//!                     (retries, RTO)           │ busy(ticket)  "I wait myself; keep your timer alive"
//!                    ◀────────────── Busy ─────┤
//!   Answer{why,..} ◀──────────────── Reply ────┘ reply(ticket, m')
//!   NoAnswer{why}  ◀── all tries silent      Busy{why} ◀── it lives, but waits for too long itself
//!   lookup(id,why) ──▶ iterative ... ──▶ Found{why, ..}
//! ```

use alloc::vec::Vec;

use crate::id::Id;
use crate::overlay::Overlay;
use crate::peer::{Addr, Peer};
use crate::rng::Rng;
use crate::time::{Duration, Now};

/// The right to answer one request, now or later. Dropping it is allowed: the asker's time-out covers it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Ticket {
    pub(crate) to: Addr,
    pub(crate) request: u64,
}

impl Ticket {
    /// A ticket for tests and model checkers that drive an overlay without a node.
    #[must_use]
    pub const fn new(to: Addr, request: u64) -> Ticket {
        Ticket { to, request }
    }

    /// Tells tickets apart in a harness.
    #[must_use]
    pub const fn request(&self) -> u64 {
        self.request
    }
}

/// What an overlay may be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input<O: Overlay> {
    /// Become a member. No seeds: found a network alone. The seeds have been reached and belong to our network.
    Join {
        /// Members to ask, in the order in which they answered.
        seeds: Vec<Peer>,
    },
    /// Say goodbye; emit [`Event::Left`] when it is said. The data has been handed over before.
    Leave,
    /// A message from another node's overlay. With a ticket it is a request and wants a reply.
    Message {
        /// Who sent it.
        from: Peer,
        /// The right to answer, if one is wanted.
        ticket: Option<Ticket>,
        /// What it says.
        msg: O::Msg,
    },
    /// The answer to an own [`Cx::call`].
    Answer {
        /// The reason given with the call.
        why: O::Call,
        /// Who was asked.
        from: Peer,
        /// What it answered.
        msg: O::Msg,
    },
    /// An own [`Cx::call`] stayed without answer after all tries. "Unknown", not "dead"; overlays treat it as dead.
    NoAnswer {
        /// The reason given with the call.
        why: O::Call,
        /// Who was asked.
        peer: Peer,
    },
    /// The peer answered an own [`Cx::call`] by `busy` only, as often as that is waited for: it lives.
    Busy {
        /// The reason given with the call.
        why: O::Call,
        /// Who was asked.
        peer: Peer,
    },
    /// An own [`Cx::lookup`] ended.
    Found {
        /// The reason given with the lookup.
        why: O::Call,
        /// The root first, then the other members of the replica set that it named; empty if the lookup failed.
        peers: Vec<Peer>,
    },
    /// A timer ran out.
    Timer(O::Timer),
    /// Some frame of this peer has just been verified: it is alive. Given once per peer and while it is not already
    /// known well (the node rate-limits it).
    Heard(Peer),
    /// Another layer got no answer from this peer: look after it.
    Suspect(Peer),
    /// A peer that had been given up answers again: perhaps a split network has healed. Find out and merge.
    Returned(Peer),
}

/// What an overlay tells the node about itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// It is a member now.
    Joined,
    /// [`Overlay::neighbors`] may answer differently.
    NeighborsChanged,
    /// [`Overlay::shares`] may answer differently when it is asked for `from` copies or more: 1 where that is not known better.
    ReplicasChanged {
        /// Copies.
        from: usize,
    },
    /// It has said goodbye.
    Left,
}

/// What an overlay asks for. Done by the node after `handle` returns, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect<O: Overlay> {
    /// Send and forget.
    Tell(Peer, O::Msg),
    /// Send and expect exactly one [`Input::Answer`], [`Input::NoAnswer`] or [`Input::Busy`].
    Call(Peer, O::Msg, O::Call),
    /// Answer a request.
    Reply(Ticket, O::Msg),
    /// Keep the asker's timer alive.
    Busy(Ticket),
    /// Run this timer out after that span; arming again replaces.
    Arm(O::Timer, Duration),
    /// Forget a timer.
    Disarm(O::Timer),
    /// Find the root of an id; expect exactly one [`Input::Found`].
    Lookup(Id, O::Call),
    /// Tell the node.
    Emit(Event),
}

/// The sink and the ambience of one `handle` call.
pub struct Cx<'a, O: Overlay> {
    /// Both clocks.
    pub now: Now,
    /// The node's random stream.
    pub rng: &'a mut Rng,
    effects: &'a mut Vec<Effect<O>>,
}

impl<'a, O: Overlay> Cx<'a, O> {
    /// A context that appends to `effects`.
    pub fn new(now: Now, rng: &'a mut Rng, effects: &'a mut Vec<Effect<O>>) -> Cx<'a, O> {
        Cx { now, rng, effects }
    }
    /// Sends without expecting anything.
    pub fn tell(&mut self, to: &Peer, msg: O::Msg) {
        self.effects.push(Effect::Tell(to.clone(), msg));
    }
    /// Asks; exactly one `Answer`, `NoAnswer` or `Busy` with this `why` will follow.
    pub fn call(&mut self, to: &Peer, msg: O::Msg, why: O::Call) {
        self.effects.push(Effect::Call(to.clone(), msg, why));
    }
    /// Answers a request.
    pub fn reply(&mut self, ticket: Ticket, msg: O::Msg) {
        self.effects.push(Effect::Reply(ticket, msg));
    }
    /// Tells the asker to go on waiting.
    pub fn busy(&mut self, ticket: &Ticket) {
        self.effects.push(Effect::Busy(ticket.clone()));
    }
    /// Sets a timer; setting it again replaces it.
    pub fn arm(&mut self, timer: O::Timer, after: Duration) {
        self.effects.push(Effect::Arm(timer, after));
    }
    /// Forgets a timer.
    pub fn disarm(&mut self, timer: O::Timer) {
        self.effects.push(Effect::Disarm(timer));
    }
    /// Finds the root of `target`; exactly one `Found` with this `why` will follow.
    pub fn lookup(&mut self, target: Id, why: O::Call) {
        self.effects.push(Effect::Lookup(target, why));
    }
    /// Tells the node about a change.
    pub fn emit(&mut self, event: Event) {
        self.effects.push(Effect::Emit(event));
    }
}
