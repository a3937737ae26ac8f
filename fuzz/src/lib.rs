//! The bodies of the fuzz targets. Each is a function of bytes that must not panic; the corpus tests of the workspace
//! (`crates/core/tests/corpus.rs`, `crates/gateway/tests/corpus.rs`) include the same files by path.

pub mod frame_decode;
pub mod machine_datagrams;
pub mod record_decode;
pub mod rest_request;
pub mod signed_record;
pub mod snapshot_read;
pub mod sunrpc_record;
pub mod xmlrpc_reader;
