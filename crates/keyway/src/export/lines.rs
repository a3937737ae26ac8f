//! A value as a line of a file that `keyway import` reads.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::import::records::Shape;

/// A value on its way out.
pub(super) struct Line<'a> {
    /// A text, or hex digits.
    pub(super) key: &'a str,
    pub(super) value: &'a [u8],
    /// What is left of its life.
    pub(super) left_seconds: u64,
}

#[derive(Serialize)]
struct Ndjson<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    ttl_seconds: u64,
}

impl Line<'_> {
    /// The line with its end.
    ///
    /// # Errors
    /// Why it cannot be one.
    pub(super) fn encode(&self, shape: Shape) -> Result<Vec<u8>, &'static str> {
        match shape {
            Shape::Tsv => self.tsv(),
            Shape::Ndjson => Ok(self.ndjson()),
        }
    }

    fn tsv(&self) -> Result<Vec<u8>, &'static str> {
        if self.key.contains(['\t', '\n']) {
            return Err("its key has a tab or a line end");
        }
        if self.key.starts_with('\u{feff}') {
            // In the first line it would be taken for the file's.
            return Err("its key begins with a byte order mark");
        }
        if self.value.contains(&b'\n') {
            return Err("it has a line end");
        }
        Ok([self.key.as_bytes(), b"\t", self.value, b"\n"].concat())
    }

    fn ndjson(&self) -> Vec<u8> {
        let text = std::str::from_utf8(self.value).ok();
        let line = Ndjson {
            key: self.key,
            value: text,
            value_base64: text.is_none().then(|| STANDARD.encode(self.value)),
            ttl_seconds: self.left_seconds,
        };
        let mut line = serde_json::to_vec(&line).expect("texts and a number are JSON");
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::records::tests::records;

    /// Strings that tempt a line to end early.
    const VALUES: [&[u8]; 8] = [
        b"",
        b"red",
        b"a\tb",
        b"\"quoted\\",
        b"line\nend",
        b"\xff\x00\r",
        "\u{1f980}\u{2028}".as_bytes(),
        b"\r",
    ];

    #[test]
    fn every_value_comes_back_from_ndjson() {
        for key in ["", "colors", "a\tb\n\"c\""] {
            for value in VALUES {
                let line = Line { key, value, left_seconds: 77 }.encode(Shape::Ndjson).expect("it takes all");
                let (read, failure) = records(&line, Shape::Ndjson);
                assert_eq!(failure, None);
                assert_eq!((read[0].name.as_str(), &read[0].value[..], read.len()), (key, value, 1));
                assert_eq!(read[0].ttl.map(|ttl| ttl.to_string()), Some("1m17s".to_owned()));
            }
        }
    }

    #[test]
    fn a_value_comes_back_from_tsv_or_is_refused() {
        let mut refused = 0;
        for key in ["colors", "", "cr\r", "\r", "a\tb", "\u{feff}"] {
            for value in VALUES {
                match (Line { key, value, left_seconds: 1 }).encode(Shape::Tsv) {
                    Err(_) => refused += 1,
                    Ok(line) => {
                        let (read, failure) = records(&line, Shape::Tsv);
                        assert_eq!(failure, None);
                        assert_eq!((read[0].name.as_str(), &read[0].value[..]), (key, value));
                    }
                }
            }
        }
        assert_eq!(refused, 4 + 2 * VALUES.len(), "a line feed in four keys' values, and two keys");
    }
}
