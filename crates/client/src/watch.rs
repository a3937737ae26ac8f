//! Watching a key: what comes, lives longer, is removed or ends, as it happens.
//!
//! ```text
//!   connect ─▶ a gateway tells everything that is there ─▶ ready ─▶ what changes, without end
//!      ▲                                                              │
//!      └──── the connection ended, or nothing was heard for long ◀────┘
//! ```
//!
//! When a connection ends, the next gateway is asked. What it tells first is compared with what was told before: nothing is told
//! twice, and what went meanwhile is told as gone. A watch that was connected once waits for as long as nobody answers, such as
//! while its only gateway is started again: that is trouble, told once, and no error. Who is turned away is told so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until, timeout};

use crate::answer::{ErrorBody, Value};
use crate::client::Client;
use crate::failure::ClientError;
use crate::gateways::{Ask, Stream};
use crate::key::{KEY_BYTES, Key};
use crate::signing::first_of;

/// Gateways give a sign of life every 15 seconds.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// Pause before the first new connection; doubles until something is heard.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Longest pause because a gateway said so (`Retry-After`).
const TOLD_PAUSE_MAX: Duration = Duration::from_secs(60);

/// What happened to a key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// A value that was not there before, or that was there at the beginning.
    Value(Value),
    /// A value lives longer.
    Renewed(Value),
    /// A value was removed.
    Removed(Gone),
    /// A value's life is over.
    Expired(Gone),
    /// All values that were there at the beginning have been told. Once.
    Ready,
    /// The key cannot be read now, because no gateway answers (told once until one does) or the gateway's node cannot; the
    /// watch goes on.
    Trouble {
        /// Why.
        message: String,
    },
}

/// A value that is not there any more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Gone {
    /// Its name among the values of its key.
    pub value_hash: Key,
    /// The same: of a plain value the hash of its secret, of a signed one its signer's place; zeros if it has neither.
    pub place: Key,
    /// When its life ends, or would have ended: milliseconds since 1970-01-01T00:00:00Z.
    pub expires_ms: u64,
}

/// A watch over a key; see [`Client::watch`].
pub struct Watch {
    client: Client,
    key: Key,
    stream: Option<Stream>,
    received: Vec<u8>,
    /// What was told to be there: until when, and at which number.
    told: BTreeMap<(Key, Key), (u64, u64)>,
    /// Until a new connection is ready: what it has told of.
    confirmed: Option<BTreeSet<(Key, Key)>>,
    ready: bool,
    events: VecDeque<Event>,
    /// Whether there was a connection ever.
    connected: bool,
    /// Whether it was told that no gateway answers, and nothing was heard since.
    away: bool,
    /// The next pause, and until when nobody is asked.
    pause: Duration,
    rest: Option<Instant>,
}

impl Watch {
    pub(crate) fn new(client: Client, key: Key) -> Watch {
        Watch {
            client,
            key,
            stream: None,
            received: Vec::new(),
            told: BTreeMap::new(),
            confirmed: None,
            ready: false,
            events: VecDeque::new(),
            connected: false,
            away: false,
            pause: PAUSE_MIN,
            rest: None,
        }
    }

