//! Copies: placement, handoff, repair, sync.
