//! `keyway sim fst`: a list of puts through the fair space-time allocation of a serving node, each decision in a line.
//!
//! ```text
//!   arrival_ms,client,bytes,ttl_ms ──▶ Fair of core (store/fair) ──▶ accept TIME_MS │ reject     in order of the list
//! ```
//!
//! For whoever has an implementation of the algorithm and wants to compare: there is no network, no disk and no retry here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use keyway_core::store::fair::{
    Accepted, CLIENTS_MAX, ClientId, Fair, FairConfig, Rate, Refused, TIME_MS_MAX,
};
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::output::{Output, plural, thousands};

const EXAMPLES: &str = "\
Examples:
  keyway sim fst --trace puts.csv --capacity 3600000 --T 3600000 --B 1000
  keyway sim fst --trace - --capacity 7200000 --T 3600000 --B 1000 --r-min 2 --alpha 0 --queue-bound 9000000000
  printf '0,a,1000,3600000\\n5,b,1000,3600000\\n' | keyway sim fst --trace - --capacity 3600000 --T 3600000 --B 1000
      accept 0
      accept 1000

A put in a line: arrival_ms,client,bytes,ttl_ms. A first line with these names is allowed, in any order; empty lines and lines
that begin with # are skipped. Puts of one ms arrive in the order of the list. A client is any word.

The answer has a line for each put, in order of the list: `accept TIME_MS`, or `reject`. A put larger than --B or longer than --T is
judged as it stands; one that would not even fit an empty disk is rejected.
";

/// Most of a list that is read.
const TRACE_BYTES_MAX: u64 = 1 << 30;
const COLUMNS: [&str; 4] = ["arrival_ms", "client", "bytes", "ttl_ms"];

/// Decide a list of puts by fair space-time
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(super) struct FstArgs {
    /// The list of puts; - is standard input
    #[arg(long, value_name = "FILE")]
    trace: PathBuf,
    /// C: bytes that the disk holds
    #[arg(long, value_name = "BYTES")]
    capacity: u64,
    /// T: the longest life
    #[arg(long = "T", value_name = "MS")]
    ttl_ms_max: u64,
    /// B: the largest put
    #[arg(long = "B", value_name = "BYTES")]
    put_bytes_max: u64,
    /// Bytes reserved each ms for puts to come, whole or a fraction such as 3/2 [default: C/T]
    #[arg(long, value_name = "BYTES_PER_MS", value_parser = rate)]
    r_min: Option<Rate>,
    /// Head start of clients that put rarely [default: B*T]
    #[arg(long, value_name = "BYTE_MS")]
    alpha: Option<u128>,
    /// Bytes times lives that a client may have waiting [default: B*T]
    #[arg(long, value_name = "BYTE_MS")]
    queue_bound: Option<u128>,
}

/// `keyway sim fst`.
pub(super) fn run(args: &FstArgs, output: &Output) -> Result<Exit, Failure> {
    let text = read(&args.trace)?;
    let puts = parse(&text).map_err(|why| {
        Failure::new(Exit::Invalid, format!("{}: {why}", args.trace.display()))
            .hint("see keyway sim fst --help for the form of a line")
    })?;
    let config = config(args, puts.len())?;
    let fates = decide(config, &puts);
    tell(args, &puts, &fates, output);
    if output.is_json() {
        output.json(&json!({ "fates": fates.iter().map(Fate::json).collect::<Vec<_>>() }))?;
        return Ok(Exit::Ok);
    }
    let mut lines = String::new();
    for fate in &fates {
        let _ = match fate {
            Fate::Accept(at_ms) => writeln!(lines, "accept {at_ms}"),
            Fate::Reject(_) => writeln!(lines, "reject"),
        };
    }
    output.bytes(lines.as_bytes())?;
    Ok(Exit::Ok)
}

fn rate(text: &str) -> Result<Rate, String> {
    let (bytes, ms) = text.split_once('/').unwrap_or((text, "1"));
    let number = |text: &str| text.trim().parse::<u64>().map_err(|e| format!("`{text}`: {e}"));
    Rate::new(number(bytes)?, number(ms)?).ok_or_else(|| {
        "a rate is above 0 and at most 2^60 bytes a ms; without a reserve puts may wait for ever".into()
    })
}

