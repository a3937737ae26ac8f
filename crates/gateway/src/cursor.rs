//! The place in the put-time order of a key's values, as clients hold it: opaque bytes, or the same in base64url.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyway_core::store::Cursor;
use keyway_core::wire::{Reader, Wire as _, Writer};

/// Length of a place: put time 8, ttl 8, secret hash 20, value hash 20.
pub(crate) const CURSOR_BYTES: usize = 56;

/// As bytes: the placemark of XML-RPC.
pub(crate) fn bytes(cursor: &Cursor) -> Vec<u8> {
    let mut out = Vec::with_capacity(CURSOR_BYTES);
    cursor.encode(&mut Writer::new(&mut out));
    out
}

/// From bytes; `None` if no gateway wrote them.
pub(crate) fn read(bytes: &[u8]) -> Option<Cursor> {
    let mut reader = Reader::new(bytes);
    let cursor = Cursor::decode(&mut reader).ok()?;
    reader.finish().ok()?;
    Some(cursor)
}

/// As text: the cursor of the REST interface.
pub(crate) fn text(cursor: &Cursor) -> String {
    URL_SAFE_NO_PAD.encode(bytes(cursor))
}

/// From text; `None` if no gateway wrote it.
pub(crate) fn read_text(text: &str) -> Option<Cursor> {
    read(&URL_SAFE_NO_PAD.decode(text).ok()?)
}
