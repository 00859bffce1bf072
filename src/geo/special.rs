//! Addresses that are nobody's in particular: private, local, reserved, for documentation.

use std::{net::IpAddr, sync::LazyLock};

use super::{
    prefix::{Bounds, Prefix},
    ranges::{Address, Ranges, Run},
};

/// The IANA special-purpose address registries (RFC 6890) without what is globally reachable, and
/// multicast (RFC 5771, RFC 4291): no client has such an address outside its own network. The few
/// reachable addresses of `2001::/23` are services and not clients. Wrapped IPv4 addresses are not
/// listed: what they wrap is asked.
const SPECIAL: [&str; 20] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/3",
    "::/127",
    "64:ff9b:1::/48",
    "100::/63",
    "2001::/23",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// What is set aside for examples (RFC 5737, RFC 3849, RFC 9637).
const DOCUMENTATION: [&str; 5] =
    ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"];

static LINES: LazyLock<Lines> = LazyLock::new(|| {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (list, kind) in [(&SPECIAL[..], Kind::Special), (&DOCUMENTATION[..], Kind::Documentation)] {
        for text in list {
            let prefix: Prefix = text.parse().expect("the lists are tested");
            match prefix.bounds() {
                Bounds::V4(run) => v4.push((run, kind)),
                Bounds::V6(run) => v6.push((run, kind)),
            }
        }
    }
    Lines { v4_octets: octets(&v4), v6_octets: octets(&v6), v4, v6 }
});

struct Lines {
    v4: Vec<(Run<u32>, Kind)>,
    v6: Vec<(Run<u128>, Kind)>,
    /// The first octets of addresses in some of the blocks. Most addresses that are asked about are
    /// in none, and this says so without a look at each block.
    v4_octets: [bool; 256],
    v6_octets: [bool; 256],
}

/// The first octets of the addresses in blocks.
fn octets<A: Address>(blocks: &[(Run<A>, Kind)]) -> [bool; 256] {
    let mut octets = [false; 256];
    for (run, _) in blocks {
        octets[run.first.bits(0, 8)..=run.last.bits(0, 8)].fill(true);
    }
    octets
}

/// What a block is set aside for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing: it is somebody's.
    Ordinary,
    /// Private, local, reserved or multicast.
    Special,
    /// For examples.
    Documentation,
}

/// Whether a prefix lies within what is set aside: its addresses are no client's in particular.
#[must_use]
#[inline(always)]
pub fn is_special_use(prefix: &Prefix) -> bool {
    kind(prefix) != Kind::Ordinary
}

/// Whether a prefix lies within what is set aside for examples.
#[must_use]
pub fn is_documentation(prefix: &Prefix) -> bool {
    kind(prefix) == Kind::Documentation
}

/// The kinds of all IPv4 addresses.
pub(super) fn v4_kinds() -> Ranges<u32, Kind> {
    Ranges::from_blocks(Kind::Ordinary, LINES.v4.clone())
}

/// The kinds of all IPv6 addresses.
pub(super) fn v6_kinds() -> Ranges<u128, Kind> {
    Ranges::from_blocks(Kind::Ordinary, LINES.v6.clone())
}

#[inline(always)]
fn kind(prefix: &Prefix) -> Kind {
    // Most of those that are asked about are of IPv4, and in no block.
    if let IpAddr::V4(v4) = prefix.address()
        && !LINES.v4_octets[usize::from(v4.octets()[0])]
    {
        return Kind::Ordinary;
    }
    kind_of_unwrapped(*prefix)
}

#[inline(never)]
fn kind_of_unwrapped(prefix: Prefix) -> Kind {
    match prefix.unwrapped().bounds() {
        Bounds::V4(run) => kind_of(&LINES.v4, &LINES.v4_octets, run),
        Bounds::V6(run) => kind_of(&LINES.v6, &LINES.v6_octets, run),
    }
}

fn kind_of<A: Address>(blocks: &[(Run<A>, Kind)], octets: &[bool; 256], run: Run<A>) -> Kind {
    // A block that holds the run holds its first address.
    if !octets[run.first.bits(0, 8)] {
        return Kind::Ordinary;
    }
    let holds = |block: &Run<A>| block.first <= run.first && run.last <= block.last;
    blocks.iter().find(|(block, _)| holds(block)).map_or(Kind::Ordinary, |(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_is_known() {
        let check = |text: &str, expect: Kind| {
            assert_eq!(kind(&text.parse().unwrap()), expect, "{text}");
        };
        for text in [
            "10.1.2.3",
            "100.64.0.0/10",
            "127.0.0.1",
            "172.31.255.255",
            "192.168.1.0/24",
            "198.19.0.0/16",
            "224.0.0.251",
            "240.0.0.0/4",
            "255.255.255.255",
            "::",
            "::1",
            "fd00::/8",
            "fe80::1",
            "ff02::fb",
            "2001::/32",
            "2001:2::/48",
            "::ffff:10.0.0.0/104",
            "64:ff9b::7f00:1",
            "2002:0a00::/24",
        ] {
            check(text, Kind::Special);
        }
        for text in ["192.0.2.0/24", "203.0.113.7", "2001:db8:1::/48", "::ffff:198.51.100.1"] {
            check(text, Kind::Documentation);
        }
        // The widest that is not all special, the neighbours, and what is special but reachable.
        for text in [
            "0.0.0.0/0",
            "8.0.0.0/6",
            "11.0.0.0/8",
            "172.32.0.0/11",
            "192.0.3.0/24",
            "192.31.196.1",
            "192.52.193.1",
            "192.175.48.1",
            "223.255.255.255",
            "::/0",
            "2001:200::1",
            "2606:4700::1111",
            "2620:4f:8000::1",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            check(text, Kind::Ordinary);
        }
    }
}
