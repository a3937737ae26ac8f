//! Laying what was fetched: under a temporary name beside its place until it is verified, then at once, and over nothing that is
//! there unless told so.
//!
//! A draft holds its folder open, and does everything by names in it: what becomes of the path meanwhile leads it nowhere else.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use keyway_client::Nonce;
use keyway_client::publish::{Content, Hashing};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, openat, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;
use tokio::task::yield_now;

use crate::beneath;
use crate::exit::{Exit, Failure};
use crate::output::harmless;

/// Read at once of what is there.
const CHUNK_BYTES: usize = 256 << 10;
/// Digits of a temporary name that chance gives.
const TEMP_DIGITS: usize = 16;

/// What is at a place where something is to be laid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum There {
    Nothing,
    /// The very bytes that are to be laid.
    Same,
    /// A file with other bytes, or a link, which a new file would take the place of.
    Other,
    /// A folder or a device, which it would not.
    Fixed,
}

/// Looks what is at `place`. Gives way after each piece of a file, so that Ctrl-C is heard however long it is.
pub(super) async fn look(place: &Path, content: &Content) -> Result<There, Failure> {
    let metadata = match fs::symlink_metadata(place) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(There::Nothing),
        Err(error) => return Err(unlaid(place, &error)),
        Ok(metadata) => metadata,
    };
    if metadata.is_symlink() {
        return Ok(There::Other);
    }
    if !metadata.is_file() {
        return Ok(There::Fixed);
    }
    if metadata.len() != content.bytes {
        return Ok(There::Other);
    }
    let there = match File::open(place) {
        Ok(file) => read(file).await,
        Err(error) => Err(error),
    };
    Ok(if there.is_ok_and(|there| there == *content) { There::Same } else { There::Other })
}

async fn read(mut file: File) -> io::Result<Content> {
    let (mut hashing, mut chunk) = (Hashing::default(), vec![0; CHUNK_BYTES]);
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hashing.content()),
            Ok(count) => hashing.update(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        yield_now().await;
    }
}

/// Looks at the folders between `root` and a file below it: each must be a folder or not there, since a link would lead away.
pub(super) fn look_between(root: &Path, path: &str) -> Result<(), Failure> {
    for (at, _) in path.match_indices('/') {
        let folder = root.join(&path[..at]);
        match fs::symlink_metadata(&folder) {
            Ok(metadata) if metadata.is_dir() => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Ok(_) => return Err(no_folder(&folder)),
            Err(error) => return Err(unlaid(&folder, &error)),
        }
    }
    Ok(())
}

/// A file that is being fetched. Dropped before it is laid, it is gone.
pub(super) struct Draft {
    file: File,
    folder: OwnedFd,
    /// Names in the folder: until it is laid, and then.
    temp: String,
    name: OsString,
    place: PathBuf,
    laid: bool,
}

impl Draft {
    /// Beside `place`, whose folder must be there.
    pub(super) fn beside(place: &Path) -> Result<Draft, Failure> {
        let folder = beneath::folder(place.parent().unwrap_or(Path::new("")));
        Draft::within(folder.map_err(|error| unlaid(place, &error))?, place)
    }

    /// The same in a folder that is open: that of `place`.
    pub(super) fn within(folder: OwnedFd, place: &Path) -> Result<Draft, Failure> {
        let chance = Nonce::random()?.to_string();
        let temp = format!(".keyway-{}.part", &chance[..TEMP_DIGITS]);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&folder, &temp, flags, Mode::from_raw_mode(0o666));
        let file = file.map_err(|error| unlaid(place, &error.into()))?.into();
        let name = place.file_name().unwrap_or_default().to_owned();
        Ok(Draft { file, folder, temp, name, place: place.to_owned(), laid: false })
    }

    /// The next bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Forgets all bytes.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()
    }

    /// Lays the file at its place, on disk; over what is there only with `force`.
    pub(super) fn lay(mut self, force: bool) -> Result<(), Failure> {
        let rename = || rename(self.folder.as_fd(), &self.temp, &self.name, force);
        let laid = self.file.sync_all().and_then(|()| rename());
        laid.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => in_the_way(&self.place),
            _ => unlaid(&self.place, &error),
        })?;
        self.laid = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.laid {
            let _ = unlinkat(&self.folder, &self.temp, AtFlags::empty());
        }
    }
}

