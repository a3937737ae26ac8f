//! `keyway token`: make, list and revoke the access tokens that a gateway admits.
//!
//! The file is worked on, not the gateway: it reads the file again when it has changed, and the same file may be copied to all
//! gateways of a network.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use keyway_gateway::access::{Quotas, Scopes, Token, TokenFile, TokenFileError};
use serde_json::{Value as Json, json};

use crate::config::File;
use crate::duration::{Span, utc};
use crate::exit::{Exit, Failure};
use crate::secrets;
use crate::session::Session;
use crate::size::Size;

const EXAMPLES: &str = "\
Examples:
  keyway token create ci --tokens /etc/keyway/tokens --out ci.token      reads and writes, until it is revoked
  keyway token create ops --scope read,admin --ttl 30d --out ops.token   operates the node for a month
  keyway token create app --requests-per-second 50 --put-bytes-per-second 1MiB --stored 1GiB --out app.token
  keyway token list --tokens /etc/keyway/tokens
  keyway token revoke ci --tokens /etc/keyway/tokens                     refused within a second
  keyway get colors --token-file ci.token                                shown to the gateway

A token is seen when it is made and never again: the file holds its SHA-256. A gateway admits those of the file that
`keyway node --tokens FILE` names.
";

/// Make, list and revoke access tokens.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct TokenArgs {
    /// The file that the gateway reads, made when it is not there [default: `tokens` of the configuration file]
    #[arg(long, global = true, value_name = "FILE", env = "KEYWAY_TOKENS")]
    tokens: Option<PathBuf>,
    #[command(subcommand)]
    verb: TokenVerb,
}

#[derive(Subcommand, Debug)]
enum TokenVerb {
    /// Make a token
    Create(Box<CreateArgs>),
    /// Show all tokens, without what opens doors
    List,
    /// Revoke a token; its name is not used again
    Revoke {
        /// Its name
        name: String,
    },
}

