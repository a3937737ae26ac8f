//! Chord, model-checked: every order of events among three to five nodes, over the real transition code.
//!
//! ```text
//!   state    the nodes' overlays themselves, calls under way, messages on their way (as bytes), what is still allowed
//!   actions  deliver any message · a call to the dead ends in silence · a round of stabilize · join · crash
//!   always   Zave's invariant ("Reasoning about identifier spaces", TSE 2017): every member has a live successor in its
//!            list; at least r + 1 members are skipped by nobody's list; one ordered ring, and all are attached to it
//! ```
//!
//! Her assumptions are the model's: failure detection is perfect (only the dead are silent), a ring begins with at least
//! r + 1 members, and a member crashes only if all others keep a live successor and r + 1 principals remain. Fingers play
//! no part: their timer never runs out.
//!
//! The judge can convict: built with the published rules of 2001 (`--cfg keyway_bug="chord_rules_2001"`), the third test
//! finds a member all of whose successors are dead. `cargo xtask planted-bugs chord_rules_2001` shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use keyway_core::cx::{Cx, Effect, Input, Ticket};
use keyway_core::keyspace::ring::between;
use keyway_core::overlay::Overlay;
use keyway_core::overlay::chord::{Call, Chord, Msg, Timer};
use keyway_core::rng::Rng;
use keyway_core::{Addr, Id, Mono, Now, Peer, Wall, wire};
use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};

/// Zave's r.
const SUCCESSORS: usize = 2;
/// Where the nodes stand. Numbers are shuffled against the order on the ring, so that joiners come between.
const PLACES: [u64; 5] = [10, 30, 40, 20, 25];

/// A message on its way.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Mail {
    to: usize,
    from: usize,
    what: What,
    bytes: Vec<u8>,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let msg = wire::from_slice::<Msg>(&self.bytes).expect("what was written is read");
        write!(f, "n{} to n{}, {:?}: {msg:?}", self.from, self.to, self.what)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum What {
    Tell,
    /// A request: the asker's number of the call.
    Request(u8),
    /// The answer to the receiver's call of this number.
    Reply(u8),
}

