//! Every lookup names the true root. After the heal, and in calm worlds.

use super::{Complaint, Verdict as Judgement};
use crate::workload::lookups::{Ended, Verdict};

/// Judges an ended lookup of the host `asker`.
///
/// # Errors
/// If it named nobody, or somebody else.
pub fn judge(asker: usize, ended: &Ended) -> Judgement {
    match ended.verdict {
        Verdict::Correct => Ok(()),
        Verdict::Incorrect => {
            Err(Complaint::new("lookups", format!("n{asker} was given a wrong root of {:.8}", ended.target)))
        }
        Verdict::Failed => {
            Err(Complaint::new("lookups", format!("n{asker} found no root of {:.8}", ended.target)))
        }
    }
}
