//! What a restore did, and what a snapshot holds, in numbers and in words.

use keyway_core::Wall;
use keyway_core::store::{Head, Kind};
use serde::Serialize;

use super::put_back::Outcome;
use crate::exit::Failure;
use crate::output::{plural, thousands};

/// Records that are named on the terminal because they were not put back.
const NAMED_MAX: u64 = 20;

/// What became of a snapshot's records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub(super) struct Fates {
    /// They, or copies that live longer, are there.
    stands: u64,
    /// They were removed since, and stay so.
    hidden: u64,
    /// Their series has gone on.
    superseded: u64,
    /// Their lives are over.
    pub(super) expired: u64,
    /// Signed for the network of the snapshot, which is another one.
    pub(super) left_out: u64,
    /// Not taken.
    refused: u64,
    /// Not acknowledged.
    unanswered: u64,
}

impl Fates {
    /// Counts a batch.
    ///
    /// # Errors
    /// Why the rest would meet the same.
    pub(super) fn take(&mut self, outcome: Outcome, mut say: impl FnMut(String)) -> Result<(), Failure> {
        self.stands += outcome.stands;
        self.hidden += outcome.hidden;
        self.superseded += outcome.superseded;
        self.expired += outcome.expired;
        for (count, what, list) in [
            (&mut self.refused, "refused", outcome.refused),
            (&mut self.unanswered, "not acknowledged", outcome.unanswered),
        ] {
            for (name, why) in list {
                *count += 1;
                if *count <= NAMED_MAX {
                    say(format!("{what}: {name}: {why}"));
                }
            }
        }
        outcome.fatal.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Records that should be there and are not.
    pub(super) fn not_put_back(&self) -> u64 {
        self.refused + self.unanswered
    }

    /// In words.
    pub(super) fn text(&self) -> String {
        let mut text =
            format!("{} {} back", thousands(self.stands), plural(self.stands, "record is", "records are"));
        for (count, what) in [
            (self.hidden, "were removed since and stay so"),
            (self.superseded, "have been followed up in their series"),
            (self.expired, "have ended"),
            (self.left_out, "are signed for the other network and left out"),
            (self.refused, "are refused"),
            (self.unanswered, "were not acknowledged"),
        ] {
            if count > 0 {
                text += &format!(", {} {what}", thousands(count));
            }
        }
        text
    }
}

/// What a snapshot holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub(super) struct Held {
    /// Plain values.
    plain: u64,
    /// Immutable values.
    immutable: u64,
    /// Signed values, those of series included.
    signed: u64,
    /// Removals of any kind.
    removals: u64,
    /// Those of all these whose lives are over.
    ended: u64,
    /// Lengths of all values.
    value_bytes: u64,
}

impl Held {
    pub(super) fn add(&mut self, head: &Head, now: Wall) {
        *match head.kind {
            Kind::Put => &mut self.plain,
            Kind::Immutable => &mut self.immutable,
            Kind::Signed | Kind::Sequenced => &mut self.signed,
            Kind::Remove | Kind::SignedRemove | Kind::SequencedRemove => &mut self.removals,
        } += 1;
        self.ended += u64::from(head.expires() <= now);
        self.value_bytes += u64::from(head.value_bytes);
    }

    /// In words.
    pub(super) fn text(&self) -> String {
        let count = |count: u64, what: &str| format!("{} {what}", thousands(count));
        let parts = [
            count(self.plain, "plain"),
            count(self.immutable, "immutable"),
            count(self.signed, plural(self.signed, "signed value", "signed values")),
            count(self.removals, plural(self.removals, "removal", "removals")),
        ];
        let ended = if self.ended > 0 {
            format!("; {} of them have ended", thousands(self.ended))
        } else {
            String::new()
        };
        format!("{}{ended}", parts.join(", "))
    }
}
