//! A prefix hash tree: Ramabhadran, Ratnasamy, Hellerstein and Shenker, "Prefix hash tree: an indexing data structure over distributed hash
//! tables" (2004). A trie over the bits of the keys, each node of which is a key of the hash table.
//!
//! ```text
//!   lookup    the shortest prefix of the key that was not split: binary search over lengths, from what is known already
//!   insert    put into that leaf ─▶ read it again: split meanwhile? split it again, which moves our entry too
//!   split     mark "begun" ─▶ read the entries ─▶ put each into its half ─▶ mark "done" ─▶ remove them here
//!   remove    remove from the leaf ─▶ read it again: split meanwhile? put into the half and remove there, and so on down
//! ```
//!
//! **Writers need not agree with each other**, and nothing is read, changed and written back: entries are values of their own.
//! An inserter puts its entry and then looks for the mark; a splitter puts the mark and then looks for entries. Both wait for their put
//! to be acknowledged and read a quorum, so at least one of them sees the other: an entry is moved by the splitter, or the inserter
//! knows that it has to move it. Whoever finds a split that somebody began does all its steps itself; each is harmless to repeat. A
//! split that dies halfway is so finished by the next who comes by, and until "done" stands the entries count where they are.
//!
//! A removed entry leaves a tombstone in its leaf, and in each node below into which a split might still carry it, so a slow
//! splitter does not bring it back.
//!
//! **Nothing is forever.** Entries have lives, and so have marks: an insert sees to it that the marks above its entry outlive it, and a
//! mark never outlives one above it. What is not inserted any more ends, and then its part of the trie does, from below: that is how
//! it shrinks. (The paper merges halves that have become small. A merge would have to tell inserters to go up again,
//! against the one direction in which everything moves here.)
//!
//! What this rests on: a read of a quorum sees every put acknowledged before. While members of the network come and go a read may
//! miss one for a moment (docs/storage.md); an entry that a split did not see stays behind, until it is inserted again.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use keyway_client::{Client, ClientError, Hex, PutOptions, Reads};
use tokio::task::JoinSet;

use super::prefix::{BEGUN, BITS, DONE, Entry, NAME_BYTES_MAX, Node, PAYLOAD_BYTES_MAX, Place, Prefix};
use super::program::Failure;
use super::search::Search;

/// Requests of one operation on their way at once.
pub(crate) const WINDOW: usize = 16;
/// Values read of a node: strangers may have put some there.
const NODE_VALUES_MAX: usize = 4096;
/// Split nodes that a client remembers.
const KNOWN_MAX: usize = 4096;
/// The root's mark lives so many times as long as the longest entry: about so seldom are marks put again.
const MARK_LIVES: u32 = 2;
/// By so many seconds a mark outlives those below it: more than a request takes.
const STEP_SECONDS: u64 = 5;

/// How an index is used. Those who use one need not agree on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// A leaf with more entries is split.
    pub(crate) leaf_entries_max: usize,
    /// The longest life that an entry is given.
    pub(crate) ttl: Duration,
}

struct Inner {
    client: Client,
    place: Place,
    settings: Settings,
    /// Nodes that were split, and when the marks that say so end.
    known: Mutex<BTreeMap<Prefix, Instant>>,
    gets: AtomicU64,
    splits: AtomicU64,
}

/// A client of one index. Cheap to clone; clones share what they know of the trie.
#[derive(Clone)]
pub(crate) struct Index {
    inner: Arc<Inner>,
}

type Pending<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

