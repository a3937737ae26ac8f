//! How a node is set up, and why it may not start. All texts are for people: what is wrong, and what to do.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use keyway_core::frame::FrameKey;
use keyway_core::machine::NodeConfig;
use keyway_core::machine::Style;
use keyway_core::overlay::registry::OVERLAYS;
use keyway_core::peer::Peer;
use keyway_core::rng::Seed;
use keyway_core::store::record::VALUE_BYTES_MAX;
use keyway_core::store::{SHARED_PERCENT, put_bytes_max};

use crate::disk::Durability;
use crate::disk::directory::DirectoryError;
use crate::disk::engine::{Life, OpenError};

/// The port between nodes.
pub const DEFAULT_PORT: u16 = 5850;
/// Seeds by address and by name together.
pub const SEEDS_MAX: usize = 64;

/// Settings of a node. The default is what a user gets who names only a data directory.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// Where it listens, UDP and TCP alike. Port 0: any port that is free for both.
    pub listen: SocketAddr,
    /// The address that others use to reach it, if it is not `listen`. Port 0: the port it listens on.
    pub advertise: Option<SocketAddr>,
    /// Members to join by. None at all, and no remembered peers: found a network.
    pub seeds: Vec<SocketAddr>,
    /// Members to join by, as `host:port`, looked up at the start until [`NodeSettings::resolve_max`].
    pub seed_names: Vec<String>,
    /// Its directory; needed unless the durability is `memory`.
    pub data: Option<PathBuf>,
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// Its overlay's name in the registry.
    pub overlay: String,
    /// The overlay's own settings, durations in milliseconds.
    pub overlay_options: Vec<(String, u64)>,
    /// How the lookups of its clients travel.
    pub lookup_style: Style,
    /// Copies kept of each value (R).
    pub replicas: u8,
    /// Acknowledgements that a put waits for (W).
    pub acks: u8,
    /// Replicas whose answers a quorum read merges; `None`: R - W + 1, which meets every acknowledged put.
    pub reads: Option<u8>,
    /// Greatest value taken, in bytes; at most 1 MiB.
    pub value_bytes_max: u32,
    /// Greatest life given.
    pub ttl_max: Duration,
    /// Bound on the bytes of values held here.
    pub store_bytes_max: u64,
    /// Bound on client operations under way at once.
    pub ops_max: u32,
    /// The secret that all nodes of the network share: the content of the network key file.
    pub network_key: Option<Vec<u8>>,
    /// Memory for the pages of the database file.
    pub disk_cache_bytes: usize,
    /// How long a graceful stop may take before the node goes without it.
    pub stop_max: Duration,
    /// How long to look for the addresses of `seed_names`.
    pub resolve_max: Duration,
}

impl Default for NodeSettings {
    fn default() -> NodeSettings {
        let config = NodeConfig::new(Peer::new(Default::default(), keyway_core::Addr::loopback(0)), [0; 32]);
        NodeSettings {
            listen: SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT)),
            advertise: None,
            seeds: Vec::new(),
            seed_names: Vec::new(),
            data: None,
            durability: Durability::Fsync,
            overlay: OVERLAYS[0].name.to_owned(),
            overlay_options: Vec::new(),
            lookup_style: config.lookup_style,
            replicas: config.replicas,
            acks: config.acks,
            reads: config.reads,
            value_bytes_max: config.value_bytes_max,
            ttl_max: Duration::from_micros(config.ttl_max.as_micros()),
            store_bytes_max: config.store_bytes_max,
            ops_max: config.ops_max,
            network_key: None,
            disk_cache_bytes: 64 << 20,
            stop_max: Duration::from_secs(30),
            resolve_max: Duration::from_secs(30),
        }
    }
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting is impossible.
    #[error("{0}")]
    Setting(String),
    /// Without a network key, anybody who reaches the port could join, read and write.
    #[error(
        "listening on {listen}, which others can reach, needs a network key: put the same random text into a file on \
         each node, for example with `head -c 32 /dev/urandom | base64 > network.key`, and name it with \
         --network-key-file; or listen on 127.0.0.1"
    )]
    NetworkKeyMissing {
        /// The address.
        listen: SocketAddr,
    },
    /// An address like 0.0.0.0 is not one that others could use.
    #[error(
        "listening on {listen} leaves open how others reach this node: name its address with --advertise HOST:PORT"
    )]
    AdvertiseMissing {
        /// The address.
        listen: SocketAddr,
    },
    /// The port cannot be had.
    #[error("cannot listen on {listen} ({protocol}): {source}{}", listen_hint(.source))]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// UDP or TCP.
        protocol: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// No seed can be found.
    #[error("none of the seeds could be looked up within {} s: {detail}", .waited.as_secs())]
    Seeds {
        /// How long it was tried.
        waited: Duration,
        /// The last error of each.
        detail: String,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The database in it cannot be used.
    #[error("cannot use the database in {path}: {source}", path = .path.display())]
    Database {
        /// The data directory.
        path: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// The system gives no thread.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// The system gives no randomness.
    #[error("cannot draw random bytes from the system: {0}")]
    Randomness(io::Error),
}

fn listen_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => "; is another node running? choose another port with --listen",
        io::ErrorKind::AddrNotAvailable => "; the address must be one of this machine",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges",
        _ => "",
    }
}

