//! Record marking (RFC 5531 section 11): how messages stand in a stream.
//!
//! ```text
//!   record    =  fragment .. fragment, the last one marked
//!   fragment  =  header, 4 bytes, most significant first: 1 bit whether it is the last, 31 bits its length; then its bytes
//!
//!   0 ───── header ─────▶ length l ───── l bytes ─────▶ last? ── yes ──▶ a record
//!   ▲                                                     │ no
//!   └─────────────────────────────────────────────────────┘
//! ```
//!
//! A fragment may be cut anywhere by TCP, and a record anywhere by the client: libtirpc sends one fragment for each of its
//! buffers. The deployed server of 2005 took every fragment for a record; we put them together.
//!
//! Invariants: a record never grows beyond its bound, and memory grows by what was received, never by what a header
//! announces. A record has at most as many fragments as it may have bytes, so that empty ones do not go on for ever.

/// Bit of a header that marks a record's last fragment.
const LAST: u32 = 1 << 31;

/// Why a stream is not one of records that we take. Nothing behind it can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Misframed {
    /// A record is announced to be longer than its bound.
    #[error("a record is longer than {max} bytes")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// A record has more fragments than it may have bytes.
    #[error("a record has more than {max} fragments")]
    TooManyFragments {
        /// The bound.
        max: usize,
    },
}

/// Puts the fragments of one stream together.
#[derive(Debug)]
pub struct Reassembler {
    record_bytes_max: usize,
    record: Vec<u8>,
    fragments: usize,
    header: [u8; 4],
    /// Bytes of the header that are there.
    header_len: usize,
    /// Bytes of the fragment that are to come.
    left: usize,
    last: bool,
}

impl Reassembler {
    /// For records of at most `record_bytes_max` bytes.
    #[must_use]
    pub const fn new(record_bytes_max: usize) -> Reassembler {
        Reassembler {
            record_bytes_max,
            record: Vec::new(),
            fragments: 0,
            header: [0; 4],
            header_len: 0,
            left: 0,
            last: false,
        }
    }

    /// Takes from the front of `input` until a record is whole, and gives it; `None` when `input` is used up before.
    ///
    /// # Errors
    /// [`Misframed`]; the stream is of no use any more.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, Misframed> {
        loop {
            if self.header_len < self.header.len() {
                let wanted = self.header.len() - self.header_len;
                let (head, rest) = input.split_at(wanted.min(input.len()));
                self.header[self.header_len..][..head.len()].copy_from_slice(head);
                self.header_len += head.len();
                *input = rest;
                if self.header_len < self.header.len() {
                    return Ok(None);
                }
                self.begin_fragment()?;
            }
            let (head, rest) = input.split_at(self.left.min(input.len()));
            self.record.extend_from_slice(head);
            self.left -= head.len();
            *input = rest;
            if self.left > 0 {
                return Ok(None);
            }
            self.header_len = 0;
            if self.last {
                self.fragments = 0;
                return Ok(Some(std::mem::take(&mut self.record)));
            }
        }
    }

    fn begin_fragment(&mut self) -> Result<(), Misframed> {
        let max = self.record_bytes_max;
        let header = u32::from_be_bytes(self.header);
        self.last = header & LAST != 0;
        // A length that does not fit is above any bound.
        self.left = usize::try_from(header & !LAST).unwrap_or(usize::MAX);
        if self.left > max - self.record.len() {
            return Err(Misframed::TooLong { max });
        }
        self.fragments += 1;
        if self.fragments > max {
            return Err(Misframed::TooManyFragments { max });
        }
        Ok(())
    }

    /// Bytes of an unfinished record that are there; `None` between records.
    #[must_use]
    pub fn begun(&self) -> Option<usize> {
        (self.fragments > 0 || self.header_len > 0).then_some(self.record.len())
    }
}

/// A record of one fragment: `write` appends its bytes to what is in `out` already.
pub fn framed(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let len = out.len() - at - 4;
    debug_assert!(len < LAST as usize, "what we send is far shorter");
    out[at..at + 4].copy_from_slice(&(LAST | len as u32).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(last: bool, bytes: &[u8]) -> Vec<u8> {
        let header = bytes.len() as u32 | if last { LAST } else { 0 };
        [&header.to_be_bytes()[..], bytes].concat()
    }

    /// All records of a stream that arrives in pieces of so many bytes.
    fn records(stream: &[u8], piece: usize, max: usize) -> Result<Vec<Vec<u8>>, Misframed> {
        let (mut reassembler, mut records) = (Reassembler::new(max), Vec::new());
        for mut input in stream.chunks(piece) {
            while let Some(record) = reassembler.next(&mut input)? {
                records.push(record);
            }
            assert!(input.is_empty());
        }
        assert_eq!(reassembler.begun(), None, "the stream ends between records");
        Ok(records)
    }

    #[test]
    fn records_are_the_same_however_they_are_cut() {
        let stream = [
            fragment(true, b"one"),
            fragment(false, b"t"),
            fragment(false, b""),
            fragment(true, b"wo"),
            fragment(false, b"three"),
            fragment(true, b""),
            fragment(true, b""),
        ]
        .concat();
        let expected: Vec<Vec<u8>> = [&b"one"[..], b"two", b"three", b""].map(<[u8]>::to_vec).into();
        for piece in 1..=stream.len() {
            assert_eq!(records(&stream, piece, 5), Ok(expected.clone()), "pieces of {piece}");
        }
    }

    #[test]
    fn a_record_beyond_its_bound_is_refused_by_its_header() {
        for len in [6, 1 << 20, (1 << 31) - 1] {
            for last in [0, LAST] {
                let header = (len | last).to_be_bytes();
                assert_eq!(records(&header, 4, 5), Err(Misframed::TooLong { max: 5 }));
            }
        }
        let grown = [fragment(false, b"abc"), fragment(true, b"def")].concat();
        assert_eq!(records(&grown, 100, 5), Err(Misframed::TooLong { max: 5 }));
        assert_eq!(records(&[0; 4 * 6], 100, 5), Err(Misframed::TooManyFragments { max: 5 }));
    }

    #[test]
    fn a_record_of_our_own_is_read_back() {
        let mut out = Vec::new();
        framed(&mut out, |out| out.extend_from_slice(b"hello"));
        framed(&mut out, |_| {});
        assert_eq!(records(&out, 3, 5), Ok(vec![b"hello".to_vec(), Vec::new()]));
    }
}
