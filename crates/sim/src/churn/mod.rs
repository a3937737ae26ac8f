//! Who comes and goes, and when.
//!
//! | what | file |
//! | --- | --- |
//! | each host has sessions and absences (exponential, Weibull, Pareto ...) | [`sessions`] |
//! | joins and failures of the whole network as Poisson processes | [`poisson`] |
//! | mass failure, flash crowd, partitions: at stated times | [`script`] |

pub mod poisson;
pub mod script;
pub mod sessions;
