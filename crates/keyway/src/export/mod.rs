//! `keyway export`: values as lines that `keyway import` reads: of keys, of all that a node holds, or of a snapshot's file.
//!
//! ```text
//!   keys, --keys FILE ──┐
//!   --held ─────────────┼─▶ values of each key, by a quorum ──┬─▶ lines.rs ─▶ stdout, or draft ─▶ --to FILE
//!   --snapshot FILE ────┴─▶ its own values, offline ──────────┘
//! ```

mod lines;

use std::collections::VecDeque;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use keyway_client::{Client, ClientError, GetOptions, Key, Page};
use serde::Serialize;
use tokio::task::JoinHandle;

use self::lines::Line;
use crate::exit::{Exit, Failure};
use crate::import::records::Shape;
use crate::output::{Output, harmless, plural, thousands};
use crate::progress::Progress;
use crate::session::{Session, place};
use crate::snapshot::contents::Contents;
use crate::snapshot::draft::{Draft, unless_interrupted};
use crate::snapshot::now;

/// Records of a page of what a node holds.
const HELD_PAGE: u32 = 1000;
/// Between two looks at the progress.
const SHOW_EVERY: Duration = Duration::from_millis(500);
/// Keys without a value that are named on the terminal.
const NAMED_MAX: u64 = 20;

const EXAMPLES: &str = "\
Examples:
  keyway export colors shapes                         their values, as NDJSON
  keyway export --keys names.txt --to names.tsv       of the keys in a file, one on each line
  keyway export --held --to all.ndjson                of every key of which the gateway's node holds a value
  keyway export --snapshot monday.snapshot --to monday.ndjson     of a snapshot's file; nobody is asked
  keyway import names.tsv                             and back again

What --held and --snapshot write has ids for keys, as does everything with --hex: `keyway import --hex` reads it.

Importing stores every value anew: as a plain value that nobody can remove, put now, charged to whoever imports, with the \
life that is left of it (NDJSON) or that the import gives (TSV). What was removed comes back if it is exported before and \
imported after. `keyway snapshot` and `keyway restore` keep put times, lives, owners, signatures and removals.

The exit code is 3 when no value was found, 5 when some keys have none or a snapshot is damaged, 8 when a value does not fit the format.
";

/// Write values into a file that `import` reads.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct ExportArgs {
    /// The keys: texts, or 40 hex digits with --hex
    #[arg(value_name = "KEY", required_unless_present_any = ["keys", "held", "snapshot"])]
    names: Vec<String>,
    /// A file with keys, one on each line
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Keys are 40 hex digits, not texts
    #[arg(long)]
    hex: bool,
    /// Every key of which the gateway's node holds a value
    #[arg(long, conflicts_with_all = ["names", "keys", "hex"])]
    held: bool,
    /// The values of a snapshot's file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["names", "keys", "hex", "held"])]
    snapshot: Option<PathBuf>,
    /// How lines are written [default: by the extension of --to, else ndjson]
    #[arg(long, value_enum)]
    format: Option<Shape>,
    /// Into this file, which appears when it is whole [default: to standard output]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Keys asked for at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
}

/// The result for programs.
#[derive(Serialize)]
struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    keys: u64,
    /// Keys without a value.
    empty: u64,
    values: u64,
    bytes: u64,
}

/// Where lines go.
enum Sink {
    Stdout,
    File(Draft),
}

/// An export under way.
struct Export {
    shape: Shape,
    sink: Sink,
    output: Output,
    report: Report,
}

/// `keyway export`.
pub(crate) async fn run(args: ExportArgs, session: &Session) -> Result<Exit, Failure> {
    let output = session.output;
    let shape = match (args.format, &args.to) {
        (Some(shape), _) => shape,
        (None, Some(file)) => Shape::of(file)?,
        (None, None) => Shape::Ndjson,
    };
    if output.is_json() && args.to.is_none() {
        return Err(Failure::new(Exit::Usage, "the values and the report cannot both go to standard output")
            .hint("with -o json name a file: --to FILE"));
    }
    let sink = match &args.to {
        Some(file) => Sink::File(Draft::create(file)?),
        None => Sink::Stdout,
    };
    let file = args.to.as_ref().map(|file| file.display().to_string());
    let report = Report { file, keys: 0, empty: 0, values: 0, bytes: 0 };
    let mut export = Export { shape, sink, output, report };
    let complaint = match &args.snapshot {
        Some(file) => unless_interrupted(export.snapshot(file)).await?,
        None => unless_interrupted(export.keys(&args, session)).await.map(|()| None)?,
    };
    export.end(complaint)
}

impl Export {
    fn write(&mut self, line: &Line<'_>) -> Result<(), Failure> {
        let bytes = line.encode(self.shape).map_err(|why| {
            let name = harmless(line.key);
            Failure::new(Exit::Invalid, format!("a value of {name} cannot be a line of TSV: {why}"))
                .hint("--format ndjson takes every value")
        })?;
        self.report.values += 1;
        self.report.bytes += line.value.len() as u64;
        match &mut self.sink {
            Sink::File(draft) => draft.write(&bytes),
            Sink::Stdout => Ok(std::io::stdout().lock().write_all(&bytes)?),
        }
    }

