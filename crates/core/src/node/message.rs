//! What nodes say to each other: the body of a frame. One tag byte, then the fields.
//!
//! ```text
//!  request                              reply                      for
//!  Hello{wall}                          Welcome{standing, member}  joining, probing lost peers
//!  Overlay(m)                           Overlay(m')                the overlay's own protocol; also told
//!  Hop{target, n}                       HopIs(..)                  one step of a lookup
//!  Store(record)                        Stored(verdict)            put: answered when durable
//!  Fetch{key, after, max, page..}       Page{ready, records, more} get
//!  Heads{key}                           HeadsAre{ready, heads}     where
//!  HeadsOf{identities}                  HeadsAre{ready, heads}     before a remove; a read whose replicas differ
//!  Sync(question)                       SyncIs{ready, standing, answer} comparing digests of an arc
//!  About                                AboutIs{facts}             a survey: what it holds, whom it knows
//!  Route{id, target, n, ..}             Taken{whether}             a lookup is passed on (travel.rs)
//!  Routed{id, hops, set}                Heard                      its answer comes back
//!  Pull{identities}                     Records{records}           fetching what we lack
//!  Push{records}                        Pushed{stored}             giving what they lack: answered when durable
//! ```

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::id::Id;
pub use crate::lookup::{CANDIDATES_MAX, HopAnswer, SET_MAX};
use crate::machine::{Facts, Terms};
use crate::overlay::Overlay;
use crate::peer::Peer;
use crate::replica::sync::{Answer, Question};
use crate::store::{Cursor, Head, Identity, Record, Refusal};
use crate::time::{Duration, Wall};
use crate::wire::{Malformed, Reader, Wire, Writer};

/// Identities in one `Pull`, records in one `Push` or `Records`.
pub const BATCH_RECORDS_MAX: usize = 256;
/// Bytes of values after which a batch or page is closed; the first record always fits.
pub const BATCH_BYTES_MAX: usize = 48 << 10;
/// Records in one `Page`.
pub const PAGE_RECORDS_MAX: usize = 1024;
/// Heads in one `HeadsAre`.
pub const HEADS_MAX: usize = 1024;

/// Peers in one `AboutIs`: with IPv6 addresses, too, it fits a datagram.
pub const PEERS_MAX: usize = 27;

impl Wire for Facts {
    fn encode(&self, w: &mut Writer<'_>) {
        w.u64(self.records);
        w.u64(self.record_bytes);
        w.u32(self.shares.0);
        w.u32(self.shares.1);
        w.bool(self.member);
        w.list(&self.peers[..self.peers.len().min(PEERS_MAX)]);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Facts, Malformed> {
        Ok(Facts {
            records: r.u64()?,
            record_bytes: r.u64()?,
            shares: (r.u32()?, r.u32()?),
            member: r.bool()?,
            peers: r.list(PEERS_MAX)?,
        })
    }
}

impl Wire for PageRequest {
    fn encode(&self, w: &mut Writer<'_>) {
        self.key.encode(w);
        w.option(self.after.as_ref());
        w.u32(self.max);
        w.u32(self.page_bytes);
        w.u32(self.overhead_bytes);
        w.option(self.signer.as_ref());
    }
    fn decode(r: &mut Reader<'_>) -> Result<PageRequest, Malformed> {
        Ok(PageRequest {
            key: Id::decode(r)?,
            after: r.option()?,
            max: r.u32()?,
            page_bytes: r.u32()?,
            overhead_bytes: r.u32()?,
            signer: r.option()?,
        })
    }
}

/// A lookup that travels from node to node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteRequest {
    /// Its name, unpredictable, chosen by the asker.
    pub id: u64,
    /// What is looked up.
    pub target: Id,
    /// Peers of the replica set wanted.
    pub wanted: u8,
    /// Whether the answer goes back the way it came.
    pub back: bool,
    /// Hops so far, this one included.
    pub hops: u8,
    /// Nodes on the way that were slow or silent.
    pub timeouts: u16,
    /// Who asks.
    pub origin: Peer,
}

impl Wire for RouteRequest {
    fn encode(&self, w: &mut Writer<'_>) {
        w.u64(self.id);
        self.target.encode(w);
        w.u8(self.wanted);
        w.bool(self.back);
        w.u8(self.hops);
        w.u16(self.timeouts);
        self.origin.encode(w);
    }
    fn decode(r: &mut Reader<'_>) -> Result<RouteRequest, Malformed> {
        Ok(RouteRequest {
            id: r.u64()?,
            target: Id::decode(r)?,
            wanted: r.u8()?,
            back: r.bool()?,
            hops: r.u8()?,
            timeouts: r.u16()?,
            origin: Peer::decode(r)?,
        })
    }
}

/// The end of a lookup that travelled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Routed {
    /// Its name.
    pub id: u64,
    /// Hops to the root.
    pub hops: u8,
    /// Nodes on the way that were slow or silent.
    pub timeouts: u16,
    /// The replica set, root first; empty where there was no way on.
    pub set: Vec<Peer>,
}

