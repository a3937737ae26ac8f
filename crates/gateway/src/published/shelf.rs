//! What is published here: which file has which hash, and whether it is still as it was.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use rustix::fs::{Mode, OFlags};
use tokio::sync::watch;

/// Hex digits of a hash.
const HASH_DIGITS: usize = 64;

/// By what a file is known to be as it was: with another length, time of writing or inode it is another content, until it is hashed
/// again. Who writes and sets the time back is not seen here, but by whoever fetches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Its length.
    pub bytes: u64,
    modified: (i64, i64),
    inode: (u64, u64),
}

impl Stamp {
    /// Of what the system says of a file.
    #[must_use]
    pub fn of(file: &Metadata) -> Stamp {
        Stamp {
            bytes: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            inode: (file.dev(), file.ino()),
        }
    }
}

/// Something published.
#[derive(Clone)]
pub(super) enum Item {
    /// Bytes in memory.
    Text(Bytes),
    /// A file.
    File(Arc<(PathBuf, Stamp)>),
}

/// What is published here.
pub struct Shelf {
    items: BTreeMap<String, Item>,
    /// The first file that was found to be another one.
    changed: watch::Sender<Option<PathBuf>>,
    answers: AtomicU64,
    bytes: AtomicU64,
}

impl Default for Shelf {
    fn default() -> Shelf {
        Shelf {
            items: BTreeMap::new(),
            changed: watch::Sender::new(None),
            answers: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }
}

impl Shelf {
    /// Puts a file on it: `sha256` is the hash, in 64 small hex digits, that it had when it was as `stamp` says.
    pub fn add_file(&mut self, sha256: &str, path: PathBuf, stamp: Stamp) {
        self.items.insert(sha256.to_owned(), Item::File(Arc::new((path, stamp))));
    }

    /// Puts bytes on it.
    pub fn add_text(&mut self, sha256: &str, text: Bytes) {
        self.items.insert(sha256.to_owned(), Item::Text(text));
    }

    /// Looks at every file; gives the first that is not as it was.
    #[must_use]
    pub fn check(&self) -> Option<PathBuf> {
        let files = self.items.values().filter_map(|item| match item {
            Item::File(file) => Some(file),
            Item::Text(_) => None,
        });
        let changed = files.filter(|file| {
            std::fs::symlink_metadata(&file.0).map(|metadata| Stamp::of(&metadata)).ok() != Some(file.1)
        });
        let path = changed.map(|file| file.0.clone()).next()?;
        self.found_changed(&path);
        Some(path)
    }

    /// Waits until a file is found to be not as it was; gives its path.
    pub async fn until_changed(&self) -> PathBuf {
        let mut changed = self.changed.subscribe();
        match changed.wait_for(Option::is_some).await {
            Ok(path) => path.clone().unwrap_or_default(),
            // The sender is ours, and lives as long.
            Err(_) => std::future::pending().await,
        }
    }

    /// Answers with bytes that were begun, and bytes that were given.
    #[must_use]
    pub fn served(&self) -> (u64, u64) {
        (self.answers.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    pub(super) fn began(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn gave(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn item(&self, digits: &str) -> Option<Item> {
        (digits.len() == HASH_DIGITS).then(|| self.items.get(digits).cloned())?
    }

    /// Opens an item; nothing if it is not as it was. Waits for the disk.
    pub(super) fn open(&self, item: &Item) -> Option<Opened> {
        let file = match item {
            Item::Text(text) => return Some(Opened::Text(text.clone())),
            Item::File(file) => file,
        };
        let (path, stamp) = &**file;
        // What took the file's place may be a pipe, on which opening would wait for ever, or a link.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let opened = rustix::fs::open(path, flags, Mode::empty()).map(File::from);
        let opened = opened.ok().map(|file| Opened::File { file, path: path.clone(), stamp: *stamp });
        let opened = opened.filter(Opened::is_as_it_was);
        if opened.is_none() {
            self.found_changed(path);
        }
        opened
    }

    pub(super) fn found_changed(&self, path: &Path) {
        self.changed.send_if_modified(|changed| {
            let first = changed.is_none();
            changed.get_or_insert_with(|| path.to_owned());
            first
        });
    }
}

/// An item, ready to be read.
pub(super) enum Opened {
    Text(Bytes),
    File { file: File, path: PathBuf, stamp: Stamp },
}

impl Opened {
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Opened::Text(text) => text.len() as u64,
            Opened::File { stamp, .. } => stamp.bytes,
        }
    }

    fn is_as_it_was(&self) -> bool {
        match self {
            Opened::Text(_) => true,
            Opened::File { file, stamp, .. } => {
                file.metadata().is_ok_and(|now| now.is_file() && Stamp::of(&now) == *stamp)
            }
        }
    }

    /// Reads at most `count` bytes from `at`; waits for the disk.
    ///
    /// # Errors
    /// Those of reading; when it ends early or is not as it was, too, which `shelf` is told.
    pub(super) fn read(&self, at: u64, count: usize, shelf: &Shelf) -> io::Result<Bytes> {
        let (file, path) = match self {
            Opened::Text(text) => {
                let at = usize::try_from(at).map_or(text.len(), |at| at.min(text.len()));
                return Ok(text.slice(at..text.len().min(at + count)));
            }
            Opened::File { file, path, .. } => (file, path),
        };
        let mut bytes = BytesMut::zeroed(count);
        let read = file.read_exact_at(&mut bytes, at);
        // Looked at after reading: what was read before a change is not given either.
        if read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
            || !self.is_as_it_was()
        {
            shelf.found_changed(path);
            return Err(io::Error::other("the file is not as it was when it was published"));
        }
        read.map(|()| bytes.freeze())
    }
}
