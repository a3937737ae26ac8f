//! Stories of what is removed, immutable, signed and numbered, over every overlay (`opendht` sections 1.6 and 5).

use ed25519_dalek::{Signer as _, SigningKey};

use super::*;
use crate::frame::NetworkId;
use crate::machine::{RemoveReceipt, SignedPut, Value};
use crate::store::proof::{Claim, sha256, signer_place};
use crate::store::record::content_key;
use crate::store::{ClientId, Kind, Proof};

pub(super) const HOUR: Duration = Duration::from_secs(3600);

impl Net {
    pub(super) fn put_guarded(
        &mut self,
        n: usize,
        key: &str,
        value: &str,
        secret: &str,
        ttl: Duration,
    ) -> OpResult {
        let secret_hash = Id::of_text(secret);
        let (key, value) = (Id::of_text(key), value.as_bytes().to_vec());
        self.op(n, Op::Put { key, value, ttl, secret_hash, client: ClientId::NOBODY })
    }

    pub(super) fn remove(
        &mut self,
        n: usize,
        key: &str,
        value: &str,
        secret: &str,
        ttl: Duration,
    ) -> RemoveReceipt {
        let what = Op::Remove {
            key: Id::of_text(key),
            value_hash: Id::of_text(value),
            secret: secret.as_bytes().to_vec(),
            ttl,
            client: ClientId::NOBODY,
        };
        match self.op(n, what) {
            Ok(OpDone::Removed(receipt)) => receipt,
            other => panic!("{}: a remove gave {other:?}", self.entry.name),
        }
    }

    pub(super) fn network(&self) -> NetworkId {
        self.hosts[0].machine.as_ref().expect("it runs").inspect().network
    }

    pub(super) fn values(&mut self, n: usize, key: &str, signer: Option<Id>) -> Vec<Value> {
        let (key, reads, page_bytes) = (Id::of_text(key), Reads::Quorum, 1 << 20);
        let get = Op::Get { key, max: 100, after: None, reads, page_bytes, overhead_bytes: 0, signer };
        match self.op(n, get) {
            Ok(OpDone::Got(answer)) => answer.values,
            other => panic!("{}: a get gave {other:?}", self.entry.name),
        }
    }

    /// Signed by signer number `signer`, to end `ttl` from now.
    pub(super) fn signed(
        &self,
        signer: u8,
        kind: Kind,
        content: &[u8],
        seq: u64,
        ttl: Duration,
    ) -> SignedPut {
        let signer = SigningKey::from_bytes(&[signer; 32]);
        let expires_secs = (EPOCH + self.now + ttl.0) / 1_000_000;
        let public_key = signer.verifying_key().to_bytes();
        let mut proof = Proof { public_key, nonce: [7; 32], expires_secs, signature: [0; 64] };
        let key = Id::of_text("k");
        let claim = Claim { kind, network: self.network(), key: &key, content, seq };
        proof.signature = signer.sign(&claim.text(&proof)).to_bytes();
        SignedPut { kind, key, content: content.to_vec(), seq, proof, cas: None, client: ClientId::NOBODY }
    }

    pub(super) fn put_signed(&mut self, n: usize, put: &SignedPut) -> OpResult {
        self.op(n, Op::PutSigned(Box::new(put.clone())))
    }
}

pub(super) fn bytes(values: &[Value]) -> Vec<&[u8]> {
    values.iter().map(|v| &v.bytes[..]).collect()
}

#[test]
fn a_removed_value_is_gone_for_every_reader_at_once() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 5, 3, 2);
        net.put(0, "k", "stays").expect("acknowledged");
        net.put_guarded(1, "k", "goes", "sesame", HOUR).expect("acknowledged");
        let wrong = net.remove(2, "k", "goes", "guess", HOUR);
        assert!(!wrong.found, "{}: nothing is under that secret", entry.name);
        assert_eq!(net.texts(3, "k"), ["stays", "goes"], "{}", entry.name);
        let receipt = net.remove(2, "k", "goes", "sesame", HOUR);
        assert!(receipt.found && receipt.acked.len() >= 2, "{}: {receipt:?}", entry.name);
        for n in 0..5 {
            assert_eq!(net.texts(n, "k"), ["stays"], "{} node {n}", entry.name);
        }
        assert!(net.remove(4, "k", "goes", "sesame", HOUR).found, "{}: once more is harmless", entry.name);
        // While the remove lives the same triple is discarded, and its putter told.
        let again = net.put_guarded(1, "k", "goes", "sesame", HOUR);
        assert!(matches!(again, Ok(OpDone::Put(receipt)) if receipt.hidden), "{}", entry.name);
        // Under another secret it is another value, and a replay of the remove does not touch it.
        net.put_guarded(1, "k", "goes", "open", HOUR).expect("acknowledged");
        net.remove(2, "k", "goes", "sesame", HOUR);
        assert_eq!(net.texts(0, "k"), ["stays", "goes"], "{}", entry.name);
    }
}

