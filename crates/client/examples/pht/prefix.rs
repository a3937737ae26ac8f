//! The trie's geometry: prefixes of 64-bit keys, and what is stored at a node.
//!
//! ```text
//!   node    key SHA-1( "keyway pht 1:" | name length (16) | name | prefix length (8) | prefix (64), rest zero )
//!   values  "e" | key (64) | nonce (64) | payload        an entry
//!           "s"                                          the node is being split, or was
//!           "d"                                          it was: what is below it counts, not what is in it
//! ```
//!
//! Each value is put under the hash of a secret of its own, which follows from the index's secret, the node and the value. So only
//! who knows the index's secret can put what counts, or remove it: what others put has another hash, and is skipped.

use bytes::Bytes;
use keyway_client::{ClientError, Hex, KEY_BYTES, Key, Kind, Secret, Value};

/// Bits of a key: the deepest level.
pub(crate) const BITS: u32 = 64;
/// Longest payload.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 512;
/// Longest name of an index.
pub(crate) const NAME_BYTES_MAX: usize = 255;

const DOMAIN: &[u8] = b"keyway pht 1:";
/// The node is being split, or was.
pub(crate) const BEGUN: &[u8] = b"s";
/// The node was split.
pub(crate) const DONE: &[u8] = b"d";

/// A node of the trie: the first bits of the keys below it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Prefix {
    bits: u64,
    length: u32,
}

impl Prefix {
    /// The first `length` bits of a key.
    pub(crate) fn of(key: u64, length: u32) -> Prefix {
        let mask = u64::MAX.checked_shl(BITS - length).unwrap_or(0);
        Prefix { bits: key & mask, length }
    }

    pub(crate) fn length(self) -> u32 {
        self.length
    }

    /// The least and the greatest key below it.
    pub(crate) fn bounds(self) -> (u64, u64) {
        (self.bits, self.bits | u64::MAX.checked_shr(self.length).unwrap_or(0))
    }

    /// The prefix of a bit less; none of the root.
    pub(crate) fn parent(self) -> Option<Prefix> {
        self.length.checked_sub(1).map(|length| Prefix::of(self.bits, length))
    }

    /// Its two halves; a prefix of all bits has none.
    pub(crate) fn children(self) -> Option<[Prefix; 2]> {
        let (low, high) = self.bounds();
        (self.length < BITS).then(|| [low, high].map(|key| Prefix::of(key, self.length + 1)))
    }

    /// Its half that holds a key of it.
    pub(crate) fn child(self, key: u64) -> Prefix {
        Prefix::of(key, (self.length + 1).min(BITS))
    }
}

/// How many first bits two keys have in common.
pub(crate) fn common(one: u64, other: u64) -> u32 {
    (one ^ other).leading_zeros()
}

/// One entry of the index. The nonce makes an entry that is inserted again another one: what was removed stays away.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Entry {
    pub(crate) key: u64,
    pub(crate) payload: Bytes,
    pub(crate) nonce: u64,
}

impl Entry {
    pub(crate) fn encode(&self) -> Bytes {
        [&b"e"[..], &self.key.to_be_bytes(), &self.nonce.to_be_bytes(), &self.payload].concat().into()
    }

    fn decode(bytes: &Bytes) -> Option<Entry> {
        let (key, rest) = bytes.strip_prefix(b"e")?.split_first_chunk()?;
        let (nonce, payload) = rest.split_first_chunk()?;
        let (key, nonce) = (u64::from_be_bytes(*key), u64::from_be_bytes(*nonce));
        Some(Entry { key, nonce, payload: Bytes::copy_from_slice(payload) })
    }
}

/// What a node holds that counts.
#[derive(Clone, Default, Debug)]
pub(crate) struct Node {
    /// What is left of the life of the mark that says that it is being split, in seconds.
    pub(crate) begun: Option<u64>,
    /// The same of the mark that says that it was split.
    pub(crate) done: Option<u64>,
    /// The entries, and what is left of their lives in seconds.
    pub(crate) entries: Vec<(Entry, u64)>,
}

