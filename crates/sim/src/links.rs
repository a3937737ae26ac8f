//! The links between hosts: loss, duplication, reordering, corruption, cuts, partitions, limping, bandwidth.
//!
//! ```text
//!   <= 1,200 bytes   datagram   lost, doubled, delayed past others, damaged: each with its own probability
//!   above            stream     the first frame pays a round trip for the connection; in order; a loss costs a
//!                               retransmission instead of the frame; a cut breaks it, and what was under way is gone
//! ```
//!
//! A cut has a direction. A partition puts each host on a side; frames between sides vanish. Both act on frames at
//! departure and again at arrival.

use std::collections::{BTreeMap, BTreeSet};

use keyway_core::Duration;
use keyway_core::frame::DATAGRAM_BYTES_MAX;
use keyway_core::rng::Rng;

use crate::topology::{Latency, Topology};

/// What goes wrong on every link, as probabilities per frame.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct LinkFaults {
    /// A datagram vanishes; a stream's frame comes a retransmission later.
    pub loss: f64,
    /// A datagram comes twice.
    pub duplicate: f64,
    /// A datagram is held back for up to `reorder_by`.
    pub reorder: f64,
    /// The longest that a datagram is held back.
    pub reorder_by: Duration,
    /// One bit of a datagram is flipped.
    pub corrupt: f64,
    /// Bytes a second that a host can send; 0 for no bound.
    pub bandwidth: u64,
}

/// What a stream's retransmission costs beyond the round trip: TCP's smallest time-out on Linux.
const RETRANSMIT_MICROS: u64 = 200_000;
/// Retransmissions of one frame before the stream gives up on it.
const RETRANSMISSIONS_MAX: u32 = 15;

/// One arrival of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Arrival {
    /// When.
    pub(crate) at: u64,
    /// Which bit is flipped on the way.
    pub(crate) flip: Option<u32>,
}

/// What links have done so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkCounts {
    /// Frames that left a host.
    pub sent: u64,
    /// Of these: as streams.
    pub streamed: u64,
    /// Bytes that left.
    pub bytes: u64,
    /// Lost at random.
    pub lost: u64,
    /// Came twice.
    pub duplicated: u64,
    /// Held back.
    pub reordered: u64,
    /// Damaged.
    pub corrupted: u64,
    /// Stopped by a cut or a partition.
    pub cut: u64,
}

/// All links of a world.
#[derive(Debug)]
pub(crate) struct Links {
    topology: Topology,
    pub(crate) faults: LinkFaults,
    pub(crate) counts: LinkCounts,
    cuts: BTreeSet<(u32, u32)>,
    sides: Vec<u8>,
    partitioned: bool,
    /// Of each host: how much longer its frames take, in and out.
    limp: Vec<u64>,
    /// Whether some host limps: else nobody need look.
    limping: bool,
    /// Of each host: until when its uplink is busy.
    busy_until: Vec<u64>,
    /// Open streams, and when their last frame arrives.
    streams: BTreeMap<(u32, u32), u64>,
    rng: Rng,
}

impl Links {
    pub(crate) fn new(latency: Latency, faults: LinkFaults, rng: &Rng) -> Links {
        Links {
            topology: Topology::new(latency, rng),
            faults,
            counts: LinkCounts::default(),
            cuts: BTreeSet::new(),
            sides: Vec::new(),
            partitioned: false,
            limp: Vec::new(),
            limping: false,
            busy_until: Vec::new(),
            streams: BTreeMap::new(),
            rng: rng.fork("links", 0),
        }
    }

    pub(crate) fn add_host(&mut self) {
        self.topology.add_host();
        self.sides.push(0);
        self.limp.push(0);
        self.busy_until.push(0);
    }

