//! Snapshots: what was written is read, and whatever happens to the bytes nothing else is.

use super::proofs::originals;
use super::*;
use crate::id::NetworkId;
use crate::store::snapshot::{End, Found, HEADER_BYTES, Header, NoSnapshot, Packer, Unpacker};

const UNREAD: u64 = 2;

fn header() -> Header {
    Header { network: NetworkId(0xfeed), node: Id::from_u64(77), began: START, key: *b"drawn for a test" }
}

fn end(records: usize) -> End {
    End { records: records as u64, unread: UNREAD, ended: START + Duration::from_secs(3) }
}

/// Records of every kind, with an empty value, and one that imitates what stands around records.
fn records() -> Vec<Record> {
    let mut records = originals();
    records.push(plain(1, 2, 0, 60));
    records.push(removal(1, 2, 5, 90));
    records.push(Record::plain(Id::from_u64(3), Vec::new(), START, Duration::from_secs(5), 7));
    records.push(impostor());
    records
}

/// A value with a whole snapshot in it, under a key that its maker could know.
fn impostor() -> Record {
    let inside = packed(&[plain(9, 9, 0, 900)], &Header { key: *b"known to someone", ..header() });
    Record::plain(Id::from_u64(4), inside, START, Duration::from_secs(5), 7)
}

fn packed(records: &[Record], header: &Header) -> Vec<u8> {
    let mut out = Vec::new();
    let mut packer = Packer::begin(header, &mut out);
    records.iter().for_each(|record| packer.record(record, &mut out));
    packer.end(UNREAD, START + Duration::from_secs(3), &mut out);
    out
}

/// What a reader makes of bytes that come in pieces of this length.
fn read(bytes: &[u8], piece: usize) -> Result<Vec<Found>, NoSnapshot> {
    let (mut unpacker, mut found) = (Unpacker::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        unpacker.feed(piece);
        while let Some(one) = unpacker.step()? {
            found.push(one);
        }
    }
    unpacker.close();
    while let Some(one) = unpacker.step()? {
        found.push(one);
    }
    Ok(found)
}

fn records_of(found: &[Found]) -> Vec<Record> {
    let record = |one: &Found| match one {
        Found::Record(record) => Some(record.clone()),
        Found::Damaged { .. } | Found::End(_) => None,
    };
    found.iter().filter_map(record).collect()
}

/// Whether a reader was told that this is not all that was written.
fn complains(found: &[Found]) -> bool {
    let damaged = found.iter().any(|one| matches!(one, Found::Damaged { .. }));
    damaged || !found.iter().any(|one| matches!(one, Found::End(_)))
}

#[test]
fn what_was_written_is_read_however_it_comes() {
    let (records, header) = (records(), header());
    let bytes = packed(&records, &header);
    for piece in [1, 7, HEADER_BYTES, 1000, bytes.len()] {
        let found = read(&bytes, piece).expect("a snapshot");
        assert_eq!(records_of(&found), records);
        assert_eq!(found.last(), Some(&Found::End(end(records.len()))));
        assert!(!complains(&found));
    }
    let mut unpacker = Unpacker::new();
    unpacker.feed(&bytes);
    assert!(unpacker.step().is_ok());
    assert_eq!(unpacker.header(), Some(&header));
}

/// Reads what became of the bytes: some of the records in their order and a complaint, or nothing at all.
fn judge(bytes: &[u8], records: &[Record], what: &str) {
    let Ok(found) = read(bytes, 501) else { return };
    let mut left = records.iter();
    for record in records_of(&found) {
        assert!(left.any(|written| *written == record), "{what}: a record that was not written");
    }
    assert!(complains(&found), "{what}: nobody was told");
}

#[test]
fn no_flipped_bit_makes_another_record() {
    let records = records();
    let bytes = packed(&records, &header());
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        judge(&bad, &records, "a flipped bit");
        if bit >= HEADER_BYTES * 8 {
            let found = read(&bad, 4096).expect("the header holds");
            assert!(records_of(&found).len() + 1 >= records.len(), "bit {bit} costs more than its record");
        }
    }
}

