//! Frames out and in: sealing and sending; opening, admitting, refusing by name.
//!
//! ```text
//!  bytes ─▶ open: MAC? version? ─▶ admit: network? incarnation? ─▶ Tell     the overlay
//!              │ no: silence          │ no: Refused, with why      Request  serve.rs
//!              │ (version: Refused)                                Reply    whoever asked (mod.rs)
//! ```
//!
//! Nothing of a frame is believed before its MAC fits, and answers go to the sealed sender, never to where the bytes came from;
//! the refusal of another version, whose sender cannot be read, is the exception.

use super::message::Message;
use super::{Node, Turn, Why};
use crate::cx::{Input, Ticket};
use crate::frame::{self, FrameError, Header, Kind, NetworkId, Refusal as FrameRefusal};
use crate::machine::{Phase, Trace};
use crate::overlay::Overlay;
use crate::peer::{Addr, Peer};
use crate::rpc::{Class, Heard, Patience, Request, Silence};
use crate::wire::{self, Wire as _};

impl<O: Overlay> Node<O> {
    // ---- sending -----------------------------------------------------------------------------------------------

    pub(super) fn send(
        &mut self,
        t: &mut Turn<'_, O>,
        kind: Kind,
        to: Addr,
        request: u64,
        msg: Option<&Message<O>>,
    ) {
        let header = self.header(kind, request);
        let key = &self.config.key;
        let bytes = t.out.datagram(to, |out| {
            frame::seal(key, &header, out, |w| {
                if let Some(msg) = msg {
                    msg.encode(w);
                }
            });
        });
        self.counters.frames_out += 1;
        self.counters.bytes_out += bytes as u64;
    }

    fn header(&self, kind: Kind, request: u64) -> Header<&Peer> {
        Header {
            kind,
            network: self.network,
            from: &self.config.me,
            incarnation: self.config.incarnation,
            request,
        }
    }

    pub(super) fn refuse(&mut self, t: &mut Turn<'_, O>, to: Addr, request: u64, why: FrameRefusal) {
        self.counters.frames_refused += 1;
        t.out.trace(|| Trace::Dropped("refused"));
        let header = self.header(Kind::Refused, request);
        let key = &self.config.key;
        let bytes = t.out.datagram(to, |out| frame::seal(key, &header, out, |w| why.encode(w)));
        self.counters.frames_out += 1;
        self.counters.bytes_out += bytes as u64;
    }

    pub(super) fn reply(&mut self, t: &mut Turn<'_, O>, ticket: &Ticket, msg: &Message<O>) {
        self.send(t, Kind::Reply, ticket.to, ticket.request, Some(msg));
    }

    /// Sends a request; its end comes back through `on_answer` or `on_no_answer`. False when it could not be begun.
    pub(super) fn call(
        &mut self,
        t: &mut Turn<'_, O>,
        to: &Peer,
        msg: Message<O>,
        class: Class,
        why: Why<O::Call>,
    ) -> bool {
        self.begin_call(t, to.clone(), msg, class, why).is_ok()
    }

    /// As [`Node::call`], with a peer that is given away. It comes back, with the reason, when the call could not be begun.
    pub(super) fn begin_call(
        &mut self,
        t: &mut Turn<'_, O>,
        to: Peer,
        msg: Message<O>,
        class: Class,
        why: Why<O::Call>,
    ) -> Result<(), (Peer, Why<O::Call>)> {
        let random = self.rng.next_u64();
        let patience = match why {
            Why::Probe | Why::Witness => Patience::Once,
            Why::Overlay(_) => Patience::Doubt,
            _ => Patience::Tries,
        };
        let addr = to.addr();
        let request = Request { to, msg, class, patience, why };
        let request =
            self.rpc.start(t.now.mono, random, request).map_err(|unsent| (unsent.to, unsent.why))?;
        // Sent from where it now waits for its answer: a message is never copied.
        let header = self.header(Kind::Request, request);
        let Some(msg) = self.rpc.message(request) else { return Ok(()) };
        let key = &self.config.key;
        let bytes = t.out.datagram(addr, |out| frame::seal(key, &header, out, |w| msg.encode(w)));
        self.counters.frames_out += 1;
        self.counters.bytes_out += bytes as u64;
        Ok(())
    }

    // ---- receiving ---------------------------------------------------------------------------------------------

