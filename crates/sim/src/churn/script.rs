//! Churn by the clock: what a scenario file orders for stated times.
//!
//! ```toml
//! [[event]]
//! at = "10m"
//! crash = 0.5            # half of the members, in one instant
//!
//! [[event]]
//! at = "20m"
//! join = 100             # a flash crowd of new hosts ...
//! over = "10s"           # ... spread over so long
//!
//! [[event]]
//! at = "30m"
//! partition = 0.5        # this share of all hosts on one side, the others on the other
//!
//! [[event]]
//! at = "40m"
//! heal = true            # all links whole again
//! ```
//!
//! Also: `leave = 0.1` (members that say goodbye) and `restart = true` (everyone who is away comes back).

use keyway_core::Duration;
use serde::{Deserialize, Serialize};

use crate::span;

/// One order.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// When, after the network was built; a warm-up counts.
    #[serde(with = "span::text")]
    pub at: Duration,
    /// This share of the members crashes in one instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crash: Option<f64>,
    /// This share of the members is asked to leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leave: Option<f64>,
    /// So many new hosts join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<u32>,
    /// The time over which joins are spread.
    #[serde(default, with = "span::text")]
    pub over: Duration,
    /// This share of the hosts is cut off from the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<f64>,
    /// All links are whole again.
    #[serde(default)]
    pub heal: bool,
    /// Everyone who is away comes back, with disk and id.
    #[serde(default)]
    pub restart: bool,
}

impl Step {
    /// Checks the numbers, for a run of this length, its warm-up included.
    ///
    /// # Errors
    /// A text for people.
    pub fn check(&self, length: Duration) -> Result<(), String> {
        let (at, ends) = (span::show(self.at), span::show(length));
        if self.at > length {
            return Err(format!("event at {at}: the run ends after {ends}, before it"));
        }
        let over = Duration(self.at.0 + self.over.0);
        if self.join.is_some() && over > length {
            let last = span::show(over);
            return Err(format!("event at {at}: its joins last until {last}, the run ends after {ends}"));
        }
        for (name, share) in [("crash", self.crash), ("leave", self.leave), ("partition", self.partition)] {
            if share.is_some_and(|s| !(0.0..=1.0).contains(&s)) {
                return Err(format!("event at {at}: `{name}` is a share from 0 to 1"));
            }
        }
        Ok(())
    }
}
