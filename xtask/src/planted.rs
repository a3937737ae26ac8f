//! Planted bugs: known mistakes, each behind `--cfg keyway_bug="NAME"`, and what finds each of them. A judge that never
//! convicts is no judge: green means something only while these go red.

/// One planted bug and the hunt that must find it.
pub struct Bug {
    /// The value of the cfg.
    pub name: &'static str,
    /// The mistake in one line.
    pub about: &'static str,
    /// What must fail.
    pub hunt: Hunt,
}

/// What finds a bug.
#[derive(Clone, Copy)]
pub enum Hunt {
    /// A time-boxed sweep of seeds must report a violation.
    Sweep,
    /// This test of this package must fail.
    Test {
        /// The package.
        package: &'static str,
        /// A filter for the test's name.
        test: &'static str,
    },
}

/// Every planted bug.
pub static BUGS: &[Bug] = &[];
