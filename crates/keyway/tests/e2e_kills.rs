//! Random nodes are killed with SIGKILL again and again, singly, in pairs and all at once, while clients put, sign and remove. What was
//! acknowledged is there afterwards, byte for byte; what was removed is not.
//!
//! A few kills by default. Two hundred of a release, in some minutes:
//!
//! ```text
//! cargo build --release -p keyway
//! KEYWAY_KILLS=200 KEYWAY_BIN=$PWD/target/release/keyway cargo test -p keyway --test e2e_kills -- --nocapture
//! ```

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use keyway_client::{
    Claim, Client, ClientError, GetOptions, Hex, Key, Nonce, PutOptions, Secret, Signer, expires_in,
};
use keyway_core::rng::Rng;
use keyway_core::store::proof::sha256;
use support::{Network, wait_until};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

const KILLS: u64 = 8;
const NODES: usize = 6;
/// Clients, each with one operation under way.
const CLIENTS: u64 = 12;
/// For the load to go on after a kill, and for anything else.
const PATIENCE: Duration = Duration::from_secs(120);
/// Long enough for everything to live to the end.
const LIFE: Duration = Duration::from_secs(6 * 3600);
/// Tries of one question at the end.
const TRIES_MAX: u32 = 20;

fn kills() -> u64 {
    std::env::var("KEYWAY_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS)
}

/// What a client knows of a value that it has put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Acknowledged.
    There,
    /// Its removal was acknowledged.
    Removed,
    /// The last word on it was not heard.
    Unknown,
}

/// How a value is removed.
#[derive(Clone)]
enum Right {
    Secret(Secret),
    Signature(Nonce),
}

struct Item {
    key: Key,
    value: Bytes,
    right: Right,
    state: State,
}

/// A client's series: the number that was acknowledged last, and the one that was tried last.
#[derive(Clone, Copy, Default)]
struct Series {
    acked: u64,
    tried: u64,
}

/// What all clients have done.
#[derive(Default)]
struct Counts {
    acked: AtomicU64,
    removed: AtomicU64,
    unheard: AtomicU64,
}

/// One client with its memory.
struct Worker {
    number: u64,
    client: Client,
    signer: Signer,
    rng: Rng,
    items: Vec<Item>,
    series: Series,
    counts: Arc<Counts>,
}

fn series_value(worker: u64, seq: u64) -> Bytes {
    format!("series of {worker} at {seq}").into()
}

impl Worker {
    fn new(number: u64, gateways: &[String], counts: Arc<Counts>) -> Worker {
        let mut gateways = gateways.to_vec();
        let by = number as usize % gateways.len();
        gateways.rotate_left(by);
        let client = Client::new(&gateways).expect("addresses");
        let (signer, rng) = (Signer::from_seed(&[number as u8; 32]), Rng::from_u64(number));
        Worker { number, client, signer, rng, items: Vec::new(), series: Series::default(), counts }
    }

    fn series_key(&self) -> (Key, Nonce) {
        let name = format!("series {}", self.number);
        (Key::text(&name), Hex(sha256(name.as_bytes())))
    }

    async fn work(mut self, stop: Arc<AtomicBool>) -> Worker {
        while !stop.load(Ordering::Relaxed) {
            let done = match self.rng.below(10) {
                0..=3 => self.put().await,
                4..=5 => self.sign().await,
                6 => self.follow_up().await,
                _ => self.remove().await,
            };
            let count = if done { &self.counts.acked } else { &self.counts.unheard };
            count.fetch_add(1, Ordering::Relaxed);
        }
        self
    }

    fn fresh(&mut self) -> (Key, Bytes) {
        let n = self.items.len();
        let value = support::noise(self.number << 32 | n as u64, 20 + self.rng.below(1500) as usize);
        (Key::text(&format!("{} {n}", self.number)), value.into())
    }

    fn keep(&mut self, key: Key, value: Bytes, right: Right, acked: bool) -> bool {
        let state = if acked { State::There } else { State::Unknown };
        self.items.push(Item { key, value, right, state });
        acked
    }

