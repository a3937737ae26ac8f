//! Files below a folder, reached through no link, whatever others do to the folder meanwhile.
//!
//! A path that was looked at and is opened later may lead elsewhere by then: one of its folders, or the file itself, may have become
//! a link. Here a folder is opened once, and everything below it from the folder before it, name by name, with `O_NOFOLLOW`: what
//! became a link is an error (`ELOOP`, `ENOTDIR`), and what was opened stays what it was.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;

/// Read, write and pass for all, of which the user's mask leaves what it leaves.
const FOLDER_MODE: u32 = 0o777;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens a folder by the path that a user gave, who may mean a link.
pub(crate) fn folder(path: &Path) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    Ok(openat(CWD, path, FOLDER, Mode::empty())?)
}

/// The same by a path whose last name must be no link, since nobody said that it may be one.
pub(crate) fn folder_itself(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, FOLDER | OFlags::NOFOLLOW, Mode::empty())?)
}

/// Opens a folder below another: names with `/` between them; none is the other itself.
pub(crate) fn folder_below(root: impl AsFd, path: &str) -> io::Result<OwnedFd> {
    walk(root, path, false)
}

/// The same, and makes what of it is not there.
pub(crate) fn folder_made(root: impl AsFd, path: &str) -> io::Result<OwnedFd> {
    walk(root, path, true)
}

fn walk(root: impl AsFd, path: &str, make: bool) -> io::Result<OwnedFd> {
    let mut folder = openat(root, ".", FOLDER, Mode::empty())?;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        if make {
            match mkdirat(&folder, name, Mode::from_raw_mode(FOLDER_MODE)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        folder = openat(&folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(folder)
}

/// Opens a file of a folder to read it: the file itself, no link to one, and nothing that is no file.
pub(crate) fn file_of(folder: impl AsFd, name: impl rustix::path::Arg) -> io::Result<File> {
    // Opening a pipe, which a file may have become, would wait for who writes to it.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(folder, name, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "it is no regular file"))
}

/// The folder in which a path below another ends, and the name that it has there.
pub(crate) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Whether an error says that something on the way is a link, or no folder.
pub(crate) fn leads_away(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::LOOP | Errno::NOTDIR))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_below_is_reached_and_what_a_link_leads_to_is_not() {
        let (inside, outside) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
        let root = inside.path();
        fs::create_dir_all(root.join("a/b")).expect("made");
        fs::write(root.join("a/b/c"), "red").expect("written");
        fs::write(outside.path().join("c"), "secret").expect("written");
        symlink(outside.path(), root.join("a/away")).expect("made");
        symlink(outside.path().join("c"), root.join("a/b/link")).expect("made");
        symlink(root.join("a"), root.join("self")).expect("made");

        let opened = folder(root).expect("a folder");
        let mut text = String::new();
        let b = folder_below(&opened, "a/b").expect("below");
        file_of(&b, "c").expect("a file").read_to_string(&mut text).expect("read");
        assert_eq!(text, "red");
        for path in ["a/away", "a/away/x", "self", "a/b/c"] {
            let error = folder_below(&opened, path).expect_err(path);
            assert!(leads_away(&error), "{path}: {error}");
            let error = folder_made(&opened, path).expect_err(path);
            assert!(leads_away(&error), "{path}: {error}");
        }
        assert!(leads_away(&file_of(&b, "link").expect_err("a link")));
        assert!(file_of(&opened, "a").is_err(), "a folder is no file");
        assert!(folder(&root.join("self")).is_ok() && folder_itself(&root.join("self")).is_err());
        folder_made(&opened, "new/er").expect("made");
        assert!(root.join("new/er").is_dir());

        // What was opened stays what it was.
        fs::rename(root.join("a"), root.join("was")).expect("renamed");
        symlink(outside.path(), root.join("a")).expect("made");
        assert!(file_of(&b, "c").is_ok());
        assert!(folder_below(&opened, "a").is_err());
        assert_eq!((split("x"), split("a/b/x")), (("", "x"), ("a/b", "x")));
    }

    #[test]
    fn a_pipe_is_refused_and_not_waited_for() {
        let dir = tempfile::tempdir().expect("made");
        let opened = folder(dir.path()).expect("a folder");
        rustix::fs::mkfifoat(&opened, "pipe", Mode::from_raw_mode(0o600)).expect("made");
        let error = file_of(&opened, "pipe").expect_err("a pipe");
        assert!(error.to_string().contains("no regular file"), "{error}");
    }
}
