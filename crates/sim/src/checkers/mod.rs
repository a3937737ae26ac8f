//! Judges, one property a file. Each says when it must hold: always, in calm worlds, or after the heal.

use keyway_core::overlay::Violation;

/// A property was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Complaint {
    /// Whose property.
    pub checker: &'static str,
    /// What was seen, for people.
    pub detail: String,
}

impl Complaint {
    /// A complaint of `checker`.
    #[must_use]
    pub fn new(checker: &'static str, detail: String) -> Complaint {
        Complaint { checker, detail }
    }
}

impl From<(usize, Violation)> for Complaint {
    /// A machine broke its own rules.
    fn from((host, violation): (usize, Violation)) -> Complaint {
        Complaint::new("local", format!("n{host}: {violation}"))
    }
}

impl std::fmt::Display for Complaint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.checker, self.detail)
    }
}
