//! Operations succeed: in calm worlds, where nothing stands in their way but lost frames.

use super::{Complaint, Verdict};

/// Judges the end of an operation; `what` names it.
///
/// # Errors
/// If it failed.
pub fn judge(what: &str, failed: Option<String>) -> Verdict {
    failed
        .map_or(Ok(()), |why| Err(Complaint::new("service", format!("{what} failed in a calm world: {why}"))))
}
