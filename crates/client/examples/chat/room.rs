//! A room: who is here, and what is said, as values under keys that follow from the room's name.
//!
//! ```text
//!   SHA-1("keyway chat 1/here/" room)             who is here: one value a guest, of a short life, put again before it ends
//!   SHA-1("keyway chat 1/talk/" epoch "/" room)   what is said in an epoch of ten minutes, as values that outlive the next one
//! ```
//!
//! A guest is a signing key of its own, made when it enters, so that nobody can speak, leave or be renewed in its name. Its
//! lines are numbered: 0 says that it came, the last one that it leaves. Leaving also removes its value under *here*; who dies is
//! told by the end of that value's life. Names are only what guests call themselves: anybody may take any.
//!
//! Epochs keep each key short: a gateway watches the first 1,000 values of a key (docs/gateway.md). Everyone watches the epoch that is,
//! the one before and, near its end, the next one, so that clocks need not agree to the second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use keyway_client::{
    Authenticator, Claim, Client, ClientError, Event, Hex, Key, Nonce, Signer, Value, expires_in,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::order::Order;
use super::program::{Failure, harmless};

/// Seconds of an epoch.
const EPOCH_SECONDS: u64 = 600;
/// The next epoch is watched so long before it begins, in seconds.
const EARLY_SECONDS: u64 = 30;
/// A line outlives its own epoch and the next.
const LINE_TTL: Duration = Duration::from_secs(2 * EPOCH_SECONDS);
/// A guest's value under *here* is put again when so much of its life is left, of three parts: two renewals may fail.
const RENEW_PARTS: u32 = 2;
/// Values of one look come together, in the order of their names; what comes within this time is sorted before it is shown.
const TOGETHER: Duration = Duration::from_millis(100);
/// Events that wait to be shown.
const EVENTS_MAX: usize = 256;
/// Longest line.
pub(crate) const TEXT_BYTES_MAX: usize = 800;
/// Longest name.
const NAME_BYTES_MAX: usize = 32;
/// Guests that are remembered.
const GUESTS_MAX: usize = 1000;

/// A line as it is stored.
#[derive(Serialize, Deserialize)]
struct Line {
    number: u64,
    name: String,
    what: What,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Joined,
    Said(String),
    Left,
}

/// A guest's value under *here*.
#[derive(Serialize, Deserialize)]
struct Here {
    name: String,
}

/// What happens in a room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Happening {
    /// Who is here when we enter. Once, before everything but what was said before.
    Here {
        names: Vec<String>,
    },
    Joined {
        name: String,
    },
    Said {
        name: String,
        text: String,
    },
    Left {
        name: String,
    },
    /// Its value under *here* has ended: it died, or cannot reach the network.
    Lost {
        name: String,
    },
    /// A gateway cannot read a key at the moment; the rest goes on.
    Trouble {
        message: String,
    },
}

/// A key that is watched, until it is dropped.
struct Listener {
    key: Key,
    task: JoinHandle<()>,
    ready: bool,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A guest's place in a room.
pub(crate) struct Room {
    client: Client,
    room: String,
    name: String,
    me: Signer,
    nonce: Nonce,
    /// The number of our next line.
    number: u64,
    /// How long our value under *here* lives, and when it ends at the latest.
    here_ttl: Duration,
    here_ends: u64,
    here_until: Instant,
    talk: BTreeMap<u64, Listener>,
    here: Listener,
    events: mpsc::Receiver<(Key, Result<Event, ClientError>)>,
    tell: mpsc::Sender<(Key, Result<Event, ClientError>)>,
    /// Events that came together and are to be sorted.
    batch: Vec<(Key, Result<Event, ClientError>)>,
    order: Order<Happening>,
    /// Who has a value under *here*, by its name among the values there.
    guests: BTreeMap<Key, (Authenticator, String)>,
    /// Whether all that was there when we came has been told.
    entered: bool,
}

fn here_key(room: &str) -> Key {
    Key::text(&format!("keyway chat 1/here/{room}"))
}

fn talk_key(room: &str, epoch: u64) -> Key {
    Key::text(&format!("keyway chat 1/talk/{epoch}/{room}"))
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The epochs to be watched at a time.
fn epochs(now: u64) -> std::ops::RangeInclusive<u64> {
    (now / EPOCH_SECONDS).saturating_sub(1)..=(now + EARLY_SECONDS) / EPOCH_SECONDS
}

/// Whose name it is, told apart from others who chose the same.
fn signed_name(name: &str, who: &Authenticator) -> String {
    let digits = who.to_string();
    let name: String = harmless(name).chars().take(NAME_BYTES_MAX).collect();
    format!("{name}~{}", &digits[..4])
}

fn json<T: Serialize>(what: &T) -> Result<Bytes, Failure> {
    Ok(serde_json::to_vec(what).map_err(|why| Failure::usage(why.to_string()))?.into())
}

impl Room {
    /// Enters: tells everybody, and begins to listen. A guest that dies is missed `here_ttl` later.
    pub(crate) async fn enter(
        client: &Client,
        room: &str,
        name: &str,
        here_ttl: Duration,
    ) -> Result<Room, Failure> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(Failure::usage(format!("a name has 1 to {NAME_BYTES_MAX} bytes")));
        }
        let (tell, events) = mpsc::channel(EVENTS_MAX);
        let here = listen(client, here_key(room), &tell);
        let mut me = Room {
            client: client.clone(),
            room: room.to_owned(),
            name: name.to_owned(),
            me: Signer::generate()?,
            nonce: Hex::random()?,
            number: 0,
            here_ttl,
            here_ends: 0,
            here_until: Instant::now(),
            talk: BTreeMap::new(),
            here,
            events,
            tell,
            batch: Vec::new(),
            order: Order::new(),
            guests: BTreeMap::new(),
            entered: false,
        };
        me.turn_epochs();
        me.renew().await?;
        me.put(What::Joined).await?;
        Ok(me)
    }

