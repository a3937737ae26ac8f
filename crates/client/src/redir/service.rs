//! ReDiR over a network: runs the walks through a [`Client`], and keeps a member registered.
//!
//! ```text
//!   join ─▶ Register ─▶ every `every`, give or take a thirtieth: Register ─▶ ...           until leave, or dropped
//!              │ fails                                  │ fails
//!              ▼                                        ▼ told as a Round; again after 1 s, 2 s, ... 30 s, never later
//!           the error                                     than `every`
//! ```
//!
//! A member that stops refreshing, by leaving or by dying, is found until its entries end: at most one ttl after its last
//! registration. Entries are plain values, which nobody can remove; when the network offers removal with a secret,
//! [`Member::leave`] is the one place that has to use it, over the keys of [`Registered::placed`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::answer::Reads;
use crate::client::Client;
use crate::failure::ClientError;
use crate::key::Key;
use crate::redir::binary::{BINARY_LEVELS_DEFAULT, BinaryList, BinaryLookup, BinaryRegister, BinaryTree};
use crate::redir::entry::{Endpoint, Form};
use crate::redir::levels::{LEVEL_FIRST, Levels};
use crate::redir::list::{LIST_GETS_MAX, List, Listed};
use crate::redir::lookup::{LookedUp, Lookup};
use crate::redir::register::{Refresh, Register, Registered};
use crate::redir::tree::{BRANCHING_DEFAULT, Tree};
use crate::redir::walk::{Ask, Found, Step, Walk};

/// Pause after the first refresh that failed; doubles with each (4.3).
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longest pause after a refresh that failed.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// A refresh comes at most this part of its period earlier or later: a second in thirty (4.2).
const JITTER_PART: u32 = 30;
/// Least period of refreshes.
const EVERY_MIN: Duration = Duration::from_secs(1);

/// Which tree a namespace has. Its members and those who look them up must agree on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// Variable height (SIGCOMM 2005).
    Tree {
        /// Cells of a node.
        branching: u16,
        /// How keys and entries are written.
        form: Form,
    },
    /// Fixed binary depth (IPTPS 2004).
    Binary {
        /// Levels.
        levels: u16,
    },
}

impl Default for Scheme {
    fn default() -> Scheme {
        Scheme::Tree { branching: BRANCHING_DEFAULT, form: Form::Native }
    }
}

impl Scheme {
    /// The binary tree of the usual depth.
    #[must_use]
    pub fn binary() -> Scheme {
        Scheme::Binary { levels: BINARY_LEVELS_DEFAULT }
    }

    /// In which form members stand in it.
    #[must_use]
    pub fn form(self) -> Form {
        match self {
            Scheme::Tree { form, .. } => form,
            Scheme::Binary { .. } => Form::Classic,
        }
    }
}

#[derive(Debug)]
enum Shape {
    Tree(Tree),
    Binary(BinaryTree),
}

#[derive(Debug)]
struct Inner {
    client: Client,
    shape: Shape,
    lookups: Mutex<Levels>,
}

/// The lookup service of one namespace. Cheap to clone; clones share what lookups learn about the tree's height.
#[derive(Clone, Debug)]
pub struct Redir {
    inner: Arc<Inner>,
}

impl Redir {
    /// The service of a namespace (any bytes, 1 to 255). Asks nobody yet.
    ///
    /// # Errors
    /// [`ClientError::Usage`] when the namespace or the scheme is out of bounds.
    pub fn new(client: Client, namespace: &[u8], scheme: Scheme) -> Result<Redir, ClientError> {
        let shape = match scheme {
            Scheme::Tree { branching, form } => Shape::Tree(Tree::new(namespace, branching, form)?),
            Scheme::Binary { levels } => Shape::Binary(BinaryTree::new(namespace, levels)?),
        };
        Ok(Redir { inner: Arc::new(Inner { client, shape, lookups: Mutex::new(Levels::new()) }) })
    }

    /// One registration of `me`, beginning at level `start`: [`Registered::level`] of the one before. The caller
    /// repeats it every `refresh.every`. A set of members that registers at once stands right after a few rounds.
    ///
    /// # Errors
    /// See [`ClientError`]. The entry may then stand on some levels; registering again is harmless.
    pub async fn register(
        &self,
        me: &Endpoint,
        refresh: Refresh,
        start: Option<u16>,
    ) -> Result<Registered, ClientError> {
        match &self.inner.shape {
            Shape::Tree(tree) => {
                self.walk(Register::new(tree, me, refresh, start.unwrap_or(LEVEL_FIRST))?).await
            }
            Shape::Binary(tree) => self.walk(BinaryRegister::new(tree, me, refresh.ttl)?).await,
        }
    }

