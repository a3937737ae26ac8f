//! Who may do what, who is charged for it, and what each has done: the desk in front of every interface (`dht-chapter` 7.4.3).
//!
//! ```text
//!                      Authorization: Bearer kwt_NAME_..          no token
//!   request ──▶ enter ──────────┬───────────────────────────────────┬─────────────────
//!                     in the token file, not revoked,       from loopback: `open_loopback`
//!                     not expired: its scopes               else:          `open`
//!                               └──────────────┬────────────────────┘
//!                                              ▼
//!                         Bearer: scopes, quotas, the name under which it is charged
//!                                              │
//!        what the request needs (needs.rs) ◀───┴───▶ write: quotas, the operation, the ledger
//! ```
//!
//! Without settings whoever comes from this machine may do everything, and nobody else anything: what strangers may do, an
//! operator says. A token is shown in a header of HTTP, so Sun RPC, whose wire of 2005 has no place for one, knows only
//! addresses. The token file holds hashes, never tokens ([`TokenFile`]).
//!
//! Quotas are of one gateway and begin anew when it starts: they bound what a bearer may ask of it. How the disks are shared
//! is decided by the nodes, by the name under which a write is charged (docs/storage.md, "Fair storage").

mod ledger;
mod needs;
mod quota;
mod scope;
mod tokens;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use http::header::{self, HeaderMap};
use keyway_core::machine::{Op, OpDone, OpError, SignedPut};
use keyway_core::store::ClientId;
use keyway_core::store::record::HEAD_BYTES;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::node::{Desk, Node};

pub(crate) use ledger::{Ledger, Tally};
pub(crate) use needs::{Need, of_request};
pub use scope::{Scope, Scopes};
use tokens::{Held, LOOK_EVERY, Shelf};
pub use tokens::{Quotas, TOKENS_MAX, Token, TokenFile, TokenFileError};

/// Headers by which a proxy says that it passes on.
const PASSED_ON: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// Who may do what at a gateway.
#[derive(Clone, Debug)]
pub struct AccessConfig {
    /// What those may do who come from this machine and show no token. A proxy on this machine makes strangers of the world come
    /// from here.
    pub open_loopback: Scopes,
    /// What all others may do who show no token.
    pub open: Scopes,
    /// The file with the tokens that are admitted; read again when it changes.
    pub tokens: Option<PathBuf>,
    /// Whether what is signed is charged to its signer and not to the address from which it comes. Keys cost nothing: on a
    /// service for strangers addresses are scarcer.
    pub charge_signers: bool,
}

impl Default for AccessConfig {
    fn default() -> AccessConfig {
        AccessConfig { open_loopback: Scopes::ALL, open: Scopes::NONE, tokens: None, charge_signers: false }
    }
}

/// Why somebody may not do something.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Denied {
    /// It takes a token, and none was shown.
    #[error("without an access token nobody may {need} here")]
    NoToken {
        /// What would have been needed.
        need: Scope,
    },
    /// Nobody knows at this moment which tokens there are.
    #[error("the token file of this gateway cannot be read")]
    Unreadable,
    /// What was shown is no token of this gateway.
    #[error("the access token is not one of this gateway's")]
    Unknown,
    /// It was one.
    #[error("the access token {name} was revoked")]
    Revoked {
        /// Of whom.
        name: String,
    },
    /// Its time is over.
    #[error("the access token {name} has expired")]
    Expired {
        /// Of whom.
        name: String,
    },
    /// It is one, for other things.
    #[error("the access token {name} is not for {need}")]
    Scope {
        /// Of whom.
        name: String,
        /// What would have been needed.
        need: Scope,
    },
    /// Too much in too short a time.
    #[error("the access token {name} is for {allowed} {what} a second")]
    Rate {
        /// Of whom.
        name: String,
        /// Of what.
        what: &'static str,
        /// How much.
        allowed: u64,
        /// When it makes sense to ask again.
        retry_after_secs: u64,
    },
    /// Too much at once.
    #[error("the access token {name} may have {allowed} bytes stored by this gateway, and has {stored}")]
    Stored {
        /// Of whom.
        name: String,
        /// How much.
        allowed: u64,
        /// How much there is.
        stored: u64,
    },
}

/// Why a write was not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Declined {
    /// The gateway did not let it through.
    Access(Denied),
    /// The network did not do it.
    Node(OpError),
}

impl From<OpError> for Declined {
    fn from(why: OpError) -> Declined {
        Declined::Node(why)
    }
}

/// The desk in front of every interface. Clones share.
#[derive(Clone)]
pub(crate) struct Access(Arc<Desks>);

struct Desks {
    config: AccessConfig,
    shelf: Option<Shelf>,
    ledger: Ledger,
}

