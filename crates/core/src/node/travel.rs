//! Lookups that travel from node to node: recursive and semi-recursive, over any overlay.
//!
//! ```text
//!   asker ──Route──▶ a ──Route──▶ b ──Route──▶ root     each hop says `Taken` at once, and is answerable from then on:
//!         ◀─Taken──    ◀─Taken──    ◀─Taken──           when the next one is slow or silent it tries another
//!
//!   recursive        asker ◀─Routed── a ◀─Routed── b ◀─Routed── root    each step acknowledged by `Heard`
//!   semi-recursive   asker ◀───────────────Routed─────────────── root
//! ```
//!
//! Invariants:
//! - A lookup ends: it makes at most [`HOPS_MAX`] hops, a node that holds or held it does not take it again (its id tells) and
//!   passes it to each next hop once, at most [`TRIED_MAX`] of them, and forgets it after [`KEPT_FOR`].
//! - The asker does not depend on it: when no answer has come after eight time-outs of one hop, or the answer is that there was no way
//!   on, the same lookup goes on iteratively, and what was learned about silent peers meanwhile is known to it.
//! - Only the root itself ends a lookup (`Hop::Root`), or a node for which the asker is the root: nobody speaks for others.
//!
//! Whoever keeps the answer's way back and finds the previous hop dead answers the asker straight.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::message::{Message, RouteRequest, Routed};
use super::timers::OpTimer;
use super::{Node, Turn, Why};
use crate::cx::Ticket;
use crate::id::Id;
use crate::lookup::{HopAnswer, answer};
use crate::machine::Phase;
use crate::machine::Style;
use crate::overlay::Overlay;
use crate::peer::Peer;
use crate::rpc::Class;
use crate::time::{Duration, Mono};

/// Lookups of others and of its own that a node keeps at once; beyond it it takes none.
pub(super) const TRAVELS_MAX: usize = 4096;
/// Hops after which a lookup has lost its way.
const HOPS_MAX: u8 = 32;
/// Peers of a replica set that an answer names: it fits a datagram.
const WANTED_MAX: u8 = 16;
/// Lookups remembered after they were handed on.
const TRAVELLED_MAX: usize = 256;
/// Nodes that one holder tries.
const TRIED_MAX: usize = 8;
/// How long a node on the way keeps a lookup.
const KEPT_FOR: Duration = Duration::from_secs(10);
/// The asker's patience in time-outs of one hop, and its bounds.
const PATIENCE_TIMEOUTS: u64 = 8;
const PATIENCE_MIN: Duration = Duration::from_millis(200);
const PATIENCE_MAX: Duration = Duration::from_secs(4);

/// Whose lookup it is.
#[derive(Clone, Debug)]
enum Whose {
    /// This node's: the serial of the lookup.
    Own(u64),
    /// Another's: who passed it on to us.
    From(Peer),
}

/// A lookup on its way.
#[derive(Clone, Debug)]
pub(super) struct Travel {
    request: RouteRequest,
    whose: Whose,
    tried: Vec<Id>,
    /// Of these, who was slow and has been replaced by another.
    replaced: Vec<Id>,
    /// Somebody has it.
    taken: bool,
    timeouts: u16,
    until: Mono,
}

/// Where a lookup goes next.
enum Way {
    /// It has arrived: the replica set, root first.
    Here(Vec<Peer>),
    /// To this peer.
    On(Peer),
    /// Nowhere.
    None,
}

impl Travel {
    fn new(request: RouteRequest, whose: Whose, until: Mono) -> Travel {
        let (tried, replaced) = (Vec::new(), Vec::new());
        Travel { request, whose, tried, replaced, taken: false, timeouts: 0, until }
    }
}

impl<O: Overlay> Node<O> {
    /// Sends this node's own lookup on its way. False if it cannot: then it goes iteratively.
    pub(super) fn depart(&mut self, t: &mut Turn<'_, O>, serial: u64, target: Id, wanted: u8) -> bool {
        if self.travels.len() >= TRAVELS_MAX {
            return false;
        }
        let back = self.config.lookup_style == Style::Recursive;
        let origin = self.me().clone();
        let request =
            RouteRequest { id: self.rng.next_u64(), target, wanted, back, hops: 0, timeouts: 0, origin };
        // What a stranger's answer takes.
        let timeout = self.rpc.timeout_of_stranger(Class::Quick);
        let patience = timeout.0.saturating_mul(PATIENCE_TIMEOUTS);
        let until = t.now.mono + Duration(patience.clamp(PATIENCE_MIN.0, PATIENCE_MAX.0));
        let id = request.id;
        self.keep(id, Travel::new(request, Whose::Own(serial), until));
        self.pass_on(t, id);
        true
    }

