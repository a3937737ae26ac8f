//! Runs the body in `fuzz/src/sunrpc_record.rs` on arbitrary bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keyway_fuzz::sunrpc_record::run(data));
