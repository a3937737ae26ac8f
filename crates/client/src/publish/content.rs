//! What some bytes are: their SHA-256 and their length. Computed while they pass; they are never held.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::hex::Hex;
use crate::key::Key;
use crate::signing::first_of;

/// Read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// What some bytes are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Content {
    /// Their hash.
    pub sha256: Hex<32>,
    /// Their number.
    pub bytes: u64,
}

impl Content {
    /// What these bytes are.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Content {
        let mut hashing = Hashing::default();
        hashing.update(bytes);
        hashing.content()
    }

    /// What all of `source` is; `tell` hears how many bytes have been read.
    ///
    /// # Errors
    /// Those of reading.
    pub fn read(mut source: impl Read, mut tell: impl FnMut(u64)) -> io::Result<Content> {
        let mut hashing = Hashing::default();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = match source.read(&mut chunk) {
                Ok(0) => return Ok(hashing.content()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            hashing.update(&chunk[..count]);
            tell(hashing.bytes());
        }
    }

    /// Where their pointers lie: the first 160 bits of their SHA-256, the key that they would have as an immutable value
    /// ([`Key::content`]).
    #[must_use]
    pub fn key(&self) -> Key {
        first_of(&self.sha256.0)
    }
}

/// Bytes that are hashed as they come.
#[derive(Clone, Debug, Default)]
pub struct Hashing {
    hash: Sha256,
    bytes: u64,
}

impl Hashing {
    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// How many have come.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What all that have come are.
    #[must_use]
    pub fn content(&self) -> Content {
        Content { sha256: Hex(self.hash.clone().finalize().into()), bytes: self.bytes }
    }
}