    fn keep(&mut self, id: u64, travel: Travel) {
        self.op_timers.arm(OpTimer::Travel, id, travel.until);
        self.travels.insert(id, travel);
    }

    fn drop_travel(&mut self, id: u64) -> Option<Travel> {
        let travel = self.travels.remove(&id)?;
        self.op_timers.disarm(OpTimer::Travel, id, travel.until);
        if let Whose::From(previous) = &travel.whose {
            if self.travelled.len() >= TRAVELLED_MAX {
                self.travelled.pop_front();
            }
            self.travelled.push_back((id, *previous.id()));
        }
        Some(travel)
    }

    /// Another node passes a lookup on to us.
    pub(super) fn serve_route(
        &mut self,
        t: &mut Turn<'_, O>,
        from: Peer,
        ticket: &Ticket,
        mut request: RouteRequest,
    ) {
        request.wanted = request.wanted.min(WANTED_MAX);
        // Again, from one who missed our answer: it is in our hands, or was. By another way: that way goes in circles, or beside
        // this one, and is no way.
        let before = match self.travels.get(&request.id) {
            Some(travel) => Some(matches!(&travel.whose, Whose::From(peer) if *peer == from)),
            None => self.travelled.iter().find(|(id, _)| *id == request.id).map(|(_, by)| by == from.id()),
        };
        if let Some(same_way) = before {
            return self.reply(t, ticket, &Message::Taken(same_way));
        }
        let member = matches!(self.phase, Phase::Member | Phase::Leaving);
        let step = member.then(|| answer(&self.overlay, &self.config.me, &request.target, request.wanted));
        let way = !matches!(step, None | Some(HopAnswer::Stuck));
        let ours = request.origin.id() == self.me().id();
        if !way || ours || self.travels.len() >= TRAVELS_MAX || request.hops >= HOPS_MAX {
            return self.reply(t, ticket, &Message::Taken(false));
        }
        self.reply(t, ticket, &Message::Taken(true));
        let id = request.id;
        self.keep(id, Travel::new(request, Whose::From(from), t.now.mono + KEPT_FOR));
        self.pass_on(t, id);
    }

    /// Where a lookup that this node holds goes next.
    fn way(&self, travel: &Travel) -> Way {
        let (me, request) = (&self.config.me, &travel.request);
        let mut candidates = match answer(&self.overlay, me, &request.target, request.wanted) {
            HopAnswer::Root(set) if set.first().is_some_and(|r| r == me || *r == request.origin) => {
                return Way::Here(set);
            }
            HopAnswer::Root(set) | HopAnswer::Next(set) => set,
            HopAnswer::Stuck | HopAnswer::Around(_) => return Way::None,
        };
        let came_from = match &travel.whose {
            Whose::From(peer) => Some(peer.id()),
            Whose::Own(_) => None,
        };
        candidates
            .retain(|p| p.id() != me.id() && Some(p.id()) != came_from && !travel.tried.contains(p.id()));
        // Of whom silence is expected, they come last.
        candidates.sort_by_key(|peer| self.rpc.is_suspect(peer.id()));
        match candidates.into_iter().next() {
            Some(next) if travel.tried.len() < TRIED_MAX => Way::On(next),
            _ => Way::None,
        }
    }

    /// Takes the next step of a lookup that this node holds.
    fn pass_on(&mut self, t: &mut Turn<'_, O>, id: u64) {
        loop {
            let Some(travel) = self.travels.get(&id) else { return };
            let next = match self.way(travel) {
                Way::Here(set) => return self.arrive(t, id, set),
                Way::On(next) => next,
                // Unless somebody has it, and only those tried beside him say no.
                Way::None if travel.taken => return,
                Way::None => return self.arrive(t, id, Vec::new()),
            };
            let mut request = travel.request.clone();
            request.hops += 1;
            request.timeouts = request.timeouts.saturating_add(travel.timeouts);
            if let Some(travel) = self.travels.get_mut(&id) {
                travel.tried.push(*next.id());
            }
            if self.call(t, &next, Message::Route(Box::new(request)), Class::Quick, Why::Route { travel: id })
            {
                return;
            }
        }
    }

