//! Stories of a snapshot that is put back into a network which has gone on, over every overlay: nothing that was removed returns,
//! nothing lives longer, and what was lost is there again.

use super::values::{HOUR, bytes, with_one_replica_that_missed_the_put};
use super::*;
use crate::machine::{Fate, RestoreReceipt};
use crate::store::proof::sha256;
use crate::store::{ClientId, Kind};

impl Net {
    /// What a node holds, by pages of two.
    fn snapshot(&mut self, n: usize) -> Vec<Record> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let what = Op::Records { after, max: 2, page_bytes: 1 << 20 };
            let Ok(OpDone::Records { records, unread, next }) = self.op(n, what) else {
                panic!("{}: no page", self.entry.name);
            };
            assert_eq!(unread, 0);
            all.extend(records);
            after = next;
            if after.is_none() {
                return all;
            }
        }
    }

    /// What all nodes hold, each copy once.
    fn snapshot_of_all(&mut self) -> Vec<Record> {
        self.run(Duration::from_secs(10), |_| false);
        let mut all: BTreeMap<Identity, Record> = BTreeMap::new();
        for n in 0..self.hosts.len() {
            all.extend(self.snapshot(n).into_iter().map(|record| (record.head.identity, record)));
        }
        all.into_values().collect()
    }

    fn restore(&mut self, n: usize, record: &Record) -> Result<RestoreReceipt, OpError> {
        match self.op(n, Op::Restore(Box::new(record.clone())))? {
            OpDone::Restored(receipt) => Ok(receipt),
            other => panic!("{}: a restore gave {other:?}", self.entry.name),
        }
    }

    fn fates(&mut self, records: &[Record]) -> Vec<Fate> {
        let restored = |(n, record): (usize, &Record)| {
            self.restore(n % 3, record).unwrap_or_else(|e| panic!("{:?}: {e}", record.head)).fate
        };
        records.iter().enumerate().map(restored).collect()
    }

    /// Every disk loses its records, and every node starts again in the same network.
    fn lose_all_records(&mut self) {
        for n in 0..self.hosts.len() {
            self.crash(n);
            self.hosts[n].disk.records.clear();
        }
        for n in 0..self.hosts.len() {
            self.start(n, 3, 2, if n == 0 { vec![] } else { vec![Addr::simulated(0)] });
        }
        self.calm();
    }

    /// Everything that lies on disks, by identity: all copies of one must be the same.
    fn on_disks(&mut self) -> BTreeMap<Identity, Record> {
        self.run(Duration::from_secs(30), |_| false);
        let mut all = BTreeMap::new();
        for record in self.hosts.iter().flat_map(|host| host.disk.records.values()) {
            let known = all.entry(record.head.identity).or_insert_with(|| record.clone());
            assert_eq!(known, record, "{}: copies differ", self.entry.name);
        }
        all
    }
}

#[test]
fn what_was_removed_stays_removed_whenever_a_snapshot_is_put_back() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 4, 3, 2);
        net.put_guarded(0, "k", "goes", "sesame", HOUR).expect("acknowledged");
        net.put_guarded(0, "k", "stays", "sesame", HOUR.times(3)).expect("acknowledged");
        let signed = net.signed(1, Kind::Signed, b"mine", 0, HOUR);
        net.put_signed(0, &signed).expect("acknowledged");
        let snapshot = net.snapshot_of_all();
        assert_eq!(snapshot.len(), 3);

        // Asked to stand for a minute, the removals stand as long as what they hide.
        net.remove(1, "k", "goes", "sesame", Duration::from_secs(60));
        let name = sha256(b"mine");
        net.put_signed(1, &net.signed(1, Kind::SignedRemove, &name, 0, HOUR.times(2))).expect("removed");
        for wait in [1, 600, 2900] {
            net.run(Duration::from_secs(wait), |_| false);
            let fates = net.fates(&snapshot);
            let hidden = fates.iter().filter(|fate| **fate == Fate::Hidden).count();
            assert_eq!(hidden, 2, "{} after {wait} s: {fates:?}", entry.name);
            assert_eq!(net.texts(2, "k"), ["stays"], "{} after {wait} s", entry.name);
        }
        // The removal of the plain value has ended: so has the value.
        net.run(Duration::from_secs(120), |_| false);
        let gone = snapshot.iter().find(|r| r.value == b"goes").expect("it is in the snapshot");
        assert_eq!(net.copies_held(gone), 0, "{}: not even the removal is there", entry.name);
        assert_eq!(net.restore(0, gone), Err(OpError::Expired), "{}", entry.name);
        assert_eq!(net.texts(3, "k"), ["stays"], "{}", entry.name);
    }
}

