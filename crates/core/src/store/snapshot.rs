//! A snapshot: the records of a node as one run of bytes, such as a file, from which they can be put back (docs/snapshot.md).
//!
//! ```text
//!  header   | magic 16 | version 1 | network 8 | node 20 | began us 8 | key 16 | checksum 8 |
//!  record   | mark 4 | number 8 | bytes 4 | front checksum 4 | record: `bytes` in the record form | checksum 8 |   any number
//!  end      | mark 4 | records 8 | unread 8 | ended us 8 | checksum 8 |
//! ```
//!
//! Integers are big-endian. Checksums are SipHash-2-4 under the key of the header, which is drawn for each snapshot: values are
//! strangers' bytes, and none of them can contain what would pass for a record of its own. A front checksum is the first half of one.
//!
//! Invariants of reading, whatever was flipped, cut, moved or added: a record that is given is one that was written, and intact; what
//! is not read is told ([`Found::Damaged`], or no [`Found::End`]); none is given twice, by their numbers; reading goes on at the next record
//! that holds; memory is bounded by [`RECORD_BYTES_MAX`] and what is fed at once.

use alloc::vec::Vec;
use core::hash::Hasher as _;

use siphasher::sip::SipHasher24;

use super::PROOF_BYTES;
use super::record::{HEAD_BYTES, Record, VALUE_BYTES_MAX};
use crate::id::{ID_BYTES, Id, NetworkId};
use crate::time::Wall;
use crate::wire::{self, Wire as _, Writer};

/// What a snapshot begins with.
pub const MAGIC: &[u8; 16] = b"keyway snapshot\n";
/// Version of the form.
pub const SNAPSHOT_VERSION: u8 = 1;
/// Length of the header.
pub const HEADER_BYTES: usize = 16 + 1 + 8 + ID_BYTES + 8 + KEY_BYTES + CHECKSUM_BYTES;
/// Length of a key of checksums.
pub const KEY_BYTES: usize = 16;
/// The longest record.
pub const RECORD_BYTES_MAX: usize = HEAD_BYTES + PROOF_BYTES + VALUE_BYTES_MAX;

const CHECKSUM_BYTES: usize = 8;
const MARK_RECORD: [u8; 4] = *b"\xf5rec";
const MARK_END: [u8; 4] = *b"\xf5end";
/// Mark, number, bytes.
const FRONT_BYTES: usize = 16;
/// The same with its checksum.
const FRAME_BYTES: usize = FRONT_BYTES + 4;
const END_BYTES: usize = 4 + 3 * 8 + CHECKSUM_BYTES;
/// Holes in the numbers that are remembered, in case what is missing there comes later; of more the first are forgotten.
const HOLES_MAX: usize = 1024;
/// So much of what was read is kept before it is let go of at one stroke.
const READ_BYTES_KEPT: usize = 256 << 10;

/// Whose snapshot it is, and when it was begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// The network that its signatures are for.
    pub network: NetworkId,
    /// The node.
    pub node: Id,
    /// The node's clock when it was begun.
    pub began: Wall,
    /// The key of its checksums: random, and used once.
    pub key: [u8; KEY_BYTES],
}

/// What a whole snapshot ends with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// Records written.
    pub records: u64,
    /// Records that the node holds and could not read.
    pub unread: u64,
    /// The node's clock when it ended.
    pub ended: Wall,
}

/// Why bytes are no snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoSnapshot {
    /// They do not begin as one.
    #[error("it does not begin as a snapshot does")]
    Foreign,
    /// Another version wrote it.
    #[error("its form is version {0}, this program knows version {SNAPSHOT_VERSION}")]
    Version(u8),
    /// Without its header nothing of it can be told.
    #[error("its header is damaged")]
    Header,
}

fn checksum(key: &[u8; KEY_BYTES], parts: &[&[u8]]) -> u64 {
    let mut hasher = SipHasher24::new_with_key(key);
    parts.iter().for_each(|part| hasher.write(part));
    hasher.finish()
}