#[test]
fn a_remove_that_reached_one_reader_of_two_hides_the_value_from_both() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 5, 3, 2);
        net.put_guarded(1, "k", "v", "sesame", HOUR).expect("acknowledged");
        net.run(Duration::from_secs(10), |_| false);
        let holders: Vec<usize> = (0..5)
            .filter(|n| net.hosts[*n].machine.as_ref().is_some_and(|m| !m.inspect().heads.is_empty()))
            .collect();
        assert_eq!(holders.len(), 3);
        // One holder is away while the value is removed, and asks as soon as it is back.
        let away = holders[0];
        net.crash(away);
        let gateway = holders[1];
        net.remove(gateway, "k", "v", "sesame", HOUR);
        net.start(away, 3, 2, vec![Addr::simulated(if away == 0 { 1 } else { 0 })]);
        net.run(Duration::from_secs(60), |net| {
            net.hosts[away].machine.as_ref().is_some_and(|m| m.inspect().phase == Phase::Member)
        });
        for n in 0..5 {
            assert_eq!(net.texts(n, "k"), Vec::<&str>::new(), "{} node {n}", entry.name);
        }
    }
}

#[test]
fn a_removed_value_stays_away_after_the_asked_time_a_long_absence_and_a_crash_of_all() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 4, 3, 2);
        net.put_guarded(1, "k", "v", "sesame", HOUR).expect("acknowledged");
        net.run(Duration::from_secs(10), |_| false);
        net.crash(3);
        // Asked to stand for five seconds, it stands as long as what it hides.
        let receipt = net.remove(0, "k", "v", "sesame", Duration::from_secs(5));
        assert!(receipt.expires >= Wall(EPOCH) + HOUR, "{}: until {:?}", entry.name, receipt.expires);
        net.run(Duration::from_secs(120), |_| false);
        net.start(3, 3, 2, vec![Addr::simulated(0)]);
        net.calm();
        net.run(Duration::from_secs(30), |_| false);
        (0..4).for_each(|n| net.crash(n));
        (0..4).for_each(|n| net.start(n, 3, 2, if n == 0 { vec![] } else { vec![Addr::simulated(0)] }));
        net.calm();
        for n in 0..4 {
            assert_eq!(net.texts(n, "k"), Vec::<&str>::new(), "{} node {n}", entry.name);
        }
        // And both are gone from the disks when their life is over.
        net.run(HOUR, |_| false);
        net.run(Duration::from_secs(60), |_| false);
        assert_eq!(net.copies_of("k"), 0, "{}", entry.name);
    }
}

#[test]
fn a_remove_of_what_nobody_saw_outlives_every_put_that_may_be_on_its_way() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 3, 3, 2);
        let receipt = net.remove(0, "k", "late", "sesame", Duration::from_secs(5));
        let week = Duration::from_secs(7 * 24 * 3600);
        assert!(!receipt.found);
        assert!(receipt.expires >= Wall(EPOCH) + week, "{}: until {:?}", entry.name, receipt.expires);
        let put = net.put_guarded(1, "k", "late", "sesame", week);
        assert!(matches!(put, Ok(OpDone::Put(receipt)) if receipt.hidden), "{}: told", entry.name);
        assert_eq!(net.texts(2, "k"), Vec::<&str>::new(), "{}", entry.name);
    }
}

#[test]
fn enough_copies_of_a_remove_are_acknowledged_for_majority_reads_to_meet_one() {
    for entry in OVERLAYS {
        let mut net = Net::new(entry);
        net.reads = Some(5);
        for _ in 0..9 {
            net.add(8, 2);
            net.calm();
        }
        net.put_guarded(0, "k", "v", "sesame", HOUR).expect("two of eight");
        let receipt = net.remove(1, "k", "v", "sesame", HOUR);
        assert!(receipt.acked.len() >= 4, "{}: {} of 8, reads ask 5", entry.name, receipt.acked.len());
        assert_eq!(net.texts(2, "k"), Vec::<&str>::new(), "{}", entry.name);
    }
}

