//! What a name says, and which names there are.
//!
//! ```text
//!   name     labels, the most general last: a.b.c stands in b.c, which stands in c        1 to 63 of a-z 0-9 - each, 16 at most
//!   key      SHA-1( "keyway names 1/" | name )
//!   record   {"addresses": [...]}        who signs for the name says where it is
//!            {"zone": HEX}               ... or who signs for it, and for everything below it
//!   series   one for each signer and name: the record with the greatest number counts
//! ```
//!
//! The name is the key, and the key is signed: a record cannot be shown for another name.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use keyway_client::{Authenticator, Hex, Key, Nonce};
use serde::{Deserialize, Serialize};

use super::program::Failure;

/// Labels in a name: as many signed records are read to resolve it.
pub(crate) const LABELS_MAX: usize = 16;
/// Addresses of a name.
pub(crate) const ADDRESSES_MAX: usize = 16;
/// Longest address.
pub(crate) const ADDRESS_BYTES_MAX: usize = 255;
const LABEL_BYTES_MAX: usize = 63;

/// A name, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Name(String);

impl Name {
    /// Its place in the network.
    pub(crate) fn key(&self) -> Key {
        Key::text(&format!("keyway names 1/{self}"))
    }

    /// The names in which it stands and itself, the most general first: `c`, `b.c`, `a.b.c`.
    pub(crate) fn path(&self) -> Vec<Name> {
        let dots = self.0.match_indices('.').map(|(at, _)| at + 1);
        let mut path: Vec<Name> =
            [0].into_iter().chain(dots).map(|at| Name(self.0[at..].to_owned())).collect();
        path.reverse();
        path
    }
}

impl FromStr for Name {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Name, Failure> {
        let fits = |label: &str| {
            (1..=LABEL_BYTES_MAX).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if text.split('.').count() <= LABELS_MAX && text.split('.').all(fits) {
            return Ok(Name(text.to_owned()));
        }
        Err(Failure::usage(format!(
            "{text:?} is no name; a name is up to {LABELS_MAX} labels of a-z, 0-9 and -, such as printer.office"
        )))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a name's signer says of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Record {
    /// Where it is.
    Addresses(Vec<String>),
    /// Who signs for it, and for what is below it.
    Zone(Authenticator),
}

impl Record {
    /// As it is signed.
    pub(crate) fn encode(&self) -> Result<Bytes, Failure> {
        if let Record::Addresses(list) = self {
            check(list).map_err(Failure::usage)?;
        }
        let json = serde_json::to_vec(self).map_err(|why| Failure::usage(why.to_string()))?;
        Ok(json.into())
    }

    /// The record that these bytes are. What is signed may be wrong all the same.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Record, Failure> {
        let record =
            serde_json::from_slice(bytes).map_err(|why| Failure::invalid(format!("a record: {why}")))?;
        if let Record::Addresses(list) = &record {
            check(list).map_err(Failure::invalid)?;
        }
        Ok(record)
    }
}

fn check(addresses: &[String]) -> Result<(), String> {
    let fits = |address: &String| {
        (1..=ADDRESS_BYTES_MAX).contains(&address.len()) && address.bytes().all(|b| b.is_ascii_graphic())
    };
    match (1..=ADDRESSES_MAX).contains(&addresses.len()) && addresses.iter().all(fits) {
        true => Ok(()),
        false => Err(format!(
            "a name has 1 to {ADDRESSES_MAX} addresses of printable characters without blanks, {ADDRESS_BYTES_MAX} bytes at most"
        )),
    }
}

/// Which of a signer's series under a name's key.
pub(crate) fn series() -> Nonce {
    Hex::series("keyway names")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_know_in_what_they_stand() {
        let name: Name = "a.b.c".parse().expect("a name");
        let path: Vec<String> = name.path().iter().map(Name::to_string).collect();
        assert_eq!(path, ["c", "b.c", "a.b.c"]);
        for text in
            ["", ".", "a.", ".a", "a..b", "A", "ä", "a b", "a/b", &"x".repeat(64), &["a"; 17].join(".")]
        {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
    }

    #[test]
    fn records_come_back_as_they_were_and_strange_ones_do_not() {
        let zone = Hex([7; 32]);
        for record in
            [Record::Addresses(vec!["192.0.2.7:80".into(), "host.example".into()]), Record::Zone(zone)]
        {
            assert_eq!(Record::decode(&record.encode().expect("a record")).expect("a record"), record);
        }
        assert!(Record::Addresses(Vec::new()).encode().is_err());
        assert!(Record::Addresses(vec!["two words".into()]).encode().is_err());
        for text in ["", "{}", r#"{"addresses":[]}"#, r#"{"zone":"07"}"#, r#"{"addresses":["a"],"zone":"b"}"#]
        {
            assert!(Record::decode(text.as_bytes()).is_err(), "{text}");
        }
    }
}
