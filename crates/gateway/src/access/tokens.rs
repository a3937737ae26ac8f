//! Access tokens: the file that an operator keeps, and the shelf from which a gateway reads it.
//!
//! ```text
//!   kwt_NAME_SECRET        SECRET: 64 hex digits, 256 random bits         shown once, when it is made
//!
//!   FILE   { "version": 1, "tokens": [ { "name", "sha256" of the whole token, "scopes", "created_ms", quotas, .. } ] }
//! ```
//!
//! The file holds nothing with which anybody could pass. It is replaced as a whole, so readers never see a half of it, and
//! writers take turns by a lock beside it. A gateway looks once a second whether it has changed, on a thread of its own: a revoked
//! token is refused within a second. While the file cannot be read nobody is admitted, and the log says why.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use keyway_core::store::ClientId;
use keyway_core::store::proof::sha256;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::quota::Spending;
use super::{Denied, Scopes};

/// Tokens of one file.
pub const TOKENS_MAX: usize = 10_000;
/// Longest name.
const NAME_BYTES_MAX: usize = 32;
/// Longest file: more than the greatest number of the longest tokens take.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// Random bytes of a token.
const SECRET_BYTES: usize = 32;
/// What tokens begin with, so that scanners for secrets know them.
const PREFIX: &str = "kwt_";
/// The version of the file's form.
const VERSION: u32 = 1;
/// Between two looks at the file.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a token may be spent on; `None` is no bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quotas {
    /// Requests in a second, in the long run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u64>,
    /// Bytes of values put in a second, in the long run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put_bytes_per_second: Option<u64>,
    /// Bytes of values put through one gateway whose lives are not over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_bytes: Option<u64>,
}

/// An access token as its file has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Token {
    /// Whose it is: 1 to 32 of `a-z0-9-`. The bearer is charged under this name by every gateway that knows it.
    pub name: String,
    /// SHA-256 of the token, as 64 hex digits.
    sha256: String,
    /// What it is for.
    pub scopes: Scopes,
    /// When it was made, in ms since 1970.
    pub created_ms: u64,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_ms: Option<u64>,
    /// What it may be spent on.
    #[serde(default)]
    pub quotas: Quotas,
}

impl Token {
    /// A new token, and its text, which is nowhere else.
    ///
    /// # Errors
    /// [`TokenFileError`] when the name is none, or the system has no random bytes.
    pub fn new(
        name: &str,
        scopes: Scopes,
        quotas: Quotas,
        created_ms: u64,
        expires_ms: Option<u64>,
    ) -> Result<(Token, String), TokenFileError> {
        check_name(name)?;
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret).map_err(|why| TokenFileError::Random(why.to_string()))?;
        let text = format!("{PREFIX}{name}_{}", hex(&secret));
        let token = Token {
            name: name.to_owned(),
            sha256: hex(&sha256(text.as_bytes())),
            scopes,
            created_ms,
            expires_ms,
            revoked_ms: None,
            quotas,
        };
        Ok((token, text))
    }
}

fn check_name(name: &str) -> Result<(), TokenFileError> {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(good) {
        return Ok(());
    }
    Err(TokenFileError::Name(name.to_owned()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is wrong with a token file.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// The system refused.
    #[error("the token file {}: {why}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        why: io::Error,
    },
    /// It is none, or one of a later version.
    #[error("{} is not a token file: {why}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        why: String,
    },
    /// A name that no token can have.
    #[error("{0:?} is no name for a token: 1 to {NAME_BYTES_MAX} of a-z, 0-9 and -")]
    Name(String),
    /// There is such a token.
    #[error("there is a token {0} already")]
    Exists(String),
    /// There is none.
    #[error("there is no token {0}")]
    Unknown(String),
    /// The file is full.
    #[error("there are {TOKENS_MAX} tokens already")]
    Full,
    /// No random bytes.
    #[error("the system has no random bytes: {0}")]
    Random(String),
}

/// The tokens of a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenFile {
    version: u32,
    /// In the order in which they were made.
    tokens: Vec<Token>,
}