impl Node {
    /// Whether entries belong below it.
    pub(crate) fn is_split(&self) -> bool {
        self.begun.is_some() || self.done.is_some()
    }
}

/// An index's name and secret: where its nodes are, and what counts in them.
#[derive(Clone)]
pub(crate) struct Place {
    name: Box<str>,
    seed: Hex<32>,
}

impl Place {
    /// An index of this name. Whoever knows the secret can change it; without one, whoever knows the name.
    pub(crate) fn new(name: &str, secret: &str) -> Place {
        let seed = Hex::sha256(format!("keyway pht secret 1:{}:{name}{secret}", name.len()).as_bytes());
        Place { name: name.into(), seed }
    }

    pub(crate) fn key(&self, node: Prefix) -> Key {
        let length = (self.name.len() as u16).to_be_bytes();
        let bits = node.bits.to_be_bytes();
        Key::hash(&[DOMAIN, &length, self.name.as_bytes(), &[node.length as u8], &bits].concat())
    }

    /// The secret under which a value stands in a node.
    pub(crate) fn secret(&self, node: Prefix, value: &[u8]) -> Result<Secret, ClientError> {
        let hash = Hex::sha256(&[&self.seed.0, &self.key(node).0[..], value].concat());
        Secret::new(hash.0[..KEY_BYTES].to_vec())
    }

    /// What counts among the values under a node's key.
    pub(crate) fn read(&self, node: Prefix, values: &[Value]) -> Node {
        let mut read = Node::default();
        let ours = |value: &&Value| {
            let hash = self.secret(node, &value.bytes).map(|secret| secret.hash()).ok();
            value.kind == Kind::Put && value.secret_hash.is_some() && value.secret_hash == hash
        };
        for value in values.iter().filter(ours) {
            if value.bytes == BEGUN {
                read.begun = Some(value.remaining_seconds);
            } else if value.bytes == DONE {
                read.done = Some(value.remaining_seconds);
            } else if let Some(entry) = Entry::decode(&value.bytes) {
                read.entries.push((entry, value.remaining_seconds));
            }
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Prefix = Prefix { bits: 0, length: 0 };

    #[test]
    fn prefixes_halve_the_keys() {
        assert_eq!(ROOT.bounds(), (0, u64::MAX));
        let [low, high] = ROOT.children().expect("two halves");
        assert_eq!((low.bounds(), high.bounds()), ((0, u64::MAX >> 1), (1 << 63, u64::MAX)));
        assert_eq!(ROOT.child(u64::MAX), high);
        assert_eq!((high.parent(), ROOT.parent()), (Some(ROOT), None));
        let one = Prefix::of(7, BITS);
        assert_eq!((one.bounds(), one.children()), ((7, 7), None));
        assert_eq!(
            Prefix::of(7, 63).children().map(|halves| halves.map(Prefix::bounds)),
            Some([(6, 6), (7, 7)])
        );
        assert_eq!((common(0, u64::MAX), common(6, 7), common(7, 7)), (0, 63, 64));
    }

    #[test]
    fn every_value_has_a_secret_of_its_own() {
        let (mine, other) = (Place::new("index", "secret"), Place::new("index", "guess"));
        let hash = |place: &Place, node, value: &[u8]| place.secret(node, value).expect("20 bytes").hash();
        let child = ROOT.child(0);
        assert_ne!(mine.key(ROOT), mine.key(child));
        assert_ne!(hash(&mine, ROOT, b"d"), hash(&mine, child, b"d"));
        assert_ne!(hash(&mine, ROOT, b"d"), hash(&mine, ROOT, b"s"));
        assert_ne!(hash(&mine, ROOT, b"d"), hash(&other, ROOT, b"d"));
        let entry = Entry { key: 7, nonce: 8, payload: Bytes::from_static(b"seven") };
        assert_eq!(Entry::decode(&entry.encode()), Some(entry));
        assert_eq!(Entry::decode(&Bytes::from_static(b"e too short")), None);
    }
}
