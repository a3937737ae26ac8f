//! The reader of snapshots: whatever a file holds, it does not panic, gives the same however the bytes come, and gives no record that
//! was not written.

use keyway_core::frame::NetworkId;
use keyway_core::store::Record;
use keyway_core::store::snapshot::{Found, Header, NoSnapshot, Packer, Unpacker};
use keyway_core::{Duration, Id, Wall};

/// Reads the bytes as they are, then as changes of a good snapshot: three bytes each, a place and what is put there.
pub fn run(data: &[u8]) {
    let Some((piece, bytes)) = data.split_first() else { return };
    let piece = usize::from(*piece) + 1;
    assert_eq!(read(bytes, piece), read(bytes, bytes.len().max(1)), "it depends on the pieces");

    let records = records();
    let good = packed(&records);
    let mut changed = good.clone();
    for change in bytes.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % changed.len();
        changed[at] = change[2];
    }
    let Ok(found) = read(&changed, piece) else { return };
    let mut left = records.iter();
    let (mut told, mut whole) = (changed == good, false);
    for one in found {
        match one {
            Found::Record(record) => assert!(left.any(|r| *r == record), "nobody wrote {record:?}"),
            Found::Damaged { .. } => told = true,
            Found::End(_) => whole = true,
        }
    }
    assert!(told || !whole, "damage that nobody was told of");
}

fn records() -> Vec<Record> {
    let (put_time, ttl) = (Wall(1_700_000_000_000_000), Duration::from_secs(60));
    let record =
        |n: u64, bytes: usize| Record::plain(Id::from_u64(n), vec![n as u8; bytes], put_time, ttl, n);
    let removal = Record::removal(Id::from_u64(4), Id::sha1(b"v"), b"sesame".to_vec(), put_time, ttl, 4);
    vec![record(1, 0), record(2, 30), removal, record(3, 300)]
}

fn packed(records: &[Record]) -> Vec<u8> {
    let header = Header { network: NetworkId(7), node: Id::from_u64(9), began: Wall(5), key: [3; 16] };
    let mut out = Vec::new();
    let mut packer = Packer::begin(&header, &mut out);
    records.iter().for_each(|record| packer.record(record, &mut out));
    packer.end(0, Wall(6), &mut out);
    out
}

fn read(bytes: &[u8], piece: usize) -> Result<Vec<Found>, NoSnapshot> {
    let (mut unpacker, mut found) = (Unpacker::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        unpacker.feed(piece);
        while let Some(one) = unpacker.step()? {
            found.push(one);
        }
    }
    unpacker.close();
    while let Some(one) = unpacker.step()? {
        found.push(one);
    }
    Ok(found)
}
