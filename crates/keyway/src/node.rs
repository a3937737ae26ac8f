//! `keyway node`: one node of a network, with its gateway, until it is told to leave.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use keyway_core::machine::Phase;
use keyway_core::overlay::registry::OVERLAYS;
use keyway_gateway::GatewayConfig;
use keyway_gateway::access::Scopes;
use keyway_net::NodeSettings;
use serde::{Deserialize, Serialize};

use crate::config::one_or_many;
use crate::door::Door;
use crate::duration::Span;
use crate::exit::{Exit, Failure};
use crate::output::Style;
use crate::serve::{self, Ports, Served, Signals};
use crate::session::Session;
use crate::shortage::Shortage;
use crate::size::Size;

/// Between two remarks about a node that has not joined yet.
const REMARK_EVERY: Duration = Duration::from_secs(10);
/// Shortest network key, in bytes after trimming.
const NETWORK_KEY_BYTES_MIN: usize = 16;

const EXAMPLES: &str = "\
Examples:
  keyway node                                        found a network on this machine; puts wait for a second node
  keyway node --replicas 1 --acks 1                  a node all by itself
  keyway node --listen 127.0.0.1:5860 --http 127.0.0.1:5861 --sunrpc none --data d2 --join 127.0.0.1:5850
  keyway node --listen 10.0.0.7:5850 --join 10.0.0.1:5850 --network-key-file /etc/keyway/key
  keyway node --http 10.0.0.7:5851 --tokens /etc/keyway/tokens ...     clients show a token (keyway token create)
  keyway node --replicas 8 --acks 2 --read-quorum 5 --open read,write  as the public service of 2005
  head -c 32 /dev/urandom | base64 > /etc/keyway/key

Off loopback a node needs a network key, and its clients an access token unless --open says what they may do without. SIGTERM or Ctrl-C hands its records over and leaves; a second one, half a second later or more, quits at \
once. Run again with the same data it is the same node.
";

/// How safe a copy is before it is acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Durability {
    /// In this process only: gone when it ends.
    Memory,
    /// With the operating system: survives the process, not the machine.
    Os,
    /// On the disk.
    Fsync,
}

impl From<Durability> for keyway_net::Durability {
    fn from(durability: Durability) -> keyway_net::Durability {
        match durability {
            Durability::Memory => keyway_net::Durability::Memory,
            Durability::Os => keyway_net::Durability::Os,
            Durability::Fsync => keyway_net::Durability::Fsync,
        }
    }
}

/// Who is charged for what is signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Charge {
    /// The address from which it comes; of IPv6 its network of 64 bits.
    Address,
    /// Its signer. Keys cost nothing: for networks whose signers are known.
    Signer,
}

