//! The chat: processes that come, speak, leave and die, while a gateway dies too.

use serde_json::Value;

use super::program;
use super::support::{Network, Process};

/// One guest's process.
struct Guest {
    process: Process,
    /// How others see it.
    name: String,
}

/// A guest enters; what was said before is given.
fn enter(network: &Network, name: &str) -> (Guest, Vec<Value>) {
    let args = ["kitchen", "--name", name, "--json", "--here", "6"];
    let log = network.dir.path().join(format!("{name}.log"));
    let process = Process::converse(&mut program(network, "chat", &args), &log);
    let mut before = Vec::new();
    let here = loop {
        match event(&process) {
            event if event["event"] == "here" => break event,
            event => before.push(event),
        }
    };
    let names = here["names"].as_array().expect("names").iter().filter_map(Value::as_str);
    let name = names.filter(|full| full.starts_with(&format!("{name}~"))).map(str::to_owned).next();
    (Guest { process, name: name.expect("it is here itself") }, before)
}

/// The next thing that a guest is shown, trouble left out: a gateway dies.
fn event(process: &Process) -> Value {
    loop {
        let line = process.line();
        if let Ok(event) = serde_json::from_str::<Value>(&line)
            && event["event"] != "trouble"
        {
            return event;
        }
    }
}

fn expect(process: &Process, event_name: &str, who: &Guest) -> Value {
    let seen = event(process);
    assert_eq!((&seen["event"], &seen["name"]), (&event_name.into(), &who.name.as_str().into()), "{seen}");
    seen
}

#[test]
fn guests_see_each_other_come_speak_leave_and_die() {
    let mut network = Network::start(4, &["--durability", "memory"]);
    let (mut ann, before) = enter(&network, "ann");
    assert!(before.is_empty(), "the first one: {before:?}");
    let (mut bob, before) = enter(&network, "bob");
    assert!(before.iter().all(|event| event["name"] == ann.name.as_str()), "{before:?}");
    if before.is_empty() {
        // What a gateway tells at first it may have looked at a second ago.
        expect(&bob.process, "joined", &ann);
    }
    expect(&ann.process, "joined", &bob);

    let lines = ["one", "two", "three", "two", "\u{1b}[2Jfive"];
    lines.iter().for_each(|line| bob.process.say(line));
    for guest in [&ann, &bob] {
        for line in lines {
            let seen = expect(&guest.process, "said", &bob);
            assert_eq!(seen["text"], line.replace('\u{1b}', " "), "in order, each once, and harmless");
        }
    }

    // The gateway that serves all of them dies; nothing is lost, nothing is shown again.
    network.nodes[0].kill();
    for n in 0..5 {
        ann.process.say(&format!("line {n}"));
    }
    for guest in [&ann, &bob] {
        for n in 0..5 {
            assert_eq!(expect(&guest.process, "said", &ann)["text"], format!("line {n}"));
        }
    }

    let (mut carl, mut before) = enter(&network, "carl");
    let said = |events: &[Value]| -> Vec<String> {
        events.iter().filter_map(|event| Some(event["text"].as_str()?.to_owned())).collect()
    };
    while said(&before).len() < lines.len() + 5 {
        before.push(event(&carl.process));
    }
    let said = said(&before);
    assert_eq!(
        (said[0].as_str(), said[4].as_str()),
        ("one", " [2Jfive"),
        "all that was said before: {said:?}"
    );
    assert_eq!(said[5..], ["line 0", "line 1", "line 2", "line 3", "line 4"]);
    expect(&ann.process, "joined", &carl);
    expect(&bob.process, "joined", &carl);
    bob.process.say("I have to go");
    bob.process.end_input();
    for guest in [&ann, &carl] {
        assert_eq!(expect(&guest.process, "said", &bob)["text"], "I have to go");
        expect(&guest.process, "left", &bob);
    }
    let status = bob.process.end(super::support::SOON);
    assert!(status.success(), "{status}\n{}", bob.process.log_end());
    carl.process.kill();
    expect(&ann.process, "lost", &carl);
}
