//! What Chord nodes say to each other.
//!
//! ```text
//!   request                      answers                      tell (no answer)
//!   Ping                         Pong                         News      my successor list changed: stabilize
//!   BestPred{target}             Best{peers}                  Suspect   look after that peer
//!   Look                         View                         Meet      that peer may be your successor
//!   Stabilize{have, preds}       Same | View                  Reunite   that peer may be of another ring
//!   Finger{start}                Covers | Nearer              Leaving   I go
//!              any of them:      Absent (not in the ring)
//! ```

use alloc::vec::Vec;

use crate::id::Id;
use crate::peer::Peer;
use crate::wire::{Malformed, Reader, Wire, Writer};

use super::config::LIST_MAX;

/// Candidates named in one [`Msg::Best`].
pub(super) const BEST_MAX: usize = 3;

/// A predecessor list as a stabilize request carries it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Preds {
    /// You have it already; this is its digest.
    Same(u64),
    /// Nearest first.
    List(Vec<Peer>),
}

/// What a node shows of its place in the ring to one asker.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct View {
    /// Its predecessor.
    pub pred: Option<Peer>,
    /// Its successor list, nearest first; in answer to [`Msg::Stabilize`] as far as it lies before the asker.
    pub succs: Vec<Peer>,
    /// After the last of `succs` comes the asker again (for [`Msg::Look`]: the answerer).
    pub closed: bool,
    /// Send your predecessor list with the next request.
    pub want_preds: bool,
}

/// A message of Chord.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Msg {
    /// Are you a member? Answered at once, whatever the state.
    Ping,
    /// Yes.
    Pong,
    /// Not a member of the ring (not yet, or not any more). Answers any request.
    Absent,
    /// Whom do you know closest before `target`?
    BestPred {
        /// The place.
        target: Id,
    },
    /// These, best first, all strictly between the answerer and the target; none: the answerer itself.
    Best {
        /// At most [`BEST_MAX`].
        peers: Vec<Peer>,
    },
    /// Show me your place: the whole successor list, to one who does not stand before you.
    Look,
    /// "I am the node before you" (notify), and: show me your place unless I know it.
    Stabilize {
        /// Digest of the list that I hold after you; none if I hold none.
        have: Option<u64>,
        /// Who comes before me.
        preds: Preds,
    },
    /// My predecessor is you and my list is the one you have.
    Same {
        /// Send your predecessor list with the next request.
        want_preds: bool,
    },
    /// My place.
    View(View),
    /// Are you still the first node at or after `start`?
    Finger {
        /// The finger's ideal place.
        start: Id,
    },
    /// Yes.
    Covers,
    /// No, this one comes before me and is at or after `start`.
    Nearer(Peer),
    /// Tell: the list that I would show you has changed.
    News,
    /// Tell: I got no answer from that peer.
    Suspect(Peer),
    /// Tell: that peer may belong between you and your successor; if not, pass it on.
    Meet {
        /// Who.
        peer: Peer,
        /// How often it may still be passed on.
        hops: u8,
    },
    /// Tell: that peer was found in another ring of our network; find your place there.
    Reunite {
        /// A member of the other ring.
        peer: Peer,
    },
    /// Tell: I leave.
    Leaving,
}

impl Wire for View {
    fn encode(&self, w: &mut Writer<'_>) {
        w.u8(u8::from(self.closed) | u8::from(self.want_preds) << 1);
        w.option(self.pred.as_ref());
        w.list(&self.succs);
    }

    fn decode(r: &mut Reader<'_>) -> Result<View, Malformed> {
        let flags = r.u8()?;
        if flags > 3 {
            return Err(Malformed("unknown flags of a view"));
        }
        Ok(View {
            closed: flags & 1 != 0,
            want_preds: flags & 2 != 0,
            pred: r.option()?,
            succs: r.list(LIST_MAX)?,
        })
    }
}

