//! The house's absences, held by the repository itself.
//!
//! One check a file. A [`Check`] is a rule in a sentence, a function over a [`Tree`], and small synthetic trees that
//! break it and that keep it: `xtask/tests/tidy.rs` runs every check on the repository, shows every check failing on
//! its own examples, and shows that it leaves the others alone.
//!
//! ```text
//!   Tree::load(root) ──▶ files ──▶ Source (code | comments | strings, test lines, paths) ──▶ Check::run ──▶ Report
//!   Tree::of(examples) ──┘
//! ```
//!
//! A new rule is one file here and one line in [`CHECKS`]. Say in the message what to do, not only what is wrong.

mod bugs;
mod changelog;
mod dependencies;
mod determinism;
mod functions;
mod headers;
mod links;
mod lints;
mod machine_paths;
mod markers;
mod names;
mod no_std;
mod overlays;
mod registry;
mod rooms;
mod sizes;
pub mod source;
mod stories;
mod tree;
mod unwraps;
mod world;

pub use tree::Tree;

/// One rule of the house.
pub struct Check {
    /// Its name, shown with each finding.
    pub name: &'static str,
    /// The rule in one sentence.
    pub rule: &'static str,
    /// Looks for breaches.
    pub run: fn(&Tree, &mut Report),
    /// Trees that break the rule.
    pub breaks: &'static [Example],
    /// Trees that come near and keep it.
    pub keeps: &'static [Example],
}

/// A small synthetic tree.
pub struct Example {
    /// What it shows.
    pub what: &'static str,
    /// Path and text of each file.
    pub files: &'static [(&'static str, &'static str)],
}

/// Every rule, in the order in which ARCHITECTURE.md lists them.
pub static CHECKS: &[Check] = &[
    dependencies::CHECK,
    no_std::CHECK,
    world::CHECK,
    determinism::CHECK,
    rooms::CHECK,
    overlays::CHECK,
    registry::CHECK,
    sizes::CHECK,
    functions::CHECK,
    names::CHECK,
    headers::CHECK,
    markers::CHECK,
    stories::CHECK,
    machine_paths::CHECK,
    unwraps::CHECK,
    lints::CHECK,
    bugs::CHECK,
    links::CHECK,
    changelog::CHECK,
];

/// One breach, or one warning.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Finding {
    /// The file, relative to the root.
    pub path: String,
    /// The line, from 1; 0 for the whole file.
    pub line: usize,
    /// The check's name.
    pub check: &'static str,
    /// What is wrong and what to do.
    pub message: String,
    /// A warning does not fail the test.
    pub warning: bool,
}

impl core::fmt::Display for Finding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let kind = if self.warning { "warning " } else { "" };
        match self.line {
            0 => write!(f, "{}: {kind}[{}] {}", self.path, self.check, self.message),
            n => write!(f, "{}:{n}: {kind}[{}] {}", self.path, self.check, self.message),
        }
    }
}

/// What the checks found.
#[derive(Default)]
pub struct Report {
    check: &'static str,
    findings: Vec<Finding>,
}

impl Report {
    /// Notes a breach of the rule that runs.
    pub fn error(&mut self, path: &str, line: usize, message: impl Into<String>) {
        self.push(path, line, message.into(), false);
    }

    /// Notes something that comes near a bound.
    pub fn warning(&mut self, path: &str, line: usize, message: impl Into<String>) {
        self.push(path, line, message.into(), true);
    }

    fn push(&mut self, path: &str, line: usize, message: String, warning: bool) {
        self.findings.push(Finding { path: path.to_owned(), line, check: self.check, message, warning });
    }
}

/// Runs one check.
#[must_use]
pub fn run_one(check: &Check, tree: &Tree) -> Vec<Finding> {
    let mut report = Report { check: check.name, findings: Vec::new() };
    (check.run)(tree, &mut report);
    report.findings.sort();
    report.findings
}

/// Runs every check; findings in order of path and line.
#[must_use]
pub fn run_all(tree: &Tree) -> Vec<Finding> {
    let mut findings: Vec<Finding> = CHECKS.iter().flat_map(|check| run_one(check, tree)).collect();
    findings.sort();
    findings
}
