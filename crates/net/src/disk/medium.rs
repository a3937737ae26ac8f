//! Where a database's bytes live, and how to get at them again after a failure.
//!
//! After a failed `fsync` the kernel may keep pages in its cache as clean that never reached the disk. Calling `fsync`
//! again then succeeds and means nothing. So a failed backend is given up as a whole: [`Medium::backend`] makes a new
//! one, which must read what the disk holds, not what the cache remembers, and redb verifies all of it before going on.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate};
use rustix::io::Errno;

use super::directory::Directory;
use crate::metrics::DiskMetrics;

/// Bytes that survive, under redb.
pub trait Medium: Send + Sync + 'static {
    /// How redb reaches them.
    type Backend: StorageBackend;

    /// A backend over the same bytes. Earlier ones are dead when it is called: whatever they wrote and did not sync may
    /// be gone, and reads through the new one must show that.
    ///
    /// # Errors
    /// What the system says.
    fn backend(&self) -> io::Result<Self::Backend>;

    /// Reads so many bytes for nobody: they are in memory when they are read next. Whether there is anything behind `offset`.
    fn touch(&self, offset: u64, bytes: usize) -> bool {
        let _ = (offset, bytes);
        false
    }
}

/// A file in a locked directory. The lock is let go with the medium: not before the last thread has ended its work.
#[derive(Debug)]
pub struct FileMedium {
    file: Arc<File>,
    syncing: Arc<AtomicBool>,
    directory: Directory,
}

impl FileMedium {
    /// A medium that syncs.
    #[must_use]
    pub fn new(file: File, directory: Directory) -> FileMedium {
        FileMedium { file: Arc::new(file), syncing: Arc::new(AtomicBool::new(true)), directory }
    }

    /// The directory that it keeps locked.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// From now on, leave syncing to the operating system: what was written survives the end of this process, but not
    /// the loss of power.
    pub fn leave_syncing_to_the_system(&self) {
        self.syncing.store(false, Ordering::Relaxed);
    }
}

impl Medium for FileMedium {
    type Backend = FileBackend;

    fn backend(&self) -> io::Result<FileBackend> {
        // Drop clean pages: those that a failed write-back left behind look clean, and only the disk knows the truth.
        // Without syncing the cache is what survives, and there is nothing to distrust.
        if self.syncing.load(Ordering::Relaxed) {
            fadvise(&self.file, 0, None, Advice::DontNeed)?;
        }
        Ok(FileBackend { file: Arc::clone(&self.file), syncing: Arc::clone(&self.syncing) })
    }

    fn touch(&self, offset: u64, bytes: usize) -> bool {
        let mut chunk = vec![0; bytes];
        // An error is redb's to meet.
        self.file.read_at(&mut chunk, offset).is_ok_and(|read| read > 0)
    }
}

/// redb's bytes in a file that is allocated before it is used, so that a full disk is met while growing and not while
/// writing a page that is already promised.
#[derive(Debug)]
pub struct FileBackend {
    file: Arc<File>,
    syncing: Arc<AtomicBool>,
}

impl StorageBackend for FileBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let now = self.file.metadata()?.len();
        if len <= now {
            return self.file.set_len(len);
        }
        loop {
            match fallocate(&self.file, FallocateFlags::empty(), now, len - now) {
                Ok(()) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => return self.file.set_len(len),
                Err(e) => {
                    // A part may have been allocated. If giving it back fails too, the file is merely too long.
                    let _ = self.file.set_len(now);
                    return Err(e.into());
                }
            }
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.syncing.load(Ordering::Relaxed) { self.file.sync_data() } else { Ok(()) }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }
}

/// A backend that counts, and that can be cut off: after the first failed write or sync, and once the engine gives it
/// up, nothing more reaches the medium through it, whatever redb does while it is being dropped.
#[derive(Debug)]
pub(super) struct Fenced<B> {
    inner: B,
    cut: Arc<AtomicBool>,
    metrics: DiskMetrics,
}

impl<B> Fenced<B> {
    pub(super) fn new(inner: B, cut: Arc<AtomicBool>, metrics: DiskMetrics) -> Fenced<B> {
        Fenced { inner, cut, metrics }
    }

    fn passable(&self) -> io::Result<()> {
        if self.cut.load(Ordering::Acquire) {
            return Err(io::Error::other("given up after an earlier failure"));
        }
        Ok(())
    }

    fn cutting<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.cut.store(true, Ordering::Release);
        }
        result
    }
}

impl<B: StorageBackend> StorageBackend for Fenced<B> {
    fn len(&self) -> io::Result<u64> {
        self.passable()?;
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.passable()?;
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.passable()?;
        self.cutting(self.inner.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.passable()?;
        self.cutting(self.inner.sync_data())?;
        self.metrics.fsyncs.inc();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.passable()?;
        self.cutting(self.inner.write(offset, data))?;
        self.metrics.written_bytes.inc_by(data.len() as u64);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }
}
