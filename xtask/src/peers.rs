//! `bench-peers`: Keyway beside other DHTs and beside a bare UDP echo, in turn, several times on one machine.
//!
//! ```text
//!   round 1: echo, keyway, peer, peer    round 2: ...    ──▶ medians, and ratios to the better peer and to the echo
//! ```
//!
//! Beside them a daemon rests with its gateway open, and at the end it is told how much memory it takes. And each round simulates two
//! churning hours of 1,024 nodes with each overlay: how long that takes follows the machine, so it is told by the processor time that
//! the better peer needs for an operation in the same round.
//!
//! The machine is shared and noisy: only ratios from one run say anything. The script that measures the others prints one
//! JSON object a peer, with the names of [`FIELDS`]; it is given by path, since it needs those DHTs' own packages.

use std::io;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How often each is measured.
pub const ROUNDS: u64 = 5;
/// Datagrams that the echo sends back and forth.
const ECHOES: usize = 3_000;
/// The world that is simulated: `keyway sim run` with these arguments.
const WORLD: &str = "--nodes 1024 --settled --lifetime exp:1h --downtime exp:1h --lookup-every 10m --for 2h";
/// Its overlays.
const OVERLAYS: [&str; 2] = ["chord", "kademlia"];
/// How long it may take ...
const WORLD_SECONDS_MAX: f64 = 2.0;
/// ... on a machine where libtorrent takes 0.34 to 0.42 ms of processor time for an operation: our assumption, since those figures
/// stand beside the bound and not with it. The greater is the stricter one here: a second of such a machine is worth more.
const PEER_CPU_MS: f64 = 0.42;
/// What is compared: the path in the JSON, and whether less is better.
const FIELDS: [(&[&str], bool); 7] = [
    (&["put_ms", "p50"], true),
    (&["put_ms", "p99"], true),
    (&["get_ms", "p50"], true),
    (&["get_ms", "p99"], true),
    (&["put_per_s"], false),
    (&["get_per_s"], false),
    (&["cpu_ms_per_op"], true),
];

/// Who is measured, and how.
pub struct Plan<'a> {
    /// The script that measures other DHTs: `SCRIPT NAME` prints the JSON of that peer.
    pub script: Option<&'a str>,
    /// The Python that has their packages.
    pub python: &'a str,
    /// Their names.
    pub peers: Vec<&'a str>,
    /// Arguments for `keyway bench`.
    pub bench: Vec<&'a str>,
    /// How often each is measured.
    pub rounds: u64,
}

/// One contestant's readings, a round each.
struct Contestant {
    name: String,
    rounds: Vec<Value>,
}

/// A number in a reading.
fn field(round: &Value, path: &[&str]) -> Option<f64> {
    path.iter().try_fold(round, |at, name| at.get(name))?.as_f64()
}

fn median(all: impl Iterator<Item = f64>) -> Option<f64> {
    let mut all: Vec<f64> = all.collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied()
}

impl Contestant {
    /// The median of a field; nothing if it was never measured.
    fn median(&self, path: &[&str]) -> Option<f64> {
        median(self.rounds.iter().filter_map(|round| field(round, path)))
    }
}