#[test]
fn every_cut_every_lost_byte_and_every_strange_one_is_told() {
    let records = records();
    let bytes = packed(&records, &header());
    for n in 0..bytes.len() {
        judge(&bytes[..n], &records, "a cut");
        judge(&[&bytes[..n], &bytes[n + 1..]].concat(), &records, "a lost byte");
        judge(&[&bytes[..n], &[0xf5], &bytes[n..]].concat(), &records, "a strange byte");
    }
    judge(&[&bytes[..], b"more"].concat(), &records, "something behind it");
    // A hole of any size: what follows it is found again.
    for hole in [10, 200, 900] {
        let at = HEADER_BYTES + 40;
        let holed = [&bytes[..at], &bytes[at + hole..]].concat();
        judge(&holed, &records, "a hole");
        assert!(read(&holed, 4096).is_ok_and(|found| records_of(&found).last() == records.last()), "{hole}");
    }
}

#[test]
fn a_value_that_imitates_a_snapshot_is_not_taken_for_one() {
    let records = [impostor()];
    let mut bytes = packed(&records, &header());
    // The frame around it is damaged, so that reading goes on inside.
    bytes[HEADER_BYTES + 2] ^= 1;
    let found = read(&bytes, 64).expect("the header holds");
    assert_eq!(records_of(&found), []);
    assert!(complains(&found));
}

#[test]
fn what_is_no_snapshot_is_named() {
    assert_eq!(read(b"key\tvalue\n", 4), Err(NoSnapshot::Foreign));
    assert_eq!(read(b"", 4), Err(NoSnapshot::Foreign));
    assert_eq!(read(b"keyway snap", 4), Err(NoSnapshot::Foreign));
    let mut bytes = packed(&[], &header());
    bytes[16] = 9;
    assert_eq!(read(&bytes, 4), Err(NoSnapshot::Version(9)));
    bytes[16] = 1;
    bytes[20] ^= 1;
    assert_eq!(read(&bytes, 4), Err(NoSnapshot::Header));
}

/// Where each frame stands.
fn frames(records: &[Record], header: &Header) -> Vec<core::ops::Range<usize>> {
    let mut out = Vec::new();
    let mut packer = Packer::begin(header, &mut out);
    let frame = |record| {
        let start = out.len();
        packer.record(record, &mut out);
        start..out.len()
    };
    records.iter().map(frame).collect()
}

#[test]
fn a_frame_that_is_missing_repeated_or_pasted_over_another_is_told() {
    let records: Vec<Record> = (0..6).map(|n| plain(n, n, 0, 60)).collect();
    let (bytes, frames) = (packed(&records, &header()), frames(&records, &header()));
    let without = |lost: usize| {
        let kept = records.iter().enumerate().filter(|(n, _)| *n != lost);
        kept.map(|(_, record)| record.clone()).collect::<Vec<_>>()
    };
    for from in 0..records.len() {
        let (frame, left) = (bytes[frames[from].clone()].to_vec(), without(from));
        // Cut out.
        let cut = [&bytes[..frames[from].start], &bytes[frames[from].end..]].concat();
        let found = read(&cut, 33).expect("the header holds");
        assert_eq!((records_of(&found), complains(&found)), (left, true), "{from} is missing");
        for to in 0..records.len() {
            // Put in once more.
            let at = frames[to].start;
            let repeated = [&bytes[..at], &frame, &bytes[at..]].concat();
            let found = read(&repeated, 33).expect("the header holds");
            assert!(complains(&found), "{from} before {to}");
            let mut given = records_of(&found);
            given.sort_by_key(|record| record.head.identity.key);
            assert_eq!(given, records, "{from} before {to}: each once");
            // Pasted over another.
            if from != to {
                let mut pasted = bytes.clone();
                pasted[frames[to].clone()].copy_from_slice(&frame);
                let found = read(&pasted, 33).expect("the header holds");
                assert!(complains(&found), "{from} over {to}");
                let mut given = records_of(&found);
                given.sort_by_key(|record| record.head.identity.key);
                assert_eq!(given, without(to), "{from} over {to}: the others, each once");
            }
        }
    }
}