/// A call under way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Open {
    to: usize,
    why: Call,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Life {
    /// Has not begun.
    New,
    Alive,
    Dead,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct State {
    nodes: Vec<Chord>,
    lives: Vec<Life>,
    timers: Vec<BTreeSet<Timer>>,
    calls: BTreeMap<(usize, u8), Open>,
    mail: BTreeSet<Mail>,
    /// Rounds of stabilize, and crashes, that may still begin.
    rounds_left: u8,
    crashes_left: u8,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Action {
    Deliver(Mail),
    Silence(usize, u8),
    Round(usize),
    Retry(usize),
    Join { node: usize, seed: usize },
    Crash(usize),
}

/// So many nodes; the first ones are a converged ring at the start.
#[derive(Clone, Copy)]
struct Ring {
    nodes: usize,
    settled: usize,
    rounds: u8,
    crashes: u8,
    /// The others have joined before anything else happens, one message after another.
    joined: bool,
}

/// Node `n` of the model.
fn peer(n: usize) -> Peer {
    Peer::new(Id::from_u64(PLACES[n]), Addr::simulated(n as u32))
}

fn number(addr: Addr) -> usize {
    (0..PLACES.len()).find(|&n| peer(n).addr() == addr).expect("an address of the model")
}

impl State {
    fn live(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(|&n| self.lives[n] == Life::Alive)
    }

    fn members(&self) -> impl Iterator<Item = usize> + '_ {
        self.live().filter(|&n| self.nodes[n].is_member())
    }

    fn successors(&self, n: usize) -> Vec<Peer> {
        let tables = self.nodes[n].tables();
        tables.into_iter().find(|(name, _)| *name == "successors").expect("Chord has that table").1
    }

    /// Whether a node has told others of itself: it is a member, or will be by the next message.
    fn is_in_ring(&self, n: usize) -> bool {
        !self.successors(n).is_empty() || self.nodes[n].is_member()
    }

    /// Gives an input to a node, and what follows from it within that instant.
    fn feed(&mut self, n: usize, input: Input<Chord>) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            // Time stands still and chance is a constant: neither plays a part in what is checked.
            let now = Now { mono: Mono(1_000_000), wall: Wall(1_000_000) };
            let (mut rng, mut effects) = (Rng::from_u64(0), Vec::new());
            self.nodes[n].handle(&mut Cx::new(now, &mut rng, &mut effects), input);
            self.nodes[n].check().expect("local invariants");
            for effect in effects {
                self.perform(n, effect, &mut inputs);
            }
        }
    }

    fn perform(&mut self, n: usize, effect: Effect<Chord>, inputs: &mut Vec<Input<Chord>>) {
        let (to, what, msg) = match effect {
            Effect::Tell(to, msg) => (number(to.addr()), What::Tell, msg),
            Effect::Call(to, msg, why) => {
                let to = number(to.addr());
                let free = (0..).find(|call| !self.calls.contains_key(&(n, *call))).expect("few calls");
                self.calls.insert((n, free), Open { to, why });
                (to, What::Request(free), msg)
            }
            Effect::Reply(ticket, msg) => {
                (ticket.request() as usize >> 8, What::Reply(ticket.request() as u8), msg)
            }
            Effect::Arm(timer, _) => {
                self.timers[n].insert(timer);
                return;
            }
            Effect::Disarm(timer) => {
                self.timers[n].remove(&timer);
                return;
            }
            Effect::Lookup(_, why) => return inputs.push(Input::Found { why, peers: Vec::new() }),
            Effect::Busy(_) | Effect::Emit(_) => return,
        };
        if self.lives[to] == Life::Alive {
            self.mail.insert(Mail { to, from: n, what, bytes: wire::to_vec(&msg) });
        }
    }

    fn deliver(&mut self, mail: &Mail) {
        self.mail.remove(mail);
        let (n, from) = (mail.to, peer(mail.from));
        let msg: Msg = wire::from_slice(&mail.bytes).expect("what was written is read");
        let input = match mail.what {
            What::Tell => Input::Message { from, ticket: None, msg },
            What::Request(call) => {
                let ticket = Ticket::new(from.addr(), (mail.from as u64) << 8 | u64::from(call));
                Input::Message { from, ticket: Some(ticket), msg }
            }
            What::Reply(call) => match self.calls.remove(&(n, call)) {
                Some(open) => Input::Answer { why: open.why, from, msg },
                None => return,
            },
        };
        self.feed(n, input);
    }

    /// Fail-stop: what is on its way to the dead is lost, what it has said arrives.
    fn crash(&mut self, n: usize) {
        self.lives[n] = Life::Dead;
        self.timers[n].clear();
        self.calls.retain(|(by, _), _| *by != n);
        self.mail.retain(|mail| mail.to != n);
    }

    /// Zave's operating assumptions: everybody else keeps a successor that lives, and a principal crashes only if r + 1
    /// remain without it (a joiner of whom not all lists know yet is none).
    fn may_crash(&self, n: usize) -> bool {
        let principals = self.principals();
        if principals.contains(&n) && principals.len() <= SUCCESSORS + 1 {
            return false;
        }
        let others: Vec<usize> = self.live().filter(|&m| m != n && self.is_in_ring(m)).collect();
        let lives = |p: &Peer| number(p.addr()) != n && self.lives[number(p.addr())] == Life::Alive;
        let members = self.members().filter(|&m| m != n).count();
        members > SUCCESSORS && others.iter().all(|&m| self.successors(m).iter().any(lives))
    }

    fn may_be_silent(&self, by: usize, call: u8, open: &Open) -> bool {
        let answered = |m: &Mail| m.to == by && m.what == What::Reply(call);
        self.lives[open.to] != Life::Alive && !self.mail.iter().any(answered)
    }

    // ---- Zave's invariant

    fn one_live_successor(&self) -> bool {
        let lives = |p: &Peer| self.lives[number(p.addr())] == Life::Alive;
        self.members().all(|n| self.successors(n).iter().any(lives))
    }

    /// Members that no member's extended successor list skips.
    fn principals(&self) -> Vec<usize> {
        let members: Vec<usize> = self.members().collect();
        let skipped = |id: &Id| {
            members.iter().any(|&n| {
                let list = self.successors(n);
                let me = peer(n);
                let extended: Vec<&Id> = std::iter::once(me.id()).chain(list.iter().map(Peer::id)).collect();
                extended.windows(2).any(|pair| between(pair[0], id, pair[1]))
            })
        };
        members.iter().copied().filter(|&n| !skipped(peer(n).id())).collect()
    }

    fn sufficient_principals(&self) -> bool {
        self.principals().len() > SUCCESSORS
    }

    /// The best successor of each leads into one cycle that goes round the ring once.
    fn one_ordered_ring(&self) -> bool {
        let next = |n: usize| {
            let list = self.successors(n);
            list.iter().map(|p| number(p.addr())).find(|&m| self.lives[m] == Life::Alive)
        };
        let follow = |from: usize, steps: usize| (0..steps).try_fold(from, |at, _| next(at));
        let Some(first) = self.members().next() else { return true };
        let Some(start) = follow(first, self.nodes.len()) else { return false };
        let mut cycle = vec![start];
        while let Some(at) = next(cycle[cycle.len() - 1]).filter(|at| *at != start) {
            if cycle.len() > self.nodes.len() {
                return false;
            }
            cycle.push(at);
        }
        let place = |at: usize| *peer(cycle[at % cycle.len()]).id();
        let turns = (0..cycle.len()).filter(|&i| place(i + 1) <= place(i)).count();
        let attached = |n: usize| follow(n, self.nodes.len()).is_some_and(|end| cycle.contains(&end));
        turns == 1 && self.members().all(attached)
    }

    /// Everyone alive is a member with its true successor.
    fn is_ideal(&self) -> bool {
        let mut live: Vec<usize> = self.live().collect();
        live.sort_by_key(|&n| *peer(n).id());
        live.iter().enumerate().all(|(at, &n)| {
            self.nodes[n].is_member()
                && self.successors(n).first() == Some(&peer(live[(at + 1) % live.len()]))
        })
    }
}

