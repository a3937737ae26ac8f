//! What a terminal gets beside verbs: completions that a shell reads, and manual pages.

mod support;

use std::process::Command;

use support::{command, keyway, run};

#[test]
fn bash_reads_its_completions_and_an_unknown_shell_is_refused() {
    let script = keyway(["completions", "bash"]).good();
    assert!(script.contains("complete -F _keyway"), "{script}");
    // The shell itself judges: it reads the script without running anything of it.
    let mut bash = Command::new("bash");
    run(bash.arg("-n"), script.as_bytes()).good();
    let error = keyway(["completions", "tcsh"]).failed(2);
    assert!(error.contains("bash") && error.contains("fish"), "{error}");
}

#[test]
fn manual_pages_go_to_stdout_or_one_for_each_verb_into_a_directory() {
    let page = keyway(["man"]).good();
    assert!(page.contains(".TH keyway 1") && page.contains(".SH EXAMPLES"), "{page}");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let out = dir.path().join("man1");
    let said = run(command().args(["man", "--out"]).arg(&out), b"");
    assert!(said.stderr.contains("pages into"), "{}", said.stderr);
    assert_eq!(said.good(), "", "data would go to stdout, and there is none");
    for name in ["keyway.1", "keyway-put.1", "keyway-sim-paper.1"] {
        let page = std::fs::read_to_string(out.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(page.contains(".TH"), "{name}: {page}");
    }
    let error = run(command().args(["man", "--out"]).arg(out.join("keyway.1")), b"").failed(1);
    assert!(error.contains("cannot write manual pages"), "{error}");
}
