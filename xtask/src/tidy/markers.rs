//! Nothing is left for later: what is missing is an issue, not a comment.

use super::source::whole_words;
use super::{Check, Example, Report, Tree};

pub(super) const CHECK: Check = Check {
    name: "markers",
    rule: "no markers of unfinished work in code, comments or documents",
    run,
    breaks: &[
        Example { what: "a note to oneself", files: &[("crates/core/src/a.rs", "// TODO: bound this\n")] },
        Example { what: "a hole", files: &[("crates/core/src/a.rs", "fn f() { todo!() }\n")] },
        Example { what: "a probe left behind", files: &[("crates/core/src/a.rs", "fn f() { dbg!(1); }\n")] },
        Example {
            what: "an excuse",
            files: &[("crates/core/src/a.rs", "/// Good enough for now.\nfn f() {}\n")],
        },
        Example { what: "an excuse in a document", files: &[("docs/a.md", "This is simplified.\n")] },
    ],
    keeps: &[Example {
        what: "words inside words, and the rule itself in a code span",
        files: &[
            ("crates/core/src/a.rs", "// Waits for nowhere.\nfn f() { method_todo(); }\n"),
            ("CONTRIBUTING.md", "Never write `TODO`.\n"),
        ],
    }],
};

const WORDS: [&str; 5] = ["TODO", "FIXME", "XXX", "HACK", "WIP"];
const PHRASES: [&str; 5] =
    ["for now", "simplified", "placeholder", "not yet implemented", "in a real implementation"];
const MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];

fn run(tree: &Tree, report: &mut Report) {
    for source in tree.sources() {
        for (number, line) in source.comments.lines().enumerate() {
            prose(&source.path, number + 1, line, report);
        }
        for name in MACROS {
            for (line, at) in source.words(name) {
                if source.code[at + name.len()..].starts_with('!') {
                    report.error(&source.path, line, format!("`{name}!`: finish it, or take it out"));
                }
            }
        }
    }
    for (path, text) in tree.texts_ending(".md") {
        for (number, line) in text.lines().enumerate() {
            prose(path, number + 1, &without_code_spans(line), report);
        }
    }
}

fn prose(path: &str, number: usize, line: &str, report: &mut Report) {
    let lower = line.to_lowercase();
    let word = WORDS.iter().find(|w| whole_words(line, w).next().is_some());
    let phrase = PHRASES.iter().find(|p| whole_words(&lower, p).next().is_some());
    if let Some(found) = word.or(phrase) {
        report.error(
            path,
            number,
            format!("\"{found}\": finish it, or open an issue and say here what is absent and why"),
        );
    }
}

fn without_code_spans(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}
