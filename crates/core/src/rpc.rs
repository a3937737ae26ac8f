//! Requests and their answers: request ids, round-trip estimates per peer, adaptive time-outs, bounded tries.
//!
//! Solved once, below the overlays (DESIGN principle 5). The time-out of a try is the smoothed round trip plus four
//! mean deviations (RFC 6298; Bamboo, USENIX'04 section 4.2), at least [`RTO_MIN`]; a peer without a sample takes the
//! node's own estimate over all peers, one with few samples the longer of both; and the node's own is at least [`RTO_FIRST`]
//! until it has two samples. Further tries wait twice, then four times as
//! long, up to [`RTO_MAX`]. Never a fixed multi-second wait.
//!
//! ```text
//!   start ──▶ try 0 ──RTO──▶ try 1 ──2 RTO──▶ try 2 ──4 RTO──▶ (more tries on lossy links) ──▶ NoAnswer
//!               │              └ Slow: the owner may ask somebody else as well (hedge)
//!               └◀ Reply: sample = now - sent(try)        Busy: a sample, if the first; the clock of the current try starts again,
//!                                                         [`BUSY_MAX`] times, then the call ends as busy, not as silent
//! ```
//!
//! The three low bits of a request id are the number of the try, so that a late answer to an earlier try is still an exact
//! sample (Karn's ambiguity does not arise); the other 61 are unpredictable. After `Busy` a reply is none: it tells how long the peer
//! had to wait, not how far away it is or how many tries were lost. The first `Busy` itself is the sample then.
//!
//! **Silence must mean something.** With one frame in six lost, three tries to a peer that lives stay without an answer once
//! in forty calls, and a network that believes such silences falls apart. So the node measures how many tries of *answered*
//! calls were lost ([`Loss`]) and tries as often as makes a false silence rarer than one in a hundred thousand: three
//! times on good links, up to [`TRIES_MAX`] on bad ones.
//!
//! **Whose silence?** A node whose own link or processor is slow hears nobody in time, and would take everybody for dead: it would
//! empty its tables and tell its neighbours what it believes. So silence counts against the peer as long as somebody else answers
//! ([`Doubt`]; the thought is Lifeguard's: Dadgar, Phillips, Currey, *Local health awareness for more accurate failure
//! detection*, 2018); and whoever has spoken meanwhile is asked something, so that it is soon known ([`Rpc::witnesses`]). And who has
//! been silent must *answer* in time before it is believed again, for a slow peer still speaks:
//!
//! ```text
//!   silent ──▶ suspect ──its frames come──▶ [`Heard::Suspect`]: ask it ──answered in time──▶ known again
//!                 ▲                                └──────── silent, or late ─────────┐
//!                 └───────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Requests that wait for the peer's disk are estimated apart ([`Class::Disk`]), so that a busy disk neither slows the
//! detection of dead peers nor causes needless repeats.

mod doubt;
mod estimate;
mod known;
mod table;

use alloc::boxed::Box;
use alloc::vec::Vec;

use doubt::Doubt;
pub use estimate::Estimate;
use estimate::Loss;
pub use known::Known;
use known::Peers;
use table::{Calls, Deadlines};

use crate::id::Id;
use crate::peer::Peer;
use crate::time::{Duration, Mono};

/// Shortest time-out of a try.
pub const RTO_MIN: Duration = Duration::from_millis(10);
/// Shortest time-out of a try that waits for a disk.
pub const RTO_DISK_MIN: Duration = Duration::from_millis(100);
/// Longest time-out of a try.
pub const RTO_MAX: Duration = Duration::from_secs(2);
/// The estimate of a node that has measured nobody yet, and the least one of a node that has measured little.
pub const RTO_FIRST: Duration = Duration::from_millis(300);
/// Tries of one call on good links.
pub const TRIES_MIN: u8 = 3;
/// Tries of one call on links as bad as can be borne.
pub const TRIES_MAX: u8 = 8;
/// The bits of a request id that number its tries.
const TRY_MASK: u64 = TRIES_MAX as u64 - 1;
/// How often one call may be prolonged by `Busy`: up to eight seconds on the slowest links, a fraction of one on short ones. Rows of
/// nodes that wait for each other come apart at the longest after this.
pub const BUSY_MAX: u8 = 4;
/// Peers of which something is remembered; beyond it one that has been silent for long is forgotten.
pub const KNOWN_MAX: usize = 160;
/// So many are asked at once whose silence it is.
const WITNESSES: usize = 3;
/// Calls under way at once; beyond it a call ends as unanswered at once.
pub const CALLS_MAX: usize = 16_384;

