//! What is to happen when: events in the order of (time, sequence), and the buffers of the frames under way.
//!
//! An event is 32 bytes and owns nothing; frames lie in [`Flights`], whose buffers are used again, so that a world in its
//! stride does not allocate.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// What happens. Hosts and slots are indexes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// The frame in this slot reaches this host.
    Frame { host: u32, slot: u32 },
    /// This host's machine may want a tick. Void unless the host still waits for exactly this instant.
    Tick { host: u32 },
    /// The disk batch in this slot ends.
    Disk { host: u32, slot: u32 },
    /// A paused host goes on. Void if it was meanwhile paused for longer.
    Resume { host: u32 },
    /// Whoever drives the world wants to act.
    Wake { token: u64 },
}

impl What {
    /// The host concerned.
    pub(crate) fn host(self) -> Option<usize> {
        match self {
            What::Frame { host, .. }
            | What::Tick { host }
            | What::Disk { host, .. }
            | What::Resume { host } => Some(host as usize),
            What::Wake { .. } => None,
        }
    }
}

/// An event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Event {
    /// When, in microseconds of the world.
    pub(crate) at: u64,
    /// Ties go to the event that was made earlier.
    sequence: u64,
    /// What.
    pub(crate) what: What,
}

impl Ord for Event {
    /// The greatest is the next: `BinaryHeap` pops the greatest.
    fn cmp(&self, other: &Event) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Event) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The event queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Event>,
    sequence: u64,
}

impl Queue {
    /// Adds an event.
    pub(crate) fn push(&mut self, at: u64, what: What) {
        self.sequence += 1;
        self.heap.push(Event { at, sequence: self.sequence, what });
    }

    /// Takes the next event if it is due at or before `until`.
    pub(crate) fn pop_until(&mut self, until: u64) -> Option<Event> {
        if self.heap.peek()?.at > until {
            return None;
        }
        self.heap.pop()
    }

    /// Takes the next event if it concerns `host` at exactly `at`: what a driver would find waiting in one wake-up.
    pub(crate) fn pop_same(&mut self, at: u64, host: usize) -> Option<What> {
        let next = self.heap.peek()?;
        if next.at != at || next.what.host() != Some(host) {
            return None;
        }
        self.heap.pop().map(|e| e.what)
    }

    /// Events that wait.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }
}

/// A frame under way.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    /// The sending host.
    pub(crate) from: u32,
    /// The frame.
    pub(crate) bytes: Vec<u8>,
}

/// Buffers above this capacity are given back instead of kept.
const KEPT_BYTES_MAX: usize = 4_096;

/// Frames under way, in slots that are used again.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    slots: Vec<Flight>,
    free: Vec<u32>,
}

impl Flights {
    /// Copies a frame into a slot.
    pub(crate) fn add(&mut self, from: u32, bytes: &[u8]) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Flight::default());
            (self.slots.len() - 1) as u32
        });
        let flight = &mut self.slots[slot as usize];
        flight.from = from;
        flight.bytes.extend_from_slice(bytes);
        slot
    }

    /// A frame's bytes, to be damaged.
    pub(crate) fn bytes_mut(&mut self, slot: u32) -> &mut [u8] {
        &mut self.slots[slot as usize].bytes
    }

    /// Takes a frame out. Give the buffer back with [`Flights::give_back`].
    pub(crate) fn take(&mut self, slot: u32) -> Flight {
        core::mem::take(&mut self.slots[slot as usize])
    }

    /// Frees a slot, keeping its buffer unless it is large.
    pub(crate) fn give_back(&mut self, slot: u32, mut flight: Flight) {
        if flight.bytes.capacity() <= KEPT_BYTES_MAX {
            flight.bytes.clear();
            self.slots[slot as usize] = flight;
        }
        self.free.push(slot);
    }

    /// Frames under way.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The queue is a stable sort by time.
        #[test]
        fn events_come_in_order_of_time_then_of_making(times in proptest::collection::vec(0u64..20, 0..200)) {
            let mut queue = Queue::default();
            for (i, &at) in times.iter().enumerate() {
                queue.push(at, What::Wake { token: i as u64 });
            }
            let mut want: Vec<(u64, u64)> = times.iter().enumerate().map(|(i, &at)| (at, i as u64)).collect();
            want.sort_by_key(|&(at, _)| at);
            let mut got = Vec::new();
            while let Some(event) = queue.pop_until(u64::MAX) {
                let What::Wake { token } = event.what else { unreachable!() };
                got.push((event.at, token));
            }
            prop_assert_eq!(got, want);
        }
    }

    #[test]
    fn an_event_is_small() {
        assert!(size_of::<Event>() <= 32);
    }

    #[test]
    fn buffers_are_used_again() {
        let mut flights = Flights::default();
        let slot = flights.add(1, b"abc");
        let flight = flights.take(slot);
        assert_eq!((flight.from, &flight.bytes[..]), (1, &b"abc"[..]));
        flights.give_back(slot, flight);
        assert_eq!(flights.len(), 0);
        assert_eq!(flights.add(2, b"de"), slot);
        assert_eq!(flights.take(slot).bytes, b"de");
    }
}
