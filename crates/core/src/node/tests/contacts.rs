//! Peers that are not where they were, or not who they were, and what those who wait are told.

use super::super::message::{Message, Standing};
use super::super::terms::SAID_FOR;
use super::super::{Node, OP_TIME_MAX, Turn, Why};
use super::*;
use crate::frame::{self, FrameKey, Header, Kind, NetworkId};
use crate::overlay::kademlia::{Call, Kademlia, Msg};
use crate::rpc::Class;
use crate::wire::{self, Wire as _};

impl Net {
    /// Lets host `n` hear a younger process with its identity.
    fn supersede(&mut self, n: usize) {
        let machine = self.hosts[n].machine.as_ref().expect("it runs");
        let (me, network) = (self.hosts[n].peer.clone(), machine.inspect().network);
        let header = Header { kind: Kind::Tell, network, from: &me, incarnation: 9, request: 0 };
        let mut bytes = Vec::new();
        frame::seal(&FrameKey::open_network(), &header, &mut bytes, |_| {});
        self.feed(n, &mut [NodeInput::Datagram { from: me.addr(), bytes: &bytes }]);
    }

    /// What a host says that has no time for a request.
    pub(super) fn busy_answer(&self, n: usize, request: &[u8]) -> Option<Vec<u8>> {
        let (header, _) = frame::open(&FrameKey::open_network(), request).expect("sealed");
        let Host { peer: from, incarnation, .. } = &self.hosts[n];
        let Header { network, request, .. } = header;
        let answer = Header { kind: Kind::Busy, network, from, incarnation: *incarnation, request };
        let mut bytes = Vec::new();
        frame::seal(&FrameKey::open_network(), &answer, &mut bytes, |_| {});
        (header.kind == Kind::Request).then_some(bytes)
    }
}

/// Seals a frame as its sender would.
fn sealed(kind: Kind, from: &Peer, incarnation: u64, request: u64, msg: &Message<Kademlia>) -> Vec<u8> {
    let header = Header { kind, network: NetworkId(7), from, incarnation, request };
    let mut bytes = Vec::new();
    frame::seal(&FrameKey::open_network(), &header, &mut bytes, |w| msg.encode(w));
    bytes
}

/// A frame as nodes of version 1 seal it.
fn of_version_1(kind: Kind, from: &Peer) -> Vec<u8> {
    let mut bytes = sealed(kind, from, 1, 1, &Message::Hello(Wall(1)));
    bytes.truncate(bytes.len() - frame::MAC_BYTES);
    bytes[2] = 1;
    let mac = FrameKey::open_network().mac(&bytes);
    bytes.extend(mac.to_le_bytes());
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
    let terms = config.terms();
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
                Message::Hello(wall) => Message::Welcome(Standing { wall, terms }, true),
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
        net.supersede(0);
        assert_eq!(net.hosts[0].machine.as_ref().expect("it runs").inspect().phase, Phase::Refused);
        assert_eq!(net.done.len(), count, "{}: {:?}", entry.name, net.done);
    }
}

/// Its successor is there before it has gone: whoever told it to stop need not wait for more.
#[test]
fn who_is_superseded_while_it_leaves_has_left() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 4, 3, 2);
        net.put(0, "k", "v").expect("acknowledged");
        (1..4).for_each(|n| net.crash(n));
        net.feed(0, &mut [NodeInput::Stop]);
        let phase = |net: &Net| net.hosts[0].machine.as_ref().expect("it runs").inspect().phase;
        assert_eq!(phase(&net), Phase::Leaving, "{}: it hands over first", entry.name);
        net.supersede(0);
        assert_eq!(phase(&net), Phase::Stopped, "{}", entry.name);
        assert!(net.done.iter().any(|(op, done)| *op == STOP_OP && done.is_ok()), "{:?}", net.done);
    }
}

/// A neighbour that only ever says "I am busy" lives and stays: it is none of the lost, who are few and need their places.
#[test]
fn a_busy_contact_is_not_lost() {
    for entry in OVERLAYS.iter().filter(|entry| entry.name == "kademlia") {
        let mut net = Net::grown(entry, 4, 3, 2);
        net.busy = Some(2);
        net.run(Duration::from_secs(120), |_| false);
        for n in [0, 1, 3] {
            let seen = net.hosts[n].machine.as_ref().expect("it runs").inspect();
            let busy = &net.hosts[2].peer;
            assert!(seen.tables.iter().any(|(_, peers)| peers.contains(busy)), "{n} keeps it");
            let lost = seen.bounds.iter().find(|(what, ..)| *what == "lost peers").expect("a bound");
            assert_eq!(lost.1, 0, "{n}");
        }
        assert!(net.busy_answers > 20, "{}", net.busy_answers);
    }
}

