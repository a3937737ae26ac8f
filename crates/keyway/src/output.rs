//! What goes to the terminal: data to stdout, all else to stderr, colour and bars only where a person looks.

use std::io::{self, IsTerminal as _, Write as _};

use clap::ValueEnum;
use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

use crate::exit::Failure;

/// Version of the JSON that verbs print. Fields may be added under one version, never changed or removed.
const JSON_VERSION: u32 = 1;

/// How results are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON object with a `version`.
    Json,
    /// One JSON object per line.
    Ndjson,
    /// Exact bytes, nothing added.
    Raw,
}

/// When to colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Colour {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Colour {
    fn applies(self, is_terminal: bool) -> bool {
        match self {
            Colour::Always => true,
            Colour::Never => false,
            // The convention of no-color.org: present and not empty.
            Colour::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        }
    }
}

/// A weight or hue, as the terminal's escape code.
#[derive(Clone, Copy)]
pub(crate) enum Style {
    /// Heavier.
    Bold,
    /// Lighter.
    Dim,
    /// Good.
    Green,
    /// Worth a look.
    Yellow,
    /// Bad.
    Red,
}

impl Style {
    const fn code(self) -> u8 {
        match self {
            Style::Bold => 1,
            Style::Dim => 2,
            Style::Red => 31,
            Style::Green => 32,
            Style::Yellow => 33,
        }
    }
}

/// Where a verb writes, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// How results are written.
    pub(crate) format: Format,
    /// Nothing on stderr but failures.
    quiet: bool,
    colour_out: bool,
    colour_err: bool,
    /// Whether stdout is a terminal.
    pub(crate) out_is_terminal: bool,
    /// Whether stderr is a terminal.
    pub(crate) err_is_terminal: bool,
}

impl Output {
    /// Looks at the terminal once.
    pub(crate) fn new(format: Format, colour: Colour, quiet: bool) -> Output {
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Output {
            format,
            quiet,
            colour_out: colour.applies(out),
            colour_err: colour.applies(err),
            out_is_terminal: out,
            err_is_terminal: err,
        }
    }

    /// Whether a program reads the result.
    pub(crate) fn is_json(&self) -> bool {
        matches!(self.format, Format::Json | Format::Ndjson)
    }

    /// Whether progress is worth showing.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// A line of data.
    pub(crate) fn line(&self, text: impl AsRef<str>) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", text.as_ref())?;
        Ok(out.flush()?)
    }

    /// Exact bytes of data.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }

    /// One JSON object with the version in front: indented for `json`, on one line for `ndjson`.
    pub(crate) fn json(&self, object: &impl Serialize) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Versioned<'a, T> {
            version: u32,
            #[serde(flatten)]
            object: &'a T,
        }
        let object = Versioned { version: JSON_VERSION, object };
        let text = match self.format {
            Format::Ndjson => serde_json::to_string(&object),
            _ => serde_json::to_string_pretty(&object),
        };
        self.line(text.expect("our own objects have string keys and no failing fields"))
    }

    /// One JSON object on a line of its own, whatever the format: for events that scripts read as they come.
    pub(crate) fn json_line(&self, object: &impl Serialize) -> Result<(), Failure> {
        Output { format: Format::Ndjson, ..*self }.json(object)
    }

    /// A remark on stderr, unless quiet.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        if !self.quiet {
            // Nobody can be told that stderr is gone.
            let _ = writeln!(io::stderr(), "{}", text.as_ref());
        }
    }

    /// The failure on stderr, with its advice; as JSON when a program reads.
    pub(crate) fn failure(&self, failure: &Failure) {
        let text = if self.is_json() {
            failure.json().to_string()
        } else {
            let error = paint(self.colour_err, Style::Red, "error:");
            match &failure.hint {
                Some(hint) => format!("{error} {}\n  {} {hint}", failure.message, self.dim_err("hint:")),
                None => format!("{error} {}", failure.message),
            }
        };
        let _ = writeln!(io::stderr(), "{text}");
    }

    fn dim_err(&self, text: &str) -> String {
        paint(self.colour_err, Style::Dim, text)
    }

    /// `text` in a style, for stdout.
    pub(crate) fn style(&self, style: Style, text: &str) -> String {
        paint(self.colour_out, style, text)
    }

    /// A table for people: no lines, a header, columns named in `right` aligned to the right. Cells carry no styles:
    /// escape codes would count as width.
    pub(crate) fn table(
        &self,
        header: &[&str],
        right: &[usize],
        rows: impl IntoIterator<Item = Vec<String>>,
    ) -> Result<(), Failure> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(header.iter().map(|name| Cell::new(name.to_uppercase())));
        for row in rows {
            table.add_row(row);
        }
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if right.contains(&at) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let text: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        self.line(text.join("\n"))
    }
}

fn paint(on: bool, style: Style, text: &str) -> String {
    if on { format!("\x1b[{}m{text}\x1b[0m", style.code()) } else { text.to_owned() }
}

/// A stranger's text made harmless for a terminal: control characters are shown, not obeyed.
pub(crate) fn harmless(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' && c != '\t' {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// A count with thousands set apart: `50,000`.
pub(crate) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 copy`, `2 copies`.
pub(crate) fn plural<'a>(count: u64, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_drive_the_terminal() {
        assert_eq!(harmless("red\x1b[2J\ttab\nline"), "red\\u{1b}[2J\ttab\nline");
    }

    #[test]
    fn thousands_are_set_apart() {
        for (count, text) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (50_000, "50,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(thousands(count), text);
        }
    }
}
