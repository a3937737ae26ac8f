//! One idea a file: files stay short enough to be read in one sitting.

use super::{Check, Example, Report, Tree};

pub(super) const CHECK: Check = Check {
    name: "sizes",
    rule: "no Rust file is longer than 900 lines; above 700 it is warned about",
    run,
    breaks: &[Example { what: "a hub", files: &[("crates/core/src/a.rs", LONG)] }],
    keeps: &[Example { what: "a leaf", files: &[("crates/core/src/a.rs", "//! Short.\n")] }],
};

const LINES_MAX: usize = 900;
const LINES_WARN: usize = 700;

/// 901 empty lines.
const LONG: &str = match core::str::from_utf8(&[b'\n'; LINES_MAX + 1]) {
    Ok(text) => text,
    Err(_) => "",
};

fn run(tree: &Tree, report: &mut Report) {
    for source in tree.sources() {
        match source.line_count() {
            n if n > LINES_MAX => report.error(
                &source.path,
                0,
                format!("{n} lines, at most {LINES_MAX}: split it by ideas (tests into tests.rs first), one idea a file"),
            ),
            n if n > LINES_WARN => {
                report.warning(&source.path, 0, format!("{n} lines: nearing the limit of {LINES_MAX}"));
            }
            _ => {}
        }
    }
}
