//! Driving lookups: asking step by step, and telling whoever wanted to know.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::message::{HopAnswer, Message, SET_MAX};
use super::timers::OpTimer;
use super::{Node, OP_TIME_MAX, Turn, Why};
use crate::cx::Input;
use crate::id::Id;
use crate::lookup::trail::Trail;
use crate::lookup::{AROUND, Cost, Lookup, Step};
use crate::machine::Style;
use crate::machine::Traced;
use crate::machine::{LookupAnswer, OpDone, OpError, OpId, Trace};
use crate::overlay::Overlay;
use crate::peer::Peer;
use crate::rpc::Class;
use crate::time::{Duration, Mono};

/// Lookups under way at once; beyond it a new one fails.
pub(super) const LOOKUPS_MAX: usize = 8192;

/// How often a client's lookup begins again from this node's tables before it has failed: those who were silent have left
/// them by then, and those who were only slow are asked once more.
const FIND_AGAIN_MAX: u8 = 2;

/// Who wants to know.
#[derive(Clone, Debug)]
pub(super) enum For<C> {
    Overlay(C),
    Op(OpId),
    Trace(OpId),
    Put(u64),
    Get(u64),
    Where(u64),
    HandOff(Id),
}

/// A lookup and its purpose.
#[derive(Clone, Debug)]
pub(super) struct Finding<C> {
    lookup: Lookup,
    purpose: For<C>,
    again: u8,
    trail: Option<Box<Trail>>,
    /// When it ends with what it has: a person waits for a trace.
    over: Option<Mono>,
}

impl<C> For<C> {
    /// Whether it is a client's operation by itself.
    const fn is_asked(&self) -> bool {
        matches!(self, For::Op(_) | For::Trace(_))
    }
}

impl<C> Finding<C> {
    /// Whether a client waits for it.
    pub(super) const fn is_asked(&self) -> bool {
        self.purpose.is_asked()
    }

    /// Whether the node's lookup style counts: the overlay's own lookups and those of repair must not depend on others' tables
    /// being right, and a trace tells the asker's own questions.
    const fn travels(&self) -> bool {
        !matches!(self.purpose, For::Overlay(_) | For::HandOff(_) | For::Trace(_))
    }
}

impl<O: Overlay> Node<O> {
    /// Finds the replica set of `target`. Exactly one `found` follows, perhaps at once.
    pub(super) fn find(
        &mut self,
        t: &mut Turn<'_, O>,
        target: Id,
        wanted: u8,
        confirm: bool,
        purpose: For<O::Call>,
    ) {
        self.counters.lookups += 1;
        self.lookups_asked += usize::from(purpose.is_asked());
        let mut lookup = Lookup::new(target, wanted.min(SET_MAX as u8), confirm);
        let known = lookup.begin(&self.config.me, &self.overlay);
        let serial = self.serial();
        let full = self.lookups.len() >= LOOKUPS_MAX;
        let trail = matches!(purpose, For::Trace(_)).then(Box::default);
        let over = trail.is_some().then(|| t.now.mono + OP_TIME_MAX);
        let finding = Finding { lookup, purpose, again: 0, trail, over };
        match known {
            Some(set) => self.found(t, finding, set),
            None if full => self.found(t, finding, Vec::new()),
            None => {
                let travels = finding.travels() && self.config.lookup_style != Style::Iterative;
                self.lookups.insert(serial, finding);
                if let Some(over) = over {
                    self.op_timers.arm(OpTimer::Over, serial, over);
                }
                if !travels || !self.depart(t, serial, target, wanted) {
                    self.step(t, serial);
                }
            }
        }
    }

    /// The lookup has come back from its way through the network. Without a set it goes on iteratively.
    pub(super) fn travelled(
        &mut self,
        t: &mut Turn<'_, O>,
        serial: u64,
        set: Vec<Peer>,
        hops: u8,
        timeouts: u16,
    ) {
        let Some(finding) = self.lookups.get_mut(&serial) else { return };
        finding.lookup.add_cost(u32::from(hops), u32::from(timeouts));
        if set.is_empty() { self.step(t, serial) } else { self.end(t, serial, set) }
    }

