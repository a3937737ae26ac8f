//! `keyway up`: a small durable network in one process, to try things out.
//!
//! ```text
//!   node i    nodes (UDP, TCP) 127.0.0.1:base + 10 i        clients (HTTP) 127.0.0.1:base + 10 i + 1
//!             data in DIR/node-i                           clients (Sun RPC) 127.0.0.1:base + 10 i + 2
//!   node 0 founds the network, the others join it; run again, all find their data and each other
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use keyway_client::GATEWAY_DEFAULT;
use keyway_gateway::GatewayConfig;
use keyway_net::NodeSettings;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::exit::{Exit, Failure};
use crate::node::Durability;
use crate::output::{Style, plural};
use crate::serve::{self, Ports, Served, Signals};
use crate::session::Session;
use crate::shortage::Shortage;

/// Ports from one node's to the next one's.
const PORT_STEP: u16 = 10;
/// Most nodes in one process: what fits below port 65536 from the default base, and file descriptors.
const NODES_MAX: i64 = 64;
/// For all nodes to be members and all ranges to be taken over.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// Between two remarks about what is waited for.
const REMARK_EVERY: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  keyway up                                 8 nodes, data in ./keyway-data, gateway at http://127.0.0.1:5851
  keyway up --nodes 3 --base-port 6850      beside another one
  keyway up --durability memory             nothing is kept
  keyway up --overlay kademlia --data kad   over another overlay

Ctrl-C leaves; run again it finds its data.
";

/// Run a small durable network on this machine. Each field is a flag, a variable and a key of the configuration file.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[command(before_help = EXAMPLES)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct UpArgs {
    /// How many nodes [default: 8]
    #[arg(long, value_name = "N", env = "KEYWAY_NODES", value_parser = clap::value_parser!(u16).range(1..=NODES_MAX))]
    nodes: Option<u16>,
    /// Node i listens on PORT + 10 i for nodes, on the next port for clients (HTTP), on the one after it for Sun RPC [default: 5850]
    #[arg(long, value_name = "PORT", env = "KEYWAY_BASE_PORT")]
    base_port: Option<u16>,
    /// Node i keeps its data in DIR/node-i [default: ./keyway-data]
    #[arg(long, value_name = "DIR", env = "KEYWAY_UP_DATA")]
    data: Option<PathBuf>,
    /// How safe a copy is before it is acknowledged [default: fsync]
    #[arg(long, value_enum, env = "KEYWAY_DURABILITY")]
    durability: Option<Durability>,
    /// Which overlay the nodes run [default: chord]
    #[arg(long, value_name = "NAME", env = "KEYWAY_OVERLAY")]
    overlay: Option<String>,
}

impl UpArgs {
    /// Refuses what a start would refuse at once, and touches nothing.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let plan = Plan::new(self.clone())?;
        serve::check(&plan.settings(0), &GatewayConfig::default())
    }

    /// What holds when nothing is said.
    pub(crate) fn defaults() -> UpArgs {
        UpArgs {
            nodes: Some(8),
            base_port: Some(5850),
            data: Some("keyway-data".into()),
            durability: Some(Durability::Fsync),
            overlay: Some(NodeSettings::default().overlay),
        }
    }
}

/// The same, decided.
struct Plan {
    nodes: u16,
    base_port: u16,
    data: PathBuf,
    durability: Durability,
    overlay: String,
}

impl Plan {
    fn new(args: UpArgs) -> Result<Plan, Failure> {
        let (Some(nodes), Some(base_port), Some(data), Some(durability), Some(overlay)) =
            (args.nodes, args.base_port, args.data, args.durability, args.overlay)
        else {
            return Err(Failure::new(Exit::Failure, "our own bug: a setting of `up` without a default"));
        };
        // A flag is bounded by its parser; a file is not.
        if !(1..=NODES_MAX).contains(&i64::from(nodes)) {
            return Err(Failure::new(Exit::Usage, format!("{nodes} nodes: `up` runs 1 to {NODES_MAX}")));
        }
        let last = u32::from(base_port) + u32::from(PORT_STEP) * u32::from(nodes - 1) + 2;
        if base_port == 0 || last > u32::from(u16::MAX) {
            return Err(Failure::new(
                Exit::Usage,
                format!(
                    "--base-port {base_port} with {nodes} nodes: ports run from the base to the base + {}",
                    last - u32::from(base_port)
                ),
            )
            .hint(format!("choose a base from 1 to {}", u32::from(u16::MAX) + u32::from(base_port) - last)));
        }
        Ok(Plan { nodes, base_port, data, durability, overlay })
    }