impl Wire for Routed {
    fn encode(&self, w: &mut Writer<'_>) {
        w.u64(self.id);
        w.u8(self.hops);
        w.u16(self.timeouts);
        w.list(&self.set[..self.set.len().min(SET_MAX)]);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Routed, Malformed> {
        Ok(Routed { id: r.u64()?, hops: r.u8()?, timeouts: r.u16()?, set: r.list(SET_MAX)? })
    }
}

/// A replica's verdict on a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Durable here.
    Stored,
    /// So is a copy of it that lives longer, until then.
    Longer(Wall),
    /// So is a removal of it, which hides it.
    Hidden,
    /// Not by my view of the ring: look the key up again.
    NotMine,
    /// It will be written in about so long, when there is room for it.
    Waiting(Duration),
    /// No, and why.
    Refused(Refusal),
}

impl Wire for Verdict {
    fn encode(&self, w: &mut Writer<'_>) {
        match self {
            Verdict::Stored => w.u8(0),
            Verdict::Longer(end) => {
                w.u8(5);
                w.u64(end.0);
            }
            Verdict::NotMine => w.u8(1),
            Verdict::Refused(r) => {
                w.u8(2);
                r.encode(w);
            }
            Verdict::Hidden => w.u8(3),
            Verdict::Waiting(expected) => {
                w.u8(4);
                w.u64(expected.0);
            }
        }
    }
    fn decode(r: &mut Reader<'_>) -> Result<Verdict, Malformed> {
        match r.u8()? {
            0 => Ok(Verdict::Stored),
            1 => Ok(Verdict::NotMine),
            2 => Ok(Verdict::Refused(Refusal::decode(r)?)),
            3 => Ok(Verdict::Hidden),
            4 => Ok(Verdict::Waiting(Duration(r.u64()?))),
            5 => Ok(Verdict::Longer(Wall(r.u64()?))),
            _ => Err(Malformed("unknown verdict")),
        }
    }
}

/// What a reader asks a replica for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageRequest {
    /// The key.
    pub key: Id,
    /// Strictly after this place.
    pub after: Option<Cursor>,
    /// At most this many.
    pub max: u32,
    /// Close the page before it passes this sum.
    pub page_bytes: u32,
    /// What each value costs beside its length.
    pub overhead_bytes: u32,
    /// Only signed values with this in the place of their secret hash.
    pub signer: Option<Id>,
}

impl PageRequest {
    /// What a value of that length takes of the page, by the asker's count.
    pub(super) fn cost_of(&self, value_bytes: u32) -> u64 {
        u64::from(value_bytes) + u64::from(self.overhead_bytes)
    }
}

/// What the speaker's clock shows, and how it keeps copies: in both the nodes of a network must agree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Its clock.
    pub wall: Wall,
    /// Its terms.
    pub terms: Terms,
}

impl Wire for Standing {
    fn encode(&self, w: &mut Writer<'_>) {
        w.u64(self.wall.0);
        w.array([self.terms.replicas, self.terms.acks, self.terms.reads]);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Standing, Malformed> {
        let wall = Wall(r.u64()?);
        let [replicas, acks, reads] = r.array()?;
        Ok(Standing { wall, terms: Terms { replicas, acks, reads } })
    }
}

/// A frame's body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message<O: Overlay> {
    /// The overlay's own.
    Overlay(O::Msg),
    /// "Are you there, and of which network?"
    Hello(Wall),
    /// "Yes." And whether the speaker is a member.
    Welcome(Standing, bool),
    /// A lookup asks for the next step towards a target, and `n` peers of the set if the root is known.
    Hop(Id, u8),
    /// The step.
    HopIs(HopAnswer),
    /// Keep this.
    Store(Box<Record>),
    /// The verdict.
    Stored(Verdict),
    /// A page of values.
    Fetch(Box<PageRequest>),
    /// The page: whether this replica has finished taking over, live records in order, whether there are more.
    Page(bool, Vec<Record>, bool),
    /// All heads under a key.
    Heads(Id),
    /// The heads, and whether this replica has finished taking over.
    HeadsAre(bool, Vec<Head>),
    /// Compare an arc.
    Sync(Box<Question>),
    /// The comparison; whether the speaker has finished taking over all of the arc.
    SyncIs(bool, Standing, Answer),
    /// Send me these.
    Pull(Vec<Identity>),
    /// Those of them that are here, as many as fit.
    Records(Vec<Record>),
    /// Take these.
    Push(Vec<Record>),
    /// How many of them are durable now.
    Pushed(u16),
    /// "What do you hold, whom do you know?"
    About,
    /// The facts.
    AboutIs(Box<Facts>),
    /// Go on with this lookup.
    Route(Box<RouteRequest>),
    /// Whether the speaker goes on with it.
    Taken(bool),
    /// How a lookup ended.
    Routed(Box<Routed>),
    /// It has been heard.
    Heard,
    /// What is held of these, removals included?
    HeadsOf(Vec<Identity>),
}

