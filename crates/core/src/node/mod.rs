//! The node: the only place where the parts meet. Behind the outer seam ([`Machine`]), generic over the overlay.
//!
//! ```text
//!                 ┌──────────── Node<O> ─────────────────────────────────────────────┐
//!  NodeInput ───▶ │ mod.rs     the turn: answers, timers, the overlay's effects       │ ───▶ Outbox
//!                 │ frames.rs  sealing and sending, opening, admitting or refusing    │
//!                 │ join.rs    start, hello, remembered and lost peers, leave         │
//!                 │ find.rs    lookups           put.rs get.rs   client operations    │
//!                 │ serve.rs   requests of others   gather.rs    reading several records│
//!                 │ copies.rs  taking over, repair, handing off  exchange.rs  one sync │
//!                 └───────────────────────────────────────────────────────────────────┘
//! ```
//!
//! One call of [`Machine::handle`] is one turn: inputs first, then what they made due, then the overlay's inputs that
//! arose on the way. Nothing recurses: follow-up inputs of the overlay are queued and drained at the end of the turn.

pub mod message;

mod copies;
mod exchange;
mod find;
mod frames;
mod gather;
mod get;
mod join;
mod prior;
mod put;
mod roll;
mod serials;
mod serve;
mod status;
mod survey;
mod terms;
mod timers;
mod travel;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::mem::take;

use crate::cx::{Cx, Effect, Event, Input, Ticket};
use crate::frame::{Kind, NetworkId};
use crate::id::Id;
use crate::machine::{
    CLIENTS_MAX, Counters, DiskToken, Halt, Inspection, Machine, NodeConfig, NodeInput, Op, OpError, OpId,
    OpResult, Outbox, Phase, Trace,
};
use crate::overlay::{Overlay, Violation};
use crate::peer::{Interner, Peer};
use crate::rng::Rng;
use crate::rpc::{Answered, Class, Due, Rpc, Silence};
use crate::store::{Store, StoreConfig, StoreEvent};
use crate::time::{Duration, Mono, Now, Wall};

use message::Message;
use serials::Serials;
use timers::{OpTimer, OpTimers, Timers};

pub use join::network_of;

/// A client operation ends at the latest after this long. Only a bare lookup, which no door of the daemon offers, goes on until its
/// questions are asked.
pub const OP_TIME_MAX: Duration = Duration::from_secs(8);
/// The declared bound on the difference between two nodes' wall clocks.
pub const SKEW_MAX: Duration = Duration::from_secs(2);
/// Bytes of recently used values kept in memory.
pub const CACHE_BYTES_MAX: usize = 8 << 20;
/// Records being written at once.
pub const WRITES_INFLIGHT_MAX: usize = 8192;
/// Inputs of the overlay that may follow from one another before the rest is dropped: a bound that only a bug reaches.
const OVERLAY_INPUTS_MAX: usize = 4096;

/// What the node arms timers for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Timer<T> {
    /// The overlay's own.
    Overlay(T),
    /// Greet seeds again while joining.
    Join,
    /// Greet one lost peer.
    Probe,
    /// Write the notes.
    Notes,
    /// Compare shares with their other holders.
    Sync,
    /// Look after takeovers that could not finish.
    Maintain,
    /// Drop what has expired.
    Expire,
    /// Write what has waited for room.
    Admit,
    /// See whether the disk takes writes again.
    DiskProbe,
    /// The leave has taken long enough.
    Leave,
}

/// Why a call was made: comes back with its answer.
#[derive(Clone, Debug)]
enum Why<C> {
    Overlay(C),
    /// To a seed or remembered peer, while joining.
    Hello,
    /// To a lost peer, or to a suspect that speaks.
    Probe,
    /// To one that speaks, while this node doubts whose silence it hears: any answer tells.
    Witness,
    Hop(u64),
    Store {
        op: u64,
        attempt: u8,
    },
    /// Before a client's record is sent.
    Prior {
        op: u64,
        attempt: u8,
    },
    Fetch {
        op: u64,
        attempt: u8,
    },
    /// Whether a replica lacks what others have, or has removed it.
    Gone {
        op: u64,
        attempt: u8,
    },
    Heads {
        op: u64,
    },
    About {
        op: u64,
    },
    Route {
        travel: u64,
    },
    /// What is told straight to the asker, and who that is, should the previous hop be dead.
    Routed {
        straight: Option<Box<(message::Routed, Peer)>>,
    },
    Sync {
        exchange: u64,
        arc: crate::keyspace::Arc,
    },
    Pull {
        exchange: u64,
    },
    Push {
        exchange: u64,
    },
}

