//! What members store: who they are and where they are reached, in the two forms.
//!
//! ```text
//!   native    "kwr1" | id (20 bytes) | length of the address (16 bits) | address, such as host.example:5900
//!   classic   IPv4 address (4 bytes) | port (2 bytes)            its id is the SHA-1 of these six bytes (4.2, 4.3)
//! ```
//!
//! Anybody can put anything under any key, so whatever is not exactly of its form is no entry. Invariant: what
//! [`Form::decode`] gives, [`Form::encode`] gives back byte for byte.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

use bytes::Bytes;
use serde::{Serialize, Serializer};

use crate::failure::ClientError;
use crate::key::{KEY_BYTES, Key};

/// Longest address of a member.
pub const ADDRESS_BYTES_MAX: usize = 255;

const MAGIC: &[u8; 4] = b"kwr1";
const HEAD_BYTES: usize = MAGIC.len() + KEY_BYTES + 2;
const CLASSIC_BYTES: usize = 6;

/// A member of a namespace. Ordered by id, then by address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Endpoint {
    id: Key,
    address: Address,
}

/// A checked `HOST:PORT`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Address(Box<str>);

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl Endpoint {
    /// A member with this id, reached at `HOST:PORT`.
    ///
    /// # Errors
    /// [`ClientError::Usage`] when `address` is not of that form: a host without blanks (IPv6 in brackets), a port
    /// that is not 0, at most [`ADDRESS_BYTES_MAX`] bytes in all.
    pub fn new(id: Key, address: &str) -> Result<Endpoint, ClientError> {
        match is_address(address) {
            true => Ok(Endpoint { id, address: Address(address.into()) }),
            false => Err(ClientError::Usage(format!(
                "{address:?} is no address of a member; write HOST:PORT, such as 192.0.2.7:5900"
            ))),
        }
    }

    /// Where it stands on the circle of ids.
    #[must_use]
    pub fn id(&self) -> &Key {
        &self.id
    }

    /// `HOST:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address.0
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.address.0)
    }
}

fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host_fits = match bare {
        Some(inside) => inside.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains([':', '[', ']', '/', '@']),
    };
    // As it would be written again: neither +5 nor 007.
    let port_fits = port.parse::<u16>().is_ok_and(|number| number != 0 && number.to_string() == port);
    text.len() <= ADDRESS_BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic()) && host_fits && port_fits
}

/// How keys and entries are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Form {
    /// Any id, any address.
    #[default]
    Native,
    /// The six bytes of 2005: an IPv4 address and a port, which decide the id.
    Classic,
}

impl Form {
    /// The member at `address`: with this id, or with the one that follows from the address (the SHA-1 of its text, or of
    /// the six bytes).
    ///
    /// # Errors
    /// [`ClientError::Usage`] when the address is none, or cannot be said in this form.
    pub fn endpoint(self, id: Option<Key>, address: &str) -> Result<Endpoint, ClientError> {
        match self {
            Form::Native => Endpoint::new(id.unwrap_or_else(|| Key::text(address)), address),
            Form::Classic => {
                let v4: SocketAddrV4 = address.parse().map_err(|_| {
                    ClientError::Usage(format!(
                        "{address:?}: the form of 2005 knows IPv4 addresses and ports only"
                    ))
                })?;
                let own = Key::hash(&six(v4));
                match id {
                    Some(id) if id != own => Err(ClientError::Usage(format!(
                        "in the form of 2005 the address decides the id: that of {address} is {own}"
                    ))),
                    _ => Endpoint::new(own, address),
                }
            }
        }
    }

    /// The entry of a member.
    ///
    /// # Errors
    /// [`ClientError::Usage`] when this form cannot say it.
    pub fn encode(self, member: &Endpoint) -> Result<Bytes, ClientError> {
        let address = member.address();
        match self {
            Form::Native => {
                let mut bytes = Vec::with_capacity(HEAD_BYTES + address.len());
                bytes.extend(MAGIC);
                bytes.extend(member.id.0);
                // Within bounds since `Endpoint::new`.
                bytes.extend((address.len() as u16).to_be_bytes());
                bytes.extend(address.as_bytes());
                Ok(bytes.into())
            }
            Form::Classic => {
                let same = Form::Classic.endpoint(Some(member.id), address)?;
                let v4: SocketAddrV4 = same
                    .address()
                    .parse()
                    .map_err(|_| ClientError::Usage(format!("{address:?} is no IPv4 address with a port")))?;
                Ok(Bytes::copy_from_slice(&six(v4)))
            }
        }
    }

    /// The member whose entry these bytes are, if they are one.
    #[must_use]
    pub fn decode(self, bytes: &[u8]) -> Option<Endpoint> {
        match self {
            Form::Native => {
                let (head, address) = bytes.split_at_checked(HEAD_BYTES)?;
                let (magic, rest) = head.split_at_checked(MAGIC.len())?;
                let (id, length) = rest.split_at_checked(KEY_BYTES)?;
                let length = u16::from_be_bytes(length.try_into().ok()?);
                if magic != MAGIC || usize::from(length) != address.len() {
                    return None;
                }
                Endpoint::new(Key(id.try_into().ok()?), std::str::from_utf8(address).ok()?).ok()
            }
            Form::Classic => {
                let six: [u8; CLASSIC_BYTES] = bytes.try_into().ok()?;
                let [a, b, c, d, high, low] = six;
                let v4 = SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low]));
                Endpoint::new(Key::hash(&six), &v4.to_string()).ok()
            }
        }
    }
}

fn six(address: SocketAddrV4) -> [u8; CLASSIC_BYTES] {
    let [a, b, c, d] = address.ip().octets();
    let [high, low] = address.port().to_be_bytes();
    [a, b, c, d, high, low]
}
