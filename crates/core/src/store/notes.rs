//! The node's notes (network id, remembered peers): one blob beside the records, and the probe of a halted disk.

use alloc::vec::Vec;

/// The notes, and how far the disk is behind them.
#[derive(Debug, Default)]
pub(super) struct Notes {
    latest: Vec<u8>,
    /// A write of them is under way.
    writing: bool,
    /// The disk may not hold the latest.
    stale: bool,
}

impl Notes {
    /// Takes what the disk held at the start, unless newer notes were made meanwhile.
    pub(super) fn loaded(&mut self, notes: &[u8]) {
        if !self.stale && !self.writing {
            self.latest = notes.to_vec();
        }
    }

    /// Replaces them; what is equal to the latest needs no write.
    pub(super) fn replace(&mut self, mut notes: Vec<u8>) {
        notes.shrink_to_fit();
        if self.latest != notes {
            self.latest = notes;
            self.stale = true;
        }
    }

    /// The bytes to write now: one write at a time. `again` also writes what the disk should hold already.
    pub(super) fn begin(&mut self, again: bool) -> Option<Vec<u8>> {
        if self.writing || !(self.stale || again) {
            return None;
        }
        (self.writing, self.stale) = (true, false);
        Some(self.latest.clone())
    }

    /// The write ended.
    pub(super) fn end(&mut self, written: bool) {
        self.writing = false;
        self.stale |= !written;
    }
}