/// Run one node of a network. Each field is a flag, a variable and a key of the configuration file.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[command(before_help = EXAMPLES)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct NodeArgs {
    /// Where it listens for other nodes, UDP and TCP; port 0 takes a free one [default: 127.0.0.1:5850]
    #[arg(long, value_name = "ADDR:PORT", env = "KEYWAY_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,
    /// The address that other nodes should use [default: what it listens on]
    #[arg(long, value_name = "ADDR:PORT", env = "KEYWAY_ADVERTISE")]
    pub(crate) advertise: Option<SocketAddr>,
    /// A node of the network to join; repeatable. Without it, and without data of an earlier life, it founds a network
    #[arg(long, value_name = "HOST:PORT", env = "KEYWAY_JOIN", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub(crate) join: Vec<String>,
    /// Where its gateway listens for clients [default: 127.0.0.1:5851]
    #[arg(long, value_name = "ADDR:PORT", env = "KEYWAY_HTTP")]
    pub(crate) http: Option<SocketAddr>,
    /// Where its gateway listens for clients of Sun RPC, or `none` [default: 127.0.0.1:5852]
    #[arg(long, value_name = "ADDR:PORT", env = "KEYWAY_SUNRPC")]
    pub(crate) sunrpc: Option<Door>,
    /// How long a connection of Sun RPC may rest [default: 30s]
    #[arg(long, value_name = "DURATION", env = "KEYWAY_SUNRPC_IDLE")]
    pub(crate) sunrpc_idle: Option<Span>,
    /// Greatest value taken over XML-RPC and Sun RPC; clients of 2005 are compiled for 1024 bytes [default: 1KiB]
    #[arg(long, value_name = "BYTES", env = "KEYWAY_LEGACY_VALUE_MAX")]
    pub(crate) legacy_value_max: Option<Size>,
    /// Greatest life given over XML-RPC and Sun RPC [default: 1w]
    #[arg(long, value_name = "DURATION", env = "KEYWAY_LEGACY_TTL_MAX")]
    pub(crate) legacy_ttl_max: Option<Span>,
    /// What a page of values may cost over XML-RPC and Sun RPC, each its length and 39 bytes [default: 1063B]
    #[arg(long, value_name = "BYTES", env = "KEYWAY_LEGACY_PAGE")]
    pub(crate) legacy_page: Option<Size>,
    /// A name or address that clients may call the gateway by, beside loopback and the address it listens on; repeatable
    #[arg(long, value_name = "HOST", env = "KEYWAY_ALLOWED_HOST", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub(crate) allowed_host: Vec<String>,
    /// The access tokens that the gateway admits (`keyway token`); read again when it changes [default: none]
    #[arg(long, value_name = "FILE", env = "KEYWAY_TOKENS")]
    pub(crate) tokens: Option<PathBuf>,
    /// What those may do who show no token: none, or some of read,write,admin [default: none]
    #[arg(long, value_name = "SCOPES", env = "KEYWAY_OPEN")]
    pub(crate) open: Option<Scopes>,
    /// The same for those who come from this machine; with a proxy here that is everybody [default: read,write,admin]
    #[arg(long, value_name = "SCOPES", env = "KEYWAY_OPEN_LOOPBACK")]
    pub(crate) open_loopback: Option<Scopes>,
    /// Who is charged for what is signed, if no token is shown: its address or its signer [default: address]
    #[arg(long, value_enum, env = "KEYWAY_CHARGE")]
    pub(crate) charge: Option<Charge>,
    /// Where it keeps its id and its records [default: ./keyway-data/node]
    #[arg(long, value_name = "DIR", env = "KEYWAY_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// How safe a copy is before it is acknowledged [default: fsync]
    #[arg(long, value_enum, env = "KEYWAY_DURABILITY")]
    pub(crate) durability: Option<Durability>,
    /// How nodes find each other [default: chord]
    #[arg(long, value_name = "NAME", env = "KEYWAY_OVERLAY", value_parser = PossibleValuesParser::new(OVERLAYS.iter().map(|e| e.name)))]
    pub(crate) overlay: Option<String>,
    /// A setting of the overlay by its own name, durations in milliseconds; repeatable
    #[arg(long, value_name = "NAME=N", env = "KEYWAY_OVERLAY_OPTION", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub(crate) overlay_option: Vec<String>,
    /// How the lookups of this node's clients travel: iterative, recursive, semi-recursive [default: iterative]
    #[arg(long, value_name = "STYLE", env = "KEYWAY_LOOKUP_STYLE")]
    pub(crate) lookup_style: Option<String>,
    /// Copies kept of each value; the same on every node of a network [default: 3]
    #[arg(long, value_name = "R", env = "KEYWAY_REPLICAS")]
    pub(crate) replicas: Option<u8>,
    /// Copies that acknowledge before a put is acknowledged; the same on every node of a network [default: 2]
    #[arg(long, value_name = "W", env = "KEYWAY_ACKS")]
    pub(crate) acks: Option<u8>,
    /// Copies whose holders a read asks; fewer than R - W + 1 may miss a put for a while; the same on every node [default: R - W + 1]
    #[arg(long, value_name = "Q", env = "KEYWAY_READ_QUORUM")]
    pub(crate) read_quorum: Option<u8>,
    /// Greatest value taken, at most 1MiB [default: 64KiB]
    #[arg(long, value_name = "BYTES", env = "KEYWAY_VALUE_MAX")]
    pub(crate) value_max: Option<Size>,
    /// Greatest life given [default: 1w]
    #[arg(long, value_name = "DURATION", env = "KEYWAY_TTL_MAX")]
    pub(crate) ttl_max: Option<Span>,
    /// Greatest sum of the values kept here; more is refused as over capacity [default: no bound]
    #[arg(long, value_name = "BYTES", env = "KEYWAY_STORE_MAX")]
    pub(crate) store_max: Option<Size>,
    /// The secret that all nodes of the network share, in a file
    #[arg(long, value_name = "FILE", env = "KEYWAY_NETWORK_KEY_FILE")]
    pub(crate) network_key_file: Option<PathBuf>,
}

