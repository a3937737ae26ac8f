//! How much a token may ask for: requests and bytes in a second, bytes stored at once.
//!
//! Rates are buckets that may be overdrawn by one request: who has something left may spend more than is left, and pays
//! before the next. So the greatest value passes under any rate, and in the long run the rate holds. What is stored is known by the minute in
//! which it ends; renewals count again until the former life is over, since nobody here remembers what each value was.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Denied;
use super::tokens::Token;

/// Seconds' worth of requests that may come at once.
const REQUESTS_BURST_SECS: u64 = 2;
/// Seconds' worth of bytes that may come at once.
const BYTES_BURST_SECS: u64 = 10;
/// What is stored is grouped by the ends of lives, this far apart: a life of a week makes 10,080 groups.
const GROUP_MS: u64 = 60_000;
/// Groups at most: lives that end later count as ending in the last.
const GROUPS_MAX: u64 = 20_000;

/// What the bearer of a token has spent.
#[derive(Default)]
pub(crate) struct Spending(Mutex<Spent>);

#[derive(Default)]
struct Spent {
    requests: Bucket,
    bytes: Bucket,
    stored: Stored,
}

/// What a put has taken from the quotas, to be given back if it is refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Price {
    bytes: u64,
    group: u64,
}

impl Spending {
    /// Takes so many requests.
    pub(crate) fn requests(&self, token: &Token, count: u64, now: Instant) -> Result<(), Denied> {
        let Some(allowed) = token.quotas.requests_per_second else { return Ok(()) };
        let taken = self.spent().requests.take(count, allowed, REQUESTS_BURST_SECS, now);
        taken.map_err(|retry_after_secs| rate(token, "requests", allowed, retry_after_secs))
    }

    /// Takes a put of `bytes` that live until `end_ms`.
    pub(crate) fn put(
        &self,
        token: &Token,
        bytes: u64,
        end_ms: u64,
        now_ms: u64,
        now: Instant,
    ) -> Result<Price, Denied> {
        let mut spent = self.spent();
        spent.stored.forget(now_ms);
        if let Some(allowed) = token.quotas.stored_bytes {
            let stored = spent.stored.bytes;
            if stored.saturating_add(bytes) > allowed {
                return Err(Denied::Stored { name: token.name.clone(), allowed, stored });
            }
        }
        if let Some(allowed) = token.quotas.put_bytes_per_second {
            spent
                .bytes
                .take(bytes, allowed, BYTES_BURST_SECS, now)
                .map_err(|retry_after_secs| rate(token, "bytes of values", allowed, retry_after_secs))?;
        }
        let group = spent.stored.add(bytes, end_ms, now_ms);
        Ok(Price { bytes, group })
    }

    /// Gives back what a refused put has taken.
    pub(crate) fn give_back(&self, price: Price) {
        let mut spent = self.spent();
        spent.stored.remove(price);
        spent.bytes.give_back(price.bytes);
    }

    /// Bytes put whose life is not over.
    #[cfg(test)]
    fn stored_bytes(&self, now_ms: u64) -> u64 {
        let mut spent = self.spent();
        spent.stored.forget(now_ms);
        spent.stored.bytes
    }

    fn spent(&self) -> MutexGuard<'_, Spent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rate(token: &Token, what: &'static str, allowed: u64, retry_after_secs: u64) -> Denied {
    Denied::Rate { name: token.name.clone(), what, allowed, retry_after_secs }
}

/// So much in a second. Levels are in millionths, so that no part of a microsecond's refill is lost.
#[derive(Default)]
struct Bucket {
    /// Left, or owed.
    level: i128,
    filled: Option<Instant>,
}

impl Bucket {
    /// Takes `cost` if anything is left, or says in how many seconds something will be.
    fn take(&mut self, cost: u64, per_second: u64, burst_secs: u64, now: Instant) -> Result<(), u64> {
        let rate = i128::from(per_second.max(1));
        let full = rate * i128::from(burst_secs) * 1_000_000;
        let micros = self.filled.map(|filled| now.saturating_duration_since(filled).as_micros());
        self.level = match micros {
            None => full,
            Some(micros) => {
                let refill = i128::try_from(micros).unwrap_or(i128::MAX).saturating_mul(rate);
                self.level.saturating_add(refill).min(full)
            }
        };
        self.filled = Some(now);
        if self.level <= 0 {
            let seconds = (-self.level) / (rate * 1_000_000) + 1;
            return Err(u64::try_from(seconds).unwrap_or(u64::MAX));
        }
        self.level -= i128::from(cost) * 1_000_000;
        Ok(())
    }
}

