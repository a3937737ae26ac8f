//! Iterative lookup over any overlay.
