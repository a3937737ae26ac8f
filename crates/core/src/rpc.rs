//! Requests and their answers: request ids, round-trip estimates per peer, adaptive time-outs, bounded tries.
//!
//! Solved once, below the overlays (DESIGN principle 5). The time-out of a try is the smoothed round trip plus four
//! mean deviations (RFC 6298; Bamboo, USENIX'04 section 4.2), at least [`RTO_MIN`]; a peer without a sample takes the
//! node's own estimate over all peers, one with few samples the longer of both. Further tries wait twice, then four times as
//! long, up to [`RTO_MAX`]. Never a fixed multi-second wait.
//!
//! ```text
//!   start ──▶ try 0 ──RTO──▶ try 1 ──2 RTO──▶ try 2 ──4 RTO──▶ (more tries on lossy links) ──▶ NoAnswer
//!               │              └ Slow: the owner may ask somebody else as well (hedge)
//!               └◀ Reply: sample = now - sent(try)        Busy: the clock of the current try starts again,
//!                                                         [`BUSY_MAX`] times, then the call ends as busy, not as silent
//! ```
//!
//! The three low bits of a request id are the number of the try, so that a late answer to an earlier try is still an exact
//! sample (Karn's ambiguity does not arise); the other 61 are unpredictable.
//!
//! **Silence must mean something.** With one frame in six lost, three tries to a peer that lives stay without an answer once
//! in forty calls, and a network that believes such silences falls apart. So the node measures how many tries of *answered*
//! calls were lost ([`Loss`]) and tries as often as makes a false silence rarer than one in a hundred thousand: three
//! times on good links, up to [`TRIES_MAX`] on bad ones.
//!
//! **Whose silence?** A node whose own link or processor is slow hears nobody in time, and would take everybody for dead: it would
//! empty its tables and tell its neighbours what it believes. So silence counts against the peer as long as somebody else answers
//! ([`Doubt`]; the thought is Lifeguard's: Dadgar, Phillips, Currey, *Local health awareness for more accurate failure
//! detection*, 2018). And who has been silent must *answer* in time before it is believed again, for a slow peer still speaks:
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
mod table;

use alloc::boxed::Box;
use alloc::vec::Vec;

use doubt::Doubt;
use table::{Calls, Deadlines, Peers};

use crate::id::Id;
use crate::peer::Peer;
use crate::time::{Duration, Mono};

/// Shortest time-out of a try.
pub const RTO_MIN: Duration = Duration::from_millis(10);
/// Shortest time-out of a try that waits for a disk.
pub const RTO_DISK_MIN: Duration = Duration::from_millis(100);
/// Longest time-out of a try.
pub const RTO_MAX: Duration = Duration::from_secs(2);
/// The estimate of a node that has measured nobody yet.
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
/// Peers of which something is remembered; beyond it the one heard longest ago is forgotten.
pub const KNOWN_MAX: usize = 160;
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

/// A round-trip estimate (RFC 6298 with gains 1/8 and 1/4), microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Estimate {
    mean: u32,
    deviation: u32,
    /// Samples so far, up to [`SAMPLES_YOUNG`].
    samples: u8,
}

/// An estimate of fewer samples is not yet trusted to be shorter than the node's own: one lucky round trip says little
/// about the next, and three tries would be over before an ordinary answer comes.
const SAMPLES_YOUNG: u8 = 4;

impl Estimate {
    /// Learns one round trip.
    pub fn sample(&mut self, rtt: Duration) {
        let rtt = u32::try_from(rtt.0).unwrap_or(u32::MAX / 8);
        if self.samples > 0 {
            self.samples = SAMPLES_YOUNG.min(self.samples + 1);
            let off = rtt.abs_diff(self.mean);
            self.deviation = self.deviation - self.deviation / 4 + off / 4;
            self.mean = self.mean - self.mean / 8 + rtt / 8;
        } else {
            *self = Estimate { mean: rtt, deviation: rtt / 2, samples: 1 };
        }
    }

