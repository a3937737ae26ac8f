//! `keyway import`: store all records of a file, resumably, and read them back.
//!
//! ```text
//!   records.rs ──▶ pipeline.rs ──▶ load.rs   ──▶ journal.rs (FILE.keyway-progress)
//!                     pace.rs  ──▶ verify.rs ──▶ "50000 of 50000 equal"
//! ```

mod journal;
mod load;
mod pace;
mod pipeline;
pub(crate) mod records;
mod verify;

use std::path::{Path, PathBuf};

use clap::Args;
use keyway_client::Client;
use serde::Serialize;

use self::journal::{How, Journal, Kept};
use self::load::Load;
use self::pace::{Pace, Rate};
use self::records::{Mark, Records, Shape, length, remarks};
use self::verify::{Tally, Verify};
use crate::duration::Span;
use crate::exit::{Exit, Failure};
use crate::output::{Output, Style, plural, thousands};
use crate::progress::Progress;
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  keyway import names.tsv                         key TAB value, the rest of the line but its line feed
  keyway import records.ndjson --ttl 1w           {\"key\": .., \"value\": .. or \"value_base64\": .., \"ttl_seconds\": ..}
  keyway import names.tsv --rate 800/s            evenly, at most so fast
  keyway import names.tsv --verify                and read everything back
  keyway import names.tsv --verify-only           only read back

An import that was cut goes on where it stopped: what is acknowledged is kept in FILE.keyway-progress. Lines behind that \
place may be corrected or added meanwhile; when what was read has changed, or --format, --hex, --ttl or the network, it begins again. \
An import that was complete puts everything again, which renews the lives; with --verify it only reads back. Records of one key that \
are under way together may be stored in either order; --concurrency 1 keeps the order of the file.

The exit code is 5 when something was not stored or not read, 8 when a line is malformed or a value is not there as it \
was stored.
";

/// Store all records of a file, and read them back.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct ImportArgs {
    /// The file
    file: PathBuf,
    /// How its lines are read [default: by its extension: .tsv .tab, .ndjson .jsonl]
    #[arg(long, value_enum)]
    format: Option<Shape>,
    /// Keys are 40 hex digits, not texts
    #[arg(long)]
    hex: bool,
    /// How long records live that do not say it: 90s, 10m, 2h, 1d, 1w [default: the gateway's, 1d]
    #[arg(long, value_name = "DURATION", env = "KEYWAY_TTL")]
    ttl: Option<Span>,
    /// Records under way at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    concurrency: u16,
    /// At most so many records per second, evenly
    #[arg(long, value_name = "N/s")]
    rate: Option<Rate>,
    /// Then read everything back and compare; begins with it when an earlier run stored everything
    #[arg(long)]
    verify: bool,
    /// Store nothing, only read back and compare
    #[arg(long, conflicts_with = "restart")]
    verify_only: bool,
    /// Begin again, whatever an earlier run stored
    #[arg(long)]
    restart: bool,
    /// Where progress is kept [default: FILE.keyway-progress]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

/// What a load did.
#[derive(Serialize)]
struct Loaded {
    /// Records stored or refused by this run.
    records: u64,
    /// Records of earlier runs that this one passed over.
    resumed_records: u64,
    acknowledged: u64,
    refused: u64,
    repeats: u64,
    seconds: f64,
    records_per_second: f64,
    slowest_ms: u64,
}

/// The result for programs.
#[derive(Serialize)]
struct Report {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    loaded: Option<Loaded>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<Tally>,
}

/// `keyway import`.
pub(crate) async fn run(args: ImportArgs, session: &Session) -> Result<Exit, Failure> {
    let shape = args.format.map_or_else(|| Shape::of(&args.file), Ok)?;
    let how = How { format: shape, hex: args.hex, ttl_seconds: args.ttl.map(Span::as_secs) };
    let bytes = length(&args.file)?;
    let clients = rotations(session)?;
    let output = session.output;
    remarks(&args.file, shape)?.into_iter().for_each(|remark| output.note(remark));
    let mut report = Report { file: args.file.display().to_string(), loaded: None, verified: None };
    let mut exit = Exit::Ok;

    if !args.verify_only {
        let state = args.state.clone().unwrap_or_else(|| beside(&args.file));
        let mut journal = recall(&args, &state, &clients[0], &how, &output).await?;
        if !journal.is_complete() {
            let progress = Progress::records_of(output, "storing", journal.prefix().bytes, bytes);
            let loaded = load(&args, how, clients.clone(), &mut journal, &state, progress).await?;
            if !output.is_json() {
                output.line(summary(&loaded, &output))?;
            }
            report.loaded = Some(loaded);
        }
        if !journal.refused().is_empty() {
            exit = Exit::Partial;
        }
    }
    if args.verify || args.verify_only {
        let progress = Progress::records_of(output, "reading back", 0, bytes);
        let mut records = Records::open(&args.file, shape, args.hex, Mark::default())?;
        let mut verify = Verify::new(clients, progress);
        let ended =
            pipeline::run(&mut records, args.concurrency.into(), Pace::new(args.rate), &mut verify).await;
        verify.finish();
        ended?;
        let tally = verify.tally;
        if !output.is_json() {
            output.line(format!("{} of {} equal", tally.equal, tally.records))?;
            if tally.equal < tally.records {
                let Tally { missing, different, unread, .. } = tally;
                output.note(format!("{missing} missing, {different} different, {unread} not read"));
                if missing + different > 0 {
                    let instead = if args.verify_only { " in place of --verify-only" } else { "" };
                    output.note(format!("the same command with --restart{instead} puts all records again"));
                }
            }
        }
        exit = match tally {
            Tally { missing: 0, different: 0, unread: 0, .. } => exit,
            Tally { missing: 0, different: 0, .. } => Exit::Partial,
            _ => Exit::Invalid,
        };
        report.verified = Some(tally);
    }
    if output.is_json() {
        output.json(&report)?;
    }
    Ok(exit)
}

/// One client per gateway, each beginning with another one, so that the load is spread and every one can fail over.
fn rotations(session: &Session) -> Result<Vec<Client>, Failure> {
    let mut gateways = session.gateways.clone();
    let mut clients = Vec::with_capacity(gateways.len());
    for _ in 0..gateways.len() {
        clients.push(session.client_of(&gateways)?);
        gateways.rotate_left(1);
    }
    Ok(clients)
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".keyway-progress");
    PathBuf::from(name)
}

