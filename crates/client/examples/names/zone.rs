//! The writers' side: what a signer says of the names that are its own.
//!
//! ```text
//!   change     read the record and its number n ──▶ put number n + 1, only if it is still n ──▶ conflict? read again
//!   renew      the same record and number, signed for longer
//! ```
//!
//! Compare-and-swap keeps one writer's programs from undoing each other's changes: of two that read number n, one is told. It is no
//! lock: what a network that is cut in two does with two writers stands in docs/storage.md.

use std::time::Duration;

use keyway_client::{Authenticator, Claim, Client, ClientError, GetOptions, Kind, Signer, Value, expires_in};

use super::program::Failure;
use super::record::{Name, Record, series};

/// Times that a change is tried again after somebody else's.
const TRIES_MAX: u32 = 16;

/// A record as it stands in the network.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) record: Record,
    /// Its number in its series.
    pub(crate) seq: u64,
    pub(crate) expires_unix_seconds: u64,
    value: Value,
}

/// What `signer` says of a name at present, its signature checked.
pub(crate) async fn read(
    client: &Client,
    signer: &Authenticator,
    name: &Name,
) -> Result<Option<Standing>, Failure> {
    let options = GetOptions { signer: Some(*signer), ..GetOptions::default() };
    let page = client.get(&name.key(), &options).await?;
    // The library has checked the signatures; that they are this signer's, and of this series, is for us to check.
    let of_series = |value: &Value| {
        let nonce = value.proof.as_ref().map(|proof| proof.nonce);
        value.kind == Kind::Sequenced && value.signer == Some(*signer) && nonce == Some(series())
    };
    let Some(value) = page.values.into_iter().filter(of_series).max_by_key(|value| value.seq) else {
        return Ok(None);
    };
    let record = Record::decode(&value.bytes)?;
    let seq = value.seq.unwrap_or(0);
    let expires_unix_seconds = value.proof.as_ref().map_or(0, |proof| proof.expires_unix_seconds);
    Ok(Some(Standing { record, seq, expires_unix_seconds, value }))
}

/// One who signs for names.
pub(crate) struct Zone {
    pub(crate) client: Client,
    pub(crate) signer: Signer,
    /// For how long its records live.
    pub(crate) ttl: Duration,
}

impl Zone {
    async fn standing(&self, name: &Name) -> Result<Option<Standing>, Failure> {
        read(&self.client, &self.signer.authenticator(), name).await
    }

    /// Changes what is said of a name: `change` is given the record that stands, and gives the next. It is asked again when
    /// somebody else was faster. Gives the number of the new record.
    pub(crate) async fn change(
        &self,
        name: &Name,
        mut change: impl FnMut(Option<&Record>) -> Result<Record, Failure>,
    ) -> Result<u64, Failure> {
        // After a removal there is nothing to read, but the series goes on: the refusal says at which number it is.
        let mut told = 0;
        for _ in 0..TRIES_MAX {
            let before = self.standing(name).await?;
            let seq = before.as_ref().map_or(told, |standing| standing.seq);
            let record = change(before.as_ref().map(|standing| &standing.record))?;
            // The next of a series may not end before the one before it.
            let ends = before.map_or(0, |standing| standing.expires_unix_seconds);
            let ends = expires_in(self.ttl).max(ends);
            let claim = Claim::next(name.key(), record.encode()?, series(), seq + 1, ends);
            match self.client.put_signed(&claim, &self.signer, Some(seq)).await {
                Ok(_) => return Ok(seq + 1),
                Err(ClientError::Refused { code, seq: Some(now), .. }) if code == "conflict" => told = now,
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::new(7, format!("{name} was changed by others {TRIES_MAX} times while we tried"))
            .hint("do several programs fight over it?"))
    }

    /// Says where a name is, whatever was said before; only if the record before has this number, if one is given.
    pub(crate) async fn set(
        &self,
        name: &Name,
        addresses: &[String],
        expected: Option<u64>,
    ) -> Result<u64, Failure> {
        let Some(seq) = expected else {
            return self.change(name, |_| Ok(Record::Addresses(addresses.to_vec()))).await;
        };
        let ends = self.standing(name).await?.map_or(0, |standing| standing.expires_unix_seconds);
        let record = Record::Addresses(addresses.to_vec()).encode()?;
        let claim = Claim::next(name.key(), record, series(), seq + 1, expires_in(self.ttl).max(ends));
        self.client.put_signed(&claim, &self.signer, Some(seq)).await?;
        Ok(seq + 1)
    }

    /// One more address.
    pub(crate) async fn add(&self, name: &Name, address: &str) -> Result<u64, Failure> {
        let more = |before: Option<&Record>| {
            let mut list = match before {
                Some(Record::Addresses(list)) => list.clone(),
                Some(Record::Zone(other)) => {
                    return Err(Failure::usage(format!("{name} is delegated to {other}, who signs for it")));
                }
                None => Vec::new(),
            };
            if !list.iter().any(|known| known == address) {
                list.push(address.to_owned());
            }
            Ok(Record::Addresses(list))
        };
        self.change(name, more).await
    }

    /// Says who signs for a name and for everything below it from now on.
    pub(crate) async fn delegate(&self, name: &Name, to: Authenticator) -> Result<u64, Failure> {
        self.change(name, |_| Ok(Record::Zone(to))).await
    }

    /// Lets a record live for another ttl from now. Gives when it ends.
    pub(crate) async fn renew(&self, name: &Name) -> Result<u64, Failure> {
        let nothing =
            || Failure::not_found(format!("{} says nothing of {name}", self.signer.authenticator()));
        let standing = self.standing(name).await?.ok_or_else(nothing)?;
        let receipt =
            self.client.renew(&name.key(), &standing.value, Some(self.ttl), Some(&self.signer)).await?;
        Ok(receipt.expires_ms / 1000)
    }

    /// Takes back what was said of a name.
    pub(crate) async fn drop(&self, name: &Name) -> Result<(), Failure> {
        let nothing =
            || Failure::not_found(format!("{} says nothing of {name}", self.signer.authenticator()));
        let standing = self.standing(name).await?.ok_or_else(nothing)?;
        let ends = expires_in(self.ttl).max(standing.expires_unix_seconds);
        let claim = Claim::end(name.key(), series(), standing.seq + 1, ends);
        self.client.remove_signed(&claim, &self.signer, Some(standing.seq)).await?;
        Ok(())
    }
}
