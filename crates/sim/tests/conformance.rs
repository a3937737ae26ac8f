//! What every overlay of the registry must do; a new one is judged here without a line of its own.
//!
//! 1, 2, 3 and 20 nodes; join, leave, crash, partition and heal; lookups equal the oracle; `settle` equals convergence;
//! garbage changes nothing and gets no answer; tables stay within their bounds.

use keyway_core::machine::{Op, OpDone, OpError, OpResult, Reads};
use keyway_core::overlay::registry::{Entry, OVERLAYS};
use keyway_core::rng::Rng;
use keyway_core::{Addr, Duration, Id};
use keyway_sim::checkers::{Snapshot, Terms, Verdict, acked_puts, bounds, convergence, neighborhood, ring};
use keyway_sim::oracle::Oracle;
use keyway_sim::workload::storage::{self, ClientModel, Stored};
use keyway_sim::{Happening, World, WorldConfig};

const SECOND: u64 = 1_000_000;
/// An undisturbed network converges in this time.
const QUIET: u64 = 120 * SECOND;
/// A healed one in this.
const HEALED: u64 = 300 * SECOND;

/// A world with its truth.
struct Net {
    world: World,
    oracle: Oracle,
    clients: ClientModel,
    rng: Rng,
    overlay: &'static str,
}

impl Net {
    fn new(entry: &'static Entry, seed: u64) -> Net {
        let world = World::new(WorldConfig { check_every: 1, ..WorldConfig::new(entry, seed) });
        let rng = world.fork("test");
        let oracle = Oracle::new(entry.name);
        Net { world, oracle, clients: ClientModel::default(), rng, overlay: entry.name }
    }

    /// `n` nodes that joined one after another.
    fn joined(entry: &'static Entry, n: usize, seed: u64) -> Net {
        let mut net = Net::new(entry, seed);
        for host in 0..n {
            net.world.add_host();
            let seeds: Vec<usize> = (0..host.min(1)).collect();
            net.world.start(host, &seeds);
            net.run(SECOND);
        }
        net.converge(QUIET);
        net
    }

    fn settled(entry: &'static Entry, n: usize, seed: u64) -> Net {
        let mut net = Net::new(entry, seed);
        let hosts: Vec<usize> = (0..n).map(|_| net.world.add_host()).collect();
        net.world.settle(&hosts);
        hosts.into_iter().for_each(|h| net.oracle.joined(*net.world.peer(h).id(), h));
        net.run(SECOND);
        net
    }

    fn run(&mut self, micros: u64) {
        let end = self.world.time() + micros;
        while let Some(happening) = self.world.next(end) {
            self.on(happening);
        }
    }

    fn on(&mut self, happening: Happening) {
        match happening {
            Happening::Joined(n) => self.oracle.joined(*self.world.peer(n).id(), n),
            Happening::Left(n) => self.oracle.gone(self.world.peer(n).id()),
            Happening::Violated(n, violation) => panic!("{}: n{n}: {violation}", self.overlay),
            Happening::Done { .. } | Happening::Wake(_) => {}
        }
    }

    fn crash(&mut self, n: usize) {
        self.world.crash(n);
        self.oracle.gone(self.world.peer(n).id());
    }

    fn look(&self) -> Verdict {
        let c = self.world.config();
        let terms = Terms { replicas: c.replicas.into(), skew: Duration::ZERO, successors: 1 };
        let snapshot = Snapshot::take(&self.world, &self.oracle, terms);
        bounds::judge(&self.world)?;
        convergence::judge(&self.world, &snapshot, &self.clients)?;
        ring::judge(&snapshot)?;
        neighborhood::judge(&snapshot)?;
        acked_puts::judge(&snapshot, &self.clients)
    }

    fn converge(&mut self, within: u64) {
        let last = self.world.time() + within;
        while let Err(complaint) = self.look() {
            assert!(self.world.time() < last, "{}: {complaint}", self.overlay);
            self.run(SECOND);
        }
    }

    /// Asks one host and waits for the answer.
    fn ask(&mut self, host: usize, what: Op) -> OpResult {
        let asked = self.world.submit(host, what);
        let end = self.world.time() + 30 * SECOND;
        while let Some(happening) = self.world.next(end) {
            match happening {
                Happening::Done { op, result, .. } if op == asked => return result,
                other => self.on(other),
            }
        }
        panic!("{}: an operation at n{host} has no end", self.overlay);
    }

    fn put(&mut self, host: usize, key: Id, value: &[u8]) {
        let ttl = Duration::from_secs(24 * 3600);
        let asked = self.world.time();
        let result = self.ask(host, Op::put(key, value.to_vec(), ttl));
        let OpDone::Put(receipt) = result.clone().unwrap_or_else(|e| panic!("{}: put: {e}", self.overlay))
        else {
            panic!("{}: a put gives a receipt", self.overlay)
        };
        let op = keyway_core::machine::OpId(u64::MAX - asked);
        self.clients.begin_put(op, host, Stored::plain(key, value, ttl), asked);
        self.clients.end(op, self.world.time(), Ok(OpDone::Put(receipt)));
    }

