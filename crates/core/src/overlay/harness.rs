//! A small deterministic world for testing one overlay without a node: typed messages (through their codec), delays, loss,
//! crashes, cuts, timers, calls that are retried and then fail, and the lookup that follows `next_hop`.
//!
//! The whole node in the whole world is the simulator's matter. This is for the stories of one protocol.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use crate::cx::{Cx, Effect, Event, Input, Ticket};
use crate::id::Id;
use crate::overlay::{Hop, Overlay};
use crate::peer::{Addr, Peer};
use crate::rng::Rng;
use crate::rpc::BUSY_MAX;
use crate::time::{Duration, Mono, Now, Wall};
use crate::wire;

/// Time after which a try of a call is repeated, and how many tries there are. `busy` starts them anew.
const TRY: Duration = Duration::from_millis(200);
const TRIES: u8 = 4;
/// How often a node looks after one of the peers that it had given up.
const PROBE: Duration = Duration::from_millis(2_000);
const HOPS_MAX: usize = 400;

enum What<O: Overlay> {
    Message { to: Addr, from: Peer, ticket: Option<Ticket>, msg: O::Msg },
    Reply { ticket: Ticket, from: Peer, msg: O::Msg },
    Busy { ticket: Ticket },
    Try { call: u64 },
    Timer { node: usize, life: u32, timer: O::Timer, generation: u64 },
    Found { node: usize, life: u32, why: O::Call, peers: Vec<Peer> },
    Probe { node: usize, life: u32 },
}

struct Call<O: Overlay> {
    by: usize,
    life: u32,
    to: Peer,
    msg: O::Msg,
    why: O::Call,
    tries: u8,
    busy: u8,
}

/// One node of the world.
pub(super) struct Node<O: Overlay> {
    pub(super) me: Peer,
    pub(super) overlay: O,
    pub(super) alive: bool,
    /// It answers every request by `busy` and does nothing else with it.
    pub(super) stuck: bool,
    pub(super) events: Vec<Event>,
    life: u32,
    rng: Rng,
    timers: BTreeMap<O::Timer, u64>,
    lost: BTreeSet<Peer>,
    side: u8,
}

/// The world.
pub(super) struct World<O: Overlay> {
    pub(super) now: Mono,
    pub(super) nodes: Vec<Node<O>>,
    pub(super) messages: u64,
    /// Probability that a message is lost.
    pub(super) loss: f64,
    /// Probability that a message is replaced by garbage: its own bytes with some changed, if that still is a message.
    pub(super) mischief: f64,
    /// Two nodes that do not see each other, the smaller number first.
    parted: Option<(usize, usize)>,
    config: O::Config,
    rng: Rng,
    queue: BTreeMap<(Mono, u64), What<O>>,
    sequence: u64,
    calls: BTreeMap<u64, Call<O>>,
    by_addr: BTreeMap<Addr, usize>,
}

impl<O: Overlay> World<O> {
    pub(super) fn new(seed: u64, config: O::Config) -> World<O> {
        World {
            now: Mono(1_000_000),
            nodes: Vec::new(),
            messages: 0,
            loss: 0.0,
            mischief: 0.0,
            parted: None,
            config,
            rng: Rng::from_u64(seed),
            queue: BTreeMap::new(),
            sequence: 0,
            calls: BTreeMap::new(),
            by_addr: BTreeMap::new(),
        }
    }

    /// A new node that has not joined.
    pub(super) fn add(&mut self, id: Id) -> usize {
        let n = self.nodes.len();
        let me = Peer::new(id, Addr::simulated(n as u32));
        self.by_addr.insert(me.addr(), n);
        self.nodes.push(Node {
            overlay: O::new(me.clone(), self.config.clone()),
            me,
            alive: true,
            stuck: false,
            events: Vec::new(),
            life: 0,
            rng: self.rng.fork("node", n as u64),
            timers: BTreeMap::new(),
            lost: BTreeSet::new(),
            side: 0,
        });
        n
    }

    /// A new node with a random id.
    pub(super) fn add_random(&mut self) -> usize {
        let id = self.rng.id();
        self.add(id)
    }

    /// `n` nodes, converged.
    pub(super) fn settled(seed: u64, config: O::Config, n: usize) -> World<O> {
        let mut world = World::new(seed, config);
        for _ in 0..n {
            world.add_random();
        }
        let everyone = world.members_in_order();
        for i in 0..n {
            world.with(i, |overlay: &mut O, cx| overlay.settle(cx, &everyone));
            world.start_probe(i);
        }
        world
    }

