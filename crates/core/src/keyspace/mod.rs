//! Pure geometry of the key space. No state, no messages: laws only, tested as laws.

pub mod ring;
pub mod xor;

pub use ring::Arc;
