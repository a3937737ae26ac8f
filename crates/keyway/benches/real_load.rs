//! The real load: eight node processes take 50,000 records while two of them are killed and one joins; the dead return,
//! all nine are killed at once; and a fresh network shows how fast it takes them all. Nothing may be lost.
//!
//! ```text
//!   cargo bench --bench real_load                       with synthetic records
//!   cargo bench --bench real_load -- FILE.tsv           with those of a file (key TAB value, keys all different)
//!   cargo bench --bench real_load -- --seconds 20       a shorter rated load
//!   cargo bench --bench real_load -- --overlay kademlia over another overlay
//!
//!   0 % ──────── 25 % kill 3 ── 40 % node 8 joins ── 60 % kill 6 ──────── 100 %   rated import, one minute
//!                    └─ repaired?                        └─ repaired?
//!   read back ── 3 and 6 return ── read back ── kill all nine, restart ── read back
//!   fresh network ── import as fast as it goes ── puts/s beside fsyncs/s
//! ```
//!
//! *Repaired* is judged from outside, by what each running node says that it holds (`/v1/node/records`): every record that was
//! acknowledged before the kill must lie on R of them. When that is so, `where` of a sample must name R replicas that are
//! ready and hold the value: they are where readers look. Exits with 1 when a promise was broken.

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use keyway_client::Key;
use serde_json::Value;
use support::{Network, Process, get, noise, wait_until};

const NODES: usize = 8;
const REPLICAS: usize = 3;
const RECORDS: usize = 50_000;
/// Records whose replicas are asked for after a repair.
const SAMPLE: usize = 300;
/// Records of a page of a node's list.
const PAGE: usize = 1000;
/// A single crash is to be repaired in this time.
const REPAIR_PROMISE: Duration = Duration::from_secs(10);
/// Fewest durable puts per second when nothing holds the load back.
const PUTS_PER_SECOND_PROMISE: f64 = 3_000.0;
/// Bound on waiting for anything.
const PATIENCE: Duration = Duration::from_secs(300);

struct Options {
    file: Option<PathBuf>,
    seconds: u32,
    overlay: String,
}

fn options() -> Options {
    let mut options = Options { file: None, seconds: 60, overlay: "chord".into() };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            // Cargo says so to every benchmark.
            "--bench" => {}
            "--seconds" => {
                options.seconds = args.next().and_then(|n| n.parse().ok()).expect("--seconds takes a number");
            }
            "--overlay" => options.overlay = args.next().expect("--overlay takes a name"),
            // Cargo runs a benchmark in its package's folder, the name was typed in the workspace's.
            file => options.file = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file)),
        }
    }
    options
}

/// The promises, and which were broken.
#[derive(Default)]
struct Judge {
    broken: Vec<String>,
}

impl Judge {
    fn promise(&mut self, what: &str, kept: bool, evidence: &str) {
        println!("{}  {what}: {evidence}", if kept { "kept  " } else { "BROKEN" });
        if !kept {
            self.broken.push(what.to_owned());
        }
    }
}

/// The records of the load: `(key, value)`.
fn records(file: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let pairs = text.lines().filter_map(|line| line.split_once('\t'));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn synthetic(dir: &Path) -> PathBuf {
    let mut text = String::new();
    for n in 0..RECORDS as u64 {
        let name = u64::from_be_bytes(noise(n, 8).try_into().expect("eight bytes"));
        writeln!(text, "{name:x}-{n}\t{}.{}.{} 2026-{:02}", n % 9, n % 13, n % 7, n % 12 + 1)
            .expect("a String takes it");
    }
    let file = dir.join("synthetic.tsv");
    fs::write(&file, text).expect("a file");
    file
}

/// The name of a record: the ids of its key and of its value.
fn name((key, value): &(String, String)) -> String {
    format!("{} {}", Key::text(key), Key::hash(value.as_bytes()))
}

/// Counts what a node says that it holds, by name.
fn count_records(gateway: SocketAddr, copies: &mut HashMap<String, usize>) {
    let mut after = String::new();
    loop {
        let path = format!("/v1/node/records?max={PAGE}&after={after}");
        let Some((200, body)) = get(gateway, &path) else { return };
        let page: Value = serde_json::from_str(&body).expect("JSON");
        for record in page["records"].as_array().expect("a list") {
            let id = |field: &str| record[field].as_str().expect("an id").to_owned();
            *copies.entry(format!("{} {}", id("key"), id("value_hash"))).or_default() += 1;
        }
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => return,
        }
    }
}

