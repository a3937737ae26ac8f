//! One polite client among a hundred greedy ones, before a real node with a bounded disk (`opendht` section 3).
//!
//! ```text
//!   cargo bench --bench fair_share                  80 s
//!   cargo bench --bench fair_share -- --seconds 40  shorter
//!
//!   127.0.1.1 .. 127.0.1.100   40 puts a second each    ┐
//!                                                       ├─▶ Sun RPC ─▶ keyway node --store-max ..   200 puts a second fit
//!   127.0.2.1                  1 put a second           ┘   half of its share
//! ```
//!
//! Clients are told apart by their addresses, and loopback has many. Each greedy one asks over four connections, for a connection on which
//! puts wait is read no further. Judged after one greatest life, when the disk is full: the polite client's puts succeed and wait little, and
//! each greedy one has had its share of the bytes, by the node's account, read each second. (Acknowledged puts are no such measure: one that
//! waited lives for what is left of its life.) Exits with 1 when a promise was broken.

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use keyway_core::Id;
use keyway_gateway::sunrpc::program::{PROC_PUT, PROGRAM};
use keyway_gateway::sunrpc::record::framed;
use keyway_gateway::sunrpc::xdr::Writer;
use serde_json::Value;
use support::{Process, SOON, command, free_ports, get};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

const GREEDY: u8 = 100;
/// Of one greedy client.
const GREEDY_EVERY_MS: u64 = 25;
/// Connections of each greedy client.
const LANES: u32 = 4;
/// The greatest life, and that of every put here.
const TTL_SECS: u64 = 20;
/// A head beside the value.
const HEAD_BYTES: u64 = 106;
const VALUE_BYTES: usize = 1_000;
const POLITE_VALUE_BYTES: usize = 900;
/// Puts of greedy clients that fit in a second.
const FIT_PER_SECOND: u64 = 200;
/// What clients share, so that as much fits, and the bound of which that is three quarters.
const SHARED_BYTES: u64 = FIT_PER_SECOND * TTL_SECS * (HEAD_BYTES + VALUE_BYTES as u64);
const STORE_BYTES: u64 = SHARED_BYTES / 75 * 100;

/// Puts that all clients have sent.
static SENT: AtomicU64 = AtomicU64::new(0);

/// What became of a client's puts: when each was sent, how long its answer took, and what that was.
type Fates = Arc<Mutex<Vec<(Instant, Duration, u32)>>>;

/// A call of version 3's put (docs/keyway_prot.x), as a record.
fn put_call(xid: u32, value: &[u8]) -> Vec<u8> {
    let mut call = Vec::new();
    framed(&mut call, |out| {
        let mut w = Writer::new(out);
        // Call, RPC 2, program, version, procedure, no credentials, no verifier; two empty names.
        [xid, 0, 2, PROGRAM, 3, PROC_PUT, 0, 0, 0, 0, 0, 0].into_iter().for_each(|word| w.u32(word));
        w.fixed(&Id::sha1(value).0);
        w.opaque(value);
        // No hash of a secret.
        w.opaque(b"");
        w.opaque(b"");
        w.u32(TTL_SECS as u32);
    });
    call
}

/// Puts from one address at a rate, until the end; what is under way then is not counted.
async fn client(
    (from, lane): (Ipv4Addr, u32),
    to: SocketAddr,
    every: Duration,
    value_bytes: usize,
    end: Instant,
    fates: Fates,
) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("loopback has this address");
    let stream = socket.connect(to).await.expect("the node takes connections");
    stream.set_nodelay(true).expect("no delay");
    let (mut reader, mut writer) = stream.into_split();
    let sent: Arc<Mutex<HashMap<u32, Instant>>> = Arc::default();
    let asked = sent.clone();
    let answers = tokio::spawn(async move {
        let mut reply = [0; 32];
        while reader.read_exact(&mut reply).await.is_ok() {
            let word = |at: usize| u32::from_be_bytes(reply[at..at + 4].try_into().expect("four bytes"));
            // Mark, xid, reply, accepted, verifier (2), success, status.
            assert_eq!((word(0), word(8), word(12), word(24)), (0x8000_001c, 1, 0, 0), "an accepted reply");
            let at = asked.lock().expect("no panic").remove(&word(4)).expect("asked for");
            fates.lock().expect("no panic").push((at, at.elapsed(), word(28)));
        }
    });
    let mut ticks = interval(every);
    let mut xid = lane << 24;
    while Instant::now() < end {
        ticks.tick().await;
        xid += 1;
        let mut value = support::noise(u64::from(u32::from(from)) << 32 | u64::from(xid), value_bytes);
        value.truncate(value_bytes);
        sent.lock().expect("no panic").insert(xid, Instant::now());
        writer.write_all(&put_call(xid, &value)).await.expect("the node reads");
        SENT.fetch_add(1, Ordering::Relaxed);
    }
    drop(writer);
    let _ = timeout(SOON, answers).await;
}

/// What a client has stored, on an average.
struct Share {
    is_polite: bool,
    bytes: f64,
}

