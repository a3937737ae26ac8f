//! The rows of the database file: what stands under a record's identity, and how damage is noticed.
//!
//! ```text
//!  table "heads":  identity 60  ->  | checksum 8 | layout 1 | record version 1 | kind 1 | put_time 8 | ttl 8 | origin 8 | seq 8 | client 8 | value len 4 | value, if here |
//!  table "values": identity 60  ->  | checksum 8 | value |                    only for values above INLINE_BYTES_MAX
//!  identity = key 20 | secret hash 20 | value hash 20;  layout 1: the value is here, 2: it is in "values"
//! ```
//!
//! Integers are big-endian. A checksum (SipHash-2-4 under a fixed key, 64 bits) covers the table's name, the identity
//! under which the row stands, and the rest of the row: a row that was flipped, cut, or written to the wrong place is
//! noticed, and its record is then reported as damaged, never served. It is no protection against an owner of the file.

use core::hash::Hasher as _;

use keyway_core::store::{Head, Identity, Record};
use keyway_core::wire;
use siphasher::sip::SipHasher24;

/// Values up to this length stand in the row of their head; longer ones apart, so that start-up need not read them.
pub const INLINE_BYTES_MAX: usize = 1024;
/// Length of an identity as the key of a row.
pub const IDENTITY_BYTES: usize = 60;

/// A row's key.
pub type RowKey = [u8; IDENTITY_BYTES];

const CHECKSUM_BYTES: usize = 8;
const CHECKSUM_KEY: &[u8; 16] = b"keyway rows v1  ";
const LAYOUT_HERE: u8 = 1;
const LAYOUT_APART: u8 = 2;
/// A head's wire form without its identity, which is the row's key: version and kind stand before it, the rest after.
const HEAD_FRONT_BYTES: usize = 2;
const HEAD_REST_BYTES: usize = 44;
const FIXED_BYTES: usize = CHECKSUM_BYTES + 1 + HEAD_FRONT_BYTES + HEAD_REST_BYTES;

/// The row does not say what it should: flipped, cut, misplaced, or of an unknown layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damaged;

/// A table, as far as checksums care.
#[derive(Clone, Copy)]
enum Place {
    Heads,
    Values,
}

/// The key of a record's rows.
#[must_use]
pub fn row_key(identity: &Identity) -> RowKey {
    let mut key = [0; IDENTITY_BYTES];
    key[..20].copy_from_slice(identity.key.as_bytes());
    key[20..40].copy_from_slice(identity.secret_hash.as_bytes());
    key[40..].copy_from_slice(identity.value_hash.as_bytes());
    key
}

fn checksum(place: Place, key: &RowKey, rest: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut h = SipHasher24::new_with_key(CHECKSUM_KEY);
    h.write(match place {
        Place::Heads => b"heads ",
        Place::Values => b"values",
    });
    h.write(key);
    h.write(rest);
    h.finish().to_be_bytes()
}

fn checked<'a>(place: Place, key: &RowKey, row: &'a [u8]) -> Result<&'a [u8], Damaged> {
    let (sum, rest) = row.split_first_chunk::<CHECKSUM_BYTES>().ok_or(Damaged)?;
    if *sum == checksum(place, key, rest) { Ok(rest) } else { Err(Damaged) }
}

/// Replaces `row` by the row of `record` in "heads"; returns whether its value must stand in "values".
pub fn encode_head(record: &Record, key: &RowKey, row: &mut Vec<u8>) -> bool {
    let apart = record.value.len() > INLINE_BYTES_MAX;
    let head = wire::to_vec(&record.head);
    let (front, rest) = head.split_at(HEAD_FRONT_BYTES);
    row.clear();
    row.extend_from_slice(&[0; CHECKSUM_BYTES]);
    row.push(if apart { LAYOUT_APART } else { LAYOUT_HERE });
    row.extend_from_slice(front);
    row.extend_from_slice(&rest[IDENTITY_BYTES..]);
    if !apart {
        row.extend_from_slice(&record.value);
    }
    let sum = checksum(Place::Heads, key, &row[CHECKSUM_BYTES..]);
    row[..CHECKSUM_BYTES].copy_from_slice(&sum);
    apart
}