    /// The next hop says whether it goes on with the lookup.
    pub(super) fn on_taken(&mut self, t: &mut Turn<'_, O>, id: u64, taken: bool) {
        let Some(travel) = self.travels.get_mut(&id) else { return };
        if !taken {
            if !travel.taken {
                self.pass_on(t, id);
            }
            return;
        }
        // Where the answer does not come back this way, this node's part is done.
        travel.taken = true;
        let done = |travel: &Travel| !travel.request.back && matches!(travel.whose, Whose::From(_));
        if self.travels.get(&id).is_some_and(done) {
            self.drop_travel(id);
        }
    }

    /// The next hop is slow: another is tried, if there is one.
    pub(super) fn on_route_slow(&mut self, t: &mut Turn<'_, O>, id: u64, peer: &Peer) {
        let other = self.travels.get(&id).is_some_and(|travel| !matches!(self.way(travel), Way::None));
        let Some(travel) = self.travels.get_mut(&id) else { return };
        if !other || travel.taken || travel.replaced.contains(peer.id()) {
            return;
        }
        travel.replaced.push(*peer.id());
        travel.timeouts += 1;
        self.counters.hedges += 1;
        self.pass_on(t, id);
    }

    /// The next hop stayed silent.
    pub(super) fn on_route_silent(&mut self, t: &mut Turn<'_, O>, id: u64, peer: &Peer) {
        let Some(travel) = self.travels.get_mut(&id) else { return };
        if travel.taken || travel.replaced.contains(peer.id()) {
            return;
        }
        travel.timeouts += 1;
        self.pass_on(t, id);
    }

    /// The lookup's end is here: at its root, or where there is no way on (no set).
    fn arrive(&mut self, t: &mut Turn<'_, O>, id: u64, set: Vec<Peer>) {
        let Some(travel) = self.drop_travel(id) else { return };
        let RouteRequest { hops, timeouts, .. } = travel.request;
        let timeouts = timeouts.saturating_add(travel.timeouts);
        match travel.whose {
            Whose::Own(serial) => self.travelled(t, serial, set, hops, timeouts),
            Whose::From(previous) => {
                let to = if travel.request.back { previous } else { travel.request.origin.clone() };
                let routed = Routed { id, hops, timeouts, set };
                self.send_back(t, &to, routed, &travel.request.origin);
            }
        }
    }

    fn send_back(&mut self, t: &mut Turn<'_, O>, to: &Peer, routed: Routed, origin: &Peer) {
        let straight = (to != origin).then(|| (routed.clone(), origin.clone()));
        let why = Why::Routed { straight: straight.map(alloc::boxed::Box::new) };
        self.call(t, to, Message::Routed(Box::new(routed)), Class::Quick, why);
    }

    /// The previous hop is dead: the asker hears it from us.
    pub(super) fn on_routed_unheard(&mut self, t: &mut Turn<'_, O>, routed: Routed, origin: &Peer) {
        self.send_back(t, origin, routed, origin);
    }

    /// An answer comes back.
    pub(super) fn serve_routed(&mut self, t: &mut Turn<'_, O>, from: &Peer, ticket: &Ticket, routed: Routed) {
        self.reply(t, ticket, &Message::Heard);
        let Some(travel) = self.travels.get(&routed.id) else { return };
        // One of several that were tried had no way on: perhaps another has. And back comes what went that way.
        let others = routed.set.is_empty() && travel.tried.len() > 1;
        if others || (travel.request.back && !travel.tried.contains(from.id())) {
            return;
        }
        let Some(travel) = self.drop_travel(routed.id) else { return };
        match travel.whose {
            Whose::Own(serial) => self.travelled(t, serial, routed.set, routed.hops, routed.timeouts),
            Whose::From(previous) => self.send_back(t, &previous, routed, &travel.request.origin),
        }
    }

    /// The time of a lookup that this node keeps is up.
    pub(super) fn travel_over(&mut self, t: &mut Turn<'_, O>, id: u64) {
        if let Some(Travel { whose: Whose::Own(serial), timeouts, .. }) = self.travels.remove(&id) {
            self.travelled(t, serial, Vec::new(), 0, timeouts);
        }
    }
}