impl Bucket {
    /// What is given back may fill it beyond the brim until it is used next.
    fn give_back(&mut self, cost: u64) {
        self.level = self.level.saturating_add(i128::from(cost) * 1_000_000);
    }
}

/// Bytes by the group in which their lives end.
#[derive(Default)]
struct Stored {
    bytes: u64,
    groups: BTreeMap<u64, u64>,
}

impl Stored {
    fn add(&mut self, bytes: u64, end_ms: u64, now_ms: u64) -> u64 {
        let group = end_ms.div_ceil(GROUP_MS).min(now_ms / GROUP_MS + GROUPS_MAX);
        self.bytes = self.bytes.saturating_add(bytes);
        let here = self.groups.entry(group).or_default();
        *here = here.saturating_add(bytes);
        group
    }

    fn remove(&mut self, Price { bytes, group }: Price) {
        if let Some(here) = self.groups.get_mut(&group) {
            let bytes = bytes.min(*here);
            *here -= bytes;
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    fn forget(&mut self, now_ms: u64) {
        while let Some(first) = self.groups.first_entry() {
            if first.key().saturating_mul(GROUP_MS) > now_ms {
                return;
            }
            self.bytes = self.bytes.saturating_sub(first.remove());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Quotas;
    use super::*;

    fn token(quotas: Quotas) -> Token {
        let (token, _) = Token::new("t", super::super::Scopes::ALL, quotas, 0, None).expect("a token");
        token
    }

    #[test]
    fn a_rate_holds_in_the_long_run_and_lets_the_greatest_value_pass() {
        let token = token(Quotas { put_bytes_per_second: Some(1000), ..Quotas::default() });
        let (spending, began) = (Spending::default(), Instant::now());
        let mut passed = 0u64;
        for ms in (0..100_000).step_by(10) {
            let now = began + Duration::from_millis(ms);
            match spending.put(&token, 50_000, ms, ms, now) {
                Ok(_) => passed += 50_000,
                Err(Denied::Rate { retry_after_secs, .. }) => assert!((1..=51).contains(&retry_after_secs)),
                Err(other) => panic!("{other}"),
            }
        }
        // 100 s of 1,000 bytes, a burst of 10 s, and the last one overdrawn.
        assert!((100_000..=160_000).contains(&passed), "{passed}");
    }

    #[test]
    fn requests_are_counted_and_come_back_with_time() {
        let token = token(Quotas { requests_per_second: Some(3), ..Quotas::default() });
        let (spending, began) = (Spending::default(), Instant::now());
        let at = |ms| spending.requests(&token, 1, began + Duration::from_millis(ms)).is_ok();
        assert_eq!((0..10).filter(|_| at(0)).count(), 6, "two seconds' worth");
        assert!(at(1) && !at(300), "overdrawn by the part that was not there");
        assert!(at(340) && !at(341), "three a second");
        // A clock that stands still or runs backwards gives nothing and breaks nothing.
        assert!(!at(0));
    }

    #[test]
    fn what_is_stored_ends_with_its_life_and_a_refused_put_costs_nothing() {
        let token = token(Quotas { stored_bytes: Some(1000), ..Quotas::default() });
        let (spending, now) = (Spending::default(), Instant::now());
        let put = |bytes, end_ms, now_ms| spending.put(&token, bytes, end_ms, now_ms, now);
        let first = put(600, 120_000, 0).expect("room");
        assert!(matches!(put(600, 60_000, 0), Err(Denied::Stored { allowed: 1000, stored: 600, .. })));
        put(400, 60_000, 0).expect("just fits");
        assert_eq!(spending.stored_bytes(59_999), 1000);
        assert_eq!(spending.stored_bytes(60_000), 600);
        spending.give_back(first);
        assert_eq!(spending.stored_bytes(60_000), 0);
        put(1, u64::MAX, 60_000).expect("an end beyond all groups counts as the last");
        assert_eq!(spending.stored_bytes(60_000 + GROUPS_MAX * GROUP_MS), 0);
    }
}
