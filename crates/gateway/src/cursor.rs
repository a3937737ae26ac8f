//! Places as clients hold them, opaque: in the put-time order of a key's values, as bytes or the same in base64url; and
//! among the records of a node.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyway_core::store::Cursor;
use keyway_core::wire::{self, Wire};

/// As bytes: the placemark of XML-RPC.
pub(crate) fn bytes(cursor: &Cursor) -> Vec<u8> {
    wire::to_vec(cursor)
}

/// From bytes; `None` if no gateway wrote them.
pub(crate) fn read(bytes: &[u8]) -> Option<Cursor> {
    wire::from_slice(bytes).ok()
}

/// As text: a cursor of the REST interface.
pub(crate) fn text(place: &impl Wire) -> String {
    URL_SAFE_NO_PAD.encode(wire::to_vec(place))
}

/// From text; `None` if no gateway wrote it for this kind of place.
pub(crate) fn read_text<P: Wire>(text: &str) -> Option<P> {
    wire::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}
