//! Fetching a folder: its manifest, which is verified like a file, then file by file what is not there already.

use std::fs;
use std::path::{Path, PathBuf};

use keyway_client::publish::{Content, Entry, Fetch, MANIFEST_BYTES_MAX, Manifest, Step};

use super::lay::{self, Draft, There};
use super::{Asked, Delivered, Undelivered, narrate};
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
    let missing = survey(&root, &manifest, asked.force)?;
    let count = manifest.files().len();
    let bytes: u64 = missing.iter().map(|(entry, _)| entry.content.bytes).sum();
    let mut progress = Progress::bytes_of(asked.output, "fetching", bytes);
    let mut done = 0;
    for (at, (entry, place)) in missing.iter().enumerate() {
        let laid = one(asked, fetch, entry, place, &mut progress, done).await;
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

/// One file of the folder.
async fn one(
    asked: &Asked<'_>,
    fetch: &mut Fetch,
    entry: &Entry,
    place: &Path,
    progress: &mut Progress,
    before: u64,
) -> Result<(), Undelivered> {
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder).map_err(|error| lay::unlaid(folder, &error))?;
    }
    let mut draft = Draft::beside(place)?;
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
fn survey<'a>(
    root: &Path,
    manifest: &'a Manifest,
    force: bool,
) -> Result<Vec<(&'a Entry, PathBuf)>, Failure> {
    if root.exists() && !root.is_dir() {
        let message = format!("{} is there already, and no folder", lay::shown(root));
        return Err(Failure::new(Exit::Refused, message).hint("--out DIR names another place"));
    }
    let mut missing = Vec::new();
    for entry in manifest.files() {
        lay::look_between(root, &entry.path)?;
        let place = root.join(&entry.path);
        match lay::look(&place, &entry.content)? {
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
    use super::*;

    fn manifest(files: &[(&str, &str)]) -> Manifest {
        let entry = |(path, text): &(&str, &str)| Entry {
            path: (*path).to_owned(),
            content: Content::of(text.as_bytes()),
        };
        Manifest::new(files.iter().map(entry).collect()).expect("a manifest")
    }

    #[test]
    fn only_what_is_missing_is_fetched_and_nothing_is_overwritten_unasked() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("tree");
        let wanted = manifest(&[("a", "red"), ("b/c", "blue"), ("b/d", "green")]);
        let paths = |force| {
            survey(&root, &wanted, force)
                .map(|missing| missing.iter().map(|(entry, _)| entry.path.clone()).collect::<Vec<_>>())
                .map_err(|failure| failure.exit)
        };
        assert_eq!(paths(false), Ok(vec!["a".into(), "b/c".into(), "b/d".into()]), "no folder yet");
        fs::create_dir_all(root.join("b")).expect("made");
        fs::write(root.join("b/c"), "blue").expect("written");
        assert_eq!(paths(false), Ok(vec!["a".into(), "b/d".into()]));
        fs::write(root.join("a"), "dry").expect("written");
        assert_eq!(paths(false), Err(Exit::Refused));
        assert_eq!(paths(true), Ok(vec!["a".into(), "b/d".into()]));
        fs::create_dir(root.join("b/d")).expect("made");
        assert_eq!(paths(true), Err(Exit::Refused), "a folder is not overwritten even then");
        assert_eq!(survey(&root.join("a"), &wanted, true).map_err(|f| f.exit), Err(Exit::Refused));
    }
}