#[test]
fn an_immutable_value_is_named_by_itself() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 3, 3, 2);
        let value = b"the same for everybody".to_vec();
        let put = Op::PutImmutable { value: value.clone(), ttl: HOUR, client: ClientId::NOBODY };
        let Ok(OpDone::Put(receipt)) = net.op(0, put) else { panic!("{}", entry.name) };
        let key = receipt.identity.key;
        assert_eq!(key, content_key(&value));
        let (reads, page_bytes) = (Reads::Quorum, 1 << 20);
        let get = Op::Get { key, max: 9, after: None, reads, page_bytes, overhead_bytes: 0, signer: None };
        let Ok(OpDone::Got(answer)) = net.op(1, get) else { panic!("{}", entry.name) };
        assert_eq!((bytes(&answer.values), answer.values[0].kind), (vec![&value[..]], Kind::Immutable));
    }
}

#[test]
fn a_signed_value_is_its_signers_alone() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 4, 3, 2);
        let put = net.signed(1, Kind::Signed, b"mine", 0, HOUR);
        net.put_signed(0, &put).expect("acknowledged");
        net.put(1, "k", "chaff").expect("anybody may put");
        net.put_signed(2, &net.signed(2, Kind::Signed, b"theirs", 0, HOUR)).expect("another signer");
        let place = signer_place(&put.proof.public_key);
        let mine = net.values(3, "k", Some(place));
        assert_eq!(bytes(&mine), [b"mine"], "{}", entry.name);
        assert_eq!(mine[0].proof.as_deref(), Some(&put.proof));
        assert_eq!(mine[0].put_time + mine[0].ttl, Wall(put.proof.expires_secs * 1_000_000));
        assert_eq!(net.values(3, "k", None).len(), 3);

        let forged = |change: fn(&mut SignedPut)| {
            let mut forged = put.clone();
            change(&mut forged);
            forged
        };
        for (what, forged) in [
            ("another value", forged(|p| p.content = b"other".to_vec())),
            ("another key", forged(|p| p.key = Id::of_text("other"))),
            ("a longer life", forged(|p| p.proof.expires_secs += 1)),
            ("another nonce", forged(|p| p.proof.nonce[0] ^= 1)),
            ("another signature", forged(|p| p.proof.signature[0] ^= 1)),
            ("another signer", forged(|p| p.proof.public_key[0] ^= 1)),
            ("a number", forged(|p| p.seq = 1)),
            ("a removal", forged(|p| (p.kind, p.content) = (Kind::SignedRemove, sha256(b"mine").to_vec()))),
            ("a series", forged(|p| (p.kind, p.seq) = (Kind::Sequenced, 1))),
        ] {
            assert_eq!(net.put_signed(0, &forged), Err(OpError::Forged), "{}: {what}", entry.name);
        }
        let mut elsewhere = Net::grown(entry, 1, 1, 1);
        elsewhere.now = net.now;
        assert_ne!(elsewhere.network(), NetworkId::UNKNOWN);
        let network = elsewhere.network();
        if network != net.network() {
            assert_eq!(
                elsewhere.put_signed(0, &put),
                Err(OpError::Forged),
                "{}: another network",
                entry.name
            );
        }
    }
}

#[test]
fn a_signed_value_is_removed_by_its_signer_and_does_not_come_back_by_replay() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 4, 3, 2);
        let put = net.signed(1, Kind::Signed, b"mine", 0, HOUR);
        net.put_signed(0, &put).expect("acknowledged");
        let name = sha256(b"mine");
        let short = net.signed(1, Kind::SignedRemove, &name, 0, Duration::from_secs(60));
        let expires = Wall(put.proof.expires_secs * 1_000_000);
        assert_eq!(net.put_signed(1, &short), Err(OpError::Outlived { expires }), "{}", entry.name);
        let stranger = net.signed(2, Kind::SignedRemove, &name, 0, HOUR);
        assert!(matches!(net.put_signed(1, &stranger), Ok(OpDone::Removed(r)) if !r.found));
        assert_eq!(net.values(2, "k", None).len(), 1, "{}: still there", entry.name);
        let remove = net.signed(1, Kind::SignedRemove, &name, 0, HOUR.times(2));
        assert!(matches!(net.put_signed(1, &remove), Ok(OpDone::Removed(r)) if r.found), "{}", entry.name);
        let replayed = net.put_signed(3, &put);
        assert!(matches!(replayed, Ok(OpDone::Put(r)) if r.hidden), "{}: replayed", entry.name);
        assert_eq!(net.values(2, "k", None), [], "{}", entry.name);
        // When all of it is over, the old put is refused by its own date.
        net.run(HOUR.times(3), |_| false);
        assert_eq!(net.put_signed(0, &put), Err(OpError::Expired), "{}", entry.name);
        assert_eq!(net.values(2, "k", None), [], "{}", entry.name);
    }
}

