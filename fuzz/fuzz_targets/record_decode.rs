//! Runs the body in `fuzz/src/record_decode.rs` on arbitrary bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keyway_fuzz::record_decode::run(data));
