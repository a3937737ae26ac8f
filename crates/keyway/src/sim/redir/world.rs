//! A store with lives in virtual time, and clients that register in it and look each other up.
//!
//! ```text
//!   queue (time, sequence) ── Join ────▶ a client is born: registers, again and again, until it dies
//!                          ── Answer ──▶ a question reaches the store and is answered; the walk goes on
//!                          ── Probe ───▶ lookups of one key begin, one for each looker, at once
//!                          ── Death ───▶ a client stops without a word; another is born in its place
//! ```
//!
//! A question takes an exponential time, so that registrations and lookups overlap as they would over a network. Everything
//! is drawn from the world's seed. Bytes are those of keys and values as walks ask and are told them; what an interface
//! wraps around them is not counted.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use keyway_client::Key;
use keyway_client::redir::{
    Ask, BRANCHING_DEFAULT, Endpoint, Form, Found, LEVEL_FIRST, Levels, LookedUp, Lookup, Refresh, Register,
    Registered, Step, Tree, Walk,
};
use keyway_core::rng::Rng;
use keyway_sim::draw::Spread;

pub(super) const SECOND: u64 = 1_000_000;
/// Life of an entry, and time between registrations (4.5).
pub(super) const REFRESH: Refresh = Refresh { ttl: Duration::from_secs(60), every: Duration::from_secs(30) };
const EVERY: u64 = REFRESH.every.as_secs() * SECOND;
/// Registrations come so much earlier or later (4.2).
const JITTER: u64 = SECOND;
/// Mean time that a put or a get takes.
const QUESTION: keyway_core::Duration = keyway_core::Duration::from_millis(100);
/// What a get or a put costs beside its values: the key.
const KEY_BYTES: u64 = 20;
/// What a value costs beside its bytes: their number.
const LENGTH_BYTES: u64 = 4;

/// A client, alive or dead.
pub(super) struct Client {
    pub(super) me: Endpoint,
    level: u16,
    /// When its first registration was complete.
    pub(super) registered: Option<u64>,
    /// Begin and end of its last complete registration.
    pub(super) refreshed: (u64, u64),
    pub(super) died: Option<u64>,
}

/// One lookup that has ended.
pub(super) struct Looked {
    pub(super) probe: usize,
    pub(super) key: Key,
    pub(super) began: u64,
    pub(super) ended: u64,
    pub(super) outcome: LookedUp,
}

/// What traffic there was.
#[derive(Clone, Copy, Default)]
pub(super) struct Traffic {
    pub(super) gets: u64,
    pub(super) puts: u64,
    pub(super) bytes: u64,
}

enum Event {
    Join { until: Option<u64> },
    Register { client: usize },
    Registering { client: usize, began: u64, walk: Box<Register>, ask: Ask },
    Probe,
    Looking { probe: usize, looker: usize, key: Key, began: u64, walk: Box<Lookup>, ask: Ask },
    Death { client: usize },
}

/// How a world runs.
pub(super) struct Plan {
    /// Clients alive at once.
    pub(super) clients: usize,
    /// How long they live; none: for ever.
    pub(super) lifetime: Option<Spread>,
    /// They are born evenly spread over this time.
    pub(super) born_within: u64,
    /// Lookups begin after so long, and end after so long.
    pub(super) probes_from: u64,
    pub(super) until: u64,
    /// Time between two keys.
    pub(super) probe_every: u64,
    /// Lookups of each key, by so many lookers.
    pub(super) lookers: usize,
}

/// The world, and after `run` what happened in it.
pub(super) struct World {
    plan: Plan,
    tree: Tree,
    now: u64,
    sequence: u64,
    queue: BTreeMap<(u64, u64), Event>,
    values: BTreeMap<Key, Vec<(Bytes, u64)>>,
    pub(super) clients: Vec<Client>,
    lookers: Vec<Levels>,
    probes: usize,
    rng: Rng,
    pub(super) looked: Vec<Looked>,
    /// Of registrations after `probes_from`.
    pub(super) registrations: Traffic,
    /// Of lookups.
    pub(super) lookups: Traffic,
}

impl World {
    /// Runs a world to its end.
    pub(super) fn run(plan: Plan, seed: u64) -> World {
        let tree = Tree::new(b"redir-lookups", BRANCHING_DEFAULT, Form::Native);
        let mut world = World {
            tree: tree.expect("the namespace and the branching factor are within bounds"),
            now: 0,
            sequence: 0,
            queue: BTreeMap::new(),
            values: BTreeMap::new(),
            clients: Vec::new(),
            lookers: vec![Levels::new(); plan.lookers],
            probes: 0,
            rng: Rng::from_u64(seed).fork("redir", 0),
            looked: Vec::new(),
            registrations: Traffic::default(),
            lookups: Traffic::default(),
            plan,
        };
        for _ in 0..world.plan.clients {
            let at = world.rng.below(world.plan.born_within);
            let until = world.lifetime().map(|life| at + life);
            world.at(at, Event::Join { until });
        }
        world.at(world.plan.probes_from, Event::Probe);
        while let Some(((at, _), event)) = world.queue.pop_first() {
            if at > world.plan.until {
                break;
            }
            world.now = at;
            world.happen(event);
        }
        world
    }

    fn at(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    fn soon(&mut self, event: Event) {
        let takes = Spread::Exponential(QUESTION).draw(&mut self.rng);
        self.at(self.now + takes.as_micros(), event);
    }

    fn lifetime(&mut self) -> Option<u64> {
        self.plan.lifetime.map(|spread| spread.draw(&mut self.rng).as_micros())
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Join { until } => self.join(until),
            Event::Register { client } => self.register(client),
            Event::Registering { client, began, walk, ask } => self.registering(client, began, walk, ask),
            Event::Probe => self.probe(),
            Event::Looking { probe, looker, key, began, walk, ask } => {
                self.looking(probe, looker, key, began, walk, ask);
            }
            Event::Death { client } => {
                self.clients[client].died = Some(self.now);
                let until = self.lifetime().map(|life| self.now + life);
                self.join(until);
            }
        }
    }

