//! `keyway snapshot`: the records of a node, whole, in a file from which `keyway restore` puts them back (docs/snapshot.md).
//!
//! ```text
//!   a running node's gateway, over HTTP ──┐
//!   a stopped node's directory, locked ───┴─▶ draft.rs: FILE.PID.partial ─▶ fsync ─▶ rename to FILE
//! ```

pub(crate) mod contents;
pub(crate) mod draft;

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use keyway_core::Wall;
use keyway_core::store::Record;
use keyway_core::store::snapshot::{End, Found, Header, KEY_BYTES, Packer, Unpacker};
use keyway_net::disk::archive::Archive;
use serde::Serialize;
use tokio::task::{spawn_blocking, yield_now};

use self::draft::Draft;
use crate::duration::utc;
use crate::exit::{Exit, Failure};
use crate::output::{Output, Style, plural, thousands};
use crate::progress::Progress;
use crate::session::Session;
use crate::size::Size;

/// Records of a page that is read from a directory.
const PAGE_RECORDS: usize = 1024;
/// Contents of such a page.
const PAGE_BYTES: usize = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  keyway snapshot monday.snapshot                            the records of the node behind the gateway
  keyway snapshot monday.snapshot --gateway http://HOST:5851 of another one
  keyway snapshot old.snapshot --data-dir keyway-data/node-0 of a node that does not run, by its directory
  keyway restore --check monday.snapshot                     what is in it
  keyway restore monday.snapshot                             put it back

A snapshot of a running node holds every record, removals included, that its disk had acknowledged when it began and whose \
life is not over when it is read; what comes meanwhile may be in it. One node holds its share of the network's records: of \
R copies with W acknowledgements, snapshots of all nodes but W - 1 hold everything. FILE is replaced in one step when all \
of it is on disk, and readable by its owner alone: it holds what strangers have stored.

The exit code is 5 when the node could not read some of its records: the file holds the others.
";

/// Keep the records of a node in a file.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct SnapshotArgs {
    /// The file
    file: PathBuf,
    /// Read a stopped node's directory instead of asking a running node
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// What was kept.
#[derive(Serialize)]
struct Taken {
    file: String,
    node: String,
    network: String,
    began_ms: u64,
    /// Removals included.
    records: u64,
    removals: u64,
    /// Records that the node holds and could not read.
    unread: u64,
    bytes: u64,
    seconds: f64,
}

/// `keyway snapshot`.
pub(crate) async fn run(args: SnapshotArgs, session: &Session) -> Result<Exit, Failure> {
    let output = session.output;
    let began = Instant::now();
    let draft = Draft::create(&args.file)?;
    let taking = async {
        match &args.data_dir {
            Some(directory) => of_directory(directory, draft, output).await,
            None => of_gateway(session, draft).await,
        }
    };
    let (header, end, removals, bytes) = draft::unless_interrupted(taking).await?;
    let taken = Taken {
        file: args.file.display().to_string(),
        node: header.node.to_string(),
        network: format!("{:016x}", header.network.0),
        began_ms: header.began.0 / 1000,
        records: end.records,
        removals,
        unread: end.unread,
        bytes,
        seconds: began.elapsed().as_secs_f64(),
    };
    if output.is_json() {
        output.json(&taken)?;
    } else {
        output.line(taken.summary(&output))?;
    }
    if taken.unread == 0 {
        return Ok(Exit::Ok);
    }
    let count = taken.unread;
    let what = plural(count, "record was", "records were");
    Err(Failure::new(Exit::Partial, format!("{} {what} not readable and are not in it", thousands(count)))
        .hint("other nodes have their copies: take a snapshot of those, too"))
}

impl Taken {
    fn summary(&self, output: &Output) -> String {
        format!(
            "{} {} {} ({} {}) of node {}, {}, in {:.1} s",
            output.style(Style::Green, "kept"),
            thousands(self.records),
            plural(self.records, "record", "records"),
            thousands(self.removals),
            plural(self.removals, "removal", "removals"),
            &self.node[..8],
            format_args!("{:#}", Size(self.bytes)),
            self.seconds,
        )
    }
}

/// Header, end, removals, bytes.
type Kept = (Header, End, u64, u64);