/// One node is started with other copies than all the others. It joins, for that may be meant; both sides say so, until it goes or
/// comes back like the others.
#[test]
fn who_keeps_other_copies_is_told_by_both_sides() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 3, 3, 2);
        let told = |net: &mut Net, n: usize| {
            let Ok(OpDone::Status(status)) = net.op(n, Op::Status) else { panic!("a status") };
            let mut told: Vec<_> =
                status.other_terms.iter().map(|(peer, terms)| (peer.addr(), terms.replicas)).collect();
            told.sort();
            told
        };
        let at = |net: &Net, n: usize| net.hosts[n].peer.addr();
        assert!((0..3).all(|n| told(&mut net, n).is_empty()), "{}", entry.name);
        let odd = net.add(4, 3);
        net.calm();
        assert!(!net.tables_empty(odd), "{}: it joins", entry.name);
        let others: Vec<_> = (0..3).map(|n| (at(&net, n), 3)).collect();
        assert_eq!(told(&mut net, odd), others, "{}", entry.name);
        for n in 0..20 {
            net.put(0, &n.to_string(), "v").expect("all are there");
        }
        // Time for everybody to compare with the root of each of its arcs.
        net.run(Duration::from_secs(60), |_| false);
        let who = at(&net, odd);
        let heard: Vec<_> = (0..3).map(|n| told(&mut net, n)).collect();
        assert_eq!(heard, vec![vec![(who, 4)]; 3], "{}: who compares hears of it", entry.name);
        // A line of the log for each pair, and not for each comparison.
        let lines = net.traces.iter().filter(|(_, line)| matches!(line, Trace::OtherTerms { .. })).count();
        assert_eq!(lines, 6, "{}", entry.name);
        // It comes back like the others, and all hear of that when they compare; then another goes for good that does not.
        net.crash(odd);
        net.start(odd, 3, 2, vec![at(&net, 0)]);
        net.run(Duration::from_secs(60), |_| false);
        assert!((0..4).all(|n| told(&mut net, n).is_empty()), "{}: all agree", entry.name);
        let gone = net.add(4, 4);
        net.run(Duration::from_secs(60), |_| false);
        assert!((0..4).any(|n| !told(&mut net, n).is_empty()), "{}: it is told of", entry.name);
        net.crash(gone);
        net.run(SAID_FOR, |_| false);
        assert!((0..4).all(|n| told(&mut net, n).is_empty()), "{}: it is gone", entry.name);
    }
}

/// A joiner that meets another version says so; a member that hears one is none the less a member.
#[test]
fn another_version_is_told_by_who_cannot_join_for_it() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 2, 2, 1);
        let joiner = net.hosts.len();
        let peer = Peer::new(Rng::from_u64(9).id(), Addr::simulated(9));
        net.hosts.push(Host { machine: None, disk: Disk::default(), peer, incarnation: 0 });
        net.start(joiner, 2, 1, vec![Addr::simulated(99)]);
        net.run(Duration::from_secs(2), |_| false);
        let stranger = Peer::new(Id::from_u64(4), Addr::simulated(99));
        let hear = |net: &mut Net, n: usize, kind: Kind| {
            let bytes = of_version_1(kind, &stranger);
            net.feed(n, &mut [NodeInput::Datagram { from: stranger.addr(), bytes: &bytes }]);
        };
        let status = |net: &mut Net, n: usize| {
            let Ok(OpDone::Status(status)) = net.op(n, Op::Status) else { panic!("a status") };
            (status.refused, status.counters.frames_out)
        };
        for n in [0, joiner] {
            let (_, before) = status(&mut net, n);
            hear(&mut net, n, Kind::Refused);
            assert_eq!(status(&mut net, n).1, before, "{}: a refusal is not refused", entry.name);
            hear(&mut net, n, Kind::Request);
            assert_eq!(status(&mut net, n).1, before + 1, "{}: a request is", entry.name);
        }
        // Not by its own seed either, nor while it leaves.
        let seed = net.hosts[0].peer.clone();
        let bytes = of_version_1(Kind::Refused, &seed);
        net.feed(1, &mut [NodeInput::Datagram { from: seed.addr(), bytes: &bytes }, NodeInput::Stop]);
        net.feed(0, &mut [NodeInput::Stop]);
        assert!((0..2).all(|n| status(&mut net, n).0.is_none()), "{}", entry.name);
        let why = status(&mut net, joiner).0.expect("a reason");
        assert!(why.contains("10.0.0.99:5850 speaks protocol version 1"), "{}: {why}", entry.name);
    }
}

