//! What nodes say to each other: the body of a frame. One tag byte, then the fields.
//!
//! ```text
//!  request                              reply                      for
//!  Hello{wall}                          Welcome{wall, member}      joining, probing lost peers
//!  Overlay(m)                           Overlay(m')                the overlay's own protocol; also told
//!  Hop{target, n}                       HopIs(..)                  one step of a lookup
//!  Store(record)                        Stored(verdict)            put: answered when durable
//!  Fetch{key, after, max, page..}       Page{ready, records, more} get
//!  Heads{key}                           HeadsAre{ready, heads}     where
//!  Sync(question)                       SyncIs{ready, wall, answer} comparing digests of an arc
//!  Pull{identities}                     Records{records}           fetching what we lack
//!  Push{records}                        Pushed{stored}             giving what they lack: answered when durable
//! ```

use alloc::vec::Vec;

use crate::id::Id;
pub use crate::lookup::{CANDIDATES_MAX, HopAnswer, SET_MAX};
use crate::overlay::Overlay;
use crate::replica::sync::{Answer, Question};
use crate::store::{Cursor, Head, Identity, Record, Refusal};
use crate::time::Wall;
use crate::wire::{Malformed, Reader, Wire, Writer};

/// Identities in one `Pull`, records in one `Push` or `Records`.
pub const BATCH_RECORDS_MAX: usize = 256;
/// Bytes of values after which a batch or page is closed; the first record always fits.
pub const BATCH_BYTES_MAX: usize = 48 << 10;
/// Records in one `Page`.
pub const PAGE_RECORDS_MAX: usize = 1024;
/// Heads in one `HeadsAre`.
pub const HEADS_MAX: usize = 1024;

/// A replica's verdict on a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Durable here.
    Stored,
    /// Not by my view of the ring: look the key up again.
    NotMine,
    /// No, and why.
    Refused(Refusal),
}

impl Wire for Verdict {
    fn encode(&self, w: &mut Writer<'_>) {
        match self {
            Verdict::Stored => w.u8(0),
            Verdict::NotMine => w.u8(1),
            Verdict::Refused(r) => {
                w.u8(2);
                r.encode(w);
            }
        }
    }
    fn decode(r: &mut Reader<'_>) -> Result<Verdict, Malformed> {
        match r.u8()? {
            0 => Ok(Verdict::Stored),
            1 => Ok(Verdict::NotMine),
            2 => Ok(Verdict::Refused(Refusal::decode(r)?)),
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
}

/// A frame's body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message<O: Overlay> {
    /// The overlay's own.
    Overlay(O::Msg),
    /// "Are you there, and of which network?"
    Hello(Wall),
    /// "Yes." With the clock, and whether the speaker is a member.
    Welcome(Wall, bool),
    /// A lookup asks for the next step towards a target, and `n` peers of the set if the root is known.
    Hop(Id, u8),
    /// The step.
    HopIs(HopAnswer),
    /// Keep this.
    Store(Record),
    /// The verdict.
    Stored(Verdict),
    /// A page of values.
    Fetch(PageRequest),
    /// The page: whether this replica has finished taking over, live records in order, whether there are more.
    Page(bool, Vec<Record>, bool),
    /// All heads under a key.
    Heads(Id),
    /// The heads, and whether this replica has finished taking over.
    HeadsAre(bool, Vec<Head>),
    /// Compare an arc.
    Sync(Question),
    /// The comparison; whether the speaker has finished taking over all of the arc; its clock.
    SyncIs(bool, Wall, Answer),
    /// Send me these.
    Pull(Vec<Identity>),
    /// Those of them that are here, as many as fit.
    Records(Vec<Record>),
    /// Take these.
    Push(Vec<Record>),
    /// How many of them are durable now.
    Pushed(u16),
}

impl<O: Overlay> Wire for Message<O> {
    fn encode(&self, w: &mut Writer<'_>) {
        match self {
            Message::Overlay(m) => {
                w.u8(0);
                m.encode(w);
            }
            Message::Hello(wall) => {
                w.u8(1);
                w.u64(wall.0);
            }
            Message::Welcome(wall, member) => {
                w.u8(2);
                w.u64(wall.0);
                w.bool(*member);
            }
            Message::Hop(target, n) => {
                w.u8(3);
                target.encode(w);
                w.u8(*n);
            }
            Message::HopIs(answer) => {
                w.u8(4);
                answer.encode(w);
            }
            Message::Store(record) => {
                w.u8(5);
                record.encode(w);
            }
            Message::Stored(verdict) => {
                w.u8(6);
                verdict.encode(w);
            }
            Message::Fetch(page) => {
                w.u8(7);
                page.key.encode(w);
                w.option(page.after.as_ref());
                w.u32(page.max);
                w.u32(page.page_bytes);
                w.u32(page.overhead_bytes);
            }
            Message::Page(ready, records, more) => {
                w.u8(8);
                w.bool(*ready);
                w.list(records);
                w.bool(*more);
            }
            Message::Heads(key) => {
                w.u8(9);
                key.encode(w);
            }
            Message::HeadsAre(ready, heads) => {
                w.u8(10);
                w.bool(*ready);
                w.list(heads);
            }
            Message::Sync(question) => {
                w.u8(11);
                question.encode(w);
            }
            Message::SyncIs(ready, wall, answer) => {
                w.u8(12);
                w.bool(*ready);
                w.u64(wall.0);
                answer.encode(w);
            }
            Message::Pull(identities) => {
                w.u8(13);
                w.list(identities);
            }
            Message::Records(records) => {
                w.u8(14);
                w.list(records);
            }
            Message::Push(records) => {
                w.u8(15);
                w.list(records);
            }
            Message::Pushed(stored) => {
                w.u8(16);
                w.u16(*stored);
            }
        }
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match r.u8()? {
            0 => Message::Overlay(O::Msg::decode(r)?),
            1 => Message::Hello(Wall(r.u64()?)),
            2 => Message::Welcome(Wall(r.u64()?), r.bool()?),
            3 => Message::Hop(Id::decode(r)?, r.u8()?),
            4 => Message::HopIs(HopAnswer::decode(r)?),
            5 => Message::Store(Record::decode(r)?),
            6 => Message::Stored(Verdict::decode(r)?),
            7 => Message::Fetch(PageRequest {
                key: Id::decode(r)?,
                after: r.option()?,
                max: r.u32()?,
                page_bytes: r.u32()?,
                overhead_bytes: r.u32()?,
            }),
            8 => Message::Page(r.bool()?, r.list(PAGE_RECORDS_MAX)?, r.bool()?),
            9 => Message::Heads(Id::decode(r)?),
            10 => Message::HeadsAre(r.bool()?, r.list(HEADS_MAX)?),
            11 => Message::Sync(Question::decode(r)?),
            12 => Message::SyncIs(r.bool()?, Wall(r.u64()?), Answer::decode(r)?),
            13 => Message::Pull(r.list(BATCH_RECORDS_MAX)?),
            14 => Message::Records(r.list(BATCH_RECORDS_MAX)?),
            15 => Message::Push(r.list(BATCH_RECORDS_MAX)?),
            16 => Message::Pushed(r.u16()?),
            _ => return Err(Malformed("unknown message")),
        })
    }
}