/// Whether `where` names R replicas that are ready and hold the value.
fn is_whole(gateway: SocketAddr, (key, value): &(String, String)) -> bool {
    let Some((200, body)) = get(gateway, &format!("/v1/ids/{}/where", Key::text(key))) else { return false };
    let found: Value = serde_json::from_str(&body).expect("JSON");
    let hash = Key::hash(value.as_bytes()).to_string();
    let replicas = found["replicas"].as_array().expect("a list");
    let holds = |replica: &Value| {
        let copies = replica["copies"].as_array();
        replica["ready"] == true
            && copies.is_some_and(|copies| copies.iter().any(|copy| copy["value_hash"] == hash.as_str()))
    };
    replicas.len() == REPLICAS && replicas.iter().all(holds)
}

/// Times from `since` until R running nodes held each of the first `acknowledged` records, and until the replicas of a
/// sample were the ones that hold them.
fn repaired(
    network: &Network,
    records: &[(String, String)],
    acknowledged: usize,
    since: Instant,
) -> (Duration, Duration) {
    let running = network.nodes.iter().filter(|node| node.is_running());
    let gateways: Vec<SocketAddr> = running.map(|node| node.http).collect();
    let names: Vec<String> = records[..acknowledged].iter().map(name).collect();
    let held = wait_until("every record has its copies again", PATIENCE, || {
        let mut copies = HashMap::new();
        gateways.iter().for_each(|gateway| count_records(*gateway, &mut copies));
        let whole = names.iter().all(|name| copies.get(name).is_some_and(|count| *count >= REPLICAS));
        whole.then(|| since.elapsed())
    });
    let step = (acknowledged / SAMPLE).max(1);
    let mut left: Vec<usize> = (0..acknowledged).step_by(step).collect();
    wait_until("their replicas are found", PATIENCE, || {
        left.retain(|at| !is_whole(gateways[at % gateways.len()], &records[*at]));
        left.is_empty().then_some(())
    });
    (held, since.elapsed())
}

/// Records acknowledged so far, by the import's own journal.
fn acknowledged(state: &Path) -> usize {
    let read = || -> Option<u64> {
        let journal: Value = serde_json::from_slice(&fs::read(state).ok()?).ok()?;
        journal["prefix"]["records"].as_u64()
    };
    read().unwrap_or(0) as usize
}

fn read_back(judge: &mut Judge, network: &Network, file: &str, count: usize, when: &str) {
    let began = Instant::now();
    let said = network.run(&["import", file, "--verify-only", "--concurrency", "128"]);
    let kept = said.text() == format!("{count} of {count} equal\n");
    let evidence = format!("{} ({:.1} s)", said.text().trim_end(), began.elapsed().as_secs_f64());
    judge.promise(&format!("nothing lost, {when}"), kept, &evidence);
    if !kept {
        println!("{}", said.stderr);
    }
}

