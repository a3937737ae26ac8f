//! A client's get, and `where`: merge the pages of enough replicas.
//!
//! ```text
//!  op ──▶ here, if Reads::First and this node has taken over the range
//!  op ──▶ lookup ──▶ Fetch from R - W + 1 replicas ──▶ Page(ready, records, more) ──▶ merged, in put-time order
//!                      └─ slow, silent or not ready: the next replica is asked as well
//! ```
//!
//! A page tells of values, not of removals. Where one replica shows a value that another does not, that other is asked whether
//! it has removed it: of an acknowledged remove one of the quorum knows.
//!
//! ```text
//!  pages differ ──▶ HeadsOf(what it lacks) to each that lacks some ──▶ HeadsAre ──▶ without what is removed
//! ```
//!
//! Only replicas that have finished taking over count towards the quorum; the records of the others are merged all the
//! same. "Not found" needs the quorum like any other answer. A merged page ends where the first of its parts ends:
//! beyond that place another replica might still have something.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::find::For;
use super::message::{HEADS_MAX, Message, PageRequest};
use super::put::backoff;
use super::timers::OpTimer;
use super::{Node, OP_TIME_MAX, Turn, Why};
use crate::id::Id;
use crate::machine::{Copies, GetAnswer, OpDone, OpError, OpId, Reads, Value};
use crate::overlay::Overlay;
use crate::peer::Peer;
use crate::rpc::Class;
use crate::store::{Cursor, Head, Identity, Record};
use crate::time::{Mono, Now};

/// One replica's page.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) from: Peer,
    pub(super) records: Vec<Record>,
    pub(super) more: bool,
}

/// A get under way.
#[derive(Clone, Debug)]
pub(super) struct Get {
    op: OpId,
    request: PageRequest,
    reads: Reads,
    /// Replicas not asked yet, best first.
    unasked: Vec<Peer>,
    waiting: u8,
    ready: u8,
    pages: Vec<Page>,
    /// The answer while replicas are asked whether they have removed some of it, and how many have not said.
    unproven: Option<(GetAnswer, u8)>,
    attempt: u8,
    /// When it is given up.
    over: Mono,
    /// Between two attempts.
    resting: bool,
}

/// A `where` under way.
#[derive(Clone, Debug)]
pub(super) struct Where {
    op: OpId,
    key: Id,
    copies: Vec<Copies>,
    waiting: u8,
    over: Mono,
}

/// Lookups that may name fewer replicas than a get needs; with the pauses between them they take half a second at least.
const FEW_MAX: u8 = 3;

impl<O: Overlay> Node<O> {
    pub(super) fn get(&mut self, t: &mut Turn<'_, O>, op: OpId, request: PageRequest, reads: Reads) {
        self.counters.gets += 1;
        let here = self.copies.is_ready(&request.key);
        let alone = here && (reads == Reads::First || self.config.read_quorum() == 1);
        if alone && let Some(answer) = self.answer_from_cache(t.now, &request) {
            return self.done(t, op, Ok(OpDone::Got(answer)));
        }
        let serial = self.serial();
        let over = t.now.mono + OP_TIME_MAX;
        let get = Get {
            op,
            request,
            reads,
            unasked: Vec::new(),
            waiting: 0,
            ready: 0,
            pages: Vec::new(),
            unproven: None,
            attempt: 0,
            over,
            resting: false,
        };
        self.gets.insert(serial, get);
        self.op_timers.arm(OpTimer::Over, serial, over);
        if here && reads == Reads::First {
            let me = self.me().clone();
            return self.get_from(t, serial, alloc::vec![me]);
        }
        self.find(t, request.key, self.config.replicas, false, For::Get(serial));
    }

