//! Request ids: a repeated request is answered with the first one's outcome and done once.
//!
//! ```text
//!   (client, id) unknown ─────────────▶ performed, in a task of its own: a client that hangs up loses no outcome
//!   known, the same request ──────────▶ the first one's outcome, waited for if need be
//!   known, another request ───────────▶ 422 request_id_reused
//! ```
//!
//! What is remembered is an outcome that stands: a receipt, or a refusal that would come again. "No answer", "too busy" and the
//! like are forgotten, so that repeating the request tries again. Memory is this gateway's own, [`KEPT`] long, and bounded:
//! [`IDS_MAX`] ids, of which one client has at most [`CLIENT_IDS_MAX`]. When it is full whoever has most makes room, its oldest first:
//! a client's bulks push out ids of its own, and never one of a client that has fewer. A request is known by its SHA-256, so no
//! secret is kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use keyway_core::store::ClientId;
use tokio::sync::watch;

use super::refusal::Refusal;

/// The header.
pub(super) const HEADER: &str = "idempotency-key";
/// Longest id.
const ID_BYTES_MAX: usize = 64;
/// How long an outcome is remembered.
const KEPT: Duration = Duration::from_secs(600);
/// Ids remembered at once.
const IDS_MAX: usize = 4096;
/// Ids of one client.
const CLIENT_IDS_MAX: usize = IDS_MAX / 2;

/// How a request ended: status and body, or a refusal.
pub(super) type Outcome = Result<(StatusCode, Bytes), Refusal>;

/// A request's name: whose, and which.
pub(super) type Name = (ClientId, String);

/// The id in a request's head.
pub(super) fn id_of(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    headers.get(HEADER).map(|value| id(value.as_bytes())).transpose()
}