/// What a call waits for at the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Its memory.
    Quick,
    /// Its disk.
    Disk,
}

#[derive(Clone, Debug)]
struct Call<M, W> {
    to: Peer,
    why: W,
    class: Class,
    patience: Patience,
    tries: u8,
    tries_max: u8,
    busy: u8,
    /// The try that was last answered by `Busy`.
    busy_try: u8,
    /// When the first try was sent, and how many microseconds after it the others were.
    sent: Mono,
    sent_after: [u32; TRIES_MAX as usize],
    deadline: Mono,
    /// Its tries have run out while nobody answered: before silence is believed it is sent once more.
    held: bool,
    /// An answer of somebody else after this says that silence is the peer's.
    since: Mono,
    /// Last: an answer has no use for it.
    msg: M,
}

impl<M, W> Call<M, W> {
    /// Which try an answer belongs to. Not more than were sent: a peer cannot talk us into believing in bad links.
    fn answered_try(&self, request: u64) -> usize {
        usize::from(self.tries.min((request & TRY_MASK) as u8))
    }

    /// From the sending of that try until now.
    fn rtt(&self, now: Mono, answered_try: usize) -> Duration {
        now.since(self.sent + Duration(u64::from(self.sent_after[answered_try])))
    }
}

/// How long an answer is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// It is sent once, without repetition, and silence may be told late.
    Once,
    /// As many tries as the links need: somebody else can be asked instead.
    Tries,
    /// And on, while it is in doubt whose silence it is: this node's tables depend on it.
    Doubt,
}

/// What is asked of whom.
#[derive(Clone, Debug)]
pub struct Request<M, W> {
    /// Of whom.
    pub to: Peer,
    /// What.
    pub msg: M,
    /// What it waits for there.
    pub class: Class,
    /// How long its answer is waited for.
    pub patience: Patience,
    /// The owner's reason, given back with the end.
    pub why: W,
}

/// A call that was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answered<W> {
    /// Who was asked.
    pub asked: Peer,
    /// The owner's reason.
    pub why: W,
    /// From the sending of the answered try to its answer.
    pub rtt: Duration,
    /// It was suspect, and is no more.
    pub back: bool,
}

/// What a verified frame says about its sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// Nothing new.
    Known,
    /// It is new, or has begun a new life.
    News,
    /// It was silent when it was asked last. It speaks, which says little: whether it answers is to be seen.
    Suspect,
    /// A newer life of that identity, or the same one at another address, has been seen: refuse it.
    Superseded,
}

/// A call whose try has run out of time.
#[derive(Debug)]
pub enum Due<M, W> {
    /// Send it again under this id; the owner hears that it is slow.
    Again {
        /// The id of the new try.
        request: u64,
        /// To whom.
        to: Peer,
        /// What.
        msg: M,
        /// The owner's reason.
        why: W,
    },
    /// It is over.
    NoAnswer {
        /// Who was silent.
        peer: Peer,
        /// The owner's reason.
        why: W,
        /// What that says about it.
        end: Silence,
    },
}

/// What it says about a peer that a call to it has ended without an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Silence {
    /// It is taken for dead, or for as good as dead.
    Believed,
    /// It answered the last try by `Busy`: it lives, and waits itself for longer than is waited for it.
    Busy,
    /// Nothing: nobody answers this node ([`Patience::Tries`]).
    Doubted,
}

/// How much longer than the first try the one after try `tries` waits: twice, then four times. Not more, since what makes
/// many tries is loss, not a slow peer.
const fn longer(tries: u8) -> u64 {
    if tries == 0 { 2 } else { 4 }
}

/// The calls under way and what is known of peers. Decides; sends nothing itself.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Rpc<M, W> {
    // In this order: what nearly every frame touches comes first.
    deadlines: Deadlines,
    /// Of calls that are made once: nobody waits for their end, so no tick is asked for to see it.
    unwatched: Deadlines,
    /// A silence was doubted that began then, and nobody has been asked about it yet.
    in_doubt_since: Option<Mono>,
    calls: Calls<Call<M, W>>,
    own_quick: Estimate,
    loss: Loss,
    known: Peers,
    doubt: Doubt,
    own_disk: Estimate,
}

