//! Copies: placement, handoff, repair, sync.

pub mod arcs;
pub mod shares;
pub mod sync;

#[cfg(test)]
mod tests;
