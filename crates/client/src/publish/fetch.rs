//! The bytes of a content, from one publisher after another, until they have the right hash.
//!
//! ```text
//!   for round in 0 .. ROUNDS_MAX, while rounds bring something
//!     for each publisher that is not out, who missed least first
//!        refuses, lies about its length ─────────▶ out
//!        does not answer, is cut, is slow ───────▶ the next goes on where this one stopped
//!        all bytes are here ── right hash ───────▶ done
//!              └ wrong ── all from this one ─────▶ it lied: out; the next begins anew
//!                      └─ from several ──────────▶ somebody lied: this one alone, from the beginning
//! ```
//!
//! Nothing is believed before the hash is right. Where what was handed on can be taken back ([`Step::Restart`]), a liar costs time
//! and nothing else; where it cannot, such as on a pipe, wrong bytes end the fetch.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::address::Address;
use super::content::{Content, Hashing};
use super::find::Publisher;
use super::source::{Miss, Source, is_nothing};
use crate::hex::Authenticator;

/// Addresses of publishers that one fetch asks, unless its settings say less.
pub const SOURCES_MAX: usize = 32;
/// Times that all publishers are tried for one content, while each time brings something.
const ROUNDS_MAX: u32 = 5;
/// Misses in a row after which a publisher is asked no more.
const MISSES_MAX: u32 = 5;
/// Pause before a second round; doubles with each.
const ROUND_PAUSE: Duration = Duration::from_millis(100);

/// Bounds on time.
#[derive(Clone, Debug)]
pub struct FetchSettings {
    /// To find the address of a host and to connect to it.
    pub connect_timeout: Duration,
    /// For the head of an answer.
    pub answer_timeout: Duration,
    /// Between two bytes.
    pub stall_timeout: Duration,
    /// Least rate, after one `stall_timeout`, in bytes a second.
    pub rate_bytes_min: u64,
    /// Bytes of contents that are taken in all, from everybody and for everything that is fetched: those as well that are thrown away
    /// because somebody lied, or was cut and cannot go on.
    pub bytes_max: u64,
    /// Addresses that are asked, at most [`SOURCES_MAX`].
    pub sources_max: usize,
}

impl Default for FetchSettings {
    fn default() -> FetchSettings {
        FetchSettings {
            connect_timeout: Duration::from_secs(3),
            answer_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(15),
            rate_bytes_min: 1024,
            bytes_max: u64::MAX,
            sources_max: SOURCES_MAX,
        }
    }
}

/// What happens during a fetch, as it happens.
#[derive(Debug)]
pub enum Step<'a> {
    /// This publisher is asked for all bytes from here on.
    From(&'a Address, u64),
    /// The next bytes.
    Bytes(&'a Bytes),
    /// This publisher did not give all, and why.
    Missed(&'a Address, &'a str),
    /// All bytes handed on since the beginning are to be forgotten.
    Restart,
}

/// Why a content was not fetched. What each publisher did: [`Fetch::sources`].
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Publishers are named, and none gave it.
    #[error("no publisher gave it")]
    Gone,
    /// What was given is not what was sought.
    #[error("what was given is not what was published")]
    Wrong,
    /// [`FetchSettings::bytes_max`] bytes have come, and what was sought is not among them.
    #[error("{0} bytes came, of which none were right, and no more are taken")]
    TooMuch(u64),
    /// Who was handed the bytes could not take them.
    #[error(transparent)]
    Taker(#[from] io::Error),
}

/// What one address of a publisher did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceReport {
    /// Where.
    pub address: Address,
    /// Whose.
    pub signer: Authenticator,
    /// Until when its pointer lives: seconds since 1970.
    pub expires_unix_seconds: u64,
    /// Bytes that it gave, thrown away ones included.
    pub given: u64,
    /// Why it did not give all, the last time that it did not; `None` if it was not asked, or always did.
    pub missed: Option<String>,
}

/// Publishers of one content (and, if that is a folder, of its files), their connections, and what is known of them.
pub struct Fetch {
    sources: Vec<Source>,
    settings: FetchSettings,
    /// Bytes that came, whatever became of them.
    taken: u64,
}

/// What has come so far.
#[derive(Default)]
struct Got {
    hashing: Hashing,
    givers: BTreeSet<usize>,
}

