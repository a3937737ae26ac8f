//! The messages of ONC RPC version 2 (RFC 5531 section 9): a call's head, and the heads of all replies.
//!
//! ```text
//!   call     xid  CALL 0   rpcvers 2  program  version  procedure  cred  verf    arguments
//!   reply    xid  REPLY 1  MSG_ACCEPTED 0  verf AUTH_NONE, empty  accept_stat    results, or low and high version
//!   reply    xid  REPLY 1  MSG_DENIED 1    RPC_MISMATCH 0  low 2  high 2
//!                                            AUTH_ERROR 1    AUTH_TOOWEAK 5: that address may not do this
//!
//!   cred, verf  =  flavor, opaque body<400>: any flavor, skipped
//! ```
//!
//! The service has no credentials: a client is the address that it comes from (`opendht` section 1.1).

use super::record::framed;
use super::xdr::{Reader, Undecodable, Writer};

/// The version of ONC RPC.
const RPC_VERSION: u32 = 2;
/// Longest body of a credential or verifier (RFC 5531 section 8.2).
const AUTH_BYTES_MAX: usize = 400;

const CALL: u32 = 0;
const REPLY: u32 = 1;
const MSG_ACCEPTED: u32 = 0;
const MSG_DENIED: u32 = 1;
const RPC_MISMATCH: u32 = 0;
const AUTH_ERROR: u32 = 1;
const AUTH_TOOWEAK: u32 = 5;
const AUTH_NONE: u32 = 0;

/// A call's head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Repeated in the reply.
    pub xid: u32,
    /// Which program.
    pub program: u32,
    /// Which version of it.
    pub version: u32,
    /// Which of its procedures.
    pub procedure: u32,
}

/// Why a record is not a call that can be answered as one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotACall {
    /// Its head cannot be read: nobody to answer.
    #[error("the head of a call {0}")]
    Unreadable(#[from] Undecodable),
    /// It is a reply, or nothing known.
    #[error("not a call")]
    OtherDirection,
    /// A call of another version of RPC, which is denied.
    #[error("a call of another version of RPC")]
    OtherRpcVersion {
        /// Repeated in the reply.
        xid: u32,
    },
}

/// Reads the head of a record; what is left are the arguments.
///
/// # Errors
/// [`NotACall`].
pub fn open(record: &[u8]) -> Result<(Head, Reader<'_>), NotACall> {
    let mut reader = Reader::new(record);
    let xid = reader.u32()?;
    if reader.u32()? != CALL {
        return Err(NotACall::OtherDirection);
    }
    if reader.u32()? != RPC_VERSION {
        return Err(NotACall::OtherRpcVersion { xid });
    }
    let (program, version, procedure) = (reader.u32()?, reader.u32()?, reader.u32()?);
    for _credential_then_verifier in 0..2 {
        let _flavor = reader.u32()?;
        reader.opaque(AUTH_BYTES_MAX)?;
    }
    Ok((Head { xid, program, version, procedure }, reader))
}

/// How an accepted call fared (RFC 5531 section 9, `accept_stat`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AcceptStat {
    /// Results follow.
    Success,
    /// No such program here.
    ProgramUnavailable,
    /// No such version of it.
    ProgramMismatch {
        /// The lowest one.
        low: u32,
        /// The highest one.
        high: u32,
    },
    /// No such procedure in it.
    ProcedureUnavailable,
    /// Its arguments cannot be read, or can never be served.
    GarbageArguments,
    /// The call is good, but could not be served now.
    SystemError,
}

impl AcceptStat {
    /// Its number on the wire.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            AcceptStat::Success => 0,
            AcceptStat::ProgramUnavailable => 1,
            AcceptStat::ProgramMismatch { .. } => 2,
            AcceptStat::ProcedureUnavailable => 3,
            AcceptStat::GarbageArguments => 4,
            AcceptStat::SystemError => 5,
        }
    }
}

/// A reply to an accepted call, as a record behind what is in `out`. Results are written only for `Success`.
pub fn accepted(out: &mut Vec<u8>, xid: u32, stat: AcceptStat, results: impl FnOnce(&mut Writer<'_>)) {
    framed(out, |out| {
        let mut w = Writer::new(out);
        for word in [xid, REPLY, MSG_ACCEPTED, AUTH_NONE, 0, stat.code()] {
            w.u32(word);
        }
        match stat {
            AcceptStat::Success => results(&mut w),
            AcceptStat::ProgramMismatch { low, high } => {
                w.u32(low);
                w.u32(high);
            }
            _ => {}
        }
    });
}

/// The reply to a call of another version of RPC, as a record behind what is in `out`.
pub fn denied(out: &mut Vec<u8>, xid: u32) {
    framed(out, |out| {
        let mut w = Writer::new(out);
        for word in [xid, REPLY, MSG_DENIED, RPC_MISMATCH, RPC_VERSION, RPC_VERSION] {
            w.u32(word);
        }
    });
}

/// The reply to a call that its client may not make, as a record behind what is in `out`.
pub fn unauthorized(out: &mut Vec<u8>, xid: u32) {
    framed(out, |out| {
        let mut w = Writer::new(out);
        for word in [xid, REPLY, MSG_DENIED, AUTH_ERROR, AUTH_TOOWEAK] {
            w.u32(word);
        }
    });
}