    fn values(&mut self, host: usize, key: Id) -> Vec<Vec<u8>> {
        match self.ask(host, storage::get(key, Reads::Quorum)) {
            Ok(OpDone::Got(answer)) => answer.values.into_iter().map(|v| v.bytes).collect(),
            other => panic!("{}: get at n{host}: {other:?}", self.overlay),
        }
    }

    /// Every member finds the true root of some random ids, and of every member's own id.
    fn lookups_equal_the_oracle(&mut self) {
        let members: Vec<usize> = self.oracle.members().map(|(_, host)| host).collect();
        for &host in &members {
            let mut targets: Vec<Id> = (0..5).map(|_| self.rng.id()).collect();
            targets.extend(members.iter().take(5).map(|&m| *self.world.peer(m).id()));
            for target in targets {
                let truth = self.oracle.roots(&target);
                let Ok(OpDone::Found(answer)) = self.ask(host, Op::Lookup { target }) else {
                    panic!("{}: n{host} finds no root of {target}", self.overlay)
                };
                let root = self.world.host_at(answer.peers[0].addr());
                assert_eq!(root, truth.first().copied(), "{}: n{host} looks up {target}", self.overlay);
            }
        }
    }

    fn put_some(&mut self) -> Vec<Id> {
        let members: Vec<usize> = self.oracle.members().map(|(_, host)| host).collect();
        let keys: Vec<Id> = (0..12).map(|i| Id::of_text(&format!("key {i}"))).collect();
        for (i, key) in keys.iter().enumerate() {
            self.put(members[i % members.len()], *key, format!("value {i}").as_bytes());
        }
        keys
    }

    fn all_read(&mut self, keys: &[Id]) {
        let members: Vec<usize> = self.oracle.members().map(|(_, host)| host).collect();
        for (i, key) in keys.iter().enumerate() {
            let host = members[(i * 7 + 3) % members.len()];
            assert_eq!(
                self.values(host, *key),
                [format!("value {i}").into_bytes()],
                "{}: n{host}",
                self.overlay
            );
        }
    }
}

#[test]
fn one_node_is_a_network_that_keeps_nothing_it_cannot_copy() {
    for entry in OVERLAYS {
        let mut net = Net::joined(entry, 1, 1);
        net.lookups_equal_the_oracle();
        // Two acknowledgements are promised and one node can give only one.
        let put = Op::put(Id::from_u64(1), vec![1], Duration::from_secs(60));
        assert!(matches!(net.ask(0, put), Err(OpError::Quorum { want: 2, .. })), "{}", entry.name);
    }
}

#[test]
fn networks_of_two_three_and_twenty_find_every_root_and_keep_every_value() {
    for entry in OVERLAYS {
        for n in [2, 3, 20] {
            let mut net = Net::joined(entry, n, n as u64);
            net.lookups_equal_the_oracle();
            let keys = net.put_some();
            net.all_read(&keys);
            net.converge(QUIET);
        }
    }
}

#[test]
fn a_leave_hands_everything_over() {
    for entry in OVERLAYS {
        for n in [4, 20] {
            let mut net = Net::joined(entry, n, 4);
            let keys = net.put_some();
            for leaver in [1, n - 1].into_iter().take(n - 3) {
                let id = *net.world.peer(leaver).id();
                net.oracle.leaves(id);
                net.world.stop(leaver);
                net.run(30 * SECOND);
                assert!(!net.world.is_up(leaver), "{}: n{leaver} does not end its leave", entry.name);
                // At once: nothing had to be repaired.
                net.all_read(&keys);
                net.converge(QUIET);
            }
            net.lookups_equal_the_oracle();
        }
    }
}

#[test]
fn a_crash_is_repaired() {
    for entry in OVERLAYS {
        let mut net = Net::joined(entry, 20, 5);
        let keys = net.put_some();
        for dead in [3, 11, 19] {
            net.crash(dead);
            net.converge(QUIET);
            net.all_read(&keys);
        }
        net.lookups_equal_the_oracle();
        // They come back with their disks, their ids and new incarnations.
        for back in [3, 11, 19] {
            net.world.start(back, &[0]);
        }
        net.converge(QUIET);
        net.all_read(&keys);
        net.lookups_equal_the_oracle();
    }
}

#[test]
fn a_partition_heals_into_one_network() {
    for entry in OVERLAYS {
        for minority in [1, 5, 10] {
            let mut net = Net::settled(entry, 20, 6);
            let keys = net.put_some();
            net.converge(QUIET);
            let sides: Vec<u8> = (0..20).map(|n| u8::from(n < minority)).collect();
            net.world.partition(&sides);
            net.run(90 * SECOND);
            net.world.heal_links();
            net.converge(HEALED);
            net.lookups_equal_the_oracle();
            net.all_read(&keys);
        }
    }
}

