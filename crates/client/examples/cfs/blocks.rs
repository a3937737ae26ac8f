//! How a file becomes blocks of at most 1,024 bytes, each under the hash of its bytes (CFS: Dabek, Kaashoek, Karger, Morris and
//! Stoica, "Wide-area cooperative storage with CFS", SOSP 2001).
//!
//! ```text
//!   inode      "kwcfs-1\n" | length of the file (64 bits) | keys of 1 to 50 parts       its key names the file
//!                                                             │
//!   indirect   "kwfi" | keys of 1 to 51 parts ◀───────────────┘  none if 50 data blocks hold it, else as many levels as it takes
//!                         │
//!   data       1,024 bytes of the file; the last block may be shorter
//! ```
//!
//! Invariant: the length alone decides the shape. A part of height h holds 51^h data blocks, and h is the least height at which 50
//! parts hold the file. So a block that has the right hash and still another form than its place asks for was made to mislead, and
//! is refused.

use bytes::Bytes;
use keyway_client::{KEY_BYTES, Key};

/// Bytes of a data block, and the most that any block has.
pub(crate) const BLOCK_BYTES: usize = 1024;
/// Keys in an indirect block.
pub(crate) const FANOUT: usize = 51;
/// Keys in an inode.
pub(crate) const TOP_MAX: usize = 50;
/// Longest file.
pub(crate) const LENGTH_MAX: u64 = 1 << 40;

const INODE_MAGIC: &[u8; 8] = b"kwcfs-1\n";
const INDIRECT_MAGIC: &[u8; 4] = b"kwfi";

/// A part of a file: a block, and everything below it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    pub(crate) key: Key,
    /// 0 is a data block.
    pub(crate) height: u32,
    /// How much of the file it holds.
    pub(crate) length: u64,
}

/// Bytes that a part of this height holds at most.
fn span(height: u32) -> u64 {
    (FANOUT as u64).saturating_pow(height).saturating_mul(BLOCK_BYTES as u64)
}

/// The height of the parts that an inode names.
pub(crate) fn height_of(length: u64) -> u32 {
    (0..).find(|height| length.div_ceil(span(*height)) <= TOP_MAX as u64).unwrap_or(0)
}

/// The block that names a whole file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Inode {
    pub(crate) length: u64,
    pub(crate) top: Vec<Key>,
}

impl Inode {
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(BLOCK_BYTES);
        bytes.extend(INODE_MAGIC);
        bytes.extend(self.length.to_be_bytes());
        self.top.iter().for_each(|key| bytes.extend(key.0));
        bytes.into()
    }

    /// The inode whose bytes these are, if they are one.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Inode> {
        let (length, keys) = bytes.strip_prefix(INODE_MAGIC)?.split_first_chunk::<8>()?;
        let length = u64::from_be_bytes(*length);
        let top = keys_of(keys)?;
        let count = length.div_ceil(span(height_of(length)));
        (length <= LENGTH_MAX && top.len() as u64 == count).then_some(Inode { length, top })
    }

    /// The parts that it names.
    pub(crate) fn parts(&self) -> Vec<Part> {
        parts(&self.top, self.length, height_of(self.length))
    }
}

/// An indirect block of these keys.
pub(crate) fn indirect(keys: &[Key]) -> Bytes {
    let mut bytes = INDIRECT_MAGIC.to_vec();
    keys.iter().for_each(|key| bytes.extend(key.0));
    bytes.into()
}

/// What a part's block says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Opened {
    Data(Bytes),
    Parts(Vec<Part>),
}

impl Part {
    /// Opens the part with its block. `None` if that has not the form that the part's place in the file asks for.
    pub(crate) fn open(&self, block: Bytes) -> Option<Opened> {
        if self.height == 0 {
            return (block.len() as u64 == self.length).then_some(Opened::Data(block));
        }
        let keys = keys_of(block.strip_prefix(INDIRECT_MAGIC)?)?;
        let count = self.length.div_ceil(span(self.height - 1));
        (keys.len() as u64 == count).then(|| Opened::Parts(parts(&keys, self.length, self.height - 1)))
    }
}

/// `length` bytes, dealt out to these keys: each gets what its height holds, the last what is left.
fn parts(keys: &[Key], length: u64, height: u32) -> Vec<Part> {
    let whole = span(height);
    let begins = (0u64..).map(|at| at * whole);
    let part = |(key, begin): (&Key, u64)| Part { key: *key, height, length: whole.min(length - begin) };
    keys.iter().zip(begins).map(part).collect()
}

