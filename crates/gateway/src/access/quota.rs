//! How much a token may ask for: requests and bytes in a second, bytes stored at once.
//!
//! Rates are buckets that may be overdrawn by one request: who has something left may spend more than is left, and pays
//! before the next. So the greatest value passes under any rate, and in the long run the rate holds.
//!
//! What is stored is known by the minute in which it ends. A value that is put again is one record, with the longer of its lives: it is
//! known by its name ([`name_of`]), and moves to the minute in which it ends now. Of one token so many names are remembered
//! ([`NAMES_MAX`]); what is put beyond them counts again with each renewal until the former life is over, as does what was put before
//! the gateway started, or through another one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use keyway_core::Id;
use keyway_core::machine::Op;
use keyway_core::store::Kind;
use keyway_core::store::proof::sha256;

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

/// Names remembered of one token: some four megabytes.
const NAMES_MAX: usize = 65_536;
/// Bytes of a name: nobody finds two values of one name by chance, and who makes them cheats nobody's disk but by one value.
const NAME_BYTES: usize = 16;

/// What tells a record from others: the beginning of a SHA-256.
type Name = [u8; NAME_BYTES];

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
    name: Option<Name>,
    /// Of a renewal: the group in which the value was.
    before: Option<u64>,
}

/// What a put asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Its cost.
    pub(crate) bytes: u64,
    /// When its life ends.
    pub(crate) end_ms: u64,
    /// Which record it makes, if that matters.
    pub(crate) name: Option<Name>,
}

/// The name of the record that a write makes, by all that tells it from others: not its life, nor who pays.
pub(crate) fn name_of(op: &Op) -> Option<Name> {
    // Each part but the last has a fixed length, so no two writes say the same.
    let digest = |kind: Kind, key: &Id, place: &[u8], content: &[u8]| {
        let whole = [&[kind as u8], key.as_bytes().as_slice(), place, &sha256(content)].concat();
        sha256(&whole).first_chunk().copied()
    };
    match op {
        Op::Put { key, value, secret_hash, .. } => digest(Kind::Put, key, secret_hash.as_bytes(), value),
        Op::PutImmutable { value, .. } => digest(Kind::Immutable, &Id::ZERO, &[], value),
        Op::PutSigned(put) => {
            let proof = &put.proof;
            let place = [proof.public_key.as_slice(), &proof.nonce, &put.seq.to_be_bytes()].concat();
            digest(put.kind, &put.key, &place, &put.content)
        }
        _ => None,
    }
}

impl Spending {
    /// Takes so many requests.
    pub(crate) fn requests(&self, token: &Token, count: u64, now: Instant) -> Result<(), Denied> {
        let Some(allowed) = token.quotas.requests_per_second else { return Ok(()) };
        let taken = self.spent().requests.take(count, allowed, REQUESTS_BURST_SECS, now);
        taken.map_err(|retry_after_secs| rate(token, "requests", allowed, retry_after_secs))
    }

    /// Takes a put.
    pub(crate) fn put(
        &self,
        token: &Token,
        wanted: Wanted,
        now_ms: u64,
        now: Instant,
    ) -> Result<Price, Denied> {
        let bytes = wanted.bytes;
        let mut spent = self.spent();
        spent.stored.forget(now_ms);
        if let Some(allowed) = token.quotas.stored_bytes {
            let stored = spent.stored.bytes;
            let more = if spent.stored.has(wanted.name) { 0 } else { bytes };
            if stored.saturating_add(more) > allowed {
                return Err(Denied::Stored { name: token.name.clone(), allowed, stored });
            }
        }
        if let Some(allowed) = token.quotas.put_bytes_per_second {
            spent
                .bytes
                .take(bytes, allowed, BYTES_BURST_SECS, now)
                .map_err(|retry_after_secs| rate(token, "bytes of values", allowed, retry_after_secs))?;
        }
        Ok(spent.stored.take(wanted, now_ms))
    }

    /// Gives back what a refused put has taken.
    pub(crate) fn give_back(&self, price: Price) {
        let mut spent = self.spent();
        spent.stored.give_back(price);
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
    names: HashMap<Name, Named>,
}

/// A value that is known by its name.
struct Named {
    group: u64,
    /// Puts of it that may stand: what several asked for is not given back by one.
    puts: u32,
}

impl Stored {
    /// Whether a record of this name is charged already.
    fn has(&self, name: Option<Name>) -> bool {
        name.is_some_and(|name| self.names.contains_key(&name))
    }

    fn take(&mut self, wanted: Wanted, now_ms: u64) -> Price {
        let Wanted { bytes, end_ms, name } = wanted;
        let group = end_ms.div_ceil(GROUP_MS).min(now_ms / GROUP_MS + GROUPS_MAX);
        if let Some(named) = name.and_then(|name| self.names.get_mut(&name)) {
            // Of two lives the longer stands.
            let before = named.group;
            let group = before.max(group);
            named.group = group;
            named.puts = named.puts.saturating_add(1);
            self.remove(bytes, before);
            self.add(bytes, group);
            return Price { bytes, group, name, before: Some(before) };
        }
        self.add(bytes, group);
        // Without its name it is not known again.
        let name = name.filter(|_| self.names.len() < NAMES_MAX);
        if let Some(name) = name {
            self.names.insert(name, Named { group, puts: 1 });
        }
        Price { bytes, group, name, before: None }
    }

