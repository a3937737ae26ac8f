//! The datagram envelope. The same bytes travel in a UDP datagram, in a stream (behind a length) and in the simulator.
//!
//! ```text
//!  0      2   3    4          12            32      39/51    +label  +8           +8
//!  | "KW" | v | kind | network | sender: id | addr  | label | incarnation | request | body ... | MAC (16) |
//! ```
//!
//! The MAC is SipHash-2-4 with 128 bits of output over everything before it, under a key derived from the network key
//! (or from a public constant where there is none: then it is a checksum, and the node listens on loopback only).
//! A frame whose MAC fails gets **no answer**: a stranger learns nothing and cannot use us to reflect. Magic, version
//! and MAC keep their places in every version, so that a sealed frame of another version can be told apart from noise
//! and be refused by name.
//!
//! The request id is unpredictable, so that nobody off the path can forge a reply; the incarnation grows with every
//! start of a node, so that two processes with one identity are detected and frames of a former life are dropped.

use alloc::vec::Vec;
use core::borrow::Borrow;

use sha2::{Digest, Sha256};
use siphasher::sip128::SipHasher24;

pub use crate::id::NetworkId;
use crate::peer::{Interner, Peer};
use crate::wire::{Malformed, Reader, Wire, Writer};

/// First two bytes of every frame.
pub const MAGIC: [u8; 2] = *b"KW";
/// The protocol version that this build speaks.
pub const VERSION: u8 = 2;
/// Length of the MAC at the end.
pub const MAC_BYTES: usize = 16;
/// A frame is never longer: the greatest value (1 MiB) and room for its envelope and heads.
pub const FRAME_BYTES_MAX: usize = (1 << 20) + (64 << 10);
/// Up to this length a frame travels as one datagram, above it in a stream. Fits an IPv6 path of 1,280 bytes.
pub const DATAGRAM_BYTES_MAX: usize = 1_200;

/// The key of the MAC.
#[derive(Clone, PartialEq, Eq)]
pub struct FrameKey {
    // In the form in which every frame needs it.
    low: u64,
    high: u64,
}

impl FrameKey {
    /// The key of a network without a network key: a checksum, not a secret.
    #[must_use]
    pub fn open_network() -> FrameKey {
        FrameKey::derive(b"", b"keyway open network v1")
    }

    /// The key that a network key (the content of `--network-key-file`) gives.
    #[must_use]
    pub fn from_secret(secret: &[u8]) -> FrameKey {
        FrameKey::derive(secret, b"keyway frame mac v1")
    }

    fn derive(secret: &[u8], purpose: &[u8]) -> FrameKey {
        let mut h = Sha256::new();
        h.update((purpose.len() as u64).to_be_bytes());
        h.update(purpose);
        h.update(secret);
        let digest: [u8; 32] = h.finalize().into();
        let (mut low, mut high) = ([0; 8], [0; 8]);
        low.copy_from_slice(&digest[..8]);
        high.copy_from_slice(&digest[8..16]);
        FrameKey { low: u64::from_le_bytes(low), high: u64::from_le_bytes(high) }
    }

    pub(crate) fn mac(&self, bytes: &[u8]) -> u128 {
        let hash = SipHasher24::new_with_keys(self.low, self.high).hash(bytes);
        u128::from(hash.h2) << 64 | u128::from(hash.h1)
    }
}

impl core::fmt::Debug for FrameKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("FrameKey(..)")
    }
}

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// Expects nothing.
    Tell,
    /// Expects a reply under the same request id.
    Request,
    /// Answers a request.
    Reply,
    /// "I wait on a query of my own and will answer yours later": keeps the asker's timer alive (Zave).
    Busy,
    /// "I cannot speak with you", and why: body is one byte of [`Refusal`].
    Refused,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Tell, Kind::Request, Kind::Reply, Kind::Busy, Kind::Refused];
}

/// Why a sealed frame is not served. Sent back so that an operator can read the reason.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// We speak another protocol version; it stands in our header.
    Version,
    /// We belong to another network.
    Network,
    /// A newer incarnation of your identity has been seen: another process runs it.
    Superseded,
}

impl Wire for Refusal {
    fn encode(&self, w: &mut Writer<'_>) {
        w.u8(match self {
            Refusal::Version => 1,
            Refusal::Network => 2,
            Refusal::Superseded => 3,
        });
    }
    fn decode(r: &mut Reader<'_>) -> Result<Refusal, Malformed> {
        match r.u8()? {
            1 => Ok(Refusal::Version),
            2 => Ok(Refusal::Network),
            3 => Ok(Refusal::Superseded),
            _ => Err(Malformed("unknown refusal")),
        }
    }
}

/// Everything of a frame but its body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header<P = Peer> {
    /// What it is.
    pub kind: Kind,
    /// The sender's network.
    pub network: NetworkId,
    /// The sender, with the address at which it wants to be reached.
    pub from: P,
    /// Grows with every start of the sender.
    pub incarnation: u64,
    /// Ties a reply to its request; zero for [`Kind::Tell`].
    pub request: u64,
}