    /// The replica set is known (or the lookup failed: it is empty).
    pub(super) fn get_from(&mut self, t: &mut Turn<'_, O>, serial: u64, mut set: Vec<Peer>) {
        set.truncate(usize::from(self.config.replicas));
        let me = *self.me().id();
        // Nearest first; whoever was silent lately last.
        let mut ranked: Vec<_> = set
            .into_iter()
            .map(|p| {
                let near =
                    if *p.id() == me { Some(crate::time::Duration::ZERO) } else { self.rpc.rtt(p.id()) };
                (self.rpc.is_suspect(p.id()), near.unwrap_or(crate::rpc::RTO_FIRST), p)
            })
            .collect();
        ranked.sort_by(|a, b| (a.0, a.1, a.2.id()).cmp(&(b.0, b.1, b.2.id())));
        let Some(get) = self.gets.get_mut(&serial) else { return };
        let wanted = wanted(get.reads, self.config.read_quorum());
        // Members that come back are waited for a moment, and not for as long as the whole get may take.
        if !ranked.is_empty() && ranked.len() < usize::from(wanted) && get.attempt >= FEW_MAX {
            let got = ranked.len() as u8;
            return self.end_get(t, serial, Err(OpError::Quorum { got, want: wanted }));
        }
        get.unasked = ranked.into_iter().map(|(_, _, p)| p).collect();
        get.attempt += 1;
        (get.waiting, get.ready, get.unproven) = (0, 0, None);
        get.pages.clear();
        for _ in 0..wanted {
            self.ask_one(t, serial);
        }
        self.judge_get(t, serial);
    }

    fn ask_one(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        let me = *self.me().id();
        let Some(get) = self.gets.get_mut(&serial) else { return };
        if get.unasked.is_empty() {
            return;
        }
        let (peer, request, attempt) = (get.unasked.remove(0), get.request, get.attempt);
        get.waiting += 1;
        if *peer.id() == me {
            self.own_page(t, serial, attempt, &request);
        } else {
            let why = Why::Fetch { op: serial, attempt };
            if !self.call(t, &peer, Message::Fetch(Box::new(request)), Class::Quick, why) {
                self.on_fetch_unanswered(t, serial, attempt, &peer);
            }
        }
    }

    /// The asked replica is slow: the next one is asked as well.
    pub(super) fn hedge_get(&mut self, t: &mut Turn<'_, O>, serial: u64, attempt: u8) {
        let wants = |g: &Get| g.attempt == attempt && !g.unasked.is_empty() && g.unproven.is_none();
        if self.gets.get(&serial).is_some_and(wants) {
            self.counters.hedges += 1;
            self.ask_one(t, serial);
        }
    }

    pub(super) fn on_page(&mut self, t: &mut Turn<'_, O>, serial: u64, attempt: u8, ready: bool, page: Page) {
        let network = self.network;
        let Some(get) = self.gets.get_mut(&serial) else { return };
        if get.attempt != attempt || get.unproven.is_some() {
            return;
        }
        get.waiting = get.waiting.saturating_sub(1);
        get.ready += u8::from(ready);
        let wrong = |r: &Record| {
            let head = &r.head;
            head.identity.key != get.request.key
                || head.kind.is_remove()
                || !r.is_intact()
                || !r.is_authentic(network)
        };
        if page.records.iter().any(wrong) {
            self.counters.records_damaged += 1;
            get.ready -= u8::from(ready);
        } else {
            get.pages.push(page);
        }
        if !ready {
            self.ask_one(t, serial);
        }
        self.judge_get(t, serial);
    }

    pub(super) fn on_fetch_unanswered(
        &mut self,
        t: &mut Turn<'_, O>,
        serial: u64,
        attempt: u8,
        _peer: &Peer,
    ) {
        let Some(get) = self.gets.get_mut(&serial) else { return };
        if get.attempt != attempt || get.unproven.is_some() {
            return;
        }
        get.waiting = get.waiting.saturating_sub(1);
        self.ask_one(t, serial);
        self.judge_get(t, serial);
    }

    /// Answers if enough have spoken; tries again later if nobody is left to ask.
    fn judge_get(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        let quorum = self.config.read_quorum();
        let Some(get) = self.gets.get_mut(&serial) else { return };
        let merged = get.pages.len() as u8;
        let enough = match get.reads {
            Reads::Quorum => get.ready >= quorum,
            // A first copy that is there is an answer; its absence needs a replica that has taken over.
            Reads::First => get.ready >= 1 || get.pages.iter().any(|p| !p.records.is_empty()),
        };
        if enough {
            let answer = answer(t.now, &get.request, &get.pages, merged);
            // planted: what one replica has removed is served because another shows it
            let asks = get.reads == Reads::Quorum && !cfg!(keyway_bug = "node_shows_removed");
            let doubts = if asks { doubts(&answer, &get.pages) } else { Vec::new() };
            if doubts.is_empty() {
                return self.end_get(t, serial, Ok(OpDone::Got(answer)));
            }
            let attempt = get.attempt;
            get.unproven = Some((answer, doubts.len() as u8));
            return self.ask_gone(t, serial, attempt, doubts);
        }
        self.get_later(t, serial);
    }

