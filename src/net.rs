//! Defines a client on the network: all limits per client count by [`client_key`]. And TLS as a client.

pub(crate) mod tls;

use std::net::{IpAddr, Ipv6Addr};

/// The address under which limits count a client: an IPv4 address unchanged, an IPv4-mapped one as IPv4, and for an IPv6 address
/// its /64, because one subscriber usually has a whole /64 and could otherwise be a new client with each connection (RFC 6177
/// §2).
pub fn client_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network_of_64_bits() {
        for (address, key) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::"),
            ("2001:db8:1:3::", "2001:db8:1:3::"),
            ("::1", "::"),
        ] {
            assert_eq!(client_key(address.parse().expect("address")), key.parse::<IpAddr>().expect("key"), "{address}");
        }
    }
}
