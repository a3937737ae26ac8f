//! What Kademlia nodes say to each other.
//!
//! ```text
//!   request                   answers                tell (no answer)
//!   Ping{member}              Pong                   Suspect{peer}   it did not answer me: look for yourself
//!   Find{target, max, member} Nodes{peers}           Reunite{peer}   that peer was of another part of a split network
//!   Enter                     Place{len, group, far} Leaving         I go
//!   Hello                     Group{peers}
//!   Compare{len, digest}      Same | Group{peers}
//!            any of them:     Absent (not a member)
//! ```
//!
//! PING and FIND_NODE are the paper's (section 2.3); STORE and FIND_VALUE are the node's business, for any overlay. Requests that
//! a joiner may send, too, say whether a member sends them: only members enter a table.

use alloc::vec::Vec;

use crate::id::{ID_BITS, Id};
use crate::peer::Peer;
use crate::wire::{Malformed, Reader, Wire, Writer};

use super::config::K_MAX;
use super::table::GROUP_MAX;

/// Contacts outside the neighborhood shown to a joiner.
pub(super) const FAR_MAX: usize = 256;

/// A message of Kademlia.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Msg {
    /// Are you a member? The flag: I am one.
    Ping {
        /// Whether the sender is a member.
        member: bool,
    },
    /// Yes.
    Pong,
    /// Not a member. Answers any request.
    Absent,
    /// FIND_NODE: whom do you know nearest to `target`?
    Find {
        /// The place.
        target: Id,
        /// How many are wanted, at most.
        max: u8,
        /// Whether the sender is a member.
        member: bool,
    },
    /// These, nearest first.
    Nodes {
        /// At most as many as were wanted.
        peers: Vec<Peer>,
    },
    /// A joiner asks the node nearest to it for what it needs to know.
    Enter,
    /// The answerer's neighborhood, and some of its other contacts.
    Place {
        /// Bits that all of the neighborhood share.
        len: u8,
        /// The neighborhood without the answerer.
        group: Vec<Peer>,
        /// A few contacts of each bucket outside it, most recently seen first.
        far: Vec<Peer>,
    },
    /// Take me in: I know my place and my neighborhood. The sender counts as a member.
    Hello,
    /// Of those who share `len` bits with us both I know these, myself included; do you know the same?
    Compare {
        /// Bits.
        len: u8,
        /// Digest of them.
        digest: u64,
    },
    /// Yes.
    Same,
    /// No, these, myself not among them.
    Group {
        /// In order of id.
        peers: Vec<Peer>,
    },
    /// Tell: I got no answer from that peer.
    Suspect(Peer),
    /// Tell: that peer belongs to another part of our network; find your place there.
    Reunite(Peer),
    /// Tell: I leave.
    Leaving,
}

mod tag {
    pub(super) const PING: u8 = 0;
    pub(super) const PONG: u8 = 1;
    pub(super) const ABSENT: u8 = 2;
    pub(super) const FIND: u8 = 3;
    pub(super) const NODES: u8 = 4;
    pub(super) const ENTER: u8 = 5;
    pub(super) const PLACE: u8 = 6;
    pub(super) const HELLO: u8 = 7;
    pub(super) const COMPARE: u8 = 8;
    pub(super) const SAME: u8 = 9;
    pub(super) const GROUP: u8 = 10;
    pub(super) const SUSPECT: u8 = 11;
    pub(super) const REUNITE: u8 = 12;
    pub(super) const LEAVING: u8 = 13;
}

fn decode_len(r: &mut Reader<'_>) -> Result<u8, Malformed> {
    let len = r.u8()?;
    if usize::from(len) > ID_BITS {
        return Err(Malformed("a prefix longer than an id"));
    }
    Ok(len)
}

impl Wire for Msg {
    fn encode(&self, w: &mut Writer<'_>) {
        match self {
            Msg::Ping { member } => {
                w.u8(tag::PING);
                w.bool(*member);
            }
            Msg::Pong => w.u8(tag::PONG),
            Msg::Absent => w.u8(tag::ABSENT),
            Msg::Find { target, max, member } => {
                w.u8(tag::FIND);
                target.encode(w);
                w.u8(*max);
                w.bool(*member);
            }
            Msg::Nodes { peers } => {
                w.u8(tag::NODES);
                w.list(peers);
            }
            Msg::Enter => w.u8(tag::ENTER),
            Msg::Place { len, group, far } => {
                w.u8(tag::PLACE);
                w.u8(*len);
                w.list(group);
                w.list(far);
            }
            Msg::Hello => w.u8(tag::HELLO),
            Msg::Compare { len, digest } => {
                w.u8(tag::COMPARE);
                w.u8(*len);
                w.u64(*digest);
            }
            Msg::Same => w.u8(tag::SAME),
            Msg::Group { peers } => {
                w.u8(tag::GROUP);
                w.list(peers);
            }
            Msg::Suspect(peer) => {
                w.u8(tag::SUSPECT);
                peer.encode(w);
            }
            Msg::Reunite(peer) => {
                w.u8(tag::REUNITE);
                peer.encode(w);
            }
            Msg::Leaving => w.u8(tag::LEAVING),
        }
    }

    fn decode(r: &mut Reader<'_>) -> Result<Msg, Malformed> {
        Ok(match r.u8()? {
            tag::PING => Msg::Ping { member: r.bool()? },
            tag::PONG => Msg::Pong,
            tag::ABSENT => Msg::Absent,
            tag::FIND => Msg::Find { target: Id::decode(r)?, max: r.u8()?, member: r.bool()? },
            tag::NODES => Msg::Nodes { peers: r.list(K_MAX)? },
            tag::ENTER => Msg::Enter,
            tag::PLACE => {
                Msg::Place { len: decode_len(r)?, group: r.list(GROUP_MAX)?, far: r.list(FAR_MAX)? }
            }
            tag::HELLO => Msg::Hello,
            tag::COMPARE => Msg::Compare { len: decode_len(r)?, digest: r.u64()? },
            tag::SAME => Msg::Same,
            tag::GROUP => Msg::Group { peers: r.list(GROUP_MAX)? },
            tag::SUSPECT => Msg::Suspect(Peer::decode(r)?),
            tag::REUNITE => Msg::Reunite(Peer::decode(r)?),
            tag::LEAVING => Msg::Leaving,
            _ => return Err(Malformed("unknown message of kademlia")),
        })
    }
}