fn front_checksum(key: &[u8; KEY_BYTES], front: &[u8]) -> u32 {
    (checksum(key, &[front]) >> 32) as u32
}

impl Header {
    fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let mut w = Writer::new(out);
        w.bytes(MAGIC);
        w.u8(SNAPSHOT_VERSION);
        w.u64(self.network.0);
        self.node.encode(&mut w);
        w.u64(self.began.0);
        w.bytes(&self.key);
        let sum = checksum(&self.key, &[&out[start..]]);
        out.extend_from_slice(&sum.to_be_bytes());
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Header, NoSnapshot> {
        if bytes[..MAGIC.len()] != MAGIC[..] {
            return Err(NoSnapshot::Foreign);
        }
        let mut r = wire::Reader::new(&bytes[MAGIC.len()..]);
        let version = r.u8().map_err(|_| NoSnapshot::Header)?;
        if version != SNAPSHOT_VERSION {
            return Err(NoSnapshot::Version(version));
        }
        let mut read = || {
            let (network, node, began) = (NetworkId(r.u64()?), Id::decode(&mut r)?, Wall(r.u64()?));
            Ok((Header { network, node, began, key: r.array()? }, r.u64()?))
        };
        let (header, sum) = read().map_err(|_: wire::Malformed| NoSnapshot::Header)?;
        let holds = sum == checksum(&header.key, &[&bytes[..HEADER_BYTES - CHECKSUM_BYTES]]);
        if holds { Ok(header) } else { Err(NoSnapshot::Header) }
    }
}

/// Writes a snapshot, a record at a time.
#[derive(Clone, Debug)]
pub struct Packer {
    key: [u8; KEY_BYTES],
    records: u64,
}

impl Packer {
    /// Begins one: appends its header to `out`.
    pub fn begin(header: &Header, out: &mut Vec<u8>) -> Packer {
        header.encode(out);
        Packer { key: header.key, records: 0 }
    }

    /// Appends a record to `out`.
    pub fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        let start = out.len();
        let bytes = HEAD_BYTES + record.value.len();
        let mut w = Writer::new(out);
        w.bytes(&MARK_RECORD);
        w.u64(self.records);
        w.u32(bytes as u32);
        let front = front_checksum(&self.key, &out[start..]);
        out.extend_from_slice(&front.to_be_bytes());
        record.encode(&mut Writer::new(out));
        let sum = checksum(&self.key, &[&out[start..]]);
        out.extend_from_slice(&sum.to_be_bytes());
        self.records += 1;
    }

    /// Records appended so far.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// Ends it: without this it is told from one that was cut.
    pub fn end(&self, unread: u64, now: Wall, out: &mut Vec<u8>) {
        let start = out.len();
        let mut w = Writer::new(out);
        w.bytes(&MARK_END);
        w.u64(self.records);
        w.u64(unread);
        w.u64(now.0);
        let sum = checksum(&self.key, &[&out[start..]]);
        out.extend_from_slice(&sum.to_be_bytes());
    }
}

/// What stands next in a snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// A record, as it was written.
    Record(Record),
    /// Bytes that are not what was written.
    Damaged {
        /// Where they begin.
        offset: u64,
        /// How many; none where numbers say that something is missing and nothing stands in its place.
        bytes: u64,
    },
    /// Its end: nothing was cut off.
    End(End),
}

/// Reads a snapshot from bytes as they come.
///
/// Feed it, ask [`Unpacker::step`] until it gives nothing, feed it again; when there is no more, [`Unpacker::close`] it and ask
/// until it gives nothing. If it has not given [`Found::End`] by then, the snapshot was cut.
#[derive(Clone, Debug, Default)]
pub struct Unpacker {
    buffer: Vec<u8>,
    /// How much of `buffer` has been read.
    read: usize,
    /// Where `buffer` begins in the snapshot.
    base: u64,
    header: Option<Header>,
    /// Bytes just before the place of reading that were passed over.
    passed: u64,
    /// Damage was told since the last record.
    told: bool,
    numbers: Numbers,
    closed: bool,
    ended: bool,
}

