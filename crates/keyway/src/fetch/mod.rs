//! `keyway fetch`: the other end of `publish`. Finds who serves a content, takes the bytes, verifies them.
//!
//! ```text
//!   find pointers ──▶ none: 3
//!        ├─ a name that stands for several contents: 7
//!        └─ one content after another ──▶ publishers one after another, resumed ──▶ right hash: laid at its place
//!                                                │                      └──── wrong hash, by all who gave: 8
//!                                                └─ none gives it: 5, with what each did and until when it is named
//! ```

mod lay;
mod tree;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use keyway_client::publish::{
    Address, Content, Fetch, FetchError, FetchSettings, Found, MANIFEST_BYTES_MAX, Publisher, SOURCES_MAX,
    Sought, SourceReport, Step, What, find,
};
use keyway_client::{Authenticator, Hex, Key};
use serde::Serialize;

use self::lay::{Draft, There};
use crate::duration::{Span, utc};
use crate::exit::{Exit, Failure};
use crate::output::{Format, Output, Style, harmless, plural, thousands};
use crate::progress::Progress;
use crate::serve::Signals;
use crate::session::Session;
use crate::size::Size;

/// Contents under one key that are tried. There is more than one only when somebody lies.
const CONTENTS_MAX: usize = 16;
/// Addresses that are asked in all, dealt out evenly to the contents.
const ADDRESSES_MAX: usize = 128;
/// Publishers that a failure names.
const NAMED_MAX: usize = 5;
/// Hex digits of a SHA-256.
const SHA256_DIGITS: usize = 64;

const EXAMPLES: &str = "\
Examples:
  keyway fetch KEY                         what `keyway publish` printed, into a file of its name
  keyway fetch KEY --out cat.jpg           into this one
  keyway fetch KEY --out - | tar t         as it comes; the exit code tells whether it was right
  keyway fetch --name site --signer HEX --out site    a folder, as one signer means it
  keyway fetch KEY || echo gone            5: publishers are named, and none gives it; 3: none is named

The network has only pointers; the bytes come from who publishes them. When every publisher is gone so are the bytes: \
their pointers end by themselves, and until then this says who was asked in vain. What comes is believed when its SHA-256 \
is right, whoever gave it. Pointers name addresses, by anybody's signature, and this program connects to them (only \
http://HOST:PORT, nothing but GET /sha256/HEX): with --signer to those of one signer alone.
";

/// Fetch what others publish, and verify it.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct FetchArgs {
    /// The key that `keyway publish` printed, 40 hex digits, or the whole SHA-256, 64
    #[arg(value_name = "KEY", required_unless_present = "name")]
    key: Option<String>,
    /// What signers mean by this text, instead of a KEY
    #[arg(long, value_name = "TEXT", conflicts_with = "key")]
    name: Option<String>,
    /// Only from this signer: SHA-256 of its public key, as `keyway keygen` and `keyway publish` show it
    #[arg(long, value_name = "HEX")]
    signer: Option<Authenticator>,
    /// Where to lay it; `-` for standard output [default: its name, in this folder]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Overwrite files that are there
    #[arg(long)]
    force: bool,
    /// Take at most this much
    #[arg(long, value_name = "SIZE", default_value_t = Size(16 << 30))]
    max: Size,
    /// Give a publisher up when nothing comes from it for so long
    #[arg(long, value_name = "DURATION", default_value_t = Span::from_secs(15))]
    timeout: Span,
}

/// What every part of a fetch needs to know.
struct Asked<'a> {
    output: Output,
    out: Option<&'a Path>,
    force: bool,
    bytes_max: u64,
}

impl Asked<'_> {
    fn too_large(&self, bytes: u64) -> Failure {
        let message = format!(
            "it has {} bytes, of which at most {} are taken",
            thousands(bytes),
            thousands(self.bytes_max)
        );
        Failure::new(Exit::Refused, message).hint("--max SIZE takes more")
    }

    fn to_stdout(&self) -> bool {
        self.out == Some(Path::new("-"))
    }
}

/// What was fetched.
struct Delivered {
    /// Where; `None` for standard output.
    out: Option<PathBuf>,
    files: usize,
    /// Files that were there already.
    kept: usize,
    bytes: u64,
    fetched: u64,
}

