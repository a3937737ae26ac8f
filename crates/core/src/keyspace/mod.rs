//! Pure geometry of the key space. No state, no messages: laws only, tested as laws.

pub mod ring;

pub use ring::Arc;