fn keys_of(bytes: &[u8]) -> Option<Vec<Key>> {
    let (keys, rest) = bytes.as_chunks::<KEY_BYTES>();
    rest.is_empty().then(|| keys.iter().map(|key| Key(*key)).collect())
}

/// Collects the keys of data blocks in their order, and says which indirect blocks they need.
#[derive(Default)]
pub(crate) struct Builder {
    /// Keys that no block names yet, by height.
    open: Vec<Vec<Key>>,
    length: u64,
}

impl Builder {
    /// The next data block of the file. Gives the indirect blocks that are complete by it.
    pub(crate) fn push(&mut self, data: &[u8]) -> Vec<Bytes> {
        self.length += data.len() as u64;
        let mut made = Vec::new();
        self.add(0, Key::content(data), &mut made);
        made
    }

    fn add(&mut self, height: usize, key: Key, made: &mut Vec<Bytes>) {
        if self.open.len() == height {
            self.open.push(Vec::with_capacity(FANOUT));
        }
        self.open[height].push(key);
        if self.open[height].len() == FANOUT {
            self.close(height, made);
        }
    }

    /// Names the open keys of a height in an indirect block.
    fn close(&mut self, height: usize, made: &mut Vec<Bytes>) {
        let block = indirect(&std::mem::take(&mut self.open[height]));
        let key = Key::content(&block);
        made.push(block);
        self.add(height + 1, key, made);
    }

    /// The end of the file: its last indirect blocks, and its inode.
    pub(crate) fn finish(mut self) -> (Vec<Bytes>, Inode) {
        let mut made = Vec::new();
        let height = height_of(self.length) as usize;
        for below in 0..height {
            if self.open.get(below).is_some_and(|keys| !keys.is_empty()) {
                self.close(below, &mut made);
            }
        }
        let top = self.open.get(height).cloned().unwrap_or_default();
        (made, Inode { length: self.length, top })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_length_comes_apart_and_together_again_in_blocks_of_a_kilobyte() {
        let block = BLOCK_BYTES as u64;
        let lengths =
            [0, 1, block - 1, block, block + 1, 50 * block, 51 * block, 51 * block + 1, 102 * block];
        for length in lengths.into_iter().chain([2_550 * block, 2_550 * block + 1, 2_601 * block + 7]) {
            let bytes: Vec<u8> = (0..length).map(|at| (at / block * 31 + at) as u8).collect();
            let (mut builder, mut blocks) = (Builder::default(), BTreeMap::new());
            let mut keep = |made: Bytes| blocks.insert(Key::content(&made), made);
            for data in bytes.chunks(BLOCK_BYTES) {
                builder.push(data).into_iter().for_each(|made| drop(keep(made)));
                keep(Bytes::copy_from_slice(data));
            }
            let (made, inode) = builder.finish();
            made.into_iter().for_each(|made| drop(keep(made)));
            assert_eq!(Inode::decode(&inode.encode()), Some(inode.clone()), "{length}");
            assert!(inode.encode().len() <= BLOCK_BYTES);
            assert!(blocks.values().all(|block| block.len() <= BLOCK_BYTES));

            let (mut open, mut read) = (inode.parts(), Vec::new());
            open.reverse();
            while let Some(part) = open.pop() {
                match part.open(blocks[&part.key].clone()).expect("the form that it was built in") {
                    Opened::Data(data) => read.extend(data),
                    Opened::Parts(parts) => open.extend(parts.into_iter().rev()),
                }
            }
            assert_eq!(read, bytes, "{length}");
        }
    }

    #[test]
    fn a_block_of_another_form_than_its_place_asks_for_is_refused() {
        let inode = Inode { length: 2_000, top: vec![Key::text("a"), Key::text("b")] };
        let [first, last] = <[Part; 2]>::try_from(inode.parts()).expect("two parts");
        assert_eq!((first.length, last.length), (1_024, 976));
        assert!(last.open(Bytes::from(vec![0; 976])).is_some());
        assert!(last.open(Bytes::from(vec![0; 977])).is_none(), "longer than what is left");
        let part = Part { key: Key::text("c"), height: 1, length: 3_000 };
        assert!(part.open(indirect(&[Key::text("a"); 3])).is_some());
        assert!(part.open(indirect(&[Key::text("a"); 2])).is_none(), "a key too few");
        assert!(part.open(Bytes::from_static(b"no block of keys")).is_none());
        let mut short = inode.encode().to_vec();
        short.truncate(short.len() - KEY_BYTES);
        assert!(Inode::decode(&short).is_none(), "fewer parts than the length asks for");
        assert!(Inode::decode(&indirect(&inode.top)).is_none());
    }
}