    /// The smoothed round trip, if there was a sample.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        (self.samples > 0).then_some(Duration(u64::from(self.mean)))
    }

    /// Mean plus four deviations, if there was a sample.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        (self.samples > 0).then(|| Duration(u64::from(self.mean) + 4 * u64::from(self.deviation)))
    }
}

/// The share of tries that got lost, there or back, among calls that were answered in the end: a running mean. Silent calls
/// do not count, for the dead lose everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Loss {
    /// In units of 2^-16.
    mean: u32,
    /// Tries seen so far, up to [`Loss::MEMORY`].
    seen: u32,
}

impl Loss {
    /// Tries over which the mean runs.
    const MEMORY: u32 = 64;
    /// A silence of a living peer is to be rarer than this, in units of 2^-16 squared: about one in a hundred thousand.
    const FALSE_SILENCE_MAX: u64 = (1 << 32) / 100_000;

    /// A try was lost (1) or answered (0).
    fn sample(&mut self, lost: u32) {
        // The first tries count as if two dozen had been answered before them.
        self.seen = (self.seen + 1).min(Loss::MEMORY);
        let weight = (self.seen + 24).min(Loss::MEMORY);
        self.mean = self.mean - self.mean / weight + (lost << 16) / weight;
    }

    /// Tries after which silence is believed.
    fn tries(self) -> u8 {
        let mean = u64::from(self.mean.min(1 << 16));
        // All of so many tries are lost: 2^-32 units.
        let (mut all, mut tries) = (mean << 16, 1);
        while tries < TRIES_MIN || (tries < TRIES_MAX && all > Loss::FALSE_SILENCE_MAX) {
            all = (all * mean) >> 16;
            tries += 1;
        }
        tries
    }
}

/// What is remembered of a peer.
#[derive(Clone, Debug)]
pub struct Known {
    quick: Estimate,
    /// Of requests that wait for its disk: most peers are never sent any.
    disk: Option<Box<Estimate>>,
    /// Greatest incarnation seen.
    pub incarnation: u64,
    /// The address that goes with it.
    pub peer: Peer,
    /// A call ended without an answer, and none has been answered in time since.
    pub suspect: bool,
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
pub struct Rpc<M, W> {
    known: Peers,
    calls: Calls<Call<M, W>>,
    deadlines: Deadlines,
    /// Of calls that are made once: nobody waits for their end, so no tick is asked for to see it.
    unwatched: Deadlines,
    own_quick: Estimate,
    own_disk: Estimate,
    loss: Loss,
    doubt: Doubt,
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
        const NONE: Estimate = Estimate { mean: 0, deviation: 0, samples: 0 };
        Rpc {
            known: Peers::new(),
            calls: Calls::new(),
            deadlines: Deadlines::new(),
            unwatched: Deadlines::new(),
            own_quick: NONE,
            own_disk: NONE,
            loss: Loss { mean: 0, seen: 0 },
            doubt: Doubt::new(),
        }
    }

    /// The time-out of a first try to this peer.
    #[must_use]
    pub fn timeout(&self, to: &Id, class: Class) -> Duration {
        let known = self.known.get(to);
        let (peer, own, min) = match class {
            Class::Quick => (known.map(|k| k.quick), self.own_quick, RTO_MIN),
            Class::Disk => (known.and_then(|k| k.disk.as_deref().copied()), self.own_disk, RTO_DISK_MIN),
        };
        let own = own.timeout().unwrap_or(RTO_FIRST);
        let t = match peer.and_then(|e| Some((e.timeout()?, e.samples))) {
            None => own,
            Some((t, samples)) if samples < SAMPLES_YOUNG => t.max(own),
            Some((t, _)) => t,
        };
        t.clamp(min, RTO_MAX)
    }

