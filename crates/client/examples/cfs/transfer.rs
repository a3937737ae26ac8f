//! Storing and fetching blocks with many requests on their way at once.
//!
//! ```text
//!   fetch     [ here | here | asked | asked | asked | waiting | waiting ... ]      the parts of the file, in order
//!               ▲ read from the front        └── at most `window` asked at a time
//!               an indirect block that arrives is replaced by the parts that it names, in its place
//! ```
//!
//! A round trip costs what it costs; a window of w requests costs one for w blocks (SOSP 2001, section 5: CFS prefetches). Every
//! block is checked against the hash that names it, so it does not matter which replica gave it or who else put what under its
//! key: reads take the first copy, and ask a quorum only when there is none.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use keyway_client::{Client, ClientError, Key, Reads};
use tokio::task::{JoinError, JoinSet};

use super::blocks::{BLOCK_BYTES, Builder, Inode, Opened, Part};
use super::program::Failure;

/// Requests on their way at once, at most.
pub(crate) const WINDOW_MAX: usize = 1024;
/// Blocks that have arrived before their turn may be this many windows.
const AHEAD: usize = 4;
/// Values read under a block's key: strangers may have put others there.
const VALUES_MAX: usize = 64;

/// What a transfer took.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub(crate) blocks: u64,
    pub(crate) bytes: u64,
    /// The most requests that were on their way at one time.
    pub(crate) in_flight_max: usize,
    pub(crate) took: Duration,
}

impl Summary {
    /// For people.
    pub(crate) fn in_words(&self) -> String {
        let seconds = self.took.as_secs_f64().max(1e-6);
        let rate = self.blocks as f64 / seconds;
        let Summary { blocks, bytes, in_flight_max, .. } = self;
        format!(
            "{blocks} blocks, {bytes} bytes in {seconds:.2} s: {rate:.0} blocks/s, up to {in_flight_max} in flight"
        )
    }
}

/// Counts the requests on their way.
#[derive(Clone, Default)]
struct Gauge(Arc<(AtomicUsize, AtomicUsize)>);

impl Gauge {
    async fn count<T>(&self, request: impl Future<Output = T>) -> T {
        let (now, most) = &*self.0;
        most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        let outcome = request.await;
        now.fetch_sub(1, Ordering::Relaxed);
        outcome
    }

    fn most(&self) -> usize {
        self.0.1.load(Ordering::Relaxed)
    }
}

fn check_window(window: usize) -> Result<(), Failure> {
    match (1..=WINDOW_MAX).contains(&window) {
        true => Ok(()),
        false => Err(Failure::usage(format!("a window is 1 to {WINDOW_MAX} requests, not {window}"))),
    }
}

fn ended(why: JoinError) -> Failure {
    Failure::new(1, format!("a request came to no end: {why}"))
}

/// Stores a file; gives the key of its inode.
pub(crate) async fn store(
    client: &Client,
    mut from: impl Read,
    ttl: Duration,
    window: usize,
) -> Result<(Key, Summary), Failure> {
    check_window(window)?;
    let (began, gauge) = (Instant::now(), Gauge::default());
    let mut puts: JoinSet<Result<(), ClientError>> = JoinSet::new();
    let (mut builder, mut blocks) = (Builder::default(), 0);
    loop {
        let mut data = Vec::with_capacity(BLOCK_BYTES);
        from.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut data)?;
        if data.is_empty() {
            break;
        }
        for block in builder.push(&data).into_iter().chain([data.into()]) {
            blocks += 1;
            put(client, &gauge, &mut puts, block, ttl, window).await?;
        }
    }
    let (made, inode) = builder.finish();
    for block in made {
        blocks += 1;
        put(client, &gauge, &mut puts, block, ttl, window).await?;
    }
    while let Some(done) = puts.join_next().await {
        done.map_err(ended)??;
    }
    // Last, so that whoever finds the inode finds everything.
    let receipt = client.put_immutable(inode.encode(), Some(ttl)).await?;
    let summary = Summary {
        blocks: blocks + 1,
        bytes: inode.length,
        in_flight_max: gauge.most(),
        took: began.elapsed(),
    };
    Ok((receipt.key, summary))
}