/// Which records have been given, by their numbers.
#[derive(Clone, Debug, Default)]
struct Numbers {
    /// Above all that were given.
    next: u64,
    /// Below it, those that were not: from, to, in order.
    holes: Vec<(u64, u64)>,
}

impl Numbers {
    /// Whether it was given before, as far as that is known.
    fn has(&self, number: u64) -> bool {
        number < self.next && !self.holes.iter().any(|(from, to)| (*from..*to).contains(&number))
    }

    /// It is given.
    fn give(&mut self, number: u64) {
        if number >= self.next {
            if number > self.next {
                if self.holes.len() == HOLES_MAX {
                    self.holes.remove(0);
                }
                self.holes.push((self.next, number));
            }
            self.next = number.saturating_add(1);
        } else if let Some(at) = self.holes.iter().position(|(from, to)| (*from..*to).contains(&number)) {
            let (from, to) = self.holes.remove(at);
            let rest = [(from, number), (number + 1, to)].into_iter().filter(|(from, to)| from < to);
            self.holes.splice(at..at, rest);
            self.holes.truncate(HOLES_MAX);
        }
    }
}

/// What stands at one place.
enum Look {
    /// How long it is, its number, and what it is.
    Record(usize, u64, Record),
    /// A frame whose length is sound and whose record is not.
    Spoilt(usize),
    End(usize, End),
    Nothing,
    /// It cannot be told yet.
    More,
}

impl Unpacker {
    /// A reader that was given nothing yet.
    #[must_use]
    pub fn new() -> Unpacker {
        Unpacker::default()
    }

    /// The next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.read > READ_BYTES_KEPT || self.read == self.buffer.len() {
            self.buffer.drain(..self.read);
            self.base += self.read as u64;
            self.read = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// There are no more bytes.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// The header, once it has been read.
    #[must_use]
    pub const fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// How far it has been read.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.base + self.read as u64
    }

    /// What stands next; nothing if more bytes are needed, or after the last.
    ///
    /// # Errors
    /// [`NoSnapshot`]: then nothing can be read of it.
    pub fn step(&mut self) -> Result<Option<Found>, NoSnapshot> {
        let Some(key) = self.open()?.map(|header| header.key) else { return Ok(None) };
        loop {
            let rest = &self.buffer[self.read..];
            if rest.is_empty() && !self.closed {
                return Ok(None);
            }
            let look = if self.ended { Look::Nothing } else { look(&key, rest) };
            let (step, number, found) = match look {
                Look::More if !self.closed => return Ok(None),
                // In what was cut there may still be whole records behind a length that is damaged.
                Look::Nothing | Look::More => {
                    let step = next_mark(rest);
                    self.passed += step as u64;
                    self.read += step;
                    if step > 0 {
                        continue;
                    }
                    return Ok(self.take_passed());
                }
                Look::Spoilt(step) => {
                    self.passed += step as u64;
                    self.read += step;
                    return Ok(self.take_passed());
                }
                // Somebody has put it here, over another one perhaps.
                Look::Record(step, number, _) if self.numbers.has(number) => {
                    self.passed += step as u64;
                    self.read += step;
                    return Ok(self.take_passed());
                }
                Look::Record(step, number, record) => (step, number, Found::Record(record)),
                Look::End(step, end) => (step, end.records, Found::End(end)),
            };
            if let Some(damaged) = self.take_passed() {
                return Ok(Some(damaged));
            }
            // Of what is damaged the number is missing, too: that was told.
            if number != self.numbers.next && !core::mem::replace(&mut self.told, true) {
                return Ok(Some(Found::Damaged { offset: self.offset(), bytes: 0 }));
            }
            self.told = false;
            if matches!(found, Found::Record(_)) {
                self.numbers.give(number);
            }
            self.read += step;
            self.ended |= matches!(found, Found::End(_));
            return Ok(Some(found));
        }
    }

    /// What was passed over, told once.
    fn take_passed(&mut self) -> Option<Found> {
        let bytes = core::mem::take(&mut self.passed);
        self.told |= bytes > 0;
        (bytes > 0).then(|| Found::Damaged { offset: self.offset() - bytes, bytes })
    }

    /// The header; nothing if more bytes are needed.
    ///
    /// # Errors
    /// [`NoSnapshot`].
    pub fn open(&mut self) -> Result<Option<&Header>, NoSnapshot> {
        if self.header.is_none() {
            let Some(bytes) = self.buffer.first_chunk::<HEADER_BYTES>() else {
                let front = &self.buffer[..self.buffer.len().min(MAGIC.len())];
                let foreign = front != &MAGIC[..front.len()] || self.closed;
                return if foreign { Err(NoSnapshot::Foreign) } else { Ok(None) };
            };
            self.header = Some(Header::decode(bytes)?);
            self.read = HEADER_BYTES;
        }
        Ok(self.header.as_ref())
    }
}

