//! Fetching a folder: its manifest, which is verified like a file, then file by file what is not there already.
//!
//! The folder in which it is laid is opened once, and everything below it from there, through no link ([`beneath`]), whatever
//! others do to it meanwhile. It may itself be a link only where the user named it.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use keyway_client::publish::{Content, Entry, Fetch, MANIFEST_BYTES_MAX, Manifest, Step};
use tokio::task::yield_now;

use super::lay::{self, Draft, There};
use super::{Asked, Delivered, Undelivered, narrate};
use crate::beneath;
use crate::exit::{Exit, Failure};
use crate::output::{harmless, thousands};
use crate::progress::Progress;

/// Fetches the folder whose manifest this is, below `root`.
pub(super) async fn fetch(
    asked: &Asked<'_>,
    fetch: &mut Fetch,
    content: &Content,
    root: PathBuf,
) -> Result<Delivered, Undelivered> {
    let manifest = manifest(asked, fetch, content).await?;
    if manifest.bytes() > asked.bytes_max {
        return Err(asked.too_large(manifest.bytes()).into());
    }
    let named = asked.out.is_some();
    let missing = survey(&root, named, &manifest, asked.force).await?;
    let opened = if missing.is_empty() { None } else { Some(open_root(&root, named)?) };
    let count = manifest.files().len();
    let bytes: u64 = missing.iter().map(|(entry, _)| entry.content.bytes).sum();
    let mut progress = Progress::bytes_of(asked.output, "fetching", bytes);
    let mut done = 0;
    // There is nothing to lay where nothing was opened.
    let files = opened.iter().flat_map(|root| missing.iter().map(move |file| (root, file)));
    for (at, (root, (entry, place))) in files.enumerate() {
        let laid = one(asked, fetch, entry, (root, place), &mut progress, done).await;
        if let Err(undelivered) = laid {
            progress.end();
            let right = count - missing.len() + at;
            asked.output.note(format!(
                "{} of {} files are there and right; run again, it fetches the others",
                thousands(right as u64),
                thousands(count as u64)
            ));
            return Err(undelivered);
        }
        done += entry.content.bytes;
    }
    progress.end();
    let kept = count - missing.len();
    Ok(Delivered { out: Some(root), files: count, kept, bytes: manifest.bytes(), fetched: done })
}

/// Opens the folder in which all is laid, and makes it if it is not there. `named`: the user has said which, and may mean a link.
fn open_root(root: &Path, named: bool) -> Result<OwnedFd, Failure> {
    let opened = match named {
        true => fs::create_dir_all(root).and_then(|()| beneath::folder(root)),
        false => match fs::create_dir(root) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => beneath::folder_itself(root),
        },
    };
    opened.map_err(|error| unlaid(root, &error))
}

/// Begins a file below the folder.
fn begin(root: &OwnedFd, entry: &Entry, place: &Path) -> Result<Draft, Failure> {
    let (folder, _) = beneath::split(&entry.path);
    let folder = beneath::folder_made(root, folder);
    Draft::within(folder.map_err(|error| unlaid(place.parent().unwrap_or(place), &error))?, place)
}

fn unlaid(folder: &Path, error: &std::io::Error) -> Failure {
    if beneath::leads_away(error) { lay::no_folder(folder) } else { lay::unlaid(folder, error) }
}

/// One file of the folder.
async fn one(
    asked: &Asked<'_>,
    fetch: &mut Fetch,
    entry: &Entry,
    (root, place): (&OwnedFd, &Path),
    progress: &mut Progress,
    before: u64,
) -> Result<(), Undelivered> {
    let mut draft = begin(root, entry, place)?;
    let mut come = 0;
    let fetched = fetch.fetch(&entry.content, true, |step| {
        match step {
            Step::Bytes(bytes) => {
                draft.write(bytes)?;
                come += bytes.len() as u64;
                progress.show(before + come);
            }
            Step::Restart => {
                come = 0;
                draft.restart()?;
            }
            other => narrate(progress, asked, other),
        }
        Ok(())
    });
    fetched.await.map_err(|error| Undelivered::of(error, place))?;
    Ok(draft.lay(asked.force)?)
}

async fn manifest(asked: &Asked<'_>, fetch: &mut Fetch, content: &Content) -> Result<Manifest, Undelivered> {
    if content.bytes > MANIFEST_BYTES_MAX {
        let message = format!("a pointer to a manifest of {} bytes", thousands(content.bytes));
        return Err(Failure::new(Exit::Invalid, message).into());
    }
    let progress = Progress::bytes_of(asked.output, "fetching the list of files", content.bytes);
    let mut text = Vec::new();
    let fetched = fetch.fetch(content, true, |step| {
        match step {
            Step::Bytes(bytes) => text.extend_from_slice(bytes),
            Step::Restart => text.clear(),
            other => narrate(&progress, asked, other),
        }
        Ok(())
    });
    fetched.await.map_err(|error| Undelivered::of(error, Path::new("memory")))?;
    Ok(Manifest::parse(&text).map_err(Failure::from)?)
}

