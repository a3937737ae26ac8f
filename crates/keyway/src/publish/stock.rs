//! What is to be published: a file, or the files of a folder, each hashed and known by how it was then.

use std::fs::{self, File, FileType};
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use keyway_client::publish::{Content, Entry, FILES_MAX, Manifest, What, check_path, is_plain_name};
use keyway_gateway::{Shelf, Stamp};

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
        let hashed = hash(&whole, 0, &mut progress);
        progress.end();
        let (content, stamp) = hashed?;
        shelf.add_file(&content.sha256.to_string(), whole, stamp);
        let bytes = content.bytes;
        return Ok(Stock { shelf, what: What::File, content, name, files: 1, bytes, skipped: 0 });
    }
    if !metadata.is_dir() {
        let kind = kind_of(metadata.file_type());
        return Err(Failure::new(Exit::Usage, format!("{} is {kind}, not a file or a folder", shown(path))));
    }
    let walked = walk(&whole, output)?;
    let total = walked.files.iter().map(|(.., bytes)| bytes).sum();
    let mut progress = Progress::bytes_of(output, "hashing", total);
    let mut entries = Vec::with_capacity(walked.files.len());
    let mut done = 0;
    for (path, place, _) in walked.files {
        let (content, stamp) = hash(&place, done, &mut progress)?;
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

/// Finds all files below a folder, without following links.
fn walk(root: &Path, output: Output) -> Result<Walked, Failure> {
    let mut walked = Walked { files: Vec::new(), skipped: 0 };
    let mut folders = vec![(String::new(), root.to_owned())];
    while let Some((above, folder)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| unread(&folder, &error))? {
            let entry = entry.map_err(|error| unread(&folder, &error))?;
            let place = entry.path();
            let name = entry.file_name();
            let unsafe_name = |why: &str| {
                Failure::new(Exit::Usage, format!("{} cannot be published: {why}", shown(&place)))
                    .hint("rename it, or publish a folder without it")
            };
            let name = name.to_str().ok_or_else(|| unsafe_name("its name is not UTF-8"))?;
            let path = if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
            let kind = entry.file_type().map_err(|error| unread(&place, &error))?;
            if kind.is_dir() {
                check_path(&path).map_err(|why| unsafe_name(&why))?;
                folders.push((path, place));
            } else if kind.is_file() {
                check_path(&path).map_err(|why| unsafe_name(&why))?;
                if walked.files.len() == FILES_MAX {
                    let message = format!("{} has more than {FILES_MAX} files", shown(root));
                    return Err(
                        Failure::new(Exit::Refused, message).hint("publish folders of it, or an archive")
                    );
                }
                let bytes = entry.metadata().map_err(|error| unread(&place, &error))?.len();
                walked.files.push((path, place, bytes));
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

/// What a file holds, and how it was meanwhile.
fn hash(place: &Path, before: u64, progress: &mut Progress) -> Result<(Content, Stamp), Failure> {
    let file = File::open(place).map_err(|error| unread(place, &error))?;
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
        _ if kind.is_symlink() => "a symbolic link",
        _ if kind.is_fifo() => "a pipe",
        _ if kind.is_socket() => "a socket",
        _ if kind.is_block_device() || kind.is_char_device() => "a device",
        _ => "no file",
    }
}

fn unread(path: &Path, error: &std::io::Error) -> Failure {
    let exit = if error.kind() == ErrorKind::NotFound { Exit::Usage } else { Exit::Failure };
    Failure::new(exit, format!("cannot read {}: {error}", shown(path)))
}

fn shown(path: &Path) -> String {
    harmless(&path.display().to_string())
}
