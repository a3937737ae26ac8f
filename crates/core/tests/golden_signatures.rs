//! What a signer signs, as docs/protocol.md prints it: the signatures of the document are those of this build, and hold.
//!
//! `crates/client` reads the same lines in its tests, since it builds the signed text without this crate.
//! `cargo xtask golden` writes the document's block again; a change here is a change of what signatures cover.

mod golden;

use std::fmt::Write as _;

use ed25519_dalek::{Signer as _, SigningKey};
use keyway_core::Id;
use keyway_core::frame::NetworkId;
use keyway_core::store::proof::{Claim, series_name, sha256, signed_name, signer_place};
use keyway_core::store::{Kind, Proof};

const HEADING: &str = "## Golden signatures\n";

const SEED: [u8; 32] = [7; 32];
const NONCE: [u8; 32] = [9; 32];
const EXPIRES_SECS: u64 = 1_700_086_400;
const NETWORK: NetworkId = NetworkId(7);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn examples() -> [(&'static str, Kind, Vec<u8>, u64, Id); 4] {
    let value = b"red";
    let (signed, series) = (signed_name(&sha256(value), &NONCE), series_name(&NONCE));
    [
        ("signed", Kind::Signed, value.to_vec(), 0, signed),
        ("signed-remove", Kind::SignedRemove, sha256(value).to_vec(), 0, signed),
        ("sequenced", Kind::Sequenced, value.to_vec(), 5, series),
        ("sequenced-remove", Kind::SequencedRemove, Vec::new(), 6, series),
    ]
}

fn block() -> String {
    let signing_key = SigningKey::from_bytes(&SEED);
    let public_key = signing_key.verifying_key().to_bytes();
    let mut text = format!("public key {}\nplace {}\n", hex(&public_key), signer_place(&public_key));
    for (name, kind, content, seq, value_hash) in examples() {
        let key = Id::of_text("colors");
        let claim = Claim { kind, network: NETWORK, key: &key, content: &content, seq };
        let mut proof = Proof { public_key, nonce: NONCE, expires_secs: EXPIRES_SECS, signature: [0; 64] };
        proof.signature = signing_key.sign(&claim.text(&proof)).to_bytes();
        assert!(claim.is_proven_by(&proof), "{name}");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name} {value_hash} {}", hex(&proof.signature));
    }
    text
}

#[test]
fn the_document_shows_the_signatures_that_are_made() {
    golden::hold(HEADING, &block(), "what is signed has changed");
}
