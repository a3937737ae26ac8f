//! Whom a takeover asks, and how often.

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

/// What a node's traces say of its takeovers, in order: the arc, and with whom it was compared; nobody when it was taken over.
fn takeovers(net: &Net, node: usize) -> Vec<(Arc, Option<Peer>)> {
    let of_node = net.traces.iter().filter(|(n, _)| *n == node);
    let line = |line: &Trace| match line {
        Trace::Compared { with, arc, why: "takeover", .. } => Some((*arc, Some(with.clone()))),
        Trace::TakenOver(arc) => Some((*arc, None)),
        _ => None,
    };
    of_node.filter_map(|(_, t)| line(t)).collect()
}

/// Who has told everybody compares with those who hold the keys now; who has told fewer tells the others by comparing.
#[test]
fn a_joiner_compares_with_the_other_holders_and_with_others_whom_it_has_not_told() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 9, 3, 2);
        let joiner = net.add(3, 2);
        net.calm();
        let lines = takeovers(&net, joiner);
        let over: Vec<Arc> = lines.iter().filter(|(_, with)| with.is_none()).map(|(arc, _)| *arc).collect();
        assert!(!over.is_empty(), "{}", entry.name);
        let most = over
            .iter()
            .map(|arc| lines.iter().filter(|(a, with)| a == arc && with.is_some()).count())
            .max()
            .unwrap_or(0);
        assert_eq!(most == 2, entry.geometry == Geometry::Xor, "{}: {most}", entry.name);
    }
}

/// One of the holders answers late: those who may have been holders until now are asked beside it.
#[test]
fn a_slow_holder_is_not_waited_for() {
    for entry in OVERLAYS {
        let hedged = (1..9).any(|slow| {
            let mut net = Net::grown(entry, 9, 3, 2);
            let joiner = net.add(3, 2);
            net.run(Duration::from_secs(60), |net| {
                net.hosts[joiner].machine.as_ref().is_some_and(|m| m.inspect().phase == Phase::Member)
            });
            // Later than a try waits, sooner than silence is believed.
            net.late = Some((slow, 25_000));
            net.calm();
            let slow = net.hosts[slow].peer.clone();
            let lines = takeovers(&net, joiner);
            // Two others were compared with before the slow one had said a word: one of them is no holder.
            lines.iter().enumerate().any(|(i, (arc, with))| {
                let others = lines[..i].iter().filter(|(a, with)| a == arc && with.is_some()).count();
                with.as_ref() == Some(&slow) && others >= 2
            })
        });
        assert!(hedged, "{}", entry.name);
    }
}