    fn udp(&self, node: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.base_port + PORT_STEP * node).into()
    }

    fn ports(&self, node: u16) -> Ports {
        let port = self.base_port + PORT_STEP * node;
        let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ports { http: at(port + 1), sunrpc: Some(at(port + 2)) }
    }

    /// Node 0 founds, the others join it. With data of an earlier life node 0 needs nobody to show it the way, and if only
    /// its own data is gone it must not found a second network.
    fn settings(&self, node: u16) -> NodeSettings {
        let dir = |node: u16| self.data.join(format!("node-{node}"));
        let kept = self.durability != Durability::Memory;
        let lived_before = |node: u16| kept && dir(node).exists();
        let others = (0..self.nodes).filter(|other| *other != node);
        let seeds = match node {
            0 if lived_before(0) || !others.clone().any(lived_before) => Vec::new(),
            _ => others.map(|other| self.udp(other)).collect(),
        };
        NodeSettings {
            listen: self.udp(node),
            seeds,
            data: kept.then(|| dir(node)),
            durability: self.durability.into(),
            overlay: self.overlay.clone(),
            // All nodes end together: there is nobody to hand over to, and what was acknowledged is on disk.
            stop_max: Duration::ZERO,
            ..NodeSettings::default()
        }
    }
}

/// What scripts read when the network is ready.
#[derive(Serialize)]
struct Ready {
    event: &'static str,
    nodes: Vec<NodeLine>,
    seconds: f64,
}

#[derive(Serialize)]
struct NodeLine {
    id: String,
    udp: SocketAddr,
    http: String,
    sunrpc: Option<SocketAddr>,
}

/// `keyway up`, with every setting decided.
pub(crate) async fn run(args: UpArgs, session: &Session) -> Result<Exit, Failure> {
    let began = Instant::now();
    let mut signals = Signals::new()?;
    let plan = Plan::new(args)?;
    warn_of_strangers(&plan, session);
    let mut served = Vec::new();
    for node in 0..plan.nodes {
        let starting = serve::start(plan.settings(node), plan.ports(node), GatewayConfig::default());
        let started = tokio::select! {
            started = starting => started,
            () = signals.leave() => return leave(&plan, served, &mut signals, session).await,
        };
        served.push(started.map_err(|mut failure| {
            failure.message = format!("node {node}: {}", failure.message);
            failure
        })?);
    }
    tokio::select! {
        ready = ready(&served, session) => ready?,
        () = signals.leave() => return leave(&plan, served, &mut signals, session).await,
    }
    announce(&plan, &served, began.elapsed(), session).await?;
    let NodeSettings { replicas, acks, reads, .. } = plan.settings(0);
    let reads = reads.unwrap_or(replicas.saturating_add(1).saturating_sub(acks));
    if let Some(shortage) = Shortage::new(served.len() as u64, replicas, acks, reads) {
        session.output.note(format!(
            "\nwarning: {shortage}; take --nodes {replicas} or more. A node all by itself is `keyway node --replicas 1 --acks 1`"
        ));
    }
    let ended = any_ended(&served);
    tokio::select! {
        node = ended => Err(Failure::new(Exit::Failure, format!("node {node} ended by itself")).hint("the log says why")),
        () = signals.leave() => leave(&plan, served, &mut signals, session).await,
    }
}

/// Says so when the data directory holds nodes that this run leaves out: some values may have copies only there.
fn warn_of_strangers(plan: &Plan, session: &Session) {
    let left_out = |node: &u16| plan.data.join(format!("node-{node}")).exists();
    let count = (plan.nodes..NODES_MAX as u16).filter(left_out).count();
    if count > 0 && plan.durability != Durability::Memory {
        let (dir, all) = (plan.data.display(), usize::from(plan.nodes) + count);
        session.output.note(format!(
            "note: {dir} holds the data of {count} more {}; values whose copies are all there are not found without --nodes {all}",
            plural(count as u64, "node", "nodes")
        ));
    }
}

/// Waits until all nodes are members and have taken over their ranges.
async fn ready(served: &[Served], session: &Session) -> Result<(), Failure> {
    let mut waiting = JoinSet::new();
    for (at, one) in served.iter().enumerate() {
        let node = one.node.clone();
        waiting.spawn(async move { (at, node.wait_member().await) });
    }
    let mut remark = interval(REMARK_EVERY);
    remark.set_missed_tick_behavior(MissedTickBehavior::Delay);
    remark.tick().await;
    let deadline = tokio::time::sleep(READY_TIMEOUT);
    tokio::pin!(deadline);
    loop {
        tokio::select! {
            one = waiting.join_next() => match one {
                None => return Ok(()),
                Some(Ok((_, Ok(())))) => {}
                Some(Ok((at, Err(error)))) => {
                    return Err(Failure::new(Exit::Isolated, format!("node {at} did not become a member: {error}")));
                }
                Some(Err(error)) => return Err(Failure::new(Exit::Failure, format!("our own bug: {error}"))),
            },
            _ = remark.tick() => session.output.note(format!("waiting for {} of {} nodes ...", waiting.len(), served.len())),
            () = &mut deadline => {
                let seconds = READY_TIMEOUT.as_secs();
                let (left, all) = (waiting.len(), served.len());
                return Err(Failure::new(Exit::Partial, format!("{left} of {all} nodes are not ready after {seconds} s"))
                    .hint("run again with --log debug to see what they wait for"));
            }
        }
    }
}