impl<M: Clone, W: Clone> Default for Rpc<M, W> {
    fn default() -> Self {
        Rpc::new()
    }
}

impl<M: Clone, W: Clone> Rpc<M, W> {
    /// Nobody known, nothing under way.
    #[must_use]
    pub const fn new() -> Rpc<M, W> {
        Rpc {
            known: Peers::new(),
            calls: Calls::new(),
            deadlines: Deadlines::new(),
            unwatched: Deadlines::new(),
            own_quick: Estimate::NONE,
            own_disk: Estimate::NONE,
            loss: Loss::NONE,
            doubt: Doubt::new(),
            in_doubt_since: None,
        }
    }

    /// The time-out of a first try to this peer.
    #[must_use]
    pub fn timeout(&self, to: &Peer, class: Class) -> Duration {
        self.timeout_by(self.known.place_of(to).map(|place| self.known.estimate(place, class)), class)
    }

    /// The time-out of a first try to a peer that nothing is known of.
    #[must_use]
    pub fn timeout_of_stranger(&self, class: Class) -> Duration {
        self.timeout_by(None, class)
    }

    fn timeout_by(&self, peer: Option<Estimate>, class: Class) -> Duration {
        let (own, min) = match class {
            Class::Quick => (self.own_quick, RTO_MIN),
            Class::Disk => (self.own_disk, RTO_DISK_MIN),
        };
        let own = match own.timeout() {
            None => RTO_FIRST,
            // A node's first round trips may be short by luck: it would take those for dead who answer as usual.
            Some(t) if own.is_first() => t.max(RTO_FIRST),
            Some(t) => t,
        };
        let t = match peer.and_then(|e| Some((e.timeout()?, e.is_young()))) {
            None => own,
            Some((t, true)) => t.max(own),
            Some((t, _)) => t,
        };
        t.clamp(min, RTO_MAX)
    }

    /// Registers a call; the caller sends `msg` under the returned id.
    ///
    /// # Errors
    /// The request itself when too many are under way.
    pub fn start(&mut self, now: Mono, random: u64, request: Request<M, W>) -> Result<u64, Request<M, W>> {
        let base = random & !TRY_MASK;
        if self.calls.len() >= CALLS_MAX || base == 0 || self.calls.contains_key(&base) {
            return Err(request);
        }
        let Request { to, msg, class, patience, why } = request;
        // Sent once, it is the only sample that a slow peer leaves.
        let once = patience == Patience::Once;
        let deadline = now + if once { RTO_MAX } else { self.timeout(&to, class) };
        let call = Call {
            to,
            msg,
            why,
            class,
            patience,
            tries: 0,
            tries_max: if once { 1 } else { self.loss.tries() },
            busy: 0,
            busy_try: 0,
            sent: now,
            sent_after: [0; TRIES_MAX as usize],
            deadline,
            held: false,
            since: now,
        };
        self.deadlines_of(&call).insert((deadline, base));
        self.calls.insert(base, Box::new(call));
        Ok(base)
    }

    fn deadlines_of(&mut self, call: &Call<M, W>) -> &mut Deadlines {
        if call.patience == Patience::Once { &mut self.unwatched } else { &mut self.deadlines }
    }

    /// What a call under way says.
    #[must_use]
    pub fn message(&self, request: u64) -> Option<&M> {
        self.calls.get(&(request & !TRY_MASK)).map(|call| &call.msg)
    }

    /// Why a call under way was made.
    #[must_use]
    pub fn why(&self, request: u64) -> Option<&W> {
        self.calls.get(&(request & !TRY_MASK)).map(|call| &call.why)
    }

