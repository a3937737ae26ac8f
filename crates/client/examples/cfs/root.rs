//! A name for a file that changes: the key of its inode, in a series that only its signer can write.
//!
//! Blocks never change, so a changed file is another file. What its readers keep is a name and a signer, as in CFS and SFSRO: the
//! signed root says which inode is the latest.

use std::time::Duration;

use bytes::Bytes;
use keyway_client::{
    Authenticator, Claim, Client, GetOptions, Hex, KEY_BYTES, Key, Kind, Signer, Value, expires_in,
};

use super::program::Failure;

/// Its place in the network.
fn place(name: &str) -> Key {
    Key::text(&format!("keyway cfs 1/{name}"))
}

/// Which of a signer's series under that key.
fn series() -> keyway_client::Nonce {
    Hex::series("cfs root")
}

async fn latest(client: &Client, owner: &Authenticator, name: &str) -> Result<Option<Value>, Failure> {
    let options = GetOptions { signer: Some(*owner), ..GetOptions::default() };
    let page = client.get(&place(name), &options).await?;
    let of_series = |value: &Value| {
        let nonce = value.proof.as_ref().map(|proof| proof.nonce);
        value.kind == Kind::Sequenced && value.signer == Some(*owner) && nonce == Some(series())
    };
    Ok(page.values.into_iter().filter(of_series).max_by_key(|value| value.seq))
}

/// Says that `name` is the file with this inode from now on; gives the number of this version.
pub(crate) async fn publish(
    client: &Client,
    signer: &Signer,
    name: &str,
    inode: &Key,
    ttl: Duration,
) -> Result<u64, Failure> {
    let before = latest(client, &signer.authenticator(), name).await?;
    let seq = before.as_ref().and_then(|value| value.seq).unwrap_or(0);
    // The next of a series may not end before the one before it.
    let ends = before.and_then(|value| value.proof).map_or(0, |proof| proof.expires_unix_seconds);
    let bytes = Bytes::copy_from_slice(&inode.0);
    let claim = Claim::next(place(name), bytes, series(), seq + 1, expires_in(ttl).max(ends));
    // Guarded, so that of two who publish at once one is told.
    client.put_signed(&claim, signer, Some(seq)).await?;
    Ok(seq + 1)
}

/// The inode that `owner` says `name` is.
pub(crate) async fn resolve(client: &Client, owner: &Authenticator, name: &str) -> Result<Key, Failure> {
    let nothing = || Failure::not_found(format!("{owner} has published nothing as {name:?}"));
    let value = latest(client, owner, name).await?.ok_or_else(nothing)?;
    let key: [u8; KEY_BYTES] = value.bytes[..]
        .try_into()
        .map_err(|_| Failure::invalid(format!("what {owner} published as {name:?} is no key")))?;
    Ok(Key(key))
}
