//! `keyway man`: manual pages, made from the command line's own description.
//!
//! A page has the sections that `man` readers expect. The examples, which `--help` shows first, stand in a section of their
//! own; the library that writes the other sections leaves them out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man;

use crate::cli::Cli;
use crate::exit::{Exit, Failure};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  keyway man | man -l -                               the main page
  keyway man --out ~/.local/share/man/man1            a page for each verb, found by `man keyway-put`
";

/// Print the manual page, or write one for each verb.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct ManArgs {
    /// Write the pages of keyway and of each verb into DIR, which is made if it is not there
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// `keyway man`.
pub(crate) fn run(args: &ManArgs, output: &Output) -> Result<Exit, Failure> {
    let command = whole();
    let Some(dir) = &args.out else {
        let mut page = Vec::new();
        write_page(&command, &mut page)?;
        output.bytes(&page)?;
        return Ok(Exit::Ok);
    };
    let count = write_pages(&command, dir).map_err(|error| {
        Failure::new(Exit::Failure, format!("cannot write manual pages into {}: {error}", dir.display()))
    })?;
    output.note(format!("wrote {count} pages into {}", dir.display()));
    Ok(Exit::Ok)
}

/// The command line with everything that verbs inherit. Without `help`, which is a page of nothing.
fn whole() -> Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

/// Writes the pages of a command and of all below it; how many.
fn write_pages(command: &Command, dir: &Path) -> io::Result<usize> {
    fs::create_dir_all(dir)?;
    let mut page = Vec::new();
    write_page(command, &mut page)?;
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    fs::write(dir.join(format!("{name}.1")), page)?;
    let mut count = 1;
    for below in command.get_subcommands() {
        count += write_pages(below, dir)?;
    }
    Ok(count)
}

fn write_page(command: &Command, out: &mut Vec<u8>) -> io::Result<()> {
    let man = Man::new(command.clone());
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    if let Some(examples) = command.get_before_help() {
        out.extend(examples_section(&examples.to_string()).into_bytes());
    }
    man.render_options_section(out)?;
    if command.has_subcommands() {
        man.render_subcommands_section(out)?;
    }
    if command.get_after_help().is_some() || command.get_after_long_help().is_some() {
        man.render_extra_section(out)?;
    }
    if command.get_version().is_some() {
        man.render_version_section(out)?;
    }
    Ok(())
}

/// Examples as they stand in `--help`: unfilled, with the first line as the section's heading.
fn examples_section(text: &str) -> String {
    let mut section = String::from(".SH EXAMPLES\n.nf\n");
    for line in text.lines().skip_while(|line| line.trim() == "Examples:") {
        // A backslash begins an escape everywhere; a dot or an apostrophe begins a request at the head of a line; a bare
        // hyphen may be set as a dash, which nobody can paste into a shell.
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        section.push_str(&format!("{guard}{line}\n"));
    }
    section + ".fi\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verb_has_a_page_with_its_examples() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let below = dir.path().join("man/man1");
        let count = write_pages(&whole(), &below).expect("pages");
        assert_eq!(fs::read_dir(&below).expect("a directory").count(), count);
        let page =
            |name: &str| fs::read_to_string(below.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        for (name, words) in [
            ("keyway.1", "keyway up"),
            ("keyway-put.1", "keyway put colors"),
            ("keyway-sim-run.1", ".SH OPTIONS"),
            ("keyway-man.1", "\\-\\-out"),
        ] {
            assert!(page(name).contains(words), "{name} without {words:?}:\n{}", page(name));
        }
        assert!(page("keyway.1").contains(".SH EXAMPLES"));
        assert!(page("keyway.1").contains("Exit codes"), "what stands below the help stands in the page");
    }

    #[test]
    fn examples_are_shown_as_they_are_typed() {
        let section = examples_section("Examples:\n  keyway get --all a\\b\n.dot\n");
        assert_eq!(section, ".SH EXAMPLES\n.nf\n  keyway get \\-\\-all a\\eb\n\\&.dot\n.fi\n");
    }
}
