//! A survey of a large network: everybody is found, over every overlay, from anywhere.

use keyway_core::Duration;
use keyway_core::machine::{Op, OpDone};
use keyway_core::overlay::registry::OVERLAYS;
use keyway_sim::world::{Happening, World, WorldConfig};

/// More than the tables of one node hold.
const NODES: usize = 700;

#[test]
fn a_survey_finds_everybody_in_a_large_network() {
    for entry in OVERLAYS.iter().filter(|entry| entry.name != "toy") {
        let mut world = World::new(WorldConfig::new(entry, 3));
        let hosts: Vec<usize> = (0..NODES).map(|_| world.add_host()).collect();
        world.settle(&hosts);
        for host in [0, 350] {
            let op = world.submit(host, Op::Survey { max: 1024 });
            let until = world.time() + Duration::from_secs(10).0;
            let mut found = None;
            while let Some(happening) = world.next(until) {
                if let Happening::Done { op: ended, result, .. } = happening
                    && ended == op
                {
                    found = Some(result);
                    break;
                }
            }
            let Some(Ok(OpDone::Surveyed { nodes, complete })) = found else {
                panic!("{}: {found:?}", entry.name)
            };
            assert_eq!((nodes.len(), complete), (NODES, true), "{}", entry.name);
            assert!(nodes.iter().all(|node| node.facts.is_some()), "{}", entry.name);
        }
    }
}
