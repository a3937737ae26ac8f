//! The records of a file, one by one: lines of TSV, or of JSON.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::ValueEnum;
use keyway_client::{KEY_BYTES, Key};
use serde::{Deserialize, Serialize};

use crate::duration::Span;
use crate::exit::{Exit, Failure};
use crate::put::VALUE_BYTES_MAX;
use crate::session::place;

/// Bound on a line: the greatest value in base64, and room for the key.
const LINE_BYTES_MAX: u64 = VALUE_BYTES_MAX / 3 * 4 + (128 << 10);

/// What some programs write before a text in UTF-8. It is no part of it.
const BOM: &[u8] = "\u{feff}".as_bytes();

/// How a file's lines are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Shape {
    /// `key TAB value`; the value is the rest of the line, byte for byte. Only a line feed ends a line.
    Tsv,
    /// `{"key": text, "value": text or "value_base64": base64, "ttl_seconds": number}`; the ttl may be left out.
    Ndjson,
}

impl Shape {
    /// By the file's extension.
    pub(crate) fn of(path: &Path) -> Result<Shape, Failure> {
        match path.extension().and_then(OsStr::to_str) {
            Some("tsv" | "tab") => Ok(Shape::Tsv),
            Some("ndjson" | "jsonl") => Ok(Shape::Ndjson),
            _ => Err(Failure::new(
                Exit::Usage,
                format!("cannot tell the format of {} by its name", path.display()),
            )
            .hint("say --format tsv or --format ndjson")),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Shape::Tsv => "tsv",
            Shape::Ndjson => "ndjson",
        })
    }
}

/// A place between two records of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Records before it.
    pub(crate) records: u64,
    /// Lines before it.
    pub(crate) lines: u64,
    /// Bytes before it.
    pub(crate) bytes: u64,
    /// Of all lines before it: of the last one with the hash before that. It tells whether they are the same ones later.
    pub(crate) hash: Key,
}

impl Default for Mark {
    fn default() -> Mark {
        Mark { records: 0, lines: 0, bytes: 0, hash: Key([0; KEY_BYTES]) }
    }
}

/// One record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    /// Its number, from 0.
    pub(crate) index: u64,
    /// Its line, from 1.
    pub(crate) line: u64,
    /// Its key as it stands in the file.
    pub(crate) name: String,
    /// Where it goes.
    pub(crate) key: Key,
    /// What.
    pub(crate) value: Bytes,
    /// For how long, if the record says so.
    pub(crate) ttl: Option<Span>,
    /// The place after it.
    pub(crate) end: Mark,
}

/// The lines of a file from some place on, each with the hash of all before it in front.
struct Lines {
    reader: BufReader<File>,
    name: String,
    at: Mark,
    /// The hash before the line, and the line.
    buffer: Vec<u8>,
}

impl Lines {
    fn open(path: &Path, at: Mark) -> Result<Lines, Failure> {
        let name = path.display().to_string();
        let cannot = |error| Failure::new(Exit::Usage, format!("cannot read {name}: {error}"));
        let mut file = File::open(path).map_err(cannot)?;
        file.seek(SeekFrom::Start(at.bytes)).map_err(cannot)?;
        Ok(Lines { reader: BufReader::with_capacity(1 << 16, file), name, at, buffer: Vec::new() })
    }

    /// The next line with its end; nothing at the end. Of a line that is too long the beginning.
    fn next(&mut self) -> Result<Option<&[u8]>, Failure> {
        self.buffer.clear();
        self.buffer.extend_from_slice(&self.at.hash.0);
        let read = (&mut self.reader).take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut self.buffer);
        let bytes =
            read.map_err(|e| Failure::new(Exit::Failure, format!("cannot read {}: {e}", self.name)))?;
        if bytes == 0 {
            return Ok(None);
        }
        self.at.lines += 1;
        self.at.bytes += bytes as u64;
        self.at.hash = Key::hash(&self.buffer);
        Ok(Some(&self.buffer[KEY_BYTES..]))
    }
}

/// How many of these places, which are in order, have the same bytes before them as they had; and the length of the file.
pub(super) fn unchanged(path: &Path, marks: impl Iterator<Item = Mark>) -> Result<(usize, u64), Failure> {
    let mut lines = Lines::open(path, Mark::default())?;
    let mut same = 0;
    for mark in marks {
        while lines.at.bytes < mark.bytes && lines.next()?.is_some() {}
        if (lines.at.bytes, lines.at.hash) != (mark.bytes, mark.hash) {
            break;
        }
        same += 1;
    }
    Ok((same, length(path)?))
}

