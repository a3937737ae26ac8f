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
//! - A lookup ends: it makes at most [`HOPS_MAX`] hops, a node passes on each lookup once (its id tells), to each next hop
//!   once, and whoever holds it forgets it after [`KEPT_FOR`].
//! - The asker does not depend on it: when no answer has come after [`Travel::patience`], or the answer is that there was no way
//!   on, the same lookup goes on iteratively, and what was learned about silent peers meanwhile is known to it.
//! - Only the root itself ends a lookup (`Hop::Root`), or a node for which the asker is the root: nobody speaks for others.
//!
//! Whoever keeps the answer's way back and finds the previous hop dead answers the asker straight.

use alloc::vec::Vec;

use super::message::{Message, RouteRequest, Routed};
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
    timeouts: u32,
    until: Mono,
}

impl Travel {
    fn new(request: RouteRequest, whose: Whose, until: Mono) -> Travel {
        let (tried, replaced) = (Vec::new(), Vec::new());
        Travel { request, whose, tried, replaced, taken: false, timeouts: 0, until }
    }
}

impl<O: Overlay> Node<O> {
    /// Sends this node's own lookup on its way. False if it cannot: then it goes iteratively.
    pub(super) fn depart(&mut self, t: &mut Turn<'_>, serial: u64, target: Id, wanted: u8) -> bool {
        if self.travels.len() >= TRAVELS_MAX {
            return false;
        }
        let back = self.config.lookup_style == Style::Recursive;
        let origin = self.me().clone();
        let request =
            RouteRequest { id: self.rng.next_u64(), target, wanted, back, hops: 0, timeouts: 0, origin };
        // What a stranger's answer takes.
        let timeout = self.rpc.timeout(&Id::ZERO, Class::Quick);
        let patience = timeout.0.saturating_mul(PATIENCE_TIMEOUTS);
        let until = t.now.mono + Duration(patience.clamp(PATIENCE_MIN.0, PATIENCE_MAX.0));
        let id = request.id;
        self.keep(id, Travel::new(request, Whose::Own(serial), until));
        self.pass_on(t, id);
        true
    }

    fn keep(&mut self, id: u64, travel: Travel) {
        self.travels_over.arm(id, travel.until);
        self.travels.insert(id, travel);
    }

    fn drop_travel(&mut self, id: u64) -> Option<Travel> {
        let travel = self.travels.remove(&id)?;
        self.travels_over.disarm(id, travel.until);
        Some(travel)
    }

    /// Another node passes a lookup on to us.
    pub(super) fn serve_route(
        &mut self,
        t: &mut Turn<'_>,
        from: Peer,
        ticket: &Ticket,
        request: RouteRequest,
    ) {
        if self.travels.contains_key(&request.id) {
            // Again, from one who missed our answer, or by another way.
            return self.reply(t, ticket, &Message::Taken(true));
        }
        let member = matches!(self.phase, Phase::Member | Phase::Leaving);
        let step = member.then(|| answer(&self.overlay, &self.config.me, &request.target, request.wanted));
        let way = !matches!(step, None | Some(HopAnswer::Stuck));
        if !way || self.travels.len() >= TRAVELS_MAX || request.hops >= HOPS_MAX {
            return self.reply(t, ticket, &Message::Taken(false));
        }
        self.reply(t, ticket, &Message::Taken(true));
        let id = request.id;
        self.keep(id, Travel::new(request, Whose::From(from), t.now.mono + KEPT_FOR));
        self.pass_on(t, id);
    }

    /// Takes the next step of a lookup that this node holds.
    fn pass_on(&mut self, t: &mut Turn<'_>, id: u64) {
        loop {
            let Some(travel) = self.travels.get(&id) else { return };
            let request = &travel.request;
            let me = &self.config.me;
            let candidates = match answer(&self.overlay, me, &request.target, request.wanted) {
                HopAnswer::Root(set) if set.first().is_some_and(|r| r == me || *r == request.origin) => {
                    return self.arrive(t, id, set);
                }
                HopAnswer::Root(set) | HopAnswer::Next(set) => set,
                HopAnswer::Stuck | HopAnswer::Around(_) => Vec::new(),
            };
            let came_from = match &travel.whose {
                Whose::From(peer) => Some(*peer.id()),
                Whose::Own(_) => None,
            };
            let fresh = |peer: &&Peer| {
                peer.id() != me.id() && Some(*peer.id()) != came_from && !travel.tried.contains(peer.id())
            };
            let mut fresh: Vec<&Peer> = candidates.iter().filter(fresh).collect();
            // Of whom silence is expected, they come last.
            fresh.sort_by_key(|peer| self.rpc.is_suspect(peer.id()));
            let next = fresh.first().filter(|_| travel.tried.len() < TRIED_MAX).map(|peer| (*peer).clone());
            let Some(next) = next else {
                // No way on, unless somebody has it and only his successors are slow.
                if !travel.taken {
                    self.arrive(t, id, Vec::new());
                }
                return;
            };
            let mut request = request.clone();
            request.hops += 1;
            if let Some(travel) = self.travels.get_mut(&id) {
                travel.tried.push(*next.id());
                request.timeouts = request.timeouts.saturating_add(travel.timeouts as u16);
            }
            if self.call(t, &next, Message::Route(request), Class::Quick, Why::Route { travel: id }) {
                return;
            }
        }
    }

