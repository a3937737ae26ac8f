//! The little of XDR (RFC 4506) that the program needs: integers, fixed and bounded opaque bytes, over slices.
//!
//! ```text
//!   int, unsigned int   4 bytes, most significant first                                  RFC 4506 sections 4.1, 4.2
//!   opaque name[n]      n bytes, then zeros up to a multiple of 4                        section 4.9
//!   opaque name<max>    length, then as many bytes, then zeros up to a multiple of 4     section 4.10
//!   string name<max>    the same                                                         section 4.11
//!   type name<>         count, then as many values                                       section 4.13
//! ```
//!
//! Reading borrows and never allocates: a length is compared with its bound and with the bytes that are there before
//! anything is taken. Filling bytes are skipped whatever they hold, since old encoders leave rubbish in them.

/// Why bytes are not the XDR of what was expected. The client's fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("cannot be decoded: {0}")]
pub struct Undecodable(pub &'static str);

/// XDR's unit: everything takes a multiple of so many bytes.
const UNIT: usize = 4;

/// Bytes that fill up the last unit of `len` bytes.
const fn filling(len: usize) -> usize {
    (UNIT - len % UNIT) % UNIT
}

/// Reads from a slice, never past its end.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Undecodable> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Undecodable("ends early"))?;
        self.rest = rest;
        Ok(head)
    }

    /// An unsigned integer.
    ///
    /// # Errors
    /// At the end.
    pub fn u32(&mut self) -> Result<u32, Undecodable> {
        let (head, rest) = self.rest.split_first_chunk::<4>().ok_or(Undecodable("ends early"))?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*head))
    }

    /// An integer.
    ///
    /// # Errors
    /// At the end.
    pub fn i32(&mut self) -> Result<i32, Undecodable> {
        Ok(self.u32()?.cast_signed())
    }

    /// Opaque bytes of a fixed number.
    ///
    /// # Errors
    /// At the end.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Undecodable> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Undecodable("ends early"))?;
        self.rest = rest;
        self.take(filling(N))?;
        Ok(*head)
    }

    /// Opaque bytes, or a string, of at most `max` bytes.
    ///
    /// # Errors
    /// When the length is above the bound or more than what is there.
    pub fn opaque(&mut self, max: usize) -> Result<&'a [u8], Undecodable> {
        // A length that does not fit is above any bound.
        let len = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        if len > max {
            return Err(Undecodable("longer than its bound"));
        }
        let bytes = self.take(len)?;
        self.take(filling(len))?;
        Ok(bytes)
    }

    /// That nothing is left.
    ///
    /// # Errors
    /// When something is.
    pub fn finish(self) -> Result<(), Undecodable> {
        if self.rest.is_empty() { Ok(()) } else { Err(Undecodable("something follows its end")) }
    }
}

/// Appends to a buffer.
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// A writer at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Writer<'a> {
        Writer { out }
    }

    /// An unsigned integer.
    pub fn u32(&mut self, v: u32) {
        self.out.extend_from_slice(&v.to_be_bytes());
    }

    /// An integer.
    pub fn i32(&mut self, v: i32) {
        self.u32(v.cast_unsigned());
    }

    /// Opaque bytes of a fixed number.
    pub fn fixed(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(&[0; UNIT][..filling(bytes.len())]);
    }

    /// Opaque bytes, or a string, with their length.
    pub fn opaque(&mut self, bytes: &[u8]) {
        debug_assert!(u32::try_from(bytes.len()).is_ok(), "what we send is far shorter");
        self.u32(bytes.len() as u32);
        self.fixed(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_fills_units_of_four_bytes() {
        for len in 0..9_usize {
            let bytes: Vec<u8> = (1..=len as u8).collect();
            let mut out = Vec::new();
            Writer::new(&mut out).opaque(&bytes);
            assert_eq!(out.len(), 4 + len.div_ceil(4) * 4);
            assert!(out[4 + len..].iter().all(|fill| *fill == 0));
            let mut reader = Reader::new(&out);
            assert_eq!(reader.opaque(8), Ok(bytes.as_slice()));
            assert_eq!(reader.finish(), Ok(()));
            for cut in 0..out.len() {
                assert_eq!(
                    Reader::new(&out[..cut]).opaque(8),
                    Err(Undecodable("ends early")),
                    "{len} cut at {cut}"
                );
            }
        }
        assert_eq!(Reader::new(b"abcde\xff\xffz").fixed::<5>(), Ok(*b"abcde"));
        assert_eq!(Reader::new(b"abcde\0\0").fixed::<5>(), Err(Undecodable("ends early")));
        assert_eq!(Reader::new(&[0xff; 4]).i32(), Ok(-1));
    }

    #[test]
    fn a_length_is_judged_before_anything_is_taken() {
        for len in [5_u32, 1 << 31, u32::MAX] {
            let bytes = [&len.to_be_bytes()[..], b"abcd"].concat();
            assert_eq!(Reader::new(&bytes).opaque(4), Err(Undecodable("longer than its bound")));
            assert!(Reader::new(&bytes).opaque(usize::MAX).is_err());
        }
        assert_eq!(Reader::new(&[0, 0, 0, 0, 7]).opaque(4), Ok(&[][..]));
    }
}