    /// Sends a frame of `len` bytes; at most two arrivals.
    pub(crate) fn send(&mut self, now: u64, from: usize, to: usize, len: usize) -> [Option<Arrival>; 2] {
        self.counts.sent += 1;
        self.counts.bytes += len as u64;
        if self.is_cut(from, to) {
            self.counts.cut += 1;
            return [None, None];
        }
        let leaves = self.departure(now, from, len);
        if len > DATAGRAM_BYTES_MAX {
            return [self.send_stream(leaves, from, to), None];
        }
        let lost = self.happens(self.faults.loss);
        let doubled = self.happens(self.faults.duplicate);
        self.counts.lost += u64::from(lost);
        self.counts.duplicated += u64::from(doubled);
        let first = if lost { None } else { Some(self.fly(leaves, from, to, len)) };
        let second = if doubled { Some(self.fly(leaves, from, to, len)) } else { None };
        [first, second]
    }

    fn departure(&mut self, now: u64, from: usize, len: usize) -> u64 {
        if self.faults.bandwidth == 0 {
            return now;
        }
        let takes = len as u64 * 1_000_000 / self.faults.bandwidth;
        self.busy_until[from] = self.busy_until[from].max(now) + takes;
        self.busy_until[from]
    }

    /// Draws only for faults that are switched on.
    fn happens(&mut self, p: f64) -> bool {
        p > 0.0 && self.rng.chance(p)
    }

    fn one_way(&mut self, from: usize, to: usize) -> u64 {
        let travel = self.topology.one_way(from, to, &mut self.rng);
        if self.limping { travel + self.limp[from] + self.limp[to] } else { travel }
    }

    fn fly(&mut self, leaves: u64, from: usize, to: usize, len: usize) -> Arrival {
        let mut at = leaves + self.one_way(from, to);
        if self.happens(self.faults.reorder) {
            self.counts.reordered += 1;
            at += self.rng.below(self.faults.reorder_by.0 + 1);
        }
        let mut flip = None;
        if self.happens(self.faults.corrupt) {
            self.counts.corrupted += 1;
            flip = Some(self.rng.below(8 * len as u64) as u32);
        }
        Arrival { at, flip }
    }

    fn send_stream(&mut self, leaves: u64, from: usize, to: usize) -> Option<Arrival> {
        self.counts.streamed += 1;
        let link = (from as u32, to as u32);
        let mut travel = self.one_way(from, to);
        let after = match self.streams.get(&link) {
            Some(&last) => last,
            None => {
                travel += self.one_way(from, to) + self.one_way(to, from);
                0
            }
        };
        let mut tries = 0;
        while self.happens(self.faults.loss) {
            self.counts.lost += 1;
            tries += 1;
            if tries > RETRANSMISSIONS_MAX {
                self.streams.remove(&link);
                return None;
            }
            travel += RETRANSMIT_MICROS + self.one_way(to, from);
        }
        let at = (leaves + travel).max(after);
        self.streams.insert(link, at);
        Some(Arrival { at, flip: None })
    }