impl NodeArgs {
    /// What holds when nothing is said.
    pub(crate) fn defaults() -> NodeArgs {
        let (net, gateway) = (NodeSettings::default(), GatewayConfig::default());
        NodeArgs {
            listen: Some((Ipv4Addr::LOCALHOST, 5850).into()),
            http: Some((Ipv4Addr::LOCALHOST, 5851).into()),
            sunrpc: Some(Door::At((Ipv4Addr::LOCALHOST, 5852).into())),
            sunrpc_idle: Some(Span::from_secs(gateway.sunrpc.idle_timeout.as_secs())),
            legacy_value_max: Some(Size(gateway.legacy.value_bytes_max.into())),
            legacy_ttl_max: Some(Span::from_secs(gateway.legacy.ttl_max.as_secs())),
            legacy_page: Some(Size(gateway.legacy.page_bytes.into())),
            open: Some(gateway.access.open),
            open_loopback: Some(gateway.access.open_loopback),
            charge: Some(Charge::Address),
            data: Some("keyway-data/node".into()),
            durability: Some(Durability::Fsync),
            overlay: Some(net.overlay),
            lookup_style: Some(net.lookup_style.name().to_owned()),
            replicas: Some(net.replicas),
            acks: Some(net.acks),
            value_max: Some(Size(net.value_bytes_max.into())),
            ttl_max: Some(Span::from_secs(net.ttl_max.as_secs())),
            ..NodeArgs::default()
        }
    }

    /// Refuses what a start would refuse at once, and touches nothing.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        serve::check(&self.settings()?, &self.gateway())
    }

    /// As the gateway takes it.
    fn gateway(&self) -> GatewayConfig {
        let mut config =
            GatewayConfig { allowed_hosts: self.allowed_host.clone(), ..GatewayConfig::default() };
        // What does not fit is beyond any value that a node takes.
        let bytes = |Size(bytes)| u32::try_from(bytes).unwrap_or(u32::MAX);
        let legacy = &mut config.legacy;
        legacy.value_bytes_max = self.legacy_value_max.map_or(legacy.value_bytes_max, bytes);
        legacy.page_bytes = self.legacy_page.map_or(legacy.page_bytes, bytes);
        legacy.ttl_max = self.legacy_ttl_max.map_or(legacy.ttl_max, Duration::from);
        let access = &mut config.access;
        access.tokens.clone_from(&self.tokens);
        access.open = self.open.unwrap_or(access.open);
        access.open_loopback = self.open_loopback.unwrap_or(access.open_loopback);
        access.charge_signers = self.charge == Some(Charge::Signer);
        config.sunrpc.idle_timeout = self.sunrpc_idle.map_or(config.sunrpc.idle_timeout, Duration::from);
        config
    }

    /// As the driver takes it. The key is read.
    fn settings(&self) -> Result<NodeSettings, Failure> {
        let mut settings = NodeSettings::default();
        settings.listen = self.listen.unwrap_or(settings.listen);
        settings.advertise = self.advertise;
        settings.seed_names.clone_from(&self.join);
        let durability = self.durability.unwrap_or(Durability::Fsync);
        settings.durability = durability.into();
        settings.data = self.data.clone().filter(|_| durability != Durability::Memory);
        if let Some(overlay) = &self.overlay {
            settings.overlay.clone_from(overlay);
        }
        settings.overlay_options =
            self.overlay_option.iter().map(|text| overlay_option(text)).collect::<Result<_, _>>()?;
        if let Some(style) = &self.lookup_style {
            settings.lookup_style = style.parse().map_err(|why: String| Failure::new(Exit::Usage, why))?;
        }
        settings.replicas = self.replicas.unwrap_or(settings.replicas);
        settings.acks = self.acks.unwrap_or(settings.acks);
        if settings.acks == 0 || settings.acks > settings.replicas {
            let (acks, replicas) = (settings.acks, settings.replicas);
            return Err(Failure::new(
                Exit::Usage,
                format!(
                    "--acks {acks} with --replicas {replicas}: a put waits for 1 to {replicas} of its copies"
                ),
            ));
        }
        settings.reads = self.read_quorum;
        if let Some(reads) = self.read_quorum
            && (reads == 0 || reads > settings.replicas)
        {
            let text = format!("--read-quorum {reads}: a read asks 1 to {} holders", settings.replicas);
            return Err(Failure::new(Exit::Usage, text));
        }
        if let Some(Size(bytes)) = self.value_max {
            // What does not fit is beyond the bound that the driver tells of.
            settings.value_bytes_max = u32::try_from(bytes).unwrap_or(u32::MAX);
        }
        if let Some(span) = self.ttl_max {
            settings.ttl_max = span.into();
        }
        if let Some(Size(bytes)) = self.store_max {
            settings.store_bytes_max = bytes;
        }
        settings.network_key = self.network_key_file.as_ref().map(network_key).transpose()?;
        Ok(settings)
    }
}

fn overlay_option(text: &str) -> Result<(String, u64), Failure> {
    let parsed = text.split_once('=').and_then(|(name, n)| Some((name.to_owned(), n.parse().ok()?)));
    parsed.ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            format!("--overlay-option {text:?}: write NAME=NUMBER, durations in milliseconds"),
        )
    })
}

