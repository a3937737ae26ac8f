//! A one-hop overlay over the seam: the whole ring is known, in a table that is shared, and replaced as a whole.

use std::sync::Arc as Shared;

use keyway_core::cx::{Cx, Event, Input};
use keyway_core::keyspace::{Arc, ring};
use keyway_core::overlay::{Hop, Overlay, Share, Violation};
use keyway_core::{Id, Peer};

use crate::Never;

/// Everybody, by id.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct OneHop {
    me: Peer,
    table: Shared<[Peer]>,
}

impl OneHop {
    /// Whether both point at one table in memory.
    pub(crate) fn shares_its_table_with(&self, other: &OneHop) -> bool {
        Shared::ptr_eq(&self.table, &other.table)
    }

    /// The place of the first member at or after `id`, clockwise.
    fn at_or_after(&self, id: &Id) -> usize {
        self.table.partition_point(|peer| peer.id() < id) % self.table.len()
    }

    fn from(&self, at: usize, n: usize) -> Vec<Peer> {
        self.table.iter().cycle().skip(at).take(n.min(self.table.len())).cloned().collect()
    }
}

impl Overlay for OneHop {
    const NAME: &'static str = "one-hop-sketch";
    const ABOUT: &'static str =
        "one-hop (Gupta, Liskov, Rodrigues, HotOS 2003), its placement and routing only";
    type Config = ();
    type Msg = Never;
    type Call = ();
    type Timer = ();

    fn configure(_: &[(String, u64)]) -> Result<(), String> {
        Ok(())
    }
    fn replicas_max((): &()) -> usize {
        16
    }
    fn new(me: Peer, (): ()) -> OneHop {
        OneHop { me, table: Shared::default() }
    }
    fn handle(&mut self, cx: &mut Cx<'_, OneHop>, input: Input<OneHop>) {
        if let Input::Leave = input {
            cx.emit(Event::Left);
        }
    }
    fn next_hop(&self, target: &Id) -> Hop {
        match self.table.get(self.at_or_after(target)) {
            Some(root) if *root == self.me => Hop::Root,
            Some(root) => Hop::RootIs(root.clone()),
            None => Hop::Stuck,
        }
    }
    fn distance(target: &Id, peer: &Peer) -> Id {
        ring::distance(target, peer.id())
    }
    fn replica_set(&self, key: &Id, n: usize) -> Vec<Peer> {
        self.from(self.at_or_after(key), n)
    }
    fn shares(&self, n: usize) -> Vec<Share> {
        let len = self.table.len();
        let mine = self.at_or_after(self.me.id());
        (0..n.min(len))
            .map(|back| {
                let at = (mine + len - back) % len;
                let before = (at + len - 1) % len;
                Share {
                    arc: Arc::new(*self.table[before].id(), *self.table[at].id()),
                    peers: self.from(at, n),
                }
            })
            .collect()
    }
    fn neighbors(&self) -> impl Iterator<Item = &Peer> {
        let first = self.at_or_after(&self.me.id().next());
        self.table.iter().cycle().skip(first).take(self.table.len().min(8))
    }
    fn settle(&mut self, cx: &mut Cx<'_, OneHop>, everyone: &[Peer]) {
        self.table = everyone.into();
        cx.emit(Event::ReplicasChanged { from: 1 });
    }
    fn is_member(&self) -> bool {
        !self.table.is_empty()
    }
    fn tables(&self) -> Vec<(&'static str, Vec<Peer>)> {
        vec![("everybody", self.table.to_vec())]
    }
    fn check(&self) -> Result<(), Violation> {
        match self.table.is_sorted() {
            true => Ok(()),
            false => Err(Violation::new("table", "the members are not in order".into())),
        }
    }
}