    /// The live nodes sorted by id.
    pub(super) fn members_in_order(&self) -> Vec<Peer> {
        let mut all: Vec<Peer> = self.nodes.iter().filter(|n| n.alive).map(|n| n.me.clone()).collect();
        all.sort_unstable();
        all
    }

    /// The numbers of the live nodes.
    pub(super) fn alive(&self) -> impl Iterator<Item = usize> + use<O> {
        let alive: Vec<usize> = (0..self.nodes.len()).filter(|i| self.nodes[*i].alive).collect();
        alive.into_iter()
    }

    pub(super) fn draw(&mut self) -> &mut Rng {
        &mut self.rng
    }

    pub(super) fn join(&mut self, node: usize, seeds: &[usize]) {
        let seeds = seeds.iter().map(|s| self.nodes[*s].me.clone()).collect();
        self.give(node, Input::Join { seeds });
        self.start_probe(node);
    }

    fn start_probe(&mut self, node: usize) {
        let after = Duration(self.rng.below(PROBE.0));
        let life = self.nodes[node].life;
        self.after(after, What::Probe { node, life });
    }

    pub(super) fn crash(&mut self, node: usize) {
        self.nodes[node].alive = false;
        self.nodes[node].life += 1;
    }

    /// Starts a crashed node again with empty tables, under its old id and address.
    pub(super) fn restart(&mut self, node: usize) {
        let n = &mut self.nodes[node];
        n.overlay = O::new(n.me.clone(), self.config.clone());
        n.timers.clear();
        n.events.clear();
        n.alive = true;
    }

    pub(super) fn leave(&mut self, node: usize) {
        self.give(node, Input::Leave);
        assert!(self.nodes[node].events.contains(&Event::Left));
        self.crash(node);
    }

    /// Cuts the world: messages pass only within one side.
    pub(super) fn cut(&mut self, side_of: impl Fn(usize) -> u8) {
        for (i, node) in self.nodes.iter_mut().enumerate() {
            node.side = side_of(i);
        }
    }

    pub(super) fn heal(&mut self) {
        self.cut(|_| 0);
        self.parted = None;
    }

    /// No message passes between these two any more.
    pub(super) fn part(&mut self, one: usize, other: usize) {
        self.parted = Some((one.min(other), one.max(other)));
    }

    fn sees(&self, one: usize, other: usize) -> bool {
        self.nodes[one].side == self.nodes[other].side
            && self.parted != Some((one.min(other), one.max(other)))
    }

    pub(super) fn give(&mut self, node: usize, input: Input<O>) {
        self.with(node, |overlay, cx| overlay.handle(cx, input));
    }

