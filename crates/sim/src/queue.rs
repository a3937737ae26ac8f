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
    /// The greatest is the next: `BinaryHeap` pops the greatest, and a list sorted upwards ends with it.
    fn cmp(&self, other: &Event) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Event) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// How long one bucket of the queue is: 2^13 microseconds.
const BUCKET_BITS: u32 = 13;
/// Buckets of the wheel, a power of two: 33 seconds, which nearly all timers and all frames fall into.
const BUCKETS: u64 = 4_096;

/// Behind the last link of a chain.
const END: u32 = u32::MAX;

/// An event of the wheel, and which one of its bucket was placed before it. A free link names the next free one.
#[derive(Clone, Copy, Debug)]
struct Link {
    event: Event,
    next: u32,
}

/// The event queue: a wheel of buckets, each sorted only when its time has come.
///
/// ```text
///   current  sorted, the next event last      the bucket of now, as it was when its time came
///   soon     a heap                           what was added to it since
///   wheel    4,096 chains, 8 ms each          what comes after that, unsorted; links of all chains lie in one list
///   far      a heap                           what comes after the wheel
/// ```
///
/// An event is written once and moved once, however many wait: a heap would touch a dozen places for each, in a world of a
/// hundred thousand nodes all of them out of the processor's sight. Links are used again, the last one freed first: what is written is
/// at hand, and the wheel takes as much room as events wait, not as much as each bucket ever had.
#[derive(Debug)]
pub(crate) struct Queue {
    current: Vec<Event>,
    soon: BinaryHeap<Event>,
    /// The bucket of `current` and `soon`.
    bucket: u64,
    /// The first link of each chain.
    wheel: Vec<u32>,
    links: Vec<Link>,
    free: u32,
    /// Which buckets of the wheel hold something, a bit each.
    taken: Vec<u64>,
    far: BinaryHeap<Event>,
    sequence: u64,
    len: usize,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue {
            current: Vec::new(),
            soon: BinaryHeap::new(),
            bucket: 0,
            wheel: vec![END; BUCKETS as usize],
            links: Vec::new(),
            free: END,
            taken: vec![0; BUCKETS as usize / 64],
            far: BinaryHeap::new(),
            sequence: 0,
            len: 0,
        }
    }
}

impl Queue {
    /// Adds an event.
    pub(crate) fn push(&mut self, at: u64, what: What) {
        self.sequence += 1;
        self.len += 1;
        let event = Event { at, sequence: self.sequence, what };
        if at >> BUCKET_BITS <= self.bucket { self.soon.push(event) } else { self.place(event) }
    }

    /// Puts an event that is later than `current` where it belongs.
    fn place(&mut self, event: Event) {
        let bucket = event.at >> BUCKET_BITS;
        if bucket - self.bucket < BUCKETS {
            let slot = (bucket % BUCKETS) as usize;
            let link = Link { event, next: self.wheel[slot] };
            self.wheel[slot] = match self.free {
                END => {
                    self.links.push(link);
                    (self.links.len() - 1) as u32
                }
                at => {
                    self.free = self.links[at as usize].next;
                    self.links[at as usize] = link;
                    at
                }
            };
            self.taken[slot / 64] |= 1 << (slot % 64);
        } else {
            self.far.push(event);
        }
    }

    /// The first bucket after the present one that holds something.
    fn next_taken(&self) -> Option<u64> {
        let from = ((self.bucket + 1) % BUCKETS) as usize;
        let words = self.taken.len();
        // The first word is looked at twice: its upper bits first, its lower ones last.
        (0..=words).find_map(|i| {
            let word = (from / 64 + i) % words;
            let mask = match i {
                0 => u64::MAX << (from % 64),
                _ if i == words => !(u64::MAX << (from % 64)),
                _ => u64::MAX,
            };
            let bits = self.taken[word] & mask;
            let slot = (word * 64) as u64 + u64::from(bits.trailing_zeros());
            (bits != 0).then(|| self.bucket + 1 + (slot + BUCKETS - from as u64) % BUCKETS)
        })
    }

