//! Calls and their ends, one clock reading at a time.

use super::*;
use crate::peer::Addr;

fn peer(n: u64) -> Peer {
    Peer::new(Id::from_u64(n), Addr::loopback(n as u16))
}

fn ask<M>(msg: M, why: u8) -> Request<M, u8> {
    Request { to: peer(1), msg, class: Class::Quick, patience: Patience::Doubt, why }
}

#[test]
fn timeouts_follow_the_measured_round_trip() {
    let mut rpc: Rpc<(), u8> = Rpc::new();
    assert_eq!(rpc.timeout(&peer(1), Class::Quick), RTO_FIRST);
    rpc.on_heard(Mono(0), &peer(1), 1);
    for i in 1..40u64 {
        let at = Mono(i * 1_000_000);
        let id = rpc.start(at, i << 3, ask((), 0)).unwrap();
        assert!(rpc.on_reply(at + Duration::from_millis(40), id, &peer(1)).is_some());
    }
    let t = rpc.timeout(&peer(1), Class::Quick);
    assert!(t >= Duration::from_millis(40) && t < Duration::from_millis(60), "{t:?}");
    // A stranger takes the node's own estimate, the disk class its own first guess.
    assert_eq!(rpc.timeout(&peer(2), Class::Quick), t);
    assert_eq!(rpc.timeout(&peer(1), Class::Disk), RTO_FIRST);
}

#[test]
fn one_short_round_trip_does_not_make_all_others_silent() {
    let mut rpc: Rpc<(), u8> = Rpc::new();
    rpc.on_heard(Mono(0), &peer(1), 1);
    let mut measure = |i: u64| {
        let at = Mono(i * 1_000_000);
        let id = rpc.start(at, i << 3, ask((), 0)).unwrap();
        assert!(rpc.on_reply(at + Duration::from_millis(2), id, &peer(1)).is_some());
        rpc.timeout(&peer(2), Class::Quick)
    };
    assert_eq!(measure(1), RTO_FIRST);
    let later = (2..20).map(&mut measure).last().unwrap();
    assert_eq!(later, RTO_MIN, "after some it is believed");
}

#[test]
fn a_silent_peer_is_tried_three_times_then_given_up() {
    let mut rpc: Rpc<&str, u8> = Rpc::new();
    rpc.on_heard(Mono(0), &peer(1), 1);
    let id = rpc.start(Mono(0), 8, ask("m", 9)).unwrap();
    let mut tries = alloc::vec![id];
    loop {
        let at = rpc.deadline().unwrap();
        match rpc.pop_due(at).unwrap() {
            Due::Again { request, .. } => tries.push(request),
            Due::NoAnswer { peer: p, why, end } => {
                assert_eq!((p, why, end), (peer(1), 9, Silence::Believed));
                break;
            }
        }
    }
    assert_eq!(tries, [8, 9, 10]);
    assert!(rpc.is_suspect(peer(1).id()));
    assert_eq!(rpc.on_heard(Mono(9), &peer(1), 1), Heard::Suspect, "it speaks");
    assert!(rpc.is_suspect(peer(1).id()));
    let id = rpc.start(Mono(10), 80, ask("m", 9)).unwrap();
    assert!(rpc.on_reply(Mono(20), id, &peer(1)).unwrap().back, "it answers");
    assert!(!rpc.is_suspect(peer(1).id()));
}

/// An answer that comes later than the longest time-out does not make a peer trustworthy again; a new life does.
#[test]
fn a_late_answer_leaves_a_peer_suspect() {
    let mut rpc: Rpc<&str, u8> = Rpc::new();
    rpc.on_heard(Mono(0), &peer(1), 1);
    let place = rpc.known.place(peer(1).id()).unwrap();
    rpc.known.set_suspect(place, true);
    let id = rpc.start(Mono(0), 8, ask("m", 9)).unwrap();
    let late = Mono(0) + RTO_MAX + Duration(1);
    assert!(!rpc.on_reply(late, id, &peer(1)).unwrap().back);
    assert_eq!(rpc.on_heard(late, &peer(1), 1), Heard::Suspect);
    assert_eq!(rpc.on_heard(late, &peer(1), 2), Heard::News);
    assert!(!rpc.is_suspect(peer(1).id()));
}

/// Whoever hears nobody in time waits for the answers, and has lost nobody when they come late.
#[test]
fn a_node_that_hears_nobody_in_time_gives_up_few_and_waits_for_the_others() {
    let mut rpc: Rpc<(), u8> = Rpc::new();
    let limp = Duration::from_secs(18);
    let mut sent = Vec::new();
    for n in 1..=10u64 {
        let to = peer(n);
        rpc.on_heard(Mono(0), &to, 1);
        let request = Request { to, msg: (), class: Class::Quick, patience: Patience::Doubt, why: n as u8 };
        sent.push((n, rpc.start(Mono(0), n << 3, request).unwrap()));
    }
    let mut silent = 0;
    while rpc.deadline().is_some_and(|at| at <= Mono(0) + limp) {
        let at = rpc.deadline().unwrap();
        silent += usize::from(matches!(rpc.pop_due(at), Some(Due::NoAnswer { .. })));
    }
    assert_eq!(silent, doubt::BELIEVED);
    let late = Mono(0) + limp;
    let answered = sent.iter().filter(|(n, id)| rpc.on_reply(late, *id, &peer(*n)).is_some()).count();
    assert_eq!(answered, 10 - silent);
}

