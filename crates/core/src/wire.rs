//! Bounded readers and writers: how every message becomes bytes and back.
//!
//! Integers are big-endian and of fixed width. A list is a `u16` count, then its entries. Nothing is allocated before
//! the bytes that justify it were seen: a count is checked against the bytes that remain and against the caller's
//! bound, so the memory that a message can make us take is at most a small multiple of its own length. Trailing bytes
//! are an error ([`Reader::finish`]).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;

use crate::id::Id;

/// Why bytes from outside are not a message. The peer's fault: counted, dropped, never an assert.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("malformed message: {0}")]
pub struct Malformed(pub &'static str);

/// A value with a wire form.
pub trait Wire: Sized {
    /// Appends the wire form.
    fn encode(&self, w: &mut Writer<'_>);
    /// Reads one value.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are not the wire form of any value.
    fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed>;
}

/// Appends to a byte buffer.
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// A writer at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Writer<'a> {
        Writer { out }
    }
    /// One byte.
    #[inline]
    pub fn u8(&mut self, v: u8) {
        self.out.push(v);
    }
    /// Two bytes.
    #[inline]
    pub fn u16(&mut self, v: u16) {
        self.out.extend_from_slice(&v.to_be_bytes());
    }
    /// Four bytes.
    #[inline]
    pub fn u32(&mut self, v: u32) {
        self.out.extend_from_slice(&v.to_be_bytes());
    }
    /// Eight bytes.
    #[inline]
    pub fn u64(&mut self, v: u64) {
        self.out.extend_from_slice(&v.to_be_bytes());
    }
    /// One byte, 0 or 1.
    pub fn bool(&mut self, v: bool) {
        self.u8(u8::from(v));
    }
    /// An array without a length: what is of one size is written at one stroke.
    #[inline]
    pub fn array<const N: usize>(&mut self, v: [u8; N]) {
        self.out.extend_from_slice(&v);
    }
    /// Raw bytes without a length.
    #[inline]
    pub fn bytes(&mut self, v: &[u8]) {
        self.out.extend_from_slice(v);
    }
    /// A one-byte length and that many bytes; the caller keeps it within 255.
    pub fn blob8(&mut self, v: &[u8]) {
        debug_assert!(v.len() <= 255, "blob8 is for at most 255 bytes");
        self.u8(v.len() as u8);
        self.bytes(v);
    }
    /// A four-byte length and that many bytes.
    pub fn blob32(&mut self, v: &[u8]) {
        self.u32(v.len() as u32);
        self.bytes(v);
    }
    /// A list: count, entries.
    pub fn list<T: Wire>(&mut self, v: &[T]) {
        debug_assert!(v.len() <= usize::from(u16::MAX), "a list has at most 65535 entries");
        self.u16(v.len() as u16);
        for x in v {
            x.encode(self);
        }
    }
    /// A presence byte, then the value if there is one.
    pub fn option<T: Wire>(&mut self, v: Option<&T>) {
        self.bool(v.is_some());
        if let Some(v) = v {
            v.encode(self);
        }
    }
}