/// Who waits for the store.
#[derive(Clone, Debug)]
enum Waiter {
    /// A replica's answer to `Store`.
    Store(Ticket),
    /// This node's own copy of a client's put.
    Put { op: u64, attempt: u8 },
    /// A batch given to us.
    Push(u64),
    /// A batch that we fetched.
    Pulled(u64),
    /// Records being gathered.
    Gather(u64),
}

/// What a turn uses and no node needs to keep: a million sleeping nodes hold none of it, and the driver's one is always at
/// hand in the processor's caches.
struct Scratch<O: Overlay> {
    inputs: VecDeque<Input<O>>,
    effects: Vec<Effect<O>>,
    store_events: Vec<StoreEvent<Waiter>>,
    interner: Interner,
}

impl<O: Overlay> Default for Scratch<O> {
    fn default() -> Scratch<O> {
        Scratch {
            inputs: VecDeque::new(),
            effects: Vec::new(),
            store_events: Vec::new(),
            interner: Interner::default(),
        }
    }
}

/// The ambience of one turn.
struct Turn<'a, O: Overlay> {
    now: Now,
    out: &'a mut Outbox,
    scratch: Box<Scratch<O>>,
}

impl<'a, O: Overlay> Turn<'a, O> {
    fn begin(now: Now, out: &'a mut Outbox) -> Turn<'a, O> {
        let scratch = out.scratch();
        Turn { now, out, scratch }
    }

    fn end(mut self) {
        // Nothing is left, but by a turn that was cut short by its bound; and the next turn may be another node's.
        self.scratch.inputs.clear();
        self.out.leave_scratch(self.scratch);
    }
}

/// A node over overlay `O`.
#[repr(C, align(64))]
pub struct Node<O: Overlay> {
    // In this order: what every turn touches stands together. In a large world each turn finds its node out of the caches, and
    // pays for each line of it.
    op_timers: OpTimers,
    phase: Phase,
    replicas_dirty: bool,
    network: NetworkId,
    /// This node's id, folded.
    mark: u64,
    last_heard: Option<Mono>,
    timers: Timers<Timer<O::Timer>>,
    rpc: Rpc<Message<O>, Why<O::Call>>,
    config: NodeConfig,
    counters: Counters,
    overlay: O,
    // What some turns touch.
    rng: Rng,
    /// When the last put of a client was put.
    last_put: Wall,
    refused: Option<Box<str>>,
    store: Store<Waiter>,
    serial: u64,
    lookups: Serials<find::Finding<O::Call>>,
    puts: Serials<put::Put>,
    gets: Serials<get::Get>,
    wheres: Serials<get::Where>,
    surveys: Serials<survey::Survey>,
    travels: BTreeMap<u64, travel::Travel>,
    /// Travelling lookups that this node has handed on and forgotten, and who had passed them: the last of them.
    travelled: VecDeque<(u64, Id)>,
    /// Lookups that clients asked for.
    lookups_asked: usize,
    gathers: Serials<gather::Gather>,
    pushes: Serials<serve::Pushed>,
    copies: copies::CopiesState,
    contacts: join::Contacts,
    skew: status::Skew,
    others: Option<Box<terms::Others>>,
}

impl<O: Overlay> Node<O> {
    /// A node that waits for [`NodeInput::Start`].
    ///
    /// # Errors
    /// A text for people about a setting that is impossible.
    pub fn new(config: NodeConfig) -> Result<Node<O>, String> {
        if config.acks == 0 || config.acks > config.replicas {
            return Err("acks must be between 1 and replicas".to_string());
        }
        if config.reads.is_some_and(|reads| reads == 0 || reads > config.replicas) {
            return Err("reads must be between 1 and replicas".to_string());
        }
        if usize::from(config.replicas) > message::SET_MAX / 2 {
            return Err("replicas must be at most 16".to_string());
        }
        if config.value_bytes_max as usize > crate::store::record::VALUE_BYTES_MAX {
            return Err("the greatest value is 1 MiB".to_string());
        }
        let overlay_config = O::configure(&config.overlay_options)?;
        let replicas_max = O::replicas_max(&overlay_config);
        if usize::from(config.replicas) > replicas_max {
            return Err(alloc::format!(
                "{} keeps at most {replicas_max} copies with these settings, {} are wanted",
                O::NAME,
                config.replicas
            ));
        }
        let store = Store::new(StoreConfig {
            value_bytes_max: config.value_bytes_max,
            ttl_max: config.ttl_max,
            store_bytes_max: config.store_bytes_max,
            skew_max: SKEW_MAX,
            cache_bytes_max: CACHE_BYTES_MAX,
            writes_inflight_max: WRITES_INFLIGHT_MAX,
        });
        Ok(Node {
            network: NetworkId::UNKNOWN,
            phase: Phase::Loading,
            mark: config.me.id().fold(),
            refused: None,
            overlay: O::new(config.me.clone(), overlay_config),
            rng: Rng::new(config.seed).fork("node", 0),
            replicas_dirty: false,
            rpc: Rpc::new(),
            timers: Timers::new(),
            op_timers: OpTimers::new(),
            store,
            serial: 0,
            lookups: Serials::default(),
            puts: Serials::default(),
            gets: Serials::default(),
            wheres: Serials::default(),
            surveys: Serials::default(),
            travels: BTreeMap::new(),
            travelled: VecDeque::new(),
            lookups_asked: 0,
            gathers: Serials::default(),
            pushes: Serials::default(),
            copies: copies::CopiesState::default(),
            contacts: join::Contacts::default(),
            skew: status::Skew::default(),
            others: None,
            last_heard: None,
            last_put: Wall(0),
            counters: Counters::default(),
            config,
        })
    }

