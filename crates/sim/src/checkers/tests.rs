//! Each judge finds what it is for, and is content with a sound world.

use keyway_core::frame::NetworkId;
use keyway_core::machine::{GetAnswer, Inspection, OpDone, OpId, Phase, PutReceipt, Reads, Value};
use keyway_core::store::Record;
use keyway_core::{Addr, Duration, Id, Peer, Wall};

use super::*;
use crate::workload::storage::{ClientModel, Ended, Got, Stored, wall};

const TERMS: Terms = Terms { replicas: 2, skew: Duration::from_secs(1), successors: 2 };
const TTL: Duration = Duration::from_secs(100);

fn peer(n: u64) -> Peer {
    Peer::new(Id::from_u64(10 * n), Addr::simulated(n as u32))
}

fn ideal_ring(n: u64) -> (Oracle, Vec<Seen>) {
    let mut oracle = Oracle::new("");
    let members = (0..n).map(|i| {
        oracle.joined(*peer(i).id(), i as usize);
        let r = (TERMS.successors as u64).min(n - 1);
        Seen {
            host: i as usize,
            peer: peer(i),
            inside: Inspection {
                network: NetworkId::UNKNOWN,
                phase: Phase::Member,
                tables: vec![
                    ("successors", (1..=r).map(|k| peer((i + k) % n)).collect()),
                    ("predecessors", vec![peer((i + n - 1) % n)]),
                ],
                shares: Vec::new(),
                ready: vec![keyway_core::keyspace::Arc::FULL],
                heads: Vec::new(),
                halt: None,
                bounds: Vec::new(),
            },
        }
    });
    let members = members.collect();
    (oracle, members)
}

fn judge_ring(change: impl FnOnce(&mut Vec<Seen>)) -> Verdict {
    let (oracle, mut members) = ideal_ring(6);
    change(&mut members);
    ring::judge(&Snapshot { oracle: &oracle, terms: TERMS, at: 0, members })
}

fn rule(verdict: Verdict) -> String {
    let detail = verdict.unwrap_err().detail;
    detail.split(':').next().unwrap_or_default().into()
}

#[test]
fn an_ideal_ring_is_sound() {
    assert_eq!(judge_ring(|_| ()), Ok(()));
}

#[test]
fn a_loopy_ring_is_found() {
    // Wound twice round: everyone's successor is the next but one.
    let loopy = judge_ring(|members| {
        for (i, member) in (0u64..).zip(members.iter_mut()) {
            member.inside.tables[0].1 = vec![peer((i + 2) % 6), peer((i + 4) % 6)];
        }
    });
    assert_eq!(rule(loopy), "SufficientPrincipals");
}

#[test]
fn each_rule_of_the_ring_finds_its_breach() {
    let dead = judge_ring(|m| m[1].inside.tables[0].1 = vec![peer(77), peer(78)]);
    assert_eq!(rule(dead), "OneLiveSuccessor");
    let skipping = judge_ring(|m| m[1].inside.tables[0].1 = vec![peer(3), peer(4)]);
    assert_eq!(rule(skipping), "one ordered ring");
    let short = judge_ring(|m| m[1].inside.tables[0].1.truncate(1));
    assert_eq!(rule(short), "complete lists");
    let before = judge_ring(|m| m[1].inside.tables[1].1 = vec![peer(5)]);
    assert_eq!(rule(before), "predecessor");
}

fn record() -> Record {
    Record::plain(Id::from_u64(5), b"value".to_vec(), wall(1_000), TTL, 0)
}

/// A client that put one value at 0.001 s; acknowledged at 0.002 s.
fn client() -> ClientModel {
    let (mut clients, record) = (ClientModel::default(), record());
    clients.begin_put(OpId(1), 0, Stored::plain(record.head.identity.key, &record.value, TTL), 1_000);
    let receipt = PutReceipt {
        identity: record.head.identity,
        acked: Vec::new(),
        replicas: 2,
        expires: record.head.expires(),
        hidden: false,
    };
    assert!(matches!(
        clients.end(OpId(1), 2_000, Ok(OpDone::Put(receipt))),
        Some(Ended::Put { acked: true, .. })
    ));
    clients
}

fn got(values: Vec<Value>, asked: u64) -> Got {
    let answer = GetAnswer { values, next: None, merged: 2 };
    Got { host: 0, key: Id::from_u64(5), asked, ended: asked + 10, reads: Reads::Quorum, answer }
}

fn value(asked: u64) -> Value {
    Value::of(record(), wall(asked))
}

#[test]
fn a_true_answer_passes_all_judges() {
    let (clients, got) = (client(), got(vec![value(5_000)], 5_000));
    assert_eq!(nothing_invented::judge(&clients, &got), Ok(()));
    assert_eq!(ttl::judge(&clients, &got, &TERMS), Ok(()));
    assert_eq!(read_after_ack::judge(&clients, &got, &TERMS), Ok(()));
}

#[test]
fn an_answer_without_an_acknowledged_value_is_found() {
    let clients = client();
    assert!(read_after_ack::judge(&clients, &got(Vec::new(), 5_000), &TERMS).is_err());
    // Asked before the acknowledgement, or answered as the life ends, nothing is owed.
    assert_eq!(read_after_ack::judge(&clients, &got(Vec::new(), 1_500), &TERMS), Ok(()));
    assert_eq!(read_after_ack::judge(&clients, &got(Vec::new(), 99_000_000), &TERMS), Ok(()));
}

#[test]
fn inventions_are_found() {
    let clients = client();
    let changed = Value { bytes: b"other".to_vec(), ..value(5_000) };
    assert!(nothing_invented::judge(&clients, &got(vec![changed], 5_000)).is_err());
    let unknown = nothing_invented::judge(&ClientModel::default(), &got(vec![value(5_000)], 5_000));
    assert!(unknown.is_err());
    assert!(nothing_invented::judge(&clients, &got(vec![value(5_000), value(5_000)], 5_000)).is_err());
}

#[test]
fn wrong_lives_are_found() {
    let clients = client();
    let judge = |value: Value, asked: u64| ttl::judge(&clients, &got(vec![value], asked), &TERMS);
    assert_eq!(judge(value(5_000), 5_000), Ok(()));
    // Restarted on the way, or cut short.
    let restarted = Value { put_time: Wall(wall(60_000_000).0), ..value(60_000_000) };
    assert!(judge(restarted, 60_000_000).is_err());
    assert!(judge(Value { ttl: Duration::from_secs(50), ..value(5_000) }, 5_000).is_err());
    assert!(judge(Value { remaining: TTL.times(2), ..value(5_000) }, 5_000).is_err());
    // Served two seconds after its end, with one second of skew.
    assert!(judge(value(102_001_000), 102_001_000).is_err());
}

#[test]
fn a_lacking_replica_is_found() {
    let clients = client();
    let (oracle, mut members) = ideal_ring(3);
    let verdict = |members: Vec<Seen>| {
        acked_puts::judge(&Snapshot { oracle: &oracle, terms: TERMS, at: 5_000, members }, &clients)
    };
    // Key 5 has the root n1 (id 10), then n2.
    members[1].inside.heads.push(record().head);
    members[2].inside.heads.push(record().head);
    assert_eq!(verdict(members), Ok(()));
    let (_, mut members) = ideal_ring(3);
    members[1].inside.heads.push(record().head);
    assert!(verdict(members).is_err());
}
