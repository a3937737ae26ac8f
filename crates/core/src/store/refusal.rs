//! Why a record is not taken: the sender's or the world's fault, never ours. Travels back to the gateway as an answer.

use crate::machine::Halt;
use crate::wire::{Malformed, Reader, Wire, Writer};

/// Why a put was refused. Nothing was stored, except under [`Refusal::Halted`] when it comes with a
/// [`super::StoreEvent::Put`]: then a write failed and its outcome is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum Refusal {
    /// The value is longer than this node takes.
    #[error("the value is longer than this node takes")]
    TooLarge,
    /// The ttl is under one second or over the greatest that this network gives.
    #[error("the ttl is out of bounds")]
    BadTtl,
    /// Its life is over.
    #[error("the record has expired")]
    Expired,
    /// Its put time is further ahead of this node's clock than the declared bound on skew.
    #[error("the put time lies in the future")]
    FromTheFuture,
    /// No room: the store's bound on bytes would be passed.
    #[error("over capacity")]
    OverCapacity,
    /// The value is not the one that the head names.
    #[error("the value does not match its hash")]
    Damaged,
    /// Too many writes under way, or the disk is still being read after a start. Try again.
    #[error("too busy")]
    Busy,
    /// This node takes no writes.
    #[error("this node takes no writes: {0:?}")]
    Halted(Halt),
}

impl Wire for Refusal {
    fn encode(&self, w: &mut Writer<'_>) {
        w.u8(match self {
            Refusal::TooLarge => 0,
            Refusal::BadTtl => 1,
            Refusal::Expired => 2,
            Refusal::FromTheFuture => 3,
            Refusal::OverCapacity => 4,
            Refusal::Damaged => 5,
            Refusal::Busy => 6,
            Refusal::Halted(Halt::DiskFull) => 7,
            Refusal::Halted(Halt::DiskFailed) => 8,
            Refusal::Halted(Halt::ClockSkew) => 9,
        });
    }
    fn decode(r: &mut Reader<'_>) -> Result<Refusal, Malformed> {
        Ok(match r.u8()? {
            0 => Refusal::TooLarge,
            1 => Refusal::BadTtl,
            2 => Refusal::Expired,
            3 => Refusal::FromTheFuture,
            4 => Refusal::OverCapacity,
            5 => Refusal::Damaged,
            6 => Refusal::Busy,
            7 => Refusal::Halted(Halt::DiskFull),
            8 => Refusal::Halted(Halt::DiskFailed),
            9 => Refusal::Halted(Halt::ClockSkew),
            _ => return Err(Malformed("refusal")),
        })
    }
}
