//! # keyway-core: the whole DHT, without I/O
//!
//! Everything that a node decides is in this crate. It is `no_std` + `alloc` and has no clock, socket, thread or
//! file: time and randomness are arguments, effects are listed, never done. Two drivers move bytes, time and disk
//! results for it: `keyway-sim` (the deterministic world) and `keyway-net` (tokio).
//!
//! ```text
//!            NodeInput                                 Outbox
//!  driver ────────────▶ Machine::handle ──────────────────────▶ driver      outer seam: bytes  (machine.rs)
//!                         │  node/: ops, timers, trace
//!             Input<O>    ▼              Effect<O>
//!            ────────▶ Overlay::handle ────────────▶ rpc, lookup            inner seam: typed  (cx.rs, overlay/)
//! ```
//!
//! Floors, lowest first; a floor uses only those below it:
//! `id time rng` < `keyspace wire peer` < `frame cx` < `overlay` < `rpc lookup store` < `replica` < `node`.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod cx;
pub mod frame;
pub mod id;
pub mod keyspace;
pub mod lookup;
pub mod machine;
pub mod node;
pub mod overlay;
pub mod peer;
pub mod replica;
pub mod rng;
pub mod rpc;
pub mod store;
pub mod time;
pub mod wire;

pub use id::Id;
pub use machine::{Machine, NodeInput, Outbox};
pub use peer::{Addr, Peer};
pub use time::{Duration, Mono, Now, Wall};
