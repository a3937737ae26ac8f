//! The node's notes (network id, remembered peers): one blob beside the records, and the probe of a halted disk.
//!
//! They are in memory only as long as the disk may not hold them: a thousand bytes in each of a million nodes otherwise.

use alloc::vec::Vec;
use core::hash::Hasher as _;

use siphasher::sip::SipHasher13;

/// The notes, and how far the disk is behind them.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Until the disk has said that it holds them.
    latest: Option<Vec<u8>>,
    /// Of the latest, to know them again. A collision could only cost one change of them.
    digest: Option<u64>,
    /// A write of notes is under way.
    writing: bool,
    /// The latest are not the ones being written.
    stale: bool,
}

impl Notes {
    /// Takes what the disk held at the start, unless newer notes were made meanwhile.
    pub(super) fn loaded(&mut self, notes: &[u8]) {
        if !self.stale && !self.writing {
            self.digest = Some(digest(notes));
        }
    }

    /// Replaces them. What is equal to the latest needs no write, unless one is wanted `again`.
    pub(super) fn replace(&mut self, mut notes: Vec<u8>, again: bool) {
        let digest = digest(&notes);
        if again || self.digest != Some(digest) {
            notes.shrink_to_fit();
            (self.latest, self.digest, self.stale) = (Some(notes), Some(digest), true);
        }
    }

    /// The disk has the latest.
    pub(super) fn is_idle(&self) -> bool {
        !self.writing && !self.stale
    }

    /// The bytes to write now, one write at a time: what the disk may lack.
    pub(super) fn begin(&mut self) -> Option<Vec<u8>> {
        if self.writing || !self.stale {
            return None;
        }
        let notes = self.latest.clone()?;
        (self.writing, self.stale) = (true, false);
        Some(notes)
    }

    /// The write ended.
    pub(super) fn end(&mut self, written: bool) {
        self.writing = false;
        self.stale |= !written;
        if !self.stale {
            self.latest = None;
        }
    }
}

fn digest(notes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(notes);
    hasher.finish()
}