    const fn me(&self) -> &Peer {
        &self.config.me
    }

    fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn belong_to(&mut self, network: NetworkId) {
        self.network = network;
        self.store.belong_to(network);
    }

    fn set_phase(&mut self, t: &mut Turn<'_, O>, phase: Phase) {
        if self.phase != phase {
            self.phase = phase;
            t.out.trace(|| Trace::Phase(phase));
        }
    }

    fn done(&mut self, t: &mut Turn<'_, O>, op: OpId, result: OpResult) {
        t.out.done.push((op, result));
    }

    // ---- answers ---------------------------------------------------------------------------------------------

    fn on_answer(
        &mut self,
        t: &mut Turn<'_, O>,
        answered: Answered<Why<O::Call>>,
        from: Peer,
        msg: Message<O>,
    ) {
        let Answered { asked, why, rtt, .. } = answered;
        if let Message::Welcome(standing, _) | Message::SyncIs(_, standing, _) = &msg {
            self.learn_clock(t, &from, standing.wall, rtt);
            self.learn_terms(t, &from, standing.terms);
        }
        match (why, msg) {
            (Why::Overlay(why), Message::Overlay(msg)) => {
                // It speaks from elsewhere: whom the overlay has asked is not there any more. Its label may have changed; that is the overlay's affair.
                let there = asked.addr() == from.addr();
                t.scratch.inputs.push_back(if there {
                    Input::Answer { why, from, msg }
                } else {
                    Input::NoAnswer { why, peer: asked }
                });
            }
            (Why::Hello, Message::Welcome(_, member)) => {
                self.on_welcome(t, &asked, from, member);
            }
            (Why::Probe, Message::Welcome(..)) => self.on_probe_answered(t, from),
            (Why::Witness, Message::Welcome(..)) => {}
            (Why::Hop(lookup), Message::HopIs(answer)) => self.on_hop(t, lookup, &from, rtt, answer),
            (Why::Route { travel }, Message::Taken(taken)) => self.on_taken(t, travel, taken),
            (Why::Routed { .. }, Message::Heard) => {}
            (Why::About { op }, Message::AboutIs(facts)) => self.on_about(t, op, &from, rtt, *facts),
            (Why::Store { op, attempt }, Message::Stored(verdict)) => {
                self.on_verdict(t, op, attempt, from, verdict);
            }
            (Why::Fetch { op, attempt }, Message::Page(ready, records, more)) => {
                self.on_page(t, op, attempt, ready, get::Page { from, records, more });
            }
            (Why::Prior { op, attempt }, Message::HeadsAre(ready, heads)) => {
                self.on_prior(t, op, attempt, ready, &heads);
            }
            (Why::Gone { op, attempt }, Message::HeadsAre(_, heads)) => self.on_gone(t, op, attempt, &heads),
            (Why::Heads { op }, Message::HeadsAre(ready, heads)) => self.on_heads(t, op, &from, ready, heads),
            (Why::Sync { exchange, arc }, Message::SyncIs(ready, _, answer)) => {
                self.on_sync_answer(t, exchange, &arc, ready, answer);
            }
            (Why::Pull { exchange }, Message::Records(records)) => self.on_pulled(t, exchange, records),
            (Why::Push { exchange }, Message::Pushed(stored)) => self.on_pushed(t, exchange, stored),
            (why, _) => {
                // The right peer said the wrong thing: its bug; for us it did not answer.
                self.counters.frames_malformed += 1;
                self.on_no_answer(t, asked, why, Silence::Believed);
            }
        }
    }

