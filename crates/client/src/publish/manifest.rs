//! A folder as one text: the path, length and hash of each of its files.
//!
//! The text is canonical (sorted, no spaces), so that equal folders have one hash, which is the folder's key. What it leaves out
//! does not count: times, permissions, empty folders, links.
//!
//! A manifest comes from strangers. What [`Manifest::parse`] lets through holds nothing but paths that lead down from where it
//! is laid ([`check_path`]), each once, and none that is a file and a folder.
//!
//! What reading one costs in memory is a small multiple of its length, whatever its bytes are: entries are read as they are, and
//! fields that nobody knows are passed over. `#[serde(flatten)]` would keep those of an entry until it has been read, 48 bytes for
//! a zero and a comma. An entry is at least 98 bytes of text and 64 of memory, three times that while the list grows, and its path.
//! `crates/client/tests/manifest_memory.rs` holds it to four times the length.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::content::Content;
use super::pointer::NAME_BYTES_MAX;
use crate::failure::ClientError;
use crate::hex::Hex;

/// Longest manifest.
pub const MANIFEST_BYTES_MAX: u64 = 16 << 20;
/// Files of one folder, those of folders within it included.
pub const FILES_MAX: usize = 100_000;
/// Longest path of a file.
const PATH_BYTES_MAX: usize = 1024;
/// Folders within each other.
const DEPTH_MAX: usize = 64;
const MARK: &str = "tree";
const VERSION: u32 = 1;

/// One file of a folder.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "Row")]
pub struct Entry {
    /// Where, from the folder: names with `/` between them.
    pub path: String,
    /// What it holds.
    #[serde(flatten)]
    pub content: Content,
}

/// An entry as it is read.
#[derive(Deserialize)]
struct Row {
    path: String,
    sha256: Hex<32>,
    bytes: u64,
}

impl From<Row> for Entry {
    fn from(Row { path, sha256, bytes }: Row) -> Entry {
        Entry { path, content: Content { sha256, bytes } }
    }
}

/// A folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    files: Vec<Entry>,
    bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct Text {
    keyway: String,
    version: u32,
    files: Vec<Entry>,
}

impl Manifest {
    /// Of these files, in any order.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] when there are none or too many, or when a path cannot be laid down safely.
    pub fn new(mut files: Vec<Entry>) -> Result<Manifest, ClientError> {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Manifest::checked(files)
    }

    /// From its text.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] when it is none, or of another version, or not in order, or as for [`Manifest::new`].
    pub fn parse(text: &[u8]) -> Result<Manifest, ClientError> {
        if text.len() as u64 > MANIFEST_BYTES_MAX {
            return Err(invalid(format!("it is longer than {MANIFEST_BYTES_MAX} bytes")));
        }
        let text: Text = serde_json::from_slice(text).map_err(|why| invalid(why.to_string()))?;
        if text.keyway != MARK || text.version != VERSION {
            return Err(invalid(format!("it is {:?} of version {}", text.keyway, text.version)));
        }
        Manifest::checked(text.files)
    }

    fn checked(files: Vec<Entry>) -> Result<Manifest, ClientError> {
        if !(1..=FILES_MAX).contains(&files.len()) {
            return Err(invalid(format!("a folder has 1 to {FILES_MAX} files, not {}", files.len())));
        }
        if let Some(pair) = files.windows(2).find(|pair| pair[0].path >= pair[1].path) {
            return Err(invalid(format!("{:?} stands twice or out of order", pair[1].path)));
        }
        let mut bytes: u64 = 0;
        let mut before = "";
        for Entry { path, content } in &files {
            check_path(path).map_err(invalid)?;
            bytes = bytes.checked_add(content.bytes).ok_or_else(|| invalid("it is too large".into()))?;
            // Folders that the path before is in as well have been looked for. A set of all would take more memory than the text.
            let same = path.bytes().zip(before.bytes()).take_while(|(here, there)| here == there).count();
            let new =
                path.match_indices('/').map(|(at, _)| &path[..at]).filter(|folder| folder.len() >= same);
            for folder in new {
                if files.binary_search_by(|entry| entry.path.as_str().cmp(folder)).is_ok() {
                    return Err(invalid(format!("{folder:?} is a file and a folder")));
                }
            }
            before = path;
        }
        Ok(Manifest { files, bytes })
    }

    /// The canonical text.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let text = Text { keyway: MARK.to_owned(), version: VERSION, files: self.files.clone() };
        serde_json::to_vec(&text).expect("texts, numbers and lists of them are always JSON").into()
    }

    /// The files, in the order of their paths.
    #[must_use]
    pub fn files(&self) -> &[Entry] {
        &self.files
    }

    /// The bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn invalid(why: String) -> ClientError {
    ClientError::Invalid(format!("a manifest that cannot be used: {why}"))
}

/// Whether a path leads down, whoever says it: names of 1 to 255 bytes with `/` between them, none of them `.` or `..`, nothing
/// that a terminal obeys, no `\`, which elsewhere parts names as well.
///
/// # Errors
/// What is wrong with it.
pub fn check_path(path: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("path {path:?}: {why}"));
    if path.len() > PATH_BYTES_MAX {
        return Err(format!("a path is longer than {PATH_BYTES_MAX} bytes"));
    }
    if path.chars().any(|c| c.is_control() || c == '\\') {
        return wrong("it has a control character or a backslash");
    }
    let mut depth = 0;
    for name in path.split('/') {
        depth += 1;
        match name {
            "" => return wrong("it has an empty name"),
            "." | ".." => return wrong("it does not lead down"),
            _ if name.len() > NAME_BYTES_MAX => return wrong("it has a name that is too long"),
            _ => {}
        }
    }
    if depth > DEPTH_MAX { wrong("it is too deep") } else { Ok(()) }
}
