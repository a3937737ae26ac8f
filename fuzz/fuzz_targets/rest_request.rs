//! Runs the body in `fuzz/src/rest_request.rs` on arbitrary bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keyway_fuzz::rest_request::run(data));
