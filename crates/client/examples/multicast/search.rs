//! Looking for a parent: ReDiR names candidates, and they are knocked at until one says yes.
//!
//! Entries of the dead are found until they end, so a candidate that cannot be reached is skipped: the next lookup begins just behind
//! it. A candidate that is full names its children, and those of them that are nearer to the root than we are asked in its place.

use keyway_client::redir::{Endpoint, Redir};
use keyway_client::{ClientError, Key};

use super::journal::Heard;
use super::link::{Knocked, Named, Wire, knock};
use super::place::Distance;

/// Candidates that one search knocks at.
const KNOCKS_MAX: u32 = 32;

/// Who looks for a parent.
#[derive(Clone)]
pub(crate) struct Seeker {
    pub(crate) redir: Redir,
    pub(crate) group: Key,
    pub(crate) me: Named,
    pub(crate) branching: u8,
}

/// What a search comes to.
pub(crate) enum Outcome {
    /// This member is our parent now.
    Parent(Wire, Named, Heard),
    /// No living member is nearer to the group's point than we.
    Root,
    /// There are nearer ones, and none took us: later again.
    Nobody,
    /// The network did not answer.
    Failed(ClientError),
}

impl Seeker {
    pub(crate) fn distance(&self, id: &Key) -> Distance {
        Distance::between(&self.group, id)
    }

    fn mine(&self) -> Distance {
        self.distance(&self.me.id)
    }

    /// Searches once.
    pub(crate) async fn search(&self, heard: Heard) -> Outcome {
        match self.candidates(heard).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failed(error),
        }
    }

    async fn candidates(&self, heard: Heard) -> Result<Outcome, ClientError> {
        let Some(root) = self.nearer_from(&self.group).await? else { return Ok(Outcome::Root) };
        let nearest = self.distance(root.id());
        let (mut knocks, mut knocked) = (0, Vec::new());
        let mut target = self.mine();
        loop {
            target = target.divided(self.branching);
            // Nobody is nearer than the nearest: from here on it would be found again and again.
            let last = target <= nearest;
            let mut from = if last { self.group } else { target.from(&self.group) };
            while let Some(candidate) = self.nearer_from(&from).await? {
                let mut open = vec![Named::of(&candidate)];
                while let Some(one) = open.pop() {
                    if knocked.contains(&one.id) {
                        continue;
                    }
                    if knocks >= KNOCKS_MAX {
                        return Ok(Outcome::Nobody);
                    }
                    knocks += 1;
                    match knock(&one.address, &self.me, heard.clone()).await {
                        Knocked::Accepted(wire, heard) => return Ok(Outcome::Parent(wire, one, heard)),
                        Knocked::Refused(children) => {
                            let mut nearer: Vec<Named> = children
                                .into_iter()
                                .filter(|child| self.distance(&child.id) < self.mine())
                                .collect();
                            // The nearest to us last, which is asked first.
                            nearer.sort_by_key(|child| self.distance(&child.id));
                            open.extend(nearer);
                        }
                        Knocked::Unreachable => {}
                    }
                    knocked.push(one.id);
                }
                from = self.distance(candidate.id()).next().from(&self.group);
            }
            if last {
                // All who are nearer were knocked at in vain: if they are dead, we are the root until somebody comes.
                return Ok(Outcome::Root);
            }
        }
    }

    /// The first member at or behind `from`, if it is nearer than we.
    async fn nearer_from(&self, from: &Key) -> Result<Option<Endpoint>, ClientError> {
        let found = self.redir.lookup(from).await?.successor;
        Ok(found.filter(|member| self.distance(member.id()) < self.mine()))
    }
}