impl TokenFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`TokenFileError::Io`], also when there is none; [`TokenFileError::Malformed`].
    pub fn read(path: &Path) -> Result<TokenFile, TokenFileError> {
        let io = |why| TokenFileError::Io { path: path.to_owned(), why };
        let malformed = |why: String| TokenFileError::Malformed { path: path.to_owned(), why };
        let mut text = String::new();
        // Not opened before it is known to be a file: the other end of a pipe may never come.
        if !fs::metadata(path).map_err(io)?.is_file() {
            return Err(malformed("it is not a file".into()));
        }
        File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
            .map_err(io)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(malformed(format!("it is longer than {FILE_BYTES_MAX} bytes")));
        }
        let file: TokenFile = serde_json::from_str(&text).map_err(|why| malformed(why.to_string()))?;
        if file.version != VERSION {
            return Err(malformed(format!("it has version {}, this program reads {VERSION}", file.version)));
        }
        if file.tokens.len() > TOKENS_MAX {
            return Err(malformed(format!("it has more than {TOKENS_MAX} tokens")));
        }
        let mut names = std::collections::BTreeSet::new();
        for token in &file.tokens {
            check_name(&token.name).map_err(|why| malformed(why.to_string()))?;
            if token.sha256.len() != 64
                || !token.sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            {
                return Err(malformed(format!(
                    "sha256 of {} is not 64 hex digits in lower case",
                    token.name
                )));
            }
            if !names.insert(token.name.as_str()) {
                return Err(malformed(format!("it has two tokens {}", token.name)));
            }
        }
        Ok(file)
    }

    /// Its tokens, in the order in which they were made.
    #[must_use]
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Changes a file, which is made if there is none, while nobody else does.
    ///
    /// # Errors
    /// As [`TokenFile::read`], and what `change` says; then nothing was changed.
    pub fn change<T, E: From<TokenFileError>>(
        path: &Path,
        change: impl FnOnce(&mut TokenFile) -> Result<T, E>,
    ) -> Result<T, E> {
        // Behind a link the file itself is replaced.
        let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let io = |why| TokenFileError::Io { path: path.to_owned(), why };
        let beside = |suffix: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(beside(".lock"));
        let lock = lock.map_err(io)?;
        // Held until it is dropped, or the process ends.
        lock.lock().map_err(io)?;
        let mut file = match TokenFile::read(path) {
            Err(TokenFileError::Io { why, .. }) if why.kind() == io::ErrorKind::NotFound => {
                TokenFile { version: VERSION, tokens: Vec::new() }
            }
            read => read?,
        };
        let done = change(&mut file)?;
        let mut text = serde_json::to_vec_pretty(&file)
            .map_err(|why| TokenFileError::Malformed { path: path.to_owned(), why: why.to_string() })?;
        text.push(b'\n');
        let new = beside(".new");
        let write = || {
            // Left by a writer that was killed, or put there by somebody else.
            match fs::remove_file(&new) {
                Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
                _ => {}
            }
            let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            if let Ok(old) = fs::metadata(path) {
                // A gateway of another user must be able to read it as before.
                let own = out.metadata()?;
                if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
                    fchown(&out, Some(old.uid()), Some(old.gid()))?;
                }
                out.set_permissions(old.permissions())?;
            }
            out.write_all(&text)?;
            out.sync_all()?;
            fs::rename(&new, path)
        };
        write().map_err(|why| {
            // What could not be written whole is of no use to anybody.
            let _ = fs::remove_file(&new);
            io(why)
        })?;
        // It stands from here on, whatever becomes of this.
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Err(why) = File::open(parent.unwrap_or(Path::new("."))).and_then(|parent| parent.sync_all()) {
            tracing::warn!(path = %path.display(), error = %why, "the directory of the tokens cannot be synced: a power cut may undo the change");
        }
        Ok(done)
    }

    /// Adds a token.
    ///
    /// # Errors
    /// [`TokenFileError::Exists`] when there is one of that name, revoked or not: what is charged to a name stays charged
    /// to it. [`TokenFileError::Full`].
    pub fn add(&mut self, token: Token) -> Result<(), TokenFileError> {
        if self.tokens.iter().any(|held| held.name == token.name) {
            return Err(TokenFileError::Exists(token.name));
        }
        if self.tokens.len() >= TOKENS_MAX {
            return Err(TokenFileError::Full);
        }
        self.tokens.push(token);
        Ok(())
    }

    /// Revokes a token; whether it was not revoked before.
    ///
    /// # Errors
    /// [`TokenFileError::Unknown`].
    pub fn revoke(&mut self, name: &str, now_ms: u64) -> Result<bool, TokenFileError> {
        let token = self.tokens.iter_mut().find(|token| token.name == name);
        let token = token.ok_or_else(|| TokenFileError::Unknown(name.to_owned()))?;
        let was_good = token.revoked_ms.is_none();
        token.revoked_ms.get_or_insert(now_ms);
        Ok(was_good)
    }
}

