//! The HTTP side: one port for every interface, and what a client may do to it.
//!
//! ```text
//!   listener ── accept, bounds ── gate ── hyper ── service ─┬─ XML-RPC   (POST of XML, or to / and /RPC2)
//!                                                           └─ router    (REST, health, metrics, page)
//! ```

pub(crate) mod body;
pub(crate) mod gate;
mod host;
mod listen;
pub(crate) mod service;

pub(crate) use listen::serve;
pub(crate) use service::Reached;