    fn with(&mut self, node: usize, f: impl FnOnce(&mut O, &mut Cx<'_, O>)) {
        let n = &mut self.nodes[node];
        if !n.alive {
            return;
        }
        let mut effects = Vec::new();
        let now = Now { mono: self.now, wall: Wall(self.now.0) };
        f(&mut n.overlay, &mut Cx::new(now, &mut n.rng, &mut effects));
        if let Err(violation) = n.overlay.check() {
            panic!("{:?} at {:?}: {violation}\n{:#?}", n.me, self.now, n.overlay);
        }
        for effect in effects {
            self.perform(node, effect);
        }
    }

    fn perform(&mut self, node: usize, effect: Effect<O>) {
        let me = self.nodes[node].me.clone();
        let life = self.nodes[node].life;
        match effect {
            Effect::Tell(to, msg) => {
                let msg = self.recode(&msg);
                self.send(&me, to.addr(), |to| What::Message { to, from: me.clone(), ticket: None, msg });
            }
            Effect::Call(to, msg, why) => {
                let call = self.sequence;
                self.calls.insert(call, Call { by: node, life, to, msg, why, tries: 0, busy: 0 });
                self.attempt(call);
            }
            Effect::Reply(ticket, msg) => {
                let to = ticket.to;
                let msg = self.recode(&msg);
                self.send(&me, to, |_| What::Reply { ticket, from: me.clone(), msg });
            }
            Effect::Busy(ticket) => self.send(&me, ticket.to, |_| What::Busy { ticket }),
            Effect::Arm(timer, after) => {
                let generation = self.sequence;
                self.nodes[node].timers.insert(timer, generation);
                self.after(after, What::Timer { node, life, timer, generation });
            }
            Effect::Disarm(timer) => {
                self.nodes[node].timers.remove(&timer);
            }
            Effect::Lookup(target, why) => {
                let peers = self.lookup(node, &target).map(|(root, _)| root).into_iter().collect();
                self.after(Duration::from_millis(200), What::Found { node, life, why, peers });
            }
            Effect::Emit(event) => self.nodes[node].events.push(event),
        }
    }

    fn after(&mut self, after: Duration, what: What<O>) {
        self.sequence += 1;
        self.queue.insert((self.now + after, self.sequence), what);
    }

    fn send(&mut self, from: &Peer, to: Addr, what: impl FnOnce(Addr) -> What<O>) {
        self.messages += 1;
        let (Some(a), Some(b)) = (self.by_addr.get(&from.addr()), self.by_addr.get(&to)) else { return };
        if !self.sees(*a, *b) || self.rng.chance(self.loss) {
            return;
        }
        let delay = Duration(self.rng.between(5_000, 40_000));
        self.after(delay, what(to));
    }

    /// The message as the wire brings it.
    fn recode(&mut self, msg: &O::Msg) -> O::Msg {
        let mut bytes = wire::to_vec(msg);
        assert_eq!(wire::from_slice::<O::Msg>(&bytes).as_ref(), Ok(msg));
        if self.mischief > 0.0 && self.rng.chance(self.mischief) {
            for _ in 0..self.rng.between(1, 4) {
                let at = self.rng.below(bytes.len() as u64) as usize;
                bytes[at] = match self.rng.below(3) {
                    0 => self.rng.below(20) as u8,
                    1 => bytes[at] ^ 1 << self.rng.below(8),
                    _ => self.rng.below(256) as u8,
                };
            }
        }
        wire::from_slice(&bytes).unwrap_or_else(|_| msg.clone())
    }

    fn attempt(&mut self, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.busy == BUSY_MAX {
            let Call { by, life, to, why, .. } = self.calls.remove(&id).expect("just seen");
            if self.nodes[by].life == life {
                self.give(by, Input::Busy { why, peer: to });
            }
            return;
        }
        if call.tries == TRIES {
            let Call { by, life, to, why, .. } = self.calls.remove(&id).expect("just seen");
            if self.nodes[by].life == life {
                self.nodes[by].lost.insert(to.clone());
                self.give(by, Input::NoAnswer { why, peer: to });
            }
            return;
        }
        call.tries += 1;
        let from = self.nodes[call.by].me.clone();
        let (to, msg) = (call.to.addr(), call.msg.clone());
        let msg = self.recode(&msg);
        let ticket = Some(Ticket::new(from.addr(), id));
        if self.nodes[self.calls[&id].by].life == self.calls[&id].life {
            self.send(&from.clone(), to, |to| What::Message { to, from, ticket, msg });
        }
        self.after(TRY, What::Try { call: id });
    }

    fn step(&mut self, what: What<O>) {
        match what {
            What::Message { to, from, ticket, msg } => {
                let node = self.by_addr[&to];
                if let Some(ticket) =
                    ticket.clone().filter(|_| self.nodes[node].stuck && self.nodes[node].alive)
                {
                    return self.perform(node, Effect::Busy(ticket));
                }
                self.give(node, Input::Message { from, ticket, msg });
            }
            What::Reply { ticket, from, msg } => {
                // As in `rpc` and the node: only who was asked may answer, and from elsewhere it is as good as silent.
                let asked = |call: &Call<O>| call.to.id() == from.id();
                if self.calls.get(&ticket.request()).is_some_and(asked)
                    && let Some(call) = self.calls.remove(&ticket.request())
                    && self.nodes[call.by].life == call.life
                {
                    let (why, peer) = (call.why, call.to);
                    let there = peer.addr() == from.addr();
                    let input =
                        if there { Input::Answer { why, from, msg } } else { Input::NoAnswer { why, peer } };
                    self.give(call.by, input);
                }
            }
            What::Busy { ticket } => {
                if let Some(call) = self.calls.get_mut(&ticket.request()) {
                    // As in `rpc`: it is waited for, and not for ever.
                    (call.tries, call.busy) = (1, call.busy + 1);
                }
            }
            What::Try { call } => self.attempt(call),
            What::Timer { node, life, timer, generation } => {
                let n = &mut self.nodes[node];
                if n.life == life && n.timers.get(&timer) == Some(&generation) {
                    n.timers.remove(&timer);
                    self.give(node, Input::Timer(timer));
                }
            }
            What::Found { node, life, why, peers } => {
                if self.nodes[node].life == life {
                    self.give(node, Input::Found { why, peers });
                }
            }
            What::Probe { node, life } => self.probe(node, life),
        }
    }

    /// What a node does for its overlay: probes one of the peers that it had given up.
    fn probe(&mut self, node: usize, life: u32) {
        if self.nodes[node].life != life || !self.nodes[node].alive {
            return;
        }
        let lost: Vec<Peer> = self.nodes[node].lost.iter().cloned().collect();
        if let Some(i) = self.rng.index(lost.len()) {
            let other = self.by_addr.get(&lost[i].addr()).filter(|n| self.sees(**n, node));
            if other.map(|n| &self.nodes[*n]).is_some_and(|o| o.me == lost[i] && o.alive) {
                self.nodes[node].lost.remove(&lost[i]);
                self.give(node, Input::Returned(lost[i].clone()));
            }
        }
        self.after(PROBE, What::Probe { node, life });
    }

    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        self.run_until(end, |_| false);
        self.now = end;
    }