/// Why a content was not fetched.
enum Undelivered {
    Gone,
    Wrong,
    Failure(Failure),
}

impl From<Failure> for Undelivered {
    fn from(failure: Failure) -> Undelivered {
        Undelivered::Failure(failure)
    }
}

impl Undelivered {
    /// `place` is where it was to go.
    fn of(error: FetchError, place: &Path) -> Undelivered {
        match error {
            FetchError::Gone => Undelivered::Gone,
            FetchError::Wrong => Undelivered::Wrong,
            FetchError::TooMuch(bytes) => {
                let message =
                    format!("{} bytes came in all, and no more are taken: somebody lies", thousands(bytes));
                Undelivered::Failure(Failure::new(Exit::Refused, message).hint(
                    "--signer HEX asks only who you trust, the SHA-256 of 64 digits finds no other content; --max SIZE takes more",
                ))
            }
            FetchError::Taker(error) if place == Path::new("-") => Undelivered::Failure(error.into()),
            FetchError::Taker(error) => Undelivered::Failure(lay::unlaid(place, &error)),
        }
    }
}

#[derive(Serialize)]
struct Receipt<'a> {
    key: Key,
    name: Option<&'a str>,
    what: What,
    #[serde(flatten)]
    content: Content,
    out: Option<String>,
    files: usize,
    /// Files that were there already, with the right bytes.
    kept: usize,
    /// Of all files.
    files_bytes: u64,
    fetched_bytes: u64,
    publishers: Vec<Source>,
    /// Pointers under the key that cannot be meant.
    rejected: usize,
}

/// What one address of a publisher did.
#[derive(Serialize)]
struct Source {
    url: Address,
    signer: Authenticator,
    expires_ms: u64,
    given_bytes: u64,
    missed: Option<String>,
}

impl From<SourceReport> for Source {
    fn from(report: SourceReport) -> Source {
        Source {
            url: report.address,
            signer: report.signer,
            expires_ms: 1000 * report.expires_unix_seconds,
            given_bytes: report.given,
            missed: report.missed.as_deref().map(harmless),
        }
    }
}

/// `keyway fetch`.
pub(crate) async fn run(args: FetchArgs, session: &Session) -> Result<Exit, Failure> {
    let output = session.output;
    let dash = PathBuf::from("-");
    let out = match (&args.out, output.format) {
        (None, Format::Raw) => Some(&dash),
        (out, _) => out.as_ref(),
    };
    let asked = Asked { output, out: out.map(PathBuf::as_path), force: args.force, bytes_max: args.max.0 };
    if asked.to_stdout() {
        if output.is_json() {
            let message = "--out - and a receipt both want standard output";
            return Err(Failure::new(Exit::Usage, message).hint("--out FILE, or without --output json"));
        }
        // Nothing is to be cleared away: a signal ends the process.
        return fetch(&args, &asked, session).await;
    }
    let mut signals = Signals::new()?;
    tokio::select! {
        ended = fetch(&args, &asked, session) => ended,
        () = signals.leave() => Err(Failure::new(Exit::Interrupted, "stopped; what had come was thrown away")),
    }
}

