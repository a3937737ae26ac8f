//! The pointers under a key: who says to serve what is sought.
//!
//! Anybody may put anything under any key. What is no pointer is passed over; a pointer that names other content than the key
//! stands for is rejected; signatures were checked by [`Client::get`]. That a publisher has what it says is seen when the
//! bytes have come, and not before.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use super::content::Content;
use super::pointer::{Pointer, What};
use crate::answer::{GetOptions, Kind, Value};
use crate::client::Client;
use crate::failure::ClientError;
use crate::hex::{Authenticator, Hex};
use crate::key::Key;
use crate::signing::first_of;

/// Values of a key that are looked through. Who puts more than this before others hides them: a signer filter shows them.
const VALUES_MAX: usize = 512;

/// What is sought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sought {
    /// Content with these first 160 bits of its SHA-256.
    Key(Key),
    /// Content with this SHA-256.
    Sha256(Hex<32>),
    /// What signers mean by a name.
    Name(String),
}

impl Sought {
    /// Where its pointers lie.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Sought::Key(key) => *key,
            Sought::Sha256(hash) => first_of(&hash.0),
            Sought::Name(name) => Key::text(name),
        }
    }

    fn admits(&self, content: &Content) -> bool {
        match self {
            Sought::Key(key) => content.key() == *key,
            Sought::Sha256(hash) => content.sha256 == *hash,
            Sought::Name(_) => true,
        }
    }
}

/// Somebody who says to serve it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publisher {
    /// Who signed the pointer.
    pub signer: Authenticator,
    /// What it says.
    pub pointer: Pointer,
    /// Until when: seconds since 1970.
    pub expires_unix_seconds: u64,
    /// Whether more than two fifths of the pointer's life are left. Publishers renew at half, so one that is not fresh is late,
    /// or gone.
    pub fresh: bool,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Who says to serve what is sought; the fresh ones first, in an order of chance otherwise.
    pub publishers: Vec<Publisher>,
    /// Why pointers were left out, once for each.
    pub rejected: Vec<String>,
    /// Whether there are more values than were looked through.
    pub more: bool,
}

impl Found {
    /// The different contents with those who serve them, in the order of the first publisher of each. Bytes that some call a
    /// folder and others a file are tried as a folder first: as one they can be seen to be none. Nobody else's place is changed by that.
    #[must_use]
    pub fn contents(&self) -> Vec<(What, Content, Vec<Publisher>)> {
        let mut contents: Vec<(What, Content, Vec<Publisher>)> = Vec::new();
        for publisher in &self.publishers {
            let of = (publisher.pointer.what, publisher.pointer.content);
            match contents.iter_mut().find(|(what, content, _)| (*what, *content) == of) {
                Some((.., publishers)) => publishers.push(publisher.clone()),
                None => contents.push((of.0, of.1, vec![publisher.clone()])),
            }
        }
        for at in 0..contents.len() {
            let (what, content) = (contents[at].0, contents[at].1);
            let folder =
                contents[at..].iter().position(|(other, same, _)| *other == What::Tree && *same == content);
            if let Some(behind) = folder.filter(|_| what != What::Tree) {
                contents.swap(at, at + behind);
            }
        }
        contents
    }
}

/// Looks for publishers, by a quorum read; with `signer` only for those of that one.
///
/// # Errors
/// As [`Client::get`]. Nobody there is not an error.
pub async fn find(
    client: &Client,
    sought: &Sought,
    signer: Option<Authenticator>,
) -> Result<Found, ClientError> {
    let key = sought.key();
    let mut options = GetOptions { signer, ..GetOptions::default() };
    let mut found = Found::default();
    let mut seen = 0;
    loop {
        let page = client.get(&key, &options).await?;
        let nothing = page.values.is_empty();
        for value in page.values.iter().take(VALUES_MAX - seen) {
            found.take(value, sought, signer.as_ref());
        }
        seen += page.values.len();
        found.more = page.next.is_some() && !nothing;
        match page.next {
            Some(next) if !nothing && seen < VALUES_MAX => options.after = Some(next),
            _ => break,
        }
    }
    if matches!(sought, Sought::Name(_)) {
        found.forget_superseded();
    }
    shuffle(&mut found.publishers)?;
    found.publishers.sort_by_key(|publisher| !publisher.fresh);
    Ok(found)
}

impl Found {
    /// Of what one signer has said under a name the latest counts: what it published before a crash is not what it means now.
    pub(super) fn forget_superseded(&mut self) {
        let mut latest: BTreeMap<Authenticator, (u64, Content)> = BTreeMap::new();
        for publisher in &self.publishers {
            let said = (publisher.pointer.since_unix_seconds, publisher.pointer.content);
            let last = latest.entry(publisher.signer).or_insert(said);
            *last = said.max(*last);
        }
        self.publishers.retain(|publisher| {
            latest.get(&publisher.signer).is_some_and(|(_, content)| *content == publisher.pointer.content)
        });
    }

    pub(super) fn take(&mut self, value: &Value, sought: &Sought, wanted: Option<&Authenticator>) {
        let (Kind::Signed, Some(signer), Some(proof)) = (value.kind, value.signer, &value.proof) else {
            return;
        };
        if wanted.is_some_and(|wanted| *wanted != signer) {
            return;
        }
        let pointer = match Pointer::parse(&value.bytes) {
            Ok(Some(pointer)) => pointer,
            Ok(None) => return,
            Err(error) => return self.rejected.push(error.to_string()),
        };
        if !sought.admits(&pointer.content) {
            return self.rejected.push(format!("a pointer to other content, signed by {signer}"));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if proof.expires_unix_seconds <= now {
            return self.rejected.push(format!("a pointer whose life is over, signed by {signer}"));
        }
        self.publishers.push(Publisher {
            signer,
            pointer,
            expires_unix_seconds: proof.expires_unix_seconds,
            fresh: value.remaining_seconds.saturating_mul(5) >= value.ttl_seconds.saturating_mul(2),
        });
    }
}

/// Puts publishers into an order that none of them can choose, so that the load is shared and a liar is not always first.
fn shuffle(publishers: &mut [Publisher]) -> Result<(), ClientError> {
    let mut seed = Hex::random()?;
    for at in (1..publishers.len()).rev() {
        seed = Hex::sha256(&seed.0);
        let drawn = seed.0.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        // Of at most VALUES_MAX: what the remainder favours is less than 2^-50.
        publishers.swap(at, (drawn % (at as u64 + 1)) as usize);
    }
    Ok(())
}
