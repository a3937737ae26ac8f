//! Indirect storage: the network keeps a pointer, the data stays where it is.
//!
//! ```text
//!   publisher ── signed pointer, for some minutes, again and again ──▶ network, under the hash of the bytes
//!       ▲                                                                 │
//!       │                                                                 ▼
//!       └────────────── GET /sha256/…, HTTP, resumed anywhere ─────── fetcher, who hashes what comes
//! ```
//!
//! The inserting node "only places a pointer to the data into the Distributed Hash Table. The data itself remains on this
//! node, leading to reduced load in the DHT. However, the data is only available as long as the node is available" (Peer-to-Peer
//! Systems and Applications, 7.2.4). [`crate::Client::put`] is the other way of that section.
//!
//! | file | what |
//! | --- | --- |
//! | `content.rs` | what some bytes are: SHA-256 and length; the key is the first 160 bits |
//! | `manifest.rs` | a folder as one text, which is published like a file |
//! | `pointer.rs` | what is signed: which content, and where it is served |
//! | `address.rs` | where: `http://host:port`, and which addresses are not asked |
//! | `announce.rs` | a pointer put, renewed, removed |
//! | `find.rs` | the pointers under a key, those that cannot be meant left out |
//! | `fetch.rs`, `source.rs` | the bytes, from one publisher after another, until they have the right hash |
//!
//! Serving the bytes is not this crate's: it has no server code. `keyway-gateway` has, and `keyway publish` wires both.

mod address;
mod announce;
mod content;
mod fetch;
mod find;
mod manifest;
mod pointer;
mod source;
#[cfg(test)]
mod tests;

pub use address::Address;
pub use announce::Announcement;
pub use content::{Content, Hashing};
pub use fetch::{Fetch, FetchError, FetchSettings, SOURCES_MAX, SourceReport, Step};
pub use find::{Found, Publisher, Sought, find};
pub use manifest::{Entry, FILES_MAX, MANIFEST_BYTES_MAX, Manifest, check_path};
pub use pointer::{ADDRESSES_MAX, NAME_BYTES_MAX, POINTER_BYTES_MAX, Pointer, What, is_plain_name};
