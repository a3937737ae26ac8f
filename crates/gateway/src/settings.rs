//! What can be set on a gateway. Every limit is on by default.

use std::time::Duration;

use crate::access::AccessConfig;

/// Settings of a gateway.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Names and addresses, without a port, that clients may call this gateway by, beside loopback ones and the address
    /// that the client in fact connected to. Anything else in `Host` is refused, because it may be a stranger's web page
    /// whose name was pointed at this machine (DNS rebinding).
    pub allowed_hosts: Vec<String>,
    /// Greatest value taken over REST, in bytes. What the node takes is judged by the node; this bounds what is read.
    pub value_bytes_max: u32,
    /// Limits on what clients may do.
    pub limits: Limits,
    /// What the interfaces of 2005 take and give.
    pub legacy: LegacyLimits,
    /// Limits of the Sun RPC port, beside those of `limits`.
    pub sunrpc: SunRpcLimits,
    /// Who may do what.
    pub access: AccessConfig,
}

impl Default for GatewayConfig {
    fn default() -> GatewayConfig {
        GatewayConfig {
            allowed_hosts: Vec::new(),
            value_bytes_max: 64 << 10,
            limits: Limits::default(),
            legacy: LegacyLimits::default(),
            sunrpc: SunRpcLimits::default(),
            access: AccessConfig::default(),
        }
    }
}

/// What the interfaces of 2005, XML-RPC and Sun RPC, take and give (`opendht` section 1.2). The defaults are those of the
/// public service; its clients are compiled with some of them.
#[derive(Clone, Debug)]
pub struct LegacyLimits {
    /// Longest value taken, in bytes. Nothing above the gateway's own `value_bytes_max` is.
    pub value_bytes_max: u32,
    /// Longest life given; a longer one is cut to it. Whole seconds.
    pub ttl_max: Duration,
    /// What a page of values may cost, in bytes; a single dearer value is a page of its own.
    pub page_bytes: u32,
    /// What a value costs beside its length.
    pub value_overhead_bytes: u32,
}

impl Default for LegacyLimits {
    fn default() -> LegacyLimits {
        LegacyLimits {
            value_bytes_max: 1024,
            ttl_max: Duration::from_secs(7 * 24 * 3600),
            page_bytes: 1063,
            value_overhead_bytes: 39,
        }
    }
}

/// Limits of the Sun RPC port. How fast records must come and replies must be taken, how long an operation may take and how long
/// stopping, is said by [`Limits`].
#[derive(Clone, Debug)]
pub struct SunRpcLimits {
    /// Longest record of a client. A call has at most 2 KiB beside its value.
    pub record_bytes_max: usize,
    /// For a connection with nothing outstanding (`opendht` section 1.4).
    pub idle_timeout: Duration,
    /// Calls of one connection under way at once; beyond them nothing more is read. Clients of 2005 send 100.
    pub calls_per_connection_max: usize,
    /// Calls under way at once in all.
    pub calls_max: usize,
    /// While so many bytes of replies were not taken, no further call is begun.
    pub unsent_bytes_max: usize,
    /// Connections at once; by default 1024, or a quarter of the file descriptors that the process may have if that is less.
    pub connections_max: usize,
    /// Connections at once from one address. Further ones take the place of those that rest.
    pub connections_per_ip_max: usize,
}

impl Default for SunRpcLimits {
    fn default() -> SunRpcLimits {
        SunRpcLimits {
            record_bytes_max: 16 << 10,
            idle_timeout: Duration::from_secs(30),
            calls_per_connection_max: 128,
            calls_max: 4096,
            unsent_bytes_max: 64 << 10,
            connections_max: connections_max(4),
            connections_per_ip_max: 256,
        }
    }
}

/// Limits on what clients may do; a client beyond one gets a clear error or is cut.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Length of a request's head.
    pub head_bytes_max: usize,
    /// Headers in it.
    pub headers_max: usize,
    /// For a whole head to arrive, from its first byte; for the first head of a connection, from the connection.
    pub head_timeout: Duration,
    /// For a body to begin to arrive at the least rate.
    pub body_grace: Duration,
    /// Least rate at which bodies must come and answers must be taken, in bytes a second.
    pub rate_bytes_min: u64,
    /// For an answer to begin to be taken at the least rate.
    pub write_stall: Duration,
    /// Between requests.
    pub idle_timeout: Duration,
    /// For the node to answer an operation.
    pub op_timeout: Duration,
    /// For requests under way to end when the gateway stops.
    pub drain_timeout: Duration,
    /// Connections at once; by default 1024, or half of the file descriptors that the process may have if that is less.
    pub connections_max: usize,
    /// Connections at once from one address.
    pub connections_per_ip_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head_bytes_max: 16 << 10,
            headers_max: 100,
            head_timeout: Duration::from_secs(5),
            body_grace: Duration::from_secs(5),
            rate_bytes_min: 1024,
            write_stall: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            op_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
            connections_max: connections_max(2),
            connections_per_ip_max: 256,
        }
    }
}

impl Limits {
    /// The time that so many bytes may take at the least rate.
    pub(crate) fn pace(&self, bytes: u64) -> Duration {
        Duration::from_millis(bytes.saturating_mul(1000) / self.rate_bytes_min.max(1))
    }
}

/// A part of the descriptors; the rest are left for files and for other nodes.
fn connections_max(part: u64) -> usize {
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let part = descriptors.map_or(usize::MAX, |count| usize::try_from(count / part).unwrap_or(usize::MAX));
    part.clamp(1, 1024)
}
