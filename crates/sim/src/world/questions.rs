//! Questions to a world, and the small changes that faults are made of.

use keyway_core::frame::FrameKey;
use keyway_core::machine::{Counters, Inspection};
use keyway_core::overlay::Violation;
use keyway_core::rng::Rng;
use keyway_core::{Addr, Duration, Now, Peer};

use super::{World, WorldConfig};
use crate::disk::{Disk, DiskModel};
use crate::links::{LinkCounts, LinkFaults};

/// Which of so many hosts has this address.
pub(super) fn host_at(addr: Addr, hosts: usize) -> Option<usize> {
    let Addr::V4([10, a, b, c], _) = addr else { return None };
    let n = u32::from_be_bytes([0, a, b, c]) as usize;
    (n < hosts).then_some(n)
}

impl World {
    /// The host at an address.
    #[must_use]
    pub fn host_at(&self, addr: Addr) -> Option<usize> {
        host_at(addr, self.hosts.len())
    }

    /// Microseconds since the world began.
    #[must_use]
    pub fn time(&self) -> u64 {
        self.time
    }

    /// What a host's clocks show now.
    #[must_use]
    pub fn now_at(&self, host: usize) -> Now {
        self.hosts[host].clock.now(self.time, self.hosts[host].born)
    }

    /// Hosts, with and without a process.
    #[must_use]
    pub fn host_count(&self) -> usize {
        self.hosts.len()
    }

    /// How others know a host.
    #[must_use]
    pub fn peer(&self, host: usize) -> &Peer {
        &self.hosts[host].peer
    }

    /// Whether a process runs there.
    #[must_use]
    pub fn is_up(&self, host: usize) -> bool {
        self.hosts[host].machine.is_some()
    }

    /// Whether there has ever been a process.
    #[must_use]
    pub fn has_run(&self, host: usize) -> bool {
        self.hosts[host].life > 0
    }

    /// Whether the process there has completed its join (and has not left).
    #[must_use]
    pub fn is_member(&self, host: usize) -> bool {
        self.hosts[host].member
    }

    /// Whether nothing runs there until it is woken.
    #[must_use]
    pub fn is_paused(&self, host: usize) -> bool {
        self.hosts[host].paused_until > self.time
    }

    /// Hosts whose process has completed its join, in order of their numbers.
    pub fn members(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.hosts.len()).filter(|&n| self.hosts[n].member)
    }

    /// A look inside a process.
    #[must_use]
    pub fn inspect(&self, host: usize) -> Option<Inspection> {
        self.hosts[host].machine.as_ref().map(|m| m.inspect())
    }

    /// A process's own opinion of its state.
    ///
    /// # Errors
    /// The first invariant that is broken.
    pub fn check(&self, host: usize) -> Result<(), Violation> {
        self.hosts[host].machine.as_ref().map_or(Ok(()), |m| m.check())
    }

    /// A host's disk.
    #[must_use]
    pub fn disk(&self, host: usize) -> &Disk {
        &self.hosts[host].disk
    }

    /// Changes how a host's disk behaves from now on.
    pub fn set_disk(&mut self, host: usize, model: DiskModel) {
        self.hosts[host].disk.model = std::sync::Arc::new(model);
    }

    /// Makes a host's disk sound and roomy.
    pub fn repair_disk(&mut self, host: usize) {
        self.hosts[host].disk.repair();
    }

    /// Cuts one direction of a link.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.say(from, || format!("cut to n{to}"));
        self.links.cut(from, to);
    }

    /// Ends a cut.
    pub fn mend(&mut self, from: usize, to: usize) {
        self.links.mend(from, to);
    }

    /// Puts each host on a side; hosts beyond the list are on side 0. Frames between sides vanish.
    pub fn partition(&mut self, sides: &[u8]) {
        self.say(0, || format!("partition {sides:?}"));
        self.links.partition(sides);
    }

    /// Ends the partition.
    pub fn join_sides(&mut self) {
        self.say(0, || "partition ends".into());
        self.links.join_sides();
    }

    /// Ends all cuts, partitions, limping and random faults of links.
    pub fn heal_links(&mut self) {
        self.say(0, || "links heal".into());
        self.links.heal();
    }

    /// Changes what goes wrong on links from now on.
    pub fn set_faults(&mut self, faults: LinkFaults) {
        self.links.faults = faults;
    }

    /// Frames of this host take so much longer, in and out.
    pub fn limp(&mut self, host: usize, by: Duration) {
        self.say(host, || format!("limps by {by:?}"));
        self.links.set_limp(host, by);
    }

    /// What the links have done.
    #[must_use]
    pub fn link_counts(&self) -> LinkCounts {
        self.links.counts
    }

    /// The sum of all machines' counters, ended processes included.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut sum = self.buried;
        for machine in self.hosts.iter().filter_map(|h| h.machine.as_ref()) {
            sum.add(&machine.counters());
        }
        sum
    }

    /// Inputs given to machines.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        self.events
    }

    /// Events that wait and frames under way: `(events, frames)`.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        (self.queue.len(), self.flights.len())
    }

    /// A hash of every event that reached a machine: equal hashes, equal worlds.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.hash.value()
    }

    /// An independent stream of this world's seed.
    #[must_use]
    pub fn fork(&self, label: &str) -> Rng {
        self.rng.fork(label, 0)
    }

    /// What holds for the whole world.
    #[must_use]
    pub fn config(&self) -> &WorldConfig {
        &self.config
    }

    /// The key under which the nodes of a world seal their frames.
    #[must_use]
    pub fn frame_key() -> FrameKey {
        FrameKey::open_network()
    }
}