    /// The next hop says whether it goes on with the lookup.
    pub(super) fn on_taken(&mut self, t: &mut Turn<'_>, id: u64, taken: bool) {
        if !taken {
            return self.pass_on(t, id);
        }
        // Where the answer does not come back this way, this node's part is done.
        if let Some(travel) = self.travels.get_mut(&id) {
            travel.taken = true;
        }
        let done = |travel: &Travel| !travel.request.back && matches!(travel.whose, Whose::From(_));
        if self.travels.get(&id).is_some_and(done) {
            self.drop_travel(id);
        }
    }

    /// The next hop is slow: another is tried, if there is one.
    pub(super) fn on_route_slow(&mut self, t: &mut Turn<'_>, id: u64, peer: &Peer) {
        let other = self.has_other_way(id);
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
    pub(super) fn on_route_silent(&mut self, t: &mut Turn<'_>, id: u64, peer: &Peer) {
        let Some(travel) = self.travels.get_mut(&id) else { return };
        if travel.taken || travel.replaced.contains(peer.id()) {
            return;
        }
        travel.timeouts += 1;
        self.pass_on(t, id);
    }

    fn has_other_way(&self, id: u64) -> bool {
        let Some(travel) = self.travels.get(&id) else { return false };
        let request = &travel.request;
        travel.tried.len() < TRIED_MAX
            && match answer(&self.overlay, &self.config.me, &request.target, request.wanted) {
                HopAnswer::Root(set) | HopAnswer::Next(set) => {
                    set.iter().any(|p| p.id() != self.me().id() && !travel.tried.contains(p.id()))
                }
                HopAnswer::Stuck | HopAnswer::Around(_) => false,
            }
    }

    /// The lookup's end is here: at its root, or where there is no way on (no set).
    fn arrive(&mut self, t: &mut Turn<'_>, id: u64, set: Vec<Peer>) {
        let Some(travel) = self.drop_travel(id) else { return };
        let RouteRequest { hops, timeouts, .. } = travel.request;
        let timeouts = u32::from(timeouts) + travel.timeouts;
        match travel.whose {
            Whose::Own(serial) => self.travelled(t, serial, set, u32::from(hops), timeouts),
            Whose::From(previous) => {
                let to = if travel.request.back { previous } else { travel.request.origin.clone() };
                let routed = Routed { id, hops, timeouts: timeouts as u16, set };
                self.send_back(t, &to, routed, &travel.request.origin);
            }
        }
    }

    fn send_back(&mut self, t: &mut Turn<'_>, to: &Peer, routed: Routed, origin: &Peer) {
        let straight = (to != origin).then(|| (routed.clone(), origin.clone()));
        let why = Why::Routed { straight: straight.map(alloc::boxed::Box::new) };
        self.call(t, to, Message::Routed(routed), Class::Quick, why);
    }

    /// The previous hop is dead: the asker hears it from us.
    pub(super) fn on_routed_unheard(&mut self, t: &mut Turn<'_>, routed: Routed, origin: &Peer) {
        self.send_back(t, origin, routed, origin);
    }

    /// An answer comes back.
    pub(super) fn serve_routed(&mut self, t: &mut Turn<'_>, ticket: &Ticket, routed: Routed) {
        self.reply(t, ticket, &Message::Heard);
        let Some(travel) = self.drop_travel(routed.id) else { return };
        match travel.whose {
            Whose::Own(serial) => {
                let timeouts = u32::from(routed.timeouts);
                self.travelled(t, serial, routed.set, u32::from(routed.hops), timeouts);
            }
            Whose::From(previous) => self.send_back(t, &previous, routed, &travel.request.origin),
        }
    }

    /// The time of a lookup that this node keeps is up.
    pub(super) fn travel_over(&mut self, t: &mut Turn<'_>, id: u64) {
        if let Some(Travel { whose: Whose::Own(serial), timeouts, .. }) = self.travels.remove(&id) {
            self.travelled(t, serial, Vec::new(), 0, timeouts);
        }
    }
}