    /// Runs until `done` holds, asked each 100 ms of virtual time. False if `end` came first.
    pub(super) fn run_until(&mut self, end: Mono, done: impl Fn(&World<O>) -> bool) -> bool {
        let mut ask = self.now;
        while let Some(entry) = self.queue.first_entry() {
            let at = entry.key().0;
            if at > end {
                break;
            }
            while ask <= at {
                self.now = ask;
                if done(self) {
                    return true;
                }
                ask = ask + Duration::from_millis(100);
            }
            let what = self.queue.pop_first().expect("just seen").1;
            self.now = at;
            self.step(what);
        }
        self.now = end;
        done(self)
    }

    /// Follows `next_hop` from `node` to the root of `target`, skipping the dead: root and number of hops.
    pub(super) fn lookup(&self, node: usize, target: &Id) -> Option<(Peer, usize)> {
        let mut at = node;
        let mut tried = BTreeSet::new();
        for hops in 0..HOPS_MAX {
            match self.nodes[at].overlay.next_hop(target) {
                Hop::Root => return Some((self.nodes[at].me.clone(), hops)),
                Hop::RootIs(peer) => return Some((peer, hops + 1)),
                Hop::Stuck => return None,
                Hop::Next(peers) => {
                    let next = peers.iter().find_map(|p| {
                        let n = self.by_addr.get(&p.addr()).copied()?;
                        let other = &self.nodes[n];
                        let open = other.alive && self.sees(n, at) && !tried.contains(&other.me);
                        open.then_some(n)
                    })?;
                    tried.insert(self.nodes[next].me.clone());
                    at = next;
                }
            }
        }
        None
    }

    /// Why the lookups of `keys` random keys from random live nodes are not all what `root_of` says; none if they are.
    pub(super) fn wrong_lookup(&mut self, keys: usize, root_of: fn(&[Peer], &Id) -> Peer) -> Option<String> {
        let everyone = self.members_in_order();
        let alive: Vec<usize> = self.alive().collect();
        for _ in 0..keys {
            let (key, from) = (self.rng.id(), alive[self.rng.index(alive.len()).expect("someone lives")]);
            let (got, want) = (self.lookup(from, &key), root_of(&everyone, &key));
            if got.as_ref().is_none_or(|(root, _)| *root != want) {
                return Some(format!("{key:?} from {:?}: {got:?}, not {want:?}", self.nodes[from].me));
            }
        }
        None
    }

    /// What the node of a joiner that has not got in does from time to time: gives it fresh seeds.
    pub(super) fn remind_joiners(&mut self) {
        let alive: Vec<usize> = self.alive().collect();
        for i in alive.iter().copied().filter(|i| !self.nodes[*i].overlay.is_member()).collect::<Vec<_>>() {
            let members = alive.iter().filter(|m| self.nodes[**m].overlay.is_member());
            let seeds: Vec<Peer> = members.take(3).map(|m| self.nodes[*m].me.clone()).collect();
            if !seeds.is_empty() {
                self.give(i, Input::Join { seeds });
            }
        }
    }

    /// Why not every live node has the tables of [`Overlay::settle`].
    pub(super) fn unsettled(&self) -> Option<String> {
        let everyone = self.members_in_order();
        for node in self.nodes.iter().filter(|n| n.alive) {
            let mut ideal = O::new(node.me.clone(), self.config.clone());
            let (mut rng, mut effects) = (Rng::from_u64(0), Vec::new());
            ideal.settle(&mut Cx::new(Now::default(), &mut rng, &mut effects), &everyone);
            if !node.overlay.is_member() {
                return Some(format!("{:?} is no member", node.me));
            }
            for (got, want) in node.overlay.tables().into_iter().zip(ideal.tables()) {
                if got != want {
                    return Some(format!("{:?} has {got:?}, not {want:?}", node.me));
                }
            }
        }
        None
    }