/// How far the next place is at which something may stand; at least one byte on, if there is one.
fn next_mark(rest: &[u8]) -> usize {
    let ahead = rest.iter().skip(1).position(|byte| *byte == MARK_RECORD[0]);
    ahead.map_or(rest.len(), |at| at + 1)
}

fn look(key: &[u8; KEY_BYTES], rest: &[u8]) -> Look {
    let Some((mark, _)) = rest.split_first_chunk::<4>() else { return Look::More };
    match *mark {
        MARK_RECORD => look_for_record(key, rest),
        MARK_END => look_for_end(key, rest),
        _ => Look::Nothing,
    }
}

fn look_for_record(key: &[u8; KEY_BYTES], rest: &[u8]) -> Look {
    let Some((front, sum)) = rest.get(..FRAME_BYTES).and_then(<[u8]>::split_last_chunk::<4>) else {
        return Look::More;
    };
    if u32::from_be_bytes(*sum) != front_checksum(key, front) {
        return Look::Nothing;
    }
    let mut r = wire::Reader::new(&front[MARK_RECORD.len()..]);
    let (Ok(number), Ok(bytes)) = (r.u64(), r.u32()) else { return Look::Nothing };
    let bytes = bytes as usize;
    if !(HEAD_BYTES..=RECORD_BYTES_MAX).contains(&bytes) {
        return Look::Nothing;
    }
    let length = FRAME_BYTES + bytes + CHECKSUM_BYTES;
    let Some((frame, sum)) = rest.get(..length).and_then(<[u8]>::split_last_chunk::<CHECKSUM_BYTES>) else {
        return Look::More;
    };
    if u64::from_be_bytes(*sum) != checksum(key, &[frame]) {
        return Look::Spoilt(length);
    }
    // Written by us and not intact: the node's own copy was damaged after it was read.
    match wire::from_slice::<Record>(&frame[FRAME_BYTES..]) {
        Ok(record) if record.is_intact() => Look::Record(length, number, record),
        _ => Look::Spoilt(length),
    }
}

fn look_for_end(key: &[u8; KEY_BYTES], rest: &[u8]) -> Look {
    let Some((end, sum)) = rest.get(..END_BYTES).and_then(<[u8]>::split_last_chunk::<CHECKSUM_BYTES>) else {
        return Look::More;
    };
    let mut r = wire::Reader::new(&end[MARK_END.len()..]);
    let mut read = || Ok(End { records: r.u64()?, unread: r.u64()?, ended: Wall(r.u64()?) });
    match read() {
        Ok::<End, wire::Malformed>(end_read) if u64::from_be_bytes(*sum) == checksum(key, &[end]) => {
            Look::End(END_BYTES, end_read)
        }
        _ => Look::Nothing,
    }
}