async fn fetch(args: &FetchArgs, asked: &Asked<'_>, session: &Session) -> Result<Exit, Failure> {
    let sought = sought(args)?;
    let found = find(&session.client()?, &sought, args.signer).await?;
    note_rejected(&found, &asked.output);
    let contents = found.contents();
    let titled = title(&sought);
    if contents.is_empty() {
        return Err(nobody(&sought, args.signer.is_some(), found.more));
    }
    if let (Sought::Name(_), [_, _, ..]) = (&sought, contents.as_slice()) {
        return Err(several(&titled, &contents));
    }
    let (mut reports, mut failure) = (Vec::new(), None);
    let (mut gone, mut wrong) = (false, false);
    let mut left = bytes_of_all(args.max.0);
    for (what, content, publishers) in contents.iter().take(CONTENTS_MAX) {
        let stall_timeout = Duration::from(args.timeout);
        let defaults = FetchSettings::default();
        let answer_timeout = defaults.answer_timeout.min(stall_timeout);
        let (bytes_max, sources_max) = (left, addresses_of_each(contents.len()));
        let settings = FetchSettings { stall_timeout, answer_timeout, bytes_max, sources_max, ..defaults };
        let mut fetch = Fetch::new(publishers, settings);
        let delivered = match what {
            What::File => file(asked, &mut fetch, content, publishers).await,
            What::Tree if asked.to_stdout() => {
                let message = "it is a folder, which does not fit standard output";
                Err(Failure::new(Exit::Usage, message).hint("--out DIR").into())
            }
            What::Tree => tree::fetch(asked, &mut fetch, content, place(asked, content, publishers)).await,
        };
        reports.extend(fetch.sources());
        left = left.saturating_sub(fetch.taken());
        match delivered {
            Ok(delivered) => {
                let sources = reports.into_iter().map(Source::from).collect();
                return tell(asked, &sought, (*what, *content), &delivered, sources, &found);
            }
            Err(Undelivered::Gone) => gone = true,
            Err(Undelivered::Wrong) => wrong = true,
            Err(Undelivered::Failure(why)) => failure = Some(why),
        }
        if left == 0 || asked.to_stdout() && reports.iter().any(|report| report.given > 0) {
            // What was written cannot be taken back: nothing is written after it.
            break;
        }
    }
    match failure {
        // What a liar calls a folder and is none is no reason if somebody calls it a file.
        Some(why) if why.exit != Exit::Invalid || !(gone || wrong) => Err(why),
        _ => Err(undelivered(&titled, &reports, wrong, asked.to_stdout())),
    }
}

/// Bytes that are taken in all, whoever lies: everything twice, and as much for lists of files.
fn bytes_of_all(max: u64) -> u64 {
    max.saturating_add(MANIFEST_BYTES_MAX).saturating_mul(2)
}

/// Addresses that are asked for each of so many contents: whoever puts many pointers for contents that nobody has takes no address
/// from the others.
fn addresses_of_each(contents: usize) -> usize {
    SOURCES_MAX.min(ADDRESSES_MAX / contents.clamp(1, CONTENTS_MAX))
}

fn sought(args: &FetchArgs) -> Result<Sought, Failure> {
    match (&args.key, &args.name) {
        (_, Some(name)) => Ok(Sought::Name(name.clone())),
        (Some(digits), None) if digits.len() == SHA256_DIGITS => {
            Ok(Sought::Sha256(digits.to_ascii_lowercase().parse::<Hex<32>>()?))
        }
        (Some(digits), None) => Key::hex(digits).map(Sought::Key).map_err(|error| {
            Failure::from(error).hint("a text under which something is published is fetched with --name TEXT")
        }),
        (None, None) => Err(Failure::new(Exit::Usage, "what is to be fetched? a KEY, or --name TEXT")),
    }
}

/// What is sought, as people know it.
fn title(sought: &Sought) -> String {
    match sought {
        Sought::Name(name) => format!("the name {}", harmless(name)),
        Sought::Key(key) => key.to_string(),
        Sought::Sha256(hash) => hash.to_string(),
    }
}

/// Where it goes when nobody says: its publisher's name for it, if that is a plain name, else its key.
fn place(asked: &Asked<'_>, content: &Content, publishers: &[Publisher]) -> PathBuf {
    match asked.out {
        Some(out) => out.to_owned(),
        None => {
            let name = publishers.iter().find_map(|publisher| publisher.pointer.name.clone());
            PathBuf::from(name.unwrap_or_else(|| content.key().to_string()))
        }
    }
}