/// The length of a file.
pub(super) fn length(path: &Path) -> Result<u64, Failure> {
    let cannot =
        |why: &dyn fmt::Display| Failure::new(Exit::Usage, format!("cannot read {}: {why}", path.display()));
    let about = File::open(path).and_then(|file| file.metadata()).map_err(|error| cannot(&error))?;
    if about.is_dir() { Err(cannot(&"it is a directory").hint("name a file")) } else { Ok(about.len()) }
}

/// What a person should know of a file before it is read, by its first line.
pub(super) fn remarks(path: &Path, shape: Shape) -> Result<Vec<String>, Failure> {
    let mut lines = Lines::open(path, Mark::default())?;
    let first = lines.next()?.unwrap_or_default();
    let name = path.display();
    let mut remarks = Vec::new();
    if first.starts_with(BOM) {
        remarks.push(format!("{name} begins with a byte order mark, which is passed over"));
    }
    // JSON takes it for white space.
    if shape == Shape::Tsv && first.ends_with(b"\r\n") {
        remarks.push(format!(
            "warning: the first line of {name} ends in a carriage return, which becomes the last byte of its value; \
             if that is not meant: tr -d '\\r' < {name} > FILE"
        ));
    }
    Ok(remarks)
}

/// The records of a file from some place on.
pub(super) struct Records {
    lines: Lines,
    shape: Shape,
    hex: bool,
}

impl Records {
    /// The records of `path` from `at` on.
    pub(super) fn open(path: &Path, shape: Shape, hex: bool, at: Mark) -> Result<Records, Failure> {
        Ok(Records { lines: Lines::open(path, at)?, shape, hex })
    }

    /// The place that was reached.
    pub(super) fn at(&self) -> Mark {
        self.lines.at
    }

    /// The next record; nothing at the end. Blank lines are passed over.
    pub(super) fn next(&mut self) -> Result<Option<Record>, Failure> {
        loop {
            let is_first = self.lines.at.lines == 0;
            let Some(line) = self.lines.next()? else { return Ok(None) };
            if line.len() as u64 > LINE_BYTES_MAX {
                return Err(self.malformed(&format!("it has more than {LINE_BYTES_MAX} bytes")));
            }
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let text = text.strip_prefix(BOM).filter(|_| is_first).unwrap_or(text);
            // A carriage return alone is what other systems make of a blank line.
            if matches!(text, b"" | b"\r") {
                continue;
            }
            let parsed = match self.shape {
                Shape::Tsv => tsv(text),
                Shape::Ndjson => ndjson(text),
            };
            let (name, value, ttl) = parsed.map_err(|why| self.malformed(&why))?;
            let key = place(&name, self.hex).map_err(|failure| self.malformed(&failure.message))?;
            let at = &mut self.lines.at;
            let index = at.records;
            at.records += 1;
            return Ok(Some(Record { index, line: at.lines, name, key, value, ttl, end: *at }));
        }
    }

    fn malformed(&self, why: &str) -> Failure {
        let Lines { name, at, .. } = &self.lines;
        Failure::new(Exit::Invalid, format!("{name}, line {}: {why}", at.lines)).hint("correct the line")
    }
}

type Parsed = Result<(String, Bytes, Option<Span>), String>;

fn tsv(line: &[u8]) -> Parsed {
    let tab = line.iter().position(|b| *b == b'\t').ok_or("there is no TAB between key and value")?;
    let name = std::str::from_utf8(&line[..tab]).map_err(|_| "the key is not UTF-8 text")?;
    Ok((name.to_owned(), Bytes::copy_from_slice(&line[tab + 1..]), None))
}