/// The node's accounts, read each second.
fn accounts(http: SocketAddr, from: Instant, until: Instant) -> Vec<Share> {
    let mut sums: HashMap<String, (bool, u64)> = HashMap::new();
    let (mut at, mut count) = (from, 0);
    while at < until {
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        let (_, body) = get(http, "/v1/clients?max=200").expect("the node answers");
        let usage: Value = serde_json::from_str(&body).expect("JSON");
        for client in usage["clients"].as_array().expect("a list") {
            let number = |value: &Value| value.as_u64().expect("a number");
            let asked = &client["asked"];
            let is_polite = number(&asked["bytes"]) == number(&asked["writes"]) * POLITE_VALUE_BYTES as u64;
            let name = client["client"].as_str().expect("a name").to_owned();
            let sum = sums.entry(name).or_insert((is_polite, 0));
            sum.1 += client["stored_bytes"].as_u64().unwrap_or(0);
        }
        count += 1;
        at += Duration::from_secs(1);
    }
    let share = |(is_polite, sum)| Share { is_polite, bytes: sum as f64 / f64::from(count) };
    sums.into_values().map(share).filter(|share| share.bytes > 0.0).collect()
}

fn seconds() -> u64 {
    let mut args = std::env::args().skip_while(|arg| arg != "--seconds").skip(1);
    args.next().map_or(80, |n| n.parse().expect("--seconds takes a number"))
}

fn judge(what: &str, kept: bool, evidence: &str) -> bool {
    println!("{}  {what}: {evidence}", if kept { "kept  " } else { "BROKEN" });
    kept
}

fn main() -> ExitCode {
    let port = free_ports(1, 10);
    let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (listen, http, sunrpc) = (at(port), at(port + 1), at(port + 2));
    let dir = tempfile::tempdir().expect("a directory");
    let node = Process::start(
        command()
            .args(["node", "--replicas", "1", "--acks", "1", "--durability", "memory", "--value-max", "1KiB"])
            .args(["--listen", &listen.to_string(), "--http", &http.to_string()])
            .args(["--sunrpc", &sunrpc.to_string(), "--store-max", &STORE_BYTES.to_string()])
            .args(["--ttl-max", &format!("{TTL_SECS}s")]),
        &dir.path().join("node.log"),
    );
    support::wait_until("the node's readiness", SOON, || {
        get(http, "/readyz").filter(|(status, _)| *status == 200)
    });

    let (fates, polite): (Vec<Fates>, Fates) =
        ((0..GREEDY).map(|_| Fates::default()).collect(), Fates::default());
    let begin = Instant::now();
    let full = begin + Duration::from_secs(TTL_SECS);
    let end = begin + Duration::from_secs(seconds());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let shares = runtime.block_on(async {
        let mut clients = JoinSet::new();
        for (n, fates) in (1..).zip(&fates) {
            for lane in 0..LANES {
                let from = (Ipv4Addr::new(127, 0, 1, n), lane);
                let every = Duration::from_millis(GREEDY_EVERY_MS) * LANES;
                clients.spawn(client(from, sunrpc, every, VALUE_BYTES, end, fates.clone()));
            }
        }
        let from = (Ipv4Addr::new(127, 0, 2, 1), 0);
        clients.spawn(client(from, sunrpc, Duration::from_secs(1), POLITE_VALUE_BYTES, end, polite.clone()));
        let accounts = tokio::task::spawn_blocking(move || accounts(http, full, end));
        clients.join_all().await;
        accounts.await.expect("no panic")
    });
    drop(node);

    let within = |fates: &Fates| -> Vec<(Duration, u32)> {
        let fates = fates.lock().expect("no panic");
        fates.iter().filter(|(at, ..)| *at >= full).map(|(_, took, status)| (*took, *status)).collect()
    };
    let polite = within(&polite);
    let stored = polite.iter().filter(|(_, status)| *status == 0).count();
    let mut waits: Vec<Duration> = polite.iter().map(|(took, _)| *took).collect();
    waits.sort();
    let p99 = waits.get((waits.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or(Duration::MAX);
    let mut kept = judge(
        "polite success >= 99 %",
        !polite.is_empty() && stored * 100 >= polite.len() * 99,
        &format!("{stored} of {}", polite.len()),
    );
    kept &= judge("polite wait p99 <= 5 s", p99 <= Duration::from_secs(5), &format!("{p99:?}"));
    let of_polite: f64 = shares.iter().filter(|share| share.is_polite).map(|share| share.bytes).sum();
    let fair = (SHARED_BYTES as f64 - of_polite) / f64::from(GREEDY);
    let rates: Vec<f64> =
        shares.iter().filter(|share| !share.is_polite).map(|share| share.bytes / fair).collect();
    println!(
        "in use {:.1} %, {} greedy clients",
        100.0 * shares.iter().map(|s| s.bytes).sum::<f64>() / SHARED_BYTES as f64,
        rates.len()
    );
    let least = rates.iter().copied().fold(f64::MAX, f64::min);
    let most = rates.iter().copied().fold(0.0, f64::max);
    kept &= judge(
        "every share within 10 % of fair",
        rates.len() == usize::from(GREEDY) && least >= 0.9 && most <= 1.1,
        &format!("{:.1} to {:.1} %", 100.0 * least, 100.0 * most),
    );
    let answered: usize = fates.iter().map(|fates| fates.lock().expect("no panic").len()).sum();
    let a_second = |count: f64| count / end.duration_since(begin).as_secs_f64();
    println!(
        "of {} puts a second the greedy clients sent {:.0}, held back by their connections; {:.0} were answered, {FIT_PER_SECOND} fit",
        u64::from(GREEDY) * 1_000 / GREEDY_EVERY_MS,
        a_second(SENT.load(Ordering::Relaxed) as f64),
        a_second(answered as f64)
    );
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
