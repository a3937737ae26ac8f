//! Kademlia's table, model-checked: every order of arrivals, answers and time-outs at one node, over the real transition code.
//!
//! ```text
//!   node     00000...   k = 2; a neighbour 00010..., one contact 01000... in bucket 1, two of many 1.... in bucket 0
//!   events   a peer asks · a peer is named by another · another layer suspects it · it says farewell · a bucket's turn ·
//!            a call ends as busy
//!   ends     each call that the node makes is answered, or ends in silence, at any later moment
//! ```
//!
//! The paper: Maymounkov, Mazieres, *Kademlia*, IPTPS 2002, sections of the preprint. Section 2.2: a bucket is kept in order of
//! the time last seen; a newcomer to a full bucket is discarded if the least recently seen contact answers a ping. Section 4.1:
//! newcomers wait in a replacement cache, and the one that came last takes the place of a contact that fails to answer.
//! Section 2.3: FIND_NODE returns the k nearest nodes that the asked one knows of.
//!
//! Beside the node stands a list of those who spoke, kept by the sentences above and not by the node's tables; the rules compare
//! both after every event. Not part of it: a neighborhood that is divided leaves k of its members in the new bucket
//! and puts the others into the cache without a ping (`docs/overlays/kademlia.md`).

use keyway_core::cx::{Cx, Effect, Input, Ticket};
use keyway_core::keyspace::xor;
use keyway_core::overlay::kademlia::{Call, Config, Kademlia, Msg, SPARES_MAX, Timer};
use keyway_core::overlay::{Hop, Overlay};
use keyway_core::rng::Rng;
use keyway_core::{Addr, Id, Mono, Now, Peer, Wall, wire};
use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};

const K: usize = 2;
/// First bytes of the ids. Number 0 is the node, 1 its neighbour, 2 in bucket 1, from 3 on all in bucket 0, in no order.
const PLACES: [u8; 15] =
    [0x00, 0x10, 0x40, 0xc0, 0x80, 0xa0, 0xe0, 0x90, 0xf0, 0xb0, 0xd0, 0x88, 0xa8, 0x98, 0xb8];
/// Number 0 begins with contacts 1 to 4.
const FIRST_STRANGER: usize = 5;

fn id(place: u8) -> Id {
    let mut id = Id::ZERO;
    id.0[0] = place;
    id
}

fn peer(n: usize) -> Peer {
    Peer::new(id(PLACES[n]), Addr::simulated(n as u32))
}

fn number(peer: &Peer) -> usize {
    (0..PLACES.len()).find(|&n| self::peer(n) == *peer).expect("a peer of the model")
}

fn numbers<'a>(peers: impl IntoIterator<Item = &'a Peer>) -> Vec<usize> {
    peers.into_iter().map(number).collect()
}

fn bucket(n: usize) -> usize {
    xor::bucket(&id(PLACES[0]), &id(PLACES[n])).expect("not the node itself")
}