impl Net {
    fn copies_held(&self, record: &Record) -> usize {
        self.hosts.iter().filter(|h| h.disk.records.contains_key(&record.head.identity)).count()
    }
}

#[test]
fn what_was_lost_comes_back_as_it_was() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 4, 3, 2);
        let (key, value) = (Id::of_text("k"), b"owned".to_vec());
        let put = Op::Put { key, value, ttl: HOUR, secret_hash: Id::ZERO, client: ClientId(0xc0ffee) };
        net.op(0, put).expect("acknowledged");
        net.put_guarded(0, "k", "goes", "sesame", HOUR).expect("acknowledged");
        net.remove(1, "k", "goes", "sesame", HOUR);
        // Nobody has seen it: its removal stands longer than any value may live.
        net.remove(1, "k", "unseen", "sesame", HOUR);
        net.put_signed(2, &net.signed(1, Kind::Signed, b"mine", 0, HOUR)).expect("acknowledged");
        net.put_signed(2, &net.signed(2, Kind::Sequenced, b"one", 1, HOUR)).expect("acknowledged");
        let snapshot = net.snapshot_of_all();
        assert_eq!(snapshot.len(), 5, "{}", entry.name);
        let before = net.on_disks();

        net.run(Duration::from_secs(900), |_| false);
        net.lose_all_records();
        assert_eq!(net.values(0, "k", None), [], "{}: all is lost", entry.name);
        let fates = net.fates(&snapshot);
        assert!(fates.iter().all(|fate| *fate == Fate::Stands), "{}: {fates:?}", entry.name);
        assert_eq!(net.on_disks(), before, "{}: instants, lives, origins, clients, proofs", entry.name);
        let left = net.values(3, "k", None);
        assert_eq!(bytes(&left), [&b"owned"[..], b"mine", b"one"], "{}", entry.name);
        assert!(left[0].remaining < HOUR && left[0].remaining > Duration::from_secs(2600));
        // The removals are there as well: a replayed put stays hidden.
        let again = net.put_guarded(0, "k", "goes", "sesame", HOUR);
        assert!(matches!(again, Ok(OpDone::Put(receipt)) if receipt.hidden), "{}", entry.name);

        // And once more changes nothing.
        net.fates(&snapshot);
        let only = |all: BTreeMap<Identity, Record>| -> Vec<Head> {
            all.into_values().map(|record| record.head).collect()
        };
        assert_eq!(only(net.on_disks()), only(before), "{}: twice", entry.name);
    }
}

