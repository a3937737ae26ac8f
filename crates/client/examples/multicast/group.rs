//! A member of a group: its registration, its parent, its children, its messages.
//!
//! ```text
//!   registered ─▶ search ─▶ parent ──── connection lost ────▶ search
//!                    │
//!                    └────▶ root: again every second, in case that a nearer member came, or was only out of sight
//! ```
//!
//! Everything that happens comes in through one queue ([`Inside`]) and is done at once; what takes time (a search, a connection) runs
//! beside and comes back through it. A parent is nearer to the group's point than its child (place.rs), so there are no rings, and a
//! message goes over each connection once: to all neighbours but the one that it came from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keyway_client::redir::{Endpoint, Member, Redir, Refresh, Scheme};
use keyway_client::{Client, Hex, Key};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::journal::{Heard, Journal, Message, News};
use super::link::{Frame, Link, Named, Wire};
use super::program::{Failure, harmless};
use super::search::{Outcome, Seeker};

/// Children of a member, as a multiple of the branching: on average it has one of them.
const CHILDREN_PER_BRANCH: usize = 2;
/// Things that have happened and are not done yet.
const EVENTS_MAX: usize = 256;
/// Connections of which it is not known yet what they are for.
const KNOCKING_MAX: usize = 64;
/// After a connection that could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Longest message.
pub(crate) const TEXT_BYTES_MAX: usize = 4096;
/// Between two searches of a member without a parent.
const SEARCH_EVERY: Duration = Duration::from_secs(1);

/// What comes in.
pub(crate) enum Inside {
    /// Somebody wants to be our child.
    Knock(Wire, Named, Heard),
    Searched(Outcome),
    Frame(u64, Frame),
    Down(u64),
    Tick,
}

/// What a member tells.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Happening {
    /// No living member is nearer to the group's point.
    Root,
    /// It has a parent.
    Parent {
        address: String,
    },
    /// It has one child more.
    Child {
        address: String,
    },
    /// A neighbour is gone.
    Gone {
        address: String,
    },
    /// A message; how many before it could not be had any more.
    Message {
        source: String,
        number: u64,
        text: String,
        lost: u64,
    },
    Trouble {
        message: String,
    },
}

/// How a member takes part.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    /// A member at distance d looks for its parent at d / branching.
    pub(crate) branching: u8,
    pub(crate) refresh: Refresh,
}

/// A member.
pub(crate) struct Group {
    seeker: Seeker,
    /// Kept up until it is dropped.
    _registration: Member,
    journal: Journal,
    source: String,
    said: u64,
    links: BTreeMap<u64, Link>,
    links_ever: u64,
    parent: Option<u64>,
    root: bool,
    search: Option<JoinHandle<()>>,
    beside: Vec<JoinHandle<()>>,
    events: mpsc::Receiver<Inside>,
    tell: mpsc::Sender<Inside>,
}

impl Drop for Group {
    fn drop(&mut self) {
        self.beside.iter().chain(&self.search).for_each(JoinHandle::abort);
    }
}

/// The point on the circle of ids where a group's root is looked for.
pub(crate) fn point(name: &str) -> Key {
    Key::text(&format!("keyway multicast 1/{name}"))
}

impl Group {
    /// Registers, and begins to listen and to look for a parent.
    pub(crate) async fn join(
        client: &Client,
        name: &str,
        me: &Endpoint,
        listener: TcpListener,
        settings: Settings,
    ) -> Result<Group, Failure> {
        let namespace = format!("keyway multicast 1/{name}");
        let redir = Redir::new(client.clone(), namespace.as_bytes(), Scheme::default())?;
        let (tell, events) = mpsc::channel(EVENTS_MAX);
        let beside = vec![tokio::spawn(accept(listener, tell.clone())), tokio::spawn(tick(tell.clone()))];
        let registration = redir.join(me, settings.refresh).await?;
        let seeker = Seeker { redir, group: point(name), me: Named::of(me), branching: settings.branching };
        let source = Hex::random()?.to_string()[..16].to_owned();
        let mut group = Group {
            seeker,
            _registration: registration,
            journal: Journal::default(),
            source,
            said: 0,
            links: BTreeMap::new(),
            links_ever: 0,
            parent: None,
            root: false,
            search: None,
            beside,
            events,
            tell,
        };
        group.search();
        Ok(group)
    }