    fn on_no_answer(&mut self, t: &mut Turn<'_, O>, peer: Peer, why: Why<O::Call>, end: Silence) {
        self.counters.calls_unanswered += 1;
        t.out.trace(|| Trace::NoAnswer(peer.clone()));
        let suspect =
            !matches!(why, Why::Overlay(_) | Why::Hello | Why::Probe | Why::Witness | Why::About { .. });
        // Whom nobody answers in time learns nothing about others: it goes on with what it knew.
        let doubted = end == Silence::Doubted;
        if suspect && !doubted {
            t.scratch.inputs.push_back(Input::Suspect(peer.clone()));
        }
        if !doubted && !matches!(why, Why::Hello | Why::Probe | Why::Witness | Why::About { .. }) {
            self.lose(t, &peer);
        }
        match why {
            Why::Overlay(why) => t.scratch.inputs.push_back(Input::NoAnswer { why, peer }),
            Why::Hello => self.on_hello_unanswered(&peer),
            Why::Probe => self.end_ask(peer.id()),
            Why::Hop(lookup) => self.on_hop_silent(t, lookup, &peer),
            Why::Store { op, attempt } => self.on_store_unanswered(t, op, attempt),
            Why::Fetch { op, attempt } => self.on_fetch_unanswered(t, op, attempt, &peer),
            Why::Prior { op, attempt } => self.on_prior_unanswered(t, op, attempt),
            Why::Gone { op, attempt } => self.on_gone_unanswered(t, op, attempt),
            Why::Heads { op } => self.on_heads_unanswered(t, op),
            Why::About { op } => self.on_about_unanswered(t, op),
            Why::Route { travel } => self.on_route_silent(t, travel, &peer),
            Why::Routed { straight: Some(straight) } => self.on_routed_unheard(t, straight.0, &straight.1),
            Why::Routed { straight: None } | Why::Witness => {}
            Why::Sync { exchange, .. } | Why::Pull { exchange } | Why::Push { exchange } => {
                self.fail_exchange(t, exchange);
            }
        }
    }

    fn on_slow(&mut self, t: &mut Turn<'_, O>, peer: &Peer, why: &Why<O::Call>) {
        match *why {
            Why::Hop(lookup) => self.on_hop_slow(t, lookup, peer),
            Why::Fetch { op, attempt } => self.hedge_get(t, op, attempt),
            Why::Route { travel } => self.on_route_slow(t, travel, peer),
            _ => {}
        }
    }

    // ---- the overlay -------------------------------------------------------------------------------------------

    /// Feeds the overlay until it is quiet.
    fn drain_overlay(&mut self, t: &mut Turn<'_, O>) {
        let mut budget = OVERLAY_INPUTS_MAX;
        while let Some(input) = t.scratch.inputs.pop_front() {
            if budget == 0 {
                t.scratch.inputs.clear();
                return;
            }
            budget -= 1;
            let mut effects = take(&mut t.scratch.effects);
            let mut cx = Cx::new(t.now, &mut self.rng, &mut effects);
            self.overlay.handle(&mut cx, input);
            if cfg!(debug_assertions)
                && let Err(violation) = self.overlay.check()
            {
                panic!("{} after an input: {violation}", O::NAME);
            }
            for effect in effects.drain(..) {
                self.perform(t, effect);
            }
            t.scratch.effects = effects;
        }
    }