impl Access {
    pub(crate) fn new(config: AccessConfig) -> Access {
        let shelf = config.tokens.clone().map(Shelf::new);
        Access(Arc::new(Desks { config, shelf, ledger: Ledger::default() }))
    }

    /// Who asks: the bearer of the token in these headers, or whoever comes from `from`.
    ///
    /// A token that is not good is an error also where none is needed: whoever shows one means it.
    pub(crate) fn enter(&self, from: IpAddr, headers: &HeaderMap) -> Result<Bearer, Denied> {
        // Other schemes are for others: a proxy passes on what it has checked itself.
        let shown = headers.get(header::AUTHORIZATION).and_then(|shown| bearer(shown.as_bytes()));
        let Some(shown) = shown else {
            let who = self.address(from);
            let passed_on = PASSED_ON.iter().any(|name| headers.contains_key(*name));
            // Whoever it was passed on for is not on this machine.
            let scopes = if passed_on { who.scopes.and(self.0.config.open) } else { who.scopes };
            return Ok(Bearer { scopes, ..who });
        };
        let shown = std::str::from_utf8(shown).map_err(|_| Denied::Unknown)?;
        let held = self.0.shelf.as_ref().ok_or(Denied::Unknown)?.find(shown)?;
        good(&held.token)?;
        let client = ClientId::of_token(&held.token.name);
        Ok(Bearer { client, scopes: held.token.scopes, held: Some(held), access: self.clone() })
    }

    /// Somebody who may do nothing.
    pub(crate) fn nobody(&self) -> Bearer {
        Bearer { client: ClientId::NOBODY, scopes: Scopes::NONE, held: None, access: self.clone() }
    }

    /// Reads the token file again whenever it changes, until the gateway stops.
    pub(crate) async fn keep_reading(&self, mut stopping: watch::Receiver<bool>) {
        if self.0.shelf.is_none() {
            return;
        }
        let mut clock = interval(LOOK_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // A sender that is gone stops as well.
                _ = stopping.wait_for(|stop| *stop) => return,
                _ = clock.tick() => {}
            }
            let access = self.clone();
            // Files may be slow: on a thread of its own, so that no request waits for them.
            let looked = tokio::task::spawn_blocking(move || access.0.shelf.as_ref().map(Shelf::look));
            if let Err(error) = looked.await {
                tracing::error!(%error, "reading the token file ended: our own bug");
            }
        }
    }

    /// Whoever comes from an address and can show no token.
    pub(crate) fn address(&self, from: IpAddr) -> Bearer {
        let config = &self.0.config;
        let from = from.to_canonical();
        let scopes = if from.is_loopback() { config.open_loopback } else { config.open };
        Bearer { client: ClientId::of_address(from), scopes, held: None, access: self.clone() }
    }

    /// The names of the tokens that are known, by those under which their bearers are charged.
    pub(crate) fn token_names(&self) -> BTreeMap<ClientId, String> {
        self.0.shelf.as_ref().map(Shelf::names).unwrap_or_default()
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }
}

/// The token in an `Authorization` header of that scheme.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer";
    let (scheme, token) = value.trim_ascii().split_at_checked(SCHEME.len())?;
    let ours = scheme.eq_ignore_ascii_case(SCHEME) && token.first().is_none_or(u8::is_ascii_whitespace);
    ours.then(|| token.trim_ascii())
}

/// Whether a token was revoked or has ended.
fn good(token: &Token) -> Result<(), Denied> {
    let name = || token.name.clone();
    if token.revoked_ms.is_some() {
        return Err(Denied::Revoked { name: name() });
    }
    if token.expires_ms.is_some_and(|end| end <= now_ms()) {
        return Err(Denied::Expired { name: name() });
    }
    Ok(())
}

/// Somebody at the desk.
#[derive(Clone)]
pub(crate) struct Bearer {
    /// The name under which it is charged.
    pub(crate) client: ClientId,
    scopes: Scopes,
    held: Option<Arc<Held>>,
    access: Access,
}

impl Bearer {
    /// Whether it is for that, which is no matter for the ledger.
    pub(crate) fn is(&self, scope: Scope) -> bool {
        self.scopes.has(scope)
    }

    /// Whether it may do what takes `need`.
    pub(crate) fn may(&self, need: Scope) -> Result<(), Denied> {
        if self.scopes.has(need) {
            return Ok(());
        }
        self.access.0.ledger.enter(self.client, |tally| tally.denied += 1);
        Err(match &self.held {
            Some(held) => Denied::Scope { name: held.token.name.clone(), need },
            None => Denied::NoToken { need },
        })
    }

    /// Whether it may make a request that needs so much; takes it from what it may ask in a second.
    pub(crate) fn request(&self, need: Need) -> Result<(), Denied> {
        match need {
            Need::Nothing => return Ok(()),
            Need::Any if self.scopes != Scopes::NONE => {}
            Need::Any => self.may(Scope::Read)?,
            Need::Of(scope) => self.may(scope)?,
        }
        self.ask()
    }