    pub(super) fn on_frame(&mut self, t: &mut Turn<'_, O>, from: Addr, bytes: &[u8]) {
        let (header, body) = match frame::open_with(&self.config.key, bytes, &t.scratch.interner) {
            Ok(opened) => opened,
            Err(FrameError::Version(theirs)) => {
                let refusal = bytes.get(3) == Some(&(Kind::Refused as u8));
                self.on_other_version(t.now, from, theirs);
                if !refusal {
                    self.refuse(t, from, 0, FrameRefusal::Version);
                }
                return;
            }
            Err(FrameError::Malformed(_)) => {
                self.counters.frames_malformed += 1;
                t.out.trace(|| Trace::Dropped("malformed header"));
                return;
            }
            Err(FrameError::NotOurs | FrameError::Mac) => {
                self.counters.frames_unsealed += 1;
                return;
            }
        };
        let Some(heard) = self.admit(t, from, &header, body) else { return };
        self.counters.frames_in += 1;
        self.last_heard = Some(t.now.mono);
        let ticket = Ticket { to: header.from.addr(), request: header.request };
        let suspect = heard == Heard::Suspect;
        if suspect && header.kind != Kind::Reply {
            self.ask_suspect(t, &header.from);
        }
        if header.kind == Kind::Busy {
            self.rpc.on_busy(t.now.mono, header.request, &header.from);
            return;
        }
        let Ok(msg) = wire::from_slice_with::<Message<O>>(body, &t.scratch.interner) else {
            self.counters.frames_malformed += 1;
            t.out.trace(|| Trace::Dropped("malformed body"));
            return;
        };
        match header.kind {
            // What it says of the overlay is taken up again when it has answered; it hears that this node lives, and waits.
            Kind::Tell if suspect => {}
            Kind::Request if suspect && matches!(msg, Message::Overlay(_)) => {
                self.send(t, Kind::Busy, ticket.to, ticket.request, None);
            }
            Kind::Tell => {
                if let Message::Overlay(msg) = msg {
                    t.scratch.inputs.push_back(Input::Message { from: header.from, ticket: None, msg });
                }
            }
            Kind::Request => self.serve(t, header.from, ticket, msg),
            Kind::Reply => {
                if let Some(answered) = self.rpc.on_reply(t.now.mono, header.request, &header.from) {
                    if answered.back {
                        t.scratch.inputs.push_back(Input::Heard(header.from.clone()));
                    } else if suspect {
                        self.ask_suspect(t, &header.from);
                    }
                    if self.network == NetworkId::UNKNOWN && matches!(msg, Message::Welcome(_, true)) {
                        self.belong_to(header.network);
                    }
                    self.on_answer(t, answered, header.from, msg);
                }
            }
            Kind::Busy | Kind::Refused => {}
        }
    }

    /// Whether a sealed frame may be looked at, and what it says of its sender: right network, living incarnation. Refuses by
    /// name otherwise.
    pub(super) fn admit(
        &mut self,
        t: &mut Turn<'_, O>,
        from: Addr,
        header: &Header,
        body: &[u8],
    ) -> Option<Heard> {
        if header.kind == Kind::Refused {
            self.on_refused(t, from, header, body);
            return None;
        }
        let hello = header.kind == Kind::Request && body.first() == Some(&1);
        let welcome = header.kind == Kind::Reply && body.first() == Some(&2);
        let same = header.network == self.network && self.network != NetworkId::UNKNOWN;
        let meeting = (header.network == NetworkId::UNKNOWN && hello)
            || (self.network == NetworkId::UNKNOWN && (welcome || hello));
        if !same && !meeting {
            if self.network != NetworkId::UNKNOWN && header.network != NetworkId::UNKNOWN {
                self.refuse(t, header.from.addr(), header.request, FrameRefusal::Network);
            }
            return None;
        }
        // Its mark is at hand, the id itself is not.
        if header.from.id().fold() == self.mark && header.from.id() == self.me().id() {
            if header.incarnation > self.config.incarnation {
                self.superseded(t);
            } else if header.incarnation < self.config.incarnation {
                self.refuse(t, header.from.addr(), header.request, FrameRefusal::Superseded);
            }
            return None;
        }
        // Strangers that answer a survey would push out of memory those whom this node deals with.
        let surveyed = |why: &Why<O::Call>| matches!(why, Why::About { .. });
        if !self.surveys.is_empty()
            && header.kind == Kind::Reply
            && self.rpc.known(header.from.id()).is_none()
            && self.rpc.why(header.request).is_some_and(surveyed)
        {
            return Some(Heard::Known);
        }
        let heard = self.rpc.on_heard(t.now.mono, &header.from, header.incarnation);
        match heard {
            Heard::News if same => t.scratch.inputs.push_back(Input::Heard(header.from.clone())),
            Heard::News | Heard::Known | Heard::Suspect => {}
            Heard::Superseded => {
                self.refuse(t, header.from.addr(), header.request, FrameRefusal::Superseded);
                return None;
            }
        }
        Some(heard)
    }

    pub(super) fn on_refused(&mut self, t: &mut Turn<'_, O>, from: Addr, header: &Header, body: &[u8]) {
        // Only an answer to something that we asked counts, so that nobody can talk us out of the network.
        let call = match header.request {
            0 => None,
            request => self.rpc.on_reply(t.now.mono, request, &header.from),
        };
        let asked = call.is_some();
        if let Some(call) = call {
            self.on_no_answer(t, call.asked, call.why, Silence::Believed);
        }
        match wire::from_slice::<FrameRefusal>(body) {
            Ok(FrameRefusal::Superseded) if asked && self.phase != Phase::Loading => self.superseded(t),
            // A member that finds strangers at a lost peer's address is refused nothing.
            Ok(FrameRefusal::Network) if asked && self.phase == Phase::Joining => {
                let (theirs, ours) = (header.network.0, self.network.0);
                let why = alloc::format!(
                    "the node at {from} belongs to another network ({theirs:016x}); this data belongs to {ours:016x}"
                );
                self.refused = Some(why.into());
            }
            _ => {}
        }
    }

    /// Another process runs this identity: exactly one may survive, and it is the younger.
    pub(super) fn superseded(&mut self, t: &mut Turn<'_, O>) {
        self.refused = Some(
            "another process runs this node's identity (a copy of its data directory?): this one stops serving"
                .into(),
        );
        // Each is answered, with what is known: what was sent may have happened.
        self.end_ops(t);
        if self.phase == Phase::Leaving {
            // It goes in any case, and whoever told it to waits for that.
            return self.on_left(t);
        }
        self.set_phase(t, Phase::Refused);
    }
}
