//! An import that is run again: what of its progress counts, and what is said about it.

mod support;

use support::{Network, keyway};

/// A network of one node, which takes values of at most 1 KiB.
fn alone() -> Network {
    Network::start(1, &["--durability", "memory", "--replicas", "1", "--acks", "1", "--value-max", "1KiB"])
}

#[test]
fn a_corrected_file_goes_on_and_another_reading_begins_again() {
    let network = alone();
    let file = network.dir.path().join("names.tsv");
    let write = |text: &str| std::fs::write(&file, text).expect("a file");
    let name = file.display().to_string();
    let import = |more: &[&str]| network.run(&[&["import", &name], more].concat());

    let (one, two) = ("11".repeat(20), "22".repeat(20));
    write(&format!("{one}\tred\n{two}\tgreen\nno tab\n"));
    let said = import(&[]).failed(8);
    assert!(said.contains("line 3: there is no TAB") && said.contains("2 records are stored"), "{said}");
    let advice = "correct the line; the same command goes on where this one stopped";
    assert!(said.contains(advice) && said.matches("goes on").count() == 1, "{said}");

    // With --hex the same lines are other records.
    let said = import(&["--hex"]).failed(8);
    assert!(said.contains("--hex was not given and is given; beginning again"), "{said}");
    network.run(&["get", "--hex", &two]).good();

    write(&format!("{one}\tred\n{two}\tgreen\n{one}\tblue\n"));
    let ran = import(&["--hex"]);
    assert!(ran.stderr.contains("going on after 2 records that an earlier run stored"), "{}", ran.stderr);
    assert!(ran.good().contains("stored 1 record "));
    write(&format!("{one}\tred\n{two}\tgreen\n{one}\tblue\n{two}\tlate\n"));
    let ran = import(&["--hex", "--verify"]);
    assert!(ran.stderr.contains("going on after 3 records"), "{}", ran.stderr);
    let said = ran.good();
    assert!(said.contains("stored 1 record ") && said.contains("4 of 4 equal"), "{said}");

    let ran = import(&["--hex", "--verify", "--ttl", "2h"]);
    assert!(ran.stderr.contains("--ttl was not given and is 2h; beginning again"), "{}", ran.stderr);
    assert!(ran.good().contains("stored 4 records"));
    let ran = import(&["--hex", "--verify", "--ttl", "2h"]);
    assert!(ran.stderr.contains("an earlier run stored all 4 records"), "{}", ran.stderr);
    assert_eq!(ran.good(), "4 of 4 equal\n");
    write(&format!("{one}\tRED\n{two}\tgreen\n"));
    let ran = import(&["--hex", "--ttl", "2h"]);
    assert!(ran.stderr.contains("what was read of the file has changed"), "{}", ran.stderr);
    assert!(ran.good().contains("stored 2 records"));
}

#[test]
fn a_refused_record_is_not_called_stored_and_a_missing_one_has_a_remedy() {
    let network = alone();
    let file = network.dir.path().join("names.tsv");
    let large = "x".repeat(2000);
    std::fs::write(&file, format!("a\t1\nb\t{large}\nc\t3\n")).expect("a file");
    let name = file.display().to_string();
    let said = network.run(&["import", &name]).failed(5);
    assert!(said.contains("refused: line 2"), "{said}");
    let said = network.run(&["import", &name]).failed(5);
    assert!(said.contains("an earlier run stored 2 records and 1 that was refused"), "{said}");
    let ran = network.run(&["import", &name, "--verify"]);
    assert_eq!(ran.text(), "2 of 3 equal\n");
    let said = ran.failed(8);
    assert!(said.contains("an earlier run stored 2 records and 1 that was refused"), "{said}");
    assert!(said.contains("1 missing") && said.contains("with --restart puts all records again"), "{said}");
    let said = network.run(&["import", &name, "--verify-only"]).failed(8);
    assert!(said.contains("with --restart in place of --verify-only"), "{said}");
    let said = keyway(["import", "/", "--format", "tsv"]).failed(2);
    assert!(said.contains("it is a directory"), "{said}");
}

#[test]
fn lines_of_other_systems_are_remarked_and_their_bytes_kept() {
    let network = alone();
    let file = network.dir.path().join("names.tsv");
    std::fs::write(&file, "\u{feff}colors\tred\r\n\r\nshapes\tround\r\n").expect("a file");
    let name = file.display().to_string();
    let ran = network.run(&["import", &name, "--verify"]);
    assert_eq!(ran.stderr.matches("byte order mark").count(), 1, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("carriage return").count(), 1, "{}", ran.stderr);
    assert!(ran.good().contains("2 of 2 equal"));
    assert_eq!(network.run(&["get", "colors", "-o", "raw"]).good(), "red\r");
    let said = network.run(&["export", "shapes", "--format", "tsv"]).good();
    assert_eq!(said, "shapes\tround\r\n");
}