    /// A reply arrived. Returns what it answers, if that is a call under way and comes from the peer that was asked; of a
    /// peer asked by address alone the id is not known before.
    pub fn on_reply(&mut self, now: Mono, request: u64, from: &Peer) -> Option<Answered<W>> {
        let base = request & !TRY_MASK;
        let call = self.calls.get(&base)?;
        // A seed is asked by address alone: its id is zero until it answers.
        let seed = *call.to.id() == Id::ZERO && call.to.addr() == from.addr();
        if !seed && call.to.id() != from.id() {
            return None;
        }
        let call = self.calls.remove(&base)?;
        self.deadlines_of(&call).remove(&(call.deadline, base));
        let answered = call.answered_try(request);
        let rtt = call.rtt(now, answered);
        let in_time = rtt <= RTO_MAX;
        self.doubt.on_answer(now, in_time);
        let place = self.known.place_of_sender(from);
        // After `Busy` it is the peer's wait that ends, which says nothing about the way there and back.
        // planted: the wait is a sample all the same
        if call.busy == 0 || cfg!(keyway_bug = "rpc_samples_waits") {
            self.sample(place, call.class, answered, rtt);
        }
        let back = place.is_some_and(|place| in_time && self.known.is_suspect(place));
        if let (Some(place), true) = (place, back) {
            self.known.set_suspect(place, false);
        }
        Some(Answered { asked: call.to, why: call.why, rtt, back })
    }

    /// Learns from the first frame that answers a call: so many tries were lost before, and it took so long.
    fn sample(&mut self, place: Option<usize>, class: Class, lost: usize, rtt: Duration) {
        (0..lost).for_each(|_| self.loss.sample(1));
        self.loss.sample(0);
        // What comes later than anybody is waited for says no more about the next answer.
        let rtt = rtt.min(RTO_MAX);
        match class {
            Class::Quick => self.own_quick.sample(rtt),
            Class::Disk => self.own_disk.sample(rtt),
        }
        if let Some(place) = place {
            self.known.sample(place, class, rtt);
        }
    }

    /// The asked peer waits itself: the current try starts again, a bounded number of times.
    pub fn on_busy(&mut self, now: Mono, request: u64, from: &Peer) {
        let base = request & !TRY_MASK;
        let Some(call) = self.calls.get_mut(&base) else { return };
        if call.to.id() != from.id() {
            return;
        }
        let answered = call.answered_try(request);
        let rtt = call.rtt(now, answered);
        self.doubt.on_answer(now, rtt <= RTO_MAX);
        call.busy_try = call.tries;
        if call.busy >= BUSY_MAX {
            return;
        }
        // `Busy` comes from a peer's memory, so it says nothing about its disk.
        if call.busy == 0 && call.class == Class::Quick {
            let place = self.known.place_of_sender(from);
            self.sample(place, Class::Quick, answered, rtt);
        }
        let Some(call) = self.calls.get(&base) else { return };
        let wait = self.timeout(from, call.class).times(longer(call.tries)).min(RTO_MAX);
        let Some(call) = self.calls.get_mut(&base) else { return };
        call.busy += 1;
        let once = call.patience == Patience::Once;
        let deadlines = if once { &mut self.unwatched } else { &mut self.deadlines };
        if !once {
            // It lives: this try does not count against it. Else a chain of nodes that wait for each other, with a dead one at
            // its end, would make the first believe that the second is dead.
            call.tries_max = TRIES_MAX.min(call.tries_max + 1);
        }
        deadlines.remove(&(call.deadline, base));
        call.deadline = call.deadline.max(now + wait);
        deadlines.insert((call.deadline, base));
    }

    /// The next call whose try has run out of time.
    pub fn pop_due(&mut self, now: Mono) -> Option<Due<M, W>> {
        loop {
            let (_, base) = self.deadlines.pop_due(now).or_else(|| self.unwatched.pop_due(now))?;
            let wait = {
                let call = self.calls.get(&base)?;
                self.timeout(&call.to, call.class).times(longer(call.tries)).min(RTO_MAX)
            };
            let call = self.calls.get_mut(&base)?;
            let lives = call.busy > 0 && call.busy_try == call.tries;
            if call.tries + 1 < call.tries_max && !(lives && call.busy == BUSY_MAX) {
                return Some(Self::try_again(&mut self.deadlines, call, base, now, wait));
            }
            // A seed is asked by address alone, and a call that is made once is made to look who lives.
            let counts = call.patience != Patience::Once && *call.to.id() != Id::ZERO;
            let believed = lives || !counts || self.doubt.is_believed(now, call.to.id(), call.since);
            if !believed && call.patience == Patience::Doubt {
                call.held = true;
                self.in_doubt_since =
                    Some(self.in_doubt_since.map_or(call.since, |since| since.max(call.since)));
                call.deadline = now + RTO_MAX;
                self.deadlines.insert((call.deadline, base));
                continue;
            }
            if !lives && core::mem::take(&mut call.held) && call.tries + 1 < TRIES_MAX {
                // The doubt is over: what nobody heard says nothing, so it is said again.
                call.since = now;
                call.tries_max = TRIES_MAX.min(call.tries + 1 + self.loss.tries());
                return Some(Self::try_again(&mut self.deadlines, call, base, now, wait));
            }
            let call = self.calls.remove(&base)?;
            let end = match (lives, believed) {
                (true, _) => Silence::Busy,
                (false, true) => Silence::Believed,
                (false, false) => Silence::Doubted,
            };
            if end == Silence::Believed
                && counts
                && let Some(place) = self.known.place(call.to.id())
            {
                self.known.set_suspect(place, true);
            }
            return Some(Due::NoAnswer { peer: call.to, why: call.why, end });
        }
    }