    fn join(&mut self, until: Option<u64>) {
        let client = self.clients.len();
        // Addresses as long as most are, and each another: its id follows from it, as by default on a network.
        let host = client as u32 + 1;
        let [_, b, c, d] = host.to_be_bytes();
        let salt = 1024 + self.rng.below(60_000);
        let me = Form::Native.endpoint(None, &format!("10.{b}.{c}.{d}:{salt}"));
        self.clients.push(Client {
            me: me.expect("an address"),
            level: LEVEL_FIRST,
            registered: None,
            refreshed: (0, 0),
            died: None,
        });
        if let Some(until) = until {
            self.at(until, Event::Death { client });
        }
        self.register(client);
    }

    fn register(&mut self, client: usize) {
        let one = &self.clients[client];
        if one.died.is_some() {
            return;
        }
        let walk = Register::new(&self.tree, &one.me, REFRESH, one.level);
        let mut walk = Box::new(walk.expect("any member can be said in the native form"));
        let step = walk.begin();
        self.registered(client, self.now, walk, step);
    }

    fn registering(&mut self, client: usize, began: u64, mut walk: Box<Register>, ask: Ask) {
        // Who dies in the middle of a registration has put what it had put.
        if self.clients[client].died.is_some() {
            return;
        }
        let mut traffic = Traffic::default();
        let step = self.answer(&mut *walk, ask, &mut traffic);
        if self.now >= self.plan.probes_from {
            self.registrations.add(traffic);
        }
        self.registered(client, began, walk, step);
    }

    fn registered(&mut self, client: usize, began: u64, walk: Box<Register>, step: Step<Registered>) {
        match step {
            Step::Ask(ask) => self.soon(Event::Registering { client, began, walk, ask }),
            Step::Done(registered) => {
                let one = &mut self.clients[client];
                one.level = registered.level;
                one.registered.get_or_insert(self.now);
                one.refreshed = (began, self.now);
                let after = self.rng.between(EVERY - JITTER, EVERY + JITTER);
                self.at(self.now + after, Event::Register { client });
            }
        }
    }

    fn probe(&mut self) {
        let key = Key(self.rng.id().0);
        let probe = self.probes;
        self.probes += 1;
        for looker in 0..self.plan.lookers {
            let mut walk = Box::new(Lookup::new(&self.tree, key, self.lookers[looker].start()));
            if let Step::Ask(ask) = walk.begin() {
                self.soon(Event::Looking { probe, looker, key, began: self.now, walk, ask });
            }
        }
        self.at(self.now + self.plan.probe_every, Event::Probe);
    }

    fn looking(
        &mut self,
        probe: usize,
        looker: usize,
        key: Key,
        began: u64,
        mut walk: Box<Lookup>,
        ask: Ask,
    ) {
        let mut traffic = Traffic::default();
        let step = self.answer(&mut *walk, ask, &mut traffic);
        self.lookups.add(traffic);
        match step {
            Step::Ask(ask) => self.soon(Event::Looking { probe, looker, key, began, walk, ask }),
            Step::Done(outcome) => {
                self.lookers[looker].note(outcome.level);
                self.looked.push(Looked { probe, key, began, ended: self.now, outcome });
            }
        }
    }

    /// What the store says, which then goes on in the walk.
    fn answer<W: Walk>(&mut self, walk: &mut W, ask: Ask, traffic: &mut Traffic) -> Step<W::Outcome> {
        let now = self.now;
        match ask {
            Ask::Get { key, values_max } => {
                let list = self.values.entry(key).or_default();
                list.retain(|(_, ends)| *ends > now);
                let left = |ends: u64| Duration::from_secs((ends - now) / SECOND);
                let found: Vec<Found> = list
                    .iter()
                    .take(values_max)
                    .map(|(bytes, ends)| Found { bytes: bytes.clone(), remaining: left(*ends) })
                    .collect();
                traffic.gets += 1;
                traffic.bytes += KEY_BYTES;
                traffic.bytes += found.iter().map(|f| LENGTH_BYTES + f.bytes.len() as u64).sum::<u64>();
                walk.on_found(&found)
            }
            Ask::Put { key, value, ttl } => {
                traffic.puts += 1;
                traffic.bytes += KEY_BYTES + LENGTH_BYTES + value.len() as u64;
                let list = self.values.entry(key).or_default();
                list.retain(|(_, ends)| *ends > now);
                let mut ends = now + ttl.as_secs() * SECOND;
                // Put again, it moves to the end of the put order and its life is never cut.
                if let Some(at) = list.iter().position(|(known, _)| *known == value) {
                    ends = ends.max(list.remove(at).1);
                }
                list.push((value, ends));
                walk.on_stored()
            }
        }
    }

    /// Most values that lie under one key.
    pub(super) fn fullest(&self) -> usize {
        let alive = |list: &Vec<(Bytes, u64)>| list.iter().filter(|(_, ends)| *ends > self.now).count();
        self.values.values().map(alive).max().unwrap_or(0)
    }
}

impl Traffic {
    fn add(&mut self, other: Traffic) {
        self.gets += other.gets;
        self.puts += other.puts;
        self.bytes += other.bytes;
    }
}

/// Where `id` comes on the way round the circle from `key`.
pub(super) fn order<'a>(key: &Key, id: &'a Key) -> (bool, &'a Key) {
    (id < key, id)
}
