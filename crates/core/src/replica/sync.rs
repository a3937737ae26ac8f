//! Sync: two replicas find what either lacks, at a cost that follows the difference and not the size.
//!
//! ```text
//!   asker                                            answerer
//!     │  arc, my digest of it, how many heads I want    │
//!     ├────────────────────────────────────────────────▶│  equal?          ──▶ Same
//!     │◀────────────────────────────────────────────────┤  few records?    ──▶ Heads (all of the arc, or a page)
//!     │  of the parts, ask about those that differ      │  otherwise       ──▶ Split (at most 16 parts, digests)
//!     ├────────────────────────────────────────────────▶│
//!     ...                                               │
//!     │  heads compared: theirs greater ▶ pull, ours greater or only here ▶ push
//! ```
//!
//! The parts are cut where the answerer's records are, so an arc of any size needs about log16(n) rounds. Each part is
//! then compared with the asker's own digest of the same part. Heads of one arc come in pages of [`HEADS_MAX`] when they
//! cannot be split (many values under one key) or when one side has little of what the other has.
//!
//! Only the asker keeps state, bounded by [`OUTSTANDING_MAX`], [`TODO_MAX`] and [`FOUND_MAX`]: while the lists of what was
//! found are full it asks nothing. Losing a question or an answer loses nothing but that arc's turn; the next sync finds it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::id::Id;
use crate::keyspace::Arc;
use crate::store::record::{Head, Identity};
use crate::store::{Digest, SPLIT_MAX, Store};
use crate::time::Wall;
use crate::wire::{Malformed, Reader, Wire, Writer};

/// Greatest number of heads in an answer: 23 KiB, one stream frame.
pub const HEADS_MAX: usize = 256;
/// Questions on their way at once.
pub const OUTSTANDING_MAX: usize = 4;
/// Arcs known to differ that were not asked about yet. Depth first, so 15 for each of the 120 / 4 levels that the most
/// uneven set of keys can make, with room for what is outstanding.
pub const TODO_MAX: usize = 1024;
/// Identities to pull and to push that were not taken yet; above it nothing is asked.
pub const FOUND_MAX: usize = 1024;
/// An arc with at most this many heads is listed rather than split: the list of parts would be as long.
const HEADS_FEW: u16 = 8;
/// The same for an arc whose siblings all differ: most of its heads will be wanted.
const HEADS_MANY: u16 = 32;

/// What the asker asks about one arc.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Question {
    /// The arc.
    pub arc: Arc,
    /// Only what comes after this place, clockwise from the arc's start: the next page.
    pub after: Option<Identity>,
    /// The asker's digest of that.
    pub digest: Digest,
    /// With at most this many heads the asker wants the heads.
    pub heads_max: u16,
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Nothing differs.
    Same,
    /// The answerer's digests of at most [`SPLIT_MAX`] parts, clockwise, each beginning where the last one ends.
    Split(Vec<(Arc, Digest)>),
    /// The answerer's heads, clockwise; [`HEADS_MAX`] of them: there may be more.
    Heads(Vec<Head>),
}

/// Answers a question. Pure; costs at most [`HEADS_MAX`] heads or 17 digests.
#[must_use]
pub fn answer<W: Clone>(store: &Store<W>, q: &Question) -> Answer {
    let ours = store.digest_after(&q.arc, q.after.as_ref());
    if ours == q.digest {
        return Answer::Same;
    }
    // At least so many records differ; if that is a good part of them, heads are cheaper than going on.
    let differ = ours.count.abs_diff(q.digest.count);
    let listed =
        u64::from(q.heads_max).max(differ.saturating_mul(u64::from(HEADS_FEW))).min(HEADS_MAX as u64);
    if q.after.is_none() && ours.count > listed {
        let parts = store.split(&q.arc);
        if parts.len() > 1 {
            return Answer::Split(parts);
        }
    }
    Answer::Heads(store.heads_after(&q.arc, q.after.as_ref()).take(HEADS_MAX).copied().collect())
}

/// An arc to ask about.
#[derive(Clone, Copy, Debug)]
struct Task {
    arc: Arc,
    after: Option<Identity>,
    heads_max: u16,
}

/// The asker's side of one sync with one peer over one arc.
#[derive(Debug)]
pub struct Session {
    todo: Vec<Task>,
    outstanding: Vec<Task>,
    pull: VecDeque<Identity>,
    push: VecDeque<Identity>,
    differed: bool,
    /// Part of the arc was given up: an answer contradicted its question, or there was no room for what it led to.
    incomplete: bool,
}

impl Session {
    /// A sync of this arc.
    #[must_use]
    pub fn new(arc: Arc) -> Session {
        Session {
            todo: [Task { arc, after: None, heads_max: HEADS_FEW }].into(),
            outstanding: Vec::new(),
            pull: VecDeque::new(),
            push: VecDeque::new(),
            differed: false,
            incomplete: false,
        }
    }

