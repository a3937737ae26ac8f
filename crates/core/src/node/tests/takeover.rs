//! How many comparisons a takeover makes.

use alloc::collections::BTreeSet;

use super::*;
use crate::keyspace::{Arc, Geometry};

/// The arcs that a node has taken over.
fn taken_over(net: &Net, node: usize) -> Vec<Arc> {
    let of_node = net.traces.iter().filter(|(n, _)| *n == node);
    let arc = |line: &Trace| if let Trace::TakenOver(arc) = line { Some(*arc) } else { None };
    of_node.filter_map(|(_, line)| arc(line)).collect()
}

/// With XOR a joiner's keys are many arcs, of which few holders are the root in turn: what the same have is compared once.
#[test]
fn neighbouring_arcs_of_the_same_holders_are_taken_over_as_one() {
    for entry in OVERLAYS.iter().filter(|entry| entry.geometry == Geometry::Xor) {
        let mut net = Net::grown(entry, 9, 3, 2);
        let joiner = net.add(3, 2);
        net.calm();
        let shares = net.hosts[joiner].machine.as_ref().expect("it runs").inspect().shares;
        let over = taken_over(&net, joiner);
        assert!(shares.iter().all(|share| over.iter().any(|arc| arc.covers(&share.arc))), "{}", entry.name);
        for arc in &over {
            let holders = |peers: &[Peer]| peers.iter().map(|p| *p.id()).collect::<BTreeSet<Id>>();
            let within = shares.iter().filter(|share| arc.covers(&share.arc));
            let sets: BTreeSet<BTreeSet<Id>> = within.map(|share| holders(&share.peers)).collect();
            assert!(sets.len() <= 1, "{}: {arc:?} has several", entry.name);
        }
        assert!(4 * over.len() <= 3 * shares.len(), "{}: {} of {}", entry.name, over.len(), shares.len());
    }
}
