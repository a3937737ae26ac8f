//! Runs the body in `fuzz/src/signed_record.rs` on arbitrary bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keyway_fuzz::signed_record::run(data));