/// What is demanded, each by the sentence of the paper that it stands for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Rule {
    /// 2.2: a contact leaves after a call to it has failed, or by its own farewell, and never otherwise.
    Eviction,
    /// 2.2: who has not spoken does not enter.
    Entry,
    /// 2.2 and 4.1: who speaks enters if there is room, and waits in the cache if there is none.
    Room,
    /// 2.2: it is the least recently seen contact that is asked.
    Head,
    /// 4.1: the one that came last is asked to take the place of a contact that has gone.
    Heir,
    /// 4.1: the cache is bounded, the oldest makes room, and no contact is in it.
    Cache,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct State {
    node: Kademlia,
    /// A second passes before somebody speaks: no two are last seen at once.
    seconds: u64,
    /// Calls of the node that have not ended.
    calls: Vec<(usize, Call)>,
    /// Those who spoke and were taken in, the longest silent first.
    heard: Vec<usize>,
    events_left: u8,
    /// The first rule that did not hold.
    broken: Option<Rule>,
    /// A contact failed, and its heir has entered.
    heir: Option<usize>,
    replaced: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Action {
    Asks(usize),
    Named(usize),
    Suspected(usize),
    Leaves(usize),
    Refresh,
    Answer(usize, Call),
    Silence(usize, Call),
    Busy(usize, Call),
}

/// The tables before an event.
struct Tables {
    contacts: Vec<usize>,
    spares: Vec<usize>,
}

/// What happened at one instant.
struct Event {
    speaker: Option<usize>,
    /// Who left, or did not answer.
    ended: Option<usize>,
    /// Whom others named.
    named: Vec<usize>,
    /// Calls that the node made because of it.
    called: Vec<(usize, Call)>,
}

fn without(list: &[usize], others: &[usize]) -> Vec<usize> {
    list.iter().copied().filter(|n| !others.contains(n)).collect()
}

/// Extent of the neighborhood: as one member is enough for a half, up to the first bucket that is empty.
fn depth(contacts: &[usize]) -> usize {
    (0..8).find(|b| !contacts.iter().any(|n| bucket(*n) == *b)).unwrap_or(8)
}

impl State {
    fn tables(&self) -> Tables {
        Tables { contacts: numbers(self.node.neighbors()), spares: numbers(self.node.spares()) }
    }

    /// Gives an input to the node; peers that it calls because of it.
    fn feed(&mut self, input: Input<Kademlia>) -> Vec<(usize, Call)> {
        let (called, _) = self.feed_for_answer(input);
        self.calls.extend(called.iter().cloned());
        // Calls are a set: in which order they were made decides nothing.
        self.calls.sort_by_key(|(n, why)| (*n, *why == Call::Refresh));
        called
    }

    fn feed_for_answer(&mut self, input: Input<Kademlia>) -> (Vec<(usize, Call)>, Vec<Msg>) {
        let time = self.seconds * 1_000_000;
        let now = Now { mono: Mono(time), wall: Wall(time) };
        let (mut rng, mut effects) = (Rng::from_u64(0), Vec::new());
        self.node.handle(&mut Cx::new(now, &mut rng, &mut effects), input);
        self.node.check().expect("local invariants");
        let (mut calls, mut answers) = (Vec::new(), Vec::new());
        for effect in effects {
            match effect {
                Effect::Call(to, _, why) => calls.push((number(&to), why)),
                Effect::Reply(_, msg) => answers.push(msg),
                _ => {}
            }
        }
        (calls, answers)
    }

    fn request(n: usize, target: Id, max: usize) -> Input<Kademlia> {
        // As the wire brings it.
        let bytes = wire::to_vec(&Msg::Find { target, max: max as u8, member: true });
        let msg = wire::from_slice(&bytes).expect("what was written is read");
        Input::Message { from: peer(n), ticket: Some(Ticket::new(peer(n).addr(), 1)), msg }
    }

    fn asks(&mut self, n: usize) {
        let before = self.tables();
        self.seconds += 1;
        let called = self.feed(State::request(n, id(PLACES[n]), K));
        self.judge(&before, &Event { speaker: Some(n), ended: None, named: Vec::new(), called });
    }

    /// Compares the tables before and after an event with the rules, and keeps the list of those who spoke.
    fn judge(&mut self, before: &Tables, event: &Event) {
        let after = self.tables();
        let Event { speaker, ended, .. } = *event;
        let mut broken = |rule, holds: bool| {
            if !holds && self.broken.is_none() {
                self.broken = Some(rule);
            }
        };
        let gone: Vec<usize> = without(&before.contacts, &after.contacts);
        let come: Vec<usize> = without(&after.contacts, &before.contacts);
        broken(Rule::Eviction, gone.iter().all(|n| Some(*n) == ended));
        broken(Rule::Eviction, ended.is_none_or(|n| !after.contacts.contains(&n)));
        broken(Rule::Entry, come.iter().all(|n| Some(*n) == speaker));
        if let Some(n) = speaker.filter(|n| !before.contacts.contains(n)) {
            let members = before.contacts.iter().filter(|m| bucket(**m) == bucket(n)).count();
            let room = bucket(n) >= depth(&before.contacts) || members < K;
            broken(Rule::Room, after.contacts.contains(&n) == room && after.spares.contains(&n) != room);
        }
        let silent_longest = |b: usize| self.heard.iter().find(|n| bucket(**n) == b);
        let asked = |(n, why): &(usize, Call)| *why != Call::Refresh || silent_longest(bucket(*n)) == Some(n);
        broken(Rule::Head, event.called.iter().all(asked));

        let is_pinged = |n: usize| self.calls.iter().any(|(m, why)| *m == n && *why != Call::Refresh);
        // Who has just failed is taken for no place.
        let newest =
            |b: usize| before.spares.iter().rev().find(|n| bucket(**n) == b && Some(**n) != ended).copied();
        if let Some(&dead) = gone.first().filter(|n| bucket(**n) < depth(&before.contacts)) {
            let heir = newest(bucket(dead));
            broken(Rule::Heir, heir.is_none_or(is_pinged));
            self.heir = heir.or(self.heir);
        }
        // Who was mentioned now stands last. Not in the cache: contacts, who has just failed, who was taken out to be pinged.
        // One that is named where nobody is known is asked at once, and waits for nothing.
        let beside = |n: &&usize| after.contacts.iter().any(|m| bucket(*m) == bucket(**n));
        let mentioned: Vec<usize> =
            speaker.iter().chain(event.named.iter().filter(beside)).copied().collect();
        let mut waiting = without(&before.spares, &mentioned);
        waiting.extend(mentioned);
        waiting.retain(|n| {
            let taken = !after.spares.contains(n)
                && is_pinged(*n)
                && (newest(bucket(*n)) == Some(*n) || !before.spares.contains(n));
            !after.contacts.contains(n) && Some(*n) != ended && !taken
        });
        waiting.drain(..waiting.len().saturating_sub(SPARES_MAX));
        broken(Rule::Cache, after.spares == waiting);

        self.replaced |= self.heir.is_some_and(|heir| come.contains(&heir));
        self.heard.retain(|n| Some(*n) != ended && Some(*n) != speaker);
        self.heard.extend(speaker.filter(|n| after.contacts.contains(n)));
    }

    /// The `max` nearest to a target of those who spoke, without one.
    fn nearest(&self, target: &Id, max: usize, without: Option<usize>) -> Vec<Peer> {
        let mut known: Vec<Peer> =
            self.heard.iter().filter(|n| Some(**n) != without).map(|n| peer(*n)).collect();
        known.sort_by_key(|p| xor::distance(target, p.id()));
        known.truncate(max);
        known
    }

    /// Whether every question of each of these askers gets the nearest of all that are known, and a step of a lookup all nearer ones.
    fn answers_rightly(&self, askers: &[usize]) -> bool {
        (0..16).all(|at| {
            let target = id(at << 4 | 4);
            let me = peer(0);
            let nearest = self.nearest(&target, 1, None);
            let best =
                nearest.first().filter(|p| xor::distance(&target, p.id()) < xor::distance(&target, me.id()));
            let hop = match self.node.next_hop(&target) {
                Hop::Next(peers) => {
                    let own = xor::common(me.id(), &target);
                    let mut nearer = self.nearest(&target, usize::MAX, None);
                    nearer.retain(|p| xor::common(p.id(), &target) > own);
                    !peers.is_empty() && peers == nearer
                }
                Hop::RootIs(root) => Some(&root) == best,
                Hop::Root => best.is_none(),
                Hop::Stuck => false,
            };
            hop && askers.iter().all(|&asker| {
                let (_, answers) = self.clone().feed_for_answer(State::request(asker, target, K));
                answers == [Msg::Nodes { peers: self.nearest(&target, K, Some(asker)) }]
            })
        })
    }
}

/// Who acts, after which strangers have already asked, and how much happens.
struct Life {
    actors: &'static [usize],
    /// Strangers that have asked in this order at the beginning: all wait in the cache.
    waiting: &'static [usize],
    events: u8,
    /// Whether every answer is looked at, too.
    answers: bool,
}

impl Model for Life {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        // k / 2 members make a neighborhood: the smallest that settings allow each other, though less than a network is given.
        let config = Config { k: K as u16, neighbors: (K / 2) as u16, ..Config::default() };
        let mut everyone: Vec<Peer> = (0..FIRST_STRANGER).map(peer).collect();
        everyone.sort();
        let mut state = State {
            node: Kademlia::new(peer(0), config),
            seconds: 1,
            calls: Vec::new(),
            heard: (1..FIRST_STRANGER).collect(),
            events_left: self.events,
            broken: None,
            heir: None,
            replaced: false,
        };
        let (mut rng, mut effects) = (Rng::from_u64(0), Vec::new());
        state.node.settle(&mut Cx::new(Now::default(), &mut rng, &mut effects), &everyone);
        for n in (1..FIRST_STRANGER).chain(self.waiting.iter().copied()) {
            state.asks(n);
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (n, why) in &state.calls {
            actions.push(Action::Answer(*n, why.clone()));
            actions.push(Action::Silence(*n, why.clone()));
        }
        if state.events_left == 0 {
            return;
        }
        // One of the events, since somebody speaks: as an end like the others it would make fourteen times as many states.
        actions.extend(state.calls.iter().map(|(n, why)| Action::Busy(*n, why.clone())));
        for &n in self.actors {
            actions.push(Action::Asks(n));
            if state.heard.contains(&n) {
                actions.extend([Action::Suspected(n), Action::Leaves(n)]);
            } else {
                actions.push(Action::Named(n));
            }
        }
        // Its period is longer than any call takes.
        if !state.calls.iter().any(|(_, why)| *why == Call::Refresh) {
            actions.push(Action::Refresh);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let before = state.tables();
        match &action {
            Action::Answer(n, why) | Action::Silence(n, why) | Action::Busy(n, why) => {
                let at = state.calls.iter().position(|(m, w)| m == n && w == why)?;
                state.calls.remove(at);
                state.events_left -= u8::from(matches!(action, Action::Busy(..)));
            }
            _ => state.events_left -= 1,
        }
        let (mut speaker, mut ended, mut named) = (None, None, Vec::new());
        let input = match action {
            Action::Asks(n) => {
                state.asks(n);
                return Some(state);
            }
            Action::Answer(n, why) => {
                state.seconds += 1;
                speaker = Some(n);
                let msg = if why == Call::Refresh {
                    named = self.actors.iter().copied().rev().filter(|m| *m != n).take(2).collect();
                    Msg::Nodes { peers: named.iter().map(|m| peer(*m)).collect() }
                } else {
                    Msg::Pong
                };
                Input::Answer { why, from: peer(n), msg }
            }
            Action::Silence(n, why) => {
                ended = Some(n);
                Input::NoAnswer { why, peer: peer(n) }
            }
            Action::Busy(n, why) => {
                state.seconds += 1;
                // It lives; that it is a member it has not said.
                speaker = before.contacts.contains(&n).then_some(n);
                Input::Busy { why, peer: peer(n) }
            }
            Action::Leaves(n) => {
                ended = Some(n);
                Input::Message { from: peer(n), ticket: None, msg: Msg::Leaving }
            }
            Action::Named(n) => {
                named.push(n);
                Input::Heard(peer(n))
            }
            Action::Suspected(n) => Input::Suspect(peer(n)),
            Action::Refresh => Input::Timer(Timer::Refresh),
        };
        let called = state.feed(input);
        state.judge(&before, &Event { speaker, ended, named, called });
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Life>> {
        vec![
            Property::always(
                "a contact leaves after a failed call or by farewell, and only then",
                |_, s: &State| s.broken != Some(Rule::Eviction),
            ),
            Property::always("who has not spoken does not enter", |_, s: &State| {
                s.broken != Some(Rule::Entry)
            }),
            Property::always("who speaks enters if there is room, and waits otherwise", |_, s: &State| {
                s.broken != Some(Rule::Room)
            }),
            Property::always("the least recently seen is asked", |_, s: &State| s.broken != Some(Rule::Head)),
            Property::always("the newest candidate is the heir", |_, s: &State| s.broken != Some(Rule::Heir)),
            Property::always("the cache is bounded, the oldest makes room", |_, s: &State| {
                s.broken != Some(Rule::Cache)
            }),
            Property::always("answers name the nearest of all that are known", |life: &Life, s: &State| {
                !life.answers || s.answers_rightly(life.actors)
            }),
            // That the model can do what it is about.
            Property::sometimes("an heir has taken a dead one's place", |_, s: &State| s.replaced),
        ]
    }
}

/// Checks all orders of events, and says how many states there were; or tells a story that breaks a rule.
fn check(life: Life) {
    let Life { actors, waiting, events, .. } = life;
    let checker = life.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!(
        "{} actors, {} spares, {events} events: {} states, depth {}",
        actors.len(),
        waiting.len(),
        checker.unique_state_count(),
        checker.max_depth()
    );
    for property in checker.model().properties() {
        if property.expectation == Expectation::Always
            && let Some(story) = checker.discovery(property.name)
        {
            let end = format!("{:?}", story.last_state());
            let events: Vec<String> = story.into_actions().iter().map(|a| format!("  {a:?}")).collect();
            panic!(
                "\"{}\" is broken by {} events\n{}\n{end}",
                property.name,
                events.len(),
                events.join("\n")
            );
        }
    }
    checker.assert_properties();
}

/// Two contacts and two strangers of one bucket, each stranger as often as it likes.
#[test]
fn a_live_contact_is_never_evicted() {
    check(Life { actors: &[3, 4, 5, 6], waiting: &[], events: 5, answers: false });
}

/// The cache is full when it begins: the oldest, the newest and a stranger that never came act.
#[test]
fn a_full_cache_keeps_the_newest() {
    check(Life { actors: &[3, 5, 12, 13], waiting: &[5, 6, 7, 8, 9, 10, 11, 12], events: 4, answers: false });
}

/// Every question to the node in every state, from contacts of three buckets and from a stranger.
#[test]
fn answers_are_the_nearest_of_all_that_are_known() {
    check(Life { actors: &[1, 2, 3, 5], waiting: &[], events: 4, answers: true });
}