    fn step(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        loop {
            let Some(finding) = self.lookups.get_mut(&serial) else { return };
            let rpc = &self.rpc;
            let step = finding.lookup.step(&self.config.me, |id| rpc.is_suspect(id));
            let wanted = if matches!(step, Step::AskAround(_)) { AROUND } else { finding.lookup.wanted() };
            match step {
                Step::Ask(peer) | Step::AskAround(peer) => {
                    if let Some(trail) = &mut finding.trail {
                        trail.on_ask::<O>(finding.lookup.target(), &peer);
                    }
                    let msg = Message::Hop(*finding.lookup.target(), wanted);
                    if !self.call(t, &peer, msg, Class::Quick, Why::Hop(serial))
                        && let Some(finding) = self.lookups.get_mut(&serial)
                    {
                        finding.lookup.on_silent(peer.id());
                        if let Some(trail) = &mut finding.trail {
                            trail.on_silence(peer.id(), true);
                        }
                    }
                }
                Step::AskSelf => finding.lookup.on_own(&self.config.me, &self.overlay),
                Step::Wait => return,
                Step::Done(set) => return self.end(t, serial, set),
                Step::Failed => return self.end(t, serial, Vec::new()),
            }
        }
    }

    /// The time of a trace is up: it tells whom it has asked so far.
    pub(super) fn find_over(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        if let Some(finding) = self.lookups.remove(&serial) {
            self.found(t, finding, Vec::new());
        }
    }

    fn end(&mut self, t: &mut Turn<'_, O>, serial: u64, set: Vec<Peer>) {
        let Some(mut finding) = self.lookups.remove(&serial) else { return };
        // Puts, gets and the overlay have a patience of their own.
        if set.is_empty()
            && matches!(finding.purpose, For::Op(_) | For::Trace(_))
            && finding.again < FIND_AGAIN_MAX
        {
            finding.again += 1;
            finding.lookup.forget_asked();
            if let Some(set) = finding.lookup.begin(&self.config.me, &self.overlay) {
                self.lookups.insert(serial, finding);
                return self.end(t, serial, set);
            }
            self.lookups.insert(serial, finding);
            return self.step(t, serial);
        }
        if let Some(over) = finding.over {
            self.op_timers.disarm(OpTimer::Over, serial, over);
        }
        self.found(t, finding, set);
    }

    pub(super) fn on_hop(
        &mut self,
        t: &mut Turn<'_, O>,
        serial: u64,
        from: &Peer,
        rtt: Duration,
        answer: HopAnswer,
    ) {
        let me = self.config.me.clone();
        let Some(finding) = self.lookups.get_mut(&serial) else { return };
        if let Some(trail) = &mut finding.trail {
            trail.on_answer(from.id(), rtt, &answer);
        }
        match finding.lookup.on_answer::<O>(&me, from, answer) {
            Some(set) => self.end(t, serial, set),
            None => self.step(t, serial),
        }
    }

    pub(super) fn on_hop_slow(&mut self, t: &mut Turn<'_, O>, serial: u64, peer: &Peer) {
        let Some(finding) = self.lookups.get_mut(&serial) else { return };
        finding.lookup.on_slow(peer.id());
        if let Some(trail) = &mut finding.trail {
            trail.on_silence(peer.id(), false);
        }
        self.counters.hedges += 1;
        self.step(t, serial);
    }

    pub(super) fn on_hop_silent(&mut self, t: &mut Turn<'_, O>, serial: u64, peer: &Peer) {
        let Some(finding) = self.lookups.get_mut(&serial) else { return };
        finding.lookup.on_silent(peer.id());
        if let Some(trail) = &mut finding.trail {
            trail.on_silence(peer.id(), true);
        }
        self.step(t, serial);
    }

    fn found(&mut self, t: &mut Turn<'_, O>, mut finding: Finding<O::Call>, set: Vec<Peer>) {
        self.lookups_asked -= usize::from(finding.purpose.is_asked());
        let Cost { hops, path, timeouts, root_timeouts } = finding.lookup.cost();
        self.counters.lookups_failed += u64::from(set.is_empty());
        t.out.trace(|| Trace::Lookup { target: *finding.lookup.target(), root: set.first().cloned(), hops });
        match finding.purpose {
            For::Overlay(why) => t.scratch.inputs.push_back(Input::Found { why, peers: set }),
            For::Op(op) => {
                let result = if set.is_empty() {
                    Err(OpError::Timeout)
                } else {
                    Ok(OpDone::Found(LookupAnswer { peers: set, hops, path, timeouts, root_timeouts }))
                };
                self.done(t, op, result);
            }
            For::Trace(op) => {
                let steps = finding.trail.as_mut().map(|trail| trail.take()).unwrap_or_default();
                self.done(t, op, Ok(OpDone::Traced(Traced { peers: set, steps, hops, timeouts })));
            }
            For::Put(op) => self.put_to(t, op, set),
            For::Get(op) => self.get_from(t, op, set),
            For::Where(op) => self.where_from(t, op, set),
            For::HandOff(key) => self.hand_off_to(t, key, set),
        }
    }
}