    fn perform(&mut self, t: &mut Turn<'_, O>, effect: Effect<O>) {
        match effect {
            Effect::Tell(to, msg) => {
                self.send(t, Kind::Tell, to.addr(), 0, Some(&Message::Overlay(msg)));
            }
            Effect::Call(to, msg, why) => {
                let begun = self.begin_call(t, to, Message::Overlay(msg), Class::Quick, Why::Overlay(why));
                if let Err((peer, Why::Overlay(why))) = begun {
                    t.scratch.inputs.push_back(Input::NoAnswer { why, peer });
                }
            }
            Effect::Reply(ticket, msg) => self.reply(t, &ticket, &Message::Overlay(msg)),
            Effect::Busy(ticket) => self.send(t, Kind::Busy, ticket.to, ticket.request, None),
            Effect::Arm(timer, after) => self.timers.arm(Timer::Overlay(timer), t.now.mono + after),
            Effect::Disarm(timer) => self.timers.disarm(Timer::Overlay(timer)),
            Effect::Lookup(target, why) => self.find(t, target, 1, false, find::For::Overlay(why)),
            Effect::Emit(event) => self.on_event(t, event),
        }
    }

    fn on_event(&mut self, t: &mut Turn<'_, O>, event: Event) {
        t.out.trace(|| Trace::Overlay(event));
        match event {
            Event::Joined => {
                self.on_joined(t);
                self.replicas_dirty = true;
            }
            Event::NeighborsChanged => self.on_neighbors_changed(t),
            Event::ReplicasChanged { from } => {
                self.replicas_dirty |= from <= usize::from(self.config.replicas);
            }
            Event::Left => self.on_left(t),
        }
    }

    // ---- the turn ----------------------------------------------------------------------------------------------

    fn on_op(&mut self, t: &mut Turn<'_, O>, op: OpId, what: Op) {
        if let Op::Status = what {
            let status = self.status(t.now);
            return self.done(t, op, Ok(crate::machine::OpDone::Status(alloc::boxed::Box::new(status))));
        }
        if let Op::Held { after, max } = what
            && self.phase != Phase::Loading
        {
            return self.done(t, op, Ok(self.held(after.as_ref(), max)));
        }
        if let Op::Records { after, max, page_bytes } = what
            && self.phase != Phase::Loading
        {
            return self.whole_records(t, op, after.as_ref(), max, page_bytes);
        }
        if let Op::Clients { max } = what {
            let (room, shares) = (self.store.room(), self.store.shares(max.min(CLIENTS_MAX) as usize));
            return self.done(t, op, Ok(crate::machine::OpDone::Clients { room, shares }));
        }
        if self.phase != Phase::Member {
            return self.done(t, op, Err(OpError::NotJoined));
        }
        if self.skew.is_out() {
            return self.done(t, op, Err(OpError::Halted(Halt::ClockSkew)));
        }
        if self.ops_under_way() >= self.config.ops_max as usize {
            self.counters.ops_shed += 1;
            return self.done(t, op, Err(OpError::Busy));
        }
        match what {
            Op::Put { .. }
            | Op::PutImmutable { .. }
            | Op::PutSigned(_)
            | Op::Remove { .. }
            | Op::Restore(_) => {
                self.on_put(t, op, what);
            }
            Op::Get { key, max, after, reads, page_bytes, overhead_bytes, signer } => {
                let page = message::PageRequest { key, after, max, page_bytes, overhead_bytes, signer };
                self.get(t, op, page, reads);
            }
            Op::Lookup { target } => {
                let wanted = self.config.replicas;
                self.find(t, target, wanted, true, find::For::Op(op));
            }
            Op::Where { key } => self.where_is(t, op, key),
            Op::Trace { target } => self.find(t, target, self.config.replicas, true, find::For::Trace(op)),
            Op::Survey { max } => self.survey(t, op, max),
            Op::Held { .. } | Op::Records { .. } | Op::Clients { .. } | Op::Status => {}
        }
    }