/// Why bytes are not a frame for us.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// Too short or too long, or without our magic: not for us at all.
    #[error("not a keyway frame")]
    NotOurs,
    /// The MAC does not fit: another network key, or damaged on the way.
    #[error("frame authentication failed")]
    Mac,
    /// Sealed under our key, but of a version that we do not speak.
    #[error("protocol version {0}, this node speaks {VERSION}")]
    Version(u8),
    /// Sealed and of our version, yet malformed: a bug of the sender.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Appends a sealed frame to `out`. `body` writes the body.
pub fn seal<P: Borrow<Peer>>(
    key: &FrameKey,
    header: &Header<P>,
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Writer<'_>),
) {
    let start = out.len();
    // Room for most frames at once, so that no field of it has to grow the buffer.
    out.reserve(256);
    let mut w = Writer::new(out);
    w.array([MAGIC[0], MAGIC[1], VERSION, header.kind as u8]);
    w.u64(header.network.0);
    header.from.borrow().encode(&mut w);
    w.u64(header.incarnation);
    w.u64(header.request);
    body(&mut w);
    let mac = key.mac(&out[start..]);
    out.extend_from_slice(&mac.to_le_bytes());
}

/// Checks and opens a frame; the body is borrowed.
///
/// # Errors
/// See [`FrameError`]; nothing is allocated for a frame that fails its MAC.
pub fn open<'a>(key: &FrameKey, bytes: &'a [u8]) -> Result<(Header, &'a [u8]), FrameError> {
    open_by(key, bytes, Reader::new)
}

/// The same, whose sender is the one of `interner`.
///
/// # Errors
/// See [`FrameError`].
pub fn open_with<'a>(
    key: &FrameKey,
    bytes: &'a [u8],
    interner: &Interner,
) -> Result<(Header, &'a [u8]), FrameError> {
    open_by(key, bytes, |rest| Reader::with(rest, interner))
}

fn open_by<'a, 'r>(
    key: &FrameKey,
    bytes: &'a [u8],
    reader: impl FnOnce(&'a [u8]) -> Reader<'r>,
) -> Result<(Header, &'a [u8]), FrameError> {
    if bytes.len() < 4 + MAC_BYTES || bytes.len() > FRAME_BYTES_MAX || bytes[..2] != MAGIC {
        return Err(FrameError::NotOurs);
    }
    let (sealed, mac) = bytes.split_last_chunk::<MAC_BYTES>().ok_or(FrameError::NotOurs)?;
    // Constant time: one comparison of whole words.
    if key.mac(sealed) ^ u128::from_le_bytes(*mac) != 0 {
        return Err(FrameError::Mac);
    }
    if sealed[2] != VERSION {
        return Err(FrameError::Version(sealed[2]));
    }
    let kind = *Kind::ALL.get(usize::from(sealed[3])).ok_or(Malformed("unknown frame kind"))?;
    let mut r = reader(&sealed[4..]);
    let header = Header {
        kind,
        network: NetworkId(r.u64()?),
        from: Peer::decode(&mut r)?,
        incarnation: r.u64()?,
        request: r.u64()?,
    };
    Ok((header, &sealed[sealed.len() - r.remaining()..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;
    use crate::peer::Addr;
    use alloc::vec;

    fn header() -> Header {
        Header {
            kind: Kind::Request,
            network: NetworkId(7),
            from: Peer::new(Id::from_u64(5), Addr::loopback(9)),
            incarnation: 3,
            request: 11,
        }
    }

    fn sealed(key: &FrameKey) -> Vec<u8> {
        let mut out = vec![];
        seal(key, &header(), &mut out, |w| w.bytes(b"hello"));
        out
    }

    #[test]
    fn a_frame_comes_back() {
        let key = FrameKey::from_secret(b"k");
        assert_eq!(open(&key, &sealed(&key)), Ok((header(), &b"hello"[..])));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let key = FrameKey::from_secret(b"k");
        let good = sealed(&key);
        for i in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[i / 8] ^= 1 << (i % 8);
            assert!(matches!(open(&key, &bad), Err(FrameError::Mac | FrameError::NotOurs)), "bit {i}");
        }
        for n in 0..good.len() {
            assert!(open(&key, &good[..n]).is_err(), "cut at {n}");
        }
        assert_eq!(open(&FrameKey::open_network(), &good), Err(FrameError::Mac));
    }

    #[test]
    fn another_version_is_told_apart_from_noise() {
        let key = FrameKey::from_secret(b"k");
        let mut bytes = sealed(&key);
        bytes.truncate(bytes.len() - MAC_BYTES);
        bytes[2] = VERSION + 1;
        let mac = key.mac(&bytes);
        bytes.extend_from_slice(&mac.to_le_bytes());
        assert_eq!(open(&key, &bytes), Err(FrameError::Version(VERSION + 1)));
    }
}