fn config(args: &FstArgs, puts: usize) -> Result<FairConfig, Failure> {
    let paper = FairConfig::paper(args.capacity, args.ttl_ms_max, args.put_bytes_max);
    let wrong = || {
        Failure::new(Exit::Usage, "no reserve follows from --capacity over --T")
            .hint("give both above 0, and --r-min if their ratio is not the reserve")
    };
    let greatest = u128::from(args.put_bytes_max) * u128::from(args.ttl_ms_max);
    Ok(FairConfig {
        capacity_bytes: args.capacity,
        put_bytes_max: args.put_bytes_max,
        rate: args.r_min.or(paper.map(|paper| paper.rate)).ok_or_else(wrong)?,
        alpha: args.alpha.unwrap_or(greatest),
        queue_bound: args.queue_bound.unwrap_or(greatest),
        // Bounds on memory, which the list bounds already, must decide nothing.
        queued_max: puts,
        clients_max: puts.max(CLIENTS_MAX),
    })
}

/// A line of the list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Put {
    arrival_ms: u64,
    client: ClientId,
    bytes: u64,
    ttl_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Accept(u64),
    Reject(Refused),
}

impl Fate {
    fn json(&self) -> serde_json::Value {
        match self {
            Fate::Accept(at_ms) => json!({ "fate": "accept", "time_ms": at_ms }),
            Fate::Reject(why) => json!({ "fate": "reject", "why": why.to_string() }),
        }
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let failed = |error: io::Error| {
        Failure::new(Exit::Usage, format!("cannot read the list of puts from {}: {error}", path.display()))
            .hint("give a file of lines arrival_ms,client,bytes,ttl_ms, or - for standard input")
    };
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(failed)?)
    };
    let mut text = String::new();
    source.take(TRACE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > TRACE_BYTES_MAX {
        let why = format!("the list of puts is longer than {} bytes", thousands(TRACE_BYTES_MAX));
        return Err(
            Failure::new(Exit::Usage, why).hint("cut it: a decision depends only on the lines before it")
        );
    }
    Ok(text)
}

/// The puts of a list, or which line is wrong and why.
fn parse(text: &str) -> Result<Vec<Put>, String> {
    let mut order: Option<[usize; 4]> = None;
    let mut clients: BTreeMap<&str, ClientId> = BTreeMap::new();
    let mut puts = Vec::new();
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = |why: String| format!("line {number}: {why}");
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let Ok(fields) = <[&str; 4]>::try_from(fields.as_slice()) else {
            return Err(at(format!(
                "{} are needed, this has {} of four fields",
                COLUMNS.join(","),
                fields.len()
            )));
        };
        let order = match order {
            Some(order) => order,
            None => {
                let names = columns(&fields);
                let first = *order.insert(names.unwrap_or([0, 1, 2, 3]));
                if names.is_some() {
                    continue;
                }
                first
            }
        };
        puts.push(put(order.map(|column| fields[column]), &mut clients).map_err(at)?);
    }
    Ok(puts)
}

/// Where each column stands, if these are their names.
fn columns(fields: &[&str; 4]) -> Option<[usize; 4]> {
    let places = COLUMNS.map(|name| fields.iter().position(|field| *field == name));
    Some([places[0]?, places[1]?, places[2]?, places[3]?])
}

fn put<'a>(fields: [&'a str; 4], clients: &mut BTreeMap<&'a str, ClientId>) -> Result<Put, String> {
    let number = |column: usize| {
        let what = |why: String| format!("{} `{}`: {why}", COLUMNS[column], fields[column]);
        let n = fields[column].parse::<u64>().map_err(|e| what(e.to_string()))?;
        if column != 2 && n > TIME_MS_MAX { Err(what("no clock goes so far".into())) } else { Ok(n) }
    };
    let (arrival_ms, bytes, ttl_ms) = (number(0)?, number(2)?, number(3)?);
    if fields[1].is_empty() {
        return Err("the client has no name".into());
    }
    let next = ClientId(clients.len() as u64);
    let client = *clients.entry(fields[1]).or_insert(next);
    Ok(Put { arrival_ms, client, bytes, ttl_ms })
}

