//! # keyway-net: the driver that runs a node on a real machine
//!
//! The only crate with sockets, files and the clocks of the operating system. It decides nothing: a
//! [`keyway_core::Machine`] does; the driver moves bytes, time and disk results for it, as the simulator does.
//!
//! ```text
//!   NodeHandle::op ──▶ queue ──┐                                     ┌──▶ UDP socket      (transport/udp)
//!   UDP socket ────────────────┤      one task per node (driver)     ├──▶ TCP streams     (transport/stream)
//!   TCP streams ───────────────┼──▶  Machine::handle(now, batch) ────┼──▶ commit and read threads ──▶ redb  (disk)
//!   disk results ──────────────┤                                     ├──▶ answers of ops
//!   deadline ──────────────────┘                                     └──▶ log, metrics
//! ```
//!
//! Every queue is bounded, and its bound is a constant with a name. A full one is an outcome: a refused operation
//! (`Busy`), a lost frame (counted), or back-pressure.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use keyway_core::machine::{Op, OpDone, Reads};
//! use keyway_core::{Duration, Id};
//! use keyway_net::{NodeSettings, start};
//!
//! let node = start(NodeSettings { data: Some("node-data".into()), ..NodeSettings::default() }).await?;
//! node.wait_member().await?;
//!
//! let (key, ttl) = (Id::of_text("colors"), Duration::from_secs(86_400));
//! node.op(Op::put(key, b"red".to_vec(), ttl)).await?;
//!
//! let (page_bytes, overhead_bytes) = (u32::MAX, 0);
//! let get = Op::Get { key, max: 10, after: None, reads: Reads::Quorum, page_bytes, overhead_bytes, signer: None };
//! if let OpDone::Got(answer) = node.op(get).await? {
//!     assert_eq!(answer.values[0].bytes, b"red");
//! }
//! node.stop().await;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod clock;
pub mod disk;
mod driver;
mod handle;
pub mod metrics;
mod settings;
pub mod transport;

pub use disk::Durability;
pub use handle::{MemberError, NodeHandle, OP_QUEUE_MAX, start, start_with};
pub use metrics::{DiskMetrics, DriverMetrics};
pub use settings::{DEFAULT_PORT, NodeSettings, SEEDS_MAX, StartError};