    /// Tries again after a while, once nobody is left to wait for.
    fn get_later(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        let Some(get) = self.gets.get_mut(&serial) else { return };
        if get.waiting == 0 && !core::mem::replace(&mut get.resting, true) {
            let wait = backoff(get.attempt);
            self.op_timers.arm(OpTimer::Again, serial, t.now.mono + wait);
        }
    }

    /// Asks each replica whether what it does not show is removed there.
    fn ask_gone(
        &mut self,
        t: &mut Turn<'_, O>,
        serial: u64,
        attempt: u8,
        doubts: Vec<(Peer, Vec<Identity>)>,
    ) {
        let me = *self.me().id();
        for (peer, lacks) in doubts {
            if *peer.id() == me {
                let heads = self.live_heads_of(t.now.wall, &lacks);
                self.on_gone(t, serial, attempt, &heads);
            } else {
                let why = Why::Gone { op: serial, attempt };
                if !self.call(t, &peer, Message::HeadsOf(lacks), Class::Quick, why) {
                    self.on_gone_unanswered(t, serial, attempt);
                }
            }
        }
    }

    /// What a replica holds of what it did not show.
    pub(super) fn on_gone(&mut self, t: &mut Turn<'_, O>, serial: u64, attempt: u8, heads: &[Head]) {
        let Some(get) = self.gets.get_mut(&serial).filter(|get| get.attempt == attempt) else { return };
        let Some((answer, unsaid)) = &mut get.unproven else { return };
        *unsaid = unsaid.saturating_sub(1);
        // Of one number of a series, and of anything else, a removal wins; of two numbers the greater.
        let removes = |head: &Head, value: &Value| {
            head.kind.is_remove() && head.identity == value.identity && head.seq >= value.seq
        };
        answer.values.retain(|value| !heads.iter().any(|head| removes(head, value)));
        if *unsaid == 0
            && let Some((answer, _)) = get.unproven.take()
        {
            self.end_get(t, serial, Ok(OpDone::Got(answer)));
        }
    }

    /// A replica that counted is silent now: the others are asked anew.
    pub(super) fn on_gone_unanswered(&mut self, t: &mut Turn<'_, O>, serial: u64, attempt: u8) {
        let Some(get) = self.gets.get_mut(&serial).filter(|get| get.attempt == attempt) else { return };
        if get.unproven.take().is_some() {
            // What is still on its way does not count any more: the next attempt asks all again.
            (get.waiting, get.ready) = (0, 0);
            get.pages.clear();
            self.get_later(t, serial);
        }
    }

    pub(super) fn get_again(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        let Some(get) = self.gets.get_mut(&serial) else { return };
        get.resting = false;
        let key = get.request.key;
        self.find(t, key, self.config.replicas, false, For::Get(serial));
    }

    pub(super) fn get_over(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        let Some(get) = self.gets.get(&serial) else { return };
        let want = wanted(get.reads, self.config.read_quorum());
        let got = get.ready;
        self.end_get(t, serial, Err(OpError::Quorum { got, want }));
    }

    fn end_get(&mut self, t: &mut Turn<'_, O>, serial: u64, result: Result<OpDone, OpError>) {
        let Some(get) = self.gets.remove(&serial) else { return };
        self.op_timers.disarm(OpTimer::Over, serial, get.over);
        self.counters.gets_failed += u64::from(result.is_err());
        self.done(t, get.op, result);
    }

    // ---- where -------------------------------------------------------------------------------------------------

    pub(super) fn where_is(&mut self, t: &mut Turn<'_, O>, op: OpId, key: Id) {
        let serial = self.serial();
        let over = t.now.mono + OP_TIME_MAX;
        self.wheres.insert(serial, Where { op, key, copies: Vec::new(), waiting: 0, over });
        self.op_timers.arm(OpTimer::Over, serial, over);
        self.find(t, key, self.config.replicas, false, For::Where(serial));
    }

    pub(super) fn where_from(&mut self, t: &mut Turn<'_, O>, serial: u64, set: Vec<Peer>) {
        let me = *self.me().id();
        let Some(key) = self.wheres.get(&serial).map(|w| w.key) else { return };
        for peer in set {
            let mut copies =
                Copies { peer: peer.clone(), heads: None, ready: false, rtt: self.rpc.rtt(peer.id()) };
            let own = *peer.id() == me;
            if own {
                copies.heads = Some(self.store.all_heads_of(&key).copied().collect());
                copies.ready = self.copies.is_ready(&key);
            }
            let Some(w) = self.wheres.get_mut(&serial) else { return };
            w.copies.push(copies);
            if !own
                && self.call(t, &peer, Message::Heads(key), Class::Quick, Why::Heads { op: serial })
                && let Some(w) = self.wheres.get_mut(&serial)
            {
                w.waiting += 1;
            }
        }
        self.judge_where(t, serial);
    }

