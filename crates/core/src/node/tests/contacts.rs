//! Peers that are not where they were, or not who they were, and what those who wait are told.

use super::super::OP_TIME_MAX;
use super::super::message::Message;
use super::*;
use crate::frame::{self, FrameKey, Header, Kind, NetworkId};
use crate::overlay::kademlia::{Kademlia, Msg};
use crate::wire::{self, Wire as _};

/// Seals a frame as its sender would.
fn sealed(kind: Kind, from: &Peer, incarnation: u64, request: u64, msg: &Message<Kademlia>) -> Vec<u8> {
    let header = Header { kind, network: NetworkId(7), from, incarnation, request };
    let mut bytes = Vec::new();
    frame::seal(&FrameKey::open_network(), &header, &mut bytes, |w| msg.encode(w));
    bytes
}

/// A seed names a node at one address, and that node speaks as one at another: the joiner is answered at once by everybody, and
/// must not wait for an answer from where nobody is.
#[test]
fn a_joiner_goes_on_without_one_who_answers_from_elsewhere() {
    let mut rng = Rng::from_u64(1);
    let ids = [rng.id(), rng.id(), rng.id()];
    let at = |n: usize, port: u32| Peer::new(ids[n], Addr::simulated(port));
    let (me, seed, named, moved) = (at(0, 0), at(1, 1), at(2, 2), at(2, 3));
    let entry = OVERLAYS.iter().find(|entry| entry.name == "kademlia").expect("it is there");
    let config = NodeConfig::new(me, Rng::from_u64(2).fork_seed("t", 0));
    let mut joiner = (entry.make)(config).expect("default options are possible");
    let mut disk = Disk::default();
    let mut now = Now { mono: Mono(1), wall: Wall(EPOCH) };
    let seeds = [seed.addr()];
    let (mut frames, mut done) = (VecDeque::new(), Vec::new());
    let mut out = Outbox::default();
    joiner.handle(now, &mut [NodeInput::Start { seeds: &seeds }], &mut out);
    let mut asked_moved = 0;
    while joiner.inspect().phase != Phase::Member && now.mono < Mono(20_000_000) {
        for (to, bytes) in out.datagrams() {
            let (header, body) = frame::open(&FrameKey::open_network(), bytes).expect("sealed");
            let msg = wire::from_slice::<Message<Kademlia>>(body).expect("a message");
            let answer = match msg {
                Message::Hello(wall) => Message::Welcome(wall, true),
                Message::Overlay(Msg::Find { .. }) => {
                    Message::Overlay(Msg::Nodes { peers: vec![named.clone()] })
                }
                Message::Overlay(Msg::Enter) => {
                    Message::Overlay(Msg::Place { len: 0, group: vec![named.clone()], far: vec![] })
                }
                Message::Overlay(Msg::Ping { .. }) => Message::Overlay(Msg::Pong),
                Message::Overlay(Msg::Hello) => Message::Overlay(Msg::Group { peers: vec![] }),
                _ => continue,
            };
            asked_moved += usize::from(to == named.addr());
            let from = if to == seed.addr() { &seed } else { &moved };
            frames.push_back((to, sealed(Kind::Reply, from, 1, header.request, &answer)));
        }
        done.extend(out.disk.drain(..).map(|effect| (effect.token, disk.perform(effect.op))));
        out = Outbox::default();
        if let Some((token, result)) = done.pop() {
            joiner.handle(now, &mut [NodeInput::DiskDone { token, result }], &mut out);
        } else if let Some((from, bytes)) = frames.pop_front() {
            joiner.handle(now, &mut [NodeInput::Datagram { from, bytes: &bytes }], &mut out);
        } else {
            let Some(tick) = joiner.deadline() else { break };
            now = Now { mono: tick.max(now.mono), wall: Wall(EPOCH + tick.0) };
            joiner.handle(now, &mut [NodeInput::Tick], &mut out);
        }
    }
    assert!(asked_moved > 0, "it was asked, and answered");
    assert_eq!(joiner.inspect().phase, Phase::Member, "at {:?}", now.mono);
    let known = joiner.inspect().tables.into_iter().flat_map(|(_, peers)| peers).collect::<Vec<_>>();
    assert!(known.contains(&seed) && !known.contains(&named), "{known:?}");
}