mod tag {
    pub(super) const PING: u8 = 0;
    pub(super) const PONG: u8 = 1;
    pub(super) const ABSENT: u8 = 2;
    pub(super) const BEST_PRED: u8 = 3;
    pub(super) const BEST: u8 = 4;
    pub(super) const LOOK: u8 = 5;
    pub(super) const STABILIZE_SAME: u8 = 6;
    pub(super) const STABILIZE_LIST: u8 = 7;
    pub(super) const SAME: u8 = 8;
    pub(super) const VIEW: u8 = 9;
    pub(super) const FINGER: u8 = 10;
    pub(super) const COVERS: u8 = 11;
    pub(super) const NEARER: u8 = 12;
    pub(super) const NEWS: u8 = 13;
    pub(super) const SUSPECT: u8 = 14;
    pub(super) const MEET: u8 = 15;
    pub(super) const REUNITE: u8 = 16;
    pub(super) const LEAVING: u8 = 17;
}

fn encode_have(have: Option<u64>, w: &mut Writer<'_>) {
    w.bool(have.is_some());
    if let Some(have) = have {
        w.u64(have);
    }
}

fn decode_have(r: &mut Reader<'_>) -> Result<Option<u64>, Malformed> {
    Ok(if r.bool()? { Some(r.u64()?) } else { None })
}

impl Wire for Msg {
    fn encode(&self, w: &mut Writer<'_>) {
        match self {
            Msg::Ping => w.u8(tag::PING),
            Msg::Pong => w.u8(tag::PONG),
            Msg::Absent => w.u8(tag::ABSENT),
            Msg::BestPred { target } => {
                w.u8(tag::BEST_PRED);
                target.encode(w);
            }
            Msg::Best { peers } => {
                w.u8(tag::BEST);
                w.list(peers);
            }
            Msg::Look => w.u8(tag::LOOK),
            Msg::Stabilize { have, preds: Preds::Same(digest) } => {
                w.u8(tag::STABILIZE_SAME);
                encode_have(*have, w);
                w.u64(*digest);
            }
            Msg::Stabilize { have, preds: Preds::List(list) } => {
                w.u8(tag::STABILIZE_LIST);
                encode_have(*have, w);
                w.list(list);
            }
            Msg::Same { want_preds } => {
                w.u8(tag::SAME);
                w.bool(*want_preds);
            }
            Msg::View(view) => {
                w.u8(tag::VIEW);
                view.encode(w);
            }
            Msg::Finger { start } => {
                w.u8(tag::FINGER);
                start.encode(w);
            }
            Msg::Covers => w.u8(tag::COVERS),
            Msg::Nearer(peer) => {
                w.u8(tag::NEARER);
                peer.encode(w);
            }
            Msg::News => w.u8(tag::NEWS),
            Msg::Suspect(peer) => {
                w.u8(tag::SUSPECT);
                peer.encode(w);
            }
            Msg::Meet { peer, hops } => {
                w.u8(tag::MEET);
                peer.encode(w);
                w.u8(*hops);
            }
            Msg::Reunite { peer } => {
                w.u8(tag::REUNITE);
                peer.encode(w);
            }
            Msg::Leaving => w.u8(tag::LEAVING),
        }
    }

    fn decode(r: &mut Reader<'_>) -> Result<Msg, Malformed> {
        Ok(match r.u8()? {
            tag::PING => Msg::Ping,
            tag::PONG => Msg::Pong,
            tag::ABSENT => Msg::Absent,
            tag::BEST_PRED => Msg::BestPred { target: Id::decode(r)? },
            tag::BEST => Msg::Best { peers: r.list(BEST_MAX)? },
            tag::LOOK => Msg::Look,
            tag::STABILIZE_SAME => Msg::Stabilize { have: decode_have(r)?, preds: Preds::Same(r.u64()?) },
            tag::STABILIZE_LIST => {
                Msg::Stabilize { have: decode_have(r)?, preds: Preds::List(r.list(LIST_MAX)?) }
            }
            tag::SAME => Msg::Same { want_preds: r.bool()? },
            tag::VIEW => Msg::View(View::decode(r)?),
            tag::FINGER => Msg::Finger { start: Id::decode(r)? },
            tag::COVERS => Msg::Covers,
            tag::NEARER => Msg::Nearer(Peer::decode(r)?),
            tag::NEWS => Msg::News,
            tag::SUSPECT => Msg::Suspect(Peer::decode(r)?),
            tag::MEET => Msg::Meet { peer: Peer::decode(r)?, hops: r.u8()? },
            tag::REUNITE => Msg::Reunite { peer: Peer::decode(r)? },
            tag::LEAVING => Msg::Leaving,
            _ => return Err(Malformed("unknown message of chord")),
        })
    }
}
