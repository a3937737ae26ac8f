//! The name service: chains of signed records, forgers, writers side by side, lives.

use std::time::Duration;

use keyway_client::Signer;

use super::names::record::{Name, Record};
use super::names::zone::{Zone, read};
use super::support::{Network, Process, SOON, wait_until};
use super::{client, keygen, program, ran};

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

#[test]
fn a_name_resolves_by_a_chain_of_signers_and_forgers_are_not_heard() {
    let network = Network::start(3, &["--durability", "memory"]);
    let names = |args: &[&str]| ran(&network, "names", args, "");
    let known = network.dir.path().join("known").display().to_string();
    let [(top, top_signer), (office, office_signer), (desk, desk_signer), (forger, forger_signer)] =
        ["top", "office", "desk", "forger"].map(|who| keygen(&network, who));

    names(&["set", "corp", "192.0.2.1:80", "--sign", &top]).good();
    names(&["delegate", "office.corp", &office_signer, "--sign", &top]).good();
    names(&["delegate", "printer.office.corp", &desk_signer, "--sign", &office]).good();
    names(&["set", "printer.office.corp", "192.0.2.7:631", "[2001:db8::7]:631", "--sign", &desk]).good();
    // Nobody delegated these to the forger, who signs for them all the same; and the top no longer signs for the office.
    for (key, at) in
        [(&forger, "printer.office.corp"), (&forger, "office.corp"), (&top, "printer.office.corp")]
    {
        names(&["set", at, "203.0.113.66:631", "--sign", key]).good();
    }
    let found = names(&["lookup", "printer.office.corp", "--zone", &top_signer]);
    let chain: Vec<&str> = found.stderr.lines().collect();
    assert_eq!(chain.len(), 4, "{chain:?}");
    for (link, signer) in chain.iter().zip([&top_signer, &top_signer, &office_signer, &desk_signer]) {
        assert!(link.ends_with(&format!("signed by {signer}")), "{link}");
    }
    assert_eq!(found.good(), "192.0.2.7:631\n[2001:db8::7]:631\n");
    let error = names(&["lookup", "scanner.office.corp", "--zone", &top_signer]).failed(3);
    assert!(error.contains(&office_signer), "{error}");

    // Trust on first use: whom we met first, we go on trusting; who comes later has to be introduced.
    assert_eq!(names(&["lookup", "corp", "--known", &known]).good(), "192.0.2.1:80\n");
    names(&["set", "corp", "203.0.113.66:80", "--sign", &forger]).good();
    assert_eq!(names(&["lookup", "corp", "--known", &known]).good(), "192.0.2.1:80\n");
    assert_eq!(std::fs::read_to_string(&known).expect("a memory"), format!("corp {top_signer}\n"));
    let error = names(&["lookup", "corp", "--known", &format!("{known}-of-a-newcomer")]).failed(8);
    assert!(
        error.contains(&top_signer) && error.contains(&forger_signer) && error.contains("--zone"),
        "{error}"
    );

    // The office goes elsewhere: what it signed, and whom it named, counts no more.
    names(&["delegate", "office.corp", &forger_signer, "--sign", &top]).good();
    assert_eq!(names(&["lookup", "printer.office.corp", "--zone", &top_signer]).good(), "203.0.113.66:631\n");
    names(&["drop", "corp", "--sign", &top]).good();
    names(&["lookup", "corp", "--zone", &top_signer]).failed(3);
    names(&["drop", "corp", "--sign", &top]).failed(3);
    assert!(names(&["set", "corp", "192.0.2.2:80", "--sign", &top]).good().contains("number 3"));
    assert_eq!(names(&["lookup", "corp", "--zone", &top_signer]).good(), "192.0.2.2:80\n");
}

#[tokio::test]
async fn writers_side_by_side_do_not_undo_each_other() {
    let network = Network::start(3, &["--durability", "memory"]);
    let (client, signer) = (client(&network), Signer::generate().expect("a key"));
    let zone = || Zone { client: client.clone(), signer: signer.clone(), ttl: Duration::from_secs(600) };
    let at = name("service");
    zone().set(&at, &["first".into()], Some(0)).await.expect("there is none yet");
    let late = zone().set(&at, &["second".into()], Some(0)).await.expect_err("there is one");
    assert_eq!(late.code, 7, "{}", late.message);

    let mut writers = tokio::task::JoinSet::new();
    for n in 0..6 {
        let (zone, at) = (zone(), at.clone());
        writers.spawn(async move { zone.add(&at, &format!("host-{n}")).await });
    }
    let mut numbers = Vec::new();
    while let Some(done) = writers.join_next().await {
        numbers.push(done.expect("no panic").expect("it is added"));
    }
    numbers.sort();
    assert_eq!(numbers, [2, 3, 4, 5, 6, 7], "each has a number of its own");
    let standing = read(&client, &signer.authenticator(), &at).await.expect("an answer").expect("a record");
    let Record::Addresses(mut list) = standing.record else { panic!("{standing:?}") };
    list.sort();
    assert_eq!(list, ["first", "host-0", "host-1", "host-2", "host-3", "host-4", "host-5"]);
}

#[test]
fn a_record_that_is_kept_outlives_one_that_is_not() {
    let network = Network::start(3, &["--durability", "memory"]);
    let (key, signer) = keygen(&network, "key");
    let names = |args: &[&str]| ran(&network, "names", args, "");
    for at in ["kept", "left"] {
        names(&["set", at, "192.0.2.1:80", "--sign", &key, "--ttl", "6"]).good();
    }
    let mut keep = program(&network, "names", &["keep", "kept", "--sign", &key, "--ttl", "6"]);
    let mut keeper = Process::start(&mut keep, &network.dir.path().join("keeper.log"));
    wait_until("the record that nobody keeps has ended", SOON, || {
        (names(&["lookup", "left", "--zone", &signer]).code == 3).then_some(())
    });
    assert_eq!(names(&["lookup", "kept", "--zone", &signer]).good(), "192.0.2.1:80\n");
    keeper.interrupt();
    assert!(keeper.end(SOON).success());
    wait_until("the other has ended, too", SOON, || {
        (names(&["lookup", "kept", "--zone", &signer]).code == 3).then_some(())
    });
    let mut keep = program(&network, "names", &["keep", "kept", "--sign", &key]);
    assert_eq!(super::support::run(&mut keep, b"").code, 3, "there is nothing to keep");
}