/// Names in one folder. What has the second name is replaced if `force` says so, itself and not what it may lead to.
fn rename(folder: BorrowedFd<'_>, from: &str, to: &OsString, force: bool) -> io::Result<()> {
    if force {
        return Ok(renameat(folder, from, folder, to)?);
    }
    let nothing_there = || matches!(statat(folder, to, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT));
    match renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        // Of a file system that does not know this.
        Err(Errno::INVAL | Errno::NOSYS) if nothing_there() => Ok(renameat(folder, from, folder, to)?),
        Err(Errno::INVAL | Errno::NOSYS) => Err(ErrorKind::AlreadyExists.into()),
        ended => Ok(ended?),
    }
}

/// What stands where a file is to be laid.
pub(super) fn in_the_way(place: &Path) -> Failure {
    Failure::new(Exit::Refused, format!("{} is there already, with other bytes", shown(place)))
        .hint("--out names another place, --force overwrites")
}

/// What stands where a folder must be, or has taken its place meanwhile.
pub(super) fn no_folder(place: &Path) -> Failure {
    Failure::new(Exit::Refused, format!("{} is no folder, and nothing is laid through it", shown(place)))
        .hint("--out DIR names another place")
}

/// A place where nothing can be laid.
pub(super) fn unlaid(place: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failure, format!("cannot write {}: {error}", shown(place)))
}

pub(super) fn shown(path: &Path) -> String {
    harmless(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_there_when_it_is_laid_and_leaves_nothing_when_it_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("a");
        let mut draft = Draft::beside(&place).expect("a draft");
        draft.write(b"wrong bytes").expect("written");
        draft.restart().expect("forgotten");
        draft.write(b"red").expect("written");
        assert!(!place.exists());
        draft.lay(false).expect("nothing in the way");
        assert_eq!(fs::read(&place).expect("a file"), b"red");

        let mut draft = Draft::beside(&place).expect("a draft");
        draft.write(b"blue").expect("written");
        assert_eq!(draft.lay(false).map_err(|failure| failure.exit), Err(Exit::Refused));
        assert_eq!(fs::read(&place).expect("a file"), b"red", "nothing is overwritten");
        drop(Draft::beside(&place).expect("a draft"));
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1, "no draft is left");

        let mut draft = Draft::beside(&place).expect("a draft");
        draft.write(b"blue").expect("written");
        draft.lay(true).expect("forced");
        assert_eq!(fs::read(&place).expect("a file"), b"blue");
    }

    #[test]
    fn a_draft_stays_in_its_folder_whatever_takes_that_ones_place() {
        let (dir, outside) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
        let (folder, was) = (dir.path().join("folder"), dir.path().join("was"));
        fs::create_dir(&folder).expect("made");
        let (mut kept, dropped) =
            (Draft::beside(&folder.join("a")).expect("a draft"), Draft::beside(&folder.join("b")));
        kept.write(b"red").expect("written");
        fs::rename(&folder, &was).expect("renamed");
        std::os::unix::fs::symlink(outside.path(), &folder).expect("made");
        kept.lay(true).expect("nothing in the way");
        drop(dropped);
        assert_eq!(fs::read(was.join("a")).expect("a file"), b"red");
        assert_eq!(fs::read_dir(&was).expect("a folder").count(), 1, "no draft is left");
        assert_eq!(fs::read_dir(outside.path()).expect("a folder").count(), 0);
    }

    #[tokio::test]
    async fn what_is_there_is_told_apart_and_no_link_is_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path();
        fs::create_dir(root.join("folder")).expect("made");
        fs::write(root.join("red"), "red").expect("written");
        std::os::unix::fs::symlink("red", root.join("link")).expect("made");
        std::os::unix::fs::symlink("folder", root.join("way")).expect("made");
        let red = Content::of(b"red");
        for (name, there) in
            [("none", There::Nothing), ("red", There::Same), ("link", There::Other), ("folder", There::Fixed)]
        {
            assert_eq!(look(&root.join(name), &red).await, Ok(there), "{name}");
        }
        assert_eq!(look(&root.join("red"), &Content::of(b"dry")).await, Ok(There::Other));
        assert_eq!(look(&root.join("red"), &Content::of(b"longer")).await, Ok(There::Other));
        for (path, good) in
            [("a", true), ("folder/a", true), ("new/er/a", true), ("way/a", false), ("red/a", false)]
        {
            assert_eq!(look_between(root, path).is_ok(), good, "{path}");
        }
    }
}