/// What of the folder is to be fetched: what is not there. Nothing is written while something stands in the way.
async fn survey<'a>(
    root: &Path,
    named: bool,
    manifest: &'a Manifest,
    force: bool,
) -> Result<Vec<(&'a Entry, PathBuf)>, Failure> {
    if !named && root.is_symlink() {
        let message = format!("{} is a link, and nothing is laid through it unasked", lay::shown(root));
        return Err(Failure::new(Exit::Refused, message).hint("--out DIR names a place, which may be a link"));
    }
    if root.exists() && !root.is_dir() {
        let message = format!("{} is there already, and no folder", lay::shown(root));
        return Err(Failure::new(Exit::Refused, message).hint("--out DIR names another place"));
    }
    let mut missing = Vec::new();
    for entry in manifest.files() {
        lay::look_between(root, &entry.path)?;
        yield_now().await;
        let place = root.join(&entry.path);
        match lay::look(&place, &entry.content).await? {
            There::Same => {}
            There::Other if !force => return Err(lay::in_the_way(&place)),
            There::Nothing | There::Other => missing.push((entry, place)),
            There::Fixed => {
                let message = format!("{} stands where a file is to be laid", harmless(&entry.path));
                return Err(Failure::new(Exit::Refused, message).hint("--out DIR names another place"));
            }
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn manifest(files: &[(&str, &str)]) -> Manifest {
        let entry = |(path, text): &(&str, &str)| Entry {
            path: (*path).to_owned(),
            content: Content::of(text.as_bytes()),
        };
        Manifest::new(files.iter().map(entry).collect()).expect("a manifest")
    }

    #[tokio::test]
    async fn only_what_is_missing_is_fetched_and_nothing_is_overwritten_unasked() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("tree");
        let wanted = manifest(&[("a", "red"), ("b/c", "blue"), ("b/d", "green")]);
        let paths = async |force| {
            survey(&root, true, &wanted, force)
                .await
                .map(|missing| missing.iter().map(|(entry, _)| entry.path.clone()).collect::<Vec<_>>())
                .map_err(|failure| failure.exit)
        };
        assert_eq!(paths(false).await, Ok(vec!["a".into(), "b/c".into(), "b/d".into()]), "no folder yet");
        fs::create_dir_all(root.join("b")).expect("made");
        fs::write(root.join("b/c"), "blue").expect("written");
        assert_eq!(paths(false).await, Ok(vec!["a".into(), "b/d".into()]));
        fs::write(root.join("a"), "dry").expect("written");
        assert_eq!(paths(false).await, Err(Exit::Refused));
        assert_eq!(paths(true).await, Ok(vec!["a".into(), "b/d".into()]));
        fs::create_dir(root.join("b/d")).expect("made");
        assert_eq!(paths(true).await, Err(Exit::Refused), "a folder is not overwritten even then");
        assert_eq!(
            survey(&root.join("a"), true, &wanted, true).await.map_err(|f| f.exit),
            Err(Exit::Refused)
        );
    }

    #[tokio::test]
    async fn nothing_is_laid_through_a_link_that_nobody_named_or_that_appears_meanwhile() {
        let (dir, outside) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
        let wanted = manifest(&[("a", "red"), ("b/c", "blue"), ("d/e/f", "green")]);
        let refused = |failure: Failure| failure.exit == Exit::Refused;
        let link = dir.path().join("link");
        symlink(outside.path(), &link).expect("made");
        assert!(survey(&link, false, &wanted, true).await.is_err_and(refused));
        assert!(open_root(&link, false).is_err_and(refused), "also if it came after the survey");
        assert!(
            survey(&link, true, &wanted, true).await.is_ok() && open_root(&link, true).is_ok(),
            "it was named"
        );

        let root = dir.path().join("tree");
        assert_eq!(survey(&root, false, &wanted, false).await.expect("nothing there").len(), 3);
        let opened = open_root(&root, false).expect("made");
        symlink(outside.path(), root.join("b")).expect("made");
        fs::create_dir(root.join("d")).expect("made");
        symlink(outside.path(), root.join("d/e")).expect("made");
        symlink(outside.path().join("a"), root.join("a")).expect("made");
        let laid: Vec<_> = wanted
            .files()
            .iter()
            .map(|entry| begin(&opened, entry, &root.join(&entry.path)).and_then(|draft| draft.lay(false)))
            .collect();
        assert!(laid.into_iter().all(|laid| laid.is_err_and(refused)));
        // The whole folder is moved away, and a link to elsewhere is in its place.
        fs::rename(&root, dir.path().join("was")).expect("renamed");
        symlink(outside.path(), &root).expect("made");
        fs::remove_file(dir.path().join("was/a")).expect("removed");
        begin(&opened, &wanted.files()[0], &root.join("a")).expect("begun").lay(true).expect("laid");
        assert!(dir.path().join("was/a").exists());
        assert_eq!(fs::read_dir(outside.path()).expect("a folder").count(), 0, "nothing came there");
    }

    #[tokio::test]
    async fn a_survey_of_what_is_long_can_be_interrupted() {
        let dir = tempfile::tempdir().expect("a directory");
        // Of holes: it takes no room, and minutes to be read.
        let bytes = 256 << 30;
        fs::File::create(dir.path().join("a")).and_then(|file| file.set_len(bytes)).expect("made");
        let content = Content { bytes, ..Content::of(b"other") };
        let wanted = Manifest::new(vec![Entry { path: "a".to_owned(), content }]).expect("a manifest");
        let surveyed = survey(dir.path(), true, &wanted, true);
        let ended = tokio::time::timeout(std::time::Duration::from_millis(50), surveyed).await;
        assert!(ended.is_err(), "it gave way before its end");
    }
}
