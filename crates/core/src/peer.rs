//! Who a node is to others: an id, an address, and a label that only its overlay understands.
//!
//! [`Peer`] hides its representation behind accessors: tables clone it freely, and how it is kept (inline today,
//! shared once a full table needs it) is decided here alone.

use alloc::boxed::Box;
use core::fmt;

use crate::id::Id;
use crate::wire::{Malformed, Reader, Wire, Writer};

/// An internet address and port. Core knows no sockets; the driver converts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Addr {
    /// IPv4, port.
    V4([u8; 4], u16),
    /// IPv6, port.
    V6([u8; 16], u16),
}

impl Addr {
    /// `127.0.0.1:port`
    #[must_use]
    pub const fn loopback(port: u16) -> Addr {
        Addr::V4([127, 0, 0, 1], port)
    }

    /// The address of simulated node `n`: `10.x.y.z:5850`.
    #[must_use]
    pub const fn simulated(n: u32) -> Addr {
        let b = n.to_be_bytes();
        Addr::V4([10, b[1], b[2], b[3]], 5850)
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Addr::V4(ip, port) => write!(f, "{}:{port}", core::net::Ipv4Addr::from(ip)),
            Addr::V6(ip, port) => write!(f, "[{}]:{port}", core::net::Ipv6Addr::from(ip)),
        }
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<core::net::SocketAddr> for Addr {
    fn from(a: core::net::SocketAddr) -> Addr {
        match a {
            core::net::SocketAddr::V4(a) => Addr::V4(a.ip().octets(), a.port()),
            core::net::SocketAddr::V6(a) => match a.ip().to_ipv4_mapped() {
                Some(v4) => Addr::V4(v4.octets(), a.port()),
                None => Addr::V6(a.ip().octets(), a.port()),
            },
        }
    }
}

impl From<Addr> for core::net::SocketAddr {
    fn from(a: Addr) -> core::net::SocketAddr {
        match a {
            Addr::V4(ip, port) => (ip, port).into(),
            Addr::V6(ip, port) => (ip, port).into(),
        }
    }
}

impl Wire for Addr {
    fn encode(&self, w: &mut Writer<'_>) {
        match self {
            Addr::V4(ip, port) => {
                w.u8(4);
                w.bytes(ip);
                w.u16(*port);
            }
            Addr::V6(ip, port) => {
                w.u8(6);
                w.bytes(ip);
                w.u16(*port);
            }
        }
    }

    fn decode(r: &mut Reader<'_>) -> Result<Addr, Malformed> {
        match r.u8()? {
            4 => Ok(Addr::V4(r.array()?, r.u16()?)),
            6 => Ok(Addr::V6(r.array()?, r.u16()?)),
            _ => Err(Malformed("address family")),
        }
    }
}

/// Bound on the label that an overlay may hang on a peer.
pub const LABEL_BYTES_MAX: usize = 64;

/// A node as others know it. Equality is of id, address and label.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    id: Id,
    addr: Addr,
    label: Option<Box<[u8]>>,
}

impl Peer {
    /// A peer without a label.
    #[must_use]
    pub const fn new(id: Id, addr: Addr) -> Peer {
        Peer { id, addr, label: None }
    }

    /// The same peer with an overlay's label (a CAN zone, a domain of Canon). Longer than [`LABEL_BYTES_MAX`] is cut.
    #[must_use]
    pub fn with_label(mut self, label: &[u8]) -> Peer {
        let label = &label[..label.len().min(LABEL_BYTES_MAX)];
        self.label = (!label.is_empty()).then(|| label.into());
        self
    }

    /// Its place in the key space.
    #[must_use]
    pub const fn id(&self) -> &Id {
        &self.id
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> Addr {
        self.addr
    }

    /// The overlay's label, empty if there is none.
    #[must_use]
    pub fn label(&self) -> &[u8] {
        self.label.as_deref().unwrap_or(&[])
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.8}@{}", self.id, self.addr)
    }
}

impl Wire for Peer {
    fn encode(&self, w: &mut Writer<'_>) {
        self.id.encode(w);
        self.addr.encode(w);
        w.blob8(self.label());
    }

    fn decode(r: &mut Reader<'_>) -> Result<Peer, Malformed> {
        let (id, addr) = (Id::decode(r)?, Addr::decode(r)?);
        let label = r.blob8()?;
        if label.len() > LABEL_BYTES_MAX {
            return Err(Malformed("peer label too long"));
        }
        Ok(Peer::new(id, addr).with_label(label))
    }
}