/// The secret in a file, without the white space around it.
fn network_key(path: &PathBuf) -> Result<Vec<u8>, Failure> {
    let name = path.display();
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot read the network key in {name}: {error}")).hint(format!(
            "name a file that you may read; for a new network: head -c 32 /dev/urandom | base64 > {name}"
        ))
    })?;
    let key = bytes.trim_ascii();
    if key.len() < NETWORK_KEY_BYTES_MIN {
        let count = key.len();
        return Err(Failure::new(
            Exit::Usage,
            format!("the network key in {name} has {count} bytes; it needs at least {NETWORK_KEY_BYTES_MIN}"),
        )
        .hint("make one with: head -c 32 /dev/urandom | base64"));
    }
    Ok(key.to_vec())
}

/// A line that scripts read: where the node listens, or that it is ready.
#[derive(Serialize)]
struct Event<'a> {
    event: &'a str,
    id: String,
    udp: SocketAddr,
    http: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sunrpc: Option<SocketAddr>,
    pid: u32,
}

/// `keyway node`, with every setting decided.
pub(crate) async fn run(args: NodeArgs, session: &Session) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let http = args.http.unwrap_or((Ipv4Addr::LOCALHOST, 5851).into());
    let settings = args.settings()?;
    let ports = Ports { http, sunrpc: args.sunrpc.and_then(Door::at) };
    // To find the names that --join gives takes up to half a minute, and a great disk takes its time to open.
    let served = tokio::select! {
        served = serve::start(settings, ports, args.gateway()) => served?,
        () = signals.leave() => {
            session.output.note("left before it had begun");
            return Ok(Exit::Ok);
        }
    };
    let id = served.node.status().await.map(|status| status.me.id().to_string()).unwrap_or_default();

    let say = |event: &str| -> Result<(), Failure> {
        let (udp, http, id) = (served.node.listen(), served.url(), id.clone());
        if session.output.is_json() {
            let sunrpc = served.sunrpc;
            return session.output.json_line(&Event {
                event,
                id,
                udp,
                http,
                sunrpc,
                pid: std::process::id(),
            });
        }
        let event = session.output.style(Style::Green, event);
        let sunrpc = served.sunrpc.map(|addr| format!(", Sun RPC {addr}")).unwrap_or_default();
        session.output.line(format!("{event}  nodes {udp}  clients {http}{sunrpc}  id {id}"))
    };
    say("listening")?;
    tokio::select! {
        joined = joined(&served) => joined?,
        () = signals.leave() => return served.leave(&mut signals, session).await,
    }
    say("ready")?;
    if let Ok(status) = served.node.status().await
        && let Some(shortage) = Shortage::of_node(&status)
    {
        tracing::warn!("{shortage}; {}", shortage.way_out());
    }
    tokio::select! {
        () = served.node.stopped() => {
            served.close().await;
            Err(Failure::new(Exit::Failure, "the node ended by itself").hint("the log says why; --log debug says more"))
        }
        () = signals.leave() => served.leave(&mut signals, session).await,
    }
}

/// Waits until the node is a member and serves its ranges, telling the log what it waits for.
async fn joined(served: &Served) -> Result<(), Failure> {
    let mut remark = tokio::time::interval_at(tokio::time::Instant::now() + REMARK_EVERY, REMARK_EVERY);
    let waiting = served.node.wait_member();
    tokio::pin!(waiting);
    loop {
        tokio::select! {
            member = &mut waiting => return member.map_err(|error| {
                Failure::new(Exit::Isolated, format!("the node did not become a member: {error}"))
                    .hint("is every --join address that of a running node of the same network, with the same network key?")
            }),
            _ = remark.tick() => {
                if let Ok(status) = served.node.status().await {
                    let (all, ready) = status.shares;
                    match (status.phase, status.refused) {
                        (Phase::Joining, Some(why)) => tracing::warn!("no member answers, but {why}"),
                        (_, Some(why)) => tracing::warn!("refused by the network: {why}"),
                        (Phase::Joining, None) => tracing::warn!(
                            "no member answers: do --join or the remembered addresses name running nodes, and are the network key and --overlay the same?"
                        ),
                        (phase, None) => tracing::warn!(?phase, ranges = all, taken_over = ready, "not ready yet"),
                    }
                }
            }
        }
    }
}

/// What a port or address that cannot be listened on means.
pub(crate) fn cannot_listen(what: &str, addr: SocketAddr, error: &io::Error, flag: &str) -> Failure {
    let failure = Failure::new(Exit::Failure, format!("cannot listen on {addr} for {what}: {error}"));
    match error.kind() {
        io::ErrorKind::AddrInUse => failure.hint(format!(
            "another program has the port, perhaps another keyway; stop it, or choose another port with {flag}"
        )),
        io::ErrorKind::AddrNotAvailable => failure.hint(format!("this machine has no such address; see {flag}")),
        io::ErrorKind::PermissionDenied => failure.hint("ports below 1024 need privileges"),
        _ => failure,
    }
}
