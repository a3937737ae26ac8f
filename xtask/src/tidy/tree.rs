//! The files that the checks look at: those of the repository, or a few synthetic ones.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::process::Command;

use super::source::Source;

/// The pseudo file that holds what `cargo tree` says of core's features.
pub(super) const CORE_FEATURES: &str = "cargo tree -p keyway-core";

/// Folders that hold nothing written by people.
const SKIPPED: [&str; 5] = ["target", "artifacts", "coverage", "keyway-data", "node_modules"];
/// Hidden folders that belong to the repository.
const HIDDEN: [&str; 2] = [".ci", ".cargo"];
/// What is read; of other files only the path is kept.
const TEXTS: [&str; 11] = ["rs", "toml", "md", "sh", "py", "txt", "yml", "run", "js", "css", "html"];
/// A longer text is data: only its path is kept.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// A snapshot of files.
pub struct Tree {
    texts: BTreeMap<String, String>,
    paths: BTreeSet<String>,
    sources: Vec<Source>,
}

impl Tree {
    /// The repository at `root`, with what cargo says about the features of core.
    ///
    /// # Errors
    /// If a file cannot be read or cargo cannot be run.
    pub fn load(root: &Path) -> io::Result<Tree> {
        let (mut texts, mut paths) = (BTreeMap::new(), BTreeSet::new());
        walk(root, "", &mut texts, &mut paths)?;
        texts.insert(CORE_FEATURES.to_owned(), core_features(root)?);
        Ok(Tree::new(texts, paths))
    }

    /// A synthetic tree.
    #[must_use]
    pub fn of(files: &[(&str, &str)]) -> Tree {
        let texts: BTreeMap<_, _> = files.iter().map(|(p, t)| ((*p).to_owned(), (*t).to_owned())).collect();
        let paths = texts.keys().cloned().collect();
        Tree::new(texts, paths)
    }

    fn new(texts: BTreeMap<String, String>, paths: BTreeSet<String>) -> Tree {
        let mut sources: Vec<Source> = texts
            .iter()
            .filter(|(path, _)| path.ends_with(".rs"))
            .map(|(path, text)| Source::new(path, text))
            .collect();
        let test_modules: BTreeSet<String> = sources.iter().flat_map(Source::test_module_paths).collect();
        for source in &mut sources {
            let stem = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
            if test_modules.iter().any(|m| stem == m || stem.starts_with(&format!("{m}/"))) {
                source.mark_as_test();
            }
        }
        Tree { texts, paths, sources }
    }

    /// Every Rust file.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter()
    }

    /// Every Rust file below a folder.
    pub fn sources_in(&self, folder: &str) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(move |s| s.path.starts_with(folder))
    }

    /// The text of a file.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Path and text of every file whose name ends so.
    pub fn texts_ending(&self, end: &str) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().filter(move |(p, _)| p.ends_with(end)).map(|(p, t)| (p.as_str(), t.as_str()))
    }

    /// Path and text of every file that is read.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts_ending("")
    }

    /// Whether there is such a file or folder.
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let below = format!("{path}/");
        path.is_empty()
            || self.paths.contains(path)
            || self.paths.range(below.clone()..).next().is_some_and(|p| p.starts_with(&below))
    }

    /// Path and content of the manifest of every member of the workspace; a manifest that does not parse is skipped,
    /// cargo itself complains about it.
    pub fn manifests(&self) -> impl Iterator<Item = (&str, toml::Table)> {
        self.texts_ending("/Cargo.toml")
            .filter(|(path, _)| path.starts_with("crates/") || path.starts_with("xtask/"))
            .filter_map(|(path, text)| Some((path, text.parse().ok()?)))
    }

    /// The manifest of the workspace.
    #[must_use]
    pub fn workspace(&self) -> Option<toml::Table> {
        self.text("Cargo.toml")?.parse().ok()
    }
}

fn walk(
    root: &Path,
    below: &str,
    texts: &mut BTreeMap<String, String>,
    paths: &mut BTreeSet<String>,
) -> io::Result<()> {
    for entry in std::fs::read_dir(root.join(below))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            let hidden = name.starts_with('.') && !HIDDEN.contains(&name.as_str());
            if !hidden && !SKIPPED.iter().any(|s| name.starts_with(s)) {
                walk(root, &path, texts, paths)?;
            }
        } else if kind.is_file() {
            let extension = name.rsplit('.').next().unwrap_or("");
            if (TEXTS.contains(&extension) || name == "run") && entry.metadata()?.len() <= TEXT_BYTES_MAX {
                let bytes = std::fs::read(entry.path())?;
                texts.insert(path.clone(), String::from_utf8_lossy(&bytes).into_owned());
            }
            paths.insert(path);
        }
    }
    Ok(())
}

/// What cargo resolves for core alone: packages and features, without build-time macros.
fn core_features(root: &Path) -> io::Result<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let out = Command::new(cargo)
        .args(["tree", "--package", "keyway-core", "--edges", "normal,features,no-proc-macro"])
        .args(["--prefix", "none", "--offline", "--no-dedupe"])
        .current_dir(root)
        .output()?;
    if !out.status.success() {
        return Err(io::Error::other(format!("cargo tree: {}", String::from_utf8_lossy(&out.stderr))));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