fn kills_and_joins(judge: &mut Judge, options: &Options, file: &str, records: &[(String, String)]) {
    let count = records.len();
    let mut network = Network::start(NODES, &["--overlay", &options.overlay]);
    let state = network.dir.path().join("progress");
    let rate = (count as u32 / options.seconds).max(1).to_string();
    let state_name = state.display().to_string();
    let began = Instant::now();
    let mut command = network.verb(&["import", file, "--rate", &rate, "--state", &state_name, "-o", "json"]);
    let mut import = Process::start(&mut command, &network.dir.path().join("import.log"));
    println!("{NODES} nodes; {count} records at {rate}/s");

    for (percent, victim) in [(25, 3), (60, 6)] {
        wait_until("the load goes on", PATIENCE, || {
            (acknowledged(&state) >= count * percent / 100).then_some(())
        });
        let stored = acknowledged(&state);
        network.nodes[victim].kill();
        let killed = Instant::now();
        println!("at {percent} %: node {victim} is killed with SIGKILL, {stored} records are acknowledged");
        let (held, found) = repaired(&network, records, stored, killed);
        let (held, took) = (held.as_secs_f64(), found.as_secs_f64());
        let evidence = format!(
            "all {stored} on {REPLICAS} running nodes after {held:.1} s, {SAMPLE} found there after {took:.1} s"
        );
        judge.promise("the crash is repaired within 10 s", found <= REPAIR_PROMISE, &evidence);
        if percent == 25 {
            wait_until("the load goes on", PATIENCE, || {
                (acknowledged(&state) >= count * 40 / 100).then_some(())
            });
            let joined = Instant::now();
            network.add();
            println!("at 40 %: node {NODES} joins, ready in {:.1} s", joined.elapsed().as_secs_f64());
        }
    }
    let status = import.end(PATIENCE);
    let line: Value = serde_json::from_str(&lines(&import)).unwrap_or_default();
    let slowest = &line["loaded"]["slowest_ms"];
    let evidence = format!("{:.1} s, slowest record {slowest} ms, {status}", began.elapsed().as_secs_f64());
    judge.promise("the load is acknowledged whole", status.success(), &evidence);

    read_back(judge, &network, file, count, "two dead and one new");
    network.restart(3);
    network.restart(6);
    network.wait_ready(PATIENCE);
    read_back(judge, &network, file, count, "the dead returned");

    let everyone = 0..network.nodes.len();
    everyone.clone().for_each(|at| network.nodes[at].kill());
    let began = Instant::now();
    everyone.for_each(|at| network.restart(at));
    network.wait_ready(PATIENCE);
    println!("all nine killed and restarted: ready in {:.1} s", began.elapsed().as_secs_f64());
    read_back(judge, &network, file, count, "all nine killed at once and restarted");
}

/// The lines that a process printed, up to its end.
fn lines(process: &Process) -> String {
    let mut text = String::new();
    while let Some(line) = process.try_line() {
        text += &line;
        text.push('\n');
    }
    text
}

fn as_fast_as_it_goes(judge: &mut Judge, options: &Options, file: &str) {
    let network = Network::start(NODES, &["--overlay", &options.overlay]);
    let fsyncs = |network: &Network| -> f64 {
        network.nodes.iter().map(|node| node.metric("keyway_disk_fsyncs_total")).sum()
    };
    let (before, began) = (fsyncs(&network), Instant::now());
    let state = network.dir.path().join("progress").display().to_string();
    let report =
        network.run(&["import", file, "--state", &state, "--concurrency", "256", "-o", "json"]).good();
    let seconds = began.elapsed().as_secs_f64();
    let synced = (fsyncs(&network) - before) / seconds;
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let rate = report["loaded"]["records_per_second"].as_f64().expect("a rate");
    let evidence = format!("{rate:.0} puts/s, beside {synced:.0} fsyncs/s of all nodes together");
    judge.promise("3,000 durable puts per second", rate >= PUTS_PER_SECOND_PROMISE, &evidence);
}

fn main() -> ExitCode {
    let options = options();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = options.file.clone().unwrap_or_else(|| synthetic(dir.path()));
    let records = records(&file);
    let file = file.display().to_string();
    let mut judge = Judge::default();
    as_fast_as_it_goes(&mut judge, &options, &file);
    kills_and_joins(&mut judge, &options, &file, &records);
    if judge.broken.is_empty() {
        println!("every promise was kept");
        ExitCode::SUCCESS
    } else {
        println!("broken: {}", judge.broken.join("; "));
        ExitCode::FAILURE
    }
}