    fn try_again(
        deadlines: &mut Deadlines,
        call: &mut Call<M, W>,
        base: u64,
        now: Mono,
        wait: Duration,
    ) -> Due<M, W> {
        call.tries += 1;
        call.sent_after[usize::from(call.tries)] = u32::try_from(now.since(call.sent).0).unwrap_or(u32::MAX);
        call.deadline = now + wait;
        deadlines.insert((call.deadline, base));
        let request = base | u64::from(call.tries);
        Due::Again { request, to: call.to.clone(), msg: call.msg.clone(), why: call.why.clone() }
    }

    /// A verified frame arrived.
    pub fn on_heard(&mut self, now: Mono, from: &Peer, incarnation: u64) -> Heard {
        let Some(place) = self.known.place_of_sender(from) else {
            self.known.insert(from, incarnation, now);
            return Heard::News;
        };
        let known = self.known.at_mut(place);
        let (before, same) = (known.incarnation, known.peer.is_same(from));
        let twin = incarnation == before && !same && known.peer.addr() != from.addr();
        if incarnation < before || twin {
            return Heard::Superseded;
        }
        known.incarnation = incarnation;
        if !same {
            known.peer = from.clone();
        }
        self.known.hear(place, now);
        if incarnation > before {
            self.known.forget_past(place);
            Heard::News
        } else if self.known.is_suspect(place) {
            Heard::Suspect
        } else {
            Heard::Known
        }
    }

    /// What is known of a peer.
    #[must_use]
    pub fn known(&self, id: &Id) -> Option<&Known> {
        self.known.place(id).map(|place| self.known.at(place))
    }

    /// When a frame of a peer was last verified.
    #[must_use]
    pub fn heard(&self, id: &Id) -> Option<Mono> {
        self.known.heard(id)
    }

    /// The smoothed round trip to a peer.
    #[must_use]
    pub fn rtt(&self, id: &Id) -> Option<Duration> {
        self.known.place(id).and_then(|place| self.known.estimate(place, Class::Quick).mean())
    }

    /// Whether a call to the peer went unanswered and none has been answered in time since.
    #[must_use]
    pub fn is_suspect(&self, id: &Id) -> bool {
        self.known.place(id).is_some_and(|place| self.known.is_suspect(place))
    }

    /// Who can tell whose silence it is, when one has just been doubted: peers that have spoken since it began, and are not asked
    /// anything. If they answer in time, it is not this node's.
    pub fn witnesses(&mut self) -> Vec<Peer> {
        let Some(since) = self.in_doubt_since.take() else { return Vec::new() };
        self.known.heard_since(since, WITNESSES).cloned().collect()
    }

    /// When the next try runs out. Of calls that are made once the end is told at the first turn after it.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        self.deadlines.first()
    }

    /// Calls under way, and peers known: `(now, bound)` each.
    #[must_use]
    pub fn bounds(&self) -> [(&'static str, usize, usize); 2] {
        [("rpc calls", self.calls.len(), CALLS_MAX), ("rpc known peers", self.known.len(), KNOWN_MAX)]
    }

    /// Peers that are suspect, for tables shown to people.
    #[must_use]
    pub fn suspects(&self) -> Vec<Peer> {
        let mut suspects: Vec<Peer> = self.known.suspects().cloned().collect();
        suspects.sort_unstable_by(|a, b| a.id().cmp(b.id()));
        suspects
    }
}

#[cfg(test)]
mod tests;
