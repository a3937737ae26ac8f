//! Access tokens: the file that an operator keeps, and the shelf from which a gateway reads it.
//!
//! ```text
//!   kwt_NAME_SECRET        SECRET: 64 hex digits, 256 random bits         shown once, when it is made
//!
//!   FILE   { "version": 1, "tokens": [ { "name", "sha256" of the whole token, "scopes", "created_ms", quotas, .. } ] }
//! ```
//!
//! The file holds nothing with which anybody could pass. It is replaced as a whole, so readers never see a half of it, and
//! writers take turns by a lock beside it. A gateway looks at most once a second whether it has changed, and only when a token
//! is shown: a revoked token is refused within a second. A file that cannot be read admits nobody, and the log says why.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use keyway_core::store::ClientId;
use keyway_core::store::proof::sha256;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::Scopes;
use super::quota::Spending;

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
const LOOK_EVERY: Duration = Duration::from_secs(1);

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
            if token.sha256.len() != 64 || !token.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(malformed(format!("sha256 of {} is not 64 hex digits", token.name)));
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
            let mut out =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            out.write_all(&text)?;
            out.sync_all()?;
            fs::rename(&new, path)
        };
        write().map_err(io)?;
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
    looked: Option<Instant>,
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
    pub(crate) fn new(path: PathBuf) -> Shelf {
        Shelf { path, seen: Mutex::default() }
    }

    /// The token with this text.
    pub(crate) fn find(&self, text: &str, now: Instant) -> Option<Arc<Held>> {
        let (name, _) = text.strip_prefix(PREFIX)?.rsplit_once('_')?;
        let seen = self.seen(now);
        let held = seen.held.get(name)?.clone();
        drop(seen);
        let same = hex(&sha256(text.as_bytes())).as_bytes().ct_eq(held.token.sha256.as_bytes());
        bool::from(same).then_some(held)
    }

    /// The names of all tokens, by those under which their bearers are charged.
    pub(crate) fn names(&self) -> BTreeMap<ClientId, String> {
        let seen = self.seen(Instant::now());
        seen.held.keys().map(|name| (ClientId::of_token(name), name.clone())).collect()
    }

    fn seen(&self, now: Instant) -> MutexGuard<'_, Seen> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= LOOK_EVERY) {
            seen.looked = Some(now);
            seen.look(&self.path);
        }
        seen
    }
}

impl Seen {
    /// Reads the file if it is another than it was.
    fn look(&mut self, path: &Path) {
        let stamp = fs::metadata(path).map(|metadata| Stamp {
            changed: metadata.modified().ok(),
            inode: metadata.ino(),
            bytes: metadata.len(),
        });
        let stamp = stamp.ok();
        if stamp.is_some() && stamp == self.stamp {
            return;
        }
        match TokenFile::read(path) {
            Ok(file) => {
                tracing::info!(path = %path.display(), tokens = file.tokens.len(), "access tokens read");
                let known = std::mem::take(&mut self.held);
                let hold = |token: Token| {
                    // What was spent stays spent, whatever else the operator changes.
                    let spending = known
                        .get(&token.name)
                        .filter(|held| held.token.sha256 == token.sha256)
                        .map(|held| held.spending.clone())
                        .unwrap_or_default();
                    (token.name.clone(), Arc::new(Held { token, spending }))
                };
                self.held = file.tokens.into_iter().map(hold).collect();
                self.stamp = stamp;
            }
            Err(why) => {
                tracing::error!(error = %why, "no access token is admitted until the token file can be read");
                self.held.clear();
                self.stamp = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
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
        let now = Instant::now();
        assert!(shelf.find(&text, now).is_some());
        for at in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[at] = if other[at] == b'0' { b'1' } else { b'0' };
            let other = String::from_utf8(other).expect("text");
            assert!(shelf.find(&other, now).is_none(), "{at}");
            assert!(shelf.find(&text[..at], now).is_none(), "{at}");
        }
        assert!(shelf.find(&format!("{text}0"), now).is_none());
        let bytes = fs::read(&path).expect("the file");
        let secret = text.rsplit('_').next().expect("a secret");
        assert!(!String::from_utf8_lossy(&bytes).contains(secret), "the file does not hold it");
        assert_eq!(fs::metadata(&path).expect("the file").mode() & 0o077, 0, "nobody else reads it");
    }

    #[test]
    fn a_change_is_seen_within_a_second_and_a_broken_file_admits_nobody() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("tokens");
        let shelf = Shelf::new(path.clone());
        let (token, text) = new("a");
        let began = Instant::now();
        assert!(shelf.find(&text, began).is_none(), "there is no file");
        TokenFile::change(&path, |file| file.add(token.clone())).expect("made");
        assert!(shelf.find(&text, began).is_none(), "not looked at again");
        let mut now = began + LOOK_EVERY;
        let first = shelf.find(&text, now).expect("seen");
        TokenFile::change(&path, |file| file.revoke("a", 9)).expect("revoked");
        now += LOOK_EVERY;
        let revoked = shelf.find(&text, now).expect("known, to be told that it was revoked");
        assert_eq!(revoked.token.revoked_ms, Some(9));
        assert!(Arc::ptr_eq(&first.spending, &revoked.spending), "what was spent stays spent");
        fs::write(&path, b"{").expect("written");
        now += LOOK_EVERY;
        assert!(shelf.find(&text, now).is_none());
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