#[derive(Args, Debug)]
struct CreateArgs {
    /// Whose it is: 1 to 32 of a-z, 0-9 and -; its bearer is charged under this name at every gateway
    name: String,
    /// What it is for: some of read,write,admin
    #[arg(long, value_name = "SCOPES", default_value_t = Scopes::CLIENT)]
    scope: Scopes,
    /// For how long [default: until it is revoked]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<Span>,
    /// Requests in a second, in the long run [default: no bound]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    requests_per_second: Option<u64>,
    /// Bytes of values put in a second, in the long run [default: no bound]
    #[arg(long, value_name = "BYTES")]
    put_bytes_per_second: Option<Size>,
    /// Bytes of values put through one gateway whose lives are not over [default: no bound]
    #[arg(long, value_name = "BYTES")]
    stored: Option<Size>,
    /// Write the token here, for its owner alone; a file that is there is never overwritten [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// `keyway token`.
pub(crate) fn run(args: &TokenArgs, file: &File, session: &Session) -> Result<Exit, Failure> {
    let path = args.tokens.as_deref().or(file.node.tokens.as_deref()).ok_or_else(|| {
        Failure::new(Exit::Usage, "which token file?")
            .hint("name it with --tokens FILE, as `keyway node` does")
    })?;
    match &args.verb {
        TokenVerb::Create(asked) => create(path, asked, session),
        TokenVerb::List => list(path, session),
        TokenVerb::Revoke { name } => revoke(path, name, session),
    }
}

fn create(path: &Path, asked: &CreateArgs, session: &Session) -> Result<Exit, Failure> {
    let quotas = Quotas {
        requests_per_second: asked.requests_per_second,
        put_bytes_per_second: asked.put_bytes_per_second.map(|Size(bytes)| bytes),
        stored_bytes: asked.stored.map(|Size(bytes)| bytes),
    };
    if asked.scope == Scopes::NONE {
        return Err(Failure::new(Exit::Usage, "a token for nothing: --scope takes some of read,write,admin"));
    }
    if quotas.put_bytes_per_second == Some(0) {
        return Err(Failure::new(Exit::Usage, "--put-bytes-per-second 0: leave `write` out of --scope"));
    }
    if asked.ttl.is_some_and(|ttl| ttl.as_secs() == 0) {
        return Err(Failure::new(Exit::Usage, "--ttl 0s: a token lives for a second at least")
            .hint("without --ttl it is good until it is revoked"));
    }
    let now = now_ms();
    let expires = asked.ttl.map(|ttl| now.saturating_add(ttl.as_secs().saturating_mul(1000)));
    let (token, text) = Token::new(&asked.name, asked.scope, quotas, now, expires)?;
    let shown = describe(&token);
    // A token that cannot be written must not stand in the file, and one that stands nowhere else is lost.
    let mut kept = None;
    let made = TokenFile::change(path, |file| {
        file.add(token)?;
        if let Some(out) = &asked.out {
            secrets::keep_token(out, &text).map_err(NotMade::Out)?;
            kept = Some(out);
        }
        Ok(())
    });
    made.map_err(|why: NotMade| {
        // A token that no gateway will know would only bar the next try.
        let _ = kept.map(fs::remove_file);
        why.failure()
    })?;
    let output = &session.output;
    match (&asked.out, output.is_json()) {
        (None, true) => {
            let mut shown = shown;
            shown["token"] = Json::String(text);
            output.json(&shown)?;
        }
        (Some(_), true) => output.json(&shown)?,
        (None, false) => output.line(text)?,
        (Some(out), false) => {
            output.note(format!("{} may {} with the token in {}", asked.name, asked.scope, out.display()));
        }
    }
    if asked.out.is_none() {
        output.note("it is not shown again: keep it in a file that only its owner may read");
    }
    Ok(Exit::Ok)
}

/// Why no token was made.
enum NotMade {
    /// By the file that gateways read.
    Tokens(TokenFileError),
    /// By the one for its bearer.
    Out(Failure),
}

impl From<TokenFileError> for NotMade {
    fn from(error: TokenFileError) -> NotMade {
        NotMade::Tokens(error)
    }
}

impl NotMade {
    fn failure(self) -> Failure {
        match self {
            NotMade::Out(failure) => failure,
            NotMade::Tokens(error @ TokenFileError::Io { .. }) => {
                Failure::new(Exit::Failure, error.to_string()).hint(
                    "name a file in a directory that is there, that you may write and where there is room",
                )
            }
            NotMade::Tokens(error) => error.into(),
        }
    }
}

fn list(path: &Path, session: &Session) -> Result<Exit, Failure> {
    let file = TokenFile::read(path)?;
    let output = &session.output;
    if output.is_json() {
        output.json(&json!({ "tokens": file.tokens().iter().map(describe).collect::<Vec<_>>() }))?;
        return Ok(Exit::Ok);
    }
    output.table(
        &["name", "scopes", "created", "state", "requests/s", "put bytes/s", "stored bytes"],
        &[4, 5, 6],
        file.tokens().iter().map(|token| {
            let bound = |bound: Option<u64>| bound.map_or_else(|| "-".to_owned(), |bound| bound.to_string());
            vec![
                token.name.clone(),
                token.scopes.to_string(),
                utc(token.created_ms),
                state(token),
                bound(token.quotas.requests_per_second),
                bound(token.quotas.put_bytes_per_second),
                bound(token.quotas.stored_bytes),
            ]
        }),
    )?;
    Ok(Exit::Ok)
}

fn revoke(path: &Path, name: &str, session: &Session) -> Result<Exit, Failure> {
    // A typo in the path must not make a file.
    TokenFile::read(path)?;
    let was_good = TokenFile::change(path, |file| file.revoke(name, now_ms()).map_err(Failure::from))?;
    let output = &session.output;
    if output.is_json() {
        output.json(&json!({ "name": name, "revoked": true, "was_good": was_good }))?;
    } else if was_good {
        output.note(format!("{name} is revoked: gateways that read this file refuse it within a second"));
    } else {
        output.note(format!("{name} was revoked before"));
    }
    Ok(Exit::Ok)
}

fn state(token: &Token) -> String {
    match (token.revoked_ms, token.expires_ms) {
        (Some(at), _) => format!("revoked {}", utc(at)),
        (None, Some(end)) if end <= now_ms() => format!("expired {}", utc(end)),
        (None, Some(end)) => format!("good until {}", utc(end)),
        (None, None) => "good".to_owned(),
    }
}

fn describe(token: &Token) -> Json {
    json!({
        "name": token.name, "scopes": token.scopes, "created_ms": token.created_ms, "expires_ms": token.expires_ms,
        "revoked_ms": token.revoked_ms, "quotas": token.quotas,
    })
}

impl From<TokenFileError> for Failure {
    fn from(error: TokenFileError) -> Failure {
        let failure = |exit| Failure::new(exit, error.to_string());
        match &error {
            TokenFileError::Name(_) => failure(Exit::Usage),
            TokenFileError::Unknown(_) => failure(Exit::NotFound).hint("`keyway token list` shows them"),
            TokenFileError::Exists(_) => failure(Exit::Conflict)
                .hint("what is charged to a name stays charged to it: take another name"),
            TokenFileError::Malformed { .. } => failure(Exit::Invalid),
            TokenFileError::Io { path, why } if why.kind() == std::io::ErrorKind::NotFound => {
                failure(Exit::NotFound)
                    .hint(format!("`keyway token create NAME --tokens {}` makes it", path.display()))
            }
            TokenFileError::Io { .. } | TokenFileError::Full | TokenFileError::Random(_) => {
                failure(Exit::Failure)
            }
        }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
