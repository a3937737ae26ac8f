//! `keyway restore`: the records of a snapshot put back into a live network, as they were.
//!
//! ```text
//!   contents.rs ─▶ ended? signed for another network? ─▶ batches ─▶ put_back.rs ─▶ a gateway, again and again ─▶ tally.rs
//! ```

mod put_back;
mod tally;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use keyway_client::Client;
use keyway_core::store::Record;
use serde::Serialize;
use tokio::task::JoinSet;

use self::put_back::{BATCH_RECORDS_MAX, Batch, Outcome, Target};
use self::tally::{Fates, Held};
use crate::exit::{Exit, Failure};
use crate::output::{Output, plural, thousands};
use crate::progress::Progress;
use crate::session::Session;
use crate::snapshot::contents::{Contents, Tally};
use crate::snapshot::draft::unless_interrupted;
use crate::snapshot::{now, origin};

/// Contents of a batch.
const BATCH_BYTES_MAX: usize = 256 << 10;
/// Between two looks at the progress.
const SHOW_EVERY: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "\
Examples:
  keyway restore monday.snapshot                    into the network behind the gateway
  keyway restore --check monday.snapshot            only read the file: what is in it, and is it whole
  keyway restore monday.snapshot --other-network    into a network that is not the one it was taken of

Every record keeps its put time, its life, its number, its signature and its client: nothing lives longer by this, and it \
is charged to whoever put it. Removals are put back as removals; a removal in the network lives at least as long as what it \
hides, so what was removed since stays removed. What has ended is passed over. Doing it twice, or from several nodes' \
snapshots one after the other, is harmless. `keyway import` is for values that shall have new lives and a new owner.

What is signed is signed for one network: with --other-network it is left out, and counted.

The exit code is 4 when the snapshot is of another network, 5 when some records were not put back, 8 when the file is \
damaged or cut: what can be read of it is put back all the same.
";

/// Put the records of a snapshot back, as they were.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct RestoreArgs {
    /// The snapshot
    file: PathBuf,
    /// Put plain and immutable values back although the network is another one
    #[arg(long, conflicts_with = "check")]
    other_network: bool,
    /// Ask nobody: read the file, say what is in it and whether it is whole
    #[arg(long)]
    check: bool,
    /// Records under way at once
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=4096))]
    concurrency: u16,
}

/// The result for programs.
#[derive(Serialize)]
struct Report {
    file: String,
    node: String,
    network: String,
    began_ms: u64,
    /// What the file holds.
    read: Tally,
    /// Records that the node could not read when the snapshot was taken.
    unread: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    holds: Option<Held>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restored: Option<Fates>,
    seconds: f64,
}

/// `keyway restore`.
pub(crate) async fn run(args: RestoreArgs, session: &Session) -> Result<Exit, Failure> {
    let output = session.output;
    let began = Instant::now();
    let mut contents = Contents::open(&args.file, output)?;
    let (holds, restored) = if args.check {
        (Some(unless_interrupted(look(&mut contents, output)).await?), None)
    } else {
        let work = put_all_back(&args, &mut contents, session);
        (None, Some(unless_interrupted(work).await?))
    };
    let header = contents.header();
    let report = Report {
        file: args.file.display().to_string(),
        node: header.node.to_string(),
        network: format!("{:016x}", header.network.0),
        began_ms: header.began.0 / 1000,
        read: contents.tally,
        unread: contents.unread(),
        holds,
        restored,
        seconds: began.elapsed().as_secs_f64(),
    };
    if output.is_json() {
        output.json(&report)?;
    } else {
        output.line(report.text(&contents))?;
    }
    end(&report, &contents, &output)
}

impl Report {
    fn text(&self, contents: &Contents) -> String {
        let whose = origin(contents.header());
        match (&self.holds, &self.restored) {
            (Some(holds), _) => format!("{whose}: {}", holds.text()),
            (None, Some(restored)) => format!("{whose}: {} in {:.1} s", restored.text(), self.seconds),
            (None, None) => whose,
        }
    }
}