impl Model for Ring {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let config =
            Chord::configure(&[("successors".into(), SUCCESSORS as u64), ("predecessors".into(), 2)])
                .expect("possible settings");
        let mut everyone: Vec<Peer> = (0..self.settled).map(peer).collect();
        everyone.sort();
        let mut state = State {
            nodes: (0..self.nodes).map(|n| Chord::new(peer(n), config)).collect(),
            lives: (0..self.nodes).map(|n| if n < self.settled { Life::Alive } else { Life::New }).collect(),
            timers: vec![BTreeSet::new(); self.nodes],
            calls: BTreeMap::new(),
            mail: BTreeSet::new(),
            rounds_left: self.rounds,
            crashes_left: self.crashes,
        };
        for n in 0..self.settled {
            let now = Now { mono: Mono(1_000_000), wall: Wall(1_000_000) };
            let (mut rng, mut effects) = (Rng::from_u64(0), Vec::new());
            state.nodes[n].settle(&mut Cx::new(now, &mut rng, &mut effects), &everyone);
            state.timers[n].insert(Timer::Stabilize);
        }
        if self.joined {
            for n in self.settled..self.nodes {
                state.lives[n] = Life::Alive;
                state.feed(n, Input::Join { seeds: vec![peer(0)] });
                while let Some(mail) = state.mail.first().cloned() {
                    state.deliver(&mail);
                }
            }
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.extend(state.mail.iter().cloned().map(Action::Deliver));
        let silent = state.calls.iter().filter(|((by, call), open)| state.may_be_silent(*by, *call, open));
        actions.extend(silent.map(|((by, call), _)| Action::Silence(*by, *call)));
        for n in state.live() {
            if state.rounds_left > 0 && state.timers[n].contains(&Timer::Stabilize) {
                actions.push(Action::Round(n));
            }
            if state.rounds_left > 0 && state.timers[n].contains(&Timer::Join) {
                actions.push(Action::Retry(n));
            }
            if state.crashes_left > 0 && state.may_crash(n) {
                actions.push(Action::Crash(n));
            }
        }
        for node in (0..self.nodes).filter(|&n| state.lives[n] == Life::New) {
            actions.extend(state.members().map(|seed| Action::Join { node, seed }));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Deliver(mail) => state.deliver(&mail),
            Action::Silence(by, call) => {
                let open = state.calls.remove(&(by, call))?;
                state.feed(by, Input::NoAnswer { why: open.why, peer: peer(open.to) });
            }
            Action::Round(n) => {
                state.rounds_left -= 1;
                state.timers[n].remove(&Timer::Stabilize);
                state.feed(n, Input::Timer(Timer::Stabilize));
            }
            Action::Retry(n) => {
                state.rounds_left -= 1;
                state.timers[n].remove(&Timer::Join);
                state.feed(n, Input::Timer(Timer::Join));
            }
            Action::Join { node, seed } => {
                state.lives[node] = Life::Alive;
                state.feed(node, Input::Join { seeds: vec![peer(seed)] });
            }
            Action::Crash(n) => {
                state.crashes_left -= 1;
                state.crash(n);
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Ring>> {
        vec![
            Property::always("OneLiveSuccessor", |_, s: &State| s.one_live_successor()),
            Property::always("SufficientPrincipals", |_, s: &State| s.sufficient_principals()),
            Property::always("one ordered ring", |_, s: &State| s.one_ordered_ring()),
            // That the model can do what it is about: everyone joined, the dead forgotten, nothing on its way.
            Property::sometimes("all is done", |model: &Ring, s: &State| {
                s.crashes_left == 0
                    && s.mail.is_empty()
                    && s.calls.is_empty()
                    && s.is_ideal()
                    && (0..model.nodes).all(|n| s.lives[n] != Life::New)
            }),
        ]
    }
}

/// Checks all orders of events, and says how many states there were; or tells the shortest story that breaks a property.
fn check(ring: Ring) {
    let Ring { nodes, settled, rounds, crashes, joined } = ring;
    let joiners = if joined { "that have joined" } else { "that join" };
    let checker = ring.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!(
        "{settled} members, {} {joiners}, {rounds} rounds, {crashes} crashes: {} states, depth {}",
        nodes - settled,
        checker.unique_state_count(),
        checker.max_depth()
    );
    let always = |p: &Property<Ring>| p.expectation == Expectation::Always;
    if checker.model().properties().iter().any(|p| always(p) && checker.discovery(p.name).is_some()) {
        // The search takes states in blocks: the first story that it finds need not be the shortest.
        (2..=checker.max_depth() + 1).for_each(|depth| tell_story_of(ring, depth));
    }
    checker.assert_properties();
}

/// Panics with a story of fewer than so many events that breaks a property, if there is one.
fn tell_story_of(ring: Ring, depth_max: usize) {
    let checker = ring.checker().target_max_depth(depth_max).spawn_bfs().join();
    for property in ring.properties() {
        if property.expectation == Expectation::Always
            && let Some(story) = checker.discovery(property.name)
        {
            let end = story.last_state();
            let lists = end.live().map(|n| format!("  n{n} at {}: {:?}", PLACES[n], end.successors(n)));
            let lists: Vec<String> = lists.collect();
            let events: Vec<String> = story.into_actions().iter().map(|a| format!("  {a:?}")).collect();
            panic!(
                "{} is broken after {} events\n{}\nsuccessor lists of the living\n{}",
                property.name,
                events.len(),
                events.join("\n"),
                lists.join("\n")
            );
        }
    }
}

#[test]
fn three_members_and_a_joiner_keep_zaves_invariant() {
    check(Ring { nodes: 4, settled: 3, rounds: 1, crashes: 1, joined: false });
}

#[test]
fn four_members_of_which_one_crashes_keep_zaves_invariant() {
    check(Ring { nodes: 4, settled: 4, rounds: 2, crashes: 1, joined: false });
}

/// The state from which the rules of 2001 lose a member: its successor names a joiner that dies, then dies itself.
#[test]
fn a_newcomer_and_its_successor_may_crash() {
    check(Ring { nodes: 5, settled: 4, rounds: 1, crashes: 2, joined: true });
}