/// Measures all of them in turn and prints medians and ratios.
///
/// # Errors
/// If something cannot be run, or prints no JSON.
pub fn run(plan: &Plan<'_>) -> io::Result<()> {
    let keyway = build()?;
    let mut idle = Idle::start(&keyway)?;
    let contestant = |name: &str| Contestant { name: name.to_owned(), rounds: Vec::new() };
    let mut ours = ["keyway, first copy", "keyway, quorum"].map(contestant);
    let mut peers: Vec<Contestant> = plan.peers.iter().copied().map(contestant).collect();
    let mut worlds = OVERLAYS.map(contestant);
    let mut echoes = Vec::new();
    for round in 1..=plan.rounds {
        eprintln!("round {round} of {} ...", plan.rounds);
        idle.check()?;
        echoes.push(echo()?.as_secs_f64() * 1e3);
        for (one, reads) in ours.iter_mut().zip(["first", "quorum"]) {
            let mut command = Command::new(&keyway);
            command.args(["bench", "-q", "-o", "ndjson", "--reads", reads]).args(&plan.bench);
            one.rounds.push(json_of(&mut command)?);
        }
        for one in &mut peers {
            let Some(script) = plan.script else { continue };
            one.rounds.push(json_of(Command::new(plan.python).arg(script).arg(&one.name))?);
        }
        for one in &mut worlds {
            let mut command = Command::new(&keyway);
            command.args(["-q", "-o", "ndjson", "sim", "run", "--overlay", &one.name]);
            one.rounds.push(json_of(command.args(WORLD.split_whitespace()))?);
        }
    }
    echoes.sort_by(f64::total_cmp);
    let echo = echoes[echoes.len() / 2];
    print(&ours, &peers, echo);
    print_worlds(&worlds, &peers);
    let resident = idle.resident_kib()?;
    println!("a daemon with HTTP on, idle all the while: {:.1} MiB resident", resident as f64 / 1024.0);
    Ok(())
}

/// A node with its gateway, alone and never asked; killed when dropped.
struct Idle {
    process: Child,
}

impl Idle {
    fn start(keyway: &Path) -> io::Result<Idle> {
        let data = crate::target_dir().join("bench-peers-idle");
        match std::fs::remove_dir_all(&data) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let process = Command::new(keyway)
            .arg("node")
            .args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--sunrpc", "none", "--data"])
            .arg(data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Idle { process })
    }

    fn check(&mut self) -> io::Result<()> {
        match self.process.try_wait()? {
            Some(status) => Err(io::Error::other(format!("the idle daemon ended: {status}"))),
            None => Ok(()),
        }
    }

    /// What of it lies in memory, as Linux counts it.
    fn resident_kib(&mut self) -> io::Result<u64> {
        self.check()?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kib.ok_or_else(|| io::Error::other("this system does not tell what is resident"))
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing else to do about it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn build() -> io::Result<std::path::PathBuf> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let status = Command::new(cargo)
        .current_dir(crate::root())
        .args(["build", "--release", "--quiet", "--package", "keyway"])
        .status()?;
    if !status.success() {
        return Err(io::Error::other("the release build failed"));
    }
    Ok(crate::target_dir().join("release").join("keyway"))
}

/// The last line of JSON that a command prints. A command that measured something wrong says so in it, and by its exit
/// code, which is not looked at here.
fn json_of(command: &mut Command) -> io::Result<Value> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().rev().find(|line| line.starts_with('{'));
    line.and_then(|line| serde_json::from_str(line).ok()).ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or("nothing").to_owned();
        io::Error::other(format!("{command:?} printed no JSON; it said: {last}"))
    })
}

/// The median round trip of a datagram between two threads on loopback: what no DHT can beat.
fn echo() -> io::Result<Duration> {
    let (near, far) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    near.connect(far.local_addr()?)?;
    far.connect(near.local_addr()?)?;
    for socket in [&near, &far] {
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    }
    let echoing = std::thread::spawn(move || -> io::Result<()> {
        let mut bytes = [0; 1_200];
        for _ in 0..ECHOES {
            let count = far.recv(&mut bytes)?;
            far.send(&bytes[..count])?;
        }
        Ok(())
    });
    let (mut spans, mut bytes) = (Vec::with_capacity(ECHOES), [7; 1_000]);
    for _ in 0..ECHOES {
        let began = Instant::now();
        near.send(&bytes)?;
        near.recv(&mut bytes)?;
        spans.push(began.elapsed());
    }
    echoing.join().map_err(|_| io::Error::other("the echo panicked"))??;
    spans.sort_unstable();
    Ok(spans[ECHOES / 2])
}

