//! What each client has asked of this gateway since it started: accounts for operators, by the name under which a client is charged.
//!
//! At most [`CLIENTS_MAX`] accounts; when they are full, the half that was silent longest is forgotten at once, so that strangers
//! with many addresses cost a sort now and then and no memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use keyway_core::machine::{OpError, OpResult};
use keyway_core::store::ClientId;

/// Accounts that are kept.
const CLIENTS_MAX: usize = 4096;

/// One client's account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    /// Writes that were acknowledged.
    pub(crate) writes: u64,
    /// Bytes of their values.
    pub(crate) bytes: u64,
    /// Writes that were told to wait for room.
    pub(crate) waited: u64,
    /// Writes that found no room.
    pub(crate) over_capacity: u64,
    /// Writes that failed otherwise.
    pub(crate) failed: u64,
    /// Requests beyond what it may do, or beyond its quotas.
    pub(crate) denied: u64,
}

impl Tally {
    /// Enters how a write of so many bytes ended.
    pub(super) fn count(&mut self, outcome: &OpResult, bytes: u64) {
        match outcome {
            Ok(_) => {
                self.writes += 1;
                self.bytes = self.bytes.saturating_add(bytes);
            }
            Err(OpError::Waiting { .. }) => self.waited += 1,
            Err(OpError::OverCapacity) => self.over_capacity += 1,
            Err(_) => self.failed += 1,
        }
    }
}

/// All accounts.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<Accounts>);

#[derive(Default)]
struct Accounts {
    /// Each with when it was last used.
    clients: BTreeMap<ClientId, (u64, Tally)>,
    used: u64,
}

impl Ledger {
    /// Changes a client's account.
    pub(super) fn enter(&self, client: ClientId, change: impl FnOnce(&mut Tally)) {
        let mut accounts = self.accounts();
        accounts.used += 1;
        let used = accounts.used;
        if accounts.clients.len() >= CLIENTS_MAX && !accounts.clients.contains_key(&client) {
            accounts.forget_half();
        }
        let (last, tally) = accounts.clients.entry(client).or_default();
        *last = used;
        change(tally);
    }

    /// A client's account.
    pub(crate) fn of(&self, client: ClientId) -> Tally {
        self.accounts().clients.get(&client).map(|(_, tally)| *tally).unwrap_or_default()
    }

    /// Those that were used last, at most `max`.
    pub(crate) fn latest(&self, max: usize) -> Vec<(ClientId, Tally)> {
        let accounts = self.accounts();
        let mut all: Vec<_> =
            accounts.clients.iter().map(|(client, (used, tally))| (*used, *client, *tally)).collect();
        drop(accounts);
        all.sort_unstable_by_key(|(used, ..)| std::cmp::Reverse(*used));
        all.into_iter().take(max).map(|(_, client, tally)| (client, tally)).collect()
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    fn forget_half(&mut self) {
        let mut uses: Vec<u64> = self.clients.values().map(|(used, _)| *used).collect();
        let middle = uses.len() / 2;
        let (_, median, _) = uses.select_nth_unstable(middle);
        let median = *median;
        self.clients.retain(|_, (used, _)| *used >= median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_bounded_and_the_silent_are_forgotten_first() {
        let ledger = Ledger::default();
        for n in 0..3 * CLIENTS_MAX as u64 {
            ledger.enter(ClientId(1), |tally| tally.writes += 1);
            ledger.enter(ClientId(10 + n), |tally| tally.count(&Err(OpError::OverCapacity), 5));
            assert!(ledger.accounts().clients.len() <= CLIENTS_MAX);
        }
        assert_eq!(ledger.of(ClientId(1)).writes, 3 * CLIENTS_MAX as u64, "who is active is never forgotten");
        assert_eq!(ledger.of(ClientId(10)), Tally::default(), "who was silent is");
        let latest = ledger.latest(2);
        assert_eq!(latest[0].0, ClientId(9 + 3 * CLIENTS_MAX as u64));
        assert_eq!((latest[0].1.over_capacity, latest[0].1.bytes), (1, 0));
        assert_eq!(latest[1].0, ClientId(1));
    }
}
