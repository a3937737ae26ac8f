//! Runs the body in `fuzz/src/frame_decode.rs` on arbitrary bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keyway_fuzz::frame_decode::run(data));