    fn give_back(&mut self, Price { bytes, group, name, before }: Price) {
        let Some(name) = name else { return self.remove(bytes, group) };
        // Forgotten meanwhile: its life is over, and nothing of it is charged.
        let Some(named) = self.names.get_mut(&name) else { return };
        named.puts = named.puts.saturating_sub(1);
        if named.puts == 0 {
            let group = named.group;
            self.names.remove(&name);
            self.remove(bytes, group);
        } else if let Some(before) = before.filter(|before| *before < group && named.group == group) {
            named.group = before;
            self.remove(bytes, group);
            self.add(bytes, before);
        }
    }

    fn add(&mut self, bytes: u64, group: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        let here = self.groups.entry(group).or_default();
        *here = here.saturating_add(bytes);
    }

    fn remove(&mut self, bytes: u64, group: u64) {
        if let Some(here) = self.groups.get_mut(&group) {
            let bytes = bytes.min(*here);
            *here -= bytes;
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    fn forget(&mut self, now_ms: u64) {
        let mut over = None;
        while let Some(first) = self.groups.first_entry() {
            if first.key().saturating_mul(GROUP_MS) > now_ms {
                break;
            }
            over = Some(*first.key());
            self.bytes = self.bytes.saturating_sub(first.remove());
        }
        // At most once a minute.
        if let Some(over) = over {
            self.names.retain(|_, named| named.group > over);
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

    fn wanted(bytes: u64, end_ms: u64, name: Option<u8>) -> Wanted {
        Wanted { bytes, end_ms, name: name.map(|name| [name; NAME_BYTES]) }
    }

    #[test]
    fn a_rate_holds_in_the_long_run_and_lets_the_greatest_value_pass() {
        let token = token(Quotas { put_bytes_per_second: Some(1000), ..Quotas::default() });
        let (spending, began) = (Spending::default(), Instant::now());
        let mut passed = 0u64;
        for ms in (0..100_000).step_by(10) {
            let now = began + Duration::from_millis(ms);
            match spending.put(&token, wanted(50_000, ms, None), ms, now) {
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
        let put = |bytes, end_ms, now_ms| spending.put(&token, wanted(bytes, end_ms, None), now_ms, now);
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

    #[test]
    fn a_renewal_lengthens_what_is_charged_and_is_no_second_copy() {
        let token = token(Quotas { stored_bytes: Some(1000), ..Quotas::default() });
        let (spending, now) = (Spending::default(), Instant::now());
        let put = |name, end_ms, now_ms| spending.put(&token, wanted(600, end_ms, Some(name)), now_ms, now);
        put(1, 120_000, 0).expect("room");
        assert!(matches!(put(2, 120_000, 0), Err(Denied::Stored { stored: 600, .. })), "of another name");
        put(1, 300_000, 60_000).expect("the same for longer");
        put(1, 60_000, 0).expect("the same for less, which changes nothing");
        assert_eq!(spending.stored_bytes(120_000), 600, "its first life is over, its second is not");
        // What the node refused for certain was not renewed.
        let refused = put(1, 900_000, 120_000).expect("the same for longer");
        spending.give_back(refused);
        assert_eq!((spending.stored_bytes(299_999), spending.stored_bytes(300_000)), (600, 0));
        assert!(spending.spent().stored.names.is_empty(), "names are forgotten with their lives");
        // Two at once, of which one is refused: the other may stand.
        let (one, _) = (put(2, 600_000, 300_000).expect("room"), put(2, 600_000, 300_000).expect("the same"));
        spending.give_back(one);
        assert_eq!(spending.stored_bytes(300_000), 600);
    }

    #[test]
    fn names_that_are_not_remembered_count_again() {
        let mut stored = Stored::default();
        for n in 0..NAMES_MAX as u64 + 10 {
            let mut name = [0; NAME_BYTES];
            name[..8].copy_from_slice(&n.to_be_bytes());
            for end_ms in [GROUP_MS, 2 * GROUP_MS] {
                stored.take(Wanted { bytes: 1, end_ms, name: Some(name) }, 0);
            }
        }
        assert_eq!((stored.names.len(), stored.bytes), (NAMES_MAX, NAMES_MAX as u64 + 20));
    }

    #[test]
    fn records_that_differ_have_different_names() {
        let put = |value: &str| Op::put(Id::of_text("k"), value.into(), keyway_core::Duration::ZERO);
        let immutable = |value: &str| Op::PutImmutable {
            value: value.into(),
            ttl: keyway_core::Duration::ZERO,
            client: keyway_core::store::ClientId::NOBODY,
        };
        let names = [put("a"), put("b"), immutable("a"), immutable("b")].map(|op| name_of(&op));
        assert!(names.iter().all(Option::is_some));
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
        let mut later = put("a");
        if let Op::Put { ttl, .. } = &mut later {
            *ttl = keyway_core::Duration::from_secs(9);
        }
        assert_eq!(name_of(&later), names[0], "its life does not count");
    }
}