    /// The next question, if one may be asked now: `None` while [`OUTSTANDING_MAX`] are on their way, while what was found
    /// is not taken, or at the end.
    pub fn next_question<W: Clone>(&mut self, store: &Store<W>) -> Option<Question> {
        let full = self.outstanding.len() >= OUTSTANDING_MAX
            || self.pull.len() >= FOUND_MAX
            || self.push.len() >= FOUND_MAX;
        if full {
            return None;
        }
        let task = self.todo.pop()?;
        self.outstanding.push(task);
        let digest = store.digest_after(&task.arc, task.after.as_ref());
        Some(Question { arc: task.arc, after: task.after, digest, heads_max: task.heads_max })
    }

    /// Takes an answer to the question about `arc`. One that was not asked for, or came twice, is ignored; one that
    /// contradicts its question is dropped.
    pub fn on_answer<W: Clone>(&mut self, now: Wall, store: &Store<W>, arc: &Arc, answer: Answer) {
        let Some(at) = self.outstanding.iter().position(|task| task.arc == *arc) else { return };
        match answer {
            Answer::Same => {
                self.outstanding.swap_remove(at);
            }
            Answer::Split(parts) => {
                let task = self.outstanding.swap_remove(at);
                self.differed = true;
                self.on_split(store, &task, &parts);
            }
            Answer::Heads(heads) => {
                let task = self.outstanding[at];
                if !is_page(&task, &heads) {
                    // A second copy of an earlier page of this arc.
                    return;
                }
                self.outstanding.swap_remove(at);
                self.differed = true;
                self.on_heads(now, store, &task, &heads);
            }
        }
    }

    /// The question about `arc` got no answer: it is given up.
    pub fn on_no_answer(&mut self, arc: &Arc) {
        let before = self.outstanding.len();
        self.outstanding.retain(|task| task.arc != *arc);
        self.incomplete |= self.outstanding.len() < before;
    }

    /// At most `max` records that the peer has and we lack, or has in a greater copy.
    pub fn take_pull(&mut self, max: usize) -> Vec<Identity> {
        self.pull.drain(..max.min(self.pull.len())).collect()
    }

    /// At most `max` records that we have and the peer lacks, or has in a lesser copy.
    pub fn take_push(&mut self, max: usize) -> Vec<Identity> {
        self.push.drain(..max.min(self.push.len())).collect()
    }

    /// The whole arc was compared, and nothing is left to take. Stays false if part of it had to be given up: when nothing
    /// is on its way and there is no question, the session is over and the next one finds the rest.
    #[must_use]
    pub fn is_done(&self) -> bool {
        !self.incomplete
            && self.todo.is_empty()
            && self.outstanding.is_empty()
            && self.pull.is_empty()
            && self.push.is_empty()
    }

    /// Nothing differed: so far, or in all once it is done.
    #[must_use]
    pub fn was_same(&self) -> bool {
        !self.differed && !self.incomplete
    }