/// Fetches one file.
async fn file(
    asked: &Asked<'_>,
    fetch: &mut Fetch,
    content: &Content,
    publishers: &[Publisher],
) -> Result<Delivered, Undelivered> {
    let bytes = content.bytes;
    if bytes > asked.bytes_max {
        return Err(asked.too_large(bytes).into());
    }
    let mut progress = Progress::bytes_of(asked.output, "fetching", bytes);
    let place = place(asked, content, publishers);
    let mut come = 0;
    if asked.to_stdout() {
        let mut stdout = io::stdout().lock();
        let fetched = fetch.fetch(content, false, |step| {
            if let Step::Bytes(bytes) = step {
                stdout.write_all(bytes)?;
                come += bytes.len() as u64;
                progress.show(come);
            } else {
                narrate(&progress, asked, step);
            }
            Ok(())
        });
        let fetched = fetched.await;
        progress.end();
        fetched.map_err(|error| Undelivered::of(error, &place))?;
        stdout.flush().map_err(Failure::from)?;
        return Ok(Delivered { out: None, files: 1, kept: 0, bytes, fetched: bytes });
    }
    match lay::look(&place, content).await? {
        There::Same => {
            return Ok(Delivered { out: Some(place), files: 1, kept: 1, bytes, fetched: 0 });
        }
        There::Other if !asked.force => return Err(lay::in_the_way(&place).into()),
        There::Nothing | There::Other => {}
        There::Fixed => {
            let message = format!("{} is there already, and no file", lay::shown(&place));
            return Err(Failure::new(Exit::Refused, message).hint("--out FILE names another place").into());
        }
    }
    let mut draft = Draft::beside(&place)?;
    let fetched = fetch.fetch(content, true, |step| {
        match step {
            Step::Bytes(bytes) => {
                draft.write(bytes)?;
                come += bytes.len() as u64;
                progress.show(come);
            }
            Step::Restart => {
                come = 0;
                draft.restart()?;
            }
            other => narrate(&progress, asked, other),
        }
        Ok(())
    });
    let fetched = fetched.await;
    progress.end();
    fetched.map_err(|error| Undelivered::of(error, &place))?;
    draft.lay(asked.force)?;
    Ok(Delivered { out: Some(place), files: 1, kept: 0, bytes, fetched: bytes })
}

/// Tells on stderr what is worth knowing while it lasts: who failed, and who goes on in its place.
fn narrate(progress: &Progress, asked: &Asked<'_>, step: Step<'_>) {
    if asked.output.is_json() {
        return;
    }
    match step {
        Step::Missed(address, why) => progress.note(format!("{address}: {}", harmless(why))),
        Step::From(address, at) if at > 0 => {
            progress.note(format!("{address} goes on after {} bytes", thousands(at)));
        }
        _ => {}
    }
}

fn note_rejected(found: &Found, output: &Output) {
    let count = found.rejected.len() as u64;
    if let Some(first) = found.rejected.first() {
        let pointers = plural(count, "pointer", "pointers");
        output.note(format!("passed over {} {pointers}: {}", thousands(count), harmless(first)));
    }
    if found.more {
        output.note(
            "there are more values under the key than were looked through; --signer looks at one signer's",
        );
    }
}

fn tell(
    asked: &Asked<'_>,
    sought: &Sought,
    (what, content): (What, Content),
    delivered: &Delivered,
    publishers: Vec<Source>,
    found: &Found,
) -> Result<Exit, Failure> {
    let Delivered { out, files, kept, bytes, fetched } = delivered;
    let output = &asked.output;
    if output.is_json() {
        let name = match sought {
            Sought::Name(name) => Some(name.as_str()),
            _ => None,
        };
        output.json(&Receipt {
            key: sought.key(),
            name,
            what,
            content,
            out: out.as_ref().map(|out| out.display().to_string()),
            files: *files,
            kept: *kept,
            files_bytes: *bytes,
            fetched_bytes: *fetched,
            publishers,
            rejected: found.rejected.len(),
        })?;
        return Ok(Exit::Ok);
    }
    let givers: Vec<_> = publishers.iter().filter(|source| source.given_bytes > 0).collect();
    let from = match givers.as_slice() {
        [] => String::new(),
        [one] => format!(" from {}, signed by {}", one.url, one.signer),
        many => format!(" from {} publishers", many.len()),
    };
    let Some(out) = out else {
        output.note(format!("{} bytes{from}; SHA-256 verified", thousands(*bytes)));
        return Ok(Exit::Ok);
    };
    let all = match what {
        What::File => String::new(),
        What::Tree => {
            let count = *files as u64;
            format!("{} {}, ", thousands(count), plural(count, "file", "files"))
        }
    };
    if kept == files {
        let there = output.style(Style::Green, "there already:");
        return output.line(format!("{there} {}; SHA-256 verified", lay::shown(out))).map(|()| Exit::Ok);
    }
    let partly =
        if *kept > 0 { format!("; {} were there already", thousands(*kept as u64)) } else { String::new() };
    output.line(format!(
        "{} {all}{} {} {}{from}; SHA-256 verified{partly}",
        output.style(Style::Green, "fetched"),
        thousands(*bytes),
        plural(*bytes, "byte", "bytes"),
        output.style(Style::Bold, &format!("to {}", lay::shown(out))),
    ))?;
    Ok(Exit::Ok)
}