    /// How others see us.
    pub(crate) fn name(&self) -> String {
        signed_name(&self.name, &self.me.authenticator())
    }

    /// Says a line. When this returns, it is stored.
    pub(crate) async fn say(&mut self, text: &str) -> Result<(), Failure> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Failure::usage(format!("a line has at most {TEXT_BYTES_MAX} bytes")));
        }
        self.put(What::Said(text.to_owned())).await
    }

    /// Says good-bye, and takes our value under *here* away.
    pub(crate) async fn leave(mut self) -> Result<(), Failure> {
        self.put(What::Left).await?;
        let value = self.here_value()?;
        // The removal stands for as long as the value would have lived.
        let claim = Claim::removal(here_key(&self.room), Hex::sha256(&value), self.nonce, self.here_ends);
        match self.client.remove_signed(&claim, &self.me, None).await {
            // It has ended by itself.
            Err(ClientError::Refused { code, .. }) if code == "nothing_removed" => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }

    fn here_value(&self) -> Result<Bytes, Failure> {
        json(&Here { name: self.name.clone() })
    }

    async fn put(&mut self, what: What) -> Result<(), Failure> {
        let line = json(&Line { number: self.number, name: self.name.clone(), what })?;
        let key = talk_key(&self.room, unix_seconds() / EPOCH_SECONDS);
        let claim = Claim::value(key, line, Hex::random()?, expires_in(LINE_TTL));
        self.client.put_signed(&claim, &self.me, None).await?;
        self.number += 1;
        Ok(())
    }

    /// Puts our value under *here* again: the same one, for longer.
    async fn renew(&mut self) -> Result<(), Failure> {
        let (ends, until) = (expires_in(self.here_ttl), Instant::now() + self.here_ttl);
        let claim = Claim::value(here_key(&self.room), self.here_value()?, self.nonce, ends);
        // Before it is put: who asks may give us up in the middle, and a removal must not end before what it removes.
        self.here_ends = ends;
        self.client.put_signed(&claim, &self.me, None).await?;
        self.here_until = until;
        Ok(())
    }

    /// Watches the epochs of this time, and no others.
    fn turn_epochs(&mut self) {
        let wanted = epochs(unix_seconds());
        self.talk.retain(|epoch, _| wanted.contains(epoch));
        for epoch in wanted {
            let key = talk_key(&self.room, epoch);
            self.talk.entry(epoch).or_insert_with(|| listen(&self.client, key, &self.tell));
        }
    }

    /// What happens next: at least one thing, in the order in which it is to be shown. Dropping the future loses nothing, but a
    /// guest that does not ask for a third of its life under *here* may be missed.
    ///
    /// # Errors
    /// When our own value under *here* has ended, and no gateway takes it.
    pub(crate) async fn next(&mut self) -> Result<Vec<Happening>, Failure> {
        loop {
            self.turn_epochs();
            let left = self.here_until.saturating_duration_since(Instant::now());
            if left <= self.here_ttl * RENEW_PARTS / 3 {
                match self.renew().await {
                    Err(failure) if Instant::now() >= self.here_until => return Err(failure),
                    _ => {}
                }
            }
            // A second at most, so that renewals, epochs and what is held back get their turn.
            let mut patience = Duration::from_secs(1);
            while let Ok(Some(event)) = timeout(patience, self.events.recv()).await {
                self.batch.push(event);
                patience = TOGETHER;
                if self.batch.len() >= EVENTS_MAX {
                    break;
                }
            }
            let batch = std::mem::take(&mut self.batch);
            let mut happenings = self.digest(batch);
            happenings.extend(self.order.overdue(Instant::now()));
            if !happenings.is_empty() {
                return Ok(happenings);
            }
        }
    }

    fn digest(&mut self, batch: Vec<(Key, Result<Event, ClientError>)>) -> Vec<Happening> {
        let (mut lines, mut after) = (Vec::new(), Vec::new());
        for (key, event) in batch {
            let here = key == self.here.key;
            match event {
                Ok(Event::Value(value)) if here => self.guest_is_here(&value),
                Ok(Event::Value(value)) => lines.push(value),
                // It has said good-bye, or will: the line tells of it.
                Ok(Event::Removed(gone)) if here => drop(self.guests.remove(&gone.value_hash)),
                Ok(Event::Expired(gone)) if here => {
                    if let Some((_, name)) = self.guests.remove(&gone.value_hash) {
                        after.push(Happening::Lost { name });
                    }
                }
                Ok(Event::Ready) => {
                    self.talk
                        .values_mut()
                        .chain([&mut self.here])
                        .filter(|one| one.key == key)
                        .for_each(|one| one.ready = true);
                }
                Ok(Event::Trouble { message }) => {
                    after.push(Happening::Trouble { message: harmless(&message) })
                }
                Err(error) => after.push(Happening::Trouble { message: error.to_string() }),
                // A line's life is over, or a guest's goes on.
                Ok(_) => {}
            }
        }
        lines.sort_by_key(|value| (value.put_time_ms, value.value_hash));
        let mut happenings: Vec<Happening> = lines.iter().flat_map(|value| self.line(value)).collect();
        if !self.entered && self.here.ready && self.talk.values().all(|one| one.ready) {
            self.entered = true;
            // Our own value may be younger than what the gateway looked at last.
            let mut names: Vec<String> = self.guests.values().map(|(_, name)| name.clone()).collect();
            names.push(self.name());
            names.sort();
            names.dedup();
            happenings.push(Happening::Here { names });
        }
        happenings.extend(after);
        happenings
    }

    fn guest_is_here(&mut self, value: &Value) {
        let (Some(signer), Ok(here)) = (value.signer, serde_json::from_slice::<Here>(&value.bytes)) else {
            return;
        };
        if self.guests.len() < GUESTS_MAX {
            self.guests.insert(value.value_hash, (signer, signed_name(&here.name, &signer)));
        }
    }

    /// A line, and those that waited for it.
    fn line(&mut self, value: &Value) -> Vec<Happening> {
        let (Some(signer), Ok(line)) = (value.signer, serde_json::from_slice::<Line>(&value.bytes)) else {
            return Vec::new();
        };
        let name = signed_name(&line.name, &signer);
        let happening = match line.what {
            What::Joined => Happening::Joined { name },
            What::Said(text) => Happening::Said { name, text: harmless(&text) },
            What::Left => {
                self.guests.retain(|_, (guest, _)| *guest != signer);
                Happening::Left { name }
            }
        };
        if signer == self.me.authenticator() && matches!(happening, Happening::Joined { .. }) {
            // We know.
            self.order.take(signer, line.number, happening, 0, Instant::now());
            return Vec::new();
        }
        // Of those who spoke before we entered, the beginning may be over.
        let base = if self.entered { 0 } else { line.number };
        self.order.take(signer, line.number, happening, base, Instant::now())
    }
}

fn listen(client: &Client, key: Key, tell: &mpsc::Sender<(Key, Result<Event, ClientError>)>) -> Listener {
    let (mut watch, tell) = (client.watch(&key), tell.clone());
    // Errors are told as well, and the watch goes on: it pauses by itself before it asks again.
    let task = tokio::spawn(async move { while tell.send((key, watch.next().await)).await.is_ok() {} });
    Listener { key, task, ready: false }
}
