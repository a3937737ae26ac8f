//! `keyway sim paper redir-lookups`: the figures of ReDiR (OpenDHT, SIGCOMM 2005, section 5).
//!
//! ```text
//!   world.rs   a store with lives in virtual time; clients that run `keyway_client::redir`'s own walks on it
//!   fixed.rs   16 to 32,768 clients that stay: gets for a lookup, and whether it finds the true successor
//!   churn.rs   128 clients that live for a median of 1 to 32 minutes: ten lookups of a key at once, compared
//! ```
//!
//! The walks are those that the library runs over a network; what answers them here is one table instead of a network, for
//! no figure depends on how the values are kept. It stands in this crate because the simulator does not know the client.

mod churn;
mod fixed;
mod world;

use keyway_sim::experiments::{Ask, Experiment, Measured, Outcome, Row, Tolerance};

/// What this folder adds to the simulator's own list.
pub(super) static EXPERIMENTS: &[Experiment] = &[Experiment::new(
    "redir-lookups",
    "gets for a lookup among 16 to 32,768 clients, and whether lookups are right while clients come and go",
    "OpenDHT (SIGCOMM 2005), section 5",
    lookups,
)];

/// `redir-lookups`: clients that stay, then clients that come and go.
fn lookups(ask: &Ask<'_>) -> Outcome {
    let (fixed, churn) = (fixed::run(ask), churn::run(ask));
    Outcome {
        notes: [fixed.notes, churn.notes].concat(),
        rows: [fixed.rows, churn.rows].concat(),
        plots: [fixed.plots, churn.plots].concat(),
        ..Outcome::default()
    }
}

fn row(at: String, what: &'static str, published: Option<f64>, ours: Measured, tolerance: Tolerance) -> Row {
    Row { at, what, published, ours, tolerance }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_look_agrees_with_the_paper_and_is_the_same_again() {
        let look = || EXPERIMENTS[0].run(&Ask { rings: 1, seed: 7, quick: true, progress: &|_, _| {} });
        let outcome = look();
        assert!(outcome.pass, "{}", outcome.table());
        let of = |what: &str| outcome.rows.iter().filter(|row| row.what == what).count();
        assert_eq!((of("gets a lookup"), of("wrong lookups"), of("consistent, %")), (13, 7, 6));
        assert_eq!(outcome.plots.len(), 2);
        assert_eq!(look(), outcome);
    }
}