/// A network is upgraded node by node to a version that the others do not speak: who comes back waits for them, and does not
/// go first, beside them. When they are gone it does.
#[test]
fn who_comes_back_to_another_version_founds_no_second_network() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 3, 3, 2);
        net.run(NOTES_EVERY.times(2), |_| false);
        (0..3).for_each(|n| net.crash(n));
        net.start(2, 3, 2, vec![]);
        let old = Peer::new(*net.hosts[0].peer.id(), net.hosts[0].peer.addr());
        let phase = |net: &Net| net.hosts[2].machine.as_ref().expect("it runs").inspect().phase;
        for _ in 0..30 {
            net.run(Duration::from_secs(1), |_| false);
            net.feed(
                2,
                &mut [NodeInput::Datagram { from: old.addr(), bytes: &of_version_1(Kind::Refused, &old) }],
            );
            assert_eq!(phase(&net), Phase::Joining, "{}", entry.name);
        }
        // Who was not asked does not hold it up.
        let stranger = Peer::new(Id::from_u64(4), Addr::simulated(99));
        for _ in 0..20 {
            net.run(Duration::from_secs(1), |_| false);
            let bytes = of_version_1(Kind::Refused, &stranger);
            net.feed(2, &mut [NodeInput::Datagram { from: stranger.addr(), bytes: &bytes }]);
        }
        assert_eq!(phase(&net), Phase::Member, "{}", entry.name);
    }
}

/// A machine has lost its disk and founds a network of its own at its old address: those who look for it there are members as before.
#[test]
fn a_member_is_not_refused_by_another_network() {
    for entry in OVERLAYS {
        let mut net = Net::grown(entry, 3, 3, 2);
        net.crash(2);
        net.hosts[2].disk = Disk::default();
        net.start(2, 3, 2, vec![]);
        net.run(Duration::from_secs(120), |_| false);
        let status = |net: &mut Net, n: usize| {
            let Ok(OpDone::Status(status)) = net.op(n, Op::Status) else { panic!("a status") };
            status
        };
        assert!(status(&mut net, 2).counters.frames_refused > 0, "{}: it was looked for", entry.name);
        assert!((0..2).all(|n| status(&mut net, n).refused.is_none()), "{}", entry.name);
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

/// A node stood still with thousands of calls under way, which all end in one turn: each end reaches the overlay. A ping whose end did
/// not would keep its place, of which there are 64, for ever.
#[test]
fn all_calls_may_end_in_one_turn() {
    let mut rng = Rng::from_u64(1);
    let me = Peer::new(rng.id(), Addr::simulated(0));
    let config = NodeConfig::new(me.clone(), Rng::from_u64(1).fork_seed("t", 0));
    let mut node = Node::<Kademlia>::new(config).expect("default options are possible");
    let mut now = Now { mono: Mono(1), wall: Wall(EPOCH) };
    node.settle(now, NetworkId(7), core::slice::from_ref(&me), &mut Outbox::default());
    // Whoever speaks for the first time is pinged.
    let mut pinged = |node: &mut Node<Kademlia>, now: Now| {
        let mut out = Outbox::default();
        for n in 0..64 {
            let stranger = Peer::new(rng.id(), Addr::simulated(100 + n));
            let bytes = sealed(Kind::Tell, &stranger, 1, 0, &Message::Overlay(Msg::Leaving));
            node.handle(now, &mut [NodeInput::Datagram { from: stranger.addr(), bytes: &bytes }], &mut out);
        }
        let is_ping = |bytes: &[u8]| {
            let (_, body) = frame::open(&FrameKey::open_network(), bytes).expect("sealed");
            let msg = wire::from_slice::<Message<Kademlia>>(body);
            matches!(msg, Ok(Message::Overlay(Msg::Ping { .. })))
        };
        out.datagrams().filter(|(_, bytes)| is_ping(bytes)).count()
    };
    assert_eq!(pinged(&mut node, now), 64);
    let mut out = Outbox::default();
    let mut t = Turn::begin(now, &mut out);
    for n in 0..12_000 {
        let peer = Peer::new(Id::from_u64(1 + n), Addr::simulated(1_000 + n as u32));
        let (msg, why) = (Message::Overlay(Msg::Leaving), Why::Overlay(Call::Refresh));
        assert!(node.call(&mut t, &peer, msg, Class::Quick, why), "there is room");
    }
    t.end();
    let under_way = |node: &Node<Kademlia>| node.rpc.bounds()[0].1;
    let mut most = 0;
    for _ in 0..20 {
        let before = under_way(&node);
        now.mono = now.mono + Duration::from_secs(40);
        node.handle(now, &mut [NodeInput::Tick], &mut Outbox::default());
        most = most.max(before - under_way(&node).min(before));
    }
    // What is left are questions to those who are lost now.
    assert!(most > 10_000 && under_way(&node) < 4, "{most} ended in one turn, {} are left", under_way(&node));
    assert_eq!(pinged(&mut node, now), 64, "every place is free again");
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