    fn on_disk(&mut self, t: &mut Turn<'_, O>, token: DiskToken, result: crate::machine::DiskResult) {
        if matches!(result, crate::machine::DiskResult::Failed(_)) {
            self.counters.disk_errors += 1;
        }
        let mut events = take(&mut t.scratch.store_events);
        self.store.disk_done(t.now.wall, token, result, &mut t.out.disk, &mut events);
        for event in events.drain(..) {
            match event {
                StoreEvent::Loaded { notes } => self.on_loaded(t, notes),
                StoreEvent::Put { waiter, result } => self.on_stored(t, waiter, result),
                StoreEvent::Read { waiter, record, .. } => self.on_read(t, &waiter, record),
                StoreEvent::Halt(halt) => {
                    t.out.trace(|| Trace::Halt(halt));
                    if halt.is_some() {
                        self.timers.arm(Timer::DiskProbe, t.now.mono + Duration::from_secs(1));
                    }
                }
                StoreEvent::Damaged(identity) => {
                    self.counters.records_damaged += 1;
                    self.on_damaged(t, &identity.key);
                }
            }
        }
        t.scratch.store_events = events;
        self.arm_admission(t.now);
    }

    fn on_timer(&mut self, t: &mut Turn<'_, O>, timer: Timer<O::Timer>) {
        match timer {
            Timer::Overlay(timer) => t.scratch.inputs.push_back(Input::Timer(timer)),
            Timer::Join => self.greet(t),
            Timer::Probe => self.probe_lost(t),
            Timer::Notes => self.write_notes(t),
            Timer::Sync => self.sync_shares(t),
            Timer::Maintain => self.maintain(t),
            Timer::Expire => self.expire(t),
            Timer::Admit => {
                self.store.admit(t.now.wall, &mut t.out.disk);
                self.arm_admission(t.now);
            }
            Timer::DiskProbe => {
                if self.store.halt().is_some() {
                    // Who is not a member knows fewer than its notes do.
                    let notes = (self.phase == Phase::Member).then(|| self.notes());
                    self.store.probe(notes, &mut t.out.disk);
                    self.timers.arm(Timer::DiskProbe, t.now.mono + Duration::from_secs(1));
                }
            }
            Timer::Leave => self.say_goodbye(t),
        }
    }

    fn op_over(&mut self, t: &mut Turn<'_, O>, op: u64) {
        if self.puts.contains_key(&op) {
            self.put_over(t, op);
        } else if self.gets.contains_key(&op) {
            self.get_over(t, op);
        } else if self.wheres.contains_key(&op) {
            self.where_over(t, op);
        } else if self.surveys.contains_key(&op) {
            self.survey_over(t, op);
        } else {
            self.find_over(t, op);
        }
    }

    /// Ends all that clients have asked for: this node serves nobody any more.
    fn end_ops(&mut self, t: &mut Turn<'_, O>) {
        let asked = self.lookups.iter().filter(|(_, finding)| finding.is_asked()).map(|(serial, _)| serial);
        let ops =
            self.puts.keys().chain(self.gets.keys()).chain(self.wheres.keys()).chain(self.surveys.keys());
        let ops: Vec<u64> = ops.chain(asked).copied().collect();
        ops.into_iter().for_each(|op| self.op_over(t, op));
    }

    fn op_again(&mut self, t: &mut Turn<'_, O>, op: u64) {
        if self.puts.contains_key(&op) {
            self.put_again(t, op);
        } else if self.gets.contains_key(&op) {
            self.get_again(t, op);
        }
    }

    /// Everything that has become due, then the overlay, until nothing is left for this instant.
    fn settle_turn(&mut self, t: &mut Turn<'_, O>) {
        while let Some(due) = self.rpc.pop_due(t.now.mono) {
            self.counters.tries_timed_out += 1;
            match due {
                Due::Again { request, to, msg, why } => {
                    self.send(t, Kind::Request, to.addr(), request, Some(&msg));
                    self.on_slow(t, &to, &why);
                }
                Due::NoAnswer { peer, why: Why::Overlay(why), end: Silence::Busy } => {
                    self.counters.calls_busy += 1;
                    t.scratch.inputs.push_back(Input::Busy { why, peer: peer.clone() });
                    self.drain_overlay(t);
                    // If the overlay gives it up somebody must remember it.
                    if !self.overlay.neighbors().any(|known| *known == peer) {
                        self.lose(t, &peer);
                    }
                }
                Due::NoAnswer { peer, why, end } => self.on_no_answer(t, peer, why, end),
            }
            // All that were under way may end at once, where this node was cut off or stood still.
            if t.scratch.inputs.len() >= OVERLAY_INPUTS_MAX / 4 {
                self.drain_overlay(t);
            }
        }
        for witness in self.rpc.witnesses() {
            self.call(t, &witness, Message::Hello(t.now.wall), Class::Quick, Why::Witness);
        }
        while let Some(timer) = self.timers.pop_due(t.now.mono) {
            self.on_timer(t, timer);
        }
        while let Some((what, op)) = self.op_timers.pop_due(t.now.mono) {
            match what {
                OpTimer::Over => self.op_over(t, op),
                OpTimer::Travel => self.travel_over(t, op),
                OpTimer::Again => self.op_again(t, op),
            }
        }
        self.drain_overlay(t);
        if take(&mut self.replicas_dirty) {
            self.on_replicas_changed(t);
            self.drain_overlay(t);
        }
    }