/// Reads from a byte slice, never past its end.
#[derive(Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    help: Option<&'a dyn Any>,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes, help: None }
    }
    /// The same, for values that are read by the help of something: peers by that of an interner.
    #[must_use]
    pub const fn with(bytes: &'a [u8], help: &'a dyn Any) -> Reader<'a> {
        Reader { rest: bytes, help: Some(help) }
    }
    /// What helps to read, if it is of this kind.
    #[must_use]
    pub fn help<T: Any>(&self) -> Option<&'a T> {
        self.help?.downcast_ref()
    }
    /// How many bytes are left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }
    /// The next `n` bytes.
    ///
    /// # Errors
    /// If fewer are left.
    #[inline]
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(Malformed("ends early"))?;
        self.rest = rest;
        Ok(head)
    }
    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// If fewer are left.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed("ends early"))?;
        self.rest = rest;
        Ok(*head)
    }
    /// One byte.
    ///
    /// # Errors
    /// At the end.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }
    /// Two bytes.
    ///
    /// # Errors
    /// At the end.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(self.array()?))
    }
    /// Four bytes.
    ///
    /// # Errors
    /// At the end.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.array()?))
    }
    /// Eight bytes.
    ///
    /// # Errors
    /// At the end.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_be_bytes(self.array()?))
    }
    /// A byte that must be 0 or 1.
    ///
    /// # Errors
    /// On anything else.
    pub fn bool(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("a flag is neither 0 nor 1")),
        }
    }
    /// A one-byte length and that many bytes, borrowed.
    ///
    /// # Errors
    /// If they are not all there.
    #[inline]
    pub fn blob8(&mut self) -> Result<&'a [u8], Malformed> {
        let n = self.u8()?;
        self.take(usize::from(n))
    }
    /// A four-byte length, at most `max`, and that many bytes, borrowed.
    ///
    /// # Errors
    /// If it is longer than `max` or not all there.
    pub fn blob32(&mut self, max: usize) -> Result<&'a [u8], Malformed> {
        let n = self.u32()? as usize;
        if n > max {
            return Err(Malformed("longer than its bound"));
        }
        self.take(n)
    }
    /// A list of at most `max` entries.
    ///
    /// # Errors
    /// If the count is over `max` or over the bytes that are left, or an entry is malformed.
    pub fn list<T: Wire>(&mut self, max: usize) -> Result<Vec<T>, Malformed> {
        let n = usize::from(self.u16()?);
        if n > max || n > self.remaining() {
            return Err(Malformed("too many entries"));
        }
        let mut v = Vec::with_capacity(n.min(64));
        for _ in 0..n {
            v.push(T::decode(self)?);
        }
        Ok(v)
    }
    /// A presence byte, then the value if there is one.
    ///
    /// # Errors
    /// If either is malformed.
    pub fn option<T: Wire>(&mut self) -> Result<Option<T>, Malformed> {
        if self.bool()? { Ok(Some(T::decode(self)?)) } else { Ok(None) }
    }
    /// Checks that nothing is left over.
    ///
    /// # Errors
    /// If something is.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed("trailing bytes")) }
    }
}

impl<T: Wire> Wire for Box<T> {
    fn encode(&self, w: &mut Writer<'_>) {
        (**self).encode(w);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Box<T>, Malformed> {
        Ok(Box::new(T::decode(r)?))
    }
}

impl Wire for Id {
    fn encode(&self, w: &mut Writer<'_>) {
        w.bytes(&self.0);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Id, Malformed> {
        Ok(Id(r.array()?))
    }
}

/// The wire form of `v` in a fresh buffer.
pub fn to_vec<T: Wire>(v: &T) -> Vec<u8> {
    let mut out = Vec::new();
    v.encode(&mut Writer::new(&mut out));
    out
}

/// Reads exactly one value from `bytes`.
///
/// # Errors
/// If the bytes are not one value, or go on after it.
pub fn from_slice<T: Wire>(bytes: &[u8]) -> Result<T, Malformed> {
    read_whole(Reader::new(bytes))
}

/// The same by the help of something ([`Reader::with`]).
///
/// # Errors
/// If the bytes are not one value, or go on after it.
pub fn from_slice_with<T: Wire>(bytes: &[u8], help: &dyn Any) -> Result<T, Malformed> {
    read_whole(Reader::with(bytes, help))
}

fn read_whole<T: Wire>(mut r: Reader<'_>) -> Result<T, Malformed> {
    let v = T::decode(&mut r)?;
    r.finish()?;
    Ok(v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_count_cannot_make_us_allocate() {
        let bytes = vec![0xff; 2];
        assert!(Reader::new(&bytes).list::<Id>(usize::MAX).is_err());
        assert!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 1]).blob32(1 << 20).is_err());
    }

    #[test]
    fn trailing_bytes_are_an_error() {
        assert_eq!(from_slice::<Id>(&[0; 21]), Err(Malformed("trailing bytes")));
        assert_eq!(from_slice::<Id>(&[0; 20]), Ok(Id::ZERO));
        assert_eq!(from_slice::<Id>(&[0; 19]), Err(Malformed("ends early")));
    }
}