/// A cut of a second costs no more peers than were believed silent during it: those that were held are asked once more.
#[test]
fn what_was_held_is_asked_again_before_it_is_believed() {
    let mut rpc: Rpc<(), u8> = Rpc::new();
    for n in 1..=10u64 {
        rpc.on_heard(Mono(0), &peer(n), 1);
        let request =
            Request { to: peer(n), msg: (), class: Class::Quick, patience: Patience::Doubt, why: n as u8 };
        rpc.start(Mono(0), n << 3, request).unwrap();
    }
    // Nothing passes for five seconds; then peer 20 answers, and whoever is asked from then on.
    let healed = Mono(0) + Duration::from_secs(5);
    rpc.on_heard(Mono(0), &peer(20), 1);
    let (mut silent, mut answered) = (0, 0);
    let mut probe = None;
    while let Some(at) = rpc.deadline() {
        if at >= healed && probe.is_none() {
            let request =
                Request { to: peer(20), msg: (), class: Class::Quick, patience: Patience::Tries, why: 0 };
            probe = rpc.start(healed, 800, request).ok();
            assert!(rpc.on_reply(healed + Duration(1), probe.unwrap(), &peer(20)).is_some());
        }
        match rpc.pop_due(at) {
            Some(Due::Again { request, to, .. }) if at >= healed => {
                answered += usize::from(rpc.on_reply(at + Duration(1), request, &to).is_some());
            }
            Some(Due::NoAnswer { .. }) => silent += 1,
            _ => {}
        }
    }
    assert_eq!((silent, answered), (doubt::BELIEVED, 10 - doubt::BELIEVED));
}

/// A peer that is merely slower than it was is found to answer, however short its time-outs were.
#[test]
fn a_suspect_is_waited_for_as_long_as_counts_as_in_time() {
    let mut rpc: Rpc<(), u8> = Rpc::new();
    rpc.on_heard(Mono(0), &peer(1), 1);
    let place = rpc.known.place(peer(1).id()).unwrap();
    rpc.known.set_suspect(place, true);
    (0..50).for_each(|_| rpc.own_quick.sample(Duration(100)));
    let request = Request { to: peer(1), msg: (), class: Class::Quick, patience: Patience::Once, why: 0 };
    let id = rpc.start(Mono(0), 8, request).unwrap();
    let later = Mono(0) + Duration::from_millis(1_500);
    assert!(rpc.pop_due(later).is_none());
    assert!(rpc.on_reply(later, id, &peer(1)).unwrap().back);
}

/// Whoever says that it is busy until nobody waits for it any more has not been silent.
#[test]
fn a_peer_that_is_busy_for_too_long_is_not_taken_for_dead() {
    for answers_last in [true, false] {
        let mut rpc: Rpc<(), u8> = Rpc::new();
        rpc.on_heard(Mono(0), &peer(1), 1);
        let mut id = rpc.start(Mono(0), 8, ask((), 0)).unwrap();
        let mut tries = 0;
        let lives = loop {
            let at = rpc.deadline().unwrap();
            if answers_last || tries == 0 {
                rpc.on_busy(at, id, &peer(1));
            }
            let at = rpc.deadline().unwrap();
            match rpc.pop_due(at).unwrap() {
                Due::Again { request, .. } => (id, tries) = (request, tries + 1),
                Due::NoAnswer { end, .. } => break end == Silence::Busy,
            }
        };
        assert!(tries < TRIES_MAX, "waiting for it has an end");
        assert_eq!((lives, rpc.is_suspect(peer(1).id())), (answers_last, !answers_last));
    }
}

/// What a peer waits for itself is neither the length of the way to it nor a loss on it.
#[test]
fn the_wait_of_a_busy_peer_is_not_taken_for_a_slow_or_bad_link() {
    let mut rpc: Rpc<(), u8> = Rpc::new();
    rpc.on_heard(Mono(0), &peer(1), 1);
    for i in 1..40u64 {
        let start = Mono(i * 100_000_000);
        let mut id = rpc.start(start, i << 3, ask((), 0)).unwrap();
        let mut at = start;
        for _ in 0..2 {
            rpc.on_busy(at + Duration::from_millis(40), id, &peer(1));
            at = rpc.deadline().unwrap();
            let Some(Due::Again { request, .. }) = rpc.pop_due(at) else { panic!("it is asked again") };
            id = request;
        }
        assert!(rpc.on_reply(at + Duration::from_millis(900), id, &peer(1)).is_some());
    }
    let t = rpc.timeout(&peer(1), Class::Quick);
    assert!(t >= Duration::from_millis(40) && t < Duration::from_millis(60), "{t:?}");
    assert_eq!((rpc.timeout(&peer(2), Class::Quick), rpc.loss.tries()), (t, TRIES_MIN));
}