fn tagged<T: Wire>(w: &mut Writer<'_>, tag: u8, body: &T) {
    w.u8(tag);
    body.encode(w);
}

fn listed<T: Wire>(w: &mut Writer<'_>, tag: u8, list: &[T]) {
    w.u8(tag);
    w.list(list);
}

impl<O: Overlay> Wire for Message<O> {
    fn encode(&self, w: &mut Writer<'_>) {
        match self {
            Message::Overlay(m) => tagged(w, 0, m),
            Message::Hello(wall) => {
                w.u8(1);
                w.u64(wall.0);
            }
            Message::Welcome(standing, member) => {
                w.u8(2);
                standing.encode(w);
                w.bool(*member);
            }
            Message::Hop(target, n) => {
                w.u8(3);
                target.encode(w);
                w.u8(*n);
            }
            Message::HopIs(answer) => tagged(w, 4, answer),
            Message::Store(record) => tagged(w, 5, record),
            Message::Stored(verdict) => tagged(w, 6, verdict),
            Message::Fetch(page) => tagged(w, 7, page),
            Message::Page(ready, records, more) => {
                w.u8(8);
                w.bool(*ready);
                w.list(records);
                w.bool(*more);
            }
            Message::Heads(key) => tagged(w, 9, key),
            Message::HeadsAre(ready, heads) => {
                w.u8(10);
                w.bool(*ready);
                w.list(heads);
            }
            Message::Sync(question) => tagged(w, 11, question),
            Message::SyncIs(ready, standing, answer) => {
                w.u8(12);
                w.bool(*ready);
                standing.encode(w);
                answer.encode(w);
            }
            Message::Pull(identities) => listed(w, 13, identities),
            Message::Records(records) => listed(w, 14, records),
            Message::Push(records) => listed(w, 15, records),
            Message::Pushed(stored) => {
                w.u8(16);
                w.u16(*stored);
            }
            Message::About => w.u8(17),
            Message::AboutIs(facts) => tagged(w, 18, facts),
            Message::Route(request) => tagged(w, 19, request),
            Message::Taken(whether) => {
                w.u8(20);
                w.bool(*whether);
            }
            Message::Routed(routed) => tagged(w, 21, routed),
            Message::Heard => w.u8(22),
            Message::HeadsOf(identities) => listed(w, 23, identities),
        }
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match r.u8()? {
            0 => Message::Overlay(O::Msg::decode(r)?),
            1 => Message::Hello(Wall(r.u64()?)),
            2 => Message::Welcome(Standing::decode(r)?, r.bool()?),
            3 => Message::Hop(Id::decode(r)?, r.u8()?),
            4 => Message::HopIs(HopAnswer::decode(r)?),
            5 => Message::Store(Wire::decode(r)?),
            6 => Message::Stored(Verdict::decode(r)?),
            7 => Message::Fetch(Wire::decode(r)?),
            8 => Message::Page(r.bool()?, r.list(PAGE_RECORDS_MAX)?, r.bool()?),
            9 => Message::Heads(Id::decode(r)?),
            10 => Message::HeadsAre(r.bool()?, r.list(HEADS_MAX)?),
            11 => Message::Sync(Wire::decode(r)?),
            12 => Message::SyncIs(r.bool()?, Standing::decode(r)?, Answer::decode(r)?),
            13 => Message::Pull(r.list(BATCH_RECORDS_MAX)?),
            14 => Message::Records(r.list(BATCH_RECORDS_MAX)?),
            15 => Message::Push(r.list(BATCH_RECORDS_MAX)?),
            16 => Message::Pushed(r.u16()?),
            17 => Message::About,
            18 => Message::AboutIs(Wire::decode(r)?),
            19 => Message::Route(Wire::decode(r)?),
            20 => Message::Taken(r.bool()?),
            21 => Message::Routed(Wire::decode(r)?),
            22 => Message::Heard,
            23 => Message::HeadsOf(r.list(HEADS_MAX)?),
            _ => return Err(Malformed("unknown message")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::DATAGRAM_BYTES_MAX;
    use crate::overlay::chord::Chord;
    use crate::peer::Addr;

    /// The frame around a body of a node with an IPv6 address: header and MAC (docs/protocol.md).
    const FRAME_BYTES: usize = 68 + 16;

    #[test]
    fn what_many_are_asked_for_fits_a_datagram() {
        let peer = |n: u8| Peer::new(Id::sha1(&[n]), Addr::V6([n; 16], 5850));
        let peers: Vec<Peer> = (0..PEERS_MAX as u8).map(peer).collect();
        let facts = Facts { records: 1, record_bytes: 1, shares: (1, 1), member: true, peers };
        let set = (0..16).map(peer).collect();
        for message in [
            Message::<Chord>::AboutIs(Box::new(facts)),
            Message::Routed(Box::new(Routed { id: 1, hops: 1, timeouts: 0, set })),
        ] {
            let bytes = crate::wire::to_vec(&message).len();
            assert!(FRAME_BYTES + bytes <= DATAGRAM_BYTES_MAX, "{bytes} bytes");
        }
    }
}