    /// Sizes of the bounded tables: `(name, now, bound)`.
    #[must_use]
    pub fn bounds(&self) -> [(&'static str, usize, usize); 4] {
        let found_max = FOUND_MAX * (OUTSTANDING_MAX + 1);
        [
            ("sync.outstanding", self.outstanding.len(), OUTSTANDING_MAX),
            ("sync.todo", self.todo.len(), TODO_MAX),
            ("sync.pull", self.pull.len(), found_max),
            ("sync.push", self.push.len(), found_max),
        ]
    }

    fn on_split<W: Clone>(&mut self, store: &Store<W>, task: &Task, parts: &[(Arc, Digest)]) {
        if !is_partition(&task.arc, parts) || task.after.is_some() {
            self.incomplete = true;
            return;
        }
        let differ: Vec<Arc> =
            parts.iter().filter(|(arc, theirs)| store.digest(arc) != *theirs).map(|(arc, _)| *arc).collect();
        let heads_max = if differ.len() == parts.len() { HEADS_MANY } else { HEADS_FEW };
        for arc in differ.into_iter().rev() {
            self.plan(Task { arc, after: None, heads_max });
        }
    }

    /// Compares a page of heads with ours, as far as both sides are known, and asks for the rest.
    fn on_heads<W: Clone>(&mut self, now: Wall, store: &Store<W>, task: &Task, theirs: &[Head]) {
        let arc = &task.arc;
        let mut ours: Vec<Head> =
            store.heads_after(arc, task.after.as_ref()).take(FOUND_MAX + 1).copied().collect();
        let more_theirs = theirs.len() >= HEADS_MAX;
        let more_ours = ours.len() > FOUND_MAX;
        ours.truncate(FOUND_MAX);
        let last = |heads: &[Head], more: bool| heads.last().filter(|_| more).map(|head| head.identity);
        let ends = [last(theirs, more_theirs), last(&ours, more_ours)];
        let end = ends.into_iter().flatten().min_by_key(|end| place(arc, end));
        let inside = |head: &&Head| end.is_none_or(|end| place(arc, &head.identity) <= place(arc, &end));
        let live = |head: &&Head| head.expires() > now;

        let (mut ours, mut theirs) =
            (ours.iter().filter(inside).peekable(), theirs.iter().filter(inside).peekable());
        loop {
            let (our, their) = (ours.peek().copied(), theirs.peek().copied());
            let order = match (our, their) {
                (None, None) => break,
                (Some(_), None) => core::cmp::Ordering::Less,
                (None, Some(_)) => core::cmp::Ordering::Greater,
                (Some(our), Some(their)) => place(arc, &our.identity).cmp(&place(arc, &their.identity)),
            };
            let our = our.filter(|_| order.is_le());
            let their = their.filter(|_| order.is_ge());
            if our.is_some() {
                ours.next();
            }
            if their.is_some() {
                theirs.next();
            }
            self.compare(our.filter(live), their.filter(live));
        }
        if let Some(end) = end {
            self.plan(Task { arc: *arc, after: Some(end), heads_max: task.heads_max });
        }
    }

    fn plan(&mut self, task: Task) {
        if self.todo.len() < TODO_MAX {
            self.todo.push(task);
        } else {
            self.incomplete = true;
        }
    }

    /// Which side needs the other's copy of one identity. A record whose life is over counts as none.
    fn compare(&mut self, our: Option<&Head>, their: Option<&Head>) {
        let (ours, theirs) = (our.map(Head::rank), their.map(Head::rank));
        if let Some(their) = their
            && theirs > ours
        {
            // Even if it is on its way to our disk already: whoever takes an arc over must wait until it is there.
            self.pull.push_back(their.identity);
        } else if let Some(our) = our
            && ours > theirs
        {
            self.push.push_back(our.identity);
        }
    }
}

/// Where an identity lies in an arc, clockwise from its start.
fn place(arc: &Arc, identity: &Identity) -> (Id, Id, Id) {
    (identity.key.wrapping_sub(&arc.from.next()), identity.secret_hash, identity.value_hash)
}

/// Whether heads can be the answer to this question: inside the arc, after the place, in order.
fn is_page(task: &Task, heads: &[Head]) -> bool {
    let mut last = task.after.map(|after| place(&task.arc, &after));
    heads.len() <= HEADS_MAX
        && heads.iter().all(|head| {
            let here = place(&task.arc, &head.identity);
            let fits = task.arc.contains(&head.identity.key) && last.is_none_or(|last| here > last);
            last = Some(here);
            fits
        })
}

/// Whether the parts cover the arc one after another, more than one of them.
fn is_partition(arc: &Arc, parts: &[(Arc, Digest)]) -> bool {
    let mut from = arc.from;
    let mut chain = true;
    for (part, _) in parts {
        chain &= part.from == from && arc.covers(part) && !part.is_full();
        from = part.to;
    }
    chain && from == arc.to && (2..=SPLIT_MAX).contains(&parts.len())
}

impl Wire for Question {
    fn encode(&self, w: &mut Writer<'_>) {
        self.arc.encode(w);
        w.option(self.after.as_ref());
        self.digest.encode(w);
        w.u16(self.heads_max);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Question, Malformed> {
        Ok(Question {
            arc: Arc::decode(r)?,
            after: r.option()?,
            digest: Digest::decode(r)?,
            heads_max: r.u16()?,
        })
    }
}

/// One part of a split, on the wire: its end (it begins where the last one ended) and its digest.
struct Part(Id, Digest);

impl Wire for Part {
    fn encode(&self, w: &mut Writer<'_>) {
        self.0.encode(w);
        self.1.encode(w);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Part, Malformed> {
        Ok(Part(Id::decode(r)?, Digest::decode(r)?))
    }
}

impl Wire for Answer {
    fn encode(&self, w: &mut Writer<'_>) {
        match self {
            Answer::Same => w.u8(0),
            Answer::Split(parts) => {
                w.u8(1);
                parts.first().map_or(Id::ZERO, |(arc, _)| arc.from).encode(w);
                let parts: Vec<Part> = parts.iter().map(|(arc, digest)| Part(arc.to, *digest)).collect();
                w.list(&parts);
            }
            Answer::Heads(heads) => {
                w.u8(2);
                w.list(heads);
            }
        }
    }
    fn decode(r: &mut Reader<'_>) -> Result<Answer, Malformed> {
        Ok(match r.u8()? {
            0 => Answer::Same,
            1 => {
                let mut from = Id::decode(r)?;
                let parts: Vec<Part> = r.list(SPLIT_MAX)?;
                if parts.is_empty() {
                    return Err(Malformed("a split without parts"));
                }
                let arcs = parts.into_iter().map(|Part(to, digest)| {
                    let arc = Arc::new(from, to);
                    from = to;
                    (arc, digest)
                });
                Answer::Split(arcs.collect())
            }
            2 => Answer::Heads(r.list(HEADS_MAX)?),
            _ => return Err(Malformed("sync answer")),
        })
    }
}
