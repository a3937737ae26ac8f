//! What is to be published: a file, or the files of a folder, each hashed and known by how it was then.
//!
//! A folder may change while it is looked through. It is opened once, and what is below it is reached from there, through no link
//! ([`beneath`]): a file that becomes a link before it is hashed is not published in the link's place.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use keyway_client::publish::{Content, Entry, FILES_MAX, Manifest, What, check_path, is_plain_name};
use keyway_gateway::{Shelf, Stamp};
use rustix::fs::{AtFlags, Dir, FileType, statat};

use crate::beneath;
use crate::exit::{Exit, Failure};
use crate::output::{Output, harmless, plural};
use crate::progress::Progress;

/// Things left out that are named one by one.
const SKIPPED_SHOWN: usize = 10;

/// What is to be published.
pub(super) struct Stock {
    pub(super) shelf: Shelf,
    pub(super) what: What,
    /// The file's, or the manifest's.
    pub(super) content: Content,
    pub(super) name: Option<String>,
    /// Files, and their bytes.
    pub(super) files: usize,
    pub(super) bytes: u64,
    /// Links and other things of a folder that are no files.
    pub(super) skipped: usize,
}

/// Hashes what is at `path`. Takes as long as reading all of it does.
pub(super) fn take(path: &Path, output: Output) -> Result<Stock, Failure> {
    let whole = fs::canonicalize(path).map_err(|error| unread(path, &error))?;
    let metadata = fs::metadata(&whole).map_err(|error| unread(path, &error))?;
    let name = whole.file_name().and_then(|name| name.to_str()).filter(|name| is_plain_name(name));
    let name = name.map(str::to_owned);
    let mut shelf = Shelf::default();
    if metadata.is_file() {
        let mut progress = Progress::bytes_of(output, "hashing", metadata.len());
        // The path is whole: its last name was no link.
        let file = beneath::folder(whole.parent().unwrap_or(&whole))
            .and_then(|folder| beneath::file_of(folder, whole.file_name().unwrap_or_default()));
        let hashed = hash(file, &whole, 0, &mut progress);
        progress.end();
        let (content, stamp) = hashed?;
        shelf.add_file(&content.sha256.to_string(), whole, stamp);
        let bytes = content.bytes;
        return Ok(Stock { shelf, what: What::File, content, name, files: 1, bytes, skipped: 0 });
    }
    if !metadata.is_dir() {
        let kind = kind_of(FileType::from_raw_mode(metadata.mode()));
        return Err(Failure::new(Exit::Usage, format!("{} is {kind}, not a file or a folder", shown(path))));
    }
    let root = beneath::folder_itself(&whole).map_err(|error| unread(path, &error))?;
    let walked = walk(&root, &whole, output)?;
    let total = walked.files.iter().map(|(.., bytes)| bytes).sum();
    let mut progress = Progress::bytes_of(output, "hashing", total);
    let mut entries = Vec::with_capacity(walked.files.len());
    let mut done = 0;
    for (path, place, _) in walked.files {
        let (content, stamp) = hash(open(&root, &path), &place, done, &mut progress)?;
        done += content.bytes;
        shelf.add_file(&content.sha256.to_string(), place, stamp);
        entries.push(Entry { path, content });
    }
    progress.end();
    let files = entries.len();
    if files == 0 {
        let message = format!("there is no file in {}", shown(path));
        return Err(
            Failure::new(Exit::Usage, message).hint("empty folders, links and devices are not published")
        );
    }
    let manifest = Manifest::new(entries)?;
    let text = manifest.to_bytes();
    let content = Content::of(&text);
    shelf.add_text(&content.sha256.to_string(), text);
    let bytes = manifest.bytes();
    Ok(Stock { shelf, what: What::Tree, content, name, files, bytes, skipped: walked.skipped })
}

/// The files of a folder.
struct Walked {
    /// Path within the folder, place on this machine, length.
    files: Vec<(String, PathBuf, u64)>,
    skipped: usize,
}