async fn announce(plan: &Plan, served: &[Served], took: Duration, session: &Session) -> Result<(), Failure> {
    let output = &session.output;
    let mut nodes = Vec::new();
    for one in served {
        let id = one.node.status().await.map(|status| status.me.id().to_string()).unwrap_or_default();
        nodes.push(NodeLine { id, udp: one.node.listen(), http: one.url(), sunrpc: one.sunrpc });
    }
    if output.is_json() {
        return output.json_line(&Ready { event: "ready", nodes, seconds: took.as_secs_f64() });
    }
    let kept = match plan.durability {
        Durability::Memory => "nothing is kept".to_owned(),
        Durability::Os => format!("data in {} (written, not synced)", plan.data.display()),
        Durability::Fsync => format!("data in {} (synced before it is acknowledged)", plan.data.display()),
    };
    output.line(format!(
        "{} in {:.1} s: {} {} of one network, all ranges taken over; {kept}\n",
        output.style(Style::Green, "ready"),
        took.as_secs_f64(),
        served.len(),
        plural(served.len() as u64, "node is a member", "nodes are members"),
    ))?;
    let first_gateway = nodes[0].http.clone();
    let rows = nodes.into_iter().enumerate().map(|(at, node)| {
        let sunrpc = node.sunrpc.map(|addr| addr.to_string()).unwrap_or_default();
        let id = node.id[..8.min(node.id.len())].to_owned();
        vec![at.to_string(), id, node.udp.to_string(), node.http, sunrpc]
    });
    output.table(&["node", "id", "nodes talk", "clients", "Sun RPC"], &[], rows)?;
    let name = own_name();
    let gateway =
        if first_gateway == GATEWAY_DEFAULT { String::new() } else { format!(" --gateway {first_gateway}") };
    output.line("\nTry, in another terminal:\n")?;
    for words in ["put colors red", "get colors", "where colors"] {
        output.line(output.style(Style::Bold, &format!("  {name} {words}{gateway}")))?;
    }
    output.line(format!("\nand in a browser {first_gateway}/?key=colors"))?;
    output.line("\nCtrl-C leaves.")
}

/// How a person calls this program here: by its name if the shell would find it, else by its path.
fn own_name() -> String {
    let Ok(path) = std::env::current_exe() else { return "keyway".to_owned() };
    let on_path = std::env::var_os("PATH")
        .is_some_and(|dirs| std::env::split_paths(&dirs).any(|dir| Some(dir.as_path()) == path.parent()));
    if on_path {
        return "keyway".to_owned();
    }
    let here = std::env::current_dir().ok();
    let near = here.and_then(|here| path.strip_prefix(here).map(Path::to_owned).ok());
    near.unwrap_or(path).display().to_string()
}

/// The first node that ends by itself.
async fn any_ended(served: &[Served]) -> usize {
    let mut ends = JoinSet::new();
    for (at, one) in served.iter().enumerate() {
        let node = one.node.clone();
        ends.spawn(async move {
            node.stopped().await;
            at
        });
    }
    match ends.join_next().await {
        Some(Ok(at)) => at,
        _ => std::future::pending().await,
    }
}

/// All leave together. A second signal ends it at once.
async fn leave(
    plan: &Plan,
    served: Vec<Served>,
    signals: &mut Signals,
    session: &Session,
) -> Result<Exit, Failure> {
    session.output.note("leaving; once more to quit at once");
    let mut leaving = JoinSet::new();
    for one in served {
        leaving.spawn(async move {
            one.node.stop().await;
            one.close().await;
        });
    }
    tokio::select! {
        () = async { while leaving.join_next().await.is_some() {} } => {}
        () = signals.leave() => return Err(Failure::new(Exit::Interrupted, "quit")),
    }
    session.output.note(match plan.durability {
        Durability::Memory => "left; nothing was kept",
        Durability::Os | Durability::Fsync => "left; run again to find the data",
    });
    Ok(Exit::Ok)
}
