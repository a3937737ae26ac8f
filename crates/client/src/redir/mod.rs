//! ReDiR: a lookup service for any set of machines, inside the network or not, over put and get alone.
//!
//! Members register under a namespace; a lookup gives the member whose id is the first at or after a key. Rhea, Godfrey, Karp,
//! Kubiatowicz, Ratnasamy, Shenker, Stoica and Yu, "OpenDHT: a public DHT service and its uses" (SIGCOMM 2005), section 5;
//! the binary variant is that of Karp, Ratnasamy, Rhea and Shenker (IPTPS 2004).
//!
//! ```text
//!   Redir      over a network: join, refresh, look up, list, leave          service.rs, the only part with I/O
//!     │ runs
//!   walks      Register  Lookup  List       variable height, branching b    register.rs lookup.rs list.rs
//!              BinaryRegister ...           fixed binary depth              binary.rs
//!     │ ask for values under keys, are told them                            walk.rs
//!   tree.rs    which node of which level encloses an id, and its key
//!   entry.rs   who a member is, as bytes, in two forms
//!   levels.rs  where walks begin: the mode of the last sixteen
//! ```
//!
//! ```no_run
//! use std::time::Duration;
//! use keyway_client::redir::{Endpoint, Form, Redir, Refresh, Scheme};
//! use keyway_client::{Client, Key};
//!
//! # async fn example() -> Result<(), keyway_client::ClientError> {
//! let client = Client::new(&["http://127.0.0.1:5851".into()])?;
//! let service = Redir::new(client, b"printers", Scheme::default())?;
//! let me = Form::Native.endpoint(None, "192.0.2.7:5900")?;
//! let member = service.join(&me, Refresh::default()).await?;
//! let found = service.lookup(&Key::text("third floor")).await?;
//! println!("{:?}", found.successor);
//! member.leave().await;
//! # Ok(())
//! # }
//! ```
//!
//! What is promised, and what anybody who may put can break, stands in `docs/redir.md`.

mod binary;
mod entry;
mod levels;
mod list;
mod lookup;
mod register;
mod service;
mod sight;
#[cfg(test)]
mod tests;
mod tree;
mod walk;

pub use binary::{
    BINARY_LEVELS_DEFAULT, BINARY_LEVELS_MAX, BINARY_VALUES_MAX, BinaryList, BinaryLookup, BinaryRegister,
    BinaryTree,
};
pub use entry::{ADDRESS_BYTES_MAX, Endpoint, Form};
pub use levels::{LEVEL_FIRST, Levels, WALKS_REMEMBERED};
pub use list::{LIST_GETS_MAX, List, Listed};
pub use lookup::{LookedUp, Lookup};
pub use register::{Refresh, Register, Registered};
pub use service::{Member, Redir, Round, Scheme};
pub use tree::{
    BRANCHING_DEFAULT, BRANCHING_MAX, BRANCHING_MIN, NAMESPACE_BYTES_MAX, Tree, TreeNode, VALUES_PER_CELL,
};
pub use walk::{Ask, Found, Step, Walk};