/// Two of a network that all went down come back with nobody in common but a seed, while those whom both had known stay away.
#[test]
fn an_island_asks_its_seeds_although_it_has_lost_others_for_good() {
    for entry in OVERLAYS.iter().filter(|entry| entry.name != "toy") {
        let mut net = Net::grown(entry, 2, 2, 1);
        net.crash(1);
        net.run(Duration::from_secs(200), |net| net.tables_empty(0));
        // The one who is gone has never heard of the one who comes.
        net.add(2, 1);
        net.calm();
        net.run(NOTES_EVERY, |_| false);
        net.crash(0);
        net.crash(2);
        let seed = net.hosts[2].peer.addr();
        net.start(1, 2, 1, vec![seed]);
        let is_member = |net: &Net, n: usize| {
            net.hosts[n].machine.as_ref().is_some_and(|m| m.inspect().phase == Phase::Member)
        };
        net.run(Duration::from_secs(60), |net| is_member(net, 1));
        assert!(is_member(&net, 1) && net.tables_empty(1), "{}: it goes first alone", entry.name);
        net.start(2, 2, 1, vec![]);
        net.run(Duration::from_secs(60), |net| is_member(net, 2));
        net.run(Duration::from_secs(240), |net| !net.tables_empty(1) && !net.tables_empty(2));
        assert!(!net.tables_empty(1) && !net.tables_empty(2), "{}: they are one network again", entry.name);
    }
}

/// A younger process with this identity is heard: whoever waits for an answer of this one gets it now.
#[test]
fn who_is_superseded_answers_all_that_it_was_asked() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 4, 3, 3);
        (1..4).for_each(|n| net.crash(n));
        let key = Id::of_text("k");
        let what = [
            Op::put(key, b"v".to_vec(), Duration::from_secs(3600)),
            Op::Get {
                key,
                max: 1,
                after: None,
                reads: Reads::Quorum,
                page_bytes: 1 << 20,
                overhead_bytes: 0,
                signer: None,
            },
            Op::Where { key },
            Op::Survey { max: 10 },
        ];
        let count = what.len();
        let mut inputs: Vec<_> =
            (1000u64..).zip(what).map(|(op, what)| NodeInput::Op { op: OpId(op), what }).collect();
        net.feed(0, &mut inputs);
        let waiting = count - net.done.len();
        assert!(waiting >= 2, "{}: {:?}", entry.name, net.done);
        let machine = net.hosts[0].machine.as_ref().expect("it runs");
        let (me, network) = (net.hosts[0].peer.clone(), machine.inspect().network);
        let header = Header { kind: Kind::Tell, network, from: &me, incarnation: 9, request: 0 };
        let mut bytes = Vec::new();
        frame::seal(&FrameKey::open_network(), &header, &mut bytes, |_| {});
        net.feed(0, &mut [NodeInput::Datagram { from: me.addr(), bytes: &bytes }]);
        assert_eq!(net.hosts[0].machine.as_ref().expect("it runs").inspect().phase, Phase::Refused);
        assert_eq!(net.done.len(), count, "{}: {:?}", entry.name, net.done);
    }
}

/// A copy of a data directory is started beside the first: those whom it greets know who was there before.
#[test]
fn a_copy_of_an_identity_is_refused_while_the_first_lives() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 6, 3, 2);
        net.run(NOTES_EVERY, |_| false);
        let (first, copy) = (3, net.hosts.len());
        let Host { disk, peer, incarnation, .. } = &net.hosts[first];
        let peer = Peer::new(*peer.id(), Addr::simulated(copy as u32));
        let host = Host { machine: None, disk: disk.clone(), peer, incarnation: incarnation - 1 };
        net.hosts.push(host);
        net.start(copy, 3, 2, vec![net.hosts[0].peer.addr()]);
        let phase =
            |net: &Net, n: usize| net.hosts[n].machine.as_ref().map(|machine| machine.inspect().phase);
        net.run(Duration::from_secs(60), |net| phase(net, copy) == Some(Phase::Refused));
        assert_eq!(phase(&net, copy), Some(Phase::Refused), "{}", entry.name);
        net.run(Duration::from_secs(120), |_| false);
        assert_eq!(phase(&net, first), Some(Phase::Member), "{}", entry.name);
        assert!(net.put((first + 1) % 6, "k", "v").is_ok(), "{}", entry.name);
    }
}

/// Everybody else has died at once, and a person asks for a key's way: what is known is told in time.
#[test]
fn a_trace_ends_in_time() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 12, 3, 2);
        (1..12).for_each(|n| net.crash(n));
        let mut rng = Rng::from_u64(3);
        for _ in 0..5 {
            let (began, target) = (net.now, rng.id());
            let Ok(OpDone::Traced(traced)) = net.op(0, Op::Trace { target }) else { panic!("traced") };
            let span = Duration(net.now - began);
            assert!(span <= OP_TIME_MAX, "{}: {span:?}, {} steps", entry.name, traced.steps.len());
        }
    }
}