/// What earlier runs stored in this network, as far as it counts for this one.
async fn recall(
    args: &ImportArgs,
    state: &Path,
    client: &Client,
    how: &How,
    output: &Output,
) -> Result<Journal, Failure> {
    let network = client.node().await?.network.unwrap_or_default();
    let fresh = || Journal::new(network.clone(), *how);
    if args.restart {
        return Ok(fresh());
    }
    let name = state.display();
    let journal = match Journal::find(state, &network, how, &args.file, args.verify)? {
        Kept::Nothing => return Ok(fresh()),
        Kept::Stale(why) => {
            output.note(format!("the progress kept in {name} does not count: {why}; beginning again"));
            return Ok(fresh());
        }
        Kept::Good(journal) => journal,
    };
    let stored = thousands(journal.stored());
    let refused = match journal.refused().len() as u64 {
        0 => String::new(),
        count => format!(" and {} that {} refused", thousands(count), plural(count, "was", "were")),
    };
    if !journal.is_complete() {
        output.note(format!("going on after {stored} records that an earlier run stored{refused} ({name})"));
        return Ok(journal);
    }
    let all = if refused.is_empty() { "all " } else { "" };
    let before = format!("an earlier run stored {all}{stored} records{refused} ({name})");
    if args.verify {
        output.note(format!("{before}; reading {} back", if refused.is_empty() { "them" } else { "all" }));
        return Ok(journal);
    }
    output.note(match refused.is_empty() {
        true => format!("{before}; storing them again renews the lives"),
        false => format!("{before}; putting all of them again"),
    });
    Ok(fresh())
}

async fn load(
    args: &ImportArgs,
    how: How,
    clients: Vec<Client>,
    journal: &mut Journal,
    state: &Path,
    progress: Progress,
) -> Result<Loaded, Failure> {
    // Before the first put, so that a place where nothing can be kept is not found out late.
    journal.save(state)?;
    let resumed_records = journal.prefix().records + journal.beyond_count();
    let refused_before = journal.refused().len() as u64;
    let mut records = Records::open(&args.file, how.format, how.hex, journal.prefix())?;
    let concurrency = usize::from(args.concurrency);
    let mut load = Load::new(clients, args.ttl, concurrency, journal, state, progress);
    let ended = pipeline::run(&mut records, concurrency, Pace::new(args.rate), &mut load).await;
    load.finish()?;
    let end = records.at();
    let (records, seconds) = (load.progress().records(), load.progress().elapsed().as_secs_f64());
    let (records_per_second, repeats) = (load.progress().rate(), load.repeats);
    let slowest_ms = u64::try_from(load.slowest.as_millis()).unwrap_or(u64::MAX);
    if let Err(failure) = ended {
        let message = format!("{}; {} records are stored", failure.message, thousands(journal.stored()));
        let advice = "the same command goes on where this one stopped";
        let hint = failure.hint.map_or_else(|| advice.to_owned(), |hint| format!("{hint}; {advice}"));
        return Err(Failure::new(failure.exit, message).hint(hint));
    }
    journal.complete(end);
    journal.save(state)?;
    let refused = journal.refused().len() as u64 - refused_before;
    let acknowledged = records - refused;
    Ok(Loaded {
        records,
        resumed_records,
        acknowledged,
        refused,
        repeats,
        seconds,
        records_per_second,
        slowest_ms,
    })
}

fn summary(loaded: &Loaded, output: &Output) -> String {
    let mut text = format!(
        "{} {} {} in {:.1} s ({}/s), the slowest in {} ms",
        output.style(Style::Green, "stored"),
        thousands(loaded.acknowledged),
        plural(loaded.acknowledged, "record", "records"),
        loaded.seconds,
        thousands(loaded.records_per_second as u64),
        thousands(loaded.slowest_ms),
    );
    if loaded.repeats > 0 {
        text += &format!("; {} were repeated", thousands(loaded.repeats));
    }
    if loaded.refused > 0 {
        text += &format!("; {} refused", thousands(loaded.refused));
    }
    text
}