    /// Turns the wheel to the next bucket that holds something.
    fn turn(&mut self) -> Option<()> {
        let next = match self.next_taken() {
            Some(next) => next,
            None => self.far.peek()?.at >> BUCKET_BITS,
        };
        self.bucket = next;
        let slot = (next % BUCKETS) as usize;
        let mut at = core::mem::replace(&mut self.wheel[slot], END);
        while at != END {
            let link = &mut self.links[at as usize];
            self.current.push(link.event);
            let next = core::mem::replace(&mut link.next, self.free);
            self.free = at;
            at = next;
        }
        self.taken[slot / 64] &= !(1 << (slot % 64));
        // What was too far may fit now.
        while let Some(event) = self.far.peek().copied()
            && (event.at >> BUCKET_BITS) - next < BUCKETS
        {
            self.far.pop();
            if event.at >> BUCKET_BITS == next { self.current.push(event) } else { self.place(event) }
        }
        // Greater is sooner: sorted upwards, the next one stands last.
        self.current.sort_unstable();
        Some(())
    }

    /// Whether the next event stands in `soon`; none if there is no event.
    fn next_is_soon(&mut self) -> Option<bool> {
        if self.current.is_empty() && self.soon.is_empty() {
            self.turn()?;
        }
        Some(self.soon.peek() > self.current.last())
    }

    /// Takes the next event if it is as wished.
    fn pop_if(&mut self, wished: impl Fn(&Event) -> bool) -> Option<Event> {
        let soon = self.next_is_soon()?;
        let next = if soon { self.soon.peek() } else { self.current.last() };
        if !wished(next?) {
            return None;
        }
        self.len -= 1;
        if soon { self.soon.pop() } else { self.current.pop() }
    }

    /// Takes the next event if it is due at or before `until`.
    pub(crate) fn pop_until(&mut self, until: u64) -> Option<Event> {
        self.pop_if(|next| next.at <= until)
    }

    /// Takes the next event if it concerns `host` at exactly `at`: what a driver would find waiting in one wake-up.
    pub(crate) fn pop_same(&mut self, at: u64, host: usize) -> Option<What> {
        // Two events at one instant stand in one bucket: no wheel need be turned to know that there is none.
        if self.current.is_empty() && self.soon.is_empty() {
            return None;
        }
        self.pop_if(|next| next.at == at && next.what.host() == Some(host)).map(|event| event.what)
    }

    /// Events that wait.
    pub(crate) fn len(&self) -> usize {
        self.len
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

        /// Whatever the distances, and whatever is added while others are taken, a heap gives the same order.
        #[test]
        fn the_wheel_agrees_with_a_heap(
            steps in proptest::collection::vec((0u32..40, 0u64..1 << 12, any::<bool>()), 0..300),
        ) {
            let (mut queue, mut heap) = (Queue::default(), BinaryHeap::new());
            let mut now = 0;
            for (i, &(shift, ahead, take)) in steps.iter().enumerate() {
                let at = now + (ahead << shift >> 6);
                queue.push(at, What::Wake { token: i as u64 });
                heap.push(std::cmp::Reverse((at, i as u64)));
                // Half of the time only a little is let go by, so that it stays in the queue.
                let until = now + (1 << shift);
                while take && heap.peek().is_some_and(|next| next.0.0 <= until) {
                    let want = heap.pop().map(|next| next.0);
                    let got = queue.pop_until(until).map(|e| (e.at, e.what));
                    now = want.map_or(now, |w| w.0);
                    prop_assert_eq!(got, want.map(|(at, token)| (at, What::Wake { token })));
                }
                prop_assert!(!take || queue.pop_until(until).is_none());
                prop_assert_eq!(queue.len(), heap.len());
            }
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