#[test]
fn a_reply_from_somebody_else_is_ignored() {
    let mut rpc: Rpc<(), u8> = Rpc::new();
    let id = rpc.start(Mono(0), 8, ask((), 0)).unwrap();
    assert!(rpc.on_reply(Mono(1), id, &peer(2)).is_none());
    assert!(rpc.on_reply(Mono(1), 16, &peer(1)).is_none());
    assert!(rpc.on_reply(Mono(1), id | 1, &peer(1)).is_some());
    assert!(rpc.on_reply(Mono(1), id, &peer(1)).is_none(), "only once");
}

/// Half of all tries get lost: silence of a living peer must stay rare, so the tries go up, and come down again.
#[test]
fn bad_links_are_tried_more_often_before_silence_is_believed() {
    let mut rpc: Rpc<(), u8> = Rpc::new();
    rpc.on_heard(Mono(0), &peer(1), 1);
    assert_eq!(rpc.loss.tries(), TRIES_MIN);
    let call = |rpc: &mut Rpc<(), u8>, i: u64, lost: u8| {
        let mut at = Mono(i * 1_000_000_000);
        let mut id = rpc.start(at, i << 3, ask((), 0)).unwrap();
        for _ in 0..lost {
            at = rpc.deadline().unwrap();
            let Some(Due::Again { request, .. }) = rpc.pop_due(at) else { panic!("given up too early") };
            id = request;
        }
        assert!(rpc.on_reply(at + Duration::from_millis(1), id, &peer(1)).is_some());
    };
    call(&mut rpc, 1, 1);
    assert!(rpc.loss.tries() <= TRIES_MIN + 1, "one loss says little: {:?}", rpc.loss);
    (2..100).for_each(|i| call(&mut rpc, i, (i % 3) as u8));
    assert_eq!(rpc.loss.tries(), TRIES_MAX);
    (100..600).for_each(|i| call(&mut rpc, i, 0));
    assert_eq!(rpc.loss.tries(), TRIES_MIN);
}

#[test]
fn former_lives_and_twins_are_refused() {
    let mut rpc: Rpc<(), u8> = Rpc::new();
    assert_eq!(rpc.on_heard(Mono(0), &peer(1), 5), Heard::News);
    assert_eq!(rpc.on_heard(Mono(1), &peer(1), 5), Heard::Known);
    assert_eq!(rpc.on_heard(Mono(1), &peer(1), 4), Heard::Superseded);
    let twin = Peer::new(*peer(1).id(), Addr::loopback(77));
    assert_eq!(rpc.on_heard(Mono(1), &twin, 5), Heard::Superseded);
    assert_eq!(rpc.on_heard(Mono(1), &twin, 6), Heard::News);
}

#[test]
fn known_peers_are_bounded() {
    let mut rpc: Rpc<(), u8> = Rpc::new();
    for n in 0..2 * KNOWN_MAX as u64 {
        rpc.on_heard(Mono(n), &peer(n), 1);
    }
    assert_eq!(rpc.bounds()[1].1, KNOWN_MAX);
    assert!(rpc.known(peer(0).id()).is_none());
}

#[test]
fn in_doubt_whoever_speaks_is_asked_whose_silence_it_is() {
    let mut rpc: Rpc<(), u8> = Rpc::new();
    let silent = doubt::BELIEVED as u64 + 1;
    for n in 1..=silent {
        rpc.on_heard(Mono(0), &peer(n), 1);
        let to = peer(n);
        let asked = Request { to, msg: (), class: Class::Quick, patience: Patience::Doubt, why: 0 };
        rpc.start(Mono(0), n << 3, asked).unwrap();
    }
    rpc.on_heard(Mono(0), &peer(20), 1);
    rpc.on_heard(Mono(100_000), &peer(21), 1);
    let mut ended = 0;
    let mut witnesses = Vec::new();
    while witnesses.is_empty() {
        let now = rpc.deadline().expect("the last of them is not given up");
        while let Some(due) = rpc.pop_due(now) {
            ended += u64::from(matches!(due, Due::NoAnswer { .. }));
        }
        witnesses = rpc.witnesses();
    }
    assert_eq!(ended, silent - 1, "one is held");
    assert_eq!(witnesses, [peer(21)], "20 has not spoken since");
    assert!(rpc.witnesses().is_empty(), "they are asked once");
    // It answers at once: so it was the other's silence.
    let now = rpc.deadline().unwrap();
    let asked = Request { to: peer(21), msg: (), class: Class::Quick, patience: Patience::Once, why: 1 };
    let id = rpc.start(now, 99 << 3, asked).unwrap();
    assert!(rpc.on_reply(now + Duration(1_000), id, &peer(21)).is_some());
    let mut end = None;
    while end.is_none() {
        let now = rpc.deadline().unwrap();
        while let Some(due) = rpc.pop_due(now) {
            if let Due::NoAnswer { end: silence, .. } = due {
                end = Some(silence);
            }
        }
    }
    assert_eq!(end, Some(Silence::Believed));
}
