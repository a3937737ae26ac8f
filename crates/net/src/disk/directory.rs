//! The data directory: found or made, locked, and with a database file in it.
//!
//! ```text
//!   DIRECTORY/keyway.lock    locked (flock) for as long as a process uses the directory; its text is that process's id
//!   DIRECTORY/keyway.redb    records, notes, identity
//!   DIRECTORY/keyway.new     the same while it is made for the first time: begun anew if that was cut short
//! ```
//!
//! The lock belongs to the open file: the kernel releases it when the process ends in whatever way. New directory
//! entries are made durable by syncing the directory that holds them, or a crash could lose the file as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

const LOCK_FILE: &str = "keyway.lock";
const DATABASE_FILE: &str = "keyway.redb";
const UNFINISHED_FILE: &str = "keyway.new";
/// Longest text of the lock file that is shown to people.
const LOCK_TEXT_BYTES_MAX: u64 = 20;

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// A process has it.
    #[error(
        "the data directory {path} is in use by another process{holder}: stop it, or choose another directory",
        path = .path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// ` (pid N)`, if it says so.
        holder: String,
    },
    /// There is no database in it.
    #[error(
        "there is no node's data in {path}: name the directory of a node, with keyway.redb in it",
        path = .path.display()
    )]
    NoNode {
        /// The directory.
        path: PathBuf,
    },
    /// The system's fault.
    #[error("cannot {what} {path}: {source}", path = .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A locked data directory.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    _lock: File,
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirectoryError {
    let path = path.to_owned();
    move |source| DirectoryError::Io { what, path, source }
}

impl Directory {
    /// Finds or makes the directory at `path` and locks it.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub fn lock(path: &Path) -> Result<Directory, DirectoryError> {
        make(path)?;
        let lock_path = path.join(LOCK_FILE);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(failed("open", &lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut text = String::new();
                // Only for the message: a holder that did not say who it is stays unnamed.
                let _ = lock.take(LOCK_TEXT_BYTES_MAX).read_to_string(&mut text);
                let holder =
                    text.trim().parse::<u32>().map_or(String::new(), |pid| format!(" (process {pid})"));
                return Err(DirectoryError::InUse { path: path.to_owned(), holder });
            }
            Err(e) => return Err(failed("lock", &lock_path)(e.into())),
        }
        // Who holds it is a courtesy to people; a full disk must not keep a node from starting.
        let _ = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        Ok(Directory { path: path.to_owned(), _lock: lock })
    }

    /// Locks the directory at `path`, in which a node has been; makes nothing.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub fn lock_found(path: &Path) -> Result<Directory, DirectoryError> {
        if !path.join(DATABASE_FILE).is_file() {
            return Err(DirectoryError::NoNode { path: path.to_owned() });
        }
        Directory::lock(path)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database file, and whether it is new: then it is empty, and has its name only after [`Directory::publish`],
    /// so that a start which is cut short does not leave a half-made database behind.
    ///
    /// # Errors
    /// [`DirectoryError::Io`].
    pub fn database_file(&self) -> Result<(File, bool), DirectoryError> {
        let path = self.path.join(DATABASE_FILE);
        let is_new = !path.try_exists().map_err(failed("look for", &path))?;
        let path = if is_new { self.path.join(UNFINISHED_FILE) } else { path };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(is_new)
            .truncate(is_new)
            .open(&path)
            .map_err(failed("open", &path))?;
        Ok((file, is_new))
    }

    /// Gives a new database file its name, durably. Its content must be durable already.
    ///
    /// # Errors
    /// [`DirectoryError::Io`].
    pub fn publish(&self) -> Result<(), DirectoryError> {
        let (from, to) = (self.path.join(UNFINISHED_FILE), self.path.join(DATABASE_FILE));
        fs::rename(&from, &to).map_err(failed("rename", &from))?;
        sync_directory(&self.path)
    }
}

/// Makes `path` and the directories above it that are missing, each durable in the one that holds it.
fn make(path: &Path) -> Result<(), DirectoryError> {
    if path.is_dir() {
        return Ok(());
    }
    let missing: Vec<&Path> =
        path.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.exists()).collect();
    fs::create_dir_all(path).map_err(failed("create the directory", path))?;
    for made in missing {
        match made.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent)?,
            _ => sync_directory(Path::new("."))?,
        }
    }
    Ok(())
}

fn sync_directory(path: &Path) -> Result<(), DirectoryError> {
    File::open(path).and_then(|d| d.sync_all()).map_err(failed("sync the directory", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_made_locked_and_let_go() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let path = root.path().join("a/b/c");
        let first = Directory::lock(&path).expect("free");
        assert!(first.database_file().expect("made").1);
        assert!(first.database_file().expect("begun anew").1);
        first.publish().expect("named");
        assert!(!first.database_file().expect("found").1);
        let second = Directory::lock(&path).expect_err("locked");
        let text = second.to_string();
        assert!(text.contains("in use by another process"), "{text}");
        assert!(text.contains(&format!("(process {})", std::process::id())), "{text}");
        drop(first);
        Directory::lock(&path).expect("free again");
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let path = root.path().join("file");
        fs::write(&path, b"x").expect("written");
        let text = Directory::lock(&path).expect_err("not a directory").to_string();
        assert!(text.contains("cannot create the directory"), "{text}");
        assert!(text.contains(&path.display().to_string()), "{text}");
    }
}