    /// Registers a call; the caller sends `msg` under the returned id. `None` when too many are under way.
    pub fn start(&mut self, now: Mono, random: u64, request: Request<M, W>) -> Option<u64> {
        let Request { to, msg, class, patience, why } = request;
        let base = random & !TRY_MASK;
        if self.calls.len() >= CALLS_MAX || base == 0 || self.calls.contains_key(&base) {
            return None;
        }
        // Sent once, it is the only sample that a slow peer leaves.
        let once = patience == Patience::Once;
        let deadline = now + if once { RTO_MAX } else { self.timeout(to.id(), class) };
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
        Some(base)
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
        (0..answered).for_each(|_| self.loss.sample(1));
        self.loss.sample(0);
        let rtt = call.rtt(now, answered);
        let own = match call.class {
            Class::Quick => &mut self.own_quick,
            Class::Disk => &mut self.own_disk,
        };
        let in_time = rtt <= RTO_MAX;
        self.doubt.on_answer(now, in_time);
        // What comes later than anybody is waited for says no more about the next answer.
        let sample = rtt.min(RTO_MAX);
        own.sample(sample);
        let mut back = false;
        if let Some(known) = self.known.get_mut(from.id()) {
            back = in_time && core::mem::take(&mut known.suspect);
            match call.class {
                Class::Quick => known.quick.sample(sample),
                Class::Disk => known.disk.get_or_insert_default().sample(sample),
            }
        }
        Some(Answered { asked: call.to, why: call.why, rtt, back })
    }

