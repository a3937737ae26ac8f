//! How the lookups of clients travel.
//!
//! ```text
//!   iterative        the asker asks one node after another itself
//!   recursive        each node passes the lookup on; the answer comes back the way it went
//!   semi-recursive   each node passes it on; the root answers the asker straight
//! ```
//!
//! Recursive lookups save half of the trips where links are alike, and let each hop use round trips that it knows; iterative
//! ones keep control with the asker (Dabek et al., "Designing a DHT for low latency and high throughput", NSDI'04, section
//! 4.1; Rhea et al., "Handling churn in a DHT", USENIX'04, section 5.3).

use alloc::string::String;
use core::str::FromStr;

/// How a client's lookup travels. The overlay's own lookups are iterative whatever is set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Style {
    /// The asker asks one node after another.
    #[default]
    Iterative,
    /// From node to node, and the answer back the same way.
    Recursive,
    /// From node to node, and the answer straight to the asker.
    SemiRecursive,
}

impl Style {
    /// All of them.
    pub const ALL: [Style; 3] = [Style::Iterative, Style::Recursive, Style::SemiRecursive];

    /// Its name, as in settings and answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Style::Iterative => "iterative",
            Style::Recursive => "recursive",
            Style::SemiRecursive => "semi-recursive",
        }
    }
}

impl FromStr for Style {
    type Err = String;

    fn from_str(name: &str) -> Result<Style, String> {
        let found = Style::ALL.into_iter().find(|style| style.name() == name);
        found.ok_or_else(|| {
            alloc::format!("no lookup style `{name}`; there are iterative, recursive and semi-recursive")
        })
    }
}
