//! Runs the body in `fuzz/src/machine_datagrams.rs` on arbitrary bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keyway_fuzz::machine_datagrams::run(data));