    pub(super) fn on_heads(
        &mut self,
        t: &mut Turn<'_, O>,
        serial: u64,
        from: &Peer,
        ready: bool,
        heads: Vec<Head>,
    ) {
        let Some(w) = self.wheres.get_mut(&serial) else { return };
        w.waiting = w.waiting.saturating_sub(1);
        if let Some(copies) = w.copies.iter_mut().find(|c| c.peer.id() == from.id()) {
            (copies.heads, copies.ready) = (Some(heads), ready);
        }
        self.judge_where(t, serial);
    }

    pub(super) fn on_heads_unanswered(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        let Some(w) = self.wheres.get_mut(&serial) else { return };
        w.waiting = w.waiting.saturating_sub(1);
        self.judge_where(t, serial);
    }

    fn judge_where(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        if self.wheres.get(&serial).is_some_and(|w| w.waiting == 0) {
            self.where_over(t, serial);
        }
    }

    pub(super) fn where_over(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        let Some(w) = self.wheres.remove(&serial) else { return };
        self.op_timers.disarm(OpTimer::Over, serial, w.over);
        let result = if w.copies.is_empty() { Err(OpError::Timeout) } else { Ok(OpDone::Where(w.copies)) };
        self.done(t, w.op, result);
    }
}

/// How many replicas are asked at first.
const fn wanted(reads: Reads, quorum: u8) -> u8 {
    match reads {
        Reads::First => 1,
        Reads::Quorum => quorum,
    }
}

/// Merges pages into one answer: the greatest copy of each identity, in put-time order, up to the earliest end of a
/// page that says there is more, within the asked count and bytes.
fn answer(now: Now, request: &PageRequest, pages: &[Page], merged: u8) -> GetAnswer {
    let end = pages.iter().filter(|p| p.more).filter_map(|p| p.records.last()).map(|r| r.head.cursor()).min();
    let mut greatest: BTreeMap<(Id, Id), &Record> = BTreeMap::new();
    for record in pages.iter().flat_map(|p| &p.records) {
        let best = greatest.entry(name(&record.head.identity)).or_insert(record);
        if record.head.rank() > best.head.rank() {
            *best = record;
        }
    }
    let mut ordered: BTreeMap<Cursor, &Record> = BTreeMap::new();
    for record in greatest.into_values() {
        let cursor = record.head.cursor();
        let past = request.after.is_some_and(|after| cursor <= after);
        if !past && end.is_none_or(|end| cursor <= end) && record.head.expires() > now.wall {
            ordered.insert(cursor, record);
        }
    }
    let mut values = Vec::new();
    let (mut sum, mut last, mut cut) = (0u64, None, end.is_some());
    for (cursor, record) in ordered {
        let cost = request.cost_of(record.head.content_bytes());
        let full = !values.is_empty() && sum + cost > u64::from(request.page_bytes);
        if full || values.len() >= (request.max as usize).min(HEADS_MAX) {
            cut = true;
            break;
        }
        sum += cost;
        last = Some(cursor);
        values.push(Value::of(record.clone(), now.wall));
    }
    // An empty page that was cut goes on where its parts ended.
    let next = cut.then(|| last.or(end)).flatten();
    GetAnswer { values, next, merged }
}

/// Whom to ask whether which values of the answer are removed there: those that it did not show.
fn doubts(answer: &GetAnswer, pages: &[Page]) -> Vec<(Peer, Vec<Identity>)> {
    let mut doubts = Vec::new();
    for page in pages {
        let shown: BTreeSet<(Id, Id)> = page.records.iter().map(|r| name(&r.head.identity)).collect();
        let lacks = answer.values.iter().map(|value| value.identity).filter(|i| !shown.contains(&name(i)));
        let lacks: Vec<Identity> = lacks.take(HEADS_MAX).collect();
        if !lacks.is_empty() {
            doubts.push((page.from.clone(), lacks));
        }
    }
    doubts
}

/// A record's name among those of its key.
const fn name(identity: &Identity) -> (Id, Id) {
    (identity.secret_hash, identity.value_hash)
}
