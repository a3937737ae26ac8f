//! # keyway-client: put and get from outside the network
//!
//! An asynchronous client of Keyway's gateways (HTTP/JSON under `/v1`). It needs no part of a node: an application that
//! links it stores and finds values through any gateway it may reach, and fails over between several.
//!
//! ```no_run
//! use keyway_client::{Client, GetOptions, Key};
//!
//! # async fn example() -> Result<(), keyway_client::ClientError> {
//! let client = Client::new(&["http://127.0.0.1:5851".into(), "http://127.0.0.1:5861".into()])?;
//! let key = Key::text("colors");
//! let receipt = client.put(&key, "red".into(), None).await?;
//! println!("stored on {} nodes until {}", receipt.acked.len(), receipt.expires_ms);
//! for value in client.get(&key, &GetOptions::default()).await?.values {
//!     println!("{}", String::from_utf8_lossy(&value.bytes));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What is bounded: the time of one attempt, the time of all attempts together, their number, and the size of an answer
//! ([`ClientSettings`]). What is checked: a value that comes back must have the hash under which it is known, or the
//! signature of its signer, else the answer is [`ClientError::Invalid`]. On top of put and get, [`redir`] finds members of any
//! set of machines, and [`publish`] keeps pointers to data that stays with its publishers, and fetches it from them. What is absent:
//! TLS (put a proxy in front), and any server code. Gateways that are not open to everybody are shown an [`AccessToken`].
//!
//! A value put under the hash of a [`Secret`] can be removed by whoever knows that. A [`Signer`] signs values of its own, or the
//! numbers of a series, each of which takes the place of the one before ([`Claim`]).
//!
//! This crate depends on no other crate of the workspace.

mod access;
mod admin;
mod answer;
mod bulk;
mod client;
mod distance;
mod failure;
mod gateways;
mod hex;
mod key;
pub mod publish;
pub mod redir;
mod signing;
#[cfg(test)]
mod tests;
mod watch;

pub use access::AccessToken;
pub use admin::{Fate, RestoreError, Restored, SnapshotBytes};
pub use answer::{
    Asked, Check, ClientUsage, CopyHead, GetOptions, Held, HeldRecord, Kind, Network, NetworkNode, Node,
    OtherTerms, Page, PeerName, PeerView, Peers, PutOptions, PutReceipt, Readiness, Reads, RemoveReceipt,
    Replica, Shares, Table, TraceStep, Traced, Usage, Value, Whereabouts,
};
pub use bulk::BulkPut;
pub use client::{Client, ClientSettings, GATEWAY_DEFAULT, expires_in};
pub use failure::{ClientError, Tried};
pub use hex::{Authenticator, Hex, Nonce, PublicKey, SignatureBytes};
pub use key::{KEY_BYTES, Key};
pub use signing::{Claim, Proof, SECRET_BYTES_MAX, Secret, SignedKind, Signer};
pub use watch::{Event, Gone, Watch};