/// Hosts whose frames are late by more than anybody waits take no part, and cost the others nothing: not a put, not a get, and
/// not the ring, although all that they say arrives in the end, and sounds as if everybody else had died.
#[test]
fn slow_hosts_are_left_out_and_taken_back() {
    for entry in OVERLAYS {
        for (seed, by) in [(11, 2), (12, 5), (13, 9)] {
            let mut net = Net::settled(entry, 30, seed);
            let keys = net.put_some();
            net.converge(QUIET);
            let slow = [3, 11, 12, 25];
            slow.iter().for_each(|&n| net.world.limp(n, Duration::from_secs(by)));
            let well: Vec<usize> = (0..30).filter(|n| !slow.contains(n)).collect();
            for round in 0..120_usize {
                let (putter, reader) = (well[round * 7 % well.len()], well[(round * 11 + 5) % well.len()]);
                let (key, value) = (net.rng.id(), format!("of round {round}").into_bytes());
                net.put(putter, key, &value);
                assert_eq!(net.values(reader, key), [value], "{}: {by} s, round {round}", entry.name);
                net.run(4 * SECOND);
            }
            slow.iter().for_each(|&n| net.world.limp(n, Duration::ZERO));
            // What was asked of them before still ends in silence.
            net.run(30 * SECOND);
            net.converge(HEALED);
            net.lookups_equal_the_oracle();
            net.all_read(&keys);
        }
    }
}

#[test]
fn a_settled_network_is_a_converged_one() {
    for entry in OVERLAYS {
        for n in [1, 2, 3, 20] {
            let mut joined = Net::joined(entry, n, 7);
            joined.run(600 * SECOND);
            let settled = Net::settled(entry, n, 7);
            assert_eq!(settled.look(), Ok(()), "{}: {n} nodes", entry.name);
            for host in 0..n {
                let (a, b) = (joined.world.inspect(host).unwrap(), settled.world.inspect(host).unwrap());
                assert_eq!(a.phase, b.phase, "{}: n{host} of {n}", entry.name);
                assert_eq!(a.shares, b.shares, "{}: n{host} of {n}", entry.name);
                assert_eq!(a.tables, b.tables, "{}: n{host} of {n}", entry.name);
            }
        }
    }
}

/// Frames as they really travel, recorded by a stranger who cannot read them.
fn garbage(rng: &mut Rng) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = vec![Vec::new(), b"KW".to_vec(), vec![0; 2_000], vec![0xff; 70_000]];
    for _ in 0..500 {
        let len = rng.below(300) as usize;
        let mut bytes: Vec<u8> = (0..len).map(|_| rng.next_u64() as u8).collect();
        // Half of them begin like ours.
        if rng.chance(0.5) && len > 4 {
            bytes[..4].copy_from_slice(&[b'K', b'W', keyway_core::frame::VERSION, rng.below(6) as u8]);
        }
        all.push(bytes);
    }
    all
}

#[test]
fn garbage_gets_no_answer_and_changes_nothing() {
    for entry in OVERLAYS {
        let mut net = Net::settled(entry, 5, 8);
        let keys = net.put_some();
        let mut rng = net.world.fork("garbage");
        for bytes in garbage(&mut rng) {
            let host = rng.below(5) as usize;
            // Whatever was due anyway is done first.
            net.run(1);
            let sent = net.world.link_counts().sent;
            net.world.inject(host, Addr::simulated(77), &bytes);
            assert_eq!(net.world.link_counts().sent, sent, "{}: an answer to {bytes:x?}", entry.name);
            assert_eq!(net.world.check(host), Ok(()));
        }
        net.all_read(&keys);
        net.converge(QUIET);
    }
}

#[test]
fn flipped_bits_on_every_link_are_noticed_and_survived() {
    for entry in OVERLAYS {
        let mut net = Net::settled(entry, 8, 9);
        let faults = keyway_sim::links::LinkFaults { corrupt: 0.2, ..Default::default() };
        net.world.set_faults(faults);
        net.run(30 * SECOND);
        let keys = net.put_some();
        net.all_read(&keys);
        let (flipped, noticed) = (net.world.link_counts().corrupted, net.world.counters().frames_unsealed);
        assert!(flipped > 50, "{}: only {flipped}", entry.name);
        net.world.heal_links();
        net.converge(QUIET);
        // A frame whose first bytes were hit is not ours at all; those count as unsealed, too.
        assert!(noticed >= flipped * 9 / 10, "{}: {noticed} of {flipped} noticed", entry.name);
        assert_eq!(net.world.counters().frames_malformed, 0, "{}", entry.name);
    }
}