    /// Whether frames from one host to the other vanish now.
    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.partitioned && self.sides[from] != self.sides[to]
            || !self.cuts.is_empty() && self.cuts.contains(&(from as u32, to as u32))
    }

    /// A frame under way met a cut: it is gone, and so is the stream that carried it.
    pub(crate) fn broke(&mut self, from: usize, to: usize) {
        self.counts.cut += 1;
        self.streams.remove(&(from as u32, to as u32));
    }

    /// Cuts one direction.
    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.cuts.insert((from as u32, to as u32));
    }

    /// Puts each host on a side; hosts beyond the list are on side 0.
    pub(crate) fn partition(&mut self, sides: &[u8]) {
        for (n, side) in self.sides.iter_mut().enumerate() {
            *side = sides.get(n).copied().unwrap_or(0);
        }
        self.partitioned = true;
    }

    /// Ends the partition, keeping cuts.
    pub(crate) fn join_sides(&mut self) {
        self.partitioned = false;
    }

    /// Ends one cut.
    pub(crate) fn mend(&mut self, from: usize, to: usize) {
        self.cuts.remove(&(from as u32, to as u32));
    }

    /// Ends all cuts, the partition, all limping and all random faults. Latency and bandwidth stay.
    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
        self.partitioned = false;
        self.limp.fill(0);
        self.limping = false;
        self.faults = LinkFaults { bandwidth: self.faults.bandwidth, ..LinkFaults::default() };
    }

    /// Frames of this host take so much longer, each way.
    pub(crate) fn set_limp(&mut self, host: usize, by: Duration) {
        self.limp[host] = by.0;
        self.limping |= by.0 > 0;
    }

    /// A process ended: its streams are gone.
    pub(crate) fn forget(&mut self, host: usize) {
        let host = host as u32;
        self.streams.retain(|&(from, to), _| from != host && to != host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(faults: LinkFaults) -> Links {
        let mut links =
            Links::new(Latency::Drawn("constant:10ms".parse().unwrap()), faults, &Rng::from_u64(1));
        (0..4).for_each(|_| links.add_host());
        links
    }

    fn arrivals(links: &mut Links, n: u64) -> Vec<Arrival> {
        (0..n).flat_map(|i| links.send(i, 0, 1, 100)).flatten().collect()
    }

    #[test]
    fn loss_and_duplication_keep_their_rates() {
        let mut links = links(LinkFaults { loss: 0.1, duplicate: 0.2, ..LinkFaults::default() });
        let came = arrivals(&mut links, 10_000).len();
        assert!((10_700..11_300).contains(&came), "{came}");
    }

    #[test]
    fn reordering_lets_later_frames_overtake() {
        let by = Duration::from_millis(5);
        let mut links = links(LinkFaults { reorder: 0.5, reorder_by: by, ..LinkFaults::default() });
        let came = arrivals(&mut links, 1_000);
        assert!(came.windows(2).any(|w| w[0].at > w[1].at));
        assert!(came.iter().zip(0..).all(|(a, sent)| a.at <= sent + 10_000 + by.0));
    }

    #[test]
    fn corruption_names_a_bit_of_the_frame() {
        let mut links = links(LinkFaults { corrupt: 1.0, ..LinkFaults::default() });
        assert!(arrivals(&mut links, 100).iter().all(|a| a.flip.is_some_and(|bit| bit < 800)));
    }

    #[test]
    fn a_stream_pays_for_its_connection_once_and_keeps_order_without_loss() {
        let mut links = links(LinkFaults { loss: 0.3, ..LinkFaults::default() });
        let mut last = 0;
        for sent in 0..100 {
            let [first, second] = links.send(sent, 0, 1, DATAGRAM_BYTES_MAX + 1);
            let at = first.unwrap().at;
            assert!(at >= last && at >= sent + 10_000 && second.is_none());
            last = at;
        }
        let mut calm = self::links(LinkFaults::default());
        assert_eq!(calm.send(0, 0, 1, 5_000)[0].unwrap().at, 30_000);
        assert_eq!(calm.send(40_000, 0, 1, 5_000)[0].unwrap().at, 50_000);
        calm.forget(1);
        assert_eq!(calm.send(60_000, 0, 1, 5_000)[0].unwrap().at, 90_000);
    }

    #[test]
    fn cuts_have_a_direction_and_partitions_have_sides() {
        let mut links = links(LinkFaults::default());
        links.cut(0, 1);
        assert!(links.is_cut(0, 1) && !links.is_cut(1, 0));
        assert_eq!(links.send(0, 0, 1, 100), [None, None]);
        links.partition(&[0, 0, 1, 1]);
        assert!(links.is_cut(0, 2) && links.is_cut(2, 0) && !links.is_cut(2, 3));
        links.join_sides();
        assert!(!links.is_cut(0, 2) && links.is_cut(0, 1));
        links.heal();
        assert!(!links.is_cut(0, 1));
    }

    #[test]
    fn limping_and_bandwidth_take_time() {
        let mut links = links(LinkFaults { bandwidth: 1_000_000, ..LinkFaults::default() });
        links.set_limp(1, Duration::from_millis(1));
        assert_eq!(links.send(0, 0, 1, 1_000)[0].unwrap().at, 12_000);
        assert_eq!(links.send(0, 0, 1, 1_000)[0].unwrap().at, 13_000);
    }
}
