//! Nodes that keep copies in another way than the gateway's: what a put was acknowledged by there, a get here need not meet. It may be
//! a slip on one command line, or a network that is restarted node by node to keep more copies; so it is told, and is no failure.

use keyway_client::Node;
use keyway_core::machine::OTHER_TERMS_MAX;

use crate::output::{harmless, plural};

/// Nodes that are named.
const NAMED_MAX: usize = 4;

/// What there is to say if they do not all agree, as far as the node has heard.
pub(crate) fn disagreement(node: &Node) -> Option<String> {
    let others = &node.other_terms;
    let mut named: Vec<String> = others
        .iter()
        .take(NAMED_MAX)
        .map(|o| format!("{} ({}, {}, {})", harmless(&o.addr), o.replicas, o.acks, o.reads))
        .collect();
    if others.len() > NAMED_MAX {
        named.push(format!("{} more", others.len() - NAMED_MAX));
    }
    let reads = node.reads?;
    (!others.is_empty()).then(|| {
        format!(
            "{}{} {} with other --replicas, --acks or --read-quorum than this one ({}, {}, {reads}), by their word of the last \
             ten minutes: {}; a get through one may miss what was put through the other: restart them alike",
            if others.len() < OTHER_TERMS_MAX { "" } else { "at least " },
            others.len(),
            plural(others.len() as u64, "node runs", "nodes run"),
            node.replicas,
            node.acks,
            named.join(", "),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(others: usize) -> Node {
        let other = |n: usize| {
            serde_json::json!({
                "id": "11".repeat(20), "addr": format!("10.0.0.{n}:5850"), "replicas": 5, "acks": 3, "reads": 3,
            })
        };
        let others: Vec<_> = (1..=others).map(other).collect();
        serde_json::from_value(serde_json::json!({
            "id": "22".repeat(20), "addr": "10.0.0.9:5850", "version": "0", "incarnation": 1, "network": null, "overlay": "chord",
            "phase": "member", "isolated": false, "halt": null, "refused": null, "shares": {"count": 1, "ready": 1}, "records": 0,
            "record_bytes": 0, "replicas": 3, "acks": 2, "reads": 2, "members_known": 3, "value_bytes_max": 1,
            "ttl_seconds_max": 1, "counters": {}, "other_terms": others,
        }))
        .expect("a node's state")
    }

    #[test]
    fn others_are_named_with_what_they_keep_to() {
        assert_eq!(disagreement(&node(0)), None);
        let one = disagreement(&node(1)).expect("something to say");
        assert!(one.starts_with(
            "1 node runs with other --replicas, --acks or --read-quorum than this one (3, 2, 2), by their word of the last ten minutes: \
             10.0.0.1:5850 (5, 3, 3); "
        ));
        let most = disagreement(&node(OTHER_TERMS_MAX)).expect("something to say");
        assert!(most.starts_with("at least 16 nodes run"), "{most}");
        let many = disagreement(&node(9)).expect("something to say");
        assert!(
            many.starts_with("9 nodes run with") && many.contains("10.0.0.4:5850 (5, 3, 3), 5 more; "),
            "{many}"
        );
    }
}
