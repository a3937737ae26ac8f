//! Whatever travels or lies on disk about records: read without panic, and written back to the same bytes.

use core::fmt::Debug;

use keyway_core::keyspace::Arc;
use keyway_core::replica::sync::{Answer, Question};
use keyway_core::store::record::HEAD_BYTES;
use keyway_core::store::{Cursor, Digest, Head, Identity, Record};
use keyway_core::wire::{Reader, Wire, from_slice, to_vec};

/// The first byte chooses what the rest is read as.
pub fn run(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else { return };
    match choice % 8 {
        0 => round_trip::<Record>(bytes),
        1 => round_trip::<Head>(bytes),
        2 => round_trip::<Identity>(bytes),
        3 => round_trip::<Cursor>(bytes),
        4 => round_trip::<Digest>(bytes),
        5 => round_trip::<Question>(bytes),
        6 => round_trip::<Answer>(bytes),
        _ => round_trip::<Arc>(bytes),
    }
    if let Ok(record) = from_slice::<Record>(bytes) {
        // Neither may panic, whatever the head says.
        let _ = (record.is_intact(), record.head.rank(), record.head.cursor());
        assert!(record.head.expires() >= record.head.put_time, "a life never ends before it begins");
    }
    if let Ok(list) = Reader::new(bytes).list::<Record>(256) {
        assert!(list.len() * HEAD_BYTES <= bytes.len(), "more records than the bytes can hold");
    }
}

/// What is read is written back as it was: there is one form for each value.
fn round_trip<T: Wire + Debug>(bytes: &[u8]) {
    if let Ok(value) = from_slice::<T>(bytes) {
        assert_eq!(to_vec(&value), bytes, "{value:?} has two forms");
    }
}