/// Nobody is named.
fn nobody(sought: &Sought, by_signer: bool, more: bool) -> Failure {
    let key = match sought {
        Sought::Key(_) => String::new(),
        _ => format!(" {}", sought.key()),
    };
    let whose = if by_signer { " by this signer" } else { "" };
    let failure = Failure::new(
        Exit::NotFound,
        format!("nobody publishes {}{whose}: there is no pointer to it under its key{key}", title(sought)),
    );
    if more && !by_signer {
        return failure
            .hint("other values stand in front of any pointer: --signer HEX looks at one signer's alone");
    }
    failure.hint(
        "pointers live only while somebody publishes; a value that is stored in the network itself is read with `keyway get`",
    )
}

/// A name that means several things.
fn several(titled: &str, contents: &[(What, Content, Vec<Publisher>)]) -> Failure {
    let each: Vec<String> = contents
        .iter()
        .take(NAMED_MAX)
        .map(|(_, content, publishers)| {
            let signer = publishers.first().map(|publisher| publisher.signer.to_string());
            format!("{} signed by {}", content.key(), signer.unwrap_or_default())
        })
        .collect();
    let message = format!("{titled} stands for {} different contents: {}", contents.len(), each.join("; "));
    Failure::new(Exit::Conflict, message)
        .hint("--signer HEX takes one signer's word; or fetch one by its key")
}

/// What became of one publisher. Who gave bytes to the end of a fetch that failed was asked, and may be the one that lied.
fn what_it_did(report: &SourceReport) -> String {
    match (report.missed.as_deref(), report.given) {
        (Some(why), _) => harmless(why),
        (None, 0) => "was not asked".to_owned(),
        (None, given) => {
            let word = plural(given, "byte", "bytes");
            format!("gave {} {word}, to the end; the false ones may be among them", thousands(given))
        }
    }
}

/// Publishers are named, and none gave it.
fn undelivered(titled: &str, reports: &[SourceReport], wrong: bool, written: bool) -> Failure {
    let count = reports.len() as u64;
    let each: Vec<String> = reports
        .iter()
        .take(NAMED_MAX)
        .map(|report| {
            let why = what_it_did(report);
            let until = utc(1000 * report.expires_unix_seconds);
            format!("{}: {why} (signer {}, named until {until})", report.address, report.signer)
        })
        .collect();
    let and_more = match reports.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let who = plural(count, "publisher is", "publishers are");
    let message =
        format!("{count} {who} named for {titled}, and none gave it: {}{and_more}", each.join("; "));
    if wrong {
        let hint = if written {
            "what was written to standard output is not what was published: throw it away"
        } else {
            "nothing of it was kept; `keyway fetch --signer HEX` asks only who you trust"
        };
        return Failure::new(Exit::Invalid, message).hint(hint);
    }
    if written && reports.iter().any(|report| report.given > 0) {
        return Failure::new(Exit::Partial, message)
            .hint("what was written to standard output is not all of it: throw it away");
    }
    let last = reports.iter().map(|report| report.expires_unix_seconds).max().unwrap_or(0);
    Failure::new(Exit::Partial, message).hint(format!(
        "the bytes are with their publishers and nowhere else: try again when one is back; the last pointer ends {}",
        utc(1000 * last)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_fetch_does_in_all_is_bounded() {
        for contents in 0..100 {
            let each = addresses_of_each(contents);
            assert!((8..=SOURCES_MAX).contains(&each), "{contents}: {each}");
            assert!(each * contents.min(CONTENTS_MAX) <= ADDRESSES_MAX, "{contents}: {each}");
        }
        assert_eq!(bytes_of_all(1 << 30), 2 * ((1 << 30) + MANIFEST_BYTES_MAX));
        assert_eq!(bytes_of_all(u64::MAX), u64::MAX);
    }
}
