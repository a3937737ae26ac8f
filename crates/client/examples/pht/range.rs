//! Range queries: down from the smallest node that holds the whole range, all halves that meet it at once.
//!
//! ```text
//!   [low, high] ─▶ longest common prefix ─▶ a leaf on the way to it?  then everything is there
//!                                           else down: split? both halves that meet the range     at most WINDOW gets at once
//!                                                      leaf?  its entries in the range
//! ```
//!
//! Entries only ever move down, and stand below before they go above; a query reads above before below. So it finds every
//! entry that was acknowledged before it began and has not been removed or ended: perhaps twice, and then tells it once.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use tokio::task::JoinSet;

use super::index::{Index, WINDOW, done};
use super::prefix::{Entry, Node, Prefix, common};
use super::program::Failure;

/// Entries that one query gives.
pub(crate) const FOUND_MAX: usize = 100_000;

impl Index {
    /// The entries with keys from `low` to `high`, in their order, each key and payload once.
    pub(crate) async fn range(&self, low: u64, high: u64) -> Result<Vec<(u64, Bytes)>, Failure> {
        if low > high {
            return Ok(Vec::new());
        }
        let mut found = BTreeSet::new();
        let mut take = |entries: Vec<(Entry, u64)>| {
            let inside =
                entries.into_iter().map(|(entry, _)| entry).filter(|e| (low..=high).contains(&e.key));
            found.extend(inside.map(|entry| (entry.key, entry.payload)));
            match found.len() > FOUND_MAX {
                true => {
                    Err(Failure::new(5, format!("more than {FOUND_MAX} entries: ask for a smaller range")))
                }
                false => Ok(()),
            }
        };
        let shared = common(low, high);
        if let Some((_, leaf)) = self.search(low, shared).await? {
            take(leaf.entries)?;
        } else {
            let mut open = VecDeque::new();
            open.extend(Prefix::of(low, shared).children().into_iter().flatten());
            let mut reads: JoinSet<Result<(Prefix, Node), Failure>> = JoinSet::new();
            loop {
                while reads.len() < WINDOW
                    && let Some(prefix) = open.pop_front()
                {
                    let (first, last) = prefix.bounds();
                    if last >= low && first <= high {
                        let index = self.clone();
                        reads.spawn(async move { Ok((prefix, index.leaf_or_split(prefix).await?)) });
                    }
                }
                if reads.is_empty() {
                    break;
                }
                let (prefix, node) = done(reads.join_next().await)?;
                match node.done {
                    Some(_) => open.extend(prefix.children().into_iter().flatten()),
                    None => take(node.entries)?,
                }
            }
        }
        Ok(found.into_iter().collect())
    }

    /// A node as a leaf or as one that was split; what is between is brought to its end.
    async fn leaf_or_split(&self, prefix: Prefix) -> Result<Node, Failure> {
        let node = self.node(prefix).await?;
        if node.begun.is_some() && node.done.is_none() {
            self.split(prefix).await?;
            return Ok(Node { done: Some(0), ..node });
        }
        Ok(node)
    }
}