    /// Panics unless the world settles within `span`.
    pub(super) fn must_settle(&mut self, span: Duration) -> Duration {
        let begin = self.now;
        if !self.run_until(begin + span, |w| w.unsettled().is_none()) {
            panic!("not settled after {span:?}: {}", self.unsettled().unwrap_or_default());
        }
        self.now.since(begin)
    }
}

/// The root on a ring: the first member at or after the key.
pub(super) fn ring_root(everyone: &[Peer], key: &Id) -> Peer {
    everyone[everyone.partition_point(|p| p.id() < key) % everyone.len()].clone()
}

/// The law of [`Overlay::shares`], by random keys and by the ends of the arcs.
pub(super) fn shares_law<O: Overlay>(overlay: &O, me: &Peer, rng: &mut Rng) {
    for n in [1, 2, 3, 8] {
        let shares = overlay.shares(n);
        let mut keys: Vec<Id> = (0..50).map(|_| rng.id()).collect();
        for share in &shares {
            keys.extend([share.arc.from, share.arc.from.next(), share.arc.to, share.arc.to.next()]);
        }
        for key in keys {
            let set = overlay.replica_set(&key, n);
            let holding: Vec<_> = shares.iter().filter(|s| s.arc.contains(&key)).collect();
            assert!(holding.len() <= 1, "arcs are disjoint: {holding:?}");
            assert_eq!(set.contains(me), !holding.is_empty(), "{key:?} n={n} {set:?} {shares:?}");
            if let Some(share) = holding.first() {
                assert_eq!(share.peers, set);
            }
        }
    }
}

/// What every overlay must do, whatever its geometry: the rows of the conformance table that need no node.
pub(super) fn conformance<O: Overlay>(config: &O::Config, root_of: fn(&[Peer], &Id) -> Peer) {
    for n in [1, 2, 3, 5, 20] {
        let mut world = grown::<O>(n as u64, config, n);
        world.must_settle(Duration::from_secs(300));
        assert_eq!(world.wrong_lookup(100, root_of), None, "{n} nodes");
        everyone_shares(&mut world);
        if n > 1 {
            world.crash(0);
            world.must_settle(Duration::from_secs(300));
            world.restart(0);
            world.join(0, &[n - 1]);
            world.must_settle(Duration::from_secs(300));
        }
        if n > 2 {
            world.leave(1);
            world.must_settle(Duration::from_secs(300));
            world.cut(|i| u8::from(i % 2 == 0));
            world.run(Duration::from_secs(200));
            world.heal();
            world.must_settle(Duration::from_secs(300));
            assert_eq!(world.wrong_lookup(100, root_of), None, "{n} nodes");
            everyone_shares(&mut world);
        }
    }
}

/// Garbage from peers and to peers for ten minutes: nothing panics, no invariant breaks; and once it ends, all is well again.
pub(super) fn survives_mischief<O: Overlay>(seed: u64, config: &O::Config, n: usize) {
    let mut world = grown::<O>(seed, config, n);
    world.mischief = 0.3;
    for _ in 0..20 {
        world.run(Duration::from_secs(30));
        let newcomer = world.add_random();
        let seeds: Vec<usize> = world.alive().filter(|i| *i != newcomer).take(3).collect();
        world.join(newcomer, &seeds);
        let (gone, stranger) = (world.rng.index(world.nodes.len()).expect("somebody"), world.rng.id());
        world.crash(gone);
        // A message out of nowhere, and news of peers that never were.
        let nobody = Peer::new(stranger, Addr::loopback(1));
        let at = world.alive().next().expect("somebody lives");
        world.give(at, Input::Heard(nobody.clone()));
        world.give(at, Input::Returned(nobody.clone()));
        world.give(at, Input::Suspect(nobody));
    }
    world.mischief = 0.0;
    world.remind_joiners();
    world.must_settle(Duration::from_secs(600));
}

/// A world that grew to `n` nodes: each joins through a random earlier one, half a second apart.
pub(super) fn grown<O: Overlay>(seed: u64, config: &O::Config, n: usize) -> World<O> {
    let mut world = World::new(seed, config.clone());
    for i in 0..n {
        let node = world.add_random();
        let seeds: Vec<usize> = world.rng.index(i).into_iter().collect();
        world.join(node, &seeds);
        world.run(Duration::from_millis(500));
    }
    world
}

/// Checks the law of shares at every live node.
pub(super) fn everyone_shares<O: Overlay>(world: &mut World<O>) {
    let mut rng = mem::replace(world.draw(), Rng::from_u64(0));
    for node in world.nodes.iter().filter(|n| n.alive) {
        shares_law(&node.overlay, &node.me, &mut rng);
    }
    *world.draw() = rng;
}