    async fn put(&mut self) -> bool {
        let (key, value) = self.fresh();
        let secret = Secret::new(format!("secret of {key}").into_bytes()[..40].to_vec()).expect("40 bytes");
        let options = PutOptions { ttl: Some(LIFE), secret_hash: Some(secret.hash()) };
        let acked = self.client.put_with(&key, value.clone(), &options).await.is_ok();
        self.keep(key, value, Right::Secret(secret), acked)
    }

    async fn sign(&mut self) -> bool {
        let (key, value) = self.fresh();
        let nonce = Nonce::random().expect("random bytes");
        let claim = Claim::value(key, value.clone(), nonce, expires_in(LIFE));
        let acked = self.client.put_signed(&claim, &self.signer, None).await.is_ok();
        self.keep(key, value, Right::Signature(nonce), acked)
    }

    async fn follow_up(&mut self) -> bool {
        let (key, nonce) = self.series_key();
        self.series.tried += 1;
        let seq = self.series.tried;
        let claim = Claim::next(key, series_value(self.number, seq), nonce, seq, expires_in(LIFE));
        let acked = self.client.put_signed(&claim, &self.signer, None).await.is_ok();
        if acked {
            self.series.acked = seq;
        }
        acked
    }

    async fn remove(&mut self) -> bool {
        let there: Vec<usize> =
            (0..self.items.len()).filter(|at| self.items[*at].state == State::There).collect();
        // Most are kept, so that there is something to be lost.
        let Some(at) = self.rng.index(there.len()).map(|i| there[i]).filter(|_| there.len() > 10) else {
            return self.put().await;
        };
        let Item { key, value, right, .. } = &self.items[at];
        let removed = match right {
            Right::Secret(secret) => self.client.remove(key, &Key::hash(value), secret).await,
            Right::Signature(nonce) => {
                let end = expires_in(LIFE + Duration::from_secs(60));
                let claim = Claim::removal(*key, Hex(sha256(value)), *nonce, end);
                self.client.remove_signed(&claim, &self.signer, None).await
            }
        };
        // While members change a removal may not see what it hides; it stands all the same.
        let stands = match &removed {
            Ok(_) => true,
            Err(ClientError::Refused { code, .. }) => code == "nothing_removed",
            Err(_) => false,
        };
        self.items[at].state = if stands { State::Removed } else { State::Unknown };
        self.counts.removed.fetch_add(u64::from(stands), Ordering::Relaxed);
        stands
    }
}

/// What the end showed.
#[derive(Default, Debug)]
struct Verdict {
    there: u64,
    removed: u64,
    unknown: u64,
    lost: Vec<String>,
    returned: Vec<String>,
}

impl Worker {
    /// The values under a key, asked for until somebody answers.
    async fn values(&self, key: &Key) -> Vec<(Bytes, u64)> {
        for _ in 0..TRIES_MAX {
            if let Ok(page) = self.client.get(key, &GetOptions::default()).await {
                return page.values.into_iter().map(|v| (v.bytes, v.seq.unwrap_or(0))).collect();
            }
        }
        panic!("nobody answers for {key}");
    }

    /// Reads everything back.
    async fn judge(self) -> (Worker, Verdict) {
        let mut verdict = Verdict::default();
        for item in &self.items {
            let found = self.values(&item.key).await;
            let there = found.iter().any(|(bytes, _)| *bytes == item.value);
            match item.state {
                State::There => verdict.there += 1,
                State::Removed => verdict.removed += 1,
                State::Unknown => verdict.unknown += 1,
            }
            match item.state {
                State::There if !there => verdict.lost.push(item.key.to_string()),
                State::Removed if there => verdict.returned.push(item.key.to_string()),
                _ => {}
            }
        }
        let (key, _) = self.series_key();
        let found = self.values(&key).await;
        let known = |(bytes, seq): &(Bytes, u64)| {
            (self.series.acked..=self.series.tried).contains(seq) && *bytes == series_value(self.number, *seq)
        };
        if self.series.acked > 0 && !found.iter().any(known) {
            let seen: Vec<u64> = found.iter().map(|(_, seq)| *seq).collect();
            verdict.lost.push(format!("series {}: at {seen:?}, not {}", self.number, self.series.acked));
        }
        (self, verdict)
    }
}