/// What becomes of each put.
fn decide(config: FairConfig, puts: &[Put]) -> Vec<Fate> {
    let mut order: Vec<usize> = (0..puts.len()).collect();
    // Stable: puts of one ms stay in the order of the list.
    order.sort_by_key(|n| puts[*n].arrival_ms);
    let mut fair = Fair::new(config);
    let mut accepted: Vec<Accepted<usize>> = Vec::new();
    let mut refused = Vec::new();
    for n in order {
        let Put { arrival_ms, client, bytes, ttl_ms } = puts[n];
        if let Err(why) = fair.arrive(arrival_ms, client, n, bytes, ttl_ms, &mut accepted) {
            refused.push((n, why));
        }
    }
    while let Some(at_ms) = fair.deadline() {
        fair.wake(at_ms, &mut accepted);
    }
    // Whatever is queued is accepted in the end, so each put is in one list.
    let mut fates = vec![Fate::Reject(Refused::NeverFits); puts.len()];
    refused.into_iter().for_each(|(n, why)| fates[n] = Fate::Reject(why));
    accepted.iter().for_each(|a| fates[a.put] = Fate::Accept(a.at_ms));
    fates
}

/// What a person wants to know besides, on stderr.
fn tell(args: &FstArgs, puts: &[Put], fates: &[Fate], output: &Output) {
    let count = |of: fn(&Fate) -> bool| thousands(fates.iter().filter(|fate| of(fate)).count() as u64);
    output.note(format!(
        "{} {}: {} accepted, {} rejected by full queues, {} that never fit",
        thousands(puts.len() as u64),
        plural(puts.len() as u64, "put", "puts"),
        count(|fate| matches!(fate, Fate::Accept(_))),
        count(|fate| matches!(fate, Fate::Reject(Refused::QueueFull | Refused::TooManyWaiting))),
        count(|fate| matches!(fate, Fate::Reject(Refused::NeverFits))),
    ));
    let beyond = |put: &&Put| put.bytes > args.put_bytes_max || put.ttl_ms > args.ttl_ms_max;
    let beyond = puts.iter().filter(beyond).count() as u64;
    if beyond > 0 {
        output.note(format!(
            "{} {} beyond --B or --T; the algorithm assumes that there are none",
            thousands(beyond),
            plural(beyond, "put is", "puts are")
        ));
    }
    if !puts.is_sorted_by_key(|put| put.arrival_ms) {
        output.note("the list is not in order of arrival; it was played in that order");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_may_have_names_comments_spaces_and_any_order_of_columns() {
        let plain = parse("0,a,1000,3600000\n5,b,10,20\n5,a,1,2\n").unwrap();
        assert_eq!(plain[0].client, plain[2].client);
        assert_ne!(plain[0].client, plain[1].client);
        let named = "\u{feff}arrival_ms,client,bytes,ttl_ms\r\n# a comment\r\n\r\n 0 , a, 1000 ,3600000\r\n5,b,10,20\r\n5,a,1,2";
        assert_eq!(parse(named).unwrap(), plain);
        let moved = "client,ttl_ms,bytes,arrival_ms\na,3600000,1000,0\nb,20,10,5\na,2,1,5\n";
        assert_eq!(parse(moved).unwrap(), plain);
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn a_wrong_line_is_named_with_its_fault() {
        for (text, says) in [
            (
                "0,a,1,1\n1,a,1\n",
                "line 2: arrival_ms,client,bytes,ttl_ms are needed, this has 3 of four fields",
            ),
            ("\n0,a,x,1\n", "line 2: bytes `x`"),
            ("0,a,1,-1\n", "line 1: ttl_ms `-1`"),
            ("0,,1,1\n", "line 1: the client has no name"),
            ("arrival,client,bytes,ttl_ms\n0,a,1,1\n", "line 1: arrival_ms `arrival`"),
            ("18446744073709551615,a,1,1\n", "line 1: arrival_ms"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(says), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_rate_is_whole_or_a_fraction() {
        assert_eq!(rate("2").unwrap(), Rate::new(2, 1).unwrap());
        assert_eq!(rate("3/2").unwrap(), Rate::new(3, 2).unwrap());
        for wrong in ["0", "1/0", "", "x", "1/2/3", "-1"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
