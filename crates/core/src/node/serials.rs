//! Maps from serial numbers to what is under way, which cost nothing while nothing is.
//!
//! A `BTreeMap` keeps its last leaf when it becomes empty: up to three kilobytes for each kind of thing that a node has
//! ever done, in each of a million nodes. This one gives it back.

use alloc::collections::BTreeMap;
use core::ops::{Deref, DerefMut};

/// A `BTreeMap` that owns no memory while it is empty.
#[derive(Clone, Debug)]
pub(crate) struct Serials<V>(BTreeMap<u64, V>);

impl<V> Default for Serials<V> {
    fn default() -> Serials<V> {
        Serials(BTreeMap::new())
    }
}

impl<V> Serials<V> {
    /// Takes one out.
    pub(crate) fn remove(&mut self, serial: &u64) -> Option<V> {
        let value = self.0.remove(serial);
        if self.0.is_empty() {
            self.0 = BTreeMap::new();
        }
        value
    }
}

impl<V> Deref for Serials<V> {
    type Target = BTreeMap<u64, V>;

    fn deref(&self) -> &BTreeMap<u64, V> {
        &self.0
    }
}

impl<V> DerefMut for Serials<V> {
    fn deref_mut(&mut self) -> &mut BTreeMap<u64, V> {
        &mut self.0
    }
}