#[test]
fn a_snapshot_meets_what_has_been_written_since() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 4, 3, 2);
        net.put(0, "k", "renewed").expect("acknowledged");
        net.put_signed(0, &net.signed(1, Kind::Sequenced, b"one", 1, HOUR)).expect("acknowledged");
        let snapshot = net.snapshot_of_all();
        net.run(Duration::from_secs(100), |_| false);
        net.put(1, "k", "renewed").expect("acknowledged");
        net.put(1, "k", "new").expect("acknowledged");
        net.put_signed(2, &net.signed(1, Kind::Sequenced, b"two", 2, HOUR)).expect("acknowledged");
        let before = net.on_disks();
        let fates = net.fates(&snapshot);
        assert!(fates.contains(&Fate::Superseded(2)), "{}: {fates:?}", entry.name);
        assert_eq!(net.on_disks(), before, "{}: the longer life and the greater number stand", entry.name);

        // The end of a series does not end what has followed it.
        net.put_signed(0, &net.signed(1, Kind::SequencedRemove, b"", 3, HOUR.times(2))).expect("removed");
        let end: Vec<Record> = net.snapshot_of_all();
        let end = end.iter().find(|r| r.head.kind == Kind::SequencedRemove).expect("it is there").clone();
        net.put_signed(0, &net.signed(1, Kind::Sequenced, b"four", 4, HOUR.times(3))).expect("goes on");
        assert_eq!(net.restore(1, &end).map(|r| r.fate), Ok(Fate::Superseded(4)), "{}", entry.name);
        assert!(bytes(&net.values(2, "k", None)).contains(&&b"four"[..]), "{}", entry.name);
    }
}

#[test]
fn a_removal_that_would_end_before_what_it_hides_is_not_put_back() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 4, 3, 2);
        net.put_guarded(0, "k", "v", "sesame", HOUR).expect("acknowledged");
        net.remove(0, "k", "v", "sesame", HOUR);
        let snapshot = net.snapshot_of_all();
        net.lose_all_records();
        net.put_guarded(1, "k", "v", "sesame", HOUR.times(5)).expect("acknowledged");
        // One replica lacks it: there the removal would be taken, and spread.
        let lacking = with_one_replica_that_missed_the_put(&mut net);
        let other = (lacking + 1) % 4;
        net.start(lacking, 3, 2, vec![net.hosts[other].peer.addr()]);
        net.run(Duration::from_secs(60), |net| {
            net.hosts[lacking].machine.as_ref().is_some_and(|m| m.inspect().phase == Phase::Member)
        });
        let refused = net.restore(other, &snapshot[0]);
        assert!(matches!(refused, Err(OpError::Outlived { .. })), "{}: {refused:?}", entry.name);
        net.run(HOUR.times(2), |_| false);
        assert_eq!(net.texts(3, "k"), ["v"], "{}: it has no effect, nor later", entry.name);
    }
}

#[test]
fn what_is_not_what_it_says_is_not_put_back() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 3, 3, 2);
        net.put(0, "k", "plain").expect("acknowledged");
        net.put_signed(0, &net.signed(1, Kind::Signed, b"mine", 0, HOUR)).expect("acknowledged");
        let snapshot = net.snapshot_of_all();
        let (signed, plain) = match &snapshot[..] {
            [a, b] if a.head.kind == Kind::Signed => (a, b),
            [b, a] => (a, b),
            other => panic!("{other:?}"),
        };
        let mut other = plain.clone();
        other.value[0] ^= 1;
        assert_eq!(net.restore(1, &other), Err(OpError::Forged), "{}", entry.name);
        let mut longer = signed.clone();
        longer.head.ttl = Duration(longer.head.ttl.0 + HOUR.0);
        assert_eq!(net.restore(1, &longer), Err(OpError::Forged), "{}", entry.name);
        let mut ahead = plain.clone();
        ahead.head.put_time = net.clock().wall + HOUR;
        assert_eq!(net.restore(1, &ahead), Err(OpError::ClockSkew), "{}", entry.name);
        let mut ever = plain.clone();
        ever.head.ttl = HOUR.times(24 * 8);
        assert!(matches!(net.restore(1, &ever), Err(OpError::BadTtl { .. })), "{}", entry.name);

        // Another network: a founder that has forgotten its own.
        let mut elsewhere = Net::grown(entry, 1, 1, 1);
        (elsewhere.now, elsewhere.hosts[0].incarnation) = (net.now, 7);
        elsewhere.crash(0);
        elsewhere.hosts[0].disk = Disk::default();
        elsewhere.start(0, 1, 1, vec![]);
        elsewhere.calm();
        assert_ne!(elsewhere.network(), net.network(), "{}", entry.name);
        assert_eq!(elsewhere.restore(0, signed), Err(OpError::Forged), "{}", entry.name);
        assert_eq!(elsewhere.restore(0, plain).map(|r| r.fate), Ok(Fate::Stands), "{}", entry.name);
        assert_eq!(elsewhere.texts(0, "k"), ["plain"]);
    }
}