impl Fetch {
    /// From these publishers, in this order, at most as many addresses of them as the settings say. Connects to nobody yet.
    #[must_use]
    pub fn new(publishers: &[Publisher], settings: FetchSettings) -> Fetch {
        let mut sources: Vec<Source> = Vec::new();
        let sources_max = settings.sources_max.min(SOURCES_MAX);
        for publisher in publishers {
            for address in &publisher.pointer.addresses {
                let expires = publisher.expires_unix_seconds;
                // A publisher that died and came back at the same place has two pointers.
                if let Some(known) = sources.iter_mut().find(|source| source.address == *address) {
                    known.expires_unix_seconds = known.expires_unix_seconds.max(expires);
                } else if sources.len() < sources_max {
                    sources.push(Source::new(address.clone(), publisher.signer, expires));
                }
            }
        }
        Fetch { sources, settings, taken: 0 }
    }

    /// Bytes that came, those included that were thrown away.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// What each address did.
    pub fn sources(&self) -> impl Iterator<Item = SourceReport> + '_ {
        self.sources.iter().map(|source| SourceReport {
            address: source.address.clone(),
            signer: source.signer,
            expires_unix_seconds: source.expires_unix_seconds,
            given: source.given,
            missed: source.why.clone(),
        })
    }

    /// Fetches a content and hands its bytes to `take` as they come. Only when it returns `Ok` are they what was sought.
    /// `restartable` says whether `take` can forget what it was handed.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn fetch(
        &mut self,
        content: &Content,
        restartable: bool,
        mut take: impl FnMut(Step<'_>) -> io::Result<()>,
    ) -> Result<(), FetchError> {
        if content.bytes == 0 {
            return if is_nothing(content) { Ok(()) } else { Err(FetchError::Wrong) };
        }
        let mut got = Got::default();
        for round in 0..ROUNDS_MAX {
            if round > 0 {
                sleep(ROUND_PAUSE * 2u32.pow(round - 1)).await;
            }
            let mut brought = false;
            for at in self.order() {
                // Twice at most: the second time all bytes are from this one.
                while !self.sources[at].out {
                    let before = self.sources[at].given;
                    let whole = self.draw(at, content, &mut got, &mut take).await?;
                    brought |= self.sources[at].given > before;
                    if !whole {
                        break;
                    }
                    if got.hashing.content() == *content {
                        return Ok(());
                    }
                    if got.givers.len() == 1 {
                        let miss = Miss::Lied("gave bytes with another hash".into());
                        self.missed(at, miss, &mut take)?;
                    }
                    if !restartable {
                        return Err(FetchError::Wrong);
                    }
                    take(Step::Restart)?;
                    got = Got::default();
                }
            }
            if !brought {
                break;
            }
        }
        Err(if self.sources.iter().any(|source| source.lied) { FetchError::Wrong } else { FetchError::Gone })
    }

    /// Who is asked, in which order.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.sources.len()).collect();
        order.retain(|at| !self.sources[*at].out);
        order.sort_by_key(|at| self.sources[*at].missed);
        order
    }

    /// Takes from one source what is missing. Whether all is here.
    async fn draw(
        &mut self,
        at: usize,
        content: &Content,
        got: &mut Got,
        take: &mut impl FnMut(Step<'_>) -> io::Result<()>,
    ) -> Result<bool, FetchError> {
        let from = got.hashing.bytes();
        let source = &mut self.sources[at];
        take(Step::From(&source.address, from))?;
        let room = self.settings.bytes_max.saturating_sub(self.taken);
        let mut flow = match source.open(content, from, room, &self.settings).await {
            Ok(flow) => flow,
            Err(miss) => return self.missed(at, miss, take).map(|()| false),
        };
        loop {
            let before = flow.taken;
            let next = flow.next().await;
            self.taken += flow.taken - before;
            match next {
                Ok(Some(bytes)) => {
                    take(Step::Bytes(&bytes))?;
                    got.hashing.update(&bytes);
                    got.givers.insert(at);
                    source.given += bytes.len() as u64;
                }
                Ok(None) => {
                    source.finished(&flow);
                    return Ok(true);
                }
                Err(Miss::Full) => return Err(FetchError::TooMuch(self.taken)),
                Err(miss) => return self.missed(at, miss, take).map(|()| false),
            }
        }
    }

    fn missed(
        &mut self,
        at: usize,
        miss: Miss,
        take: &mut impl FnMut(Step<'_>) -> io::Result<()>,
    ) -> Result<(), FetchError> {
        let source = &mut self.sources[at];
        source.miss(miss);
        source.out |= source.missed >= MISSES_MAX;
        take(Step::Missed(&source.address, source.why.as_deref().unwrap_or_default()))?;
        Ok(())
    }
}
