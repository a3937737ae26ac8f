//! A file that appears whole or not at all: written under another name, synced, renamed.

use std::fs::{self, File, OpenOptions};
use std::future::Future;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;

use crate::exit::{Exit, Failure};

/// A file while it is made. Dropped without [`Draft::keep`] it is gone, and what was there before stays.
pub(crate) struct Draft {
    file: File,
    /// Where it is made.
    beside: PathBuf,
    path: PathBuf,
    bytes: u64,
    kept: bool,
}

impl Draft {
    /// Begins one, for its owner's eyes only.
    pub(crate) fn create(path: &Path) -> Result<Draft, Failure> {
        if path.is_dir() {
            // Told now: renaming would tell it when all the work is done.
            return Err(Failure::new(
                Exit::Usage,
                format!("cannot write {}: it is a directory", path.display()),
            )
            .hint("name a file in it"));
        }
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}.partial", std::process::id()));
        let beside = PathBuf::from(beside);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
        let file = file.map_err(|error| {
            Failure::new(Exit::Usage, format!("cannot write {}: {error}", beside.display()))
                .hint("name a file in a directory that is there and that you may write")
        })?;
        Ok(Draft { file, beside, path: path.to_owned(), bytes: 0, kept: false })
    }

    /// Appends to it.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|error| self.failed(&error))
    }

    /// Gives it its name, durably; its length. Off this thread, since syncing a long file takes long: whoever gives up meanwhile finds it
    /// whole under its name, or not at all.
    pub(crate) async fn keep(self) -> Result<u64, Failure> {
        let left = Left(self.beside.clone());
        let kept = spawn_blocking(move || self.keep_here()).await;
        drop(left);
        kept.unwrap_or_else(|error| Err(Failure::new(Exit::Failure, format!("our own bug: {error}"))))
    }

    /// The same on this thread.
    pub(crate) fn keep_here(mut self) -> Result<u64, Failure> {
        let keep = || -> io::Result<()> {
            self.file.sync_all()?;
            fs::rename(&self.beside, &self.path)?;
            let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
        };
        keep().map_err(|error| self.failed(&error))?;
        self.kept = true;
        Ok(self.bytes)
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::new(Exit::Failure, format!("cannot write {}: {error}", self.path.display()))
            .hint("is there room left? nothing was kept")
    }
}

/// What a draft leaves if nobody waits for its syncing. Once it has its name there is nothing.
struct Left(PathBuf);

impl Drop for Left {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed is replaced by the next one.
            let _ = fs::remove_file(&self.beside);
        }
    }
}

/// Does `work` to its end; Ctrl-C ends it early, in order, so that no draft is left.
pub(crate) async fn unless_interrupted<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut interrupts = signal(SignalKind::interrupt())
        .map_err(|error| Failure::new(Exit::Failure, format!("cannot listen for Ctrl-C: {error}")))?;
    tokio::select! {
        done = work => done,
        _ = interrupts.recv() => Err(Failure::new(Exit::Interrupted, "interrupted")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("f");
        fs::write(&path, "before").expect("a file");
        let mut draft = Draft::create(&path).expect("it can be written");
        draft.write(b"after").expect("there is room");
        assert_eq!(fs::read_to_string(&path).expect("there"), "before");
        drop(draft);
        assert_eq!(fs::read_to_string(&path).expect("there"), "before");
        let mut draft = Draft::create(&path).expect("it can be written");
        draft.write(b"after").expect("there is room");
        assert_eq!(draft.keep_here(), Ok(5));
        assert_eq!(fs::read_to_string(&path).expect("there"), "after");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o077, 0);
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1, "no draft is left");
        let said = Draft::create(dir.path()).err().expect("a directory is no file");
        assert!(said.exit == Exit::Usage && said.message.contains("it is a directory"), "{said}");
        assert!(Draft::create(&dir.path().join("no/such/f")).is_err_and(|f| f.exit == Exit::Usage));
    }
}
