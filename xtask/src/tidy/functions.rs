//! A function fits on a screen or two.

use super::{Check, Example, Report, Tree};

pub(super) const CHECK: Check = Check {
    name: "functions",
    rule: "no function is longer than 100 lines (aim at 70)",
    run,
    breaks: &[Example { what: "a scroll", files: &[("crates/core/src/a.rs", LONG)] }],
    keeps: &[Example { what: "a short one", files: &[("crates/core/src/a.rs", "fn f() {\n}\n")] }],
};

const LINES_MAX: usize = 100;

/// A function of 101 lines.
const LONG: &str = match core::str::from_utf8(&long()) {
    Ok(text) => text,
    Err(_) => "",
};

const fn long() -> [u8; 9 + LINES_MAX] {
    let mut text = [b'\n'; 9 + LINES_MAX];
    let head = b"fn f() {";
    let mut i = 0;
    while i < head.len() {
        text[i] = head[i];
        i += 1;
    }
    text[8 + LINES_MAX] = b'}';
    text
}

fn run(tree: &Tree, report: &mut Report) {
    for source in tree.sources() {
        for function in source.functions().iter().filter(|f| f.line_count > LINES_MAX) {
            report.error(
                &source.path,
                function.line,
                format!(
                    "`{}` has {} lines, at most {LINES_MAX}: keep the control flow here and move the leaves into functions of their own",
                    function.name, function.line_count
                ),
            );
        }
    }
}
