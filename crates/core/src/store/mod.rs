//! Records: what they are, how copies merge, which are kept, and until when. Disk is an effect (see `machine`).

pub mod record;

pub use record::{Cursor, Head, Identity, Kind, Record};