/// The exit code, and what goes with it.
fn end(report: &Report, contents: &Contents, output: &Output) -> Result<Exit, Failure> {
    if report.unread > 0 {
        let (count, what) = (thousands(report.unread), plural(report.unread, "record", "records"));
        output.note(format!("the node could not read {count} {what} when the snapshot was taken"));
    }
    let behind = report.restored.as_ref().map_or(0, Fates::not_put_back);
    let lost = contents.complaint();
    if behind > 0 {
        let (count, what) = (thousands(behind), plural(behind, "record was", "records were"));
        let message = match &lost {
            Some(lost) => format!("{count} {what} not put back, and {lost}"),
            None => format!("{count} {what} not put back"),
        };
        let exit = if lost.is_some() { Exit::Invalid } else { Exit::Partial };
        return Err(
            Failure::new(exit, message).hint("the same command tries all of them again, which is harmless")
        );
    }
    match lost {
        Some(lost) => Err(Failure::new(Exit::Invalid, lost)
            .hint("other nodes had copies of what is lost: restore their snapshots, too")),
        None => Ok(Exit::Ok),
    }
}

/// Reads the file to its end.
async fn look(contents: &mut Contents, output: Output) -> Result<Held, Failure> {
    let mut progress = Progress::records_of(output, "checking", 0, contents.bytes());
    let (mut holds, now) = (Held::default(), now());
    let mut shown = Instant::now();
    while let Some(record) = contents.next().await? {
        holds.add(&record.head, now);
        progress.count();
        if shown.elapsed() >= SHOW_EVERY {
            progress.show(contents.offset());
            shown = Instant::now();
        }
    }
    progress.end();
    Ok(holds)
}

async fn put_all_back(
    args: &RestoreArgs,
    contents: &mut Contents,
    session: &Session,
) -> Result<Fates, Failure> {
    let client = session.client()?;
    let target = target(args, contents, &client).await?;
    let mut progress = Progress::records_of(session.output, "putting back", 0, contents.bytes());
    let size = usize::from(args.concurrency).min(BATCH_RECORDS_MAX);
    let batches_max = (usize::from(args.concurrency) / size).max(1);
    let (mut fates, mut batch, mut under_way) = (Fates::default(), Batch::default(), JoinSet::new());
    let mut shown = Instant::now();
    let mut take = |fates: &mut Fates, outcome: Outcome, at: u64| -> Result<(), Failure> {
        (0..outcome.count).for_each(|_| progress.count());
        if shown.elapsed() >= SHOW_EVERY {
            progress.show(at);
            shown = Instant::now();
        }
        fates.take(outcome, |text| progress.note(text))
    };
    let mut at_end = false;
    while !at_end {
        match contents.next().await? {
            Some(record) if passed_over(&record, &target, &mut fates) => continue,
            Some(record) => batch.add(&record),
            None => at_end = true,
        }
        if at_end || batch.count() >= size || batch.bytes() >= BATCH_BYTES_MAX {
            if under_way.len() >= batches_max
                && let Some(outcome) = under_way.join_next().await
            {
                take(&mut fates, ended(outcome)?, contents.offset())?;
            }
            let full = std::mem::take(&mut batch);
            if full.count() > 0 {
                under_way.spawn(full.put_back(client.clone(), target));
            }
        }
    }
    while let Some(outcome) = under_way.join_next().await {
        take(&mut fates, ended(outcome)?, contents.offset())?;
    }
    progress.end();
    Ok(fates)
}

fn ended(outcome: Result<Outcome, tokio::task::JoinError>) -> Result<Outcome, Failure> {
    outcome.map_err(|e| Failure::new(Exit::Failure, format!("our own bug: {e}")))
}

/// Whether there is no use in sending it.
fn passed_over(record: &Record, target: &Target, fates: &mut Fates) -> bool {
    if record.head.expires() <= now() {
        fates.expired += 1;
        return true;
    }
    if target.other_network && record.head.kind.is_signed() {
        fates.left_out += 1;
        return true;
    }
    false
}

/// The network behind the gateway, if the snapshot may go there.
async fn target(args: &RestoreArgs, contents: &Contents, client: &Client) -> Result<Target, Failure> {
    let (of_snapshot, here) = (contents.header().network.0, client.network_id().await?);
    if of_snapshot == here {
        return Ok(Target { network: of_snapshot, other_network: false });
    }
    if args.other_network {
        return Ok(Target { network: of_snapshot, other_network: true });
    }
    let message = format!("the snapshot is of network {of_snapshot:016x}, the gateway's is {here:016x}");
    Err(Failure::new(Exit::Refused, message).hint(
        "name a gateway of the right network with --gateway; with --other-network plain and immutable values go there all the same",
    ))
}
