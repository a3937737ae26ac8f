//! The inner seam, tried on two overlays that are to come and pull at it from other sides than Chord and Kademlia do:
//!
//! * a CAN (Ratnasamy et al., SIGCOMM 2001): a node's place is a zone, not a point, and hangs on the peer as its label;
//! * a one-hop overlay (Gupta, Liskov, Rodrigues, HotOS 2003): every node knows everybody, in one table that thousands of nodes
//!   of a simulated world share.
//!
//! Sketches, not overlays: they are placed by `settle`, route and place keys, and have no protocol of joining and repair. What they
//! show is that lookups, replica sets, shares and a whole `Node` work over them with the signatures as they are.

#[path = "seams/can.rs"]
mod can;
#[path = "seams/one_hop.rs"]
mod one_hop;

use std::collections::BTreeMap;

use keyway_core::cx::Cx;
use keyway_core::frame::NetworkId;
use keyway_core::lookup::{Lookup, Step, answer};
use keyway_core::machine::{Machine, NodeConfig, Outbox, Phase};
use keyway_core::node::Node;
use keyway_core::overlay::Overlay;
use keyway_core::rng::Rng;
use keyway_core::wire::{Malformed, Reader, Wire, Writer};
use keyway_core::{Addr, Id, Mono, Now, Peer, Wall};

const NODES: usize = 64;

/// The message of an overlay that sends none.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Never {}

impl Wire for Never {
    fn encode(&self, _: &mut Writer<'_>) {
        match *self {}
    }
    fn decode(_: &mut Reader<'_>) -> Result<Never, Malformed> {
        Err(Malformed("this overlay sends nothing"))
    }
}

fn now() -> Now {
    Now { mono: Mono(1_000_000), wall: Wall(1_700_000_000_000_000) }
}

fn random_peers() -> Vec<Peer> {
    let mut rng = Rng::from_u64(5);
    let mut peers: Vec<Peer> =
        (0..NODES).map(|n| Peer::new(rng.id(), Addr::simulated(n as u32 + 1))).collect();
    peers.sort();
    peers
}

/// Every node in the state to which its protocol would converge.
fn settled<O: Overlay>(everyone: &[Peer]) -> BTreeMap<Id, O> {
    let settle = |me: &Peer| {
        let mut overlay = O::new(me.clone(), O::Config::default());
        let (mut rng, mut effects) = (Rng::from_u64(1), Vec::new());
        overlay.settle(&mut Cx::new(now(), &mut rng, &mut effects), everyone);
        assert!(overlay.is_member());
        overlay.check().expect("invariants hold");
        (*me.id(), overlay)
    };
    everyone.iter().map(settle).collect()
}

/// Looks `target` up as a node does, and gives the root and how many nodes were asked.
fn look_up<O: Overlay>(nodes: &BTreeMap<Id, O>, me: &Peer, target: Id) -> (Peer, u32) {
    let mut lookup = Lookup::new(target, 3, true);
    let mut found = lookup.begin(me, &nodes[me.id()]);
    while found.is_none() {
        match lookup.step(me, |_| false) {
            Step::Ask(peer) | Step::AskAround(peer) => {
                let said = answer(&nodes[peer.id()], &peer, &target, 3);
                found = lookup.on_answer::<O>(me, &peer, said);
            }
            Step::Done(set) => found = Some(set),
            step => panic!("{} has lost its way: {step:?}", O::NAME),
        }
    }
    (found.expect("the loop ends with it").remove(0), lookup.cost().hops)
}

/// From everywhere the same root is found, in at most `hops_max` hops; every key has its share where its replica set says so.
fn routes_and_places<O: Overlay>(everyone: &[Peer], hops_max: u32, copies: usize) {
    let nodes = settled::<O>(everyone);
    let mut rng = Rng::from_u64(9);
    for _ in 0..200 {
        let target = rng.id();
        let roots: Vec<_> = everyone.iter().map(|me| look_up(&nodes, me, target)).collect();
        assert!(roots.iter().all(|(root, _)| *root == roots[0].0), "{}: one root", O::NAME);
        let hops = roots.iter().map(|(_, hops)| *hops).max();
        assert!(hops <= Some(hops_max), "{}: {hops:?} hops", O::NAME);
        let set = nodes[roots[0].0.id()].replica_set(&target, copies);
        assert_eq!((set.len(), &set[0]), (copies, &roots[0].0), "{}", O::NAME);
        for me in everyone {
            let shares = nodes[me.id()].shares(copies);
            let share = shares.iter().find(|share| share.arc.contains(&target));
            assert_eq!(share.map(|share| &share.peers), set.contains(me).then_some(&set), "{}", O::NAME);
        }
    }
}

/// A whole node over it becomes a member of a settled world and says who it is.
fn carries_a_node<O: Overlay>(everyone: &[Peer]) {
    let config = NodeConfig { replicas: 1, acks: 1, ..NodeConfig::new(everyone[3].clone(), [7; 32]) };
    let mut machine: Box<dyn Machine> = Box::new(Node::<O>::new(config).expect("possible settings"));
    let mut out = Outbox::default();
    machine.settle(now(), NetworkId(7), everyone, &mut out);
    assert_eq!(machine.inspect().phase, Phase::Member);
    assert!(!machine.inspect().shares.is_empty(), "{}", O::NAME);
    machine.check().expect("invariants hold");
}

#[test]
fn a_can_fits_the_seam() {
    let everyone = can::zoned(random_peers());
    // (d/4) n^(1/d) = 4 hops on the average for 64 zones of equal size in two dimensions (section 2.4); ours are not equal.
    routes_and_places::<can::Can>(&everyone, 20, 1);
    carries_a_node::<can::Can>(&everyone);
}

#[test]
fn a_one_hop_overlay_fits_the_seam() {
    let everyone = random_peers();
    routes_and_places::<one_hop::OneHop>(&everyone, 1, 3);
    carries_a_node::<one_hop::OneHop>(&everyone);
    // One table for all: a million nodes of a world point at it.
    let nodes = settled::<one_hop::OneHop>(&everyone);
    let copy = nodes[everyone[0].id()].clone();
    assert!(copy.shares_its_table_with(&nodes[everyone[0].id()]), "a clone copies no table");
}