impl Index {
    pub(crate) fn new(
        client: &Client,
        name: &str,
        secret: &str,
        settings: Settings,
    ) -> Result<Index, Failure> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(Failure::usage(format!("an index's name has 1 to {NAME_BYTES_MAX} bytes")));
        }
        let (client, place) = (client.clone(), Place::new(name, secret));
        let (known, gets, splits) = (Mutex::default(), AtomicU64::new(0), AtomicU64::new(0));
        Ok(Index { inner: Arc::new(Inner { client, place, settings, known, gets, splits }) })
    }

    /// Gets and splits that this client made.
    pub(crate) fn effort(&self) -> (u64, u64) {
        (self.inner.gets.load(Ordering::Relaxed), self.inner.splits.load(Ordering::Relaxed))
    }

    /// Adds an entry. When this returns, every query that begins finds it, until its life ends.
    ///
    /// # Errors
    /// When the outcome is unknown: the entry may be there. Inserting again is harmless, the payload is found once.
    pub(crate) async fn insert(&self, key: u64, payload: Bytes, ttl: Duration) -> Result<(), Failure> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Failure::usage(format!("a payload has at most {PAYLOAD_BYTES_MAX} bytes")));
        }
        let seconds = ttl.min(self.inner.settings.ttl).as_secs().max(1);
        let random = Hex::random()?.0;
        let nonce = u64::from_be_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|at: usize| random[at]));
        let Some((leaf, _)) = self.search(key, BITS).await? else { return Err(too_deep()) };
        self.hold_up(key, leaf.length(), seconds).await?;
        self.settle(leaf, vec![(Entry { key, payload, nonce }, seconds)]).await
    }

    /// Removes the entries with this key, or only those with this payload. Gives how many.
    pub(crate) async fn remove(&self, key: u64, payload: Option<&Bytes>) -> Result<usize, Failure> {
        let Some((leaf, node)) = self.search(key, BITS).await? else { return Err(too_deep()) };
        let meant =
            |entry: &Entry| entry.key == key && payload.is_none_or(|payload| *payload == entry.payload);
        let entries: Vec<_> = node.entries.into_iter().filter(|(entry, _)| meant(entry)).collect();
        for (entry, left) in &entries {
            self.remove_from(leaf, entry, *left).await?;
        }
        Ok(entries.len())
    }

    /// The shortest prefix of `key`, of at most `longest` bits, that was not split, with what it holds. `None` if all were.
    pub(crate) async fn search(&self, key: u64, longest: u32) -> Result<Option<(Prefix, Node)>, Failure> {
        let known = (0..=longest).take_while(|length| self.is_known(Prefix::of(key, *length))).count();
        let mut search = Search::new(known as u32, longest);
        while let Some(length) = search.probe() {
            let prefix = Prefix::of(key, length);
            let node = self.node(prefix).await?;
            if node.is_split() && node.done.is_none() {
                self.split(prefix).await?;
            }
            if search.saw(length, node.is_split()) {
                return Ok(Some((prefix, node)));
            }
        }
        Ok(None)
    }

    /// What a node holds.
    pub(crate) async fn node(&self, prefix: Prefix) -> Result<Node, Failure> {
        let Inner { client, place, gets, .. } = &*self.inner;
        gets.fetch_add(1, Ordering::Relaxed);
        let asked = Instant::now();
        let (values, more) = client.get_all(&place.key(prefix), Reads::Quorum, NODE_VALUES_MAX).await?;
        if more {
            let key = place.key(prefix);
            return Err(Failure::invalid(format!(
                "more than {NODE_VALUES_MAX} values under the node's key {key}"
            ))
            .hint("strangers drown it: choose another name for the index"));
        }
        let node = place.read(prefix, &values);
        if let Some(seconds) = node.done {
            self.know(prefix, asked + Duration::from_secs(seconds));
        }
        Ok(node)
    }

    /// Puts entries into a node; if it is no leaf any more, into the leaves below. `entries` belong below `node`.
    pub(crate) fn settle(&self, node: Prefix, entries: Vec<(Entry, u64)>) -> Pending<'_> {
        Box::pin(async move {
            if entries.is_empty() {
                return Ok(());
            }
            let mut puts = JoinSet::new();
            for (entry, left) in entries {
                if puts.len() >= WINDOW {
                    done(puts.join_next().await)?;
                }
                let index = self.clone();
                puts.spawn(async move { index.put(node, entry.encode(), left).await });
            }
            while !puts.is_empty() {
                done(puts.join_next().await)?;
            }
            let now = self.node(node).await?;
            let crowded = now.entries.len() > self.inner.settings.leaf_entries_max
                && now.entries.windows(2).any(|pair| pair[0].0.key != pair[1].0.key)
                && node.length() < BITS;
            if crowded || now.is_split() { self.split(node).await } else { Ok(()) }
        })
    }

    /// Moves everything out of a node into its halves; harmless to repeat, also for several at once.
    pub(super) fn split(&self, node: Prefix) -> Pending<'_> {
        Box::pin(async move {
            let Some(halves) = node.children() else { return Err(too_deep()) };
            let life = self.mark_seconds(node).await?;
            let began = Instant::now();
            self.put(node, Bytes::from_static(BEGUN), life).await?;
            let entries = self.node(node).await?.entries;
            for half in halves {
                let (low, high) = half.bounds();
                let inside =
                    entries.iter().filter(|(entry, left)| (low..=high).contains(&entry.key) && *left > 0);
                self.settle(half, inside.cloned().collect()).await?;
            }
            // The mark "begun" must stand as long as entries might come without seeing it.
            if began.elapsed() > Duration::from_secs(life) / 2 {
                return Err(Failure::new(5, "a split took too long; it goes on with the next insert"));
            }
            self.put(node, Bytes::from_static(DONE), life).await?;
            self.know(node, began + Duration::from_secs(life));
            self.inner.splits.fetch_add(1, Ordering::Relaxed);
            // They count no more, but take room. What fails here ends with its life.
            let mut removes = JoinSet::new();
            for (entry, _) in entries {
                if removes.len() >= WINDOW {
                    removes.join_next().await;
                }
                let index = self.clone();
                removes.spawn(async move { drop(index.take_away(node, &entry.encode()).await) });
            }
            while removes.join_next().await.is_some() {}
            Ok(())
        })
    }

    /// Removes an entry from a leaf, and from wherever a split may carry it meanwhile.
    pub(crate) async fn remove_from(&self, leaf: Prefix, entry: &Entry, left: u64) -> Result<(), Failure> {
        let (mut node, value) = (leaf, entry.encode());
        loop {
            self.take_away(node, &value).await?;
            let now = self.node(node).await?;
            if !now.is_split() || node.length() == BITS {
                return Ok(());
            }
            // A splitter that read it before may put it there yet: it must meet its tombstone.
            node = node.child(entry.key);
            self.put(node, value.clone(), left.max(1)).await?;
        }
    }

    /// Sees to it that the marks above a leaf of `key` outlive an entry, and each the one below it.
    async fn hold_up(&self, key: u64, depth: u32, seconds: u64) -> Result<(), Failure> {
        let mut reads = JoinSet::new();
        let mut short = None;
        for length in 0..depth {
            let prefix = Prefix::of(key, length);
            let wanted = seconds + slack(length);
            if self.known_until(prefix).is_some_and(|end| end >= Instant::now() + Duration::from_secs(wanted))
            {
                continue;
            }
            if reads.len() >= WINDOW {
                short = short.max(done(reads.join_next().await)?);
            }
            let index = self.clone();
            reads.spawn(async move {
                let left = index.node(prefix).await?.done.unwrap_or(0);
                Ok((left < wanted).then_some(length))
            });
        }
        while !reads.is_empty() {
            short = short.max(done(reads.join_next().await)?);
        }
        // From the root down, so that no mark ever outlives one above it.
        for length in short.map_or(0..0, |deepest| 0..deepest + 1) {
            self.split(Prefix::of(key, length)).await?;
        }
        Ok(())
    }

    /// The life of a mark of a node: as long as that above it, less a step.
    async fn mark_seconds(&self, node: Prefix) -> Result<u64, Failure> {
        let Some(parent) = node.parent() else {
            return Ok((self.inner.settings.ttl * MARK_LIVES).as_secs() + slack(0));
        };
        for _ in 0..2 {
            let now = self.node(parent).await?;
            match now.begun.max(now.done) {
                Some(left) if left > STEP_SECONDS => return Ok(left - STEP_SECONDS),
                // The marks above have ended, with all that was below them, or are about to.
                _ => self.split(parent).await?,
            }
        }
        Err(Failure::new(5, "the marks above a node end faster than they are put"))
    }

    async fn put(&self, node: Prefix, value: Bytes, seconds: u64) -> Result<(), Failure> {
        let Inner { client, place, .. } = &*self.inner;
        let secret_hash = Some(place.secret(node, &value)?.hash());
        let options = PutOptions { ttl: Some(Duration::from_secs(seconds.max(1))), secret_hash };
        match client.put_with(&place.key(node), value, &options).await {
            // It was removed: that stands.
            Err(ClientError::Refused { code, .. }) if code == "hidden" => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }

    async fn take_away(&self, node: Prefix, value: &[u8]) -> Result<(), Failure> {
        let Inner { client, place, .. } = &*self.inner;
        let (secret, hash) = (place.secret(node, value)?, keyway_client::Key::hash(value));
        match client.remove(&place.key(node), &hash, &secret).await {
            // Somebody else was faster.
            Err(ClientError::Refused { code, .. }) if code == "nothing_removed" => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }

    /// Nobody panics while holding it, so what it guards is whole.
    fn known(&self) -> MutexGuard<'_, BTreeMap<Prefix, Instant>> {
        self.inner.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_until(&self, node: Prefix) -> Option<Instant> {
        self.known().get(&node).copied()
    }

    fn is_known(&self, node: Prefix) -> bool {
        self.known_until(node).is_some_and(|end| end > Instant::now())
    }

    fn know(&self, node: Prefix, until: Instant) {
        let mut known = self.known();
        if known.len() >= KNOWN_MAX && !known.contains_key(&node) {
            // The deepest of the last half are of use to the fewest.
            known.pop_last();
        }
        known.insert(node, until);
    }
}

/// By how much a mark on this level outlives every entry below it.
fn slack(length: u32) -> u64 {
    STEP_SECONDS * u64::from(BITS + 8 - length)
}

fn too_deep() -> Failure {
    Failure::invalid("a node of the last level is marked as split")
}

/// The outcome of a request that ran beside.
pub(crate) fn done<T>(
    joined: Option<Result<Result<T, Failure>, tokio::task::JoinError>>,
) -> Result<T, Failure> {
    match joined {
        Some(Ok(outcome)) => outcome,
        Some(Err(why)) => Err(Failure::new(1, format!("a request came to no end: {why}"))),
        None => Err(Failure::new(1, "no request is on its way")),
    }
}
