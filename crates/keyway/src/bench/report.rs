//! All that was measured, as one JSON object or as a table. Names shared with the scripts for other DHTs come first.

use serde::Serialize;

use super::disk::Beside;
use super::echo::Echo;
use super::figures::{self, Latencies, Measured};
use super::wire::Interface;
use super::{BenchArgs, ReadsArg};
use crate::exit::Failure;
use crate::output::{Output, plural};

/// One run. The figures at the top are those of the first interface: latencies and costs of its first phase, rates of its last.
#[derive(Serialize)]
pub(super) struct Report {
    peer: &'static str,
    #[serde(rename = "keyway_version")]
    build: &'static str,
    put_ms: Latencies,
    get_ms: Latencies,
    put_per_s: f64,
    get_per_s: f64,
    cpu_ms_per_op: f64,
    pub(super) wrong: usize,
    pub(super) failed: usize,
    messages_per_op: f64,
    bytes_per_op: f64,
    resident_mib: f64,
    nodes: u16,
    copies: u8,
    acks: u8,
    value_bytes: usize,
    overlay: String,
    style: &'static str,
    reads: ReadsArg,
    durability: String,
    phases: Vec<Phase>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_kill: Option<AfterStop>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_pause: Option<AfterStop>,
}

/// Puts, then gets, over one interface with so many at once.
#[derive(Serialize)]
pub(super) struct Phase {
    pub(super) interface: Interface,
    pub(super) concurrency: u16,
    /// Whether it is the one of `--bulk`.
    pub(super) bulk: bool,
    pub(super) put: Measured,
    pub(super) get: Measured,
    /// A bare TCP echo of a value, with as many at once.
    pub(super) echo: Echo,
    /// Rates as shares of the echo's.
    pub(super) put_of_echo: f64,
    pub(super) get_of_echo: f64,
    /// What the disks did during the puts, if anything is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) disk: Option<Beside>,
}

/// What clients of the others noticed when some nodes stopped.
#[derive(Serialize)]
pub(super) struct AfterStop {
    pub(super) stopped: usize,
    pub(super) reads: Measured,
    pub(super) writes: Measured,
}

impl Report {
    /// Of one phase at least.
    pub(super) fn new(args: &BenchArgs, phases: Vec<Phase>, after: Option<AfterStop>) -> Report {
        let first = &phases[0];
        let of_first = |phase: &&Phase| phase.interface == first.interface && !phase.bulk;
        let last = phases.iter().rfind(of_first).unwrap_or(first);
        let all = || phases.iter().flat_map(|phase| [&phase.put, &phase.get]);
        let (after_kill, after_pause) = if args.kill.is_some() { (after, None) } else { (None, after) };
        let stopped = after_kill.as_ref().or(after_pause.as_ref());
        let later_wrong: usize = stopped.map_or(0, |a| a.reads.wrong + a.writes.wrong);
        let later_failed: usize = stopped.map_or(0, |a| a.reads.failed + a.writes.failed);
        Report {
            peer: "keyway",
            build: env!("CARGO_PKG_VERSION"),
            put_ms: first.put.ms,
            get_ms: first.get.ms,
            put_per_s: last.put.per_s,
            get_per_s: last.get.per_s,
            cpu_ms_per_op: (first.put.cpu_ms_per_op + first.get.cpu_ms_per_op) / 2.0,
            wrong: all().map(|m| m.wrong).sum::<usize>() + later_wrong,
            failed: all().map(|m| m.failed).sum::<usize>() + later_failed,
            messages_per_op: (first.put.messages_per_op + first.get.messages_per_op) / 2.0,
            bytes_per_op: (first.put.bytes_per_op + first.get.bytes_per_op) / 2.0,
            resident_mib: figures::resident_mib(),
            nodes: args.nodes,
            copies: args.copies,
            acks: args.acks,
            value_bytes: args.value_bytes,
            overlay: args.overlay.clone(),
            style: args.style.name(),
            reads: args.reads,
            durability: args.durability.to_string(),
            phases,
            after_kill,
            after_pause,
        }
    }

    /// Operations that did not do what they should.
    pub(super) fn bad(&self) -> usize {
        self.wrong + self.failed
    }

    /// Prints it.
    pub(super) fn show(&self, output: &Output) -> Result<(), Failure> {
        if output.is_json() {
            return output.json(self);
        }
        let mut rows = Vec::new();
        for phase in &self.phases {
            let name = |what: &str| {
                let bulk = if phase.bulk { "bulk " } else { "" };
                format!("{} {bulk}{what}, {} at once", phase.interface.name(), phase.concurrency)
            };
            rows.push(row(name("put"), &phase.put, phase.put_of_echo));
            rows.push(row(name("get"), &phase.get, phase.get_of_echo));
        }
        for after in self.after_kill.iter().chain(&self.after_pause) {
            rows.push(row(format!("get, {}", stopped(after.stopped)), &after.reads, f64::NAN));
            rows.push(row(format!("put, {}", stopped(after.stopped)), &after.writes, f64::NAN));
        }
        let header = [
            "phase",
            "ops",
            "p50 ms",
            "p90",
            "p99",
            "max",
            "ops/s",
            "of echo",
            "cpu ms/op",
            "msgs/op",
            "bytes/op",
            "bad",
        ];
        output.table(&header, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], rows)?;
        for phase in &self.phases {
            let Some(disk) = &phase.disk else { continue };
            output.note(format!(
                "{} puts, {} at once: {:.0} records/s of all nodes in {:.0} commits/s, {:.1} a commit; redb alone {:.0} records/s in {:.0} commits/s; ratio {:.2}",
                phase.interface.name(),
                phase.concurrency,
                disk.records_per_s,
                disk.commits_per_s,
                disk.records_per_commit,
                disk.redb_records_per_s,
                disk.redb_commits_per_s,
                disk.ratio
            ));
        }
        output.note(format!(
            "{} nodes over {}, {} {}, {} acknowledged, durability {}, {} B values, reads {}; {:.0} MiB resident",
            self.nodes,
            self.overlay,
            self.copies,
            plural(self.copies.into(), "copy", "copies"),
            self.acks,
            self.durability,
            self.value_bytes,
            self.reads.name(),
            self.resident_mib
        ));
        Ok(())
    }
}

fn stopped(nodes: usize) -> String {
    format!("{nodes} {} stopped", plural(nodes as u64, "node", "nodes"))
}

fn row(name: String, m: &Measured, of_echo: f64) -> Vec<String> {
    let ms = |x: f64| format!("{x:.3}");
    vec![
        name,
        m.count.to_string(),
        ms(m.ms.p50),
        ms(m.ms.p90),
        ms(m.ms.p99),
        ms(m.ms.max),
        format!("{:.0}", m.per_s),
        if of_echo.is_nan() { String::new() } else { format!("{of_echo:.3}") },
        ms(m.cpu_ms_per_op),
        format!("{:.1}", m.messages_per_op),
        format!("{:.0}", m.bytes_per_op),
        (m.wrong + m.failed).to_string(),
    ]
}
