//! Who a node is to others: an id, an address, and a label that only its overlay understands.
//!
//! [`Peer`] hides its representation behind accessors: tables clone it freely, and how it is kept is decided here alone.

mod interner;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::cmp::Ordering;
use core::fmt;

use crate::id::Id;
use crate::wire::{Malformed, Reader, Wire, Writer};

pub use interner::Interner;

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
///
/// Eight bytes: tables hold hundreds of them and a world holds millions. The facts stand once, behind a counted pointer; who reads
/// messages shares them through an [`Interner`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Peer(Arc<Facts>);

/// Length of a plain peer's wire form: id, family, address, port, and the length of no label.
const PLAIN_BYTES: usize = 28;

/// One line of a processor's cache with its counters.
#[derive(PartialEq, Eq, Hash)]
struct Facts {
    id: Id,
    addr: Addr,
    /// None for nearly all: a pointer to the pointer, so that they take one word for it.
    label: Option<Box<Box<[u8]>>>,
}

impl Peer {
    /// A peer without a label.
    #[must_use]
    pub fn new(id: Id, addr: Addr) -> Peer {
        Peer(Arc::new(Facts { id, addr, label: None }))
    }

    /// The same peer with an overlay's label (a CAN zone, a domain of Canon). Longer than [`LABEL_BYTES_MAX`] is cut.
    #[must_use]
    pub fn with_label(self, label: &[u8]) -> Peer {
        match &label[..label.len().min(LABEL_BYTES_MAX)] {
            label if label == self.label() => self,
            label => {
                let label = (!label.is_empty()).then(|| Box::new(Box::from(label)));
                Peer(Arc::new(Facts { id: *self.id(), addr: self.addr(), label }))
            }
        }
    }

    /// Its place in the key space.
    #[must_use]
    #[inline]
    pub fn id(&self) -> &Id {
        &self.0.id
    }

    /// Where it listens.
    #[must_use]
    #[inline]
    pub fn addr(&self) -> Addr {
        self.0.addr
    }

    /// The overlay's label, empty if there is none.
    #[must_use]
    #[inline]
    pub fn label(&self) -> &[u8] {
        self.0.label.as_ref().map_or(&[], |label| label)
    }

    /// Whether it has no label.
    fn is_plain(&self) -> bool {
        self.0.label.is_none()
    }

    /// Whether somebody else holds it, too.
    fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Whether both are one allocation: equal, and known to be without a look at the facts.
    pub(crate) fn is_same(&self, other: &Peer) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Ord for Peer {
    fn cmp(&self, other: &Peer) -> Ordering {
        (self.id(), self.addr(), self.label()).cmp(&(other.id(), other.addr(), other.label()))
    }
}

impl PartialOrd for Peer {
    fn partial_cmp(&self, other: &Peer) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.8}@{}", self.id(), self.addr())
    }
}

impl Wire for Peer {
    fn encode(&self, w: &mut Writer<'_>) {
        let facts = &*self.0;
        match (facts.addr, &facts.label) {
            (Addr::V4(ip, port), None) => {
                // Every frame carries one, and lists of them: the same bytes as below, at one stroke.
                let mut plain = [0; PLAIN_BYTES];
                plain[..20].copy_from_slice(facts.id.as_bytes());
                plain[20] = 4;
                plain[21..25].copy_from_slice(&ip);
                plain[25..27].copy_from_slice(&port.to_be_bytes());
                w.array(plain);
            }
            _ => {
                facts.id.encode(w);
                facts.addr.encode(w);
                w.blob8(self.label());
            }
        }
    }

    fn decode(r: &mut Reader<'_>) -> Result<Peer, Malformed> {
        let (id, addr) = (Id::decode(r)?, Addr::decode(r)?);
        // Within a node it stands for one of whom only the address is known, and whose answer is taken from anybody there.
        if id == Id::ZERO {
            return Err(Malformed("a peer without an id"));
        }
        let label = r.blob8()?;
        if label.len() > LABEL_BYTES_MAX {
            return Err(Malformed("peer label too long"));
        }
        Ok(match r.help::<Interner>() {
            Some(interner) => interner.peer(&id, addr, label),
            None => Peer::new(id, addr).with_label(label),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{from_slice, to_vec};

    /// Nobody may be made to ask one whose answer would be taken from anybody, and under another id than it was waited for.
    #[test]
    fn a_peer_without_an_id_comes_from_nobody() {
        let nobody = to_vec(&Peer::new(Id::ZERO, Addr::loopback(2)));
        assert_eq!(from_slice::<Peer>(&nobody), Err(Malformed("a peer without an id")));
    }

    #[test]
    fn a_peer_is_small_and_comes_back_from_its_bytes() {
        assert!(size_of::<Option<Peer>>() <= 8);
        assert!(size_of::<Facts>() + 2 * size_of::<usize>() <= 64, "a line of a cache");
        let plain = Peer::new(Id::from_u64(1), Addr::loopback(2));
        let labelled = plain.clone().with_label(b"zone");
        let six = Peer::new(Id::from_u64(1), Addr::V6([1; 16], 2));
        for peer in [&plain, &labelled, &six] {
            assert_eq!(from_slice::<Peer>(&to_vec(peer)).as_ref(), Ok(peer));
            assert_eq!(peer.id(), &Id::from_u64(1));
        }
        assert_eq!(labelled.label(), b"zone");
        assert_eq!(labelled.addr(), plain.addr());
        assert_eq!(labelled.clone().with_label(b""), plain);
        assert!(plain < labelled && labelled < six, "by id, then address, then label");
    }
}