#[test]
fn what_a_node_cannot_read_is_counted_and_the_rest_is_given() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 1, 1, 1);
        for n in 0..5 {
            net.put(0, &alloc::format!("k{n}"), "v").expect("acknowledged");
        }
        // With a new process nothing is in memory.
        net.crash(0);
        net.start(0, 1, 1, vec![]);
        net.calm();
        net.hosts[0].disk.unreadable = true;
        let all = |next| Op::Records { after: next, max: 3, page_bytes: 1 << 20 };
        let Ok(OpDone::Records { records, unread, next }) = net.op(0, all(None)) else {
            panic!("{}: no page", entry.name);
        };
        assert_eq!((records.len(), unread, next.is_some()), (0, 3, true), "{}", entry.name);
        net.hosts[0].disk.unreadable = false;
        let Ok(OpDone::Records { records, unread, next }) = net.op(0, all(next)) else {
            panic!("{}: no page", entry.name);
        };
        assert_eq!((records.len(), unread, next), (2, 0, None), "{}: the walk goes on", entry.name);
    }
}

/// A record of 900 bytes that lives for two days.
fn large(client: u64, number: u64, put_time: Wall) -> Record {
    let value = [&number.to_be_bytes()[..], &[7; 892]].concat();
    let life = Duration::from_secs(2 * 86_400);
    Record::plain(Id::from_u64(number), value, put_time, life, 7).charged_to(ClientId(client))
}

#[test]
fn what_a_full_disk_has_no_room_for_is_told_one_by_one_and_pushes_nothing_out() {
    for entry in OVERLAYS {
        let mut net = Net::new(entry);
        net.store_bytes_max = 60_000;
        for _ in 0..3 {
            net.add(3, 2);
            net.calm();
        }
        // What is restored by one client fills the disks.
        let put_time = net.clock().wall;
        let mut acknowledged = Vec::new();
        let error = loop {
            let record = large(1, acknowledged.len() as u64, put_time);
            match net.restore(0, &record) {
                Ok(receipt) => {
                    assert_eq!(receipt.fate, Fate::Stands);
                    acknowledged.push(record);
                }
                Err(error) => break error,
            }
        };
        let no_room = |error: &OpError| matches!(error, OpError::Waiting { .. } | OpError::OverCapacity);
        assert!(no_room(&error), "{}: {error:?}", entry.name);
        assert!(!acknowledged.is_empty(), "{}", entry.name);
        // A snapshot comes back into it: each record is told apart, those that stand and those without room.
        let more: Vec<Record> = (1_000..1_020).map(|n| large(2, n, put_time)).collect();
        let (mut stand, mut refused) = (Vec::new(), 0);
        for record in acknowledged.iter().chain(&more) {
            match net.restore(1, record) {
                Ok(_) => stand.push(record.clone()),
                Err(error) => {
                    assert!(no_room(&error), "{}: {error:?}", entry.name);
                    refused += 1;
                }
            }
        }
        assert!(refused > 0, "{}: the disks were not full", entry.name);
        assert_eq!(stand[..acknowledged.len()], acknowledged, "{}: what is held needs no room", entry.name);
        for record in &stand {
            let holders = net.copies_held(record);
            assert!(holders >= 2, "{}: {holders} hold what was acknowledged", entry.name);
        }
    }
}
