//! A pointer in the network: put, renewed while its publisher serves, removed when it ends.

use std::time::Duration;

use crate::client::{Client, expires_in};
use crate::failure::ClientError;
use crate::hex::{Authenticator, Hex, Nonce};
use crate::key::Key;
use crate::signing::{Claim, Signer};

use super::pointer::Pointer;

/// Shortest life of a pointer: a renewal, repetitions included, must fit into half of it.
const TTL_MIN: Duration = Duration::from_secs(2);

/// A pointer, the keys under which it is put, and who signs it.
///
/// Each announcement has a nonce of its own, so one that was removed does not hide the next, and two publishers with one signer
/// do not replace each other.
#[derive(Debug)]
pub struct Announcement {
    client: Client,
    signer: Signer,
    pointer: Pointer,
    keys: Vec<Key>,
    nonce: Nonce,
    ttl: Duration,
    /// The latest end that was ever asked for, acknowledged or not.
    expires_unix_seconds: u64,
}

impl Announcement {
    /// Of a pointer under the key of its content, and under that of each name. Nothing is put yet.
    ///
    /// # Errors
    /// [`ClientError::Usage`] when `ttl` is too short, or when the system gives no randomness.
    pub fn new(
        client: Client,
        signer: Signer,
        pointer: Pointer,
        names: &[String],
        ttl: Duration,
    ) -> Result<Announcement, ClientError> {
        if ttl < TTL_MIN {
            return Err(ClientError::Usage(format!("a pointer lives at least {} s", TTL_MIN.as_secs())));
        }
        let mut keys = vec![pointer.content.key()];
        keys.extend(names.iter().map(|name| Key::text(name)));
        let nonce = Nonce::random()?;
        Ok(Announcement { client, signer, pointer, keys, nonce, ttl, expires_unix_seconds: 0 })
    }

    /// Puts the pointer under all its keys, or renews it, for its whole life from now; gives when that ends. To be called
    /// again at half of it ([`Announcement::renew_after`]).
    ///
    /// # Errors
    /// As [`Client::put_signed`], of the first key for which it failed. Calling again is harmless.
    pub async fn put(&mut self) -> Result<u64, ClientError> {
        let expires = expires_in(self.ttl);
        // Before it is asked for: what is not answered may be stored, and a removal must outlive it.
        self.expires_unix_seconds = self.expires_unix_seconds.max(expires);
        for key in &self.keys {
            let claim = Claim::value(*key, self.pointer.to_bytes(), self.nonce, expires);
            self.client.put_signed(&claim, &self.signer, None).await?;
        }
        Ok(expires)
    }

    /// Removes the pointer from under all its keys. One that was never put, or whose life is over, is none.
    ///
    /// # Errors
    /// As [`Client::remove_signed`], of the last key for which it failed; all are tried.
    pub async fn remove(&self) -> Result<(), ClientError> {
        if self.expires_unix_seconds <= expires_in(Duration::ZERO) {
            return Ok(());
        }
        let hash = Hex::sha256(&self.pointer.to_bytes());
        let mut outcome = Ok(());
        for key in &self.keys {
            let claim = Claim::removal(*key, hash, self.nonce, self.expires_unix_seconds);
            match self.client.remove_signed(&claim, &self.signer, None).await {
                Ok(_) => {}
                // A put that never came; should it come yet, the removal stands.
                Err(ClientError::Refused { code, .. }) if code == "nothing_removed" => {}
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }

    /// Half of a life.
    #[must_use]
    pub fn renew_after(&self) -> Duration {
        self.ttl / 2
    }

    /// When to try again after a renewal failed: several times before the pointer ends.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        self.ttl / 10
    }

    /// Until when the pointer may be found, whatever becomes of its publisher: seconds since 1970.
    #[must_use]
    pub fn expires_unix_seconds(&self) -> u64 {
        self.expires_unix_seconds
    }

    /// The pointer.
    #[must_use]
    pub fn pointer(&self) -> &Pointer {
        &self.pointer
    }

    /// Who signs it.
    #[must_use]
    pub fn signer(&self) -> Authenticator {
        self.signer.authenticator()
    }
}