    /// Says something to all members.
    pub(crate) fn say(&mut self, text: &str) -> Result<Happening, Failure> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Failure::usage(format!("a message has at most {TEXT_BYTES_MAX} bytes")));
        }
        let message = Message { source: self.source.clone(), number: self.said, text: text.to_owned() };
        self.said += 1;
        self.journal.take(&message);
        self.spread(&message, None);
        Ok(Happening::Message { source: message.source, number: message.number, text: message.text, lost: 0 })
    }

    /// Stops being a member, when what was said is written. Neighbours see the connections end, and repair the tree; the
    /// registration ends by itself.
    pub(crate) async fn leave(mut self) {
        for (_, link) in std::mem::take(&mut self.links) {
            link.close().await;
        }
    }

    /// What happens next. Dropping the future loses nothing: what comes in is taken and done in one step.
    pub(crate) async fn next(&mut self) -> Vec<Happening> {
        loop {
            // We hold a sender ourselves, so there is always a next one.
            let Some(event) = self.events.recv().await else { return Vec::new() };
            let happenings = self.on(event);
            if !happenings.is_empty() {
                return happenings;
            }
        }
    }

    fn on(&mut self, event: Inside) -> Vec<Happening> {
        match event {
            Inside::Knock(wire, member, heard) => self.on_knock(wire, member, &heard),
            Inside::Searched(outcome) => self.on_searched(outcome),
            Inside::Frame(from, Frame::Message(message)) => self.on_message(from, message),
            // Our parent has taken a nearer child in our place.
            Inside::Frame(from, Frame::Refused { .. }) => self.on_down(from),
            Inside::Frame(..) => Vec::new(),
            Inside::Down(from) => self.on_down(from),
            Inside::Tick => {
                self.search();
                Vec::new()
            }
        }
    }

    /// Looks for a parent, if there is none and nobody looks yet.
    fn search(&mut self) {
        if self.parent.is_some() || self.search.is_some() {
            return;
        }
        let (seeker, tell, heard) = (self.seeker.clone(), self.tell.clone(), self.journal.heard().clone());
        self.search = Some(tokio::spawn(async move {
            let outcome = seeker.search(heard).await;
            // Nobody listens any more: then nobody looks any more.
            let _ = tell.send(Inside::Searched(outcome)).await;
        }));
    }

    fn on_searched(&mut self, outcome: Outcome) -> Vec<Happening> {
        self.search = None;
        match outcome {
            Outcome::Parent(wire, parent, heard) => {
                self.root = false;
                let address = parent.address.clone();
                let number = self.connect(wire, parent);
                self.parent = Some(number);
                self.send(number, self.lacking(&heard));
                vec![Happening::Parent { address }]
            }
            Outcome::Root if !std::mem::replace(&mut self.root, true) => vec![Happening::Root],
            Outcome::Root => Vec::new(),
            Outcome::Nobody => {
                vec![Happening::Trouble { message: "no member took us as a child yet".into() }]
            }
            Outcome::Failed(error) => vec![Happening::Trouble { message: error.to_string() }],
        }
    }

    fn on_knock(&mut self, wire: Wire, member: Named, heard: &Heard) -> Vec<Happening> {
        let distance = |named: &Named| self.seeker.distance(&named.id);
        let children = || self.links.iter().filter(|(number, _)| Some(**number) != self.parent);
        // Of one member that comes again the old connection is dead.
        let again = children().find(|(_, link)| link.neighbour == member).map(|(number, _)| *number);
        let children_max = CHILDREN_PER_BRANCH * usize::from(self.seeker.branching);
        let full = again.is_none() && children().count() >= children_max;
        let farthest = children().max_by_key(|(_, link)| distance(&link.neighbour));
        let farthest = farthest.map(|(number, link)| (*number, distance(&link.neighbour)));
        let makes_room =
            farthest.filter(|(_, far)| full && *far > distance(&member)).map(|(number, _)| number);
        let nearer = distance(&member) <= distance(&self.seeker.me);
        if nearer || full && makes_room.is_none() {
            let named = children().map(|(_, link)| link.neighbour.clone()).collect();
            tokio::spawn(wire.refuse(if nearer { Vec::new() } else { named }));
            return Vec::new();
        }
        let mut happenings = Vec::new();
        if let Some(number) = makes_room {
            self.send(number, Frame::Refused { children: vec![member.clone()] }.line());
        }
        for number in again.into_iter().chain(makes_room) {
            happenings.extend(self.on_down(number));
        }
        let address = member.address.clone();
        let number = self.connect(wire, member);
        let mut hello = Frame::Accepted { heard: self.journal.heard().clone() }.line().to_vec();
        hello.extend(self.lacking(heard));
        self.send(number, hello.into());
        happenings.push(Happening::Child { address });
        happenings
    }

    fn connect(&mut self, wire: Wire, neighbour: Named) -> u64 {
        self.links_ever += 1;
        let number = self.links_ever;
        self.links.insert(number, Link::start(wire, neighbour, number, self.tell.clone()));
        number
    }

    fn on_message(&mut self, from: u64, message: Message) -> Vec<Happening> {
        // What came from one who is no neighbour any more will come again from another.
        if !self.links.contains_key(&from) || message.text.len() > TEXT_BYTES_MAX {
            return Vec::new();
        }
        let News::New { lost } = self.journal.take(&message) else { return Vec::new() };
        self.spread(&message, Some(from));
        let Message { source, number, text } = message;
        vec![Happening::Message { source: harmless(&source), number, text: harmless(&text), lost }]
    }

    fn on_down(&mut self, from: u64) -> Vec<Happening> {
        let Some(link) = self.links.remove(&from) else { return Vec::new() };
        if self.parent == Some(from) {
            self.parent = None;
            self.search();
        }
        vec![Happening::Gone { address: link.neighbour.address.clone() }]
    }

    /// To all neighbours but one.
    fn spread(&mut self, message: &Message, but: Option<u64>) {
        let line = Frame::Message(message.clone()).line();
        let others: Vec<u64> = self.links.keys().copied().filter(|number| Some(*number) != but).collect();
        others.into_iter().for_each(|number| self.send(number, line.clone()));
    }

    fn send(&mut self, to: u64, bytes: Bytes) {
        if self.links.get(&to).is_some_and(|link| !bytes.is_empty() && !link.send(bytes)) {
            // It does not read: told like any other loss, when it is this loss's turn.
            let tell = self.tell.clone();
            tokio::spawn(async move { drop(tell.send(Inside::Down(to)).await) });
        }
    }

    /// What a neighbour lacks, as one piece.
    fn lacking(&self, heard: &Heard) -> Bytes {
        let lines = self.journal.lacking(heard).map(|message| Frame::Message(message.clone()).line());
        lines
            .fold(Vec::new(), |mut all, line| {
                all.extend(line);
                all
            })
            .into()
    }
}

/// Takes connections, and reads who comes.
async fn accept(listener: TcpListener, tell: mpsc::Sender<Inside>) {
    let knocking = Arc::new(Semaphore::new(KNOCKING_MAX));
    // It is never closed.
    while let Ok(permit) = knocking.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, or whoever came is gone again.
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let tell = tell.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let mut wire = Wire::new(stream);
            if let Some(Frame::Join { member, heard }) = wire.frame().await {
                // Nobody listens any more: the connection ends with this.
                let _ = tell.send(Inside::Knock(wire, member, heard)).await;
            }
        });
    }
}

async fn tick(tell: mpsc::Sender<Inside>) {
    let mut clock = interval(SEARCH_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        if tell.send(Inside::Tick).await.is_err() {
            return;
        }
    }
}