/// An id as it was written.
pub(super) fn id(bytes: &[u8]) -> Result<String, Refusal> {
    let printable = |byte: &u8| (b'!'..=b'~').contains(byte);
    let fits = (1..=ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(printable);
    let id = std::str::from_utf8(bytes).ok().filter(|_| fits);
    let id = id.ok_or_else(|| {
        Refusal::bad_request(format!(
            "the id of a request is not 1 to {ID_BYTES_MAX} printable bytes without blanks"
        ))
        .hint("draw a random one for each request, and send it again with each repetition")
    })?;
    Ok(id.to_owned())
}

/// What is remembered. Clones share.
#[derive(Clone, Default)]
pub(crate) struct Repeats(Arc<Mutex<Memory>>);

#[derive(Default)]
struct Memory {
    held: HashMap<Name, Held>,
    /// In the order of their coming.
    order: BTreeMap<u64, Name>,
    by_client: HashMap<ClientId, BTreeSet<u64>>,
    /// How many each client has.
    ranks: BTreeSet<(usize, ClientId)>,
    serial: u64,
}

struct Held {
    serial: u64,
    digest: [u8; 32],
    since: Instant,
    outcome: watch::Receiver<Option<Outcome>>,
}

/// What a request finds.
pub(super) enum Entry {
    /// It is the first: it must perform, and tell.
    First(Ticket),
    /// It has been performed, or is being performed.
    Repeated(watch::Receiver<Option<Outcome>>),
}

/// The duty to tell an outcome. Dropped without, the id is forgotten.
pub(super) struct Ticket {
    repeats: Repeats,
    name: Name,
    serial: u64,
    told: bool,
    outcome: watch::Sender<Option<Outcome>>,
}

impl Repeats {
    /// Looks an id up, and takes it if it is new.
    pub(super) fn enter(&self, name: Name, digest: [u8; 32], now: Instant) -> Result<Entry, Refusal> {
        let mut memory = self.memory();
        memory.forget_old(now);
        if let Some(held) = memory.held.get(&name) {
            if held.digest == digest {
                return Ok(Entry::Repeated(held.outcome.clone()));
            }
            let message = "this Idempotency-Key was sent with another request";
            return Err(Refusal::new(StatusCode::CONFLICT, "request_id_reused", message)
                .hint("draw a new id for each request; only its repetitions carry the same"));
        }
        memory.make_room(name.0)?;
        let (outcome, told) = watch::channel(None);
        let serial = memory.serial;
        memory.serial += 1;
        memory.hold(name.clone(), Held { serial, digest, since: now, outcome: told });
        drop(memory);
        Ok(Entry::First(Ticket { repeats: self.clone(), name, serial, told: false, outcome }))
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn forget_old(&mut self, now: Instant) {
        while let Some((serial, name)) = self.order.first_key_value() {
            let held = self.held.get(name);
            if held.is_some_and(|held| now.saturating_duration_since(held.since) < KEPT) {
                return;
            }
            let (serial, name) = (*serial, name.clone());
            self.release(serial, &name);
        }
    }

    /// Room for one more of this client's. Where there is none, whoever has most forgets its oldest, and nobody who has less than who
    /// asks; nothing that is under way is forgotten.
    fn make_room(&mut self, client: ClientId) -> Result<(), Refusal> {
        let mine = self.by_client.get(&client).map_or(0, BTreeSet::len);
        if mine < CLIENT_IDS_MAX && self.held.len() < IDS_MAX {
            return Ok(());
        }
        let others = (mine < CLIENT_IDS_MAX).then(|| self.ranks.iter().rev());
        let richer = others.into_iter().flatten().take_while(|(count, _)| *count > mine);
        let oldest = richer.map(|(_, richer)| *richer).chain([client]).find_map(|of| self.oldest_ended(of));
        match oldest {
            Some((serial, name)) => {
                self.release(serial, &name);
                Ok(())
            }
            None => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many requests under way")
                .hint("repeat it after a second, or ask another gateway")),
        }
    }

    /// A client's oldest request that has ended.
    fn oldest_ended(&self, client: ClientId) -> Option<(u64, Name)> {
        let mut names =
            self.by_client.get(&client)?.iter().filter_map(|serial| self.order.get_key_value(serial));
        let ended = |name: &Name| self.held.get(name).is_some_and(|held| held.outcome.borrow().is_some());
        names.find(|(_, name)| ended(name)).map(|(serial, name)| (*serial, name.clone()))
    }

    fn hold(&mut self, name: Name, held: Held) {
        self.order.insert(held.serial, name.clone());
        let mine = self.by_client.entry(name.0).or_default();
        self.ranks.remove(&(mine.len(), name.0));
        mine.insert(held.serial);
        self.ranks.insert((mine.len(), name.0));
        self.held.insert(name, held);
    }

    /// Forgets a request, unless it was forgotten and another has its name.
    fn release(&mut self, serial: u64, name: &Name) {
        if self.order.remove(&serial).is_none() {
            return;
        }
        self.held.remove(name);
        let Some(mine) = self.by_client.get_mut(&name.0) else { return };
        self.ranks.remove(&(mine.len(), name.0));
        mine.remove(&serial);
        if mine.is_empty() {
            self.by_client.remove(&name.0);
        } else {
            self.ranks.insert((mine.len(), name.0));
        }
    }
}

impl Ticket {
    /// Where the outcome will be told.
    pub(super) fn told(&self) -> watch::Receiver<Option<Outcome>> {
        self.outcome.subscribe()
    }

    /// Tells the outcome to all who wait, and remembers it if it stands.
    pub(super) fn tell(mut self, outcome: Outcome) {
        self.told = !matches!(&outcome, Err(refusal) if refusal.may_pass());
        // Nobody else may be waiting.
        let _ = self.outcome.send(Some(outcome));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.told {
            self.repeats.memory().release(self.serial, &self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(client: u64, id: &str) -> Name {
        (ClientId(client), id.to_owned())
    }

    fn first_at(repeats: &Repeats, name: Name, now: Instant) -> Ticket {
        match repeats.enter(name, [1; 32], now) {
            Ok(Entry::First(ticket)) => ticket,
            _ => panic!("it is new"),
        }
    }

    fn first(repeats: &Repeats, name: Name) -> Ticket {
        first_at(repeats, name, Instant::now())
    }

    fn done() -> Outcome {
        Ok((StatusCode::CREATED, Bytes::from_static(b"{}")))
    }

    #[test]
    fn an_outcome_is_repeated_until_it_is_old() {
        let repeats = Repeats::default();
        first(&repeats, name(1, "a")).tell(done());
        assert!(
            matches!(repeats.enter(name(1, "a"), [1; 32], Instant::now()), Ok(Entry::Repeated(told)) if told.borrow().is_some())
        );
        assert!(repeats.enter(name(1, "a"), [2; 32], Instant::now()).is_err(), "another request");
        first(&repeats, name(2, "a")).tell(done());
        first_at(&repeats, name(1, "a"), Instant::now() + KEPT).tell(done());
        let memory = repeats.memory();
        assert_eq!((memory.held.len(), memory.order.len(), memory.by_client.len()), (1, 1, 1));
    }

    #[test]
    fn what_may_pass_is_not_remembered_and_neither_is_what_was_given_up() {
        let repeats = Repeats::default();
        let busy = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "busy");
        let ticket = first(&repeats, name(1, "a"));
        let Ok(Entry::Repeated(waiting)) = repeats.enter(name(1, "a"), [1; 32], Instant::now()) else {
            panic!("it waits")
        };
        ticket.tell(Err(busy));
        assert!(matches!(&*waiting.borrow(), Some(Err(_))), "who waited is told all the same");
        drop(first(&repeats, name(1, "a")));
        drop(first(&repeats, name(1, "a")));
        assert!(repeats.memory().by_client.is_empty());
    }

    #[test]
    fn bulks_push_out_no_id_of_whoever_has_fewer() {
        let repeats = Repeats::default();
        first(&repeats, name(9, "quiet")).tell(done());
        let fill = |client: u64, ids: std::ops::Range<usize>| {
            for n in ids {
                first(&repeats, name(client, &n.to_string())).tell(done());
            }
        };
        // Three clients below the bound of one, who fill the memory together; then one of them goes on.
        (1..=3).for_each(|client| fill(client, 0..IDS_MAX / 3));
        fill(1, IDS_MAX / 3..IDS_MAX);
        let memory = repeats.memory();
        assert!(memory.held.contains_key(&name(9, "quiet")), "the oldest of all, and its client's only one");
        for client in [2, 3] {
            let count = memory.by_client[&ClientId(client)].len();
            assert!(count >= IDS_MAX / 3 - 1, "client {client} keeps its part: {count}");
        }
        assert!(!memory.held.contains_key(&name(1, "0")), "who has most pays");
        drop(memory);
        // Who comes new has room, too.
        fill(4, 0..100);
        let memory = repeats.memory();
        assert_eq!((memory.by_client[&ClientId(4)].len(), memory.held.len()), (100, IDS_MAX));
        assert_eq!(memory.ranks.iter().map(|(count, _)| count).sum::<usize>(), IDS_MAX);
    }

    #[test]
    fn memory_is_bounded_and_one_client_has_half_of_it() {
        let repeats = Repeats::default();
        first(&repeats, name(2, "other")).tell(done());
        for n in 0..2 * IDS_MAX {
            first(&repeats, name(1, &n.to_string())).tell(done());
        }
        let memory = repeats.memory();
        assert_eq!(memory.by_client[&ClientId(1)].len(), CLIENT_IDS_MAX);
        assert!(memory.held.contains_key(&name(2, "other")), "a stranger's flood forgets nothing of others");
        drop(memory);
        for n in 0..2 * IDS_MAX as u64 {
            first(&repeats, name(10 + n, "id")).tell(done());
        }
        assert!(repeats.memory().held.len() <= IDS_MAX && repeats.memory().order.len() <= IDS_MAX);
        assert!(repeats.memory().ranks.len() <= IDS_MAX);

        let repeats = Repeats::default();
        let under_way: Vec<_> =
            (0..CLIENT_IDS_MAX).map(|n| first(&repeats, name(1, &n.to_string()))).collect();
        assert!(
            repeats.enter(name(1, "more"), [1; 32], Instant::now()).is_err(),
            "what is under way is not forgotten"
        );
        drop(under_way);
        first(&repeats, name(1, "more")).tell(done());
    }
}
