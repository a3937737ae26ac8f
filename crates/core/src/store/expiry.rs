//! Which record's life ends next: the expiry index. Lives are deleted in this order, never by a scan.

use alloc::collections::BTreeSet;

use super::record::{Head, Identity};
use crate::time::Wall;

/// Heads by the end of their life.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    ends: BTreeSet<(Wall, Identity)>,
}

impl Expiry {
    pub(super) fn add(&mut self, head: &Head) {
        self.ends.insert((head.expires(), head.identity));
    }

    pub(super) fn remove(&mut self, head: &Head) {
        self.ends.remove(&(head.expires(), head.identity));
    }

    /// When the first life ends.
    pub(super) fn next(&self) -> Option<Wall> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// Lives that are over, oldest end first.
    pub(super) fn over(&self, now: Wall) -> impl Iterator<Item = &Identity> {
        self.ends.iter().take_while(move |(end, _)| *end <= now).map(|(_, identity)| identity)
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn has(&self, head: &Head) -> bool {
        self.ends.contains(&(head.expires(), head.identity))
    }
}
