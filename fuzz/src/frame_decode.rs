//! Frames: raw bytes, and the same bytes under a good MAC, so that headers and bodies behind it are reached.

use core::fmt::Debug;
use core::hash::Hasher as _;

use keyway_core::frame::{self, DATAGRAM_BYTES_MAX, FrameError, FrameKey, MAC_BYTES, MAGIC, VERSION};
use keyway_core::node::message::Message;
use keyway_core::overlay::{chord::Chord, toy::Toy};
use keyway_core::wire::{Wire, from_slice, to_vec};
use sha2::{Digest as _, Sha256};
use siphasher::sip128::{Hasher128 as _, SipHasher24};

/// Opens `data` as a frame, then as the inside of a sealed one.
pub fn run(data: &[u8]) {
    let key = FrameKey::open_network();
    open(&key, data);
    open(&key, &sealed(data));
}

/// `inside` between our magic and version and a good MAC of an open network. Written from docs/protocol.md alone, so it
/// also holds the document to the code.
pub fn sealed(inside: &[u8]) -> Vec<u8> {
    let purpose: &[u8] = b"keyway open network v1";
    let digest: [u8; 32] = Sha256::new()
        .chain_update((purpose.len() as u64).to_be_bytes())
        .chain_update(purpose)
        .finalize()
        .into();
    let mut key = [0; 16];
    key.copy_from_slice(&digest[..16]);
    let mut bytes = [&MAGIC[..], &[VERSION], inside].concat();
    let mut mac = SipHasher24::new_with_key(&key);
    mac.write(&bytes);
    bytes.extend_from_slice(&mac.finish128().as_bytes());
    bytes
}

fn open(key: &FrameKey, bytes: &[u8]) {
    let (header, body) = match frame::open(key, bytes) {
        Ok(opened) => opened,
        Err(FrameError::NotOurs | FrameError::Mac | FrameError::Version(_) | FrameError::Malformed(_)) => {
            return;
        }
    };
    let mut again = Vec::with_capacity(bytes.len());
    frame::seal(key, &header, &mut again, |w| w.bytes(body));
    assert_eq!(again, bytes, "a frame has two forms");
    assert!(body.len() + MAC_BYTES < bytes.len() && DATAGRAM_BYTES_MAX < frame::FRAME_BYTES_MAX);
    message::<Chord>(body);
    message::<Toy>(body);
}

fn message<O: keyway_core::overlay::Overlay>(body: &[u8])
where
    Message<O>: Wire + Debug,
{
    if let Ok(message) = from_slice::<Message<O>>(body) {
        assert_eq!(to_vec(&message), body, "{message:?} has two forms");
    }
}