    /// The asked peer waits itself: the current try starts again, a bounded number of times.
    pub fn on_busy(&mut self, now: Mono, request: u64, from: &Peer) {
        let base = request & !TRY_MASK;
        let Some(call) = self.calls.get_mut(&base) else { return };
        if call.to.id() != from.id() {
            return;
        }
        self.doubt.on_answer(now, call.rtt(now, call.answered_try(request)) <= RTO_MAX);
        call.busy_try = call.tries;
        if call.busy >= BUSY_MAX {
            return;
        }
        let Some(call) = self.calls.get(&base) else { return };
        let wait = self.timeout(from.id(), call.class).times(longer(call.tries)).min(RTO_MAX);
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
                self.timeout(call.to.id(), call.class).times(longer(call.tries)).min(RTO_MAX)
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
                && let Some(known) = self.known.get_mut(call.to.id())
            {
                known.suspect = true;
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
        if let Some(known) = self.known.get_mut(from.id()) {
            let twin = incarnation == known.incarnation && known.peer.addr() != from.addr();
            if incarnation < known.incarnation || twin {
                return Heard::Superseded;
            }
            let heard = if incarnation > known.incarnation {
                (known.quick, known.disk, known.suspect) = (Estimate::default(), None, false);
                Heard::News
            } else if known.suspect {
                Heard::Suspect
            } else {
                Heard::Known
            };
            if known.peer != *from {
                known.peer = from.clone();
            }
            known.incarnation = incarnation;
            self.known.hear(now);
            return heard;
        }
        let known =
            Known { quick: Estimate::default(), disk: None, incarnation, peer: from.clone(), suspect: false };
        self.known.insert(known, now);
        Heard::News
    }

    /// What is known of a peer.
    #[must_use]
    pub fn known(&self, id: &Id) -> Option<&Known> {
        self.known.get(id)
    }

    /// When a frame of a peer was last verified.
    #[must_use]
    pub fn heard(&self, id: &Id) -> Option<Mono> {
        self.known.heard(id)
    }

    /// The smoothed round trip to a peer.
    #[must_use]
    pub fn rtt(&self, id: &Id) -> Option<Duration> {
        self.known.get(id).and_then(|k| k.quick.mean())
    }

    /// Whether a call to the peer went unanswered and none has been answered in time since.
    #[must_use]
    pub fn is_suspect(&self, id: &Id) -> bool {
        self.known.get(id).is_some_and(|k| k.suspect)
    }

    /// When the next try runs out. Of calls that are made once the end is told at the first turn after it.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Calls under way, and peers known: `(now, bound)` each.
    #[must_use]
    pub fn bounds(&self) -> [(&'static str, usize, usize); 2] {
        [("rpc calls", self.calls.len(), CALLS_MAX), ("rpc known peers", self.known.len(), KNOWN_MAX)]
    }

    /// Peers that are suspect, for tables shown to people.
    #[must_use]
    pub fn suspects(&self) -> Vec<Peer> {
        self.known.iter().filter(|k| k.suspect).map(|k| k.peer.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Addr;

    fn peer(n: u64) -> Peer {
        Peer::new(Id::from_u64(n), Addr::loopback(n as u16))
    }

    fn ask<M>(msg: M, why: u8) -> Request<M, u8> {
        Request { to: peer(1), msg, class: Class::Quick, patience: Patience::Doubt, why }
    }

    #[test]
    fn timeouts_follow_the_measured_round_trip() {
        let mut rpc: Rpc<(), u8> = Rpc::new();
        assert_eq!(rpc.timeout(peer(1).id(), Class::Quick), RTO_FIRST);
        rpc.on_heard(Mono(0), &peer(1), 1);
        for i in 1..40u64 {
            let at = Mono(i * 1_000_000);
            let id = rpc.start(at, i << 3, ask((), 0)).unwrap();
            assert!(rpc.on_reply(at + Duration::from_millis(40), id, &peer(1)).is_some());
        }
        let t = rpc.timeout(peer(1).id(), Class::Quick);
        assert!(t >= Duration::from_millis(40) && t < Duration::from_millis(60), "{t:?}");
        // A stranger takes the node's own estimate, the disk class its own first guess.
        assert_eq!(rpc.timeout(peer(2).id(), Class::Quick), t);
        assert_eq!(rpc.timeout(peer(1).id(), Class::Disk), RTO_FIRST);
    }

    #[test]
    fn a_silent_peer_is_tried_three_times_then_given_up() {
        let mut rpc: Rpc<&str, u8> = Rpc::new();
        rpc.on_heard(Mono(0), &peer(1), 1);
        let id = rpc.start(Mono(0), 8, ask("m", 9)).unwrap();
        let mut tries = alloc::vec![id];
        loop {
            let at = rpc.deadline().unwrap();
            match rpc.pop_due(at).unwrap() {
                Due::Again { request, .. } => tries.push(request),
                Due::NoAnswer { peer: p, why, end } => {
                    assert_eq!((p, why, end), (peer(1), 9, Silence::Believed));
                    break;
                }
            }
        }
        assert_eq!(tries, [8, 9, 10]);
        assert!(rpc.is_suspect(peer(1).id()));
        assert_eq!(rpc.on_heard(Mono(9), &peer(1), 1), Heard::Suspect, "it speaks");
        assert!(rpc.is_suspect(peer(1).id()));
        let id = rpc.start(Mono(10), 80, ask("m", 9)).unwrap();
        assert!(rpc.on_reply(Mono(20), id, &peer(1)).unwrap().back, "it answers");
        assert!(!rpc.is_suspect(peer(1).id()));
    }

    /// An answer that comes later than the longest time-out does not make a peer trustworthy again; a new life does.
    #[test]
    fn a_late_answer_leaves_a_peer_suspect() {
        let mut rpc: Rpc<&str, u8> = Rpc::new();
        rpc.on_heard(Mono(0), &peer(1), 1);
        rpc.known.get_mut(peer(1).id()).unwrap().suspect = true;
        let id = rpc.start(Mono(0), 8, ask("m", 9)).unwrap();
        let late = Mono(0) + RTO_MAX + Duration(1);
        assert!(!rpc.on_reply(late, id, &peer(1)).unwrap().back);
        assert_eq!(rpc.on_heard(late, &peer(1), 1), Heard::Suspect);
        assert_eq!(rpc.on_heard(late, &peer(1), 2), Heard::News);
        assert!(!rpc.is_suspect(peer(1).id()));
    }

    /// Whoever hears nobody in time waits for the answers, and has lost nobody when they come late.
    #[test]
    fn a_node_that_hears_nobody_in_time_gives_up_few_and_waits_for_the_others() {
        let mut rpc: Rpc<(), u8> = Rpc::new();
        let limp = Duration::from_secs(18);
        let mut sent = Vec::new();
        for n in 1..=10u64 {
            let to = peer(n);
            rpc.on_heard(Mono(0), &to, 1);
            let request =
                Request { to, msg: (), class: Class::Quick, patience: Patience::Doubt, why: n as u8 };
            sent.push((n, rpc.start(Mono(0), n << 3, request).unwrap()));
        }
        let mut silent = 0;
        while rpc.deadline().is_some_and(|at| at <= Mono(0) + limp) {
            let at = rpc.deadline().unwrap();
            silent += usize::from(matches!(rpc.pop_due(at), Some(Due::NoAnswer { .. })));
        }
        assert_eq!(silent, doubt::BELIEVED);
        let late = Mono(0) + limp;
        let answered = sent.iter().filter(|(n, id)| rpc.on_reply(late, *id, &peer(*n)).is_some()).count();
        assert_eq!(answered, 10 - silent);
    }

    /// A cut of a second costs no more peers than were believed silent during it: those that were held are asked once more.
    #[test]
    fn what_was_held_is_asked_again_before_it_is_believed() {
        let mut rpc: Rpc<(), u8> = Rpc::new();
        for n in 1..=10u64 {
            rpc.on_heard(Mono(0), &peer(n), 1);
            let request = Request {
                to: peer(n),
                msg: (),
                class: Class::Quick,
                patience: Patience::Doubt,
                why: n as u8,
            };
            rpc.start(Mono(0), n << 3, request).unwrap();
        }
        // Nothing passes for five seconds; then peer 20 answers, and whoever is asked from then on.
        let healed = Mono(0) + Duration::from_secs(5);
        rpc.on_heard(Mono(0), &peer(20), 1);
        let (mut silent, mut answered) = (0, 0);
        let mut probe = None;
        while let Some(at) = rpc.deadline() {
            if at >= healed && probe.is_none() {
                let request =
                    Request { to: peer(20), msg: (), class: Class::Quick, patience: Patience::Tries, why: 0 };
                probe = rpc.start(healed, 800, request);
                assert!(rpc.on_reply(healed + Duration(1), probe.unwrap(), &peer(20)).is_some());
            }
            match rpc.pop_due(at) {
                Some(Due::Again { request, to, .. }) if at >= healed => {
                    answered += usize::from(rpc.on_reply(at + Duration(1), request, &to).is_some());
                }
                Some(Due::NoAnswer { .. }) => silent += 1,
                _ => {}
            }
        }
        assert_eq!((silent, answered), (doubt::BELIEVED, 10 - doubt::BELIEVED));
    }

    /// A peer that is merely slower than it was is found to answer, however short its time-outs were.
    #[test]
    fn a_suspect_is_waited_for_as_long_as_counts_as_in_time() {
        let mut rpc: Rpc<(), u8> = Rpc::new();
        rpc.on_heard(Mono(0), &peer(1), 1);
        rpc.known.get_mut(peer(1).id()).unwrap().suspect = true;
        (0..50).for_each(|_| rpc.own_quick.sample(Duration(100)));
        let request = Request { to: peer(1), msg: (), class: Class::Quick, patience: Patience::Once, why: 0 };
        let id = rpc.start(Mono(0), 8, request).unwrap();
        let later = Mono(0) + Duration::from_millis(1_500);
        assert!(rpc.pop_due(later).is_none());
        assert!(rpc.on_reply(later, id, &peer(1)).unwrap().back);
    }

    /// Whoever says that it is busy until nobody waits for it any more has not been silent.
    #[test]
    fn a_peer_that_is_busy_for_too_long_is_not_taken_for_dead() {
        for answers_last in [true, false] {
            let mut rpc: Rpc<(), u8> = Rpc::new();
            rpc.on_heard(Mono(0), &peer(1), 1);
            let mut id = rpc.start(Mono(0), 8, ask((), 0)).unwrap();
            let mut tries = 0;
            let lives = loop {
                let at = rpc.deadline().unwrap();
                if answers_last || tries == 0 {
                    rpc.on_busy(at, id, &peer(1));
                }
                let at = rpc.deadline().unwrap();
                match rpc.pop_due(at).unwrap() {
                    Due::Again { request, .. } => (id, tries) = (request, tries + 1),
                    Due::NoAnswer { end, .. } => break end == Silence::Busy,
                }
            };
            assert!(tries < TRIES_MAX, "waiting for it has an end");
            assert_eq!((lives, rpc.is_suspect(peer(1).id())), (answers_last, !answers_last));
        }
    }

    #[test]
    fn a_reply_from_somebody_else_is_ignored() {
        let mut rpc: Rpc<(), u8> = Rpc::new();
        let id = rpc.start(Mono(0), 8, ask((), 0)).unwrap();
        assert!(rpc.on_reply(Mono(1), id, &peer(2)).is_none());
        assert!(rpc.on_reply(Mono(1), 16, &peer(1)).is_none());
        assert!(rpc.on_reply(Mono(1), id | 1, &peer(1)).is_some());
        assert!(rpc.on_reply(Mono(1), id, &peer(1)).is_none(), "only once");
    }

    /// Half of all tries get lost: silence of a living peer must stay rare, so the tries go up, and come down again.
    #[test]
    fn bad_links_are_tried_more_often_before_silence_is_believed() {
        let mut rpc: Rpc<(), u8> = Rpc::new();
        rpc.on_heard(Mono(0), &peer(1), 1);
        assert_eq!(rpc.loss.tries(), TRIES_MIN);
        let call = |rpc: &mut Rpc<(), u8>, i: u64, lost: u8| {
            let mut at = Mono(i * 1_000_000_000);
            let mut id = rpc.start(at, i << 3, ask((), 0)).unwrap();
            for _ in 0..lost {
                at = rpc.deadline().unwrap();
                let Some(Due::Again { request, .. }) = rpc.pop_due(at) else { panic!("given up too early") };
                id = request;
            }
            assert!(rpc.on_reply(at + Duration::from_millis(1), id, &peer(1)).is_some());
        };
        call(&mut rpc, 1, 1);
        assert!(rpc.loss.tries() <= TRIES_MIN + 1, "one loss says little: {:?}", rpc.loss);
        (2..100).for_each(|i| call(&mut rpc, i, (i % 3) as u8));
        assert_eq!(rpc.loss.tries(), TRIES_MAX);
        (100..600).for_each(|i| call(&mut rpc, i, 0));
        assert_eq!(rpc.loss.tries(), TRIES_MIN);
    }

    #[test]
    fn former_lives_and_twins_are_refused() {
        let mut rpc: Rpc<(), u8> = Rpc::new();
        assert_eq!(rpc.on_heard(Mono(0), &peer(1), 5), Heard::News);
        assert_eq!(rpc.on_heard(Mono(1), &peer(1), 5), Heard::Known);
        assert_eq!(rpc.on_heard(Mono(1), &peer(1), 4), Heard::Superseded);
        let twin = Peer::new(*peer(1).id(), Addr::loopback(77));
        assert_eq!(rpc.on_heard(Mono(1), &twin, 5), Heard::Superseded);
        assert_eq!(rpc.on_heard(Mono(1), &twin, 6), Heard::News);
    }

    #[test]
    fn known_peers_are_bounded() {
        let mut rpc: Rpc<(), u8> = Rpc::new();
        for n in 0..2 * KNOWN_MAX as u64 {
            rpc.on_heard(Mono(n), &peer(n), 1);
        }
        assert_eq!(rpc.bounds()[1].1, KNOWN_MAX);
        assert!(rpc.known(peer(0).id()).is_none());
    }
}
