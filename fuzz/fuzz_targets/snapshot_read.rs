//! Runs the body in `fuzz/src/snapshot_read.rs` on arbitrary bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keyway_fuzz::snapshot_read::run(data));