    fn expire(&mut self, t: &mut Turn<'_, O>) {
        let dropped = self.store.expire(t.now.wall, 1024, &mut t.out.disk);
        self.counters.records_expired += dropped as u64;
        self.arm_expiry(t.now);
    }

    /// What waits for room is written when its hour has come.
    fn arm_admission(&mut self, now: Now) {
        if let Some(at) = self.store.next_admission() {
            self.timers.arm(Timer::Admit, now.mono + at.since(now.wall));
        }
    }

    fn arm_expiry(&mut self, now: Now) {
        if let Some(at) = self.store.next_expiry() {
            let wait = at.since(now.wall).max(Duration::from_millis(100));
            self.timers.arm_by(Timer::Expire, now.mono + wait);
        }
    }
}

impl<O: Overlay> Machine for Node<O> {
    fn handle(&mut self, now: Now, inputs: &mut [NodeInput<'_>], out: &mut Outbox) {
        let mut t = Turn::begin(now, out);
        for input in inputs {
            if matches!(self.phase, Phase::Stopped | Phase::Refused) {
                if let NodeInput::Op { op, what } = input
                    && !matches!(what, Op::Status)
                {
                    t.out.done.push((*op, Err(OpError::NotJoined)));
                    continue;
                }
                if matches!(input, NodeInput::Datagram { .. } | NodeInput::Start { .. }) {
                    continue;
                }
            }
            match input {
                NodeInput::Datagram { from, bytes } => self.on_frame(&mut t, *from, bytes),
                NodeInput::Tick => {}
                NodeInput::DiskDone { token, result } => {
                    let result = core::mem::replace(result, crate::machine::DiskResult::Written);
                    self.on_disk(&mut t, *token, result);
                }
                NodeInput::Op { op, what } => {
                    let what = core::mem::replace(what, Op::Status);
                    self.on_op(&mut t, *op, what);
                }
                NodeInput::Start { seeds } => self.start(&mut t, seeds),
                NodeInput::Stop => self.stop(&mut t),
            }
            self.drain_overlay(&mut t);
        }
        if self.phase != Phase::Stopped && self.phase != Phase::Refused {
            self.settle_turn(&mut t);
        }
        t.end();
    }

    fn deadline(&self) -> Option<Mono> {
        if matches!(self.phase, Phase::Stopped | Phase::Refused) {
            return None;
        }
        // Asked after every turn: without branches.
        let at = |deadline: Option<Mono>| deadline.unwrap_or(Mono::NEVER);
        let first =
            at(self.rpc.deadline()).min(at(self.timers.deadline())).min(at(self.op_timers.deadline()));
        (first != Mono::NEVER).then_some(first)
    }

    fn check(&self) -> Result<(), Violation> {
        self.overlay.check()?;
        self.store.check()?;
        self.check_bounds()
    }

    fn settle(&mut self, now: Now, network: NetworkId, everyone: &[Peer], out: &mut Outbox) {
        let mut t = Turn::begin(now, out);
        t.scratch.interner.meet(&self.config.me);
        self.belong_to(network);
        let mut effects = take(&mut t.scratch.effects);
        let mut cx = Cx::new(now, &mut self.rng, &mut effects);
        self.overlay.settle(&mut cx, everyone);
        for effect in effects.drain(..) {
            self.perform(&mut t, effect);
        }
        t.scratch.effects = effects;
        // The phase skips `Loading`, the store cannot: it takes no writes before it has seen its disk.
        self.store.load(&mut t.out.disk);
        self.set_phase(&mut t, Phase::Member);
        self.settle_copies(&mut t);
        t.end();
    }

    fn inspect(&self) -> Inspection {
        self.inspection()
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

/// The first eight bytes of an id: breaks ties between gateways.
fn origin_of(id: &Id) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&id.as_bytes()[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests;