/// Replaces `row` by the row of a value in "values".
pub fn encode_value(value: &[u8], key: &RowKey, row: &mut Vec<u8>) {
    row.clear();
    row.extend_from_slice(&checksum(Place::Values, key, value));
    row.extend_from_slice(value);
}

/// Whether the row of a head, damaged or not, says that a value stands apart. Errs on the side of yes.
#[must_use]
pub fn may_be_apart(row: &[u8]) -> bool {
    row.get(CHECKSUM_BYTES) != Some(&LAYOUT_HERE)
}

/// The head in a row, and its value if it is here.
///
/// # Errors
/// [`Damaged`].
pub fn decode_head<'a>(key: &RowKey, row: &'a [u8]) -> Result<(Head, Option<&'a [u8]>), Damaged> {
    let rest = checked(Place::Heads, key, row)?;
    if row.len() < FIXED_BYTES {
        return Err(Damaged);
    }
    let (layout, rest) = rest.split_first().ok_or(Damaged)?;
    let (front, rest) = rest.split_at(HEAD_FRONT_BYTES);
    let (back, value) = rest.split_at(HEAD_REST_BYTES);
    let head: Head = wire::from_slice(&[front, key, back].concat()).map_err(|_| Damaged)?;
    match *layout {
        LAYOUT_HERE if value.len() == head.value_bytes as usize => Ok((head, Some(value))),
        LAYOUT_APART if value.is_empty() => Ok((head, None)),
        _ => Err(Damaged),
    }
}

/// The value in a row of "values" that belongs to `head`.
///
/// # Errors
/// [`Damaged`].
pub fn decode_value<'a>(head: &Head, key: &RowKey, row: &'a [u8]) -> Result<&'a [u8], Damaged> {
    let value = checked(Place::Values, key, row)?;
    if value.len() == head.value_bytes as usize { Ok(value) } else { Err(Damaged) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyway_core::id::Id;
    use keyway_core::time::{Duration, Wall};

    fn record(len: usize) -> Record {
        Record::plain(Id::of_text("k"), vec![7; len], Wall(9), Duration::from_secs(5), 3)
    }

    #[test]
    fn rows_come_back() {
        for len in [0, 1, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, 70_000] {
            let (record, mut row) = (record(len), Vec::new());
            let key = row_key(&record.head.identity);
            let apart = encode_head(&record, &key, &mut row);
            assert_eq!(apart, len > INLINE_BYTES_MAX);
            assert_eq!(may_be_apart(&row), apart);
            let (head, here) = decode_head(&key, &row).expect("just written");
            assert_eq!(head, record.head);
            assert_eq!(here, (!apart).then_some(&record.value[..]));
            encode_value(&record.value, &key, &mut row);
            assert_eq!(decode_value(&head, &key, &row), Ok(&record.value[..]));
        }
    }

    #[test]
    fn every_flipped_bit_every_cut_and_every_wrong_place_is_noticed() {
        let (record, mut row) = (record(40), Vec::new());
        let key = row_key(&record.head.identity);
        encode_head(&record, &key, &mut row);
        for bit in 0..row.len() * 8 {
            let mut bad = row.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_head(&key, &bad), Err(Damaged), "bit {bit}");
        }
        for n in 0..row.len() {
            assert_eq!(decode_head(&key, &row[..n]), Err(Damaged), "cut at {n}");
        }
        for byte in 0..IDENTITY_BYTES {
            let mut elsewhere = key;
            elsewhere[byte] ^= 1;
            assert_eq!(decode_head(&elsewhere, &row), Err(Damaged), "misdirected, byte {byte}");
        }
        let mut value = Vec::new();
        encode_value(&record.value, &key, &mut value);
        assert_eq!(decode_head(&key, &value), Err(Damaged), "a row of the other table");
    }
}