    /// Whether its token is still admitted: for what has no end.
    pub(crate) fn is_still_good(&self) -> bool {
        let Some(held) = &self.held else { return true };
        let shelf = self.access.0.shelf.as_ref();
        shelf
            .and_then(|shelf| shelf.still(held))
            .is_some_and(|now| good(&now.token).is_ok() && now.token.scopes == self.scopes)
    }

    /// Takes one request from what it may ask in a second.
    fn ask(&self) -> Result<(), Denied> {
        self.ask_many(1)
    }

    /// The same for so many in one, as a whole: who has something left may overdraw, and pays before the next.
    pub(crate) fn ask_many(&self, count: u64) -> Result<(), Denied> {
        let Some(held) = &self.held else { return Ok(()) };
        let asked = held.spending.requests(&held.token, count, Instant::now());
        if asked.is_err() {
            self.access.0.ledger.enter(self.client, |tally| tally.denied += 1);
        }
        asked
    }

    /// Who is charged for what somebody has signed.
    pub(crate) fn charged_for(&self, put: &SignedPut) -> ClientId {
        if self.held.is_none() && self.access.0.config.charge_signers {
            ClientId::of_signer(&put.proof.public_key)
        } else {
            self.client
        }
    }

    /// Performs a write: within the quotas, and entered into the ledger.
    pub(crate) async fn write<N: Node>(&self, desk: &Desk<N>, op: Op) -> Result<OpDone, Declined> {
        let (client, bytes, end_ms) = price(&op, now_ms());
        let cost = bytes + HEAD_BYTES as u64;
        let ledger = &self.access.0.ledger;
        let spent = match &self.held {
            Some(held) => {
                // What nobody asks for need not be computed.
                let name = held.token.quotas.stored_bytes.and_then(|_| quota::name_of(&op));
                let wanted = quota::Wanted { bytes: cost, end_ms, name };
                let spent = held.spending.put(&held.token, wanted, now_ms(), Instant::now());
                Some(spent.map_err(|denied| {
                    ledger.enter(client, |tally| tally.denied += 1);
                    Declined::Access(denied)
                })?)
            }
            None => None,
        };
        let outcome = desk.op(op).await;
        ledger.enter(client, |tally| tally.count(&outcome, bytes));
        // What was refused for certain is not stored; what may have happened stays charged.
        if let (Err(why), Some(held), Some(spent)) = (&outcome, &self.held, spent)
            && changed_nothing(why)
        {
            held.spending.give_back(spent);
        }
        Ok(outcome?)
    }
}

/// Who is charged for an operation, how many bytes it stores beside its head, and until when at least.
fn price(op: &Op, now_ms: u64) -> (ClientId, u64, u64) {
    let end = |ttl: keyway_core::Duration| now_ms.saturating_add(ttl.as_micros() / 1000);
    match op {
        Op::Put { value, ttl, client, .. } | Op::PutImmutable { value, ttl, client } => {
            (*client, value.len() as u64, end(*ttl))
        }
        Op::PutSigned(put) => {
            (put.client, put.content.len() as u64, put.proof.expires_secs.saturating_mul(1000))
        }
        Op::Remove { client, ttl, .. } => (*client, 0, end(*ttl)),
        _ => (ClientId::NOBODY, 0, now_ms),
    }
}

/// Whether an operation that ended so is known to have stored nothing.
fn changed_nothing(why: &OpError) -> bool {
    use OpError::{BadTtl, Busy, Conflict, Expired, Forged, Halted, NotJoined, Outlived, TooLarge};
    // What lost to another number, or to a longer life, may be on a replica for a moment: it is not what is stored.
    let lost = matches!(why, Conflict { .. } | Outlived { .. } | Expired);
    lost || matches!(why, TooLarge { .. } | BadTtl { .. } | Busy | NotJoined | Halted(_) | Forged)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_this_machine_may_do_everything_and_nobody_else_anything() {
        let access = Access::new(AccessConfig::default());
        let of = |address: &str| access.address(address.parse().expect("an address"));
        for here in ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"] {
            assert!(Scope::ALL.iter().all(|scope| of(here).may(*scope).is_ok()), "{here}");
        }
        for there in ["10.0.0.1", "::", "0.0.0.0", "fe80::1", "::ffff:10.0.0.1", "2001:db8::1"] {
            assert!(Scope::ALL.iter().all(|scope| of(there).may(*scope).is_err()), "{there}");
        }
        let open = AccessConfig { open: Scopes::CLIENT, ..AccessConfig::default() };
        let stranger = Access::new(open).address([10, 0, 0, 1].into());
        assert!(stranger.may(Scope::Write).is_ok());
        assert_eq!(stranger.may(Scope::Admin), Err(Denied::NoToken { need: Scope::Admin }));
    }
}
