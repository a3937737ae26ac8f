//! Pure geometry of the key space. No state, no messages: laws only, tested as laws.

pub mod ring;
pub mod xor;

pub use ring::Arc;

/// How keys are placed on members.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Geometry {
    /// The root is the first member at or after the key, clockwise; replicas are the members that follow.
    Ring,
    /// The root is the member nearest by [`xor::rank`]; replicas are the next nearest.
    Xor,
}