    /// Registers `me`, and again and again until the member leaves or is dropped. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`ClientError::Usage`] for periods out of bounds; else why the first registration failed.
    pub async fn join(&self, me: &Endpoint, refresh: Refresh) -> Result<Member, ClientError> {
        let Refresh { ttl, every } = refresh;
        if every < EVERY_MIN || ttl <= every {
            return Err(ClientError::Usage(format!(
                "entries of {ttl:?} every {every:?}: the period is at least a second, and entries live longer than it"
            )));
        }
        let first = self.register(me, refresh, None).await?;
        let level = first.level;
        let (tell, rounds) = watch::channel(Round { number: 1, outcome: Ok(first) });
        let task = tokio::spawn(keep(self.clone(), me.clone(), refresh, level, tell));
        Ok(Member { task, rounds, ttl })
    }

    /// The member whose id is the first at or after `key`, once round the circle.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn lookup(&self, key: &Key) -> Result<LookedUp, ClientError> {
        let found = match &self.inner.shape {
            Shape::Tree(tree) => {
                let start = self.lookups().start();
                self.walk(Lookup::new(tree, *key, start)).await?
            }
            Shape::Binary(tree) => self.walk(BinaryLookup::new(tree, *key)).await?,
        };
        self.lookups().note(found.level);
        Ok(found)
    }

    /// All members, at most `members_max`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn list(&self, members_max: usize) -> Result<Listed, ClientError> {
        match &self.inner.shape {
            Shape::Tree(tree) => self.walk(List::new(tree, members_max, LIST_GETS_MAX)).await,
            Shape::Binary(tree) => self.walk(BinaryList::new(tree, members_max, LIST_GETS_MAX)).await,
        }
    }

    /// Nobody panics while holding it, so what it guards is whole.
    fn lookups(&self) -> std::sync::MutexGuard<'_, Levels> {
        self.inner.lookups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a walk to its end.
    async fn walk<W: Walk>(&self, mut walk: W) -> Result<W::Outcome, ClientError> {
        let client = &self.inner.client;
        let mut step = walk.begin();
        loop {
            step = match step {
                Step::Done(outcome) => return Ok(outcome),
                Step::Ask(Ask::Get { key, values_max }) => {
                    let (values, _) = client.get_all(&key, Reads::Quorum, values_max).await?;
                    let found: Vec<Found> = values
                        .into_iter()
                        .map(|value| Found {
                            bytes: value.bytes,
                            remaining: Duration::from_secs(value.remaining_seconds),
                        })
                        .collect();
                    walk.on_found(&found)
                }
                Step::Ask(Ask::Put { key, value, ttl }) => {
                    client.put(&key, value, Some(ttl)).await?;
                    walk.on_stored()
                }
            };
        }
    }
}

/// One registration of a member that stays.
#[derive(Clone, Debug)]
pub struct Round {
    /// Which; the first is 1.
    pub number: u64,
    /// How it went.
    pub outcome: Result<Registered, ClientError>,
}

/// A member that is being kept registered. Dropping it stops the refreshing, as leaving does.
#[derive(Debug)]
pub struct Member {
    task: JoinHandle<()>,
    rounds: watch::Receiver<Round>,
    ttl: Duration,
}

impl Member {
    /// The latest registration, and by `changed` the next ones.
    #[must_use]
    pub fn rounds(&self) -> watch::Receiver<Round> {
        self.rounds.clone()
    }

    /// Stops refreshing. Gives the time after which nobody finds the member any more: its entries cannot be removed, they
    /// end.
    pub async fn leave(mut self) -> Duration {
        self.task.abort();
        // Until it is over: no put of ours is on its way any more. It ends as cancelled, which is what was asked.
        let _ = (&mut self.task).await;
        self.ttl
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Registers again and again.
async fn keep(redir: Redir, me: Endpoint, refresh: Refresh, level: u16, tell: watch::Sender<Round>) {
    let mut level = level;
    let mut retry = RETRY_FIRST;
    let mut pause = jittered(refresh.every, &me, 1);
    for number in 2.. {
        sleep(pause).await;
        let outcome = redir.register(&me, refresh, Some(level)).await;
        match &outcome {
            Ok(registered) => {
                level = registered.level;
                retry = RETRY_FIRST;
                pause = jittered(refresh.every, &me, number);
            }
            Err(_) => {
                pause = retry.min(refresh.every);
                retry = (2 * retry).min(RETRY_MAX);
            }
        }
        tell.send_replace(Round { number, outcome });
    }
}

/// `every`, give or take a thirtieth, so that members that were started together do not stay in step. From the member's
/// name and the round's number: that spreads members apart without a source of chance.
fn jittered(every: Duration, me: &Endpoint, round: u64) -> Duration {
    let drawn = Key::hash(format!("{me:?} {round}").as_bytes()).0[0];
    let most = every / JITTER_PART;
    every.saturating_sub(most) + 2 * most * u32::from(drawn) / u32::from(u8::MAX)
}
