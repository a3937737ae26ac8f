//! Why a record is not taken: the sender's or the world's fault, never ours. Travels back to the gateway as an answer.

use crate::machine::Halt;
use crate::time::Wall;
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
    /// The value is not the one that the head names, or the secret not the one of the value.
    #[error("the value or the secret does not match its hash")]
    Damaged,
    /// The signature is not the signer's, or for another network.
    #[error("the signature does not hold")]
    Forged,
    /// The number of the series has been given: this is the greatest one held.
    #[error("the series is at {0} already")]
    Stale(u64),
    /// It would end before what it takes the place of, which then would come back: it must live until then.
    #[error("it would end before what it replaces")]
    Outlived(Wall),
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
            Refusal::Forged => 10,
            Refusal::Stale(_) => 11,
            Refusal::Outlived(_) => 12,
        });
        match self {
            Refusal::Stale(seq) => w.u64(*seq),
            Refusal::Outlived(end) => w.u64(end.0),
            _ => {}
        }
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
            10 => Refusal::Forged,
            11 => Refusal::Stale(r.u64()?),
            12 => Refusal::Outlived(Wall(r.u64()?)),
            _ => return Err(Malformed("refusal")),
        })
    }
}
