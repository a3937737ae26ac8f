//! Places as clients hold them, opaque: in the put-time order of a key's values, as bytes or the same in base64url; and
//! among the records of a node.
//!
//! ```text
//!   placemark:  | the place | the start of its hash 4 |          cursor of REST:  the place, in base64url
//! ```
//!
//! The hash tells what a gateway wrote from what a client made up, or damaged: placemarks of 2005 are of other lengths and forms, and to go on
//! anywhere else would lose or repeat values. It is no secret. A cursor of REST has its form in the OpenAPI document; whatever has it is a place.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyway_core::store::proof::sha256;
use keyway_core::wire::{self, Wire};

/// Bytes of the hash behind a place.
const HASH_BYTES: usize = 4;

/// As bytes: the placemark of XML-RPC and Sun RPC.
pub(crate) fn bytes(place: &impl Wire) -> Vec<u8> {
    let mut bytes = wire::to_vec(place);
    let hash = hash(&bytes);
    bytes.extend_from_slice(&hash);
    bytes
}

/// From bytes; `None` if no gateway wrote them for this kind of place.
pub(crate) fn read<P: Wire>(bytes: &[u8]) -> Option<P> {
    let (place, found) = bytes.split_last_chunk()?;
    (hash(place) == *found).then(|| wire::from_slice(place).ok()).flatten()
}

fn hash(place: &[u8]) -> [u8; HASH_BYTES] {
    let [a, b, c, d, ..] = sha256(place);
    [a, b, c, d]
}

/// As text: a cursor of the REST interface.
pub(crate) fn text(place: &impl Wire) -> String {
    URL_SAFE_NO_PAD.encode(wire::to_vec(place))
}

/// From text; `None` if no gateway wrote it for this kind of place.
pub(crate) fn read_text<P: Wire>(text: &str) -> Option<P> {
    wire::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use keyway_core::store::Cursor;
    use keyway_core::{Duration, Id, Wall};

    use super::*;

    #[test]
    fn a_place_comes_back_and_no_other_bytes_are_one() {
        let cursor = Cursor {
            put_time: Wall(1_700_000_000_000_000),
            ttl: Duration(60_000_000),
            secret_hash: Id::ZERO,
            value_hash: Id::from_u64(7),
        };
        let written = bytes(&cursor);
        assert!(written.len() <= 100, "the bound of Sun RPC");
        assert_eq!(read(&written), Some(cursor));
        assert_eq!(read_text(&text(&cursor)), Some(cursor));
        for at in 0..written.len() {
            let mut other = written.clone();
            other[at] ^= 1;
            assert_eq!(read::<Cursor>(&other), None, "byte {at}");
            assert_eq!(read::<Cursor>(&written[..at]), None, "cut after {at} bytes");
        }
        assert_eq!(read::<Cursor>(&[b'x'; 56]), None);
    }
}