    /// Waits for the next event. Dropping the future loses none.
    ///
    /// # Errors
    /// See [`ClientError`]: a gateway turns us away or answers nonsense, or nobody answers at the very first connection; later on
    /// that is [`Event::Trouble`]. The next call begins with a new connection, after a pause: it may be made at once.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let Some(stream) = &mut self.stream else {
                self.connect().await?;
                continue;
            };
            match timeout(SILENCE_MAX, stream.frame()).await {
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.received.extend_from_slice(&data);
                        if let Err(error) = self.read().await {
                            self.stream = None;
                            self.rest(None);
                            return Err(error);
                        }
                    }
                }
                // Ended, cut, or silent.
                _ => {
                    self.stream = None;
                    self.rest(None);
                }
            }
        }
    }

    /// A new connection, or trouble that is told once.
    async fn connect(&mut self) -> Result<(), ClientError> {
        // An instant and no span: whoever drops the future in the middle does not shorten the pause.
        if let Some(until) = self.rest {
            sleep_until(until).await;
            self.rest = None;
        }
        match self.client.open(&Ask::get(format!("/v1/ids/{}/watch", self.key))).await {
            Ok(stream) => {
                self.stream = Some(stream);
                self.received.clear();
                self.confirmed = Some(BTreeSet::new());
                self.connected = true;
                Ok(())
            }
            Err(error) => {
                self.rest(error.retry_after());
                if !self.connected || !error.may_pass() {
                    return Err(error);
                }
                if !std::mem::replace(&mut self.away, true) {
                    self.events.push_back(Event::Trouble { message: error.to_string() });
                }
                Ok(())
            }
        }
    }

    /// Nobody is asked for a while, twice as long as the last time, or as long as was said.
    fn rest(&mut self, told: Option<Duration>) {
        let pause = self.pause.max(told.unwrap_or_default().min(TOLD_PAUSE_MAX));
        self.rest = Some(Instant::now() + pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// Reads the whole events among what was received.
    async fn read(&mut self) -> Result<(), ClientError> {
        while let Some(end) = self.received.windows(2).position(|pair| pair == b"\n\n") {
            let rest = self.received.split_off(end + 2);
            let text = std::mem::replace(&mut self.received, rest);
            let text = String::from_utf8(text).map_err(|_| nonsense("not UTF-8"))?;
            let field =
                |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
            if let Some(name) = field("event:") {
                (self.pause, self.away) = (PAUSE_MIN, false);
                self.take(name, field("data:").unwrap_or_default()).await?;
            }
        }
        if self.received.len() > self.client.answer_bytes_max() {
            return Err(nonsense("an event is longer than an answer may be"));
        }
        Ok(())
    }

    async fn take(&mut self, name: &str, data: &str) -> Result<(), ClientError> {
        match name {
            "value" | "renewed" => {
                let value: Value = json(data)?;
                let network = match value.proof {
                    Some(_) => Some(self.client.network_id().await?),
                    None => None,
                };
                value.check(&self.key, network)?;
                self.take_value(value);
            }
            "removed" | "expired" => {
                let gone: Gone = json(data)?;
                if self.told.remove(&(gone.place, gone.value_hash)).is_some() {
                    let removed = name == "removed";
                    self.events.push_back(if removed { Event::Removed(gone) } else { Event::Expired(gone) });
                }
            }
            "ready" => {
                self.forget_unconfirmed();
                if !std::mem::replace(&mut self.ready, true) {
                    self.events.push_back(Event::Ready);
                }
            }
            "trouble" => {
                let body: ErrorBody = json(data)?;
                self.events.push_back(Event::Trouble { message: body.error.message });
            }
            // Of a newer gateway.
            _ => {}
        }
        Ok(())
    }

    fn take_value(&mut self, value: Value) {
        let name = (place(&value), value.value_hash);
        let (until, seq) = (value.put_time_ms + 1000 * value.ttl_seconds, value.seq.unwrap_or(0));
        if let Some(confirmed) = &mut self.confirmed {
            confirmed.insert(name);
        }
        match self.told.insert(name, (until, seq)) {
            Some((_, before)) if before != seq => self.events.push_back(Event::Value(value)),
            Some((before, _)) if before != until => self.events.push_back(Event::Renewed(value)),
            Some(_) => {}
            None => self.events.push_back(Event::Value(value)),
        }
    }

    /// A new connection has told all there is: what it did not tell of went while nobody watched.
    fn forget_unconfirmed(&mut self) {
        let Some(confirmed) = self.confirmed.take() else { return };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let gone: Vec<_> = self.told.keys().filter(|name| !confirmed.contains(name)).copied().collect();
        for name in gone {
            let (expires_ms, _) = self.told.remove(&name).unwrap_or_default();
            let gone = Gone { place: name.0, value_hash: name.1, expires_ms };
            let over = u128::from(expires_ms) <= now;
            self.events.push_back(if over { Event::Expired(gone) } else { Event::Removed(gone) });
        }
    }
}

/// A value's place among those of its key.
fn place(value: &Value) -> Key {
    match (value.signer, value.secret_hash) {
        (Some(signer), _) => first_of(&signer.0),
        (None, Some(hash)) => hash,
        (None, None) => Key([0; KEY_BYTES]),
    }
}

fn json<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, ClientError> {
    serde_json::from_str(data).map_err(|why| nonsense(&why.to_string()))
}

fn nonsense(why: &str) -> ClientError {
    ClientError::Protocol(format!("an event: {why}"))
}