fn ndjson(line: &[u8]) -> Parsed {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line {
        key: String,
        value: Option<String>,
        value_base64: Option<String>,
        ttl_seconds: Option<u64>,
    }
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let value = match (line.value, line.value_base64) {
        (Some(text), None) => Bytes::from(text),
        (None, Some(text)) => STANDARD.decode(text).map_err(|error| format!("value_base64: {error}"))?.into(),
        _ => return Err("a record has either a value or a value_base64".to_owned()),
    };
    Ok((line.key, value, line.ttl_seconds.map(Span::from_secs)))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The records of a text, and the failure that ended them, if any.
    pub(crate) fn records(text: &[u8], shape: Shape) -> (Vec<Record>, Option<String>) {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("a temporary file");
        let mut reader = Records::open(file.path(), shape, false, Mark::default()).expect("it is there");
        let mut list = Vec::new();
        loop {
            match reader.next() {
                Ok(Some(record)) => list.push(record),
                Ok(None) => return (list, None),
                Err(failure) => return (list, Some(failure.message)),
            }
        }
    }

    #[test]
    fn a_tsv_value_is_the_rest_of_the_line() {
        let (list, failure) = records(b"a\t1\tone\n\nb\t\xff\r\n\r\nc\r\t", Shape::Tsv);
        assert_eq!(failure, None);
        let values: Vec<_> = list.iter().map(|r| (r.index, r.line, r.name.as_str(), &r.value[..])).collect();
        assert_eq!(values, [(0, 1, "a", &b"1\tone"[..]), (1, 3, "b", b"\xff\r"), (2, 5, "c\r", b"")]);
        let Mark { records, lines, bytes, .. } = list[2].end;
        assert_eq!((records, lines, bytes), (3, 5, 19));
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_key() {
        let (list, failure) = records("\u{feff}a\t1\n\u{feff}b\t2\n".as_bytes(), Shape::Tsv);
        assert_eq!(failure, None);
        let names: Vec<&str> = list.iter().map(|record| record.name.as_str()).collect();
        assert_eq!(names, ["a", "\u{feff}b"], "elsewhere it is a character");
        let (list, failure) = records("\u{feff}{\"key\":\"a\",\"value\":\"1\"}".as_bytes(), Shape::Ndjson);
        assert_eq!((failure, list[0].name.as_str()), (None, "a"));
    }

    #[test]
    fn what_the_first_line_shows_is_remarked_once() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let told = |text: &str, shape| {
            std::fs::write(file.path(), text).expect("a temporary file");
            remarks(file.path(), shape).expect("it is there").join("\n")
        };
        assert_eq!(told("a\t1\nb\t2\r\n", Shape::Tsv), "");
        assert_eq!(told("", Shape::Tsv), "");
        assert_eq!(told("{}\r\n", Shape::Ndjson), "");
        let said = told("\u{feff}a\t1\r\nb\t2\r\n", Shape::Tsv);
        assert_eq!(said.lines().count(), 2);
        assert!(said.contains("byte order mark") && said.contains("tr -d '\\r'"), "{said}");
    }

    #[test]
    fn a_json_value_is_text_or_base64() {
        let text = br#"{"key":"a","value":"one"}
{"key":"b","value_base64":"/wA=","ttl_seconds":60}
{"key":"c","value":"x","value_base64":"eA=="}"#;
        let (list, failure) = records(text, Shape::Ndjson);
        assert_eq!((&list[0].value[..], list[0].ttl), (&b"one"[..], None));
        assert_eq!((&list[1].value[..], list[1].ttl), (&b"\xff\0"[..], Some(Span::from_secs(60))));
        assert!(failure.expect("both kinds of value").contains("line 3"));
    }

    #[test]
    fn a_malformed_line_is_named() {
        let (list, failure) = records(b"a\t1\nno tab here\nb\t2\n", Shape::Tsv);
        assert_eq!(list.len(), 1);
        assert!(failure.expect("line 2 has no TAB").contains("line 2"));
    }

    #[test]
    fn a_place_is_known_again_by_what_is_before_it() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let before = b"a\t1\n\nb\t2\nc\t3";
        let marks: Vec<Mark> = [Mark::default()]
            .into_iter()
            .chain(records(before, Shape::Tsv).0.into_iter().map(|record| record.end))
            .collect();
        for (after, same) in [
            (&before[..], 4),
            (b"a\t1\n\nb\t2\nC\t3\nd\t4\n", 3),
            // A line that had no end is another one with it.
            (b"a\t1\n\nb\t2\nc\t3\n", 3),
            (b"a\t1\n\nb\t2\n", 3),
            (b"a\t1\nb\t2\n\nc\t3", 2),
            (b"b\t1\n\nb\t2\nc\t3", 1),
            (b"", 1),
        ] {
            std::fs::write(file.path(), after).expect("a temporary file");
            let found = unchanged(file.path(), marks.iter().copied());
            assert_eq!(found, Ok((same, after.len() as u64)), "{}", String::from_utf8_lossy(after));
        }
    }

    #[test]
    fn reading_goes_on_at_a_mark() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), b"a\t1\nb\t2\nc\t3\n").expect("a temporary file");
        let at = Mark { records: 2, lines: 2, bytes: 8, ..Mark::default() };
        let mut reader = Records::open(file.path(), Shape::Tsv, false, at).expect("it is there");
        let record = reader.next().expect("well formed").expect("the third");
        assert_eq!((record.index, record.line, record.name.as_str()), (2, 3, "c"));
    }
}
