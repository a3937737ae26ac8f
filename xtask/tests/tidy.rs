//! The rules of the house hold in this repository, and each of them is able to fail.

use xtask::tidy::{CHECKS, Tree, run_all, run_one};

#[test]
fn the_repository_keeps_its_rules() {
    let tree = Tree::load(&xtask::root()).expect("the repository can be read");
    let broken: Vec<String> = run_all(&tree).iter().filter(|f| !f.warning).map(ToString::to_string).collect();
    assert!(broken.is_empty(), "{} breaches:\n{}\n", broken.len(), broken.join("\n"));
}

#[test]
fn every_rule_fails_on_a_tree_that_breaks_it() {
    for check in CHECKS {
        assert!(!check.breaks.is_empty(), "{} shows nothing that breaks it", check.name);
        for example in check.breaks {
            let findings = run_one(check, &Tree::of(example.files));
            assert!(
                findings.iter().any(|f| !f.warning && f.check == check.name),
                "{} overlooks: {}",
                check.name,
                example.what
            );
        }
    }
}

#[test]
fn every_rule_leaves_alone_what_comes_near() {
    for check in CHECKS {
        assert!(!check.keeps.is_empty(), "{} shows nothing that keeps it", check.name);
        for example in check.keeps {
            let findings = run_one(check, &Tree::of(example.files));
            assert!(findings.is_empty(), "{} complains about: {}\n{findings:#?}", check.name, example.what);
        }
    }
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = CHECKS.iter().map(|c| c.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CHECKS.len());
}

#[test]
fn the_map_names_every_rule() {
    let tree = Tree::load(&xtask::root()).expect("the repository can be read");
    let map = tree.text("ARCHITECTURE.md").expect("there is a map");
    for check in CHECKS {
        assert!(
            map.contains(&format!("[`{}`]", check.name)),
            "ARCHITECTURE.md does not list `{}`",
            check.name
        );
    }
}
