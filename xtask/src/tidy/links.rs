//! Documents point at things that exist.

use super::{Check, Example, Report, Tree};

pub(super) const CHECK: Check = Check {
    name: "links",
    rule: "links and paths in documents lead to existing files and headings",
    run,
    breaks: &[
        Example { what: "a dead link", files: &[("docs/a.md", "See [b](b.md).\n")] },
        Example { what: "a dead heading", files: &[("docs/a.md", "# A\nSee [b](#b).\n")] },
        Example {
            what: "a dead path in a code span",
            files: &[("README.md", "Read `crates/core/src/gone.rs`.\n")],
        },
    ],
    keeps: &[Example {
        what: "living links, the web, patterns and fenced text",
        files: &[
            (
                "docs/a.md",
                "# A b\nSee [b](../README.md#what-it-is), [c](#a-b), [d](https://example.org/x).\n",
            ),
            (
                "README.md",
                "## What it is\n`docs/a.md` `crates/NAME/src` `docs/*.md`\n```\n[x](y.md) `crates/z.rs`\n```\n",
            ),
        ],
    }],
};

/// Folders of the repository: a code span that begins with one is a path in it.
const FOLDERS: [&str; 7] = ["crates/", "docs/", "xtask/", "fuzz/", "examples/", "seeds/", ".ci/"];

fn run(tree: &Tree, report: &mut Report) {
    for (path, text) in tree.texts_ending(".md") {
        let mut fenced = false;
        for (number, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
            }
            if fenced {
                continue;
            }
            for target in links(line) {
                if let Some(problem) = dead(tree, path, target) {
                    report.error(path, number + 1, problem);
                }
            }
            for span in line.split('`').skip(1).step_by(2) {
                if is_path(span) && !tree.exists(span) {
                    report.error(
                        path,
                        number + 1,
                        format!("`{span}` does not exist: correct it or take it out"),
                    );
                }
            }
        }
    }
}

/// Targets of the links on a line, code spans left out.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let plain = line.split('`').step_by(2);
    plain.flat_map(|part| part.match_indices("](").filter_map(|(at, _)| part[at + 2..].split(')').next()))
}

fn dead(tree: &Tree, from: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, heading) = target.split_once('#').map_or((target, None), |(f, h)| (f, Some(h)));
    let file = if file.is_empty() { from.to_owned() } else { resolve(from, file) };
    if !tree.exists(&file) {
        return Some(format!("the link to `{target}` leads nowhere: there is no {file}"));
    }
    let heading = heading?;
    let text = tree.text(&file)?;
    let known = text.lines().filter(|l| l.starts_with('#')).any(|l| slug(l) == heading);
    (!known).then(|| format!("{file} has no heading `{heading}`: correct the link"))
}

/// A path relative to the folder of `from`, from the root of the repository.
fn resolve(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// The anchor that a heading gets.
fn slug(heading: &str) -> String {
    let title = heading.trim_start_matches('#').trim().to_lowercase();
    title
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// Whether a code span is a path of the repository, not a pattern.
fn is_path(span: &str) -> bool {
    FOLDERS.iter().any(|f| span.starts_with(f))
        && !span.chars().any(|c| c.is_whitespace() || matches!(c, '*' | '{' | '<' | ':' | '$' | '#' | '…'))
        && !span
            .split(['/', '.'])
            .any(|part| part.len() > 1 && part.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}
