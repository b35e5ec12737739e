//! Which addresses notices may be sent to: public ones, and those in networks that settings name. Whoever may choose an
//! address must not have the gateway knock at doors inside its own network.
//!
//! The addresses judged are those a connection is then made to, so that a name which leads elsewhere a moment later
//! changes nothing. Source: IANA, IPv4 and IPv6 Special-Purpose Address Registries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Whether an address may be connected to, `networks` being allowed although they are no public ones.
pub(super) fn is_allowed(address: IpAddr, networks: &[IpNet]) -> bool {
    // An IPv4 address in IPv6's clothes is reached as what it is.
    let address = address.to_canonical();
    is_public(address) || networks.iter().any(|network| network.contains(&address))
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            GLOBAL_V6.contains(&address)
                && !SPECIAL_V6.iter().any(|network| network.contains(&address))
        }
    }
}

const fn v4(a: u8, b: u8, c: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), length)
}

const fn v6(a: u16, b: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), length)
}

const SPECIAL_V4: [Ipv4Net; 15] = [
    v4(0, 0, 0, 8),       // this network
    v4(10, 0, 0, 8),      // private
    v4(100, 64, 0, 10),   // shared, behind a carrier's address translation
    v4(127, 0, 0, 8),     // loopback
    v4(169, 254, 0, 16),  // link-local
    v4(172, 16, 0, 12),   // private
    v4(192, 0, 0, 24),    // protocol assignments
    v4(192, 0, 2, 24),    // documentation
    v4(192, 88, 99, 24),  // relays from IPv6
    v4(192, 168, 0, 16),  // private
    v4(198, 18, 0, 15),   // benchmarks
    v4(198, 51, 100, 24), // documentation
    v4(203, 0, 113, 24),  // documentation
    v4(224, 0, 0, 4),     // multicast
    v4(240, 0, 0, 4),     // reserved, broadcast
];

/// All that is given out so far; unique local, link-local and the rest are outside of it.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 3);

const SPECIAL_V6: [Ipv6Net; 4] = [
    v6(0x2001, 0, 23),     // protocol assignments, Teredo among them
    v6(0x2001, 0xdb8, 32), // documentation
    v6(0x2002, 0, 16),     // 6to4, which holds an IPv4 address
    v6(0x3fff, 0, 20),     // documentation
];

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(address: &str, networks: &[&str]) -> bool {
        let networks: Vec<IpNet> = networks.iter().map(|it| it.parse().unwrap()).collect();
        is_allowed(address.parse().unwrap(), &networks)
    }

    #[test]
    fn only_public_addresses_are_anybodys() {
        for public in ["8.8.8.8", "223.5.5.5", "172.32.0.1", "2400:3200::1", "::ffff:8.8.8.8"] {
            assert!(allowed(public, &[]), "{public}");
        }
        for inside in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.1.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001:db8::1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!allowed(inside, &[]), "{inside}");
        }
    }

    #[test]
    fn what_settings_name_is_allowed_and_no_more() {
        let networks = ["10.20.0.0/16", "fd00:1::/32"];
        assert!(allowed("10.20.3.4", &networks) && allowed("::ffff:10.20.3.4", &networks));
        assert!(allowed("fd00:1::5", &networks));
        assert!(!allowed("10.21.0.1", &networks) && !allowed("127.0.0.1", &networks));
    }
}
