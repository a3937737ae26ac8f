//! In which order lines are shown: each speaker's in the order of speaking, none twice, whatever comes late or again.
//!
//! ```text
//!   next number of a speaker ─▶ shown at once, and what was held back for it
//!   a greater number         ─▶ held back until the gap is closed, or too much is held, or for too long
//!   a smaller number         ─▶ was shown: dropped
//! ```
//!
//! Memory: one number for each of at most [`SPEAKERS_MAX`] speakers, the longest silent forgotten first, and at most [`HELD_MAX`]
//! lines held back for each.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use keyway_client::Authenticator;

/// Speakers that are remembered.
pub(crate) const SPEAKERS_MAX: usize = 1024;
/// Lines of one speaker that wait for one that is missing.
pub(crate) const HELD_MAX: usize = 16;
/// How long they wait. A line whose neighbour is acknowledged is there; only a change of the network hides it for a moment.
pub(crate) const HELD_FOR: Duration = Duration::from_secs(3);

struct Speaker<T> {
    next: u64,
    held: BTreeMap<u64, T>,
    held_since: Option<Instant>,
    /// When it was heard last, in calls of [`Order::take`].
    heard: u64,
}

/// The speakers, and how far each was shown.
pub(crate) struct Order<T> {
    speakers: BTreeMap<Authenticator, Speaker<T>>,
    calls: u64,
}

impl<T> Order<T> {
    pub(crate) fn new() -> Order<T> {
        Order { speakers: BTreeMap::new(), calls: 0 }
    }

    /// A speaker's line has come, to be shown or held. `base` says where a speaker begins of whom nothing is known.
    pub(crate) fn take(
        &mut self,
        who: Authenticator,
        number: u64,
        line: T,
        base: u64,
        now: Instant,
    ) -> Vec<T> {
        self.calls += 1;
        if !self.speakers.contains_key(&who) && self.speakers.len() >= SPEAKERS_MAX {
            let silent = self.speakers.iter().min_by_key(|(_, speaker)| speaker.heard).map(|(who, _)| *who);
            silent.map(|who| self.speakers.remove(&who));
        }
        let fresh = || Speaker { next: base, held: BTreeMap::new(), held_since: None, heard: 0 };
        let speaker = self.speakers.entry(who).or_insert_with(fresh);
        speaker.heard = self.calls;
        if number < speaker.next {
            return Vec::new();
        }
        speaker.held.insert(number, line);
        if speaker.held.len() > HELD_MAX {
            speaker.skip();
        }
        speaker.ready(now)
    }

    /// What has waited too long for what is missing.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<T> {
        let mut lines = Vec::new();
        for speaker in self.speakers.values_mut() {
            if speaker.held_since.is_some_and(|since| now.saturating_duration_since(since) >= HELD_FOR) {
                speaker.skip();
                lines.extend(speaker.ready(now));
            }
        }
        lines
    }
}

impl<T> Speaker<T> {
    /// Gives up what is missing before the first that is held.
    fn skip(&mut self) {
        self.next = self.held.keys().next().copied().unwrap_or(self.next);
        self.held_since = None;
    }

    fn ready(&mut self, now: Instant) -> Vec<T> {
        let mut lines = Vec::new();
        while let Some(line) = self.held.remove(&self.next) {
            lines.push(line);
            self.next += 1;
            self.held_since = None;
        }
        if !self.held.is_empty() && self.held_since.is_none() {
            self.held_since = Some(now);
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyway_client::Hex;

    #[test]
    fn lines_are_shown_in_order_and_once() {
        let (mut order, now) = (Order::new(), Instant::now());
        let (ann, bob) = (Hex([1; 32]), Hex([2; 32]));
        let mut take = |who, number| order.take(who, number, number, 0, now);
        assert_eq!(take(ann, 0), [0]);
        assert!(take(ann, 2).is_empty());
        assert!(take(bob, 1).is_empty());
        assert_eq!(take(ann, 1), [1, 2]);
        assert!(take(ann, 2).is_empty(), "again");
        assert!(take(ann, 0).is_empty(), "again");
        assert_eq!(take(bob, 0), [0, 1]);
    }

    #[test]
    fn what_stays_away_does_not_hold_up_the_rest_for_ever() {
        let (mut order, now) = (Order::new(), Instant::now());
        let ann = Hex([1; 32]);
        assert!(order.take(ann, 5, 5, 0, now).is_empty());
        assert!(order.overdue(now).is_empty());
        assert_eq!(order.overdue(now + HELD_FOR), [5]);
        assert!(order.take(ann, 4, 4, 0, now).is_empty(), "too late");
        let late: Vec<u64> = (7..).take(HELD_MAX + 1).flat_map(|n| order.take(ann, n, n, 0, now)).collect();
        assert_eq!(late.len(), HELD_MAX + 1, "too much is held");
        for n in 0..2 * SPEAKERS_MAX {
            let mut who = [9; 32];
            who[..8].copy_from_slice(&(n as u64).to_be_bytes());
            order.take(Hex(who), 0, 0, 0, now);
        }
        assert_eq!(order.speakers.len(), SPEAKERS_MAX);
    }
}
