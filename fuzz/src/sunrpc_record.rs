//! Sun RPC: whatever a client sends are records of calls or errors, never a panic, and the same however TCP cuts it.
//!
//! The first byte says how long the pieces are in which the rest arrives.

use keyway_gateway::sunrpc::message::{NotACall, open};
use keyway_gateway::sunrpc::program::{Call, decode};
use keyway_gateway::sunrpc::record::{Misframed, Reassembler};

/// Longest record and longest value taken here.
const RECORD_BYTES_MAX: usize = 2048;
const VALUE_BYTES_MAX: usize = 1024;

/// Reads `data` as the stream of one connection.
pub fn run(data: &[u8]) {
    let Some((piece, stream)) = data.split_first() else { return };
    let whole = records(stream, stream.len().max(1));
    assert_eq!(records(stream, usize::from(*piece).max(1)), whole, "it matters where the stream is cut");
    let (records, _) = whole;
    let bytes: usize = records.iter().map(Vec::len).sum();
    assert!(bytes <= stream.len(), "{bytes} bytes out of {}", stream.len());
    for record in &records {
        read(record);
    }
}

/// All records of a stream that arrives in pieces, and what ended it.
fn records(stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, Option<Misframed>) {
    let (mut reassembler, mut records) = (Reassembler::new(RECORD_BYTES_MAX), Vec::new());
    for mut input in stream.chunks(piece) {
        loop {
            match reassembler.next(&mut input) {
                Ok(Some(record)) => records.push(record),
                Ok(None) => break,
                Err(why) => return (records, Some(why)),
            }
            assert!(records.last().is_some_and(|record| record.len() <= RECORD_BYTES_MAX));
        }
        assert!(input.is_empty(), "something was left without a record");
        assert!(reassembler.begun().is_none_or(|held| held <= RECORD_BYTES_MAX));
    }
    (records, None)
}

/// Reads a record as a call, and whatever it holds.
fn read(record: &[u8]) {
    let (head, args) = match open(record) {
        Ok(opened) => opened,
        Err(NotACall::OtherRpcVersion { xid }) => {
            assert_eq!(record.get(..4), Some(&xid.to_be_bytes()[..]));
            return;
        }
        Err(NotACall::Unreadable(_) | NotACall::OtherDirection) => return,
    };
    match decode(&head, args, VALUE_BYTES_MAX) {
        Ok(Call::Null) => {}
        Ok(Call::Put { value, secret_hash, .. }) => {
            assert!(value.len() <= VALUE_BYTES_MAX);
            assert!(secret_hash.is_none_or(|hash| head.version == 3 && (1..=40).contains(&hash.len())));
        }
        Ok(Call::Get { placemark, .. }) => assert!(placemark.len() <= 100),
        Ok(Call::Remove { secret, .. }) => assert!(head.version == 3 && secret.len() <= 40),
        Err(stat) => assert!((1..=4).contains(&stat.code())),
    }
}