fn print(ours: &[Contestant], peers: &[Contestant], echo: f64) {
    println!("a bare UDP echo takes {echo:.3} ms; medians:\n");
    print!("{:<18}", "");
    ours.iter().chain(peers).for_each(|one| print!("{:>20}", one.name));
    println!("{:>12}{:>12}", "to peer", "to echo");
    for (path, less) in FIELDS {
        print!("{:<18}", path.join(" "));
        for one in ours.iter().chain(peers) {
            match one.median(path) {
                Some(value) => print!("{value:>20.3}"),
                None => print!("{:>20}", "-"),
            }
        }
        let (mine, others) = (ours[0].median(path), peers.iter().filter_map(|one| one.median(path)));
        let best = others.reduce(|a, b| if (a < b) == less { a } else { b });
        // Below 1 is better than the better peer, whatever the field.
        match (mine, best) {
            (Some(mine), Some(best)) => print!("{:>12.2}", if less { mine / best } else { best / mine }),
            _ => print!("{:>12}", "-"),
        }
        match mine.filter(|_| path[0].ends_with("_ms")) {
            Some(mine) => println!("{:>12.1}", mine / echo),
            None => println!("{:>12}", "-"),
        }
    }
    let wrong = |one: &Contestant| one.rounds.iter().filter_map(|r| r["wrong"].as_u64()).sum::<u64>();
    for one in ours.iter().chain(peers).filter(|one| wrong(one) > 0) {
        println!("{}: {} answers were wrong", one.name, wrong(one));
    }
}

/// Seconds of each world by milliseconds of an operation of the better peer in the same round: the median.
fn by_peer(world: &Contestant, peers: &[Contestant]) -> Option<f64> {
    median(world.rounds.iter().enumerate().filter_map(|(round, reading)| {
        let cpu = peers.iter().filter_map(|peer| field(peer.rounds.get(round)?, &["cpu_ms_per_op"]));
        Some(field(reading, &["wall_seconds"])? / cpu.reduce(f64::min)?)
    }))
}

fn print_worlds(worlds: &[Contestant], peers: &[Contestant]) {
    println!("\ntwo churning hours of 1,024 nodes, simulated:\n");
    print!("{:<18}{:>12}{:>12}{:>12}", "", "least s", "median s", "most s");
    println!("{:>22}{:>12}", "by peer's cpu, s/ms", "at most");
    for world in worlds {
        let mut all: Vec<f64> = world.rounds.iter().filter_map(|r| field(r, &["wall_seconds"])).collect();
        all.sort_by(f64::total_cmp);
        let (Some(least), Some(most)) = (all.first(), all.last()) else { continue };
        print!("{:<18}{least:>12.2}{:>12.2}{most:>12.2}", world.name, all[all.len() / 2]);
        match by_peer(world, peers) {
            Some(ratio) => println!("{ratio:>22.2}{:>12.2}", WORLD_SECONDS_MAX / PEER_CPU_MS),
            None => println!("{:>22}{:>12}", "-", "-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_taken_over_rounds() {
        let round = |ms: f64| serde_json::json!({ "put_ms": { "p50": ms }, "put_per_s": 7 });
        let one = Contestant { name: "x".into(), rounds: [3.0, 1.0, 2.0].map(round).into() };
        assert_eq!(one.median(&["put_ms", "p50"]), Some(2.0));
        assert_eq!(one.median(&["put_per_s"]), Some(7.0));
        assert_eq!(one.median(&["get_ms", "p50"]), None);
    }

    #[test]
    fn a_world_is_measured_by_the_better_peer_of_its_round() {
        let peer = |name: &str, cpu: [f64; 3]| Contestant {
            name: name.into(),
            rounds: cpu.map(|ms| serde_json::json!({ "cpu_ms_per_op": ms })).into(),
        };
        let seconds = [2.0, 3.0, 8.0].map(|s| serde_json::json!({ "wall_seconds": s }));
        let world = Contestant { name: "chord".into(), rounds: seconds.into() };
        let peers = [peer("a", [0.5, 1.0, 9.0]), peer("b", [7.0, 0.5, 1.0])];
        assert_eq!(by_peer(&world, &peers), Some(6.0), "the median of 4, 6 and 8");
        assert_eq!(by_peer(&world, &[]), None);
    }

    #[test]
    fn the_echo_comes_back() {
        assert!(echo().expect("loopback") > Duration::ZERO);
    }
}
