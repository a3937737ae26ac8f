//! Where a publisher serves: `http://host:port` and nothing behind it.
//!
//! A fetcher connects to addresses that strangers have signed. What a stranger can make it do with them is bounded here: the
//! scheme is http, there is no path, query or user, so that the only request ever sent is `GET /sha256/HEX`; and addresses that
//! belong to the link or to nobody are not asked. Loopback and private ones are: a publisher may stand there.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::Uri;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::failure::ClientError;

/// Longest host name (RFC 1035 section 2.3.4).
const HOST_BYTES_MAX: usize = 255;
/// Port of http when an address names none.
const PORT_DEFAULT: u16 = 80;

/// Where a publisher serves.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Address {
    /// A name, an IPv4 address, or an IPv6 address in brackets; in small letters.
    host: String,
    port: u16,
}

impl Address {
    /// `host:port`, for a `Host` header.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The host without brackets, and the port.
    pub(super) fn host_and_port(&self) -> (&str, u16) {
        (self.host.trim_start_matches('[').trim_end_matches(']'), self.port)
    }
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Address {
        let host = match addr.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Address { host, port: addr.port() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

impl FromStr for Address {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Address, ClientError> {
        let wrong = |why: &str| {
            let text: String = text.chars().filter(|c| !c.is_control()).take(HOST_BYTES_MAX).collect();
            ClientError::Usage(format!(
                "address {text:?}: {why}; it should look like http://host.example:5860"
            ))
        };
        let uri: Uri = text.parse().map_err(|error: http::uri::InvalidUri| wrong(&error.to_string()))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong("its scheme is not http"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("it has a path"));
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            return Err(wrong("it names a user"));
        }
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        if host.is_empty() || host.len() > HOST_BYTES_MAX {
            return Err(wrong("it names no host"));
        }
        let port = uri.port_u16();
        if authority.len() > uri.host().map_or(0, str::len) && port.is_none_or(|port| port == 0) {
            return Err(wrong("its port is not a number from 1 to 65535"));
        }
        Ok(Address { host, port: port.unwrap_or(PORT_DEFAULT) })
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Address, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why nobody is asked at this address, if so.
pub(super) fn unasked(ip: IpAddr) -> Option<&'static str> {
    let ip = ip.to_canonical();
    if ip.is_unspecified() {
        return Some("an address of nobody");
    }
    if ip.is_multicast() {
        return Some("an address of many (multicast)");
    }
    match ip {
        IpAddr::V4(ip) if ip.is_broadcast() => Some("an address of all (broadcast)"),
        // Where clouds tell a machine its secrets.
        IpAddr::V4(ip) if ip.is_link_local() => Some("an address of the link alone"),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Some("an address of the link alone"),
        _ => None,
    }
}
