//! Zave's invariants over a whole world (`overlays.md`, TSE'17): what a checker that sees every node demands.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Chord;
use crate::id::Id;
use crate::keyspace::ring::between;
use crate::overlay::Overlay as _;
use crate::overlay::harness::World;

/// The nodes that take part, by id, with the ids of their successor lists.
fn lists(world: &World<Chord>) -> BTreeMap<Id, Vec<Id>> {
    let in_ring = world.nodes.iter().filter(|n| n.alive && n.overlay.is_in_ring());
    in_ring.map(|n| (*n.me.id(), n.overlay.ring.succs.iter().map(|p| *p.id()).collect())).collect()
}

/// One live successor each; sufficient principals; one ordered ring to which all are attached.
pub(super) fn zave(world: &World<Chord>) -> Result<(), String> {
    let lists = lists(world);
    let mut next = BTreeMap::new();
    for (id, list) in &lists {
        match list.iter().find(|s| lists.contains_key(s)) {
            Some(best) => next.insert(*id, *best),
            None if lists.len() == 1 => return Ok(()),
            None => return Err(format!("{id:?} has no live successor: {list:?}")),
        };
    }
    let r = world.nodes[0].overlay.config.successors as usize;
    let skipped = |n: &Id| {
        lists.iter().any(|(id, list)| {
            let extended = core::iter::once(id).chain(list);
            extended.clone().zip(extended.skip(1)).any(|(a, b)| between(a, n, b))
        })
    };
    let principals = lists.keys().filter(|n| !skipped(n)).count();
    if lists.len() > r && principals < r + 1 {
        return Err(format!("only {principals} principals among {}", lists.len()));
    }
    // Follow the best successors from one node into the cycle, then round it.
    let first = *lists.keys().next().ok_or("nobody is in the ring")?;
    let on_cycle = (0..lists.len()).fold(first, |at, _| next[&at]);
    let (mut cycle, mut at) = (Vec::from([on_cycle]), next[&on_cycle]);
    while at != on_cycle {
        cycle.push(at);
        at = next[&at];
    }
    let turns = (0..cycle.len()).filter(|i| cycle[(i + 1) % cycle.len()] <= cycle[*i]).count();
    if turns != 1 {
        return Err(format!("the ring goes round {turns} times: {cycle:?}"));
    }
    for id in lists.keys() {
        if !cycle.contains(&(0..lists.len()).fold(*id, |at, _| next[&at])) {
            return Err(format!("{id:?} is on another ring"));
        }
    }
    Ok(())
}

/// Every live node is a member whose successor and predecessor are the true ones: one ring, whatever the rest of the lists.
pub(super) fn ring_is_ideal_enough(world: &World<Chord>) -> Result<(), String> {
    let everyone = world.members_in_order();
    let n = everyone.len();
    for node in world.nodes.iter().filter(|n| n.alive) {
        let at = everyone.partition_point(|p| p.id() < node.me.id());
        let (succ, pred) = (&everyone[(at + 1) % n], &everyone[(at + n - 1) % n]);
        let ring = &node.overlay.ring;
        let alone = n == 1 && ring.is_alone();
        if !node.overlay.is_member() || !alone && (ring.head() != Some(succ) || ring.pred() != Some(pred)) {
            return Err(format!("{:?}: {:?} and {:?}", node.me, ring.pred(), ring.head()));
        }
    }
    Ok(())
}
