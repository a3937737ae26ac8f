//! Who is charged for a record: a short name that every gateway gives to the same client, so that each disk can share itself
//! among clients wherever their puts come in (`opendht` section 3.1, docs/storage.md).
//!
//! A name is a hash under a fixed key: it says nothing about a client to somebody who only sees records, and it needs no table
//! that gateways would have to agree on. Four kinds of client, told apart by what is hashed:
//!
//! ```text
//!   an IPv4 address        "4" | address 4
//!   an IPv6 network /64    "6" | first 8 bytes of the address      one host has 2^64 addresses of its own
//!   a signer               "k" | public key 32
//!   an access token        "t" | the token's name
//! ```

use core::hash::Hasher as _;
use core::net::IpAddr;

use siphasher::sip::SipHasher24;

/// Part of the protocol: all gateways use the same.
const HASH_KEY: &[u8; 16] = b"keyway client v1";

/// A client's name. 0: nobody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ClientId(pub u64);

impl ClientId {
    /// Nobody: what nodes do of their own accord, and what no interface charges.
    pub const NOBODY: ClientId = ClientId(0);

    /// Whoever speaks from this address. An IPv4 address in IPv6 clothes is the IPv4 address.
    #[must_use]
    pub fn of_address(address: IpAddr) -> ClientId {
        match address.to_canonical() {
            IpAddr::V4(v4) => ClientId::named(b"4", &v4.octets()),
            IpAddr::V6(v6) => ClientId::named(b"6", &v6.octets()[..8]),
        }
    }

    /// The owner of this Ed25519 key.
    #[must_use]
    pub fn of_signer(public_key: &[u8; 32]) -> ClientId {
        ClientId::named(b"k", public_key)
    }

    /// The bearer of the token with this name.
    #[must_use]
    pub fn of_token(name: &str) -> ClientId {
        ClientId::named(b"t", name.as_bytes())
    }

    fn named(kind: &[u8], name: &[u8]) -> ClientId {
        let mut hasher = SipHasher24::new_with_key(HASH_KEY);
        hasher.write(kind);
        hasher.write(name);
        // 0 is nobody's.
        ClientId(hasher.finish().max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_one_name_and_a_host_of_ipv6_has_one_client() {
        let of = |text: &str| ClientId::of_address(text.parse().expect("an address"));
        assert_eq!(of("10.0.0.1"), of("::ffff:10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(ClientId::of_token("a"), ClientId::of_token("b"));
        assert_ne!(of("10.0.0.1"), ClientId::NOBODY);
    }
}