/// Puts a block, as soon as fewer than `window` are on their way.
async fn put(
    client: &Client,
    gauge: &Gauge,
    puts: &mut JoinSet<Result<(), ClientError>>,
    block: Bytes,
    ttl: Duration,
    window: usize,
) -> Result<(), Failure> {
    while puts.len() >= window {
        if let Some(done) = puts.join_next().await {
            done.map_err(ended)??;
        }
    }
    let (client, gauge) = (client.clone(), gauge.clone());
    puts.spawn(async move { gauge.count(client.put_immutable(block, Some(ttl))).await.map(drop) });
    Ok(())
}

/// The block with this hash, whoever gave it.
pub(crate) async fn block(client: &Client, key: &Key) -> Result<Bytes, Failure> {
    for reads in [Reads::First, Reads::Quorum] {
        let (values, _) = client.get_all(key, reads, VALUES_MAX).await?;
        if let Some(value) = values.into_iter().find(|value| Key::content(&value.bytes) == *key) {
            return Ok(value.bytes);
        }
    }
    Err(Failure::not_found(format!("the block {key} is not there"))
        .hint("its life may be over: whoever has the file can store it again, under the same keys"))
}

/// A part of the file that is not read yet.
enum Slot {
    Waiting(Part),
    Asked(Part),
    Here(Bytes),
}

/// A file that is being fetched.
pub(crate) struct Fetch {
    client: Client,
    window: usize,
    /// At most what an inode names, and one indirect block's parts for each request on its way and each level.
    slots: VecDeque<Slot>,
    asked: JoinSet<(Key, Result<Bytes, Failure>)>,
    here: usize,
    gauge: Gauge,
    began: Instant,
    blocks: u64,
    bytes: u64,
}

impl Fetch {
    /// Begins with the inode under this key.
    pub(crate) async fn begin(client: &Client, key: &Key, window: usize) -> Result<Fetch, Failure> {
        check_window(window)?;
        let began = Instant::now();
        let inode = Inode::decode(&block(client, key).await?)
            .ok_or_else(|| Failure::invalid(format!("{key} is a block, but does not name a file")))?;
        Ok(Fetch {
            client: client.clone(),
            window,
            slots: inode.parts().into_iter().map(Slot::Waiting).collect(),
            asked: JoinSet::new(),
            here: 0,
            gauge: Gauge::default(),
            began,
            blocks: 1,
            bytes: 0,
        })
    }

    /// The next data block of the file; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            self.ask();
            match self.slots.front() {
                None => return Ok(None),
                Some(Slot::Here(_)) => {
                    if let Some(Slot::Here(data)) = self.slots.pop_front() {
                        self.here -= 1;
                        self.bytes += data.len() as u64;
                        return Ok(Some(data));
                    }
                }
                Some(_) => {
                    if let Some(answer) = self.asked.join_next().await {
                        let (key, block) = answer.map_err(ended)?;
                        self.arrived(&key, block?)?;
                    }
                }
            }
        }
    }

    /// Fills the window, the parts to be read first before the others.
    fn ask(&mut self) {
        for slot in &mut self.slots {
            if self.asked.len() >= self.window || self.asked.len() + self.here >= AHEAD * self.window {
                return;
            }
            if let Slot::Waiting(part) = slot {
                let (client, gauge, key) = (self.client.clone(), self.gauge.clone(), part.key);
                self.asked.spawn(async move { (key, gauge.count(block(&client, &key)).await) });
                *slot = Slot::Asked(part.clone());
            }
        }
    }

    fn arrived(&mut self, key: &Key, block: Bytes) -> Result<(), Failure> {
        self.blocks += 1;
        // A file may hold a block twice; then each of the two requests serves the first that waits.
        let place = self.slots.iter().position(|slot| matches!(slot, Slot::Asked(part) if part.key == *key));
        let Some(place) = place else { return Ok(()) };
        let rest = self.slots.split_off(place + 1);
        if let Some(Slot::Asked(part)) = self.slots.pop_back() {
            let wrong =
                || Failure::invalid(format!("the block {key} is not what its place in the file asks for"));
            match part.open(block).ok_or_else(wrong)? {
                Opened::Data(data) => {
                    self.here += 1;
                    self.slots.push_back(Slot::Here(data));
                }
                Opened::Parts(parts) => self.slots.extend(parts.into_iter().map(Slot::Waiting)),
            }
        }
        self.slots.extend(rest);
        Ok(())
    }

    /// What it took so far.
    pub(crate) fn summary(&self) -> Summary {
        let (blocks, bytes) = (self.blocks, self.bytes);
        Summary { blocks, bytes, in_flight_max: self.gauge.most(), took: self.began.elapsed() }
    }
}
