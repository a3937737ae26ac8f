//! On which level walks begin (4.2): the mode of the last sixteen levels on which walks ended, and 2 before there is one.
//!
//! In a tree at rest most walks end on one level, about log_b of the number of members. Beginning there makes a lookup cost
//! little more than one get.

use std::collections::VecDeque;

/// The level to begin with when nothing is known.
pub const LEVEL_FIRST: u16 = 2;
/// How many walks are remembered.
pub const WALKS_REMEMBERED: usize = 16;

/// The levels on which the last walks ended, the latest last.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Levels {
    ended: VecDeque<u16>,
}

impl Levels {
    /// Nothing known.
    #[must_use]
    pub const fn new() -> Levels {
        Levels { ended: VecDeque::new() }
    }

    /// The level to begin with. Of several that are equally frequent, the one seen latest.
    #[must_use]
    pub fn start(&self) -> u16 {
        let frequency = |level: &u16| self.ended.iter().filter(|other| *other == level).count();
        // The last of several maxima is taken, which is the latest.
        self.ended.iter().copied().max_by_key(frequency).unwrap_or(LEVEL_FIRST)
    }

    /// A walk ended on this level.
    pub fn note(&mut self, level: u16) {
        if self.ended.len() == WALKS_REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back(level);
    }
}
