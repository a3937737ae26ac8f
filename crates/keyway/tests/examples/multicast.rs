//! The multicast tree: processes that find each other, and repair the tree when members die.

use std::collections::{BTreeMap, BTreeSet};

use keyway_client::Key;
use serde_json::Value;

use super::multicast::group::point;
use super::multicast::place::Distance;
use super::program;
use super::support::{Network, Process};

const MEMBERS: usize = 9;
const BRANCHING: u8 = 2;

/// One member's process, and what it was told.
struct Peer {
    process: Process,
    distance: Distance,
    address: String,
    parent: Option<String>,
    root: bool,
    heard: BTreeSet<(String, u64)>,
    texts: Vec<String>,
}

impl Peer {
    /// Reads on until something holds.
    fn until(&mut self, holds: impl Fn(&Peer) -> bool) {
        while !holds(self) {
            let line = self.process.line();
            let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            match text("event").as_str() {
                "root" => (self.root, self.parent) = (true, None),
                "parent" => (self.root, self.parent) = (false, Some(text("address"))),
                "gone" if self.parent == Some(text("address")) => self.parent = None,
                "message" => {
                    assert_eq!(event["lost"], 0, "{line}");
                    let number = event["number"].as_u64().expect("a number");
                    let source = text("source");
                    let before = self.heard.iter().filter(|(known, _)| *known == source).count() as u64;
                    assert_eq!(number, before, "once, and in order: {line}");
                    self.heard.insert((source, number));
                    self.texts.push(text("text"));
                }
                _ => {}
            }
        }
    }
}

/// Members in the order of their distance, each started when the one before has its place.
fn grown(network: &Network) -> Vec<Peer> {
    let group = point("news");
    let mut names: Vec<String> = (0..MEMBERS).map(|n| format!("member {n}")).collect();
    names.sort_by_key(|name| Distance::between(&group, &Key::text(name)));
    let mut peers: Vec<Peer> = Vec::new();
    for name in names {
        let branching = BRANCHING.to_string();
        let args =
            ["news", "--name", &name, "--json", "--every", "1", "--ttl", "5", "--branching", &branching];
        let log = network.dir.path().join(format!("{name}.log"));
        let process = Process::converse(&mut program(network, "multicast", &args), &log);
        let mut peer = Peer {
            process,
            distance: Distance::between(&group, &Key::text(&name)),
            address: String::new(),
            parent: None,
            root: false,
            heard: BTreeSet::new(),
            texts: Vec::new(),
        };
        peer.until(|peer| peer.root || peer.parent.is_some());
        // Said before the tree was asked for anything else, on stderr.
        let log = peer.process.log();
        peer.address = log.lines().find_map(|l| l.strip_prefix("you are ")).expect("its address").to_owned();
        peers.push(peer);
    }
    peers
}

/// Who takes a member that comes last: the first at or behind each d / b, d / b^2, ... that is nearer than d; if it has all the
/// children that it takes, the last of them.
fn parent_by_rule(distances: &[Distance], parents: &[usize], of: usize) -> usize {
    let mut target = distances[of];
    let mut parent = loop {
        target = target.divided(BRANCHING);
        let first = distances.iter().position(|distance| *distance >= target).expect("at least itself");
        if first != of {
            break first;
        }
    };
    loop {
        // The root is nobody's child; it stands first, as its own.
        let children: Vec<usize> = (1..of).filter(|child| parents[*child] == parent).collect();
        match children.last() {
            Some(last) if children.len() >= 2 * usize::from(BRANCHING) => parent = *last,
            _ => return parent,
        }
    }
}

/// Several members say something, also while others look for a new parent; everybody hears all of it once.
fn all_hear(peers: &mut [Peer], round: &str) {
    let speakers = [0, peers.len() / 2, peers.len() - 1];
    let mut said = BTreeSet::new();
    for speaker in speakers {
        for n in 0..5 {
            let text = format!("{round} {speaker} {n}");
            peers[speaker].process.say(&text);
            said.insert(text);
        }
    }
    for peer in peers {
        let count = peer.texts.len() + said.len();
        peer.until(|peer| peer.texts.len() == count);
        let heard: BTreeSet<String> = peer.texts.drain(..).collect();
        assert_eq!(heard, said);
    }
}

#[test]
fn every_living_member_hears_everything_once_although_parents_and_the_root_die() {
    let network = Network::start(4, &["--durability", "memory"]);
    let mut peers = grown(&network);
    let distances: Vec<Distance> = peers.iter().map(|peer| peer.distance).collect();
    assert!(peers[0].root, "the nearest is the root");
    let address: Vec<String> = peers.iter().map(|peer| peer.address.clone()).collect();
    let mut parents = vec![0];
    for of in 1..MEMBERS {
        parents.push(parent_by_rule(&distances, &parents, of));
        let parent = &address[parents[of]];
        assert_eq!(peers[of].parent.as_ref(), Some(parent), "member {of} of {parents:?}, {address:?}");
    }
    all_hear(&mut peers, "whole");

    // A parent in the middle dies, and what is said at once reaches those below it by another way.
    let mut children: BTreeMap<String, usize> = BTreeMap::new();
    peers
        .iter()
        .filter_map(|peer| peer.parent.clone())
        .for_each(|parent| *children.entry(parent).or_default() += 1);
    let inner = (1..MEMBERS).find(|at| children.contains_key(&address[*at])).expect("a tree of some depth");
    peers[inner].process.kill();
    peers.remove(inner);
    all_hear(&mut peers, "without a parent");

    // The root dies: the next nearest takes its place.
    peers[0].process.kill();
    peers.remove(0);
    all_hear(&mut peers, "without the root");
    peers[0].until(|peer| peer.root);
    for peer in &mut peers[1..] {
        peer.until(|peer| peer.parent.is_some());
        assert!(!peer.root);
    }
    peers.iter().for_each(|peer| peer.process.interrupt());
    for peer in &mut peers {
        assert!(peer.process.end(super::support::SOON).success());
    }
}