/// A running node's: checked as it comes, so that nothing is kept that could not be read later.
async fn of_gateway(session: &Session, mut draft: Draft) -> Result<Kept, Failure> {
    let client = session.client()?;
    let expected = client.node().await?.records;
    let mut progress = Progress::records_of(session.output, "reading", 0, expected);
    let mut stream = client.snapshot().await?;
    let mut unpacker = Unpacker::new();
    let (mut end, mut removals) = (None, 0);
    loop {
        let more = stream.next().await?;
        match &more {
            Some(bytes) => {
                draft.write(bytes)?;
                unpacker.feed(bytes);
            }
            None => unpacker.close(),
        }
        while let Some(found) = unpacker.step().map_err(|why| cut(&why.to_string()))? {
            match found {
                Found::Record(record) => {
                    removals += u64::from(record.head.kind.is_remove());
                    progress.count();
                }
                Found::Damaged { offset, .. } => {
                    return Err(cut(&format!("what came at byte {offset} is no record")));
                }
                Found::End(its) => end = Some(its),
            }
        }
        progress.show(progress.records());
        if more.is_none() {
            break;
        }
    }
    progress.end();
    let header = unpacker.header().cloned();
    let (Some(header), Some(end)) = (header, end) else {
        return Err(cut("it has no end"));
    };
    let bytes = draft.keep().await?;
    Ok((header, end, removals, bytes))
}

fn cut(why: &str) -> Failure {
    Failure::new(Exit::Failure, format!("the snapshot did not come whole: {why}; nothing was kept"))
        .hint("`keyway health` tells whether the gateway's node serves; then take it again")
}

/// A stopped node's. Ctrl-C is heard between two pages, and while the directory is opened, which after a crash verifies all of it.
async fn of_directory(directory: &Path, mut draft: Draft, output: Output) -> Result<Kept, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Failure, error.to_string());
    let path = directory.to_owned();
    let archive = spawn_blocking(move || Archive::open(&path)).await;
    let archive = archive.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    let network = archive.network().ok_or_else(|| {
        let name = directory.display();
        Failure::new(Exit::Refused, format!("the node of {name} has not found a network"))
            .hint("start it once with --join, or name another directory")
    })?;
    let header = Header { network, node: archive.node(), began: now(), key: random()? };
    let rows = archive.rows().map_err(|error| failed(&error))?;
    let mut progress = Progress::records_of(output, "reading", 0, rows);
    let mut out = Vec::new();
    let mut packer = Packer::begin(&header, &mut out);
    let (mut after, mut unread, mut removals, mut seen) = (None, 0, 0, 0);
    loop {
        let page = archive.page(after.as_ref(), PAGE_RECORDS, PAGE_BYTES).map_err(|error| failed(&error))?;
        unread += page.damaged;
        seen += page.records.len() as u64;
        let now = now();
        let alive = |record: &&Record| record.head.expires() > now;
        for record in page.records.iter().filter(alive) {
            removals += u64::from(record.head.kind.is_remove());
            packer.record(record, &mut out);
            progress.count();
        }
        draft.write(&out)?;
        out.clear();
        progress.show(seen);
        after = page.next;
        if after.is_none() {
            break;
        }
        yield_now().await;
    }
    let end = End { records: packer.records(), unread, ended: now() };
    packer.end(end.unread, end.ended, &mut out);
    draft.write(&out)?;
    progress.end();
    archive.close();
    let bytes = draft.keep().await?;
    Ok((header, end, removals, bytes))
}

fn random() -> Result<[u8; KEY_BYTES], Failure> {
    let mut key = [0; KEY_BYTES];
    match rustix::rand::getrandom(&mut key[..], rustix::rand::GetRandomFlags::empty()) {
        Ok(KEY_BYTES) => Ok(key),
        _ => Err(Failure::new(Exit::Failure, "the system gives no random bytes")),
    }
}

/// The clock of this machine.
pub(crate) fn now() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// Whose a snapshot is and when it was begun, for people.
pub(crate) fn origin(header: &Header) -> String {
    let began = utc(header.began.0 / 1000);
    format!("node {:.8} of network {:016x}, begun {began}", header.node.to_string(), header.network.0)
}