/// Finds all files below a folder, without following links; `at` is where it is.
fn walk(root: &OwnedFd, at: &Path, output: Output) -> Result<Walked, Failure> {
    let mut walked = Walked { files: Vec::new(), skipped: 0 };
    let mut folders = vec![String::new()];
    while let Some(above) = folders.pop() {
        let folder = at.join(&above);
        let failed = |error: io::Error| unread(&folder, &error);
        let opened = beneath::folder_below(root, &above).map_err(failed)?;
        for entry in Dir::read_from(&opened).map_err(|error| failed(error.into()))? {
            let entry = entry.map_err(|error| failed(error.into()))?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let place = folder.join(OsStr::from_bytes(name.to_bytes()));
            let unsafe_name = |why: &str| {
                Failure::new(Exit::Usage, format!("{} cannot be published: {why}", shown(&place)))
                    .hint("rename it, or publish a folder without it")
            };
            let name = name.to_str().map_err(|_| unsafe_name("its name is not UTF-8"))?;
            let path = if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
            let there = statat(&opened, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| unread(&place, &error.into()))?;
            let kind = FileType::from_raw_mode(there.st_mode);
            if kind.is_dir() {
                check_path(&path).map_err(|why| unsafe_name(&why))?;
                folders.push(path);
            } else if kind.is_file() {
                check_path(&path).map_err(|why| unsafe_name(&why))?;
                if walked.files.len() == FILES_MAX {
                    let message = format!("{} has more than {FILES_MAX} files", shown(at));
                    return Err(
                        Failure::new(Exit::Refused, message).hint("publish folders of it, or an archive")
                    );
                }
                walked.files.push((path, place, u64::try_from(there.st_size).unwrap_or(0)));
            } else {
                walked.skipped += 1;
                if walked.skipped <= SKIPPED_SHOWN {
                    output.note(format!("left out: {} is {}", harmless(&path), kind_of(kind)));
                }
            }
        }
    }
    if let Some(more @ 1..) = walked.skipped.checked_sub(SKIPPED_SHOWN) {
        output.note(format!(
            "left out: {more} more {}",
            plural(more as u64, "link or device", "links or devices")
        ));
    }
    // So that the order of hashing, and of what is told, is that of the manifest.
    walked.files.sort();
    Ok(walked)
}

/// Opens a file below the folder.
fn open(root: &OwnedFd, path: &str) -> io::Result<File> {
    let (folder, name) = beneath::split(path);
    beneath::file_of(beneath::folder_below(root, folder)?, name)
}

/// What a file holds, and how it was meanwhile.
fn hash(
    file: io::Result<File>,
    place: &Path,
    before: u64,
    progress: &mut Progress,
) -> Result<(Content, Stamp), Failure> {
    let file = file.map_err(|error| unread(place, &error))?;
    let stamp = |file: &File| file.metadata().map(|metadata| Stamp::of(&metadata));
    let began = stamp(&file).map_err(|error| unread(place, &error))?;
    let content = Content::read(&file, |bytes| progress.show(before + bytes));
    let content = content.map_err(|error| unread(place, &error))?;
    let ended = stamp(&file).map_err(|error| unread(place, &error))?;
    if began == ended && content.bytes == ended.bytes {
        return Ok((content, ended));
    }
    Err(Failure::new(Exit::Invalid, format!("{} changed while it was hashed", shown(place)))
        .hint("publish it when nobody writes to it"))
}

fn kind_of(kind: FileType) -> &'static str {
    match kind {
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::BlockDevice | FileType::CharacterDevice => "a device",
        _ => "no file",
    }
}

fn unread(path: &Path, error: &io::Error) -> Failure {
    if beneath::leads_away(error) {
        let message = format!("{}: it, or a folder on the way, became a link meanwhile", shown(path));
        return Failure::new(Exit::Invalid, message).hint("publish it when nobody changes the folder");
    }
    let exit = if error.kind() == ErrorKind::NotFound { Exit::Usage } else { Exit::Failure };
    Failure::new(exit, format!("cannot read {}: {error}", shown(path)))
}

fn shown(path: &Path) -> String {
    harmless(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::output::{Format, Output};

    #[test]
    fn what_becomes_a_link_after_it_was_found_is_not_read() {
        let (dir, outside) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
        let at = dir.path();
        fs::create_dir(at.join("folder")).expect("made");
        for path in ["a", "folder/b", "stays"] {
            fs::write(at.join(path), "red").expect("written");
        }
        fs::write(outside.path().join("b"), "secret").expect("written");
        symlink(outside.path(), at.join("away")).expect("made");
        let output = Output::new(Format::Table, Default::default(), true);
        let root = beneath::folder_itself(at).expect("a folder");
        let walked = walk(&root, at, output).expect("looked through");
        let paths: Vec<_> = walked.files.iter().map(|(path, ..)| path.as_str()).collect();
        assert_eq!((paths.as_slice(), walked.skipped), (&["a", "folder/b", "stays"][..], 1));

        fs::remove_file(at.join("a")).expect("removed");
        symlink(outside.path().join("b"), at.join("a")).expect("made");
        fs::rename(at.join("folder"), at.join("was")).expect("renamed");
        symlink(outside.path(), at.join("folder")).expect("made");
        for (path, place, _) in walked.files {
            let mut progress = Progress::bytes_of(output, "hashing", 3);
            let hashed = hash(open(&root, &path), &place, 0, &mut progress);
            match path.as_str() {
                "stays" => assert_eq!(hashed.expect("as it was").0, Content::of(b"red")),
                _ => assert_eq!(hashed.expect_err(&path).exit, Exit::Invalid, "{path}"),
            }
        }
        // A link that the user names is meant.
        symlink(at.join("stays"), outside.path().join("named")).expect("made");
        let stock = take(&outside.path().join("named"), output).expect("a file");
        assert_eq!(stock.content, Content::of(b"red"));
    }
}