/// All workers read everything back.
fn judge_all(runtime: &Runtime, workers: Vec<Worker>, when: &str) -> Vec<Worker> {
    let began = Instant::now();
    let tasks: Vec<JoinHandle<(Worker, Verdict)>> =
        workers.into_iter().map(|worker| runtime.spawn(worker.judge())).collect();
    let (mut sum, mut workers) = (Verdict::default(), Vec::new());
    for task in tasks {
        let (worker, verdict) = runtime.block_on(task).expect("no panic");
        workers.push(worker);
        sum.there += verdict.there;
        sum.removed += verdict.removed;
        sum.unknown += verdict.unknown;
        sum.lost.extend(verdict.lost);
        sum.returned.extend(verdict.returned);
    }
    let series: u64 = workers.iter().map(|worker| worker.series.acked).sum();
    println!(
        "{when}: {} values acknowledged, {} lost; {} removed, {} returned; {} unheard of; {series} numbers of series ({:.1} s)",
        sum.there,
        sum.lost.len(),
        sum.removed,
        sum.returned.len(),
        sum.unknown,
        began.elapsed().as_secs_f64()
    );
    assert!(sum.lost.is_empty(), "{when}: acknowledged and lost: {:?}", sum.lost);
    assert!(sum.returned.is_empty(), "{when}: removed and back: {:?}", sum.returned);
    workers
}

/// Kills one node, two, or all; starts them again when the load has gone on for a while, all of them at once.
fn kill_some(network: &mut Network, rng: &mut Rng, acked: &dyn Fn() -> u64) -> u64 {
    let mut victims: Vec<usize> = (0..NODES).collect();
    let count = match rng.below(20) {
        0 => NODES,
        1..=4 => 2,
        _ => 1,
    };
    while victims.len() > count {
        let at = rng.below(victims.len() as u64) as usize;
        victims.swap_remove(at);
    }
    victims.iter().for_each(|at| network.nodes[*at].kill());
    if count < NODES {
        let until = acked() + rng.between(1, 60);
        wait_until("the load goes on beside the dead", PATIENCE, || (acked() >= until).then_some(()));
    }
    victims.iter().for_each(|at| network.restart(*at));
    let until = acked() + rng.between(1, 60);
    wait_until("the load goes on", PATIENCE, || (acked() >= until).then_some(()));
    count as u64
}

#[test]
fn random_kills_lose_nothing_and_bring_nothing_back() {
    let mut network = Network::start(NODES, &[]);
    let gateways: Vec<String> = network.nodes.iter().map(support::Node::url).collect();
    let runtime = Runtime::new().expect("a runtime");
    let (counts, stop) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
    let begin = |number| {
        let worker = Worker::new(number, &gateways, counts.clone());
        runtime.block_on(worker.client.network_id()).expect("the network has an id");
        runtime.spawn(worker.work(stop.clone()))
    };
    let tasks: Vec<JoinHandle<Worker>> = (1..=CLIENTS).map(begin).collect();
    let acked = || counts.acked.load(Ordering::Relaxed);
    let (began, mut rng, mut killed, wanted) = (Instant::now(), Rng::from_u64(2024), 0, kills());
    wait_until("the load begins", PATIENCE, || (acked() >= 100).then_some(()));
    while killed < wanted {
        killed += kill_some(&mut network, &mut rng, &acked);
    }
    stop.store(true, Ordering::Relaxed);
    let workers: Vec<Worker> =
        tasks.into_iter().map(|task| runtime.block_on(task).expect("no panic")).collect();
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{killed} kills in {seconds:.0} s; {} operations acknowledged ({:.0}/s), {} of them removes; {} without an answer",
        acked(),
        acked() as f64 / seconds,
        counts.removed.load(Ordering::Relaxed),
        counts.unheard.load(Ordering::Relaxed),
    );
    network.wait_ready(PATIENCE);
    let workers = judge_all(&runtime, workers, "all alive");
    (0..NODES).for_each(|at| network.nodes[at].kill());
    (0..NODES).for_each(|at| network.restart(at));
    network.wait_ready(PATIENCE);
    judge_all(&runtime, workers, "killed at once and restarted");
}