impl NodeSettings {
    /// Refuses what cannot work, before anything is touched.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn validate(&self) -> Result<(), StartError> {
        let setting = |text: String| Err(StartError::Setting(text));
        if self.acks == 0 || self.acks > self.replicas {
            return setting(format!(
                "a put that waits for {} of {} copies is impossible: choose 1 <= acks <= replicas",
                self.acks, self.replicas
            ));
        }
        if let Some(reads) = self.reads
            && (reads == 0 || reads > self.replicas)
        {
            let replicas = self.replicas;
            return setting(format!(
                "a read cannot merge {reads} of {replicas} copies: choose 1 <= reads <= replicas"
            ));
        }
        if self.value_bytes_max == 0 || self.value_bytes_max as usize > VALUE_BYTES_MAX {
            return setting(format!("the greatest value must have between 1 and {VALUE_BYTES_MAX} bytes"));
        }
        if self.ttl_max < Duration::from_secs(1) {
            return setting("the greatest ttl must be at least a second".into());
        }
        // Fair admission lets one greatest value in beyond what clients share; beside that there must be room for it.
        let greatest = put_bytes_max(self.value_bytes_max);
        let least = greatest.saturating_mul(100).div_ceil(100 - SHARED_PERCENT);
        if self.store_bytes_max < least {
            return setting(format!(
                "a disk of {} bytes (--store-max) is too small: clients share {SHARED_PERCENT} % of it, and the rest must hold one greatest \
                 value (--value-max), which takes {greatest}; allow at least {least} bytes, or smaller values",
                self.store_bytes_max
            ));
        }
        if self.ops_max == 0 {
            return setting("at least one operation must be allowed at a time".into());
        }
        if self.seeds.len() + self.seed_names.len() > SEEDS_MAX {
            return setting(format!("at most {SEEDS_MAX} seeds are used"));
        }
        if let Some(name) = self.seed_names.iter().find(|name| !is_host_and_port(name)) {
            return setting(format!(
                "no node can be found by `{name}`: name it as host:port, for example 10.0.0.1:5850"
            ));
        }
        match (&self.data, self.durability) {
            (Some(path), Durability::Memory) => {
                return setting(format!(
                    "durability `memory` keeps nothing in {}: leave the directory out, or choose os or fsync",
                    path.display()
                ));
            }
            (None, Durability::Os | Durability::Fsync) => {
                return setting(format!(
                    "durability `{}` needs a data directory: name one, or choose memory",
                    self.durability
                ));
            }
            (Some(_), _) | (None, Durability::Memory) => {}
        }
        if self.network_key.as_ref().is_some_and(Vec::is_empty) {
            return setting("the network key is empty".into());
        }
        if !self.listen.ip().is_loopback() && self.network_key.is_none() {
            return Err(StartError::NetworkKeyMissing { listen: self.listen });
        }
        match self.advertise {
            None if self.listen.ip().is_unspecified() => {
                Err(StartError::AdvertiseMissing { listen: self.listen })
            }
            Some(address) if address.ip().is_unspecified() || address.ip().is_multicast() => {
                setting(format!("{address} is not an address at which others can reach this node"))
            }
            _ => Ok(()),
        }
    }

    /// The address that others use, given the one that was bound.
    #[must_use]
    pub fn advertised(&self, bound: SocketAddr) -> SocketAddr {
        match self.advertise {
            None => bound,
            Some(address) if address.port() == 0 => SocketAddr::new(address.ip(), bound.port()),
            Some(address) => address,
        }
    }

    /// The settings of the machine.
    #[must_use]
    pub fn node_config(&self, life: Life, bound: SocketAddr, seed: Seed) -> NodeConfig {
        let me = Peer::new(life.id, self.advertised(bound).into());
        let ttl_micros = u64::try_from(self.ttl_max.as_micros()).unwrap_or(u64::MAX);
        NodeConfig {
            incarnation: life.incarnation,
            key: self.network_key.as_deref().map_or_else(FrameKey::open_network, FrameKey::from_secret),
            replicas: self.replicas,
            acks: self.acks,
            reads: self.reads,
            value_bytes_max: self.value_bytes_max,
            ttl_max: keyway_core::Duration::from_micros(ttl_micros),
            store_bytes_max: self.store_bytes_max,
            ops_max: self.ops_max,
            lookup_style: self.lookup_style,
            overlay_options: self.overlay_options.clone(),
            ..NodeConfig::new(me, seed)
        }
    }
}