    /// The values of a snapshot that are alive; what is wrong with the file.
    async fn snapshot(&mut self, file: &Path) -> Result<Option<String>, Failure> {
        let mut contents = Contents::open(file, self.output)?;
        let mut progress = Progress::records_of(self.output, "exporting", 0, contents.bytes());
        let (mut shown, mut last) = (Instant::now(), None);
        while let Some(record) = contents.next().await? {
            progress.count();
            if shown.elapsed() >= SHOW_EVERY {
                progress.show(contents.offset());
                shown = Instant::now();
            }
            let left = record.head.expires().since(now()).as_secs();
            if record.head.kind.is_remove() || left == 0 {
                continue;
            }
            let key = record.head.identity.key;
            self.report.keys += u64::from(last.replace(key) != Some(key));
            self.write(&Line { key: &key.to_string(), value: record.content(), left_seconds: left })?;
        }
        progress.end();
        Ok(contents.complaint())
    }

    /// The values of keys, which are asked for ahead and written in order.
    async fn keys(&mut self, args: &ExportArgs, session: &Session) -> Result<(), Failure> {
        let client = session.client()?;
        let mut names = Names::of(args, client.clone())?;
        let mut progress = Progress::records_of(self.output, "exporting", 0, names.expected().await?);
        let mut shown = Instant::now();
        let mut ahead: VecDeque<(String, Key, JoinHandle<Result<Page, ClientError>>)> = VecDeque::new();
        loop {
            while ahead.len() < usize::from(args.concurrency)
                && let Some(name) = names.next().await?
            {
                let key = place(&name, args.hex || args.held)?;
                let client = client.clone();
                let first = tokio::spawn(async move { client.get(&key, &GetOptions::default()).await });
                ahead.push_back((name, key, first));
            }
            let Some((name, key, first)) = ahead.pop_front() else { break };
            let page =
                first.await.map_err(|e| Failure::new(Exit::Failure, format!("our own bug: {e}")))??;
            self.values(&client, &name, &key, page).await?;
            progress.count();
            if shown.elapsed() >= SHOW_EVERY {
                progress.show(progress.records());
                shown = Instant::now();
            }
        }
        progress.end();
        Ok(())
    }

    /// The values of one key, page by page.
    async fn values(&mut self, client: &Client, name: &str, key: &Key, first: Page) -> Result<(), Failure> {
        self.report.keys += 1;
        if first.values.is_empty() {
            self.report.empty += 1;
            if self.report.empty <= NAMED_MAX {
                self.output.note(format!("no value under {}", harmless(name)));
            }
        }
        let mut page = first;
        loop {
            for value in &page.values {
                // Not below a second: that is no life. Rounded down: nothing lives longer by an export.
                let left_seconds = value.remaining_seconds.max(1);
                self.write(&Line { key: name, value: &value.bytes, left_seconds })?;
            }
            match page.next.take().filter(|_| !page.values.is_empty()) {
                None => return Ok(()),
                next => page = client.get(key, &GetOptions { after: next, ..GetOptions::default() }).await?,
            }
        }
    }

    fn end(self, complaint: Option<String>) -> Result<Exit, Failure> {
        let Export { sink, output, report, .. } = self;
        if report.values == 0 && complaint.is_none() {
            return Err(Failure::new(Exit::NotFound, "there is no value to export"));
        }
        match sink {
            Sink::File(draft) => {
                draft.keep_here()?;
                let (values, keys) = (thousands(report.values), thousands(report.keys - report.empty));
                let (one, other) = (
                    plural(report.values, "value", "values"),
                    plural(report.keys - report.empty, "key", "keys"),
                );
                if output.is_json() {
                    output.json(&report)?;
                } else {
                    output.line(format!("exported {values} {one} of {keys} {other}"))?;
                }
            }
            Sink::Stdout => std::io::stdout().lock().flush()?,
        }
        if let Some(complaint) = complaint {
            return Err(Failure::new(Exit::Partial, complaint));
        }
        Ok(if report.empty > 0 { Exit::Partial } else { Exit::Ok })
    }
}

/// The keys, as texts or hex digits.
enum Names {
    Given(std::vec::IntoIter<String>),
    Held { client: Client, page: VecDeque<Key>, after: Option<String>, last: Option<Key>, at_end: bool },
}

impl Names {
    fn of(args: &ExportArgs, client: Client) -> Result<Names, Failure> {
        if args.held {
            return Ok(Names::Held { client, page: VecDeque::new(), after: None, last: None, at_end: false });
        }
        let mut names = args.names.clone();
        if let Some(file) = &args.keys {
            let text = fs::read_to_string(file).map_err(|error| {
                Failure::new(Exit::Usage, format!("cannot read the keys in {}: {error}", file.display()))
            })?;
            names.extend(text.lines().filter(|line| !line.is_empty()).map(str::to_owned));
        }
        Ok(Names::Given(names.into_iter()))
    }

    /// About how many there are.
    async fn expected(&self) -> Result<u64, Failure> {
        match self {
            Names::Given(names) => Ok(names.len() as u64),
            Names::Held { client, .. } => Ok(client.node().await?.records),
        }
    }

    async fn next(&mut self) -> Result<Option<String>, Failure> {
        let (client, page, after, last, at_end) = match self {
            Names::Given(names) => return Ok(names.next()),
            Names::Held { client, page, after, last, at_end } => (client, page, after, last, at_end),
        };
        while page.is_empty() && !*at_end {
            let held = client.held(after.as_deref(), HELD_PAGE).await?;
            // Where only a removal is held there is nothing to ask for.
            for record in held.records.iter().filter(|record| !record.copy.kind.contains("remove")) {
                if last.replace(record.key) != Some(record.key) {
                    page.push_back(record.key);
                }
            }
            *after = held.next;
            *at_end = after.is_none();
        }
        Ok(page.pop_front().map(|key| key.to_string()))
    }
}
