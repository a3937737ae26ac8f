//! A network of `keyway node` processes on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::http::{get, wait_until};
use super::process::{Process, Ran, command, run};
use super::{SOON, free_ports};

/// One node: its place, and its process while it lives.
pub struct Node {
    /// Where it listens for nodes.
    pub udp: SocketAddr,
    /// Where it listens for clients.
    pub http: SocketAddr,
    /// Where it listens for clients of Sun RPC.
    pub sunrpc: SocketAddr,
    /// Its data.
    pub data: PathBuf,
    log: PathBuf,
    flags: Vec<String>,
    process: Option<Process>,
}

impl Node {
    /// A node that is not running yet. `flags` are those of `keyway node`.
    pub fn new(dir: &Path, name: &str, flags: &[&str]) -> Node {
        let port = free_ports(1, 1);
        Node {
            udp: (Ipv4Addr::LOCALHOST, port).into(),
            http: (Ipv4Addr::LOCALHOST, port + 1).into(),
            sunrpc: (Ipv4Addr::LOCALHOST, port + 2).into(),
            data: dir.join(name),
            log: dir.join(format!("{name}.log")),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            process: None,
        }
    }

    /// The command that starts it.
    pub fn command(&self, join: &[SocketAddr]) -> Command {
        let mut start = command();
        start.args([
            "node",
            "-o",
            "json",
            "--listen",
            &self.udp.to_string(),
            "--http",
            &self.http.to_string(),
            "--sunrpc",
            &self.sunrpc.to_string(),
        ]);
        start.arg("--data").arg(&self.data);
        for seed in join {
            start.args(["--join", &seed.to_string()]);
        }
        start.args(&self.flags);
        start
    }

    /// Starts it, and waits until it listens.
    pub fn start(&mut self, join: &[SocketAddr]) {
        let mut start = self.command(join);
        self.start_as(&mut start);
    }

    /// Starts it by a command of the caller's making.
    pub fn start_as(&mut self, start: &mut Command) {
        assert!(self.process.is_none(), "it runs already");
        let process = Process::start(start, &self.log);
        process.event("listening");
        self.process = Some(process);
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the node runs")
    }

    /// Whether it was started and not killed.
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Waits until `/readyz` says yes.
    pub fn wait_ready(&mut self, limit: Duration) {
        let http = self.http;
        let process = self.process();
        wait_until(&format!("{http} is ready"), limit, || {
            if let Some(status) = process.ended() {
                panic!("the node ended with {status}\n{}", process.log_end());
            }
            get(http, "/readyz").filter(|(status, _)| *status == 200)
        });
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.take().expect("the node runs").kill();
    }

    /// SIGTERM, and waits until it has handed over and left.
    pub fn leave(&mut self, limit: Duration) {
        let mut process = self.process.take().expect("the node runs");
        process.terminate();
        let status = process.end(limit);
        assert!(status.success(), "it left with {status}\n{}", process.log_end());
    }

    /// The URL of its gateway.
    pub fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// `/v1/node`.
    pub fn status(&self) -> Option<Value> {
        let (status, body) = get(self.http, "/v1/node")?;
        (status == 200).then(|| serde_json::from_str(&body).expect("a status is JSON"))
    }

    /// The sum of all lines of `/metrics` that begin with `name`.
    pub fn metric(&self, name: &str) -> f64 {
        let body = get(self.http, "/metrics").map(|(_, body)| body).unwrap_or_default();
        let values = body.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            rest.starts_with([' ', '{']).then(|| line.rsplit(' ').next()?.parse::<f64>().ok()).flatten()
        });
        values.sum()
    }
}

/// Nodes that form one network, in a directory of their own.
pub struct Network {
    /// The nodes, in order of their first start.
    pub nodes: Vec<Node>,
    /// Where everything lies.
    pub dir: TempDir,
    flags: Vec<String>,
}

impl Network {
    /// `count` nodes with these flags, all ready.
    pub fn start(count: usize, flags: &[&str]) -> Network {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut network = Network { nodes: Vec::new(), dir, flags };
        network.add();
        for _ in 1..count {
            network.begin();
        }
        network.wait_ready(SOON);
        network
    }

    /// One more node, ready; gives its place in the list.
    pub fn add(&mut self) -> usize {
        let at = self.begin();
        self.nodes[at].wait_ready(SOON);
        at
    }

    /// One more node, begun.
    fn begin(&mut self) -> usize {
        let at = self.nodes.len();
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let mut node = Node::new(self.dir.path(), &format!("node-{at}"), &flags);
        let seeds = self.seeds(at);
        node.start(&seeds[..seeds.len().min(2)]);
        self.nodes.push(node);
        at
    }

    /// Starts a node again on its data, with all others as seeds.
    pub fn restart(&mut self, at: usize) {
        let seeds = self.seeds(at);
        self.nodes[at].start(&seeds);
    }

    fn seeds(&self, of: usize) -> Vec<SocketAddr> {
        self.nodes.iter().enumerate().filter(|(at, _)| *at != of).map(|(_, node)| node.udp).collect()
    }

    /// Waits until every running node is ready.
    pub fn wait_ready(&mut self, limit: Duration) {
        self.nodes.iter_mut().filter(|node| node.is_running()).for_each(|node| node.wait_ready(limit));
    }

    /// The gateways of all running nodes.
    pub fn gateways(&self) -> String {
        let running = self.nodes.iter().filter(|node| node.is_running());
        running.map(Node::url).collect::<Vec<_>>().join(",")
    }

    /// A command with every gateway of a running node, to be run to its end or beside.
    pub fn verb(&self, args: &[&str]) -> Command {
        let mut verb = command();
        verb.args(args).env("KEYWAY_GATEWAY", self.gateways());
        verb
    }

    /// Runs a verb against all running nodes' gateways.
    pub fn run(&self, args: &[&str]) -> Ran {
        run(&mut self.verb(args), b"")
    }

    /// Records held by all running nodes: each counted once per copy.
    pub fn copies(&self) -> u64 {
        let running = self.nodes.iter().filter(|node| node.is_running());
        running.filter_map(|node| node.status()?["records"].as_u64()).sum()
    }
}
