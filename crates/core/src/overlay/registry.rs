//! All overlays, one line each. The only file that names a concrete overlay.
//!
//! The command line, the conformance suite, the simulator's sweeps and the fuzzer iterate [`OVERLAYS`].

use alloc::boxed::Box;
use alloc::string::String;

use crate::keyspace::Geometry;
use crate::machine::{Machine, NodeConfig};
use crate::node::Node;
use crate::overlay::Overlay;
use crate::overlay::chord::Chord;
use crate::overlay::kademlia::Kademlia;
use crate::overlay::toy::Toy;

/// One overlay.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// How it places keys.
    pub geometry: Geometry,
    /// Makes a node over it. Fails on an unknown or impossible overlay option, with a text for people.
    pub make: fn(NodeConfig) -> Result<Box<dyn Machine>, String>,
}

/// The entry of an overlay.
const fn entry<O: Overlay>() -> Entry {
    Entry { name: O::NAME, about: O::ABOUT, geometry: O::GEOMETRY, make: make::<O> }
}

fn make<O: Overlay>(config: NodeConfig) -> Result<Box<dyn Machine>, String> {
    Ok(Box::new(Node::<O>::new(config)?))
}

/// Every overlay, the default first.
pub static OVERLAYS: &[Entry] = &[entry::<Chord>(), entry::<Kademlia>(), entry::<Toy>()];

/// The entry of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    OVERLAYS.iter().find(|e| e.name == name)
}