/// Whether a name says where to ask; whether anybody is there is another thing.
fn is_host_and_port(name: &str) -> bool {
    let Some((host, port)) = name.rsplit_once(':') else { return false };
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    !host.is_empty()
        && (is_bracketed || !host.contains(':'))
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> NodeSettings {
        NodeSettings { durability: Durability::Memory, ..NodeSettings::default() }
    }

    fn refusal(settings: &NodeSettings) -> String {
        settings.validate().expect_err("must be refused").to_string()
    }

    #[test]
    fn the_default_wants_only_a_directory() {
        assert!(refusal(&NodeSettings::default()).contains("needs a data directory"));
        NodeSettings { data: Some("d".into()), ..NodeSettings::default() }.validate().expect("complete");
        memory().validate().expect("complete");
    }

    #[test]
    fn off_loopback_a_key_and_an_address_are_needed() {
        let open = NodeSettings { listen: ([0, 0, 0, 0], 5850).into(), ..memory() };
        assert!(refusal(&open).contains("--network-key-file"));
        let keyed = NodeSettings { network_key: Some(b"secret".to_vec()), ..open };
        assert!(refusal(&keyed).contains("--advertise"));
        let named = NodeSettings { advertise: Some(([10, 0, 0, 1], 0).into()), ..keyed.clone() };
        named.validate().expect("complete");
        assert_eq!(named.advertised(([0, 0, 0, 0], 77).into()), ([10, 0, 0, 1], 77).into());
        let vague = NodeSettings { advertise: Some(([0, 0, 0, 0], 9).into()), ..keyed };
        assert!(refusal(&vague).contains("not an address"));
    }

    #[test]
    fn a_seed_has_a_host_and_a_port() {
        let joining = |name: &str| NodeSettings { seed_names: vec![name.to_owned()], ..memory() };
        for good in ["node-1.example:5850", "10.0.0.1:1", "[::1]:5850"] {
            joining(good).validate().expect("complete");
        }
        for bad in
            ["", "foo", "foo:", ":5850", "foo:0", "foo:65536", "http://foo:bar", "fe80::1", "2001:db8::5850"]
        {
            assert!(refusal(&joining(bad)).contains("host:port"), "{bad}");
        }
    }

    #[test]
    fn impossible_numbers_are_refused() {
        for acks in [0, 4] {
            assert!(refusal(&NodeSettings { acks, ..memory() }).contains("acks <= replicas"));
        }
        assert!(refusal(&NodeSettings { value_bytes_max: 2 << 20, ..memory() }).contains("1048576"));
        assert!(refusal(&NodeSettings { data: Some("d".into()), ..memory() }).contains("keeps nothing"));
        let small = refusal(&NodeSettings { store_bytes_max: 64 << 10, ..memory() });
        let least =
            small.split("at least ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a number");
        let least: u64 = least.parse().expect("bytes");
        NodeSettings { store_bytes_max: least, ..memory() }.validate().expect("as much as was asked for");
        assert!(refusal(&NodeSettings { store_bytes_max: least - 1, ..memory() }).contains("--store-max"));
    }
}
