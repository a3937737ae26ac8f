//! The node through its outer seam.
