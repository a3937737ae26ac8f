//! Runs the body in `fuzz/src/xmlrpc_reader.rs` on arbitrary bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keyway_fuzz::xmlrpc_reader::run(data));
