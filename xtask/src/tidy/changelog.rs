//! The changelog keeps its shape, so that people and programs can read it.

use super::{Check, Example, Report, Tree};

const FILE: &str = "CHANGELOG.md";

pub(super) const CHECK: Check = Check {
    name: "changelog",
    rule: "CHANGELOG.md begins with an Unreleased section; versions are dated; entries stand under the six known headings",
    run,
    breaks: &[
        Example {
            what: "no place for the next entry",
            files: &[(FILE, "# Changelog\n\n## [1.0.0] - 2026-01-02\n")],
        },
        Example { what: "no date", files: &[(FILE, "# Changelog\n\n## [Unreleased]\n\n## [1.0.0]\n")] },
        Example {
            what: "an unknown heading",
            files: &[(FILE, "# Changelog\n\n## [Unreleased]\n\n### Stuff\n\n- x\n")],
        },
        Example {
            what: "an entry without a heading",
            files: &[(FILE, "# Changelog\n\n## [Unreleased]\n\n- x\n")],
        },
    ],
    keeps: &[Example {
        what: "the shape",
        files: &[(
            FILE,
            "# Changelog\n\nText.\n\n## [Unreleased]\n\n### Added\n\n- x\n  more\n\n## [1.0.0] - 2026-01-02\n\n### Fixed\n\n- y\n",
        )],
    }],
};

const HEADINGS: [&str; 6] = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];

fn run(tree: &Tree, report: &mut Report) {
    let Some(text) = tree.text(FILE) else { return };
    if text.lines().next() != Some("# Changelog") {
        report.error(FILE, 1, "the first line is `# Changelog`");
    }
    let (mut sections, mut heading) = (0, false);
    for (number, line) in text.lines().enumerate().map(|(n, l)| (n + 1, l)) {
        if let Some(version) = line.strip_prefix("## ") {
            sections += 1;
            heading = false;
            if (sections == 1) != (version == "[Unreleased]") {
                report.error(FILE, number, "the first section, and only it, is `## [Unreleased]`");
            } else if sections > 1 && !is_release(version) {
                report.error(FILE, number, "a release is `## [1.2.3] - YYYY-MM-DD`");
            }
        } else if let Some(name) = line.strip_prefix("### ") {
            heading = true;
            if !HEADINGS.contains(&name) {
                report.error(FILE, number, format!("`{name}`: use one of {}", HEADINGS.join(", ")));
            }
        } else if line.starts_with("- ") && !heading {
            report.error(FILE, number, "an entry stands under a heading (Added, Changed, ...)");
        }
    }
}

/// `[1.2.3] - 2026-01-02`
fn is_release(title: &str) -> bool {
    let Some((version, date)) = title.strip_prefix('[').and_then(|t| t.split_once("] - ")) else {
        return false;
    };
    let numbers = |text: &str, by: char, widths: &[usize]| {
        let parts: Vec<&str> = text.split(by).collect();
        parts.len() == widths.len()
            && parts.iter().zip(widths).all(|(p, w)| {
                !p.is_empty() && p.chars().all(|c| c.is_ascii_digit()) && (*w == 0 || p.len() == *w)
            })
    };
    numbers(version, '.', &[0, 0, 0]) && numbers(date, '-', &[4, 2, 2])
}
