//! Secrets, signing keys and access tokens of the command line: from files or descriptors, never from arguments, which every process of the
//! machine can read.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use clap::Args;
use keyway_client::{AccessToken, SECRET_BYTES_MAX, Secret, Signer};

use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Longest file that is read for a secret or a key: more than either has.
const FILE_BYTES_MAX: u64 = 256;

/// What files hold.
const SECRET: &str = "secret";
const SIGNING_KEY: &str = "signing key";
const SECRET_MADE: &str = "a good one: head -c 30 /dev/urandom | base64 > FILE (exactly 40 bytes)";

/// Where a secret comes from.
#[derive(Args, Clone, Debug)]
#[group(multiple = false)]
pub(crate) struct SecretArgs {
    /// A file with the secret, 1 to 40 bytes; a line end after it does not count
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// An open file descriptor to read the secret from: `--secret-fd 3 3< <(pass show colors)`
    #[arg(long, value_name = "N")]
    secret_fd: Option<i32>,
}

impl SecretArgs {
    /// The secret, if one was named.
    pub(crate) fn read(&self, output: &Output) -> Result<Option<Secret>, Failure> {
        let (source, name) = match (&self.secret_file, self.secret_fd) {
            (None, None) => return Ok(None),
            (Some(path), _) => (open(path, SECRET, output)?, path.display().to_string()),
            (None, Some(number)) => (descriptor(number)?, format!("descriptor {number}")),
        };
        let mut bytes = whole(source, &name)?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        let length = bytes.len();
        Secret::new(bytes).map(Some).map_err(|_| {
            let message = format!("the secret in {name} has {length} bytes, not 1 to {SECRET_BYTES_MAX}");
            Failure::new(Exit::Usage, message).hint(SECRET_MADE)
        })
    }
}

/// The signing key in a file.
pub(crate) fn signer(path: &Path, output: &Output) -> Result<Signer, Failure> {
    let bytes = whole(open(path, SIGNING_KEY, output)?, &path.display().to_string())?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    Signer::from_text(text).map_err(|_| {
        Failure::new(Exit::Usage, format!("{} is not a signing key", path.display()))
            .hint("`keyway keygen FILE` makes one")
    })
}

/// The access token in a file.
pub(crate) fn access_token(path: &Path, output: &Output) -> Result<AccessToken, Failure> {
    let bytes = whole(open(path, "access token", output)?, &path.display().to_string())?;
    let token = AccessToken::new(std::str::from_utf8(&bytes).unwrap_or_default());
    token.map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", path.display())))
}

/// Writes a new access token, for its owner's eyes only; never over a file that is there.
pub(crate) fn keep_token(path: &Path, token: &str) -> Result<(), Failure> {
    keep(path, "token", format!("{token}\n").as_bytes())
}

/// Writes a new signing key, for its owner's eyes only; never over a file that is there.
pub(crate) fn keep_signer(path: &Path, signer: &Signer) -> Result<(), Failure> {
    keep(path, "key", signer.to_text().as_bytes())
}

fn keep(path: &Path, what: &str, bytes: &[u8]) -> Result<(), Failure> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = made.and_then(|mut file| {
        file.write_all(bytes).and_then(|()| file.sync_all()).inspect_err(|_| {
            // It is ours since a moment, and holds nothing whole: left there it would only bar the next try.
            let _ = fs::remove_file(path);
        })
    });
    written.map_err(|error| {
        let name = path.display();
        let failure = Failure::new(Exit::Refused, format!("no {what} was written to {name}: {error}"));
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => failure
                .hint(format!("it may be somebody's only {what}: name another file, or move that one away")),
            _ => failure.hint("nothing was left there: name a file in a directory that is there, that you may write and where there is room"),
        }
    })
}

fn open(path: &Path, what: &str, output: &Output) -> Result<File, Failure> {
    let name = path.display();
    let file = File::open(path).map_err(|error| {
        let failure = Failure::new(Exit::Usage, format!("cannot read the {what} in {name}: {error}"));
        failure.hint(match what {
            SECRET => format!("name a file that you may read; {SECRET_MADE}"),
            SIGNING_KEY => {
                format!("name a file that you may read; `keyway keygen {name}` makes a new key there")
            }
            _ => "name a file that you may read; who runs the gateway makes one by `keyway token create`"
                .to_owned(),
        })
    })?;
    let mode = file.metadata().map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        output
            .note(format!("warning: others may read the {what} in {name}; chmod 600 {name} keeps it yours"));
    }
    Ok(file)
}

fn descriptor(number: i32) -> Result<File, Failure> {
    // Opened by its name, so that a number that is not ours is an error and nothing is closed that others use.
    File::open(format!("/dev/fd/{number}")).map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot read the secret from descriptor {number}: {error}"))
            .hint(format!("is it open? --secret-fd {number} {number}< FILE"))
    })
}

fn whole(source: impl Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    source
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::new(Exit::Usage, format!("cannot read {name}: {error}")))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::new(Exit::Usage, format!("{name} is too long for a secret or a key")));
    }
    Ok(bytes)
}