#[test]
fn a_series_has_one_value_and_goes_only_forward() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 4, 3, 2);
        let next = |net: &Net, seq: u64, value: &[u8], cas: Option<u64>| SignedPut {
            cas,
            ..net.signed(1, Kind::Sequenced, value, seq, HOUR)
        };
        let first = next(&net, 1, b"one", Some(0));
        net.put_signed(0, &first).expect("acknowledged");
        let second = next(&net, 2, b"two", Some(1));
        net.put_signed(1, &second).expect("acknowledged");
        assert_eq!(bytes(&net.values(2, "k", None)), [b"two"], "{}", entry.name);
        assert_eq!(net.values(2, "k", None)[0].seq, 2);
        let late = SignedPut { cas: None, ..first };
        assert_eq!(net.put_signed(3, &late), Err(OpError::Conflict { seq: 2 }), "{}: replayed", entry.name);
        let blind = next(&net, 3, b"three", Some(1));
        assert_eq!(net.put_signed(3, &blind), Err(OpError::Conflict { seq: 2 }), "{}: cas", entry.name);
        let other = next(&net, 2, b"deux", None);
        assert_eq!(net.put_signed(3, &other), Err(OpError::Conflict { seq: 2 }), "{}: given", entry.name);
        net.put_signed(3, &SignedPut { cas: None, ..second }).expect("the very same again is harmless");
        let short = net.signed(1, Kind::Sequenced, b"three", 3, Duration::from_secs(60));
        let outlived = net.put_signed(0, &short);
        assert!(matches!(outlived, Err(OpError::Outlived { .. })), "{}: {outlived:?}", entry.name);
        let end = net.signed(1, Kind::SequencedRemove, b"", 4, HOUR);
        assert!(matches!(net.put_signed(0, &end), Ok(OpDone::Removed(r)) if r.found), "{}", entry.name);
        assert_eq!(net.values(2, "k", None), [], "{}", entry.name);
        let five = next(&net, 5, b"five", Some(4));
        net.put_signed(2, &five).expect("the series goes on");
        assert_eq!(bytes(&net.values(1, "k", None)), [b"five"], "{}", entry.name);
    }
}

/// What a holder has on its disk under a key is taken away, and its process starts again: a replica that missed it all.
pub(super) fn with_one_replica_that_missed_the_put(net: &mut Net) -> usize {
    net.run(Duration::from_secs(10), |_| false);
    let holds = |host: &Host| host.disk.records.values().any(|r| r.head.identity.key == Id::of_text("k"));
    let lacking = (0..net.hosts.len()).find(|n| holds(&net.hosts[*n])).expect("a holder");
    net.crash(lacking);
    net.hosts[lacking].disk.records.clear();
    lacking
}

#[test]
fn a_signed_remove_that_is_refused_has_no_effect_anywhere() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 3, 3, 2);
        let put = net.signed(1, Kind::Signed, b"mine", 0, HOUR);
        net.put_signed(0, &put).expect("acknowledged");
        let lacking = with_one_replica_that_missed_the_put(&mut net);
        let other = (lacking + 1) % 3;
        net.start(lacking, 3, 2, vec![net.hosts[other].peer.addr()]);
        net.run(Duration::from_secs(60), |net| {
            net.hosts[lacking].machine.as_ref().is_some_and(|m| m.inspect().phase == Phase::Member)
        });
        let short = net.signed(1, Kind::SignedRemove, &sha256(b"mine"), 0, Duration::from_secs(60));
        let refused = net.put_signed(other, &short);
        assert!(matches!(refused, Err(OpError::Outlived { .. })), "{}: {refused:?}", entry.name);
        net.run(Duration::from_secs(20), |_| false);
        for n in 0..3 {
            assert_eq!(bytes(&net.values(n, "k", None)), [b"mine"], "{} node {n}", entry.name);
        }
    }
}
