//! Whom a takeover asks: the other holders, and those next to them only if the holders alone do not do.

use super::*;
use crate::keyspace::Arc;

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

#[test]
fn a_joiner_compares_with_the_other_holders_alone() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 9, 3, 2);
        let joiner = net.add(3, 2);
        net.calm();
        let lines = takeovers(&net, joiner);
        let over: Vec<Arc> = lines.iter().filter(|(_, with)| with.is_none()).map(|(arc, _)| *arc).collect();
        assert!(!over.is_empty(), "{}", entry.name);
        for arc in over {
            let with = lines.iter().filter(|(a, with)| *a == arc && with.is_some()).count();
            assert_eq!(with, 2, "{}: {arc:?}", entry.name);
        }
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
