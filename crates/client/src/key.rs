//! Keys: 160 bits, from a text or from hex.
//!
//! A text key is the SHA-1 of its bytes, in every interface alike, so that this library, the command line and an
//! XML-RPC program speak of one key. SHA-1 only places names; nothing rests on its collision resistance.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha1::{Digest, Sha1};

use crate::failure::ClientError;
use crate::hex::Hex;
use crate::signing::first_of;

/// Length of a key in bytes.
pub const KEY_BYTES: usize = 20;

/// A place in the network, and the form of a value's hash: 160 bits, written as 40 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u8; KEY_BYTES]);

impl Key {
    /// The key that a text names: its SHA-1.
    #[must_use]
    pub fn text(text: &str) -> Key {
        Key::hash(text.as_bytes())
    }

    /// SHA-1 of `bytes`: also the hash under which a plain value is known.
    #[must_use]
    pub fn hash(bytes: &[u8]) -> Key {
        Key(Sha1::digest(bytes).into())
    }

    /// The key of an immutable value: the first 160 bits of its SHA-256.
    #[must_use]
    pub fn content(value: &[u8]) -> Key {
        first_of(&Hex::sha256(value).0)
    }

    /// The key with these 40 hex digits, in either case.
    ///
    /// # Errors
    /// [`ClientError::Usage`] when `digits` is anything else.
    pub fn hex(digits: &str) -> Result<Key, ClientError> {
        let wrong =
            || ClientError::Usage(format!("a raw key is 40 hex digits; this has {}", describe(digits)));
        if digits.len() != 2 * KEY_BYTES {
            return Err(wrong());
        }
        let mut key = [0; KEY_BYTES];
        for (byte, pair) in key.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let nibble = |c: u8| char::from(c).to_digit(16);
            let (Some(high), Some(low)) = (nibble(pair[0]), nibble(pair[1])) else { return Err(wrong()) };
            *byte = (high * 16 + low) as u8;
        }
        Ok(Key(key))
    }
}

fn describe(digits: &str) -> String {
    match digits.chars().find(|c| !c.is_ascii_hexdigit()) {
        Some(c) => format!("{c:?} in it"),
        None => format!("{} digits", digits.len()),
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Key {
    type Err = ClientError;
    fn from_str(digits: &str) -> Result<Key, ClientError> {
        Key::hex(digits)
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Key, D::Error> {
        let digits = String::deserialize(from)?;
        Key::hex(&digits).map_err(serde::de::Error::custom)
    }
}
