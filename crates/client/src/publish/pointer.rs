//! What a publisher signs: which content it has, and where it serves it.
//!
//! A pointer is the JSON value of a signed record. Who signed it and until when it holds stand in the record's proof, so the
//! text itself never changes while it is renewed.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::address::Address;
use super::content::Content;
use super::manifest::MANIFEST_BYTES_MAX;
use crate::failure::ClientError;

/// Longest pointer that is read.
pub const POINTER_BYTES_MAX: usize = 4 << 10;
/// Addresses of one publisher.
pub const ADDRESSES_MAX: usize = 8;
/// Longest name of a file, as file systems have it.
pub const NAME_BYTES_MAX: usize = 255;
/// What tells a pointer from other JSON.
const MARK: &str = "pointer";
/// The version of the text. Fields may be added under one version, never changed or removed.
const VERSION: u32 = 1;

/// What the content is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Bytes.
    File,
    /// The manifest of a folder, whose files its publishers serve as well.
    Tree,
}

/// Where some content is served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pointer {
    /// What it is.
    pub what: What,
    /// Which.
    pub content: Content,
    /// What its publisher calls it; nobody vouches for that. Always a plain name ([`is_plain_name`]).
    pub name: Option<String>,
    /// When its publisher began to serve it: seconds since 1970. Of what one signer says under one name, the latest counts.
    pub since_unix_seconds: u64,
    /// Where: 1 to [`ADDRESSES_MAX`].
    pub addresses: Vec<Address>,
}

/// The same as JSON.
#[derive(Serialize, Deserialize)]
struct Text {
    keyway: String,
    version: u32,
    what: What,
    #[serde(flatten)]
    content: Content,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    since_unix_seconds: u64,
    urls: Vec<Address>,
}

/// What all versions have.
#[derive(Deserialize)]
struct Head {
    keyway: String,
    version: u32,
}

impl Pointer {
    /// A pointer that begins now. A name that is not plain is left out.
    ///
    /// # Errors
    /// [`ClientError::Usage`] when there are no addresses, or too many.
    pub fn new(
        what: What,
        content: Content,
        name: Option<&str>,
        addresses: Vec<Address>,
    ) -> Result<Pointer, ClientError> {
        let count = addresses.len();
        if !(1..=ADDRESSES_MAX).contains(&count) {
            let message = format!("a publisher has 1 to {ADDRESSES_MAX} addresses, not {count}");
            return Err(ClientError::Usage(message));
        }
        let name = name.filter(|name| is_plain_name(name)).map(str::to_owned);
        let since_unix_seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Ok(Pointer { what, content, name, since_unix_seconds, addresses })
    }

    /// The text that is signed.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let text = Text {
            keyway: MARK.to_owned(),
            version: VERSION,
            what: self.what,
            content: self.content,
            name: self.name.clone(),
            since_unix_seconds: self.since_unix_seconds,
            urls: self.addresses.clone(),
        };
        serde_json::to_vec(&text).expect("texts, numbers and lists of them are always JSON").into()
    }

    /// From the value of a record; `None` if that is something else.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] when it says that it is a pointer and cannot be used as one.
    pub fn parse(value: &[u8]) -> Result<Option<Pointer>, ClientError> {
        let Ok(head) = serde_json::from_slice::<Head>(value) else { return Ok(None) };
        if head.keyway != MARK {
            return Ok(None);
        }
        let invalid = |why: String| ClientError::Invalid(format!("a pointer that cannot be used: {why}"));
        if value.len() > POINTER_BYTES_MAX {
            return Err(invalid(format!("it is longer than {POINTER_BYTES_MAX} bytes")));
        }
        if head.version != VERSION {
            return Err(invalid(format!("its version is {}, known is {VERSION}", head.version)));
        }
        let text: Text = serde_json::from_slice(value).map_err(|why| invalid(why.to_string()))?;
        if !(1..=ADDRESSES_MAX).contains(&text.urls.len()) {
            return Err(invalid(format!("it has {} addresses", text.urls.len())));
        }
        if text.what == What::Tree && text.content.bytes > MANIFEST_BYTES_MAX {
            return Err(invalid(format!("it calls {} bytes the list of a folder", text.content.bytes)));
        }
        if text.name.as_deref().is_some_and(|name| !is_plain_name(name)) {
            return Err(invalid("its name is not the plain name of a file".into()));
        }
        Ok(Some(Pointer {
            what: text.what,
            content: text.content,
            name: text.name,
            since_unix_seconds: text.since_unix_seconds,
            addresses: text.urls,
        }))
    }
}

/// Whether a text can be the name of a file beside others without surprise: one component, not hidden, nothing that a terminal
/// obeys or that changes the direction of reading.
#[must_use]
pub fn is_plain_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && !name.starts_with('.')
        && !name.chars().any(|c| {
            c.is_control() || matches!(c, '/' | '\\' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        })
}