/// A token at work.
pub(crate) struct Held {
    pub(crate) token: Token,
    pub(crate) spending: Arc<Spending>,
}

/// The tokens of a file as a gateway knows them.
pub(crate) struct Shelf {
    path: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Whether the file could be read when it was last looked at.
    readable: bool,
    stamp: Option<Stamp>,
    held: BTreeMap<String, Arc<Held>>,
}

/// What tells one state of a file from another.
#[derive(PartialEq, Eq)]
struct Stamp {
    changed: Option<SystemTime>,
    inode: u64,
    bytes: u64,
}

impl Shelf {
    /// With what the file says now.
    pub(crate) fn new(path: PathBuf) -> Shelf {
        let shelf = Shelf { path, seen: Mutex::new(Seen { readable: true, ..Seen::default() }) };
        shelf.look();
        shelf
    }

    /// The token with this text.
    pub(crate) fn find(&self, text: &str) -> Result<Arc<Held>, Denied> {
        let name = text.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once('_')).map(|(name, _)| name);
        let held = {
            let seen = self.seen();
            if !seen.readable {
                return Err(Denied::Unreadable);
            }
            name.and_then(|name| seen.held.get(name).cloned()).ok_or(Denied::Unknown)?
        };
        let same = hex(&sha256(text.as_bytes())).as_bytes().ct_eq(held.token.sha256.as_bytes());
        bool::from(same).then_some(held).ok_or(Denied::Unknown)
    }

    /// What has become of a token that was found before.
    pub(crate) fn still(&self, held: &Held) -> Option<Arc<Held>> {
        let seen = self.seen();
        let now = seen.held.get(&held.token.name).filter(|_| seen.readable)?;
        (now.token.sha256 == held.token.sha256).then(|| now.clone())
    }

    /// The names of all tokens, by those under which their bearers are charged.
    pub(crate) fn names(&self) -> BTreeMap<ClientId, String> {
        self.seen().held.keys().map(|name| (ClientId::of_token(name), name.clone())).collect()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file if it is another than it was. It may block.
    pub(crate) fn look(&self) {
        let stamp = fs::metadata(&self.path).map(|metadata| Stamp {
            changed: metadata.modified().ok(),
            inode: metadata.ino(),
            bytes: metadata.len(),
        });
        let stamp = stamp.ok();
        if stamp.is_some() && stamp == self.seen().stamp {
            return;
        }
        match TokenFile::read(&self.path) {
            Ok(file) => {
                tracing::info!(path = %self.path.display(), tokens = file.tokens.len(), "access tokens read");
                let mut seen = self.seen();
                let known = std::mem::take(&mut seen.held);
                let hold = |token: Token| {
                    // What was spent stays spent, whatever else the operator changes.
                    let spending = known
                        .get(&token.name)
                        .filter(|held| held.token.sha256 == token.sha256)
                        .map(|held| held.spending.clone())
                        .unwrap_or_default();
                    (token.name.clone(), Arc::new(Held { token, spending }))
                };
                seen.held = file.tokens.into_iter().map(hold).collect();
                (seen.readable, seen.stamp) = (true, stamp);
            }
            Err(why) => {
                let mut seen = self.seen();
                if seen.readable {
                    tracing::error!(error = %why, "no access token is admitted until the token file can be read");
                }
                (seen.readable, seen.stamp) = (false, None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn new(name: &str) -> (Token, String) {
        Token::new(name, Scopes::CLIENT, Quotas::default(), 5, None).expect("a good name")
    }

    #[test]
    fn a_token_is_found_by_its_whole_text_only() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("tokens");
        let (token, text) = new("ci-1");
        TokenFile::change(&path, |file| file.add(token)).expect("made");
        let shelf = Shelf::new(path.clone());
        assert!(shelf.find(&text).is_ok());
        for at in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[at] = if other[at] == b'0' { b'1' } else { b'0' };
            let other = String::from_utf8(other).expect("text");
            assert!(shelf.find(&other).is_err(), "{at}");
            assert!(shelf.find(&text[..at]).is_err(), "{at}");
        }
        assert!(shelf.find(&format!("{text}0")).is_err());
        let bytes = fs::read(&path).expect("the file");
        let secret = text.rsplit('_').next().expect("a secret");
        assert!(!String::from_utf8_lossy(&bytes).contains(secret), "the file does not hold it");
        assert_eq!(fs::metadata(&path).expect("the file").mode() & 0o077, 0, "nobody else reads it");
    }

    #[test]
    fn a_change_is_seen_and_while_the_file_is_broken_nobody_is_admitted() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("tokens");
        let shelf = Shelf::new(path.clone());
        let (token, text) = new("a");
        assert_eq!(shelf.find(&text).err(), Some(Denied::Unreadable), "there is no file");
        TokenFile::change(&path, |file| file.add(token.clone())).expect("made");
        shelf.look();
        let first = shelf.find(&text).expect("seen");
        fs::write(&path, b"{").expect("written");
        shelf.look();
        assert_eq!(shelf.find(&text).err(), Some(Denied::Unreadable));
        assert!(shelf.still(&first).is_none());
        fs::remove_file(&path).expect("removed");
        TokenFile::change(&path, |file| file.add(token)).expect("made again");
        TokenFile::change(&path, |file| file.revoke("a", 9)).expect("revoked");
        shelf.look();
        let revoked = shelf.find(&text).expect("known, to be told that it was revoked");
        assert_eq!(revoked.token.revoked_ms, Some(9));
        assert!(
            Arc::ptr_eq(&first.spending, &revoked.spending),
            "what was spent stays spent, broken file or not"
        );
    }

    #[test]
    fn a_change_keeps_what_the_operator_decided_about_the_file() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (path, link) = (dir.path().join("tokens"), dir.path().join("link"));
        TokenFile::change(&path, |file| file.add(new("a").0)).expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("given to a group");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        // What a killed writer left does not become the file.
        fs::write(dir.path().join("tokens.new"), b"{").expect("left");
        TokenFile::change(&link, |file| file.add(new("b").0)).expect("changed");
        assert_eq!(fs::metadata(&path).expect("the file").mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).expect("the link").is_symlink());
        assert_eq!(TokenFile::read(&path).expect("read").tokens().len(), 2);
    }

    #[test]
    fn names_are_used_once_and_files_of_others_are_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("tokens");
        for name in ["", "A", "a_b", "ä", &"a".repeat(33)] {
            let made = Token::new(name, Scopes::ALL, Quotas::default(), 0, None);
            assert!(matches!(made, Err(TokenFileError::Name(_))), "{name:?}");
        }
        TokenFile::change(&path, |file| file.add(new("a").0)).expect("made");
        let again = TokenFile::change(&path, |file| file.add(new("a").0));
        assert!(matches!(again, Err(TokenFileError::Exists(_))));
        assert!(matches!(
            TokenFile::change(&path, |file| file.revoke("b", 1)),
            Err(TokenFileError::Unknown(_))
        ));
        assert_eq!(TokenFile::read(&path).expect("read").tokens().len(), 1);
        let good = fs::read_to_string(&path).expect("text");
        for (from, to) in [
            ("\"version\": 1", "\"version\": 2"),
            ("\"name\": \"a\"", "\"name\": \"A\""),
            ("sha256\": \"", "sha256\": \"x"),
            ("\"read,write\"", "\"everything\""),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good);
            fs::write(&path, bad).expect("written");
            assert!(matches!(TokenFile::read(&path), Err(TokenFileError::Malformed { .. })), "{to}");
        }
    }
}
